//! Files in the state directory that are read at the start and replaced whole while the node runs.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files that could not be understood, kept at most; more would be a disk that fails.
const ASIDE_MAX: u32 = 100;

/// Reads what was kept; nothing if there is nothing yet. What cannot be understood, or is not `sound`, is moved aside, and
/// told. Whether the file may be written again: not if one is there that could be neither understood nor moved.
pub(super) fn read<T: DeserializeOwned + Default>(
    path: &Path,
    bytes_max: u64,
    sound: impl Fn(&T) -> Result<(), String>,
) -> (T, bool) {
    match parsed(path, bytes_max).and_then(|kept| sound(&kept).map(|()| kept).map_err(Unread::Corrupt)) {
        Ok(kept) => (kept, true),
        Err(Unread::Unreadable(why)) => {
            tracing::error!("{}: cannot be read: {why}: left as it is, and nothing is kept there", path.display());
            (T::default(), false)
        }
        Err(Unread::Corrupt(why)) => (T::default(), move_aside(path, &why)),
    }
}

/// Why a file could not be taken over.
enum Unread {
    /// The system does not give it.
    Unreadable(io::Error),
    /// It is not what it should be.
    Corrupt(String),
}

fn parsed<T: DeserializeOwned + Default>(path: &Path, bytes_max: u64) -> Result<T, Unread> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        opened => opened.map_err(Unread::Unreadable)?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(Unread::Unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Unread::Corrupt(format!("longer than {bytes_max} octets")));
    }
    serde_json::from_slice(&bytes).map_err(|error| Unread::Corrupt(error.to_string()))
}

/// Gives a file that cannot be understood a name of its own, beside earlier ones; whether that worked.
fn move_aside(path: &Path, why: &str) -> bool {
    let names = (1..=ASIDE_MAX).map(|number| path.with_extension(format!("json.corrupt-{number}")));
    let moved = names.into_iter().find(|aside| !aside.exists()).map(|aside| (std::fs::rename(path, &aside), aside));
    let shown = path.display();
    match moved {
        Some((Ok(()), aside)) => {
            tracing::error!("{shown}: {why}: it is {} now, and the history begins anew", aside.display());
            true
        }
        _ => {
            tracing::error!("{shown}: {why}: it cannot be moved aside, so no history is kept");
            false
        }
    }
}

/// Replaces the file in one step by `kept` as JSON, unless that would be longer than what is read again.
pub(super) fn write(path: &Path, kept: &impl Serialize, bytes_max: u64) -> io::Result<()> {
    let text = serde_json::to_string_pretty(kept)?;
    if text.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it would be longer than {bytes_max} octets")));
    }
    replace(path, text.as_bytes(), 0o644)
}

/// Replaces the file in one step: a new one beside it, on the disk before it takes the name.
pub(super) fn replace(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
