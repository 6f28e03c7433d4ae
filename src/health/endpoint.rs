//! All that a node believes of one endpoint.

use super::ejection::Ejection;
use super::evidence::Evidence;
use super::latency::Latency;
use super::opinion::{Flowed, Opinion, Shown};
use super::ramp;
use super::verdict::{Pace, Verdict};
use super::{Fault, Reason, Standing};
use crate::moment::Moment;
use std::time::Duration;

/// Live traffic may count as a failed probe at most this often.
pub const PASSIVE_FAILURE_EVERY: Duration = Duration::from_secs(1);
/// After a failure seen by live traffic, probes go at the fast pace for so long.
pub const ALARM_LASTS: Duration = Duration::from_secs(2);

/// The machine of one endpoint: probes and live traffic in, standing out.
#[derive(Clone, Debug)]
pub struct EndpointHealth {
    /// What each probe says; the first is the one that is asked most often, and with which live traffic counts.
    opinions: Vec<Opinion>,
    /// What else was believed when the first probe last passed: to go back to if what came after was our own fault.
    at_last_pass: Option<(Ejection, Option<Moment>)>,
    is_excused: bool,
    /// What live traffic met lately.
    pub evidence: Evidence,
    ejection: Ejection,
    latency: Latency,
    recovered: Option<Moment>,
    has_passed: bool,
    failing_since: Option<Moment>,
    alarmed_until: Moment,
    passive_failure: Option<Moment>,
}

impl EndpointHealth {
    /// An endpoint nobody has asked yet, with these probes: at least one.
    #[must_use]
    pub fn new(opinions: Vec<Opinion>) -> Self {
        assert!(!opinions.is_empty(), "an endpoint has a probe");
        Self {
            opinions,
            at_last_pass: None,
            is_excused: false,
            evidence: Evidence::default(),
            ejection: Ejection::default(),
            latency: Latency::default(),
            recovered: None,
            has_passed: false,
            failing_since: None,
            alarmed_until: Moment::ZERO,
            passive_failure: None,
        }
    }

    /// A probe came back, after `elapsed`.
    pub fn probed(&mut self, now: Moment, result: Result<Duration, Fault>) {
        match result {
            Ok(elapsed) => {
                self.latency.observe(elapsed);
                self.has_passed = true;
                self.failing_since = None;
                if let Some(before) = self.at_last_pass.take().filter(|_| self.is_excused) {
                    (self.ejection, self.recovered) = before;
                    self.opinions.iter_mut().for_each(Opinion::forgive);
                }
                self.is_excused = false;
                self.conclude(now, 0, Ok(()));
                self.at_last_pass = Some((self.ejection.clone(), self.recovered));
            }
            Err(fault) => {
                self.failing_since.get_or_insert(now);
                self.conclude(now, 0, Err(fault));
            }
        }
    }

    /// A further probe came back: the one at `probe`, counted from 0. One that is no more is forgotten.
    pub fn further_probed(&mut self, now: Moment, probe: usize, result: Result<(), Fault>) {
        if probe < self.opinions.len() {
            self.conclude(now, probe, result);
        }
    }

    /// The stream that a probe opened flowed so.
    pub fn flowed(&mut self, probe: usize, flowed: Flowed) {
        if let Some(opinion) = self.opinions.get_mut(probe) {
            opinion.flowed(flowed);
        }
    }

    /// A request failed there. Only what no client can cause counts against it like a probe, and at most one a second.
    pub fn failed(&mut self, now: Moment, fault: Fault, prefix: u64) {
        self.alarmed_until = now + ALARM_LASTS;
        match fault {
            Fault::Refused | Fault::Unreachable | Fault::ConnectTimeout | Fault::Tls => {
                let ejected = self.ejection.connect_failed(now, fault);
                if ejected || self.passive_failure.is_none_or(|last| now.since(last) >= PASSIVE_FAILURE_EVERY) {
                    self.passive_failure = Some(now);
                    self.conclude(now, 0, Err(fault));
                }
            }
            Fault::Reset
            | Fault::Cut
            | Fault::Protocol
            | Fault::Silent
            | Fault::Stalled
            | Fault::Status(_)
            | Fault::Body => {
                self.evidence.failed(now, prefix);
            }
            Fault::Local | Fault::Unresolved | Fault::Late | Fault::Unserved | Fault::Unsuited => {}
        }
    }

    /// A connection was opened there since the last failure.
    pub fn connected(&mut self) {
        self.ejection.connected();
    }

    /// Stays away for its error rate.
    pub fn eject_for_errors(&mut self, now: Moment) {
        self.ejection.eject(now, Reason::ErrorRate);
        self.evidence.clear();
    }

    fn conclude(&mut self, now: Moment, probe: usize, result: Result<(), Fault>) {
        let was_down = self.veto().is_some();
        self.opinions[probe].concluded(result);
        match (was_down, self.veto().is_some()) {
            (false, true) => {
                // Comes and goes: held back for longer each time it falls.
                self.ejection.fell(now);
                self.recovered = None;
            }
            (true, false) => self.recovered = Some(now),
            _ => {}
        }
    }

