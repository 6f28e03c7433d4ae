//! A connection that has become something else (RFC 9110 §7.8): bytes both ways, until one side has had enough.
//!
//! Only after the region itself said 101: before that every byte is HTTP.

use crate::upstream::pool::Answer;
use http::{HeaderMap, HeaderValue, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// What the client must read in the 101.
pub fn switch(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Carries bytes between `client` and `region` until both have ended, or nothing has come for `idle`. `answer` keeps the
/// endpoint's load; `alive` keeps the node from ending before it must.
pub async fn join(client: OnUpgrade, region: OnUpgrade, answer: Answer, idle: Duration, alive: mpsc::Sender<()>) {
    let (client, region) = match tokio::try_join!(client, region) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "a tunnel was promised and did not open");
            return;
        }
    };
    let moved = Arc::new(AtomicU64::new(0));
    let mut client = Counted { stream: TokioIo::new(client), moved: Arc::clone(&moved) };
    let mut region = Counted { stream: TokioIo::new(region), moved: Arc::clone(&moved) };
    let silent = async {
        let mut seen = moved.load(Relaxed);
        loop {
            tokio::time::sleep(idle).await;
            let now = moved.load(Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    };
    tokio::select! {
        result = tokio::io::copy_bidirectional(&mut client, &mut region) => {
            if let Err(error) = result {
                tracing::debug!(%error, "a tunnel ended");
            }
        }
        () = silent => tracing::debug!("a tunnel was silent for too long"),
    }
    drop((answer, alive));
}

/// A stream that counts what comes from it.
struct Counted<S> {
    stream: S,
    moved: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.moved.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
