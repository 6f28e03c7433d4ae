//! May the next candidate be tried? A machine that follows one request through its attempts.
//!
//! ```text
//! nothing of the request was seen  --> next candidate, any method, until the failover timeout; not counted
//!   ...on a kept connection        --> the same endpoint once more on a new one: its end says nothing about it
//! it may have been processed       --> next candidate only if the request is safe to repeat and its body is still here,
//!                                      at most `attempts` times, out of the budget for repetition
//! the client has seen a byte       --> never: not asked here any more
//! ```
//! (RFC 9110 §9.2.2; the reasons are in the README.)

use super::budget::Allowance;
use super::unserved::{Hint, Unserved};
use crate::health::Fault;
use crate::moment::Moment;
use crate::topology::Forward;
use crate::upstream::{AttemptError, Progress};

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The same endpoint, on a new connection.
    Again,
    /// The next candidate: a sibling endpoint first.
    NextEndpoint,
    /// The next candidate in another region, if there is one.
    NextRegion,
    /// No further attempt: the client is told.
    Stop,
}

/// What is known of the request when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Whether it may be repeated although it may have been processed.
    pub is_safe: bool,
    /// Whether all of its body that was read is still here.
    pub is_replayable: bool,
}

/// One request's attempts so far.
#[derive(Clone, Debug)]
pub struct Failover {
    attempts_max: u32,
    give_up_at: Moment,
    /// Attempts that may have reached a region.
    reached: u32,
    /// Whether the last attempt was on a new connection because a kept one had ended.
    is_again: bool,
}

impl Failover {
    /// A request that began `now`.
    #[must_use]
    pub fn new(now: Moment, forward: &Forward) -> Self {
        Self { attempts_max: forward.attempts, give_up_at: now + forward.failover_timeout, reached: 0, is_again: false }
    }

    /// What to do after an attempt failed with `error`.
    #[must_use]
    pub fn after(&mut self, now: Moment, error: AttemptError, situation: Situation) -> Step {
        let was_again = std::mem::replace(&mut self.is_again, false);
        let is_stale = error.was_reused && error.fault == Fault::Reset && !was_again;
        match error.progress {
            Progress::Unsent if !situation.is_replayable => Step::Stop,
            Progress::Unsent if is_stale => self.again(),
            Progress::Unsent if now < self.give_up_at => Step::NextEndpoint,
            Progress::Unsent => Step::Stop,
            Progress::Sent if !(situation.is_safe && situation.is_replayable) => Step::Stop,
            Progress::Sent if is_stale => self.again(),
            Progress::Sent => {
                self.reached += 1;
                if self.reached < self.attempts_max { Step::NextRegion } else { Step::Stop }
            }
        }
    }

    /// Whether an attempt that may have reached a region could be followed by another.
    #[must_use]
    pub fn has_another(&self) -> bool {
        self.reached + 1 < self.attempts_max
    }

    fn again(&mut self) -> Step {
        self.is_again = true;
        Step::Again
    }
}

/// Whether the end of an attempt says anything about the endpoint: a kept connection that ended says nothing, nor does a
/// client that would not wait, or one that wants what the endpoint does not speak.
#[must_use]
pub fn is_evidence(error: AttemptError) -> bool {
    let is_stale = error.was_reused && error.fault == Fault::Reset;
    !(is_stale || matches!(error.fault, Fault::Late | Fault::Unsuited))
}

/// How much of what may have been processed may be repeated.
#[must_use]
pub fn allowance(forward: &Forward) -> Allowance {
    Allowance { percent: forward.retry_percent, floor: forward.retry_floor }
}

/// Whether a status counts as a failure of the endpoint that gave it. 501 and 505 are answers to what was asked.
#[must_use]
pub fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502..=504)
}

