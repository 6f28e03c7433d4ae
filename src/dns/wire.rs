//! The fast path: the questions that everybody asks, answered from prepared octets. No allocation, no lock.
//!
//! It can only agree: whatever it does not recognise it leaves to [`answer`](super::answer).

use super::asker::Asker;
use super::chain::Link;
use super::prepared::{Entry, Prepared, Section, Sections, Table};
use super::question::{HEADER_BYTES, NAME_BYTES_MAX, Question, Rcode, code};
use crate::limits::DNS_UDP_RESPONSE_BYTES_MAX;

/// Types below this are asked for as what they are; from here on they mean something else (RFC 6895 §3.1). So do a few below.
const META_TYPES: u16 = 128;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const CNAME: u16 = 5;
/// CAA (RFC 8659), the one common type beyond them.
const CAA: u16 = 257;
/// AA, among the flags.
const AUTHORITATIVE: u8 = 0x04;

/// What is answered with, before the asker's options.
struct Found<'a> {
    section: &'a Section,
    /// Records of the chain that go behind it.
    proof: [Option<&'a Link>; 2],
    rcode: Rcode,
    scope: u8,
}

/// Adds the answer to `question` at the end of `out`, if it is one of those. What is there already stays. What would be
/// signed if it `may` be is not.
#[inline]
pub fn answer(
    prepared: &Prepared,
    question: &Question<'_>,
    asker: &Asker,
    may_sign: &mut dyn FnMut() -> bool,
    out: &mut Vec<u8>,
) -> Option<Rcode> {
    let is_plain = (1..META_TYPES).contains(&question.kind) || question.kind == CAA;
    if !is_plain
        || question.class != code::IN
        || question.name_bytes == 0
        || matches!(question.kind, RRSIG | NSEC | code::OPT)
    {
        return None;
    }
    if asker.transport.is_encrypted() && question.edns.is_some_and(|edns| edns.wants_padding) {
        return None;
    }
    let found = find(prepared, question, asker, may_sign)?;
    let base = out.len();
    write(prepared, question, asker, &found, out);
    if out.len() - base > asker.answer_bytes_max(question) {
        out.truncate(base);
        return None;
    }
    Some(found.rcode)
}

#[inline]
fn find<'a>(
    prepared: &'a Prepared,
    question: &Question<'_>,
    asker: &Asker,
    may_sign: &mut dyn FnMut() -> bool,
) -> Option<Found<'a>> {
    let table = &prepared.octets;
    let mut name = [0; NAME_BYTES_MAX];
    let name = &mut name[..question.name_bytes];
    name.copy_from_slice(question.name());
    // The octets that count a label's are below any letter.
    name.make_ascii_lowercase();
    let is_signed = table.is_signed && question.dnssec_ok();
    if let Some(entry) = table.get(name) {
        return of_entry(prepared, entry, question, asker, is_signed);
    }
    // What is above it: the first name that exists says whether a wildcard stands for it.
    let mut at = 0;
    while name.len() - at > table.apex_bytes {
        at += 1 + usize::from(name[at]);
        let Some(entry) = table.get(&name[at..]) else { continue };
        return match &entry.wildcard {
            Some(wildcard) => {
                let mut found = of_entry(prepared, wildcard, question, asker, is_signed)?;
                if is_signed {
                    // That nothing is nearer is in the chain; that there is nothing at all is told at length.
                    let covering = table.chain.covering(name).filter(|_| found.section.answers > 0)?;
                    found.proof[0] = Some(table.chain.link(covering));
                }
                Some(found)
            }
            None if is_signed => nowhere(table, entry, name, may_sign),
            None => Some(Found { section: &table.nowhere.plain, proof: [None; 2], rcode: Rcode::NxDomain, scope: 0 }),
        };
    }
    None
}

/// That there is no such name, below that of `encloser`, proven by the chain if it cannot be signed.
fn nowhere<'a>(
    table: &'a Table,
    encloser: &Entry,
    name: &[u8],
    may_sign: &mut dyn FnMut() -> bool,
) -> Option<Found<'a>> {
    if may_sign() {
        return None;
    }
    let (covering, no_wildcard) = (table.chain.covering(name)?, encloser.no_wildcard?);
    let second = (no_wildcard != covering).then(|| table.chain.link(no_wildcard));
    let proof = [Some(table.chain.link(covering)), second];
    Some(Found { section: &table.nowhere.signed, proof, rcode: Rcode::NxDomain, scope: 0 })
}

