//! Machine: incidents that open, grow and close by themselves, and what operators write.
//!
//! It is shown how everything does, each second. Who fails for long enough becomes the subject of an incident; who fails
//! shortly after, and has something to do with it, joins it instead of opening another. When all of its subjects are well for
//! long enough, it closes. A subscriber hears once that it began, once that it is over, and in between of what became worse.
//!
//! What an operator has written to is the operator's: nothing is written to it any more by itself, and only an operator
//! resolves it. A drain is no failure, and a node that suspects itself opens nothing.
//!
//! ```text
//!             bad for its hold                    all well for `hold`
//!   (well) ────────────────────▶ investigating ────────────────────────▶ resolved
//!                                     ▲                                     │
//!                                     └──── bad again within REOPEN ────────┘   `hold` doubles
//! ```

pub mod facts;
mod judge;
pub mod operator;
mod words;

use super::story::{Incident, Level, Phase, Subject, Update};
use crate::moment::{Dice, Moment};
use facts::Fact;
use judge::{hold, impact, is_bad, is_well};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long something must fail before an incident opens: longer than what a lost probe or a restart takes, and short enough
/// that with detection, mail and all everybody has heard within a minute.
pub const OPENS_AFTER: Duration = Duration::from_secs(10);
/// The same for a region that is refused by live traffic alone: that is meant to pass.
pub const OPENS_AFTER_PARTIAL: Duration = Duration::from_secs(60);
/// The same for a hostname that only lacks some of its primaries: its customers hardly notice.
pub const OPENS_AFTER_DEGRADED: Duration = Duration::from_secs(120);
/// How long all must be well before an incident closes.
pub const CLOSES_AFTER: Duration = Duration::from_secs(30);
/// The longest that comes to by doubling.
pub const CLOSES_AFTER_MAX: Duration = Duration::from_secs(600);
/// What fails again so shortly after its incident closed opens that one again; twice as long for each further incident about
/// the same within a day, so that what comes and goes slowly is no endless row of them.
pub const REOPENS_WITHIN: Duration = Duration::from_secs(600);
/// The longest that comes to.
pub const REOPENS_WITHIN_MAX: Duration = Duration::from_secs(7_200);
/// What fails so shortly after another, and has something to do with it, joins its incident.
pub const JOINS_WITHIN: Duration = Duration::from_secs(120);
/// Updates of one incident by itself come no closer than this, its begin and end apart.
pub const UPDATES_EVERY: Duration = Duration::from_secs(60);
/// Updates by itself after which an incident is only ended, and only after [`CLOSES_AFTER_TIRED`].
pub const UPDATES_MAX: usize = 20;
/// See [`UPDATES_MAX`].
pub const CLOSES_AFTER_TIRED: Duration = Duration::from_secs(3_600);
/// A day.
const DAY: Duration = Duration::from_secs(86_400);
/// Incidents that are remembered, beside those that are open; more are in the file.
pub const REMEMBERED_MAX: usize = 500;
/// While something is well, its bad time is forgotten so many times slower than it came: what comes and goes adds up.
const FORGETS: u32 = 4;

/// An incident with what the machine needs to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What is told.
    pub incident: Incident,
    /// How long all must be well before it closes.
    pub hold: Duration,
    /// Whether an operator has written to it.
    pub is_taken_over: bool,
}

/// An incident under way, by itself.
#[derive(Clone, Debug)]
struct Course {
    kept: Kept,
    /// Since when all are well, by both clocks.
    well_since: Option<(Moment, Duration)>,
    /// When what it is about failed first, since it opened last.
    began: Duration,
    /// How long that had lasted before it opened again; nothing: nobody knows.
    before: Option<Duration>,
    /// When it grew last.
    grew: Moment,
    /// When it was written to last.
    written: Moment,
    /// Whether it was taken over from the file, and nobody has been seen failing since.
    is_from_before: bool,
    /// Until when it opens again rather than that another is begun, once it is over.
    opens_again_until: Moment,
    /// What its subjects were like when it was written to last.
    told: BTreeMap<Subject, Level>,
}

