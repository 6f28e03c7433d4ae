//! Headroom: what would happen if a region or a provider went, by what a real node carries and by small worlds whose sums
//! a person can do.

#![allow(clippy::panic, reason = "this is how a test fails")]

mod common;
mod harness;

use anyfront::counters::record::{Decided, Outcome, Record};
use anyfront::counters::records::DecisionId;
use anyfront::geo::place::{Coordinates, Place};
use anyfront::headroom::meter::{Meter, WINDOW};
use anyfront::headroom::{Flow, Headroom, Loss, Traffic, rehearsal, text, world};
use anyfront::health::{Reason, Standing};
use anyfront::lab::plan::FLEET;
use anyfront::lab::world::Settings;
use anyfront::limits::HEADROOM_FLOWS_MAX;
use anyfront::load::InFlight;
use anyfront::moment::{Dice, Moment};
use anyfront::names::{Hostname, Label};
use anyfront::snapshot::{Snapshot, Target};
use anyfront::steering::{Client, PlacedBy};
use harness::{BOUND, Fleet, from, get, get_path, hostname, quick};
use http::Method;
use serde_json::Value as Json;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

/// Four regions in a row along the equator; `more` of each.
fn row(more: [&str; 4]) -> Snapshot {
    let mut file = String::from(
        "[fleet]\nname = \"f\"\nzone = \"gw.test\"\n[[site]]\nname = \"here\"\nlatitude = 0\nlongitude = 0\n\
         [[hostname]]\nname = \"www.gw.test\"\nregions = [\"a\", \"b\"]\nfallback = [\"c\", \"d\"]\n\
         [[hostname]]\nname = \"in.gw.test\"\nregions = [\"a\", \"b\"]\nfallback = [\"c\"]\nresidency = [\"US\"]\n",
    );
    for (at, (name, more)) in ["a", "b", "c", "d"].into_iter().zip(more).enumerate() {
        let (provider, country) = (if at % 2 == 0 { "p" } else { "q" }, if at == 0 { "US" } else { "CA" });
        file.push_str(&format!(
            "[[region]]\nname = \"{name}\"\nprovider = \"{provider}\"\ncountry = \"{country}\"\nlatitude = 0\n\
             longitude = {}\nendpoints = [\"http://192.0.2.{}\"]\n{more}\n",
            10 * (at + 1),
            at + 1
        ));
    }
    let mut snapshot = common::first_snapshot(common::topology(&file));
    for state in &mut snapshot.regions {
        (state.standing, state.reason) = (Standing::Up, Reason::Assumed);
    }
    snapshot
}

fn client(longitude: f64, id: u64) -> Arc<Client> {
    let at = Coordinates::new(0.0, longitude).expect("on earth");
    Arc::new(Client::of_place(Place { at, country: None, city: None }, PlacedBy::Database, id))
}

fn flow(hostname: &str, region: &str, in_flight: f64) -> Flow {
    Flow {
        hostname: Hostname::parse(hostname).expect("a name"),
        client: client(10.0, 1),
        region: Label::parse(region).expect("a name"),
        per_second: in_flight / 2.0,
        in_flight,
    }
}

fn traffic(flows: Vec<Flow>) -> Traffic {
    let mut traffic = Traffic { flows, ..Traffic::default() };
    for flow in &traffic.flows {
        let carried = traffic.regions.entry(flow.region.clone()).or_default();
        carried.per_second += flow.per_second;
        carried.in_flight += flow.in_flight;
        carried.busy += flow.in_flight;
    }
    traffic
}

fn lost(name: &str) -> Vec<Target> {
    vec![Target::parse(name).expect("a target")]
}

fn only(headroom: Headroom) -> Loss {
    headroom.losses.into_iter().next().expect("one")
}

/// Region, asked for, in the end.
fn takers(loss: &Loss) -> Vec<(&str, f64, f64)> {
    let rounded = |number: f64| (number * 1_000.0).round() / 1_000.0;
    loss.receivers
        .iter()
        .map(|one| (one.region.as_deref().unwrap_or("nobody"), rounded(one.asked), rounded(one.after)))
        .collect()
}

