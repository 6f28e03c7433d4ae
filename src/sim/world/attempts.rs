//! A request at a node: the course it takes, packet by packet.
//!
//! What decides is [`Course`], as in the real front door; here are the moments at which it is asked, and what packets meet.

use super::regions::Taken;
use super::{Doing, Event, World};
use crate::front::course::{Body, Course, Failure, Leave, Now, Stop, Then, WATCH_AFTER, is_in_vain};
use crate::front::journey::full_regions;
use crate::health::Fault;
use crate::load::InFlight;
use crate::sim::asking::{DATA_AGAIN_MIN, SYN_AGAIN, leg};
use crate::sim::chance::{happens, times};
use crate::sim::fact::{Fact, NodeIndex, Outcome, Slot};
use crate::sim::scenario::Direction;
use crate::sim::stage::File;
use crate::steering::{Query, steer};
use crate::topology::RegionIndex;
use crate::upstream::{AttemptError, Progress};
use std::sync::Arc;
use std::time::Duration;

/// How long idle connections to regions are kept: as the real pool does.
pub(super) const IDLE_KEPT: Duration = Duration::from_secs(30);
/// The longest pause between two tries to bring a packet through (RFC 6298 §5.7 leaves it to us).
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// What it takes to answer without any work.
const REFUSAL_WORK: Duration = Duration::from_millis(2);

impl World {
    /// The request in that slot has reached its node.
    pub(super) fn arrive(&mut self, slot: Slot) {
        let Some(node) = self.live[slot as usize].request.node else { return self.direct(slot) };
        let at = usize::from(node);
        let there = self.truth.nodes[at];
        if there.is_gone || self.nodes[at].is_none() {
            return self.lose(slot);
        }
        if there.is_isolated && self.reached_at(slot, node) != node {
            // By anycast its packets reach another node by now, which knows nothing of the connection.
            return self.lose(slot);
        }
        if there.is_frozen || there.is_isolated {
            // Nobody reads it before it goes on.
            return self.waits_for_node(slot);
        }
        self.facts.push(Fact::Arrives(slot, node));
        let Some(running) = &self.nodes[at] else { return };
        let (own, snapshot) = (running.own(self.now), Arc::clone(&running.snapshot));
        let live = &self.live[slot as usize];
        let request = &live.request;
        let route = &self.topology.route(request.route).hostname;
        let Some(route_there) = snapshot.topology.route_by_hostname.get(route).copied() else {
            return self.answered_by_node(slot, 421);
        };
        let mut terms = self.terms[request.route.at()][usize::from(request.work)].clone();
        if request.tries > 1 && request.program.says_retry_count() {
            terms.is_another_try = true;
            terms.heed(&self.doors[at].recall, own, self.key(slot));
        }
        let wish = terms.ties.wish(&snapshot);
        let full = full_regions(&snapshot);
        let believed = Arc::clone(&live.believed);
        let decision = steer(&snapshot, &Query { full: &full, wish, ..Query::first(route_there, &believed) });
        let mut course = Box::new(Course::begin(own, snapshot, &decision, (route.clone(), believed), terms));
        let first = course.first(&decision, self.doors[at].dice.roll());
        self.live[slot as usize].course = Some(course);
        match first {
            Some(_) => self.attempt(slot),
            None => self.answered_by_node(slot, 503),
        }
    }

