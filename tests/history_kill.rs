//! Kill -9 in the middle of writes: the history opens, what was said to be kept is there, and nothing is there by half.
//!
//! The one who writes is this program again, in a process of its own. `ANYFRONT_KILLS` says how often it is killed.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

use anyfront::history::incidents::Kept;
use anyfront::history::recorder::{Batch, Counts, Minute};
use anyfront::history::store::Store;
use anyfront::history::story::{Impact, Incident, Phase, Subject, Update};
use anyfront::history::{ledger, records};
use anyfront::moment::{Clock, Dice};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "ANYFRONT_TEST_HISTORY";
const BEGIN: u64 = 30_000_000;

fn start(folder: &Path) -> Store {
    Store::start(folder, &[ledger::MODULE, records::MODULE], Clock::start()).expect("a thread")
}

/// What is written at once: two minutes, and an incident with a further update. Numbers go through hours and days.
fn keep(tx: &rusqlite::Transaction<'_>, number: u64) -> rusqlite::Result<()> {
    let minute = BEGIN + number * 7;
    let wall = Duration::from_secs(minute * 60);
    let counts = Counts { milliseconds: [60_000, 0, 0, 0, 0, 0], requests: 1, ..Counts::default() };
    let region = |name: &str| Subject::Region(name.to_owned());
    let minutes = ["a", "b"].map(|name| Minute { subject: region(name), minute, counts: counts.clone() });
    let update = |number: u64| Update {
        id: format!("{number:08}"),
        at: wall,
        phase: Phase::Investigating,
        text: "words ".repeat(20),
        by_operator: false,
    };
    let first = number / 10 * 10;
    let incident = Incident {
        id: format!("{first:08}"),
        title: "a title".to_owned(),
        phase: Phase::Investigating,
        impact: Impact::Minor,
        subjects: vec![region("a")],
        opened_at: wall,
        closed_at: None,
        window: None,
        is_automatic: true,
        updates: (first..=number).map(update).collect(),
        post_mortem: None,
    };
    ledger::keep(tx, &[Kept { incident, hold: Duration::ZERO, is_taken_over: false }])?;
    let batch = Batch { minutes: minutes.into(), ..Batch::default() };
    records::keep(tx, "here", &batch, wall, true)
}

/// Writes until it is killed, and says each time what is kept.
fn write(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = start(folder);
        let last = "SELECT coalesce(max(CAST(id AS INTEGER)), -1) FROM incident_update";
        let last: i64 = store.read(move |tx| tx.query_row(last, (), |row| row.get(0))).await.expect("read");
        for number in u64::try_from(last + 1).expect("counts up").. {
            let kept = match number % 2 {
                0 => store.run(move |tx| keep(tx, number)).await,
                _ => store.run_durably(move |tx| keep(tx, number)).await,
            };
            kept.expect("kept");
            let mut out = std::io::stdout().lock();
            writeln!(out, "kept {number}").and_then(|()| out.flush()).expect("said");
        }
    });
}

fn writer(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "whatever_the_moment_a_kill_loses_nothing_that_was_kept", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// Lets it write for about so long after its first word, kills it, and says which number it said last.
fn killed(mut child: Child, after: Duration) -> i64 {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut last = -1;
    let mut take = |line: std::io::Result<String>| {
        let line = line.expect("text");
        if let Some(number) = line.strip_prefix("kept ") {
            last = number.parse().expect("a number");
        }
        last >= 0
    };
    for line in lines.by_ref() {
        if take(line) {
            break;
        }
    }
    let killer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::sleep(after).await });
        child.kill().expect("it ran");
        child.wait().expect("it ended")
    });
    for line in lines {
        take(line);
    }
    let status = killer.join().expect("killed");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "it ended by itself: {status}");
    last
}

#[test]
fn whatever_the_moment_a_kill_loses_nothing_that_was_kept() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write(Path::new(&folder));
        return;
    }
    let kills: u64 = std::env::var("ANYFRONT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().expect("a folder");
    let mut dice = Dice::seeded(3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut before = -1;
    for kill in 0..kills {
        let said = killed(writer(folder.path()), Duration::from_micros(dice.roll() % 150_000));
        let store = start(folder.path());
        let found = store.read(|tx| {
            let one = |sql: &str| tx.query_row(sql, (), |row| row.get::<_, i64>(0));
            Ok((
                one("SELECT max(CAST(id AS INTEGER)) FROM incident_update")?,
                one("SELECT count(*) FROM incident_update")?,
                one("SELECT count(DISTINCT incident) - (SELECT count(*) FROM incident) FROM incident_update")?,
                one("SELECT sum(requests) FROM minute")?,
                one("SELECT coalesce(sum(requests), 0) FROM hour")?,
                one("SELECT coalesce(sum(requests), 0) FROM minute WHERE id >> 16 < 60 * (SELECT until FROM progress WHERE what = 'hour')")?,
                tx.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0))?,
            ))
        });
        let (last, count, orphans, requests, hours, rolled, whole) = runtime.block_on(found).expect("it opens");
        assert!(last >= said && last <= said + 1, "kill {kill}: {said} was said to be kept, {last} is the last there");
        assert_eq!((count, orphans, whole.as_str()), (last + 1, 0, "ok"), "kill {kill}");
        assert!(last > before, "kill {kill}: nothing was written");
        // Minutes come in pairs; of those that are kept still, hours have what their minutes had.
        assert!(
            requests % 2 == 0 && hours >= rolled,
            "kill {kill}: {requests} in minutes, {hours} in hours of {rolled}"
        );
        before = last;
        runtime.block_on(store.close());
        let beside = std::fs::read_dir(folder.path())
            .expect("a folder")
            .filter(|entry| entry.as_ref().expect("read").file_name().to_string_lossy().contains("damaged"));
        assert_eq!(beside.count(), 0, "kill {kill}: the file was taken for damaged");
    }
    println!("{kills} kills, {} writes", before + 1);
}
