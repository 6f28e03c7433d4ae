//! `SCENARIO.toml` as written: its tables, their keys, what each means and what it is when absent.
//!
//! The documentation of a key here is what editors show (`anyfront simulate --schema`).

use super::kind::Kind;
use super::words::{ByWord, HabitWord, Named, Real, Seed, Signed, Time};
use super::{Day, Direction, Program};
use crate::geo::place::Country;
use crate::names::Label;
use crate::topology::dates::When;
use crate::topology::read::{At, Degrees, May, Must, Whole, Written, table};
use crate::topology::words::UrlPath;
use http::Method;
use serde_json::{Value as Json, json};
use std::net::IpAddr;

/// A weight: what is chosen so often among others.
pub type Weight = Whole<0, 1_000_000>;
/// A share of something.
pub type Share = Real<0, 1>;

table! {
    /// A simulated time of a fleet: who asks, what happens, and what must hold. An empty file is a quiet hour.
    File "the scenario" {
        /// What it is called, in reports. Absent: the name of the file.
        name: May<String>,
        /// What time it is when it begins (RFC 3339): the sun decides when clients ask. A Monday morning.
        starts: May<When> = "2026-11-30T09:00:00Z",
        /// How long it lasts.
        lasts: May<Time> = "1h",
        /// What all chance in it comes from: the same number is the same run. `--seed` overrules it.
        seed: May<Seed> = 1,
        /// What the ways between places are like when nothing is wrong with them.
        ways: May<Ways>,
        /// Sites beside those of the configuration, with a node at each.
        site: May<Vec<At<Site>>>,
        /// Who asks.
        clients: May<Clients>,
        /// What they ask: `[[work]]`. Absent: completions that flow, embeddings, lists of models, calls of MCP servers.
        work: May<Vec<At<Work>>>,
        /// What all regions are like when nothing is wrong with them.
        usual: May<Region>,
        /// And what some are like: `[region.NAME]`, where they differ from `[usual]`.
        region: May<Named<Region>>,
        /// What happens: `[[fault]]`. Absent: nothing.
        fault: May<Vec<At<Fault>>>,
        /// What must hold, so that the exit status can be a gate.
        demand: May<Demand>,
    }
}

table! {
    /// Ways on which nothing is wrong.
    Ways "[ways]" {
        /// Share of packets that are lost, each way. One in two thousand, as long ways are on a good day.
        loss: May<Share> = 0.0005,
        /// Round trips are longer by up to this share.
        jitter: May<Share> = 0.1,
        /// How long anycast still brings clients to a site whose node is gone.
        withdrawal: May<Time> = "10s",
        /// How long an operator's word (a configuration, a drain) needs to a node.
        channel: May<Time> = "1s",
    }
}

table! {
    /// A site that only the scenario knows.
    Site "a scenario's [[site]]" {
        /// What it is called.
        name: Must<Label>,
        /// In which city. Where no latitude and longitude are written, it is looked up.
        city: May<String>,
        /// In which country (ISO 3166-1, two capital letters).
        country: May<Country>,
        /// Degrees north.
        latitude: May<Degrees<90>>,
        /// Degrees east.
        longitude: May<Degrees<180>>,
        /// Addresses of its own. Empty: it shares those of the first site, by anycast.
        addresses: May<Vec<At<IpAddr>>> = [],
    }
}

table! {
    /// Who asks.
    Clients "[clients]" {
        /// How many clients.
        count: May<Whole<1, 1_000_000>> = 1000,
        /// Requests of one client in a minute, on average over its day.
        per_minute: May<Real<0, 6000>> = 1.0,
        /// How many real clients each of them stands for: capacities are divided by it.
        stands_for: May<Whole<1, 1_000_000>> = 1,
        /// When in its day a client asks, by the sun where it is: `flat`, `office` (nine to six) or `evening`.
        day: May<Day> = "flat",
        /// Where they are: cities ("Mumbai" or, if there are several, "London, GB") with weights. With neither this nor
        /// `countries`: the world's cities by population.
        places: May<Named<Weight>>,
        /// Where they are: countries with weights, each spread over its cities by population.
        countries: May<Named<Weight>>,
        /// What they ask: hostnames with weights. Absent: the written hostnames alike.
        hostnames: May<Named<Weight>>,
        /// With which programs, with weights: `openai` (the official SDKs: two more tries with back-off), `mcp`, `browser`,
        /// `curl` (asks once), `hammer` (up to five times at once, heeding nothing).
        programs: May<ByWord<Program, Weight>> = { "openai": 60, "mcp": 15, "browser": 10, "curl": 10, "hammer": 5 },
        /// What their resolvers make of a TTL.
        resolvers: May<Vec<At<Resolver>>>,
    }
}

table! {
    /// A kind of resolvers.
    Resolver "resolvers" {
        /// `keeps` an answer as long as it may; `shortens` to `to` at most; `stretches` to `to` at least; its clients `never`
        /// ask again; `serves_stale` answers for `to` more if nobody answers (RFC 8767).
        habit: Must<HabitWord>,
        /// To or for how long.
        to: May<Time>,
        /// How many are like this, among the others.
        weight: May<Weight> = 1,
    }
}

table! {
    /// A kind of request.
    Work "[[work]]" {
        /// What it is called, in reports.
        name: Must<String>,
        /// Its method.
        method: May<Method> = "POST",
        /// Its path: the configuration's classes say by it what may be repeated.
        path: Must<UrlPath>,
        /// How long a region works on it until its answer begins, on average.
        takes: May<Time> = "200ms",
        /// How long the answer flows, on average. `0s`: it comes at once.
        flows: May<Time> = "0s",
        /// How long its client waits for the first byte. Absent: as long as its program does.
        patience: May<Time>,
        /// How often it is asked, among the others.
        weight: May<Weight> = 1,
    }
}

