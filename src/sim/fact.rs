//! What happens in a simulated world, told fact by fact: all that anybody who counts, judges or draws gets to see beside
//! the world itself.
//!
//! Facts are small: whoever wants to know more looks into the `World` as it is when the fact is
//! told. A *wish* is what a client's program wants, with all of its own tries; a *request* is one of those tries; an
//! *attempt* is a node's try at one region.

use super::resolvers::Answer;
use crate::health::{Fault, Standing};
use crate::topology::{EndpointIndex, RegionIndex, RouteIndex};
use crate::upstream::Progress;
use std::time::Duration;

/// Which node: its site's place in the topology.
pub type NodeIndex = u16;
/// Which request: its place in `World::requests`, which is used again for others later.
pub type Slot = u32;

/// How a wish, or a request, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Served whole, by this region.
    Served(RegionIndex),
    /// A region's own answer of failure came through.
    Failure(RegionIndex, u16),
    /// A node had to say that there is no answer.
    Unanswered(u16),
    /// The answer broke off, and the client was told so.
    Cut(RegionIndex),
    /// No node could be reached.
    Unreached,
    /// Its name did not resolve.
    Unresolved,
    /// The client would not wait any longer.
    Abandoned,
    /// The node died under it.
    Lost,
}

impl Outcome {
    /// Whether the client got what it wanted.
    #[must_use]
    pub fn is_served(self) -> bool {
        matches!(self, Self::Served(_))
    }

    /// The region that had to do with it.
    #[must_use]
    pub fn region(self) -> Option<RegionIndex> {
        match self {
            Self::Served(region) | Self::Failure(region, _) | Self::Cut(region) => Some(region),
            _ => None,
        }
    }

    /// How reports call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served(_) => "served",
            Self::Failure(..) => "failure",
            Self::Unanswered(_) => "unanswered",
            Self::Cut(_) => "cut",
            Self::Unreached => "unreached",
            Self::Unresolved => "unresolved",
            Self::Abandoned => "abandoned",
            Self::Lost => "lost",
        }
    }
}

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fact {
    /// The fault of that number in the scenario begins.
    Begins(u16),
    /// It is over.
    Ends(u16),
    /// A node started, or is reachable again.
    Starts(NodeIndex),
    /// A node is gone.
    Stops(NodeIndex),
    /// An operator's word (its number in the order in which they were said) was taken over by a node.
    Obeys(NodeIndex, u32),
    /// A node refused one, and kept what it had.
    Refuses(NodeIndex, u32),
    /// A node published a new snapshot.
    Publishes(NodeIndex),
    /// A node changed its mind about a region.
    Stands {
        /// Who.
        node: NodeIndex,
        /// About which.
        region: RegionIndex,
        /// What it was.
        before: Standing,
        /// What it is.
        standing: Standing,
    },
    /// A probe came back.
    Probed {
        /// Whose.
        node: NodeIndex,
        /// Of which endpoint.
        endpoint: EndpointIndex,
        /// What it said.
        result: Result<Duration, Fault>,
    },
    /// A resolver got an answer from a node.
    Resolved {
        /// Who answered.
        node: NodeIndex,
        /// About which hostname.
        route: RouteIndex,
        /// What it said.
        answer: Answer,
        /// How many addresses' owners were told.
        told: u8,
        /// How long it may be believed.
        ttl: Duration,
    },
    /// A client wants something: its first try.
    Wishes(Slot),
    /// A request reached a node.
    Arrives(Slot, NodeIndex),
    /// A client dials a region itself.
    Dials {
        /// For which request.
        request: Slot,
        /// Where.
        region: RegionIndex,
    },
    /// A node makes an attempt.
    Tries {
        /// For which request.
        request: Slot,
        /// Who.
        node: NodeIndex,
        /// Where.
        region: RegionIndex,
        /// At which endpoint of it.
        endpoint: EndpointIndex,
        /// Which attempt, from 1.
        number: u32,
    },
    /// A region has the whole request and works on it: the truth, whatever becomes of the answer.
    Processes(Slot, RegionIndex),
    /// An attempt failed.
    Fails {
        /// Of which request.
        request: Slot,
        /// Whose.
        node: NodeIndex,
        /// Where.
        region: RegionIndex,
        /// How.
        fault: Fault,
        /// How far it had got.
        progress: Progress,
    },
    /// The head of an answer is on its way to the client.
    Answers {
        /// Of which request.
        request: Slot,
        /// Whose.
        node: NodeIndex,
        /// From which region.
        region: RegionIndex,
        /// With which status.
        status: u16,
    },
    /// A request ended. Its client may try again.
    Ended(Slot, Outcome),
    /// A wish ended.
    Finished(Slot, Outcome),
}
