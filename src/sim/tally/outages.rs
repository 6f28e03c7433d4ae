//! How the faults of a scenario were met: who noticed them and when, when traffic left, and when it was back.
//!
//! A fault on regions, or on the ways to them, has *pairs*: each node that can notice it, with each region that is hit.
//! A node notices when it thinks worse of the region than of one that works; what it thought so already does not count.

use super::super::fact::NodeIndex;
use super::super::scenario::{Scenario, Sites, What, Whom};
use super::load::Loads;
use super::standings::Standings;
use crate::health::Standing;
use crate::moment::Moment;
use crate::names::Label;
use crate::snapshot::Target;
use crate::topology::{RegionIndex, RouteIndex, Topology};

/// From this share on traffic has to leave what fails, or loses, so much.
const LEAVES_FROM: f64 = 0.5;

/// One fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outage {
    /// The regions that it hits, in their order; none: it is about something else.
    pub regions: Vec<RegionIndex>,
    /// Whether nodes can notice it by themselves.
    pub can_be_noticed: bool,
    /// Whether traffic has to leave the regions, where there are others.
    pub has_to_be_left: bool,
    /// When it began.
    pub begun: Option<Moment>,
    /// When it was over.
    pub ended: Option<Moment>,
    /// When each pair noticed, in no order; pairs that never did are missing.
    pub noticed: Vec<Moment>,
    /// How many pairs could notice it.
    pub pairs: usize,
    /// Attempts at what is broken, since it broke, of requests that had another region.
    pub tries: u64,
    /// Attempts of those that had none.
    pub tries_without_choice: u64,
    /// The last one that had another region.
    pub last_try: Option<Moment>,
    /// When an attempt there ended last.
    pub last_ended: Option<Moment>,
    /// Wishes under way while it was on that were not served.
    pub failed: u64,
    /// The first attempt after its end.
    pub first_back: Option<Moment>,
    is_strain: bool,
    hits_clients: bool,
    is_hit: Vec<bool>,
    is_witness: Vec<bool>,
    has_other: Vec<bool>,
    is_waiting: Vec<bool>,
}

/// All faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Outages {
    /// By their number in the scenario.
    pub all: Vec<Outage>,
    /// Those that are on, or whose regions have no traffic yet.
    open: Vec<u16>,
}

impl Outages {
    pub(super) fn of(scenario: &Scenario, topology: &Topology, sites: &[String]) -> Self {
        let all = scenario.faults.iter().map(|fault| Outage::of(&fault.what, topology, sites)).collect();
        Self { all, open: Vec::new() }
    }

    pub(super) fn begins(&mut self, now: Moment, number: u16, standings: &Standings, loads: &Loads) {
        let Some(outage) = self.all.get_mut(usize::from(number)) else { return };
        if outage.begun.replace(now).is_some() || outage.regions.is_empty() {
            return;
        }
        let nodes = standings.nodes();
        outage.is_waiting = vec![false; nodes * outage.regions.len()];
        for node in 0..nodes {
            for (at, region) in outage.regions.iter().enumerate() {
                let thinks = standings.now(u16::try_from(node).unwrap_or(u16::MAX), *region);
                let can = outage.can_be_noticed && outage.is_witness[node];
                let is_new = thinks.is_some_and(|standing| !outage.is_worse(standing));
                outage.is_waiting[node * outage.regions.len() + at] = can && is_new;
            }
        }
        outage.pairs = outage.is_waiting.iter().filter(|is_waiting| **is_waiting).count();
        if outage.regions.iter().any(|region| loads.under_way(*region) > 0) {
            outage.last_ended = Some(now);
        }
        self.open.push(number);
    }

    pub(super) fn ends(&mut self, now: Moment, number: u16) {
        if let Some(outage) = self.all.get_mut(usize::from(number)) {
            outage.ended.get_or_insert(now);
        }
    }

    pub(super) fn stands(&mut self, now: Moment, node: NodeIndex, region: RegionIndex, standing: Standing) {
        for number in &self.open {
            let outage = &mut self.all[usize::from(*number)];
            if outage.ended.is_some() || !outage.hits(region) || !outage.is_worse(standing) {
                continue;
            }
            let at = outage.regions.iter().position(|own| *own == region).unwrap_or_default();
            let pair = usize::from(node) * outage.regions.len() + at;
            if outage.is_waiting.get_mut(pair).is_some_and(std::mem::take) {
                outage.noticed.push(now);
            }
        }
    }

    /// An attempt at a region, of a node, or of a client itself.
    pub(super) fn tried(
        &mut self,
        now: Moment,
        node: Option<NodeIndex>,
        region: RegionIndex,
        route: Option<RouteIndex>,
    ) {
        let mut is_settled = false;
        for number in &self.open {
            let outage = &mut self.all[usize::from(*number)];
            if !outage.hits(region) || !outage.is_in_the_way_of(node) {
                continue;
            }
            if outage.ended.is_some() {
                outage.first_back.get_or_insert(now);
                is_settled = true;
            } else if route.is_none_or(|route| outage.has_other.get(route.at()).copied().unwrap_or_default()) {
                outage.tries += 1;
                outage.last_try = Some(now);
            } else {
                outage.tries_without_choice += 1;
            }
        }
        if is_settled {
            let all = &self.all;
            self.open.retain(|number| all[usize::from(*number)].first_back.is_none());
        }
    }

