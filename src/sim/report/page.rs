//! A report as one HTML file: nothing in it comes from elsewhere, and without its small script it is whole.

use super::plot::{COLORS, Room};
use super::tables::{self, Table};
use super::words::{count, headline, maybe_ms, milliseconds, minute, percent, served, span};
use super::{Report, atlas, heat, plots, steering};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// How it looks.
const STYLE: &str = include_str!("page.css");
/// What moves the map through time.
const SCRIPT: &str = include_str!("page.js");

/// The page of one report.
#[must_use]
pub fn page(report: &Report) -> String {
    let title = format!("{}: {}", report.scenario, if report.failures().is_empty() { "holds" } else { "fails" });
    framed(
        &title,
        &html! {
            (hero(report))
            div class="inner" {
                (figures(report))
                (faults(report))
                section class="card" {
                    h2 { "Who was served from where" }
                    (atlas::moved_through(report, atlas::worst_step(report)))
                    (atlas::moments(report))
                }
                @for section in over_time(report, &[Room::Wide, Room::Narrow], "") { (section) }
                (all_tables(report))
            }
        },
    )
}

/// A page with its frame.
pub(super) fn framed(title: &str, content: &Markup) -> String {
    let colors = (0..COLORS).map(|at| format!(".r{at}{{--c:var(--r{at})}}")).collect::<String>();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – anyfront simulate" }
                style { (PreEscaped(STYLE)) (PreEscaped(colors)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                main id="main" tabindex="-1" { (atlas::land()) (content) }
                footer { p class="inner quiet" { "Made by anyfront simulate. Times of day are UTC." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The verdict, and what was simulated.
fn hero(report: &Report) -> Markup {
    let failures = report.failures();
    let class = match (report.demands.is_empty(), failures.is_empty()) {
        (true, _) => "hero",
        (false, true) => "hero good",
        (false, false) => "hero failed",
    };
    html! {
        header class=(class) {
            div class="inner" {
                p class="kind" { "Simulation of " b { (report.scenario) } " with " b { (report.configuration) } }
                h1 { (headline(report)) }
                p class="served" { (served(report)) }
                @if !failures.is_empty() {
                    ul class="failures" { @for failure in &failures { li { (failure) } } }
                }
                p class="quiet" {
                    (span(report.lasts_s)) " from " (minute(&report.starts)) ", " (count(report.clients)) " clients, "
                    (report.regions.len()) " regions, " (report.nodes.len()) " nodes, seed " (report.seed)
                    @if let Some(run) = &report.run {
                        "; " (count(run.events)) " events in " (milliseconds(run.wall_ms)) ", " (count(run.times_real_time.round() as u64)) " times real time"
                    }
                    "."
                }
            }
        }
    }
}

/// The figures that matter most, each with its words: name, value, more.
#[must_use]
pub(super) fn key_figures(report: &Report) -> Vec<(&'static str, String, String)> {
    let total = &report.total;
    let dash = || tables::NOTHING.to_owned();
    let longest = |times: Vec<Option<f64>>| times.into_iter().flatten().reduce(f64::max).map(milliseconds);
    let faults = &report.faults;
    let noticed = longest(faults.iter().map(|fault| fault.detected.as_ref()?.last_ms).collect());
    let had_to = faults.iter().filter_map(|fault| fault.moved.as_ref()).filter(|moved| moved.has_to && moved.was_used);
    let moved = longest(had_to.map(|moved| moved.last_attempt_ms).collect());
    let back = longest(faults.iter().map(|fault| fault.returned.as_ref()?.full_ms).collect());
    let loads = report.regions.iter().filter_map(|region| Some((region.load_percent?, &region.name)));
    let load = loads.max_by(|a, b| a.0.total_cmp(&b.0));
    let worst = report.amplification.worst_10s.or(report.amplification.attempts_per_request);
    let mut figures = vec![
        (
            "Available",
            total.availability_percent.map_or_else(dash, percent),
            format!("{} of {} not served", count(total.failures()), count(total.wishes)),
        ),
        ("Added, 99 %", maybe_ms(total.added.p99_ms), format!("half: {}", maybe_ms(total.added.p50_ms))),
        (
            "Amplification",
            worst.map_or_else(dash, |worst| format!("{worst:.2}")),
            "attempts for a request, worst 10 s".to_owned(),
        ),
    ];
    if !faults.is_empty() {
        figures.push(("Noticed", noticed.unwrap_or_else(dash), "the last node, the slowest fault".to_owned()));
        figures.push(("Left", moved.unwrap_or_else(dash), "last attempt at what was broken".to_owned()));
        figures.push(("Back", back.unwrap_or_else(dash), "until the share was as before".to_owned()));
    }
    if let Some((load, name)) = load {
        figures.push(("Highest load", format!("{load:.0} %"), format!("of what {name} works on")));
    }
    figures.push(("Outside a fence", count(report.residency.outside), "requests".to_owned()));
    figures
}

fn figures(report: &Report) -> Markup {
    html! {
        ul class="figures" {
            @for (name, value, more) in key_figures(report) {
                li { span class="name" { (name) } b { (value) } span class="quiet" { (more) } }
            }
        }
    }
}

fn faults(report: &Report) -> Markup {
    html! {
        @if !report.faults.is_empty() {
            section class="card" { (table(&tables::faults(report))) }
        }
    }
}

/// The plots over time, for these rooms, each with what it is about and, if it is one of two, whose it is.
pub(super) fn over_time(report: &Report, rooms: &[Room], whose: &str) -> Vec<Markup> {
    let all = |plot: fn(&Report, Room) -> Markup| html! { @for room in rooms { (plot(report, *room)) } };
    let shaded = if report.faults.is_empty() { "" } else { " Shaded: faults, by their numbers." };
    let section = |title: &str, note: &str, plots: Markup| {
        html! {
            section class="card" {
                h2 { (title) @if !whose.is_empty() { " " span class="whose" { (whose) } } }
                p class="quiet" { (note) }
                (plots)
            }
        }
    };
    let traffic = format!("Wishes a minute by the region that served them, stacked from west to east.{shaded}");
    let errors = format!("Share of the wishes of a minute that were not served.{shaded}");
    let added = format!("Time to the first byte beyond the best possible, by minute of the wish; logarithmic.{shaded}");
    let loads = "Attempts under way at most, by minute; dashed: what the region works on at once.";
    vec![
        section("Traffic by region", &traffic, all(plots::traffic)),
        section("Not served", &errors, all(plots::errors)),
        section("Added latency", &added, all(plots::added)),
        section(
            "What nodes thought",
            "The stronger, the more nodes thought so.",
            html! { (keys()) (all(heat::standings)) },
        ),
        section("Load against capacity", loads, plots::loads(report)),
    ]
}

/// The colours of standings.
fn keys() -> Markup {
    html! {
        ul class="keys" {
            @for standing in ["up", "strained", "unknown", "ejected", "down"] {
                li { svg viewBox="0 0 12 12" aria-hidden="true" { rect class={"cell " (standing)} width="12" height="12" {} } (standing) }
            }
        }
    }
}

fn all_tables(report: &Report) -> Markup {
    let mut all = vec![
        tables::demands(report),
        tables::hostnames(report),
        tables::places(report),
        tables::regions(report),
        tables::amplification(report),
        tables::residency(report),
    ];
    all.extend(steering::table(report));
    all.extend([tables::dns(report), tables::nodes(report), tables::invariants(report)]);
    html! {
        @for one in all.iter().filter(|one| !one.rows.is_empty()) {
            section class="card" { (table(one)) }
        }
    }
}

/// A table that scrolls by itself where it is too wide.
pub(super) fn table(table: &Table) -> Markup {
    html! {
        h2 { (table.title) }
        @if !table.note.is_empty() { p class="quiet" { (table.note) } }
        div class="scroll" tabindex="0" role="region" aria-label=(table.title) {
            table {
                thead { tr {
                    @for (name, is_number) in &table.columns {
                        @if name.is_empty() { td {} } @else { th scope="col" class=[is_number.then_some("number")] { (name) } }
                    }
                } }
                tbody {
                    @for row in &table.rows {
                        tr class=[row.is_bad.then_some("bad")] {
                            @for (at, (cell, (_, is_number))) in row.cells.iter().zip(&table.columns).enumerate() {
                                @if at == 0 { th scope="row" { (cell) } } @else { td class=[is_number.then_some("number")] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
