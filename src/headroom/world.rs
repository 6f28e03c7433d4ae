//! A world where nothing is measured: every hostname asked alike, by clients who are where the networks are.

use super::{Flow, Traffic};
use crate::geo::place::Place;
use crate::snapshot::Snapshot;
use crate::steering::{Client, PlacedBy, Query, steer};
use crate::topology::RouteIndex;
use std::sync::Arc;

/// Places at most, those with the most networks: a city database has a hundred thousand.
pub const PLACES_MAX: usize = 400;
/// Clients of each place, who differ in luck: where weights decide, they do not all go one way.
const LUCKS: u64 = 4;

/// What a node would carry if `in_flight` requests at once were spread evenly over the written hostnames, and over clients
/// at `places`, each with its weight; a request takes one second.
#[must_use]
pub fn even(snapshot: &Snapshot, mut places: Vec<(Place, f64)>, in_flight: f64) -> Traffic {
    places.retain(|(_, weight)| *weight > 0.0);
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    let everywhere: f64 = places.iter().map(|(_, weight)| weight).sum();
    places.truncate(PLACES_MAX);
    let kept: f64 = places.iter().map(|(_, weight)| weight).sum();
    let topology = &snapshot.topology;
    let routes: Vec<_> = topology.routes.iter().enumerate().filter(|(_, route)| !route.is_regional).collect();
    let mut traffic = Traffic::default();
    #[expect(clippy::cast_precision_loss, reason = "some thousand hostnames")]
    let each = if routes.is_empty() || kept <= 0.0 { 0.0 } else { in_flight / routes.len() as f64 / kept };
    for (number, (place, weight)) in places.iter().enumerate() {
        for luck in 0..LUCKS {
            let id = number as u64 * LUCKS + luck;
            let client = Arc::new(Client::of_place(place.clone(), PlacedBy::Database, id));
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let amount = each * weight / LUCKS as f64;
            for (at, route) in &routes {
                let decision = steer(snapshot, &Query::first(RouteIndex::of(*at), &client));
                let Some(best) = decision.candidates.first() else { continue };
                let region = topology.region(best.region).name.clone();
                let carried = traffic.regions.entry(region.clone()).or_default();
                carried.per_second += amount;
                carried.in_flight += amount;
                carried.busy += amount;
                let hostname = route.hostname.clone();
                let client = Arc::clone(&client);
                traffic.flows.push(Flow { hostname, client, region, per_second: amount, in_flight: amount });
            }
        }
    }
    traffic.assumed = Some(format!(
        "{in_flight:.0} requests at once, each of one second, spread evenly over {} hostnames, by clients who are where \
         the IPv4 networks of the geo database are ({} places with {:.0} % of them); all through one node",
        routes.len(),
        places.len(),
        if everywhere > 0.0 { 100.0 * kept / everywhere } else { 0.0 },
    ));
    traffic
}
