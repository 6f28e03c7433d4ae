//! The bugs that are planted in the machines to prove the simulator (`tests/mutations`) can still be planted.
//!
//! Trying them takes minutes and is asked for by hand: `tests/mutations/run`.

#![allow(clippy::panic, reason = "what cannot be read fails the test, and says why")]

use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Deserialize)]
struct File {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    name: String,
    file: String,
    find: String,
    old: String,
    new: String,
    breaks: String,
    like: String,
}

#[test]
fn every_bug_can_be_planted_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let File { bug: bugs } = toml::from_str(&read("tests/mutations/bugs.toml")).expect("it is TOML");
    assert!(bugs.len() >= 45, "there are {}", bugs.len());
    let names: BTreeSet<&str> = bugs.iter().map(|bug| &*bug.name).collect();
    assert_eq!(names.len(), bugs.len(), "each has a name of its own");
    for Bug { name, file, find, old, new, breaks, like } in &bugs {
        let times = read(file).matches(&**find).count();
        assert_eq!(times, 1, "{name}: {file} has {times} places like {find:?}: say what it looks like now");
        assert_eq!(find.matches(&**old).count(), 1, "{name}: it is not said which {old:?} of {find:?} is meant");
        assert!(old != new && !breaks.is_empty() && !like.is_empty(), "{name}");
        assert!(!new.ends_with(';') || old.ends_with(';'), "{name}: an expression becomes an expression");
    }
}
