//! What of a report was not told yet.

use crate::history::story::{Incident, Phase, Report, Update};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;

/// An update older than this when it is first seen is history, and told to nobody.
pub const NEWS_MAX: Duration = Duration::from_secs(24 * 3_600);

/// One update, with its incident as it was then: what messages about it are made of, however late they go out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The incident; this update is its last.
    pub incident: Incident,
}

impl News {
    /// The update at `at` of `incident`.
    #[must_use]
    pub fn of(incident: &Incident, at: usize) -> Option<Self> {
        let update = incident.updates.get(at)?;
        let mut then = incident.clone();
        then.updates.truncate(at + 1);
        then.phase = update.phase;
        then.closed_at = incident.closed_at.filter(|_| update.phase.is_over());
        then.post_mortem = None;
        Some(Self { incident: then })
    }

    /// The update itself.
    ///
    /// # Panics
    /// Never: it was made of one.
    #[must_use]
    pub fn update(&self) -> &Update {
        self.incident.updates.last().expect("it was made of an update")
    }

    /// What has happened, as programs are told.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match (self.update().phase, self.incident.updates.len()) {
            (Phase::Resolved, _) => "incident.resolved",
            (Phase::Scheduled, 1) => "maintenance.scheduled",
            (Phase::InProgress, _) => "maintenance.started",
            (Phase::Completed, _) => "maintenance.completed",
            _ if self.incident.is_maintenance() => "maintenance.updated",
            (_, 1) => "incident.created",
            _ => "incident.updated",
        }
    }
}

/// The updates in `report` that are not among `known`, oldest first.
#[must_use]
pub fn news(report: &Report, known: &HashSet<String>) -> Vec<News> {
    let incidents = report.incidents.iter().chain(&report.maintenance);
    let mut news: Vec<News> = incidents
        .flat_map(|incident| {
            let new = incident.updates.iter().enumerate().filter(|(_, update)| !known.contains(&update.id));
            new.filter_map(|(at, _)| News::of(incident, at)).collect::<Vec<_>>()
        })
        .collect();
    news.sort_by_key(|news| news.update().at);
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::story::{Impact, Subject};

    fn update(id: &str, at: u64, phase: Phase) -> Update {
        Update { id: id.to_owned(), at: Duration::from_secs(at), phase, text: String::new(), by_operator: false }
    }

    fn incident(id: &str, updates: Vec<Update>) -> Incident {
        let last = updates.last().expect("one at least");
        Incident {
            id: id.to_owned(),
            title: "orf is down".to_owned(),
            phase: last.phase,
            impact: Impact::Major,
            subjects: vec![Subject::Region("orf".to_owned())],
            opened_at: updates[0].at,
            closed_at: last.phase.is_over().then_some(last.at),
            window: None,
            is_automatic: true,
            post_mortem: Some("the cable".to_owned()),
            updates,
        }
    }

    #[test]
    fn each_update_is_told_once_oldest_first_as_it_was_then() {
        let one = incident("a", vec![update("a1", 10, Phase::Investigating), update("a2", 30, Phase::Resolved)]);
        let other = incident("b", vec![update("b1", 20, Phase::Investigating)]);
        let report = Report { incidents: vec![one, other], ..Report::default() };
        let told = news(&report, &HashSet::new());
        let ids: Vec<&str> = told.iter().map(|news| &*news.update().id).collect();
        assert_eq!(ids, ["a1", "b1", "a2"]);
        assert_eq!((told[0].incident.phase, told[0].incident.closed_at), (Phase::Investigating, None));
        assert_eq!(told[0].incident.post_mortem, None);
        let events: Vec<&str> = told.iter().map(News::event).collect();
        assert_eq!(events, ["incident.created", "incident.created", "incident.resolved"]);
        let known: HashSet<String> = ["a1", "a2", "b1"].map(str::to_owned).into();
        assert!(news(&report, &known).is_empty());
    }

    #[test]
    fn a_maintenance_is_told_as_one() {
        let phases = [Phase::Scheduled, Phase::Scheduled, Phase::InProgress, Phase::Completed];
        let updates =
            phases.iter().enumerate().map(|(at, phase)| update(&format!("m{at}"), at as u64, *phase)).collect();
        let mut maintenance = incident("m", updates);
        maintenance.window = Some((Duration::from_secs(2), Duration::from_secs(3)));
        let events: Vec<&str> = (0..4).filter_map(|at| News::of(&maintenance, at)).map(|news| news.event()).collect();
        assert_eq!(
            events,
            ["maintenance.scheduled", "maintenance.updated", "maintenance.started", "maintenance.completed"]
        );
    }
}
