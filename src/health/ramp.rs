//! How much of its share a recovered endpoint gets.

use crate::moment::Moment;
use std::time::Duration;

/// What it gets at once, percent.
pub const RAMP_START_PERCENT: u8 = 5;
/// The grain of the ramp, percent: each grain is one generation of the snapshot.
pub const RAMP_GRAIN_PERCENT: u8 = 5;

/// The share of its clients, percent, that an endpoint gets `now` if it recovered at `since`: linear over `slow_start`,
/// in grains, from [`RAMP_START_PERCENT`] to 100.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the line before")]
pub fn share_percent(now: Moment, since: Moment, slow_start: Duration) -> u8 {
    let gone = now.since(since);
    if gone >= slow_start {
        return 100;
    }
    let percent = (gone.as_secs_f64() / slow_start.as_secs_f64() * 100.0).clamp(0.0, 100.0) as u8;
    (percent / RAMP_GRAIN_PERCENT * RAMP_GRAIN_PERCENT).max(RAMP_START_PERCENT)
}

/// The moment after `now` at which that share grows next, to the nanosecond; `None` if it is whole.
#[must_use]
pub fn grows_at(now: Moment, since: Moment, slow_start: Duration) -> Option<Moment> {
    let share = share_percent(now, since, slow_start);
    if share >= 100 {
        return None;
    }
    let next = (share / RAMP_GRAIN_PERCENT + 1) * RAMP_GRAIN_PERCENT;
    let nanosecond = Duration::from_nanos(1);
    // The division above rounds: the nanosecond it says is not far.
    let mut at = (since + slow_start.mul_f64(f64::from(next) / 100.0) - nanosecond * 2).max(now);
    while share_percent(at, since, slow_start) == share {
        at = at + nanosecond;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_from_little_to_all_and_never_shrinks() {
        let slow_start = Duration::from_secs(60);
        let share = |seconds: u64| {
            share_percent(
                Moment::at(Duration::from_secs(100 + seconds)),
                Moment::at(Duration::from_secs(100)),
                slow_start,
            )
        };
        assert_eq!((share(0), share(6), share(30), share(59), share(60)), (5, 10, 50, 95, 100));
        assert!((0..70).all(|second| share(second) <= share(second + 1)));
        assert!((0..10).all(|second| share(second) <= 15));
    }

    #[test]
    fn no_slow_start_is_all_at_once() {
        assert_eq!(share_percent(Moment::ZERO, Moment::ZERO, Duration::ZERO), 100);
    }
}
