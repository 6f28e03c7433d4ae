//! What goes wrong, when it does, and what operators say.

use super::{Event, World};
use crate::control::Event as Told;
use crate::sim::chance::{below, times};
use crate::sim::fact::{Fact, NodeIndex, Slot};
use crate::sim::scenario::What;
use crate::sim::truth::{Active, Truth, nodes_of};
use crate::snapshot::{Override, Target};
use crate::topology::RegionIndex;
use std::sync::Arc;
use std::time::Duration;

/// What an operator has said.
#[derive(Clone, Debug)]
pub enum Word {
    /// Drain this.
    Drain(Override),
    /// No longer.
    Undrain(Target),
    /// This file, by its number.
    File(usize),
    /// A file with a mistake.
    Mistake,
}

impl World {
    /// Plans everything that the scenario says will happen.
    pub(super) fn plan_faults(&mut self) -> Result<(), String> {
        let scenario = Arc::clone(&self.scenario);
        for (number, fault) in scenario.faults.iter().enumerate() {
            let number = u16::try_from(number).map_err(|_| "there are too many faults")?;
            self.after(fault.at, Event::Begin(number));
            if let Some(lasts) = fault.lasts {
                self.after(fault.at + lasts, Event::End(number));
            }
        }
        let rollouts = scenario.faults.iter().filter(|fault| matches!(fault.what, What::Rollout(_))).count();
        if rollouts + 1 != self.files.len() {
            return Err(format!("the scenario rolls out {rollouts} files, and {} are there", self.files.len() - 1));
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, number: u16) {
        self.facts.push(Fact::Begins(number));
        let scenario = Arc::clone(&self.scenario);
        let what = &scenario.faults[usize::from(number)].what;
        match what {
            What::Drain { target, is_hard } => {
                let drain = Override {
                    target: target.clone(),
                    is_hard: *is_hard,
                    reason: "the scenario says so".into(),
                    who: "scenario".into(),
                    since: self.wall(),
                    until: None,
                };
                self.say(Word::Drain(drain));
            }
            What::Rollout(_) => {
                let before = scenario.faults[..usize::from(number)].iter();
                let file = 1 + before.filter(|fault| matches!(fault.what, What::Rollout(_))).count();
                self.say(Word::File(file));
            }
            What::BadRollout => self.say(Word::Mistake),
            What::DiskLost(sites) => {
                for at in nodes_of(&self.topology, sites) {
                    let door = &mut self.doors[at];
                    (door.kept_drains, door.kept_file) = (Vec::new(), 0);
                }
            }
            _ => {}
        }
        self.activate(number);
        self.phase_after(number, 0);
    }

    pub(super) fn end(&mut self, number: u16) {
        let scenario = Arc::clone(&self.scenario);
        if let What::Drain { target, .. } = &scenario.faults[usize::from(number)].what {
            self.say(Word::Undrain(target.clone()));
        }
        self.facts.push(Fact::Ends(number));
        self.active.retain(|active| active.number != number);
        self.follow();
    }

    /// A fault that comes and goes changes.
    pub(super) fn phase(&mut self, number: u16, phase: u32) {
        let Some(at) = self.active.iter().position(|active| active.number == number) else { return };
        if matches!(self.active[at].what, What::Swizzle { .. }) {
            self.swizzle(at, phase);
        } else {
            self.active[at].is_on = !self.active[at].is_on;
        }
        self.follow();
        self.phase_after(number, phase + 1);
    }

    fn phase_after(&mut self, number: u16, phase: u32) {
        let Some(active) = self.active.iter().find(|active| active.number == number) else { return };
        let wait = match &active.what {
            What::Flap { up, down, .. } | What::CrashLoop { up, down, .. } => {
                if active.is_on {
                    *down
                } else {
                    *up
                }
            }
            What::Swizzle { every, .. } => *every,
            _ => return,
        };
        self.after(wait.max(Duration::from_millis(1)), Event::Phase(number, phase));
    }

    /// One more way is cut, in a random order, until all are; then they are mended in another.
    fn swizzle(&mut self, at: usize, phase: u32) {
        let sites = match &self.active[at].what {
            What::Swizzle { sites, .. } => sites.clone(),
            _ => return,
        };
        let ways: Vec<(NodeIndex, RegionIndex)> = nodes_of(&self.topology, &sites)
            .flat_map(|node| (0..self.topology.regions.len()).map(move |region| (node, region)))
            .map(|(node, region)| (NodeIndex::try_from(node).unwrap_or_default(), RegionIndex::of(region)))
            .collect();
        let is_cutting = (phase as usize / ways.len().max(1)).is_multiple_of(2);
        let cut = &mut self.active[at].cut;
        if is_cutting {
            let whole: Vec<_> = ways.into_iter().filter(|way| !cut.contains(way)).collect();
            if let Some(way) = pick(&mut self.dice, &whole) {
                cut.push(way);
            }
        } else if !cut.is_empty() {
            let at = usize::try_from(below(&mut self.dice, cut.len() as u64)).unwrap_or(0);
            cut.swap_remove(at);
        }
    }

    fn activate(&mut self, number: u16) {
        let what = self.scenario.faults[usize::from(number)].what.clone();
        self.active.push(Active { number, what, is_on: true, cut: Vec::new() });
        self.follow();
    }

    /// Makes the truth anew, and lets everybody meet it.
    fn follow(&mut self) {
        let before = self.truth.clone();
        self.turns += 1;
        self.truth.follow(&self.active, &Arc::clone(&self.topology));
        self.regions_meet(&before);
        self.nodes_meet(&before);
        if before.traffic.to_bits() != self.truth.traffic.to_bits() {
            self.wish_serial += 1;
            self.plan_wish();
        }
        if before.is_held && !self.truth.is_held {
            for slot in std::mem::take(&mut self.held_wishes) {
                self.wishes(slot);
            }
        }
    }

    fn regions_meet(&mut self, before: &Truth) {
        for at in 0..self.truth.regions.len() {
            let (was, is) = (before.regions[at], self.truth.regions[at]);
            let region = RegionIndex::of(at);
            if is.refuses && !was.refuses {
                self.region_dies(region);
            }
            if was.is_paused && !is.is_paused {
                self.region_goes_on(region);
            }
        }
        for at in 0..self.nodes.len() {
            let node = NodeIndex::try_from(at).unwrap_or_default();
            let changed: Vec<RegionIndex> = (0..self.truth.regions.len())
                .map(RegionIndex::of)
                .filter(|region| {
                    before.regions[region.at()] != self.truth.regions[region.at()]
                        || before.way(node, *region) != self.truth.way(node, *region)
                })
                .collect();
            let is_other = !before.nodes[at].sees_like(&self.truth.nodes[at]);
            if is_other || !changed.is_empty() {
                self.on_node(at, |node, now, around, _| {
                    node.meet(now, around, |region| is_other || changed.contains(&region));
                });
            }
        }
    }

    fn nodes_meet(&mut self, before: &Truth) {
        for at in 0..self.nodes.len() {
            let node = NodeIndex::try_from(at).unwrap_or_default();
            let (was, is) = (before.nodes[at], self.truth.nodes[at]);
            if is.is_gone && !was.is_gone {
                self.stop(node);
            }
            if was.is_gone && !is.is_gone {
                self.boot(node);
            }
            let is_unreachable = is.is_gone || is.is_isolated;
            let since = &mut self.doors[at].gone_since;
            *since = if is_unreachable { Some(since.unwrap_or(self.now)) } else { None };
            if was.drift_ppm != is.drift_ppm {
                self.on_node(at, |node, now, _, _| node.drift(now, is.drift_ppm));
            }
            if !(is.is_cut_off || is_unreachable) {
                for word in std::mem::take(&mut self.doors[at].held) {
                    self.after(self.scenario.ways.channel, Event::Word(word, node));
                }
            }
        }
    }

    /// A node's process is gone, and all that it carried with it.
    fn stop(&mut self, node: NodeIndex) {
        self.nodes[usize::from(node)] = None;
        self.facts.push(Fact::Stops(node));
        for client in &mut self.clients {
            client.kept = client.kept.filter(|(kept, _)| *kept != node);
        }
        for at in 0..self.live.len() {
            let live = &self.live[at];
            if live.request.node == Some(node) && live.course.is_some() {
                self.lose(Slot::try_from(at).unwrap_or(Slot::MAX));
            }
        }
    }

    /// An operator says something to all nodes.
    fn say(&mut self, word: Word) {
        self.words.push(word);
        let number = u32::try_from(self.words.len() - 1).unwrap_or(u32::MAX);
        for at in 0..self.nodes.len() {
            let node = NodeIndex::try_from(at).unwrap_or_default();
            let there = self.truth.nodes[at];
            if there.is_cut_off || there.is_isolated || there.is_gone {
                self.doors[at].held.push(number);
                continue;
            }
            let late = times(there.hears_late, self.dice.fraction());
            let wait = self.scenario.ways.channel + late;
            self.after(wait, Event::Word(number, node));
            if there.hears_twice {
                self.after(wait * 2 + Duration::from_secs(1), Event::Word(number, node));
            }
        }
    }

    /// An operator's word has come to a node.
    pub(super) fn hear(&mut self, number: u32, node: NodeIndex) {
        let at = usize::from(node);
        if self.nodes[at].is_none() {
            return self.doors[at].held.push(number);
        }
        let door = &mut self.doors[at];
        let told = match self.words[number as usize].clone() {
            Word::Drain(drain) => {
                door.drains.retain(|known| known.target != drain.target);
                door.drains.push(drain);
                door.kept_drains.clone_from(&door.drains);
                Told::Overridden { overrides: door.drains.clone().into() }
            }
            Word::Undrain(target) => {
                door.drains.retain(|known| known.target != target);
                door.kept_drains.clone_from(&door.drains);
                Told::Overridden { overrides: door.drains.clone().into() }
            }
            // Whoever brings files to nodes brings the newest.
            Word::File(file) if file < door.file => return,
            // A node refuses a file in which its own site is no more.
            Word::File(file) if !self.files[file].sites.contains(&Some(node)) => {
                self.facts.push(Fact::Refuses(node, number));
                return self.tell(node, Told::Rejected { text: "its own site is no more".into() });
            }
            Word::File(file) => {
                (door.file, door.kept_file) = (file, file);
                let file = self.files[file].clone();
                door.adopts(&file.topology);
                let topology = Arc::clone(&file.topology);
                self.on_node(at, |node, _, _, _| node.adopt(file));
                Told::Reloaded { topology, locator: Arc::clone(&self.stage.locator) }
            }
            Word::Mistake => {
                self.facts.push(Fact::Refuses(node, number));
                return self.tell(node, Told::Rejected { text: "a mistake".into() });
            }
        };
        self.facts.push(Fact::Obeys(node, number));
        self.tell(node, told);
    }
}

fn pick<T: Copy>(dice: &mut crate::moment::Dice, among: &[T]) -> Option<T> {
    let at = usize::try_from(below(dice, among.len().max(1) as u64)).unwrap_or(0);
    among.get(at).copied()
}
