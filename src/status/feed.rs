//! Feeds of incidents and maintenance: Atom (RFC 4287) and RSS 2.0. An entry is an incident, known for ever by one id; what
//! it says and when it was updated follow the incident. Pure.

use super::page::Setting;
use super::page::incident::subject_words;
use super::page::words::{DAY_S, machine, minute, slug};
use crate::history::story::{Incident, Report, Subject};
use maud::{Markup, PreEscaped, html};
use std::time::{Duration, UNIX_EPOCH};

/// Entries at most, the newest: who reads seldom finds the rest on the page.
const ENTRIES_MAX: usize = 50;
/// The year from which the names of entries are ours (RFC 4151); it never changes.
const TAG_YEAR: &str = "2026";
/// Last moment that RFC 822 and RFC 3339 can write, since the Unix epoch.
const LAST_S: u64 = 253_402_300_799;

/// What a feed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everything.
    Everything,
    /// One region or hostname.
    Of(&'a Subject),
}

impl Scope<'_> {
    /// Where the feed is, without its ending.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Everything => "history".to_owned(),
            Self::Of(Subject::Region(name)) => format!("feed/region/{}", slug(name)),
            Self::Of(Subject::Hostname(name)) => format!("feed/hostname/{}", slug(name)),
        }
    }

    fn title(self, setting: &Setting) -> String {
        match self {
            Self::Everything => format!("{}: incidents and maintenance", setting.title),
            Self::Of(subject) => format!("{}: incidents and maintenance of {}", setting.title, subject_words(subject)),
        }
    }
}

/// What belongs into a feed, what changed last first.
fn entries<'a>(report: &'a Report, scope: Scope<'_>) -> Vec<&'a Incident> {
    let is_in = |incident: &&Incident| match scope {
        Scope::Everything => true,
        Scope::Of(subject) => incident.subjects.contains(subject),
    };
    let mut entries: Vec<&Incident> = report.incidents.iter().chain(&report.maintenance).filter(is_in).collect();
    entries.sort_by(|a, b| b.updated_at().cmp(&a.updated_at()).then_with(|| b.id.cmp(&a.id)));
    entries.truncate(ENTRIES_MAX);
    entries
}

/// When something in it changed last; without anything in it: this day.
fn updated(entries: &[&Incident], report: &Report) -> Duration {
    let today = Duration::from_secs(report.at.as_secs() / DAY_S * DAY_S);
    sane(entries.first().map_or(today, |incident| incident.updated_at()))
}

fn sane(at: Duration) -> Duration {
    at.min(Duration::from_secs(LAST_S))
}

/// The authority of our tags: the host of the pages' URL, as far as RFC 4151 lets it be one.
fn authority(url: &str) -> String {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = after.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once(':').filter(|(host, _)| !host.contains(':')).map_or(host, |(host, _)| host);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let is_good = host.starts_with(|c: char| c.is_ascii_alphanumeric()) && host.chars().all(is_plain);
    if is_good { host.to_ascii_lowercase() } else { "localhost".to_owned() }
}

fn tag(setting: &Setting, of: &str) -> String {
    format!("tag:{},{TAG_YEAR}:{of}", authority(&setting.url))
}

fn link(setting: &Setting, incident: &Incident) -> String {
    format!("{}/incident/{}", setting.url, slug(&incident.id))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What happened, newest first, as HTML; times are in UTC, because a feed's reader may be anywhere.
fn content(incident: &Incident) -> Markup {
    let subjects: Vec<String> = incident.subjects.iter().map(subject_words).collect();
    html! {
        @if !subjects.is_empty() { p { "Affected: " (subjects.join(", ")) } }
        @if let Some((from, until)) = incident.window { p { "Planned: " (minute(from)) " – " (minute(until)) " UTC" } }
        @for update in incident.updates.iter().rev() {
            p { b { (update.phase.words()) } ", " (minute(update.at)) " UTC" }
            p { @for (at, line) in update.text.lines().enumerate() { @if at > 0 { br; } (line) } }
        }
        @if let Some(learnt) = &incident.post_mortem {
            p { b { "Post-mortem" } }
            p { @for (at, line) in learnt.lines().enumerate() { @if at > 0 { br; } (line) } }
        }
    }
}

/// The feed as Atom.
#[must_use]
pub fn atom(setting: &Setting, report: &Report, scope: Scope<'_>) -> String {
    let entries = entries(report, scope);
    let path = scope.path();
    let feed = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"))
        feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en" {
            id { (tag(setting, &path)) }
            title { (one_line(&scope.title(setting))) }
            updated { (machine(updated(&entries, report))) }
            link rel="self" type="application/atom+xml" href={ (setting.url) "/" (path) ".atom" } {}
            link rel="alternate" type="text/html" href={ (setting.url) "/" } {}
            author { name { (one_line(&setting.title)) } }
            generator { "anyfront" }
            @for incident in entries {
                entry {
                    id { (tag(setting, &format!("incident/{}", slug(&incident.id)))) }
                    title { (one_line(&format!("{}: {}", incident.phase.words(), incident.title))) }
                    published { (machine(sane(incident.opened_at))) }
                    updated { (machine(sane(incident.updated_at()))) }
                    link rel="alternate" type="text/html" href=(link(setting, incident)) {}
                    @for subject in &incident.subjects { category term=(subject) label=(subject_words(subject)) {} }
                    content type="html" { (content(incident).into_string()) }
                }
            }
        }
    };
    feed.into_string()
}

/// The feed as RSS 2.0.
#[must_use]
pub fn rss(setting: &Setting, report: &Report, scope: Scope<'_>) -> String {
    let date = |at: Duration| httpdate::fmt_http_date(UNIX_EPOCH + sane(at));
    let entries = entries(report, scope);
    let path = scope.path();
    let title = one_line(&scope.title(setting));
    let feed = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"))
        rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" {
            channel {
                title { (title) }
                (PreEscaped("<link>")) (setting.url) "/" (PreEscaped("</link>"))
                description { (title) }
                language { "en" }
                lastBuildDate { (date(updated(&entries, report))) }
                atom:link rel="self" type="application/rss+xml" href={ (setting.url) "/" (path) ".rss" } {}
                @for incident in entries {
                    item {
                        title { (one_line(&format!("{}: {}", incident.phase.words(), incident.title))) }
                        (PreEscaped("<link>")) (link(setting, incident)) (PreEscaped("</link>"))
                        guid isPermaLink="false" { (tag(setting, &format!("incident/{}", slug(&incident.id)))) }
                        pubDate { (date(incident.opened_at)) }
                        @for subject in &incident.subjects { category { (subject) } }
                        description { (content(incident).into_string()) }
                    }
                }
            }
        }
    };
    feed.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_an_authority_that_may_be_one() {
        for (url, wanted) in [
            ("https://Status.example", "status.example"),
            ("http://127.0.0.1:8080/x", "127.0.0.1"),
            ("http://[::1]:8080", "localhost"),
            ("", "localhost"),
            ("https://a b", "localhost"),
        ] {
            assert_eq!(authority(url), wanted, "{url}");
        }
    }
}
