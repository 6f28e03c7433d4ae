//! From the history: what stood how since when, and why; who was drained; how often each hostname was asked for.

use super::{Recorded, Window, blank, illness, set_rate, weights, whole};
use crate::health::{Fault as Failure, Reason, Standing};
use crate::history::recorder::{Change, Kind};
use crate::moment::rfc3339;
use crate::names::{Hostname, Label};
use crate::sim::scenario::write::Notes;
use crate::sim::scenario::{Fault, What, Whom};
use crate::snapshot::Target;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much slower a region is taken to have been that stood as far slower than usual: what the word means, at least.
const SLOW_TIMES: f64 = 5.0;
/// Which share failed where too many did.
const ERROR_SHARE: f64 = 0.5;

/// What a history has of a time: `changes` of all its vantage points, and since long enough before that what stood at its
/// begin is known; `requests` by hostname within it.
#[must_use]
pub fn scenario(changes: &[Change], requests: &BTreeMap<String, u64>, window: Window) -> Recorded {
    let mut recorded = Recorded { scenario: blank(window), notes: Notes::default() };
    let head = &mut recorded.notes.head;
    head.push("Recorded from a node's history.".to_owned());
    let mut spells = Vec::new();
    let mut changes: Vec<&Change> = changes.iter().filter(|change| change.at < window.to).collect();
    changes.sort_by_key(|change| change.at);
    let mut names: Vec<(Kind, &str)> = Vec::new();
    for change in &changes {
        if matches!(change.kind, Kind::Region | Kind::Drain) && !names.contains(&(change.kind, &change.name)) {
            names.push((change.kind, &change.name));
        }
    }
    for (kind, name) in names {
        let of_this = changes.iter().filter(|change| change.kind == kind && change.name == name);
        spells.extend(spells_of(&of_this.copied().collect::<Vec<_>>(), window));
    }
    spells.sort_by_key(|(fault, _)| fault.at);
    let endpoints = changes.iter().filter(|change| change.kind == Kind::Endpoint && window.has(change.at)).count();
    if endpoints > 0 {
        head.push(format!("{endpoints} changes of single endpoints are left out: here a region is one thing."));
    }
    if !spells.is_empty() {
        head.push("An outage began some seconds before it was seen: here it begins when it was seen.".to_owned());
    }
    traffic(&mut recorded, requests, window);
    (recorded.scenario.faults, recorded.notes.faults) = spells.into_iter().unzip();
    recorded
}

fn traffic(recorded: &mut Recorded, requests: &BTreeMap<String, u64>, window: Window) {
    let known = requests.iter().filter_map(|(name, count)| Some((Hostname::parse(name).ok()?, *count)));
    let known: Vec<(Hostname, u64)> = known.filter(|(_, count)| *count > 0).collect();
    let all: u64 = known.iter().map(|(_, count)| *count).sum();
    let note = if all == 0 {
        "The history has no requests of this time: the crowd is the usual one."
    } else {
        set_rate(&mut recorded.scenario, window, all, 1_000);
        recorded.scenario.crowd.hostnames = weights(known.into_iter());
        "Hostnames and how often they were asked for are as counted; where clients are and what they ask is not known."
    };
    recorded.notes.head.push(note.to_owned());
}

/// The times in which one thing was not as it should be, each with what was seen.
fn spells_of(changes: &[&Change], window: Window) -> Vec<(Fault, String)> {
    let mut spells: Vec<(Fault, String)> = Vec::new();
    let mut open: Option<(Duration, What, String)> = None;
    let mut close = |open: &mut Option<(Duration, What, String)>, end: Option<Duration>| {
        let Some((began, what, note)) = open.take() else { return };
        // What was over before, or begins and ends in one moment, is nothing to play.
        if end.is_some_and(|end| end <= window.from || end <= began) {
            return;
        }
        let at = whole(began.saturating_sub(window.from));
        let lasts = end.map(|end| whole(end.saturating_sub(window.from).saturating_sub(at)));
        let lasts = lasts.filter(|lasts| !lasts.is_zero());
        spells.push((Fault { at, lasts, what }, note));
    };
    for change in changes {
        let is = what(change);
        let goes_on = matches!((&open, &is), (Some((_, was, _)), Some(is)) if was.kind() == is.kind());
        if goes_on {
            continue;
        }
        close(&mut open, Some(change.at));
        open = is.map(|what| {
            let note = format!("{}: {} is {}, {}", rfc3339(change.at), change.name, change.is, change.reason);
            (change.at, what, note)
        });
    }
    close(&mut open, None);
    spells
}

/// What happened with a change; `None`: it is well, or as good as.
fn what(change: &Change) -> Option<What> {
    if change.kind == Kind::Drain {
        let target = Target::parse(&change.name).ok()?;
        return match &*change.is {
            "drained" => Some(What::Drain { target, is_hard: false }),
            "drained_hard" => Some(What::Drain { target, is_hard: true }),
            _ => None,
        };
    }
    let region = Label::parse(&change.name).ok()?;
    let whom = || Whom::Regions(vec![region.clone()]);
    let says = |reason: Reason| change.reason == reason.to_string();
    let is = |standing: Standing| change.is == standing.as_str();
    if says(Reason::Slow) {
        return Some(What::Slow(whom(), SLOW_TIMES));
    }
    if !(is(Standing::Down) || is(Standing::Ejected)) || says(Reason::SelfSuspicion) || says(Reason::HeldBack) {
        return None;
    }
    if says(Reason::ErrorRate) {
        return Some(What::Errors(whom(), ERROR_SHARE, 500));
    }
    let fault = failure(&change.reason).unwrap_or(Failure::Refused);
    // Only probes minded the body: requests may have gone well.
    if fault == Failure::Body {
        return Some(What::ProbesFail(whom()));
    }
    Some(illness(fault, &region))
}

