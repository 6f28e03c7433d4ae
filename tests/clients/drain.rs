//! A node that stops lets everybody finish who can within the grace period.

use crate::harness::{BOUND, Fleet, quick_and_secure};
use crate::wire::{Caller, Leg, full, piece, read};
use anyfront::lab::world::World;
use anyfront::node::Options;
use http::Request;
use std::time::Duration;

/// Streams that live when the node is asked to stop.
const STREAMS: usize = 200;
/// Streams on each connection of HTTP/2.
const SHARING: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_stream_is_cut_within_the_grace_period_of_a_node_that_stops() {
    let world = World::start(quick_and_secure()).expect("a world");
    let options = Options { grace: BOUND, ..world.node_options() };
    let mut fleet = Fleet::start_with(world, options).await;
    // Three seconds each, of which most are still to come.
    let path = "/v1/events?n=30&ms=100";
    let mut answers = Vec::new();
    let mut shared: Option<Caller> = None;
    for at in 0..STREAMS {
        if at % 2 == 0 {
            let mut caller = Caller::connect(&fleet, Leg::ALL[at / 2 % 2], "us").await;
            answers.push(caller.send(Request::builder(), path, full("")).await.expect("an answer"));
            continue;
        }
        if at / 2 % SHARING == 0 {
            shared = Some(Caller::connect(&fleet, Leg::Http2Tls, "us").await);
        }
        let caller = shared.as_mut().expect("it was opened");
        answers.push(caller.send(Request::builder(), path, full("")).await.expect("an answer"));
    }
    for answer in &mut answers {
        assert!(piece(answer).await.expect("it is not cut").is_some(), "it lives");
    }
    let began = fleet.clock.now();
    let stopping = fleet.stop_node();
    let ends = answers.iter_mut().map(read);
    let ends = futures_util::future::join_all(ends).await;
    let whole =
        ends.iter().filter(|(body, end)| end.is_ok() && String::from_utf8_lossy(body).contains("id: 30\n")).count();
    let odd = ends.iter().find_map(|(_, end)| end.clone().err());
    assert_eq!(whole, STREAMS, "cut within the grace period: {odd:?}");
    stopping.join().expect("it does not panic");
    let took = fleet.clock.now().since(began);
    println!("{STREAMS} streams ended whole; stopped after {took:?}");
    assert!(took + Duration::from_secs(2) < BOUND, "it stops when the last has ended, and not later: {took:?}");
}