/// Why another region should be asked although this one answered: it says that it has done nothing (421 says so too) and
/// not that others would do no more, or its gateway failed and the request may be repeated.
#[must_use]
pub fn reason_to_go_on(status: u16, unserved: Option<&Unserved>, is_safe: bool) -> Option<AttemptError> {
    let (fault, progress) = match (unserved.map(|unserved| unserved.hint), status) {
        (Some(Hint::Later), _) => return None,
        (Some(Hint::Elsewhere), _) | (None, 421) => (Fault::Unserved, Progress::Unsent),
        (None, 502..=504) if is_safe => (Fault::Status(status), Progress::Sent),
        (None, _) => return None,
    };
    Some(AttemptError { fault, progress, was_reused: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SAFE: Situation = Situation { is_safe: true, is_replayable: true };
    const UNSAFE: Situation = Situation { is_safe: false, is_replayable: true };
    const GONE: Situation = Situation { is_safe: true, is_replayable: false };

    fn failover() -> Failover {
        Failover { attempts_max: 3, give_up_at: Moment::at(Duration::from_secs(5)), reached: 0, is_again: false }
    }

    fn error(fault: Fault, progress: Progress) -> AttemptError {
        AttemptError { fault, progress, was_reused: false }
    }

    #[test]
    fn what_reached_nobody_goes_on_whatever_it_is_until_time_is_up() {
        let refused = error(Fault::Refused, Progress::Unsent);
        let mut request = failover();
        for _ in 0..20 {
            assert_eq!(request.after(Moment::ZERO, refused, UNSAFE), Step::NextEndpoint);
        }
        assert_eq!(request.after(Moment::at(Duration::from_secs(5)), refused, UNSAFE), Step::Stop);
    }

    #[test]
    fn the_word_of_a_region_counts_more_than_its_status() {
        let says = |hint| Some(Unserved { hint, reason: None });
        let progress = |status, unserved: Option<Unserved>, is_safe| {
            reason_to_go_on(status, unserved.as_ref(), is_safe).map(|error| error.progress)
        };
        for status in [200, 404, 421, 429, 500, 503] {
            assert_eq!(progress(status, says(Hint::Elsewhere), false), Some(Progress::Unsent), "{status}");
            assert_eq!(progress(status, says(Hint::Later), true), None, "{status}");
        }
        for (status, is_safe, expected) in [
            (421, false, Some(Progress::Unsent)),
            (429, true, None),
            (500, true, None),
            (503, true, Some(Progress::Sent)),
            (503, false, None),
        ] {
            assert_eq!(progress(status, None, is_safe), expected, "{status}");
        }
    }

    #[test]
    fn what_may_have_been_processed_is_repeated_only_where_it_is_safe_and_seldom() {
        let reset = error(Fault::Reset, Progress::Sent);
        assert_eq!(failover().after(Moment::ZERO, reset, UNSAFE), Step::Stop);
        assert_eq!(failover().after(Moment::ZERO, reset, GONE), Step::Stop);
        let mut request = failover();
        assert_eq!(request.after(Moment::ZERO, reset, SAFE), Step::NextRegion);
        assert_eq!(request.after(Moment::ZERO, error(Fault::Refused, Progress::Unsent), SAFE), Step::NextEndpoint);
        assert_eq!(request.after(Moment::ZERO, reset, SAFE), Step::NextRegion);
        assert_eq!(request.after(Moment::ZERO, reset, SAFE), Step::Stop, "the third that may have reached a region");
    }

    #[test]
    fn a_kept_connection_that_ended_costs_one_new_connection_and_no_attempt() {
        let stale = |progress| AttemptError { fault: Fault::Reset, progress, was_reused: true };
        let mut request = failover();
        assert_eq!(request.after(Moment::ZERO, stale(Progress::Unsent), UNSAFE), Step::Again);
        assert_eq!(request.after(Moment::ZERO, error(Fault::Refused, Progress::Unsent), UNSAFE), Step::NextEndpoint);
        assert_eq!(request.after(Moment::ZERO, stale(Progress::Unsent), UNSAFE), Step::Again);
        assert_eq!(failover().after(Moment::ZERO, stale(Progress::Sent), UNSAFE), Step::Stop);
        let mut request = failover();
        assert_eq!(request.after(Moment::ZERO, stale(Progress::Sent), SAFE), Step::Again);
        assert_eq!(request.after(Moment::ZERO, stale(Progress::Sent), SAFE), Step::NextRegion, "not for ever");
    }
}
