//! Answers that hold nothing but the question: codes that refuse, and "ask again over TCP". Octets in, octets out.

use super::question::{HEADER_BYTES, Rcode, code};
use crate::limits::DNS_UDP_RESPONSE_BYTES_MAX;

/// TC, among the flags.
pub const TRUNCATED: u8 = 0x02;

/// What goes into the OPT record, where the question had one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opt {
    /// Whether signatures were asked for.
    pub dnssec_ok: bool,
    /// Our cookie for the asker.
    pub cookie: Option<[u8; 24]>,
}

/// Adds an answer to `message` at the end of `out`: its header and what follows it up to `question_end`, with `rcode`, and
/// our OPT if theirs came. `is_truncated`: whether it says that there is more.
pub fn write(
    message: &[u8],
    question_end: usize,
    rcode: Rcode,
    is_truncated: bool,
    opt: Option<Opt>,
    out: &mut Vec<u8>,
) {
    let [id_high, id_low, flags, _, ..] = *message else { return };
    let number = rcode.number();
    let truncated = if is_truncated { TRUNCATED } else { 0 };
    // The operation and RD are theirs. CD is not: it is a resolver's (RFC 4035 §3.1.6).
    let (flags, more) = (0x80 | flags & 0x79 | truncated, (number & 0xF) as u8);
    let has_question = u8::from(question_end > HEADER_BYTES);
    out.extend_from_slice(&[id_high, id_low, flags, more, 0, has_question, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    out.extend_from_slice(&message[HEADER_BYTES..question_end]);
    let Some(opt) = opt else { return };
    let [size_high, size_low] = (DNS_UDP_RESPONSE_BYTES_MAX as u16).to_be_bytes();
    let dnssec_ok = if opt.dnssec_ok { 0x80 } else { 0 };
    out.extend_from_slice(&[0, 0, code::OPT as u8, size_high, size_low, (number >> 4) as u8, 0, dnssec_ok, 0]);
    let Some(cookie) = opt.cookie else {
        out.extend_from_slice(&[0, 0]);
        return;
    };
    out.extend_from_slice(&[0, 4 + cookie.len() as u8, 0, code::COOKIE as u8, 0, cookie.len() as u8]);
    out.extend_from_slice(&cookie);
}
