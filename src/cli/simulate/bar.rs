//! How far a simulation is: one line on a terminal, written anew ten times a second.

use crate::moment::{Clock, Moment};
use crate::sim::scenario::Scenario;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Between two looks at the clock, events: looking costs more than most of them.
const EVENTS: u32 = 2_048;
/// Between two lines.
const EVERY: Duration = Duration::from_millis(100);
/// How many characters are full at the end.
const WIDTH: usize = 30;

/// The line.
pub(super) struct Bar {
    clock: Clock,
    is_shown: bool,
    name: String,
    lasts: Duration,
    events: u32,
    shown_at: Moment,
}

impl Bar {
    /// One for `scenario`, shown only to a person at a terminal.
    pub(super) fn new(clock: Clock, scenario: &Scenario, is_quiet: bool) -> Self {
        let is_shown = !is_quiet && std::io::stderr().is_terminal();
        let name = super::printable(&scenario.name);
        Self { clock, is_shown, name, lasts: scenario.lasts, events: 0, shown_at: Moment::ZERO }
    }

    /// The world is at `now`.
    pub(super) fn at(&mut self, now: Moment) {
        self.events += 1;
        if !self.is_shown || !self.events.is_multiple_of(EVENTS) {
            return;
        }
        let real = self.clock.now();
        if real.since(self.shown_at) >= EVERY {
            self.shown_at = real;
            let line = line(&self.name, now.since(Moment::ZERO), self.lasts, real.since(Moment::ZERO));
            let mut out = std::io::stderr().lock();
            // Nobody misses a line that cannot be shown.
            let _ = write!(out, "\r\u{1b}[K{line}").and_then(|()| out.flush());
        }
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn line(name: &str, now: Duration, lasts: Duration, real: Duration) -> String {
    let share = now.as_secs_f64() / lasts.as_secs_f64().max(1e-9);
    let full = (share * WIDTH as f64) as usize;
    let bar: String = (0..WIDTH).map(|at| if at < full { '█' } else { '░' }).collect();
    let clock = |time: Duration| {
        format!("{}:{:02}:{:02}", time.as_secs() / 3_600, time.as_secs() / 60 % 60, time.as_secs() % 60)
    };
    let times = now.as_secs_f64() / real.as_secs_f64().max(1e-3);
    format!("{name} {bar} {} of {}, {times:.0} times real time", clock(now), clock(lasts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let seconds = Duration::from_secs;
        let shown = line("monday", seconds(1_800), seconds(7_200), seconds(2));
        assert_eq!(shown.matches('█').count(), 7);
        assert!(shown.ends_with("0:30:00 of 2:00:00, 900 times real time"), "{shown}");
    }
}
