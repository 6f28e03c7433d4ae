//! The zone that nodes answer for, as proven by [`check`](super::check).
//!
//! Only what the file says: which addresses a name has at a moment is `dns`'s to say.

pub mod master;
mod service;
pub mod words;

use crate::names::Hostname;
use hickory_proto::rr::{Name, RData};
use ipnet::IpNet;
use rustls_pki_types::CertificateDer;
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
    /// What does not depend on who asks. No two have the same name, type and data; all of one name and type have one TTL.
    /// None is of a type that nodes make themselves: A, AAAA, HTTPS and CNAME at names that steering answers, A and AAAA at
    /// those of name servers, SOA, NS and what signs the zone anywhere. A CNAME stands alone and leads outside the zone.
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
    /// Its addresses, at least one, if its name is in the zone; otherwise none. Those that the file gives it, or else the
    /// sites', dealt to the name servers in turn. [`Zone::records`] has none of them: this is what A and AAAA are there.
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
    /// Who has it: a name of the zone that exists, perhaps by a wildcard, and is no alias. The apex may be one: what it has
    /// as the apex (SOA, NS and the keys) is not meant then.
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

/// Certificates by ACME (RFC 8555), proven by DNS-01 in the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The URL of the authority's directory; `https`.
    pub directory: Arc<str>,
    /// Whom the authority may write to: `mailto:` URLs.
    pub contact: Vec<String>,
    /// What the certificate is for, all in the zone and none covered by another; at least one.
    pub names: Vec<words::CertificateName>,
    /// Which of the authority's profiles to ask for; `None` is its default.
    pub profile: Option<Arc<str>>,
    /// Who signs the directory's own certificate; empty: the public authorities.
    pub authority: Vec<CertificateDer<'static>>,
    /// An account that the authority knows already, where it wants one.
    pub external_account: Option<ExternalAccount>,
}

/// An account that an ACME authority knows already (RFC 8555 §7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its id, as the authority gave it.
    pub id: Arc<str>,
    /// Its key; never shown.
    pub key: Arc<zeroize::Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

impl super::Topology {
    /// By which name sites ask each other whether they answer: the zone's apex, or the first of its name servers if regions
    /// have that. `None`: DNS answers nothing, so nobody has to know.
    #[must_use]
    pub fn site_hostname(&self) -> Option<Hostname> {
        let zone = self.dns.as_ref()?;
        let is_free = |name: &Hostname| !self.route_by_hostname.contains_key(name);
        let servers = zone.nameservers.iter().filter(|server| zone.apex.zone_of(&server.name));
        let servers = servers.filter_map(|server| Hostname::parse(server.name.to_ascii().trim_end_matches('.')).ok());
        std::iter::once(self.zone.clone()).chain(servers).find(is_free)
    }
}

/// `hostname` as a name of DNS: whole, in lower case.
///
/// # Panics
/// Never: a hostname's labels are a name's.
#[must_use]
pub fn name_of(hostname: &Hostname) -> Name {
    Name::from_labels(hostname.as_str().split('.').map(str::as_bytes)).expect("a hostname is a name")
}
