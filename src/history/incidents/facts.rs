//! What incidents are made of: how everything does, what it is called, and what customers notice of it.

use crate::history::levels;
use crate::history::story::{Level, Subject};
use crate::snapshot::Snapshot;
use crate::steering::decision::Decision;
use crate::steering::{Client, PlacedBy, Query, steer};
use crate::topology::{RegionIndex, RouteIndex, Topology};

/// Regions that share a hostname have something to do with each other if they are no more than this, or no more than two of
/// three of the fleet.
const FEW: usize = 4;

/// How a region or hostname does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which.
    pub subject: Subject,
    /// How it does.
    pub level: Level,
    /// What people call it: `Mumbai (bom)`.
    pub called: String,
    /// Who runs it; of a hostname: nothing.
    pub provider: Option<String>,
    /// Of a region: the written hostnames that it is a primary of. Of a hostname: itself.
    pub hostnames: Vec<String>,
    /// What its customers notice, in a sentence.
    pub lived: String,
}

impl Fact {
    /// Whether it is a hostname.
    #[must_use]
    pub fn is_hostname(&self) -> bool {
        matches!(self.subject, Subject::Hostname(_))
    }

    /// Whether it and `other` may fail of one cause: they share a provider or a hostname. One that nearly all regions serve
    /// says nothing of two of them, while it is served.
    #[must_use]
    pub fn has_to_do_with(&self, other: &Subject, facts: &[Self]) -> bool {
        let Some(other) = facts.iter().find(|fact| fact.subject == *other) else { return false };
        let shares_provider = self.provider.is_some() && self.provider == other.provider;
        let tells = |hostname: &&String| self.is_one_of_few(hostname, facts);
        shares_provider || self.hostnames.iter().filter(tells).any(|hostname| other.hostnames.contains(hostname))
    }

    /// Whether sharing `hostname` with this says something: a hostname lacks its regions, whichever; a region is one of few.
    fn is_one_of_few(&self, hostname: &String, facts: &[Self]) -> bool {
        let regions = || facts.iter().filter(|fact| !fact.is_hostname());
        let serving = regions().filter(|fact| fact.hostnames.contains(hostname)).count();
        let is_lost = |fact: &Self| fact.is_hostname() && fact.called == *hostname && fact.level >= Level::Partial;
        self.is_hostname() || serving <= FEW || serving * 3 <= regions().count() * 2 || facts.iter().any(is_lost)
    }
}

/// How everything in `snapshot` does.
#[must_use]
pub fn facts(snapshot: &Snapshot) -> Vec<Fact> {
    let topology = &snapshot.topology;
    let mut facts = Vec::with_capacity(topology.regions.len() + topology.routes.len());
    for (at, region) in topology.regions.iter().enumerate() {
        let index = RegionIndex::of(at);
        let (level, _) = levels::of_region(snapshot, index);
        facts.push(Fact {
            subject: Subject::Region(region.name.to_string()),
            level,
            called: called(topology, index),
            provider: Some(topology.provider(index).to_string()),
            hostnames: hostnames_of(topology, index),
            lived: if level > Level::Degraded { lived_near(snapshot, index) } else { String::new() },
        });
    }
    for route in topology.routes.iter().filter(|route| !route.is_regional) {
        let lived = levels::of_hostname(snapshot, route);
        facts.push(Fact {
            subject: Subject::Hostname(route.hostname.to_string()),
            level: lived.level,
            called: route.hostname.to_string(),
            provider: None,
            hostnames: vec![route.hostname.to_string()],
            lived: format!("{}: {}.", route.hostname, lived.sentence(snapshot)),
        });
    }
    facts
}

/// `Mumbai (bom)`, or only `bom`.
fn called(topology: &Topology, region: RegionIndex) -> String {
    let region = topology.region(region);
    region.place.city.as_ref().map_or_else(|| region.name.to_string(), |city| format!("{city} ({})", region.name))
}

/// The written hostnames that `region` is a primary of.
fn hostnames_of(topology: &Topology, region: RegionIndex) -> Vec<String> {
    let is_primary = |member: &crate::topology::Member| member.region == region && member.level == 0;
    let routes = topology.routes.iter().filter(|route| !route.is_regional && route.members.iter().any(is_primary));
    routes.map(|route| route.hostname.to_string()).collect()
}

/// Who answers those who are nearest to `region`, which does not: of each written hostname that it is a primary of.
fn lived_near(snapshot: &Snapshot, region: RegionIndex) -> String {
    let topology = &snapshot.topology;
    let place = &topology.region(region).place;
    let near = place.city.as_ref().map_or_else(|| topology.region(region).name.to_string(), ToString::to_string);
    let client = Client::of_place(place.clone(), PlacedBy::Database, 0);
    let mut answers: Vec<(String, Vec<String>)> = Vec::new();
    for (at, route) in topology.routes.iter().enumerate() {
        let is_primary = |member: &crate::topology::Member| member.region == region && member.level == 0;
        if route.is_regional || !route.members.iter().any(is_primary) {
            continue;
        }
        let answer = answer(snapshot, region, &steer(snapshot, &Query::first(RouteIndex::of(at), &client)));
        match answers.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, hostnames)) => hostnames.push(route.hostname.to_string()),
            None => answers.push((answer, vec![route.hostname.to_string()])),
        }
    }
    match answers.as_slice() {
        [(answer, _)] => format!("Requests from clients near {near} {answer}."),
        several => {
            let one = |(answer, hostnames): &(String, Vec<String>)| {
                format!("Requests to {} from clients near {near} {answer}.", levels::listed(hostnames))
            };
            several.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    }
}

/// What becomes of requests that are steered so, while `region` does not answer. Nobody is promised who does not serve.
fn answer(snapshot: &Snapshot, region: RegionIndex, decision: &Decision) -> String {
    let level = |at: RegionIndex| levels::of_region(snapshot, at).0;
    match decision.candidates.first() {
        Some(first)
            if first.region != region && matches!(level(first.region), Level::Operational | Level::Degraded) =>
        {
            format!("are answered by {}", called(&snapshot.topology, first.region))
        }
        _ if decision.candidates.iter().all(|candidate| level(candidate.region) == Level::Major) => "fail".to_owned(),
        _ => "may fail".to_owned(),
    }
}
