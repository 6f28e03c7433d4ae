//! The rehearsal: some regions are taken to be down, and their requests are placed again by [`steer`].
//!
//! A region that has all the requests it may have is less wanted than others, as in a node: what it has no room for goes
//! on, round by round, until there is room or all that are left are full; then the best of them gets it all the same. What
//! a region is asked for is everything that is sent to it in any round, so that what goes on is seen, too.

use super::{Carried, Flow, Headroom, Loss, Move, Receiver, RegionRoom, Row, Traffic};
use crate::health::{Reason, Standing};
use crate::names::{Hostname, Label};
use crate::snapshot::{Snapshot, Target};
use crate::steering::{Query, Wish, steer};
use crate::topology::{RegionIndex, Route, RouteIndex, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// Below this, requests at once are nobody's: what halving leaves over.
const NOTHING: f64 = 1e-9;

/// What would happen if any one region that carries something, or any one provider, went; and any that a hostname would be
/// left with nobody without.
#[must_use]
pub fn each(snapshot: &Snapshot, traffic: &Traffic) -> Headroom {
    let topology = &snapshot.topology;
    let is_any = |carried: &Carried| carried.busy > 0.0 || carried.per_second > 0.0;
    let carries: BTreeSet<&Label> =
        traffic.regions.iter().filter(|(_, carried)| is_any(carried)).map(|(name, _)| name).collect();
    let regions = topology.regions.iter().map(|region| Target::Region(region.name.clone()));
    let providers = topology.providers.iter().map(|name| Target::Provider(name.clone()));
    let matters = |target: &Target| {
        let lost = taken(topology, std::slice::from_ref(target));
        lost.iter().any(|region| carries.contains(&topology.region(*region).name))
            || !nobody_left(snapshot, &lost).is_empty()
    };
    let mut world = snapshot.clone();
    let targets = regions.chain(providers).filter(matters);
    let losses = targets.map(|target| Rehearsal::of(&mut world, traffic, &[target]).run(false)).collect();
    Headroom { losses, ..now(snapshot, traffic) }
}

/// What would happen if all of `lost` went at once, with every hostname's regions before and after.
#[must_use]
pub fn without(snapshot: &Snapshot, traffic: &Traffic, lost: &[Target]) -> Headroom {
    let mut world = snapshot.clone();
    let loss = Rehearsal::of(&mut world, traffic, lost).run(true);
    Headroom { losses: vec![loss], ..now(snapshot, traffic) }
}

/// What is carried now.
fn now(snapshot: &Snapshot, traffic: &Traffic) -> Headroom {
    let topology = &snapshot.topology;
    let room = |(region, state): (&crate::topology::Region, &crate::snapshot::RegionState)| {
        let carried = traffic.regions.get(&region.name).copied().unwrap_or_default();
        RegionRoom {
            region: region.name.to_string(),
            provider: topology.providers[region.provider.at()].to_string(),
            standing: state.standing.to_string(),
            per_second: carried.per_second,
            in_flight: carried.in_flight,
            busy: carried.busy,
            capacity: region.capacity,
            used: region.capacity.map(|capacity| carried.busy / f64::from(capacity)),
        }
    };
    Headroom {
        site: snapshot.here.name.to_string(),
        generation: snapshot.generation,
        watched_s: traffic.watched.as_secs_f64(),
        assumed: traffic.assumed.clone(),
        regions: topology.regions.iter().zip(&snapshot.regions).map(room).collect(),
        losses: Vec::new(),
    }
}

/// Whether `target` takes that region along.
#[must_use]
pub fn covers(topology: &Topology, target: &Target, region: RegionIndex) -> bool {
    match target {
        Target::Region(name) => topology.region(region).name == *name,
        Target::Provider(name) => topology.provider(region) == name,
        Target::Endpoint(_) => false,
    }
}

/// The regions that go with `lost`.
fn taken(topology: &Topology, lost: &[Target]) -> Vec<RegionIndex> {
    let is_lost = |region: &RegionIndex| lost.iter().any(|target| covers(topology, target, *region));
    (0..topology.regions.len()).map(RegionIndex::of).filter(is_lost).collect()
}

/// Written hostnames that somebody serves, and nobody would without the regions `lost`.
fn nobody_left(snapshot: &Snapshot, lost: &[RegionIndex]) -> Vec<String> {
    let topology = &snapshot.topology;
    let serves = |route: &Route, region: RegionIndex| {
        let state = &snapshot.regions[region.at()];
        state.standing < Standing::Ejected && state.drained.is_none() && !route.shuts_out(topology, region)
    };
    let is_left_alone = |route: &&Route| {
        let mut serving = route.members.iter().map(|member| member.region).filter(|region| serves(route, *region));
        serving.next().is_some_and(|first| lost.contains(&first)) && serving.all(|region| lost.contains(&region))
    };
    let written = topology.routes.iter().filter(|route| !route.is_regional);
    written.filter(is_left_alone).map(|route| route.hostname.to_string()).collect()
}

/// A part of a flow that looks for a place.
struct Part<'a> {
    flow: &'a Flow,
    route: RouteIndex,
    from: RegionIndex,
    /// How much of it.
    share: f64,
}

