//! Worlds for steering: any number of regions anywhere, in any state, from plain numbers.
//!
//! A [`Plan`] is what a test or a fuzzer makes up; [`World`] is the snapshot that it means, and who asks.

use super::{first_snapshot, topology};
use anyfront::geo::place::{Coordinates, Country, Place};
use anyfront::health::{Fault, Reason, Standing};
use anyfront::moment::Dice;
use anyfront::names::Label;
use anyfront::snapshot::{Drained, RegionState, Snapshot};
use anyfront::steering::{Client, PlacedBy, Query, Wish};
use anyfront::topology::{
    AllDown, Endpoint, EndpointIndex, Member, Region, RegionIndex, Residency, Route, RouteIndex, Steering,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Countries in which regions are, and of which fences are made.
pub const COUNTRIES: [&str; 4] = ["GB", "DE", "US", "JP"];
/// Every standing, best first.
pub const STANDINGS: [Standing; 5] =
    [Standing::Up, Standing::Strained, Standing::Unknown, Standing::Ejected, Standing::Down];
/// Every kind of steering.
pub const STEERINGS: [Steering; 4] = [Steering::Nearest, Steering::Latency, Steering::Priority, Steering::Weighted];

/// One region, in numbers.
#[derive(Clone, Debug)]
pub struct RegionPlan {
    pub latitude: i8,
    pub longitude: i16,
    /// Of [`COUNTRIES`]; beyond: none known.
    pub country: u8,
    pub weight: u32,
    /// Its level in the route; `None`: not in it.
    pub level: Option<u8>,
    /// Of [`STANDINGS`].
    pub standing: u8,
    pub share_percent: u8,
    pub round_trip_ms: Option<u16>,
    /// 0: no; 1: soft; 2: hard.
    pub drained: u8,
}

/// A world, in numbers.
#[derive(Clone, Debug)]
pub struct Plan {
    pub regions: Vec<RegionPlan>,
    /// Of [`STEERINGS`].
    pub steering: u8,
    pub refuses: bool,
    /// Bits of [`COUNTRIES`]; 0: no fence.
    pub residency: u8,
    /// Ask for this region's own hostname instead.
    pub regional: Option<u8>,
    pub client: u128,
    pub latitude: i8,
    pub longitude: i16,
    /// Bits of regions.
    pub tried: u32,
    pub full: u32,
    /// Regions that the request wants alone, rather, and rather not.
    pub wish: [Option<u8>; 3],
    /// Whether it goes on with what the region it wants has begun.
    pub goes_on: bool,
    /// A hash of whom it belongs to.
    pub spread: Option<u64>,
}

/// What a plan means.
pub struct World {
    pub snapshot: Snapshot,
    pub route: RouteIndex,
    pub client: Client,
    pub tried: Vec<RegionIndex>,
    pub full: Vec<RegionIndex>,
    pub wish: Wish,
}

impl World {
    pub fn query(&self) -> Query<'_> {
        Query { route: self.route, client: &self.client, tried: &self.tried, full: &self.full, wish: self.wish }
    }

    pub fn steering(&self) -> Steering {
        self.snapshot.topology.route(self.route).steering
    }
}

const SEED_FILE: &str = r#"
[fleet]
name = "f"
zone = "z.example"
[[site]]
name = "here"
latitude = 51.5
longitude = -0.1
[[region]]
name = "r0"
provider = "p"
country = "GB"
latitude = 0
longitude = 0
endpoints = ["http://192.0.2.1"]
[[hostname]]
name = "www.z.example"
regions = ["r0"]
"#;

fn point(latitude: i8, longitude: i16) -> Coordinates {
    Coordinates::new(f64::from(latitude % 91), f64::from(longitude % 181)).expect("on the earth")
}

impl Plan {
    /// The world meant. At least one region is in the route.
    pub fn build(&self) -> World {
        let mut topology = topology(SEED_FILE);
        let (region, endpoint) = (topology.regions.remove(0), topology.endpoints.remove(0));
        let written = topology.routes.remove(0);
        for (at, plan) in self.regions.iter().enumerate() {
            let name = Label::parse(&format!("r{at}")).expect("a good name");
            let country = COUNTRIES.get(usize::from(plan.country)).and_then(|code| Country::parse(code));
            topology.endpoints.push(Endpoint {
                name: anyfront::names::EndpointName::new(&name, "a"),
                region: RegionIndex::of(at),
                ..endpoint.clone()
            });
            topology.regions.push(Region {
                name,
                place: Place { at: point(plan.latitude, plan.longitude), country, city: None },
                endpoints: vec![EndpointIndex::of(at)],
                weight: plan.weight,
                ..region.clone()
            });
        }
        topology.routes = vec![self.route(&written)];
        for at in 0..self.regions.len() {
            let members = vec![Member { region: RegionIndex::of(at), level: 0 }];
            let own = Route { is_regional: true, members, residency: None, ..written.clone() };
            topology.routes.push(Route { steering: Steering::Nearest, all_down: AllDown::TryNearest, ..own });
        }
        let mut snapshot = first_snapshot(topology);
        for (state, plan) in snapshot.regions.iter_mut().zip(&self.regions) {
            plan.apply(state);
        }
        let count = self.regions.len();
        let of_bits = |bits: u32| (0..count.min(32)).filter(|at| bits >> at & 1 == 1).map(RegionIndex::of).collect();
        let [only, prefer, avoid] = self.wish.map(|at| at.map(|at| RegionIndex::of(usize::from(at) % count)));
        // Sometimes two of them.
        let beside =
            avoid.filter(|region| region.at() % 2 == 0).map(|region| RegionIndex::of((region.at() + 1) % count));
        let regional = self.regional.map(|at| 1 + usize::from(at) % count);
        World {
            snapshot,
            route: RouteIndex::of(regional.unwrap_or(0)),
            client: self.client(),
            tried: of_bits(self.tried),
            full: of_bits(self.full),
            wish: Wish { only, prefer, avoid: [avoid, beside, None], goes_on: self.goes_on, spread: self.spread },
        }
    }

