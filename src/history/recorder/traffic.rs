//! How much the counters beside the snapshot have grown since the last look.

use super::Series;
use crate::history::story::Subject;
use crate::load::TIME_BUCKETS;
use crate::snapshot::{EndpointId, Snapshot};
use std::collections::BTreeMap;

/// What was seen of each endpoint.
#[derive(Debug, Default)]
pub(super) struct Traffic(BTreeMap<EndpointId, Seen>);

#[derive(Debug)]
struct Seen {
    requests: u64,
    failures: u64,
    times: [u32; TIME_BUCKETS],
}

impl Traffic {
    /// Gives each region what its endpoints have counted since.
    pub(super) fn count(&mut self, snapshot: &Snapshot, series: &mut BTreeMap<Subject, Series>) {
        for region in &snapshot.topology.regions {
            let Some(series) = series.get_mut(&Subject::Region(region.name.to_string())) else { continue };
            for index in &region.endpoints {
                let state = snapshot.endpoint(*index);
                // The counters began with this process, as we did.
                let none = || Seen { requests: 0, failures: 0, times: [0; TIME_BUCKETS] };
                let seen = self.0.entry(state.id).or_insert_with(none);
                let (requests, failures, times) =
                    (state.load.requests(), state.load.failures(), state.load.times().counts());
                series.carried(requests.saturating_sub(seen.requests), failures.saturating_sub(seen.failures));
                for (bucket, (now, before)) in times.iter().zip(seen.times).enumerate() {
                    series.took(bucket, u64::from(now.wrapping_sub(before)));
                }
                *seen = Seen { requests, failures, times };
            }
        }
        if self.0.len() > snapshot.endpoints.len() {
            self.0.retain(|id, _| snapshot.endpoints.iter().any(|state| state.id == *id));
        }
    }
}
