//! A node's health without sockets: schedule and control driven through virtual time against endpoints that can break.
//!
//! The driver does what the shells do and nothing else, at the moments at which they would.

use super::{locator, topology};
use anyfront::control::change::Change;
use anyfront::control::{Control, Event, TICK};
use anyfront::health::{Fault, Standing};
use anyfront::moment::{Dice, Moment};
use anyfront::probe::schedule::{Launch, Learnt, Schedule};
use anyfront::snapshot::{EndpointState, Override, RegionState, Snapshot};
use anyfront::topology::{EndpointIndex, Topology};
use std::sync::Arc;
use std::time::Duration;

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    Works,
    Refuses,
    Silent,
    /// Answers, so many times slower.
    Slow(f64),
    /// Loses this share of its probes.
    Lossy(f64),
    Answers(u16),
    /// Passes its first probe; the streams of further ones do not begin.
    Stuck,
}

#[derive(Debug)]
struct Flight {
    launch: Launch,
    endpoint: usize,
    began: Moment,
    due: Moment,
    result: Result<Duration, Fault>,
}

/// A node and the endpoints around it.
pub struct Node {
    pub now: Moment,
    pub control: Control,
    pub snapshot: Arc<Snapshot>,
    /// Every change of standing so far.
    pub changes: Vec<(Moment, Change)>,
    /// Probes sent so far.
    pub probes: usize,
    schedule: Schedule,
    dice: Dice,
    behaviours: Vec<Behaviour>,
    round_trips: Vec<Duration>,
    flights: Vec<Flight>,
    next_tick: Moment,
}

impl Node {
    /// A node in front of the fleet of `text`; round trips by distance.
    pub fn start(seed: u64, text: &str) -> Self {
        let topology = topology(text);
        let here = topology.sites[0].place.at;
        let round_trips = topology.endpoints.iter().map(|endpoint| {
            let km = here.distance_km(&topology.region(endpoint.region).place.at);
            Duration::from_secs_f64(0.002 + 2.0 * km / 200_000.0)
        });
        let round_trips: Vec<Duration> = round_trips.collect();
        let site = topology.sites[0].clone();
        let mut control = Control::new(Moment::ZERO, Arc::new(topology), locator(), site, Arc::from([]));
        let (snapshot, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
        let mut dice = Dice::seeded(seed);
        let schedule = Schedule::new(Dice::seeded(dice.roll()));
        let behaviours = vec![Behaviour::Works; round_trips.len()];
        let mut node = Self {
            now: Moment::ZERO,
            control,
            snapshot,
            changes: Vec::new(),
            probes: 0,
            schedule,
            dice,
            behaviours,
            round_trips,
            flights: Vec::new(),
            next_tick: Moment::ZERO,
        };
        node.settle();
        node
    }

    /// The same, warm: every endpoint has passed probes for `seconds`.
    pub fn warm(seed: u64, text: &str, seconds: u64) -> Self {
        let mut node = Self::start(seed, text);
        node.run_for(Duration::from_secs(seconds));
        assert!(node.snapshot.regions.iter().all(|region| region.standing == Standing::Up));
        node.changes.clear();
        node
    }

    pub fn topology(&self) -> &Topology {
        &self.snapshot.topology
    }

    /// One network round trip to every endpoint.
    pub fn set_round_trip(&mut self, time: Duration) {
        self.round_trips.fill(time);
    }

    pub fn region(&self, name: &str) -> &RegionState {
        self.snapshot.region(self.topology().region_named(name).expect("it exists"))
    }

    pub fn endpoint(&self, name: &str) -> &EndpointState {
        &self.snapshot.endpoints[self.at(name)]
    }

    fn at(&self, endpoint: &str) -> usize {
        let found = self.topology().endpoints.iter().position(|one| one.name.as_str().starts_with(endpoint));
        found.unwrap_or_else(|| panic!("no endpoint {endpoint}"))
    }

    /// All endpoints of these regions behave so from now on; what is under way meets it too.
    pub fn break_regions(&mut self, regions: &[&str], behaviour: Behaviour) {
        for at in 0..self.behaviours.len() {
            let region = self.topology().endpoint(EndpointIndex::of(at)).region;
            if regions.contains(&self.topology().region(region).name.as_str()) {
                self.set(at, behaviour);
            }
        }
    }

    /// Everything behaves so.
    pub fn break_all(&mut self, behaviour: Behaviour) {
        (0..self.behaviours.len()).for_each(|at| self.set(at, behaviour));
    }

    pub fn break_endpoint(&mut self, name: &str, behaviour: Behaviour) {
        self.set(self.at(name), behaviour);
    }

    fn set(&mut self, at: usize, behaviour: Behaviour) {
        self.behaviours[at] = behaviour;
        let (timeout, half) = (self.timeout(at), self.round_trips[at] / 2);
        for flight in self.flights.iter_mut().filter(|flight| flight.endpoint == at) {
            match behaviour {
                Behaviour::Silent => (flight.due, flight.result) = (flight.began + timeout, Err(Fault::Silent)),
                Behaviour::Refuses => {
                    (flight.due, flight.result) = (flight.due.min(self.now + half), Err(Fault::Reset));
                }
                _ => {}
            }
        }
    }

    fn timeout(&self, at: usize) -> Duration {
        self.topology().region(self.topology().endpoint(EndpointIndex::of(at)).region).probe.timeout
    }

    /// A request failed there, for a client of this prefix.
    pub fn request_failed(&mut self, endpoint: &str, fault: Fault, prefix: u64) {
        let state = self.endpoint(endpoint);
        let id = state.id;
        state.load.failed();
        self.control.apply(self.now, Event::Failed { endpoint: id, fault, prefix });
        self.settle();
    }

    /// So many requests were answered there.
    pub fn answered(&mut self, endpoint: &str, requests: u32) {
        let load = Arc::clone(&self.endpoint(endpoint).load);
        (0..requests).for_each(|_| load.answered());
    }

    pub fn apply(&mut self, event: Event) {
        self.control.apply(self.now, event);
        self.settle();
    }

    pub fn drain(&mut self, drains: Vec<Override>) {
        self.apply(Event::Overridden { overrides: drains.into() });
    }

    /// The file says this now.
    pub fn reload(&mut self, text: &str) {
        let topology = Arc::new(topology(text));
        assert_eq!(topology.endpoints.len(), self.behaviours.len(), "the driver follows endpoints by their place");
        self.apply(Event::Reloaded { topology, locator: locator() });
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_while(until, |_| true);
    }

    /// Runs until `is_so`, at most for `time`; how long it took.
    pub fn run_until(&mut self, time: Duration, is_so: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (began, until) = (self.now, self.now + time);
        self.run_while(until, |node| !is_so(node));
        is_so(self).then(|| self.now.since(began))
    }

    fn run_while(&mut self, until: Moment, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) && self.now < until {
            let flights = self.flights.iter().map(|flight| flight.due);
            let next =
                flights.min().unwrap_or(until).min(self.schedule.wake_at(self.now)).min(self.next_tick).min(until);
            // A wake in the past is one that the shell would answer at once: time is granular here all the same.
            self.now = next.max(self.now + Duration::from_micros(1));
            self.step();
        }
    }

