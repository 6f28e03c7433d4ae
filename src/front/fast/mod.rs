//! The fast path: a simple HTTP/1.1 request to an endpoint in the clear, and its answer, moved as bytes.
//!
//! It decides nothing that the whole way would decide otherwise, because it only ever succeeds: steering, failover and what is
//! rewritten are the same functions, and whatever is not simple, or goes wrong before the client has seen a byte, goes
//! the whole way ([`request`](super::request)), from the first byte of the request, with the attempts made so far.

pub mod ask;
pub mod head;
mod deliver;
mod preface;
pub mod relay;
pub mod rewound;
pub mod rooms;
mod words;

use super::attempt::{Vigil, may_repeat};
use super::connection::{Connection, Resumed};
use super::events::Manner;
use super::failover::{Failover, Situation, Step, is_evidence, is_failure, reason_to_go_on};
use super::guard::{Guard, Talk};
use super::journey::{Journey, Made, Target};
use super::lifetime::given_up;
use super::reply::retry_after_ms;
use crate::client::Asker;
use crate::control::Event;
use crate::counters::record::Decided;
use crate::counters::records::DecisionId;
use crate::health::Fault;
use crate::limits::HEADER_BYTES_MAX;
use crate::load::InFlight;
use crate::moment::Moment;
use crate::names::Hostname;
use crate::snapshot::Snapshot;
use crate::steering::{Client, Wish};
use crate::topology::RegionIndex;
use crate::upstream::pool::{Bare, Pool};
use crate::upstream::{AttemptError, Progress};
use ask::Asking;
use head::{Answered, Asked, Look};
use http::HeaderValue;
use preface::Preface;
use rewound::Rewound;
use rooms::{Rooms, poll_append, poll_first};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use words::{date_at, without_port};

/// A body that is not there so soon after its head goes the whole way: the region may have an answer without it.
const BODY_WAIT: Duration = Duration::from_millis(10);
/// Requests read ahead while one is served, octets; more is left in the kernel.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

/// One client's connection, as long as its requests are simple.
pub struct Fast<'a, S> {
    connection: &'a Connection,
    talk: &'a Arc<Talk>,
    ending: watch::Receiver<bool>,
    client: Guard<S>,
    /// What came from the client and is not served yet.
    input: Vec<u8>,
    rooms: Rooms,
    preface: Preface,
    patience: ask::Patience,
}

/// What becomes of the connection.
enum Next {
    /// Another request.
    Request,
    /// Its end.
    End,
    /// The whole way, from the request that is in the input.
    Whole,
}

/// One request's circumstances.
struct Errand {
    began: Moment,
    snapshot: Arc<Snapshot>,
    hostname: Hostname,
    client: Arc<Client>,
    target: Target,
    pool: Arc<Pool>,
    is_safe: bool,
    commit_hold: Duration,
    request_id: HeaderValue,
    attempts: u32,
    /// What its decision is called.
    id: DecisionId,
    /// Regions that had all the requests they may have.
    full: Vec<RegionIndex>,
    /// The class it belongs to.
    class: Arc<str>,
    has_residency: bool,
    /// Its path, where somebody writes it down.
    path: Option<Box<str>>,
    /// When the attempt under way, or the last, began, and when it had a connection.
    tried_at: Moment,
    sent_at: Moment,
    /// When the head of its answer came.
    headed_at: Moment,
}

impl Errand {
    /// What its decision was made from: such requests wish for nothing.
    fn decided(&self) -> Decided {
        Decided { generation: self.snapshot.generation, full: self.full.clone(), ..Decided::default() }
    }
}

