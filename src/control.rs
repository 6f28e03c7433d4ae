//! THE ONE WRITER: events in, snapshots out.
//!
//! Probes, live traffic, the resolver, operators and the file are senders of [`Event`]; [`Control`] is the only thing
//! that changes what the node believes. It is a machine; [`run`] is its shell.

pub mod change;
mod rates;

use crate::geo::database::Locator;
use crate::health::endpoint::EndpointHealth;
use crate::health::opinion::{Flowed, Opinion};
use crate::health::sites::Sites;
use crate::health::suspicion::{self, SUSPICION_LINGERS, Witness};
use crate::health::verdict::Needed;
use crate::health::{Fault, Reason};
use crate::limits::EVENT_BATCH_MAX;
use crate::load::Load;
use crate::moment::{Clock, Moment};
use crate::names::Label;
use crate::shutdown::requested;
use crate::snapshot::{
    CertificateReport, Drained, EndpointId, EndpointState, Override, Problem, Published, RegionState, Snapshot,
};
use crate::topology::{EndpointIndex, Region, RegionIndex, Site, Topology};
use change::Change;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How often time alone may change something: ramps, ejections, drains that end.
pub const TICK: Duration = Duration::from_millis(100);

/// A fact for the writer.
#[derive(Debug)]
pub enum Event {
    /// A probe came back: how long it took, or what went wrong.
    Probed {
        /// Whose.
        endpoint: EndpointId,
        /// Which of its probes, counted from 0.
        probe: usize,
        /// What it said.
        result: Result<Duration, Fault>,
    },
    /// A probe opened a stream, which flowed so.
    Flowed {
        /// Whose.
        endpoint: EndpointId,
        /// Which of its probes, counted from 0.
        probe: usize,
        /// How.
        flowed: Flowed,
    },
    /// A request failed at an endpoint.
    Failed {
        /// Where.
        endpoint: EndpointId,
        /// How.
        fault: Fault,
        /// The client's prefix, hashed.
        prefix: u64,
    },
    /// The name of an endpoint was resolved.
    Resolved {
        /// Whose.
        endpoint: EndpointId,
        /// To what; never empty.
        addresses: Arc<[SocketAddr]>,
    },
    /// Another site was asked whether it answers.
    SiteAsked {
        /// Which.
        site: Label,
        /// What came of it.
        result: Result<(), Fault>,
    },
    /// The file changed and was proven.
    Reloaded {
        /// What it says.
        topology: Arc<Topology>,
        /// Where its clients are.
        locator: Arc<Locator>,
    },
    /// The file changed and was refused.
    Rejected {
        /// Every mistake, drawn.
        text: String,
    },
    /// The certificates in force are now these.
    Certified {
        /// All of them.
        certificates: Arc<CertificateReport>,
    },
    /// The drains in force are now these.
    Overridden {
        /// All of them.
        overrides: Arc<[Override]>,
    },
}

#[derive(Debug)]
struct Known {
    id: EndpointId,
    health: EndpointHealth,
    addresses: Arc<[SocketAddr]>,
    load: Arc<Load>,
    connects_seen: u64,
    requests_seen: u64,
    since: Moment,
}

/// All that the node believes.
#[derive(Debug)]
pub struct Control {
    topology: Arc<Topology>,
    locator: Arc<Locator>,
    here: Site,
    known: Vec<Known>,
    sites: Sites,
    overrides: Arc<[Override]>,
    problem: Option<Arc<Problem>>,
    certificates: Arc<CertificateReport>,
    rate_ejections: Vec<(Moment, RegionIndex)>,
    /// Since when failures look like our own, and when they last did.
    suspected: Option<(Moment, Moment)>,
    next_id: u64,
    last: Option<Arc<Snapshot>>,
    is_dirty: bool,
}

impl Control {
    /// A node that has seen nothing yet.
    #[must_use]
    pub fn new(
        now: Moment,
        topology: Arc<Topology>,
        locator: Arc<Locator>,
        here: Site,
        overrides: Arc<[Override]>,
    ) -> Self {
        let mut control = Self {
            topology: Arc::clone(&topology),
            locator: Arc::clone(&locator),
            here,
            known: Vec::new(),
            sites: Sites::default(),
            overrides,
            problem: None,
            certificates: Arc::default(),
            rate_ejections: Vec::new(),
            suspected: None,
            next_id: 1,
            last: None,
            is_dirty: true,
        };
        control.reload(now, topology, locator);
        control
    }