    fn step(&mut self) {
        let (done, left) = std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.due <= self.now);
        self.flights = left;
        let done: Vec<Flight> = done;
        for flight in done {
            let Launch { id, serial, .. } = flight.launch;
            for Learnt { endpoint, probe, result } in self.schedule.finished(self.now, id, serial, flight.result) {
                self.control.apply(self.now, Event::Probed { endpoint, probe, result });
            }
        }
        if self.now >= self.next_tick {
            self.next_tick = self.now + TICK;
        }
        self.settle();
    }

    /// Publishes what changed, then probes what is due, until neither leads to the other.
    fn settle(&mut self) {
        loop {
            if let Some((snapshot, changes)) = self.control.advance(self.now, self.now.since(Moment::ZERO)) {
                self.snapshot = snapshot;
                self.changes.extend(changes.into_iter().map(|change| (self.now, change)));
            }
            self.schedule.follow(self.now, &self.snapshot);
            let overdue = self.schedule.overdue(self.now);
            for Learnt { endpoint, probe, result } in overdue.iter().copied() {
                self.control.apply(self.now, Event::Probed { endpoint, probe, result });
            }
            if overdue.is_empty() {
                break;
            }
        }
        for launch in self.schedule.due(self.now) {
            self.launch(launch);
        }
    }

    fn launch(&mut self, launch: Launch) {
        self.probes += 1;
        let endpoint = launch.endpoint.at();
        let timeout = if launch.probe == 0 { self.timeout(endpoint) } else { Duration::from_secs(10) };
        let network = self.round_trips[endpoint];
        // TCP, TLS, HTTP: three round trips, of which a probe reports the last.
        let whole = network * 3;
        let silent = (timeout, Err(Fault::Silent));
        let stuck = (Duration::from_secs(2), Err(Fault::Stalled));
        let (after, result) = match self.behaviours[endpoint] {
            Behaviour::Stuck if launch.probe > 0 => stuck,
            Behaviour::Stuck => (whole, Ok(network)),
            Behaviour::Works => (whole, Ok(network)),
            Behaviour::Refuses => (network, Err(Fault::Refused)),
            Behaviour::Silent => silent,
            Behaviour::Slow(times) => (whole.mul_f64(times), Ok(network.mul_f64(times))),
            Behaviour::Lossy(share) if self.dice.fraction() < share => silent,
            Behaviour::Lossy(_) => (whole, Ok(network)),
            Behaviour::Answers(status) => (whole, Err(Fault::Status(status))),
        };
        let (after, result) = if after > timeout { silent } else { (after, result) };
        self.flights.push(Flight { launch, endpoint, began: self.now, due: self.now + after, result });
    }

    /// How often traffic for a region had to move: changes between what gets its share and what does not.
    pub fn steering_changes(&self, region: &str) -> usize {
        let gets_traffic = |standing: Standing| standing <= Standing::Strained;
        let own =
            self.changes.iter().filter(|(_, change)| change.region.as_str() == region && change.endpoint.is_none());
        own.filter(|(_, change)| gets_traffic(change.from) != gets_traffic(change.to)).count()
    }
}
