//! What is drawn in a line of text: the mark of a level, bars of days, the line of latencies. SVG, by shape and by colour:
//! never by colour alone.

use super::words::{DAY_S, day, lasted, listed, milliseconds, percent};
use crate::history::story::{DAYS_SHOWN, Day, LEVELS, Level, Slot};
use maud::{Markup, PreEscaped, html};
use std::fmt::Write;
use std::time::Duration;

/// Below it a day is not said to have been out partly: flapping probes are no outage.
const TOLD_S: u32 = 60;
/// Below this part of a day a region that was slower for a while had a good day.
const DEGRADED_PART: f64 = 0.01;
/// From this part of a day on it counts as one of maintenance.
const MAINTENANCE_PART: f64 = 0.05;
/// Days with trouble that are listed in words, the newest.
const LISTED_MAX: usize = 12;

/// The shape of a level, drawn around 0,0 within a radius of 8: what map, lists, badges and icons have in common.
#[must_use]
pub fn shape(level: Level) -> &'static str {
    match level {
        Level::Operational => {
            r#"<circle r="8"/><path class="in" d="M-3.6.3-1 3 3.8-2.6" fill="none" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>"#
        }
        Level::Maintenance => {
            r#"<rect x="-7" y="-7" width="14" height="14" rx="3.5"/><path class="in" d="M-2.2-3v6M2.2-3v6" fill="none" stroke-width="2" stroke-linecap="round"/>"#
        }
        Level::Unknown => {
            r#"<circle class="hollow" r="7" fill="none" stroke-width="2" stroke-dasharray="3.2 2.3"/><path class="mark" d="M0-3.2V.8M0 3.4v.1" fill="none" stroke-width="2" stroke-linecap="round"/>"#
        }
        Level::Degraded => {
            r#"<path d="M0-8 8.4 6.4H-8.4z" stroke-linejoin="round"/><path class="in" d="M0-2.6V1.6M0 4.2v.1" fill="none" stroke-width="2" stroke-linecap="round"/>"#
        }
        Level::Partial => {
            r#"<path d="M0-8.8 8.8 0 0 8.8-8.8 0z" stroke-linejoin="round"/><path class="in" d="M0-3.6V.8M0 3.8v.1" fill="none" stroke-width="2" stroke-linecap="round"/>"#
        }
        Level::Major => {
            r#"<path d="M-3.4-8.2H3.4L8.2-3.4V3.4L3.4 8.2H-3.4L-8.2 3.4V-3.4z"/><path class="in" d="M-2.9-2.9 2.9 2.9M2.9-2.9-2.9 2.9" fill="none" stroke-width="2" stroke-linecap="round"/>"#
        }
    }
}

/// The mark of a level before its words.
#[must_use]
pub fn mark(level: Level) -> Markup {
    html! {
        svg class={"mark " (level.as_str())} viewBox="-9 -9 18 18" aria-hidden="true" { (PreEscaped(shape(level))) }
    }
}

/// The mark of a level with its words.
#[must_use]
pub fn standing(level: Level) -> Markup {
    html! { span class={"standing " (level.as_str())} { (mark(level)) (level.words()) } }
}

/// How a day looks: nothing if it was not watched.
#[must_use]
pub fn look(day: &Day) -> Option<Level> {
    let [_, maintenance, unknown, degraded, partial, major] = day.seconds;
    let watched: u32 = day.seconds.iter().sum();
    if watched == unknown {
        return None;
    }
    let part = |seconds: u32| f64::from(seconds) / f64::from(watched);
    Some(match () {
        () if major > 0 => Level::Major,
        () if partial >= TOLD_S => Level::Partial,
        () if part(degraded) >= DEGRADED_PART && degraded >= TOLD_S => Level::Degraded,
        () if part(maintenance) >= MAINTENANCE_PART => Level::Maintenance,
        () => Level::Operational,
    })
}

/// What was not as it should be, in words: "outage 9 min, degraded 22 min".
fn spent(day: &Day) -> String {
    let mut words = Vec::new();
    for (level, said) in [
        (Level::Major, "outage"),
        (Level::Partial, "partial outage"),
        (Level::Degraded, "degraded"),
        (Level::Maintenance, "maintenance"),
    ] {
        let seconds = day.seconds[level as usize];
        if seconds > 0 {
            words.push(format!("{said} {}", lasted(Duration::from_secs(u64::from(seconds)))));
        }
    }
    listed(&words)
}

/// A day in words.
#[must_use]
pub fn told(of: &Day) -> String {
    let name = day(of.day);
    match (of.uptime(), spent(of)) {
        (None, spent) if spent.is_empty() => format!("{name}: not watched"),
        (None, spent) => format!("{name}: {spent}"),
        (Some(uptime), spent) if spent.is_empty() => format!("{name}: {}", percent(uptime)),
        (Some(uptime), spent) => format!("{name}: {}; {spent}", percent(uptime)),
    }
}

