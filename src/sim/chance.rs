//! Chance in the shapes that a world needs, from [`Dice`] and plain arithmetic alone: the same on every machine.

use crate::moment::Dice;
use std::time::Duration;

/// A number in `0..below`; `below` is not zero.
pub fn below(dice: &mut Dice, below: u64) -> u64 {
    // The high half of a product: even enough, and without a division.
    u64::try_from((u128::from(dice.roll()) * u128::from(below)) >> 64).unwrap_or(0)
}

/// Whether something of this probability happens. What never or always happens takes no chance.
pub fn happens(dice: &mut Dice, share: f64) -> bool {
    share >= 1.0 || (share > 0.0 && dice.fraction() < share)
}

/// An exponentially distributed number of mean 1: von Neumann's way, by comparisons alone, because logarithms differ in
/// their last bit between machines.
pub fn exponential(dice: &mut Dice) -> f64 {
    let mut whole = 0.0;
    loop {
        let first = dice.fraction();
        let mut last = first;
        let mut falls = 0_u32;
        loop {
            let next = dice.fraction();
            if next >= last {
                break;
            }
            last = next;
            falls += 1;
        }
        if falls.is_multiple_of(2) {
            return whole + first;
        }
        whole += 1.0;
    }
}

/// A time, so many times as long: plain arithmetic on nanoseconds, which is enough below months.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "see there")]
pub fn times(time: Duration, factor: f64) -> Duration {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos((nanos as f64 * factor) as u64)
}

/// A time of that mean: never less than a quarter of it, with a tail like the real ones'.
pub fn time_of(dice: &mut Dice, mean: Duration) -> Duration {
    if mean.is_zero() { mean } else { times(mean, 0.25 + 0.75 * exponential(dice)) }
}

/// One of several by weight; `total` is the sum of the weights and not zero.
pub fn by_weight<'a, T>(dice: &mut Dice, among: &'a [(T, u32)], total: u64) -> &'a T {
    let mut left = below(dice, total);
    for (one, weight) in among {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return one,
        }
    }
    &among.last().expect("there is something to choose from").0
}

/// The sum of the weights.
#[must_use]
pub fn total<T>(among: &[(T, u32)]) -> u64 {
    among.iter().map(|(_, weight)| u64::from(*weight)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_shape_it_should_have() {
        let mut dice = Dice::seeded(7);
        let many = 100_000;
        let drawn: Vec<f64> = (0..many).map(|_| exponential(&mut dice)).collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(many);
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let beyond = drawn.iter().filter(|one| **one > 1.0).count();
        assert!((36_000..37_600).contains(&beyond), "1/e of them are beyond the mean: {beyond}");
        let times = (0..many).map(|_| time_of(&mut dice, Duration::from_secs(2)).as_secs_f64());
        let mean = times.sum::<f64>() / f64::from(many);
        assert!((mean - 2.0).abs() < 0.04, "{mean}");
        let among = [('a', 1), ('b', 0), ('c', 3)];
        let drawn: Vec<char> = (0..many).map(|_| *by_weight(&mut dice, &among, total(&among))).collect();
        let count = |wanted| drawn.iter().filter(|one| **one == wanted).count();
        assert_eq!(count('b'), 0);
        assert!((74_000..76_000).contains(&count('c')));
    }
}
