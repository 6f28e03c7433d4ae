//! A file to a [`Scenario`], or every mistake at once, each drawn at its line.
//!
//! Names of regions, providers, sites, hostnames and endpoints are those of the configuration that it is played against,
//! and places those of the table of cities: a name that nobody has is a mistake here and no surprise later.

mod crowd;
mod faults;
pub mod load;

use super::file::{self, File, Site};
use super::words::{Time, meant, twice};
use super::{Demands, NewSite, RegionTruth, Scenario, Ways};
use crate::geo::place::{Coordinates, Place};
use crate::names::Label;
use crate::sim::cities::Cities;
use crate::topology::Topology;
use crate::topology::document;
use crate::topology::mistake::{Gravity, Mistake, Mistakes};
use crate::topology::read::{At, May, quoted};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest file, octets: scripts that carry configurations are long.
pub const SCENARIO_BYTES_MAX: usize = 4 << 20;
/// Most sites that a scenario adds: nodes are what a simulation costs most for.
const NEW_SITES_MAX: usize = 64;
/// Longest name of something that only reports call so, characters.
const NAME_CHARACTERS_MAX: usize = 100;

/// What a scenario is checked against.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The configuration that it is played against.
    pub topology: &'a Topology,
    /// Where clients can be.
    pub cities: &'a Cities,
    /// Gives the text of a configuration that is rolled out and is right; or says what is wrong with it (completes
    /// "file "NAME" …").
    pub config: &'a dyn Fn(Rolled<'_>) -> Result<Arc<str>, String>,
}

/// How a scenario says which configuration is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolled<'a> {
    /// It is in a file, whose name is relative to the scenario's.
    File(&'a str),
    /// This is it.
    Text(&'a str),
}

/// A file that is right.
#[derive(Debug)]
pub struct Checked {
    /// What it means.
    pub scenario: Scenario,
    /// What in it can never do what was hoped; perhaps nothing.
    pub warnings: Mistakes,
}

/// Proves `source`, which was read from `path`.
///
/// # Errors
/// Every mistake found, and no warnings.
pub fn check(source: &str, path: &Path, around: &Around<'_>) -> Result<Checked, Mistakes> {
    let name = path.display().to_string();
    let mut mistakes = Vec::new();
    let scenario = document::read::<File>(source, SCENARIO_BYTES_MAX, &mut mistakes).map(|file| {
        let mut proof = Proof { file: &file, around, mistakes: std::mem::take(&mut mistakes) };
        let scenario = proof.prove(path);
        mistakes = proof.mistakes;
        scenario
    });
    let is_refused = mistakes.iter().any(|mistake| mistake.gravity == Gravity::Error);
    match scenario {
        Some(scenario) if !is_refused => Ok(Checked { scenario, warnings: Mistakes::new(&name, source, mistakes) }),
        _ => {
            mistakes.retain(|mistake| mistake.gravity == Gravity::Error);
            Err(Mistakes::new(&name, source, mistakes))
        }
    }
}

/// The state of proving one file.
struct Proof<'a> {
    file: &'a File,
    around: &'a Around<'a>,
    mistakes: Vec<Mistake>,
}

