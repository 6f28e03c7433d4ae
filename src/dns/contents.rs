//! What the zone holds at one generation: every name with everything it has, signatures included.
//!
//! Pure. What depends on who asks is here once for each answer that can be given ([`Steered`]): the set is finite, so it is
//! made and signed when the generation is, not when somebody asks.

use super::steered::{By, Steered};
use crate::names::Hostname;
use crate::topology::zone::{Believed, Zone};
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::rr::rdata::svcb::{Alpn, IpHint, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, HTTPS, NS, SOA, SVCB, TXT};
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// How long the names of the name servers are believed (R24 of the field: a day at least), seconds.
const NS_TTL: u32 = 86_400;
/// How long the addresses of name servers are believed, seconds.
const GLUE_TTL: u32 = 3_600;
/// How often somebody who copies the zone would look, and for how long he would serve it; nobody does. Seconds.
const SOA_TIMES: (i32, i32, i32) = (7_200, 3_600, 1_209_600);
/// How long a proof for a certificate authority is believed, seconds: the next one differs.
const CHALLENGE_TTL: u32 = 1;
/// What browsers may speak at the front door, and at what stands behind it.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// All records of one name and type.
#[derive(Clone, Debug, PartialEq)]
pub struct Rrset {
    /// Their type.
    pub kind: RecordType,
    /// How long they are believed, seconds.
    pub ttl: u32,
    /// What they say; at least one.
    pub data: Vec<RData>,
    /// One RRSIG for each key that signs; empty if the zone is unsigned.
    pub signatures: Vec<RData>,
}

/// One name. Without anything it exists because a name below it does.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What everybody gets, by type.
    pub sets: Vec<Rrset>,
    /// What depends on who asks.
    pub steered: Option<Choice>,
    /// That it has nothing else (RFC 9824 §3.1), if the zone is signed: one NSEC for each answer there is, and a last one
    /// for types that do not depend on who asks, which denies nothing that anybody gets.
    pub denial: Vec<Rrset>,
}

/// The answers of one name that steering chooses from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// By which: a place in [`Contents::steered`].
    pub by: usize,
    /// For each variant of it what the name has, by type.
    pub variants: Vec<Vec<Rrset>>,
}

impl Node {
    /// How many answers there are for one type.
    #[must_use]
    pub fn variants(&self) -> usize {
        self.steered.as_ref().map_or(1, |choice| choice.variants.len())
    }

    /// Everything it has in one of its variants.
    pub fn sets(&self, variant: usize) -> impl Iterator<Item = &Rrset> {
        let chosen = self.steered.as_ref().and_then(|choice| choice.variants.get(variant));
        self.sets.iter().chain(chosen.into_iter().flatten())
    }

    /// What it has of one type in one of its variants.
    #[must_use]
    pub fn set(&self, kind: RecordType, variant: usize) -> Option<&Rrset> {
        self.sets(variant).find(|set| set.kind == kind)
    }

    /// The types that it has in every variant.
    fn types_for_all(&self) -> Vec<RecordType> {
        let has = |kind: &RecordType| (0..self.variants()).all(|variant| self.set(*kind, variant).is_some());
        self.types().into_iter().filter(has).collect()
    }

    fn types(&self) -> Vec<RecordType> {
        let all = (0..self.variants()).flat_map(|variant| self.sets(variant));
        let mut types: Vec<RecordType> = all.map(|set| set.kind).collect();
        types.sort_unstable_by_key(|kind| u16::from(*kind));
        types.dedup();
        types
    }
}

/// Where a question leads.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// The name exists.
    Node(&'a Node),
    /// It does not, but this wildcard stands for it.
    Wildcard(&'a Name, &'a Node),
    /// Nothing stands for it; the longest name above it that exists.
    Nothing(Name),
    /// It is not ours.
    Outside,
}

