//! Follows the addresses that regions call out from: keeps their history on disk, and hands the page to the front.
//!
//! The page is served whether or not the history can be kept: a full disk costs the memory of a change, never the answer.

use super::kept;
use crate::front::services::{Page, Services};
use crate::moment::Clock;
use crate::nat::{Ledger, entries};
use crate::shutdown::requested;
use crate::snapshot::{Published, Snapshot};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

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
    /// Takes over what the state directory has, and what `first` says. What cannot be understood is moved aside, and told.
    pub(super) fn open(folder: &Path, services: Arc<ArcSwap<Services>>, first: &Snapshot, clock: Clock) -> Self {
        let path = folder.join(FILE);
        let (ledger, may_write) = kept::read(&path, FILE_BYTES_MAX, |_| Ok(()));
        let (digest, document) = ("".into(), watch::Sender::new("".into()));
        let mut keeper = Self { path, ledger, may_write, has_complained: false, digest, services, document };
        keeper.follow(first, clock);
        keeper
    }

    /// The document, as it changes.
    pub(super) fn document(&self) -> watch::Receiver<Arc<str>> {
        self.document.subscribe()
    }

    /// Takes over what `snapshot` says.
    fn follow(&mut self, snapshot: &Snapshot, clock: Clock) {
        let topology = &snapshot.topology;
        self.digest = Arc::clone(&topology.digest);
        if let Some(next) = self.ledger.after(entries(topology), clock.wall()) {
            self.ledger = next;
            let written = if self.may_write { kept::write(&self.path, &self.ledger, FILE_BYTES_MAX) } else { Ok(()) };
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
