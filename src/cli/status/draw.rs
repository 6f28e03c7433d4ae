//! Draws the terminal view: a pure function of what is known into a buffer of any size.
//!
//! Columns that do not fit are left out, the least important first. Colours only repeat what words say.

use super::figures::{
    Column, age, column, fitting, fitting_at, milliseconds, number, rate, round_trip, shortened, sparkline,
};
use super::model::{Flow, Model};
use super::sites;
use super::view::{Panel, View};
use crate::moment::Moment;
use crate::status::view::{DecisionView, EndpointView, Overview, RegionView};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// Rows that the lower part gets before the table gets the rest.
const PANEL_ROWS_MIN: u16 = 6;

/// What one cell says and how it looks.
type Cell = (String, Style);

/// Draws everything that is known at `now` into `area`.
pub fn draw(model: &Model, view: &View, now: Moment, area: Rect, buffer: &mut Buffer) {
    let mut page = Canvas { buffer, area, y: area.y, is_colored: view.is_colored };
    let Some(node) = model.node() else {
        page.waiting(model, now);
        return;
    };
    page.header(model, node, view);
    page.banners(model, node, now);
    let footer = u16::from(!view.is_page);
    let left = page.left().saturating_sub(footer);
    let rows = region_rows(model, view);
    let panel_rows = if view.is_page { 0 } else { PANEL_ROWS_MIN.min(left / 2) };
    let table = left.saturating_sub(panel_rows).min(u16::try_from(rows.len() + 1).unwrap_or(u16::MAX));
    page.table(model, view, node, &rows, table);
    let until = page.area.bottom().saturating_sub(footer);
    match view.panel {
        Panel::Decisions => page.decisions(model, until),
        Panel::Details => page.details(model, view, node, until),
        Panel::Problem => page.problem(node, until),
        Panel::Help => page.help(until),
    }
    if !view.is_page {
        page.y = until;
        page.footer(view);
    }
}

/// A line of the table: a region or, below it, one of its endpoints.
enum Line<'a> {
    Region(&'a RegionView),
    Endpoint(&'a EndpointView, bool),
}

fn region_rows<'a>(model: &'a Model, view: &View) -> Vec<Line<'a>> {
    let mut rows = Vec::new();
    for region in view.sorted(model) {
        rows.push(Line::Region(region));
        let is_open = view.opened.contains(&region.name) || (view.is_page && is_mixed(region));
        if is_open {
            let last = region.endpoints.len().saturating_sub(1);
            rows.extend(region.endpoints.iter().enumerate().map(|(at, one)| Line::Endpoint(one, at == last)));
        }
    }
    rows
}

struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    y: u16,
    is_colored: bool,
}

