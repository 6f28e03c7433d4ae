//! Follows the addresses that regions call out from: keeps their history on disk, and hands the page to the front.
//!
//! The page is served whether or not the history can be kept: a full disk costs the memory of a change, never the answer.

use crate::front::services::{Page, Services};
use crate::moment::Clock;
use crate::nat::{Ledger, entries};
use crate::shutdown::requested;
use crate::snapshot::{Published, Snapshot};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Files that could not be understood, kept at most; more would be a disk that fails.
const ASIDE_MAX: u32 = 100;
/// The file in the state directory.
const FILE: &str = "nat_ips.json";
/// Where the document is, at its hostname.
const PATH: &str = "/nat_ip.json";
/// Changes are announced days ahead, so minutes do not matter.
const CACHE_CONTROL: &str = "public, max-age=300";
/// Largest history that is read, octets: several times what the longest `regions.toml` leads to.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What is known of the addresses, where it is kept, and who serves it.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    ledger: Ledger,
    /// Not if a file is there that could be neither understood nor moved.
    may_write: bool,
    has_complained: bool,
    /// Of the file whose addresses are served.
    digest: Arc<str>,
    services: Arc<ArcSwap<Services>>,
    /// The document, for the admin address.
    document: watch::Sender<Arc<str>>,
}

impl Keeper {
    /// Takes over what the state directory has, and what `snapshot` says. What cannot be understood is moved aside, and told.
    pub(super) fn open(folder: &Path, services: Arc<ArcSwap<Services>>, snapshot: &Snapshot, clock: Clock) -> Self {
        let path = folder.join(FILE);
        let (ledger, may_write) = match read(&path) {
            Ok(ledger) => (ledger, true),
            Err(Unread::Unreadable(why)) => {
                tracing::error!("{}: cannot be read: {why}: left as it is, and no history is kept", path.display());
                (Ledger::default(), false)
            }
            Err(Unread::Corrupt(why)) => (Ledger::default(), move_aside(&path, &why)),
        };
        let mut keeper = Self {
            path,
            ledger,
            may_write,
            has_complained: false,
            digest: "".into(),
            services,
            document: watch::Sender::new("".into()),
        };
        keeper.follow(snapshot, clock);
        keeper
    }

    /// The document, as it changes.
    pub(super) fn document(&self) -> watch::Receiver<Arc<str>> {
        self.document.subscribe()
    }

    /// Takes over what `snapshot` says.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, clock: Clock) {
        let topology = &snapshot.topology;
        self.digest = Arc::clone(&topology.digest);
        if let Some(next) = self.ledger.after(entries(topology), clock.wall()) {
            self.ledger = next;
            let written = if self.may_write { write(&self.path, &self.ledger) } else { Ok(()) };
            if let (Err(error), false) = (&written, self.has_complained) {
                tracing::error!("{}: cannot be written: {error}: served all the same", self.path.display());
            }
            self.has_complained = written.is_err();
        }
        let document = self.ledger.document(&topology.fleet);
        let mut services = Services::default();
        if let Some(hostname) = &topology.nat_hostname {
            // Every node counts its own generations; the addresses are the same everywhere.
            let same = serde_json::to_vec(&(&topology.fleet, &self.ledger.entries)).unwrap_or_default();
            let page = Page::new("application/json", CACHE_CONTROL, Bytes::from(document.clone()), &same);
            services.put(hostname.clone(), PATH, page);
        }
        self.services.store(Arc::new(services));
        self.document.send_replace(document.into());
    }

    /// Follows the file until `shutdown`.
    pub(super) async fn run(mut self, published: Published, clock: Clock, mut shutdown: watch::Receiver<bool>) {
        let mut bell = published.subscribe();
        loop {
            let snapshot = published.load_full();
            if snapshot.topology.digest != self.digest {
                self.follow(&snapshot, clock);
            }
            tokio::select! {
                () = requested(&mut shutdown) => return,
                changed = bell.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Why a history could not be taken over.
enum Unread {
    /// The system does not give it.
    Unreadable(io::Error),
    /// It is none.
    Corrupt(String),
}

fn read(path: &Path) -> Result<Ledger, Unread> {
    let about = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
        about => about.map_err(Unread::Unreadable)?,
    };
    if about.len() > FILE_BYTES_MAX {
        return Err(Unread::Corrupt(format!("longer than {FILE_BYTES_MAX} octets")));
    }
    let bytes = std::fs::read(path).map_err(Unread::Unreadable)?;
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

/// Replaces the file in one step: a new one beside it, on the disk before it takes the name.
fn write(path: &Path, ledger: &Ledger) -> io::Result<()> {
    let text = serde_json::to_string_pretty(ledger)?;
    let beside = path.with_extension("json.new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
