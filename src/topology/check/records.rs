//! What the file puts into the zone besides steering: records, and names that have what other names have.

use super::zone::{STEERED_TYPES, quoted_name, steered};
use super::{At, Proof};
use crate::limits::{DNS_DATAGRAM_BYTES_MAX, ZONE_RECORDS_MAX};
use crate::topology::Topology;
use crate::topology::file::dns;
use crate::topology::mistake::Mistake;
use crate::topology::read::{Wrong, quoted};
use crate::topology::zone::master;
use crate::topology::zone::words::{self, STRING_BYTES_MAX, Value};
use crate::topology::zone::{Alias, Record};
use hickory_proto::rr::rdata::{CNAME, TXT};
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// How long a record may be believed, unless the file says otherwise, seconds.
const RECORD_TTL: u32 = 3_600;
/// What a message has besides records: header, question apart from its name, EDNS with a cookie, octets.
const MESSAGE_BYTES: usize = 12 + 4 + 11 + 28;
/// What a record has besides its data when its name is a pointer, octets.
const RECORD_BYTES: usize = 12;
/// What a signature has besides the zone's name, octets.
const SIGNATURE_BYTES: usize = RECORD_BYTES + 18 + 64;
/// Most CNAMEs that lead from one to the next: resolvers follow no more, and looking for circles costs a walk each.
const CHAIN_MAX: usize = 16;
/// Longest message there is, octets.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// What the file puts into the zone.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) records: Vec<Record>,
    pub(super) aliases: Vec<Alias>,
}

/// A record whose parts are good, and where they are written.
struct Written<'a> {
    record: Record,
    name: &'a Range<usize>,
    value: &'a Range<usize>,
    /// Its TTL, if it is written.
    ttl: Option<&'a Range<usize>>,
}

/// Where a CNAME leads in the end.
enum End {
    /// To a name of the zone that has records.
    Inside(Name, u32),
    /// Out of the zone.
    Outside(Name, u32),
    /// To a name of the zone that has nothing.
    Nowhere(Name),
    /// Around in a circle of these owners.
    Circle(Vec<Name>),
    /// From name to name, [`CHAIN_MAX`] times and more.
    Far,
}

/// What names there are in the zone.
struct Names<'a> {
    apex: &'a Name,
    /// Those that have records or answers.
    full: HashSet<Name>,
    /// Those above one of these: they exist, and have nothing.
    empty: HashSet<Name>,
    /// Where each CNAME leads, and how long that is believed.
    aliases: HashMap<Name, (Name, u32)>,
}

