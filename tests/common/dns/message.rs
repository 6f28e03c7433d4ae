//! DNS messages for tests: questions of any octets, and answers read without the library that the node writes them with.

use std::fmt::{self, Write as _};

/// Types by number.
pub mod kind {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const HTTPS: u16 = 65;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
    pub const CAA: u16 = 257;
}

/// EDNS options by number.
pub mod option {
    pub const NSID: u16 = 3;
    pub const CLIENT_SUBNET: u16 = 8;
    pub const COOKIE: u16 = 10;
}

/// Response codes by number.
pub mod rcode {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const NOTAUTH: u16 = 9;
    pub const BADVERS: u16 = 16;
}

/// Header bits.
pub const QR: u16 = 0x8000;
pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RD: u16 = 0x0100;
pub const RA: u16 = 0x0080;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;

/// What a question says of EDNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The class of the OPT record.
    pub size: u16,
    /// Must be 0.
    pub version: u8,
    /// DO is the highest bit.
    pub flags: u16,
    /// Number and octets of each option.
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Default for Edns {
    fn default() -> Self {
        Self { size: 1_232, version: 0, flags: 0, options: Vec::new() }
    }
}

/// DO.
pub const DNSSEC_OK: u16 = 0x8000;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name as on the wire.
    pub name: Vec<u8>,
    /// QTYPE.
    pub kind: u16,
    /// QCLASS.
    pub class: u16,
    /// All of the header's second word.
    pub flags: u16,
    /// Its OPT, if it has one.
    pub edns: Option<Edns>,
}

impl Question {
    /// For a name as text, without EDNS.
    pub fn new(name: &str, kind: u16) -> Self {
        Self { name: wire_name(name), kind, class: 1, flags: 0, edns: None }
    }

    /// With an OPT.
    pub fn with(self, edns: Edns) -> Self {
        Self { edns: Some(edns), ..self }
    }

    /// With an OPT with one option.
    pub fn option(self, code: u16, octets: impl Into<Vec<u8>>) -> Self {
        self.with(Edns { options: vec![(code, octets.into())], ..Edns::default() })
    }

    /// As octets.
    pub fn octets(&self, id: u16) -> Vec<u8> {
        let mut out = header(id, self.flags, [1, 0, 0, u16::from(self.edns.is_some())]);
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(&self.class.to_be_bytes());
        if let Some(edns) = &self.edns {
            out.extend_from_slice(&opt(edns));
        }
        out
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = read_name(&self.name, 0).unwrap_or_default();
        write!(f, "{} type {} class {} flags {:04x} {:?}", shown(&name), self.kind, self.class, self.flags, self.edns)
    }
}

/// A header.
pub fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
}

/// An OPT record.
pub fn opt(edns: &Edns) -> Vec<u8> {
    let mut data = Vec::new();
    for (code, octets) in &edns.options {
        data.extend_from_slice(&code.to_be_bytes());
        data.extend_from_slice(&u16::try_from(octets.len()).expect("short").to_be_bytes());
        data.extend_from_slice(octets);
    }
    let mut out = vec![0, 0, 41];
    out.extend_from_slice(&edns.size.to_be_bytes());
    out.extend_from_slice(&[0, edns.version]);
    out.extend_from_slice(&edns.flags.to_be_bytes());
    out.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
    out.extend_from_slice(&data);
    out
}

/// A client subnet (RFC 7871 §6): family, source, scope, and as many octets as given.
pub fn subnet(family: u16, source: u8, scope: u8, address: &[u8]) -> Vec<u8> {
    [&family.to_be_bytes()[..], &[source, scope], address].concat()
}

/// A name of text, with or without its last dot.
pub fn wire_name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("a label"));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// A name as text: labels as they are, escaped where they are not plain.
pub fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let [length, after @ ..] = rest {
        if *length == 0 {
            break;
        }
        let (label, after) = after.split_at(usize::from(*length).min(after.len()));
        for byte in label {
            match byte {
                b'!'..=b'~' if *byte != b'.' => text.push(char::from(*byte)),
                _ => _ = write!(text, "\\{byte:03}"),
            }
        }
        text.push('.');
        rest = after;
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

/// A record as it was read: names whole and in lower case, so that two that mean the same are equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Whose.
    pub owner: Vec<u8>,
    /// Its type.
    pub kind: u16,
    /// Its class.
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ", shown(&self.owner), self.ttl, self.class, self.kind)?;
        self.data.iter().try_for_each(|byte| match byte {
            b'!'..=b'~' => write!(f, "{}", char::from(*byte)),
            _ => write!(f, "\\{byte:02x}"),
        })
    }
}

/// An answer as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The octets.
    pub octets: Vec<u8>,
    /// The message's id.
    pub id: u16,
    /// The header's second word without the response code.
    pub flags: u16,
    /// The response code, with what the OPT adds to it.
    pub rcode: u16,
    /// The questions, octet by octet.
    pub question: Vec<u8>,
    /// The three sections, without the OPT.
    pub sections: [Vec<Record>; 3],
    /// The OPT.
    pub edns: Option<Edns>,
}

