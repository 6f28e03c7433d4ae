//! A question as it came: parsed once, strictly and by hand, for both ways of answering it.
//!
//! Nothing is allocated, and the time is linear in the octets: names outside the question are only stepped over, so no
//! pointer is ever followed. RFC 1035 §4.1, RFC 6891 (EDNS), RFC 7871 (client subnet), RFC 7873 (cookies).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a header, before the question.
pub const HEADER_BYTES: usize = 12;
/// Longest name on the wire, octets (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// Longest label, octets.
const LABEL_BYTES_MAX: usize = 63;

/// Types and codes by number.
pub mod code {
    /// Query types.
    pub const OPT: u16 = 41;
    /// TSIG (RFC 8945).
    pub const TSIG: u16 = 250;
    /// EDNS options.
    pub const NSID: u16 = 3;
    /// Client subnet.
    pub const CLIENT_SUBNET: u16 = 8;
    /// Cookie.
    pub const COOKIE: u16 = 10;
    /// edns-tcp-keepalive.
    pub const KEEPALIVE: u16 = 11;
    /// Padding.
    pub const PADDING: u16 = 12;
    /// Extended error.
    pub const EXTENDED_ERROR: u16 = 15;
    /// Class IN.
    pub const IN: u16 = 1;
    /// Class CHAOS.
    pub const CHAOS: u16 = 3;
}

/// Response codes that this server uses (RFC 1035, RFC 2136, RFC 6891, RFC 7873).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rcode {
    /// All is well.
    NoError,
    /// The question cannot be understood.
    FormErr,
    /// We are at fault.
    ServFail,
    /// There is no such name.
    NxDomain,
    /// No such operation here.
    NotImp,
    /// Not for you, or not ours.
    Refused,
    /// Signed in a way we do not know.
    NotAuth,
    /// An EDNS version we do not speak.
    BadVers,
    /// A cookie that is not ours.
    BadCookie,
}

impl Rcode {
    /// All twelve bits.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::NotAuth => 9,
            Self::BadVers => 16,
            Self::BadCookie => 23,
        }
    }

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::FormErr => "formerr",
            Self::ServFail => "servfail",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::NotAuth => "notauth",
            Self::BadVers => "badvers",
            Self::BadCookie => "badcookie",
        }
    }
}

/// A question that can be answered.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The whole message.
    pub message: &'a [u8],
    /// Octets of the name, its root label included; it stands behind the header. 0: the message asks nothing.
    pub name_bytes: usize,
    /// QTYPE.
    pub kind: u16,
    /// QCLASS.
    pub class: u16,
    /// What its OPT says, if it has one.
    pub edns: Option<Edns<'a>>,
}

/// Why a message is not answered as it would like to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// No question: not a byte goes back.
    Silence,
    /// It gets this code. `question_end`: how much of the message can be sent back with it.
    Code {
        /// Which.
        rcode: Rcode,
        /// Header and question, octets; the header alone if the question cannot be read.
        question_end: usize,
        /// Whether signatures were asked for; `None` if its OPT could not be read, or there is none, so that none goes back.
        dnssec_ok: Option<bool>,
    },
}

/// What an OPT record says.
#[derive(Clone, Copy, Debug)]
pub struct Edns<'a> {
    /// How much the asker takes over UDP, octets.
    pub udp_bytes: u16,
    /// Whether signatures are wanted.
    pub dnssec_ok: bool,
    /// Whether the asker knows compact denial and wants its NXDOMAIN said (RFC 9824 §5.2).
    pub compact_ok: bool,
    /// For which client it asks.
    pub subnet: Option<Subnet<'a>>,
    /// What its cookie option holds.
    pub cookie: Option<&'a [u8]>,
    /// Whether it wants to know who answers (RFC 5001).
    pub wants_nsid: bool,
    /// Whether it knows how to keep TCP alive (RFC 7828).
    pub wants_keepalive: bool,
    /// Whether it pads, and so wants the answer padded (RFC 7830).
    pub wants_padding: bool,
}

