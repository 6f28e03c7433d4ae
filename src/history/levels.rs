//! Machine: how regions and hostnames do, as their customers live it, from the snapshot that steers their requests.
//!
//! A region that an operator has drained is under maintenance, whatever its health. Otherwise: up is operational, and so is one
//! that is getting its share back after an outage; strained is degraded; ejected is partial; down is major. A hostname does
//! as those do that may serve it: with all its primaries it is operational (degraded, if all of them are strained), without
//! some of them degraded, with its fallbacks alone partial, with nobody major. Drains are left out of that count: what an
//! operator takes away on purpose is no failure, as long as somebody is left who serves. While the node suspects itself, or has not asked yet, nobody knows.

use super::story::Level;
use crate::health::{Reason, Standing};
use crate::snapshot::{RegionState, Snapshot};
use crate::topology::{Member, RegionIndex, Route};

/// How a region does, and why.
#[must_use]
pub fn of_region(snapshot: &Snapshot, region: RegionIndex) -> (Level, String) {
    let state = snapshot.region(region);
    if state.drained.is_some() {
        return (Level::Maintenance, "drained by an operator".to_owned());
    }
    if snapshot.is_suspect {
        return (Level::Unknown, Reason::SelfSuspicion.to_string());
    }
    (of_standing(state), state.reason.to_string())
}

fn of_standing(state: &RegionState) -> Level {
    match (state.standing, state.reason) {
        (Standing::Up, _) | (Standing::Strained, Reason::RampingUp) => Level::Operational,
        (Standing::Strained, _) => Level::Degraded,
        (Standing::Unknown, _) => Level::Unknown,
        (Standing::Ejected, _) => Level::Partial,
        (Standing::Down, _) => Level::Major,
    }
}

/// How a hostname does, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lived {
    /// How it does.
    pub level: Level,
    /// Who serves it now: of the best level at which anybody does.
    pub serving: Vec<RegionIndex>,
    /// Primaries that do not serve, and in a word why.
    pub missing: Vec<(RegionIndex, &'static str)>,
    /// Fallbacks in order, and whether each could serve.
    pub fallbacks: Vec<(RegionIndex, bool)>,
}

/// How `route` does.
#[must_use]
pub fn of_hostname(snapshot: &Snapshot, route: &Route) -> Lived {
    let inside = |member: &&Member| !route.shuts_out(&snapshot.topology, member.region);
    let members: Vec<Member> = route.members.iter().filter(inside).copied().collect();
    let level_of = |member: &Member| of_standing(snapshot.region(member.region));
    let is_drained = |member: &&Member| snapshot.region(member.region).drained.is_some();
    let serves = |member: &&Member| {
        !is_drained(member) && level_of(member) <= Level::Degraded && level_of(member) != Level::Unknown
    };
    let is_unknown = |member: &&Member| !is_drained(member) && level_of(member) == Level::Unknown;
    let primaries = || members.iter().filter(|member| member.level == 0);
    let best = members.iter().filter(serves).map(|member| member.level).min();
    let serving: Vec<Member> =
        members.iter().filter(serves).filter(|member| Some(member.level) == best).copied().collect();
    let failed = primaries().filter(|member| !is_drained(member) && level_of(member) > Level::Degraded).count();
    let expected = primaries().filter(|member| !is_drained(member)).count();
    let level = if snapshot.is_suspect {
        Level::Unknown
    } else {
        match best {
            Some(0) if failed > 0 => Level::Degraded,
            Some(0) if serving.iter().all(|member| level_of(member) == Level::Degraded) => Level::Degraded,
            Some(0) => Level::Operational,
            // Nobody has heard of a primary that fails: all are drained, or none has answered yet.
            Some(_) if expected == 0 => Level::Maintenance,
            Some(_) if failed == 0 => Level::Unknown,
            Some(_) => Level::Partial,
            None if members.iter().any(|member| is_unknown(&member)) => Level::Unknown,
            None => Level::Major,
        }
    };
    let missing = |member: &Member| (member.region, why_missing(snapshot, member.region));
    Lived {
        level,
        serving: serving.iter().map(|member| member.region).collect(),
        missing: primaries().filter(|member| !serves(member)).map(missing).collect(),
        fallbacks: members
            .iter()
            .filter(|member| member.level > 0)
            .map(|member| (member.region, serves(&member)))
            .collect(),
    }
}

/// Regions that are named one by one at most, where a hostname is served from them.
const NAMED_MAX: usize = 5;

fn why_missing(snapshot: &Snapshot, region: RegionIndex) -> &'static str {
    let state = snapshot.region(region);
    match state.drained {
        Some(_) => "draining",
        None => state.standing.as_str(),
    }
}

impl Lived {
    /// How many serve, where their names would be a list that nobody reads.
    fn counted(&self) -> String {
        let serving = self.serving.len();
        let others = self.missing.iter().filter(|(region, _)| !self.serving.contains(region)).count();
        match others {
            0 => format!("served from all {serving} regions"),
            _ => format!("served from {serving} of {} regions", serving + others),
        }
    }

    /// It in one sentence: "served from DFW and SFO; ORF draining; fallback YYZ ready".
    #[must_use]
    pub fn sentence(&self, snapshot: &Snapshot) -> String {
        let name = |region: &RegionIndex| snapshot.topology.region(*region).name.as_str().to_uppercase();
        let names = |regions: &[RegionIndex]| listed(&regions.iter().map(name).collect::<Vec<_>>());
        let mut parts = Vec::new();
        let is_by_fallback = self.fallbacks.iter().any(|(region, _)| self.serving.contains(region));
        parts.push(match (self.serving.is_empty(), self.level) {
            (false, _) if is_by_fallback => format!("served from fallback {}", names(&self.serving)),
            (false, _) if self.serving.len() > NAMED_MAX => self.counted(),
            (false, _) => format!("served from {}", names(&self.serving)),
            (true, Level::Unknown) => "not known yet".to_owned(),
            (true, _) => "served from nowhere".to_owned(),
        });
        let mut whys: Vec<&str> = Vec::new();
        for (_, why) in self.missing.iter().filter(|(region, _)| !self.serving.contains(region)) {
            if !whys.contains(why) {
                whys.push(why);
            }
        }
        for why in whys {
            let those: Vec<_> =
                self.missing.iter().filter(|(_, other)| *other == why).map(|(region, _)| *region).collect();
            parts.push(format!("{} {why}", names(&those)));
        }
        let waiting = |is_ready: bool| {
            let those =
                self.fallbacks.iter().filter(|(region, ready)| *ready == is_ready && !self.serving.contains(region));
            those.map(|(region, _)| *region).collect::<Vec<_>>()
        };
        for (those, how) in [(waiting(true), "ready"), (waiting(false), "not ready")] {
            match those.len() {
                0 => {}
                1 => parts.push(format!("fallback {} {how}", names(&those))),
                _ => parts.push(format!("fallbacks {} {how}", names(&those))),
            }
        }
        parts.join("; ")
    }
}

/// `A`, `A and B`, `A, B and C`.
#[must_use]
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}
