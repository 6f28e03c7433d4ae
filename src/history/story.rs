//! What is told: levels, incidents and the one report that everything public is rendered from. Pure values.
//!
//! Times are durations since the Unix epoch by the wall clock: this is for people and for other machines.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Days that are shown of each region and hostname.
pub const DAYS_SHOWN: usize = 90;

/// How something does, as its customers live it. From best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Operational,
    /// An operator has taken it out of service on purpose.
    Maintenance,
    /// Nobody could tell: not asked yet, or the observer suspects itself.
    #[default]
    Unknown,
    /// It works, slower or from farther away than it should.
    Degraded,
    /// Only what was kept for emergencies serves it.
    Partial,
    /// It does not work.
    Major,
}

/// All levels, from best to worst.
pub const LEVELS: [Level; 6] =
    [Level::Operational, Level::Maintenance, Level::Unknown, Level::Degraded, Level::Partial, Level::Major];

impl Level {
    /// As metrics, class names and files write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Partial => "partial",
            Self::Major => "major",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::Maintenance => "Under maintenance",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Partial => "Partial outage",
            Self::Major => "Outage",
        }
    }
}

/// What something is told about: `region:orf` or `hostname:us.gateway.example`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A region, by its name.
    Region(String),
    /// A hostname.
    Hostname(String),
}

impl Subject {
    /// Parses `region:NAME` or `hostname:NAME`.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("region", name)) if !name.is_empty() => Ok(Self::Region(name.to_owned())),
            Some(("hostname", name)) if !name.is_empty() => Ok(Self::Hostname(name.to_owned())),
            _ => Err(format!("{text:?} is neither region:NAME nor hostname:NAME")),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Region(name) | Self::Hostname(name) => name,
        }
    }

    /// What other programs know it by, as a component: the same in documents and messages.
    #[must_use]
    pub fn id(&self) -> String {
        stable_id(&self.to_string())
    }
}

/// An id that stays as long as the thing is called so, and has no character that means something anywhere.
#[must_use]
pub fn stable_id(of: &str) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of.as_bytes());
    digest.as_ref()[..12].iter().map(|octet| char::from(DIGITS[usize::from(octet % 32)])).collect()
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(name) => write!(f, "region:{name}"),
            Self::Hostname(name) => write!(f, "hostname:{name}"),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// Where an incident or a maintenance is. The names are those of Statuspage's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was seen.
    Investigating,
    /// It is understood.
    Identified,
    /// It seems to be over and is watched.
    Monitoring,
    /// It is over.
    Resolved,
    /// A maintenance that will be.
    Scheduled,
    /// A maintenance that is.
    InProgress,
    /// A maintenance that is over.
    Completed,
}

impl Phase {
    /// As files and interfaces write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Investigating => "investigating",
            Self::Identified => "identified",
            Self::Monitoring => "monitoring",
            Self::Resolved => "resolved",
            Self::Scheduled => "scheduled",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Investigating => "Investigating",
            Self::Identified => "Identified",
            Self::Monitoring => "Monitoring",
            Self::Resolved => "Resolved",
            Self::Scheduled => "Scheduled",
            Self::InProgress => "In progress",
            Self::Completed => "Completed",
        }
    }

    /// Whether nothing more is expected to come.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Resolved | Self::Completed)
    }
}

/// How bad it is for customers, at its worst. The names are those of Statuspage's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Nobody notices.
    None,
    /// Planned.
    Maintenance,
    /// Slower, or from farther away.
    Minor,
    /// Something does not work that customers use.
    Major,
    /// A hostname is not served.
    Critical,
}

impl Impact {
    /// As files and interfaces write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Maintenance => "maintenance",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }

    /// How that does which it is about.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Self::None => Level::Operational,
            Self::Maintenance => Level::Maintenance,
            Self::Minor => Level::Degraded,
            Self::Major => Level::Partial,
            Self::Critical => Level::Major,
        }
    }
}

/// One entry of an incident's timeline. It never changes once it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Unique for ever, safe in URLs: also what deliveries of it are known by.
    pub id: String,
    /// When.
    pub at: Duration,
    /// What the incident came to with it.
    pub phase: Phase,
    /// Plain text, as an operator wrote it or as it was made; may have several lines. Never markup.
    pub text: String,
    /// Whether a person wrote it. Who it was is in the audit log and nowhere public.
    pub by_operator: bool,
}

/// Something that happened, or a maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Unique for ever, safe in URLs, sorted by time of opening.
    pub id: String,
    /// One line of plain text.
    pub title: String,
    /// Where it is.
    pub phase: Phase,
    /// How bad, at its worst.
    pub impact: Impact,
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// When it began: what it is about was first seen failing (by an operator: written; a maintenance: announced).
    pub opened_at: Duration,
    /// When it was over: since when all were well (by an operator: written).
    pub closed_at: Option<Duration>,
    /// A maintenance's window: from, until. Nothing: an incident.
    pub window: Option<(Duration, Duration)>,
    /// Whether it opened by itself.
    pub is_automatic: bool,
    /// Oldest first; at least one.
    pub updates: Vec<Update>,
    /// What was learnt, written afterwards. Plain text.
    pub post_mortem: Option<String>,
}

impl Incident {
    /// Whether it is a planned maintenance.
    #[must_use]
    pub fn is_maintenance(&self) -> bool {
        self.window.is_some()
    }

    /// When something last changed about it.
    #[must_use]
    pub fn updated_at(&self) -> Duration {
        self.updates.last().map_or(self.opened_at, |update| update.at)
    }
}

