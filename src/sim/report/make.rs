//! A report from what was counted.

use super::super::scenario::Scenario;
use super::super::tally::spread::Spread;
use super::super::tally::{OUTCOMES, Tally};
use super::{
    Amplification, Columns, Failover, Invariant, Map, OfName, OfNode, OfPlace, OfRegion, OfResidency, Outside, Picture,
    Processed, Report, ServedBy, Service, Since, Times, Worst, demands, met,
};
use crate::geo::place::Country;
use crate::health::{Fault, Standing};
use crate::moment::{Moment, rfc3339};
use crate::topology::{RegionIndex, RouteIndex, Topology};
use std::collections::BTreeMap;

/// What a report says that was not counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// What the configuration is called.
    pub configuration: String,
    /// What chance came from.
    pub seed: u64,
    /// What must always hold, and whether it did.
    pub invariants: Vec<Invariant>,
    /// How good the choice of regions is.
    pub quality: Option<serde_json::Value>,
}

impl Report {
    /// Of a run that is over, and its tally closed.
    #[must_use]
    pub fn of(tally: &Tally, scenario: &Scenario, topology: &Topology, told: Told) -> Self {
        let of_all = (0..tally.ground.routes).collect::<Vec<_>>();
        let mut report = Self {
            scenario: scenario.name.clone(),
            configuration: told.configuration,
            configuration_digest: topology.digest.to_string(),
            seed: told.seed,
            starts: rfc3339(scenario.starts),
            lasts_s: rounded(scenario.lasts.as_secs_f64()),
            slot_s: tally.ground.slot.as_secs(),
            clients: tally.ground.clients.len() as u64,
            run: None,
            demands: Vec::new(),
            invariants: told.invariants,
            total: service(tally, &of_all, String::new()),
            hostnames: hostnames(tally, topology),
            regions: (0..tally.ground.regions).map(|region| region_of(tally, topology, region)).collect(),
            places: places(tally, topology),
            faults: met::faults(tally, scenario, topology),
            amplification: amplification(tally),
            failovers: failovers(tally, topology),
            nodes: nodes(tally),
            residency: residency(tally, topology),
            dns: names(tally, topology),
            quality: told.quality,
            map: map(tally),
        };
        report.demands = demands::judged(&scenario.demands, &report);
        report
    }
}

/// To three digits after the point: a report is read by people, too.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
pub(super) fn share(part: u64, of: u64) -> Option<f64> {
    // Rounded down, so that a hundred percent is all of them.
    (of > 0).then(|| (part as f64 / of as f64 * 100_000.0).floor() / 1_000.0)
}

fn times(spread: &Spread) -> Times {
    Times {
        count: spread.count(),
        mean_ms: spread.mean_ms().map(rounded),
        p50_ms: spread.percentile_ms(50).map(rounded),
        p99_ms: spread.percentile_ms(99).map(rounded),
        longest_ms: spread.longest_ms().map(rounded),
    }
}

