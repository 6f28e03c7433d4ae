//! What is logged, as octets: dnstap's messages, and the frames that carry them (Frame Streams). Pure.
//!
//! dnstap (<https://dnstap.info>) is a schema of protocol buffers, of which a logged message needs a dozen fields; they are
//! written here by hand, in the order of their numbers. A frame is a length and that many octets; a length of zero begins a
//! control frame instead, by which both sides agree on what the stream holds.

use crate::dns::asker::Transport;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a stream of ours holds, in the words of control frames.
pub const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
/// Most octets of a control frame, its type included.
pub const CONTROL_BYTES_MAX: usize = 512;
/// The only field of a control frame: what the stream holds.
const CONTENT_TYPE_FIELD: u32 = 1;

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question, as it came to an authority.
    Query,
    /// An authority's answer.
    Response,
}

/// A message that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a> {
    /// Which of the two.
    pub kind: Kind,
    /// How it came or went.
    pub transport: Transport,
    /// The resolver; port 0 is one that is not known.
    pub peer: SocketAddr,
    /// This node, with an unspecified address where it is not known which of its own was asked.
    pub local: SocketAddr,
    /// When, since the Unix epoch.
    pub wall: Duration,
    /// The whole message.
    pub message: &'a [u8],
}

/// Writes frames with messages.
#[derive(Debug)]
pub struct Encoder {
    /// What all have in common: who writes.
    begin: Vec<u8>,
}

impl Encoder {
    /// For frames that say they are from `identity`, which runs `version`.
    #[must_use]
    pub fn new(identity: &str, version: &str) -> Self {
        let mut begin = Vec::new();
        octets(1, identity.as_bytes(), &mut begin);
        octets(2, version.as_bytes(), &mut begin);
        Self { begin }
    }

    /// The frame with `logged`.
    ///
    /// # Panics
    /// Never: messages of DNS are shorter than frames may be.
    #[must_use]
    pub fn frame(&self, logged: &Logged<'_>) -> Vec<u8> {
        let mut fields = Vec::with_capacity(96);
        logged.fields(&mut fields);
        let mut frame = Vec::with_capacity(self.begin.len() + fields.len() + logged.message.len() + 24);
        frame.extend([0; 4]);
        frame.extend(&self.begin);
        let mut message_begin = Vec::with_capacity(8);
        varint(u64::from(logged.message_field() << 3 | LENGTH), &mut message_begin);
        varint(logged.message.len() as u64, &mut message_begin);
        varint(u64::from(14 << 3 | LENGTH), &mut frame);
        varint((fields.len() + message_begin.len() + logged.message.len()) as u64, &mut frame);
        frame.extend(fields);
        frame.extend(message_begin);
        frame.extend(logged.message);
        number(15, 1, &mut frame);
        let length = u32::try_from(frame.len() - 4).expect("a message and a few fields");
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }
}

impl Logged<'_> {
    fn message_field(&self) -> u32 {
        match self.kind {
            Kind::Query => 10,
            Kind::Response => 14,
        }
    }

    /// All fields that stand before the message itself.
    fn fields(&self, out: &mut Vec<u8>) {
        let (peer, local) = (self.peer.ip().to_canonical(), self.local.ip().to_canonical());
        number(1, if self.kind == Kind::Query { 1 } else { 2 }, out);
        number(2, if peer.is_ipv4() { 1 } else { 2 }, out);
        let transport = match self.transport {
            Transport::Udp => 1,
            Transport::Tcp => 2,
            Transport::Dot => 3,
            Transport::Doh => 4,
        };
        number(3, transport, out);
        address(4, peer, out);
        if !local.is_unspecified() && local.is_ipv4() == peer.is_ipv4() {
            address(5, local, out);
        }
        for (field, port) in [(6, self.peer.port()), (7, self.local.port())] {
            if port != 0 {
                number(field, u64::from(port), out);
            }
        }
        let (seconds, nanoseconds) = if self.kind == Kind::Query { (8, 9) } else { (12, 13) };
        number(seconds, self.wall.as_secs(), out);
        varint(u64::from(nanoseconds << 3 | FOUR), out);
        out.extend(self.wall.subsec_nanos().to_le_bytes());
    }
}

/// Types of fields: a number, octets with their length, four octets.
const VARINT: u32 = 0;
const LENGTH: u32 = 2;
const FOUR: u32 = 5;

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7F {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | VARINT), out);
    varint(value, out);
}

fn octets(field: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | LENGTH), out);
    varint(value.len() as u64, out);
    out.extend(value);
}

fn address(field: u32, address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => octets(field, &v4.octets(), out),
        IpAddr::V6(v6) => octets(field, &v6.octets(), out),
    }
}

/// What control frames say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The reader takes what was offered.
    Accept = 1,
    /// Messages follow.
    Start = 2,
    /// No more follow.
    Stop = 3,
    /// The writer would write.
    Ready = 4,
    /// The reader has read all.
    Finish = 5,
}

