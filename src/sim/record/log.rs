//! From an access log: who asked for what from where, how long it took, and which regions failed.

use super::{Recorded, Window, blank, illness, set_rate, weights, whole};
use crate::geo::place::Place;
use crate::health::Fault as Failure;
use crate::moment::since_epoch;
use crate::names::{Hostname, Label};
use crate::sim::cities::Cities;
use crate::sim::scenario::write::Notes;
use crate::sim::scenario::{Fault, What, Work};
use http::Method;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Kinds of requests that are told apart, most asked first.
const WORK_MAX: usize = 20;
/// Kinds of requests that are counted at all: paths may have ids in them.
const PATHS_MAX: usize = 10_000;
/// Clients' networks that are told apart.
const NETWORKS_MAX: usize = 200_000;
/// Attempts that have to fail in a minute, and which share of all, in percent, for an outage of that minute.
const OUTAGE: (u64, u64) = (3, 50);
/// How far the requests of an hour may be from the mean before they are played as more or fewer, percent.
const HOUR_PERCENT: u64 = 20;

/// What is read of a line.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    time: &'a str,
    #[serde(default)]
    client: Option<&'a str>,
    #[serde(default)]
    hostname: Option<&'a str>,
    method: &'a str,
    #[serde(default, borrow)]
    path: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    outcome: &'a str,
    #[serde(default)]
    region: Option<&'a str>,
    #[serde(default)]
    failed: Vec<Attempt<'a>>,
    #[serde(default)]
    elapsed_ms: f64,
    #[serde(default)]
    head_ms: Option<f64>,
}

/// A line that tells of lines that are missing.
#[derive(Debug, Deserialize)]
struct Missing<'a> {
    time: &'a str,
    dropped: u64,
    failed: u64,
}

#[derive(Debug, Deserialize)]
struct Attempt<'a> {
    region: &'a str,
    reason: &'a str,
}

/// Requests of one method and path.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    asked: u64,
    /// Those that were answered whole, and for how long regions worked on them and then talked, milliseconds.
    answered: u64,
    worked_ms: f64,
    flowed_ms: f64,
}

/// Attempts at a region in a minute.
#[derive(Clone, Debug, Default)]
struct Attempts {
    all: u64,
    failed: BTreeMap<&'static str, u64>,
}

/// A log while it is read, line by line.
#[derive(Debug)]
pub struct Log {
    window: Window,
    requests: u64,
    elsewhen: u64,
    /// The hostnames that count, if not all, and how many requests were for others.
    known: Option<BTreeSet<String>>,
    foreign: u64,
    unread: u64,
    dropped: u64,
    networks: BTreeMap<String, Option<usize>>,
    places: BTreeMap<usize, u64>,
    nowhere: u64,
    hostnames: BTreeMap<String, u64>,
    work: BTreeMap<(String, String), Times>,
    by_hour: BTreeMap<u64, u64>,
    attempts: BTreeMap<(String, u64), Attempts>,
}

impl Log {
    /// Nothing read yet.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            window,
            requests: 0,
            elsewhen: 0,
            known: None,
            foreign: 0,
            unread: 0,
            dropped: 0,
            networks: BTreeMap::new(),
            places: BTreeMap::new(),
            nowhere: 0,
            hostnames: BTreeMap::new(),
            work: BTreeMap::new(),
            by_hour: BTreeMap::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// Counts requests for these hostnames alone: others cannot be asked for again.
    #[must_use]
    pub fn of(self, hostnames: BTreeSet<String>) -> Self {
        Self { known: Some(hostnames), ..self }
    }

