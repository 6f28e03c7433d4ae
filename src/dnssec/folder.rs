//! The folder with a zone's keys: `keys.json`, and one `csk-ALGORITHM-TAG.pem` for each private half.
//!
//! Everything in it is its owner's alone (0600, the folder 0700); what others could read or write is not used. A file is
//! replaced in one step: beside it first, to the disk, then over it.

use super::key::{BadKey, Key};
use super::life::Life;
use super::record::Record;
use hickory_proto::rr::Name;
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The name of the file with the steps.
pub const RECORD_FILE: &str = "keys.json";
/// Largest `keys.json`, octets: a century of monthly rolls needs half of it.
const RECORD_BYTES_MAX: u64 = 1 << 20;
/// Largest file with a key, octets; ours have 300.
const KEY_BYTES_MAX: u64 = 16 << 10;
/// The bits that nobody but the owner may have.
const OTHERS: u32 = 0o077;

/// Why keys cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or folder that cannot be used.
    #[error("{}: {doing}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: `cannot be read`.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error(
        "{}: has mode {mode:04o}, others than its owner can get at it: `chmod {wanted:04o} {0}`, and if they may have, \
         roll the key",
        path.display()
    )]
    Permissions {
        /// Which file or folder.
        path: PathBuf,
        /// The mode that it has.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// A folder that has no keys yet.
    #[error("{}: has no {RECORD_FILE}: `anyfront dnssec generate` makes the first key of a zone", path.display())]
    None {
        /// Which folder.
        path: PathBuf,
    },
    /// A `keys.json` that does not hold what it should.
    #[error(
        "{}: cannot be understood: {problem}; copy the folder from a node that has it whole, nothing was changed",
        path.display()
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Keys of another zone.
    #[error("{}: holds the keys of {found}, not of {wanted}", path.display())]
    OtherZone {
        /// Which file.
        path: PathBuf,
        /// Whose keys it holds.
        found: String,
        /// Whose keys were asked for.
        wanted: String,
    },
    /// A key that is needed has no private half.
    #[error(
        "{}: the private half of key {tag}, which is needed, is missing: copy it from a node that has it",
        path.display()
    )]
    Missing {
        /// The file that should hold it.
        path: PathBuf,
        /// Whose.
        tag: u16,
    },
    /// A file that holds no key, or none of its algorithm.
    #[error("{}: {source}", path.display())]
    Bad {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: BadKey,
    },
    /// A file that holds another key than the steps are about.
    #[error("{}: holds the key {found}, where {RECORD_FILE} has key {tag} with other octets", path.display())]
    Other {
        /// Which file.
        path: PathBuf,
        /// The key that should be there.
        tag: u16,
        /// The key that is.
        found: u16,
    },
    /// A private half that no step made.
    #[error(
        "{}: holds a key that {RECORD_FILE} does not know: either that file is older than this one (copy it from a node \
         that has the newer), or a command ended between the two, then nobody ever used the key: delete it",
        path.display()
    )]
    Stray {
        /// Which file.
        path: PathBuf,
    },
    /// Another command is at it.
    #[error("{}: another command is changing the keys", path.display())]
    Busy {
        /// Which folder.
        path: PathBuf,
    },
}

/// A folder with keys.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// The folder, while nobody else changes it.
#[derive(Debug)]
pub struct Locked {
    folder: Folder,
    /// The lock goes when it is closed.
    handle: File,
}

