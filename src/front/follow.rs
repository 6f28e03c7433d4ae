//! Finds the frames in one direction of an HTTP/2 connection, in pieces of any size (RFC 9113 §4.1).
//!
//! It looks at the nine octets before each payload, and into those few payloads that are numbers. It keeps no payload
//! and never refuses anything.

/// What a client says before its first frame, octets (RFC 9113 §3.4).
const PREFACE_BYTES: u32 = 24;
const HEAD_BYTES: usize = 9;

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// What follows, octets.
    pub length: u32,
    /// Which kind of frame it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Whose it is; 0: the connection's.
    pub stream: u32,
}

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A frame begins.
    Head(Head),
    /// A number in its payload is complete: one setting, or the four octets of a window update or a reset.
    Unit(Head, [u8; 6]),
}

impl Head {
    /// Octets of a request or an answer.
    pub const DATA: u8 = 0;
    /// Fields; the first ones open a stream.
    pub const HEADERS: u8 = 1;
    /// The end of a stream before its end.
    pub const RST_STREAM: u8 = 3;
    /// What the sender can take.
    pub const SETTINGS: u8 = 4;
    /// Room for so much more.
    pub const WINDOW_UPDATE: u8 = 8;

    const fn parse(octets: [u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, p, q, r, s] = octets;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([p & 0x7F, q, r, s]),
        }
    }

    /// Whether nothing follows on its stream. Only data and fields can say so.
    #[must_use]
    pub fn ends_stream(self) -> bool {
        matches!(self.kind, Self::DATA | Self::HEADERS) && self.flags & 1 != 0
    }

    /// Whether it confirms what the other side said. Only settings and pings can.
    #[must_use]
    pub fn is_ack(self) -> bool {
        self.flags & 1 != 0
    }

    /// How long the numbers in its payload are, octets; 0: there are none of interest.
    const fn unit_bytes(self) -> usize {
        match self.kind {
            Self::SETTINGS => 6,
            Self::WINDOW_UPDATE | Self::RST_STREAM => 4,
            _ => 0,
        }
    }
}

/// One direction, followed.
#[derive(Debug, Default)]
pub struct Follower {
    octets: [u8; HEAD_BYTES],
    octets_read: usize,
    head: Head,
    unit: [u8; 6],
    unit_read: usize,
    /// What is to come of the payload, octets.
    left: u32,
}

impl Follower {
    /// Where the preface comes before the first frame.
    #[must_use]
    pub fn after_preface() -> Self {
        // As the payload of a frame of which nothing is of interest.
        Self { left: PREFACE_BYTES, ..Self::default() }
    }

    /// Whether the last frame is complete and the next has not begun.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.octets_read == 0 && self.left == 0
    }

    /// Goes on with `bytes` and tells what is found in them.
    pub fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Part)) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let taken = bytes.len().min(HEAD_BYTES - self.octets_read);
                self.octets[self.octets_read..self.octets_read + taken].copy_from_slice(&bytes[..taken]);
                self.octets_read += taken;
                bytes = &bytes[taken..];
                if self.octets_read == HEAD_BYTES {
                    self.octets_read = 0;
                    self.head = Head::parse(self.octets);
                    self.left = self.head.length;
                    self.unit_read = 0;
                    found(Part::Head(self.head));
                }
                continue;
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let taken = match self.head.unit_bytes() {
                0 => here,
                unit => {
                    let taken = here.min(unit - self.unit_read);
                    self.unit[self.unit_read..self.unit_read + taken].copy_from_slice(&bytes[..taken]);
                    self.unit_read += taken;
                    if self.unit_read == unit {
                        self.unit_read = 0;
                        found(Part::Unit(self.head, self.unit));
                    }
                    taken
                }
            };
            self.left -= u32::try_from(taken).unwrap_or(u32::MAX);
            bytes = &bytes[taken..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pieces: &[&[u8]]) -> (Vec<Part>, bool) {
        let mut follower = Follower::default();
        let mut parts = Vec::new();
        for piece in pieces {
            follower.feed(piece, |part| parts.push(part));
        }
        (parts, follower.is_between())
    }

    const TALK: &[u8] = &[
        0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 1, 0, // two settings
        0, 0, 3, 0, 1, 0x80, 0, 0, 5, 9, 9, 9, // data, with the reserved bit set
        0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 2, // a window update
        0, 0, 0, 0x7F, 0, 0, 0, 0, 7, // an unknown kind without a payload
    ];

    #[test]
    fn frames_are_found_whatever_pieces_they_come_in() {
        let settings = Head { length: 12, kind: 4, flags: 0, stream: 0 };
        let update = Head { length: 4, kind: 8, flags: 0, stream: 0 };
        let (parts, is_between) = found(&[TALK]);
        let Part::Unit(_, window) = parts[5] else { panic!("{parts:?}") };
        assert_eq!(window[..4], [0, 0, 1, 2]);
        let heads = [
            Part::Head(settings),
            Part::Unit(settings, [0, 3, 0, 0, 0, 100]),
            Part::Unit(settings, [0, 4, 0, 0, 1, 0]),
            Part::Head(Head { length: 3, kind: 0, flags: 1, stream: 5 }),
            Part::Head(update),
        ];
        assert_eq!((&parts[..5], parts.len(), is_between), (&heads[..], 7, true));
        assert_eq!(found(&TALK.chunks(1).collect::<Vec<_>>()), (parts.clone(), true));
        for at in 0..TALK.len() {
            let (a, b) = TALK.split_at(at);
            assert_eq!(found(&[a, b]).0, parts, "cut at {at}");
        }
    }

    #[test]
    fn the_middle_of_a_frame_is_not_between_two() {
        let ends = [0, 21, 33, 46, 55];
        for at in 0..=TALK.len() {
            assert_eq!(found(&[&TALK[..at]]).1, ends.contains(&at), "after {at}");
        }
        assert!(!Follower::after_preface().is_between());
    }

    #[test]
    fn a_payload_shorter_than_its_number_is_no_number() {
        let (parts, is_between) = found(&[&[0, 0, 2, 3, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 3]]);
        assert!(parts.iter().all(|part| matches!(part, Part::Head(_))), "{parts:?}");
        assert_eq!((parts.len(), is_between), (2, true));
    }
}
