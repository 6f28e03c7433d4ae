//! How faults were met: from what was counted of them, the times until they were noticed, left and forgotten.

use super::super::scenario::{Fault, Scenario};
use super::super::tally::Tally;
use super::super::tally::ground::PARTS;
use super::super::tally::outages::Outage;
use super::make::{rounded, seconds};
use super::{Detected, Moved, OfFault, Returned, words};
use crate::moment::Moment;
use crate::topology::{RegionIndex, Topology};
use std::time::Duration;

/// How long nothing has been sent to what is broken, when traffic is said to have left it.
const LEFT_FOR: Duration = Duration::from_secs(10);
/// Parts of slots that tell the share before a fault: ten minutes, where a slot is a minute.
const BEFORE_PARTS: usize = 60;
/// Of the share before, what is called all of it: draws of chance seldom give more.
const FULL_PERCENT: u64 = 90;

/// All faults of the scenario that began.
pub(super) fn faults(tally: &Tally, scenario: &Scenario, topology: &Topology) -> Vec<OfFault> {
    let all = scenario.faults.iter().zip(&tally.outages.all).enumerate();
    let began = all.filter_map(|(number, (fault, outage))| Some((number, fault, outage, outage.begun?)));
    began.map(|(number, fault, outage, begun)| told(tally, topology, number, fault, outage, begun)).collect()
}

fn told(tally: &Tally, topology: &Topology, number: usize, fault: &Fault, outage: &Outage, begun: Moment) -> OfFault {
    let end = Moment::at(tally.ground.lasts);
    let until = outage.ended.unwrap_or(end);
    let moved = (!outage.regions.is_empty()).then(|| moved(tally, outage, begun, until));
    // What was never left cannot come back.
    let has_left = moved.as_ref().is_some_and(|moved| moved.has_left);
    OfFault {
        number: number as u64 + 1,
        title: words::fault(&fault.what),
        regions: outage.regions.iter().map(|region| topology.region(*region).name.to_string()).collect(),
        from_s: seconds(begun),
        until_s: outage.ended.map(seconds),
        wishes: in_its_time(tally, begun, until),
        failed: outage.failed,
        detected: (moved.is_some() && outage.can_be_noticed).then(|| detected(outage, begun)),
        moved,
        returned: outage.ended.filter(|_| has_left).map(|ended| returned(tally, outage, begun, ended)),
    }
}

fn since(moment: Moment, begun: Moment) -> f64 {
    rounded(moment.since(begun).as_secs_f64() * 1_000.0)
}

/// Wishes of the slots in which it was on.
fn in_its_time(tally: &Tally, begun: Moment, until: Moment) -> u64 {
    let ground = &tally.ground;
    let last = ground.slot_at(until.as_nanos().saturating_sub(1).max(begun.as_nanos()));
    let slots = ground.slot_at(begun.as_nanos())..=last;
    let counts = slots.flat_map(|slot| &tally.wishes.ended[slot * ground.routes..][..ground.routes]);
    counts.flatten().copied().map(u64::from).sum()
}

fn detected(outage: &Outage, begun: Moment) -> Detected {
    let mut times: Vec<Moment> = outage.noticed.clone();
    times.sort_unstable();
    let at = |place: usize| times.get(place).map(|moment| since(*moment, begun));
    Detected {
        could: outage.pairs as u64,
        did: times.len() as u64,
        first_ms: at(0),
        median_ms: times.len().checked_sub(1).and_then(|last| at(last / 2)),
        last_ms: times.len().checked_sub(1).and_then(at),
    }
}

fn moved(tally: &Tally, outage: &Outage, begun: Moment, until: Moment) -> Moved {
    let lasted = until.since(begun);
    Moved {
        has_to: outage.has_to_be_left && outage.has_alternative(),
        was_used: outage.tries + outage.tries_without_choice + before(tally, outage, begun).0 > 0,
        has_left: outage.last_try.is_none_or(|last| until.since(last) >= LEFT_FOR.min(lasted / 2)),
        attempts: outage.tries,
        attempts_without_choice: outage.tries_without_choice,
        last_attempt_ms: outage.last_try.map(|last| since(last, begun)),
        last_ended_ms: outage.last_ended.map(|last| since(last, begun)),
    }
}

fn returned(tally: &Tally, outage: &Outage, begun: Moment, ended: Moment) -> Returned {
    let ground = &tally.ground;
    let before = before(tally, outage, begun);
    let first = ground.part_at(ended.as_nanos());
    let last = ground.part_at(ground.lasts.as_nanos().try_into().unwrap_or(u64::MAX));
    // As many parts as make a slot, so that a part without requests decides nothing.
    let is_full = |part: &usize| {
        let now = attempts(tally, &outage.regions, *part..(*part + PARTS).min(last + 1));
        now.0 * before.1 * 100 >= before.0 * now.1 * FULL_PERCENT && now.0 > 0
    };
    let full = (first..=last.saturating_sub(PARTS)).find(is_full).filter(|_| before.0 > 0);
    let part = ground.slot / u32::try_from(PARTS).unwrap_or(1);
    let full = full.map(|full| Moment::at(part * u32::try_from(full).unwrap_or(u32::MAX)));
    let first_back = outage.first_back.map(|back| since(back, ended));
    Returned {
        share_before_percent: super::make::share(before.0, before.1).unwrap_or_default(),
        first_ms: first_back,
        // A part that the fault's end lies in counts from its begin, but nothing is full before it has begun.
        full_ms: full.map(|full| since(full, ended).max(first_back.unwrap_or_default())),
    }
}

/// Attempts at the regions of a fault, and at all, in the time before it.
fn before(tally: &Tally, outage: &Outage, begun: Moment) -> (u64, u64) {
    let begin = tally.ground.part_at(begun.as_nanos());
    attempts(tally, &outage.regions, begin.saturating_sub(BEFORE_PARTS)..begin)
}

/// Attempts at these regions, and at all.
fn attempts(tally: &Tally, regions: &[RegionIndex], parts: std::ops::Range<usize>) -> (u64, u64) {
    let all = tally.ground.regions;
    let mut counts = (0, 0);
    for part in parts {
        let row = &tally.loads.tries[part * all..][..all];
        counts.0 += regions.iter().map(|region| u64::from(row[region.at()])).sum::<u64>();
        counts.1 += row.iter().copied().map(u64::from).sum::<u64>();
    }
    counts
}
