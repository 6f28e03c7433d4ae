//! Where operators' writings come in, and where everybody sees what is told: the way to the one who keeps the history.

use super::incidents::operator::{Refusal, Writing};
use super::store::Store;
use super::story::{Incident, Report};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{mpsc, oneshot, watch};

/// Writings waiting at most; operators are people.
pub const ASKS_MAX: usize = 16;

/// A writing on its way.
#[derive(Debug)]
pub struct Ask {
    /// What.
    pub writing: Writing,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Written, Refusal>>,
}

/// What became of a writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The incident as it is now.
    pub incident: Incident,
    /// Why it is told from memory only, if it could not be kept yet: it is tried again until it is.
    pub unkept: Option<String>,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It cannot be written so.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody keeps the history.
    #[error("too many operators at once, or the node is stopping; look at the incidents and try again")]
    Busy,
}

/// The history, for those who show it and write to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    asks: mpsc::Sender<Ask>,
    report: watch::Receiver<Arc<Report>>,
    store: Store,
    lost: Arc<AtomicU64>,
}

impl Desk {
    /// One, and where what is asked at it comes out.
    #[must_use]
    pub fn new(
        report: watch::Receiver<Arc<Report>>,
        store: Store,
        lost: Arc<AtomicU64>,
    ) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        (Self { asks, report, store, lost }, asked)
    }

    /// Everything that is told, now.
    #[must_use]
    pub fn told(&self) -> Arc<Report> {
        Arc::clone(&self.report.borrow())
    }

    /// Everything that is told, as it changes.
    #[must_use]
    pub fn report(&self) -> watch::Receiver<Arc<Report>> {
        self.report.clone()
    }

    /// Has something written; returns when it is kept, or when it is told although it could not be.
    ///
    /// # Errors
    /// Why nothing was written.
    pub async fn write(&self, writing: Writing) -> Result<Written, Denied> {
        let (reply, written) = oneshot::channel();
        self.asks.try_send(Ask { writing, reply }).map_err(|_| Denied::Busy)?;
        Ok(written.await.map_err(|_| Denied::Busy)??)
    }

    /// Octets of the history's file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.store.file_bytes()
    }

    /// Minutes, changes and jobs that were lost since the start because nothing could be kept.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed) + self.store.dropped()
    }
}
