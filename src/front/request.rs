//! One request from start to end.

use super::affinity::Bond;
use super::call::Call;
use super::client::asker;
use super::connection::{Connection, Resumed};
use super::events::EventStream;
use super::failover::{Failover, Situation, Step, is_evidence, is_failure, reason_to_go_on};
use super::framing::Violation;
use super::headers::{self, Farewell, Introduction};
use super::journey::{Journey, Target};
use super::prepare::{Prepared, call_id, here, prepare, refusal, session_lost};
use super::recall::{Key, Who};
use super::replay::Source;
use super::reply::{Complaint, invite_later};
use super::stream::{Carried, Followed, Reply, Silence};
use super::terms::{Protocol, Terms};
use super::tunnel::{Offer, Tunnel};
use super::{attempt, grpc};
use crate::control::Event;
use crate::counters::{DoorCounters, Recent};
use crate::health::Fault;
use crate::moment::Moment;
use crate::names::Hostname;
use crate::snapshot::{EndpointState, Snapshot};
use crate::steering::Client;
use crate::topology::{Dialect, RegionIndex};
use crate::upstream::answer::Answer;
use crate::upstream::body::OutgoingError;
use crate::upstream::{AttemptError, Progress};
use attempt::Limit;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;

/// Answers one request.
///
/// # Errors
/// Never: what goes wrong becomes an answer, or the end of one.
pub async fn serve(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let (busy, violation) = connection.talk.begin();
    let is_head = request.method() == Method::HEAD;
    let asked = (request.version(), headers::has_token(request.headers(), &header::CONNECTION, "close"));
    let mut answer = Exchange::run(&connection, request, violation).await;
    let (now, status) = (connection.front.clock.now(), answer.status());
    connection.lifetime.say(now, &connection.talk, asked, status, answer.headers_mut());
    Ok(answer.map(|reply| if is_head { reply.to_head() } else { reply }.keeping(busy)))
}

/// A request that was understood, and everything needed to carry it.
struct Exchange<'a> {
    connection: &'a Connection,
    began: Moment,
    snapshot: Arc<Snapshot>,
    hostname: Hostname,
    terms: Terms,
    bond: Bond,
    request_id: HeaderValue,
    method: Method,
    version: Version,
    client: Arc<Client>,
    introduction: Arc<Introduction>,
    journey: Journey,
    attempts: u32,
    /// What its client is remembered by if it is failed.
    key: Key,
    /// When the client's own time is up.
    deadline: Option<Moment>,
    /// Whether it was up before there was an answer.
    is_late: bool,
}

/// What an attempt came to.
enum Outcome {
    /// The client is to have this answer.
    Served(Response<Answer>),
    /// Another region should be asked, though this answer is there to fall back on; why, if it says so.
    Declined(AttemptError, Response<Answer>, Option<Box<str>>),
    /// There is no answer.
    Failed(AttemptError),
}

