//! THE STATUS PAGE AS EVERYBODY GETS IT: at its public address, as files, and as news.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/asking.rs"]
mod asking;
mod common;
#[path = "common/status.rs"]
mod status;
#[path = "common/stories.rs"]
mod stories;

use status::Shown;
use std::time::Duration;

/// For looking at: `STATUS_SERVE=STORY` shows it until the test is ended, and prints where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_can_be_looked_at_live() {
    let Ok(story) = std::env::var("STATUS_SERVE") else { return };
    let report = match story.as_str() {
        "outage" => stories::outage(),
        "new" => stories::no_history_yet(),
        "doubt" => stories::in_doubt(),
        "hostile" => stories::hostile(0),
        _ => stories::all_well(),
    };
    let shown = Shown::start(Shown::now(report.clone()), None).await;
    println!("http://{}/", shown.address);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        shown.tell(Shown::now(report.clone()));
    }
}
