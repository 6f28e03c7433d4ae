//! One record per request: what was decided for it, who was tried, and how it ended.
//!
//! A decision is a pure function, so what is kept is its inputs: [`status`](crate::status) replays it. Of the client a
//! record has its prefix and place, never its address; of what was asked neither query nor credentials.

use super::records::DecisionId;
use super::trace::Trace;
use crate::health::Fault;
use crate::moment::Moment;
use crate::names::{EndpointName, Hostname, Label};
use crate::steering::decision::Decision;
use crate::steering::{Client, Wish};
use crate::topology::RegionIndex;
use crate::topology::link::PrivateLink;
use http::{HeaderValue, Method, Version};
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It has not ended.
    UnderWay,
    /// The region's answer was passed on to its end.
    Complete,
    /// The region's answer broke off.
    Cut,
    /// The client went away, or took nothing more.
    ClientGone,
    /// This node refused it: bad, for an unknown hostname, too large, looping.
    Refused,
    /// No region answered.
    Unserved,
    /// This node itself had the answer.
    Own,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::UnderWay, Self::Complete, Self::Cut, Self::ClientGone, Self::Refused, Self::Unserved, Self::Own];

    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "under_way",
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
            Self::Refused => "refused",
            Self::Unserved => "unserved",
            Self::Own => "own",
        }
    }
}

/// What one decision was made from, beside hostname, client and who had been left before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The snapshot's number.
    pub generation: u64,
    /// What the request itself asked for.
    pub wish: Wish,
    /// Regions that had all the requests they may have.
    pub full: Vec<RegionIndex>,
    /// Whether nobody was left who had not been left before, so that all came into question again.
    pub starts_over: bool,
}

impl Decided {
    /// What `decision` was made from.
    #[must_use]
    pub fn of(decision: &Decision) -> Self {
        let full = decision.candidates.iter().filter(|candidate| candidate.reason.is_none());
        Self {
            generation: decision.generation,
            wish: decision.wish,
            full: full.map(|candidate| candidate.region).collect(),
            starts_over: false,
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// At which region.
    pub region: Label,
    /// At which of its endpoints.
    pub endpoint: EndpointName,
    /// Why.
    pub fault: Fault,
    /// Why in the region's own words, if it has said so.
    pub reason: Option<Box<str>>,
    /// Which attempt it was, from 1.
    pub number: u32,
    /// How long after the request's head it began.
    pub after: Duration,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether the next had to go to another region, if there was one.
    pub leaves_region: bool,
    /// What it was decided by.
    pub decided: Decided,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its name towards the client.
    pub id: DecisionId,
    /// When its head was there.
    pub began: Moment,
    /// From there to the head of the answer; `None`: there is none yet.
    pub elapsed: Option<Duration>,
    /// From there to the end.
    pub lasted: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Why so: a fault's name, or the word for programs of our own error.
    pub reason: Option<&'static str>,
    /// For which hostname; `None`: for none of ours.
    pub hostname: Option<Hostname>,
    /// In which class.
    pub class: Option<Arc<str>>,
    /// The client's network.
    pub prefix: IpNet,
    /// The client as steering saw it; `None`: nothing was steered.
    pub client: Option<Arc<Client>>,
    /// What was asked.
    pub method: Method,
    /// The path without its query, where somebody listens who writes it down.
    pub path: Option<Box<str>>,
    /// The client's version of HTTP.
    pub version: Version,
    /// Its id.
    pub request_id: HeaderValue,
    /// The private link that it came by.
    pub link: Option<PrivateLink>,
    /// Its place in a trace, where traces are told.
    pub trace: Option<Trace>,
    /// What the last decision was made from.
    pub decided: Decided,
    /// Whether the hostname's requests may be processed in some places only.
    pub has_residency: bool,
    /// Who answered.
    pub region: Option<Label>,
    /// Which of its endpoints.
    pub endpoint: Option<EndpointName>,
    /// What the request had to do with the region that answered: `bound`, `prefers`, `avoids` or `spread`.
    pub wish: Option<&'static str>,
    /// The answer's status; 0: there was none.
    pub status: u16,
    /// How many attempts it took.
    pub attempts: u32,
    /// The attempts that failed, in order.
    pub failed: Vec<Failed>,
    /// Of the attempt that was answered: from its first octet on a connection until the head of the answer.
    pub first_byte: Option<Duration>,
    /// The longest silence inside the answer, if that is a stream of events.
    pub gap: Option<Duration>,
    /// Octets of the request's body that were read.
    pub octets_up: u64,
    /// Octets of the answer's body that were handed over.
    pub octets_down: u64,
}

impl Record {
    /// When the head of its answer was there, or it ended without one.
    #[must_use]
    pub fn headed(&self) -> Moment {
        self.began + self.elapsed.unwrap_or(self.lasted)
    }

    /// What the time until the answer's head had of this node itself: reading, deciding, connecting, attempts that failed.
    #[must_use]
    pub fn added(&self) -> Option<Duration> {
        Some(self.elapsed?.saturating_sub(self.first_byte?))
    }

    /// Whether its client was failed: nobody answered, or not to the end, or with a status that means failure. Whoever went
    /// away by himself or was refused was not.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let has_failed = matches!(self.status, 500 | 502..=504);
        matches!(self.outcome, Outcome::Cut | Outcome::Unserved) || has_failed
    }
}
