//! How long something took, counted in buckets that grow by a tenth: any percentile of them is right to one part in twenty,
//! and the counts of several places or times add up.

use std::array::from_fn;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Buckets: the last one begins above a minute, and no probe takes so long.
pub const TIME_BUCKETS: usize = 144;
/// What the first bucket ends at.
const SHORTEST: Duration = Duration::from_micros(100);
/// How much longer each bucket ends than the one before.
const GROWTH: f64 = 1.1;

/// Counts by bucket. They only grow, and wrap after four thousand million.
#[derive(Debug)]
pub struct Times([AtomicU32; TIME_BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Self(from_fn(|_| AtomicU32::new(0)))
    }
}

impl Times {
    /// One more took `elapsed`.
    pub fn observe(&self, elapsed: Duration) {
        self.0[bucket_of(elapsed)].fetch_add(1, Relaxed);
    }

    /// How many there are in each bucket.
    #[must_use]
    pub fn counts(&self) -> [u32; TIME_BUCKETS] {
        from_fn(|at| self.0[at].load(Relaxed))
    }
}

/// The bucket of a time.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between nothing and the last bucket")]
pub fn bucket_of(elapsed: Duration) -> usize {
    let grown = (elapsed.as_secs_f64() / SHORTEST.as_secs_f64()).max(1.0).ln() / GROWTH.ln();
    // A time at the end of a bucket must not fall out of it by the last digit.
    let bucket = (grown - 1e-9).ceil().max(0.0) as usize;
    bucket.min(TIME_BUCKETS - 1)
}

/// The time that stands for a bucket: no time in it is farther from it than a twentieth.
#[must_use]
pub fn time_of(bucket: usize) -> Duration {
    let exponent = i32::try_from(bucket.min(TIME_BUCKETS - 1)).unwrap_or(0);
    let end = SHORTEST.as_secs_f64() * GROWTH.powi(exponent);
    Duration::from_secs_f64(end * 2.0 / (1.0 + GROWTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_told_to_a_twentieth() {
        let mut micros = 100.0_f64;
        while micros < 60e6 {
            let (time, told) = (micros / 1e6, time_of(bucket_of(Duration::from_secs_f64(micros / 1e6))).as_secs_f64());
            assert!((told - time).abs() <= time * 0.05, "{time} is told as {told}");
            micros *= 1.003;
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), TIME_BUCKETS - 1);
    }
}
