//! Three regions that can die, on three continents, and a node that is the authority for their zone.

use crate::dns::endpoint::Endpoint;
use crate::dns::servers::Server;
use crate::dns::zone::Entry;
use std::fmt::Write as _;
use std::path::Path;

/// The zone.
pub const ZONE: &str = "steer.test";
/// The name that is answered with the region that is nearest to the client.
pub const WHERE: &str = "where.steer.test";
/// Regions: name, degrees north and east, address, and the network whose clients are beside it.
pub const REGIONS: [(&str, f64, f64, &str, [u8; 2]); 3] = [
    ("lhr", 51.51, -0.13, "192.0.2.1", [81, 2]),
    ("orf", 38.95, -77.45, "192.0.2.2", [12, 1]),
    ("syd", -33.87, 151.21, "192.0.2.3", [101, 160]),
];

/// What else is in the zone: every type that can be.
#[rustfmt::skip]
pub const RECORDS: &[Entry] = &[
    Entry { owner: "@", ttl: 300, kind: "MX", value: "10 mail" },
    Entry { owner: "@", ttl: 300, kind: "TXT", value: "v=spf1 -all" },
    Entry { owner: "@", ttl: 300, kind: "CAA", value: "0 issue \"ca.example\"" },
    Entry { owner: "mail", ttl: 300, kind: "A", value: "192.0.2.25" },
    Entry { owner: "www", ttl: 300, kind: "A", value: "192.0.2.80" },
    Entry { owner: "www", ttl: 300, kind: "AAAA", value: "2001:db8::80" },
    Entry { owner: "_sip._tcp", ttl: 300, kind: "SRV", value: "10 60 5060 mail" },
    Entry { owner: "service", ttl: 300, kind: "HTTPS", value: "1 . alpn=h2 port=8443" },
    Entry { owner: "_dns.service", ttl: 300, kind: "SVCB", value: "1 mail alpn=dot" },
    Entry { owner: "_443._tcp.www", ttl: 300, kind: "TLSA", value: "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
    Entry { owner: "www", ttl: 300, kind: "SSHFP", value: "4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
    Entry { owner: "number", ttl: 300, kind: "NAPTR", value: "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" ." },
    Entry { owner: "*.wild", ttl: 300, kind: "A", value: "192.0.2.7" },
    Entry { owner: "here.wild", ttl: 300, kind: "TXT", value: "here" },
    Entry { owner: "a.b.ent", ttl: 300, kind: "A", value: "192.0.2.8" },
    Entry { owner: "alias", ttl: 300, kind: "CNAME", value: "www" },
    Entry { owner: "away", ttl: 300, kind: "CNAME", value: "www.elsewhere.test." },
];

/// All of it.
#[derive(Debug)]
pub struct Fleet {
    /// The node.
    pub node: Server,
    /// In the order of [`REGIONS`].
    pub endpoints: Vec<Endpoint>,
}

impl Fleet {
    /// A fleet whose zone has more lines in `[zone]` (tables may follow); `more` arguments for the node, and something to be
    /// done in its folder before it starts.
    pub fn start(zone: &str, more: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let endpoints: Vec<Endpoint> = REGIONS.iter().map(|_| Endpoint::start()).collect();
        let node = Server::prepared(ZONE, &file(&endpoints, zone), more, prepare);
        Self { node, endpoints }
    }
}

fn file(endpoints: &[Endpoint], zone: &str) -> String {
    let mut text = format!(
        "[fleet]\nname = \"steer\"\nzone = \"{ZONE}\"\n\
         [[site]]\nname = \"here\"\nlatitude = 51.51\nlongitude = -0.13\naddresses = [\"192.0.2.99\", \"2001:db8::99\"]\n\
         [probe]\nkind = \"http\"\n\
         [[hostname]]\nname = \"{WHERE}\"\nanswer = \"region\"\nregions = [\"*\"]\nttl = {{ min = \"1s\", max = \"2s\" }}\n"
    );
    for ((name, latitude, longitude, address, [a, b]), endpoint) in REGIONS.into_iter().zip(endpoints) {
        _ = write!(
            text,
            "[[region]]\nname = \"{name}\"\nprovider = \"p-{name}\"\ncountry = \"US\"\nlatitude = {latitude:?}\n\
             longitude = {longitude:?}\naddresses = [\"{address}\"]\nendpoints = [\"http://{}\"]\n\
             [[geo.place]]\nprefix = \"{a}.{b}.0.0/16\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n",
            endpoint.address
        );
    }
    _ = write!(
        text,
        "[zone]\nnameservers = [\"ns1.{ZONE}\", \"ns2.{ZONE}\"]\nhostmaster = \"hostmaster@{ZONE}\"\n\
         answers_per_second = 0\nnegative_ttl = \"5s\"\n{zone}\n"
    );
    for Entry { owner, ttl, kind, value } in RECORDS {
        _ = writeln!(
            text,
            "[[zone.record]]\nname = \"{owner}\"\ntype = \"{kind}\"\nttl = \"{ttl}s\"\nvalue = '{value}'"
        );
    }
    text
}
