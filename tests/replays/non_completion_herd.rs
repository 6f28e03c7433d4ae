//! Canva, 12 November 2024: requests did not fail, they did not end; 270,000 clients waited and were let go at once.
//!
//! A region that gets slow collects what it does not finish. It collects no more than the file lets it have at once; the rest
//! goes on elsewhere, and nobody is let go in a herd.

use super::story::{Story, regions};
use anyfront::sim::scenario::{Program, What};
use http::Method;
use std::time::Duration;

#[test]
fn a_region_that_does_not_finish_collects_what_it_may_have_and_the_rest_goes_on() {
    let story = Story::of(6).clients(200, 15.0).from(&[("London", 1)]).asking(&["eu"]).with_slots(30);
    let story = story.for_work(Method::POST, "/v1/embeddings", Duration::from_millis(300)).who_use(Program::Curl);
    let played = story.during(90.0..180.0, What::Slow(regions(&["lhr"]), 30.0)).play();
    let during: Vec<f64> = played.wished(92.0..175.0).map(|told| told.took).collect();
    let quick = during.iter().filter(|took| **took < 2.0).count() as f64 / during.len() as f64;
    assert!(quick > 0.9, "{quick} of {} hardly noticed", during.len());
    assert_eq!(played.unserved(60.0..340.0).len(), 0);
    let served = played.served_by(250.0..340.0);
    let elsewhere = served.iter().filter(|(region, _)| **region != "lhr").map(|(_, count)| count).sum::<usize>();
    assert!(elsewhere * 100 < served["lhr"], "all is as it was before: {served:?}");
}

#[test]
fn an_impatient_client_of_a_slow_region_is_served_by_another_in_time() {
    let mut story = Story::of(4).clients(10, 3.0).from(&[("London", 1)]).asking(&["eu"]).who_use(Program::Curl);
    story = story.for_work(Method::GET, "/v1/models", Duration::from_millis(300));
    story.scenario.crowd.work[0].0.patience = Some(Duration::from_secs(3));
    let played = story.during(90.0..200.0, What::Slow(regions(&["lhr"]), 30.0)).play();
    assert!(played.served_share(91.0..195.0) > 0.75, "{}", played.served_share(91.0..195.0));
    let served = played.wished(91.0..195.0).filter(|told| told.outcome.is_served());
    assert!(served.filter(|told| told.took > 3.0).count() == 0, "nobody waits longer than it wanted");
}
