//! Incidents and maintenance: in short, on a page of their own, and month by month.

use super::marks::mark;
use super::overview::Parts;
use super::words::{code, lasted, month, month_in_full, slug, span, time};
use super::{Links, Setting, Sheet, framed};
use crate::history::story::{Impact, Incident, Level, Phase, Report, Subject};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeSet;
use std::time::Duration;

/// What an impact looks like.
#[must_use]
pub fn level_of(impact: Impact) -> Level {
    match impact {
        Impact::None => Level::Operational,
        Impact::Maintenance => Level::Maintenance,
        Impact::Minor => Level::Degraded,
        Impact::Major => Level::Partial,
        Impact::Critical => Level::Major,
    }
}

/// A subject as people call it.
#[must_use]
pub fn subject_words(subject: &Subject) -> String {
    match subject {
        Subject::Region(name) => code(name),
        Subject::Hostname(name) => name.clone(),
    }
}

fn path(incident: &Incident) -> String {
    format!("incident/{}", slug(&incident.id))
}

fn look(incident: &Incident) -> Level {
    if incident.is_maintenance() { Level::Maintenance } else { level_of(incident.impact) }
}

fn phase_class(phase: Phase) -> &'static str {
    if phase.is_over() { "phase over" } else { "phase" }
}

/// How bad it was, in words.
fn impact_words(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "no impact",
        Impact::Maintenance => "planned",
        Impact::Minor => "minor impact",
        Impact::Major => "major impact",
        Impact::Critical => "critical impact",
    }
}

fn subjects(incident: &Incident) -> Markup {
    html! {
        ul class="subjects" aria-label="Affected" {
            @for subject in &incident.subjects { li { bdi { (subject_words(subject)) } } }
        }
    }
}

/// An incident in short: its title, since when, whom it affects, and its newest update.
#[must_use]
pub fn brief(incident: &Incident, links: Links, now: Duration, is_open: bool) -> Markup {
    let level = look(incident);
    let until = incident.closed_at.unwrap_or(now);
    html! {
        article class={"incident " (level.as_str()) (if is_open { " open" } else { "" })} {
            div class="line" {
                h3 { (mark(level)) a href=(links.page(&path(incident))) { bdi { (incident.title) } } }
                span class=(phase_class(incident.phase)) { (incident.phase.words()) }
            }
            (subjects(incident))
            @if let Some(update) = incident.updates.last() {
                p class="text" { bdi dir="auto" { (update.text) } }
            }
            p class="quiet" {
                @if is_open { "Open for " (lasted(until.saturating_sub(incident.opened_at))) ", since " (time(incident.opened_at)) " · updated " (time(incident.updated_at())) }
                @else { (time(incident.opened_at)) " · lasted " (lasted(until.saturating_sub(incident.opened_at))) @if incident.post_mortem.is_some() { " · with post-mortem" } }
            }
        }
    }
}

/// A maintenance in short.
#[must_use]
pub fn planned(incident: &Incident, links: Links) -> Markup {
    html! {
        article class="incident maintenance" {
            div class="line" {
                h3 { (mark(Level::Maintenance)) a href=(links.page(&path(incident))) { bdi { (incident.title) } } }
                span class=(phase_class(incident.phase)) { (incident.phase.words()) }
            }
            (subjects(incident))
            @if let Some(window) = incident.window { p { (span(window)) } }
            @if let Some(update) = incident.updates.last() { p class="text" { bdi dir="auto" { (update.text) } } }
        }
    }
}

/// The id of an incident's part.
#[must_use]
pub fn id(incident: &Incident) -> String {
    format!("incident-{}", slug(&incident.id))
}

