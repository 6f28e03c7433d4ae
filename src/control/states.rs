//! What is published of endpoints and regions, made of what is known of them, and what changed its standing.

use super::Control;
use super::change::Change;
use crate::health::Reason;
use crate::moment::Moment;
use crate::snapshot::{Drained, EndpointId, EndpointState, RegionState, Snapshot};
use crate::topology::{EndpointIndex, RegionIndex};
use std::sync::Arc;

impl Control {
    pub(super) fn endpoint_state(&self, now: Moment, index: EndpointIndex) -> EndpointState {
        let known = &self.known[index.at()];
        let slow_start = self.topology.forward.slow_start;
        let (standing, reason) = known.health.standing(now, slow_start);
        let drained = self
            .overrides
            .iter()
            .filter(|drain| drain.target.covers(&self.topology, index))
            .map(|drain| if drain.is_hard { Drained::Hard } else { Drained::Soft })
            .max();
        let before = self.last.as_ref().and_then(|last| endpoint_before(last, index, known.id));
        EndpointState {
            id: known.id,
            standing,
            reason,
            since: before.filter(|state| state.standing == standing).map_or(now, |_| known.since),
            probes: known.health.opinions(now).collect(),
            share_percent: known.health.share_percent(now, slow_start),
            round_trip: known.health.latency().round_trip(),
            addresses: Arc::clone(&known.addresses),
            load: Arc::clone(&known.load),
            drained,
        }
    }

    pub(super) fn region_state(&self, now: Moment, index: RegionIndex, endpoints: &[EndpointState]) -> RegionState {
        let region = self.topology.region(index);
        let all = || region.endpoints.iter().map(|endpoint| &endpoints[endpoint.at()]);
        let drained = all().map(|state| state.drained).min().flatten();
        // A drained endpoint does not speak for its region, unless all are drained: then health is still worth knowing.
        let speaks = |state: &&EndpointState| state.drained <= drained;
        let best = all()
            .filter(speaks)
            .min_by_key(|state| (state.standing, state.reason == Reason::RampingUp))
            .expect("a region has an endpoint");
        let equals = || all().filter(speaks).filter(|state| state.standing == best.standing);
        let name = &region.name;
        let before = self.last.as_ref().and_then(|last| self.region_before(last, index));
        let before = before.filter(|state| state.standing == best.standing);
        RegionState {
            standing: best.standing,
            reason: best.reason,
            since: before.map_or(now, |state| state.since),
            share_percent: equals().map(|state| state.share_percent).max().unwrap_or(100),
            round_trip: equals().filter_map(|state| state.round_trip).min(),
            drained,
            name_hash: RegionState::hash_of(name),
        }
    }

    /// The region as it was in `last`, by its name.
    fn region_before<'a>(&self, last: &'a Snapshot, index: RegionIndex) -> Option<&'a RegionState> {
        if Arc::ptr_eq(&last.topology, &self.topology) {
            return Some(last.region(index));
        }
        let at = last.topology.region_named(self.topology.region(index).name.as_str())?;
        Some(last.region(at))
    }

    pub(super) fn changes(&self, endpoints: &[EndpointState], regions: &[RegionState]) -> Vec<Change> {
        let Some(last) = &self.last else { return Vec::new() };
        let mut changes = Vec::new();
        for (at, (region, state)) in self.topology.regions.iter().zip(regions).enumerate() {
            let many = region.endpoints.len() > 1;
            for index in region.endpoints.iter().filter(|_| many) {
                let now = &endpoints[index.at()];
                let before = endpoint_before(last, *index, now.id);
                if let Some(before) = before.filter(|before| before.standing != now.standing) {
                    changes.push(Change {
                        region: region.name.clone(),
                        endpoint: Some(self.topology.endpoint(*index).name.clone()),
                        from: before.standing,
                        to: now.standing,
                        reason: now.reason,
                    });
                }
            }
            let before = self.region_before(last, RegionIndex::of(at));
            if let Some(before) = before.filter(|before| before.standing != state.standing) {
                changes.push(Change {
                    region: region.name.clone(),
                    endpoint: None,
                    from: before.standing,
                    to: state.standing,
                    reason: state.reason,
                });
            }
        }
        changes
    }
}

/// The endpoint as it was in `last`: in the same place, unless the file changed in between.
fn endpoint_before(last: &Snapshot, index: EndpointIndex, id: EndpointId) -> Option<&EndpointState> {
    let same = last.endpoints.get(index.at()).filter(|state| state.id == id);
    same.or_else(|| last.endpoints.iter().find(|state| state.id == id))
}
