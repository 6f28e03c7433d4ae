//! Two reports of one scenario side by side: what another configuration would have changed.

use super::page::{framed, key_figures, over_time, table};
use super::plot::Room;
use super::tables::{NOTHING, Table};
use super::words::{milliseconds, minute, percent, span};
use super::{OfFault, Report, Service, atlas, text};
use maud::{Markup, html};
use serde::Serialize;

/// From this share of the value before on a change is told from chance.
const TOLD_FROM: f64 = 0.02;
/// The same for a percentile, which is known to one part in ten.
const PERCENTILE_TOLD_FROM: f64 = 0.12;
/// Up to this load, in percent, a region has room, and more load is no burden.
const HAS_ROOM: f64 = 80.0;

/// Whether a change is for the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is.
    Better,
    /// It is not.
    Worse,
    /// There is none, or hardly any.
    Same,
    /// There is one, and it is neither.
    Other,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Whose: a hostname, a region, a fault; empty for the whole.
    pub of: String,
    /// Which figure.
    pub what: String,
    /// In the first report.
    pub before: Option<f64>,
    /// In the second.
    pub after: Option<f64>,
    /// Whether that is better.
    pub change: Change,
    #[serde(skip)]
    unit: Unit,
}

/// How a figure is told, and which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Percents of what is wanted: more is better.
    Good,
    /// Percents of what is not wanted.
    Burden,
    /// A share, which is neither.
    Share,
    /// Milliseconds: fewer are better.
    Ms,
    /// The same, known less exactly.
    Percentile,
    /// A number of bad things.
    Count,
    /// A ratio that should be small.
    Ratio,
}

impl Unit {
    fn told(self, value: Option<f64>) -> String {
        let Some(value) = value else { return NOTHING.to_owned() };
        match self {
            Self::Good => percent(value),
            Self::Burden | Self::Share => format!("{value:.1} %"),
            Self::Ms | Self::Percentile => milliseconds(value),
            Self::Count => format!("{value:.0}"),
            Self::Ratio => format!("{value:.3}"),
        }
    }

    /// What is lost by a value, so that less is better; nothing if it is no matter of better and worse.
    fn loss(self, value: f64) -> Option<f64> {
        match self {
            // What matters of 99.9 and 99.99 percent is that one fails ten times as often.
            Self::Good => Some(100.0 - value),
            Self::Share => None,
            Self::Burden => (value > HAS_ROOM).then_some(value),
            _ => Some(value),
        }
    }
}