/// The whole zone.
#[derive(Debug, Default)]
pub struct Contents {
    /// Where it begins.
    pub apex: Name,
    /// Every name of it, in the order of DNSSEC.
    pub nodes: BTreeMap<Name, Node>,
    /// Who gets which answer.
    pub steered: Vec<Arc<Steered>>,
    /// NSEC records from each name to the next (RFC 4034 §4), if the zone is signed: for denial that costs no signature.
    pub chain: BTreeMap<Name, Rrset>,
}

/// Who signs what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The keys themselves.
    Keys,
    /// Everything else.
    Zone,
}

/// Makes the RRSIGs of a set; nothing for an unsigned zone.
pub type Sign<'a> = dyn FnMut(Role, &Name, u32, &[RData]) -> Vec<RData> + 'a;

/// A name that steering answers.
#[derive(Clone, Debug)]
pub struct Served {
    /// Which.
    pub name: Name,
    /// How.
    pub by: By,
    /// For how long that may be believed.
    pub ttl: Believed,
}

/// What contents are made of.
#[derive(Debug)]
pub struct Makings<'a> {
    /// What the file says.
    pub zone: &'a Zone,
    /// The version of the file, as a serial number.
    pub serial: u32,
    /// Names that steering answers.
    pub served: &'a [Served],
    /// With what.
    pub steered: &'a HashMap<By, Arc<Steered>>,
    /// Whether names that steering answers say that HTTPS is spoken there (RFC 9460).
    pub has_https: bool,
    /// DNSKEY, CDS and CDNSKEY of the apex, with how long they are believed, seconds.
    pub keys: &'a [(u32, Vec<RData>)],
    /// Whether somebody signs.
    pub is_signed: bool,
    /// Proofs for certificate authorities.
    pub challenges: &'a [(Name, Vec<String>)],
}

