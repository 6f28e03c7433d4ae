//! Incidents over virtual time: when they open, grow and close, and that nobody hears more of them than is bearable.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

use anyfront::history::incidents::facts::Fact;
use anyfront::history::incidents::operator::{Refusal, TEXT_BYTES_MAX, TITLE_CHARACTERS_MAX, Writing};
use anyfront::history::incidents::{CLOSES_AFTER, Incidents, Kept, OPENS_AFTER, UPDATES_MAX};
use anyfront::history::story::{Impact, Incident, Level, Phase, Subject};
use anyfront::moment::{Dice, Moment};
use std::collections::BTreeMap;
use std::time::Duration;

/// Region, provider.
const REGIONS: [(&str, &str); 5] = [("orf", "aws"), ("sfo", "aws"), ("dfw", "gcp"), ("yyz", "gcp"), ("bom", "aws")];
/// Hostname, primaries, fallback.
const HOSTNAMES: [(&str, &[&str], &str); 2] =
    [("us.example", &["orf", "sfo", "dfw"], "yyz"), ("in.example", &["bom"], "yyz")];

fn region(name: &str) -> Subject {
    Subject::Region(name.to_owned())
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A node whose regions are at levels that the test says; hostnames follow from them.
struct World {
    incidents: Incidents,
    now: Moment,
    wall: Duration,
    levels: BTreeMap<&'static str, Level>,
    kept: BTreeMap<String, Kept>,
}

impl World {
    fn new() -> Self {
        Self {
            incidents: Incidents::new(Dice::seeded(1)),
            now: Moment::ZERO,
            wall: Duration::from_secs(1_800_000_000),
            levels: REGIONS.iter().map(|(name, _)| (*name, Level::Operational)).collect(),
            kept: BTreeMap::new(),
        }
    }

    fn set(&mut self, name: &str, level: Level) -> &mut Self {
        *self.levels.get_mut(name).expect("a region") = level;
        self
    }

    fn facts(&self) -> Vec<Fact> {
        let regions = REGIONS.iter().map(|(name, provider)| Fact {
            subject: region(name),
            level: self.levels[name],
            called: format!("City ({name})"),
            provider: Some((*provider).to_owned()),
            hostnames: HOSTNAMES.iter().filter(|host| host.1.contains(name)).map(|host| host.0.to_owned()).collect(),
            lived: if self.levels[name] > Level::Degraded {
                format!("Near {name} others answer.")
            } else {
                String::new()
            },
        });
        let hostnames = HOSTNAMES.iter().map(|(name, primaries, fallback)| {
            let bad = |name: &&str| self.levels[name] > Level::Degraded;
            let is_unknown = primaries.iter().all(|name| self.levels[name] == Level::Unknown);
            let level = match primaries.iter().filter(|name| bad(name)).count() {
                _ if is_unknown => Level::Unknown,
                0 => Level::Operational,
                count if count < primaries.len() => Level::Degraded,
                _ if bad(fallback) => Level::Major,
                _ => Level::Partial,
            };
            Fact {
                subject: Subject::Hostname((*name).to_owned()),
                level,
                called: (*name).to_owned(),
                provider: None,
                hostnames: vec![(*name).to_owned()],
                lived: String::new(),
            }
        });
        regions.chain(hostnames).collect()
    }

    fn tick(&mut self) {
        self.now = self.now + seconds(1);
        self.wall += seconds(1);
        let facts = self.facts();
        self.incidents.look(self.now, self.wall, &facts);
        self.keep();
    }

    /// What the node would have written down.
    fn keep(&mut self) {
        for kept in self.incidents.take_changed() {
            if let Some(before) = self.kept.get(&kept.incident.id) {
                let (old, new) = (&before.incident.updates, &kept.incident.updates);
                assert!(new.starts_with(old), "an update was changed: {old:#?} {new:#?}");
            }
            self.kept.insert(kept.incident.id.clone(), kept);
        }
    }

    fn run(&mut self, time: Duration) -> &mut Self {
        (0..time.as_secs()).for_each(|_| self.tick());
        self
    }

    /// The node is killed and started again `after` so long, with what it had written down.
    fn restart(&mut self, after: Duration) {
        self.incidents = Incidents::new(Dice::seeded(self.now.as_nanos()));
        self.wall += after;
        self.now = Moment::ZERO;
        self.incidents.restore(self.kept.values().cloned().collect(), self.now, self.wall);
    }

    fn write(&mut self, writing: Writing) -> Result<Incident, Refusal> {
        let known: Vec<Subject> = self.facts().into_iter().map(|fact| fact.subject).collect();
        let written = self.incidents.write(self.now, self.wall, writing, &known);
        self.keep();
        written
    }

    fn all(&self) -> Vec<&Incident> {
        self.incidents.all().collect()
    }

    fn only(&self) -> &Incident {
        match self.all().as_slice() {
            [only] => only,
            others => panic!("not one: {others:#?}"),
        }
    }

    /// Updates of all incidents: what a subscriber to everything has got.
    fn heard(&self) -> usize {
        self.all().iter().map(|incident| incident.updates.len()).sum()
    }
}

fn update(id: &str, phase: Option<Phase>, text: &str) -> Writing {
    Writing::Update { id: id.to_owned(), phase, impact: None, text: text.to_owned() }
}

#[test]
fn an_outage_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let mut world = World::new();
    world.run(seconds(60)).set("bom", Level::Major).run(OPENS_AFTER - seconds(1));
    assert_eq!(world.all().len(), 0);
    world.run(seconds(2));
    let opened = world.only();
    assert_eq!(opened.title, "in.example is served by its fallback");
    assert_eq!((opened.phase, opened.impact), (Phase::Investigating, Impact::Major));
    assert_eq!(opened.subjects, [region("bom"), Subject::Hostname("in.example".to_owned())]);
    assert_eq!(
        opened.updates[0].text,
        "in.example is served by its fallback only. City (bom) does not answer.\nNear bom others answer."
    );
    world.run(seconds(300)).set("bom", Level::Operational).run(CLOSES_AFTER - seconds(1));
    assert_eq!((world.only().phase, world.heard()), (Phase::Investigating, 1));
    world.run(seconds(3));
    let closed = world.only();
    assert_eq!(
        (closed.phase, closed.closed_at, closed.updates.len()),
        (Phase::Resolved, Some(closed.opened_at + seconds(311)), 2)
    );
    assert!(closed.updates[1].text.starts_with("City (bom) and in.example work as usual again. It lasted 5 minutes"));
}

