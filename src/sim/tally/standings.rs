//! What each node thought of each region, and since when.

use super::super::fact::NodeIndex;
use crate::health::Standing;
use crate::moment::Moment;
use crate::topology::RegionIndex;

/// Changes that are kept; what flaps more often than that is counted only.
pub const CHANGES_MAX: usize = 200_000;

/// A node changed its mind, or is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Moment,
    /// Who.
    pub node: NodeIndex,
    /// About which region; none: about all, because the node stopped or started.
    pub region: Option<RegionIndex>,
    /// What it thinks since then; none: it is gone. A node that is back is taken to think what it thought, until it
    /// says something else.
    pub standing: Option<Standing>,
}

/// What nodes think.
#[derive(Clone, Debug)]
pub struct Standings {
    /// How many regions there are.
    pub regions: usize,
    /// All changes in their order, the first ones.
    pub changes: Vec<Change>,
    /// Changes that were not kept.
    pub dropped: u64,
    now: Vec<Standing>,
    is_gone: Vec<bool>,
}

impl Standings {
    pub(super) fn of(nodes: usize, regions: usize) -> Self {
        let now = vec![Standing::Unknown; nodes * regions];
        Self { regions, changes: Vec::new(), dropped: 0, now, is_gone: vec![false; nodes] }
    }

    /// What a node thinks of a region; none if it is gone, or there is none.
    #[must_use]
    pub fn now(&self, node: NodeIndex, region: RegionIndex) -> Option<Standing> {
        let is_gone = *self.is_gone.get(usize::from(node))?;
        let standing = *self.now.get(usize::from(node) * self.regions + region.at())?;
        (!is_gone).then_some(standing)
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.is_gone.len()
    }

    pub(super) fn changed(&mut self, at: Moment, node: NodeIndex, region: RegionIndex, standing: Standing) {
        if region.at() >= self.regions || usize::from(node) >= self.is_gone.len() {
            return;
        }
        self.now[usize::from(node) * self.regions + region.at()] = standing;
        self.keep(Change { at, node, region: Some(region), standing: Some(standing) });
    }

    pub(super) fn stopped(&mut self, at: Moment, node: NodeIndex) {
        self.turned(at, node, true);
    }

    pub(super) fn started(&mut self, at: Moment, node: NodeIndex) {
        self.turned(at, node, false);
    }

    fn turned(&mut self, at: Moment, node: NodeIndex, is_gone: bool) {
        let Some(was_gone) = self.is_gone.get_mut(usize::from(node)) else { return };
        if std::mem::replace(was_gone, is_gone) != is_gone {
            let standing = (!is_gone).then_some(Standing::Unknown);
            self.keep(Change { at, node, region: None, standing });
        }
    }

    fn keep(&mut self, change: Change) {
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(change);
        } else {
            self.dropped += 1;
        }
    }
}
