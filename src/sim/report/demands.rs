//! What a scenario demands, held against what was found.

use super::super::scenario::Demands;
use super::words::{clock, count, milliseconds, percent, span};
use super::{Demand, Report, Service};
use crate::status::page::words::listed;
use std::time::Duration;

/// Everything demanded, in a fixed order. What matters to nobody is not there.
pub(super) fn judged(demands: &Demands, report: &Report) -> Vec<Demand> {
    let all = [
        demands.availability_percent.map(|least| availability(report, least)),
        demands.added_p99.map(|most| added(report, most)),
        demands.amplification.map(|most| amplification(report, most)),
        demands.move_time.map(|most| move_time(report, most)),
        demands.load_percent.map(|most| load(report, most)),
        demands.residency.then(|| residency(report)),
        demands.invariants.then(|| invariants(report)),
    ];
    all.into_iter().flatten().collect()
}

/// What is found where there is nothing to judge by.
pub(super) const NOT_MEASURED: &str = "not measured";

fn demand(name: &str, wanted: String, found: String, holds: bool, worst: String) -> Demand {
    Demand { name: name.to_owned(), wanted, found, holds, worst }
}

fn measured(found: Option<String>) -> String {
    found.unwrap_or_else(|| NOT_MEASURED.to_owned())
}

fn is_less(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY))
}

/// Of every hostname: one that nobody reaches must not hide behind the others.
fn availability(report: &Report, least: f64) -> Demand {
    let worst = report.hostnames.iter().min_by(|a, b| is_less(a.availability_percent, b.availability_percent));
    let found = worst.and_then(|service| service.availability_percent);
    demand(
        "availability_percent",
        format!("at least {}", percent(least)),
        measured(found.map(percent)),
        found.is_some_and(|found| found >= least),
        match worst.filter(|_| found.is_some()) {
            None => "no wish ended".to_owned(),
            Some(service) if service.failures() == 0 => String::new(),
            Some(service) => where_failed(report, service),
        },
    )
}

fn where_failed(report: &Report, service: &Service) -> String {
    let mut words = service.hostname.clone();
    if let Some(worst) = &service.worst {
        words += &format!(
            " at {} ({} of {} failed in {})",
            clock(&report.starts, worst.at_s as f64),
            count(worst.failed),
            count(worst.wishes),
            span(report.slot_s as f64)
        );
    }
    if let Some(place) = report.places.first().filter(|place| place.failed > 0) {
        words += &format!(", most in {}", place.name);
    }
    words
}

fn added(report: &Report, most: Duration) -> Demand {
    let highest = |a: &&Service, b: &&Service| is_less(a.added.p99_ms, b.added.p99_ms);
    let worst = report.hostnames.iter().filter(|service| service.added.p99_ms.is_some()).max_by(highest);
    let found = worst.and_then(|service| service.added.p99_ms);
    let at = worst.and_then(|service| {
        let slots = service.by_slot.added_p99_ms.iter().enumerate().filter_map(|(at, ms)| Some((at, (*ms)?)));
        slots.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    });
    demand(
        "added_p99",
        format!("at most {}", milliseconds(most.as_secs_f64() * 1_000.0)),
        measured(found.map(milliseconds)),
        found.is_none_or(|found| found <= most.as_secs_f64() * 1_000.0),
        worst.zip(at).map_or_else(
            || "nothing was served".to_owned(),
            |(service, (slot, ms))| {
                let at = clock(&report.starts, (slot as u64 * report.slot_s) as f64);
                format!("{}, highest at {at} ({})", service.hostname, milliseconds(ms))
            },
        ),
    )
}

fn amplification(report: &Report, most: f64) -> Demand {
    let of = &report.amplification;
    let found = of.worst_10s.or(of.attempts_per_request);
    let worst = found.and(of.worst_10s_until_s).map_or_else(String::new, |until| {
        format!("in the 10 s from {} after the begin", span(until.saturating_sub(10) as f64))
    });
    demand(
        "amplification",
        format!("at most {most} attempts for a request in any 10 s"),
        measured(found.map(|found| format!("{found:.3}"))),
        found.is_none_or(|found| found <= most),
        if found.is_some() { worst } else { "no attempt at a region".to_owned() },
    )
}

