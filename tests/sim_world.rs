//! A world in virtual time: the same machines, one seed.

mod common;

use anyfront::geo::place::Place;
use anyfront::moment::Moment;
use anyfront::names::Label;
use anyfront::sim::fact::{Fact, Outcome};
use anyfront::sim::scenario::{Fault, NewSite, Scenario, What, Whom};
use anyfront::sim::stage::Stage;
use anyfront::sim::world::World;
use std::sync::Arc;
use std::time::Duration;

fn site(stage: &Stage, name: &str, city: &str, address: &str) -> NewSite {
    let city = &stage.cities.all()[stage.cities.named(city).expect("a city")];
    NewSite {
        name: Label::parse(name).expect("a name"),
        place: Place { at: city.at, country: Some(city.country), city: None },
        addresses: vec![address.parse().expect("an address")],
    }
}

/// Five nodes in front of the published fleet.
fn scenario(stage: &Stage, minutes: u64, faults: Vec<Fault>) -> Scenario {
    Scenario {
        lasts: Duration::from_secs(60 * minutes),
        sites: vec![
            site(stage, "iad-1", "Washington", "192.0.2.20"),
            site(stage, "sin-1", "Singapore", "192.0.2.21"),
            site(stage, "syd-1", "Sydney", "192.0.2.22"),
            site(stage, "gru-1", "São Paulo", "192.0.2.23"),
        ],
        faults,
        ..Scenario::default()
    }
}

fn run(stage: &Stage, scenario: Scenario, seed: u64) -> (u64, std::collections::BTreeMap<String, u64>, Duration) {
    let scenario = Arc::new(scenario);
    let mut world = World::new(stage, &scenario, &[], seed).expect("it fits");
    let mut counts = std::collections::BTreeMap::new();
    let mut hash = 0_u64;
    let began = std::time::Instant::now();
    while world.step() {
        for fact in &world.facts {
            let key = match fact {
                Fact::Finished(_, outcome) => format!("finished {}", outcome.as_str()),
                Fact::Stands { standing, .. } => format!("stands {standing:?}"),
                Fact::Fails { fault, .. } => format!("fails {fault:?}"),
                other => format!("{other:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_owned(),
            };
            hash = anyfront::moment::mix(hash ^ key.len() as u64 ^ world.now.as_nanos());
            *counts.entry(key).or_insert(0) += 1;
        }
    }
    println!("events {}", world.events);
    (hash, counts, began.elapsed())
}

fn stage() -> Stage {
    let text = std::fs::read_to_string("regions.toml").expect("the published file");
    Stage::of(Arc::new(common::topology(&text)), common::locator())
}

#[test]
fn a_region_that_dies_costs_no_request_that_another_could_save() {
    let stage = stage();
    let dies = Fault {
        at: Duration::from_secs(600),
        lasts: Some(Duration::from_secs(600)),
        what: What::Refuse(Whom::Regions(vec![Label::parse("bom").expect("a name")])),
    };
    let (hash, counts, took) = run(&stage, scenario(&stage, 60, vec![dies.clone()]), 7);
    println!("{counts:#?} {took:?}");
    let (again, ..) = run(&stage, scenario(&stage, 60, vec![dies]), 7);
    assert_eq!(hash, again);
    let _ = (Moment::ZERO, Outcome::Unreached);
}
