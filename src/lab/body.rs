//! What a stand-in answers with, octet by octet, and how it dies in the middle.

use super::fault::{Fault, LUMP_HOLDS};
use super::logbook::Logbook;
use super::wire::{Scissors, Weather};
use crate::moment::{Clock, Moment};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

/// What `/bytes/N` is made of.
const ZEROS: &[u8] = &[0; 64 << 10];
/// How often a stream on which nothing happens says that it is there.
const COMMENT_EVERY: Duration = Duration::from_secs(1);
/// Between the last octet of a cut answer and the reset: long enough for it to leave, because a reset overtakes.
const CUT_PAUSE: Duration = Duration::from_millis(20);
/// How often a stream that is stuck looks whether it may go on.
const STUCK_LOOKS: Duration = Duration::from_millis(20);
/// Of a long answer, this much may pass before it is cut, octets.
const CUT_AFTER_BYTES_MAX: u64 = 256 << 10;

/// Where the octets come from.
pub(super) enum Source {
    /// They are all there.
    Whole(Bytes),
    /// So many zeros.
    Zeros(u64),
    /// The request's body, trailers too.
    Echo {
        /// What was taken of it before the answer began.
        first: Option<Frame<Bytes>>,
        /// The rest.
        rest: Incoming,
    },
    /// One after the other, with a pause before each but the first.
    Events {
        /// What is still to come.
        left: VecDeque<Bytes>,
        /// How long each pause is.
        pace: Duration,
    },
    /// Events that say when they left (microseconds of the world's clock), with a pause before each but the first.
    Ticks {
        /// How many are still to come.
        left: u64,
        /// How many were.
        count: u64,
        /// How long each pause is.
        pace: Duration,
        /// What they read.
        clock: Clock,
    },
    /// First this, then a comment now and then, and never an end.
    Listening(Option<Bytes>),
    /// Nothing is left.
    Done,
}

/// The entry in the log that an answer belongs to.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) log: Arc<Logbook>,
    pub(super) number: u64,
    pub(super) clock: Clock,
}

/// The body of an answer.
pub(super) struct Answer {
    source: Source,
    trailers: Option<HeaderMap>,
    weather: watch::Receiver<Weather>,
    scissors: Scissors,
    entry: Option<Entry>,
    has_none: bool,
    passed_bytes: u64,
    whole_bytes: Option<u64>,
    /// Where this answer alone is cut, octets.
    cut_at: Option<u64>,
    /// Whether others share its connection, and live on when it is cut alone.
    is_shared: bool,
    /// Whether a cut went through an event: what is left of it never comes.
    is_maimed: bool,
    pause: Option<Pin<Box<Sleep>>>,
    is_cutting: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("passed_bytes", &self.passed_bytes).finish_non_exhaustive()
    }
}

impl Answer {
    pub(super) fn new(source: Source, weather: watch::Receiver<Weather>, scissors: Scissors) -> Self {
        let whole_bytes = match &source {
            Source::Whole(bytes) => Some(bytes.len() as u64),
            Source::Zeros(count) => Some(*count),
            Source::Done => Some(0),
            Source::Echo { .. } | Source::Events { .. } | Source::Ticks { .. } | Source::Listening(_) => None,
        };
        Self {
            source,
            trailers: None,
            weather,
            scissors,
            entry: None,
            has_none: false,
            passed_bytes: 0,
            whole_bytes,
            cut_at: None,
            is_shared: false,
            is_maimed: false,
            pause: None,
            is_cutting: false,
        }
    }

    /// Ends with these.
    pub(super) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// Dies after so many octets, whatever the weather; with its connection, unless that is shared.
    pub(super) fn is_cut_at(&mut self, bytes: u64, is_shared: bool) {
        (self.cut_at, self.is_shared) = (Some(bytes), is_shared);
    }

    /// Ticks off `entry` when everything is handed over; `has_none`: nothing will be, as with HEAD.
    pub(super) fn belongs_to(&mut self, entry: Entry, has_none: bool) {
        self.entry = Some(entry);
        self.has_none = has_none;
    }

    fn is_done(&self) -> bool {
        let is_empty = match &self.source {
            Source::Done | Source::Zeros(0) | Source::Ticks { left: 0, .. } => true,
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Events { left, .. } => left.is_empty(),
            Source::Zeros(_) | Source::Echo { .. } | Source::Ticks { .. } | Source::Listening(_) => false,
        };
        is_empty && self.trailers.is_none() && !self.is_maimed
    }