    /// Takes one fact in. A fact about an endpoint that is no more is forgotten.
    pub fn apply(&mut self, now: Moment, event: Event) {
        match event {
            Event::Probed { endpoint, probe, result } => {
                if let Some(known) = self.known(endpoint) {
                    match probe {
                        0 => known.health.probed(now, known.load.timed(result)),
                        _ => known.health.further_probed(now, probe, result.map(drop)),
                    }
                }
            }
            Event::Flowed { endpoint, probe, flowed } => {
                if let Some(known) = self.known(endpoint) {
                    known.health.flowed(probe, flowed);
                }
            }
            Event::Failed { endpoint, fault, prefix } => {
                if let Some(known) = self.known(endpoint) {
                    known.catch_up(now);
                    known.health.failed(now, fault, prefix);
                }
            }
            Event::Resolved { endpoint, addresses } => {
                if let Some(known) = self.known(endpoint) {
                    known.addresses = addresses;
                }
            }
            Event::SiteAsked { site, result } => self.sites.asked(now, &site, result),
            Event::Reloaded { topology, locator } => {
                self.problem = None;
                self.reload(now, topology, locator);
            }
            Event::Rejected { text } => {
                if self.problem.as_ref().is_none_or(|problem| problem.text != text) {
                    self.problem = Some(Arc::new(Problem { since: now, text }));
                    self.is_dirty = true;
                }
            }
            Event::Certified { certificates } => {
                self.certificates = certificates;
                self.is_dirty = true;
            }
            Event::Overridden { overrides } => {
                self.overrides = overrides;
                self.is_dirty = true;
            }
        }
    }

    /// What is believed `now` (`wall`: by the wall clock, for drains that end): the next snapshot and what changed its
    /// standing, or `None` if everything is as it was.
    pub fn advance(&mut self, now: Moment, wall: Duration) -> Option<(Arc<Snapshot>, Vec<Change>)> {
        self.known.iter_mut().for_each(|known| known.catch_up(now));
        self.eject_for_errors(now);
        self.end_drains(wall);
        let is_suspect = self.suspect(now);
        let endpoints: Vec<EndpointState> =
            (0..self.known.len()).map(|at| self.endpoint_state(now, EndpointIndex::of(at))).collect();
        let regions: Vec<RegionState> = (0..self.topology.regions.len())
            .map(|at| self.region_state(now, RegionIndex::of(at), &endpoints))
            .collect();
        let sites = self.sites.states(self.suspected.map(|(since, _)| since));
        let changes = self.changes(&endpoints, &regions);
        let is_same = !self.is_dirty
            && self.last.as_ref().is_some_and(|last| {
                last.is_suspect == is_suspect
                    && last.sites == sites
                    && last.endpoints.iter().zip(&endpoints).all(|(a, b)| a.is_as_good_as(b))
                    && last.regions.iter().zip(&regions).all(|(a, b)| a.drained == b.drained)
            });
        if is_same {
            return None;
        }
        self.is_dirty = false;
        if self.last.as_ref().is_none_or(|last| last.is_suspect != is_suspect) && is_suspect {
            tracing::warn!("nearly every endpoint of every provider fails at once: suspecting this node's own network");
        }
        for (known, state) in self.known.iter_mut().zip(&endpoints) {
            known.since = state.since;
        }
        let snapshot = Arc::new(Snapshot {
            generation: self.last.as_ref().map_or(1, |last| last.generation + 1),
            topology: Arc::clone(&self.topology),
            locator: Arc::clone(&self.locator),
            here: self.here.clone(),
            endpoints,
            regions,
            sites,
            is_suspect,
            overrides: Arc::clone(&self.overrides),
            problem: self.problem.clone(),
            certificates: Arc::clone(&self.certificates),
        });
        self.last = Some(Arc::clone(&snapshot));
        Some((snapshot, changes))
    }

