//! Two configurations and one story: what differs, side by side.

use crate::sim::report::{Report, Service};
use std::fmt::Write;

/// One figure of a report, in words.
type Figure = (String, fn(&Service) -> String);

/// The figures of both, hostname by hostname; those that only one of them has are a dash at the other.
pub(super) fn table(one: &Report, other: &Report) -> String {
    let figures: [Figure; 3] = [
        ("served".to_owned(), |service| told(service.availability_percent, "%")),
        ("added, 99th percentile".to_owned(), |service| told(service.added.p99_ms, "ms")),
        ("added, mean".to_owned(), |service| told(service.added.mean_ms, "ms")),
    ];
    let mut rows = vec![[String::new(), String::new(), one.configuration.clone(), other.configuration.clone()]];
    let mut names: Vec<&str> = one.hostnames.iter().map(|service| &*service.hostname).collect();
    names.extend(
        other
            .hostnames
            .iter()
            .map(|service| &*service.hostname)
            .filter(|name| !names.contains(name))
            .collect::<Vec<_>>(),
    );
    for name in std::iter::once("").chain(names) {
        for (at, (figure, say)) in figures.iter().enumerate() {
            let of = |report: &Report| service(report, name).map_or_else(|| "-".to_owned(), say);
            let shown = if name.is_empty() { "all hostnames" } else { name };
            let shown = if at == 0 { shown } else { "" };
            rows.push([shown.to_owned(), figure.clone(), of(one), of(other)]);
        }
    }
    for demand in &one.demands {
        let theirs = other.demands.iter().find(|theirs| theirs.name == demand.name);
        let holds = |holds: bool, found: &str| format!("{}: {found}", if holds { "holds" } else { "broken" });
        let theirs = theirs.map_or_else(|| "-".to_owned(), |theirs| holds(theirs.holds, &theirs.found));
        rows.push([demand.name.clone(), demand.wanted.clone(), holds(demand.holds, &demand.found), theirs]);
    }
    let mut text = "Side by side\n".to_owned();
    let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second, third) = (wide(0), wide(1), wide(2));
    for [name, figure, one, other] in &rows {
        let line = format!("  {name:<first$}  {figure:<second$}  {one:<third$}  {other}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn service<'a>(report: &'a Report, name: &str) -> Option<&'a Service> {
    if name.is_empty() {
        return Some(&report.total);
    }
    report.hostnames.iter().find(|service| service.hostname == name)
}

fn told(number: Option<f64>, unit: &str) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_of_them_has_is_a_dash_at_the_other() {
        let report = |name: &str, hostname: &str, percent| Report {
            configuration: name.to_owned(),
            hostnames: vec![Service {
                hostname: hostname.to_owned(),
                availability_percent: Some(percent),
                ..Service::default()
            }],
            ..Report::default()
        };
        let text = table(&report("old.toml", "a.example", 99.5), &report("new.toml", "b.example", 98.25));
        let row = |name: &str| {
            let line =
                text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{text}"));
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("a.example"), ["a.example", "served", "99.5", "%", "-"]);
        assert_eq!(row("b.example"), ["b.example", "served", "-", "98.25", "%"]);
        assert!(text.lines().nth(1).is_some_and(|head| head.ends_with("old.toml  new.toml")), "{text}");
    }
}