#[test]
fn a_region_that_others_stand_in_for_is_a_minor_incident_and_names_its_hostnames() {
    let mut world = World::new();
    world.set("orf", Level::Major).run(seconds(15));
    let opened = world.only();
    assert_eq!((opened.title.as_str(), opened.impact), ("City (orf) is unreachable", Impact::Minor));
    assert!(opened.subjects.contains(&Subject::Hostname("us.example".to_owned())), "{opened:#?}");
}

#[test]
fn who_fails_together_is_one_incident_and_what_becomes_worse_is_told_at_once() {
    let mut world = World::new();
    world.set("orf", Level::Major).run(seconds(20)).set("sfo", Level::Major).run(seconds(20));
    assert_eq!((world.only().subjects.len(), world.heard()), (3, 1), "no word yet: it was told a moment ago");
    world.run(seconds(60));
    assert_eq!(world.only().title, "2 regions of aws are unreachable");
    world.set("dfw", Level::Major).run(seconds(3));
    assert_eq!(
        (world.only().title.as_str(), world.only().impact),
        ("us.example is served by its fallback", Impact::Major)
    );
    world.set("yyz", Level::Major).run(seconds(3));
    assert_eq!((world.only().title.as_str(), world.only().impact), ("us.example is not served", Impact::Critical));
    for name in ["orf", "sfo", "dfw", "yyz"] {
        world.set(name, Level::Operational);
    }
    world.run(seconds(600));
    assert_eq!((world.only().phase, world.only().impact), (Phase::Resolved, Impact::Critical));
    assert!(world.heard() <= 6, "{:#?}", world.only().updates);
}

