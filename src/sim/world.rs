//! A world in virtual time: nodes, regions, clients and resolvers, and what goes wrong with them.
//!
//! [`World::step`] lets the next thing happen and leaves what it came to in [`World::facts`]. Two runs of one scenario with
//! one seed are the same to the last fact.

mod answers;
mod attempts;
mod clients;
mod crowd;
mod doors;
mod faults;
mod names;
mod regions;

use super::cities::City;
use super::distance::round_trip;
use super::fact::{Fact, NodeIndex, Slot};
use super::node::{Around, Node};
use super::queue::Queue;
use super::request::Request;
use super::resolvers::Resolver;
use super::scenario::{Program, RegionTruth, Scenario};
use super::stage::{File, Stage, fitted};
use super::truth::{Active, Truth};
use crate::front::terms::Terms;
use crate::geo::place::Place;
use crate::health::Fault;
use crate::moment::{Dice, Moment, mix};
use crate::steering::Client as Believed;
use crate::topology::{RegionIndex, RouteIndex, Site, Topology};
use crate::upstream::Progress;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doors::{Doing, Door, Live};
pub use faults::Word;
pub use regions::Region;

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Where it is: a city's number.
    pub city: usize,
    /// The same.
    pub place: Place,
    /// Its address.
    pub address: IpAddr,
    /// What it asks with.
    pub program: Program,
    /// What the last mile adds to its round trips.
    pub last_mile: Duration,
    /// What nodes take it to be.
    believed: Arc<Believed>,
    /// What they take it to be when geography is wrong.
    mistaken: Arc<Believed>,
    resolver: usize,
    /// Its open connection: to which node, and until when it is kept.
    kept: Option<(NodeIndex, Moment)>,
    /// Or to which region, where its name leads there.
    kept_region: Option<(RegionIndex, Moment)>,
}

impl Client {
    /// Where nodes take it to be while geography is right.
    #[must_use]
    pub fn believed(&self) -> &Place {
        &self.believed.place
    }
}

/// Something that will happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Somebody wants something.
    Wish(u32),
    /// A client's try begins.
    Ask(Slot, u32),
    /// It has reached a node.
    Arrive(Slot, u32),
    /// It has failed to.
    Miss(Slot, u32),
    /// The first packet of a connection reaches the region.
    Connect(Slot, u32),
    /// The request reaches the region.
    Send(Slot, u32),
    /// The region has an answer.
    Leave(Slot, u32),
    /// Somebody else's turn at a region.
    Free(RegionIndex, u32),
    /// The head of an answer reaches the node.
    Head(Slot, u32, u16),
    /// An attempt has failed.
    Fail(Slot, u32, Fault, Progress),
    /// It is looked at whether waiting is in vain.
    Vain(Slot, u32),
    /// An impatient client has waited long enough.
    Over(Slot, u32),
    /// An answer has flowed to its end.
    Flow(Slot, u32),
    /// The client has it all.
    Done(Slot, u32),
    /// The client gives up.
    Abandon(Slot, u32),
    /// A fault begins, is over, or changes its phase.
    Begin(u16),
    End(u16),
    Phase(u16, u32),
    /// An operator's word reaches a node.
    Word(u32, NodeIndex),
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// What it is about.
    pub scenario: Arc<Scenario>,
    /// Now.
    pub now: Moment,
    /// What has just happened.
    pub facts: Vec<Fact>,
    /// How everything really is.
    pub truth: Truth,
    /// Faults that have begun and are not over.
    pub active: Vec<Active>,
    /// The nodes that are there, by site.
    pub nodes: Vec<Option<Node>>,
    /// Who asks.
    pub clients: Vec<Client>,
    /// The regions' insides.
    pub regions: Vec<Region>,
    /// The file of the beginning, with which everything is numbered.
    pub topology: Arc<Topology>,
    /// All files, the first first.
    pub files: Vec<File>,
    /// Things that have happened.
    pub events: u64,
    /// How often the truth was made anew.
    pub turns: u64,
    stage: Stage,
    queue: Queue<Event>,
    live: Vec<Live>,
    free: Vec<Slot>,
    freed: Vec<Slot>,
    doors: Vec<Door>,
    resolvers: Vec<Resolver>,
    round_trips: Vec<Vec<Duration>>,
    between: Vec<Vec<Duration>>,
    /// By city, then by node.
    city_trips: Vec<Vec<Duration>>,
    /// By node: all that share an address with it.
    anycast: Vec<Vec<NodeIndex>>,
    routes: Vec<(RouteIndex, u32)>,
    routes_total: u64,
    work_up_to: Vec<u64>,
    work_total: u64,
    /// By route, then by work: on which terms.
    terms: Vec<Vec<Terms>>,
    words: Vec<faults::Word>,
    dice: Dice,
    /// What is wished does not depend on what becomes of it: two configurations are asked for the same.
    crowd_dice: Dice,
    retry_dice: Dice,
    held_wishes: Vec<Slot>,
    wish_serial: u32,
    ends: Moment,
}

