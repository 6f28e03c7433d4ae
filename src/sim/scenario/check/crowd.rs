//! Who asks for what.

use super::super::file::{Clients, Resolver, Weight};
use super::super::words::{HabitWord, Named, meant, twice};
use super::super::{Crowd, Habit, Work};
use super::{Proof, time};
use crate::geo::place::Country;
use crate::names::Hostname;
use crate::topology::read::{At, Word, quoted};
use std::collections::BTreeMap;
use std::ops::Range;

/// Most kinds of requests and of resolvers: each draw walks them.
const KINDS_MAX: usize = 100;
/// How finely a country's weight is spread over its cities.
const GRAIN: u64 = 1_000;

impl Proof<'_> {
    pub(super) fn crowd(&mut self) -> Crowd {
        let usual = Crowd::default();
        let work = self.work().unwrap_or(usual.work);
        let Some(At { value: clients, .. }) = &self.file.clients else { return Crowd { work, ..Crowd::default() } };
        let programs = clients.programs.as_ref().map(|programs| {
            let weights: Vec<_> = programs.value.0.iter().map(|(program, weight)| (*program, weight.value.0)).collect();
            self.chosen_from("programs", &weights, &programs.span);
            weights
        });
        Crowd {
            clients: clients.count.as_ref().map_or(usual.clients, |count| count.value.0),
            per_minute: clients.per_minute.as_ref().map_or(usual.per_minute, |rate| rate.value.0),
            stands_for: clients.stands_for.as_ref().map_or(usual.stands_for, |stands| stands.value.0),
            day: clients.day.as_ref().map_or(usual.day, |day| day.value),
            places: self.places(clients),
            hostnames: self.hostnames(clients),
            programs: programs.unwrap_or(usual.programs),
            work,
            resolvers: self.resolvers(clients).unwrap_or(usual.resolvers),
        }
    }

    /// Something must be chosen.
    fn chosen_from<T>(&mut self, key: &str, weights: &[(T, u32)], span: &Range<usize>) {
        if weights.iter().all(|(_, weight)| *weight == 0) {
            let title = format!("{key} has nothing to choose from");
            self.error(span, title, "no weight at all", "give something a weight of 1 or more, or remove it all");
        }
    }

    fn places(&mut self, clients: &Clients) -> Vec<(usize, u32)> {
        let mut weights: Vec<(usize, u64)> = Vec::new();
        let grain = if clients.countries.is_some() { GRAIN } else { 1 };
        for (name, weight) in named(clients.places.as_ref()) {
            if let Some(city) = self.city(&name.value, &name.span) {
                if weights.iter().any(|(known, _)| *known == city) {
                    let title = format!("{} is there twice", quoted(&name.value));
                    self.error(&name.span, title, "again here", "keep one of the two");
                }
                weights.push((city, grain * u64::from(weight)));
            }
        }
        for (name, weight) in named(clients.countries.as_ref()) {
            self.country(name, u64::from(weight), &mut weights);
        }
        for (key, written) in [("places", &clients.places), ("countries", &clients.countries)] {
            if let Some(written) = written {
                let all: Vec<((), u32)> = written.value.0.iter().map(|(_, weight)| ((), weight.value.0)).collect();
                self.chosen_from(key, &all, &written.span);
            }
        }
        fitted(&weights)
    }

    /// Spreads the weight of a country over its cities, beside those that are weighted already.
    fn country(&mut self, name: &At<String>, weight: u64, weights: &mut Vec<(usize, u64)>) {
        let country = match <Country as Word>::parse(&name.value) {
            Ok(country) => country,
            Err(wrong) => {
                let title = format!("{} {}", quoted(&name.value), wrong.problem);
                self.error(&name.span, title, "not known", wrong.help);
                return;
            }
        };
        let cities = self.around.cities.all().iter().enumerate().filter(|(_, city)| city.country == country);
        let people: u64 = cities.clone().map(|(_, city)| city.people).sum();
        if people == 0 {
            let help = "only countries with large cities are known: write a city nearby in places instead";
            self.error(&name.span, format!("no city is known in {country}"), "nobody there", help);
            return;
        }
        let mut shares: BTreeMap<usize, u64> = BTreeMap::new();
        for (at, city) in cities {
            let share = u128::from(weight * GRAIN) * u128::from(city.people) / u128::from(people);
            shares.insert(at, u64::try_from(share).unwrap_or(u64::MAX).max(u64::from(weight > 0)));
        }
        for (at, share) in shares {
            match weights.iter_mut().find(|(known, _)| *known == at) {
                Some((_, known)) => *known += share,
                None => weights.push((at, share)),
            }
        }
    }

    fn hostnames(&mut self, clients: &Clients) -> Vec<(Hostname, u32)> {
        let topology = self.around.topology;
        let mut hostnames: Vec<(Hostname, u32)> = Vec::new();
        for (name, weight) in named(clients.hostnames.as_ref()) {
            let found = Hostname::parse(&name.value).ok().filter(|name| topology.route_by_hostname.contains_key(name));
            match found {
                Some(hostname) if hostnames.iter().all(|(known, _)| *known != hostname) => {
                    hostnames.push((hostname, weight));
                }
                Some(_) => {
                    let title = format!("{} is there twice", quoted(&name.value));
                    self.error(&name.span, title, "again here", "keep one of the two");
                }
                None => {
                    let help = meant(&name.value, topology.routes.iter().map(|route| route.hostname.as_str()));
                    let title = format!("there is no hostname {}", quoted(&name.value));
                    self.error(&name.span, title, "not in the configuration", help);
                }
            }
        }
        if let Some(written) = &clients.hostnames {
            let all: Vec<((), u32)> = written.value.0.iter().map(|(_, weight)| ((), weight.value.0)).collect();
            self.chosen_from("hostnames", &all, &written.span);
        }
        hostnames
    }

    fn resolvers(&mut self, clients: &Clients) -> Option<Vec<(Habit, u32)>> {
        let written = clients.resolvers.as_ref()?;
        self.bound("resolvers", &written.value, KINDS_MAX);
        let mut resolvers = Vec::with_capacity(written.value.len());
        for At { value: resolver, span } in &written.value {
            if let Some(habit) = self.habit(resolver, span) {
                resolvers.push((habit, resolver.weight.as_ref().map_or(1, |weight| weight.value.0)));
            }
        }
        if resolvers.len() == written.value.len() {
            self.chosen_from("resolvers", &resolvers, &written.span);
        }
        Some(resolvers)
    }

    fn habit(&mut self, resolver: &Resolver, span: &Range<usize>) -> Option<Habit> {
        let habit = resolver.habit.as_ref()?;
        let takes_time = matches!(habit.value, HabitWord::Shortens | HabitWord::Stretches | HabitWord::ServesStale);
        match (&resolver.to, takes_time) {
            (None, true) => {
                self.error(span, "a resolver without to", "to what?", "add a line such as to = \"5s\"");
                return None;
            }
            (Some(to), false) => {
                let help = "to is for shortens, stretches and serves_stale: remove it";
                self.error(&to.span, "to means nothing for this habit", "not here", help);
            }
            _ => {}
        }
        let to = time(resolver.to.as_ref()).unwrap_or_default();
        Some(match habit.value {
            HabitWord::Keeps => Habit::Keeps,
            HabitWord::Shortens => Habit::Shortens(to),
            HabitWord::Stretches => Habit::Stretches(to),
            HabitWord::Never => Habit::Never,
            HabitWord::ServesStale => Habit::ServesStale(to),
        })
    }

    fn work(&mut self) -> Option<Vec<(Work, u32)>> {
        let written = self.file.work.as_ref()?;
        self.bound("work", &written.value, KINDS_MAX);
        let names = || written.value.iter().filter_map(|work| work.value.name.as_ref());
        for (name, text) in twice(names(), String::clone) {
            self.error(
                &name.span,
                format!("work {} is there twice", quoted(&text)),
                "again here",
                "give it another name",
            );
        }
        for name in names() {
            self.printable("name", &name.value, &name.span);
        }
        let mut all = Vec::with_capacity(written.value.len());
        for At { value: work, .. } in &written.value {
            self.positive("patience", work.patience.as_ref());
            let (Some(name), Some(path)) = (&*work.name, &*work.path) else { continue };
            let kind = Work {
                name: name.value.as_str().into(),
                method: work.method.as_ref().map_or(http::Method::POST, |method| method.value.clone()),
                path: path.value.0.as_str().into(),
                takes: time(work.takes.as_ref()).unwrap_or(std::time::Duration::from_millis(200)),
                flows: time(work.flows.as_ref()).unwrap_or_default(),
                patience: time(work.patience.as_ref()),
            };
            all.push((kind, work.weight.as_ref().map_or(1, |weight| weight.value.0)));
        }
        if all.len() == written.value.len() {
            self.chosen_from("work", &all, &written.span);
        }
        Some(all)
    }
}

fn named(written: Option<&At<Named<Weight>>>) -> impl Iterator<Item = (&At<String>, u32)> {
    let named = written.map_or(&[][..], |named| &named.value.0);
    named.iter().map(|(name, weight)| (name, weight.value.0))
}

/// Weights that fit what a file may have, in the same proportions.
fn fitted(weights: &[(usize, u64)]) -> Vec<(usize, u32)> {
    let most = weights.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
    let over = most.div_ceil(1_000_000).max(1);
    let fit = |weight: u64| u32::try_from((weight / over).max(u64::from(weight > 0))).expect("it was made to fit");
    weights.iter().map(|(city, weight)| (*city, fit(*weight))).collect()
}
