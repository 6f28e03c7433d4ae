//! What a simulation is about, as proven: a world, who asks, what happens, and what must hold.
//!
//! Names stay names here, because one scenario is played against several configurations; `World`
//! looks them up. Times are since the begin of the simulation unless they say otherwise. A person writes one as
//! `SCENARIO.toml` ([`file`], [`check`](check::check)), and any of them is written as one ([`Scenario::to_toml`]).

pub mod file;
pub mod fit;
pub mod check;
pub mod kind;
pub mod write;
mod usual;
mod words;

use crate::geo::place::Place;
use crate::names::{Hostname, Label};
use crate::snapshot::Target;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What time it is when it begins: wall clock, since the Unix epoch.
    pub starts: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What its chance comes from, unless another seed is asked for.
    pub seed: u64,
    /// Sites beside those of the configuration. A node stands at each.
    pub sites: Vec<NewSite>,
    /// What the ways between places are like when nothing is wrong with them.
    pub ways: Ways,
    /// What the regions are like when nothing is wrong with them; a region that is not here is like `usual`.
    pub regions: Vec<(Label, RegionTruth)>,
    /// What all other regions are like.
    pub usual: RegionTruth,
    /// Who asks.
    pub crowd: Crowd,
    /// What happens, in the order of its begin.
    pub faults: Vec<Fault>,
    /// What must hold in the end, for a gate.
    pub demands: Demands,
}

/// A site that only the scenario knows.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSite {
    /// Its name.
    pub name: Label,
    /// Where.
    pub place: Place,
    /// Addresses of its own; none: it shares those of the first site, by anycast.
    pub addresses: Vec<IpAddr>,
}

/// Ways on which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ways {
    /// Share of packets that are lost, each way.
    pub loss: f64,
    /// Round trips are longer by up to this share, packet by packet.
    pub jitter: f64,
    /// How long it takes until anycast brings nobody any more to a site whose node is gone.
    pub withdrawal: Duration,
    /// How long an operator's word needs to a node: config and drains.
    pub channel: Duration,
}

/// A region on which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionTruth {
    /// Requests that it works on at once; `None`: what all nodes may give it by the configuration, or as many as come.
    pub slots: Option<u32>,
    /// Requests that wait when it is full, in times of `slots`; more are turned away.
    pub queue: f64,
    /// How much longer it works than the request says.
    pub slowness: f64,
    /// Whether it says `edge-unserved` when it turns a request away (503 without it otherwise).
    pub says_unserved: bool,
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq)]
pub struct Crowd {
    /// How many clients.
    pub clients: u32,
    /// Requests of one client in a minute, on average over its day.
    pub per_minute: f64,
    /// How many real clients each of them stands for: capacities are divided by it.
    pub stands_for: u32,
    /// When in its day a client asks.
    pub day: Day,
    /// Where they are: cities with their weights. Empty: the world's cities by population.
    pub places: Vec<(usize, u32)>,
    /// What they ask, by weight. Empty: the written hostnames alike.
    pub hostnames: Vec<(Hostname, u32)>,
    /// With which programs, by weight; at least one.
    pub programs: Vec<(Program, u32)>,
    /// Which requests, by weight; at least one.
    pub work: Vec<(Work, u32)>,
    /// What their resolvers make of a TTL, by weight; at least one.
    pub resolvers: Vec<(Habit, u32)>,
}

/// When in its day a client asks, by the sun where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// Always alike.
    Flat,
    /// Mostly at work: from nine to six.
    Office,
    /// Mostly in the evening.
    Evening,
}

/// A client's program, with the habits of the real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The official OpenAI SDKs: two more tries after 408, 409, 429, 5xx or a lost connection, back-off from 0.5 s
    /// doubling to 8 s less up to a quarter, `retry-after(-ms)` up to a minute and `x-should-retry` are heeded, and they
    /// say `x-stainless-retry-count`.
    OpenAi,
    /// An MCP client: the same connection for its session, one more try after a lost connection.
    Mcp,
    /// A browser: repeats a GET once if its kept connection was lost.
    Browser,
    /// curl: asks once.
    Curl,
    /// Somebody's loop: asks up to five times at once, and heeds nothing.
    Hammer,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// What it is called.
    pub name: Arc<str>,
    /// Its method.
    pub method: http::Method,
    /// Its path: it decides the class, and so what is safe to repeat.
    pub path: Arc<str>,
    /// How long a region works on it until its answer begins, on average.
    pub takes: Duration,
    /// How long the answer flows, on average; zero: it comes at once.
    pub flows: Duration,
    /// How long its client waits for the first byte, if it says so.
    pub patience: Option<Duration>,
}

