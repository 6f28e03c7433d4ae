//! WHERE REGIONS CALL OUT FROM: the addresses that customers allow, as one document that tells what changes when.
//!
//! [`Ledger`] is a machine: what the file says in, the next generation out. The document and its other shapes are pure
//! functions of it.

pub mod formats;

use crate::moment::rfc3339;
use crate::topology::{NatState, Topology};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// Changes that are remembered: years of a fleet that changes weekly.
pub const HISTORY_MAX: usize = 1_000;

/// One prefix of one region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which region calls out from it.
    pub region: String,
    /// The network.
    pub prefix: IpNet,
    /// Whether it is used already, still, or not yet.
    pub state: NatState,
    /// From when on it may be used: RFC 3339.
    pub valid_from: Option<String>,
}

/// What happened to a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// With which generation.
    pub generation: u64,
    /// When this node learnt of it: RFC 3339.
    pub at: String,
    /// Which region.
    pub region: String,
    /// Which network.
    pub prefix: IpNet,
    /// What it was before; nothing: it was not there.
    pub from: Option<NatState>,
    /// What it is from then on; nothing: it is gone.
    pub to: Option<NatState>,
}

/// The addresses at one generation, and how they came to be so. Kept in the state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Counts up by one when the addresses change; 0: nothing was ever written.
    pub generation: u64,
    /// When they last changed: RFC 3339.
    pub updated: Option<String>,
    /// The addresses, in order.
    pub entries: Vec<Entry>,
    /// What changed, oldest first; at most [`HISTORY_MAX`].
    pub history: Vec<Change>,
}

/// The addresses that a file names, in order: regions as written, then networks.
#[must_use]
pub fn entries(topology: &Topology) -> Vec<Entry> {
    let of_region = |region: &crate::topology::Region| {
        let mut entries: Vec<Entry> = region
            .nat_ips
            .iter()
            .map(|nat| Entry {
                region: region.name.to_string(),
                prefix: nat.prefix,
                state: nat.state,
                valid_from: nat.valid_from.map(rfc3339),
            })
            .collect();
        entries.sort();
        entries
    };
    topology.regions.iter().flat_map(of_region).collect()
}

impl Ledger {
    /// The next generation, if `entries` differ from what is known; `wall`: now, since the Unix epoch.
    #[must_use]
    pub fn after(&self, entries: Vec<Entry>, wall: Duration) -> Option<Self> {
        if entries == self.entries {
            return None;
        }
        let (generation, at) = (self.generation.saturating_add(1), rfc3339(wall));
        let find = |list: &[Entry], one: &Entry| {
            list.iter()
                .find(|entry| (&entry.region, entry.prefix) == (&one.region, one.prefix))
                .map(|entry| entry.state)
        };
        let change = |entry: &Entry, from, to| Change {
            generation,
            at: at.clone(),
            region: entry.region.clone(),
            prefix: entry.prefix,
            from,
            to,
        };
        let gone = self.entries.iter().filter(|entry| find(&entries, entry).is_none());
        let mut history = self.history.clone();
        history.extend(gone.map(|entry| change(entry, Some(entry.state), None)));
        for entry in &entries {
            let before = find(&self.entries, entry);
            if before != Some(entry.state) {
                history.push(change(entry, before, Some(entry.state)));
            }
        }
        history.drain(..history.len().saturating_sub(HISTORY_MAX));
        Some(Self { generation, updated: Some(at), entries, history })
    }

    /// The ledger that a [`document`](Self::document) was made of, if it is one.
    #[must_use]
    pub fn from_document(document: &serde_json::Value) -> Option<Self> {
        let mut entries = Vec::new();
        for region in document["regions"].as_array()? {
            let name = region["name"].as_str()?;
            for one in region["nat_ips"].as_array()? {
                entries.push(Entry {
                    region: name.to_owned(),
                    prefix: one["prefix"].as_str()?.parse().ok()?,
                    state: serde_json::from_value(one["state"].clone()).ok()?,
                    valid_from: one["valid_from"].as_str().map(str::to_owned),
                });
            }
        }
        Some(Self {
            generation: document["generation"].as_u64()?,
            updated: document["updated"].as_str().map(str::to_owned),
            entries,
            history: serde_json::from_value(document["history"].clone()).ok()?,
        })
    }

    /// The document: JSON with a line's end.
    #[must_use]
    pub fn document(&self, fleet: &str) -> String {
        let mut regions: Vec<(&str, Vec<serde_json::Value>)> = Vec::new();
        for entry in &self.entries {
            let one = json!({
                "prefix": entry.prefix.to_string(), "state": entry.state, "valid_from": entry.valid_from,
            });
            match regions.last_mut().filter(|(name, _)| *name == entry.region) {
                Some((_, prefixes)) => prefixes.push(one),
                None => regions.push((&entry.region, vec![one])),
            }
        }
        let regions: Vec<_> =
            regions.into_iter().map(|(name, nat_ips)| json!({ "name": name, "nat_ips": nat_ips })).collect();
        let document = json!({
            "fleet": fleet,
            "generation": self.generation,
            "updated": self.updated,
            "regions": regions,
            "history": self.history,
        });
        format!("{document}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(region: &str, prefix: &str, state: NatState) -> Entry {
        Entry { region: region.to_owned(), prefix: prefix.parse().expect("a network"), state, valid_from: None }
    }

    #[test]
    fn the_generation_counts_only_changes_and_the_history_tells_each() {
        let first = vec![entry("orf", "8.8.4.0/24", NatState::Planned), entry("syd", "9.9.9.9/32", NatState::Active)];
        let one = Ledger::default().after(first.clone(), Duration::from_secs(1)).expect("something new");
        assert_eq!((one.generation, one.history.len()), (1, 2));
        assert_eq!(one.after(first, Duration::from_secs(2)), None, "nothing new");
        let second = vec![entry("orf", "8.8.4.0/24", NatState::Active)];
        let two = one.after(second, Duration::from_secs(3)).expect("something new");
        assert_eq!(two.generation, 2);
        let told: Vec<_> = two.history[2..].iter().map(|change| (&*change.region, change.from, change.to)).collect();
        assert_eq!(
            told,
            [("syd", Some(NatState::Active), None), ("orf", Some(NatState::Planned), Some(NatState::Active))]
        );
        assert_eq!(two.updated.as_deref(), Some("1970-01-01T00:00:03.000Z"));
    }

    #[test]
    fn the_history_has_its_bound_and_forgets_the_oldest() {
        let mut ledger = Ledger::default();
        for n in 0..=u64::try_from(HISTORY_MAX).expect("it is small") {
            let state = if n % 2 == 0 { NatState::Active } else { NatState::Retiring };
            ledger = ledger.after(vec![entry("orf", "8.8.4.0/24", state)], Duration::from_secs(n)).expect("new");
        }
        assert_eq!(ledger.history.len(), HISTORY_MAX);
        assert_eq!(ledger.history[0].generation, 2);
    }
}