table! {
    /// A region on which nothing is wrong.
    Region "a scenario's region" {
        /// Requests that it works on at once. 0: its capacity by the configuration, or as many as come.
        slots: May<Whole<0, 1_000_000>> = 0,
        /// Requests that wait when it is full, in times of its slots; more are turned away.
        queue: May<Real<0, 1000>> = 1.0,
        /// How many times as long it works as the request says.
        slowness: May<Real<0, 1000>> = 1.0,
        /// Whether it says that nothing was done when it turns a request away. Otherwise it is a plain 503.
        says_unserved: May<bool> = false,
    }
}

table! {
    /// Something that happens.
    Fault "[[fault]]" {
        /// When it begins, since the begin of the scenario.
        at: May<Time> = "0s",
        /// How long it lasts. Absent: to the end.
        lasts: May<Time>,
        /// What happens.
        kind: Must<Kind>,
        /// To which region.
        region: May<Label>,
        /// To which regions, as one event.
        regions: May<Vec<At<Label>>>,
        /// To the regions of which provider, as one event.
        provider: May<Label>,
        /// To all of them.
        all: May<bool>,
        /// At which site.
        site: May<Label>,
        /// At which sites.
        sites: May<Vec<At<Label>>>,
        /// Of a drain: which endpoint, as REGION/NAME.
        endpoint: May<String>,
        /// Of a drain: whether from its own hostname too.
        hard: May<bool> = false,
        /// How many times as long (`slow`, `slow_prober`) or as much (`traffic`).
        times: May<Real<0, 1000>>,
        /// Which share of requests (`errors`), slots (`shrink`), packets (`loss`) or clients (`geo_shift`).
        share: May<Share>,
        /// With which status (`errors`).
        status: May<Whole<200, 599>> = 503,
        /// How long it is there (`flap`, `crash_loop`).
        up: May<Time> = "10s",
        /// How long it is gone (`flap`, `crash_loop`).
        down: May<Time> = "10s",
        /// Which way packets are lost: `there` (toward the region), `back` or `both`.
        direction: May<Direction> = "both",
        /// How long from one to the next (`swizzle`).
        every: May<Time> = "10s",
        /// How much later at most (`channel_late`).
        by: May<Time>,
        /// How far off the wall clock is (`clock_step`), seconds.
        seconds: May<Signed<1_000_000_000>>,
        /// How fast clocks run (`clock_drift`), millionths; negative: slow.
        millionths: May<Signed<500_000>>,
        /// The configuration that is rolled out: a file, relative to this one. It has no region that the one that is played
        /// against has not.
        file: May<String>,
        /// The same, written out.
        config: May<String>,
    }
}

table! {
    /// What must hold. A key that is absent demands nothing, but for the two that say otherwise.
    Demand "[demand]" {
        /// Least share of wishes that were served, percent. A wish is what a client's program wants, all its tries together.
        availability_percent: May<Real<0, 100>>,
        /// Longest 99th percentile of what was added to the best possible time.
        added_p99: May<Time>,
        /// Most attempts for a request, on average over the worst 10 seconds.
        amplification: May<Real<1, 100>>,
        /// Longest time from the begin of a fault to the last attempt at what it hits, of the faults that have to be left:
        /// regions that refuse, are black-holed, stand still, turn all away, lie to probes, fail all probes, are cut off or
        /// drained, and those that fail half of the requests (`errors`) or lose half of the packets (`loss`) or more. Not
        /// where nobody else could serve.
        move_time: May<Time>,
        /// Most load of a region, percent of its capacity.
        load_percent: May<Real<0, 100_000>>,
        /// Whether no request may be processed outside of its hostname's residency.
        residency: May<bool> = true,
        /// Whether the invariants must hold.
        invariants: May<bool> = true,
    }
}

impl Fault {
    /// The keys that are written beside `at`, `lasts` and `kind`, and where their values are.
    pub(super) fn written(&self) -> Vec<(&'static str, std::ops::Range<usize>)> {
        fn key<T>(name: &'static str, written: &May<T>) -> Option<(&'static str, std::ops::Range<usize>)> {
            written.as_ref().map(|written| (name, written.span.clone()))
        }
        let keys = [
            key("region", &self.region),
            key("regions", &self.regions),
            key("provider", &self.provider),
            key("all", &self.all),
            key("site", &self.site),
            key("sites", &self.sites),
            key("endpoint", &self.endpoint),
            key("hard", &self.hard),
            key("times", &self.times),
            key("share", &self.share),
            key("status", &self.status),
            key("up", &self.up),
            key("down", &self.down),
            key("direction", &self.direction),
            key("every", &self.every),
            key("by", &self.by),
            key("seconds", &self.seconds),
            key("millionths", &self.millionths),
            key("file", &self.file),
            key("config", &self.config),
        ];
        keys.into_iter().flatten().collect()
    }
}

/// The JSON schema of the file (draft 2020-12), with which editors complete and explain it.
#[must_use]
pub fn schema() -> Json {
    let mut schema = File::schema();
    let kinds = Kind::ALL.iter().map(|kind| json!({ "const": kind.as_str(), "description": kind.about() }));
    schema["properties"]["fault"]["items"]["properties"]["kind"] =
        json!({ "description": "What happens.", "oneOf": kinds.collect::<Vec<_>>() });
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("anyfront scenario");
    schema
}
