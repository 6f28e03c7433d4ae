//! What goes to the client: our own short answers, or a region's, passed on frame by frame as it comes.
//!
//! A region's answer that ends before its end becomes an error of the body, which cuts the connection (HTTP/1.1) or
//! resets the stream (HTTP/2): never an end that looks like success (RFC 9112 §8, RFC 9113 §8.1); a gRPC call ends in
//! trailers that say so. What was ready for the client before has
//! left by then, and so have the last words, where there are any.

use super::Front;
use super::call::Call;
use super::events::{EventStream, KEEP_ALIVE};
use super::guard::{Busy, Talk};
use super::headers::trailers_toward_client;
use super::ongoing::Ongoing;
use super::recall::Key;
use super::strict::has_bad_name;
use crate::control::Event;
use crate::counters::DoorCounters;
use crate::counters::record::Outcome;
use crate::health::Fault;
use crate::load::Load;
use crate::moment::{Clock, Moment};
use crate::names::Label;
use crate::snapshot::EndpointId;
use crate::upstream::answer::Answer;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use std::fmt;
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
    Stream(OwnStream),
    Region(Box<Carried>),
}

/// An answer of our own that comes as it comes.
struct OwnStream(BoxStream<'static, Bytes>);

impl fmt::Debug for OwnStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStream")
    }
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
    /// What it answers, if that is a gRPC call.
    pub call: Option<Box<Call>>,
    /// Longest silence inside it.
    pub idle_max: Duration,
    /// What a longer one means: the region's fault, or that its client would not wait.
    pub silence_means: Fault,
    /// Whom it would fail, and at which region, if it did not come to its end.
    pub fails: (Key, Label),
    /// Since when we wait for more of it, and what wakes us when that is too long.
    pub silence: Silence,
    /// What is known of the events in it, if it is a stream that is followed.
    pub followed: Option<Box<Followed>>,
    /// How it ends, once it has come to a bad end.
    pub ending: Option<Ending>,
    /// How often everything had left us when the client got something last.
    pub given_at: u64,
    /// Whether it is a stream of events, whose silences are told.
    pub has_events: bool,
    /// The request, until its end is told.
    pub ongoing: Ongoing,
}

/// A stream of events under way.
#[derive(Debug)]
pub struct Followed {
    stream: EventStream,
    /// Since when the client has heard nothing.
    hush: Silence,
    /// What comes after what was given last.
    next: Option<Frame<Bytes>>,
}

impl Followed {
    /// Follows `stream` from its beginning.
    #[must_use]
    pub fn new(stream: EventStream) -> Self {
        Self { stream, hush: Silence::default(), next: None }
    }

    /// What the client gets of a frame; nothing while the end of an event is still to come.
    ///
    /// # Errors
    /// Trailers where the stream must not end.
    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Fault> {
        let given = match frame.into_data() {
            Ok(data) => Some(self.stream.pass(data)).filter(|data| !data.is_empty()).map(Frame::data),
            Err(_) if !self.stream.may_end() => return Err(Fault::Cut),
            Err(trailers) => match self.stream.rest() {
                Some(rest) => {
                    self.next = Some(trailers);
                    Some(Frame::data(rest))
                }
                None => Some(trailers),
            },
        };
        if given.is_some() {
            self.hush.end();
        }
        Ok(given)
    }

    /// What is left once the region has ended its answer.
    ///
    /// # Errors
    /// If it must not end here.
    fn end(&mut self) -> Result<Option<Frame<Bytes>>, Fault> {
        if self.stream.may_end() { Ok(self.stream.rest().map(Frame::data)) } else { Err(Fault::Cut) }
    }

    /// The region says nothing: the client may hear a comment instead.
    fn poll_hush(&mut self, cx: &mut Context<'_>, clock: Clock) -> Poll<Frame<Bytes>> {
        let Some(pause) = self.stream.keep_alive() else { return Poll::Pending };
        ready!(self.hush.poll(cx, clock, pause));
        self.hush.end();
        Poll::Ready(Frame::data(KEEP_ALIVE))
    }
}

/// The end of an answer that broke off.
#[derive(Debug)]
pub struct Ending {
    fault: Fault,
    /// What the client is told first.
    words: Option<Frame<Bytes>>,
    /// Whether they say it all, so that no cut has to.
    is_told: bool,
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

    /// An answer of our own that comes as it comes.
    #[must_use]
    pub fn stream(stream: BoxStream<'static, Bytes>) -> Self {
        Self { kind: Kind::Stream(OwnStream(stream)), busy: None }
    }

