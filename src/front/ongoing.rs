//! A request whose answer is under way, and the one record of it: told when it ends, whichever way it does.

use super::Front;
use super::replay::Meter;
use crate::counters::limit::Limit;
use crate::counters::record::{Outcome, Record};
use crate::counters::traffic::Place;
use crate::health::Fault;
use std::sync::Arc;
use std::time::Duration;

/// A request whose end is still to come. Dropped without a word, its client has gone.
#[derive(Debug)]
pub struct Ongoing {
    front: Arc<Front>,
    /// Until it is told.
    record: Option<Record>,
    place: Place,
    octets_up: Meter,
    is_shown: bool,
}

impl Ongoing {
    /// A request of which `record` is known so far. It is counted at `place`.
    #[must_use]
    pub fn new(front: &Arc<Front>, record: Record, place: Place, octets_up: Meter) -> Self {
        Self { front: Arc::clone(front), record: Some(record), place, octets_up, is_shown: false }
    }

    /// So many octets more were handed to the client.
    pub fn passed(&mut self, octets: usize) {
        if let Some(record) = &mut self.record {
            record.octets_down += octets as u64;
        }
    }

    /// So many octets more came from the client.
    pub fn came(&mut self, octets: u64) {
        if let Some(record) = &mut self.record {
            record.octets_up += octets;
        }
    }

    /// Its event stream was silent for so long.
    pub fn was_silent(&mut self, silence: Duration) {
        if let Some(record) = &mut self.record {
            record.gap = record.gap.max(Some(silence));
        }
    }

    /// It waits for more: from now on whoever asks sees that it is under way. What has all at hand is not worth that.
    pub fn waits(&mut self) {
        if let Some(record) = self.record.as_ref().filter(|_| !self.is_shown) {
            self.is_shown = true;
            self.front.counters.records.show(record.clone());
        }
    }

    /// It has ended. What is said after that is not heard.
    pub fn ended(&mut self, outcome: Outcome, fault: Option<Fault>) {
        let Some(mut record) = self.record.take() else { return };
        record.outcome = outcome;
        record.reason = fault.map(Fault::as_str);
        record.octets_up += self.octets_up.octets();
        self.front.conclude(Some(&self.place), record);
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.ended(Outcome::ClientGone, None);
    }
}

impl Front {
    /// Counts and tells a request that has ended.
    #[inline]
    pub(super) fn conclude(&self, place: Option<&Place>, mut record: Record) {
        let now = self.clock.now();
        record.lasted = now.since(record.began);
        if let Some(limit) = record.reason.and_then(Limit::told_by) {
            self.counters.door.reached(limit);
        }
        self.counters.tables.count(place, &record, now);
        self.counters.records.finish(record);
    }
}
