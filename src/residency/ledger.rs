//! The days: what was counted on each, and when somebody was there to count. A machine.
//!
//! What it says it has watched is never more than it has: time counts as watched between two looks that were no further
//! apart than [`LOOKS_APART_MAX`], so a stop, a crash, a suspended machine and a clock that was set leave gaps. A clock
//! that jumps over midnight and back finds the pages of both days as it left them.

use super::day::Day;
use super::tally::Line;
use crate::topology::Topology;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Two looks further apart than this leave a gap: three times what is usual.
pub const LOOKS_APART_MAX: Duration = Duration::from_secs(3);
/// Spans of one day that are kept apart; more would be a node that starts every five minutes. Beyond it the last is
/// forgotten for the next: what was watched is understated then.
pub const SPANS_MAX: usize = 288;
/// Days kept to be added to, by when they came in and not by their date: a clock that is far off for a moment must not
/// cost what was counted.
pub const DAYS_MAX: usize = 35;

/// Largest count that is believed: no node gets so far in a day, and sums of such still fit.
const COUNT_MAX: u64 = 1 << 48;

/// The days that can still be added to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// By day.
    pub days: BTreeMap<Day, Arc<Page>>,
    /// The days in the order in which they came in.
    order: Vec<Day>,
    /// The last look, since the Unix epoch, and until which second it has reached: what came before a start is none.
    #[serde(skip)]
    looked: Option<(Duration, u64)>,
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// When somebody counted, in the order in which it was so.
    pub watched: Vec<Span>,
    /// By hostname.
    pub hostnames: BTreeMap<String, Kept>,
    /// Whether its summaries are written as they are.
    pub is_summed: bool,
}

/// From when until when, seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// From.
    pub from: u64,
    /// Until.
    pub until: u64,
}

/// One hostname on one day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its residency as written, each from when it was seen, seconds since the Unix epoch.
    pub fences: Vec<Fence>,
    /// By region.
    pub processed: Vec<Processed>,
    /// Requests refused because the regions that could have served them are outside.
    pub refused: u64,
}

/// Residency, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// Since when it was so on that day, seconds since the Unix epoch.
    pub from: u64,
    /// Country codes, `EU`, `EEA`; none: anywhere.
    pub written: Vec<String>,
}

/// What one region did for one hostname on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processed {
    /// Which.
    pub region: String,
    /// Where it is.
    pub country: Option<String>,
    /// Attempts that were sent there.
    pub sent: u64,
    /// Answers from there that were passed on.
    pub answers: u64,
    /// How many of either were outside the fence of their time.
    pub outside: u64,
}

impl Ledger {
    /// Whether it can be gone on with, wherever it was read.
    ///
    /// # Errors
    /// What cannot be.
    pub fn is_sound(&self) -> Result<(), String> {
        for (day, page) in &self.days {
            let is_inside =
                |span: &Span| day.begin_s() <= span.from && span.from <= span.until && span.until <= day.end_s();
            if !page.watched.iter().all(is_inside) {
                return Err(format!("what was watched on {day} is not in the day"));
            }
            let counts = |kept: &Kept| {
                let processed = kept.processed.iter().flat_map(|one| [one.sent, one.answers, one.outside]);
                processed.chain([kept.refused]).all(|count| count <= COUNT_MAX)
                    && kept.fences.iter().all(|fence| day.begin_s() <= fence.from && fence.from <= day.end_s())
            };
            if page.watched.len() > SPANS_MAX || !page.hostnames.values().all(counts) {
                return Err(format!("no node has counted what it says of {day}"));
            }
        }
        if self.days.len() > DAYS_MAX {
            return Err(format!("it has more than {DAYS_MAX} days"));
        }
        Ok(())
    }

    /// Somebody looks, at `wall`: what lies between this and the last look was watched.
    pub fn look(&mut self, wall: Duration) {
        let goes_on = self.looked.filter(|(looked, _)| *looked <= wall && wall - *looked <= LOOKS_APART_MAX);
        // Whole seconds inside what was seen, none around it.
        let begin = || wall.as_secs() + u64::from(wall.subsec_nanos() > 0);
        let mut from = goes_on.map_or_else(begin, |(_, until)| until);
        let until = wall.as_secs().max(from);
        self.looked = Some((wall, until));
        if goes_on.is_none() {
            self.page(Day::of(Duration::from_secs(from))).begin(from);
        }
        while from < until {
            let day = Day::of(Duration::from_secs(from));
            let end = until.min(day.end_s());
            self.page(day).watch(from, end);
            from = end;
        }
    }

