//! WHO SHOULD ANSWER: one pure function, and the function is a sort.
//!
//! [`steer`] drops the regions that must not be used, sorts the rest by one tuple and keeps the reason for every row. It
//! never asks the time, chance, or anything outside its arguments.

pub mod decision;
pub mod policy;

use crate::geo::place::{Coordinates, Place};
use crate::health::{Reason, Standing};
use crate::moment::mix;
use crate::snapshot::{Drained, Snapshot};
use crate::topology::{AllDown, Member, RegionIndex, Route, RouteIndex};
use decision::{Candidate, Decision, Exclusion};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// Who asks, as far as steering cares.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// /24 or /48: never the full address.
    pub prefix: IpNet,
    /// Where it is taken to be.
    pub place: Place,
    /// How we know.
    pub placed_by: PlacedBy,
    hash: u64,
}

/// How we know where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacedBy {
    /// An operator's override.
    Override,
    /// The database.
    Database,
    /// Nobody knows: it is taken to stand where this node stands, because anycast brought it here.
    Here,
}

impl Client {
    /// The client at `address`, placed by `snapshot`'s geography.
    #[must_use]
    pub fn locate(snapshot: &Snapshot, address: IpAddr) -> Self {
        use crate::geo::database::Source;
        let (place, placed_by) = match snapshot.locator.locate(address) {
            Some(found) => {
                let placed_by = match found.source {
                    Source::Override => PlacedBy::Override,
                    Source::Database => PlacedBy::Database,
                };
                (found.place, placed_by)
            }
            None => (snapshot.here.place.clone(), PlacedBy::Here),
        };
        Self::at(address, place, placed_by)
    }

    /// The client at `address`, which is at `place`.
    #[must_use]
    pub fn at(address: IpAddr, place: Place, placed_by: PlacedBy) -> Self {
        let prefix = prefix_of(address);
        Self { prefix, place, placed_by, hash: hash_of(prefix) }
    }

    /// Everybody at `place`, which has the number `id`: where an answer is for all who are there, as in DNS.
    #[must_use]
    pub fn of_place(place: Place, placed_by: PlacedBy, id: u64) -> Self {
        let prefix = IpNet::V6(Ipv6Net::default());
        Self { prefix, place, placed_by, hash: mix(id.rotate_left(32)) }
    }

    /// A stable hash of the prefix, or of the place of [`of_place`](Self::of_place).
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// The /24 or /48 of an address: all that is kept of a client.
#[must_use]
pub fn prefix_of(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Net::new(v4, 24).expect("24 is a prefix length").trunc().into(),
        IpAddr::V6(v6) => Ipv6Net::new(v6, 48).expect("48 is a prefix length").trunc().into(),
    }
}

fn hash_of(prefix: IpNet) -> u64 {
    match prefix.network() {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits())),
        IpAddr::V6(v6) => mix(mix((v6.to_bits() >> 64) as u64) ^ 6),
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// For which route.
    pub route: RouteIndex,
    /// By whom.
    pub client: &'a Client,
    /// Regions that already failed for this request.
    pub tried: &'a [RegionIndex],
    /// Regions that have all the requests they may have.
    pub full: &'a [RegionIndex],
    /// What the request itself asks for.
    pub wish: Wish,
}

/// Regions that one request avoids at most: the official SDKs try three times unless told otherwise.
pub const AVOIDED_MAX: usize = 3;

/// What a request asks for beside its hostname. No wish brings back what is excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only this region will do: it alone knows what the request is about.
    pub only: Option<RegionIndex>,
    /// This region before its equals in standing, whatever its level.
    pub prefer: Option<RegionIndex>,
    /// These regions after their equals in standing, whatever their level: they have just failed the same client.
    pub avoid: [Option<RegionIndex>; AVOIDED_MAX],
    /// Whether the region in `only` or `prefer` has begun what is asked for: a soft drain, which keeps new work away, lets
    /// it go on there. A hard one does not.
    pub goes_on: bool,
    /// A hash of whom the request belongs to. Among equals in standing and level it decides instead of the route's policy
    /// (weights count where the policy is by weight), so that what belongs together goes to one region from every node.
    pub spread: Option<u64>,
}

impl Wish {
    /// The same of a request that came by a private link of `region`: it stays there, or goes there first if it may leave.
    /// What else it is tied to cannot take it out, and what was begun elsewhere does not go on there: a soft drain keeps
    /// it away like any new work.
    #[must_use]
    pub fn by_link(self, region: RegionIndex, leaves_region: bool) -> Self {
        if leaves_region {
            return Self { prefer: self.prefer.or(Some(region)), ..self };
        }
        let goes_on = self.goes_on && self.only.or(self.prefer) == Some(region);
        Self { only: Some(region), prefer: None, goes_on, ..self }
    }

    /// Where a region comes among its equals in standing: 0, 1 or 2.
    fn place(self, region: RegionIndex) -> u8 {
        if self.prefer == Some(region) { 0 } else { 1 + u8::from(self.avoid.contains(&Some(region))) }
    }

