//! What a node itself serves, by hostname and path: hostnames that have no regions. Pure: a request's head in, an
//! answer out.
//!
//! Whose the pages are nobody here knows: `node` hands in the table, and replaces it whole when something changes.

use super::headers::REQUEST_ID;
use super::reply::Complaint;
use super::stream::Reply;
use crate::names::Hostname;
use crate::topology::Dialect;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use std::collections::HashMap;

/// One document at one path.
#[derive(Clone, Debug)]
pub struct Page {
    /// What it is.
    pub content_type: &'static str,
    /// How long it may be kept, as `Cache-Control` says it.
    pub cache_control: &'static str,
    /// Itself.
    pub body: Bytes,
    etag: HeaderValue,
}

impl Page {
    /// A page whose entity tag is made from what `same` holds: where that is the same, readers need not take it anew, from
    /// whichever node they have it. A weak one (RFC 9110 §8.8.1): the rest may differ.
    ///
    /// # Panics
    /// Never: hexadecimal digits are visible.
    #[must_use]
    pub fn new(content_type: &'static str, cache_control: &'static str, body: Bytes, same: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, same);
        let digits: String = digest.as_ref()[..16].iter().map(|octet| format!("{octet:02x}")).collect();
        let etag = HeaderValue::from_str(&format!("W/\"{digits}\"")).expect("hexadecimal digits are visible");
        Self { content_type, cache_control, body, etag }
    }
}

/// Pages by hostname and path.
#[derive(Debug, Default)]
pub struct Services {
    hostnames: HashMap<Hostname, HashMap<&'static str, Page>>,
}

impl Services {
    /// Has `page` served at `path` of `hostname`.
    pub fn put(&mut self, hostname: Hostname, path: &'static str, page: Page) {
        self.hostnames.entry(hostname).or_default().insert(path, page);
    }

    /// The answer to a request for `authority`, unless that is no hostname of ours. `roll` is chance.
    #[must_use]
    pub fn answer(
        &self,
        authority: &str,
        parts: &Parts,
        request_id: &HeaderValue,
        roll: u64,
    ) -> Option<Response<Reply>> {
        let hostname = Hostname::from_authority(authority).ok()?;
        let pages = self.hostnames.get(&hostname)?;
        let refuse = |status, code, text: &str| {
            Complaint::new(status, code, text).answer(Dialect::Plain, request_id, None, roll)
        };
        let Some(page) = pages.get(parts.uri.path()) else {
            return Some(refuse(StatusCode::NOT_FOUND, "not_found", "there is no such page here"));
        };
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let mut answer =
                refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page is asked with GET or HEAD");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(answer);
        }
        Some(page.answer(parts, request_id))
    }
}

impl Page {
    fn answer(&self, parts: &Parts, request_id: &HeaderValue) -> Response<Reply> {
        let is_known = self.is_known_to(parts);
        let mut answer = Response::new(Reply::own(if is_known { Bytes::new() } else { self.body.clone() }));
        let headers = answer.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REQUEST_ID, request_id.clone());
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        answer
    }

    /// `If-None-Match`: any of the listed tags, compared weakly (RFC 9110 §13.1.2).
    fn is_known_to(&self, parts: &Parts) -> bool {
        let bare = |tag: &'_ [u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
        let own = bare(self.etag.as_bytes());
        parts.headers.get_all(header::IF_NONE_MATCH).iter().any(|line| {
            line.as_bytes()
                .split(|octet| *octet == b',')
                .map(<[u8]>::trim_ascii)
                .any(|tag| tag == b"*" || bare(tag) == own)
        })
    }
}
