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

/// The moment that a day (its begin in UTC) or a time with its offset names (RFC 3339), since the Unix epoch; `None` if it
/// names none, or one before that.
#[must_use]
pub fn since_epoch(text: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|octet| wanted.contains(octet));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of = |month| match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(is(4, b"-") && is(7, b"-") && (1..=12).contains(&month) && (1..=days_of(month)).contains(&day)) {
        return None;
    }
    // The inverse of what `rfc3339` does: years from March, eras of 400 years.
    let (from_march, year) = ((month + 9) % 12, year - i64::from(month <= 2));
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    let seconds = (era * 146_097 + day_of_era - 719_468) * 86_400;
    if text.len() == 10 {
        return u64::try_from(seconds).ok().map(Duration::from_secs);
    }
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(is(10, b"Tt ") && is(13, b":") && is(16, b":") && hour < 24 && minute < 60 && second < 60) {
        return None;
    }
    let rest = &text[19..];
    let fraction =
        rest.strip_prefix('.').map_or(0, |rest| 1 + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let offset = match rest.get(fraction..)?.as_bytes() {
        _ if fraction == 1 => return None,
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), a @ b'0'..=b'2', b @ b'0'..=b'9', b':', c @ b'0'..=b'5', d @ b'0'..=b'9'] => {
            let minutes = i64::from((a - b'0') * 10 + (b - b'0')) * 60 + i64::from((c - b'0') * 10 + (d - b'0'));
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = seconds + hour * 3_600 + (minute - offset) * 60 + second;
    u64::try_from(seconds).ok().map(Duration::from_secs)
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
    fn days_and_times_are_read_as_they_are_written() {
        for seconds in [0, 951_782_400, 1_795_305_599, 4_107_542_400, 1_709_164_800] {
            let time = Duration::from_secs(seconds);
            assert_eq!(since_epoch(&rfc3339(time)), Some(time), "{}", rfc3339(time));
        }
        assert_eq!(since_epoch("2000-02-29"), Some(Duration::from_secs(951_782_400)));
        assert_eq!(since_epoch("1970-01-01T01:30:00+01:30"), Some(Duration::ZERO));
        assert_eq!(since_epoch("1970-01-01t00:00:00-00:01"), Some(Duration::from_secs(60)));
        for bad in [
            "",
            "2027",
            "2027-13-01",
            "2027-02-29",
            "2027-00-10",
            "2027-1-01",
            "2027-01-01T00:00:00",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:00:00.Z",
            "1969-12-31",
            "2027-01-01T00:00:00+1:00",
            "2027-01-01Z",
            "+027-01-01",
            "2027-01-01T00:0",
        ] {
            assert_eq!(since_epoch(bad), None, "{bad}");
        }
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