impl Canvas<'_> {
    fn left(&self) -> u16 {
        self.area.bottom().saturating_sub(self.y)
    }

    fn style(&self, color: Color) -> Style {
        if self.is_colored { Style::new().fg(color) } else { Style::new() }
    }

    fn dim(&self) -> Style {
        if self.is_colored { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// Writes cells one after the other on the next line.
    fn line(&mut self, cells: &[Cell]) {
        if self.left() == 0 {
            return;
        }
        let mut x = self.area.x;
        for (text, style) in cells {
            let room = self.area.right().saturating_sub(x);
            (x, _) = self.buffer.set_stringn(x, self.y, text, usize::from(room), *style);
        }
        self.y += 1;
    }

    fn title(&mut self, text: &str) {
        let rule = "─".repeat(usize::from(self.area.width).saturating_sub(text.chars().count() + 3));
        let dim = self.dim();
        self.line(&[(" ".to_owned(), dim), (text.to_owned(), bold()), (format!(" {rule}"), dim)]);
    }

    fn waiting(&mut self, model: &Model, now: Moment) {
        match &model.gone {
            None => self.line(&[(format!(" asking {} ...", model.address), Style::new())]),
            Some((since, why)) => {
                let text = format!(" NO NODE for {} ", age(now.since(*since).as_secs_f64()));
                self.line(&[(text, self.banner(Color::Red)), (format!(" {why}"), Style::new())]);
                self.line(&[(" trying again; q quits".to_owned(), self.dim())]);
            }
        }
    }

    fn header(&mut self, model: &Model, node: &Overview, view: &View) {
        let paused = if view.is_paused { "  PAUSED (p goes on)" } else { "" };
        let name = format!(" anyfront {}", node.version);
        let about =
            format!("  {} at {}  up {}  generation {}", node.fleet, node.site, age(node.uptime_s), node.generation);
        self.line(&[(name, bold()), (about, Style::new()), (paused.to_owned(), self.banner(Color::Yellow))]);
        let bars = if self.area.width >= 100 { 24 } else { 6 };
        let trend = sparkline(&model.requests.trend, bars, None);
        let quiet = Style::new();
        let when = |is_bad: bool, color: Color| if is_bad { self.style(color).patch(bold()) } else { quiet };
        let cells = [
            (format!(" {} req/s ", rate(model.requests.per_second)), bold()),
            (trend, self.style(Color::Cyan)),
            (format!("  {} failovers/s", rate(model.failovers)), when(model.failovers > 0.0, Color::Yellow)),
            (format!("  {} unserved/s", rate(model.unserved)), when(model.unserved > 0.0, Color::Red)),
            (format!("  {} open", node.counters.open), quiet),
            (format!("  {} refused/s", rate(model.refusals)), quiet),
            (format!("  {} cut", node.counters.cut), quiet),
        ];
        let dns = node.zone.as_ref().map(|zone| {
            let is_late = zone.signatures_left_s.is_some_and(|left| left < 86_400.0);
            [
                (format!(" {} DNS/s ", rate(model.questions)), bold()),
                (format!("  {:.0}% NXDOMAIN", model.nowhere_percent), quiet),
                (format!("  {} limited/s", rate(model.limited)), when(model.limited > 0.0, Color::Yellow)),
                (format!("  {} names", zone.names), quiet),
                (if zone.signed { "  signed" } else { "  not signed" }.to_owned(), when(is_late, Color::Red)),
            ]
        });
        self.line(&cells);
        dns.iter().for_each(|cells| self.line(cells));
    }

    fn banner(&self, color: Color) -> Style {
        if self.is_colored {
            Style::new().fg(Color::Black).bg(color).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    fn banners(&mut self, model: &Model, node: &Overview, now: Moment) {
        if let Some((since, why)) = &model.gone {
            let text = format!(" NODE GONE for {} ", age(now.since(*since).as_secs_f64()));
            self.line(&[(text, self.banner(Color::Red)), (format!(" what follows is old; {why}"), Style::new())]);
        }
        if node.suspect {
            let text = " SUSPECTS ITSELF ".to_owned();
            let why = " nearly everything fails at once: probably this node's own network".to_owned();
            self.line(&[(text, self.banner(Color::Yellow)), (why, Style::new())]);
        }
        if let Some(said) = sites::said(&node.sites) {
            let is_well = node.sites.iter().all(|site| !site.is_judged() || site.standing == "up");
            let style = if is_well { self.dim() } else { self.style(Color::Yellow) };
            self.line(&[(format!(" {said}"), style)]);
        }
        if let Some(problem) = &node.problem {
            let text = format!(" CONFIG REFUSED {} ago ", age(problem.since_s));
            let first = problem.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let more = format!(" the old one stays (c shows all): {first}");
            self.line(&[(text, self.banner(Color::Red)), (more, Style::new())]);
        }
    }

    fn table(&mut self, model: &Model, view: &View, node: &Overview, rows: &[Line<'_>], height: u16) {
        let most = |lengths: &mut dyn Iterator<Item = usize>, least: usize, most: usize| {
            u16::try_from(lengths.max().unwrap_or(0).clamp(least, most)).unwrap_or(16)
        };
        let name = most(&mut node.regions.iter().map(|region| region.name.chars().count()), 6, 20);
        let provider = most(&mut node.regions.iter().map(|region| region.provider.chars().count()), 8, 12);
        let place = most(&mut node.regions.iter().map(|region| place_of(region).chars().count()), 5, 20);
        let columns = [
            column("region", name, 0),
            column("provider", provider, 4),
            column("place", place, 6),
            column("standing", 10, 0),
            number("since", 5, 2),
            number("share", 5, 7),
            number("probe", 6, 3),
            number("active", 6, 5),
            number("req/s", 7, 0),
            column("trend", 10, 8),
            column("because", 22, 0),
        ];
        let shown = fitting(&columns, self.area.width.saturating_sub(1));
        self.heads(&columns, &shown);
        let room = usize::from(height.saturating_sub(1));
        let selected = selected_row(view, rows);
        let first = if selected >= room { selected + 1 - room } else { 0 };
        let scale = model.regions.values().flat_map(|flow| flow.trend.iter().copied()).fold(0.0, f64::max);
        for (at, row) in rows.iter().enumerate().skip(first).take(room) {
            let cells = match row {
                Line::Region(region) => self.region_cells(region, model.regions.get(&region.name), scale),
                Line::Endpoint(endpoint, is_last) => self.endpoint_cells(endpoint, *is_last),
            };
            let is_selected = at == selected && !view.is_page;
            self.cells(&columns, &shown, &cells, is_selected);
        }
        if rows.len() > first + room && !view.is_page && room > 0 {
            let text = format!(" {} more below ", rows.len() - first - room);
            let width = u16::try_from(text.chars().count()).unwrap_or(0);
            let x = self.area.right().saturating_sub(width);
            self.buffer.set_stringn(x, self.y.saturating_sub(1), text, usize::from(width), self.banner(Color::Gray));
        }
    }

    fn region_cells(&self, region: &RegionView, flow: Option<&Flow>, scale: f64) -> Vec<Cell> {
        let plain = Style::new();
        let (standing, style) = self.standing(&region.standing, region.drained.as_deref());
        let full = region.capacity.is_some_and(|capacity| region.in_flight >= capacity);
        let trend = flow.map(|flow| sparkline(&flow.trend, 10, Some(scale))).unwrap_or_default();
        vec![
            (region.name.clone(), bold()),
            (region.provider.clone(), plain),
            (place_of(region), plain),
            (standing, style),
            (age(region.since_s), plain),
            (
                format!("{}%", region.share_percent),
                if region.share_percent < 100 { self.style(Color::Yellow) } else { plain },
            ),
            (round_trip(region.round_trip_ms), plain),
            (region.in_flight.to_string(), if full { self.style(Color::Red) } else { plain }),
            (rate(flow.map_or(0.0, |flow| flow.per_second)), bold()),
            (trend, self.style(Color::Cyan)),
            (
                because(&region.reason_text, &region.standing, region.share_percent, region.drained.as_deref()),
                self.dim_if_well(&region.standing),
            ),
        ]
    }

    fn endpoint_cells(&self, endpoint: &EndpointView, is_last: bool) -> Vec<Cell> {
        let plain = Style::new();
        let (standing, style) = self.standing(&endpoint.standing, endpoint.drained.as_deref());
        let name = endpoint.name.split_once('/').map_or(&*endpoint.name, |(_, what)| what);
        let branch = if is_last { "└" } else { "├" };
        let because =
            because(&endpoint.reason_text, &endpoint.standing, endpoint.share_percent, endpoint.drained.as_deref());
        vec![
            (format!(" {branch} {name}"), self.dim()),
            (String::new(), plain),
            (String::new(), plain),
            (standing, style),
            (age(endpoint.since_s), plain),
            (format!("{}%", endpoint.share_percent), plain),
            (round_trip(endpoint.round_trip_ms), plain),
            (endpoint.in_flight.to_string(), plain),
            (String::new(), plain),
            (String::new(), plain),
            (because, self.dim_if_well(&endpoint.standing)),
        ]
    }

    fn dim_if_well(&self, standing: &str) -> Style {
        if standing == "up" { self.dim() } else { Style::new() }
    }

    fn standing(&self, standing: &str, drained: Option<&str>) -> Cell {
        if let Some(how) = drained {
            let text = if how == "hard" { "= DRAINED" } else { "= drained" };
            return (text.to_owned(), self.style(Color::Blue).patch(bold()));
        }
        let (mark, color) = match standing {
            "up" => ('●', Color::Green),
            "strained" => ('◐', Color::Yellow),
            "unknown" => ('?', Color::Gray),
            "ejected" => ('◌', Color::Magenta),
            _ => ('○', Color::Red),
        };
        let style = self.style(color);
        (format!("{mark} {standing}"), if standing == "up" { style } else { style.patch(bold()) })
    }

    fn heads(&mut self, columns: &[Column], shown: &[(usize, u16)]) {
        let heads =
            columns.iter().map(|column| (column.head.to_owned(), self.dim().add_modifier(Modifier::UNDERLINED)));
        let heads: Vec<Cell> = heads.collect();
        self.cells(columns, shown, &heads, false);
    }

    /// Writes the cells of the shown columns on the next line.
    fn cells(&mut self, columns: &[Column], shown: &[(usize, u16)], cells: &[Cell], is_selected: bool) {
        if self.left() == 0 {
            return;
        }
        if is_selected {
            let row = Rect { y: self.y, height: 1, ..self.area };
            self.buffer.set_style(row, Style::new().add_modifier(Modifier::REVERSED));
            self.buffer.set_stringn(self.area.x, self.y, ">", 1, Style::new());
        }
        let mut x = self.area.x + 1;
        for (place, (at, width)) in shown.iter().enumerate() {
            let (text, style) = &cells[*at];
            // A text may run over empty cells beside it.
            let empty = shown[place + 1..].iter().take_while(|(at, _)| cells[*at].0.is_empty());
            let room = width + empty.map(|(_, width)| width + 1).sum::<u16>();
            let length = u16::try_from(text.chars().count()).unwrap_or(u16::MAX).min(*width);
            let start = if columns[*at].is_number { x + width - length } else { x };
            let cut = shortened(text, usize::from(room));
            self.buffer.set_stringn(start, self.y, cut, usize::from(room), *style);
            x += width + 1;
        }
        self.y += 1;
    }

    fn decisions(&mut self, model: &Model, until: u16) {
        let decisions = model.sample.as_ref().map(|sample| &*sample.decisions).unwrap_or_default();
        if self.y + 1 >= until {
            return;
        }
        self.title("last requests");
        if decisions.is_empty() {
            self.line(&[(" none yet".to_owned(), self.dim())]);
            return;
        }
        let path = decisions.iter().map(|one| path_of(one).chars().count()).max().unwrap_or(0).clamp(6, 19);
        let columns = [
            number("age", 5, 0),
            column("client", 18, 3),
            column("from", 18, 4),
            column("hostname", 18, 0),
            column("method", 7, 2),
            column("region", u16::try_from(path).unwrap_or(19), 0),
            number("status", 6, 0),
            number("took", 7, 1),
        ];
        let shown = fitting_at(&columns, self.area.width.saturating_sub(1), 3);
        if self.y + 1 < until {
            self.heads(&columns, &shown);
        }
        for decision in decisions {
            if self.y >= until {
                return;
            }
            let cells = self.decision_cells(decision);
            self.cells(&columns, &shown, &cells, false);
        }
    }

    fn decision_cells(&self, decision: &DecisionView) -> Vec<Cell> {
        let plain = Style::new();
        let status = match decision.status {
            500.. => self.style(Color::Red).patch(bold()),
            400.. => self.style(Color::Yellow),
            _ => plain,
        };
        let moved = if decision.tried.is_empty() { plain } else { self.style(Color::Yellow).patch(bold()) };
        vec![
            (age(decision.age_ms / 1_000.0), self.dim()),
            (decision.client.clone(), plain),
            (decision.place.clone(), plain),
            (decision.hostname.clone(), plain),
            (decision.method.clone(), plain),
            (path_of(decision), moved),
            (decision.status.to_string(), status),
            (milliseconds(decision.elapsed_ms), plain),
        ]
    }

    fn details(&mut self, model: &Model, view: &View, node: &Overview, until: u16) {
        let regions = view.sorted(model);
        let Some(region) = regions.get(view.selected_at(&regions)) else { return };
        self.title(&format!("{} ({})", region.name, region.provider));
        let mut rows = vec![
            ("standing", format!("{} for {}: {}", region.standing, age(region.since_s), region.reason_text)),
            ("traffic", format!("{} answered, {} failed, {} now", region.requests, region.failures, region.in_flight)),
        ];
        for drain in node.drains.iter().filter(|drain| concerns(&drain.target, region)) {
            let until = drain.until.as_ref().map_or("until it is lifted".to_owned(), |until| format!("until {until}"));
            rows.push(("drain", format!("{} by {}, {until}: {}", drain.target, drain.who, drain.reason)));
        }
        let serves = node.hostnames.iter().filter(|hostname| !hostname.regional).filter_map(|hostname| {
            let level = hostname.levels.iter().position(|level| level.contains(&region.name))?;
            Some(if level == 0 { hostname.name.clone() } else { format!("{} (fallback {level})", hostname.name) })
        });
        rows.push(("serves", serves.collect::<Vec<_>>().join(", ")));
        for endpoint in &region.endpoints {
            let addresses =
                if endpoint.addresses.is_empty() { "no address".to_owned() } else { endpoint.addresses.join(", ") };
            rows.push((
                "endpoint",
                format!("{} {} at {addresses}: {}", endpoint.name, endpoint.standing, endpoint.reason_text),
            ));
        }
        for (what, text) in rows {
            if self.y < until {
                self.line(&[(format!(" {what:<9}"), self.dim()), (text, Style::new())]);
            }
        }
    }

    fn problem(&mut self, node: &Overview, until: u16) {
        self.title("configuration");
        let text = node.problem.as_ref().map_or(" the newest one is in force", |problem| &problem.text);
        for line in text.lines() {
            if self.y < until {
                self.line(&[(line.to_owned(), Style::new())]);
            }
        }
    }

    fn help(&mut self, until: u16) {
        self.title("keys");
        for (key, what) in [
            ("↑ ↓ or j k", "select a region"),
            ("Enter or e", "show or hide its endpoints"),
            ("d", "everything about it, instead of the last requests"),
            ("s", "sort: as written, worst, busiest, nearest first"),
            ("c", "what is wrong with a refused configuration"),
            ("p", "pause, and go on"),
            ("q", "quit"),
        ] {
            if self.y < until {
                self.line(&[(format!(" {key:<12}"), bold()), (what.to_owned(), Style::new())]);
            }
        }
    }

    fn footer(&mut self, view: &View) {
        let sort = format!("s sort: {}", view.sort.text());
        let keys = ["q quit", "↑↓ select", "e endpoints", "d details", &*sort, "p pause", "? help"].join("  ");
        self.line(&[(format!(" {keys}"), self.dim())]);
    }
}

fn selected_row(view: &View, rows: &[Line<'_>]) -> usize {
    let is_selected =
        |row: &Line<'_>| matches!(row, Line::Region(region) if Some(&region.name) == view.selected.as_ref());
    rows.iter().position(is_selected).unwrap_or(0)
}

fn concerns(target: &str, region: &RegionView) -> bool {
    match target.split_once(':') {
        Some(("region", name)) => name == region.name,
        Some(("provider", name)) => name == region.provider,
        Some(("endpoint", name)) => region.endpoints.iter().any(|endpoint| endpoint.name == name),
        _ => false,
    }
}

fn place_of(region: &RegionView) -> String {
    match (&region.city, &region.country) {
        (Some(city), Some(country)) => format!("{city}, {country}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => format!("{:.1}, {:.1}", region.latitude, region.longitude),
    }
}

fn because(reason: &str, standing: &str, share_percent: u8, drained: Option<&str>) -> String {
    match drained {
        Some("hard") => format!("by an operator, everywhere; else {standing}: {reason}"),
        Some(_) => format!("by an operator; else {standing}: {reason}"),
        None if share_percent < 100 && standing == "up" => format!("{reason}: {share_percent}%"),
        None => reason.to_owned(),
    }
}

/// Whether a region's endpoints do not stand as it does, so that they have something to say of their own.
fn is_mixed(region: &RegionView) -> bool {
    region.endpoints.iter().any(|one| (&one.standing, &one.drained) != (&region.standing, &region.drained))
}

/// The way a request took: the regions that failed, then the one that answered. `orf×2`: two endpoints there failed.
fn path_of(decision: &DecisionView) -> String {
    let mut path = String::new();
    for tries in decision.tried.chunk_by(|a, b| a == b) {
        path.push_str(&tries[0]);
        if tries.len() > 1 {
            path.push_str(&format!("×{}", tries.len()));
        }
        path.push('→');
    }
    path + decision.region.as_deref().unwrap_or("nobody")
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
