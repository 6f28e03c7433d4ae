//! Ejection by error rate, and its caps: so that a fault common to many never empties a level.

use super::Control;
use crate::health::Standing;
use crate::health::evidence::Tally;
use crate::moment::Moment;
use crate::topology::{EndpointIndex, RegionIndex};
use std::time::Duration;

/// By error rate, at most a quarter of a level is ejected within this time (but always one region).
pub const RATE_EJECTION_WINDOW: Duration = Duration::from_secs(30);

impl Control {
    /// Ejects whatever has far too many failures, as far as the caps let it.
    pub(super) fn eject_for_errors(&mut self, now: Moment) {
        // Time alone only forgets: nothing comes to depend on rates without something that is counted.
        self.is_simmering =
            self.is_simmering && self.known.iter().any(|known| known.health.evidence.may_be_damning(now));
        if !self.is_simmering {
            return;
        }
        self.rate_ejections.retain(|(when, _)| now.since(*when) < RATE_EJECTION_WINDOW);
        let tallies: Vec<Tally> = self.known.iter().map(|known| known.health.evidence.tally(now)).collect();
        let all = tallies.iter().fold(Tally::default(), |sum, tally| Tally {
            requests: sum.requests + tally.requests,
            failures: sum.failures + tally.failures,
        });
        for (at, own) in tallies.iter().enumerate() {
            let others = Tally { requests: all.requests - own.requests, failures: all.failures - own.failures };
            let region = self.topology.endpoints[at].region;
            if self.known[at].health.evidence.is_damning(now, others) && self.may_eject(now, EndpointIndex::of(at)) {
                self.known[at].health.eject_for_errors(now);
                self.touch(at);
                self.rate_ejections.push((now, region));
            }
        }
    }

    /// Whether one more ejection by error rate stays within the caps: half of a region's endpoints while some work, half
    /// of a level, and a quarter of a level within [`RATE_EJECTION_WINDOW`] (but always one region).
    fn may_eject(&self, now: Moment, endpoint: EndpointIndex) -> bool {
        let region = self.topology.endpoint(endpoint).region;
        let is_out =
            |at: EndpointIndex| self.known[at.at()].health.standing(now, Duration::ZERO).0 >= Standing::Ejected;
        let siblings = &self.topology.region(region).endpoints;
        let out = siblings.iter().filter(|sibling| is_out(**sibling)).count();
        if out + 1 < siblings.len() {
            return (out + 1) * 2 <= siblings.len();
        }
        let region_is_out =
            |at: RegionIndex| self.topology.region(at).endpoints.iter().all(|endpoint| is_out(*endpoint));
        self.topology.routes.iter().filter(|route| !route.is_regional).all(|route| {
            let Some(level) = route.members.iter().find(|member| member.region == region).map(|member| member.level)
            else {
                return true;
            };
            let members: Vec<RegionIndex> =
                route.members.iter().filter(|member| member.level == level).map(|member| member.region).collect();
            let out = members.iter().filter(|member| region_is_out(**member)).count();
            // The same region once more is not one more.
            let others = members.iter().filter(|member| **member != region);
            let lately = others.filter(|member| self.rate_ejections.iter().any(|(_, ejected)| ejected == *member));
            let lately = lately.count();
            // A level of one is never emptied by this: the ejected still come before the down.
            members.len() == 1 || ((out + 1) * 2 <= members.len() && (lately == 0 || (lately + 1) * 4 <= members.len()))
        })
    }
}
