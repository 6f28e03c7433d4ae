//! The search for a broken promise: drawn scenarios, the oracle, and the shortest script of what it finds.
//!
//! A seed is one run and knows nothing of any other, so that whoever has threads gives each of them seeds.

pub mod variant;

use super::cities::Cities;
use super::coverage::Coverage;
use super::draw::{self, Around};
use super::oracle::{Mode, Oracle, Violation};
use super::scenario::{Scenario, What};
use super::shrink::shrink;
use super::stage::Stage;
use super::world::World;
use crate::topology::Topology;
use crate::topology::check::check;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Scenarios that are tried for the shortest script.
pub const TRIALS_MAX: u32 = 400;
/// Clients of a searched world at most: more show the same.
const CLIENTS_MAX: u32 = 200;
/// Every so many seeds play the whole fleet with all of the crowd that was drawn.
const WHOLE_EVERY: u64 = 8;

/// What is searched.
#[derive(Debug)]
pub struct Search {
    /// The published configuration, as text.
    pub config: Arc<str>,
    /// The stage that has it.
    pub stage: Stage,
    /// What is played.
    pub mode: Mode,
    /// Longest run.
    pub lasts: Duration,
}

/// One seed's run.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub seed: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// How often each invariant was.
    pub counts: Vec<u64>,
    /// What was met and reached.
    pub coverage: Coverage,
    /// Events that were worked off.
    pub events: u64,
    /// How long it lasted, in the world.
    pub lasted: Duration,
}

/// A scenario that breaks a promise, as short as it was made.
#[derive(Debug)]
pub struct Shortest {
    /// The scenario.
    pub scenario: Scenario,
    /// The configuration it is played against, as text.
    pub config: String,
    /// What it breaks.
    pub violation: Violation,
}

/// A seed's scenario and configuration.
#[derive(Debug)]
pub struct Drawn {
    /// What is played.
    pub scenario: Scenario,
    /// In front of what.
    pub stage: Stage,
    /// The same as text.
    pub config: String,
}

impl Search {
    /// What a seed is.
    #[must_use]
    pub fn draw(&self, seed: u64) -> Drawn {
        let config = variant::of(&self.config, seed);
        let topology = check(&config, Path::new("regions.toml")).map(|checked| Arc::new(checked.topology));
        let (config, stage) = match topology {
            Ok(topology) => (config, self.stage.with(topology)),
            Err(_) => (self.config.to_string(), self.stage.clone()),
        };
        let cities: &Cities = &self.stage.cities;
        let around = Around { topology: &stage.topology, config: &config, cities };
        let mut scenario = match self.mode {
            Mode::Safety => draw::safety(&around, seed),
            Mode::Liveness => draw::liveness(&around, seed).0,
        };
        if !seed.is_multiple_of(WHOLE_EVERY) {
            scenario.crowd.clients = scenario.crowd.clients.min(CLIENTS_MAX);
        }
        // Half of the worlds lose nothing by chance, so that every loss is somebody's fault.
        if seed.is_multiple_of(2) {
            scenario.ways.loss = 0.0;
        }
        ends(&mut scenario, self.lasts);
        Drawn { scenario, stage, config }
    }

    /// Plays a seed.
    ///
    /// # Errors
    /// What of the scenario does not fit: a bug of whoever drew it.
    pub fn run(&self, seed: u64) -> Result<Run, String> {
        let Drawn { scenario, stage, .. } = self.draw(seed);
        let rollouts = rollouts(&scenario)?;
        let scenario = Arc::new(scenario);
        let mut world = World::new(&stage, &scenario, &rollouts, scenario.seed)?;
        let mut oracle = Oracle::new(&world, self.mode);
        let mut coverage = Coverage::new(&world);
        while world.step() {
            oracle.judge(&world);
            coverage.note(&world, &oracle);
        }
        let violations = oracle.violations().to_vec();
        let lasted = world.now.since(crate::moment::Moment::ZERO);
        Ok(Run { seed, violations, counts: oracle.counts().to_vec(), coverage, events: world.events, lasted })
    }

    /// The shortest script that still breaks the promise that `seed` breaks first, in at most `trials_max` trials.
    #[must_use]
    pub fn shortest(&self, seed: u64, invariant: &str, trials_max: u32) -> Option<Shortest> {
        let Drawn { scenario, stage, config } = self.draw(seed);
        let breaks = |scenario: &Scenario| first(&stage, scenario, self.mode, invariant);
        breaks(&scenario)?;
        let shrunk = shrink(scenario, trials_max, |scenario| breaks(scenario).is_some());
        let violation = breaks(&shrunk.scenario)?;
        Some(Shortest { scenario: shrunk.scenario, config, violation })
    }
}

/// When `scenario` first breaks `invariant`, if it does.
#[must_use]
pub fn first(stage: &Stage, scenario: &Scenario, mode: Mode, invariant: &str) -> Option<Violation> {
    let rollouts = rollouts(scenario).ok()?;
    let scenario = Arc::new(scenario.clone());
    let mut world = World::new(stage, &scenario, &rollouts, scenario.seed).ok()?;
    let mut oracle = Oracle::new(&world, mode);
    while world.step() {
        oracle.judge(&world);
        if let Some(violation) = oracle.violations().iter().find(|violation| violation.invariant == invariant) {
            return Some(violation.clone());
        }
    }
    None
}

/// The files of a scenario's rollouts, in its order.
///
/// # Errors
/// Which of them is no configuration.
pub fn rollouts(scenario: &Scenario) -> Result<Vec<Arc<Topology>>, String> {
    let texts = scenario.faults.iter().filter_map(|fault| match &fault.what {
        What::Rollout(text) => Some(text),
        _ => None,
    });
    let read = |text: &Arc<str>| match check(text, Path::new("rollout.toml")) {
        Ok(checked) => Ok(Arc::new(checked.topology)),
        Err(mistakes) => Err(mistakes.to_string()),
    };
    texts.map(read).collect()
}

/// Lets a scenario end after `lasts`, with what has begun by then.
fn ends(scenario: &mut Scenario, lasts: Duration) {
    if lasts >= scenario.lasts {
        return;
    }
    // Everything comes as much earlier, so that as much happens.
    let share = lasts.as_secs_f64() / scenario.lasts.as_secs_f64();
    for fault in &mut scenario.faults {
        fault.at = Duration::from_millis(u64::try_from(fault.at.mul_f64(share).as_millis()).unwrap_or(0));
        let left = lasts.saturating_sub(fault.at).max(Duration::from_millis(1));
        fault.lasts = fault.lasts.map(|lasts| lasts.min(left));
    }
    scenario.lasts = lasts;
}
