//! The people, their ways, and the nodes that decide for them.

use super::tally::{Choice, Tally};
use super::{Case, Knows};
use crate::control::Control;
use crate::geo::database::Locator;
use crate::geo::place::Place;
use crate::health::{Reason, Standing};
use crate::moment::Moment;
use crate::sim::cities::Cities;
use crate::sim::distance::{last_mile, round_trip};
use crate::sim::stage::Stage;
use crate::snapshot::Snapshot;
use crate::steering::{Client, PlacedBy, Query, steer};
use crate::topology::{RegionIndex, Route, RouteIndex, Site, Steering, Topology};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where weights decide, a city's people are split among so many prefixes, which draw different lots.
const LOTS: u64 = 16;

/// What is the same in all cases.
pub(super) struct Ground<'a> {
    pub(super) stage: &'a Stage,
    askers: Vec<Asker>,
    /// From each site to each region.
    onward: Vec<Vec<Duration>>,
}

/// People of one prefix.
struct Asker {
    city: usize,
    people: u64,
    /// As a node knows it, by its address.
    believed: Client,
    /// As one knows it who sees everything.
    known: Client,
    /// The site to which anycast brings it, and how far that is, its last mile with it.
    site: usize,
    to_site: Duration,
    /// To each region, its last mile with it.
    straight: Vec<Duration>,
}

impl<'a> Ground<'a> {
    pub(super) fn of(stage: &'a Stage) -> Self {
        let (topology, cities) = (&stage.topology, &stage.cities);
        let is_by_lot = topology.routes.iter().any(|route| route.steering == Steering::Weighted);
        let lots = if is_by_lot { LOTS } else { 1 };
        let first = all_up(Arc::clone(topology), &stage.locator, &topology.sites[0]);
        let mut askers = Vec::new();
        for (at, city) in cities.all().iter().enumerate() {
            for lot in 0..lots {
                let people = city.people / lots + u64::from(lot < city.people % lots);
                askers.push(Asker::of(&first, cities, at, stage.addresses.client(at, lot), people));
            }
        }
        let from =
            |site: &Site| topology.regions.iter().map(|region| round_trip(&site.place.at, &region.place.at)).collect();
        let onward = topology.sites.iter().map(from).collect();
        Self { stage, askers, onward }
    }

    /// The mean round trip of all people straight to their best region, and what the best one through the door takes more.
    pub(super) fn limits(&self, route: &Route) -> [u64; 2] {
        let mut tallies = [Tally::default(), Tally::default()];
        for asker in &self.askers {
            let [Some(straight), Some(through)] = self.best(asker, route, None) else { continue };
            let shortest = asker.straight[straight.at()];
            let choice = Choice { city: asker.city, gets: through, best: straight };
            tallies[0].add(shortest, asker.people, choice);
            tallies[1].add(self.through(asker, through).saturating_sub(shortest), asker.people, choice);
        }
        tallies.map(|tally| tally.counted().mean_us)
    }

    /// The nodes of all sites as they are in this case of this hostname.
    pub(super) fn nodes(&self, route: RouteIndex, case: Case) -> Vec<Snapshot> {
        let mut topology = Topology::clone(&self.stage.topology);
        topology.routes[route.at()].steering = case.steering;
        let topology = Arc::new(topology);
        let node = |(site, onward): (&Site, &Vec<Duration>)| {
            let mut node = all_up(Arc::clone(&topology), &self.stage.locator, site);
            for (state, time) in node.regions.iter_mut().zip(onward).filter(|_| case.is_measured) {
                state.round_trip = Some(*time);
            }
            node
        };
        topology.sites.iter().zip(&self.onward).map(node).collect()
    }

    /// What everybody gets without the region that is gone, and what would be best: straight, and through the door. Who
    /// gets nothing that is up is left out. Afterwards every region is up again.
    pub(super) fn choices(
        &self,
        nodes: &mut [Snapshot],
        index: RouteIndex,
        knows: Knows,
        gone: Option<RegionIndex>,
    ) -> [Tally; 2] {
        set(nodes, gone, Standing::Down);
        let route = self.stage.topology.route(index);
        let mut tallies = [Tally::default(), Tally::default()];
        for asker in &self.askers {
            let client = if knows == Knows::Database { &asker.believed } else { &asker.known };
            let decision = steer(&nodes[asker.site], &Query::first(index, client));
            let first = decision.candidates.first().filter(|first| first.standing == Standing::Up);
            let (Some(first), [Some(straight), Some(through)]) = (first, self.best(asker, route, gone)) else {
                continue;
            };
            let gets = first.region;
            let extra = asker.straight[gets.at()].saturating_sub(asker.straight[straight.at()]);
            tallies[0].add(extra, asker.people, Choice { city: asker.city, gets, best: straight });
            let extra = self.through(asker, gets).saturating_sub(self.through(asker, through));
            tallies[1].add(extra, asker.people, Choice { city: asker.city, gets, best: through });
        }
        set(nodes, gone, Standing::Up);
        tallies
    }