impl Reply {
    /// Reads one strictly: every octet has to be accounted for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(octets: &[u8]) -> Result<Self, String> {
        let word = |at: usize| -> Result<u16, String> {
            let two = octets.get(at..at + 2).and_then(|two| two.first_chunk()).ok_or("it is cut short")?;
            Ok(u16::from_be_bytes(*two))
        };
        let (id, second) = (word(0)?, word(2)?);
        let mut reply = Self {
            octets: octets.to_vec(),
            id,
            flags: second & !0xF,
            rcode: second & 0xF,
            question: Vec::new(),
            sections: Default::default(),
            edns: None,
        };
        let mut at = 12;
        for _ in 0..word(4)? {
            at = read_name(octets, at)?.1 + 4;
        }
        reply.question = octets.get(12..at).ok_or("it is cut short")?.to_vec();
        for section in 0..3 {
            for _ in 0..word(6 + 2 * section)? {
                at = reply.read_record(section, at)?;
            }
        }
        if at != octets.len() {
            return Err(format!("{} octets after its end", octets.len() - at));
        }
        Ok(reply)
    }

    fn read_record(&mut self, section: usize, at: usize) -> Result<usize, String> {
        let (owner, at) = read_name(&self.octets, at)?;
        let head = self.octets.get(at..at + 10).ok_or("a record cut short")?;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (kind, class) = (word(0), word(2));
        let ttl = u32::from(word(4)) << 16 | u32::from(word(6));
        let (begin, end) = (at + 10, at + 10 + usize::from(word(8)));
        let data = self.octets.get(begin..end).ok_or("a record cut short")?;
        if kind == kind::OPT {
            if section != 2 || self.edns.is_some() || owner != [0] {
                return Err("an OPT where none may be".to_owned());
            }
            self.rcode |= u16::try_from(ttl >> 24).expect("8 bits") << 4;
            let options = read_options(data).ok_or("an OPT with options cut short")?;
            let version = (ttl >> 16 & 0xFF) as u8;
            self.edns = Some(Edns { size: class, version, flags: (ttl & 0xFFFF) as u16, options });
        } else {
            let data = whole_data(&self.octets, kind, begin, end)?;
            self.sections[section].push(Record { owner, kind, class, ttl, data });
        }
        Ok(end)
    }

    /// The answer section.
    pub fn answers(&self) -> &[Record] {
        &self.sections[0]
    }

    /// The authority section.
    pub fn authorities(&self) -> &[Record] {
        &self.sections[1]
    }

    /// The data of all records of a type in the answer section.
    pub fn data_of(&self, kind: u16) -> Vec<&[u8]> {
        self.answers().iter().filter(|record| record.kind == kind).map(|record| record.data.as_slice()).collect()
    }

    /// The addresses in the answer section, as text.
    pub fn addresses(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .data_of(kind::A)
            .iter()
            .filter_map(|data| Some(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*data).ok()?).to_string()))
            .chain(
                self.data_of(kind::AAAA)
                    .iter()
                    .filter_map(|data| Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*data).ok()?).to_string())),
            )
            .collect();
        all.sort_unstable();
        all
    }

    /// An option of its OPT.
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        let options = &self.edns.as_ref()?.options;
        options.iter().find(|(found, _)| *found == code).map(|(_, octets)| octets.as_slice())
    }

    /// The scope of its client subnet.
    pub fn scope(&self) -> Option<u8> {
        self.option(option::CLIENT_SUBNET)?.get(3).copied()
    }

    /// Whether a header bit is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// The options in an OPT's data.
fn read_options(data: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut options = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (&[a, b, c, d], after) = rest.split_first_chunk()?;
        let (octets, after) = after.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
        options.push((u16::from_be_bytes([a, b]), octets.to_vec()));
        rest = after;
    }
    Some(options)
}

/// The name at `at`, whole and in lower case, and where what follows it begins. Pointers may only lead back.
///
/// # Errors
/// What is wrong with it.
pub fn read_name(octets: &[u8], at: usize) -> Result<(Vec<u8>, usize), String> {
    let (mut at, mut name, mut end, mut lowest) = (at, Vec::new(), None, at);
    loop {
        let length = usize::from(*octets.get(at).ok_or("a name cut short")?);
        match length {
            0 => {
                name.push(0);
                return if name.len() > 255 {
                    Err("a name too long".to_owned())
                } else {
                    Ok((name, end.unwrap_or(at + 1)))
                };
            }
            1..=63 => {
                let label = octets.get(at + 1..=at + length).ok_or("a label cut short")?;
                name.push(octets[at]);
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                at += 1 + length;
            }
            0xC0.. => {
                let low = *octets.get(at + 1).ok_or("a pointer cut short")?;
                end.get_or_insert(at + 2);
                at = (length & 0x3F) << 8 | usize::from(low);
                if at >= lowest {
                    return Err("a pointer that does not lead back".to_owned());
                }
                lowest = at;
            }
            _ => return Err(format!("a label of kind {length:02x}")),
        }
    }
}

/// The data of a record with its names whole and in lower case.
fn whole_data(octets: &[u8], kind: u16, begin: usize, end: usize) -> Result<Vec<u8>, String> {
    let (before, names) = match kind {
        kind::NS | kind::CNAME | kind::PTR => (0, 1),
        kind::SOA => (0, 2),
        kind::MX => (2, 1),
        kind::SRV => (6, 1),
        _ => return Ok(octets[begin..end].to_vec()),
    };
    let mut data = octets.get(begin..begin + before).ok_or("data cut short")?.to_vec();
    let mut at = begin + before;
    for _ in 0..names {
        let (name, after) = read_name(octets, at)?;
        data.extend_from_slice(&name);
        at = after;
    }
    data.extend_from_slice(octets.get(at..end).ok_or("a name longer than its record")?);
    Ok(data)
}
