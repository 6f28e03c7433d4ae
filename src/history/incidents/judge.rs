//! What is bad, for how long it must be, and how bad that is for customers.

use super::facts::Fact;
use super::{OPENS_AFTER, OPENS_AFTER_DEGRADED, OPENS_AFTER_PARTIAL};
use crate::history::story::{Impact, Level, Subject};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long something must be as bad as `fact` before it is an incident; nothing: it never is.
pub(super) fn hold(fact: &Fact) -> Option<Duration> {
    match (&fact.subject, fact.level) {
        (_, Level::Major) | (Subject::Hostname(_), Level::Partial) => Some(OPENS_AFTER),
        (Subject::Region(_), Level::Partial) => Some(OPENS_AFTER_PARTIAL),
        (Subject::Hostname(_), Level::Degraded) => Some(OPENS_AFTER_DEGRADED),
        _ => None,
    }
}

/// Whether it is as it should be, or as an operator wants it.
pub(super) fn is_well(fact: &Fact) -> bool {
    match fact.subject {
        // Slow, but it answers: hostnames tell what that means for customers.
        Subject::Region(_) => matches!(fact.level, Level::Operational | Level::Maintenance | Level::Degraded),
        Subject::Hostname(_) => matches!(fact.level, Level::Operational | Level::Maintenance),
    }
}

pub(super) fn is_bad(level: Level) -> bool {
    level > Level::Unknown
}

/// How bad it is for customers that these are at these levels.
pub(super) fn impact(told: &BTreeMap<Subject, Level>) -> Impact {
    let of = |(subject, level): (&Subject, &Level)| match (subject, level) {
        (Subject::Hostname(_), Level::Major) => Impact::Critical,
        (Subject::Hostname(_), Level::Partial) => Impact::Major,
        (_, level) if is_bad(*level) => Impact::Minor,
        _ => Impact::None,
    };
    told.iter().map(of).max().unwrap_or(Impact::None)
}

/// Whether what `is` has to be told at once, after `was`: it is worse for customers than they were told, or a hostname that
/// they were not told of is not served.
pub(super) fn is_worse(was: &BTreeMap<Subject, Level>, is: &BTreeMap<Subject, Level>) -> bool {
    let is_lost = |(subject, level): (&Subject, &Level)| {
        is_hostname(subject) && *level == Level::Major && was.get(subject) != Some(level)
    };
    impact(is) > impact(was) || is.iter().any(is_lost)
}

/// Whether what `is` is worth a word when it is time, after `was`.
pub(super) fn is_other(was: &BTreeMap<Subject, Level>, is: &BTreeMap<Subject, Level>) -> bool {
    is.iter().any(|(subject, level)| match was.get(subject) {
        None => true,
        Some(_) if *level == Level::Unknown => false,
        Some(was) if is_hostname(subject) && *(was.max(level)) >= Level::Partial => was != level,
        Some(was) => is_bad(*was) != is_bad(*level),
    })
}

fn is_hostname(subject: &Subject) -> bool {
    matches!(subject, Subject::Hostname(_))
}
