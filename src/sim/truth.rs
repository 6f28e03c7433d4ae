//! How everything really is: regions, the ways to them, nodes. No node sees this; an oracle does.
//!
//! [`Truth`] is made anew from the faults that are active whenever one begins, ends or changes its phase, so that faults
//! may overlap in any order.

use super::scenario::{Direction, RegionTruth, Sites, What, Whom};
use crate::names::Label;
use crate::topology::{RegionIndex, Topology};

/// A region as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionNow {
    /// Nobody listens.
    pub refuses: bool,
    /// Not a packet comes back.
    pub is_silent: bool,
    /// Connections open, nothing is answered.
    pub is_paused: bool,
    /// How many times as long everything takes.
    pub slowness: f64,
    /// Share of requests and probes that fail with `status`.
    pub error_share: f64,
    /// See there.
    pub status: u16,
    /// Requests are turned away with the word that nothing was done.
    pub turns_away: bool,
    /// Requests fail and probes pass.
    pub probes_lie: bool,
    /// Probes fail and requests are served.
    pub probes_fail: bool,
    /// What is left of its slots.
    pub slots_share: f64,
}

impl RegionNow {
    fn fine(usual: &RegionTruth) -> Self {
        Self {
            refuses: false,
            is_silent: false,
            is_paused: false,
            slowness: usual.slowness,
            error_share: 0.0,
            status: 503,
            turns_away: false,
            probes_lie: false,
            probes_fail: false,
            slots_share: 1.0,
        }
    }

    /// Whether every request that reaches it is answered well.
    #[must_use]
    pub fn serves(&self) -> bool {
        !(self.refuses || self.is_silent || self.is_paused || self.turns_away || self.probes_lie)
            && self.error_share <= 0.0
    }

    /// Whether packets come to somebody who hears them.
    #[must_use]
    pub fn hears(&self) -> bool {
        !(self.refuses || self.is_silent)
    }
}

/// The way between a node and a region.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct WayNow {
    /// Nothing comes through toward the region.
    pub is_cut_there: bool,
    /// Nor back.
    pub is_cut_back: bool,
    /// Share of packets lost toward the region.
    pub loss_there: f64,
    /// And back.
    pub loss_back: f64,
}

impl WayNow {
    /// Whether packets come through both ways, at least most of them.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !(self.is_cut_there || self.is_cut_back)
    }

    /// Whether nothing is wrong with it beyond `usual` loss.
    #[must_use]
    pub fn is_clean(&self, usual: f64) -> bool {
        self.is_open() && self.loss_there <= usual && self.loss_back <= usual
    }
}

/// A node as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeNow {
    /// Its process is gone.
    pub is_gone: bool,
    /// It stands still.
    pub is_frozen: bool,
    /// Nobody reaches its site.
    pub is_isolated: bool,
    /// All of its probes fail.
    pub is_blind: bool,
    /// How many times as long its probes take.
    pub probe_slowness: f64,
    /// How many millionths its clocks run fast.
    pub drift_ppm: i32,
    /// How many seconds its wall clock is off.
    pub step_s: i64,
    /// Whether operators' words do not reach it.
    pub is_cut_off: bool,
    /// Whether they come twice.
    pub hears_twice: bool,
    /// How much later they come.
    pub hears_late: std::time::Duration,
}

impl NodeNow {
    const FINE: Self = Self {
        is_gone: false,
        is_frozen: false,
        is_isolated: false,
        is_blind: false,
        probe_slowness: 1.0,
        drift_ppm: 0,
        step_s: 0,
        is_cut_off: false,
        hears_twice: false,
        hears_late: std::time::Duration::ZERO,
    };

    /// Whether its probes meet the same: clocks, and what operators say, are nothing to a packet under way.
    #[must_use]
    pub fn sees_like(&self, other: &Self) -> bool {
        let is_as_slow = self.probe_slowness.to_bits() == other.probe_slowness.to_bits();
        is_as_slow && (self.is_blind, self.is_isolated) == (other.is_blind, other.is_isolated)
    }

    /// Whether clients are served there.
    #[must_use]
    pub fn serves(&self) -> bool {
        !(self.is_gone || self.is_frozen || self.is_isolated)
    }
}

