//! How things really are between each node and each region, and since when: what the oracle judges by.

use crate::moment::Moment;
use crate::sim::fact::{Fact, NodeIndex};
use crate::sim::truth::{NodeNow, RegionNow};
use crate::sim::world::World;
use crate::topology::{EndpointIndex, ProbeKind, RegionIndex};

/// What every probe of a node at a region must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// They pass.
    Pass,
    /// They fail, and at once.
    Fail,
    /// Nothing comes back.
    Silence,
    /// Some pass and some fail, or it cannot be told.
    Vary,
}

/// A node and a region.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// What probes come to.
    pub probes: Probes,
    /// Since when.
    pub since: Moment,
    /// The same, whatever is wrong with the node's own eyes.
    pub to_good_eyes: Probes,
    /// Since when requests at the node can be served there, if they can.
    pub serves_since: Option<Moment>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Ground {
    turn: Option<u64>,
    regions: usize,
    pairs: Vec<Pair>,
    /// Since when a node's own eyes alone are the matter, if they are.
    blind_since: Vec<Option<Moment>>,
    /// Since when nodes have been there for clients.
    nodes_since: Vec<Option<Moment>>,
    /// Since when nothing has been wrong anywhere.
    well_since: Option<Moment>,
    /// When a region last turned somebody away, or let somebody wait.
    full_at: Vec<Option<Moment>>,
    /// Whether packets are lost though nothing is wrong.
    is_lossy: bool,
}

impl Ground {
    /// How things are in a new world.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let (nodes, regions) = (world.truth.nodes.len(), world.truth.regions.len());
        let pair = Pair { probes: Probes::Vary, since: world.now, to_good_eyes: Probes::Vary, serves_since: None };
        let mut ground = Self {
            turn: None,
            regions,
            pairs: vec![pair; nodes * regions],
            blind_since: vec![None; nodes],
            nodes_since: vec![None; nodes],
            well_since: None,
            full_at: vec![None; regions],
            is_lossy: world.scenario.ways.loss > 0.0,
        };
        ground.follow(world);
        ground
    }

    /// A node and a region.
    #[must_use]
    pub fn pair(&self, node: NodeIndex, region: RegionIndex) -> &Pair {
        &self.pairs[usize::from(node) * self.regions + region.at()]
    }

    /// Since when requests at `node` could be served by `region` at once, if they can.
    #[must_use]
    pub fn serves_since(&self, node: NodeIndex, region: RegionIndex) -> Option<Moment> {
        let since = self.pair(node, region).serves_since?;
        Some(self.full_at[region.at()].map_or(since, |full| since.max(full)))
    }

    /// Since when a node has been there for clients, if it is.
    #[must_use]
    pub fn node_since(&self, node: NodeIndex) -> Option<Moment> {
        self.nodes_since[usize::from(node)]
    }

    /// Since when a node's own eyes have been bad while there was much to see, if they are.
    #[must_use]
    pub fn blind_since(&self, node: NodeIndex) -> Option<Moment> {
        self.blind_since[usize::from(node)]
    }

    /// Since when nothing has been wrong anywhere, if nothing is.
    #[must_use]
    pub fn well_since(&self) -> Option<Moment> {
        self.well_since
    }

    /// Whether packets are lost though nothing is wrong, so that chance alone may look like a fault.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.is_lossy
    }

    /// Looks whether the truth has changed.
    pub fn follow(&mut self, world: &World) {
        if self.turn == Some(world.turns) {
            return;
        }
        self.turn = Some(world.turns);
        let now = world.now;
        for node in 0..self.nodes_since.len() {
            let index = NodeIndex::try_from(node).unwrap_or(NodeIndex::MAX);
            let truth = world.truth.nodes[node];
            keep(&mut self.nodes_since[node], truth.serves() && world.nodes[node].is_some(), now);
            for at in 0..self.regions {
                let region = RegionIndex::of(at);
                let to_good_eyes = probes(world, index, region);
                let seen = if has_good_eyes(&truth) { to_good_eyes } else { Probes::Vary };
                let pair = &mut self.pairs[node * self.regions + at];
                if pair.probes != seen {
                    (pair.probes, pair.since) = (seen, now);
                }
                pair.to_good_eyes = to_good_eyes;
                keep(&mut pair.serves_since, serves(world, index, region), now);
            }
            let pairs = &self.pairs[node * self.regions..(node + 1) * self.regions];
            let is_all_well = pairs.iter().all(|pair| pair.to_good_eyes == Probes::Pass);
            let is_blind = is_all_well && truth.serves() && truth.is_blind;
            keep(&mut self.blind_since[node], is_blind, now);
        }
        let pairs = &self.pairs;
        let is_well = pairs.iter().all(|pair| pair.probes == Probes::Pass && pair.serves_since.is_some())
            && self.nodes_since.iter().all(Option::is_some)
            && is_calm(world);
        keep(&mut self.well_since, is_well, now);
    }

    /// A probe came back. Where packets are lost by chance, a failure is such a chance, and the pair begins anew.
    pub fn probed(&mut self, world: &World, node: NodeIndex, endpoint: EndpointIndex, has_passed: bool) {
        if has_passed || !self.is_lossy {
            return;
        }
        let file = world.file_of(node);
        let region = file.topology.endpoints.get(endpoint.at()).map(|endpoint| file.regions[endpoint.region.at()]);
        if let Some(region) = region {
            self.begin_anew(world, node, region);
        }
    }

    /// What else shows how it is.
    pub fn heard(&mut self, world: &World, fact: &Fact) {
        match *fact {
            Fact::Processes(_, region) => {
                let inside = &world.regions[region.at()];
                if inside.slots.is_some() && !inside.has_room(world.truth.regions[region.at()].slots_share) {
                    self.full_at[region.at()] = Some(world.now);
                }
            }
            Fact::Fails { node, region, fault, .. } => {
                if world.regions[region.at()].slots.is_some() {
                    self.full_at[region.at()] = Some(world.now);
                }
                if self.is_lossy && fault.is_silence() {
                    self.begin_anew(world, node, region);
                }
            }
            _ => {}
        }
    }

    fn begin_anew(&mut self, world: &World, node: NodeIndex, region: RegionIndex) {
        let pair = &mut self.pairs[usize::from(node) * self.regions + region.at()];
        if pair.probes == Probes::Pass {
            pair.since = world.now;
        }
    }
}

