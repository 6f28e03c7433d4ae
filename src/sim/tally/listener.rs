//! Who listens to a world for the tally: looks up what a fact is about, and knows the best that a wish could have had.

use super::super::cities::Cities;
use super::super::fact::{Fact, Slot};
use super::super::request::Request;
use super::super::world::{Client, World};
use super::Tally;
use super::ground::Spot;
use crate::topology::{Member, RegionIndex, Route};
use std::collections::BTreeMap;
use std::time::Duration;

/// A tally that listens to a world.
#[derive(Debug)]
pub struct Listener {
    /// What was heard.
    pub tally: Tally,
    /// By client and hostname: one round trip to the best region, and how much longer than asked it works.
    best: Vec<(Duration, f64)>,
}

impl Listener {
    /// Of a world before its first step, whose clients are in these cities.
    #[must_use]
    pub fn of(world: &World, cities: &Cities) -> Self {
        let mut spots = Vec::new();
        let mut known = BTreeMap::new();
        let mut spot_of = |client: &Client| {
            *known.entry(client.city).or_insert_with(|| {
                let city = &cities.all()[client.city];
                spots.push(Spot { name: city.name.to_owned(), country: Some(city.country), at: city.at });
                u16::try_from(spots.len() - 1).unwrap_or(u16::MAX)
            })
        };
        let clients = world.clients.iter().map(&mut spot_of).collect();
        let routes = &world.topology.routes;
        let best = world.clients.iter().flat_map(|client| routes.iter().map(|route| best(world, client, route)));
        let best = best.collect();
        Self { tally: Tally::new(&world.scenario, &world.topology, spots, clients), best }
    }

    /// What the last step came to. To be called after each.
    pub fn hear(&mut self, world: &World) {
        for fact in &world.facts {
            let request = slot_of(fact).map(|slot| world.request(slot));
            let best = request.filter(|_| matches!(fact, Fact::Finished(..))).and_then(|request| self.best_of(request));
            self.tally.note(world.now, fact, request, best);
        }
    }

    /// What was heard, of a world that has come to its end.
    #[must_use]
    pub fn close(mut self, world: &World) -> Tally {
        for slot in self.tally.tries.open() {
            self.tally.tried_again(world.now, slot, Some(world.request(slot)));
        }
        self.tally.close(world.now);
        self.tally
    }

    fn best_of(&self, request: &Request) -> Option<Duration> {
        let at = request.client as usize * self.tally.ground.routes + request.route.at();
        let (trip, slowness) = *self.best.get(at)?;
        Some(trip + request.takes.mul_f64(slowness))
    }
}

fn slot_of(fact: &Fact) -> Option<Slot> {
    match *fact {
        Fact::Wishes(slot)
        | Fact::Arrives(slot, _)
        | Fact::Dials { request: slot, .. }
        | Fact::Tries { request: slot, .. }
        | Fact::Processes(slot, _)
        | Fact::Fails { request: slot, .. }
        | Fact::Answers { request: slot, .. }
        | Fact::Ended(slot, _)
        | Fact::Finished(slot, _) => Some(slot),
        _ => None,
    }
}

/// With nothing wrong a primary serves, and none serves sooner than the nearest, straight from where the client is and on
/// a connection that is open already.
fn best(world: &World, client: &Client, route: &Route) -> (Duration, f64) {
    let trip = |region: RegionIndex| world.trip_of(client, &world.topology.region(region).place);
    let may = |member: &&Member| !route.shuts_out(&world.topology, member.region);
    let first = route.members.iter().filter(may).map(|member| member.level).min();
    let primaries = route.members.iter().filter(may).filter(|member| Some(member.level) == first);
    let nearest = primaries.map(|member| (trip(member.region), member.region)).min();
    nearest.map_or((Duration::ZERO, 1.0), |(trip, region)| {
        (trip, world.scenario.truth_of(&world.topology.region(region).name).slowness)
    })
}
