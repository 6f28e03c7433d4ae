//! Extra round trips, each with how many people have it. Sums of whole numbers, so no order can show.

use crate::topology::RegionIndex;
use std::time::Duration;

/// What somebody gets, and what would be best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) city: usize,
    pub(super) gets: RegionIndex,
    pub(super) best: RegionIndex,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Extra microseconds, people, and whose they are.
    all: Vec<(u64, u64, Choice)>,
}

/// What they come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) mean_us: u64,
    pub(super) median_us: u64,
    pub(super) p99_us: u64,
    pub(super) best_percent: u64,
    pub(super) worst: Option<(u64, Choice)>,
}

impl Tally {
    pub(super) fn add(&mut self, extra: Duration, people: u64, choice: Choice) {
        let extra_us = u64::try_from(extra.as_micros()).unwrap_or(u64::MAX);
        self.all.push((extra_us, people, choice));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(super) fn people(&self) -> u64 {
        self.all.iter().map(|(_, people, _)| *people).sum()
    }

    #[cfg(test)]
    pub(super) fn choices(&self) -> impl Iterator<Item = Choice> {
        self.all.iter().map(|(.., choice)| *choice)
    }

    pub(super) fn counted(mut self) -> Counted {
        self.all.sort_by_key(|(extra_us, ..)| *extra_us);
        let everybody: u64 = self.all.iter().map(|(_, people, _)| *people).sum();
        if everybody == 0 {
            return Counted::default();
        }
        let sum: u128 = self.all.iter().map(|(extra, people, _)| u128::from(*extra) * u128::from(*people)).sum();
        let best: u64 = self.all.iter().take_while(|(extra, ..)| *extra == 0).map(|(_, people, _)| *people).sum();
        // The first of the cities that lose most: the one with the most people.
        let most = self.all.last().map_or(0, |(extra, ..)| *extra);
        let worst = self.all.iter().find(|(extra, ..)| *extra == most && most > 0);
        Counted {
            mean_us: u64::try_from(sum / u128::from(everybody)).unwrap_or(u64::MAX),
            median_us: self.at_most(everybody, 50),
            p99_us: self.at_most(everybody, 99),
            best_percent: best * 100 / everybody,
            worst: worst.map(|(extra, _, choice)| (*extra, *choice)),
        }
    }

    /// What so many of 100 people have no more than. The tally is sorted.
    fn at_most(&self, everybody: u64, percent: u64) -> u64 {
        let wanted = (everybody * percent).div_ceil(100);
        let mut people_up_to = 0;
        let reaches = |(_, people, _): &&(u64, u64, Choice)| {
            people_up_to += people;
            people_up_to >= wanted
        };
        self.all.iter().find(reaches).map_or(0, |(extra, ..)| *extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(all: &[(u64, u64)]) -> Counted {
        let mut tally = Tally::default();
        for (city, (extra_us, people)) in all.iter().enumerate() {
            let choice = Choice { city, gets: RegionIndex(1), best: RegionIndex(0) };
            tally.add(Duration::from_micros(*extra_us), *people, choice);
        }
        tally.counted()
    }

    #[test]
    fn people_count_and_not_cities() {
        let counted = tally(&[(100, 1), (0, 97), (10, 1), (30, 1)]);
        assert_eq!((counted.mean_us, counted.median_us, counted.p99_us, counted.best_percent), (1, 0, 30, 97));
        assert_eq!(counted.worst.map(|(extra, choice)| (extra, choice.city)), Some((100, 0)));
        let counted = tally(&[(5, 49), (7, 51)]);
        assert_eq!((counted.mean_us, counted.median_us, counted.p99_us, counted.best_percent), (6, 7, 7, 0));
        let counted = tally(&[(5, 50), (7, 50)]);
        assert_eq!(counted.median_us, 5);
    }

    #[test]
    fn of_cities_that_lose_the_same_the_first_is_the_worst_and_who_loses_nothing_is_none() {
        assert_eq!(tally(&[(7, 2), (7, 1)]).worst.map(|(_, choice)| choice.city), Some(0));
        assert_eq!(tally(&[(0, 2)]).worst, None);
        assert_eq!(tally(&[]), Counted::default());
    }
}
