//! CARRIES REQUESTS THERE: accepts connections, finds out who asks for what, and forwards to the best region that works.
//!
//! In the order of a connection: [`arrival`] (who is it?), [`guard`] and [`framed`] (what it may do to us),
//! [`prepare`] (may this request be carried, on which [`terms`], tied to whom?), [`course`] and [`attempt`]
//! (where it goes, and whether again), [`stream`] and [`tunnel`] (what comes back, and how that ends). Most of it is
//! machines, listed in `tests/tidy.rs`; the rest moves bytes. Nothing here knows how health is judged or who is near: it
//! asks [`steer`](crate::steering::steer) and reports what it met to `control`.

pub mod framing;
pub mod guard;
pub mod lifetime;
pub mod gather;
pub mod proxy;
pub mod follow;
pub mod frames;
pub mod framed;
pub mod arrival;
pub mod grpc;
pub mod websocket;
pub mod streams;
pub mod headers;
pub mod strict;
pub mod mcp;
pub mod terms;
pub mod patience;
pub mod unserved;
pub mod budget;
pub mod recall;
pub mod reply;
pub mod services;
pub mod failover;
pub mod affinity;
pub mod replay;
pub mod call;
pub mod flushed;
pub mod events;
pub mod ongoing;
pub mod stream;
pub mod connection;
pub mod live;
pub mod crowd;
pub mod journey;
pub mod course;
pub mod attempt;
pub mod tunnel;
pub mod prepare;
pub mod request;
pub mod fast;
pub mod server;

use crate::control::Event;
use crate::counters::records::hexadecimal;
use crate::counters::trace::{Sampler, Trace};
use crate::counters::{DoorCounters, WorkerCounters};
use crate::moment::{Clock, Dice, Moment};
use crate::names::Hostname;
use crate::secret::Secret;
use crate::snapshot::{Published, Snapshot};
use crate::topology::RegionIndex;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use budget::Budgets;
use course::{Body, Course, Failure, Now, Stop, Then};
use fast::rooms::Rooms;
use http::{HeaderMap, HeaderValue};
use live::Live;
use recall::Recall;
use services::Services;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Rooms kept by one worker: as many exchanges as begin in one turn of its loop, and little memory.
const ROOMS_KEPT_MAX: usize = 64;

/// By how much of it the age of a connection differs, to either side: those that began together must not end together.
const AGE_JITTER: f64 = 0.2;

/// What one worker's requests share.
#[derive(Debug)]
pub struct Front {
    /// Now.
    pub clock: Clock,
    /// What the node believes.
    pub published: Published,
    /// Where failures are told.
    pub events: mpsc::Sender<Event>,
    /// Ways to endpoints, this worker's own.
    pub upstream: Upstream,
    /// What this node itself serves.
    pub services: Arc<ArcSwap<Services>>,
    /// And what it answers anew each time, at this worker.
    pub live: Vec<Live>,
    /// What this worker counts.
    pub counters: Arc<WorkerCounters>,
    /// What the fleet's nodes know, for what they seal.
    pub secret: Arc<ArcSwap<Secret>>,
    /// What may be repeated, by all workers.
    pub budgets: Arc<Budgets>,
    /// Who was failed by which region, at any worker.
    pub recall: Arc<Recall>,
    /// What all bodies of this worker together may keep for repetition, octets.
    pub replay_bytes_max: u64,
    /// How many answers of this worker may wait for their clients at once.
    pub waiting_answers_max: u64,
    /// Room for what is on its way through: one turn of one connection at a time.
    pub scratch: Mutex<Vec<u8>>,
    /// Rooms that exchanges on the fast path have left, for the next ones.
    pub rooms: Mutex<Vec<Rooms>>,
    /// Turns true when WebSockets must come to their end, because the node soon does.
    pub farewell: watch::Receiver<bool>,
    /// Chance: endpoints to compare, ids, jitter. Never contended: the worker is one thread.
    pub dice: Mutex<Dice>,
}

impl Front {
    /// Tells `control` a fact, if there is one. If its queue is full the fact is dropped and counted: the next ones say the
    /// same.
    pub(crate) fn tell(&self, event: impl Into<Option<Event>>) {
        if event.into().is_some_and(|event| self.events.try_send(event).is_err()) {
            DoorCounters::count(&self.counters.door.dropped_events);
        }
    }

    /// What comes after a failure, by what is believed now. It is counted.
    pub(crate) fn goes_on(&self, course: &mut Course, failure: Failure, now: Moment, body: Body) -> Then {
        self.counters.records.decided_by(&course.snapshot);
        let (fault, newest) = (failure.error.fault, self.published.load_full());
        let now = Now { now, newest: &newest, roll: self.roll(), body };
        let then = course.then(failure, now, |hostname, region| self.budgets.of(hostname, region));
        match then {
            Then::Go(_) => self.counters.door.failed_over(fault),
            Then::Own(Stop::Unrepeated) | Then::GiveUp(Stop::Unrepeated) => {
                DoorCounters::count(&self.counters.door.unrepeated);
            }
            _ => {}
        }
        then
    }

    /// A request is sent to a region.
    pub(crate) fn sends(&self, snapshot: &Snapshot, hostname: &Hostname, region: RegionIndex) {
        self.counters.residency.sent(self.clock.wall(), &snapshot.topology, hostname, region);
    }

    /// What a region answered is passed on.
    pub(crate) fn passes_on(&self, snapshot: &Snapshot, hostname: &Hostname, region: RegionIndex) {
        self.counters.residency.answered(self.clock.wall(), &snapshot.topology, hostname, region);
    }

    /// Rooms for one exchange.
    pub(crate) fn rooms(&self) -> Rooms {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Rooms that nobody needs any more.
    pub(crate) fn give_back(&self, rooms: Rooms) {
        let mut kept = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.are_usual() && kept.len() < ROOMS_KEPT_MAX {
            kept.push(rooms.emptied());
        }
    }

    /// A request's id, 128 bits of chance: unique, not secret.
    pub(crate) fn new_request_id(&self) -> HeaderValue {
        let mut digits = [0; 32];
        digits[..16].copy_from_slice(&hexadecimal(self.roll()));
        digits[16..].copy_from_slice(&hexadecimal(self.roll()));
        HeaderValue::from_bytes(&digits).expect("hexadecimal digits are visible")
    }

    /// A request's place in its trace.
    pub(crate) fn trace(&self, headers: &HeaderMap, sampler: Sampler) -> Trace {
        Trace::begin(headers, sampler, [self.roll(), self.roll(), self.roll()])
    }

    /// `around`, a fifth more or less.
    pub(crate) fn jittered(&self, around: Duration) -> Duration {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).jittered(around, AGE_JITTER)
    }

    /// The next 64 bits of chance.
    pub(crate) fn roll(&self) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).roll()
    }
}
