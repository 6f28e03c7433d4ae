//! What is special about gRPC over HTTP/2: which requests are calls, how long they may take, and how failures are told.
//! A machine.
//!
//! (PROTOCOL-HTTP2 and http-grpc-status-mapping in the gRPC documentation; statuses: `google.rpc.Code`.)

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use std::time::Duration;

/// What calls and their answers are.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
/// How the call ended.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Why, for people.
pub const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How long the caller waits.
pub const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// When to try again, milliseconds.
pub const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Most digits of a timeout.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// How a call ended that we had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody knows.
    Unknown = 2,
    /// The caller's time was up.
    DeadlineExceeded = 4,
    /// The caller may not.
    PermissionDenied = 7,
    /// There is nobody here who does this.
    Unimplemented = 12,
    /// Somebody broke the rules of the protocol.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// Who the caller is must be said.
    Unauthenticated = 16,
}

impl Status {
    /// What an HTTP status of our own means to a caller.
    ///
    /// A hostname that is not served here (421) is not implemented here: `UNAVAILABLE` would have callers try again, and no
    /// time makes it come true.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 417 | 431 | 508 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 421 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    fn value(self) -> HeaderValue {
        HeaderValue::from(self as u16)
    }
}

/// Whether a request is a call.
#[must_use]
pub fn is_call(parts: &Parts) -> bool {
    parts.method == Method::POST && parts.version == Version::HTTP_2 && speaks(&parts.headers)
}

/// Whether a message is gRPC: `application/grpc`, with or without a format. `application/grpc-web` is another protocol.
#[must_use]
pub fn speaks(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let name = CONTENT_TYPE;
    let name = name.as_bytes();
    kind.len() >= name.len()
        && kind[..name.len()].eq_ignore_ascii_case(name)
        && matches!(kind.get(name.len()), None | Some(b'+' | b';' | b' '))
}

/// How long the caller waits; `None`: for ever, or it said nonsense.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.as_bytes();
    let (unit, digits) = text.split_last()?;
    if !(1..=TIMEOUT_DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3_600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The same, as exactly as its digits allow, and never more.
#[must_use]
pub fn timeout_value(left: Duration) -> HeaderValue {
    const LIMIT: u128 = 10_u128.pow(TIMEOUT_DIGITS_MAX as u32);
    let nanoseconds = left.as_nanos().max(1);
    let units = [(1, 'n'), (1_000, 'u'), (1_000_000, 'm'), (1_000_000_000, 'S'), (60_000_000_000, 'M')];
    let found = units.into_iter().find(|(size, _)| nanoseconds / size < LIMIT);
    let (size, unit) = found.unwrap_or((3_600_000_000_000, 'H'));
    let count = (nanoseconds / size).min(LIMIT - 1);
    HeaderValue::from_str(&format!("{count}{unit}")).expect("digits are visible")
}

/// How a call ends that we have to end: the last fields of its answer, or the only ones.
#[must_use]
pub fn ending(status: Status, message: &str) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(8);
    fields.insert(STATUS, status.value());
    fields.insert(MESSAGE, encoded(message));
    fields
}

/// A message as its field has it: visible ASCII, the rest and `%` in percent-encoding.
fn encoded(message: &str) -> HeaderValue {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&text).expect("what is left is visible")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn timeouts_are_read_in_every_unit_and_nonsense_is_none() {
        for (text, meant) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("0S", Some(Duration::ZERO)),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1h", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            (" 1S", None),
            ("1 S", None),
        ] {
            assert_eq!(timeout(&with(TIMEOUT, text)), meant, "{text:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_left_is_never_more_than_there_is_and_has_eight_digits_at_most() {
        for (left, text) in [
            (Duration::ZERO, "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_millis(1_500), "1500000u"),
            (Duration::from_secs(600), "600000m"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(6_000_000_000), "1666666H"),
            (Duration::MAX, "99999999H"),
        ] {
            let value = timeout_value(left);
            assert_eq!(value, text);
            let read = timeout(&with(TIMEOUT, text)).expect("it is good");
            assert!(read <= left.max(Duration::from_nanos(1)), "{text}");
        }
    }

    #[test]
    fn grpc_web_and_http1_are_no_calls() {
        for (kind, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("Application/GRPC", true),
            ("application/grpc-web", false),
            ("application/grpc-web-text+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            assert_eq!(speaks(&with(header::CONTENT_TYPE, kind)), is_grpc, "{kind}");
            for (method, version, fits) in [
                (Method::POST, Version::HTTP_2, true),
                (Method::POST, Version::HTTP_11, false),
                (Method::GET, Version::HTTP_2, false),
            ] {
                let request = http::Request::builder().method(method).version(version).header("content-type", kind);
                let parts = request.body(()).expect("a request").into_parts().0;
                assert_eq!(is_call(&parts), is_grpc && fits, "{kind} {version:?}");
            }
        }
    }

    #[test]
    fn a_message_is_encoded_so_that_any_field_can_carry_it() {
        let fields = ending(Status::Unavailable, "50 % of Zürich\nis gone");
        assert_eq!(fields[STATUS], "14");
        assert_eq!(fields[MESSAGE], "50 %25 of Z%C3%BCrich%0Ais gone");
    }

    #[test]
    fn only_what_may_come_true_later_is_unavailable() {
        for (status, meant) in [
            (400, Status::Internal),
            (408, Status::Unknown),
            (421, Status::Unimplemented),
            (431, Status::Internal),
            (502, Status::Unavailable),
            (503, Status::Unavailable),
            (504, Status::Unavailable),
            (508, Status::Internal),
        ] {
            assert_eq!(Status::of(StatusCode::from_u16(status).expect("a status")), meant, "{status}");
        }
    }
}
