//! What is changed in headers on the way through: hop-by-hop fields, who asked, loops, what happened on the way.

use super::arrival::{Arrival, ClientCertificate};
use super::unserved::Unserved;
use crate::client::Asker;
use crate::counters::record::Failed;
use crate::health::Fault;
use crate::names::{Hostname, Label};
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};
use hyper::ext::Protocol;
use std::fmt::Write;

/// Which region answered.
pub const REGION: HeaderName = HeaderName::from_static("x-anyfront-region");
/// At which site we stand.
pub const SITE: HeaderName = HeaderName::from_static("x-anyfront-site");
/// What the answer's decision is called: an operator can have it explained.
pub const DECISION: HeaderName = HeaderName::from_static("x-anyfront-decision");
/// Which attempt it is, from 1.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-anyfront-attempt");
/// How much longer the client waits for the first byte of the answer, milliseconds; only if that is not long.
pub const DEADLINE_MS: HeaderName = HeaderName::from_static("x-anyfront-deadline-ms");
/// Which try of the same request an official SDK makes: 0 is the first.
pub const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
/// A key that a client may have instead of `Authorization`.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The client's address; a region may believe it.
pub const CLIENT_IP: HeaderName = HeaderName::from_static("x-anyfront-client-ip");
/// The private link that the client came by; a region may believe it.
pub const PRIVATE_LINK: HeaderName = HeaderName::from_static("x-anyfront-private-link");
/// The request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Through which networks it came (RFC 8586).
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// What happened on the way (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// A region's word that it has done nothing and that somebody else should.
pub const UNSERVED: HeaderName = HeaderName::from_static("edge-unserved");
/// A key that makes repetition harmless.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The client's certificate (RFC 9440 §2.2).
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// What the client sent with it (RFC 9440 §2.3).
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// By which scheme the client came, as proxies say it.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Longest request id taken over from a client, octets.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What is said about the requests of one client for one hostname to every region they are tried at. It is made once and
/// serves as long as client and hostname stay the same.
#[derive(Debug)]
pub struct Introduction {
    client_ip: HeaderValue,
    x_forwarded_for: HeaderValue,
    x_forwarded_proto: HeaderValue,
    x_forwarded_host: HeaderValue,
    forwarded: HeaderValue,
    site: HeaderValue,
    zone: HeaderValue,
    via: HeaderValue,
    certificate: Option<ClientCertificate>,
    private_link: Option<HeaderValue>,
}

/// Fields that a request gains on its way, at most: room for them is made at once.
const FIELDS_GAINED: usize = 17;

impl Introduction {
    /// Introduces `asker`, whose connection came as `arrival` says, in this version of HTTP, to the regions of `hostname`.
    /// We stand at `site`; `zone` is our id in `CDN-Loop`.
    #[must_use]
    pub fn new(
        hostname: &Hostname,
        asker: &Asker,
        arrival: &Arrival,
        version: Version,
        site: &Label,
        zone: &Hostname,
    ) -> Self {
        let mut text = asker.address.to_string();
        let client_ip = value(&text);
        asker.proxies.iter().for_each(|proxy| {
            let _ = write!(text, ", {proxy}");
        });
        let proto = if arrival.is_https { "https" } else { "http" };
        Self {
            client_ip,
            x_forwarded_for: value(&text),
            x_forwarded_proto: HeaderValue::from_static(proto),
            x_forwarded_host: value(hostname.as_str()),
            forwarded: forwarded(hostname, asker, proto),
            site: value(site.as_str()),
            zone: value(zone.as_str()),
            via: via(version, site),
            certificate: arrival.client_certificate().cloned(),
            private_link: arrival.link.as_ref().map(|link| value(&link.to_string())),
        }
    }
}