/// A fault that has begun and is not over.
#[derive(Clone, Debug)]
pub struct Active {
    /// Its number in the scenario.
    pub number: u16,
    /// What it is.
    pub what: What,
    /// Of one that comes and goes: whether it is there now.
    pub is_on: bool,
    /// Of [`What::Swizzle`]: ways that are cut now.
    pub cut: Vec<(u16, RegionIndex)>,
}

/// How everything is.
#[derive(Clone, Debug)]
pub struct Truth {
    /// By [`RegionIndex`].
    pub regions: Vec<RegionNow>,
    /// By node, then by [`RegionIndex`].
    pub ways: Vec<Vec<WayNow>>,
    /// By node.
    pub nodes: Vec<NodeNow>,
    /// How many times as many requests.
    pub traffic: f64,
    /// Share of clients that are taken to be somewhere else.
    pub geo_shift: f64,
    /// Whether all that is asked waits.
    pub is_held: bool,
    usual: Vec<RegionTruth>,
    usual_loss: f64,
}

impl Truth {
    /// Nothing is wrong. `usual`: by region.
    #[must_use]
    pub fn fine(usual: Vec<RegionTruth>, nodes: usize, loss: f64) -> Self {
        let way = WayNow { loss_there: loss, loss_back: loss, ..WayNow::default() };
        Self {
            regions: usual.iter().map(RegionNow::fine).collect(),
            ways: vec![vec![way; usual.len()]; nodes],
            nodes: vec![NodeNow::FINE; nodes],
            traffic: 1.0,
            geo_shift: 0.0,
            is_held: false,
            usual,
            usual_loss: loss,
        }
    }

    /// The way between a node and a region.
    #[must_use]
    pub fn way(&self, node: u16, region: RegionIndex) -> &WayNow {
        &self.ways[usize::from(node)][region.at()]
    }

    /// Whether a request at that node can be served by that region, as everything is now.
    #[must_use]
    pub fn can_serve(&self, node: u16, region: RegionIndex) -> bool {
        self.nodes[usize::from(node)].serves() && self.way(node, region).is_open() && self.regions[region.at()].serves()
    }

    /// Share of packets that are usually lost.
    #[must_use]
    pub fn usual_loss(&self) -> f64 {
        self.usual_loss
    }

    /// Makes it anew from the faults that are active.
    pub fn follow(&mut self, active: &[Active], topology: &Topology) {
        let mut next = Self::fine(std::mem::take(&mut self.usual), self.nodes.len(), self.usual_loss);
        for fault in active.iter().filter(|fault| fault.is_on) {
            next.hit(fault, topology);
        }
        *self = next;
    }

    fn hit(&mut self, fault: &Active, topology: &Topology) {
        if let Some((whom, ill)) = illness(&fault.what) {
            let hit = topology.regions.iter().enumerate();
            for (at, _) in hit.filter(|(at, _)| is_hit(topology, whom, RegionIndex::of(*at))) {
                ill.befall(&mut self.regions[at]);
            }
            return;
        }
        match &fault.what {
            What::Loss { sites, whom, direction, share } => {
                self.each_way(topology, sites, whom, |way| way.lose(*direction, *share));
            }
            What::Cut { sites, whom, direction } => {
                self.each_way(topology, sites, whom, |way| way.cut(*direction));
            }
            What::Swizzle { .. } => {
                for (node, region) in &fault.cut {
                    self.ways[usize::from(*node)][region.at()].cut(Direction::Both);
                }
            }
            What::Crash(sites) | What::CrashLoop { sites, .. } => {
                nodes_of(topology, sites).for_each(|at| self.nodes[at].is_gone = true);
            }
            What::Freeze(sites) => nodes_of(topology, sites).for_each(|at| self.nodes[at].is_frozen = true),
            What::Isolate(sites) => {
                for at in nodes_of(topology, sites) {
                    self.nodes[at].is_isolated = true;
                    self.ways[at].iter_mut().for_each(|way| way.cut(Direction::Both));
                }
            }
            What::SlowProber(sites, times) => {
                nodes_of(topology, sites).for_each(|at| self.nodes[at].probe_slowness *= times);
            }
            What::BlindProber(sites) => nodes_of(topology, sites).for_each(|at| self.nodes[at].is_blind = true),
            What::ClockStep(sites, seconds) => {
                nodes_of(topology, sites).for_each(|at| self.nodes[at].step_s += seconds);
            }
            What::ClockDrift(sites, ppm) => nodes_of(topology, sites).for_each(|at| self.nodes[at].drift_ppm += ppm),
            What::ChannelLate(sites, by) => nodes_of(topology, sites).for_each(|at| self.nodes[at].hears_late += *by),
            What::ChannelGone(sites) => nodes_of(topology, sites).for_each(|at| self.nodes[at].is_cut_off = true),
            What::ChannelTwice(sites) => nodes_of(topology, sites).for_each(|at| self.nodes[at].hears_twice = true),
            What::GeoShift(share) => self.geo_shift = self.geo_shift.max(*share),
            What::Traffic(times) => self.traffic *= times,
            What::Herd => self.is_held = true,
            _ => {}
        }
    }

