//! Everything needed to answer, at one generation, behind one pointer.
//!
//! A [`Snapshot`] is immutable. [`Published`] is the one pointer; `control` is the only one that stores into it. An HTTP
//! attempt loads it exactly once.

use crate::geo::database::Locator;
use crate::health::opinion::Shown;
use crate::health::sites::SiteState;
use crate::health::{Reason, Standing};
use crate::load::Load;
use crate::moment::{Moment, mix};
use crate::names::{EndpointName, Label};
use crate::topology::{EndpointIndex, RegionIndex, Site, Topology};
use arc_swap::{ArcSwap, Guard};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Topology, geography, health and overrides at one generation.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts up by one with every change.
    pub generation: u64,
    /// What exists.
    pub topology: Arc<Topology>,
    /// Where clients are.
    pub locator: Arc<Locator>,
    /// Where this node stands.
    pub here: Site,
    /// The state of every endpoint, by [`EndpointIndex`].
    pub endpoints: Vec<EndpointState>,
    /// The state of every region, by [`RegionIndex`].
    pub regions: Vec<RegionState>,
    /// The state of every site, in the order of the topology.
    pub sites: Vec<SiteState>,
    /// Whether the node suspects itself.
    pub is_suspect: bool,
    /// Every drain in force.
    pub overrides: Arc<[Override]>,
    /// What is wrong with the newest version of the file, if it was refused.
    pub problem: Option<Arc<Problem>>,
    /// What we show to TLS clients.
    pub certificates: Arc<CertificateReport>,
}

impl Snapshot {
    /// The same without its endpoints: all that steering needs.
    #[must_use]
    pub fn without_endpoints(&self) -> Self {
        Self {
            generation: self.generation,
            topology: Arc::clone(&self.topology),
            locator: Arc::clone(&self.locator),
            here: self.here.clone(),
            endpoints: Vec::new(),
            regions: self.regions.clone(),
            sites: Vec::new(),
            is_suspect: self.is_suspect,
            overrides: Arc::clone(&self.overrides),
            problem: None,
            certificates: Arc::clone(&self.certificates),
        }
    }

    /// The state of an endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: EndpointIndex) -> &EndpointState {
        &self.endpoints[endpoint.at()]
    }

    /// The state of a region.
    #[must_use]
    pub fn region(&self, region: RegionIndex) -> &RegionState {
        &self.regions[region.at()]
    }
}

/// Who an endpoint is over all generations. A changed address or probe makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// What is known of one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// Who it is.
    pub id: EndpointId,
    /// What we conclude of it.
    pub standing: Standing,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Moment,
    /// What each of its probes says, and how quickly it should ask: in the order of `Region::probes`.
    pub probes: Vec<Shown>,
    /// How much of its share it gets, percent.
    pub share_percent: u8,
    /// How long a probe takes.
    pub round_trip: Option<Duration>,
    /// Where to dial; empty if its name does not resolve.
    pub addresses: Arc<[SocketAddr]>,
    /// What it carries.
    pub load: Arc<Load>,
    /// Whether an operator keeps new work away from it (it, its region or its provider).
    pub drained: Option<Drained>,
}

/// What is known of one region, from its endpoints.
#[derive(Clone, Debug)]
pub struct RegionState {
    /// The best standing among its endpoints that are not drained.
    pub standing: Standing,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Moment,
    /// The largest share among its best endpoints, percent.
    pub share_percent: u8,
    /// The shortest time among its best endpoints.
    pub round_trip: Option<Duration>,
    /// Whether all of its endpoints are drained; soft if any of them is.
    pub drained: Option<Drained>,
    /// A stable hash of its name, for ties.
    pub name_hash: u64,
}

impl RegionState {
    /// The hash of a region's name that breaks ties.
    #[must_use]
    pub fn hash_of(name: &Label) -> u64 {
        name.as_str().bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| mix(hash ^ u64::from(byte)))
    }
}

/// How strictly an operator keeps new work away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drained {
    /// Everywhere but from the region's own hostname.
    Soft,
    /// There too.
    Hard,
}

/// What an override is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// All regions of a provider.
    Provider(Label),
    /// A region.
    Region(Label),
    /// One endpoint.
    Endpoint(EndpointName),
}

impl Target {
    /// Parses `provider:NAME`, `region:NAME` or `endpoint:REGION/NAME`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let label = |name: &str| Label::parse(name).map_err(|error| format!("{name:?} {error}"));
        match text.split_once(':') {
            Some(("provider", name)) => label(name).map(Self::Provider),
            Some(("region", name)) => label(name).map(Self::Region),
            Some(("endpoint", name)) => match name.split_once('/') {
                Some((region, what)) if !what.is_empty() => {
                    Ok(Self::Endpoint(EndpointName::new(&label(region)?, what)))
                }
                _ => Err(format!("{name:?} names no endpoint: it should read endpoint:REGION/NAME")),
            },
            _ => Err(format!(
                "{text:?} names nothing: it should read region:NAME, provider:NAME or endpoint:REGION/NAME"
            )),
        }
    }

    /// Whether it is about this endpoint of `topology`.
    #[must_use]
    pub fn covers(&self, topology: &Topology, endpoint: EndpointIndex) -> bool {
        let region = topology.endpoint(endpoint).region;
        match self {
            Self::Provider(name) => topology.provider(region) == name,
            Self::Region(name) => topology.region(region).name == *name,
            Self::Endpoint(name) => topology.endpoint(endpoint).name == *name,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(name) => write!(f, "provider:{name}"),
            Self::Region(name) => write!(f, "region:{name}"),
            Self::Endpoint(name) => write!(f, "endpoint:{name}"),
        }
    }
}

/// An operator's drain. Beside health, not over it; steering never overrules it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// What is drained.
    pub target: Target,
    /// Whether from its own hostname too.
    pub is_hard: bool,
    /// Why.
    pub reason: Arc<str>,
    /// Who said so.
    pub who: Arc<str>,
    /// Since when: wall clock, since the Unix epoch.
    pub since: Duration,
    /// Until when: wall clock; `None` is until it is lifted.
    pub until: Option<Duration>,
}

/// A version of the file that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Since when.
    pub since: Moment,
    /// Every mistake, drawn.
    pub text: String,
}

/// The certificates in force, and what is wrong with newer versions of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateReport {
    /// Each of them; the first answers clients that name nothing we know.
    pub in_force: Vec<CertificateInForce>,
    /// Files that cannot be used, and why: what was good of them stays in force.
    pub problems: Vec<String>,
    /// What could be better though it is used.
    pub remarks: Vec<String>,
}

/// A certificate that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInForce {
    /// Where it was read.
    pub file: String,
    /// What for.
    pub names: Vec<String>,
    /// When it ends: wall clock, since the Unix epoch.
    pub not_after: Duration,
}

/// The one pointer to the newest snapshot, and a bell that rings when it moves. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    pointer: Arc<ArcSwap<Snapshot>>,
    bell: Arc<watch::Sender<u64>>,
}

impl Published {
    /// Publishes the first snapshot.
    #[must_use]
    pub fn new(first: Arc<Snapshot>) -> Self {
        let bell = watch::Sender::new(first.generation);
        Self { pointer: Arc::new(ArcSwap::new(first)), bell: Arc::new(bell) }
    }

    /// The newest snapshot, for a moment: not to be held across an await.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.pointer.load()
    }

    /// The newest snapshot, to keep.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.pointer.load_full()
    }

    /// A receiver that sees every later generation's number (the last of several).
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Publishes the next snapshot. For `control` alone.
    pub fn store(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        self.pointer.store(snapshot);
        self.bell.send_replace(generation);
    }
}