/// Makes of a client's headers those for a region (RFC 9110 §7.6). `Host` and the attempt's number are not among them.
/// `upgrades`: the connection becomes a WebSocket, if the region agrees.
#[must_use]
pub fn toward_region(
    given: &HeaderMap,
    introduction: &Introduction,
    request_id: &HeaderValue,
    upgrades: bool,
) -> HeaderMap {
    let named = named_by_connection(given);
    let mut headers = HeaderMap::with_capacity(given.len() + FIELDS_GAINED);
    for (name, value) in given {
        if !is_not_for_regions(name.as_str()) && !named.contains(name) {
            headers.append(name, value.clone());
        }
    }
    if has_token(given, &header::TE, "trailers") {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if upgrades {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    headers.insert(CLIENT_IP, introduction.client_ip.clone());
    headers.insert(X_FORWARDED_FOR, introduction.x_forwarded_for.clone());
    headers.insert(X_FORWARDED_PROTO, introduction.x_forwarded_proto.clone());
    headers.insert(X_FORWARDED_HOST, introduction.x_forwarded_host.clone());
    headers.insert(header::FORWARDED, introduction.forwarded.clone());
    if let Some(ClientCertificate { certificate, chain }) = &introduction.certificate {
        headers.insert(CLIENT_CERT, certificate.clone());
        if let Some(chain) = chain {
            headers.insert(CLIENT_CERT_CHAIN, chain.clone());
        }
    }
    if let Some(link) = &introduction.private_link {
        headers.insert(PRIVATE_LINK, link.clone());
    }
    headers.insert(SITE, introduction.site.clone());
    headers.insert(REQUEST_ID, request_id.clone());
    append_to_list(&mut headers, CDN_LOOP, &introduction.zone);
    append_to_list(&mut headers, header::VIA, &introduction.via);
    headers
}

/// The chain as RFC 7239 writes it.
fn forwarded(hostname: &Hostname, asker: &Asker, proto: &str) -> HeaderValue {
    let mut text = String::with_capacity(128);
    for (at, hop) in std::iter::once(&asker.address).chain(&asker.proxies).enumerate() {
        text.push_str(if at == 0 { "for=" } else { ", for=" });
        let _ = if hop.is_ipv6() { write!(text, "\"[{hop}]\"") } else { write!(text, "{hop}") };
    }
    let _ = write!(text, ";host={hostname};proto={proto}");
    value(&text)
}

/// What is said about an answer to the client; it serves as long as region and status stay the same.
#[derive(Debug)]
pub struct Farewell {
    via: HeaderValue,
    happened: HeaderValue,
    region: HeaderValue,
}

impl Farewell {
    /// From `region`, which spoke this version of HTTP; `happened`: our members of `Proxy-Status`, in order.
    #[must_use]
    pub fn new(version: Version, site: &Label, region: &Label, happened: &str) -> Self {
        Self { via: via(version, site), happened: value(happened), region: value(region.as_str()) }
    }
}

/// Makes of a region's headers those for the client.
pub fn toward_client(headers: &mut HeaderMap, farewell: &Farewell) {
    drop_fields(headers, is_not_for_clients);
    headers.reserve(FIELDS_GAINED_BACK);
    append_to_list(headers, header::VIA, &farewell.via);
    append_to_list(headers, PROXY_STATUS, &farewell.happened);
    headers.insert(REGION, farewell.region.clone());
}

/// Fields that an answer gains on its way, at most.
const FIELDS_GAINED_BACK: usize = 4;

/// Takes from the trailers of a request what a header of the same name could not say either: some regions read both as
/// one (RFC 9110 §6.5.1).
pub fn trailers_toward_region(trailers: &mut HeaderMap) {
    drop_fields(trailers, |name| {
        is_not_for_regions(name) || matches!(name, "via" | "cdn-loop" | "x-request-id" | "content-length")
    });
}

/// The same for the trailers of an answer.
pub fn trailers_toward_client(trailers: &mut HeaderMap) {
    drop_fields(trailers, |name| is_not_for_clients(name) || name == "content-length");
}

/// The members of `Proxy-Status` that tell of failed attempts and of the answer (RFC 9209 §2).
#[must_use]
pub fn happened(site: &Label, failed: &[Failed], answered: Option<(&Label, u16)>) -> String {
    let mut text = String::with_capacity(48 * (failed.len() + 1));
    let begin = |text: &mut String, region: &Label| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&member(site, region));
    };
    for Failed { region, fault, reason, .. } in failed {
        begin(&mut text, region);
        match fault {
            Fault::Unserved => match reason {
                Some(reason) => {
                    let _ =
                        write!(text, "; details=\"unserved: {}\"", reason.replace('\\', "\\\\").replace('"', "\\\""));
                }
                None => text.push_str("; details=\"unserved\""),
            },
            Fault::Status(status) => {
                let _ = write!(text, "; received-status={status}");
            }
            _ => {
                let _ = write!(text, "; error={}", error_token(*fault));
            }
        }
    }
    if let Some((region, status)) = answered {
        begin(&mut text, region);
        let _ = write!(text, "; received-status={status}");
    }
    text
}

/// The beginning of one member of `Proxy-Status`: who speaks, and of whom.
#[must_use]
pub fn member(site: &Label, region: &Label) -> String {
    let is_token = site.as_str().starts_with(|first: char| first.is_ascii_alphabetic());
    let quote = if is_token { "" } else { "\"" };
    format!("{quote}{site}{quote}; next-hop=\"{region}\"")
}

/// The error type of RFC 9209 §2.3 that means the same.
#[must_use]
pub fn error_token(fault: Fault) -> &'static str {
    match fault {
        Fault::Local => "proxy_internal_error",
        Fault::Unresolved => "dns_error",
        Fault::Refused => "connection_refused",
        Fault::Unreachable => "destination_ip_unroutable",
        Fault::ConnectTimeout => "connection_timeout",
        Fault::Tls => "tls_protocol_error",
        Fault::Reset => "connection_terminated",
        Fault::Cut => "http_response_incomplete",
        Fault::Protocol => "http_protocol_error",
        Fault::Silent | Fault::Late | Fault::Stalled => "http_response_timeout",
        Fault::Unsuited => "proxy_configuration_error",
        Fault::Status(_) | Fault::Body | Fault::Unserved => "destination_unavailable",
    }
}

