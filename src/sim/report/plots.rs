//! The plots of a report over time: who served, what failed and what was slow, what nodes thought, what regions carried.

use super::plot::{
    Area, Room, Scale, axis, bands, between, color, from_west_to_east, line, px, shades, spread, time_axis,
};
use super::words::{clock, count};
use super::{OfRegion, Report};
use maud::{Markup, html};

/// Points that a line has at most: more than there are pixels nobody sees.
const POINTS_MAX: usize = 360;
/// Below this a band of a stack has no label.
const LABELLED_FROM: f64 = 3.0;

/// Slots that are one point, and the times in the middle of each.
struct Points {
    together: usize,
    middles: Vec<f64>,
}

impl Points {
    fn of(report: &Report) -> Self {
        let slots = report.total.by_slot.wishes.len();
        let together = slots.div_ceil(POINTS_MAX).max(1);
        let step = report.slot_s as f64 * together as f64;
        let middle = |at: usize| ((at as f64 + 0.5) * step).min(report.lasts_s);
        Self { together, middles: (0..slots.div_ceil(together)).map(middle).collect() }
    }

    fn sums(&self, counts: &[u64]) -> Vec<f64> {
        counts.chunks(self.together).map(|slots| slots.iter().sum::<u64>() as f64).collect()
    }

    fn highest(&self, values: &[Option<f64>]) -> Vec<Option<f64>> {
        values.chunks(self.together).map(|slots| slots.iter().flatten().copied().reduce(f64::max)).collect()
    }

    /// An edge from the left to the right end.
    fn edge(&self, area: &Area, scale: Scale, values: &[f64]) -> Vec<(f64, f64)> {
        let points = self.middles.iter().zip(values).map(|(at, value)| (area.x(*at), area.y(scale.share(*value))));
        let mut points: Vec<(f64, f64)> = points.collect();
        if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
            points.insert(0, (area.left, first.1));
            points.push((area.right, last.1));
        }
        points
    }

    fn line(&self, area: &Area, scale: Scale, values: &[Option<f64>]) -> String {
        let point = |(at, value): (&f64, &Option<f64>)| value.map(|value| (area.x(*at), area.y(scale.share(value))));
        line(self.middles.iter().zip(values).map(point))
    }
}

fn drawing(area: &Area, label: &str, inside: &Markup) -> Markup {
    let height = px(area.bottom + 24.0);
    html! {
        svg class=(area.room.as_str()) viewBox={"0 0 " (area.room.width()) " " (height)} role="img" aria-label=(label) { (inside) }
    }
}

/// Stacked: wishes a minute by the region that served them, from west to east, and those that were not served on top.
#[must_use]
pub fn traffic(report: &Report, room: Room) -> Markup {
    let area = Area::new(room, report, 40.0, 260.0);
    let order = from_west_to_east(report);
    let points = Points::of(report);
    let minutes = report.slot_s as f64 * points.together as f64 / 60.0;
    let served = order.iter().map(|at| points.sums(&report.regions[*at].served_by_slot));
    let columns = served.chain([points.sums(&report.total.by_slot.failed)]);
    let mut edges = vec![vec![0.0; points.middles.len()]];
    for column in columns {
        let below = &edges[edges.len() - 1];
        edges.push(below.iter().zip(column).map(|(below, wishes)| below + wishes / minutes).collect());
    }
    let scale = Scale::linear(edges.iter().flatten().copied().fold(0.0, f64::max));
    let class = |at: usize| order.get(at).map_or("bad".to_owned(), |region| format!("r{}", color(&order, *region)));
    let name = |at: usize| order.get(at).map_or("not served", |region| report.regions[*region].name.as_str());
    let label = format!(
        "Wishes a minute by the region that served them: {} in all, {} of them not served.",
        count(report.total.wishes),
        count(report.total.failures())
    );
    let labels = stack_labels(&edges, &area, scale);
    drawing(
        &area,
        &label,
        &html! {
            (shades(&area, report))
            @for (at, pair) in edges.windows(2).enumerate() {
                path class={"area " (class(at))} d=(between(&points.edge(&area, scale, &pair[1]), &points.edge(&area, scale, &pair[0]))) {
                    title { (name(at)) }
                }
            }
            (axis(&area, scale, whole))
            (bands(&area, report))
            (time_axis(&area, &report.starts))
            @for (at, y) in labels {
                rect class=(class(at)) x=(px(area.right + 5.0)) y=(px(y - 8.5)) width="4" height="10" {}
                text class="name" x=(px(area.right + 13.0)) y=(px(y)) { (name(at)) }
            }
        },
    )
}

