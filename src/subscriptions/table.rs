//! The tables of subscriptions in the history's file, and what is done to the one of subscribers.
//!
//! Addresses, tokens and secrets are sealed. What is looked for is looked for by keyed hashes, so that the file alone tells
//! nobody who is in it.

use super::desk::{Kind, Refusal, Subscription};
use super::scope::Scopes;
use crate::history::seal::{Place, Sealer};
use crate::history::store::Module;
use crate::limits::{
    CONFIRMATION_PERIODS, CONFIRMATIONS_MAX, CONFIRMATIONS_REMEMBERED, SUBSCRIBER_PENDING_MAX, SUBSCRIBERS_MAX,
    SUBSCRIBERS_PENDING_MAX,
};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use std::time::Duration;

/// How long the secret before a new one still signs beside it.
pub const OLD_SECRET: Duration = Duration::from_secs(24 * 3_600);

/// The tables, as the store makes them. Times are milliseconds since the Unix epoch.
pub const MODULE: Module = Module {
    name: "subscriptions",
    steps: &["
        CREATE TABLE subscriber (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            slot BLOB NOT NULL UNIQUE,       -- what there is once: a mailbox; a URL with what it is told of
            scopes TEXT NOT NULL,            -- JSON; [] is everything
            state TEXT NOT NULL,             -- pending, confirmed, stopped
            token_hash BLOB NOT NULL UNIQUE,
            address BLOB NOT NULL,           -- sealed, as the next three
            token BLOB NOT NULL,
            secret BLOB,
            old_secret BLOB,
            old_secret_until INTEGER,
            created INTEGER NOT NULL,
            confirmed INTEGER,
            failing_since INTEGER,
            stopped_why TEXT
        );
        CREATE TABLE asked (
            slot BLOB PRIMARY KEY,           -- of a mailbox that was asked whether it wants mails
            at INTEGER NOT NULL
        );
        CREATE TABLE told (
            id TEXT PRIMARY KEY,             -- of the update
            at INTEGER NOT NULL,
            news TEXT NOT NULL               -- JSON: the incident as it was then
        );
        CREATE TABLE delivery (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            subscriber INTEGER NOT NULL,
            kind TEXT NOT NULL,
            what TEXT NOT NULL,              -- update, confirm, known
            told TEXT NOT NULL,              -- the update, or the id again
            incident TEXT NOT NULL,
            message TEXT NOT NULL,           -- the id of the delivery it goes out with: its own, or where it was gathered
            is_held INTEGER NOT NULL DEFAULT 0,
            state TEXT NOT NULL,             -- waiting, sending, delivered, given_up
            created INTEGER NOT NULL,
            next INTEGER NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            started INTEGER,
            done INTEGER,
            error TEXT,
            UNIQUE (told, subscriber)
        );
        CREATE INDEX delivery_due ON delivery (kind, attempts, seq) WHERE state = 'waiting';
        CREATE INDEX delivery_next ON delivery (kind, next) WHERE state = 'waiting';
        CREATE INDEX delivery_of ON delivery (subscriber, state, incident, seq);
        CREATE INDEX delivery_message ON delivery (message);
    ", "
        ALTER TABLE asked ADD COLUMN times INTEGER NOT NULL DEFAULT 1; -- how often in a row
    "],
};

/// Where a sealed value stands.
fn place(column: &str, id: i64) -> Place<'_> {
    Place { table: "subscriber", column, row: id }
}

/// Milliseconds, as the tables count.
#[must_use]
pub fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// And back.
#[must_use]
pub fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// One who wants to be told, before there is a row.
#[derive(Debug)]
pub struct Wish {
    /// By which way.
    pub kind: Kind,
    /// The address or URL itself.
    pub to: String,
    /// By what the same one is known again.
    pub key: String,
    /// By what it is known who is asked whether mails are wanted.
    pub asked_as: String,
    /// What about.
    pub scopes: Scopes,
    /// For its pages.
    pub token: String,
    /// For signatures, of a webhook.
    pub secret: Option<Vec<u8>>,
}

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is new, or waits again: it has to be asked or tested.
    Pending(i64),
    /// It is in force already.
    Known(i64),
    /// It was asked lately: nothing is to be sent.
    Asked,
}

