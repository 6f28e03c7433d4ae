//! What our keys sign, judged by validators that are not ours: `ldns-verify-zone` and BIND's `dnssec-verify` read whole
//! zones at every stage of a roll, and hickory what resolvers may hold at the seams between two stages.

#[path = "common/needs.rs"]
mod needs;

use anyfront::dnssec::change::Change;
use anyfront::dnssec::key::ds;
use anyfront::dnssec::life::{NewKey, Step};
use anyfront::dnssec::timing::{DNSKEY_TTL, PARENT_TTL, window_at};
use anyfront::dnssec::{Duty, Keyring};
use anyfront::moment::Clock;
use hickory_proto::dnssec::rdata::{DNSKEY, DS, NSEC, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, Verifier};
use hickory_proto::rr::rdata::{A, CAA, MX, NS, NULL, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect(text)
}

fn zone() -> Name {
    name("gateway.example.")
}

type Sets = BTreeMap<(Name, RecordType), (u32, Vec<RData>)>;

/// A zone with whatever is hard to sign: mixed case, wildcards, octets without a type, order and repetition.
fn records(duty: &Duty) -> Sets {
    let mut sets = Sets::new();
    let mut add = |owner: &str, ttl: u32, data: RData| {
        let set = sets.entry((name(owner).to_lowercase(), data.record_type())).or_insert_with(|| (ttl, Vec::new()));
        set.1.push(data);
    };
    let apex = "gateway.example.";
    let soa = SOA::new(name("NS1.Gateway.example."), name("Hostmaster.example."), 7, 7_200, 900, 1_209_600, 60);
    add(apex, 3_600, RData::SOA(soa));
    for host in ["ns1.gateway.example.", "NS2.Elsewhere.example."] {
        add(apex, 86_400, RData::NS(NS(name(host))));
    }
    add(apex, 300, RData::MX(MX::new(10, name("Mail.Example."))));
    add(apex, 300, RData::MX(MX::new(5, name("backup.example."))));
    for text in ["zz", "a", "aaa", "a"] {
        add(apex, 300, RData::TXT(TXT::new(vec![text.to_owned()])));
    }
    add(apex, 300, RData::CAA(CAA::new_issue(false, Some(name("letsencrypt.org")), Vec::new())));
    for last in [9, 200, 1] {
        add("ns1.gateway.example.", 60, RData::A(A::new(192, 0, 2, last)));
    }
    add("*.wild.gateway.example.", 60, RData::A(A::new(192, 0, 2, 77)));
    let unknown =
        |code: u16, octets: &[u8]| RData::Unknown { code: RecordType::from(code), rdata: NULL::with(octets.to_vec()) };
    add("old.gateway.example.", 60, unknown(18, b"\0\x01\x04Host\x07EXAMPLE\0"));
    add("new.gateway.example.", 60, unknown(65_280, b"\x04Host\x07EXAMPLE\0"));
    let hour = u32::try_from(DNSKEY_TTL.as_secs()).expect("an hour");
    duty.dnskeys.iter().for_each(|dnskey| add(apex, hour, RData::from(dnskey.clone())));
    duty.cds.iter().for_each(|cds| add(apex, 300, RData::from(cds.clone())));
    duty.cdnskeys.iter().for_each(|cdnskey| add(apex, 300, RData::from(cdnskey.clone())));
    chain(&mut sets);
    sets
}

/// Adds NSEC in canonical order (RFC 4034 §6.1), as `Name` has it.
fn chain(sets: &mut Sets) {
    let mut types: BTreeMap<Name, BTreeSet<RecordType>> = BTreeMap::new();
    for (owner, kind) in sets.keys() {
        types.entry(owner.clone()).or_insert_with(|| [RecordType::RRSIG, RecordType::NSEC].into()).insert(*kind);
    }
    let owners: Vec<Name> = types.keys().cloned().collect();
    for (at, (owner, types)) in types.into_iter().enumerate() {
        let next = owners[(at + 1) % owners.len()].clone();
        let nsec = NSEC::new(next, types).into_rdata();
        sets.insert((owner, RecordType::NSEC), (60, vec![nsec]));
    }
}

