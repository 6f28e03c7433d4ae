//! The admin address: accepts connections, bounds them, hands requests to [`answer`](super::answer).
//!
//! It runs in the control plane with its own few connections, so that an operator gets in however busy the data plane
//! is. A connection lives a minute at most, and its head and body have to come in time: nobody can occupy it.

use super::answer::Desk;
use super::board::Board;
use super::dns::Dns;
use super::drains::Drains;
use super::ending;
use super::findings::Findings;
use super::guard::Token;
use super::keeper::{self, ASKS_MAX, Node};
use crate::control::Event;
use crate::counters::Counters;
use crate::history;
use crate::limits::{ADMIN_BODY_BYTES_MAX, HEADER_FIELDS_MAX, HEADER_TIMEOUT};
use crate::moment::{Clock, Moment};
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::subscriptions;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Connections at once; the next one waits in the kernel until one ends.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// How long a connection may live; then its last answer is finished and it is closed.
const LIFETIME_MAX: Duration = Duration::from_secs(60);
/// How long to wait when the kernel has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the admin address needs of a node.
#[derive(Debug)]
pub struct Admin {
    /// What the node believes.
    pub published: Published,
    /// Where operators' wishes go.
    pub events: mpsc::Sender<Event>,
    /// What the node has counted.
    pub counters: Counters,
    /// The drains and their files; [`Drains::overrides`] were given to `control` at its start.
    pub drains: Drains,
    /// Time.
    pub clock: Clock,
    /// What every request must carry; without it the listeners must be on loopback.
    pub token: Option<Token>,
    /// Whether the node wants traffic.
    pub ready: watch::Receiver<bool>,
    /// Asked to read the file again; a queue of one is enough.
    pub reload: mpsc::Sender<()>,
    /// Since when the node runs.
    pub started: Moment,
    /// The document of the addresses that regions call out from.
    pub nat_ips: watch::Receiver<Arc<str>>,
    /// Who knows DNS.
    pub dns: Dns,
    /// What has happened.
    pub history: history::desk::Desk,
    /// Headroom, and where requests were processed.
    pub findings: Findings,
    /// What everybody may see.
    pub board: Arc<Board>,
    /// Who is told of incidents.
    pub subscriptions: subscriptions::desk::Desk,
}

/// Answers on `listeners` until `shutdown`; then finishes the answers under way.
pub async fn run(admin: Admin, listeners: Vec<TcpListener>, shutdown: watch::Receiver<bool>) {
    let Admin {
        published,
        events,
        counters,
        drains,
        clock,
        token,
        ready,
        reload,
        started,
        nat_ips,
        dns,
        history,
        findings,
        board,
        subscriptions,
    } = admin;
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let desk = Arc::new(Desk {
        published: published.clone(),
        counters,
        clock,
        started,
        token,
        ready,
        asks,
        nat_ips,
        dns,
        history,
        findings,
        board,
        subscriptions,
    });
    let permits = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let mut doors = JoinSet::new();
    for listener in listeners {
        doors.spawn(accept(listener, Arc::clone(&desk), Arc::clone(&permits), shutdown.clone()));
    }
    // The keeper ends when the last one who could ask is gone.
    drop(desk);
    doors.spawn(keeper::keep(drains, asked, Node { events, published, reload, clock }));
    while doors.join_next().await.is_some() {}
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, permits: Arc<Semaphore>, mut shutdown: watch::Receiver<bool>) {
    let stopping = shutdown.clone();
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => {
                    connections.spawn(serve(stream, peer, Arc::clone(&desk), stopping.clone(), permit));
                }
                Err(error) => {
                    tracing::debug!(%error, "no admin connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        _ = shutdown.wait_for(|asked| *asked) => {}
        () = accepting => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    desk: Arc<Desk>,
    mut shutdown: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(peer.ip().to_canonical(), request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(ADMIN_BODY_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let over = async {
        tokio::select! {
            () = requested(&mut shutdown) => {}
            () = tokio::time::sleep(LIFETIME_MAX) => {}
        }
    };
    ending::serve(connection, over, "an admin connection").await;
}
