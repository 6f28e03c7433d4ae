//! Names: what resolvers are told by nodes, and whom an address leads to.

use super::World;
use crate::dns::steered::{By, decide, is_settled, sites_from, told};
use crate::geo::place::{Coordinates, Place};
use crate::moment::mix;
use crate::sim::fact::{Fact, NodeIndex, Slot};
use crate::sim::resolvers::Answer;
use crate::topology::RouteIndex;
use crate::topology::zone;
use std::time::Duration;

/// What a resolver needs that has the answer.
const CACHED: Duration = Duration::from_millis(2);
/// Before a resolver asks the next name server.
const NEXT_SERVER: Duration = Duration::from_millis(400);

impl World {
    /// What the name of a route leads a client to, and how long it takes to find out; `None`: nobody answers.
    pub(super) fn resolve(&mut self, number: usize, route: RouteIndex) -> Option<(Answer, Duration)> {
        if self.topology.dns.is_none() {
            // Names lead to the addresses that all sites share.
            return Some((Answer::Sites(0, None), CACHED));
        }
        let client = &self.clients[number];
        let (city, resolver) = (client.city, client.resolver);
        if let Some(answer) = self.resolvers[resolver].knows(self.now, route.at()) {
            return Some((answer, CACHED));
        }
        let mut wait = client.last_mile;
        let mut asked = None;
        for at in self.sites_by_trip(city) {
            let node = NodeIndex::try_from(at).unwrap_or_default();
            let trip = self.city_trips[city][at];
            if self.truth.nodes[at].serves() && self.nodes[at].is_some() {
                wait += trip;
                asked = self.told_by(node, number, route);
                if asked.is_some() {
                    break;
                }
            } else {
                wait += NEXT_SERVER;
            }
        }
        match asked {
            Some((answer, ttl)) => {
                self.resolvers[resolver].learns(self.now, route.at(), answer, ttl);
                Some((answer, wait))
            }
            None => self.resolvers[resolver].knew(self.now, route.at()).map(|answer| (answer, wait)),
        }
    }

    /// What a node answers for the place that it takes the client to be at, and how long that may be believed.
    fn told_by(&mut self, node: NodeIndex, number: usize, route: RouteIndex) -> Option<(Answer, Duration)> {
        let running = self.nodes[usize::from(node)].as_ref()?;
        let snapshot = &running.snapshot;
        let hostname = &self.topology.route(route).hostname;
        let there = *snapshot.topology.route_by_hostname.get(hostname)?;
        let written = snapshot.topology.route(there);
        let place: &Place = &self.clients[number].believed.place;
        let file = self.file_of(node);
        let (by, answer, count) = match written.answer {
            zone::Answer::Front => {
                let sites = told(snapshot, &sites_from(snapshot, Some(place)));
                let mut nodes = sites.iter().filter_map(|at| file.sites[usize::from(*at)]);
                let first = nodes.next()?;
                (By::Sites, Answer::Sites(first, nodes.next()), sites.len())
            }
            zone::Answer::Region => {
                let (_, decision) = decide(snapshot, there, Some(place), place_id(&place.at));
                let best = decision.candidates.first()?.region;
                (By::Region(there), Answer::Region(file.regions[best.at()]), 1)
            }
        };
        let settled = is_settled(snapshot, by, written.ttl.max, running.own(self.now));
        let ttl = if settled { written.ttl.max } else { written.ttl.min };
        self.facts.push(Fact::Resolved { node, route, told: u8::try_from(count).unwrap_or(u8::MAX), ttl });
        Some((answer, ttl))
    }

    /// Whose packets to the address of `site` reach: its own node, or by anycast the nearest one that announces it.
    pub(super) fn reached_at(&self, slot: Slot, site: NodeIndex) -> NodeIndex {
        let group = &self.anycast[usize::from(site)];
        if group.len() < 2 {
            return site;
        }
        let city = self.clients[self.live[slot as usize].request.client as usize].city;
        let trips = &self.city_trips[city];
        let announces = |at: &&NodeIndex| self.announces(**at);
        group.iter().filter(announces).min_by_key(|at| trips[usize::from(**at)]).copied().unwrap_or(site)
    }

    /// Whether the world still thinks that a node is there.
    #[must_use]
    pub fn announces(&self, node: NodeIndex) -> bool {
        let gone = self.doors[usize::from(node)].gone_since;
        gone.is_none_or(|since| self.now.since(since) < self.scenario.ways.withdrawal)
    }

    fn sites_by_trip(&self, city: usize) -> Vec<usize> {
        let mut sites: Vec<usize> = (0..self.nodes.len()).collect();
        sites.sort_by_key(|at| self.city_trips[city][*at]);
        sites
    }
}

/// A stable number of a place, for ties in DNS.
fn place_id(at: &Coordinates) -> u64 {
    mix(at.latitude().to_bits() ^ at.longitude().to_bits().rotate_left(32))
}
