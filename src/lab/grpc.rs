//! The gRPC part of a stand-in: what it says. Pure: a method and a message in, messages out. A message is whatever octets the
//! client sends, so that no client needs to know more than the method's name.

use bytes::Bytes;
use std::collections::VecDeque;

/// Octets before every message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Most messages of one answer: an hour and more at the usual pace.
const COUNT_MAX: u64 = 100_000;

/// What is answered to a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// One message.
    One(Bytes),
    /// One after the other, at the pace of tokens.
    Many(VecDeque<Bytes>),
    /// Nothing: a status and why.
    Wrong(u8, &'static str),
}

/// Answers a call of `method` of `service` with the messages in `body`.
pub(super) fn said(service: &str, method: &str, body: &[u8]) -> Said {
    const INVALID_ARGUMENT: u8 = 3;
    const UNIMPLEMENTED: u8 = 12;
    let Some(message) = only_message(body) else {
        return Said::Wrong(INVALID_ARGUMENT, "it should be one message, not compressed");
    };
    match (service, method) {
        // The number 1 in field 1: it serves.
        ("grpc.health.v1.Health", "Check") => Said::One(framed(&[1 << 3, 1])),
        ("anyfront.lab.Echo", "Say") => Said::One(framed(message)),
        ("anyfront.lab.Echo", "Count") => {
            let count = std::str::from_utf8(message).ok().and_then(|text| text.trim().parse::<u64>().ok());
            match count.filter(|count| *count <= COUNT_MAX) {
                Some(count) => Said::Many((1..=count).map(|number| framed(number.to_string().as_bytes())).collect()),
                None => Said::Wrong(INVALID_ARGUMENT, "it should be how far to count, at most 100000"),
            }
        }
        _ => Said::Wrong(UNIMPLEMENTED, "there is Say and Count, and the health service's Check"),
    }
}

fn only_message(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_at_checked(PREFIX_BYTES)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    (prefix[0] == 0 && u32::try_from(message.len()) == Ok(length)).then_some(message)
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    Bytes::from([&[0][..], &length, message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_echoes_counts_and_says_what_is_wrong() {
        let service = "anyfront.lab.Echo";
        assert_eq!(said(service, "Say", &framed(b"hi")), Said::One(framed(b"hi")));
        let counted = ["1", "2", "3"].map(|number| framed(number.as_bytes()));
        assert_eq!(said(service, "Count", &framed(b"3")), Said::Many(counted.into()));
        assert!(matches!(said(service, "Count", &framed(b"100001")), Said::Wrong(3, _)));
        assert!(matches!(said(service, "Say", b"hi"), Said::Wrong(3, _)));
        assert!(matches!(said(service, "Sing", &framed(b"")), Said::Wrong(12, _)));
        assert_eq!(said("grpc.health.v1.Health", "Check", &framed(b"")), Said::One(framed(&[8, 1])));
    }
}
