//! What a test needs and may not find: then it says so where `make test` tells it at the end, so that nobody takes silence
//! for proof.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};

/// Notes that these tests were skipped: `tests that need dig`.
pub fn skipped(tests: &str) {
    let note = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-skipped");
    let before = std::fs::read_to_string(&note).unwrap_or_default();
    std::fs::write(&note, format!("{before}{tests}\n")).expect("noted");
    println!("SKIPPED: {tests}");
}

/// Where a program is; or a note that its tests were skipped.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        skipped(&format!("tests that need {name}"));
    }
    found
}
