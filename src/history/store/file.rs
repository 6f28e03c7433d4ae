//! The file: opened, made, brought up to date, or set aside.

use super::salvage;
use super::swap::{self, with};
use super::trouble::{Kind, Tried, Why, kind};
use super::{FILE, FILE_BYTES_MAX, Module};
use crate::history::story::Trouble;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What marks a file as ours: `anyf`.
const APPLICATION_ID: i32 = 0x616E_7966;
/// The version of what the file has besides its modules' tables.
const FRAME_VERSION: i32 = 1;
/// What the file has besides its modules' tables: how far each of them is, and what was lost when.
const FRAME: &str = "
    CREATE TABLE module (name TEXT PRIMARY KEY, version INTEGER NOT NULL);
    CREATE TABLE loss (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, why TEXT NOT NULL);
";
/// Who may use the file: one process at a time.
const LOCK: &str = "history.lock";
/// How long somebody who looks into the file may hold us up.
const BUSY: Duration = Duration::from_secs(2);
/// The log of changes is cut to this when it has been taken over, octets.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// Octets of a page.
const PAGE_BYTES: u64 = 4_096;

/// An open file.
pub(super) struct Open {
    pub(super) connection: Connection,
    /// What was lost when, the last time.
    pub(super) lost: Option<Trouble>,
    /// Why it can only be read, if so.
    pub(super) only_read: Option<Tried>,
    path: PathBuf,
    inode: Option<u64>,
    /// Held as long as the file is open.
    _lock: Option<File>,
}

impl Open {
    /// Whether the name still means the file that is open: it may have been deleted or replaced.
    pub(super) fn is_where_it_was(&self) -> bool {
        std::fs::metadata(&self.path).ok().map(|about| about.ino()) == self.inode
    }

    /// Whether everything in it is as it should be.
    pub(super) fn is_whole(&self) -> bool {
        let found = self.connection.query_row("PRAGMA integrity_check(1)", (), |row| row.get::<_, String>(0));
        found.is_ok_and(|found| found == "ok")
    }

    /// Octets of its pages.
    pub(super) fn pages_bytes(&self) -> u64 {
        let pages = self.connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        u64::try_from(pages.unwrap_or(0)).unwrap_or(0) * PAGE_BYTES
    }
}

/// Octets of the file and of what is beside it.
pub(super) fn bytes(folder: &Path) -> u64 {
    let path = folder.join(FILE);
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|end| std::fs::metadata(with(&path, end)).ok())
        .map(|about| about.len())
        .sum()
}

/// Why a file cannot be taken over as it is.
enum Unfit {
    /// It may be fit later.
    Unable(Tried),
    /// Never: set it aside, and this is why.
    Damaged(String),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        match kind(&error, 0) {
            Kind::Damaged => Self::Damaged(error.to_string()),
            Kind::Unable(tried) => Self::Unable(tried),
            // Our own SQL, on tables that are not what they should be.
            Kind::Refused => Self::Damaged(error.to_string()),
        }
    }
}

/// Opens the file in `folder`, making it if there is none, and replacing it if it is unfit.
pub(super) fn open(folder: &Path, modules: &[Module], wall: Duration) -> Result<Open, Tried> {
    let path = folder.join(FILE);
    let lock = match lock(folder) {
        Ok(lock) => lock,
        Err(tried) => return open_to_read(&path, tried),
    };
    swap::finish(&path).map_err(|error| Tried::of(&error))?;
    match take_over(&path, modules) {
        Ok(connection) => opened(path, connection, Some(lock), None),
        Err(Unfit::Unable(tried)) => open_to_read(&path, tried),
        Err(Unfit::Damaged(why)) => replace_locked(path, modules, wall, &why, lock),
    }
}

/// Sets the file in `folder` aside, which is damaged because of `why`, and opens a new one with what is left of it.
pub(super) fn replace(folder: &Path, modules: &[Module], wall: Duration, why: &str) -> Result<Open, Tried> {
    let lock = lock(folder)?;
    replace_locked(folder.join(FILE), modules, wall, why, lock)
}

fn replace_locked(path: PathBuf, modules: &[Module], wall: Duration, why: &str, lock: File) -> Result<Open, Tried> {
    let shown = path.display();
    tracing::error!("{shown}: {why}: it is set aside, and what can be read of it is carried over");
    let unfit = |unfit| match unfit {
        Unfit::Unable(tried) => tried,
        Unfit::Damaged(why) => Tried::new(Why::Damaged, format!("a new file is damaged at once: {why}")),
    };
    let aside = swap::free_name(&path, wall)?;
    let new = swap::new_file(&path).map_err(|error| Tried::of(&error))?;
    let mut connection = take_over(&new, modules).map_err(unfit)?;
    let saved = salvage::carry_over(&path, &mut connection).map_err(|error| unfit(Unfit::from(error)))?;
    let told = format!("the history was damaged and part of it may be lost: {} entries were saved", saved.rows);
    let at_ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
    let noted = connection.execute("INSERT INTO loss (at_ms, why) VALUES (?1, ?2)", (at_ms, told));
    noted.map_err(|error| unfit(Unfit::from(error)))?;
    connection.close().map_err(|(_, error)| unfit(Unfit::from(error)))?;
    swap::in_place_of(&path, &new, &aside).map_err(|error| Tried::of(&error))?;
    tracing::warn!("{shown}: begins anew with {saved}; what was there is {} now", aside.display());
    let connection = take_over(&path, modules).map_err(unfit)?;
    opened(path, connection, Some(lock), None)
}

