//! A WAY TO AN ENDPOINT: which endpoint of a region, which connection, and what came back.
//!
//! One [`Upstream`] per worker, so that a request never changes core. It decides nothing about regions; it reports how
//! far an attempt got, which is all that failover needs to know.

pub mod answer;
pub mod balance;
pub mod body;
pub mod dial;
pub mod pool;
pub mod resolve;
pub mod wire;

use crate::health::Fault;
use crate::moment::Clock;
use crate::names::Hostname;
use crate::snapshot::{EndpointId, Published, Snapshot};
use crate::tls::trust::Trust;
use crate::topology::{EndpointIndex, HostFrom, Topology};
use dial::Way;
use http::HeaderValue;
use pool::{Lease, Pool};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often pools are tidied.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// How far an attempt got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The endpoint saw nothing of the request.
    Unsent,
    /// It may have seen the request, or part of it, and acted.
    Sent,
}

/// An attempt that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptError {
    /// What went wrong.
    pub fault: Fault,
    /// How far it got.
    pub progress: Progress,
    /// Whether an idle connection was taken up again: its end says nothing about the endpoint.
    pub was_reused: bool,
}

/// One worker's ways to all endpoints.
#[derive(Debug)]
pub struct Upstream {
    clock: Clock,
    pools: Mutex<Pools>,
}

#[derive(Debug)]
struct Pools {
    generation: u64,
    topology: Option<Arc<Topology>>,
    trust: Option<Trust>,
    by_endpoint: HashMap<(EndpointId, Option<Hostname>), Arc<Pool>>,
}

/// What a request needs of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Needs {
    /// HTTP/1.1 or HTTP/2, whatever the endpoint prefers.
    #[default]
    Any,
    /// A connection of its own that can become a WebSocket: it lives for hours, and should neither take others with it nor
    /// stand in their way.
    WebSocket,
    /// HTTP/2: gRPC goes by nothing else.
    Http2,
}

impl Upstream {
    /// No connection yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let pools = Pools { generation: 0, topology: None, trust: None, by_endpoint: HashMap::new() };
        Self { clock, pools: Mutex::new(pools) }
    }

    /// A connection to `endpoint` of `snapshot`: an idle one, or a new one within `connect_timeout`. `hostname` is the
    /// client's, for endpoints that see it; `is_fresh`: not an idle one.
    ///
    /// # Errors
    /// What stood in the way; the endpoint has seen nothing of the request.
    pub async fn connect(
        &self,
        snapshot: &Arc<Snapshot>,
        endpoint: EndpointIndex,
        hostname: &Hostname,
        needs: Needs,
        is_fresh: bool,
    ) -> Result<Lease, Fault> {
        let pool = self.pool(snapshot, endpoint, hostname);
        if needs != Needs::WebSocket
            && !is_fresh
            && let Some(lease) = pool.idle(self.clock.now(), needs)
        {
            return Ok(lease);
        }
        let state = snapshot.endpoint(endpoint);
        let addresses = Arc::clone(&state.addresses);
        let timeout = snapshot.topology.forward.connect_timeout;
        // Dialling is rare and its state is large: every request would carry it around.
        Box::pin(pool.open(&addresses, needs, timeout)).await
    }

    /// Drops every connection that nobody would take any more, and the idle ones of the `drained`.
    fn tidy(&self, drained: &[EndpointId]) {
        let now = self.clock.now();
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for ((id, _), pool) in &pools.by_endpoint {
            pool.tidy(now, drained.contains(id));
        }
    }

    /// The pool of an endpoint; those of endpoints that are no more are dropped with the first look at a new generation.
    #[must_use]
    pub fn pool(&self, snapshot: &Arc<Snapshot>, endpoint: EndpointIndex, hostname: &Hostname) -> Arc<Pool> {
        let described = snapshot.topology.endpoint(endpoint);
        let seen_name = (described.host_from == HostFrom::Client).then(|| hostname.clone());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.generation < snapshot.generation {
            pools.follow(snapshot);
        }
        let key = (snapshot.endpoint(endpoint).id, seen_name);
        if let Some(pool) = pools.by_endpoint.get(&key) {
            return Arc::clone(pool);
        }
        let trust = pools.trust.clone().unwrap_or_else(|| Trust::new(&snapshot.topology.forward.trust));
        let way = Way::to(described, key.1.as_ref(), &trust);
        let authority = key.1.as_ref().map_or_else(|| described.authority(), ToString::to_string);
        let authority = HeaderValue::try_from(authority).expect("names and addresses are visible characters");
        let pool = Arc::new(Pool::new(self.clock, way, authority, Arc::clone(&snapshot.endpoint(endpoint).load)));
        pools.by_endpoint.insert(key, Arc::clone(&pool));
        pool
    }
}

/// Tidies every pool again and again: what nobody asks for any more would stay open.
pub async fn keep_tidy(upstream: &Upstream, published: &Published) {
    let mut bell = published.subscribe();
    let mut drained = Vec::new();
    loop {
        let soon = upstream.clock.instant(upstream.clock.now() + TIDY_EVERY);
        // A drain is seen at once, the rest in time.
        while let Ok(Ok(())) = tokio::time::timeout_at(soon, bell.changed()).await {
            let now_drained = drained_endpoints(&published.load());
            if now_drained != drained {
                drained = now_drained;
                break;
            }
        }
        upstream.tidy(&drained);
    }
}

/// The endpoints that no new work goes to, because an operator said so.
fn drained_endpoints(snapshot: &Snapshot) -> Vec<EndpointId> {
    snapshot.endpoints.iter().filter(|state| state.drained.is_some()).map(|state| state.id).collect()
}

impl Pools {
    fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        self.generation = snapshot.generation;
        let is_new = self.topology.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &snapshot.topology));
        if !is_new {
            return;
        }
        let trusted = &snapshot.topology.forward.trust;
        if self.topology.as_ref().is_none_or(|before| before.forward.trust != *trusted) {
            self.trust = Some(Trust::new(trusted));
            self.by_endpoint.clear();
        }
        self.topology = Some(Arc::clone(&snapshot.topology));
        let ids: HashSet<EndpointId> = snapshot.endpoints.iter().map(|state| state.id).collect();
        self.by_endpoint.retain(|(id, _), _| ids.contains(id));
    }
}