/// One UTC day of a region or hostname, as far as it was watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// Days since the Unix epoch.
    pub day: u32,
    /// Seconds spent at each level, in the order of [`LEVELS`]; together: how long it was watched.
    pub seconds: [u32; 6],
    /// Median time of a probe, milliseconds; of a hostname: nothing.
    pub p50_ms: Option<f64>,
    /// 95 of 100 probes took no longer, milliseconds.
    pub p95_ms: Option<f64>,
}

impl Day {
    /// Seconds it was watched and could be told about: unknown time and planned maintenance count for nobody.
    #[must_use]
    pub fn judged_s(&self) -> u32 {
        let [operational, _, _, degraded, partial, major] = self.seconds;
        operational + degraded + partial + major
    }

    /// Fraction of the judged time in which it worked at all, 0 to 1; nothing if it was not watched.
    #[must_use]
    pub fn uptime(&self) -> Option<f64> {
        let judged = self.judged_s();
        (judged > 0).then(|| 1.0 - f64::from(self.seconds[Level::Major as usize]) / f64::from(judged))
    }
}

/// One of the last hours, for the line of latencies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// When it began.
    pub at: Duration,
    /// Median time of a probe, milliseconds.
    pub p50_ms: Option<f64>,
    /// 95 of 100 probes took no longer, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99 of 100 probes took no longer, milliseconds.
    pub p99_ms: Option<f64>,
}

/// A region, as told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionReport {
    /// Its code.
    pub name: String,
    /// Who runs it.
    pub provider: String,
    /// Where it is, for people.
    pub city: Option<String>,
    /// ISO 3166-1.
    pub country: Option<String>,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// How it does: as it is seen, or worse where operators say so.
    pub level: Level,
    /// `up`, `strained`, `unknown`, `ejected`, `down`: what steering goes by.
    pub standing: String,
    /// Why, for people.
    pub reason: String,
    /// Since when it is at this level.
    pub since: Duration,
    /// Median time of a probe over the last minutes, milliseconds.
    pub latency_ms: Option<f64>,
    /// Fraction of the judged time of the days shown in which it worked, 0 to 1.
    pub uptime: Option<f64>,
    /// [`DAYS_SHOWN`] days, oldest first, today last.
    pub days: Vec<Day>,
    /// The last 24 hours in slots, oldest first.
    pub recent: Vec<Slot>,
}

/// A hostname, as its customers live it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostnameReport {
    /// The hostname.
    pub name: String,
    /// How it does.
    pub level: Level,
    /// Since when.
    pub since: Duration,
    /// Who serves it now, best level that works: region names.
    pub serving: Vec<String>,
    /// Its primaries that do not serve, and why: `draining`, `down`, `ejected`, …
    pub missing: Vec<(String, String)>,
    /// Its fallbacks, in order, and whether each is ready.
    pub fallbacks: Vec<(String, bool)>,
    /// One sentence of the three above: "served from DFW and SFO; ORF draining; fallback YYZ ready".
    pub sentence: String,
    /// Fraction of the judged time of the days shown in which it worked, 0 to 1.
    pub uptime: Option<f64>,
    /// [`DAYS_SHOWN`] days, oldest first, today last.
    pub days: Vec<Day>,
}

/// Requests that flow now from where clients are to a region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// The clients' country (ISO 3166-1), if it is known.
    pub country: Option<String>,
    /// Degrees north of those clients, coarse.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Which region answered.
    pub region: String,
    /// Requests a second over the last minute.
    pub per_second: f64,
}

/// Why the history is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: Duration,
    /// In words for operators: "nothing can be written: the disk is full". The public is told only that there is a gap.
    pub why: String,
}

/// Everything that is told, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made.
    pub at: Duration,
    /// Of which fleet.
    pub fleet: String,
    /// Whose view it is: the site of the node.
    pub vantage: String,
    /// The snapshot it was made from.
    pub generation: u64,
    /// Whether the node suspects its own network, so that nothing it sees means much.
    pub is_suspect: bool,
    /// The worst level of a hostname; without hostnames: of a region. Or what operators write of an open incident.
    pub level: Level,
    /// The regions, as written.
    pub regions: Vec<RegionReport>,
    /// The written hostnames, in order. Regional ones are their regions.
    pub hostnames: Vec<HostnameReport>,
    /// Incidents: the open ones first, then the others, newest first; the last 90 days.
    pub incidents: Vec<Incident>,
    /// Maintenance that is or will be, the next first; then what is over, newest first.
    pub maintenance: Vec<Incident>,
    /// Live traffic.
    pub flows: Vec<Flow>,
    /// Set while the history cannot be kept, or part of it was lost.
    pub trouble: Option<Trouble>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_counts_what_was_judged_and_only_outages_against_it() {
        let day = Day { seconds: [80, 1_000, 1_000, 10, 5, 5], ..Day::default() };
        assert_eq!(day.judged_s(), 100);
        assert_eq!(day.uptime(), Some(0.95));
        assert_eq!(Day { seconds: [0, 9, 9, 0, 0, 0], ..Day::default() }.uptime(), None);
    }

    #[test]
    fn subjects_are_read_as_they_are_written() {
        for text in ["region:orf", "hostname:us.gateway.example"] {
            assert_eq!(Subject::parse(text).map(|subject| subject.to_string()).as_deref(), Ok(text));
        }
        for bad in ["", "orf", "region:", "endpoint:orf/a"] {
            assert!(Subject::parse(bad).is_err(), "{bad:?}");
        }
    }
}
