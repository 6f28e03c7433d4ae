//! THE PAGE OF A SIMULATION, of a real run: three hours in which a region dies.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

mod common;
#[path = "common/reader.rs"]
mod reader;

use anyfront::geo::place::Place;
use anyfront::names::Label;
use anyfront::sim::report::Report;
use anyfront::sim::report::make::Told;
use anyfront::sim::report::page::page;
use anyfront::sim::report::text::text;
use anyfront::sim::scenario::{Demands, Fault, NewSite, RegionTruth, Scenario, What, Whom};
use anyfront::sim::stage::Stage;
use anyfront::sim::tally::listener::Listener;
use anyfront::sim::world::World;
use std::sync::Arc;
use std::time::Duration;

fn stage() -> Stage {
    Stage::of(Arc::new(common::topology(&common::real_fleet())), common::locator())
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn site(stage: &Stage, name: &str, city: &str, address: &str) -> NewSite {
    let city = &stage.cities.all()[stage.cities.named(city).expect("a city")];
    NewSite {
        name: Label::parse(name).expect("a name"),
        place: Place { at: city.at, country: Some(city.country), city: None },
        addresses: vec![address.parse().expect("an address")],
    }
}

/// Mumbai is gone on Monday at half past nine, and later Virginia answers a third of what is asked with 503.
fn monday(stage: &Stage) -> Scenario {
    let whom = |name: &str| Whom::Regions(vec![Label::parse(name).expect("a name")]);
    let fault = |at, lasts, what| Fault { at: minutes(at), lasts: Some(minutes(lasts)), what };
    Scenario {
        name: "mumbai is gone on monday at nine".to_owned(),
        lasts: minutes(180),
        sites: vec![
            site(stage, "iad-1", "Washington", "192.0.2.20"),
            site(stage, "sin-1", "Singapore", "192.0.2.21"),
            site(stage, "syd-1", "Sydney", "192.0.2.22"),
            site(stage, "gru-1", "São Paulo", "192.0.2.23"),
        ],
        usual: RegionTruth { slots: Some(60), ..RegionTruth::default() },
        faults: vec![
            fault(30, 45, What::BlackHole(whom("bom"))),
            fault(105, 30, What::Errors(whom("orf"), 0.35, 503)),
            fault(140, 20, What::Crash(vec![Label::parse("sin-1").expect("a name")])),
        ],
        demands: Demands {
            availability_percent: Some(99.5),
            added_p99: Some(Duration::from_millis(800)),
            amplification: Some(1.1),
            move_time: Some(Duration::from_secs(5)),
            load_percent: Some(100.0),
            residency: true,
            invariants: true,
        },
        ..Scenario::default()
    }
}

fn played(stage: &Stage, scenario: Scenario, seed: u64) -> Report {
    let scenario = Arc::new(scenario);
    let mut world = World::new(stage, &scenario, &[], seed).expect("it fits");
    let mut listener = Listener::of(&world, &stage.cities);
    while world.step() {
        listener.hear(&world);
    }
    let tally = listener.close(&world);
    let told = Told { configuration: "regions.toml".to_owned(), seed, ..Told::default() };
    Report::of(&tally, &scenario, &world.topology, told)
}

#[test]
fn draw() {
    let stage = stage();
    let report = played(&stage, monday(&stage), 7);
    std::fs::write("/tmp/w_report.html", page(&report)).expect("w");
    std::fs::write("/tmp/w_report.json", report.to_json().expect("w")).expect("w");
    std::fs::write("/tmp/w_report.txt", text(&report)).expect("w");
    let mut other = monday(&stage);
    other.usual.slots = Some(20);
    let mut other = played(&stage, other, 7);
    other.configuration = "other.toml".to_owned();
    let comparison = anyfront::sim::report::compare::Comparison::of(report, other);
    std::fs::write("/tmp/w_compare.html", comparison.page()).expect("w");
    println!("{}", comparison.text());
}
