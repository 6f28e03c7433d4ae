//! A scenario played to its end, and what came of it.

use super::oracle::{INVARIANTS, Mode, Oracle};
use super::report::make::Told;
use super::report::{Invariant, Report};
use super::scenario::Scenario;
use super::stage::Stage;
use super::tally::Tally;
use super::tally::listener::Listener;
use super::world::World;
use crate::moment::Moment;
use crate::topology::Topology;
use std::sync::Arc;
use std::time::Duration;

/// A run that is over.
#[derive(Debug)]
pub struct Played {
    /// What came of it. Of the run itself it says nothing: whoever has a clock does.
    pub report: Report,
    /// What was counted for it.
    pub tally: Tally,
    /// The configuration that nodes began with, with the sites of the scenario.
    pub topology: Arc<Topology>,
    /// When it began, by the wall clock of its world.
    pub starts: Duration,
    /// How many events were worked off.
    pub events: u64,
}

/// Plays `scenario` with `seed` in front of the configuration of `stage`. `rollouts` are the files of the scenario's
/// rollouts, in its order. `each` sees the world after every event, with its facts: to show how far it is, to write a trace.
/// `told` is asked at the end for what was not counted. Invariants are judged if the scenario demands that they hold.
///
/// # Errors
/// A sentence that says what of the scenario does not fit.
pub fn play(
    stage: &Stage,
    scenario: &Arc<Scenario>,
    rollouts: &[Arc<Topology>],
    seed: u64,
    mut each: impl FnMut(&World),
    told: impl FnOnce() -> Told,
) -> Result<Played, String> {
    let mut world = World::new(stage, scenario, rollouts, seed)?;
    let mut listener = Listener::of(&world, &stage.cities);
    let mut oracle = scenario.demands.invariants.then(|| Oracle::new(&world, Mode::Safety));
    while world.step() {
        listener.hear(&world);
        if let Some(oracle) = &mut oracle {
            oracle.judge(&world);
        }
        each(&world);
    }
    let tally = listener.close(&world);
    let invariants = oracle.map(|oracle| invariants(&oracle)).unwrap_or_default();
    let told = Told { invariants, ..told() };
    let report = Report::of(&tally, scenario, &world.topology, told);
    Ok(Played { report, tally, topology: Arc::clone(&world.topology), starts: scenario.starts, events: world.events })
}

/// What must always hold, and whether it did: the first time in words, as seconds after the begin.
fn invariants(oracle: &Oracle) -> Vec<Invariant> {
    let row = |(invariant, broken): (&super::oracle::Invariant, &u64)| {
        let first = oracle.violations().iter().find(|violation| violation.invariant == invariant.name);
        let first = first.map(|first| {
            let after = first.at.since(Moment::ZERO).as_secs_f64();
            format!("{after:.3} s after the begin: {}", first.what)
        });
        Invariant { name: invariant.name.to_owned(), broken: *broken, first }
    };
    INVARIANTS.iter().zip(oracle.counts()).map(row).collect()
}
