//! AWS, 20 October 2025, the part of its load balancers: checks met nodes that were configured by halves, so that targets
//! went in and out of DNS again and again.
//!
//! What comes and goes is held back for longer and longer, whatever its rhythm, and costs nobody a request that another
//! region can save.

use super::story::{Mind, Played, Story, regions};
use anyfront::health::Standing;
use anyfront::sim::scenario::What;
use std::time::Duration;

/// How often a node let traffic go to the region, or took it away.
fn turns(played: &Played, node: u16, region: &str) -> usize {
    let gets = |standing| standing <= Standing::Strained;
    let turned = |mind: &&&Mind| mind.node == node && gets(mind.before) != gets(mind.standing);
    played.minds_about(region).iter().filter(turned).count()
}

#[test]
fn a_region_that_flaps_is_left_alone_until_it_is_quiet() {
    // The slower it comes and goes, the longer it takes until it is held back for longer than it stays: each time that it
    // fell before was an outage of its own.
    for (up, down, most) in [(2.0, 2.0, 4), (5.0, 5.0, 4), (20.0, 4.0, 10)] {
        let whom = regions(&["lhr"]);
        let (up, down) = (Duration::from_secs_f64(up), Duration::from_secs_f64(down));
        let played = Story::of(13).during(60.0..660.0, What::Flap { whom, up, down }).play();
        for node in 0..3 {
            let turns = turns(&played, node, "lhr");
            assert!(
                turns <= most,
                "{up:?} and {down:?}: node {node} turned {turns} times: {:#?}",
                played.minds_about("lhr")
            );
        }
        let late = played.attempts.iter().filter(|(at, _, region)| (360.0..660.0).contains(at) && region == "lhr");
        assert_eq!(late.count(), 0, "{up:?} and {down:?}: after five minutes nobody goes there any more");
        let lost = played.unserved(60.0..660.0).into_iter().filter(|told| told.is_safe).count();
        assert_eq!(lost, 0, "{up:?} and {down:?}");
        assert!(played.served_share(60.0..660.0) > 0.998, "{up:?} and {down:?}: {}", played.served_share(60.0..660.0));
    }
}
