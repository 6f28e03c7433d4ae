//! What goes to the client: our own short answers, or a region's, passed on frame by frame as it comes.
//!
//! A region's answer that ends before its end becomes an error of the body, which cuts the connection (HTTP/1.1) or
//! resets the stream (HTTP/2): never a clean end (RFC 9112 §8, RFC 9113 §8.1). What was ready for the client before has
//! left by then, and so have the last words, where there are any.

use super::Front;
use super::events::{EventStream, KEEP_ALIVE};
use super::guard::{Busy, Talk};
use super::headers::trailers_toward_client;
use crate::control::Event;
use crate::counters::DoorCounters;
use crate::health::Fault;
use crate::load::Load;
use crate::moment::{Clock, Moment};
use crate::snapshot::EndpointId;
use crate::upstream::pool::Answer;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// An answer's body.
#[derive(Debug)]
pub struct Reply {
    kind: Kind,
    /// Keeps the connection from counting as idle until the last byte is handed over.
    busy: Option<Busy>,
}

#[derive(Debug)]
enum Kind {
    Own(Option<Bytes>),
    Region(Carried),
}

/// A region's answer under way.
#[derive(Debug)]
pub struct Carried {
    /// The answer.
    pub answer: Answer,
    /// Who shares the worker.
    pub front: Arc<Front>,
    /// Whose it is.
    pub endpoint: EndpointId,
    /// What that endpoint carries.
    pub load: Arc<Load>,
    /// The client's prefix, hashed.
    pub prefix: u64,
    /// The client's connection, if only its end tells the end of the answer (HTTP/1.0).
    pub ended_by: Option<Arc<Talk>>,
    /// Longest silence inside it.
    pub idle_max: Duration,
    /// Since when we wait for more of it, and what wakes us when that is too long.
    pub silence: Silence,
    /// The events in it, if it is a stream of events that is followed.
    pub events: Option<EventStream>,
    /// Since when the client has heard nothing.
    pub hush: Silence,
    /// What comes after what was given last.
    pub next: Option<Frame<Bytes>>,
    /// How it ends, once it has come to a bad end.
    pub ending: Option<Ending>,
    /// How often everything had left us when the client got something last.
    pub given_at: u64,
}

/// The end of an answer that broke off.
#[derive(Debug)]
pub struct Ending {
    fault: Fault,
    /// What the client is told first.
    words: Option<Bytes>,
}