    /// The attempt that its course has decided begins.
    fn attempt(&mut self, slot: Slot) {
        let live = &mut self.live[slot as usize];
        let (Some(node), Some(course)) = (live.request.node, live.course.as_mut()) else { return };
        let at = usize::from(node);
        let (Some(running), door) = (&self.nodes[at], &mut self.doors[at]) else { return };
        let own = running.own(self.now);
        course.sets_out(own);
        let target = course.target();
        // What was decided in an older file still is meant in that one.
        let of = |file: &&File| Arc::ptr_eq(&file.topology, &course.snapshot.topology);
        let file = self.files.iter().find(of).unwrap_or(&self.files[door.file]);
        let region = file.regions[target.region.at()];
        live.serial += 1;
        live.request.attempts += 1;
        live.region = region;
        live.again = DATA_AGAIN_MIN.max(self.round_trips[at][region.at()]);
        live.hangs_since = None;
        live.is_unserved = false;
        live.status = 200;
        live.in_flight = Some(InFlight::at(&course.endpoint().load));
        let body = Body { is_replayable: true, ended_at: Some(course.began) };
        live.limit = course.limit(body, |hostname, region| door.budgets.of(hostname, region));
        let over = live.limit.as_ref().and_then(|limit| limit.ends(course.began)).map(|own| running.world(own));
        let idle = door.idle_at(&course.snapshot.topology, target.endpoint);
        let is_kept = !course.is_fresh() && idle.count > 0 && self.now < idle.until;
        if is_kept {
            idle.count -= 1;
        }
        live.was_reused = is_kept;
        live.sent_at = own;
        let (number, serial) = (course.attempts, live.serial);
        let connect_timeout = course.snapshot.topology.forward.connect_timeout;
        self.facts.push(Fact::Tries { request: slot, node, region, endpoint: target.endpoint, number });
        if let Some(over) = over {
            self.queue.push(over, Event::Over(slot, serial));
        }
        if is_kept {
            self.live[slot as usize].stage = Doing::Waiting;
            self.sends(slot, Duration::ZERO);
        } else {
            self.live[slot as usize].stage = Doing::Connecting;
            match self.packet(node, region, Direction::There, SYN_AGAIN, connect_timeout) {
                Some(took) => self.after(took, Event::Connect(slot, serial)),
                None => {
                    self.after(connect_timeout, Event::Fail(slot, serial, Fault::ConnectTimeout, Progress::Unsent));
                }
            }
        }
    }

    /// The first packet of a connection has reached the region.
    pub(super) fn connect(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (Some(node), Some(course)) = (live.request.node, live.course.as_ref()) else { return };
        let (region, serial) = (live.region, live.serial);
        let there = self.truth.regions[region.at()];
        let target = course.target();
        let is_tls = course.snapshot.topology.endpoint(target.endpoint).tls;
        let left = course.snapshot.topology.forward.connect_timeout;
        let load = Arc::clone(&course.endpoint().load);
        let back = (!there.is_silent).then(|| self.packet(node, region, Direction::Back, SYN_AGAIN, left)).flatten();
        let Some(back) = back else {
            return self.after(left, Event::Fail(slot, serial, Fault::ConnectTimeout, Progress::Unsent));
        };
        if there.refuses {
            return self.after(back, Event::Fail(slot, serial, Fault::Refused, Progress::Unsent));
        }
        load.connected();
        self.stirs(node);
        let handshake = if is_tls { self.round_trip(node, region) } else { Duration::ZERO };
        let live = &mut self.live[slot as usize];
        live.stage = Doing::Waiting;
        live.sent_at = live.sent_at + back + handshake;
        self.sends(slot, back + handshake);
    }

    /// The request is given to a connection, after `wait`.
    fn sends(&mut self, slot: Slot, wait: Duration) {
        let live = &self.live[slot as usize];
        let (Some(node), region, serial) = (live.request.node, live.region, live.serial) else { return };
        let half = self.round_trip(node, region) / 2;
        self.after(wait + half, Event::Send(slot, serial));
    }

    /// The request reaches the region, if it does.
    pub(super) fn send(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (region, serial) = (live.region, live.serial);
        let there = self.truth.regions[region.at()];
        if let Some(node) = live.request.node {
            let way = *self.truth.way(node, region);
            if there.is_silent || way.is_cut_there || happens(&mut self.dice, way.loss_there) {
                return self.again(slot, Event::Send(slot, serial));
            }
            if there.refuses {
                let half = self.round_trip(node, region) / 2;
                return self.after(half, Event::Fail(slot, serial, Fault::Reset, Progress::Sent));
            }
        }
        if there.is_paused {
            self.regions[region.at()].stop(slot, serial, false);
            return self.hangs(slot);
        }
        if there.turns_away {
            return self.turned_away(slot, true);
        }
        match self.regions[region.at()].take(slot, serial, there.slots_share) {
            Taken::Works => self.works(slot),
            Taken::Waits => self.hangs(slot),
            Taken::TurnedAway { says_unserved } => self.turned_away(slot, says_unserved),
        }
    }

    fn turned_away(&mut self, slot: Slot, says_unserved: bool) {
        let live = &mut self.live[slot as usize];
        live.status = 503;
        live.is_unserved = says_unserved;
        let serial = live.serial;
        self.after(REFUSAL_WORK, Event::Leave(slot, serial));
    }

