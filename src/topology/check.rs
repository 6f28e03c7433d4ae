//! From the file to a topology, or every mistake at once.
//!
//! Three passes. *Syntax*: if the text is no TOML, only that is told, because what follows would be guesses. *Reading*
//! ([`file`](super::file)): keys and values, each for itself. *Proving*: names, references, ranges that depend on each other. A
//! value that was refused is replaced by a stand-in, so that proving can go on; a topology with stand-ins is never given
//! out. Warnings are looked for only in what is right.

mod acme;
mod classes;
mod files;
mod links;
mod nat;
mod records;
mod regions;
mod routes;
mod status;
mod warnings;
mod zone;

use super::document;
use super::file::File;
use super::mistake::{Gravity, Mistake, Mistakes};
use super::read::{At, Degrees, May, Must, Whole, quoted};
use super::{Forward, Geo, Region, RegionIndex, Site, Topology};
use crate::geo::place::{Coordinates, Country, Place};
use crate::limits::{GEO_PLACES_MAX, MISTAKES_MAX, SITES_MAX, TOPOLOGY_BYTES_MAX};
use crate::names::{Hostname, Label};
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A file that is right.
#[derive(Debug)]
pub struct Checked {
    /// What it means.
    pub topology: Topology,
    /// What in it can never do what was hoped; perhaps nothing.
    pub warnings: Mistakes,
}

/// Proves `source`, which was read from `path`; files named in it are relative to the folder of `path`.
///
/// # Errors
/// Every mistake found, and no warnings.
pub fn check(source: &str, path: &Path) -> Result<Checked, Mistakes> {
    check_at(source, path, None)
}

/// As [`check`], `wall` being now, since the Unix epoch: what is announced too late is warned of too.
///
/// # Errors
/// As [`check`].
pub fn check_at(source: &str, path: &Path, wall: Option<Duration>) -> Result<Checked, Mistakes> {
    let name = path.display().to_string();
    let mut mistakes = Vec::new();
    let topology = document::read::<File>(source, TOPOLOGY_BYTES_MAX, &mut mistakes).map(|file| {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut proof = Proof {
            file: &file,
            folder,
            wall,
            mistakes: std::mem::take(&mut mistakes),
            region_by_name: HashMap::new(),
            files: Vec::new(),
        };
        let topology = proof.prove(source);
        if !proof.is_refused() {
            proof.warn(&topology);
        }
        mistakes = proof.mistakes;
        topology
    });
    let is_refused = mistakes.iter().any(|mistake| mistake.gravity == Gravity::Error);
    match topology {
        Some(topology) if !is_refused => Ok(Checked { topology, warnings: Mistakes::new(&name, source, mistakes) }),
        _ => {
            mistakes.retain(|mistake| mistake.gravity == Gravity::Error);
            Err(Mistakes::new(&name, source, mistakes))
        }
    }
}