/// How long a stream has kept us waiting. Time in which the client would not take more does not count.
#[derive(Debug, Default)]
pub struct Silence {
    since: Option<Moment>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Reply {
    /// A short answer of our own.
    #[must_use]
    pub fn own(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { kind: Kind::Own((!body.is_empty()).then_some(body)), busy: None }
    }

    /// A region's answer.
    #[must_use]
    pub fn region(carried: Carried) -> Self {
        Self { kind: Kind::Region(carried), busy: None }
    }

    fn held(&mut self, is_held: bool) {
        if let Some(busy) = &mut self.busy {
            busy.held(is_held);
        }
    }

    /// Whether the client has not taken the end yet.
    fn is_ending(&self) -> bool {
        matches!(&self.kind, Kind::Region(carried) if carried.ending.is_some())
    }

    /// As the answer to HEAD: without a body of our own. A region has sent none.
    #[must_use]
    pub fn to_head(mut self) -> Self {
        if let Kind::Own(body) = &mut self.kind {
            *body = None;
        }
        self
    }

    /// Has the connection count as busy until this body is gone.
    #[must_use]
    pub fn keeping(mut self, busy: Busy) -> Self {
        if let Kind::Region(carried) = &mut self.kind {
            carried.given_at = busy.talk().flushed.times();
        }
        self.busy = Some(busy);
        self.held(true);
        self
    }
}

impl Carried {
    /// The next frame for the client, or how the answer broke off. `talk` is the client's connection.
    fn poll(&mut self, cx: &mut Context<'_>, talk: Option<&Talk>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = self.poll_next(cx, talk);
        if let (Poll::Ready(Some(Ok(_))), Some(talk)) = (&polled, talk) {
            self.given_at = talk.flushed.times();
        }
        polled
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, talk: Option<&Talk>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            if let Some(frame) = self.next.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.ending.is_some() {
                return self.poll_end(cx, talk);
            }
            match Pin::new(&mut self.answer).poll_frame(cx) {
                Poll::Ready(Some(Err(fault))) => self.break_off(fault),
                Poll::Ready(Some(Ok(frame))) => {
                    self.silence.end();
                    if let Some(frame) = self.pass(frame) {
                        self.hush.end();
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(None) => match self.events.take() {
                    Some(events) if !events.may_end() => {
                        self.events = Some(events);
                        self.break_off(Fault::Cut);
                    }
                    Some(mut events) => self.next = events.rest().map(Frame::data),
                    None => return Poll::Ready(None),
                },
                Poll::Pending => {
                    if self.silence.poll(cx, self.front.clock, self.idle_max).is_pending() {
                        return self.poll_hush(cx);
                    }
                    self.break_off(Fault::Silent);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_none() && self.next.is_none() && self.ending.is_none() && self.answer.is_end_stream()
    }

    /// What the client gets of a frame; nothing while the end of an event is still to come.
    fn pass(&mut self, mut frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        if let Some(trailers) = frame.trailers_mut() {
            trailers_toward_client(trailers);
        }
        let Some(events) = &mut self.events else { return Some(frame) };
        match frame.into_data() {
            Ok(data) => Some(events.pass(data)).filter(|data| !data.is_empty()).map(Frame::data),
            Err(_) if !events.may_end() => {
                self.break_off(Fault::Cut);
                None
            }
            Err(trailers) => match events.rest() {
                Some(rest) => {
                    self.next = Some(trailers);
                    Some(Frame::data(rest))
                }
                None => Some(trailers),
            },
        }
    }

    /// The region says nothing: the client may hear a comment instead.
    fn poll_hush(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(pause) = self.events.as_ref().and_then(EventStream::keep_alive) else { return Poll::Pending };
        ready!(self.hush.poll(cx, self.front.clock, pause));
        self.hush.end();
        Poll::Ready(Some(Ok(Frame::data(KEEP_ALIVE))))
    }

    fn break_off(&mut self, fault: Fault) {
        DoorCounters::count(&self.front.counters.door.cut);
        self.load.failed();
        if let Some(talk) = &self.ended_by {
            talk.ends_in_reset();
        }
        self.front.tell(Event::Failed { endpoint: self.endpoint, fault, prefix: self.prefix });
        let words = self.events.as_mut().and_then(EventStream::last_words);
        self.ending = Some(Ending { fault, words });
    }

    /// Last words first; then, once they and all before them have left, the cut.
    fn poll_end(&mut self, cx: &mut Context<'_>, talk: Option<&Talk>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(ending) = &mut self.ending else { return Poll::Ready(None) };
        if let Some(words) = ending.words.take() {
            return Poll::Ready(Some(Ok(Frame::data(words))));
        }
        if let Some(talk) = talk {
            ready!(talk.flushed.poll_since(self.given_at, cx.waker()));
        }
        Poll::Ready(Some(Err(ending.fault)))
    }
}

impl Silence {
    /// Something came.
    pub fn end(&mut self) {
        self.since = None;
    }

    /// Ready when it has lasted for `longest`. The alarm is set once and looks at the clock when it rings: a busy stream
    /// costs no timer per frame.
    pub fn poll(&mut self, cx: &mut Context<'_>, clock: Clock, longest: Duration) -> Poll<()> {
        let since = *self.since.get_or_insert_with(|| clock.now());
        let until = clock.instant(since + longest);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        while alarm.as_mut().poll(cx).is_ready() {
            if clock.now().since(since) >= longest {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.held(false);
        let this = &mut *self;
        let talk = this.busy.as_ref().map(|busy| &**busy.talk());
        let polled = match &mut this.kind {
            Kind::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Region(carried) => carried.poll(cx, talk),
        };
        if polled.is_ready() || self.is_ending() {
            self.held(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(body) => body.is_none(),
            Kind::Region(carried) => carried.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            // Where something may be put in, nobody knows the length.
            Kind::Region(carried) if carried.events.is_some() => SizeHint::default(),
            Kind::Region(carried) => carried.answer.size_hint(),
        }
    }
}
