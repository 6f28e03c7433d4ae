//! Accepts connections, speaks TLS and HTTP on them, and ends them in order.

use super::Front;
use super::arrival::{Arrival, Secured};
use super::connection::Connection;
use super::crowd::Crowd;
use super::fast;
use super::framed::Framed;
use super::gather::Gathered;
use super::guard::Guard;
use super::lifetime::{Lifetime, given_up};
use super::request::serve;
use super::stream::Reply;
use crate::counters::DoorCounters;
use crate::counters::limit::Limit;
use crate::limits::{
    CONNECTION_BUFFER_BYTES_MAX, HEADER_BYTES_MAX, HEADER_FIELDS_MAX, STREAM_BUFFER_BYTES_MAX,
    STREAMS_PENDING_RESET_MAX, STREAMS_PER_CONNECTION_MAX,
};
use crate::tls::ALPN_HTTP2;
use crate::tls::reception::{Reception, Unsecured};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use socket2::SockRef;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Room that hyper gets beyond our own limits, so that it is we who say what is too large.
const HEAD_ROOM_BYTES: usize = 4 << 10;
/// How often HTTP/2 asks whether a quiet client is still there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long an HTTP/2 client that is told to go has for it.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// What an HTTP/2 client may send ahead on one connection, octets.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// One listener's way of taking connections.
#[derive(Clone, Debug)]
pub struct Door {
    /// The worker's.
    pub front: Arc<Front>,
    /// Who must say whose a connection is; empty: it is the peer's.
    pub balancers: Arc<[IpNet]>,
    /// How TLS is spoken, if it is.
    pub tls: Option<Reception>,
    /// Most connections of this worker at once.
    pub connections_max: u32,
    /// Held by everything that the end of the node has to wait for.
    pub alive: mpsc::Sender<()>,
}

impl Door {
    /// A connection that is ready for requests.
    fn connection(&self, arrival: Arrival, ending: watch::Receiver<bool>) -> Arc<Connection> {
        let front = &self.front;
        let age = front.published.load().topology.forward.connection_max_age;
        let until = age.map(|age| front.clock.now() + front.jittered(age));
        let (talk, lifetime) = (Arc::default(), Lifetime::new(until, ending));
        Arc::new(Connection::new(Arc::clone(front), arrival, talk, lifetime, self.alive.clone()))
    }
}

/// Accepts on `listener` until `shutdown`. Connections go on after that; they end between requests.
pub async fn accept(door: Door, listener: TcpListener, shutdown: watch::Receiver<bool>) {
    let ending = shutdown.clone();
    crate::accept::accept(listener, shutdown, |stream, peer| admit(&door, stream, peer, &ending)).await;
}

fn admit(door: &Door, stream: TcpStream, peer: SocketAddr, ending: &watch::Receiver<bool>) {
    let counters = &door.front.counters.door;
    if counters.open.load(Relaxed) >= door.connections_max {
        DoorCounters::count(&counters.refused_connections);
        counters.reached(Limit::Connections);
        return;
    }
    DoorCounters::count(&counters.connections);
    let open = Open::new(door);
    let (door, ending) = (door.clone(), ending.clone());
    tokio::spawn(async move {
        converse(&door, stream, peer, ending).await;
        drop(open);
    });
}

/// One open connection, counted.
struct Open(Arc<Front>);

impl Open {
    fn new(door: &Door) -> Self {
        door.front.counters.door.open.fetch_add(1, Relaxed);
        Self(Arc::clone(&door.front))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.door.open.fetch_sub(1, Relaxed);
    }
}

async fn converse(door: &Door, mut stream: TcpStream, peer: SocketAddr, ending: watch::Receiver<bool>) {
    let mut arrival = match Arrival::of(&mut stream, peer.ip(), &door.balancers, door.tls.is_some()).await {
        Ok(arrival) => arrival,
        Err(error) => {
            DoorCounters::count(&door.front.counters.door.failed_proxy_headers);
            tracing::debug!(%error, "a connection was closed");
            return;
        }
    };
    // The kinds of conversation differ much in size, and each connection keeps its own for as long as it is open.
    let Some(tls) = &door.tls else {
        // Only a reset tells a client of HTTP/1.0 that its answer was cut.
        let break_off = |stream: &TcpStream| drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        return Box::pin(converse_http1(door, stream, break_off, arrival, ending)).await;
    };
    let counters = &door.front.counters.door;
    // It is large, and over soon.
    let (stream, chosen) = match Box::pin(tls.receive(stream, arrival.peer)).await {
        Ok(secured) => secured,
        Err(Unsecured::Crowded) => {
            counters.reached(Limit::Handshakes);
            return DoorCounters::count(&counters.refused_connections);
        }
        Err(Unsecured::Failed) => return DoorCounters::count(&counters.failed_handshakes),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let Ok(secured) = Secured::new(chosen, chain) else {
        return DoorCounters::count(&counters.failed_handshakes);
    };
    arrival.tls = Some(Arc::new(secured));
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        Box::pin(converse_http2(door, stream, arrival, ending)).await;
    } else {
        // TLS has an end of its own, which is not said then.
        Box::pin(converse_http1(door, stream, |_| (), arrival, ending)).await;
    }
}