/// Part of a flow, and where it ends.
struct Placed<'a> {
    part: Part<'a>,
    to: Option<RegionIndex>,
}

struct Rehearsal<'a> {
    world: &'a mut Snapshot,
    traffic: &'a Traffic,
    lost: Vec<RegionIndex>,
    names: Vec<String>,
    nobody_left: Vec<String>,
    /// What the lost regions were before.
    before: Vec<(RegionIndex, Standing, Reason)>,
}

/// What one region comes to, requests at once.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    before: f64,
    asked: f64,
    after: f64,
}

impl<'a> Rehearsal<'a> {
    /// The world without `lost`.
    fn of(world: &'a mut Snapshot, traffic: &'a Traffic, lost: &[Target]) -> Self {
        let topology = std::sync::Arc::clone(&world.topology);
        let gone = taken(&topology, lost);
        let nobody_left = nobody_left(world, &gone);
        let mut before = Vec::with_capacity(gone.len());
        for region in &gone {
            let state = &mut world.regions[region.at()];
            before.push((*region, state.standing, state.reason));
            (state.standing, state.reason) = (Standing::Down, Reason::Assumed);
        }
        let names = lost.iter().map(ToString::to_string).collect();
        Self { world, traffic, lost: gone, names, nobody_left, before }
    }

    /// Places everything again; the world is as it was then.
    fn run(self, with_matrix: bool) -> Loss {
        let (placed, rooms) = self.place();
        let topology = std::sync::Arc::clone(&self.world.topology);
        let moves = moves(&topology, &placed);
        let receivers = receivers(&topology, &placed, &rooms);
        let name = |region: &RegionIndex| topology.region(*region).name.to_string();
        let matrix = if with_matrix { matrix(self.traffic, &moves, &receivers) } else { Vec::new() };
        let flows = self
            .traffic
            .flows
            .iter()
            .filter(|flow| self.index(&flow.region).is_some_and(|region| self.lost.contains(&region)));
        let known: f64 = flows.map(|flow| flow.in_flight).sum();
        let carried = |what: fn(&Carried) -> f64| -> f64 {
            let lost = self.lost.iter().map(|region| &topology.region(*region).name);
            lost.filter_map(|name| self.traffic.regions.get(name)).map(what).sum()
        };
        let in_flight = carried(|carried| carried.busy);
        let loss = Loss {
            lost: self.names.clone(),
            regions: self.lost.iter().map(name).collect(),
            per_second: carried(|carried| carried.per_second),
            in_flight,
            unknown: if in_flight - known > NOTHING { in_flight - known } else { 0.0 },
            saturates: receivers.iter().any(|receiver| receiver.over > 0.0),
            fails: !self.nobody_left.is_empty() || moves.iter().any(|one| one.to.is_none() && !one.regional),
            nobody_left: self.nobody_left,
            receivers,
            moves,
            matrix,
        };
        for (region, standing, reason) in self.before {
            let state = &mut self.world.regions[region.at()];
            (state.standing, state.reason) = (standing, reason);
        }
        loss
    }

    fn index(&self, region: &Label) -> Option<RegionIndex> {
        self.world.topology.region_named(region.as_str())
    }

