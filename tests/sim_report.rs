//! WHAT A SIMULATION IS SAID TO HAVE COME TO: facts told by hand, and the figures that they make.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

mod common;

use anyfront::health::Standing;
use anyfront::moment::Moment;
use anyfront::sim::fact::{Fact, Outcome};
use anyfront::sim::report::{Report, tables, words};
use anyfront::sim::scenario::{Demands, Fault, What, Whom};
use common::simulated::{self, ANY, LON, MAN, PAR, Run, UK, lon_refuses, ms, scenario, seconds};
use std::time::Duration;

/// Twenty minutes in which `lon` refuses from 5:00 to 10:00. Every second a client asks: of London at `lon`, of Paris at
/// `par`. What goes to `lon` within the first two seconds of the outage fails over to `man`, but the first wish of all,
/// which is not safe to repeat; later nobody tries `lon`, and from 10:30 on it is tried again.
fn outage() -> Run {
    let mut run = Run::new(scenario(seconds(1_200), vec![lon_refuses(seconds(300), seconds(300))]));
    for node in 0..2 {
        for region in [LON, MAN, PAR] {
            run.stands(ms(500), node, region, Standing::Up);
        }
    }
    for second in 0..1_200 {
        let at = seconds(second) + ms(100);
        match second {
            300 => run.tell(seconds(300), &Fact::Begins(0)),
            302 => {
                run.stands(ms(301_200), 0, LON, Standing::Ejected);
                run.stands(ms(301_900), 1, LON, Standing::Down);
                run.stands(ms(301_950), 0, LON, Standing::Down);
            }
            600 => run.tell(seconds(600), &Fact::Ends(0)),
            630 => {
                run.stands(seconds(630), 0, LON, Standing::Up);
                run.stands(seconds(630), 1, LON, Standing::Up);
            }
            _ => {}
        }
        let client = u32::try_from(second % 10).expect("small");
        let route = if client < 2 { UK } else { ANY };
        let (regions, outcome): (&[_], _) = match (client, second) {
            (5.., _) => (&[PAR], Outcome::Served(PAR)),
            (_, 300) => (&[LON], Outcome::Unanswered(503)),
            (_, 301) => (&[LON, MAN], Outcome::Served(MAN)),
            (_, 302..630) => (&[MAN], Outcome::Served(MAN)),
            _ => (&[LON], Outcome::Served(LON)),
        };
        run.wish(at, client, route, regions, outcome);
    }
    run
}

#[test]
fn every_wish_is_counted_once_where_and_when_it_was_wished() {
    let report = outage().report();
    let total = &report.total;
    assert_eq!((total.wishes, total.served, total.open), (1_200, 1_199, 0));
    assert_eq!(total.failed.get("unanswered"), Some(&1));
    assert_eq!(total.availability_percent, Some(99.916), "rounded down: 100 % is all of them");
    assert_eq!(total.by_slot.failed.iter().sum::<u64>(), 1);
    assert_eq!(total.by_slot.failed[5], 1, "in the minute in which it was wished");
    let hostnames: Vec<_> =
        report.hostnames.iter().map(|of| (of.hostname.as_str(), of.wishes, of.failures())).collect();
    assert_eq!(hostnames, [("any.small.example", 960, 0), ("uk.small.example", 240, 1)]);
    let [london, paris] = report.places.as_slice() else { panic!("{:?}", report.places) };
    assert_eq!((london.name.as_str(), london.wishes, london.failed), ("London, GB", 600, 1));
    assert_eq!((paris.name.as_str(), paris.wishes, paris.failed), ("Paris, FR", 600, 0));
    let served: u64 = report.regions.iter().map(|region| region.served).sum();
    assert_eq!(served, 1_199);
    assert_eq!(report.regions[1].served_by_slot[..12], [0, 0, 0, 0, 0, 29, 30, 30, 30, 30, 15, 0]);
    assert_eq!(london.served_by.iter().map(|by| by.wishes).sum::<u64>(), 599);
}

#[test]
fn what_was_added_is_what_the_best_would_not_have_taken() {
    let report = outage().report();
    let added = &report.total.added;
    assert_eq!((added.count, added.p50_ms, added.longest_ms), (1_199, Some(0.0), Some(10.0)));
    assert_eq!(added.mean_ms, Some(0.008), "one wish in 1 199 took 10 ms more");
    assert_eq!(report.hostnames[0].by_slot.added_p99_ms[0], Some(0.0));
    assert_eq!(report.hostnames[1].by_slot.added_p99_ms[5], Some(10.0));
}

