//! What one probe of an endpoint says of it. An endpoint has one opinion for each of its probes, and any can veto.

use super::verdict::{Needed, Outcome, Pace, Verdict};
use super::{Fault, Standing};
use std::time::Duration;

/// Weight of a new sample in what is smoothed.
const SMOOTHING: f64 = 0.2;

/// A time that is measured again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The last.
    pub last: Duration,
    /// Smoothed: each new one counts a fifth.
    pub smoothed: Duration,
}

impl Sample {
    fn after(before: Option<Self>, last: Duration) -> Self {
        let smoothed = before.map_or(last, |before| before.smoothed.mul_f64(1.0 - SMOOTHING) + last.mul_f64(SMOOTHING));
        Self { last, smoothed }
    }
}

/// How a stream flowed that a probe opened; what it did not come to is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flowed {
    /// From the request to the first event.
    pub first_event: Option<Duration>,
    /// The largest time between two events.
    pub gap: Option<Duration>,
}

/// The machine of one probe: outcomes in, a verdict with its fault out.
#[derive(Clone, Debug)]
pub struct Opinion {
    kind: &'static str,
    needed: Needed,
    verdict: Verdict,
    /// What it was when it last passed: to go back to if what came after was our own fault.
    at_last_pass: Option<Verdict>,
    fault: Option<Fault>,
    first_event: Option<Sample>,
    gap: Option<Sample>,
}

impl Opinion {
    /// Of a probe of this kind, which has not come back yet.
    #[must_use]
    pub fn new(kind: &'static str, needed: Needed) -> Self {
        let verdict = Verdict::default();
        Self { kind, needed, verdict, at_last_pass: None, fault: None, first_event: None, gap: None }
    }

    /// It came back.
    pub fn concluded(&mut self, result: Result<(), Fault>) {
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        self.verdict = self.verdict.after(outcome, self.needed);
        match result {
            Ok(()) => self.at_last_pass = Some(self.verdict),
            Err(fault) => self.fault = Some(fault),
        }
        if !self.is_in_doubt() {
            self.fault = None;
        }
    }

    /// The stream that it opened flowed so.
    pub fn flowed(&mut self, flowed: Flowed) {
        if let Some(last) = flowed.first_event {
            self.first_event = Some(Sample::after(self.first_event, last));
        }
        if let Some(last) = flowed.gap {
            self.gap = Some(Sample::after(self.gap, last));
        }
    }

    /// What failed since its last pass was our own fault.
    pub fn forgive(&mut self) {
        if let Some(before) = self.at_last_pass {
            (self.verdict, self.fault) = (before, None);
        }
    }

    /// What is believed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// How it failed last, until that is forgiven; something if it is down.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// What it is called: the kind of its probe.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// All of it, to be shown; `is_alarmed`: live traffic fails, so it should be asked soon.
    #[must_use]
    pub fn shown(&self, is_alarmed: bool) -> Shown {
        let standing = match self.verdict {
            Verdict::Unknown { .. } => Standing::Unknown,
            Verdict::Up { .. } => Standing::Up,
            Verdict::Down { .. } => Standing::Down,
        };
        let pace = match self.verdict.pace() {
            Pace::Steady if is_alarmed => Pace::Fast,
            pace => pace,
        };
        let Self { kind, fault, first_event, gap, .. } = *self;
        Shown { kind, standing, fault, pace, first_event, gap }
    }

    fn is_in_doubt(&self) -> bool {
        self.verdict.pace() != Pace::Steady
    }
}

/// An opinion, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The kind of its probe.
    pub kind: &'static str,
    /// Up, unknown or down.
    pub standing: Standing,
    /// How it failed last, until that is forgiven.
    pub fault: Option<Fault>,
    /// How quickly it should be asked.
    pub pace: Pace,
    /// From its request to the first event, if it opens streams.
    pub first_event: Option<Sample>,
    /// The largest time between two events, if it opens streams.
    pub gap: Option<Sample>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion() -> Opinion {
        Opinion::new("token", Needed { rise: 3, fall: 3, reset_ok: 2 })
    }

    #[test]
    fn a_fault_is_remembered_until_it_is_forgiven() {
        let mut opinion = opinion();
        opinion.concluded(Ok(()));
        opinion.concluded(Err(Fault::Stalled));
        assert_eq!(opinion.shown(false).fault, Some(Fault::Stalled));
        opinion.concluded(Ok(()));
        assert_eq!(opinion.fault(), Some(Fault::Stalled), "one pass forgives nothing");
        opinion.concluded(Ok(()));
        assert_eq!((opinion.fault(), opinion.shown(false).pace), (None, Pace::Steady));
        assert_eq!(opinion.shown(true).pace, Pace::Fast, "but live traffic hurries it");
    }

    #[test]
    fn times_are_told_as_they_were_last_and_smoothed() {
        let mut opinion = opinion();
        let ms = |ms| Some(Duration::from_millis(ms));
        opinion.flowed(Flowed { first_event: ms(100), gap: None });
        opinion.flowed(Flowed { first_event: ms(200), gap: ms(10) });
        let shown = opinion.shown(false);
        let first = shown.first_event.expect("two samples");
        assert_eq!((first.last.as_millis(), first.smoothed.as_millis()), (200, 120));
        assert_eq!(shown.gap.map(|gap| gap.smoothed.as_millis()), Some(10));
    }
}
