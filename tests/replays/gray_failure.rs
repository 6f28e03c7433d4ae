//! Gray failure, the common shape of Google, 16 November 2021, and of many others: everything that watches says it is well,
//! and requests fail.
//!
//! Live traffic is a witness of its own: a region whose probes pass and whose requests fail loses its traffic.

use super::story::{Played, Story, assert_all_served, regions};
use anyfront::health::Standing;
use anyfront::sim::scenario::{Program, What, Whom};
use http::Method;
use std::time::Duration;

/// Many ask for embeddings in Europe: what costs money, and is not asked for twice by us.
fn europe() -> Story {
    let story = Story::of(6).clients(200, 30.0).from(&[("London", 1), ("Paris", 1)]).asking(&["eu"]);
    story.for_work(Method::POST, "/v1/embeddings", Duration::from_millis(100))
}

fn ejected(played: &Played) -> Vec<&str> {
    played.minds.iter().filter(|mind| mind.standing == Standing::Ejected).map(|mind| &*mind.region).collect()
}

#[test]
fn a_region_that_passes_every_probe_and_fails_every_request_loses_its_traffic() {
    let played = europe().who_use(Program::Curl).during(120.0..240.0, What::ProbesLie(regions(&["lhr"]))).play();
    let out = played.out_after(0, "lhr", 120.0);
    assert!(out.is_some_and(|after| after < 10.0), "{out:?}");
    let of_lhr = played.failed_probes.iter().filter(|(_, _, region, _)| region == "lhr").count();
    assert!(of_lhr <= 2, "no probe found anything; one may be lost on its way: {of_lhr}");
    // What is tried again and again in between is little, and less each time.
    let share = played.served_share(121.0..240.0);
    assert!(share > 0.97, "{share}");
    let minds = played.minds_about("lhr");
    assert!(minds.iter().all(|mind| mind.standing != Standing::Down), "{minds:?}");
}

#[test]
fn whoever_asks_again_is_not_sent_again_to_who_failed_it() {
    let played = europe().clients(60, 3.0).who_use(Program::OpenAi);
    let played = played.during(120.0..240.0, What::ProbesLie(regions(&["lhr"]))).play();
    assert_all_served(&played, 60.0..340.0);
    let most = played.wished(120.0..240.0).map(|told| told.tries).max();
    assert_eq!(most, Some(2), "the second try is served by another region");
}

#[test]
fn what_fails_everywhere_is_nobodys_fault_and_nobody_is_left_for_it() {
    let story = Story::of(6).clients(200, 30.0).who_use(Program::Curl);
    let played = story.during(120.0..180.0, What::ProbesLie(Whom::All)).play();
    // Who is the first to have failed twenty is left, until the others are seen to fail as well.
    let ejected = ejected(&played);
    assert!(ejected.len() <= 6, "at most two by each node: {ejected:?}");
    assert_all_served(&played, 180.1..350.0);
}

#[test]
fn of_two_regions_that_fail_one_at_a_time_is_left() {
    let played = europe().who_use(Program::Curl).during(120.0..240.0, What::ProbesLie(regions(&["lhr", "mad"]))).play();
    let mut out = std::collections::BTreeSet::new();
    for mind in played.minds.iter().filter(|mind| mind.node == 0) {
        if mind.standing == Standing::Ejected {
            out.insert(&*mind.region)
        } else {
            out.remove(&*mind.region)
        };
        assert!(out.len() <= 1, "at second {}: {out:?} of three", mind.at);
    }
    assert!(!ejected(&played).is_empty());
}

#[test]
fn one_client_alone_moves_nobody() {
    let story = europe().clients(1, 1_200.0).who_use(Program::Curl);
    let played = story.during(120.0..180.0, What::ProbesLie(regions(&["lhr", "mad", "gvx"]))).play();
    assert!(played.served_share(120.0..180.0) < 0.1);
    assert_eq!(ejected(&played), [""; 0], "whatever it does to make its requests fail");
}