/// Record sets with their TTL and signatures.
type SignedSets = BTreeMap<(Name, RecordType), (u32, Vec<RData>, Vec<RRSIG>)>;

fn signed(duty: &Duty) -> SignedSets {
    let window = window_at(Clock::start().wall());
    let sign = |((owner, kind), (ttl, data)): ((Name, RecordType), (u32, Vec<RData>))| {
        let keys = match kind {
            RecordType::DNSKEY | RecordType::CDS | RecordType::CDNSKEY => &duty.signs_keys,
            _ => &duty.signs_zone,
        };
        let rrsigs = keys.iter().map(|key| key.sign(&owner, ttl, &data, window, &zone()).expect("signed")).collect();
        ((owner, kind), (ttl, data, rrsigs))
    };
    records(duty).into_iter().map(sign).collect()
}

/// As on the wire, without compression.
fn octets(data: &RData) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).expect("encoded");
    octets
}

/// The zone as a file, with all RDATA as octets (RFC 3597 §5).
fn file(duty: &Duty) -> String {
    let mut text = String::new();
    let mut line = |owner: &Name, ttl: u32, data: &RData| {
        let octets = octets(data);
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let kind = u16::from(data.record_type());
        let _ = writeln!(text, "{owner} {ttl} IN TYPE{kind} \\# {} {hex}", octets.len());
    };
    let mut sets: Vec<_> = signed(duty).into_iter().collect();
    sets.sort_by_key(|((owner, kind), _)| (*owner != zone(), *kind != RecordType::SOA));
    for ((owner, _), (ttl, data, rrsigs)) in &sets {
        data.iter().for_each(|data| line(owner, *ttl, data));
        rrsigs.iter().for_each(|rrsig| line(owner, *ttl, &rrsig.clone().into_rdata()));
    }
    text
}

/// A folder with keys whose steps are taken in the past, and every time at which their duty changes.
fn duties(algorithms: [Algorithm; 2]) -> Vec<Duty> {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    let mut now = Clock::start().wall() - 60 * DAY;
    let mut change = Change::begin(&keys, &zone(), true).expect("ours alone");
    let mut duties = Vec::new();
    let keep = |duties: &mut Vec<Duty>, until: Duration| {
        let keyring = Keyring::open(&keys, &zone()).expect("read");
        let mut duty = keyring.at(Duration::ZERO);
        while let Some(next) = duty.until.filter(|next| *next <= until) {
            duties.push(std::mem::replace(&mut duty, keyring.at(next)));
        }
        duties.push(duty);
    };
    let make = |change: &mut Change, step: fn(NewKey) -> Step, algorithm, now| {
        change.make(step, algorithm, PARENT_TTL, now, "ada@host").expect("allowed")
    };
    let old = make(&mut change, Step::Generate, algorithms[0], now);
    keep(&mut duties, now + 2 * DAY);
    now += 2 * DAY;
    change.take(&[Step::DsSeen { tag: old, parent_ttl: None }], now, "ada@host").expect("allowed");
    let new = make(&mut change, Step::Roll, algorithms[1], now);
    keep(&mut duties, now + 3 * DAY);
    now += 3 * DAY;
    let steps = [Step::DsSeen { tag: new, parent_ttl: None }, Step::DsGone { tag: old }];
    change.take(&steps, now, "ada@host").expect("allowed");
    keep(&mut duties, now + 9 * DAY);
    now += 9 * DAY;
    change.take(&[Step::ToUnsigned], now, "ada@host").expect("allowed");
    keep(&mut duties, now + HOUR);
    duties
}

const ROLLS: [[Algorithm; 2]; 3] = [
    [Algorithm::ECDSAP256SHA256, Algorithm::ECDSAP256SHA256],
    [Algorithm::ECDSAP256SHA256, Algorithm::ED25519],
    [Algorithm::ED25519, Algorithm::ECDSAP256SHA256],
];

