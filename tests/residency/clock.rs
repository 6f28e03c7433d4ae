//! The ledger, whatever the clocks do: what is watched is never overstated, and no count is lost.

use crate::common;
use anyfront::geo::place::Country;
use anyfront::names::{Hostname, Label};
use anyfront::residency::day::Day;
use anyfront::residency::ledger::{DAYS_MAX, Ledger, Page, SPANS_MAX, Span};
use anyfront::residency::summary::{Origin, Summary};
use anyfront::residency::tally::{Counts, Line, Tally};
use anyfront::topology::RegionIndex;
use std::sync::Arc;
use std::time::Duration;

const MIDNIGHT: u64 = 1_795_824_000; // 2026-11-28

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(MIDNIGHT as f64 + seconds)
}

fn day(wall: Duration) -> Day {
    Day::of(wall)
}

fn line(wall: Duration, answers: u64) -> Line {
    Line {
        day: day(wall),
        hostname: Hostname::parse("eu.gw.test").expect("a name"),
        fence: vec!["EU".into()],
        region: Some(Label::parse("mad").expect("a name")),
        country: Country::parse("ES"),
        counts: Counts { sent: answers, answers, refused: 0 },
    }
}

fn looks(ledger: &mut Ledger, times: impl IntoIterator<Item = f64>) {
    times.into_iter().for_each(|seconds| ledger.look(at(seconds)));
}

fn spans(ledger: &Ledger, wall: Duration) -> Vec<(i64, i64)> {
    let from_midnight = |seconds: u64| seconds as i64 - MIDNIGHT as i64;
    let spans = ledger.days.get(&day(wall)).map(|page| page.spans()).unwrap_or_default();
    spans.iter().map(|Span { from, until }| (from_midnight(*from), from_midnight(*until))).collect()
}

fn answers(ledger: &Ledger, wall: Duration) -> u64 {
    let page = ledger.days.get(&day(wall)).cloned().unwrap_or_default();
    page.hostnames.values().flat_map(|kept| &kept.processed).map(|one| one.answers).sum()
}

#[test]
fn only_whole_seconds_that_were_seen_count_as_watched() {
    let mut ledger = Ledger::default();
    looks(&mut ledger, [100.3, 101.3, 102.2, 105.2, 108.3, 109.9]);
    // From 100.3: 101 is the first whole second. 105.2 is near enough, 108.3 is not.
    assert_eq!(
        spans(&ledger, at(100.0)),
        [(101, 105), (109, 109)].into_iter().filter(|(a, b)| a < b).collect::<Vec<_>>()
    );
    looks(&mut ledger, [111.0]);
    assert_eq!(spans(&ledger, at(100.0)), [(101, 105), (109, 111)]);
}

#[test]
fn a_new_start_begins_a_span_of_its_own() {
    let mut ledger = Ledger::default();
    looks(&mut ledger, [10.0, 11.0, 12.0]);
    let text = serde_json::to_string(&ledger).expect("JSON");
    let mut ledger: Ledger = serde_json::from_str(&text).expect("it is as it was");
    looks(&mut ledger, [12.5, 13.5, 14.5]);
    assert_eq!(spans(&ledger, at(0.0)), [(10, 12), (13, 14)], "nobody was there for half a second");
}

#[test]
fn midnight_is_no_gap() {
    let mut ledger = Ledger::default();
    looks(&mut ledger, [-2.5, -1.5, -0.5, 0.5, 1.5]);
    assert_eq!(spans(&ledger, at(-1.0)), [(-2, 0)]);
    assert_eq!(spans(&ledger, at(1.0)), [(0, 1)]);
}

