//! Proves a configuration and prints its meaning.

mod dns;
mod page;

use super::plan;
use crate::geo::place::{Coordinates, Country, Place};
use crate::moment::Clock;
use crate::snapshot::Snapshot;
use crate::status::view::{HostnameView, steering_word};
use crate::steering::{Client, PlacedBy, Query, steer};
use crate::topology::check::check_at;
use crate::topology::mistake::Mistakes;
use crate::topology::{Route, RouteIndex, Steering, file};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the clients stand for whom the meaning is printed.
const CITIES: [(&str, &str, f64, f64); 12] = [
    ("London", "GB", 51.51, -0.13),
    ("Frankfurt", "DE", 50.11, 8.68),
    ("New York", "US", 40.71, -74.01),
    ("San Francisco", "US", 37.77, -122.42),
    ("Toronto", "CA", 43.65, -79.38),
    ("São Paulo", "BR", -23.55, -46.63),
    ("Johannesburg", "ZA", -26.20, 28.05),
    ("Dubai", "AE", 25.20, 55.27),
    ("Mumbai", "IN", 19.08, 72.88),
    ("Singapore", "SG", 1.35, 103.82),
    ("Tokyo", "JP", 35.68, 139.69),
    ("Sydney", "AU", -33.87, 151.21),
];

const EXAMPLES: &str = "\
Examples:
  anyfront check regions.toml
  anyfront check regions.toml --json | jq '.mistakes'
  git show HEAD:regions.toml | anyfront check -
  anyfront check --schema > regions.schema.json

The exit code is 0 if the file is right (warnings do not count), 1 if it is not.";

/// Prove a configuration and print what it means
///
/// Every mistake is told at once, each drawn at its line with what would be right. If there is none, warnings are drawn
/// (things that can never do what was hoped), and then the meaning: the regions, and for each hostname who serves it, in
/// which order, from a few well-known cities. The answers come from the same code that steers requests, with every
/// region taken to be up.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Seen from this site; without it from the first one
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Print mistakes, warnings and meaning as JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of the configuration, with which editors complete and explain its keys
    #[arg(long, conflicts_with_all = ["file", "json", "site"])]
    schema: bool,
    /// Draw without colours (so does NO_COLOR in the environment)
    #[arg(long)]
    no_color: bool,
}