    /// The node suspects itself of failures `since` then, or of none. What is so excused is unknown, is forgiven with the
    /// first pass, and has nothing to recover from; what failed before is not excused.
    pub fn suspect(&mut self, since: Option<Moment>) {
        self.is_excused = since.is_some_and(|since| self.failing_since().is_some_and(|failing| failing >= since));
    }

    /// Its standing, and why.
    #[must_use]
    pub fn standing(&self, now: Moment, slow_start: Duration) -> (Standing, Reason) {
        if self.is_excused {
            return (Standing::Unknown, Reason::SelfSuspicion);
        }
        match self.veto() {
            Some(reason) => (Standing::Down, reason),
            None => match self.ejection.active(now) {
                Some(reason) => (Standing::Ejected, reason),
                None if self.is_unknown() => (Standing::Unknown, Reason::NotProbed),
                None if self.latency.is_slow() => (Standing::Strained, Reason::Slow),
                None if self.share_percent(now, slow_start) < 100 => (Standing::Up, Reason::RampingUp),
                None => (Standing::Up, Reason::ProbesPass),
            },
        }
    }

    /// How much of its share it gets, percent.
    #[must_use]
    pub fn share_percent(&self, now: Moment, slow_start: Duration) -> u8 {
        self.ramps_since().map_or(100, |since| ramp::share_percent(now, since, slow_start))
    }

    /// When its share began to grow: when traffic could return, not while it was still held back.
    fn ramps_since(&self) -> Option<Moment> {
        self.recovered.map(|since| since.max(self.ejection.last_end()))
    }

    /// How quickly its first probe should ask.
    #[must_use]
    pub fn pace(&self, now: Moment) -> Pace {
        match self.opinions[0].verdict().pace() {
            // Our own network may be back any moment.
            _ if self.is_excused => Pace::Fast,
            Pace::Steady if self.is_alarmed(now) => Pace::Fast,
            pace => pace,
        }
    }

    /// What each probe says, in their order, and how quickly each should ask.
    pub fn opinions(&self, now: Moment) -> impl Iterator<Item = Shown> {
        let is_alarmed = self.is_alarmed(now);
        let first = Shown { pace: self.pace(now), ..self.opinions[0].shown(is_alarmed) };
        let further = self.opinions[1..].iter().map(move |opinion| opinion.shown(is_alarmed));
        std::iter::once(first).chain(further)
    }

    /// When time alone next changes its standing, its share or how quickly it should be asked; `None`: never.
    #[must_use]
    pub fn wakes_at(&self, now: Moment, slow_start: Duration) -> Option<Moment> {
        let alarm = Some(self.alarmed_until).filter(|until| *until > now);
        let ramp = self.ramps_since().and_then(|since| ramp::grows_at(now, since, slow_start));
        alarm.into_iter().chain(self.ejection.ends(now)).chain(ramp).min()
    }

    fn is_alarmed(&self, now: Moment) -> bool {
        now < self.alarmed_until || self.ejection.active(now).is_some()
    }

    /// Why it is down, if any probe says so.
    fn veto(&self) -> Option<Reason> {
        let (at, down) = self.opinions.iter().enumerate().find(|(_, opinion)| opinion.verdict().is_down())?;
        let fault = down.fault().unwrap_or(Fault::Silent);
        Some(if at == 0 { Reason::ProbesFail(fault) } else { Reason::FurtherFails(down.kind(), fault) })
    }

    /// Whether a probe has not come back yet: it is up only if every probe passes.
    fn is_unknown(&self) -> bool {
        self.opinions.iter().any(|opinion| matches!(opinion.verdict(), Verdict::Unknown { .. }))
    }

    /// Since when its probes have failed without a pass. An endpoint that never passed is no witness against us.
    #[must_use]
    pub fn failing_since(&self) -> Option<Moment> {
        self.failing_since.filter(|_| self.has_passed)
    }