impl World {
    /// The world of `scenario` in front of the configuration of `stage`; `rollouts` are the files of the scenario's
    /// rollouts, in its order.
    ///
    /// # Errors
    /// A sentence that says what of the scenario does not fit.
    pub fn new(stage: &Stage, scenario: &Arc<Scenario>, rollouts: &[Arc<Topology>], seed: u64) -> Result<Self, String> {
        let topology = Arc::new(fitted(&stage.topology, scenario));
        let files: Option<Vec<File>> = std::iter::once(Arc::clone(&topology))
            .chain(rollouts.iter().map(|written| Arc::new(fitted(written, scenario))))
            .map(|file| File::in_world(file, &topology))
            .collect();
        let files = files.ok_or("a file that is rolled out has a region that the first one has not")?;
        let mut dice = Dice::seeded(mix(seed ^ 0x0061_6E79_6672_6F6E));
        let usual: Vec<_> = topology.regions.iter().map(|region| scenario.truth_of(&region.name)).collect();
        let sites = &topology.sites;
        let trips = |from: &Place| topology.regions.iter().map(|to| round_trip(&from.at, &to.place.at)).collect();
        let round_trips: Vec<Vec<Duration>> = sites.iter().map(|site| trips(&site.place)).collect();
        let between = |from: &Place| sites.iter().map(|to| round_trip(&from.at, &to.place.at)).collect();
        let between: Vec<Vec<Duration>> = sites.iter().map(|site| between(&site.place)).collect();
        let cities = stage.cities.all().iter();
        let to_sites = |city: &City| sites.iter().map(|site| round_trip(&city.at, &site.place.at)).collect();
        let city_trips: Vec<Vec<Duration>> = cities.map(to_sites).collect();
        let regions = insides(&topology, scenario, &usual);
        let truth = Truth::fine(usual, sites.len(), scenario.ways.loss);
        let doors = (0..sites.len()).map(|_| Door::new(&mut dice, &topology)).collect();
        let mut world = Self {
            now: Moment::ZERO,
            facts: Vec::new(),
            truth,
            active: Vec::new(),
            nodes: Vec::new(),
            clients: Vec::new(),
            regions,
            files,
            events: 0,
            turns: 0,
            queue: Queue::default(),
            live: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            doors,
            resolvers: Vec::new(),
            round_trips,
            between,
            city_trips,
            anycast: anycast(&topology),
            routes: Vec::new(),
            routes_total: 0,
            work_up_to: Vec::new(),
            work_total: 0,
            terms: Vec::new(),
            words: Vec::new(),
            crowd_dice: Dice::seeded(dice.roll()),
            retry_dice: Dice::seeded(dice.roll()),
            dice,
            held_wishes: Vec::new(),
            wish_serial: 0,
            ends: Moment::at(scenario.lasts),
            scenario: Arc::clone(scenario),
            stage: stage.clone(),
            topology,
        };
        world.settle_crowd()?;
        for at in 0..world.topology.sites.len() {
            world.boot(NodeIndex::try_from(at).map_err(|_| "there are too many sites")?);
        }
        world.plan_faults()?;
        world.plan_wish();
        Ok(world)
    }

