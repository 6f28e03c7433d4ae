//! A random scenario from a seed, for a given configuration: what the search for a broken promise plays.
//!
//! *Safety*: anything may break, anywhere, at any time. *Liveness*: everything but a healthy [`Core`] may break, and stay
//! broken for ever; whoever the core can serve must be served. Every kind of fault is drawn as often as every other.

mod core;
mod crowd;
mod faults;

pub use self::core::Core;

use super::cities::Cities;
use super::scenario::{NewSite, RegionTruth, Scenario, Ways};
use crate::geo::place::Place;
use crate::moment::Dice;
use crate::names::Label;
use crate::topology::Topology;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// How long a drawn scenario lasts.
pub const LASTS: Duration = Duration::from_secs(3_600);
/// Most faults of one.
pub const FAULTS_MAX: u64 = 12;

/// What scenarios are drawn for.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The configuration.
    pub topology: &'a Topology,
    /// Its text, which rollouts are made of.
    pub config: &'a str,
    /// Where clients and new sites are.
    pub cities: &'a Cities,
}

/// A scenario in which anything may happen.
#[must_use]
pub fn safety(around: &Around<'_>, seed: u64) -> Scenario {
    let mut draw = Draw { around, dice: Dice::seeded(seed), sites: Vec::new(), core: None };
    draw.scenario(format!("safety {seed}"), seed)
}

/// A scenario in which everything may break and stay broken but what the core needs.
#[must_use]
pub fn liveness(around: &Around<'_>, seed: u64) -> (Scenario, Core) {
    let mut draw = Draw { around, dice: Dice::seeded(seed), sites: Vec::new(), core: None };
    draw.sites = draw.new_sites(1);
    let core = Core::draw(around.topology, &draw.sites, &mut draw.dice);
    draw.core = Some(core.clone());
    (draw.scenario(format!("liveness {seed}"), seed), core)
}

/// One scenario while it is drawn.
struct Draw<'a> {
    around: &'a Around<'a>,
    dice: Dice,
    /// The sites that only it has.
    sites: Vec<NewSite>,
    /// What must not break, if anything must not.
    core: Option<Core>,
}

impl Draw<'_> {
    fn scenario(&mut self, name: String, seed: u64) -> Scenario {
        if self.core.is_none() {
            self.sites = self.new_sites(0);
        }
        // A core can do its work: what is too small for its crowd is outside of it.
        let regions = self.truths();
        let mut faults = Vec::new();
        for _ in 0..1 + self.below(FAULTS_MAX) {
            faults.push(self.fault());
        }
        faults.sort_by_key(|fault| fault.at);
        Scenario {
            name,
            starts: Duration::from_secs(1_796_000_000 + 60 * self.below(7 * 1_440)),
            lasts: LASTS,
            seed,
            ways: self.ways(),
            regions,
            crowd: self.crowd(),
            faults,
            sites: std::mem::take(&mut self.sites),
            ..Scenario::default()
        }
    }

    /// A number below `end`; zero if there is none.
    fn below(&mut self, end: u64) -> u64 {
        self.dice.roll().checked_rem(end).unwrap_or(0)
    }

    /// Whether something happens that happens so often in a hundred.
    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(at).cloned()
    }

    /// At least one and at most `most` of them, in their order.
    fn some<T: Clone>(&mut self, of: &[T], most: u64) -> Vec<T> {
        let mut left: Vec<usize> = (0..of.len()).collect();
        let count = 1 + self.below(most.min(of.len() as u64));
        let mut chosen = Vec::new();
        while (chosen.len() as u64) < count && !left.is_empty() {
            let at = usize::try_from(self.below(left.len() as u64)).unwrap_or(0);
            chosen.push(left.swap_remove(at));
        }
        chosen.sort_unstable();
        chosen.into_iter().map(|at| of[at].clone()).collect()
    }

    /// A time from `least` to a thousand times that and more, short ones as often as long ones, in whole milliseconds.
    fn length(&mut self, least: Duration, most: Duration) -> Duration {
        let ratio = most.as_secs_f64() / least.as_secs_f64();
        let millis = least.as_secs_f64() * ratio.powf(self.dice.fraction()) * 1_000.0;
        // Rounded to three digits: nobody reads more, and shortest scripts are for reading.
        let mut grain = 1;
        while millis as u64 / grain >= 1_000 {
            grain *= 10;
        }
        Duration::from_millis((millis as u64 / grain * grain).max(1))
    }

    fn new_sites(&mut self, least: u64) -> Vec<NewSite> {
        let topology = self.around.topology;
        let mut sites = Vec::new();
        for number in 0..least + self.below(5 - least) {
            let city = self.around.cities.all()[self.around.cities.drawn(&mut self.dice)];
            let name = (number..).find_map(|number| {
                let name = Label::parse(&format!("site-{}", number + 1)).ok()?;
                let is_free = topology.sites.iter().all(|site| site.name != name)
                    && sites.iter().all(|site: &NewSite| site.name != name);
                is_free.then_some(name)
            });
            let place = Place { at: city.at, country: Some(city.country), city: Some(Arc::from(city.name)) };
            // Addresses for documentation (RFC 5737): nobody has them.
            let own = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10 + u8::try_from(number).unwrap_or(0)));
            let addresses = if self.happens(50) { vec![own] } else { Vec::new() };
            sites.extend(name.map(|name| NewSite { name, place, addresses }));
        }
        sites
    }

    fn ways(&mut self) -> Ways {
        let loss = self.one(&[0.0, 0.0005, 0.002, 0.01]).unwrap_or(0.0);
        let jitter = self.one(&[0.0, 0.1, 0.3]).unwrap_or(0.0);
        let withdrawal = self.length(Duration::from_secs(1), Duration::from_secs(120));
        let channel = self.length(Duration::from_millis(50), Duration::from_secs(30));
        Ways { loss, jitter, withdrawal, channel }
    }

    fn truths(&mut self) -> Vec<(Label, RegionTruth)> {
        let mut truths = Vec::new();
        for region in self.around.topology.regions.iter().map(|region| region.name.clone()) {
            let is_core = self.core.as_ref().is_some_and(|core| core.regions.contains(&region));
            if is_core || !self.happens(20) {
                continue;
            }
            let slots = self.one(&[None, Some(1), Some(3), Some(10), Some(100)]).flatten();
            let queue = self.one(&[0.0, 1.0, 10.0]).unwrap_or(1.0);
            let slowness = self.one(&[0.5, 1.0, 2.0, 5.0]).unwrap_or(1.0);
            let says_unserved = self.happens(50);
            truths.push((region, RegionTruth { slots, queue, slowness, says_unserved }));
        }
        truths
    }
}
