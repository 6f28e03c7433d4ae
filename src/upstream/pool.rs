//! Connections to one endpoint, one worker's: idle ones kept, bounded, last in first out.

use super::answer::Answer;
use super::body::Outgoing;
use super::dial::{self, Dialled, Line, Way};
use super::wire::Wire;
use super::{AttemptError, Needs, Progress};
use crate::health::Fault;
use crate::limits::{POOL_AGE_MAX, POOL_IDLE, POOL_IDLE_MAX, UPSTREAM_STREAMS_MAX};
use crate::load::{InFlight, Load, Open};
use crate::moment::{Clock, Dice, Moment};
use http::{HeaderValue, StatusCode};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// By how much of it the age of a connection differs, to either side.
const AGE_JITTER: f64 = 0.2;

/// How long it is believed that an endpoint speaks HTTP/1.1 alone: no call shakes hands for the sake of asking again.
const NO_HTTP2_LASTS: Duration = Duration::from_secs(10);

/// One worker's connections to one endpoint.
#[derive(Debug)]
pub struct Pool {
    clock: Clock,
    way: Way,
    authority: HeaderValue,
    /// What the endpoint carries.
    load: Arc<Load>,
    /// How many of ours were told to be idle there.
    told_idle: AtomicU32,
    idle: Mutex<Vec<(Exclusive, Moment)>>,
    bare: Mutex<Vec<(Bare, Moment)>>,
    shared: Mutex<Vec<Shared>>,
    speaks_http2: AtomicBool,
    /// Whether a connection may turn out to be one for many: it is TLS, and nobody has got through yet.
    may_speak_http2: AtomicBool,
    /// Until when it is not asked for HTTP/2, nanoseconds of the clock: it has just said that it does not speak it.
    no_http2_until: AtomicU64,
    /// Whether WebSockets go by HTTP/2: it takes them there, and perhaps nowhere else.
    takes_websockets_by_http2: AtomicBool,
    dialling: tokio::sync::Mutex<()>,
}

/// A connection in the clear, without a library on it.
#[derive(Debug)]
pub struct Bare {
    /// The connection.
    pub stream: TcpStream,
    until: Moment,
    _open: Open,
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct Exclusive {
    sender: http1::SendRequest<Outgoing>,
    wire: Arc<Wire>,
    until: Moment,
    _open: Open,
}

/// An HTTP/2 connection.
#[derive(Clone, Debug)]
struct Shared {
    sender: http2::SendRequest<Outgoing>,
    streams: Arc<AtomicUsize>,
    until: Moment,
    line: Arc<Line>,
    _open: Arc<Open>,
}

/// A connection to send one request on.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    kind: Kind,
    was_idle: bool,
    /// Whether it may carry another request afterwards.
    is_kept: bool,
}

#[derive(Debug)]
enum Kind {
    Http1(Exclusive),
    Http2(http2::SendRequest<Outgoing>, Stream),
    /// HTTP/2 for one stream only.
    WebSocket(http2::SendRequest<Outgoing>, Arc<Line>),
}

