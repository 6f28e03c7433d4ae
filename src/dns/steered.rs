//! What steering says to DNS: for each place that a client can be at, which addresses it gets.
//!
//! Pure. A [`Steered`] is made once a generation for all hostnames that are answered alike; a question then costs one
//! lookup. Clients are steered by their place alone, so that everybody in a network gets one answer and the scope of that
//! answer (RFC 7871) can be as wide as it truly holds.

use crate::geo::map::{AnswerMap, GeoMap};
use crate::geo::place::{Coordinates, Place};
use crate::health::Standing;
use crate::health::verdict::Pace;
use crate::limits::DNS_ADDRESSES_MAX;
use crate::moment::Moment;
use crate::names::Label;
use crate::snapshot::{EndpointState, Snapshot};
use crate::steering::decision::Decision;
use crate::steering::{Client, PlacedBy, Query, steer};
use crate::topology::{EndpointIndex, RegionIndex, RouteIndex};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Sites of which a client is told. Two, because one may die while its address is believed; not more, because resolvers
/// shuffle what they are given, so that each further site takes clients away from the nearest.
const SITES_PER_ANSWER: usize = 2;

/// How a hostname is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// With the sites that are nearest to the client.
    Sites,
    /// With the region that steering chooses for the route.
    Region(RouteIndex),
}

/// One of the answers that a hostname can have at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Whose addresses they are: names of sites, or of one region. Nobody's if everybody is excluded.
    pub whose: Vec<String>,
    /// The addresses, best first.
    pub addresses: Vec<IpAddr>,
}

/// All answers, and who gets which.
#[derive(Debug)]
pub struct Steered {
    /// What they were made by.
    pub by: By,
    /// Each answer once; at least one.
    pub variants: Vec<Variant>,
    /// `None`: there is only one.
    map: Option<AnswerMap>,
    /// Whether nothing is changing: the answers may be believed for as long as the hostname allows.
    pub is_settled: bool,
    /// How long what they depend on must have stood as it does for that.
    pub young: Duration,
}

impl Steered {
    /// The answers of `snapshot`.
    #[must_use]
    pub fn new(snapshot: &Snapshot, map: &GeoMap, by: By, (young, is_settled): (Duration, bool)) -> Self {
        let mut variants = Variants::default();
        let mut answer_of = Vec::with_capacity(map.places().len());
        for (id, place) in map.places().iter().enumerate() {
            let key = match by {
                By::Sites => Key::Sites(told(snapshot, &sites_from(snapshot, place.as_ref()))),
                By::Region(route) => Key::Region(region(snapshot, route, place.as_ref(), id as u64)),
            };
            answer_of.push(variants.number_of(key));
        }
        let map = (variants.keys.len() > 1).then(|| map.merge(&answer_of));
        let variants = variants.keys.into_iter().map(|key| key.variant(snapshot)).collect();
        Self { by, variants, map, is_settled, young }
    }

    /// Which answer the client at `address` gets, and for how many bits of its address that holds.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> (usize, u8) {
        match &self.map {
            None => (0, 0),
            Some(map) => {
                let (variant, scope) = map.find(address);
                (usize::from(variant), scope)
            }
        }
    }

    /// Whether it matters who asks.
    #[must_use]
    pub fn is_tailored(&self) -> bool {
        self.map.is_some()
    }
}

/// Whether nothing that `by` depends on is changing at `now`, or has changed for less than `young`.
#[must_use]
pub fn is_settled(snapshot: &Snapshot, by: By, young: Duration, now: Moment) -> bool {
    unsettled(snapshot, by, young, now).is_empty()
}

/// Why what an answer depends on does not let it be believed for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// It stands as it does for so long only.
    Young(Duration),
    /// It, or one of its endpoints, is not known yet, is asked more often because of a doubt, or gets a share that grows.
    Changing,
}

/// The sites or regions that `by` depends on which are changing at `now`, or have stood as they do for less than `young`.
#[must_use]
pub fn unsettled(snapshot: &Snapshot, by: By, young: Duration, now: Moment) -> Vec<(Label, Unsettled)> {
    let topology = &snapshot.topology;
    let because = |name: &Label, since, is_steady: bool| {
        let stands_for = now.since(since);
        let why = match is_steady {
            _ if stands_for < young => Unsettled::Young(stands_for),
            true => return None,
            false => Unsettled::Changing,
        };
        Some((name.clone(), why))
    };
    match by {
        // Those that nobody asks neither come nor go.
        By::Sites => topology
            .sites
            .iter()
            .zip(&snapshot.sites)
            .filter_map(|(site, state)| because(&site.name, state.since, state.pace? != Pace::Fast))
            .collect(),
        By::Region(route) => topology
            .route(route)
            .members
            .iter()
            .filter_map(|member| {
                let (region, state) = (topology.region(member.region), snapshot.region(member.region));
                let is_steady = |at: &EndpointIndex| is_steady(snapshot.endpoint(*at));
                let is_steady = state.standing == Standing::Down || region.endpoints.iter().all(is_steady);
                because(&region.name, state.since, is_steady)
            })
            .collect(),
    }
}

