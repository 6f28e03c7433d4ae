//! The store over real files: kept, full, read-only, damaged, foreign, newer, deleted, used twice.

use super::*;
use std::fs;

const NOTES: Module = Module {
    name: "notes",
    steps: &[
        "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT;
         CREATE TABLE note (id INTEGER PRIMARY KEY, book INTEGER NOT NULL REFERENCES book (id), text TEXT NOT NULL) STRICT;",
    ],
};

fn start(folder: &Path) -> Store {
    Store::start(folder, &[NOTES], Clock::start()).expect("a thread")
}

async fn add(store: &Store, text: &str) -> Result<i64, StoreError> {
    let text = text.to_owned();
    let job = move |tx: &Transaction<'_>| {
        tx.execute("INSERT OR IGNORE INTO book (id, title) VALUES (1, 'a book')", ())?;
        tx.execute("INSERT INTO note (book, text) VALUES (1, ?1)", [text])?;
        Ok(tx.last_insert_rowid())
    };
    store.run(job).await
}

async fn count(store: &Store) -> Result<i64, StoreError> {
    store.read(|tx| tx.query_row("SELECT count(*) FROM note", (), |row| row.get(0))).await
}

fn why(store: &Store) -> String {
    store.trouble().borrow().as_ref().map_or_else(String::new, |trouble| trouble.why.clone())
}

/// Files in `folder` with `part` in their names, without companions.
fn files(folder: &Path, part: &str) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("read").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(part) && !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("made/by/us");
    let store = start(&folder);
    add(&store, "one").await.expect("kept");
    store.run_durably(|tx| tx.execute("INSERT INTO note (book, text) VALUES (1, 'two')", ())).await.expect("kept");
    assert!(store.file_bytes() > 4_096);
    store.close().await;
    assert!(matches!(add(&store, "late").await, Err(StoreError::Closed)));
    let store = start(&folder);
    assert_eq!(count(&store).await.expect("read"), 2);
    assert_eq!(why(&store), "");
    let text = |tx: &Transaction<'_>| tx.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    assert_eq!(store.read(text).await.expect("read"), 1, "waiting for the disk is the exception");
}

#[tokio::test]
async fn a_job_that_fails_or_panics_leaves_no_trace_and_is_no_trouble() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = start(folder.path());
    add(&store, "one").await.expect("kept");
    let half = |tx: &Transaction<'_>| {
        tx.execute("INSERT INTO note (book, text) VALUES (1, 'half')", ())?;
        tx.execute("INSERT INTO note (book, text) VALUES (99, 'of no book')", ())
    };
    assert!(matches!(store.run(half).await, Err(StoreError::Refused(_))));
    let panics = |tx: &Transaction<'_>| -> rusqlite::Result<()> {
        tx.execute("INSERT INTO note (book, text) VALUES (1, 'half')", ())?;
        panic!("as a bug would")
    };
    assert!(matches!(store.run(panics).await, Err(StoreError::Panicked)));
    assert_eq!(count(&store).await.expect("read"), 1);
    assert_eq!(why(&store), "");
}

#[tokio::test]
async fn jobs_past_the_bound_are_refused_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = start(folder.path());
    add(&store, "one").await.expect("kept");
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let waits = store.try_run(move |_| Ok(wait.recv().is_ok())).expect("a place");
    let mut places = 0;
    while let Ok(_answer) = store.try_run(|tx| tx.execute("INSERT INTO note (book, text) VALUES (1, 'x')", ())) {
        places += 1;
        assert!(places <= JOBS_MAX, "more than the bound");
    }
    assert!(places >= JOBS_MAX - 1, "{places}");
    assert_eq!(store.dropped(), 1);
    go.send(()).expect("it waits");
    assert!(waits.await.expect("done").expect("kept"));
    assert_eq!(count(&store).await.expect("read"), 1 + i64::try_from(places).expect("few"));
}

#[tokio::test]
async fn a_second_process_waits_for_the_first_and_then_takes_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path());
    // It has the file by then: each opens it in a thread of its own.
    add(&first, "one").await.expect("kept");
    let second = start(folder.path());
    assert!(matches!(add(&second, "two").await, Err(StoreError::Trouble(_))));
    assert!(why(&second).contains("another process"), "{}", why(&second));
    first.close().await;
    let taken = async {
        while add(&second, "two").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken).await.expect("it takes over");
    assert_eq!((count(&second).await.expect("read"), why(&second)), (2, String::new()));
}

