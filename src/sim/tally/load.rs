//! What regions carry: attempts under way, the most of them by slot, and which attempts follow which failure.

use super::super::fact::{Outcome, Slot};
use super::ground::{Ground, PARTS};
use super::{OUTCOMES, outcome_number};
use crate::health::Fault;
use crate::moment::Moment;
use crate::topology::RegionIndex;

/// What regions carry.
#[derive(Clone, Debug)]
pub struct Loads {
    /// Attempts by part of a slot and region: part after part.
    pub tries: Vec<u32>,
    /// Attempts under way at most, by slot and region: slot after slot.
    pub highest: Vec<u32>,
    /// Failed attempts by region and kind of fault, in the order of [`Fault::NAMES`].
    pub failures: Vec<[u64; Fault::NAMES.len()]>,
    /// Attempts by region that their request ended with, by how it did, in the order of [`OUTCOMES`]. A new attempt
    /// before that is taken for the end of one that got lost.
    pub ended: Vec<[u64; OUTCOMES.len()]>,
    /// Attempts by the region before and the region then: before after before.
    pub failovers: Vec<u64>,
    /// Requests that each region works on at once, as far as that is known.
    pub capacity: Vec<Option<u32>>,
    under_way: Vec<u32>,
    /// By request: where its attempt is under way.
    open: Vec<Option<RegionIndex>>,
    /// By request: where its last attempt was.
    last: Vec<RegionIndex>,
    slot: usize,
    slot_nanos: u64,
    part_nanos: u64,
}

impl Loads {
    pub(super) fn on(ground: &Ground) -> Self {
        let (slots, regions) = (ground.slots, ground.regions);
        let slot_nanos = u64::try_from(ground.slot.as_nanos()).unwrap_or(u64::MAX);
        Self {
            tries: vec![0; slots * PARTS * regions],
            highest: vec![0; slots * regions],
            failures: vec![[0; Fault::NAMES.len()]; regions],
            ended: vec![[0; OUTCOMES.len()]; regions],
            failovers: vec![0; regions * regions],
            capacity: ground.capacity.clone(),
            under_way: vec![0; regions],
            open: Vec::new(),
            last: Vec::new(),
            slot: 0,
            slot_nanos,
            part_nanos: slot_nanos / PARTS as u64,
        }
    }

    /// Attempts under way at a region.
    #[must_use]
    pub fn under_way(&self, region: RegionIndex) -> u32 {
        self.under_way.get(region.at()).copied().unwrap_or_default()
    }

    pub(super) fn taken(&mut self, now: Moment, slot: Slot, region: RegionIndex, number: u32) {
        let regions = self.under_way.len();
        if region.at() >= regions {
            return;
        }
        self.pass(now);
        let at = usize::try_from(slot).unwrap_or(usize::MAX);
        if at >= self.open.len() {
            self.open.resize(at + 1, None);
            self.last.resize(at + 1, RegionIndex::NOTHING);
        }
        if let Some(before) = self.open[at].replace(region) {
            self.under_way[before.at()] -= 1;
            self.ended[before.at()][outcome_number(Outcome::Lost)] += 1;
        }
        let before = std::mem::replace(&mut self.last[at], region);
        if number > 1 && before != RegionIndex::NOTHING {
            self.failovers[before.at() * regions + region.at()] += 1;
        }
        self.under_way[region.at()] += 1;
        let highest = &mut self.highest[self.slot * regions + region.at()];
        *highest = (*highest).max(self.under_way[region.at()]);
        let part = usize::try_from(now.as_nanos() / self.part_nanos).unwrap_or(usize::MAX);
        let last = self.tries.len() / regions - 1;
        self.tries[part.min(last) * regions + region.at()] += 1;
    }

    pub(super) fn failed(&mut self, now: Moment, slot: Slot, region: RegionIndex, fault: Fault) {
        if let Some(counts) = self.failures.get_mut(region.at()) {
            counts[fault.number()] += 1;
        }
        self.freed(now, slot);
    }

    /// The request is over; where it was under way, if it was.
    pub(super) fn ended(&mut self, now: Moment, slot: Slot, outcome: Outcome) -> Option<RegionIndex> {
        let region = self.freed(now, slot);
        if let Some(region) = region {
            self.ended[region.at()][outcome_number(outcome)] += 1;
        }
        if let Some(last) = self.last.get_mut(usize::try_from(slot).unwrap_or(usize::MAX)) {
            *last = RegionIndex::NOTHING;
        }
        region
    }

    pub(super) fn close(&mut self, now: Moment) {
        self.pass(now);
    }

    fn freed(&mut self, now: Moment, slot: Slot) -> Option<RegionIndex> {
        self.pass(now);
        let region = self.open.get_mut(usize::try_from(slot).unwrap_or(usize::MAX))?.take()?;
        self.under_way[region.at()] -= 1;
        Some(region)
    }

    /// What is under way when a slot begins is the least that it has.
    fn pass(&mut self, now: Moment) {
        let regions = self.under_way.len();
        let slot = usize::try_from(now.as_nanos() / self.slot_nanos).unwrap_or(usize::MAX);
        let slot = slot.min(self.highest.len() / regions.max(1) - 1);
        while self.slot < slot {
            self.slot += 1;
            self.highest[self.slot * regions..][..regions].copy_from_slice(&self.under_way);
        }
    }
}
