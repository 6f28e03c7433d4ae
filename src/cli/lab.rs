//! A whole world on loopback.

use std::process::ExitCode;

/// A whole world on loopback.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Does it.
///
/// # Errors
/// What went wrong, for people.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
