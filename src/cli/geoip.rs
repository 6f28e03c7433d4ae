//! Looks addresses up and builds the database.

use std::process::ExitCode;

/// Looks addresses up and builds the database.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Does it.
///
/// # Errors
/// What went wrong, for people.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
