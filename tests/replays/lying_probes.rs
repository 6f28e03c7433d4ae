//! Route 53's quorum, and every balancer that failed all of its targets for a fault of its own: the witness lies.
//!
//! A node whose probes all fail suspects itself, and goes on as before. A region all of whose probes fail is left, although it
//! would serve; nobody is failed for it, and where there is nobody else it is tried all the same.

use super::story::{Story, assert_all_served, regions, sites};
use anyfront::sim::scenario::{What, Whom};

#[test]
fn one_blind_vantage_moves_no_traffic() {
    let played = Story::of(6).during(120.0..240.0, What::BlindProber(sites(&["lon-1"]))).play();
    assert_all_served(&played, 60.0..350.0);
    let (before, during) = (played.served_by(60.0..120.0), played.served_by(125.0..235.0));
    assert!(before.keys().eq(during.keys()), "{before:?} {during:?}");
    assert!(played.amplification(120.0..240.0) < 1.001, "{}", played.amplification(120.0..240.0));
}

#[test]
fn probes_that_fail_everywhere_at_once_cost_nobody_anything() {
    let played = Story::of(6).during(120.0..240.0, What::ProbesFail(Whom::All)).play();
    assert_all_served(&played, 60.0..350.0);
}

#[test]
fn a_region_all_of_whose_probes_fail_is_left_and_missed_by_nobody() {
    let played = Story::of(6).during(120.0..240.0, What::ProbesFail(regions(&["lhr", "syd", "mel", "sin"]))).play();
    assert_all_served(&played, 60.0..350.0);
    assert!(!played.served_by(125.0..238.0).keys().any(|region| *region == "lhr"));
    let australia = played.wished(130.0..235.0).filter(|told| told.host == "au");
    assert!(australia.count() > 20, "`au.` has nobody else, and is served all the same");
}

#[test]
fn a_slow_prober_declares_nobody_dead() {
    let played = Story::of(6).during(120.0..240.0, What::SlowProber(sites(&["iad-1"]), 2.0)).play();
    assert_all_served(&played, 60.0..350.0);
    assert!(played.minds_about("orf").iter().all(|mind| mind.standing < anyfront::health::Standing::Ejected));
}