    fn known(&mut self, endpoint: EndpointId) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.id == endpoint)
    }

    /// Health follows by endpoint name where the way there and the probe are unchanged.
    fn reload(&mut self, now: Moment, topology: Arc<Topology>, locator: Arc<Locator>) {
        let old_topology = std::mem::replace(&mut self.topology, topology);
        let mut old: Vec<Option<Known>> = std::mem::take(&mut self.known).into_iter().map(Some).collect();
        let is_first = old.is_empty();
        self.known = self
            .topology
            .endpoints
            .iter()
            .map(|endpoint| {
                let region = self.topology.region(endpoint.region);
                let before = old_topology.endpoints.iter().position(|before| {
                    before.name == endpoint.name
                        && before.is_reached_like(endpoint)
                        && old_topology.region(before.region).probes().eq(region.probes())
                });
                before.filter(|_| !is_first).and_then(|at| old[at].take()).unwrap_or_else(|| {
                    let id = EndpointId(self.next_id);
                    self.next_id += 1;
                    Known::new(now, id, region, endpoint.written_addresses().into())
                })
            })
            .collect();
        self.locator = locator;
        if let Some(site) = self.topology.sites.iter().find(|site| site.name == self.here.name) {
            self.here = site.clone();
        }
        self.sites.reload(now, &self.topology, &self.here);
        self.rate_ejections.clear();
        self.is_dirty = true;
    }

    /// Whether the node suspects itself now.
    fn suspect(&mut self, now: Moment) -> bool {
        match (suspicion::since(&self.witnesses()), self.suspected) {
            // What was excused stays excused while the same suspicion lasts.
            (Some(since), before) => self.suspected = Some((before.map_or(since, |(first, _)| first.min(since)), now)),
            (None, Some((_, last))) if now.since(last) >= SUSPICION_LINGERS => self.suspected = None,
            (None, _) => {}
        }
        let since = self.suspected.map(|(since, _)| since);
        self.known.iter_mut().for_each(|known| known.health.suspect(since));
        since.is_some()
    }

    fn witnesses(&self) -> Vec<Witness> {
        self.known
            .iter()
            .zip(&self.topology.endpoints)
            .map(|(known, endpoint)| Witness {
                provider: self.topology.region(endpoint.region).provider.0,
                failing_since: known.health.failing_since(),
            })
            .collect()
    }

    fn endpoint_state(&self, now: Moment, index: EndpointIndex) -> EndpointState {
        let known = &self.known[index.at()];
        let slow_start = self.topology.forward.slow_start;
        let (standing, reason) = known.health.standing(now, slow_start);
        let drained = self
            .overrides
            .iter()
            .filter(|drain| drain.target.covers(&self.topology, index))
            .map(|drain| if drain.is_hard { Drained::Hard } else { Drained::Soft })
            .max();
        let before = self.last.as_ref().and_then(|last| endpoint_before(last, index, known.id));
        EndpointState {
            id: known.id,
            standing,
            reason,
            since: before.filter(|state| state.standing == standing).map_or(now, |_| known.since),
            probes: known.health.opinions(now),
            share_percent: known.health.share_percent(now, slow_start),
            round_trip: known.health.latency().round_trip(),
            addresses: Arc::clone(&known.addresses),
            load: Arc::clone(&known.load),
            drained,
        }
    }

    fn region_state(&self, now: Moment, index: RegionIndex, endpoints: &[EndpointState]) -> RegionState {
        let region = self.topology.region(index);
        let all = || region.endpoints.iter().map(|endpoint| &endpoints[endpoint.at()]);
        let drained = all().map(|state| state.drained).min().flatten();
        // A drained endpoint does not speak for its region, unless all are drained: then health is still worth knowing.
        let speaks = |state: &&EndpointState| state.drained <= drained;
        let best = all()
            .filter(speaks)
            .min_by_key(|state| (state.standing, state.reason == Reason::RampingUp))
            .expect("a region has an endpoint");
        let equals = || all().filter(speaks).filter(|state| state.standing == best.standing);
        let name = &region.name;
        let before = self.last.as_ref().and_then(|last| self.region_before(last, index));
        let before = before.filter(|state| state.standing == best.standing);
        RegionState {
            standing: best.standing,
            reason: best.reason,
            since: before.map_or(now, |state| state.since),
            share_percent: equals().map(|state| state.share_percent).max().unwrap_or(100),
            round_trip: equals().filter_map(|state| state.round_trip).min(),
            drained,
            name_hash: RegionState::hash_of(name),
        }
    }

    /// The region as it was in `last`, by its name.
    fn region_before<'a>(&self, last: &'a Snapshot, index: RegionIndex) -> Option<&'a RegionState> {
        if Arc::ptr_eq(&last.topology, &self.topology) {
            return Some(last.region(index));
        }
        let at = last.topology.region_named(self.topology.region(index).name.as_str())?;
        Some(last.region(at))
    }

    fn changes(&self, endpoints: &[EndpointState], regions: &[RegionState]) -> Vec<Change> {
        let Some(last) = &self.last else { return Vec::new() };
        let mut changes = Vec::new();
        for (at, (region, state)) in self.topology.regions.iter().zip(regions).enumerate() {
            let many = region.endpoints.len() > 1;
            for index in region.endpoints.iter().filter(|_| many) {
                let now = &endpoints[index.at()];
                let before = endpoint_before(last, *index, now.id);
                if let Some(before) = before.filter(|before| before.standing != now.standing) {
                    changes.push(Change {
                        region: region.name.clone(),
                        endpoint: Some(self.topology.endpoint(*index).name.clone()),
                        from: before.standing,
                        to: now.standing,
                        reason: now.reason,
                    });
                }
            }
            let before = self.region_before(last, RegionIndex::of(at));
            if let Some(before) = before.filter(|before| before.standing != state.standing) {
                changes.push(Change {
                    region: region.name.clone(),
                    endpoint: None,
                    from: before.standing,
                    to: state.standing,
                    reason: state.reason,
                });
            }
        }
        changes
    }

    fn end_drains(&mut self, wall: Duration) {
        if self.overrides.iter().any(|drain| drain.until.is_some_and(|until| until <= wall)) {
            let (ended, left): (Vec<_>, Vec<_>) =
                self.overrides.iter().cloned().partition(|drain| drain.until.is_some_and(|until| until <= wall));
            for drain in ended {
                tracing::info!(reason = %drain.reason, "the drain of {} ended by its time", drain.target);
            }
            self.overrides = left.into();
            self.is_dirty = true;
        }
    }
}

