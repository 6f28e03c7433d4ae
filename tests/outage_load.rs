//! Regions die under load, one after the other and in pairs: no safe request fails, no POST fails that reached nobody,
//! none is processed twice.
//!
//! 300 requests a second unless `ANYFRONT_LOAD_RPS` says otherwise; `make load` is the whole proof, in release, at
//! 2,000. Every test prints what it saw.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::Fault;
use anyfront::lab::plan;
use anyfront::lab::world::Settings;
use anyfront::snapshot::Snapshot;
use harness::load::{Account, Load, client_at, clients_at_regions, is_full, requests_per_second};
use harness::{Fleet, SOON};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A safe request waits no longer than this, whatever happens; and as much again for a machine that is busy.
const SAFE_WAITS: Duration = Duration::from_secs(3);

/// The fleet with the real times for probes. A region comes back sooner than in life, so that the next can die.
async fn fleet() -> Fleet {
    let topology = plan::read(plan::FLEET, Path::new(plan::FLEET_NAME)).expect("the fleet in the box");
    let extra = format!(
        "[probe]\ndown_interval = \"300ms\"\n[forward]\nfirst_byte_timeout = \"6s\"\nslow_start = \"1s\"\n{}",
        clients_at_regions(&topology)
    );
    // Regions are some way off, so that requests are under way when one dies.
    let settings = Settings { is_tls: false, latency_scale: 0.3, log_entries_max: 1_000_000, ..Settings::default() };
    Fleet::start(Settings { extra, ..settings }).await
}

/// A client beside each of these regions asks for `host`.
fn beside(fleet: &Fleet, host: &'static str, regions: &[&str]) -> Vec<(&'static str, IpAddr)> {
    let at = |name: &&str| fleet.world.topology().region_named(name).expect("a region").at();
    regions.iter().map(|name| (host, client_at(at(name)))).collect()
}

/// Breaks `regions` at once; says when the node had taken the last of them out of rotation.
async fn break_all(fleet: &Fleet, load: &Load, regions: &[&str], fault: Fault) -> Duration {
    let began = fleet.clock.now();
    for region in regions {
        fleet.suffer(region, fault);
    }
    for region in regions {
        fleet.until_out(region, SOON).await;
    }
    let took = fleet.clock.now().since(began);
    // Clients go on for a while in front of the broken world, and while it heals.
    load.until_answered(requests_per_second() / 4).await;
    for region in regions {
        fleet.heal(region);
    }
    took
}

/// Up, and no longer getting its share back: without requests nobody notices a death as quickly.
fn is_whole(snapshot: &Snapshot, region: &str) -> bool {
    let state = snapshot.region(snapshot.topology.region_named(region).expect("a region"));
    state.standing == Standing::Up && state.share_percent == 100
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], *times.last().expect("something was measured"))
}

async fn finish(fleet: &Fleet, load: Load, what: &str, times: Vec<Duration>) -> Arc<Account> {
    let account = load.stop().await;
    let (middle, longest) = median(times);
    println!("{what}: out of rotation after {middle:?} (median), {longest:?} (longest); {}", account.summary());
    account.assert_kept(fleet);
    let busy = if is_full() { SAFE_WAITS } else { SAFE_WAITS * 2 };
    assert!(account.longest_get() < busy, "a safe request waited {:?}", account.longest_get());
    account
}

/// Every region of the global name, one after the other.
async fn each_dies(fault: Fault, regions: &[&str], within: Duration) {
    let fleet = fleet().await;
    let load = Load::start(fleet.http(), &beside(&fleet, "", &all(&fleet)), requests_per_second());
    load.until_answered(requests_per_second()).await;
    let mut times = Vec::new();
    for region in regions {
        fleet.until("it has all its clients", SOON, |snapshot| is_whole(snapshot, region)).await;
        let took = break_all(&fleet, &load, &[region], fault).await;
        println!("{region}: {fault}: out of rotation after {took:?}");
        times.push(took);
    }
    finish(&fleet, load, &format!("each region dies: {fault}"), times.clone()).await;
    let slack = if is_full() { 1 } else { 4 };
    assert!(median(times.clone()).0 <= within * slack, "out of rotation after {times:?}");
}

fn all(fleet: &Fleet) -> Vec<&'static str> {
    let names = fleet.world.regions();
    // The names of the fleet in the box: a few words for the time of one test.
    names.iter().map(|name| &*Box::leak(name.as_str().to_owned().into_boxed_str())).collect()
}

/// Neighbours do not follow each other: one request should not meet two outages.
const EACH: [&str; 14] =
    ["orf", "lhr", "syd", "sfo", "mad", "sin", "yyz", "cpt", "gvx", "mel", "dfw", "dia", "gru", "bom"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_region_refuses_in_turn() {
    each_dies(Fault::Refuse, &EACH, Duration::from_millis(250)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_region_falls_silent_in_turn() {
    let some: &[&str] = if is_full() { &EACH } else { &["orf", "lhr", "syd"] };
    each_dies(Fault::Blackhole, some, Duration::from_secs(3)).await;
}

/// Pools and their pairs.
const PAIRS: [(&str, [&str; 2]); 7] = [
    ("us", ["orf", "sfo"]),
    ("eu", ["lhr", "mad"]),
    ("au", ["syd", "mel"]),
    ("us", ["orf", "dfw"]),
    ("eu", ["lhr", "gvx"]),
    ("us", ["sfo", "dfw"]),
    ("eu", ["mad", "gvx"]),
];

async fn each_pair_dies(fault: Fault) {
    let fleet = fleet().await;
    let askers = [
        beside(&fleet, "us", &["orf", "sfo", "dfw"]),
        beside(&fleet, "eu", &["lhr", "mad", "gvx"]),
        beside(&fleet, "au", &["syd", "mel"]),
    ]
    .concat();
    let load = Load::start(fleet.http(), &askers, requests_per_second());
    load.until_answered(requests_per_second()).await;
    let mut times = Vec::new();
    for (pool, pair) in PAIRS {
        let are_whole = |snapshot: &Snapshot| pair.iter().all(|region| is_whole(snapshot, region));
        fleet.until("the pair has all its clients again", SOON * 4, are_whole).await;
        let took = break_all(&fleet, &load, &pair, fault).await;
        println!("{pool}: {pair:?}: {fault}: out of rotation after {took:?}");
        times.push(took);
    }
    finish(&fleet, load, &format!("each pair of a pool dies: {fault}"), times).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_pair_of_a_pool_refuses() {
    each_pair_dies(Fault::Refuse).await;
}

/// Takes minutes: only the whole proof has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_pair_of_a_pool_falls_silent() {
    if is_full() {
        each_pair_dies(Fault::Blackhole).await;
    }
}