impl<'a> Exchange<'a> {
    async fn run(
        connection: &'a Connection,
        request: Request<Incoming>,
        violation: Option<Violation>,
    ) -> Response<Reply> {
        let front = &connection.front;
        DoorCounters::count(&front.counters.door.requests);
        let snapshot = front.published.load_full();
        let (mut parts, body) = request.into_parts();
        let resumed = connection.take_resumed();
        let began = resumed.as_ref().map_or_else(|| front.clock.now(), |resumed| resumed.began);
        let request_id = match &resumed {
            Some(resumed) => resumed.request_id.clone(),
            None => headers::given_request_id(&parts.headers).unwrap_or_else(|| front.new_request_id()),
        };
        let Prepared { route, hostname, mut terms, bond } = match prepare(connection, &snapshot, violation, &mut parts)
        {
            Ok(prepared) => prepared,
            Err(refused) => return refusal(connection, &snapshot, refused, (&parts, body), &request_id).await,
        };
        let asker = asker(connection.arrival.peer, &parts.headers, &snapshot.topology.forward.trusted_proxies);
        let key = front.recall.key(Who::of(asker.address, &parts, &hostname));
        if terms.is_another_try {
            terms.ties.avoid = front.recall.regions(began, key);
        }
        let (client, decision) = connection.decide(&snapshot, route, &asker, terms.ties.wish(&snapshot));
        let offer = (terms.protocol == Protocol::WebSocket).then(|| Offer::of(&mut parts)).flatten();
        let introduction = connection.introduce(&snapshot, asker, &hostname, parts.version);
        let body = source(connection, &snapshot, &terms, parts.version == Version::HTTP_2, body);
        let resumed = resumed.unwrap_or_else(|| Resumed::nothing(began, &request_id, &snapshot.topology.forward));
        let Resumed { journey, failover, attempts, error, is_over, .. } = resumed;
        let first = match error {
            None if bond.is_lost(&decision) => None,
            None => journey.first(&snapshot, &decision, front.roll()),
            Some(_) if is_over => None,
            Some(_) => journey.next(&snapshot, &hostname, &client, terms.ties.wish(&snapshot), front.roll()),
        };
        let mut exchange = Exchange {
            connection,
            began,
            deadline: terms.timeout.map(|timeout| began + timeout),
            is_late: false,
            snapshot,
            hostname,
            terms,
            bond,
            request_id,
            method: parts.method.clone(),
            version: parts.version,
            client,
            introduction,
            journey,
            attempts,
            key,
        };
        let carried = match first {
            Some(first) => exchange.carry_in_time(first, failover, &parts, &body).await,
            None => Err(error),
        };
        match carried {
            Ok((target, answer)) => exchange.pass_on(target, answer, offer),
            Err(failed) => exchange.give_up(failed, &body).await,
        }
    }

    /// The same within the client's own time.
    async fn carry_in_time(
        &mut self,
        first: Target,
        failover: Failover,
        parts: &Parts,
        body: &Source,
    ) -> Result<(Target, Response<Answer>), Option<AttemptError>> {
        let Some(deadline) = self.deadline else { return self.carry(first, failover, parts, body).await };
        let until = self.connection.front.clock.instant(deadline);
        let carried = Box::pin(tokio::time::timeout_at(until, self.carry(first, failover, parts, body))).await;
        carried.unwrap_or_else(|_| {
            self.is_late = true;
            Err(None)
        })
    }

    /// Attempt after attempt until one is answered or none is left. On the way `self.snapshot` becomes the one of the
    /// last attempt.
    async fn carry(
        &mut self,
        first: Target,
        mut failover: Failover,
        parts: &Parts,
        body: &Source,
    ) -> Result<(Target, Response<Answer>), Option<AttemptError>> {
        let front = Arc::clone(&self.connection.front);
        let mut target = first;
        let mut is_fresh = false;
        loop {
            self.attempts += 1;
            let state = self.snapshot.endpoint(target.endpoint).clone();
            let sending = attempt::Sending {
                front: &front,
                snapshot: &self.snapshot,
                endpoint: target.endpoint,
                hostname: &self.hostname,
                client: &self.client,
                introduction: &self.introduction,
                request_id: &self.request_id,
                parts,
                body,
                number: self.attempts,
                terms: &self.terms,
                is_fresh,
                limit: self.limit(target, &failover, body),
                deadline: self.deadline,
            };
            let result = sending.run().await;
            self.learn_safety(&result, body);
            let (error, declined, reason) = match self.judge(target, &state, result) {
                Outcome::Served(answer) => return Ok((target, answer)),
                Outcome::Declined(error, answer, reason) => (error, Some(answer), reason),
                Outcome::Failed(error) => (error, None, None),
            };
            if body.failed().is_some() && declined.is_none() {
                return Err(Some(error));
            }
            self.notice_failure(&state, error, declined.as_ref());
            let situation = Situation { is_safe: self.terms.is_safe, is_replayable: body.is_replayable() };
            let step = failover.after(front.clock.now(), error, situation);
            let is_refused = step == Step::Again && !self.may_repeat(&self.snapshot, target, error);
            let step = if is_refused { Step::Stop } else { step };
            tracing::debug!(hostname = %self.hostname, attempt = self.attempts, reason = error.fault.as_str(), ?step, "an attempt failed");
            is_fresh = step == Step::Again;
            if !is_fresh {
                self.journey.failed_at(&self.snapshot, target, error.fault, step == Step::NextRegion);
                self.journey.said(reason);
            }
            let next = match step {
                Step::Again => Some(target),
                Step::NextEndpoint | Step::NextRegion => self.next(target, error, body),
                Step::Stop => None,
            };
            target = match (next.inspect(|_| body.retract()), declined) {
                (Some(next), _) => next,
                // Nobody else is left: the region's own words say more than ours would.
                (None, Some(answer)) => {
                    self.journey.failed.pop();
                    return Ok((target, answer));
                }
                (None, None) => return Err(Some(error)),
            };
            if !is_fresh {
                DoorCounters::count(&front.counters.door.failovers);
            }
        }
    }

