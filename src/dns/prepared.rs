//! Everything that can be answered at one generation: the zone, and the same as octets for the fast path.
//!
//! Immutable behind one pointer. [`Contents`] is the truth; the octets are made from it and say the same.

use super::contents::{Contents, Node, Rrset};
use super::cookie::Cookies;
use super::question::{NAME_BYTES_MAX, Question, Subnet};
use crate::dnssec::Duty;
use crate::geo::map::GeoMap;
use crate::snapshot::Snapshot;
use crate::topology::zone::Zone;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

/// How many bits of an address steering looks at.
pub(super) const GRAIN_V4: u8 = 24;
/// The same of IPv6.
pub(super) const GRAIN_V6: u8 = 56;

/// Makes the RRSIGs of a set that was not prepared: of what does not exist.
pub type Signer = Box<dyn Fn(&Name, u32, &[RData]) -> Vec<RData> + Send + Sync>;

/// Whose address says where an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// The client's, by its subnet.
    Client(IpAddr),
    /// The resolver's, because the client subnet, of so many bits, is nobody's on the Internet.
    Nobodys(IpAddr),
    /// The resolver's: nothing that counts was said of the client.
    Resolver,
}

/// What is answered from.
pub struct Prepared {
    /// What it was made of.
    pub snapshot: Arc<Snapshot>,
    /// What the file says of the zone.
    pub zone: Arc<Zone>,
    /// Who we are: this node's site.
    pub site: String,
    /// Every name.
    pub contents: Contents,
    /// Where clients are.
    pub map: Arc<GeoMap>,
    /// Our cookies.
    pub cookies: Cookies,
    /// If the zone is signed.
    pub signer: Option<Signer>,
    /// Which keys do what, if the zone has any.
    pub duty: Option<Duty>,
    pub(super) octets: Table,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared(generation {}, {} names)", self.snapshot.generation, self.contents.nodes.len())
    }
}

impl Prepared {
    /// Makes the octets of `contents`.
    #[must_use]
    pub fn new(
        snapshot: Arc<Snapshot>,
        zone: Arc<Zone>,
        contents: Contents,
        map: Arc<GeoMap>,
        (cookies, signer, duty): (Cookies, Option<Signer>, Option<Duty>),
    ) -> Self {
        let octets = Table::new(&contents);
        let site = snapshot.here.name.to_string();
        Self { snapshot, zone, site, contents, map, cookies, signer, duty, octets }
    }

    /// Which variant of the names that are answered `by` (a place in `contents.steered`) a question gets, and for how many
    /// bits of the client's address that holds.
    #[must_use]
    pub fn variant(&self, by: usize, question: &Question<'_>, resolver: IpAddr) -> (usize, u8) {
        let steered = &self.contents.steered[by];
        if !steered.is_tailored() {
            return (0, 0);
        }
        match self.counting(question, resolver) {
            Counting::Client(client) => steered.find(client),
            // Nobody else may be given what the resolver's place has to do for. Not even if few bits are said, so that others
            // have the same ones: 0.0.0.0/1 is half the world.
            Counting::Nobodys(client) => {
                let grain = if client.is_ipv4() { GRAIN_V4 } else { GRAIN_V6 };
                (steered.find(resolver).0, grain)
            }
            Counting::Resolver => (steered.find(resolver).0, 0),
        }
    }

    /// Until when its signatures are good, as RRSIG writes it (RFC 4034 §3.1.5); `None` without any.
    #[must_use]
    pub fn signed_until(&self) -> Option<u32> {
        let times = self.contents.soa().signatures.iter().filter_map(|data| match data {
            RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.input().sig_expiration.get()),
            _ => None,
        });
        times.min()
    }

    /// Whose address counts in a question.
    #[must_use]
    pub fn counting(&self, question: &Question<'_>, resolver: IpAddr) -> Counting {
        match question.subnet().filter(|_| self.believes(resolver)) {
            Some(Subnet { address: Some(client), source, .. }) if source > 0 => {
                if self.is_somewhere(client) {
                    Counting::Client(client)
                } else {
                    Counting::Nobodys(client)
                }
            }
            // Somebody who wants nothing of its client said (RFC 7871 §7.1.2), or says nothing.
            _ => Counting::Resolver,
        }
    }

    /// Whether the client subnets of `resolver` count (RFC 7871 §11.3).
    #[must_use]
    pub fn believes(&self, resolver: IpAddr) -> bool {
        self.zone
            .client_subnet_from
            .as_ref()
            .is_none_or(|networks| networks.iter().any(|network| network.contains(&resolver)))
    }

    /// Whether an address can be that of a client: it is routed on the Internet, or the operator says where it is.
    fn is_somewhere(&self, client: IpAddr) -> bool {
        is_global(client) || self.map.place_of(client) != 0
    }
}

fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && second & 0xC0 == 64;
            !(v4.is_private() || v4.is_link_local() || is_shared || matches!(first, 0 | 127 | 224..))
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xE000 == 0x2000,
    }
}

/// Octets of a section, the owner of its answers being a pointer to the question.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) octets: Box<[u8]>,
    pub(super) answers: u16,
    pub(super) authorities: u16,
    /// Where in it a pointer to the zone's apex stands, whose place depends on the question.
    pub(super) apex_at: Box<[u16]>,
}

/// A section, and the same with signatures.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) plain: Section,
    pub(super) signed: Section,
}

/// Answers by type.
pub(super) type ByKind = Vec<(u16, Sections)>;