    /// How many requests were read that count.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Takes a line. `locate` says where an address is.
    pub fn take(&mut self, line: &str, cities: &Cities, locate: &dyn Fn(IpAddr) -> Option<Place>) {
        if line.trim().is_empty() {
            return;
        }
        if let Ok(missing) = serde_json::from_str::<Missing<'_>>(line) {
            let is_of_this_time = since_epoch(missing.time).is_some_and(|wall| self.window.has(wall));
            self.dropped += if is_of_this_time { missing.dropped.saturating_add(missing.failed) } else { 0 };
            return;
        }
        let read = serde_json::from_str::<Line<'_>>(line).ok();
        let Some((line, wall)) = read.and_then(|line| since_epoch(line.time).map(|wall| (line, wall))) else {
            self.unread += 1;
            return;
        };
        if !self.window.has(wall) {
            self.elsewhen += 1;
            return;
        }
        let is_known = |name: &str| self.known.as_ref().is_none_or(|known| known.contains(name));
        if !line.hostname.is_none_or(is_known) {
            self.foreign += 1;
            return;
        }
        self.requests += 1;
        let since = wall.saturating_sub(self.window.from).as_secs();
        *self.by_hour.entry(since / 3_600).or_default() += 1;
        if let Some(hostname) = line.hostname {
            *self.hostnames.entry(hostname.to_owned()).or_default() += 1;
        }
        self.place(line.client, cities, locate);
        self.time(&line);
        self.attempts(&line, since / 60);
    }

    fn place(&mut self, client: Option<&str>, cities: &Cities, locate: &dyn Fn(IpAddr) -> Option<Place>) {
        let Some(network) = client else { return };
        let city = match self.networks.get(network) {
            Some(known) => *known,
            None => {
                let address = network.split('/').next().and_then(|address| address.parse().ok());
                let city = address.and_then(locate).and_then(|place| nearest(&place, cities));
                if self.networks.len() < NETWORKS_MAX {
                    self.networks.insert(network.to_owned(), city);
                }
                city
            }
        };
        match city {
            Some(city) => *self.places.entry(city).or_default() += 1,
            None => self.nowhere += 1,
        }
    }

    fn time(&mut self, line: &Line<'_>) {
        let Some(path) = line.path.as_deref() else { return };
        let key = (line.method.to_owned(), path.to_owned());
        if self.work.len() >= PATHS_MAX && !self.work.contains_key(&key) {
            return;
        }
        let times = self.work.entry(key).or_default();
        times.asked += 1;
        if let Some(head) = line.head_ms.filter(|_| line.outcome == "complete") {
            times.answered += 1;
            times.worked_ms += head;
            times.flowed_ms += (line.elapsed_ms - head).max(0.0);
        }
    }

    fn attempts(&mut self, line: &Line<'_>, minute: u64) {
        for failed in &line.failed {
            let known = Failure::NAMES.into_iter().find(|name| *name == failed.reason);
            let attempts = self.attempts.entry((failed.region.to_owned(), minute)).or_default();
            attempts.all += 1;
            if let Some(reason) = known {
                *attempts.failed.entry(reason).or_default() += 1;
            }
        }
        if let Some(region) = line.region {
            self.attempts.entry((region.to_owned(), minute)).or_default().all += 1;
        }
    }

    /// What happened.
    #[must_use]
    pub fn scenario(self) -> Recorded {
        let mut scenario = blank(self.window);
        let mut notes = Notes { head: self.head(), ..Notes::default() };
        if self.requests > 0 {
            set_rate(&mut scenario, self.window, self.requests, self.networks.len() as u64);
            let hostnames = self.hostnames.iter();
            let hostnames = hostnames.filter_map(|(name, count)| Some((Hostname::parse(name).ok()?, *count)));
            scenario.crowd.hostnames = weights(hostnames);
            scenario.crowd.places = weights(self.places.iter().map(|(city, count)| (*city, *count)));
        }
        let work = self.work(&mut notes);
        if !work.is_empty() {
            scenario.crowd.work = work;
        }
        let mut faults = self.outages();
        faults.extend(self.hours());
        faults.sort_by_key(|(fault, _)| fault.at);
        (scenario.faults, notes.faults) = faults.into_iter().unzip();
        Recorded { scenario, notes }
    }

    fn head(&self) -> Vec<String> {
        let mut head = vec![format!("Recorded from an access log: {} requests.", self.requests)];
        head.push(
            "Times have the way from the node to the region in them; programs and resolvers are the usual ones."
                .to_owned(),
        );
        head.extend(self.lost());
        head
    }

    /// Why lines do not count, and how many.
    #[must_use]
    pub fn lost(&self) -> Vec<String> {
        let told = [
            (self.elsewhen, "lines are of other times."),
            (self.foreign, "lines are for hostnames that the configuration has not."),
            (self.unread, "lines could not be read."),
            (self.dropped, "requests of this time have no line: it could not be kept."),
            (self.nowhere, "requests came from nobody knows where."),
        ];
        told.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }

    fn work(&self, notes: &mut Notes) -> Vec<(Work, u32)> {
        let mut all: Vec<(&(String, String), &Times)> = self.work.iter().collect();
        all.sort_by_key(|(key, times)| (std::cmp::Reverse(times.asked), *key));
        if all.len() > WORK_MAX {
            let left: u64 = all[WORK_MAX..].iter().map(|(_, times)| times.asked).sum();
            notes.clients.push(format!("{left} requests of further paths are played as those below."));
        }
        let usual = (Duration::from_millis(200), Duration::ZERO);
        let mean =
            |sum: f64, count: u64| whole(Duration::from_secs_f64((sum / count as f64 / 1e3).clamp(0.0, 86_400.0)));
        let work = all.into_iter().take(WORK_MAX).filter_map(|((method, path), times)| {
            let (takes, flows) = match times.answered {
                0 => usual,
                count => (mean(times.worked_ms, count), mean(times.flowed_ms, count)),
            };
            let is_path = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic() && c != '#');
            let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| is_path)?;
            let name: String = format!("{method} {path}").chars().take(80).collect();
            Some((
                Work { name: name.into(), method, path: path.as_str().into(), takes, flows, patience: None },
                times.asked,
            ))
        });
        let mut names = BTreeSet::new();
        weights(work.filter(|(work, _)| names.insert(work.name.clone())))
    }

    /// Hours with many more or fewer requests than usual.
    fn hours(&self) -> Vec<(Fault, String)> {
        let hours = self.window.lasts().as_secs().div_ceil(3_600);
        if hours < 2 || self.requests == 0 {
            return Vec::new();
        }
        let lasts_s = self.window.lasts().as_secs_f64();
        let mut faults = Vec::new();
        for hour in 0..hours {
            let count = self.by_hour.get(&hour).copied().unwrap_or(0);
            let at = Duration::from_secs(hour * 3_600);
            let lasts = Duration::from_secs(3_600).min(self.window.lasts() - at);
            #[expect(clippy::cast_precision_loss, reason = "nobody counts so many")]
            let times = count as f64 / (self.requests as f64 * lasts.as_secs_f64() / lasts_s);
            if (times - 1.0).abs() * 100.0 > HOUR_PERCENT as f64 {
                let what = What::Traffic(((times * 100.0).round() / 100.0).min(1_000.0));
                faults.push((Fault { at, lasts: Some(lasts), what }, format!("{count} requests in this hour")));
            }
        }
        faults
    }

    /// Minutes in which most attempts at a region failed, those next to each other as one.
    fn outages(&self) -> Vec<(Fault, String)> {
        let mut faults: Vec<(Fault, String)> = Vec::new();
        let mut last: Option<(&str, u64, &str)> = None;
        for ((region, minute), attempts) in &self.attempts {
            let failed: u64 = attempts.failed.values().sum();
            let most = attempts.failed.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason);
            let (least, percent) = OUTAGE;
            let Some(reason) = most.filter(|_| failed >= least && failed * 100 >= attempts.all * percent) else {
                continue;
            };
            let at = Duration::from_secs(minute * 60);
            let follows =
                last.is_some_and(|(before, ended, why)| before == region && ended == *minute && why == reason);
            match (faults.last_mut(), Label::parse(region)) {
                (Some((fault, _)), _) if follows => fault.lasts = Some(at + Duration::from_secs(60) - fault.at),
                (_, Ok(name)) => {
                    let what = illness(named(reason), &name);
                    let note =
                        format!("{failed} of {} attempts at {region} failed in a minute: {reason}", attempts.all);
                    faults.push((Fault { at, lasts: Some(Duration::from_secs(60)), what }, note));
                }
                (_, Err(_)) => continue,
            }
            last = Some((region, minute + 1, reason));
        }
        let lasts = self.window.lasts();
        for (fault, _) in &mut faults {
            fault.lasts = fault.lasts.filter(|length| fault.at + *length < lasts);
        }
        faults
    }
}

/// The failure of that name; statuses are not in the log.
fn named(reason: &str) -> Failure {
    match reason {
        "connect_timeout" => Failure::ConnectTimeout,
        "silent" => Failure::Silent,
        "stalled" => Failure::Stalled,
        "late" => Failure::Late,
        "status" => Failure::Status(500),
        "body" => Failure::Body,
        "protocol" => Failure::Protocol,
        "unserved" => Failure::Unserved,
        _ => Failure::Refused,
    }
}

/// The city nearest to a place, in its country if that is known and has one.
fn nearest(place: &Place, cities: &Cities) -> Option<usize> {
    let at_home = |city: &crate::sim::cities::City| place.country.is_none_or(|country| country == city.country);
    let near = |is_home: bool| {
        let all = cities.all().iter().enumerate().filter(|(_, city)| !is_home || at_home(city));
        all.min_by(|(_, a), (_, b)| a.at.distance_km(&place.at).total_cmp(&b.at.distance_km(&place.at)))
    };
    near(true).or_else(|| near(false)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests;
