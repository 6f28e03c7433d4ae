//! What plots are made of: scales, ticks, axes, bands of faults, labels that do not cover each other. SVG as text.
//!
//! A plot is drawn for a width in CSS pixels and never scaled below it, so that its letters stay as large as the page's:
//! the page has each plot once for wide screens and once for narrow ones.

use super::Report;
use super::words::span;
use maud::{Markup, html};
use std::fmt::Write;

/// Most colours that regions are told apart by; further ones begin again.
pub const COLORS: usize = 14;
/// How far the labels of neighbours are apart at least.
const LABEL_STEP: f64 = 12.5;

/// For which room a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The whole width of a wide screen.
    Wide,
    /// Half of it.
    Half,
    /// A telephone.
    Narrow,
}

impl Room {
    /// Its width, pixels.
    #[must_use]
    pub fn width(self) -> f64 {
        match self {
            Self::Wide => 1_120.0,
            Self::Half => 560.0,
            Self::Narrow => 350.0,
        }
    }

    /// Its name in the page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wide | Self::Half => "plot wide",
            Self::Narrow => "plot narrow",
        }
    }

    /// Ticks of time that have room.
    fn ticks(self) -> f64 {
        self.width() / 90.0
    }
}

/// Where a plot's data are inside of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// For which room it is.
    pub room: Room,
    /// From the left, where the first moment is.
    pub left: f64,
    /// From the left, where the last is.
    pub right: f64,
    /// From above, where the highest value is.
    pub top: f64,
    /// From above, where zero is.
    pub bottom: f64,
    /// How many seconds there are.
    pub lasts_s: f64,
}

impl Area {
    /// Room for numbers before it, and for labels behind it.
    #[must_use]
    pub fn new(room: Room, report: &Report, top: f64, height: f64) -> Self {
        let (left, right) = (46.0, room.width() - 58.0);
        Self { room, left, right, top, bottom: top + height, lasts_s: report.lasts_s.max(1.0) }
    }

    /// Where a moment is.
    #[must_use]
    pub fn x(&self, seconds: f64) -> f64 {
        self.left + (seconds / self.lasts_s).clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// Where a share of the height is.
    #[must_use]
    pub fn y(&self, share: f64) -> f64 {
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }
}

/// A scale of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From zero to this.
    Linear(f64),
    /// Between these, each time ten times as much at the same distance.
    Powers(f64, f64),
}

impl Scale {
    /// From zero to the next round number.
    #[must_use]
    pub fn linear(highest: f64) -> Self {
        Self::Linear(rounded_up(highest))
    }

    /// Powers of ten around these.
    #[must_use]
    pub fn powers(lowest: f64, highest: f64) -> Self {
        let floor = 10f64.powf(lowest.max(1e-9).log10().floor());
        Self::Powers(floor, rounded_up(highest.max(floor * 10.0)))
    }

    /// The share of the height at which a value is.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        match *self {
            Self::Linear(most) => value / most,
            Self::Powers(floor, most) => (value.max(floor) / floor).log10() / (most / floor).log10(),
        }
    }

    /// Round values on it.
    #[must_use]
    pub fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear(most) => {
                let step = STEPS.iter().find(|(step, _)| (leading(most) - step).abs() < 1e-6);
                let parts = step.map_or(4, |(_, parts)| *parts);
                (0..=parts).map(|part| most * f64::from(part) / f64::from(parts)).collect()
            }
            Self::Powers(floor, most) => {
                // Few powers need lines between them.
                let between: &[f64] = if most / floor > 150.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let powers = (0..12).flat_map(|power| between.iter().map(move |part| floor * part * 10f64.powi(power)));
                powers.take_while(|tick| *tick <= most * 1.000_1).collect()
            }
        }
    }
}

/// Ends of a scale, as parts of a power of ten, and into how many round pieces each is cut.
const STEPS: [(f64, u32); 11] =
    [(1.0, 4), (1.2, 4), (1.5, 3), (2.0, 4), (2.5, 5), (3.0, 3), (4.0, 4), (5.0, 5), (6.0, 3), (8.0, 4), (10.0, 4)];

fn leading(number: f64) -> f64 {
    number / power_below(number)
}

fn power_below(number: f64) -> f64 {
    // A hair more, so that 1 000 is not taken for 999.999….
    10f64.powf((number.log10() + 1e-9).floor())
}

