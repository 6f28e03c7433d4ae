//! What a node has counted since it started, as it is shown.

use crate::counters::limit::Limit;
use crate::counters::records::Delivery;
use crate::counters::{Counters, DNS_OUTCOMES, DNS_TRANSPORTS, DnsCounters, Elapsed, StreamCounters, WorkerCounters};
use crate::health::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    /// The same by what the attempt before had failed with; what never happened is left out.
    #[serde(default)]
    pub failovers_after: BTreeMap<String, u64>,
    /// How often limits were reached, by their names.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// How many requests ended how.
    #[serde(default)]
    pub outcomes: BTreeMap<String, u64>,
    /// Repetitions not made because the budget for them was spent.
    #[serde(default)]
    pub unrepeated: u64,
    /// Answers that ended before their end.
    pub cut: u64,
    /// Facts dropped because the queue of `control` was full.
    pub dropped_events: u64,
    /// Octets kept for possible repetition, now.
    pub replay_bytes: u64,
    /// What became of lines of the access log.
    #[serde(default)]
    pub access_log: DeliveryTotals,
    /// What became of spans.
    #[serde(default)]
    pub spans: DeliveryTotals,
    /// WebSockets.
    #[serde(default)]
    pub websockets: WebsocketTotals,
    /// DNS.
    #[serde(default)]
    pub dns: DnsTotals,
}

/// What became of what is told of each request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryTotals {
    /// Arrived where it was to go.
    pub delivered: u64,
    /// There was no room for it: who writes is behind.
    pub dropped: u64,
    /// Could not be delivered.
    pub failed: u64,
}

impl DeliveryTotals {
    fn of(delivery: &Delivery) -> Self {
        let [delivered, dropped, failed] =
            [&delivery.delivered, &delivery.missed, &delivery.failed].map(|count| count.load(Relaxed));
        Self { delivered, dropped, failed }
    }
}

/// DNS, over all ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DnsTotals {
    /// Questions, by how they came (`udp`, `tcp`, `dot`, `doh`) and what became of them (a response code, or `silence`).
    pub questions: BTreeMap<String, BTreeMap<String, u64>>,
    /// Answers from prepared octets.
    pub prepared: u64,
    /// Answers that were too long for a datagram.
    pub truncated: u64,
    /// Answers withheld from those who ask too often: told to come by TCP.
    pub slipped: u64,
    /// The same, and told nothing.
    pub dropped: u64,
    /// Messages that dnstap had no room for.
    pub untapped: u64,
    /// Datagrams from where no resolver asks.
    pub implausible: u64,
    /// Signatures made for names that do not exist.
    pub signatures: u64,
    /// Denials given as they were signed before, because signing had taken its share of time.
    pub presigned: u64,
    /// Questions with a client subnet.
    pub subnets: u64,
    /// Connections, by how they came (`tcp`, `dot`).
    pub streams: BTreeMap<String, DnsStreamTotals>,
    /// Answers over UDP by how long they took: the upper end of a bucket in seconds, and how many took no longer. The last,
    /// without an end, are all.
    pub elapsed: Vec<(Option<f64>, u64)>,
    /// How long all of them took together, nanoseconds.
    pub elapsed_ns: u64,
}

/// DNS over connections of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsStreamTotals {
    /// Accepted.
    pub connections: u64,
    /// Open now.
    pub open: u64,
    /// Closed to make room for others.
    pub turned_out: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
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
            failovers_after: failovers_after(counters),
            limits: limits(counters),
            outcomes: outcomes(counters),
            unrepeated: counters.total(|door| &door.unrepeated),
            cut: counters.total(|door| &door.cut),
            dropped_events: counters.total(|door| &door.dropped_events),
            replay_bytes: counters.total(|door| &door.replay_bytes),
            access_log: DeliveryTotals::of(counters.access_log()),
            spans: DeliveryTotals::of(counters.spans()),
            websockets: WebsocketTotals {
                open: counters.total(|door| &door.websockets.open),
                closed: counters.total(|door| &door.websockets.closed),
                client_lost: counters.total(|door| &door.websockets.client_lost),
                region_lost: counters.total(|door| &door.websockets.region_lost),
                idle: counters.total(|door| &door.websockets.idle),
                going_away: counters.total(|door| &door.websockets.going_away),
            },
            dns: DnsTotals::of(counters),
        }
    }
}

