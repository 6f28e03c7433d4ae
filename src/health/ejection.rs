//! A short, local, growing refusal learnt from live traffic.
//!
//! Each ejection lasts longer than the one before; a quiet minute takes one step back. Going down by probes counts as
//! one as well, so that an endpoint which comes and goes is held back for longer and longer.

use super::{Fault, Reason};
use crate::moment::Moment;
use std::time::Duration;

/// How long the first ejection lasts; the n-th lasts n times as long.
pub const EJECTION_STEP: Duration = Duration::from_secs(5);
/// Longest ejection.
pub const EJECTION_MAX: Duration = Duration::from_secs(60);
/// A time without ejection that takes one step back.
pub const EJECTION_FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// Failures in a row to connect (refused, or silent) that eject at once.
pub const CONNECT_FAILURES_IN_A_ROW: u32 = 3;

/// Whether, until when and why traffic stays away.
#[derive(Clone, Debug, Default)]
pub struct Ejection {
    in_a_row: u32,
    times: u32,
    until: Moment,
    reason: Option<Reason>,
    has_fallen: bool,
}

impl Ejection {
    /// A connection could not be opened. Returns whether that was once too often.
    pub fn connect_failed(&mut self, now: Moment, fault: Fault) -> bool {
        self.in_a_row += 1;
        let ejects = self.in_a_row >= CONNECT_FAILURES_IN_A_ROW && self.active(now).is_none();
        if ejects {
            self.eject(now, Reason::Traffic(fault));
        }
        ejects
    }

    /// A connection was opened.
    pub fn connected(&mut self) {
        self.in_a_row = 0;
    }

    /// Stays away from `now` on, longer than last time. Does not prolong an ejection that is running.
    pub fn eject(&mut self, now: Moment, reason: Reason) {
        if self.active(now).is_some() {
            return;
        }
        let quiet = now.since(self.until);
        let forgiven = quiet.as_secs() / EJECTION_FORGIVEN_AFTER.as_secs();
        self.times = self.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)) + 1;
        self.until = now + (EJECTION_STEP * self.times).min(EJECTION_MAX);
        self.reason = Some(reason);
        self.has_fallen = false;
        self.in_a_row = 0;
    }

    /// Probes took it down. The first time this holds it back like any ejection; if it comes back and falls again while
    /// it is still held back, the time starts anew and grows: whatever flaps is left alone until it has been quiet.
    pub fn fell(&mut self, now: Moment) {
        if self.has_fallen && self.active(now).is_some() {
            self.reason = None;
        }
        self.eject(now, Reason::HeldBack);
        self.has_fallen = true;
    }

    /// Why traffic stays away now, if it does.
    #[must_use]
    pub fn active(&self, now: Moment) -> Option<Reason> {
        self.reason.filter(|_| now < self.until)
    }

    /// When the last one ended, or will; the start of time if there was none.
    #[must_use]
    pub fn last_end(&self) -> Moment {
        self.until
    }

    /// When it ends, if it runs.
    #[must_use]
    pub fn ends(&self, now: Moment) -> Option<Moment> {
        self.active(now).map(|_| self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn three_refusals_in_a_row_eject() {
        let mut ejection = Ejection::default();
        assert!(!ejection.connect_failed(at(1), Fault::Refused));
        assert!(!ejection.connect_failed(at(1), Fault::Refused));
        ejection.connected();
        assert!(!ejection.connect_failed(at(1), Fault::Refused));
        assert!(!ejection.connect_failed(at(1), Fault::Refused));
        assert!(ejection.connect_failed(at(1), Fault::Refused));
        assert_eq!(ejection.active(at(5)), Some(Reason::Traffic(Fault::Refused)));
        assert_eq!(ejection.active(at(6)), None);
    }

    #[test]
    fn each_lasts_longer_up_to_a_minute_and_quiet_forgives() {
        let mut ejection = Ejection::default();
        let mut now = at(100);
        for n in 1..=20 {
            ejection.eject(now, Reason::ErrorRate);
            let ends = ejection.ends(now).expect("it runs");
            assert_eq!(ends.since(now), Duration::from_secs((5 * n).min(60)));
            ejection.eject(now, Reason::ErrorRate);
            assert_eq!(ejection.ends(now), Some(ends), "a running ejection is not prolonged");
            now = ends;
        }
        now = now + Duration::from_secs(3_600);
        ejection.eject(now, Reason::ErrorRate);
        assert_eq!(ejection.ends(now).expect("it runs").since(now), EJECTION_STEP);
    }

    #[test]
    fn falling_again_while_held_back_starts_the_time_anew() {
        let mut ejection = Ejection::default();
        ejection.fell(at(100));
        assert_eq!(ejection.ends(at(100)), Some(at(105)));
        ejection.fell(at(104));
        assert_eq!(ejection.ends(at(104)), Some(at(114)));
        let mut traffic = Ejection::default();
        traffic.eject(at(100), Reason::Traffic(Fault::Refused));
        traffic.fell(at(101));
        assert_eq!(traffic.ends(at(101)), Some(at(105)), "one outage, seen by traffic and by probes, counts once");
    }
}
