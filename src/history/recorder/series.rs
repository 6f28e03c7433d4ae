//! One region or hostname over time.

use super::Counts;
use crate::history::sketch::Sketch;
use crate::history::story::{DAYS_SHOWN, Day, Level, Slot};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Minutes in a slot of the line of latencies.
pub const SLOT_MINUTES: u64 = 15;
/// Slots of a day.
const SLOTS: usize = 96;
/// Minutes that "now" means for a latency.
const LATEST_MINUTES: usize = 5;
/// Minutes in a day.
const DAY_MINUTES: u64 = 1_440;

/// What is known of one region or hostname.
#[derive(Clone, Debug)]
pub struct Series {
    level: Level,
    since: Duration,
    why: String,
    /// The minute that runs.
    minute: u64,
    spent: [Duration; 6],
    times: Sketch,
    requests: u64,
    failures: u64,
    /// The day of the last minute that is over, and what it was like until then.
    today: (u32, Counts),
    /// Days before, oldest first.
    days: VecDeque<Day>,
    /// Slots of the last day by their number, and how long probes took in them.
    slots: BTreeMap<u64, Sketch>,
    /// The last minutes that are over.
    latest: VecDeque<Sketch>,
    has_past: bool,
}

/// What was kept of one region or hostname.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Days that are over, oldest first.
    pub days: Vec<Day>,
    /// The newest day, and what it was like as far as it went.
    pub today: Option<(u32, Counts)>,
    /// How long probes took in the slots of the last day, by their number: quarters of an hour since the Unix epoch.
    pub slots: Vec<(u64, Sketch)>,
    /// At which level it was seen last, since when.
    pub level: Option<(Level, Duration)>,
}

impl Series {
    pub(super) fn new(wall: Duration) -> Self {
        let minute = wall.as_secs() / 60;
        Self {
            level: Level::Unknown,
            since: wall,
            why: String::new(),
            minute,
            spent: [Duration::ZERO; 6],
            times: Sketch::default(),
            requests: 0,
            failures: 0,
            today: (day_of(minute), Counts::default()),
            days: VecDeque::new(),
            slots: BTreeMap::new(),
            latest: VecDeque::new(),
            has_past: false,
        }
    }

