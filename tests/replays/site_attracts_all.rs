//! Cloudflare, 17 July 2020: Atlanta leaked routes with a higher preference, and one site attracted everybody's traffic.
//! Cloudflare, 21 June 2022: the busiest sites were withdrawn, and what was left had to serve everybody.
//!
//! Where a client comes in decides nothing about who serves it: the regions' load stays as it was.

use super::story::{Story, assert_all_served, sites};
use anyfront::sim::scenario::What;
use std::collections::BTreeMap;

#[test]
fn one_site_that_gets_everybody_sends_each_to_the_region_it_had_before() {
    let story = Story::of(7).since(180.0, What::Isolate(sites(&["iad-1", "sin-1"])));
    let played = story.play();
    // Anycast needs its time to bring everybody to the site that is left.
    assert_all_served(&played, 210.0..410.0);
    let nodes: Vec<u16> = played.arrivals.iter().filter(|(at, _)| *at > 210.0).map(|(_, node)| *node).collect();
    assert!(nodes.len() > 1_000 && nodes.iter().all(|node| *node == 0), "all come in at London");
    let (before, after) = (played.served_by(60.0..180.0), played.served_by(210.0..410.0));
    // Two are as near to every Australian as one: there the node's own way to them decides.
    let same = |region: &str| if region == "mel" { "syd" } else { region }.to_owned();
    let share = |of: &BTreeMap<&str, usize>, region: &str| {
        let own = of.iter().filter(|(name, _)| same(name) == region).map(|(_, count)| count).sum::<usize>();
        own as f64 / of.values().sum::<usize>() as f64
    };
    for region in before.keys().chain(after.keys()).map(|region| same(region)) {
        let (was, is) = (share(&before, &region), share(&after, &region));
        assert!((was - is).abs() < 0.05, "{region} had {was:.3} of everything and has {is:.3}");
    }
}
