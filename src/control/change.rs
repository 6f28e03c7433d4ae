//! What changed of a region or an endpoint, for the log.

use crate::health::{Reason, Standing};
use crate::names::{EndpointName, Label};

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
