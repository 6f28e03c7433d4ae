//! Cloudflare, November 2020: a switch that failed by halves; what was sent one way came, the other way it did not, and no
//! detector fired for hours.
//!
//! From one site, answers of one region do not come back. That site goes round the region; nobody else changes anything.

use super::story::{Story, regions, sites};
use anyfront::sim::scenario::{Direction, Program, What};

#[test]
fn a_way_that_works_one_way_moves_the_traffic_of_that_site_alone() {
    for direction in [Direction::Back, Direction::There] {
        let story = Story::of(6).who_use(Program::Curl).asking(&["", "eu"]).from(&[("London", 2), ("Washington", 1)]);
        let cut = What::Cut { sites: sites(&["lon-1"]), whom: regions(&["lhr"]), direction };
        let played = story.during(120.0..240.0, cut).play();
        let out = played.out_after(0, "lhr", 120.0);
        assert!(out.is_some_and(|after| after < 4.0), "{direction:?}: {out:?}");
        assert_eq!(played.out_after(1, "lhr", 120.0), None, "{direction:?}: Washington sees nothing");
        let from_london = played
            .attempts
            .iter()
            .filter(|(at, node, region)| (125.0..238.0).contains(at) && *node == 0 && region == "lhr");
        assert_eq!(from_london.count(), 0, "{direction:?}");
        assert_eq!(played.unserved(125.0..235.0).len(), 0, "{direction:?}");
    }
}

#[test]
fn a_way_that_loses_three_in_ten_packets_one_way_is_left_within_seconds() {
    let whom = regions(&["lhr"]);
    let loss = What::Loss { sites: sites(&["lon-1"]), whom, direction: Direction::There, share: 0.3 };
    let played = Story::of(5).from(&[("London", 1)]).during(90.0..240.0, loss).play();
    let out = played.out_after(0, "lhr", 90.0);
    assert!(out.is_some_and(|after| after < 30.0), "{out:?}");
    assert!(played.out_after(1, "lhr", 90.0).is_none());
}
