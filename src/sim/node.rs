//! One node: the real machines of its control plane, and the shell around them in virtual time.
//!
//! It does what the shells of `control`, `probe` and `probe::sites` do and nothing else, at the moments at which they would.

use super::asking::{SYN_AGAIN, Way, probe};
use super::fact::{Fact, NodeIndex};
use super::scenario::Ways;
use super::stage::File;
use super::truth::Truth;
use super::watch::Watch;
use crate::control::change::Change;
use crate::control::{Control, Event, TICK};
use crate::geo::database::Locator;
use crate::health::Fault;
use crate::moment::{Dice, Moment};
use crate::names::Label;
use crate::probe::rounds::Rounds;
use crate::probe::schedule::{Launch, Learnt, Schedule};
use crate::snapshot::{Override, Snapshot};
use crate::topology::{EndpointIndex, Probe, RegionIndex};
use std::sync::Arc;
use std::time::Duration;

/// How long a node waits for another site to answer.
const SITE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is around a node.
pub struct Around<'a> {
    /// How everything is.
    pub truth: &'a Truth,
    /// What ways are usually like.
    pub ways: &'a Ways,
    /// One round trip from each node to each region.
    pub round_trips: &'a [Vec<Duration>],
    /// And to each other node.
    pub between: &'a [Vec<Duration>],
    /// The true wall clock.
    pub wall: Duration,
}

#[derive(Debug)]
struct Flight {
    launch: Launch,
    began: Moment,
    due: Moment,
    result: Result<Duration, Fault>,
    /// Whether its packets come to nobody, so that they have to be sent again.
    is_lost: bool,
}

#[derive(Debug)]
struct SiteFlight {
    site: Label,
    due: Moment,
    result: Result<(), Fault>,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Which.
    pub index: NodeIndex,
    /// What it believes.
    pub snapshot: Arc<Snapshot>,
    /// The file that it has in force.
    pub file: File,
    watch: Watch,
    control: Control,
    schedule: Schedule,
    rounds: Rounds,
    asks_sites: bool,
    dice: Dice,
    flights: Vec<Flight>,
    site_flights: Vec<SiteFlight>,
    /// When the writer looks at the time, if time alone may change something.
    next_tick: Option<Moment>,
    wakes_at: Moment,
}

impl Node {
    /// A node that starts `now`, with what it finds on its disk.
    #[must_use]
    pub fn boot(
        now: Moment,
        index: NodeIndex,
        mut dice: Dice,
        file: &File,
        locator: &Arc<Locator>,
        overrides: Arc<[Override]>,
    ) -> Self {
        let watch = Watch::started(now);
        let topology = Arc::clone(&file.topology);
        let own = file.sites.iter().position(|site| *site == Some(index)).unwrap_or(0);
        let here = topology.sites[own].clone();
        let mut control = Control::new(Moment::ZERO, topology, Arc::clone(locator), here, overrides);
        let (snapshot, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
        let mut node = Self {
            index,
            snapshot,
            file: file.clone(),
            watch,
            control,
            schedule: Schedule::new(Dice::seeded(dice.roll())),
            rounds: Rounds::new(Dice::seeded(dice.roll())),
            asks_sites: false,
            dice,
            flights: Vec::new(),
            site_flights: Vec::new(),
            next_tick: Some(now),
            wakes_at: now,
        };
        node.follow(Moment::ZERO);
        node
    }

    /// What its own clock shows at `now`.
    #[must_use]
    pub fn own(&self, now: Moment) -> Moment {
        self.watch.own(now)
    }

    /// When its clock will show `own`, by the world's time.
    #[must_use]
    pub fn world(&self, own: Moment) -> Moment {
        self.watch.world(own)
    }

    /// Probes that are under way, and questions to other sites.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.flights.len() + self.site_flights.len()
    }

    /// What it will be told next is this file.
    pub fn adopt(&mut self, file: File) {
        self.file = file;
    }

    /// When it has something to do by itself.
    #[must_use]
    pub fn wakes_at(&self) -> Moment {
        self.wakes_at
    }

    /// Its clock runs fast by so many millionths from `now` on.
    pub fn drift(&mut self, now: Moment, ppm: i32) {
        self.watch.drift(now, ppm);
        (self.next_tick, self.wakes_at) = (Some(now), now);
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Moment, around: &Around<'_>, facts: &mut Vec<Fact>) {
        self.land(now, around, facts);
        if self.next_tick.is_some_and(|tick| tick <= now) {
            self.next_tick = None;
            self.settle(now, around, facts);
        }
        let own = self.own(now);
        for learnt in self.schedule.overdue(own) {
            self.learn(now, learnt, around, facts);
        }
        for launch in self.schedule.due(own) {
            let (took, result) = self.fly(launch, around);
            let is_lost = self.is_lost(launch, around);
            self.flights.push(Flight { launch, began: now, due: now + took, result, is_lost });
        }
        if self.asks_sites {
            self.ask_sites(now, around);
        }
        self.plan(now, around);
    }