/// An EDNS client subnet that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet<'a> {
    /// Family, source prefix length, scope 0 and the address, as they came: they go back so.
    pub octets: &'a [u8],
    /// The address; `None` if the family is none (0).
    pub address: Option<IpAddr>,
    /// Bits of it that are said.
    pub source: u8,
}

impl<'a> Question<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// What it gets instead of an answer.
    pub fn parse(message: &'a [u8]) -> Result<Self, Unanswerable> {
        if message.len() < HEADER_BYTES || message[2] & 0x80 != 0 {
            return Err(Unanswerable::Silence);
        }
        let [questions, answers, authorities, additionals] =
            [4, 6, 8, 10].map(|at| u16::from_be_bytes([message[at], message[at + 1]]));
        let refuse = |rcode, question_end, dnssec_ok| Err(Unanswerable::Code { rcode, question_end, dnssec_ok });
        if message[2] >> 3 & 0xF != 0 {
            return refuse(Rcode::NotImp, HEADER_BYTES, None);
        }
        if questions > 1 {
            return refuse(Rcode::FormErr, HEADER_BYTES, None);
        }
        let mut reader = Reader { message, at: HEADER_BYTES };
        let (mut name_bytes, mut kind, mut class) = (0, 0, code::IN);
        if questions == 1 {
            let Some(question) = reader.question() else { return refuse(Rcode::FormErr, HEADER_BYTES, None) };
            (name_bytes, kind, class) = question;
        }
        let question_end = reader.at;
        let mut edns = None;
        let mut is_signed = false;
        let records = u32::from(answers) + u32::from(authorities) + u32::from(additionals);
        let first_additional = u32::from(answers) + u32::from(authorities);
        for count in 0..records {
            let Some(record) = reader.record() else { return refuse(Rcode::FormErr, question_end, None) };
            match record.kind {
                code::OPT if edns.is_some() || !record.is_root || count < first_additional => {
                    return refuse(Rcode::FormErr, question_end, None);
                }
                code::OPT => edns = Some(record),
                code::TSIG => is_signed = true,
                _ => {}
            }
        }
        if reader.at != message.len() {
            return refuse(Rcode::FormErr, question_end, None);
        }
        let dnssec_ok = edns.as_ref().map(|opt| opt.ttl[2] & 0x80 != 0);
        let edns = match edns.as_ref().map(Edns::read).transpose() {
            Ok(edns) => edns,
            Err(rcode) => return refuse(rcode, question_end, dnssec_ok),
        };
        if is_signed {
            return refuse(Rcode::NotAuth, question_end, dnssec_ok);
        }
        // A question about nothing but our cookie (RFC 7873 §5.4) is the only one without a question.
        if questions == 0 && edns.and_then(|edns| edns.cookie).is_none() {
            return refuse(Rcode::FormErr, HEADER_BYTES, dnssec_ok);
        }
        Ok(Self { message, name_bytes, kind, class, edns })
    }

    /// The name, as written.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        &self.message[HEADER_BYTES..HEADER_BYTES + self.name_bytes]
    }

    /// Where header and question end.
    #[must_use]
    pub fn end(&self) -> usize {
        if self.name_bytes == 0 { HEADER_BYTES } else { HEADER_BYTES + self.name_bytes + 4 }
    }

    /// Whether signatures are wanted.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The client subnet that came along.
    #[must_use]
    pub fn subnet(&self) -> Option<Subnet<'a>> {
        self.edns.and_then(|edns| edns.subnet)
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

