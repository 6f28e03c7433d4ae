//! THE SEARCH FOR A BROKEN PROMISE: drawn scenarios before the oracle. A few here, thousands by `make sim`
//! (`ANYFRONT_SIM_SEEDS`, `ANYFRONT_SIM_LIVENESS`, `ANYFRONT_SIM_FROM`, `ANYFRONT_SIM_MINUTES`).

mod common;

use anyfront::sim::coverage::{Coverage, Step};
use anyfront::sim::oracle::{INVARIANTS, Mode, Oracle};
use anyfront::sim::scenario::kind::Kind;
use anyfront::sim::search::Search;
use anyfront::sim::stage::Stage;
use anyfront::sim::world::World;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Scenarios tried for the shortest script of a failure.
const TRIALS_MAX: u32 = 150;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

fn search(mode: Mode, seeds: u64, minutes: u64) -> Coverage {
    let config: Arc<str> = common::real_fleet().into();
    let stage = Stage::of(Arc::new(common::topology(&config)), common::locator());
    let lasts = Duration::from_secs(60 * number("ANYFRONT_SIM_MINUTES", minutes));
    let from = number("ANYFRONT_SIM_FROM", 1);
    let search = Search { config, stage, mode, lasts };
    let began = Instant::now();
    let (next, events, lasted) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Vec<(u64, &'static str, String)>> = Mutex::default();
    let counts = Mutex::new(vec![(0_u64, 0_u64); INVARIANTS.len()]);
    let coverage = Mutex::new(Coverage::default());
    let cores = number("ANYFRONT_SIM_CORES", std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let run = search.run(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                    events.fetch_add(run.events, Relaxed);
                    lasted.fetch_add(run.lasted.as_secs(), Relaxed);
                    coverage.lock().expect("nobody panics").add(&run.coverage);
                    for ((times, runs), count) in counts.lock().expect("nobody panics").iter_mut().zip(&run.counts) {
                        (*times, *runs) = (*times + count, *runs + u64::from(*count > 0));
                    }
                    let mut failed = failed.lock().expect("nobody panics");
                    for violation in run.violations {
                        let is_new = failed.iter().filter(|(_, name, _)| *name == violation.invariant).count() < 8;
                        if is_new && !failed.iter().any(|(known, name, _)| (*known, *name) == (seed, violation.invariant)) {
                            let at = violation.at.as_nanos() / 1_000_000;
                            failed.push((seed, violation.invariant, format!("at {at} ms: {}", violation.what)));
                        }
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    let (events, lasted) = (events.into_inner(), lasted.into_inner());
    let speed = lasted as f64 / took.as_secs_f64();
    println!("{mode:?}: {seeds} seeds, {events} events, {lasted} s in {took:?}: {speed:.0} times as fast as life");
    for (invariant, (times, runs)) in INVARIANTS.iter().zip(counts.into_inner().expect("nobody panicked")) {
        if times > 0 {
            println!("  {:<28} {times:>7} times in {runs} runs", invariant.name);
        }
    }
    let mut failed = failed.into_inner().expect("nobody panicked");
    failed.sort();
    for (seed, invariant, what) in &failed {
        println!("  seed {seed}: {invariant} {what}");
    }
    if let Some((seed, invariant, _)) = failed.first() {
        if let Some(shortest) = search.shortest(*seed, invariant, TRIALS_MAX) {
            println!("{}\n{}", shortest.violation.what, shortest.scenario.to_toml(&search.stage.cities));
        }
    }
    assert!(failed.is_empty(), "{} promises were broken", failed.len());
    coverage.into_inner().expect("nobody panicked")
}

fn tell(coverage: &Coverage) {
    for kind in Kind::ALL {
        let met = coverage.faults.get(kind).copied().unwrap_or_default();
        println!("  {:<16} {:>6} begun {:>6} met", kind.as_str(), met.begun, met.met);
    }
    for step in Step::ALL {
        println!("  {:<30} {:>9}", step.as_str(), coverage.steps.get(step).copied().unwrap_or(0));
    }
}

#[test]
fn no_promise_is_broken_whatever_fails() {
    tell(&search(Mode::Safety, number("ANYFRONT_SIM_SEEDS", 6), 20));
}

#[test]
fn whoever_a_healthy_core_can_serve_is_served() {
    tell(&search(Mode::Liveness, number("ANYFRONT_SIM_LIVENESS", 3), 20));
}

/// One seed, told fact by fact: `ANYFRONT_SIM_TELL=liveness:17`.
#[test]
fn one_seed_is_told() {
    let Ok(which) = std::env::var("ANYFRONT_SIM_TELL") else { return };
    let (mode, seed) = which.split_once(':').map_or((Mode::Safety, which.as_str()), |(_, seed)| (Mode::Liveness, seed));
    let config: Arc<str> = common::real_fleet().into();
    let stage = Stage::of(Arc::new(common::topology(&config)), common::locator());
    let lasts = Duration::from_secs(60 * number("ANYFRONT_SIM_MINUTES", 20));
    let search = Search { config, stage, mode, lasts };
    let drawn = search.draw(seed.parse().expect("a number"));
    println!("{}", drawn.scenario.to_toml(&search.stage.cities));
    let rollouts = anyfront::sim::search::rollouts(&drawn.scenario).expect("files");
    let mut world = World::new(&drawn.stage, &Arc::new(drawn.scenario.clone()), &rollouts, drawn.scenario.seed).expect("fits");
    let mut oracle = Oracle::new(&world, mode);
    let mut told = 0;
    let mut lines = String::new();
    while world.step() {
        lines.clear();
        anyfront::sim::trace::write(&world, &mut lines);
        print!("{lines}");
        oracle.judge(&world);
        for violation in &oracle.violations()[told..] {
            println!("!! {} {}", violation.invariant, violation.what);
        }
        told = oracle.violations().len();
    }
}
