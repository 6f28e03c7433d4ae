//! THE ONE WRITER: events in, snapshots out.
//!
//! Probes, live traffic, the resolver, operators and the file are senders of [`Event`]; [`Control`] is the only thing
//! that changes what the node believes. It is a machine; [`run`] is its shell.

pub mod change;
mod known;
mod rates;
mod states;
#[cfg(test)]
mod tests;

use crate::geo::database::Locator;
use crate::health::Fault;
use crate::health::opinion::Flowed;
use crate::health::sites::Sites;
use crate::health::suspicion::{self, SUSPICION_LINGERS, Witness};
use crate::limits::EVENT_BATCH_MAX;
use crate::moment::{Clock, Moment};
use crate::names::Label;
use crate::shutdown::requested;
use crate::snapshot::{
    CertificateReport, EndpointId, EndpointState, Override, Problem, Published, RegionState, Snapshot,
};
use crate::topology::{EndpointIndex, RegionIndex, Site, Topology};
use change::Change;
use known::Known;
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

/// All that the node believes.
#[derive(Debug)]
pub struct Control {
    topology: Arc<Topology>,
    locator: Arc<Locator>,
    here: Site,
    known: Vec<Known>,
    /// Places of those of which facts or time may have changed what is believed, until they are looked at.
    touched: Vec<usize>,
    sites: Sites,
    overrides: Arc<[Override]>,
    problem: Option<Arc<Problem>>,
    certificates: Arc<CertificateReport>,
    rate_ejections: Vec<(Moment, RegionIndex)>,
    /// Whether live traffic may have become reason enough to eject.
    is_simmering: bool,
    /// Since when the failures look like our own, if they do now.
    grounds: Option<Moment>,
    /// Since when failures look like our own, and when they last did.
    suspected: Option<(Moment, Moment)>,
    next_id: u64,
    last: Option<Arc<Snapshot>>,
    /// Whether the next snapshot differs from the last, whatever endpoints do.
    is_dirty: bool,
    are_sites_touched: bool,
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
            touched: Vec::new(),
            sites: Sites::default(),
            overrides,
            problem: None,
            certificates: Arc::default(),
            rate_ejections: Vec::new(),
            is_simmering: false,
            grounds: None,
            suspected: None,
            next_id: 1,
            last: None,
            is_dirty: true,
            are_sites_touched: false,
        };
        control.reload(now, topology, locator);
        control
    }

    /// Takes one fact in. A fact about an endpoint that is no more is forgotten.
    pub fn apply(&mut self, now: Moment, event: Event) {
        match event {
            Event::Probed { endpoint, probe, result } => {
                if let Some(known) = self.told(endpoint) {
                    match probe {
                        0 => known.health.probed(now, known.load.timed(result)),
                        _ => known.health.further_probed(now, probe, result.map(drop)),
                    }
                }
            }
            Event::Flowed { endpoint, probe, flowed } => {
                if let Some(known) = self.told(endpoint) {
                    known.health.flowed(probe, flowed);
                }
            }
            Event::Failed { endpoint, fault, prefix } => {
                if let Some(known) = self.told(endpoint) {
                    known.catch_up(now);
                    known.health.failed(now, fault, prefix);
                    self.is_simmering = true;
                }
            }
            Event::Resolved { endpoint, addresses } => {
                if let Some(known) = self.told(endpoint) {
                    known.addresses = addresses;
                }
            }
            Event::SiteAsked { site, result } => {
                self.sites.asked(now, &site, result);
                self.are_sites_touched = true;
            }
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
    /// standing, or `None` if everything is as it was. Looks only at what facts or time have touched.
    pub fn advance(&mut self, now: Moment, wall: Duration) -> Option<(Arc<Snapshot>, Vec<Change>)> {
        for at in 0..self.known.len() {
            self.is_simmering |= self.known[at].catch_up(now);
            if self.known[at].wakes(now) {
                self.touch(at);
            }
        }
        self.eject_for_errors(now);
        self.end_drains(wall);
        self.suspect(now);
        if !self.differs(now) {
            return None;
        }
        let endpoints: Vec<EndpointState> =
            (0..self.known.len()).map(|at| self.endpoint_state(now, EndpointIndex::of(at))).collect();
        let regions: Vec<RegionState> = (0..self.topology.regions.len())
            .map(|at| self.region_state(now, RegionIndex::of(at), &endpoints))
            .collect();
        let changes = self.changes(&endpoints, &regions);
        let is_suspect = self.suspected.is_some();
        if is_suspect && self.last.as_ref().is_none_or(|last| !last.is_suspect) {
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
            sites: self.sites.states(self.suspected.map(|(since, _)| since)),
            is_suspect,
            overrides: Arc::clone(&self.overrides),
            problem: self.problem.clone(),
            certificates: Arc::clone(&self.certificates),
        });
        self.last = Some(Arc::clone(&snapshot));
        Some((snapshot, changes))
    }

    /// The earliest moment from which on [`advance`](Self::advance) may find something though no fact is applied and no
    /// success is counted until then (`wall`: by the wall clock now, taken to run as evenly as `now`); `None`: never.
    /// What is not after `now` asks for the next tick. Every tick before that changes nothing.
    #[must_use]
    pub fn wakes_at(&self, now: Moment, wall: Duration) -> Option<Moment> {
        // What is said of a moment depends on the ticks while the node has grounds to suspect itself, and while many fail.
        let is_restless = self.is_simmering || self.grounds.is_some();
        let is_touched = self.is_dirty || self.are_sites_touched || !self.touched.is_empty();
        if is_restless || is_touched || self.known.iter().any(Known::is_behind) {
            return Some(now);
        }
        let endpoints = self.known.iter().filter_map(|known| known.wakes_at);
        let suspicion = self.suspected.map(|(_, last)| last + SUSPICION_LINGERS);
        let drains = self.overrides.iter().filter_map(|drain| Some(now + drain.until?.saturating_sub(wall)));
        endpoints.chain(suspicion).chain(drains).min()
    }

    /// Whether anything that matters to anybody is other than in the last snapshot.
    fn differs(&mut self, now: Moment) -> bool {
        let is_dirty = std::mem::take(&mut self.is_dirty);
        let last = self.last.as_ref().filter(|_| !is_dirty);
        let suspected = self.suspected.map(|(since, _)| since);
        let mut differs = last.is_none_or(|last| {
            last.is_suspect != suspected.is_some()
                || self.are_sites_touched && last.sites != self.sites.states(suspected)
        });
        self.are_sites_touched = false;
        let slow_start = self.topology.forward.slow_start;
        for at in self.touched.drain(..) {
            differs |= self.known[at].differs(now, slow_start, last.map(|last| &last.endpoints[at]));
        }
        differs
    }

    /// Forgets what need not be looked at.
    #[cfg(test)]
    fn doubt_everything(&mut self) {
        (self.is_simmering, self.are_sites_touched) = (true, true);
        for at in 0..self.known.len() {
            self.touch(at);
            self.known[at].failing_since = Some(Moment::from_nanos(u64::MAX));
        }
    }

    /// The one at that place is to be looked at.
    fn touch(&mut self, at: usize) {
        if !std::mem::replace(&mut self.known[at].is_touched, true) {
            self.touched.push(at);
        }
    }

    /// The endpoint of that id, about which there is a fact. Ids are given in order, so its place is easily guessed.
    fn told(&mut self, endpoint: EndpointId) -> Option<&mut Known> {
        let first = self.known.first()?.id.0;
        let guess = endpoint.0.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let guess = guess.filter(|at| self.known.get(*at).is_some_and(|known| known.id == endpoint));
        let at = guess.or_else(|| self.known.iter().position(|known| known.id == endpoint))?;
        self.touch(at);
        Some(&mut self.known[at])
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
        self.touched.clear();
        for at in 0..self.known.len() {
            self.known[at].is_touched = false;
            self.touch(at);
        }
        self.is_dirty = true;
    }

    /// Finds out whether the node suspects itself now, and what that excuses.
    fn suspect(&mut self, now: Moment) {
        let mut has_news = self.is_dirty;
        for at in &self.touched {
            let known = &mut self.known[*at];
            let before = std::mem::replace(&mut known.failing_since, known.health.failing_since());
            has_news |= known.failing_since != before;
        }
        if has_news {
            self.grounds = suspicion::since(&self.witnesses());
        }
        let before = self.suspected.map(|(since, _)| since);
        match (self.grounds, self.suspected) {
            // What was excused stays excused while the same suspicion lasts.
            (Some(since), before) => self.suspected = Some((before.map_or(since, |(first, _)| first.min(since)), now)),
            (None, Some((_, last))) if now.since(last) >= SUSPICION_LINGERS => self.suspected = None,
            (None, _) => {}
        }
        let since = self.suspected.map(|(since, _)| since);
        if since != before {
            self.are_sites_touched = true;
            (0..self.known.len()).for_each(|at| self.touch(at));
        }
        for at in &self.touched {
            self.known[*at].health.suspect(since);
        }
    }

    fn witnesses(&self) -> Vec<Witness> {
        self.known
            .iter()
            .zip(&self.topology.endpoints)
            .map(|(known, endpoint)| Witness {
                provider: self.topology.region(endpoint.region).provider.0,
                failing_since: known.failing_since,
            })
            .collect()
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