/// The state of proving one file.
struct Proof<'a> {
    file: &'a File,
    folder: &'a Path,
    wall: Option<Duration>,
    mistakes: Vec<Mistake>,
    /// Regions as hostnames may name them. Those whose name is refused are there too, so that they are told once only.
    region_by_name: HashMap<&'a str, RegionIndex>,
    /// The files that were read, as in [`Topology::files`].
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl<'a> Proof<'a> {
    /// Looking for what was meant costs a walk over all names: not for thousands of mistakes, of which most are not told.
    fn may_suggest(&self) -> bool {
        self.mistakes.len() < MISTAKES_MAX
    }

    fn is_refused(&self) -> bool {
        self.mistakes.iter().any(|mistake| mistake.gravity == Gravity::Error)
    }

    /// Whether something was told already of what is written there.
    fn is_told_within(&self, span: &Range<usize>) -> bool {
        self.mistakes.iter().any(|mistake| span.contains(&mistake.span.start))
    }

    fn error(
        &mut self,
        span: &Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.mistakes.push(Mistake::error(span.clone(), title, label, help));
    }

    fn prove(&mut self, source: &str) -> Topology {
        let file = self.file;
        let (fleet, zone) = match &*file.fleet {
            Some(fleet) => (label(&fleet.value.name), hostname(&fleet.value.zone)),
            None => (stand_in(), Hostname::parse("stand-in").expect("a good name")),
        };
        let sites = self.sites();
        let geo = self.geo();
        let forward = self.forward();
        let (providers, regions, endpoints) = self.regions();
        let (routes, route_by_hostname) = self.routes(&zone, &regions);
        let classes = self.classes(&route_by_hostname);
        let private_links = self.links(&routes, &route_by_hostname);
        self.nat_ips_differ();
        let nat_hostname = self.nat_hostname(&route_by_hostname, &regions);
        let status = self.status(fleet.as_str(), &route_by_hostname, nat_hostname.as_ref());
        let mut topology = Topology {
            fleet: fleet.as_str().into(),
            zone,
            digest: digest(source),
            sites,
            geo,
            providers,
            regions,
            endpoints,
            routes,
            route_by_hostname,
            nat_hostname,
            dns: None,
            acme: None,
            status,
            forward,
            classes,
            files: Vec::new(),
            private_links,
        };
        self.answered(&topology);
        topology.dns = self.dns(&topology).map(Arc::new);
        topology.acme = self.acme(&topology).map(Arc::new);
        topology.files = std::mem::take(&mut self.files);
        topology
    }

    fn sites(&mut self) -> Vec<Site> {
        let file = self.file;
        let written = file.site.as_ref().map_or(&[][..], |sites| &sites.value);
        if let Some(list) = file.site.as_ref().filter(|sites| sites.value.is_empty()) {
            self.error(&list.span, "no [[site]]", "nothing in it", "add at least one [[site]]: nodes stand somewhere");
        }
        self.bound("site", written, SITES_MAX);
        self.unique("site", written.iter().filter_map(|site| site.value.name.as_ref()), |name| {
            name.as_str().to_owned()
        });
        let mut sites = Vec::with_capacity(written.len());
        for At { value: site, .. } in written {
            let place = place(&site.latitude, &site.longitude, site.country.as_ref(), site.city.as_ref());
            let addresses = values(site.addresses.as_ref());
            self.repeated("addresses", site.addresses.as_ref(), ToString::to_string);
            let port = u16::try_from(whole(site.port.as_ref(), 443)).expect("it is bounded");
            sites.push(Site { name: label(&site.name), place, addresses, port });
        }
        sites
    }

    fn geo(&mut self) -> Geo {
        let file = self.file;
        let Some(At { value: geo, .. }) = &file.geo else { return Geo::default() };
        let database = geo.database.as_ref().map(|database| self.database(database));
        let written = geo.place.as_ref().map_or(&[][..], |places| &places.value);
        self.bound("geo.place", written, GEO_PLACES_MAX);
        let prefixes = written.iter().filter_map(|place| place.value.prefix.as_ref());
        self.unique("prefix", prefixes, ToString::to_string);
        let mut places: Vec<_> = written
            .iter()
            .map(|At { value, .. }| {
                let prefix = value.prefix.as_ref().map_or_else(ipnet::IpNet::default, |prefix| prefix.value);
                (prefix, place(&value.latitude, &value.longitude, value.country.as_ref(), value.city.as_ref()))
            })
            .collect();
        places.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.prefix_len()));
        Geo { database, places }
    }

    fn forward(&mut self) -> Forward {
        let file = self.file;
        let written = file.forward.as_ref().map(|forward| &forward.value);
        let duration = |key: May<Duration>, default: Duration| key.map_or(default, |key| key.value);
        for key in written.iter().flat_map(|forward| {
            [
                ("failover_timeout", &forward.failover_timeout),
                ("connect_timeout", &forward.connect_timeout),
                ("first_byte_timeout", &forward.first_byte_timeout),
                ("stream_idle_timeout", &forward.stream_idle_timeout),
                ("websocket_idle_timeout", &forward.websocket_idle_timeout),
            ]
        }) {
            self.positive(key.0, key.1.as_ref());
        }
        let trust = written.and_then(|forward| forward.trust.as_ref());
        let trust =
            trust.iter().flat_map(|files| &files.value).flat_map(|file| self.authorities("trust", file)).collect();
        if let Some(proxies) = written.and_then(|forward| forward.trusted_proxies.as_ref()) {
            self.repeated("trusted_proxies", Some(proxies), ToString::to_string);
        }
        let of = |take: fn(&super::file::Forward) -> &May<Duration>| written.and_then(|forward| take(forward).clone());
        Forward {
            attempts: written.and_then(|forward| forward.attempts.as_ref()).map_or(3, |attempts| attempts.value.0),
            retry_percent: whole(written.and_then(|forward| forward.retry_budget.as_ref()), 10),
            retry_floor: whole(written.and_then(|forward| forward.retry_floor.as_ref()), 3),
            failover_timeout: duration(of(|forward| &forward.failover_timeout), Duration::from_secs(5)),
            connect_timeout: duration(of(|forward| &forward.connect_timeout), Duration::from_secs(1)),
            first_byte_timeout: duration(of(|forward| &forward.first_byte_timeout), Duration::from_secs(600)),
            stream_idle_timeout: duration(of(|forward| &forward.stream_idle_timeout), Duration::from_secs(600)),
            websocket_idle_timeout: duration(of(|forward| &forward.websocket_idle_timeout), Duration::from_secs(300)),
            slow_start: duration(of(|forward| &forward.slow_start), Duration::from_secs(60)),
            connection_max_age: Some(duration(of(|forward| &forward.connection_max_age), Duration::from_secs(900)))
                .filter(|age| !age.is_zero()),
            trusted_proxies: values(written.and_then(|forward| forward.trusted_proxies.as_ref())),
            trust,
        }
    }

    /// A duration that cannot be zero.
    fn positive(&mut self, key: &str, written: Option<&At<Duration>>) {
        if let Some(At { span, .. }) = written.filter(|duration| duration.value.is_zero()) {
            self.error(
                span,
                format!("{key} is zero"),
                "no time at all",
                format!("give {key} some time, such as \"1s\""),
            );
        }
    }

    /// A table of bounded size.
    fn bound<T>(&mut self, what: &str, written: &[At<T>], most: usize) {
        if let Some(first_over) = written.get(most) {
            let title = format!("{} of [[{what}]]", written.len());
            self.error(&first_over.span, title, "one too many", format!("there may be at most {most}"));
        }
    }

    /// Names that must differ.
    fn unique<'b, T: 'b>(&mut self, what: &str, written: impl Iterator<Item = &'b At<T>>, text: impl Fn(&T) -> String) {
        let mut seen: HashMap<String, &Range<usize>> = HashMap::new();
        for At { value, span } in written {
            let name = text(value);
            match seen.get(&name) {
                Some(first) => {
                    let title = format!("{what} {} is there twice", quoted(&name));
                    let mistake =
                        Mistake::error(span.clone(), title, "again here", "give one of them another name or remove it");
                    self.mistakes.push(mistake.and((*first).clone(), "first here"));
                }
                None => {
                    seen.insert(name, span);
                }
            }
        }
    }

    /// Warns of elements that repeat an earlier one of the same list.
    fn repeated<T>(&mut self, key: &str, list: Option<&At<Vec<At<T>>>>, text: impl Fn(&T) -> String) {
        let mut seen = std::collections::HashSet::new();
        for At { value, span } in list.iter().flat_map(|list| &list.value) {
            let name = text(value);
            if !seen.insert(name.clone()) {
                let title = format!("{key} has {} twice", quoted(&name));
                self.mistakes.push(Mistake::warning(span.clone(), title, "no effect", "remove one of them"));
            }
        }
    }
}

