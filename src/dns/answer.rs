//! The whole path from a question to its answer, by way of hickory-proto: for everything.
//!
//! Pure. What the fast path ([`wire`](super::wire)) says must equal what is said here; where the two could differ, this is
//! the one that is right.

use super::asker::Asker;
use super::contents::{Contents, Found, Node, Role, Rrset, minimal};
use super::prepared::Prepared;
use super::question::{Question, Rcode, code};
use crate::limits::DNS_UDP_RESPONSE_BYTES_MAX;
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{HINFO, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use std::borrow::Cow;

/// The type that says that a name does not exist (RFC 9824 §3.4).
const NXNAME: RecordType = RecordType::Unknown(128);
/// How long it is believed that ANY is answered with next to nothing (RFC 8482 §4.2), seconds.
const ANY_TTL: u32 = 3_600;
/// Answers by encrypted ways are padded to a multiple of this, octets (RFC 8467 §4.1).
const PADDED_TO: usize = 468;
/// Extended errors (RFC 8914, RFC 9824).
mod extended {
    pub(super) const OTHER: u16 = 0;
    pub(super) const PROHIBITED: u16 = 18;
    pub(super) const NOT_AUTHORITATIVE: u16 = 20;
    pub(super) const NOT_SUPPORTED: u16 = 21;
    pub(super) const INVALID_QUERY_TYPE: u16 = 30;
}

/// What is said, before it is octets.
#[derive(Debug)]
pub struct Said<'a> {
    /// How it went.
    pub rcode: Rcode,
    /// Whether we are the authority for it.
    pub is_authoritative: bool,
    /// Answer section: whose, and what.
    pub answers: Vec<(Name, Cow<'a, Rrset>)>,
    /// Authority section.
    pub authorities: Vec<(Name, Cow<'a, Rrset>)>,
    /// For how many bits of the client's address that holds.
    pub scope: u8,
    /// More about an error.
    pub extended: Option<(u16, &'static str)>,
}

impl Said<'_> {
    fn nothing(rcode: Rcode, extended: Option<(u16, &'static str)>) -> Self {
        let (answers, authorities) = (Vec::new(), Vec::new());
        Self { rcode, is_authoritative: false, answers, authorities, scope: 0, extended }
    }
}

/// Answers a question.
pub fn answer(
    prepared: &Prepared,
    question: &Question<'_>,
    asker: &Asker,
    may_sign: &mut dyn FnMut() -> bool,
    out: &mut Vec<u8>,
) -> Rcode {
    let name = match question.name_bytes {
        0 => None,
        _ => Name::read(&mut BinDecoder::new(question.name())).ok(),
    };
    let said = match &name {
        // Only our cookie was asked for.
        None => Said::nothing(Rcode::NoError, None),
        Some(name) => say(prepared, question, name, asker, may_sign),
    };
    write(prepared, question, name.as_ref(), asker, &said, out);
    said.rcode
}

/// What is said to a question.
pub fn say<'a>(
    prepared: &'a Prepared,
    question: &Question<'_>,
    name: &Name,
    asker: &Asker,
    may_sign: &mut dyn FnMut() -> bool,
) -> Said<'a> {
    let refused = |extended| Said::nothing(Rcode::Refused, Some(extended));
    match question.class {
        code::IN => {}
        code::CHAOS => return chaos(prepared, name, question.kind),
        _ => return refused((extended::NOT_SUPPORTED, "only class IN is answered")),
    }
    match RecordType::from(question.kind) {
        RecordType::AXFR | RecordType::IXFR => return refused((extended::PROHIBITED, "the zone is not transferred")),
        RecordType::OPT | RecordType::TSIG | RecordType::ZERO => return Said::nothing(Rcode::FormErr, None),
        RecordType::Unknown(249) => return Said::nothing(Rcode::NotImp, None),
        NXNAME => {
            return Said::nothing(Rcode::FormErr, Some((extended::INVALID_QUERY_TYPE, "that type is only told")));
        }
        _ => {}
    }
    let contents = &prepared.contents;
    let asked = Asked { prepared, contents, name, kind: RecordType::from(question.kind), question, asker };
    match contents.find(name) {
        Found::Outside => refused((extended::NOT_AUTHORITATIVE, "not a name of this zone")),
        Found::Node(node) => asked.at(node, None),
        Found::Wildcard(owner, node) => asked.at(node, Some(owner)),
        Found::Nothing(encloser) => asked.nowhere(&encloser, may_sign),
    }
}

struct Asked<'a, 'q> {
    prepared: &'a Prepared,
    contents: &'a Contents,
    name: &'q Name,
    kind: RecordType,
    question: &'q Question<'q>,
    asker: &'q Asker,
}

impl<'a> Asked<'a, '_> {
    fn wants_signatures(&self) -> bool {
        self.contents.is_signed() && self.question.dnssec_ok()
    }

    /// The answer where the name exists, or the wildcard `owner` stands for it.
    fn at(&self, node: &'a Node, owner: Option<&'a Name>) -> Said<'a> {
        // Where a name has nothing else, a question about everything is about what steering says, too.
        let is_about_all = matches!(self.kind, RecordType::ANY | RecordType::RRSIG) && node.sets.is_empty();
        let is_steered = node.steered.is_some() && (is_about_all || is_steered(self.kind));
        let (variant, scope) = match &node.steered {
            Some(choice) if is_steered => self.prepared.variant(choice.by, self.question, self.asker.address),
            _ => (0, 0),
        };
        let mut said = Said {
            rcode: Rcode::NoError,
            is_authoritative: true,
            answers: Vec::new(),
            authorities: Vec::new(),
            scope,
            extended: None,
        };
        let found = node.set(RecordType::CNAME, variant).or_else(|| node.set(self.kind, variant)).map(Cow::Borrowed);
        match found.or_else(|| self.about(node, variant)) {
            Some(set) => {
                said.answers.push((self.name.clone(), set));
                if owner.is_some() && self.wants_signatures() {
                    self.cover(self.name, &mut said);
                }
            }
            None => {
                let index = if is_steered { variant } else { node.denial.len().saturating_sub(1) };
                self.deny(node.denial.get(index), owner, &mut said);
                let is_closed = is_steered && node.sets(variant).next().is_none();
                said.extended = is_closed.then_some((extended::OTHER, "nothing may answer for this name now"));
            }
        }
        said
    }

    /// The answer to a question about everything, or about what is only made for answers.
    fn about(&self, node: &'a Node, variant: usize) -> Option<Cow<'a, Rrset>> {
        let first = node.sets(variant).next();
        match self.kind {
            // RFC 8482: one set where it has to be signed (§4.1), and else one that is made up (§4.2).
            RecordType::ANY => {
                first.map(|first| if self.wants_signatures() { Cow::Borrowed(first) } else { Cow::Owned(hinfo()) })
            }
            RecordType::RRSIG => first.filter(|set| !set.signatures.is_empty()).map(|set| {
                let (kind, ttl, data) = (RecordType::RRSIG, set.ttl, set.signatures.clone());
                Cow::Owned(Rrset { kind, ttl, data, signatures: Vec::new() })
            }),
            RecordType::NSEC => node.denial.last().map(Cow::Borrowed),
            _ => None,
        }
    }

    /// There is nothing of the type that was asked for.
    fn deny(&self, denial: Option<&'a Rrset>, wildcard: Option<&'a Name>, said: &mut Said<'a>) {
        said.authorities.push((self.apex(), Cow::Borrowed(self.contents.soa())));
        if !self.wants_signatures() {
            return;
        }
        // Of a wildcard: that it has nothing of the type, and that nothing is nearer. Both are in the chain: of a record of
        // another kind at one of its names a resolver would make one set with it.
        match wildcard {
            None => said.authorities.extend(denial.map(|denial| (self.name.clone(), Cow::Borrowed(denial)))),
            Some(wildcard) => {
                self.cover(wildcard, said);
                self.cover(self.name, said);
            }
        }
    }

    /// There is no such name.
    fn nowhere(&self, encloser: &Name, may_sign: &mut dyn FnMut() -> bool) -> Said<'a> {
        let mut said = Said::nothing(Rcode::NxDomain, None);
        said.is_authoritative = true;
        said.authorities.push((self.apex(), Cow::Borrowed(self.contents.soa())));
        if !self.wants_signatures() {
            return said;
        }
        if let Some(signer) = &self.prepared.signer
            && may_sign()
        {
            let mut sign = |_: Role, owner: &Name, ttl: u32, data: &[RData]| signer(owner, ttl, data);
            let name = self.name.to_lowercase();
            if let Some(denial) = minimal(&name, vec![NXNAME], self.contents.soa().ttl, &mut sign) {
                said.authorities.push((self.name.clone(), Cow::Owned(denial)));
                // RFC 9824 §5: who does not know NXNAME must not see a code that the proof does not prove.
                if !self.question.edns.is_some_and(|edns| edns.compact_ok) {
                    said.rcode = Rcode::NoError;
                }
                return said;
            }
        }
        self.cover(self.name, &mut said);
        if let Ok(wildcard) = encloser.prepend_label("*") {
            self.cover(&wildcard, &mut said);
        }
        said
    }

    /// Adds the record of the chain that covers `name`, once.
    fn cover(&self, name: &Name, said: &mut Said<'a>) {
        if let Some((owner, set)) = self.contents.covering(name)
            && !said.authorities.iter().any(|(other, set)| other == owner && set.kind == RecordType::NSEC)
        {
            said.authorities.push((owner.clone(), Cow::Borrowed(set)));
        }
    }

    /// The apex as it is written in the question, so that it can be a pointer there.
    fn apex(&self) -> Name {
        self.name.trim_to(usize::from(self.contents.apex.num_labels()))
    }
}