/// A region's word, if it gives one, that it has not served a request.
#[must_use]
pub fn unserved(headers: &HeaderMap) -> Option<Unserved> {
    Unserved::of(headers.get_all(UNSERVED).iter().map(HeaderValue::as_bytes))
}

/// Whether an official SDK says that it has asked this before. What is no number says nothing.
#[must_use]
pub fn is_another_try(retry_count: &[u8]) -> bool {
    let number = std::str::from_utf8(retry_count).ok().and_then(|text| text.parse::<u32>().ok());
    number.is_some_and(|number| number > 0)
}

/// The client's id for its request, if it gave one that can be used.
#[must_use]
pub fn given_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get(REQUEST_ID)?;
    let is_good =
        (1..=REQUEST_ID_BYTES_MAX).contains(&given.len()) && given.as_bytes().iter().all(u8::is_ascii_graphic);
    is_good.then(|| given.clone())
}

/// Whether the request has been through us already (RFC 8586 §3). Parameters are not looked at, nor quotes: what we
/// once appended is found whatever others wrote before it.
#[must_use]
pub fn is_loop(headers: &HeaderMap, zone: &Hostname) -> bool {
    let zone = zone.as_str().as_bytes();
    headers.get_all(CDN_LOOP).iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|element| {
            let id = element.split(|byte| *byte == b';').next().unwrap_or_default();
            id.trim_ascii().eq_ignore_ascii_case(zone)
        })
    })
}

/// Whether a client wants its connection (RFC 6455 §4.1) or its stream (RFC 8441 §4) to become a WebSocket.
#[must_use]
pub fn wants_websocket(parts: &Parts) -> bool {
    let headers = &parts.headers;
    match parts.version {
        Version::HTTP_2 => is_connect_to_websocket(parts),
        Version::HTTP_11 => {
            parts.method == Method::GET
                && headers.contains_key(header::UPGRADE)
                && has_token(headers, &header::UPGRADE, "websocket")
                && has_token(headers, &header::CONNECTION, "upgrade")
        }
        _ => false,
    }
}

/// Whether a request is the one CONNECT that is carried.
#[must_use]
pub fn is_connect_to_websocket(parts: &Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    parts.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_ref() == b"websocket")
}

/// Fields that are never handed to a region as they come: hop-by-hop ones (RFC 9110 §7.6.1), those that only we may say,
/// and those that would make us or the region believe something that a stranger wrote.
pub(super) fn is_not_for_regions(name: &str) -> bool {
    is_hop_by_hop(name)
        || matches!(
            name,
            "host"
                | "expect"
                | "forwarded"
                | "x-real-ip"
                | "client-cert"
                | "client-cert-chain"
                | "early-data"
                | "proxy-status"
                | "proxy-authorization"
        )
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-anyfront-")
        // Gateways that speak CGI or WSGI read `_` as `-`.
        || (name.contains('_') && is_not_for_regions(&name.replace('_', "-")))
}

/// Fields of a region's answer that end here: hop-by-hop ones, those that only we may say, what is meant for us, and
/// `Alt-Svc`, which would send the client past us (RFC 7838).
pub(super) fn is_not_for_clients(name: &str) -> bool {
    is_hop_by_hop(name)
        || matches!(name, "alt-svc" | "edge-unserved" | "edge-load" | "edge-health")
        || name.starts_with("x-anyfront-")
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Fields that `Connection` may not name: taking them away would change who asks for what, not how it travels.
pub(super) fn is_protected(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "cookie"
            | "set-cookie"
            | "host"
            | "origin"
            | "via"
            | "trailer"
            | "x-request-id"
            | "traceparent"
            | "tracestate"
            | "cdn-loop"
            | "idempotency-key"
            | "x-api-key"
            | "cache-control"
            | "location"
            | "www-authenticate"
    ) || [
        "content-",
        "x-forwarded-",
        "x-anyfront-",
        "mcp-",
        "x-tfy-",
        "x-stainless-",
        "openai-",
        "anthropic-",
        "sec-",
        "access-control-",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// What `Connection` names and may name (RFC 9110 §7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter(|line| !matches!(line.as_bytes(), b"keep-alive" | b"close" | b"Keep-Alive"))
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !is_protected(name.as_str()))
        .collect()
}

/// Drops what `is_dropped` names and what `Connection` names.
fn drop_fields(headers: &mut HeaderMap, is_dropped: fn(&str) -> bool) {
    let named = named_by_connection(headers);
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    for name in named.iter().chain(&dropped) {
        headers.remove(name);
    }
}

pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn via(version: Version, site: &Label) -> HeaderValue {
    let number = match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    value(&format!("{number} {site}"))
}

/// One line with all elements, ours last.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(free) => {
            free.insert(element.clone());
        }
        Entry::Occupied(mut given) => {
            let lines = given.iter().map(HeaderValue::as_bytes).chain([element.as_bytes()]);
            let all = lines.collect::<Vec<_>>().join(b", ".as_slice());
            given.insert(HeaderValue::from_bytes(&all).expect("made of values"));
        }
    }
}

/// A value made of names, addresses and our own words.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("names and addresses are visible characters")
}

#[cfg(test)]
mod tests;
