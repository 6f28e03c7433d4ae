//! A request's body on its way to regions: read from the client once, and kept as long as it may be needed again.
//!
//! Nothing is read before a connection to a region is there. What was read is kept up to a bound per request and per
//! worker; beyond it the body still goes on, but only once.

use super::headers::trailers_toward_region;
use super::strict::malformed_fields;
use crate::counters::WorkerCounters;
use crate::counters::limit::Limit;
use crate::limits::{BODY_GRACE, BODY_RATE_MIN, REPLAY_REQUEST_BYTES_MAX};
use crate::moment::{Clock, Moment};
use crate::upstream::body::{Outgoing, OutgoingError};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// What keeping one frame costs besides its octets: a body in pieces of one octet must not cost a hundred times its size.
const FRAME_COST_BYTES: usize = 128;

/// How much of a request's body was read, also when nobody needs the body any more.
#[derive(Clone, Debug, Default)]
pub struct Meter(Option<Arc<AtomicU64>>);

impl Meter {
    /// Octets read so far.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.0.as_ref().map_or(0, |octets| octets.load(Relaxed))
    }
}

/// The body of one request, for as many attempts as it takes.
#[derive(Debug)]
pub struct Source {
    shared: Option<Arc<Mutex<Shared>>>,
}

#[derive(Debug)]
struct Shared {
    incoming: Incoming,
    clock: Clock,
    counters: Arc<WorkerCounters>,
    worker_bytes_max: u64,
    /// Everything read so far, unless `is_lost`.
    kept: Vec<Kept>,
    kept_bytes: usize,
    /// What keeping it costs, octets: what is kept and how.
    cost_bytes: usize,
    /// Whether something that was read is gone.
    is_lost: bool,
    has_ended: bool,
    /// When the last octet came from the client.
    ended_at: Option<Moment>,
    failed: Option<OutgoingError>,
    /// Octets read.
    read_bytes: u64,
    /// The same, for others.
    meter: Arc<AtomicU64>,
    /// Longest silence, for a body that may come at leisure.
    leisure: Option<Duration>,
    /// Time spent waiting for the client.
    waited: Duration,
    waiting_since: Option<Moment>,
    /// Which reader is the present one; an abandoned attempt must not take what the next one needs.
    reader: u64,
    /// Whether it comes on a stream of HTTP/2.
    is_stream: bool,
}

#[derive(Clone, Debug)]
enum Kept {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl Source {
    /// The body `incoming`; all bodies of the worker together may keep `worker_bytes_max` octets.
    #[must_use]
    pub fn new(incoming: Incoming, clock: Clock, counters: &Arc<WorkerCounters>, worker_bytes_max: u64) -> Self {
        if incoming.is_end_stream() {
            return Self { shared: None };
        }
        let shared = Shared {
            incoming,
            clock,
            counters: Arc::clone(counters),
            worker_bytes_max,
            kept: Vec::new(),
            kept_bytes: 0,
            cost_bytes: 0,
            is_lost: false,
            has_ended: false,
            ended_at: None,
            failed: None,
            read_bytes: 0,
            meter: Arc::default(),
            leisure: None,
            waited: Duration::ZERO,
            waiting_since: None,
            reader: 0,
            is_stream: false,
        };
        Self { shared: Some(Arc::new(Mutex::new(shared))) }
    }

    /// The same body, which comes on a stream of HTTP/2 or not. There it ends where the client says so, and not where a reset
    /// with NO_ERROR has the library stop reading (RFC 9113 §8.1).
    #[must_use]
    pub fn of_stream(self, is_stream: bool) -> Self {
        if let Some(shared) = &self.shared {
            shared.lock().unwrap_or_else(PoisonError::into_inner).is_stream = is_stream;
        }
        self
    }

    /// The same body, which need not come at any rate: its messages are sent when there is something to say, with no more
    /// than `silence_max` between them.
    #[must_use]
    pub fn at_leisure(self, silence_max: Duration) -> Self {
        if let Some(shared) = &self.shared {
            shared.lock().unwrap_or_else(PoisonError::into_inner).leisure = Some(silence_max);
        }
        self
    }

