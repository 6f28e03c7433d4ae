//! How many requests may be repeated that a region may have processed: a share of what succeeded there lately, and a few.
//!
//! A fleet that fails under load must not be given twice the load. What reached nobody costs nobody anything and is not
//! counted. One [`Budget`] for each hostname at each region, shared by all workers of a node.

use crate::limits::BUDGETS_MAX;
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use dashmap::DashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far back successes and repetitions count, seconds.
const WINDOW_SECONDS: usize = 10;

/// How long the requests of something that has just died are repeated for nothing: they fail within a round trip of each
/// other.
const BURST_LASTS: Duration = Duration::from_secs(1);

/// The budgets of a node.
#[derive(Debug, Default)]
pub struct Budgets(DashMap<(Hostname, Label), Arc<Budget>>);

/// How much may be repeated, as the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Repetitions in 100 successes.
    pub percent: u32,
    /// Repetitions a second besides.
    pub floor: u32,
}

/// Why a request should be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It failed.
    Failure,
    /// It takes too long for its client: half of the budget is left to those who failed.
    Impatience,
    /// Its connection was lost.
    Loss,
}

/// What succeeded and what was repeated of one hostname's requests at one region.
#[derive(Debug, Default)]
pub struct Budget {
    successes: Window,
    /// Spent by one at a time, so that it is never overdrawn; only failed requests come here.
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    of_floor: Window,
    of_share: Window,
    /// When the last burst of lost connections began.
    burst: Option<Moment>,
}

/// Counts of the last [`WINDOW_SECONDS`]: each cell holds a second, in its upper half, and what was counted in it.
#[derive(Debug, Default)]
struct Window([AtomicU64; WINDOW_SECONDS]);

impl Budgets {
    /// The budget of `hostname`'s requests at `region`.
    #[must_use]
    pub fn of(&self, hostname: &Hostname, region: &Label) -> Arc<Budget> {
        let key = (hostname.clone(), region.clone());
        if let Some(budget) = self.0.get(&key) {
            return Arc::clone(&budget);
        }
        // Many reloads later most are of pairs that are no more; the others are forgotten for a few seconds.
        if self.0.len() >= BUDGETS_MAX {
            self.0.clear();
        }
        Arc::clone(&self.0.entry(key).or_default())
    }
}

impl Budget {
    /// A request was served, and not with a failure.
    pub fn succeeded(&self, now: Moment) {
        self.successes.add(second(now));
    }

    /// Spends one repetition, if there is one to spend.
    #[must_use]
    pub fn spend(&self, now: Moment, allowance: Allowance, occasion: Occasion) -> bool {
        let second = second(now);
        let (floor, percent) = (u64::from(allowance.floor), u64::from(allowance.percent));
        let (floor, part) = match occasion {
            Occasion::Failure | Occasion::Loss => (floor, 100),
            Occasion::Impatience => (floor.div_ceil(2), 200),
        };
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if occasion == Occasion::Loss && spent.is_free(now) {
            return true;
        }
        let purse = if spent.of_floor.count(second) < floor {
            &spent.of_floor
        } else if spent.of_share.sum(second) < self.successes.sum(second) * percent / part {
            &spent.of_share
        } else {
            return false;
        };
        purse.add(second);
        true
    }
}

impl Spent {
    /// Whatever dies takes all of its requests with it at once, and they cost nothing: once in a window, for a second. What
    /// goes on losing connections after that is not dead but sick.
    fn is_free(&mut self, now: Moment) -> bool {
        let is_over = self.burst.is_none_or(|began| now.since(began) >= Duration::from_secs(WINDOW_SECONDS as u64));
        if is_over {
            self.burst = Some(now);
        }
        self.burst.is_some_and(|began| now.since(began) <= BURST_LASTS)
    }
}

impl Window {
    fn cell(&self, second: u32) -> &AtomicU64 {
        &self.0[second as usize % WINDOW_SECONDS]
    }

