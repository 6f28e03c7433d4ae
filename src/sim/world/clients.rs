//! Clients: when they want something, how their programs come to a node, and what they do when it fails.

use super::{Doing, Event, Live, World};
use crate::health::Fault;
use crate::moment::Moment;
use crate::sim::chance::{below, by_weight, exponential, time_of, times};
use crate::sim::fact::{Fact, NodeIndex, Outcome, Slot};
use crate::sim::request::{PROCESSED_MAX, Request};
use crate::sim::resolvers::Answer;
use crate::sim::scenario::Program;
use crate::steering::Client as Believed;
use crate::topology::RegionIndex;
use crate::upstream::Progress;
use std::sync::Arc;
use std::time::Duration;

/// How long a client's program waits for a connection, as the OpenAI SDKs do.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Before a client's program dials the next address of a name while the first says nothing (RFC 8305 §5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

impl World {
    /// Plans when the next of the crowd wants something.
    pub(super) fn plan_wish(&mut self) {
        let crowd = &self.scenario.crowd;
        let per_second = f64::from(crowd.clients) * crowd.per_minute / 60.0 * crowd.day.peak() * self.truth.traffic;
        if per_second > 0.0 {
            let wait = Duration::from_secs_f64(exponential(&mut self.crowd_dice) / per_second);
            self.after(wait.max(Duration::from_nanos(1)), Event::Wish(self.wish_serial));
        }
    }

    /// Somebody wants something, perhaps.
    pub(super) fn wish(&mut self) {
        self.plan_wish();
        let scenario = Arc::clone(&self.scenario);
        let crowd = &scenario.crowd;
        let number = below(&mut self.crowd_dice, u64::from(crowd.clients));
        let client = &self.clients[usize::try_from(number).unwrap_or(0)];
        let busy = crowd.day.busy(self.wall(), client.place.at.longitude());
        if self.crowd_dice.fraction() * crowd.day.peak() >= busy {
            return;
        }
        let dice = &mut self.crowd_dice;
        let route = *by_weight(dice, &self.routes, self.routes_total);
        let work = below(dice, self.work_total);
        let work = self.work_up_to.partition_point(|up_to| *up_to <= work);
        let asked = &crowd.work[work].0;
        let is_mistaken = dice.fraction() < self.truth.geo_shift;
        let believed = Arc::clone(if is_mistaken { &client.mistaken } else { &client.believed });
        let request = Request {
            client: u32::try_from(number).unwrap_or(0),
            route,
            work: u16::try_from(work).unwrap_or(0),
            program: client.program,
            is_safe: self.terms[route.at()][work].is_safe,
            wished_at: self.now,
            asked_at: self.now,
            tries: 0,
            attempts: 0,
            node: None,
            first_byte: None,
            takes: time_of(dice, asked.takes),
            flows: time_of(dice, asked.flows),
            processed: [None; PROCESSED_MAX],
        };
        let slot = self.occupy(request, believed);
        if self.truth.is_held {
            self.held_wishes.push(slot);
        } else {
            self.wishes(slot);
        }
    }

    fn occupy(&mut self, request: Request, believed: Arc<Believed>) -> Slot {
        let live = |request, serial| Live {
            request,
            serial,
            believed,
            course: None,
            limit: None,
            in_flight: None,
            stage: Doing::Asking,
            region: RegionIndex::of(0),
            was_reused: false,
            sent_at: Moment::ZERO,
            hangs_since: None,
            again: Duration::ZERO,
            status: 200,
            is_unserved: false,
            is_own: false,
            life: 0,
            told: None,
            others: [None; 2],
        };
        match self.free.pop() {
            Some(slot) => {
                let serial = self.live[slot as usize].serial + 1;
                self.live[slot as usize] = live(request, serial);
                slot
            }
            None => {
                self.live.push(live(request, 0));
                Slot::try_from(self.live.len() - 1).unwrap_or(Slot::MAX)
            }
        }
    }

    /// The first try of a wish begins.
    pub(super) fn wishes(&mut self, slot: Slot) {
        let live = &mut self.live[slot as usize];
        (live.request.wished_at, live.request.asked_at) = (self.now, self.now);
        self.facts.push(Fact::Wishes(slot));
        self.ask(slot);
    }

