//! The snapshots that remembered decisions were made from, as far as a decision needs them: few, and without their
//! endpoints, so that thousands of generations cost no memory.

use crate::limits::{DECIDED_SNAPSHOTS_MAX, DECIDED_TOPOLOGIES_MAX};
use crate::snapshot::Snapshot;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Snapshots by which requests were decided, the newest last.
#[derive(Debug, Default)]
pub struct Archive(Mutex<VecDeque<Arc<Snapshot>>>);

impl Archive {
    /// Keeps what `snapshot` says of regions. The oldest goes if there are too many, and so does what belongs to a file
    /// that was replaced more than once.
    pub fn keep(&self, snapshot: &Snapshot) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().rev().any(|known| known.generation == snapshot.generation) {
            return;
        }
        // Which endpoint of a region is asked is no part of a decision.
        kept.push_back(Arc::new(snapshot.without_endpoints()));
        // Workers do not come to a new generation all at once.
        kept.make_contiguous().sort_by_key(|known| known.generation);
        while kept.len() > DECIDED_SNAPSHOTS_MAX || files(&kept) > DECIDED_TOPOLOGIES_MAX {
            kept.pop_front();
        }
    }

    /// The snapshot of that generation, without its endpoints, if it is still here.
    #[must_use]
    pub fn find(&self, generation: u64) -> Option<Arc<Snapshot>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|known| known.generation == generation).map(Arc::clone)
    }
}

/// How many versions of the file are kept alive.
fn files(kept: &VecDeque<Arc<Snapshot>>) -> usize {
    let pairs = kept.iter().zip(kept.iter().skip(1));
    let changes = pairs.filter(|(one, next)| {
        !(Arc::ptr_eq(&one.topology, &next.topology) && Arc::ptr_eq(&one.locator, &next.locator))
    });
    usize::from(!kept.is_empty()) + changes.count()
}