impl Folder {
    /// The folder at `path`.
    ///
    /// # Errors
    /// If it is not there, or others can get at it.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let handle = File::open(path).map_err(failed(path, "cannot be opened"))?;
        private(path, &handle, 0o700)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, or others can get at it.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(failed(path, "cannot be made"))?;
        Self::open(path)
    }

    /// The folder, for changing it.
    ///
    /// # Errors
    /// If somebody else is.
    pub fn lock(self) -> Result<Locked, KeyError> {
        let handle = File::open(&self.path).map_err(failed(&self.path, "cannot be opened"))?;
        match handle.try_lock() {
            Ok(()) => Ok(Locked { folder: self, handle }),
            Err(std::fs::TryLockError::WouldBlock) => Err(KeyError::Busy { path: self.path }),
            Err(std::fs::TryLockError::Error(error)) => Err(failed(&self.path, "cannot be locked")(error)),
        }
    }

    /// What is written of the keys of `zone`.
    ///
    /// # Errors
    /// Why it cannot be used; a folder without keys is [`KeyError::None`], unless private halves lie about in it.
    pub fn record(&self, zone: &Name) -> Result<Record, KeyError> {
        let path = self.path.join(RECORD_FILE);
        let Some(text) = read(&path, RECORD_BYTES_MAX)? else {
            return Err(match self.private_halves()?.pop() {
                Some(path) => KeyError::Stray { path },
                None => KeyError::None { path: self.path.clone() },
            });
        };
        let record = Record::parse(&text).map_err(|problem| KeyError::Corrupt { path: path.clone(), problem })?;
        if record.zone != *zone {
            let (found, wanted) = (record.zone.to_ascii(), zone.to_ascii());
            return Err(KeyError::OtherZone { path, found, wanted });
        }
        Ok(record)
    }

    /// The key of `record` at this index; `None` if its file is not there.
    ///
    /// # Errors
    /// If its file cannot be used.
    pub fn key(&self, record: &Record, at: usize) -> Result<Option<Key>, KeyError> {
        let life = &record.lives.all()[at];
        let path = self.key_path(life);
        let Some(text) = read(&path, KEY_BYTES_MAX)? else { return Ok(None) };
        let key = match Key::parse(&text, life.algorithm) {
            Ok(key) => key,
            Err(source) => return Err(KeyError::Bad { path, source }),
        };
        if key.dnskey != record.dnskeys[at] {
            return Err(KeyError::Other { path, tag: life.tag, found: key.tag });
        }
        Ok(Some(key))
    }

    /// Where the private half of a key is.
    #[must_use]
    pub fn key_path(&self, life: &Life) -> PathBuf {
        self.path.join(format!("csk-{:03}-{:05}.pem", u8::from(life.algorithm), life.tag))
    }

    /// Files of private halves that no step made, by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn strays(&self, record: &Record) -> Result<Vec<PathBuf>, KeyError> {
        let known: Vec<PathBuf> = record.lives.all().iter().map(|life| self.key_path(life)).collect();
        Ok(self.private_halves()?.into_iter().filter(|path| !known.contains(path)).collect())
    }

    fn private_halves(&self) -> Result<Vec<PathBuf>, KeyError> {
        let entries = std::fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(failed(&self.path, "cannot be read"))?;
        let paths = entries.into_iter().map(|entry| entry.path());
        let mut found: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "pem")).collect();
        found.sort();
        Ok(found)
    }
}

impl Locked {
    /// The folder, for reading.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Writes a private half. It does not count until a record with its key is written.
    ///
    /// # Errors
    /// If it cannot be written, or a file of its name is there.
    pub fn write_key(&self, life: &Life, text: &str) -> Result<(), KeyError> {
        let path = self.folder.key_path(life);
        if path.exists() {
            return Err(KeyError::Stray { path });
        }
        self.replace(&path, text.as_bytes())
    }

    /// Writes what the keys are from now on.
    ///
    /// # Errors
    /// If it cannot be written; then the file is what it was.
    pub fn write_record(&self, record: &Record) -> Result<(), KeyError> {
        self.replace(&self.folder.path.join(RECORD_FILE), record.text().as_bytes())
    }

    /// Destroys a private half; one that is not there is destroyed.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn remove_key(&self, life: &Life) -> Result<(), KeyError> {
        let path = self.folder.key_path(life);
        match std::fs::remove_file(&path) {
            Ok(()) => self.handle.sync_all().map_err(failed(&self.folder.path, "cannot be written")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(&path, "cannot be deleted")(error)),
        }
    }

    fn replace(&self, path: &Path, text: &[u8]) -> Result<(), KeyError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let replace = || {
            // What an earlier command left half-written may have any mode.
            match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(text)?;
            file.sync_all()?;
            std::fs::rename(&beside, path)?;
            self.handle.sync_all()
        };
        replace().map_err(failed(path, "cannot be written"))
    }
}

/// A file's octets; `None` if it is not there.
fn read(path: &Path, bytes_max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "cannot be read")(error)),
    };
    private(path, &file, 0o600)?;
    // Enough room from the start, so that no half of a key stays behind in memory.
    let length = file.metadata().map_err(failed(path, "cannot be read"))?.len();
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(length.min(bytes_max)).unwrap_or_default() + 1));
    file.take(bytes_max + 1).read_to_end(&mut octets).map_err(failed(path, "cannot be read"))?;
    if octets.len() as u64 > bytes_max {
        let problem = format!("it is longer than {bytes_max} octets");
        return Err(KeyError::Corrupt { path: path.to_owned(), problem });
    }
    Ok(Some(octets))
}

fn private(path: &Path, file: &File, wanted: u32) -> Result<(), KeyError> {
    let mode = file.metadata().map_err(failed(path, "cannot be read"))?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyError::Permissions { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::File { path, doing, source }
}

/// What changes with every file in `folder` that is made, replaced, written, renamed, removed or given other permissions;
/// `None` if it cannot be looked at. By a file's times alone a copy over it, or a mended permission, could not be told.
#[must_use]
pub fn stamp(folder: &Path) -> Option<u64> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).ok()? {
        let file = file.ok()?;
        let about = file.metadata().ok()?;
        let times = (about.ctime(), about.ctime_nsec(), about.mtime(), about.mtime_nsec());
        files.push((file.file_name(), about.ino(), about.len(), times));
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    Some(hasher.finish())
}
