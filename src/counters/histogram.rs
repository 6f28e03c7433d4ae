//! Times in buckets, counted by one thread and read by any.

use super::bump;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Times in buckets.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [Duration; N],
    buckets: [AtomicU64; N],
    /// Those beyond the last bound.
    beyond: AtomicU64,
    nanos: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// Nothing counted. `bounds` are the upper ends of the buckets, ascending.
    #[must_use]
    pub fn new(bounds: &'static [Duration; N]) -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, buckets, beyond: AtomicU64::new(0), nanos: AtomicU64::new(0) }
    }

    /// Counts one. For the thread that owns it.
    pub fn add(&self, time: Duration) {
        let at = self.bounds.partition_point(|bound| *bound < time);
        bump(self.buckets.get(at).unwrap_or(&self.beyond), 1);
        bump(&self.nanos, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    #[must_use]
    pub fn times(&self) -> Times {
        let counts = self.buckets.iter().chain([&self.beyond]).map(|bucket| bucket.load(Relaxed));
        Times { bounds: self.bounds, counts: counts.collect(), nanos: self.nanos.load(Relaxed) }
    }
}

/// What a [`Histogram`] has counted, or several of the same bounds together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Upper ends of the buckets, ascending.
    pub bounds: &'static [Duration],
    /// How many fell into each bucket and no earlier one; the last, one more than there are bounds, has those beyond.
    pub counts: Vec<u64>,
    /// All times together, nanoseconds.
    pub nanos: u64,
}

impl Times {
    /// Both together.
    ///
    /// # Panics
    /// If their bounds differ.
    pub fn join(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        assert_eq!(self.bounds, other.bounds, "buckets of one kind");
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, more)| *sum += more);
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];

    #[test]
    fn a_time_on_the_bound_is_within_it_and_all_are_counted_once() {
        let histogram = Histogram::new(&BOUNDS);
        for nanos in [0, 1_000_000, 1_000_001, 10_000_000, 10_000_001, 5_000_000_000] {
            histogram.add(Duration::from_nanos(nanos));
        }
        let mut times = histogram.times();
        assert_eq!((&*times.counts, times.count(), times.nanos), (&[2, 2, 2][..], 6, 5_022_000_002));
        times.join(&histogram.times());
        assert_eq!((&*times.counts, times.count()), (&[4, 4, 4][..], 12));
        let mut nothing = Times::default();
        nothing.join(&times);
        assert_eq!(nothing, times);
    }
}
