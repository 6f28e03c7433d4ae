//! The record in the file: minutes, hours, days, and what changed. What the recorder hands out goes in; the past comes out.
//!
//! Minutes are kept for two days, hours for two years, days for ever. Hours are made of minutes and days of hours, as often
//! as need be: what is made anew takes the place of what was made before, so a kill in between costs nothing.
//!
//! A row is found by time and series in one number, so that a file of years is one tree that grows at its end.

use super::recorder::{Batch, Change, Counts, Kind, Minute, Past};
use super::sketch::Sketch;
use super::store::Module;
use super::story::{DAYS_SHOWN, LEVELS, Level, Subject};
use rusqlite::{OptionalExtension, Row, Transaction};
use std::collections::BTreeMap;
use std::time::Duration;

/// The tables of the record.
pub const MODULE: Module = Module { name: "record", steps: &[include_str!("records/tables.sql")] };

/// How long minutes are kept, minutes.
pub const MINUTES_KEPT: u64 = 48 * 60;
/// How long hours are kept, hours.
pub const HOURS_KEPT: u64 = 731 * 24;
/// How long changes are kept.
pub const CHANGES_KEPT: Duration = Duration::from_secs(2 * 366 * 86_400);
/// Changes kept at most: with long reasons some 40 MiB.
pub const CHANGES_MAX: u64 = 200_000;
/// A level seen so long ago says nothing of today.
const LEVEL_HOLDS: Duration = Duration::from_secs(600);
/// Hours or days that are made in one go: the rest waits for the next batch.
const ROLLED_AT_ONCE: usize = 100;

/// A grain of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grain {
    Minute,
    Hour,
    Day,
}