/// The next round number.
#[must_use]
pub fn rounded_up(number: f64) -> f64 {
    if !number.is_finite() || number <= 0.0 {
        return 1.0;
    }
    let power = power_below(number);
    STEPS.iter().map(|(step, _)| step * power).find(|step| *step >= number * 0.999_999).unwrap_or(number)
}

/// Where the grid stands, with what is written there.
#[must_use]
pub fn axis(area: &Area, scale: Scale, said: impl Fn(f64) -> String) -> Markup {
    html! {
        g class="axis" aria-hidden="true" {
            @for tick in scale.ticks() {
                @let y = area.y(scale.share(tick));
                line class="grid" x1=(px(area.left)) x2=(px(area.right)) y1=(px(y)) y2=(px(y)) {}
                text x=(px(area.left - 6.0)) y=(px(y + 3.5)) text-anchor="end" { (said(tick)) }
            }
        }
    }
}

/// Times of day below a plot.
#[must_use]
pub fn time_axis(area: &Area, starts: &str) -> Markup {
    let ticks = time_ticks(starts, area.lasts_s, area.room.ticks());
    html! {
        g class="axis" aria-hidden="true" {
            line class="base" x1=(px(area.left)) x2=(px(area.right)) y1=(px(area.bottom)) y2=(px(area.bottom)) {}
            @for (seconds, words) in ticks {
                @let x = area.x(seconds);
                line class="base" x1=(px(x)) x2=(px(x)) y1=(px(area.bottom)) y2=(px(area.bottom + 4.0)) {}
                text x=(px(x)) y=(px(area.bottom + 16.0)) text-anchor="middle" { (words) }
            }
        }
    }
}

/// Round times of day in a run, at most so many, and what is written there.
fn time_ticks(starts: &str, lasts_s: f64, most: f64) -> Vec<(f64, String)> {
    const STEPS_MIN: [u32; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080];
    let begun = crate::moment::since_epoch(starts).unwrap_or_default().as_secs_f64();
    let step = STEPS_MIN.iter().map(|minutes| f64::from(*minutes) * 60.0).find(|step| lasts_s / step <= most);
    let step = step.unwrap_or(2_592_000.0);
    let first = (begun / step).ceil() * step - begun;
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= lasts_s + 0.5 {
        let said = super::words::clock(starts, at);
        let said = said.split_once(", ").map_or(said.clone(), |(day, time)| {
            if time == "00:00" || step >= 86_400.0 { day.to_owned() } else { time.to_owned() }
        });
        ticks.push((at, said));
        at += step;
    }
    ticks
}

/// The times of faults, to be drawn behind everything.
#[must_use]
pub fn shades(area: &Area, report: &Report) -> Markup {
    html! {
        g class="faults" aria-hidden="true" {
            @for (from, until) in ends(area, report) {
                rect x=(px(from)) y=(px(area.top)) width=(px((until - from).max(1.5))) height=(px(area.bottom - area.top)) {}
            }
        }
    }
}

/// Where faults begin and end, and their numbers, to be drawn before everything.
#[must_use]
pub fn bands(area: &Area, report: &Report) -> Markup {
    let ends = ends(area, report);
    let marks = marks(&ends, area.top);
    html! {
        g class="faults" aria-hidden="true" {
            @for ((fault, (from, until)), (x, y)) in report.faults.iter().zip(&ends).zip(marks) {
                path d={"M" (px(*from)) " " (px(area.top)) "V" (px(area.bottom)) "M" (px(*until)) " " (px(area.top)) "V" (px(area.bottom))} {}
                g {
                    title { "Fault " (fault.number) ": " (fault.title) ", for " (span(fault.until_s.unwrap_or(area.lasts_s) - fault.from_s)) }
                    circle cx=(px(x)) cy=(px(y)) r="7.5" {}
                    text x=(px(x)) y=(px(y + 3.5)) text-anchor="middle" { (fault.number) }
                }
            }
        }
    }
}

fn ends(area: &Area, report: &Report) -> Vec<(f64, f64)> {
    let end = |fault: &super::OfFault| (area.x(fault.from_s), area.x(fault.until_s.unwrap_or(area.lasts_s)));
    report.faults.iter().map(end).collect()
}

