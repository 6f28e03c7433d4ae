//! The bytes of one connection to an endpoint, watched: whether anything of a request has left us.
//!
//! A kept connection may have been closed by the endpoint while it was idle. If the close is seen before the first octet
//! of a request is written, the endpoint cannot have acted on it, and any request may go elsewhere (RFC 9110 §9.2.2).

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is known of a connection's bytes.
#[derive(Debug, Default)]
pub struct Wire {
    written: AtomicU64,
    must_be_alive: AtomicBool,
}

impl Wire {
    /// A new connection.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Octets given to the kernel so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Has the next write look first whether the endpoint has closed.
    pub fn look_before_writing(&self) {
        self.must_be_alive.store(true, Relaxed);
    }
}

/// A TCP connection with its [`Wire`].
#[derive(Debug)]
pub struct Watched {
    stream: TcpStream,
    wire: Arc<Wire>,
}

impl Watched {
    /// Watches `stream`.
    #[must_use]
    pub fn new(stream: TcpStream, wire: Arc<Wire>) -> Self {
        Self { stream, wire }
    }

    /// Asks the kernel, not the runtime: what arrived since the last turn of the event loop counts too.
    fn check_alive(&self) -> io::Result<()> {
        if !self.wire.must_be_alive.swap(false, Relaxed) {
            return Ok(());
        }
        match socket2::SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Err(io::ErrorKind::NotConnected.into()),
            // An idle endpoint has nothing to say but farewell: over TLS its close comes as data before the end does.
            // Tickets come before the first answer.
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Counts what the kernel took of `offered` octets. An endpoint that has closed takes no more, but it may have
    /// answered before, and the answer is still to be read: the rest goes nowhere, and reading tells how it ended.
    fn count(&self, offered: usize, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(written)) => {
                self.wire.written.fetch_add(written as u64, Relaxed);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => Poll::Ready(Ok(offered)),
            other => other,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_alive()?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            // A plain send costs the kernel less than a gathering one.
            return self.poll_write(cx, only);
        }
        self.check_alive()?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(slices.iter().map(|slice| slice.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// A watched connection, and the endpoint's end of it.
    async fn pair() -> (Watched, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Watched::new(ours.expect("connected"), Wire::new()), theirs.expect("accepted").0)
    }

    async fn until_something_came(watched: &Watched) {
        let came = tokio::time::timeout(Duration::from_secs(10), watched.stream.readable());
        came.await.expect("it comes").expect("a socket");
    }

    #[tokio::test]
    async fn nothing_is_written_to_an_endpoint_that_has_said_farewell() {
        let (mut quiet, _theirs) = pair().await;
        quiet.wire.look_before_writing();
        assert_eq!(quiet.write(b"x").await.expect("it is alive"), 1);
        assert_eq!(quiet.wire.written(), 1);

        let (mut closed, theirs) = pair().await;
        drop(theirs);
        until_something_came(&closed).await;
        closed.wire.look_before_writing();
        assert!(closed.write(b"x").await.is_err());
        assert_eq!(closed.wire.written(), 0);

        // What a TLS endpoint sends before it closes, with the end still to come.
        let (mut leaving, mut theirs) = pair().await;
        theirs.write_all(b"\x17\x03\x03\0\x13 close_notify ......").await.expect("sent");
        until_something_came(&leaving).await;
        leaving.wire.look_before_writing();
        assert!(leaving.write(b"x").await.is_err());
        assert_eq!(leaving.wire.written(), 0);
    }
}
