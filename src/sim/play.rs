//! A scenario played to its end, and what came of it.

use super::fact::{Fact, Slot};
use super::report::Report;
use super::report::make::Told;
use super::scenario::Scenario;
use super::stage::Stage;
use super::tally::Tally;
use super::tally::ground::Spot;
use super::world::World;
use crate::topology::{RegionIndex, Topology};
use std::sync::Arc;
use std::time::Duration;

/// A run that is over.
#[derive(Debug)]
pub struct Played {
    /// What came of it. Of the run itself it says nothing: whoever has a clock does.
    pub report: Report,
    /// What was counted for it.
    pub tally: Tally,
    /// How many events were worked off.
    pub events: u64,
}

/// Plays `scenario` with `seed` in front of the configuration of `stage`. `rollouts` are the files of the scenario's
/// rollouts, in its order. `each` sees the world after every event, with its facts: to show how far it is, to write a trace.
/// `told` is asked at the end for what was not counted.
///
/// # Errors
/// A sentence that says what of the scenario does not fit.
pub fn play(
    stage: &Stage,
    scenario: &Arc<Scenario>,
    rollouts: &[Arc<Topology>],
    seed: u64,
    mut each: impl FnMut(&World),
    told: impl FnOnce() -> Told,
) -> Result<Played, String> {
    let mut world = World::new(stage, scenario, rollouts, seed)?;
    let mut best = Best::new(&world, stage.cities.all().len());
    let mut tally = tally(&world, scenario);
    loop {
        let goes_on = world.step();
        for fact in &world.facts {
            let request = slot(fact).map(|slot| world.request(slot));
            let least = match (fact, request) {
                (Fact::Finished(..), Some(request)) => best.of(&world, request.client, request.route.at()),
                _ => None,
            };
            let least = least.zip(request).map(|(trip, request)| trip + request.takes);
            tally.note(world.now, fact, request, least);
        }
        each(&world);
        if !goes_on {
            break;
        }
    }
    tally.close(world.now);
    let report = Report::of(&tally, scenario, &world.topology, told());
    Ok(Played { report, tally, events: world.events })
}

/// The request that a fact is about.
fn slot(fact: &Fact) -> Option<Slot> {
    match *fact {
        Fact::Wishes(slot) | Fact::Ended(slot, _) | Fact::Finished(slot, _) => Some(slot),
        Fact::Arrives(slot, _) | Fact::Processes(slot, _) => Some(slot),
        Fact::Tries { request, .. } | Fact::Fails { request, .. } | Fact::Answers { request, .. } => Some(request),
        _ => None,
    }
}

fn tally(world: &World, scenario: &Scenario) -> Tally {
    let mut spots = Vec::new();
    let mut spot_of_city = std::collections::BTreeMap::new();
    let mut clients = Vec::with_capacity(world.clients.len());
    for client in &world.clients {
        let spot = *spot_of_city.entry(client.city).or_insert_with(|| {
            let name = client.place.city.as_deref().unwrap_or_default().to_owned();
            spots.push(Spot { name, country: client.place.country, at: client.place.at });
            spots.len() - 1
        });
        clients.push(u16::try_from(spot).unwrap_or(u16::MAX));
    }
    Tally::new(scenario, &world.topology, spots, clients)
}

/// The round trip from a city to the nearest region that may serve a hostname, once it was asked for.
struct Best {
    by_city: Vec<Option<Option<Duration>>>,
    routes: usize,
}

impl Best {
    fn new(world: &World, cities: usize) -> Self {
        let routes = world.topology.routes.len();
        Self { by_city: vec![None; cities * routes], routes }
    }

    fn of(&mut self, world: &World, client: u32, route: usize) -> Option<Duration> {
        let client = world.clients.get(usize::try_from(client).ok()?)?;
        let known = self.by_city.get_mut(client.city * self.routes + route)?;
        let trip = known.get_or_insert_with(|| {
            let (topology, route) = (&world.topology, &world.topology.routes[route]);
            let may = (0..topology.regions.len()).map(RegionIndex::of);
            let may = may.filter(|region| route.may_be_served_by(topology, *region));
            may.map(|region| world.trip_of(client, &topology.region(region).place) - client.last_mile).min()
        });
        trip.map(|trip| trip + client.last_mile)
    }
}