    /// How it does.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Since when, by the wall clock.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since
    }

    /// Why, for people.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    pub(super) fn has_past(&self) -> bool {
        self.has_past
    }

    pub(super) fn is_at(&mut self, level: Level, why: String, wall: Duration) {
        if level != self.level {
            (self.level, self.since) = (level, wall);
        }
        self.why = why;
    }

    /// Time went by.
    pub(super) fn pass(&mut self, gone: Duration) {
        self.spent[self.level as usize] += gone;
    }

    /// Probes took so long.
    pub(super) fn took(&mut self, bucket: usize, count: u64) {
        self.times.add_to_bucket(bucket, count);
    }

    /// Attempts ended so.
    pub(super) fn carried(&mut self, requests: u64, failures: u64) {
        self.requests += requests;
        self.failures += failures;
    }

    /// The minute is `minute` now: what the one before was like, if that is another.
    pub(super) fn turn(&mut self, minute: u64) -> Option<(u64, Counts)> {
        if minute == self.minute {
            return None;
        }
        let over = self.end();
        self.minute = minute;
        over
    }

    /// What the minute that runs was like.
    pub(super) fn end(&mut self) -> Option<(u64, Counts)> {
        let counts = self.running();
        (self.spent, self.times) = ([Duration::ZERO; 6], Sketch::default());
        (self.requests, self.failures) = (0, 0);
        if counts.is_empty() {
            return None;
        }
        self.add(self.minute, &counts);
        Some((self.minute, counts))
    }

    fn running(&self) -> Counts {
        let whole = |spent: Duration| u64::try_from((spent + Duration::from_micros(500)).as_millis()).unwrap_or(0);
        Counts {
            milliseconds: self.spent.map(whole),
            times: self.times.clone(),
            requests: self.requests,
            failures: self.failures,
        }
    }

    fn add(&mut self, minute: u64, counts: &Counts) {
        let day = day_of(minute);
        if day > self.today.0 {
            self.end_day(day);
        }
        if day == self.today.0 {
            self.today.1.merge(counts);
        } else if let Some(earlier) = self.days.iter_mut().find(|earlier| earlier.day == day) {
            // The clock was set back: the time counts, and the percentiles of that day stay as they were.
            add_to(earlier, counts);
        }
        let slot = minute / SLOT_MINUTES;
        self.slots.entry(slot).or_default().merge(&counts.times);
        while self.slots.len() > SLOTS {
            self.slots.pop_first();
        }
        self.latest.push_back(counts.times.clone());
        if self.latest.len() > LATEST_MINUTES {
            self.latest.pop_front();
        }
    }

    fn end_day(&mut self, next: u32) {
        let (day, counts) = std::mem::replace(&mut self.today, (next, Counts::default()));
        if !counts.is_empty() {
            self.days.push_back(told(day, &counts));
        }
        while self.days.len() >= DAYS_SHOWN {
            self.days.pop_front();
        }
    }

    pub(super) fn recall(&mut self, past: Past, wall: Duration) {
        if std::mem::replace(&mut self.has_past, true) {
            return;
        }
        let mut days: BTreeMap<u32, Day> = past.days.into_iter().map(|day| (day.day, day)).collect();
        if let Some((day, counts)) = past.today {
            if day == self.today.0 {
                self.today.1.merge(&counts);
            } else {
                days.insert(day, told(day, &counts));
            }
        }
        for day in self.days.drain(..) {
            match days.get_mut(&day.day) {
                Some(known) => {
                    known.seconds.iter_mut().zip(day.seconds).for_each(|(sum, more)| *sum = sum.saturating_add(more));
                }
                None => drop(days.insert(day.day, day)),
            }
        }
        // A clock that was wrong once may have left days that are still to come.
        self.days = days.into_values().filter(|day| day.day < self.today.0).collect();
        for (slot, times) in past.slots {
            self.slots.entry(slot).or_default().merge(&times);
        }
        let now = wall.as_secs() / 60 / SLOT_MINUTES;
        self.slots.retain(|slot, _| *slot <= now && *slot + SLOTS as u64 > now);
        if let Some((level, since)) = past.level.filter(|(level, since)| *level == self.level && *since <= self.since) {
            (self.level, self.since) = (level, since);
        }
    }

    /// The last [`DAYS_SHOWN`] days, the one of `wall` last.
    #[must_use]
    pub fn days(&self, wall: Duration) -> Vec<Day> {
        let last = day_of(wall.as_secs() / 60);
        let first = last.saturating_sub(u32::try_from(DAYS_SHOWN - 1).unwrap_or(0));
        let mut shown: Vec<Day> = (first..=last).map(|day| Day { day, ..Day::default() }).collect();
        let mut put = |day: Day| {
            let at = day.day.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            if let Some(place) = at.and_then(|at| shown.get_mut(at)) {
                *place = day;
            }
        };
        self.days.iter().cloned().for_each(&mut put);
        let mut today = self.today.1.clone();
        if self.today.0 == day_of(self.minute) {
            today.merge(&self.running());
        }
        put(told(self.today.0, &today));
        shown
    }

    /// The line of latencies: the slots of the last day, oldest first, as far as anything was measured.
    #[must_use]
    pub fn recent(&self, wall: Duration) -> Vec<Slot> {
        let now = wall.as_secs() / 60 / SLOT_MINUTES;
        let is_recent = |slot: &u64| *slot <= now && *slot + SLOTS as u64 > now;
        let told = |(slot, times): (&u64, &Sketch)| Slot {
            at: Duration::from_secs(slot * SLOT_MINUTES * 60),
            p50_ms: times.percentile_ms(0.5),
            p95_ms: times.percentile_ms(0.95),
            p99_ms: times.percentile_ms(0.99),
        };
        self.slots.iter().filter(|(slot, times)| is_recent(slot) && times.count() > 0).map(told).collect()
    }

    /// Median time of a probe over the last minutes, milliseconds.
    #[must_use]
    pub fn latency_ms(&self) -> Option<f64> {
        let mut times = self.times.clone();
        self.latest.iter().for_each(|minute| times.merge(minute));
        times.percentile_ms(0.5)
    }
}

/// The day of a minute.
#[must_use]
pub fn day_of(minute: u64) -> u32 {
    u32::try_from(minute / DAY_MINUTES).unwrap_or(u32::MAX)
}

/// A day as it is told.
#[must_use]
pub fn told(day: u32, counts: &Counts) -> Day {
    let mut told =
        Day { day, seconds: [0; 6], p50_ms: counts.times.percentile_ms(0.5), p95_ms: counts.times.percentile_ms(0.95) };
    add_to(&mut told, counts);
    told
}

fn add_to(day: &mut Day, counts: &Counts) {
    for (sum, milliseconds) in day.seconds.iter_mut().zip(counts.milliseconds) {
        *sum = sum.saturating_add(u32::try_from((milliseconds + 500) / 1_000).unwrap_or(u32::MAX));
    }
}
