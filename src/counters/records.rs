//! The last records of one worker, bounded; how they are named, and who hears of them.

use super::archive::Archive;
use super::record::Record;
use crate::limits::{DECISIONS_MAX, UNSTEERED_MAX};
use crate::moment::mix;
use crate::snapshot::Snapshot;
use aws_lc_rs::rand;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The name of a decision towards clients: says nothing of how many there were, and is unique while a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// Octets of its written form.
    pub const BYTES: usize = 16;

    /// As it is written: hexadecimal digits.
    #[must_use]
    pub fn digits(self) -> [u8; Self::BYTES] {
        hexadecimal(self.0)
    }

    /// Reads the written form; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_good = text.len() == Self::BYTES && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_good.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

/// A number in hexadecimal digits, the highest first: eight of them at once, because every request needs some.
#[must_use]
pub fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight_digits(number >> 32));
    digits[8..].copy_from_slice(&eight_digits(number & 0xFFFF_FFFF));
    digits
}

/// The lower half of a number, four bits an octet, each octet made a digit.
fn eight_digits(half: u64) -> [u8; 8] {
    let spread = (half & 0xFFFF_0000) << 16 | half & 0xFFFF;
    let spread = (spread & 0x0000_FF00_0000_FF00) << 8 | spread & 0x0000_00FF_0000_00FF;
    let spread = (spread & 0x00F0_00F0_00F0_00F0) << 4 | spread & 0x000F_000F_000F_000F;
    let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    // From '0', and for ten and more from 'a'.
    (spread + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Makes names of numbers and numbers of names: a permutation of 64 bits by a key that nobody else has.
#[derive(Debug)]
pub struct Seal([u64; 4]);

impl Seal {
    /// With a new key.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    #[must_use]
    pub fn random() -> Self {
        let mut octets = [0; 32];
        rand::fill(&mut octets).expect("the system gives randomness");
        let keys = octets.chunks_exact(8).map(|key| u64::from_le_bytes(key.try_into().expect("eight octets")));
        let mut keys = keys.collect::<Vec<_>>().into_iter();
        Self(std::array::from_fn(|_| keys.next().unwrap_or_default()))
    }

    #[expect(clippy::cast_possible_truncation, reason = "halves")]
    fn seal(&self, number: u64) -> DecisionId {
        let halves = ((number >> 32) as u32, number as u32);
        let round = |(left, right): (u32, u32), key: &u64| (right, left ^ mix(u64::from(right) ^ key) as u32);
        let (left, right) = self.0.iter().fold(halves, round);
        DecisionId(u64::from(left) << 32 | u64::from(right))
    }

    #[expect(clippy::cast_possible_truncation, reason = "halves")]
    fn open(&self, DecisionId(sealed): DecisionId) -> u64 {
        let halves = ((sealed >> 32) as u32, sealed as u32);
        let round = |(left, right): (u32, u32), key: &u64| (right ^ mix(u64::from(left) ^ key) as u32, left);
        let (left, right) = self.0.iter().rev().fold(halves, round);
        u64::from(left) << 32 | u64::from(right)
    }
}

/// What becomes of records that somebody wants to hear of.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Those that arrived where they were to go.
    pub delivered: AtomicU64,
    /// Those that there was no room for: who writes them is behind.
    pub missed: AtomicU64,
    /// Those that could not be delivered: the disk is full, the collector does not answer.
    pub failed: AtomicU64,
}

/// Somebody who wants every record as it is finished. Who cannot follow misses some, and that is counted.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where they go.
    pub sender: mpsc::Sender<Arc<Record>>,
    /// What becomes of them.
    pub delivery: Arc<Delivery>,
}

/// Bits of a number that say which worker's it is, above them whether nothing was steered for it; the rest counts.
const WORKER_BITS: u32 = 10;
const UNSTEERED_BIT: u64 = 1 << WORKER_BITS;
const COUNT_SHIFT: u32 = WORKER_BITS + 1;

