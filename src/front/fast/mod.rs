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

use super::attempt::Vigil;
use super::connection::{Connection, Resumed};
use super::course::{Body, Course, Then};
use super::events::Manner;
use super::guard::{Guard, Talk};
use super::lifetime::given_up;
use super::reply::retry_after_ms;
use super::terms::Terms;
use crate::client::Asker;
use crate::counters::records::DecisionId;
use crate::limits::HEADER_BYTES_MAX;
use crate::load::InFlight;
use crate::moment::Moment;
use crate::steering::Wish;
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
    course: Course,
    pool: Arc<Pool>,
    request_id: HeaderValue,
    /// What its decision is called.
    id: DecisionId,
    /// The class it belongs to.
    class: Arc<str>,
    has_residency: bool,
    /// Its path, where somebody writes it down.
    path: Option<Box<str>>,
    /// When the attempt under way, or the last, had a connection.
    sent_at: Moment,
    /// When the head of its answer came.
    headed_at: Moment,
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
        let front = &self.connection.front;
        loop {
            let course = &mut errand.course;
            course.sets_out(if course.attempts == 0 { course.began } else { front.clock.now() });
            let in_flight = InFlight::at(&course.endpoint().load);
            let (failure, answered) = match self.attempt(&asked, &mut errand).await {
                Ok((stream, answered)) => {
                    let judged = errand.course.answered(answered.status, answered.unserved.as_ref());
                    front.tell(judged.tells);
                    match judged.failure {
                        None => return self.deliver(asked, &mut errand, stream, answered, in_flight).await,
                        Some(failure) => (failure, Some((stream, answered, in_flight))),
                    }
                }
                Err(None) => {
                    self.abandoned(&asked, &mut errand);
                    return Next::End;
                }
                Err(Some(error)) => {
                    drop(in_flight);
                    let (failure, tells) = errand.course.lost(error);
                    front.tell(tells);
                    (failure, None)
                }
            };
            let error = failure.error;
            // All of the body is in the input.
            let body = Body { is_replayable: true, ended_at: Some(errand.course.began) };
            let over = match (front.goes_on(&mut errand.course, failure, front.clock.now(), body), answered) {
                (Then::Again, _) => continue,
                (Then::Go(_), _) => None,
                // Nobody else is left: the region's own words say more than ours would.
                (Then::Own(_), Some((stream, answered, in_flight))) => {
                    return self.deliver(asked, &mut errand, stream, answered, in_flight).await;
                }
                (Then::Own(_) | Then::GiveUp(_), _) => Some(error),
            };
            let Errand { course, request_id, id, .. } = errand;
            self.connection.resume(Resumed { request_id, id, course, over });
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
        let has_residency = topology.route(route).residency.is_some();
        let (client, decision) = connection.decide(&snapshot, route, &asker, Wish::default());
        let began = front.clock.now();
        let terms = Terms { is_safe, commit_hold, ..Terms::default() };
        let mut course = Course::begin(began, snapshot, &decision, (hostname, client), terms);
        let target = course.first(&decision, front.roll())?;
        let pool = front.upstream.pool(&course.snapshot, target.endpoint, &course.hostname);
        if !pool.is_plain() {
            return None;
        }
        let given = asked.request_id.and_then(|(start, end)| HeaderValue::from_bytes(&self.input[start..end]).ok());
        let request_id = given.unwrap_or_else(|| front.new_request_id());
        self.preface.follow(&course.snapshot, route, target.region, &course.hostname, &asker, connection);
        Some(Errand {
            course,
            pool,
            request_id,
            id: records.next(),
            class: name,
            has_residency,
            path,
            sent_at: began,
            headed_at: began,
        })
    }

    /// One attempt, up to the head of the answer, which is in the reply's room then as the client is to read it. `Err(None)`:
    /// the client has gone.
    async fn attempt(&mut self, asked: &Asked, errand: &mut Errand) -> Result<(Bare, Answered), Option<AttemptError>> {
        let front = &self.connection.front;
        let (course, state) = (&errand.course, errand.course.endpoint());
        let idle = if course.is_fresh() { None } else { errand.pool.idle_bare(course.began) };
        let was_reused = idle.is_some();
        let mut bare = match idle {
            Some(bare) => bare,
            None => {
                let timeout = course.snapshot.topology.forward.connect_timeout;
                let opened = errand.pool.open_bare(&state.addresses, timeout).await;
                opened.map_err(|fault| Some(AttemptError { fault, progress: Progress::Unsent, was_reused: false }))?
            }
        };
        front.sends(&course.snapshot, &course.hostname, course.target().region);
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
        let vigil = Vigil { published: &front.published, course, is_safe: course.terms.is_safe };
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
            began: course.began,
        };
        let (mut answered, mut at) = asking.run(&mut self.patience).await?;
        let commit_hold = course.terms.commit_hold;
        if answered.is_event_stream && !commit_hold.is_zero() {
            Box::pin(asking.first_event(&answered, commit_hold)).await?;
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
        head::decimal(out, u64::from(errand.course.attempts));
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&input[asked.head_bytes..asked.head_bytes + asked.body_bytes]);
    }
}
