//! AWS, 7 December 2021: a surge, and clients whose back-off did not work: their repetitions kept the congestion up.
//!
//! Clients that repeat at once, five times, meet a region that fails half of what it gets. We add next to nothing to what
//! they ask, and when the region is well again nothing is left of the storm.

use super::story::{Story, assert_all_served, regions};
use anyfront::sim::scenario::{Program, What};
use http::Method;
use std::time::Duration;

#[test]
fn a_region_that_browns_out_under_hammering_clients_gets_no_more_from_us_than_they_ask() {
    let story = Story::of(7).who_use(Program::Hammer).clients(200, 20.0).asking(&["", "eu"]);
    let story = story.from(&[("London", 3), ("Paris", 1), ("Washington", 1)]);
    let played = story.during(90.0..210.0, What::Errors(regions(&["lhr"]), 0.5, 503)).play();
    for start in (90..210).step_by(10) {
        let amplification = played.amplification(f64::from(start)..f64::from(start + 10));
        assert!(amplification <= 1.2, "from second {start}: {amplification}");
    }
    let out = (0..3).filter_map(|node| played.out_after(node, "lhr", 90.0)).fold(f64::INFINITY, f64::min);
    assert!(out < 15.0, "traffic notices: {out}");
    assert!(played.served_share(120.0..210.0) > 0.98, "{}", played.served_share(120.0..210.0));
    assert_all_served(&played, 290.0..410.0);
}

#[test]
fn where_everybody_fails_hardly_anything_is_asked_twice() {
    let story = Story::of(4).who_use(Program::Curl).clients(200, 30.0).asking(&["eu"]).from(&[("London", 1)]);
    let story = story.for_work(Method::GET, "/v1/models", Duration::from_millis(30));
    let played = story.during(90.0..150.0, What::Errors(regions(&["lhr", "mad", "gvx", "dia"]), 1.0, 503)).play();
    for start in (90..150).step_by(10) {
        let amplification = played.amplification(f64::from(start)..f64::from(start + 10));
        assert!(amplification <= 1.2, "from second {start}: {amplification}");
    }
    let most = played.told.iter().map(|told| told.attempts).max();
    assert_eq!(most, Some(3), "and no request more often than the file says");
    assert_all_served(&played, 151.0..230.0);
}
