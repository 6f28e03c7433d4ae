//! Looks addresses up and builds the database.

use super::plan::print;
use crate::geo::build::{Built, List, build, packed};
use crate::geo::database::{Found, Locator, Source};
use crate::limits::{GEO_DATABASE_BYTES_MAX, TOPOLOGY_BYTES_MAX};
use crate::topology::check;
use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Look addresses up, or build the database of countries
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say where addresses are taken to be, and who says so
    Lookup(LookupArgs),
    /// Build a country database from Tor's lists of ranges
    Build(BuildArgs),
}

#[derive(Debug, ClapArgs)]
struct LookupArgs {
    /// Addresses, IPv4 or IPv6
    #[arg(required = true, value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// Ask this database (MaxMind's format, .mmdb or .mmdb.gz) instead of the one in the box
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    database: Option<PathBuf>,
    /// Ask as a node with this regions.toml would: its overrides and its database
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, ClapArgs)]
struct BuildArgs {
    /// Files with lines `start,end,CC`, or a folder with such files named geoip and geoip6
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    from: Vec<PathBuf>,
    /// The database to write; compressed if the name ends in .gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Does it.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Lookup(args) => lookup(&args),
        Command::Build(args) => make(&args),
    }
}

fn lookup(args: &LookupArgs) -> anyhow::Result<ExitCode> {
    let locator = match &args.config {
        Some(path) => {
            let source = read_text(path, TOPOLOGY_BYTES_MAX as u64)?;
            let geo = match check::check(&source, path) {
                Ok(checked) => checked.topology.geo,
                Err(mistakes) => bail!("{} is refused; `anyfront check` draws it\n{mistakes}", path.display()),
            };
            Locator::open(geo.places, geo.database.as_deref())?
        }
        None => Locator::open(Vec::new(), args.database.as_deref())?,
    };
    let found: Vec<_> = args.addresses.iter().map(|address| (*address, locator.locate(*address))).collect();
    let text = if args.json {
        let rows: Vec<Value> = found.iter().map(|(address, found)| row(*address, found.as_ref())).collect();
        serde_json::to_string_pretty(&json!({ "database": locator.facts(), "addresses": rows }))? + "\n"
    } else {
        let width = args.addresses.iter().map(|address| address.to_string().len()).max().unwrap_or(0);
        let lines: String = found.iter().map(|(address, found)| line(*address, found.as_ref(), width)).collect();
        format!("{lines}\nasked: {}\n       {}\n", locator.facts(), locator.facts().description)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn row(address: IpAddr, found: Option<&Found>) -> Value {
    let place = found.map(|found| &found.place);
    json!({
        "address": address,
        "country": place.and_then(|place| place.country),
        "city": place.and_then(|place| place.city.as_deref()),
        "latitude": place.map(|place| place.at.latitude()),
        "longitude": place.map(|place| place.at.longitude()),
        "network": found.map(|found| found.network),
        "source": found.map(|found| found.source),
    })
}

fn line(address: IpAddr, found: Option<&Found>, width: usize) -> String {
    let address = address.to_string();
    let Some(Found { place, network, source }) = found else {
        return format!("{address:width$}  nobody knows: taken to be where the node stands\n");
    };
    let (latitude, longitude) = (place.at.latitude(), place.at.longitude());
    let source = match source {
        Source::Override => "an override in the file",
        Source::Database => "the database",
    };
    let place = place.to_string();
    format!("{address:width$}  {place:<20} {latitude:>7.2} {longitude:>8.2}  {source}, of {network}\n")
}

fn make(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.from {
        if path.is_dir() {
            files.extend(["geoip", "geoip6"].map(|name| path.join(name)));
        } else {
            files.push(path.clone());
        }
    }
    let texts = files
        .iter()
        .map(|path| Ok((path.display().to_string(), read_text(path, GEO_DATABASE_BYTES_MAX)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let lists: Vec<List<'_>> = texts.iter().map(|(name, text)| List { name, text }).collect();
    let built = build(&lists)?;
    let is_packed = args.out.extension().is_some_and(|extension| extension == "gz");
    let packed = is_packed.then(|| packed(&built.bytes)).transpose()?;
    let bytes = packed.as_ref().unwrap_or(&built.bytes);
    replace(&args.out, bytes).with_context(|| format!("cannot write {}", args.out.display()))?;
    print(&statistics(&built, &args.out, bytes.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn statistics(built: &Built, out: &Path, bytes: usize) -> String {
    let [v4, v6] = built.ranges;
    let left_out: u64 = built.left_out.values().sum();
    let codes: Vec<String> = built.left_out.iter().map(|(code, ranges)| format!("{code} {ranges}")).collect();
    let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    format!(
        "read      {v4} IPv4 and {v6} IPv6 ranges\n\
         left out  {left_out} with a code that is no country{codes}\n\
         wrote     {} networks of {} countries in {} nodes\n\
         {}: {bytes} bytes ({} unpacked)\n",
        built.networks,
        built.countries,
        built.nodes,
        out.display(),
        built.bytes.len(),
    )
}

fn read_text(path: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text));
    let bytes = read.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes as u64 > bytes_max {
        bail!("{} is larger than {bytes_max} bytes", path.display());
    }
    Ok(text)
}

/// Writes `path` whole or not at all: beside it first, to the disk, then over it. A node that reads it meanwhile reads the
/// old one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
        return written;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
