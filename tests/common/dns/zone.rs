//! One zone for all servers: as a master file for others, and as the tables of `regions.toml` for this one.

use std::fmt::Write as _;

/// Its name.
pub const ZONE: &str = "diff.example";

/// A record: owner relative to the zone, seconds, type and value as master files write them. Of TXT the texts, each in
/// quotes.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub owner: &'static str,
    pub ttl: u32,
    pub kind: &'static str,
    pub value: &'static str,
}

const fn entry(owner: &'static str, ttl: u32, kind: &'static str, value: &'static str) -> Entry {
    Entry { owner, ttl, kind, value }
}

/// With [`ZONE`] it is a name of 255 octets.
pub const LONGEST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.\
                           bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.\
                           ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.\
                           dddddddddddddddddddddddddddddddddddddddddddddddd";

const TEXT_200: &str = "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
                        012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678";

/// What both have beside SOA, NS and the names that this server answers by steering.
#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    entry("@", 300, "A", "192.0.2.1"),
    entry("@", 300, "MX", "10 mail"),
    entry("@", 300, "MX", "20 mx.elsewhere.test."),
    entry("@", 600, "TXT", "\"v=spf1 -all\""),
    entry("@", 600, "TXT", "\"in two\" \"strings\""),
    entry("@", 900, "CAA", "0 issue \"ca.example\""),
    entry("@", 900, "CAA", "128 issuewild \";\""),
    entry("ns1", 3600, "A", "192.0.2.53"),
    entry("ns1", 3600, "AAAA", "2001:db8::53"),
    entry("mail", 300, "A", "192.0.2.25"),
    entry("www", 60, "A", "192.0.2.80"),
    entry("www", 60, "A", "192.0.2.81"),
    entry("www", 61, "AAAA", "2001:db8::80"),
    entry("v4", 60, "A", "192.0.2.4"),
    entry("v6", 60, "AAAA", "2001:db8::6"),
    entry("MiXeD", 60, "A", "192.0.2.5"),
    entry("_sip._tcp", 120, "SRV", "10 60 5060 sip"),
    entry("_sip._tcp", 120, "SRV", "20 0 5061 sip.elsewhere.test."),
    entry("sip", 120, "A", "192.0.2.60"),
    entry("_443._tcp.www", 120, "TLSA", "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    entry("host", 120, "SSHFP", "4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    entry("number", 120, "NAPTR", "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" ."),
    entry("service", 120, "HTTPS", "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.9 ipv6hint=2001:db8::9"),
    entry("service", 120, "A", "192.0.2.9"),
    entry("other", 120, "HTTPS", "0 service.elsewhere.test."),
    entry("_dns.resolver", 120, "SVCB", "1 dns.elsewhere.test. alpn=dot port=853"),
    // aliases, inside and outside
    entry("alias", 90, "CNAME", "www"),
    entry("alias-of-mail", 90, "CNAME", "mail"),
    entry("away", 90, "CNAME", "www.elsewhere.test."),
    // wildcards: plain, with what blocks them, nested, below a name that is empty, as an alias
    entry("*.wild", 45, "A", "192.0.2.7"),
    entry("*.wild", 45, "TXT", "\"wild\""),
    entry("known.wild", 45, "A", "192.0.2.8"),
    entry("host.sub.wild", 45, "A", "192.0.2.9"),
    entry("*.inner.wild", 45, "AAAA", "2001:db8::7"),
    entry("*.below.nothing", 45, "MX", "5 mail"),
    entry("*.far", 45, "CNAME", "www.elsewhere.test."),
    entry("*.near", 45, "CNAME", "www"),
    // names that only exist because of those below them
    entry("one.two.three.ent", 30, "A", "192.0.2.3"),
    entry("other.three.ent", 30, "TXT", "\"here\""),
    entry("x.y", 30, "A", "192.0.2.33"),
    // the longest there can be, alone and above a wildcard
    entry(LONGEST, 30, "A", "192.0.2.63"),
    entry("*.eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", 30, "A", "192.0.2.64"),
    // more than fits into 512 octets, and more than into 1232
    entry("many", 30, "A", "198.51.100.1"), entry("many", 30, "A", "198.51.100.2"), entry("many", 30, "A", "198.51.100.3"),
    entry("many", 30, "A", "198.51.100.4"), entry("many", 30, "A", "198.51.100.5"), entry("many", 30, "A", "198.51.100.6"),
];

/// TXT records of 200 octets at one name: this many.
const LARGE: [(&str, usize); 2] = [("large", 3), ("huge", 9)];

/// Every owner, relative to the zone.
pub fn owners() -> Vec<&'static str> {
    let mut owners: Vec<&str> = ENTRIES.iter().map(|entry| entry.owner).chain(LARGE.map(|(owner, _)| owner)).collect();
    owners.dedup();
    owners
}

fn all() -> Vec<(String, u32, &'static str, String)> {
    let one = |entry: &Entry| (entry.owner.to_owned(), entry.ttl, entry.kind, entry.value.to_owned());
    let mut all: Vec<_> = ENTRIES.iter().map(one).collect();
    for (owner, count) in LARGE {
        all.extend((0..count).map(|number| (owner.to_owned(), 30, "TXT", format!("{TEXT_200}{number}\""))));
    }
    all
}

/// The zone as a master file; `made` stands for what this server makes by itself: SOA, NS, and steered names.
pub fn master(made: &str) -> String {
    let mut text = format!("$ORIGIN {ZONE}.\n{made}\n");
    for (owner, ttl, kind, value) in all() {
        _ = writeln!(text, "{owner} {ttl} IN {kind} {value}");
    }
    text
}

/// The same as `[[zone.record]]` tables.
fn records() -> String {
    let mut text = String::new();
    for (owner, ttl, kind, value) in all() {
        let value = match kind {
            "TXT" => format!(
                "[{}]",
                value.split("\" \"").map(|text| format!("{:?}", text.trim_matches('"'))).collect::<Vec<_>>().join(", ")
            ),
            _ => format!("'{value}'"),
        };
        _ = writeln!(text, "[[zone.record]]\nname = \"{owner}\"\ntype = \"{kind}\"\nttl = \"{ttl}s\"\nvalue = {value}");
    }
    text
}

/// A fleet of one site and one region with the zone, and more lines for `[zone]`. What it makes by itself is SOA, NS and the
/// name of its only region.
pub fn regions(zone: &str) -> String {
    format!(
        "[fleet]\nname = \"diff\"\nzone = \"{ZONE}\"\n\
         [[site]]\nname = \"here\"\nlatitude = 0.0\nlongitude = 0.0\naddresses = [\"192.0.2.99\"]\n\
         [[region]]\nname = \"only\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 0.0\nlongitude = 0.0\n\
         endpoints = [\"http://127.0.0.1:9\"]\n\
         [zone]\nnameservers = [\"ns1.{ZONE}\", \"ns2.elsewhere.test\"]\nhostmaster = \"hostmaster@{ZONE}\"\n{zone}\n{}",
        records()
    )
}