/// Whether steering has a say in the type.
#[must_use]
pub fn is_steered(kind: RecordType) -> bool {
    matches!(kind, RecordType::A | RecordType::AAAA | RecordType::HTTPS)
}

fn hinfo() -> Rrset {
    let data = vec![RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()))];
    Rrset { kind: RecordType::HINFO, ttl: ANY_TTL, data, signatures: Vec::new() }
}

/// Who we are, where the file lets us say it (RFC 4892).
fn chaos<'a>(prepared: &Prepared, name: &Name, kind: u16) -> Said<'a> {
    let is_text = matches!(RecordType::from(kind), RecordType::TXT | RecordType::ANY);
    let text = match name.to_lowercase().to_ascii().as_str() {
        "version.bind." | "version.server." => prepared.zone.version.as_deref(),
        "id.server." | "hostname.bind." => prepared.zone.version.as_ref().map(|_| prepared.site.as_str()),
        _ => None,
    };
    let (Some(text), true) = (text, is_text) else {
        return Said::nothing(Rcode::Refused, Some((extended::NOT_SUPPORTED, "only class IN is answered")));
    };
    let data = vec![RData::TXT(TXT::new(vec![text.to_owned()]))];
    let set = Rrset { kind: RecordType::TXT, ttl: 0, data, signatures: Vec::new() };
    let mut said = Said::nothing(Rcode::NoError, None);
    said.is_authoritative = true;
    said.answers.push((name.clone(), Cow::Owned(set)));
    said
}