/// One name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Answers by type.
    pub(super) fixed: ByKind,
    /// Which of `contents.steered` chooses, and for each of its variants the answers by type.
    pub(super) steered: Option<(usize, Vec<ByKind>)>,
    /// That there is nothing: by variant, the last for what does not depend on who asks. Without signatures all the same.
    pub(super) nothing: Vec<Sections>,
    /// What stands for the names below it that do not exist.
    pub(super) wildcard: Option<Box<Entry>>,
    /// Whether any type is answered with it.
    pub(super) is_cname: bool,
}

/// Every name, by its octets in lower case.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<Box<[u8]>, Entry, BuildHasherDefault<Folding>>,
    /// Octets of the apex's name.
    pub(super) apex_bytes: usize,
    /// That there is no such name.
    pub(super) nowhere: Section,
    pub(super) is_signed: bool,
}

impl Table {
    fn new(contents: &Contents) -> Self {
        let soa = [(Owner::Apex, contents.soa())];
        let nowhere = Section::new(&[], &soa, false);
        let apex_bytes = wire_name(&contents.apex).len();
        let mut table = Self { entries: HashMap::default(), apex_bytes, nowhere, is_signed: contents.is_signed() };
        for (name, node) in &contents.nodes {
            let mut entry = Entry::new(contents, node);
            let wildcard = name.prepend_label("*").ok().and_then(|name| contents.nodes.get(&name));
            entry.wildcard = wildcard.map(|node| Box::new(Entry::new(contents, node)));
            table.entries.insert(wire_name(name).into(), entry);
        }
        table
    }

    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name)
    }
}

impl Entry {
    fn new(contents: &Contents, node: &Node) -> Self {
        let of_sets = |sets: &[Rrset]| sets.iter().map(|set| (u16::from(set.kind), Sections::of(set))).collect();
        let mut nothing: Vec<Sections> =
            node.denial.iter().map(|denial| Sections::nothing(contents, Some(denial))).collect();
        if nothing.is_empty() {
            let count = node.steered.as_ref().map_or(1, |choice| choice.variants.len() + 1);
            nothing = (0..count).map(|_| Sections::nothing(contents, None)).collect();
        }
        Self {
            fixed: of_sets(&node.sets),
            steered: node
                .steered
                .as_ref()
                .map(|choice| (choice.by, choice.variants.iter().map(|sets| of_sets(sets)).collect())),
            nothing,
            wildcard: None,
            is_cname: node.sets.iter().any(|set| set.kind == RecordType::CNAME),
        }
    }
}

impl Sections {
    fn of(set: &Rrset) -> Self {
        let answers = [(Owner::Question, set)];
        Self { plain: Section::new(&answers, &[], false), signed: Section::new(&answers, &[], true) }
    }

    fn nothing(contents: &Contents, denial: Option<&Rrset>) -> Self {
        let soa = (Owner::Apex, contents.soa());
        let denial = denial.map(|denial| (Owner::Question, denial));
        let signed: Vec<(Owner, &Rrset)> = std::iter::once(soa).chain(denial).collect();
        Self { plain: Section::new(&[], &[soa], false), signed: Section::new(&[], &signed, true) }
    }
}

/// Whose a record is, as a pointer.
#[derive(Clone, Copy)]
enum Owner {
    /// The name that was asked for, right behind the header.
    Question,
    /// The end of that name.
    Apex,
}

/// A pointer to the name in the question.
const QUESTION_POINTER: [u8; 2] = [0xC0, super::question::HEADER_BYTES as u8];

impl Section {
    fn new(answers: &[(Owner, &Rrset)], authorities: &[(Owner, &Rrset)], is_signed: bool) -> Self {
        let mut octets = Vec::new();
        let mut apex_at = Vec::new();
        let mut put = |sets: &[(Owner, &Rrset)]| {
            let mut count = 0;
            for (owner, set) in sets {
                let signatures: &[RData] = if is_signed { &set.signatures } else { &[] };
                for data in set.data.iter().chain(signatures) {
                    if let Owner::Apex = owner {
                        apex_at.push(u16::try_from(octets.len()).expect("a message is below 64 KiB"));
                    }
                    octets.extend_from_slice(&QUESTION_POINTER);
                    octets.extend_from_slice(&u16::from(data.record_type()).to_be_bytes());
                    octets.extend_from_slice(&super::question::code::IN.to_be_bytes());
                    octets.extend_from_slice(&set.ttl.to_be_bytes());
                    let data = wire_data(data);
                    octets.extend_from_slice(&u16::try_from(data.len()).expect("data is below 64 KiB").to_be_bytes());
                    octets.extend_from_slice(&data);
                    count += 1;
                }
            }
            count
        };
        let (answers, authorities) = (put(answers), put(authorities));
        Self { octets: octets.into(), answers, authorities, apex_at: apex_at.into() }
    }
}

fn wire_data(data: &RData) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).expect("what was proven can be written");
    octets
}

/// A name as it is on the wire, in lower case.
#[must_use]
pub(super) fn wire_name(name: &Name) -> Vec<u8> {
    let mut octets = Vec::with_capacity(NAME_BYTES_MAX);
    for label in name {
        octets.push(u8::try_from(label.len()).expect("a label is below 64 octets"));
        octets.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    octets.push(0);
    octets
}

/// A quick hash of names. Nobody but the operator puts names into the table, so nobody can aim at it.
#[derive(Debug, Default)]
pub(super) struct Folding(u64);

impl Folding {
    #[inline]
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
}

impl Hasher for Folding {
    #[inline]
    fn write(&mut self, octets: &[u8]) {
        let mut words = octets.chunks_exact(8);
        for word in &mut words {
            self.fold(u64::from_le_bytes(word.try_into().expect("eight")));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The table looks at the high bits and at the low ones.
        self.0 ^ self.0 >> 29
    }
}
