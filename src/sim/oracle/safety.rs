//! What must never happen, whatever fails.

use super::Seen;
use super::books::is_used;
use crate::health::Standing;
use crate::sim::fact::{Fact, NodeIndex, Outcome, Slot};
use crate::sim::resolvers::Answer;
use crate::snapshot::Snapshot;
use crate::topology::{AllDown, RegionIndex, Route};
use std::sync::Arc;

impl Seen<'_> {
    pub(super) fn region(&self, region: RegionIndex) -> &str {
        self.world.topology.region(region).name.as_str()
    }

    pub(super) fn node(&self, node: NodeIndex) -> &str {
        self.world.topology.sites[usize::from(node)].name.as_str()
    }

    pub(super) fn hostname(&self, slot: Slot) -> &str {
        self.world.topology.route(self.world.request(slot).route).hostname.as_str()
    }

    /// What a node believes, if it is there.
    pub(super) fn snapshot(&self, node: NodeIndex) -> Option<&Arc<Snapshot>> {
        self.world.nodes[usize::from(node)].as_ref().map(|running| &running.snapshot)
    }

    /// The number that a region of the world has in the file of a node.
    pub(super) fn there(&self, node: NodeIndex, region: RegionIndex) -> Option<RegionIndex> {
        let regions = &self.world.file_of(node).regions;
        regions.iter().position(|known| *known == region).map(RegionIndex::of)
    }

    /// The hostname of a request, by the file of a node.
    pub(super) fn route(&self, node: NodeIndex, slot: Slot) -> Option<&Route> {
        let topology = &self.world.file_of(node).topology;
        let hostname = &self.world.topology.route(self.world.request(slot).route).hostname;
        topology.route_by_hostname.get(hostname).map(|route| topology.route(*route))
    }

    pub(super) fn is_inside(&self, node: NodeIndex, slot: Slot, region: RegionIndex) -> bool {
        let route = self.world.request(slot).route;
        self.books.part(self.world, node, route, region).is_some_and(|part| part.is_inside)
    }

    /// Whether a region has all the requests that a node may give it, and how many more would fit.
    pub(super) fn room(&self, node: NodeIndex, region: RegionIndex) -> Option<u32> {
        let (snapshot, there) = (self.snapshot(node)?, self.there(node, region)?);
        let of = snapshot.topology.regions.get(there.at())?;
        let Some(capacity) = of.capacity else { return Some(u32::MAX) };
        let in_flight: u32 = of.endpoints.iter().map(|at| snapshot.endpoint(*at).load.in_flight()).sum();
        Some(capacity.saturating_sub(in_flight))
    }
}

pub fn i01_allowed_set(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    match *fact {
        Fact::Tries { request, node, region, .. } => (!seen.is_inside(node, request, region)).then(|| {
            format!("{} sent a request for {} to {}", seen.node(node), seen.hostname(request), seen.region(region))
        }),
        Fact::Processes(slot, region) => {
            let route = seen.world.request(slot).route;
            (!seen.books.is_ever_inside(route, region))
                .then(|| format!("{} worked on a request for {}", seen.region(region), seen.hostname(slot)))
        }
        Fact::Resolved { node, route, answer: Answer::Region(region), .. } => {
            let part = seen.books.part(seen.world, node, route, region);
            (!part.is_some_and(|part| part.is_inside)).then(|| {
                let hostname = &seen.world.topology.route(route).hostname;
                format!("{} answered {hostname} with {}", seen.node(node), seen.region(region))
            })
        }
        _ => None,
    }
}

/// A fence and drains come before health, and health before capacity and distance: others hold the first two.
pub fn i02_precedence(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Tries { request, node, region, number, .. } = *fact else { return None };
    let (snapshot, book) = (seen.snapshot(node)?, seen.books.of(request));
    let asked = seen.world.request(request);
    // The same endpoint once more, on a new connection, is no choice; nor is what a client that asks again avoids.
    let is_again = book.tried.is_some_and(|(last, ..)| last == region);
    if is_again || asked.tries > 1 {
        return None;
    }
    let standing = |region: RegionIndex| Some(snapshot.regions.get(seen.there(node, region)?.at())?.standing);
    let level = |region: RegionIndex| seen.books.part(seen.world, node, asked.route, region).map(|part| part.level);
    let (own, own_level) = (standing(region)?, level(region)?);
    if own == Standing::Up && own_level == 0 {
        return None;
    }
    let better = (0..seen.world.topology.regions.len()).map(RegionIndex::of).find(|other| {
        let is_whole = || {
            let state = seen.there(node, *other).and_then(|there| snapshot.regions.get(there.at()));
            let is_up = state.is_some_and(|state| state.standing == Standing::Up && state.share_percent == 100);
            is_up && seen.room(node, *other).is_some_and(|room| room > 0)
        };
        let is_worse = own > Standing::Up || level(*other).is_some_and(|level| level < own_level);
        *other != region
            && is_worse
            && seen.is_inside(node, request, *other)
            && !book.asked.contains(other)
            && is_whole()
            && !seen.books.is_drained(seen.world, node, asked.route, *other)
    })?;
    let (node, hostname) = (seen.node(node), seen.hostname(request));
    let (to, better) = (seen.region(region), seen.region(better));
    Some(format!("{node} sent attempt {number} for {hostname} to {to}, which is {own}, while {better} is up"))
}