    /// A region works on a request: from here on it may have done something.
    pub(super) fn works(&mut self, slot: Slot) {
        let region = self.live[slot as usize].region;
        let there = self.truth.regions[region.at()];
        let fails = there.probes_lie || happens(&mut self.dice, there.error_share);
        let life = self.regions[region.at()].life();
        let live = &mut self.live[slot as usize];
        live.request.is_processed_by(region);
        live.life = life;
        let [mut takes, mut flows] = [live.request.takes, live.request.flows].map(|time| times(time, there.slowness));
        if fails {
            live.status = if there.probes_lie { 500 } else { there.status };
            (takes, flows) = (REFUSAL_WORK, Duration::ZERO);
        }
        let serial = live.serial;
        let ends = live.request.asked_at + live.request.program.timeout();
        self.facts.push(Fact::Processes(slot, region));
        self.after(takes, Event::Leave(slot, serial));
        if self.regions[region.at()].slots.is_some() {
            self.after(takes + flows, Event::Free(region, life));
        }
        if self.now + takes > ends {
            self.queue.push(ends.max(self.now), Event::Abandon(slot, serial));
        }
    }

    /// The region has an answer and sends it.
    pub(super) fn leave(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (region, serial, status) = (live.region, live.serial, live.status);
        let there = self.truth.regions[region.at()];
        if there.is_paused {
            self.regions[region.at()].stop(slot, serial, true);
            return self.hangs(slot);
        }
        let Some(node) = live.request.node else { return self.direct_answer(slot) };
        let way = *self.truth.way(node, region);
        if there.is_silent || way.is_cut_back || happens(&mut self.dice, way.loss_back) {
            return self.again(slot, Event::Leave(slot, serial));
        }
        let half = self.round_trip(node, region) / 2;
        self.after(half, Event::Head(slot, serial, status));
    }

    /// An attempt has failed, or a stream has broken off.
    pub(super) fn fail(&mut self, slot: Slot, fault: Fault, progress: Progress) {
        if self.is_stuck(slot, Event::Fail(slot, self.live[slot as usize].serial, fault, progress)) {
            return;
        }
        let live = &self.live[slot as usize];
        let region = live.region;
        let (Some(node), Some(course)) = (live.request.node, live.course.as_ref()) else {
            let has_begun = live.stage == Doing::Flowing;
            return self.over_for(slot, if has_begun { Outcome::Cut(region) } else { Outcome::Lost });
        };
        if live.stage == Doing::Flowing {
            let told = course.broke_off(Fault::Cut);
            self.over_for(slot, Outcome::Cut(region));
            return self.tell(node, told);
        }
        let error = AttemptError { fault, progress, was_reused: live.was_reused };
        let (failure, tells) = course.lost(error);
        self.facts.push(Fact::Fails { request: slot, node, region, fault, progress });
        let decides = self.then(slot, failure);
        if let Some(event) = tells {
            self.tell(node, event);
        }
        self.go_on(slot, decides, Some(error));
    }

    pub(super) fn then(&mut self, slot: Slot, failure: Failure) -> Then {
        let live = &mut self.live[slot as usize];
        live.in_flight = None;
        let (Some(node), Some(course)) = (live.request.node, live.course.as_mut()) else {
            return Then::GiveUp(Stop::Nobody);
        };
        let door = &mut self.doors[usize::from(node)];
        let Some(running) = &self.nodes[usize::from(node)] else {
            return Then::GiveUp(Stop::Nobody);
        };
        let body = Body { is_replayable: true, ended_at: Some(course.began) };
        let now = Now { now: running.own(self.now), newest: &running.snapshot, roll: door.dice.roll(), body };
        course.then(failure, now, |hostname, region| door.budgets.of(hostname, region))
    }

    pub(super) fn go_on(&mut self, slot: Slot, then: Then, error: Option<AttemptError>) {
        match then {
            Then::Again | Then::Go(_) => self.attempt(slot),
            Then::Own(_) | Then::GiveUp(_) => {
                let live = &self.live[slot as usize];
                let label = live.course.as_ref().and_then(|course| course.failed_at_last(error).cloned());
                if let Some(node) = live.request.node {
                    self.remember(slot, node, label);
                }
                let status = match error {
                    Some(AttemptError { fault: Fault::Late | Fault::Silent, .. }) => 504,
                    Some(AttemptError { progress: Progress::Sent, .. }) => 502,
                    _ => 503,
                };
                self.answered_by_node(slot, status);
            }
        }
    }

    /// Whoever waits at a node for something that it has just given up leaves.
    pub(super) fn watch_out(&mut self, at: usize) {
        for slot in 0..self.live.len() {
            let live = &self.live[slot];
            let waits = live.stage == Doing::Waiting && live.request.node.is_some_and(|node| usize::from(node) == at);
            if waits {
                self.look_at(Slot::try_from(slot).unwrap_or(Slot::MAX));
            }
        }
    }

