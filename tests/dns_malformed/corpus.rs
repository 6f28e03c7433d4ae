//! Messages that are wrong, each by one thing, and what they must get.

use crate::dns::message::{DNSSEC_OK, Edns, Question, header, kind, opt, option, rcode, subnet, wire_name};
use crate::dns::zone::ZONE;

/// What must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Not an octet.
    Silence,
    /// An answer with this code.
    Code(u16),
}

/// A message and what must come back.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What is wrong with it.
    pub what: String,
    /// The message; its id is 0.
    pub octets: Vec<u8>,
    /// What must come back.
    pub expect: Expect,
}

use Expect::{Code, Silence};

/// All of them.
pub fn corpus() -> Vec<Broken> {
    let mut all = Vec::new();
    let mut add = |what: &str, octets: Vec<u8>, expect| all.push(Broken { what: what.to_owned(), octets, expect });
    truncated(&mut add);
    headers(&mut add);
    names(&mut add);
    sections(&mut add);
    edns(&mut add);
    subnets(&mut add);
    cookies(&mut add);
    meta(&mut add);
    all
}

type Add<'a> = &'a mut dyn FnMut(&str, Vec<u8>, Expect);

fn www() -> Question {
    Question::new(&format!("www.{ZONE}"), kind::A)
}

/// A question with all there can be: DO, a subnet, a cookie, NSID and something unknown.
pub fn full() -> Question {
    let options = vec![
        (option::CLIENT_SUBNET, subnet(1, 24, 0, &[192, 0, 2])),
        (option::COOKIE, vec![1; 8]),
        (option::NSID, Vec::new()),
        (65_001, vec![7; 5]),
    ];
    www().with(Edns { flags: DNSSEC_OK, options, ..Edns::default() })
}

fn truncated(add: Add<'_>) {
    let whole = full().octets(0);
    for length in 0..whole.len() {
        let expect = if length < 12 { Silence } else { Code(rcode::FORMERR) };
        add(&format!("cut after {length} octets"), whole[..length].to_vec(), expect);
    }
}

fn headers(add: Add<'_>) {
    // An answer to an answer would go round for ever, whatever else is in it.
    for octets in [www().octets(0), full().octets(0), header(0, 0, [0; 4]), www().octets(0)[..20].to_vec()] {
        for opcode in 0..16 {
            let mut octets = octets.clone();
            octets[2] |= 0x80 | opcode << 3;
            add(&format!("an answer of opcode {opcode}, {} octets", octets.len()), octets, Silence);
        }
    }
    for opcode in 1..16 {
        let question = Question { flags: opcode << 11, ..www() };
        add(&format!("opcode {opcode}"), question.octets(0), Code(rcode::NOTIMP));
    }
    // NOTIFY with its SOA, UPDATE with a record to add, as those send them who mean it.
    let mut notify = Question { flags: 4 << 11 | 0x0400, ..Question::new(ZONE, kind::SOA) }.octets(0);
    notify[7] = 1;
    notify.extend_from_slice(&record(
        &[0xC0, 12],
        kind::SOA,
        &[&wire_name("a")[..], &wire_name("b"), &[0; 20]].concat(),
    ));
    add("NOTIFY with a SOA", notify, Code(rcode::NOTIMP));
    let mut update = Question { flags: 5 << 11, ..Question::new(ZONE, kind::SOA) }.octets(0);
    update[9] = 1;
    update.extend_from_slice(&record(&[1, b'x', 0xC0, 12], kind::A, &[192, 0, 2, 1]));
    add("UPDATE that adds", update, Code(rcode::NOTIMP));
    add(
        "DSO keepalive",
        [header(0, 6 << 11, [0; 4]), vec![0, 1, 0, 8, 0, 0, 0x3A, 0x98, 0, 0, 0x3A, 0x98]].concat(),
        Code(rcode::NOTIMP),
    );
}

