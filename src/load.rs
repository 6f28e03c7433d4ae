//! What endpoints carry: atomics beside the snapshot, read when a request is placed, never a reason for a generation.
//!
//! A [`Load`] belongs to one endpoint as long as it exists, over all generations; snapshots only point at it.

mod times;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
pub use times::{TIME_BUCKETS, Times, bucket_of, time_of};

/// What one endpoint carries and has carried.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
    connects: AtomicU64,
    open: AtomicU32,
    idle: AtomicU32,
    /// Probes that failed and that passed, by [`PROBE_KINDS`].
    probes: [[AtomicU64; 2]; PROBE_KINDS.len()],
    times: Times,
}

/// Kinds of probes that are counted apart.
pub const PROBE_KINDS: [&str; 5] = ["http", "tcp", "token", "mcp", "grpc"];

impl Load {
    /// Requests placed and not yet finished.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Attempts that got an answer.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Connections opened.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }

    /// Connections open now, but those that have become WebSockets.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Those of them that nothing was under way on, when they were counted last.
    #[must_use]
    pub fn idle(&self) -> u32 {
        self.idle.load(Relaxed)
    }

    /// So many are idle now, where so many were before.
    pub fn idle_changed(&self, before: u32, now: u32) {
        if now > before {
            self.idle.fetch_add(now - before, Relaxed);
        } else {
            self.idle.fetch_sub(before - now, Relaxed);
        }
    }

    /// Probes by kind: how many failed, and how many passed. Kinds that never asked are left out.
    pub fn probes(&self) -> impl Iterator<Item = (&'static str, [u64; 2])> {
        let counts = self.probes.iter().map(|counts| [0, 1].map(|at| counts[at].load(Relaxed)));
        PROBE_KINDS.into_iter().zip(counts).filter(|(_, counts)| *counts != [0, 0])
    }

    /// One probe of that kind has ended.
    pub fn probed(&self, kind: &str, has_passed: bool) {
        if let Some(at) = PROBE_KINDS.iter().position(|known| *known == kind) {
            self.probes[at][usize::from(has_passed)].fetch_add(1, Relaxed);
        }
    }

    /// How long its probes took.
    #[must_use]
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// One probe came back: counts its time, if it passed, and hands on what it said.
    pub fn timed<E>(&self, result: Result<Duration, E>) -> Result<Duration, E> {
        result.inspect(|elapsed| self.times.observe(*elapsed))
    }

    /// One attempt was answered, whatever the status.
    pub fn answered(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// One attempt failed.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// One connection was opened.
    pub fn connected(&self) {
        self.connects.fetch_add(1, Relaxed);
    }
}

/// One open connection to an endpoint.
#[derive(Debug)]
pub struct Open(Arc<Load>);

impl Open {
    /// Counts one more.
    #[must_use]
    pub fn to(load: &Arc<Load>) -> Self {
        load.open.fetch_add(1, Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// One request in flight at an endpoint, from its placing until the last byte of its answer.
#[derive(Debug)]
pub struct InFlight(Arc<Load>);

impl InFlight {
    /// Counts one more.
    #[must_use]
    pub fn at(load: &Arc<Load>) -> Self {
        load.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
