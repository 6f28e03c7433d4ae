//! WRITES DOWN EVERY REQUEST: one line of JSON each, by a thread of its own.
//!
//! Whoever serves requests never waits for it: records come by a bounded queue, and what finds no room is dropped, counted,
//! and told of in the log itself. A disk that is full and a folder that has gone are told once, and tried again.

pub mod line;

use crate::counters::record::Record;
use crate::counters::records::Delivery;
use crate::limits::ACCESS_LOG_QUEUE_MAX;
use crate::moment::{Clock, Moment};
use crate::shutdown::requested;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Lines that are written at once.
const BATCH_MAX: usize = 256;
/// How often it is looked whether the file is still where it was, and how soon one that fails is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// This file: lines are appended. The group may read it.
    File(PathBuf),
}

impl Sink {
    /// A file, or `-` for standard output.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::Stdout } else { Self::File(PathBuf::from(text)) }
    }
}

/// Writes lines: to be [`run`](Self::run) by one thread.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    node: String,
    clock: Clock,
    records: mpsc::Receiver<Arc<Record>>,
    open: Open,
    /// Of the lines that are missing, those that were told of.
    told: (u64, u64),
    /// Whether it fails and that was said.
    is_failing: bool,
    looked: Moment,
}

/// What is written to now.
#[derive(Debug)]
enum Open {
    Stdout,
    File(File),
    Nothing,
}

/// Where records go that are to be written to `sink` at the node of that name, and who writes them.
///
/// # Errors
/// If the file cannot be opened.
pub fn writer(sink: Sink, node: &str, clock: Clock) -> io::Result<(mpsc::Sender<Arc<Record>>, Writer)> {
    let (sender, records) = mpsc::channel(ACCESS_LOG_QUEUE_MAX);
    let open = Open::to(&sink)?;
    let node = node.to_owned();
    let writer = Writer { sink, node, clock, records, open, told: (0, 0), is_failing: false, looked: clock.now() };
    Ok((sender, writer))
}

impl Open {
    fn to(sink: &Sink) -> io::Result<Self> {
        match sink {
            Sink::Stdout => Ok(Self::Stdout),
            Sink::File(path) => OpenOptions::new().create(true).append(true).mode(0o640).open(path).map(Self::File),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            Self::File(file) => file.write_all(lines),
            Self::Nothing => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether what is open is what is at `path`: a file may be moved away, and its folder may go.
    fn is_at(&self, path: &Path) -> bool {
        let Self::File(file) = self else { return false };
        match (file.metadata(), std::fs::metadata(path)) {
            (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

impl Writer {
    /// Writes until `shutdown`, and then what is left. `reopen` has the file opened anew: it was moved away.
    pub async fn run(mut self, delivery: Arc<Delivery>, reopen: Arc<Notify>, mut shutdown: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut lines = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = requested(&mut shutdown) => break,
                () = reopen.notified() => self.reopen(),
                count = self.records.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return requested(&mut shutdown).await;
                    }
                    self.write(&mut batch, &mut lines, &delivery);
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    self.look();
                    // Nobody may ask for a while: what is missing is told now.
                    self.write(&mut batch, &mut lines, &delivery);
                }
            }
        }
        self.records.close();
        while let Ok(record) = self.records.try_recv() {
            batch.push(record);
            if batch.len() == BATCH_MAX {
                self.write(&mut batch, &mut lines, &delivery);
            }
        }
        self.write(&mut batch, &mut lines, &delivery);
    }

    fn write(&mut self, batch: &mut Vec<Arc<Record>>, lines: &mut Vec<u8>, delivery: &Delivery) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        if now.since(self.looked) >= LOOK_EVERY {
            self.look();
        }
        let missing = (delivery.missed.load(Relaxed), delivery.failed.load(Relaxed));
        lines.clear();
        if missing != self.told {
            let (dropped, failed) = (missing.0 - self.told.0, missing.1 - self.told.1);
            line::write_missing(dropped, failed, &self.node, wall, lines);
        }
        for record in batch.iter() {
            let ago = now.since(record.began + record.lasted);
            line::write(record, &self.node, wall.saturating_sub(ago), lines);
        }
        if lines.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        batch.clear();
        match self.open.write(lines) {
            Ok(()) => {
                delivery.delivered.fetch_add(count, Relaxed);
                self.told = missing;
                self.works();
            }
            Err(error) => {
                delivery.failed.fetch_add(count, Relaxed);
                self.fails(&error);
            }
        }
    }

    /// Opens the file again if it is not where it was, or nothing is open.
    fn look(&mut self) {
        self.looked = self.clock.now();
        if let Sink::File(path) = &self.sink
            && !self.open.is_at(path)
        {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match Open::to(&self.sink) {
            Ok(open) => self.open = open,
            Err(error) => {
                // What was open is somewhere where nobody looks for it.
                self.open = Open::Nothing;
                self.fails(&error);
            }
        }
    }

    fn fails(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(sink = ?self.sink, %error, "the access log cannot be written: requests are counted and not told");
        }
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(sink = ?self.sink, "the access log is written again");
        }
    }
}
