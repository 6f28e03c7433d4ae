//! A geography that is quick to read: every country has one network, as large as the simulated crowds need.

use anyfront::geo::build::{List, build};
use anyfront::geo::database::Locator;
use anyfront::sim::cities::Cities;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The first number of the first network.
const FIRST: u64 = 0x0B00_0000;
/// Addresses of each.
const SIZE: u64 = 1 << 18;

/// A database that knows each country of the world's cities by one network. The one in the box knows 600,000, which takes
/// a debug build seconds.
pub struct Quick(tempfile::TempDir);

impl Quick {
    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("few.mmdb")
    }
}

/// Writes it.
pub fn quick_database() -> Quick {
    let cities = Cities::of_the_world();
    let countries: BTreeSet<&str> = cities.all().iter().map(|city| city.country.as_str()).collect();
    let mut text = String::new();
    for (start, country) in (FIRST..).step_by(SIZE as usize).zip(countries) {
        let _ = writeln!(text, "{start},{},{country}", start + SIZE - 1);
    }
    let built = build(&[List { name: "a few", text: &text }]).expect("it is a good list");
    let quick = Quick(tempfile::tempdir().expect("a folder"));
    std::fs::write(quick.path(), built.bytes).expect("it can be written");
    quick
}

/// Where clients are by that database alone.
pub fn quick_locator() -> Arc<Locator> {
    static LOCATOR: OnceLock<Arc<Locator>> = OnceLock::new();
    let open = || Arc::new(Locator::open(Vec::new(), Some(&quick_database().path())).expect("a good database"));
    Arc::clone(LOCATOR.get_or_init(open))
}
