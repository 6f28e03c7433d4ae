//! One client's connection: who it is, and what was decided for it lately.

use super::Front;
use super::arrival::Arrival;
use super::course::Course;
use super::guard::Talk;
use super::headers::{self, Farewell, Introduction};
use super::journey::full_regions;
use super::lifetime::Lifetime;
use super::streams::Streams;
use crate::client::Asker;
use crate::counters::records::DecisionId;
use crate::counters::traffic::Place;
use crate::geo::place::Country;
use crate::names::{Hostname, Label};
use crate::snapshot::Snapshot;
use crate::steering::decision::Decision;
use crate::steering::{Client, Query, Wish, steer};
use crate::topology::{RegionIndex, RouteIndex};
use crate::upstream::AttemptError;
use http::{HeaderValue, StatusCode, Version};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// What the requests of one connection share.
#[derive(Debug)]
pub struct Connection {
    /// The worker's.
    pub front: Arc<Front>,
    /// How it came.
    pub arrival: Arrival,
    /// What its bytes and its requests tell each other.
    pub talk: Arc<Talk>,
    /// How long it goes on taking requests.
    pub lifetime: Lifetime,
    /// Held by everything that the end of the node has to wait for.
    pub alive: mpsc::Sender<()>,
    /// What runs its streams, by HTTP/2.
    pub streams: Streams,
    memory: Mutex<Memory>,
    /// Seldom there, and large.
    resumed: Mutex<Option<Box<Resumed>>>,
}

/// A request that began on the fast path and has to go the whole way: its bytes are read again, its past is here.
#[derive(Debug)]
pub struct Resumed {
    /// Its id.
    pub request_id: HeaderValue,
    /// What its decision is called.
    pub id: DecisionId,
    /// Its attempts so far, and the next.
    pub course: Course,
    /// How the last one failed, if there must be no other.
    pub over: Option<AttemptError>,
}

/// The last client, decision, and what was said of both: the next request of a connection mostly wants the same.
#[derive(Debug, Default)]
struct Memory {
    generation: u64,
    /// What may be asked for here.
    asked: Option<RouteIndex>,
    client: Option<(IpAddr, Arc<Client>)>,
    decision: Option<(RouteIndex, Arc<Decision>)>,
    introduction: Option<(Asker, Hostname, Version, Arc<Introduction>)>,
    farewell: Option<(RegionIndex, StatusCode, Version, Arc<Farewell>)>,
    place: Option<(Counted, Place)>,
}

/// What requests are counted by: hostname, region, class and the client's country.
type Counted = (Hostname, Option<RegionIndex>, Arc<str>, Option<Country>);

impl Connection {
    /// A connection nobody has asked anything on.
    #[must_use]
    pub fn new(
        front: Arc<Front>,
        arrival: Arrival,
        talk: Arc<Talk>,
        lifetime: Lifetime,
        alive: mpsc::Sender<()>,
    ) -> Self {
        Self {
            front,
            arrival,
            talk,
            lifetime,
            alive,
            streams: Streams::default(),
            memory: Mutex::default(),
            resumed: Mutex::default(),
        }
    }

