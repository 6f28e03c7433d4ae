//! Who must be served, and by whom.

use super::Seen;
use super::books::Try;
use super::ground::Probes;
use crate::health::Standing;
use crate::moment::Moment;
use crate::sim::fact::{Fact, NodeIndex, Outcome, Slot};
use crate::topology::{AllDown, RegionIndex, Steering};
use std::time::Duration;

/// After everything is well again, what is left of the trouble is over within this.
const OVER_WITHIN: Duration = Duration::from_secs(10);
/// After that long without any trouble everybody has its whole share again: held back for a minute, and a minute of ramp.
const WHOLE_AFTER: Duration = Duration::from_secs(150);
/// Whoever waits for a region that has been silent for this long, and may leave, has left.
const LEFT_AFTER: Duration = Duration::from_secs(8);
/// Two regions that are as near as this to each other may be told apart by measured time.
const TIE_SHARE: f64 = 1.101;
/// See there, kilometres.
const TIE_KM: f64 = 101.0;

pub fn i20_availability(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Ended(slot, outcome) = *fact else { return None };
    if outcome.is_served() {
        return None;
    }
    let book = seen.books.of(slot);
    let (node, arrived) = book.arrived?;
    if seen.ground.node_since(node).is_none_or(|since| since > arrived) {
        return None;
    }
    let passed = seen.world.now.since(arrived);
    let told = |what: String| {
        let (node, hostname) = (seen.node(node), seen.hostname(slot));
        Some(format!("a request for {hostname} at {node} came to {} after {passed:?}: {what}", outcome.as_str()))
    };
    let stood = |region: RegionIndex| seen.ground.serves_since(node, region).is_some_and(|since| since <= arrived);
    match outcome {
        Outcome::Cut(region) if stood(region) => told(format!("{} was well all the time", seen.region(region))),
        Outcome::Lost => told("the node was there all the time".into()),
        Outcome::Abandoned => waits_in_vain(seen, slot, book, node).and_then(told),
        Outcome::Failure(..) | Outcome::Unanswered(_) => {
            let saviour = saviour(seen, slot, book, (node, arrived))?;
            let is_excused = is_excused(seen, slot, book, outcome, passed);
            (!is_excused).then(|| told(format!("{} could have served it", seen.region(saviour)))).flatten()
        }
        _ => None,
    }
}

/// Somebody who could have served a request all the time that it was at its node.
fn saviour(seen: &Seen<'_>, slot: Slot, book: &Try, (node, arrived): (NodeIndex, Moment)) -> Option<RegionIndex> {
    if seen.books.nodes[usize::from(node)].told_at >= arrived {
        return None;
    }
    let (route, asked) = (seen.route(node, slot)?, seen.world.request(slot));
    let refuses = route.all_down == AllDown::Refuse;
    (0..seen.world.topology.regions.len()).map(RegionIndex::of).find(|region| {
        let is_up = || {
            let there = seen.there(node, *region);
            let state = seen.snapshot(node).zip(there).and_then(|(snapshot, there)| snapshot.regions.get(there.at()));
            // As it stood when the request came: it is refused then, or not.
            let came = seen.world.nodes[usize::from(node)].as_ref().map(|running| running.own(arrived));
            state
                .is_some_and(|state| state.standing < Standing::Ejected && came.is_some_and(|came| state.since <= came))
        };
        // Where packets are lost by chance, even the best connection may not come about; and nobody goes back to a region
        // that was left because it seemed to be silent.
        let is_unlucky = book.asked.contains(region) && (seen.ground.is_lossy() || book.has_left);
        seen.is_inside(node, slot, *region)
            && seen.ground.serves_since(node, *region).is_some_and(|since| since < arrived)
            && !seen.books.is_drained(seen.world, node, asked.route, *region)
            && !is_unlucky
            && (!refuses || is_up())
    })
}

/// Whether nobody could have done more with what was known.
fn is_excused(seen: &Seen<'_>, slot: Slot, book: &Try, outcome: Outcome, passed: Duration) -> bool {
    let asked = seen.world.request(slot);
    let Some((node, _)) = book.arrived else { return true };
    let forward = &seen.world.file_of(node).topology.forward;
    if let Outcome::Failure(_, status) = outcome
        && (!asked.is_safe || !matches!(status, 502..=504))
    {
        // A region's own answer, to what must not be asked twice or would be answered alike elsewhere.
        return true;
    }
    let was_sent = book.failed_sent > 0;
    let patience = seen.world.scenario.crowd.work[usize::from(asked.work)].0.patience;
    let is_impatient = patience.is_some_and(|patience| passed + passed + passed >= patience);
    (was_sent && !asked.is_safe)
        || book.failed_sent >= forward.attempts
        || (passed >= forward.failover_timeout && book.failed_unsent > 0)
        || is_impatient
        || book.is_budget_doubtful
}

