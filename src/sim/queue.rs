//! What is to come, in order: a binary heap in which equals keep the order in which they were put in.

use crate::moment::Moment;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Things to come.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Due<T>>>,
    serial: u64,
}

#[derive(Debug)]
struct Due<T> {
    at: Moment,
    serial: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), serial: 0 }
    }
}

impl<T> Queue<T> {
    /// `what` happens at `at`.
    pub fn push(&mut self, at: Moment, what: T) {
        self.serial += 1;
        self.heap.push(Reverse(Due { at, serial: self.serial, what }));
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// What happens next, and when.
    pub fn pop(&mut self) -> Option<(Moment, T)> {
        self.heap.pop().map(|Reverse(due)| (due.at, due.what))
    }

    /// How many things are to come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T> Due<T> {
    fn key(&self) -> (Moment, u64) {
        (self.at, self.serial)
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_equals_in_their_order() {
        let mut queue = Queue::default();
        for (at, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(Moment::from_nanos(at), what);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, what)| what).collect();
        assert_eq!(order, "abcd");
        assert!(queue.is_empty());
    }
}
