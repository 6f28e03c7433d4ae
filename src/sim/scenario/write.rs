//! A [`Scenario`] as the file it could have been read from: what is as always is left out, so that the rest is read.
//!
//! Reading what is written here gives the same scenario again, as long as its times are whole milliseconds.

use super::words::{in_quotes, word_of};
use super::{Crowd, Demands, Fault, Habit, RegionTruth, Scenario, Sites, Ways, What, Whom, Work};
use crate::moment::rfc3339;
use crate::sim::cities::Cities;
use crate::sim::scenario::Direction;
use crate::snapshot::Target;
use std::fmt::{Display, Write};
use std::time::Duration;

/// What is said in comments beside a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// At its top, line by line.
    pub head: Vec<String>,
    /// Above the clients.
    pub clients: Vec<String>,
    /// Above each fault, in their order; none are needed.
    pub faults: Vec<String>,
}

impl Scenario {
    /// The file.
    #[must_use]
    pub fn to_toml(&self, cities: &Cities) -> String {
        self.to_toml_with(cities, &Notes::default())
    }

    /// The file, with comments.
    #[must_use]
    pub fn to_toml_with(&self, cities: &Cities, notes: &Notes) -> String {
        let mut text = Text(String::new());
        text.comment(&notes.head);
        text.quoted("name", &self.name);
        text.quoted("starts", &rfc3339(self.starts));
        text.time("lasts", self.lasts);
        text.key("seed", self.seed);
        text.ways(self.ways);
        text.sites(self);
        text.crowd(&self.crowd, cities, &notes.clients);
        text.regions(self);
        for (at, fault) in self.faults.iter().enumerate() {
            text.fault(fault, notes.faults.get(at));
        }
        text.demands(&self.demands);
        text.0
    }
}

/// A time as a file writes it: `1h30m`.
#[must_use]
pub fn told(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit_ms, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if rest >= unit_ms {
            let _ = write!(text, "{}{unit}", rest / unit_ms);
            rest %= unit_ms;
        }
    }
    text
}

struct Text(String);