    /// Lets the next thing happen. `false`: nothing does any more before the end.
    pub fn step(&mut self) -> bool {
        self.facts.clear();
        self.free.append(&mut self.freed);
        let event = self.queue.next().unwrap_or(self.ends);
        let nodes = self.nodes.iter().enumerate().filter_map(|(at, node)| Some((self.wakes(at, node.as_ref()?)?, at)));
        let next = nodes.min().filter(|(at, _)| *at < event);
        let now = next.map_or(event, |(at, _)| at);
        if now >= self.ends {
            self.now = self.ends;
            return false;
        }
        self.now = self.now.max(now);
        self.events += 1;
        match next {
            Some((_, at)) => self.wake(at),
            None => {
                if let Some((_, event)) = self.queue.pop() {
                    self.happen(event);
                }
            }
        }
        true
    }

    /// The request in that slot, as long as it is.
    #[must_use]
    pub fn request(&self, slot: Slot) -> &Request {
        &self.live[slot as usize].request
    }

    /// When it is, by the true wall clock.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.scenario.starts + self.now.since(Moment::ZERO)
    }

    /// One round trip between a node and a region.
    #[must_use]
    pub fn round_trip(&self, node: NodeIndex, region: RegionIndex) -> Duration {
        self.round_trips[usize::from(node)][region.at()]
    }

    /// The way between a node and a region takes so long there and back, because somebody has measured it.
    pub fn measured(&mut self, node: NodeIndex, region: RegionIndex, round_trip: Duration) {
        self.round_trips[usize::from(node)][region.at()] = round_trip;
    }

    /// One round trip between a client and a place.
    #[must_use]
    pub fn trip_of(&self, client: &Client, place: &Place) -> Duration {
        round_trip(&client.place.at, &place.at) + client.last_mile
    }

    /// The file that a node has in force, and what its numbers mean.
    #[must_use]
    pub fn file_of(&self, node: NodeIndex) -> &File {
        &self.files[self.doors[usize::from(node)].file]
    }

    /// The number of that file.
    #[must_use]
    pub fn file_number(&self, node: NodeIndex) -> usize {
        self.doors[usize::from(node)].file
    }

    /// What an operator said, by its number.
    #[must_use]
    pub fn word(&self, number: u32) -> Option<&Word> {
        self.words.get(number as usize)
    }

    /// Things that are to come.
    #[must_use]
    pub fn to_come(&self) -> usize {
        self.queue.len()
    }

    /// Requests that are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.live.len() - self.free.len() - self.freed.len()
    }

    fn wakes(&self, at: usize, node: &Node) -> Option<Moment> {
        (!self.truth.nodes[at].is_frozen).then(|| node.wakes_at())
    }

    /// Runs something on a node with what is around it.
    fn on_node<T>(
        &mut self,
        at: usize,
        run: impl FnOnce(&mut Node, Moment, &Around<'_>, &mut Vec<Fact>) -> T,
    ) -> Option<T> {
        let around = Around {
            truth: &self.truth,
            ways: &self.scenario.ways,
            round_trips: &self.round_trips,
            between: &self.between,
            wall: self.scenario.starts + self.now.since(Moment::ZERO),
        };
        let node = self.nodes.get_mut(at)?.as_mut()?;
        Some(run(node, self.now, &around, &mut self.facts))
    }

    fn wake(&mut self, at: usize) {
        self.on_node(at, Node::wake);
        self.heed(at);
    }

    /// A node's front door has counted something.
    fn stirs(&mut self, node: NodeIndex) {
        if let Some(Some(running)) = self.nodes.get_mut(usize::from(node)) {
            running.stirred(self.now);
        }
    }

    /// Tells a node something, and whoever waits there what came of it.
    fn tell(&mut self, node: NodeIndex, event: crate::control::Event) {
        let at = usize::from(node);
        self.on_node(at, |node, now, around, facts| node.tell(now, event, around, facts));
        self.heed(at);
    }

    /// Whoever waits at a node hears what it has published.
    fn heed(&mut self, at: usize) {
        let published = |fact: &Fact| matches!(fact, Fact::Publishes(node) if usize::from(*node) == at);
        if self.facts.iter().any(published) {
            self.watch_out(at);
        }
    }

    fn boot(&mut self, node: NodeIndex) {
        let at = usize::from(node);
        let door = &mut self.doors[at];
        door.gone_since = None;
        door.file = door.kept_file;
        door.drains.clone_from(&door.kept_drains);
        let file = &self.files[door.file];
        door.forget(&file.topology);
        let dice = Dice::seeded(door.dice.roll());
        let booted = Node::boot(self.now, node, dice, file, &self.stage.locator, door.drains.clone().into());
        if self.nodes.len() <= at {
            self.nodes.push(Some(booted));
        } else {
            self.nodes[at] = Some(booted);
        }
        let ppm = self.truth.nodes[at].drift_ppm;
        self.on_node(at, |node, now, _, _| {
            if ppm != 0 {
                node.drift(now, ppm);
            }
        });
        self.facts.push(Fact::Starts(node));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wish(serial) if serial == self.wish_serial => self.wish(),
            Event::Ask(slot, serial) if self.is_live(slot, serial) => self.ask(slot),
            Event::Arrive(slot, serial) if self.is_live(slot, serial) => self.arrive(slot),
            Event::Miss(slot, serial) if self.is_live(slot, serial) => self.miss(slot),
            Event::Connect(slot, serial) if self.is_live(slot, serial) => self.connect(slot),
            Event::Send(slot, serial) if self.is_live(slot, serial) => self.send(slot),
            Event::Leave(slot, serial) if self.is_live(slot, serial) => self.leave(slot),
            Event::Free(region, life) => self.free_at(region, life),
            Event::Head(slot, serial, status) if self.is_live(slot, serial) => self.head(slot, status),
            Event::Fail(slot, serial, fault, progress) if self.is_live(slot, serial) => {
                self.fail(slot, fault, progress);
            }
            Event::Vain(slot, serial) if self.is_live(slot, serial) => self.leave_if_vain(slot),
            Event::Over(slot, serial) if self.is_live(slot, serial) => self.over(slot),
            Event::Flow(slot, serial) if self.is_live(slot, serial) => self.flow(slot),
            Event::Done(slot, serial) if self.is_live(slot, serial) => self.done(slot),
            Event::Abandon(slot, serial) if self.is_live(slot, serial) => self.abandon(slot),
            Event::Begin(number) => self.begin(number),
            Event::End(number) => self.end(number),
            Event::Phase(number, phase) => self.phase(number, phase),
            Event::Word(word, node) => self.hear(word, node),
            _ => {}
        }
    }

    fn is_live(&self, slot: Slot, serial: u32) -> bool {
        self.live[slot as usize].serial == serial
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now + wait, event);
    }
}