impl Proof<'_> {
    fn error(&mut self, span: &Range<usize>, title: impl Into<String>, label: &str, help: impl Into<String>) {
        self.mistakes.push(Mistake::error(span.clone(), title, label, help));
    }

    fn warn(&mut self, span: &Range<usize>, title: impl Into<String>, label: &str, help: impl Into<String>) {
        self.mistakes.push(Mistake::warning(span.clone(), title, label, help));
    }

    fn prove(&mut self, path: &Path) -> Scenario {
        let usual = Scenario::default();
        let lasts = time(self.file.lasts.as_ref()).unwrap_or(usual.lasts);
        self.positive("lasts", self.file.lasts.as_ref());
        let sites = self.sites();
        let truth = self.usual();
        let crowd = self.crowd();
        self.load(&crowd, lasts);
        Scenario {
            name: self.name(path).unwrap_or(usual.name),
            starts: self.file.starts.as_ref().map_or(usual.starts, |starts| starts.value.0),
            lasts,
            seed: self.file.seed.as_ref().map_or(usual.seed, |seed| seed.value.0),
            ways: self.ways(),
            regions: self.regions(truth),
            usual: truth,
            crowd,
            faults: self.faults(lasts, &sites),
            sites,
            demands: self.demands(),
        }
    }

    fn name(&mut self, path: &Path) -> Option<String> {
        let Some(At { value, span }) = &self.file.name else {
            return path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| *stem != "-").map(str::to_owned);
        };
        self.printable("name", value, span);
        Some(value.clone())
    }

    /// What reports call something: a line of text.
    fn printable(&mut self, key: &str, text: &str, span: &Range<usize>) {
        let problem = match text {
            "" => "is empty",
            text if text.chars().count() > NAME_CHARACTERS_MAX => "is too long",
            text if text.chars().any(char::is_control) => "has a control character",
            _ => return,
        };
        let help = format!("write a line of at most {NAME_CHARACTERS_MAX} characters");
        self.error(span, format!("{key} {} {problem}", quoted(text)), problem, help);
    }

    /// A time that cannot be zero.
    fn positive(&mut self, key: &str, written: Option<&At<Time>>) {
        if let Some(At { span, .. }) = written.filter(|time| time.value.0.is_zero()) {
            self.error(span, format!("{key} is zero"), "no time at all", format!("write such as {key} = \"30m\""));
        }
    }

    fn bound<T>(&mut self, what: &str, written: &[At<T>], most: usize) {
        if let Some(first_over) = written.get(most) {
            let title = format!("{} of [[{what}]]", written.len());
            self.error(&first_over.span, title, "one too many", format!("there may be at most {most}"));
        }
    }

    fn sites(&mut self) -> Vec<NewSite> {
        let written = self.file.site.as_ref().map_or(&[][..], |sites| &sites.value);
        self.bound("site", written, NEW_SITES_MAX);
        let names = || written.iter().filter_map(|site| site.value.name.as_ref());
        for (name, text) in twice(names(), ToString::to_string) {
            self.error(
                &name.span,
                format!("site {} is there twice", quoted(&text)),
                "again here",
                "give it another name",
            );
        }
        for name in names() {
            if self.around.topology.sites.iter().any(|site| site.name == name.value) {
                let title = format!("site {} is in the configuration already", quoted(name.value.as_str()));
                self.error(
                    &name.span,
                    title,
                    "there already",
                    "a node stands there anyway: remove it, or name another",
                );
            }
        }
        written.iter().filter_map(|site| self.site(&site.value, &site.span)).collect()
    }

    fn site(&mut self, site: &Site, span: &Range<usize>) -> Option<NewSite> {
        let place = match (&site.latitude, &site.longitude, &site.city) {
            (Some(latitude), Some(longitude), city) => Some(Place {
                at: Coordinates::new(latitude.value.0, longitude.value.0)
                    .expect("reading refused what is off the earth"),
                country: site.country.as_ref().map(|country| country.value),
                city: city.as_ref().map(|city| city.value.as_str().into()),
            }),
            (None, None, Some(city)) => {
                let full = match &site.country {
                    Some(country) if !city.value.contains(',') => format!("{}, {}", city.value, country.value),
                    _ => city.value.clone(),
                };
                self.city(&full, &city.span).map(|at| {
                    let city = self.around.cities.all()[at];
                    Place { at: city.at, country: Some(city.country), city: Some(city.name.into()) }
                })
            }
            (None, None, None) => {
                self.error(span, "a site without a place", "nowhere", "write city, or latitude and longitude");
                None
            }
            _ => {
                let help = "write both latitude and longitude, or neither and a city";
                self.error(span, "a site with half a place", "only one of two", help);
                None
            }
        };
        let addresses = site.addresses.iter().flat_map(|list| &list.value).map(|address| address.value).collect();
        Some(NewSite { name: site.name.as_ref()?.value.clone(), place: place?, addresses })
    }

    /// The city of that name.
    fn city(&mut self, text: &str, span: &Range<usize>) -> Option<usize> {
        let found = self.around.cities.named(text);
        if found.is_none() {
            let known = self.around.cities.all().iter().map(|city| city.name);
            let help = match crate::topology::read::nearest(text.split(',').next().unwrap_or(text).trim(), known) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None => {
                    "only large cities are known: write the next one, such as \"Mumbai\" or \"London, GB\"".to_owned()
                }
            };
            self.error(span, format!("{} is no city that is known here", quoted(text)), "not known", help);
        }
        found
    }

    fn ways(&self) -> Ways {
        let usual = Ways::default();
        let Some(At { value: ways, .. }) = &self.file.ways else { return usual };
        Ways {
            loss: ways.loss.as_ref().map_or(usual.loss, |loss| loss.value.0),
            jitter: ways.jitter.as_ref().map_or(usual.jitter, |jitter| jitter.value.0),
            withdrawal: time(ways.withdrawal.as_ref()).unwrap_or(usual.withdrawal),
            channel: time(ways.channel.as_ref()).unwrap_or(usual.channel),
        }
    }

    fn usual(&mut self) -> RegionTruth {
        let written = self.file.usual.as_ref();
        written.map_or_else(RegionTruth::default, |usual| self.truth(RegionTruth::default(), &usual.value))
    }

    fn truth(&mut self, usual: RegionTruth, written: &file::Region) -> RegionTruth {
        if let Some(slowness) = written.slowness.as_ref().filter(|slowness| slowness.value.0 <= 0.0) {
            self.error(&slowness.span, "slowness is zero", "no time at all", "1.0 is as long as the request says");
        }
        RegionTruth {
            slots: match &written.slots {
                Some(slots) => Some(slots.value.0).filter(|slots| *slots > 0),
                None => usual.slots,
            },
            queue: written.queue.as_ref().map_or(usual.queue, |queue| queue.value.0),
            slowness: written.slowness.as_ref().map_or(usual.slowness, |slowness| slowness.value.0),
            says_unserved: written.says_unserved.as_ref().map_or(usual.says_unserved, |says| says.value),
        }
    }

    fn regions(&mut self, usual: RegionTruth) -> Vec<(Label, RegionTruth)> {
        let Some(At { value: named, .. }) = &self.file.region else { return Vec::new() };
        let mut regions = Vec::with_capacity(named.0.len());
        for (name, written) in &named.0 {
            let truth = self.truth(usual, &written.value);
            if let Some(name) = self.region(&name.value, &name.span) {
                regions.push((name, truth));
            }
        }
        regions
    }

    /// The region of that name.
    fn region(&mut self, name: &str, span: &Range<usize>) -> Option<Label> {
        let regions = &self.around.topology.regions;
        let found = regions.iter().find(|region| region.name.as_str() == name).map(|region| region.name.clone());
        if found.is_none() {
            let help = meant(name, regions.iter().map(|region| region.name.as_str()));
            self.error(span, format!("there is no region {}", quoted(name)), "not in the configuration", help);
        }
        found
    }

    fn demands(&self) -> Demands {
        let Some(At { value: demand, .. }) = &self.file.demand else { return Scenario::default().demands };
        Demands {
            availability_percent: demand.availability_percent.as_ref().map(|percent| percent.value.0),
            added_p99: time(demand.added_p99.as_ref()),
            amplification: demand.amplification.as_ref().map(|amplification| amplification.value.0),
            move_time: time(demand.move_time.as_ref()),
            load_percent: demand.load_percent.as_ref().map(|percent| percent.value.0),
            residency: demand.residency.as_ref().is_none_or(|residency| residency.value),
            invariants: demand.invariants.as_ref().is_none_or(|invariants| invariants.value),
        }
    }
}

fn time(written: Option<&At<Time>>) -> Option<Duration> {
    written.map(|time| time.value.0)
}

/// The values of a list without their places.
fn values<T: Clone>(written: &May<Vec<At<T>>>) -> Vec<T> {
    written.iter().flat_map(|list| &list.value).map(|element| element.value.clone()).collect()
}
