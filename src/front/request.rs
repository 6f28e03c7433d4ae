//! One request from start to end.

mod ending;

use super::affinity::Bond;
use super::attempt;
use super::connection::{Connection, Resumed};
use super::failover::{Failover, Situation, Step, is_evidence, is_failure, reason_to_go_on};
use super::framing::Violation;
use super::headers::{self, Introduction};
use super::journey::{Journey, Made, Target};
use super::prepare::{Asked, Prepared, prepare, refusal};
use super::recall::{Key, Who};
use super::replay::{Meter, Source};
use super::reply::invite_later;
use super::stream::Reply;
use super::terms::{Protocol, Terms};
use super::tunnel::Offer;
use crate::client::asker;
use crate::control::Event;
use crate::counters::DoorCounters;
use crate::counters::record::Decided;
use crate::counters::records::DecisionId;
use crate::counters::trace::Trace;
use crate::health::Fault;
use crate::moment::Moment;
use crate::names::Hostname;
use crate::snapshot::{EndpointState, Snapshot};
use crate::steering::Client;
use crate::upstream::AttemptError;
use crate::upstream::answer::Answer;
use attempt::Limit;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Answers one request.
///
/// # Errors
/// Never: what goes wrong becomes an answer, or the end of one.
pub async fn serve(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let (busy, violation) = connection.talk.begin();
    let is_head = request.method() == Method::HEAD;
    let asked = (request.version(), headers::has_token(request.headers(), &header::CONNECTION, "close"));
    let (id, mut answer) = Exchange::run(&connection, request, violation).await;
    let id = HeaderValue::from_bytes(&id.digits()).expect("hexadecimal digits are visible");
    answer.headers_mut().insert(headers::DECISION, id);
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
    /// What its decision is called.
    id: DecisionId,
    /// The class it belongs to.
    class: Arc<str>,
    /// Its path, where somebody writes it down.
    path: Option<Box<str>>,
    has_residency: bool,
    /// What the attempt under way, or the last, was decided by.
    decided: Decided,
    /// How long the region that answers took to.
    first_byte: Option<Duration>,
    octets_up: Meter,
    /// Its place in a trace, where traces are told.
    trace: Option<Trace>,
    /// Whether the record of it has been handed on.
    is_told: bool,
}

