//! What goes to the client: our own short answers, or a region's, passed on frame by frame as it comes.
//!
//! A region's answer that ends before its end becomes an error of the body, which cuts the connection (HTTP/1.1) or
//! resets the stream (HTTP/2): never a clean end (RFC 9112 §8, RFC 9113 §8.1).

use super::Front;
use super::call::Call;
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
use std::task::{Context, Poll};
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
    /// What it answers, if that is a gRPC call.
    pub call: Option<Call>,
    /// Longest silence inside it.
    pub idle_max: Duration,
    /// Since when we wait for more of it, and what wakes us when that is too long.
    pub silence: Silence,
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
        self.busy = Some(busy);
        self.held(true);
        self
    }
}

impl Carried {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(call) = &mut self.call {
            if call.is_over() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(end) = call.poll_late(cx, self.front.clock) {
                return Poll::Ready(Some(Ok(end)));
            }
        }
        match Pin::new(&mut self.answer).poll_frame(cx) {
            Poll::Ready(Some(Err(fault))) => Poll::Ready(Some(self.end_broken(fault))),
            Poll::Ready(mut frame) => {
                self.silence.end();
                if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut()) {
                    trailers_toward_client(trailers);
                }
                Poll::Ready(frame)
            }
            Poll::Pending => match self.silence.poll(cx, self.front.clock, self.idle_max) {
                Poll::Ready(()) => Poll::Ready(Some(self.end_broken(Fault::Silent))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// The last the client gets of an answer that has not come to its end.
    fn end_broken(&mut self, fault: Fault) -> Result<Frame<Bytes>, Fault> {
        let fault = self.broke(fault);
        self.call.as_mut().map(Call::lost).ok_or(fault)
    }

    fn broke(&self, fault: Fault) -> Fault {
        DoorCounters::count(&self.front.counters.door.cut);
        self.load.failed();
        if let Some(talk) = &self.ended_by {
            talk.ends_in_reset();
        }
        self.front.tell(Event::Failed { endpoint: self.endpoint, fault, prefix: self.prefix });
        fault
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
        let polled = match &mut self.kind {
            Kind::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Region(carried) => carried.poll(cx),
        };
        if polled.is_ready() {
            self.held(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(body) => body.is_none(),
            Kind::Region(carried) => {
                carried.answer.is_end_stream() || carried.call.as_ref().is_some_and(Call::is_over)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Kind::Region(carried) => carried.answer.size_hint(),
        }
    }
}