    /// What only the body tells is looked at when an attempt has failed, and no sooner.
    fn learn_safety(&mut self, result: &Result<Response<Answer>, AttemptError>, body: &Source) {
        let has_failed = !matches!(result, Ok(answer) if !is_failure(answer.status().as_u16()));
        if has_failed && self.terms.body_may_tell {
            // An attempt that reached nobody has not read the body: the next one may.
            if let Some(whole) = body.whole() {
                self.terms.is_safe = self.terms.is_safe_with(|| Some(whole));
                self.terms.body_may_tell = false;
            }
        }
    }

    /// Where the next attempt goes after one at `target`, by what is believed now.
    fn next(&mut self, target: Target, error: AttemptError, body: &Source) -> Option<Target> {
        let front = &self.connection.front;
        let before = std::mem::replace(&mut self.snapshot, front.published.load_full());
        let wish = self.terms.ties.wish(&self.snapshot);
        let next = self.journey.next(&self.snapshot, &self.hostname, &self.client, wish, front.roll());
        let next = next.filter(|next| self.is_in_time(*next, body) && self.may_repeat(&before, target, error));
        if next.is_none() {
            // What is told now is about the attempt that was made, and its numbers mean something in its own snapshot only.
            self.snapshot = before;
        }
        next
    }

    fn may_repeat(&self, snapshot: &Snapshot, target: Target, error: AttemptError) -> bool {
        attempt::may_repeat(&self.connection.front, snapshot, target, &self.hostname, &self.client, error)
    }

    /// What an attempt came to.
    fn judge(&self, target: Target, state: &EndpointState, result: Result<Response<Answer>, AttemptError>) -> Outcome {
        let mut answer = match result {
            Ok(answer) => answer,
            Err(error) => return Outcome::Failed(error),
        };
        state.load.answered();
        let (front, status) = (&self.connection.front, answer.status());
        let unserved = headers::unserved(answer.headers());
        if let Some(error) = reason_to_go_on(status.as_u16(), unserved.as_ref(), self.terms.is_safe) {
            return Outcome::Declined(error, answer, unserved.and_then(|unserved| unserved.reason));
        }
        match unserved {
            Some(unserved) => invite_later(answer.headers_mut(), &unserved, front.roll()),
            None => self.notice_status(state, status),
        }
        if !is_failure(status.as_u16()) {
            let region = &self.snapshot.topology.region(target.region).name;
            front.budgets.of(&self.hostname, region).succeeded(front.clock.now());
        }
        Outcome::Served(answer)
    }

    /// How long an attempt at `target` may take, if the client is impatient.
    fn limit(&self, target: Target, failover: &Failover, body: &Source) -> Option<Limit> {
        let patience = self.terms.patience?;
        let front = &self.connection.front;
        let wish = self.terms.ties.wish(&self.snapshot);
        let may_move = self.terms.is_safe
            && failover.has_another()
            && body.is_replayable()
            && self.journey.knows_another(&self.snapshot, target, &self.hostname, &self.client, wish);
        let region = &self.snapshot.topology.region(target.region).name;
        let moves_by = may_move.then(|| front.budgets.of(&self.hostname, region));
        Some(Limit { patience, began: self.began, now: front.clock.now(), moves_by })
    }

    /// Whether an attempt at `target` can be answered before an impatient client gives up.
    fn is_in_time(&self, target: Target, body: &Source) -> bool {
        let (now, round_trip) = (self.connection.front.clock.now(), self.snapshot.endpoint(target.endpoint).round_trip);
        let start = body.ended_at(self.began).unwrap_or(now);
        self.terms.patience.is_none_or(|patience| patience.suffices(now, start, round_trip))
    }