/// Keeps since when something has been so.
fn keep(since: &mut Option<Moment>, is_so: bool, now: Moment) {
    *since = if is_so { Some(since.unwrap_or(now)) } else { None };
}

fn is_calm(world: &World) -> bool {
    let truth = &world.truth;
    let is_same = |one: f64, other: f64| one.to_bits() == other.to_bits();
    is_same(truth.traffic, 1.0) && is_same(truth.geo_shift, 0.0) && !truth.is_held
}

fn has_good_eyes(node: &NodeNow) -> bool {
    node.serves() && !node.is_blind && node.probe_slowness <= 1.0 && node.drift_ppm.abs() <= 1_000
}

/// Whether a request at `node` is served by `region`, as everything is now, if the region has room.
fn serves(world: &World, node: NodeIndex, region: RegionIndex) -> bool {
    let usual = world.truth.usual_loss();
    let there = &world.truth.regions[region.at()];
    let has_all_slots = there.slots_share >= 1.0 || world.regions[region.at()].slots.is_none();
    world.truth.can_serve(node, region)
        && world.truth.way(node, region).is_clean(usual)
        && has_all_slots
        && world.nodes[usize::from(node)].is_some()
}

/// What the probes of a node with good eyes come to.
fn probes(world: &World, node: NodeIndex, region: RegionIndex) -> Probes {
    let (there, way) = (&world.truth.regions[region.at()], world.truth.way(node, region));
    let of = world.topology.region(region);
    let Some(probe) = of.probes().next().filter(|probe| probe.kind != ProbeKind::Tcp && of.probes().count() == 1)
    else {
        return Probes::Vary;
    };
    if there.is_silent || !way.is_open() {
        return Probes::Silence;
    }
    if !way.is_clean(world.truth.usual_loss()) || !is_usual(world, region, there) {
        return Probes::Vary;
    }
    if there.refuses {
        return Probes::Fail;
    }
    // A new connection, TLS, and the question; what is slow is slow in its handshakes too.
    let trip = world.round_trip(node, region).mul_f64(1.0 + world.scenario.ways.jitter);
    let slow = (there.slowness - 1.0).max(0.0);
    let takes = trip * 3 + trip.mul_f64(slow / 2.0) + crate::sim::asking::PROBE_WORK.mul_f64(there.slowness);
    if takes >= probe.timeout.mul_f64(0.95) {
        return Probes::Vary;
    }
    if there.is_paused {
        return Probes::Silence;
    }
    match there.error_share {
        _ if there.probes_lie => Probes::Pass,
        _ if there.probes_fail => Probes::Fail,
        share if share >= 1.0 => Probes::Fail,
        share if share > 0.0 => Probes::Vary,
        _ => Probes::Pass,
    }
}

fn is_usual(world: &World, region: RegionIndex, there: &RegionNow) -> bool {
    let usual = world.scenario.truth_of(&world.topology.region(region).name).slowness;
    there.slowness <= usual
}