    /// How much may pass before the answer is cut, octets; `None`: it is not.
    fn cut_after(&self) -> Option<u64> {
        let fault = self.weather.borrow().fault;
        let by_weather = match (fault, self.whole_bytes, &self.source) {
            (Fault::CutAfter { bytes }, ..) => Some(bytes),
            (Fault::Cut, Some(whole), _) => Some((whole / 2).clamp(1, CUT_AFTER_BYTES_MAX)),
            // The first event, whole.
            (Fault::Cut, None, Source::Events { left, .. }) if self.passed_bytes == 0 => {
                Some(left.front().map_or(1, |event| event.len() as u64))
            }
            (Fault::Cut, None, _) => Some(self.passed_bytes.max(1)),
            _ => None,
        };
        self.cut_at.or(by_weather)
    }

    /// How long the pause before the next event is.
    fn pause_of(&self, pace: Duration) -> Duration {
        let times = if let Fault::Slow { times, .. } = self.weather.borrow().fault { times } else { 1.0 };
        pace.mul_f64(times)
    }

    /// For how long a stream is held back now by what is wrong with it. What is gathered becomes one piece.
    fn holds_back(&mut self) -> Option<Duration> {
        let fault = self.weather.borrow().fault;
        let Source::Events { left, pace } = &mut self.source else { return None };
        match fault {
            Fault::Wedge if !left.is_empty() => Some(STUCK_LOOKS),
            Fault::Lump if left.len() > 1 => {
                let complete = pace.saturating_mul(u32::try_from(left.len()).unwrap_or(u32::MAX));
                let whole: Vec<u8> = left.drain(..).flatten().collect();
                left.push_back(Bytes::from(whole));
                Some(complete + LUMP_HOLDS)
            }
            _ => None,
        }
    }

    /// The next octets, no more than `bytes_max` where that can be chosen.
    fn poll_source(&mut self, cx: &mut Context<'_>, bytes_max: u64) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let bytes = match &mut self.source {
            Source::Whole(bytes) if !bytes.is_empty() => bytes.split_to(bytes_max.min(bytes.len())),
            Source::Zeros(left) if *left > 0 => {
                let some = usize::try_from(*left).unwrap_or(usize::MAX).min(ZEROS.len()).min(bytes_max);
                *left -= some as u64;
                Bytes::from_static(&ZEROS[..some])
            }
            Source::Echo { first, rest } => {
                if let Some(frame) = first.take() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                let frame = ready!(Pin::new(rest).poll_frame(cx));
                if frame.is_none() {
                    self.source = Source::Done;
                }
                return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
            }
            Source::Events { left, pace } => match left.pop_front() {
                Some(event) => {
                    let pace = *pace;
                    if !left.is_empty() && !pace.is_zero() {
                        self.pause = Some(Box::pin(sleep(self.pause_of(pace))));
                    }
                    event
                }
                None => return Poll::Ready(None),
            },
            Source::Ticks { left, count, pace, clock } if *left > 0 => {
                (*left, *count) = (*left - 1, *count + 1);
                let left_us = clock.now().since(Moment::ZERO).as_micros();
                let event = Bytes::from(format!("id: {count}\ndata: {{\"left_us\":{left_us}}}\n\n"));
                let (is_last, pace) = (*left == 0, *pace);
                if !is_last && !pace.is_zero() {
                    self.pause = Some(Box::pin(sleep(self.pause_of(pace))));
                }
                event
            }
            Source::Listening(first) => {
                self.pause = Some(Box::pin(sleep(COMMENT_EVERY)));
                first.take().unwrap_or(Bytes::from_static(b":\n\n"))
            }
            Source::Whole(_) | Source::Zeros(_) | Source::Ticks { .. } | Source::Done => return Poll::Ready(None),
        };
        self.is_maimed = bytes.len() > bytes_max;
        Poll::Ready(Some(Ok(Frame::data(bytes.slice(..bytes_max.min(bytes.len()))))))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let bytes_max = this.cut_after().map_or(u64::MAX, |bytes| bytes.saturating_sub(this.passed_bytes));
        if bytes_max == 0 && !this.is_cutting {
            this.is_cutting = true;
            this.pause = Some(Box::pin(sleep(CUT_PAUSE)));
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        if this.is_cutting {
            if this.is_shared {
                return Poll::Ready(Some(Err(io::Error::other("a fault of the lab"))));
            }
            this.scissors.cut();
            return Poll::Pending;
        }
        if let Some(wait) = this.holds_back() {
            this.pause = Some(Box::pin(sleep(wait)));
            // Asks the pause to wake us.
            return Pin::new(this).poll_frame(cx);
        }
        match ready!(this.poll_source(cx, bytes_max)) {
            Some(Ok(frame)) => {
                this.passed_bytes += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Zeros(left) => SizeHint::with_exact(*left),
            Source::Done => SizeHint::with_exact(0),
            Source::Echo { .. } | Source::Events { .. } | Source::Ticks { .. } | Source::Listening(_) => {
                SizeHint::default()
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(Entry { log, number, clock }) = &self.entry
            && (self.has_none || self.is_done())
        {
            log.finish(*number, clock.now());
        }
    }
}
