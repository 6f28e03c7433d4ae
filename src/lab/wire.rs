//! A stand-in's end of one connection, which can fall silent or be torn off.

use super::fault::Fault;
use socket2::SockRef;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};

/// What is wrong with a stand-in now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// The fault in force; of `flap` the half in force.
    pub(super) fault: Fault,
    /// What was asked for.
    pub(super) told: Fault,
    /// Counts up when all open connections shall be reset.
    pub(super) resets: u64,
    /// Counts up with every change that was asked for.
    pub(super) changes: u64,
}

/// The wish to tear off one connection, known to its answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Scissors(Arc<(AtomicBool, Notify)>);

impl Scissors {
    /// Resets the connection as soon as its task runs.
    pub(super) fn cut(&self) {
        self.0.0.store(true, Relaxed);
        self.0.1.notify_one();
    }

    pub(super) async fn were_used(&self) {
        self.0.1.notified().await;
    }

    fn is_cut(&self) -> bool {
        self.0.0.load(Relaxed)
    }
}

/// Held as long as a connection is open.
pub(super) struct Open {
    pub(super) _one: mpsc::Sender<Infallible>,
}

type Waiting = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// The stream. Silent while the stand-in is a black hole; reset instead of closed where the scissors were used.
pub(super) struct Wire {
    stream: TcpStream,
    weather: watch::Receiver<Weather>,
    scissors: Scissors,
    reading: Waiting,
    writing: Waiting,
    /// Last, so that it goes after the stream.
    _open: Open,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream, weather: watch::Receiver<Weather>, scissors: Scissors, open: Open) -> Self {
        Self { stream, weather, scissors, reading: None, writing: None, _open: open }
    }
}

/// Ready when something may pass.
fn poll_calm(weather: &watch::Receiver<Weather>, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<()> {
    if waiting.is_none() {
        if weather.borrow().fault != Fault::Blackhole {
            return Poll::Ready(());
        }
        let mut weather = weather.clone();
        *waiting = Some(Box::pin(async move {
            // The other end goes away only with the whole world.
            let _ = weather.wait_for(|weather| weather.fault != Fault::Blackhole).await;
        }));
    }
    if let Some(calm) = waiting {
        ready!(calm.as_mut().poll(cx));
        *waiting = None;
    }
    Poll::Ready(())
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(poll_calm(&this.weather, &mut this.reading, cx));
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_calm(&this.weather, &mut this.writing, cx));
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_calm(&this.weather, &mut this.writing, cx));
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(poll_calm(&this.weather, &mut this.writing, cx));
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.scissors.is_cut() {
            // A linger of nothing makes closing a reset (RST); if it fails, the peer sees an end instead.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}
