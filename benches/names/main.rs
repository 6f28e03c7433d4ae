//! `make bench`: anyfront as a DNS server beside Knot DNS, gdnsd and NSD, one core each, same zone, same questions.
//!
//! The figure that counts is what a server's processes cost per answer in CPU. README.md in the folder above has the
//! method and what the figures can and cannot say.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads real clocks and waits for real time")]
#![allow(clippy::cast_precision_loss, reason = "counts and nanoseconds here are far below 2^53")]
#![allow(clippy::cast_possible_truncation, reason = "random bits are cut to the width that is wanted")]

mod generator;
mod mixes;
mod servers;
#[path = "../shared/mod.rs"]
mod shared;
mod world;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use mixes::{MIXES, Mix};
use servers::{Kind, Server, Setting, Surroundings};
use shared::machine;
use shared::measured::{Measured, Title};
use shared::report::{self, OTHERS_SHARE_MAX};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use world::Database;

/// Networks of the two databases.
const NETWORKS: usize = 20_000;
const NETWORKS_LARGE: usize = 160_000;

/// anyfront as a DNS server beside others, one core each, same zone, same questions.
#[derive(Debug, Parser)]
#[command(name = "names", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Cargo gives it to benchmarks; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
    /// Which servers to compare with.
    #[arg(long, value_delimiter = ',', default_value = "knot,gdnsd,nsd")]
    peers: Vec<String>,
    /// Which mixes of questions; all if not said.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each server gets each mix.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// How long each time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    secs: u64,
    /// Another build of anyfront to measure instead of this one, as NAME=FILE; may be repeated, empty for none.
    #[arg(long, value_name = "NAME=FILE")]
    anyfront: Vec<String>,
    /// Do not measure: print the table of an earlier run's JSON lines.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What this program is when it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The load.
    #[command(hide = true)]
    Ask {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        questions: PathBuf,
        #[arg(long)]
        secs: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.role {
        Some(Role::Ask { port, questions, secs }) => generator::run(port, &questions, secs),
        None => match &args.report {
            Some(file) => print_earlier(file),
            None if !args.bench => {
                println!("nothing measured: cargo bench --bench names");
                Ok(())
            }
            None => compare(&args),
        },
    }
}

fn titles() -> Vec<Title> {
    MIXES.iter().map(|mix| mix.title).collect()
}

fn print_earlier(file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let measured: Result<Vec<Measured>, _> = text.lines().map(serde_json::from_str).collect();
    print!("{}", report::render(&measured?, &titles()));
    Ok(())
}

fn compare(args: &Args) -> anyhow::Result<()> {
    ensure!(std::thread::available_parallelism()?.get() >= 2, "needs two cores: one for the server, one for the load");
    for tool in ["setpriv", "prlimit", "taskset"] {
        ensure!(machine::program(tool).is_some(), "{tool} is not installed (Debian: util-linux)");
    }
    let mixes = chosen(&args.only)?;
    let kinds = kinds(args)?;
    // cargo starts benchmarks in the package's folder
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("a target folder")?;
    let dir = target.join("bench");
    let around = surroundings(&dir.join("names"))?;
    let results = dir.join("names.jsonl");
    let mut file = File::create(&results).with_context(|| format!("{} cannot be written", results.display()))?;
    let mut run = Run { around: &around, secs: args.secs, kinds, servers: Vec::new(), measured: Vec::new() };
    run.open_all(&mixes)?;
    for round in 1..=usize::from(args.rounds) {
        for mix in &mixes {
            run.pair(mix, round, &mut file)?;
        }
    }
    print!("{}", report::render(&run.measured, &titles()));
    println!("Every measurement: {}", results.display());
    Ok(())
}

/// A fresh folder, the databases in it, and an endpoint that is healthy.
fn surroundings(dir: &Path) -> anyhow::Result<Surroundings> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let around = Surroundings {
        dir: dir.canonicalize()?,
        database: Database::of(NETWORKS)?,
        large: Database::of(NETWORKS_LARGE)?,
        endpoint: healthy()?,
    };
    fs::write(around.file(Setting::Plain), &around.database.bytes)?;
    fs::write(around.file(Setting::Large), &around.large.bytes)?;
    Ok(around)
}

