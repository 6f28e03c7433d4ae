//! Machine: how long each region and hostname was at which level, how long probes took, and what changed when.
//!
//! It is shown every snapshot, and looked at each second. The monotonic clock says how much time has gone by, the wall clock
//! only which minute it belongs to: a clock that is set, or a process that was stopped, makes no uptime and no downtime. What
//! was not watched is in no count.
//!
//! Minutes that are over are handed out to be kept. The last days stay here, so that telling of them needs no disk.

mod changes;
mod series;
mod traffic;

use super::levels;
use super::sketch::Sketch;
use super::story::{Level, Subject};
use crate::moment::Moment;
use crate::snapshot::Snapshot;
use crate::topology::RegionIndex;
pub use series::{Past, SLOT_MINUTES, Series, told};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use traffic::Traffic;

/// More than this between two looks was not watched: the process was stopped, or the machine slept.
pub const GAP_MAX: Duration = Duration::from_secs(5);
/// Minutes that wait to be kept, at most: two days of a large fleet. Beyond it the oldest are lost, and counted.
pub const MINUTES_MAX: usize = 65_536;
/// Changes that wait to be kept, at most.
pub const CHANGES_MAX: usize = 4_096;
/// Longest reason that is kept of a change, characters.
const REASON_CHARACTERS_MAX: usize = 200;

/// What one minute of a region or hostname was like, as far as it was watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Milliseconds at each level, in the order of [`LEVELS`](super::story::LEVELS).
    pub milliseconds: [u64; 6],
    /// How long probes took.
    pub times: Sketch,
    /// Attempts that were answered.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
}

impl Counts {
    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        self.milliseconds.iter_mut().zip(other.milliseconds).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.times.merge(&other.times);
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.milliseconds == [0; 6] && self.requests == 0 && self.failures == 0 && self.times.count() == 0
    }
}

/// A minute that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Of which region or hostname.
    pub subject: Subject,
    /// Minutes since the Unix epoch.
    pub minute: u64,
    /// What it was like.
    pub counts: Counts,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The standing of a region.
    Region,
    /// The standing of an endpoint.
    Endpoint,
    /// The level of a hostname.
    Hostname,
    /// An operator's drain.
    Drain,
}

impl Kind {
    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Endpoint => "endpoint",
            Self::Hostname => "hostname",
            Self::Drain => "drain",
        }
    }
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When: wall clock, since the Unix epoch.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// Of what.
    pub name: String,
    /// What it was.
    pub was: String,
    /// What it is.
    pub is: String,
    /// Why.
    pub reason: String,
}

/// The levels of everything, and how long it was at them.
#[derive(Debug, Default)]
pub struct Recorder {
    series: BTreeMap<Subject, Series>,
    traffic: Traffic,
    last: Option<(Moment, Arc<Snapshot>)>,
    minutes: VecDeque<Minute>,
    changes: VecDeque<Change>,
    dropped: u64,
}

impl Recorder {
    /// `snapshot` is what is believed `now`; what was believed at the last look held until now.
    pub fn observe(&mut self, now: Moment, wall: Duration, snapshot: &Arc<Snapshot>) {
        self.pass(now, wall);
        let last = self.last.take().map(|(_, last)| last);
        if last.as_ref().is_none_or(|last| last.generation != snapshot.generation) {
            if let Some(last) = &last {
                let changes = changes::between(last, snapshot, wall);
                changes.into_iter().for_each(|change| self.note(change));
            }
            self.follow(wall, snapshot);
        }
        self.traffic.count(snapshot, &mut self.series);
        self.last = Some((now, Arc::clone(snapshot)));
    }

    /// The time since the last look went by at the levels of the last look.
    fn pass(&mut self, now: Moment, wall: Duration) {
        let minute = wall.as_secs() / 60;
        let gone = self.last.as_ref().map_or(Duration::ZERO, |(then, _)| now.since(*then));
        let gone = if gone > GAP_MAX { Duration::ZERO } else { gone };
        // What went by before the minute began belongs to the one before.
        let here = gone.min(wall.saturating_sub(Duration::from_secs(minute * 60)));
        for (subject, series) in &mut self.series {
            series.pass(gone - here);
            let over = series.turn(minute);
            series.pass(here);
            if let Some((minute, counts)) = over {
                self.minutes.push_back(Minute { subject: subject.clone(), minute, counts });
            }
        }
        while self.minutes.len() > MINUTES_MAX {
            self.minutes.pop_front();
            self.dropped += 1;
        }
    }

