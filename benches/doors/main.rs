//! `make bench`: anyfront beside nginx and HAProxy, one core each, same endpoint, same load.
//!
//! The figure that counts is what a proxy's process costs per request in CPU. README.md in the folder above has the
//! method and what the figures can and cannot say.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads real clocks and waits for real time")]
#![allow(clippy::cast_precision_loss, reason = "counts and nanoseconds here are far below 2^53")]

mod clients;
mod doors;
mod endpoint;
#[path = "../shared/mod.rs"]
mod shared;
mod workloads;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use clients::{Aim, Client};
use doors::{Door, Kind, Surroundings};
use shared::machine;
use shared::measured::{Measured, Title};
use shared::report::{self, OTHERS_SHARE_MAX};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::task::LocalSet;
use workloads::{Course, WORKLOADS, Workload};

/// anyfront beside nginx and HAProxy, one core each, same endpoint, same load.
#[derive(Debug, Parser)]
#[command(name = "doors", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Cargo gives it to benchmarks; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
    /// Which proxies to compare with.
    #[arg(long, value_delimiter = ',', default_value = "nginx,haproxy")]
    peers: Vec<String>,
    /// Which workloads; all if not said.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each proxy gets each workload.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// How long each time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    secs: u64,
    /// Another build of anyfront to measure instead of this one, as NAME=FILE; may be repeated.
    #[arg(long, value_name = "NAME=FILE")]
    anyfront: Vec<String>,
    /// Do not measure: print the table of an earlier run's JSON lines.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What this program is when it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The endpoint behind the proxies.
    #[command(hide = true)]
    Endpoint { port: u16, grpc_port: u16 },
    /// A client.
    #[command(hide = true)]
    Client {
        client: Client,
        #[arg(long)]
        port: u16,
        #[arg(long)]
        secs: u64,
        #[arg(long)]
        count: usize,
        #[arg(long)]
        trust: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.role {
        Some(Role::Endpoint { port, grpc_port }) => on_this_thread(endpoint::run(port, grpc_port)),
        Some(Role::Client { client, port, secs, count, trust }) => {
            on_this_thread(clients::run(client, Aim::new(port, trust.as_deref())?, secs, count))
        }
        None => match &args.report {
            Some(file) => print_earlier(file),
            None if !args.bench => {
                println!("nothing measured: cargo bench --bench doors");
                Ok(())
            }
            None => compare(&args),
        },
    }
}

fn on_this_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

fn print_earlier(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let measured: Result<Vec<Measured>, _> = text.lines().map(serde_json::from_str).collect();
    print!("{}", report::render(&measured?, &titles()));
    Ok(())
}

fn titles() -> Vec<Title> {
    WORKLOADS.iter().map(|workload| workload.title).collect()
}

fn compare(args: &Args) -> anyhow::Result<()> {
    ensure!(std::thread::available_parallelism()?.get() >= 2, "needs two cores: one for the proxy, one for the load");
    for tool in ["setpriv", "prlimit", "taskset"] {
        ensure!(machine::program(tool).is_some(), "{tool} is not installed (Debian: util-linux)");
    }
    let workloads = chosen(&args.only)?;
    let kinds = kinds(args)?;
    // cargo starts benchmarks in the package's folder
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("a target folder")?;
    let dir = target.join("bench");
    let around = Surroundings::prepare(&dir.join("run"))?;
    let results = dir.join("doors.jsonl");
    let mut file = File::create(&results).with_context(|| format!("{} cannot be written", results.display()))?;
    let endpoint = doors::endpoint(&around)?;
    let course = Course { around: &around, endpoint: endpoint.pid(), secs: args.secs };
    let mut run = Run { course, kinds, doors: Vec::new(), measured: Vec::new() };
    run.open_all()?;
    for round in 1..=usize::from(args.rounds) {
        for workload in &workloads {
            // Memory is that of a fresh process and hardly varies: once is enough.
            if !workload.is_memory() || round == 1 {
                run.pair(workload, round, &mut file)?;
            }
        }
    }
    print!("{}", report::render(&run.measured, &titles()));
    println!("Every measurement: {}", results.display());
    Ok(())
}