    fn each_way(&mut self, topology: &Topology, sites: &Sites, whom: &Whom, change: impl Fn(&mut WayNow)) {
        for node in nodes_of(topology, sites) {
            for (at, way) in self.ways[node].iter_mut().enumerate() {
                if is_hit(topology, whom, RegionIndex::of(at)) {
                    change(way);
                }
            }
        }
    }
}

impl WayNow {
    fn cut(&mut self, direction: Direction) {
        self.is_cut_there |= direction != Direction::Back;
        self.is_cut_back |= direction != Direction::There;
    }

    fn lose(&mut self, direction: Direction, share: f64) {
        let both = |usual: f64| 1.0 - (1.0 - usual) * (1.0 - share);
        if direction != Direction::Back {
            self.loss_there = both(self.loss_there);
        }
        if direction != Direction::There {
            self.loss_back = both(self.loss_back);
        }
    }
}

/// What befalls a region.
enum Illness {
    Refuses,
    Silent,
    Paused,
    Slow(f64),
    Errors(f64, u16),
    TurnsAway,
    ProbesLie,
    ProbesFail,
    Shrinks(f64),
}

impl Illness {
    fn befall(&self, region: &mut RegionNow) {
        match *self {
            Self::Refuses => region.refuses = true,
            Self::Silent => region.is_silent = true,
            Self::Paused => region.is_paused = true,
            Self::Slow(times) => region.slowness *= times,
            Self::Errors(share, status) => {
                region.error_share = region.error_share.max(share);
                region.status = status;
            }
            Self::TurnsAway => region.turns_away = true,
            Self::ProbesLie => region.probes_lie = true,
            Self::ProbesFail => region.probes_fail = true,
            Self::Shrinks(share) => region.slots_share *= share,
        }
    }
}

fn illness(what: &What) -> Option<(&Whom, Illness)> {
    Some(match what {
        What::Refuse(whom) | What::Flap { whom, .. } => (whom, Illness::Refuses),
        What::BlackHole(whom) => (whom, Illness::Silent),
        What::Pause(whom) => (whom, Illness::Paused),
        What::Slow(whom, times) => (whom, Illness::Slow(*times)),
        What::Errors(whom, share, status) => (whom, Illness::Errors(*share, *status)),
        What::Unserved(whom) => (whom, Illness::TurnsAway),
        What::ProbesLie(whom) => (whom, Illness::ProbesLie),
        What::ProbesFail(whom) => (whom, Illness::ProbesFail),
        What::Shrink(whom, share) => (whom, Illness::Shrinks(*share)),
        _ => return None,
    })
}

/// Whether `whom` means that region.
#[must_use]
pub fn is_hit(topology: &Topology, whom: &Whom, region: RegionIndex) -> bool {
    match whom {
        Whom::All => true,
        Whom::Provider(name) => topology.provider(region) == name,
        Whom::Regions(names) => names.contains(&topology.region(region).name),
    }
}

/// The nodes at these sites, by their places in the topology.
pub fn nodes_of<'a>(topology: &'a Topology, sites: &'a [Label]) -> impl Iterator<Item = usize> + 'a {
    let all = topology.sites.iter().enumerate();
    all.filter(|(_, site)| sites.is_empty() || sites.contains(&site.name)).map(|(at, _)| at)
}
