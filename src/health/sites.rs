//! Which of the other sites answer, as far as this node can tell, and whom DNS must leave out.
//!
//! A site that others can only reach by an address that several share is judged by nobody: anycast decides who gets there.
//! Nor does a node judge itself. When more than half of those that are judged begin to fail at about the same time, the
//! likelier cause is this node's own network; and however many fail, as many stay in the answers as a fleet needs.

use super::Fault;
use super::verdict::{Needed, Outcome, Pace, Verdict};
use crate::moment::Moment;
use crate::names::Label;
use crate::topology::{Site, Topology};
use std::net::SocketAddr;
use std::time::Duration;

/// Outcomes that change a mind.
pub const NEEDED: Needed = Needed { rise: 3, fall: 3, reset_ok: 10 };
/// Failures that begin within this time of each other may have one cause: sites are asked in turn, each once in it.
pub const SUSPICION_WINDOW: Duration = Duration::from_secs(15);
/// Sites that are never left out together, whatever fails.
pub const OFFERED_MIN: usize = 2;
/// What a site answers that is to be left alone: its node starts or stops.
pub const DRAINING: Fault = Fault::Status(503);

/// What a node believes of one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is this node's own.
    Here,
    /// It has no address of its own, so that nobody can tell whom one reaches.
    Shared,
    /// Nothing is known yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not, in this way.
    Down(Fault),
}

impl Standing {
    /// How JSON and metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Shared => "shared",
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down(DRAINING) => "draining",
            Self::Down(_) => "down",
        }
    }
}

/// The state of one site, at one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteState {
    /// What is believed of it.
    pub standing: Standing,
    /// Since when.
    pub since: Moment,
    /// Whether DNS leaves it out of its answers.
    pub is_left_out: bool,
    /// How quickly it should be asked; `None`: not at all.
    pub pace: Option<Pace>,
}

/// All sites, in the order of the topology.
#[derive(Debug, Default)]
pub struct Sites(Vec<Known>);

#[derive(Debug)]
struct Known {
    name: Label,
    own: Vec<SocketAddr>,
    is_here: bool,
    has_addresses: bool,
    verdict: Verdict,
    fault: Fault,
    failing_since: Option<Moment>,
    standing: Standing,
    since: Moment,
}

impl Sites {
    /// Takes over the sites of `topology`, of which this node is at `here`. What is known follows by name where the way there
    /// is the same.
    pub fn reload(&mut self, now: Moment, topology: &Topology, here: &Site) {
        let mut old = std::mem::take(&mut self.0);
        for (at, site) in topology.sites.iter().enumerate() {
            let (own, is_here) = (topology.own_addresses(at), site.name == here.name);
            let before = old.iter().position(|known| known.name == site.name && known.own == own);
            let mut known = before.map_or_else(|| Known::new(now, site), |before| old.swap_remove(before));
            (known.own, known.is_here, known.has_addresses) = (own, is_here, !site.addresses.is_empty());
            known.stand(now);
            self.0.push(known);
        }
    }

    /// A site answered, or did not. One that is no more is forgotten.
    pub fn asked(&mut self, now: Moment, name: &Label, result: Result<(), Fault>) {
        let Some(known) = self.0.iter_mut().find(|known| known.name == *name) else { return };
        // Whoever says itself that it is to be left alone need not say so again.
        let times = if result == Err(DRAINING) { NEEDED.fall } else { 1 };
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        known.verdict = (0..times).fold(known.verdict, |verdict, _| verdict.after(outcome, NEEDED));
        known.failing_since = result.err().map(|_| known.failing_since.unwrap_or(now));
        known.fault = result.err().unwrap_or(known.fault);
        known.stand(now);
    }

    /// What is believed now; `suspected`: since when this node suspects its own network for other reasons, if it does.
    #[must_use]
    pub fn states(&self, suspected: Option<Moment>) -> Vec<SiteState> {
        let suspected = self.suspected().into_iter().chain(suspected).min();
        let is_excused = |known: &Known| {
            known.fault != DRAINING && suspected.is_some_and(|since| known.failing_since.is_some_and(|at| at >= since))
        };
        let mut down: Vec<usize> =
            (0..self.0.len()).filter(|at| self.0[*at].is_down() && !is_excused(&self.0[*at])).collect();
        down.sort_by_key(|at| self.0[*at].since);
        let offered = self.0.iter().filter(|known| known.has_addresses).count();
        down.truncate(offered.saturating_sub(offered.div_ceil(2).max(OFFERED_MIN)));
        let state = |(at, known): (usize, &Known)| SiteState {
            standing: known.standing,
            since: known.since,
            is_left_out: down.contains(&at),
            pace: known.is_judged().then(|| known.verdict.pace()),
        };
        self.0.iter().enumerate().map(state).collect()
    }

    /// Since when the failures look like our own, if they do: more than half of those that are judged are down, and began to
    /// fail within one window.
    fn suspected(&self) -> Option<Moment> {
        let judged = self.0.iter().filter(|known| known.is_judged()).count();
        let failing = self.0.iter().filter(|known| known.is_down() && known.fault != DRAINING);
        let mut began: Vec<Moment> = failing.filter_map(|known| known.failing_since).collect();
        began.sort_unstable();
        let together =
            |first: usize| began[first..].iter().filter(|at| at.since(began[first]) <= SUSPICION_WINDOW).count();
        (0..began.len()).find(|first| together(*first) * 2 > judged).map(|first| began[first])
    }
}

impl Known {
    fn new(now: Moment, site: &Site) -> Self {
        Self {
            name: site.name.clone(),
            own: Vec::new(),
            is_here: false,
            has_addresses: false,
            verdict: Verdict::default(),
            fault: Fault::Silent,
            failing_since: None,
            standing: Standing::Unknown,
            since: now,
        }
    }

    fn is_judged(&self) -> bool {
        !self.is_here && !self.own.is_empty()
    }

    fn is_down(&self) -> bool {
        matches!(self.standing, Standing::Down(_))
    }

    fn stand(&mut self, now: Moment) {
        let standing = match self.verdict {
            _ if self.is_here => Standing::Here,
            _ if self.own.is_empty() => Standing::Shared,
            Verdict::Unknown { .. } => Standing::Unknown,
            Verdict::Up { .. } => Standing::Up,
            Verdict::Down { .. } => Standing::Down(self.fault),
        };
        if standing.as_str() != self.standing.as_str() {
            self.since = now;
        }
        self.standing = standing;
    }
}

#[cfg(test)]
mod tests;
