//! Gray failure, the common shape of Google, 16 November 2021, and of many others: everything that watches says it is well,
//! and requests fail.
//!
//! Live traffic is a witness of its own: a region whose probes pass and whose requests fail loses its traffic.

use super::story::{Story, regions};
use anyfront::health::Standing;
use anyfront::sim::scenario::What;

#[test]
fn a_region_that_passes_every_probe_and_fails_every_request_loses_its_traffic() {
    let story = Story::of(6).clients(200, 30.0).from(&[("London", 1), ("Paris", 1)]).asking(&["eu"]);
    let played = story.during(120.0..240.0, What::ProbesLie(regions(&["lhr"]))).play();
    let out = played.out_after(0, "lhr", 120.0);
    assert!(out.is_some_and(|after| after < 10.0), "{out:?}");
    let of_lhr = played.failed_probes.iter().filter(|(_, _, region, _)| region == "lhr").count();
    assert!(of_lhr <= 2, "no probe found anything; one may be lost on its way: {of_lhr}");
    // What is tried again and again in between is little, and less each time.
    let share = played.served_share(135.0..240.0);
    assert!(share > 0.9, "{share}");
    let minds = played.minds_about("lhr");
    assert!(minds.iter().all(|mind| mind.standing != Standing::Down), "{minds:?}");
}
