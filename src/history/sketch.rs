//! Machine: many times in a few octets, from which percentiles are told to one part in twenty, and which add up.

use crate::load::{TIME_BUCKETS, bucket_of, time_of};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many times fell into which bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch(BTreeMap<u8, u64>);

impl Sketch {
    /// Adds one time.
    pub fn add(&mut self, elapsed: Duration) {
        self.add_to_bucket(bucket_of(elapsed), 1);
    }

    /// Adds `count` times to a bucket.
    pub fn add_to_bucket(&mut self, bucket: usize, count: u64) {
        if count > 0 {
            let bucket = u8::try_from(bucket.min(TIME_BUCKETS - 1)).unwrap_or(u8::MAX);
            let counted = self.0.entry(bucket).or_default();
            *counted = counted.saturating_add(count);
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add_to_bucket(usize::from(*bucket), *count);
        }
    }

    /// How many times there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The time that `share` of them do not exceed, milliseconds; nothing without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
    pub fn percentile_ms(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).max(1.0);
        let mut seen = 0_u64;
        let found = self.0.iter().find(|(_, count)| {
            seen = seen.saturating_add(**count);
            seen as f64 >= wanted - 1e-9
        });
        found.map(|(bucket, _)| time_of(usize::from(*bucket)).as_secs_f64() * 1_000.0)
    }

    /// As it is kept: for each bucket its number, and its count in groups of seven bits, the lowest first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 2);
        for (bucket, count) in &self.0 {
            bytes.push(*bucket);
            let mut left = *count;
            while left >= 0x80 {
                bytes.push(u8::try_from(left & 0x7f).unwrap_or(0) | 0x80);
                left >>= 7;
            }
            bytes.push(u8::try_from(left).unwrap_or(0));
        }
        bytes
    }

    /// What was kept, as far as it can be understood: damage costs what comes after it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut sketch = Self::default();
        let mut bytes = bytes.iter();
        while let Some(bucket) = bytes.next() {
            let (mut count, mut shift) = (0_u64, 0);
            loop {
                let Some(byte) = bytes.next().filter(|_| shift < 63) else { return sketch };
                count |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            sketch.add_to_bucket(usize::from(*bucket), count);
        }
        sketch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn percentiles_are_right_to_a_twentieth_however_the_times_are_split_up(
            micros in prop::collection::vec(100_u64..30_000_000, 1..200), split in 0_usize..200, share in 0.01_f64..1.0
        ) {
            let mut parts = [Sketch::default(), Sketch::default()];
            for (at, time) in micros.iter().enumerate() {
                parts[usize::from(at < split)].add(Duration::from_micros(*time));
            }
            let [mut whole, other] = parts;
            whole.merge(&Sketch::from_bytes(&other.to_bytes()));
            let mut sorted = micros.clone();
            sorted.sort_unstable();
            let place = (sorted.len() as f64 * share - 1e-9).ceil().max(1.0) as usize - 1;
            let (exact, told) = (sorted[place] as f64 / 1_000.0, whole.percentile_ms(share).expect("some"));
            prop_assert!((told - exact).abs() <= exact * 0.05, "{exact} is told as {told}");
            prop_assert_eq!(whole.count(), micros.len() as u64);
        }

        #[test]
        fn whatever_is_read_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let sketch = Sketch::from_bytes(&bytes);
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), sketch);
        }
    }

    #[test]
    fn a_minute_takes_a_few_octets() {
        let mut sketch = Sketch::default();
        (0..60).for_each(|at| sketch.add(Duration::from_micros(20_000 + at * 100)));
        assert!(sketch.to_bytes().len() <= 10, "{:?}", sketch.to_bytes());
        assert_eq!(Sketch::default().percentile_ms(0.5), None);
    }
}
