//! What is changed in headers on the way through: hop-by-hop fields, who asked, loops, what happened on the way.

use super::client::Asker;
use crate::health::Fault;
use crate::names::{Hostname, Label};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};
use std::fmt::Write;

/// Which region answered.
pub const REGION: HeaderName = HeaderName::from_static("x-anyfront-region");
/// At which site we stand.
pub const SITE: HeaderName = HeaderName::from_static("x-anyfront-site");
/// Which attempt it is, from 1.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-anyfront-attempt");
/// The client's address; a region may believe it.
pub const CLIENT_IP: HeaderName = HeaderName::from_static("x-anyfront-client-ip");
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

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Longest request id taken over from a client, octets.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What is said about a request to every region it is tried at.
#[derive(Clone, Copy, Debug)]
pub struct Introduction<'a> {
    /// For which hostname.
    pub hostname: &'a Hostname,
    /// By whom.
    pub asker: &'a Asker,
    /// Whether the client came by TLS.
    pub is_https: bool,
    /// In which version of HTTP.
    pub version: Version,
    /// Where we stand.
    pub site: &'a Label,
    /// Our id in `CDN-Loop`.
    pub zone: &'a Hostname,
    /// The request's id.
    pub request_id: &'a HeaderValue,
    /// Whether the connection becomes a WebSocket, if the region agrees.
    pub is_websocket: bool,
}

