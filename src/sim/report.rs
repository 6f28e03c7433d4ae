//! What a simulation came to: what a platform team reads before it rolls something out, and what a gate decides by.
//!
//! A [`Report`] is made from the [`Tally`](super::tally::Tally) of a run that is over. Everything in it but `run` follows
//! from scenario, configuration and seed, to the byte. Times `_s` are seconds since the begin of the simulation; numbers
//! end in their unit; what is `null` could not be measured.

pub mod atlas;
pub mod compare;
pub mod demands;
pub mod heat;
pub mod make;
pub mod met;
pub mod page;
pub mod plot;
pub mod plots;
pub mod rows;
pub mod steering;
pub mod tables;
pub mod text;
pub mod words;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a simulation came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What the scenario is called.
    pub scenario: String,
    /// What the configuration is called.
    pub configuration: String,
    /// SHA-256 of its text.
    pub configuration_digest: String,
    /// What chance came from.
    pub seed: u64,
    /// What time it is when it begins (RFC 3339).
    pub starts: String,
    /// How long it lasts.
    pub lasts_s: f64,
    /// How long each slot of the columns `by_slot` is.
    pub slot_s: u64,
    /// How many clients ask.
    pub clients: u64,
    /// About the run itself: the only part that another run of the same seed does not repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// What was demanded, and whether it holds.
    pub demands: Vec<Demand>,
    /// What must always hold, and whether it did.
    pub invariants: Vec<Invariant>,
    /// All hostnames together.
    pub total: Service,
    /// Each hostname that was asked for, as in the configuration.
    pub hostnames: Vec<Service>,
    /// Each region, as in the configuration.
    pub regions: Vec<OfRegion>,
    /// Where clients are: the place with the most failed wishes first, then that with the most wishes.
    pub places: Vec<OfPlace>,
    /// The faults, and how they were met.
    pub faults: Vec<OfFault>,
    /// How much regions have to do for what clients want.
    pub amplification: Amplification,
    /// Attempts that followed a failed one, by the regions of both; most first.
    pub failovers: Vec<Failover>,
    /// Each node.
    pub nodes: Vec<OfNode>,
    /// Where requests were processed.
    pub residency: OfResidency,
    /// What DNS said.
    pub dns: Vec<OfName>,
    /// How good the choice of regions is, against the best possible.
    #[serde(default)]
    pub quality: Option<serde_json::Value>,
    /// What the map shows. Not in the JSON: it has rows by place for that.
    #[serde(skip)]
    pub map: Map,
}

/// About the run itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Events that were worked off.
    pub events: u64,
    /// How long it took.
    pub wall_ms: f64,
    /// How many times faster than the real world that was.
    pub times_real_time: f64,
}

/// Something demanded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// What it is called, as in the scenario.
    pub name: String,
    /// What was demanded, in words.
    pub wanted: String,
    /// What was found, in words.
    pub found: String,
    /// Whether it holds.
    pub holds: bool,
    /// Where and when it was worst, in words; empty if there is nothing to say.
    pub worst: String,
}

/// Something that must always hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Invariant {
    /// What it is called.
    pub name: String,
    /// How often it was broken.
    pub broken: u64,
    /// The first time, in words; none if never.
    pub first: Option<String>,
}

/// How long something took, of many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean_ms: Option<f64>,
    /// What half of them do not exceed.
    pub p50_ms: Option<f64>,
    /// What 99 of a hundred do not exceed.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub longest_ms: Option<f64>,
}

/// How clients of a hostname, or of all, were served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The hostname; empty for all.
    pub hostname: String,
    /// Wishes that ended: wherever a report speaks of wishes, it counts these.
    pub wishes: u64,
    /// Wishes that were served whole.
    pub served: u64,
    /// Wishes that ended otherwise, by how they ended.
    pub failed: BTreeMap<String, u64>,
    /// Wishes that had not ended when the run did.
    pub open: u64,
    /// Share of the wishes that ended which were served.
    pub availability_percent: Option<f64>,
    /// What was added to the best possible time to the first byte, for those served.
    pub added: Times,
    /// The slot with the most failed wishes.
    pub worst: Option<Worst>,
    /// The same by slot of the time at which they were wished.
    pub by_slot: Columns,
}

