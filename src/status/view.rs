//! What a node shows of itself, as plain values: written as JSON by the node, read back by the command line.
//!
//! Everything is a name or an age; nothing here is an index or a clock of one process.

use super::dns::ZoneView;
use super::history::HistoryView;
use super::sites::SiteView;
use super::totals::Totals;
use crate::counters::Counters;
use crate::counters::record::Record;
use crate::health::opinion::Shown;
use crate::load::Load;
use crate::moment::{Moment, rfc3339};
use crate::snapshot::{CertificateInForce, CertificateReport, Drained, EndpointState, Override, Snapshot};
use crate::topology::{EndpointIndex, Region, RegionIndex, Route, Steering};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A node: `GET /regions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Which site it is.
    pub site: String,
    /// Of which fleet.
    pub fleet: String,
    /// Of this program.
    pub version: String,
    /// Of the snapshot shown.
    pub generation: u64,
    /// SHA-256 of the file in force.
    pub digest: String,
    /// Whether the node suspects its own network.
    pub suspect: bool,
    /// What is wrong with the newest version of the file, if it was refused.
    pub problem: Option<ProblemView>,
    /// What TLS clients are shown.
    #[serde(default)]
    pub certificates: CertificatesView,
    /// The node's wall clock, seconds since the Unix epoch.
    #[serde(default)]
    pub wall_s: f64,
    /// Since the node started, seconds.
    pub uptime_s: f64,
    /// What was counted since then.
    pub counters: Totals,
    /// The sites, as written.
    #[serde(default)]
    pub sites: Vec<SiteView>,
    /// The regions, as written.
    pub regions: Vec<RegionView>,
    /// The written hostnames, then the regional ones.
    pub hostnames: Vec<HostnameView>,
    /// The drains in force.
    pub drains: Vec<DrainView>,
    /// The history.
    #[serde(default)]
    pub history: HistoryView,
    /// The zone that is answered by DNS; nothing without one.
    #[serde(default)]
    pub zone: Option<ZoneView>,
    /// What became of messages to those who asked to be told.
    #[serde(default)]
    pub deliveries: Vec<super::subscribers::DeliveriesView>,
}

/// The certificates of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CertificatesView {
    /// Those in force.
    pub in_force: Vec<CertificateView>,
    /// Files that cannot be used, and why: what was good of them stays in force.
    pub problems: Vec<String>,
    /// What could be better though it is used.
    pub remarks: Vec<String>,
}

/// A certificate in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CertificateView {
    /// Where it was read.
    pub file: String,
    /// What for.
    pub names: Vec<String>,
    /// When it ends (RFC 3339).
    pub not_after: String,
    /// How long it is still good, seconds; less than nothing: it has expired.
    pub left_s: f64,
}

/// A version of the file that was refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProblemView {
    /// How long ago, seconds.
    pub since_s: f64,
    /// Every mistake, drawn.
    pub text: String,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionView {
    /// Its code.
    pub name: String,
    /// Who runs it.
    pub provider: String,
    /// Where it is, for people.
    pub city: Option<String>,
    /// In which country.
    pub country: Option<String>,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// `up`, `strained`, `unknown`, `ejected`, `down`.
    pub standing: String,
    /// Why, as metrics say it.
    pub reason: String,
    /// Why, for people.
    pub reason_text: String,
    /// For how long, seconds.
    pub since_s: f64,
    /// How much of its share it gets.
    pub share_percent: u8,
    /// How long a probe takes, if one came back.
    pub round_trip_ms: Option<f64>,
    /// `soft`, `hard` or nothing.
    pub drained: Option<String>,
    /// Requests there now.
    pub in_flight: u32,
    /// Attempts answered.
    pub requests: u64,
    /// Attempts failed.
    pub failures: u64,
    /// Concurrent requests it may be given at most.
    pub capacity: Option<u32>,
    /// What answers there.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint of a region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointView {
    /// `REGION/WHAT`.
    pub name: String,
    /// As of a region.
    pub standing: String,
    /// Why, as metrics say it.
    pub reason: String,
    /// Why, for people.
    pub reason_text: String,
    /// For how long, seconds.
    pub since_s: f64,
    /// How much of its share it gets.
    pub share_percent: u8,
    /// How long a probe takes, if one came back.
    pub round_trip_ms: Option<f64>,
    /// `soft`, `hard` or nothing.
    pub drained: Option<String>,
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// Requests there now.
    pub in_flight: u32,
    /// Attempts answered.
    pub requests: u64,
    /// Attempts failed.
    pub failures: u64,
    /// Connections to it, WebSockets apart: open now.
    #[serde(default)]
    pub connections_open: u32,
    /// Those of them that nothing is under way on, as of some seconds ago.
    #[serde(default)]
    pub connections_idle: u32,
    /// Those opened since the node started.
    #[serde(default)]
    pub connections_opened: u64,
    /// What each of its probes says.
    #[serde(default)]
    pub probes: Vec<ProbeView>,
}

/// What a probe says of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeView {
    /// `http`, `tcp`, `token`, `mcp` or `grpc`.
    pub kind: String,
    /// `up`, `unknown` or `down`.
    pub standing: String,
    /// How many have passed since the node started, of all probes of this kind.
    #[serde(default)]
    pub passed: u64,
    /// How many have failed.
    #[serde(default)]
    pub failed: u64,
    /// How it failed last, until that is forgiven.
    pub fault: Option<String>,
    /// From its request to the first event, if it opens streams.
    pub first_event_ms: Option<f64>,
    /// The same, smoothed.
    pub first_event_smoothed_ms: Option<f64>,
    /// The largest time between two events of the last stream.
    pub gap_ms: Option<f64>,
    /// The same, smoothed.
    pub gap_smoothed_ms: Option<f64>,
}

/// A hostname and who serves it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostnameView {
    /// The name.
    pub name: String,
    /// Whether it is a region's own.
    pub regional: bool,
    /// What comes first among equals.
    pub steering: String,
    /// Primaries, then each fallback.
    pub levels: Vec<Vec<String>>,
    /// Where its requests may be processed, as written; empty: anywhere.
    pub residency: Vec<String>,
    /// `try-nearest` or `refuse`.
    pub all_down: String,
}

/// A drain in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrainView {
    /// `region:NAME`, `provider:NAME` or `endpoint:REGION/NAME`.
    pub target: String,
    /// Whether from its own hostname too.
    pub hard: bool,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub who: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Until when (RFC 3339); nothing: until it is lifted.
    pub until: Option<String>,
    /// How long it still lasts, seconds.
    pub left_s: Option<f64>,
}

/// A request that was steered: an element of `GET /decisions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// What it is called in `x-anyfront-decision`; `anyfront explain ID` replays it.
    #[serde(default)]
    pub decision: String,
    /// How long ago its answer's head was ready, or it ended without one, milliseconds.
    pub age_ms: f64,
    /// For which hostname.
    pub hostname: String,
    /// The client's prefix: never its whole address.
    pub client: String,
    /// Where the client was taken to be.
    pub place: String,
    /// What was asked.
    pub method: String,
    /// Who answered, if anybody did.
    pub region: Option<String>,
    /// What the request had to do with it: `bound` (a session or pin that allows no other), `prefers`, `avoids`, or
    /// `spread` (by the value of a header or credential).
    pub wish: Option<String>,
    /// With which status; 0: with none.
    pub status: u16,
    /// How it ended: `complete`, `cut`, `client_gone`, `unserved` and so on, or `under_way`.
    #[serde(default)]
    pub outcome: String,
    /// How many attempts it took.
    pub attempts: u32,
    /// Regions that failed before.
    pub tried: Vec<String>,
    /// From the request's head to the answer's, milliseconds.
    pub elapsed_ms: f64,
    /// Its id.
    pub request_id: String,
    /// The private link that it came by, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_link: Option<String>,
    /// Of which generation the last decision was.
    pub generation: u64,
}

