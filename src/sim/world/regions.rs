//! The insides of regions: slots, a queue, and what happens when they die or stand still.

use super::{Doing, Event, World};
use crate::health::Fault;
use crate::sim::fact::Slot;
use crate::sim::scenario::RegionTruth;
use crate::topology::RegionIndex;
use crate::upstream::Progress;
use std::collections::VecDeque;
use std::time::Duration;

/// A region's inside.
#[derive(Debug)]
pub struct Region {
    /// Requests that it works on at once; `None`: as many as come.
    pub slots: Option<u32>,
    /// Requests that it works on, where there is a limit.
    pub busy: u32,
    /// Requests that wait at most.
    queue_max: u32,
    /// Those that wait.
    waiting: VecDeque<(Slot, u32)>,
    /// Those that have come while it stood still, or whose answers wait for it.
    stopped: Vec<(Slot, u32, bool)>,
    /// Counts its deaths: what it worked on before is gone.
    life: u32,
    says_unserved: bool,
}

/// What becomes of a request that reaches a region.
pub(super) enum Taken {
    Works,
    Waits,
    TurnedAway { says_unserved: bool },
}

impl Region {
    /// One that works on nothing; `capacity` is what all nodes may give it by the configuration, fitted to clients that stand for many.
    #[must_use]
    pub fn new(capacity: Option<u32>, usual: &RegionTruth, stands_for: u32) -> Self {
        let slots = usual.slots.map(|slots| slots.div_ceil(stands_for.max(1))).or(capacity);
        let queue_max = slots.map_or(0, |slots| part(slots, usual.queue));
        Self {
            slots,
            busy: 0,
            queue_max,
            waiting: VecDeque::new(),
            stopped: Vec::new(),
            life: 0,
            says_unserved: usual.says_unserved,
        }
    }

    /// Requests that wait in it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether one more request would be worked on at once, with so much of its slots left.
    #[must_use]
    pub fn has_room(&self, share: f64) -> bool {
        self.slots.is_none_or(|slots| self.busy < part(slots, share))
    }

    /// Which of its lives it is.
    pub(super) fn life(&self) -> u32 {
        self.life
    }

    pub(super) fn take(&mut self, slot: Slot, serial: u32, share: f64) -> Taken {
        if self.has_room(share) {
            self.busy += 1;
            Taken::Works
        } else if self.waiting.len() < self.queue_max as usize {
            self.waiting.push_back((slot, serial));
            Taken::Waits
        } else {
            Taken::TurnedAway { says_unserved: self.says_unserved }
        }
    }

    /// Keeps a request, or (`is_answer`) the answer to it, until it goes on.
    pub(super) fn stop(&mut self, slot: Slot, serial: u32, is_answer: bool) {
        self.stopped.push((slot, serial, is_answer));
    }

    fn dies(&mut self) {
        (self.busy, self.life) = (0, self.life + 1);
        self.waiting.clear();
        self.stopped.clear();
    }
}

/// A share of a number, rounded up: of something there is something left.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are small and not negative")]
fn part(whole: u32, share: f64) -> u32 {
    (f64::from(whole) * share).ceil() as u32
}

impl World {
    /// A slot at a region is free again.
    pub(super) fn free_at(&mut self, region: RegionIndex, life: u32) {
        let share = self.truth.regions[region.at()].slots_share;
        let inside = &mut self.regions[region.at()];
        if inside.life != life {
            return;
        }
        inside.busy = inside.busy.saturating_sub(1);
        while self.regions[region.at()].has_room(share) {
            let Some((slot, serial)) = self.regions[region.at()].waiting.pop_front() else { return };
            if self.is_live(slot, serial) {
                self.regions[region.at()].busy += 1;
                self.works(slot);
            }
        }
    }

    /// Nobody listens at a region any more: whatever is open there is reset.
    pub(super) fn region_dies(&mut self, region: RegionIndex) {
        self.regions[region.at()].dies();
        for client in &mut self.clients {
            client.kept_region = client.kept_region.filter(|(kept, _)| *kept != region);
        }
        for (at, door) in self.doors.iter_mut().enumerate() {
            let file = &self.files[door.file];
            if self.truth.ways[at][region.at()].is_cut_back {
                continue;
            }
            for (endpoint, idle) in file.topology.endpoints.iter().zip(&mut door.idle) {
                if file.regions[endpoint.region.at()] == region {
                    idle.count = 0;
                }
            }
        }
        for at in 0..self.live.len() {
            let live = &mut self.live[at];
            let is_there =
                live.region == region && matches!(live.stage, Doing::Waiting | Doing::Flowing | Doing::Direct);
            if !is_there {
                continue;
            }
            live.serial += 1;
            let serial = live.serial;
            let slot = Slot::try_from(at).unwrap_or(Slot::MAX);
            let Some(node) = live.request.node else {
                self.after(Duration::from_millis(50), Event::Fail(slot, serial, Fault::Reset, Progress::Sent));
                continue;
            };
            if self.truth.way(node, region).is_cut_back {
                self.hangs(slot);
            } else {
                let half = self.round_trip(node, region) / 2;
                self.after(half, Event::Fail(slot, serial, Fault::Reset, Progress::Sent));
            }
        }
    }

    /// A region that stood still goes on.
    pub(super) fn region_goes_on(&mut self, region: RegionIndex) {
        for (slot, serial, is_answer) in std::mem::take(&mut self.regions[region.at()].stopped) {
            let event = if is_answer { Event::Leave(slot, serial) } else { Event::Send(slot, serial) };
            self.after(Duration::ZERO, event);
        }
    }
}
