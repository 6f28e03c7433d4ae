//! What operators write for everybody to read: incidents and maintenance at the admin address.
//!
//! Every wish is in the audit log before it is done, with the name of who has it; nothing public ever says who it was.

use super::answer::{Answer, Desk, Refused, check_text, json_answer, parsed, read};
use super::drains::{Operator, REASON_CHARACTERS_MAX, Wish};
use crate::history::desk::{Denied, Written};
use crate::history::incidents::operator::{Refusal, Writing};
use crate::history::story::{Impact, Incident, Phase, Subject, Update};
use crate::moment::{rfc3339, since_epoch};
use http::Method;
use http::request::Parts;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// What a wish about an incident or a maintenance is given. Which fields matter depends on the path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentBody {
    /// One line of plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Plain text, perhaps of several lines.
    pub text: String,
    /// `none`, `minor`, `major` or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// `investigating`, `identified`, `monitoring` or `resolved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// `region:NAME` and `hostname:NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// From when a maintenance is (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until when (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Who says so, for the audit log.
    pub who: String,
}

/// An incident or a maintenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its identifier.
    pub id: String,
    /// One line.
    pub title: String,
    /// Where it is.
    pub phase: Phase,
    /// How bad it is at its worst.
    pub impact: Impact,
    /// What it is about.
    pub subjects: Vec<String>,
    /// When it was opened (RFC 3339).
    pub opened_at: String,
    /// When it was over (RFC 3339).
    pub closed_at: Option<String>,
    /// Of a maintenance: from when (RFC 3339).
    pub from: Option<String>,
    /// Of a maintenance: until when (RFC 3339).
    pub until: Option<String>,
    /// Whether it opened by itself.
    pub automatic: bool,
    /// Its updates, oldest first.
    pub updates: Vec<UpdateView>,
    /// What was learnt.
    pub post_mortem: Option<String>,
}

/// An update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateView {
    /// Its identifier.
    pub id: String,
    /// When (RFC 3339).
    pub at: String,
    /// What it came to.
    pub phase: Phase,
    /// What it says.
    pub text: String,
    /// Whether a person wrote it.
    pub by_operator: bool,
}

/// What `GET /incidents` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentsView {
    /// The open ones first, then the others, newest first.
    pub incidents: Vec<IncidentView>,
    /// What is or will be, the next first, then what is over.
    pub maintenance: Vec<IncidentView>,
    /// Why the history is not what it should be.
    pub trouble: Option<String>,
}

/// What a wish is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrittenView {
    /// The incident as it is now.
    pub incident: IncidentView,
    /// Why it is only told and not kept yet, if so.
    pub unkept: Option<String>,
}

impl IncidentView {
    fn of(incident: &Incident) -> Self {
        let update = |update: &Update| UpdateView {
            id: update.id.clone(),
            at: rfc3339(update.at),
            phase: update.phase,
            text: update.text.clone(),
            by_operator: update.by_operator,
        };
        Self {
            id: incident.id.clone(),
            title: incident.title.clone(),
            phase: incident.phase,
            impact: incident.impact,
            subjects: incident.subjects.iter().map(ToString::to_string).collect(),
            opened_at: rfc3339(incident.opened_at),
            closed_at: incident.closed_at.map(rfc3339),
            from: incident.window.map(|(from, _)| rfc3339(from)),
            until: incident.window.map(|(_, until)| rfc3339(until)),
            automatic: incident.is_automatic,
            updates: incident.updates.iter().map(update).collect(),
            post_mortem: incident.post_mortem.clone(),
        }
    }
}

/// Whether `path` is answered here.
pub(super) fn is_ours(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    path.starts_with('/') && matches!(first, Some("incidents" | "maintenance"))
}

/// Answers what is asked below `/incidents` and `/maintenance`.
pub(super) async fn answer(desk: &Desk, peer: IpAddr, parts: &Parts, body: Incoming) -> Result<Answer, Refused> {
    let path = parts.uri.path();
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    let is_get = parts.method == Method::GET || parts.method == Method::HEAD;
    match (&parts.method, steps.as_slice()) {
        (_, ["incidents" | "maintenance"]) if is_get => Ok(json_answer(&all(desk))),
        (_, ["incidents" | "maintenance", id]) if is_get => {
            let all = all(desk);
            let found = all.incidents.iter().chain(&all.maintenance).find(|incident| incident.id == *id);
            found.map(json_answer).ok_or_else(|| refused(&Refusal::NotFound((*id).to_owned())))
        }
        (&Method::POST, steps) => {
            let body: IncidentBody = parsed(&read(body).await?)?;
            check_text("who", &body.who)?;
            let (action, writing) = writing(steps, body.clone(), path)?;
            written(desk, peer, action, writing, &body).await
        }
        _ => Err(Refused::method(path, if steps.len() > 2 { "POST" } else { "GET or POST" })),
    }
}