fn by_outcome(counts: &[u64; OUTCOMES.len()]) -> BTreeMap<String, u64> {
    let bad = OUTCOMES.iter().zip(counts).skip(1).filter(|(_, count)| **count > 0);
    bad.map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// How clients of those hostnames were served, together.
fn service(tally: &Tally, routes: &[usize], hostname: String) -> Service {
    let (ground, wishes) = (&tally.ground, &tally.wishes);
    let mut counts = [0_u64; OUTCOMES.len()];
    let mut begun = 0;
    let mut whole = Spread::default();
    let mut columns = Columns::default();
    for slot in 0..ground.slots {
        let mut of_slot = [0_u64; OUTCOMES.len()];
        let mut added = Spread::default();
        for route in routes {
            let at = slot * ground.routes + route;
            begun += u64::from(wishes.begun[at]);
            of_slot.iter_mut().zip(&wishes.ended[at]).for_each(|(sum, count)| *sum += u64::from(*count));
            added.merge(&wishes.added[at]);
        }
        counts.iter_mut().zip(of_slot).for_each(|(sum, count)| *sum += count);
        whole.merge(&added);
        let ended: u64 = of_slot.iter().sum();
        columns.wishes.push(ended);
        columns.failed.push(ended - of_slot[0]);
        columns.added_p50_ms.push(added.percentile_ms(50).map(rounded));
        columns.added_p99_ms.push(added.percentile_ms(99).map(rounded));
    }
    let ended: u64 = counts.iter().sum();
    let columns_of = columns.wishes.iter().copied().zip(columns.failed.iter().copied());
    Service {
        hostname,
        wishes: ended,
        served: counts[0],
        failed: by_outcome(&counts),
        open: begun.saturating_sub(ended),
        availability_percent: share(counts[0], ended),
        added: times(&whole),
        worst: worst(columns_of, ground.slot.as_secs()),
        by_slot: columns,
    }
}

/// The slot with the most failed wishes, the first of them.
fn worst(slots: impl Iterator<Item = (u64, u64)>, slot_s: u64) -> Option<Worst> {
    let bad = slots.enumerate().filter(|(_, (_, failed))| *failed > 0);
    let (at, (wishes, failed)) = bad.max_by_key(|(at, (_, failed))| (*failed, usize::MAX - at))?;
    Some(Worst { at_s: at as u64 * slot_s, wishes, failed })
}

fn hostnames(tally: &Tally, topology: &Topology) -> Vec<Service> {
    let asked = topology.routes.iter().enumerate();
    let services = asked.map(|(at, route)| service(tally, &[at], route.hostname.to_string()));
    services.filter(|service| service.wishes + service.open > 0).collect()
}

fn region_of(tally: &Tally, topology: &Topology, at: usize) -> OfRegion {
    let (ground, loads) = (&tally.ground, &tally.loads);
    let region = &topology.regions[at];
    let of_slots = |counts: &[u32]| counts.iter().skip(at).step_by(ground.regions).copied().collect::<Vec<u32>>();
    let in_flight = of_slots(&loads.highest);
    let most = in_flight.iter().copied().max().unwrap_or_default();
    let most_at = in_flight.iter().position(|count| *count == most).unwrap_or_default();
    let served: Vec<u64> = of_slots(&tally.wishes.served_by).into_iter().map(u64::from).collect();
    OfRegion {
        name: region.name.to_string(),
        provider: topology.provider(RegionIndex::of(at)).to_string(),
        place: region.place.to_string(),
        latitude: region.place.at.latitude(),
        longitude: region.place.at.longitude(),
        capacity: loads.capacity[at],
        in_flight_most: most,
        in_flight_most_at_s: most_at as u64 * ground.slot.as_secs(),
        load_percent: loads.capacity[at].map(|most_at_once| rounded(f64::from(most) / f64::from(most_at_once) * 100.0)),
        attempts: of_slots(&loads.tries).into_iter().map(u64::from).sum(),
        served: served.iter().sum(),
        failures: failures(tally, at),
        open: u64::from(loads.under_way(RegionIndex::of(at))),
        probes_passed: tally.probes[at][1],
        probes_failed: tally.probes[at][0],
        added: times(&tally.wishes.added_by_region[at]),
        served_by_slot: served,
        in_flight_by_slot: in_flight,
    }
}

/// Attempts at a region that did not end well, by how.
fn failures(tally: &Tally, region: usize) -> BTreeMap<String, u64> {
    let failed = Fault::NAMES.iter().zip(&tally.loads.failures[region]);
    let ended = OUTCOMES.iter().zip(&tally.loads.ended[region]).skip(1);
    let mut failures = BTreeMap::new();
    for (name, count) in failed.chain(ended).filter(|(_, count)| **count > 0) {
        *failures.entry((*name).to_owned()).or_default() += count;
    }
    failures
}

fn places(tally: &Tally, topology: &Topology) -> Vec<OfPlace> {
    let ground = &tally.ground;
    let mut slots: Vec<BTreeMap<usize, (u64, u64)>> = vec![BTreeMap::new(); ground.groups.len()];
    let mut served: Vec<Vec<u64>> = vec![vec![0; ground.regions]; ground.groups.len()];
    for cell in tally.wishes.cells() {
        let of_slot = slots[cell.group()].entry(cell.slot()).or_default();
        of_slot.0 += u64::from(cell.wishes);
        of_slot.1 += u64::from(cell.failed);
        if let Some(region) = cell.region() {
            served[cell.group()][region.at()] += u64::from(cell.wishes - cell.failed);
        }
    }
    let place = |at: usize| {
        let (group, counts) = (&ground.groups[at], &tally.wishes.ended_by_group[at]);
        let wishes: u64 = counts.iter().sum();
        let bad = slots[at].iter().filter(|(_, (_, failed))| *failed > 0);
        let worst = bad.max_by_key(|(slot, (_, failed))| (*failed, usize::MAX - **slot));
        let mut served_by: Vec<ServedBy> = (0..ground.regions)
            .map(|region| ServedBy { region: topology.regions[region].name.to_string(), wishes: served[at][region] })
            .filter(|by| by.wishes > 0)
            .collect();
        served_by.sort_by_key(|by| std::cmp::Reverse(by.wishes));
        OfPlace {
            name: group.name.clone(),
            country: group.country.map(|country| country.to_string()),
            clients: u64::from(group.clients),
            wishes,
            failed: wishes - counts[0],
            availability_percent: share(counts[0], wishes),
            added: times(&tally.wishes.added_by_group[at]),
            worst: worst.map(|(slot, (wishes, failed))| Worst {
                at_s: *slot as u64 * ground.slot.as_secs(),
                wishes: *wishes,
                failed: *failed,
            }),
            served_by,
        }
    };
    let mut places: Vec<OfPlace> = (0..ground.groups.len()).map(place).filter(|place| place.wishes > 0).collect();
    places.sort_by(|a, b| (b.failed, b.wishes).cmp(&(a.failed, a.wishes)).then_with(|| a.name.cmp(&b.name)));
    places
}

fn amplification(tally: &Tally) -> Amplification {
    let pulse = &tally.pulse;
    let ended = OUTCOMES.iter().zip(tally.ended).filter(|(_, count)| *count > 0);
    let finished = tally.wishes.ended.iter().flatten().copied().map(u64::from).sum();
    let requests_ended: u64 = tally.ended.iter().sum();
    // Without any attempt there is nothing to judge by.
    let has_any = pulse.whole.attempts > 0;
    let worst = pulse.worst.filter(|_| has_any);
    Amplification {
        wishes: finished,
        requests: pulse.whole.requests,
        requests_open: pulse.whole.requests.saturating_sub(requests_ended),
        requests_ended: ended.map(|(name, count)| ((*name).to_owned(), count)).collect(),
        client_retries: tally.repeats,
        attempts: pulse.whole.attempts,
        failed_over: tally.failed_over,
        attempts_per_request: pulse.whole.per_request().filter(|_| has_any).map(rounded),
        requests_per_wish: pulse.whole.per_wish().map(rounded),
        worst_10s: worst.and_then(|worst| worst.per_request()).map(rounded),
        worst_10s_until_s: worst.map(|_| pulse.worst_until_s),
    }
}

fn failovers(tally: &Tally, topology: &Topology) -> Vec<Failover> {
    let regions = tally.ground.regions;
    let name = |at: usize| topology.regions[at].name.to_string();
    let all = tally.loads.failovers.iter().enumerate().filter(|(_, attempts)| **attempts > 0);
    let mut all: Vec<Failover> = all
        .map(|(at, attempts)| Failover { from: name(at / regions), to: name(at % regions), attempts: *attempts })
        .collect();
    all.sort_by_key(|failover| std::cmp::Reverse(failover.attempts));
    all
}

pub(super) fn seconds(moment: Moment) -> f64 {
    rounded(moment.since(Moment::ZERO).as_secs_f64())
}

fn nodes(tally: &Tally) -> Vec<OfNode> {
    let ground = &tally.ground;
    let unknown = || Since { from_s: 0.0, standing: Standing::Unknown.as_str().to_owned() };
    let node = |(deeds, site): (&super::super::tally::Deeds, &String)| OfNode {
        site: site.clone(),
        requests: deeds.requests,
        snapshots: deeds.snapshots,
        obeyed: deeds.words[0],
        refused: deeds.words[1],
        stops: deeds.stops,
        gone_s: Vec::new(),
        standings: vec![vec![unknown()]; ground.regions],
    };
    let mut nodes: Vec<OfNode> = tally.nodes.iter().zip(&ground.sites).map(node).collect();
    for change in &tally.standings.changes {
        let node = &mut nodes[usize::from(change.node)];
        let from_s = seconds(change.at);
        match (change.region, change.standing) {
            (Some(region), Some(standing)) => {
                let bar = &mut node.standings[region.at()];
                // What changes twice in no time was never seen.
                bar.pop_if(|last| last.from_s >= from_s);
                bar.push(Since { from_s, standing: standing.as_str().to_owned() });
            }
            (None, None) => node.gone_s.push((from_s, f64::INFINITY)),
            _ => {
                if let Some((_, until)) = node.gone_s.last_mut() {
                    *until = from_s;
                }
            }
        }
    }
    let end = rounded(ground.lasts.as_secs_f64());
    nodes.iter_mut().flat_map(|node| &mut node.gone_s).for_each(|(_, until)| *until = until.min(end));
    nodes
}

fn residency(tally: &Tally, topology: &Topology) -> OfResidency {
    let regions = tally.ground.regions;
    let mut processed = Vec::new();
    for (at, route) in topology.routes.iter().enumerate() {
        let mut by_country: BTreeMap<Option<Country>, u64> = BTreeMap::new();
        for region in 0..regions {
            let requests = tally.processed[at * regions + region];
            if requests > 0 {
                *by_country.entry(topology.regions[region].place.country).or_default() += requests;
            }
        }
        let fence = route.residency.as_ref();
        processed.extend(by_country.into_iter().map(|(country, requests)| Processed {
            hostname: route.hostname.to_string(),
            fence: fence.map(|fence| fence.written.join(", ")),
            country: country.map_or_else(|| "?".to_owned(), |country| country.to_string()),
            requests,
            is_outside: fence.is_some_and(|fence| country.is_none_or(|country| !fence.countries.contains(&country))),
        }));
    }
    let first = tally.first_breaches.iter().map(|breach| Outside {
        at_s: seconds(breach.at),
        hostname: topology.route(breach.route).hostname.to_string(),
        region: topology.region(breach.region).name.to_string(),
        client: tally.ground.spot_of(breach.client).map_or_else(String::new, |at| tally.ground.spots[at].name.clone()),
    });
    OfResidency { processed, outside: tally.breaches, first_outside: first.collect() }
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
fn names(tally: &Tally, topology: &Topology) -> Vec<OfName> {
    let asked = tally.names.iter().enumerate().filter(|(_, names)| names.answers > 0);
    let of = asked.map(|(at, names)| OfName {
        hostname: topology.route(RouteIndex::of(at)).hostname.to_string(),
        answers: names.answers,
        empty: names.empty,
        ttl_mean_s: Some(rounded(names.ttl_ms as f64 / names.answers as f64 / 1_000.0)),
    });
    of.collect()
}

fn map(tally: &Tally) -> Map {
    let ground = &tally.ground;
    let (slot_s, ends) = (ground.slot.as_secs(), ground.regions + 1);
    let size = ground.spots.len() * ends;
    let flows = |counts: &[u32], number: usize| {
        let picture = &counts[number * size..][..size];
        let some = picture.iter().enumerate().filter(|(_, wishes)| **wishes > 0);
        some.map(|(at, wishes)| (at / ends, at % ends, *wishes)).collect()
    };
    let step = |number: usize| Picture {
        from_s: (number * ground.step) as u64 * slot_s,
        until_s: ((number + 1) * ground.step).min(ground.slots) as u64 * slot_s,
        title: String::new(),
        flows: flows(&tally.wishes.steps, number),
    };
    let moment = |(number, window): (usize, &super::super::tally::ground::Window)| Picture {
        from_s: window.from as u64 * slot_s,
        until_s: window.to as u64 * slot_s,
        title: window.title.clone().unwrap_or_default(),
        flows: flows(&tally.wishes.moments, number),
    };
    let spots = ground.spots.iter().map(|spot| (spot.name.clone(), spot.at.latitude(), spot.at.longitude()));
    Map {
        spots: spots.collect(),
        steps: (0..ground.steps).map(step).collect(),
        moments: ground.moments.iter().enumerate().map(moment).collect(),
    }
}
