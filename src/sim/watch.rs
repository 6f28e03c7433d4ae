//! A node's own clock: it starts when the node does, and may run fast or slow.

use crate::moment::Moment;
use std::time::Duration;

/// What a node's clock shows.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// When it was set last, by the world's time and by its own.
    world: Moment,
    own: Moment,
    ppm: i32,
}

impl Watch {
    /// One that starts `now`, at zero.
    #[must_use]
    pub fn started(now: Moment) -> Self {
        Self { world: now, own: Moment::ZERO, ppm: 0 }
    }

    /// What it shows at `world`.
    #[must_use]
    pub fn own(&self, world: Moment) -> Moment {
        let passed = world.since(self.world);
        self.own + if self.ppm == 0 { passed } else { scaled(passed, 1_000_000 + i64::from(self.ppm), 1_000_000) }
    }

    /// When it will show `own`: never a nanosecond too early.
    #[must_use]
    pub fn world(&self, own: Moment) -> Moment {
        let passes = own.since(self.own);
        if self.ppm == 0 {
            return self.world + passes;
        }
        self.world + scaled(passes, 1_000_000, 1_000_000 + i64::from(self.ppm)) + Duration::from_nanos(1)
    }

    /// From `now` on it runs fast by so many millionths.
    pub fn drift(&mut self, now: Moment, ppm: i32) {
        *self = Self { world: now, own: self.own(now), ppm };
    }
}

fn scaled(time: Duration, by: i64, of: i64) -> Duration {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX) * i128::from(by) / i128::from(of.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_goes_on_from_where_it_is_and_is_never_early() {
        let at = |seconds| Moment::at(Duration::from_secs(seconds));
        let mut watch = Watch::started(at(10));
        assert_eq!(watch.own(at(15)), at(5));
        watch.drift(at(15), 1_000);
        assert_eq!(watch.own(at(1_015)), at(5) + Duration::from_millis(1_001_000));
        watch.drift(at(1_015), -1_000);
        let later = at(2_015);
        assert_eq!(watch.own(later), at(5) + Duration::from_millis(1_001_000 + 999_000));
        for millis in [1, 999, 123_456_789] {
            let own = watch.own(at(1_015)) + Duration::from_millis(millis);
            assert!(watch.own(watch.world(own)) >= own, "{millis}");
        }
    }
}
