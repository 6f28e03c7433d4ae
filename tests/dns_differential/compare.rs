//! One question, three answers, and what they differ in.

use crate::dns::message::{AA, AD, CD, DNSSEC_OK, QR, RA, RD, Record, Reply, TC, kind};
use crate::questions::Asked;
use std::fmt;

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// With the bits that an OPT adds.
    Rcode,
    Aa,
    Tc,
    /// QR, opcode, RD, RA, Z, AD and CD.
    Bits,
    /// The question as it comes back, to the octet.
    Question,
    Answer,
    Authority,
    Additional,
    /// Whether there is an OPT, its version and DO.
    Edns,
}

const FIELDS: [Field; 9] = [
    Field::Rcode,
    Field::Aa,
    Field::Tc,
    Field::Bits,
    Field::Question,
    Field::Answer,
    Field::Authority,
    Field::Additional,
    Field::Edns,
];

/// One question and what came back.
#[derive(Clone, Debug)]
pub struct Case {
    pub asked: Asked,
    pub ours: Reply,
    pub nsd: Reply,
    pub knot: Reply,
}

impl Case {
    /// All in which our answer differs from that of NSD or of Knot.
    pub fn differences(&self) -> Vec<Field> {
        let differ = |field: &Field| !same(*field, &self.ours, &self.nsd) || !same(*field, &self.ours, &self.knot);
        FIELDS.into_iter().filter(differ).collect()
    }

    /// The others' answers.
    pub fn others(&self) -> [&Reply; 2] {
        [&self.nsd, &self.knot]
    }

    /// Whether NSD and Knot do not agree either, and ours is like one of them.
    pub fn is_like_one(&self, field: Field) -> bool {
        same(field, &self.ours, &self.nsd) != same(field, &self.ours, &self.knot)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} over {}", self.asked.question, if self.asked.over_tcp { "TCP" } else { "UDP" })?;
        for (who, reply) in [("ours", &self.ours), ("NSD ", &self.nsd), ("Knot", &self.knot)] {
            writeln!(f, "    {who} {:04x} rcode {} {:?} {:?}", reply.flags, reply.rcode, reply.sections, reply.edns)?;
        }
        Ok(())
    }
}

/// Whether two answers say the same there. Sections are sets. The serial of SOA may be any: what a version of the zone is
/// called is nobody's matter.
fn same(field: Field, one: &Reply, other: &Reply) -> bool {
    let bits = QR | 0x7800 | RD | RA | 0x40 | AD | CD;
    let edns = |reply: &Reply| reply.edns.as_ref().map(|edns| (edns.version, edns.flags & DNSSEC_OK));
    match field {
        Field::Rcode => one.rcode == other.rcode,
        Field::Aa => one.has(AA) == other.has(AA),
        Field::Tc => one.has(TC) == other.has(TC),
        Field::Bits => one.flags & bits == other.flags & bits,
        Field::Question => one.question == other.question,
        Field::Answer => set(one.answers()) == set(other.answers()),
        Field::Authority => set(one.authorities()) == set(other.authorities()),
        Field::Additional => set(&one.sections[2]) == set(&other.sections[2]),
        Field::Edns => edns(one) == edns(other),
    }
}

/// A section as a set.
pub fn set(section: &[Record]) -> Vec<Record> {
    let mut set: Vec<Record> = section.iter().map(without_serial).collect();
    set.sort_unstable();
    set
}

fn without_serial(record: &Record) -> Record {
    let mut record = record.clone();
    if record.kind == kind::SOA
        && let Some(serial) = record.data.len().checked_sub(20)
    {
        record.data[serial..serial + 4].fill(0);
    }
    record
}