/// Which bands have a label, and where: at their right end.
fn stack_labels(edges: &[Vec<f64>], area: &Area, scale: Scale) -> Vec<(usize, f64)> {
    // The last points together: the very last one may be a few seconds.
    let late = |edge: &[f64]| {
        let last = &edge[edge.len().saturating_sub(3)..];
        last.iter().sum::<f64>() / last.len().max(1) as f64
    };
    let ends: Vec<f64> = edges.iter().map(|edge| area.y(scale.share(late(edge)))).collect();
    let bands: Vec<usize> = (0..ends.len() - 1).filter(|at| ends[*at] - ends[at + 1] >= LABELLED_FROM).collect();
    let wishes: Vec<f64> = bands.iter().map(|at| f64::midpoint(ends[*at], ends[at + 1]) + 4.0).collect();
    let places = spread(&wishes, area.top + 4.0, area.bottom + 4.0);
    bands.into_iter().zip(places).collect()
}

fn whole(tick: f64) -> String {
    if tick.fract() == 0.0 { format!("{tick:.0}") } else { format!("{tick}") }
}

/// The share of wishes that were not served, by minute.
#[must_use]
pub fn errors(report: &Report, room: Room) -> Markup {
    let area = Area::new(room, report, 40.0, 120.0);
    let points = Points::of(report);
    let (failed, wishes) = (points.sums(&report.total.by_slot.failed), points.sums(&report.total.by_slot.wishes));
    let share =
        failed.iter().zip(&wishes).map(|(failed, wishes)| if *wishes > 0.0 { failed / wishes * 100.0 } else { 0.0 });
    let share: Vec<f64> = share.collect();
    let most = share.iter().copied().fold(0.0, f64::max);
    let worst = share.iter().position(|one| *one == most).unwrap_or_default();
    let scale = Scale::linear(most.max(1.0));
    let at = clock(&report.starts, points.middles.get(worst).copied().unwrap_or_default());
    let label = match most {
        0.0 => "Every wish was served.".to_owned(),
        most => format!("Share of wishes that were not served: at most {most:.1} %, at {at}."),
    };
    let width = ((area.right - area.left) / share.len().max(1) as f64).max(1.0);
    drawing(
        &area,
        &label,
        &html! {
            (shades(&area, report))
            (axis(&area, scale, |tick| format!("{} %", whole(tick))))
            (bands(&area, report))
            @for (at, share) in share.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                @let (middle, y) = (area.x(points.middles[at]), area.y(scale.share(*share)));
                rect class="bad bar" x=(px(middle - width / 2.0)) y=(px(y)) width=(px((width - 0.5).max(0.8))) height=(px(area.bottom - y)) {
                    title { (clock(&report.starts, points.middles[at])) ": " (format!("{share:.2}")) " % not served" }
                }
            }
            (time_axis(&area, &report.starts))
            @if most > 0.0 {
                @let is_late = area.x(points.middles[worst]) > (area.left + area.right) / 2.0;
                text class="note" x=(px(area.x(points.middles[worst]) + if is_late { -6.0 } else { 6.0 })) y=(px(area.y(scale.share(most)) + 10.0)) text-anchor=(if is_late { "end" } else { "start" }) {
                    (format!("{most:.1}")) " % at " (at)
                }
            }
        },
    )
}

