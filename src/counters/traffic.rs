//! What came of requests, by hostname, region and class, and between which countries and regions they go.
//!
//! Names are those of the file and countries those of the map, so strangers cannot make more of them; both tables are
//! bounded all the same. Each is one worker's: its thread alone writes, so nothing here waits for anybody.

use super::bump;
use super::histogram::{Histogram, Times};
use super::record::{Outcome, Record};
use crate::geo::place::Country;
use crate::limits::{FLOWS_MAX, TRAFFIC_CELLS_MAX};
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets for what regions take.
pub const REGION_BOUNDS: [Duration; 16] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
];
/// Upper ends of the buckets for what this node adds.
pub const ADDED_BOUNDS: [Duration; 14] = [
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
];

/// Classes of statuses: none, 1xx to 5xx.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// How long a flow is remembered.
pub const FLOW_LASTS: Duration = Duration::from_secs(60);
const FLOW_SLOTS: usize = 12;
const FLOW_SLOT: Duration = Duration::from_secs(FLOW_LASTS.as_secs() / FLOW_SLOTS as u64);

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    hostname: Hostname,
    region: Option<Label>,
    class: Arc<str>,
}

/// What came of the requests of one class for one hostname at one region.
#[derive(Debug)]
pub struct Cell {
    /// By status, as [`STATUS_CLASSES`].
    statuses: [AtomicU64; STATUS_CLASSES.len()],
    failures: AtomicU64,
    octets_up: AtomicU64,
    octets_down: AtomicU64,
    first_byte: Histogram<{ REGION_BOUNDS.len() }>,
    gap: Histogram<{ REGION_BOUNDS.len() }>,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            statuses: Default::default(),
            failures: AtomicU64::new(0),
            octets_up: AtomicU64::new(0),
            octets_down: AtomicU64::new(0),
            first_byte: Histogram::new(&REGION_BOUNDS),
            gap: Histogram::new(&REGION_BOUNDS),
        }
    }
}

impl Cell {
    fn count(&self, record: &Record) {
        bump(&self.statuses[usize::from(record.status / 100).min(STATUS_CLASSES.len() - 1)], 1);
        bump(&self.failures, u64::from(record.is_failure()));
        bump(&self.octets_up, record.octets_up);
        bump(&self.octets_down, record.octets_down);
        if let Some(first_byte) = record.first_byte {
            self.first_byte.add(first_byte);
        }
        if let Some(gap) = record.gap {
            self.gap.add(gap);
        }
    }
}

/// What came of the requests of one class for one hostname at one region, at all workers since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// For which hostname; `None`: for more of them than are counted apart.
    pub hostname: Option<Hostname>,
    /// Who answered; `None`: nobody did.
    pub region: Option<Label>,
    /// In which class; empty: in more of them than are counted apart.
    pub class: Arc<str>,
    /// By status, as [`STATUS_CLASSES`].
    pub statuses: [u64; STATUS_CLASSES.len()],
    /// How many failed their clients ([`Record::is_failure`]).
    pub failures: u64,
    /// Octets of requests' bodies.
    pub octets_up: u64,
    /// Octets of answers' bodies.
    pub octets_down: u64,
    /// From a request's first octet on a connection to the region until the head of its answer.
    pub first_byte: Times,
    /// The longest silence inside each event stream.
    pub gap: Times,
}

impl Traffic {
    /// How many requests have come to an end.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.statuses.iter().sum()
    }

    fn join(&mut self, cell: &Cell) {
        self.statuses.iter_mut().zip(&cell.statuses).for_each(|(sum, more)| *sum += more.load(Relaxed));
        self.failures += cell.failures.load(Relaxed);
        self.octets_up += cell.octets_up.load(Relaxed);
        self.octets_down += cell.octets_down.load(Relaxed);
        self.first_byte.join(&cell.first_byte.times());
        self.gap.join(&cell.gap.times());
    }
}

/// Requests that go from one country to one region, over the last minute.
#[derive(Debug, Default)]
pub struct Flow {
    /// Which time a slot is of, counted in slots since the clock was started, and how many came in it.
    slots: [(AtomicU32, AtomicU32); FLOW_SLOTS],
}

fn slot_of(now: Moment) -> u32 {
    u32::try_from(now.as_nanos() / u64::try_from(FLOW_SLOT.as_nanos()).unwrap_or(u64::MAX)).unwrap_or(u32::MAX)
}

impl Flow {
    fn count(&self, now: Moment) {
        let time = slot_of(now);
        let (of, count) = &self.slots[time as usize % FLOW_SLOTS];
        if of.load(Relaxed) != time {
            count.store(0, Relaxed);
            of.store(time, Relaxed);
        }
        count.store(count.load(Relaxed).saturating_add(1), Relaxed);
    }