/// All of an incident: its timeline, newest first, and what was learnt.
#[must_use]
pub fn part(incident: &Incident) -> Markup {
    // What is over does not look as if it went on.
    let level = if incident.phase.is_over() { Level::Operational } else { look(incident) };
    html! {
        article id=(id(incident)) class="full" {
            header class={"hero " (level.as_str())} {
                div class="inner" {
                    (mark(level))
                    div {
                        h1 { bdi { (incident.title) } }
                        p {
                            b { (incident.phase.words()) } " · " (impact_words(incident.impact)) " · "
                            @if let Some(window) = incident.window { (span(window)) }
                            @else if let Some(closed) = incident.closed_at { (span((incident.opened_at, closed))) }
                            @else { "since " (time(incident.opened_at)) }
                        }
                        (subjects(incident))
                        @if incident.is_automatic { p class="looked" { "Opened by itself, from what was observed." } }
                    }
                }
            }
            div class="inner" {
                @if let Some(learnt) = &incident.post_mortem {
                    section class="card" aria-labelledby="learnt" { h2 id="learnt" { "Post-mortem" } p class="text" { bdi dir="auto" { (learnt) } } }
                }
                section aria-labelledby="timeline" {
                    h2 id="timeline" { "Timeline" }
                    ol class="timeline" reversed {
                        @for update in incident.updates.iter().rev() {
                            li id={"update-" (slug(&update.id))} class=(update.phase.as_str()) {
                                p class="line" { b { (update.phase.words()) } " " (time(update.at)) @if !update.by_operator { span class="quiet" { " · automatic" } } }
                                p class="text" { bdi dir="auto" { (update.text) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The page of an incident.
#[must_use]
pub fn page(setting: &Setting, incident: &Incident, part: &str) -> String {
    let path = path(incident);
    let description = incident.updates.last().map_or("", |update| update.text.as_str());
    let description: String = description.chars().take(200).collect();
    let sheet = Sheet {
        path: &path,
        title: &incident.title,
        description: if description.is_empty() { &incident.title } else { &description },
        level: Some(look(incident)),
        made: None,
        content: html! { (PreEscaped(part)) },
    };
    framed(setting, &sheet)
}

/// When an incident counts as having been: a maintenance when its window begins.
fn began(incident: &Incident) -> Duration {
    incident.window.map_or(incident.opened_at, |(from, _)| from)
}

/// The months that have a page, newest first: those of the last 90 days and of everything that is told.
#[must_use]
pub fn months(report: &Report) -> Vec<String> {
    let days =
        (0..=3u64).map(|back| month(report.at.saturating_sub(Duration::from_secs(back * 30 * super::words::DAY_S))));
    let told = report.incidents.iter().chain(&report.maintenance).map(|incident| month(began(incident)));
    let months: BTreeSet<String> = days.chain(told).collect();
    months.into_iter().rev().collect()
}

/// The part of a month: what was, newest first.
#[must_use]
pub fn month_part(report: &Report, of: &str, links: Links) -> Markup {
    let all = report.incidents.iter().chain(&report.maintenance);
    let mut own: Vec<&Incident> = all.filter(|incident| month(began(incident)) == of).collect();
    own.sort_by_key(|incident| std::cmp::Reverse(began(incident)));
    let name = crate::moment::since_epoch(&format!("{of}-01")).map_or(of.to_owned(), month_in_full);
    html! {
        section id={"month-" (of)} class="incidents" aria-labelledby={"title-" (of)} {
            h2 id={"title-" (of)} { (name) }
            @if own.is_empty() { p class="none" { "No incidents and no maintenance." } }
            @for incident in own {
                @if incident.is_maintenance() { (planned(incident, links)) }
                @else { (brief(incident, links, report.at, !incident.phase.is_over())) }
            }
        }
    }
}

/// The page of a month; the newest one's is `history` itself.
#[must_use]
pub fn history(setting: &Setting, months: &[String], at: usize, part: &str) -> String {
    let path = month_path(months, at);
    let links = Links::at(&path, setting.manner);
    let name = |month: &str| crate::moment::since_epoch(&format!("{month}-01")).map_or(month.to_owned(), month_in_full);
    let title = format!("History, {}", name(&months[at]));
    let content = html! {
        div class="inner reading" {
            h1 { "History" }
            nav class="months" aria-label="Months" {
                @for (other, month) in months.iter().enumerate() {
                    a href=(links.page(&month_path(months, other))) aria-current=[(other == at).then_some("page")] { (name(month)) }
                }
            }
            (PreEscaped(part))
        }
    };
    let description = format!("Incidents and maintenance of {}.", name(&months[at]));
    let sheet = Sheet { path: &path, title: &title, description: &description, level: None, made: None, content };
    framed(setting, &sheet)
}

/// Where the page of a month is.
#[must_use]
pub fn month_path(months: &[String], at: usize) -> String {
    if at == 0 { "history".to_owned() } else { format!("history/{}", months[at]) }
}

/// The parts of incidents and months.
pub fn put_parts(setting: &Setting, report: &Report, parts: &mut Parts) {
    for incident in report.incidents.iter().chain(&report.maintenance) {
        parts.insert(id(incident), part(incident).into_string());
    }
    let months = months(report);
    for (at, month) in months.iter().enumerate() {
        let links = Links::at(&month_path(&months, at), setting.manner);
        parts.insert(format!("month-{month}"), month_part(report, month, links).into_string());
    }
}