/// Answers 200 whatever is asked, one request a connection, until this program ends.
fn healthy() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut head = [0; 4_096];
            if connection.read(&mut head).is_ok_and(|read| read > 0) {
                // Whoever left before the answer does not need it.
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        }
    });
    Ok(port)
}

/// The mixes asked for.
fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Mix>> {
    if only.is_empty() {
        return Ok(MIXES.iter().collect());
    }
    let names: Vec<&str> = MIXES.iter().map(|mix| mix.title.name).collect();
    let named =
        |name: &String| Mix::named(name).with_context(|| format!("no mix {name:?}; there are {}", names.join(", ")));
    only.iter().map(named).collect()
}

/// The servers asked for which are installed, by name: peers first.
fn kinds(args: &Args) -> anyhow::Result<Vec<(String, Kind)>> {
    let mut kinds = Vec::new();
    for name in args.peers.iter().filter(|name| !name.is_empty()) {
        let kind = match name.as_str() {
            "knot" => Kind::Knot,
            "gdnsd" => Kind::Gdnsd,
            "nsd" => Kind::Nsd,
            _ => bail!("no peer {name:?}; there are knot, gdnsd, nsd"),
        };
        match kind.program() {
            Some(_) => kinds.push((name.clone(), kind)),
            None => eprintln!("LEFT OUT: {name}, because it is not installed"),
        }
    }
    let builds = shared::builds(&args.anyfront)?.into_iter();
    kinds.extend(builds.map(|(name, program)| (name, Kind::Anyfront(program))));
    Ok(kinds)
}

/// A comparison under way.
struct Run<'a> {
    around: &'a Surroundings,
    secs: u64,
    kinds: Vec<(String, Kind)>,
    /// Each with its place in `kinds` and its setting.
    servers: Vec<(usize, Setting, Server)>,
    measured: Vec<Measured>,
}

impl Run<'_> {
    /// Starts every server in every setting that is needed. All are up at once and idle but the one measured, so that
    /// they are compared within seconds.
    fn open_all(&mut self, mixes: &[&Mix]) -> anyhow::Result<()> {
        let settings: BTreeSet<Setting> = mixes.iter().map(|mix| mix.setting).collect();
        for setting in settings {
            for (at, (name, kind)) in self.kinds.iter().enumerate() {
                if mixes.iter().any(|mix| mix.setting == setting && mix.is_for(kind)) {
                    self.servers.push((at, setting, Server::open(name, kind, setting, self.around)?));
                }
            }
        }
        Ok(())
    }

    /// Asks every server the same, one after the other, each round beginning with another.
    fn pair(&mut self, mix: &Mix, round: usize, file: &mut File) -> anyhow::Result<()> {
        for step in 0..self.kinds.len() {
            let at = (step + round) % self.kinds.len();
            let (name, kind) = &self.kinds[at];
            let found = self.servers.iter().find(|(kind, setting, _)| (*kind, *setting) == (at, mix.setting));
            let Some((.., server)) = found.filter(|_| mix.is_for(kind)) else { continue };
            match self.attempt(mix, server) {
                Ok(one) => {
                    let one = Measured { round, is_peer: kind.is_peer(), ..one };
                    println!(
                        "{round:>3} {:<16} {:<12} {:>9.3} {} ({:.0}/s, core {:.0}%, others {})",
                        one.workload,
                        one.door,
                        one.cost,
                        one.unit,
                        one.count / one.seconds,
                        one.core_share * 100.0,
                        report::percent(one.others_share)
                    );
                    writeln!(file, "{}", serde_json::to_string(&one)?)?;
                    self.measured.push(one);
                }
                Err(error) => eprintln!("FAILED: {name} {}: {error:#}", mix.title.name),
            }
        }
        Ok(())
    }

    /// Measures, up to three times while others disturb; the quietest counts.
    fn attempt(&self, mix: &Mix, server: &Server) -> anyhow::Result<Measured> {
        let mut best = mix.run(server, self.around, self.secs)?;
        for _ in 0..2 {
            if best.others_share.is_none_or(|share| share <= OTHERS_SHARE_MAX) {
                break;
            }
            let again = mix.run(server, self.around, self.secs)?;
            if again.others_share < best.others_share {
                best = again;
            }
        }
        Ok(best)
    }
}
