//! Prints the addresses that regions call out from, as firewalls take them.

use super::admin::{AdminArgs, Client};
use super::plan;
use crate::nat::{Entry, Ledger, entries, formats};
use crate::topology::NatState;
use crate::topology::check::check;
use anyhow::{Context, bail};
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  anyfront nat-ips --format text --state active,planned
  anyfront nat-ips --url 127.0.0.1:9900
  anyfront nat-ips --format nftables > nat_ips.nft && nft -f nat_ips.nft
  aws ec2 authorize-security-group-ingress --group-id sg-1 --ip-permissions \"$(anyfront nat-ips --format aws)\"";

/// Print the addresses that regions call out from
///
/// From a file, or from a running node, which also knows since when they are so. JSON from a node is exactly what it serves.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file; - is standard input
    #[arg(long, value_name = "FILE", default_value = "regions.toml")]
    config: PathBuf,
    /// Ask the node with this admin address instead
    #[arg(long, value_name = "ADDR", conflicts_with = "config")]
    url: Option<String>,
    /// File with the token that the node was given with its own --admin-token-file
    #[arg(long, value_name = "FILE", requires = "url")]
    admin_token_file: Option<PathBuf>,
    /// In which shape
    #[arg(long, value_enum, default_value = "json")]
    format: Shape,
    /// Only of these regions
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    region: Vec<String>,
    /// Only in these states: planned, active, retiring
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<NatState>,
}

/// A shape of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// The document that nodes serve
    Json,
    /// One network a line
    Text,
    /// A table for nft -f
    Nftables,
    /// For aws ec2 authorize-security-group-ingress
    Aws,
}

fn state(text: &str) -> Result<NatState, String> {
    <NatState as crate::topology::read::Word>::parse(text).map_err(|wrong| format!("{}: {}", wrong.problem, wrong.help))
}

/// Prints them.
///
/// # Errors
/// If the file or the node has none to give, or there is no region of that name.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { config, url, admin_token_file, format, region, state } = args;
    let (fleet, ledger, known) = match url {
        Some(admin) => from_node(&AdminArgs { admin, admin_token_file }.client()?)?,
        None => from_file(&config)?,
    };
    if let Some(unknown) = region.iter().find(|name| !known.contains(name)) {
        bail!("there is no region {unknown:?} with addresses; there are {}", known.join(", "));
    }
    let is_wanted = |entry: &Entry| {
        (region.is_empty() || region.contains(&entry.region)) && (state.is_empty() || state.contains(&entry.state))
    };
    let ledger = Ledger { entries: ledger.entries.into_iter().filter(is_wanted).collect(), ..ledger };
    plan::print(&match format {
        Shape::Json => ledger.document(&fleet),
        Shape::Text => formats::text(&ledger.entries),
        Shape::Nftables => formats::nftables(&fleet, &ledger.entries),
        Shape::Aws => format!("{}\n", formats::aws(&fleet, &ledger.entries)),
    })?;
    Ok(ExitCode::SUCCESS)
}

type Known = (String, Ledger, Vec<String>);

fn from_file(path: &std::path::Path) -> anyhow::Result<Known> {
    let source = plan::read(path)?;
    let checked = check(&source, path).map_err(|mistakes| anyhow::anyhow!("{}", mistakes.render(false)))?;
    let topology = checked.topology;
    let known = topology.regions.iter().map(|region| region.name.to_string()).collect();
    let ledger = Ledger { entries: entries(&topology), ..Ledger::default() };
    Ok((topology.fleet.to_string(), ledger, known))
}

fn from_node(client: &Client) -> anyhow::Result<Known> {
    let document: serde_json::Value = client.get("/nat-ips")?;
    let ledger = Ledger::from_document(&document).context("the node's document is not understood")?;
    let mut known: Vec<String> = ledger.entries.iter().map(|entry| entry.region.clone()).collect();
    known.dedup();
    Ok((document["fleet"].as_str().unwrap_or_default().to_owned(), ledger, known))
}