/// Notes a wish.
///
/// # Errors
/// The database's; inside: why it is refused.
pub fn subscribe(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    wish: &Wish,
    wall: Duration,
) -> rusqlite::Result<Result<Noted, Refusal>> {
    forget_pending(tx, wall)?;
    let scopes = wish.scopes.to_json();
    let slot = match wish.kind {
        Kind::Mail => sealer.index("mail", &wish.key),
        Kind::Webhook => sealer.index("webhook", &format!("{}\n{scopes}", wish.key)),
    };
    let now = millis(wall);
    if wish.kind == Kind::Mail {
        match ask(tx, &sealer.index("asked", &wish.asked_as), wall)? {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(Noted::Asked)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    let known: Option<(i64, String)> = tx
        .prepare("SELECT id, state FROM subscriber WHERE slot = ?1")?
        .query_row([&slot[..]], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((id, state)) = known {
        match (wish.kind, &*state) {
            (Kind::Webhook, "confirmed" | "stopped") => return Ok(Err(Refusal::Known)),
            (Kind::Mail, "confirmed") => return Ok(Ok(Noted::Known(id))),
            _ => {}
        }
        // Whoever asked before has no right to it yet: a link in a mail of his leads nowhere from now on.
        tx.execute("DELETE FROM subscriber WHERE id = ?1", [id])?;
        tx.execute("DELETE FROM delivery WHERE subscriber = ?1", [id])?;
    }
    if !make_room(tx)? {
        return Ok(Err(Refusal::Full));
    }
    tx.execute(
        "INSERT INTO subscriber (kind, slot, scopes, state, token_hash, address, token, created)
         VALUES (?1, ?2, ?3, 'pending', ?4, x'', x'', ?5)",
        params![wish.kind.as_str(), &slot[..], scopes, &sealer.index("token", &wish.token)[..], now,],
    )?;
    let id = tx.last_insert_rowid();
    let seal = |column: &str, content: &[u8]| sealer.seal(&place(column, id), content);
    tx.execute(
        "UPDATE subscriber SET address = ?2, token = ?3, secret = ?4 WHERE id = ?1",
        params![
            id,
            seal("address", wish.to.as_bytes()),
            seal("token", wish.token.as_bytes()),
            wish.secret.as_ref().map(|secret| seal("secret", secret)),
        ],
    )?;
    Ok(Ok(Noted::Pending(id)))
}

/// Whether somebody may be asked now whether mails are wanted; then it is noted. The more often that was done in vain, the
/// longer it takes until it may be done again, whoever wants it done and whatever became of the subscription.
fn ask(tx: &Transaction<'_>, slot: &[u8], wall: Duration) -> rusqlite::Result<Result<bool, Refusal>> {
    let period = CONFIRMATION_PERIODS[0];
    let lately: (i64, Option<i64>) = tx.query_row(
        "SELECT count(*), min(at) FROM asked WHERE at > ?1",
        [millis(wall.saturating_sub(period))],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Before it is known who that is: nobody learns from it who was asked.
    if let (count, Some(first)) = lately
        && usize::try_from(count).is_ok_and(|count| count >= CONFIRMATIONS_MAX)
    {
        return Ok(Err(Refusal::TooOften { retry_after: (duration(first) + period).saturating_sub(wall) }));
    }
    let before: Option<(i64, i64)> = tx
        .prepare("SELECT at, times FROM asked WHERE slot = ?1")?
        .query_row([slot], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let times = before.map_or(0, |(_, times)| usize::try_from(times).unwrap_or(0));
    if let (Some((at, _)), Some(last)) = (before, times.checked_sub(1))
        && wall < duration(at) + CONFIRMATION_PERIODS[last.min(CONFIRMATION_PERIODS.len() - 1)]
    {
        return Ok(Ok(false));
    }
    tx.execute(
        "INSERT INTO asked (slot, at, times) VALUES (?1, ?2, 1)
         ON CONFLICT (slot) DO UPDATE SET at = excluded.at, times = times + 1",
        params![slot, millis(wall)],
    )?;
    Ok(Ok(true))
}

/// Makes room for one who waits to be confirmed, in the place of whoever waited longest; whether there is any.
fn make_room(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE state = 'pending') FROM subscriber";
    let (all, pending): (i64, i64) = tx.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let is_over = |count: i64, most: usize| usize::try_from(count).is_ok_and(|count| count >= most);
    if !is_over(all, SUBSCRIBERS_MAX) && !is_over(pending, SUBSCRIBERS_PENDING_MAX) {
        return Ok(true);
    }
    let oldest: Option<i64> = tx
        .prepare("SELECT id FROM subscriber WHERE state = 'pending' ORDER BY created, id LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    oldest.map_or(Ok(false), |oldest| remove(tx, oldest))
}

/// Whoever waited too long to be confirmed waits no more.
///
/// # Errors
/// The database's.
pub fn forget_pending(tx: &Transaction<'_>, wall: Duration) -> rusqlite::Result<()> {
    let before = millis(wall.saturating_sub(SUBSCRIBER_PENDING_MAX));
    tx.execute(
        "DELETE FROM delivery WHERE subscriber IN (SELECT id FROM subscriber WHERE state = 'pending' AND created < ?1)",
        [before],
    )?;
    tx.execute("DELETE FROM subscriber WHERE state = 'pending' AND created < ?1", [before])?;
    let asked_before = millis(wall.saturating_sub(CONFIRMATIONS_REMEMBERED));
    // What lies ahead was written by a clock that has been set back since.
    tx.execute("DELETE FROM asked WHERE at <= ?1 OR at > ?2", [asked_before, millis(wall)])?;
    Ok(())
}

/// A subscriber as it stands in the table.
#[derive(Debug)]
pub struct Subscriber {
    /// Its row.
    pub id: i64,
    /// By which way.
    pub kind: Kind,
    /// What about.
    pub scopes: Scopes,
    /// `pending`, `confirmed`, `stopped`.
    pub state: String,
    /// The address or URL.
    pub to: String,
    /// For its pages.
    pub token: String,
    /// With which its messages are signed, the newest first.
    pub secrets: Vec<Vec<u8>>,
    created: Duration,
    old_secret_until: Option<Duration>,
    stopped_why: Option<String>,
}

const COLUMNS: &str =
    "id, kind, scopes, state, address, token, secret, old_secret, old_secret_until, created, stopped_why";

impl Subscriber {
    fn of(row: &Row<'_>, sealer: &Sealer, wall: Duration) -> rusqlite::Result<Option<Self>> {
        let id: i64 = row.get(0)?;
        let open = |column: &str, at: usize| -> rusqlite::Result<Option<Vec<u8>>> {
            let sealed: Option<Vec<u8>> = row.get(at)?;
            Ok(sealed.and_then(|sealed| sealer.open_sealed(&place(column, id), &sealed).ok()))
        };
        let text = |octets: Vec<u8>| String::from_utf8(octets).ok();
        let (Some(to), Some(token)) = (open("address", 4)?.and_then(text), open("token", 5)?.and_then(text)) else {
            // The key is another's: nobody can be told, and nobody can come with its token.
            return Ok(None);
        };
        let old_secret_until = row.get::<_, Option<i64>>(8)?.map(duration).filter(|until| *until > wall);
        let old = open("old_secret", 7)?.filter(|_| old_secret_until.is_some());
        Ok(Some(Self {
            id,
            kind: kind(&row.get::<_, String>(1)?),
            scopes: Scopes::of_json(&row.get::<_, String>(2)?),
            state: row.get(3)?,
            to,
            token,
            secrets: open("secret", 6)?.into_iter().chain(old).collect(),
            created: duration(row.get(9)?),
            old_secret_until,
            stopped_why: row.get(10)?,
        }))
    }

    /// As its own page shows it.
    #[must_use]
    pub fn shown(&self) -> Subscription {
        Subscription {
            kind: self.kind,
            to: super::masked(self.kind, &self.to),
            scopes: self.scopes.subjects().to_vec(),
            is_confirmed: self.state == "confirmed",
            created_at: self.created,
            old_secret_until: self.old_secret_until,
            stopped: self.stopped_why.clone().filter(|_| self.state == "stopped"),
        }
    }
}

/// The one with this row.
///
/// # Errors
/// The database's.
pub fn subscriber(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    id: i64,
    wall: Duration,
) -> rusqlite::Result<Option<Subscriber>> {
    let sql = format!("SELECT {COLUMNS} FROM subscriber WHERE id = ?1");
    let found = tx.prepare(&sql)?.query_row([id], |row| Subscriber::of(row, sealer, wall)).optional()?;
    Ok(found.flatten())
}

/// The one with this token.
///
/// # Errors
/// The database's.
pub fn by_token(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    token: &str,
    wall: Duration,
) -> rusqlite::Result<Option<Subscriber>> {
    let hash = sealer.index("token", token);
    let sql =
        format!("SELECT {COLUMNS} FROM subscriber WHERE token_hash = ?1 AND (state <> 'pending' OR created >= ?2)");
    let oldest = millis(wall.saturating_sub(SUBSCRIBER_PENDING_MAX));
    let found =
        tx.prepare(&sql)?.query_row(params![&hash[..], oldest], |row| Subscriber::of(row, sealer, wall)).optional()?;
    Ok(found.flatten())
}

/// Why somebody is told nothing whose row was sealed with a key that is gone.
pub const UNREADABLE: &str = "cannot be read: it was sealed with another history.key";

/// Everybody, in the order in which they came: for operators. Whoever cannot be read is there all the same.
///
/// # Errors
/// The database's.
pub fn everybody(tx: &Transaction<'_>, sealer: &Sealer, wall: Duration) -> rusqlite::Result<Vec<(i64, Subscription)>> {
    let sql = format!("SELECT {COLUMNS} FROM subscriber ORDER BY id");
    let mut statement = tx.prepare(&sql)?;
    let all = statement.query_map([], |row| {
        let read = Subscriber::of(row, sealer, wall)?.map(|subscriber| subscriber.shown());
        Ok((row.get(0)?, read.map_or_else(|| unreadable(row), Ok)?))
    })?;
    all.collect()
}

/// What of somebody stands in the clear.
fn unreadable(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        kind: kind(&row.get::<_, String>(1)?),
        to: "…".to_owned(),
        scopes: Scopes::of_json(&row.get::<_, String>(2)?).subjects().to_vec(),
        is_confirmed: false,
        created_at: duration(row.get(9)?),
        old_secret_until: None,
        stopped: Some(UNREADABLE.to_owned()),
    })
}

/// Whether there is anybody.
///
/// # Errors
/// The database's.
pub fn is_anybody(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    tx.query_row("SELECT EXISTS (SELECT 1 FROM subscriber)", [], |row| row.get(0))
}

/// How many cannot be read with this key.
///
/// # Errors
/// The database's.
pub fn unreadable_count(tx: &Transaction<'_>, sealer: &Sealer) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM subscriber WHERE substr(address, 1, ?2) <> ?1";
    let id = sealer.id();
    let count: i64 = tx.query_row(sql, params![id, i64::try_from(id.len()).unwrap_or(0)], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn kind(text: &str) -> Kind {
    if text == "mail" { Kind::Mail } else { Kind::Webhook }
}

/// From now on it is told. Once it was, this changes nothing.
///
/// # Errors
/// The database's.
pub fn confirm(tx: &Transaction<'_>, id: i64, wall: Duration) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE subscriber SET state = 'confirmed', confirmed = ?2, failing_since = NULL, stopped_why = NULL
         WHERE id = ?1 AND state <> 'confirmed'",
        params![id, millis(wall)],
    )?;
    Ok(())
}

/// What it is told about from now on; nothing if another subscription to the same URL is about just that.
///
/// # Errors
/// The database's.
pub fn change(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    subscriber: &Subscriber,
    key: &str,
    scopes: &Scopes,
) -> rusqlite::Result<bool> {
    let scopes = scopes.to_json();
    if subscriber.kind == Kind::Webhook {
        let slot = sealer.index("webhook", &format!("{key}\n{scopes}"));
        let sql = "UPDATE OR IGNORE subscriber SET slot = ?2, scopes = ?3 WHERE id = ?1";
        return Ok(tx.execute(sql, params![subscriber.id, &slot[..], scopes])? > 0);
    }
    tx.execute("UPDATE subscriber SET scopes = ?2 WHERE id = ?1", params![subscriber.id, scopes])?;
    Ok(true)
}

/// It is no more, and nothing of it is left.
///
/// # Errors
/// The database's.
pub fn remove(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<bool> {
    tx.execute("DELETE FROM delivery WHERE subscriber = ?1", [id])?;
    Ok(tx.execute("DELETE FROM subscriber WHERE id = ?1", [id])? > 0)
}

/// A new secret; the one before it signs on for [`OLD_SECRET`].
///
/// # Errors
/// The database's.
pub fn rotate(
    tx: &Transaction<'_>,
    sealer: &Sealer,
    subscriber: &Subscriber,
    secret: &[u8],
    wall: Duration,
) -> rusqlite::Result<()> {
    let seal = |column: &str, content: &[u8]| sealer.seal(&place(column, subscriber.id), content);
    let old = subscriber.secrets.first().map(|old| seal("old_secret", old));
    tx.execute(
        "UPDATE subscriber SET secret = ?2, old_secret = ?3, old_secret_until = ?4 WHERE id = ?1",
        params![subscriber.id, seal("secret", secret), old, millis(wall + OLD_SECRET)],
    )?;
    Ok(())
}