#[test]
fn a_lost_region_goes_to_the_next_and_what_has_no_room_there_goes_on() {
    let snapshot = row(["capacity = 100", "capacity = 50", "capacity = 30", ""]);
    let traffic = traffic(vec![flow("www.gw.test", "a", 90.0), flow("www.gw.test", "b", 20.0)]);
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("region:a")));
    assert_eq!(takers(&loss), [("b", 110.0, 50.0), ("c", 60.0, 30.0), ("d", 30.0, 30.0)]);
    let percent = |ratio: f64| (ratio * 100.0).round();
    let ratios: Vec<Option<f64>> = loss.receivers.iter().map(|one| one.ratio.map(percent)).collect();
    assert_eq!(ratios, [Some(220.0), Some(200.0), None], "and nothing is claimed where no limit is written");
    assert!(loss.saturates && loss.moves.iter().all(|one| one.to.is_some()));
    assert_eq!(loss.nobody_left, ["in.gw.test"], "it is fenced in, and nobody asks for it now");
    let over: Vec<f64> = loss.receivers.iter().map(|one| one.over.round()).collect();
    assert_eq!(over, [60.0, 30.0, 0.0]);
    let km = loss.receivers[0].added_km;
    assert!((km - 1_112.0).abs() < 2.0, "ten degrees along the equator, not {km}");
    // Nothing is lost on the way, and nothing made up.
    let moved: f64 = loss.moves.iter().map(|one| one.in_flight).sum();
    assert!((moved - 90.0).abs() < 1e-6, "{moved}");
    let (before, after): (f64, f64) =
        (loss.matrix.iter().map(|row| row.before).sum(), loss.matrix.iter().map(|row| row.after).sum());
    assert!((before - 110.0).abs() < 1e-6 && (after - 110.0).abs() < 1e-6, "{before} {after}");
}

#[test]
fn when_all_that_are_left_are_full_the_best_of_them_gets_it_all_the_same() {
    let snapshot = row(["", "capacity = 50", "capacity = 30", "capacity = 10"]);
    let traffic = traffic(vec![flow("www.gw.test", "a", 200.0)]);
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("region:a")));
    let b = &loss.receivers.iter().find(|one| one.region.as_deref() == Some("b")).expect("it takes over");
    assert!((b.after - 160.0).abs() < 1e-6, "{b:?}");
    let after: f64 = loss.receivers.iter().map(|one| one.after).sum();
    assert!((after - 200.0).abs() < 1e-6, "{after}");
}

#[test]
fn a_fence_and_a_regions_own_name_leave_nobody() {
    let snapshot = row(["", "", "", ""]);
    let traffic = traffic(vec![flow("in.gw.test", "a", 4.0), flow("a.gw.test", "a", 1.0), flow("b.gw.test", "b", 1.0)]);
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("region:a")));
    assert_eq!(takers(&loss), [("nobody", 5.0, 5.0)]);
    assert!(loss.fails);
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("region:b")));
    assert!(!loss.fails, "a region's own name never goes elsewhere, and is no alarm");
    assert_eq!(takers(&loss), [("nobody", 1.0, 1.0)]);
}

