//! What a node has counted since it started, as it is shown.

use crate::counters::Counters;
use serde::{Deserialize, Serialize};

/// What a node has counted since it started; `open`, `waiting` and `replay_bytes` are as they are now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open: u32,
    /// Connections refused because a limit was reached.
    pub refused_connections: u64,
    /// Connections closed for want of a good PROXY header from a balancer.
    #[serde(default)]
    pub failed_proxy_headers: u64,
    /// HTTP/2 clients told to go.
    #[serde(default)]
    pub dismissed: u64,
    /// Answers on HTTP/2 connections that wait for their clients, now.
    #[serde(default)]
    pub waiting: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Requests taken.
    pub requests: u64,
    /// Requests refused by the node itself.
    pub refusals: u64,
    /// Requests that no region could serve.
    pub unserved: u64,
    /// Attempts after the first of a request.
    pub failovers: u64,
    /// Repetitions not made because the budget for them was spent.
    #[serde(default)]
    pub unrepeated: u64,
    /// Answers that ended before their end.
    pub cut: u64,
    /// Facts dropped because the queue of `control` was full.
    pub dropped_events: u64,
    /// Octets kept for possible repetition, now.
    pub replay_bytes: u64,
    /// WebSockets.
    #[serde(default)]
    pub websockets: WebsocketTotals,
}

/// WebSockets: how many are open now, and how the others ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebsocketTotals {
    /// Open now.
    pub open: u64,
    /// Both sides, or one of them in order, had closed.
    pub closed: u64,
    /// The client was gone.
    pub client_lost: u64,
    /// The region was gone.
    pub region_lost: u64,
    /// Closed by us: nothing had passed for too long.
    pub idle: u64,
    /// Closed by us: the node stops, or an operator has taken the endpoint away.
    pub going_away: u64,
}

impl Totals {
    /// What all workers have counted.
    #[must_use]
    pub fn of(counters: &Counters) -> Self {
        Self {
            connections: counters.total(|door| &door.connections),
            open: counters.open(),
            refused_connections: counters.total(|door| &door.refused_connections),
            failed_proxy_headers: counters.total(|door| &door.failed_proxy_headers),
            dismissed: counters.total(|door| &door.dismissed),
            waiting: counters.total(|door| &door.waiting),
            failed_handshakes: counters.total(|door| &door.failed_handshakes),
            requests: counters.total(|door| &door.requests),
            refusals: counters.total(|door| &door.refusals),
            unserved: counters.total(|door| &door.unserved),
            failovers: counters.total(|door| &door.failovers),
            unrepeated: counters.total(|door| &door.unrepeated),
            cut: counters.total(|door| &door.cut),
            dropped_events: counters.total(|door| &door.dropped_events),
            replay_bytes: counters.total(|door| &door.replay_bytes),
            websockets: WebsocketTotals {
                open: counters.total(|door| &door.websockets.open),
                closed: counters.total(|door| &door.websockets.closed),
                client_lost: counters.total(|door| &door.websockets.client_lost),
                region_lost: counters.total(|door| &door.websockets.region_lost),
                idle: counters.total(|door| &door.websockets.idle),
                going_away: counters.total(|door| &door.websockets.going_away),
            },
        }
    }
}