/// The days as bars, today last. What is as it should be is one dashed line; what is not has a bar of its own.
#[must_use]
pub fn bars(days: &[Day], until: u32, uptime: Option<f64>) -> Markup {
    let first = until.saturating_sub(DAYS_SHOWN as u32 - 1);
    let mut shown: Vec<Option<&Day>> = vec![None; DAYS_SHOWN];
    for day in days {
        if let Some(place) = day.day.checked_sub(first).and_then(|at| shown.get_mut(at as usize)) {
            *place = Some(day);
        }
    }
    let looks: Vec<Option<Level>> = shown.iter().map(|day| day.and_then(look)).collect();
    let label = summary(&shown, &looks, uptime);
    html! {
        svg class="bars" viewBox="0 0 448 28" preserveAspectRatio="none" role="img" aria-label=(label)
            data-first=(first) {
            @let good = runs(&looks, Some(Level::Operational), 18);
            @let unwatched = runs(&looks, None, 26);
            @if !unwatched.is_empty() { path class="days unwatched" d=(unwatched) {} }
            @if !good.is_empty() { path class="days operational" d=(good) {} }
            @for (at, (day, look)) in shown.iter().zip(&looks).enumerate() {
                @if let (Some(day), Some(look)) = (day, look) {
                    @if *look != Level::Operational {
                        (bar(at, *look, day))
                    }
                }
            }
        }
    }
}

fn bar(at: usize, look: Level, of: &Day) -> Markup {
    // The worse, the taller; a hollow one was planned.
    let top = match look {
        Level::Major => 0,
        Level::Partial => 2,
        Level::Degraded => 4,
        Level::Maintenance | Level::Unknown | Level::Operational => 8,
    };
    html! {
        rect class=(look.as_str()) x=(at * 5) y=(top) width="3" height=(28 - top) { title { (told(of)) } }
    }
}

/// Runs of days that look alike, as segments of a line that the style dashes.
fn runs(looks: &[Option<Level>], wanted: Option<Level>, y: u32) -> String {
    let mut path = String::new();
    let mut at = 0;
    while at < looks.len() {
        let length = looks[at..].iter().take_while(|look| **look == wanted).count();
        if length > 0 {
            let _ = write!(path, "M{} {y}h{}", at * 5, length * 5 - 2);
        }
        at += length.max(1);
    }
    path
}

fn summary(shown: &[Option<&Day>], looks: &[Option<Level>], uptime: Option<f64>) -> String {
    let unwatched = looks.iter().filter(|look| look.is_none()).count();
    let bad: Vec<String> = shown.iter().zip(looks).rev().filter_map(|(day, look)| troubled(*day, *look)).collect();
    let mut words = match uptime {
        Some(uptime) => format!("{DAYS_SHOWN} days, {} uptime.", percent(uptime)),
        None => format!("{DAYS_SHOWN} days."),
    };
    let _ = match bad.len() {
        0 if unwatched == looks.len() => write!(words, " Not watched yet."),
        0 => write!(words, " No day with trouble."),
        1 => write!(words, " One day with trouble."),
        more => write!(words, " {more} days with trouble."),
    };
    if unwatched > 0 && unwatched < looks.len() {
        let _ = write!(words, " {unwatched} not watched.");
    }
    words
}

fn troubled(day: Option<&Day>, look: Option<Level>) -> Option<String> {
    matches!(look?, Level::Major | Level::Partial | Level::Degraded).then(|| day.map(told))?
}

/// The days with trouble in words, newest first.
#[must_use]
pub fn troubled_days(days: &[Day]) -> Vec<String> {
    days.iter().rev().filter_map(|day| troubled(Some(day), look(day))).take(LISTED_MAX).collect()
}

/// What the bars mean.
#[must_use]
pub fn legend() -> Markup {
    html! {
        ul class="legend" aria-label="What the marks and bars mean" {
            @for level in LEVELS {
                li { (mark(level)) (level.words()) }
            }
            li { svg class="mark stub" viewBox="0 0 18 18" aria-hidden="true" { rect x="7" y="13" width="4" height="4" {} } "Not watched" }
        }
    }
}

