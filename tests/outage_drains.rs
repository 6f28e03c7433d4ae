//! An operator's word: no new work goes to what is drained, and no outage brings it back.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::world::Settings;
use harness::{BOUND, Fleet, completion, from, get, post, quick};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

async fn served_by(fleet: &Fleet, host: &str, city: &str) -> String {
    let seen = fleet.ask(post(host), from(city)).await;
    assert!(seen.is_good(), "{host} from {city}: {seen:?}");
    assert_eq!(seen.attempts().len(), 1, "{seen:?}");
    seen.region().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_soft_drain_spares_the_regions_own_name_and_a_hard_one_does_not() {
    let fleet = Fleet::start(quick()).await;
    fleet.drain("region:orf", false).await;
    assert_eq!(served_by(&fleet, "us", "New York").await, "dfw");
    assert_eq!(served_by(&fleet, "", "New York").await, "yyz");
    assert_eq!(served_by(&fleet, "orf", "New York").await, "orf");
    fleet.drain("region:orf", true).await;
    assert_eq!(served_by(&fleet, "us", "New York").await, "dfw");
    let seen = fleet.ask(get("orf"), from("New York")).await;
    assert_eq!((seen.status, seen.own_error().as_str()), (Some(503), "no_region"), "{seen:?}");
    fleet.undrain("region:orf").await;
    assert_eq!(served_by(&fleet, "us", "New York").await, "orf");
    assert_eq!(served_by(&fleet, "orf", "New York").await, "orf");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drained_provider_takes_all_its_regions_with_it() {
    let fleet = Fleet::start(quick()).await;
    fleet.drain("provider:aws", false).await;
    assert_eq!(served_by(&fleet, "", "London").await, "mad");
    assert_eq!(served_by(&fleet, "eu", "London").await, "mad");
    assert_eq!(served_by(&fleet, "us", "New York").await, "dfw");
    // Both primaries and the fallback are theirs.
    let seen = fleet.ask(get("au"), from("Sydney")).await;
    assert_eq!((seen.status, seen.own_error().as_str()), (Some(503), "no_region"), "{seen:?}");
    fleet.undrain("provider:aws").await;
    assert_eq!(served_by(&fleet, "au", "Sydney").await, "syd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drained_endpoint_leaves_the_work_to_its_siblings() {
    let fleet = Fleet::start(Settings { endpoints_per_region: 3, ..quick() }).await;
    fleet.drain("endpoint:orf/b", false).await;
    let mut endpoints = BTreeSet::new();
    for _ in 0..40 {
        let seen = fleet.ask(get("us"), from("New York")).await;
        assert!(seen.is_good() && seen.region() == "orf", "{seen:?}");
        endpoints.insert(seen.header("x-lab-endpoint").to_owned());
    }
    assert_eq!(endpoints, BTreeSet::from(["orf/a".to_owned(), "orf/c".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_drain_survives_a_restart() {
    let mut fleet = Fleet::start(quick()).await;
    fleet.drain("region:lhr", false).await;
    fleet.restart().await;
    assert_eq!(served_by(&fleet, "eu", "London").await, "mad");
    fleet.undrain("region:lhr").await;
    fleet.restart().await;
    assert_eq!(served_by(&fleet, "eu", "London").await, "lhr");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_outage_overrules_a_drain() {
    let fleet = Fleet::start(quick()).await;
    fleet.drain("region:orf", false).await;
    for region in ["sfo", "dfw", "yyz"] {
        fleet.kill(region);
        fleet.until_standing(region, Standing::Down, harness::SOON).await;
    }
    for ask in [get("us"), post("us")] {
        let seen = fleet.ask(ask, from("New York")).await;
        assert_eq!((seen.status, seen.own_error().as_str()), (Some(503), "no_region_reached"), "{seen:?}");
        assert!(!seen.attempts().contains(&"orf"), "{seen:?}");
    }
    assert!(fleet.world.log("orf").iter().all(|entry| &*entry.path == "/health"), "only probes go there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_under_way_goes_on_through_a_drain() {
    let fleet = Fleet::start(quick()).await;
    let mut client = fleet.connect(from("New York")).await;
    let stream = tokio::spawn(async move { client.send(&completion("us", true, 400)).await });
    let begun = async {
        while !fleet.world.log("orf").iter().any(|entry| entry.status.is_some() && &*entry.path != "/health") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, begun).await.expect("it begins");
    fleet.drain("region:orf", true).await;
    assert_eq!(served_by(&fleet, "us", "New York").await, "dfw");
    let seen = timeout(BOUND, stream).await.expect("it ends").expect("no panic");
    assert!(seen.is_good() && seen.body.as_ref().is_ok_and(|body| body.ends_with(b"[DONE]\n\n")), "{seen:?}");
}
