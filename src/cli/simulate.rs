//! `anyfront simulate`: what would happen, before it does.

mod bar;
mod files;
mod record;
pub mod search;

use super::admin::printable;
use super::plan;
use crate::geo::database::Locator;
use crate::moment::{Clock, rfc3339};
use crate::sim::cities::Cities;
use crate::sim::oracle::Mode;
use crate::sim::play::{Played, play};
use crate::sim::quality::measure;
use crate::sim::report::compare::Comparison;
use crate::sim::report::make::Told;
use crate::sim::report::{Report, Run, text};
use crate::sim::scenario::check::{Around, Rolled, SCENARIO_BYTES_MAX, check};
use crate::sim::scenario::fit::Fitted;
use crate::sim::scenario::{Scenario, What, file};
use crate::sim::search::Search;
use crate::sim::stage::{Stage, fitted};
use crate::topology::Topology;
use crate::topology::check::check as check_config;
use crate::topology::mistake::Mistakes;
use anyhow::Context;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Mistakes in files and arguments that mean nothing: not the same as a demand that does not hold.
const MISTAKEN: u8 = 2;
/// What is left out for another configuration, and told by name.
const LEFT_OUT_TOLD_MAX: usize = 20;

const EXAMPLES: &str = "\
Examples:
  anyfront simulate deploy/scenarios/mumbai-monday.toml --config regions.toml
      what if Mumbai is gone on Monday at nine?
  anyfront simulate story.toml --config regions.toml --compare proposed.toml --report out/
      the same story in front of another configuration, side by side
  anyfront simulate --record /var/lib/anyfront --config regions.toml --from 2026-11-27T06:00:00Z --to 2026-11-27T09:00:00Z
      what really happened, as a scenario to play again
  anyfront simulate --schema > scenario.schema.json

The exit status is 0 if everything holds that the scenario demands, 1 if something does not (standard error says what,
where and when; with --compare of either configuration), 2 if there is a mistake in a file, or if something cannot be
read or written.";

/// Play a scenario in virtual time: outages, crowds and operators, against a configuration
///
/// Many nodes, thousands of clients with the habits of real programs, their resolvers, and regions with queues, all driven by
/// the very code that decides in a node. An hour takes a blink. The same scenario, configuration and seed give the same
/// result, always.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The scenario (- is standard input); an empty one is a quiet hour
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["schema", "record", "search"])]
    scenario: Option<PathBuf>,
    /// The configuration that it is played against
    #[arg(long, value_name = "FILE", required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Where all chance comes from, instead of the scenario's own seed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Write the report into this folder: report.html, report.json, slots.csv
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Play it against this configuration too, and show both side by side
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write everything that happens into this file, a line each
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print a scenario of what really happened: from a node's state directory (its history) or an access log
    #[arg(long, value_name = "PATH", requires_all = ["from", "to"], conflicts_with_all = ["scenario", "compare", "trace", "report", "json"])]
    record: Option<PathBuf>,
    /// Record from this time on (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "record", value_parser = time)]
    from: Option<Duration>,
    /// Record up to this time (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "record", value_parser = time)]
    to: Option<Duration>,
    /// Play so many random scenarios before the oracle instead, and print the shortest script of what breaks a promise
    #[arg(long, value_name = "SEEDS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["scenario", "compare", "trace", "report", "json", "record"])]
    search: Option<u64>,
    /// The first of their seeds; otherwise 1, or --seed
    #[arg(long, value_name = "SEED", requires = "search")]
    from_seed: Option<u64>,
    /// Search with a core that stays healthy: whoever it can serve must be served
    #[arg(long, requires = "search")]
    liveness: bool,
    /// How long each of them lasts, minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60), requires = "search")]
    minutes: u64,
    /// Print the JSON schema of scenarios, with which editors complete and explain their keys
    #[arg(long, conflicts_with_all = ["scenario", "config", "record"])]
    schema: bool,
    /// Draw without colours (so does NO_COLOR in the environment)
    #[arg(long)]
    no_color: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    crate::moment::since_epoch(text).ok_or_else(|| "it should be a time such as 2026-11-30T09:00:00Z".to_owned())
}

