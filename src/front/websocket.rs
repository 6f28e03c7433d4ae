//! Follows WebSocket frames as they pass (RFC 6455 §5.2): where one ends, and whether a Close was among them. A machine.
//!
//! It reads heads only and keeps no payload. It refuses nothing and bounds nothing: what the two ends say to each other is
//! theirs. All it is for is to know when a word of our own may be put between theirs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Longest head of a frame, octets: two, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;
/// The opcode of Close (RFC 6455 §5.5.1).
const CLOSE: u8 = 0x8;
/// In the first octet: the frame is the last of its message.
const FINAL: u8 = 0x80;
/// In the second octet: a mask follows.
const MASKED: u8 = 0x80;

/// The frames of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// What has come of the next head.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// What is still to come of the payload, octets.
    payload_bytes: u64,
    is_close: bool,
    has_closed: bool,
}

impl Frames {
    /// Follows `bytes` to the end of the frame that they begin with, and no further. Returns how many belong to it: all,
    /// if it does not end here.
    pub fn step(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            if self.payload_bytes > 0 {
                let here = bytes.len() - at;
                let passed = usize::try_from(self.payload_bytes).unwrap_or(usize::MAX).min(here);
                self.payload_bytes -= passed as u64;
                if self.payload_bytes == 0 {
                    self.end();
                }
                return at + passed;
            }
            self.head[self.head_bytes] = *byte;
            self.head_bytes += 1;
            if self.head_bytes == self.head_bytes_needed() {
                self.begin();
                if self.payload_bytes == 0 {
                    self.end();
                    return at + 1;
                }
            }
        }
        bytes.len()
    }

    /// Follows all of `bytes`.
    pub fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.step(rest)..];
        }
    }

    /// Whether the last frame has ended and the next has not begun.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.head_bytes == 0 && self.payload_bytes == 0
    }

    /// Whether a whole Close has passed: nothing may follow it in this direction (RFC 6455 §5.5.1).
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.has_closed
    }

    fn head_bytes_needed(&self) -> usize {
        if self.head_bytes < 2 {
            return 2;
        }
        let length = match self.head[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & MASKED == 0 { 0 } else { 4 }
    }

    /// The head is whole.
    fn begin(&mut self) {
        let head = &self.head;
        self.payload_bytes = match head[1] & !MASKED {
            126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
            127 => u64::from_be_bytes([head[2], head[3], head[4], head[5], head[6], head[7], head[8], head[9]]),
            short => u64::from(short),
        };
        self.is_close = head[0] & 0x0F == CLOSE;
        self.head_bytes = 0;
    }

    fn end(&mut self) {
        self.has_closed |= self.is_close;
    }
}

/// Why we close a WebSocket that others opened (RFC 6455 §7.4.1 and its registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// 1001: nothing has passed for too long.
    Idle,
    /// 1001: the node stops, or an operator has taken the endpoint away.
    GoingAway,
    /// 1014: the region is gone.
    RegionLost,
}

impl Farewell {
    fn words(self) -> (u16, &'static str) {
        match self {
            Self::Idle => (1_001, "idle for too long"),
            Self::GoingAway => (1_001, "going away: connect again"),
            Self::RegionLost => (1_014, "the region was lost: connect again"),
        }
    }

    /// The Close that says it; `mask`: as a client must (RFC 6455 §5.3).
    #[must_use]
    pub fn frame(self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let (code, reason) = self.words();
        let payload: Vec<u8> = code.to_be_bytes().into_iter().chain(reason.bytes()).collect();
        let length = u8::try_from(payload.len()).expect("our reasons are short");
        match mask {
            None => [&[FINAL | CLOSE, length][..], &payload].concat(),
            Some(mask) => {
                let masked: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
                [&[FINAL | CLOSE, MASKED | length][..], &mask, &masked].concat()
            }
        }
    }
}

/// A `Sec-WebSocket-Key` out of 128 bits of chance (RFC 6455 §4.1), for a client that needs none itself.
#[must_use]
pub fn key(chance: [u64; 2]) -> HeaderValue {
    let octets = chance.map(u64::to_be_bytes).concat();
    HeaderValue::from_str(&STANDARD.encode(octets)).expect("base64 is visible")
}

/// The `Sec-WebSocket-Accept` that answers a key (RFC 6455 §4.2.2).
#[must_use]
pub fn accept(key: &HeaderValue) -> HeaderValue {
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64 is visible")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of every shape of head, with what each is.
    fn frames() -> Vec<Vec<u8>> {
        let masked = |head: &[u8], payload: usize| [head, &[1, 2, 3, 4], &vec![0x88; payload]].concat();
        let plain = |head: &[u8], payload: usize| [head, &vec![0x88; payload]].concat();
        vec![
            plain(&[0x81, 5], 5),
            plain(&[0x02, 0], 0),
            masked(&[0x80, 0x80], 0),
            masked(&[0x89, 0xFD], 125),
            plain(&[0x82, 126, 1, 0], 256),
            masked(&[0x82, 0xFE, 0, 3], 3),
            plain(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1], 65_537),
            masked(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 7], 7),
        ]
    }

    #[test]
    fn every_boundary_is_found_however_the_octets_come() {
        let all = frames().concat();
        let mut ends = Vec::new();
        frames().iter().fold(0, |at, frame| {
            ends.push(at + frame.len());
            at + frame.len()
        });
        for piece in [1, 2, 3, 7, 250, all.len()] {
            let (mut follower, mut at, mut found) = (Frames::default(), 0, Vec::new());
            for octets in all.chunks(piece) {
                let mut rest = octets;
                while !rest.is_empty() {
                    let passed = follower.step(rest);
                    at += passed;
                    rest = &rest[passed..];
                    if follower.is_between_frames() {
                        found.push(at);
                    }
                }
            }
            assert_eq!(found, ends, "in pieces of {piece}");
            assert!(!follower.has_closed(), "0x88 was only payload");
        }
    }

    #[test]
    fn a_close_counts_when_all_of_it_has_passed() {
        for mask in [None, Some([9, 8, 7, 6])] {
            let close = Farewell::RegionLost.frame(mask);
            let mut follower = Frames::default();
            follower.follow(&close[..close.len() - 1]);
            assert!(!follower.has_closed() && !follower.is_between_frames());
            follower.follow(&close[close.len() - 1..]);
            assert!(follower.has_closed() && follower.is_between_frames());
        }
        let mut follower = Frames::default();
        follower.follow(&[0x88, 0]);
        assert!(follower.has_closed(), "a Close may say nothing");
    }

    #[test]
    fn a_farewell_says_its_code_under_any_mask() {
        let plain = Farewell::GoingAway.frame(None);
        assert_eq!((plain[0], u16::from_be_bytes([plain[2], plain[3]])), (0x88, 1_001));
        let masked = Farewell::GoingAway.frame(Some([1, 2, 3, 4]));
        assert_eq!(masked[1], plain[1] | MASKED);
        assert_eq!([masked[6] ^ 1, masked[7] ^ 2], [plain[2], plain[3]]);
        for farewell in [Farewell::Idle, Farewell::GoingAway, Farewell::RegionLost] {
            assert!(farewell.frame(None).len() <= 2 + 125, "control frames are short");
        }
    }

    #[test]
    fn keys_are_sixteen_octets_in_base64_and_are_accepted_as_the_rfc_says() {
        let value = key([0x7468_6520_7361_6D70, 0x6C65_206E_6F6E_6365]);
        assert_eq!(value, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&value), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
