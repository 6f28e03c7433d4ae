//! Shows a node live in the terminal.

use std::process::ExitCode;

/// Shows a node live in the terminal.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Does it.
///
/// # Errors
/// What went wrong, for people.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