#[test]
fn a_hostname_without_requests_that_is_left_with_nobody_is_named_all_the_same() {
    let mut snapshot = row(["", "", "", ""]);
    let quiet = Traffic::default();
    let told = rehearsal::without(&snapshot, &quiet, &lost("region:a"));
    assert_eq!(told.losses[0].nobody_left, ["in.gw.test"], "nobody else is in its country");
    assert!(told.is_short() && told.losses[0].fails);
    let text = text::plan(&told);
    assert!(text.contains("nobody is left for in.gw.test") && !text.contains("asked for"), "{text}");
    assert!(!rehearsal::without(&snapshot, &quiet, &lost("region:b")).is_short());
    let all = rehearsal::each(&snapshot, &quiet);
    let names: Vec<&str> = all.losses.iter().flat_map(|loss| &loss.lost).map(String::as_str).collect();
    assert_eq!(names, ["region:a", "provider:p"], "those without which somebody would be left with nobody");
    let everything = [lost("provider:p"), lost("provider:q")].concat();
    let told = rehearsal::without(&snapshot, &quiet, &everything);
    assert_eq!(told.losses[0].nobody_left, ["www.gw.test", "in.gw.test"]);
    // What has nobody already is not left alone by this.
    snapshot.regions[0].standing = Standing::Down;
    assert!(!rehearsal::without(&snapshot, &quiet, &lost("region:a")).is_short());
}

#[test]
fn a_provider_takes_all_of_its_regions_along_and_what_is_down_takes_nothing_over() {
    let mut snapshot = row(["", "", "", ""]);
    let traffic = traffic(vec![flow("www.gw.test", "a", 6.0), flow("www.gw.test", "c", 2.0)]);
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("provider:p")));
    assert_eq!((loss.regions.as_slice(), loss.in_flight), (&["a".to_owned(), "c".to_owned()][..], 8.0));
    assert_eq!(takers(&loss), [("b", 8.0, 8.0)]);
    snapshot.regions[1].standing = Standing::Down;
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("provider:p")));
    assert_eq!(takers(&loss), [("d", 8.0, 8.0)]);
    snapshot.regions[3].standing = Standing::Ejected;
    let loss = only(rehearsal::without(&snapshot, &traffic, &lost("provider:p")));
    assert_eq!(takers(&loss), [("nobody", 8.0, 8.0)]);
}

#[test]
fn each_loss_is_rehearsed_in_the_same_world() {
    let snapshot = row(["", "", "", ""]);
    let traffic = traffic(vec![flow("www.gw.test", "a", 6.0), flow("www.gw.test", "b", 2.0)]);
    let all = rehearsal::each(&snapshot, &traffic);
    let names: Vec<&str> = all.losses.iter().flat_map(|loss| &loss.lost).map(String::as_str).collect();
    assert_eq!(names, ["region:a", "region:b", "provider:p", "provider:q"], "those that carry something");
    for loss in &all.losses {
        let alone = only(rehearsal::without(&snapshot, &traffic, &lost(&loss.lost[0])));
        assert_eq!(Loss { matrix: Vec::new(), ..alone }, *loss, "no loss is left over from the one before");
    }
}

#[test]
fn nothing_is_lost_or_made_up_in_any_world() {
    let mut dice = Dice::seeded(5);
    for _ in 0..300 {
        let capacity = |dice: &mut Dice| {
            if dice.roll().is_multiple_of(3) { String::new() } else { format!("capacity = {}", 1 + dice.roll() % 60) }
        };
        let limits: Vec<String> = (0..4).map(|_| capacity(&mut dice)).collect();
        let mut snapshot = row([&limits[0], &limits[1], &limits[2], &limits[3]]);
        for state in &mut snapshot.regions {
            state.standing =
                [Standing::Up, Standing::Up, Standing::Strained, Standing::Down][(dice.roll() % 4) as usize];
        }
        let flows = (0..1 + dice.roll() % 12).map(|_| {
            let hostname = ["www.gw.test", "in.gw.test", "a.gw.test"][(dice.roll() % 3) as usize];
            let region = ["a", "b", "c", "d"][(dice.roll() % 4) as usize];
            let in_flight = (dice.roll() % 80) as f64;
            Flow { client: client((dice.roll() % 90) as f64, dice.roll()), ..flow(hostname, region, in_flight) }
        });
        let traffic = traffic(flows.collect());
        for loss in rehearsal::each(&snapshot, &traffic).losses {
            let moved: f64 = loss.moves.iter().map(|one| one.in_flight).sum();
            assert!((moved - loss.in_flight).abs() < 1e-6 * (1.0 + moved), "{moved} of {loss:#?}");
            let gained: f64 = loss.receivers.iter().map(|one| one.after - one.before).sum();
            assert!((gained - moved).abs() < 1e-6 * (1.0 + moved), "{gained} of {loss:#?}");
            for one in &loss.receivers {
                assert!(one.region.as_ref().is_none_or(|region| !loss.regions.contains(region)), "{loss:#?}");
                assert!(one.asked >= one.after - 1e-6, "{loss:#?}");
                assert_eq!(one.over > 0.0, one.ratio.is_some_and(|ratio| ratio > 1.0 + 1e-9), "{one:#?}");
            }
            assert!(
                text::plan(&Headroom { losses: vec![loss], ..Headroom::default() })
                    .lines()
                    .all(|line| line.chars().count() <= 80)
            );
        }
    }
}