fn all(desk: &Desk) -> IncidentsView {
    let told = desk.history.told();
    IncidentsView {
        incidents: told.incidents.iter().map(IncidentView::of).collect(),
        maintenance: told.maintenance.iter().map(IncidentView::of).collect(),
        trouble: told.trouble.as_ref().map(|trouble| trouble.why.clone()),
    }
}

/// What is wanted, by the path, and how the audit log calls it.
fn writing(steps: &[&str], body: IncidentBody, path: &str) -> Result<(&'static str, Writing), Refused> {
    let IncidentBody { title, text, impact, phase, subjects, from, until, .. } = body;
    let subjects: Vec<Subject> = subjects
        .iter()
        .map(|subject| Subject::parse(subject).map_err(|why| Refused::new(400, why)))
        .collect::<Result<_, _>>()?;
    let time = |name: &str, text: Option<String>| -> Result<Option<Duration>, Refused> {
        let wrong = |text: &str| Refused::new(400, format!("{name} {text:?} is no time: 2027-01-31T22:00:00Z is one"));
        text.map(|text| since_epoch(&text).ok_or_else(|| wrong(&text))).transpose()
    };
    let (from, until) = (time("from", from)?, time("until", until)?);
    let missing = |what: &str| Refused::new(400, format!("{what} is missing"));
    let needs_title = || title.clone().ok_or_else(|| missing("title"));
    Ok(match steps {
        ["incidents"] => ("incident_open", Writing::Open { title: needs_title()?, text, impact, phase, subjects }),
        ["incidents", id, "updates"] => {
            ("incident_update", Writing::Update { id: (*id).to_owned(), phase, impact, text })
        }
        ["incidents", id, "resolve"] => {
            let id = (*id).to_owned();
            ("incident_resolve", Writing::Update { id, phase: Some(Phase::Resolved), impact, text })
        }
        ["incidents" | "maintenance", id, "post-mortem"] => {
            ("incident_post_mortem", Writing::PostMortem { id: (*id).to_owned(), text })
        }
        ["maintenance"] => {
            let (from, until) = (from.ok_or_else(|| missing("from"))?, until.ok_or_else(|| missing("until"))?);
            ("maintenance_schedule", Writing::Schedule { title: needs_title()?, text, subjects, from, until })
        }
        ["maintenance", id] => ("maintenance_move", Writing::Move { id: (*id).to_owned(), from, until, text }),
        ["maintenance", id, "updates"] => {
            ("maintenance_update", Writing::Update { id: (*id).to_owned(), phase: None, impact: None, text })
        }
        ["maintenance", id, "cancel"] => ("maintenance_cancel", Writing::Cancel { id: (*id).to_owned(), text }),
        _ => return Err(Refused::new(404, format!("there is no {path:?} here; GET / tells what there is"))),
    })
}

async fn written(
    desk: &Desk,
    peer: IpAddr,
    action: &'static str,
    writing: Writing,
    body: &IncidentBody,
) -> Result<Answer, Refused> {
    writing.check().map_err(|refusal| refused(&refusal))?;
    let reason = body.title.as_ref().unwrap_or(&body.text);
    let reason: String = reason.chars().take(REASON_CHARACTERS_MAX).collect();
    let operator = Operator { who: body.who.clone(), from: peer, reason };
    let target = writing.id().map(|id| id.chars().take(64).collect::<String>());
    let note = |action| Wish::Note { action, target: target.clone() };
    desk.ask(note(action), operator.clone()).await?;
    match desk.history.write(writing).await {
        Ok(Written { incident, unkept }) => {
            Ok(json_answer(&WrittenView { incident: IncidentView::of(&incident), unkept }))
        }
        Err(denied) => {
            // The log must not claim what did not happen.
            desk.ask(note("failed"), operator).await?;
            Err(match &denied {
                Denied::Refused(refusal) => refused(refusal),
                Denied::Busy => Refused::new(503, denied.to_string()),
            })
        }
    }
}

fn refused(refusal: &Refusal) -> Refused {
    let status = match refusal {
        Refusal::NotFound(_) | Refusal::Subject(_) => 404,
        Refusal::Title(_) | Refusal::Text(_) => 400,
        Refusal::Unfit(_) | Refusal::TooMany(_) => 409,
    };
    Refused::new(status, refusal.to_string())
}
