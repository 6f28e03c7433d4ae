//! nearest, latency, priority, weighted: each is one preference number, smaller is better.

use super::Client;
use crate::moment::mix;
use crate::snapshot::Snapshot;
use crate::topology::{Member, Route, Steering};
use std::time::Duration;

/// Regions within this much of the nearest are as near...
pub const NEAR_SHARE: f64 = 0.10;
/// ...and so are those within this distance of it, kilometres.
pub const NEAR_KM: f64 = 100.0;
/// How far a packet comes there and back in a millisecond, kilometres: what is assumed where nothing is measured.
const ROUND_TRIP_KM_PER_MS: f64 = 100.0;
/// Everything outside the group of near ties comes after everything in it.
const FAR: u64 = 1 << 48;
/// A region without weight comes after every region with one.
const WEIGHTLESS: u64 = u64::MAX;

/// How near the nearest region of each level is, whatever its standing: so that a death never regroups the others.
pub struct Nearest {
    near_km_by_level: Vec<f64>,
}

impl Nearest {
    /// Of a route whose members are so far from a client, kilometres.
    pub(super) fn of(route: &Route, distances: &[f64]) -> Self {
        let mut near_km_by_level: Vec<f64> = Vec::new();
        if route.steering == Steering::Nearest {
            for (member, distance) in route.members.iter().zip(distances) {
                let level = usize::from(member.level);
                if near_km_by_level.len() <= level {
                    near_km_by_level.resize(level + 1, f64::INFINITY);
                }
                near_km_by_level[level] = near_km_by_level[level].min(*distance);
            }
            for near in &mut near_km_by_level {
                *near = (*near * (1.0 + NEAR_SHARE)).max(*near + NEAR_KM);
            }
        }
        Self { near_km_by_level }
    }

    fn is_near(&self, member: Member, distance_km: f64) -> bool {
        self.near_km_by_level.get(usize::from(member.level)).is_some_and(|near| distance_km <= *near)
    }
}

/// The preference of one member of a route for a client: smaller is better, and only comparable within one decision.
pub(super) fn preference(
    snapshot: &Snapshot,
    route: &Route,
    client: &Client,
    nearest: &Nearest,
    member: Member,
    distance_km: f64,
) -> u64 {
    match route.steering {
        Steering::Nearest if nearest.is_near(member, distance_km) => round_trip_us(snapshot, member),
        Steering::Nearest => FAR + whole(distance_km * 1_000.0),
        Steering::Latency => round_trip_us(snapshot, member),
        Steering::Priority => order(route, member),
        Steering::Weighted => share(snapshot, client.hash(), member, snapshot.topology.region(member.region).weight),
    }
}

/// The preference of one member of a route for requests that belong to `who`, from whichever node.
pub(super) fn lot(snapshot: &Snapshot, route: &Route, who: u64, member: Member) -> u64 {
    let is_weighted = route.steering == Steering::Weighted;
    let weight = if is_weighted { snapshot.topology.region(member.region).weight } else { 1 };
    share(snapshot, who, member, weight)
}

/// Measured time from this node, or what the distance from this node lets expect, microseconds.
fn round_trip_us(snapshot: &Snapshot, member: Member) -> u64 {
    let time = snapshot.region(member.region).round_trip.unwrap_or_else(|| {
        let km = super::distance_km(snapshot, snapshot.here.place.at, member.region);
        Duration::from_secs_f64(km / ROUND_TRIP_KM_PER_MS / 1_000.0)
    });
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(FAR - 1)
}

fn order(route: &Route, member: Member) -> u64 {
    route.members.iter().position(|other| other.region == member.region).unwrap_or(usize::MAX) as u64
}

/// Weighted rendezvous: `who` draws a lot for every region, and the weight bends the lots. A changed weight
/// or a lost region moves only the clients it must.
fn share(snapshot: &Snapshot, who: u64, member: Member, weight: u32) -> u64 {
    if weight == 0 {
        return WEIGHTLESS;
    }
    let lot = mix(who ^ snapshot.region(member.region).name_hash.rotate_left(16));
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let fraction = ((lot >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    whole(-fraction.ln() / f64::from(weight) * 1e12)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, and saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}
