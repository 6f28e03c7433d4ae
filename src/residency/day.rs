//! Days in UTC, by the wall clock.

use crate::moment::{rfc3339, since_epoch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;

/// Seconds of a day; the wall clock has no leap seconds.
pub const DAY_SECONDS: u64 = 86_400;

/// A day in UTC: how many came before it since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The day of `wall`, time since the Unix epoch.
    #[must_use]
    pub fn of(wall: Duration) -> Self {
        Self(u32::try_from(wall.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX))
    }

    /// The day that reads so: `2026-11-27`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let day = since_epoch(text).map(Self::of).filter(|_| text.len() == 10)?;
        // No other spelling is taken for it.
        (day.to_string() == text).then_some(day)
    }

    /// When it begins, seconds since the Unix epoch.
    #[must_use]
    pub fn begin_s(self) -> u64 {
        u64::from(self.0) * DAY_SECONDS
    }

    /// When it has ended.
    #[must_use]
    pub fn end_s(self) -> u64 {
        self.begin_s() + DAY_SECONDS
    }

    /// The day after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = rfc3339(Duration::from_secs(self.begin_s()));
        f.pad(text.split_once('T').map_or(&*text, |(day, _)| day))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no day such as 2026-11-27")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written_and_in_no_other_spelling() {
        for (seconds, text) in [(0, "1970-01-01"), (1_795_305_599, "2026-11-21"), (1_795_305_600, "2026-11-22")] {
            let day = Day::of(Duration::from_secs(seconds));
            assert_eq!((day.to_string().as_str(), Day::parse(text)), (text, Some(day)));
        }
        for bad in ["", "2026-11-31", "2026-11-22T00:00:00Z", "+026-11-22", "2026-11-2", "1969-12-31", "../../etc/x"] {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
    }
}