pub fn i03_known_targets(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Tries { node, region, endpoint, .. } = *fact else { return None };
    let file = seen.world.file_of(node);
    let known = file.topology.endpoints.get(endpoint.at());
    let is_known = known.is_some_and(|known| file.regions.get(known.region.at()) == Some(&region));
    (!is_known)
        .then(|| format!("{} sent a request to {}, which its file has not", seen.node(node), seen.region(region)))
}

pub fn i04_drain(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Tries { request, node, region, endpoint, number } = *fact else { return None };
    let drained = seen.books.nodes[usize::from(node)].drained.get(endpoint.at()).copied().flatten();
    let is_regional = seen.world.topology.route(seen.world.request(request).route).is_regional;
    let is_kept_away = drained.is_some_and(|is_hard| is_hard || !is_regional);
    is_kept_away.then(|| {
        let (node, hostname, region) = (seen.node(node), seen.hostname(request), seen.region(region));
        format!("{node} sent attempt {number} for {hostname} to {region}, which is drained there")
    })
}

pub fn i05_no_duplicate_effect(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    match *fact {
        Fact::Processes(slot, region) if !seen.world.request(slot).is_safe => {
            let before = seen.books.of(slot).worked?;
            let (hostname, before, region) = (seen.hostname(slot), seen.region(before), seen.region(region));
            Some(format!("{region} worked on an unsafe request for {hostname} that {before} had worked on"))
        }
        Fact::Tries { request, node, region, number, .. } if seen.books.of(request).is_answered => {
            let (node, region) = (seen.node(node), seen.region(region));
            Some(format!("{node} sent attempt {number} to {region} although an answer had begun"))
        }
        _ => None,
    }
}

pub fn i12_empty_guard(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Ended(slot, Outcome::Unanswered(status)) = *fact else { return None };
    let book = seen.books.of(slot);
    let (node, arrived) = book.arrived.filter(|_| book.attempts == 0)?;
    let route = seen.world.request(slot).route;
    let may_refuse = seen.route(node, slot)?.all_down == AllDown::Refuse;
    if may_refuse || seen.books.nodes[usize::from(node)].told_at >= arrived {
        return None;
    }
    let left = (0..seen.world.topology.regions.len()).map(RegionIndex::of).find(|region| {
        seen.is_inside(node, slot, *region) && !seen.books.is_drained(seen.world, node, route, *region)
    })?;
    let (node, hostname, left) = (seen.node(node), seen.hostname(slot), seen.region(left));
    Some(format!("{node} answered {status} for {hostname} without an attempt, although {left} may serve it"))
}

pub fn i13_monotone(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Publishes(node) = *fact else { return None };
    let book = &seen.books.nodes[usize::from(node)];
    let (before, after) = (book.last.as_ref()?.generation, seen.snapshot(node)?.generation);
    // Of several in one event only the last is there to be seen.
    let is_same_event = book.published_in == Some(seen.world.events);
    (after < before || (after == before && !is_same_event))
        .then(|| format!("{} published generation {after} after {before}", seen.node(node)))
}

pub fn i16_good_means_good(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Publishes(node) = *fact else { return None };
    let book = &seen.books.nodes[usize::from(node)];
    if book.refused_in != Some(seen.world.events) {
        return None;
    }
    let (before, after) = (book.last.as_ref()?, seen.snapshot(node)?);
    let is_same_file = Arc::ptr_eq(&before.topology, &after.topology);
    let is_same =
        before.regions.iter().zip(&after.regions).all(|(before, after)| {
            before.drained == after.drained && is_used(before.standing) == is_used(after.standing)
        });
    (!(is_same_file && is_same)).then(|| format!("{} changed what it does because of a refused file", seen.node(node)))
}
