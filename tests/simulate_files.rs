//! SCENARIOS AS FILES: what a person may write, what is told of mistakes, what is drawn at random, and that all of them
//! are written as they are read.

use anyfront::sim::cities::Cities;
use anyfront::sim::draw::{self, Core};
use anyfront::sim::scenario::check::{Around, Checked, Rolled, check};
use anyfront::sim::scenario::kind::{Kind, Of};
use anyfront::sim::scenario::{Scenario, What, Whom};
use anyfront::snapshot::Target;
use anyfront::topology::Topology;
use anyfront::topology::mistake::Mistakes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const CONFIG: &str = include_str!("../regions.toml");

struct World {
    topology: Topology,
    cities: Cities,
}

impl World {
    fn new() -> Self {
        let checked = anyfront::topology::check::check(CONFIG, Path::new("regions.toml")).expect("the fleet is right");
        Self { topology: checked.topology, cities: Cities::of_the_world() }
    }

    fn check(&self, source: &str) -> Result<Checked, Mistakes> {
        let config = |rolled: Rolled<'_>| match rolled {
            Rolled::Text(text) => Ok(Arc::from(text)),
            Rolled::File("other.toml") => Ok(Arc::from(CONFIG)),
            Rolled::File(_) => Err("cannot be read: there is none".to_owned()),
        };
        check(
            source,
            Path::new("a/story.toml"),
            &Around { topology: &self.topology, cities: &self.cities, config: &config },
        )
    }

    fn read(&self, source: &str) -> Scenario {
        match self.check(source) {
            Ok(checked) => checked.scenario,
            Err(mistakes) => panic!("{mistakes}\nin\n{source}"),
        }
    }

    /// Line and words of each mistake.
    fn mistakes(&self, source: &str) -> Vec<(usize, String)> {
        let mistakes = self.check(source).expect_err(source);
        mistakes.rows().into_iter().map(|row| (row.line, format!("{}; {}", row.message, row.help))).collect()
    }

    fn around(&self) -> draw::Around<'_> {
        draw::Around { topology: &self.topology, config: CONFIG, cities: &self.cities }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_empty_file_is_a_quiet_hour() {
    let world = World::new();
    let quiet = world.read("");
    assert_eq!(quiet, Scenario { name: "story".to_owned(), ..Scenario::default() });
    assert_eq!((quiet.crowd.clients, quiet.crowd.per_minute, quiet.lasts), (1_000, 1.0, seconds(3_600)));
    assert!(quiet.faults.is_empty() && quiet.demands.invariants && quiet.demands.residency);
    assert_eq!(anyfront::moment::rfc3339(quiet.starts), "2026-11-30T09:00:00.000Z");
}

#[test]
fn what_is_drawn_is_written_as_it_is_read() {
    let world = World::new();
    for seed in 0..300 {
        let (alive, _) = draw::liveness(&world.around(), seed);
        for scenario in [draw::safety(&world.around(), seed), alive] {
            let text = scenario.to_toml(&world.cities);
            let again = world.read(&text);
            assert_eq!(again, scenario, "{text}");
            assert_eq!(again.to_toml(&world.cities), text);
            let warnings = world.check(&text).expect("it was read").warnings;
            assert!(warnings.is_empty(), "{warnings}\nin\n{text}");
        }
    }
}

#[test]
fn every_kind_is_drawn_about_as_often_as_every_other() {
    let world = World::new();
    let mut met: [BTreeMap<Kind, u32>; 2] = Default::default();
    for seed in 0..2_000 {
        let (alive, _) = draw::liveness(&world.around(), seed);
        for (met, scenario) in met.iter_mut().zip([draw::safety(&world.around(), seed), alive]) {
            assert!((1..=12).contains(&scenario.faults.len()));
            assert!(scenario.faults.is_sorted_by_key(|fault| fault.at));
            for fault in &scenario.faults {
                *met.entry(fault.what.kind()).or_default() += 1;
            }
        }
    }
    for (mode, met) in ["safety", "liveness"].iter().zip(&met) {
        let fair = met.values().sum::<u32>() / u32::try_from(Kind::ALL.len()).expect("few");
        for kind in Kind::ALL {
            let times = met.get(kind).copied().unwrap_or(0);
            assert!(times > fair / 2 && times < fair * 3 / 2, "{mode}: {} {times} times, not {fair}", kind.as_str());
        }
    }
}
