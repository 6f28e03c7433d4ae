//! What can still be read of a damaged file, carried over into a new one.

use super::trouble::{Kind, kind};
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Transaction, params_from_iter};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How often one may step over damage in one table: a table with more holes is given up.
const HOLES_MAX: u32 = 1_000;
/// The widest hole that is stepped over, in rows: beyond it nothing is expected.
const HOLE_ROWS_MAX: i64 = 1 << 60;

/// What was carried over.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Rows of all tables.
    pub(super) rows: u64,
    /// Rows that did not fit: what they belong to is gone.
    left: u64,
    /// Tables that could not be read to their end.
    damaged: Vec<String>,
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows)?;
        if self.left > 0 {
            write!(f, ", without {} that belong to nothing", self.left)?;
        }
        if !self.damaged.is_empty() {
            write!(f, "; not all could be read of {}", self.damaged.join(", "))?;
        }
        Ok(())
    }
}

/// Carries over what `into` has tables for, in the order in which it has them.
pub(super) fn carry_over(from: &Path, into: &mut Connection) -> rusqlite::Result<Saved> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut saved = Saved::default();
    let Ok(old) = Connection::open_with_flags(from, flags) else { return Ok(saved) };
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    old.busy_timeout(Duration::ZERO)?;
    let transaction = into.transaction()?;
    for table in tables(&transaction)? {
        table_over(&old, &transaction, &table, &mut saved)?;
    }
    transaction.commit()?;
    Ok(saved)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'module'
               ORDER BY rowid";
    connection.prepare(all)?.query_map((), |row| row.get(0))?.collect()
}

/// The columns of a table that can be written.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let all = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0";
    connection.prepare(all)?.query_map([table], |row| row.get(0))?.collect()
}

/// One table: from its first row on, and past each hole by ever longer steps until something can be read again.
fn table_over(old: &Connection, into: &Transaction<'_>, table: &str, saved: &mut Saved) -> rusqlite::Result<()> {
    let ours = columns(into, table)?;
    // A table that the old file has not, or that cannot be looked at, has nothing to give.
    let theirs = columns(old, table).unwrap_or_default();
    let shared: Vec<String> = ours.into_iter().filter(|name| theirs.contains(name)).map(|name| quoted(&name)).collect();
    if shared.is_empty() {
        return Ok(());
    }
    let (list, table_) = (shared.join(", "), quoted(table));
    let marks = vec!["?"; shared.len() + 1].join(", ");
    let mut write = into.prepare(&format!("INSERT INTO {table_} (rowid, {list}) VALUES ({marks})"))?;
    let Ok(mut read) = old.prepare(&format!("SELECT rowid, {list} FROM {table_} WHERE rowid > ?1 ORDER BY rowid"))
    else {
        saved.damaged.push(table.to_owned());
        return Ok(());
    };
    let (mut after, mut step, mut holes) = (i64::MIN, 1_i64, 0);
    loop {
        let begun = after;
        let mut failed = Ok(());
        let ended = read.query([after]).and_then(|mut rows| {
            while let Some(row) = rows.next()? {
                let values = (0..=shared.len()).map(|at| row.get::<_, Value>(at)).collect::<Result<Vec<_>, _>>()?;
                if let Some(Value::Integer(rowid)) = values.first() {
                    after = *rowid;
                }
                match write.execute(params_from_iter(values)) {
                    Ok(_) => saved.rows += 1,
                    // It belongs to something that is gone, or is twice there.
                    Err(error) if matches!(kind(&error, 0), Kind::Refused) => saved.left += 1,
                    Err(error) => {
                        failed = Err(error);
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        // The new file cannot take it: that is no damage of the old one.
        failed?;
        if ended.is_ok() {
            break;
        }
        if holes == 0 {
            saved.damaged.push(table.to_owned());
        }
        holes += 1;
        step = if after > begun { 1 } else { step.saturating_mul(2) };
        if holes > HOLES_MAX || step > HOLE_ROWS_MAX {
            break;
        }
        after = after.max(-1).saturating_add(step);
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
