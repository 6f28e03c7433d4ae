//! Cloudflare, 17 July 2020: Atlanta leaked routes with a higher preference, and one site attracted everybody's traffic.
//! Cloudflare, 21 June 2022: the busiest sites were withdrawn, and what was left had to serve everybody.
//!
//! Where a client comes in decides nothing about who serves it: the regions' load stays as it was.

use super::story::{Story, assert_all_served, sites};
use anyfront::sim::scenario::What;
use std::collections::BTreeMap;

#[test]
fn one_site_that_gets_everybody_sends_each_to_the_region_it_had_before() {
    // Cities that have one nearest region: between two as near as each other the node's own way to them decides.
    let cities = [("London", 1), ("Stockholm", 1), ("Mumbai", 1), ("Singapore", 1), ("Cape Town", 1), ("São Paulo", 1)];
    let story = Story::of(7).from(&cities).asking(&["", "eu"]).since(180.0, What::Isolate(sites(&["iad-1", "sin-1"])));
    let played = story.play();
    // Anycast needs its time to bring everybody to the site that is left.
    assert_all_served(&played, 210.0..410.0);
    let nodes: Vec<u16> = played.arrivals.iter().filter(|(at, _)| *at > 210.0).map(|(_, node)| *node).collect();
    assert!(nodes.len() > 1_000 && nodes.iter().all(|node| *node == 0), "all come in at London");
    let (before, after) = (played.served_by(60.0..180.0), played.served_by(210.0..410.0));
    let share = |of: &BTreeMap<&str, usize>, region: &str| {
        *of.get(region).unwrap_or(&0) as f64 / of.values().sum::<usize>() as f64
    };
    for region in before.keys().chain(after.keys()) {
        let (was, is) = (share(&before, region), share(&after, region));
        assert!((was - is).abs() < 0.05, "{region} had {was:.3} of everything and has {is:.3}");
    }
}