// ---- what is measured -----------------------------------------------------------------------------------------------

fn recent(at: Moment, hostname: &str, region: &str, client: &Arc<Client>) -> Record {
    Record {
        id: DecisionId::parse("0123456789abcdef").expect("an id"),
        began: at,
        elapsed: Some(Duration::ZERO),
        lasted: Duration::ZERO,
        outcome: Outcome::Complete,
        reason: None,
        hostname: Some(Hostname::parse(hostname).expect("a name")),
        class: None,
        prefix: client.prefix,
        client: Some(Arc::clone(client)),
        method: Method::GET,
        path: None,
        version: http::Version::HTTP_11,
        request_id: http::HeaderValue::from_static("x"),
        link: None,
        decided: Decided::default(),
        has_residency: false,
        region: Some(Label::parse(region).expect("a name")),
        endpoint: None,
        wish: None,
        status: 200,
        attempts: 1,
        failed: Vec::new(),
        first_byte: None,
        gap: None,
        octets_up: 0,
        octets_down: 0,
        trace: None,
    }
}

fn seconds(count: u64) -> Moment {
    Moment::ZERO + Duration::from_secs(count)
}

#[test]
fn rates_and_requests_at_once_are_those_of_the_last_five_minutes() {
    let snapshot = row(["", "", "", ""]);
    let load = &snapshot.endpoints[0].load;
    let mut meter = Meter::default();
    meter.look(seconds(1), &snapshot, &[]);
    let (near, far) = (client(10.0, 1), client(80.0, 2));
    for second in 2..=101 {
        (0..4).for_each(|_| load.answered());
        // Ten at once in one second of ten.
        let held: Vec<InFlight> = (0..if second % 10 == 0 { 10 } else { 2 }).map(|_| InFlight::at(load)).collect();
        let newest = [
            recent(seconds(second), "www.gw.test", "a", &near),
            recent(seconds(second), "www.gw.test", "a", &near),
            recent(seconds(second), "www.gw.test", "a", &near),
            recent(seconds(second), "in.gw.test", "a", &far),
        ];
        meter.look(seconds(second), &snapshot, &newest);
        // The same ones again are not counted again.
        meter.look(seconds(second), &snapshot, &newest);
        drop(held);
    }
    let traffic = meter.traffic();
    let a = traffic.regions[&Label::parse("a").expect("a name")];
    assert!((a.per_second - 4.0).abs() < 0.01, "{a:?}");
    assert!((a.in_flight - 2.8).abs() < 0.1, "{a:?}");
    assert!((a.busy - 10.0).abs() < 0.01, "one second of twenty is so busy: {a:?}");
    assert_eq!(traffic.flows.len(), 2);
    let of = |hostname: &str| traffic.flows.iter().find(|flow| flow.hostname.as_str() == hostname).expect("it flows");
    assert!((of("www.gw.test").per_second - 3.0).abs() < 0.05, "{:?}", of("www.gw.test"));
    assert!((of("in.gw.test").in_flight - 2.5).abs() < 0.05, "{:?}", of("in.gw.test"));
    // Quiet for longer than is looked back.
    for second in 102..=102 + WINDOW.as_secs() + 1 {
        meter.look(seconds(second), &snapshot, &[]);
    }
    assert!(meter.traffic().flows.is_empty());
}

