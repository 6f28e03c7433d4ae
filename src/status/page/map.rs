//! The world with the regions in their standing, and arcs for the requests that flow to them.
//!
//! Natural Earth projection (T. Patterson, B. Šavrič): a polynomial, calm at its edges. The land is made with the same
//! figures by `land/recipe.py`.

use super::marks::{shape, standing};
use super::words::{code, rate};
use crate::history::story::{Flow, Level, RegionReport, Report};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// The land, as segments of rows of dots. From Natural Earth, which is in the public domain: see `land/README.md`.
pub const LAND: &str = include_str!("land/dots.txt");
/// Width of the map; north and south of it nobody lives.
pub const WIDTH: f64 = 1_000.0;
/// Its height.
pub const HEIGHT: f64 = 421.0;
const NORTH_DEGREES: f64 = 79.0;
const SCALE: f64 = WIDTH / (2.0 * PI * 0.8707);
/// Arcs at most, those with the highest rates: more would be a tangle.
const ARCS_MAX: usize = 48;
/// Rows of the table at most.
const ROWS_MAX: usize = 24;
/// How wide and high a label is, per character and in all.
const LABEL: (f64, f64) = (7.2, 12.0);

fn stretch(phi: f64) -> f64 {
    let (p2, p4) = (phi * phi, phi.powi(4));
    0.8707 - 0.131_979 * p2 + p4 * (-0.013_791 + p4 * (0.003_971 * p2 - 0.001_529 * p4))
}

fn rise(phi: f64) -> f64 {
    let (p2, p4) = (phi * phi, phi.powi(4));
    phi * (1.007_226 + p2 * (0.015_085 + p4 * (-0.044_475 + 0.028_874 * p2 - 0.005_916 * p4)))
}

/// Where a place, in degrees north and east, is on the map.
#[must_use]
pub fn project(latitude: f64, longitude: f64) -> (f64, f64) {
    let sane = |degrees: f64, most: f64| if degrees.is_finite() { degrees.clamp(-most, most) } else { 0.0 };
    let (phi, lambda) = (sane(latitude, 90.0).to_radians(), sane(longitude, 180.0).to_radians());
    let top = rise(NORTH_DEGREES.to_radians()) * SCALE;
    let (x, y) = (WIDTH / 2.0 + lambda * stretch(phi) * SCALE, top - rise(phi) * SCALE);
    (x.clamp(4.0, WIDTH - 4.0), y.clamp(4.0, HEIGHT - 4.0))
}

/// A label beside its region: where it begins, and where its text is anchored.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// From the left.
    pub x: f64,
    /// From above, to the line it stands on.
    pub y: f64,
    /// As SVG calls it.
    pub anchor: &'static str,
}

type Box4 = (f64, f64, f64, f64);

/// Finds a place for each label beside its region where it covers no other and no region; if there is none, to its right.
#[must_use]
pub fn labels(places: &[(f64, f64)], names: &[String]) -> Vec<Label> {
    let mut taken: Vec<Box4> = places.iter().map(|(x, y)| (x - 7.0, y - 7.0, x + 7.0, y + 7.0)).collect();
    let meets = |a: &Box4, b: &Box4| a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3;
    places
        .iter()
        .zip(names)
        .enumerate()
        .map(|(own, ((x, y), name))| {
            let (width, height) = (name.chars().count() as f64 * LABEL.0, LABEL.1);
            let sides = [
                (x + 11.0, y + 4.0, "start"),
                (x - 11.0, y + 4.0, "end"),
                (*x, y - 12.0, "middle"),
                (*x, y + 20.0, "middle"),
                (x + 8.0, y - 9.0, "start"),
                (x + 8.0, y + 16.0, "start"),
                (x - 8.0, y + 16.0, "end"),
            ];
            let around = |(x, y, anchor): (f64, f64, &str)| {
                let left = match anchor {
                    "start" => x,
                    "end" => x - width,
                    _ => x - width / 2.0,
                };
                (left, y - height + 2.0, left + width, y + 2.0)
            };
            let is_free = |side: &(f64, f64, &'static str)| {
                let area = around(*side);
                let is_inside = area.0 > 0.0 && area.2 < WIDTH && area.1 > 0.0 && area.3 < HEIGHT;
                is_inside && taken.iter().enumerate().all(|(other, there)| other == own || !meets(&area, there))
            };
            let side = sides.iter().find(|side| is_free(side)).copied().unwrap_or(sides[0]);
            taken.push(around(side));
            Label { x: side.0, y: side.1, anchor: side.2 }
        })
        .collect()
}

