//! The report for programs, in the shape of Statuspage's version 2, which many tools read already. Pure.
//!
//! What that shape cannot say is said by its next worse word: there is no "unknown", so what nobody could look at is
//! `degraded_performance`, never `operational`.

use super::page::Setting;
use super::page::region::{by_provider, provider_name};
use super::page::words::{code, headline, slug};
use crate::history::story::{Incident, Level, Phase, Report, Subject, Update, stable_id};
use crate::moment::rfc3339;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Where the documents are.
pub const ROOT: &str = "api/v2/";

/// The id of what is called `name` among its kind.
fn id(kind: &str, name: &str) -> String {
    stable_id(&format!("{kind}:{name}"))
}

fn status_of(level: Level) -> &'static str {
    match level {
        Level::Operational => "operational",
        Level::Maintenance => "under_maintenance",
        Level::Unknown | Level::Degraded => "degraded_performance",
        Level::Partial => "partial_outage",
        Level::Major => "major_outage",
    }
}

fn indicator_of(level: Level) -> &'static str {
    match level {
        Level::Operational => "none",
        Level::Maintenance => "maintenance",
        Level::Unknown | Level::Degraded => "minor",
        Level::Partial => "major",
        Level::Major => "critical",
    }
}

/// What all documents of one report have in common.
struct Interface<'a> {
    setting: &'a Setting,
    report: &'a Report,
    page_id: String,
    components: Vec<Value>,
}

/// All documents, by their paths below [`ROOT`].
#[must_use]
pub fn documents(setting: &Setting, report: &Report) -> Vec<(&'static str, Value)> {
    let mut this = Interface { setting, report, page_id: id("page", &report.fleet), components: Vec::new() };
    this.components = this.all_components();
    let state = headline(report);
    let status = json!({ "indicator": indicator_of(state.level), "description": state.title });
    let incidents = |wanted: fn(&Incident) -> bool| this.incidents(&report.incidents, wanted);
    let windows = |wanted: fn(&Incident) -> bool| this.incidents(&report.maintenance, wanted);
    let components = json!(this.components);
    let open = incidents(|incident| !incident.phase.is_over());
    let ahead = windows(|window| !window.phase.is_over());
    vec![
        (
            "summary.json",
            this.document([
                ("components", components.clone()),
                ("incidents", open.clone()),
                ("scheduled_maintenances", ahead),
                ("status", status.clone()),
            ]),
        ),
        ("status.json", this.document([("status", status)])),
        ("components.json", this.document([("components", components)])),
        ("incidents.json", this.document([("incidents", incidents(|_| true))])),
        ("incidents/unresolved.json", this.document([("incidents", open)])),
        ("scheduled-maintenances.json", this.document([("scheduled_maintenances", windows(|_| true))])),
        (
            "scheduled-maintenances/upcoming.json",
            this.document([("scheduled_maintenances", windows(|window| window.phase == Phase::Scheduled))]),
        ),
        (
            "scheduled-maintenances/active.json",
            this.document([("scheduled_maintenances", windows(|window| window.phase == Phase::InProgress))]),
        ),
    ]
}

