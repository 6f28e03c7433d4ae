//! Logs questions and answers for those who analyse them: dnstap, over a Unix socket or into a file.
//!
//! Whoever answers hands a message over by [`Tap::try_log`], which never waits: a queue of fixed size leads to the one task
//! that writes, and what does not fit is dropped and counted. A reader that is not there, goes away or stalls is tried again
//! after a while; nothing of that is noticed by those who ask.

pub mod frame;

use self::frame::{CONTROL_BYTES_MAX, Control, Encoder, Kind, Logged};
use super::asker::Transport;
use crate::limits::{DNSTAP_BATCH_MAX, DNSTAP_FILE_BYTES_MAX, DNSTAP_QUEUE_BYTES_MAX, DNSTAP_QUEUE_MAX};
use crate::shutdown::requested;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// A reader has to answer, and to take what is written, within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before a reader is tried again, at first; twice as long every time, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest time before a reader is tried again: a restarted one is found within half a minute.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a reader has to say that it has read all.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where messages are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A reader listens at this Unix socket: `fstrm_capture -u`, or a collector.
    Socket(PathBuf),
    /// This file, which only its owner can read. What was in it is lost.
    File(PathBuf),
}

/// Takes what is to be logged. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    frames: mpsc::Sender<Vec<u8>>,
}

#[derive(Debug)]
struct Shared {
    encoder: Encoder,
    /// Octets in the queue.
    queued: AtomicUsize,
    dropped: AtomicU64,
    written: AtomicU64,
}

/// Writes what is logged: to be [`run`](Self::run) by one task.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    shared: Arc<Shared>,
    frames: mpsc::Receiver<Vec<u8>>,
}

/// A tap that says it is `identity` with `version`, and what writes to `sink`.
#[must_use]
pub fn tap(sink: Sink, identity: &str, version: &str) -> (Tap, Writer) {
    let (sender, frames) = mpsc::channel(DNSTAP_QUEUE_MAX);
    let encoder = Encoder::new(identity, version);
    let shared = Shared { encoder, queued: 0.into(), dropped: 0.into(), written: 0.into() };
    let shared = Arc::new(shared);
    (Tap { shared: Arc::clone(&shared), frames: sender }, Writer { sink, shared, frames })
}

