//! Answers on their way back: heads, streams, and what a node says by itself.

use super::{Doing, Event, World};
use crate::front::course::{Then, is_failed_by};
use crate::front::recall::{Key, Who};
use crate::front::unserved::{Hint, Unserved};
use crate::moment::Moment;
use crate::names::Label;
use crate::sim::chance::{below, times};
use crate::sim::fact::{Fact, NodeIndex, Outcome, Slot};
use std::time::Duration;

use super::attempts::IDLE_KEPT;

impl World {
    /// The head of an answer has reached the node.
    pub(super) fn head(&mut self, slot: Slot, status: u16) {
        if self.is_stuck(slot, Event::Head(slot, self.live[slot as usize].serial, status)) {
            return;
        }
        let now = self.now;
        let live = &mut self.live[slot as usize];
        let (Some(node), Some(course)) = (live.request.node, live.course.as_mut()) else { return };
        let door = &mut self.doors[usize::from(node)];
        let unserved = live.is_unserved.then_some(Unserved { hint: Hint::Elsewhere, reason: None });
        let ended = course.answered(status, unserved.as_ref());
        let target = course.target();
        let (region, is_unserved) = (live.region, live.is_unserved);
        let idle = door.idle_at(&course.snapshot.topology, target.endpoint);
        if live.request.flows.is_zero() || ended.failure.is_some() {
            (idle.count, idle.until) = (idle.count + 1, now + IDLE_KEPT);
        }
        let own = self.nodes[usize::from(node)].as_ref().map_or(Moment::ZERO, |running| running.own(now));
        if ended.succeeded {
            door.budgets.of(&course.hostname, course.region()).succeeded(own);
        }
        if let Some(failure) = ended.failure {
            let (error, decides) = (failure.error, self.then(slot, failure));
            self.facts.push(Fact::Fails { request: slot, node, region, fault: error.fault, progress: error.progress });
            if let Some(event) = ended.tells {
                self.tell(node, event);
            }
            return match decides {
                Then::Own(_) => self.pass_on(slot, node, status, is_unserved),
                other => self.go_on(slot, other, Some(error)),
            };
        }
        match ended.tells {
            Some(event) => self.tell(node, event),
            None => self.stirs(node),
        }
        self.pass_on(slot, node, status, is_unserved);
    }

    /// The region's answer is on its way to the client.
    fn pass_on(&mut self, slot: Slot, node: NodeIndex, status: u16, is_unserved: bool) {
        if is_failed_by(status, is_unserved) {
            let label = self.live[slot as usize].course.as_ref().map(|course| course.region().clone());
            self.remember(slot, node, label);
        }
        let half = self.client_trip(slot, node) / 2;
        let now = self.now;
        let live = &mut self.live[slot as usize];
        let (region, serial) = (live.region, live.serial);
        live.status = status;
        live.request.first_byte = Some(now + half);
        live.limit = None;
        live.told = is_unserved.then_some(Duration::from_secs(1));
        self.facts.push(Fact::Answers { request: slot, node, region, status });
        let live = &mut self.live[slot as usize];
        if status < 400 && !live.request.flows.is_zero() {
            live.stage = Doing::Flowing;
            let flows = times(live.request.flows, self.truth.regions[region.at()].slowness);
            self.after(flows, Event::Flow(slot, serial));
        } else {
            live.stage = Doing::Resting;
            live.in_flight = None;
            self.after(half, Event::Done(slot, serial));
        }
    }

    /// A stream should have come to its end by now.
    pub(super) fn flow(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (region, serial) = (live.region, live.serial);
        let Some(node) = live.request.node else { return self.direct_flow(slot) };
        let there = self.truth.regions[region.at()];
        let way = self.truth.way(node, region);
        let is_stuck = there.is_silent || there.is_paused || way.is_cut_back;
        let frozen = self.truth.nodes[usize::from(node)];
        if is_stuck || frozen.is_frozen || frozen.is_isolated {
            let idle = self.files[self.doors[usize::from(node)].file].topology.forward.stream_idle_timeout;
            let since = *self.live[slot as usize].hangs_since.get_or_insert(self.now);
            if self.now.since(since) >= idle {
                return self.over_for(slot, Outcome::Cut(region));
            }
            return self.after(Duration::from_secs(1), Event::Flow(slot, serial));
        }
        let half = self.client_trip(slot, node) / 2;
        let live = &mut self.live[slot as usize];
        live.in_flight = None;
        live.stage = Doing::Resting;
        if let Some(course) = &live.course {
            let door = &mut self.doors[usize::from(node)];
            let idle = door.idle_at(&course.snapshot.topology, course.target().endpoint);
            (idle.count, idle.until) = (idle.count + 1, self.now + IDLE_KEPT);
        }
        self.after(half, Event::Done(slot, serial));
    }

    /// The client has all of an answer.
    pub(super) fn done(&mut self, slot: Slot) {
        let live = &self.live[slot as usize];
        let (region, status) = (live.region, live.status);
        let outcome = match status {
            0..400 => Outcome::Served(region),
            _ if live.is_own => Outcome::Unanswered(status),
            _ => Outcome::Failure(region, status),
        };
        self.over_for(slot, outcome);
    }

    /// The node says itself that there is no answer.
    pub(super) fn answered_by_node(&mut self, slot: Slot, status: u16) {
        let Some(node) = self.live[slot as usize].request.node else { return };
        let half = self.client_trip(slot, node) / 2;
        let told = Duration::from_millis(300 + below(&mut self.dice, 1_700));
        let live = &mut self.live[slot as usize];
        live.serial += 1;
        (live.status, live.is_own, live.stage, live.limit) = (status, true, Doing::Resting, None);
        live.told = (status != 421).then_some(told);
        live.request.first_byte = Some(self.now + half);
        let serial = live.serial;
        self.after(half, Event::Done(slot, serial));
    }

    pub(super) fn key(&self, slot: Slot) -> Key {
        let live = &self.live[slot as usize];
        let request = &live.request;
        let client = &self.clients[request.client as usize];
        let number = request.client.to_le_bytes();
        let path = &self.scenario.crowd.work[usize::from(request.work)].0.path;
        let door = &self.doors[usize::from(request.node.unwrap_or_default())];
        door.recall.key(Who {
            address: client.address,
            authorization: &number,
            api_key: b"",
            hostname: &self.topology.route(request.route).hostname,
            path,
        })
    }

    pub(super) fn remember(&mut self, slot: Slot, node: NodeIndex, region: Option<Label>) {
        let (Some(region), Some(running)) = (region, &self.nodes[usize::from(node)]) else { return };
        let own = running.own(self.now);
        self.doors[usize::from(node)].recall.failed(own, self.key(slot), &region);
    }
}
