//! WHAT EXISTS: sites, providers, regions, endpoints and routes, as proven by [`check`](check::check).
//!
//! A [`Topology`] is complete and consistent: every index points at something, every name is unique, every route has
//! at least one region. Nothing after `check` validates again. Indexes live inside one topology only; in files, logs
//! and across reloads things are called by their names.

pub mod check;
pub mod class;
pub mod document;
pub mod file;
pub mod link;
pub mod mistake;
pub mod status;
pub mod unseen;
pub mod zone;
pub(crate) mod read;
pub(crate) mod words;
pub(crate) mod dates;
mod endpoint;
mod kind;

use crate::geo::place::{Country, Place};
use crate::names::{EndpointName, Hostname, Label};
pub use class::{Class, Dialect, StreamEnd};
use http::HeaderValue;
use ipnet::IpNet;
use link::{LinkTerms, PrivateLink};
use rustls_pki_types::CertificateDer;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            /// The index of nothing: what a name that is no more comes to. `check` bounds every table below it.
            pub const NOTHING: Self = Self(u16::MAX);

            /// The place in the dense table this index is of.
            #[must_use]
            pub fn at(self) -> usize {
                usize::from(self.0)
            }

            /// The index of that place.
            ///
            /// # Panics
            /// Past 65 535: `check` refuses such a topology.
            #[must_use]
            pub fn of(at: usize) -> Self {
                Self(u16::try_from(at).expect("check bounds every table"))
            }
        }
    )*};
}
index!(
    /// A provider of [`Topology::providers`].
    ProviderIndex,
    /// A region of [`Topology::regions`].
    RegionIndex,
    /// An endpoint of [`Topology::endpoints`].
    EndpointIndex,
    /// A route of [`Topology::routes`].
    RouteIndex
);

/// Everything that exists, at one version of the file.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The fleet's name.
    pub fleet: Arc<str>,
    /// The name below which every region has its own hostname; also our id in `CDN-Loop` (RFC 8586).
    pub zone: Hostname,
    /// SHA-256 of the file's text, 64 hexadecimal digits.
    pub digest: Arc<str>,
    /// Where nodes stand.
    pub sites: Vec<Site>,
    /// Where clients are.
    pub geo: Geo,
    /// Who runs regions, in order of first mention.
    pub providers: Vec<Label>,
    /// The regions, as written.
    pub regions: Vec<Region>,
    /// The endpoints of all regions, region by region.
    pub endpoints: Vec<Endpoint>,
    /// The written hostnames in order, then the regional ones.
    pub routes: Vec<Route>,
    /// Which route a hostname has.
    pub route_by_hostname: HashMap<Hostname, RouteIndex>,
    /// At which hostname the addresses are told that regions call out from.
    pub nat_hostname: Option<Hostname>,
    /// What nodes are the authority of; `None`: they answer no DNS.
    pub dns: Option<Arc<zone::Zone>>,
    /// How certificates for names in that zone are got; `None`: not by themselves.
    pub acme: Option<Arc<zone::Acme>>,
    /// The status page, and who is told.
    pub status: status::Status,
    /// How requests are carried.
    pub forward: Forward,
    /// Kinds of traffic; first match wins. The last matches everything.
    pub classes: Vec<Class>,
    /// The files that the file names, with the SHA-256 of what was in them.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// The private links that are known.
    pub private_links: HashMap<PrivateLink, LinkTerms>,
}

impl Topology {
    /// The region behind an index.
    #[must_use]
    pub fn region(&self, region: RegionIndex) -> &Region {
        &self.regions[region.at()]
    }

    /// The endpoint behind an index.
    #[must_use]
    pub fn endpoint(&self, endpoint: EndpointIndex) -> &Endpoint {
        &self.endpoints[endpoint.at()]
    }

    /// The route behind an index.
    #[must_use]
    pub fn route(&self, route: RouteIndex) -> &Route {
        &self.routes[route.at()]
    }

    /// The name of the provider of a region.
    #[must_use]
    pub fn provider(&self, region: RegionIndex) -> &Label {
        &self.providers[self.region(region).provider.at()]
    }

    /// The region of that name.
    #[must_use]
    pub fn region_named(&self, name: &str) -> Option<RegionIndex> {
        self.regions.iter().position(|region| region.name.as_str() == name).map(RegionIndex::of)
    }

    /// Where one reaches the site at `at` and no other: what several sites share is left out.
    #[must_use]
    pub fn own_addresses(&self, at: usize) -> Vec<SocketAddr> {
        let site = &self.sites[at];
        let is_shared = |address: &IpAddr| {
            self.sites.iter().enumerate().any(|(other, site)| other != at && site.addresses.contains(address))
        };
        let own = site.addresses.iter().filter(|address| !is_shared(address));
        own.map(|address| SocketAddr::new(*address, site.port)).collect()
    }