    /// A failed attempt is told to `control`, unless it says nothing about the endpoint.
    fn notice_failure(&self, state: &EndpointState, error: AttemptError, declined: Option<&Response<Answer>>) {
        match declined {
            Some(_) if error.fault == Fault::Unserved => {}
            Some(answer) => self.notice_status(state, answer.status()),
            None if is_evidence(error) => {
                state.load.failed();
                let prefix = self.client.hash();
                self.connection.front.tell(Event::Failed { endpoint: state.id, fault: error.fault, prefix });
            }
            None => {}
        }
    }

    /// A status that means failure is told to `control`. The client gets it as it is, unless the request may be
    /// repeated elsewhere: the gateway has done its own repeating.
    fn notice_status(&self, state: &EndpointState, status: StatusCode) {
        if is_failure(status.as_u16()) {
            let prefix = self.client.hash();
            let fault = Fault::Status(status.as_u16());
            self.connection.front.tell(Event::Failed { endpoint: state.id, fault, prefix });
        }
    }

    /// The region's answer, made ours.
    fn pass_on(self, target: Target, mut answer: Response<Answer>, offer: Option<Offer>) -> Response<Reply> {
        let front = &self.connection.front;
        let snapshot = &self.snapshot;
        let status = answer.status();
        if status.is_server_error() && headers::unserved(answer.headers()).is_none() {
            let region = &snapshot.topology.region(target.region).name;
            front.recall.failed(front.clock.now(), self.key, region);
        }
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        let region_upgrade = switches.then(|| hyper::upgrade::on(&mut answer));
        let (mut parts, body) = answer.into_parts();
        let is_framed = parts.version == Version::HTTP_2 || parts.headers.contains_key(header::TRANSFER_ENCODING);
        headers::toward_client(&mut parts.headers, &self.farewell(target.region, status, parts.version));
        if !parts.headers.contains_key(headers::REQUEST_ID) {
            parts.headers.insert(headers::REQUEST_ID, self.request_id.clone());
        }
        if self.bond != Bond::Free {
            let secret = front.secret.load();
            let here = here(self.connection, snapshot, &self.hostname, &secret);
            self.bond.answered(&mut parts.headers, status, &snapshot.topology.region(target.region).name, &here);
        }
        self.remember(Some(target), status);
        let state = snapshot.endpoint(target.endpoint);
        parts.version = Version::HTTP_11;
        if let (Some(offer), Some(region)) = (offer, region_upgrade) {
            let (client, edge) = offer.accept(&mut parts, self.connection);
            let tunnel = Tunnel {
                front: Arc::clone(front),
                answer: body,
                edge,
                endpoint: state.id,
                name: snapshot.topology.endpoint(target.endpoint).name.clone(),
                load: Arc::clone(&state.load),
                prefix: self.client.hash(),
                idle_max: snapshot.topology.forward.websocket_idle_timeout,
                busy: self.connection.talk.busy(),
                alive: self.connection.alive.clone(),
            };
            tokio::spawn(tunnel.join(client, region));
            return Response::from_parts(parts, Reply::own(""));
        }
        let silence = self.terms.patience.and_then(|patience| patience.silence);
        // With a length said before, nothing but its octets may follow.
        let is_open_ended = !parts.headers.contains_key(header::CONTENT_LENGTH);
        let events = EventStream::of(&parts.headers, self.terms.stream, !is_framed).filter(|_| is_open_ended);
        let is_call = self.terms.protocol == Protocol::Grpc && is_open_ended && grpc::speaks(&parts.headers);
        let carried = Carried {
            answer: body,
            front: Arc::clone(front),
            endpoint: state.id,
            load: Arc::clone(&state.load),
            prefix: self.client.hash(),
            ended_by: (self.version == Version::HTTP_10).then(|| Arc::clone(&self.connection.talk)),
            call: is_call.then(|| Box::new(Call::until(self.deadline))),
            idle_max: silence.unwrap_or(snapshot.topology.forward.stream_idle_timeout),
            silence_means: if silence.is_some() { Fault::Late } else { Fault::Silent },
            fails: (self.key, snapshot.topology.region(target.region).name.clone()),
            silence: Silence::default(),
            followed: events.map(|events| Box::new(Followed::new(events))),
            ending: None,
            given_at: 0,
        };
        Response::from_parts(parts, Reply::region(carried))
    }

