//! What has to be delivered, and what became of it: one row for each update and subscriber, kept before anything is sent.
//!
//! A row's way: `waiting` → `sending` (noted before the first octet goes out) → `delivered`, or back to `waiting` under the same
//! id, or `given_up`. What was being sent when the process died is sent again under the same id, so a receiver that knows ids
//! loses nothing and gets nothing twice; what was noted as delivered never goes out again.
//!
//! Updates of one incident go to a subscriber in their order: one waits for those before it. Whoever got as many messages as he
//! may within the hour gets the rest gathered into one.

use super::desk::Kind;
use super::news::{NEWS_MAX, News};
use super::pace;
use super::scope::Scopes;
use super::table::{Subscriber, millis, subscriber};
use crate::history::seal::Sealer;
use crate::limits::{MESSAGE_UPDATES_MAX, MESSAGES_PER_SUBSCRIPTION_MAX, MESSAGES_PERIOD};
use crate::moment::Dice;
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::HashSet;
use std::time::Duration;

/// How long it is kept what became of a delivery.
const DONE_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long it is known that an update was told: longer than any report shows it.
const TOLD_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// To tell of these, oldest first; at least one.
    News(Vec<News>),
    /// To ask an address whether it wants to be told.
    Confirm,
    /// To say that it is told already, and where to change that.
    Known,
}

/// Something to be sent.
#[derive(Debug)]
pub struct Message {
    /// The same however often it is sent.
    pub id: String,
    /// To whom.
    pub to: Subscriber,
    /// What.
    pub content: Content,
    /// How often it was tried, this time counted.
    pub attempts: u32,
    /// When it was made.
    pub created: Duration,
    /// The id of the first message to this subscriber about the same incident, if this is not it.
    pub thread: Option<String>,
}

/// What became of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// Nobody could be reached who would take any message: this one is not to blame.
    Unreachable(String),
    /// It was not taken.
    Failed {
        /// Why.
        why: String,
        /// Whether it never will be.
        is_final: bool,
        /// Whether nothing ever will be: the receiver says that it is gone.
        is_gone: bool,
    },
}

/// What is to be told of it to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Retried,
    /// It is not tried again.
    GivenUp,
    /// Its subscriber is told no more: it failed for days, or is gone.
    SwitchedOff,
}

/// An id that nobody can guess, safe in URLs and headers.
///
/// # Panics
/// If the system has no randomness to give.
#[must_use]
pub fn fresh(prefix: &str) -> String {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).expect("the system gives randomness");
    octets.iter().fold(prefix.to_owned(), |id, octet| format!("{id}{octet:02x}"))
}

/// Those of `all` that were told already.
///
/// # Errors
/// The database's.
pub fn told(tx: &Transaction<'_>, all: &[String]) -> rusqlite::Result<HashSet<String>> {
    let mut statement = tx.prepare("SELECT 1 FROM told WHERE id = ?1")?;
    let mut told = HashSet::new();
    for id in all {
        if statement.exists([id])? {
            told.insert(id.clone());
        }
    }
    Ok(told)
}