#[test]
fn a_fault_is_told_with_the_times_to_notice_to_move_and_to_return() {
    let report = outage().report();
    let [fault] = report.faults.as_slice() else { panic!("{:?}", report.faults) };
    assert_eq!((fault.title.as_str(), fault.from_s, fault.until_s), ("lon: connections refused", 300.0, Some(600.0)));
    assert_eq!((fault.wishes, fault.failed), (300, 1));
    let detected = fault.detected.as_ref().expect("nodes see it");
    assert_eq!((detected.could, detected.did), (2, 2));
    assert_eq!((detected.first_ms, detected.last_ms), (Some(1_200.0), Some(1_900.0)));
    let moved = fault.moved.as_ref().expect("it hits a region");
    assert_eq!((moved.attempts, moved.last_attempt_ms, moved.last_ended_ms), (2, Some(1_100.0), Some(1_110.0)));
    assert!(moved.has_to && moved.has_left);
    let returned = fault.returned.as_ref().expect("it ended");
    assert_eq!((returned.share_before_percent, returned.first_ms), (50.0, Some(30_100.0)));
    assert_eq!(returned.full_ms, Some(30_100.0), "a whole minute from then on has its share");
}

#[test]
fn a_run_without_faults_has_none_of_their_times() {
    let mut run = Run::new(scenario(seconds(60), Vec::new()));
    run.wish(seconds(1), 0, ANY, &[LON], Outcome::Served(LON));
    let report = run.report();
    assert!(report.faults.is_empty());
    assert!(report.failures().is_empty());
}

#[test]
fn a_fault_that_nobody_notices_and_nothing_leaves_is_told_so() {
    let mut run = Run::new(scenario(seconds(600), vec![lon_refuses(seconds(60), seconds(120))]));
    run.stands(ms(500), 0, LON, Standing::Up);
    run.tell(seconds(60), &Fact::Begins(0));
    for second in 60..180 {
        run.wish(seconds(second) + ms(1), 0, ANY, &[LON], Outcome::Failure(LON, 502));
    }
    run.tell(seconds(180), &Fact::Ends(0));
    run.scenario.demands = Demands { move_time: Some(seconds(5)), ..Demands::default() };
    let report = run.report();
    let fault = &report.faults[0];
    let (detected, moved) = (fault.detected.as_ref().expect("they could"), fault.moved.as_ref().expect("on a region"));
    assert_eq!((detected.could, detected.did, detected.last_ms), (2, 0, None));
    assert!(!moved.has_left && moved.attempts == 120, "{moved:?}");
    assert_eq!(fault.returned, None, "what never left cannot come back");
    let row = &tables::faults(&report).rows[0].cells;
    assert_eq!((row[5].as_str(), row[6].as_str()), ("never", tables::NOTHING));
    let [failure] = report.failures().try_into().expect("one");
    assert_eq!(
        failure,
        "move_time: 1 min 59 s, demanded is at most 5.00 s; fault 1 (lon: connections refused) from 09:01, never left; \
         1 of 1 faults judged"
    );
}

#[test]
fn attempts_of_those_who_have_no_other_region_are_told_apart() {
    let mut run = Run::new(scenario(seconds(600), vec![lon_refuses(seconds(60), seconds(120))]));
    run.tell(seconds(60), &Fact::Begins(0));
    // `lon`'s own name, which comes after the two written ones.
    let own = anyfront::topology::RouteIndex(2);
    assert!(run.topology.route(own).is_regional);
    run.wish(seconds(170), 0, own, &[LON], Outcome::Unanswered(503));
    run.tell(seconds(180), &Fact::Ends(0));
    let moved = run.report().faults[0].moved.clone().expect("on a region");
    assert_eq!((moved.attempts, moved.attempts_without_choice, moved.last_attempt_ms), (0, 1, None));
    assert!(moved.has_left);
}

#[test]
fn where_everything_is_broken_nothing_has_to_be_left() {
    let everything = Fault { what: What::Refuse(Whom::All), ..lon_refuses(seconds(60), seconds(120)) };
    let mut run = Run::new(scenario(seconds(600), vec![everything]));
    run.tell(seconds(60), &Fact::Begins(0));
    run.wish(seconds(170), 0, ANY, &[LON], Outcome::Unanswered(503));
    run.tell(seconds(180), &Fact::Ends(0));
    run.scenario.demands = Demands { move_time: Some(seconds(5)), ..Demands::default() };
    let report = run.report();
    let moved = report.faults[0].moved.as_ref().expect("on regions");
    assert!(!moved.has_to && moved.attempts_without_choice == 1, "{moved:?}");
    assert!(report.failures().is_empty(), "{:?}", report.failures());
    assert_eq!(report.demands[0].found, "not measured");
    assert_eq!(tables::demands(&report).rows[0].cells[3], tables::NOTHING, "it neither holds nor fails");
}

