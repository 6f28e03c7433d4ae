//! A scenario of what really happened: from what a node's history says ([`past`]), or from its access log ([`log`]).
//!
//! Pure: the lines and rows are read by others. What a record cannot know it leaves as it usually is, and says so in a
//! comment: which programs asked, what their resolvers did, how long a region took by itself.

pub mod log;
pub mod past;

use super::scenario::check::load::WISHES_MAX;
use super::scenario::write::Notes;
use super::scenario::{Scenario, What, Whom};
use crate::health::Fault;
use crate::moment::rfc3339;
use crate::names::Label;
use std::time::Duration;

/// Requests a minute that are played at most, by all clients: above it each stands for several. Fewer in a
/// window so long that they would be more than a scenario may have.
const PER_MINUTE_MAX: f64 = 20_000.0;
/// Clients that are played at most.
const CLIENTS_MAX: u32 = 5_000;

/// The time that is recorded, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its begin.
    pub from: Duration,
    /// Its end, which is not in it.
    pub to: Duration,
}

impl Window {
    /// How long it is.
    #[must_use]
    pub fn lasts(self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// Whether something happened in it.
    #[must_use]
    pub fn has(self, wall: Duration) -> bool {
        (self.from..self.to).contains(&wall)
    }

    fn minutes(self) -> f64 {
        (self.lasts().as_secs_f64() / 60.0).max(1.0 / 60.0)
    }
}

/// A scenario with what is to be said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// What happened.
    pub scenario: Scenario,
    /// How that is known, and what is not.
    pub notes: Notes,
}

/// A scenario of that time in which nothing is known yet.
fn blank(window: Window) -> Scenario {
    let name = format!("what happened from {} to {}", rfc3339(window.from), rfc3339(window.to));
    Scenario { name, starts: window.from, lasts: window.lasts(), ..Scenario::default() }
}

/// Sets how many clients ask how often, so that together they ask `requests` times in the window.
fn set_rate(scenario: &mut Scenario, window: Window, requests: u64, clients: u64) {
    #[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
    let per_minute = requests as f64 / window.minutes();
    let most = PER_MINUTE_MAX.min(WISHES_MAX / 2.0 / window.minutes());
    let stands_for = (per_minute / most).ceil().clamp(1.0, 1e6);
    let clients = u32::try_from(clients).unwrap_or(u32::MAX).clamp(1, CLIENTS_MAX);
    scenario.crowd.clients = clients;
    scenario.crowd.stands_for = stands_for as u32;
    let each = per_minute / stands_for / f64::from(clients);
    scenario.crowd.per_minute = ((each * 1e4).round() / 1e4).min(6_000.0);
}

/// Weights that a file may have, in these proportions.
fn weights<T>(counts: impl Iterator<Item = (T, u64)>) -> Vec<(T, u32)> {
    let counts: Vec<(T, u64)> = counts.collect();
    let over = counts.iter().map(|(_, count)| *count).max().unwrap_or(0).div_ceil(1_000_000).max(1);
    let fit = |count: u64| u32::try_from((count / over).max(1)).unwrap_or(u32::MAX);
    counts.into_iter().map(|(what, count)| (what, fit(count))).collect()
}

/// Rounded down to whole milliseconds, as files write times.
fn whole(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What must have happened to a region that fails like this.
fn illness(fault: Fault, region: &Label) -> What {
    let whom = Whom::Regions(vec![region.clone()]);
    match fault {
        Fault::ConnectTimeout | Fault::Silent | Fault::Stalled | Fault::Late => What::BlackHole(whom),
        Fault::Status(status @ 400..=599) => What::Errors(whom, 1.0, status),
        Fault::Status(_) | Fault::Body | Fault::Protocol => What::Errors(whom, 1.0, 500),
        Fault::Unserved => What::Unserved(whom),
        _ => What::Refuse(whom),
    }
}
