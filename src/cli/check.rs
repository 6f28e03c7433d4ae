//! Proves a configuration and prints its meaning.

use std::process::ExitCode;

/// Proves a configuration and prints its meaning.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Does it.
///
/// # Errors
/// What went wrong, for people.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