/// Whether a safe request waits where nothing comes, and could be elsewhere.
fn waits_in_vain(seen: &Seen<'_>, slot: Slot, book: &Try, node: NodeIndex) -> Option<String> {
    let (asked, now) = (seen.world.request(slot), seen.world.now);
    let (region, _, began) = book.tried.filter(|_| asked.is_safe && !book.is_answered)?;
    let pair = seen.ground.pair(node, region);
    let is_silent = pair.probes == Probes::Silence && now.since(pair.since.max(began)) >= LEFT_AFTER;
    let (_, arrived) = book.arrived?;
    let saviour = saviour(seen, slot, book, (node, arrived)).filter(|saviour| *saviour != region)?;
    let is_first = book.attempts == 1;
    (is_silent && is_first).then(|| format!("it waited for {}, not for {}", seen.region(region), seen.region(saviour)))
}

pub fn i30_recovery(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Ended(slot, outcome) = *fact else { return None };
    if outcome.is_served() || seen.ground.is_lossy() {
        return None;
    }
    let asked = seen.world.request(slot);
    let well = seen.ground.well_since().filter(|since| asked.asked_at.since(*since) >= OVER_WITHIN)?;
    // What takes longer than its client waits is nobody's fault; nor is that a region has too few slots.
    let is_slow = outcome == Outcome::Abandoned;
    let has_room = |at: usize| seen.world.regions[at].slots.is_none();
    let is_told = matches!(outcome, Outcome::Unanswered(_)) && is_all_drained(seen, slot);
    let book = seen.books.of(slot);
    let is_new = book.arrived.is_some_and(|(node, at)| seen.books.nodes[usize::from(node)].told_at >= at);
    if is_slow || is_told || is_new || !(0..seen.world.regions.len()).all(has_room) || is_impatient(seen, slot) {
        return None;
    }
    let passed = seen.world.now.since(well);
    let (hostname, outcome) = (seen.hostname(slot), outcome.as_str());
    Some(format!("a request for {hostname} came to {outcome} although everything has been well for {passed:?}"))
}

/// Whether a client's own patience is shorter than its work may take.
fn is_impatient(seen: &Seen<'_>, slot: Slot) -> bool {
    let asked = seen.world.request(slot);
    let patience = seen.world.scenario.crowd.work[usize::from(asked.work)].0.patience;
    patience.is_some_and(|patience| seen.world.now.since(asked.asked_at) * 3 >= patience)
}

fn is_all_drained(seen: &Seen<'_>, slot: Slot) -> bool {
    let Some((node, _)) = seen.books.of(slot).arrived else { return false };
    let route = seen.world.request(slot).route;
    let mut regions = (0..seen.world.topology.regions.len()).map(RegionIndex::of);
    regions.all(|region| !seen.is_inside(node, slot, region) || seen.books.is_drained(seen.world, node, route, region))
}

pub fn i32_proximity(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Tries { request, node, region, number: 1, .. } = *fact else { return None };
    let asked = seen.world.request(request);
    let well = seen.ground.well_since().is_some_and(|since| seen.world.now.since(since) >= WHOLE_AFTER);
    let book = &seen.books.nodes[usize::from(node)];
    let is_whole = well && !seen.ground.is_lossy() && asked.tries == 1 && book.drains.is_empty();
    let has_all_slots = seen.world.regions.iter().all(|region| region.slots.is_none());
    let is_settled = || has_all_slots && seen.world.now.since(book.told_at) >= WHOLE_AFTER;
    if !is_whole || !is_settled() || seen.route(node, request)?.steering != Steering::Nearest {
        return None;
    }
    let topology = &seen.world.topology;
    // Geography may have been wrong when it was wished.
    let calm = seen.ground.well_since()?;
    if asked.wished_at < calm {
        return None;
    }
    let from = seen.world.clients[asked.client as usize].believed().at;
    let part = |region| seen.books.part(seen.world, node, asked.route, region).filter(|part| part.is_inside);
    let far = |region: RegionIndex| from.distance_km(&topology.region(region).place.at);
    let all = (0..topology.regions.len()).map(RegionIndex::of);
    let level = all.clone().filter_map(part).map(|part| part.level).min()?;
    let has_room = |region: &RegionIndex| seen.room(node, *region).is_some_and(|room| room > 0);
    let first = all.filter(|region| part(*region).is_some_and(|part| part.level == level)).filter(has_room);
    let nearest = first.min_by(|one, other| far(*one).total_cmp(&far(*other)))?;
    let (best, taken) = (far(nearest), far(region));
    let is_near =
        taken <= (best * TIE_SHARE).max(best + TIE_KM) && part(region).is_some_and(|part| part.level == level);
    (!is_near).then(|| {
        let (hostname, to, nearest) = (seen.hostname(request), seen.region(region), seen.region(nearest));
        format!("a client of {hostname} went {taken:.0} km to {to}, not {best:.0} km to {nearest}")
    })
}