    /// A client's try begins: on the connection that it has, or where its name leads.
    pub(super) fn ask(&mut self, slot: Slot) {
        let live = &mut self.live[slot as usize];
        live.serial += 1;
        live.stage = Doing::Asking;
        live.request.tries += 1;
        live.request.asked_at = self.now;
        live.request.node = None;
        (live.is_own, live.is_unserved, live.told, live.others) = (false, false, None, [None; 2]);
        live.hangs_since = None;
        let (number, route) = (live.request.client as usize, live.request.route);
        if let Some((node, until)) = self.clients[number].kept
            && self.now < until
            && !self.truth.nodes[usize::from(node)].is_gone
        {
            let half = self.client_trip(slot, node) / 2;
            return self.knock(slot, node, half);
        }
        self.clients[number].kept = None;
        if let Some((region, _)) = self.clients[number].kept_region.filter(|(_, until)| self.now < *until) {
            return self.dials(slot, region, self.region_trip(slot, region) / 2);
        }
        let Some((answer, took)) = self.resolve(number, route) else {
            let serial = self.live[slot as usize].serial;
            return self.after(Duration::from_millis(500), Event::Miss(slot, serial));
        };
        match answer {
            Answer::Sites(first, second) => {
                self.live[slot as usize].others = [second, None];
                self.dial(slot, first, took);
            }
            Answer::Region(region) => self.dial_region(slot, region, took),
        }
    }

    /// Dials the address of a site, after `wait`; goes on to the next address if nobody is there.
    fn dial(&mut self, slot: Slot, site: NodeIndex, wait: Duration) {
        let node = self.reached_at(slot, site);
        let trip = self.client_trip(slot, node);
        let there = &self.truth.nodes[usize::from(node)];
        let (is_gone, is_isolated) = (there.is_gone, there.is_isolated);
        if !(is_gone || is_isolated) {
            // TCP and TLS 1.3 need a round trip each, then the request goes.
            return self.knock(slot, node, wait + trip * 2 + trip / 2);
        }
        let wait = wait + if is_gone { trip } else { NEXT_ADDRESS };
        match self.live[slot as usize].others[0].take() {
            Some(next) => self.dial(slot, next, wait),
            None => {
                let serial = self.live[slot as usize].serial;
                let wait = if is_gone { wait } else { wait + CONNECT_TIMEOUT };
                self.after(wait, Event::Miss(slot, serial));
            }
        }
    }

    fn knock(&mut self, slot: Slot, node: NodeIndex, wait: Duration) {
        let live = &mut self.live[slot as usize];
        live.request.node = Some(node);
        let serial = live.serial;
        self.after(wait, Event::Arrive(slot, serial));
    }

    /// No node could be reached, or the name did not resolve.
    pub(super) fn miss(&mut self, slot: Slot) {
        self.over_for(slot, Outcome::Unreached);
    }

    /// The node is gone and took the connection with it.
    pub(super) fn lose(&mut self, slot: Slot) {
        let Some(node) = self.live[slot as usize].request.node else { return };
        let half = self.client_trip(slot, node) / 2;
        let live = &mut self.live[slot as usize];
        live.serial += 1;
        (live.course, live.in_flight, live.limit, live.stage) = (None, None, None, Doing::Resting);
        self.clients[live.request.client as usize].kept = None;
        let serial = live.serial;
        self.after(half, Event::Fail(slot, serial, Fault::Reset, Progress::Sent));
    }

    /// The node of a request stands still: it is asked again a little later.
    pub(super) fn waits_for_node(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let ends = live.request.asked_at + live.request.program.timeout();
        if self.now >= ends {
            return self.abandon(slot);
        }
        let serial = live.serial;
        self.after(Duration::from_millis(500), Event::Arrive(slot, serial));
    }

    /// The client will not wait any longer.
    pub(super) fn abandon(&mut self, slot: Slot) {
        self.clients[self.live[slot as usize].request.client as usize].kept = None;
        self.over_for(slot, Outcome::Abandoned);
    }

