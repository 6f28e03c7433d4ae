//! How a report says things: faults, times, numbers.

use super::super::scenario::{Direction, What, Whom};
use super::Report;
use crate::names::Label;
use crate::snapshot::Target;
use crate::status::page::words::listed;
use std::time::Duration;

/// What a fault is, in a few words.
#[must_use]
pub fn fault(what: &What) -> String {
    match what {
        What::Refuse(whom) => format!("{}: connections refused", regions(whom)),
        What::BlackHole(whom) => format!("{}: black-holed", regions(whom)),
        What::Pause(whom) => format!("{}: paused", regions(whom)),
        What::Slow(whom, times) => format!("{}: {} times as slow", regions(whom), plain(*times)),
        What::Errors(whom, share, status) => format!("{}: {} answered with {status}", regions(whom), share_of(*share)),
        What::Unserved(whom) => format!("{}: requests turned away", regions(whom)),
        What::ProbesLie(whom) => format!("{}: requests fail with 500, probes pass", regions(whom)),
        What::ProbesFail(whom) => format!("{}: probes fail, requests are served", regions(whom)),
        What::Shrink(whom, share) => format!("{}: {} of the slots left", regions(whom), share_of(*share)),
        What::Flap { whom, up, down } => {
            format!("{}: flapping, {} up, {} down", regions(whom), span(up.as_secs_f64()), span(down.as_secs_f64()))
        }
        What::Loss { sites, whom, direction, share } => {
            format!("{}: {} of packets lost", way(sites, whom, *direction), share_of(*share))
        }
        What::Cut { sites, whom, direction } => format!("{}: cut", way(sites, whom, *direction)),
        What::Swizzle { sites, every } => {
            format!("{}: ways cut one by one, every {}", at(sites), span(every.as_secs_f64()))
        }
        What::Crash(sites) => format!("node {}: crashed", at(sites)),
        What::CrashLoop { sites, up, down } => {
            let (up, down) = (span(up.as_secs_f64()), span(down.as_secs_f64()));
            format!("node {}: crash loop, {up} up, {down} gone", at(sites))
        }
        What::Freeze(sites) => format!("node {}: stands still", at(sites)),
        What::Isolate(sites) => format!("site {}: cut off", at(sites)),
        What::SlowProber(sites, times) => format!("node {}: probes {} times as slow", at(sites), plain(*times)),
        What::BlindProber(sites) => format!("node {}: all probes fail", at(sites)),
        What::ClockStep(sites, seconds) => format!("node {}: wall clock off by {seconds} s", at(sites)),
        What::ClockDrift(sites, millionths) => format!("node {}: clock fast by {millionths} ppm", at(sites)),
        What::DiskLost(sites) => format!("node {}: disk lost", at(sites)),
        What::Drain { target, is_hard } => {
            format!("{}: {}", targeted(target), if *is_hard { "drained, hard" } else { "drained" })
        }
        What::Rollout(_) => "rollout of another configuration".to_owned(),
        What::BadRollout => "rollout of a configuration with a mistake".to_owned(),
        What::ChannelLate(sites, by) => {
            format!("operators’ words: up to {} late at {}", span(by.as_secs_f64()), at(sites))
        }
        What::ChannelGone(sites) => format!("operators’ words: none reach {}", at(sites)),
        What::ChannelTwice(sites) => format!("operators’ words: twice at {}", at(sites)),
        What::GeoShift(share) => format!("clients: {} taken to be elsewhere", share_of(*share)),
        What::Traffic(times) => format!("clients: {} times the traffic", plain(*times)),
        What::Herd => "clients: held back, then all at once".to_owned(),
    }
}

fn regions(whom: &Whom) -> String {
    match whom {
        Whom::Regions(regions) => names(regions),
        Whom::Provider(provider) => format!("all of {provider}"),
        Whom::All => "all regions".to_owned(),
    }
}

fn at(sites: &[Label]) -> String {
    if sites.is_empty() { "all sites".to_owned() } else { names(sites) }
}

fn way(sites: &[Label], whom: &Whom, direction: Direction) -> String {
    match direction {
        Direction::There => format!("way from {} to {}", at(sites), regions(whom)),
        Direction::Back => format!("way back from {} to {}", regions(whom), at(sites)),
        Direction::Both => format!("ways between {} and {}", at(sites), regions(whom)),
    }
}

fn targeted(target: &Target) -> String {
    match target {
        Target::Provider(name) => format!("all of {name}"),
        Target::Region(name) => name.to_string(),
        Target::Endpoint(name) => name.to_string(),
    }
}

fn names(labels: &[Label]) -> String {
    let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
    listed(&names)
}

/// A share as percents, as short as it is exact.
fn share_of(share: f64) -> String {
    format!("{} %", plain((share * 100_000.0).round() / 1_000.0))
}

/// A number without needless zeros.
fn plain(number: f64) -> String {
    format!("{number}")
}

/// So many, with thin spaces between thousands.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Percents, never rounded up to a whole hundred.
#[must_use]
pub fn percent(percent: f64) -> String {
    match percent {
        whole if whole >= 100.0 => "100 %".to_owned(),
        high if high >= 99.0 => format!("{:.3} %", (high * 1_000.0).floor() / 1_000.0),
        low => format!("{:.2} %", (low * 100.0).floor() / 100.0),
    }
}

