//! One probe, on traffic's own path: the same addresses, the same TLS, the same Host, a connection of its own.
//!
//! What is common to all kinds is here; each kind has a file of its own, which says what to send and what must come back.

use super::{http, mcp, token};
use crate::health::Fault;
use crate::health::opinion::Flowed;
use crate::moment::Clock;
use crate::snapshot::Snapshot;
use crate::tls::trust::Trust;
use crate::topology::{EndpointIndex, HostFrom, Probe, ProbeKind};
use crate::upstream::body::{Outgoing, OutgoingError};
use crate::upstream::dial::{self, Dialled, Way};
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who we say we are.
const USER_AGENT: &str = concat!("anyfront-probe/", env!("CARGO_PKG_VERSION"));

/// What a probe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How long the answer took, or what was wrong.
    pub result: Result<Duration, Fault>,
    /// How the stream flowed, if one was opened.
    pub flowed: Flowed,
}

/// What is asked of whom.
#[derive(Debug)]
pub struct Question {
    way: Way,
    addresses: Arc<[SocketAddr]>,
    authority: String,
    probe: Arc<Probe>,
}

impl Question {
    /// The question about an endpoint of `snapshot` that its probe at `probe`, counted from 0, asks.
    ///
    /// # Panics
    /// If it has no such probe.
    #[must_use]
    pub fn about(snapshot: &Snapshot, endpoint: EndpointIndex, probe: usize, trust: &Trust) -> Self {
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
            probe: topology.region(described.region).probes().nth(probe).cloned().expect("one that was launched"),
        }
    }

    /// Asks. [`Fault::Silent`] is what came if the whole took longer than the probe's timeout.
    pub async fn ask(&self, clock: Clock) -> Answered {
        let kind = &self.probe.kind;
        let mut flowed = Flowed::default();
        let asked = async {
            match kind {
                ProbeKind::Tcp => self.connect(clock).await,
                ProbeKind::Http { .. } => http::ask(self, kind, clock).await,
                ProbeKind::Token { .. } => token::ask(self, kind, clock, &mut flowed).await,
                ProbeKind::Mcp { .. } => mcp::ask(self, kind, clock).await,
            }
        };
        let result = tokio::time::timeout(self.probe.timeout, asked).await.unwrap_or(Err(Fault::Silent));
        Answered { result, flowed }
    }

    /// From the first packet to the last byte that matters.
    pub(super) fn timeout(&self) -> Duration {
        self.probe.timeout
    }

    async fn connect(&self, clock: Clock) -> Result<Duration, Fault> {
        let began = clock.now();
        dial::connect(&self.way, &self.addresses, self.probe.timeout).await?;
        Ok(clock.now().since(began))
    }

    /// A new connection to the endpoint.
    pub(super) async fn dial(&self, timeout: Duration) -> Result<Dialled, Fault> {
        dial::dial(&self.way, &self.addresses, false, timeout).await
    }

    /// Sends one request on a connection of [`Self::dial`]; the answer's head.
    pub(super) async fn send(
        &self,
        dialled: Dialled,
        (method, path): (Method, &str),
        mut fields: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Fault> {
        fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let body = if body.is_empty() {
            Outgoing::Empty
        } else {
            Outgoing::Stream(Box::pin(Full::new(body).map_err(|never| -> OutgoingError { match never {} })))
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = fields;
        match dialled {
            Dialled::Http1(mut sender, _) => {
                let host = HeaderValue::from_str(&self.authority).map_err(|_| Fault::Protocol)?;
                request.headers_mut().insert(header::HOST, host);
                *request.uri_mut() = path.parse().map_err(|_| Fault::Protocol)?;
                sender.send_request(request).await
            }
            Dialled::Http2(mut sender) => {
                let scheme = if matches!(self.way, Way::Plain) { "http" } else { "https" };
                let uri = Uri::builder().scheme(scheme).authority(self.authority.as_str()).path_and_query(path).build();
                *request.uri_mut() = uri.map_err(|_| Fault::Protocol)?;
                *request.version_mut() = Version::HTTP_2;
                sender.send_request(request).await
            }
        }
        .map_err(|error| if error.is_parse() { Fault::Protocol } else { Fault::Reset })
    }
}