/// Runs a tool over the zone of every stage of every roll, and over one with a record that was changed after it was signed.
fn judged(tool: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("zone");
    let judge = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let output = Command::new(tool).args(arguments).arg(&path).stdin(Stdio::null()).output().expect("it runs");
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    for roll in ROLLS {
        for (at, duty) in duties(roll).iter().enumerate() {
            let text = file(duty);
            let (is_good, told) = judge(&text);
            assert!(is_good, "{tool} on stage {at} of {roll:?}: {told}\n{text}");
            let changed = text.replacen("IN TYPE1 \\# 4 c0000201", "IN TYPE1 \\# 4 c0000202", 1);
            assert_ne!(changed, text);
            assert!(!judge(&changed).0, "{tool} took a zone that was changed");
        }
    }
}

#[test]
fn ldns_takes_the_zone_at_every_stage_of_a_roll() {
    if needs::program("ldns-verify-zone").is_some() {
        judged("ldns-verify-zone", &[]);
    }
}

#[test]
fn bind_takes_the_zone_at_every_stage_of_a_roll() {
    if needs::program("dnssec-verify").is_some() {
        judged("dnssec-verify", &["-q", "-z", "-o", "gateway.example."]);
    }
}

/// Whether one DS leads to DNSKEY and one of its keys to the RRset (RFC 4035 §5).
fn is_secure(trust: &[DS], keys: &(u32, Vec<RData>, Vec<RRSIG>), set: &(Name, (u32, Vec<RData>, Vec<RRSIG>))) -> bool {
    let dnskeys: Vec<&DNSKEY> = keys.1.iter().filter_map(RecordData::try_borrow).collect();
    let verified = |key: &DNSKEY, owner: &Name, set: &(u32, Vec<RData>, Vec<RRSIG>)| {
        let mut data = set.1.clone();
        data.dedup();
        let records: Vec<Record> =
            data.into_iter().map(|data| Record::from_rdata(owner.clone(), set.0, data)).collect();
        let tag = key.calculate_key_tag().expect("a tag");
        let of_key = set.2.iter().filter(|rrsig| rrsig.input().key_tag == tag);
        of_key.into_iter().any(|rrsig| key.verify_rrsig(owner, DNSClass::IN, rrsig, records.iter()).is_ok())
    };
    let is_trusted = |key: &&&DNSKEY| trust.iter().any(|ds| ds.covers(&zone(), key).unwrap_or(false));
    dnskeys.iter().filter(is_trusted).any(|key| verified(key, &zone(), keys))
        && dnskeys.iter().any(|key| verified(key, &set.0, &set.1))
}

#[test]
fn what_is_held_from_two_stages_in_a_row_validates_together() {
    let www = (name("ns1.gateway.example."), RecordType::A);
    for roll in ROLLS {
        let duties = duties(roll);
        let stages: Vec<_> = duties.iter().map(signed).collect();
        let keys = |at: usize| &stages[at][&(zone(), RecordType::DNSKEY)];
        let held = |at: usize| (www.0.clone(), stages[at][&www].clone());
        // The parent has what CDS asks for, as long as it asks for a key; before the first, nothing is validated.
        let mut trust: Vec<DS> = Vec::new();
        for (at, duty) in duties.iter().enumerate().take(duties.len() - 1) {
            let asked = duty.cds.first().filter(|cds| !cds.is_delete()).map(|cds| {
                let of = |dnskey: &&DNSKEY| dnskey.calculate_key_tag().is_ok_and(|tag| tag == cds.key_tag());
                ds(duty.dnskeys.iter().find(of).expect("a key that is published"), &zone(), DigestType::SHA256)
            });
            let before = std::mem::replace(&mut trust, asked.into_iter().collect());
            for ds in before.iter().chain(&trust) {
                for (dnskey, set) in [(at, at), (at, at + 1), (at + 1, at), (at + 1, at + 1)] {
                    let told = format!("{roll:?}: DS before {at}, DNSKEY of {dnskey}, the rest of {set}");
                    assert!(is_secure(std::slice::from_ref(ds), keys(dnskey), &held(set)), "{told}");
                }
            }
        }
        assert!(!trust.is_empty(), "nothing was validated");
        let (first, last) = (0, duties.len() - 1);
        assert!(!is_secure(&trust, keys(first), &held(last)), "this validator takes everything");
    }
}