    /// Where everything that was at a lost region goes, and what regions come to.
    fn place(&self) -> (Vec<Placed<'a>>, Vec<Room>) {
        let topology = &self.world.topology;
        let capacity = |region: RegionIndex| topology.region(region).capacity.map(f64::from);
        let mut rooms: Vec<Room> = topology.regions.iter().map(|region| self.now(&region.name)).collect();
        for lost in &self.lost {
            rooms[lost.at()].after = 0.0;
        }
        let is_full = |region: &RegionIndex, rooms: &[Room]| {
            capacity(*region).is_some_and(|capacity| rooms[region.at()].after >= capacity - NOTHING)
        };
        let all = || (0..topology.regions.len()).map(RegionIndex::of);
        let mut full: Vec<RegionIndex> = all().filter(|region| is_full(region, &rooms)).collect();
        let mut placed: Vec<Placed<'a>> = Vec::new();
        let mut pending = self.pending();
        // Every round fills a region, or is the last.
        while !pending.is_empty() {
            let mut coming: BTreeMap<RegionIndex, Vec<Part<'a>>> = BTreeMap::new();
            for part in std::mem::take(&mut pending) {
                match self.best(&part, &full) {
                    Some(region) => coming.entry(region).or_default().push(part),
                    None => placed.push(Placed { part, to: None }),
                }
            }
            for (region, parts) in coming {
                let arriving: f64 = parts.iter().map(|part| part.flow.in_flight * part.share).sum();
                let room = &mut rooms[region.at()];
                room.asked += arriving;
                let left = capacity(region).map_or(f64::INFINITY, |capacity| (capacity - room.after).max(0.0));
                let stays = if full.contains(&region) || arriving <= left { 1.0 } else { left / arriving };
                room.after += arriving * stays;
                for Part { flow, route, from, share } in parts {
                    if stays > 0.0 {
                        placed
                            .push(Placed { part: Part { flow, route, from, share: share * stays }, to: Some(region) });
                    }
                    if stays < 1.0 {
                        pending.push(Part { flow, route, from, share: share * (1.0 - stays) });
                    }
                }
                if stays < 1.0 {
                    full.push(region);
                }
            }
        }
        (placed, rooms)
    }

    fn now(&self, region: &Label) -> Room {
        let busy = self.traffic.regions.get(region).map_or(0.0, |carried| carried.busy);
        Room { before: busy, asked: busy, after: busy }
    }

    /// What must go elsewhere.
    fn pending(&self) -> Vec<Part<'a>> {
        let topology = &self.world.topology;
        let part = |flow: &'a Flow| {
            let from = self.index(&flow.region).filter(|region| self.lost.contains(region))?;
            let route = *topology.route_by_hostname.get(&flow.hostname)?;
            Some(Part { flow, route, from, share: 1.0 })
        };
        self.traffic.flows.iter().filter_map(part).collect()
    }

    /// Where it would go.
    fn best(&self, part: &Part<'_>, full: &[RegionIndex]) -> Option<RegionIndex> {
        let query = Query { route: part.route, client: &part.flow.client, tried: &[], full, wish: Wish::default() };
        let best = steer(self.world, &query).candidates.into_iter().find(|one| !self.lost.contains(&one.region))?;
        // What is down or ejected would be tried, in vain.
        (best.standing < Standing::Ejected).then_some(best.region)
    }
}

/// How much farther the clients of a part would be.
fn added_km(topology: &Topology, placed: &Placed<'_>) -> f64 {
    let at = placed.part.flow.client.place.at;
    let km = |region: RegionIndex| at.distance_km(&topology.region(region).place.at);
    placed.to.map_or(0.0, |to| km(to) - km(placed.part.from))
}

/// By how much a part counts in averages: what is there at once, and where that is nothing, what comes.
fn weight(part: &Part<'_>) -> f64 {
    (part.flow.in_flight + part.flow.per_second) * part.share
}

