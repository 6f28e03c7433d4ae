//! What nodes believe of regions, against how they are.

use super::Seen;
use super::books::is_used;
use super::ground::Probes;
use crate::health::ejection::EJECTION_MAX;
use crate::health::{Reason, Standing};
use crate::moment::Moment;
use crate::sim::fact::{Fact, NodeIndex};
use crate::snapshot::RegionState;
use crate::topology::{Probe, RegionIndex};
use std::time::Duration;

/// What probes' own bounds leave out: the node's tick, chance in its intervals.
const MARGIN: Duration = Duration::from_millis(500);
/// How long operators' words may be under way after everything is well.
const WORDS: Duration = Duration::from_secs(60);
/// A node whose probes all fail knows after this that it cannot be them: they time out, within one window.
const SUSPECTS_WITHIN: Duration = Duration::from_secs(6);
/// A node that starts knows after this what is well.
const KNOWS_AFTER: Duration = Duration::from_secs(10);

impl Seen<'_> {
    /// Each node that is there and each region of its file, as the node believes it is.
    fn beliefs(&self) -> impl Iterator<Item = (NodeIndex, RegionIndex, &RegionState, &Probe)> {
        (0..self.world.nodes.len()).filter_map(|at| NodeIndex::try_from(at).ok()).flat_map(move |node| {
            let snapshot = self.snapshot(node);
            let regions = snapshot.map_or(&[][..], |snapshot| &snapshot.topology.regions);
            let numbers = &self.world.file_of(node).regions;
            let states = snapshot.map_or(&[][..], |snapshot| &snapshot.regions);
            regions
                .iter()
                .zip(states)
                .zip(numbers.iter())
                .filter_map(move |((region, state), number)| Some((node, *number, state, &**region.probes().next()?)))
        })
    }

    fn passed(&self, since: Moment) -> Duration {
        self.world.now.since(since)
    }

    /// Since when a node has had the same file and the same drains.
    fn told_for(&self, node: NodeIndex) -> Duration {
        self.passed(self.books.nodes[usize::from(node)].told_at)
    }
}

pub fn i17_convergence(seen: &Seen<'_>) -> Option<String> {
    let well = seen.passed(seen.ground.well_since()?);
    if well < WORDS + seen.world.scenario.ways.channel || !seen.world.active.is_empty() || seen.books.has_late_words {
        return None;
    }
    let books = &seen.books.nodes;
    let mut kept = (0..books.len()).filter(|at| !books[*at].has_lost_disk);
    let first = NodeIndex::try_from(kept.next()?).ok()?;
    if seen.books.nodes.iter().any(|book| seen.passed(book.told_at) < WORDS) {
        return None;
    }
    kept.filter_map(|at| NodeIndex::try_from(at).ok()).find_map(|node| {
        let is_same_file = seen.world.file_number(node) == seen.world.file_number(first);
        let targets = |node: NodeIndex| {
            let drains = books[usize::from(node)].drains.iter();
            let mut targets: Vec<_> = drains.map(|drain| (&drain.target, drain.is_hard)).collect();
            targets.sort_unstable();
            targets
        };
        let is_same = is_same_file && targets(node) == targets(first);
        (!is_same).then(|| format!("{} and {} were told different things", seen.node(first), seen.node(node)))
    })
}

pub fn i18_unknown_is_not_down(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Stands { node, region, before, standing } = *fact else { return None };
    let is_calm = seen.books.is_channel_only && !seen.ground.is_lossy() && is_used(before) && !is_used(standing);
    let is_well =
        seen.ground.pair(node, region).probes == Probes::Pass && seen.ground.serves_since(node, region).is_some();
    (is_calm && is_well && seen.world.regions[region.at()].slots.is_none()).then(|| {
        format!("{} calls {} {standing} though nothing is wrong with it", seen.node(node), seen.region(region))
    })
}

pub fn i21_detection(seen: &Seen<'_>) -> Option<String> {
    seen.beliefs().find_map(|(node, region, state, probe)| {
        let pair = seen.ground.pair(node, region);
        if !is_used(state.standing) {
            return None;
        }
        let trips = seen.world.round_trip(node, region).mul_f64(1.0 + seen.world.scenario.ways.jitter) * 3;
        let in_doubt = probe.fast_interval * probe.fall + probe.interval.mul_f64(1.2) + MARGIN;
        let bound = match pair.probes {
            Probes::Fail => in_doubt + trips * (probe.fall + 1),
            Probes::Silence => in_doubt + probe.timeout,
            Probes::Pass | Probes::Vary => return None,
        };
        let passed = seen.passed(pair.since);
        // A file that came since may have made the endpoint, or what its probes must come to, new.
        let is_long = passed > bound && seen.told_for(node) > bound;
        is_long.then(|| {
            let (node, region) = (seen.node(node), seen.region(region));
            format!(
                "{node} calls {region} {} although its probes come to {:?} for {passed:?}",
                state.standing, pair.probes
            )
        })
    })
}

pub fn i21_return(seen: &Seen<'_>) -> Option<String> {
    seen.beliefs().find_map(|(node, region, state, probe)| {
        if state.standing < Standing::Unknown {
            return None;
        }
        let pair = seen.ground.pair(node, region);
        let bound = EJECTION_MAX + (probe.down_interval.mul_f64(1.2) + probe.timeout) * (probe.rise + 1) + MARGIN * 4;
        let serves = seen.ground.serves_since(node, region)?;
        let since = pair.since.max(serves);
        let is_long = pair.probes == Probes::Pass && seen.passed(since) > bound && seen.told_for(node) > bound;
        is_long.then(|| {
            let (node, region) = (seen.node(node), seen.region(region));
            let passed = seen.passed(since);
            format!("{node} calls {region} {} ({}) although it is well for {passed:?}", state.standing, state.reason)
        })
    })
}

pub fn i22_boot(seen: &Seen<'_>) -> Option<String> {
    seen.beliefs().find_map(|(node, region, state, _)| {
        let started = seen.books.nodes[usize::from(node)].started?;
        let pair = seen.ground.pair(node, region);
        let is_new = state.reason == Reason::NotProbed && state.standing == Standing::Unknown;
        let is_known = pair.probes == Probes::Pass && seen.passed(pair.since.max(started)) > KNOWS_AFTER;
        (is_new && is_known && seen.told_for(node) > KNOWS_AFTER)
            .then(|| format!("{} does not know {} yet", seen.node(node), seen.region(region)))
    })
}

/// Where a node's probes all fail at once and it had seen everything well before, it suspects itself.
pub fn i34_honest_blindness(seen: &Seen<'_>) -> Option<String> {
    seen.beliefs().find_map(|(node, region, state, _)| {
        let since = seen.ground.blind_since(node)?;
        let bound = EJECTION_MAX * 3;
        // The first to fail may be called down until as many have failed as suspicion needs.
        let is_long = (SUSPECTS_WITHIN..bound).contains(&seen.passed(since));
        let was_well = seen.books.nodes[usize::from(node)].well_before_blind;
        (is_long && was_well && state.standing >= Standing::Ejected && seen.world.regions[region.at()].slots.is_none())
            .then(|| format!("{} is blind and calls {} {}", seen.node(node), seen.region(region), state.standing))
    })
}
