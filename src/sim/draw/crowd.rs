//! A random crowd.

use super::Draw;
use crate::sim::scenario::{Crowd, Day, Habit, Program};
use std::time::Duration;

/// Most clients of a drawn crowd: a search plays thousands of scenarios.
const CLIENTS_MAX: u64 = 400;

impl Draw<'_> {
    pub(super) fn crowd(&mut self) -> Crowd {
        let clients = 20 + u32::try_from(self.below(CLIENTS_MAX - 19)).unwrap_or(0);
        let per_minute = self.one(&[0.2, 0.5, 1.0, 2.0, 4.0]).unwrap_or(1.0);
        let stands_for = self.one(&[1, 1, 1, 10]).unwrap_or(1);
        let day = self.one(&[Day::Flat, Day::Office, Day::Evening]).unwrap_or(Day::Flat);
        let places = if self.happens(70) { Vec::new() } else { self.places() };
        let hostnames = if self.happens(60) { Vec::new() } else { self.hostnames() };
        let programs = [Program::OpenAi, Program::Mcp, Program::Browser, Program::Curl, Program::Hammer];
        let programs = self.weighted(&programs);
        let mut work = Crowd::default().work;
        for (kind, weight) in &mut work {
            *weight = 1 + u32::try_from(self.below(20)).unwrap_or(0);
            let patience = [None, None, Some(Duration::from_secs(2)), Some(Duration::from_secs(30))];
            kind.patience = self.one(&patience).flatten();
        }
        let shortens = self.length(Duration::from_secs(1), Duration::from_secs(30));
        let stretches = self.length(Duration::from_secs(60), Duration::from_secs(1_800));
        let stale = self.length(Duration::from_secs(60), Duration::from_secs(86_400));
        let habits = [
            Habit::Keeps,
            Habit::Shortens(shortens),
            Habit::Stretches(stretches),
            Habit::Never,
            Habit::ServesStale(stale),
        ];
        let resolvers = self.weighted(&habits);
        Crowd { clients, per_minute, stands_for, day, places, hostnames, programs, work, resolvers }
    }

    /// Some of them, with weights.
    fn weighted<T: Clone>(&mut self, of: &[T]) -> Vec<(T, u32)> {
        let chosen = self.some(of, of.len() as u64);
        chosen.into_iter().map(|one| (one, 1 + u32::try_from(self.below(9)).unwrap_or(0))).collect()
    }

    fn places(&mut self) -> Vec<(usize, u32)> {
        let mut places: Vec<(usize, u32)> = Vec::new();
        for _ in 0..1 + self.below(5) {
            let city = self.around.cities.drawn(&mut self.dice);
            let weight = 1 + u32::try_from(self.below(9)).unwrap_or(0);
            if places.iter().all(|(known, _)| *known != city) {
                places.push((city, weight));
            }
        }
        places
    }

    fn hostnames(&mut self) -> Vec<(crate::names::Hostname, u32)> {
        let written = self.around.topology.routes.iter().filter(|route| !route.is_regional);
        let written: Vec<_> = written.map(|route| route.hostname.clone()).collect();
        if written.is_empty() { Vec::new() } else { self.weighted(&written) }
    }
}
