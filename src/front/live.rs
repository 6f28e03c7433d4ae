//! What a node itself answers anew for each request, where no region has the hostname: the function is handed in by `node`,
//! and nobody here knows whose it is.

use super::Front;
use super::connection::Connection;
use super::headers::{REQUEST_ID, X_FORWARDED_PROTO};
use super::reply::Complaint;
use super::stream::Reply;
use crate::limits::SERVICE_BODY_TIMEOUT;
use crate::names::Hostname;
use crate::snapshot::Snapshot;
use crate::topology::Dialect;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// One path or all of them, at some hostnames, and who answers there.
pub struct Live {
    /// Where; nothing: at all paths.
    pub path: Option<&'static str>,
    /// What becomes of requests on connections that TLS does not secure.
    pub in_the_clear: Clear,
    /// At which hostnames, as things are.
    pub is_at: fn(&Snapshot, &Hostname) -> bool,
    /// Longest body of a request, octets.
    pub body_bytes_max: usize,
    /// The methods that are answered, as `Allow` says it.
    pub methods: &'static str,
    /// Answers the client at an address.
    pub answer: Answer,
}

/// What becomes of requests in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// They are answered as all others.
    Answered,
    /// Nobody answers here.
    Ignored,
    /// They are sent to HTTPS, which is listened for at this port.
    Secured(u16),
}

/// Answers the client at an address, whose request has this head and this body.
pub enum Answer {
    /// At once.
    Now(Box<Now>),
    /// When it is ready, and perhaps without an end.
    Later(Box<Later>),
}

/// See [`Answer::Now`].
pub type Now = dyn Fn(&Snapshot, IpAddr, &Parts, &[u8]) -> Result<Response<Bytes>, Complaint> + Send + Sync;
/// See [`Answer::Later`].
pub type Later = dyn Fn(IpAddr, Parts, Bytes) -> BoxFuture<'static, Response<Content>> + Send + Sync;

/// What an answer consists of.
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// What comes as it comes.
    Stream(BoxStream<'static, Bytes>),
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Who answers a request for `hostname`, if anybody does.
#[must_use]
pub fn find<'a>(front: &'a Front, snapshot: &Snapshot, hostname: &Hostname, path: &str) -> Option<&'a Live> {
    front.live.iter().find(|live| live.path.is_none_or(|own| own == path) && (live.is_at)(snapshot, hostname))
}

impl Live {
    /// Where a request for `hostname` is to be asked again, if not on this connection. The client finds HTTPS at its own port
    /// where it found us at the one for HTTP, whatever ports those are behind a balancer; else at the one listened on. A
    /// proxy in `trusted` may say that the client's own connection is secured.
    #[must_use]
    pub fn elsewhere(
        &self,
        connection: &Connection,
        (authority, hostname): (&str, &Hostname),
        parts: &Parts,
        trusted: &[IpNet],
    ) -> Option<String> {
        let Clear::Secured(port) = self.in_the_clear else { return None };
        let arrival = &connection.arrival;
        let says_so = || {
            parts.headers.get(X_FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
        };
        let is_believed = || trusted.iter().any(|network| network.contains(&arrival.peer.to_canonical()));
        if arrival.is_https || arrival.tls.is_some() || (says_so() && is_believed()) {
            return None;
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, asked)| asked != "80");
        let port = if has_port && port != 443 { format!(":{port}") } else { String::new() };
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Some(format!("https://{hostname}{port}{path}"))
    }

    /// Sends a request there, method and all (RFC 9110 §15.4.9).
    #[must_use]
    pub fn moved(to: &str, request_id: &HeaderValue) -> Response<Reply> {
        let mut answer = Response::new(Reply::own(Bytes::new()));
        *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
        let headers = answer.headers_mut();
        headers.insert(REQUEST_ID, request_id.clone());
        // What was sent with it was in the clear, and is not read.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Ok(to) = HeaderValue::from_str(to) {
            headers.insert(header::LOCATION, to);
        }
        answer
    }

    /// The answer to a request.
    pub async fn serve(
        &self,
        connection: &Connection,
        snapshot: &Snapshot,
        (parts, body): (&Parts, Incoming),
        request_id: &HeaderValue,
    ) -> Response<Reply> {
        let read = Box::pin(self.read(body)).await;
        let peer = connection.arrival.peer;
        let answered = match (read, &self.answer) {
            (Err(complaint), _) => Err(complaint),
            (Ok(body), Answer::Now(answer)) => {
                answer(snapshot, peer, parts, &body).map(|answer| answer.map(Reply::own))
            }
            (Ok(body), Answer::Later(answer)) => {
                Ok(answer(peer, parts.clone(), body).await.map(|content| match content {
                    Content::Whole(body) => Reply::own(body),
                    Content::Stream(stream) => Reply::stream(stream),
                }))
            }
        };
        match answered {
            Ok(mut answer) => {
                answer.headers_mut().insert(REQUEST_ID, request_id.clone());
                answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                answer
            }
            Err(complaint) => {
                let mut answer = complaint.answer(Dialect::Plain, request_id, None, connection.front.roll());
                if complaint.status == StatusCode::METHOD_NOT_ALLOWED {
                    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(self.methods));
                }
                answer
            }
        }
    }

    /// The whole body, unless it is too long or too slow.
    async fn read(&self, body: Incoming) -> Result<Bytes, Complaint> {
        let too_large = || {
            let message = format!("the request's body is longer than {} octets", self.body_bytes_max);
            Complaint::closing(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        };
        if body.size_hint().lower() > self.body_bytes_max as u64 {
            return Err(too_large());
        }
        let read = Limited::new(body, self.body_bytes_max).collect();
        match tokio::time::timeout(SERVICE_BODY_TIMEOUT, read).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => {
                let message = "the request's body ended early";
                Err(Complaint::closing(StatusCode::BAD_REQUEST, "body_incomplete", message))
            }
            Err(_) => {
                let message = "the request's body came too slowly";
                Err(Complaint::closing(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message))
            }
        }
    }
}
