//! Azure Front Door, October 2025, and Google, 12 June 2025, as clients met them: nodes that crash again and again.
//!
//! A node that comes and goes every ten seconds takes its connections with it and nothing else: clients find another, it
//! begins with what it has on its disk, and no region is believed to be worse.

use super::story::{Story, assert_all_served, label, sites};
use anyfront::sim::scenario::{Program, What};
use anyfront::snapshot::Target;
use std::time::Duration;

#[test]
fn a_node_in_a_crash_loop_forgets_no_drain_and_fails_only_what_it_had() {
    let story = Story::of(6).by_dns().at(&[("iad-1", "Washington"), ("sin-1", "Singapore")]).who_use(Program::OpenAi);
    let story = story.since(70.0, What::Drain { target: Target::Region(label("lhr")), is_hard: false });
    let (up, down) = (Duration::from_secs(10), Duration::from_secs(10));
    let played = story.during(120.0..240.0, What::CrashLoop { sites: sites(&["lon-1"]), up, down }).play();
    assert!(played.served_share(120.0..240.0) > 0.99, "{}", played.served_share(120.0..240.0));
    assert!(!played.served_by(75.0..355.0).contains_key("lhr"), "drained is drained, after every start too");
    assert_all_served(&played, 245.0..350.0);
}
