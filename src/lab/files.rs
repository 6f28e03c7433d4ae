//! The world's files: the fleet it is made after, and what the node in front of it is given.

use super::plan::{self, CONFIG_FILE, Changes, FLEET, FLEET_NAME};
use super::world::LabError;
use crate::topology::Topology;
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a lab in a folder that was given to it holds.
const LOCK_FILE: &str = "lab.lock";

/// Where the node's files are. Goes when it is dropped, if it is the world's own.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    is_own: bool,
    /// Held as long as this world is there: a second one would write its own files over them.
    _lock: Option<File>,
}

impl Folder {
    pub(super) fn make(asked: Option<&PathBuf>) -> Result<Self, LabError> {
        if let Some(path) = asked {
            in_file(path, std::fs::create_dir_all(path))?;
            let lock = Some(lock(path)?);
            return Ok(Self { path: path.clone(), is_own: false, _lock: lock });
        }
        // Never one that is there already: it might be a stranger's.
        loop {
            let path = own_folder();
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return in_file(&path, made).map(|()| Self { path: path.clone(), is_own: true, _lock: None }),
            }
        }
    }

    /// Writes a file whole: whoever watches it never sees half of it.
    pub(super) fn put(&self, name: &str, text: &str) -> Result<(), LabError> {
        let (path, new) = (self.path.join(name), self.path.join(format!(".{name}.new")));
        in_file(&new, std::fs::write(&new, text))?;
        if path.extension().is_some_and(|extension| extension == "key") {
            in_file(&new, std::fs::set_permissions(&new, Permissions::from_mode(0o600)))?;
        }
        in_file(&path, std::fs::rename(&new, &path))
    }
}

/// Takes the folder for one lab alone; whoever dies gives it back.
fn lock(folder: &Path) -> Result<File, LabError> {
    let path = folder.join(LOCK_FILE);
    let file = in_file(&path, File::options().create(true).append(true).open(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let shown = folder.display();
            Err(LabError::Setting(format!(
                "{shown} is used by a lab that runs: end it, or give this one another folder"
            )))
        }
        Err(TryLockError::Error(source)) => Err(LabError::File { path, source }),
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_own {
            // What is left then is in a folder for what may be lost.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The fleet that a world is made after.
#[derive(Debug)]
pub(super) struct Model {
    path: PathBuf,
    source: String,
    pub(super) topology: Topology,
}

impl Model {
    pub(super) fn read(asked: Option<&PathBuf>) -> Result<Self, LabError> {
        let (path, source) = match asked {
            Some(path) => (path.clone(), in_file(path, std::fs::read_to_string(path))?),
            None => (PathBuf::from(FLEET_NAME), FLEET.to_owned()),
        };
        Ok(Self { topology: plan::read(&source, &path)?, path, source })
    }

    /// Writes the node's file into `folder`, and says what it means.
    pub(super) fn write(
        &self,
        addresses: &[Vec<SocketAddr>],
        changes: &Changes,
        folder: &Folder,
    ) -> Result<Topology, LabError> {
        let text = plan::write(&self.source, &self.path, &self.topology, addresses, changes)?;
        let topology = plan::prove(&text, &folder.path.join(CONFIG_FILE))?;
        folder.put(CONFIG_FILE, &text)?;
        Ok(topology)
    }
}

/// A folder that no other world has: by process and count.
fn own_folder() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    std::env::temp_dir().join(format!("anyfront-lab-{}-{count}", std::process::id()))
}

fn in_file<T>(path: &Path, outcome: io::Result<T>) -> Result<T, LabError> {
    outcome.map_err(|source| LabError::File { path: path.to_owned(), source })
}
