//! What a person reads of a simulation in a terminal, in short.

use crate::sim::report::{Report, Service};
use std::fmt::Write;

/// The page of one report, or of two side by side.
pub(super) fn page(report: &Report, other: Option<&Report>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}, {} s from {}, seed {}", report.scenario, report.lasts_s, report.starts, report.seed);
    for report in std::iter::once(report).chain(other) {
        let _ = writeln!(text, "\n{}", super::called(report));
        for service in std::iter::once(&report.total).chain(&report.hostnames) {
            let _ = writeln!(text, "  {}", line(service));
        }
        for demand in &report.demands {
            let holds = if demand.holds { "holds" } else { "BROKEN" };
            let _ = writeln!(text, "  {holds:<7} {}: {}, found {}", demand.name, demand.wanted, demand.found);
        }
        if let Some(run) = &report.run {
            let _ = writeln!(text, "  {} events, {} times real time", run.events, run.times_real_time);
        }
    }
    text
}

fn line(service: &Service) -> String {
    let name = if service.hostname.is_empty() { "all hostnames" } else { &service.hostname };
    let share = service.availability_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
    let added = service.added.p99_ms.map_or_else(|| "-".to_owned(), |added| format!("{added} ms"));
    format!("{name:<32} {:>8} wishes  {share:>9} served  99th percentile of what was added: {added}", service.wishes)
}
