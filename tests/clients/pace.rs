//! Every piece arrives when it leaves, both ways, whatever is spoken on either side.
//!
//! Events say when they left by the lab's clock, which is this process's. On a quiet machine each arrives within 50 ms;
//! a busy one is given ten times that, and no two may arrive together that left apart.

use crate::harness::{Fleet, quick};
use crate::wire::{Caller, Leg, full, piece, piecewise};
use anyfront::lab::world::Settings;
use anyfront::moment::Moment;
use bytes::Bytes;
use http::Request;
use std::time::Duration;

/// Between the events.
const PACE: Duration = Duration::from_secs(1);
/// Events of each stream.
const EVENTS: u64 = 5;
/// On any machine.
const LATE: Duration = Duration::from_millis(500);
/// And on a quiet machine: milliseconds, by `make load`.
const LATE_QUIET: &str = "ANYFRONT_PACE_MS";

async fn before(regions: Leg) -> Fleet {
    let (is_tls, speaks_http2) = (regions != Leg::Http1Clear, regions == Leg::Http2Tls);
    Fleet::start(Settings { is_tls, speaks_http2, ..quick() }).await
}

/// How long each event of one stream was under way.
async fn delays(fleet: &Fleet, leg: Leg, path: &str) -> Vec<Duration> {
    let mut caller = Caller::connect(fleet, leg, "us").await;
    let path = format!("{path}?n={EVENTS}&ms={}", PACE.as_millis());
    let mut answer = caller.send(Request::builder(), &path, full("")).await.expect("an answer");
    let mut delays = Vec::new();
    while let Some(piece) = piece(&mut answer).await.expect("it is not cut") {
        let now = fleet.world.clock().now();
        let text = String::from_utf8(piece.to_vec()).expect("text");
        assert_eq!(text.matches("id: ").count(), 1, "{leg}: events that left apart arrived together: {text:?}");
        let left = text.split("\"left_us\":").nth(1).and_then(|rest| rest.split('}').next()?.parse().ok());
        delays.push(now.since(Moment::at(Duration::from_micros(left.expect("it says when it left")))));
    }
    delays
}

async fn arrive(regions: Leg) {
    let fleet = before(regions).await;
    let mut probe = Caller::connect(&fleet, Leg::Http1Clear, "us").await;
    let mut whoami = probe.send(Request::builder(), "/whoami", full("")).await.expect("an answer");
    let said = piece(&mut whoami).await.expect("whole").expect("a body");
    let spoken = if regions == Leg::Http2Tls { "HTTP/2" } else { "HTTP/1.1" };
    assert!(
        String::from_utf8_lossy(&said).contains(&format!("\"version\":\"{spoken}\"")),
        "the region is asked by {spoken}"
    );
    // A class with a dialect, and none.
    let streams = Leg::ALL.iter().flat_map(|leg| ["/v1/events", "/events"].map(|path| (*leg, path)));
    let waits = streams.map(|(leg, path)| {
        let fleet = &fleet;
        async move { (leg, path, delays(fleet, leg, path).await) }
    });
    for (leg, path, delays) in futures_util::future::join_all(waits).await {
        println!("{leg:12} → {regions:12} {path:10} {delays:.1?}");
        assert_eq!(delays.len() as u64, EVENTS, "{leg}: events are missing");
        assert!(delays.iter().all(|delay| *delay < late()), "{leg}: late: {delays:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_event_a_second_arrives_as_it_leaves_a_region_in_the_clear() {
    arrive(Leg::Http1Clear).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_event_a_second_arrives_as_it_leaves_a_region_with_tls() {
    arrive(Leg::Http1Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_event_a_second_arrives_as_it_leaves_a_region_with_http2() {
    arrive(Leg::Http2Tls).await;
}

/// Each piece comes back before the next is sent: who held one back would wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pieces_of_a_request_arrive_before_the_next_is_sent() {
    for regions in Leg::ALL {
        let fleet = before(regions).await;
        for leg in Leg::ALL {
            let mut caller = Caller::connect(&fleet, leg, "us").await;
            let (pieces, body) = piecewise();
            pieces.send(Bytes::from_static(b"piece 0")).await.expect("room");
            let mut answer = caller.send(Request::builder().method("POST"), "/echo", body).await.expect("an answer");
            for number in 1..=20 {
                let echoed = piece(&mut answer).await.expect("it is not cut").expect("more");
                assert_eq!(echoed, format!("piece {}", number - 1), "{leg} → {regions}");
                pieces.send(Bytes::from(format!("piece {number}"))).await.expect("room");
            }
            drop(pieces);
            assert_eq!(piece(&mut answer).await.expect("it is not cut").expect("more"), "piece 20");
            assert_eq!(piece(&mut answer).await, Ok(None), "{leg} → {regions}: no end");
        }
    }
}

/// How late an event may be.
fn late() -> Duration {
    let quiet = std::env::var(LATE_QUIET).ok().and_then(|ms| ms.parse().ok());
    quiet.map_or(LATE, Duration::from_millis)
}
