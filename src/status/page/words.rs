//! How things are said: times, durations, fractions and names, and what a stranger wrote made fit to be shown.

use crate::history::story::{HostnameReport, Incident, LEVELS, Level, Phase, RegionReport, Report, Subject};
use crate::moment::rfc3339;
use maud::{Markup, html};
use std::time::Duration;

/// Seconds in a day.
pub const DAY_S: u64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTHS_IN_FULL: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Everything in a report without what may not be shown anywhere: control characters, which XML cannot even carry, marks
/// that turn the text behind them around, and reasons that name an address.
#[must_use]
pub fn fit(report: &Report) -> Report {
    let mut fit = report.clone();
    for text in [&mut fit.fleet, &mut fit.vantage] {
        clean(text);
    }
    for region in &mut fit.regions {
        let RegionReport { name, provider, city, country, standing, reason, .. } = region;
        [name, provider, standing, reason].into_iter().chain(city).chain(country).for_each(clean);
        if is_internal(&region.reason) {
            region.reason.clear();
        }
    }
    for hostname in &mut fit.hostnames {
        let HostnameReport { name, serving, missing, fallbacks, sentence, .. } = hostname;
        [name, sentence].into_iter().chain(serving).for_each(clean);
        missing.iter_mut().for_each(|(name, why)| [name, why].into_iter().for_each(clean));
        fallbacks.iter_mut().for_each(|(name, _)| clean(name));
    }
    for incident in fit.incidents.iter_mut().chain(&mut fit.maintenance) {
        let Incident { id, title, subjects, updates, post_mortem, .. } = incident;
        let names = subjects.iter_mut().map(|subject| match subject {
            Subject::Region(name) | Subject::Hostname(name) => name,
        });
        names.chain(post_mortem).chain([id, title]).for_each(clean);
        updates.iter_mut().flat_map(|update| [&mut update.id, &mut update.text]).for_each(clean);
    }
    for flow in &mut fit.flows {
        [&mut flow.region].into_iter().chain(&mut flow.country).for_each(clean);
    }
    if let Some(trouble) = &mut fit.trouble {
        clean(&mut trouble.why);
    }
    fit
}