/// Does it.
///
/// # Errors
/// Never: mistakes in files, what cannot be read or written, and broken demands are its result, each with a status.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    done(args).or_else(tell(args))
}

fn done(args: &Args) -> Result<ExitCode, Problem> {
    if args.schema {
        plan::print(&format!("{:#}\n", file::schema()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = args.config.as_deref().context("--config is required")?;
    if let Some(seeds) = args.search {
        return searched(args, config, seeds);
    }
    match (&args.record, &args.scenario) {
        (Some(path), _) => record::run(path, config, args.from.unwrap_or_default(), args.to.unwrap_or_default()),
        (None, Some(scenario)) => simulate(args, scenario, config),
        (None, None) => Err(Problem::Told("a scenario is required".to_owned())),
    }
}

/// Says what the problem is.
fn tell(args: &Args) -> impl FnOnce(Problem) -> anyhow::Result<ExitCode> {
    |problem| match problem {
        Problem::Mistakes(mistakes) => {
            eprint!("{}", mistakes.render(may_color(args)));
            Ok(ExitCode::from(MISTAKEN))
        }
        Problem::Told(text) => {
            eprintln!("anyfront: {}", printable(&text));
            Ok(ExitCode::from(MISTAKEN))
        }
        Problem::Failure(error) => {
            eprintln!("anyfront: {}", printable(&format!("{error:#}")));
            Ok(ExitCode::from(MISTAKEN))
        }
    }
}

/// Searches for a broken promise.
fn searched(args: &Args, path: &Path, seeds: u64) -> Result<ExitCode, Problem> {
    let source = plan::read(path).map_err(|error| Problem::Told(format!("{error:#}")))?;
    let stage = stage(Config::read(path)?.topology)?;
    let mode = if args.liveness { Mode::Liveness } else { Mode::Safety };
    let search = Search { config: source.into(), stage, mode, lasts: Duration::from_secs(60 * args.minutes) };
    let from = args.from_seed.or(args.seed).unwrap_or(1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Every core takes one number past the end before it sees that it is over.
    let numbers = seeds.saturating_add(cores as u64);
    if from.checked_add(numbers).is_none() {
        return Err(Problem::Told(format!("there are no {seeds} seeds from {from} on: the last is {}", u64::MAX)));
    }
    let hunt = search::hunt(&search, from, seeds, cores);
    plan::print(&hunt.text(&search))?;
    if let Some(shortest) = hunt.shortest(&search) {
        plan::print(&shortest)?;
    }
    Ok(if hunt.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The stage in front of which that configuration stands.
fn stage(topology: Arc<Topology>) -> Result<Stage, Problem> {
    let locator = Locator::open(topology.geo.places.clone(), topology.geo.database.as_deref())
        .map_err(|error| Problem::Told(error.to_string()))?;
    Ok(Stage::of(topology, Arc::new(locator)))
}

/// Why nothing could be played.
#[derive(Debug)]
enum Problem {
    /// Of a file.
    Mistakes(Mistakes),
    /// Of a file or argument, in words.
    Told(String),
    /// The machine said no.
    Failure(anyhow::Error),
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::Failure(error)
    }
}

fn may_color(args: &Args) -> bool {
    !args.no_color
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A configuration that is right.
struct Config {
    /// How it was called.
    name: String,
    topology: Arc<Topology>,
}

impl Config {
    fn read(path: &Path) -> Result<Self, Problem> {
        let source = plan::read(path).map_err(|error| Problem::Told(format!("{error:#}")))?;
        let checked = check_config(&source, path).map_err(Problem::Mistakes)?;
        Ok(Self { name: path.display().to_string(), topology: Arc::new(checked.topology) })
    }
}

/// Reads a scenario's file.
fn read(path: &Path) -> Result<String, Problem> {
    use std::io::Read;
    let mut bytes = Vec::new();
    // One octet more than is taken, so that `check` sees that it is too long.
    let limit = SCENARIO_BYTES_MAX as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Problem::Told(format!("{} cannot be read: {error}", path.display())))?;
    String::from_utf8(bytes).map_err(|_| Problem::Told(format!("{} is no UTF-8 text", path.display())))
}

fn simulate(args: &Args, path: &Path, config: &Path) -> Result<ExitCode, Problem> {
    let source = read(path)?;
    let config = Config::read(config)?;
    let other = args.compare.as_deref().map(Config::read).transpose()?;
    let cities = Cities::of_the_world();
    let folder = path.parent().unwrap_or(Path::new(""));
    let rolled = |rolled: Rolled<'_>| rollout(folder, rolled);
    let around = Around { topology: &config.topology, cities: &cities, config: &rolled };
    let checked = check(&source, path, &around).map_err(Problem::Mistakes)?;
    eprint!("{}", checked.warnings.render(may_color(args)));
    let other = match other {
        None => None,
        Some(other) => Some((fitted_to(&other, &checked.scenario)?, other)),
    };
    if let Some(folder) = &args.report {
        files::make_folder(folder)?;
    }
    let seed = args.seed.unwrap_or(checked.scenario.seed);
    let report = played(args, &config, &checked.scenario, seed, args.trace.as_deref())?;
    let compared = match &other {
        None => None,
        Some((scenario, other)) => Some(played(args, other, scenario, seed, None)?),
    };
    let comparison = compared.as_ref().map(|other| Comparison::of(report.report.clone(), other.report.clone()));
    if let Some(folder) = &args.report {
        files::write_reports(folder, &report, compared.as_ref())?;
        if let Some(comparison) = &comparison {
            files::write(folder, "comparison.html", &comparison.page())?;
        }
    }
    if args.json {
        let told = match &comparison {
            None => serde_json::to_value(&report.report),
            Some(comparison) => serde_json::to_value(comparison),
        };
        plan::print(&format!("{:#}\n", told.map_err(anyhow::Error::from)?))?;
    } else {
        plan::print(&printable(
            &comparison.map_or_else(|| text::text(&report.report), |comparison| comparison.text()),
        ))?;
    }
    let failures = failures(&report, compared.as_ref());
    for failure in &failures {
        eprintln!("anyfront: {}", printable(failure));
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What does not hold; of two configurations each is told with its name.
fn failures(played: &Played, compared: Option<&Played>) -> Vec<String> {
    let Some(other) = compared else { return played.report.failures() };
    let named = |report: &Report| {
        let name = &report.configuration;
        report.failures().into_iter().map(|failure| format!("{name}: {failure}")).collect::<Vec<_>>()
    };
    [named(&played.report), named(&other.report)].concat()
}

/// What of a scenario can be played against a configuration that it was not written for. The rest is told.
fn fitted_to(config: &Config, scenario: &Scenario) -> Result<Scenario, Problem> {
    let fitted = scenario.fitted(&config.topology);
    let Fitted { scenario, left_out } =
        fitted.map_err(|problem| Problem::Told(format!("{}: {problem}", config.name)))?;
    if !left_out.is_empty() {
        let more = left_out.len().saturating_sub(LEFT_OUT_TOLD_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let told = left_out[..left_out.len().min(LEFT_OUT_TOLD_MAX)].join(", ");
        eprintln!("anyfront: note: {}", printable(&format!("left out for {}: {told}{more}", config.name)));
    }
    Ok(scenario)
}

/// The configuration that a scenario rolls out, if it is right.
fn rollout(folder: &Path, rolled: Rolled<'_>) -> Result<Arc<str>, String> {
    let (path, source) = match rolled {
        Rolled::Text(text) => (folder.join("config"), text.to_owned()),
        Rolled::File(name) => {
            let path = folder.join(name);
            let source = plan::read(&path).map_err(|error| format!("cannot be read: {}", error.root_cause()))?;
            (path, source)
        }
    };
    match check_config(&source, &path) {
        Ok(_) => Ok(source.into()),
        Err(mistakes) => Err(match mistakes.rows().first() {
            Some(first) => {
                format!("has {} mistakes, the first in line {}: {}", mistakes.len(), first.line, first.message)
            }
            None => "is not right".to_owned(),
        }),
    }
}

/// Plays a scenario in front of a configuration, and says how long it took.
fn played(
    args: &Args,
    config: &Config,
    scenario: &Scenario,
    seed: u64,
    trace: Option<&Path>,
) -> Result<Played, Problem> {
    let stage = stage(Arc::clone(&config.topology))?;
    let scenario = Arc::new(scenario.clone());
    let rollouts = rollouts(&scenario)?;
    let mut trace = trace.map(Trace::create).transpose()?;
    let clock = Clock::start();
    let mut bar = bar::Bar::new(clock, &scenario, args.json);
    let each = |world: &crate::sim::world::World| {
        bar.at(world.now);
        if let Some(trace) = &mut trace {
            trace.note(world);
        }
    };
    let fitted = stage.with(Arc::new(fitted(&stage.topology, &scenario)));
    let quality = serde_json::to_value(measure(&fitted)).ok();
    let told = || Told { configuration: config.name.clone(), seed, quality, ..Told::default() };
    let mut played = play(&stage, &scenario, &rollouts, seed, each, told)
        .map_err(|problem| Problem::Told(format!("{}: {problem}", config.name)))?;
    bar.clear();
    if let Some(trace) = trace {
        trace.close()?;
    }
    let took = clock.now().since(crate::moment::Moment::ZERO).as_secs_f64().max(1e-6);
    played.report.run = Some(Run {
        events: played.events,
        wall_ms: (took * 1e6).round() / 1e3,
        times_real_time: (scenario.lasts.as_secs_f64() / took).round(),
    });
    Ok(played)
}

/// The configurations that a scenario rolls out, in its order.
fn rollouts(scenario: &Scenario) -> Result<Vec<Arc<Topology>>, Problem> {
    let texts = scenario.faults.iter().filter_map(|fault| match &fault.what {
        What::Rollout(text) => Some(text),
        _ => None,
    });
    let checked = texts.map(|text| check_config(text, Path::new("rollout")).map(|checked| Arc::new(checked.topology)));
    checked.collect::<Result<_, _>>().map_err(Problem::Mistakes)
}

/// A file with everything that happens.
struct Trace {
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
    failed: Option<std::io::Error>,
}

impl Trace {
    fn create(path: &Path) -> Result<Self, Problem> {
        let file = std::fs::File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { path: path.to_owned(), file: std::io::BufWriter::new(file), failed: None })
    }

    fn note(&mut self, world: &crate::sim::world::World) {
        for fact in &world.facts {
            if self.failed.is_none() {
                self.failed = writeln!(self.file, "{} {fact:?}", rfc3339_nanos(world)).err();
            }
        }
    }

    fn close(mut self) -> anyhow::Result<()> {
        let failed = self.failed.take().or_else(|| self.file.flush().err());
        match failed {
            None => Ok(()),
            Some(error) => Err(error).with_context(|| format!("{} cannot be written", self.path.display())),
        }
    }
}

/// When it is in the world, to the nanosecond.
fn rfc3339_nanos(world: &crate::sim::world::World) -> String {
    let wall = world.wall();
    let to_the_second = rfc3339(wall);
    let (seconds, _) = to_the_second.split_once('.').unwrap_or((&to_the_second, ""));
    format!("{seconds}.{:09}Z", wall.subsec_nanos())
}
