//! A strict client of our own, quick enough for thousands: HTTP/1.1 in the clear and by TLS, HTTP/2 by TLS.
//!
//! It shows every piece of an answer when it comes, and never calls an answer whole that was not framed to its end.

use crate::harness::{BOUND, Fleet, hostname};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How a client speaks to the node, or the node to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    Http1Clear,
    Http1Tls,
    Http2Tls,
}

impl Leg {
    pub const ALL: [Self; 3] = [Self::Http1Clear, Self::Http1Tls, Self::Http2Tls];
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http1Clear => "HTTP/1.1",
            Self::Http1Tls => "HTTP/1.1 TLS",
            Self::Http2Tls => "HTTP/2 TLS",
        })
    }
}

/// A body that is all there.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that is sent piece by piece, when they are given.
pub fn piecewise() -> (mpsc::Sender<Bytes>, Body) {
    let (pieces, taken) = mpsc::channel(1);
    let next = |mut taken: mpsc::Receiver<Bytes>| async {
        let piece = taken.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), taken))
    };
    (pieces, StreamBody::new(futures_util::stream::unfold(taken, next)).boxed_unsync())
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// One connection to the node.
pub struct Caller {
    sender: Sender,
    authority: String,
}

impl Caller {
    /// Opens one for requests to `host`.
    pub async fn connect(fleet: &Fleet, leg: Leg, host: &str) -> Self {
        let address = if leg == Leg::Http1Clear { fleet.http() } else { fleet.node().https[0] };
        let authority = hostname(host);
        let stream = timeout(BOUND, TcpStream::connect(address)).await.expect("no hanging").expect("a connection");
        stream.set_nodelay(true).expect("it is a socket");
        if leg == Leg::Http1Clear {
            return Self { sender: Sender::Http1(shake(TokioIo::new(stream)).await), authority };
        }
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(fleet.world.ca_path()).expect("the lab's authority");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![if leg == Leg::Http2Tls { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(authority.clone()).expect("a name");
        let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
        let io = TokioIo::new(secured);
        if leg == Leg::Http1Tls {
            return Self { sender: Sender::Http1(shake(io).await), authority };
        }
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self { sender: Sender::Http2(sender), authority }
    }

    /// Sends a request for `path` with whatever `request` says besides; waits for the answer's head.
    pub async fn send(
        &mut self,
        request: http::request::Builder,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, String> {
        let answer = timeout(BOUND, self.exchange(request, path, body)).await;
        answer.unwrap_or_else(|_| Err("no answer within the bound".to_owned()))
    }

    async fn exchange(
        &mut self,
        request: http::request::Builder,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, String> {
        let authority = &self.authority;
        let finish = |request: http::request::Builder| -> Request<Body> { request.body(body).expect("a request") };
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|error| error.to_string())?;
                let request = finish(request.uri(path).header("host", authority));
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(|error| error.to_string())?;
                let request = request.version(Version::HTTP_2).uri(format!("https://{authority}{path}"));
                sender.send_request(finish(request)).await
            }
        }
        .map_err(|error| error.to_string())
    }

    /// Whether another request can be sent on it.
    pub fn may_go_on(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }
}

async fn shake<S>(io: TokioIo<S>) -> http1::SendRequest<Body>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender
}

/// The next piece of an answer; `Ok(None)`: its end, by its framing; an error: it broke off.
pub async fn piece(answer: &mut Response<Incoming>) -> Result<Option<Bytes>, String> {
    loop {
        let frame = timeout(BOUND, answer.body_mut().frame()).await.map_err(|_| "silence".to_owned())?;
        match frame.transpose().map_err(|error| error.to_string())? {
            None => return Ok(None),
            Some(frame) => {
                // The end of a stream may come in a frame of its own, with nothing in it.
                if let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Everything that came of an answer, and whether that was its end.
pub async fn read(answer: &mut Response<Incoming>) -> (Vec<u8>, Result<(), String>) {
    let mut read = Vec::new();
    loop {
        match piece(answer).await {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            Ok(None) => return (read, Ok(())),
            Err(why) => return (read, Err(why)),
        }
    }
}