#[test]
fn what_has_nothing_to_do_with_it_is_an_incident_of_its_own() {
    let mut world = World::new();
    world.set("dfw", Level::Major).run(seconds(20)).set("bom", Level::Major).run(seconds(20));
    assert_eq!(world.all().len(), 2, "{:#?}", world.all());
}

#[test]
fn a_drain_a_suspicion_and_a_start_are_no_incidents() {
    for level in [Level::Maintenance, Level::Unknown] {
        let mut world = World::new();
        for (name, _) in REGIONS {
            world.set(name, level);
        }
        world.run(seconds(3_600));
        assert_eq!(world.all().len(), 0, "{level:?}");
    }
    // And what is open does not close because nobody can tell any more.
    let mut world = World::new();
    world.set("bom", Level::Major).run(seconds(20)).set("bom", Level::Unknown).run(seconds(3_600));
    assert_eq!(world.only().phase, Phase::Investigating);
}

/// Whatever the period: a day of coming and going is a few incidents, and no more mails than a person bears.
#[test]
fn what_flaps_makes_few_incidents_and_few_words_at_every_period() {
    for half in [1, 2, 5, 9, 10, 12, 29, 31, 60, 300, 620, 1_240, 1_800, 3_600, 7_200, 15_000] {
        let mut world = World::new();
        let mut is_bad = false;
        while world.now < Moment::at(seconds(86_400)) {
            is_bad = !is_bad;
            world.set("bom", if is_bad { Level::Major } else { Level::Operational }).run(seconds(half));
        }
        let (incidents, heard) = (world.all().len(), world.heard());
        assert!((1..=8).contains(&incidents), "{half} s: {incidents} incidents");
        assert!(heard <= 75, "{half} s: {heard} words");
        let longest = world.all().iter().map(|incident| incident.updates.len()).max().unwrap_or(0);
        assert!(longest <= UPDATES_MAX + 48, "{half} s: {longest} words of one");
        world.set("bom", Level::Operational).run(seconds(3 * 3_600));
        assert!(world.all().iter().all(|incident| incident.phase.is_over()), "{half} s: it never ends");
    }
}

/// Killed at every second of an outage, and back after a second, a minute or an hour: one incident, opened and closed once.
#[test]
fn a_restart_at_any_second_makes_no_second_incident_and_loses_none() {
    for at in 0..150 {
        for away in [1, 60, 3_600] {
            let mut world = World::new();
            let mut second = 0;
            while second < 400 {
                // Down from 20 to 80; after a start, two seconds of knowing nothing.
                let level = if (20..80).contains(&second) { Level::Major } else { Level::Operational };
                if second == at {
                    world.restart(seconds(away));
                    for (name, _) in REGIONS {
                        world.set(name, Level::Unknown);
                    }
                    world.run(seconds(2));
                    second += away;
                    for (name, _) in REGIONS {
                        world.set(name, Level::Operational);
                    }
                    let level = if (20..80).contains(&second) { Level::Major } else { Level::Operational };
                    world.set("bom", level);
                }
                world.set("bom", level);
                world.tick();
                second += 1;
            }
            world.set("bom", Level::Operational).run(seconds(900));
            let all = world.all();
            assert!(all.len() <= 1, "killed at {at}, away for {away} s: {all:#?}");
            // Seen for long enough on one side of the kill, it has been told; and what was told has its end.
            let before = at.clamp(20, 80) - 20;
            let after = 80_u64.saturating_sub((at + away + 2).max(20));
            let must = before.max(after) > OPENS_AFTER.as_secs() + 1;
            assert!(!must || all.len() == 1, "killed at {at}, away for {away} s: nothing was told");
            for incident in all {
                let phases: Vec<Phase> = incident.updates.iter().map(|update| update.phase).collect();
                assert_eq!(phases, [Phase::Investigating, Phase::Resolved], "killed at {at}, away for {away} s");
            }
        }
    }
}

