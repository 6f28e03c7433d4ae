//! Names of decisions, and what is remembered of how many.

use super::*;
use crate::counters::record::{Decided, Outcome};
use http::{HeaderValue, Method, Version};
use std::collections::HashSet;
use std::time::Duration;

fn records(worker: usize, listeners: Vec<Listener>) -> Records {
    Records::new(worker, &Arc::new(Seal::random()), &Arc::default(), listeners)
}

fn record(id: DecisionId) -> Record {
    Record {
        id,
        began: crate::moment::Moment::ZERO,
        elapsed: None,
        lasted: Duration::ZERO,
        outcome: Outcome::UnderWay,
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
        status: 0,
        attempts: 0,
        failed: Vec::new(),
        first_byte: None,
        gap: None,
        octets_up: 0,
        octets_down: 0,
    }
}

#[test]
fn a_name_is_sixteen_digits_that_are_read_back_and_tell_no_order() {
    let records = records(3, Vec::new());
    let names: Vec<DecisionId> = (0..1_000).map(|_| records.next()).collect();
    for name in &names {
        let text = name.to_string();
        assert_eq!((text.as_bytes(), DecisionId::parse(&text)), (&name.digits()[..], Some(*name)));
    }
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    let rises = names.windows(2).filter(|two| two[0].to_string() < two[1].to_string()).count();
    assert!((300..700).contains(&rises), "{rises} of a thousand names follow each other");
    for bad in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "+123456789abcdef"] {
        assert_eq!(DecisionId::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn digits_are_those_that_others_write() {
    for number in [0, 1, 9, 10, 15, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
        assert_eq!(hexadecimal(number), *format!("{number:016x}").as_bytes());
    }
}

#[test]
fn so_many_are_remembered_and_no_more_each_under_its_own_name() {
    let records = records(1_023, Vec::new());
    let names: Vec<DecisionId> = (0..=DECISIONS_MAX).map(|_| records.next()).collect();
    names.iter().for_each(|name| records.finish(record(*name)));
    assert!(records.find(names[0]).is_none(), "one more than fit");
    assert!(names[1..].iter().all(|name| records.find(*name).is_some_and(|found| found.id == *name)));
    assert_eq!(records.newest(usize::MAX).len(), DECISIONS_MAX);
    assert_eq!(records.newest(1)[0].id, names[DECISIONS_MAX]);
    // One that took so long that its place is another's.
    records.finish(record(names[0]));
    assert!(records.find(names[0]).is_none() && records.find(names[DECISIONS_MAX]).is_some());
}

#[test]
fn nonsense_has_nothing_else_forgotten() {
    let records = records(0, Vec::new());
    let name = records.next();
    records.finish(record(name));
    let refused: Vec<DecisionId> = (0..=10 * UNSTEERED_MAX).map(|_| records.next_unsteered()).collect();
    refused.iter().for_each(|name| records.finish(record(*name)));
    assert!(records.find(name).is_some());
    assert_eq!(refused.iter().filter(|name| records.find(**name).is_some()).count(), UNSTEERED_MAX);
}

#[test]
fn a_name_of_another_worker_or_run_means_nothing() {
    let seal = Arc::new(Seal::random());
    let [one, other] = [1, 2].map(|worker| Records::new(worker, &seal, &Arc::default(), Vec::new()));
    let name = one.next();
    one.finish(record(name));
    other.finish(record(other.next()));
    assert!(one.find(name).is_some() && other.find(name).is_none());
    let restarted = records(1, Vec::new());
    restarted.finish(record(restarted.next()));
    assert!(restarted.find(name).is_none());
}

#[test]
fn what_is_under_way_is_shown_and_told_only_when_it_has_ended() {
    let (sender, mut told) = mpsc::channel(1);
    let listener = Listener { sender, delivery: Arc::default() };
    let delivery = Arc::clone(&listener.delivery);
    let records = records(0, vec![listener]);
    let name = records.next();
    records.show(record(name));
    assert!(told.try_recv().is_err());
    assert_eq!(records.find(name).map(|found| found.outcome), Some(Outcome::UnderWay));
    records.finish(Record { outcome: Outcome::Complete, ..record(name) });
    assert_eq!(records.find(name).map(|found| found.outcome), Some(Outcome::Complete));
    records.finish(record(records.next()));
    assert_eq!(told.try_recv().map(|told| told.id), Ok(name));
    assert_eq!(delivery.missed.load(Relaxed), 1, "nobody waits for a listener");
}
