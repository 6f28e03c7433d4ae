//! What keeps trouble from feeding itself, and what keeps everything bounded.

use super::Seen;
use super::books::{FLAPS_WITHIN, costs, is_used, second};
use crate::health::{Reason, Standing};
use crate::sim::fact::{Fact, NodeIndex};
use crate::steering::{Client, PlacedBy, Query, steer};
use crate::topology::{RegionIndex, Route};
use std::sync::Arc;

/// Events at one moment.
const STEPS_AT_ONCE_MAX: u64 = 100_000;
/// Changes of a region's standing in ten minutes: what is held back for 5, 10, 15 … 60 seconds and falls again at once comes
/// and goes sixteen times. Whether a node suspects itself of a failure is not counted.
const FLAPS_MAX: usize = 32;
/// Probes of one endpoint under way at once: a timeout's worth at the fast pace, and some that were given up.
const PROBES_EACH_MAX: usize = 12;
/// Clients that are asked whether they move.
const SAMPLED: u64 = 6;

pub fn i23_bounded_steps(seen: &Seen<'_>, _: &Fact) -> Option<String> {
    let world = seen.world;
    let all = world.topology.regions.len() * world.nodes.len() + world.clients.len() + world.scenario.faults.len();
    let most = 64 + 8 * (all + world.under_way());
    let (facts, at_once) = (world.facts.len(), seen.books.steps_now);
    (facts > most || at_once > STEPS_AT_ONCE_MAX)
        .then(|| format!("{facts} facts in one event, {at_once} events at one moment"))
}

pub fn i25_flaps(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Stands { node, region, .. } = *fact else { return None };
    let flaps = &seen.books.nodes[usize::from(node)].flaps[region.at()];
    let lately = flaps.iter().filter(|at| seen.world.now.since(**at) <= FLAPS_WITHIN).count();
    (lately > FLAPS_MAX).then(|| {
        format!("{} changed its mind about {} {lately} times in ten minutes", seen.node(node), seen.region(region))
    })
}

pub fn i26_velocity(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Publishes(node) = *fact else { return None };
    let (snapshot, file) = (seen.snapshot(node)?, seen.world.file_of(node));
    let book = &seen.books.nodes[usize::from(node)];
    let (last, now) = (book.last.as_ref()?, seen.world.now);
    if !Arc::ptr_eq(&last.topology, &snapshot.topology) {
        return None;
    }
    let is_new = |at: usize| {
        let was_used = last.regions.get(at).is_some_and(|state| is_used(state.standing));
        snapshot.regions.get(at).is_some_and(|state| state.reason == Reason::ErrorRate) && was_used
    };
    if !(0..snapshot.regions.len()).any(is_new) {
        return None;
    }
    let lately = |region: RegionIndex| {
        let known = file.regions[region.at()];
        let within =
            |(at, other): &(_, RegionIndex)| *other == known && now.since(*at) < super::books::EJECTIONS_WITHIN;
        is_new(region.at()) || book.ejected.iter().any(within)
    };
    let written = snapshot.topology.routes.iter().filter(|route| !route.is_regional);
    let levels = |route: &Route| route.members.iter().map(|member| member.level).max().unwrap_or(0);
    written.flat_map(|route| (0..=levels(route)).map(move |level| (route, level))).find_map(|(route, level)| {
        let of_level = || route.members.iter().filter(move |member| member.level == level);
        let (all, out) = (of_level().count(), of_level().filter(|member| lately(member.region)).count());
        (out > (all / 4).max(1)).then(|| {
            let hostname = &route.hostname;
            format!("{} left {out} of {all} regions of {hostname} for errors within 30 seconds", seen.node(node))
        })
    })
}

pub fn i27_capacity(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Tries { request, node, region, .. } = *fact else { return None };
    let (there, snapshot) = (seen.there(node, region)?, seen.snapshot(node)?);
    let of = snapshot.topology.regions.get(there.at())?;
    let capacity = of.capacity?;
    let in_flight: u32 = of.endpoints.iter().map(|at| snapshot.endpoint(*at).load.in_flight()).sum();
    let (asked, book) = (seen.world.request(request), seen.books.of(request));
    // This attempt is counted already; what a client that asks again avoids is no choice.
    if in_flight <= capacity || asked.tries > 1 || book.tried.is_some_and(|(last, ..)| last == region) {
        return None;
    }
    let level = |region: RegionIndex| seen.books.part(seen.world, node, asked.route, region).map(|part| part.level);
    let own = level(region)?;
    let better = (0..seen.world.topology.regions.len()).map(RegionIndex::of).find(|other| {
        let state = seen.there(node, *other).and_then(|there| snapshot.regions.get(there.at()));
        let is_up = state.is_some_and(|state| state.standing == Standing::Up && state.share_percent == 100);
        is_up
            && *other != region
            && level(*other).is_some_and(|level| level <= own)
            && seen.is_inside(node, request, *other)
            && !book.asked.contains(other)
            && !seen.books.is_drained(seen.world, node, asked.route, *other)
            && seen.room(node, *other).is_some_and(|room| room > 0)
    })?;
    let (node, region, better) = (seen.node(node), seen.region(region), seen.region(better));
    Some(format!("{node} gives {region} {in_flight} requests, more than {capacity}, while {better} has room"))
}