/// What was added to the best possible time: half of the wishes, and 99 of a hundred, by minute.
#[must_use]
pub fn added(report: &Report, room: Room) -> Markup {
    let area = Area::new(room, report, 40.0, 170.0);
    let points = Points::of(report);
    let slots = &report.total.by_slot;
    let (half, most) = (points.highest(&slots.added_p50_ms), points.highest(&slots.added_p99_ms));
    let all = || half.iter().chain(&most).flatten().copied().filter(|ms| *ms > 0.0);
    let scale = Scale::powers(all().fold(f64::INFINITY, f64::min).clamp(1.0, 1_000.0), all().fold(10.0, f64::max));
    let last = |values: &[Option<f64>]| values.iter().rev().flatten().next().copied();
    let ends: Vec<f64> =
        [&half, &most].iter().map(|line| area.y(scale.share(last(line).unwrap_or_default())) + 4.0).collect();
    let places = spread(&ends, area.top, area.bottom);
    let whole = &report.total.added;
    let label = format!(
        "Added to the best possible time: half of the wishes at most {}, 99 of a hundred at most {} over the whole run.",
        super::words::maybe_ms(whole.p50_ms),
        super::words::maybe_ms(whole.p99_ms)
    );
    drawing(
        &area,
        &label,
        &html! {
            (shades(&area, report))
            (axis(&area, scale, brief_ms))
            (bands(&area, report))
            path class="line p99" d=(points.line(&area, scale, &most)) {}
            path class="line p50" d=(points.line(&area, scale, &half)) {}
            (time_axis(&area, &report.starts))
            @for (name, y) in ["half", "99 %"].iter().zip(places) {
                text class="name" x=(px(area.right + 6.0)) y=(px(y)) { (name) }
            }
        },
    )
}

fn brief_ms(ms: f64) -> String {
    match ms {
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1_000.0),
    }
}

/// The most under way at each region by minute, against what it works on at once: one small plot for each.
#[must_use]
pub fn loads(report: &Report) -> Markup {
    let order = from_west_to_east(report);
    let points = Points::of(report);
    html! {
        ul class="loads" {
            @for at in &order {
                li { (load(report, &report.regions[*at], &points, color(&order, *at))) }
            }
        }
    }
}

fn load(report: &Report, region: &OfRegion, points: &Points, color: usize) -> Markup {
    let (room, height) = (200.0, 64.0);
    let most = f64::from(region.in_flight_most).max(f64::from(region.capacity.unwrap_or(1))).max(1.0) * 1.08;
    let values: Vec<f64> = region
        .in_flight_by_slot
        .chunks(points.together)
        .map(|slots| f64::from(slots.iter().copied().max().unwrap_or_default()))
        .collect();
    let place = |seconds: f64| (seconds / report.lasts_s.max(1.0)).clamp(0.0, 1.0) * room;
    let y = |value: f64| height - 1.0 - value / most * (height - 4.0);
    let upper: Vec<(f64, f64)> =
        points.middles.iter().zip(&values).map(|(at, value)| (place(*at), y(*value))).collect();
    let lower: Vec<(f64, f64)> = upper.iter().map(|(x, _)| (*x, height - 1.0)).collect();
    let said = match region.load_percent {
        Some(load) => format!("{load:.0} % of {}", count(u64::from(region.capacity.unwrap_or_default()))),
        None => format!("{} at once", count(u64::from(region.in_flight_most))),
    };
    let is_full = region.load_percent.is_some_and(|load| load > 100.0);
    let label =
        format!("{}: at most {said}, at {}.", region.name, clock(&report.starts, region.in_flight_most_at_s as f64));
    html! {
        p { b { (region.name) } " " span class=[is_full.then_some("worse")] { (said) } }
        svg class="load" viewBox={"0 0 " (room) " " (height)} role="img" aria-label=(label) {
            @for fault in report.faults.iter().filter(|fault| fault.regions.contains(&region.name)) {
                @let (from, until) = (place(fault.from_s), place(fault.until_s.unwrap_or(report.lasts_s)));
                rect class="fault" x=(px(from)) y="0" width=(px((until - from).max(1.0))) height=(height) {}
            }
            path class={"area r" (color)} d=(between(&upper, &lower)) {}
            @if let Some(capacity) = region.capacity {
                line class="limit" x1="0" x2=(room) y1=(px(y(f64::from(capacity)))) y2=(px(y(f64::from(capacity)))) {}
            }
            line class="base" x1="0" x2=(room) y1=(height - 0.5) y2=(height - 0.5) {}
        }
    }
}