    /// A try has ended; its program may have another.
    pub(super) fn over_for(&mut self, slot: Slot, outcome: Outcome) {
        self.facts.push(Fact::Ended(slot, outcome));
        let is_get = {
            let live = &self.live[slot as usize];
            self.scenario.crowd.work[usize::from(live.request.work)].0.method == http::Method::GET
        };
        let live = &mut self.live[slot as usize];
        live.serial += 1;
        (live.course, live.in_flight, live.limit, live.stage) = (None, None, None, Doing::Resting);
        let program: Program = live.request.program;
        let client = &mut self.clients[live.request.client as usize];
        client.kept = match (outcome, live.request.node) {
            (Outcome::Served(_) | Outcome::Failure(..) | Outcome::Unanswered(_), Some(node)) => {
                Some((node, self.now + program.keeps_connection()))
            }
            _ => None,
        };
        let until = self.now + program.keeps_connection();
        client.kept_region = match outcome {
            Outcome::Served(region) | Outcome::Failure(region, _) if live.request.node.is_none() => {
                Some((region, until))
            }
            _ => None,
        };
        let serial = live.serial;
        let again = if outcome.is_served() {
            None
        } else {
            program.tries_again(&mut self.retry_dice, live.request.tries, outcome, is_get, live.told)
        };
        match again {
            Some(wait) => self.after(wait, Event::Ask(slot, serial)),
            None => {
                self.facts.push(Fact::Finished(slot, outcome));
                self.freed.push(slot);
            }
        }
    }

    /// One round trip between the client of a request and a node.
    pub(super) fn client_trip(&self, slot: Slot, node: NodeIndex) -> Duration {
        let client = &self.clients[self.live[slot as usize].request.client as usize];
        self.city_trips[client.city][usize::from(node)] + client.last_mile
    }

    /// Dials a region itself, because its name leads there.
    fn dial_region(&mut self, slot: Slot, region: RegionIndex, wait: Duration) {
        let trip = self.region_trip(slot, region);
        self.dials(slot, region, wait + trip * 2 + trip / 2);
    }

    /// Its request will be at a region, without us, after `wait`.
    fn dials(&mut self, slot: Slot, region: RegionIndex, wait: Duration) {
        self.facts.push(Fact::Dials { request: slot, region });
        let live = &mut self.live[slot as usize];
        (live.region, live.stage, live.status) = (region, Doing::Direct, 200);
        let serial = live.serial;
        self.after(wait, Event::Arrive(slot, serial));
    }

    fn region_trip(&self, slot: Slot, region: RegionIndex) -> Duration {
        let client = &self.clients[self.live[slot as usize].request.client as usize];
        self.trip_of(client, &self.topology.region(region).place)
    }

    /// A request has come to a region without us.
    pub(super) fn direct(&mut self, slot: Slot) {
        let live = &mut self.live[slot as usize];
        let there = self.truth.regions[live.region.at()];
        live.again = Duration::from_secs(1);
        if there.refuses {
            self.over_for(slot, Outcome::Unreached);
        } else if there.is_silent {
            // Whoever is not connected by then gives up on this address.
            let serial = live.serial;
            self.after(CONNECT_TIMEOUT, Event::Miss(slot, serial));
        } else {
            self.send(slot);
        }
    }

    /// And its answer comes back.
    pub(super) fn direct_answer(&mut self, slot: Slot) {
        let half = self.region_trip(slot, self.live[slot as usize].region) / 2;
        let now = self.now;
        let live = &mut self.live[slot as usize];
        live.request.first_byte = Some(now + half);
        let (flows, serial) = (live.request.flows, live.serial);
        if live.status < 400 && !flows.is_zero() {
            live.stage = Doing::Flowing;
            let flows = times(flows, self.truth.regions[live.region.at()].slowness);
            self.after(half + flows, Event::Flow(slot, serial));
        } else {
            self.after(half, Event::Done(slot, serial));
        }
    }

    /// A stream from a region itself should have come to its end by now.
    pub(super) fn direct_flow(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (region, serial) = (live.region, live.serial);
        let there = self.truth.regions[region.at()];
        if !(there.is_silent || there.is_paused) {
            return self.over_for(slot, Outcome::Served(region));
        }
        let timeout = live.request.program.timeout();
        let since = *self.live[slot as usize].hangs_since.get_or_insert(self.now);
        if self.now.since(since) >= timeout {
            return self.over_for(slot, Outcome::Cut(region));
        }
        self.after(Duration::from_secs(1), Event::Flow(slot, serial));
    }
}
