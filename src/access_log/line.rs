//! A request as one line of JSON. A machine.
//!
//! What strangers wrote is in it only as JSON strings, whose escapes leave no control character in the line; of what they
//! wrote there is the method, the path and an id of theirs. There is no query, no field of the request besides, and no
//! address: the client is its network.

use crate::counters::record::{Failed, Record};
use crate::geo::place::Country;
use crate::limits::{ACCESS_LOG_ATTEMPTS_MAX, ACCESS_LOG_LINE_BYTES_MAX};
use crate::moment::rfc3339;
use crate::names::{EndpointName, Hostname, Label};
use http::Version;
use serde::Serialize;
use std::time::Duration;

/// How a line begins that tells of lines that are missing.
#[derive(Serialize)]
struct Missing<'a> {
    time: String,
    node: &'a str,
    /// How many requests before this line have none: there was no room for them.
    dropped: u64,
    /// And for how many there was room, but they could not be written.
    failed: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    node: &'a str,
    decision: String,
    request_id: std::borrow::Cow<'a, str>,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    path_is_cut: bool,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wish: Option<&'static str>,
    residency: bool,
    generation: u64,
    attempt: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Attempt<'a>>,
    elapsed_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_ms: Option<f64>,
    bytes_up: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Attempt<'a> {
    region: &'a str,
    endpoint: &'a str,
    reason: &'static str,
    generation: u64,
    elapsed_ms: f64,
}

/// Appends the line of a request that ended at `wall`, since the Unix epoch, at `node`.
pub fn write(record: &Record, node: &str, wall: Duration, out: &mut Vec<u8>) {
    // No target has a fragment, but nobody keeps a client from sending one.
    let path = record.path.as_deref().unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
    let began = out.len();
    let mut line = line(record, node, wall, path);
    push(&line, out);
    let mut kept = path.len();
    while out.len() - began > ACCESS_LOG_LINE_BYTES_MAX && kept > 0 {
        out.truncate(began);
        // What is escaped takes up to six times its length, so that the excess alone may not be enough.
        kept /= 2;
        line.path = &path[..floor(path, kept)];
        line.path_is_cut = true;
        push(&line, out);
    }
}

/// Appends a line that says how many have none.
pub fn write_missing(dropped: u64, failed: u64, node: &str, wall: Duration, out: &mut Vec<u8>) {
    push(&Missing { time: rfc3339(wall), node, dropped, failed }, out);
}

fn push(line: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, line).expect("a line is plain JSON, and memory takes it");
    out.push(b'\n');
}

/// The nearest boundary between characters that is not above `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn line<'a>(record: &'a Record, node: &'a str, wall: Duration, path: &'a str) -> Line<'a> {
    let attempt = |failed: &'a Failed| Attempt {
        region: failed.region.as_str(),
        endpoint: failed.endpoint.as_str(),
        reason: failed.fault.as_str(),
        generation: failed.decided.generation,
        elapsed_ms: milliseconds(failed.elapsed),
    };
    Line {
        time: rfc3339(wall),
        node,
        decision: record.id.to_string(),
        request_id: String::from_utf8_lossy(record.request_id.as_bytes()),
        client: record.prefix.to_string(),
        country: record.client.as_ref().and_then(|client| client.place.country.as_ref()).map(Country::as_str),
        private_link: record.link.as_ref().map(ToString::to_string),
        hostname: record.hostname.as_ref().map(Hostname::as_str),
        class: record.class.as_deref(),
        method: record.method.as_str(),
        path,
        path_is_cut: false,
        protocol: match record.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        status: Some(record.status).filter(|status| *status > 0),
        outcome: record.outcome.as_str(),
        reason: record.reason,
        region: record.region.as_ref().map(Label::as_str),
        endpoint: record.endpoint.as_ref().map(EndpointName::as_str),
        wish: record.wish,
        residency: record.has_residency,
        generation: record.decided.generation,
        attempt: record.attempts,
        failed: record.failed.iter().take(ACCESS_LOG_ATTEMPTS_MAX).map(attempt).collect(),
        elapsed_ms: milliseconds(record.lasted),
        head_ms: record.elapsed.map(milliseconds),
        first_byte_ms: record.first_byte.map(milliseconds),
        added_ms: record.added().map(milliseconds),
        gap_ms: record.gap.map(milliseconds),
        bytes_up: record.octets_up,
        bytes: record.octets_down,
    }
}

/// With three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