fn failovers_after(counters: &Counters) -> BTreeMap<String, u64> {
    let reasons = Fault::NAMES.into_iter().enumerate();
    let counts = reasons.map(|(at, name)| (name.to_owned(), counters.total(|door| &door.failovers_after[at])));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Limits of the doors; those that others count are beside them.
fn limits(counters: &Counters) -> BTreeMap<String, u64> {
    let dns = DnsTotals::of(counters);
    let count = |limit: Limit| counters.total(|door| &door.limits[limit as usize]);
    let doors = Limit::ALL.into_iter().map(|limit| (limit.as_str(), count(limit)));
    let others = [
        ("retry_budget", counters.total(|door| &door.unrepeated)),
        ("fact_queue", counters.total(|door| &door.dropped_events)),
        ("dns_streams", dns.streams.values().map(|streams| streams.turned_out).sum()),
        ("dns_rate", dns.limited()),
        ("dns_signatures", dns.presigned),
        ("dnstap_queue", dns.untapped),
    ];
    doors.chain(others).map(|(name, count)| (name.to_owned(), count)).collect()
}

fn outcomes(counters: &Counters) -> BTreeMap<String, u64> {
    let outcomes = counters.tables().outcomes().into_iter();
    outcomes.map(|(outcome, count)| (outcome.as_str().to_owned(), count)).collect()
}

/// What became of questions, in the order of [`DnsCounters::outcomes`].
pub const DNS_OUTCOMES_BY_NAME: [&str; DNS_OUTCOMES] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "notauth", "badvers", "badcookie", "silence"];
/// How they came, in the same order as there.
pub const DNS_TRANSPORTS_BY_NAME: [&str; DNS_TRANSPORTS] = ["udp", "tcp", "dot", "doh"];

impl DnsTotals {
    fn of(counters: &Counters) -> Self {
        let total = |which: &dyn Fn(&DnsCounters) -> &AtomicU64| -> u64 {
            counters.workers().map(|worker| which(&worker.dns).load(Relaxed)).sum()
        };
        let outcomes = |way: usize| {
            let counted = DNS_OUTCOMES_BY_NAME.iter().enumerate();
            counted.map(|(at, name)| ((*name).to_owned(), total(&|dns| &dns.outcomes[way][at]))).collect()
        };
        let ways = DNS_TRANSPORTS_BY_NAME.iter().enumerate();
        let mut all = 0;
        let ends = Elapsed::BOUNDS.iter().map(|end| Some(end.as_secs_f64())).chain([None]).enumerate();
        let elapsed = ends.map(|(at, end)| {
            all += total(&|dns| &dns.elapsed.buckets[at]);
            (end, all)
        });
        Self {
            elapsed: elapsed.collect(),
            questions: ways.map(|(way, name)| ((*name).to_owned(), outcomes(way))).collect(),
            prepared: total(&|dns| &dns.prepared),
            truncated: total(&|dns| &dns.truncated),
            slipped: total(&|dns| &dns.slipped),
            untapped: total(&|dns| &dns.untapped),
            dropped: total(&|dns| &dns.dropped),
            implausible: total(&|dns| &dns.implausible),
            signatures: total(&|dns| &dns.signatures),
            presigned: total(&|dns| &dns.unsigned),
            subnets: total(&|dns| &dns.subnets),
            streams: [
                ("tcp", DnsStreamTotals::of(counters, |worker| &worker.dns_tcp)),
                ("dot", DnsStreamTotals::of(counters, |worker| &worker.dns_tls)),
            ]
            .map(|(way, totals)| (way.to_owned(), totals))
            .into(),
            elapsed_ns: total(&|dns| &dns.elapsed.nanos),
        }
    }

    /// All questions.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.questions.values().flat_map(BTreeMap::values).sum()
    }

    /// Those with one outcome.
    #[must_use]
    pub fn with(&self, outcome: &str) -> u64 {
        self.questions.values().filter_map(|outcomes| outcomes.get(outcome)).sum()
    }

    /// Answers withheld from those who ask too often.
    #[must_use]
    pub fn limited(&self) -> u64 {
        self.slipped + self.dropped
    }
}

impl DnsStreamTotals {
    fn of(counters: &Counters, which: impl Fn(&WorkerCounters) -> &StreamCounters) -> Self {
        let total = |field: &dyn Fn(&StreamCounters) -> &AtomicU64| -> u64 {
            counters.workers().map(|worker| field(which(worker)).load(Relaxed)).sum()
        };
        Self {
            connections: total(&|streams| &streams.connections),
            open: total(&|streams| &streams.open),
            turned_out: total(&|streams| &streams.turned_out),
            failed_handshakes: total(&|streams| &streams.failed_handshakes),
        }
    }
}
