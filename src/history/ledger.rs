//! Incidents in the file. An incident is written whole, as often as it changes; an update is written once and never changes.

use super::incidents::Kept;
use super::records::{millis, readable};
use super::store::Module;
use super::story::{Impact, Incident, Phase, Subject, Update};
use rusqlite::{Row, Transaction};
use std::time::Duration;

/// The tables of incidents. `incident_update.id` is what deliveries are known by.
pub const MODULE: Module = Module {
    name: "incidents",
    steps: &["
        CREATE TABLE incident (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL, phase TEXT NOT NULL, impact TEXT NOT NULL,
            subjects TEXT NOT NULL, -- JSON: [\"region:orf\", …]
            opened_ms INTEGER NOT NULL, closed_ms INTEGER,
            from_ms INTEGER, until_ms INTEGER, -- a maintenance's window
            is_automatic INTEGER NOT NULL, post_mortem TEXT,
            hold_s INTEGER NOT NULL, -- how long all must be well before it closes
            is_taken_over INTEGER NOT NULL -- whether an operator has written to it
        ) STRICT;
        CREATE INDEX incident_opened ON incident (opened_ms);
        CREATE TABLE incident_update (
            id TEXT PRIMARY KEY,
            incident TEXT NOT NULL REFERENCES incident (id),
            at_ms INTEGER NOT NULL, phase TEXT NOT NULL, text TEXT NOT NULL, by_operator INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX incident_update_of ON incident_update (incident);
    "],
};

const PHASES: [Phase; 7] = [
    Phase::Investigating,
    Phase::Identified,
    Phase::Monitoring,
    Phase::Resolved,
    Phase::Scheduled,
    Phase::InProgress,
    Phase::Completed,
];
const IMPACTS: [Impact; 5] = [Impact::None, Impact::Maintenance, Impact::Minor, Impact::Major, Impact::Critical];

/// Writes `all`, each with the updates that are new. As often as one likes.
///
/// # Errors
/// If nothing of it was kept.
pub fn keep(tx: &Transaction<'_>, all: &[Kept]) -> rusqlite::Result<()> {
    let mut write = tx.prepare(
        "INSERT INTO incident (id, title, phase, impact, subjects, opened_ms, closed_ms, from_ms, until_ms,
             is_automatic, post_mortem, hold_s, is_taken_over)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET title = excluded.title, phase = excluded.phase, impact = excluded.impact,
             subjects = excluded.subjects, closed_ms = excluded.closed_ms, from_ms = excluded.from_ms,
             until_ms = excluded.until_ms, post_mortem = excluded.post_mortem, hold_s = excluded.hold_s,
             is_taken_over = excluded.is_taken_over",
    )?;
    let mut update = tx.prepare(
        "INSERT OR IGNORE INTO incident_update (id, incident, at_ms, phase, text, by_operator)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for kept in all {
        let incident = &kept.incident;
        let subjects = serde_json::to_string(&incident.subjects).expect("names are plain JSON");
        write.execute(rusqlite::params![
            incident.id,
            incident.title,
            incident.phase.as_str(),
            incident.impact.as_str(),
            subjects,
            millis(incident.opened_at),
            incident.closed_at.map(millis),
            incident.window.map(|(from, _)| millis(from)),
            incident.window.map(|(_, until)| millis(until)),
            incident.is_automatic,
            incident.post_mortem,
            kept.hold.as_secs(),
            kept.is_taken_over,
        ])?;
        for said in &incident.updates {
            let (at, phase) = (millis(said.at), said.phase.as_str());
            update.execute((&said.id, &incident.id, at, phase, &said.text, said.by_operator))?;
        }
    }
    Ok(())
}

/// What is open, and what was opened since `since`, oldest first; of the latter the newest `most`.
///
/// # Errors
/// If it cannot be read.
pub fn recall(tx: &Transaction<'_>, since: Duration, most: usize) -> rusqlite::Result<Vec<Kept>> {
    let mut all = tx.prepare(
        "SELECT id, title, phase, impact, subjects, opened_ms, closed_ms, from_ms, until_ms, is_automatic, post_mortem,
             hold_s, is_taken_over
         FROM incident WHERE opened_ms >= ?1 OR phase NOT IN ('resolved', 'completed') ORDER BY opened_ms DESC, id DESC",
    )?;
    let rows = all.query_map([millis(since)], kept_of)?;
    let mut kept = Vec::new();
    let mut over = 0;
    for row in rows {
        let Some(mut one) = readable(row)? else { continue };
        over += usize::from(one.incident.phase.is_over());
        if one.incident.phase.is_over() && over > most {
            continue;
        }
        let mut updates = tx.prepare(
            "SELECT id, at_ms, phase, text, by_operator FROM incident_update WHERE incident = ?1 ORDER BY at_ms, id",
        )?;
        let updates = updates.query_map([&one.incident.id], |row| {
            Ok(Update {
                id: row.get(0)?,
                at: time(row.get(1)?),
                phase: phase(&row.get::<_, String>(2)?),
                text: row.get(3)?,
                by_operator: row.get(4)?,
            })
        })?;
        for update in updates {
            one.incident.updates.extend(readable(update)?);
        }
        kept.push(one);
    }
    kept.reverse();
    Ok(kept)
}

fn kept_of(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let subjects: Vec<Subject> = serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default();
    let impact: String = row.get(3)?;
    let window = row.get::<_, Option<i64>>(7)?.zip(row.get::<_, Option<i64>>(8)?);
    Ok(Kept {
        incident: Incident {
            id: row.get(0)?,
            title: row.get(1)?,
            phase: phase(&row.get::<_, String>(2)?),
            impact: IMPACTS.into_iter().find(|known| known.as_str() == impact).unwrap_or(Impact::None),
            subjects,
            opened_at: time(row.get(5)?),
            closed_at: row.get::<_, Option<i64>>(6)?.map(time),
            window: window.map(|(from, until)| (time(from), time(until))),
            is_automatic: row.get(9)?,
            updates: Vec::new(),
            post_mortem: row.get(10)?,
        },
        hold: Duration::from_secs(u64::try_from(row.get::<_, i64>(11)?).unwrap_or(0).min(86_400)),
        is_taken_over: row.get(12)?,
    })
}

/// What is not understood is over: nothing is done about it.
fn phase(name: &str) -> Phase {
    PHASES.into_iter().find(|known| known.as_str() == name).unwrap_or(Phase::Resolved)
}

fn time(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
