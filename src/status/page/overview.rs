//! The first page: how everything is, what is wrong, what is planned, and where everything runs.

use super::incident::{brief, planned};
use super::map::map;
use super::marks::{bars, legend, mark, standing};
use super::region::{self, provider_id};
use super::words::{DAY_S, breakable, clock_time, code, headline, listed, percent, slug, time};
use super::{Links, Manner, Setting, Sheet, framed};
use crate::history::story::{HostnameReport, Incident, Level, Phase, Report};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;
use std::time::Duration;

/// Incidents of so long ago are still on the first page.
const RECENT: Duration = Duration::from_secs(14 * DAY_S);
/// Incidents that are over, on the first page at most.
const RECENT_MAX: usize = 6;

/// Parts of pages by their ids.
pub type Parts = BTreeMap<String, String>;

/// The parts of the first page.
#[must_use]
pub fn parts(setting: &Setting, report: &Report) -> Parts {
    let links = Links::at("", setting.manner);
    let today = u32::try_from(report.at.as_secs() / DAY_S).unwrap_or(u32::MAX);
    let mut parts = Parts::new();
    let mut put = |id: String, part: Markup| drop(parts.insert(id, part.into_string()));
    put("headline".into(), headline_part(setting, report));
    put("notices".into(), notices(report));
    put("current".into(), current(report, links));
    put("planned".into(), planned_part(report, links));
    put("hostnames".into(), hostnames(report, links, today));
    put("world".into(), html! { div id="world" { (map(report)) } });
    for (provider, regions) in region::by_provider(report) {
        put(provider_id(provider), region::provider(provider, &regions));
    }
    for region in &report.regions {
        put(region::id(&region.name), region::row(report, region, links, today));
    }
    put("recent".into(), recent(report, links));
    parts
}

/// The first page, from its parts.
#[must_use]
pub fn page(setting: &Setting, report: &Report, parts: &Parts, version: &str) -> String {
    let part = |id: &str| PreEscaped(parts.get(id).map_or("", String::as_str));
    let headline = headline(report);
    let content = html! {
        (part("headline"))
        div class="inner" {
            (part("notices"))
            (part("current"))
            (part("hostnames"))
            section class="card" aria-labelledby="world-title" { h2 id="world-title" { "Where requests go" } (part("world")) }
            (part("planned"))
            section aria-labelledby="regions-title" {
                div class="title" { h2 id="regions-title" { "Regions" } p class="quiet" { "Open a region for its latency and its bad days." } }
                @if report.regions.is_empty() { p class="none" { "There are no regions." } }
                @for (provider, regions) in region::by_provider(report) {
                    div class="provider" {
                        (part(&provider_id(provider)))
                        div class="rows" { @for region in regions { (part(&region::id(&region.name))) } }
                    }
                }
                (legend())
            }
            (part("recent"))
        }
    };
    let description = format!("{}. {}", headline.title, headline.detail);
    let sheet = Sheet {
        path: "",
        title: &headline.title,
        description: &description,
        level: Some(headline.level),
        made: Some((super::words::machine(report.at), version.to_owned())),
        content,
    };
    framed(setting, &sheet)
}

fn headline_part(setting: &Setting, report: &Report) -> Markup {
    let headline = headline(report);
    let is_copy = setting.manner == Manner::Static;
    html! {
        section class={"hero " (headline.level.as_str())} id="headline" data-level=(headline.level.as_str()) {
            div class="inner" {
                (mark(headline.level))
                div {
                    h1 id="sentence" {
                        bdi { (breakable(&headline.title)) }
                        @if is_copy { span class="as-of" { " as of " (time(report.at)) } }
                    }
                    @if !headline.detail.is_empty() { p { bdi { (headline.detail) } } }
                    p class="looked" {
                        @if report.at.is_zero() {
                            "Nobody has looked yet."
                        } @else if is_copy {
                            "A copy of what was seen from " b { bdi { (report.vantage) } } "."
                        } @else {
                            "Looked at " (clock_time(report.at)) " from " b { bdi { (report.vantage) } }
                            span class="live" data-live="" hidden { "live" }
                        }
                    }
                }
            }
        }
    }
}

fn notices(report: &Report) -> Markup {
    html! {
        div id="notices" {
            @if report.is_suspect {
                p class="notice unknown" { (mark(Level::Unknown)) span { "This observer suspects its own network: what it shows may be wrong." } }
            }
            @if let Some(trouble) = &report.trouble {
                p class="notice degraded" { (mark(Level::Degraded)) span { "The history on this page has a gap since " (time(trouble.since)) ". What is shown of now is not affected." } }
            }
        }
    }
}

