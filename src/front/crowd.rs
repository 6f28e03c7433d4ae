//! How many answers wait for their clients at a worker: what all of them hold together is bounded.

use crate::counters::WorkerCounters;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// One connection's part in what waits at its worker.
#[derive(Debug)]
pub struct Crowd {
    counters: Arc<WorkerCounters>,
    most: u64,
    counted: u64,
}

impl Crowd {
    /// A connection on which nothing waits. `most`: how many may wait at its worker.
    #[must_use]
    pub fn new(counters: Arc<WorkerCounters>, most: u64) -> Self {
        Self { counters, most, counted: 0 }
    }

    /// So many wait on this connection now.
    pub fn set(&mut self, count: u64) {
        let waiting = &self.counters.door.waiting;
        if count > self.counted {
            waiting.fetch_add(count - self.counted, Relaxed);
        } else if count < self.counted {
            waiting.fetch_sub(self.counted - count, Relaxed);
        }
        self.counted = count;
    }

    /// Whether more wait at the worker than may.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.counters.door.waiting.load(Relaxed) > self.most
    }

    /// One of this connection's was ended.
    pub fn ended(&mut self) {
        self.set(self.counted.saturating_sub(1));
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.set(0);
    }
}