/// Of the faults that had to be left, and where there was something to leave.
fn move_time(report: &Report, most: Duration) -> Demand {
    let is_judged = |moved: &&super::Moved| moved.has_to && moved.was_used;
    let judged = report.faults.iter().filter_map(|fault| Some((fault, fault.moved.as_ref().filter(is_judged)?)));
    let judged: Vec<_> = judged.collect();
    let numbers: Vec<String> = judged.iter().map(|(fault, _)| fault.number.to_string()).collect();
    let which = match (judged.len(), report.faults.len()) {
        (some, all) if some == all => format!("{some} of {all} faults judged"),
        (some, all) => format!("{some} of {all} faults judged: {}", listed(&numbers)),
    };
    let time = |(_, moved): &(_, &super::Moved)| moved.last_attempt_ms.unwrap_or_default();
    let worst = judged.into_iter().max_by(|a, b| time(a).total_cmp(&time(b)));
    let found = worst.as_ref().map(time);
    demand(
        "move_time",
        format!("at most {}", milliseconds(most.as_secs_f64() * 1_000.0)),
        measured(found.map(milliseconds)),
        found.is_none_or(|found| found <= most.as_secs_f64() * 1_000.0),
        worst.map_or_else(
            || "no traffic had to leave a fault".to_owned(),
            |(fault, moved)| {
                let never = if moved.has_left { "" } else { ", never left" };
                let from = clock(&report.starts, fault.from_s);
                format!("fault {} ({}) from {from}{never}; {which}", fault.number, fault.title)
            },
        ),
    )
}

fn load(report: &Report, most: f64) -> Demand {
    let why_not = match report.amplification.attempts {
        0 => "no attempt at a region",
        _ => "no region has a known capacity",
    };
    let regions = report.regions.iter().filter(|_| report.amplification.attempts > 0);
    let known = regions.filter_map(|region| Some((region, region.load_percent?)));
    let worst = known.max_by(|a, b| a.1.total_cmp(&b.1));
    demand(
        "load_percent",
        format!("at most {most} %"),
        measured(worst.map(|(_, load)| format!("{load:.0} %"))),
        worst.is_none_or(|(_, load)| load <= most),
        worst.map_or_else(
            || why_not.to_owned(),
            |(region, _)| format!("{} at {}", region.name, clock(&report.starts, region.in_flight_most_at_s as f64)),
        ),
    )
}

fn residency(report: &Report) -> Demand {
    let residency = &report.residency;
    let has_fenced = residency.processed.iter().any(|of| of.fence.is_some());
    let without = if has_fenced { "" } else { "nothing of a hostname with a fence was processed" };
    demand(
        "residency",
        "nothing is processed outside of a fence".to_owned(),
        match residency.outside {
            0 if !has_fenced => NOT_MEASURED.to_owned(),
            0 => "nothing".to_owned(),
            outside => format!("{} requests", count(outside)),
        },
        residency.outside == 0,
        residency.first_outside.first().map_or_else(
            || without.to_owned(),
            |first| {
                let at = clock(&report.starts, first.at_s);
                format!("first {} in {} at {at}, for a client in {}", first.hostname, first.region, first.client)
            },
        ),
    )
}

fn invariants(report: &Report) -> Demand {
    let broken: Vec<_> = report.invariants.iter().filter(|invariant| invariant.broken > 0).collect();
    let found = match (report.invariants.is_empty(), broken.is_empty()) {
        (true, _) => NOT_MEASURED,
        (_, true) => "all hold",
        _ => "broken: ",
    };
    let names: Vec<String> = broken.iter().map(|invariant| invariant.name.clone()).collect();
    demand(
        "invariants",
        "all hold".to_owned(),
        format!("{found}{}", listed(&names)),
        broken.is_empty(),
        broken.first().and_then(|first| first.first.clone()).unwrap_or_default(),
    )
}