/// The endpoint as it was in `last`: in the same place, unless the file changed in between.
fn endpoint_before(last: &Snapshot, index: EndpointIndex, id: EndpointId) -> Option<&EndpointState> {
    let same = last.endpoints.get(index.at()).filter(|state| state.id == id);
    same.or_else(|| last.endpoints.iter().find(|state| state.id == id))
}

impl Known {
    fn new(now: Moment, id: EndpointId, region: &Region, addresses: Arc<[SocketAddr]>) -> Self {
        let opinions = region.probes().map(|probe| {
            let needed = Needed { rise: probe.rise, fall: probe.fall, reset_ok: probe.reset_ok };
            Opinion::new(probe.kind.as_str(), needed)
        });
        Self {
            id,
            health: EndpointHealth::new(opinions.collect()),
            addresses,
            load: Arc::new(Load::default()),
            connects_seen: 0,
            requests_seen: 0,
            since: now,
        }
    }

    /// Successes come as counters, never one by one.
    fn catch_up(&mut self, now: Moment) {
        let connects = self.load.connects();
        if connects != self.connects_seen {
            self.connects_seen = connects;
            self.health.connected();
        }
        let requests = self.load.requests();
        self.health.evidence.answered(now, requests - self.requests_seen);
        self.requests_seen = requests;
    }
}

impl EndpointState {
    /// Whether nothing that matters to anybody differs.
    fn is_as_good_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.standing == other.standing
            && self.reason == other.reason
            && self.probes == other.probes
            && self.share_percent == other.share_percent
            && self.round_trip == other.round_trip
            && self.addresses == other.addresses
            && self.drained == other.drained
    }
}

/// Folds events into snapshots until `shutdown`. Nothing else writes.
pub async fn run(
    mut control: Control,
    mut events: mpsc::Receiver<Event>,
    published: Published,
    clock: Clock,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut batch = Vec::with_capacity(EVENT_BATCH_MAX);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = requested(&mut shutdown) => return,
            count = events.recv_many(&mut batch, EVENT_BATCH_MAX) => if count == 0 { return },
            _ = tick.tick() => {}
        }
        let now = clock.now();
        for event in batch.drain(..) {
            control.apply(now, event);
        }
        if let Some((snapshot, changes)) = control.advance(now, clock.wall()) {
            change::log_sites(&published.load(), &snapshot);
            published.store(snapshot);
            changes.iter().for_each(Change::log);
        }
    }
}