fn names(add: Add<'_>) {
    let asked = |name: &[u8]| [&header(0, 0, [1, 0, 0, 0])[..], name, &[0, 1, 0, 1]].concat();
    add("a pointer at itself", asked(&[0xC0, 12]), Code(rcode::FORMERR));
    add("two pointers at each other", asked(&[1, b'a', 0xC0, 16, 0xC0, 12]), Code(rcode::FORMERR));
    add("a pointer into the header", asked(&[3, b'w', b'w', b'w', 0xC0, 0]), Code(rcode::FORMERR));
    add("a pointer beyond the end", asked(&[3, b'w', b'w', b'w', 0xFF, 0xFF]), Code(rcode::FORMERR));
    add("a pointer cut in two", [&header(0, 0, [1, 0, 0, 0])[..], &[0xC0]].concat(), Code(rcode::FORMERR));
    for first in [0x40, 0x41, 0x7F, 0x80, 0xBF] {
        let name = [&[first][..], &[b'x'; 64], &[0]].concat();
        add(&format!("a label that begins with {first:#04x}"), asked(&name), Code(rcode::FORMERR));
    }
    // The longest name is answered; one octet more is none.
    let long = |last: u8| {
        let mut name = Vec::new();
        for length in [63, 63, 63, last] {
            name.push(length);
            name.extend(std::iter::repeat_n(b'n', length.into()));
        }
        name.push(0);
        name
    };
    add("a name of 255 octets", asked(&long(61)), Code(rcode::REFUSED));
    add("a name of 256 octets", asked(&long(62)), Code(rcode::FORMERR));
    add("a name of 128 labels", asked(&[&[1, b'n'].repeat(127)[..], &[0]].concat()), Code(rcode::REFUSED));
    add("a name of 129 labels", asked(&[&[1, b'n'].repeat(128)[..], &[0]].concat()), Code(rcode::FORMERR));
    let strange: Vec<u8> = [&[8, 0, 0xFF, b'.', b'\\', b'"', b' ', 0x7F, 0xC0][..], &wire_name(ZONE)].concat();
    add("a label of any octets", asked(&strange), Code(rcode::NXDOMAIN));
}

/// A record with this owner, class IN and TTL 0.
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short");
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 0], &length.to_be_bytes(), data].concat()
}

fn sections(add: Add<'_>) {
    let two = [&header(0, 0, [2, 0, 0, 0])[..], &www().octets(0)[12..], &www().octets(0)[12..]].concat();
    add("two questions", two, Code(rcode::FORMERR));
    add("no question", header(0, 0, [0; 4]), Code(rcode::FORMERR));
    add("no question, with an OPT", [header(0, 0, [0, 0, 0, 1]), opt(&Edns::default())].concat(), Code(rcode::FORMERR));
    for (at, what) in [(4, "questions"), (6, "answers"), (8, "authorities"), (10, "additionals")] {
        let mut octets = www().octets(0);
        octets[at..at + 2].copy_from_slice(&[0xFF, 0xFF]);
        add(&format!("65535 {what} that are not there"), octets, Code(rcode::FORMERR));
    }
    for garbage in [&[0][..], &[0xC0, 12], &[7; 400]] {
        let octets = [&www().octets(0)[..], garbage].concat();
        add(&format!("{} octets after its end", garbage.len()), octets, Code(rcode::FORMERR));
        let octets = [&full().octets(0)[..], garbage].concat();
        add(&format!("{} octets after its OPT", garbage.len()), octets, Code(rcode::FORMERR));
    }
    let with = |at: usize, records: &[u8]| {
        let mut octets = www().octets(0);
        octets[at + 1] += 1;
        octets.extend_from_slice(records);
        octets
    };
    add(
        "a record longer than the message",
        with(10, &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF, 1]),
        Code(rcode::FORMERR),
    );
    add("an OPT among the answers", with(6, &opt(&Edns::default())), Code(rcode::FORMERR));
    add("an OPT among the authorities", with(8, &opt(&Edns::default())), Code(rcode::FORMERR));
    // Surplus records say nothing to us, as IXFR's SOA would not.
    add("a record among the authorities", with(8, &record(&[0xC0, 12], kind::A, &[1, 2, 3, 4])), Code(rcode::NOERROR));
}

fn edns(add: Add<'_>) {
    let with = |records: &[Vec<u8>]| {
        let mut octets = www().octets(0);
        octets[11] = u8::try_from(records.len()).expect("few");
        octets.extend(records.concat());
        octets
    };
    let plain = || opt(&Edns::default());
    add("two OPTs", with(&[plain(), plain()]), Code(rcode::FORMERR));
    add("an OPT that is not the root's", with(&[[&[1, b'x'][..], &plain()].concat()]), Code(rcode::FORMERR));
    add("an OPT by a pointer to the root", with(&[[&[0xC0, 28][..], &plain()[1..]].concat()]), Code(rcode::FORMERR));
    for version in [1, 2, 255] {
        let edns = Edns { version, ..Edns::default() };
        add(&format!("EDNS version {version}"), www().with(edns).octets(0), Code(rcode::BADVERS));
    }
    for size in [0, 1, 511] {
        let edns = Edns { size, ..Edns::default() };
        add(&format!("an EDNS size of {size}, which counts as 512"), www().with(edns).octets(0), Code(rcode::NOERROR));
    }
    for (what, data) in
        [("code alone", &[0, 3][..]), ("half a length", &[0, 3, 0]), ("length too long", &[0, 3, 0, 9, 1])]
    {
        let mut record = plain();
        record[10] = u8::try_from(data.len()).expect("few");
        record.extend_from_slice(data);
        add(&format!("an option with its {what}"), with(&[record]), Code(rcode::FORMERR));
    }
    let many = Edns { options: vec![(65_001, Vec::new()); 300], ..Edns::default() };
    add("300 unknown options", www().with(many).octets(0), Code(rcode::NOERROR));
}

