//! AWS, 20 October 2025: a slow enactor wrote an old plan over a new one, and the cleanup of old plans then deleted it.
//!
//! Words of operators may come late and overtake each other; what is in force in the end is the newest.

use super::story::{Story, assert_all_served, label, sites};
use anyfront::sim::scenario::What;
use anyfront::snapshot::Target;
use std::time::Duration;

#[test]
fn an_old_file_that_comes_late_never_replaces_a_newer_one() {
    for seed in 0..5 {
        let story = Story::of(5).during(60.0..240.0, What::ChannelLate(sites(&[]), Duration::from_secs(90)));
        let old = story.file_with("fallback = [\"yyz\"]", "fallback = [\"yyz\", \"gru\"]");
        let new = story.file_with("fallback = [\"yyz\"]", "fallback = [\"yyz\", \"lhr\"]");
        let played = story.rolls_out(70.0, &old).rolls_out(80.0, &new).play_with(seed);
        assert_all_served(&played, 60.0..290.0);
        assert!((0..3).all(|node| played.has_file(node, &new)), "seed {seed}");
    }
}

#[test]
fn a_drain_that_comes_after_its_own_end_does_not_stay() {
    for seed in 0..10 {
        let drain = What::Drain { target: Target::Region(label("lhr")), is_hard: false };
        let story = Story::of(5).during(60.0..200.0, What::ChannelLate(sites(&[]), Duration::from_secs(90)));
        let played = story.during(70.0..75.0, drain).play_with(seed);
        assert_all_served(&played, 60.0..290.0);
        for node in 0..3_usize {
            let own = &played.world.nodes[node].as_ref().expect("it runs").snapshot;
            assert!(own.overrides.is_empty(), "seed {seed}: node {node} has {:?} still", own.overrides);
        }
    }
}
