//! WHAT HAS BEEN COUNTED: every door writes, `status` reads.
//!
//! Each worker has its own counters, which its thread alone writes. [`record`] is what is known of one request, told once
//! when it ends; [`traffic`] what becomes of it by hostname, region and class; [`records`] the last of them, for
//! operators; [`archive`] what they were decided by.

pub mod histogram;
pub mod limit;
pub mod trace;
pub mod archive;
pub mod records;
pub mod record;
pub mod traffic;

use crate::health::Fault;
use crate::moment::Moment;
use crate::residency::tally::Tally;
use crate::snapshot::Snapshot;
use archive::Archive;
use limit::Limit;
use record::Record;
use records::{DecisionId, Delivery, Listener, Records, Seal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use trace::Sampler;
use traffic::{FlowKey, Tables, Together, Traffic};

/// Adds to a counter that one thread alone writes: it needs no locked instruction.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

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
    /// The same by what the attempt before had failed with, in the order of [`Fault::NAMES`].
    pub failovers_after: [AtomicU64; Fault::NAMES.len()],
    /// Limits that were reached, in the order of [`Limit::ALL`].
    pub limits: [AtomicU64; Limit::ALL.len()],
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
    /// A limit was reached.
    pub fn reached(&self, limit: Limit) {
        Self::count(&self.limits[limit as usize]);
    }

    /// One more attempt is made because one failed with `fault`.
    pub fn failed_over(&self, fault: Fault) {
        Self::count(&self.failovers);
        Self::count(&self.failovers_after[fault.number()]);
    }

    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
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
#[derive(Debug)]
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
    pub records: Records,
    /// What became of all of them.
    pub tables: Tables,
    /// Which traces are told, if any are.
    pub sampler: Option<Sampler>,
    /// Where they are sent, and answered.
    pub residency: Tally,
}

/// The counters of all workers of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counters {
    workers: Arc<[Arc<WorkerCounters>]>,
    archive: Arc<Archive>,
    access_log: Arc<Delivery>,
    spans: Arc<Delivery>,
}

/// Who hears of every record as it is finished, if anybody does.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// Who writes them down.
    pub access_log: Option<mpsc::Sender<Arc<Record>>>,
    /// Who makes spans of them, and of which.
    pub spans: Option<(mpsc::Sender<Arc<Record>>, Sampler)>,
}

impl Counters {
    /// Counters for that many workers, all at zero.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::heard_by(workers, Listeners::default())
    }

    /// The same; `listeners` get every record as it is finished.
    #[must_use]
    pub fn heard_by(workers: usize, listeners: Listeners) -> Self {
        let (seal, archive) = (Arc::new(Seal::random()), Arc::default());
        let (access_log, spans) = (Arc::<Delivery>::default(), Arc::<Delivery>::default());
        let (spans_to, sampler) = listeners.spans.unzip();
        let both = [(listeners.access_log, &access_log), (spans_to, &spans)];
        let listeners = both.into_iter().filter_map(|(sender, delivery)| {
            let delivery = Arc::clone(delivery);
            sender.map(|sender| Listener { sender, delivery })
        });
        let listeners: Vec<Listener> = listeners.collect();
        let worker = |number| {
            Arc::new(WorkerCounters {
                dns: DnsCounters::default(),
                door: DoorCounters::default(),
                dns_tcp: StreamCounters::default(),
                dns_tls: StreamCounters::default(),
                records: Records::new(number, &seal, &archive, listeners.clone()),
                tables: Tables::default(),
                sampler,
                residency: Tally::default(),
            })
        };
        Self { workers: (0..workers).map(worker).collect(), archive, access_log, spans }
    }

    /// What becomes of lines of the access log.
    #[must_use]
    pub fn access_log(&self) -> &Arc<Delivery> {
        &self.access_log
    }

    /// What becomes of spans.
    #[must_use]
    pub fn spans(&self) -> &Arc<Delivery> {
        &self.spans
    }

    /// One worker's own.
    #[must_use]
    pub fn worker(&self, worker: usize) -> Arc<WorkerCounters> {
        Arc::clone(&self.workers[worker])
    }

    /// One counter over all workers.
    #[must_use]
    pub fn total(&self, which: impl Fn(&DoorCounters) -> &AtomicU64) -> u64 {
        self.workers().map(|worker| which(&worker.door).load(Relaxed)).sum()
    }

    /// What each worker counts.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerCounters> {
        self.workers.iter().map(|worker| &**worker)
    }

    /// Client connections open now.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.workers().map(|worker| worker.door.open.load(Relaxed)).sum()
    }

    /// The newest `count` requests of all workers, newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Record> {
        let mut all: Vec<Record> = self.workers().flat_map(|worker| worker.records.newest(count)).collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.headed()));
        all.truncate(count);
        all
    }

    /// The request whose decision has that name, if it is still remembered.
    #[must_use]
    pub fn find(&self, id: DecisionId) -> Option<Record> {
        self.workers().find_map(|worker| worker.records.find(id))
    }

    /// What requests were decided by at that generation, without its endpoints, if it is still remembered.
    #[must_use]
    pub fn decided_by(&self, generation: u64) -> Option<Arc<Snapshot>> {
        self.archive.find(generation)
    }

    /// The tables of all workers.
    #[must_use]
    pub fn tables(&self) -> Together<'_> {
        Together(self.workers().map(|worker| &worker.tables).collect())
    }

    /// What came of requests since the node started, by hostname, region and class. All of it only ever grows.
    #[must_use]
    pub fn traffic(&self) -> Vec<Traffic> {
        self.tables().traffic()
    }

    /// Requests over the last minute, by country of the client (if it is known) and region. Bounded by
    /// [`FLOWS_MAX`](crate::limits::FLOWS_MAX) for each worker.
    #[must_use]
    pub fn flows(&self, now: Moment) -> BTreeMap<FlowKey, u64> {
        self.tables().flows(now)
    }
}
