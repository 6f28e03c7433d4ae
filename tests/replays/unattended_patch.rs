//! Datadog, 8 March 2023: at 06:00 an unattended patch cut the network of machines in all regions of several clouds.
//!
//! At 06:00 the nodes of two of five sites are gone, or stand still, in the same second. DNS stops naming them, and clients
//! that know two addresses hardly notice.

use super::story::{Story, assert_all_served, sites};
use anyfront::sim::scenario::{Habit, What};
use std::time::Duration;

fn five_at_six() -> Story {
    let five = [("iad-1", "Washington"), ("sin-1", "Singapore"), ("syd-1", "Sydney"), ("gru-1", "São Paulo")];
    let mut story = Story::of(8).by_dns().at(&five).resolved_by(Habit::Keeps);
    // Two minutes before six, Wednesday, in Greenwich.
    story.scenario.starts = Duration::from_secs(1_796_191_080);
    story
}

#[test]
fn nodes_that_are_gone_at_six_are_missed_by_nobody() {
    let played = five_at_six().during(120.0..300.0, What::Crash(sites(&["lon-1", "iad-1"]))).play();
    assert!(played.served_share(118.0..125.0) > 0.6);
    // Whoever knows just those two has to wait until DNS says something else, for a minute at most.
    assert!(played.served_share(125.0..185.0) > 0.9, "{}", played.served_share(125.0..185.0));
    assert_all_served(&played, 185.0..290.0);
    assert_all_served(&played, 305.0..470.0);
    let short = played.answers.iter().filter(|(at, ..)| (130.0..150.0).contains(at)).map(|(.., ttl)| *ttl);
    assert!(short.fold(0.0, f64::max) <= 20.0, "while anything changes no answer is believed for long");
    let named = |from: f64, to: f64| played.answers.iter().filter(move |(at, ..)| (from..to).contains(at));
    assert!(named(130.0, 300.0).all(|(_, node, ..)| *node > 1), "nobody is answered by who is gone");
}

#[test]
fn nodes_that_stand_still_at_six_are_left_out_and_their_clients_come_round() {
    let played = five_at_six().during(120.0..300.0, What::Freeze(sites(&["lon-1", "iad-1"]))).play();
    for node in [2_usize, 3, 4] {
        let snapshot = &played.world.nodes[node].as_ref().expect("it runs").snapshot;
        assert!(snapshot.sites.iter().all(|site| !site.is_left_out), "afterwards all are named again");
    }
    // A minute for the answers that are kept, and the rest of the time of those who hang.
    let share = played.served_share(200.0..290.0);
    assert!(share > 0.9, "{share}");
    assert_all_served(&played, 370.0..470.0);
}
