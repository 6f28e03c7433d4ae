//! What a replay is told with: a small world, what goes wrong in it, and all that came of it.
//!
//! Whatever the outage, every story ends by proving that no request that costs money was processed twice by our doing, and
//! that nobody outside of its hostname's fence saw one.

use super::common;
use anyfront::geo::place::Place;
use anyfront::health::{Fault as Symptom, Standing};
use anyfront::moment::Moment;
use anyfront::names::{Hostname, Label};
use anyfront::sim::fact::{Fact, NodeIndex, Outcome, Slot};
use anyfront::sim::scenario::{Fault, Habit, NewSite, Program, RegionTruth, Scenario, Sites, What, Whom, Work};
use anyfront::sim::stage::Stage;
use anyfront::sim::world::World;
use anyfront::topology::RegionIndex;
use http::Method;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The configuration, what happens in front of it, and who asks.
pub struct Story {
    config: String,
    rollouts: Vec<String>,
    sites: Vec<(&'static str, &'static str)>,
    places: Vec<(&'static str, u32)>,
    pub scenario: Scenario,
}

/// One wish of a client, and what became of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it was wished, seconds.
    pub at: f64,
    /// How long until its end, or until the first byte.
    pub took: f64,
    /// From which city.
    pub city: &'static str,
    /// `us`, or nothing for the global name.
    pub host: String,
    pub is_safe: bool,
    pub outcome: Outcome,
    /// Who served it, or failed it; empty: nobody.
    pub region: String,
    /// Tries of the client's program.
    pub tries: u32,
    /// Attempts of nodes, all tries together.
    pub attempts: u32,
}

/// A node changed its mind about a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Mind {
    pub at: f64,
    pub node: NodeIndex,
    pub region: String,
    pub before: Standing,
    pub standing: Standing,
}

/// All that came of a story.
pub struct Played {
    pub world: World,
    pub told: Vec<Told>,
    /// When each wish was wished, whether it came to an end or not.
    pub wishes: Vec<f64>,
    pub minds: Vec<Mind>,
    /// When each attempt was made: where.
    pub attempts: Vec<(f64, NodeIndex, String)>,
    /// When each request came to a node.
    pub arrivals: Vec<(f64, NodeIndex)>,
    /// Probes that failed: when, whose, where, how.
    pub failed_probes: Vec<(f64, NodeIndex, String, Symptom)>,
    /// DNS: when, by whom, how many addresses' owners, for how many seconds.
    pub answers: Vec<(f64, NodeIndex, u8, f64)>,
    pub obeyed: Vec<(f64, NodeIndex)>,
    pub refused: Vec<(f64, NodeIndex)>,
}

pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub fn label(name: &str) -> Label {
    Label::parse(name).expect("a name")
}

pub fn regions(names: &[&str]) -> Whom {
    Whom::Regions(names.iter().map(|name| label(name)).collect())
}

pub fn provider(name: &str) -> Whom {
    Whom::Provider(label(name))
}

pub fn sites(names: &[&str]) -> Sites {
    names.iter().map(|name| label(name)).collect()
}

impl Story {
    /// Three nodes that share their addresses by anycast in front of the published fleet, and a hundred clients all over
    /// the world who ask ten times a minute: for `minutes`, of which the first is quiet.
    pub fn of(minutes: u64) -> Self {
        let mut scenario = Scenario { lasts: Duration::from_secs(60 * minutes), ..Scenario::default() };
        scenario.crowd.clients = 100;
        scenario.crowd.per_minute = 10.0;
        // Streams are short, so that what was asked in a story also ends in it.
        for (work, _) in &mut scenario.crowd.work {
            (work.takes, work.flows) = (work.takes / 4, work.flows / 4);
        }
        let sites = vec![("iad-1", "Washington"), ("sin-1", "Singapore")];
        Self { config: common::real_fleet(), rollouts: Vec::new(), sites, places: Vec::new(), scenario }
    }

    /// One node alone, in London.
    pub fn with_one_node(mut self) -> Self {
        self.sites.clear();
        self
    }