impl Proof<'_> {
    pub(super) fn records(
        &mut self,
        zone: &dns::Zone,
        apex: &Name,
        nameservers: &[At<Name>],
        topology: &Topology,
    ) -> Content {
        let steered = steered(topology);
        let list = zone.record.as_ref().map_or(&[][..], |records| &records.value);
        self.bound("zone.record", list, ZONE_RECORDS_MAX);
        let list = &list[..list.len().min(ZONE_RECORDS_MAX)];
        let mut written: Vec<Written<'_>> = list.iter().filter_map(|record| self.record(&record.value, apex)).collect();
        self.unlike_steering(&mut written, &steered);
        self.sets(&mut written, apex, zone.dnssec.is_some());
        self.cnames_stand_alone(&mut written, apex, nameservers);
        let servers = nameservers.iter().map(|name| &name.value).filter(|name| apex.zone_of(name));
        let full = written.iter().map(|written| &written.record.owner).chain(steered.keys()).chain(servers);
        let names = Names::new(apex, full.cloned().collect(), &written);
        self.odd_targets(&written, &names);
        self.content(written, &names, &steered)
    }

    /// One record, each part for itself.
    fn record<'a>(&mut self, record: &'a dns::Record, apex: &Name) -> Option<Written<'a>> {
        let owner = record.name.as_ref().and_then(|name| match master::owner(&name.value, apex) {
            Ok(owner) => Some((owner, &name.span)),
            Err(Wrong { problem, help }) => {
                let title = format!("name {} of a record {problem}", quoted(&name.value));
                self.error(&name.span, title, problem, help);
                None
            }
        });
        let kind = record.r#type.as_ref().map(|kind| kind.value.0)?;
        let At { value, span } = record.value.as_ref()?;
        let data = self.data(kind, value, span, apex);
        let ((owner, name), data) = (owner?, data?);
        let ttl = record.ttl.as_ref().map_or(RECORD_TTL, |ttl| ttl.value.0);
        let first = owner.iter().find(|label| *label != b"*").unwrap_or_default();
        if matches!(kind, RecordType::SRV | RecordType::TLSA) && !first.starts_with(b"_") {
            let title = format!("a record of type {kind} at {}, where nobody asks for one", quoted_name(&owner));
            let help = if kind == RecordType::SRV { "\"_sip._tcp\"" } else { "\"_443._tcp\"" };
            let help = format!("its name begins with a port or a service and a protocol, such as {help}");
            self.mistakes.push(Mistake::warning(name.clone(), title, "no service", help));
        }
        let ttl_span = record.ttl.as_ref().map(|ttl| &ttl.span);
        Some(Written { record: Record { owner, ttl, data }, name, value: span, ttl: ttl_span })
    }

    fn data(&mut self, kind: RecordType, value: &Value, span: &Range<usize>, apex: &Name) -> Option<RData> {
        match value {
            value if kind == RecordType::TXT => match words::strings(value) {
                Ok(strings) => {
                    self.quotation_marks(value, span);
                    return Some(RData::TXT(TXT::from_bytes(strings)));
                }
                Err(long) => {
                    let title = format!("a string of a TXT has {} octets", long.value.len());
                    let help =
                        format!("one string has at most {STRING_BYTES_MAX}; a value that is one text is cut by itself");
                    self.error(&long.span, title, "too long", help);
                }
            },
            Value::Several(_) => {
                let title = format!("value is a list, and the record is of type {kind}");
                let help = "only a TXT has several strings: write a [[zone.record]] for each value";
                self.error(span, title, "a list", help);
            }
            Value::One(text) => match master::data(kind, text, apex) {
                Ok(data) => return Some(data),
                Err(Wrong { problem, help }) => {
                    self.error(span, format!("value {} {problem}", quoted(text)), problem, help);
                }
            },
        }
        None
    }

    /// Warns of quotation marks that a master file would take away.
    fn quotation_marks(&mut self, value: &Value, span: &Range<usize>) {
        let Value::One(text) = value else { return };
        if text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
            let title = format!("the text {} of a TXT has quotation marks of its own", quoted(text));
            let help = "they become part of the text: remove the inner ones, or write a list for several strings";
            self.mistakes.push(Mistake::warning(span.clone(), title, "said as well", help));
        }
    }

    /// Takes out what steering answers itself.
    fn unlike_steering(&mut self, written: &mut Vec<Written<'_>>, steered: &HashMap<Name, bool>) {
        written.retain(|Written { record, name, .. }| {
            let kind = record.data.record_type();
            let is_taken = STEERED_TYPES.contains(&kind) && steered.contains_key(&record.owner);
            if is_taken {
                let title =
                    format!("a record of type {kind} at {}, which steering answers", quoted_name(&record.owner));
                let help = "remove it, or remove the hostname; records of other types may stand beside a hostname";
                self.error(name, title, "taken", help);
            }
            !is_taken
        });
    }

    /// Records of one name and type: no two alike, all with one TTL, all in one message.
    fn sets(&mut self, written: &mut Vec<Written<'_>>, apex: &Name, is_signed: bool) {
        let mut first: HashMap<(Name, RecordType), usize> = HashMap::new();
        let mut bytes: Vec<usize> = Vec::new();
        let mut kept: Vec<Written<'_>> = Vec::with_capacity(written.len());
        let mut seen: HashMap<(Name, RecordType), Vec<usize>> = HashMap::new();
        for one in written.drain(..) {
            let key = (one.record.owner.clone(), one.record.data.record_type());
            let set = seen.entry(key.clone()).or_default();
            if let Some(same) = set.iter().map(|at| &kept[*at]).find(|known| known.record.data == one.record.data) {
                let title = format!("the record of type {} at {} is there twice", key.1, quoted_name(&key.0));
                let mistake = Mistake::warning(one.value.clone(), title, "no effect", "remove one of them");
                self.mistakes.push(mistake.and(same.value.clone(), "first here"));
                continue;
            }
            let at = *first.entry(key.clone()).or_insert(kept.len());
            if let Some(leader) = kept.get(at).filter(|leader| leader.record.ttl != one.record.ttl) {
                let title = format!(
                    "records of type {} at {} have different ttl: {} s and {} s",
                    key.1,
                    quoted_name(&key.0),
                    leader.record.ttl,
                    one.record.ttl
                );
                let help = "they are believed and forgotten together (RFC 2181 §5.2): give all of them the same ttl";
                let place = one.ttl.unwrap_or(one.name);
                let mistake = Mistake::error(place.clone(), title, "differs", help);
                self.mistakes.push(mistake.and(leader.ttl.unwrap_or(leader.name).clone(), "from this"));
            }
            set.push(kept.len());
            bytes.push(RECORD_BYTES + master::bytes(&one.record.data));
            kept.push(one);
        }
        *written = kept;
        let fixed = MESSAGE_BYTES + if is_signed { SIGNATURE_BYTES + apex.len() + 1 } else { 0 };
        let mut sets: Vec<_> = seen.into_iter().collect();
        sets.sort_by_key(|(_, set)| set[0]);
        for ((owner, kind), set) in sets {
            let whole = fixed + owner.len() + 1 + set.iter().map(|at| bytes[*at]).sum::<usize>();
            self.fits(&owner, kind, whole, written[set[0]].value);
        }
    }

    fn fits(&mut self, owner: &Name, kind: RecordType, bytes: usize, span: &Range<usize>) {
        let what = format!("the answer of type {kind} at {} takes {bytes} octets", quoted_name(owner));
        if bytes > MESSAGE_BYTES_MAX {
            let help = format!("a message of DNS has at most {MESSAGE_BYTES_MAX}: shorten it");
            self.error(span, what, "too long", help);
        } else if bytes > DNS_DATAGRAM_BYTES_MAX {
            let help = format!("a datagram carries {DNS_DATAGRAM_BYTES_MAX}: every resolver has to ask again by TCP");
            self.mistakes.push(Mistake::warning(span.clone(), what, "needs TCP", help));
        }
    }

    /// Takes out every CNAME that has something beside it.
    fn cnames_stand_alone(&mut self, written: &mut Vec<Written<'_>>, apex: &Name, nameservers: &[At<Name>]) {
        let mut others: HashMap<Name, Range<usize>> = HashMap::new();
        for Written { record, name, .. } in written.iter().filter(|written| !written.is_cname()) {
            others.entry(record.owner.clone()).or_insert_with(|| (*name).clone());
        }
        let mut cnames: HashMap<Name, Range<usize>> = HashMap::new();
        written.retain(|one| {
            if !one.is_cname() {
                return true;
            }
            let owner = &one.record.owner;
            let shown = quoted_name(owner);
            let beside = |title: String, help: &str, other: Option<(&Range<usize>, &str)>| {
                let mistake = Mistake::error(one.name.clone(), title, "a CNAME stands alone", help);
                match other {
                    Some((span, label)) => mistake.and(span.clone(), label),
                    None => mistake,
                }
            };
            let mistake = if owner == apex {
                let help =
                    "the zone itself has SOA and NS: make it a [[hostname]], or give it records of types A and AAAA";
                Some(beside(format!("a CNAME at the zone's own name {shown}"), help, None))
            } else if let Some(server) = nameservers.iter().find(|server| server.value == *owner) {
                let help = "a name server has addresses of its own (RFC 2181 §10.3): remove the CNAME";
                Some(beside(format!("a CNAME at the name server {shown}"), help, Some((&server.span, "named here"))))
            } else if let Some(first) = cnames.get(owner) {
                let help = "a name is an alias of one other: remove one of them";
                Some(beside(format!("two CNAMEs at {shown}"), help, Some((first, "first here"))))
            } else {
                others.get(owner).map(|other| {
                    let help = "whoever is an alias has nothing of its own (RFC 1034 §3.6.2): remove one of them";
                    beside(
                        format!("a CNAME beside other records at {shown}"),
                        help,
                        Some((other, "other records here")),
                    )
                })
            };
            cnames.entry(owner.clone()).or_insert_with(|| one.name.clone());
            let is_good = mistake.is_none();
            self.mistakes.extend(mistake);
            is_good
        });
    }

    /// Warns of what mail and services are led to by name, where that name has nothing.
    fn odd_targets(&mut self, written: &[Written<'_>], names: &Names<'_>) {
        for Written { record, value, .. } in written {
            let (what, target) = match &record.data {
                RData::MX(mx) => ("mail server", &mx.exchange),
                RData::SRV(srv) => ("target", &srv.target),
                RData::HTTPS(https) => ("target", &https.0.target_name),
                RData::SVCB(svcb) => ("target", &svcb.target_name),
                _ => continue,
            };
            // A lone dot says that there is none, or that it is the owner.
            if target.is_root() || !names.apex.zone_of(target) {
                continue;
            }
            match names.end(target) {
                End::Nowhere(_) => {
                    let title = format!("the {what} {} is in the zone and has no records", quoted_name(target));
                    let help = "a name without a dot at its end is relative to the zone: add the dot, or add the name";
                    self.mistakes.push(Mistake::warning((*value).clone(), title, "nothing there", help));
                }
                End::Outside(..) => {
                    let title = format!("the {what} {} is an alias of something outside the zone", quoted_name(target));
                    let help =
                        "a name that others lead to should have addresses itself (RFC 2181 §10.3): name the other";
                    self.mistakes.push(Mistake::warning((*value).clone(), title, "an alias", help));
                }
                End::Inside(..) | End::Circle(_) | End::Far => {}
            }
        }
    }

    /// Warns of a name that leads to the front door, which does not know it.
    fn unserved(&mut self, owner: &Name, span: &Range<usize>) {
        let title = format!("{} is led to the front door, which serves nobody of that name", quoted_name(owner));
        let help = "make it a [[hostname]] instead: it is in the zone by itself then";
        self.mistakes.push(Mistake::warning(span.clone(), title, "not served there", help));
    }

    /// Records, and aliases with the names they lead to in the end.
    fn content(&mut self, written: Vec<Written<'_>>, names: &Names<'_>, steered: &HashMap<Name, bool>) -> Content {
        let (mut content, mut told) = (Content::default(), HashSet::<Name>::new());
        for Written { record, value, .. } in written {
            let RData::CNAME(CNAME(target)) = &record.data else {
                content.records.push(record);
                continue;
            };
            let owner = record.owner.clone();
            match names.end(target) {
                End::Inside(target, ttl) => {
                    if steered.get(&target) == Some(&true) {
                        self.unserved(&owner, value);
                    }
                    content.aliases.push(Alias { owner, target, ttl: ttl.min(record.ttl) });
                }
                End::Outside(target, ttl) => {
                    let data = RData::CNAME(CNAME(target));
                    content.records.push(Record { owner, ttl: ttl.min(record.ttl), data });
                }
                End::Nowhere(missing) => {
                    let title = format!("the CNAME leads to {}, which has nothing", quoted_name(&missing));
                    let help = "a name without a dot at its end is relative to the zone: add the dot, or add the name";
                    self.error(value, title, "nothing there", help);
                }
                End::Far => {
                    let title = format!(
                        "the CNAME at {} leads on and on, through more than {CHAIN_MAX} others",
                        quoted_name(&owner)
                    );
                    self.error(value, title, "too far", "let it lead to the last of them");
                }
                // Those that only lead into the circle are right as soon as it is broken.
                End::Circle(owners) => {
                    let is_part = owners.contains(&owner);
                    if is_part && owners.iter().all(|part| !told.contains(part)) {
                        let list: Vec<String> = owners.iter().map(master::shown).collect();
                        let title = format!("CNAMEs lead around in a circle: {}", super::zone::few(&list));
                        self.error(value, title, "nobody ever arrives", "let one of them lead to a name with records");
                    }
                    if is_part {
                        told.extend(owners);
                    }
                }
            }
        }
        content
    }
}