/// Makes of a client's headers those for a region (RFC 9110 §7.6). `Host` and the attempt's number are not among them.
pub fn toward_region(headers: &mut HeaderMap, introduction: &Introduction<'_>) {
    let trailers_wanted = has_token(headers, &header::TE, "trailers");
    drop_fields(headers, is_not_for_regions);
    if trailers_wanted {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if introduction.is_websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let asker = introduction.asker;
    let mut text = String::with_capacity(96);
    let _ = write!(text, "{}", asker.address);
    headers.insert(CLIENT_IP, value(&text));
    asker.proxies.iter().for_each(|proxy| {
        let _ = write!(text, ", {proxy}");
    });
    headers.insert(X_FORWARDED_FOR, value(&text));
    let proto = if introduction.is_https { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_HOST, value(introduction.hostname.as_str()));
    headers.insert(header::FORWARDED, forwarded(introduction, proto));
    headers.insert(SITE, value(introduction.site.as_str()));
    headers.insert(REQUEST_ID, introduction.request_id.clone());
    let zone = introduction.zone.as_str();
    append_to_list(headers, &CDN_LOOP, zone);
    append_via(headers, introduction.version, introduction.site);
}

/// The chain as RFC 7239 writes it.
fn forwarded(introduction: &Introduction<'_>, proto: &str) -> HeaderValue {
    let mut text = String::with_capacity(128);
    let asker = introduction.asker;
    for (at, hop) in std::iter::once(&asker.address).chain(&asker.proxies).enumerate() {
        text.push_str(if at == 0 { "for=" } else { ", for=" });
        let _ = if hop.is_ipv6() { write!(text, "\"[{hop}]\"") } else { write!(text, "{hop}") };
    }
    let _ = write!(text, ";host={};proto={proto}", introduction.hostname);
    value(&text)
}

/// Makes of a region's headers those for the client. `happened`: our members of `Proxy-Status`, in order.
pub fn toward_client(headers: &mut HeaderMap, version: Version, site: &Label, region: &Label, happened: &str) {
    drop_fields(headers, is_not_for_clients);
    append_via(headers, version, site);
    append_to_list(headers, &PROXY_STATUS, happened);
    headers.insert(REGION, value(region.as_str()));
}

/// The members of `Proxy-Status` that tell of failed attempts and of the answer (RFC 9209 §2).
#[must_use]
pub fn happened(site: &Label, failed: &[(Label, Fault)], answered: Option<(&Label, u16)>) -> String {
    let mut text = String::with_capacity(48 * (failed.len() + 1));
    let begin = |text: &mut String, region: &Label| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&member(site, region));
    };
    for (region, fault) in failed {
        begin(&mut text, region);
        match fault {
            Fault::Unserved => text.push_str("; details=\"unserved\""),
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
        Fault::Silent => "http_response_timeout",
        Fault::Status(_) | Fault::Body | Fault::Unserved => "destination_unavailable",
    }
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

/// Whether a client wants its connection to become a WebSocket (RFC 6455 §4.1).
#[must_use]
pub fn wants_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    method == Method::GET
        && version == Version::HTTP_11
        && headers.contains_key(header::UPGRADE)
        && has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
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

/// Drops what `is_dropped` names and what `Connection` names (RFC 9110 §7.6.1).
fn drop_fields(headers: &mut HeaderMap, is_dropped: fn(&str) -> bool) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter(|line| !matches!(line.as_bytes(), b"keep-alive" | b"close" | b"Keep-Alive"))
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !is_protected(name.as_str()))
        .collect();
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    for name in named.iter().chain(&dropped) {
        headers.remove(name);
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn append_via(headers: &mut HeaderMap, version: Version, site: &Label) {
    let number = match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let mut text = String::with_capacity(16);
    let _ = write!(text, "{number} {site}");
    append_to_list(headers, &header::VIA, &text);
}

/// One line with all elements, ours last.
fn append_to_list(headers: &mut HeaderMap, name: &HeaderName, element: &str) {
    if !headers.contains_key(name) {
        headers.insert(name.clone(), value(element));
        return;
    }
    let mut all: Vec<u8> = Vec::new();
    for line in headers.get_all(name) {
        all.extend_from_slice(line.as_bytes());
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(element.as_bytes());
    headers.insert(name.clone(), HeaderValue::from_bytes(&all).expect("made of values"));
}

/// A value made of names, addresses and our own words.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("names and addresses are visible characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn sent(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = map(lines);
        let asker = Asker {
            address: "2001:db8::9".parse().expect("an address"),
            proxies: vec!["10.0.0.1".parse().expect("an address")],
        };
        let label = Label::parse("lon-1").expect("a label");
        let hostname = Hostname::parse("eu.gateway.example").expect("a name");
        let zone = Hostname::parse("gateway.example").expect("a name");
        toward_region(
            &mut headers,
            &Introduction {
                hostname: &hostname,
                asker: &asker,
                is_https: true,
                version: Version::HTTP_2,
                site: &label,
                zone: &zone,
                request_id: &HeaderValue::from_static("id-1"),
                is_websocket: false,
            },
        );
        headers
    }

    #[test]
    fn a_region_learns_who_asked_and_nothing_that_a_stranger_made_up() {
        let headers = sent(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "gopher"),
            ("forwarded", "for=6.6.6.6"),
            ("x-anyfront-client-ip", "6.6.6.6"),
            ("client-cert", ":AAAA:"),
            ("via", "1.1 friend"),
            ("cdn-loop", "other; a=\"b\""),
            ("cdn-loop", "third"),
            ("authorization", "Bearer x"),
        ]);
        for (name, expected) in [
            ("x-forwarded-for", "2001:db8::9, 10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "eu.gateway.example"),
            ("forwarded", "for=\"[2001:db8::9]\", for=10.0.0.1;host=eu.gateway.example;proto=https"),
            ("x-anyfront-client-ip", "2001:db8::9"),
            ("x-anyfront-site", "lon-1"),
            ("via", "1.1 friend, 2 lon-1"),
            ("cdn-loop", "other; a=\"b\", third, gateway.example"),
            ("authorization", "Bearer x"),
            ("x-request-id", "id-1"),
        ] {
            assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(expected), "{name}");
            assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
        }
        assert!(!headers.contains_key("client-cert"));
    }

    #[test]
    fn hop_by_hop_fields_end_here_and_connection_cannot_name_what_matters() {
        let headers = sent(&[
            ("connection", "close, X-Private, authorization, x-forwarded-for, Content-Length"),
            ("x-private", "1"),
            ("authorization", "Bearer x"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
        ]);
        for gone in ["connection", "x-private", "keep-alive", "upgrade", "http2-settings", "expect"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["authorization"], "Bearer x");
        assert_eq!(headers["content-length"], "3");
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["x-forwarded-for"], "2001:db8::9, 10.0.0.1");
    }

    #[test]
    fn a_client_hears_what_happened_and_nothing_that_was_meant_for_us() {
        let (site, orf, yyz) = ["lon-1", "orf", "yyz"].map(|name| Label::parse(name).expect("a label")).into();
        let happened = happened(&site, &[(orf, Fault::Refused)], Some((&yyz, 200)));
        let mut headers = map(&[
            ("proxy-status", "inner; received-status=200"),
            ("alt-svc", "h3=\":443\""),
            ("x-anyfront-region", "forged"),
            ("edge-load", "q=0.7"),
            ("connection", "close"),
            ("x-tfy-resolved-model", "m"),
        ]);
        toward_client(&mut headers, Version::HTTP_11, &site, &yyz, &happened);
        assert_eq!(
            headers["proxy-status"],
            "inner; received-status=200, lon-1; next-hop=\"orf\"; error=connection_refused, \
             lon-1; next-hop=\"yyz\"; received-status=200"
        );
        assert_eq!(headers["x-anyfront-region"], "yyz");
        assert_eq!(headers["x-tfy-resolved-model"], "m");
        for gone in ["alt-svc", "edge-load", "connection"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_loop_is_seen_whatever_stands_around_it() {
        let zone = Hostname::parse("gateway.example").expect("a name");
        for (line, expected) in [
            ("gateway.example", true),
            ("a, GATEWAY.example;x=1, b", true),
            ("a; q=\", gateway.example", true),
            ("notgateway.example", false),
            ("eu.gateway.example", false),
            ("", false),
        ] {
            assert_eq!(is_loop(&map(&[("cdn-loop", line)]), &zone), expected, "{line:?}");
        }
    }

    #[test]
    fn only_a_usable_request_id_is_taken_over() {
        let id = |text: &str| given_request_id(&map(&[("x-request-id", text)])).is_some();
        assert!(id("abc-123") && id(&"x".repeat(128)));
        assert!(!id("") && !id("a b") && !id(&"x".repeat(129)));
    }
}
