//! A client's wish on its way: what everybody may know of it.

use super::fact::NodeIndex;
use super::scenario::Program;
use crate::moment::Moment;
use crate::topology::{RegionIndex, RouteIndex};
use std::time::Duration;

/// Regions that one wish can be known to have reached; further ones are not told apart.
pub const PROCESSED_MAX: usize = 8;

/// One try of a client's wish.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose: its place in `World::clients`.
    pub client: u32,
    /// Of which hostname.
    pub route: RouteIndex,
    /// Which kind of work: its place in the scenario's list.
    pub work: u16,
    /// With which program.
    pub program: Program,
    /// Whether its class says that it may be repeated.
    pub is_safe: bool,
    /// When it was wished first.
    pub wished_at: Moment,
    /// When this try began.
    pub asked_at: Moment,
    /// Which try of the client's program this is, from 1.
    pub tries: u32,
    /// Attempts of nodes at regions, for all tries.
    pub attempts: u32,
    /// Which node has it.
    pub node: Option<NodeIndex>,
    /// When the first byte of an answer reached the client.
    pub first_byte: Option<Moment>,
    /// How long a region works on it.
    pub takes: Duration,
    /// How long its answer flows.
    pub flows: Duration,
    /// The regions that have processed it, over all tries, in order.
    pub processed: [Option<RegionIndex>; PROCESSED_MAX],
}

impl Request {
    /// A region has the whole request.
    pub fn is_processed_by(&mut self, region: RegionIndex) {
        if let Some(free) = self.processed.iter_mut().find(|known| known.is_none()) {
            *free = Some(region);
        }
    }
}