    /// Its front door has counted something at an endpoint: the writer sees it at its next tick.
    pub fn stirred(&mut self, now: Moment) {
        let tick = self.watch.world(tick_after(self.own(now)));
        if self.next_tick.is_none_or(|planned| planned > tick) {
            self.next_tick = Some(tick);
            self.wakes_at = self.wakes_at.min(tick);
        }
    }

    /// Takes in a fact that its own front door, or an operator, tells.
    pub fn tell(&mut self, now: Moment, event: Event, around: &Around<'_>, facts: &mut Vec<Fact>) {
        self.control.apply(self.own(now), event);
        self.settle(now, around, facts);
        self.plan(now, around);
    }

    /// Everything that is under way to those regions meets them as they are now.
    pub fn meet(&mut self, now: Moment, around: &Around<'_>, is_changed: impl Fn(RegionIndex) -> bool) {
        let mut flights = std::mem::take(&mut self.flights);
        for flight in &mut flights {
            if self.region_of(flight.launch.endpoint).is_some_and(&is_changed) {
                let (took, result) = self.fly(flight.launch, around);
                let was_lost = std::mem::replace(&mut flight.is_lost, self.is_lost(flight.launch, around));
                let goes_on = match result {
                    Err(Fault::Silent) => flight.began,
                    _ if was_lost => sent_again(flight.began, now),
                    _ => now,
                };
                let over = flight.began + self.asked(flight.launch).timeout;
                let is_over = goes_on + took > over;
                flight.due = (goes_on + took).min(over).max(now);
                flight.result = if is_over { Err(Fault::Silent) } else { result };
            }
        }
        self.flights = flights;
        self.plan(now, around);
    }

    /// What has come back.
    fn land(&mut self, now: Moment, around: &Around<'_>, facts: &mut Vec<Fact>) {
        while let Some(at) = self.flights.iter().position(|flight| flight.due <= now) {
            let Flight { launch, result, .. } = self.flights.swap_remove(at);
            for learnt in self.schedule.finished(self.own(now), launch.id, launch.serial, result) {
                self.learn(now, learnt, around, facts);
            }
        }
        while let Some(at) = self.site_flights.iter().position(|flight| flight.due <= now) {
            let SiteFlight { site, result, .. } = self.site_flights.swap_remove(at);
            if self.rounds.finished(&site) {
                self.control.apply(self.own(now), Event::SiteAsked { site, result });
                self.settle(now, around, facts);
            }
        }
    }

    fn learn(&mut self, now: Moment, learnt: Learnt, around: &Around<'_>, facts: &mut Vec<Fact>) {
        let Learnt { endpoint, probe, result } = learnt;
        if let Some(at) = self.snapshot.endpoints.iter().position(|state| state.id == endpoint) {
            facts.push(Fact::Probed { node: self.index, endpoint: EndpointIndex::of(at), result });
        }
        self.control.apply(self.own(now), Event::Probed { endpoint, probe, result });
        self.settle(now, around, facts);
    }

    /// What is believed now is published, if it is new.
    fn settle(&mut self, now: Moment, around: &Around<'_>, facts: &mut Vec<Fact>) {
        let wall = self.wall(around);
        let Some((snapshot, changes)) = self.control.advance(self.own(now), wall) else { return };
        self.snapshot = snapshot;
        facts.push(Fact::Publishes(self.index));
        let stands = changes.iter().filter_map(|change| self.stands(change));
        facts.extend(stands);
        self.follow(self.own(now));
    }

    fn stands(&self, change: &Change) -> Option<Fact> {
        let region = self.snapshot.topology.region_named(change.region.as_str())?;
        let region = *self.file.regions.get(region.at())?;
        let is_whole = change.endpoint.is_none();
        is_whole.then_some(Fact::Stands { node: self.index, region, before: change.from, standing: change.to })
    }

    fn follow(&mut self, own: Moment) {
        self.schedule.follow(own, &self.snapshot);
        self.asks_sites = self.snapshot.topology.site_hostname().is_some();
        let sites = self.snapshot.topology.sites.iter().zip(&self.snapshot.sites);
        let judged = sites.filter_map(|(site, state)| Some((site.name.clone(), state.pace?)));
        let asks_sites = self.asks_sites;
        self.rounds.follow(own, judged.filter(|_| asks_sites));
    }