impl Overview {
    /// The node that believes `snapshot`, `now` (by the wall clock: `wall`), started at `started`.
    #[must_use]
    pub fn of(snapshot: &Snapshot, counters: &Counters, now: Moment, wall: Duration, started: Moment) -> Self {
        let topology = &snapshot.topology;
        Self {
            site: snapshot.here.name.to_string(),
            fleet: topology.fleet.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: snapshot.generation,
            digest: topology.digest.to_string(),
            deliveries: Vec::new(),
            suspect: snapshot.is_suspect,
            problem: snapshot
                .problem
                .as_ref()
                .map(|problem| ProblemView { since_s: seconds(now.since(problem.since)), text: problem.text.clone() }),
            certificates: CertificatesView::of(&snapshot.certificates, wall),
            wall_s: seconds(wall),
            uptime_s: seconds(now.since(started)),
            counters: Totals::of(counters),
            sites: SiteView::all(snapshot, now),
            regions: (0..topology.regions.len()).map(|at| RegionView::of(snapshot, RegionIndex::of(at), now)).collect(),
            hostnames: topology.routes.iter().map(|route| HostnameView::of(snapshot, route)).collect(),
            drains: snapshot.overrides.iter().map(|drain| DrainView::of(drain, wall)).collect(),
            history: HistoryView::default(),
            zone: None,
        }
    }
}