/// The insides of all regions. What the file says is what each node gives one at most.
fn insides(topology: &Topology, scenario: &Scenario, usual: &[RegionTruth]) -> Vec<Region> {
    let nodes = u32::try_from(topology.sites.len()).unwrap_or(1);
    let inside = |(at, usual): (usize, &RegionTruth)| {
        let capacity = topology.regions[at].capacity.map(|capacity| capacity.saturating_mul(nodes));
        Region::new(capacity, usual, scenario.crowd.stands_for)
    };
    usual.iter().enumerate().map(inside).collect()
}

/// For each site those that share an address with it, itself among them. Where the configuration says nothing of DNS, names
/// lead to addresses that all sites announce.
fn anycast(topology: &Topology) -> Vec<Vec<NodeIndex>> {
    let are_one = topology.dns.is_none();
    let shares = |one: &Site, other: &Site| {
        are_one || one.name == other.name || one.addresses.iter().any(|a| other.addresses.contains(a))
    };
    let group = |site: &Site| {
        let all = topology.sites.iter().enumerate().filter(|(_, other)| shares(site, other));
        all.filter_map(|(at, _)| NodeIndex::try_from(at).ok()).collect()
    };
    topology.sites.iter().map(group).collect()
}

impl Scenario {
    /// What a region is like when nothing is wrong with it.
    #[must_use]
    pub fn truth_of(&self, region: &crate::names::Label) -> super::scenario::RegionTruth {
        self.regions.iter().find(|(name, _)| name == region).map_or(self.usual, |(_, truth)| *truth)
    }
}
