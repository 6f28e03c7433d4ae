//! Connections to one endpoint, one worker's: idle ones kept, bounded, last in first out.

use super::body::Outgoing;
use super::dial::{Dialled, Way, dial};
use super::{AttemptError, Needs, Progress};
use crate::health::Fault;
use crate::limits::{POOL_IDLE, POOL_IDLE_MAX, UPSTREAM_STREAMS_MAX};
use crate::load::{InFlight, Load};
use crate::moment::{Clock, Moment};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// One worker's connections to one endpoint.
#[derive(Debug)]
pub struct Pool {
    clock: Clock,
    way: Way,
    idle: Mutex<Vec<(http1::SendRequest<Outgoing>, Moment)>>,
    shared: Mutex<Vec<Shared>>,
    speaks_http2: AtomicBool,
    dialling: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Shared {
    sender: http2::SendRequest<Outgoing>,
    streams: Arc<AtomicUsize>,
}

/// A connection to send one request on.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    kind: Kind,
    was_idle: bool,
}

#[derive(Debug)]
enum Kind {
    Http1(http1::SendRequest<Outgoing>),
    Http2(http2::SendRequest<Outgoing>, Stream),
}

/// One stream of a shared connection.
#[derive(Debug)]
struct Stream(Arc<AtomicUsize>);

impl Stream {
    fn on(shared: &Shared) -> Self {
        shared.streams.fetch_add(1, Relaxed);
        Self(Arc::clone(&shared.streams))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Pool {
    /// No connection yet.
    #[must_use]
    pub fn new(clock: Clock, way: Way) -> Self {
        Self {
            clock,
            way,
            idle: Mutex::new(Vec::new()),
            shared: Mutex::new(Vec::new()),
            speaks_http2: AtomicBool::new(false),
            dialling: tokio::sync::Mutex::new(()),
        }
    }

    /// A connection that is there already, if one is.
    #[must_use]
    pub fn idle(self: &Arc<Self>, now: Moment) -> Option<Lease> {
        if self.speaks_http2.load(Relaxed) {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.retain(|connection| !connection.sender.is_closed());
            let free = shared.iter().find(|connection| connection.streams.load(Relaxed) < UPSTREAM_STREAMS_MAX)?;
            let kind = Kind::Http2(free.sender.clone(), Stream::on(free));
            return Some(Lease { pool: Arc::clone(self), kind, was_idle: true });
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = idle.pop() {
            if now.since(since) > POOL_IDLE {
                // Everything below was put back even earlier.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(Lease { pool: Arc::clone(self), kind: Kind::Http1(sender), was_idle: true });
            }
        }
        None
    }

    /// Opens a connection. Where HTTP/2 is spoken, all who wait share the next one.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn open(
        self: &Arc<Self>,
        addresses: &[SocketAddr],
        needs: Needs,
        timeout: Duration,
        load: &Load,
    ) -> Result<Lease, Fault> {
        let is_for_upgrade = needs == Needs::Upgrade;
        let _turn = if self.speaks_http2.load(Relaxed) && !is_for_upgrade {
            let turn = tokio::time::timeout(timeout, self.dialling.lock()).await.map_err(|_| Fault::ConnectTimeout)?;
            if let Some(lease) = self.idle(self.clock.now()) {
                return Ok(lease);
            }
            Some(turn)
        } else {
            None
        };
        let dialled = dial(&self.way, addresses, is_for_upgrade, timeout).await?;
        load.connected();
        let kind = match dialled {
            Dialled::Http1(sender) => {
                if !is_for_upgrade {
                    self.speaks_http2.store(false, Relaxed);
                }
                Kind::Http1(sender)
            }
            Dialled::Http2(sender) => {
                self.speaks_http2.store(true, Relaxed);
                let connection = Shared { sender, streams: Arc::default() };
                let kind = Kind::Http2(connection.sender.clone(), Stream::on(&connection));
                self.shared.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                kind
            }
        };
        Ok(Lease { pool: Arc::clone(self), kind, was_idle: false })
    }

    fn put_back(&self, sender: http1::SendRequest<Outgoing>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < POOL_IDLE_MAX {
            idle.push((sender, self.clock.now()));
        }
    }
}

impl Lease {
    /// Whether the connection was idle before, so that its end may have crossed with our request.
    #[must_use]
    pub fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// Whether it speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self.kind, Kind::Http2(..))
    }

    /// Sends a request and waits for the head of its answer, however long that takes.
    ///
    /// # Errors
    /// What went wrong and how far it got.
    pub async fn send(self, request: Request<Outgoing>, in_flight: InFlight) -> Result<Response<Answer>, AttemptError> {
        let Self { pool, kind, was_idle } = self;
        match kind {
            Kind::Http1(mut sender) => match sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(|body| Answer::of_http1(body, pool, sender, in_flight))),
                Err(mut error) => Err(failed(error.take_message(), error.error(), was_idle)),
            },
            Kind::Http2(mut sender, stream) => match sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(|body| Answer::of_http2(body, stream, in_flight))),
                Err(mut error) => Err(failed(error.take_message(), error.error(), was_idle)),
            },
        }
    }
}

fn failed(request: Option<Request<Outgoing>>, error: &hyper::Error, was_reused: bool) -> AttemptError {
    let stream_error = || error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let was_refused = stream_error().is_some_and(|error| error.reason() == Some(h2::Reason::REFUSED_STREAM));
    let progress = if request.is_some() || was_refused { Progress::Unsent } else { Progress::Sent };
    let fault =
        if error.is_parse() || stream_error().is_some_and(|error| error.reason() == Some(h2::Reason::PROTOCOL_ERROR)) {
            Fault::Protocol
        } else {
            Fault::Reset
        };
    AttemptError { fault, progress, was_reused, request }
}

/// An endpoint's answer on its way to the client. When it has been read to its end the connection goes back.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    back: Option<(Arc<Pool>, http1::SendRequest<Outgoing>)>,
    stream: Option<Stream>,
    in_flight: Option<InFlight>,
}

impl Answer {
    fn of_http1(body: Incoming, pool: Arc<Pool>, sender: http1::SendRequest<Outgoing>, in_flight: InFlight) -> Self {
        let mut answer = Self { body, back: Some((pool, sender)), stream: None, in_flight: Some(in_flight) };
        if answer.body.is_end_stream() {
            answer.finish();
        }
        answer
    }

    fn of_http2(body: Incoming, stream: Stream, in_flight: InFlight) -> Self {
        Self { body, back: None, stream: Some(stream), in_flight: Some(in_flight) }
    }

    fn finish(&mut self) {
        if let Some((pool, sender)) = self.back.take() {
            pool.put_back(sender);
        }
        self.stream = None;
        self.in_flight = None;
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                // With a known length the last frame is the end: the connection goes back while the client still reads.
                if self.body.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.back = None;
                Poll::Ready(Some(Err(Fault::Cut)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
