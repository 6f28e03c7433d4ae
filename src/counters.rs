//! WHAT HAS BEEN COUNTED: every door writes, `status` reads.

use crate::limits::DECISIONS_MAX;
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use crate::residency::tally::Tally;
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

/// Kinds of DNS answers that are counted apart: by response code, and what is not answered.
pub const DNS_OUTCOMES: usize = 10;
/// Ways by which DNS questions come.
pub const DNS_TRANSPORTS: usize = 4;

/// DNS, over all ways.
#[derive(Debug, Default)]
pub struct DnsCounters {
    /// Questions, by how they came and what became of them.
    pub outcomes: [[AtomicU64; DNS_OUTCOMES]; DNS_TRANSPORTS],
    /// Answers from prepared octets.
    pub prepared: AtomicU64,
    /// Answers that were too long for a datagram.
    pub truncated: AtomicU64,
    /// Answers over UDP withheld because their source asks too often: told to come by TCP.
    pub slipped: AtomicU64,
    /// The same, and not told anything.
    pub dropped: AtomicU64,
    /// Messages that dnstap had no room for.
    pub untapped: AtomicU64,
    /// Datagrams from where no resolver asks.
    pub implausible: AtomicU64,
    /// Signatures made for names that do not exist.
    pub signatures: AtomicU64,
    /// Such denials given as they were signed before, because signing had taken its share of time.
    pub unsigned: AtomicU64,
    /// Questions with a client subnet.
    pub subnets: AtomicU64,
    /// From the arrival of questions over UDP to the departure of their answers.
    pub elapsed: Elapsed,
}

/// Times of answers, in buckets.
#[derive(Debug, Default)]
pub struct Elapsed {
    /// How many took at most as long as the bucket at the same place of [`Elapsed::BOUNDS`], and longer than the one before;
    /// the last took longer than all.
    pub buckets: [AtomicU64; Elapsed::BOUNDS.len() + 1],
    /// All of them together, nanoseconds.
    pub nanos: AtomicU64,
}

impl Elapsed {
    /// Upper ends of the buckets.
    pub const BOUNDS: [Duration; 9] = [
        Duration::from_micros(5),
        Duration::from_micros(10),
        Duration::from_micros(25),
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_millis(1),
        Duration::from_millis(10),
        Duration::from_millis(100),
    ];

    /// Adds `count` that took `each`.
    pub fn add(&self, each: Duration, count: u64) {
        let bucket = Self::BOUNDS.iter().position(|bound| each <= *bound).unwrap_or(Self::BOUNDS.len());
        self.buckets[bucket].fetch_add(count, Relaxed);
        let nanos = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos.saturating_mul(count), Relaxed);
    }
}

/// What one worker of the data plane counts.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// DNS, over all ways.
    pub dns: DnsCounters,
    /// What its doors have counted.
    pub door: DoorCounters,
    /// DNS over TCP.
    pub dns_tcp: StreamCounters,
    /// DNS over TLS.
    pub dns_tls: StreamCounters,
    /// Its last requests.
    pub recent: RecentRequests,
    /// Where its requests are sent, and answered.
    pub residency: Tally,
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

    /// What each worker counts.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerCounters> {
        self.0.iter().map(|worker| &**worker)
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
