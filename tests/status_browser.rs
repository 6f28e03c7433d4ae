//! THE STATUS PAGE IN A BROWSER: Debian's Chromium, axe and Lighthouse, as `make test` installs them; without them these
//! tests say so and pass.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/asking.rs"]
mod asking;
mod common;
#[path = "common/reader.rs"]
mod reader;
#[path = "common/status.rs"]
mod status;
#[path = "common/stories.rs"]
mod stories;

use reader::Reader;
use serde_json::Value;
use status::Shown;
use std::collections::BTreeMap;

const PAGES: [&str; 6] = ["", "history", "history/2026-10", "subscribe", "incident/inc-20261012-dia", "nowhere"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_nothing_is_blocked_and_nothing_scrolls_sideways() {
    let Some(mut reader) = Reader::start(0) else { return };
    let shown = Shown::start(Shown::now(stories::outage()), None).await;
    for page in PAGES {
        let problems = reader.does(&format!("audit http://{}/{page}", shown.address)).await;
        let problems: Vec<String> = serde_json::from_str(&problems).expect("a list");
        // What a browser says of an answer that is 404 by intent.
        let problems: Vec<_> = problems.iter().filter(|text| page != "nowhere" || !text.contains("404")).collect();
        assert!(problems.is_empty(), "/{page}:\n{problems:#?}");
    }
    for report in [
        stories::all_well(),
        stories::no_history_yet(),
        stories::in_doubt(),
        anyfront::history::story::Report::default(),
    ] {
        let shown = Shown::start(Shown::now(report), None).await;
        let problems = reader.does(&format!("audit http://{}/", shown.address)).await;
        assert_eq!(problems, "[]");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_text_runs_nowhere_and_keeps_the_layout() {
    let Some(mut reader) = Reader::start(0) else { return };
    for start in [0, 5, 10] {
        let shown = Shown::start(Shown::now(stories::hostile(start)), None).await;
        for page in ["", "history", "subscribe"] {
            let problems = reader.does(&format!("audit http://{}/{page}", shown.address)).await;
            assert_eq!(problems, "[]", "corpus from {start}, /{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_put_in_its_place_and_said_while_focus_and_open_rows_stay() {
    let Some(mut reader) = Reader::start(0) else { return };
    let shown = Shown::start(Shown::now(stories::all_well()), None).await;
    let sentence = reader.does(&format!("follow http://{}/", shown.address)).await;
    assert_eq!(sentence, "All systems operational");
    shown.tell(Shown::now(stories::outage()));
    let told = reader.does("changed served_by_its_fallback_only").await;
    let told: Value = serde_json::from_str(&told).expect("an object");
    for claim in ["isOpen", "isSameRow", "isFocused", "isTitled"] {
        assert_eq!(told[claim], true, "{claim}: {told}");
    }
    let said = told["said"].as_str().expect("a text");
    assert!(said.contains("served by its fallback only") && said.contains("Identified"), "{said}");
    assert_eq!(told["icon"], "assets/icon-partial.svg");
    assert_eq!(told["complaints"], serde_json::json!([]));
    shown.tell(Shown::now(stories::all_well()));
    reader.does("changed All_systems_operational").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyboard_suffices() {
    let Some(mut reader) = Reader::start(0) else { return };
    let shown = Shown::start(Shown::now(stories::outage()), None).await;
    let told = reader.does(&format!("keys http://{}/", shown.address)).await;
    let told: Value = serde_json::from_str(&told).expect("an object");
    assert_eq!(told["path"], serde_json::json!(["skip", "main", "region-orf"]), "{told}");
    assert_eq!((&told["isSeen"], &told["isOpen"], &told["ring"]), (&true.into(), &true.into(), &"solid".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_script_everything_is_there() {
    let Some(mut reader) = Reader::start(0) else { return };
    let shown = Shown::start(Shown::now(stories::outage()), None).await;
    let told = reader.does(&format!("plain http://{}/", shown.address)).await;
    let told: Value = serde_json::from_str(&told).expect("an object");
    let visible = told["visible"].as_str().expect("a text");
    for wanted in [
        "us.gateway.truefoundry.ai is served by its fallback only",
        "10 of 14 regions are operational; ORF and DFW are out of service",
        "A release of the gateway went to ORF and DFW",
        "served from fallback YYZ; ORF down",
        "Gävle: the network of the data centre is renewed",
        "27 Nov 2026",
        "99.975 %",
    ] {
        assert!(visible.contains(wanted), "{wanted:?} is not in {visible}");
    }
    assert!(told["inside"].as_str().expect("a text").contains("3 probes in a row failed"), "{told}");
    assert_eq!(told["complaints"], serde_json::json!([]));
}

/// How fast a page is painted is also how busy the machine is with everything else, so that mark is told, and judged where
/// `ANYFRONT_LIGHTHOUSE` is set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lighthouse_gives_95_and_more_in_each_of_its_four() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|any| any.local_addr()).expect("a port").port();
    let Some(mut reader) = Reader::start(port) else { return };
    let shown = Shown::start(Shown::now(stories::outage()), None).await;
    let is_quiet = std::env::var_os("ANYFRONT_LIGHTHOUSE").is_some();
    let mut best = BTreeMap::new();
    for _ in 0..if is_quiet { 3 } else { 1 } {
        let told = reader.does(&format!("lighthouse http://{}/", shown.address)).await;
        println!("{told}");
        let told: Value = serde_json::from_str(&told).expect("an object");
        for category in ["performance", "accessibility", "best-practices", "seo"] {
            let score = told["scores"][category].as_u64().expect("a score");
            let best = best.entry(category).or_insert(score);
            *best = score.max(*best);
        }
        if best.iter().all(|(category, score)| *score >= 95 || (*category == "performance" && !is_quiet)) {
            return;
        }
    }
    panic!("{best:?}");
}
