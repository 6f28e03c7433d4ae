//! Who was served from where, on the map: a dot for each city in the colour of the region that served most of it, a line
//! to that region, and a red one where somebody was not served. Some moments beside each other, and the whole run to be
//! moved through.

use super::plot::{color, from_west_to_east, px};
use super::words::{clock, count};
use super::{Picture, Report};
use crate::status::page::map::{HEIGHT, LAND, WIDTH, labels, project};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Sizes of dots, the number of wishes from which on they are drawn so large.
const SIZES: [u32; 4] = [1, 4, 16, 64];
/// One part in so many of a city's wishes has a line of its own.
const LINE_PART: u32 = 4;

/// The land, once for all maps of a page.
#[must_use]
pub fn land() -> Markup {
    html! {
        svg width="0" height="0" class="unseen" aria-hidden="true" {
            defs { path id="land" class="land" d=(PreEscaped(LAND.trim_end())) {} }
        }
    }
}

/// The step with the most trouble: the one that is shown first.
#[must_use]
pub fn worst_step(report: &Report) -> usize {
    let nobody = report.regions.len();
    let failed = |step: &Picture| -> u32 { step.flows.iter().filter(|flow| flow.1 == nobody).map(|flow| flow.2).sum() };
    let first_fault = report.faults.first().map_or(0.0, |fault| fault.from_s + 60.0);
    let steps = report.map.steps.iter().enumerate();
    let worst = steps.max_by_key(|(at, step)| {
        let is_first_fault = first_fault >= step.from_s as f64 && first_fault < step.until_s as f64;
        (failed(step), is_first_fault, usize::MAX - at)
    });
    worst.map(|(at, _)| at).unwrap_or_default()
}

/// A map that can be moved through the run; without a script it shows one step.
#[must_use]
pub fn moved_through(report: &Report, shown: usize) -> Markup {
    let steps = &report.map.steps;
    html! {
        div class="through" {
            @for (at, step) in steps.iter().enumerate() {
                figure class={"map step" @if at == shown { " on" }} {
                    (drawn(report, step, true))
                    figcaption { b { (time(report, step)) } " " (sentence(report, step)) }
                }
            }
            p class="mover" hidden {
                button type="button" { "Play" }
                label { span class="unseen" { "Time" } input type="range" min="0" max=(steps.len().saturating_sub(1)) value=(shown); }
            }
        }
    }
}

/// Moments beside each other.
#[must_use]
pub fn moments(report: &Report) -> Markup {
    html! {
        ul class="moments" {
            @for picture in &report.map.moments {
                li {
                    figure class="map" {
                        figcaption { b { (clock(&report.starts, picture.from_s as f64)) } " " (picture.title) }
                        (drawn(report, picture, false))
                        p class="quiet" { (sentence(report, picture)) }
                    }
                }
            }
        }
    }
}

fn time(report: &Report, picture: &Picture) -> String {
    let [from, until] = [picture.from_s, picture.until_s].map(|at| clock(&report.starts, at as f64));
    format!("{from} – {until}")
}

/// How many were served in a picture, and by how many regions.
fn sentence(report: &Report, picture: &Picture) -> String {
    let nobody = report.regions.len();
    let sum = |is_failed: bool| -> u64 {
        let flows = picture.flows.iter().filter(|flow| (flow.1 == nobody) == is_failed);
        flows.map(|flow| u64::from(flow.2)).sum()
    };
    let mut regions: Vec<usize> = picture.flows.iter().map(|flow| flow.1).filter(|region| *region != nobody).collect();
    regions.sort_unstable();
    regions.dedup();
    let failed = match sum(true) {
        0 => String::new(),
        failed => format!(", {} not served", count(failed)),
    };
    format!("{} wishes served by {} regions{failed}", count(sum(false)), regions.len())
}

/// What is drawn together: the lines and dots of one colour.
#[derive(Default)]
struct Strokes {
    lines: String,
    dots: [String; SIZES.len()],
}