    /// The file in force says this; asked for at every change, and on every day anew.
    pub fn follow(&mut self, wall: Duration, topology: &Topology) {
        let page = self.page(Day::of(wall));
        for route in &topology.routes {
            let written: Vec<String> =
                route.residency.iter().flat_map(|fence| &fence.written).map(ToString::to_string).collect();
            let known = page.hostnames.get(route.hostname.as_str());
            if known.is_none() && written.is_empty() {
                continue;
            }
            let kept = page.hostnames.entry(route.hostname.to_string()).or_default();
            if kept.fences.last().is_none_or(|last| last.written != written) && kept.fences.len() < SPANS_MAX {
                kept.fences.push(Fence { from: wall.as_secs(), written });
            }
        }
    }

    /// Adds what was counted until `wall`.
    pub fn add(&mut self, wall: Duration, line: &Line) {
        let page = self.page(line.day);
        let kept = page.hostnames.entry(line.hostname.to_string()).or_default();
        let written: Vec<String> = line.fence.iter().map(ToString::to_string).collect();
        if kept.fences.iter().all(|fence| fence.written != written) && kept.fences.len() < SPANS_MAX {
            let from = wall.as_secs().clamp(line.day.begin_s(), line.day.end_s());
            kept.fences.push(Fence { from, written });
        }
        kept.refused += line.counts.refused;
        let Some(region) = &line.region else { return };
        let country = line.country.map(|country| country.to_string());
        let is_this = |one: &&mut Processed| one.region == region.as_str() && one.country == country;
        let outside = if line.is_outside() { line.counts.sent.max(line.counts.answers) } else { 0 };
        match kept.processed.iter_mut().find(is_this) {
            Some(one) => {
                one.sent += line.counts.sent;
                one.answers += line.counts.answers;
                one.outside += outside;
            }
            None => {
                let (sent, answers) = (line.counts.sent, line.counts.answers);
                kept.processed.push(Processed { region: region.to_string(), country, sent, answers, outside });
                kept.processed.sort_by(|a, b| (&a.region, &a.country).cmp(&(&b.region, &b.country)));
            }
        }
    }

    /// Days that have ended and whose summaries are not written as they are.
    #[must_use]
    pub fn unsummed(&self, wall: Duration) -> Vec<Day> {
        let today = Day::of(wall);
        self.days.iter().filter(|(day, page)| **day < today && !page.is_summed).map(|(day, _)| *day).collect()
    }

    /// The summaries of a day are written; `page` is what they were made of.
    pub fn summed(&mut self, day: Day, page: &Arc<Page>) {
        if let Some(now) = self.days.get_mut(&day).filter(|now| Arc::ptr_eq(now, page) || **now == *page) {
            Arc::make_mut(now).is_summed = true;
        }
    }

    /// The page of a day, to be changed.
    fn page(&mut self, day: Day) -> &mut Page {
        if !self.days.contains_key(&day) {
            if self.order.len() != self.days.len() {
                self.order = self.days.keys().copied().collect();
            }
            self.order.push(day);
            while self.order.len() > DAYS_MAX {
                self.days.remove(&self.order.remove(0));
            }
        }
        let page = Arc::make_mut(self.days.entry(day).or_default());
        page.is_summed = false;
        page
    }
}

impl Page {
    /// A span of its own begins, however near the last one.
    fn begin(&mut self, from: u64) {
        if self.watched.len() >= SPANS_MAX {
            self.watched.pop();
        }
        self.watched.push(Span { from, until: from });
    }

    fn watch(&mut self, from: u64, until: u64) {
        if self.watched.last().is_none_or(|last| last.until != from) {
            self.begin(from);
        }
        if let Some(last) = self.watched.last_mut() {
            last.until = until;
        }
    }

    /// When somebody counted: in order, without overlaps, and nothing that is empty.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let mut all: Vec<Span> = self.watched.iter().copied().filter(|span| span.from < span.until).collect();
        all.sort_unstable();
        let mut joined: Vec<Span> = Vec::with_capacity(all.len());
        for span in all {
            match joined.last_mut().filter(|last| span.from <= last.until) {
                Some(last) => last.until = last.until.max(span.until),
                None => joined.push(span),
            }
        }
        joined
    }
}