    /// Takes over the levels of a new snapshot.
    fn follow(&mut self, wall: Duration, snapshot: &Snapshot) {
        let topology = &snapshot.topology;
        let mut seen = BTreeSet::new();
        for (at, region) in topology.regions.iter().enumerate() {
            let subject = Subject::Region(region.name.to_string());
            let (level, why) = levels::of_region(snapshot, RegionIndex::of(at));
            self.series.entry(subject.clone()).or_insert_with(|| Series::new(wall)).is_at(level, why, wall);
            seen.insert(subject);
        }
        for route in topology.routes.iter().filter(|route| !route.is_regional) {
            let subject = Subject::Hostname(route.hostname.to_string());
            let lived = levels::of_hostname(snapshot, route);
            let series = self.series.entry(subject.clone()).or_insert_with(|| Series::new(wall));
            let (was, is, reason) = (series.level(), lived.level, lived.sentence(snapshot));
            series.is_at(is, reason.clone(), wall);
            if was != is && was != Level::Unknown {
                let (was, is) = (was.as_str().to_owned(), is.as_str().to_owned());
                self.note(Change { at: wall, kind: Kind::Hostname, name: route.hostname.to_string(), was, is, reason });
            }
            seen.insert(subject);
        }
        self.series.retain(|subject, series| {
            let is_there = seen.contains(subject);
            if let (false, Some((minute, counts))) = (is_there, series.end()) {
                self.minutes.push_back(Minute { subject: subject.clone(), minute, counts });
            }
            is_there
        });
    }

    fn note(&mut self, mut change: Change) {
        if change.reason.chars().count() > REASON_CHARACTERS_MAX {
            change.reason = change.reason.chars().take(REASON_CHARACTERS_MAX).collect();
        }
        self.changes.push_back(change);
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
            self.dropped += 1;
        }
    }

    /// What is known of a region or hostname.
    #[must_use]
    pub fn series(&self, subject: &Subject) -> Option<&Series> {
        self.series.get(subject)
    }

    /// Everything, and what is known of it.
    pub fn all(&self) -> impl Iterator<Item = (&Subject, &Series)> {
        self.series.iter()
    }

    /// Whose past has not been told yet.
    #[must_use]
    pub fn without_past(&self) -> Vec<Subject> {
        self.series.iter().filter(|(_, series)| !series.has_past()).map(|(subject, _)| subject.clone()).collect()
    }

    /// The past of something: to be told before its first minute is kept, or that would count twice.
    pub fn recall(&mut self, subject: &Subject, past: Past, wall: Duration) {
        if let Some(series) = self.series.get_mut(subject) {
            series.recall(past, wall);
        }
    }

    /// What is to be kept and was not handed out yet.
    pub fn hand_out(&mut self) -> Batch {
        let levels = |(subject, series): (&Subject, &Series)| (subject.clone(), series.level(), series.since());
        Batch {
            minutes: std::mem::take(&mut self.minutes).into(),
            changes: std::mem::take(&mut self.changes).into(),
            levels: self.series.iter().map(levels).collect(),
        }
    }

    /// Whether there is anything to hand out.
    #[must_use]
    pub fn has_something(&self) -> bool {
        !self.minutes.is_empty() || !self.changes.is_empty()
    }

    /// Ends the minute that runs, as the node ends.
    pub fn end(&mut self) {
        for (subject, series) in &mut self.series {
            if let Some((minute, counts)) = series.end() {
                self.minutes.push_back(Minute { subject: subject.clone(), minute, counts });
            }
        }
    }

    /// Minutes and changes that were lost because nothing could be kept for too long.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// What is to be kept, together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Minutes that are over.
    pub minutes: Vec<Minute>,
    /// What changed.
    pub changes: Vec<Change>,
    /// At which level everything is, and since when by the wall clock.
    pub levels: Vec<(Subject, Level, Duration)>,
}
