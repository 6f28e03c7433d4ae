//! `anyfront plan`: what would happen without a region or a provider.

use super::admin::{AdminArgs, DEFAULT_ADDRESS, encoded, printable};
use super::plan;
use crate::geo::map::GeoMap;
use crate::headroom::{Headroom, Traffic, rehearsal, text, world};
use crate::snapshot::Snapshot;
use crate::status::findings::targets;
use crate::topology::check::check;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Requests at once where nothing is measured.
const IN_FLIGHT: f64 = 1_000.0;

const EXAMPLES: &str = "\
Examples:
  anyfront plan --without orf
      by what the node on this machine carries: who would take over, hostname by hostname, and is there room
  anyfront plan --without provider:aws --without provider:gcp
      both at once
  anyfront plan
      every region and every provider in turn
  anyfront plan --check --config regions.toml --in-flight 5000
      without a node, in an even world of 5000 requests at once; exit code 1 if anything would be too much";

/// Say what would happen if a region or a provider went
///
/// Where its requests would go, by the same code that steers them, how much farther that is, and whether that is more than
/// those regions may be given: `capacity` in the file, requests at once from one node. By default the requests are those
/// that a running node carries, alone, and has measured in the last five minutes. With --config nothing is measured, and
/// what is assumed instead is said: every region up, every hostname asked alike, clients where the networks are.
#[derive(Debug, clap::Args)]
#[command(name = "plan", after_help = EXAMPLES)]
pub struct Args {
    /// What goes: a region, or provider:NAME (repeatable: all at once); nothing: each in turn
    #[arg(long, value_name = "WHAT")]
    without: Vec<String>,
    /// Exit with 1 if a region would be asked for more than it may have, or requests would find nobody
    #[arg(long)]
    check: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// Ask this configuration, without a node (- is standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["admin", "admin_token_file"])]
    config: Option<PathBuf>,
    /// Of a file: as a node at this site; without it the first
    #[arg(long, value_name = "NAME", requires = "config")]
    site: Option<String>,
    /// Of a file: so many requests at once, over all hostnames
    #[arg(long, value_name = "COUNT", default_value_t = IN_FLIGHT, requires = "config", value_parser = count)]
    in_flight: f64,
    /// The running node's admin address
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADDRESS)]
    admin: String,
    /// File with the node's admin token
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

fn count(text: &str) -> Result<f64, String> {
    match text.parse::<u32>() {
        Ok(count @ 1..) => Ok(f64::from(count)),
        _ => Err("it should be a whole number, 1 or more".to_owned()),
    }
}

/// Does it.
///
/// # Errors
/// If there is no such region or provider, or the configuration or node cannot be asked.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let headroom = match &args.config {
        Some(config) => offline(args, config)?,
        None => live(args)?,
    };
    if args.json {
        plan::print(&format!("{:#}\n", serde_json::to_value(&headroom)?))?;
    } else {
        let page = if args.without.is_empty() { text::page(&headroom) } else { text::plan(&headroom) };
        plan::print(&printable(&page))?;
    }
    Ok(if args.check && headroom.is_short() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn live(args: &Args) -> anyhow::Result<Headroom> {
    let node = AdminArgs { admin: args.admin.clone(), admin_token_file: args.admin_token_file.clone() }.client()?;
    let without = args.without.iter().map(|what| format!("without={}", encoded(what)));
    node.get(&format!("/headroom?{}", without.collect::<Vec<_>>().join("&")))
}

fn offline(args: &Args, config: &Path) -> anyhow::Result<Headroom> {
    let source = plan::read(config)?;
    let checked = check(&source, config).map_err(|mistakes| {
        let (shown, count) = (config.display(), mistakes.len());
        anyhow::anyhow!("{shown} cannot be asked: {count} mistakes in it; `anyfront check` draws them")
    })?;
    let snapshot = plan::assume(checked.topology, args.site.as_deref(), &[])?;
    let lost = targets(&snapshot, &args.without).map_err(|(_, text)| anyhow::anyhow!("{}", printable(&text)))?;
    let traffic = even_world(&snapshot, args.in_flight);
    Ok(if lost.is_empty() {
        rehearsal::each(&snapshot, &traffic)
    } else {
        rehearsal::without(&snapshot, &traffic, &lost)
    })
}

fn even_world(snapshot: &Snapshot, in_flight: f64) -> Traffic {
    let map = GeoMap::compile(&snapshot.locator);
    let places = map.places().iter().zip(map.weights());
    let places = places.filter_map(|(place, weight)| Some((place.clone()?, f64::from(weight))));
    world::even(snapshot, places.collect(), in_flight)
}