fn is_steady(endpoint: &EndpointState) -> bool {
    endpoint.share_percent == 100
        && endpoint.standing != Standing::Unknown
        && endpoint.probes.iter().all(|probe| probe.pace != Pace::Fast)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The nearest, by their places in the topology.
    Sites(Vec<u16>),
    Region(Option<RegionIndex>),
}

#[derive(Default)]
struct Variants {
    keys: Vec<Key>,
    numbers: HashMap<Key, u16>,
}

impl Variants {
    fn number_of(&mut self, key: Key) -> u16 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u16::try_from(self.keys.len()).unwrap_or(0);
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        number
    }
}

impl Key {
    fn variant(self, snapshot: &Snapshot) -> Variant {
        let topology = &snapshot.topology;
        let mut variant = Variant { whose: Vec::new(), addresses: Vec::new() };
        match self {
            Self::Sites(sites) => {
                for at in sites {
                    let site = &topology.sites[usize::from(at)];
                    variant.whose.push(site.name.to_string());
                    variant.add(&site.addresses);
                }
            }
            Self::Region(Some(region)) => {
                let region = topology.region(region);
                variant.whose.push(region.name.to_string());
                variant.add(&region.addresses);
            }
            Self::Region(None) => {}
        }
        variant
    }
}

impl Variant {
    fn add(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            let of_family = self.addresses.iter().filter(|other| other.is_ipv4() == address.is_ipv4()).count();
            if of_family < DNS_ADDRESSES_MAX && !self.addresses.contains(address) {
                self.addresses.push(*address);
            }
        }
    }
}

/// All sites by their distance from `place` in metres, nearest first, with their places in the topology.
#[must_use]
pub fn sites_from(snapshot: &Snapshot, place: Option<&Place>) -> Vec<(u64, usize)> {
    let from = place.unwrap_or(&snapshot.here.place).at;
    let all = snapshot.topology.sites.iter().enumerate();
    let mut ranked: Vec<(u64, usize)> = all.map(|(at, site)| (distance_m(from, site.place.at), at)).collect();
    ranked.sort_unstable();
    ranked
}

/// Those of `ranked` of which a client is told: not those that do not answer; of several with the same addresses one is
/// enough.
#[must_use]
pub fn told(snapshot: &Snapshot, ranked: &[(u64, usize)]) -> Vec<u16> {
    let all = &snapshot.topology.sites;
    let mut chosen: Vec<usize> = Vec::new();
    let is_offered = |(_, at): &(u64, usize)| snapshot.sites.get(*at).is_none_or(|state| !state.is_left_out);
    for (_, at) in ranked.iter().copied().filter(is_offered) {
        let adds =
            all[at].addresses.iter().any(|address| !chosen.iter().any(|other| all[*other].addresses.contains(address)));
        if adds {
            chosen.push(at);
        }
        if chosen.len() == SITES_PER_ANSWER {
            break;
        }
    }
    chosen.into_iter().filter_map(|at| u16::try_from(at).ok()).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, and the earth is small")]
fn distance_m(from: Coordinates, to: Coordinates) -> u64 {
    (from.distance_km(&to) * 1_000.0) as u64
}

/// What steering decides for clients at the place with the number `id`.
#[must_use]
pub fn decide(snapshot: &Snapshot, route: RouteIndex, place: Option<&Place>, id: u64) -> (Client, Decision) {
    let (place, placed_by) = place.map_or((&snapshot.here.place, PlacedBy::Here), |place| (place, PlacedBy::Database));
    let client = Client::of_place(place.clone(), placed_by, id);
    let decision = steer(snapshot, &Query::first(route, &client));
    (client, decision)
}

/// The region that steering chooses for them.
fn region(snapshot: &Snapshot, route: RouteIndex, place: Option<&Place>, id: u64) -> Option<RegionIndex> {
    let (_, decision) = decide(snapshot, route, place, id);
    decision.candidates.first().map(|best| best.region)
}
