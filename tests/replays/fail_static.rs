//! Google, 2 June 2019: control jobs were gone, the network failed static for minutes, then routes were withdrawn.
//! Cloudflare, 2 November 2023 and 12 June 2025: the control site was gone for 40 hours, a store for two and a half.
//!
//! Whoever tells nodes what to do may be gone for a month: no decision changes, because nothing in a node expires.

use super::common;
use super::story::{Story, regions};
use anyfront::control::{Control, Event};
use anyfront::geo::place::Place;
use anyfront::health::Standing;
use anyfront::moment::Moment;
use anyfront::sim::cities::Cities;
use anyfront::sim::scenario::What;
use anyfront::snapshot::Snapshot;
use anyfront::steering::{Client, PlacedBy, Query, steer};
use anyfront::topology::{RegionIndex, RouteIndex};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn thirty_days_without_a_word_from_anybody_change_no_decision() {
    let topology = Arc::new(common::topology(&common::real_fleet()));
    let here = topology.sites[0].clone();
    let mut control =
        Control::new(Moment::ZERO, Arc::clone(&topology), common::geography::quick_locator(), here, [].into());
    let (first, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
    for (at, state) in first.endpoints.iter().enumerate() {
        let result = Ok(Duration::from_millis(5 + at as u64));
        control.apply(Moment::ZERO, Event::Probed { endpoint: state.id, probe: 0, result });
    }
    let (known, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("everything is up");
    let before = decisions(&known);
    assert!(known.regions.iter().all(|region| region.standing == Standing::Up));
    // Not even probes come back: whoever knows nothing new goes on with what it knew.
    let mut newest = known;
    for hour in 1..=30 * 24 {
        let passed = Duration::from_secs(3_600 * hour);
        if let Some((snapshot, changes)) = control.advance(Moment::at(passed), passed) {
            assert!(changes.is_empty(), "after {hour} hours: {changes:?}");
            newest = snapshot;
        }
    }
    assert_eq!(decisions(&newest), before);
}

/// Who would answer clients of the fifty largest cities, under every hostname, and then.
fn decisions(snapshot: &Snapshot) -> Vec<Vec<RegionIndex>> {
    let cities = Cities::of_the_world();
    let routes = (0..snapshot.topology.routes.len()).map(RouteIndex::of);
    let ranked = |route| {
        cities.all()[..50].iter().map(move |city| {
            let place = Place { at: city.at, country: Some(city.country), city: None };
            let client = Client::at([192, 0, 2, 1].into(), place, PlacedBy::Database);
            let decision = steer(snapshot, &Query::first(route, &client));
            decision.candidates.iter().map(|candidate| candidate.region).collect()
        })
    };
    routes.flat_map(ranked).collect()
}

#[test]
fn what_happens_meanwhile_is_seen_and_gone_round_all_the_same() {
    let story = Story::of(6).since(60.0, What::ChannelGone(Vec::new()));
    let played = story.during(120.0..240.0, What::BlackHole(regions(&["orf"]))).play();
    assert!((0..3).all(|node| played.out_after(node, "orf", 120.0).is_some_and(|after| after < 4.0)));
    assert!(played.served_by(300.0..355.0).contains_key("orf"), "and back again");
}