#[test]
fn what_ended_while_nobody_watched_closes_with_an_honest_word() {
    let mut world = World::new();
    world.set("bom", Level::Major).run(seconds(60)).restart(seconds(7_200));
    world.set("bom", Level::Operational).run(seconds(60));
    let text = &world.only().updates[1].text;
    assert!(text.contains("not known") && !text.contains("It lasted"), "{text}");
}

#[test]
fn what_an_operator_writes_to_is_the_operators_until_it_is_resolved() {
    let mut world = World::new();
    world.set("bom", Level::Major).run(seconds(20));
    let id = world.only().id.clone();
    world.write(update(&id, Some(Phase::Identified), "A cable is cut.")).expect("written");
    world.set("bom", Level::Operational).run(seconds(7_200));
    assert_eq!((world.only().phase, world.heard()), (Phase::Identified, 2), "nothing by itself any more");
    world.restart(seconds(60));
    world.set("bom", Level::Major).run(seconds(3_600));
    assert_eq!((world.only().phase, world.heard()), (Phase::Identified, 2), "not after a restart either");
    world.write(update(&id, Some(Phase::Resolved), "It is mended.")).expect("written");
    world.run(seconds(3_600));
    assert_eq!(world.only().phase, Phase::Resolved, "what the operator calls over is over, although it fails");
    assert!(matches!(world.write(update(&id, None, "more")), Err(Refusal::Unfit(_))));
    let learnt = Writing::PostMortem { id: id.clone(), text: "Two cables next time.".to_owned() };
    assert_eq!(world.write(learnt).expect("written").post_mortem.as_deref(), Some("Two cables next time."));
    world.set("bom", Level::Operational).run(seconds(60)).set("bom", Level::Major).run(seconds(60));
    assert_eq!(world.all().len(), 2, "a new outage is a new incident");
}

#[test]
fn maintenance_begins_and_ends_by_its_times_and_covers_what_fails_in_it() {
    let mut world = World::new();
    let (from, until) = (world.wall + seconds(100), world.wall + seconds(1_000));
    let schedule = Writing::Schedule {
        title: "Upgrade".to_owned(),
        text: "Some requests may fail.".to_owned(),
        subjects: vec![region("bom"), Subject::Hostname("in.example".to_owned())],
        from,
        until,
    };
    let id = world.write(schedule.clone()).expect("written").id;
    world.run(seconds(99));
    assert_eq!(world.only().phase, Phase::Scheduled);
    world.run(seconds(1));
    assert_eq!((world.only().phase, world.only().updates[1].at), (Phase::InProgress, from));
    world.set("bom", Level::Major).run(seconds(300));
    assert_eq!(world.all().len(), 1, "what fails in its maintenance is no incident");
    world.restart(seconds(10));
    let moved =
        Writing::Move { id: id.clone(), from: None, until: Some(until + seconds(60)), text: "Longer.".to_owned() };
    world.write(moved).expect("moved");
    let back = Writing::Move { id: id.clone(), from: Some(until), until: None, text: "Later.".to_owned() };
    assert!(matches!(world.write(back), Err(Refusal::Unfit(_))), "it has begun");
    world.run(seconds(660));
    let first = world.all()[0];
    assert_eq!((first.phase, first.closed_at), (Phase::Completed, Some(until + seconds(60))));
    world.run(seconds(30));
    assert_eq!(world.all().len(), 2, "what fails afterwards is one");
    for (from, until) in [(until, from), (from, from), (world.wall, world.wall + seconds(40 * 86_400))] {
        let Writing::Schedule { title, text, subjects, .. } = schedule.clone() else { panic!("it is one") };
        assert!(world.write(Writing::Schedule { title, text, subjects, from, until }).is_err());
    }
    assert!(matches!(world.write(Writing::Cancel { id, text: "x".to_owned() }), Err(Refusal::Unfit(_))), "it is over");
}

