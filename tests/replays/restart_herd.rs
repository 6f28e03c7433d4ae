//! Google Cloud, 12 June 2025: a blank field crashed everything at once; when it was mended, all that came back at the same
//! time kept the largest region down for hours more.
//!
//! When an outage of everything ends, all who waited ask at once; what is served is back to normal within seconds.

use super::story::{Story, assert_all_served};
use anyfront::sim::scenario::{What, Whom};
use http::Method;
use std::time::Duration;

#[test]
fn a_herd_after_an_outage_of_everything_is_served_within_seconds() {
    let story = Story::of(6).with_slots(60).clients(200, 30.0);
    let story = story.for_work(Method::POST, "/v1/embeddings", Duration::from_millis(150));
    // Refused for a minute; all that is asked in its last ten seconds waits, and asks in the moment in which it ends.
    let played = story.during(90.0..150.0, What::Refuse(Whom::All)).during(140.0..150.0, What::Herd).play();
    assert!(played.served_share(92.0..138.0) < 0.2, "it was gone");
    let after = played.served_share(149.9..151.0);
    assert!(after > 0.9, "the herd itself: {after}");
    assert!(played.served_share(155.0..160.0) >= 0.99, "{}", played.served_share(155.0..160.0));
    assert_all_served(&played, 160.0..350.0);
    assert!(played.amplification(150.0..160.0) < 1.2, "{}", played.amplification(150.0..160.0));
}