    /// Tells how much of it was read.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter(self.with(|shared| Arc::clone(&shared.meter)))
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_none()
    }

    /// Whether the body can be sent from its beginning.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        self.with(|shared| !shared.is_lost && shared.failed.is_none()).unwrap_or(true)
    }

    /// The whole body, if it was read to its end and is still here.
    #[must_use]
    pub fn whole(&self) -> Option<Vec<u8>> {
        self.with(|shared| {
            let is_whole = !shared.is_lost && (shared.has_ended || shared.incoming.is_end_stream());
            is_whole.then(|| {
                let data = shared.kept.iter().filter_map(|kept| match kept {
                    Kept::Data(data) => Some(&data[..]),
                    Kept::Trailers(_) => None,
                });
                data.collect::<Vec<_>>().concat()
            })
        })
        .flatten()
    }

    /// The whole body if it has at most `bytes_max` octets and comes within `wait`. No attempt may be under way.
    pub async fn gathered(&self, bytes_max: usize, wait: Duration) -> Option<Vec<u8>> {
        if self.is_empty() || !self.is_replayable() {
            return None;
        }
        let mut reader = self.reader();
        let mut body = Vec::new();
        let reading = async {
            while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut reader).poll_frame(cx)).await {
                if let Ok(data) = frame.ok()?.into_data() {
                    body.extend_from_slice(&data);
                }
                if body.len() > bytes_max {
                    return None;
                }
            }
            Some(())
        };
        tokio::time::timeout(wait, reading).await.ok()??;
        Some(body)
    }

    /// When the last of it came from the client, if it has; a request without a body ended when it `began`.
    #[must_use]
    pub fn ended_at(&self, began: Moment) -> Option<Moment> {
        self.with(|shared| shared.ended_at).unwrap_or(Some(began))
    }

    /// Why the client's part of the body failed, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<OutgoingError> {
        self.with(|shared| shared.failed).flatten()
    }

    /// The whole body for one more attempt; readers given out before get nothing more.
    #[must_use]
    pub fn reader(&self) -> Outgoing {
        let Some(shared) = &self.shared else { return Outgoing::Empty };
        let (number, length) = {
            let mut inner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            inner.reader += 1;
            (inner.reader, inner.incoming.size_hint().exact().map(|left| left + inner.read_bytes))
        };
        let shared = Arc::clone(shared);
        Outgoing::Stream(Box::pin(Reader { shared, number, length, at: 0, sent_bytes: 0, patience: None }))
    }

    /// Readers given out before get nothing more: an abandoned attempt must not read what the next one could not be given
    /// again, while that one is still connecting.
    pub fn retract(&self) {
        if let Some(shared) = &self.shared {
            shared.lock().unwrap_or_else(PoisonError::into_inner).reader += 1;
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&Shared) -> T) -> Option<T> {
        self.shared.as_ref().map(|shared| ask(&shared.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Shared {
    fn keep(&mut self, kept: Kept) {
        if self.is_lost {
            return;
        }
        let bytes = if let Kept::Data(data) = &kept { data.len() } else { 0 };
        let cost = bytes + FRAME_COST_BYTES;
        let all = self.counters.door.replay_bytes.load(Relaxed);
        let is_too_much = self.kept_bytes + bytes > REPLAY_REQUEST_BYTES_MAX
            || self.cost_bytes + cost > 2 * REPLAY_REQUEST_BYTES_MAX
            || all + cost as u64 > self.worker_bytes_max;
        if is_too_much {
            self.is_lost = true;
            self.counters.door.reached(Limit::Replay);
            self.forget();
            return;
        }
        self.kept_bytes += bytes;
        self.cost_bytes += cost;
        self.counters.door.replay_bytes.fetch_add(cost as u64, Relaxed);
        self.kept.push(kept);
    }

    fn forget(&mut self) {
        self.counters.door.replay_bytes.fetch_sub(self.cost_bytes as u64, Relaxed);
        self.kept = Vec::new();
        self.kept_bytes = 0;
        self.cost_bytes = 0;
    }

    /// How long the client may still keep us waiting before its average falls below the slowest rate accepted.
    fn patience(&self, now: Moment) -> Duration {
        if let Some(silence_max) = self.leisure {
            return silence_max.saturating_sub(self.waiting_since.map_or(Duration::ZERO, |since| now.since(since)));
        }
        let waited = self.waited + self.waiting_since.map_or(Duration::ZERO, |since| now.since(since));
        let earned = BODY_GRACE + Duration::from_millis(self.read_bytes * 1_000 / BODY_RATE_MIN);
        earned.saturating_sub(waited)
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Kept, OutgoingError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let now = self.clock.now();
        let Poll::Ready(frame) = polled else {
            self.waiting_since.get_or_insert(now);
            return Poll::Pending;
        };
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.since(since);
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let kept = match frame.into_data() {
                    Ok(data) => Kept::Data(data),
                    Err(frame) => {
                        let mut trailers = frame.into_trailers().unwrap_or_default();
                        if malformed_fields(&trailers).is_some() {
                            self.failed = Some(OutgoingError::Client);
                            return Poll::Ready(Some(Err(OutgoingError::Client)));
                        }
                        trailers_toward_region(&mut trailers);
                        Kept::Trailers(trailers)
                    }
                };
                if let Kept::Data(data) = &kept {
                    self.read_bytes += data.len() as u64;
                    self.meter.store(self.read_bytes, Relaxed);
                }
                self.keep(kept.clone());
                if self.incoming.is_end_stream() {
                    self.ended_at = Some(now);
                }
                Some(Ok(kept))
            }
            Some(Err(_)) => {
                self.failed = Some(OutgoingError::Client);
                Some(Err(OutgoingError::Client))
            }
            None if self.is_stream && !self.incoming.is_end_stream() => {
                self.failed = Some(OutgoingError::Client);
                Some(Err(OutgoingError::Client))
            }
            None => {
                self.has_ended = true;
                self.ended_at.get_or_insert(now);
                None
            }
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.forget();
    }
}

/// One attempt's view of the body.
struct Reader {
    shared: Arc<Mutex<Shared>>,
    number: u64,
    /// The whole body's length, where it is known.
    length: Option<u64>,
    /// How many of the kept frames were sent.
    at: usize,
    sent_bytes: u64,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Body for Reader {
    type Data = Bytes;
    type Error = OutgoingError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OutgoingError>>> {
        let this = &mut *self;
        let mut shared = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.reader != this.number {
            return Poll::Ready(Some(Err(OutgoingError::Client)));
        }
        let next = match shared.kept.get(this.at) {
            Some(kept) => Some(Ok(kept.clone())),
            None if shared.has_ended => None,
            None => match shared.failed {
                Some(error) => Some(Err(error)),
                None => match shared.poll_client(cx) {
                    Poll::Ready(next) => next,
                    Poll::Pending => {
                        let now = shared.clock.now();
                        let left = shared.patience(now);
                        let until = shared.clock.instant(now + left);
                        let patience = this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                        // Once it is used up the alarm is not asked: set to now, it would ring a little later for ever.
                        if !left.is_zero() {
                            patience.as_mut().reset(until);
                            if patience.as_mut().poll(cx).is_pending() {
                                return Poll::Pending;
                            }
                        }
                        shared.failed = Some(OutgoingError::TooSlow);
                        Some(Err(OutgoingError::TooSlow))
                    }
                },
            },
        };
        this.at += 1;
        Poll::Ready(next.map(|next| {
            next.map(|kept| match kept {
                Kept::Data(data) => {
                    this.sent_bytes += data.len() as u64;
                    Frame::data(data)
                }
                Kept::Trailers(trailers) => Frame::trailers(trailers),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(self.sent_bytes)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| SizeHint::with_exact(length - self.sent_bytes))
    }
}
