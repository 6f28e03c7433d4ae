//! Requests and attempts second by second: how much more regions have to do than clients ask for, and when most.

use crate::moment::Moment;

/// Seconds of the window in which the worst is looked for.
pub const WINDOW_S: usize = 10;
/// Requests that a window needs to be judged: a few say nothing.
pub const JUDGED_FROM: u64 = 20;
const SECOND: u64 = 1_000_000_000;

/// What comes in, and what goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Clients' wishes.
    pub wishes: u64,
    /// Tries of clients' programs.
    pub requests: u64,
    /// Attempts at regions.
    pub attempts: u64,
}

impl Beat {
    fn add(&mut self, other: Self) {
        self.wishes += other.wishes;
        self.requests += other.requests;
        self.attempts += other.attempts;
    }

    /// Attempts for a request; nothing without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
    pub fn per_request(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.attempts as f64 / self.requests as f64)
    }

    /// Requests for a wish; nothing without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
    pub fn per_wish(&self) -> Option<f64> {
        (self.wishes > 0).then(|| self.requests as f64 / self.wishes as f64)
    }
}

/// Second by second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// All of it.
    pub whole: Beat,
    /// The window with the most attempts for a request.
    pub worst: Option<Beat>,
    /// The second after its last.
    pub worst_until_s: u64,
    second: u64,
    last: [Beat; WINDOW_S],
}

impl Pulse {
    pub(super) fn wished(&mut self, now: Moment) {
        self.beat(now).wishes += 1;
        self.whole.wishes += 1;
    }

    pub(super) fn asked(&mut self, now: Moment, requests: u32) {
        self.beat(now).requests += u64::from(requests);
        self.whole.requests += u64::from(requests);
    }

    pub(super) fn attempted(&mut self, now: Moment) {
        self.beat(now).attempts += 1;
        self.whole.attempts += 1;
    }

    pub(super) fn close(&mut self) {
        self.judge();
    }

    fn beat(&mut self, now: Moment) -> &mut Beat {
        let second = now.as_nanos() / SECOND;
        while self.second < second {
            self.judge();
            self.second += 1;
            if second - self.second > WINDOW_S as u64 {
                // Nothing for longer than a window: all of it is empty.
                self.last = [Beat::default(); WINDOW_S];
                self.second = second;
            }
            self.last[place(self.second)] = Beat::default();
        }
        &mut self.last[place(self.second)]
    }

    fn judge(&mut self) {
        let mut window = Beat::default();
        self.last.iter().for_each(|beat| window.add(*beat));
        // Compared by products of whole numbers, so that no rounding can show.
        let is_worse = |worst: &Beat| {
            u128::from(window.attempts) * u128::from(worst.requests)
                > u128::from(worst.attempts) * u128::from(window.requests)
        };
        if window.requests >= JUDGED_FROM && self.worst.as_ref().is_none_or(is_worse) {
            self.worst = Some(window);
            self.worst_until_s = self.second + 1;
        }
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % WINDOW_S as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn the_worst_window_is_found_wherever_it_begins() {
        let mut pulse = Pulse::default();
        for second in 0..60 {
            pulse.asked(at(second), 10);
            let attempts = if (25..35).contains(&second) { 15 } else { 10 };
            (0..attempts).for_each(|_| pulse.attempted(at(second)));
        }
        pulse.close();
        let worst = pulse.worst.expect("one");
        assert_eq!((worst.requests, worst.attempts, pulse.worst_until_s), (100, 150, 35));
        assert_eq!(pulse.whole.per_request(), Some(650.0 / 600.0));
    }

    #[test]
    fn a_few_requests_are_not_judged_and_a_pause_empties_the_window() {
        let mut pulse = Pulse::default();
        pulse.asked(at(0), 1);
        (0..5).for_each(|_| pulse.attempted(at(0)));
        pulse.asked(at(1_000), 19);
        pulse.close();
        assert_eq!(pulse.worst, None);
        pulse.asked(at(1_001), 1);
        pulse.close();
        assert_eq!(pulse.worst, Some(Beat { wishes: 0, requests: 20, attempts: 0 }));
    }
}