#[inline]
fn of_entry<'a>(
    prepared: &'a Prepared,
    entry: &'a Entry,
    question: &Question<'_>,
    asker: &Asker,
    is_signed: bool,
) -> Option<Found<'a>> {
    let kind = if entry.is_cname { CNAME } else { question.kind };
    let (mut variant, mut scope) = (entry.nothing.len() - 1, 0);
    let mut answer = entry.fixed.iter().find(|(of, _)| *of == kind);
    if let Some((by, variants)) = &entry.steered
        && super::answer::is_steered(question.kind.into())
    {
        (variant, scope) = prepared.variant(*by, question, asker.address);
        let sets = &variants[variant];
        // Nothing may answer: that is told at length.
        if sets.is_empty() {
            return None;
        }
        answer = answer.or_else(|| sets.iter().find(|(of, _)| *of == kind));
    }
    let sections: &Sections = match answer {
        Some((_, sections)) => sections,
        None => &entry.nothing[variant],
    };
    let section = if is_signed { &sections.signed } else { &sections.plain };
    Some(Found { section, proof: [None; 2], rcode: Rcode::NoError, scope })
}

#[inline]
fn write(prepared: &Prepared, question: &Question<'_>, asker: &Asker, found: &Found<'_>, out: &mut Vec<u8>) {
    let (message, section) = (question.message, found.section);
    let [id_high, id_low, flags, _, ..] = *message else { return };
    let proven: u16 = found.proof.iter().flatten().map(|link| link.count).sum();
    let (answers, authorities) = (section.answers.to_be_bytes(), (section.authorities + proven).to_be_bytes());
    out.extend_from_slice(&[
        id_high,
        id_low,
        0x80 | AUTHORITATIVE | flags & 1,
        found.rcode.number() as u8,
        0,
        1,
        answers[0],
        answers[1],
        authorities[0],
        authorities[1],
        0,
        u8::from(question.edns.is_some()),
    ]);
    out.extend_from_slice(&message[HEADER_BYTES..question.end()]);
    let start = out.len();
    out.extend_from_slice(&section.octets);
    let apex = (0xC000 | (HEADER_BYTES + question.name_bytes - prepared.octets.apex_bytes) as u16).to_be_bytes();
    for at in &section.apex_at {
        let at = start + usize::from(*at);
        out[at..at + 2].copy_from_slice(&apex);
    }
    for link in found.proof.iter().flatten() {
        out.extend_from_slice(&link.octets);
    }
    write_options(prepared, question, asker, found.scope, out);
}

#[inline]
fn write_options(prepared: &Prepared, question: &Question<'_>, asker: &Asker, scope: u8, out: &mut Vec<u8>) {
    let Some(edns) = question.edns else { return };
    let [size_high, size_low] = (DNS_UDP_RESPONSE_BYTES_MAX as u16).to_be_bytes();
    out.extend_from_slice(&[
        0,
        0,
        code::OPT as u8,
        size_high,
        size_low,
        0,
        0,
        if edns.dnssec_ok { 0x80 } else { 0 },
        0,
        0,
        0,
    ]);
    let start = out.len();
    let mut put = |code: u16, data: &[u8], more: &[u8]| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&((data.len() + more.len()) as u16).to_be_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(more);
    };
    if edns.wants_nsid {
        put(code::NSID, prepared.site.as_bytes(), &[]);
    }
    if let Some(subnet) = edns.subnet.filter(|_| prepared.believes(asker.address)) {
        let scope = if subnet.source == 0 { 0 } else { scope };
        // As it came, but for the scope.
        let (before, after) = subnet.octets.split_at(3);
        put(code::CLIENT_SUBNET, &[before[0], before[1], before[2], scope], &after[1..]);
    }
    if let Some(cookie) = &asker.cookie {
        put(code::COOKIE, cookie, &[]);
    }
    if let Some(keepalive) = asker.keepalive().filter(|_| edns.wants_keepalive) {
        put(code::KEEPALIVE, &keepalive, &[]);
    }
    let length = ((out.len() - start) as u16).to_be_bytes();
    out[start - 2..start].copy_from_slice(&length);
}