#[test]
fn a_clock_that_jumps_over_midnight_and_back_finds_both_days_as_it_left_them() {
    let mut ledger = Ledger::default();
    let before = at(-3_600.0);
    looks(&mut ledger, [-3_600.0, -3_599.0, -3_598.0]);
    ledger.add(before, &line(before, 5));
    assert!(ledger.unsummed(before).is_empty(), "the day is not over");
    // Two hours ahead: the day is over, and is summed up.
    let ahead = at(3_600.0);
    looks(&mut ledger, [3_600.0, 3_601.0]);
    ledger.add(ahead, &line(ahead, 2));
    assert_eq!(ledger.unsummed(ahead), [day(before)]);
    let page = Arc::clone(&ledger.days[&day(before)]);
    ledger.summed(day(before), &page);
    assert!(ledger.unsummed(ahead).is_empty());
    // And back: it goes on, overlapping itself, and must be summed up again.
    looks(&mut ledger, [-3_599.5, -3_598.5, -3_597.5]);
    ledger.add(before, &line(before, 1));
    assert_eq!((answers(&ledger, before), answers(&ledger, ahead)), (6, 2));
    assert_eq!(spans(&ledger, before), [(-3_600, -3_598)], "no second counts twice, and none that nobody saw");
    assert_eq!(ledger.unsummed(ahead), [day(before)]);
    // A page that changed while its summaries were written is not done.
    let page = Arc::clone(&ledger.days[&day(before)]);
    ledger.add(before, &line(before, 1));
    ledger.summed(day(before), &page);
    assert_eq!(ledger.unsummed(ahead), [day(before)]);
    let first = summary(&page, at(-10.0));
    let last = summary(&ledger.days[&day(before)], ahead);
    assert!(last.contains(&first) && !first.contains(&last));
    assert_eq!((first.agrees(), last.agrees()), (Ok(()), Ok(())));
}

fn summary(page: &Page, wall: Duration) -> Summary {
    let (name, kept) = page.hostnames.iter().next().expect("a hostname");
    Summary::of(Origin { fleet: "f", vantage: "v" }, day(at(-1.0)), page, (name.as_str(), kept), wall)
}

#[test]
fn a_clock_that_is_far_off_costs_at_most_the_oldest_day() {
    let mut ledger = Ledger::default();
    let days = DAYS_MAX as u64;
    for back in (0..days).rev() {
        let wall = Duration::from_secs(MIDNIGHT - back * 86_400 + 60);
        ledger.look(wall);
        ledger.add(wall, &line(wall, 1));
    }
    assert_eq!(ledger.days.len(), DAYS_MAX);
    for wild in [Duration::ZERO, Duration::from_secs(4_102_444_800), Duration::from_secs(u64::from(u32::MAX) * 86_400)]
    {
        ledger.look(wild);
        ledger.look(wild + Duration::from_secs(1));
    }
    assert_eq!(ledger.days.len(), DAYS_MAX);
    assert_eq!(answers(&ledger, at(60.0)), 1, "today is there");
    let kept = (0..days).filter(|back| answers(&ledger, Duration::from_secs(MIDNIGHT - back * 86_400)) == 1).count();
    assert_eq!(kept, DAYS_MAX - 3);
}

#[test]
fn a_node_that_starts_all_the_time_understates_what_it_has_watched() {
    let mut ledger = Ledger::default();
    for start in 0..SPANS_MAX as u64 + 50 {
        ledger.look(at(start as f64 * 10.0));
        ledger.look(at(start as f64 * 10.0 + 1.0));
        ledger.look(at(start as f64 * 10.0 + 2.0));
    }
    let spans = spans(&ledger, at(0.0));
    assert_eq!(spans.len(), SPANS_MAX);
    assert!(spans.iter().all(|(from, until)| until - from == 2));
}

#[test]
fn a_ledger_from_strange_hands_is_pruned_all_the_same() {
    let days: Vec<String> = (1..=28)
        .map(|day| format!("\"2026-10-{day:02}\":{{\"watched\":[],\"hostnames\":{{}},\"is_summed\":true}}"))
        .collect();
    let text = format!("{{\"days\":{{{}}},\"order\":[]}}", days.join(","));
    let mut ledger: Ledger = serde_json::from_str(&text).expect("it is one");
    for number in 0..100 {
        ledger.look(Duration::from_secs(MIDNIGHT + number * 86_400));
    }
    assert_eq!(ledger.days.len(), DAYS_MAX);
}

