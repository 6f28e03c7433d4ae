//! The long memory: one SQLite file in the state directory, owned by one thread.
//!
//! Everybody else hands the thread jobs over a bounded queue. A job is one transaction: what it returned `Ok` for is kept
//! whole, over a kill at any time; anything else leaves no trace. Only the control plane comes here, so a slow disk slows
//! no request.
//!
//! What goes wrong becomes a [`Trouble`] that the page shows, and is told once in the log. A full, read-only or failing disk
//! is tried again until it is well. A file that is damaged, or is none of ours, is given another name and kept; what can be
//! read of it is carried over into a new one. A file that a newer version of this program has written is left alone.

mod file;
mod salvage;
mod swap;
mod trouble;

use super::story::Trouble;
use crate::moment::{Clock, Moment};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use trouble::{Kind, Tried, Why};

/// The file in the state directory.
pub const FILE: &str = "history.db";
/// Jobs waiting at most: with a disk that takes nothing they would otherwise wait for ever.
pub const JOBS_MAX: usize = 256;
/// Most octets of the file: two years of a large fleet are below a quarter of it.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// How long after a failure the file is opened anew.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often the file is searched for damage at most, because a job has met nonsense.
pub const SEARCHES_EVERY: Duration = Duration::from_secs(10);
/// How long it is shown that part of the history was lost: long enough for somebody to look.
pub const LOSS_SHOWN: Duration = Duration::from_secs(24 * 3_600);

/// The tables of one part of the program, and how they came to be.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Whose.
    pub name: &'static str,
    /// What leads from nothing to the tables of today, in order: SQL. A step that was released never changes; what is new is
    /// added at the end. Tables have a `rowid`, so that what is left of a damaged one can be found.
    pub steps: &'static [&'static str],
}

/// Why a job was not done. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be used now.
    #[error("{}", .0.why)]
    Trouble(Trouble),
    /// The job itself was refused: its SQL, or a constraint.
    #[error(transparent)]
    Refused(rusqlite::Error),
    /// The job panicked: a bug, told in the log.
    #[error("a job of the history panicked")]
    Panicked,
    /// More jobs wait than may.
    #[error("more than {JOBS_MAX} jobs wait for the history's disk")]
    Full,
    /// The store is closed.
    #[error("the history is closed")]
    Closed,
}

/// How a job uses the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It only reads.
    Read,
    /// Kept over a kill of the process; the last moments before a power cut may be lost.
    Write,
    /// Kept over a power cut too, at the price of waiting for the disk.
    WriteDurably,
}

/// Where what becomes of a job comes.
pub type Pending<T> = oneshot::Receiver<Result<T, StoreError>>;

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// The way to the thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

enum Message {
    Do(Job),
    Close(oneshot::Sender<()>),
}

/// What can be seen of the store from outside.
#[derive(Debug)]
struct Shared {
    is_unable: AtomicBool,
    trouble: watch::Sender<Option<Trouble>>,
    dropped: AtomicU64,
    file_bytes: AtomicU64,
}

