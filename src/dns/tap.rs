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

/// What the node says of itself.
const VERSION: &str = concat!("anyfront ", env!("CARGO_PKG_VERSION"));
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
    /// Most octets of messages in a file.
    file_bytes_max: u64,
}

/// A tap that says it is the node of `site`, and what writes to `sink`.
#[must_use]
pub fn tap(sink: Sink, site: &str) -> (Tap, Writer) {
    let (sender, frames) = mpsc::channel(DNSTAP_QUEUE_MAX);
    let encoder = Encoder::new(site, VERSION);
    let shared = Shared { encoder, queued: 0.into(), dropped: 0.into(), written: 0.into() };
    let shared = Arc::new(shared);
    let tap = Tap { shared: Arc::clone(&shared), frames: sender };
    (tap, Writer { sink, shared, frames, file_bytes_max: DNSTAP_FILE_BYTES_MAX })
}

impl Tap {
    /// Logs `message`, which `peer` sent to `local` or `local` to `peer` at `wall`, since the Unix epoch. Never waits: if there
    /// is no room, it is dropped. Whether there was.
    pub fn try_log(
        &self,
        kind: Kind,
        transport: Transport,
        (peer, local): (SocketAddr, SocketAddr),
        wall: Duration,
        message: &[u8],
    ) -> bool {
        let shared = &self.shared;
        let is_full = self.frames.capacity() == 0 || shared.queued.load(Relaxed) >= DNSTAP_QUEUE_BYTES_MAX;
        if is_full {
            shared.dropped.fetch_add(1, Relaxed);
            return false;
        }
        let frame = shared.encoder.frame(&Logged { kind, transport, peer, local, wall, message });
        let bytes = frame.len();
        shared.queued.fetch_add(bytes, Relaxed);
        let is_taken = self.frames.try_send(frame).is_ok();
        if !is_taken {
            shared.queued.fetch_sub(bytes, Relaxed);
            shared.dropped.fetch_add(1, Relaxed);
        }
        is_taken
    }

    /// Waits until nothing is written any more.
    pub async fn closed(&self) {
        self.frames.closed().await;
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

/// How far a file was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// With all there was.
    ToTheEnd,
    /// It is as large as it may be.
    Up,
}

impl Writer {
    /// Writes until `shutdown` asks for the end, and then what is queued. Does not end before, whatever becomes of the sink.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        match self.sink.clone() {
            Sink::Socket(path) => self.keep_connected(&path, &mut shutdown).await,
            Sink::File(path) => match self.fill(&path, &mut shutdown).await {
                Ok(Filled::ToTheEnd) => {}
                Ok(Filled::Up) => {
                    tracing::warn!(path = %path.display(), "dnstap: the file is full, no more is logged");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "dnstap: the file fails, no more is logged");
                }
            },
        }
        drop(self);
        requested(&mut shutdown).await;
    }

    async fn keep_connected(&mut self, path: &Path, shutdown: &mut watch::Receiver<bool>) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.connected(path, shutdown).await {
                Ok(stream) => {
                    tracing::info!(path = %path.display(), "dnstap: connected");
                    let Err(error) = self.feed(stream, shutdown).await else { return };
                    tracing::warn!(path = %path.display(), %error, "dnstap: the reader is lost");
                    pause = PAUSE_MIN;
                }
                Err(error) => tracing::debug!(path = %path.display(), %error, "dnstap: no reader"),
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

    /// Writes to a reader until the end. An error says that the reader went away, stalls or is none.
    async fn feed(&mut self, mut stream: UnixStream, shutdown: &mut watch::Receiver<bool>) -> io::Result<()> {
        let (mut from, mut to) = stream.split();
        let mut nothing = [0];
        loop {
            let taken = tokio::select! {
                biased;
                () = requested(shutdown) => None,
                // A reader says nothing before the end, unless it ends.
                _ = from.read(&mut nothing) => return Err(io::ErrorKind::ConnectionAborted.into()),
                taken = self.take() => taken,
            };
            let Some(batch) = taken else { break };
            self.write(batch, &mut to).await?;
        }
        let end = async {
            self.write_rest(&mut to).await?;
            to.write_all(&Control::Stop.frame()).await?;
            expect(Control::Finish, &mut from).await
        };
        // Whether the reader agrees does not matter any more.
        let _ = timeout(FAREWELL, end).await;
        Ok(())
    }

    /// Writes to a file until the end, or until it is full.
    async fn fill(&mut self, path: &Path, shutdown: &mut watch::Receiver<bool>) -> io::Result<Filled> {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).await?;
        file.write_all(&Control::Start.frame()).await?;
        let mut room = self.file_bytes_max;
        let filled = loop {
            let taken = tokio::select! {
                biased;
                () = requested(shutdown) => None,
                taken = self.take() => taken,
            };
            let Some(batch) = taken else { break Filled::ToTheEnd };
            let Some(left) = room.checked_sub(batch.octets.len() as u64) else {
                self.shared.dropped.fetch_add(batch.messages, Relaxed);
                break Filled::Up;
            };
            room = left;
            self.write(batch, &mut file).await?;
        };
        if filled == Filled::ToTheEnd {
            self.write_rest(&mut file).await?;
        }
        file.write_all(&Control::Stop.frame()).await?;
        file.flush().await?;
        Ok(filled)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_ended_properly_when_it_is_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tap");
        let (tap, mut writer) = tap(Sink::File(path.clone()), "fra");
        let log = |message: &[u8]| {
            let ends = ("192.0.2.1:5353".parse().expect("an address"), "192.0.2.2:53".parse().expect("an address"));
            tap.try_log(Kind::Query, Transport::Udp, ends, Duration::ZERO, message)
        };
        assert!(log(&[7; 100]));
        writer.file_bytes_max = tap.shared.queued.load(Relaxed) as u64;
        let (_end, mut ending) = watch::channel(false);
        let filled = async {
            let filling = writer.fill(&path, &mut ending);
            let next = async {
                while tap.written() == 0 {
                    tokio::task::yield_now().await;
                }
                assert!(log(&[]), "there is room in the queue, but not in the file");
            };
            tokio::join!(filling, next).0
        };
        let filled = timeout(PATIENCE, filled).await.expect("it does not wait for the end");
        assert_eq!(filled.expect("written"), Filled::Up);
        assert_eq!((tap.written(), tap.dropped()), (1, 1));
        let written = std::fs::read(&path).expect("a file");
        let (start, stop) = (Control::Start.frame(), Control::Stop.frame());
        assert_eq!(written.len() as u64, writer.file_bytes_max + (start.len() + stop.len()) as u64);
        assert!(written.starts_with(&start) && written.ends_with(&stop));
    }
}
