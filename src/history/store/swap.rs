//! Puts a new file in the place of a damaged one, which is kept under another name.
//!
//! At every moment there is either the damaged file with its log, or the whole new one; and the damaged one has its second
//! name before anything is taken from the first. A kill in between is made good at the next start by [`finish`].

use super::trouble::{Tried, Why};
use crate::moment::rfc3339;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files set aside at most; more would be a disk that fails.
pub(super) const ASIDE_MAX: usize = 10;
/// What SQLite writes beside its file: the log of changes, and its index.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// What the new file is called while it is filled...
const NEW: &str = ".new";
/// ...and when it is whole.
const READY: &str = ".ready";
/// What follows the name of files set aside; then comes the time.
const ASIDE: &str = ".damaged-";

/// A name beside `path` that nothing has.
pub(super) fn free_name(path: &Path, wall: Duration) -> Result<PathBuf, Tried> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let begin = with(path, ASIDE).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_aside = |name: &str| name.starts_with(&begin) && !COMPANIONS.iter().any(|end| name.ends_with(end));
    let entries = std::fs::read_dir(folder).map_err(|error| Tried::of(&error))?;
    let kept = entries.filter_map(Result::ok).filter(|entry| is_aside(&entry.file_name().to_string_lossy())).count();
    if kept >= ASIDE_MAX {
        let detail = format!("{kept} damaged files are kept beside it already: move them elsewhere");
        return Err(Tried::new(Why::Damaged, detail));
    }
    let name = format!("{ASIDE}{}", rfc3339(wall).replace([':', '.'], ""));
    let mut names =
        (0..=ASIDE_MAX).map(|more| with(path, &if more == 0 { name.clone() } else { format!("{name}-{more}") }));
    let is_free = |aside: &PathBuf| !aside.exists() && COMPANIONS.iter().all(|end| !with(aside, end).exists());
    names.find(is_free).ok_or_else(|| Tried::new(Why::Damaged, "no name is free"))
}

/// Where a new file may be made that will take the place of `path`. What an earlier attempt left there is removed.
pub(super) fn new_file(path: &Path) -> io::Result<PathBuf> {
    let new = with(path, NEW);
    remove_with_companions(&new)?;
    Ok(new)
}

/// Puts `new`, which is closed, in the place of `path`, which is called `aside` from then on.
pub(super) fn in_place_of(path: &Path, new: &Path, aside: &Path) -> io::Result<()> {
    for end in ["", COMPANIONS[0], COMPANIONS[1]] {
        let (from, to) = (with(path, end), with(aside, end));
        // Some file systems know no second names.
        let kept = std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop));
        match kept {
            Err(error) if error.kind() != io::ErrorKind::NotFound || end.is_empty() => return Err(error),
            _ => {}
        }
    }
    File::open(new)?.sync_all()?;
    std::fs::rename(new, with(path, READY))?;
    sync(path)?;
    finish(path)
}

/// Does what is left to do since a new file was whole, if anything.
pub(super) fn finish(path: &Path) -> io::Result<()> {
    let ready = with(path, READY);
    if !ready.exists() {
        return Ok(());
    }
    // A log beside a file that it is not of would be taken for its own.
    for end in COMPANIONS {
        remove(&with(path, end))?;
    }
    std::fs::rename(&ready, path)?;
    sync(path)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn remove_with_companions(path: &Path) -> io::Result<()> {
    remove(path)?;
    COMPANIONS.iter().try_for_each(|end| remove(&with(path, end)))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `path` with `end` after its last character.
pub(super) fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
