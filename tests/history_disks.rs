//! The history on disks that are full, read-only or damaged: what is kept stays, what cannot be kept is told, and it goes on
//! by itself when the disk does.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

#[path = "common/needs.rs"]
mod needs;

use anyfront::history::incidents::Kept;
use anyfront::history::recorder::{Batch, Counts, Minute};
use anyfront::history::store::{FILE, Store, StoreError};
use anyfront::history::story::{Impact, Incident, Level, Phase, Subject, Update};
use anyfront::history::{ledger, records};
use anyfront::moment::{Clock, Dice};
use anyfront::status::drains::{Drains, Operator, Wish};
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(30);
const BEGIN: u64 = 30_000_000;
const WALL: Duration = Duration::from_secs(BEGIN * 60);

fn start(folder: &Path) -> Store {
    Store::start(folder, &[ledger::MODULE, records::MODULE], Clock::start()).expect("a thread")
}

fn region(number: u64) -> Subject {
    Subject::Region(format!("r{number}"))
}

fn batch(minute: u64) -> Batch {
    let counts = |number| Counts { milliseconds: [60_000, 0, 0, 0, 0, number], ..Counts::default() };
    let minutes = (0..10).map(|number| Minute { subject: region(number), minute, counts: counts(number) });
    Batch {
        minutes: minutes.collect(),
        changes: Vec::new(),
        levels: vec![(region(0), Level::Operational, Duration::ZERO)],
    }
}

fn incident(number: u64) -> Kept {
    let at = Duration::from_secs(BEGIN * 60 + number);
    let update = |id: String| Update { id, at, phase: Phase::Investigating, text: "x".repeat(400), by_operator: false };
    Kept {
        incident: Incident {
            id: format!("{number:08}"),
            title: "a title".to_owned(),
            phase: Phase::Resolved,
            impact: Impact::Minor,
            subjects: vec![region(number)],
            opened_at: at,
            closed_at: Some(at),
            window: None,
            is_automatic: true,
            updates: vec![update(format!("{number:08}a")), update(format!("{number:08}b"))],
            post_mortem: None,
        },
        hold: Duration::from_secs(30),
        is_taken_over: false,
    }
}

async fn keep(store: &Store, number: u64) -> Result<(), StoreError> {
    let wall = Duration::from_secs((BEGIN + number) * 60);
    let (batch, incident) = (batch(BEGIN + number), incident(number));
    let job = move |tx: &rusqlite::Transaction<'_>| {
        ledger::keep(tx, &[incident])?;
        records::keep(tx, "here", &batch, wall, false)
    };
    store.run(job).await
}

async fn incidents(store: &Store) -> Result<Vec<String>, StoreError> {
    let all = store.read(|tx| ledger::recall(tx, Duration::ZERO, 1_000_000)).await?;
    Ok(all.into_iter().map(|kept| kept.incident.id).collect())
}

fn why(store: &Store) -> String {
    store.trouble().borrow().as_ref().map_or_else(String::new, |trouble| trouble.why.clone())
}

async fn until(what: &str, store: &Store, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, wait).await.is_ok(), "not in time: {what}: {}", why(store));
}

fn asides(folder: &Path) -> Vec<PathBuf> {
    let is_aside = |name: &str| name.contains(".damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm");
    let all = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("read").path());
    all.filter(|path| is_aside(&path.to_string_lossy())).collect()
}