    /// How long a probe is under way, and what it comes to, as everything is now.
    fn fly(&mut self, launch: Launch, around: &Around<'_>) -> (Duration, Result<Duration, Fault>) {
        let endpoint = self.snapshot.topology.endpoint(launch.endpoint);
        let asked = self.asked(launch);
        let at = usize::from(self.index);
        let region = self.file.regions[endpoint.region.at()];
        let way = Way {
            round_trip: around.round_trips[at][region.at()],
            is_tls: endpoint.tls,
            now: around.truth.way(self.index, region),
            usual: around.ways,
        };
        let asked = asked.clone();
        probe(&mut self.dice, &asked, way, &around.truth.nodes[at], &around.truth.regions[region.at()])
    }

    /// What a launch asks.
    fn asked(&self, launch: Launch) -> &Arc<Probe> {
        let topology = &self.snapshot.topology;
        let region = topology.region(topology.endpoint(launch.endpoint).region);
        region.probes().nth(launch.probe).expect("one that was launched")
    }

    /// Whether what a launch sends now comes to nobody.
    fn is_lost(&self, launch: Launch, around: &Around<'_>) -> bool {
        let region = self.file.regions[self.snapshot.topology.endpoint(launch.endpoint).region.at()];
        around.truth.regions[region.at()].is_silent || !around.truth.way(self.index, region).is_open()
    }

    /// The world's number of the region of an endpoint.
    fn region_of(&self, endpoint: EndpointIndex) -> Option<RegionIndex> {
        let region = self.snapshot.topology.endpoints.get(endpoint.at())?.region;
        self.file.regions.get(region.at()).copied()
    }

    fn ask_sites(&mut self, now: Moment, around: &Around<'_>) {
        let (at, truth) = (usize::from(self.index), around.truth);
        for site in self.rounds.due(self.watch.own(now)) {
            let Some(there) = self.snapshot.topology.sites.iter().position(|known| known.name == site) else {
                continue;
            };
            let Some(other) = self.file.sites[there].map(usize::from) else { continue };
            let there = &truth.nodes[other];
            let round_trip = around.between[at][other] * 3;
            let (took, result) = match () {
                () if truth.nodes[at].is_isolated || there.is_isolated || there.is_frozen => {
                    (SITE_TIMEOUT, Err(Fault::Silent))
                }
                () if there.is_gone => (round_trip / 3, Err(Fault::Refused)),
                () => (round_trip, Ok(())),
            };
            self.site_flights.push(SiteFlight { site, due: now + took, result });
        }
    }

    /// What its own wall clock shows.
    fn wall(&self, around: &Around<'_>) -> Duration {
        let step = around.truth.nodes[usize::from(self.index)].step_s;
        let off = Duration::from_secs(step.unsigned_abs());
        if step >= 0 { around.wall + off } else { around.wall.saturating_sub(off) }
    }

    fn plan(&mut self, now: Moment, around: &Around<'_>) {
        let own = self.own(now);
        let wakes_at = self.control.wakes_at(own, self.wall(around));
        // The real writer looks at the time in ticks: what may change between two of them changes at the next.
        self.next_tick = wakes_at.map(|at| self.watch.world(if at > own { tick_from(at) } else { tick_after(own) }));
        let machines = [Some(self.schedule.wake_at(own)), self.asks_sites.then(|| self.rounds.wake_at(own))];
        let machines = machines.into_iter().flatten().map(|own| self.watch.world(own));
        let flights = self.flights.iter().map(|flight| flight.due);
        let sites = self.site_flights.iter().map(|flight| flight.due);
        let next = flights.chain(sites).chain(machines).chain(self.next_tick).min().unwrap_or(now + TICK);
        self.wakes_at = next.max(now);
    }
}

/// The first tick at or after a moment of a node's own clock.
fn tick_from(own: Moment) -> Moment {
    let tick = u64::try_from(TICK.as_nanos()).unwrap_or(1);
    Moment::from_nanos(own.as_nanos().div_ceil(tick).saturating_mul(tick))
}

/// The first tick after it.
fn tick_after(own: Moment) -> Moment {
    tick_from(own + Duration::from_nanos(1))
}

/// When a first packet that was lost since `began` is sent the next time, from `now` on: not because somebody hears it by now.
fn sent_again(began: Moment, now: Moment) -> Moment {
    let (mut at, mut wait) = (began, SYN_AGAIN);
    while at < now {
        at = at + wait;
        wait *= 2;
    }
    at
}
