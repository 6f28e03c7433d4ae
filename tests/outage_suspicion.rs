//! When nearly everything fails at once the node suspects itself; and what that must not do to requests.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::Fault;
use anyfront::lab::world::Settings;
use anyfront::snapshot::RegionState;
use harness::{Fleet, SOON, from, get, post, quick};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_nearest_is_tried_all_the_same_and_nothing_has_to_recover() {
    let fleet = Fleet::start(quick()).await;
    fleet.kill("all");
    fleet.until("suspects itself", SOON, |snapshot| snapshot.is_suspect).await;
    fleet.until_all(Standing::Unknown, SOON).await;
    for (host, city, nearest) in [("", "Sydney", "syd"), ("us", "New York", "orf"), ("eu", "London", "lhr")] {
        let seen = fleet.ask(post(host), from(city)).await;
        assert_eq!((seen.status, seen.own_error().as_str()), (Some(503), "no_region_reached"), "{seen:?}");
        assert_eq!(seen.attempts().first(), Some(&nearest), "{seen:?}");
    }
    fleet.heal("all");
    // At once, before any probe: it is still being tried.
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert!(seen.is_good() && seen.region() == "orf", "{seen:?}");
    fleet.until_all(Standing::Up, SOON).await;
    let snapshot = fleet.node().published.load_full();
    let is_whole = |state: &RegionState| state.share_percent == 100;
    assert!(snapshot.regions.iter().all(is_whole), "nothing was wrong with them: {}", fleet.beliefs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_safe_request_does_not_wait_for_the_suspected_while_others_work() {
    let extra = "
[probe]
interval = \"200ms\"
fast_interval = \"60ms\"
timeout = \"1s\"
[forward]
connect_timeout = \"500ms\"
first_byte_timeout = \"60s\"
";
    let fleet = Fleet::start(Settings { extra: extra.to_owned(), ..quick() }).await;
    // Ten of fourteen, of every provider: the node suspects itself. Toronto, the fallback, is not among them.
    for region in ["orf", "sfo", "dfw", "lhr", "mad", "gvx", "gru", "cpt", "bom", "sin"] {
        fleet.suffer(region, Fault::Hang);
    }
    let (seen, _) = tokio::join!(
        fleet.ask(get("us"), from("New York")),
        fleet.until("suspects itself", SOON, |snapshot| snapshot.is_suspect)
    );
    assert!(seen.is_good() && seen.region() == "yyz", "{seen:?}");
    assert!(seen.elapsed < Duration::from_secs(10), "{seen:?}");
}
