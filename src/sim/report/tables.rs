//! The tables of a report, for the terminal and the page alike: what is in them is decided once.

use super::demands::NOT_MEASURED;
use super::words::{clock, count, maybe_ms, milliseconds, percent, span};
use super::{OfFault, OfPlace, OfRegion, Report, Service};

/// Places that are shown at most, the worst ones.
const PLACES_MAX: usize = 12;
/// Ways of failovers that are shown at most, the most used ones.
const FAILOVERS_MAX: usize = 8;
/// What stands where there is nothing to say.
pub const NOTHING: &str = "–";

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What it is about.
    pub title: String,
    /// What one should know to read it; may be empty.
    pub note: String,
    /// What each column has, and whether it is a number.
    pub columns: Vec<(String, bool)>,
    /// The rows, as wide as the columns.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What is in it.
    pub cells: Vec<String>,
    /// Whether a reader has to look at it.
    pub is_bad: bool,
}

impl Table {
    /// An empty table. Columns whose name begins with `#` have numbers; that mark is not shown.
    #[must_use]
    pub fn new(title: &str, note: &str, columns: &[&str]) -> Self {
        let column = |name: &&str| (name.trim_start_matches('#').to_owned(), name.starts_with('#'));
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// One row more.
    pub fn row(&mut self, is_bad: bool, cells: Vec<String>) {
        self.rows.push(Row { cells, is_bad });
    }
}

/// What is demanded.
#[must_use]
pub fn demands(report: &Report) -> Table {
    let mut table = Table::new("Demands", "", &["Demand", "Wanted", "Found", "Holds", "Worst"]);
    for demand in &report.demands {
        let holds = match demand.holds {
            false => "no",
            true if demand.found == NOT_MEASURED => NOTHING,
            true => "yes",
        };
        let cells = [&demand.name, &demand.wanted, &demand.found, holds, &demand.worst];
        table.row(!demand.holds, cells.map(ToString::to_string).to_vec());
    }
    table
}

/// What must always hold.
#[must_use]
pub fn invariants(report: &Report) -> Table {
    let mut table = Table::new("Invariants", "", &["Invariant", "#Broken", "First"]);
    for invariant in &report.invariants {
        let first = invariant.first.clone().unwrap_or_else(|| NOTHING.to_owned());
        table.row(invariant.broken > 0, vec![invariant.name.clone(), count(invariant.broken), first]);
    }
    table
}

/// How hostnames were served.
#[must_use]
pub fn hostnames(report: &Report) -> Table {
    let note = "Added: time to the first byte beyond the best possible, of what was served.";
    let columns = ["Hostname", "#Wishes", "#Failed", "#Available", "#Added, mean", "#half", "#99 %", "#longest"];
    let mut table = Table::new("Availability and added latency", note, &columns);
    let row = |table: &mut Table, name: String, of: &Service| {
        let added = [of.added.mean_ms, of.added.p50_ms, of.added.p99_ms, of.added.longest_ms].map(maybe_ms);
        let available = of.availability_percent.map_or_else(|| NOTHING.to_owned(), percent);
        let mut cells = vec![name, count(of.wishes), count(of.failures()), available];
        cells.extend(added);
        table.row(of.failures() > 0, cells);
    };
    report.hostnames.iter().for_each(|of| row(&mut table, of.hostname.clone(), of));
    if report.hostnames.len() != 1 {
        row(&mut table, "all".to_owned(), &report.total);
    }
    table
}

/// How faults were met.
#[must_use]
pub fn faults(report: &Report) -> Table {
    let note = "Noticed: by the first, the middle and the last node. Left: after the last attempt there. \
                Back: first attempt, and nine tenths of the share before.";
    let columns = ["", "From", "For", "Fault", "#Noticed", "#Left", "#Back", "#Failed"];
    let mut table = Table::new("Faults", note, &columns);
    for fault in &report.faults {
        let lasted = fault.until_s.map_or_else(|| "to the end".to_owned(), |until| span(until - fault.from_s));
        let left = fault.moved.as_ref().map_or_else(
            || NOTHING.to_owned(),
            |moved| match moved.last_attempt_ms {
                _ if moved.has_to && !moved.has_left => "never".to_owned(),
                None if !moved.was_used => "unused".to_owned(),
                None => "at once".to_owned(),
                Some(_) if !moved.has_left => "stays".to_owned(),
                Some(ms) => milliseconds(ms),
            },
        );
        let has_trouble = fault.moved.as_ref().is_some_and(|moved| moved.has_to && !moved.has_left);
        table.row(
            has_trouble || fault.failed > 0,
            vec![
                fault.number.to_string(),
                clock(&report.starts, fault.from_s),
                lasted,
                fault.title.clone(),
                noticed(fault),
                left,
                back(fault),
                count(fault.failed),
            ],
        );
    }
    table
}

fn noticed(fault: &OfFault) -> String {
    let Some(detected) = &fault.detected else { return NOTHING.to_owned() };
    let times = [detected.first_ms, detected.median_ms, detected.last_ms].map(|ms| ms.map(milliseconds));
    let mut words = match times {
        [Some(first), Some(_), Some(last)] if first == last => first,
        [Some(first), Some(median), Some(last)] => format!("{first} / {median} / {last}"),
        _ if detected.could == 0 => "known before".to_owned(),
        _ => "by nobody".to_owned(),
    };
    if detected.did > 0 && detected.did < detected.could {
        words += &format!(" ({} of {})", detected.did, detected.could);
    }
    words
}

fn back(fault: &OfFault) -> String {
    let Some(returned) = &fault.returned else { return NOTHING.to_owned() };
    match (returned.first_ms, returned.full_ms) {
        (Some(first), Some(full)) => format!("{} / {}", milliseconds(first), milliseconds(full)),
        (Some(first), None) => format!("{} / never", milliseconds(first)),
        (None, _) if returned.share_before_percent > 0.0 => "never".to_owned(),
        (None, _) => "unused".to_owned(),
    }
}

/// What regions had to carry.
#[must_use]
pub fn regions(report: &Report) -> Table {
    let note = "Failed: attempts that did not end well, whoever was to blame; with those served, and those under way at \
                the end, they are all. Load: the most under way at once, against what the region works on at once.";
    let columns = ["Region", "Provider", "#Served", "#Share", "#Attempts", "#Failed", "#Most at once", "#Load", "At"];
    let mut table = Table::new("Regions", note, &columns);
    let mut regions: Vec<&OfRegion> = report.regions.iter().collect();
    regions.sort_by_key(|region| std::cmp::Reverse(region.served));
    for region in regions {
        let failed: u64 = region.failures.values().sum();
        let share = super::make::share(region.served, report.total.served);
        let load = region.load_percent;
        table.row(
            load.is_some_and(|load| load > 100.0),
            vec![
                region.name.clone(),
                region.provider.clone(),
                count(region.served),
                share.map_or_else(|| NOTHING.to_owned(), |share| format!("{share:.1} %")),
                count(region.attempts),
                count(failed),
                count(u64::from(region.in_flight_most)),
                load.map_or_else(|| NOTHING.to_owned(), |load| format!("{load:.0} %")),
                clock(&report.starts, region.in_flight_most_at_s as f64),
            ],
        );
    }
    table
}

/// Where clients had it worst.
#[must_use]
pub fn places(report: &Report) -> Table {
    let columns = ["Clients in", "#Wishes", "#Failed", "#Available", "#Added, half", "#99 %", "Worst at", "Served by"];
    let shown = report.places.len().min(PLACES_MAX);
    let note = format!("The {shown} worst of {}: most failed, then most asked.", report.places.len());
    let mut table = Table::new("Where clients are", if shown < report.places.len() { &note } else { "" }, &columns);
    for place in report.places.iter().take(PLACES_MAX) {
        let worst = place.worst.as_ref();
        table.row(
            place.failed > 0,
            vec![
                place.name.clone(),
                count(place.wishes),
                count(place.failed),
                place.availability_percent.map_or_else(|| NOTHING.to_owned(), percent),
                maybe_ms(place.added.p50_ms),
                maybe_ms(place.added.p99_ms),
                worst.map_or_else(|| NOTHING.to_owned(), |worst| clock(&report.starts, worst.at_s as f64)),
                served_by(place),
            ],
        );
    }
    table
}

fn served_by(place: &OfPlace) -> String {
    let all: u64 = place.served_by.iter().map(|by| by.wishes).sum();
    let part = |by: &super::ServedBy| super::make::share(by.wishes, all).unwrap_or_default();
    let main = place.served_by.iter().take(3).filter(|by| part(by) >= 1.0);
    let words: Vec<String> = main.map(|by| format!("{} {:.0} %", by.region, part(by))).collect();
    words.join(", ")
}

/// How much more regions had to do than clients wanted.
#[must_use]
pub fn amplification(report: &Report) -> Table {
    let of = &report.amplification;
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| NOTHING.to_owned(), |ratio| format!("{ratio:.3}"));
    let mut table = Table::new("Amplification", "", &["What", "#How much", "Which"]);
    let mut row = |what: &str, number: String, which: String| table.row(false, vec![what.to_owned(), number, which]);
    let retries = super::make::share(of.client_retries, of.requests_ended.values().sum()).unwrap_or_default();
    let open = if of.requests_open == 0 {
        String::new()
    } else {
        format!(", {} under way at the end", count(of.requests_open))
    };
    row("Clients’ wishes", count(of.wishes), String::new());
    row("Requests", count(of.requests), format!("{} for a wish{open}", ratio(of.requests_per_wish)));
    row("… by clients that tried again", count(of.client_retries), format!("{retries:.2} %"));
    row("Attempts at regions", count(of.attempts), format!("{} for a request", ratio(of.attempts_per_request)));
    row("… failed over", count(of.failed_over), failovers(report));
    let when = of.worst_10s_until_s.map_or_else(String::new, |until| {
        format!("attempts for a request, from {}", clock_with_seconds(report, until.saturating_sub(10)))
    });
    row("Worst 10 s", ratio(of.worst_10s), when);
    table
}

