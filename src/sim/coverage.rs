//! What a search has really met: a simulator that never gets where it hurts proves nothing.
//!
//! A fault counts as begun when it begins while somebody asks for something, and as met when an attempt, a probe, a word or
//! a node ran into it. A step counts when it was taken.

use super::fact::{Fact, NodeIndex, Slot};
use super::oracle::Oracle;
use super::oracle::books::is_used;
use super::scenario::kind::Kind;
use super::scenario::{Sites, What, Whom};
use super::truth::is_hit;
use super::world::World;
use crate::health::{Fault, Reason, Standing};
use crate::topology::{EndpointIndex, RegionIndex, Topology};
use crate::upstream::Progress;
use std::collections::BTreeMap;

/// How often a kind of fault was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Faults that began while somebody asked for something.
    pub begun: u64,
    /// Those of them that somebody ran into.
    pub met: u64,
}

macro_rules! steps {
    ($($(#[doc = $about:literal])* $step:ident $word:literal;)*) => {
        /// Something that a node may come to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Step {
            $($(#[doc = $about])* $step,)*
        }

        impl Step {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$step),*];

            /// What it is called.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$step => $word,)* }
            }
        }
    };
}

steps! {
    /// The same endpoint again, on a new connection.
    Again "again";
    /// Another region after nothing was sent.
    NextUnsent "next after nothing was sent";
    /// Another region after a region may have worked on it.
    NextSent "next after it was sent";
    /// No other attempt, because what may have been worked on is not safe to repeat.
    StopUnsafe "stop: not safe";
    /// No other attempt of a safe request, because there were enough or the budget was spent.
    StopSafe "stop: enough";
    /// What a client's patience ended.
    Late "patience is over";
    /// A safe request left a region that had fallen silent.
    Vain "left in vain";
    /// The region's word that it did nothing.
    Unserved "unserved";
    /// An attempt at a region that was out, because all were.
    LastResort "last resort";
    /// An attempt at a region that had all it may have, or was strained.
    Strained "strained";
    /// A fallback served.
    Fallback "fallback";
    /// Somebody who may not serve it was passed over.
    SelfSuspicion "self-suspicion";
    /// A region got a share that grows.
    SlowStart "slow start";
    /// A region was held back because it flapped.
    HeldBack "held back";
    /// Left because connections failed.
    EjectedByTraffic "ejected by traffic";
    /// Left because too many answers were failures.
    EjectedByErrors "ejected by errors";
    /// Down by probes.
    DownByProbes "down by probes";
    /// Far slower than usual.
    Slow "slow";
    /// Drained.
    Drained "drained";
    /// DNS left a site out.
    SiteLeftOut "site left out";
    /// DNS gave a short TTL because something was changing.
    ShortTtl "short TTL";
    /// A client came to an address where nobody was.
    Unreached "nobody at the address";
    /// A stream broke off.
    Cut "stream cut";
    /// A client dialled a region past the front door.
    Direct "past the front door";
}

/// Everything that was met, of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// By kind of fault.
    pub faults: BTreeMap<Kind, Met>,
    /// By step.
    pub steps: BTreeMap<Step, u64>,
    /// Of the run: by fault, whether it began while somebody asked, and whether it was met.
    begun: Vec<(bool, bool)>,
    /// Faults that are there and not met yet.
    open: Vec<u16>,
    tries: u64,
}

