//! Time and chance as values.
//!
//! A [`Moment`] is a point of monotonic time; machines take it as an argument and never ask for it. [`Clock`] is its
//! only source, read by shells. [`Dice`] is the only source of chance, seeded, with a fixed algorithm, so that a run is
//! reproduced by its seed.

use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point of monotonic time: nanoseconds since the clock that made it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start of time.
    pub const ZERO: Self = Self(0);

    /// The moment `age` after the start of time.
    #[must_use]
    pub fn at(age: Duration) -> Self {
        Self(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long ago `earlier` was; zero if it has not come yet.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds since the start of time.
    #[must_use]
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment of that many nanoseconds since the start of time.
    #[must_use]
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The only source of moments. Cheap to copy; all copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts now. It follows tokio's time, so a test may pause it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where moments come from")]
    pub fn start() -> Self {
        Self { started: tokio::time::Instant::now() }
    }

    /// Now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where moments come from")]
    pub fn now(&self) -> Moment {
        Moment::at(tokio::time::Instant::now().duration_since(self.started))
    }

    /// The runtime's name for `moment`, to sleep until it.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> tokio::time::Instant {
        self.started + Duration::from_nanos(moment.0)
    }

    /// Wall-clock time since the Unix epoch: for people, certificates, keys and files, never for decisions.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    pub fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// Wall-clock time as RFC 3339 in UTC with milliseconds, for logs and files.
#[must_use]
pub fn rfc3339(since_epoch: Duration) -> String {
    let days = since_epoch.as_secs() / 86_400;
    let second = since_epoch.as_secs() % 86_400;
    // Civil date from day count, in the proleptic Gregorian calendar; eras of 400 years, years from March.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since_epoch.subsec_millis()
    )
}

/// Seeded chance: SplitMix64, fixed for ever, so that a seed means the same run on every build.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that will always fall the same way for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0..1`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `around`, moved by at most `share` of itself to either side.
    pub fn jittered(&mut self, around: Duration, share: f64) -> Duration {
        around.mul_f64(1.0 + share * (2.0 * self.fraction() - 1.0))
    }
}

/// Spreads the bits of a number: the finaliser of SplitMix64. Used wherever a stable hash decides something.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_people_read_them() {
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Duration::from_millis(951_782_400_007)), "2000-02-29T00:00:00.007Z");
        assert_eq!(rfc3339(Duration::from_secs(1_795_305_599)), "2026-11-21T23:59:59.000Z");
    }

    #[test]
    fn a_seed_is_a_run() {
        let rolls = |seed| {
            let mut dice = Dice::seeded(seed);
            [dice.roll(), dice.roll(), dice.roll()]
        };
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
        // The published test vector of SplitMix64.
        assert_eq!(Dice::seeded(1_234_567).roll(), 6_457_827_717_110_365_317);
    }
}
