//! Where people ask to be told: feeds, mail and webhooks, of a region, a hostname or everything.

use super::words::{breakable, code, slug};
use super::{Links, Manner, Setting, Sheet, framed};
use crate::history::story::{Report, Subject};
use maud::{Markup, html};

/// The page with the forms.
#[must_use]
pub fn page(setting: &Setting, report: &Report) -> String {
    let links = Links::at("subscribe", setting.manner);
    // A copy lies where nobody takes forms: they go to the node.
    let to = if setting.manner == Manner::Live { "subscribe".to_owned() } else { format!("{}/subscribe", setting.url) };
    let content = html! {
        div class="inner reading" {
            h1 { "Subscribe" }
            p class="quiet" { "Be told when an incident opens, changes and ends, and of maintenance before it begins." }
            @if setting.has_mail {
                section class="card" aria-labelledby="mail" {
                    h2 id="mail" { "By mail" }
                    form method="post" action=(to) {
                        input type="hidden" name="kind" value="mail";
                        label { "Your address" input type="email" name="to" required maxlength="254" autocomplete="email"; }
                        (scopes(report, &[]))
                        div class="buttons" { button { "Subscribe" } span class="quiet" { "You get a mail with a link to confirm. Every mail has a link to end it." } }
                    }
                }
            }
            @if setting.has_webhooks {
                section class="card" aria-labelledby="webhook" {
                    h2 id="webhook" { "By webhook" }
                    form method="post" action=(to) {
                        input type="hidden" name="kind" value="webhook";
                        label { "URL, https only" input type="url" name="to" required maxlength="2048" pattern="https://.*" placeholder="https://"; }
                        (scopes(report, &[]))
                        div class="buttons" { button { "Subscribe" } span class="quiet" { "Signed by the Standard Webhooks scheme. The secret is shown once, on the next page." } }
                    }
                }
            }
            (feeds(report, links))
            (programs(report, links))
        }
    };
    let sheet = Sheet {
        path: "subscribe",
        title: "Subscribe",
        description: "Be told of incidents and maintenance by mail, feed or webhook.",
        level: None,
        made: None,
        content,
    };
    framed(setting, &sheet)
}

/// What to be told about; `chosen` is it already.
#[must_use]
pub fn scopes(report: &Report, chosen: &[Subject]) -> Markup {
    let is_chosen = |subject: Subject| chosen.contains(&subject);
    html! {
        fieldset {
            legend { "About" }
            p class="quiet" { "Choose what you want to hear of; nothing chosen is everything." }
            div class="choices" {
                @for hostname in &report.hostnames {
                    label { input type="checkbox" name="scope" value={"hostname:" (hostname.name)} checked[is_chosen(Subject::Hostname(hostname.name.clone()))]; bdi { (breakable(&hostname.name)) } }
                }
                @for region in &report.regions {
                    label { input type="checkbox" name="scope" value={"region:" (region.name)} checked[is_chosen(Subject::Region(region.name.clone()))]; span { bdi { (code(&region.name)) } @if let Some(city) = &region.city { span class="quiet" { " " bdi { (city) } } } } }
                }
            }
        }
    }
}

fn feeds(report: &Report, links: Links) -> Markup {
    let both = |path: &str, name: &str| {
        html! {
            tr {
                th scope="row" { bdi { (name) } }
                td { a href=(links.file(&format!("{path}.atom"))) { "Atom" span class="unseen" { " of " (name) } } }
                td { a href=(links.file(&format!("{path}.rss"))) { "RSS" span class="unseen" { " of " (name) } } }
            }
        }
    };
    html! {
        section class="card" aria-labelledby="feeds" {
            h2 id="feeds" { "By feed" }
            div class="scroll" tabindex="0" role="region" aria-label="Feeds of each hostname and region" {
                table {
                    thead { tr { th scope="col" { "About" } th scope="col" { "Atom" } th scope="col" { "RSS" } } }
                    tbody {
                        (both("history", "Everything"))
                        @for hostname in &report.hostnames { (both(&format!("feed/hostname/{}", slug(&hostname.name)), &hostname.name)) }
                        @for region in &report.regions { (both(&format!("feed/region/{}", slug(&region.name)), &code(&region.name))) }
                    }
                }
            }
        }
    }
}

fn programs(report: &Report, links: Links) -> Markup {
    let documents = [
        ("summary.json", "Everything at a glance"),
        ("status.json", "The state in a word"),
        ("components.json", "Hostnames and regions"),
        ("incidents.json", "Incidents of the last 90 days"),
        ("incidents/unresolved.json", "Open incidents"),
        ("scheduled-maintenances.json", "Maintenance"),
    ];
    html! {
        section class="card" aria-labelledby="programs" {
            h2 id="programs" { "For programs and pages" }
            p class="quiet" { "JSON in the shape of Statuspage’s version 2, readable from any page." }
            ul class="plain" {
                @for (path, what) in documents {
                    @let path = format!("{}{path}", crate::status::api::ROOT);
                    li { a href=(links.file(&path)) { code { (path) } } " " span class="quiet" { (what) } }
                }
                li { a href=(links.file("badge.svg")) { code { "badge.svg" } } " " span class="quiet" { "A badge of everything" } }
                @if let Some(region) = report.regions.first() {
                    @let path = format!("badge/region/{}.svg", slug(&region.name));
                    li { a href=(links.file(&path)) { code { (path) } } " " span class="quiet" { "and of each region and hostname" } }
                }
            }
        }
    }
}
