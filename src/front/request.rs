//! One request from start to end.

mod ending;

use super::affinity::Bond;
use super::attempt;
use super::connection::{Connection, Resumed};
use super::course::{Answered, Body, Course, Failure, Then};
use super::failover::is_failure;
use super::framing::Violation;
use super::headers::{self, Introduction};
use super::prepare::{Asked, Prepared, prepare, refusal};
use super::recall::{Key, Who};
use super::replay::{Meter, Source};
use super::reply::invite_later;
use super::stream::Reply;
use super::terms::{Protocol, Terms};
use super::tunnel::Offer;
use crate::client::asker;
use crate::counters::DoorCounters;
use crate::counters::records::DecisionId;
use crate::counters::trace::Trace;
use crate::moment::Moment;
use crate::snapshot::Snapshot;
use crate::upstream::AttemptError;
use crate::upstream::answer::Answer;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version, header};
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

/// A request as it comes, beside its head.
struct Come {
    began: Moment,
    request_id: HeaderValue,
    /// Its past, if it has one.
    resumed: Option<Box<Resumed>>,
    octets_up: Meter,
}

/// A request that was understood, and everything needed to carry it.
struct Exchange<'a> {
    connection: &'a Connection,
    course: Course,
    bond: Bond,
    request_id: HeaderValue,
    method: Method,
    version: Version,
    introduction: Arc<Introduction>,
    /// What its client is remembered by if it is failed.
    key: Key,
    /// Whether the client's own time was up before there was an answer.
    is_late: bool,
    /// What its decision is called.
    id: DecisionId,
    /// The class it belongs to.
    class: Arc<str>,
    /// Its path, where somebody writes it down.
    path: Option<Box<str>>,
    has_residency: bool,
    /// How long the region that answers took to.
    first_byte: Option<Duration>,
    octets_up: Meter,
    /// Its place in a trace, where traces are told.
    trace: Option<Trace>,
    /// Whether the record of it has been handed on.
    is_told: bool,
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
        let began = resumed.as_ref().map_or_else(|| front.clock.now(), |resumed| resumed.course.began);
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
        let come = Come { began, request_id, resumed, octets_up: body.meter() };
        let (mut exchange, begun) = Self::begin(connection, &snapshot, prepared, &parts, come);
        let id = exchange.id;
        let carried = match begun {
            Ok(()) => exchange.carry_in_time(&parts, &body).await,
            Err(failed) => Err(failed),
        };
        let answer = match carried {
            Ok(answer) => exchange.pass_on(answer, offer),
            Err(failed) => exchange.give_up(failed, &body).await,
        };
        (id, answer)
    }

    /// Decides where the first attempt goes, unless that of a request that has a past is decided; or why there is none.
    fn begin(
        connection: &'a Connection,
        snapshot: &Arc<Snapshot>,
        prepared: Prepared,
        parts: &Parts,
        come: Come,
    ) -> (Self, Result<(), Option<AttemptError>>) {
        let front = &connection.front;
        let Prepared { route, hostname, mut terms, bond } = prepared;
        let Come { began, request_id, resumed, octets_up } = come;
        let asker = asker(connection.arrival.peer, &parts.headers, &snapshot.topology.forward.trusted_proxies);
        let key = front.recall.key(Who::of(asker.address, parts, &hostname));
        let class = Arc::clone(&snapshot.topology.class(&hostname, parts.uri.path()).name);
        let has_residency = snapshot.topology.route(route).residency.is_some();
        let (course, id, begun) = if let Some(resumed) = resumed {
            let Resumed { mut course, over, id, .. } = *resumed;
            course.terms = terms;
            (course, id, over.map_or(Ok(()), |error| Err(Some(error))))
        } else {
            terms.heed(&front.recall, began, key);
            let (client, decision) = connection.decide(snapshot, route, &asker, terms.ties.wish(snapshot));
            let mut course = Course::begin(began, Arc::clone(snapshot), &decision, (hostname.clone(), client), terms);
            let is_somewhere = !bond.is_lost(&decision) && course.first(&decision, front.roll()).is_some();
            (course, front.counters.records.next(), is_somewhere.then_some(()).ok_or(None))
        };
        let exchange = Exchange {
            connection,
            introduction: connection.introduce(snapshot, asker, &hostname, parts.version),
            course,
            bond,
            request_id,
            method: parts.method.clone(),
            version: parts.version,
            key,
            is_late: false,
            id,
            class,
            path: front.counters.records.has_listeners().then(|| parts.uri.path().into()),
            has_residency,
            first_byte: None,
            octets_up,
            trace: front.counters.sampler.map(|sampler| front.trace(&parts.headers, sampler)),
            is_told: false,
        };
        (exchange, begun)
    }

    /// The same within the client's own time.
    async fn carry_in_time(&mut self, parts: &Parts, body: &Source) -> Result<Response<Answer>, Option<AttemptError>> {
        let Some(deadline) = self.course.deadline() else { return self.carry(parts, body).await };
        let until = self.connection.front.clock.instant(deadline);
        let carried = Box::pin(tokio::time::timeout_at(until, self.carry(parts, body))).await;
        carried.unwrap_or_else(|_| {
            self.is_late = true;
            Err(None)
        })
    }

    /// Attempt after attempt until one is answered or none is left.
    async fn carry(&mut self, parts: &Parts, body: &Source) -> Result<Response<Answer>, Option<AttemptError>> {
        let front = Arc::clone(&self.connection.front);
        loop {
            let set_out_at = front.clock.now();
            self.course.sets_out(set_out_at);
            let sent_at = AtomicU64::new(set_out_at.as_nanos());
            let sending = attempt::Sending {
                front: &front,
                course: &self.course,
                introduction: &self.introduction,
                request_id: &self.request_id,
                parts,
                body,
                limit: self.course.limit(self.known(body), |hostname, region| front.budgets.of(hostname, region)),
                sent_at: &sent_at,
                trace: self.trace,
            };
            let mut result = sending.run().await;
            let now = front.clock.now();
            self.first_byte = Some(now.since(Moment::from_nanos(sent_at.load(Relaxed))));
            self.learn_safety(&result, body);
            if let (Err(error), Some(_)) = (&result, body.failed()) {
                return Err(Some(*error));
            }
            let Some(failure) = self.judge(now, &mut result) else { return result.map_err(Some) };
            let (error, known) = (failure.error, self.known(body));
            let then = front.goes_on(&mut self.course, failure, now, known);
            tracing::debug!(hostname = %self.course.hostname, attempt = self.course.attempts, reason = error.fault.as_str(), then = then.as_str(), "an attempt failed");
            match then {
                Then::Again | Then::Go(_) => body.retract(),
                Then::Own(_) | Then::GiveUp(_) => return result.map_err(Some),
            }
        }
    }

    /// What the machine is told of the body.
    fn known(&self, body: &Source) -> Body {
        Body { is_replayable: body.is_replayable(), ended_at: body.ended_at(self.course.began) }
    }

    /// What only the body tells is looked at when an attempt has failed, and no sooner.
    fn learn_safety(&mut self, result: &Result<Response<Answer>, AttemptError>, body: &Source) {
        let terms = &mut self.course.terms;
        let has_failed = !matches!(result, Ok(answer) if !is_failure(answer.status().as_u16()));
        if has_failed && terms.body_may_tell {
            // An attempt that reached nobody has not read the body: the next one may.
            if let Some(whole) = body.whole() {
                terms.is_safe = terms.is_safe_with(|| Some(whole));
                terms.body_may_tell = false;
            }
        }
    }

    /// Why another region should be asked, unless the client is to have this answer.
    fn judge(&self, now: Moment, result: &mut Result<Response<Answer>, AttemptError>) -> Option<Failure> {
        let front = &self.connection.front;
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let (failure, tells) = self.course.lost(*error);
                front.tell(tells);
                return Some(failure);
            }
        };
        let unserved = headers::unserved(answer.headers());
        let Answered { failure, tells, succeeded } = self.course.answered(answer.status().as_u16(), unserved.as_ref());
        front.tell(tells);
        if let (None, Some(unserved)) = (&failure, unserved) {
            invite_later(answer.headers_mut(), &unserved, front.roll());
        }
        if succeeded {
            front.budgets.of(&self.course.hostname, self.course.region()).succeeded(now);
        }
        failure
    }
}

/// The request's body; `is_stream`: by HTTP/2. What is said in a call comes when there is something to say, and not at any rate.
fn source(connection: &Connection, snapshot: &Snapshot, terms: &Terms, is_stream: bool, body: Incoming) -> Source {
    let front = &connection.front;
    let body = Source::new(body, front.clock, &front.counters, front.replay_bytes_max).of_stream(is_stream);
    if terms.protocol == Protocol::Grpc { body.at_leisure(snapshot.topology.forward.stream_idle_timeout) } else { body }
}