/// The last requests of one worker, bounded. The locks are never contended but by someone who looks.
#[derive(Debug)]
pub struct Records {
    worker: u64,
    seal: Arc<Seal>,
    archive: Arc<Archive>,
    /// The generation that was put into the archive last.
    archived: AtomicU64,
    decided: Ring,
    /// Apart, so that strangers who ask for nonsense do not have the others forgotten.
    unsteered: Ring,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Ring {
    begun: AtomicU64,
    most: usize,
    /// Each with its number; a request has the place of its number.
    slots: Mutex<Vec<Option<(u64, Record)>>>,
}

impl Ring {
    fn new(most: usize) -> Self {
        Self { begun: AtomicU64::new(0), most, slots: Mutex::default() }
    }

    fn next(&self) -> u64 {
        self.begun.fetch_add(1, Relaxed)
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.most as u64).expect("less than there are places")
    }

    /// Remembers a record, unless a later one has its place.
    #[inline]
    fn put(&self, number: u64, record: Record) {
        let at = self.place(number);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() <= at {
            slots.resize_with(at + 1, || None);
        }
        if slots[at].as_ref().is_none_or(|(known, _)| *known <= number) {
            slots[at] = Some((number, record));
        }
    }

    fn find(&self, number: u64) -> Option<Record> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, record) = slots.get(self.place(number))?.as_ref()?;
        (*known == number).then(|| record.clone())
    }

    fn newest(&self, count: usize) -> Vec<Record> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<&(u64, Record)> = slots.iter().flatten().collect();
        all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().take(count).map(|(_, record)| record.clone()).collect()
    }
}

impl Records {
    /// Nothing remembered by the worker of that number.
    #[must_use]
    pub fn new(worker: usize, seal: &Arc<Seal>, archive: &Arc<Archive>, listeners: Vec<Listener>) -> Self {
        Self {
            worker: worker as u64 & (UNSTEERED_BIT - 1),
            seal: Arc::clone(seal),
            archive: Arc::clone(archive),
            archived: AtomicU64::new(u64::MAX),
            decided: Ring::new(DECISIONS_MAX),
            unsteered: Ring::new(UNSTEERED_MAX),
            listeners,
        }
    }

    /// The name of one more request.
    #[must_use]
    pub fn next(&self) -> DecisionId {
        self.seal.seal(self.decided.next() << COUNT_SHIFT | self.worker)
    }

    /// The name of one more request that nothing is steered for: it is refused, or the node itself has the answer.
    #[must_use]
    pub fn next_unsteered(&self) -> DecisionId {
        self.seal.seal(self.unsteered.next() << COUNT_SHIFT | UNSTEERED_BIT | self.worker)
    }

    /// Has what was decided by `snapshot` be replayed later.
    pub fn decided_by(&self, snapshot: &Snapshot) {
        if self.archived.swap(snapshot.generation, Relaxed) != snapshot.generation {
            self.archive.keep(snapshot);
        }
    }

    /// Whether somebody listens, who wants to know the path.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Remembers a request that is under way.
    pub fn show(&self, record: Record) {
        self.put(record);
    }

    /// Remembers a request that has ended, and tells it to those who listen.
    #[inline]
    pub fn finish(&self, mut record: Record) {
        if self.has_listeners() {
            let told = Arc::new(record.clone());
            for listener in &self.listeners {
                if listener.sender.try_send(Arc::clone(&told)).is_err() {
                    listener.delivery.missed.fetch_add(1, Relaxed);
                }
            }
            // Nobody asks for it here, and it may be long.
            record.path = None;
        }
        self.put(record);
    }

    #[inline]
    fn put(&self, record: Record) {
        let number = self.seal.open(record.id);
        let ring = if number & UNSTEERED_BIT == 0 { &self.decided } else { &self.unsteered };
        ring.put(number >> COUNT_SHIFT, record);
    }

    /// The request of that name, if it is this worker's and still remembered.
    #[must_use]
    pub fn find(&self, id: DecisionId) -> Option<Record> {
        let number = self.seal.open(id);
        if number & (UNSTEERED_BIT - 1) != self.worker {
            return None;
        }
        let ring = if number & UNSTEERED_BIT == 0 { &self.decided } else { &self.unsteered };
        ring.find(number >> COUNT_SHIFT)
    }

    /// The newest `count` that were steered, newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Record> {
        self.decided.newest(count)
    }
}

#[cfg(test)]
mod tests;