fn current(report: &Report, links: Links) -> Markup {
    let open: Vec<&Incident> = report.incidents.iter().filter(|incident| !incident.phase.is_over()).collect();
    let under_way: Vec<&Incident> =
        report.maintenance.iter().filter(|window| window.phase == Phase::InProgress).collect();
    html! {
        div id="current" {
            @if !open.is_empty() {
                section class="incidents" aria-labelledby="current-title" {
                    h2 id="current-title" { "Open incidents" }
                    @for incident in open { (brief(incident, links, report.at, true)) }
                }
            }
            @if !under_way.is_empty() {
                section class="incidents" aria-labelledby="under-way-title" {
                    h2 id="under-way-title" { "Maintenance under way" }
                    @for window in under_way { (planned(window, links)) }
                }
            }
        }
    }
}

fn planned_part(report: &Report, links: Links) -> Markup {
    let is_ahead = |window: &&Incident| !window.phase.is_over() && window.phase != Phase::InProgress;
    let ahead: Vec<&Incident> = report.maintenance.iter().filter(is_ahead).collect();
    html! {
        div id="planned" {
            @if !ahead.is_empty() {
                section class="incidents" aria-labelledby="planned-title" {
                    h2 id="planned-title" { "Planned maintenance" }
                    @for window in ahead { (planned(window, links)) }
                }
            }
        }
    }
}

fn hostnames(report: &Report, links: Links, today: u32) -> Markup {
    html! {
        section id="hostnames" aria-labelledby="hostnames-title" {
            h2 id="hostnames-title" { "Hostnames" }
            @if report.hostnames.is_empty() { p class="none" { "There are no hostnames but the regions’ own." } }
            @if !report.hostnames.is_empty() {
                div class="cards" { @for hostname in &report.hostnames { (hostname_row(report, hostname, links, today)) } }
            }
        }
    }
}

/// The sentence of a hostname; made of what it consists of where the report has none.
#[must_use]
pub fn sentence(hostname: &HostnameReport) -> String {
    if !hostname.sentence.is_empty() {
        return hostname.sentence.clone();
    }
    let codes = |names: &[String]| listed(&names.iter().map(|name| code(name)).collect::<Vec<_>>());
    let mut words = match hostname.serving.as_slice() {
        [] => "served by nobody".to_owned(),
        serving => format!("served from {}", codes(serving)),
    };
    for (name, why) in &hostname.missing {
        words += &format!("; {} {why}", code(name));
    }
    for (name, is_ready) in &hostname.fallbacks {
        words += &format!("; fallback {} {}", code(name), if *is_ready { "ready" } else { "not ready" });
    }
    words
}

fn hostname_row(report: &Report, hostname: &HostnameReport, links: Links, today: u32) -> Markup {
    let open = report.incidents.iter().find(|incident| {
        let is_its = |subject: &crate::history::story::Subject| {
            matches!(subject, crate::history::story::Subject::Hostname(name) if *name == hostname.name)
        };
        !incident.phase.is_over() && incident.subjects.iter().any(is_its)
    });
    html! {
        article class="hostname" id={"hostname-" (slug(&hostname.name))} {
            div class="line" {
                h3 { bdi { (breakable(&hostname.name)) } }
                (standing(hostname.level))
            }
            p class="sentence" {
                bdi { (sentence(hostname)) }
                @if hostname.level > Level::Maintenance && !hostname.since.is_zero() { " · since " (time(hostname.since)) }
                @if let Some(incident) = open { " · " a href=(links.page(&format!("incident/{}", slug(&incident.id)))) { "incident" span class="unseen" { ": " (incident.title) } } }
            }
            (bars(&hostname.days, today, hostname.uptime))
            p class="scale" { span { "90 days ago" } span class="number" { @if let Some(uptime) = hostname.uptime { (percent(uptime)) } @else { "not watched yet" } } span { "today" } }
        }
    }
}

fn recent(report: &Report, links: Links) -> Markup {
    let is_recent = |incident: &&Incident| {
        incident.phase.is_over()
            && report.at.saturating_sub(incident.closed_at.unwrap_or(incident.updated_at())) < RECENT
    };
    let all: Vec<&Incident> = report.incidents.iter().filter(is_recent).collect();
    html! {
        section id="recent" class="incidents" aria-labelledby="recent-title" {
            div class="title" {
                h2 id="recent-title" { "The last 14 days" }
                a href=(links.page("history")) { "All history" }
            }
            @if all.is_empty() { p class="none" { "No incident has ended in the last 14 days." } }
            @for incident in all.iter().take(RECENT_MAX) { (brief(incident, links, report.at, false)) }
            @if all.len() > RECENT_MAX { p class="quiet" { "And " (all.len() - RECENT_MAX) " more." } }
        }
    }
}