/// Puts what is said into octets that the asker takes.
fn write(
    prepared: &Prepared,
    question: &Question<'_>,
    name: Option<&Name>,
    asker: &Asker,
    said: &Said<'_>,
    out: &mut Vec<u8>,
) {
    let class = DNSClass::from(question.class);
    let mut metadata = Metadata::new(
        u16::from_be_bytes([question.message[0], question.message[1]]),
        MessageType::Response,
        OpCode::Query,
    );
    metadata.authoritative = said.is_authoritative;
    metadata.recursion_desired = question.message[2] & 1 != 0;
    let number = said.rcode.number();
    metadata.response_code = ResponseCode::from((number >> 4) as u8, (number & 0xF) as u8);
    let mut message = Message::response(metadata.id, OpCode::Query);
    message.metadata = metadata;
    if let Some(name) = name {
        let mut query = Query::query(name.clone(), RecordType::from(question.kind));
        query.set_query_class(class);
        message.add_query(query);
    }
    let has_signatures = question.dnssec_ok();
    message.insert_answers(records(&said.answers, class, has_signatures));
    message.insert_authorities(records(&said.authorities, class, has_signatures));
    if let Some(edns) = options(prepared, question, asker, said) {
        message.set_edns(edns);
    }
    encode(&message, out);
    let limit = asker.answer_bytes_max(question);
    if out.len() > limit {
        message.answers.clear();
        message.authorities.clear();
        message.metadata.truncation = true;
        encode(&message, out);
    }
    pad(&mut message, question, asker, out);
}

