//! An answer's body on its way to the client, each octet the moment it comes.

use super::READ_AHEAD_BYTES_MAX;
use super::head::Extent;
use super::rooms::poll_append;
use crate::front::Front;
use crate::front::framing::{CameTo, Fed, Framing};
use crate::front::stream::Silence;
use crate::health::Fault;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Why an answer did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The client went away, or takes nothing more.
    Client,
    /// The region broke off, or fell silent.
    Region(Fault),
}

/// What is still to come.
enum Left {
    Octets(u64),
    Chunks(Box<Framing>),
    Everything,
    Nothing,
}

/// A body under way.
pub struct Relay<'a, C> {
    front: &'a Arc<Front>,
    client: &'a mut C,
    region: &'a mut TcpStream,
    /// What the client has not taken yet.
    pending: &'a mut Vec<u8>,
    at: usize,
    left: Left,
    /// Whether the region sent more than its answer.
    is_surplus: bool,
    /// Whether the empty line after the last chunk is still to be written.
    is_trailing: bool,
    /// What came to no good end, once the good part of it is delivered.
    broken: Option<Broken>,
    must_flush: bool,
    idle_max: Duration,
    silence: Silence,
    /// Octets of the body that have come.
    pub octets: u64,
    /// The longest silence inside it, if it is a stream of events.
    pub gap: Option<Duration>,
    has_events: bool,
}

impl<'a, C: AsyncRead + AsyncWrite + Unpin> Relay<'a, C> {
    /// From `region` to `client`, behind the head that is in `pending`; `has_events`: a stream, whose silences are told.
    pub fn new(
        front: &'a Arc<Front>,
        client: &'a mut C,
        region: &'a mut TcpStream,
        pending: &'a mut Vec<u8>,
        (extent, has_events): (Extent, bool),
        idle_max: Duration,
    ) -> Self {
        let left = match extent {
            Extent::Length(0) => Left::Nothing,
            Extent::Length(octets) => Left::Octets(octets),
            Extent::Chunked => Left::Chunks(Box::new(Framing::of_chunked_body())),
            Extent::UntilClose => Left::Everything,
        };
        let silence = Silence::default();
        Self {
            front,
            client,
            region,
            pending,
            at: 0,
            left,
            is_surplus: false,
            is_trailing: false,
            broken: None,
            must_flush: true,
            idle_max,
            silence,
            octets: 0,
            gap: None,
            has_events,
        }
    }

    /// Carries the body, which begins with `first`; what the client sends meanwhile goes into `input`. Returns whether
    /// the region's connection may be used again.
    ///
    /// # Errors
    /// Who broke off.
    pub async fn run(&mut self, first: &[u8], input: &mut Vec<u8>) -> Result<bool, Broken> {
        let taken = self.take(first);
        self.pending.extend_from_slice(&first[..taken]);
        self.end_chunks();
        std::future::poll_fn(|cx| self.poll(cx, input)).await?;
        Ok(!self.is_surplus)
    }

    /// How much of what came goes to the client. Trailers do not: nobody who comes this way has asked for them (RFC 9110
    /// §6.5.1).
    fn take(&mut self, bytes: &[u8]) -> usize {
        let (given, taken) = match &mut self.left {
            Left::Everything => {
                self.octets += bytes.len() as u64;
                (bytes.len(), bytes.len())
            }
            Left::Nothing => (0, 0),
            Left::Octets(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                self.octets += taken as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                (taken, taken)
            }
            Left::Chunks(framing) => {
                let octets = &mut self.octets;
                let count = |data: &[u8]| *octets += data.len() as u64;
                let Fed { chunks, taken, came_to } = framing.feed_body_seeing(bytes, count);
                match came_to {
                    CameTo::More => {}
                    CameTo::End => {
                        self.left = Left::Nothing;
                        self.is_trailing = chunks < taken;
                    }
                    CameTo::Nonsense => {
                        self.left = Left::Nothing;
                        self.broken = Some(Broken::Region(Fault::Protocol));
                    }
                }
                (chunks, taken)
            }
        };
        self.is_surplus |= taken < bytes.len();
        given
    }

    fn poll(&mut self, cx: &mut Context<'_>, input: &mut Vec<u8>) -> Poll<Result<(), Broken>> {
        loop {
            if self.poll_write(cx)?.is_pending() {
                return Poll::Pending;
            }
            if matches!(self.left, Left::Nothing) {
                let flushed = self.poll_flush(cx);
                return flushed.map(|flushed| flushed.and(self.broken.map_or(Ok(()), Err)));
            }
            match self.poll_read(cx)? {
                Poll::Ready(()) => {}
                Poll::Pending => {
                    if self.poll_flush(cx)?.is_pending() {
                        return Poll::Pending;
                    }
                    return self.poll_quiet(cx, input);
                }
            }
        }
    }

    /// Gives the client what it has not taken yet.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.at < self.pending.len() {
            match Pin::new(&mut *self.client).poll_write(cx, &self.pending[self.at..]) {
                Poll::Ready(Ok(written)) if written > 0 => self.at += written,
                Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
                Poll::Pending => return Poll::Pending,
            }
            self.must_flush = true;
        }
        self.pending.clear();
        self.at = 0;
        Poll::Ready(Ok(()))
    }

    /// TLS keeps what it could not write at once.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if !self.must_flush {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut *self.client).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.must_flush = false;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Broken::Client)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads what there is and gives the client as much of it as it takes; the rest is kept until it does.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let front = self.front;
        let mut scratch = front.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *self.region).poll_read(cx, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Region(Fault::Cut))),
            Poll::Ready(Ok(())) => {}
        }
        if !self.has_events {
            self.silence.end();
        } else if let Some(silence) = self.silence.end_after(front.clock) {
            self.gap = self.gap.max(Some(silence));
        }
        let bytes = buffer.filled();
        if bytes.is_empty() {
            return Poll::Ready(match self.left {
                Left::Everything => {
                    self.left = Left::Nothing;
                    self.is_surplus = true;
                    Ok(())
                }
                _ => Err(Broken::Region(Fault::Cut)),
            });
        }
        let taken = self.take(bytes);
        let mut given = 0;
        while given < taken {
            match Pin::new(&mut *self.client).poll_write(cx, &bytes[given..taken]) {
                Poll::Ready(Ok(written)) if written > 0 => given += written,
                Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
                Poll::Pending => break,
            }
        }
        self.must_flush = true;
        self.pending.extend_from_slice(&bytes[given..taken]);
        drop(scratch);
        self.end_chunks();
        Poll::Ready(Ok(()))
    }

    fn end_chunks(&mut self) {
        if std::mem::take(&mut self.is_trailing) {
            self.pending.extend_from_slice(b"\r\n");
        }
    }

    /// Nothing comes: has the client gone, or the region been silent for too long?
    fn poll_quiet(&mut self, cx: &mut Context<'_>, input: &mut Vec<u8>) -> Poll<Result<(), Broken>> {
        while input.len() < READ_AHEAD_BYTES_MAX {
            match poll_append(cx, self.client, &self.front.scratch, input) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Err(Broken::Client)),
                Poll::Pending => break,
            }
        }
        self.silence.poll(cx, self.front.clock, self.idle_max).map(|()| Err(Broken::Region(Fault::Silent)))
    }
}
