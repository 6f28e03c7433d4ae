//! Keeps new work away from regions, and lets it back.

use std::process::ExitCode;

/// Keeps new work away from a region, a provider's regions or an endpoint.
#[derive(Debug, clap::Args)]
pub struct DrainArgs {}

/// Lets work back.
#[derive(Debug, clap::Args)]
pub struct UndrainArgs {}

/// Drains.
///
/// # Errors
/// What went wrong, for people.
pub fn drain(_args: DrainArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}

/// Lifts a drain.
///
/// # Errors
/// What went wrong, for people.
pub fn undrain(_args: UndrainArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
