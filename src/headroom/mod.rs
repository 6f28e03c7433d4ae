//! WHAT IF IT GOES: where the requests of a region or a provider would go without it, and whether there is room for them.
//!
//! Rehearsal by arithmetic: the same [`steer`](crate::steering::steer) that places requests is asked about the same
//! snapshot, with what is lost taken to be down. [`meter`] measures who asks for what and where that is served, [`world`]
//! makes it up where nothing is measured, [`rehearsal`] computes, [`text`] says it for people. Room is what the file gives
//! a region as `capacity`: requests at once from one node. Where it gives none, nothing is claimed. Machines, all of it.

pub mod meter;
pub mod rehearsal;
pub mod text;
pub mod world;

use crate::names::{Hostname, Label};
use crate::steering::Client;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Requests of clients at one place for one hostname, served by one region.
#[derive(Clone, Debug)]
pub struct Flow {
    /// For which hostname.
    pub hostname: Hostname,
    /// One client that stands for all of them.
    pub client: Arc<Client>,
    /// By which region.
    pub region: Label,
    /// How many come in a second.
    pub per_second: f64,
    /// How many are there at once, in a busy second.
    pub in_flight: f64,
}

/// What a region carries of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Carried {
    /// Answers in a second.
    pub per_second: f64,
    /// Requests there at once, on average.
    pub in_flight: f64,
    /// The same in a busy second: of twenty seconds, one is as busy or busier.
    pub busy: f64,
}

/// All that one node carries.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Who asks for what, and where that is served.
    pub flows: Vec<Flow>,
    /// By region, what cannot be told apart by flows included.
    pub regions: BTreeMap<Label, Carried>,
    /// How long it was measured.
    pub watched: Duration,
    /// What was assumed, a sentence; `None`: it is measured.
    pub assumed: Option<String>,
}

/// What would happen if any one region, or any one provider, went: `GET /headroom`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Headroom {
    /// Seen from which site: only what this node carries is in it.
    pub site: String,
    /// Of which snapshot.
    pub generation: u64,
    /// How long requests were measured, seconds.
    pub watched_s: f64,
    /// What was assumed instead of measured, a sentence.
    pub assumed: Option<String>,
    /// What each region carries now.
    pub regions: Vec<RegionRoom>,
    /// What would be without each region that carries anything, and then without each provider.
    pub losses: Vec<Loss>,
}

impl Headroom {
    /// Whether a region has more than it may have, or would be asked for more, or written hostnames would find nobody.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.regions.iter().any(RegionRoom::is_over) || self.losses.iter().any(|loss| loss.saturates || loss.fails)
    }
}

impl RegionRoom {
    /// Whether it has more than it may have.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used.is_some_and(|used| used > 1.0)
    }
}

/// What a region carries, and may.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionRoom {
    /// Which.
    pub region: String,
    /// Who runs it.
    pub provider: String,
    /// `up`, `strained`, `unknown`, `ejected`, `down`.
    pub standing: String,
    /// Answers in a second.
    pub per_second: f64,
    /// Requests there at once, on average.
    pub in_flight: f64,
    /// The same in a busy second.
    pub busy: f64,
    /// Requests that this node may have there at once; nothing: no limit is written.
    pub capacity: Option<u32>,
    /// How much of it a busy second takes, 1 is all; nothing without a limit.
    pub used: Option<f64>,
}

/// What would be without some regions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// What is lost: `region:NAME` or `provider:NAME`.
    pub lost: Vec<String>,
    /// Which regions those are.
    pub regions: Vec<String>,
    /// What they carry now, requests in a second.
    pub per_second: f64,
    /// And at once, in a busy second.
    pub in_flight: f64,
    /// How many of those are of hostnames that nobody knows: they began before anything was measured.
    pub unknown: f64,
    /// Whether some region would be asked for more than it may be given.
    pub saturates: bool,
    /// Whether requests for a hostname that is not a region's own would find nobody.
    pub fails: bool,
    /// Such hostnames, whether anybody asks for them now or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nobody_left: Vec<String>,
    /// Who takes over, by how full they would be; nobody's part comes last.
    pub receivers: Vec<Receiver>,
    /// What goes where, the most first.
    pub moves: Vec<Move>,
    /// Every hostname concerned at every region, before and after. Only where one loss was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matrix: Vec<Row>,
}

/// A region that takes over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Receiver {
    /// Which; nothing: nobody is left for these requests.
    pub region: Option<String>,
    /// Requests there at once now, in a busy second.
    pub before: f64,
    /// What it would be asked for: that, and all that steering would send there.
    pub asked: f64,
    /// What it would have in the end, when what it has no room for has gone on to others.
    pub after: f64,
    /// Requests that this node may have there at once; nothing: no limit is written.
    pub capacity: Option<u32>,
    /// `asked` as a part of it: above 1 it is too much. Nothing without a limit.
    pub ratio: Option<f64>,
    /// By how much it would be too much, requests at once.
    pub over: f64,
    /// How much farther clients are from here on average, kilometres; less than nothing: nearer.
    pub added_km: f64,
    /// The hostnames whose requests come here, those with the most first.
    pub hostnames: Vec<String>,
}

/// Requests for one hostname that would go elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// For which hostname.
    pub hostname: String,
    /// Whether that is a region's own: it never goes elsewhere.
    pub regional: bool,
    /// From where.
    pub from: String,
    /// To where; nothing: nobody is left.
    pub to: Option<String>,
    /// How many in a second.
    pub per_second: f64,
    /// How many at once, in a busy second.
    pub in_flight: f64,
    /// How much farther that is for clients on average, kilometres.
    pub added_km: f64,
}

/// One hostname at one region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which hostname.
    pub hostname: String,
    /// Which region; nothing: nobody.
    pub region: Option<String>,
    /// Requests in a second before.
    pub before_per_second: f64,
    /// And after.
    pub after_per_second: f64,
    /// Requests at once before, in a busy second.
    pub before: f64,
    /// And after.
    pub after: f64,
    /// Whether the region would be asked for more than it may be given.
    pub saturates: bool,
}
