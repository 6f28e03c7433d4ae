//! The PROXY protocol, versions 1 and 2: a balancer in front of us tells whose connection this is.
//!
//! A machine: how many octets belong to the header for sure, and what a whole header says. It never asks for an octet
//! beyond the header, so that whatever follows (TLS, HTTP) is left where it is. The protocol's text is
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>; its sections are named below. Nothing is guessed: a
//! listener wants the header or does not know of it (§2, "must not guess").

use crate::limits::PROXY_HEADER_BYTES_MAX;
use crate::topology::link::{Cloud, PrivateLink};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How version 2 begins (§2.2). Its length is also less than that of any header of version 1.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;
/// How version 1 begins (§2.1).
const V1_START: &[u8] = b"PROXY ";
/// The longest header of version 1 with its line end, octets (§2.1).
const V1_BYTES_MAX: usize = 107;
/// Longest unique id, octets (§2.2.5).
const UNIQUE_ID_BYTES_MAX: usize = 128;

const TYPE_CRC32C: u8 = 0x03;
const TYPE_UNIQUE_ID: u8 = 0x05;
const TYPE_GCP: u8 = 0xE0;
const TYPE_AWS: u8 = 0xEA;
const TYPE_AZURE: u8 = 0xEE;
/// Of what AWS and Azure say, the part that is an identity.
const SUBTYPE_ID: u8 = 0x01;

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The client's address, IPv4 where it is an IPv4 client. `None`: the connection is the balancer's own (`LOCAL`), or
    /// its client has no IP address, and the socket's is the one to go by.
    pub client: Option<IpAddr>,
    /// The private link that it came by.
    pub link: Option<PrivateLink>,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// It begins like no version.
    #[error("no PROXY header")]
    Missing,
    /// Longer than may be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A line of version 1 that is not as it should be.
    #[error("a bad PROXY line")]
    Line,
    /// A version, command, family or protocol that has no meaning here.
    #[error("a PROXY header of a kind that has no meaning here")]
    Kind,
    /// Something that is shorter or longer than it says.
    #[error("a PROXY header with a bad length")]
    Length,
    /// The checksum is another one.
    #[error("a PROXY header with a bad checksum")]
    Checksum,
    /// An identity that is none, or more than one.
    #[error("a PROXY header with a bad identity")]
    Identity,
}

/// How many more octets belong to the header for sure, `so_far` being its beginning; 0: it is whole.
///
/// # Errors
/// If it can become none.
pub fn wanted(so_far: &[u8]) -> Result<usize, BadHeader> {
    let length = so_far.len();
    if length < SIGNATURE.len() {
        return Ok(SIGNATURE.len() - length);
    }
    if so_far.starts_with(SIGNATURE) {
        if length < FIXED_BYTES {
            return Ok(FIXED_BYTES - length);
        }
        let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([so_far[14], so_far[15]]));
        return match whole.checked_sub(length) {
            _ if whole > PROXY_HEADER_BYTES_MAX => Err(BadHeader::TooLong),
            more => more.ok_or(BadHeader::Length),
        };
    }
    if !so_far.starts_with(V1_START) {
        return Err(BadHeader::Missing);
    }
    // A line says nothing about its length. Two octets at a time reach its end and not beyond, and version 1 is rare.
    match so_far {
        [.., b'\r', b'\n'] => Ok(0),
        [.., b'\n'] => Err(BadHeader::Line),
        _ if length >= V1_BYTES_MAX => Err(BadHeader::TooLong),
        [.., b'\r'] => Ok(1),
        _ => Ok(2.min(V1_BYTES_MAX - length)),
    }
}

/// What a whole header says.
///
/// # Errors
/// Why it is none.
pub fn read(header: &[u8]) -> Result<Told, BadHeader> {
    match wanted(header)? {
        0 if header.starts_with(SIGNATURE) => binary(header),
        0 => line(header),
        _ => Err(BadHeader::Length),
    }
}