/// Does it.
///
/// # Errors
/// If the file cannot be read. Mistakes in it are no error of this function: they are its result.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some(path) = args.file.filter(|_| !args.schema) else {
        plan::print(&format!("{:#}\n", file::schema()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let source = plan::read(&path)?;
    let shown = if path == Path::new("-") { Path::new("standard input") } else { &path };
    let is_drawn_in_color = !args.no_color
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match check_at(&source, shown, Some(Clock::start().wall())) {
        Err(mistakes) if args.json => {
            plan::print(&format!("{:#}\n", json!({ "ok": false, "mistakes": mistakes })))?;
            Ok(ExitCode::FAILURE)
        }
        Err(mistakes) => {
            eprint!("{}", mistakes.render(is_drawn_in_color));
            eprintln!("{}: {}; a node would keep what it has", shown.display(), counted(&mistakes, "mistake"));
            Ok(ExitCode::FAILURE)
        }
        Ok(checked) => {
            let site = args.site.clone().unwrap_or_else(|| checked.topology.sites[0].name.to_string());
            let snapshot = plan::assume(checked.topology, Some(&site), &[])?;
            if args.json {
                plan::print(&format!("{:#}\n", meaning_json(&snapshot, &checked.warnings)))?;
            } else {
                eprint!("{}", checked.warnings.render(is_drawn_in_color));
                let page = Page { width: plan::columns(), is_colored: plan::may_color() && !args.no_color };
                plan::print(&page.meaning(&snapshot, shown, &checked.warnings))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn counted(mistakes: &Mistakes, what: &str) -> String {
    match mistakes.len() {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// Who serves a route for a client in each city, best first.
fn from_cities(snapshot: &Snapshot, route: RouteIndex) -> Vec<(&'static str, Vec<String>)> {
    let order = |(city, country, latitude, longitude): (&'static str, &str, f64, f64)| {
        let at = Coordinates::new(latitude, longitude).expect("the cities are on earth");
        let place = Place { at, country: Country::parse(country), city: Some(city.into()) };
        let client = Client::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED), place, PlacedBy::Override);
        let decision = steer(snapshot, &Query::first(route, &client));
        let names =
            decision.candidates.iter().map(|candidate| snapshot.topology.region(candidate.region).name.to_string());
        (city, names.collect())
    };
    CITIES.into_iter().map(order).collect()
}

fn meaning_json(snapshot: &Snapshot, warnings: &Mistakes) -> Value {
    let topology = &snapshot.topology;
    let regions = topology.regions.iter().map(|region| {
        let endpoints = region.endpoints.iter().map(|at| &topology.endpoint(*at).name);
        json!({
            "name": region.name,
            "provider": topology.providers[region.provider.at()],
            "city": region.place.city,
            "country": region.place.country,
            "latitude": region.place.at.latitude(),
            "longitude": region.place.at.longitude(),
            "capacity": region.capacity,
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    });
    let hostnames = topology.routes.iter().enumerate().map(|(at, route)| {
        let mut told = serde_json::to_value(HostnameView::of(snapshot, route)).expect("plain JSON");
        if !route.is_regional && route.steering != Steering::Weighted {
            let cities = from_cities(snapshot, RouteIndex::of(at));
            let from = cities.into_iter().map(|(city, order)| json!({ "city": city, "order": order }));
            told["from"] = from.collect();
        }
        if topology.dns.is_some() && route.hostname.is_within(&topology.zone) {
            told["answer"] = json!(route.answer);
            told["ttl"] = dns::ttl_json(route.ttl);
        }
        told
    });
    json!({
        "ok": true,
        "fleet": topology.fleet,
        "zone": topology.zone,
        "digest": topology.digest,
        "site": snapshot.here.name,
        "sites": topology.sites.iter().map(|site| &site.name).collect::<Vec<_>>(),
        "regions": regions.collect::<Vec<_>>(),
        "hostnames": hostnames.collect::<Vec<_>>(),
        "dns": dns::zone_json(topology),
        "acme": dns::acme_json(topology),
        "status": page::json(topology),
        "warnings": warnings,
    })
}

/// How the meaning is laid out.
struct Page {
    width: usize,
    is_colored: bool,
}

impl Page {
    fn meaning(&self, snapshot: &Snapshot, path: &Path, warnings: &Mistakes) -> String {
        let topology = &snapshot.topology;
        let written = topology.routes.iter().filter(|route| !route.is_regional).count();
        let right = self.bold(&format!("{} is right", path.display()));
        let mut text = format!("{right}, with {}.\n", counted(warnings, "warning"));
        let summary = format!(
            "The fleet {} has {} site{}, {} provider{}, {} region{}, {} endpoint{}, {} hostname{}.",
            topology.fleet,
            topology.sites.len(),
            plural(topology.sites.len()),
            topology.providers.len(),
            plural(topology.providers.len()),
            topology.regions.len(),
            plural(topology.regions.len()),
            topology.endpoints.len(),
            plural(topology.endpoints.len()),
            written,
            plural(written),
        );
        self.wrap(&mut text, 0, 0, &summary);
        self.regions(&mut text, snapshot);
        let _ = writeln!(text, "\n{}", self.bold("Hostnames"));
        if topology.sites.len() > 1 {
            let _ = writeln!(text, "  as seen from the site {} (--site NAME for another)", snapshot.here.name);
        }
        for (at, route) in topology.routes.iter().enumerate().filter(|(_, route)| !route.is_regional) {
            self.hostname(&mut text, snapshot, RouteIndex::of(at), route);
        }
        let own = format!(
            "is every region by itself, for testing it ({}.{} and so on): it never fails over.",
            topology.regions[0].name, topology.zone
        );
        let zone = format!("CODE.{}", topology.zone);
        let _ = write!(text, "\n  {} ", self.bold(&zone));
        self.wrap(&mut text, zone.chars().count() + 3, 4, &own);
        self.rows(&mut text, "DNS", dns::rows(topology));
        self.rows(&mut text, "Status page", page::rows(topology));
        text
    }

    fn rows(&self, text: &mut String, heading: &str, rows: Vec<(&'static str, String)>) {
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{}", self.bold(heading));
        }
        for (label, words) in rows {
            let _ = write!(text, "  {label:<14}");
            self.wrap(text, 16, 16, &words);
        }
    }

    fn regions(&self, text: &mut String, snapshot: &Snapshot) {
        let topology = &snapshot.topology;
        let widest = |names: &mut dyn Iterator<Item = String>, least: usize| {
            names.map(|name| name.chars().count()).max().unwrap_or(0).max(least)
        };
        let code = widest(&mut topology.regions.iter().map(|region| region.name.to_string()), 4);
        let provider = widest(&mut topology.providers.iter().map(ToString::to_string), 8);
        let place = widest(&mut topology.regions.iter().map(|region| region.place.to_string()), 5).min(28);
        let _ = writeln!(text, "\n{}", self.bold("Regions"));
        let _ = writeln!(text, "  {:<code$}  {:<provider$}  {:<place$}  endpoints", "code", "provider", "place");
        for region in &topology.regions {
            let endpoints: Vec<String> = region
                .endpoints
                .iter()
                .map(|at| {
                    let endpoint = topology.endpoint(*at);
                    let scheme = if endpoint.tls { "https" } else { "http" };
                    format!("{scheme}://{}", endpoint.authority())
                })
                .collect();
            let mut told = endpoints.join(", ");
            let room = self.width.saturating_sub(2 + code + 2 + provider + 2 + place + 2).max(20);
            if told.chars().count() > room && endpoints.len() > 1 {
                told = format!("{} and {} more", endpoints[0], endpoints.len() - 1);
            }
            let _ = writeln!(
                text,
                "  {:<code$}  {:<provider$}  {:<place$}  {told}",
                region.name,
                topology.providers[region.provider.at()],
                shortened(&region.place.to_string(), place),
            );
        }
    }

    fn hostname(&self, text: &mut String, snapshot: &Snapshot, index: RouteIndex, route: &Route) {
        let view = HostnameView::of(snapshot, route);
        let _ = writeln!(text, "\n  {}  {}", self.bold(&view.name), how(route));
        for (level, names) in view.levels.iter().enumerate() {
            let label = match (level, names.len()) {
                (0, 1) => "primary".to_owned(),
                (0, _) => "primaries".to_owned(),
                _ => format!("fallback {level}"),
            };
            let _ = write!(text, "    {label:<12}");
            self.wrap(text, 16, 16, &names.join(", "));
        }
        if !view.residency.is_empty() {
            let _ = write!(text, "    {:<12}", "residency");
            self.wrap(text, 16, 16, &format!("{}: nowhere else, whatever breaks", view.residency.join(", ")));
        }
        if view.all_down == "refuse" {
            let _ = writeln!(text, "    {:<12}refused with 503, not tried", "all down");
        }
        if let Some(answer) = dns::answer(&snapshot.topology, route) {
            let _ = write!(text, "    {:<12}", "answered");
            self.wrap(text, 16, 16, &answer);
        }
        if route.steering == Steering::Weighted {
            self.shares(text, snapshot, route);
            return;
        }
        let cells = from_cities(snapshot, index).into_iter().map(|(city, order)| {
            let order = match order.as_slice() {
                [] => "nobody".to_owned(),
                [only] => only.clone(),
                [first, second, ..] => format!("{first}, then {second}"),
            };
            format!("{city:<14}{order}")
        });
        let cells: Vec<String> = cells.collect();
        // Two or three beside each other where there is room; down the first column, then down the next.
        let wide = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0) + 3;
        let across = ((self.width.saturating_sub(6)) / wide).clamp(1, 3);
        let rows = cells.len().div_ceil(across);
        for row in 0..rows {
            let line: String = (0..across)
                .filter_map(|column| cells.get(column * rows + row))
                .map(|cell| format!("{cell:<wide$}"))
                .collect();
            let _ = writeln!(text, "      {}", line.trim_end());
        }
    }

    /// Under `weighted` it is the share that matters, not the city.
    fn shares(&self, text: &mut String, snapshot: &Snapshot, route: &Route) {
        let primaries: Vec<_> = route
            .members
            .iter()
            .filter(|member| member.level == 0)
            .map(|member| snapshot.topology.region(member.region))
            .collect();
        let sum: u32 = primaries.iter().map(|region| region.weight).sum();
        let shares = primaries.iter().map(|region| {
            let share = 100.0 * f64::from(region.weight) / f64::from(sum.max(1));
            format!("{} {share:.0} %", region.name)
        });
        let shares = shares.collect::<Vec<_>>().join(", ");
        let _ = write!(text, "    {:<12}", "shares");
        self.wrap(text, 16, 16, &shares);
    }

    fn bold(&self, words: &str) -> String {
        if self.is_colored { format!("\u{1b}[1m{words}\u{1b}[0m") } else { words.to_owned() }
    }

    /// Adds `words` and a line end, from column `at` on, later lines indented.
    fn wrap(&self, text: &mut String, mut at: usize, indent: usize, words: &str) {
        for (count, word) in words.split(' ').enumerate() {
            let length = word.chars().count();
            if count > 0 && at + 1 + length > self.width {
                let _ = write!(text, "\n{:indent$}", "");
                at = indent;
            } else if count > 0 {
                text.push(' ');
                at += 1;
            }
            text.push_str(word);
            at += length;
        }
        text.push('\n');
    }
}

fn how(route: &Route) -> String {
    let word = steering_word(route.steering);
    match route.steering {
        Steering::Nearest => format!("{word}: by distance from the client"),
        Steering::Latency => format!("{word}: by measured time; until it is measured, by distance from the node"),
        Steering::Priority => format!("{word}: in the order written"),
        Steering::Weighted => format!("{word}: by share"),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