#[tokio::test]
async fn a_foreign_file_is_kept_beside_and_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    for (at, content) in
        [&b"not a database at all"[..], &[0_u8; 8_192], b"SQLite format 3\0 and then nothing"].iter().enumerate()
    {
        fs::write(&path, content).expect("written");
        let store = start(folder.path());
        add(&store, "one").await.expect("kept");
        assert!(why(&store).contains("damaged"), "{}", why(&store));
        store.close().await;
        let aside = files(folder.path(), ".damaged-");
        assert_eq!(aside.len(), at + 1);
        let kept = aside.iter().any(|name| fs::read(folder.path().join(name)).expect("read") == *content);
        assert!(kept, "{at}: as it was");
    }
    let foreign = Connection::open(folder.path().join("other.db")).expect("a file");
    foreign
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .expect("made");
    drop(foreign);
    fs::rename(folder.path().join("other.db"), &path).expect("moved");
    let store = start(folder.path());
    assert_eq!(count(&store).await.expect("read"), 0);
    store.close().await;
    assert_eq!(files(folder.path(), ".damaged-").len(), 4);
}

#[tokio::test]
async fn too_many_damaged_files_beside_it_end_the_moving() {
    let folder = tempfile::tempdir().expect("a folder");
    for at in 0..swap::ASIDE_MAX {
        fs::write(folder.path().join(format!("{FILE}.damaged-{at}")), "x").expect("written");
    }
    fs::write(folder.path().join(FILE), "damaged once more, and longer than a header has to be").expect("written");
    let store = start(folder.path());
    assert!(add(&store, "one").await.is_err());
    assert!(why(&store).contains("damaged"), "{}", why(&store));
    assert_eq!(fs::read(folder.path().join(FILE)).expect("left alone")[..7], *b"damaged");
    assert_eq!(files(folder.path(), ".damaged-").len(), swap::ASIDE_MAX);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let newer = Module { name: "notes", steps: &["CREATE TABLE note (x)", "CREATE TABLE more (x)"] };
    let store = Store::start(folder.path(), &[newer], Clock::start()).expect("a thread");
    store.run(|tx| tx.execute("INSERT INTO more VALUES (1)", ())).await.expect("kept");
    store.close().await;
    let before = fs::read(folder.path().join(FILE)).expect("read");
    let store = start(folder.path());
    assert!(add(&store, "one").await.is_err());
    assert!(why(&store).contains("newer version"), "{}", why(&store));
    store.close().await;
    assert!(fs::read(folder.path().join(FILE)).expect("read") == before, "it was written into");
    let older = Module { name: "notes", steps: &["CREATE TABLE note (x)"] };
    let grown = Module { name: "other", steps: &["CREATE TABLE other (x)"] };
    drop(Store::start(folder.path(), &[older, grown], Clock::start()).expect("a thread"));
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_file_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = start(folder.path());
    add(&store, "one").await.expect("kept");
    store.close().await;
    let mistaken = Module { name: "more", steps: &["CREATE TABLE more (x)", "CREATE TABLE note (x)"] };
    let store = Store::start(folder.path(), &[NOTES, mistaken], Clock::start()).expect("a thread");
    assert!(count(&store).await.is_err());
    assert!(why(&store).contains("brought up to date"), "{}", why(&store));
    store.close().await;
    assert_eq!(count(&start(folder.path())).await.expect("read"), 1);
    assert_eq!(files(folder.path(), ".damaged-"), [""; 0]);
}

#[tokio::test]
async fn a_deleted_file_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = start(folder.path());
    add(&store, "one").await.expect("kept");
    for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
        fs::remove_file(folder.path().join(name)).expect("deleted");
    }
    add(&store, "two").await.expect("kept");
    assert_eq!(count(&store).await.expect("read"), 1);
    store.close().await;
    assert_eq!(count(&start(folder.path())).await.expect("read"), 1);
}
