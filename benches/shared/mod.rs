//! What the side-by-side benchmarks share: processes pinned to cores, what they used, and the table made of it.

#![allow(dead_code, reason = "each benchmark uses its part")]

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};

pub mod machine;
pub mod measured;
pub mod process;
pub mod report;

/// The programs to measure, by name: those of `NAME=FILE`, or this build if there is none. An empty one is nothing.
pub fn builds(named: &[String]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    if named.is_empty() {
        return Ok(vec![("anyfront".to_owned(), env!("CARGO_BIN_EXE_anyfront").into())]);
    }
    let build = |build: &String| {
        let (name, file) = build.split_once('=').with_context(|| format!("{build:?} is not NAME=FILE"))?;
        ensure!(Path::new(file).is_file(), "there is no program {file}");
        Ok((name.to_owned(), file.into()))
    };
    named.iter().filter(|build| !build.is_empty()).map(build).collect()
}
