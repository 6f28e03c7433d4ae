//! Machine: everything that is told, at one moment, from what is believed, what was recorded, and what incidents there are.
//!
//! What operators write of an open incident or of a maintenance in progress is shown where it is worse than what is seen:
//! they know of what no probe sees. Time is counted by what was seen alone.

use super::levels::{self, Lived};
use super::recorder::{Recorder, Series};
use super::story::{Day, Flow, HostnameReport, Incident, Level, Phase, RegionReport, Report, Subject, Trouble};
use crate::counters::record::Record;
use crate::counters::traffic::{FLOW_LASTS as FLOWS_LAST, FlowKey};
use crate::geo::countries::Countries;
use crate::geo::place::Place;
use crate::snapshot::Snapshot;
use crate::topology::{RegionIndex, Route};
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Flows told at most, the strongest first.
pub const FLOWS_MAX: usize = 200;
/// Places of clients are told to so many degrees: some hundred kilometres, so that nobody's home is on the map.
const FLOW_DEGREES: f64 = 2.0;

/// What a report is made of.
#[derive(Debug)]
pub struct Told<'a> {
    /// What is believed.
    pub snapshot: &'a Snapshot,
    /// What was recorded.
    pub recorder: &'a Recorder,
    /// Incidents and maintenance of the last days.
    pub incidents: Vec<Incident>,
    /// Live traffic.
    pub flows: Vec<Flow>,
    /// Why the history is not what it should be.
    pub trouble: Option<Trouble>,
}

impl Told<'_> {
    /// The report, `wall` being now.
    #[must_use]
    pub fn report(self, wall: Duration) -> Report {
        let topology = &self.snapshot.topology;
        let regions: Vec<RegionReport> =
            (0..topology.regions.len()).map(|at| self.region(RegionIndex::of(at), wall)).collect();
        let written = topology.routes.iter().filter(|route| !route.is_regional);
        let hostnames: Vec<HostnameReport> = written.map(|route| self.hostname(route, wall)).collect();
        let worst = hostnames.iter().map(|hostname| hostname.level).max();
        let seen = worst.or_else(|| regions.iter().map(|region| region.level).max()).unwrap_or_default();
        let level = self.incidents.iter().map(|incident| level_written(incident, seen)).fold(seen, Level::max);
        let (maintenance, incidents) = self.incidents.into_iter().partition(Incident::is_maintenance);
        Report {
            at: wall,
            fleet: topology.fleet.to_string(),
            vantage: self.snapshot.here.name.to_string(),
            generation: self.snapshot.generation,
            is_suspect: self.snapshot.is_suspect,
            level,
            regions,
            hostnames,
            incidents: newest_first(incidents),
            maintenance: next_first(maintenance),
            flows: self.flows,
            trouble: self.trouble,
        }
    }

    /// The level that is shown of `subject`, which is seen at another since then; and since when that is so.
    fn shown(&self, subject: &Subject, seen: Level, since: Duration) -> (Level, Duration) {
        let its = self.incidents.iter().filter(|incident| incident.subjects.contains(subject));
        its.fold((seen, since), |(level, since), incident| match level_written(incident, seen) {
            written if written > level => (written, incident.window.map_or(incident.opened_at, |(from, _)| from)),
            _ => (level, since),
        })
    }

    fn region(&self, index: RegionIndex, wall: Duration) -> RegionReport {
        let topology = &self.snapshot.topology;
        let (region, state) = (topology.region(index), self.snapshot.region(index));
        let (level, reason) = levels::of_region(self.snapshot, index);
        let subject = Subject::Region(region.name.to_string());
        let series = self.recorder.series(&subject);
        let (level, since) = self.shown(&subject, level, series.map_or(wall, Series::since));
        let days = series.map(|series| series.days(wall)).unwrap_or_default();
        RegionReport {
            name: region.name.to_string(),
            provider: topology.provider(index).to_string(),
            city: region.place.city.as_ref().map(ToString::to_string),
            country: region.place.country.map(|country| country.to_string()),
            latitude: region.place.at.latitude(),
            longitude: region.place.at.longitude(),
            level,
            standing: state.standing.as_str().to_owned(),
            reason,
            since,
            latency_ms: series.and_then(Series::latency_ms),
            uptime: uptime(&days),
            recent: series.map(|series| series.recent(wall)).unwrap_or_default(),
            days,
        }
    }

    fn hostname(&self, route: &Route, wall: Duration) -> HostnameReport {
        let lived: Lived = levels::of_hostname(self.snapshot, route);
        let name = |region: &RegionIndex| self.snapshot.topology.region(*region).name.to_string();
        let subject = Subject::Hostname(route.hostname.to_string());
        let series = self.recorder.series(&subject);
        let (level, since) = self.shown(&subject, lived.level, series.map_or(wall, Series::since));
        let days = series.map(|series| series.days(wall)).unwrap_or_default();
        HostnameReport {
            name: route.hostname.to_string(),
            level,
            since,
            serving: lived.serving.iter().map(name).collect(),
            missing: lived.missing.iter().map(|(region, why)| (name(region), (*why).to_owned())).collect(),
            fallbacks: lived.fallbacks.iter().map(|(region, is_ready)| (name(region), *is_ready)).collect(),
            sentence: lived.sentence(self.snapshot),
            uptime: uptime(&days),
            days,
        }
    }
}

