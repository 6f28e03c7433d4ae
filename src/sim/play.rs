//! A scenario played to its end, and what came of it.

use super::report::Report;
use super::report::make::Told;
use super::scenario::Scenario;
use super::stage::Stage;
use super::tally::Tally;
use super::tally::listener::Listener;
use super::world::World;
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
/// `told` is asked at the end for what was not counted.
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
    while world.step() {
        listener.hear(&world);
        each(&world);
    }
    let tally = listener.close(&world);
    let report = Report::of(&tally, scenario, &world.topology, told());
    Ok(Played { report, tally, topology: Arc::clone(&world.topology), starts: scenario.starts, events: world.events })
}