fn opened(path: PathBuf, connection: Connection, lock: Option<File>, only_read: Option<Tried>) -> Result<Open, Tried> {
    let last = "SELECT at_ms, why FROM loss ORDER BY id DESC LIMIT 1";
    let lost = connection.query_row(last, (), |row| {
        let since = Duration::from_millis(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
        Ok(Trouble { since, why: row.get(1)? })
    });
    let lost = lost.optional().map_err(|error| Tried::new(Why::Fails, error.to_string()))?;
    let inode = std::fs::metadata(&path).ok().map(|about| about.ino());
    Ok(Open { connection, lost, only_read, path, inode, _lock: lock })
}

/// The lock that makes this process the only one that uses the file. The system takes it back when the process ends.
fn lock(folder: &Path) -> Result<File, Tried> {
    std::fs::create_dir_all(folder).map_err(|error| Tried::of(&error))?;
    let path = folder.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.map_err(|error| Tried::of(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Tried::new(Why::InUse, "it holds the lock")),
        Err(TryLockError::Error(error)) => Err(Tried::of(&error)),
    }
}

/// Opens a file that can only be read, so that the past is shown all the same; or says why not.
fn open_to_read(path: &Path, tried: Tried) -> Result<Open, Tried> {
    if !matches!(tried.why, Why::ReadOnly | Why::CannotOpen) {
        return Err(tried);
    }
    // Nobody writes, so what is there is taken as it is, without its log.
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags) else {
        return Err(tried);
    };
    match pragma(&connection, "application_id") {
        Ok(APPLICATION_ID) => opened(path.to_owned(), connection, None, Some(tried)),
        _ => Err(tried),
    }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Opens the file as it is, or a new one, and brings it up to date.
fn take_over(path: &Path, modules: &[Module]) -> Result<Connection, Unfit> {
    make_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // What stands in a damaged or foreign file must not be able to do anything.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    // It was opened for writing, and its folder can be written: only a damaged header says otherwise.
    if connection.is_readonly(rusqlite::MAIN_DB)? {
        return Err(Unfit::Damaged("its header says that it cannot be written".to_owned()));
    }
    match (pragma(&connection, "application_id")?, pragma(&connection, "user_version")?) {
        (0, 0) if tables == 0 => {}
        (APPLICATION_ID, FRAME_VERSION) => {
            let found: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
            if found != "ok" {
                return Err(Unfit::Damaged(found));
            }
            let mut known = connection.prepare("SELECT name, version FROM module")?;
            let known = known.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, usize>(1)?)))?;
            for (name, version) in known.collect::<rusqlite::Result<Vec<_>>>()? {
                if modules.iter().any(|module| module.name == name && version > module.steps.len()) {
                    return Err(newer_than_known(format_args!("{version} of {name}")));
                }
            }
        }
        (APPLICATION_ID, newer) if newer > FRAME_VERSION => return Err(newer_than_known(newer)),
        (id, version) => {
            return Err(Unfit::Damaged(format!("it is no history of ours (application {id}, version {version})")));
        }
    }
    prepare(&connection)?;
    migrate(&mut connection, modules)?;
    // A letter changed in what a table is called to be is no damage for SQLite, and the end of it for us.
    let mut fresh = Connection::open_in_memory()?;
    migrate(&mut fresh, modules)?;
    let there = made(&connection)?;
    match made(&fresh)?.into_iter().find(|table| !there.contains(table)) {
        Some((name, _)) => Err(Unfit::Damaged(format!("{name} is not as it was made"))),
        None => Ok(connection),
    }
}

/// What the file has, and how it was made.
fn made(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let all = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    connection.prepare(all)?.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn newer_than_known(version: impl std::fmt::Display) -> Unfit {
    Unfit::Unable(Tried::new(Why::Newer, format!("version {version} is not known here; the file is left alone")))
}

/// Makes an empty file that only its owner can read, if there is none: SQLite gives its companions the same rights.
fn make_private(path: &Path) -> Result<(), Unfit> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Unfit::Unable(Tried::of(&error))),
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "max_page_count", FILE_BYTES_MAX / PAGE_BYTES, |_| Ok(()))
}

/// Each step that is missing, all of them together or none.
fn migrate(connection: &mut Connection, modules: &[Module]) -> Result<(), Unfit> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if pragma(&transaction, "user_version")? == 0 {
        transaction.execute_batch(FRAME)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FRAME_VERSION)?;
    }
    for module in modules {
        let known = "SELECT version FROM module WHERE name = ?1";
        let version: Option<usize> = transaction.query_row(known, [module.name], |row| row.get(0)).optional()?;
        let version = version.unwrap_or(0);
        for step in module.steps.iter().skip(version) {
            // A step that fails is our mistake: the file is left as it is.
            transaction.execute_batch(step).map_err(|error| match kind(&error, 0) {
                Kind::Refused => Unfit::Unable(Tried::new(Why::Outdated, format!("{}: {error}", module.name))),
                _ => Unfit::from(error),
            })?;
        }
        if version < module.steps.len() {
            let note = "INSERT INTO module (name, version) VALUES (?1, ?2)
                        ON CONFLICT (name) DO UPDATE SET version = excluded.version";
            transaction.execute(note, (module.name, module.steps.len()))?;
        }
    }
    Ok(transaction.commit()?)
}
