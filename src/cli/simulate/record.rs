//! Reads what a node has kept: its history, or its access log.

use super::{Config, Problem, plan};
use crate::geo::database::Locator;
use crate::history::{records, store};
use crate::sim::cities::Cities;
use crate::sim::record::log::Log;
use crate::sim::record::{Recorded, Window, past};
use anyhow::Context;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How long before its begin the history is read, so that it is known what stood how then.
const BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Longest line of a log that is read, octets: a node writes none so long.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Prints a scenario of what happened.
pub(super) fn run(path: &Path, config: &Path, from: Duration, to: Duration) -> Result<ExitCode, Problem> {
    if to <= from {
        return Err(Problem::Told("--to is not after --from".to_owned()));
    }
    let window = Window { from, to };
    let config = Config::read(config)?;
    let cities = Cities::of_the_world();
    let file = if path.is_dir() { path.join(store::FILE) } else { path.to_owned() };
    let recorded =
        if is_history(&file)? { history(&file, window, &config)? } else { log(&file, window, &config, &cities)? };
    // What is no longer in the configuration cannot be played against it.
    let fitted = recorded.scenario.fitted(&config.topology);
    let played = fitted.map_err(|problem| Problem::Told(format!("{}: {problem}", config.name)))?.scenario;
    let mut notes = recorded.notes;
    let kept = recorded.scenario.faults.iter().zip(&notes.faults);
    let kept = kept.filter(|(fault, _)| played.faults.contains(fault)).map(|(_, note)| note.clone());
    notes.faults = kept.collect();
    let gone = recorded.scenario.faults.len() - played.faults.len();
    if gone > 0 {
        notes.head.push(format!("{gone} faults hit what is not in {} and are left out.", config.name));
    }
    plan::print(&played.to_toml_with(&cities, &notes))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a file is a history and no log.
fn is_history(path: &Path) -> Result<bool, Problem> {
    let mut head = [0; 16];
    let mut file = open(path)?;
    let read = file.read(&mut head).map_err(|error| unreadable(path, &error))?;
    Ok(head[..read].starts_with(b"SQLite format 3"))
}

fn open(path: &Path) -> Result<File, Problem> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::Told(format!("{} cannot be read: {error}", path.display()))
}

fn nothing(path: &Path, why: &str) -> Problem {
    Problem::Told(format!("{} has nothing of that time to record{why}", path.display()))
}

fn hostnames(config: &Config) -> BTreeSet<String> {
    config.topology.routes.iter().map(|route| route.hostname.to_string()).collect()
}

fn history(path: &Path, window: Window, config: &Config) -> Result<Recorded, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || -> rusqlite::Result<_> {
        let mut connection = Connection::open_with_flags(path, flags)?;
        let tx = connection.transaction()?;
        let changes = records::changes(&tx, window.from.saturating_sub(BEFORE), window.to)?;
        Ok((changes, records::requests(&tx, window.from, window.to)?))
    };
    let (changes, mut requests) = read().map_err(|error| unreadable(path, &error))?;
    let known = hostnames(config);
    let mut foreign = 0;
    requests.retain(|name, count| {
        let is_known = known.contains(name);
        foreign += if is_known { 0 } else { *count };
        is_known
    });
    let mut recorded = past::scenario(&changes, &requests, window);
    if recorded.scenario.faults.is_empty() && requests.values().all(|count| *count == 0) {
        let others = if foreign > 0 { format!(": {foreign} requests for other hostnames") } else { String::new() };
        return Err(nothing(path, &others));
    }
    if foreign > 0 {
        recorded
            .notes
            .head
            .push(format!("{foreign} requests for hostnames that are not in {} do not count.", config.name));
    }
    Ok(recorded)
}

fn log(path: &Path, window: Window, config: &Config, cities: &Cities) -> Result<Recorded, Problem> {
    let geo = &config.topology.geo;
    let locator = Locator::open(geo.places.clone(), geo.database.as_deref())
        .context("nobody can say where clients are")
        .map_err(|error| Problem::Told(format!("{error:#}")))?;
    let locate = |address| locator.locate(address).map(|found| found.place);
    let mut lines = BufReader::new(open(path)?);
    let mut log = Log::new(window).of(hostnames(config));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(path, &error))? == 0 {
            if log.requests() == 0 {
                let lost = log.lost();
                let lost = if lost.is_empty() { String::new() } else { format!(": {}", lost.join(" ")) };
                return Err(nothing(path, &lost));
            }
            return Ok(log.scenario());
        }
        log.take(&String::from_utf8_lossy(&line), cities, &locate);
    }
}