fn drawn(report: &Report, picture: &Picture, is_large: bool) -> Markup {
    let order = from_west_to_east(report);
    let places: Vec<(f64, f64)> =
        report.regions.iter().map(|region| project(region.latitude, region.longitude)).collect();
    let strokes = strokes(report, picture, &places);
    let middle = f64::midpoint(picture.from_s as f64, picture.until_s as f64);
    let names: Vec<String> = report.regions.iter().map(|region| region.name.chars().take(12).collect()).collect();
    let labels = labels(&places, &names);
    html! {
        svg viewBox={"0 0 " (WIDTH) " " (HEIGHT)} role="img" aria-label={"Map: " (sentence(report, picture)) "."} class=[(!is_large).then_some("small")] {
            use href="#land" {}
            @for (region, strokes) in &strokes {
                @let class = if *region < report.regions.len() { format!("r{}", color(&order, *region)) } else { "bad".to_owned() };
                g class=(class) {
                    @if is_large && !strokes.lines.is_empty() { path class="flow" d=(strokes.lines) {} }
                    @for (size, dots) in strokes.dots.iter().enumerate().filter(|(_, dots)| !dots.is_empty()) {
                        path class={"dot s" (size)} d=(dots) {}
                    }
                }
            }
            @for (at, (x, y)) in places.iter().enumerate() {
                @let is_out = is_out(report, at, middle);
                g class=(if is_out { "site out".to_owned() } else { format!("site r{}", color(&order, at)) }) {
                    rect x=(px(x - 5.0)) y=(px(y - 5.0)) width="10" height="10" rx="2" {}
                    @if is_out { path d={"M" (px(x - 4.0)) " " (px(y - 4.0)) "l8 8m0-8l-8 8"} {} }
                    @if is_large || is_out {
                        text x=(px(labels[at].x)) y=(px(labels[at].y)) text-anchor=(labels[at].anchor) { (names[at]) }
                    }
                }
            }
        }
    }
}

/// By region, and one more for nobody: each city counts for the region that served most of it, and for nobody if anybody
/// there was not served.
fn strokes(report: &Report, picture: &Picture, places: &[(f64, f64)]) -> BTreeMap<usize, Strokes> {
    let mut at_spot: BTreeMap<usize, Vec<(usize, u32)>> = BTreeMap::new();
    for (spot, region, wishes) in &picture.flows {
        at_spot.entry(*spot).or_default().push((*region, *wishes));
    }
    let nobody = report.regions.len();
    let mut strokes: BTreeMap<usize, Strokes> = BTreeMap::new();
    for (spot, ends) in at_spot {
        let Some((_, latitude, longitude)) = report.map.spots.get(spot) else { continue };
        let (x, y) = project(*latitude, *longitude);
        let wishes: u32 = ends.iter().map(|(_, wishes)| wishes).sum();
        let size = SIZES.iter().rposition(|from| wishes >= *from).unwrap_or_default();
        for (region, wishes_there) in &ends {
            // A line for what is more than chance; over the date line it would be shorter than across the map.
            if let Some((to_x, to_y)) = places.get(*region).filter(|_| wishes_there * LINE_PART >= wishes)
                && (to_x - x).abs() < WIDTH / 2.0
            {
                let lines = &mut strokes.entry(*region).or_default().lines;
                let _ = write!(lines, "M{x:.0} {y:.0}L{to_x:.0} {to_y:.0}");
            }
        }
        let most = ends
            .iter()
            .filter(|(region, _)| *region != nobody)
            .max_by_key(|(region, wishes)| (*wishes, nobody - region));
        let has_failed = ends.iter().any(|(region, _)| *region == nobody);
        let shown = if has_failed { nobody } else { most.map_or(nobody, |(region, _)| *region) };
        let _ = write!(strokes.entry(shown).or_default().dots[size], "M{x:.0} {y:.0}h0");
    }
    strokes
}

/// Whether most nodes thought then that the region does not work.
fn is_out(report: &Report, region: usize, at_s: f64) -> bool {
    let thinks = report.nodes.iter().filter_map(|node| {
        node.standings.get(region)?.iter().rev().find(|since| since.from_s <= at_s).map(|since| since.standing.as_str())
    });
    let out = thinks.filter(|standing| matches!(*standing, "down" | "ejected")).count();
    out * 2 > report.nodes.len()
}