/// Version 1 (§2.1).
fn line(header: &[u8]) -> Result<Told, BadHeader> {
    let text = std::str::from_utf8(header).ok().and_then(|text| text.strip_suffix("\r\n"));
    let text = text.filter(|text| !text.contains(['\r', '\n'])).ok_or(BadHeader::Line)?;
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // Whatever else the line says is to be ignored.
        return Ok(Told::default());
    }
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let (Some(client), Some(ours)) = (address(), address()) else { return Err(BadHeader::Line) };
    let is_good = match family {
        Some("TCP4") => client.is_ipv4() && ours.is_ipv4(),
        Some("TCP6") => client.is_ipv6() && ours.is_ipv6(),
        _ => false,
    };
    let mut is_port =
        || words.next().is_some_and(|word| word.parse::<u16>().is_ok_and(|port| port.to_string() == word));
    if !is_good || !is_port() || !is_port() || words.next().is_some() {
        return Err(BadHeader::Line);
    }
    Ok(Told { client: Some(client.to_canonical()), link: None })
}

/// Version 2 (§2.2).
fn binary(header: &[u8]) -> Result<Told, BadHeader> {
    let rest = header.get(FIXED_BYTES..).ok_or(BadHeader::Length)?;
    match header[12] {
        // LOCAL: the balancer asks for itself, and the rest is to be discarded.
        0x20 => return Ok(Told::default()),
        0x21 => {}
        _ => return Err(BadHeader::Kind),
    }
    // Family and protocol; of those that are none of TCP's, only the length of their addresses matters.
    let (addresses, client) = match header[13] {
        0x00 => (0, None),
        0x11 => (12, rest.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets)))),
        0x21 => (36, rest.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets)))),
        0x31 => (216, None),
        _ => return Err(BadHeader::Kind),
    };
    let fields = rest.get(addresses..).ok_or(BadHeader::Length)?;
    let link = further(header, fields)?;
    Ok(Told { client: client.map(|client| client.to_canonical()), link })
}

/// What stands behind the addresses (§2.2), up to the end of `header`.
fn further(header: &[u8], mut fields: &[u8]) -> Result<Option<PrivateLink>, BadHeader> {
    let (mut link, mut is_proven) = (None, false);
    while let Some((kind, rest)) = fields.split_first() {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(BadHeader::Length)?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(BadHeader::Length)?;
        match *kind {
            TYPE_CRC32C => {
                let told = <[u8; 4]>::try_from(value).map(u32::from_be_bytes).map_err(|_| BadHeader::Length)?;
                let at = header.len() - rest.len() - value.len();
                if is_proven || told != crc32c([&header[..at], &[0; 4], rest]) {
                    return Err(BadHeader::Checksum);
                }
                is_proven = true;
            }
            TYPE_UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(BadHeader::Length),
            kind => {
                if let Some(identity) = identity(kind, value) {
                    let identity = identity.ok_or(BadHeader::Identity)?;
                    // Two of them, and somebody in between may believe the other.
                    if link.replace(identity).is_some() {
                        return Err(BadHeader::Identity);
                    }
                }
            }
        }
        fields = rest;
    }
    Ok(link)
}

/// Whom a field identifies: `None` if that is not what it is for, `Some(None)` if it does so badly.
fn identity(kind: u8, value: &[u8]) -> Option<Option<PrivateLink>> {
    match (kind, value) {
        (TYPE_AWS, [SUBTYPE_ID, id @ ..]) => {
            Some(std::str::from_utf8(id).ok().and_then(|id| PrivateLink::parse_id(Cloud::Aws, id)))
        }
        (TYPE_AZURE, [SUBTYPE_ID, id @ ..]) => {
            Some(id.try_into().ok().map(|id| PrivateLink::Azure(u32::from_le_bytes(id))))
        }
        (TYPE_GCP, id) => Some(id.try_into().ok().map(|id| PrivateLink::Gcp(u64::from_be_bytes(id)))),
        _ => None,
    }
}

/// The checksum of RFC 3720 §12.1 over all `parts` in a row. Bit by bit: a header is short, and there is one a connection.
fn crc32c(parts: [&[u8]; 3]) -> u32 {
    let mut sum = u32::MAX;
    for byte in parts.into_iter().flatten() {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82F6_3B78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

#[cfg(test)]
mod tests;