fn pad(message: &mut Message, question: &Question<'_>, asker: &Asker, out: &mut Vec<u8>) {
    let wants = question.edns.is_some_and(|edns| edns.wants_padding);
    if !wants || !asker.transport.is_encrypted() {
        return;
    }
    // The option itself takes four.
    let missing = (out.len() + 4).next_multiple_of(PADDED_TO) - out.len() - 4;
    if let Some(edns) = &mut message.edns {
        edns.options_mut().insert(EdnsOption::Unknown(code::PADDING, vec![0; missing]));
        encode(message, out);
    }
}

fn records(sections: &[(Name, Cow<'_, Rrset>)], class: DNSClass, has_signatures: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for (owner, set) in sections {
        let signatures = if has_signatures { set.signatures.as_slice() } else { &[] };
        for data in set.data.iter().chain(signatures) {
            let mut record = Record::from_rdata(owner.clone(), set.ttl, data.clone());
            record.dns_class = class;
            records.push(record);
        }
    }
    records
}

/// Our OPT, if theirs came. The options stand in the order of their codes.
fn options(prepared: &Prepared, question: &Question<'_>, asker: &Asker, said: &Said<'_>) -> Option<Edns> {
    let asked = question.edns?;
    let mut edns = Edns::new();
    edns.set_max_payload(DNS_UDP_RESPONSE_BYTES_MAX as u16);
    edns.set_dnssec_ok(asked.dnssec_ok);
    let options = edns.options_mut();
    let mut put = |code, data: Vec<u8>| options.insert(EdnsOption::Unknown(code, data));
    if asked.wants_nsid {
        put(code::NSID, prepared.site.as_bytes().to_vec());
    }
    if let Some(subnet) = asked.subnet.filter(|_| prepared.believes(asker.address)) {
        let mut octets = subnet.octets.to_vec();
        octets[3] = if subnet.source == 0 { 0 } else { said.scope };
        put(code::CLIENT_SUBNET, octets);
    }
    if let Some(cookie) = asker.cookie {
        put(code::COOKIE, cookie.to_vec());
    }
    if let Some(keepalive) = asker.keepalive().filter(|_| asked.wants_keepalive) {
        put(code::KEEPALIVE, keepalive.to_vec());
    }
    if let Some((number, text)) = said.extended {
        put(code::EXTENDED_ERROR, [&number.to_be_bytes(), text.as_bytes()].concat());
    }
    Some(edns)
}

fn encode(message: &Message, out: &mut Vec<u8>) {
    out.clear();
    let mut encoder = BinEncoder::new(out);
    let whole = message.emit(&mut encoder);
    debug_assert!(whole.is_ok(), "what was prepared can be written: {whole:?}");
}