/// Serves simple requests on `client` until one is not simple: then the connection is given back, with everything
/// that was read and not served. `None`: the connection is over.
pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection,
    talk: &Arc<Talk>,
    client: Guard<S>,
) -> Option<Rewound<Guard<S>>> {
    let mut fast = Fast {
        connection,
        talk,
        ending: connection.lifetime.ending(),
        client,
        input: Vec::new(),
        rooms: Rooms::default(),
        preface: Preface::default(),
        patience: ask::Patience::default(),
    };
    loop {
        let next = match fast.next_request().await {
            Ok(asked) => {
                let busy = fast.talk.busy();
                let next = fast.exchange(asked).await;
                drop(busy);
                next
            }
            Err(next) => next,
        };
        match next {
            Next::Request => fast.rest(),
            Next::End => return None,
            Next::Whole => return Some(Rewound::new(fast.input, fast.client)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Fast<'_, S> {
    /// An idle connection keeps no rooms.
    fn rest(&mut self) {
        if self.input.is_empty() {
            self.rooms.input = std::mem::take(&mut self.input);
            self.connection.front.give_back(std::mem::take(&mut self.rooms));
        }
    }

    /// The next request, whole with its body, if it is simple.
    async fn next_request(&mut self) -> Result<Asked, Next> {
        loop {
            if !self.input.is_empty() {
                if self.talk.is_violated() {
                    return Err(Next::Whole);
                }
                match head::look(&self.input, std::mem::take(&mut self.rooms.lines)) {
                    Look::Simple(asked) => return self.with_body(asked).await,
                    Look::NotSimple => return Err(Next::Whole),
                    Look::Partial if self.input.len() > HEADER_BYTES_MAX => return Err(Next::Whole),
                    Look::Partial => {}
                }
            }
            let is_idle = self.input.is_empty();
            let (front, client) = (&self.connection.front, &mut self.client);
            let (rooms, input) = (&mut self.rooms, &mut self.input);
            let read = std::future::poll_fn(|cx| poll_first(cx, front, client, rooms, input));
            let read = tokio::select! {
                biased;
                read = read => read,
                () = given_up(&mut self.ending), if is_idle => return Err(Next::End),
            };
            match read {
                Ok(0) | Err(_) if is_idle => return Err(Next::End),
                Ok(0) | Err(_) => return Err(Next::Whole),
                Ok(_) => {}
            }
        }
    }

    async fn with_body(&mut self, asked: Asked) -> Result<Asked, Next> {
        let whole = asked.head_bytes + asked.body_bytes;
        if self.input.len() >= whole {
            return Ok(asked);
        }
        let (front, client, input) = (&self.connection.front, &mut self.client, &mut self.input);
        let rest = async {
            while input.len() < whole {
                let read = std::future::poll_fn(|cx| poll_append(cx, client, &front.scratch, input)).await;
                if !matches!(read, Ok(read) if read > 0) {
                    return false;
                }
            }
            true
        };
        match tokio::time::timeout(BODY_WAIT, rest).await {
            Ok(true) => Ok(asked),
            _ => Err(Next::Whole),
        }
    }

    /// One request to its end.
    async fn exchange(&mut self, asked: Asked) -> Next {
        let Some(mut errand) = self.errand(&asked) else { return self.leave(asked, Next::Whole) };
        let mut failover = Failover::new(errand.began, &errand.snapshot.topology.forward);
        let mut is_fresh = false;
        loop {
            errand.attempts += 1;
            errand.tried_at = if errand.attempts == 1 { errand.began } else { self.connection.front.clock.now() };
            let state = errand.snapshot.endpoint(errand.target.endpoint);
            let load = Arc::clone(&state.load);
            let in_flight = InFlight::at(&load);
            let (error, answered) = match self.attempt(&asked, &mut errand, is_fresh).await {
                Ok((stream, answered)) => {
                    load.answered();
                    self.notice_status(&errand, &answered);
                    match reason_to_go_on(answered.status, answered.unserved.as_ref(), errand.is_safe) {
                        None => return self.deliver(asked, &mut errand, stream, answered, in_flight).await,
                        Some(error) => (error, Some((stream, answered))),
                    }
                }
                Err(None) => {
                    self.abandoned(&asked, &mut errand);
                    return Next::End;
                }
                Err(Some(error)) => {
                    if is_evidence(error) {
                        load.failed();
                        self.tell(&errand, error.fault);
                    }
                    (error, None)
                }
            };
            let front = &self.connection.front;
            let situation = Situation { is_safe: errand.is_safe, is_replayable: true };
            let step = failover.after(front.clock.now(), error, situation);
            let Errand { snapshot, target, hostname, client, .. } = &errand;
            let may_repeat = || may_repeat(front, snapshot, *target, hostname, client, error);
            if step == Step::Again && may_repeat() {
                is_fresh = true;
                continue;
            }
            let mut journey = Journey::default();
            let elapsed = front.clock.now().since(errand.tried_at);
            let (number, after) = (errand.attempts, errand.tried_at.since(errand.began));
            let made = Made { target: *target, decided: errand.decided(), number, after, elapsed };
            journey.failed_at(snapshot, made, error.fault, step == Step::NextRegion);
            front.counters.records.decided_by(snapshot);
            let has_next = || {
                let snapshot = front.published.load();
                journey.next(&snapshot, hostname, client, Wish::default(), front.roll()).is_some()
            };
            let is_over = matches!(step, Step::Stop | Step::Again) || !has_next() || !may_repeat();
            if let Some((stream, answered)) = answered {
                if is_over {
                    // Nobody else is left: the region's own words say more than ours would.
                    return self.deliver(asked, &mut errand, stream, answered, in_flight).await;
                }
                journey.said(answered.unserved.and_then(|unserved| unserved.reason));
            }
            if !is_over {
                front.counters.door.failed_over(error.fault);
            }
            let Errand { began, request_id, attempts, id, .. } = errand;
            let (id, error) = (Some(id), Some(error));
            self.connection.resume(Resumed { began, request_id, journey, failover, attempts, error, is_over, id });
            return self.leave(asked, Next::Whole);
        }
    }

    fn leave(&mut self, asked: Asked, next: Next) -> Next {
        self.rooms.lines = asked.lines;
        next
    }

    /// Where the request goes; `None` if the whole way has to see to it.
    fn errand(&mut self, asked: &Asked) -> Option<Errand> {
        let connection = self.connection;
        let front = &connection.front;
        // What is said to regions of a trace differs with each attempt.
        if front.counters.sampler.is_some() {
            return None;
        }
        let snapshot = front.published.load_full();
        let topology = &snapshot.topology;
        let arrival = &connection.arrival;
        if arrival.link.as_ref().is_some_and(|link| topology.private_links.contains_key(link)) {
            return None;
        }
        let asker = Asker { address: arrival.peer, proxies: Vec::new() };
        if topology.forward.trusted_proxies.iter().any(|network| network.contains(&asker.address)) {
            return None;
        }
        let text = |(start, end): (usize, usize)| std::str::from_utf8(&self.input[start..end]).ok();
        let host = without_port(text(asked.host)?);
        let (hostname, route) = topology.route_by_hostname.get_key_value(host)?;
        // Who shows a certificate is introduced at length, and who comes the wrong way is told so.
        if connection.arrival.client_certificate().is_some() || !connection.may_ask(&snapshot, *route) {
            return None;
        }
        let path = text(asked.target)?;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let class = topology.class(hostname, path);
        if !class.is_plain() || Manner::of(class).follows() || asked.patience.against(&topology.forward).is_some() {
            return None;
        }
        let is_safe = class.is_safe(&asked.method, asked.has_idempotency_key);
        let (commit_hold, hostname, route) = (class.commit_hold, hostname.clone(), *route);
        let name = Arc::clone(&class.name);
        let records = &front.counters.records;
        let path = records.has_listeners().then(|| path.into());
        let (client, decision) = connection.decide(&snapshot, route, &asker, Wish::default());
        let target = Journey::default().first(&snapshot, &decision, front.roll())?;
        let pool = front.upstream.pool(&snapshot, target.endpoint, &hostname);
        if !pool.is_plain() {
            return None;
        }
        let given = asked.request_id.and_then(|(start, end)| HeaderValue::from_bytes(&self.input[start..end]).ok());
        let request_id = given.unwrap_or_else(|| front.new_request_id());
        let began = front.clock.now();
        self.preface.follow(&snapshot, route, target.region, &hostname, &asker, connection);
        Some(Errand {
            began,
            hostname,
            client,
            target,
            pool,
            is_safe,
            commit_hold,
            request_id,
            attempts: 0,
            id: records.next(),
            full: Decided::of(&decision).full,
            class: name,
            has_residency: topology.route(route).residency.is_some(),
            path,
            tried_at: began,
            sent_at: began,
            headed_at: began,
            snapshot,
        })
    }

    /// One attempt, up to the head of the answer, which is in the reply's room then as the client is to read it. `Err(None)`:
    /// the client has gone.
    async fn attempt(
        &mut self,
        asked: &Asked,
        errand: &mut Errand,
        is_fresh: bool,
    ) -> Result<(Bare, Answered), Option<AttemptError>> {
        let front = &self.connection.front;
        let state = errand.snapshot.endpoint(errand.target.endpoint);
        let idle = if is_fresh { None } else { errand.pool.idle_bare(errand.began) };
        let was_reused = idle.is_some();
        let mut bare = match idle {
            Some(bare) => bare,
            None => {
                let timeout = errand.snapshot.topology.forward.connect_timeout;
                let opened = errand.pool.open_bare(&state.addresses, timeout).await;
                opened.map_err(|fault| Some(AttemptError { fault, progress: Progress::Unsent, was_reused: false }))?
            }
        };
        front.sends(&errand.snapshot, &errand.hostname, errand.target.region);
        errand.sent_at = front.clock.now();
        self.write_request(asked, errand);
        self.rooms.answer.clear();
        self.rooms.reply.clear();
        let remarks = head::Remarks {
            before_status: &self.preface.before_status,
            after_status: &self.preface.after_status,
            request_id: errand.request_id.as_bytes(),
            decision: errand.id.digits(),
            date: &|| date_at(front.clock.wall()),
            retry_after_ms: &|| retry_after_ms(front.roll()),
            closes: asked.closes,
        };
        let vigil = Vigil {
            published: &front.published,
            endpoint: state.id,
            hostname: &errand.hostname,
            client: &errand.client,
            is_safe: errand.is_safe,
            first_byte_timeout: errand.snapshot.topology.forward.first_byte_timeout,
        };
        let mut asking = Asking {
            front,
            client: &mut self.client,
            region: &mut bare.stream,
            output: &self.rooms.output,
            written: 0,
            input: &mut self.input,
            asked_bytes: asked.head_bytes + asked.body_bytes,
            lifetime: &self.connection.lifetime,
            answer: &mut self.rooms.answer,
            reply: &mut self.rooms.reply,
            remarks,
            is_head: asked.method == http::Method::HEAD,
            was_reused,
            vigil,
            began: errand.began,
        };
        let (mut answered, mut at) = asking.run(&mut self.patience).await?;
        if answered.is_event_stream && !errand.commit_hold.is_zero() {
            Box::pin(asking.first_event(&answered, errand.commit_hold)).await?;
            // It is the region that is waited for.
            at = front.clock.now();
        }
        // An answer to a request that is not all sent: the rest of it would be in the way of the next.
        answered.is_kept &= asking.written == self.rooms.output.len();
        errand.headed_at = at;
        Ok((bare, answered))
    }

    fn write_request(&mut self, asked: &Asked, errand: &Errand) {
        let out = &mut self.rooms.output;
        let input = &self.input;
        out.clear();
        out.extend_from_slice(asked.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(&input[asked.target.0..asked.target.1]);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        head::field(out, b"host", errand.pool.authority().as_bytes());
        for (start, end) in &asked.lines {
            out.extend_from_slice(&input[*start..*end]);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.preface.toward_region);
        head::field(out, b"x-request-id", errand.request_id.as_bytes());
        out.extend_from_slice(b"x-anyfront-attempt: ");
        head::decimal(out, u64::from(errand.attempts));
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&input[asked.head_bytes..asked.head_bytes + asked.body_bytes]);
    }

    /// A status that means failure is told, as on the whole way.
    fn notice_status(&self, errand: &Errand, answered: &Answered) {
        if answered.unserved.is_none() && is_failure(answered.status) {
            self.tell(errand, Fault::Status(answered.status));
        }
    }

    fn tell(&self, errand: &Errand, fault: Fault) {
        let endpoint = errand.snapshot.endpoint(errand.target.endpoint).id;
        self.connection.front.tell(Event::Failed { endpoint, fault, prefix: errand.client.hash() });
    }
}