    /// The first class that takes this hostname and path.
    #[must_use]
    pub fn class(&self, hostname: &Hostname, path: &str) -> &Class {
        self.classes.iter().find(|class| class.takes(hostname, path)).expect("the last class takes everything")
    }
}

/// Where nodes stand.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its name.
    pub name: Label,
    /// Its place: clients whose place is unknown are taken to be here, because anycast brought them.
    pub place: Place,
    /// Where clients reach it.
    pub addresses: Vec<IpAddr>,
    /// At which port the other sites ask whether it answers.
    pub port: u16,
}

/// Where clients are.
#[derive(Clone, Debug, Default)]
pub struct Geo {
    /// A database in MaxMind's format; `None` is the one in the box.
    pub database: Option<PathBuf>,
    /// Overrides, longest prefix first.
    pub places: Vec<(IpNet, Place)>,
}

/// A place at a provider where the service runs.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its code.
    pub name: Label,
    /// Who runs it.
    pub provider: ProviderIndex,
    /// Where it is.
    pub place: Place,
    /// What answers there; at least one.
    pub endpoints: Vec<EndpointIndex>,
    /// Its public addresses, for DNS.
    pub addresses: Vec<IpAddr>,
    /// How many concurrent requests one node may give it at most; `None` is no limit.
    pub capacity: Option<u32>,
    /// Its share under `weighted` steering, 0 to 10 000.
    pub weight: u32,
    /// Where it calls out from.
    pub nat_ips: Vec<NatIp>,
    /// How it is probed.
    pub probe: Arc<Probe>,
    /// How it is probed besides. It is up only if every probe passes; no two are of one kind.
    pub also: Vec<Arc<Probe>>,
}

impl Region {
    /// All its probes, the first one first.
    pub fn probes(&self) -> impl Iterator<Item = &Arc<Probe>> {
        std::iter::once(&self.probe).chain(&self.also)
    }
}

/// A network that a region calls out from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatIp {
    /// The network.
    pub prefix: IpNet,
    /// From when on it may be used, since the Unix epoch.
    pub valid_from: Option<Duration>,
    /// Whether it is used.
    pub state: NatState,
}

/// Whether a region calls out from a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatState {
    /// Not yet.
    Planned,
    /// Now.
    Active,
    /// Not for long any more.
    Retiring,
}

/// One thing that answers.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name, unique in the topology.
    pub name: EndpointName,
    /// The region it belongs to.
    pub region: RegionIndex,
    /// Whether TLS is spoken to it.
    pub tls: bool,
    /// The host part of its URL: a name or an address.
    pub host: Host,
    /// The port of its URL.
    pub port: u16,
    /// Dial these and ask no resolver; empty: resolve `host`.
    pub connect: Vec<SocketAddr>,
    /// Whose Host and SNI it sees.
    pub host_from: HostFrom,
    /// Its share inside the region, 1 to 10 000.
    pub weight: u32,
    /// Whether it speaks HTTP/2 in the clear, without being asked. By TLS the handshake says.
    pub http2: bool,
}

/// The host part of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, to be resolved unless `connect` says where it is.
    Name(Hostname),
    /// An address.
    Address(IpAddr),
}

/// Whose Host and SNI an endpoint sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostFrom {
    /// Its own; the client's travels in `X-Forwarded-Host`.
    #[default]
    Endpoint,
    /// The client's.
    Client,
}

/// How a region's endpoints are probed.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// Between probes of an endpoint that is up and stable.
    pub interval: Duration,
    /// Between probes while in doubt.
    pub fast_interval: Duration,
    /// Between probes of an endpoint that is down and shows no sign of life.
    pub down_interval: Duration,
    /// From the first packet to the last byte that matters.
    pub timeout: Duration,
    /// Passes in a row that bring an endpoint up.
    pub rise: u32,
    /// Failures that take it down; they need not be in a row.
    pub fall: u32,
    /// Passes in a row that forgive earlier failures.
    pub reset_ok: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeKind {
    /// Whether a connection (with TLS where the URL says so) can be opened.
    Tcp,
    /// `grpc.health.v1.Health/Check`: whether this service serves; empty: the whole.
    Grpc {
        /// Which service.
        service: Arc<str>,
    },
    /// A GET, and what the answer must be.
    Http {
        /// Path and query.
        path: Arc<str>,
        /// Status codes that pass.
        expect_status: Vec<RangeInclusive<u16>>,
        /// Text the body must have; empty: anything.
        expect_body: Arc<str>,
        /// A value the body must have, by JSON pointer (RFC 6901).
        expect_json: Option<(Arc<str>, serde_json::Value)>,
    },
    /// Whether a stream of a model flows as it should.
    Token {
        /// Path and query.
        path: Arc<str>,
        /// Which model.
        model: Arc<str>,
        /// How many events at least, the end's mark apart.
        events: u32,
        /// From the request to the first event.
        first_event: Duration,
        /// Between two events.
        gap: Duration,
        /// What is said in `Authorization`. Marked as sensitive, so that it is never shown.
        authorization: Option<HeaderValue>,
    },
    /// Whether an MCP server answers.
    Mcp {
        /// Path and query.
        path: Arc<str>,
        /// What is said in `Authorization`. Marked as sensitive, so that it is never shown.
        authorization: Option<HeaderValue>,
    },
}

