//! One question in, one answer out, whichever way it came.

use crate::snapshot::Published;
use std::net::SocketAddr;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: whom it is from is anybody's claim.
    Udp,
    /// Over TCP (RFC 7766).
    Tcp,
    /// Over TLS (RFC 7858).
    Dot,
    /// Over HTTPS (RFC 8484).
    Doh,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is an answer.
    Answer,
    /// There is none: it was no question.
    Silence,
}

/// Who answers. Cheap to clone; every connection has its own.
#[derive(Clone, Debug)]
pub struct Responder {
    _published: Published,
}

impl Responder {
    /// One that answers by what is believed at the moment.
    #[must_use]
    pub fn new(published: Published) -> Self {
        Self { _published: published }
    }

    /// Answers `question`, which `peer` sent to `local`. The answer is added at the end of `out`; what is there already stays
    /// as it is.
    pub fn answer(
        &mut self,
        _transport: Transport,
        _peer: SocketAddr,
        _local: SocketAddr,
        question: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        let Some(&[id_high, id_low, flags, ..]) = question.first_chunk::<12>() else { return Outcome::Silence };
        if flags & 0x80 != 0 {
            return Outcome::Silence;
        }
        // REFUSED, with nothing but the header: replaced by the answers of the zone.
        out.extend_from_slice(&[id_high, id_low, 0x80 | flags & 0x79, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        Outcome::Answer
    }
}