/// How a request begins.
struct Start {
    /// Where its first attempt goes, if anybody can be asked.
    first: Option<Target>,
    failover: Failover,
    /// How the last attempt failed, if there was one.
    error: Option<AttemptError>,
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
    ) -> (DecisionId, Response<Reply>) {
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
        let prepared = match prepare(connection, &snapshot, violation, &mut parts) {
            Ok(prepared) => prepared,
            Err(refused) => {
                let id = front.counters.records.next_unsteered();
                let asked = Asked { id, began, parts: &parts, request_id: &request_id };
                return (id, refusal(connection, &snapshot, refused, asked, body).await);
            }
        };
        let is_websocket = prepared.terms.protocol == Protocol::WebSocket;
        let offer = is_websocket.then(|| Offer::of(&mut parts)).flatten();
        let body = source(connection, &snapshot, &prepared.terms, parts.version == Version::HTTP_2, body);
        let resumed = resumed.unwrap_or_else(|| Resumed::nothing(began, &request_id, &snapshot.topology.forward));
        let (mut exchange, start) = Self::begin(connection, snapshot, prepared, &parts, resumed, body.meter());
        let id = exchange.id;
        let carried = match start.first {
            Some(first) => exchange.carry_in_time(first, start.failover, &parts, &body).await,
            None => Err(start.error),
        };
        let answer = match carried {
            Ok((target, answer)) => exchange.pass_on(target, answer, offer),
            Err(failed) => exchange.give_up(failed, &body).await,
        };
        (id, answer)
    }

    /// Decides where the first attempt goes, or the next of a request that has a past.
    fn begin(
        connection: &'a Connection,
        snapshot: Arc<Snapshot>,
        prepared: Prepared,
        parts: &Parts,
        resumed: Resumed,
        octets_up: Meter,
    ) -> (Self, Start) {
        let front = &connection.front;
        let Prepared { route, hostname, mut terms, bond } = prepared;
        let Resumed { began, request_id, journey, failover, attempts, error, is_over, id } = resumed;
        let asker = asker(connection.arrival.peer, &parts.headers, &snapshot.topology.forward.trusted_proxies);
        let key = front.recall.key(Who::of(asker.address, parts, &hostname));
        if terms.is_another_try {
            terms.ties.avoid = front.recall.regions(began, key);
        }
        let wish = terms.ties.wish(&snapshot);
        let (client, decision) = connection.decide(&snapshot, route, &asker, wish);
        let introduction = connection.introduce(&snapshot, asker, &hostname, parts.version);
        let decided = Decided::of(&decision);
        let first = match error {
            None if bond.is_lost(&decision) => None,
            None => journey.first(&snapshot, &decision, front.roll()).map(|target| (target, decided.clone())),
            Some(_) if is_over => None,
            Some(_) => journey.next(&snapshot, &hostname, &client, wish, front.roll()),
        };
        let (first, decided) = first.map_or((None, decided), |(target, decided)| (Some(target), decided));
        let exchange = Exchange {
            connection,
            began,
            deadline: terms.timeout.map(|timeout| began + timeout),
            is_late: false,
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
            id: id.unwrap_or_else(|| front.counters.records.next()),
            class: Arc::clone(&snapshot.topology.class(&hostname, parts.uri.path()).name),
            path: front.counters.records.has_listeners().then(|| parts.uri.path().into()),
            has_residency: snapshot.topology.route(route).residency.is_some(),
            hostname,
            decided,
            first_byte: None,
            octets_up,
            trace: front.counters.sampler.map(|sampler| front.trace(&parts.headers, sampler)),
            is_told: false,
            snapshot,
        };
        (exchange, Start { first, failover, error })
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
            let tried_at = front.clock.now();
            let sent_at = AtomicU64::new(tried_at.as_nanos());
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
                sent_at: &sent_at,
                trace: self.trace,
            };
            let result = sending.run().await;
            let answered_at = front.clock.now();
            self.first_byte = Some(answered_at.since(Moment::from_nanos(sent_at.load(Relaxed))));
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
            let made = self.made(target, tried_at, answered_at);
            let step = self.step_after(made, (error, reason), &mut failover, body);
            is_fresh = step == Step::Again;
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
                front.counters.door.failed_over(error.fault);
            }
        }
    }

    /// The attempt that was made, as it is remembered.
    fn made(&self, target: Target, tried_at: Moment, ended_at: Moment) -> Made {
        let (after, elapsed) = (tried_at.since(self.began), ended_at.since(tried_at));
        Made { target, decided: self.decided.clone(), number: self.attempts, after, elapsed }
    }

    /// What comes after an attempt that failed with `error`; `reason`: in the region's own words.
    fn step_after(
        &mut self,
        made: Made,
        (error, reason): (AttemptError, Option<Box<str>>),
        failover: &mut Failover,
        body: &Source,
    ) -> Step {
        let situation = Situation { is_safe: self.terms.is_safe, is_replayable: body.is_replayable() };
        let step = failover.after(self.connection.front.clock.now(), error, situation);
        let is_refused = step == Step::Again && !self.may_repeat(&self.snapshot, made.target, error);
        let step = if is_refused { Step::Stop } else { step };
        tracing::debug!(hostname = %self.hostname, attempt = self.attempts, reason = error.fault.as_str(), ?step, "an attempt failed");
        if step != Step::Again {
            self.journey.failed_at(&self.snapshot, made, error.fault, step == Step::NextRegion);
            self.journey.said(reason);
        }
        step
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
        let next = next.filter(|(next, _)| self.is_in_time(*next, body) && self.may_repeat(&before, target, error));
        let Some((next, decided)) = next else {
            // What is told now is about the attempt that was made, and its numbers mean something in its own snapshot only.
            self.snapshot = before;
            return None;
        };
        front.counters.records.decided_by(&before);
        self.decided = decided;
        Some(next)
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
}

/// The request's body; `is_stream`: by HTTP/2. What is said in a call comes when there is something to say, and not at any rate.
fn source(connection: &Connection, snapshot: &Snapshot, terms: &Terms, is_stream: bool, body: Incoming) -> Source {
    let front = &connection.front;
    let body = Source::new(body, front.clock, &front.counters, front.replay_bytes_max).of_stream(is_stream);
    if terms.protocol == Protocol::Grpc { body.at_leisure(snapshot.topology.forward.stream_idle_timeout) } else { body }
}
