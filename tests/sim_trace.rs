//! ONE SEED IS ONE TRACE: to the octet, in one process, in two, and in every build on every machine.

mod common;

use anyfront::sim::oracle::Mode;
use anyfront::sim::search::{Search, rollouts};
use anyfront::sim::stage::Stage;
use anyfront::sim::trace::{Hash, write};
use anyfront::sim::world::World;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// What the traces of [`SEEDS`] come to. It changes whenever anything does that a world does: a rule of a machine, the
/// engine, what is drawn, the published configuration. Then `cargo test --test sim_trace -- --nocapture` tells the new one; two
/// machines, or two builds of the same source, must tell the same.
const GOLDEN: u64 = 0xD909_FDAC_B307_81E2;
const SEEDS: [u64; 3] = [3, 4, 8];
/// Set in the process that only tells.
const TELLS: &str = "ANYFRONT_SIM_HASH";

fn hash(seeds: &[u64]) -> u64 {
    let config: Arc<str> = common::real_fleet().into();
    let stage = Stage::of(Arc::new(common::topology(&config)), common::locator());
    let search = Search { config, stage, mode: Mode::Safety, lasts: Duration::from_secs(180) };
    let mut hash = Hash::default();
    let mut lines = String::new();
    let mut facts = 0;
    for &seed in seeds {
        let drawn = search.draw(seed);
        let files = rollouts(&drawn.scenario).expect("right");
        let seed = drawn.scenario.seed;
        let mut world = World::new(&drawn.stage, &Arc::new(drawn.scenario), &files, seed).expect("it fits");
        while world.step() {
            lines.clear();
            write(&world, &mut lines);
            lines.lines().for_each(|line| hash.add(line));
            facts += world.facts.len();
        }
    }
    assert!(facts > 5_000 * seeds.len(), "there is something to compare: {facts}");
    hash.value()
}

#[test]
fn two_runs_in_one_process_are_the_same() {
    assert_eq!(hash(&SEEDS[..1]), hash(&SEEDS[..1]));
}

#[test]
fn two_processes_and_two_builds_are_the_same() {
    let own = hash(&SEEDS);
    if std::env::var_os(TELLS).is_some() {
        println!("{TELLS}={own:#018x}");
        return;
    }
    let this = std::env::current_exe().expect("it runs");
    let arguments = ["--exact", "two_processes_and_two_builds_are_the_same", "--nocapture"];
    let other = Command::new(this).args(arguments).env(TELLS, "1").output().expect("it starts");
    let text = String::from_utf8_lossy(&other.stdout);
    let told = text.split(&format!("{TELLS}=")).nth(1).and_then(|rest| rest.split_whitespace().next());
    assert_eq!(told, Some(format!("{own:#018x}").as_str()), "{text}");
    assert_eq!(own, GOLDEN, "the traces have changed; if they should, the new number is {own:#018x}");
}
