//! AWS me-central-1, 1 March 2026: two of three zones were hit, and the region was gone for weeks. Doha, the only fallback of
//! `eu.`, is in the same place.
//!
//! With Doha gone for good, Europe still goes on with the last of its own.

use super::story::{Story, assert_all_served, regions};
use anyfront::sim::scenario::What;

#[test]
fn europe_without_its_fallback_goes_on_with_the_last_of_its_own() {
    let story = Story::of(12).asking(&["eu"]).since(10.0, What::BlackHole(regions(&["dia"])));
    let story = story.during(240.0..480.0, What::Refuse(regions(&["lhr"])));
    let played = story.during(240.0..480.0, What::Slow(regions(&["mad"]), 20.0)).play();
    assert_all_served(&played, 60.0..700.0);
    let during = played.served_by(260.0..480.0);
    assert_eq!(during.keys().copied().collect::<Vec<_>>(), ["gvx"], "{during:?}");
    let minds: Vec<_> = played.minds_about("dia").into_iter().filter(|mind| mind.at > 60.0).collect();
    assert!(minds.is_empty(), "nobody wonders about it any more: {minds:?}");
}
