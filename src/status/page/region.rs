//! A region in a row that opens: 90 days, the latency of a day, what went wrong, and who runs it.

use super::Links;
use super::marks::{bars, latency, mark, standing, troubled_days};
use super::words::{code, lasted, milliseconds, percent, slug, time};
use crate::history::story::{Incident, Level, RegionReport, Report, Subject};
use maud::{Markup, html};

/// Incidents in a region's row at most, the newest.
const INCIDENTS_MAX: usize = 8;

/// The id of a region's part.
#[must_use]
pub fn id(name: &str) -> String {
    format!("region-{}", slug(name))
}

/// The id of a provider's part.
#[must_use]
pub fn provider_id(provider: &str) -> String {
    format!("provider-{}", slug(provider))
}

/// The regions of each provider, in the order in which providers are written first.
#[must_use]
pub fn by_provider(report: &Report) -> Vec<(&str, Vec<&RegionReport>)> {
    let mut groups: Vec<(&str, Vec<&RegionReport>)> = Vec::new();
    for region in &report.regions {
        match groups.iter_mut().find(|(provider, _)| *provider == region.provider) {
            Some((_, regions)) => regions.push(region),
            None => groups.push((&region.provider, vec![region])),
        }
    }
    groups
}

/// What a provider is called by people.
#[must_use]
pub fn provider_name(provider: &str) -> String {
    match provider {
        "aws" => "AWS".to_owned(),
        "gcp" => "Google Cloud".to_owned(),
        "azure" => "Azure".to_owned(),
        "oci" => "Oracle Cloud".to_owned(),
        "" => "Other".to_owned(),
        other => other.to_owned(),
    }
}

/// The head above a provider's regions.
#[must_use]
pub fn provider(provider: &str, regions: &[&RegionReport]) -> Markup {
    let good = regions.iter().filter(|region| region.level == Level::Operational).count();
    html! {
        h3 id=(provider_id(provider)) {
            bdi { (provider_name(provider)) } " "
            span class="quiet" { @if good == regions.len() { "all " (good) " operational" } @else { (good) " of " (regions.len()) " operational" } }
        }
    }
}

/// Why a region is as it is, in public words: what steering calls its standing, and the reason where it names nothing of
/// the inside.
fn why(region: &RegionReport) -> Option<String> {
    if region.level == Level::Operational {
        return None;
    }
    let standing = match region.standing.as_str() {
        "strained" => "slow or full: takes less than its share",
        "ejected" => "failed live requests: left out for a while",
        "down" => "does not answer probes",
        "unknown" => "not probed yet",
        _ => "",
    };
    match (standing, region.reason.as_str()) {
        ("", "") => None,
        (standing, "") => Some(standing.to_owned()),
        (_, reason) => Some(reason.to_owned()),
    }
}

/// A region's row. What is inside is there only once it is opened, for those who look; readers without the script have it
/// as well.
#[must_use]
pub fn row(report: &Report, region: &RegionReport, links: Links, today: u32) -> Markup {
    let place = match (&region.city, &region.country) {
        (Some(city), Some(country)) => format!("{city}, {country}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => String::new(),
    };
    let is_bad = region.level != Level::Operational;
    html! {
        details class="region" id=(id(&region.name)) {
            summary {
                span class={"who " (region.level.as_str())} {
                    (mark(region.level))
                    b class="code" { bdi { (code(&region.name)) } }
                    span class="place" { bdi { (place) } }
                    span class=(if is_bad { "word" } else { "unseen" }) { (region.level.words()) }
                }
                (bars(&region.days, today, region.uptime))
                span class="number uptime" { @if let Some(uptime) = region.uptime { (percent(uptime)) } @else { "–" } }
                span class="number ms" { @if let Some(ms) = region.latency_ms { (milliseconds(ms)) } @else { "–" } }
            }
            div class="inside" { (inside(report, region, links)) }
        }
    }
}

fn inside(report: &Report, region: &RegionReport, links: Links) -> Markup {
    let bad_days = troubled_days(&region.days);
    let name = slug(&region.name);
    html! {
        @if let Some(why) = why(region) {
            p class="why" {
                (standing(region.level)) ": " bdi { (why) }
                @if !region.since.is_zero() { " · for " (lasted(report.at.saturating_sub(region.since))) ", since " (time(region.since)) }
            }
        }
        div class="halves" {
            section {
                h4 { "Latency of probes, 24 hours" }
                (latency(&region.recent, report.at))
            }
            section {
                h4 { "Days with trouble" }
                @if bad_days.is_empty() { p class="none" { "None in the days watched." } } @else {
                    ul class="plain" { @for day in &bad_days { li { (day) } } }
                }
                h4 { "Incidents" }
                (incidents(report, region, links))
            }
        }
        p class="quiet feeds" {
            "Follow " (code(&region.name)) ": "
            a href=(links.file(&format!("feed/region/{name}.atom"))) { "Atom" } " "
            a href=(links.file(&format!("feed/region/{name}.rss"))) { "RSS" } " "
            a href=(links.file(&format!("badge/region/{name}.svg"))) { "Badge" }
        }
    }
}

fn incidents(report: &Report, region: &RegionReport, links: Links) -> Markup {
    let is_its = |incident: &&Incident| {
        incident.subjects.iter().any(|subject| matches!(subject, Subject::Region(name) if *name == region.name))
    };
    let all = report.incidents.iter().chain(&report.maintenance);
    let own: Vec<&Incident> = all.filter(is_its).take(INCIDENTS_MAX).collect();
    html! {
        @if own.is_empty() { p class="none" { "None in the last 90 days." } } @else {
            ul class="plain" {
                @for incident in own {
                    li {
                        a href=(links.page(&format!("incident/{}", slug(&incident.id)))) { bdi { (incident.title) } }
                        " " span class="quiet" { (time(incident.window.map_or(incident.opened_at, |(from, _)| from))) }
                    }
                }
            }
        }
    }
}
