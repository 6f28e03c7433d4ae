//! One attempt: a connection, the request on it, the head of the answer.

use super::course::{Course, Leave, Limit, WATCH_AFTER};
use super::events::is_event_stream;
use super::headers::{ATTEMPT, DEADLINE_MS, Introduction, toward_region};
use super::replay::Source;
use super::strict::has_bad_name;
use super::terms::Protocol;
use super::{Front, grpc, websocket};
use crate::counters::DoorCounters;
use crate::counters::trace::{TRACEPARENT, TRACESTATE, Trace};
use crate::health::Fault;
use crate::limits::HELD_EVENT_BYTES_MAX;
use crate::load::InFlight;
use crate::moment::Moment;
use crate::snapshot::Published;
use crate::sse::Events;
use crate::upstream::answer::Answer;
use crate::upstream::body::Outgoing;
use crate::upstream::pool::Lease;
use crate::upstream::{AttemptError, Needs, Progress};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is sent where.
pub struct Sending<'a> {
    /// The worker's.
    pub front: &'a Arc<Front>,
    /// The request, which has set out.
    pub course: &'a Course,
    /// The head, as the client sent it.
    pub parts: &'a Parts,
    /// What is said of the client.
    pub introduction: &'a Introduction,
    /// The request's id.
    pub request_id: &'a HeaderValue,
    /// The body.
    pub body: &'a Source,
    /// How long it may take, if its client is impatient.
    pub limit: Option<Limit>,
    /// When there was a connection to send it on, nanoseconds of the clock: told to whoever made it.
    pub sent_at: &'a AtomicU64,
    /// The request's place in a trace, where traces are told.
    pub trace: Option<Trace>,
}

