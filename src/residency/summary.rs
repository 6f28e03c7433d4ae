//! What was seen of one hostname on one day, in words that can be kept: plain values, and whether they agree.

use super::day::Day;
use super::ledger::{Fence, Kept, Page, Processed, Span};
use super::tally::is_inside;
use crate::geo::place::Country;
use crate::moment::{rfc3339, since_epoch};
use crate::names::{Hostname, Label};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;

/// What a summary calls itself.
pub const KIND: &str = "anyfront residency summary";
/// The version of its shape.
pub const VERSION: u32 = 1;

/// One hostname on one day, seen from one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// [`KIND`].
    pub kind: String,
    /// [`VERSION`].
    pub version: u32,
    /// Which fleet.
    pub fleet: String,
    /// Which site counted: what other sites carried is in their summaries.
    pub vantage: String,
    /// Of which hostname.
    pub hostname: String,
    /// On which day in UTC.
    pub day: Day,
    /// When this was made (RFC 3339).
    pub issued: String,
    /// Whether the day had ended by then.
    pub is_final: bool,
    /// When somebody counted; what lies between was not seen.
    pub watched: Vec<Watched>,
    /// How long that was together, seconds.
    pub watched_s: u64,
    /// Where its requests could be processed, as written in the file, each since when on that day.
    pub residency: Vec<Written>,
    /// Where they were.
    pub processed: Vec<Processed>,
    /// Answers of regions that were passed on.
    pub answers: u64,
    /// Attempts that were sent to a region.
    pub sent: u64,
    /// Requests refused because the regions that could have served them are outside.
    pub refused: u64,
    /// What was sent to, or answered by, a region outside the residency of that time: never, if all is well.
    pub violations: u64,
}

/// From when until when somebody counted (RFC 3339, whole seconds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// From.
    pub from: String,
    /// Until.
    pub until: String,
}

/// Residency as written (RFC 3339, whole seconds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Since when it was seen on that day.
    pub from: String,
    /// Country codes, `EU`, `EEA`; none: anywhere.
    pub countries: Vec<String>,
}

/// Whose a summary is.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The fleet.
    pub fleet: &'a str,
    /// The site.
    pub vantage: &'a str,
}