impl Control {
    /// The whole frame. All but [`Stop`](Self::Stop) and [`Finish`](Self::Finish) name what the stream holds.
    #[must_use]
    pub fn frame(self) -> Vec<u8> {
        let mut said = (self as u32).to_be_bytes().to_vec();
        if !matches!(self, Self::Stop | Self::Finish) {
            said.extend(CONTENT_TYPE_FIELD.to_be_bytes());
            said.extend((CONTENT_TYPE.len() as u32).to_be_bytes());
            said.extend(CONTENT_TYPE);
        }
        [&[0; 4], &(said.len() as u32).to_be_bytes()[..], &said].concat()
    }

    /// Whether `said`, a control frame without its lengths, is this one and not about another kind of stream.
    #[must_use]
    pub fn is_said(self, said: &[u8]) -> bool {
        let Some((kind, mut fields)) = said.split_first_chunk::<4>() else { return false };
        let mut holds = Vec::new();
        while let Some((head, rest)) = fields.split_first_chunk::<8>() {
            let [field, length] =
                [0, 4].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
            let value = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
            let Some((value, rest)) = value.filter(|_| field == CONTENT_TYPE_FIELD) else { return false };
            holds.push(value);
            fields = rest;
        }
        *kind == (self as u32).to_be_bytes() && fields.is_empty() && (holds.is_empty() || holds.contains(&CONTENT_TYPE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(kind: Kind, message: &[u8]) -> Logged<'_> {
        Logged {
            kind,
            transport: Transport::Tcp,
            peer: "192.0.2.1:5353".parse().expect("an address"),
            local: "198.51.100.53:53".parse().expect("an address"),
            wall: Duration::new(1_795_305_599, 7),
            message,
        }
    }

    #[test]
    fn a_question_is_written_field_by_field() {
        let frame = Encoder::new("fra", "anyfront").frame(&logged(Kind::Query, b"question"));
        let expected: Vec<u8> = [
            &[0, 0, 0, 63][..],
            b"\x0A\x03fra\x12\x08anyfront",
            b"\x72\x2C",
            b"\x08\x01\x10\x01\x18\x02",
            b"\x22\x04\xC0\x00\x02\x01\x2A\x04\xC6\x33\x64\x35",
            b"\x30\xE9\x29\x38\x35",
            b"\x40\xFF\xE0\x88\xD8\x06\x4D\x07\x00\x00\x00",
            b"\x52\x08question",
            b"\x78\x01",
        ]
        .concat();
        assert_eq!(frame, expected);
    }

    #[test]
    fn an_address_in_ipv6_spelling_is_the_one_it_spells_and_one_that_is_not_known_is_left_out() {
        let encoder = Encoder::new("", "");
        let mut mapped = logged(Kind::Response, b"");
        mapped.peer = "[::ffff:192.0.2.1]:5353".parse().expect("an address");
        mapped.local = "[::ffff:198.51.100.53]:53".parse().expect("an address");
        assert_eq!(encoder.frame(&mapped), encoder.frame(&logged(Kind::Response, b"")));
        mapped.local = "[::]:53".parse().expect("an address");
        assert_eq!(encoder.frame(&mapped).len() + 6, encoder.frame(&logged(Kind::Response, b"")).len());
    }

    #[test]
    fn the_longest_message_of_all_has_its_length() {
        let frame = Encoder::new("fra", "anyfront").frame(&logged(Kind::Response, &[7; 65_535]));
        assert_eq!(u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize, frame.len() - 4);
        assert!(frame.len() > 65_535 && frame.len() < 65_535 + 128);
    }

    #[test]
    fn control_frames_say_what_they_should_and_are_understood() {
        assert_eq!(Control::Stop.frame(), [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
        let ready = [&b"\0\0\0\0\0\0\0\x22\0\0\0\x04\0\0\0\x01\0\0\0\x16"[..], CONTENT_TYPE].concat();
        assert_eq!(Control::Ready.frame(), ready);
        for control in [Control::Accept, Control::Start, Control::Stop, Control::Ready, Control::Finish] {
            let said = &control.frame()[8..];
            assert!(control.is_said(said), "{control:?}");
            assert!(!Control::Accept.is_said(said) || control == Control::Accept);
            for end in 0..said.len() {
                assert!(!control.is_said(&said[..end]) || end == 4, "{control:?} cut at {end}");
            }
        }
        assert!(Control::Accept.is_said(&[0, 0, 0, 1]), "one that names nothing takes everything");
        let other = [&b"\0\0\0\x01\0\0\0\x01\0\0\0\x03"[..], b"tea"].concat();
        assert!(!Control::Accept.is_said(&other));
        let both = [&other[..], &Control::Accept.frame()[12..]].concat();
        assert!(Control::Accept.is_said(&both));
        assert!(!Control::Accept.is_said(b"\0\0\0\x01\0\0\0\x01\xFF\xFF\xFF\xFF"));
    }
}
