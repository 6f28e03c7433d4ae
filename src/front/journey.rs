//! One request's way through regions and endpoints: who was tried, and who is next.
//!
//! Things are remembered by name and id, not by index: every attempt may see a newer snapshot.

use crate::counters::record::{Decided, Failed};
use crate::health::{Fault, Standing};
use crate::names::{Hostname, Label};
use crate::snapshot::{EndpointId, Snapshot};
use crate::steering::decision::Decision;
use crate::steering::{Client, Query, Wish, steer};
use crate::topology::{EndpointIndex, RegionIndex};
use crate::upstream::balance;
use std::time::Duration;

/// Where an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which region.
    pub region: RegionIndex,
    /// Which of its endpoints.
    pub endpoint: EndpointIndex,
}

/// An attempt that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Where it went.
    pub target: Target,
    /// What that was decided by.
    pub decided: Decided,
    /// Which it was, from 1.
    pub number: u32,
    /// How long after the request's head it began.
    pub after: Duration,
    /// How long it took.
    pub elapsed: Duration,
}

/// Everybody who was tried for one request.
#[derive(Debug, Default)]
pub struct Journey {
    /// The attempts that failed, in order.
    pub failed: Vec<Failed>,
    /// Regions that may have processed it: others come first.
    left: Vec<Label>,
    tried: Vec<EndpointId>,
}

impl Journey {
    /// An attempt that was `made` in `snapshot` failed; `leaves_region`: the next goes to another region if there is one.
    pub fn failed_at(&mut self, snapshot: &Snapshot, made: Made, fault: Fault, leaves_region: bool) {
        let Made { target, decided, number, after, elapsed } = made;
        let region = &snapshot.topology.region(target.region).name;
        let endpoint = snapshot.topology.endpoint(target.endpoint).name.clone();
        self.failed.push(Failed {
            region: region.clone(),
            endpoint,
            fault,
            reason: None,
            number,
            after,
            elapsed,
            leaves_region,
            decided,
        });
        self.tried.push(snapshot.endpoint(target.endpoint).id);
        if leaves_region {
            self.left.push(region.clone());
        }
    }

    /// The region where the last attempt failed has said why.
    pub fn said(&mut self, reason: Option<Box<str>>) {
        if let Some(failed) = self.failed.last_mut() {
            failed.reason = reason;
        }
    }

    /// Where the first attempt goes, by the decision that was made for it.
    #[must_use]
    pub fn first(&self, snapshot: &Snapshot, decision: &Decision, roll: u64) -> Option<Target> {
        self.choose(snapshot, decision, roll)
    }

    /// Where the next attempt goes, and what that is decided by: the best region that still has an endpoint not tried.
    /// Regions that were left come last.
    #[must_use]
    pub fn next(
        &self,
        snapshot: &Snapshot,
        hostname: &Hostname,
        client: &Client,
        wish: Wish,
        roll: u64,
    ) -> Option<(Target, Decided)> {
        let route = *snapshot.topology.route_by_hostname.get(hostname)?;
        let left: Vec<RegionIndex> =
            self.left.iter().filter_map(|name| snapshot.topology.region_named(name.as_str())).collect();
        let full = full_regions(snapshot);
        let query = Query { route, client, tried: &left, full: &full, wish };
        let choose = |query: &Query<'_>, starts_over| {
            let decision = steer(snapshot, query);
            let target = self.choose(snapshot, &decision, roll)?;
            Some((target, Decided { starts_over, ..Decided::of(&decision) }))
        };
        choose(&query, false).or_else(|| {
            let query = Query { tried: &[], ..query };
            (!left.is_empty()).then(|| choose(&query, true)).flatten()
        })
    }

    /// Whether a region that works and was not left yet could be asked instead of the one at `target`.
    #[must_use]
    pub fn knows_another(
        &self,
        snapshot: &Snapshot,
        target: Target,
        hostname: &Hostname,
        client: &Client,
        wish: Wish,
    ) -> bool {
        let Some(route) = snapshot.topology.route_by_hostname.get(hostname) else { return false };
        let left = self.left.iter().filter_map(|name| snapshot.topology.region_named(name.as_str()));
        let tried: Vec<RegionIndex> = left.chain([target.region]).collect();
        let decision = steer(snapshot, &Query { tried: &tried, wish, ..Query::first(*route, client) });
        decision.candidates.first().is_some_and(|best| best.standing < Standing::Unknown)
    }

    fn choose(&self, snapshot: &Snapshot, decision: &Decision, roll: u64) -> Option<Target> {
        let is_regional = snapshot.topology.route(decision.route).is_regional;
        let tried: Vec<EndpointIndex> = self
            .tried
            .iter()
            .filter_map(|id| snapshot.endpoints.iter().position(|state| state.id == *id).map(EndpointIndex::of))
            .collect();
        decision.candidates.iter().find_map(|candidate| {
            let region = candidate.region;
            let takes_drained = is_regional || decision.wish.goes_on_at(region);
            let endpoint = balance::choose(snapshot, region, &tried, takes_drained, roll)?;
            Some(Target { region, endpoint })
        })
    }
}

/// The regions that have all the requests they may have.
#[must_use]
pub fn full_regions(snapshot: &Snapshot) -> Vec<RegionIndex> {
    let regions = snapshot.topology.regions.iter().enumerate();
    regions
        .filter(|(_, region)| {
            region.capacity.is_some_and(|capacity| {
                let in_flight = region.endpoints.iter().map(|endpoint| snapshot.endpoint(*endpoint).load.in_flight());
                in_flight.sum::<u32>() >= capacity
            })
        })
        .map(|(at, _)| RegionIndex::of(at))
        .collect()
}