#[test]
fn strangers_cannot_make_more_flows_than_there_may_be() {
    let snapshot = row(["", "", "", ""]);
    let mut meter = Meter::default();
    let _held = InFlight::at(&snapshot.endpoints[0].load);
    let usual = client(10.0, 1);
    let many: Vec<Record> = (0..50).map(|_| recent(seconds(1), "www.gw.test", "a", &usual)).collect();
    meter.look(seconds(1), &snapshot, &many);
    for round in 0..4_u64 {
        let strangers: Vec<Record> = (0..HEADROOM_FLOWS_MAX as u64)
            .map(|at| {
                let stranger = client(at as f64 * 0.01 + round as f64 * 0.001, at);
                recent(seconds(2 + round), "www.gw.test", "a", &stranger)
            })
            .collect();
        meter.look(seconds(2 + round), &snapshot, &strangers);
        assert!(meter.traffic().flows.len() <= HEADROOM_FLOWS_MAX);
    }
    assert!(meter.traffic().flows.iter().any(|flow| flow.client.place == usual.place), "the heaviest stay");
}

#[test]
fn an_even_world_is_as_large_as_it_is_said_to_be() {
    let snapshot = row(["", "", "", ""]);
    let places = (0..1_000).map(|at| (client(f64::from(at % 90), 0).place.clone(), f64::from(1 + at % 7)));
    let traffic = world::even(&snapshot, places.collect(), 600.0);
    let all: f64 = traffic.flows.iter().map(|flow| flow.in_flight).sum();
    assert!((all - 600.0).abs() < 1e-6, "{all}");
    let carried: f64 = traffic.regions.values().map(|carried| carried.busy).sum();
    assert!((carried - 600.0).abs() < 1e-6, "{carried}");
    assert!(traffic.assumed.is_some_and(|told| told.contains("600 requests at once") && told.contains("2 hostnames")));
    assert!(world::even(&snapshot, Vec::new(), 600.0).flows.is_empty());
}

// ---- a real node, and the command -----------------------------------------------------------------------------------

fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anyfront")).arg("plan").args(arguments).output().expect("it runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The fleet in the box, where some regions have little room.
fn tight() -> String {
    FLEET
        .replace("name = \"yyz\"\n", "name = \"yyz\"\ncapacity = 5\n")
        .replace("name = \"dfw\"\n", "name = \"dfw\"\ncapacity = 1000\n")
}

