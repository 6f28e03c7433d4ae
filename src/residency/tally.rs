//! Counts where requests go: one worker's own, so that nobody waits for anybody.
//!
//! Counted are both ends of a request's stay in a region: that it was sent there, whatever became of it, and that the
//! answer of the region was passed on. Which day it is is asked each time, so a count belongs to the day it happened on.

use super::day::Day;
use crate::geo::place::{Country, EEA_BESIDES_EU, EUROPEAN_UNION};
use crate::names::{Hostname, Label};
use crate::topology::{RegionIndex, RouteIndex, Topology};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What one worker has counted since it was asked last. The lock is never contended but by who asks, once a second.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Page>);

/// Counts of one day by one version of the file, and what was counted before and has its names already.
#[derive(Debug, Default)]
struct Page {
    day: Day,
    topology: Option<Arc<Topology>>,
    counts: BTreeMap<(RouteIndex, RegionIndex), Counts>,
    named: Vec<Line>,
}

/// What was counted of one hostname at one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts that were sent there.
    pub sent: u64,
    /// Answers from there that were passed on.
    pub answers: u64,
    /// Requests refused because those regions that could have served them are outside the fence; at no region.
    pub refused: u64,
}

/// What was counted, with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// On which day.
    pub day: Day,
    /// For which hostname.
    pub hostname: Hostname,
    /// Its residency, as written then; empty: none.
    pub fence: Vec<Arc<str>>,
    /// At which region; `None`: at none.
    pub region: Option<Label>,
    /// Where that is.
    pub country: Option<Country>,
    /// How often.
    pub counts: Counts,
}

impl Line {
    /// Whether it was outside the fence of its time.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        self.region.is_some() && !self.fence.is_empty() && !is_inside(&self.fence, self.country)
    }
}

/// Whether a country is within what is written as residency. On purpose not the set that steering goes by.
#[must_use]
pub fn is_inside(fence: &[impl AsRef<str>], country: Option<Country>) -> bool {
    let Some(country) = country else { return false };
    let code = country.as_str();
    fence.iter().any(|word| match word.as_ref() {
        "EU" => EUROPEAN_UNION.contains(&code),
        "EEA" => EUROPEAN_UNION.contains(&code) || EEA_BESIDES_EU.contains(&code),
        word => word == code,
    })
}

impl Tally {
    /// An attempt for `hostname` is sent to `region` at `wall`.
    pub fn sent(&self, wall: Duration, topology: &Arc<Topology>, hostname: &Hostname, region: RegionIndex) {
        self.count(wall, topology, hostname, region, |counts| counts.sent += 1);
    }

    /// The answer of `region` is passed on.
    pub fn answered(&self, wall: Duration, topology: &Arc<Topology>, hostname: &Hostname, region: RegionIndex) {
        self.count(wall, topology, hostname, region, |counts| counts.answers += 1);
    }

    /// A request is refused for want of a region; it counts if the fence shut others out.
    pub fn refused(&self, wall: Duration, topology: &Arc<Topology>, hostname: &Hostname) {
        let route = topology.route_by_hostname.get(hostname).map(|route| topology.route(*route));
        if route.is_some_and(|route| route.members.iter().any(|member| route.shuts_out(topology, member.region))) {
            self.count(wall, topology, hostname, RegionIndex::NOTHING, |counts| counts.refused += 1);
        }
    }

    fn count(
        &self,
        wall: Duration,
        topology: &Arc<Topology>,
        hostname: &Hostname,
        region: RegionIndex,
        add: impl FnOnce(&mut Counts),
    ) {
        let Some(route) = topology.route_by_hostname.get(hostname) else { return };
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let day = Day::of(wall);
        if page.day != day || !page.topology.as_ref().is_some_and(|known| Arc::ptr_eq(known, topology)) {
            page.turn();
            (page.day, page.topology) = (day, Some(Arc::clone(topology)));
        }
        add(page.counts.entry((*route, region)).or_default());
    }

    /// Takes what was counted since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Line> {
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        page.turn();
        std::mem::take(&mut page.named)
    }
}

impl Page {
    /// Gives everything its name: indexes mean something with their own topology only.
    fn turn(&mut self) {
        let Some(topology) = &self.topology else { return };
        for ((route, region), counts) in std::mem::take(&mut self.counts) {
            let route = topology.route(route);
            let region = (region != RegionIndex::NOTHING).then(|| topology.region(region));
            self.named.push(Line {
                day: self.day,
                hostname: route.hostname.clone(),
                fence: route.residency.as_ref().map(|fence| fence.written.clone()).unwrap_or_default(),
                region: region.map(|region| region.name.clone()),
                country: region.and_then(|region| region.place.country),
                counts,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_is_read_as_people_mean_it() {
        let inside = |fence: &[&str], country: &str| is_inside(fence, Country::parse(country));
        for (fence, country, expected) in [
            (&["EU"][..], "ES", true),
            (&["EU"], "GB", false),
            (&["EU"], "NO", false),
            (&["EEA"], "NO", true),
            (&["EEA"], "SE", true),
            (&["EEA"], "GB", false),
            (&["EU", "GB"], "GB", true),
            (&["US"], "EU", false),
        ] {
            assert_eq!(inside(fence, country), expected, "{country} in {fence:?}");
        }
        assert!(!is_inside(&["EU"], None), "nobody knows where it is");
    }
}