impl Written<'_> {
    fn is_cname(&self) -> bool {
        self.record.data.record_type() == RecordType::CNAME
    }
}

impl<'a> Names<'a> {
    fn new(apex: &'a Name, full: HashSet<Name>, written: &[Written<'_>]) -> Self {
        let mut empty = HashSet::new();
        for name in &full {
            let mut above = name.base_name();
            while apex.zone_of(&above) && above != *apex && empty.insert(above.clone()) {
                above = above.base_name();
            }
        }
        let aliases = written.iter().filter_map(|Written { record, .. }| match &record.data {
            RData::CNAME(CNAME(target)) => Some((record.owner.clone(), (target.clone(), record.ttl))),
            _ => None,
        });
        let aliases = aliases.collect();
        Self { apex, full, empty, aliases }
    }

    /// Which name's records `name` has: its own, or those of the wildcard that stands for it (RFC 4592 §3.3.1).
    fn source(&self, name: &Name) -> Option<Name> {
        if name == self.apex || self.full.contains(name) {
            return Some(name.clone());
        }
        if self.empty.contains(name) {
            return None;
        }
        let mut encloser = name.base_name();
        while encloser != *self.apex && !self.full.contains(&encloser) && !self.empty.contains(&encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = encloser.prepend_label(b"*".as_slice()).ok()?;
        self.full.contains(&wildcard).then_some(wildcard)
    }

    /// Where whoever is led to `target` arrives in the end.
    fn end(&self, target: &Name) -> End {
        let (mut at, mut ttl, mut passed) = (target.clone(), u32::MAX, Vec::new());
        loop {
            if !self.apex.zone_of(&at) {
                return End::Outside(at, ttl);
            }
            let Some(source) = self.source(&at) else { return End::Nowhere(at) };
            let Some((next, own)) = self.aliases.get(&source) else { return End::Inside(at, ttl) };
            if let Some(first) = passed.iter().position(|known| *known == source) {
                return End::Circle(passed.split_off(first));
            }
            if passed.len() == CHAIN_MAX {
                return End::Far;
            }
            passed.push(source);
            ttl = ttl.min(*own);
            at = next.clone();
        }
    }
}