#[test]
fn only_plain_text_is_taken() {
    let mut world = World::new();
    let mut open = |title: &str, text: &str| {
        let (title, text) = (title.to_owned(), text.to_owned());
        world.write(Writing::Open { title, text, impact: None, phase: None, subjects: Vec::new() })
    };
    let (long, longest) = ("x".repeat(TITLE_CHARACTERS_MAX + 1), "x".repeat(TEXT_BYTES_MAX + 1));
    for title in [
        "",
        "  ",
        "a\nb",
        "a\r\nBcc: x@example.org",
        "a\u{0}",
        "\u{1b}[31mred",
        "a\u{202e}b",
        "a\u{2028}b",
        "a\tb",
        &long,
    ] {
        assert!(matches!(open(title, "text"), Err(Refusal::Title(_))), "{title:?}");
    }
    for text in ["", " \n ", "a\rb", "a\r\nb", "a\u{0}", "\u{1b}]0;x\u{7}", "a\u{2066}b", "\u{feff}", &longest] {
        assert!(matches!(open("title", text), Err(Refusal::Text(_))), "{text:?}");
    }
    let markup = "<script>alert(1)</script> & \"quotes\" ]]> {{7*7}} %0d%0a ünï 🙂";
    let written = open(markup, &format!("{markup}\n\tand more")).expect("text is text");
    assert_eq!((written.title.as_str(), written.updates[0].text.as_str()), (markup, &*format!("{markup}\n\tand more")));
    assert!(open(&"x".repeat(TITLE_CHARACTERS_MAX), &"x".repeat(TEXT_BYTES_MAX)).is_ok());
    let nowhere = Writing::Open {
        title: "t".to_owned(),
        text: "t".to_owned(),
        impact: None,
        phase: None,
        subjects: vec![region("xxx")],
    };
    assert!(matches!(world.write(nowhere), Err(Refusal::Subject(_))));
    assert!(matches!(world.write(update("no\nsuch", None, "x")), Err(Refusal::NotFound(id)) if id == "nosuch"));
}

/// Random fleets' days. While it breaks: what has failed for a minute is told, what is told has not been well for long.
/// After it heals: everything is over. Always: identifiers are sorted and unique, and no told word ever changes.
#[test]
fn whatever_happens_what_fails_is_told_and_what_is_over_ends() {
    for seed in 0..60 {
        let mut dice = Dice::seeded(seed);
        let mut world = World::new();
        let mut failing: BTreeMap<&str, u64> = BTreeMap::new();
        for second in 0..4_000_u64 {
            if dice.roll().is_multiple_of(40) {
                let (name, _) = REGIONS[usize::try_from(dice.roll() % 5).expect("few")];
                let level =
                    [Level::Operational, Level::Major, Level::Major, Level::Partial, Level::Unknown, Level::Degraded]
                        [usize::try_from(dice.roll() % 6).expect("few")];
                world.set(name, level);
            }
            if dice.roll().is_multiple_of(900) {
                world.restart(seconds(dice.roll() % 100));
            }
            world.tick();
            for (name, _) in REGIONS {
                let since = if world.levels[name] == Level::Major {
                    *failing.entry(name).or_insert(second)
                } else {
                    second + 1
                };
                if since > second {
                    failing.remove(name);
                }
                let is_told =
                    world.all().iter().any(|one| !one.phase.is_over() && one.subjects.contains(&region(name)));
                assert!(
                    second - since.min(second) < 60 || is_told,
                    "seed {seed}: {name} has failed since {since}, and {second} is now"
                );
            }
        }
        for (name, _) in REGIONS {
            world.set(name, Level::Operational);
        }
        world.run(seconds(3_700));
        let all = world.all();
        assert!(all.iter().all(|one| one.phase == Phase::Resolved), "seed {seed}: {all:#?}");
        let ids: Vec<&str> = all.iter().flat_map(|one| one.updates.iter()).map(|update| update.id.as_str()).collect();
        let unique: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "seed {seed}");
        for one in &all {
            assert!(one.updates.is_sorted_by_key(|update| &update.id), "seed {seed}: {one:#?}");
            assert_eq!(one.updates.last().map(|last| last.phase), Some(Phase::Resolved), "seed {seed}");
        }
    }
}
