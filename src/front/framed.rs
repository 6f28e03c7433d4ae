//! Stands between a client's connection and HTTP/2: has [`Frames`] follow both directions, and does what it says.
//!
//! A stream whose answer nobody takes is ended as if the client had reset it, and the client hears of it. A client that
//! does too much of what costs it nothing is told to go, and nothing more of it is heard. All else passes unchanged.

use super::crowd::Crowd;
use super::frames::{Excess, Frames};
use super::gather::Gathered;
use super::guard::Talk;
use crate::limits::WAITING_AFTER;
use crate::moment::{Clock, Moment};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

/// `ENHANCE_YOUR_CALM` (RFC 9113 §7): the other side does more than is good.
const ENHANCE_YOUR_CALM: u32 = 11;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
/// What is heard of a client that has been told to go, octets, so that it gets to read so.
const LAST_BYTES_MAX: u64 = 256 << 10;

/// A connection whose frames are followed. Cheap to clone: HTTP has one, [`Framed::drive`] another.
///
/// The lock is never contended: both are used by one task.
#[derive(Debug)]
pub struct Framed<S> {
    gathered: Gathered<S>,
    clock: Clock,
    talk: Arc<Talk>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    frames: Frames,
    crowd: Crowd,
    /// When those who wait are counted again, if there are any.
    counts_at: Option<Moment>,
    /// What the client is to have said, between two frames of its own.
    unsaid: Vec<u8>,
    /// What we are to say, between two frames of HTTP's.
    due: Vec<u8>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> Clone for Framed<S> {
    fn clone(&self) -> Self {
        Self {
            gathered: self.gathered.clone(),
            clock: self.clock,
            talk: Arc::clone(&self.talk),
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<S> Framed<S> {
    /// Follows `gathered` from its first octet on.
    #[must_use]
    pub fn new(gathered: Gathered<S>, clock: Clock, talk: Arc<Talk>, crowd: Crowd) -> Self {
        let frames = Frames::default();
        let inner = Inner { frames, crowd, counts_at: None, unsaid: Vec::new(), due: Vec::new(), alarm: None };
        Self { gathered, clock, talk, inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the streams whose answers are not taken. Whether there were any.
    fn end_stalled(&self, cx: &mut Context<'_>) -> bool {
        let inner = &mut *self.inner();
        loop {
            if !inner.frames.has_waiting() {
                (inner.alarm, inner.counts_at) = (None, None);
                inner.crowd.set(0);
                return false;
            }
            let counts_at = *inner.counts_at.get_or_insert_with(|| self.clock.now() + WAITING_AFTER);
            let at = inner.frames.wakes_at().map_or(counts_at, |at| at.min(counts_at));
            let until = self.clock.instant(at);
            let alarm = inner.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if alarm.deadline() != until {
                alarm.as_mut().reset(until);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            // It may have rung a little early by our own clock.
            let has_ended = inner.look(self.clock.now().max(at));
            if has_ended || inner.frames.excess().is_some() {
                return has_ended;
            }
        }
    }
}

impl Inner {
    /// Ends what has waited too long, and if too much waits at the worker, what has waited longest. Whether there was any.
    fn look(&mut self, now: Moment) -> bool {
        let mut has_ended = false;
        while let Some(stream) = self.frames.stalled(now) {
            self.end(stream);
            has_ended = true;
        }
        if self.counts_at.is_none_or(|at| at > now) {
            return has_ended;
        }
        self.counts_at = Some(now + WAITING_AFTER);
        self.crowd.set(self.frames.waiting(now) as u64);
        while self.crowd.is_too_large()
            && let Some(stream) = self.frames.crowded_out(now)
        {
            self.end(stream);
            self.crowd.ended();
            has_ended = true;
        }
        has_ended
    }

    fn end(&mut self, stream: u32) {
        let reset = frame(RST_STREAM, stream, &ENHANCE_YOUR_CALM.to_be_bytes());
        self.unsaid.extend_from_slice(&reset);
        self.due.extend_from_slice(&reset);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Runs what reads and writes the connection; see [`Gathered::drive`]. `None` when it has to end because of
    /// [`Self::excess`], whatever it is at.
    pub async fn drive<F: Future>(&self, mut work: Pin<&mut F>) -> Option<F::Output> {
        let turn = poll_fn(|cx| {
            loop {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Some(done));
                }
                let has_ended = self.end_stalled(cx);
                if self.excess().is_some() {
                    return Poll::Ready(None);
                }
                // If something ended, HTTP has to take note of it in this turn.
                if !has_ended {
                    // What does not leave now leaves before HTTP's next frame.
                    let _ = self.say_due(&mut self.inner(), cx);
                    return Poll::Pending;
                }
            }
        });
        self.gathered.drive(pin!(turn), &self.talk.flushed).await
    }

    /// What the client does too much of, if that is why the connection has ended.
    #[must_use]
    pub fn excess(&self) -> Option<Excess> {
        self.inner().frames.excess()
    }

    /// Tells a client that does too much to go, where a frame may stand; then as [`Self::close`].
    pub async fn dismiss(mut self) {
        let (may_speak, last_stream) = {
            let inner = self.inner();
            (inner.frames.is_between_sent() && inner.due.is_empty(), inner.frames.last_stream())
        };
        if may_speak {
            let said = frame(GOAWAY, 0, &[last_stream.to_be_bytes(), ENHANCE_YOUR_CALM.to_be_bytes()].concat());
            let gathered = self.gathered.clone();
            // A client that has gone already need not hear it.
            let _ = gathered.drive(pin!(self.gathered.write_all(&said)), &self.talk.flushed).await;
        }
        self.close().await;
    }

    /// Says the last word and hears the client out for a little: closing while something is on its way would destroy what
    /// was said.
    pub async fn close(mut self) {
        if self.gathered.shutdown().await.is_ok() {
            let _ = tokio::io::copy(&mut self.gathered.take(LAST_BYTES_MAX), &mut tokio::io::sink()).await;
        }
    }

    fn say_due(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !inner.frames.is_between_sent() {
            return Poll::Ready(Ok(()));
        }
        while !inner.due.is_empty() {
            let polled = Pin::new(&mut self.gathered.clone()).poll_write(cx, &inner.due);
            inner.frames.blocked(polled.is_pending(), self.clock.now());
            let said = ready!(polled)?;
            inner.due.drain(..said);
        }
        Poll::Ready(Ok(()))
    }
}

/// A frame without flags.
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut inner = this.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(excess) = inner.frames.excess() {
            return Poll::Ready(Err(io::Error::other(excess)));
        }
        if !inner.unsaid.is_empty() {
            let said = inner.unsaid.len().min(buffer.remaining());
            buffer.put_slice(&inner.unsaid[..said]);
            inner.unsaid.drain(..said);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.gathered).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        inner.frames.received(read, this.clock.now());
        if inner.frames.has_resets() {
            this.talk.has_resets();
        }
        if let Some(excess) = inner.frames.excess() {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(excess)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut inner = this.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = this.clock.now();
        ready!(this.say_due(&mut inner, cx))?;
        let polled = Pin::new(&mut this.gathered).poll_write(cx, bytes);
        inner.frames.blocked(polled.is_pending(), now);
        let taken = ready!(polled)?;
        inner.frames.sent(&bytes[..taken], now);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut inner = this.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = this.clock.now();
        ready!(this.say_due(&mut inner, cx))?;
        let polled = Pin::new(&mut this.gathered).poll_write_vectored(cx, slices);
        inner.frames.blocked(polled.is_pending(), now);
        let taken = ready!(polled)?;
        let mut left = taken;
        for slice in slices {
            let here = slice.len().min(left);
            inner.frames.sent(&slice[..here], now);
            left -= here;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.gathered.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gathered).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gathered).poll_shutdown(cx)
    }
}