impl Store {
    /// Starts the thread over the file in `folder`. Opening it is the thread's first business, so this returns at once; if
    /// the file cannot be opened, that is trouble and no error.
    ///
    /// `modules` are in the order in which their tables are saved from a damaged file.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(folder: &Path, modules: &[Module], clock: Clock) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel(JOBS_MAX);
        let shared = Arc::new(Shared {
            is_unable: AtomicBool::new(false),
            trouble: watch::Sender::new(None),
            dropped: AtomicU64::new(0),
            file_bytes: AtomicU64::new(0),
        });
        let mut desk = Desk {
            folder: folder.to_owned(),
            modules: modules.to_vec(),
            clock,
            shared: Arc::clone(&shared),
            open: None,
            unable: None,
            lost: None,
            tried: None,
            searched: None,
            is_makeshift: false,
        };
        std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            // Whether it opens is told by the trouble; the first job tries again.
            let _ = desk.ready();
            while let Some(message) = queue.blocking_recv() {
                match message {
                    Message::Do(job) => job(&mut desk),
                    Message::Close(closed) => {
                        drop(desk);
                        let _ = closed.send(());
                        return;
                    }
                }
            }
        })?;
        Ok(Self { jobs, shared })
    }

    /// Does `job` in a transaction that may write.
    ///
    /// # Errors
    /// Why nothing of it was kept.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Use::Write, job).await
    }

    /// The same, and what it wrote is on the disk when this returns: it survives a power cut.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn run_durably<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Use::WriteDurably, job).await
    }

    /// Does `job` in a transaction that only reads: possible while nothing can be written.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(Use::Read, job).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        how: Use,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Do(Box::new(move |desk| drop(reply.send(desk.perform(how, job)))));
        self.jobs.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Hands over a job without waiting for a place in the queue; what becomes of it comes by the receiver.
    ///
    /// # Errors
    /// If the queue is full, which is counted, or the store is closed.
    pub fn try_run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        self.try_ask(Use::Write, job)
    }

    /// The same, and what it wrote is on the disk when the answer comes.
    ///
    /// # Errors
    /// As [`Store::try_run`].
    pub fn try_run_durably<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        self.try_ask(Use::WriteDurably, job)
    }

    /// The same with a job that only reads.
    ///
    /// # Errors
    /// As [`Store::try_run`].
    pub fn try_read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        self.try_ask(Use::Read, job)
    }

    fn try_ask<T: Send + 'static>(
        &self,
        how: Use,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Do(Box::new(move |desk| drop(reply.send(desk.perform(how, job)))));
        self.jobs.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.shared.dropped.fetch_add(1, Relaxed);
                StoreError::Full
            }
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        Ok(answer)
    }

    /// Why the history is not what it should be, as it changes.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.trouble.subscribe()
    }

    /// Why nothing can be kept now: the trouble, if it is more than something that was lost before.
    #[must_use]
    pub fn unable(&self) -> Option<Trouble> {
        let trouble = self.shared.trouble.borrow();
        trouble.clone().filter(|_| self.shared.is_unable.load(Relaxed))
    }

    /// Jobs that found no place in the queue since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Octets of the file with what is beside it, as of the last job.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.shared.file_bytes.load(Relaxed)
    }

    /// Does what waits, then closes the file. Jobs that come later are refused.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send(Message::Close(closed)).await.is_ok() {
            let _ = done.await;
        }
    }
}

/// The thread's own: the connection, or why there is none.
struct Desk {
    folder: PathBuf,
    modules: Vec<Module>,
    clock: Clock,
    shared: Arc<Shared>,
    open: Option<file::Open>,
    /// What keeps jobs from being done now.
    unable: Option<Trouble>,
    /// What was lost before.
    lost: Option<Trouble>,
    tried: Option<Moment>,
    /// When the file was last searched for damage.
    searched: Option<Moment>,
    /// Whether the open file is only good for reading, so that another is opened as soon as it is time.
    is_makeshift: bool,
}

impl Desk {
    fn perform<T>(
        &mut self,
        how: Use,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let open = self.ready().map_err(StoreError::Trouble)?;
        let done = catch_unwind(AssertUnwindSafe(|| transact(&mut open.connection, how, job)));
        self.measure();
        match done {
            Ok(Ok(value)) => {
                if how != Use::Read {
                    self.is_well();
                }
                Ok(value)
            }
            Ok(Err(error)) => Err(self.failed(error)),
            // The transaction was rolled back on the way out, and the hook has told what happened where.
            Err(_) => Err(StoreError::Panicked),
        }
    }

    /// The file, opened if it is not and it is time to try.
    fn ready(&mut self) -> Result<&mut file::Open, Trouble> {
        if self.open.as_ref().is_some_and(|open| !open.is_where_it_was()) {
            self.open = None;
            self.tried = None;
        }
        let now = self.clock.now();
        if self.is_makeshift && self.tried.is_none_or(|tried| now.since(tried) >= RETRY_AFTER) {
            self.open = None;
        }
        if self.open.is_none() {
            let is_early = self.tried.is_some_and(|tried| now.since(tried) < RETRY_AFTER);
            if let Some(trouble) = self.unable.clone().filter(|_| is_early) {
                return Err(trouble);
            }
            self.tried = Some(now);
            match file::open(&self.folder, &self.modules, self.clock.wall()) {
                Ok(opened) => self.opened(opened),
                Err(tried) => return Err(self.cannot(&tried)),
            }
        }
        Ok(self.open.as_mut().expect("it was just opened"))
    }

