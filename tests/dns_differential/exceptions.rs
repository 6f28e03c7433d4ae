//! Every difference that is meant to be: which, why, and exactly what is said instead. What is not here is a mistake.

use crate::compare::{Case, Field, set};
use crate::dns::message::{Record, Reply, kind, rcode};

/// A difference that is meant to be.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// What it is called in reports.
    pub name: &'static str,
    /// Why it is right.
    pub why: &'static str,
    /// Where it shows.
    pub fields: &'static [Field],
    /// Whether it explains this case: that the question is of its kind, and that our answer is what it should be.
    pub explains: fn(&Case, Field) -> bool,
}

use Field::{Aa, Additional, Answer, Authority, Bits, Edns, Question, Rcode, Tc};

/// All of them. One that explains nothing any more fails the test too.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "flattened",
        why: "an alias inside the zone is answered with what its target has: one question less for every resolver, and \
              a name that has a CNAME can be steered",
        fields: &[Answer, Authority],
        explains: flattened,
    },
    Exception {
        name: "any",
        why: "RFC 8482 §4.2: one made-up HINFO record instead of all there is, which only amplifiers want; NSD and Knot \
              give one set of those there are (§4.1)",
        fields: &[Answer, Authority, Tc],
        explains: |case, _| {
            let [answer] = case.ours.answers() else { return false };
            let named = answer.owner == lower(&case.asked.question.name);
            case.asked.question.kind == kind::ANY
                && named
                && answer.kind == kind::HINFO
                && answer.data == b"\x07RFC8482\0"
        },
    },
    Exception {
        name: "no-additional",
        why: "additional records are a courtesy (RFC 1034 §4.3.2 step 6): Knot adds addresses of mail and name servers, \
              which make answers larger and are asked for anyway",
        fields: &[Additional],
        explains: |case, _| case.ours.sections[2].is_empty(),
    },
    Exception {
        name: "meta-types",
        why: "types 0, OPT and TSIG are no types of data, and to ask for them is a mistake of form (RFC 6895 §3.1); so it is \
              for NXNAME (RFC 9824 §3.4). TKEY (RFC 2930) is not implemented. NSD and Knot answer as if they were data, Knot \
              0 with NOTIMP",
        fields: &[Rcode, Aa, Answer, Authority],
        explains: |case, field| match case.asked.question.kind {
            // Of another class it is the class that is refused, by NSD too.
            0 if case.asked.question.class != 1 => says_only(&case.ours, rcode::REFUSED) && case.is_like_one(field),
            0 | kind::OPT | 250 | 128 => says_only(&case.ours, rcode::FORMERR),
            249 => says_only(&case.ours, rcode::NOTIMP),
            _ => false,
        },
    },
    Exception {
        name: "class-any",
        why: "class ANY (RFC 1035 §3.2.5) would be answered without authority by NSD and with it by Knot; there is one class \
              here, and who asks for any is refused as for any other class",
        fields: &[Rcode, Aa, Answer, Authority, Additional],
        explains: |case, _| case.asked.question.class == 255 && says_only(&case.ours, rcode::REFUSED),
    },
    Exception {
        name: "other-classes",
        why: "NSD sends nothing of the question back when it refuses a class; Knot does, and so do we (RFC 1035 §4.1.2)",
        fields: &[Question],
        explains: |case, _| case.nsd.question.is_empty() && case.is_like_one(Question),
    },
    Exception {
        name: "no-transfers",
        why: "the zone is not transferred, whoever asks: REFUSED. Others say NOTAUTH for want of a rule or of the zone, and \
              NOTIMP over UDP",
        fields: &[Rcode],
        explains: |case, _| {
            let is_transfer = matches!(case.asked.question.kind, kind::AXFR | kind::IXFR);
            let errors = [rcode::REFUSED, rcode::NOTAUTH, rcode::NOTIMP];
            is_transfer
                && says_only(&case.ours, rcode::REFUSED)
                && case.others().iter().all(|other| errors.contains(&other.rcode))
        },
    },
    Exception {
        name: "badvers-bits",
        why: "NSD copies all header bits into BADVERS answers, and clears DO; we say what we say elsewhere (RFC 6891 §6.1.3)",
        fields: &[Aa, Tc, Bits, Edns],
        explains: |case, _| {
            let all = case.others().into_iter().chain([&case.ours]);
            all.into_iter().all(|reply| reply.rcode == rcode::BADVERS) && says_only(&case.ours, rcode::BADVERS)
        },
    },
    Exception {
        name: "denial-at-an-alias",
        why: "in an unsigned zone NSD (RRSIG, NSEC) and Knot (NSEC3) follow a CNAME for types that stand beside one, or do not; \
              we always follow it, as for every type that is not CNAME (RFC 1034 §3.6.2)",
        fields: &[Answer, Authority],
        explains: |case, field| {
            matches!(case.asked.question.kind, kind::RRSIG | kind::NSEC | 50) && case.is_like_one(field)
        },
    },
];

/// A name in lower case, as records are read.
fn lower(name: &[u8]) -> Vec<u8> {
    name.to_ascii_lowercase()
}

/// Whether it is nothing but this code.
fn says_only(reply: &Reply, code: u16) -> bool {
    reply.rcode == code && reply.flags & 0x0600 == 0 && reply.sections.iter().all(Vec::is_empty)
}

/// An alias of ours against a CNAME and what it leads to of theirs: ours has what the target has, with the owner that was
/// asked for, and for as long as both may be believed.
fn flattened(case: &Case, field: Field) -> bool {
    case.others().into_iter().all(|other| {
        let (aliases, rest): (Vec<&Record>, Vec<&Record>) =
            other.answers().iter().partition(|record| record.kind == kind::CNAME);
        let [alias] = aliases[..] else { return false };
        let asked_for_it = matches!(case.asked.question.kind, kind::CNAME | kind::ANY);
        let is_inside = alias.data.ends_with(b"\x04diff\x07example\0");
        let owned = |record: &&Record| Record {
            owner: alias.owner.clone(),
            ttl: record.ttl.min(alias.ttl),
            ..(*record).clone()
        };
        let expected: Vec<Record> = rest.iter().map(owned).collect();
        let is_so = match field {
            Answer => set(case.ours.answers()) == set(&expected),
            // A CNAME is not there for us: that is an answer without data, and says so.
            _ => asked_for_it && case.ours.answers().is_empty() && case.ours.authorities().len() == 1,
        };
        is_inside && alias.owner == lower(&case.asked.question.name) && is_so
    })
}