    /// The nearest of the regions that are meant to serve: straight, and through the door.
    fn best(&self, asker: &Asker, route: &Route, gone: Option<RegionIndex>) -> [Option<RegionIndex>; 2] {
        let there = || {
            let members = route.members.iter().filter(|member| Some(member.region) != gone);
            members.filter(|member| !route.shuts_out(&self.stage.topology, member.region))
        };
        let level = there().map(|member| member.level).min();
        let meant = || there().filter(|member| Some(member.level) == level).map(|member| member.region);
        let onward = &self.onward[asker.site];
        [meant().min_by_key(|region| asker.straight[region.at()]), meant().min_by_key(|region| onward[region.at()])]
    }

    fn through(&self, asker: &Asker, region: RegionIndex) -> Duration {
        asker.to_site + self.onward[asker.site][region.at()]
    }
}

impl Asker {
    fn of(node: &Snapshot, cities: &Cities, at: usize, address: IpAddr, people: u64) -> Self {
        let topology = &node.topology;
        let city = &cities.all()[at];
        let believed = Client::locate(node, address);
        let place = Place { at: city.at, country: Some(city.country), city: Some(city.name.into()) };
        let last_mile = last_mile(believed.hash());
        let far = |place: &Place| round_trip(&city.at, &place.at) + last_mile;
        let sites = topology.sites.iter().map(|site| far(&site.place)).enumerate();
        let (site, to_site) = sites.min_by_key(|(_, far)| *far).expect("a fleet has a site");
        let straight = topology.regions.iter().map(|region| far(&region.place)).collect();
        Self {
            city: at,
            people,
            believed,
            known: Client::at(address, place, PlacedBy::Database),
            site,
            to_site,
            straight,
        }
    }
}

/// A node at `site` that finds every region up.
fn all_up(topology: Arc<Topology>, locator: &Arc<Locator>, site: &Site) -> Snapshot {
    let mut control = Control::new(Moment::ZERO, topology, Arc::clone(locator), site.clone(), Arc::from([]));
    let (snapshot, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
    drop(control);
    let mut snapshot = Arc::into_inner(snapshot).expect("only control had another");
    for state in &mut snapshot.regions {
        (state.standing, state.reason, state.share_percent) = (Standing::Up, Reason::Assumed, 100);
    }
    snapshot
}

fn set(nodes: &mut [Snapshot], region: Option<RegionIndex>, standing: Standing) {
    let Some(region) = region else { return };
    for node in nodes {
        node.regions[region.at()].standing = standing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::check::check;
    use std::path::Path;

    #[test]
    fn nobody_gets_a_region_that_is_gone_and_everybody_gets_one() {
        let published = include_str!("../../../regions.toml");
        let topology = check(published, Path::new("regions.toml")).expect("the published file is right").topology;
        let locator = Arc::new(Locator::open(Vec::new(), None).expect("the database in the box"));
        let stage = Stage::of(Arc::new(topology), locator);
        let (ground, topology, cities) = (Ground::of(&stage), &stage.topology, &stage.cities);
        for (at, route) in topology.routes.iter().enumerate().filter(|(_, route)| !route.is_regional) {
            let index = RouteIndex::of(at);
            for case in super::super::cases(route.steering) {
                let mut nodes = ground.nodes(index, case);
                for gone in (0..topology.regions.len()).map(RegionIndex::of) {
                    for tally in ground.choices(&mut nodes, index, case.place, Some(gone)) {
                        assert_eq!(tally.people(), cities.people(), "{}: {case:?} without {gone:?}", route.hostname);
                        let goes_there = |choice: &Choice| choice.gets == gone || choice.best == gone;
                        assert_eq!(tally.choices().find(goes_there), None, "{}: {case:?}", route.hostname);
                    }
                }
            }
        }
    }
}