    fn client(&self) -> Client {
        let place = Place { at: point(self.latitude, self.longitude), country: None, city: None };
        Client::at(address(self.client), place, PlacedBy::Database)
    }

    fn route(&self, written: &Route) -> Route {
        let mut members: Vec<Member> = self
            .regions
            .iter()
            .enumerate()
            .filter_map(|(at, plan)| Some(Member { region: RegionIndex::of(at), level: u16::from(plan.level? % 4) }))
            .collect();
        members.sort_by_key(|member| member.level);
        if members.is_empty() {
            members.push(Member { region: RegionIndex(0), level: 0 });
        }
        let fence = COUNTRIES.iter().enumerate().filter(|(at, _)| self.residency >> at & 1 == 1);
        let fence: Vec<&str> = fence.map(|(_, code)| *code).collect();
        Route {
            members,
            steering: STEERINGS[usize::from(self.steering) % STEERINGS.len()],
            all_down: if self.refuses { AllDown::Refuse } else { AllDown::TryNearest },
            residency: (!fence.is_empty()).then(|| Residency {
                written: fence.iter().map(|code| (*code).into()).collect(),
                countries: fence.iter().filter_map(|code| Country::parse(code)).collect(),
            }),
            ..written.clone()
        }
    }
}

impl RegionPlan {
    fn apply(&self, state: &mut RegionState) {
        state.standing = STANDINGS[usize::from(self.standing) % STANDINGS.len()];
        state.reason = match state.standing {
            Standing::Up => Reason::ProbesPass,
            Standing::Strained => Reason::Slow,
            Standing::Unknown => Reason::NotProbed,
            Standing::Ejected => Reason::ErrorRate,
            Standing::Down => Reason::ProbesFail(Fault::Refused),
        };
        state.share_percent = self.share_percent.min(100);
        state.round_trip = self.round_trip_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        state.drained = [None, Some(Drained::Soft), Some(Drained::Hard)][usize::from(self.drained) % 3];
    }
}

/// An address from a number: half of them IPv4.
pub fn address(number: u128) -> IpAddr {
    if number & 1 == 0 { Ipv4Addr::from((number >> 1) as u32).into() } else { Ipv6Addr::from(number).into() }
}

/// Plain numbers from bytes, zeros when they run out: how a fuzzer and a fixed corpus make plans.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn wide(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.next()))
    }

    fn region(&mut self) -> RegionPlan {
        let flags = self.next();
        RegionPlan {
            latitude: self.next() as i8,
            longitude: i16::from_be_bytes([self.next(), self.next()]),
            country: flags & 7,
            weight: u32::from(self.next()),
            level: (flags >> 3 & 7 != 7).then_some(flags >> 3 & 3),
            standing: self.next(),
            share_percent: self.next(),
            round_trip_ms: (flags >> 6 & 1 == 1).then(|| u16::from_be_bytes([self.next(), self.next()])),
            drained: if flags >> 7 == 1 { self.next() } else { 0 },
        }
    }

    /// The plan that these bytes mean.
    pub fn plan(mut self) -> Plan {
        let (count, flags) = (1 + usize::from(self.next() % 20), self.next());
        Plan {
            steering: flags & 3,
            refuses: flags >> 2 & 1 == 1,
            residency: if flags >> 3 & 3 == 3 { self.next() } else { 0 },
            regional: (flags >> 5 == 7).then(|| self.next()),
            client: u128::from(self.wide()) << 64 | u128::from(self.wide()),
            latitude: self.next() as i8,
            longitude: i16::from_be_bytes([self.next(), self.next()]),
            tried: (self.wide() >> 40 & self.wide() >> 40) as u32,
            full: (self.wide() >> 40 & self.wide() >> 40) as u32,
            regions: (0..count).map(|_| self.region()).collect(),
            // Last, so that older inputs mean what they meant.
            wish: std::array::from_fn(|_| Some(self.next()).filter(|byte| *byte > 0xc0)),
            goes_on: self.next() & 1 == 1,
            spread: Some(self.wide()).filter(|hash| *hash > u64::MAX / 2),
        }
    }
}

/// Bytes that always fall the same way for a seed.
pub fn random_bytes(dice: &mut Dice, most: usize) -> Vec<u8> {
    let length = (dice.roll() % (most as u64 + 1)) as usize;
    (0..length).map(|_| dice.roll() as u8).collect()
}
