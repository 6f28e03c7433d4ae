//! When everything that was said on a connection has left us.
//!
//! Whoever cuts an answer on purpose must not cut off its last words with it: HTTP/1.1 drops what it has not written when
//! a body fails, and HTTP/2 drops what it has queued when a stream is reset.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// How often everything had left, and who waits for the next time. One per connection; never contended, because all of a
/// connection happens on one thread.
#[derive(Debug, Default)]
pub struct Flushed {
    times: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
    waiters: AtomicU64,
}

impl Flushed {
    /// How often so far.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.times.load(Relaxed)
    }

    /// Everything has left.
    pub fn happened(&self) {
        self.times.fetch_add(1, Relaxed);
        if self.waiters.load(Relaxed) > 0 {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            self.waiters.store(0, Relaxed);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Ready once everything that was said at `times` or before has left.
    pub fn poll_since(&self, times: u64, waker: &Waker) -> Poll<()> {
        if self.times() > times {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
            self.waiters.store(waiting.len() as u64, Relaxed);
        }
        Poll::Pending
    }
}
