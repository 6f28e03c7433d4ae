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
    launched: Moment,
    next: Moment,
    flights: Vec<Flight>,
    /// How the last probe failed, if nobody answered it and nobody answered since.
    silence: Option<Fault>,
}

/// When to ask whom.
#[derive(Debug)]
pub struct Schedule {
    watched: Vec<Watched>,
    dice: Dice,
    serial: u64,
}

impl Schedule {
    /// Nobody to ask yet.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self { watched: Vec::new(), dice, serial: 0 }
    }

    /// Takes over the endpoints of `snapshot` and the pace each needs. A new one is asked at once; one whose pace
    /// quickens is asked soon.
    pub fn follow(&mut self, now: Moment, snapshot: &Snapshot) {
        let mut old = std::mem::take(&mut self.watched);
        for (at, state) in snapshot.endpoints.iter().enumerate() {
            let endpoint = EndpointIndex::of(at);
            let region = snapshot.topology.region(snapshot.topology.endpoint(endpoint).region);
            for (number, (probe, said)) in region.probes().zip(&state.probes).enumerate() {
                let probe = Arc::clone(probe);
                let known = old.iter().position(|watched| watched.id == state.id && watched.number == number);
                self.watched.push(match known {
                    Some(at) => {
                        let mut watched = old.swap_remove(at);
                        (watched.endpoint, watched.probe) = (endpoint, probe);
                        watched.follow(now, said.pace);
                        watched
                    }
                    None => Watched {
                        id: state.id,
                        endpoint,
                        number,
                        probe,
                        pace: said.pace,
                        usual: None,
                        launched: now,
                        next: now,
                        flights: Vec::new(),
                        silence: None,
                    },
                });
            }
        }
    }

    /// The probes to send `now`.
    pub fn due(&mut self, now: Moment) -> Vec<Launch> {
        let mut launches = Vec::new();
        for watched in &mut self.watched {
            watched.notice_lateness(now);
            if now < watched.next || watched.flights.len() >= PROBES_IN_FLIGHT_MAX {
                continue;
            }
            self.serial += 1;
            watched.flights.push(Flight { serial: self.serial, started: now, is_late: false });
            watched.launched = now;
            watched.next = now + watched.interval().mul_f64(1.0 - JITTER * self.dice.fraction());
            let Watched { endpoint, id, number: probe, .. } = *watched;
            launches.push(Launch { endpoint, id, probe, serial: self.serial });
        }
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
    ) -> Vec<Learnt> {
        let own = self.watched.iter_mut().filter(|watched| watched.id == id);
        let mut flown = own.filter_map(|watched| Some((watched.flight(serial)?, watched)));
        let Some((at, watched)) = flown.next() else { return Vec::new() };
        watched.notice_lateness(now);
        let flight = watched.flights.remove(at);
        let mut learnt = vec![watched.learnt(result)];
        watched.silence = result.err().filter(|fault| fault.is_silence());
        match result {
            Ok(_) => {
                // The whole flight, from the first packet on: what is late is measured by that too.
                let sample = now.since(flight.started).as_secs_f64();
                watched.usual = Some(watched.usual.map_or(sample, |usual| usual + (sample - usual) * SMOOTHING));
            }
            Err(_) => learnt.extend(watched.give_up_late()),
        }
        learnt
    }

    /// What is learnt from waiting alone: after a probe that nobody answered, those that become late fail as well.
    pub fn overdue(&mut self, now: Moment) -> Vec<Learnt> {
        let mut learnt = Vec::new();
        for watched in &mut self.watched {
            watched.notice_lateness(now);
            // One that is down is given its time: it may come back slow.
            if watched.pace != Pace::Down {
                learnt.extend(watched.give_up_late());
            }
        }
        learnt
    }

    /// When there will be something to do.
    #[must_use]
    pub fn wake_at(&self, now: Moment) -> Moment {
        let wakes = self.watched.iter().filter_map(Watched::wakes_at);
        wakes.min().unwrap_or(now + IDLE_WAKE)
    }
}

impl Watched {
    fn follow(&mut self, now: Moment, pace: Pace) {
        if self.pace != pace {
            self.pace = pace;
            // Counted from the last probe, not from its answer: the round trip is no part of the interval.
            self.next = self.next.min((self.launched + self.interval()).max(now));
        }
    }

    /// The late ones fail in the way of the last, if that was silence.
    fn give_up_late(&mut self) -> Vec<Learnt> {
        let Some(fault) = self.silence else { return Vec::new() };
        let before = self.flights.len();
        self.flights.retain(|flight| !flight.is_late);
        (self.flights.len()..before).map(|_| self.learnt(Err(fault))).collect()
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
            _ if self.flights.iter().any(|flight| flight.is_late) => self.probe.fast_interval,
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
    fn notice_lateness(&mut self, now: Moment) {
        let late_after = self.late_after();
        let was_late = self.flights.iter().any(|flight| flight.is_late);
        for flight in &mut self.flights {
            flight.is_late |= now.since(flight.started) >= late_after;
        }
        if !was_late && self.pace != Pace::Down && self.flights.iter().any(|flight| flight.is_late) {
            self.next = self.next.min(now);
        }
    }

    fn wakes_at(&self) -> Option<Moment> {
        let late_after = self.late_after();
        let lateness = self.flights.iter().filter(|flight| !flight.is_late).map(|flight| flight.started + late_after);
        let launch = (self.flights.len() < PROBES_IN_FLIGHT_MAX).then_some(self.next);
        lateness.chain(launch).min()
    }
}
