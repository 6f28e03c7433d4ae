//! What nodes thought of regions, drawn: a row for each region, a cell for each piece of time, as dark as many nodes
//! thought so.

use super::plot::{Area, Room, bands, from_west_to_east, px, time_axis};
use super::words::span;
use super::{OfNode, Report};
use maud::{Markup, html};
use std::fmt::Write;

/// How high a row is.
const ROW: f64 = 17.0;
/// What nodes think, worst last; the last of them that any node thought gives a cell its colour.
const STANDINGS: [&str; 5] = ["up", "strained", "unknown", "ejected", "down"];

/// For a piece of time: seconds of nodes by standing, in the order of [`STANDINGS`].
type Cell = [f64; STANDINGS.len()];

/// The heat map.
#[must_use]
pub fn standings(report: &Report, room: Room) -> Markup {
    let order = from_west_to_east(report);
    let area = Area::new(room, report, 40.0, ROW * order.len() as f64);
    let pieces = if room == Room::Wide { 240 } else { 120 };
    html! {
        svg class=(room.as_str()) viewBox={"0 0 " (room.width()) " " (px(area.bottom + 24.0))} role="img" aria-label=(label(report)) {
            @for (row, region) in order.iter().enumerate() {
                @let y = area.top + row as f64 * ROW;
                text class="name" x=(px(area.left - 6.0)) y=(px(y + 12.5)) text-anchor="end" { (report.regions[*region].name) }
                rect class="cell up" x=(px(area.left)) y=(px(y + 1.0)) width=(px(area.right - area.left)) height=(px(ROW - 2.0)) {}
                @for (from, until, (standing, share)) in runs(&cells(report, *region, pieces)) {
                    @let at = |piece: usize| area.x(piece as f64 / pieces as f64 * report.lasts_s);
                    rect class={"cell " (STANDINGS[standing])} x=(px(at(from))) y=(px(y + 1.0)) width=(px(at(until) - at(from))) height=(px(ROW - 2.0)) fill-opacity=(format!("{:.2}", f64::from(share) / 4.0)) {}
                }
            }
            (bands(&area, report))
            (time_axis(&area, &report.starts))
        }
    }
}

fn label(report: &Report) -> String {
    let mut words = "What nodes thought of regions over time.".to_owned();
    for (at, region) in report.regions.iter().enumerate() {
        let [.., ejected, down] = cells(report, at, 1).first().copied().unwrap_or_default();
        let lost = (ejected + down) / report.nodes.len().max(1) as f64;
        if lost >= 1.0 {
            let _ = write!(words, " {} out of service for {}.", region.name, span(lost));
        }
    }
    words
}

/// What nodes thought of a region in so many pieces of the run.
fn cells(report: &Report, region: usize, pieces: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); pieces];
    let piece = report.lasts_s.max(1.0) / pieces as f64;
    for node in &report.nodes {
        for (from, until, standing) in spans(node, region, report.lasts_s) {
            let first = ((from / piece) as usize).min(pieces - 1);
            let last = ((until / piece) as usize).min(pieces - 1);
            for (at, cell) in cells.iter_mut().enumerate().take(last + 1).skip(first) {
                let begin = at as f64 * piece;
                cell[standing] += (until.min(begin + piece) - from.max(begin)).max(0.0);
            }
        }
    }
    cells
}

/// From when until when a node thought what.
fn spans(node: &OfNode, region: usize, lasts_s: f64) -> impl Iterator<Item = (f64, f64, usize)> {
    let bar = node.standings.get(region).map(Vec::as_slice).unwrap_or_default();
    bar.iter().enumerate().map(move |(at, since)| {
        let until = bar.get(at + 1).map_or(lasts_s, |next| next.from_s);
        let standing = STANDINGS.iter().position(|name| *name == since.standing).unwrap_or_default();
        (since.from_s, until, standing)
    })
}

/// Pieces that look alike, together: from, until, and the standing with how many quarters of the nodes had it or a worse
/// one than up. Where all is well there is nothing.
fn runs(cells: &[Cell]) -> Vec<(usize, usize, (usize, u8))> {
    let mut runs: Vec<(usize, usize, (usize, u8))> = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let Some(look) = look(cell) else { continue };
        match runs.last_mut() {
            Some((_, until, before)) if *until == at && *before == look => *until = at + 1,
            _ => runs.push((at, at + 1, look)),
        }
    }
    runs
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one to four quarters")]
fn look(cell: &Cell) -> Option<(usize, u8)> {
    let whole: f64 = cell.iter().sum();
    let worst = (1..STANDINGS.len()).max_by(|a, b| cell[*a].total_cmp(&cell[*b]).then(a.cmp(b)))?;
    let share = cell[1..].iter().sum::<f64>() / whole.max(1e-9);
    // A moment of doubt in a long piece of time is no colour.
    (cell[worst] > 0.0 && share >= 0.02).then(|| (worst, (share * 4.0).ceil().clamp(1.0, 4.0) as u8))
}

#[cfg(test)]
mod tests {
    use super::super::{OfRegion, Since};
    use super::*;

    fn report(bars: &[Vec<(f64, &str)>]) -> Report {
        let since = |(from_s, standing): &(f64, &str)| Since { from_s: *from_s, standing: (*standing).to_owned() };
        let node =
            |bar: &Vec<(f64, &str)>| OfNode { standings: vec![bar.iter().map(since).collect()], ..OfNode::default() };
        let region = OfRegion { name: "orf".to_owned(), ..OfRegion::default() };
        Report { lasts_s: 100.0, nodes: bars.iter().map(node).collect(), regions: vec![region], ..Report::default() }
    }

    #[test]
    fn a_cell_is_as_dark_as_many_nodes_thought_so() {
        let one = vec![(0.0, "up"), (50.0, "down"), (60.0, "up")];
        let report = report(&[one.clone(), one, vec![(0.0, "up")], vec![(0.0, "up")]]);
        let runs = runs(&cells(&report, 0, 10));
        assert_eq!(runs, [(5, 6, (4, 2))]);
        assert!(label(&report).contains("orf out of service for 5 s"), "half of the nodes for ten seconds");
    }

    #[test]
    fn where_all_is_well_nothing_is_drawn() {
        assert_eq!(runs(&cells(&report(&[vec![(0.0, "unknown"), (0.5, "up")]]), 0, 2)), []);
    }
}