async fn converse_http1<S>(door: &Door, stream: S, break_off: fn(&S), arrival: Arrival, ending: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = door.connection(arrival, ending);
    let talk = &shared.talk;
    let stream = Guard::new(stream, break_off, door.front.clock, Arc::clone(talk));
    let Some(stream) = fast::converse(&shared, talk, stream).await else { return };
    let service = service_fn(|request| serve(Arc::clone(&shared), request));
    let serving = http1::Builder::new()
        // The guard keeps the time: of heads, and of idleness.
        .header_read_timeout(None)
        .max_headers(HEADER_FIELDS_MAX + 8)
        .max_header_size(HEADER_BYTES_MAX + HEAD_ROOM_BYTES)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let mut ending = shared.lifetime.ending();
    tokio::select! {
        // How it ended is known to those whom it concerns.
        _ = serving.as_mut() => {}
        () = given_up(&mut ending) => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

async fn converse_http2<S>(door: &Door, stream: S, arrival: Arrival, ending: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = door.connection(arrival, ending);
    let streams = shared.streams.clone();
    let service = service_fn(|request| {
        shared.streams.begin();
        serve_http2(Arc::clone(&shared), request)
    });
    let crowd = Crowd::new(Arc::clone(&door.front.counters), door.front.waiting_answers_max);
    let framed = Framed::new(Gathered::new(stream), door.front.clock, Arc::clone(&shared.talk), crowd);
    let window = u32::try_from(STREAM_BUFFER_BYTES_MAX).expect("it is small");
    let serving = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_pending_accept_reset_streams(STREAMS_PENDING_RESET_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("it is small"))
        .initial_stream_window_size(window)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_BUFFER_BYTES_MAX)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(framed.clone()), service);
    let mut serving = Box::pin(serving);
    let mut talk_is_over = pin!(shared.talk.is_over());
    let (mut is_told, mut has_crossed) = (false, false);
    let ended = loop {
        tokio::select! {
            ended = framed.drive(serving.as_mut()) => break ended,
            () = talk_is_over.as_mut(), if !has_crossed => {
                let before = shared.talk.begun();
                serving.as_mut().graceful_shutdown();
                match tokio::time::timeout(FAREWELL_MAX, framed.drive(serving.as_mut())).await {
                    Ok(ended) => break ended,
                    // A request crossed with our farewell: it is served, and it is the last.
                    Err(_) if shared.talk.begun() > before => (has_crossed, is_told) = (true, true),
                    // Whoever has not even begun, or takes nothing, does not get to hear it.
                    Err(_) => break None,
                }
            }
            // Streams that are under way, or on their way to us, take the time they take.
            () = shared.lifetime.over(door.front.clock), if !is_told => {
                serving.as_mut().graceful_shutdown();
                is_told = true;
            }
        }
    };
    // With it end all its streams, whatever they are at.
    drop(serving);
    if let Some(excess) = framed.excess() {
        tracing::debug!(reason = %excess, "an HTTP/2 client is told to go");
        DoorCounters::count(&door.front.counters.door.dismissed);
        door.front.counters.door.reached(excess.limit());
        let _ = tokio::time::timeout(FAREWELL_MAX, framed.dismiss()).await;
    } else if matches!(ended, Some(Err(_))) {
        // HTTP has found a mistake and said so.
        let _ = tokio::time::timeout(FAREWELL_MAX, framed.close()).await;
    }
}

/// On a connection where streams have been reset, looks first whether this one has been, too: nobody is to work for it.
async fn serve_http2(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    if connection.talk.may_be_reset() {
        tokio::task::yield_now().await;
    }
    serve(connection, request).await
}