    fn farewell(&self, region: RegionIndex, status: StatusCode, version: Version) -> Arc<Farewell> {
        let snapshot = &self.snapshot;
        if self.journey.failed.is_empty() {
            return self.connection.part(snapshot, region, status, version);
        }
        let (site, name) = (&snapshot.here.name, &snapshot.topology.region(region).name);
        let happened = headers::happened(site, &self.journey.failed, Some((name, status.as_u16())));
        Arc::new(Farewell::new(version, site, name, &happened))
    }

    /// Nobody answered.
    async fn give_up(self, failed: Option<AttemptError>, body: &Source) -> Response<Reply> {
        let front = &self.connection.front;
        let mut complaint = match body.failed() {
            Some(OutgoingError::TooSlow) => {
                Complaint::closing(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the request's body came too slowly")
            }
            Some(OutgoingError::Client) => {
                Complaint::closing(StatusCode::BAD_REQUEST, "body_incomplete", "the request's body ended early")
            }
            None if self.is_late => Complaint::late(self.attempts),
            None => {
                DoorCounters::count(&front.counters.door.unserved);
                front.counters.residency.refused(front.clock.wall(), &self.snapshot.topology, &self.hostname);
                if let (Some(AttemptError { progress: Progress::Sent, .. }), Some(last)) =
                    (failed, self.journey.failed.last())
                {
                    front.recall.failed(front.clock.now(), self.key, &last.region);
                }
                if self.bond.is_session() && reached_nobody(failed) { session_lost() } else { Complaint::of(failed) }
            }
        };
        // The official SDKs of models repeat what failed, and are meant to. A tool call acts.
        let has_reached = failed.is_some_and(|error| error.progress == Progress::Sent);
        complaint.is_final = has_reached && !self.terms.is_safe && self.terms.dialect != Dialect::OpenAi;
        let happened = headers::happened(&self.snapshot.here.name, &self.journey.failed, None);
        let happened = (!happened.is_empty()).then_some(happened.as_str());
        self.remember(None, complaint.status);
        let is_call = matches!(self.bond, Bond::Session(_)) && !complaint.closes;
        let call_id = if is_call { call_id(body).await } else { None };
        complaint.to_call(call_id).answer(self.terms.dialect, &self.request_id, happened, front.roll())
    }

    fn remember(&self, target: Option<Target>, status: StatusCode) {
        let front = &self.connection.front;
        let now = front.clock.now();
        if let Some(target) = target {
            front.passes_on(&self.snapshot, &self.hostname, target.region);
        }
        front.counters.recent.push(Recent {
            at: now,
            hostname: self.hostname.clone(),
            client: Arc::clone(&self.client),
            method: self.method.clone(),
            wish: target.and_then(|target| self.terms.ties.wish(&self.snapshot).word(target.region)),
            region: target.map(|target| self.snapshot.topology.region(target.region).name.clone()),
            status: status.as_u16(),
            attempts: self.attempts,
            tried: self.journey.failed.iter().map(|failed| failed.region.clone()).collect(),
            elapsed: now.since(self.began),
            request_id: self.request_id.clone(),
            link: self.connection.arrival.link.clone(),
            generation: self.snapshot.generation,
        });
        tracing::debug!(hostname = %self.hostname, client = %self.client.prefix, generation = self.snapshot.generation, attempt = self.attempts, version = ?self.version, private_link = self.connection.arrival.link.as_ref().map(tracing::field::display), "{} {}", self.method, status.as_u16());
    }
}

/// The request's body; `is_stream`: by HTTP/2. What is said in a call comes when there is something to say, and not at any rate.
fn source(connection: &Connection, snapshot: &Snapshot, terms: &Terms, is_stream: bool, body: Incoming) -> Source {
    let front = &connection.front;
    let body = Source::new(body, front.clock, &front.counters, front.replay_bytes_max).of_stream(is_stream);
    if terms.protocol == Protocol::Grpc { body.at_leisure(snapshot.topology.forward.stream_idle_timeout) } else { body }
}

/// Whether no endpoint could be reached, through no fault of this node and not for the client's haste.
fn reached_nobody(failed: Option<AttemptError>) -> bool {
    failed.is_none_or(|error| error.progress == Progress::Unsent && !matches!(error.fault, Fault::Local | Fault::Late))
}
