//! What is under way at a node, and what belongs to a node beside its control plane.

use crate::front::budget::Budgets;
use crate::front::course::{Course, Limit};
use crate::front::recall::Recall;
use crate::load::InFlight;
use crate::moment::{Dice, Moment};
use crate::sim::fact::NodeIndex;
use crate::sim::request::Request;
use crate::snapshot::Override;
use crate::steering::Client as Believed;
use crate::topology::{RegionIndex, Topology};
use std::sync::Arc;
use std::time::Duration;

/// A try of a client, and everything about it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) request: Request,
    /// Events about something that is over have an older number.
    pub(super) serial: u32,
    pub(super) believed: Arc<Believed>,
    pub(super) course: Option<Box<Course>>,
    pub(super) limit: Option<Limit>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) stage: Doing,
    pub(super) region: RegionIndex,
    pub(super) was_reused: bool,
    /// When the request was given to a connection, by the node's clock.
    pub(super) sent_at: Moment,
    /// When the stream fell silent.
    pub(super) hangs_since: Option<Moment>,
    pub(super) again: Duration,
    pub(super) status: u16,
    /// Whether the region says that it has done nothing.
    pub(super) is_unserved: bool,
    /// Whether the answer is the node's own.
    pub(super) is_own: bool,
    /// The region's work on it, as that region counts its lives.
    pub(super) life: u32,
    /// How long the client should wait before it asks again, as the answer says.
    pub(super) told: Option<Duration>,
    /// Which address of its name it dials.
    pub(super) others: [Option<NodeIndex>; 2],
}

/// Where a try is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Asking,
    Connecting,
    Waiting,
    Flowing,
    Resting,
    /// At a region itself, without a node.
    Direct,
}

/// Idle connections of a node to an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    pub(super) count: u32,
    pub(super) until: Moment,
}

/// What belongs to a node beside its control plane.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) budgets: Budgets,
    pub(super) recall: Recall,
    pub(super) idle: Vec<Idle>,
    pub(super) dice: Dice,
    /// Since when its site has had no node.
    pub(super) gone_since: Option<Moment>,
    /// What it keeps on its disk.
    pub(super) drains: Vec<Override>,
    pub(super) kept_file: usize,
    /// The file in force.
    pub(super) file: usize,
    /// Words that wait for the channel.
    pub(super) held: Vec<u32>,
}

impl Door {
    pub(super) fn new(dice: &mut Dice, topology: &Topology) -> Self {
        let mut door = Self {
            budgets: Budgets::default(),
            recall: Recall::seeded(dice.roll()),
            idle: Vec::new(),
            dice: Dice::seeded(dice.roll()),
            gone_since: None,
            drains: Vec::new(),
            kept_file: 0,
            file: 0,
            held: Vec::new(),
        };
        door.forget(topology);
        door
    }

    /// A new process remembers nothing.
    pub(super) fn forget(&mut self, topology: &Topology) {
        self.budgets = Budgets::default();
        self.recall = Recall::seeded(self.dice.roll());
        self.idle = vec![Idle::default(); topology.endpoints.len()];
    }
}
