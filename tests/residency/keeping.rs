//! What is counted outlives the node, and what cannot be kept is told.

use super::{FENCED, answers, document, fleet, fleet_with, index, keys, today, until_counted};
use crate::harness::{BOUND, Fleet, from, get, hostname};
use anyfront::moment::Clock;
use anyfront::residency::day::Day;
use anyfront::residency::seal::{Signer, verify};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

fn folder(fleet: &Fleet) -> PathBuf {
    fleet.world.folder().join("state/residency")
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, wait).await.is_ok(), "never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_a_restart_and_the_time_between_is_a_gap() {
    let mut fleet = fleet().await;
    for _ in 0..5 {
        assert!(fleet.ask(get(FENCED), from("Paris")).await.is_good());
    }
    until_counted(&fleet, FENCED, |counts| answers(counts) >= 5).await;
    let day = today();
    let (before, key) = (document(&fleet, day, FENCED).await, keys(&fleet).await);
    fleet.restart().await;
    assert_eq!(keys(&fleet).await, key, "the key is kept");
    // Counted just before the stop, too.
    for _ in 0..3 {
        assert!(fleet.ask(get(FENCED), from("Paris")).await.is_good());
    }
    fleet.restart().await;
    let counts = super::counted(&index(&fleet).await, FENCED);
    assert_eq!(answers(&counts), 8);
    if day != today() {
        return;
    }
    let attested = |text: &str| verify(text.as_bytes(), None).expect("genuine").summary;
    let (before, after) = (attested(&before), attested(&document(&fleet, day, FENCED).await));
    assert!(after.contains(&before) && !before.contains(&after));
    assert!(!after.is_final && after.watched.len() >= before.watched.len(), "{after:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_ended_while_nobody_was_there_is_summed_up_at_the_next_start() {
    let wall = Clock::start().wall();
    let yesterday = Day::of(wall - Duration::from_secs(86_400));
    let begin = yesterday.begin_s();
    let page = json!({
        "watched": [{"from": begin + 10, "until": begin + 20}, {"from": begin + 100, "until": begin + 160}],
        "hostnames": { hostname(FENCED): {
            "fences": [{"from": begin + 10, "written": ["EU"]}],
            "processed": [{"region": "mad", "country": "ES", "sent": 7, "answers": 6, "outside": 0}],
            "refused": 2,
        }},
        "is_summed": false,
    });
    let fleet = fleet_with(|options| {
        let folder = options.state_dir.join("residency");
        std::fs::create_dir_all(&folder).expect("made");
        let ledger = json!({"days": { yesterday.to_string(): page }, "order": [yesterday.to_string()]});
        std::fs::write(folder.join("ledger.json"), ledger.to_string()).expect("written");
    })
    .await;
    let path = folder(&fleet).join(format!("{yesterday}.{}.json", hostname(FENCED)));
    until("the summary is there", async || path.exists()).await;
    let kept = std::fs::read_to_string(&path).expect("it is there");
    until("what is kept is served", async || document(&fleet, yesterday, FENCED).await == kept).await;
    let summary = verify(kept.as_bytes(), None).expect("genuine").summary;
    assert!(summary.is_final);
    assert_eq!((summary.answers, summary.sent, summary.refused, summary.violations), (6, 7, 2, 0));
    assert_eq!((summary.watched_s, summary.watched.len()), (70, 2));
    assert_eq!(summary.watched_text(), "watched from 00:00:10 until 00:02:40 but for 1 gap of 80 s together");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_summary_is_replaced_by_one_that_says_less() {
    let mut fleet = fleet().await;
    let yesterday = Day::of(Clock::start().wall() - Duration::from_secs(86_400));
    let path = folder(&fleet).join(format!("{yesterday}.{}.json", hostname(FENCED)));
    std::fs::write(&path, "somebody's own").expect("written");
    let stop = fleet.stop_node();
    tokio::task::spawn_blocking(move || stop.join().expect("it stops")).await.expect("joined");
    let ledger = json!({"days": { yesterday.to_string(): {
        "watched": [], "is_summed": false,
        "hostnames": { hostname(FENCED): {"fences": [], "processed": [], "refused": 0 }},
    }}, "order": [yesterday.to_string()]});
    std::fs::write(folder(&fleet).join("ledger.json"), ledger.to_string()).expect("written");
    fleet.restart().await;
    let beside = path.with_extension("2.json");
    until("the summary is beside it", async || beside.exists()).await;
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "somebody's own");
    assert!(verify(&std::fs::read(&beside).expect("there"), None).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_understood_is_kept_aside() {
    let fleet = fleet_with(|options| {
        let folder = options.state_dir.join("residency");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("ledger.json"), "{\"days\":{\"2026").expect("written");
    })
    .await;
    let aside = std::fs::read_to_string(folder(&fleet).join("ledger.json.corrupt-1")).expect("it is kept");
    assert_eq!(aside, "{\"days\":{\"2026");
    assert!(fleet.ask(get(FENCED), from("Paris")).await.is_good());
    until_counted(&fleet, FENCED, |counts| answers(counts) >= 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_written_it_is_counted_and_told() {
    let yesterday = Day::of(Clock::start().wall() - Duration::from_secs(86_400));
    let mut fleet = fleet_with(|options| {
        let folder = options.state_dir.join("residency");
        // In the way of the new files, for whoever runs the test.
        std::fs::create_dir_all(folder.join("ledger.json.new")).expect("made");
        std::fs::create_dir_all(folder.join("key.new")).expect("made");
        let ledger = json!({"days": { yesterday.to_string(): {
            "watched": [], "is_summed": false, "hostnames": {},
        }}, "order": []});
        std::fs::write(folder.join("ledger.json"), ledger.to_string()).expect("written");
    })
    .await;
    until("it is told", async || index(&fleet).await.trouble.is_some_and(|why| why.contains("ledger.json"))).await;
    assert!(fleet.ask(get(FENCED), from("Paris")).await.is_good());
    until_counted(&fleet, FENCED, |counts| answers(counts) >= 1).await;
    // As soon as there is room again, everything is kept.
    std::fs::remove_dir(folder(&fleet).join("ledger.json.new")).expect("removed");
    fleet.restart().await;
    assert_eq!(answers(&super::counted(&index(&fleet).await, FENCED)), 1);
    let why = index(&fleet).await.trouble.expect("the key cannot be kept still");
    assert!(why.contains("signed by a key of this start only"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_one_secret_sign_with_one_key_and_others_with_their_own() {
    let secret = "0123456789abcdef0123456789abcdef";
    let newer = "fedcba9876543210fedcba9876543210";
    let with_secret = |text: String| {
        move |options: &mut anyfront::node::Options| {
            let path = options.config.with_file_name("secret");
            std::fs::write(&path, text).expect("written");
            options.secret_file = Some(path);
        }
    };
    let one = fleet_with(with_secret(secret.to_owned())).await;
    let other = fleet_with(with_secret(format!("{newer}\n{secret}\n"))).await;
    let alone = fleet().await;
    let (one, other, own) = (keys(&one).await, keys(&other).await, keys(&alone).await);
    assert_eq!((one.keys.len(), other.keys.len(), own.keys.len()), (1, 2, 1));
    assert_eq!(one.keys[0], other.keys[1], "what the old secret signed is verified still");
    assert_ne!(one.keys[0].key, other.keys[0].key);
    assert_ne!(one.keys[0].key, own.keys[0].key);
    let path = folder(&alone).join("key");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let seed: [u8; 32] = std::fs::read(&path).expect("there").try_into().expect("a seed");
    assert_eq!(Signer::of_seed(&seed).key().to_string(), own.keys[0].key);
}
