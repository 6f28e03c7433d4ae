//! What was decided and why; the explanation is the decision.

use super::{Client, PlacedBy, Wish};
use crate::health::{Reason, Standing};
use crate::snapshot::Snapshot;
use crate::topology::{RegionIndex, RouteIndex};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// A route's regions, ranked for one client at one generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Of which snapshot.
    pub generation: u64,
    /// For which route.
    pub route: RouteIndex,
    /// What the request itself asked for.
    pub wish: Wish,
    /// Who may answer, best first.
    pub candidates: Vec<Candidate>,
    /// Who must not, and why.
    pub excluded: Vec<(RegionIndex, Exclusion)>,
}

/// A region that may answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub region: RegionIndex,
    /// What it is for this client.
    pub standing: Standing,
    /// Why; `None`: it has all the requests it may have.
    pub reason: Option<Reason>,
    /// What the request itself wishes: 0 rather here, 1 all the same, 2 rather elsewhere.
    pub wish: u8,
    /// 0 for primaries, then one for each fallback.
    pub level: u16,
    /// The policy's number, smaller is better.
    pub preference: u64,
    /// A stable hash of client and region.
    pub tie: u64,
    /// From the client, kilometres.
    pub distance_km: f64,
    /// From this node, measured.
    pub round_trip: Option<Duration>,
}

impl Candidate {
    /// What candidates are sorted by.
    #[must_use]
    pub fn rank(&self) -> (Standing, u8, u16, u64, u64) {
        (self.standing, self.wish, self.level, self.preference, self.tie)
    }

    /// The same in fewer words, which compare faster.
    pub(super) fn packed_rank(&self) -> (u64, u64, u64) {
        let first = (self.standing as u64) << 24 | u64::from(self.wish) << 16 | u64::from(self.level);
        (first, self.preference, self.tie)
    }

    /// Why it stands as it does, for people.
    #[must_use]
    pub fn reason_text(&self) -> String {
        self.reason.map_or_else(|| "has all the requests it may have".to_owned(), |reason| reason.to_string())
    }
}

impl Wish {
    /// What the request has to do with `region`, as it is called in JSON and by people.
    #[must_use]
    pub fn word(self, region: RegionIndex) -> Option<&'static str> {
        match self {
            Self { only: Some(only), .. } if only == region => Some("bound"),
            Self { prefer: Some(prefer), .. } if prefer == region => Some("prefers"),
            Self { avoid, .. } if avoid.contains(&Some(region)) => Some("avoids"),
            Self { spread: Some(_), .. } => Some("spread"),
            _ => None,
        }
    }
}

/// Why a region must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// An operator keeps new work away.
    Drained {
        /// From its own hostname too.
        is_hard: bool,
    },
    /// It stands outside the route's fence.
    Residency,
    /// It already failed for this request.
    Tried,
    /// The request is bound to another region.
    Bound,
    /// It is down, and the route would rather refuse than try.
    Down,
}

impl Exclusion {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drained { is_hard: false } => "drained",
            Self::Drained { is_hard: true } => "drained_hard",
            Self::Residency => "residency",
            Self::Tried => "tried",
            Self::Bound => "bound_elsewhere",
            Self::Down => "down",
        }
    }

    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Drained { is_hard: false } => "drained by an operator",
            Self::Drained { is_hard: true } => "drained by an operator, from its own hostname too",
            Self::Residency => "outside the hostname's residency",
            Self::Tried => "already failed for this request",
            Self::Bound => "the request is bound to another region",
            Self::Down => "down, and the hostname refuses rather than tries",
        }
    }
}

impl PlacedBy {
    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Override => "an override in the file",
            Self::Database => "the geo database",
            Self::Here => "nobody knows: taken to be where this node stands",
        }
    }
}

impl Decision {
    /// The decision as JSON: the shape of `anyfront explain --json`.
    #[must_use]
    pub fn to_json(&self, snapshot: &Snapshot, client: &Client) -> Value {
        let topology = &snapshot.topology;
        let route = topology.route(self.route);
        let candidates: Vec<Value> = self
            .candidates
            .iter()
            .map(|candidate| {
                json!({
                    "region": topology.region(candidate.region).name,
                    "provider": topology.provider(candidate.region),
                    "standing": candidate.standing,
                    "reason": candidate.reason_text(),
                    "wish": self.wish.word(candidate.region),
                    "level": candidate.level,
                    "distance_km": candidate.distance_km.round(),
                    "round_trip_ms": candidate.round_trip.map(|time| time.as_secs_f64() * 1_000.0),
                })
            })
            .collect();
        let excluded: Vec<Value> = self
            .excluded
            .iter()
            .map(|(region, why)| {
                json!({ "region": topology.region(*region).name, "exclusion": why.as_str(), "reason": why.text() })
            })
            .collect();
        json!({
            "hostname": route.hostname,
            "steering": route.steering,
            "residency": route.residency.as_ref().map(|residency| &residency.written),
            "generation": self.generation,
            "site": snapshot.here.name,
            "client": {
                "prefix": client.prefix,
                "country": client.place.country,
                "city": client.place.city,
                "latitude": client.place.at.latitude(),
                "longitude": client.place.at.longitude(),
                "placed_by": client.placed_by,
            },
            "candidates": candidates,
            "excluded": excluded,
        })
    }

    /// Why a candidate stands where it stands.
    fn because(&self, candidate: &Candidate) -> String {
        let reason = candidate.reason_text();
        match self.wish.word(candidate.region) {
            Some("bound") => format!("{reason}; the request is bound to it"),
            Some("prefers") => format!("{reason}; the request prefers it"),
            Some("avoids") => format!("{reason}; it has just failed this client"),
            _ => reason,
        }
    }

    /// The decision for people: who answers, then every region with its reason.
    #[must_use]
    pub fn to_text(&self, snapshot: &Snapshot, client: &Client) -> String {
        let topology = &snapshot.topology;
        let route = topology.route(self.route);
        let mut text = String::new();
        let _ = writeln!(text, "{} asked from {} ({})", route.hostname, client.prefix, client.place);
        let _ = writeln!(text, "  the place is known from: {}", client.placed_by.text());
        match self.candidates.first() {
            Some(best) => {
                let region = topology.region(best.region);
                let _ =
                    writeln!(text, "  goes to {}, {} ({})", region.name, region.place, topology.provider(best.region));
            }
            None => text.push_str("  goes nowhere: every region is excluded\n"),
        }
        text.push('\n');
        let _ = writeln!(
            text,
            "  {:>2}  {:<12} {:<9} {:<10} {:>9} {:>9}  because",
            "", "region", "standing", "level", "from you", "from here"
        );
        for (place, candidate) in self.candidates.iter().enumerate() {
            let region = topology.region(candidate.region);
            let level =
                if candidate.level == 0 { "primary".to_owned() } else { format!("fallback {}", candidate.level) };
            let time = candidate
                .round_trip
                .map_or_else(|| "-".to_owned(), |time| format!("{:.0} ms", time.as_secs_f64() * 1_000.0));
            let _ = writeln!(
                text,
                "  {:>2}  {:<12} {:<9} {:<10} {:>6.0} km {:>9}  {}",
                place + 1,
                region.name,
                candidate.standing,
                level,
                candidate.distance_km,
                time,
                self.because(candidate)
            );
        }
        for (region, why) in &self.excluded {
            let _ = writeln!(text, "   -  {:<12} {:<9} {}", topology.region(*region).name, "excluded", why.text());
        }
        text
    }
}