/// The failure that a reason ends with.
fn failure(reason: &str) -> Option<Failure> {
    const WITHOUT_STATUS: [Failure; 13] = [
        Failure::Unresolved,
        Failure::Refused,
        Failure::Unreachable,
        Failure::ConnectTimeout,
        Failure::Tls,
        Failure::Reset,
        Failure::Cut,
        Failure::Protocol,
        Failure::Silent,
        Failure::Stalled,
        Failure::Late,
        Failure::Body,
        Failure::Unserved,
    ];
    let status = || reason.rsplit_once("status ")?.1.parse().ok().map(Failure::Status);
    WITHOUT_STATUS.into_iter().find(|fault| reason.ends_with(&fault.to_string())).or_else(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Duration = Duration::from_secs(1_796_000_400);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn change(second: i64, kind: Kind, name: &str, is: &str, reason: &str) -> Change {
        let at = FROM.as_secs().checked_add_signed(second).expect("since the epoch");
        let (name, is, reason) = (name.to_owned(), is.to_owned(), reason.to_owned());
        Change { at: Duration::from_secs(at), kind, name, was: String::new(), is, reason }
    }

    fn whom(name: &str) -> Whom {
        Whom::Regions(vec![Label::parse(name).expect("a name")])
    }

    #[test]
    fn outages_become_faults_by_why_they_were_and_drains_become_drains() {
        let fails = |fault: Failure| Reason::ProbesFail(fault).to_string();
        let well = Reason::ProbesPass.to_string();
        let region = |second, name, is, reason: &str| change(second, Kind::Region, name, is, reason);
        let changes = [
            region(-500, "lhr", "down", &fails(Failure::Silent)),
            region(60, "bom", "down", &fails(Failure::Refused)),
            region(70, "sin", "ejected", &Reason::Traffic(Failure::Status(502)).to_string()),
            region(80, "mel", "strained", &Reason::Slow.to_string()),
            region(90, "gru", "down", &Reason::ErrorRate.to_string()),
            region(95, "cpt", "down", &fails(Failure::Body)),
            region(100, "lhr", "strained", &Reason::RampingUp.to_string()),
            region(120, "sin", "down", &fails(Failure::Status(502))),
            region(200, "bom", "up", &well),
            region(300, "sin", "up", &well),
            region(301, "yyz", "down", &Reason::SelfSuspicion.to_string()),
            change(400, Kind::Drain, "provider:aws", "drained_hard", "a move"),
            change(410, Kind::Endpoint, "bom/a", "down", "probes fail: unreachable"),
            change(500, Kind::Drain, "provider:aws", "served", "a move"),
            region(3_700, "dfw", "down", &fails(Failure::Refused)),
        ];
        let window = Window { from: FROM, to: FROM + at(3_600) };
        let recorded = scenario(&changes, &BTreeMap::new(), window);
        let fault = |begin, lasts: Option<u64>, what| Fault { at: at(begin), lasts: lasts.map(at), what };
        let aws = Target::Provider(Label::parse("aws").expect("a name"));
        let expected = [
            fault(0, Some(100), What::BlackHole(whom("lhr"))),
            fault(60, Some(140), What::Refuse(whom("bom"))),
            fault(70, Some(230), What::Errors(whom("sin"), 1.0, 502)),
            fault(80, None, What::Slow(whom("mel"), SLOW_TIMES)),
            fault(90, None, What::Errors(whom("gru"), 0.5, 500)),
            fault(95, None, What::ProbesFail(whom("cpt"))),
            fault(400, Some(100), What::Drain { target: aws, is_hard: true }),
        ];
        assert_eq!(recorded.scenario.faults, expected);
        assert_eq!(recorded.notes.faults.len(), expected.len());
        assert!(recorded.notes.faults[1].contains("bom is down, probes fail: connection refused"));
        assert_eq!((recorded.scenario.starts, recorded.scenario.lasts), (FROM, at(3_600)));
        assert!(recorded.notes.head.iter().any(|line| line.starts_with("1 changes of single endpoints")));
    }

    #[test]
    fn hostnames_are_asked_for_as_often_as_they_were() {
        let window = Window { from: FROM, to: FROM + at(600) };
        let requests =
            BTreeMap::from([("us.gateway.example".to_owned(), 40_000), ("eu.gateway.example".to_owned(), 10_000)]);
        let crowd = scenario(&[], &requests, window).scenario.crowd;
        let weights: Vec<(&str, u32)> = crowd.hostnames.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
        assert_eq!(weights, [("eu.gateway.example", 10_000), ("us.gateway.example", 40_000)]);
        let rate = f64::from(crowd.clients) * crowd.per_minute * f64::from(crowd.stands_for);
        assert!((rate - 5_000.0).abs() < 5.0, "{rate}");
    }
}
