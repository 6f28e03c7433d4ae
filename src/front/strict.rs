//! What HTTP/2 can say and HTTP/1.1 must never hear: two parsers could read it differently (RFC 9113 §8.2.1, §8.3.1, §10.3).
//!
//! Most of it is refused with its stream while fields are decoded; this is the rest. Two things are malformed and cannot be
//! refused here, because decoding drops them before anybody sees them: the fragment of a path, and pseudo-fields among
//! trailers. Nothing of either reaches a region or a client.

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::request::Parts;
use http::{Method, Version};

/// Why a request of HTTP/2 is malformed, if it is.
#[must_use]
pub fn malformed(parts: &Parts) -> Option<&'static str> {
    if parts.version != Version::HTTP_2 {
        return None;
    }
    if !matches!(parts.uri.scheme_str(), Some("https" | "http")) {
        return Some("the request's scheme is neither https nor http");
    }
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let is_about_us = path == "*" && parts.method == Method::OPTIONS;
    if !(path.starts_with('/') || is_about_us) {
        return Some("the request's path does not begin with a slash");
    }
    if let Some(why) = malformed_fields(&parts.headers) {
        return Some(why);
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let is_number = |octets: &[u8]| !octets.is_empty() && octets.iter().all(u8::is_ascii_digit);
    match (lengths.next(), lengths.next()) {
        (Some(length), None) if is_number(length.as_bytes()) => None,
        (None, _) => None,
        _ => Some("the request's length is not one number"),
    }
}

/// Why fields of a request are malformed, be it in its head or in its trailers. In HTTP/1.1 neither can be said.
#[must_use]
pub fn malformed_fields(fields: &HeaderMap) -> Option<&'static str> {
    if has_bad_name(fields) {
        return Some("a field's name is no token");
    }
    let mut values = fields.values().map(http::HeaderValue::as_bytes);
    let has_edge = values.any(|value| is_blank(value.first()) || is_blank(value.last()));
    has_edge.then_some("a field's value begins or ends with a blank")
}

/// Whether a name is no token (RFC 9110 §5.1): decoding takes one octet for part of a name that no token has.
#[must_use]
pub fn has_bad_name(fields: &HeaderMap) -> bool {
    fields.keys().any(|name| name.as_str().contains('"'))
}

fn is_blank(octet: Option<&u8>) -> bool {
    matches!(octet, Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http::header::{HeaderName, HeaderValue};

    fn of(method: Method, uri: &str, fields: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().version(Version::HTTP_2).method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        malformed(&request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn only_what_reads_in_one_way_is_good() {
        let uri = "https://gw.test/x";
        assert_eq!(of(Method::GET, uri, &[("a", "b c"), ("d", ""), ("content-length", "0")]), None);
        assert_eq!(of(Method::OPTIONS, "https://gw.test/*", &[]), None);
        for fields in [
            &[("a", " b")][..],
            &[("a", "b\t")],
            &[("a", "\t")],
            &[("content-length", "2"), ("content-length", "2")],
            &[("content-length", "+2")],
            &[("content-length", "")],
        ] {
            assert!(of(Method::GET, uri, fields).is_some(), "{fields:?}");
        }
        assert!(of(Method::GET, "ftp://gw.test/x", &[]).is_some());
    }

    #[test]
    fn a_name_that_is_a_name_here_is_a_token_or_bad() {
        for octet in 0..=255_u8 {
            let Ok(name) = HeaderName::from_lowercase(&[octet]) else { continue };
            let is_token = octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
            let fields = HeaderMap::from_iter([(name, HeaderValue::from_static("v"))]);
            assert_eq!(has_bad_name(&fields), !is_token, "{octet}");
        }
    }
}