fn subnets(add: Add<'_>) {
    let asked = |data: &[u8]| www().option(option::CLIENT_SUBNET, data).octets(0);
    for length in 0..4 {
        add(&format!("a subnet of {length} octets"), asked(&[0, 1, 24, 0][..length]), Code(rcode::FORMERR));
    }
    let bad: [(&str, Vec<u8>); 10] = [
        ("of family 3", subnet(3, 24, 0, &[1, 2, 3])),
        ("of family 65535", subnet(65_535, 0, 0, &[])),
        ("of family 0 with an address", subnet(0, 8, 0, &[10])),
        ("of 33 bits of IPv4", subnet(1, 33, 0, &[1, 2, 3, 4, 5])),
        ("of 129 bits of IPv6", subnet(2, 129, 0, &[1; 17])),
        ("with an octet too many", subnet(1, 24, 0, &[1, 2, 3, 0])),
        ("with an octet too few", subnet(1, 24, 0, &[1, 2])),
        ("with a bit beyond its prefix", subnet(1, 20, 0, &[1, 2, 0x1F])),
        ("with a bit of IPv6 beyond its prefix", subnet(2, 57, 0, &[0x20, 1, 0, 0, 0, 0, 0, 0x40])),
        ("with a scope", subnet(1, 24, 24, &[1, 2, 3])),
    ];
    for (what, data) in bad {
        add(&format!("a subnet {what}"), asked(&data), Code(rcode::FORMERR));
    }
    let twice = vec![(option::CLIENT_SUBNET, subnet(1, 24, 0, &[1, 2, 3])); 2];
    add("two subnets", www().with(Edns { options: twice, ..Edns::default() }).octets(0), Code(rcode::FORMERR));
    for (what, data) in [
        ("of nobody", subnet(1, 0, 0, &[])),
        ("of nobody, of IPv6", subnet(2, 0, 0, &[])),
        ("of all bits", subnet(1, 32, 0, &[1, 2, 3, 4])),
        ("of loopback", subnet(1, 8, 0, &[127])),
    ] {
        add(&format!("a subnet {what}"), asked(&data), Code(rcode::NOERROR));
    }
}

fn cookies(add: Add<'_>) {
    let asked = |length: usize| www().option(option::COOKIE, vec![3; length]).octets(0);
    for length in (0..8).chain(9..16).chain([41, 100]) {
        add(&format!("a cookie of {length} octets"), asked(length), Code(rcode::FORMERR));
    }
    // Without ours, or with one that we never gave: answered, with a good one.
    for length in [8, 16, 24, 40] {
        add(&format!("a cookie of {length} octets, not ours"), asked(length), Code(rcode::NOERROR));
    }
    let only =
        [header(0, 0, [0, 0, 0, 1]), opt(&Edns { options: vec![(option::COOKIE, vec![3; 8])], ..Edns::default() })];
    add("only a cookie", only.concat(), Code(rcode::NOERROR));
}

fn meta(add: Add<'_>) {
    for class in [0, 2, 3, 4, 254, 255, 65_280, 65_535] {
        add(&format!("class {class}"), Question { class, ..www() }.octets(0), Code(rcode::REFUSED));
    }
    for kind in [kind::AXFR, kind::IXFR] {
        add(&format!("type {kind} of the zone"), Question::new(ZONE, kind).octets(0), Code(rcode::REFUSED));
    }
    for kind in [0, kind::OPT, 128, 250] {
        add(&format!("type {kind}"), Question { kind, ..www() }.octets(0), Code(rcode::FORMERR));
    }
    let key = [&wire_name("hmac-sha256")[..], &[0, 0, 0, 0, 0, 1, 1, 44, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0]].concat();
    let mut signed = www().octets(0);
    signed[11] = 1;
    signed.extend_from_slice(&wire_name("nobodys-key"));
    signed.extend_from_slice(&[0, 250, 0, 255, 0, 0, 0, 0]);
    signed.extend_from_slice(&u16::try_from(key.len()).expect("short").to_be_bytes());
    signed.extend_from_slice(&key);
    add("a TSIG of a key that nobody has", signed, Code(rcode::NOTAUTH));
}