pub fn i29_amplification(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Tries { request, node, .. } = *fact else { return None };
    let (from, fault, progress) = seen.books.of(request).last?;
    if !costs(fault, progress) {
        return None;
    }
    let key = (node, seen.world.request(request).route, from);
    let now = second(seen.world.now);
    let (repeats, successes) = seen.books.repeats.get(&key).map_or((0, 0), |repeats| repeats.sum(now));
    let forward = &seen.world.file_of(node).topology.forward;
    // The node counts seconds from its own start: one more may fall into ours.
    let floor = u64::from(forward.retry_floor) * (super::books::REPEATS_WITHIN + 1);
    let most = floor + (successes + 1) * u64::from(forward.retry_percent) / 100 * 2 + 1;
    (repeats + 1 > most).then(|| {
        let (node, hostname, from) = (seen.node(node), seen.hostname(request), seen.region(from));
        format!(
            "{node} repeated {} requests for {hostname} that {from} failed, after {successes} successes",
            repeats + 1
        )
    })
}

pub fn i31_minimal_movement(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Publishes(node) = *fact else { return None };
    let (before, after) = (seen.books.nodes[usize::from(node)].last.as_ref()?, seen.snapshot(node)?);
    if !Arc::ptr_eq(&before.topology, &after.topology) {
        return None;
    }
    let mut changed = None;
    for (at, (before, after)) in before.regions.iter().zip(&after.regions).enumerate() {
        let is_same = before.standing == after.standing
            && before.drained == after.drained
            && before.share_percent == after.share_percent;
        if !is_same && changed.replace(at).is_some() {
            return None;
        }
        if is_same && before.round_trip != after.round_trip {
            return None;
        }
    }
    let changed = RegionIndex::of(changed?);
    let clients = &seen.world.clients;
    let written: Vec<_> =
        (0..after.topology.routes.len()).filter(|at| !after.topology.routes[*at].is_regional).collect();
    if clients.is_empty() || written.is_empty() {
        return None;
    }
    for number in 0..SAMPLED {
        let lot = crate::moment::mix(after.generation.rotate_left(8) ^ number ^ u64::from(node) << 32);
        let client = &clients[usize::try_from(lot % clients.len().max(1) as u64).unwrap_or(0)];
        let route = written[usize::try_from(lot.rotate_left(32) % written.len().max(1) as u64).unwrap_or(0)];
        let believed = Client::at(client.address, client.believed().clone(), PlacedBy::Database);
        let query = Query::first(crate::topology::RouteIndex::of(route), &believed);
        let best = |snapshot| steer(snapshot, &query).candidates.first().map(|best| best.region);
        let (from, to) = (best(before), best(after));
        if from != to && from != Some(changed) && to != Some(changed) {
            let name = |region: Option<RegionIndex>| {
                region.map_or("nobody", |region| after.topology.region(region).name.as_str())
            };
            let (node, hostname) = (seen.node(node), &after.topology.routes[route].hostname);
            let (from, to, changed) = (name(from), name(to), name(Some(changed)));
            return Some(format!("at {node} a client of {hostname} moves from {from} to {to} because of {changed}"));
        }
    }
    None
}

pub fn i33_bounded_resources(seen: &Seen<'_>) -> Option<String> {
    let world = seen.world;
    let most = 4_096 + 64 * usize::try_from(seen.books.begun).unwrap_or(usize::MAX / 128);
    if world.to_come() > most {
        return Some(format!("{} things are to come after {} tries", world.to_come(), seen.books.begun));
    }
    (0..world.nodes.len()).find_map(|at| {
        let running = world.nodes[at].as_ref()?;
        let most = PROBES_EACH_MAX * running.snapshot.endpoints.len() + running.snapshot.sites.len();
        let under_way = running.under_way();
        let node = NodeIndex::try_from(at).ok()?;
        (under_way > most).then(|| format!("{} has {under_way} probes under way", seen.node(node)))
    })
}

pub fn i33_every_wish_ends(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Finished(slot, outcome) = *fact else { return None };
    let asked = seen.world.request(slot);
    let passed = seen.world.now.since(asked.wished_at);
    // A try waits, is answered, flows; before the next its program waits for a minute at most.
    let each = asked.program.timeout() * 2 + asked.flows * 2 + std::time::Duration::from_secs(660);
    (passed > each * asked.tries)
        .then(|| format!("a request for {} came to {} only after {passed:?}", seen.hostname(slot), outcome.as_str()))
}