/// Where the numbers of faults are: above their middle, in a second row where the first is taken.
fn marks(ends: &[(f64, f64)], top: f64) -> Vec<(f64, f64)> {
    let mut taken = [f64::NEG_INFINITY; 2];
    let mark = |(from, until): &(f64, f64)| {
        let x = f64::midpoint(*from, until.max(from + 1.5));
        let row = usize::from((x - taken[0]).abs() < 17.0 && (x - taken[1]).abs() > (x - taken[0]).abs());
        taken[row] = x;
        (x, top - 10.0 - 17.0 * row as f64)
    };
    ends.iter().map(mark).collect()
}

/// A number of pixels, as short as it is exact enough.
#[must_use]
pub fn px(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A line through points; it breaks where one is missing, and one that stands alone is a dot.
#[must_use]
pub fn line(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut is_joined = false;
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(path, "{}{} {}", if is_joined { "L" } else { "M" }, px(x), px(y));
            if !is_joined {
                path += "h.1";
            }
        }
        is_joined = point.is_some();
    }
    path
}

/// A closed area between an upper and a lower edge, both from left to right.
#[must_use]
pub fn between(upper: &[(f64, f64)], lower: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, y)) in upper.iter().chain(lower.iter().rev()).enumerate() {
        let _ = write!(path, "{}{} {}", if at == 0 { "M" } else { "L" }, px(*x), px(*y));
    }
    path + "Z"
}

/// Moves labels apart that would cover each other, within `top` and `bottom`: for each wish its place.
#[must_use]
pub fn spread(wishes: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by(|a, b| wishes[*a].total_cmp(&wishes[*b]).then(a.cmp(b)));
    let mut places = wishes.to_vec();
    let mut least = top;
    for at in &order {
        places[*at] = places[*at].max(least);
        least = places[*at] + LABEL_STEP;
    }
    let mut most = bottom;
    for at in order.iter().rev() {
        places[*at] = places[*at].min(most);
        most = places[*at] - LABEL_STEP;
    }
    places
}

/// The class of a region's colour: by its place from west to east, so that neighbours in a plot differ.
#[must_use]
pub fn color(order: &[usize], region: usize) -> usize {
    order.iter().position(|own| *own == region).unwrap_or_default() % COLORS
}

/// Regions from west to east.
#[must_use]
pub fn from_west_to_east(report: &Report) -> Vec<usize> {
    let mut order: Vec<usize> = (0..report.regions.len()).collect();
    order.sort_by(|a, b| report.regions[*a].longitude.total_cmp(&report.regions[*b].longitude).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!([0.7, 12.0, 95.0, 3_001.0, 1_050.0].map(rounded_up), [0.8, 12.0, 100.0, 4_000.0, 1_200.0]);
        assert_eq!(Scale::linear(95.0).ticks(), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(Scale::linear(28.0).ticks(), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(Scale::powers(3.0, 4_100.0).ticks(), [1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!(
            Scale::powers(110.0, 900.0).ticks(),
            [100.0, 200.0, 500.0, 1_000.0],
            "few powers have lines between"
        );
        assert!((Scale::powers(1.0, 100.0).share(10.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn times_are_those_of_a_clock() {
        let said = |starts, lasts, most| -> Vec<String> {
            time_ticks(starts, lasts, most).into_iter().map(|(_, words)| words).collect()
        };
        assert_eq!(said("2026-11-30T09:10:00Z", 3_600.0, 5.0), ["09:15", "09:30", "09:45", "10:00"]);
        assert_eq!(said("2026-11-30T18:00:00Z", 43_200.0, 3.0), ["18:00", "day 2", "06:00"]);
    }

    #[test]
    fn labels_are_moved_apart_and_stay_inside() {
        let places = spread(&[10.0, 11.0, 12.0, 90.0, 99.0], 5.0, 100.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= LABEL_STEP - 1e-9), "{places:?}");
        assert!(sorted[0] >= 5.0 && sorted[4] <= 100.0);
        assert!(places[0] < places[1] && places[1] < places[2], "in the order of what they label");
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let points = [Some((0.0, 1.0)), Some((1.0, 1.0)), None, Some((3.0, 1.0))];
        assert_eq!(line(points.into_iter()), "M0 1h.1L1 1M3 1h.1");
    }
}