impl Sending<'_> {
    /// Makes the attempt.
    ///
    /// # Errors
    /// What went wrong and how far it got.
    pub async fn run(&self) -> Result<Response<Answer>, AttemptError> {
        let unsent = |fault| AttemptError { fault, progress: Progress::Unsent, was_reused: false };
        let Course { snapshot, hostname, terms, .. } = self.course;
        let target = self.course.target();
        let in_flight = InFlight::at(&self.course.endpoint().load);
        let needs = match terms.protocol {
            Protocol::Http => Needs::Any,
            Protocol::WebSocket => Needs::WebSocket,
            Protocol::Grpc => Needs::Http2,
        };
        let is_fresh = self.course.is_fresh();
        let connecting = self.front.upstream.connect(snapshot, target.endpoint, hostname, needs, is_fresh);
        let lease = self.in_time(connecting).await.unwrap_or(Err(Fault::Late)).map_err(unsent)?;
        self.sent_at.store(self.front.clock.now().as_nanos(), Relaxed);
        let was_reused = lease.was_idle();
        let (is_http2, request) = (lease.is_http2(), self.request(&lease));
        let request = request.ok_or_else(|| unsent(Fault::Protocol))?;
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).filter(|_| !is_http2).cloned();
        self.front.sends(snapshot, hostname, target.region);
        let mut answer = pin!(lease.send(request, in_flight, terms.is_safe));
        let silent = |fault| Err(AttemptError { fault, progress: Progress::Sent, was_reused });
        let answering = async {
            match tokio::time::timeout(WATCH_AFTER, &mut answer).await {
                Ok(result) => result,
                Err(_) => Box::pin(self.vigil().keep(answer)).await.unwrap_or_else(|| silent(Fault::Silent)),
            }
        };
        let result = self.in_time(answering).await.unwrap_or_else(|| silent(Fault::Late));
        let answer = result.and_then(|answer| self.as_switched(answer, is_http2, key))?;
        let hold = self.commit_hold();
        if hold.is_zero() || !is_event_stream(answer.headers()) {
            return Ok(answer);
        }
        let held = Box::pin(first_event(answer, hold)).await;
        held.map_err(|fault| AttemptError { fault, progress: Progress::Sent, was_reused: false })
    }

    /// Waits for `what` as long as an impatient client does; others wait for ever here. Its patience begins when the last of
    /// its request has come.
    async fn in_time<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        let Some(limit) = &self.limit else { return Some(what.await) };
        Box::pin(self.within(limit.clone(), what)).await
    }

    async fn within<T>(&self, mut limit: Limit, what: impl Future<Output = T>) -> Option<T> {
        let clock = self.front.clock;
        let mut what = pin!(what);
        loop {
            let start = self.body_ended_at().unwrap_or_else(|| clock.now());
            let Some(end) = limit.ends(start) else { return Some(what.await) };
            if let Ok(done) = tokio::time::timeout_at(clock.instant(end), &mut what).await {
                return Some(done);
            }
            if self.body_ended_at().is_none_or(|ended| ended > start) {
                continue;
            }
            match limit.is_over(clock.now(), &self.course.snapshot) {
                Leave::Late => return None,
                Leave::Unrepeated => DoorCounters::count(&self.front.counters.door.unrepeated),
            }
        }
    }

    fn body_ended_at(&self) -> Option<Moment> {
        self.body.ended_at(self.course.began)
    }

    /// How long the head of a stream of events may be held: never beyond its client's patience.
    fn commit_hold(&self) -> Duration {
        let hold = self.course.terms.commit_hold;
        self.patience_left().map_or(hold, |left| hold.min(left))
    }

    /// How much of its client's patience is left. While the request is still coming, all of it.
    fn patience_left(&self) -> Option<Duration> {
        let limit = self.limit.as_ref()?;
        let now = self.front.clock.now();
        limit.left(now, self.body_ended_at().unwrap_or(now))
    }

    fn is_websocket(&self) -> bool {
        self.course.terms.protocol == Protocol::WebSocket
    }

    fn vigil(&self) -> Vigil<'_> {
        let is_safe = self.course.terms.is_safe_with(|| self.body.whole());
        Vigil { published: &self.front.published, course: self.course, is_safe }
    }

    /// From here on 101 says that a WebSocket is open, however the region says it: 101 itself, with a good answer to the
    /// key if it is one of ours, or 200 on a stream (RFC 8441 §5). A region that changes the protocol although nobody asked
    /// it to is not answering. Nor is one whose fields have names that HTTP/1.1 cannot say.
    fn as_switched(
        &self,
        mut answer: Response<Answer>,
        is_http2: bool,
        key: Option<HeaderValue>,
    ) -> Result<Response<Answer>, AttemptError> {
        let status = answer.status();
        let is_stream = self.parts.method == Method::CONNECT;
        let is_good = match (self.is_websocket(), is_http2) {
            (false, _) => status != StatusCode::SWITCHING_PROTOCOLS,
            (true, true) => status == StatusCode::OK || !status.is_success(),
            (true, false) if status == StatusCode::SWITCHING_PROTOCOLS && is_stream => {
                let accept = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
                accept.is_some_and(|accept| key.is_some_and(|key| *accept == websocket::accept(&key)))
            }
            (true, false) => true,
        };
        if !is_good || (is_http2 && has_bad_name(answer.headers())) {
            return Err(AttemptError { fault: Fault::Protocol, progress: Progress::Sent, was_reused: false });
        }
        if self.is_websocket() && is_http2 && status == StatusCode::OK {
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        } else if self.is_websocket() && !is_http2 && is_stream && status.is_success() {
            // An ordinary answer, which on a stream would mean that it is open. Anybody may ask for one, so it is no failure.
            *answer.status_mut() = StatusCode::NOT_IMPLEMENTED;
        }
        Ok(answer)
    }

    /// The request for this endpoint; `None` if its name cannot be put into a request.
    fn request(&self, lease: &Lease) -> Option<Request<Outgoing>> {
        let path = self.parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut request = Request::new(self.body.reader());
        *request.method_mut() = self.parts.method.clone();
        let upgrades = self.is_websocket() && !lease.is_http2();
        *request.headers_mut() = toward_region(&self.parts.headers, self.introduction, self.request_id, upgrades);
        if self.is_websocket() {
            self.open_websocket(&mut request, lease.is_http2());
        }
        if let Some(deadline) = self.course.deadline() {
            let left = deadline.since(self.front.clock.now());
            request.headers_mut().insert(grpc::TIMEOUT, grpc::timeout_value(left));
        }
        if lease.is_http2() {
            let endpoint = self.course.snapshot.topology.endpoint(self.course.target().endpoint);
            let scheme = if endpoint.tls { "https" } else { "http" };
            let authority = lease.authority().as_bytes();
            let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()?;
            *request.uri_mut() = uri;
            *request.version_mut() = Version::HTTP_2;
        } else {
            *request.uri_mut() = Uri::from(path);
            request.headers_mut().insert(header::HOST, lease.authority().clone());
            if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
                // Said here because hyper would send GET and HEAD without their body otherwise.
                request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        request.headers_mut().insert(ATTEMPT, HeaderValue::from(self.course.attempts));
        if let Some(trace) = self.trace {
            request.headers_mut().insert(TRACEPARENT, trace.to_region(self.course.attempts));
            if trace.parent.is_none() {
                // It speaks of a trace that this is not.
                request.headers_mut().remove(TRACESTATE);
            }
        }
        if let Some(left) = self.patience_left() {
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            request.headers_mut().insert(DEADLINE_MS, HeaderValue::from(left_ms));
        }
        Some(request)
    }
}