/// How long something has been failing.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    bad_for: Duration,
    looked: Moment,
    /// When it was seen failing first, by the wall clock, of what counts as bad time.
    began: Option<Duration>,
}

/// The incidents of a node.
#[derive(Debug)]
pub struct Incidents {
    courses: Vec<Course>,
    watches: BTreeMap<Subject, Watch>,
    /// What an operator has called resolved although it fails: until it was well once.
    muted: BTreeSet<Subject>,
    changed: BTreeSet<String>,
    dice: Dice,
    last_id_ms: u64,
}

impl Incidents {
    /// None so far. `dice` make identifiers unique over all nodes, so each node needs its own.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self {
            courses: Vec::new(),
            watches: BTreeMap::new(),
            muted: BTreeSet::new(),
            changed: BTreeSet::new(),
            dice,
            last_id_ms: 0,
        }
    }

    /// Takes over what was kept before the node started.
    pub fn restore(&mut self, kept: Vec<Kept>, now: Moment, wall: Duration) {
        for kept in kept {
            let incident = &kept.incident;
            let within = self.reopens_within(incident, wall);
            if self.courses.iter().any(|course| course.kept.incident.id == incident.id) {
                continue;
            }
            let ended = incident.updates.iter().filter(|update| update.phase == Phase::Resolved);
            let (times, ended) = (ended.clone().count(), ended.last().map(|update| update.at));
            let ended = incident.closed_at.map(|at| ended.unwrap_or(at));
            let left = ended.map(|at| within.saturating_sub(wall.saturating_sub(at))).unwrap_or_default();
            let before = match (times, incident.closed_at) {
                (0, _) => Some(Duration::ZERO),
                (1, Some(at)) => Some(at.saturating_sub(incident.opened_at)),
                _ => None,
            };
            if !left.is_zero() && incident.updates.last().is_some_and(|update| update.by_operator) {
                self.muted.extend(incident.subjects.iter().cloned());
            }
            self.courses.push(Course {
                well_since: None,
                began: incident.opened_at,
                before,
                grew: Moment::ZERO,
                written: Moment::ZERO,
                is_from_before: true,
                opens_again_until: now + left,
                told: BTreeMap::new(),
                kept,
            });
        }
        self.courses.sort_by(|a, b| a.kept.incident.id.cmp(&b.kept.incident.id));
    }

    /// Everything that is remembered, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Incident> {
        self.courses.iter().map(|course| &course.kept.incident)
    }

    /// What has changed since this was asked last.
    pub fn take_changed(&mut self) -> Vec<Kept> {
        let changed = std::mem::take(&mut self.changed);
        let courses = self.courses.iter().filter(|course| changed.contains(&course.kept.incident.id));
        courses.map(|course| course.kept.clone()).collect()
    }

    /// How everything does `now`.
    pub fn look(&mut self, now: Moment, wall: Duration, facts: &[Fact]) {
        let wall = whole(wall);
        self.keep_times(wall);
        for fact in facts {
            self.watch(now, wall, fact);
        }
        self.watches.retain(|subject, _| facts.iter().any(|fact| fact.subject == *subject));
        self.muted.retain(|subject| facts.iter().any(|fact| fact.subject == *subject && !is_well(fact)));
        for fact in facts {
            if self.is_due(fact) && !self.muted.contains(&fact.subject) && !self.is_covered(&fact.subject) {
                self.begin(now, wall, fact, facts);
            }
        }
        for at in 0..self.courses.len() {
            if self.courses[at].is_open_by_itself() {
                self.go_on(at, now, wall, facts);
            }
        }
        self.forget();
    }

    /// Counts how long `fact` has been bad. Nobody knows anything of what is unknown.
    fn watch(&mut self, now: Moment, wall: Duration, fact: &Fact) {
        let watch = self.watches.entry(fact.subject.clone()).or_insert(Watch { looked: now, ..Watch::default() });
        let gone = now.since(watch.looked);
        watch.looked = now;
        match (hold(fact), fact.level) {
            (Some(_), _) => {
                watch.bad_for += gone;
                watch.began.get_or_insert(wall);
            }
            (None, Level::Unknown) => {}
            (None, _) => {
                watch.bad_for = watch.bad_for.saturating_sub(gone / FORGETS);
                watch.began = watch.began.filter(|_| !watch.bad_for.is_zero());
            }
        }
    }

    fn is_due(&self, fact: &Fact) -> bool {
        let bad_for = self.watches.get(&fact.subject).map_or(Duration::ZERO, |watch| watch.bad_for);
        hold(fact).is_some_and(|hold| bad_for >= hold)
    }

    /// Whether an open incident is about `subject` already, or a maintenance that is under way.
    fn is_covered(&self, subject: &Subject) -> bool {
        self.courses.iter().any(|course| {
            let incident = &course.kept.incident;
            let is_under_way = !incident.phase.is_over() && incident.phase != Phase::Scheduled;
            is_under_way && incident.subjects.contains(subject)
        })
    }

    /// `fact` has become an incident: one that closed just now, one that it has to do with, or a new one.
    fn begin(&mut self, now: Moment, wall: Duration, fact: &Fact, facts: &[Fact]) {
        if let Some(at) = self.again(now, fact, facts) {
            return self.open_again(at, now, wall, facts);
        }
        let related = self.courses.iter().rposition(|course| {
            course.is_open_by_itself()
                && (now.since(course.grew) < JOINS_WITHIN || fact.is_hostname())
                && course.kept.incident.subjects.iter().any(|subject| fact.has_to_do_with(subject, facts))
        });
        if let Some(at) = related {
            let course = &mut self.courses[at];
            course.kept.incident.subjects.push(fact.subject.clone());
            (course.grew, course.well_since) = (now, None);
            self.changed.insert(self.courses[at].kept.incident.id.clone());
            return;
        }
        let subjects = self.failing_with(fact, facts);
        let began = self.began(&subjects, wall);
        let told = words::told(&subjects, facts);
        let update = self.update(wall, Phase::Investigating, words::begun(&subjects, facts), false);
        let incident = Incident {
            id: self.id(wall),
            title: words::title(&told, facts),
            phase: Phase::Investigating,
            impact: impact(&told),
            subjects,
            opened_at: began,
            closed_at: None,
            window: None,
            is_automatic: true,
            updates: vec![update],
            post_mortem: None,
        };
        self.changed.insert(incident.id.clone());
        self.courses.push(Course {
            kept: Kept { incident, hold: CLOSES_AFTER, is_taken_over: false },
            well_since: None,
            began,
            before: Some(Duration::ZERO),
            grew: now,
            written: now,
            is_from_before: false,
            opens_again_until: now,
            told,
        });
    }

    /// Which incident that is over opens again because `fact` fails: one in which it failed itself. A hostname may fail of
    /// many causes: of the same only if one of those regions fails again, too.
    fn again(&self, now: Moment, fact: &Fact, facts: &[Fact]) -> Option<usize> {
        let is_same = |subjects: &[Subject]| {
            let mut regions = subjects.iter().filter(|subject| matches!(subject, Subject::Region(_))).peekable();
            let fails = |subject: &Subject| facts.iter().any(|fact| fact.subject == *subject && hold(fact).is_some());
            subjects.contains(&fact.subject) && (!fact.is_hostname() || regions.peek().is_none() || regions.any(fails))
        };
        self.courses.iter().rposition(|course| {
            let incident = &course.kept.incident;
            let is_over = incident.phase.is_over() && now < course.opens_again_until;
            is_over && course.is_by_itself() && is_same(&incident.subjects)
        })
    }

    /// `fact` and everything that fails already and has to do with it: it is one story from the start.
    fn failing_with(&self, fact: &Fact, facts: &[Fact]) -> Vec<Subject> {
        let is_free = |other: &Fact| !self.is_covered(&other.subject) && !self.muted.contains(&other.subject);
        let mut subjects = vec![fact.subject.clone()];
        let regions = facts.iter().filter(|other| !other.is_hostname() && other.level == Level::Major);
        let regions = regions.filter(|other| is_free(other) && other.has_to_do_with(&fact.subject, facts));
        subjects.extend(regions.map(|other| other.subject.clone()));
        let is_lacking = |other: &&Fact| other.is_hostname() && is_bad(other.level) && is_free(other);
        let lacks = |other: &&Fact| subjects.iter().any(|subject| other.has_to_do_with(subject, facts));
        let lacking: Vec<Subject> =
            facts.iter().filter(is_lacking).filter(lacks).map(|other| other.subject.clone()).collect();
        subjects.extend(lacking);
        subjects.sort();
        subjects.dedup();
        subjects
    }

    /// When the first of `subjects` was seen failing.
    fn began(&self, subjects: &[Subject], wall: Duration) -> Duration {
        let began = subjects.iter().filter_map(|subject| self.watches.get(subject)?.began);
        began.min().map_or(wall, |began| began.min(wall))
    }

    fn open_again(&mut self, at: usize, now: Moment, wall: Duration, facts: &[Fact]) {
        let told = words::told(&self.courses[at].kept.incident.subjects, facts);
        let bad: Vec<Subject> =
            told.iter().filter(|(_, level)| **level > Level::Unknown).map(|(s, _)| s.clone()).collect();
        let update = self.update(wall, Phase::Investigating, words::again(&bad, facts), false);
        let began = self.began(&bad, wall);
        let course = &mut self.courses[at];
        course.kept.hold = (course.kept.hold * 2).min(CLOSES_AFTER_MAX);
        let incident = &mut course.kept.incident;
        (incident.phase, incident.closed_at) = (Phase::Investigating, None);
        incident.impact = incident.impact.max(impact(&told));
        incident.updates.push(update);
        (course.well_since, course.is_from_before, course.began) = (None, false, began);
        (course.grew, course.written, course.told) = (now, now, told);
        self.changed.insert(self.courses[at].kept.incident.id.clone());
    }

    /// An incident by itself that is open: it grows, changes, or ends.
    fn go_on(&mut self, at: usize, now: Moment, wall: Duration, facts: &[Fact]) {
        let course = &mut self.courses[at];
        let told = words::told(&course.kept.incident.subjects, facts);
        let all_well = facts.iter().filter(|fact| course.kept.incident.subjects.contains(&fact.subject)).all(is_well);
        if !all_well {
            course.well_since = None;
            // Nobody has failed until somebody is seen failing: after a start nothing is known.
            course.is_from_before &= told.values().all(|level| *level <= Level::Unknown);
            return self.tell_changes(at, now, wall, told, facts);
        }
        let (since, ended) = *course.well_since.get_or_insert((now, wall));
        let is_tired = course.kept.incident.updates.len() >= UPDATES_MAX;
        let hold = if is_tired { CLOSES_AFTER_TIRED } else { course.kept.hold };
        if now.since(since) < hold {
            return;
        }
        course.before = course.before.map(|before| before + ended.saturating_sub(course.began));
        let text = words::over(&course.kept.incident, course.before, course.is_from_before, facts);
        let update = self.update(wall, Phase::Resolved, text, false);
        let within = self.reopens_within(&self.courses[at].kept.incident, wall);
        let course = &mut self.courses[at];
        let incident = &mut course.kept.incident;
        (incident.phase, incident.closed_at) = (Phase::Resolved, Some(ended));
        incident.updates.push(update);
        (course.opens_again_until, course.written) = (now + within, now);
        for subject in &incident.subjects {
            let Some(watch) = self.watches.get_mut(subject) else { continue };
            watch.began = None;
            if matches!(subject, Subject::Hostname(_)) {
                // What it lacks next may have another cause.
                watch.bad_for = Duration::ZERO;
            }
        }
        self.changed.insert(self.courses[at].kept.incident.id.clone());
    }

    /// Writes what became worse or better since it was written to last, if it is time.
    fn tell_changes(&mut self, at: usize, now: Moment, wall: Duration, told: BTreeMap<Subject, Level>, facts: &[Fact]) {
        let course = &self.courses[at];
        let incident = &course.kept.incident;
        let worst = impact(&told).max(incident.impact);
        let is_time = now.since(course.written) >= UPDATES_EVERY;
        // Before it is time only what is worse is told, and nothing that was told already.
        let is_worse = judge::is_worse(&course.told, &told);
        let is_other = judge::is_other(&course.told, &told);
        // What was told before the node started is known by its impact alone.
        let is_after_start = course.written == Moment::ZERO && !course.told.values().any(|level| is_bad(*level));
        if is_after_start && worst == incident.impact {
            self.courses[at].told = told;
            return;
        }
        let is_tired = incident.updates.len() >= UPDATES_MAX;
        if is_tired || !(is_worse || is_time && is_other) {
            return;
        }
        let text = words::changed(&course.told, &told, facts);
        let update = self.update(wall, Phase::Investigating, text, false);
        let course = &mut self.courses[at];
        let was_smaller = words::rank(&course.told) <= words::rank(&told);
        if was_smaller {
            course.kept.incident.title = words::title(&told, facts);
        }
        course.kept.incident.impact = worst;
        course.kept.incident.updates.push(update);
        (course.written, course.told) = (now, told);
        self.changed.insert(self.courses[at].kept.incident.id.clone());
    }

    /// Maintenance begins and ends by the wall clock: that is how it was announced.
    fn keep_times(&mut self, wall: Duration) {
        for at in 0..self.courses.len() {
            let incident = &self.courses[at].kept.incident;
            let Some((from, until)) = incident.window else { continue };
            let next = match incident.phase {
                Phase::Scheduled if wall >= from => (Phase::InProgress, "The maintenance has begun."),
                Phase::InProgress if wall >= until => (Phase::Completed, "The maintenance is over."),
                _ => continue,
            };
            let update = self.update(wall, next.0, next.1.to_owned(), false);
            let incident = &mut self.courses[at].kept.incident;
            incident.phase = next.0;
            incident.closed_at = next.0.is_over().then_some(wall);
            incident.updates.push(update);
            self.changed.insert(self.courses[at].kept.incident.id.clone());
        }
    }

    /// How shortly after `incident` closed its subjects' failing is the same incident.
    fn reopens_within(&self, incident: &Incident, wall: Duration) -> Duration {
        let others = self.all().filter(|other| {
            other.id != incident.id
                && other.is_automatic
                && wall.saturating_sub(other.opened_at) < DAY
                && other.subjects.iter().any(|subject| incident.subjects.contains(subject))
        });
        let doubled = 1 << u32::try_from(others.count()).unwrap_or(u32::MAX).min(4);
        (REOPENS_WITHIN * doubled).min(REOPENS_WITHIN_MAX)
    }

    fn update(&mut self, wall: Duration, phase: Phase, text: String, by_operator: bool) -> Update {
        Update { id: self.id(wall), at: wall, phase, text, by_operator }
    }

    /// An identifier: sorted by time, and unique over all nodes by chance.
    fn id(&mut self, wall: Duration) -> String {
        let ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        self.last_id_ms = ms.max(self.last_id_ms + 1);
        format!("{:012x}{:012x}", self.last_id_ms, self.dice.roll() >> 16)
    }

    /// What is over long since is in the file.
    fn forget(&mut self) {
        let over = self.courses.iter().filter(|course| course.kept.incident.phase.is_over()).count();
        let mut too_many = over.saturating_sub(REMEMBERED_MAX);
        let changed = &self.changed;
        self.courses.retain(|course| {
            let is_kept =
                too_many == 0 || !course.kept.incident.phase.is_over() || changed.contains(&course.kept.incident.id);
            too_many -= usize::from(!is_kept);
            is_kept
        });
    }
}

impl Course {
    /// Whether nobody but the machine writes to it.
    fn is_by_itself(&self) -> bool {
        self.kept.incident.is_automatic && !self.kept.is_taken_over
    }

    fn is_open_by_itself(&self) -> bool {
        self.is_by_itself() && !self.kept.incident.phase.is_over()
    }
}

/// Times are told, and kept, in whole milliseconds.
fn whole(wall: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
}
