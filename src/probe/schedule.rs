//! What is due: a machine.
//!
//! A steady endpoint is asked once an interval, one in doubt more often. A probe that takes longer than usual raises the
//! doubt before it times out: further probes are sent beside it, and when the first times out, the late ones fail with
//! it, as do those that become late after it, so that silence is believed after one timeout and not after three.

use crate::health::Fault;
use crate::health::verdict::Pace;
use crate::limits::PROBES_IN_FLIGHT_MAX;
use crate::moment::{Dice, Moment};
use crate::snapshot::{EndpointId, Snapshot};
use crate::topology::{EndpointIndex, Probe};
use std::sync::Arc;
use std::time::Duration;

/// A probe is late after this many times its usual time (and never before the fast interval).
pub const LATE_AFTER_TIMES: f64 = 1.25;
/// Intervals are shorter by up to this share, so that nodes do not ask in step. Never longer: an interval is a promise.
pub const JITTER: f64 = 0.1;
/// Weight of a new sample in what is usual.
const SMOOTHING: f64 = 0.2;
/// How far ahead the machine plans when there is nothing to do.
const IDLE_WAKE: Duration = Duration::from_secs(1);

/// A probe to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Whom to ask, in the snapshot last followed.
    pub endpoint: EndpointIndex,
    /// Who that is over all snapshots.
    pub id: EndpointId,
    /// Which of its probes, counted from 0.
    pub probe: usize,
    /// Which launch this is.
    pub serial: u64,
}

/// What is learnt of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// Whose.
    pub endpoint: EndpointId,
    /// Which of its probes, counted from 0.
    pub probe: usize,
    /// How long it took, or what went wrong.
    pub result: Result<Duration, Fault>,
}

#[derive(Debug)]
struct Flight {
    serial: u64,
    started: Moment,
    is_late: bool,
}

#[derive(Debug)]
struct Watched {
    id: EndpointId,
    endpoint: EndpointIndex,
    number: usize,
    probe: Arc<Probe>,
    pace: Pace,
    usual: Option<f64>,
    /// How long a flight may take before it is late.
    late_after: Duration,
    launched: Moment,
    next: Moment,
    flights: Vec<Flight>,
    /// How the last probe failed, if nobody answered it and nobody answered since.
    silence: Option<Fault>,
    /// When a flight becomes late or the next probe is due; `None`: not before a flight comes back.
    wakes_at: Option<Moment>,
}

/// When to ask whom.
#[derive(Debug)]
pub struct Schedule {
    watched: Vec<Watched>,
    dice: Dice,
    serial: u64,
    /// The generation last followed.
    followed: Option<u64>,
    /// The first moment at which one of the watched wakes.
    wakes_at: Option<Moment>,
    /// Whether late flights may have to be given up before that.
    is_stirred: bool,
}

impl Schedule {
    /// Nobody to ask yet.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self { watched: Vec::new(), dice, serial: 0, followed: None, wakes_at: None, is_stirred: false }
    }

    /// Takes over the endpoints of `snapshot` and the pace each needs, unless it did. A new one is asked at once; one whose
    /// pace quickens is asked soon.
    pub fn follow(&mut self, now: Moment, snapshot: &Snapshot) {
        if self.followed.replace(snapshot.generation) == Some(snapshot.generation) {
            return;
        }
        let mut count = 0;
        for (at, state) in snapshot.endpoints.iter().enumerate() {
            let endpoint = EndpointIndex::of(at);
            let region = snapshot.topology.region(snapshot.topology.endpoint(endpoint).region);
            for (number, (probe, said)) in region.probes().zip(&state.probes).enumerate() {
                let is_it = |watched: &Watched| watched.id == state.id && watched.number == number;
                let place = match self.watched[count..].iter().position(is_it) {
                    Some(further) => count + further,
                    None => {
                        self.watched.push(Watched::new(now, state.id, number, probe, said.pace));
                        self.watched.len() - 1
                    }
                };
                self.watched.swap(count, place);
                self.watched[count].follow(now, endpoint, probe, said.pace);
                count += 1;
            }
        }
        self.watched.truncate(count);
        self.is_stirred = true;
        self.settle();
    }

    /// The probes to send `now`.
    pub fn due(&mut self, now: Moment) -> Vec<Launch> {
        let mut launches = Vec::new();
        if !wakes(self.wakes_at, now) {
            return launches;
        }
        for watched in self.watched.iter_mut().filter(|watched| wakes(watched.wakes_at, now)) {
            self.is_stirred |= watched.notice_lateness(now);
            if now >= watched.next && watched.flights.len() < PROBES_IN_FLIGHT_MAX {
                self.serial += 1;
                watched.flights.push(Flight { serial: self.serial, started: now, is_late: false });
                watched.launched = now;
                watched.next = now + watched.interval().mul_f64(1.0 - JITTER * self.dice.fraction());
                let Watched { endpoint, id, number: probe, .. } = *watched;
                launches.push(Launch { endpoint, id, probe, serial: self.serial });
            }
            watched.settle();
        }
        self.settle();
        launches
    }

    /// A probe came back. Returns what is learnt: nothing if it was already counted, several failures if its timeout
    /// speaks for the late ones too.
    pub fn finished(
        &mut self,
        now: Moment,
        id: EndpointId,
        serial: u64,
        result: Result<Duration, Fault>,
    ) -> impl Iterator<Item = Learnt> + use<> {
        let own = self.watched.iter_mut().filter(|watched| watched.id == id);
        let flown = own.filter_map(|watched| Some((watched.flight(serial)?, watched))).next();
        let learnt = flown.map(|(at, watched)| watched.finished(now, at, result));
        self.settle();
        learnt.into_iter().flatten()
    }

    /// What is learnt from waiting alone: after a probe that nobody answered, those that become late fail as well.
    pub fn overdue(&mut self, now: Moment) -> Vec<Learnt> {
        let mut learnt = Vec::new();
        if !self.is_stirred && !wakes(self.wakes_at, now) {
            return learnt;
        }
        let is_stirred = self.is_stirred;
        for watched in self.watched.iter_mut().filter(|watched| is_stirred || wakes(watched.wakes_at, now)) {
            watched.notice_lateness(now);
            // One that is down is given its time: it may come back slow.
            if watched.pace != Pace::Down {
                learnt.extend(watched.silence.map(|fault| watched.give_up_late(fault)).into_iter().flatten());
            }
            watched.settle();
        }
        self.is_stirred = false;
        self.settle();
        learnt
    }

    /// When there will be something to do.
    #[must_use]
    pub fn wake_at(&self, now: Moment) -> Moment {
        self.wakes_at.unwrap_or(now + IDLE_WAKE)
    }

    fn settle(&mut self) {
        self.wakes_at = self.watched.iter().filter_map(|watched| watched.wakes_at).min();
    }
}

