//! What is different in one snapshot from an earlier one, for the history.

use super::{Change, Kind};
use crate::health::{Reason, Standing};
use crate::snapshot::{Override, Snapshot};
use std::time::Duration;

/// Changes of standing, of regions and of endpoints where there are several, and of drains. What was not known before has
/// not changed.
pub(super) fn between(last: &Snapshot, next: &Snapshot, wall: Duration) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |kind, name: &str, was: (Standing, Reason), is: (Standing, Reason)| {
        if was.0 != is.0 && was.1 != Reason::NotProbed {
            changes.push(Change {
                at: wall,
                kind,
                name: name.to_owned(),
                was: was.0.as_str().to_owned(),
                is: is.0.as_str().to_owned(),
                reason: is.1.to_string(),
            });
        }
    };
    for (region, state) in next.topology.regions.iter().zip(&next.regions) {
        if let Some(before) = last.topology.region_named(region.name.as_str()) {
            let before = last.region(before);
            note(Kind::Region, region.name.as_str(), (before.standing, before.reason), (state.standing, state.reason));
        }
        for index in region.endpoints.iter().filter(|_| region.endpoints.len() > 1) {
            let state = next.endpoint(*index);
            let same = last.endpoints.get(index.at()).filter(|before| before.id == state.id);
            let before = same.or_else(|| last.endpoints.iter().find(|before| before.id == state.id));
            if let Some(before) = before {
                let name = next.topology.endpoint(*index).name.as_str();
                note(Kind::Endpoint, name, (before.standing, before.reason), (state.standing, state.reason));
            }
        }
    }
    let drain = |drain: &Override, was: &str, is: &str| Change {
        at: wall,
        kind: Kind::Drain,
        name: drain.target.to_string(),
        was: was.to_owned(),
        is: is.to_owned(),
        reason: drain.reason.to_string(),
    };
    let is_in =
        |snapshot: &Snapshot, drain: &Override| snapshot.overrides.iter().any(|other| other.target == drain.target);
    for begun in next.overrides.iter().filter(|begun| !is_in(last, begun)) {
        changes.push(drain(begun, "served", if begun.is_hard { "drained_hard" } else { "drained" }));
    }
    for ended in last.overrides.iter().filter(|ended| !is_in(next, ended)) {
        changes.push(drain(ended, if ended.is_hard { "drained_hard" } else { "drained" }, "served"));
    }
    changes
}
