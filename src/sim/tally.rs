//! What happened in a simulated world, counted: a listener to its facts. It decides nothing.
//!
//! It is told every fact while the world runs, so it costs a few additions each: tables by index, made beforehand, of a
//! size that no run exceeds. Whole numbers only, so that the order of additions can never show. What it all means is
//! said by [`Report`](super::report::Report), when the run is over.

pub mod ground;
pub mod listener;
pub mod load;
pub mod outages;
pub mod pulse;
pub mod spread;
pub mod standings;
pub mod tries;
pub mod wishes;

use super::fact::{Fact, NodeIndex, Outcome, Slot};
use super::request::Request;
use super::scenario::Scenario;
use crate::moment::Moment;
use crate::topology::{EndpointIndex, RegionIndex, RouteIndex, Topology};
use ground::{Ground, Spot};
use load::Loads;
use outages::Outages;
use pulse::Pulse;
use standings::Standings;
use std::time::Duration;
use tries::Tries;
use wishes::Wishes;

/// Ways for a wish to end, by [`outcome_number`].
pub const OUTCOMES: [&str; 8] =
    ["served", "failure", "unanswered", "cut", "unreached", "unresolved", "abandoned", "lost"];
/// Breaches of a fence that are told one by one, the first ones.
pub const BREACHES_MAX: usize = 8;

/// The place of an outcome in [`OUTCOMES`].
#[must_use]
pub fn outcome_number(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Served(_) => 0,
        Outcome::Failure(..) => 1,
        Outcome::Unanswered(_) => 2,
        Outcome::Cut(_) => 3,
        Outcome::Unreached => 4,
        Outcome::Unresolved => 5,
        Outcome::Abandoned => 6,
        Outcome::Lost => 7,
    }
}

/// A request that was processed outside of its hostname's fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// When.
    pub at: Moment,
    /// Of which hostname.
    pub route: RouteIndex,
    /// Where.
    pub region: RegionIndex,
    /// Whose.
    pub client: u32,
}

/// What DNS said about one hostname.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Answers.
    pub answers: u64,
    /// Those with no address.
    pub empty: u64,
    /// How long they might be believed, all together, milliseconds.
    pub ttl_ms: u64,
}

/// What a node did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Requests that reached it.
    pub requests: u64,
    /// Snapshots it published.
    pub snapshots: u64,
    /// Operators' words it took over, and refused.
    pub words: [u64; 2],
    /// Times it was gone.
    pub stops: u64,
}

/// Everything counted.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Where and when things are counted.
    pub ground: Ground,
    /// Wishes and their ends.
    pub wishes: Wishes,
    /// What regions carry.
    pub loads: Loads,
    /// Requests and attempts, second by second.
    pub pulse: Pulse,
    /// Tries of clients' programs.
    pub tries: Tries,
    /// What nodes think of regions.
    pub standings: Standings,
    /// Faults, and how they were met.
    pub outages: Outages,
    /// What each node did.
    pub nodes: Vec<Deeds>,
    /// What DNS said, by hostname.
    pub names: Vec<Names>,
    /// Probes by region: failed, and passed.
    pub probes: Vec<[u64; 2]>,
    /// Requests by how they ended, in the order of [`OUTCOMES`].
    pub ended: [u64; OUTCOMES.len()],
    /// Requests that were a client's further try.
    pub repeats: u64,
    /// Requests that needed more than one attempt.
    pub failed_over: u64,
    /// Requests processed, by hostname and region: hostname after hostname.
    pub processed: Vec<u64>,
    /// Those outside of a fence.
    pub breaches: u64,
    /// The first of them.
    pub first_breaches: Vec<Breach>,
    shut_out: Vec<bool>,
    region_of_endpoint: Vec<RegionIndex>,
}

impl Tally {
    /// Of a run that begins. `topology` is as nodes have it, with the sites and capacities of the
    /// [fitted](super::stage::fitted) file; `spots` are the places clients are at, `clients` says of each client at which.
    #[must_use]
    pub fn new(scenario: &Scenario, topology: &Topology, spots: Vec<Spot>, clients: Vec<u16>) -> Self {
        let (routes, regions) = (topology.routes.len(), topology.regions.len());
        let ground = Ground::of(scenario, topology, spots, clients);
        let nodes = ground.sites.len();
        let pairs = topology.routes.iter().flat_map(|route| (0..regions).map(move |region| (route, region)));
        let shut_out = pairs.map(|(route, region)| route.shuts_out(topology, RegionIndex::of(region))).collect();
        Self {
            wishes: Wishes::on(&ground),
            loads: Loads::on(&ground),
            pulse: Pulse::default(),
            tries: Tries::default(),
            standings: Standings::of(nodes, regions),
            outages: Outages::of(scenario, topology, &ground.sites),
            nodes: vec![Deeds::default(); nodes],
            names: vec![Names::default(); routes],
            probes: vec![[0; 2]; regions],
            ended: [0; OUTCOMES.len()],
            repeats: 0,
            failed_over: 0,
            processed: vec![0; routes * regions],
            breaches: 0,
            first_breaches: Vec::new(),
            shut_out,
            region_of_endpoint: topology.endpoints.iter().map(|endpoint| endpoint.region).collect(),
            ground,
        }
    }