/// What a resolver makes of a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It keeps an answer as long as it may.
    Keeps,
    /// It keeps nothing for longer than this.
    Shortens(Duration),
    /// It keeps everything for at least this.
    Stretches(Duration),
    /// Its clients resolve once and never again.
    Never,
    /// It keeps an answer as long as it may, and for this long more if nobody answers (RFC 8767).
    ServesStale(Duration),
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts; `None`: to the end.
    pub lasts: Option<Duration>,
    /// What it is.
    pub what: What,
}

/// Which regions. A provider's, or all, are hit as one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// These.
    Regions(Vec<Label>),
    /// Those of a provider.
    Provider(Label),
    /// All.
    All,
}

/// Which way a packet goes, between a site and a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Toward the region.
    There,
    /// From the region.
    Back,
    /// Both.
    Both,
}

/// Which sites' nodes; empty: all of them.
pub type Sites = Vec<Label>;

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Regions: nobody listens; what is open is reset.
    Refuse(Whom),
    /// Regions: not a packet comes back; what is open hangs.
    BlackHole(Whom),
    /// Regions: they stand still. Connections open, and nothing is answered until it is over.
    Pause(Whom),
    /// Regions: everything takes so many times as long.
    Slow(Whom, f64),
    /// Regions: this share of requests, and of probes, is answered with this status.
    Errors(Whom, f64, u16),
    /// Regions: requests are turned away with the word that nothing was done.
    Unserved(Whom),
    /// Regions: requests fail with 500 and all probes pass.
    ProbesLie(Whom),
    /// Regions: all probes fail and requests are served.
    ProbesFail(Whom),
    /// Regions: this share of their slots is left.
    Shrink(Whom, f64),
    /// Regions: refuse for `down`, work for `up`, and again.
    Flap {
        /// Which.
        whom: Whom,
        /// How long they work.
        up: Duration,
        /// How long they refuse.
        down: Duration,
    },
    /// Ways: this share of packets is lost.
    Loss {
        /// Between these sites
        sites: Sites,
        /// and these regions,
        whom: Whom,
        /// that way;
        direction: Direction,
        /// so many.
        share: f64,
    },
    /// Ways: nothing comes through.
    Cut {
        /// Between these sites
        sites: Sites,
        /// and these regions,
        whom: Whom,
        /// that way.
        direction: Direction,
    },
    /// Ways: one after the other is cut, in a random order, and mended in another.
    Swizzle {
        /// Of these sites.
        sites: Sites,
        /// How long from one to the next.
        every: Duration,
    },
    /// Nodes: the process is gone; it starts again when it is over.
    Crash(Sites),
    /// Nodes: gone for `down`, there for `up`, and again.
    CrashLoop {
        /// Which.
        sites: Sites,
        /// How long they are there.
        up: Duration,
        /// How long they are gone.
        down: Duration,
    },
    /// Nodes: they stand still, and do everything late.
    Freeze(Sites),
    /// Nodes: nobody reaches the site, and it reaches nobody.
    Isolate(Sites),
    /// Nodes: their probes take so many times as long.
    SlowProber(Sites, f64),
    /// Nodes: all of their probes fail, whatever is asked.
    BlindProber(Sites),
    /// Nodes: the wall clock is off by so many seconds.
    ClockStep(Sites, i64),
    /// Nodes: clocks run fast by so many millionths.
    ClockDrift(Sites, i32),
    /// Nodes: what they keep on disk is gone when they start next.
    DiskLost(Sites),
    /// Operators: a drain, lifted when it is over.
    Drain {
        /// Of what.
        target: Target,
        /// Whether from its own hostname too.
        is_hard: bool,
    },
    /// Operators: this configuration is rolled out to all nodes; nothing is rolled back when it is over.
    Rollout(Arc<str>),
    /// Operators: a configuration with a mistake is rolled out to all nodes.
    BadRollout,
    /// Operators: their words reach these nodes up to so much later, and may overtake each other.
    ChannelLate(Sites, Duration),
    /// Operators: their words reach these nodes only when it is over.
    ChannelGone(Sites),
    /// Operators: their words reach these nodes twice.
    ChannelTwice(Sites),
    /// Clients: this share of them is taken to be somewhere else.
    GeoShift(f64),
    /// Clients: so many times as many requests.
    Traffic(f64),
    /// Clients: all that is asked while it lasts is asked at its end, at once.
    Herd,
}

/// What must hold in the end. `None`: it does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demands {
    /// Least share of wishes that were served, percent.
    pub availability_percent: Option<f64>,
    /// Longest 99th percentile of what was added to the best possible time.
    pub added_p99: Option<Duration>,
    /// Most attempts for a request.
    pub amplification: Option<f64>,
    /// Longest time until traffic left what was broken.
    pub move_time: Option<Duration>,
    /// Most load of a region, percent of its capacity.
    pub load_percent: Option<f64>,
    /// Requests that were processed outside of their hostname's fence: none, if it matters.
    pub residency: bool,
    /// Whether the invariants must hold.
    pub invariants: bool,
}