#[test]
fn what_no_node_has_written_is_not_gone_on_with() {
    let mut ledger = Ledger::default();
    looks(&mut ledger, [10.0, 11.0, 12.0]);
    ledger.add(at(12.0), &line(at(12.0), 5));
    let text = serde_json::to_string(&ledger).expect("JSON");
    assert_eq!(ledger.is_sound(), Ok(()));
    for length in 0..text.len() {
        assert!(serde_json::from_str::<Ledger>(&text[..length]).is_err(), "{length} octets of it");
    }
    let from = format!("\"from\":{}", MIDNIGHT + 10);
    assert!(text.contains(&from) && text.contains("\"answers\":5") && text.contains("\"refused\":0"), "{text}");
    for (good, bad) in [
        (from.as_str(), "\"from\":18446744073709551615"),
        (&from, "\"from\":0"),
        ("\"answers\":5", "\"answers\":18446744073709551615"),
        ("\"refused\":0", "\"refused\":18446744073709551615"),
    ] {
        let strange: Ledger = serde_json::from_str(&text.replace(good, bad)).expect("it is one");
        assert!(strange.is_sound().is_err(), "{bad}");
    }
    for bad in ["\"answers\":-1", "\"answers\":1e3", "\"answers\":\"5\"", "\"answers\":null", "\"x\":5"] {
        assert!(serde_json::from_str::<Ledger>(&text.replace("\"answers\":5", bad)).is_err(), "{bad}");
    }
}

const FILE: &str = r#"
[fleet]
name = "f"
zone = "gw.test"
[[site]]
name = "here"
latitude = 1
longitude = 1
[[region]]
name = "lhr"
provider = "p"
country = "GB"
latitude = 1
longitude = 1
endpoints = ["http://192.0.2.1"]
[[region]]
name = "mad"
provider = "p"
country = "ES"
latitude = 1
longitude = 1
endpoints = ["http://192.0.2.2"]
[[hostname]]
name = "eu.gw.test"
regions = ["lhr", "mad"]
residency = ["EU"]
"#;

#[test]
fn what_is_passed_on_from_outside_is_a_violation_whatever_steering_thinks() {
    let topology = Arc::new(common::topology(FILE));
    let hostname = Hostname::parse("eu.gw.test").expect("a name");
    let region = |name: &str| topology.region_named(name).expect("it is there");
    let tally = Tally::default();
    let (before, after) = (at(-0.001), at(0.0));
    tally.sent(before, &topology, &hostname, region("lhr"));
    tally.answered(after, &topology, &hostname, region("lhr"));
    tally.sent(after, &topology, &hostname, region("mad"));
    tally.answered(after, &topology, &hostname, region("mad"));
    tally.refused(after, &topology, &hostname);
    tally.sent(after, &topology, &Hostname::parse("lhr.gw.test").expect("a name"), RegionIndex(0));
    let mut ledger = Ledger::default();
    for line in tally.take() {
        ledger.add(after, &line);
    }
    assert!(tally.take().is_empty());
    let kept = |wall| ledger.days[&day(wall)].hostnames["eu.gw.test"].clone();
    let outside = |wall| kept(wall).processed.iter().map(|one| (one.region.clone(), one.outside)).collect::<Vec<_>>();
    assert_eq!(outside(before), [("lhr".to_owned(), 1)], "sent on one day");
    assert_eq!(outside(after), [("lhr".to_owned(), 1), ("mad".to_owned(), 0)], "answered on the next");
    assert_eq!((kept(before).refused, kept(after).refused), (0, 1));
    let own = &ledger.days[&day(after)].hostnames["lhr.gw.test"];
    assert_eq!(own.processed[0].outside, 0, "its own name has no fence");
}

#[test]
fn a_fence_that_is_moved_during_the_day_is_told_with_its_time() {
    let mut ledger = Ledger::default();
    let topology = common::topology(FILE);
    ledger.follow(at(10.0), &topology);
    ledger.follow(at(20.0), &topology);
    ledger.follow(at(30.0), &common::topology(&FILE.replace("[\"EU\"]", "[\"EU\", \"GB\"]")));
    ledger.follow(at(40.0), &common::topology(&FILE.replace("residency = [\"EU\"]", "")));
    let fences = &ledger.days[&day(at(0.0))].hostnames["eu.gw.test"].fences;
    let told: Vec<(u64, usize)> = fences.iter().map(|fence| (fence.from - MIDNIGHT, fence.written.len())).collect();
    assert_eq!(told, [(10, 1), (30, 2), (40, 0)]);
}
