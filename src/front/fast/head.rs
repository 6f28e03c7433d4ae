//! Heads as bytes: which requests and answers are simple, and what is written in their place.
//!
//! Simple means: nothing in it has to be understood that [`headers`](crate::front::headers) would have to rewrite in the
//! middle of a line. What is not simple goes the whole way.

use crate::counters::records::DecisionId;
use crate::front::headers::{is_another_try, is_not_for_clients, is_not_for_regions, is_protected};
use crate::front::lifetime::STAYS;
use crate::front::patience;
use crate::front::unserved::{Hint, Unserved};
use crate::limits::{ANSWER_HEADER_FIELDS_MAX, HEADER_FIELDS_MAX};
use crate::sse::names_events;
use http::Method;
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// Longest field name that means anything to us, octets; longer ones are passed on.
const NAME_BYTES_MAX: usize = 32;
/// Longest body taken on the fast path, octets: one that arrives with its head or shortly after.
pub const BODY_BYTES_MAX: u64 = 64 << 10;

/// A simple request.
#[derive(Debug)]
pub struct Asked {
    /// GET, HEAD or POST.
    pub method: Method,
    /// Octets of the head.
    pub head_bytes: usize,
    /// Octets of the body.
    pub body_bytes: usize,
    /// Path and query.
    pub target: (usize, usize),
    /// The host, as written.
    pub host: (usize, usize),
    /// The client's id for it.
    pub request_id: Option<(usize, usize)>,
    /// Whether it carries `Idempotency-Key`.
    pub has_idempotency_key: bool,
    /// The client's `Authorization` and `x-api-key`.
    pub credentials: [Option<(usize, usize)>; 2],
    /// What it says of its patience.
    pub patience: patience::Said,
    /// Whether the client wants the connection closed after it.
    pub closes: bool,
    /// The fields that are passed on, each a whole line.
    pub lines: Vec<(usize, usize)>,
}

/// What the first bytes of a connection are.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart where it is made: a box would cost every request an allocation"
)]
pub enum Look {
    /// Not all of a head yet.
    Partial,
    /// Something for the whole way.
    NotSimple,
    /// A simple request.
    Simple(Asked),
}

/// Where `part` stands in `whole`, which it is a part of.
fn place(whole: &[u8], part: &[u8]) -> (usize, usize) {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    (start, start + part.len())
}

/// Looks at the head at the beginning of `bytes`. `lines` is reused.
#[must_use]
pub fn look(bytes: &[u8], mut lines: Vec<(usize, usize)>) -> Look {
    let mut fields = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let head_bytes = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(head_bytes)) => head_bytes,
        Ok(Status::Partial) => return Look::Partial,
        Err(_) => return Look::NotSimple,
    };
    let method = match request.method {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        Some("POST") => Method::POST,
        _ => return Look::NotSimple,
    };
    let Some(target) = request.path.filter(|path| request.version == Some(1) && path.starts_with('/')) else {
        return Look::NotSimple;
    };
    lines.clear();
    let mut patience = patience::Said::default();
    let mut credentials = [None; 2];
    let (mut host, mut length, mut request_id, mut closes, mut has_idempotency_key) = (None, None, None, false, false);
    for field in request.headers.iter() {
        let mut name = [0; NAME_BYTES_MAX];
        match lower(field.name, &mut name) {
            "host" if host.is_none() => host = Some(place(bytes, field.value)),
            "connection" if field.value.eq_ignore_ascii_case(b"keep-alive") => {}
            "connection" if field.value.eq_ignore_ascii_case(b"close") => closes = true,
            "host" | "connection" | "expect" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "via"
            | "cdn-loop" | "mcp-session-id" => return Look::NotSimple,
            "content-length" => {
                let number = std::str::from_utf8(field.value).ok().and_then(|text| text.parse::<u64>().ok());
                match number.filter(|number| length.is_none() && *number <= BODY_BYTES_MAX) {
                    Some(number) => length = Some(number),
                    None => return Look::NotSimple,
                }
                lines.push(line(bytes, field));
            }
            "x-request-id" => {
                let is_good = (1..=128).contains(&field.value.len()) && field.value.iter().all(u8::is_ascii_graphic);
                if !is_good || request_id.is_some() {
                    return Look::NotSimple;
                }
                request_id = Some(place(bytes, field.value));
            }
            "x-stainless-retry-count" if is_another_try(field.value) => return Look::NotSimple,
            name if is_not_for_regions(name) => {}
            name => {
                note(name, bytes, field, &mut credentials, &mut patience);
                has_idempotency_key |= name == "idempotency-key" && !field.value.is_empty();
                lines.push(line(bytes, field));
            }
        }
    }
    let Some(host) = host else { return Look::NotSimple };
    Look::Simple(Asked {
        method,
        head_bytes,
        body_bytes: usize::try_from(length.unwrap_or(0)).expect("it is bounded"),
        target: place(bytes, target.as_bytes()),
        host,
        request_id,
        has_idempotency_key,
        credentials,
        patience,
        closes,
        lines,
    })
}

