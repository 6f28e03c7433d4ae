//! What tests of the machines share: small fleets, the node's first snapshot, clients.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "a test that cannot go on says why")]

use anyfront::control::Control;
use anyfront::geo::database::Locator;
use anyfront::moment::Moment;
use anyfront::snapshot::Snapshot;
use anyfront::topology::Topology;
use anyfront::topology::check::check;
use std::path::Path;
use std::sync::{Arc, OnceLock};

pub mod invariants;
pub mod geography;
pub mod virtual_time;
pub mod worlds;
pub mod answers;
pub mod simulated;

/// The repository's own file.
pub fn real_fleet() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("regions.toml"))
        .expect("it is in the repository")
}

/// What `text` means; it must be right.
pub fn topology(text: &str) -> Topology {
    topology_at(text, Path::new("regions.toml"))
}

/// What `text` means that stands in this file; it must be right.
pub fn topology_at(text: &str, file: &Path) -> Topology {
    match check(text, file) {
        Ok(checked) => checked.topology,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// A locator that knows nothing.
pub fn locator() -> Arc<Locator> {
    static LOCATOR: OnceLock<Arc<Locator>> = OnceLock::new();
    let open = || Arc::new(Locator::open(Vec::new(), None).expect("the database in the box is good"));
    Arc::clone(LOCATOR.get_or_init(open))
}

/// What a node believes before its first probe.
pub fn first_snapshot(topology: Topology) -> Snapshot {
    let here = topology.sites[0].clone();
    let mut control = Control::new(Moment::ZERO, Arc::new(topology), locator(), here, Arc::from([]));
    let (snapshot, _) = control.advance(Moment::ZERO, std::time::Duration::ZERO).expect("the first is always new");
    drop(control);
    Arc::into_inner(snapshot).expect("nobody else has it")
}
