//! The file changes under load: no request is dropped, no stream breaks, every answer is of one generation; a bad file
//! changes nothing and is shown until it is mended.
//!
//! Five seconds of it; `ANYFRONT_RELOAD_SECONDS` asks for more.

mod harness;

use anyfront::lab::world::Settings;
use anyfront::snapshot::Snapshot;
use harness::load::{Load, requests_per_second};
use harness::{BOUND, Client, Fleet, SOON, Seen, completion, from, get};
use http::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// `us.` served from São Paulo, which no outage could ever do.
const US_IN_SAO_PAULO: &str = r#"
[[hostname]]
name = "gateway.truefoundry.ai"
regions = ["*"]
[[hostname]]
name = "us.gateway.truefoundry.ai"
regions = ["gru"]
"#;

/// A world with the real times: nothing breaks here, so nothing needs to be quick.
fn calm() -> Settings {
    Settings { is_tls: false, ..Settings::default() }
}

fn serves_us(snapshot: &Snapshot) -> BTreeSet<String> {
    let topology = &snapshot.topology;
    let route = topology.routes.iter().find(|route| route.hostname.as_str() == harness::hostname("us"));
    let members = &route.expect("us. is in every file").members;
    members.iter().map(|member| topology.region(member.region).name.to_string()).collect()
}

fn is_in_sao_paulo(snapshot: &Snapshot) -> bool {
    serves_us(snapshot).contains("gru")
}