    /// The configuration with `old` in the place of `new`, once.
    pub fn changed(mut self, old: &str, new: &str) -> Self {
        self.config = replaced(&self.config, old, new);
        self
    }

    /// The published file as it is now, with this change: what an operator would roll out.
    pub fn file_with(&self, old: &str, new: &str) -> String {
        replaced(&self.config, old, new)
    }

    /// Nodes are an authority of the zone, and every site has an address of its own: clients come by DNS.
    pub fn by_dns(mut self) -> Self {
        let mut text = String::new();
        let mut region = 0;
        for line in self.config.lines() {
            match line.strip_prefix("endpoints = [").and_then(|rest| rest.strip_suffix(']')) {
                Some(url) => {
                    region += 1;
                    let connect = format!("connect = [\"198.51.100.{region}:443\"]");
                    text.push_str(&format!("[[region.endpoint]]\nname = \"a\"\nurl = {url}\n{connect}\n"));
                }
                None => text.push_str(&format!("{line}\n")),
            }
        }
        text.push_str(
            "\n[zone]\nnameservers = [\"ns1.gateway.truefoundry.ai\", \"ns2.gateway.truefoundry.ai\"]\n\
             hostmaster = \"hostmaster@truefoundry.ai\"\nttl = { min = \"20s\", max = \"60s\" }\n",
        );
        self.config = text;
        self
    }

    /// Whom the sites beside London are at.
    pub fn at(mut self, sites: &[(&'static str, &'static str)]) -> Self {
        self.sites = sites.to_vec();
        self
    }

    /// Clients are in these cities alone, by weight.
    pub fn from(mut self, places: &[(&'static str, u32)]) -> Self {
        self.places = places.to_vec();
        self
    }

    pub fn clients(mut self, count: u32, per_minute: f64) -> Self {
        (self.scenario.crowd.clients, self.scenario.crowd.per_minute) = (count, per_minute);
        self
    }

    /// All clients use this program.
    pub fn who_use(mut self, program: Program) -> Self {
        self.scenario.crowd.programs = vec![(program, 1)];
        self
    }

    /// All resolvers have this habit.
    pub fn resolved_by(mut self, habit: Habit) -> Self {
        self.scenario.crowd.resolvers = vec![(habit, 1)];
        self
    }

    /// Clients ask these names alone.
    pub fn asking(mut self, hosts: &[&str]) -> Self {
        let full = |host: &&str| {
            let name = if host.is_empty() { String::new() } else { format!("{host}.") };
            (Hostname::parse(&format!("{name}gateway.truefoundry.ai")).expect("a name"), 1)
        };
        self.scenario.crowd.hostnames = hosts.iter().map(full).collect();
        self
    }

    /// They ask only for this: `takes` until the answer begins, and nothing flows.
    pub fn for_work(mut self, method: Method, path: &str, takes: Duration) -> Self {
        let work =
            Work { name: "work".into(), method, path: path.into(), takes, flows: Duration::ZERO, patience: None };
        self.scenario.crowd.work = vec![(work, 1)];
        self
    }

    /// Every region works on so many requests at once, and the file says so.
    pub fn with_slots(mut self, slots: u32) -> Self {
        self.scenario.usual = RegionTruth { slots: Some(slots), ..self.scenario.usual };
        self.config = self.config.replace("\nprovider = ", &format!("\ncapacity = {slots}\nprovider = "));
        self
    }

    /// From second to second, what happens.
    pub fn during(mut self, when: Range<f64>, what: What) -> Self {
        let lasts = Some(seconds(when.end - when.start));
        self.scenario.faults.push(Fault { at: seconds(when.start), lasts, what });
        self
    }

    /// From that second to the end.
    pub fn since(mut self, at: f64, what: What) -> Self {
        self.scenario.faults.push(Fault { at: seconds(at), lasts: None, what });
        self
    }

    /// This file is rolled out then.
    pub fn rolls_out(mut self, at: f64, text: &str) -> Self {
        self.rollouts.push(text.to_owned());
        self.since(at, What::Rollout(text.into()))
    }

    /// Plays it, with seed 1.
    pub fn play(self) -> Played {
        self.play_with(1)
    }

    pub fn play_with(mut self, seed: u64) -> Played {
        let stage = Stage::of(Arc::new(common::topology(&self.config)), common::geography::quick_locator());
        let city = |name: &str| stage.cities.named(name).expect("a city of the table");
        let is_by_dns = stage.topology.dns.is_some();
        let site = |(at, (name, of)): (usize, &(&str, &str))| {
            let city = &stage.cities.all()[city(of)];
            let own = format!("192.0.2.{}", 20 + at).parse().expect("an address");
            let addresses = if is_by_dns { vec![own] } else { Vec::new() };
            NewSite {
                name: label(name),
                place: Place { at: city.at, country: Some(city.country), city: None },
                addresses,
            }
        };
        self.scenario.sites = self.sites.iter().enumerate().map(site).collect();
        self.scenario.crowd.places = self.places.iter().map(|(name, weight)| (city(name), *weight)).collect();
        self.scenario.faults.sort_by_key(|fault| fault.at);
        let rollouts: Vec<_> = self.rollouts.iter().map(|text| Arc::new(common::topology(text))).collect();
        let world = World::new(&stage, &Arc::new(self.scenario), &rollouts, seed).expect("it fits");
        Played::to_the_end(world, &stage)
    }
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "the file has one {old:?}");
    text.replace(old, new)
}

/// What a try has come to so far.
#[derive(Default)]
struct Try {
    processed: u32,
}

impl Played {
    fn to_the_end(world: World, stage: &Stage) -> Self {
        let mut played = Self {
            world,
            told: Vec::new(),
            wishes: Vec::new(),
            minds: Vec::new(),
            attempts: Vec::new(),
            arrivals: Vec::new(),
            failed_probes: Vec::new(),
            answers: Vec::new(),
            obeyed: Vec::new(),
            refused: Vec::new(),
        };
        let mut tries: BTreeMap<Slot, Try> = BTreeMap::new();
        while played.world.step() {
            for fact in std::mem::take(&mut played.world.facts) {
                played.hears(fact, stage, &mut tries);
            }
        }
        played
    }

