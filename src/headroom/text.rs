//! Headroom for people, in tables that fit 80 columns.

use super::{Headroom, Loss, Receiver, RegionRoom, Row};
use std::fmt::Write;

/// Widest line.
const WIDTH: usize = 80;
/// Hostnames told of one receiver.
const HOSTNAMES_TOLD: usize = 3;

/// What would happen if any one region or provider went.
#[must_use]
pub fn page(headroom: &Headroom) -> String {
    let mut text = head(headroom);
    regions(&mut text, &headroom.regions);
    if headroom.losses.is_empty() {
        text.push_str("\n  nothing is carried yet, so nothing would have to go elsewhere\n");
        return text;
    }
    let _ = writeln!(
        text,
        "\n  {:<20} {:<14} {:>9} {:>9} {:>7}  {:>10}",
        "without", "goes to", "asked for", "limit", "use", "farther"
    );
    for loss in &headroom.losses {
        let mut name = loss.lost.join(" ");
        for receiver in &loss.receivers {
            let _ = writeln!(text, "  {:<20} {}", cut(&name, 20), take(receiver));
            name.clear();
        }
        if loss.receivers.is_empty() {
            let _ = writeln!(text, "  {:<20} nothing that is known would have to go elsewhere", cut(&name, 20));
        }
        remarks(&mut text, loss);
    }
    text.push_str(&verdict(headroom));
    text
}

/// What would happen without some regions, hostname by hostname.
#[must_use]
pub fn plan(headroom: &Headroom) -> String {
    let mut text = head(headroom);
    for loss in &headroom.losses {
        let _ = writeln!(
            text,
            "\n  without {}: {} requests a second, {} at once, must go elsewhere",
            list(&loss.lost, WIDTH / 2),
            number(loss.per_second),
            number(loss.in_flight)
        );
        if loss.receivers.is_empty() {
            remarks(&mut text, loss);
            continue;
        }
        matrix(&mut text, loss);
        let _ = writeln!(
            text,
            "\n  {:<16} {:>9} {:>9} {:>9} {:>9} {:>7}  {:>10}",
            "region", "at once", "asked for", "in end", "limit", "use", "farther"
        );
        for receiver in &loss.receivers {
            let Receiver { region, before, asked, after, .. } = receiver;
            let name = region.as_deref().unwrap_or("nobody");
            let (before, asked, after) = (number(*before), number(*asked), number(*after));
            let _ = writeln!(
                text,
                "{} {:<16} {before:>9} {asked:>9} {after:>9} {}",
                mark(receiver),
                cut(name, 16),
                limit(receiver)
            );
        }
        remarks(&mut text, loss);
    }
    text.push_str(&verdict(headroom));
    text
}