fn moves(topology: &Topology, placed: &[Placed<'_>]) -> Vec<Move> {
    let mut all: BTreeMap<(&Hostname, RegionIndex, Option<RegionIndex>), (Move, f64)> = BTreeMap::new();
    for one in placed {
        let (part, name) = (&one.part, |region: RegionIndex| topology.region(region).name.to_string());
        let (known, weighed) = all.entry((&part.flow.hostname, part.from, one.to)).or_insert_with(|| {
            let hostname = part.flow.hostname.to_string();
            let regional = topology.route(part.route).is_regional;
            (Move { hostname, regional, from: name(part.from), to: one.to.map(name), ..Move::default() }, 0.0)
        });
        known.per_second += part.flow.per_second * part.share;
        known.in_flight += part.flow.in_flight * part.share;
        known.added_km += added_km(topology, one) * weight(part);
        *weighed += weight(part);
    }
    let mean = |(mut one, weighed): (Move, f64)| {
        one.added_km = if weighed > 0.0 { one.added_km / weighed } else { 0.0 };
        one
    };
    let mut all: Vec<Move> = all.into_values().map(mean).collect();
    all.sort_by(|a, b| {
        (b.in_flight, b.per_second).partial_cmp(&(a.in_flight, a.per_second)).unwrap_or(std::cmp::Ordering::Equal)
    });
    all
}

fn receivers(topology: &Topology, placed: &[Placed<'_>], rooms: &[Room]) -> Vec<Receiver> {
    let mut by_region: BTreeMap<Option<RegionIndex>, Vec<&Placed<'_>>> = BTreeMap::new();
    for one in placed {
        by_region.entry(one.to).or_default().push(one);
    }
    // Who was asked and had no room at all takes over nothing, and is the first to be told of.
    for (at, _) in rooms.iter().enumerate().filter(|(_, room)| room.asked > room.before) {
        by_region.entry(Some(RegionIndex::of(at))).or_default();
    }
    let receiver = |(to, parts): (Option<RegionIndex>, Vec<&Placed<'_>>)| {
        let room = to.map_or_else(Room::default, |to| rooms[to.at()]);
        let capacity = to.and_then(|to| topology.region(to).capacity);
        let nobodys = || parts.iter().map(|one| one.part.flow.in_flight * one.part.share).sum();
        let asked = if to.is_some() { room.asked } else { nobodys() };
        let mut hostnames: BTreeMap<&Hostname, f64> = BTreeMap::new();
        let (mut km, mut weighed) = (0.0, 0.0);
        for one in &parts {
            *hostnames.entry(&one.part.flow.hostname).or_default() += weight(&one.part);
            km += added_km(topology, one) * weight(&one.part);
            weighed += weight(&one.part);
        }
        let mut hostnames: Vec<(&Hostname, f64)> = hostnames.into_iter().collect();
        hostnames.sort_by(|a, b| b.1.total_cmp(&a.1));
        let limit = capacity.map(f64::from);
        Receiver {
            region: to.map(|to| topology.region(to).name.to_string()),
            before: room.before,
            asked,
            after: if to.is_some() { room.after } else { asked },
            capacity,
            ratio: limit.map(|limit| asked / limit),
            over: limit.map_or(0.0, |limit| if asked > limit + NOTHING { asked - limit } else { 0.0 }),
            added_km: if weighed > 0.0 { km / weighed } else { 0.0 },
            hostnames: hostnames.into_iter().map(|(name, _)| name.to_string()).collect(),
        }
    };
    let mut all: Vec<Receiver> = by_region.into_iter().map(receiver).collect();
    let fullness = |one: &Receiver| (one.region.is_some(), one.ratio.unwrap_or(0.0), one.asked);
    all.sort_by(|a, b| fullness(b).partial_cmp(&fullness(a)).unwrap_or(std::cmp::Ordering::Equal));
    all
}

/// Before and after of every hostname that something moves of.
fn matrix(traffic: &Traffic, moves: &[Move], receivers: &[Receiver]) -> Vec<Row> {
    let concerned: BTreeSet<&str> = moves.iter().map(|one| one.hostname.as_str()).collect();
    let mut rows: BTreeMap<(String, bool, Option<String>), Row> = BTreeMap::new();
    let mut add = |hostname: &str, region: Option<&str>, change: &mut dyn FnMut(&mut Row)| {
        let (name, at) = (hostname.to_owned(), region.map(str::to_owned));
        let fresh = || Row { hostname: hostname.to_owned(), region: region.map(str::to_owned), ..Row::default() };
        // Nobody comes last.
        change(rows.entry((name, region.is_none(), at)).or_insert_with(fresh));
    };
    for flow in traffic.flows.iter().filter(|flow| concerned.contains(flow.hostname.as_str())) {
        add(flow.hostname.as_str(), Some(flow.region.as_str()), &mut |row| {
            row.before_per_second += flow.per_second;
            row.after_per_second += flow.per_second;
            row.before += flow.in_flight;
            row.after += flow.in_flight;
        });
    }
    for one in moves {
        add(&one.hostname, Some(&one.from), &mut |row| {
            row.after_per_second = (row.after_per_second - one.per_second).max(0.0);
            row.after = (row.after - one.in_flight).max(0.0);
        });
        add(&one.hostname, one.to.as_deref(), &mut |row| {
            row.after_per_second += one.per_second;
            row.after += one.in_flight;
        });
    }
    let is_over = |region: Option<&str>| receivers.iter().any(|one| one.over > 0.0 && one.region.as_deref() == region);
    let mut rows: Vec<Row> = rows.into_values().collect();
    for row in &mut rows {
        // What is left over by halving is nothing.
        for number in [&mut row.after, &mut row.after_per_second] {
            *number = if *number < NOTHING { 0.0 } else { *number };
        }
        row.saturates = row.region.is_some() && is_over(row.region.as_deref());
    }
    rows
}