/// Takes out of `text` what [`fit`] says.
fn clean(text: &mut String) {
    let is_good = |c: char| (!c.is_control() || matches!(c, '\n' | '\t')) && !turns(c) && !is_no_character(c);
    if text.chars().all(is_good) {
        return;
    }
    *text = text
        .chars()
        .filter(|c| !turns(*c) && *c != '\r')
        .map(|c| if is_good(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect();
}

/// Marks that turn the direction of the text behind them (UAX 9): what follows would be shown in another order.
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What XML 1.0 §2.2 does not count among the characters.
fn is_no_character(c: char) -> bool {
    matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Whether a reason tells more of the inside than a stranger should read: an address, a path or a URL.
fn is_internal(reason: &str) -> bool {
    reason.split([' ', ',', ';', '(', ')']).any(|whole| {
        let word = whole.trim_matches(|c: char| !c.is_alphanumeric() && c != ':' && c != '[');
        word.contains("://")
            || whole.starts_with('/')
            || word.contains('@')
            || word.contains(".internal")
            || word.trim_start_matches('[').parse::<std::net::IpAddr>().is_ok()
            || word.parse::<std::net::SocketAddr>().is_ok()
    })
}

/// What a name is in a path and in an id: itself where it is plain, else made so. Two names never become one.
#[must_use]
pub fn slug(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.len() <= 128 && name.chars().all(is_plain) && !name.contains("..") {
        return name.to_owned();
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    digest.as_ref()[..10].iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A region's code as people write it.
#[must_use]
pub fn code(region: &str) -> String {
    region.to_uppercase()
}

/// A name that may be broken after its dots and nowhere else.
#[must_use]
pub fn breakable(text: &str) -> Markup {
    html! {
        @for (at, piece) in text.split('.').enumerate() {
            @if at > 0 { "." @if piece.split(' ').next().is_some_and(|label| label.len() > 3) { wbr; } }
            (piece)
        }
    }
}

/// Names in a row: "A, B and C".
#[must_use]
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A fraction as percents; never rounded up, so that 100 % is 100 %.
#[must_use]
pub fn percent(fraction: f64) -> String {
    let fraction = fraction.clamp(0.0, 1.0);
    if fraction >= 1.0 {
        return "100 %".to_owned();
    }
    let thousandths = (fraction * 100_000.0).floor() / 1_000.0;
    let text = if thousandths >= 99.0 { format!("{thousandths:.3}") } else { format!("{thousandths:.2}") };
    format!("{text} %")
}

/// Milliseconds.
#[must_use]
pub fn milliseconds(ms: f64) -> String {
    if !ms.is_finite() {
        return "–".to_owned();
    }
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// Requests a second, as coarse as a look at them.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if !rate.is_finite() || rate <= 0.0 => "0/s".to_owned(),
        rate if rate < 1.0 => "below 1/s".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate if rate < 10_000.0 => format!("{rate:.0}/s"),
        rate => format!("{:.0} 000/s", rate / 1_000.0),
    }
}

/// How long something lasted, in the two largest units.
#[must_use]
pub fn lasted(length: Duration) -> String {
    let s = length.as_secs();
    let two = |large: u64, of: &str, small: u64, than: &str| match small {
        0 => format!("{large} {of}"),
        small => format!("{large} {of} {small} {than}"),
    };
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..DAY_S => two(s / 3_600, "h", s % 3_600 / 60, "min"),
        _ => two(s / DAY_S, if s / DAY_S == 1 { "day" } else { "days" }, s % DAY_S / 3_600, "h"),
    }
}

/// A moment as machines read it: seconds suffice.
#[must_use]
pub fn machine(at: Duration) -> String {
    format!("{}Z", &rfc3339(at)[..19])
}

/// Year, month (1 to 12) and day of a moment, in UTC.
fn date(at: Duration) -> (u32, usize, u32) {
    let text = rfc3339(at);
    let part = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or_default();
    (part(0..4), part(5..7).clamp(1, 12) as usize, part(8..10))
}

/// "27 Nov 2026, 16:05".
#[must_use]
pub fn minute(at: Duration) -> String {
    let (year, month, day) = date(at);
    format!("{day} {} {year}, {}", MONTHS[month - 1], &rfc3339(at)[11..16])
}

/// "27 Nov 2026".
#[must_use]
pub fn day(days: u32) -> String {
    let (year, month, day) = date(Duration::from_secs(u64::from(days) * DAY_S));
    format!("{day} {} {year}", MONTHS[month - 1])
}

/// "2026-11", of a moment.
#[must_use]
pub fn month(at: Duration) -> String {
    rfc3339(at)[..7].to_owned()
}

/// "November 2026", of a moment.
#[must_use]
pub fn month_in_full(at: Duration) -> String {
    let (year, month, _) = date(at);
    format!("{} {year}", MONTHS_IN_FULL[month - 1])
}

/// A moment for people and machines: the script makes it local.
#[must_use]
pub fn time(at: Duration) -> Markup {
    html! { time datetime=(machine(at)) { (minute(at)) " UTC" } }
}

/// The same where only the time of the day matters, with its seconds.
#[must_use]
pub fn clock_time(at: Duration) -> Markup {
    html! { time datetime=(machine(at)) data-as="clock" { (&rfc3339(at)[11..19]) " UTC" } }
}

/// From when until when.
#[must_use]
pub fn span((from, until): (Duration, Duration)) -> Markup {
    html! { (time(from)) " – " (time(until)) " (" (lasted(until.saturating_sub(from))) ")" }
}

/// The state of everything, in a sentence and one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How it is.
    pub level: Level,
    /// In a few words.
    pub title: String,
    /// What else a customer should know.
    pub detail: String,
}

/// The sentence at the top.
#[must_use]
pub fn headline(report: &Report) -> Headline {
    let is_empty = report.hostnames.is_empty() && report.regions.is_empty();
    if report.is_suspect || is_empty {
        return Headline {
            level: Level::Unknown,
            title: if is_empty { "Nothing has been looked at yet" } else { "We cannot tell right now" }.to_owned(),
            detail: if is_empty {
                "The first look is under way.".to_owned()
            } else {
                "The place we look from seems to be cut off itself, so what it sees says little about the service."
                    .to_owned()
            },
        };
    }
    if let Some(title) = written(report) {
        return Headline { level: report.level, title, detail: regions_in_words(&report.regions) };
    }
    let of_hostnames = !report.hostnames.is_empty();
    let affected: Vec<&str> = if of_hostnames {
        let hostnames = report.hostnames.iter().filter(|hostname| hostname.level == report.level);
        hostnames.map(|hostname| hostname.name.as_str()).collect()
    } else {
        report.regions.iter().filter(|region| region.level == report.level).map(|region| region.name.as_str()).collect()
    };
    let whole = if of_hostnames { report.hostnames.len() } else { report.regions.len() };
    let kind = if of_hostnames { "hostnames" } else { "regions" };
    let who = match affected.as_slice() {
        [only] if of_hostnames => (*only).to_owned(),
        [only] => code(only),
        many if many.len() == whole => format!("All {kind}"),
        many => format!("{} of {whole} {kind}", many.len()),
    };
    let are = if affected.len() == 1 { "is" } else { "are" };
    let title = match report.level {
        Level::Operational => "All systems operational".to_owned(),
        Level::Maintenance => format!("{who} {are} under maintenance"),
        Level::Unknown => "We cannot tell yet".to_owned(),
        Level::Degraded => format!("{who} {are} degraded"),
        Level::Partial => {
            format!("{who} {are} served by {} only", if affected.len() == 1 { "its fallback" } else { "fallbacks" })
        }
        Level::Major => format!("{who} {are} not served"),
    };
    Headline { level: report.level, title, detail: regions_in_words(&report.regions) }
}

/// What operators write of an incident that is open, or of a maintenance in progress, where it says how everything is; and
/// that not everything is over, where it all works.
fn written(report: &Report) -> Option<String> {
    let open = report.incidents.iter().filter(|incident| !incident.phase.is_over());
    let under_way = report.maintenance.iter().filter(|window| window.phase == Phase::InProgress);
    let says = match report.level {
        Level::Operational => {
            return (open.count() > 0).then(|| "All systems work, and an incident is open".to_owned());
        }
        Level::Maintenance => under_way.map(|window| &window.title).next(),
        level => {
            let mut by_operator = open.filter(|incident| !incident.is_automatic && incident.impact.level() == level);
            by_operator.next().map(|incident| &incident.title)
        }
    };
    says.map(|title| format!("{}: {title}", report.level.words()))
}

/// How many regions do how: "13 of 14 regions operational; ORF has an outage".
fn regions_in_words(regions: &[RegionReport]) -> String {
    let good = regions.iter().filter(|region| region.level == Level::Operational).count();
    let mut words = match (good, regions.len()) {
        (_, 0) => return String::new(),
        (good, all) if good == all => format!("All {all} regions are operational."),
        (good, all) => format!("{good} of {all} regions are operational"),
    };
    if good == regions.len() {
        return words;
    }
    for level in LEVELS.iter().rev().filter(|level| **level != Level::Operational) {
        let such: Vec<String> =
            regions.iter().filter(|region| region.level == *level).map(|region| code(&region.name)).collect();
        let (are, have) = if such.len() == 1 { ("is", "has") } else { ("are", "have") };
        let such = if such.len() > 5 { format!("{} others", such.len()) } else { listed(&such) };
        if such.is_empty() {
            continue;
        }
        words += &match level {
            Level::Major => format!("; {such} {are} out of service"),
            Level::Partial => format!("; {such} {have} a partial outage"),
            Level::Degraded => format!("; {such} {are} degraded"),
            Level::Unknown => format!("; nothing is known of {such}"),
            Level::Maintenance | Level::Operational => format!("; {such} {are} under maintenance"),
        };
    }
    words + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_never_rounded_up() {
        let said = [1.0, 0.999_999, 0.999_5, 0.5, 0.0, -1.0].map(percent);
        assert_eq!(said, ["100 %", "99.999 %", "99.950 %", "50.00 %", "0.00 %", "0.00 %"]);
    }

    #[test]
    fn lengths_are_said_in_two_units() {
        let said = [5, 125, 3_600, 7_500, 86_400, 180_000].map(|s| lasted(Duration::from_secs(s)));
        assert_eq!(said, ["5 s", "2 min", "1 h", "2 h 5 min", "1 day", "2 days 2 h"]);
    }

    #[test]
    fn what_turns_or_controls_is_taken_out_and_lines_stay() {
        let mut text = "a\u{202e}b\u{7}c\r\nd\u{2068}e\u{ffff}".to_owned();
        clean(&mut text);
        assert_eq!(text, "ab\u{fffd}c\nde\u{fffd}");
    }

    #[test]
    fn reasons_that_name_addresses_are_not_shown() {
        for internal in
            ["refused by 10.0.0.1", "10.0.0.1:443 refused", "https://orf.x/health", "[fe80::1]:443", "see /etc/x"]
        {
            assert!(is_internal(internal), "{internal}");
        }
        for public in ["draining", "3 probes failed: timed out after 1500 ms", "HTTP 503", "slow: p95 2.1 s"] {
            assert!(!is_internal(public), "{public}");
        }
    }

    #[test]
    fn a_slug_is_safe_in_a_path_and_a_name_of_its_own() {
        assert_eq!(slug("us.gateway.example"), "us.gateway.example");
        for bad in ["../x", "a/b", "", ".hidden", "a..b", "ä", &"x".repeat(200)] {
            let slug = slug(bad);
            assert!(slug.len() == 20 && slug.chars().all(|c| c.is_ascii_hexdigit()), "{bad:?} {slug}");
        }
    }

    #[test]
    fn moments_are_read_by_people_and_machines() {
        let at = Duration::from_secs(1_795_795_522);
        assert_eq!(machine(at), "2026-11-27T16:05:22Z");
        assert_eq!((minute(at), day(20_784)), ("27 Nov 2026, 16:05".to_owned(), "27 Nov 2026".to_owned()));
        assert_eq!(month_in_full(at), "November 2026");
    }
}