    fn over_last_minute(&self, now: Moment) -> u64 {
        let time = slot_of(now);
        let is_fresh = |of: u32| of <= time && time - of < FLOW_SLOTS as u32;
        let fresh = self.slots.iter().filter(|(of, _)| is_fresh(of.load(Relaxed)));
        fresh.map(|(_, count)| u64::from(count.load(Relaxed))).sum()
    }
}

/// Where a request is counted: found once for many requests that are alike.
#[derive(Clone, Debug)]
pub struct Place {
    cell: Arc<Cell>,
    /// `None`: nobody answers, or there are more flows than are told apart.
    flow: Option<Arc<Flow>>,
}

/// From which country, if that is known, to which region.
pub type FlowKey = (Option<Country>, Label);

/// One worker's tables.
#[derive(Debug)]
pub struct Tables {
    cells: Mutex<HashMap<Key, Arc<Cell>>>,
    /// What has no cell of its own.
    rest: Arc<Cell>,
    flows: Mutex<HashMap<FlowKey, Arc<Flow>>>,
    added: Histogram<{ ADDED_BOUNDS.len() }>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            cells: Mutex::default(),
            rest: Arc::default(),
            flows: Mutex::default(),
            added: Histogram::new(&ADDED_BOUNDS),
            outcomes: Default::default(),
        }
    }
}

impl Tables {
    /// Where requests of `class` for `hostname` are counted that `region` answers for clients in `country`, `now`.
    #[must_use]
    pub fn place(
        &self,
        hostname: &Hostname,
        region: Option<&Label>,
        class: &Arc<str>,
        country: Option<Country>,
        now: Moment,
    ) -> Place {
        let key = Key { hostname: hostname.clone(), region: region.cloned(), class: Arc::clone(class) };
        let flow = region.and_then(|region| self.flow(country, region, now));
        Place { cell: self.cell(key), flow }
    }

    fn cell(&self, key: Key) -> Arc<Cell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(&key) {
            return Arc::clone(cell);
        }
        if cells.len() >= TRAFFIC_CELLS_MAX {
            return Arc::clone(&self.rest);
        }
        Arc::clone(cells.entry(key).or_default())
    }

    fn flow(&self, country: Option<Country>, region: &Label, now: Moment) -> Option<Arc<Flow>> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (country, region.clone());
        if let Some(flow) = flows.get(&key) {
            return Some(Arc::clone(flow));
        }
        if flows.len() >= FLOWS_MAX {
            // Whoever still holds one that is forgotten here counts for nobody until it asks again.
            flows.retain(|_, flow| flow.over_last_minute(now) > 0);
        }
        (flows.len() < FLOWS_MAX).then(|| Arc::clone(flows.entry(key).or_default()))
    }

    /// Counts a request that has come to its end `now`. One that was refused belongs to no hostname.
    pub fn count(&self, place: Option<&Place>, record: &Record, now: Moment) {
        bump(&self.outcomes[record.outcome as usize], 1);
        if let Some(place) = place {
            place.cell.count(record);
            if let Some(flow) = &place.flow {
                flow.count(now);
            }
        }
        if let Some(added) = record.added() {
            self.added.add(added);
        }
    }
}

/// Tables of all workers, read together.
#[derive(Debug)]
pub struct Together<'a>(pub Vec<&'a Tables>);

impl Together<'_> {
    /// Everything by hostname, region and class, in the order of their names.
    #[must_use]
    pub fn traffic(&self) -> Vec<Traffic> {
        let mut all: BTreeMap<Option<Key>, Traffic> = BTreeMap::new();
        for tables in &self.0 {
            for (key, cell) in tables.cells.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let of = || Traffic {
                    hostname: Some(key.hostname.clone()),
                    region: key.region.clone(),
                    class: Arc::clone(&key.class),
                    ..Traffic::default()
                };
                all.entry(Some(key.clone())).or_insert_with(of).join(cell);
            }
            if tables.rest.statuses.iter().any(|count| count.load(Relaxed) > 0) {
                all.entry(None).or_default().join(&tables.rest);
            }
        }
        all.into_values().collect()
    }

    /// Requests over the last minute, by country of the client and region.
    #[must_use]
    pub fn flows(&self, now: Moment) -> BTreeMap<FlowKey, u64> {
        let mut all = BTreeMap::new();
        for tables in &self.0 {
            for (key, flow) in tables.flows.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                match flow.over_last_minute(now) {
                    0 => {}
                    count => *all.entry(key.clone()).or_default() += count,
                }
            }
        }
        all
    }

    /// What this node itself adds to requests.
    #[must_use]
    pub fn added(&self) -> Times {
        self.0.iter().fold(Times::default(), |mut sum, tables| {
            sum.join(&tables.added.times());
            sum
        })
    }

    /// How many requests ended how.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(Outcome, u64)> {
        let total = |outcome: Outcome| self.0.iter().map(|all| all.outcomes[outcome as usize].load(Relaxed)).sum();
        Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::UnderWay).map(|one| (one, total(one))).collect()
    }
}

#[cfg(test)]
mod tests;
