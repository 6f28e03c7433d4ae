//! Error rates from live traffic: when too many answers of one endpoint are failures.
//!
//! No stranger may eject a region with bad requests, so a rate counts only if failures came to three client prefixes or
//! more and the rate is three times that of everything else.

use crate::moment::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// How far back a rate looks.
pub const RATE_WINDOW: Duration = Duration::from_secs(10);
/// The window is counted in slots of this length.
const SLOT: Duration = Duration::from_secs(1);
/// Requests in the window before a rate means anything.
pub const RATE_REQUESTS_MIN: u64 = 20;
/// Failures per request from which an endpoint may be ejected.
pub const RATE_FAILURES_MIN: f64 = 0.1;
/// How much worse than the others it must be.
pub const RATE_TIMES_OTHERS: f64 = 3.0;
/// From how many client prefixes failures must have come.
pub const RATE_PREFIXES_MIN: usize = 3;
/// Prefixes remembered per slot: enough to see that there are three, bounded against floods.
const SLOT_PREFIXES_MAX: usize = 8;

#[derive(Clone, Debug, Default)]
struct Slot {
    began: Moment,
    requests: u64,
    failures: u64,
    prefixes: Vec<u64>,
}

/// What live traffic met at one endpoint in the last [`RATE_WINDOW`].
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    slots: VecDeque<Slot>,
    last_failure: Option<Moment>,
}

/// Requests and failures in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers and failures together.
    pub requests: u64,
    /// Failures.
    pub failures: u64,
}

impl Tally {
    /// Failures per request; 0 without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub fn rate(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failures as f64 / self.requests as f64 }
    }
}

impl Evidence {
    /// `requests` more were answered, whatever the answer.
    pub fn answered(&mut self, now: Moment, requests: u64) {
        if requests > 0 {
            self.slot(now).requests += requests;
        }
    }

    /// One of them was a failure, to a client of this prefix (hashed).
    pub fn failed(&mut self, now: Moment, prefix: u64) {
        self.last_failure = Some(now);
        let slot = self.slot(now);
        slot.failures += 1;
        if slot.prefixes.len() < SLOT_PREFIXES_MAX && !slot.prefixes.contains(&prefix) {
            slot.prefixes.push(prefix);
        }
    }

    /// The window's sums.
    #[must_use]
    pub fn tally(&self, now: Moment) -> Tally {
        self.recent(now).fold(Tally::default(), |sum, slot| Tally {
            requests: sum.requests + slot.requests.max(slot.failures),
            failures: sum.failures + slot.failures,
        })
    }

    /// Whether this endpoint should be ejected for its rate, if the others together have `others`.
    #[must_use]
    pub fn is_damning(&self, now: Moment, others: Tally) -> bool {
        let tally = self.tally(now);
        self.may_be_damning(now)
            && tally.rate() >= RATE_FAILURES_MIN
            && tally.rate() > others.rate() * RATE_TIMES_OTHERS
    }

    /// Whether it depends on rates alone, which move as others forget. Where it does not, time changes nothing: only what
    /// is counted here can.
    #[must_use]
    pub fn may_be_damning(&self, now: Moment) -> bool {
        self.last_failure.is_some_and(|last| now.since(last) <= RATE_WINDOW)
            && self.tally(now).requests >= RATE_REQUESTS_MIN
            && self.prefixes(now) >= RATE_PREFIXES_MIN
    }

    /// Forgets everything: an ejection starts a new account.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn prefixes(&self, now: Moment) -> usize {
        let mut prefixes: Vec<u64> = self.recent(now).flat_map(|slot| slot.prefixes.iter().copied()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes.len()
    }

    fn recent(&self, now: Moment) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| now.since(slot.began) <= RATE_WINDOW)
    }

    fn slot(&mut self, now: Moment) -> &mut Slot {
        while self.slots.front().is_some_and(|slot| now.since(slot.began) > RATE_WINDOW) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|slot| now.since(slot.began) >= SLOT) {
            self.slots.push_back(Slot { began: now, ..Slot::default() });
        }
        self.slots.back_mut().expect("just made sure of one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::at(Duration::from_millis(ms))
    }

    fn evidence(requests: u64, failures: u64, prefixes: u64) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.answered(at(0), requests);
        (0..failures).for_each(|n| evidence.failed(at(10 * n), n % prefixes));
        evidence
    }

    #[test]
    fn a_fifth_of_failures_from_three_prefixes_is_damning() {
        assert!(evidence(100, 20, 3).is_damning(at(1_000), Tally { requests: 100, failures: 1 }));
    }

    #[test]
    fn one_stranger_ejects_nobody() {
        assert!(!evidence(100, 90, 2).is_damning(at(1_000), Tally::default()));
    }

    #[test]
    fn neither_few_requests_nor_a_common_fault_nor_old_failures_count() {
        assert!(!evidence(19, 19, 5).is_damning(at(1_000), Tally::default()));
        assert!(!evidence(100, 20, 5).is_damning(at(1_000), Tally { requests: 100, failures: 10 }));
        assert!(!evidence(100, 9, 5).is_damning(at(1_000), Tally::default()));
        assert!(!evidence(100, 20, 5).is_damning(at(30_000), Tally::default()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut evidence = Evidence::default();
        (0..1_000_000).for_each(|n| evidence.failed(at(n / 10), n));
        assert!(evidence.slots.len() <= 12);
        assert!(evidence.slots.iter().all(|slot| slot.prefixes.len() <= SLOT_PREFIXES_MAX));
    }
}