    /// A region's answer.
    #[must_use]
    pub fn region(mut carried: Carried) -> Self {
        if carried.is_end_stream() {
            carried.ongoing.ended(Outcome::Complete, None);
        }
        if let Some(talk) = carried.ended_by.as_ref().filter(|_| carried.answer.size_hint().exact().is_none()) {
            // Until it has ended well, whatever else may end it.
            talk.ends_in_reset();
        }
        Self { kind: Kind::Region(Box::new(carried)), busy: None }
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
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.ongoing.passed(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Pending => self.ongoing.waits(),
            Poll::Ready(_) => {}
        }
        if self.is_whole_with(&polled) {
            self.ongoing.ended(Outcome::Complete, None);
        }
        if let (Poll::Ready(Some(Ok(_))), Some(talk)) = (&polled, talk) {
            self.given_at = talk.flushed.times();
        }
        if let Some(talk) = self.ended_by.as_ref().filter(|_| self.is_whole_with(&polled)) {
            talk.ends_well();
        }
        polled
    }

    /// Whether nothing comes behind what was `polled`, and nothing is missing.
    fn is_whole_with(&self, polled: &Poll<Option<Result<Frame<Bytes>, Fault>>>) -> bool {
        match polled {
            Poll::Ready(None) => self.ending.is_none(),
            Poll::Ready(Some(Ok(_))) => self.is_end_stream(),
            _ => false,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, talk: Option<&Talk>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            if self.ending.is_some() {
                return self.poll_end(cx, talk);
            }
            if let Some(call) = &mut self.call
                && call.poll_late(cx, self.front.clock).is_ready()
            {
                self.ongoing.ended(Outcome::Cut, Some(Fault::Late));
                self.ending = Some(Ending { fault: Fault::Silent, words: Some(Call::late()), is_told: true });
                continue;
            }
            if let Some(next) = self.followed.as_mut().and_then(|followed| followed.next.take()) {
                return Poll::Ready(Some(Ok(next)));
            }
            let given = match Pin::new(&mut self.answer).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.pass(frame),
                Poll::Ready(Some(Err(fault))) => Err(fault),
                Poll::Ready(None) => match self.followed.as_mut().map(|followed| followed.end()) {
                    None | Some(Ok(None)) => return Poll::Ready(None),
                    Some(rest) => rest,
                },
                Poll::Pending => match self.silence.poll(cx, self.front.clock, self.idle_max) {
                    Poll::Ready(()) => Err(self.silence_means),
                    Poll::Pending => {
                        let Some(followed) = &mut self.followed else { return Poll::Pending };
                        return followed.poll_hush(cx, self.front.clock).map(|comment| Some(Ok(comment)));
                    }
                },
            };
            match given {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(fault) => self.break_off(fault),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.followed.is_none() && self.ending.is_none() && self.answer.is_end_stream()
    }

    fn pass(&mut self, mut frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Fault> {
        if !self.has_events {
            self.silence.end();
        } else if let Some(silence) = self.silence.end_after(self.front.clock) {
            self.ongoing.was_silent(silence);
        }
        if let Some(trailers) = frame.trailers_mut() {
            if has_bad_name(trailers) {
                return Err(Fault::Protocol);
            }
            trailers_toward_client(trailers);
        }
        match &mut self.followed {
            Some(followed) => followed.pass(frame),
            None => Ok(Some(frame)),
        }
    }

    fn break_off(&mut self, fault: Fault) {
        DoorCounters::count(&self.front.counters.door.cut);
        self.front.recall.failed(self.front.clock.now(), self.fails.0, &self.fails.1);
        if let Some(talk) = &self.ended_by {
            talk.ends_in_reset();
        }
        if fault != Fault::Late {
            self.load.failed();
            self.front.tell(Event::Failed { endpoint: self.endpoint, fault, prefix: self.prefix });
        }
        self.ongoing.ended(Outcome::Cut, Some(fault));
        let is_told = self.call.is_some();
        let words = match &mut self.followed {
            _ if is_told => Some(Call::lost()),
            followed => followed.as_mut().and_then(|followed| followed.stream.last_words()).map(Frame::data),
        };
        self.ending = Some(Ending { fault, words, is_told });
    }

    /// Last words first; then, once they and all before them have left, the cut.
    fn poll_end(&mut self, cx: &mut Context<'_>, talk: Option<&Talk>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(ending) = &mut self.ending else { return Poll::Ready(None) };
        if let Some(words) = ending.words.take() {
            return Poll::Ready(Some(Ok(words)));
        }
        if ending.is_told {
            return Poll::Ready(None);
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

    /// Something came: after how long a silence, if there was one. The clock is read only then.
    pub fn end_after(&mut self, clock: Clock) -> Option<Duration> {
        self.since.take().map(|since| clock.now().since(since))
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
            Kind::Stream(stream) => stream.0.poll_next_unpin(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
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
            Kind::Stream(_) => false,
            Kind::Region(carried) => carried.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Kind::Stream(_) => SizeHint::default(),
            // Where something may be put in, nobody knows the length.
            Kind::Region(carried) if carried.followed.is_some() => SizeHint::default(),
            Kind::Region(carried) => carried.answer.size_hint(),
        }
    }
}