/// Notes what tells clients apart and what they say of their patience.
fn note(
    name: &str,
    bytes: &[u8],
    field: &Header<'_>,
    credentials: &mut [Option<(usize, usize)>; 2],
    patience: &mut patience::Said,
) {
    match name {
        "authorization" => credentials[0] = credentials[0].or_else(|| Some(place(bytes, field.value))),
        "x-api-key" => credentials[1] = credentials[1].or_else(|| Some(place(bytes, field.value))),
        name if name.starts_with("x-") => patience.hear(name, field.value),
        _ => {}
    }
}

/// A field's place from the first octet of its name to the last of its value.
fn line(bytes: &[u8], field: &Header<'_>) -> (usize, usize) {
    let (start, name_end) = place(bytes, field.name.as_bytes());
    // An empty value points nowhere in particular.
    let end = if field.value.is_empty() { name_end + 1 } else { place(bytes, field.value).1 };
    (start, end)
}

/// The name in lower case; one that is too long to mean anything to us is nobody's.
fn lower<'a>(name: &str, into: &'a mut [u8; NAME_BYTES_MAX]) -> &'a str {
    let prefix = name.len().min(NAME_BYTES_MAX);
    into[..prefix].copy_from_slice(&name.as_bytes()[..prefix]);
    into[..prefix].make_ascii_lowercase();
    std::str::from_utf8(&into[..prefix]).unwrap_or("")
}

/// How the end of an answer's body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// There is none, or it has so many octets.
    Length(u64),
    /// Its last chunk is empty.
    Chunked,
    /// The connection ends.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Octets of the head.
    pub head_bytes: usize,
    /// How the end of the body is known.
    pub extent: Extent,
    /// Whether the region keeps its connection.
    pub is_kept: bool,
    /// Whether the client is told that its connection ends.
    pub closes: bool,
    /// The region's word, if it gives one, that it has not served the request.
    pub unserved: Option<Unserved>,
    /// Whether it is a stream of events, readable as they are.
    pub is_event_stream: bool,
}

/// What the first bytes of an answer are.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Not all of a head yet.
    Partial,
    /// No HTTP, or HTTP that breaks its rules.
    Malformed,
    /// An answer that is not the last one (RFC 9110 §15.2): so many octets to be left out.
    Informational(usize),
    /// A head; what the client is to read was appended.
    Whole(Answered),
}

/// What is told about an answer besides what the region says.
#[derive(Clone, Copy)]
pub struct Remarks<'a> {
    /// Written before `received-status`: `Via` and the beginning of `Proxy-Status`.
    pub before_status: &'a [u8],
    /// Written after it: the rest.
    pub after_status: &'a [u8],
    /// The request's id, where the region gives none.
    pub request_id: &'a [u8],
    /// What the decision is called.
    pub decision: [u8; DecisionId::BYTES],
    /// The time, where the region gives none.
    pub date: &'a (dyn Fn() -> String + Sync),
    /// When to ask again, where a region wants that and does not say when, milliseconds.
    pub retry_after_ms: &'a (dyn Fn() -> u64 + Sync),
    /// Whether the connection to the client ends with this answer.
    pub closes: bool,
}

