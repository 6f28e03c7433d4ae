//! Resolvers between clients and the nodes that answer DNS: they keep, shorten, stretch or ignore a TTL.

use super::fact::NodeIndex;
use super::scenario::Habit;
use crate::moment::Moment;
use crate::topology::RegionIndex;
use std::time::Duration;

/// What a name resolves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These sites' addresses, the first first; the second may be missing.
    Sites(NodeIndex, Option<NodeIndex>),
    /// A region's own addresses.
    Region(RegionIndex),
}

/// An answer that is kept.
#[derive(Clone, Copy, Debug)]
struct Kept {
    answer: Answer,
    /// Until when it may be believed.
    until: Moment,
}

/// A resolver, and what it knows.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// What it makes of a TTL.
    pub habit: Habit,
    /// In which city.
    pub city: usize,
    /// How many clients ask it.
    pub clients: usize,
    /// By route.
    kept: Vec<Option<Kept>>,
}

impl Resolver {
    /// One that knows nothing of so many routes.
    #[must_use]
    pub fn new(habit: Habit, city: usize, routes: usize) -> Self {
        Self { habit, city, clients: 0, kept: vec![None; routes] }
    }

    /// What it answers by itself `now`.
    #[must_use]
    pub fn knows(&self, now: Moment, route: usize) -> Option<Answer> {
        self.kept.get(route).copied().flatten().filter(|kept| now < kept.until).map(|kept| kept.answer)
    }

    /// What it answers if it has asked and nobody answered.
    #[must_use]
    pub fn knew(&self, now: Moment, route: usize) -> Option<Answer> {
        let Habit::ServesStale(longer) = self.habit else { return None };
        self.kept.get(route).copied().flatten().filter(|kept| now < kept.until + longer).map(|kept| kept.answer)
    }

    /// It was told `answer`, to be believed for `ttl`.
    pub fn learns(&mut self, now: Moment, route: usize, answer: Answer, ttl: Duration) {
        let until = match self.habit {
            Habit::Keeps | Habit::ServesStale(_) => now + ttl,
            Habit::Shortens(most) => now + ttl.min(most),
            Habit::Stretches(least) => now + ttl.max(least),
            Habit::Never => Moment::from_nanos(u64::MAX),
        };
        if let Some(kept) = self.kept.get_mut(route) {
            *kept = Some(Kept { answer, until });
        }
    }
}
