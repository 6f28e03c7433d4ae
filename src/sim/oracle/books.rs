//! What has happened, as far as promises depend on it: noted fact by fact.

use super::fence::{Fences, Part, fences};
use crate::health::{Fault, Reason, Standing};
use crate::moment::Moment;
use crate::sim::fact::{Fact, NodeIndex, Slot};
use crate::sim::scenario::What;
use crate::sim::world::{Word, World};
use crate::snapshot::{Override, Snapshot};
use crate::topology::{EndpointIndex, RegionIndex, RouteIndex};
use crate::upstream::Progress;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How far back a region's changes of standing count.
pub const FLAPS_WITHIN: Duration = Duration::from_secs(600);
/// How far back ejections by error rate count: a little less than the cap's own window, because clocks differ.
pub const EJECTIONS_WITHIN: Duration = Duration::from_millis(28_000);
/// How far back repetitions count, seconds.
pub const REPEATS_WITHIN: u64 = 10;

/// One try of a client at a node.
#[derive(Clone, Debug, Default)]
pub struct Try {
    /// Where and when it arrived; `None`: it has not.
    pub arrived: Option<(NodeIndex, Moment)>,
    /// Attempts.
    pub attempts: u32,
    /// Those that failed after the request may have reached a region, and before.
    pub failed_sent: u32,
    /// See there.
    pub failed_unsent: u32,
    /// How the last one failed.
    pub last: Option<(RegionIndex, Fault, Progress)>,
    /// How the one before the last one failed, while that is under way.
    pub before: Option<(RegionIndex, Fault, Progress)>,
    /// When the last one began, and where.
    pub tried: Option<(RegionIndex, EndpointIndex, Moment)>,
    /// Regions that were asked.
    pub asked: Vec<RegionIndex>,
    /// Who has worked on it.
    pub worked: Option<RegionIndex>,
    /// Whether it left a region that had fallen silent, as its node thought.
    pub has_left: bool,
    /// Whether an answer has begun.
    pub is_answered: bool,
    /// Whether a region's failure came when the budget may have been spent.
    pub is_budget_doubtful: bool,
}

/// A node.
#[derive(Clone, Debug)]
pub struct NodeBook {
    /// When it started, if it is there.
    pub started: Option<Moment>,
    /// The drains that it has applied.
    pub drains: Vec<Override>,
    /// And keeps on its disk.
    kept: Vec<Override>,
    /// When they, or its file, changed last.
    pub told_at: Moment,
    /// Whether its disk was lost, so that what it was told once is forgotten.
    pub has_lost_disk: bool,
    /// The event in which it published last, and what.
    pub published_in: Option<u64>,
    /// See there.
    pub last: Option<Arc<Snapshot>>,
    /// By endpoint of its file: whether a drain covers it, and whether that is hard.
    pub drained: Vec<Option<bool>>,
    /// By region: when its standing changed between what is used and what is not.
    pub flaps: Vec<VecDeque<Moment>>,
    /// Regions that were left for their error rate.
    pub ejected: Vec<(Moment, RegionIndex)>,
    /// The event in which it refused a file.
    pub refused_in: Option<u64>,
    /// Whether it called everything up when its own eyes began to fail.
    pub well_before_blind: bool,
}

/// Repetitions of one hostname's requests at one region from one node, and what succeeded, by second.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// Second, repetitions, successes.
    cells: VecDeque<(u64, u64, u64)>,
    /// When a request last failed there that may have been worked on.
    failed: Option<u64>,
}

/// Everything noted.
#[derive(Clone, Debug)]
pub struct Books {
    tries: Vec<Try>,
    /// By node.
    pub nodes: Vec<NodeBook>,
    /// By file.
    fences: Vec<Fences>,
    /// By node, route and region.
    pub repeats: BTreeMap<(NodeIndex, RouteIndex, RegionIndex), Repeats>,
    /// Steps at the present moment.
    pub steps_now: u64,
    now: Moment,
    /// Tries so far.
    pub begun: u64,
    /// Whether the scenario has nothing but faults of the operators' channel.
    pub is_channel_only: bool,
    /// Whether words could overtake each other.
    pub has_late_words: bool,
}

