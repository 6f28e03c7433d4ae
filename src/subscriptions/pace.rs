//! When something that could not be delivered is tried again, and when no more.

use crate::moment::Dice;
use std::time::Duration;

/// The first retry comes within this.
pub const FIRST: Duration = Duration::from_secs(5);
/// None comes later after its attempt than this.
pub const LONGEST: Duration = Duration::from_secs(10 * 3_600);
/// By how much the next wait may be longer.
const GROWTH: u32 = 4;
/// A message is given up this long after it was due: then people have read it on the page, or it helps nobody any more.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// A webhook that took nothing for this long is told no more.
pub const SWITCHED_OFF_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// How long to wait after `attempts` that failed: anything up to a bound that grows, so that those who failed together do not
/// come back together.
pub fn wait(attempts: u32, dice: &mut Dice) -> Duration {
    longest(attempts).mul_f64(dice.fraction())
}

/// The bound of [`wait`].
#[must_use]
pub fn longest(attempts: u32) -> Duration {
    let factor = GROWTH.checked_pow(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_seconds_to_hours_and_are_spread_out() {
        let bounds: Vec<u64> = (1..=9).map(|attempts| longest(attempts).as_secs()).collect();
        assert_eq!(bounds, [5, 20, 80, 320, 1_280, 5_120, 20_480, 36_000, 36_000]);
        assert_eq!(longest(u32::MAX), LONGEST);
        let mut dice = Dice::seeded(7);
        let waits: Vec<Duration> = (0..1_000).map(|_| wait(3, &mut dice)).collect();
        assert!(waits.iter().all(|wait| *wait <= longest(3)));
        let (short, long) = (Duration::from_secs(20), Duration::from_secs(60));
        assert!(waits.iter().any(|wait| *wait < short) && waits.iter().any(|wait| *wait > long));
    }
}