    fn hears(&mut self, fact: Fact, stage: &Stage, tries: &mut BTreeMap<Slot, Try>) {
        let at = self.now();
        match fact {
            Fact::Stands { node, region, before, standing } => {
                self.minds.push(Mind { at, node, region: self.name(region), before, standing });
            }
            Fact::Wishes(_) => self.wishes.push(at),
            Fact::Tries { node, region, .. } => self.attempts.push((at, node, self.name(region))),
            Fact::Arrives(_, node) => self.arrivals.push((at, node)),
            Fact::Probed { node, endpoint, result: Err(symptom) } => {
                let region = self.world.file_of(node).topology.endpoint(endpoint).region;
                self.failed_probes.push((at, node, self.name(region), symptom));
            }
            Fact::Resolved { node, told, ttl, .. } => self.answers.push((at, node, told, ttl.as_secs_f64())),
            Fact::Obeys(node, _) => self.obeyed.push((at, node)),
            Fact::Refuses(node, _) => self.refused.push((at, node)),
            Fact::Processes(slot, region) => {
                let request = self.world.request(slot);
                let done = tries.entry(slot).or_default();
                done.processed += 1;
                assert!(request.is_safe || done.processed == 1, "at {at}: processed twice by our doing: {request:?}");
                let topology = &self.world.topology;
                assert!(
                    !topology.route(request.route).shuts_out(topology, region),
                    "outside of its fence: {request:?}"
                );
            }
            Fact::Ended(slot, _) => {
                tries.remove(&slot);
            }
            Fact::Finished(slot, outcome) => self.finished(slot, outcome, stage),
            _ => {}
        }
    }

