//! Where and when things are counted: slots of time, groups of clients, windows that the map shows.

use super::super::scenario::Scenario;
use crate::geo::place::{Coordinates, Country};
use crate::topology::Topology;
use std::collections::BTreeMap;
use std::time::Duration;

/// Slots of a run at most: a minute each, and longer ones in a run of more than two days.
pub const SLOTS_MAX: u64 = 2_880;
/// Parts of a slot in which attempts are counted by region: ten seconds, where a slot is a minute.
pub const PARTS: usize = 6;
/// Clients are counted by city if they are in no more cities than this, else by country.
pub const CITIES_MAX: usize = 40;
/// Windows that the map can be moved through at most.
const STEPS_MAX: u64 = 48;
/// Moments that are shown beside each other at most, beside the begin and the end.
const MOMENTS_MAX: usize = 10;
/// How long after a fault's begin its effect is looked at.
const AFTER: [(u64, &str); 2] = [(60, "1 min later"), (300, "5 min later")];

/// Where a client is.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// Its city.
    pub name: String,
    /// Its country.
    pub country: Option<Country>,
    /// Where that is.
    pub at: Coordinates,
}

/// Clients that are counted together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are called: "Mumbai, IN", or "IN".
    pub name: String,
    /// Their country.
    pub country: Option<Country>,
    /// The spot that most of them are at.
    pub spot: u16,
    /// How many they are.
    pub clients: u32,
}

/// A time that the map shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first slot.
    pub from: usize,
    /// The slot after its last.
    pub to: usize,
    /// What it shows, if it was chosen.
    pub title: Option<String>,
}

/// Where and when things are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// How long the run lasts.
    pub lasts: Duration,
    /// How long a slot is.
    pub slot: Duration,
    /// How many there are.
    pub slots: usize,
    /// How many hostnames.
    pub routes: usize,
    /// How many regions.
    pub regions: usize,
    /// Requests that each region works on at once, by the scenario or the configuration; `None`: as many as come.
    pub capacity: Vec<Option<u32>>,
    /// The sites at which nodes stand.
    pub sites: Vec<String>,
    /// Where clients are.
    pub spots: Vec<Spot>,
    /// At which spot each client is.
    pub clients: Vec<u16>,
    /// Clients that are counted together.
    pub groups: Vec<Group>,
    /// In which group the clients of a spot are.
    pub group_of_spot: Vec<u16>,
    /// Slots in a step of the map.
    pub step: usize,
    /// How many steps there are.
    pub steps: usize,
    /// Moments that are shown beside each other.
    pub moments: Vec<Window>,
}

impl Ground {
    pub(super) fn of(scenario: &Scenario, topology: &Topology, spots: Vec<Spot>, clients: Vec<u16>) -> Self {
        let minutes = scenario.lasts.as_millis().div_ceil(60_000).max(1);
        let minutes = u64::try_from(minutes).unwrap_or(u64::MAX);
        let slot_minutes = minutes.div_ceil(SLOTS_MAX);
        let slots = minutes.div_ceil(slot_minutes);
        let step = slots.div_ceil(STEPS_MAX);
        let sites = topology.sites.iter().map(|site| site.name.to_string()).collect();
        let (groups, group_of_spot) = grouped(&spots, &clients);
        let slot = Duration::from_secs(60 * slot_minutes);
        let capacity = topology.regions.iter().map(|region| scenario.truth_of(&region.name).slots.or(region.capacity));
        let slots = index(slots);
        Self {
            lasts: scenario.lasts,
            slot,
            slots,
            routes: topology.routes.len(),
            regions: topology.regions.len(),
            capacity: capacity.collect(),
            sites,
            spots,
            clients,
            groups,
            group_of_spot,
            step: index(step),
            steps: slots.div_ceil(index(step)),
            moments: moments(scenario, slot, slots),
        }
    }

    /// The slot of a time since the begin; the last one has what comes after it.
    #[must_use]
    pub fn slot_at(&self, nanos: u64) -> usize {
        let slot = u64::try_from(self.slot.as_nanos()).unwrap_or(u64::MAX);
        index(nanos / slot).min(self.slots - 1)
    }

    /// The part of a slot that a time is in.
    #[must_use]
    pub fn part_at(&self, nanos: u64) -> usize {
        let part = u64::try_from(self.slot.as_nanos()).unwrap_or(u64::MAX) / PARTS as u64;
        index(nanos / part).min(self.slots * PARTS - 1)
    }

    /// Where a client is.
    #[must_use]
    pub fn spot_of(&self, client: u32) -> Option<usize> {
        let spot = usize::from(*self.clients.get(usize::try_from(client).ok()?)?);
        (spot < self.spots.len()).then_some(spot)
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Groups in the order of their names, and which one each spot is in.
fn grouped(spots: &[Spot], clients: &[u16]) -> (Vec<Group>, Vec<u16>) {
    let mut at_spot = vec![0_u32; spots.len()];
    for client in clients {
        if let Some(count) = at_spot.get_mut(usize::from(*client)) {
            *count += 1;
        }
    }
    let by_city = at_spot.iter().filter(|count| **count > 0).count() <= CITIES_MAX;
    let name = |spot: &Spot| match (by_city, spot.country) {
        (true, Some(country)) => format!("{}, {country}", spot.name),
        (true, None) => spot.name.clone(),
        (false, Some(country)) => country.to_string(),
        (false, None) => "elsewhere".to_owned(),
    };
    let mut named: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, spot) in spots.iter().enumerate() {
        named.entry(name(spot)).or_default().push(at);
    }
    let mut group_of_spot = vec![0; spots.len()];
    let mut groups = Vec::with_capacity(named.len());
    for (number, (name, members)) in named.into_iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        members.iter().for_each(|spot| group_of_spot[*spot] = number);
        let main = members.iter().copied().max_by_key(|spot| (at_spot[*spot], usize::MAX - spot)).unwrap_or_default();
        groups.push(Group {
            name,
            country: spots[main].country,
            spot: u16::try_from(main).unwrap_or(u16::MAX),
            clients: members.iter().map(|spot| at_spot[*spot]).sum(),
        });
    }
    (groups, group_of_spot)
}

/// The begin, some looks at each of the first faults, and the end.
fn moments(scenario: &Scenario, slot: Duration, slots: usize) -> Vec<Window> {
    let at = |time: Duration| index(u64::try_from(time.as_nanos() / slot.as_nanos()).unwrap_or(u64::MAX));
    let window = |slot: usize, title: String| Window { from: slot, to: slot + 1, title: Some(title) };
    let mut moments = vec![window(0, "At the begin".to_owned())];
    for (number, fault) in scenario.faults.iter().enumerate() {
        let after = AFTER.iter().filter(|(seconds, _)| {
            let is_on = fault.lasts.is_none_or(|lasts| Duration::from_secs(*seconds) < lasts);
            *seconds == AFTER[0].0 || is_on
        });
        for (seconds, words) in after {
            let slot = at(fault.at + Duration::from_secs(*seconds));
            if slot < slots && moments.len() <= MOMENTS_MAX {
                moments.push(window(slot, format!("Fault {}, {words}", number + 1)));
            }
        }
    }
    moments.push(window(slots - 1, "At the end".to_owned()));
    moments.sort_by_key(|window| window.from);
    moments.dedup_by_key(|window| window.from);
    moments
}
