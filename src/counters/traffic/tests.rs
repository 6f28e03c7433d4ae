//! What is counted together, and how much of it.

use super::*;
use crate::counters::record::Decided;
use crate::counters::records::{Records, Seal};
use http::{HeaderValue, Method, Version};

fn record(status: u16, outcome: Outcome) -> Record {
    Record {
        id: Records::new(0, &Arc::new(Seal::random()), &Arc::default(), Vec::new()).next(),
        began: Moment::ZERO,
        elapsed: Some(Duration::from_millis(12)),
        lasted: Duration::from_millis(20),
        outcome,
        reason: None,
        hostname: None,
        class: None,
        prefix: "203.0.113.0/24".parse().expect("a network"),
        client: None,
        method: Method::GET,
        path: None,
        version: Version::HTTP_11,
        request_id: HeaderValue::from_static("r"),
        link: None,
        trace: None,
        decided: Decided::default(),
        has_residency: false,
        region: None,
        endpoint: None,
        wish: None,
        status,
        attempts: 1,
        failed: Vec::new(),
        first_byte: Some(Duration::from_millis(11)),
        gap: None,
        octets_up: 3,
        octets_down: 7,
    }
}

fn hostname(name: &str) -> Hostname {
    Hostname::parse(name).expect("a name")
}

fn label(name: &str) -> Label {
    Label::parse(name).expect("a name")
}

fn at(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(seconds))
}

#[test]
fn workers_are_counted_together_and_failures_are_what_clients_suffered() {
    let [one, other] = [Tables::default(), Tables::default()];
    let (us, orf, class) = (hostname("us.test"), label("orf"), Arc::from("/v1/"));
    let country = Country::parse("US");
    for (tables, status, outcome) in [
        (&one, 200, Outcome::Complete),
        (&one, 503, Outcome::Complete),
        (&other, 404, Outcome::Complete),
        (&other, 200, Outcome::Cut),
        (&other, 200, Outcome::ClientGone),
        (&other, 0, Outcome::ClientGone),
    ] {
        let place = tables.place(&us, Some(&orf), &class, country, at(1));
        tables.count(Some(&place), &record(status, outcome), at(1));
    }
    let together = Together(vec![&one, &other]);
    let [traffic] = &together.traffic()[..] else { panic!("one of them") };
    assert_eq!((traffic.statuses, traffic.failures, traffic.requests()), ([1, 0, 3, 0, 1, 1], 2, 6));
    assert_eq!((traffic.octets_up, traffic.octets_down, traffic.first_byte.count()), (18, 42, 6));
    assert_eq!((together.added().count(), together.added().nanos), (6, 6_000_000));
    let outcomes: Vec<_> = together.outcomes().into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(outcomes, [(Outcome::Complete, 3), (Outcome::Cut, 1), (Outcome::ClientGone, 2)]);
}

#[test]
fn what_goes_past_the_bound_is_counted_as_one() {
    let tables = Tables::default();
    let class = Arc::from("*");
    for at in 0..TRAFFIC_CELLS_MAX + 2 {
        let place = tables.place(&hostname(&format!("h{at}.test")), None, &class, None, Moment::ZERO);
        tables.count(Some(&place), &record(503, Outcome::Unserved), Moment::ZERO);
    }
    let traffic = Together(vec![&tables]).traffic();
    assert_eq!(traffic.len(), TRAFFIC_CELLS_MAX + 1);
    let rest = traffic.iter().find(|traffic| traffic.hostname.is_none()).expect("the rest");
    assert_eq!((rest.requests(), rest.failures), (2, 2));
}

#[test]
fn a_flow_is_forgotten_after_a_minute_and_makes_room() {
    let tables = Tables::default();
    let (us, class) = (hostname("us.test"), Arc::from("*"));
    let go = |region: &str, now| {
        let place = tables.place(&us, Some(&label(region)), &class, Country::parse("US"), now);
        tables.count(Some(&place), &record(200, Outcome::Complete), now);
    };
    let flows = |now| Together(vec![&tables]).flows(now);
    go("orf", at(1));
    go("orf", at(30));
    let key = (Country::parse("US"), label("orf"));
    assert_eq!(flows(at(30)).get(&key), Some(&2));
    assert_eq!(flows(at(65)).get(&key), Some(&1));
    assert_eq!(flows(at(95)), BTreeMap::new());
    for number in 1..FLOWS_MAX {
        go(&format!("r{number}"), at(100));
    }
    go("late", at(100));
    assert_eq!(flows(at(100)).len(), FLOWS_MAX, "the one that is over has made room");
    go("later", at(101));
    assert_eq!(flows(at(101)).len(), FLOWS_MAX, "one more than there is room for is not shown");
}
