//! Cloudflare BYOIP, 20 February 2026: an empty value was read as "all", and a quarter of all prefixes was withdrawn.
//! Google, 21 September 2023: after a change of leader, configurations were overwritten with nothing.
//!
//! Nothing is no configuration: a list that is empty is a mistake at its line, and a missing one is never "all".

use super::common;
use super::story::{Story, assert_all_served};
use anyfront::sim::scenario::What;
use anyfront::topology::check::check;
use std::path::Path;

#[test]
fn a_file_that_has_lost_what_it_is_about_is_refused() {
    let file = common::real_fleet();
    let from = |mark: &str| file.find(mark).unwrap_or_else(|| panic!("the file has {mark}"));
    let without_regions = format!("{}{}", &file[..from("[[region]]")], &file[from("[[hostname]]")..]);
    let without_sites = format!("{}{}", &file[..from("[[site]]")], &file[from("[probe]")..]);
    for (what, text) in [
        ("nothing at all", String::new()),
        ("only spaces", " \n\n".to_owned()),
        ("no regions", without_regions),
        ("no sites", without_sites),
        ("an empty selector", file.replace("regions = [\"*\"]", "regions = []")),
        ("no selector", file.replace("regions = [\"*\"]", "")),
        ("an empty fallback", file.replace("fallback = [\"yyz\"]", "fallback = [\"\"]")),
        (
            "a region without endpoints",
            file.replace("endpoints = [\"https://orf.gateway.truefoundry.ai\"]", "endpoints = []"),
        ),
    ] {
        assert!(text != file, "{what}: the file has changed");
        assert!(check(&text, Path::new("regions.toml")).is_err(), "{what} is taken for a configuration");
    }
}

#[test]
fn an_empty_file_after_a_silence_of_the_channel_changes_nothing() {
    let story = Story::of(5).during(90.0..150.0, What::ChannelGone(Vec::new())).since(120.0, What::BadRollout);
    let played = story.play();
    assert_all_served(&played, 60.0..290.0);
    assert_eq!(played.refused.len(), 3, "all hear it late, and refuse it: {:?}", played.refused);
    assert!(played.refused.iter().all(|(at, _)| *at > 150.0));
    assert_eq!(played.minds_changed().len(), 0);
}