/// SHA-256 of the text, as hexadecimal digits.
fn digest(source: &str) -> Arc<str> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, source.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn stand_in() -> Label {
    Label::parse("stand-in").expect("a good name")
}

fn label(written: &Must<Label>) -> Label {
    written.as_ref().map_or_else(stand_in, |name| name.value.clone())
}

fn hostname(written: &Must<Hostname>) -> Hostname {
    written.as_ref().map_or_else(|| Hostname::parse("stand-in").expect("a good name"), |name| name.value.clone())
}

fn place(
    latitude: &Must<Degrees<90>>,
    longitude: &Must<Degrees<180>>,
    country: Option<&At<Country>>,
    city: Option<&At<String>>,
) -> Place {
    let latitude = latitude.as_ref().map_or(0.0, |latitude| latitude.value.0);
    let longitude = longitude.as_ref().map_or(0.0, |longitude| longitude.value.0);
    Place {
        at: Coordinates::new(latitude, longitude).expect("reading refused what is not on the earth"),
        country: country.map(|country| country.value),
        city: city.map(|city| city.value.as_str().into()),
    }
}

/// The values of a list without their places.
fn values<T: Clone>(written: Option<&At<Vec<At<T>>>>) -> Vec<T> {
    written.iter().flat_map(|list| &list.value).map(|element| element.value.clone()).collect()
}

fn whole<const MIN: u32, const MAX: u32>(written: Option<&At<Whole<MIN, MAX>>>, default: u32) -> u32 {
    written.map_or(default, |number| number.value.0)
}
