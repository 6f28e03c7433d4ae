//! On which terms a request is carried: what its class and its own head say, before anybody is asked.

use super::events::Manner;
use super::grpc;
use super::headers::{IDEMPOTENCY_KEY, RETRY_COUNT, is_another_try, wants_websocket};
use super::mcp;
use super::patience::{Patience, Said};
use super::recall::{Key, Recall};
use crate::moment::Moment;
use crate::names::Label;
use crate::snapshot::Snapshot;
use crate::steering::Wish;
use crate::topology::link::LinkTerms;
use crate::topology::{Class, Dialect, Forward, RegionIndex, Topology};
use http::Method;
use http::request::Parts;
use std::time::Duration;

/// What a request speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Plain HTTP.
    #[default]
    Http,
    /// The connection is to become a WebSocket (RFC 6455, RFC 8441).
    WebSocket,
    /// gRPC over HTTP/2.
    Grpc,
}

/// The terms of one request. The default is one that says nothing: patient, not safe, bound to nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The shape of our own errors.
    pub dialect: Dialect,
    /// Whether it may be repeated although it may have been processed.
    pub is_safe: bool,
    /// How its answer is carried if it is an event stream.
    pub stream: Manner,
    /// How long the head of such an answer waits for its first event.
    pub commit_hold: Duration,
    /// What it speaks.
    pub protocol: Protocol,
    /// How long its client waits, if that is less than the file allows.
    pub patience: Option<Patience>,
    /// Whether its client has asked before and was failed.
    pub is_another_try: bool,
    /// Which regions it has to do with.
    pub ties: Ties,
    /// Whether its body may still tell that it is safe: a call of MCP's era of sessions.
    pub body_may_tell: bool,
    /// Whether it names a session of MCP, so that an `initialize` in it begins none.
    pub has_session: bool,
    /// How long the client waits for all of it, by its own word.
    pub timeout: Option<Duration>,
}

/// The regions a request has to do with, by name: every attempt may see a newer snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ties {
    /// Only this one will do.
    pub only: Option<Label>,
    /// Rather this one.
    pub prefer: Option<Label>,
    /// Rather not these, the first [`AVOIDED_MAX`](crate::steering::AVOIDED_MAX) of them.
    pub avoid: Vec<Label>,
    /// Whether `only` or `prefer` has begun what is asked for: a soft drain lets it go on there.
    pub goes_on: bool,
    /// A hash of whom the request belongs to, which decides among equals.
    pub spread: Option<u64>,
    /// The region of the private link it came by, and whether it may leave it.
    pub link: Option<(Label, bool)>,
}

impl Terms {
    /// The terms of a request of `class` with this head.
    #[must_use]
    pub fn of(class: &Class, parts: &Parts, forward: &Forward) -> Self {
        let protocol = match parts {
            _ if wants_websocket(parts) => Protocol::WebSocket,
            _ if grpc::is_call(parts) => Protocol::Grpc,
            _ => Protocol::Http,
        };
        // Opening a WebSocket is a GET, also where it is written otherwise: nothing is done until it is open.
        let method = if protocol == Protocol::WebSocket { &Method::GET } else { &parts.method };
        let is_call = class.is_mcp && parts.method == Method::POST;
        let is_safe = class.is_safe(method, parts.headers.get(IDEMPOTENCY_KEY).is_some_and(|key| !key.is_empty()))
            || (is_call && mcp::is_safe_by_head(&parts.headers));
        Self {
            dialect: if protocol == Protocol::Grpc { Dialect::Grpc } else { class.dialect },
            is_safe,
            stream: Manner::of(class),
            commit_hold: class.commit_hold,
            protocol,
            patience: Said::of(&parts.headers).against(forward),
            is_another_try: parts.headers.get(RETRY_COUNT).is_some_and(|count| is_another_try(count.as_bytes())),
            ties: Ties::default(),
            body_may_tell: is_call && !is_safe && !mcp::is_stateless(&parts.headers),
            has_session: parts.headers.contains_key(mcp::SESSION_ID),
            timeout: (protocol == Protocol::Grpc).then(|| grpc::timeout(&parts.headers)).flatten(),
        }
    }

    /// Who asks again is kept from the regions that have just failed it, as far as others are as good.
    pub fn heed(&mut self, recall: &Recall, now: Moment, key: Key) {
        if self.is_another_try {
            self.ties.avoid = recall.regions(now, key);
        }
    }

    /// Whether the request may be repeated although it may have been processed; `body` is asked only where it may tell.
    #[must_use]
    pub fn is_safe_with(&self, body: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        self.is_safe || (self.body_may_tell && body().is_some_and(|body| mcp::is_safe_call(&body, self.has_session)))
    }
}

impl Ties {
    /// The request came by a private link of such `terms`.
    pub fn stay(&mut self, topology: &Topology, terms: Option<&LinkTerms>) {
        let tie = |terms: &LinkTerms| Some((topology.region(terms.region?).name.clone(), terms.leaves_region));
        self.link = terms.and_then(tie);
    }

    /// Whether only one region will do, and the private link never goes there.
    #[must_use]
    pub fn are_torn(&self) -> bool {
        matches!((&self.only, &self.link), (Some(only), Some((region, false))) if only != region)
    }

    /// What steering is asked for. A region that is no more is no wish, unless only it would do: then nobody will.
    #[must_use]
    pub fn wish(&self, snapshot: &Snapshot) -> Wish {
        let index = |name: &Label| snapshot.topology.region_named(name.as_str());
        let only = |name: &Label| index(name).unwrap_or(RegionIndex::NOTHING);
        let wish = Wish {
            only: self.only.as_ref().map(only),
            prefer: self.prefer.as_ref().and_then(index),
            avoid: std::array::from_fn(|at| self.avoid.get(at).and_then(index)),
            goes_on: self.goes_on,
            spread: self.spread,
        };
        match &self.link {
            Some((region, leaves_region)) => wish.by_link(only(region), *leaves_region),
            None => wish,
        }
    }

    /// Whether there is nothing to ask for.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}