    fn finished(&mut self, slot: Slot, outcome: Outcome, stage: &Stage) {
        let request = self.world.request(slot);
        let hostname = self.world.topology.route(request.route).hostname.to_string();
        let first_byte = request.first_byte.unwrap_or(self.world.now);
        self.told.push(Told {
            at: request.wished_at.since(Moment::ZERO).as_secs_f64(),
            took: first_byte.since(request.wished_at).as_secs_f64(),
            city: stage.cities.all()[self.world.clients[request.client as usize].city].name,
            host: hostname.strip_suffix("gateway.truefoundry.ai").unwrap_or(&hostname).trim_end_matches('.').to_owned(),
            is_safe: request.is_safe,
            outcome,
            region: outcome.region().map(|region| self.name(region)).unwrap_or_default(),
            tries: request.tries,
            attempts: request.attempts,
        });
    }

    fn name(&self, region: RegionIndex) -> String {
        self.world.topology.region(region).name.to_string()
    }

    fn now(&self) -> f64 {
        self.world.now.since(Moment::ZERO).as_secs_f64()
    }

    /// Wishes that were wished then.
    pub fn wished(&self, when: Range<f64>) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(move |told| when.contains(&told.at))
    }

    /// Those of them that nobody served.
    pub fn unserved(&self, when: Range<f64>) -> Vec<&Told> {
        self.wished(when).filter(|told| !told.outcome.is_served()).collect()
    }

    /// How many of what was wished then has not come to an end: what hangs has failed as well.
    pub fn hanging(&self, when: Range<f64>) -> usize {
        self.wishes.iter().filter(|at| when.contains(at)).count() - self.wished(when.clone()).count()
    }

    /// Share of what was wished then that was served; there must be something.
    pub fn served_share(&self, when: Range<f64>) -> f64 {
        let all = self.wishes.iter().filter(|at| when.contains(at)).count();
        assert!(all >= 10, "hardly anything was asked: {all}");
        self.wished(when).filter(|told| told.outcome.is_served()).count() as f64 / all as f64
    }

    /// By whom what was wished then was served, and how often.
    pub fn served_by(&self, when: Range<f64>) -> BTreeMap<&str, usize> {
        let mut by = BTreeMap::new();
        for told in self.wished(when).filter(|told| told.outcome.is_served()) {
            *by.entry(&*told.region).or_default() += 1;
        }
        by
    }

    /// Attempts for a request that came then.
    pub fn amplification(&self, when: Range<f64>) -> f64 {
        let attempts = self.attempts.iter().filter(|(at, ..)| when.contains(at)).count();
        let arrivals = self.arrivals.iter().filter(|(at, _)| when.contains(at)).count();
        attempts as f64 / arrivals.max(1) as f64
    }

    /// What nodes made of a region after their first probe, in its order.
    pub fn minds_about(&self, region: &str) -> Vec<&Mind> {
        self.minds.iter().filter(|mind| mind.region == region && mind.before != Standing::Unknown).collect()
    }

    /// Changes of mind after the first minute, in which everything is new.
    pub fn minds_changed(&self) -> Vec<&Mind> {
        self.minds.iter().filter(|mind| mind.at > 60.0).collect()
    }

    /// When a node first let go of a region after second `at`, in seconds from then.
    pub fn out_after(&self, node: NodeIndex, region: &str, at: f64) -> Option<f64> {
        let is_out = |mind: &&Mind| {
            mind.at >= at && mind.node == node && mind.region == region && mind.standing >= Standing::Ejected
        };
        self.minds.iter().find(is_out).map(|mind| mind.at - at)
    }

    /// Files in force at the end, by node: 0 is the first.
    pub fn has_file(&self, node: NodeIndex, text: &str) -> bool {
        let written = common::topology(text);
        let own = &self.world.file_of(node).topology;
        own.routes
            .iter()
            .map(|route| (&route.hostname, &route.members))
            .eq(written.routes.iter().map(|route| (&route.hostname, &route.members)))
    }
}

/// Nobody was failed then; says who was.
#[track_caller]
pub fn assert_all_served(played: &Played, when: Range<f64>) {
    let failed = played.unserved(when.clone());
    let all = played.wished(when.clone()).count();
    assert!(all >= 10, "hardly anything was asked: {all}");
    let shown = &failed[..failed.len().min(3)];
    assert!(failed.is_empty(), "{} of {all} were not served: {shown:#?}", failed.len());
    assert_eq!(played.hanging(when), 0, "some of what was wished hangs");
}