impl Service {
    /// Wishes that ended and were not served.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// One slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// When it begins.
    pub at_s: u64,
    /// Wishes of that slot that ended.
    pub wishes: u64,
    /// Those that were not served.
    pub failed: u64,
}

/// By slot, one column each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Wishes that ended.
    pub wishes: Vec<u64>,
    /// Those that were not served.
    pub failed: Vec<u64>,
    /// What was added, half of them.
    pub added_p50_ms: Vec<Option<f64>>,
    /// What was added, 99 of a hundred.
    pub added_p99_ms: Vec<Option<f64>>,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfRegion {
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub provider: String,
    /// Where it is, in words.
    pub place: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Requests that it works on at once; none: as many as come.
    pub capacity: Option<u32>,
    /// Attempts that were under way there at most.
    pub in_flight_most: u32,
    /// The first slot in which that was.
    pub in_flight_most_at_s: u64,
    /// That against its capacity.
    pub load_percent: Option<f64>,
    /// Attempts there.
    pub attempts: u64,
    /// Wishes that it served.
    pub served: u64,
    /// Attempts that did not end well, by how: failed, answered with a failure that was passed on, cut off or given up.
    /// With those served and open they are all attempts.
    pub failures: BTreeMap<String, u64>,
    /// Attempts that had not ended when the run did.
    pub open: u64,
    /// Probes that passed.
    pub probes_passed: u64,
    /// Probes that failed.
    pub probes_failed: u64,
    /// What was added to the best possible time of the wishes it served.
    pub added: Times,
    /// Wishes that it served, by slot of the time at which they were wished.
    pub served_by_slot: Vec<u64>,
    /// Attempts under way at most, by slot.
    pub in_flight_by_slot: Vec<u32>,
}

/// Where clients are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfPlace {
    /// A city, or a country if there are many cities.
    pub name: String,
    /// Its country.
    pub country: Option<String>,
    /// How many clients are there.
    pub clients: u64,
    /// Wishes that ended.
    pub wishes: u64,
    /// Those that were not served.
    pub failed: u64,
    /// Share of those that were served.
    pub availability_percent: Option<f64>,
    /// What was added to the best possible time.
    pub added: Times,
    /// The slot with the most failed wishes.
    pub worst: Option<Worst>,
    /// Who served them, most first.
    pub served_by: Vec<ServedBy>,
}

/// A region's part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServedBy {
    /// Which region.
    pub region: String,
    /// Wishes that it served.
    pub wishes: u64,
}

/// A fault, and how it was met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfFault {
    /// Its number in the scenario, from 1.
    pub number: u64,
    /// What it is, in words.
    pub title: String,
    /// Which regions it hits; empty if it is about something else.
    pub regions: Vec<String>,
    /// When it began.
    pub from_s: f64,
    /// When it was over; none: not before the end.
    pub until_s: Option<f64>,
    /// Wishes of the slots in which it was on.
    pub wishes: u64,
    /// Wishes under way while it was on that were not served.
    pub failed: u64,
    /// Who noticed it, and when; none if nobody had to.
    pub detected: Option<Detected>,
    /// How traffic left; none if it hit no region.
    pub moved: Option<Moved>,
    /// How traffic came back; none if it hit no region, was not over, or was not left.
    pub returned: Option<Returned>,
}

/// Who noticed a fault: each node for each region counts by itself. Times since it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detected {
    /// How many could notice.
    pub could: u64,
    /// How many did.
    pub did: u64,
    /// The first.
    pub first_ms: Option<f64>,
    /// The one in the middle of those that did.
    pub median_ms: Option<f64>,
    /// The last of those that did.
    pub last_ms: Option<f64>,
}

/// How traffic left what was broken. Times since it broke.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Whether it had to.
    pub has_to: bool,
    /// Whether there was any: in the ten minutes before, or while it was broken.
    pub was_used: bool,
    /// Whether it did: nothing was sent there in the last ten seconds of the fault.
    pub has_left: bool,
    /// Attempts there of requests that had another region.
    pub attempts: u64,
    /// Attempts there of requests that had no other.
    pub attempts_without_choice: u64,
    /// The last attempt there of a request that had another region; none if there was no attempt.
    pub last_attempt_ms: Option<f64>,
    /// When the last attempt there had ended; none if none was under way.
    pub last_ended_ms: Option<f64>,
}

