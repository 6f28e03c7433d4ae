//! The shortest script that still fails: what a person gets to read of a search.
//!
//! Every step makes the scenario smaller or plainer, never the other way, so this ends; and it ends early when it has tried
//! often enough, because each trial is a whole simulation.

mod steps;

use super::scenario::{Fault, Scenario, What};
use std::time::Duration;

/// A scenario that cannot be made any smaller, or not within the trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// What is left.
    pub scenario: Scenario,
    /// How many were tried.
    pub trials: u32,
}

/// Makes `scenario`, which fails, as small as it can be while `still_fails`, trying at most `trials_max`.
///
/// Faults go first, many at once; then everything ends earlier, becomes shorter, hits fewer; then the crowd; then numbers
/// become round.
pub fn shrink(scenario: Scenario, trials_max: u32, still_fails: impl FnMut(&Scenario) -> bool) -> Shrunk {
    let mut search = Search { best: scenario, trials: 0, trials_max, still_fails };
    loop {
        let before = search.best.clone();
        search.drop_faults();
        search.end_earlier();
        search.plainer_faults();
        search.smaller_world();
        if search.best == before || search.trials >= trials_max {
            return Shrunk { scenario: search.best, trials: search.trials };
        }
    }
}

struct Search<F> {
    best: Scenario,
    trials: u32,
    trials_max: u32,
    still_fails: F,
}

impl<F: FnMut(&Scenario) -> bool> Search<F> {
    /// Keeps a change if there is one, and what comes of it still fails.
    fn try_with(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        if candidate == self.best || self.trials >= self.trials_max {
            return false;
        }
        self.trials += 1;
        let fails = (self.still_fails)(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// Half of them at once, then a quarter, down to each alone.
    fn drop_faults(&mut self) {
        let mut together = self.best.faults.len();
        while together > 0 {
            let mut at = 0;
            while at < self.best.faults.len() {
                let end = (at + together).min(self.best.faults.len());
                if !self.try_with(|scenario| drop(scenario.faults.drain(at..end))) {
                    at = end;
                }
            }
            together /= 2;
        }
    }

    /// The end comes as early as it may, to about a twentieth.
    fn end_earlier(&mut self) {
        let mut too_early = Duration::ZERO;
        while self.best.lasts.saturating_sub(too_early) > (self.best.lasts / 20).max(Duration::from_secs(1)) {
            let middle = plain((too_early + self.best.lasts) / 2);
            if middle <= too_early || middle >= self.best.lasts {
                return;
            }
            if !self.try_with(|scenario| cut(scenario, middle)) {
                too_early = middle;
            }
        }
    }

    fn plainer_faults(&mut self) {
        let mut at = 0;
        while at < self.best.faults.len() {
            self.earlier(at);
            self.shorter(at);
            while steps::plainer(&self.best.faults[at].what)
                .into_iter()
                .any(|what| self.try_with(|scenario| scenario.faults[at].what = what))
            {}
            at += 1;
        }
    }

    /// Begins at the begin, or at least at a round time; in the order of the others, so that its place stays.
    fn earlier(&mut self, at: usize) {
        let least = at.checked_sub(1).map_or(Duration::ZERO, |before| self.best.faults[before].at);
        let now = self.best.faults[at].at;
        for earlier in [least, plain(now / 2), floor(now, 60_000), floor(now, 1_000)] {
            if earlier >= least && earlier < now && self.try_with(|scenario| scenario.faults[at].at = earlier) {
                return;
            }
        }
    }

    fn shorter(&mut self, at: usize) {
        while let Some(now) = self.best.faults[at].lasts {
            let shorter = [plain(now / 2), floor(now, 60_000), floor(now, 1_000)];
            let mut shorter = shorter.into_iter().filter(|shorter| !shorter.is_zero() && *shorter < now);
            if !shorter.any(|shorter| self.try_with(|scenario| scenario.faults[at].lasts = Some(shorter))) {
                return;
            }
        }
    }

    fn smaller_world(&mut self) {
        for step in steps::WORLD {
            while self.try_with(step) {}
        }
        for at in (0..self.best.sites.len()).rev() {
            self.try_with(|scenario| steps::without_site(scenario, at));
        }
        for at in (0..self.best.regions.len()).rev() {
            self.try_with(|scenario| drop(scenario.regions.remove(at)));
        }
        self.fewer(|scenario| &mut scenario.crowd.programs, 1);
        self.fewer(|scenario| &mut scenario.crowd.work, 1);
        self.fewer(|scenario| &mut scenario.crowd.resolvers, 1);
        self.fewer(|scenario| &mut scenario.crowd.hostnames, 1);
        self.fewer(|scenario| &mut scenario.crowd.places, 1);
    }

    /// Each of a list by itself, as long as more than `least` are left.
    fn fewer<T>(&mut self, list: impl Fn(&mut Scenario) -> &mut Vec<T>, least: usize) {
        let mut at = list(&mut self.best).len();
        while at > 0 && list(&mut self.best).len() > least {
            at -= 1;
            self.try_with(|scenario| drop(list(scenario).remove(at)));
        }
    }
}

/// The same, over at `lasts`.
fn cut(scenario: &mut Scenario, lasts: Duration) {
    scenario.lasts = lasts;
    scenario.faults.retain(|fault| fault.at < lasts);
    for fault in &mut scenario.faults {
        let left = lasts - fault.at;
        if fault.lasts.is_some_and(|length| length > left) {
            // What ends with the scenario needs no length; a herd meets at its end.
            fault.lasts = matches!(fault, Fault { what: What::Herd, .. }).then_some(left);
        }
    }
}

/// Rounded down to what people would write.
fn plain(time: Duration) -> Duration {
    match time.as_millis() {
        600_000.. => floor(time, 60_000),
        10_000.. => floor(time, 1_000),
        1_000.. => floor(time, 100),
        _ => floor(time, 1),
    }
}

fn floor(time: Duration, grain_ms: u64) -> Duration {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis / grain_ms * grain_ms)
}

#[cfg(test)]
mod tests;