/// Two reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first.
    pub before: Report,
    /// The second.
    pub after: Report,
    /// Figures of both.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Of what is, and of what would be.
    #[must_use]
    pub fn of(before: Report, after: Report) -> Self {
        let mut differences = Vec::new();
        services(&mut differences, "", &before.total, Some(&after.total));
        for of in &before.hostnames {
            let other = after.hostnames.iter().find(|other| other.hostname == of.hostname);
            services(&mut differences, &of.hostname, of, other);
        }
        let amplification = |report: &Report| report.amplification.worst_10s;
        let worst = (amplification(&before), amplification(&after));
        differences.push(difference("", "attempts for a request, worst 10 s", worst, Unit::Ratio));
        let outside = |report: &Report| Some(report.residency.outside as f64);
        differences.push(difference("", "outside of a fence", (outside(&before), outside(&after)), Unit::Count));
        for fault in &before.faults {
            met(&mut differences, fault, after.faults.iter().find(|other| other.number == fault.number));
        }
        regions(&mut differences, &before, &after);
        Self { before, after, differences }
    }

    /// For the terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut words = String::new();
        for (name, report) in [("before", &self.before), ("after", &self.after)] {
            words += &format!("{name}: {}, {}\n", report.configuration, super::words::verdict(report));
            for failure in report.failures() {
                words += &format!("  ✗ {failure}\n");
            }
        }
        let (better, worse) = (self.number_of(Change::Better), self.number_of(Change::Worse));
        words + &format!("{} better, {} worse\n\n{}", number(better), number(worse), text::drawn(&self.table()))
    }

    /// As one HTML file.
    #[must_use]
    pub fn page(&self) -> String {
        let (before, after) = (&self.before, &self.after);
        let (better, worse) = (self.number_of(Change::Better), self.number_of(Change::Worse));
        let shown = atlas::worst_step(before);
        let plots = |report: &Report| over_time(report, &[Room::Half, Room::Narrow], &report.configuration);
        let class = if worse > better { "hero failed" } else { "hero good" };
        framed(
            &format!("{} and {}", before.configuration, after.configuration),
            &html! {
                header class=(class) {
                    div class="inner" {
                        p class="kind" { "Simulation of " b { (before.scenario) } ", seed " (before.seed) ", " (span(before.lasts_s)) " from " (minute(&before.starts)) }
                        h1 { (after.configuration) " against " (before.configuration) ": " (number(better)) " better, " (number(worse)) " worse" }
                    }
                }
                div class="inner" {
                    div class="pair" { @for report in [before, after] { (head(report)) } }
                    section class="card" { (table(&self.table())) }
                    div class="pair" {
                        @for report in [before, after] {
                            section class="card" {
                                h2 { "Who was served from where " span class="whose" { (report.configuration) } }
                                (atlas::moved_through(report, shown))
                            }
                        }
                    }
                    @for (one, other) in plots(before).into_iter().zip(plots(after)) {
                        div class="pair" { (one) (other) }
                    }
                }
            },
        )
    }

    fn number_of(&self, change: Change) -> usize {
        self.differences.iter().filter(|difference| difference.change == change).count()
    }

    /// What differs; what is the same is left out.
    fn table(&self) -> Table {
        let (before, after) = (format!("#{}", self.before.configuration), format!("#{}", self.after.configuration));
        let columns = ["What", "Of", before.as_str(), after.as_str(), "#Change", "Is"];
        let mut table = Table::new(
            "What differs",
            "Differences below two hundredths are left out: chance alone makes them.",
            &columns,
        );
        for of in self.differences.iter().filter(|of| of.change != Change::Same) {
            let is = match of.change {
                Change::Better => "better",
                Change::Worse => "worse",
                Change::Same | Change::Other => "",
            };
            let cells = vec![
                of.what.clone(),
                if of.of.is_empty() { "all".to_owned() } else { of.of.clone() },
                of.unit.told(of.before),
                of.unit.told(of.after),
                changed(of),
                is.to_owned(),
            ];
            table.row(of.change == Change::Worse, cells);
        }
        table
    }
}

fn number(figures: usize) -> String {
    if figures == 1 { "1 figure".to_owned() } else { format!("{figures} figures") }
}

fn head(report: &Report) -> Markup {
    html! {
        section class="card" {
            h2 { (report.configuration) }
            p { (super::words::verdict(report)) }
            ul class="failures" { @for failure in report.failures() { li { (failure) } } }
            ul class="figures" {
                @for (name, value, more) in key_figures(report) {
                    li { span class="name" { (name) } b { (value) } span class="quiet" { (more) } }
                }
            }
        }
    }
}

/// By how much it changed, with its sign.
fn changed(of: &Difference) -> String {
    let (Some(before), Some(after)) = (of.before, of.after) else { return NOTHING.to_owned() };
    let (sign, by) = if after < before { ("−", before - after) } else { ("+", after - before) };
    match of.unit {
        Unit::Good => format!("{sign}{by:.3} points"),
        Unit::Burden | Unit::Share => format!("{sign}{by:.1} points"),
        unit => format!("{sign}{}", unit.told(Some(by))),
    }
}

fn difference(of: &str, what: &str, (before, after): (Option<f64>, Option<f64>), unit: Unit) -> Difference {
    let change = match (before, after) {
        (Some(before), Some(after)) => judged(before, after, unit),
        (None, None) => Change::Same,
        _ => Change::Other,
    };
    Difference { of: of.to_owned(), what: what.to_owned(), before, after, change, unit }
}