#[test]
fn where_nothing_was_tried_no_demand_has_a_figure() {
    let mut run = Run::new(scenario(seconds(600), vec![lon_refuses(seconds(60), seconds(120))]));
    run.tell(seconds(60), &Fact::Begins(0));
    for second in 60..120 {
        run.wish(seconds(second), 0, ANY, &[], Outcome::Unreached);
    }
    run.tell(seconds(180), &Fact::Ends(0));
    run.scenario.demands = Demands {
        availability_percent: Some(50.0),
        added_p99: Some(seconds(1)),
        amplification: Some(1.1),
        move_time: Some(seconds(5)),
        load_percent: Some(100.0),
        residency: true,
        invariants: true,
    };
    let report = run.report();
    let found: Vec<_> = report.demands.iter().map(|demand| (demand.found.as_str(), demand.holds)).collect();
    assert_eq!(found[0], ("0.00 %", false));
    assert!(found.len() == 7 && found[1..].iter().all(|found| *found == ("not measured", true)), "{found:?}");
}

#[test]
fn a_demand_to_move_names_the_faults_that_it_judged() {
    let refuses = |name: &str, at| {
        let whom = Whom::Regions(vec![anyfront::names::Label::parse(name).expect("a name")]);
        Fault { what: What::Refuse(whom), ..lon_refuses(seconds(at), seconds(60)) }
    };
    let everything = Fault { what: What::Refuse(Whom::All), ..lon_refuses(seconds(400), seconds(60)) };
    let mut run = Run::new(scenario(seconds(600), vec![refuses("lon", 60), refuses("man", 200), everything]));
    run.wish(seconds(59), 0, ANY, &[LON], Outcome::Served(LON));
    for (number, at) in [(0, 60), (1, 200), (2, 400)] {
        run.tell(seconds(at), &Fact::Begins(number));
        run.wish(seconds(at + 1), 0, ANY, &[if number == 0 { LON } else { PAR }], Outcome::Unanswered(503));
        run.tell(seconds(at + 60), &Fact::Ends(number));
    }
    run.scenario.demands = Demands { move_time: Some(seconds(5)), ..Demands::default() };
    let report = run.report();
    let demand = &report.demands[0];
    assert!(demand.holds && demand.found == "1.00 s", "{demand:?}");
    assert!(demand.worst.ends_with("; 1 of 3 faults judged: 1"), "{demand:?}");
    assert_eq!(tables::faults(&report).rows[1].cells[5], "unused");
}

#[test]
fn every_try_of_a_program_is_a_request_whether_a_node_hears_of_it_or_not() {
    let mut run = Run::new(scenario(seconds(60), Vec::new()));
    let mut request = simulated::request(Moment::at(seconds(1)), 0, ANY);
    let mut note = |at, fact, request: &_| run.tally.note(Moment::at(at), &fact, Some(request), None);
    note(seconds(1), Fact::Wishes(0), &request);
    note(seconds(1), Fact::Arrives(0, 0), &request);
    note(seconds(2), Fact::Ended(0, Outcome::Lost), &request);
    // The node is dead: nobody hears of the second try. The third dials a region itself.
    request.tries = 2;
    note(seconds(3), Fact::Ended(0, Outcome::Unreached), &request);
    request.tries = 3;
    note(seconds(4), Fact::Dials { request: 0, region: LON }, &request);
    note(seconds(5), Fact::Ended(0, Outcome::Unreached), &request);
    note(seconds(5), Fact::Finished(0, Outcome::Unreached), &request);
    // And one that goes on.
    request.tries = 1;
    note(seconds(6), Fact::Wishes(0), &request);
    note(seconds(6), Fact::Dials { request: 0, region: LON }, &request);
    let report = run.report();
    let of = &report.amplification;
    assert_eq!((of.wishes, of.requests, of.requests_open, of.attempts), (1, 4, 1, 2));
    assert_eq!(of.requests, of.requests_ended.values().sum::<u64>() + of.requests_open);
    assert_eq!(of.requests_per_wish, Some(2.0));
    assert_eq!((report.nodes[0].requests, report.total.wishes, report.total.open), (1, 1, 1));
    let lon = &report.regions[0];
    assert_eq!((lon.attempts, lon.served, lon.open, lon.in_flight_most), (2, 0, 1, 1));
    assert_eq!(lon.failures, [("unreached".to_owned(), 1)].into());
    assert_eq!(words::served(&report), "0.00 % of 1 wishes served; 1 more were open at the end.");
}