struct Written<'a> {
    is_root: bool,
    kind: u16,
    class: u16,
    ttl: [u8; 4],
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn two(&mut self) -> Option<u16> {
        self.take(2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    /// The octets of the name, and type and class. A pointer can point at nothing here.
    fn question(&mut self) -> Option<(usize, u16, u16)> {
        let start = self.at;
        loop {
            let label = usize::from(self.take(1)?[0]);
            if label == 0 {
                break;
            }
            if label > LABEL_BYTES_MAX {
                return None;
            }
            self.take(label)?;
            if self.at - start >= NAME_BYTES_MAX {
                return None;
            }
        }
        let name_bytes = self.at - start;
        Some((name_bytes, self.two()?, self.two()?))
    }

    fn record(&mut self) -> Option<Written<'a>> {
        let start = self.at;
        loop {
            let label = usize::from(self.take(1)?[0]);
            match label {
                0 => break,
                0xC0.. => {
                    self.take(1)?;
                    break;
                }
                1..=LABEL_BYTES_MAX => drop(self.take(label)?),
                _ => return None,
            }
            if self.at - start >= NAME_BYTES_MAX {
                return None;
            }
        }
        let is_root = self.at == start + 1;
        let (kind, class) = (self.two()?, self.two()?);
        let ttl = self.take(4)?.try_into().ok()?;
        let length = self.two()?;
        Some(Written { is_root, kind, class, ttl, data: self.take(usize::from(length))? })
    }
}

impl<'a> Edns<'a> {
    fn read(opt: &Written<'a>) -> Result<Self, Rcode> {
        let [_, version, flags, _] = opt.ttl;
        if version != 0 {
            return Err(Rcode::BadVers);
        }
        let mut edns = Self {
            udp_bytes: opt.class,
            dnssec_ok: flags & 0x80 != 0,
            compact_ok: flags & 0x40 != 0,
            subnet: None,
            cookie: None,
            wants_nsid: false,
            wants_keepalive: false,
            wants_padding: false,
        };
        let mut rest = Reader { message: opt.data, at: 0 };
        while rest.at < opt.data.len() {
            let option = rest.two().zip(rest.two());
            let (what, length) = option.ok_or(Rcode::FormErr)?;
            let data = rest.take(usize::from(length)).ok_or(Rcode::FormErr)?;
            match what {
                code::CLIENT_SUBNET if edns.subnet.is_some() => return Err(Rcode::FormErr),
                code::CLIENT_SUBNET => edns.subnet = Some(Subnet::read(data).ok_or(Rcode::FormErr)?),
                // The first one counts (RFC 7873 §5.2).
                code::COOKIE if edns.cookie.is_none() => edns.cookie = Some(data),
                code::NSID => edns.wants_nsid = true,
                code::KEEPALIVE => edns.wants_keepalive = true,
                code::PADDING => edns.wants_padding = true,
                // What is unknown is ignored (RFC 6891 §6.1.2).
                _ => {}
            }
        }
        Ok(edns)
    }
}

impl<'a> Subnet<'a> {
    /// RFC 7871 §6 and §7.1.1: exactly as many octets as the source prefix needs, no bit beyond it, scope 0. `None` if it
    /// is not so.
    fn read(octets: &'a [u8]) -> Option<Self> {
        let [family_high, family_low, source, scope, address @ ..] = octets else { return None };
        let bits = match u16::from_be_bytes([*family_high, *family_low]) {
            // What "nobody's" looks like from some resolvers.
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        if *source > bits || *scope != 0 || address.len() != usize::from(*source).div_ceil(8) {
            return None;
        }
        let beyond = source % 8;
        if beyond != 0 && address.last().is_some_and(|last| last << beyond != 0) {
            return None;
        }
        let mut whole = [0; 16];
        whole[..address.len()].copy_from_slice(address);
        let address = match bits {
            32 => Some(IpAddr::V4(Ipv4Addr::new(whole[0], whole[1], whole[2], whole[3]))),
            128 => Some(IpAddr::V6(Ipv6Addr::from(whole))),
            _ => None,
        };
        Some(Self { octets, address, source: *source })
    }
}
