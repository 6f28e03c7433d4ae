//! What the admin address says of headroom and of residency: values that are computed beside it, and files of before.

use crate::headroom::{Headroom, Traffic, rehearsal};
use crate::residency::day::Day;
use crate::residency::seal::DOCUMENT_BYTES_MAX;
use crate::residency::shelf::Shelf;
use crate::snapshot::{Snapshot, Target};
use crate::topology::RegionIndex;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where these values come from.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Where requests were processed; nothing before the first look.
    pub residency: watch::Receiver<Option<Arc<Shelf>>>,
    /// What is carried, and what would be without.
    pub headroom: watch::Receiver<Arc<Rehearsed>>,
}

/// What is carried, and what would be without any one region or provider, as it was computed last.
#[derive(Clone, Debug, Default)]
pub struct Rehearsed {
    /// What is carried.
    pub traffic: Traffic,
    /// What would be.
    pub headroom: Arc<Headroom>,
}

/// A status and a sentence, for who asked for something that is not there.
pub type Missing = (u16, String);

impl Findings {
    /// Where nothing is computed.
    #[must_use]
    pub fn none() -> Self {
        Self { residency: watch::channel(None).1, headroom: watch::channel(Arc::default()).1 }
    }

    /// What would be without any one region or provider.
    #[must_use]
    pub fn headroom(&self) -> Arc<Headroom> {
        Arc::clone(&self.headroom.borrow().headroom)
    }

    /// What would be without all of `lost`, by what is carried now.
    ///
    /// # Errors
    /// If something in it names no region and no provider.
    pub fn without(&self, snapshot: &Snapshot, lost: &[String]) -> Result<Headroom, Missing> {
        let lost = targets(snapshot, lost)?;
        let rehearsed = Arc::clone(&self.headroom.borrow());
        Ok(rehearsal::without(snapshot, &rehearsed.traffic, &lost))
    }

    /// All that is known of residency.
    ///
    /// # Errors
    /// If that is nothing yet.
    pub fn shelf(&self) -> Result<Arc<Shelf>, Missing> {
        self.residency.borrow().clone().ok_or_else(|| (503, "nothing is counted yet: the node starts".to_owned()))
    }
}

/// What is meant to be lost: `region:NAME`, `provider:NAME`, or a region's bare name.
///
/// # Errors
/// If one of them is none, or there is no such one.
pub fn targets(snapshot: &Snapshot, names: &[String]) -> Result<Vec<Target>, Missing> {
    let topology = &snapshot.topology;
    let target = |name: &String| {
        let full = if name.contains(':') { name.clone() } else { format!("region:{name}") };
        let target = Target::parse(&full).map_err(|text| (400, text))?;
        if matches!(target, Target::Endpoint(_)) {
            return Err((400, format!("{name:?} is an endpoint: regions and providers can be taken away here")));
        }
        let mut regions = (0..topology.regions.len()).map(RegionIndex::of);
        if !regions.any(|region| rehearsal::covers(topology, &target, region)) {
            return Err((404, super::answer::unknown(topology, &target)));
        }
        Ok(target)
    };
    names.iter().map(target).collect()
}

/// The signed summary of a hostname's day: the file of a day that has ended, else what is known so far.
///
/// # Errors
/// A status and a sentence.
pub fn document(shelf: &Shelf, day: &str, hostname: &str, wall: Duration) -> Result<String, Missing> {
    let day = Day::parse(day).ok_or_else(|| (400, format!("{day:?} is no day such as 2026-11-27")))?;
    let hostname = hostname.to_ascii_lowercase();
    if shelf.is_filed(day, &hostname)
        && let Ok(text) = filed(shelf, day, &hostname)
    {
        return Ok(text);
    }
    shelf
        .document(day, &hostname, wall)
        .ok_or_else(|| (404, format!("nothing is known of {hostname:?} on {day}; GET /residency tells what there is")))
}

fn filed(shelf: &Shelf, day: Day, hostname: &str) -> std::io::Result<String> {
    let file = std::fs::File::open(shelf.folder.join(Shelf::file_name(day, hostname)))?;
    let mut text = String::new();
    file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
