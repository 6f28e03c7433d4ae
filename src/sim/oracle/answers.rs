//! What DNS says.

use super::Seen;
use crate::health::sites::OFFERED_MIN;
use crate::sim::fact::{Fact, NodeIndex};
use std::time::Duration;

/// After that long a site that can be reached is in the answers: three questions that pass, at the slow pace, and some.
const BACK_WITHIN: Duration = Duration::from_secs(60);

pub fn i09_answer_shape(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Resolved { node, route, told, ttl, .. } = *fact else { return None };
    let hostname = &seen.world.topology.route(route).hostname;
    if told == 0 {
        return Some(format!("{} answered {hostname} with nothing", seen.node(node)));
    }
    let topology = &seen.world.file_of(node).topology;
    let Some(written) = topology.route_by_hostname.get(hostname).map(|route| topology.route(*route).ttl) else {
        return Some(format!("{} answered {hostname}, which its file has not", seen.node(node)));
    };
    let is_as_written = written.min <= ttl && ttl <= written.max;
    (!is_as_written).then(|| format!("{} answered {hostname} to be believed for {ttl:?}", seen.node(node)))
}

pub fn i11_mass_withdrawal(seen: &Seen<'_>, fact: &Fact) -> Option<String> {
    let Fact::Publishes(node) = *fact else { return None };
    let snapshot = seen.snapshot(node)?;
    let out = snapshot.sites.iter().filter(|site| site.is_left_out).count();
    let all = snapshot.topology.sites.iter().filter(|site| !site.addresses.is_empty()).count();
    let left = all.saturating_sub(out);
    let least = all.div_ceil(2).max(OFFERED_MIN).min(all);
    (left < least).then(|| format!("{} leaves {out} of {all} sites out of its answers", seen.node(node)))
}

pub fn i11_false_withdrawal(seen: &Seen<'_>) -> Option<String> {
    let is_long =
        |node: NodeIndex| seen.ground.node_since(node).is_some_and(|since| seen.world.now.since(since) >= BACK_WITHIN);
    for at in 0..seen.world.nodes.len() {
        let node = NodeIndex::try_from(at).ok()?;
        let Some(snapshot) = seen.snapshot(node).filter(|_| is_long(node)) else { continue };
        let file = seen.world.file_of(node);
        for (there, state) in snapshot.sites.iter().enumerate().filter(|(_, state)| state.is_left_out) {
            let other = file.sites.get(there).copied().flatten();
            if let Some(other) = other.filter(|other| is_long(*other)) {
                return Some(format!("{} leaves {} out: {:?}", seen.node(node), seen.node(other), state.standing));
            }
        }
    }
    None
}
