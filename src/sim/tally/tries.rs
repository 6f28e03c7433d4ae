//! Tries of clients' programs: each counts from the moment at which it is asked for, whether a node hears of it or not.
//!
//! No fact tells that a program tries again. But a request says which try it is, so that the first fact that is about a
//! new try tells of it: that it came to a node, or dials a region, or else that it has ended.

use super::super::fact::Slot;
use super::super::request::Request;

/// Tries of clients' programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// By request: how many tries of its wish are counted; none: no wish is under way there.
    counted: Vec<Option<u32>>,
}

impl Tries {
    /// A wish begins. How many of its tries are new: the first one.
    pub(super) fn begun(&mut self, slot: Slot, request: &Request) -> u32 {
        let at = place(slot);
        if at >= self.counted.len() {
            self.counted.resize(at + 1, None);
        }
        self.counted[at] = Some(0);
        self.seen(slot, request)
    }

    /// Something is told about it. How many of its tries are new.
    pub(super) fn seen(&mut self, slot: Slot, request: &Request) -> u32 {
        let Some(Some(counted)) = self.counted.get_mut(place(slot)) else { return 0 };
        let new = request.tries.saturating_sub(*counted);
        *counted += new;
        new
    }

    /// The wish is over.
    pub(super) fn finished(&mut self, slot: Slot) {
        if let Some(counted) = self.counted.get_mut(place(slot)) {
            *counted = None;
        }
    }

    /// The requests whose wishes are under way.
    pub(super) fn open(&self) -> Vec<Slot> {
        let open = self.counted.iter().enumerate().filter(|(_, counted)| counted.is_some());
        open.filter_map(|(at, _)| Slot::try_from(at).ok()).collect()
    }
}

fn place(slot: Slot) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
