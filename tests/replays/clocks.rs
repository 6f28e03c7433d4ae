//! Clocks that step and drift: leap seconds, NTP gone wrong, machines that wake from a pause.
//!
//! No decision asks what time it is; a wall clock that is off by an hour changes nothing, and one that runs fast by half a
//! thousandth nothing that anybody would notice.

use super::story::{Story, assert_all_served, regions, sites};
use anyfront::sim::scenario::What;

#[test]
fn a_wall_clock_that_steps_changes_no_decision() {
    for step in [3_600, -3_600, -60 * 86_400] {
        let played = Story::of(4).during(90.0..150.0, What::ClockStep(sites(&["lon-1", "iad-1"]), step)).play();
        assert_all_served(&played, 60.0..230.0);
        assert_eq!(played.minds_changed().len(), 0, "{step} seconds");
    }
}

#[test]
fn a_node_whose_clock_drifts_finds_a_dead_region_as_soon_as_another() {
    let dead = What::BlackHole(regions(&["orf"]));
    let played = Story::of(5).since(10.0, What::ClockDrift(sites(&["lon-1"]), 500)).during(120.0..200.0, dead).play();
    for node in 0..3 {
        let out = played.out_after(node, "orf", 120.0);
        assert!(out.is_some_and(|after| after < 4.0), "node {node}: {out:?}");
    }
}
