//! THE SEARCH FOR A BROKEN PROMISE: drawn scenarios before the oracle. A few here, thousands by `make sim`.

mod common;

use anyfront::cli::simulate::search::hunt;
use anyfront::sim::oracle::{Mode, Oracle};
use anyfront::sim::search::{Search, rollouts};
use anyfront::sim::stage::Stage;
use anyfront::sim::trace;
use anyfront::sim::world::World;
use std::sync::Arc;
use std::time::Duration;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

fn search(mode: Mode) -> Search {
    let config: Arc<str> = common::real_fleet().into();
    let stage = Stage::of(Arc::new(common::topology(&config)), common::locator());
    let lasts = Duration::from_secs(60 * number("ANYFRONT_SIM_MINUTES", 15));
    Search { config, stage, mode, lasts }
}

fn clean(mode: Mode, seeds: u64) {
    let (search, from) = (search(mode), number("ANYFRONT_SIM_FROM", 1));
    let cores =
        number("ANYFRONT_SIM_CORES", std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64));
    let hunt = hunt(&search, from, seeds, usize::try_from(cores).expect("few"));
    println!("{}\n{}", hunt.text(&search), hunt.shortest(&search).unwrap_or_default());
    assert!(hunt.is_clean(), "a promise is broken");
    assert_eq!(hunt.seeds, seeds);
}

#[test]
fn no_promise_is_broken_whatever_fails() {
    clean(Mode::Safety, number("ANYFRONT_SIM_SEEDS", 8));
}

#[test]
fn whoever_a_healthy_core_can_serve_is_served() {
    clean(Mode::Liveness, number("ANYFRONT_SIM_LIVENESS", 4));
}

/// For people: one seed fact by fact, by `ANYFRONT_SIM_TELL=safety:17` or `liveness:17`.
#[test]
fn one_seed_is_told() {
    let Ok(which) = std::env::var("ANYFRONT_SIM_TELL") else { return };
    let (mode, seed) = which.split_once(':').expect("MODE:SEED");
    let search = search(if mode == "liveness" { Mode::Liveness } else { Mode::Safety });
    let drawn = search.draw(seed.parse().expect("a number"));
    println!("{}", drawn.scenario.to_toml(&search.stage.cities));
    let (files, seed) = (rollouts(&drawn.scenario).expect("right"), drawn.scenario.seed);
    let mut world = World::new(&drawn.stage, &Arc::new(drawn.scenario), &files, seed).expect("it fits");
    let mut oracle = Oracle::new(&world, search.mode);
    let (mut told, mut lines) = (0, String::new());
    while world.step() {
        lines.clear();
        trace::write(&world, &mut lines);
        print!("{lines}");
        oracle.judge(&world);
        for violation in &oracle.violations()[told..] {
            println!("!! {} {}", violation.invariant, violation.what);
        }
        told = oracle.violations().len();
    }
}
