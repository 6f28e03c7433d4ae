//! `anyfront simulate --search`: drawn scenarios before the oracle, a seed on each core at a time.

use crate::moment::{Clock, Moment};
use crate::sim::coverage::{Coverage, Step};
use crate::sim::oracle::{INVARIANTS, Violation};
use crate::sim::scenario::kind::Kind;
use crate::sim::search::{Search, TRIALS_MAX};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Seeds of one invariant that are told.
const TOLD_MAX: usize = 8;

/// What a search came to.
#[derive(Debug)]
pub struct Hunt {
    /// How many seeds.
    pub seeds: u64,
    /// Events of all of them.
    pub events: u64,
    /// How long they lasted, in their worlds.
    pub lasted: Duration,
    /// How long it took.
    pub took: Duration,
    /// By invariant: how often it was broken, and in how many runs.
    pub counts: Vec<(u64, u64)>,
    /// The first violations of each, by seed.
    pub failed: Vec<(u64, Violation)>,
    /// Seeds that could not be played, and why.
    pub misfits: Vec<(u64, String)>,
    /// What was met and reached.
    pub coverage: Coverage,
}

impl Hunt {
    fn add(&mut self, seed: u64, run: Result<crate::sim::search::Run, String>) {
        self.seeds += 1;
        let run = match run {
            Ok(run) => run,
            Err(error) => return self.misfits.push((seed, error)),
        };
        self.events += run.events;
        self.lasted += run.lasted;
        self.coverage.add(&run.coverage);
        for ((times, runs), count) in self.counts.iter_mut().zip(&run.counts) {
            (*times, *runs) = (*times + count, *runs + u64::from(*count > 0));
        }
        for violation in run.violations {
            let of = |(_, known): &&(u64, Violation)| known.invariant == violation.invariant;
            let told = self.failed.iter().filter(of);
            let is_new = told.clone().count() < TOLD_MAX && !told.clone().any(|(known, _)| *known == seed);
            if is_new {
                self.failed.push((seed, violation));
            }
        }
    }

    /// Whether every promise was kept in every seed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.misfits.is_empty()
    }

    /// All of it, for people.
    #[must_use]
    pub fn text(&self, search: &Search) -> String {
        let mut text = String::new();
        let speed = self.lasted.as_secs_f64() / self.took.as_secs_f64().max(1e-6);
        let (mode, seeds, events, took) = (search.mode, self.seeds, self.events, self.took.as_secs_f64());
        // Writing to a string does not fail.
        let _ = writeln!(text, "{mode:?}: {seeds} seeds, {events} events in {took:.1} s, {speed:.0} times real time");
        for kind in Kind::ALL {
            let met = self.coverage.faults.get(kind).copied().unwrap_or_default();
            let _ = writeln!(text, "  {:<30} {:>9} begun {:>9} met", kind.as_str(), met.begun, met.met);
        }
        for step in Step::ALL {
            let times = self.coverage.steps.get(step).copied().unwrap_or(0);
            let _ = writeln!(text, "  {:<30} {times:>9} times", step.as_str());
        }
        for (invariant, (times, runs)) in INVARIANTS.iter().zip(&self.counts).filter(|(_, (times, _))| *times > 0) {
            let _ = writeln!(text, "broken: {} {times} times in {runs} runs. {}", invariant.name, invariant.sentence);
        }
        for (seed, why) in &self.misfits {
            let _ = writeln!(text, "  seed {seed} cannot be played: {why}");
        }
        for (seed, Violation { invariant, at, what }) in &self.failed {
            let at = at.since(Moment::ZERO).as_secs_f64();
            let _ = writeln!(text, "  seed {seed}, {invariant}, at {at:.3} s: {what}");
        }
        text
    }

    /// The shortest script of the first failure, if there is one: that takes a while.
    #[must_use]
    pub fn shortest(&self, search: &Search) -> Option<String> {
        let (seed, first) = self.failed.first()?;
        let shortest = search.shortest(*seed, first.invariant, TRIALS_MAX)?;
        let (what, script) = (&shortest.violation.what, shortest.scenario.to_toml(&search.stage.cities));
        let mut text = format!("The shortest script of seed {seed} that still breaks it ({what}):\n{script}\n");
        if *shortest.config != *search.config {
            let _ = writeln!(text, "in front of\n{}", shortest.config);
        }
        Some(text)
    }
}

/// Plays `seeds` seeds from `from` on, on so many cores.
#[must_use]
pub fn hunt(search: &Search, from: u64, seeds: u64, cores: usize) -> Hunt {
    let clock = Clock::start();
    let next = AtomicU64::new(from);
    let hunt = Hunt {
        seeds: 0,
        events: 0,
        lasted: Duration::ZERO,
        took: Duration::ZERO,
        counts: vec![(0, 0); INVARIANTS.len()],
        failed: Vec::new(),
        misfits: Vec::new(),
        coverage: Coverage::default(),
    };
    let hunt = Mutex::new(hunt);
    std::thread::scope(|scope| {
        for _ in 0..cores.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let run = search.run(seed);
                    hunt.lock().unwrap_or_else(PoisonError::into_inner).add(seed, run);
                }
            });
        }
    });
    let mut hunt = hunt.into_inner().unwrap_or_else(PoisonError::into_inner);
    hunt.took = clock.now().since(Moment::ZERO);
    hunt.failed.sort_by_key(|(seed, _)| *seed);
    hunt
}