impl ProbeKind {
    /// How the file, logs and metrics call it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http { .. } => "http",
            Self::Token { .. } => "token",
            Self::Mcp { .. } => "mcp",
            Self::Grpc { .. } => "grpc",
        }
    }

    /// Whether a body must be read to judge the answer.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        matches!(self, Self::Http { expect_body, expect_json, .. } if !expect_body.is_empty() || expect_json.is_some())
    }
}

/// A hostname and who serves it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name.
    pub hostname: Hostname,
    /// Whether this is a region's own name: one candidate, never failed over, for testing that region.
    pub is_regional: bool,
    /// Every region that may serve it, exactly once, level by level, as written.
    pub members: Vec<Member>,
    /// What comes first among equals.
    pub steering: Steering,
    /// A fence around the countries that may process its requests; no outage lifts it.
    pub residency: Option<Residency>,
    /// What happens when nothing is up.
    pub all_down: AllDown,
    /// What DNS answers its name with.
    pub answer: zone::Answer,
    /// How long such an answer may be believed.
    pub ttl: zone::Believed,
    /// Whose certificates clients are asked for, if they are.
    pub client_auth: Option<Arc<ClientAuth>>,
}

/// Clients of a hostname prove who they are by a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Who signs those certificates; at least one.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether nobody gets in without one.
    pub is_required: bool,
}

impl Route {
    /// Whether the file lets `region` of `topology` serve it, whatever the moment says.
    #[must_use]
    pub fn may_be_served_by(&self, topology: &Topology, region: RegionIndex) -> bool {
        self.members.iter().any(|member| member.region == region) && !self.shuts_out(topology, region)
    }

    /// Whether `region` stands outside the fence.
    #[must_use]
    pub fn shuts_out(&self, topology: &Topology, region: RegionIndex) -> bool {
        let country = topology.region(region).place.country;
        self.residency
            .as_ref()
            .is_some_and(|residency| country.is_none_or(|country| !residency.countries.contains(&country)))
    }
}

/// A region's part in a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The region.
    pub region: RegionIndex,
    /// 0 for primaries, then one for each fallback.
    pub level: u16,
}

/// What comes first among regions of equal standing and level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Steering {
    /// Great-circle distance from the client; near ties go by measured time.
    #[default]
    Nearest,
    /// Measured time from this node.
    Latency,
    /// As written.
    Priority,
    /// By share: each client keeps its region while weights and regions stay.
    Weighted,
}

/// What happens when nothing is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllDown {
    /// The best of the down is tried all the same.
    #[default]
    TryNearest,
    /// The request is refused with 503.
    Refuse,
}

/// Whether a client has to have a certificate, where it is asked for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Nobody gets in without.
    #[default]
    Required,
    /// Whoever has none gets in as well; regions are told of those who have one.
    Optional,
}

/// Where a request may be processed.
#[derive(Clone, Debug)]
pub struct Residency {
    /// As written: country codes, `EU`, `EEA`.
    pub written: Vec<Arc<str>>,
    /// The countries meant.
    pub countries: HashSet<Country>,
}

/// How requests are carried.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Attempts that may have reached a region.
    pub attempts: u32,
    /// Repetitions of what a region may have processed, in 100 successes there.
    pub retry_percent: u32,
    /// And a second besides.
    pub retry_floor: u32,
    /// How long to go on with attempts that reach nobody.
    pub failover_timeout: Duration,
    /// For one connection, TLS included.
    pub connect_timeout: Duration,
    /// From the request's end to the answer's head.
    pub first_byte_timeout: Duration,
    /// Longest silence inside an answer.
    pub stream_idle_timeout: Duration,
    /// Longest silence on a WebSocket, both ways.
    pub websocket_idle_timeout: Duration,
    /// How long a recovered endpoint takes to get its full share.
    pub slow_start: Duration,
    /// How long a client's connection goes on taking requests, a fifth more or less; `None` is for ever.
    pub connection_max_age: Option<Duration>,
    /// Whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate authorities believed at endpoints besides the public ones.
    pub trust: Vec<CertificateDer<'static>>,
}