    /// Whether the request goes on with something that `region` has begun.
    #[must_use]
    pub fn goes_on_at(self, region: RegionIndex) -> bool {
        self.goes_on && (self.only == Some(region) || self.prefer == Some(region))
    }
}

impl<'a> Query<'a> {
    /// The first question about a request.
    #[must_use]
    pub fn first(route: RouteIndex, client: &'a Client) -> Self {
        Self { route, client, tried: &[], full: &[], wish: Wish::default() }
    }

    /// The same of a request that is bound to the region `bound`, or prefers `preferred`, because it began something there.
    ///
    /// # Errors
    /// A sentence that says which of them does not exist.
    pub fn going_on(self, snapshot: &Snapshot, bound: Option<&str>, preferred: Option<&str>) -> Result<Self, String> {
        let index = |name: Option<&str>| match name {
            Some(name) => {
                snapshot.topology.region_named(name).map(Some).ok_or_else(|| format!("there is no region {name:?}"))
            }
            None => Ok(None),
        };
        let wish = Wish { only: index(bound)?, prefer: index(preferred)?, goes_on: true, ..self.wish };
        Ok(Self { wish, ..self })
    }
}

/// Ranks the regions of a route for a client.
///
/// Every region of the route is in the decision exactly once: as a candidate, best first, or excluded with the reason.
/// There may be no candidate. The first is the answer; the rest are where to go on.
#[must_use]
pub fn steer(snapshot: &Snapshot, query: &Query<'_>) -> Decision {
    let route = snapshot.topology.route(query.route);
    let from = query.client.place.at;
    let distances = route.members.iter().map(|member| distance_km(snapshot, from, member.region));
    let distances: Vec<f64> = distances.collect();
    let nearest = policy::Nearest::of(route, &distances);
    let mut candidates = Vec::with_capacity(route.members.len());
    let mut excluded = Vec::new();
    for (member, distance_km) in route.members.iter().zip(distances) {
        match exclusion(snapshot, route, query, member.region) {
            Some(reason) => excluded.push((member.region, reason)),
            None => candidates.push(candidate(snapshot, route, query, &nearest, *member, distance_km)),
        }
    }
    candidates.sort_unstable_by_key(Candidate::packed_rank);
    Decision { generation: snapshot.generation, route: query.route, wish: query.wish, candidates, excluded }
}

/// Why `region` must not be used, if it must not. Neither health nor an outage is among the reasons, unless the
/// operator made it one with `all_down = "refuse"`.
fn exclusion(snapshot: &Snapshot, route: &Route, query: &Query<'_>, region: RegionIndex) -> Option<Exclusion> {
    let state = snapshot.region(region);
    if route.shuts_out(&snapshot.topology, region) {
        return Some(Exclusion::Residency);
    }
    match state.drained {
        Some(Drained::Hard) => return Some(Exclusion::Drained { is_hard: true }),
        Some(Drained::Soft) if !(route.is_regional || query.wish.goes_on_at(region)) => {
            return Some(Exclusion::Drained { is_hard: false });
        }
        _ => {}
    }
    if query.tried.contains(&region) {
        return Some(Exclusion::Tried);
    }
    if query.wish.only.is_some_and(|only| only != region) {
        return Some(Exclusion::Bound);
    }
    (route.all_down == AllDown::Refuse && state.standing >= Standing::Ejected).then_some(Exclusion::Down)
}

fn candidate(
    snapshot: &Snapshot,
    route: &Route,
    query: &Query<'_>,
    nearest: &policy::Nearest,
    member: Member,
    distance_km: f64,
) -> Candidate {
    let state = snapshot.region(member.region);
    let (standing, reason) = if state.standing != Standing::Up {
        (state.standing, Some(state.reason))
    } else if query.full.contains(&member.region) {
        (Standing::Strained, None)
    } else if !is_admitted(query.wish.spread.unwrap_or(query.client.hash), state.name_hash, state.share_percent) {
        (Standing::Strained, Some(Reason::RampingUp))
    } else {
        (Standing::Up, Some(state.reason))
    };
    Candidate {
        region: member.region,
        standing,
        reason,
        wish: query.wish.place(member.region),
        level: member.level,
        preference: match query.wish.spread {
            Some(who) => policy::lot(snapshot, route, who, member),
            None => policy::preference(snapshot, route, query.client, nearest, member, distance_km),
        },
        tie: mix(query.client.hash ^ state.name_hash),
        distance_km,
        round_trip: state.round_trip,
    }
}

/// Whether this client is among the `share_percent` that a recovering region gets. A client that is in stays in as the
/// share grows.
fn is_admitted(who: u64, name_hash: u64, share_percent: u8) -> bool {
    share_percent >= 100 || mix(who ^ name_hash.rotate_left(32)) % 100 < u64::from(share_percent)
}

fn distance_km(snapshot: &Snapshot, from: Coordinates, region: RegionIndex) -> f64 {
    from.distance_km(&snapshot.topology.region(region).place.at)
}