#[test]
fn whatever_does_not_end_well_is_a_regions_failure() {
    let mut run = Run::new(scenario(seconds(60), Vec::new()));
    run.wish(seconds(1), 0, ANY, &[LON, MAN], Outcome::Served(MAN));
    run.wish(seconds(2), 0, ANY, &[LON], Outcome::Failure(LON, 502));
    run.wish(seconds(3), 0, ANY, &[LON], Outcome::Cut(LON));
    run.wish(seconds(4), 0, ANY, &[LON], Outcome::Abandoned);
    run.wish(seconds(5), 0, ANY, &[LON], Outcome::Served(LON));
    let report = run.report();
    let lon = &report.regions[0];
    let failures: Vec<_> = lon.failures.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(failures, [("abandoned", 1), ("cut", 1), ("failure", 1), ("refused", 1)]);
    assert_eq!((lon.attempts, lon.served, lon.open), (5, 1, 0));
}

#[test]
fn load_is_the_most_under_way_at_once_against_a_capacity_that_shrinks_with_the_crowd() {
    let mut run = Run::new(scenario(seconds(120), Vec::new()));
    run.wish(seconds(1), 0, ANY, &[LON], Outcome::Served(LON));
    let request = |slot: u32| Fact::Tries {
        request: slot,
        node: 0,
        region: LON,
        endpoint: anyfront::topology::EndpointIndex(0),
        number: 1,
    };
    (0..15).for_each(|slot| run.tell(seconds(10), &request(slot)));
    (0..5).for_each(|slot| run.tell(seconds(20), &Fact::Ended(slot, Outcome::Served(LON))));
    (5..8).for_each(|slot| run.tell(seconds(70), &Fact::Ended(slot, Outcome::Served(LON))));
    let report = run.report();
    let lon = &report.regions[0];
    assert_eq!(
        (lon.capacity, lon.in_flight_most, lon.load_percent),
        (Some(10), 15, Some(150.0)),
        "40 for 4 clients each"
    );
    assert_eq!(lon.in_flight_by_slot, [15, 10], "what is under way when a minute begins is in it");
    assert_eq!(report.regions[1].load_percent, None);
}

#[test]
fn what_is_processed_outside_of_a_fence_is_counted_and_named() {
    let mut run = Run::new(scenario(seconds(60), Vec::new()));
    run.wish(seconds(1), 5, UK, &[MAN], Outcome::Served(MAN));
    run.wish(seconds(2), 5, ANY, &[PAR], Outcome::Served(PAR));
    run.wish(seconds(3), 5, UK, &[PAR], Outcome::Served(PAR));
    run.scenario.demands = Demands { residency: true, ..Demands::default() };
    let report = run.report();
    assert_eq!(report.residency.outside, 1);
    let rows: Vec<_> = report.residency.processed.iter().map(|of| (of.country.as_str(), of.is_outside)).collect();
    assert_eq!(rows, [("FR", false), ("FR", true), ("GB", false)]);
    let [failure] = report.failures().try_into().expect("one");
    assert!(failure.contains("uk.small.example in par at 09:00, for a client in Paris"), "{failure}");
}

#[test]
fn demands_say_which_hostname_is_worst_and_when() {
    let mut run = outage();
    run.scenario.demands = Demands {
        availability_percent: Some(99.9),
        added_p99: Some(Duration::from_millis(5)),
        amplification: Some(1.1),
        ..Demands::default()
    };
    let report = run.report();
    let failures = report.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(
        failures[0],
        "availability_percent: 99.583 %, demanded is at least 99.900 %; uk.small.example at 09:05 (1 of 12 failed in \
         1 min), most in London, GB"
    );
    assert_eq!(report.amplification.attempts, 1_201);
    assert_eq!((report.amplification.failed_over, report.failovers.len()), (1, 1));
}

#[test]
fn the_same_facts_make_the_same_report_and_json_brings_it_back() {
    let (one, other) = (outage().report(), outage().report());
    let text = one.to_json().expect("JSON");
    assert_eq!(text, other.to_json().expect("JSON"));
    let back: Report = serde_json::from_str(&text).expect("a report");
    assert_eq!(back.total, one.total);
    assert_eq!(back.nodes, one.nodes);
    assert!(!text.contains("\"run\""), "what no seed repeats is not there unless it is put in");
}

#[test]
fn rows_for_spreadsheets_add_up_to_the_report() {
    let mut run = outage();
    let report = run.report();
    let csv = anyfront::sim::report::rows::csv(&run.tally, &run.topology, run.scenario.starts);
    let mut sums = (0, 0);
    for row in csv.lines().skip(1) {
        let (_, numbers) = row.split_once("\",").expect("the place is quoted");
        let numbers: Vec<&str> = numbers.split(',').collect();
        sums.0 += numbers[1].parse::<u64>().expect("wishes");
        sums.1 += numbers[2].parse::<u64>().expect("failed");
    }
    assert_eq!(sums, (report.total.wishes, report.total.failures()));
    assert!(csv.contains("2026-11-30T09:05:00.000Z,uk.small.example,\"London, GB\",,1,1,"), "{csv}");
}
