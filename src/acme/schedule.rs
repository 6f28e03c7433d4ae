//! When a certificate is ordered.
//!
//! A machine on the wall clock, because certificates are. Where the directory suggests a window (RFC 9773) the time is chosen
//! in it, once for each window, so that a fleet of clients spreads over it; elsewhere it is at two thirds of the certificate's
//! life. An attempt counts as failed from its beginning: a node that dies in the middle of one comes back with patience,
//! because public authorities count failures by the hour and lock out whoever hammers.
//!
//! | state of the certificate | what is next |
//! | --- | --- |
//! | none, or not the one asked for | order at once |
//! | good | ask for the window when it grows old; order when the chosen time has come |
//! | an attempt failed | order after a random wait that may be twice as long each time; the certificate stays |
//! | it failed before the directory looked | the same, from seconds on: nothing was counted there |

use crate::moment::Dice;
use std::time::Duration;

/// A window is asked for again no sooner than this, whatever the directory says (RFC 9773 §4.3.3).
pub const ASK_AGAIN_MIN: Duration = Duration::from_secs(60);
/// And no later than this; also where the directory knows of no windows, because it may learn.
pub const ASK_AGAIN_MAX: Duration = Duration::from_secs(86_400);
/// A window is asked for again after this if the directory does not say when, or could not answer (RFC 9773 §4.3.3).
pub const ASK_AGAIN: Duration = Duration::from_secs(6 * 3_600);
/// Longest wait that a directory may ask for: beyond a day a certificate may end.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);
/// Without a window: the part of a certificate's life after which it is replaced, at the latest.
const RENEWED_AFTER: f64 = 2.0 / 3.0;
/// And how much earlier at most, so that nodes that were started together do not order together.
const EARLIER_MAX: f64 = 1.0 / 20.0;
/// A window that lies later than this part of a certificate's life leaves no room for failures: it is cut off here.
const WINDOW_ENDS_AFTER: f64 = 0.9;
/// The least part of its random range that a wait has: chance alone would also say "at once".
const WAIT_SHARE_MIN: f64 = 0.1;
/// How many days before its end a certificate that should have been replaced is told of.
const ALARM_DAYS: [u64; 4] = [3, 7, 14, 30];

/// From when to when a certificate is good, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its first second.
    pub not_before: Duration,
    /// Its last.
    pub not_after: Duration,
}

impl Life {
    /// The time at which this part of it is over.
    fn after(self, part: f64) -> Duration {
        self.not_before + self.not_after.saturating_sub(self.not_before).mul_f64(part)
    }
}

/// When the directory would like a certificate to be replaced, since the Unix epoch (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here.
    pub start: Duration,
    /// Until here.
    pub end: Duration,
}

/// How patient it is after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// The same after a failure that cost nothing at the directory.
    pub free: Duration,
    /// How long our own DNS has to answer with a challenge. It is the same process and takes milliseconds; but a machine that
    /// has no time for us may take long, and the order waits for days where it is.
    pub look: Duration,
    /// The longest wait of all; also the shortest time between two orders that succeed.
    pub max: Duration,
}

impl Pace {
    /// Some five attempts in the first hour and two in each later one: the most careful public authority locks out after
    /// five failures an hour. What costs nothing there is tried again within seconds first, so that a node that comes up on a
    /// busy machine, or before its network, does not wait minutes for its certificate.
    pub const DEFAULT: Self = Self {
        first: Duration::from_secs(300),
        free: Duration::from_secs(5),
        look: Duration::from_secs(60),
        max: Duration::from_secs(3_600),
    };
}

/// What is remembered over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Attempts since the last one that succeeded.
    pub failures: u32,
    /// No attempt before this, since the Unix epoch.
    pub retry_at: Duration,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Order a certificate.
    Order,
    /// Ask the directory for the window.
    Ask,
    /// Nothing, for so long.
    Wait(Duration),
}

/// What a person should know of a certificate that should have been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// It ends within so many days.
    Days(u64),
    /// It has ended.
    Over,
}

/// When what is due.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    dice: Dice,
    /// Of the certificate that was asked for, if there is one.
    life: Option<Life>,
    window: Option<Window>,
    renew_at: Duration,
    ask_at: Duration,
    past: Past,
    wait: Duration,
    /// Instead of `wait`, if the attempt turns out to have cost nothing.
    free_wait: Duration,
    told: Option<Alarm>,
}