impl Coverage {
    /// Of a run of `world` that begins.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self { begun: vec![(false, false); world.scenario.faults.len()], ..Self::default() }
    }

    /// Those of another run are added.
    pub fn add(&mut self, other: &Self) {
        for (kind, met) in &other.faults {
            let sum = self.faults.entry(*kind).or_default();
            sum.begun += met.begun;
            sum.met += met.met;
        }
        for (step, times) in &other.steps {
            *self.steps.entry(*step).or_default() += times;
        }
    }

    /// Takes down what the last step of `world` came to, after its oracle has.
    pub fn note(&mut self, world: &World, oracle: &Oracle) {
        for fact in &world.facts {
            if !self.open.is_empty() {
                self.meets(world, fact);
            }
            match *fact {
                Fact::Begins(number) => self.begins(world, number),
                Fact::Ends(number) => self.open.retain(|open| *open != number),
                Fact::Probed { .. } => {}
                _ => self.steps_of(world, oracle, fact),
            }
        }
    }

    fn step(&mut self, step: Step) {
        *self.steps.entry(step).or_default() += 1;
    }

    fn begins(&mut self, world: &World, number: u16) {
        if self.tries > 0 {
            self.begun[usize::from(number)].0 = true;
            self.open.push(number);
            self.faults.entry(world.scenario.faults[usize::from(number)].what.kind()).or_default().begun += 1;
        }
    }

    fn meets(&mut self, world: &World, fact: &Fact) {
        let mut at = 0;
        while let Some(number) = self.open.get(at).copied() {
            let what = &world.scenario.faults[usize::from(number)].what;
            if is_met(world, what, fact) {
                self.begun[usize::from(number)].1 = true;
                self.faults.entry(what.kind()).or_default().met += 1;
                self.open.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn steps_of(&mut self, world: &World, oracle: &Oracle, fact: &Fact) {
        match *fact {
            Fact::Arrives(..) => self.tries += 1,
            Fact::Tries { request, node, region, number, .. } => {
                self.tries_at(world, oracle, (request, node), region, number);
            }
            Fact::Fails { request, fault, progress, .. } => self.fails(world, request, fault, progress),
            Fact::Publishes(node) => self.publishes(world, node),
            Fact::Resolved { node, route, ttl, .. } => {
                let topology = &world.file_of(node).topology;
                let hostname = &world.topology.route(route).hostname;
                let written = topology.route_by_hostname.get(hostname).map(|route| topology.route(*route).ttl);
                if written.is_some_and(|written| ttl < written.max) {
                    self.step(Step::ShortTtl);
                }
            }
            Fact::Processes(slot, _) if world.request(slot).node.is_none() => self.step(Step::Direct),
            Fact::Ended(_, outcome) => match outcome {
                super::fact::Outcome::Unreached => self.step(Step::Unreached),
                super::fact::Outcome::Cut(_) => self.step(Step::Cut),
                _ => {}
            },
            _ => {}
        }
    }

    fn tries_at(
        &mut self,
        world: &World,
        oracle: &Oracle,
        (request, node): (Slot, NodeIndex),
        region: RegionIndex,
        number: u32,
    ) {
        let part = oracle.books().part(world, node, world.request(request).route, region);
        if part.is_some_and(|part| part.level > 0) {
            self.step(Step::Fallback);
        }
        let file = world.file_of(node);
        let there = file.regions.iter().position(|known| *known == region);
        let snapshot = world.nodes[usize::from(node)].as_ref().map(|running| &running.snapshot);
        let standing =
            snapshot.zip(there).and_then(|(snapshot, there)| snapshot.regions.get(there)).map(|at| at.standing);
        match standing {
            Some(Standing::Strained) => self.step(Step::Strained),
            Some(standing) if !is_used(standing) && number == 1 => self.step(Step::LastResort),
            _ => {}
        }
        let last = oracle.books().of(request).before;
        match last {
            Some((before, Fault::Reset, _)) if before == region => self.step(Step::Again),
            Some((_, Fault::Silent, Progress::Sent)) => self.step(Step::Vain),
            Some((.., Progress::Sent)) => self.step(Step::NextSent),
            Some((.., Progress::Unsent)) => self.step(Step::NextUnsent),
            None => {}
        }
    }

    fn fails(&mut self, world: &World, request: Slot, fault: Fault, progress: Progress) {
        match fault {
            Fault::Late => self.step(Step::Late),
            Fault::Unserved => self.step(Step::Unserved),
            _ => {}
        }
        let ends =
            world.facts.iter().any(|fact| matches!(fact, Fact::Answers { request: other, .. } if *other == request));
        let goes_on =
            world.facts.iter().any(|fact| matches!(fact, Fact::Tries { request: other, .. } if *other == request));
        if progress == Progress::Sent && (ends || !goes_on) {
            self.step(if world.request(request).is_safe { Step::StopSafe } else { Step::StopUnsafe });
        }
    }

    fn publishes(&mut self, world: &World, node: NodeIndex) {
        let Some(running) = &world.nodes[usize::from(node)] else { return };
        let snapshot = &running.snapshot;
        if snapshot.is_suspect {
            self.step(Step::SelfSuspicion);
        }
        if snapshot.sites.iter().any(|site| site.is_left_out) {
            self.step(Step::SiteLeftOut);
        }
        for region in &snapshot.regions {
            if region.share_percent < 100 {
                self.step(Step::SlowStart);
            }
            if region.drained.is_some() {
                self.step(Step::Drained);
            }
            match region.reason {
                Reason::HeldBack => self.step(Step::HeldBack),
                Reason::Traffic(_) => self.step(Step::EjectedByTraffic),
                Reason::ErrorRate => self.step(Step::EjectedByErrors),
                Reason::ProbesFail(_) | Reason::FurtherFails(..) => self.step(Step::DownByProbes),
                Reason::Slow => self.step(Step::Slow),
                _ => {}
            }
        }
    }
}

/// Whether a fact shows that somebody ran into that fault, which is there.
fn is_met(world: &World, what: &What, fact: &Fact) -> bool {
    let topology = &world.topology;
    let touched = touched(world, fact);
    let hits = |whom: &Whom| touched.is_some_and(|(_, region)| is_hit(topology, whom, region));
    let of = |sites: &Sites| touched.is_some_and(|(node, _)| is_at(topology, sites, node));
    let at = |sites: &Sites| about(world, fact).is_some_and(|node| is_at(topology, sites, node));
    match what {
        What::Refuse(whom)
        | What::BlackHole(whom)
        | What::Pause(whom)
        | What::Slow(whom, _)
        | What::Errors(whom, ..)
        | What::Unserved(whom)
        | What::ProbesLie(whom)
        | What::ProbesFail(whom)
        | What::Shrink(whom, _)
        | What::Flap { whom, .. } => hits(whom),
        What::Loss { sites, whom, .. } | What::Cut { sites, whom, .. } => hits(whom) && of(sites),
        What::Swizzle { sites, .. } => of(sites),
        What::Crash(sites) | What::CrashLoop { sites, .. } => matches!(fact, Fact::Stops(_)) && at(sites),
        What::Freeze(sites) | What::Isolate(sites) => {
            // Nothing happens at a node that stands still, but what waits for it ends elsewhere.
            let waits = matches!(fact, Fact::Probed { result: Err(_), .. } | Fact::Ended(..) | Fact::Wishes(_));
            waits && (at(sites) || matches!(fact, Fact::Wishes(_)))
        }
        What::SlowProber(sites, _) | What::BlindProber(sites) => matches!(fact, Fact::Probed { .. }) && at(sites),
        What::ClockStep(sites, _) | What::ClockDrift(sites, _) => matches!(fact, Fact::Publishes(_)) && at(sites),
        What::DiskLost(sites) => matches!(fact, Fact::Starts(_)) && at(sites),
        What::Drain { .. } | What::Rollout(_) => matches!(fact, Fact::Obeys(..)),
        What::BadRollout => matches!(fact, Fact::Refuses(..)),
        What::ChannelLate(sites, _) | What::ChannelTwice(sites) => {
            matches!(fact, Fact::Obeys(..) | Fact::Refuses(..)) && at(sites)
        }
        What::ChannelGone(_) => matches!(fact, Fact::Begins(_)) && is_word(world, fact),
        What::GeoShift(_) | What::Traffic(_) | What::Herd => matches!(fact, Fact::Wishes(_)),
    }
}

/// Whether something begins that operators say a word for.
fn is_word(world: &World, fact: &Fact) -> bool {
    let Fact::Begins(number) = *fact else { return false };
    let what = &world.scenario.faults[usize::from(number)].what;
    matches!(what, What::Drain { .. } | What::Rollout(_) | What::BadRollout)
}

fn is_at(topology: &Topology, sites: &Sites, node: NodeIndex) -> bool {
    sites.is_empty() || sites.contains(&topology.sites[usize::from(node)].name)
}

/// Which node met which region.
fn touched(world: &World, fact: &Fact) -> Option<(NodeIndex, RegionIndex)> {
    match *fact {
        Fact::Tries { node, region, .. } | Fact::Fails { node, region, .. } => Some((node, region)),
        Fact::Probed { node, endpoint, .. } => Some((node, region_of(world, node, endpoint)?)),
        _ => None,
    }
}

fn region_of(world: &World, node: NodeIndex, endpoint: EndpointIndex) -> Option<RegionIndex> {
    let file = world.file_of(node);
    let endpoint = file.topology.endpoints.get(endpoint.at())?;
    file.regions.get(endpoint.region.at()).copied()
}

/// Which node a fact is about.
fn about(world: &World, fact: &Fact) -> Option<NodeIndex> {
    match *fact {
        Fact::Starts(node)
        | Fact::Stops(node)
        | Fact::Obeys(node, _)
        | Fact::Refuses(node, _)
        | Fact::Publishes(node)
        | Fact::Probed { node, .. }
        | Fact::Arrives(_, node) => Some(node),
        Fact::Ended(slot, _) => world.request(slot).node,
        _ => None,
    }
}
