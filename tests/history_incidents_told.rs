//! What incidents tell is true: who works again and who does not, when it was, and what has to do with what.

mod common;

use anyfront::health::{Reason, Standing};
use anyfront::history::incidents::facts::{Fact, facts};
use anyfront::history::incidents::{Incidents, OPENS_AFTER};
use anyfront::history::story::{Impact, Incident, Level, Phase, Subject};
use anyfront::moment::{Dice, Moment};
use anyfront::snapshot::Drained;
use std::time::Duration;

/// Region, provider, its hostname beside the one that all serve.
const REGIONS: [(&str, &str, &str); 8] = [
    ("orf", "aws", "us.example"),
    ("sfo", "do", "us.example"),
    ("nyc", "do", "us.example"),
    ("bom", "aws", "in.example"),
    ("syd", "gcp", "au.example"),
    ("gru", "oci", "br.example"),
    ("jnb", "az", "za.example"),
    ("hel", "hz", "fi.example"),
];
const GLOBAL: &str = "global.example";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn fact(name: &str, provider: Option<&str>, hostnames: &[&str]) -> Fact {
    let name = name.to_owned();
    Fact {
        subject: if provider.is_some() { Subject::Region(name.clone()) } else { Subject::Hostname(name.clone()) },
        level: Level::Operational,
        called: name,
        provider: provider.map(str::to_owned),
        hostnames: hostnames.iter().map(|hostname| (*hostname).to_owned()).collect(),
        lived: String::new(),
    }
}

/// A node that is shown what the test says.
struct World {
    incidents: Incidents,
    now: Moment,
    wall: Duration,
    facts: Vec<Fact>,
}

impl World {
    fn new() -> Self {
        let mut facts: Vec<Fact> =
            REGIONS.iter().map(|(name, provider, own)| fact(name, Some(provider), &[GLOBAL, own])).collect();
        let mut hostnames = vec![GLOBAL];
        hostnames.extend(REGIONS.iter().map(|region| region.2));
        hostnames.dedup();
        facts.extend(hostnames.iter().map(|hostname| fact(hostname, None, &[hostname])));
        let wall = seconds(1_800_000_000);
        Self { incidents: Incidents::new(Dice::seeded(1)), now: Moment::ZERO, wall, facts }
    }

    fn set(&mut self, name: &str, level: Level) -> &mut Self {
        let fact = self.facts.iter_mut().find(|fact| fact.called == name);
        fact.expect("it is there").level = level;
        self
    }

    /// Everything at `level` is well again.
    fn heal(&mut self) -> &mut Self {
        self.facts.iter_mut().for_each(|fact| fact.level = Level::Operational);
        self
    }

    fn remove(&mut self, name: &str) -> &mut Self {
        self.facts.retain(|fact| fact.called != name);
        self
    }

    fn run(&mut self, count: u64) -> &mut Self {
        for _ in 0..count {
            self.now = self.now + seconds(1);
            self.wall += seconds(1);
            self.incidents.look(self.now, self.wall, &self.facts);
        }
        self
    }

    fn all(&self) -> Vec<Incident> {
        self.incidents.all().cloned().collect()
    }

    fn only(&self) -> Incident {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:#?}");
        all[0].clone()
    }

    fn last_word(&self) -> String {
        self.only().updates.last().expect("a word").text.clone()
    }
}

#[test]
fn what_its_operators_took_out_of_service_does_not_work_as_usual_again() {
    let mut world = World::new();
    world.set("bom", Level::Major).set("in.example", Level::Partial).run(60);
    world.set("bom", Level::Maintenance).set("in.example", Level::Maintenance).run(120);
    assert_eq!(world.only().phase, Phase::Resolved);
    let text = world.last_word();
    assert!(
        text.starts_with("bom was taken out of service by its operators. in.example is not served by its"),
        "{text}"
    );
    assert!(!text.contains("as usual again"), "{text}");

    let mut world = World::new();
    world.set("bom", Level::Major).set("in.example", Level::Partial).run(60);
    world.set("bom", Level::Maintenance).set("in.example", Level::Operational).run(120);
    let text = world.last_word();
    assert!(text.starts_with("in.example works as usual again. bom was taken out of service"), "{text}");
}

#[test]
fn what_is_removed_is_no_longer_part_of_the_service() {
    let mut world = World::new();
    world.set("bom", Level::Major).set("in.example", Level::Partial).run(60);
    world.remove("bom").remove("in.example").run(120);
    assert_eq!(world.only().phase, Phase::Resolved);
    let text = world.last_word();
    assert!(text.starts_with("bom and in.example are no longer part of the service."), "{text}");
    assert!(!text.contains("as usual"), "{text}");
    // And in between.
    let mut world = World::new();
    world.set("orf", Level::Major).set("us.example", Level::Partial).run(120).remove("orf").run(90);
    assert_eq!(world.last_word(), "orf is no longer part of the service.");
}

#[test]
fn who_fails_in_the_same_second_is_told_in_the_first_word() {
    let mut world = World::new();
    world.set("nyc", Level::Major).set("sfo", Level::Major).set("syd", Level::Major).run(15);
    let all = world.all();
    assert_eq!((all.len(), all[0].title.as_str()), (2, "2 regions of do are unreachable"), "{all:#?}");
    assert!(all[0].updates[0].text.contains("sfo and nyc do not answer"), "{all:#?}");
    assert_eq!(all[1].subjects, [Subject::Region("syd".to_owned())], "it has nothing to do with them");
}