/// The name of a hostname.
#[must_use]
pub fn name_of(hostname: &Hostname) -> Option<Name> {
    let mut name = Name::from_ascii(hostname.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl Contents {
    /// Puts a zone together.
    #[must_use]
    pub fn new(makings: &Makings<'_>, sign: &mut Sign<'_>) -> Self {
        let zone = makings.zone;
        let mut contents = Self { apex: zone.apex.clone(), ..Self::default() };
        contents.put_apex(makings);
        contents.put_glue(zone);
        for record in &zone.records {
            contents.put(&record.owner, record.ttl, record.data.clone());
        }
        for (owner, texts) in makings.challenges {
            for text in texts {
                contents.put(owner, CHALLENGE_TTL, RData::TXT(TXT::new(vec![text.clone()])));
            }
        }
        contents.put_served(makings);
        contents.put_empty_names();
        contents.put_aliases(zone);
        contents.put_empty_names();
        if makings.is_signed {
            contents.sign(zone.negative_ttl, sign);
        }
        contents
    }

    /// Where `name` leads.
    #[must_use]
    pub fn find(&self, name: &Name) -> Found<'_> {
        if !self.apex.zone_of(name) {
            return Found::Outside;
        }
        if let Some(node) = self.nodes.get(name) {
            return Found::Node(node);
        }
        let mut encloser = name.base_name();
        while !self.nodes.contains_key(&encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = encloser.prepend_label("*").ok().and_then(|wildcard| self.nodes.get_key_value(&wildcard));
        match wildcard {
            Some((owner, node)) => Found::Wildcard(owner, node),
            None => Found::Nothing(encloser),
        }
    }

    /// The SOA record, which says how long it is believed that there is nothing.
    ///
    /// # Panics
    /// Never: every zone has one.
    #[must_use]
    pub fn soa(&self) -> &Rrset {
        self.nodes.get(&self.apex).and_then(|apex| apex.set(RecordType::SOA, 0)).expect("every zone has a SOA")
    }

    /// Whether it is signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        !self.chain.is_empty()
    }

    /// The record of the chain that says that nothing stands at `name`, which does not exist (or, of a name that does, the
    /// one that says what does).
    #[must_use]
    pub fn covering(&self, name: &Name) -> Option<(&Name, &Rrset)> {
        let before = self.chain.range((Bound::Unbounded, Bound::Included(name))).next_back();
        before.or_else(|| self.chain.last_key_value())
    }

    fn put(&mut self, owner: &Name, ttl: u32, data: RData) {
        let node = self.nodes.entry(owner.clone()).or_default();
        let kind = data.record_type();
        match node.sets.iter_mut().find(|set| set.kind == kind) {
            Some(set) if set.data.contains(&data) => {}
            // Records of one set are believed equally long (RFC 2181 §5.2).
            Some(set) => {
                set.ttl = set.ttl.min(ttl);
                set.data.push(data);
            }
            None => node.sets.push(Rrset { kind, ttl, data: vec![data], signatures: Vec::new() }),
        }
    }

    fn put_apex(&mut self, makings: &Makings<'_>) {
        let zone = makings.zone;
        let (refresh, retry, expire) = SOA_TIMES;
        let (apex, ttl) = (zone.apex.clone(), zone.negative_ttl);
        let mname = zone.nameservers.first().map_or_else(|| apex.clone(), |first| first.name.clone());
        let soa = SOA::new(mname, zone.hostmaster.clone(), makings.serial, refresh, retry, expire, ttl);
        self.put(&apex, ttl, RData::SOA(soa));
        for server in &zone.nameservers {
            self.put(&apex, NS_TTL, RData::NS(NS(server.name.clone())));
        }
        for (ttl, keys) in makings.keys {
            for key in keys {
                self.put(&apex, *ttl, key.clone());
            }
        }
    }

    fn put_glue(&mut self, zone: &Zone) {
        let within = zone.nameservers.iter().filter(|server| zone.apex.zone_of(&server.name));
        for server in within {
            for address in &server.glue {
                self.put(&server.name, GLUE_TTL, address_record(*address));
            }
        }
    }

    fn put_served(&mut self, makings: &Makings<'_>) {
        let mut numbers: HashMap<By, usize> = HashMap::new();
        for served in makings.served {
            let Some(steered) = makings.steered.get(&served.by) else { continue };
            let by = *numbers.entry(served.by).or_insert_with(|| {
                self.steered.push(Arc::clone(steered));
                self.steered.len() - 1
            });
            let ttl = seconds(if steered.is_settled { served.ttl.max } else { served.ttl.min });
            let variants = steered.variants.iter().map(|variant| sets_of(&variant.addresses, ttl, makings.has_https));
            self.nodes.entry(served.name.clone()).or_default().steered =
                Some(Choice { by, variants: variants.collect() });
        }
    }

    fn put_aliases(&mut self, zone: &Zone) {
        for alias in &zone.aliases {
            let (Found::Node(target) | Found::Wildcard(_, target)) = self.find(&alias.target) else { continue };
            let shorter = |set: &Rrset| Rrset { ttl: set.ttl.min(alias.ttl), ..set.clone() };
            let is_its_own = |set: &&Rrset| !is_of_apex_alone(set.kind);
            let sets = target.sets.iter().filter(is_its_own).map(shorter).collect();
            let steered = target.steered.as_ref().map(|choice| Choice {
                by: choice.by,
                variants: choice.variants.iter().map(|sets| sets.iter().map(shorter).collect()).collect(),
            });
            self.nodes.insert(alias.owner.clone(), Node { sets, steered, denial: Vec::new() });
        }
    }

    /// Names that exist because there are names below them (RFC 4592 §2.2.2).
    fn put_empty_names(&mut self) {
        let names: Vec<Name> = self.nodes.keys().cloned().collect();
        for name in names {
            let mut above = name.base_name();
            while self.apex.zone_of(&above) && !self.nodes.contains_key(&above) {
                self.nodes.insert(above.clone(), Node::default());
                above = above.base_name();
            }
        }
    }

    fn sign(&mut self, negative_ttl: u32, sign: &mut Sign<'_>) {
        for (name, node) in &mut self.nodes {
            let steered = node.steered.iter_mut().flat_map(|choice| choice.variants.iter_mut().flatten());
            for set in node.sets.iter_mut().chain(steered) {
                let role = if is_about_keys(set.kind) { Role::Keys } else { Role::Zone };
                set.signatures = sign(role, name, set.ttl, &set.data);
            }
            let of_variant = |variant| node.sets(variant).map(|set| set.kind).collect();
            let variants = if node.steered.is_some() { node.variants() } else { 0 };
            let kinds: Vec<Vec<RecordType>> = (0..variants).map(of_variant).chain([node.types()]).collect();
            node.denial = kinds.into_iter().filter_map(|kinds| minimal(name, kinds, negative_ttl, sign)).collect();
        }
        // A wildcard's record is also what proves that it has not what was asked for, so it says only what everybody gets.
        let kinds = |name: &Name, node: &Node| if name.is_wildcard() { node.types_for_all() } else { node.types() };
        let owners = self.nodes.iter().map(|(name, node)| (name.clone(), kinds(name, node)));
        let owners: Vec<(Name, Vec<RecordType>)> =
            owners.filter(|(name, kinds)| !kinds.is_empty() || name.is_wildcard()).collect();
        for (at, (owner, kinds)) in owners.iter().enumerate() {
            let next = owners[(at + 1) % owners.len()].0.clone();
            let set = denial(owner, next, kinds.iter().copied(), negative_ttl, sign);
            self.chain.insert(owner.clone(), set);
        }
    }
}

/// The smallest NSEC at `name`: it has these types, and the next name is the very next there could be (RFC 9824 §3.1).
/// `None`: the name is too long for anything to be below it.
#[must_use]
pub fn minimal(name: &Name, kinds: Vec<RecordType>, ttl: u32, sign: &mut Sign<'_>) -> Option<Rrset> {
    let next = name.prepend_label(&b"\0"[..]).ok()?;
    Some(denial(name, next, kinds.into_iter(), ttl, sign))
}

fn denial(owner: &Name, next: Name, kinds: impl Iterator<Item = RecordType>, ttl: u32, sign: &mut Sign<'_>) -> Rrset {
    let data = vec![RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next, kinds)))];
    let signatures = sign(Role::Zone, owner, ttl, &data);
    Rrset { kind: RecordType::NSEC, ttl, data, signatures }
}

