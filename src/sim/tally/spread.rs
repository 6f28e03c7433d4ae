//! How long many things took: their number, mean, longest, and percentiles to one part in twenty.

use crate::load::{TIME_BUCKETS, bucket_of, time_of};
use std::time::Duration;

/// Times in buckets; no bucket is there before the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    count: u64,
    sum_us: u64,
    longest_us: u64,
    buckets: Option<Box<[u32; TIME_BUCKETS]>>,
}

impl Spread {
    /// Adds one time.
    pub fn add(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.longest_us = self.longest_us.max(us);
        let buckets = self.buckets.get_or_insert_with(|| Box::new([0; TIME_BUCKETS]));
        buckets[bucket_of(time)] += 1;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.longest_us = self.longest_us.max(other.longest_us);
        if let Some(theirs) = &other.buckets {
            let own = self.buckets.get_or_insert_with(|| Box::new([0; TIME_BUCKETS]));
            own.iter_mut().zip(theirs.iter()).for_each(|(own, their)| *own += their);
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean, milliseconds; nothing without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
    pub fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_us as f64 / self.count as f64 / 1_000.0)
    }

    /// The longest, milliseconds; nothing without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody waits so long")]
    pub fn longest_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.longest_us as f64 / 1_000.0)
    }

    /// The time that so many of a hundred do not exceed, milliseconds; nothing without any.
    #[must_use]
    pub fn percentile_ms(&self, percent: u64) -> Option<f64> {
        let buckets = self.buckets.as_ref()?;
        let wanted = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        })?;
        // A bucket's middle may lie beyond the longest time in it, and the first bucket has what took no time.
        let middle = if at == 0 { 0.0 } else { time_of(at).as_secs_f64() * 1_000.0 };
        let longest = self.longest_ms()?;
        Some(if at == TIME_BUCKETS - 1 { longest } else { middle.min(longest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_to_a_twentieth_and_never_exceed_the_longest() {
        let mut spread = Spread::default();
        (1..=200).for_each(|ms| spread.add(Duration::from_millis(ms)));
        let near = |told: Option<f64>, exact: f64| {
            let told = told.expect("some");
            assert!((told - exact).abs() <= exact * 0.05, "{exact} is told as {told}");
        };
        near(spread.percentile_ms(50), 100.0);
        near(spread.percentile_ms(99), 198.0);
        assert_eq!((spread.mean_ms(), spread.longest_ms()), (Some(100.5), Some(200.0)));
        assert!(spread.percentile_ms(100) <= spread.longest_ms());
    }

    #[test]
    fn nothing_has_no_percentile_and_no_time_is_none() {
        assert_eq!(Spread::default().percentile_ms(50), None);
        let mut spread = Spread::default();
        spread.add(Duration::ZERO);
        assert_eq!(spread.percentile_ms(99), Some(0.0));
        spread.add(Duration::from_secs(400));
        assert_eq!(spread.percentile_ms(100), Some(400_000.0), "beyond the last bucket it is the longest");
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut parts = [Spread::default(), Spread::default()];
        let mut whole = Spread::default();
        for ms in [3, 5, 900, 20] {
            parts[usize::from(ms > 10)].add(Duration::from_millis(ms));
            whole.add(Duration::from_millis(ms));
        }
        let [mut first, second] = parts;
        first.merge(&second);
        assert_eq!(first, whole);
    }
}
