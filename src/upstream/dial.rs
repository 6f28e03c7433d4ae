//! Address to connection: TCP, TLS, HTTP.

use super::body::Outgoing;
use super::wire::{Watched, Wire};
use crate::health::Fault;
use crate::limits::{ANSWER_HEADER_FIELDS_MAX, STREAM_BUFFER_BYTES_MAX, UNACKNOWLEDGED_MAX, UPSTREAM_BUFFER_BYTES_MAX};
use crate::names::Hostname;
use crate::tls::ALPN_HTTP2;
use crate::tls::trust::Trust;
use crate::topology::{Endpoint, Host};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long HTTP/2 pings an endpoint that says nothing.
const PING_EVERY: Duration = Duration::from_secs(5);
/// And how long it waits for the answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 flow control: what an endpoint may send ahead on one connection.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How an endpoint is spoken to.
#[derive(Clone, Debug)]
pub enum Way {
    /// In the clear.
    Plain,
    /// By TLS, under this name.
    Tls {
        /// Whom we believe.
        trust: Trust,
        /// Who it must be.
        name: ServerName<'static>,
    },
}

impl Way {
    /// The way to `endpoint`; `seen`: the client's hostname, where the endpoint sees it.
    ///
    /// # Panics
    /// Never: a hostname is a server name.
    #[must_use]
    pub fn to(endpoint: &Endpoint, seen: Option<&Hostname>, trust: &Trust) -> Self {
        if !endpoint.tls {
            return Self::Plain;
        }
        let name = match (seen, &endpoint.host) {
            (Some(name), _) | (None, Host::Name(name)) => {
                ServerName::try_from(name.as_str().to_owned()).expect("a hostname is a server name")
            }
            (None, Host::Address(address)) => ServerName::IpAddress((*address).into()),
        };
        Self::Tls { trust: trust.clone(), name }
    }
}

/// A new connection, and the task that moves its bytes.
#[derive(Debug)]
pub enum Dialled {
    /// One request at a time.
    Http1(http1::SendRequest<Outgoing>, Arc<Wire>),
    /// Many at once.
    Http2(http2::SendRequest<Outgoing>),
}

/// Dials `addresses` in turn until one answers, all within `timeout`, TLS and HTTP included.
///
/// # Errors
/// What stood in the way at the last address, or that time ran out. Whoever it was has seen nothing of a request.
pub async fn dial(way: &Way, addresses: &[SocketAddr], http1_only: bool, timeout: Duration) -> Result<Dialled, Fault> {
    let dialled = async { secure_and_shake(way, reach(addresses, timeout).await?, http1_only).await };
    tokio::time::timeout(timeout, dialled).await.unwrap_or(Err(Fault::ConnectTimeout))
}

/// Opens a connection in the clear, without speaking HTTP on it.
///
/// # Errors
/// As [`dial`].
pub async fn bare(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, Fault> {
    tokio::time::timeout(timeout, reach(addresses, timeout)).await.unwrap_or(Err(Fault::ConnectTimeout))
}

/// Opens a connection, with TLS where the way says so, and closes it again.
///
/// # Errors
/// As [`dial`].
pub async fn connect(way: &Way, addresses: &[SocketAddr], timeout: Duration) -> Result<(), Fault> {
    let connected = async {
        let stream = reach(addresses, timeout).await?;
        match way {
            Way::Plain => Ok(()),
            Way::Tls { trust, name } => secure(trust, name, Watched::new(stream, Wire::new()), true).await.map(drop),
        }
    };
    tokio::time::timeout(timeout, connected).await.unwrap_or(Err(Fault::ConnectTimeout))
}

async fn reach(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, Fault> {
    let mut fault = Fault::Unresolved;
    for (tried, address) in addresses.iter().enumerate() {
        // An address that hangs must leave time for the others.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(1);
        match tokio::time::timeout(timeout / left, tcp(*address)).await.unwrap_or(Err(Fault::ConnectTimeout)) {
            Ok(stream) => return Ok(stream),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

async fn tcp(address: SocketAddr) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect(address).await.map_err(|error| of_connect(&error))?;
    // Neither is worth failing for.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    Ok(stream)
}

async fn secure(
    trust: &Trust,
    name: &ServerName<'static>,
    stream: Watched,
    http1_only: bool,
) -> Result<TlsStream<Watched>, Fault> {
    let config = if http1_only { &trust.http1 } else { &trust.any };
    TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await.map_err(|_| Fault::Tls)
}

async fn secure_and_shake(way: &Way, stream: TcpStream, http1_only: bool) -> Result<Dialled, Fault> {
    let wire = Wire::new();
    let stream = Watched::new(stream, Arc::clone(&wire));
    match way {
        Way::Plain => shake_http1(TokioIo::new(stream), wire).await,
        Way::Tls { trust, name } => {
            let stream = secure(trust, name, stream, http1_only).await?;
            if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
                shake_http2(TokioIo::new(stream)).await
            } else {
                shake_http1(TokioIo::new(stream), wire).await
            }
        }
    }
}

async fn shake_http1<S>(io: S, wire: Arc<Wire>) -> Result<Dialled, Fault>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(ANSWER_HEADER_FIELDS_MAX)
        .max_buf_size(UPSTREAM_BUFFER_BYTES_MAX)
        .handshake(io)
        .await
        .map_err(|_| Fault::Protocol)?;
    tokio::spawn(async move {
        // How it ended is known to whoever waits for an answer on it.
        let _ = connection.with_upgrades().await;
    });
    Ok(Dialled::Http1(sender, wire))
}

async fn shake_http2<S>(io: S) -> Result<Dialled, Fault>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(u32::try_from(STREAM_BUFFER_BYTES_MAX).expect("it is small"))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_BUFFER_BYTES_MAX)
        .max_header_list_size(u32::try_from(UPSTREAM_BUFFER_BYTES_MAX).expect("it is small"))
        .handshake(io)
        .await
        .map_err(|_| Fault::Protocol)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Dialled::Http2(sender))
}

fn of_connect(error: &io::Error) -> Fault {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    match error.kind() {
        ConnectionRefused | ConnectionReset => Fault::Refused,
        TimedOut => Fault::ConnectTimeout,
        // EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM: this node has run out of something.
        _ if matches!(error.raw_os_error(), Some(23 | 24 | 99 | 105 | 12)) => Fault::Local,
        _ => Fault::Unreachable,
    }
}