impl Summary {
    /// What `page`, the page of `day`, has of `hostname`, told at `wall`.
    #[must_use]
    pub fn of(origin: Origin<'_>, day: Day, page: &Page, (hostname, kept): (&str, &Kept), wall: Duration) -> Self {
        let spans = page.spans();
        let time = |seconds: u64| second(seconds);
        let watched = spans.iter().map(|Span { from, until }| Watched { from: time(*from), until: time(*until) });
        let written = |Fence { from, written }: &Fence| Written { from: time(*from), countries: written.clone() };
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            fleet: origin.fleet.to_owned(),
            vantage: origin.vantage.to_owned(),
            hostname: hostname.to_owned(),
            day,
            issued: rfc3339(wall),
            is_final: Day::of(wall) > day,
            watched: watched.collect(),
            watched_s: spans.iter().map(|span| span.until - span.from).sum(),
            residency: kept.fences.iter().map(written).collect(),
            processed: kept.processed.clone(),
            answers: total(&kept.processed, |one| one.answers),
            sent: total(&kept.processed, |one| one.sent),
            refused: kept.refused,
            violations: total(&kept.processed, |one| one.outside),
        }
    }

    /// Whether it says what a summary says, and agrees with itself.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn agrees(&self) -> Result<(), String> {
        let no = |what: &str| Err(what.to_owned());
        if self.kind != KIND || self.version != VERSION {
            return Err(format!(
                "it is {:?} of version {}, not {KIND:?} of version {VERSION}",
                self.kind, self.version
            ));
        }
        if !self.is_named_well() {
            return no("it does not say whose it is, or calls something by what is no name");
        }
        let Some(issued) = since_epoch(&self.issued) else { return no("when it was issued is no time") };
        if self.is_final != (Day::of(issued) > self.day) {
            return no("whether the day had ended does not agree with when it was issued");
        }
        let (mut at, mut watched_s) = (self.day.begin_s(), 0);
        for (number, Watched { from, until }) in self.watched.iter().enumerate() {
            let (Some(from), Some(until)) = (whole(from), whole(until)) else { return no("a time watched is no time") };
            if from < at || until <= from || until > self.day.end_s() || (number > 0 && from == at) {
                return no("the times watched are not one after the other inside the day");
            }
            (at, watched_s) = (until, watched_s + until - from);
        }
        if watched_s != self.watched_s {
            return no("the times watched do not add up");
        }
        if !self.residency.iter().all(|written| whole(&written.from).is_some()) {
            return no("a time of the residency is no time");
        }
        self.counts_agree()
    }

    /// Whether everything has a name that can have it: what is shown of a file must not be able to pass for what is said
    /// about it.
    fn is_named_well(&self) -> bool {
        let is_label = |name: &str| Label::parse(name).is_ok();
        let is_code = |code: &str| Country::parse(code).is_some_and(|country| country.as_str() == code);
        let mut written = self.residency.iter().flat_map(|written| &written.countries);
        is_label(&self.fleet)
            && is_label(&self.vantage)
            && Hostname::parse(&self.hostname).is_ok_and(|hostname| hostname.as_str() == self.hostname)
            && self.processed.iter().all(|one| is_label(&one.region) && one.country.as_deref().is_none_or(is_code))
            && written.all(|word| word == "EEA" || is_code(word))
    }

    fn counts_agree(&self) -> Result<(), String> {
        let order = |one: &Processed| (one.region.clone(), one.country.clone());
        if !self.processed.is_sorted_by(|a, b| order(a) < order(b)) {
            return Err("the regions are not in order, each once".to_owned());
        }
        for one in &self.processed {
            if one.outside > one.sent.max(one.answers) {
                return Err(format!("more was outside in {} than was there", one.region));
            }
            let country = one.country.as_deref().and_then(Country::parse);
            let is_always = |inside: bool| {
                let fences = || self.residency.iter();
                fences()
                    .all(|written| (written.countries.is_empty() || is_inside(&written.countries, country)) == inside)
            };
            let (always_inside, always_outside) = (is_always(true), is_always(false) && !self.residency.is_empty());
            let is_wrong =
                (always_inside && one.outside > 0) || (always_outside && one.outside != one.sent.max(one.answers));
            if is_wrong {
                return Err(format!("what was outside in {} does not agree with the residency", one.region));
            }
        }
        for (what, told, sum) in [
            ("answers", self.answers, total(&self.processed, |one| one.answers)),
            ("attempts", self.sent, total(&self.processed, |one| one.sent)),
            ("violations", self.violations, total(&self.processed, |one| one.outside)),
        ] {
            if told != sum {
                return Err(format!("the {what} do not add up"));
            }
        }
        Ok(())
    }

    /// Whether all that `other` says is in this, too: of the same hostname and day at the same site.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let whose = |one: &Self| (one.fleet.clone(), one.vantage.clone(), one.hostname.clone(), one.day);
        let has = |theirs: &Processed| {
            self.processed.iter().any(|ours| {
                (&ours.region, &ours.country) == (&theirs.region, &theirs.country)
                    && ours.sent >= theirs.sent
                    && ours.answers >= theirs.answers
                    && ours.outside >= theirs.outside
            })
        };
        let covers =
            |theirs: &Watched| self.watched.iter().any(|ours| ours.from <= theirs.from && ours.until >= theirs.until);
        whose(self) == whose(other)
            && self.refused >= other.refused
            && other.processed.iter().all(has)
            && other.watched.iter().all(covers)
    }

    /// How much of the day was watched, for people.
    #[must_use]
    pub fn watched_text(&self) -> String {
        let (first, last) = (self.watched.first(), self.watched.last());
        let (Some(first), Some(last)) = (first, last) else { return "not watched at all".to_owned() };
        let clock = |time: &str| time.get(11..19).unwrap_or_default().to_owned();
        let mut text = format!("watched from {} until {}", clock(&first.from), clock(&last.until));
        if let gaps @ 1.. = self.watched.len() - 1 {
            let whole = whole(&last.until).unwrap_or(0).saturating_sub(whole(&first.from).unwrap_or(0));
            let unseen = whole.saturating_sub(self.watched_s);
            let _ = write!(text, " but for {gaps} gap{} of {unseen} s together", if gaps == 1 { "" } else { "s" });
        }
        text
    }
}

/// Seconds since the Unix epoch, as they are written here.
fn second(seconds: u64) -> String {
    let text = rfc3339(Duration::from_secs(seconds));
    format!("{}Z", text.split_once('.').map_or(&*text, |(whole, _)| whole))
}

/// The inverse, and of nothing else.
fn whole(text: &str) -> Option<u64> {
    let seconds = since_epoch(text)?.as_secs();
    (second(seconds) == text).then_some(seconds)
}

fn total(processed: &[Processed], what: impl Fn(&Processed) -> u64) -> u64 {
    processed.iter().map(what).fold(0, u64::saturating_add)
}