fn clock_with_seconds(report: &Report, seconds: u64) -> String {
    format!("{}:{:02}", clock(&report.starts, seconds as f64), seconds % 60)
}

fn failovers(report: &Report) -> String {
    let ways = report.failovers.iter().take(FAILOVERS_MAX);
    let ways: Vec<String> = ways.map(|way| format!("{}→{} {}", way.from, way.to, count(way.attempts))).collect();
    let more = report.failovers.len().saturating_sub(FAILOVERS_MAX);
    if more > 0 { format!("{}, and {more} other ways", ways.join(", ")) } else { ways.join(", ") }
}

/// Where requests were processed, of the hostnames that have a fence.
#[must_use]
pub fn residency(report: &Report) -> Table {
    let mut table = Table::new("Residency", "", &["Hostname", "Must stay in", "#Requests", "Processed in"]);
    let mut fenced: Vec<(&str, &str)> = Vec::new();
    for of in &report.residency.processed {
        if let Some(fence) = &of.fence
            && fenced.last() != Some(&(of.hostname.as_str(), fence.as_str()))
        {
            fenced.push((&of.hostname, fence));
        }
    }
    for (hostname, fence) in fenced {
        let of: Vec<_> = report.residency.processed.iter().filter(|of| of.hostname == hostname).collect();
        let words: Vec<String> = of
            .iter()
            .map(|of| format!("{} {}{}", of.country, count(of.requests), if of.is_outside { " (outside)" } else { "" }))
            .collect();
        let requests: u64 = of.iter().map(|of| of.requests).sum();
        let is_bad = of.iter().any(|of| of.is_outside);
        table.row(is_bad, vec![hostname.to_owned(), fence.to_owned(), count(requests), words.join(", ")]);
    }
    table.note = match (&report.residency.first_outside.first(), table.rows.is_empty()) {
        (_, true) => "No hostname has a fence.".to_owned(),
        (None, _) => "Nothing was processed outside.".to_owned(),
        (Some(first), _) => format!(
            "{} outside; the first at {} in {}, for a client in {}.",
            count(report.residency.outside),
            clock(&report.starts, first.at_s),
            first.region,
            first.client
        ),
    };
    table
}

/// What nodes did.
#[must_use]
pub fn nodes(report: &Report) -> Table {
    let columns = ["Node", "#Requests", "#Snapshots", "#Words obeyed", "#refused", "#Times gone"];
    let mut table = Table::new("Nodes", "Requests: those that reached it.", &columns);
    for node in &report.nodes {
        let counts = [node.requests, node.snapshots, node.obeyed, node.refused, node.stops].map(count);
        let mut cells = vec![node.site.clone()];
        cells.extend(counts);
        table.row(false, cells);
    }
    table
}

/// What DNS said.
#[must_use]
pub fn dns(report: &Report) -> Table {
    let mut table = Table::new("DNS", "", &["Hostname", "#Answers", "#Without address", "#TTL, mean"]);
    for of in &report.dns {
        let ttl = of.ttl_mean_s.map_or_else(|| NOTHING.to_owned(), span);
        table.row(of.empty > 0, vec![of.hostname.clone(), count(of.answers), count(of.empty), ttl]);
    }
    table
}