fn is_about_keys(kind: RecordType) -> bool {
    matches!(kind, RecordType::DNSKEY | RecordType::CDS | RecordType::CDNSKEY)
}

fn is_of_apex_alone(kind: RecordType) -> bool {
    is_about_keys(kind) || matches!(kind, RecordType::SOA | RecordType::NS)
}

/// A, AAAA and HTTPS of a name with these addresses.
fn sets_of(addresses: &[IpAddr], ttl: u32, has_https: bool) -> Vec<Rrset> {
    let of_family = |is_v4: bool| -> Vec<RData> {
        addresses.iter().filter(|address| address.is_ipv4() == is_v4).map(|address| address_record(*address)).collect()
    };
    let https = if has_https && !addresses.is_empty() { vec![https_record(addresses)] } else { Vec::new() };
    [(RecordType::A, of_family(true)), (RecordType::AAAA, of_family(false)), (RecordType::HTTPS, https)]
        .into_iter()
        .filter(|(_, data)| !data.is_empty())
        .map(|(kind, data)| Rrset { kind, ttl, data, signatures: Vec::new() })
        .collect()
}

fn address_record(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn https_record(addresses: &[IpAddr]) -> RData {
    let mut params = vec![(SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(ALPN.map(str::to_owned).to_vec())))];
    let v4: Vec<A> =
        addresses.iter().filter_map(|a| if let IpAddr::V4(v4) = a { Some(A(*v4)) } else { None }).collect();
    let v6: Vec<AAAA> =
        addresses.iter().filter_map(|a| if let IpAddr::V6(v6) = a { Some(AAAA(*v6)) } else { None }).collect();
    if !v4.is_empty() {
        params.push((SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(v4))));
    }
    if !v6.is_empty() {
        params.push((SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(IpHint(v6))));
    }
    RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), params)))
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