async fn until_headroom(fleet: &Fleet, path: &str, holds: impl Fn(&Headroom) -> bool) -> Headroom {
    let mut last = Headroom::default();
    let wait = async {
        loop {
            let json = fleet.admin(Method::GET, path, &Json::Null).await;
            last = serde_json::from_value(json).expect("headroom");
            if holds(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let is_so = tokio::time::timeout(BOUND, wait).await.is_ok();
    assert!(is_so, "never so: {last:#?}");
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_what_it_could_not_bear_and_bears_out_what_it_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("regions.toml");
    std::fs::write(&file, tight()).expect("written");
    let fleet = Fleet::start(Settings { fleet: Some(file), ..quick() }).await;
    let address = fleet.http();
    // Six slow requests at once from New York, again and again: for North Virginia.
    let stop = tokio::sync::watch::channel(false);
    let mut busy = Vec::new();
    for _ in 0..6 {
        let stop = stop.1.clone();
        busy.push(tokio::spawn(async move {
            let mut client = harness::Client::connect(address, from("New York")).await.expect("a connection");
            while !*stop.borrow() {
                let seen = client.send(&get_path("us", "/slow?ms=300")).await;
                assert!(seen.is_good(), "{seen:?}");
            }
        }));
    }
    let path = "/headroom?without=orf";
    let told = until_headroom(&fleet, path, |headroom| headroom.losses[0].in_flight >= 5.0).await;
    let loss = &told.losses[0];
    assert_eq!((told.assumed.as_deref(), loss.lost.as_slice()), (None, &["region:orf".to_owned()][..]));
    assert!(loss.per_second > 5.0, "{loss:#?}");
    let to = loss.receivers[0].region.clone().expect("somebody");
    assert_eq!(loss.moves[0].hostname, hostname("us"));
    // The same on the page of all losses, and as a metric.
    let all = until_headroom(&fleet, "/headroom", |headroom| {
        headroom.losses.iter().any(|loss| loss.lost == ["region:orf"] && loss.in_flight >= 5.0)
    })
    .await;
    assert!(all.losses.iter().any(|loss| loss.lost == ["provider:aws"]), "{all:#?}");
    let admin = fleet.node().admin[0].to_string();
    let metrics = text_of(&fleet, "/metrics").await;
    let metric = format!("anyfront_headroom_ratio{{lost=\"region:orf\",region=\"{to}\"}}");
    assert!(metrics.contains(&metric), "{metric} in {metrics}");
    let printed = said(&plan(&["--without", "orf", "--admin", &admin]));
    assert!(printed.contains("without region:orf") && printed.contains(&hostname("us")), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
    let page = text_of(&fleet, "/headroom?format=text").await;
    assert!(page.contains("region:orf") && page.lines().all(|line| line.chars().count() <= 80), "{page}");
    // And now it happens.
    stop.0.send_replace(true);
    for task in busy {
        task.await.expect("all was good");
    }
    fleet.kill("orf");
    fleet.until_out("orf", harness::SOON).await;
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert_eq!(seen.region(), to, "it goes where it was told to go");
}

async fn text_of(fleet: &Fleet, path: &str) -> String {
    let address = fleet.node().admin[0];
    let mut client = harness::Client::connect(address, std::net::Ipv4Addr::LOCALHOST.into()).await.expect("admin");
    let seen = client.send(&harness::Ask { host: address.to_string(), path: path.to_owned(), ..get("") }).await;
    assert_eq!(seen.status, Some(200), "{seen:?}");
    String::from_utf8(seen.body.expect("a body").to_vec()).expect("text")
}

#[test]
fn a_file_is_rehearsed_in_an_even_world_and_check_says_whether_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (wide, tight) = (path("wide.toml", FLEET), path("tight.toml", &tight()));
    let output = plan(&["--config", &wide, "--without", "orf", "--check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("none set"), "{}", said(&output));
    let output = plan(&["--config", &tight, "--without", "orf", "--check"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("! yyz would be asked for"), "{}", said(&output));
    assert!(plan(&["--config", &tight, "--without", "orf"]).status.success(), "it is only told");
    assert!(plan(&["--config", &tight, "--without", "orf", "--check", "--in-flight", "1"]).status.success());
    let output = plan(&["--config", &tight, "--without", "gru", "--check", "--in-flight", "1500"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("more than it may have already: yyz"), "{}", said(&output));
    // All regions of Australia's hostname are of one provider.
    let output = plan(&["--config", &wide, "--without", "provider:aws", "--check"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("nobody is left for au.gateway.truefoundry.ai"), "{}", said(&output));
    let all = plan(&["--config", &tight, "--json"]);
    let headroom: Headroom = serde_json::from_slice(&all.stdout).expect("headroom");
    assert_eq!(headroom.losses.len(), 14 + 3);
    for (arguments, told) in [
        (&["--without", "mars"][..], "there is no region:mars"),
        (&["--without", "provider:orf"], "did you mean region:orf?"),
        (&["--without", "endpoint:orf/a"], "is an endpoint"),
        (&["--without", "region:"], "is empty"),
    ] {
        let output = plan(&[&["--config", &wide], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).contains(told), "{arguments:?}: {}", said(&output));
    }
}
