//! The zone that nodes answer for, as proven by [`check`](super::check).
//!
//! Only what the file says: which addresses a name has at a moment is `dns`'s to say.

use hickory_proto::rr::{Name, RData};
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The zone at the fleet's name, of which every node is an authority.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Where it begins: the fleet's `zone`, in lower case.
    pub apex: Name,
    /// Its name servers, the first one in SOA; at least one.
    pub nameservers: Vec<NameServer>,
    /// Who is responsible, as SOA writes it (RFC 1035 §3.3.13).
    pub hostmaster: Name,
    /// How long answers that steering made may be believed, where the hostname does not say otherwise.
    pub ttl: Believed,
    /// How long it may be believed that something does not exist, seconds (RFC 2308 §5).
    pub negative_ttl: u32,
    /// What does not depend on who asks. No two have the same name, type and data; none stands at a name that steering
    /// answers, save types that steering does not make; no SOA, and no NS at the apex.
    pub records: Vec<Record>,
    /// Names that have what another name of the zone has, whatever that is at the moment: CNAMEs that stay inside.
    pub aliases: Vec<Alias>,
    /// The folder with the keys that sign it, relative to the state directory; `None` is an unsigned zone.
    pub keys: Option<PathBuf>,
    /// What `version.bind` (class CHAOS) is answered with; `None` is a refusal.
    pub version: Option<Arc<str>>,
    /// Whose EDNS client subnets are believed (RFC 7871 §11.3); `None` is everybody's.
    pub client_subnet_from: Option<Vec<IpNet>>,
    /// Answers a second and kind that one /24 or /56 gets over UDP; 0 is no limit.
    pub answers_per_second: u32,
}

/// Who else answers for the zone, as NS says it.
#[derive(Clone, Debug)]
pub struct NameServer {
    /// Its name, in lower case.
    pub name: Name,
    /// Its addresses, if its name is in the zone: of the sites, dealt to the name servers in turn, unless records say
    /// otherwise.
    pub glue: Vec<IpAddr>,
}

/// The bounds of how long an answer may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Believed {
    /// While something is changing.
    pub min: Duration,
    /// While nothing is.
    pub max: Duration,
}

impl Believed {
    /// A minute, so that resolvers ask rarely, and 20 s when that would be too long to believe something.
    pub const DEFAULT: Self = Self { min: Duration::from_secs(20), max: Duration::from_secs(60) };
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Whose, whole and in lower case; a first label `*` is a wildcard (RFC 4592).
    pub owner: Name,
    /// How long it may be believed, seconds.
    pub ttl: u32,
    /// What it says; its type is the type of the record.
    pub data: RData,
}

/// A name that has what another one has.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    /// Which; perhaps a wildcard.
    pub owner: Name,
    /// Who has it: a name of the zone that exists and is no alias.
    pub target: Name,
    /// The most it may be believed, seconds.
    pub ttl: u32,
}

/// What a hostname is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The addresses of sites, so that the front door there decides.
    #[default]
    Front,
    /// The addresses of the region itself, so that the client dials it.
    Region,
}
