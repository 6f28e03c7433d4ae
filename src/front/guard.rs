//! Stands between a client's connection and hyper: watches how messages are framed, and how long they take.
//!
//! It changes no byte. A head that breaks the rules is passed on to its end, and whoever serves it learns of it; what
//! follows is not passed on.

use super::flushed::Flushed;
use super::framing::{Framing, Violation};
use crate::limits::{HEADER_TIMEOUT, KEEP_ALIVE_IDLE, LINGER_MAX, WRITE_STALL_MAX};
use crate::moment::{Clock, Moment};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Idleness is looked at so many times before it is too long, instead of setting a timer for each request.
const IDLE_LOOKS: u32 = 3;

/// How often an HTTP/2 connection is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// What is read at once of that which nobody will read, octets.
const LINGER_PIECE_BYTES: usize = 8 << 10;

/// What a connection's bytes and its requests tell each other.
#[derive(Debug, Default)]
pub struct Talk {
    requests: AtomicU64,
    in_flight: AtomicU32,
    is_tunnel: AtomicBool,
    ends_in_reset: AtomicBool,
    /// Whether we have told the client that the answer under way is the last.
    leaves: AtomicBool,
    /// Heads that have begun to come.
    heads: AtomicU64,
    /// Whether the client has ever reset a stream.
    has_resets: AtomicBool,
    /// Answers of which the client has not taken what is ready.
    held: AtomicU32,
    /// How often clients took something.
    taken: AtomicU64,
    violated: OnceLock<(u64, Violation)>,
    /// When everything that was said has left.
    pub flushed: Flushed,
}

impl Talk {
    /// One more request is served. Returns what is wrong with its head, if anything is.
    pub fn begin(self: &Arc<Self>) -> (Busy, Option<Violation>) {
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        self.in_flight.fetch_add(1, Relaxed);
        let violation = self.violated.get().filter(|(head, _)| *head <= number).map(|(_, violation)| *violation);
        (Busy { talk: Arc::clone(self), is_held: false }, violation)
    }

    /// Comes back when an HTTP/2 connection has to end: no request came in time, or none for too long, or the client
    /// takes nothing of all that is ready for it. TCP does not see the last: the client may well acknowledge while it
    /// leaves its windows shut.
    pub async fn is_over(&self) {
        tokio::time::sleep(HEADER_TIMEOUT).await;
        if self.requests.load(Relaxed) == 0 {
            return;
        }
        let (mut seen, mut idle_looks, mut stalled_looks) = (self.activity(), 0, 0);
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            let now = self.activity();
            let in_flight = self.in_flight.load(Relaxed);
            let is_quiet = now == seen;
            seen = now;
            let is_stalled = is_quiet && in_flight > 0 && self.held.load(Relaxed) >= in_flight;
            idle_looks = if is_quiet && in_flight == 0 { idle_looks + 1 } else { 0 };
            stalled_looks = if is_stalled { stalled_looks + 1 } else { 0 };
            if WATCH_EVERY * idle_looks >= KEEP_ALIVE_IDLE || WATCH_EVERY * stalled_looks >= WRITE_STALL_MAX {
                return;
            }
        }
    }

    /// Requests so far.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    fn activity(&self) -> (u64, u64) {
        (self.requests.load(Relaxed), self.taken.load(Relaxed))
    }

    /// The end of the connection must not look like the end of an answer.
    pub fn ends_in_reset(&self) {
        self.ends_in_reset.store(true, Relaxed);
    }

    /// The end of the connection is the end of the answer.
    pub fn ends_well(&self) {
        self.ends_in_reset.store(false, Relaxed);
    }

    /// The client learns that the answer under way is the last. What it has sent meanwhile is heard out, so that it reads
    /// that answer to its end.
    pub fn leaves(&self) {
        self.leaves.store(true, Relaxed);
    }

    /// Whether the client has begun to send a request behind the one that is served.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.heads.load(Relaxed) > self.requests.load(Relaxed)
    }

    /// The client resets streams.
    pub fn has_resets(&self) {
        self.has_resets.store(true, Relaxed);
    }

    /// Whether a stream that was just opened may have been reset already.
    #[must_use]
    pub fn may_be_reset(&self) -> bool {
        self.has_resets.load(Relaxed)
    }

    /// Keeps the connection from counting as idle, without a request being served yet.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        Busy { talk: Arc::clone(self), is_held: false }
    }

    /// One more request was served by somebody who looked at [`is_violated`](Self::is_violated) before.
    pub fn served(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Whether a head has broken the rules.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.violated.get().is_some()
    }

    /// From here on the bytes are no HTTP any more.
    pub fn becomes_tunnel(&self) {
        self.is_tunnel.store(true, Relaxed);
    }
}

/// A request that is being served.
#[derive(Debug)]
pub struct Busy {
    talk: Arc<Talk>,
    is_held: bool,
}

impl Busy {
    /// The connection it is served on.
    #[must_use]
    pub fn talk(&self) -> &Arc<Talk> {
        &self.talk
    }

