//! Whether a request is one that can be carried at all: which hostname it is for, and what is refused before anybody is
//! asked. A machine.

use super::framing::Violation;
use super::headers;
use super::reply::Complaint;
use crate::limits::{HEADER_FIELDS_MAX, HEADER_LINE_BYTES_MAX};
use crate::names::{Hostname, NameError};
use crate::snapshot::Snapshot;
use crate::topology::RouteIndex;
use http::request::Parts;
use http::{Method, StatusCode, Version, header};

/// Which hostname is asked for, and its route (RFC 9110 §7.2, RFC 9112 §3.2, RFC 9113 §8.3.1).
///
/// # Errors
/// What is wrong with it.
pub fn understand(snapshot: &Snapshot, parts: &Parts) -> Result<(RouteIndex, Hostname), Complaint> {
    let bad = |why: &str| Complaint::new(StatusCode::BAD_REQUEST, "bad_host", format!("the request's host {why}"));
    let mut lines = parts.headers.get_all(header::HOST).iter();
    let host = match (lines.next(), lines.next()) {
        (_, Some(_)) => return Err(bad("is given twice")),
        (Some(line), None) => Some(line.to_str().map_err(|_| bad("is no text"))?),
        (None, None) => None,
    };
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), None) => authority.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err(bad("is missing")),
        (Some(authority), Some(host)) => {
            if !authority.as_str().eq_ignore_ascii_case(host) {
                return Err(bad("is given twice, and differently"));
            }
            host
        }
    };
    let routes = &snapshot.topology.route_by_hostname;
    // As it is mostly written: lower case, no final dot.
    let bare = match authority.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => authority,
    };
    if let Some((hostname, route)) = routes.get_key_value(bare) {
        return Ok((*route, hostname.clone()));
    }
    let unknown = |what: &str| {
        Complaint::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", format!("{what} is not served here"))
    };
    let hostname = match Hostname::from_authority(authority) {
        Ok(hostname) => hostname,
        Err(NameError::Address) => return Err(unknown("an address")),
        Err(error) => return Err(bad(&error.to_string())),
    };
    let route = routes.get(&hostname).ok_or_else(|| unknown("this hostname"))?;
    Ok((*route, hostname))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether the request may be carried at all.
///
/// # Errors
/// Why not.
pub fn admit(snapshot: &Snapshot, parts: &Parts) -> Result<(), Complaint> {
    let is_refused = matches!(parts.method, Method::CONNECT | Method::TRACE);
    if is_refused && !headers::is_connect_to_websocket(parts) {
        let message = format!("{} is not carried", parts.method);
        return Err(Complaint::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    }
    if headers::is_loop(&parts.headers, &snapshot.topology.zone) {
        let message = "the request has been here before: it goes in a loop";
        return Err(Complaint::new(StatusCode::LOOP_DETECTED, "loop_detected", message));
    }
    let mut expectations = parts.headers.get_all(header::EXPECT).iter();
    if expectations.any(|expectation| !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let message = "only 100-continue can be expected";
        return Err(Complaint::closing(StatusCode::EXPECTATION_FAILED, "expectation_failed", message));
    }
    if is_too_large(parts) {
        return Err(complaint_about(Violation::TooLarge));
    }
    Ok(())
}

/// Whether a head is larger than may be, measured as it would be written in HTTP/1.1. There the guard has measured it.
#[must_use]
pub fn is_too_large(parts: &Parts) -> bool {
    if parts.version != Version::HTTP_2 {
        return false;
    }
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = parts.method.as_str().len() + " ".len() + target + " HTTP/1.1".len();
    // `:authority` stands for `Host`.
    let fields = parts.headers.len() + usize::from(parts.uri.authority().is_some());
    fields > HEADER_FIELDS_MAX
        || line > HEADER_LINE_BYTES_MAX
        || parts
            .headers
            .iter()
            .any(|(name, value)| name.as_str().len() + ": ".len() + value.len() > HEADER_LINE_BYTES_MAX)
}

/// What is said of a head that breaks the rules.
#[must_use]
pub fn complaint_about(violation: Violation) -> Complaint {
    let (status, code) = match violation {
        Violation::TooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
        _ => (StatusCode::BAD_REQUEST, "bad_request"),
    };
    Complaint::closing(status, code, violation.text())
}