impl Interface<'_> {
    fn document<const N: usize>(&self, parts: [(&str, Value); N]) -> Value {
        let page = json!({
            "id": self.page_id,
            "name": self.setting.title,
            "url": self.setting.url,
            "time_zone": "Etc/UTC",
            "updated_at": rfc3339(self.report.at),
        });
        let parts = parts.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(std::iter::once(("page".to_owned(), page)).chain(parts).collect::<Map<_, _>>())
    }

    /// The hostnames in a group of their own, then each provider with its regions.
    fn all_components(&self) -> Vec<Value> {
        let report = self.report;
        let mut all = Vec::new();
        let hostnames: Vec<(String, String, Level, Duration, String)> = report
            .hostnames
            .iter()
            .map(|hostname| {
                let description = super::page::overview::sentence(hostname);
                (id("hostname", &hostname.name), hostname.name.clone(), hostname.level, hostname.since, description)
            })
            .collect();
        if !hostnames.is_empty() {
            self.group(&mut all, ("group", "hostnames"), "Hostnames", &hostnames);
        }
        for (provider, regions) in by_provider(report) {
            let regions: Vec<_> = regions
                .iter()
                .map(|region| {
                    let place = [region.city.clone(), region.country.clone()].into_iter().flatten();
                    let description = place.collect::<Vec<_>>().join(", ");
                    (id("region", &region.name), code(&region.name), region.level, region.since, description)
                })
                .collect();
            self.group(&mut all, ("provider", provider), &provider_name(provider), &regions);
        }
        all
    }

    fn group(
        &self,
        all: &mut Vec<Value>,
        (kind, key): (&str, &str),
        name: &str,
        members: &[(String, String, Level, Duration, String)],
    ) {
        let group = id(kind, key);
        let level = members.iter().map(|(_, _, level, ..)| *level).max().unwrap_or_default();
        let since = members.iter().map(|(_, _, _, since, _)| *since).max().unwrap_or_default();
        let ids: Vec<&str> = members.iter().map(|(id, ..)| id.as_str()).collect();
        let mut head = self.component(&group, name, (level, since), None, all.len() + 1);
        head["group"] = json!(true);
        head["components"] = json!(ids);
        all.push(head);
        for (at, (id, name, level, since, description)) in members.iter().enumerate() {
            let mut member = self.component(id, name, (*level, *since), Some(&group), at + 1);
            member["description"] = if description.is_empty() { Value::Null } else { json!(description) };
            all.push(member);
        }
    }

    fn component(
        &self,
        id: &str,
        name: &str,
        (level, since): (Level, Duration),
        group: Option<&str>,
        position: usize,
    ) -> Value {
        json!({
            "id": id,
            "name": name,
            "status": status_of(level),
            "created_at": rfc3339(Duration::ZERO),
            "updated_at": rfc3339(since),
            "position": position,
            "description": null,
            "showcase": group.is_some(),
            "start_date": null,
            "group_id": group,
            "page_id": self.page_id,
            "group": false,
            "only_show_if_degraded": false,
        })
    }

    fn incidents(&self, all: &[Incident], wanted: fn(&Incident) -> bool) -> Value {
        all.iter().filter(|incident| wanted(incident)).map(|incident| self.incident(incident)).collect()
    }

    fn incident(&self, incident: &Incident) -> Value {
        let first = |phase: Phase| incident.updates.iter().find(|update| update.phase == phase).map(|update| update.at);
        let ids: Vec<String> = incident.subjects.iter().map(Subject::id).collect();
        let components: Vec<&Value> =
            self.components.iter().filter(|component| ids.iter().any(|id| component["id"] == **id)).collect();
        let mut told = json!({
            "id": incident.id,
            "name": incident.title,
            "status": incident.phase.as_str(),
            "created_at": rfc3339(incident.opened_at),
            "updated_at": rfc3339(incident.updated_at()),
            "monitoring_at": first(Phase::Monitoring).map(rfc3339),
            "resolved_at": incident.closed_at.map(rfc3339),
            "impact": incident.impact.as_str(),
            "shortlink": format!("{}/incident/{}", self.setting.url, slug(&incident.id)),
            "started_at": rfc3339(incident.window.map_or(incident.opened_at, |(from, _)| from)),
            "page_id": self.page_id,
            "incident_updates": incident.updates.iter().rev().map(|update| told_update(incident, update)).collect::<Vec<_>>(),
            "components": components,
        });
        if let Some((from, until)) = incident.window {
            told["scheduled_for"] = json!(rfc3339(from));
            told["scheduled_until"] = json!(rfc3339(until));
        }
        told
    }
}

fn told_update(incident: &Incident, update: &Update) -> Value {
    json!({
        "id": update.id,
        "status": update.phase.as_str(),
        "body": update.text,
        "incident_id": incident.id,
        "created_at": rfc3339(update.at),
        "updated_at": rfc3339(update.at),
        "display_at": rfc3339(update.at),
        "affected_components": null,
        "deliver_notifications": true,
        "custom_tweet": null,
        "tweet_id": null,
    })
}