fn judged(before: f64, after: f64, unit: Unit) -> Change {
    let told_from = if unit == Unit::Percentile { PERCENTILE_TOLD_FROM } else { TOLD_FROM };
    let is_same = |before: f64, after: f64| (after - before).abs() <= before.abs().max(after.abs()) * told_from;
    match (unit.loss(before), unit.loss(after)) {
        (None, None) if is_same(before, after) => Change::Same,
        (None, None) => Change::Other,
        (Some(_), None) => Change::Better,
        (None, Some(_)) => Change::Worse,
        (Some(before), Some(after)) if is_same(before, after) => Change::Same,
        (Some(before), Some(after)) if after < before => Change::Better,
        (Some(_), Some(_)) => Change::Worse,
    }
}

fn services(differences: &mut Vec<Difference>, of: &str, before: &Service, after: Option<&Service>) {
    let figure = |pick: fn(&Service) -> Option<f64>| (pick(before), after.and_then(pick));
    let available = figure(|of| of.availability_percent);
    differences.push(difference(of, "available", available, Unit::Good));
    differences.push(difference(of, "added, mean", figure(|of| of.added.mean_ms), Unit::Ms));
    differences.push(difference(of, "added, 99 %", figure(|of| of.added.p99_ms), Unit::Percentile));
}

fn met(differences: &mut Vec<Difference>, before: &OfFault, after: Option<&OfFault>) {
    let name = format!("fault {}, {}", before.number, before.title);
    let figure = |pick: fn(&OfFault) -> Option<f64>| (pick(before), after.and_then(pick));
    let noticed = figure(|fault| fault.detected.as_ref()?.last_ms);
    differences.push(difference(&name, "noticed by the last node", noticed, Unit::Ms));
    let left = figure(|fault| fault.moved.as_ref()?.last_attempt_ms);
    differences.push(difference(&name, "left", left, Unit::Ms));
    let back = figure(|fault| fault.returned.as_ref()?.full_ms);
    differences.push(difference(&name, "back", back, Unit::Ms));
    differences.push(difference(&name, "wishes failed", figure(|fault| Some(fault.failed as f64)), Unit::Count));
}

fn regions(differences: &mut Vec<Difference>, before: &Report, after: &Report) {
    let share = |report: &Report, name: &str| {
        let region = report.regions.iter().find(|region| region.name == name)?;
        super::make::share(region.served, report.total.served)
    };
    let load = |report: &Report, name: &str| report.regions.iter().find(|region| region.name == name)?.load_percent;
    let new = after.regions.iter().filter(|region| before.regions.iter().all(|old| old.name != region.name));
    for region in before.regions.iter().chain(new) {
        let name = &region.name;
        differences.push(difference(name, "highest load", (load(before, name), load(after, name)), Unit::Burden));
        differences.push(difference(
            name,
            "share of what was served",
            (share(before, name), share(after, name)),
            Unit::Share,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: f64, after: f64, unit: Unit) -> Change {
        difference("", "", (Some(before), Some(after)), unit).change
    }

    #[test]
    fn better_is_what_loses_less() {
        assert_eq!(change(99.9, 99.99, Unit::Good), Change::Better);
        assert_eq!(change(100.0, 99.99, Unit::Good), Change::Worse);
        assert_eq!(change(120.0, 200.0, Unit::Ms), Change::Worse);
        assert_eq!(change(10.0, 30.0, Unit::Share), Change::Other);
        assert_eq!(change(0.0, 3.0, Unit::Count), Change::Worse);
        assert_eq!(change(10.0, 30.0, Unit::Burden), Change::Other, "there is room");
        assert_eq!(change(70.0, 130.0, Unit::Burden), Change::Worse);
    }

    #[test]
    fn what_chance_alone_changes_is_the_same() {
        assert_eq!(change(1_000.0, 1_015.0, Unit::Ms), Change::Same);
        assert_eq!(change(1_000.0, 1_100.0, Unit::Percentile), Change::Same);
        assert_eq!(change(0.0, 0.0, Unit::Count), Change::Same);
        assert_eq!(difference("", "", (None, None), Unit::Ms).change, Change::Same);
        assert_eq!(difference("", "", (None, Some(1.0)), Unit::Ms).change, Change::Other, "no longer, or not before");
    }
}