    fn add(&self, second: u32) {
        let cell = self.cell(second);
        let seen = cell.load(Relaxed);
        if (seen >> 32) as u32 == second {
            cell.fetch_add(1, Relaxed);
        } else if seen >> 32 > u64::from(second) {
            // Whoever is late by a whole window counts nothing.
        } else if cell.compare_exchange(seen, u64::from(second) << 32 | 1, Relaxed, Relaxed).is_err() {
            // Another worker has just begun this second.
            cell.fetch_add(1, Relaxed);
        }
    }

    /// What was counted in one second.
    fn count(&self, second: u32) -> u64 {
        let cell = self.cell(second).load(Relaxed);
        if (cell >> 32) as u32 == second { cell & u64::from(u32::MAX) } else { 0 }
    }

    /// What was counted in the window that ends with this second.
    fn sum(&self, second: u32) -> u64 {
        (0..WINDOW_SECONDS as u32).filter_map(|back| second.checked_sub(back)).map(|second| self.count(second)).sum()
    }
}

/// The second of a moment. The first is 1: a cell of zeros is of none.
fn second(now: Moment) -> u32 {
    u32::try_from(now.since(Moment::ZERO).as_secs() + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const USUAL: Allowance = Allowance { percent: 10, floor: 3 };

    fn at(ms: u64) -> Moment {
        Moment::at(Duration::from_millis(ms))
    }

    fn spent(budget: &Budget, now: Moment, occasion: Occasion) -> usize {
        (0..10_000).take_while(|_| budget.spend(now, USUAL, occasion)).count()
    }

    #[test]
    fn a_region_that_fails_everything_costs_three_a_second() {
        let budget = Budget::default();
        assert_eq!(spent(&budget, at(0), Occasion::Failure), 3);
        assert_eq!(spent(&budget, at(999), Occasion::Failure), 0);
        assert_eq!(spent(&budget, at(1_000), Occasion::Failure), 3);
        assert_eq!(spent(&budget, at(30_500), Occasion::Failure), 3, "what was not spent is not saved");
    }

    #[test]
    fn a_tenth_of_ten_seconds_successes_may_be_repeated_besides() {
        let budget = Budget::default();
        for second in 0..10 {
            (0..100).for_each(|_| budget.succeeded(at(second * 1_000)));
        }
        assert_eq!(spent(&budget, at(9_000), Occasion::Failure), 3 + 100);
        assert_eq!(
            spent(&budget, at(10_000), Occasion::Failure),
            3,
            "the oldest successes are gone, what was spent is not"
        );
        assert_eq!(spent(&budget, at(25_000), Occasion::Failure), 3, "everything is");
    }

    #[test]
    fn the_impatient_leave_half_to_those_who_failed() {
        let budget = Budget::default();
        (0..1_000).for_each(|_| budget.succeeded(at(0)));
        assert_eq!(spent(&budget, at(0), Occasion::Impatience), 2 + 50);
        assert_eq!(spent(&budget, at(0), Occasion::Failure), 1 + 50);
    }

    #[test]
    fn nothing_allowed_is_nothing_repeated() {
        let budget = Budget::default();
        (0..1_000).for_each(|_| budget.succeeded(at(0)));
        for occasion in [Occasion::Failure, Occasion::Impatience] {
            assert!(!budget.spend(at(0), Allowance { percent: 0, floor: 0 }, occasion));
        }
    }

    #[test]
    fn workers_never_overdraw_it_together() {
        let budget = Arc::new(Budget::default());
        (0..1_000).for_each(|_| budget.succeeded(at(0)));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let budget = Arc::clone(&budget);
                std::thread::spawn(move || spent(&budget, at(0), Occasion::Failure))
            })
            .collect();
        let all: usize = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
        assert_eq!(all, 3 + 100);
    }

    #[test]
    fn budgets_do_not_pile_up() {
        let budgets = Budgets::default();
        let region = Label::parse("orf").expect("good");
        let hostname = |at: usize| Hostname::parse(&format!("h{at}.test")).expect("good");
        for at in 0..=BUDGETS_MAX {
            let _ = budgets.of(&hostname(at), &region);
            assert!(budgets.0.len() <= BUDGETS_MAX);
        }
        assert!(Arc::ptr_eq(&budgets.of(&hostname(0), &region), &budgets.of(&hostname(0), &region)));
    }
}
