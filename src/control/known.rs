//! One endpoint as the writer knows it, and when it has to be looked at again.

use crate::health::endpoint::EndpointHealth;
use crate::health::opinion::Opinion;
use crate::health::verdict::Needed;
use crate::load::Load;
use crate::moment::Moment;
use crate::snapshot::{EndpointId, EndpointState};
use crate::topology::Region;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Known {
    pub id: EndpointId,
    pub health: EndpointHealth,
    pub addresses: Arc<[SocketAddr]>,
    pub load: Arc<Load>,
    pub since: Moment,
    /// Since when it fails, as suspicion was told last.
    pub failing_since: Option<Moment>,
    /// Whether it is among those to be looked at.
    pub is_touched: bool,
    /// When time alone may change that; `None`: never.
    pub wakes_at: Option<Moment>,
    connects_seen: u64,
    requests_seen: u64,
}

impl Known {
    pub fn new(now: Moment, id: EndpointId, region: &Region, addresses: Arc<[SocketAddr]>) -> Self {
        let opinions = region.probes().map(|probe| {
            let needed = Needed { rise: probe.rise, fall: probe.fall, reset_ok: probe.reset_ok };
            Opinion::new(probe.kind.as_str(), needed)
        });
        Self {
            id,
            health: EndpointHealth::new(opinions.collect()),
            addresses,
            load: Arc::new(Load::default()),
            since: now,
            failing_since: None,
            is_touched: false,
            wakes_at: None,
            connects_seen: 0,
            requests_seen: 0,
        }
    }

    /// Whether time alone may have changed what is believed of it.
    pub fn wakes(&self, now: Moment) -> bool {
        self.wakes_at.is_some_and(|wakes_at| wakes_at <= now)
    }

    /// Successes come as counters, never one by one. Returns whether there were any.
    pub fn catch_up(&mut self, now: Moment) -> bool {
        let (connects, requests) = (self.load.connects(), self.load.requests());
        if connects != self.connects_seen {
            self.connects_seen = connects;
            self.health.connected();
        }
        let answered = requests - self.requests_seen;
        self.health.evidence.answered(now, answered);
        self.requests_seen = requests;
        answered > 0
    }

    /// Whether there were successes that it has not caught up with.
    pub fn is_behind(&self) -> bool {
        (self.load.connects(), self.load.requests()) != (self.connects_seen, self.requests_seen)
    }

    /// Looks at it: whether anything that matters to anybody differs from `before`.
    pub fn differs(&mut self, now: Moment, slow_start: Duration, before: Option<&EndpointState>) -> bool {
        self.is_touched = false;
        self.wakes_at = self.health.wakes_at(now, slow_start);
        before.is_none_or(|before| {
            self.id != before.id
                || self.health.standing(now, slow_start) != (before.standing, before.reason)
                || self.health.share_percent(now, slow_start) != before.share_percent
                || self.health.latency().round_trip() != before.round_trip
                || self.addresses != before.addresses
                || !self.health.opinions(now).eq(before.probes.iter().copied())
        })
    }
}