    fn opened(&mut self, mut open: file::Open) {
        let wall = self.clock.wall();
        self.lost = open.lost.clone().filter(|lost| wall.saturating_sub(lost.since) < LOSS_SHOWN);
        self.is_makeshift = open.only_read.is_some();
        match open.only_read.take() {
            Some(tried) => drop(self.cannot(&tried)),
            None => self.is_well(),
        }
        self.open = Some(open);
        self.measure();
    }

    fn failed(&mut self, error: rusqlite::Error) -> StoreError {
        let size = self.open.as_ref().map_or(0, file::Open::pages_bytes);
        let kind = match trouble::kind(&error, size) {
            Kind::Refused if self.is_nonsense(&error) => Kind::Damaged,
            kind => kind,
        };
        match kind {
            Kind::Refused => StoreError::Refused(error),
            Kind::Unable(tried) => {
                // What cannot be written can still be read.
                self.is_makeshift = tried.why == Why::ReadOnly;
                if tried.must_reopen && !self.is_makeshift {
                    self.open = None;
                }
                StoreError::Trouble(self.cannot(&tried))
            }
            Kind::Damaged => {
                self.open = None;
                self.tried = Some(self.clock.now());
                let path = self.folder.join(FILE);
                match file::replace(&self.folder, &self.modules, self.clock.wall(), &error.to_string()) {
                    Ok(opened) => {
                        self.opened(opened);
                        let why = format!("{} was damaged", path.display());
                        let since = self.clock.wall();
                        StoreError::Trouble(self.lost.clone().unwrap_or(Trouble { since, why }))
                    }
                    Err(tried) => StoreError::Trouble(self.cannot(&tried)),
                }
            }
        }
    }

    /// Whether a job met a value that cannot be there, because the file is damaged where nobody has noticed it. Looking for that
    /// takes a while, so it is not done for every mistake in a job.
    fn is_nonsense(&mut self, error: &rusqlite::Error) -> bool {
        let now = self.clock.now();
        let is_early = self.searched.is_some_and(|searched| now.since(searched) < SEARCHES_EVERY);
        if matches!(error, rusqlite::Error::SqliteFailure(..)) || is_early {
            return false;
        }
        self.searched = Some(now);
        self.open.as_ref().is_some_and(|open| !open.is_whole())
    }

    fn cannot(&mut self, tried: &Tried) -> Trouble {
        let before = self.unable.take();
        let why = tried.why.words();
        if before.as_ref().is_none_or(|before| before.why != why) {
            let path = self.folder.join(FILE);
            tracing::error!(
                error = tried.detail.as_str(),
                "{}: {why}; requests are served all the same",
                path.display()
            );
        }
        let since = before.map_or_else(|| self.clock.wall(), |before| before.since);
        let trouble = Trouble { since, why: why.to_owned() };
        self.unable = Some(trouble.clone());
        self.show();
        trouble
    }

    fn is_well(&mut self) {
        if self.unable.take().is_some() {
            tracing::info!("{}: is kept again", self.folder.join(FILE).display());
        }
        let wall = self.clock.wall();
        self.lost.take_if(|lost| wall.saturating_sub(lost.since) >= LOSS_SHOWN);
        self.show();
    }

    fn show(&self) {
        self.shared.is_unable.store(self.unable.is_some(), Relaxed);
        let shown = self.unable.clone().or_else(|| self.lost.clone());
        self.shared.trouble.send_if_modified(|trouble| {
            let is_new = *trouble != shown;
            trouble.clone_from(&shown);
            is_new
        });
    }

    fn measure(&self) {
        self.shared.file_bytes.store(file::bytes(&self.folder), Relaxed);
    }
}

fn transact<T>(
    connection: &mut Connection,
    how: Use,
    job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let behaviour = match how {
        Use::Read => TransactionBehavior::Deferred,
        Use::Write | Use::WriteDurably => TransactionBehavior::Immediate,
    };
    if how == Use::WriteDurably {
        connection.pragma_update(None, "synchronous", "FULL")?;
    }
    let transact = |connection: &mut Connection| {
        let transaction = connection.transaction_with_behavior(behaviour)?;
        let value = job(&transaction)?;
        transaction.commit()?;
        Ok(value)
    };
    let done = transact(connection);
    if how == Use::WriteDurably {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
    }
    done
}

#[cfg(test)]
mod tests;