impl CertificatesView {
    fn of(report: &CertificateReport, wall: Duration) -> Self {
        let view = |certificate: &CertificateInForce| CertificateView {
            file: certificate.file.clone(),
            names: certificate.names.clone(),
            not_after: rfc3339(certificate.not_after),
            left_s: seconds(certificate.not_after) - seconds(wall),
        };
        Self {
            in_force: report.in_force.iter().map(view).collect(),
            problems: report.problems.clone(),
            remarks: report.remarks.clone(),
        }
    }
}

impl RegionView {
    fn of(snapshot: &Snapshot, index: RegionIndex, now: Moment) -> Self {
        let topology = &snapshot.topology;
        let (region, state): (&Region, _) = (topology.region(index), snapshot.region(index));
        let endpoints: Vec<EndpointView> =
            region.endpoints.iter().map(|endpoint| EndpointView::of(snapshot, *endpoint, now)).collect();
        Self {
            name: region.name.to_string(),
            provider: topology.provider(index).to_string(),
            city: region.place.city.as_ref().map(ToString::to_string),
            country: region.place.country.map(|country| country.to_string()),
            latitude: region.place.at.latitude(),
            longitude: region.place.at.longitude(),
            standing: state.standing.as_str().to_owned(),
            reason: state.reason.as_str().to_owned(),
            reason_text: state.reason.to_string(),
            since_s: seconds(now.since(state.since)),
            share_percent: state.share_percent,
            round_trip_ms: state.round_trip.map(milliseconds),
            drained: drained(state.drained),
            in_flight: endpoints.iter().map(|endpoint| endpoint.in_flight).sum(),
            requests: endpoints.iter().map(|endpoint| endpoint.requests).sum(),
            failures: endpoints.iter().map(|endpoint| endpoint.failures).sum(),
            capacity: region.capacity,
            endpoints,
        }
    }
}

impl EndpointView {
    fn of(snapshot: &Snapshot, index: EndpointIndex, now: Moment) -> Self {
        let state: &EndpointState = snapshot.endpoint(index);
        Self {
            name: snapshot.topology.endpoint(index).name.to_string(),
            standing: state.standing.as_str().to_owned(),
            reason: state.reason.as_str().to_owned(),
            reason_text: state.reason.to_string(),
            since_s: seconds(now.since(state.since)),
            share_percent: state.share_percent,
            round_trip_ms: state.round_trip.map(milliseconds),
            drained: drained(state.drained),
            addresses: state.addresses.iter().map(ToString::to_string).collect(),
            in_flight: state.load.in_flight(),
            requests: state.load.requests(),
            failures: state.load.failures(),
            connections_open: state.load.open(),
            connections_idle: state.load.idle(),
            connections_opened: state.load.connects(),
            probes: state.probes.iter().map(|said| ProbeView::of(said, &state.load)).collect(),
        }
    }
}

