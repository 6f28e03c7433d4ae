//! AWS me-central-1, 1 March 2026: two of three zones were hit, and the region was gone for weeks. Doha, the only fallback of
//! `eu.`, is in the same place.
//!
//! With Doha gone for good, Europe still goes on with the last of its own.

use super::story::{Story, assert_all_served, regions};
use anyfront::sim::fact::Outcome;
use anyfront::sim::scenario::{Program, What};
use http::Method;
use std::time::Duration;

#[test]
fn europe_without_its_fallback_goes_on_with_the_last_of_its_own() {
    let story = Story::of(12).asking(&["eu"]).since(10.0, What::BlackHole(regions(&["dia"])));
    let story = story.during(240.0..480.0, What::Refuse(regions(&["lhr"])));
    let played = story.during(240.0..480.0, What::Slow(regions(&["mad"]), 20.0)).play();
    // What had begun in London when it died is lost, and was said to be; nothing else.
    for quiet in [60.0..225.0, 240.1..700.0] {
        assert_all_served(&played, quiet);
    }
    let during = played.served_by(260.0..480.0);
    assert_eq!(during.keys().copied().collect::<Vec<_>>(), ["gvx"], "{during:?}");
    let minds: Vec<_> = played.minds_about("dia").into_iter().filter(|mind| mind.at > 60.0).collect();
    assert!(minds.is_empty(), "nobody wonders about it any more: {minds:?}");
}

#[test]
fn a_safe_request_to_a_region_that_falls_silent_is_served_by_another_within_seconds() {
    let story = Story::of(5).asking(&["eu"]).from(&[("Riyadh", 1)]).clients(50, 20.0).who_use(Program::Curl);
    let story = story.changed("regions = [\"lhr\", \"mad\", \"gvx\"]\nfallback", "regions = [\"dia\"]\nfallback");
    let story = story.changed("fallback = [\"dia\"]", "fallback = [\"lhr\", \"mad\"]");
    let story = story.for_work(Method::GET, "/v1/models", Duration::from_millis(400));
    let played = story.during(120.0..240.0, What::BlackHole(regions(&["dia"]))).play();
    assert_all_served(&played, 60.0..290.0);
    let longest = played.wished(60.0..290.0).map(|told| told.took).fold(0.0, f64::max);
    assert!(longest < 6.0, "{longest}");
}

#[test]
fn no_outage_lifts_a_fence() {
    let story = Story::of(5).asking(&["eu"]).who_use(Program::Curl);
    let written = "regions = [\"lhr\", \"mad\", \"gvx\"]\nfallback = [\"dia\"]";
    let story = story.changed(written, "regions = [\"*\"]\nresidency = [\"EU\"]");
    let played = story.during(120.0..240.0, What::Refuse(regions(&["mad", "gvx"]))).play();
    let outcomes: Vec<Outcome> = played.wished(121.0..239.0).map(|told| told.outcome).collect();
    assert!(outcomes.len() > 500 && outcomes.iter().all(|one| *one == Outcome::Unanswered(503)), "honest, and inside");
    assert_all_served(&played, 240.1..290.0);
    assert!(played.served_by(60.0..290.0).keys().all(|region| ["mad", "gvx"].contains(region)));
}

#[test]
fn a_region_that_dies_takes_no_safe_request_with_it() {
    let story = Story::of(3).asking(&["eu"]).from(&[("London", 1)]).clients(100, 30.0).who_use(Program::Curl);
    let story = story.for_work(Method::GET, "/v1/models", Duration::from_millis(800));
    let played = story.during(90.0..140.0, What::Refuse(regions(&["lhr"]))).play();
    assert_all_served(&played, 60.0..170.0);
}