    /// A wish that was not served has ended: it belongs to every fault that was on while it was under way.
    pub(super) fn failed(&mut self, now: Moment, wished_at: Moment) {
        for outage in &mut self.all {
            let has_begun = outage.begun.is_some_and(|begun| begun <= now);
            let was_over = outage.ended.is_some_and(|ended| ended < wished_at);
            outage.failed += u64::from(has_begun && !was_over);
        }
    }

    /// An attempt at a region is over, however.
    pub(super) fn left(&mut self, now: Moment, region: RegionIndex) {
        for number in &self.open {
            let outage = &mut self.all[usize::from(*number)];
            if outage.ended.is_none() && outage.hits(region) {
                outage.last_ended = Some(now);
            }
        }
    }
}

impl Outage {
    fn of(what: &What, topology: &Topology, sites: &[String]) -> Self {
        let Some(hit) = Hit::of(what) else { return Self::default() };
        let regions: Vec<RegionIndex> =
            (0..topology.regions.len()).map(RegionIndex::of).filter(|region| hit.whom(topology, *region)).collect();
        let mut is_hit = vec![false; topology.regions.len()];
        regions.iter().for_each(|region| is_hit[region.at()] = true);
        let is_other = |region: RegionIndex| !is_hit[region.at()];
        let has_other = topology.routes.iter().map(|route| {
            // A region's own name never fails over.
            let mut others = route.members.iter().filter(|member| !route.is_regional && is_other(member.region));
            others.any(|member| !route.shuts_out(topology, member.region))
        });
        let has_other = has_other.collect();
        let is_among = |site: &String| hit.sites.is_empty() || hit.sites.iter().any(|among| among.as_str() == site);
        Self {
            regions,
            can_be_noticed: hit.can_be_noticed,
            has_to_be_left: hit.has_to_be_left,
            is_strain: hit.is_strain,
            // Only nodes go the ways from sites.
            hits_clients: !matches!(what, What::Loss { .. } | What::Cut { .. }),
            is_hit,
            is_witness: sites.iter().map(is_among).collect(),
            has_other,
            ..Self::default()
        }
    }

    /// Whether any hostname has a region that it does not hit.
    #[must_use]
    pub fn has_alternative(&self) -> bool {
        self.has_other.contains(&true)
    }

    fn hits(&self, region: RegionIndex) -> bool {
        self.is_hit.get(region.at()).copied().unwrap_or_default()
    }

    /// Whether it hits what goes to its regions from a node, or from a client itself.
    fn is_in_the_way_of(&self, node: Option<NodeIndex>) -> bool {
        node.map_or(self.hits_clients, |node| self.is_witness.get(usize::from(node)).copied().unwrap_or_default())
    }

    /// Whether a node that thinks so has noticed.
    fn is_worse(&self, standing: Standing) -> bool {
        match standing {
            Standing::Ejected | Standing::Down => true,
            Standing::Strained => self.is_strain,
            Standing::Up | Standing::Unknown => false,
        }
    }
}

/// Whom a fault on regions hits.
enum Regions<'a> {
    Whom(&'a Whom),
    Target(&'a Target),
}

struct Hit<'a> {
    regions: Regions<'a>,
    sites: &'a [Label],
    can_be_noticed: bool,
    has_to_be_left: bool,
    /// It makes a region worse and not useless.
    is_strain: bool,
}

impl<'a> Hit<'a> {
    fn of(what: &'a What) -> Option<Self> {
        const ALL: &Sites = &Vec::new();
        let on = |whom: &'a Whom, sites: &'a Sites, has_to_be_left: bool, is_strain: bool| {
            Some(Self { regions: Regions::Whom(whom), sites, can_be_noticed: true, has_to_be_left, is_strain })
        };
        match what {
            What::Refuse(whom)
            | What::BlackHole(whom)
            | What::Pause(whom)
            | What::Unserved(whom)
            | What::ProbesLie(whom)
            | What::ProbesFail(whom) => on(whom, ALL, true, false),
            What::Errors(whom, share, _) => on(whom, ALL, *share >= LEAVES_FROM, *share < LEAVES_FROM),
            What::Slow(whom, _) | What::Shrink(whom, _) => on(whom, ALL, false, true),
            // It works again and again, so nobody has to leave it for good.
            What::Flap { whom, .. } => on(whom, ALL, false, false),
            What::Loss { sites, whom, share, .. } => on(whom, sites, *share >= LEAVES_FROM, *share < LEAVES_FROM),
            What::Cut { sites, whom, .. } => on(whom, sites, true, false),
            What::Drain { target, .. } => Some(Self {
                regions: Regions::Target(target),
                sites: ALL,
                can_be_noticed: false,
                has_to_be_left: true,
                is_strain: false,
            }),
            _ => None,
        }
    }

    fn whom(&self, topology: &Topology, region: RegionIndex) -> bool {
        let name = &topology.region(region).name;
        match self.regions {
            Regions::Whom(Whom::All) => true,
            Regions::Whom(Whom::Regions(regions)) => regions.contains(name),
            Regions::Whom(Whom::Provider(provider)) | Regions::Target(Target::Provider(provider)) => {
                topology.provider(region) == provider
            }
            Regions::Target(Target::Region(only)) => only == name,
            // One endpoint of several leaves the region in service.
            Regions::Target(Target::Endpoint(endpoint)) => {
                let own = &topology.region(region).endpoints;
                own.len() == 1 && topology.endpoint(own[0]).name == *endpoint
            }
        }
    }
}