    /// A fact. `request` is the one it is about, if it is about one; `best` is the time to the first byte that its wish
    /// had needed at best: from the nearest region that may serve it, the true ways, with nothing wrong and nobody in
    /// front of it. It matters where a wish ends.
    pub fn note(&mut self, now: Moment, fact: &Fact, request: Option<&Request>, best: Option<Duration>) {
        match *fact {
            Fact::Probed { endpoint, result, .. } => self.probed(endpoint, result.is_ok()),
            Fact::Wishes(slot) => self.wished(now, slot, request),
            Fact::Arrives(slot, node) => {
                self.tried_again(now, slot, request);
                self.deeds(node, |deeds| deeds.requests += 1);
            }
            Fact::Tries { request: slot, node, region, number, .. } => {
                self.failed_over += u64::from(number == 2);
                self.attempted(now, slot, (region, number), Some(node), request);
            }
            Fact::Dials { request: slot, region } => {
                self.tried_again(now, slot, request);
                self.attempted(now, slot, (region, 1), None, request);
            }
            Fact::Fails { request: slot, region, fault, .. } => {
                self.loads.failed(now, slot, region, fault);
                self.outages.left(now, region);
            }
            Fact::Processes(_, region) => self.processed_by(now, region, request),
            Fact::Ended(slot, outcome) => self.ended(now, slot, outcome, request),
            Fact::Finished(slot, outcome) => {
                self.tries.finished(slot);
                if let Some(request) = request {
                    self.wishes.finished(&self.ground, request, outcome, best);
                    if !outcome.is_served() {
                        self.outages.failed(now, request.wished_at);
                    }
                }
            }
            Fact::Resolved { route, told, ttl, .. } => self.resolved(route, told, ttl),
            Fact::Stands { node, region, standing, .. } => {
                self.standings.changed(now, node, region, standing);
                self.outages.stands(now, node, region, standing);
            }
            Fact::Begins(fault) => self.outages.begins(now, fault, &self.standings, &self.loads),
            Fact::Ends(fault) => self.outages.ends(now, fault),
            Fact::Stops(node) => {
                self.deeds(node, |deeds| deeds.stops += 1);
                self.standings.stopped(now, node);
            }
            Fact::Starts(node) => self.standings.started(now, node),
            Fact::Publishes(node) => self.deeds(node, |deeds| deeds.snapshots += 1),
            Fact::Obeys(node, _) => self.deeds(node, |deeds| deeds.words[0] += 1),
            Fact::Refuses(node, _) => self.deeds(node, |deeds| deeds.words[1] += 1),
            Fact::Answers { .. } => {}
        }
    }

    /// The run is over: what is under way is brought to its end.
    pub fn close(&mut self, now: Moment) {
        self.pulse.close();
        self.loads.close(now);
        self.wishes.close();
    }

    fn deeds(&mut self, node: NodeIndex, done: impl FnOnce(&mut Deeds)) {
        if let Some(deeds) = self.nodes.get_mut(usize::from(node)) {
            done(deeds);
        }
    }

    fn probed(&mut self, endpoint: EndpointIndex, has_passed: bool) {
        let region = self.region_of_endpoint.get(endpoint.at());
        if let Some(counts) = region.and_then(|region| self.probes.get_mut(region.at())) {
            counts[usize::from(has_passed)] += 1;
        }
    }

    fn wished(&mut self, now: Moment, slot: Slot, request: Option<&Request>) {
        self.pulse.wished(now);
        if let Some(request) = request {
            self.wishes.begun(&self.ground, request);
            let new = self.tries.begun(slot, request);
            self.pulse.asked(now, new);
        }
    }

    /// Something is told about a request: if its program has tried again since the last time, that counts.
    fn tried_again(&mut self, now: Moment, slot: Slot, request: Option<&Request>) {
        let new = request.map_or(0, |request| self.tries.seen(slot, request));
        if new > 0 {
            self.pulse.asked(now, new);
        }
    }

    /// An attempt at a region, its number from 1: of a node, or of a client that dials the region itself.
    fn attempted(
        &mut self,
        now: Moment,
        slot: Slot,
        (region, number): (RegionIndex, u32),
        node: Option<NodeIndex>,
        request: Option<&Request>,
    ) {
        self.pulse.attempted(now);
        self.loads.taken(now, slot, region, number);
        self.outages.tried(now, node, region, request.map(|request| request.route));
    }

    fn processed_by(&mut self, now: Moment, region: RegionIndex, request: Option<&Request>) {
        let Some(request) = request else { return };
        let at = request.route.at() * self.ground.regions + region.at();
        let (Some(count), Some(is_shut_out)) = (self.processed.get_mut(at), self.shut_out.get(at)) else { return };
        *count += 1;
        if *is_shut_out {
            self.breaches += 1;
            if self.first_breaches.len() < BREACHES_MAX {
                self.first_breaches.push(Breach { at: now, route: request.route, region, client: request.client });
            }
        }
    }

    fn ended(&mut self, now: Moment, slot: Slot, outcome: Outcome, request: Option<&Request>) {
        self.tried_again(now, slot, request);
        self.ended[outcome_number(outcome)] += 1;
        self.repeats += u64::from(request.is_some_and(|request| request.tries > 1));
        if let Some(region) = self.loads.ended(now, slot, outcome) {
            self.outages.left(now, region);
        }
    }

    fn resolved(&mut self, route: RouteIndex, told: u8, ttl: Duration) {
        if let Some(names) = self.names.get_mut(route.at()) {
            names.answers += 1;
            names.empty += u64::from(told == 0);
            names.ttl_ms += u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        }
    }
}
