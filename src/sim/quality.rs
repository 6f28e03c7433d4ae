//! How good steering is: what clients lose against the best choice, weighted by the people of the world's cities.
//!
//! The truth is where a city is and [how far](super::distance) everything is from there; what steering makes of it is
//! decided by [`steer`](crate::steering::steer) itself over a real [`Snapshot`], at the node to which anycast brings the client: that of the
//! nearest site. The best choice is the nearest region by the truth among those that the hostname means to serve a client
//! while they are up: the primaries, and the first fallback that has one left when all before it are gone. So what the
//! file wants is never counted against steering, only what it missed.
//!
//! A client goes straight to the region that DNS names, or through the front door of its site. Whom the door serves best
//! is another question than who is nearest to the client: from a site far away the way on counts alone. Both are told.

mod ground;
mod shown;
mod tally;

use super::stage::Stage;
use crate::snapshot::Snapshot;
use crate::topology::{RegionIndex, Route, RouteIndex, Steering};
use ground::Ground;
use std::sync::Arc;
use tally::Tally;

/// How good steering is, for every written hostname.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Quality {
    /// How many cities were asked for.
    pub cities: usize,
    /// How many people live there.
    pub people: u64,
    /// Where nodes stand.
    pub sites: Vec<Arc<str>>,
    /// In the order of the file.
    pub hostnames: Vec<OfHostname>,
}

/// How good it is for one hostname.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OfHostname {
    /// Its name.
    pub hostname: Arc<str>,
    /// How many regions may serve it.
    pub regions: usize,
    /// The round trip straight to the best region, on average over all people, microseconds.
    pub best_mean_us: u64,
    /// What the best choice through the door of the nearest site takes more, on average, microseconds. Nothing but more
    /// sites makes it less.
    pub detour_mean_us: u64,
    /// With what steering knows and does.
    pub cases: Vec<OfCase>,
}

/// How good it is if steering knows so much and does so.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OfCase {
    /// What it knows and does.
    #[serde(flatten)]
    pub case: Case,
    /// For clients that dial the region themselves.
    pub straight: OfWay,
    /// For clients that go through the door of their nearest site, against the best choice from there.
    pub door: OfWay,
}

/// What steering knows and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Case {
    /// The policy.
    pub steering: Steering,
    /// Where clients are taken to be.
    pub place: Knows,
    /// Whether the node has measured its round trips to the regions. Every real one has, after a second.
    pub is_measured: bool,
    /// Whether this is what the file says and a node knows.
    pub is_as_written: bool,
}

/// Where clients are taken to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Knows {
    /// Where the node's geo database says.
    Database,
    /// Where they are.
    Truth,
}

/// How good it is on one way.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OfWay {
    /// With all regions up.
    pub all_up: Extra,
    /// With any one region gone that may serve it: the mean of the means, microseconds.
    pub one_gone_mean_us: u64,
    /// And the region without which the mean is worst; `None` if no region can go without the hostname going.
    pub one_gone_worst: Option<Gone>,
}

/// How good it is without a region.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Gone {
    /// Which.
    pub region: Arc<str>,
    /// How good then.
    pub extra: Extra,
}

/// The round trip that people have more than with the best choice, microseconds.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Extra {
    /// On average.
    pub mean_us: u64,
    /// Half of the people have no more.
    pub median_us: u64,
    /// 99 of 100 people have no more.
    pub p99_us: u64,
    /// Of 100 people so many have the best choice, rounded down.
    pub best_percent: u64,
    /// Who has most, if anybody has any.
    pub worst: Option<Worst>,
}

/// The city that loses most.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Worst {
    /// How much, microseconds.
    pub extra_us: u64,
    /// Which city, with its country.
    pub city: String,
    /// The region that it gets.
    pub gets: Arc<str>,
    /// The one that is best.
    pub best: Arc<str>,
}

