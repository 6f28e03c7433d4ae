//! What a person types: one file for each command.

pub mod admin;
pub mod check;
pub mod dnssec;
pub mod drain;
pub mod explain;
pub mod geoip;
pub mod incident;
pub mod lab;
pub mod nat_ips;
pub mod plan;
pub mod rehearse;
pub mod residency;
pub mod serve;
pub mod simulate;
pub mod status;
pub mod subscribers;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The front door that sends every request to the nearest healthy region.
#[derive(Debug, Parser)]
#[command(name = "anyfront", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    Check(check::Args),
    Explain(explain::Args),
    Drain(drain::DrainArgs),
    Undrain(drain::UndrainArgs),
    Incident(Box<incident::IncidentArgs>),
    Status(status::Args),
    Subscribers(subscribers::Args),
    Geoip(geoip::Args),
    Dnssec(dnssec::Args),
    NatIps(nat_ips::Args),
    Plan(rehearse::Args),
    Residency(residency::Args),
    Simulate(Box<simulate::Args>),
    Lab(lab::Args),
}

/// Runs what the arguments ask for. 0: it went well; 1: it did not, and standard error says why; 2: the arguments are
/// wrong.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Drain(args) => drain::drain(args),
        Command::Undrain(args) => drain::undrain(args),
        Command::Incident(args) => incident::run(*args),
        Command::Status(args) => status::run(args),
        Command::Subscribers(args) => subscribers::run(args),
        Command::Geoip(args) => geoip::run(args),
        Command::Dnssec(args) => dnssec::run(args),
        Command::NatIps(args) => nat_ips::run(args),
        Command::Plan(args) => rehearse::run(&args),
        Command::Residency(args) => residency::run(args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Lab(args) => lab::run(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("anyfront: {error:#}");
        ExitCode::FAILURE
    })
}

/// A duration with its unit, as in `regions.toml`: `30s`, `5m`.
fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    <std::time::Duration as crate::topology::read::Word>::parse(text)
        .map_err(|wrong| format!("{}: {}", wrong.problem, wrong.help))
}
