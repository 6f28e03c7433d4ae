//! Measures what a node carries: how much at each region, and by whom and for which hostname that is.
//!
//! How much is counted exactly, where requests are placed and answered ([`Load`](crate::load::Load)). Who asks is taken
//! from the newest requests, which are a fair sample: of what a region carries, each flow has the share that it has of the
//! sample. Shares fade as newer requests come to the same region, and stay where none come.

use super::{Carried, Flow, Traffic};
use crate::counters::record::Record;
use crate::limits::HEADROOM_FLOWS_MAX;
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use crate::snapshot::Snapshot;
use crate::steering::Client;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long is looked back: long enough for a busy second to be found, short enough to follow the hour.
pub const WINDOW: Duration = Duration::from_secs(300);
/// Of so many seconds one is as busy or busier than what is called busy.
const BUSY_ONE_IN: usize = 20;
/// Requests of a region after which its older ones count half.
const FADES_AFTER: f64 = 2_000.0;
/// Clients of one place are told apart by so many kinds of luck: where weights decide, they do not all go one way.
const LUCKS: u64 = 8;

/// What a node has carried lately.
#[derive(Debug, Default)]
pub struct Meter {
    regions: BTreeMap<Label, Region>,
    cells: BTreeMap<Who, Cell>,
    /// The newest request that was taken into account.
    newest: Moment,
}

/// One region.
#[derive(Debug, Default)]
struct Region {
    /// Answers that were counted when it was looked at last.
    answered: u64,
    looks: VecDeque<Look>,
}

/// What a look at a region found.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Moment,
    /// Answers since the look before.
    answers: u64,
    in_flight: u32,
}

/// Who asks, for what, and where that is served.
type Who = (Label, Hostname, (u64, u64), u64);

#[derive(Debug)]
struct Cell {
    client: Arc<Client>,
    weight: f64,
}

impl Meter {
    /// Looks at what `snapshot`'s endpoints carry at `now`, and at the `recent` requests, in any order.
    pub fn look(&mut self, now: Moment, snapshot: &Snapshot, recent: &[Record]) {
        self.regions.retain(|name, _| snapshot.topology.region_named(name.as_str()).is_some());
        for region in &snapshot.topology.regions {
            let loads = || region.endpoints.iter().map(|endpoint| &snapshot.endpoint(*endpoint).load);
            let answered: u64 = loads().map(|load| load.requests()).sum();
            let in_flight: u32 = loads().map(|load| load.in_flight()).sum();
            let known =
                self.regions.entry(region.name.clone()).or_insert_with(|| Region { answered, ..Region::default() });
            // An endpoint that was replaced takes its count along.
            let answers = answered.saturating_sub(known.answered);
            known.answered = answered;
            known.looks.push_back(Look { at: now, answers, in_flight });
            while known.looks.front().is_some_and(|look| now.since(look.at) > WINDOW) {
                known.looks.pop_front();
            }
        }
        self.learn(snapshot, recent);
    }

    fn learn(&mut self, snapshot: &Snapshot, recent: &[Record]) {
        let newest = self.newest;
        let mut news: BTreeMap<&Label, f64> = BTreeMap::new();
        for request in recent.iter().filter(|request| request.headed() > newest) {
            self.newest = self.newest.max(request.headed());
            let Record { region: Some(region), hostname: Some(hostname), client: Some(client), .. } = request else {
                continue;
            };
            *news.entry(region).or_default() += 1.0;
            let at = client.place.at;
            let place = ((at.latitude() + 0.0).to_bits(), (at.longitude() + 0.0).to_bits());
            let who = (region.clone(), hostname.clone(), place, client.hash() % LUCKS);
            let cell = self.cells.entry(who).or_insert_with(|| Cell { client: Arc::clone(client), weight: 0.0 });
            cell.weight += 1.0;
        }
        let topology = &snapshot.topology;
        self.cells.retain(|(region, hostname, ..), cell| {
            if let Some(count) = news.get(region) {
                cell.weight *= (-count / FADES_AFTER * std::f64::consts::LN_2).exp();
            }
            topology.route_by_hostname.contains_key(hostname) && topology.region_named(region.as_str()).is_some()
        });
        if self.cells.len() > HEADROOM_FLOWS_MAX {
            let mut weights: Vec<f64> = self.cells.values().map(|cell| cell.weight).collect();
            weights.sort_unstable_by(f64::total_cmp);
            // Ties at the edge go together: what is kept is never more.
            let least = weights[weights.len() - HEADROOM_FLOWS_MAX - 1];
            self.cells.retain(|_, cell| cell.weight > least);
        }
    }

    /// What is carried now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let regions: BTreeMap<Label, Carried> =
            self.regions.iter().map(|(name, region)| (name.clone(), region.carried())).collect();
        let mut weights: BTreeMap<&Label, f64> = BTreeMap::new();
        for ((region, ..), cell) in &self.cells {
            *weights.entry(region).or_default() += cell.weight;
        }
        let flow = |((region, hostname, ..), cell): (&Who, &Cell)| {
            let carried = regions.get(region)?;
            let share = cell.weight / weights.get(region).copied().filter(|all| *all > 0.0)?;
            let (per_second, in_flight) = (carried.per_second * share, carried.busy * share);
            let client = Arc::clone(&cell.client);
            let is_any = per_second > 0.0 || in_flight > 0.0;
            is_any.then(|| Flow { hostname: hostname.clone(), client, region: region.clone(), per_second, in_flight })
        };
        let flows = self.cells.iter().filter_map(flow).collect();
        let watched = self.regions.values().map(Region::watched).max().unwrap_or_default();
        Traffic { flows, regions, watched, assumed: None }
    }
}

impl Region {
    fn watched(&self) -> Duration {
        match (self.looks.front(), self.looks.back()) {
            (Some(first), Some(last)) => last.at.since(first.at),
            _ => Duration::ZERO,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of five minutes")]
    fn carried(&self) -> Carried {
        let seconds = self.watched().as_secs_f64();
        // What the first look found was answered before it.
        let answers: u64 = self.looks.iter().skip(1).map(|look| look.answers).sum();
        let mut in_flight: Vec<u32> = self.looks.iter().map(|look| look.in_flight).collect();
        in_flight.sort_unstable();
        let all: f64 = in_flight.iter().copied().map(f64::from).sum();
        let busy = in_flight.len().saturating_sub(1 + in_flight.len() / BUSY_ONE_IN);
        Carried {
            per_second: if seconds > 0.0 { answers as f64 / seconds } else { 0.0 },
            in_flight: if in_flight.is_empty() { 0.0 } else { all / in_flight.len() as f64 },
            busy: in_flight.get(busy).copied().map_or(0.0, f64::from),
        }
    }
}
