//! The OpenAI SDKs with their defaults, two retries among them.

use crate::harness::{BOUND, Fleet, QUICK, SOON, quick_and_secure};
use crate::program::{Kind, Outcome, Program, all_do, node, python};
use anyfront::lab::fault::Fault;
use anyfront::lab::world::Settings;
use std::time::Duration;

const SDKS: &[Kind] = &[
    python("openai for Python, HTTP/1.1", "openai_sdk.py", &["h1"]),
    python("openai for Python, HTTP/2", "openai_sdk.py", &["h2"]),
    node("openai for Node", "openai_sdk.mjs", &[]),
];

/// Tokens slow enough that a region dies between two of them, and not in one.
fn paced() -> Settings {
    Settings { token_pace: Duration::from_millis(40), ..quick_and_secure() }
}

#[track_caller]
fn assert_all(outcomes: &[(&str, Outcome)], what: &str, holds: impl Fn(&Outcome) -> bool) {
    for (name, outcome) in outcomes {
        assert!(holds(outcome), "{name}: not {what}: {outcome:?}");
    }
}

/// Whether it ended in an exception of the SDK's own that says why.
fn is_told(outcome: &Outcome) -> bool {
    outcome.end.as_ref().is_err_and(|why| why.contains("APIError") && why.contains("the region broke off"))
}

/// Whether it came from that region, whole.
fn came_from(region: &str) -> impl Fn(&Outcome) -> bool {
    move |outcome| outcome.end.as_ref().is_ok_and(|text| text.contains(&format!("({region})")))
}

/// Waits until a region is busy with a completion.
async fn until_asked(fleet: &Fleet, region: &str) {
    let is_asked = || fleet.world.log(region).iter().any(|entry| &*entry.path == "/v1/chat/completions");
    let wait = async {
        while !is_asked() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("it is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_call_of_the_sdks_works_and_goes_on_elsewhere_without_a_sound() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let mut sdks = Program::start_all(&fleet, "us", SDKS).await;
    for sdk in &mut sdks {
        if let Some((_, spoken)) = sdk.name.split_once(", ") {
            assert_eq!(sdk.does("version").await.end.as_deref(), Ok(spoken));
        }
    }
    for region in ["orf", "dfw", "sfo"] {
        assert_all(&all_do(&mut sdks, "stream 8").await, "a stream", came_from(region));
        assert_all(&all_do(&mut sdks, "whole").await, "a completion", came_from(region));
        assert_all(&all_do(&mut sdks, "embed").await, "two", |outcome| outcome.end.as_deref() == Ok("2"));
        let models = all_do(&mut sdks, "models").await;
        assert_all(&models, "the list", |outcome| outcome.end.as_deref() == Ok("lab-small lab-large"));
        // The next comes while the node still believes in the dead one.
        fleet.kill(region);
    }
    assert_all(&all_do(&mut sdks, "whole").await, "the fallback", came_from("yyz"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nearly_16_mib_go_on_elsewhere_when_the_region_refuses() {
    // So long a body takes its time on a busy machine.
    let extra = QUICK.replace("first_byte_timeout = \"3s\"", "first_byte_timeout = \"20s\"");
    let fleet = Fleet::start(Settings { extra, ..quick_and_secure() }).await;
    let mut sdks = Program::start_all(&fleet, "us", SDKS).await;
    fleet.kill("orf");
    // The lab takes 16 MiB of body; the rest of it is the JSON around.
    let size = (16 << 20) - 1_000;
    assert_all(&all_do(&mut sdks, &format!("large {size}")).await, "the answer", came_from("dfw"));
}

/// The connection is lost before a head: the completion may have begun, so the node does not repeat it, and says that
/// the SDK may.
async fn lost_before_its_answer(order: &str) {
    let fleet = Fleet::start(paced()).await;
    let mut sdks = Program::start_all(&fleet, "us", SDKS).await;
    for (sdk, (dying, next)) in sdks.iter_mut().zip([("orf", "dfw"), ("dfw", "sfo"), ("sfo", "yyz")]) {
        let (outcome, ()) = tokio::join!(sdk.does(order), async {
            until_asked(&fleet, dying).await;
            fleet.kill(dying);
        });
        assert!(came_from(next)(&outcome), "{}, {order}: {outcome:?}", sdk.name);
        // The next begins with what is the nearest then.
        fleet.until_out(dying, SOON).await;
        fleet.world.clear_logs();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_region_that_dies_before_its_answer_is_not_noticed() {
    lost_before_its_answer("late_whole").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_region_that_dies_before_its_stream_is_not_noticed() {
    lost_before_its_answer("late_stream").await;
}

/// The head has come, and nothing behind it, or half an event: nobody has been told 200 yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_region_that_dies_before_its_first_event_is_not_noticed() {
    for bytes in [0, 50] {
        let fleet = Fleet::start(paced()).await;
        let mut sdks = Program::start_all(&fleet, "us", SDKS).await;
        fleet.suffer("orf", Fault::CutAfter { bytes });
        assert_all(&all_do(&mut sdks, "stream 8").await, "from the next region", came_from("dfw"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_region_that_dies_in_the_middle_of_an_event_is_an_exception() {
    let fleet = Fleet::start(paced()).await;
    let mut sdks = Program::start_all(&fleet, "us", SDKS).await;
    // An event is about 200 octets long.
    fleet.suffer("orf", Fault::CutAfter { bytes: 900 });
    let outcomes = all_do(&mut sdks, "stream 50").await;
    assert_all(&outcomes, "an exception after some events", |outcome| {
        is_told(outcome) && (2..=6).contains(&outcome.events)
    });
    println!("{outcomes:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_region_that_dies_between_two_events_is_an_exception() {
    let fleet = Fleet::start(paced()).await;
    let mut sdks = Program::start_all(&fleet, "us", SDKS).await;
    for sdk in &mut sdks {
        sdk.tell("stream 500");
    }
    for sdk in &mut sdks {
        sdk.hear("event 3").await;
    }
    fleet.kill("orf");
    for sdk in &mut sdks {
        let outcome = sdk.outcome().await;
        println!("{}: {outcome:?}", sdk.name);
        assert!(is_told(&outcome), "{}: a quiet end: {outcome:?}", sdk.name);
    }
}