/// Milliseconds as people read them: "0.4 ms", "38 ms", "1.25 s", "3 min 20 s".
#[must_use]
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => format!("{:.2} s", ms / 1_000.0),
        ms if ms < 59_950.0 => format!("{:.1} s", ms / 1_000.0),
        ms => span(ms / 1_000.0),
    }
}

/// The same, or a dash.
#[must_use]
pub fn maybe_ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), milliseconds)
}

/// A length of time in its two largest units: "45 s", "3 min 20 s", "2 h 5 min", "3 days".
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds of a run")]
pub fn span(seconds: f64) -> String {
    let two = |large: u64, of: &str, small: u64, than: &str| match small {
        0 => format!("{large} {of}"),
        small => format!("{large} {of} {small} {than}"),
    };
    if seconds < 10.0 && seconds.fract().abs() > 0.001 {
        return format!("{seconds:.1} s");
    }
    match seconds.max(0.0).round() as u64 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => two(s / 60, "min", s % 60, "s"),
        s @ 3_600..86_400 => two(s / 3_600, "h", s % 3_600 / 60, "min"),
        s => two(s / 86_400, if s / 86_400 == 1 { "day" } else { "days" }, s % 86_400 / 3_600, "h"),
    }
}

/// The time of day at `seconds` into a run that began at `starts`: "09:05", with the day where it is not the first one.
#[must_use]
pub fn clock(starts: &str, seconds: f64) -> String {
    let begun = crate::moment::since_epoch(starts).unwrap_or_default();
    let then = begun + Duration::from_secs_f64(seconds.max(0.0));
    let text = crate::moment::rfc3339(then);
    let days = then.as_secs() / 86_400 - begun.as_secs() / 86_400;
    if days == 0 { text[11..16].to_owned() } else { format!("day {}, {}", days + 1, &text[11..16]) }
}

/// Whether everything is as demanded, in a line for a terminal.
#[must_use]
pub fn verdict(report: &Report) -> String {
    let mark = match (report.demands.is_empty(), report.failures().is_empty()) {
        (true, _) => "",
        (false, true) => "HOLDS: ",
        (false, false) => "FAILS: ",
    };
    format!("{mark}{}. {}", headline(report), served(report))
}

/// Whether everything is as demanded.
#[must_use]
pub fn headline(report: &Report) -> String {
    let (all, broken) = (report.demands.len(), report.demands.iter().filter(|demand| !demand.holds).count());
    match (all, broken) {
        (0, _) => "Nothing was demanded".to_owned(),
        (1, 0) => "The demand is met".to_owned(),
        (1, _) => "The demand is not met".to_owned(),
        (all, 0) => format!("All {all} demands are met"),
        (all, broken) => format!("{broken} of {all} demands {} not met", if broken == 1 { "is" } else { "are" }),
    }
}

/// How many wishes were served, and how many had not ended.
#[must_use]
pub fn served(report: &Report) -> String {
    let wishes = count(report.total.wishes);
    let open = match report.total.open {
        0 => String::new(),
        open => format!("; {} more were open at the end", count(open)),
    };
    match report.total.availability_percent {
        Some(served) => format!("{} of {wishes} wishes served{open}.", percent(served)),
        None if report.total.open > 0 => format!("No wish ended{open}."),
        None => "Nothing was asked for.".to_owned(),
    }
}

/// The moment that `starts` names, as people write it: "Mon 30 Nov 2026, 09:00 UTC".
#[must_use]
pub fn minute(starts: &str) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let begun = crate::moment::since_epoch(starts).unwrap_or_default();
    let text = crate::moment::rfc3339(begun);
    let weekday = DAYS[usize::try_from(begun.as_secs() / 86_400 % 7).unwrap_or_default()];
    let month = text[5..7].parse::<usize>().unwrap_or(1).clamp(1, 12);
    format!(
        "{weekday} {} {} {}, {} UTC",
        text[8..10].trim_start_matches('0'),
        MONTHS[month - 1],
        &text[..4],
        &text[11..16]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_read_them() {
        assert_eq!(
            [0.0, 9.94, 38.2, 999.6, 1_250.0, 12_340.0, 200_000.0].map(milliseconds),
            ["0.0 ms", "9.9 ms", "38 ms", "1.00 s", "1.25 s", "12.3 s", "3 min 20 s"]
        );
        assert_eq!(
            [0.0, 2.5, 45.0, 3_600.0, 7_500.0, 90_000.0].map(span),
            ["0 s", "2.5 s", "45 s", "1 h", "2 h 5 min", "1 day 1 h"]
        );
        assert_eq!([100.0, 99.999_9, 98.765].map(percent), ["100 %", "99.999 %", "98.76 %"]);
        assert_eq!((count(999).as_str(), count(1_234_567).as_str()), ("999", "1\u{2009}234\u{2009}567"));
    }

    #[test]
    fn times_of_day_count_from_the_begin_and_name_another_day() {
        assert_eq!(clock("2026-11-30T09:00:00.000Z", 300.0), "09:05");
        assert_eq!(clock("2026-11-30T23:50:00.000Z", 900.0), "day 2, 00:05");
    }
}
