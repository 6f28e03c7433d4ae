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
    times: Times,
}

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
