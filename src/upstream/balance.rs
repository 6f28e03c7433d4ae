//! Which endpoint of the chosen region: the better of two by requests in flight.

use crate::health::Standing;
use crate::snapshot::{Drained, EndpointState, Snapshot};
use crate::topology::{EndpointIndex, RegionIndex};

/// Picks an endpoint of `region` that was not `tried`, or `None` if there is none left. `roll` is the chance in it;
/// `takes_drained`: whether an endpoint with a soft drain may be used, as from the region's own hostname.
///
/// Among those of the best standing two are drawn, and the one with fewer requests in flight for its weight and share
/// wins: nearly as even as asking all, without the herd.
#[must_use]
pub fn choose(
    snapshot: &Snapshot,
    region: RegionIndex,
    tried: &[EndpointIndex],
    takes_drained: bool,
    roll: u64,
) -> Option<EndpointIndex> {
    let endpoints = &snapshot.topology.region(region).endpoints;
    if let [only] = endpoints.as_slice() {
        return (!tried.contains(only)).then_some(*only);
    }
    let may_be_used = |state: &EndpointState| match state.drained {
        None => true,
        Some(Drained::Soft) => takes_drained,
        Some(Drained::Hard) => false,
    };
    let left = || endpoints.iter().copied().filter(|at| !tried.contains(at) && may_be_used(snapshot.endpoint(*at)));
    let best: Standing = left().map(|at| snapshot.endpoint(at).standing).min()?;
    let equals = || left().filter(|at| snapshot.endpoint(*at).standing == best);
    let count = equals().count() as u64;
    let first = equals().nth(usize::try_from(roll % count).unwrap_or(0))?;
    // The second is drawn from the others, so that two are always compared.
    let offset = if count > 1 { 1 + (roll >> 32) % (count - 1) } else { 0 };
    let second = equals().nth(usize::try_from((roll % count + offset) % count).unwrap_or(0))?;
    Some(if crowding(snapshot, second) < crowding(snapshot, first) { second } else { first })
}

/// Requests in flight, this one included, for what the endpoint may carry.
fn crowding(snapshot: &Snapshot, at: EndpointIndex) -> u64 {
    let state = snapshot.endpoint(at);
    let room = u64::from(snapshot.topology.endpoint(at).weight) * u64::from(state.share_percent.max(1));
    (u64::from(state.load.in_flight()) + 1) * 1_000_000 / room.max(1)
}