impl Grain {
    fn table(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Keeps a batch, and makes what has become due: `vantage` is who saw it, `wall` is now.
///
/// # Errors
/// If nothing of it was kept.
pub fn keep(
    tx: &Transaction<'_>,
    vantage: &str,
    batch: &Batch,
    wall: Duration,
    may_forget: bool,
) -> rusqlite::Result<()> {
    let vantage = vantage_id(tx, vantage)?;
    for minute in &batch.minutes {
        keep_minute(tx, vantage, minute)?;
    }
    let mut write = tx.prepare(
        "INSERT INTO change (at_ms, vantage, kind, name, was, is_now, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for change in &batch.changes {
        let at = millis(change.at);
        write.execute((at, vantage, change.kind.as_str(), &change.name, &change.was, &change.is, &change.reason))?;
    }
    let mut write = tx.prepare(
        "INSERT INTO level (series, level, since_ms, seen_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (series)
         DO UPDATE SET level = excluded.level, since_ms = excluded.since_ms, seen_ms = excluded.seen_ms",
    )?;
    for (subject, level, since) in &batch.levels {
        write.execute((series_id(tx, vantage, subject)?, level.as_str(), millis(*since), millis(wall)))?;
    }
    let minute = wall.as_secs() / 60;
    roll(tx, Grain::Minute, Grain::Hour, minute / 60, 60)?;
    roll(tx, Grain::Hour, Grain::Day, minute / 1_440, 24)?;
    if may_forget {
        forget(tx, minute, wall)?;
    }
    Ok(())
}

fn keep_minute(tx: &Transaction<'_>, vantage: i64, minute: &Minute) -> rusqlite::Result<()> {
    let slot = minute.minute;
    let series = series_id(tx, vantage, &minute.subject)?;
    // The minutes of an hour that was made and forgotten cannot make it again: only a clock that was set comes back to it.
    let is_forgotten = progress(tx, "forgotten")?.is_some_and(|forgotten| slot < forgotten);
    let (grain, at) = if is_forgotten { (Grain::Hour, slot / 60) } else { (Grain::Minute, slot) };
    let mut counts = counts_at(tx, grain, key(at, series))?.unwrap_or_default();
    counts.merge(&minute.counts);
    put(tx, grain, key(at, series), &counts)?;
    for (what, at) in [("hour", slot / 60), ("day", slot / 1_440)] {
        // What was made of this time already has to be made again.
        let may_be_made = what == "day" || !is_forgotten;
        if may_be_made && progress(tx, what)?.is_none_or(|made| made > at) {
            set_progress(tx, what, at)?;
        }
    }
    Ok(())
}

/// Makes each `whole` that is over of its `parts`, and has not been made since.
fn roll(tx: &Transaction<'_>, part: Grain, whole: Grain, now: u64, parts: u64) -> rusqlite::Result<()> {
    let what = whole.table();
    let Some(mut at) = progress(tx, what)? else { return Ok(()) };
    // Days wait for their last hour to be made.
    let now = if part == Grain::Hour { now.min(progress(tx, "hour")?.unwrap_or(0) / parts) } else { now };
    for _ in 0..ROLLED_AT_ONCE {
        let next = format!("SELECT id >> 16 FROM {} WHERE id >= ?1 ORDER BY id LIMIT 1", part.table());
        let next: Option<i64> = tx.query_row(&next, [key(at * parts, 0)], |row| row.get(0)).optional()?;
        at = next.and_then(|next| u64::try_from(next).ok()).map_or(now, |next| (next / parts).clamp(at, now.max(at)));
        if at >= now {
            break;
        }
        let range = [key(at * parts, 0), key((at + 1) * parts, 0)];
        let mut sums: BTreeMap<i64, Counts> = BTreeMap::new();
        let all = format!("SELECT {COLUMNS}, id & 65535 FROM {} WHERE id >= ?1 AND id < ?2", part.table());
        let mut all = tx.prepare(&all)?;
        let mut rows = all.query(range)?;
        while let Some(row) = rows.next()? {
            sums.entry(row.get(9)?).or_default().merge(&counts_of(row)?);
        }
        for (series, counts) in sums {
            put(tx, whole, key(at, series), &counts)?;
        }
        at += 1;
    }
    set_progress(tx, what, at)
}

/// Forgets what is older than it is kept, and was made into something coarser.
fn forget(tx: &Transaction<'_>, minute: u64, wall: Duration) -> rusqlite::Result<()> {
    let hours = progress(tx, "hour")?.unwrap_or(0);
    let minutes = (minute.saturating_sub(MINUTES_KEPT) / 60).min(hours) * 60;
    tx.execute("DELETE FROM minute WHERE id < ?1", [key(minutes, 0)])?;
    if progress(tx, "forgotten")?.is_none_or(|before| before < minutes) {
        set_progress(tx, "forgotten", minutes)?;
    }
    let days = progress(tx, "day")?.unwrap_or(0);
    let hours = (minute / 60).saturating_sub(HOURS_KEPT).min(days * 24);
    tx.execute("DELETE FROM hour WHERE id < ?1", [key(hours, 0)])?;
    tx.execute("DELETE FROM change WHERE at_ms < ?1", [millis(wall.saturating_sub(CHANGES_KEPT))])?;
    tx.execute("DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?1", [CHANGES_MAX])?;
    // Emptied pages go back to the disk, some at a time.
    tx.execute_batch("PRAGMA incremental_vacuum(256)")
}

/// What was kept of `subjects`, as of `wall`.
///
/// # Errors
/// If it cannot be read.
pub fn recall(
    tx: &Transaction<'_>,
    vantage: &str,
    subjects: &[Subject],
    wall: Duration,
) -> rusqlite::Result<Vec<(Subject, Past)>> {
    let vantage: Option<i64> =
        tx.query_row("SELECT id FROM vantage WHERE name = ?1", [vantage], |row| row.get(0)).optional()?;
    let mut told = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let find = "SELECT id FROM series WHERE vantage = ?1 AND subject = ?2";
        let series: Option<i64> = tx.query_row(find, (vantage, subject.to_string()), |row| row.get(0)).optional()?;
        let past = series.map(|series| past_of(tx, series, wall)).transpose()?;
        told.push((subject.clone(), past.unwrap_or_default()));
    }
    Ok(told)
}

/// What changed from `from` up to `to`, as all vantage points saw it, in its order.
///
/// # Errors
/// If it cannot be read.
pub fn changes(tx: &Transaction<'_>, from: Duration, to: Duration) -> rusqlite::Result<Vec<Change>> {
    let mut all = tx.prepare(
        "SELECT at_ms, kind, name, was, is_now, reason FROM change WHERE at_ms >= ?1 AND at_ms < ?2 ORDER BY at_ms, id",
    )?;
    let rows = all.query_map((millis(from), millis(to)), |row| {
        let kind: String = row.get(1)?;
        let kind =
            [Kind::Region, Kind::Endpoint, Kind::Hostname, Kind::Drain].into_iter().find(|is| is.as_str() == kind);
        let at = Duration::from_millis(sane(row.get(0)?));
        let (name, was, is, reason) = (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        Ok(kind.map(|kind| Change { at, kind, name, was, is, reason }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// Requests for each hostname from `from` up to `to`, from the finest rows there still are of it: minutes, or else hours.
///
/// # Errors
/// If it cannot be read.
pub fn requests(tx: &Transaction<'_>, from: Duration, to: Duration) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut requests = BTreeMap::new();
    for (grain, seconds) in [(Grain::Minute, 60), (Grain::Hour, 3_600)] {
        let sum = format!(
            "SELECT substr(s.subject, 10), sum(t.requests) FROM {} t JOIN series s ON s.id = (t.id & 65535)
             WHERE t.id >= ?1 AND t.id < ?2 AND s.subject LIKE 'hostname:%' GROUP BY s.subject",
            grain.table()
        );
        let mut sum = tx.prepare(&sum)?;
        let range = (key(from.as_secs() / seconds, 0), key(to.as_secs().div_ceil(seconds), 0));
        let rows = sum.query_map(range, |row| Ok((row.get::<_, String>(0)?, sane(row.get(1)?))))?;
        requests = rows.collect::<rusqlite::Result<_>>()?;
        if !requests.is_empty() {
            break;
        }
    }
    Ok(requests)
}

fn past_of(tx: &Transaction<'_>, series: i64, wall: Duration) -> rusqlite::Result<Past> {
    let minute = wall.as_secs() / 60;
    let first = (minute / 1_440).saturating_sub(DAYS_SHOWN as u64);
    let mut days: BTreeMap<u64, Counts> = BTreeMap::new();
    let made = progress(tx, "day")?.unwrap_or(0);
    let hours = progress(tx, "hour")?.unwrap_or(0);
    // Days as they were made; of what was not made into days yet the hours, and of those the minutes.
    for (grain, from, until, parts) in [
        (Grain::Day, first, made, 1),
        (Grain::Hour, (made * 24).max(first * 24), hours, 24),
        (Grain::Minute, (hours * 60).max(first * 1_440), u64::MAX >> 17, 1_440),
    ] {
        for (at, counts) in rows(tx, grain, series, from, until)? {
            days.entry(at / parts).or_default().merge(&counts);
        }
    }
    let mut slots: BTreeMap<u64, Sketch> = BTreeMap::new();
    for (at, counts) in rows(tx, Grain::Minute, series, minute.saturating_sub(1_440), minute + 1)? {
        slots.entry(at / super::recorder::SLOT_MINUTES).or_default().merge(&counts.times);
    }
    let level = "SELECT level, since_ms FROM level WHERE series = ?1 AND seen_ms >= ?2";
    let seen = millis(wall.saturating_sub(LEVEL_HOLDS));
    let level = tx.query_row(level, (series, seen), |row| Ok((row.get(0)?, row.get(1)?))).optional();
    let level: Option<(String, i64)> = readable(level)?.flatten();
    let today = days.remove(&(minute / 1_440));
    let day = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
    Ok(Past {
        days: days.into_iter().map(|(at, counts)| super::recorder::told(day(at), &counts)).collect(),
        today: today.map(|counts| (day(minute / 1_440), counts)),
        slots: slots.into_iter().collect(),
        level: level.and_then(|(name, since)| {
            let level = LEVELS.into_iter().find(|level: &Level| level.as_str() == name)?;
            Some((level, Duration::from_millis(u64::try_from(since).unwrap_or(0))))
        }),
    })
}

fn rows(
    tx: &Transaction<'_>,
    grain: Grain,
    series: i64,
    from: u64,
    until: u64,
) -> rusqlite::Result<Vec<(u64, Counts)>> {
    let all = format!(
        "SELECT {COLUMNS}, id >> 16 FROM {} WHERE id >= ?1 AND id < ?2 AND id & 65535 = ?3 ORDER BY id",
        grain.table()
    );
    let mut all = tx.prepare(&all)?;
    let rows = all.query_map((key(from, 0), key(until, 0), series), |row| {
        Ok((u64::try_from(row.get::<_, i64>(9)?).unwrap_or(0), counts_of(row)?))
    })?;
    rows.collect()
}

const COLUMNS: &str = "operational, maintenance, unknown, degraded, partial, major, requests, failures, times";

fn counts_of(row: &Row<'_>) -> rusqlite::Result<Counts> {
    let mut milliseconds = [0; 6];
    for (at, spent) in milliseconds.iter_mut().enumerate() {
        *spent = sane(row.get(at)?);
    }
    let times: Vec<u8> = row.get(8)?;
    let (requests, failures) = (sane(row.get(6)?), sane(row.get(7)?));
    Ok(Counts { milliseconds, requests, failures, times: Sketch::from_bytes(&times) })
}

/// What could be read; nothing, if it stands there but makes no sense: damage to one row must not hide all others.
pub(super) fn readable<T>(read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ rusqlite::Error::SqliteFailure(..)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A number from a file that may have been damaged: nonsense must not keep what comes later from being written.
fn sane(number: i64) -> u64 {
    u64::try_from(number.clamp(0, 1 << 50)).unwrap_or(0)
}

fn counts_at(tx: &Transaction<'_>, grain: Grain, id: i64) -> rusqlite::Result<Option<Counts>> {
    tx.query_row(&format!("SELECT {COLUMNS} FROM {} WHERE id = ?1", grain.table()), [id], counts_of).optional()
}

fn put(tx: &Transaction<'_>, grain: Grain, id: i64, counts: &Counts) -> rusqlite::Result<()> {
    let [operational, maintenance, unknown, degraded, partial, major] = counts.milliseconds;
    let put = format!(
        "INSERT OR REPLACE INTO {} (id, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        grain.table()
    );
    let (requests, failures, times) = (counts.requests, counts.failures, counts.times.to_bytes());
    tx.prepare(&put)?
        .execute((id, operational, maintenance, unknown, degraded, partial, major, requests, failures, times))
        .map(drop)
}

/// The number of a row: the slot of time, then the series.
fn key(slot: u64, series: i64) -> i64 {
    i64::try_from(slot & (u64::MAX >> 17)).unwrap_or(0) << 16 | series
}

fn vantage_id(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
    tx.execute("INSERT OR IGNORE INTO vantage (name) VALUES (?1)", [name])?;
    tx.query_row("SELECT id FROM vantage WHERE name = ?1", [name], |row| row.get(0))
}

fn series_id(tx: &Transaction<'_>, vantage: i64, subject: &Subject) -> rusqlite::Result<i64> {
    let subject = subject.to_string();
    let find = "SELECT id FROM series WHERE vantage = ?1 AND subject = ?2";
    if let Some(id) = tx.query_row(find, (vantage, &subject), |row| row.get(0)).optional()? {
        return Ok(id);
    }
    tx.execute("INSERT INTO series (vantage, subject) VALUES (?1, ?2)", (vantage, &subject))?;
    Ok(tx.last_insert_rowid())
}

fn progress(tx: &Transaction<'_>, what: &str) -> rusqlite::Result<Option<u64>> {
    tx.query_row("SELECT until FROM progress WHERE what = ?1", [what], |row| row.get(0).map(sane)).optional()
}

fn set_progress(tx: &Transaction<'_>, what: &str, until: u64) -> rusqlite::Result<()> {
    let set =
        "INSERT INTO progress (what, until) VALUES (?1, ?2) ON CONFLICT (what) DO UPDATE SET until = excluded.until";
    tx.execute(set, (what, until)).map(drop)
}

/// Milliseconds since the Unix epoch, as the file has them.
pub(super) fn millis(wall: Duration) -> i64 {
    i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)
}