/// One arc or, across the date line, both of its halves.
fn arc(from: (f64, f64), to: (f64, f64)) -> String {
    let curve = |(x0, y0): (f64, f64), (x1, y1): (f64, f64)| {
        let length = (x1 - x0).hypot(y1 - y0);
        let (middle_x, middle_y) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0 - length * 0.22 - 4.0);
        format!("M{x0:.0} {y0:.0}Q{middle_x:.0} {middle_y:.0} {x1:.0} {y1:.0}")
    };
    let across = WIDTH * 0.97;
    match to.0 - from.0 {
        far if far > WIDTH / 2.0 => curve(from, (to.0 - across, to.1)) + &curve((from.0 + across, from.1), to),
        far if far < -WIDTH / 2.0 => curve(from, (to.0 + across, to.1)) + &curve((from.0 - across, from.1), to),
        _ => curve(from, to),
    }
}

/// How wide an arc is: with the root of its rate, so that a hundred times as much is ten times as wide.
fn width(per_second: f64, highest: f64) -> f64 {
    if highest <= 0.0 { 1.0 } else { 1.0 + 4.5 * (per_second / highest).clamp(0.0, 1.0).sqrt() }
}

fn sorted(flows: &[Flow]) -> Vec<&Flow> {
    let mut flows: Vec<&Flow> =
        flows.iter().filter(|flow| flow.per_second.is_finite() && flow.per_second > 0.0).collect();
    flows.sort_by(|a, b| b.per_second.total_cmp(&a.per_second).then_with(|| a.region.cmp(&b.region)));
    flows
}

/// The map, and the same in a table.
#[must_use]
pub fn map(report: &Report) -> Markup {
    let flows = sorted(&report.flows);
    let total: f64 = flows.iter().map(|flow| flow.per_second).sum();
    let bad = report.regions.iter().filter(|region| region.level > Level::Unknown).count();
    let label = format!(
        "World map: {} regions, {}. {} requests a second from {} places.",
        report.regions.len(),
        if bad == 0 { "none with trouble".to_owned() } else { format!("{bad} with trouble") },
        rate(total).trim_end_matches("/s"),
        flows.len()
    );
    html! {
        figure class="map" {
            svg viewBox={"0 0 " (WIDTH) " " (HEIGHT)} role="img" aria-label=(label) {
                path class="land" d=(PreEscaped(LAND.trim_end())) {}
                g class="flows" { (arcs(report, &flows)) }
                g class="places" { (regions(&report.regions)) }
            }
            figcaption {
                @if total > 0.0 {
                    b { (rate(total)) } " requests right now"
                } @else {
                    "No requests right now"
                }
                ". Arcs run from clients’ countries to the region that answers; the wider, the more."
            }
        }
        (table(&flows, &report.regions))
    }
}