#[test]
fn times_are_those_of_the_failing_not_of_our_waiting() {
    let mut world = World::new();
    world.run(10);
    let begin = world.wall + seconds(1);
    world.set("bom", Level::Major).run(28);
    let end = world.wall + seconds(1);
    world.heal().run(60);
    let first = world.only();
    assert_eq!((first.opened_at, first.closed_at), (begin, Some(end)));
    assert!(world.last_word().ends_with("It lasted 28 seconds."), "{}", world.last_word());
    assert!(first.updates[0].at + seconds(1) >= begin + OPENS_AFTER, "a word is told when it is written");
    world.run(200).set("bom", Level::Major).run(40).heal().run(120);
    let again = world.only();
    assert_eq!((again.opened_at, again.phase), (begin, Phase::Resolved));
    assert!(world.last_word().ends_with("It happened 2 times, and lasted 68 seconds in all."), "{}", world.last_word());
}

#[test]
fn an_unrelated_outage_reopens_nothing_and_joins_nothing() {
    let mut world = World::new();
    world.set("bom", Level::Major).set(GLOBAL, Level::Degraded).run(300).heal().run(60);
    assert_eq!(world.only().phase, Phase::Resolved);
    world.set("syd", Level::Major).set(GLOBAL, Level::Degraded).run(30);
    let all = world.all();
    assert_eq!((all.len(), all[0].phase), (2, Phase::Resolved), "{all:#?}");
    assert!(all[1].subjects.contains(&Subject::Region("syd".to_owned())), "{all:#?}");
    // While one is open, neither.
    world.set("gru", Level::Major).run(30);
    assert_eq!(world.all().len(), 3, "{:#?}", world.all());
    // The same region again is the same incident again.
    world.set("bom", Level::Major).run(30);
    let all = world.all();
    assert_eq!((all.len(), all[0].phase), (3, Phase::Investigating), "{all:#?}");
}

#[test]
fn a_hostname_that_nobody_serves_is_told_at_once_and_first() {
    let mut world = World::new();
    world.set("orf", Level::Major).set("us.example", Level::Major).run(30).heal().run(60);
    world.set("orf", Level::Major).set("us.example", Level::Degraded).run(30);
    assert_eq!((world.only().impact, world.only().phase), (Impact::Critical, Phase::Investigating));
    // As bad as it was once; but now they were told that it is degraded.
    world.set("us.example", Level::Major).set("orf", Level::Maintenance).run(2);
    let text = world.last_word();
    assert!(text.starts_with("us.example is not served. orf was taken out of service"), "{text}");
}

#[test]
fn all_of_a_fleet_that_fails_at_once_is_one_incident() {
    let mut world = World::new();
    world.facts.iter_mut().for_each(|fact| fact.level = Level::Major);
    world.run(15);
    assert!(world.only().updates[0].text.starts_with("global.example, us.example, in.example"), "{:#?}", world.only());
}

/// What customers near `a` are told while these do not answer, and those are drained.
fn lived_near_a(hostnames: &str, down: &[&str], drained: &[&str]) -> String {
    let mut file = format!(
        "[fleet]\nname = \"f\"\nzone = \"gw.test\"\n[[site]]\nname = \"here\"\nlatitude = 0\nlongitude = 0\n{hostnames}"
    );
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        let country = if at == 0 { "US" } else { "CA" };
        file.push_str(&format!(
            "[[region]]\nname = \"{name}\"\nprovider = \"p\"\ncountry = \"{country}\"\nlatitude = 0\n\
             longitude = {at}\nendpoints = [\"http://192.0.2.{}\"]\n",
            at + 1
        ));
    }
    let mut snapshot = common::first_snapshot(common::topology(&file));
    for (state, name) in snapshot.regions.iter_mut().zip(["a", "b", "c"]) {
        let is_down = down.contains(&name);
        (state.standing, state.reason) = (if is_down { Standing::Down } else { Standing::Up }, Reason::Assumed);
        state.drained = drained.contains(&name).then_some(Drained::Soft);
    }
    facts(&snapshot)[0].lived.clone()
}

#[test]
fn customers_are_told_who_answers_at_each_hostname_and_nobody_who_does_not() {
    let everywhere = "[[hostname]]\nname = \"www.gw.test\"\nregions = [\"*\"]\n";
    let at_home = "[[hostname]]\nname = \"us.gw.test\"\nregions = [\"a\"]\nfallback = [\"c\"]\n";
    let kept_in = "[[hostname]]\nname = \"in.gw.test\"\nregions = [\"a\"]\nfallback = [\"c\"]\nresidency = [\"US\"]\n";
    let both = format!("{everywhere}{at_home}");
    assert_eq!(
        lived_near_a(&both, &["a"], &[]),
        "Requests to www.gw.test from clients near a are answered by b. \
         Requests to us.gw.test from clients near a are answered by c."
    );
    assert_eq!(lived_near_a(&both, &["a"], &["b"]), "Requests from clients near a are answered by c.");
    assert_eq!(
        lived_near_a(&both, &["a", "c"], &[]),
        "Requests to www.gw.test from clients near a are answered by b. Requests to us.gw.test from clients near a fail."
    );
    assert_eq!(lived_near_a(&both, &["a", "b", "c"], &[]), "Requests from clients near a fail.");
    assert_eq!(lived_near_a(kept_in, &["a"], &[]), "Requests from clients near a fail.");
}
