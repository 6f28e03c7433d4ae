//! THE PAGE OF A SIMULATION, of a real run: three hours in which a region dies.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

mod common;
#[path = "common/reader.rs"]
mod reader;

use anyfront::geo::place::Place;
use anyfront::names::Label;
use anyfront::sim::report::Report;
use anyfront::sim::report::compare::Comparison;
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

/// The same in a quarter of an hour and with fewer clients: a test has not all day.
fn morning(stage: &Stage) -> Scenario {
    let mut scenario = monday(stage);
    scenario.lasts = minutes(15);
    scenario.crowd.clients = 150;
    scenario.faults.truncate(1);
    (scenario.faults[0].at, scenario.faults[0].lasts) = (minutes(5), Some(minutes(4)));
    scenario
}

/// What is drawn and written of one report and of two.
fn pages() -> [String; 2] {
    let stage = stage();
    let report = played(&stage, morning(&stage), 7);
    let mut small = morning(&stage);
    small.usual.slots = Some(2);
    let mut other = played(&stage, small, 7);
    other.configuration = "other.toml".to_owned();
    let alone = page(&other);
    [alone, Comparison::of(report, other).page()]
}

/// Every tag that is opened is closed, in order: a reader for the subset of HTML that the page is made of.
fn assert_well_formed(page: &str) {
    const VOID: [&str; 3] = ["meta", "input", "wbr"];
    let (start, rest) = page.split_once("<style>").expect("a style");
    let (_, rest) = rest.split_once("</style>").expect("its end");
    let (body, _) = rest.split_once("<script>").expect("a script");
    let mut open: Vec<&str> = Vec::new();
    for tag in start.split('<').chain(body.split('<').skip(1)).filter(|tag| !tag.is_empty() && !tag.starts_with('!')) {
        let (inside, _) = tag.split_once('>').unwrap_or_else(|| panic!("no end: {tag}"));
        let name = inside.split([' ', '/']).find(|name| !name.is_empty()).expect("a name");
        assert_eq!(inside.matches('"').count() % 2, 0, "quotes: {inside}");
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closes {name}");
        } else if !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, ["html", "body"], "but what the script stands in");
}

#[test]
fn the_page_is_one_file_that_needs_nothing_and_is_well_formed() {
    for page in pages() {
        assert_well_formed(&page);
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside} in the page");
        }
        for name in ["bom: black-holed", "sfo", "Traffic by region", "gateway.truefoundry.ai"] {
            assert!(page.contains(name), "{name} is missing");
        }
        assert!(!page.contains("NaN") && !page.contains("inf "), "a number is none");
    }
}

#[test]
fn the_terminal_says_the_verdict_first_and_fits() {
    let stage = stage();
    let mut scenario = morning(&stage);
    scenario.demands.load_percent = Some(0.0);
    let report = played(&stage, scenario, 7);
    let text = text(&report);
    assert!(text.lines().skip(1).all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("FAILS: ")), "{text}");
    assert!(text.contains("✗ load_percent: "), "{text}");
}

#[test]
fn a_real_run_adds_up() {
    let stage = stage();
    let report = played(&stage, morning(&stage), 7);
    let total = &report.total;
    assert_eq!(total.served + total.failures(), total.wishes);
    assert_eq!(report.regions.iter().map(|region| region.served).sum::<u64>(), total.served);
    assert_eq!(report.places.iter().map(|place| place.wishes).sum::<u64>(), total.wishes);
    assert_eq!(report.regions.iter().map(|region| region.attempts).sum::<u64>(), report.amplification.attempts);
    let of = &report.amplification;
    assert_eq!(of.wishes, total.wishes);
    assert_eq!(of.requests, of.requests_ended.values().sum::<u64>() + of.requests_open);
    assert!(of.requests >= total.wishes + total.open && of.requests_per_wish >= Some(1.0), "{of:?}");
    for region in &report.regions {
        let failed: u64 = region.failures.values().sum();
        assert_eq!(region.attempts, region.served + failed + region.open, "{}: {:?}", region.name, region.failures);
    }
    let bom = report.regions.iter().find(|region| region.name == "bom").expect("it is there");
    let during: u64 = bom.served_by_slot[6..9].iter().sum();
    assert_eq!(during, 0, "a black hole serves nobody: {:?}", bom.served_by_slot);
    let [fault] = report.faults.as_slice() else { panic!("{:?}", report.faults) };
    let detected = fault.detected.as_ref().expect("nodes probe it");
    assert_eq!((detected.could, detected.did), (5, 5));
    assert!(detected.last_ms.is_some_and(|ms| ms < 10_000.0), "{detected:?}");
    assert!(fault.moved.as_ref().is_some_and(|moved| moved.has_left), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_and_nothing_scrolls_sideways() {
    let Some(mut reader) = reader::Reader::start(0) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in ["report.html", "comparison.html"].iter().zip(pages()) {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        let problems = reader.does(&format!("audit file://{}", path.display())).await;
        assert_eq!(problems, "[]", "{name}");
    }
}
