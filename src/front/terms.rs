//! On which terms a request is carried: what its class and its own head say, before anybody is asked.

use super::events::Manner;
use super::grpc;
use super::headers::{IDEMPOTENCY_KEY, wants_websocket};
use crate::names::Label;
use crate::snapshot::Snapshot;
use crate::steering::Wish;
use crate::topology::{Class, Dialect};
use http::Method;
use http::request::Parts;
use std::time::Duration;

/// What a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Plain HTTP.
    Http,
    /// The connection is to become a WebSocket (RFC 6455, RFC 8441).
    WebSocket,
    /// gRPC over HTTP/2.
    Grpc,
}

/// The terms of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Which regions it has to do with.
    pub ties: Ties,
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
    /// Rather not this one.
    pub avoid: Option<Label>,
}

impl Terms {
    /// The terms of a request of `class` with this head.
    #[must_use]
    pub fn of(class: &Class, parts: &Parts) -> Self {
        let protocol = match parts {
            _ if wants_websocket(parts) => Protocol::WebSocket,
            _ if grpc::is_call(parts) => Protocol::Grpc,
            _ => Protocol::Http,
        };
        // Opening a WebSocket is a GET, also where it is written otherwise: nothing is done until it is open.
        let method = if protocol == Protocol::WebSocket { &Method::GET } else { &parts.method };
        Self {
            dialect: if protocol == Protocol::Grpc { Dialect::Grpc } else { class.dialect },
            is_safe: class.is_safe(method, parts.headers.contains_key(IDEMPOTENCY_KEY)),
            stream: Manner::of(class),
            commit_hold: class.commit_hold,
            protocol,
            ties: Ties::default(),
            timeout: (protocol == Protocol::Grpc).then(|| grpc::timeout(&parts.headers)).flatten(),
        }
    }
}

impl Ties {
    /// What steering is asked for; a region that is no more is no wish.
    #[must_use]
    pub fn wish(&self, snapshot: &Snapshot) -> Wish {
        let index = |name: &Option<Label>| name.as_ref().and_then(|name| snapshot.topology.region_named(name.as_str()));
        Wish { only: index(&self.only), prefer: index(&self.prefer), avoid: index(&self.avoid) }
    }

    /// Whether there is nothing to ask for.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}