    /// What speed it has.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Whether traffic stays away from it for its error rate now.
    #[must_use]
    pub fn is_ejected(&self, now: Moment) -> bool {
        self.ejection.active(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::verdict::Needed;

    const SLOW_START: Duration = Duration::from_secs(60);
    const NEEDED: Needed = Needed { rise: 3, fall: 3, reset_ok: 10 };

    fn at(ms: u64) -> Moment {
        Moment::at(Duration::from_millis(ms))
    }

    fn health() -> EndpointHealth {
        let mut health = EndpointHealth::new(vec![Opinion::new("http", NEEDED)]);
        health.probed(at(0), Ok(Duration::from_millis(10)));
        health
    }

    fn standing(health: &EndpointHealth, ms: u64) -> (Standing, Reason) {
        health.standing(at(ms), SLOW_START)
    }

    #[test]
    fn refusals_of_live_traffic_eject_at_once_and_hurry_the_probes() {
        let mut health = health();
        assert_eq!(health.pace(at(1)), Pace::Steady);
        health.failed(at(1), Fault::Refused, 1);
        assert_eq!(health.pace(at(2)), Pace::Fast);
        health.failed(at(2), Fault::Refused, 1);
        assert_eq!(standing(&health, 3).0, Standing::Up);
        health.failed(at(3), Fault::Refused, 1);
        assert_eq!(standing(&health, 3), (Standing::Ejected, Reason::Traffic(Fault::Refused)));
    }

    #[test]
    fn what_a_client_can_cause_never_counts_as_a_probe() {
        let mut health = health();
        for n in 0..1_000 {
            health.failed(at(n * 100), Fault::Status(500), n);
            health.failed(at(n * 100), Fault::Reset, n);
        }
        assert_eq!(standing(&health, 100_000).0, Standing::Up);
    }

    #[test]
    fn recovery_is_slow_only_after_a_real_failure() {
        let mut health = health();
        assert_eq!(health.share_percent(at(1), SLOW_START), 100);
        (0..3).for_each(|n| health.probed(at(1_000 + n), Err(Fault::Silent)));
        assert_eq!(standing(&health, 1_010), (Standing::Down, Reason::ProbesFail(Fault::Silent)));
        (0..3).for_each(|n| health.probed(at(20_000 + n), Ok(Duration::from_millis(10))));
        assert_eq!(standing(&health, 20_003), (Standing::Up, Reason::RampingUp));
        assert_eq!(health.share_percent(at(20_003), SLOW_START), 5);
        assert_eq!(health.share_percent(at(80_003), SLOW_START), 100);
    }

    #[test]
    fn an_endpoint_that_flaps_is_held_back() {
        let mut health = health();
        (0..3).for_each(|n| health.probed(at(1_000 + n), Err(Fault::Refused)));
        (0..3).for_each(|n| health.probed(at(2_000 + n), Ok(Duration::from_millis(10))));
        assert_eq!(standing(&health, 2_003), (Standing::Ejected, Reason::HeldBack));
        assert_eq!(standing(&health, 6_100), (Standing::Up, Reason::RampingUp));
        assert_eq!(health.share_percent(at(6_100), SLOW_START), 5, "the ramp starts when traffic may return");
    }

    #[test]
    fn a_node_that_suspects_itself_calls_nothing_down_and_nothing_has_to_recover() {
        let mut health = health();
        (0..3).for_each(|n| health.probed(at(1_000 + n), Err(Fault::Silent)));
        health.suspect(Some(at(1_000)));
        assert_eq!(standing(&health, 1_010), (Standing::Unknown, Reason::SelfSuspicion));
        assert_eq!(health.pace(at(1_010)), Pace::Fast);
        health.probed(at(9_000), Ok(Duration::from_millis(10)));
        assert_eq!(standing(&health, 9_000), (Standing::Up, Reason::ProbesPass));
        assert_eq!(health.share_percent(at(9_000), SLOW_START), 100);
    }

    #[test]
    fn what_was_down_before_is_not_excused() {
        let mut health = health();
        (0..3).for_each(|n| health.probed(at(1_000 + n), Err(Fault::Silent)));
        health.suspect(Some(at(5_000)));
        assert_eq!(standing(&health, 5_010).0, Standing::Down);
        health.suspect(Some(at(1_000)));
        health.suspect(None);
        assert_eq!(standing(&health, 5_020).0, Standing::Down, "nor is what still fails when suspicion ends");
    }

    #[test]
    fn it_is_up_only_if_every_probe_passes_and_each_counts_for_itself() {
        let mut health = EndpointHealth::new(vec![Opinion::new("http", NEEDED), Opinion::new("token", NEEDED)]);
        health.probed(at(0), Ok(Duration::from_millis(10)));
        assert_eq!(standing(&health, 1), (Standing::Unknown, Reason::NotProbed), "half is not all");
        health.further_probed(at(1), 1, Ok(()));
        assert_eq!(standing(&health, 2), (Standing::Up, Reason::ProbesPass));
        for n in 0..3 {
            health.further_probed(at(10 + n), 1, Err(Fault::Stalled));
            (0..20).for_each(|_| health.probed(at(10 + n), Ok(Duration::from_millis(10))));
        }
        assert_eq!(standing(&health, 20), (Standing::Down, Reason::FurtherFails("token", Fault::Stalled)));
        assert_eq!(health.pace(at(15_000)), Pace::Steady, "the probe that passes is in no doubt");
        (0..3).for_each(|n| health.further_probed(at(20_000 + n), 1, Ok(())));
        assert_eq!(standing(&health, 20_003), (Standing::Up, Reason::RampingUp));
    }

    #[test]
    fn what_was_our_own_fault_is_forgiven_to_every_probe() {
        let needed = Needed { fall: 1, ..NEEDED };
        let mut health = EndpointHealth::new(vec![Opinion::new("http", needed), Opinion::new("token", needed)]);
        health.probed(at(0), Ok(Duration::from_millis(10)));
        health.further_probed(at(0), 1, Ok(()));
        health.probed(at(1_000), Err(Fault::Silent));
        health.further_probed(at(1_001), 1, Err(Fault::Silent));
        health.suspect(Some(at(1_000)));
        health.probed(at(9_000), Ok(Duration::from_millis(10)));
        assert_eq!(standing(&health, 9_000), (Standing::Up, Reason::ProbesPass));
    }
}