impl Schedule {
    /// The schedule for a certificate that has this `life`, or for one that is missing.
    #[must_use]
    pub fn new(life: Option<Life>, past: Past, pace: Pace, mut dice: Dice) -> Self {
        let renew_at = life.map_or(Duration::ZERO, |life| usual(life, &mut dice));
        let (ask_at, wait, free_wait) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Self { pace, dice, life, window: None, renew_at, ask_at, past, wait, free_wait, told: None }
    }

    /// What is next.
    #[must_use]
    pub fn due(&self, wall: Duration) -> Step {
        // A clock that was set back must not keep us from acting for longer than any wait that was meant.
        let retry_at = self.past.retry_at.min(wall + RETRY_AFTER_MAX);
        let order_at = self.renew_at.max(retry_at);
        if order_at <= wall {
            return Step::Order;
        }
        if self.life.is_none() {
            return Step::Wait(order_at - wall);
        }
        if self.ask_at <= wall || self.ask_at > wall + ASK_AGAIN_MAX {
            return Step::Ask;
        }
        Step::Wait(order_at.min(self.ask_at) - wall)
    }

    /// When the certificate is to be replaced, as it looks now.
    #[must_use]
    pub fn renew_at(&self) -> Duration {
        self.renew_at
    }

    /// The directory suggests `window`, or knows of none, and wants to be asked again after `ask_again`.
    pub fn suggested(&mut self, window: Option<Window>, ask_again: Duration, wall: Duration) {
        self.ask_at = wall + ask_again.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX);
        let Some((life, window)) = self.life.zip(window.filter(|window| self.window != Some(*window))) else { return };
        self.window = Some(window);
        let latest = life.after(WINDOW_ENDS_AFTER);
        let (start, end) = (window.start.min(latest), window.end.min(latest));
        let chosen = start + end.saturating_sub(start).mul_f64(self.dice.fraction());
        // A directory that always says "now" is not obeyed without end.
        self.renew_at =
            chosen.max(life.not_before + self.pace.max.min(life.not_after.saturating_sub(life.not_before) / 2));
    }

    /// An attempt begins. What to remember of it, unless it succeeds.
    pub fn begin(&mut self, wall: Duration) -> Past {
        let doublings = self.past.failures.min(16);
        let share = WAIT_SHARE_MIN + (1.0 - WAIT_SHARE_MIN) * self.dice.fraction();
        let wait = |first: Duration| first.saturating_mul(1 << doublings).min(self.pace.max).mul_f64(share);
        (self.wait, self.free_wait) = (wait(self.pace.first), wait(self.pace.free));
        self.past = Past { failures: self.past.failures.saturating_add(1), retry_at: wall + self.wait };
        self.past
    }

    /// The attempt failed, maybe at no cost to what the directory thinks of us; it may have said how long not to come again.
    /// How long it will be.
    pub fn failed(&mut self, is_free: bool, retry_after: Option<Duration>, wall: Duration) -> Duration {
        let wait = if is_free { self.free_wait } else { self.wait };
        let wait = wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        self.past.retry_at = wall + wait;
        wait
    }

    /// What is to be remembered.
    #[must_use]
    pub fn past(&self) -> Past {
        self.past
    }

    /// The attempt brought a certificate with this `life`.
    pub fn obtained(&mut self, life: Life, wall: Duration) {
        // A certificate that is old already, by its own account or by our clock, is no reason to order another at once.
        let left = life.not_after.saturating_sub(wall);
        self.renew_at = usual(life, &mut self.dice).max(wall + left / 3);
        (self.life, self.window, self.ask_at) = (Some(life), None, wall);
        (self.past, self.told) = (Past::default(), None);
    }

    /// Whether a person should hear, once for each, that the certificate in force comes to its end unreplaced.
    pub fn alarm(&mut self, wall: Duration) -> Option<Alarm> {
        let life = self.life.filter(|_| self.renew_at <= wall && self.past.failures > 0)?;
        let left = life.not_after.saturating_sub(wall);
        let days = |days: &u64| left <= Duration::from_secs(days * 86_400);
        let alarm = if left.is_zero() { Alarm::Over } else { Alarm::Days(ALARM_DAYS.into_iter().find(days)?) };
        (self.told.replace(alarm) != Some(alarm)).then_some(alarm)
    }
}

/// When a certificate is replaced that nobody suggests a window for.
fn usual(life: Life, dice: &mut Dice) -> Duration {
    life.after(RENEWED_AFTER - EARLIER_MAX * dice.fraction())
}

#[cfg(test)]
mod tests;
