//! What changed of a region or an endpoint, for the log.

use crate::health::{Reason, Standing, sites};
use crate::names::{EndpointName, Label};
use crate::snapshot::Snapshot;

/// A change of a region's or endpoint's standing.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Of which region.
    pub region: Label,
    /// Of which endpoint, if it is not the region's only one.
    pub endpoint: Option<EndpointName>,
    /// What it was.
    pub from: Standing,
    /// What it is.
    pub to: Standing,
    /// Why.
    pub reason: Reason,
}

impl Change {
    pub(super) fn log(&self) {
        let endpoint = self.endpoint.as_ref().map(tracing::field::display);
        tracing::info!(region = %self.region, endpoint, standing = self.to.as_str(), was = self.from.as_str(), reason = self.reason.as_str(), "{} is {}: {}", self.region, self.to, self.reason);
    }
}

/// Logs what is new about sites in the `next` snapshot after `last`.
pub(super) fn log_sites(last: &Snapshot, next: &Snapshot) {
    for (site, state) in next.topology.sites.iter().zip(&next.sites) {
        let at = last.topology.sites.iter().position(|known| known.name == site.name);
        let Some(before) = at.and_then(|at| last.sites.get(at)) else { continue };
        let (now, was) = (state.standing.as_str(), before.standing.as_str());
        let how = match (state.is_left_out, state.standing) {
            (true, _) => "DNS leaves it out",
            (false, sites::Standing::Down(_)) => "DNS keeps it all the same: too many fail",
            (false, _) => "DNS answers with it",
        };
        if now != was || state.is_left_out != before.is_left_out {
            tracing::info!(site = %site.name, standing = now, was, "site {} is {now}: {how}", site.name);
        }
    }
}