/// The level that an operator says of what an incident is about and what is seen at `seen`. What opened by itself says nothing
/// that is not seen; a maintenance in progress, only of what seems to be as it should.
fn level_written(incident: &Incident, seen: Level) -> Level {
    match incident.phase {
        Phase::InProgress if seen == Level::Operational => Level::Maintenance,
        phase if incident.is_automatic || incident.is_maintenance() || phase.is_over() => Level::Operational,
        _ => incident.impact.level(),
    }
}

/// The fraction of the judged time of all `days` in which it worked.
fn uptime(days: &[Day]) -> Option<f64> {
    let judged: f64 = days.iter().map(|day| f64::from(day.judged_s())).sum();
    let down: f64 = days.iter().map(|day| f64::from(day.seconds[Level::Major as usize])).sum();
    (judged > 0.0).then(|| 1.0 - down / judged)
}

fn newest_first(mut incidents: Vec<Incident>) -> Vec<Incident> {
    incidents.sort_by(|a, b| (a.phase.is_over(), b.opened_at, &b.id).cmp(&(b.phase.is_over(), a.opened_at, &a.id)));
    incidents
}

/// What is or will be, the next first; then what is over, newest first.
fn next_first(mut maintenance: Vec<Incident>) -> Vec<Incident> {
    let begin = |incident: &Incident| incident.window.map_or(incident.opened_at, |(from, _)| from);
    maintenance.sort_by(|a, b| match (a.phase.is_over(), b.phase.is_over()) {
        (false, false) => begin(a).cmp(&begin(b)),
        (true, true) => begin(b).cmp(&begin(a)),
        (a, b) => a.cmp(&b),
    });
    maintenance
}

/// What flows: so many requests went from each country to each region within [`FLOWS_LAST`]. From where in the country, is told
/// by the `newest` requests, as far as there are any among them; else it is the country's one point.
#[must_use]
pub fn flows(counted: &BTreeMap<FlowKey, u64>, newest: &[Record], snapshot: &Snapshot) -> Vec<Flow> {
    let coarse = |degrees: f64| (degrees / FLOW_DEGREES).round() * FLOW_DEGREES;
    #[expect(clippy::cast_possible_truncation, reason = "degrees")]
    let spot = |place: &Place| (coarse(place.at.latitude()) as i32, coarse(place.at.longitude()) as i32);
    let mut seen: BTreeMap<FlowKey, BTreeMap<(i32, i32), u32>> = BTreeMap::new();
    for (client, region) in newest.iter().filter_map(|record| record.client.as_ref().zip(record.region.as_ref())) {
        let spots = seen.entry((client.place.country, region.clone())).or_default();
        *spots.entry(spot(&client.place)).or_default() += 1;
    }
    let countries = LazyCell::new(Countries::new);
    let mut flows = Vec::new();
    for (key, count) in counted {
        let (country, region) = key;
        if snapshot.topology.region_named(region.as_str()).is_none() {
            continue;
        }
        let usual = || country.and_then(|country| countries.place(country)).map(|place| [(spot(place), 1)].into());
        let Some(spots) = seen.remove(key).or_else(usual) else { continue };
        let all: u32 = spots.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let per_second = *count as f64 / FLOWS_LAST.as_secs_f64();
        flows.extend(spots.into_iter().map(|((north, east), part)| Flow {
            country: country.map(|country| country.to_string()),
            latitude: f64::from(north),
            longitude: f64::from(east),
            region: region.to_string(),
            per_second: per_second * f64::from(part) / f64::from(all),
        }));
    }
    flows.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
    flows.truncate(FLOWS_MAX);
    flows
}