/// Reads the head at the beginning of `bytes` and appends to `out` what the client is to read in its place.
pub fn answer(bytes: &[u8], is_head: bool, remarks: &Remarks<'_>, out: &mut Vec<u8>) -> Read {
    let mut fields = [const { MaybeUninit::uninit() }; ANSWER_HEADER_FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
    let head_bytes = match parsed {
        Ok(Status::Complete(head_bytes)) => head_bytes,
        Ok(Status::Partial) => return Read::Partial,
        Err(_) => return Read::Malformed,
    };
    let (Some(status), Some(version)) = (response.code, response.version) else { return Read::Malformed };
    match status {
        // Nobody asked to switch protocols here.
        101 => return Read::Malformed,
        100..=199 => return Read::Informational(head_bytes),
        _ => {}
    }
    let began = out.len();
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(response.reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut said = Said { keeps: version == 1, ..Said::default() };
    said.pass_on(bytes, response.headers, out);
    // Two lengths are one too many: whoever wrote this may have meant something else than we read.
    if said.is_malformed || (said.is_chunked && said.length.is_some()) {
        out.truncate(began);
        return Read::Malformed;
    }
    let extent = match said.length {
        _ if is_head || matches!(status, 204 | 304) => Extent::Length(0),
        _ if said.is_chunked => Extent::Chunked,
        Some(length) => Extent::Length(length),
        None => Extent::UntilClose,
    };
    if said.is_chunked && status != 204 {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !said.has_date {
        field(out, b"date", (remarks.date)().as_bytes());
    }
    out.extend_from_slice(remarks.before_status);
    decimal(out, u64::from(status));
    out.extend_from_slice(remarks.after_status);
    field(out, b"x-anyfront-decision", &remarks.decision);
    if said.is_later() {
        field(out, b"x-should-retry", b"true");
        if !said.has_retry_after {
            let after_ms = (remarks.retry_after_ms)();
            field(out, b"retry-after-ms", after_ms.to_string().as_bytes());
            field(out, b"retry-after", after_ms.div_ceil(1_000).to_string().as_bytes());
        }
    }
    if !said.has_id {
        field(out, b"x-request-id", remarks.request_id);
    }
    let closes = remarks.closes || extent == Extent::UntilClose;
    out.extend_from_slice(if closes { b"connection: close\r\n" } else { STAYS });
    out.extend_from_slice(b"\r\n");
    let is_kept = said.keeps && !said.closes && extent != Extent::UntilClose;
    let is_event_stream = said.is_event_stream && !said.is_coded;
    let unserved = said.unserved;
    Read::Whole(Answered { status, head_bytes, extent, is_kept, closes, unserved, is_event_stream })
}

/// What the fields of an answer say.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    is_chunked: bool,
    is_malformed: bool,
    closes: bool,
    keeps: bool,
    has_date: bool,
    has_id: bool,
    has_retry_after: bool,
    unserved: Option<Unserved>,
    is_event_stream: bool,
    is_coded: bool,
}

impl Said {
    fn is_later(&self) -> bool {
        self.unserved.as_ref().is_some_and(|unserved| unserved.hint == Hint::Later)
    }

    /// Reads all `fields` of the head in `bytes` and appends those that go on.
    fn pass_on(&mut self, bytes: &[u8], fields: &[Header<'_>], out: &mut Vec<u8>) {
        let named = named_by_connection(fields);
        let unserved = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("edge-unserved"));
        self.unserved = Unserved::of(unserved.map(|field| field.value));
        for field in fields {
            let mut name = [0; NAME_BYTES_MAX];
            let name = lower(field.name, &mut name);
            let is_named =
                !is_protected(name) && named.iter().any(|named| named.eq_ignore_ascii_case(field.name.as_bytes()));
            if self.read(name, field.value) && !(is_not_for_clients(name) || is_named) {
                let (start, end) = line(bytes, field);
                out.extend_from_slice(&bytes[start..end]);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Takes one field in. Returns whether it may go on.
    fn read(&mut self, name: &str, value: &[u8]) -> bool {
        match name {
            "connection" => {
                let says = |word: &[u8]| {
                    value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
                };
                self.closes |= says(b"close");
                self.keeps |= says(b"keep-alive");
                return false;
            }
            "transfer-encoding" => {
                self.is_malformed |= self.is_chunked || !value.eq_ignore_ascii_case(b"chunked");
                self.is_chunked = true;
                return false;
            }
            "content-length" => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                let is_first = self.length.is_none();
                self.is_malformed |= number.is_none() || (!is_first && self.length != number);
                self.length = self.length.or(number);
                return is_first;
            }
            "x-should-retry" if self.is_later() => return false,
            "retry-after" | "retry-after-ms" => self.has_retry_after = true,
            "content-type" => self.is_event_stream = names_events(value),
            "content-encoding" => self.is_coded |= value != b"identity",
            "date" => self.has_date = true,
            "x-request-id" => self.has_id = true,
            _ => {}
        }
        true
    }
}

/// Names in `Connection`, besides those that speak of the connection itself (RFC 9110 §7.6.1).
fn named_by_connection<'a>(fields: &[Header<'a>]) -> Vec<&'a [u8]> {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"))
        .flat_map(|field| field.value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.eq_ignore_ascii_case(b"close") && !name.eq_ignore_ascii_case(b"keep-alive"))
        .collect()
}

/// Appends a field.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).expect("it is a digit");
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests;
