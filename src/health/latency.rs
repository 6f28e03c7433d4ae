//! How long an endpoint takes, and whether that is far longer than it used to.
//!
//! Steering orders near ties by the published time, so it must not dance: it moves only when the smoothed time has
//! moved by more than a sixth and by more than noise.

use std::time::Duration;

/// Weight of one new sample in the smoothed time.
const SMOOTHING: f64 = 0.2;
/// Weight of one new sample in what is usual: about a minute's memory at one probe a second.
const USUAL_SMOOTHING: f64 = 0.02;
/// A published time moves when the smoothed one differs by more than this share of it...
const MOVES_AT_SHARE: f64 = 0.15;
/// ...and by more than this.
const MOVES_AT: Duration = Duration::from_millis(2);
/// Slow is more than this times the usual...
const SLOW_TIMES: f64 = 4.0;
/// ...and more than this above it.
const SLOW_ABOVE: Duration = Duration::from_millis(200);
/// So many samples in a row change our mind about slowness.
const SLOW_IN_A_ROW: u32 = 4;
/// Samples before anything can be called unusual.
const LEARNING: u32 = 5;

/// What probes say about an endpoint's speed.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    samples: u32,
    smoothed: f64,
    usual: f64,
    published: Option<Duration>,
    contrary: u32,
    is_slow: bool,
}

impl Latency {
    /// A passing probe took `elapsed`.
    pub fn observe(&mut self, elapsed: Duration) {
        let sample = elapsed.as_secs_f64();
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            (self.smoothed, self.usual) = (sample, sample);
        }
        self.smoothed += (sample - self.smoothed) * SMOOTHING;
        let looks_slow = self.samples > LEARNING
            && sample > self.usual * SLOW_TIMES
            && sample > self.usual + SLOW_ABOVE.as_secs_f64();
        if self.samples <= LEARNING {
            // The first probes of a node that has just started are slow for reasons of its own: the fastest is usual.
            self.usual = self.usual.min(sample);
        } else if !looks_slow {
            self.usual += (sample - self.usual) * USUAL_SMOOTHING;
        }
        self.contrary = if looks_slow == self.is_slow { 0 } else { self.contrary + 1 };
        if self.contrary >= SLOW_IN_A_ROW {
            self.is_slow = looks_slow;
            self.contrary = 0;
        }
        let moved = self.published.is_none_or(|published| {
            let difference = (self.smoothed - published.as_secs_f64()).abs();
            difference > published.as_secs_f64() * MOVES_AT_SHARE && difference > MOVES_AT.as_secs_f64()
        });
        if moved {
            self.published = Some(Duration::from_secs_f64(self.smoothed));
        }
    }

    /// The time steering may use; `None` before the first sample.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.published
    }

    /// Whether it answers far slower than it used to.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_first_probe_does_not_pass_for_usual() {
        let mut latency = Latency::default();
        latency.observe(Duration::from_millis(300));
        (0..LEARNING).for_each(|_| latency.observe(Duration::from_millis(20)));
        (0..SLOW_IN_A_ROW).for_each(|_| latency.observe(Duration::from_millis(400)));
        assert!(latency.is_slow());
    }

    fn observe(latency: &mut Latency, ms: u64, times: u32) {
        (0..times).for_each(|_| latency.observe(Duration::from_millis(ms)));
    }

    #[test]
    fn ten_times_slower_is_slow_within_a_few_probes_and_forgiven_as_quickly() {
        let mut latency = Latency::default();
        observe(&mut latency, 80, 20);
        observe(&mut latency, 800, 3);
        assert!(!latency.is_slow());
        observe(&mut latency, 800, 1);
        assert!(latency.is_slow());
        observe(&mut latency, 80, 4);
        assert!(!latency.is_slow());
    }

    #[test]
    fn noise_neither_moves_the_published_time_nor_counts_as_slow() {
        let mut latency = Latency::default();
        observe(&mut latency, 80, 1);
        for n in 0..200 {
            latency.observe(Duration::from_millis(76 + n * 7 % 9));
            assert_eq!(latency.round_trip(), Some(Duration::from_millis(80)));
        }
        observe(&mut latency, 150, 3);
        assert!(!latency.is_slow());
    }

    #[test]
    fn a_real_change_is_followed() {
        let mut latency = Latency::default();
        observe(&mut latency, 80, 10);
        observe(&mut latency, 160, 20);
        assert!(latency.round_trip().is_some_and(|time| time > Duration::from_millis(138)));
    }
}
