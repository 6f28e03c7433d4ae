//! Google, 21 September 2023, and many rollouts: the canary was green, and everything was wrong all the same. So this one looks
//! at a day without an outage.

use super::story::{Story, assert_all_served};

#[test]
fn everybody_is_served_at_once_by_the_nearest_primary() {
    let cities = [("London", 1), ("Stockholm", 1), ("Sydney", 1), ("Singapore", 1), ("Mumbai", 1), ("Cape Town", 1)];
    let played = Story::of(5).from(&cities).play();
    assert_all_served(&played, 5.0..290.0);
    assert!(played.amplification(5.0..290.0) < 1.001, "one attempt for each");
    let nearest = |host: &str, city: &str| match (host, city) {
        ("eu", "London") | ("", "London") => "lhr",
        ("eu" | "", "Stockholm") => "gvx",
        ("", "Singapore") => "sin",
        ("", "Mumbai") => "bom",
        ("", "Cape Town") => "cpt",
        _ => "",
    };
    for told in played.wished(5.0..290.0) {
        let expected = nearest(&told.host, told.city);
        assert!(expected.is_empty() || told.region == expected, "{told:?}");
        let primaries: &[&str] = match &*told.host {
            "us" => &["orf", "sfo", "dfw"],
            "eu" => &["lhr", "mad", "gvx"],
            "au" => &["syd", "mel"],
            _ => continue,
        };
        assert!(primaries.contains(&&*told.region), "a fallback served it: {told:?}");
    }
    let slow = played.wished(5.0..290.0).filter(|told| told.took > 5.0).count();
    assert!(slow * 100 < played.told.len(), "{slow} of {} waited", played.told.len());
    assert_eq!(played.minds_changed().len(), 0);
}
