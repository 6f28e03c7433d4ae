//! Gathers what HTTP/2 writes in one turn and sends it at once.
//!
//! Many streams of a connection often have something to say in the same turn of the event loop, and each frame would be
//! a TLS record and a system call of its own. Here frames wait until the connection has nothing more to do, and then
//! leave together. It changes no byte and keeps nothing back: what was written in a turn is on its way when it ends.

use super::flushed::Flushed;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What waits at most, octets: the largest TLS record. Whatever is larger gains nothing from waiting.
const GATHERED_BYTES_MAX: usize = 16 << 10;

/// A connection whose writes are gathered. Cheap to clone: HTTP has one, [`Gathered::drive`] another.
///
/// The lock is never contended: both are used by one task.
#[derive(Debug)]
pub struct Gathered<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    waiting: Vec<u8>,
    /// Whether the stream may still hold some of what it took.
    must_flush: bool,
    failed: Option<io::Error>,
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Gathered<S> {
    /// Gathers what is written to `stream`. Nothing leaves but by [`Gathered::drive`].
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream, waiting: Vec::new(), must_flush: false, failed: None })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Runs what reads and writes the connection; after each of its turns, what it has written leaves, and `flushed`
    /// learns of it.
    pub async fn drive<F: Future>(&self, mut work: Pin<&mut F>, flushed: &Flushed) -> F::Output {
        poll_fn(|cx| {
            let done = work.as_mut().poll(cx);
            let mut inner = self.inner();
            match inner.poll_send(cx) {
                Poll::Ready(Ok(())) => flushed.happened(),
                Poll::Ready(Err(error)) => {
                    // Told with the next read or write, for which there has to be a next turn.
                    inner.failed = Some(error);
                    cx.waker().wake_by_ref();
                }
                Poll::Pending => {}
            }
            done
        })
        .await
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        while sent < self.waiting.len() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.waiting[sent..]);
            let failed = match written {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    (sent, self.must_flush) = (sent + count, true);
                    continue;
                }
                other => other.map_ok(|_| ()),
            };
            self.waiting.drain(..sent);
            return failed;
        }
        // A quiet connection holds no memory for what it might say.
        self.waiting = Vec::new();
        if self.must_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if self.waiting.len() >= GATHERED_BYTES_MAX {
            ready!(self.poll_send(cx))?;
        }
        if self.waiting.is_empty() && bytes.len() >= GATHERED_BYTES_MAX {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(GATHERED_BYTES_MAX);
        }
        let taken = bytes.len().min(GATHERED_BYTES_MAX - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        if let Some(error) = inner.failed.take() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut inner.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        let mut taken = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match inner.poll_write(cx, slice) {
                Poll::Ready(Ok(count)) => taken += count,
                other if taken == 0 => return other,
                // What was taken counts; the rest is offered again.
                Poll::Ready(Err(error)) => {
                    inner.failed = Some(error);
                    break;
                }
                Poll::Pending => break,
            }
            if inner.waiting.len() >= GATHERED_BYTES_MAX {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing to do yet: all leaves at the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        ready!(inner.poll_send(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Counts the writes that reach it.
    #[derive(Debug)]
    struct Counting<S>(S, Arc<Mutex<usize>>);

    impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            *self.1.lock().expect("not poisoned") += 1;
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    #[tokio::test]
    async fn what_is_written_in_one_turn_leaves_in_one_write() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let writes = Arc::new(Mutex::new(0));
        let mut gathered = Gathered::new(Counting(near, Arc::clone(&writes)));
        let driver = gathered.clone();
        let work = pin!(async {
            for _ in 0..50 {
                gathered.write_all(b"frame").await.expect("it is taken");
                gathered.flush().await.expect("it is taken");
            }
            // An answer from the far end: everything before must have left by now.
            gathered.read_u8().await.expect("the far end answers")
        });
        let heard = async {
            let mut all = [0; 250];
            far.read_exact(&mut all).await.expect("all of it comes");
            far.write_u8(7).await.expect("it is taken");
            all
        };
        let flushed = Flushed::default();
        let (answer, heard) = tokio::join!(driver.drive(work, &flushed), heard);
        assert_eq!((answer, heard.as_slice()), (7, b"frame".repeat(50).as_slice()));
        assert_eq!(*writes.lock().expect("not poisoned"), 1);
    }

    #[tokio::test]
    async fn more_than_a_slow_reader_takes_waits_and_arrives_whole() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut gathered = Gathered::new(near);
        let driver = gathered.clone();
        let sent: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let work = pin!(async {
            for (at, piece) in sent.chunks(3_000).enumerate() {
                if at % 2 == 0 {
                    gathered.write_all(piece).await.expect("it is taken");
                } else {
                    let mut rest = piece;
                    while !rest.is_empty() {
                        let (a, b) = rest.split_at(rest.len() / 2);
                        let slices = [io::IoSlice::new(a), io::IoSlice::new(b)];
                        let taken = gathered.write_vectored(&slices).await.expect("it is taken");
                        rest = &rest[taken..];
                    }
                }
            }
            gathered.shutdown().await.expect("it ends");
        });
        let mut received = Vec::new();
        let flushed = Flushed::default();
        let (_, read) = tokio::join!(driver.drive(work, &flushed), far.read_to_end(&mut received));
        read.expect("a clean end");
        assert!(received == sent);
    }

    /// Takes everything at once and lets it go when it is flushed, which takes two turns: as TLS does on a full socket.
    #[derive(Debug, Default)]
    struct Hoarding {
        hoard: Vec<u8>,
        flushes: usize,
        gone: Arc<Mutex<Vec<u8>>>,
    }

    impl AsyncWrite for Hoarding {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.hoard.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes % 2 == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let hoard = std::mem::take(&mut self.hoard);
            self.gone.lock().expect("not poisoned").extend(hoard);
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_could_not_be_flushed_in_one_turn_leaves_in_a_later_one() {
        let gone = Arc::<Mutex<Vec<u8>>>::default();
        let mut gathered = Gathered::new(Hoarding { gone: Arc::clone(&gone), ..Hoarding::default() });
        let (driver, flushed) = (gathered.clone(), Flushed::default());
        let work = pin!(async {
            gathered.write_all(b"all of it").await.expect("it is taken");
            // Nothing more is written: only the turns that follow can let it go.
            while gone.lock().expect("not poisoned").is_empty() {
                poll_fn(|cx| flushed.poll_since(0, cx.waker())).await;
            }
        });
        let driven = tokio::time::timeout(std::time::Duration::from_secs(10), driver.drive(work, &flushed)).await;
        driven.expect("it leaves");
        assert_eq!(*gone.lock().expect("not poisoned"), b"all of it");
    }

    #[tokio::test]
    async fn a_failed_send_is_told() {
        let (near, far) = tokio::io::duplex(16);
        drop(far);
        let mut gathered = Gathered::new(near);
        let driver = gathered.clone();
        let work = pin!(async {
            gathered.write_all(b"taken before anybody knows").await.expect("it is taken");
            tokio::task::yield_now().await;
            gathered.write_all(b"more").await
        });
        assert!(driver.drive(work, &Flushed::default()).await.is_err());
    }
}
