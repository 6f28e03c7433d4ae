//! What regions are made of and how they are chosen, end to end: siblings, capacity, fences, every kind of steering.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::Fault;
use anyfront::lab::plan::FLEET;
use anyfront::lab::world::Settings;
use anyfront::snapshot::Snapshot;
use futures_util::future::join_all;
use harness::{Fleet, QUICK, SOON, Seen, from, from_network, get, get_path, post, quick, standing_in};
use std::collections::BTreeMap;

fn by_endpoint<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for seen in seen {
        *counts.entry(seen.header("x-lab-endpoint").to_owned()).or_default() += 1;
    }
    counts
}

fn by_region<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for seen in seen {
        *counts.entry(seen.region()).or_default() += 1;
    }
    counts
}

/// The fleet in the box with something more said in regions or hostnames. The folder lives as long as the test.
fn fleet_with(changes: &[(&str, &str)], more: &str) -> (tempfile::TempDir, Settings) {
    let mut text = FLEET.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "the fleet has no {old}");
        text = text.replacen(old, new, 1);
    }
    text.push_str(more);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("regions.toml");
    std::fs::write(&path, text).expect("it can be written");
    (folder, Settings { fleet: Some(path), ..quick() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn siblings_serve_when_an_endpoint_dies_and_the_region_stays_up() {
    let fleet = Fleet::start(Settings { endpoints_per_region: 3, ..quick() }).await;
    fleet.kill("orf/a");
    for number in 0..30 {
        let ask = if number % 2 == 0 { get("us") } else { post("us") };
        let seen = fleet.ask(ask, from("New York")).await;
        assert!(seen.is_good() && seen.region() == "orf", "{seen:?}");
        assert_ne!(seen.header("x-lab-endpoint"), "orf/a");
        assert_eq!(fleet.standing("orf"), Standing::Up);
    }
    let is_down = |snapshot: &Snapshot| {
        let region = snapshot.topology.region_named("orf").expect("it is there");
        let first = snapshot.topology.region(region).endpoints[0];
        snapshot.endpoint(first).standing == Standing::Down
    };
    fleet.until("orf/a is down", SOON, is_down).await;
    let seen = fleet.ask(get("orf"), from("New York")).await;
    assert_eq!(seen.attempts(), ["orf"], "nobody knocks there any more: {seen:?}");
    fleet.kill("orf");
    let seen = fleet.ask(post("us"), from("New York")).await;
    assert!(seen.is_good() && seen.region() == "dfw", "{seen:?}");
    assert!(seen.attempts().len() <= 4, "siblings first, then the next region: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_better_of_two_spreads_the_work() {
    let fleet = Fleet::start(Settings { endpoints_per_region: 3, ..quick() }).await;
    let asks = (0..90).map(|_| fleet.ask(get_path("us", "/slow?ms=1000"), from("New York")));
    let seen = join_all(asks).await;
    assert!(seen.iter().all(|seen| seen.is_good() && seen.region() == "orf"), "{:?}", by_region(&seen));
    let counts = by_endpoint(&seen);
    assert!(counts.len() == 3 && counts.values().all(|count| (20..=40).contains(count)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_region_lets_the_rest_go_on() {
    let (_folder, settings) = fleet_with(&[("name = \"orf\"", "name = \"orf\"\ncapacity = 5")], "");
    let fleet = Fleet::start(settings).await;
    let asks = (0..20).map(|_| fleet.ask(get_path("us", "/slow?ms=1500"), from("New York")));
    let seen = join_all(asks).await;
    assert!(seen.iter().all(Seen::is_good), "{:?}", by_region(&seen));
    let counts = by_region(&seen);
    // Two workers may both see the last free place.
    assert!((5..=6).contains(&counts["orf"]), "{counts:?}");
    assert_eq!(counts["orf"] + counts["dfw"], 20, "{counts:?}");
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert_eq!(seen.region(), "orf", "there is room again");
    // A full one is better than none.
    for region in ["sfo", "dfw", "yyz"] {
        fleet.kill(region);
        fleet.until_standing(region, Standing::Down, SOON).await;
    }
    let asks = (0..10).map(|_| fleet.ask(get_path("us", "/slow?ms=500"), from("New York")));
    let seen = join_all(asks).await;
    assert!(seen.iter().all(|seen| seen.is_good() && seen.region() == "orf"), "{:?}", by_region(&seen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_outage_lifts_a_fence() {
    let inside = "
[[hostname]]
name = \"in.gateway.truefoundry.ai\"
regions = [\"lhr\", \"mad\", \"gvx\"]
fallback = [\"dia\"]
residency = [\"EU\"]
";
    let (_folder, settings) = fleet_with(&[], inside);
    let fleet = Fleet::start(settings).await;
    let seen = fleet.ask(get("in"), from("London")).await;
    assert!(seen.is_good() && seen.region() == "mad", "London is outside: {seen:?}");
    fleet.kill("mad");
    let seen = fleet.ask(post("in"), from("London")).await;
    assert!(seen.is_good() && seen.region() == "gvx", "{seen:?}");
    fleet.kill("gvx");
    for known in [false, true] {
        if known {
            fleet.until_standing("mad", Standing::Down, SOON).await;
            fleet.until_standing("gvx", Standing::Down, SOON).await;
        }
        for ask in [get("in"), post("in")] {
            let seen = fleet.ask(ask, from("London")).await;
            assert_eq!((seen.status, seen.own_error().as_str()), (Some(503), "no_region_reached"), "{seen:?}");
            assert!(seen.attempts().iter().all(|region| ["mad", "gvx"].contains(region)), "{seen:?}");
        }
    }
    for outside in ["lhr", "dia"] {
        assert!(fleet.world.log(outside).iter().all(|entry| &*entry.path == "/health"), "{outside} was asked");
    }
}

const STEERED: &str = "
[[hostname]]
name = \"first.gateway.truefoundry.ai\"
regions = [\"sin\", \"lhr\", \"mad\"]
steering = \"priority\"
[[hostname]]
name = \"share.gateway.truefoundry.ai\"
regions = [\"orf\", \"dfw\", \"sfo\"]
steering = \"weighted\"
[[hostname]]
name = \"fast.gateway.truefoundry.ai\"
regions = [\"syd\", \"lhr\", \"bom\"]
steering = \"latency\"
";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn priority_weight_and_latency_choose_as_they_say() {
    let weights =
        [("name = \"dfw\"", "name = \"dfw\"\nweight = 300"), ("name = \"sfo\"", "name = \"sfo\"\nweight = 0")];
    let (_folder, settings) = fleet_with(&weights, STEERED);
    let fleet = Fleet::start(Settings { latency_scale: 0.3, ..settings }).await;
    let region = |host: &'static str, city: &'static str| {
        let fleet = &fleet;
        async move { fleet.ask(get(host), from(city)).await.region().to_owned() }
    };
    assert_eq!(region("first", "London").await, "sin");
    assert_eq!(region("fast", "Sydney").await, "lhr", "the node stands in London");

    let shares = |number: u8| fleet.ask(get("share"), from_network("New York", number));
    let before = join_all((0..200).map(shares)).await;
    let counts = by_region(&before);
    assert!(counts["dfw"] + counts["orf"] == 200 && (125..=175).contains(&counts["dfw"]), "{counts:?}");

    fleet.kill("sin");
    fleet.kill("lhr");
    fleet.kill("orf");
    for region in ["sin", "lhr", "orf"] {
        fleet.until_standing(region, Standing::Down, SOON).await;
    }
    assert_eq!(region("first", "London").await, "mad");
    assert_eq!(region("fast", "Sydney").await, "bom");
    let after = join_all((0..200).map(shares)).await;
    assert_eq!(by_region(&after), BTreeMap::from([("dfw", 200)]), "no weight means only in need");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_recovered_region_gets_its_clients_back_little_by_little() {
    let extra = format!("{QUICK}slow_start = \"3s\"\n");
    let fleet = Fleet::start(Settings { extra, ..quick() }).await;
    fleet.kill("orf");
    fleet.until_standing("orf", Standing::Down, SOON).await;
    fleet.heal("orf");
    fleet.until_standing("orf", Standing::Up, SOON).await;
    let share = |snapshot: &Snapshot| {
        snapshot.region(snapshot.topology.region_named("orf").expect("it is there")).share_percent
    };
    let clients = || join_all((0..100).map(|number| fleet.ask(get("us"), from_network("New York", number))));
    let mut before: Vec<usize> = Vec::new();
    for percent in [0, 40, 70, 100] {
        fleet.until("the share grows", SOON, |snapshot| share(snapshot) >= percent).await;
        let seen = clients().await;
        assert!(seen.iter().all(Seen::is_good));
        let most = usize::from(share(&fleet.node().published.load()));
        let back: Vec<usize> = (0..100).filter(|at| seen[*at].region() == "orf").collect();
        assert!(back.len() <= most + 15, "{} of 100 came back, the share is {most} %", back.len());
        assert!(before.iter().all(|at| back.contains(at)), "who is back stays");
        before = back;
    }
    assert_eq!(before.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clients_everywhere_eject_who_cuts_their_answers() {
    let fleet = Fleet::start(quick()).await;
    fleet.suffer("orf", Fault::Cut);
    let mut asked = 0;
    while standing_in(&fleet.node().published.load(), "orf") < Standing::Ejected {
        let asks = (0..10).map(|network| fleet.ask(get("us"), from_network("New York", network)));
        for seen in join_all(asks).await {
            assert!(seen.is_good() || seen.is_broken(), "never a clean end: {seen:?}");
        }
        asked += 10;
        assert!(asked <= 200, "{}", fleet.beliefs());
    }
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert!(seen.is_good() && seen.region() == "dfw", "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_client_alone_ejects_nobody() {
    let fleet = Fleet::start(quick()).await;
    let asks = (0..100).map(|_| fleet.ask(get_path("us", "/status/500"), from("New York")));
    assert!(join_all(asks).await.iter().all(|seen| seen.status == Some(500)));
    // Control has looked at it several times since.
    fleet.until_probed(1).await;
    assert_eq!(fleet.standing("orf"), Standing::Up);
}