/// A disk of its own; nothing, and a note, where none can be mounted.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mounted(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = ["-t", "tmpfs", "-o", size, "tmpfs"];
        let done = Command::new("mount").args(mount).arg(folder.path()).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(folder));
        }
        needs::skipped("tests of full and read-only disks: nothing can be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()).output();
        assert!(done.expect("mount").status.success(), "remount,{how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_it_goes_on_by_itself_when_there_is_room() {
    let Some(disk) = Disk::mounted("size=2m") else { return };
    let store = start(disk.path());
    keep(&store, 0).await.expect("there is room");
    fs::write(disk.path().join("others"), vec![0; 1_200_000]).expect("written");
    let mut number = 0;
    while number < 10_000 && keep(&store, number + 1).await.is_ok() {
        number += 1;
    }
    assert!(number < 10_000 && why(&store).contains("disk is full"), "{number}: {}", why(&store));
    assert_eq!(
        incidents(&store).await.expect("reading goes on").len() as u64,
        number + 1,
        "nothing of what was kept is lost"
    );
    fs::remove_file(disk.path().join("others")).expect("removed");
    until("it is kept again", &store, async || keep(&store, number + 1).await.is_ok()).await;
    assert_eq!((why(&store), incidents(&store).await.expect("read").len() as u64), (String::new(), number + 2));
    store.close().await;
    assert_eq!(incidents(&start(disk.path())).await.expect("read").len() as u64, number + 2);
    assert!(asides(disk.path()).is_empty());
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_told_and_still_read() {
    let Some(disk) = Disk::mounted("size=16m") else { return };
    let store = start(disk.path());
    for number in 0..20 {
        keep(&store, number).await.expect("kept");
    }
    store.close().await;
    disk.remount("ro");
    let store = start(disk.path());
    assert!(keep(&store, 20).await.is_err());
    assert!(why(&store).contains("read-only"), "{}", why(&store));
    assert_eq!(incidents(&store).await.expect("the past is shown all the same").len(), 20);
    disk.remount("rw");
    until("it is kept again", &store, async || keep(&store, 20).await.is_ok()).await;
    assert_eq!((why(&store), incidents(&store).await.expect("read").len()), (String::new(), 21));
}

#[tokio::test]
async fn a_disk_that_was_read_only_from_the_start_is_used_once_it_is_not() {
    let Some(disk) = Disk::mounted("size=16m") else { return };
    disk.remount("ro");
    let store = start(disk.path());
    assert!(keep(&store, 0).await.is_err() && incidents(&store).await.is_err());
    assert!(why(&store).contains("read-only"), "{}", why(&store));
    disk.remount("rw");
    until("it is kept", &store, async || keep(&store, 0).await.is_ok()).await;
}

/// There and not, a folder on a read-only disk stops nobody.
#[tokio::test]
async fn a_state_folder_that_cannot_be_made_on_a_read_only_disk_is_no_reason_not_to_start() {
    let Some(disk) = Disk::mounted("size=16m") else { return };
    disk.remount("ro");
    let state = disk.path().join("state");
    let mut drains = Drains::open(&state, WALL).expect("without any");
    assert!(drains.overrides().is_empty());
    let operator = Operator { who: "ada".to_owned(), from: Ipv4Addr::LOCALHOST.into(), reason: "a test".to_owned() };
    let refused = drains.grant(Wish::Reload, &operator, WALL).expect_err("nothing can be written").to_string();
    assert!(refused.contains("audit.jsonl") && refused.to_lowercase().contains("read-only"), "{refused}");
    let store = start(&state);
    assert!(keep(&store, 0).await.is_err());
    assert!(why(&store).contains("read-only"), "{}", why(&store));
}

/// What stands in the way is told once, whoever prints its causes, too.
#[test]
fn why_a_state_folder_cannot_be_made_is_said_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = Drains::open(&file.join("state"), WALL).expect_err("in a file");
    assert!(error.to_string().contains("Not a directory"), "{error}");
    assert!(std::error::Error::source(&error).is_none(), "it would be said twice");
}

/// Octets destroyed anywhere, at rest and under way: the node goes on with a file that works, whatever could be read is in it,
/// and the damaged one is beside it as it was.
#[tokio::test]
async fn whatever_is_destroyed_in_the_file_it_goes_on_and_what_can_be_read_is_kept() {
    let mut dice = Dice::seeded(7);
    let below = |dice: &mut Dice, count: usize| usize::try_from(dice.roll() % count as u64).expect("fits");
    let (mut damaged, mut saved) = (0, 0);
    for round in 0..40 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let store = start(folder.path());
        for number in 0..60 {
            keep(&store, number).await.expect("kept");
        }
        let is_open = round % 4 == 3;
        // All of it is in the file itself then, and no longer in its log.
        store.close().await;
        let open = is_open.then(|| start(folder.path()));
        if let Some(store) = &open {
            incidents(store).await.expect("open");
        }
        let mut octets = fs::read(&path).expect("read");
        let length = octets.len();
        match round % 4 {
            // The header, some octets anywhere, whole pages, the tail.
            // (But for the version, at 60: a file that says it is newer is believed, and left alone.)
            0 => octets[below(&mut dice, 60)] ^= 0x55,
            1 => (0..3).for_each(|_| octets[below(&mut dice, length)] ^= 0xff),
            2 => octets.truncate(below(&mut dice, length)),
            _ => {
                let page = 4_096 * (1 + below(&mut dice, length / 4_096 - 1));
                octets[page..page + 4_096].fill(0xa5);
            }
        }
        let destroyed = octets.clone();
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| {
                file.set_len(octets.len() as u64)?;
                file.write_all(&octets)
            })
            .expect("destroyed");
        let store = open.unwrap_or_else(|| start(folder.path()));
        until(&format!("round {round} goes on"), &store, async || keep(&store, 1_000).await.is_ok()).await;
        until("it is read", &store, async || incidents(&store).await.is_ok()).await;
        until("it is kept", &store, async || keep(&store, 1_001).await.is_ok()).await;
        let left = incidents(&store).await.expect("read");
        assert!(left.ends_with(&["00001001".to_owned()]), "round {round}: {left:?}");
        let asides = asides(folder.path());
        if !asides.is_empty() {
            damaged += 1;
            saved += usize::from(left.len() > 30);
            assert!(!why(&store).is_empty(), "round {round}: it is told");
            if round % 4 == 2 {
                // Noticed before anything was written into it.
                assert!(fs::read(&asides[0]).expect("read") == destroyed, "round {round}: it is kept as it was");
            }
        }
        store.close().await;
        // What nobody has touched while it was open is found at the next start.
        let store = start(folder.path());
        until("it is kept", &store, async || keep(&store, 1_002).await.is_ok()).await;
        store.close().await;
        let whole = rusqlite::Connection::open(&path).expect("opened");
        let found: String = whole.query_row("PRAGMA integrity_check", (), |row| row.get(0)).expect("checked");
        assert_eq!(found, "ok", "round {round}");
        assert!(
            !folder.path().join(format!("{FILE}.new")).exists()
                && !folder.path().join(format!("{FILE}.ready")).exists()
        );
    }
    assert!(damaged >= 10, "only {damaged} of 40 were noticed: the test destroys too little");
    assert!(saved * 4 >= damaged, "of {damaged} damaged files only {saved} gave more than half of their incidents");
}