fn head(headroom: &Headroom) -> String {
    let Headroom { site, generation, .. } = headroom;
    let mut text = format!("headroom of {site}, generation {generation}\n");
    let based = match &headroom.assumed {
        Some(assumed) => format!("assumed: {assumed}"),
        None => format!(
            "measured: what this node alone carried in the last {:.0} s; at once means in a busy second, one of twenty",
            headroom.watched_s
        ),
    };
    for line in wrapped(&based, WIDTH - 2) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn regions(text: &mut String, regions: &[RegionRoom]) {
    let _ = writeln!(
        text,
        "\n  {:<16} {:<12} {:<9} {:>8} {:>8} {:>9} {:>7}",
        "region", "provider", "standing", "req/s", "at once", "limit", "use"
    );
    for one in regions {
        let RegionRoom { region, provider, standing, .. } = one;
        let (rate, busy) = (number(one.per_second), number(one.busy));
        let capacity = one.capacity.map_or_else(|| "none set".to_owned(), |capacity| capacity.to_string());
        let used = one.used.map_or_else(String::new, percent);
        let line = format!(
            "  {:<16} {:<12} {standing:<9} {rate:>8} {busy:>8} {capacity:>9} {used:>7}",
            cut(region, 16),
            cut(provider, 12)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn take(receiver: &Receiver) -> String {
    let name = receiver.region.as_deref().unwrap_or("nobody");
    let line = format!("{:<14} {:>9} {}", cut(name, 14), number(receiver.asked), limit(receiver));
    format!("{}{}", line, if receiver.over > 0.0 { "  !" } else { "" })
}

/// Limit, use and distance.
fn limit(receiver: &Receiver) -> String {
    if receiver.region.is_none() {
        return String::new();
    }
    let capacity = receiver.capacity.map_or_else(|| "none set".to_owned(), |capacity| capacity.to_string());
    let used = receiver.ratio.map_or_else(String::new, percent);
    format!("{capacity:>9} {used:>7}  {:>+7.0} km", receiver.added_km)
}

fn matrix(text: &mut String, loss: &Loss) {
    let mut last = None;
    for row in &loss.matrix {
        if last != Some(&row.hostname) {
            let _ = writeln!(text, "\n  {}", cut(&row.hostname, WIDTH - 4));
            let _ = writeln!(text, "    {:<16} {:>10}    {:>10} {:>12}    {:>10}", "", "req/s", "", "at once", "");
            last = Some(&row.hostname);
        }
        let Row { before_per_second, after_per_second, before, after, .. } = row;
        let name = row.region.as_deref().unwrap_or("nobody");
        let (rate, rate_after) = (number(*before_per_second), number(*after_per_second));
        let (held, held_after) = (number(*before), number(*after));
        let mark = if row.saturates { '!' } else { ' ' };
        let _ = writeln!(
            text,
            "  {mark} {:<16} {rate:>10} -> {rate_after:>10} {held:>12} -> {held_after:>10}",
            cut(name, 16)
        );
    }
}

fn remarks(text: &mut String, loss: &Loss) {
    for receiver in &loss.receivers {
        let hostnames = list(&receiver.hostnames, WIDTH - 8);
        if receiver.over > 0.0 {
            let region = receiver.region.as_deref().unwrap_or_default();
            let _ =
                writeln!(text, "    ! {region} would be asked for {} more than it may have, by", number(receiver.over));
            let _ = writeln!(
                text,
                "      {}",
                if hostnames.is_empty() { "what goes on from there".to_owned() } else { hostnames }
            );
        } else if receiver.region.is_none() {
            let _ = writeln!(text, "    nobody is left for {hostnames}");
        }
    }
    let is_told = |hostname: &String| {
        loss.receivers.iter().any(|receiver| receiver.region.is_none() && receiver.hostnames.contains(hostname))
    };
    let untold: Vec<String> = loss.nobody_left.iter().filter(|hostname| !is_told(hostname)).cloned().collect();
    if !untold.is_empty() {
        let _ = writeln!(text, "    nobody is left for {}, if anybody asks", list(&untold, WIDTH - 42));
    }
    if loss.unknown > 0.0 {
        let _ = writeln!(
            text,
            "    {} at once are of hostnames that are not known: they began too long ago",
            number(loss.unknown)
        );
    }
}

fn verdict(headroom: &Headroom) -> String {
    let losses = &headroom.losses;
    let over: Vec<String> = headroom.regions.iter().filter(|one| one.is_over()).map(|one| one.region.clone()).collect();
    let names = |is: fn(&Loss) -> bool| -> Vec<String> {
        losses.iter().filter(|loss| is(loss)).map(|loss| loss.lost.join(" and ")).collect()
    };
    let (saturated, failing) = (names(|loss| loss.saturates), names(|loss| loss.fails));
    let mut text = String::from("\n");
    if !over.is_empty() {
        let _ = writeln!(text, "  more than it may have already: {}", list(&over, WIDTH - 44));
    }
    if !saturated.is_empty() {
        let _ = writeln!(text, "  too much for those that are left without {}", list(&saturated, WIDTH - 44));
    }
    if !failing.is_empty() {
        let _ = writeln!(text, "  some requests would find nobody without {}", list(&failing, WIDTH - 44));
    }
    let taking = || losses.iter().flat_map(|loss| &loss.receivers).filter(|one| one.region.is_some());
    let (is_any_limited, is_any_unlimited) =
        (taking().any(|one| one.capacity.is_some()), taking().any(|one| one.capacity.is_none()));
    if !headroom.is_short() && is_any_limited {
        text.push_str("  there is room for everything, as far as limits are written\n");
    }
    if is_any_unlimited {
        text.push_str("  none set: no capacity is written, so nobody can say whether there is room\n");
    }
    text
}

fn mark(receiver: &Receiver) -> char {
    if receiver.over > 0.0 { '!' } else { ' ' }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// A count that need not be whole.
fn number(count: f64) -> String {
    if count == 0.0 || count >= 100.0 {
        format!("{count:.0}")
    } else if count < 0.05 {
        "<0.1".to_owned()
    } else {
        format!("{count:.1}")
    }
}

/// The first few of many within a width.
fn list(names: &[String], width: usize) -> String {
    let mut told = names.iter().take(HOSTNAMES_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > HOSTNAMES_TOLD {
        let _ = write!(told, " and {} more", names.len() - HOSTNAMES_TOLD);
    }
    cut(&told, width)
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 1).collect();
    format!("{kept}…")
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
