//! Cloudflare, 18 November 2025: a feature file grew past a limit and every proxy that read it crashed; good and bad ones
//! alternated every five minutes, so that it looked like an attack.
//!
//! Here a bad file changes nothing, however often it comes, and the good ones between are taken over.

use super::common;
use super::story::{Story, assert_all_served};
use anyfront::limits::TOPOLOGY_BYTES_MAX;
use anyfront::sim::scenario::What;
use anyfront::topology::check::check;
use std::path::Path;

#[test]
fn good_and_bad_files_in_turn_cost_nobody_anything_and_the_last_good_one_stays() {
    let story = Story::of(6);
    let good = story.file_with("fallback = [\"yyz\"]", "fallback = [\"yyz\", \"gru\"]");
    let better = story.file_with("fallback = [\"yyz\"]", "fallback = [\"yyz\", \"lhr\"]");
    let story =
        [90.0, 150.0, 210.0, 270.0, 330.0].into_iter().fold(story, |story, at| story.since(at, What::BadRollout));
    let played = story.rolls_out(120.0, &good).rolls_out(240.0, &better).play();
    assert_all_served(&played, 60.0..350.0);
    assert_eq!(played.refused.len(), 5 * 3, "every node refuses every bad one");
    assert_eq!(played.obeyed.len(), 2 * 3, "and takes over every good one");
    assert!((0..3).all(|node| played.has_file(node, &better)));
    assert_eq!(played.minds_changed(), [] as [&super::story::Mind; 0], "no region was held to be worse for it");
}

#[test]
fn a_file_past_its_limit_is_refused_before_anybody_reads_it() {
    let file = common::real_fleet();
    let padded = |bytes: usize| format!("{file}{}", "#".repeat(bytes - file.len()));
    let most = TOPOLOGY_BYTES_MAX;
    assert!(check(&padded(most), Path::new("regions.toml")).is_ok());
    let mistakes = check(&padded(most + 1), Path::new("regions.toml")).expect_err("one octet too many");
    assert!(mistakes.to_string().contains("too long"), "{mistakes}");
    // The same row again and again, as that day.
    let row = file.split("[[region]]").nth(1).expect("a region");
    let doubled = format!("{file}{}", format!("\n[[region]]{row}").repeat(200));
    let mistakes = check(&doubled, Path::new("regions.toml")).expect_err("no region may be there twice");
    assert!(mistakes.to_string().contains("orf"), "{mistakes}");
}