impl Try {
    fn asks(&mut self, region: RegionIndex) {
        if !self.asked.contains(&region) {
            self.asked.push(region);
        }
    }

    fn forget(&mut self) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.clear();
        *self = Self { asked, ..Self::default() };
    }
}

impl Repeats {
    fn add(&mut self, second: u64, (repeated, succeeded): (u64, u64)) {
        while self.cells.front().is_some_and(|(first, ..)| first + REPEATS_WITHIN <= second) {
            self.cells.pop_front();
        }
        match self.cells.back_mut().filter(|(last, ..)| *last == second) {
            Some((_, repeats, successes)) => {
                *repeats += repeated;
                *successes += succeeded;
            }
            None => self.cells.push_back((second, repeated, succeeded)),
        }
    }

    /// A request failed that may have been worked on. Whether another had just before, so that the budget may be spent.
    fn fails(&mut self, second: u64) -> bool {
        self.failed.replace(second).is_some_and(|before| before + 2 > second)
    }

    /// Repetitions and successes within the window that ends with `second`.
    #[must_use]
    pub fn sum(&self, second: u64) -> (u64, u64) {
        let within = self.cells.iter().filter(|(at, ..)| at + REPEATS_WITHIN > second);
        within
            .fold((0, 0), |(repeats, successes), (_, repeated, succeeded)| (repeats + repeated, successes + succeeded))
    }
}

/// The second of a moment.
#[must_use]
pub fn second(now: Moment) -> u64 {
    now.since(Moment::ZERO).as_secs()
}

/// Whether a failure of that kind takes from the budget of repetition when it is followed by another attempt; what a dying
/// region takes with it at once, and what only waited in vain, need not.
#[must_use]
pub fn costs(fault: Fault, progress: Progress) -> bool {
    progress == Progress::Sent && matches!(fault, Fault::Status(_) | Fault::Protocol | Fault::Body)
}

/// Whether requests are sent to what stands so before all else is out.
#[must_use]
pub fn is_used(standing: Standing) -> bool {
    standing <= Standing::Strained
}

