//! What incidents say. Plain, for customers: what they notice, and nothing of how we work.

use super::facts::Fact;
use super::judge::{impact, is_bad};
use crate::history::levels::listed;
use crate::history::story::{Impact, Incident, Level, Phase, Subject};
use std::collections::BTreeMap;
use std::time::Duration;

/// Hostnames or regions that are named one by one in a text; more are counted.
const NAMED_MAX: usize = 8;

/// The levels of `subjects`. What is there no more is well.
pub(super) fn told(subjects: &[Subject], facts: &[Fact]) -> BTreeMap<Subject, Level> {
    let level = |subject: &Subject| {
        facts.iter().find(|fact| fact.subject == *subject).map_or(Level::Operational, |fact| fact.level)
    };
    subjects.iter().map(|subject| (subject.clone(), level(subject))).collect()
}

/// How much a title of these levels says.
pub(super) fn rank(told: &BTreeMap<Subject, Level>) -> (Impact, usize) {
    (impact(told), told.values().filter(|level| is_bad(**level)).count())
}

/// `Mumbai (bom) is unreachable`.
pub(super) fn title(told: &BTreeMap<Subject, Level>, facts: &[Fact]) -> String {
    let of = |wanted: fn(&Subject) -> bool, level: Level| -> Vec<&Fact> {
        let those = told.iter().filter(|(subject, at)| wanted(subject) && **at == level);
        those.filter_map(|(subject, _)| facts.iter().find(|fact| fact.subject == *subject)).collect()
    };
    let is_hostname = |subject: &Subject| matches!(subject, Subject::Hostname(_));
    let is_region = |subject: &Subject| matches!(subject, Subject::Region(_));
    for (level, one, many) in [
        (Level::Major, "is not served", "are not served"),
        (Level::Partial, "is served by its fallback", "are served by their fallbacks"),
    ] {
        match of(is_hostname, level).as_slice() {
            [] => {}
            [only] => return format!("{} {one}", only.called),
            those => return format!("{} hostnames {many}", those.len()),
        }
    }
    for (level, one, many) in
        [(Level::Major, "is unreachable", "are unreachable"), (Level::Partial, "fails requests", "fail requests")]
    {
        match of(is_region, level).as_slice() {
            [] => {}
            [only] => return format!("{} {one}", only.called),
            those @ [first, ..] => {
                let is_one_provider = those.iter().all(|fact| fact.provider == first.provider);
                let of = first.provider.as_ref().filter(|_| is_one_provider).map(|provider| format!(" of {provider}"));
                return format!("{} regions{} {many}", those.len(), of.unwrap_or_default());
            }
        }
    }
    match of(is_hostname, Level::Degraded).as_slice() {
        [] => "Something was unreachable".to_owned(),
        [only] => format!("{} is degraded", only.called),
        those => format!("{} hostnames are degraded", those.len()),
    }
}

/// The first text of an incident.
pub(super) fn begun(subjects: &[Subject], facts: &[Fact]) -> String {
    sentences(&states(subjects, facts, is_bad), &lived(subjects, facts))
}

/// The text when it opens again.
pub(super) fn again(bad: &[Subject], facts: &[Fact]) -> String {
    sentences(&format!("It happens again. {}", states(bad, facts, is_bad)), &lived(bad, facts))
}

/// The text of what became different; and always, which hostnames are not served.
pub(super) fn changed(was: &BTreeMap<Subject, Level>, is: &BTreeMap<Subject, Level>, facts: &[Fact]) -> String {
    let is_lost = |subject: &Subject, level: &Level| matches!(subject, Subject::Hostname(_)) && *level == Level::Major;
    let is_told = |(subject, level): &(&Subject, &Level)| was.get(*subject) != Some(*level) || is_lost(subject, level);
    let told: Vec<Subject> = is.iter().filter(is_told).map(|(subject, _)| subject.clone()).collect();
    let states = states(&told, facts, |level| level != Level::Unknown);
    let mut more = lived(&told, facts);
    more.extend(gone(&told, facts));
    sentences(&states, &more)
}

