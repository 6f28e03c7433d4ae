//! Runs what an HTTP/2 connection spawns, so that one of its tunnels can be torn off (RFC 8441 §5).
//!
//! When the two halves of a tunnel are dropped, hyper ends its stream as if all had been said. What was cut must not look
//! so: here the task that sends for it is dropped instead, and its stream is reset.

use hyper::rt::Executor;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Spawns the tasks of one connection. The lock is never contended: a connection lives on one thread.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<Option<oneshot::Receiver<()>>>>);

/// Tears one tunnel off; dropped unused, it leaves it alone.
#[derive(Debug)]
pub struct Knife(oneshot::Sender<()>);

impl Streams {
    /// The knife for the tunnel that the answer now being given opens. It must be given in the same turn: hyper spawns the
    /// task of a tunnel as soon as it has the answer.
    #[must_use]
    pub fn knife(&self) -> Knife {
        let (knife, cut) = oneshot::channel();
        self.put(Some(cut));
        Knife(knife)
    }

    /// A new request: whatever was said before and had no task has none any more.
    pub fn begin(&self) {
        self.put(None);
    }

    fn put(&self, cut: Option<oneshot::Receiver<()>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cut;
    }
}

impl Knife {
    /// Resets the stream.
    pub fn cut(self) {
        // It may have ended by itself.
        let _ = self.0.send(());
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        let cut = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match cut {
            None => drop(tokio::spawn(work)),
            Some(cut) => drop(tokio::spawn(async move {
                let work = pin!(work);
                tokio::select! {
                    biased;
                    Ok(()) = cut => {}
                    () = work => {}
                }
            })),
        }
    }
}