/// The workloads asked for whose tools are there.
fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Workload>> {
    let mut workloads: Vec<&Workload> = WORKLOADS.iter().collect();
    if !only.is_empty() {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.title.name).collect();
        let named = |name: &String| {
            Workload::named(name).with_context(|| format!("no workload {name:?}; there are {}", names.join(", ")))
        };
        workloads = only.iter().map(named).collect::<Result<_, _>>()?;
    }
    workloads.retain(|workload| {
        let missing = workload.needs().filter(|tool| machine::program(tool).is_none());
        if let Some(tool) = missing {
            eprintln!("LEFT OUT: workload {}, because {tool} is not installed", workload.title.name);
        }
        missing.is_none()
    });
    Ok(workloads)
}

/// The doors asked for which are installed, by name: peers first.
fn kinds(args: &Args) -> anyhow::Result<Vec<(String, Kind)>> {
    let mut kinds = Vec::new();
    for name in args.peers.iter().filter(|name| !name.is_empty()) {
        let kind = match name.as_str() {
            "nginx" => Kind::Nginx,
            "haproxy" => Kind::Haproxy,
            _ => bail!("no peer {name:?}; there are nginx, haproxy"),
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
    course: Course<'a>,
    kinds: Vec<(String, Kind)>,
    doors: Vec<Door>,
    measured: Vec<Measured>,
}

impl Run<'_> {
    /// Opens every door. All are up at once and idle but the one measured, so that they are compared within seconds.
    fn open_all(&mut self) -> anyhow::Result<()> {
        for (name, kind) in &self.kinds {
            self.doors.push(Door::open(name, kind, self.course.around)?);
        }
        Ok(())
    }

    /// Gives every door the same workload, one after the other, each round beginning with another.
    fn pair(&mut self, workload: &Workload, round: usize, file: &mut File) -> anyhow::Result<()> {
        for step in 0..self.doors.len() {
            let at = (step + round) % self.doors.len();
            if workload.is_memory() {
                self.reopen(at)?;
            }
            let mut done = self.attempt(workload, at);
            if let Err(error) = &done {
                eprintln!("AGAIN: {} {}: {error:#}", self.doors[at].name, workload.title.name);
                self.reopen(at)?;
                done = self.attempt(workload, at);
            }
            match done {
                Ok(one) => {
                    let one = Measured { round, is_peer: self.kinds[at].1.is_peer(), ..one };
                    println!(
                        "{round:>3} {:<13} {:<12} {:>9.2} {} (core {:.0}%, others {})",
                        one.workload,
                        one.door,
                        one.cost,
                        one.unit,
                        one.core_share * 100.0,
                        report::percent(one.others_share)
                    );
                    writeln!(file, "{}", serde_json::to_string(&one)?)?;
                    self.measured.push(one);
                }
                Err(error) => eprintln!("FAILED: {} {}: {error:#}", self.doors[at].name, workload.title.name),
            }
        }
        Ok(())
    }

    /// Measures, up to three times while others disturb; the quietest counts.
    fn attempt(&self, workload: &Workload, at: usize) -> anyhow::Result<Measured> {
        let mut best = workload.run(&self.course, &self.doors[at])?;
        for _ in 0..2 {
            if best.others_share.is_none_or(|share| share <= OTHERS_SHARE_MAX) {
                break;
            }
            let again = workload.run(&self.course, &self.doors[at])?;
            if again.others_share < best.others_share {
                best = again;
            }
        }
        Ok(best)
    }

    /// Replaces a door by a fresh process.
    fn reopen(&mut self, at: usize) -> anyhow::Result<()> {
        let (name, kind) = &self.kinds[at];
        self.doors[at] = Door::open(name, kind, self.course.around)?;
        Ok(())
    }
}