/// The last text. `lasted` is how long it failed, in all.
pub(super) fn over(incident: &Incident, lasted: Option<Duration>, is_from_before: bool, facts: &[Fact]) -> String {
    let at = |those: &[Level]| {
        let is_that = |fact: &&Fact| incident.subjects.contains(&fact.subject) && those.contains(&fact.level);
        facts.iter().filter(is_that).map(|fact| fact.called.clone()).collect::<Vec<_>>()
    };
    let mut said = Vec::new();
    let mut say = |names: Vec<String>, one: &str, many: &str| match names.len() {
        0 => {}
        1 => said.push(format!("{} {one}.", names[0])),
        count if count > NAMED_MAX => said.push(format!("All {count} {many}.")),
        _ => said.push(format!("{} {many}.", listed(&names))),
    };
    let usual = if is_from_before { ("works", "work") } else { ("works as usual again", "work as usual again") };
    say(at(&[Level::Operational]), usual.0, usual.1);
    say(at(&[Level::Degraded]), "answers again, but slowly", "answer again, but slowly");
    let is_region = |name: &String| facts.iter().any(|fact| !fact.is_hostname() && fact.called == *name);
    let (regions, hostnames) = at(&[Level::Maintenance]).into_iter().partition(is_region);
    say(regions, "was taken out of service by its operators", "were taken out of service by their operators");
    say(
        hostnames,
        "is not served by its usual regions: they were taken out of service by their operators",
        "are not served by their usual regions: they were taken out of service by their operators",
    );
    said.extend(gone(&incident.subjects, facts));
    let times = 1 + incident.updates.iter().filter(|update| update.phase == Phase::Resolved).count();
    said.push(match (lasted, times) {
        _ if is_from_before => {
            "Exactly since when is not known: nobody watched for part of the time since this began.".to_owned()
        }
        (Some(lasted), 1) => format!("It lasted {}.", length(lasted)),
        (Some(lasted), times) => format!("It happened {times} times, and lasted {} in all.", length(lasted)),
        (None, times) => format!("It happened {times} times."),
    });
    said.join(" ")
}

/// What is said of those of `subjects` that there are no more.
fn gone(subjects: &[Subject], facts: &[Fact]) -> Option<String> {
    let is_gone = |subject: &&Subject| facts.iter().all(|fact| fact.subject != **subject);
    let names: Vec<String> = subjects.iter().filter(is_gone).map(|subject| subject.name().to_owned()).collect();
    match names.len() {
        0 => None,
        1 => Some(format!("{} is no longer part of the service.", names[0])),
        count if count > NAMED_MAX => Some(format!("{count} of these are no longer part of the service.")),
        _ => Some(format!("{} are no longer part of the service.", listed(&names))),
    }
}

/// What is said of each of `subjects` whose level is `wanted`.
fn states(subjects: &[Subject], facts: &[Fact], wanted: impl Fn(Level) -> bool) -> String {
    let those: Vec<&Fact> =
        facts.iter().filter(|fact| subjects.contains(&fact.subject) && wanted(fact.level)).collect();
    let mut said = Vec::new();
    for (is_hostname, level) in [
        (true, Level::Major),
        (true, Level::Partial),
        (false, Level::Major),
        (false, Level::Partial),
        (true, Level::Degraded),
        (false, Level::Degraded),
        (true, Level::Operational),
        (false, Level::Operational),
        (true, Level::Maintenance),
        (false, Level::Maintenance),
    ] {
        let alike = those.iter().filter(|fact| fact.is_hostname() == is_hostname && fact.level == level);
        let names: Vec<String> = alike.map(|fact| fact.called.clone()).collect();
        let (one, many) = match (is_hostname, level) {
            (true, Level::Major) => ("is not served", "are not served"),
            (true, Level::Partial) => ("is served by its fallback only", "are served by their fallbacks only"),
            (true, Level::Degraded) => {
                ("is served by fewer regions than usual", "are served by fewer regions than usual")
            }
            (false, Level::Major) => ("does not answer", "do not answer"),
            (false, Level::Partial) => ("fails requests", "fail requests"),
            (false, Level::Degraded) => ("answers slowly", "answer slowly"),
            (true, Level::Maintenance) => (
                "is not served by its usual regions: they were taken out of service",
                "are not served by their usual regions: they were taken out of service",
            ),
            (false, Level::Maintenance) => ("was taken out of service", "were taken out of service"),
            _ => ("works again", "work again"),
        };
        match names.len() {
            0 => {}
            1 => said.push(format!("{} {one}.", names[0])),
            many_names if many_names > NAMED_MAX => {
                let what = if is_hostname { "hostnames" } else { "regions" };
                said.push(format!("{many_names} {what} {many}."));
            }
            _ => said.push(format!("{} {many}.", listed(&names))),
        }
    }
    said.join(" ")
}

/// What customers notice of those of `subjects` that are bad.
fn lived(subjects: &[Subject], facts: &[Fact]) -> Vec<String> {
    let bad = facts.iter().filter(|fact| subjects.contains(&fact.subject) && is_bad(fact.level));
    let mut said: Vec<String> = bad.map(|fact| fact.lived.clone()).filter(|lived| !lived.is_empty()).collect();
    said.dedup();
    said.truncate(NAMED_MAX);
    said
}

fn sentences(first: &str, more: &[String]) -> String {
    std::iter::once(first)
        .chain(more.iter().map(String::as_str))
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// `40 seconds`, `12 minutes`, `3 hours and 5 minutes`.
fn length(time: Duration) -> String {
    let some = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match time.as_secs() {
        seconds @ 0..=119 => some(seconds, "second"),
        seconds @ 120..=7_199 => some(seconds / 60, "minute"),
        seconds if seconds % 3_600 / 60 == 0 => some(seconds / 3_600, "hour"),
        seconds => format!("{} and {}", some(seconds / 3_600, "hour"), some(seconds % 3_600 / 60, "minute")),
    }
}