/// Asks for every city and written hostname what steering would choose and what would be best, in every case and without
/// each of the regions: some hundred thousand decisions.
#[must_use]
pub fn measure(stage: &Stage) -> Quality {
    let ground = Ground::of(stage);
    let (topology, cities) = (&stage.topology, &stage.cities);
    let written = topology.routes.iter().enumerate().filter(|(_, route)| !route.is_regional);
    Quality {
        cities: cities.all().len(),
        people: cities.people(),
        sites: topology.sites.iter().map(|site| site.name.as_str().into()).collect(),
        hostnames: written.map(|(at, route)| hostname(&ground, RouteIndex::of(at), route)).collect(),
    }
}

fn hostname(ground: &Ground<'_>, index: RouteIndex, route: &Route) -> OfHostname {
    let members = route.members.iter().map(|member| member.region);
    let regions: Vec<RegionIndex> =
        members.filter(|region| !route.shuts_out(&ground.stage.topology, *region)).collect();
    let [best_mean_us, detour_mean_us] = ground.limits(route);
    let cases = cases(route.steering);
    OfHostname {
        hostname: route.hostname.as_str().into(),
        regions: regions.len(),
        best_mean_us,
        detour_mean_us,
        cases: cases.into_iter().map(|case| judge(ground, index, case, &regions)).collect(),
    }
}

/// What is worth knowing: the database alone, the true place, with times and without, times alone; and what is written.
fn cases(written: Steering) -> Vec<Case> {
    use Knows::{Database, Truth};
    use Steering::{Latency, Nearest};
    let mut all =
        vec![(Nearest, Database, false), (Nearest, Truth, false), (Nearest, Database, true), (Nearest, Truth, true)];
    all.push((Latency, Database, true));
    if !matches!(written, Nearest | Latency) {
        all.push((written, Database, true));
    }
    let case = |(steering, place, is_measured)| {
        let is_as_written = steering == written && place == Database && is_measured;
        Case { steering, place, is_measured, is_as_written }
    };
    all.into_iter().map(case).collect()
}

fn judge(ground: &Ground<'_>, index: RouteIndex, case: Case, regions: &[RegionIndex]) -> OfCase {
    let mut nodes: Vec<Snapshot> = ground.nodes(index, case);
    let all_up = ground.choices(&mut nodes, index, case.place, None);
    let mut gone: [Vec<Gone>; 2] = Default::default();
    for region in regions {
        let without = ground.choices(&mut nodes, index, case.place, Some(*region));
        for (gone, tally) in gone.iter_mut().zip(without).filter(|(_, tally)| !tally.is_empty()) {
            let region = ground.stage.topology.region(*region).name.as_str().into();
            gone.push(Gone { region, extra: extra(ground, tally) });
        }
    }
    let [straight, door] = all_up.map(|tally| extra(ground, tally));
    let [gone_straight, gone_door] = gone;
    OfCase { case, straight: OfWay::of(straight, gone_straight), door: OfWay::of(door, gone_door) }
}

fn extra(ground: &Ground<'_>, tally: Tally) -> Extra {
    let region = |region: RegionIndex| ground.stage.topology.region(region).name.as_str().into();
    let counted = tally.counted();
    Extra {
        mean_us: counted.mean_us,
        median_us: counted.median_us,
        p99_us: counted.p99_us,
        best_percent: counted.best_percent,
        worst: counted.worst.map(|(extra_us, choice)| {
            let city = &ground.stage.cities.all()[choice.city];
            let city = format!("{}, {}", city.name, city.country);
            Worst { extra_us, city, gets: region(choice.gets), best: region(choice.best) }
        }),
    }
}

impl OfWay {
    fn of(all_up: Extra, gone: Vec<Gone>) -> Self {
        let sum: u64 = gone.iter().map(|gone| gone.extra.mean_us).sum();
        let one_gone_mean_us = sum.checked_div(gone.len() as u64).unwrap_or_default();
        // The first of equals, as the file has them.
        let one_gone_worst = gone.into_iter().rev().max_by_key(|gone| gone.extra.mean_us);
        Self { all_up, one_gone_mean_us, one_gone_worst }
    }
}
