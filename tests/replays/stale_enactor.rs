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
fn a_drain_that_overtakes_its_own_end_costs_nobody_anything_and_the_next_word_ends_it() {
    let drain = || What::Drain { target: Target::Region(label("lhr")), is_hard: false };
    let mut stayed = 0;
    for seed in 0..5 {
        let story = Story::of(5).during(60.0..200.0, What::ChannelLate(sites(&[]), Duration::from_secs(90)));
        let played = story.during(70.0..75.0, drain()).during(220.0..225.0, drain()).play_with(seed);
        assert_all_served(&played, 60.0..290.0);
        // Nobody orders what operators say to a node: what came last holds, until somebody says more.
        stayed += usize::from(!played.served_by(180.0..218.0).contains_key("lhr"));
        for node in played.world.nodes.iter().flatten() {
            assert!(node.snapshot.overrides.is_empty(), "seed {seed}: {:?}", node.snapshot.overrides);
        }
    }
    assert!(stayed < 5, "on some nodes it does not stay");
}