impl Text {
    fn key(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn quoted(&mut self, key: &str, text: &str) {
        self.key(key, in_quotes(text));
    }

    fn time(&mut self, key: &str, time: Duration) {
        self.key(key, format_args!("\"{}\"", told(time)));
    }

    fn number(&mut self, key: &str, number: f64) {
        self.key(key, format_args!("{number:?}"));
    }

    /// A key only where it is not as always.
    fn unless<T: PartialEq + Copy>(&mut self, value: T, usual: T, write: impl FnOnce(&mut Self, T)) {
        if value != usual {
            write(self, value);
        }
    }

    fn header(&mut self, header: &str) {
        let _ = writeln!(self.0, "\n{header}");
    }

    fn comment(&mut self, lines: &[String]) {
        for line in lines.iter().flat_map(|line| line.lines()) {
            // No control characters in comments (TOML 1.0); what comes from logs may have some.
            let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(self.0, "# {line}");
        }
    }

    fn ways(&mut self, ways: Ways) {
        let usual = Ways::default();
        if ways == usual {
            return;
        }
        self.header("[ways]");
        self.unless(ways.loss, usual.loss, |text, loss| text.number("loss", loss));
        self.unless(ways.jitter, usual.jitter, |text, jitter| text.number("jitter", jitter));
        self.unless(ways.withdrawal, usual.withdrawal, |text, time| text.time("withdrawal", time));
        self.unless(ways.channel, usual.channel, |text, time| text.time("channel", time));
    }

    fn sites(&mut self, scenario: &Scenario) {
        for site in &scenario.sites {
            self.header("[[site]]");
            self.quoted("name", site.name.as_str());
            if let Some(city) = &site.place.city {
                self.quoted("city", city);
            }
            if let Some(country) = site.place.country {
                self.quoted("country", country.as_str());
            }
            self.number("latitude", site.place.at.latitude());
            self.number("longitude", site.place.at.longitude());
            if !site.addresses.is_empty() {
                let addresses: Vec<String> = site.addresses.iter().map(|address| format!("\"{address}\"")).collect();
                self.key("addresses", format_args!("[{}]", addresses.join(", ")));
            }
        }
    }

    fn crowd(&mut self, crowd: &Crowd, cities: &Cities, notes: &[String]) {
        let usual = Crowd::default();
        let work_is_usual = crowd.work == usual.work;
        if (Crowd { work: Vec::new(), ..crowd.clone() }) != (Crowd { work: Vec::new(), ..usual.clone() }) {
            self.0.push('\n');
            self.comment(notes);
            let _ = writeln!(self.0, "[clients]");
            self.unless(crowd.clients, usual.clients, |text, count| text.key("count", count));
            self.unless(crowd.per_minute, usual.per_minute, |text, rate| text.number("per_minute", rate));
            self.unless(crowd.stands_for, usual.stands_for, |text, stands| text.key("stands_for", stands));
            self.unless(crowd.day, usual.day, |text, day| text.quoted("day", day.as_str()));
            let city = |at: usize| {
                cities.all().get(at).map_or_else(String::new, |city| format!("{}, {}", city.name, city.country))
            };
            self.weights("places", crowd.places.iter().map(|(at, weight)| (in_quotes(&city(*at)), *weight)));
            let hostnames = crowd.hostnames.iter().map(|(name, weight)| (in_quotes(name.as_str()), *weight));
            self.weights("hostnames", hostnames);
            if crowd.programs != usual.programs {
                let programs = crowd.programs.iter();
                self.weights("programs", programs.map(|(program, weight)| (word_of(*program).to_owned(), *weight)));
            }
            if crowd.resolvers != usual.resolvers {
                let resolvers =
                    crowd.resolvers.iter().map(|(habit, weight)| format!("    {},\n", resolver(*habit, *weight)));
                self.key("resolvers", format_args!("[\n{}]", resolvers.collect::<String>()));
            }
        }
        for (work, weight) in crowd.work.iter().filter(|_| !work_is_usual) {
            self.work(work, *weight);
        }
    }

    fn weights(&mut self, key: &str, weights: impl Iterator<Item = (String, u32)>) {
        let weights: Vec<String> = weights.map(|(name, weight)| format!("{name} = {weight}")).collect();
        if !weights.is_empty() {
            self.key(key, format_args!("{{ {} }}", weights.join(", ")));
        }
    }

    fn work(&mut self, work: &Work, weight: u32) {
        self.header("[[work]]");
        self.quoted("name", &work.name);
        self.quoted("method", work.method.as_str());
        self.quoted("path", &work.path);
        self.time("takes", work.takes);
        self.unless(work.flows, Duration::ZERO, |text, flows| text.time("flows", flows));
        if let Some(patience) = work.patience {
            self.time("patience", patience);
        }
        self.key("weight", weight);
    }

    fn regions(&mut self, scenario: &Scenario) {
        let usual = RegionTruth::default();
        if scenario.usual != usual {
            self.header("[usual]");
            self.truth(scenario.usual, usual);
        }
        for (name, truth) in &scenario.regions {
            self.header(&format!("[region.{name}]"));
            self.truth(*truth, scenario.usual);
        }
    }

    fn truth(&mut self, truth: RegionTruth, usual: RegionTruth) {
        self.unless(truth.slots, usual.slots, |text, slots| text.key("slots", slots.unwrap_or(0)));
        self.unless(truth.queue, usual.queue, |text, queue| text.number("queue", queue));
        self.unless(truth.slowness, usual.slowness, |text, slowness| text.number("slowness", slowness));
        self.unless(truth.says_unserved, usual.says_unserved, |text, says| text.key("says_unserved", says));
    }

    fn fault(&mut self, fault: &Fault, note: Option<&String>) {
        self.0.push('\n');
        self.comment(note.map(std::slice::from_ref).unwrap_or_default());
        let _ = writeln!(self.0, "[[fault]]");
        self.time("at", fault.at);
        if let Some(lasts) = fault.lasts {
            self.time("lasts", lasts);
        }
        self.quoted("kind", fault.what.kind().as_str());
        self.what(&fault.what);
    }

    fn what(&mut self, what: &What) {
        match what {
            What::Refuse(whom)
            | What::BlackHole(whom)
            | What::Pause(whom)
            | What::Unserved(whom)
            | What::ProbesLie(whom)
            | What::ProbesFail(whom) => self.whom(whom),
            What::Slow(whom, times) => {
                self.whom(whom);
                self.number("times", *times);
            }
            What::Errors(whom, share, status) => {
                self.whom(whom);
                self.number("share", *share);
                self.key("status", status);
            }
            What::Shrink(whom, share) => {
                self.whom(whom);
                self.number("share", *share);
            }
            What::Flap { whom, up, down } => {
                self.whom(whom);
                self.time("up", *up);
                self.time("down", *down);
            }
            What::Loss { sites, whom, direction, share } => {
                self.way(sites, whom, *direction);
                self.number("share", *share);
            }
            What::Cut { sites, whom, direction } => self.way(sites, whom, *direction),
            What::Drain { target, is_hard } => self.drain(target, *is_hard),
            What::Rollout(config) => self.quoted("config", config),
            What::BadRollout | What::Herd => {}
            What::GeoShift(share) => self.number("share", *share),
            What::Traffic(times) => self.number("times", *times),
            _ => self.of_nodes(what),
        }
    }

    fn of_nodes(&mut self, what: &What) {
        match what {
            What::Swizzle { sites, every } => {
                self.nodes(sites);
                self.time("every", *every);
            }
            What::CrashLoop { sites, up, down } => {
                self.nodes(sites);
                self.time("up", *up);
                self.time("down", *down);
            }
            What::SlowProber(sites, times) => {
                self.nodes(sites);
                self.number("times", *times);
            }
            What::ClockStep(sites, seconds) => {
                self.nodes(sites);
                self.key("seconds", seconds);
            }
            What::ClockDrift(sites, millionths) => {
                self.nodes(sites);
                self.key("millionths", millionths);
            }
            What::ChannelLate(sites, by) => {
                self.nodes(sites);
                self.time("by", *by);
            }
            What::Crash(sites)
            | What::Freeze(sites)
            | What::Isolate(sites)
            | What::BlindProber(sites)
            | What::DiskLost(sites)
            | What::ChannelGone(sites)
            | What::ChannelTwice(sites) => self.nodes(sites),
            _ => {}
        }
    }

    fn whom(&mut self, whom: &Whom) {
        match whom {
            Whom::Regions(regions) if regions.len() == 1 => self.quoted("region", regions[0].as_str()),
            Whom::Regions(regions) => self.list("regions", regions.iter()),
            Whom::Provider(provider) => self.quoted("provider", provider.as_str()),
            Whom::All => self.key("all", true),
        }
    }

    fn nodes(&mut self, sites: &Sites) {
        if sites.is_empty() {
            self.key("all", true);
        }
        self.named_sites(sites);
    }

    fn named_sites(&mut self, sites: &Sites) {
        match &**sites {
            [] => {}
            [site] => self.quoted("site", site.as_str()),
            _ => self.list("sites", sites.iter()),
        }
    }

    fn list(&mut self, key: &str, names: impl Iterator<Item = impl Display>) {
        let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
        self.key(key, format_args!("[{}]", names.join(", ")));
    }

    fn way(&mut self, sites: &Sites, whom: &Whom, direction: Direction) {
        self.named_sites(sites);
        self.whom(whom);
        self.unless(direction, Direction::Both, |text, direction| text.quoted("direction", direction.as_str()));
    }

    fn drain(&mut self, target: &Target, is_hard: bool) {
        match target {
            Target::Provider(name) => self.quoted("provider", name.as_str()),
            Target::Region(name) => self.quoted("region", name.as_str()),
            Target::Endpoint(name) => self.quoted("endpoint", name.as_str()),
        }
        self.unless(is_hard, false, |text, is_hard| text.key("hard", is_hard));
    }

    fn demands(&mut self, demands: &Demands) {
        let usual = Scenario::default().demands;
        if *demands == usual {
            return;
        }
        self.header("[demand]");
        for (key, number) in [
            ("availability_percent", demands.availability_percent),
            ("amplification", demands.amplification),
            ("load_percent", demands.load_percent),
        ] {
            if let Some(number) = number {
                self.number(key, number);
            }
        }
        for (key, time) in [("added_p99", demands.added_p99), ("move_time", demands.move_time)] {
            if let Some(time) = time {
                self.time(key, time);
            }
        }
        self.unless(demands.residency, usual.residency, |text, residency| text.key("residency", residency));
        self.unless(demands.invariants, usual.invariants, |text, invariants| text.key("invariants", invariants));
    }
}

fn resolver(habit: Habit, weight: u32) -> String {
    let (word, to) = match habit {
        Habit::Keeps => ("keeps", None),
        Habit::Shortens(to) => ("shortens", Some(to)),
        Habit::Stretches(to) => ("stretches", Some(to)),
        Habit::Never => ("never", None),
        Habit::ServesStale(to) => ("serves_stale", Some(to)),
    };
    let to = to.map_or_else(String::new, |to| format!(", to = \"{}\"", told(to)));
    format!("{{ habit = \"{word}\"{to}, weight = {weight} }}")
}
