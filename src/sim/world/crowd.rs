//! Who asks, and what they ask: drawn once, at the begin.

use super::{Client, World};
use crate::control::Control;
use crate::front::terms::Terms;
use crate::geo::database::Locator;
use crate::geo::place::Place;
use crate::moment::{Dice, Moment};
use crate::names::Hostname;
use crate::sim::chance::{by_weight, total};
use crate::sim::distance::last_mile;
use crate::sim::resolvers::Resolver;
use crate::sim::scenario::{Crowd, Day, Scenario, Work};
use crate::sim::stage::Stage;
use crate::snapshot::Snapshot;
use crate::steering::Client as Believed;
use crate::topology::{Route, RouteIndex, Topology};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How many clients share a resolver.
const CLIENTS_PER_RESOLVER: usize = 4;

/// How busy an hour of the day is, by the sun; the mean of each is 1.
const OFFICE: [f64; 24] = [
    0.15, 0.1, 0.1, 0.1, 0.1, 0.15, 0.3, 0.7, 1.5, 2.2, 2.4, 2.3, 1.8, 2.1, 2.3, 2.2, 2.0, 1.5, 0.8, 0.5, 0.3, 0.2,
    0.1, 0.1,
];
const EVENING: [f64; 24] = [
    0.8, 0.5, 0.3, 0.2, 0.15, 0.15, 0.25, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.05, 1.15, 1.3, 1.6, 1.95, 2.2,
    2.3, 2.05, 1.6,
];

impl Day {
    fn hours(self) -> Option<&'static [f64; 24]> {
        match self {
            Self::Flat => None,
            Self::Office => Some(&OFFICE),
            Self::Evening => Some(&EVENING),
        }
    }

    /// How busy it is where the sun is `longitude` degrees from Greenwich; 1 on average.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours of a day")]
    pub fn busy(self, wall: Duration, longitude: f64) -> f64 {
        let Some(hours) = self.hours() else { return 1.0 };
        let hour = ((wall.as_secs() % 86_400) as f64 / 3_600.0 + longitude / 15.0 + 48.0) % 24.0;
        let (this, part) = (hour as usize % 24, hour.fract());
        hours[this] * (1.0 - part) + hours[(this + 1) % 24] * part
    }

    /// How busy it ever is.
    pub(super) fn peak(self) -> f64 {
        self.hours().map_or(1.0, |hours| hours.iter().copied().fold(0.0, f64::max))
    }
}

/// The terms of each kind of work on each route, by what a real request of it says.
fn terms(topology: &Topology, crowd: &Crowd) -> Vec<Vec<Terms>> {
    let of = |route: &Route, work: &Work| {
        let mut request = http::Request::new(());
        *request.method_mut() = work.method.clone();
        if let Some(patience) = work.patience {
            let ms = http::HeaderValue::from(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
            request.headers_mut().insert("x-tfy-ttft-timeout-ms", ms);
        }
        let (mut parts, ()) = request.into_parts();
        if let Ok(path) = work.path.parse() {
            parts.uri = path;
        }
        Terms::of(topology.class(&route.hostname, &work.path), &parts, &topology.forward)
    };
    topology.routes.iter().map(|route| crowd.work.iter().map(|(work, _)| of(route, work)).collect()).collect()
}

/// What a node believes before its first probe: enough to place clients.
fn first_snapshot(topology: &Arc<Topology>, locator: &Arc<Locator>) -> Arc<Snapshot> {
    let here = topology.sites[0].clone();
    let mut control = Control::new(Moment::ZERO, Arc::clone(topology), Arc::clone(locator), here, Arc::from([]));
    control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new").0
}

/// The client with that number.
fn draw(
    dice: &mut Dice,
    number: u64,
    scenario: &Scenario,
    stage: &Stage,
    snapshot: &Snapshot,
    (resolvers, roomy): (&mut Vec<Resolver>, &mut BTreeMap<(usize, usize), usize>),
) -> Client {
    let crowd = &scenario.crowd;
    let pick = |dice: &mut Dice| match crowd.places.as_slice() {
        [] => stage.cities.drawn(dice),
        places => *by_weight(dice, places, total(places)),
    };
    let city = pick(dice);
    let address = stage.addresses.client(city, number);
    let elsewhere = stage.addresses.client(stage.cities.drawn(dice), number);
    let there = &stage.cities.all()[city];
    let habit = *by_weight(dice, &crowd.resolvers, total(&crowd.resolvers));
    // Neighbours of one habit ask the same resolver, until it has enough of them.
    let kind = crowd.resolvers.iter().position(|(known, _)| *known == habit).unwrap_or(0);
    let known = roomy.get(&(city, kind)).copied().filter(|at| resolvers[*at].clients < CLIENTS_PER_RESOLVER);
    let resolver = known.unwrap_or_else(|| {
        resolvers.push(Resolver::new(habit, city, snapshot.topology.routes.len()));
        roomy.insert((city, kind), resolvers.len() - 1);
        resolvers.len() - 1
    });
    resolvers[resolver].clients += 1;
    let believed = Believed::locate(snapshot, address);
    let mistaken = Believed::locate(snapshot, elsewhere);
    let mistaken = Believed::at(address, mistaken.place, mistaken.placed_by);
    Client {
        city,
        place: Place { at: there.at, country: Some(there.country), city: None },
        address,
        program: *by_weight(dice, &crowd.programs, total(&crowd.programs)),
        last_mile: last_mile(number ^ dice.roll()),
        believed: Arc::new(believed),
        mistaken: Arc::new(mistaken),
        resolver,
        kept: None,
        kept_region: None,
    }
}

impl World {
    /// Who asks, and what they ask.
    pub(super) fn settle_crowd(&mut self) -> Result<(), String> {
        let crowd = &self.scenario.crowd;
        let topology = Arc::clone(&self.topology);
        let written = topology.routes.iter().enumerate().filter(|(_, route)| !route.is_regional);
        self.routes = if crowd.hostnames.is_empty() {
            written.map(|(at, _)| (RouteIndex::of(at), 1)).collect()
        } else {
            let index = |(name, weight): &(Hostname, u32)| {
                let route = topology.route_by_hostname.get(name);
                route.map(|route| (*route, *weight)).ok_or_else(|| name.clone())
            };
            let known: Result<Vec<_>, _> = crowd.hostnames.iter().map(index).collect();
            known.map_err(|name| format!("the configuration has no hostname {name}"))?
        };
        self.routes_total = total(&self.routes);
        if self.routes_total == 0 || crowd.programs.is_empty() || crowd.work.is_empty() || crowd.resolvers.is_empty() {
            return Err("nobody asks for anything".into());
        }
        let mut up_to = 0;
        let add = |(_, weight): &(_, u32)| {
            up_to += u64::from(*weight);
            up_to
        };
        self.work_up_to = crowd.work.iter().map(add).collect();
        self.work_total = up_to;
        self.terms = terms(&topology, crowd);
        let snapshot = first_snapshot(&topology, &self.stage.locator);
        let mut dice = Dice::seeded(self.dice.roll());
        let mut roomy = BTreeMap::new();
        for number in 0..u64::from(crowd.clients) {
            let resolvers = (&mut self.resolvers, &mut roomy);
            let client = draw(&mut dice, number, &self.scenario, &self.stage, &snapshot, resolvers);
            self.clients.push(client);
        }
        Ok(())
    }
}
