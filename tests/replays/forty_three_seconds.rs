//! GitHub, 21 October 2018: 43 seconds without a link moved the primary across the country; moving it back took a day.
//!
//! For 43 seconds Washington does not reach the regions of the United States. It goes round them and comes back, once each way;
//! what moved is requests, so there is nothing to repair.

use super::story::{Story, assert_all_served, regions, sites};
use anyfront::health::Standing;
use anyfront::sim::scenario::{Direction, What};

#[test]
fn a_partition_of_43_seconds_moves_traffic_there_and_back_once() {
    let american = ["orf", "sfo", "dfw"];
    let cut = What::Cut { sites: sites(&["iad-1"]), whom: regions(&american), direction: Direction::Both };
    let played = Story::of(6).asking(&["us", ""]).from(&[("New York", 1)]).during(120.0..163.0, cut).play();
    let during = played.served_by(125.0..160.0);
    assert_eq!(during.keys().copied().collect::<Vec<_>>(), ["yyz"], "{during:?}");
    assert!(played.unserved(125.0..350.0).is_empty());
    for region in american {
        let minds = played.minds_about(region);
        let left = minds.iter().filter(|mind| mind.standing == Standing::Down).count();
        assert_eq!(left, 1, "{region}: {minds:?}");
        assert!(minds.iter().all(|mind| mind.node == 1), "only Washington minds: {minds:?}");
        assert_eq!(minds.last().map(|mind| mind.standing), Some(Standing::Up), "{region}");
    }
    assert_all_served(&played, 170.0..350.0);
}
