//! The MCP SDKs over streamable HTTP: with sessions, which live in one region, and without.

use crate::harness::{Fleet, SOON, quick_and_secure};
use crate::program::{Kind, Outcome, Program, all_do, node, python};
use anyfront::health::Standing;

const WITH_SESSIONS: &[Kind] =
    &[python("mcp for Python, sessions", "mcp_sdk.py", &["legacy"]), node("mcp for TypeScript", "mcp_sdk.mjs", &[])];
const WITHOUT: Kind = python("mcp for Python", "mcp_sdk.py", &["auto"]);

#[track_caller]
fn assert_all_say(outcomes: &[(&str, Outcome)], said: &str) {
    for (name, outcome) in outcomes {
        assert_eq!(outcome.end.as_deref(), Ok(said), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_outlives_other_regions_and_begins_anew_elsewhere_when_its_own_is_lost() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let mut sdks = Program::start_all(&fleet, "us", WITH_SESSIONS).await;
    assert_all_say(&all_do(&mut sdks, "open").await, "2025-11-25");
    assert_all_say(&all_do(&mut sdks, "tools").await, "whoami echo slow");
    assert_all_say(&all_do(&mut sdks, "call whoami").await, "orf");
    for other in ["sfo", "dfw"] {
        fleet.kill(other);
        assert_all_say(&all_do(&mut sdks, "call whoami").await, "orf");
    }
    fleet.heal("dfw");
    fleet.until_standing("dfw", Standing::Up, SOON).await;
    fleet.kill("orf");
    fleet.until_out("orf", SOON).await;
    for (name, outcome) in all_do(&mut sdks, "call whoami").await {
        let why = outcome.end.expect_err(name).to_lowercase();
        println!("{name}: {why}");
        assert!(why.contains("session") || why.contains("404"), "{name} cannot know that its session is lost: {why}");
    }
    assert_all_say(&all_do(&mut sdks, "open").await, "2025-11-25");
    assert_all_say(&all_do(&mut sdks, "call whoami").await, "dfw");
    // It stays there when the nearest is back.
    fleet.heal("orf");
    fleet.until_standing("orf", Standing::Up, SOON).await;
    assert_all_say(&all_do(&mut sdks, "call whoami").await, "dfw");
    // Steps are told one by one as they are taken.
    for (name, outcome) in all_do(&mut sdks, "slow 5").await {
        assert_eq!((outcome.events, outcome.end.as_deref()), (4, Ok("5 steps in dfw")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_sessions_calls_go_on_elsewhere_and_nothing_begins_anew() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let Some(mut sdk) = Program::start(&fleet, "us", &WITHOUT).await else { return };
    assert_eq!(sdk.does("open").await.end.as_deref(), Ok("2026-07-28"));
    for region in ["orf", "dfw", "sfo"] {
        assert_eq!(sdk.does("call whoami").await.end.as_deref(), Ok(region));
        assert_eq!(sdk.does("tools").await.end.as_deref(), Ok("whoami echo slow"));
        // Refused, it reached nobody: even a call that acts goes on.
        fleet.kill(region);
    }
    assert_eq!(sdk.does("call whoami").await.end.as_deref(), Ok("yyz"));
}
