//! Hands the front what DNS answers over HTTPS.

use crate::dns::doh;
use crate::dns::responder::Responder;
use crate::front::live::{Answer, Clear, Live};
use crate::front::reply::Complaint;
use crate::limits::DNS_MESSAGE_BYTES_MAX;
use crate::names::Hostname;
use crate::snapshot::Snapshot;
use crate::topology::zone::name_of;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// DNS over HTTPS at the names of the zone's name servers and at its apex, where nobody but DNS is meant. A hostname that
/// regions have keeps its own `/dns-query`: what they serve there is theirs.
pub(super) fn service(responder: Responder) -> Live {
    // A worker is one thread: it is never contended, and never held across an await.
    let responder = Mutex::new(responder);
    Live {
        path: Some(doh::PATH),
        in_the_clear: Clear::Ignored,
        is_at: |snapshot, hostname| is_at(snapshot, hostname),
        body_bytes_max: DNS_MESSAGE_BYTES_MAX,
        methods: "GET, HEAD, POST",
        answer: Answer::Now(Box::new(move |_, peer, head, body| {
            let mut responder = responder.lock().unwrap_or_else(PoisonError::into_inner);
            doh::answer(&mut responder, ends(peer), head, body).map(respond).map_err(complain)
        })),
    }
}

fn is_at(snapshot: &Snapshot, hostname: &Hostname) -> bool {
    snapshot.topology.dns.as_ref().is_some_and(|zone| {
        let name = name_of(hostname);
        zone.apex == name || zone.nameservers.iter().any(|server| server.name == name)
    })
}

/// HTTP has no ports to tell, and what is answered does not depend on them.
fn ends(peer: IpAddr) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(peer, 0), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

fn respond(answered: doh::Answered) -> Response<Bytes> {
    let length = answered.message.len();
    let mut answer = Response::new(Bytes::from(answered.message));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(doh::MEDIA_TYPE));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // It was made for whoever asked: a cache that many share must not give it to others.
    let kept = answered.max_age.and_then(|age| HeaderValue::from_str(&format!("private, max-age={age}")).ok());
    headers.insert(CACHE_CONTROL, kept.unwrap_or(HeaderValue::from_static("no-store")));
    answer
}

fn complain(refusal: doh::Refusal) -> Complaint {
    let (status, code, message): (StatusCode, _, _) = refusal.told();
    Complaint::new(status, code, message)
}
