//! Cloudflare, 5 December 2025: the kill switch, thought to be safe, was obeyed everywhere within seconds and met a path
//! that nobody had walked.
//!
//! Ours is a hard drain. It is obeyed everywhere within seconds too; so it must do nothing but what it says.

use super::story::{Story, assert_all_served, label};
use anyfront::sim::fact::Outcome;
use anyfront::sim::scenario::What;
use anyfront::snapshot::Target;

fn drain(target: Target) -> What {
    What::Drain { target, is_hard: true }
}

#[test]
fn a_region_that_is_switched_off_and_on_under_load_costs_nobody_anything() {
    let played = Story::of(6).during(120.0..240.0, drain(Target::Region(label("lhr")))).play();
    assert_all_served(&played, 60.0..350.0);
    assert!(played.served_by(60.0..115.0).contains_key("lhr"));
    assert!(!played.served_by(125.0..235.0).contains_key("lhr"), "{:?}", played.served_by(125.0..235.0));
    assert!(played.served_by(250.0..350.0).contains_key("lhr"), "and nothing has to recover");
}

#[test]
fn switching_everything_off_is_obeyed_and_said_honestly_and_switching_it_on_brings_all_back() {
    let story = ["aws", "gcp", "azure"]
        .into_iter()
        .fold(Story::of(5), |story, provider| story.during(120.0..180.0, drain(Target::Provider(label(provider)))));
    let played = story.play();
    assert_all_served(&played, 60.0..110.0);
    let off = played.wished(125.0..170.0).filter(|told| told.tries == 1);
    let outcomes: Vec<Outcome> = off.map(|told| told.outcome).collect();
    assert!(outcomes.len() > 50 && outcomes.iter().all(|one| *one == Outcome::Unanswered(503)), "{outcomes:?}");
    assert!(!played.attempts.iter().any(|(at, ..)| (125.0..178.0).contains(at)), "no drained region is asked");
    assert_all_served(&played, 185.0..290.0);
}
