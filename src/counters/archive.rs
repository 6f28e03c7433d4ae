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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Control;
    use crate::geo::database::Locator;
    use crate::moment::Moment;
    use crate::topology::check::check;
    use std::path::Path;
    use std::time::Duration;

    const FLEET: &str = "[fleet]\nname = \"f\"\nzone = \"gw.test\"\n\
                         [[site]]\nname = \"here\"\nlatitude = 0.0\nlongitude = 0.0\n\
                         [[region]]\nname = \"a\"\nprovider = \"p\"\ncity = \"A\"\ncountry = \"US\"\nlatitude = 1.0\n\
                         longitude = 1.0\nendpoints = [\"http://192.0.2.1\"]\n\
                         [[hostname]]\nname = \"gw.test\"\nregions = [\"*\"]\n";

    /// A file that was just read, at some generation.
    fn first() -> Snapshot {
        let topology = check(FLEET, Path::new("regions.toml")).expect("it is right").topology;
        let here = topology.sites[0].clone();
        let locator = Arc::new(Locator::open(Vec::new(), None).expect("the database in the box"));
        let mut control = Control::new(Moment::ZERO, Arc::new(topology), locator, here, Arc::default());
        let (first, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is new");
        Snapshot::clone(&first)
    }

    #[test]
    fn so_many_snapshots_are_kept_and_no_more_and_none_keeps_its_endpoints() {
        let (archive, mut snapshot) = (Archive::default(), first());
        for generation in 1..=DECIDED_SNAPSHOTS_MAX as u64 + 1 {
            snapshot.generation = generation;
            archive.keep(&snapshot);
            archive.keep(&snapshot);
        }
        assert!(archive.find(1).is_none(), "one more than fit");
        let kept = archive.find(2).expect("the oldest of those that fit");
        assert_eq!((kept.regions.len(), kept.endpoints.len()), (1, 0));
        // A worker that is behind: its place is among the older ones.
        snapshot.generation = 1;
        archive.keep(&snapshot);
        assert!(archive.find(1).is_none() && archive.find(DECIDED_SNAPSHOTS_MAX as u64 + 1).is_some());
    }

    #[test]
    fn a_file_that_was_replaced_twice_is_let_go() {
        let archive = Archive::default();
        for generation in 1..=DECIDED_TOPOLOGIES_MAX as u64 + 1 {
            archive.keep(&Snapshot { generation, ..first() });
        }
        let there: Vec<bool> = (1..=DECIDED_TOPOLOGIES_MAX as u64 + 1).map(|at| archive.find(at).is_some()).collect();
        assert_eq!(there, [false, true, true]);
    }
}