/// How traffic came back. Times since the end of the fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// The regions' share of all attempts in the ten minutes before the fault.
    pub share_before_percent: f64,
    /// The first attempt there.
    pub first_ms: Option<f64>,
    /// When the share over a minute was nine tenths of what it had been, to ten seconds.
    pub full_ms: Option<f64>,
}

/// How much regions have to do for what clients want.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amplification {
    /// Wishes that ended.
    pub wishes: u64,
    /// Requests: tries of clients' programs, whether they reached a node or not. All that ended, and the open ones.
    pub requests: u64,
    /// Those that had not ended when the run did.
    pub requests_open: u64,
    /// Requests that ended, wherever.
    pub requests_ended: BTreeMap<String, u64>,
    /// Those of them that were a client's further try.
    pub client_retries: u64,
    /// Attempts at regions.
    pub attempts: u64,
    /// Requests that needed more than one.
    pub failed_over: u64,
    /// Attempts for a request.
    pub attempts_per_request: Option<f64>,
    /// Requests for a wish, the open ones of both among them.
    pub requests_per_wish: Option<f64>,
    /// The most attempts for a request in ten seconds that had at least twenty requests.
    pub worst_10s: Option<f64>,
    /// When those ten seconds were over.
    pub worst_10s_until_s: Option<u64>,
}

/// Attempts that followed a failed one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// Where the one before was.
    pub from: String,
    /// Where they were.
    pub to: String,
    /// How many.
    pub attempts: u64,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfNode {
    /// The site it stands at.
    pub site: String,
    /// Requests that reached it.
    pub requests: u64,
    /// Snapshots it published.
    pub snapshots: u64,
    /// Operators' words it took over.
    pub obeyed: u64,
    /// Operators' words it refused.
    pub refused: u64,
    /// Times it was gone.
    pub stops: u64,
    /// When it was gone, and back: from, until.
    pub gone_s: Vec<(f64, f64)>,
    /// What it thought of each region, in the order of the regions.
    pub standings: Vec<Vec<Since>>,
}

/// What a node thinks of a region, from then on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Since {
    /// Since when.
    pub from_s: f64,
    /// What.
    pub standing: String,
}

/// Where requests were processed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfResidency {
    /// By hostname that has a fence, or was asked for, and country.
    pub processed: Vec<Processed>,
    /// Requests outside of a fence.
    pub outside: u64,
    /// The first of them.
    pub first_outside: Vec<Outside>,
}

/// Requests of a hostname that were processed in a country.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Processed {
    /// Which hostname.
    pub hostname: String,
    /// Its fence as written; none if it has none.
    pub fence: Option<String>,
    /// In which country; `?` where a region has none.
    pub country: String,
    /// How many.
    pub requests: u64,
    /// Whether that is outside of the fence.
    pub is_outside: bool,
}

/// A request outside of its hostname's fence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outside {
    /// When.
    pub at_s: f64,
    /// Of which hostname.
    pub hostname: String,
    /// Where.
    pub region: String,
    /// Where its client is.
    pub client: String,
}

/// What DNS said of a hostname.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OfName {
    /// Which.
    pub hostname: String,
    /// Answers to resolvers.
    pub answers: u64,
    /// Those that had no address.
    pub empty: u64,
    /// How long one might be believed, on average.
    pub ttl_mean_s: Option<f64>,
}

/// What the map shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// Where clients are: name, degrees north, degrees east.
    pub spots: Vec<(String, f64, f64)>,
    /// The whole run, step by step.
    pub steps: Vec<Picture>,
    /// Some moments of it.
    pub moments: Vec<Picture>,
}

/// Who was served from where in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Since when.
    pub from_s: u64,
    /// Until when.
    pub until_s: u64,
    /// What it shows, if it was chosen.
    pub title: String,
    /// The spot, the region (one past the last: nobody), and how many wishes.
    pub flows: Vec<(usize, usize, u32)>,
}

impl Report {
    /// What is not as demanded, a sentence each: which demand, where and when. Empty: the gate is open.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let broken = self.demands.iter().filter(|demand| !demand.holds);
        broken
            .map(|Demand { name, wanted, found, worst, .. }| {
                let worst = if worst.is_empty() { String::new() } else { format!("; {worst}") };
                format!("{name}: {found}, demanded is {wanted}{worst}")
            })
            .collect()
    }

    /// As JSON, with its keys in their order.
    ///
    /// # Errors
    /// Never: nothing in a report has no form in JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}