impl Tap {
    /// Logs `message`, which `peer` sent to `local` or `local` to `peer` at `wall`, since the Unix epoch. Never waits: if there
    /// is no room, it is dropped and counted.
    pub fn try_log(
        &self,
        kind: Kind,
        transport: Transport,
        (peer, local): (SocketAddr, SocketAddr),
        wall: Duration,
        message: &[u8],
    ) {
        let shared = &self.shared;
        let is_full = self.frames.capacity() == 0 || shared.queued.load(Relaxed) >= DNSTAP_QUEUE_BYTES_MAX;
        if is_full {
            shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        let frame = shared.encoder.frame(&Logged { kind, transport, peer, local, wall, message });
        let bytes = frame.len();
        shared.queued.fetch_add(bytes, Relaxed);
        if self.frames.try_send(frame).is_err() {
            shared.queued.fetch_sub(bytes, Relaxed);
            shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Messages that were not logged.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Messages that were handed to the reader, or written to the file.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.written.load(Relaxed)
    }
}

/// Why a session with a reader ended.
#[derive(Debug)]
enum Ended {
    /// All is written: nobody logs any more, or the node stops.
    Done,
    /// The file is as large as it may be.
    Full,
    /// The reader went away, stalled, or is no reader.
    Lost(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Writer {
    /// Writes until `shutdown` asks for the end, and then what is queued.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        match self.sink.clone() {
            Sink::Socket(path) => self.keep_connected(&path, &mut shutdown).await,
            Sink::File(path) => match self.fill(&path, &mut shutdown).await {
                Ended::Done => {}
                Ended::Full => tracing::warn!(path = %path.display(), "dnstap: the file is full, no more is logged"),
                Ended::Lost(error) => {
                    tracing::warn!(path = %path.display(), %error, "dnstap: nothing is logged any more")
                }
            },
        }
    }

    async fn keep_connected(&mut self, path: &Path, shutdown: &mut watch::Receiver<bool>) {
        let mut pause = PAUSE_MIN;
        loop {
            let (ended, was_connected) = match self.connected(path, shutdown).await {
                Ok(stream) => {
                    tracing::info!(path = %path.display(), "dnstap: connected");
                    (self.feed(stream, shutdown).await, true)
                }
                Err(error) => (Ended::Lost(error), false),
            };
            let Ended::Lost(error) = ended else { return };
            if was_connected {
                tracing::warn!(path = %path.display(), %error, "dnstap: the reader is lost");
                pause = PAUSE_MIN;
            } else {
                tracing::debug!(path = %path.display(), %error, "dnstap: no reader");
            }
            tokio::select! {
                () = requested(shutdown) => return,
                () = tokio::time::sleep(pause) => pause = (2 * pause).min(PAUSE_MAX),
            }
        }
    }

    /// A reader that has accepted what we write.
    async fn connected(&self, path: &Path, shutdown: &mut watch::Receiver<bool>) -> io::Result<UnixStream> {
        let greet = async {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(&Control::Ready.frame()).await?;
            expect(Control::Accept, &mut stream).await?;
            stream.write_all(&Control::Start.frame()).await?;
            Ok(stream)
        };
        tokio::select! {
            () = requested(shutdown) => Err(io::ErrorKind::Interrupted.into()),
            greeted = timeout(PATIENCE, greet) => greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Writes to a reader until one of both wants to end.
    async fn feed(&mut self, mut stream: UnixStream, shutdown: &mut watch::Receiver<bool>) -> Ended {
        let (mut from, mut to) = stream.split();
        let mut nothing = [0];
        loop {
            let is_last = tokio::select! {
                biased;
                () = requested(shutdown) => true,
                // A reader says nothing before the end, unless it ends.
                _ = from.read(&mut nothing) => return Ended::Lost(io::ErrorKind::ConnectionAborted.into()),
                taken = self.take() => match taken {
                    Some(batch) => {
                        if let Err(error) = self.write(batch, &mut to).await {
                            return Ended::Lost(error);
                        }
                        false
                    }
                    None => true,
                },
            };
            if is_last {
                let end = async {
                    self.write_rest(&mut to).await?;
                    to.write_all(&Control::Stop.frame()).await?;
                    expect(Control::Finish, &mut from).await
                };
                // Whether the reader agrees does not matter any more.
                let _ = timeout(FAREWELL, end).await;
                return Ended::Done;
            }
        }
    }

    /// Writes to a file until the end, or until it is full.
    async fn fill(&mut self, path: &Path, shutdown: &mut watch::Receiver<bool>) -> Ended {
        match self.try_fill(path, shutdown).await {
            Ok(ended) => ended,
            Err(error) => Ended::Lost(error),
        }
    }

    async fn try_fill(&mut self, path: &Path, shutdown: &mut watch::Receiver<bool>) -> io::Result<Ended> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).await?;
        file.write_all(&Control::Start.frame()).await?;
        let mut room = DNSTAP_FILE_BYTES_MAX;
        let ended = loop {
            let taken = tokio::select! {
                biased;
                () = requested(shutdown) => break Ended::Done,
                taken = self.take() => taken,
            };
            let Some(batch) = taken else { break Ended::Done };
            let Some(left) = room.checked_sub(batch.octets.len() as u64) else {
                self.shared.dropped.fetch_add(batch.messages, Relaxed);
                break Ended::Full;
            };
            room = left;
            self.write(batch, &mut file).await?;
        };
        if matches!(ended, Ended::Done) {
            self.write_rest(&mut file).await?;
        }
        file.write_all(&Control::Stop.frame()).await?;
        file.flush().await?;
        Ok(ended)
    }

    /// What is queued, some of it; `None` if nobody logs any more.
    async fn take(&mut self) -> Option<Batch> {
        let mut frames = Vec::with_capacity(DNSTAP_BATCH_MAX);
        let messages = self.frames.recv_many(&mut frames, DNSTAP_BATCH_MAX).await;
        let octets = frames.concat();
        self.shared.queued.fetch_sub(octets.len(), Relaxed);
        (messages > 0).then_some(Batch { octets, messages: messages as u64 })
    }

    async fn write_rest(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.frames.close();
        while let Some(batch) = self.take().await {
            self.write(batch, to).await?;
        }
        Ok(())
    }

    async fn write(&self, batch: Batch, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let written = timeout(PATIENCE, to.write_all(&batch.octets)).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let count = if written.is_ok() { &self.shared.written } else { &self.shared.dropped };
        count.fetch_add(batch.messages, Relaxed);
        written
    }
}

/// Messages that are written at once.
struct Batch {
    octets: Vec<u8>,
    messages: u64,
}

/// Reads one control frame, which has to be `control`.
async fn expect(control: Control, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let refused = || io::Error::new(io::ErrorKind::InvalidData, "not a reader of dnstap");
    if from.read_u32().await? != 0 {
        return Err(refused());
    }
    let bytes = usize::try_from(from.read_u32().await?).ok().filter(|bytes| *bytes <= CONTROL_BYTES_MAX);
    let mut said = vec![0; bytes.ok_or_else(refused)?];
    from.read_exact(&mut said).await?;
    if control.is_said(&said) { Ok(()) } else { Err(refused()) }
}