fn for_so_long() -> Duration {
    let seconds = std::env::var("ANYFRONT_RELOAD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

/// A streamed completion that goes on for about so long.
async fn stream(mut client: Client, host: &str, lasts: Duration) -> (u64, Seen) {
    let tokens = u64::try_from(lasts.as_millis()).expect("short") / 5;
    let ask = completion(host, true, tokens);
    let seen = client.send_within(&ask, lasts * 4 + BOUND).await;
    (tokens, seen)
}

#[track_caller]
fn assert_whole((tokens, seen): &(u64, Seen)) {
    let body = seen.body.as_ref().expect("a stream should not break");
    let text = std::str::from_utf8(body).expect("text");
    assert!(text.ends_with("data: [DONE]\n\n"), "a stream ended early: {}", &text[text.len().saturating_sub(200)..]);
    assert_eq!(text.matches("data: ").count() as u64, tokens + 3, "a role, the tokens, a reason, the end");
}

/// Which regions each generation allows for `us.`, and who answered requests for it by which generation.
#[derive(Default)]
struct Ledger {
    allowed: BTreeMap<u64, BTreeSet<String>>,
    answers: BTreeMap<String, (u64, Option<String>)>,
}

impl Ledger {
    fn note(&mut self, fleet: &Fleet) {
        let snapshot = fleet.node().published.load_full();
        self.allowed.entry(snapshot.generation).or_insert_with(|| serves_us(&snapshot));
        for recent in fleet.node().counters.newest(256) {
            if recent.hostname.as_ref().is_some_and(|name| name.as_str() == harness::hostname("us")) {
                let id = recent.request_id.to_str().expect("ours").to_owned();
                self.answers.insert(id, (recent.decided.generation, recent.region.map(|region| region.to_string())));
            }
        }
    }

    /// Every answer came from a region which the generation that decided it allows. Generations that were gone before
    /// they were seen prove nothing; most must have been seen.
    fn assert_consistent(&self) {
        let mut proven = 0;
        for (id, (generation, region)) in &self.answers {
            let Some(allowed) = self.allowed.get(generation) else { continue };
            let is_allowed = region.as_ref().is_some_and(|region| allowed.contains(region));
            assert!(is_allowed, "{id}: generation {generation} allows {allowed:?}, {region:?} answered");
            proven += 1;
        }
        println!("{proven} of {} answers proven against {} generations", self.answers.len(), self.allowed.len());
        assert!(proven * 10 >= self.answers.len() * 8 && proven > 50, "too few answers could be proven");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_a_second_under_load_drop_nothing() {
    let mut fleet = Fleet::start(Settings { log_entries_max: 1_000_000, ..calm() }).await;
    let askers = [("us", from("New York")), ("us", from("San Francisco")), ("", from("London"))];
    let load = Load::start(fleet.http(), &askers, requests_per_second() / 2);
    load.until_answered(10).await;
    let mut streams = Vec::new();
    for host in ["us", "us", "eu", "orf", "gru", "syd"] {
        let client = fleet.connect(from("New York")).await;
        streams.push(tokio::spawn(async move { stream(client, host, for_so_long()).await }));
    }
    let mut bell = fleet.node().published.subscribe();
    let mut ledger = Ledger::default();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let first = fleet.node().published.load().generation;
    let began = fleet.clock.now();
    let mut reloads = 0;
    while fleet.clock.now().since(began) < for_so_long() {
        tokio::select! {
            _ = tick.tick() => {
                reloads += 1;
                let extra = if reloads % 2 == 0 { "" } else { US_IN_SAO_PAULO };
                fleet.world.rewrite(extra).expect("a good file");
                fleet.node().reload();
            }
            changed = bell.changed() => changed.expect("the node lives"),
        }
        ledger.note(&fleet);
    }
    for stream in streams {
        assert_whole(&timeout(for_so_long() * 4 + BOUND, stream).await.expect("it ends").expect("no panic"));
    }
    let account = load.stop().await;
    ledger.note(&fleet);
    let generations = fleet.node().published.load().generation - first;
    println!("{reloads} reloads, {generations} generations; {}", account.summary());
    account.assert_kept(&fleet);
    assert_eq!(account.uncertain_posts.load(std::sync::atomic::Ordering::Relaxed), 0, "{}", account.summary());
    assert!(generations >= reloads / 2, "the files should have been applied");
    ledger.assert_consistent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_changed_file_is_applied_by_itself() {
    let mut fleet = Fleet::start(calm()).await;
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert_eq!(seen.region(), "orf");
    fleet.world.rewrite(US_IN_SAO_PAULO).expect("a good file");
    let took = fleet.until("us. is in São Paulo", SOON, is_in_sao_paulo).await;
    println!("applied {took:?} after it was written");
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert!(seen.is_good() && seen.region() == "gru", "{seen:?}");
    // What was known of regions is still known: nobody is asked anew.
    assert!(fleet.node().published.load().regions.iter().all(|state| state.standing == anyfront::health::Standing::Up));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bad_file_changes_nothing_and_is_shown_until_it_is_mended() {
    let mut fleet = Fleet::start(calm()).await;
    let path = fleet.world.config_path();
    let good = std::fs::read_to_string(&path).expect("the file");
    let digest = fleet.node().published.load().topology.digest.clone();
    for (bad, told) in [
        (good.replace("regions = [\"*\"]", "regions = [\"nowhere\"]"), "nowhere"),
        ("no toml at all".to_owned(), "regions.toml"),
        (String::new(), "regions.toml"),
    ] {
        assert_ne!(bad, good);
        std::fs::write(&path, &bad).expect("it can be written");
        fleet.node().reload();
        let is_told =
            |snapshot: &Snapshot| snapshot.problem.as_ref().is_some_and(|problem| problem.text.contains(told));
        fleet.until(&format!("the mistake is told: {told}"), SOON, is_told).await;
        assert_eq!(fleet.node().published.load().topology.digest, digest, "the last good one stays");
        let overview = fleet.admin(Method::GET, "/regions", &json!({})).await;
        assert!(overview["problem"].to_string().contains(told), "{}", overview["problem"]);
        assert!(fleet.ask(get("us"), from("New York")).await.is_good());
    }
    fleet.world.rewrite(US_IN_SAO_PAULO).expect("a good file");
    fleet.until("it is mended", SOON, |snapshot| snapshot.problem.is_none() && is_in_sao_paulo(snapshot)).await;
    let overview = fleet.admin(Method::GET, "/regions", &json!({})).await;
    assert!(overview["problem"].is_null(), "{}", overview["problem"]);
}

async fn streams_of_a_removed_region_finish(settings: Settings) {
    let fleet = Fleet::start(settings).await;
    let client = fleet.connect(from("London")).await;
    let lasts = Duration::from_secs(2);
    let stream = tokio::spawn(async move { stream(client, "gru", lasts).await });
    let under_way = async {
        while !fleet.world.log("gru").iter().any(|entry| entry.status.is_some() && &*entry.path != "/health") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, under_way).await.expect("the stream begins");
    let path = fleet.world.config_path();
    let text = std::fs::read_to_string(&path).expect("the file");
    let mut file: toml::Table = text.parse().expect("the file is TOML");
    let regions = file["region"].as_array_mut().expect("regions");
    regions.retain(|region| region["name"].as_str() != Some("gru"));
    std::fs::write(&path, file.to_string()).expect("it can be written");
    fleet.node().reload();
    fleet.until("gru is gone", SOON, |snapshot| snapshot.topology.region_named("gru").is_none()).await;
    let seen = fleet.ask(get("gru"), from("London")).await;
    assert_eq!(seen.status, Some(421), "its name goes with it: {seen:?}");
    let seen = fleet.ask(get(""), from("São Paulo")).await;
    assert!(seen.is_good() && seen.region() != "gru", "{seen:?}");
    assert!(!stream.is_finished(), "the stream should run across the change");
    assert_whole(&timeout(BOUND, stream).await.expect("it ends").expect("no panic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_of_a_removed_region_finish_over_http1() {
    streams_of_a_removed_region_finish(calm()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_of_a_removed_region_finish_over_http2() {
    streams_of_a_removed_region_finish(Settings::default()).await;
}