/// Notes that `news` is told, and to whom: those who were there when it happened. How many rows that made. What was told
/// before, or is too old to be news, makes none.
///
/// # Errors
/// The database's.
pub fn hand_out(tx: &Transaction<'_>, news: &News, wall: Duration) -> rusqlite::Result<usize> {
    let (incident, update) = (&news.incident, news.update());
    let text = serde_json::to_string(news).expect("plain values");
    let sql = "INSERT INTO told (id, at, news) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
    if tx.execute(sql, params![update.id, millis(update.at), text])? == 0 {
        return Ok(0);
    }
    if wall.saturating_sub(update.at) > NEWS_MAX {
        return Ok(0);
    }
    let mut statement =
        tx.prepare("SELECT id, kind, scopes FROM subscriber WHERE state = 'confirmed' AND confirmed <= ?1")?;
    let rows = statement.query_map([millis(update.at)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    })?;
    let mut count = 0;
    for row in rows {
        let (subscriber, kind, scopes) = row?;
        if Scopes::of_json(&scopes).cover(incident) {
            insert(tx, (subscriber, &kind), "update", Some(&update.id), &incident.id, wall)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Has an address asked whether it wants mails (`confirm`), or told that it gets them (`known`).
///
/// # Errors
/// The database's.
pub fn ask(tx: &Transaction<'_>, subscriber: i64, what: &str, wall: Duration) -> rusqlite::Result<()> {
    insert(tx, (subscriber, "mail"), what, None, "", wall)
}

fn insert(
    tx: &Transaction<'_>,
    (subscriber, kind): (i64, &str),
    what: &str,
    told: Option<&str>,
    incident: &str,
    wall: Duration,
) -> rusqlite::Result<()> {
    let id = fresh("msg_");
    let mut statement = tx.prepare(
        "INSERT INTO delivery (id, subscriber, kind, what, told, incident, message, state, created, next)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?1, 'waiting', ?7, ?7) ON CONFLICT (told, subscriber) DO NOTHING",
    )?;
    statement.execute(params![id, subscriber, kind, what, told.unwrap_or(&id), incident, millis(wall)])?;
    Ok(())
}

/// What was being sent when the process ended waits again.
///
/// # Errors
/// The database's.
pub fn resume(tx: &Transaction<'_>, wall: Duration) -> rusqlite::Result<usize> {
    tx.execute("UPDATE delivery SET state = 'waiting', next = ?1 WHERE state = 'sending'", [millis(wall)])
}

/// Forgets what is long done.
///
/// # Errors
/// The database's.
pub fn forget(tx: &Transaction<'_>, wall: Duration) -> rusqlite::Result<()> {
    let before = |age: Duration| millis(wall.saturating_sub(age));
    tx.execute("DELETE FROM delivery WHERE state IN ('delivered', 'given_up') AND done < ?1", [before(DONE_KEPT)])?;
    tx.execute("DELETE FROM told WHERE at < ?1", [before(TOLD_KEPT)])?;
    super::table::forget_pending(tx, wall)
}

/// The row that a message goes out with.
struct Lead {
    id: String,
    subscriber: i64,
    what: String,
    incident: String,
    is_held: bool,
    attempts: u32,
    created: i64,
}

/// Up to `most` messages that are due, noted as being sent; and when the next one is due if there are fewer.
///
/// # Errors
/// The database's.
pub fn take(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    kind: Kind,
    most: usize,
    wall: Duration,
) -> rusqlite::Result<(Vec<Message>, Option<Duration>)> {
    let mut taken = Vec::new();
    while taken.len() < most {
        let Some(lead) = due(tx, kind, wall)? else {
            let sql = "SELECT min(next) FROM delivery WHERE kind = ?1 AND state = 'waiting' AND next > ?2";
            let next: Option<i64> = tx.query_row(sql, params![kind.as_str(), millis(wall)], |row| row.get(0))?;
            return Ok((taken, next.map(super::table::duration)));
        };
        if lead.what == "update" && is_held(tx, &lead, wall)? {
            continue;
        }
        let Some(to) = subscriber(tx, sealer, lead.subscriber, wall)? else {
            // Sealed with another key: it can be neither told nor asked.
            give_up(tx, &lead.id, "its address cannot be read", wall)?;
            continue;
        };
        if lead.is_held && lead.attempts == 0 {
            gather(tx, &lead)?;
        }
        taken.push(begin(tx, lead, to, wall)?);
    }
    Ok((taken, None))
}

/// The first message that may go out: nothing goes out to its subscriber now, and nothing earlier about the same incident
/// waits. Those that failed before come last, so that they hold up nobody.
fn due(tx: &Transaction<'_>, kind: Kind, wall: Duration) -> rusqlite::Result<Option<Lead>> {
    let sql = "
        SELECT d.id, d.subscriber, d.what, d.incident, d.is_held, d.attempts, d.created
        FROM delivery d INDEXED BY delivery_due
        WHERE d.kind = ?1 AND d.state = 'waiting' AND d.next <= ?2 AND d.message = d.id
          AND NOT EXISTS (SELECT 1 FROM delivery e WHERE e.subscriber = d.subscriber AND e.state = 'sending')
          AND NOT EXISTS (SELECT 1 FROM delivery e WHERE e.subscriber = d.subscriber AND e.state = 'waiting'
                          AND e.incident = d.incident AND e.seq < d.seq AND e.message <> d.message)
        ORDER BY d.attempts, d.seq LIMIT 1";
    tx.prepare(sql)?
        .query_row(params![kind.as_str(), millis(wall)], |row| {
            Ok(Lead {
                id: row.get(0)?,
                subscriber: row.get(1)?,
                what: row.get(2)?,
                incident: row.get(3)?,
                is_held: row.get(4)?,
                attempts: row.get(5)?,
                created: row.get(6)?,
            })
        })
        .optional()
}

/// Whether its subscriber got as many messages as may be; then everything for it waits until the hour is over, to be gathered.
fn is_held(tx: &Transaction<'_>, lead: &Lead, wall: Duration) -> rusqlite::Result<bool> {
    let since = millis(wall.saturating_sub(MESSAGES_PERIOD));
    let sql = "SELECT count(*), min(done) FROM (SELECT min(done) AS done FROM delivery
               WHERE subscriber = ?1 AND state = 'delivered' AND what = 'update' AND done > ?2 GROUP BY message)";
    let (count, oldest): (i64, Option<i64>) =
        tx.prepare(sql)?.query_row(params![lead.subscriber, since], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let is_over = usize::try_from(count).is_ok_and(|count| count >= MESSAGES_PER_SUBSCRIPTION_MAX);
    if let Some(oldest) = oldest.filter(|_| is_over) {
        tx.execute(
            "UPDATE delivery SET is_held = 1, next = max(next, ?2)
             WHERE subscriber = ?1 AND state = 'waiting' AND what = 'update'",
            params![lead.subscriber, oldest + millis(MESSAGES_PERIOD)],
        )?;
    }
    Ok(is_over)
}

/// Has everything that waits for the same subscriber go out with `lead`, but for what went out before by itself and what has
/// to wait for such.
fn gather(tx: &Transaction<'_>, lead: &Lead) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET message = ?1 WHERE seq IN (
             SELECT d.seq FROM delivery d
             WHERE d.subscriber = ?2 AND d.state = 'waiting' AND d.what = 'update' AND d.attempts = 0 AND d.message = d.id
               AND NOT EXISTS (SELECT 1 FROM delivery e WHERE e.subscriber = d.subscriber AND e.incident = d.incident
                               AND e.state = 'waiting' AND e.attempts > 0 AND e.seq < d.seq)
             ORDER BY d.seq LIMIT ?3)",
        params![lead.id, lead.subscriber, i64::try_from(MESSAGE_UPDATES_MAX).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

/// Notes that it is being sent, and makes it.
fn begin(tx: &Transaction<'_>, lead: Lead, to: Subscriber, wall: Duration) -> rusqlite::Result<Message> {
    tx.prepare("UPDATE delivery SET state = 'sending', started = ?2, attempts = attempts + 1 WHERE message = ?1")?
        .execute(params![lead.id, millis(wall)])?;
    let content = match &*lead.what {
        "confirm" => Content::Confirm,
        "known" => Content::Known,
        _ => {
            let sql = "SELECT t.news FROM delivery d JOIN told t ON t.id = d.told WHERE d.message = ?1 ORDER BY d.seq";
            let mut statement = tx.prepare(sql)?;
            let texts = statement.query_map([&lead.id], |row| row.get::<_, String>(0))?;
            let texts: Vec<String> = texts.collect::<rusqlite::Result<_>>()?;
            Content::News(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
        }
    };
    let sql =
        "SELECT message FROM delivery WHERE subscriber = ?1 AND incident = ?2 AND what = 'update' ORDER BY seq LIMIT 1";
    let first: Option<String> =
        tx.prepare(sql)?.query_row(params![lead.subscriber, lead.incident], |row| row.get(0)).optional()?;
    Ok(Message {
        thread: first.filter(|first| *first != lead.id),
        id: lead.id,
        to,
        content,
        attempts: lead.attempts + 1,
        created: super::table::duration(lead.created),
    })
}

fn give_up(tx: &Transaction<'_>, id: &str, why: &str, wall: Duration) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE delivery SET state = 'given_up', done = ?2, error = ?3 WHERE message = ?1 AND state IN ('waiting', 'sending')",
        params![id, millis(wall), why],
    )?;
    Ok(())
}

/// Notes what became of sending `message`.
///
/// # Errors
/// The database's.
pub fn finish(
    tx: &Transaction<'_>,
    message: &Finished,
    outcome: &Outcome,
    wall: Duration,
    dice: &mut Dice,
) -> rusqlite::Result<Verdict> {
    let (id, now) = (&message.id, millis(wall));
    let (why, wait, is_final) = match outcome {
        Outcome::Delivered => {
            tx.prepare("UPDATE delivery SET state = 'delivered', done = ?2, error = NULL WHERE message = ?1")?
                .execute(params![id, now])?;
            tx.prepare("UPDATE subscriber SET failing_since = NULL WHERE id = ?1 AND failing_since IS NOT NULL")?
                .execute([message.subscriber])?;
            return Ok(Verdict::Delivered);
        }
        Outcome::Unreachable(why) => (why, Duration::ZERO, false),
        Outcome::Failed { why, is_final, .. } => (why, pace::wait(message.attempts, dice), *is_final),
    };
    if message.kind == Kind::Webhook {
        let sql =
            "UPDATE subscriber SET failing_since = coalesce(failing_since, ?2) WHERE id = ?1 RETURNING failing_since";
        let since: Option<i64> = tx.query_row(sql, params![message.subscriber, now], |row| row.get(0)).optional()?;
        let is_gone = matches!(outcome, Outcome::Failed { is_gone: true, .. });
        if is_gone || since.is_some_and(|since| now - since >= millis(pace::SWITCHED_OFF_AFTER)) {
            tx.execute(
                "UPDATE subscriber SET state = 'stopped', stopped_why = ?2 WHERE id = ?1 AND state = 'confirmed'",
                params![message.subscriber, why],
            )?;
            tx.execute(
                "UPDATE delivery SET state = 'given_up', done = ?2, error = ?3
                 WHERE subscriber = ?1 AND state IN ('waiting', 'sending')",
                params![message.subscriber, now, why],
            )?;
            return Ok(Verdict::SwitchedOff);
        }
    }
    if is_final || wall + wait > message.created + pace::GIVEN_UP_AFTER {
        give_up(tx, id, why, wall)?;
        return Ok(Verdict::GivenUp);
    }
    let counted = i64::from(matches!(outcome, Outcome::Unreachable(_)));
    tx.execute(
        "UPDATE delivery SET state = 'waiting', next = ?2, error = ?3, attempts = attempts - ?4 WHERE message = ?1",
        params![id, millis(wall + wait), why, counted],
    )?;
    Ok(Verdict::Retried)
}

/// What has to be known of a message to note what became of it.
#[derive(Clone, Debug)]
pub struct Finished {
    id: String,
    subscriber: i64,
    kind: Kind,
    attempts: u32,
    created: Duration,
}

impl Message {
    /// What has to be known of it later.
    #[must_use]
    pub fn to_finish(&self) -> Finished {
        Finished {
            id: self.id.clone(),
            subscriber: self.to.id,
            kind: self.to.kind,
            attempts: self.attempts,
            created: self.created,
        }
    }
}

/// What waits: of each kind how many deliveries, and since when the oldest of them is due.
///
/// # Errors
/// The database's.
pub fn queue(tx: &Transaction<'_>, kind: Kind) -> rusqlite::Result<(u64, Option<Duration>)> {
    let sql = "SELECT count(*), min(created) FROM delivery WHERE kind = ?1 AND state IN ('waiting', 'sending')";
    tx.query_row(sql, [kind.as_str()], |row| {
        let oldest: Option<i64> = row.get(1)?;
        Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), oldest.map(super::table::duration)))
    })
}
