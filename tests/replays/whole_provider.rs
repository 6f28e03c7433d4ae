//! A whole provider at once: AWS hosts seven of the fourteen regions, and `au.` has nobody else.
//!
//! Everything that another provider may serve is served. For `au.` there is nobody: its clients are told so, at once and
//! honestly, and the regions are still tried, so that it works in the second in which they do.

use super::story::{Mind, Story, assert_all_served, provider};
use anyfront::health::Standing;
use anyfront::sim::fact::Outcome;
use anyfront::sim::scenario::{Program, What};
use http::Method;
use std::time::Duration;

#[test]
fn a_provider_that_is_gone_costs_only_the_name_that_has_nobody_else() {
    let story = Story::of(6).who_use(Program::Curl).asking(&["", "us", "eu", "au"]);
    let played = story.during(120.0..240.0, What::Refuse(provider("aws"))).play();
    let (others, australians): (Vec<_>, Vec<_>) = played.wished(121.0..239.0).partition(|told| told.host != "au");
    let lost: Vec<_> = others.iter().filter(|told| !told.outcome.is_served()).collect();
    assert!(others.len() > 500 && lost.is_empty(), "{lost:#?}");
    assert!(australians.len() > 200 && australians.iter().all(|told| told.outcome == Outcome::Unanswered(503)));
    assert!(australians.iter().all(|told| told.took < 6.0), "and not after a long wait");
    // The first that can be served is served: no probe has to find out first.
    assert_all_served(&played, 240.1..350.0);
}

#[test]
fn with_room_for_it_the_rest_of_the_fleet_carries_what_a_provider_carried() {
    // Two fifths of what London can have in fourteen regions: 20 requests in each, a third of a second and the way there.
    let story = Story::of(5).with_one_node().with_slots(20).clients(260, 60.0);
    let story = story.asking(&[""]).for_work(Method::POST, "/v1/embeddings", Duration::from_millis(330));
    let played = story.who_use(Program::Curl).during(90.0..150.0, What::Refuse(provider("aws"))).play();
    let during = played.served_share(91.0..149.0);
    assert!(during > 0.995, "{during}");
    assert_all_served(&played, 151.0..290.0);
}

#[test]
fn two_providers_of_three_at_once_are_an_outage_and_no_fault_of_ours() {
    let story = Story::of(4).who_use(Program::Curl).asking(&["", "us", "eu"]);
    let story = story.during(90.0..180.0, What::Refuse(provider("aws")));
    let played = story.during(90.0..180.0, What::Refuse(provider("gcp"))).play();
    assert_all_served(&played, 91.0..230.0);
    for node in 0..3 {
        let down = |mind: &&Mind| mind.node == node && mind.standing == Standing::Down;
        assert!(played.minds_about("lhr").into_iter().any(|mind| down(&mind)), "node {node}");
    }
}
