//! One attempt: a connection, the request on it, the head of the answer.

use super::Front;
use super::headers::ATTEMPT;
use super::replay::Source;
use crate::health::{Fault, Reason, Standing};
use crate::load::InFlight;
use crate::names::Hostname;
use crate::snapshot::{EndpointId, Published, Snapshot};
use crate::topology::{EndpointIndex, HostFrom};
use crate::upstream::body::Outgoing;
use crate::upstream::pool::Answer;
use crate::upstream::{AttemptError, Needs, Progress};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response, Version, header};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

/// An answer that takes longer than this is worth watching its endpoint for; most come sooner.
pub(super) const WATCH_AFTER: Duration = Duration::from_millis(250);

/// What is sent where.
pub struct Sending<'a> {
    /// The worker's.
    pub front: &'a Arc<Front>,
    /// What the attempt was decided by.
    pub snapshot: &'a Arc<Snapshot>,
    /// To whom.
    pub endpoint: EndpointIndex,
    /// For which hostname.
    pub hostname: &'a Hostname,
    /// The head, made for regions.
    pub parts: &'a Parts,
    /// The body.
    pub body: &'a Source,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// Whether it may be repeated although it may have been processed.
    pub is_safe: bool,
    /// Whether it needs a new connection.
    pub is_fresh: bool,
    /// Whether the connection is to become a WebSocket.
    pub is_websocket: bool,
}

impl Sending<'_> {
    /// Makes the attempt.
    ///
    /// # Errors
    /// What went wrong and how far it got.
    pub async fn run(&self) -> Result<Response<Answer>, AttemptError> {
        let unsent = |fault| AttemptError { fault, progress: Progress::Unsent, was_reused: false };
        let state = self.snapshot.endpoint(self.endpoint);
        let in_flight = InFlight::at(&state.load);
        let needs = if self.is_websocket { Needs::Upgrade } else { Needs::Any };
        let connecting = self.front.upstream.connect(self.snapshot, self.endpoint, self.hostname, needs, self.is_fresh);
        let lease = connecting.await.map_err(unsent)?;
        let was_reused = lease.was_idle();
        let request = self.request(lease.is_http2()).ok_or_else(|| unsent(Fault::Protocol))?;
        let mut answer = pin!(lease.send(request, in_flight, self.is_safe));
        if let Ok(result) = tokio::time::timeout(WATCH_AFTER, &mut answer).await {
            return result;
        }
        let silent = AttemptError { fault: Fault::Silent, progress: Progress::Sent, was_reused };
        self.watch(answer, state.id).await.unwrap_or(Err(silent))
    }

    /// Waits for a slow answer: until the time for one is up or, if the request may go elsewhere, until its endpoint is
    /// known to have fallen silent. `None`: in vain.
    async fn watch(
        &self,
        mut answer: Pin<&mut impl Future<Output = Result<Response<Answer>, AttemptError>>>,
        endpoint: EndpointId,
    ) -> Option<Result<Response<Answer>, AttemptError>> {
        let longest = self.snapshot.topology.forward.first_byte_timeout;
        let mut longest = pin!(tokio::time::sleep(longest.saturating_sub(WATCH_AFTER)));
        let mut bell = self.front.published.subscribe();
        loop {
            if self.is_safe && is_silent(&self.front.published, endpoint) {
                return None;
            }
            tokio::select! {
                result = &mut answer => return Some(result),
                () = &mut longest => return None,
                changed = bell.changed() => if changed.is_err() { return Some(answer.await) },
            }
        }
    }

    /// The request for this endpoint; `None` if its name cannot be put into a request.
    fn request(&self, is_http2: bool) -> Option<Request<Outgoing>> {
        let endpoint = self.snapshot.topology.endpoint(self.endpoint);
        let authority = match endpoint.host_from {
            HostFrom::Client => self.hostname.to_string(),
            HostFrom::Endpoint => endpoint.authority(),
        };
        let path = self.parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut request = Request::new(self.body.reader());
        *request.method_mut() = self.parts.method.clone();
        *request.headers_mut() = self.parts.headers.clone();
        if is_http2 {
            let scheme = if endpoint.tls { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()?;
            *request.uri_mut() = uri;
            *request.version_mut() = Version::HTTP_2;
        } else {
            *request.uri_mut() = Uri::from(path);
            request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority).ok()?);
        }
        request.headers_mut().insert(ATTEMPT, HeaderValue::from(self.number));
        Some(request)
    }
}

/// Whether `endpoint` is out because it fell silent: what waits there waits in vain.
pub(super) fn is_silent(published: &Published, endpoint: EndpointId) -> bool {
    let snapshot = published.load();
    let state = snapshot.endpoints.iter().find(|state| state.id == endpoint);
    state.is_some_and(|state| {
        state.standing >= Standing::Ejected
            && matches!(state.reason, Reason::ProbesFail(fault) | Reason::Traffic(fault) if fault.is_silence())
    })
}
