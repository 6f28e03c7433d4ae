//! Facebook, 4 October 2021: the backbone was cut; every name server judged itself unfit and withdrew. Each was right, and
//! all together were fatal.
//!
//! No node withdraws for what it cannot see: whatever the sites think of each other, DNS names as many as a fleet needs, and
//! when the network is back there is nothing to bring back.

use super::story::{Story, assert_all_served, sites};
use anyfront::health::sites::Standing;
use anyfront::sim::scenario::{Habit, What};

const FIVE: [(&str, &str); 4] =
    [("iad-1", "Washington"), ("sin-1", "Singapore"), ("syd-1", "Sydney"), ("gru-1", "São Paulo")];

#[test]
fn sites_that_all_lose_each_other_go_on_naming_each_other() {
    let cut_off = sites(&["iad-1", "sin-1", "syd-1", "gru-1"]);
    let played =
        Story::of(6).by_dns().at(&FIVE).resolved_by(Habit::Keeps).during(90.0..210.0, What::Isolate(cut_off)).play();
    let by_london = played.answers.iter().filter(|(at, node, ..)| *node == 0 && (90.0..330.0).contains(at));
    let told: Vec<u8> = by_london.map(|(_, _, told, _)| *told).collect();
    assert!(told.len() > 10 && told.iter().all(|told| *told == 2), "{told:?}");
    assert_all_served(&played, 280.0..350.0);
}

#[test]
fn a_fleet_that_nobody_could_reach_is_whole_as_soon_as_it_can_be_reached() {
    let played = Story::of(5).by_dns().at(&FIVE).during(90.0..150.0, What::Isolate(Vec::new())).play();
    assert!(played.served_share(95.0..120.0) < 0.5, "it was gone");
    assert_all_served(&played, 160.0..290.0);
    let nodes = played.world.nodes.iter().flatten();
    let left_out = nodes.flat_map(|node| node.snapshot.sites.iter()).filter(|site| site.is_left_out).count();
    assert_eq!(left_out, 0);
}

#[test]
fn whoever_loses_sight_of_all_others_at_once_takes_it_for_its_own_fault() {
    let others = sites(&["iad-1", "sin-1", "syd-1", "gru-1"]);
    let played = Story::of(3).by_dns().at(&FIVE).since(90.0, What::Isolate(others)).play();
    let london = played.world.nodes[0].as_ref().expect("it runs");
    let down = london.snapshot.sites.iter().filter(|site| matches!(site.standing, Standing::Down(_))).count();
    let left_out = london.snapshot.sites.iter().filter(|site| site.is_left_out).count();
    assert_eq!((down, left_out), (4, 0), "it sees nobody, and goes on naming all");
}