impl ProbeView {
    fn of(said: &Shown, load: &Load) -> Self {
        let counts = load.probes().find(|(kind, _)| *kind == said.kind).map(|(_, counts)| counts);
        let [failed, passed] = counts.unwrap_or_default();
        let (first, gap) = (said.first_event, said.gap);
        Self {
            kind: said.kind.to_owned(),
            standing: said.standing.as_str().to_owned(),
            passed,
            failed,
            fault: said.fault.map(|fault| fault.to_string()),
            first_event_ms: first.map(|first| milliseconds(first.last)),
            first_event_smoothed_ms: first.map(|first| milliseconds(first.smoothed)),
            gap_ms: gap.map(|gap| milliseconds(gap.last)),
            gap_smoothed_ms: gap.map(|gap| milliseconds(gap.smoothed)),
        }
    }
}

impl HostnameView {
    /// A route of `snapshot`.
    #[must_use]
    pub fn of(snapshot: &Snapshot, route: &Route) -> Self {
        use crate::topology::AllDown;
        let mut levels: Vec<Vec<String>> = Vec::new();
        for member in &route.members {
            let level = usize::from(member.level);
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            levels[level].push(snapshot.topology.region(member.region).name.to_string());
        }
        Self {
            name: route.hostname.to_string(),
            regional: route.is_regional,
            steering: steering_word(route.steering).to_owned(),
            levels,
            residency: route
                .residency
                .iter()
                .flat_map(|residency| &residency.written)
                .map(ToString::to_string)
                .collect(),
            all_down: match route.all_down {
                AllDown::TryNearest => "try-nearest",
                AllDown::Refuse => "refuse",
            }
            .to_owned(),
        }
    }
}

impl DrainView {
    /// A drain, by the wall clock.
    #[must_use]
    pub fn of(drain: &Override, wall: Duration) -> Self {
        Self {
            target: drain.target.to_string(),
            hard: drain.is_hard,
            reason: drain.reason.to_string(),
            who: drain.who.to_string(),
            since: rfc3339(drain.since),
            until: drain.until.map(rfc3339),
            left_s: drain.until.map(|until| seconds(until.saturating_sub(wall))),
        }
    }
}

impl DecisionView {
    /// A request, `now`.
    #[must_use]
    pub fn of(record: &Record, now: Moment) -> Self {
        let elapsed = record.elapsed.unwrap_or(record.lasted);
        Self {
            decision: record.id.to_string(),
            age_ms: milliseconds(now.since(record.headed())),
            hostname: record.hostname.as_ref().map(ToString::to_string).unwrap_or_default(),
            client: record.prefix.to_string(),
            place: record.client.as_ref().map(|client| client.place.to_string()).unwrap_or_default(),
            method: record.method.to_string(),
            region: record.region.as_ref().map(ToString::to_string),
            wish: record.wish.map(ToOwned::to_owned),
            status: record.status,
            outcome: record.outcome.as_str().to_owned(),
            attempts: record.attempts,
            tried: record.failed.iter().map(|failed| failed.region.to_string()).collect(),
            elapsed_ms: milliseconds(elapsed),
            request_id: String::from_utf8_lossy(record.request_id.as_bytes()).into_owned(),
            private_link: record.link.as_ref().map(ToString::to_string),
            generation: record.decided.generation,
        }
    }
}

fn drained(drained: Option<Drained>) -> Option<String> {
    drained.map(|how| if how == Drained::Hard { "hard" } else { "soft" }.to_owned())
}

/// Seconds with three decimals: more would be noise to read.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// Milliseconds with two decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

/// How the file writes a way of steering.
#[must_use]
pub fn steering_word(steering: Steering) -> &'static str {
    match steering {
        Steering::Nearest => "nearest",
        Steering::Latency => "latency",
        Steering::Priority => "priority",
        Steering::Weighted => "weighted",
    }
}