impl Books {
    /// Empty ones.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let node = |_| NodeBook {
            started: None,
            drains: Vec::new(),
            kept: Vec::new(),
            told_at: Moment::ZERO,
            has_lost_disk: false,
            published_in: None,
            last: None,
            drained: Vec::new(),
            flaps: vec![VecDeque::new(); world.topology.regions.len()],
            ejected: Vec::new(),
            refused_in: None,
            well_before_blind: false,
        };
        let faults = &world.scenario.faults;
        let is_channel =
            |what: &What| matches!(what, What::ChannelGone(_) | What::ChannelLate(..) | What::ChannelTwice(_));
        Self {
            tries: Vec::new(),
            nodes: (0..world.nodes.len()).map(node).collect(),
            fences: world.files.iter().map(|file| fences(file, &world.topology)).collect(),
            repeats: BTreeMap::new(),
            steps_now: 0,
            now: world.now,
            begun: 0,
            is_channel_only: faults.iter().all(|fault| is_channel(&fault.what)),
            has_late_words: faults
                .iter()
                .any(|fault| matches!(fault.what, What::ChannelLate(..) | What::ChannelTwice(_))),
        }
    }

    /// The world begins, with all of its nodes.
    pub fn begin(&mut self, world: &World) {
        for at in 0..self.nodes.len() {
            self.starts(world, NodeIndex::try_from(at).unwrap_or(NodeIndex::MAX));
        }
    }

    /// The try in that slot.
    #[must_use]
    pub fn of(&self, slot: Slot) -> &Try {
        static NONE: Try = Try {
            arrived: None,
            attempts: 0,
            failed_sent: 0,
            failed_unsent: 0,
            last: None,
            before: None,
            tried: None,
            asked: Vec::new(),
            worked: None,
            has_left: false,
            is_answered: false,
            is_budget_doubtful: false,
        };
        self.tries.get(slot as usize).unwrap_or(&NONE)
    }

    /// A region's part in a hostname by the file that a node has in force.
    #[must_use]
    pub fn part(&self, world: &World, node: NodeIndex, route: RouteIndex, region: RegionIndex) -> Option<Part> {
        self.fences[world.file_number(node)][route.at()][region.at()]
    }

    /// Whether any file lets a region serve a hostname.
    #[must_use]
    pub fn is_ever_inside(&self, route: RouteIndex, region: RegionIndex) -> bool {
        self.fences.iter().any(|fences| fences[route.at()][region.at()].is_some_and(|part| part.is_inside))
    }

    /// Whether a node keeps a hostname's new requests away from all of a region.
    #[must_use]
    pub fn is_drained(&self, world: &World, node: NodeIndex, route: RouteIndex, region: RegionIndex) -> bool {
        let file = world.file_of(node);
        let is_regional = world.topology.route(route).is_regional;
        let drained = &self.nodes[usize::from(node)].drained;
        let mut endpoints = file.topology.endpoints.iter().zip(drained);
        endpoints.all(|(endpoint, drained)| {
            file.regions[endpoint.region.at()] != region || drained.is_some_and(|is_hard| is_hard || !is_regional)
        })
    }

    /// A step is over.
    pub fn step(&mut self, world: &World) {
        if self.now == world.now {
            self.steps_now += 1;
        } else {
            (self.now, self.steps_now) = (world.now, 1);
        }
    }

    /// Takes a fact down.
    pub fn note(&mut self, world: &World, fact: &Fact) {
        match *fact {
            Fact::Begins(number) => self.begins(world, number),
            Fact::Starts(node) => self.starts(world, node),
            Fact::Stops(node) => self.nodes[usize::from(node)].started = None,
            Fact::Obeys(node, word) => self.obeys(world, node, word),
            Fact::Refuses(node, _) => self.nodes[usize::from(node)].refused_in = Some(world.events),
            Fact::Publishes(node) => self.publishes(world, node),
            Fact::Wishes(slot) => self.entry(slot).forget(),
            Fact::Arrives(slot, node) => {
                self.begun += 1;
                let now = world.now;
                let entry = self.entry(slot);
                entry.forget();
                entry.arrived = Some((node, now));
            }
            Fact::Tries { request, node, region, endpoint, .. } => self.tries(world, request, node, region, endpoint),
            Fact::Processes(slot, region) => self.entry(slot).worked = Some(region),
            Fact::Fails { request, node, region, fault, progress } => {
                self.fails(world, (request, node, region), fault, progress);
            }
            Fact::Answers { request, node, region, status } => {
                let route = world.request(request).route;
                self.entry(request).is_answered = true;
                if status < 400 {
                    self.repeats.entry((node, route, region)).or_default().add(second(world.now), (0, 1));
                }
            }
            Fact::Ended(slot, _) => self.entry(slot).forget(),
            Fact::Ends(_)
            | Fact::Stands { .. }
            | Fact::Probed { .. }
            | Fact::Resolved { .. }
            | Fact::Dials { .. }
            | Fact::Finished(..) => {}
        }
    }

    fn entry(&mut self, slot: Slot) -> &mut Try {
        let at = slot as usize;
        if self.tries.len() <= at {
            self.tries.resize(at + 1, Try::default());
        }
        &mut self.tries[at]
    }

    fn begins(&mut self, world: &World, number: u16) {
        let what = &world.scenario.faults[usize::from(number)].what;
        let (What::DiskLost(sites) | What::BlindProber(sites)) = what else { return };
        for (book, site) in self.nodes.iter_mut().zip(&world.topology.sites) {
            if !(sites.is_empty() || sites.contains(&site.name)) {
                continue;
            }
            if matches!(what, What::DiskLost(_)) {
                book.kept.clear();
                book.has_lost_disk = true;
            } else {
                let is_up = |last: &Arc<Snapshot>| last.regions.iter().all(|region| region.standing == Standing::Up);
                book.well_before_blind = book.last.as_ref().is_some_and(is_up);
            }
        }
    }

    fn starts(&mut self, world: &World, node: NodeIndex) {
        let book = &mut self.nodes[usize::from(node)];
        book.started = Some(world.now);
        book.drains = book.kept.clone();
        book.told_at = world.now;
        book.last = world.nodes[usize::from(node)].as_ref().map(|node| Arc::clone(&node.snapshot));
        book.ejected.clear();
        book.well_before_blind = false;
        self.cover(world, node);
    }

    fn obeys(&mut self, world: &World, node: NodeIndex, word: u32) {
        let book = &mut self.nodes[usize::from(node)];
        match world.word(word) {
            Some(Word::Drain(drain)) => {
                book.drains.retain(|known| known.target != drain.target);
                book.drains.push(drain.clone());
            }
            Some(Word::Undrain(target)) => book.drains.retain(|known| known.target != *target),
            // What a new file makes new has never passed, and is no witness.
            Some(Word::File(_)) => book.well_before_blind = false,
            _ => {}
        }
        book.kept = book.drains.clone();
        book.told_at = world.now;
        self.cover(world, node);
    }

    /// Works out what the drains of a node cover.
    fn cover(&mut self, world: &World, node: NodeIndex) {
        let topology = &world.file_of(node).topology;
        let book = &mut self.nodes[usize::from(node)];
        let hard = |endpoint: usize| {
            let covers = |drain: &&Override| drain.target.covers(topology, EndpointIndex::of(endpoint));
            book.drains.iter().filter(covers).map(|drain| drain.is_hard).max()
        };
        book.drained = (0..topology.endpoints.len()).map(hard).collect();
    }

    fn publishes(&mut self, world: &World, node: NodeIndex) {
        let Some(running) = &world.nodes[usize::from(node)] else { return };
        let (file, now) = (world.file_of(node), world.now);
        let book = &mut self.nodes[usize::from(node)];
        let snapshot = &running.snapshot;
        if let Some(last) = book.last.as_ref().filter(|last| Arc::ptr_eq(&last.topology, &snapshot.topology)) {
            for (at, (before, after)) in last.regions.iter().zip(&snapshot.regions).enumerate() {
                let Some(region) = file.regions.get(at).copied() else { continue };
                let is_known = before.standing != Standing::Unknown && after.standing != Standing::Unknown;
                if is_known && is_used(before.standing) != is_used(after.standing) {
                    let flaps = &mut book.flaps[region.at()];
                    while flaps.front().is_some_and(|first| now.since(*first) > FLAPS_WITHIN) {
                        flaps.pop_front();
                    }
                    flaps.push_back(now);
                }
                // What suspicion or probes hid for a while is not left anew.
                if is_used(before.standing) && after.reason == Reason::ErrorRate {
                    book.ejected.retain(|(at, _)| now.since(*at) < EJECTIONS_WITHIN);
                    book.ejected.push((now, region));
                }
            }
        }
        book.published_in = Some(world.events);
        book.last = Some(Arc::clone(snapshot));
    }

    fn tries(&mut self, world: &World, slot: Slot, node: NodeIndex, region: RegionIndex, endpoint: EndpointIndex) {
        let (now, route) = (world.now, world.request(slot).route);
        let entry = self.entry(slot);
        entry.attempts += 1;
        entry.tried = Some((region, endpoint, now));
        entry.asks(region);
        entry.before = entry.last;
        if let Some((from, fault, progress)) = entry.last.take()
            && costs(fault, progress)
        {
            self.repeats.entry((node, route, from)).or_default().add(second(now), (1, 0));
        }
    }

    fn fails(
        &mut self,
        world: &World,
        (slot, node, region): (Slot, NodeIndex, RegionIndex),
        fault: Fault,
        progress: Progress,
    ) {
        let key = (node, world.request(slot).route, region);
        let is_sent = progress == Progress::Sent;
        let is_doubtful = is_sent && self.repeats.entry(key).or_default().fails(second(world.now));
        let entry = self.entry(slot);
        entry.last = Some((region, fault, progress));
        entry.is_budget_doubtful |= is_doubtful;
        entry.has_left |= fault == Fault::Silent && is_sent;
        if is_sent {
            entry.failed_sent += 1;
        } else {
            entry.failed_unsent += 1;
        }
    }
}