/// One stream of a shared connection.
#[derive(Debug)]
pub(super) struct Stream(Arc<AtomicUsize>);

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
    /// No connection yet. `authority` is what requests call the endpoint, `load` what it carries.
    #[must_use]
    pub fn new(clock: Clock, way: Way, authority: HeaderValue, load: Arc<Load>) -> Self {
        let may_speak_http2 = AtomicBool::new(!matches!(way, Way::Plain));
        Self {
            clock,
            way,
            authority,
            load,
            told_idle: AtomicU32::new(0),
            may_speak_http2,
            no_http2_until: AtomicU64::new(0),
            takes_websockets_by_http2: AtomicBool::new(false),
            idle: Mutex::new(Vec::new()),
            bare: Mutex::new(Vec::new()),
            shared: Mutex::new(Vec::new()),
            speaks_http2: AtomicBool::new(false),
            dialling: tokio::sync::Mutex::new(()),
        }
    }

    /// A connection that is there already and does for what the request `needs`, if one is.
    #[must_use]
    pub fn idle(self: &Arc<Self>, now: Moment, needs: Needs) -> Option<Lease> {
        if self.speaks_http2.load(Relaxed) {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            // One that is too old is let go: it ends with the last of its streams.
            shared.retain(|connection| !connection.sender.is_closed() && now < connection.until);
            let free = shared.iter().find(|connection| connection.streams.load(Relaxed) < UPSTREAM_STREAMS_MAX)?;
            let kind = Kind::Http2(free.sender.clone(), Stream::on(free));
            return Some(Lease { pool: Arc::clone(self), kind, was_idle: true, is_kept: true });
        }
        if needs == Needs::Http2 {
            return None;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if now.since(since) > POOL_IDLE {
                // Everything below was put back even earlier.
                idle.clear();
                return None;
            }
            if connection.sender.is_ready() && now < connection.until {
                return Some(Lease {
                    pool: Arc::clone(self),
                    kind: Kind::Http1(connection),
                    was_idle: true,
                    is_kept: true,
                });
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
    ) -> Result<Lease, Fault> {
        if needs == Needs::WebSocket {
            return self.open_for_websocket(addresses, timeout).await;
        }
        // What said by TLS that it speaks HTTP/1.1 is asked again after a while: it may have learnt.
        let now = self.clock.now().as_nanos();
        if needs == Needs::Http2 && (self.is_plain() || now < self.no_http2_until.load(Relaxed)) {
            return Err(Fault::Unsuited);
        }
        let until = self.clock.now() + timeout;
        let mut turn = None;
        // Until we know what is spoken one goes ahead: otherwise all who come first would dial a connection each.
        if self.speaks_http2.load(Relaxed) || self.may_speak_http2.load(Relaxed) {
            let waited = tokio::time::timeout(timeout, self.dialling.lock()).await;
            turn = Some(waited.map_err(|_| Fault::ConnectTimeout)?);
            if let Some(lease) = self.idle(self.clock.now(), needs) {
                return Ok(lease);
            }
            if !self.speaks_http2.load(Relaxed) && !self.may_speak_http2.load(Relaxed) {
                turn = None;
            }
        }
        let left = until.since(self.clock.now());
        let dialled = dial::dial(&self.way, addresses, false, left).await?;
        self.may_speak_http2.store(false, Relaxed);
        self.load.connected();
        let (until, open) = (self.old_at(), Open::to(&self.load));
        let kind = match dialled {
            Dialled::Http1(sender, wire) => {
                self.speaks_http2.store(false, Relaxed);
                let connection = Exclusive { sender, wire, until, _open: open };
                self.no_http2_until.store((self.clock.now() + NO_HTTP2_LASTS).as_nanos(), Relaxed);
                if needs == Needs::Http2 {
                    self.put_back(connection);
                    return Err(Fault::Unsuited);
                }
                Kind::Http1(connection)
            }
            Dialled::Http2(sender, line) => {
                self.speaks_http2.store(true, Relaxed);
                let connection = Shared { sender, streams: Arc::default(), until, line, _open: Arc::new(open) };
                let kind = Kind::Http2(connection.sender.clone(), Stream::on(&connection));
                self.shared.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                kind
            }
        };
        drop(turn);
        Ok(Lease { pool: Arc::clone(self), kind, was_idle: false, is_kept: true })
    }

    /// By HTTP/1.1, unless the endpoint has announced that it takes WebSockets by HTTP/2, or takes nothing else.
    async fn open_for_websocket(self: &Arc<Self>, addresses: &[SocketAddr], timeout: Duration) -> Result<Lease, Fault> {
        let until = self.clock.now() + timeout;
        let goes_by_http2 = self.takes_websockets_by_http2.load(Relaxed) || self.has_announced_websockets();
        let mut dialled = dial::dial_for_websocket(&self.way, addresses, !goes_by_http2, timeout).await;
        if !goes_by_http2 && dialled.as_ref().is_err_and(|fault| *fault == Fault::Tls) && !self.is_plain() {
            // What speaks nothing but HTTP/2 ends a handshake that does not offer it.
            dialled = dial::dial_for_websocket(&self.way, addresses, false, until.since(self.clock.now())).await;
        }
        if dialled.as_ref().is_err_and(|fault| *fault == Fault::Unsuited) {
            self.takes_websockets_by_http2.store(false, Relaxed);
        }
        let kind = match dialled? {
            Dialled::Http1(sender, wire) => {
                Kind::Http1(Exclusive { sender, wire, until: self.old_at(), _open: Open::to(&self.load) })
            }
            Dialled::Http2(sender, line) => {
                self.takes_websockets_by_http2.store(true, Relaxed);
                Kind::WebSocket(sender, line)
            }
        };
        self.load.connected();
        Ok(Lease { pool: Arc::clone(self), kind, was_idle: false, is_kept: false })
    }

    fn has_announced_websockets(&self) -> bool {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.iter().any(|connection| connection.line.takes_websockets())
    }

    /// What requests call the endpoint: their `Host` or `:authority`.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Whether connections are in the clear, so that bytes can be moved without a library between.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.way, Way::Plain)
    }

    /// A bare connection that is there already, if one is and the endpoint has not closed it as far as the runtime knows.
    #[must_use]
    pub fn idle_bare(&self, now: Moment) -> Option<Bare> {
        let mut bare = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = bare.pop() {
            if now.since(since) > POOL_IDLE {
                // Everything below was put back even earlier.
                bare.clear();
                return None;
            }
            // Nothing may come on an idle connection, not even its end.
            let came = connection.stream.try_read(&mut [0]);
            if now < connection.until && matches!(came, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a bare connection.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn open_bare(&self, addresses: &[SocketAddr], timeout: Duration) -> Result<Bare, Fault> {
        let stream = dial::bare(addresses, timeout).await?;
        self.load.connected();
        Ok(Bare { stream, until: self.old_at(), _open: Open::to(&self.load) })
    }

    /// Takes a bare connection back on which nothing is under way.
    pub fn put_back_bare(&self, connection: Bare) {
        let now = self.clock.now();
        let mut bare = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
        if bare.len() < POOL_IDLE_MAX && now < connection.until {
            bare.push((connection, now));
        }
    }

    /// Drops what nobody would take any more: idle for too long, too old, closed by the endpoint. `is_drained`: new work
    /// is kept away from the endpoint, and all that is idle goes.
    pub fn tidy(&self, now: Moment, is_drained: bool) {
        let is_good = |since: Moment, until: Moment| !is_drained && now < until && now.since(since) <= POOL_IDLE;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(connection, since)| is_good(*since, connection.until) && !connection.sender.is_closed());
        let mut left = idle.len();
        drop(idle);
        let mut bare = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
        bare.retain(|(connection, since)| is_good(*since, connection.until));
        left += bare.len();
        drop(bare);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|connection| {
            let is_needed = !is_drained || connection.streams.load(Relaxed) > 0;
            is_needed && now < connection.until && !connection.sender.is_closed()
        });
        left += shared.iter().filter(|connection| connection.streams.load(Relaxed) == 0).count();
        self.tell_idle(u32::try_from(left).unwrap_or(u32::MAX));
    }

    fn tell_idle(&self, count: u32) {
        self.load.idle_changed(self.told_idle.swap(count, Relaxed), count);
    }

    /// When a connection that is opened now is too old. They differ, so that many do not end together.
    fn old_at(&self) -> Moment {
        let now = self.clock.now();
        now + Dice::seeded(now.as_nanos()).jittered(POOL_AGE_MAX, AGE_JITTER)
    }

    pub(super) fn put_back(&self, connection: Exclusive) {
        let now = self.clock.now();
        if connection.sender.is_closed() || now >= connection.until {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < POOL_IDLE_MAX {
            idle.push((connection, now));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tell_idle(0);
    }
}

impl Lease {
    /// Whether the connection was idle before, so that its end may have crossed with our request.
    #[must_use]
    pub fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// What requests call the endpoint: their `Host` or `:authority`.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.pool.authority
    }

    /// Whether it speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self.kind, Kind::Http2(..) | Kind::WebSocket(..))
    }

    /// Sends a request and waits for the head of its answer, however long that takes. `is_safe`: whether it may be
    /// repeated although it may have been processed; if it may not, a kept connection is looked at once more before.
    ///
    /// # Errors
    /// What went wrong and how far it got.
    pub async fn send(
        self,
        request: Request<Outgoing>,
        in_flight: InFlight,
        is_safe: bool,
    ) -> Result<Response<Answer>, AttemptError> {
        let Self { pool, kind, was_idle, is_kept } = self;
        match kind {
            Kind::Http1(mut connection) => {
                let written_before = connection.wire.written();
                if was_idle && !is_safe {
                    connection.wire.look_before_writing();
                }
                match connection.sender.try_send_request(request).await {
                    Ok(response) => {
                        let back = is_kept.then_some((pool, connection));
                        let opens = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                        Ok(response.map(|body| Answer::of_http1(body, back, in_flight, opens)))
                    }
                    Err(mut error) => {
                        let is_unsent = error.take_message().is_some() || connection.wire.written() == written_before;
                        Err(failed(is_unsent, error.error(), was_idle))
                    }
                }
            }
            Kind::Http2(mut sender, stream) => match sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(|body| Answer::of_http2(body, stream, in_flight))),
                Err(mut error) => Err(failed(error.take_message().is_some(), error.error(), was_idle)),
            },
            Kind::WebSocket(mut sender, line) => match sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(|body| Answer::of_websocket(body, sender, line, in_flight))),
                Err(mut error) => Err(failed(error.take_message().is_some(), error.error(), was_idle)),
            },
        }
    }
}

fn failed(is_unsent: bool, error: &hyper::Error, was_reused: bool) -> AttemptError {
    let stream_error = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    // Refused streams were never processed, nor were those above the last one that a GOAWAY names (RFC 9113 §8.7).
    let was_refused = stream_error.is_some_and(|error| {
        error.is_remote() && (error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away())
    });
    let progress = if is_unsent || was_refused { Progress::Unsent } else { Progress::Sent };
    let is_malformed =
        error.is_parse() || stream_error.is_some_and(|error| error.reason() == Some(h2::Reason::PROTOCOL_ERROR));
    AttemptError { fault: if is_malformed { Fault::Protocol } else { Fault::Reset }, progress, was_reused }
}