fn wakes(wakes_at: Option<Moment>, now: Moment) -> bool {
    wakes_at.is_some_and(|wakes_at| wakes_at <= now)
}

impl Watched {
    fn new(now: Moment, id: EndpointId, number: usize, probe: &Arc<Probe>, pace: Pace) -> Self {
        Self {
            id,
            endpoint: EndpointIndex::of(0),
            number,
            probe: Arc::clone(probe),
            pace,
            usual: None,
            late_after: probe.fast_interval,
            launched: now,
            next: now,
            flights: Vec::new(),
            silence: None,
            wakes_at: Some(now),
        }
    }

    fn follow(&mut self, now: Moment, endpoint: EndpointIndex, probe: &Arc<Probe>, pace: Pace) {
        self.endpoint = endpoint;
        if !Arc::ptr_eq(&self.probe, probe) {
            self.probe = Arc::clone(probe);
            self.late_after = self.late_after();
        }
        if self.pace != pace {
            self.pace = pace;
            // Counted from the last probe, not from its answer: the round trip is no part of the interval.
            self.next = self.next.min((self.launched + self.interval()).max(now));
        }
        self.settle();
    }

    /// The flight at `at` came back: what is learnt from it, and of the late ones that fail with it.
    fn finished(
        &mut self,
        now: Moment,
        at: usize,
        result: Result<Duration, Fault>,
    ) -> impl Iterator<Item = Learnt> + use<> {
        self.notice_lateness(now);
        let flight = self.flights.remove(at);
        self.silence = result.err().filter(|fault| fault.is_silence());
        if result.is_ok() {
            // The whole flight, from the first packet on: what is late is measured by that too.
            let sample = now.since(flight.started).as_secs_f64();
            self.usual = Some(self.usual.map_or(sample, |usual| usual + (sample - usual) * SMOOTHING));
            self.late_after = self.late_after();
        }
        let late = self.silence.map(|fault| self.give_up_late(fault));
        self.settle();
        std::iter::once(self.learnt(result)).chain(late.into_iter().flatten())
    }

    /// The late ones fail in this way, which was silence.
    fn give_up_late(&mut self, fault: Fault) -> impl Iterator<Item = Learnt> + use<> {
        let before = self.flights.len();
        self.flights.retain(|flight| !flight.is_late);
        std::iter::repeat_n(self.learnt(Err(fault)), before - self.flights.len())
    }

    fn learnt(&self, result: Result<Duration, Fault>) -> Learnt {
        Learnt { endpoint: self.id, probe: self.number, result }
    }

    /// Where the flight of that number is among those under way.
    fn flight(&self, serial: u64) -> Option<usize> {
        self.flights.iter().position(|flight| flight.serial == serial)
    }

    fn interval(&self) -> Duration {
        match self.pace {
            _ if self.late() > 0 => self.probe.fast_interval,
            Pace::Steady => self.probe.interval,
            Pace::Fast => self.probe.fast_interval,
            Pace::Down => self.probe.down_interval,
        }
    }

    fn late_after(&self) -> Duration {
        let usual = Duration::from_secs_f64(self.usual.unwrap_or(0.0) * LATE_AFTER_TIMES);
        usual.max(self.probe.fast_interval)
    }

    /// The first late probe starts the next one now. One that is down is not in doubt: silence is what we expect of it.
    /// Nor is one that is known to be silent: each late one would start another, and they would become ever more.
    /// Returns whether one has become late.
    fn notice_lateness(&mut self, now: Moment) -> bool {
        let before = self.late();
        for flight in &mut self.flights {
            flight.is_late |= now.since(flight.started) >= self.late_after;
        }
        let late = self.late();
        if before == 0 && late > 0 && self.pace != Pace::Down && self.silence.is_none() {
            self.next = self.next.min(now);
        }
        late > before
    }

    fn late(&self) -> usize {
        self.flights.iter().filter(|flight| flight.is_late).count()
    }

    /// Finds out when it wakes, after whatever may have changed that.
    fn settle(&mut self) {
        let flights = self.flights.iter().filter(|flight| !flight.is_late);
        let lateness = flights.map(|flight| flight.started + self.late_after);
        let launch = (self.flights.len() < PROBES_IN_FLIGHT_MAX).then_some(self.next);
        self.wakes_at = lateness.chain(launch).min();
    }
}

#[cfg(test)]
mod tests;