impl Sending<'_> {
    /// Asks for a WebSocket in the way that the region's version of HTTP has for it. On a stream there is no key
    /// (RFC 8441 §5); a client on a stream has none, so it is ours then.
    fn open_websocket(&self, request: &mut Request<Outgoing>, is_http2: bool) {
        if is_http2 {
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
            request.headers_mut().remove(header::SEC_WEBSOCKET_KEY);
        } else if self.parts.method == Method::CONNECT {
            *request.method_mut() = Method::GET;
            let key = websocket::key([self.front.roll(), self.front.roll()]);
            request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, key);
        }
    }
}

/// Reads the beginning of an event stream until its first event is whole, for at most `hold`, and puts it back. Until then
/// nothing is promised to the client: a region that breaks off here has failed like one that never answered.
///
/// # Errors
/// How it broke off.
async fn first_event(mut answer: Response<Answer>, hold: Duration) -> Result<Response<Answer>, Fault> {
    let (mut read, mut read_bytes) = (VecDeque::new(), 0);
    let mut events = Events::default();
    let until_event = async {
        while read_bytes < HELD_EVENT_BYTES_MAX {
            let Some(frame) = answer.body_mut().frame().await else { break };
            let frame = frame?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            let is_whole = events.completes(data);
            read_bytes += data.len();
            let is_last = frame.is_trailers();
            read.push_back(frame);
            if is_whole || is_last {
                break;
            }
        }
        Ok(())
    };
    // Too late to wait any longer is no fault.
    let ended = tokio::time::timeout(hold, until_event).await.unwrap_or(Ok(()));
    ended?;
    answer.body_mut().put_back(read);
    Ok(answer)
}

/// Watches over an attempt whose answer takes longer than [`WATCH_AFTER`].
#[derive(Clone, Copy)]
pub struct Vigil<'a> {
    /// What the node believes.
    pub published: &'a Published,
    /// The request, which has set out.
    pub course: &'a Course,
    /// Whether it may be repeated although it may have been processed.
    pub is_safe: bool,
}

impl Vigil<'_> {
    /// Waits for the answer: until the time for one is up or, if the request may go elsewhere, until waiting is known to be
    /// in vain. Then `None`.
    pub async fn keep<T>(&self, mut answer: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let first_byte_timeout = self.course.snapshot.topology.forward.first_byte_timeout;
        let mut longest = pin!(tokio::time::sleep(first_byte_timeout.saturating_sub(WATCH_AFTER)));
        let mut bell = self.published.subscribe();
        loop {
            if self.is_safe && self.course.is_in_vain(&self.published.load()) {
                return None;
            }
            tokio::select! {
                result = &mut answer => return Some(result),
                () = &mut longest => return None,
                changed = bell.changed() => if changed.is_err() { return Some(answer.await) },
            }
        }
    }
}