    /// Has the next request go on where the fast path stopped.
    pub fn resume(&self, resumed: Resumed) {
        *self.resumed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(resumed));
    }

    /// What the fast path left to this request, if it did.
    pub fn take_resumed(&self) -> Option<Box<Resumed>> {
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn memory(&self, snapshot: &Snapshot) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.generation != snapshot.generation {
            *memory = Memory { generation: snapshot.generation, ..Memory::default() };
        }
        memory
    }

    /// Whether a request for `route` may come this way at all ([`Arrival::may_ask`]).
    #[must_use]
    pub fn may_ask(&self, snapshot: &Snapshot, route: RouteIndex) -> bool {
        let asked = snapshot.topology.route(route);
        if self.arrival.tls.is_none() {
            return self.arrival.may_ask(&asked.hostname, asked.client_auth.as_ref());
        }
        let mut memory = self.memory(snapshot);
        if memory.asked != Some(route) {
            if !self.arrival.may_ask(&asked.hostname, asked.client_auth.as_ref()) {
                return false;
            }
            memory.asked = Some(route);
        }
        true
    }

    /// Who the asker is to steering, and the first decision for it.
    #[must_use]
    pub fn decide(
        &self,
        snapshot: &Snapshot,
        route: RouteIndex,
        asker: &Asker,
        wish: Wish,
    ) -> (Arc<Client>, Arc<Decision>) {
        let mut memory = self.memory(snapshot);
        let known = memory.client.as_ref().filter(|(address, _)| *address == asker.address);
        let client = if let Some((_, client)) = known {
            Arc::clone(client)
        } else {
            let client = Arc::new(Client::locate(snapshot, asker.address));
            memory.client = Some((asker.address, Arc::clone(&client)));
            memory.decision = None;
            client
        };
        let full = full_regions(snapshot);
        let is_usual = full.is_empty() && wish == Wish::default();
        let known = memory.decision.as_ref().filter(|(known, _)| *known == route && is_usual);
        let decision = if let Some((_, decision)) = known {
            Arc::clone(decision)
        } else {
            let decision = Arc::new(steer(snapshot, &Query { full: &full, wish, ..Query::first(route, &client) }));
            if is_usual {
                memory.decision = Some((route, Arc::clone(&decision)));
            }
            decision
        };
        (client, decision)
    }

    /// What is said of the asker to regions.
    #[must_use]
    pub fn introduce(
        &self,
        snapshot: &Snapshot,
        asker: Asker,
        hostname: &Hostname,
        version: Version,
    ) -> Arc<Introduction> {
        let mut memory = self.memory(snapshot);
        if let Some((of, to, by, known)) = &memory.introduction
            && (of, to, *by) == (&asker, hostname, version)
        {
            return Arc::clone(known);
        }
        let (site, zone) = (&snapshot.here.name, &snapshot.topology.zone);
        let made = Arc::new(Introduction::new(hostname, &asker, &self.arrival, version, site, zone));
        memory.introduction = Some((asker, hostname.clone(), version, Arc::clone(&made)));
        made
    }

    /// Where requests of a class for a hostname are counted that `region` answers for clients in `country`.
    #[must_use]
    pub fn place(
        &self,
        snapshot: &Snapshot,
        (hostname, region, class): (&Hostname, Option<(RegionIndex, &Label)>, &Arc<str>),
        country: Option<Country>,
    ) -> Place {
        let mut memory = self.memory(snapshot);
        let index = region.map(|(index, _)| index);
        if let Some(((of, at, within, from), known)) = &memory.place
            && (of, *at, *from) == (hostname, index, country)
            && Arc::ptr_eq(within, class)
        {
            return known.clone();
        }
        let (tables, now) = (&self.front.counters.tables, self.front.clock.now());
        let found = tables.place(hostname, region.map(|(_, name)| name), class, country, now);
        memory.place = Some(((hostname.clone(), index, Arc::clone(class), country), found.clone()));
        found
    }

    /// What is said to the client of an answer that came with the first attempt.
    #[must_use]
    pub fn part(
        &self,
        snapshot: &Snapshot,
        region: RegionIndex,
        status: StatusCode,
        version: Version,
    ) -> Arc<Farewell> {
        let mut memory = self.memory(snapshot);
        if let Some((of, with, by, known)) = &memory.farewell
            && (*of, *with, *by) == (region, status, version)
        {
            return Arc::clone(known);
        }
        let (site, name) = (&snapshot.here.name, &snapshot.topology.region(region).name);
        let happened = headers::happened(site, &[], Some((name, status.as_u16())));
        let made = Arc::new(Farewell::new(version, site, name, &happened));
        memory.farewell = Some((region, status, version, Arc::clone(&made)));
        made
    }
}