    /// Something is ready for the client, or it has come for more.
    pub fn held(&mut self, is_held: bool) {
        if self.is_held == is_held {
            return;
        }
        self.is_held = is_held;
        if is_held {
            self.talk.held.fetch_add(1, Relaxed);
        } else {
            self.talk.held.fetch_sub(1, Relaxed);
            self.talk.taken.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.held(false);
        self.talk.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A client's HTTP/1 connection, watched.
#[derive(Debug)]
pub struct Guard<S> {
    stream: S,
    /// Has the stream end in a reset when it is dropped.
    break_off: fn(&S),
    clock: Clock,
    talk: Arc<Talk>,
    framing: Framing,
    is_tunnel: bool,
    has_spoken: bool,
    /// Since when a head has been on its way.
    head_since: Option<Moment>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// Since when we have said our last word, while the client is still speaking.
    lingers_since: Option<Moment>,
    /// Reads and writes so far, and how many there were at the last look.
    activity: u64,
    activity_seen: u64,
    idle_looks: u32,
}

impl<S> Guard<S> {
    /// Watches `stream` from its first byte on. `break_off` has it end in a reset when it is dropped.
    #[must_use]
    pub fn new(stream: S, break_off: fn(&S), clock: Clock, talk: Arc<Talk>) -> Self {
        Self {
            stream,
            break_off,
            clock,
            talk,
            framing: Framing::default(),
            is_tunnel: false,
            has_spoken: false,
            head_since: None,
            alarm: None,
            lingers_since: None,
            activity: 0,
            activity_seen: 0,
            idle_looks: 0,
        }
    }

    fn took(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.activity += 1;
        self.has_spoken = true;
        if !self.is_tunnel && self.talk.is_tunnel.load(Relaxed) {
            self.is_tunnel = true;
            self.framing.open();
        }
        if self.is_tunnel {
            return Ok(bytes.len());
        }
        let passed = self.framing.feed(bytes).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
        if let Some(violated) = self.framing.violated() {
            let _ = self.talk.violated.set(violated);
        }
        self.talk.heads.store(self.framing.heads(), Relaxed);
        if !self.framing.is_inside_head() {
            self.head_since = None;
        }
        Ok(passed)
    }

    /// Nothing comes: has it been so for too long?
    fn waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_tunnel {
            return Poll::Pending;
        }
        let is_due = !self.has_spoken || self.framing.is_inside_head();
        if is_due && self.head_since.is_none() {
            // The first alarm of a connection, or one that was set for idleness: the head's is sooner.
            let now = self.clock.now();
            self.head_since = Some(now);
            self.set_alarm(HEADER_TIMEOUT, now);
        }
        loop {
            if self.alarm.is_none() {
                self.set_alarm(KEEP_ALIVE_IDLE / IDLE_LOOKS, self.clock.now());
            }
            let alarm = self.alarm.as_mut().expect("it was just set");
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.is_over() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.set_alarm(KEEP_ALIVE_IDLE / IDLE_LOOKS, self.clock.now());
        }
    }

    /// The alarm rang: whether the connection has to end.
    fn is_over(&mut self) -> bool {
        if self.head_since.is_some_and(|since| self.clock.now().since(since) >= HEADER_TIMEOUT) {
            return true;
        }
        let is_quiet = self.activity == self.activity_seen && self.talk.in_flight.load(Relaxed) == 0;
        self.activity_seen = self.activity;
        self.idle_looks = if is_quiet { self.idle_looks + 1 } else { 0 };
        self.idle_looks >= IDLE_LOOKS
    }

    /// Whether the client may be in the middle of something that nobody will read.
    fn is_interrupted(&self) -> bool {
        let may_speak = self.talk.leaves.load(Relaxed) || self.framing.violated().is_some();
        !self.is_tunnel && (may_speak || !self.framing.is_between_messages())
    }

    fn set_alarm(&mut self, after: Duration, now: Moment) {
        let until = self.clock.instant(now + after);
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().reset(until),
            None => self.alarm = Some(Box::pin(tokio::time::sleep_until(until))),
        }
    }
}

impl<S> Drop for Guard<S> {
    fn drop(&mut self) {
        if self.talk.ends_in_reset.load(Relaxed) {
            (self.break_off)(&self.stream);
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Hears the client out, bounded in time, and believes nothing of it.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let alarm = self.alarm.as_mut().expect("it was set with the last word");
        if alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut nothing = [MaybeUninit::uninit(); LINGER_PIECE_BYTES];
            let mut buffer = ReadBuf::uninit(&mut nothing);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.framing.violated().is_some() {
            // Whoever serves the bad head closes the connection; nothing after it is anybody's business.
            return this.waiting(cx);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending => this.waiting(cx),
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                let passed = this.took(&buffer.filled()[before..])?;
                buffer.set_filled(before + passed);
                Poll::Ready(Ok(()))
            }
            done => done,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.activity += 1;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity += 1;
        if let [only] = slices {
            // A plain send costs the kernel less than a gathering one.
            return Pin::new(&mut self.stream).poll_write(cx, only);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.talk.flushed.happened();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingers_since.is_none() {
            std::task::ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.is_interrupted() {
                return Poll::Ready(Ok(()));
            }
            let now = this.clock.now();
            this.lingers_since = Some(now);
            this.set_alarm(LINGER_MAX, now);
        }
        this.linger(cx)
    }
}
