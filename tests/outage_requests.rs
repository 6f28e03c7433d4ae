//! Requests that are under way when their region dies: what may have been processed is never repeated, and no client
//! takes half an answer for a whole one.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::{Fault, Hint};
use anyfront::lab::world::Settings;
use harness::{Ask, BOUND, Fleet, SILENT, SOON, completion, from, get, get_path, post, quick};
use std::time::Duration;
use tokio::time::timeout;

/// Has the region of `ask` process it, breaks that region then, and says what the client saw.
async fn broken_under_way(fleet: &Fleet, ask: Ask, fault: Fault) -> harness::Seen {
    let mut client = fleet.connect(from("New York")).await;
    let id = ask.id.clone();
    let asked = tokio::spawn(async move { client.send(&ask).await });
    let begun = async {
        while !fleet.processed().contains_key(&id) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, begun).await.expect("it begins");
    fleet.suffer("orf", fault);
    timeout(BOUND, asked).await.expect("it ends").expect("no panic")
}

fn slow(method: http::Method, id: &str) -> Ask {
    Ask { method, id: id.to_owned(), ..get_path("us", "/v1/slow?ms=1200") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_before_the_answer_moves_what_is_safe_and_ends_what_is_not() {
    for (method, id, is_safe) in
        [(http::Method::GET, "get-under-way", true), (http::Method::POST, "post-under-way", false)]
    {
        let fleet = Fleet::start(quick()).await;
        let seen = broken_under_way(&fleet, slow(method, id), Fault::Refuse).await;
        if is_safe {
            assert!(seen.is_good() && seen.region() == "dfw", "{seen:?}");
            assert_eq!(seen.attempts(), ["orf", "dfw"]);
        } else {
            assert_eq!((seen.status, seen.own_error().as_str()), (Some(502), "connection_lost"), "{seen:?}");
            assert_eq!(fleet.processed()[id], ["orf"], "once, and nowhere else");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn silence_before_the_answer_moves_what_is_safe_and_ends_what_is_not() {
    for (method, id, is_safe) in
        [(http::Method::GET, "get-under-way", true), (http::Method::POST, "post-under-way", false)]
    {
        let fleet = Fleet::start(Settings { extra: SILENT.to_owned(), ..quick() }).await;
        let seen = broken_under_way(&fleet, slow(method, id), Fault::Blackhole).await;
        if is_safe {
            assert!(seen.is_good() && seen.region() == "dfw", "{seen:?}");
        } else {
            assert_eq!((seen.status, seen.own_error().as_str()), (Some(504), "no_answer"), "{seen:?}");
            assert_eq!(fleet.processed()[id], ["orf"], "once, and nowhere else");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_dies_is_never_ended_cleanly() {
    for fault in [Fault::Refuse, Fault::Cut] {
        let fleet = Fleet::start(quick()).await;
        let mut client = fleet.connect(from("New York")).await;
        let ask = completion("us", true, 2_000);
        let asked = tokio::spawn(async move { client.send(&ask).await });
        let begun = async {
            while !fleet.world.log("orf").iter().any(|entry| entry.status.is_some() && &*entry.path != "/health") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(BOUND, begun).await.expect("it begins");
        fleet.suffer("orf", fault);
        let seen = timeout(BOUND, asked).await.expect("it ends").expect("no panic");
        assert!(seen.status == Some(200) && seen.region() == "orf" && seen.is_broken(), "{fault}: {seen:?}");
        assert_eq!(fleet.posts_processed_twice(), []);
    }
}

/// Connections that were kept die with their region: the next request on one notices, and reaches nobody twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_kept_connection_that_died_costs_no_request() {
    let fleet = Fleet::start(quick()).await;
    let mut client = fleet.connect(from("New York")).await;
    for _ in 0..3 {
        assert!(client.send(&get("us")).await.is_good());
    }
    fleet.kill("orf");
    let seen = client.send(&post("us")).await;
    assert!(seen.is_good() && seen.region() == "dfw", "{seen:?}");
    // And one that was reset while its region came back at once.
    let mut client = fleet.connect(from("Sydney")).await;
    for _ in 0..3 {
        assert!(client.send(&get("au")).await.is_good());
    }
    fleet.kill("syd");
    fleet.heal("syd");
    let seen = client.send(&post("au")).await;
    assert!(seen.is_good() && seen.attempts() == [seen.region()], "a new connection and no failure: {seen:?}");
}

/// What flaps is held back for longer each time, so that most clients are left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_flaps_fails_no_safe_request_and_is_held_back() {
    let fleet = Fleet::start(quick()).await;
    fleet.suffer("orf", Fault::Flap { period: Duration::from_millis(700) });
    fleet.until_standing("orf", Standing::Down, SOON).await;
    let is_held_back = |snapshot: &anyfront::snapshot::Snapshot| {
        let orf = snapshot.region(snapshot.topology.region_named("orf").expect("it is there"));
        orf.standing == Standing::Ejected
    };
    fleet.until("orf is held back when it seems well", SOON, is_held_back).await;
    for _ in 0..50 {
        let seen = fleet.ask(get("us"), from("New York")).await;
        assert!(seen.is_good() && seen.attempts() == ["dfw"], "{seen:?}");
    }
}

/// What a large body loses by a failure after it no longer fits into memory is told honestly.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_body_that_reached_nobody_goes_elsewhere() {
    let fleet = Fleet::start(quick()).await;
    fleet.kill("orf");
    let ask = Ask { path: "/v1/echo".to_owned(), body: vec![7; 2 << 20].into(), ..post("us") };
    let seen = fleet.ask(ask, from("New York")).await;
    assert!(seen.is_good() && seen.region() == "dfw", "{:?} {:?}", seen.status, seen.attempts());
    assert_eq!(seen.body.as_ref().map(bytes::Bytes::len), Ok(2 << 20));
}

/// A region that is busy says so before it does anything: that is no outage, and nobody notices but in the protocol.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_region_declines_is_served_by_the_next_whatever_it_is() {
    let fleet = Fleet::start(quick()).await;
    fleet.suffer("orf", Fault::Unserved { share: 1.0, hint: Hint::Elsewhere });
    for ask in [get("us"), post("us"), completion("us", true, 3)] {
        let seen = fleet.ask(ask, from("New York")).await;
        assert!(seen.is_good() && seen.attempts() == ["orf", "dfw"], "{seen:?}");
        assert!(seen.header("proxy-status").contains("details=\"unserved: lab\""), "{seen:?}");
    }
    fleet.suffer("orf", Fault::Unserved { share: 1.0, hint: Hint::Later });
    for ask in [get("us"), post("us")] {
        let seen = fleet.ask(ask, from("New York")).await;
        assert_eq!((seen.status, seen.attempts()), (Some(503), vec!["orf"]), "{seen:?}");
        assert_eq!((seen.header("x-should-retry"), seen.header("edge-unserved")), ("true", ""), "{seen:?}");
    }
    assert_eq!(fleet.standing("orf"), Standing::Up);
}