fn arcs(report: &Report, flows: &[&Flow]) -> Markup {
    let places: BTreeMap<&str, &RegionReport> =
        report.regions.iter().map(|region| (region.name.as_str(), region)).collect();
    let highest = flows.first().map_or(0.0, |flow| flow.per_second);
    html! {
        @for flow in flows.iter().take(ARCS_MAX) {
            @if let Some(region) = places.get(flow.region.as_str()) {
                @let from = project(flow.latitude, flow.longitude);
                @let to = project(region.latitude, region.longitude);
                @let width = width(flow.per_second, highest);
                @if (from.0 - to.0).hypot(from.1 - to.1) > 6.0 {
                    path d=(arc(from, to)) stroke-width=(format!("{width:.1}")) {}
                }
                circle cx=(format!("{:.0}", from.0)) cy=(format!("{:.0}", from.1)) r=(format!("{:.1}", 1.2 + width / 2.0)) {}
            }
        }
    }
}

fn regions(regions: &[RegionReport]) -> Markup {
    let places: Vec<(f64, f64)> = regions.iter().map(|region| project(region.latitude, region.longitude)).collect();
    let names: Vec<String> = regions.iter().map(|region| code(&region.name).chars().take(12).collect()).collect();
    let labels = labels(&places, &names);
    // What has trouble is drawn last, so that nothing covers it.
    let mut order: Vec<usize> = (0..regions.len()).collect();
    order.sort_by_key(|at| regions[*at].level);
    html! {
        @for at in order {
            @let ((x, y), label, region) = (places[at], labels[at], &regions[at]);
            g class=(region.level.as_str()) {
                g transform=(format!("translate({x:.0} {y:.0}) scale(.82)")) {
                    @if region.level > Level::Unknown { circle class="halo" r="15" {} }
                    (PreEscaped(shape(region.level)))
                }
                text x=(format!("{:.0}", label.x)) y=(format!("{:.0}", label.y)) text-anchor=(label.anchor) { (names[at]) }
            }
        }
    }
}

/// Who is served by whom, in words.
fn table(flows: &[&Flow], regions: &[RegionReport]) -> Markup {
    let level = |name: &str| regions.iter().find(|region| region.name == name).map(|region| region.level);
    html! {
        @if !flows.is_empty() {
            details class="flows" id="flows" {
                summary { "Who is served from where, as a table" }
                div class="scroll" tabindex="0" role="region" aria-label="Requests by country and region" {
                    table {
                        thead { tr { th scope="col" { "Clients in" } th scope="col" { "Served from" } th scope="col" { "Requests" } } }
                        tbody {
                            @for flow in flows.iter().take(ROWS_MAX) {
                                tr {
                                    th scope="row" { bdi { (flow.country.as_deref().unwrap_or("unknown")) } }
                                    td { bdi { (code(&flow.region)) } " " @if let Some(level) = level(&flow.region) { @if level > Level::Operational { (standing(level)) } } }
                                    td class="number" { (rate(flow.per_second)) }
                                }
                            }
                        }
                    }
                }
                @if flows.len() > ROWS_MAX { p class="quiet" { "And " (flows.len() - ROWS_MAX) " more with less." } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_the_land_is() {
        let (x, y) = project(0.0, 0.0);
        assert_eq!((x.round(), y.round()), (500.0, 242.0));
        assert!(project(90.0, 0.0).1 >= 0.0 && project(-90.0, 0.0).1 <= HEIGHT);
        let odd = project(f64::NAN, f64::INFINITY);
        assert!(odd.0.is_finite() && odd.1.is_finite());
    }

    #[test]
    fn an_arc_over_the_pacific_crosses_the_edge() {
        let (tokyo, san_francisco) = (project(35.7, 139.7), project(37.8, -122.4));
        assert_eq!(arc(tokyo, san_francisco).matches('M').count(), 2);
        assert_eq!(arc(project(48.9, 2.4), project(51.5, 0.1)).matches('M').count(), 1);
    }

    #[test]
    fn labels_of_neighbours_do_not_cover_each_other() {
        let places = [project(-37.81, 144.96), project(-33.87, 151.21)];
        let labels = labels(&places, &["MEL".to_owned(), "SYD".to_owned()]);
        assert!((labels[0].y - labels[1].y).abs() > 11.0 || labels[0].anchor != labels[1].anchor, "{labels:?}");
    }
}
