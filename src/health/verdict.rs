//! One node's rise and fall count for one endpoint.
//!
//! Down as gdnsd counts: failures add up, and only a run of passes forgives them, so that a lossy endpoint falls too.
//! Up as HAProxy counts: passes in a row.

/// How one probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not.
    Failed,
}

/// How many outcomes change a mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Passes in a row, from down to up.
    pub rise: u32,
    /// Failures, from up (or unknown) to down.
    pub fall: u32,
    /// Passes in a row that forgive failures.
    pub reset_ok: u32,
}

/// What one node believes of one endpoint, and how near it is to changing its mind.
///
/// ```text
/// Unknown --pass--> Up            Unknown --fall failures--> Down
/// Up      --fall failures, with no run of reset_ok passes among them--> Down
/// Down    --rise passes in a row--> Up
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No opinion yet; `failures` so far.
    Unknown {
        /// Failures so far.
        failures: u32,
    },
    /// Works; `failures` not yet forgiven, `passes` in a row since the last of them.
    Up {
        /// Failures not yet forgiven.
        failures: u32,
        /// Passes in a row since the last failure.
        passes: u32,
    },
    /// Does not work; `passes` in a row so far.
    Down {
        /// Passes in a row so far.
        passes: u32,
    },
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Unknown { failures: 0 }
    }
}

impl Verdict {
    /// The verdict after one more outcome.
    #[must_use]
    pub fn after(self, outcome: Outcome, needed: Needed) -> Self {
        use Outcome::{Failed, Passed};
        match (self, outcome) {
            (Self::Unknown { .. }, Passed) => Self::Up { failures: 0, passes: 0 },
            (Self::Unknown { failures }, Failed) if failures + 1 < needed.fall => {
                Self::Unknown { failures: failures + 1 }
            }
            (Self::Up { failures: 0, .. }, Passed) => Self::Up { failures: 0, passes: 0 },
            (Self::Up { passes, .. }, Passed) if passes + 1 >= needed.reset_ok => Self::Up { failures: 0, passes: 0 },
            (Self::Up { failures, passes }, Passed) => Self::Up { failures, passes: passes + 1 },
            (Self::Up { failures, .. }, Failed) if failures + 1 < needed.fall => {
                Self::Up { failures: failures + 1, passes: 0 }
            }
            (Self::Down { passes }, Passed) if passes + 1 >= needed.rise => Self::Up { failures: 0, passes: 0 },
            (Self::Down { passes }, Passed) => Self::Down { passes: passes + 1 },
            (_, Failed) => Self::Down { passes: 0 },
        }
    }

    /// How quickly it should be asked again.
    #[must_use]
    pub fn pace(self) -> Pace {
        match self {
            Self::Up { failures: 0, .. } => Pace::Steady,
            Self::Down { passes: 0 } => Pace::Down,
            _ => Pace::Fast,
        }
    }

    /// Whether it is down.
    #[must_use]
    pub fn is_down(self) -> bool {
        matches!(self, Self::Down { .. })
    }
}

/// How quickly an endpoint is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Up and sure of it.
    Steady,
    /// In doubt.
    #[default]
    Fast,
    /// Down and no sign of life.
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: Needed = Needed { rise: 3, fall: 3, reset_ok: 10 };

    fn after(outcomes: &str) -> Verdict {
        outcomes.chars().fold(Verdict::default(), |verdict, outcome| {
            verdict.after(if outcome == '+' { Outcome::Passed } else { Outcome::Failed }, NEEDED)
        })
    }

    #[test]
    fn the_first_pass_brings_it_up_and_failures_must_add_up() {
        assert_eq!(after("+").pace(), Pace::Steady);
        assert_eq!(after("--"), Verdict::Unknown { failures: 2 });
        assert!(after("---").is_down());
        assert!(!after("+--").is_down());
        assert!(after("+---").is_down());
    }

    #[test]
    fn failures_add_up_unless_a_long_run_of_passes_forgives_them() {
        assert!(after("+-+++-+++-").is_down(), "every fourth probe lost is a bad endpoint");
        assert!(!after("+--++++++++++-").is_down(), "ten passes forgive");
        assert!(after("+--+++++++++-").is_down(), "nine do not");
    }

    #[test]
    fn coming_back_takes_passes_in_a_row() {
        assert!(after("---++-++").is_down());
        assert!(!after("---++-+++").is_down());
        assert_eq!(after("---+").pace(), Pace::Fast);
        assert_eq!(after("---").pace(), Pace::Down);
    }

    #[test]
    fn one_is_enough_where_one_is_asked_for() {
        let needed = Needed { rise: 1, fall: 1, reset_ok: 1 };
        let down = Verdict::default().after(Outcome::Failed, needed);
        assert!(down.is_down());
        assert!(!down.after(Outcome::Passed, needed).is_down());
    }
}