    /// Plans to look whether a safe request waits in vain, when it is worth looking.
    fn look_at(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (Some(node), Some(course)) = (live.request.node, live.course.as_ref()) else { return };
        let Some(running) = &self.nodes[usize::from(node)] else { return };
        if course.terms.is_safe && is_in_vain(&running.snapshot, course.endpoint().id, &course.hostname, &course.client)
        {
            let at = running.world(live.sent_at + WATCH_AFTER).max(self.now);
            self.queue.push(at, Event::Vain(slot, live.serial));
        }
    }

    /// Leaves if waiting is still in vain.
    pub(super) fn leave_if_vain(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (Some(node), Some(course)) = (live.request.node, live.course.as_ref()) else { return };
        let Some(running) = &self.nodes[usize::from(node)] else { return };
        let is_vain = is_in_vain(&running.snapshot, course.endpoint().id, &course.hostname, &course.client);
        if live.stage == Doing::Waiting && is_vain {
            self.fail(slot, Fault::Silent, Progress::Sent);
        }
    }

    /// An impatient client has waited as long as an attempt may take.
    pub(super) fn over(&mut self, slot: Slot) {
        let now = self.now;
        let live = &mut self.live[slot as usize];
        let (Some(node), Some(course), Some(limit)) = (live.request.node, live.course.as_ref(), live.limit.as_mut())
        else {
            return;
        };
        let Some(running) = &self.nodes[usize::from(node)] else { return };
        match limit.is_over(running.own(now), &course.snapshot) {
            Leave::Unrepeated => {
                let ends = limit.ends(course.began).map(|own| running.world(own));
                let serial = live.serial;
                if let Some(ends) = ends {
                    self.queue.push(ends.max(now), Event::Over(slot, serial));
                }
            }
            Leave::Late => {
                let progress = if live.stage == Doing::Connecting { Progress::Unsent } else { Progress::Sent };
                self.fail(slot, Fault::Late, progress);
            }
        }
    }

    /// Nothing comes, and nobody knows whether it ever will: the timeouts of everybody concerned run.
    pub(super) fn hangs(&mut self, slot: Slot) {
        let now = self.now;
        let live = &mut self.live[slot as usize];
        if live.hangs_since.replace(live.hangs_since.unwrap_or(now)).is_some() {
            return;
        }
        let serial = live.serial;
        let gives_up = (live.request.asked_at + live.request.program.timeout()).max(now);
        self.queue.push(gives_up, Event::Abandon(slot, serial));
        let live = &self.live[slot as usize];
        let Some(course) = live.course.as_ref().filter(|_| live.stage == Doing::Waiting) else { return };
        let timeout = course.snapshot.topology.forward.first_byte_timeout;
        self.after(timeout, Event::Fail(slot, serial, Fault::Silent, Progress::Sent));
        self.look_at(slot);
    }

    /// A packet was lost: it is sent again, later each time.
    fn again(&mut self, slot: Slot, event: Event) {
        self.hangs(slot);
        let live = &mut self.live[slot as usize];
        let wait = live.again;
        live.again = (live.again * 2).min(AGAIN_MAX);
        self.after(wait, event);
    }

    /// Whether the node of a request stands still, so that `event` has to wait.
    pub(super) fn is_stuck(&mut self, slot: Slot, event: Event) -> bool {
        let Some(node) = self.live[slot as usize].request.node else { return false };
        let is_stuck = self.truth.nodes[usize::from(node)].is_frozen;
        if is_stuck {
            let request = &self.live[slot as usize].request;
            let ends = request.asked_at + request.program.timeout();
            if request.first_byte.is_none() && self.now >= ends {
                self.abandon(slot);
            } else {
                self.after(Duration::from_millis(250), event);
            }
        }
        is_stuck
    }

    fn packet(
        &mut self,
        node: NodeIndex,
        region: RegionIndex,
        direction: Direction,
        again: Duration,
        patience: Duration,
    ) -> Option<Duration> {
        let half = self.round_trip(node, region) / 2;
        let way = self.truth.way(node, region);
        let is_there = direction == Direction::There;
        let wrong = if is_there { (way.loss_there, way.is_cut_there) } else { (way.loss_back, way.is_cut_back) };
        leg(&mut self.dice, (half, self.scenario.ways.jitter), wrong, again, patience)
    }
}
