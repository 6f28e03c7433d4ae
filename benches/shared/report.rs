//! From measurements to a table: medians of paired rounds, and how far they can be trusted.

use super::measured::{Measured, Title};

/// A measurement during which others used more of a core is made again.
pub const OTHERS_SHARE_MAX: f64 = 0.2;

/// The table of a run of workloads with these titles.
pub fn render(measured: &[Measured], workloads: &[Title]) -> String {
    let mut doors: Vec<(bool, &str)> = measured.iter().map(|one| (!one.is_peer, one.door.as_str())).collect();
    doors.sort_unstable();
    doors.dedup();
    let doors: Vec<&str> = doors.into_iter().map(|(_, door)| door).collect();
    let mut text = String::from(
        "\nCost, median over the rounds (best); of anyfront also in the same round over the better peer's\n\n",
    );
    text +=
        &row("", doors.iter().map(|door| (*door).to_owned()), "anyfront over the better peer: median (least to most)");
    for workload in workloads {
        let of = |door: &str| -> Vec<&Measured> {
            measured.iter().filter(|one| one.door == door && one.workload == workload.name).collect()
        };
        if doors.iter().all(|door| of(door).is_empty()) {
            continue;
        }
        let title = format!("{} {}", workload.name, workload.unit);
        text += &row(&title, doors.iter().map(|door| cost(&of(door))), &ratios(measured, workload));
    }
    text += "\nHow it went\n\n";
    text += &row("", doors.iter().map(|door| (*door).to_owned()), "others at most");
    for workload in workloads {
        let all: Vec<&Measured> = measured.iter().filter(|one| one.workload == workload.name).collect();
        if all.is_empty() {
            continue;
        }
        let of = |door: &&str| -> String {
            let these: Vec<&Measured> = all.iter().copied().filter(|one| one.door == **door).collect();
            notes(&these, workload)
        };
        let others = all.iter().filter_map(|one| one.others_share).reduce(f64::max);
        text += &row(workload.name, doors.iter().map(of), &percent(others));
    }
    text += "\n";
    for workload in workloads.iter().filter(|workload| measured.iter().any(|one| one.workload == workload.name)) {
        text += &format!("{:<16} {}\n", workload.name, workload.what);
    }
    text += "Differences of less than a fifth are noise unless every round agrees on them. Per cent: share of its core \
             that\nthe server used, and of that in the kernel; +-: spread of its cost over the rounds.";
    if measured.iter().any(|one| one.p50_us.is_some()) {
        text += " Latency is from an event's\nstamp to its arrival.";
    }
    text += "\n";
    text
}

/// A share for people; a dash where it was not measured.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

fn row(title: &str, cells: impl Iterator<Item = String>, last: &str) -> String {
    let cells: String = cells.map(|cell| format!("{cell:<30}")).collect();
    format!("{title:<26}{cells}{last}\n")
}

fn cost(these: &[&Measured]) -> String {
    let costs: Vec<f64> = these.iter().map(|one| one.cost).collect();
    match median(&costs) {
        Some(middle) => {
            let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
            let places = if middle < 10.0 { 2 } else { 1 };
            format!("{middle:.places$} ({best:.places$})")
        }
        None => "-".to_owned(),
    }
}

fn notes(these: &[&Measured], workload: &Title) -> String {
    let of = |what: fn(&Measured) -> f64| median(&these.iter().map(|one| what(one)).collect::<Vec<_>>());
    let Some(core) = of(|one| one.core_share) else { return "-".to_owned() };
    if workload.is_memory() {
        return format!("{:.0} MiB", of(|one| one.resident_mib.unwrap_or(0.0)).unwrap_or(0.0));
    }
    let costs = || these.iter().map(|one| one.cost);
    let (least, most) = (costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
    let spread = (most - least) / 2.0 / median(&costs().collect::<Vec<_>>()).unwrap_or(1.0);
    let rate = of(|one| one.count / one.seconds).unwrap_or(0.0);
    let system = of(|one| one.system_share).unwrap_or(0.0);
    let mut text = format!("{rate:.0}/s {:.0}%/{:.0}% +-{:.0}%", core * 100.0, system * 100.0, spread * 100.0);
    if let Some(p50) = of(|one| one.p50_us.unwrap_or(0.0)).filter(|us| *us > 0.0) {
        text += &format!(" p50 {p50:.0}us");
    }
    text
}

/// What each build of anyfront costs over the peer that is the better one over all rounds, round by round.
fn ratios(measured: &[Measured], workload: &Title) -> String {
    let these: Vec<&Measured> = measured.iter().filter(|one| one.workload == workload.name).collect();
    let middle =
        |door: &str| median(&these.iter().filter(|one| one.door == door).map(|one| one.cost).collect::<Vec<_>>());
    let peers = these.iter().filter(|one| one.is_peer).map(|one| one.door.as_str());
    let Some(better) = peers.min_by(|a, b| middle(a).partial_cmp(&middle(b)).unwrap_or(std::cmp::Ordering::Equal))
    else {
        return String::new();
    };
    let mut ours: Vec<&str> = these.iter().filter(|one| !one.is_peer).map(|one| one.door.as_str()).collect();
    ours.sort_unstable();
    ours.dedup();
    let told = ours.iter().filter_map(|door| {
        let of = |door: &str, round: usize| these.iter().find(|one| one.door == door && one.round == round);
        let mut each: Vec<f64> = these
            .iter()
            .filter(|one| one.door == *door)
            .filter_map(|one| Some(one.cost / of(better, one.round)?.cost))
            .collect();
        each.sort_unstable_by(f64::total_cmp);
        let name = if ours.len() > 1 { format!("{door} ") } else { String::new() };
        let range = format!("({:.2} to {:.2})", each.first()?, each.last()?);
        Some(format!("{name}{:.2} of {better} {range}", median(&each)?))
    });
    told.collect::<Vec<_>>().join("; ")
}

/// The middle one, or the mean of the two in the middle; nothing of nothing.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    Some(if sorted.len().is_multiple_of(2) { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 } else { *upper })
}
