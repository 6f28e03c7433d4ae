//! WHAT HAS BEEN COUNTED: every door writes, `status` reads.

use crate::limits::DECISIONS_MAX;
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use crate::steering::Client;
use crate::topology::link::PrivateLink;
use http::{HeaderValue, Method};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What the doors of one node have counted since it started.
#[derive(Debug, Default)]
pub struct DoorCounters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections open now.
    pub open: AtomicU32,
    /// Connections refused because a limit was reached.
    pub refused_connections: AtomicU64,
    /// Connections closed because a balancer had to say whose they are and nobody who may did so well.
    pub failed_proxy_headers: AtomicU64,
    /// HTTP/2 clients told to go for what they did too much of.
    pub dismissed: AtomicU64,
    /// Answers on HTTP/2 connections that wait for their clients now.
    pub waiting: AtomicU64,
    /// TLS handshakes that failed.
    pub failed_handshakes: AtomicU64,
    /// Requests taken.
    pub requests: AtomicU64,
    /// Requests refused by us: bad, unknown host, too large, looping.
    pub refusals: AtomicU64,
    /// Requests that no region could serve.
    pub unserved: AtomicU64,
    /// Attempts after the first of a request.
    pub failovers: AtomicU64,
    /// Repetitions not made because the budget for them was spent.
    pub unrepeated: AtomicU64,
    /// Answers that ended before their end.
    pub cut: AtomicU64,
    /// Facts for `control` dropped because its queue was full.
    pub dropped_events: AtomicU64,
    /// Octets kept for possible repetition, now.
    pub replay_bytes: AtomicU64,
    /// WebSockets.
    pub websockets: Websockets,
}

/// WebSockets, and how they ended.
#[derive(Debug, Default)]
pub struct Websockets {
    /// Open now.
    pub open: AtomicU64,
    /// Ended because both sides, or one of them in order, had closed.
    pub closed: AtomicU64,
    /// Ended because the client was gone.
    pub client_lost: AtomicU64,
    /// Ended because the region was gone.
    pub region_lost: AtomicU64,
    /// Closed by us: nothing had passed for too long.
    pub idle: AtomicU64,
    /// Closed by us: the node stops, or an operator has taken the endpoint away.
    pub going_away: AtomicU64,
}

/// DNS over connections of one kind.
#[derive(Debug, Default)]
pub struct StreamCounters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
    /// Connections closed to make room for others.
    pub turned_out: AtomicU64,
    /// TLS handshakes that failed.
    pub failed_handshakes: AtomicU64,
    /// Messages taken.
    pub questions: AtomicU64,
}

impl DoorCounters {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

/// One request, as the terminal view shows it.
#[derive(Clone, Debug)]
pub struct Recent {
    /// When its answer's head was ready.
    pub at: Moment,
    /// For which hostname.
    pub hostname: Hostname,
    /// By whom.
    pub client: Arc<Client>,
    /// What was asked.
    pub method: Method,
    /// Who answered.
    pub region: Option<Label>,
    /// What the request had to do with the region that answered: `bound`, `prefers`, `avoids` or `spread`.
    pub wish: Option<&'static str>,
    /// With which status.
    pub status: u16,
    /// How many attempts it took.
    pub attempts: u32,
    /// Regions that failed before.
    pub tried: Vec<Label>,
    /// From the request's head to the answer's.
    pub elapsed: Duration,
    /// Its id.
    pub request_id: HeaderValue,
    /// The private link that it came by.
    pub link: Option<PrivateLink>,
    /// Of which generation the last decision was.
    pub generation: u64,
}

/// The last requests of one worker, bounded. The lock is never contended but by someone who looks.
#[derive(Debug, Default)]
pub struct RecentRequests(Mutex<VecDeque<Recent>>);

impl RecentRequests {
    /// Remembers one more.
    pub fn push(&self, recent: Recent) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= DECISIONS_MAX {
            ring.pop_front();
        }
        ring.push_back(recent);
    }

    /// The newest `count`, newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().take(count).cloned().collect()
    }
}

/// What one worker of the data plane counts.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// What its doors have counted.
    pub door: DoorCounters,
    /// DNS over TCP.
    pub dns_tcp: StreamCounters,
    /// DNS over TLS.
    pub dns_tls: StreamCounters,
    /// Its last requests.
    pub recent: RecentRequests,
}

/// The counters of all workers of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counters(Arc<[Arc<WorkerCounters>]>);

impl Counters {
    /// Counters for that many workers, all at zero.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Arc::default()).collect())
    }

    /// One worker's own.
    #[must_use]
    pub fn worker(&self, worker: usize) -> Arc<WorkerCounters> {
        Arc::clone(&self.0[worker])
    }

    /// One counter over all workers.
    #[must_use]
    pub fn total(&self, which: impl Fn(&DoorCounters) -> &AtomicU64) -> u64 {
        self.0.iter().map(|worker| which(&worker.door).load(Relaxed)).sum()
    }

    /// Client connections open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.0.iter().map(|worker| worker.door.open.load(Relaxed)).sum()
    }

    /// The newest `count` requests of all workers, newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Recent> {
        let mut all: Vec<Recent> = self.0.iter().flat_map(|worker| worker.recent.newest(count)).collect();
        all.sort_by_key(|recent| std::cmp::Reverse(recent.at));
        all.truncate(count);
        all
    }
}
