//! The official gRPC library for Python.

use crate::harness::{Fleet, quick_and_secure};
use crate::program::{Kind, Program, python};
use anyfront::lab::world::Settings;
use std::time::Duration;

const LIBRARY: Kind = python("grpcio", "grpc_client.py", &[]);

async fn started() -> Option<(Fleet, Program)> {
    let fleet = Fleet::start(Settings { token_pace: Duration::from_millis(40), ..quick_and_secure() }).await;
    let program = Program::start(&fleet, "us", &LIBRARY).await?;
    Some((fleet, program))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_goes_on_elsewhere_when_the_region_refuses_and_is_unavailable_when_all_do() {
    let Some((fleet, mut program)) = started().await else { return };
    for region in ["orf", "dfw", "sfo", "yyz"] {
        let outcome = program.does("say hello").await;
        assert_eq!(outcome.end, Ok(format!("hello {region}")));
        assert_eq!(program.does("health").await.end.as_deref(), Ok("SERVING"));
        fleet.kill(region);
    }
    let why = program.does("say hello").await.end.expect_err("nobody is left");
    println!("{why}");
    assert!(why.contains("RpcError") && why.contains("UNAVAILABLE"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_whose_region_dies_raises_and_never_just_ends() {
    let Some((fleet, mut program)) = started().await else { return };
    assert_eq!(program.does("count 5").await.end.as_deref(), Ok("OK"));
    program.tell("count 1000");
    program.hear("event 3").await;
    fleet.kill("orf");
    let outcome = program.outcome().await;
    println!("{outcome:?}");
    assert!(
        outcome.end.as_ref().is_err_and(|why| why.contains("RpcError") && why.contains("UNAVAILABLE")),
        "{outcome:?}"
    );
    assert_eq!(program.does("say hello").await.end.as_deref(), Ok("hello dfw"), "the channel lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deadline_is_kept() {
    let Some((_fleet, mut program)) = started().await else { return };
    let why = program.does("say hello 0.5 2000").await.end.expect_err("it is late");
    assert!(why.contains("DEADLINE_EXCEEDED"), "{why}");
    assert_eq!(program.does("say hello 10 200").await.end.as_deref(), Ok("hello orf"), "and nobody is blamed for it");
}
