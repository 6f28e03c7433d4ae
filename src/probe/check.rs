//! One probe, on traffic's own path: the same addresses, the same TLS, the same Host, a connection of its own.

use super::grpc;
use crate::health::Fault;
use crate::limits::PROBE_BODY_BYTES_MAX;
use crate::moment::Clock;
use crate::snapshot::Snapshot;
use crate::tls::trust::Trust;
use crate::topology::{EndpointIndex, HostFrom, Probe, ProbeKind};
use crate::upstream::body::Outgoing;
use crate::upstream::dial::{self, Dialled, Way};
use http::{Request, Uri, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is asked of whom.
#[derive(Debug)]
pub struct Question {
    way: Way,
    addresses: Arc<[SocketAddr]>,
    authority: String,
    probe: Arc<Probe>,
}

impl Question {
    /// The question about an endpoint of `snapshot`.
    #[must_use]
    pub fn about(snapshot: &Snapshot, endpoint: EndpointIndex, trust: &Trust) -> Self {
        let topology = &snapshot.topology;
        let described = topology.endpoint(endpoint);
        // An endpoint that sees the client's name is asked under one of the names it serves.
        let seen = (described.host_from == HostFrom::Client)
            .then(|| {
                topology
                    .routes
                    .iter()
                    .find(|route| route.members.iter().any(|member| member.region == described.region))
            })
            .flatten()
            .map(|route| &route.hostname);
        Self {
            way: Way::to(described, seen, trust),
            addresses: Arc::clone(&snapshot.endpoint(endpoint).addresses),
            authority: seen.map_or_else(|| described.authority(), ToString::to_string),
            probe: Arc::clone(&topology.region(described.region).probe),
        }
    }

    /// Asks, and says how long the answer took.
    ///
    /// # Errors
    /// What was wrong; [`Fault::Silent`] if the whole took longer than the probe's timeout.
    pub async fn ask(&self, clock: Clock) -> Result<Duration, Fault> {
        tokio::time::timeout(self.probe.timeout, self.try_ask(clock)).await.unwrap_or(Err(Fault::Silent))
    }

    async fn try_ask(&self, clock: Clock) -> Result<Duration, Fault> {
        let began = clock.now();
        let (path, expect_status) = match &self.probe.kind {
            ProbeKind::Http { path, expect_status, .. } => (path, expect_status),
            ProbeKind::Grpc { service } => return self.ask_grpc(clock, service).await,
            ProbeKind::Tcp => {
                dial::connect(&self.way, &self.addresses, self.probe.timeout).await?;
                return Ok(clock.now().since(began));
            }
        };
        let dialled = dial::dial(&self.way, &self.addresses, false, self.probe.timeout).await?;
        let connected = clock.now();
        let response = self.send(dialled, path).await?;
        let elapsed = clock.now().since(connected);
        let status = response.status().as_u16();
        if !expect_status.iter().any(|range| range.contains(&status)) {
            return Err(Fault::Status(status));
        }
        if self.probe.kind.wants_body() {
            self.judge_body(response.into_body()).await?;
        }
        Ok(elapsed)
    }

    async fn ask_grpc(&self, clock: Clock, service: &str) -> Result<Duration, Fault> {
        let dialled = dial::dial(&self.way, &self.addresses, false, self.probe.timeout).await?;
        let Dialled::Http2(mut sender, _) = dialled else { return Err(Fault::Protocol) };
        let connected = clock.now();
        grpc::ask(&mut sender, self.uri(grpc::PATH)?, service).await?;
        Ok(clock.now().since(connected))
    }

    /// What HTTP/2 calls a path at this endpoint.
    fn uri(&self, path: &str) -> Result<Uri, Fault> {
        let scheme = if matches!(self.way, Way::Tls { .. }) { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(self.authority.as_str()).path_and_query(path).build();
        uri.map_err(|_| Fault::Protocol)
    }

    async fn send(&self, dialled: Dialled, path: &str) -> Result<http::Response<Incoming>, Fault> {
        let request =
            Request::get(path).header(header::USER_AGENT, concat!("anyfront-probe/", env!("CARGO_PKG_VERSION")));
        match dialled {
            Dialled::Http1(mut sender, _) => {
                let request = request.header(header::HOST, &self.authority).body(Outgoing::Empty);
                sender.send_request(request.map_err(|_| Fault::Protocol)?).await
            }
            Dialled::Http2(mut sender, _) => {
                let request = request.uri(self.uri(path)?).version(Version::HTTP_2).body(Outgoing::Empty);
                sender.send_request(request.map_err(|_| Fault::Protocol)?).await
            }
        }
        .map_err(|error| if error.is_parse() { Fault::Protocol } else { Fault::Reset })
    }

    async fn judge_body(&self, body: Incoming) -> Result<(), Fault> {
        let ProbeKind::Http { expect_body, expect_json, .. } = &self.probe.kind else { return Ok(()) };
        let body = Limited::new(body, PROBE_BODY_BYTES_MAX).collect().await.map_err(|_| Fault::Body)?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        let has_json = |(pointer, value): &(Arc<str>, serde_json::Value)| {
            serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|json| json.pointer(pointer) == Some(value))
        };
        let is_good = text.contains(&**expect_body) && expect_json.as_ref().is_none_or(has_json);
        is_good.then_some(()).ok_or(Fault::Body)
    }
}
