//! WebSockets of a library and of a browser.

use crate::harness::{Fleet, quick_and_secure};
use crate::program::{Kind, Program, node, python};
use anyfront::lab::world::World;
use anyfront::node::Options;
use std::time::Duration;

const LIBRARY: Kind = python("websockets for Python", "web_socket.py", &[]);
const BROWSER: Kind = node("Chromium", "browser.mjs", &[]).with_browser();

/// The close of a gateway whose region is lost (RFC 6455 §7.4.2, as registered): no ordinary one.
fn is_told(end: &Result<String, String>) -> bool {
    end.as_ref().is_ok_and(|text| text.starts_with("closed 1014"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_web_socket_whose_region_dies_closes_with_no_ordinary_code() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let Some(mut program) = Program::start(&fleet, "us", &LIBRARY).await else { return };
    program.tell("talk");
    program.hear("echoed").await;
    fleet.kill("orf");
    let outcome = program.outcome().await;
    println!("{outcome:?}");
    assert!(is_told(&outcome.end), "{outcome:?}");
    // And the next one goes elsewhere.
    program.tell("talk");
    program.hear("echoed").await;
    fleet.kill("dfw");
    let outcome = program.outcome().await;
    assert!(is_told(&outcome.end), "{outcome:?}");
}

/// Nobody is cut off inside the grace period; what is left then is told to go away (RFC 6455 §7.4.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_web_socket_of_a_node_that_leaves_closes_as_going_away() {
    let world = World::start(quick_and_secure()).expect("a world");
    let options = Options { grace: Duration::from_secs(1), ..world.node_options() };
    let mut fleet = Fleet::start_with(world, options).await;
    let Some(mut program) = Program::start(&fleet, "us", &LIBRARY).await else { return };
    program.tell("talk");
    program.hear("echoed").await;
    let stopping = fleet.stop_node();
    let outcome = program.outcome().await;
    println!("{outcome:?}");
    assert!(outcome.end.as_ref().is_ok_and(|text| text.starts_with("closed 1001")), "{outcome:?}");
    stopping.join().expect("it does not panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_browser_is_told_when_a_region_dies_and_goes_on_elsewhere() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let Some(mut browser) = Program::start(&fleet, "us", &BROWSER).await else { return };
    let outcome = browser.does("open").await;
    assert_eq!(outcome.end.as_deref(), Ok("h2"), "a page by HTTP/2");
    // A page that reads a stream is thrown an exception.
    browser.tell("read /events?n=1000&ms=50");
    browser.hear("id: 3").await;
    fleet.kill("orf");
    let outcome = browser.outcome().await;
    assert!(outcome.end.is_err(), "a quiet end: {outcome:?}");
    // An EventSource asks again by itself, and is served elsewhere.
    browser.tell("follow /events?n=1000&ms=50 60");
    browser.hear("id: 3").await;
    fleet.kill("dfw");
    let outcome = browser.outcome().await;
    assert_eq!(outcome.end.as_deref(), Ok("lost 1"), "{outcome:?}");
    // A WebSocket is closed with no ordinary code.
    browser.tell("talk");
    browser.hear("echoed one").await;
    fleet.kill("sfo");
    let outcome = browser.outcome().await;
    println!("{outcome:?}");
    assert!(is_told(&outcome.end), "{outcome:?}");
}
