//! gRPC's own health question: `grpc.health.v1.Health/Check`, asked by HTTP/2.
//!
//! The two messages are small enough to be written by hand: the question is field 1, a string; the answer is field 1, a
//! number, of which 1 means that the service serves. Everything else in an answer is skipped, as Protocol Buffers want it.

use super::check::Question;
use crate::health::Fault;
use crate::limits::PROBE_BODY_BYTES_MAX;
use crate::moment::Clock;
use crate::upstream::dial::Dialled;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::time::Duration;

/// What is asked.
const PATH: &str = "/grpc.health.v1.Health/Check";
/// Octets before every message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// The key of field 1 as octets with a length.
const STRING_1: u8 = 1 << 3 | 2;
/// The key of field 1 as a number.
const NUMBER_1: u64 = 1 << 3;
/// The service serves.
const SERVING: u64 = 1;

/// Asks whether `service` serves (empty: the endpoint as a whole), and says how long the answer took.
pub(super) async fn ask(asking: &Question, service: &str, clock: Clock) -> Result<Duration, Fault> {
    let dialled = asking.dial(asking.timeout()).await?;
    if !matches!(dialled, Dialled::Http2(..)) {
        return Err(Fault::Protocol);
    }
    let connected = clock.now();
    let mut fields = HeaderMap::new();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    let answer = asking.send(dialled, (Method::POST, PATH), fields, Bytes::from(question(service))).await?;
    if answer.status() != StatusCode::OK {
        return Err(Fault::Status(answer.status().as_u16()));
    }
    judge(answer).await?;
    Ok(clock.now().since(connected))
}

async fn judge(answer: Response<Incoming>) -> Result<(), Fault> {
    let (head, body) = answer.into_parts();
    let collected = Limited::new(body, PROBE_BODY_BYTES_MAX).collect().await.map_err(|_| Fault::Body)?;
    let said_ok = |fields: &HeaderMap| fields.get("grpc-status").is_some_and(|status| status == "0");
    let is_ok = collected.trailers().map_or_else(|| said_ok(&head.headers), said_ok);
    (is_ok && serves(&collected.to_bytes())).then_some(()).ok_or(Fault::Body)
}

/// The question, with what stands before a message.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(STRING_1);
        put_number(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, &message].concat()
}

/// Whether an answer's body is one message that says that the service serves.
fn serves(body: &[u8]) -> bool {
    let Some((prefix, mut message)) = body.split_at_checked(PREFIX_BYTES) else { return false };
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if prefix[0] != 0 || message.len() != length {
        return false;
    }
    let mut status = 0;
    while message.has_remaining() {
        let Some(key) = take_number(&mut message) else { return false };
        let passed = match key & 7 {
            0 => take_number(&mut message).map(|number| {
                if key == NUMBER_1 {
                    status = number;
                }
            }),
            1 => skip(&mut message, 8),
            2 => take_number(&mut message).and_then(|length| skip(&mut message, length)),
            5 => skip(&mut message, 4),
            _ => None,
        };
        if passed.is_none() {
            return false;
        }
    }
    status == SERVING
}

fn put_number(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// A number of seven bits an octet, the lowest first.
fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let octet = message.split_off_first()?;
        number |= u64::from(octet & 0x7F) << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn skip(message: &mut &[u8], count: u64) -> Option<()> {
    let count = usize::try_from(count).ok()?;
    *message = message.get(count..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_what_a_generated_client_would_send() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0A, 3, b'a', b'.', b'B']);
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0A, 0xAC, 2]);
    }

    #[test]
    fn only_one_whole_message_that_says_serving_passes() {
        for (body, passes) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], true),
            (&[0, 0, 0, 0, 2, 8, 2], false),
            (&[0, 0, 0, 0, 0], false),
            (&[], false),
            (&[0, 0, 0, 0, 3, 8, 1], false),
            (&[1, 0, 0, 0, 2, 8, 1], false),
            (&[0, 0, 0, 0, 4, 8, 2, 8, 1], true),
            (&[0, 0, 0, 0, 7, 0x12, 3, 8, 2, 8, 8, 1], true),
            (&[0, 0, 0, 0, 2, 8, 0x81], false),
            (&[0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], false),
            (&[0, 0, 0, 0, 4, 0x12, 200, 8, 1], false),
            (&[0, 0, 0, 0, 1, 3], false),
        ] {
            assert_eq!(serves(body), passes, "{body:?}");
        }
    }
}
