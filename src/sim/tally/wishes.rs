//! Wishes and how they ended: by hostname, by place of the client, by region that served, by the time they were wished.
//!
//! A wish counts in the slot in which it was wished, whenever it ended: so the picture of an outage is where the outage
//! was, however long clients waited.

use super::super::fact::Outcome;
use super::super::request::Request;
use super::ground::Ground;
use super::spread::Spread;
use super::{OUTCOMES, outcome_number};
use crate::moment::Moment;
use crate::topology::{RegionIndex, RouteIndex};
use std::time::Duration;

/// Cells that are kept before those alike are added up.
const LOOSE_CELLS: usize = 1 << 16;

/// Wishes of one slot, hostname, group and region alike: what a spreadsheet would have as a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    key: u64,
    /// How many ended.
    pub wishes: u32,
    /// How many of them got nothing.
    pub failed: u32,
    /// What was added to the best possible time of those that got something, together, microseconds.
    pub added_us: u64,
    /// The most that was added.
    pub added_most_us: u64,
}

impl Cell {
    fn key(slot: usize, route: RouteIndex, group: u16, region: Option<RegionIndex>) -> u64 {
        let region = region.unwrap_or(RegionIndex::NOTHING);
        (slot as u64) << 48 | u64::from(route.0) << 32 | u64::from(group) << 16 | u64::from(region.0)
    }

    fn part(&self, shift: u32) -> u16 {
        u16::try_from(self.key >> shift & 0xffff).unwrap_or(u16::MAX)
    }

    /// When they were wished.
    #[must_use]
    pub fn slot(&self) -> usize {
        usize::from(self.part(48))
    }

    /// For which hostname.
    #[must_use]
    pub fn route(&self) -> RouteIndex {
        RouteIndex(self.part(32))
    }

    /// By whom.
    #[must_use]
    pub fn group(&self) -> usize {
        usize::from(self.part(16))
    }

    /// Which region answered last; none if none did.
    #[must_use]
    pub fn region(&self) -> Option<RegionIndex> {
        Some(RegionIndex(self.part(0))).filter(|region| *region != RegionIndex::NOTHING)
    }

    fn add(&mut self, other: &Self) {
        self.wishes += other.wishes;
        self.failed += other.failed;
        self.added_us += other.added_us;
        self.added_most_us = self.added_most_us.max(other.added_most_us);
    }
}

/// Wishes and their ends.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Begun, by slot and hostname: slot after slot.
    pub begun: Vec<u32>,
    /// Ended, by slot, hostname and outcome.
    pub ended: Vec<[u32; OUTCOMES.len()]>,
    /// What was added to the best possible time of those that were served, by slot and hostname.
    pub added: Vec<Spread>,
    /// The same by group of clients.
    pub added_by_group: Vec<Spread>,
    /// The same by region that served.
    pub added_by_region: Vec<Spread>,
    /// Ended, by group and outcome.
    pub ended_by_group: Vec<[u64; OUTCOMES.len()]>,
    /// Served, by slot and region: slot after slot.
    pub served_by: Vec<u32>,
    /// Wishes by step of the map, spot and region; the last place of a spot has those that were not served.
    pub steps: Vec<u32>,
    /// The same for the moments that are shown beside each other.
    pub moments: Vec<u32>,
    cells: Vec<Cell>,
    settled: usize,
}

impl Wishes {
    pub(super) fn on(ground: &Ground) -> Self {
        let (slots, routes, regions) = (ground.slots, ground.routes, ground.regions);
        let picture = ground.spots.len() * (regions + 1);
        Self {
            begun: vec![0; slots * routes],
            ended: vec![[0; OUTCOMES.len()]; slots * routes],
            added: vec![Spread::default(); slots * routes],
            added_by_group: vec![Spread::default(); ground.groups.len()],
            added_by_region: vec![Spread::default(); regions],
            ended_by_group: vec![[0; OUTCOMES.len()]; ground.groups.len()],
            served_by: vec![0; slots * regions],
            steps: vec![0; ground.steps * picture],
            moments: vec![0; ground.moments.len() * picture],
            cells: Vec::new(),
            settled: 0,
        }
    }

    pub(super) fn begun(&mut self, ground: &Ground, request: &Request) {
        let slot = ground.slot_at(request.wished_at.as_nanos());
        if let Some(count) = self.begun.get_mut(slot * ground.routes + request.route.at()) {
            *count += 1;
        }
    }

    pub(super) fn finished(&mut self, ground: &Ground, request: &Request, outcome: Outcome, best: Option<Duration>) {
        let slot = ground.slot_at(request.wished_at.as_nanos());
        if request.route.at() >= ground.routes {
            return;
        }
        let added = added(request, outcome, best);
        let own = slot * ground.routes + request.route.at();
        self.ended[own][outcome_number(outcome)] += 1;
        if let Some(added) = added {
            self.added[own].add(added);
        }
        let served_by = if outcome.is_served() { outcome.region() } else { None };
        let served_by = served_by.filter(|region| region.at() < ground.regions);
        if let Some(region) = served_by {
            self.served_by[slot * ground.regions + region.at()] += 1;
            if let Some(added) = added {
                self.added_by_region[region.at()].add(added);
            }
        }
        let Some(spot) = ground.spot_of(request.client) else { return };
        let group = ground.group_of_spot[spot];
        self.ended_by_group[usize::from(group)][outcome_number(outcome)] += 1;
        if let Some(added) = added {
            self.added_by_group[usize::from(group)].add(added);
        }
        self.picture(ground, slot, spot, served_by.map_or(ground.regions, RegionIndex::at));
        let added_us = added.map_or(0, |added| u64::try_from(added.as_micros()).unwrap_or(u64::MAX));
        self.cells.push(Cell {
            key: Cell::key(slot, request.route, group, outcome.region()),
            wishes: 1,
            failed: u32::from(!outcome.is_served()),
            added_us,
            added_most_us: added_us,
        });
        if self.cells.len() > 2 * self.settled + LOOSE_CELLS {
            self.settle();
        }
    }

    fn picture(&mut self, ground: &Ground, slot: usize, spot: usize, by: usize) {
        let (spots, ends) = (ground.spots.len(), ground.regions + 1);
        let at = |window: usize| (window * spots + spot) * ends + by;
        self.steps[at(slot / ground.step)] += 1;
        for (number, moment) in ground.moments.iter().enumerate() {
            self.moments[at(number)] += u32::from((moment.from..moment.to).contains(&slot));
        }
    }

    pub(super) fn close(&mut self) {
        self.settle();
    }

    /// Adds up cells that are alike, and brings them into their order.
    fn settle(&mut self) {
        self.cells.sort_unstable_by_key(|cell| cell.key);
        self.cells.dedup_by(|next, kept| {
            let is_alike = next.key == kept.key;
            if is_alike {
                kept.add(next);
            }
            is_alike
        });
        self.settled = self.cells.len();
    }

    /// All cells, by slot, hostname, group and region; of a run that is over.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

/// What was added to the best possible time to the first byte, for a wish that was served.
fn added(request: &Request, outcome: Outcome, best: Option<Duration>) -> Option<Duration> {
    let first_byte: Moment = request.first_byte.filter(|_| outcome.is_served())?;
    Some(first_byte.since(request.wished_at).saturating_sub(best?))
}