/// The line of latencies of the last day: median, and what 95 and 99 of 100 stay below.
#[must_use]
pub fn latency(slots: &[Slot], now: Duration) -> Markup {
    let of = |pick: fn(&Slot) -> Option<f64>| {
        slots
            .iter()
            .filter_map(move |slot| pick(slot).filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| (slot.at, ms)))
    };
    let lines = [("p99", of(|slot| slot.p99_ms)), ("p95", of(|slot| slot.p95_ms)), ("p50", of(|slot| slot.p50_ms))]
        .map(|(name, points)| (name, points.collect::<Vec<_>>()));
    let highest = lines.iter().flat_map(|(_, points)| points).fold(0.0_f64, |highest, (_, ms)| highest.max(*ms));
    if highest <= 0.0 {
        return html! { p class="none" { "No probe was answered in the last 24 hours." } };
    }
    let top = round_up(highest * 1.05);
    let latest = |name: &str| {
        let points = lines.iter().find(|(own, _)| *own == name).map(|(_, points)| points);
        points.and_then(|points| points.last()).map_or("–".to_owned(), |(_, ms)| milliseconds(*ms))
    };
    let label = format!(
        "Latency of the last 24 hours. Latest: half of the probes within {}, 95 of 100 within {}, 99 of 100 within {}. \
         Highest: {}.",
        latest("p50"),
        latest("p95"),
        latest("p99"),
        milliseconds(highest)
    );
    html! {
        div class="chart" {
            svg class="latency" viewBox="0 0 480 96" preserveAspectRatio="none" role="img" aria-label=(label) {
                path class="grid" d="M0 .5h480M0 48h480M0 95.5h480" {}
                @for (name, points) in &lines {
                    path class=(name) d=(line(points, now, top)) {}
                }
            }
            span class="y top" aria-hidden="true" { (milliseconds(top)) }
            span class="y middle" aria-hidden="true" { (milliseconds(top / 2.0)) }
            span class="x" aria-hidden="true" { span { "24 h ago" } span { "12 h" } span { "now" } }
        }
        ul class="keys" aria-hidden="true" {
            @for (name, words) in [("p50", "half"), ("p95", "95 of 100"), ("p99", "99 of 100")] {
                li class=(name) { (words) " within " b { (latest(name)) } }
            }
        }
    }
}

/// The next of 1, 2, 5 times a power of ten, and half steps between.
fn round_up(ms: f64) -> f64 {
    let power = 10f64.powf(ms.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= ms).unwrap_or(ms)
}

/// A line through what is known; it breaks where more than three slots' time is missing.
fn line(points: &[(Duration, f64)], now: Duration, top: f64) -> String {
    let day = Duration::from_secs(DAY_S);
    let begin = now.saturating_sub(day);
    let gaps = points.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0));
    let step = gaps.min().unwrap_or_default();
    let mut path = String::new();
    let mut before: Option<Duration> = None;
    for (at, ms) in points.iter().filter(|(at, _)| *at + step >= begin) {
        let x = at.saturating_sub(begin).as_secs_f64() / day.as_secs_f64() * 480.0;
        let y = 95.5 - (ms / top).clamp(0.0, 1.0) * 95.0;
        let is_joined = before.is_some_and(|before| at.saturating_sub(before) <= step * 3);
        // What stands alone is a dot: a line of no length, with a round end.
        let (to, dot) = if is_joined { ("L", "") } else { ("M", "h.1") };
        let _ = write!(path, "{to}{x:.0} {y:.1}{dot}");
        before = Some(*at);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent_at(level: Level, seconds: u32) -> Day {
        let mut day = Day { day: 20_784, ..Day::default() };
        day.seconds[0] = 86_400 - seconds;
        day.seconds[level as usize] = seconds;
        day
    }

    #[test]
    fn a_day_that_was_not_watched_is_no_good_day() {
        assert_eq!(look(&Day::default()), None);
        assert_eq!(look(&Day { seconds: [0, 0, 500, 0, 0, 0], ..Day::default() }), None);
        assert_eq!(told(&Day { day: 20_784, ..Day::default() }), "27 Nov 2026: not watched");
    }

    #[test]
    fn a_day_looks_like_the_worst_that_mattered() {
        assert_eq!(look(&spent_at(Level::Major, 1)), Some(Level::Major));
        assert_eq!(look(&spent_at(Level::Partial, 59)), Some(Level::Operational));
        assert_eq!(look(&spent_at(Level::Partial, 60)), Some(Level::Partial));
        assert_eq!(look(&spent_at(Level::Degraded, 600)), Some(Level::Operational));
        assert_eq!(look(&spent_at(Level::Degraded, 900)), Some(Level::Degraded));
        assert_eq!(told(&spent_at(Level::Major, 540)), "27 Nov 2026: 99.375 %; outage 9 min");
    }

    #[test]
    fn bars_are_told_in_words_and_stand_at_their_days() {
        let bad = Day { day: 20_784, ..spent_at(Level::Major, 540) };
        let drawn = bars(&[bad], 20_784, Some(0.99)).into_string();
        assert!(drawn.contains("90 days, 99.000 % uptime. One day with trouble. 89 not watched."), "{drawn}");
        assert!(drawn.contains(r#"<rect class="major" x="445" y="0""#), "{drawn}");
        assert!(drawn.contains(r#"d="M0 26h443""#), "{drawn}");
    }

    #[test]
    fn the_line_breaks_where_nothing_is_known() {
        let hour = |hour: u64, ms: f64| (Duration::from_secs(hour * 3_600), ms);
        let path = line(&[hour(0, 1.0), hour(1, 1.0), hour(10, 1.0)], Duration::from_secs(DAY_S), 2.0);
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!([7.0, 41.0, 1_234.0].map(round_up), [8.0, 50.0, 1_500.0]);
    }
}
