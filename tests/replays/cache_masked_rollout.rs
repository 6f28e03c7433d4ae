//! OpenAI, 11 December 2024: caches of DNS hid a breaking rollout until it was everywhere.
//!
//! Resolvers that stretch what they were told, or never ask again, neither hide an outage from the nodes nor expose their
//! clients to it: a name leads to a site, and the site goes round what is broken.

use super::story::{Story, assert_all_served, regions, sites};
use anyfront::sim::scenario::{Habit, What};
use std::time::Duration;

const FIVE: [(&str, &str); 4] =
    [("iad-1", "Washington"), ("sin-1", "Singapore"), ("syd-1", "Sydney"), ("gru-1", "São Paulo")];

#[test]
fn clients_whose_resolvers_never_ask_again_lose_no_request_to_a_dead_region() {
    for habit in [Habit::Never, Habit::Stretches(Duration::from_secs(3_600))] {
        let dead = What::BlackHole(regions(&["orf", "lhr"]));
        let played = Story::of(5).by_dns().at(&FIVE).resolved_by(habit).during(90.0..240.0, dead).play();
        let lost = played.unserved(100.0..230.0).len();
        assert_eq!(lost, 0, "{habit:?}");
        assert!(played.served_by(95.0..230.0).keys().all(|region| !["orf", "lhr"].contains(region)));
    }
}

#[test]
fn nor_do_they_hang_on_a_site_that_is_gone() {
    let gone = What::Crash(sites(&["iad-1"]));
    let played = Story::of(5).by_dns().at(&FIVE).resolved_by(Habit::Never).since(90.0, gone).play();
    assert_all_served(&played, 100.0..290.0);
}
