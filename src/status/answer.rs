//! What the admin address says: a request in, an answer out.
//!
//! Everything that is shown comes from one snapshot, loaded once for each answer. Errors are one JSON object with a
//! sentence in `error`.

use super::board::Board;
use super::dns::{Asked, Dns};
use super::drains::{DrainError, Operator, REASON_CHARACTERS_MAX, Wish};
use super::explain::Question;
use super::export::Told;
use super::findings::Findings;
use super::guard::{self, Token};
use super::history::HistoryView;
use super::incidents;
use super::keeper::{Ask, Denied, Granted};
use super::metrics::traffic::Requests;
use super::metrics::{self, Format};
use super::query::parameter;
use super::replay::Replay;
use super::subscribers::{PATH as SUBSCRIBERS, deliveries};
use super::view::{DecisionView, DrainView, Overview};
use crate::counters::Counters;
use crate::history;
use crate::limits::{ADMIN_BODY_BYTES_MAX, DECISIONS_MAX, HEADER_TIMEOUT};
use crate::moment::{Clock, Moment};
use crate::snapshot::{Override, Published, Snapshot, Target};
use crate::steering::decision::Exclusion;
use crate::steering::{Client, Query, steer};
use crate::subscriptions;
use crate::topology::link::PrivateLink;
use crate::topology::read::nearest;
use crate::topology::{EndpointIndex, RouteIndex, Topology};
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

mod findings;
mod subscribers;

/// Longest drain that ends by itself; a longer one is meant to stay.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What `GET /` says.
const INDEX: &str = include_str!("index.txt");
const PATHS: [&str; 10] =
    ["/", "/ready", "/live", "/regions", "/decisions", "/explain", "/metrics", "/nat-ips", "/headroom", "/report"];
/// Behind it a decision is called by its name.
const REPLAYED: &str = "/explain/";
const POSTED: [&str; 3] = ["/drain", "/undrain", "/reload"];

/// An answer on its way out.
pub type Answer = Response<Full<Bytes>>;

/// What answers need of the node. Shared by all connections.
#[derive(Debug)]
pub struct Desk {
    /// What the node believes.
    pub published: Published,
    /// What it has counted.
    pub counters: Counters,
    /// Time.
    pub clock: Clock,
    /// Since when it runs.
    pub started: Moment,
    /// What every request must carry, if anything.
    pub token: Option<Token>,
    /// Whether the node wants traffic.
    pub ready: watch::Receiver<bool>,
    /// Where wishes go.
    pub asks: mpsc::Sender<Ask>,
    /// The document of the addresses that regions call out from.
    pub nat_ips: watch::Receiver<Arc<str>>,
    /// Who knows DNS.
    pub dns: Dns,
    /// What has happened.
    pub history: history::desk::Desk,
    /// Headroom, and where requests were processed.
    pub findings: Findings,
    /// What everybody may see.
    pub board: Arc<Board>,
    /// Who is told of incidents.
    pub subscriptions: subscriptions::desk::Desk,
}

/// What `POST /drain` is given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainBody {
    /// `region:NAME`, `provider:NAME` or `endpoint:REGION/NAME`.
    pub target: String,
    /// Why; required for a drain.
    #[serde(default)]
    pub reason: String,
    /// For how long, seconds; nothing: until it is lifted.
    #[serde(default)]
    pub for_s: Option<u64>,
    /// Whether from its own hostname too.
    #[serde(default)]
    pub hard: bool,
    /// Who says so.
    #[serde(default)]
    pub who: String,
}

/// What `POST /reload` may be given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReloadBody {
    reason: String,
    who: String,
}

/// What `POST /drain` and `POST /undrain` answer, once it is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrainAnswer {
    /// What it was about.
    pub target: String,
    /// The drain, unless it was lifted.
    pub drain: Option<DrainView>,
    /// From which generation on.
    pub generation: u64,
    /// Hostnames whose regions changed.
    pub hostnames: Vec<Effect>,
}

/// What a drain, or its end, does to a hostname.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The hostname.
    pub name: String,
    /// Whether it is a region's own.
    pub regional: bool,
    /// Regions that may serve it no more.
    pub loses: Vec<String>,
    /// Regions that may serve it again.
    pub gains: Vec<String>,
    /// Regions that may serve it now; none: its requests are refused.
    pub left: Vec<String>,
}

/// A request that cannot be answered as asked.
#[derive(Debug)]
pub(super) struct Refused(StatusCode, String);

impl Desk {
    /// Answers one request from `peer`.
    pub async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let answered = match guard::admit(&parts, self.token.as_ref()) {
            Ok(()) => self.admitted(peer, &parts, body).await,
            Err(refusal) => Err(Refused(refusal.status, refusal.text.to_owned())),
        };
        let mut answer = answered.unwrap_or_else(Refused::answer);
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    async fn admitted(&self, peer: IpAddr, parts: &Parts, body: Incoming) -> Result<Answer, Refused> {
        let is_get = parts.method == Method::GET || parts.method == Method::HEAD;
        match parts.uri.path() {
            path if incidents::is_ours(path) => incidents::answer(self, peer, parts, body).await,
            path if POSTED.contains(&path) && parts.method == Method::POST => {
                self.posted(path, peer, &read(body).await?).await
            }
            path if POSTED.contains(&path) => Err(Refused::method(path, "POST")),
            SUBSCRIBERS => self.subscribers(peer, parts, body).await,
            path if (PATHS.contains(&path) || path == "/drains") && !is_get => Err(Refused::method(path, "GET")),
            "/" => Ok(text(INDEX.to_owned())),
            "/live" => Ok(text("live\n".to_owned())),
            "/ready" => Ok(self.readiness()),
            "/metrics" => {
                let format = Format::accepted_by(accept(parts));
                let (requests, is_ready) = (Requests::of(&self.counters), *self.ready.borrow());
                let (headroom, shelf) = (self.findings.headroom(), self.findings.shelf().ok());
                let findings = (&*headroom, shelf.as_deref(), self.clock.wall());
                let page = metrics::render(&self.overview(), &requests, findings, is_ready, format);
                Ok(answer(format.content_type(), page))
            }
            "/regions" => Ok(json_answer(&self.overview())),
            "/nat-ips" => Ok(answer("application/json", self.nat_ips.borrow().to_string())),
            "/report" => Ok(json_answer(&Told::of(&self.board.shown()))),
            "/drains" => Ok(json_answer(&json!({ "drains": self.overview().drains }))),
            "/decisions" => self.decisions(parts.uri.query().unwrap_or_default()),
            "/explain" => self.explain(parts),
            "/headroom" => self.headroom(parts).await,
            path if path == "/residency" || path.starts_with("/residency/") => self.residency(path, is_get).await,
            path if path.starts_with(REPLAYED) && !is_get => Err(Refused::method(path, "GET")),
            path if path.starts_with(REPLAYED) => self.replay(parts, &path[REPLAYED.len()..]),
            path => Err(Refused::new(404, format!("there is no {path:?} here; GET / tells what there is"))),
        }
    }

    fn overview(&self) -> Overview {
        let snapshot = self.published.load_full();
        let wall = self.clock.wall();
        let overview = Overview::of(&snapshot, &self.counters, self.clock.now(), wall, self.started);
        let history = HistoryView::of(&self.history);
        let deliveries = deliveries(&self.subscriptions, wall);
        Overview { zone: self.dns.zone(wall), history, deliveries, ..overview }
    }

    fn readiness(&self) -> Answer {
        if *self.ready.borrow() {
            return text("ready\n".to_owned());
        }
        let mut answer = text("not ready: the node starts or stops\n".to_owned());
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        answer
    }

    fn decisions(&self, query: &str) -> Result<Answer, Refused> {
        let count = match parameter(query, "count") {
            None => 50,
            Some(count) => match count.parse::<usize>() {
                Ok(count @ 1..=DECISIONS_MAX) => count,
                _ => {
                    return Err(Refused::new(400, format!("count {count:?} is no number from 1 to {DECISIONS_MAX}")));
                }
            },
        };
        let now = self.clock.now();
        let newest = self.counters.newest(count);
        Ok(json_answer(&newest.iter().map(|recent| DecisionView::of(recent, now)).collect::<Vec<_>>()))
    }

    fn explain(&self, parts: &Parts) -> Result<Answer, Refused> {
        let query = parts.uri.query().unwrap_or_default();
        let is_text = wants_text(parts, query)?;
        let host = parameter(query, "host").ok_or_else(|| Refused::new(400, "host=NAME is missing"))?;
        let client = address(query, "client")?;
        if parameter(query, "dns").is_some_and(|dns| dns != "0") {
            let asked = Asked { name: host, client, resolver: address(query, "resolver")? };
            let told = self.dns.explain(&asked).map_err(|(status, text)| Refused::new(status, text))?;
            return Ok(if is_text { text(told.text) } else { json_answer(&told.json) });
        }
        let client = client.ok_or_else(|| Refused::new(400, "client=IP is missing"))?;
        let snapshot = self.published.load_full();
        let link = parameter(query, "private_link").map(|link| PrivateLink::parse(&link)).transpose();
        let link = link.map_err(|why| Refused::new(400, format!("private_link {why}")))?;
        let [bound, prefers] = ["bound", "prefers"].map(|name| parameter(query, name));
        let question = Question { host, client, link, bound, prefers };
        let answer = question.answer(&snapshot).map_err(|(status, text)| Refused::new(status, text))?;
        Ok(if is_text { text(answer.to_text()) } else { json_answer(&answer.to_json()) })
    }

    fn replay(&self, parts: &Parts, id: &str) -> Result<Answer, Refused> {
        let is_text = wants_text(parts, parts.uri.query().unwrap_or_default())?;
        let replay = Replay::find(&self.counters, self.clock.now(), id);
        let replay = replay.map_err(|(status, text)| Refused::new(status, text))?;
        Ok(if is_text { text(replay.to_text()) } else { json_answer(&replay.to_json()) })
    }

    async fn posted(&self, path: &str, peer: IpAddr, body: &[u8]) -> Result<Answer, Refused> {
        if path == "/reload" {
            self.ask(Wish::Reload, reloader(peer, body)?).await?;
            let mut answer = json_answer(&json!({ "reload": "asked", "see": "/regions: problem, generation, digest" }));
            *answer.status_mut() = StatusCode::ACCEPTED;
            return Ok(answer);
        }
        let body: DrainBody = parsed(body)?;
        let target = Target::parse(&body.target).map_err(|text| Refused::new(400, text))?;
        check_text("reason", &body.reason)?;
        check_text("who", &body.who)?;
        let operator = Operator { who: body.who.clone(), from: peer, reason: body.reason.clone() };
        let wish = if path == "/drain" { self.drain_of(target.clone(), &body)? } else { Wish::Lift(target.clone()) };
        let granted = self.ask(wish, operator).await?;
        Ok(json_answer(&DrainAnswer::of(&target, &granted, self.clock.wall())))
    }

    fn drain_of(&self, target: Target, body: &DrainBody) -> Result<Wish, Refused> {
        let snapshot = self.published.load_full();
        let topology = &snapshot.topology;
        if !(0..topology.endpoints.len()).any(|at| target.covers(topology, EndpointIndex::of(at))) {
            return Err(Refused::new(404, unknown(topology, &target)));
        }
        if body.reason.trim().is_empty() {
            return Err(Refused::new(400, "a drain needs a reason: others will want to know why"));
        }
        let lasts = body.for_s.map(Duration::from_secs);
        if lasts.is_some_and(|lasts| lasts.is_zero() || lasts > DRAIN_TIME_MAX) {
            return Err(Refused::new(400, "for_s must be from 1 to 31622400 (a year); leave it out for no end"));
        }
        let since = Duration::from_millis(u64::try_from(self.clock.wall().as_millis()).unwrap_or(u64::MAX));
        Ok(Wish::Drain(Override {
            target,
            is_hard: body.hard,
            reason: body.reason.as_str().into(),
            who: body.who.as_str().into(),
            since,
            until: lasts.map(|lasts| since + lasts),
        }))
    }

    pub(super) async fn ask(&self, wish: Wish, operator: Operator) -> Result<Granted, Refused> {
        let (reply, granted) = oneshot::channel();
        let busy = |_| Refused::new(503, "too many operators at once, or the node is stopping; try again");
        self.asks.try_send(Ask { wish, operator, reply }).map_err(busy)?;
        let stopped =
            |_| Refused::new(503, "the node stopped before it answered; look at the drains after its restart");
        granted.await.map_err(stopped)?.map_err(|denied| {
            tracing::warn!("an operator's wish is not granted: {denied}");
            let status = match &denied {
                Denied::Late => 504,
                Denied::Unwritten(DrainError::NotDrained(_)) => 404,
                Denied::Unwritten(DrainError::TooMany) => 409,
                Denied::Unwritten(_) => 500,
            };
            Refused::new(status, denied.to_string())
        })
    }
}

impl DrainAnswer {
    fn of(target: &Target, granted: &Granted, wall: Duration) -> Self {
        let Granted { before, after } = granted;
        let drain = after.overrides.iter().find(|drain| drain.target == *target);
        Self {
            target: target.to_string(),
            drain: drain.map(|drain| DrainView::of(drain, wall)),
            generation: after.generation,
            hostnames: effects(before, after),
        }
    }
}

/// Hostnames that other regions may serve `after` than `before`, as far as drains go.
fn effects(before: &Snapshot, after: &Snapshot) -> Vec<Effect> {
    let mut effects = Vec::new();
    for (at, route) in after.topology.routes.iter().enumerate() {
        let left = undrained(after, RouteIndex::of(at));
        let Some(old) = before.topology.route_by_hostname.get(&route.hostname) else { continue };
        let had = undrained(before, *old);
        let without = |all: &[String], others: &[String]| -> Vec<String> {
            all.iter().filter(|name| !others.contains(name)).cloned().collect()
        };
        let (loses, gains) = (without(&had, &left), without(&left, &had));
        if !(loses.is_empty() && gains.is_empty()) {
            effects.push(Effect { name: route.hostname.to_string(), regional: route.is_regional, loses, gains, left });
        }
    }
    effects
}

/// The regions that neither a drain nor residency keeps from serving a route.
fn undrained(snapshot: &Snapshot, route: RouteIndex) -> Vec<String> {
    // Who asks does not matter for what is excluded.
    let client = Client::locate(snapshot, Ipv4Addr::UNSPECIFIED.into());
    let decision = steer(snapshot, &Query::first(route, &client));
    let is_kept_away = |region| {
        let is_this = |(excluded, why): &(_, Exclusion)| {
            *excluded == region && matches!(why, Exclusion::Drained { .. } | Exclusion::Residency)
        };
        decision.excluded.iter().any(is_this)
    };
    let members = snapshot.topology.route(route).members.iter();
    members
        .filter(|member| !is_kept_away(member.region))
        .map(|member| snapshot.topology.region(member.region).name.to_string())
        .collect()
}

/// Says that nothing of that name exists, and what does.
#[must_use]
pub fn unknown(topology: &Topology, target: &Target) -> String {
    let regions = topology.regions.iter().map(|region| Target::Region(region.name.clone()));
    let providers = topology.providers.iter().map(|provider| Target::Provider(provider.clone()));
    let endpoints = topology.endpoints.iter().map(|endpoint| Target::Endpoint(endpoint.name.clone()));
    let all: Vec<String> = regions.chain(providers).chain(endpoints).map(|target| target.to_string()).collect();
    let asked = target.to_string();
    let (kind, name) = asked.split_once(':').unwrap_or(("", &asked));
    // The right name with the wrong kind, or nearly the right name.
    let other_kind = all.iter().find(|known| known.split_once(':').is_some_and(|(_, known)| known == name));
    let same_kind = || all.iter().filter(|known| known.starts_with(kind));
    let near = || {
        let names = same_kind().filter_map(|known| known.split_once(':')).map(|(_, name)| name);
        nearest(name, names).map(|name| format!("{kind}:{name}"))
    };
    match other_kind.cloned().or_else(near) {
        Some(meant) => format!("there is no {asked}; did you mean {meant}?"),
        None => format!("there is no {asked}; there are {}", some(same_kind().cloned())),
    }
}

/// The first few of many, for a sentence.
pub(super) fn some(names: impl Iterator<Item = String>) -> String {
    const TOLD: usize = 20;
    let names: Vec<String> = names.collect();
    let told = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > TOLD { format!("{told} and {} more", names.len() - TOLD) } else { told }
}

pub(super) fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refused> {
    let wrong = |error| Refused::new(400, format!("the body is not as GET / shows it: {error}"));
    serde_json::from_slice(body).map_err(wrong)
}

/// Who wants the file read again; they need not say.
fn reloader(from: IpAddr, body: &[u8]) -> Result<Operator, Refused> {
    let ReloadBody { reason, who } = if body.is_empty() { ReloadBody::default() } else { parsed(body)? };
    check_text("reason", &reason)?;
    check_text("who", &who)?;
    Ok(Operator { who, from, reason })
}

pub(super) fn check_text(what: &str, text: &str) -> Result<(), Refused> {
    if text.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Refused::new(400, format!("{what} is longer than {REASON_CHARACTERS_MAX} characters")));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(Refused::new(400, format!("{what} has the control character {bad:?}"))),
        None => Ok(()),
    }
}

pub(super) async fn read(body: Incoming) -> Result<Bytes, Refused> {
    match tokio::time::timeout(HEADER_TIMEOUT, Limited::new(body, ADMIN_BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refused::new(413, format!("the body is longer than {ADMIN_BODY_BYTES_MAX} octets")))
        }
        Ok(Err(_)) => Err(Refused::new(400, "the body ended before its end")),
        Err(_) => Err(Refused::new(408, "the body did not come in time")),
    }
}

impl Refused {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self(StatusCode::from_u16(status).expect("written here"), text.into())
    }

    pub(super) fn method(path: &str, allowed: &'static str) -> Self {
        Self(StatusCode::METHOD_NOT_ALLOWED, format!("{path} is asked with {allowed}"))
    }

    fn answer(self) -> Answer {
        let Self(status, text) = self;
        let mut answer = json_answer(&json!({ "error": text }));
        *answer.status_mut() = status;
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = if text.ends_with("POST") { "POST" } else { "GET, HEAD" };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        answer
    }
}

fn answer(content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn text(body: String) -> Answer {
    answer("text/plain; charset=utf-8", body)
}

pub(super) fn json_answer(body: &impl Serialize) -> Answer {
    let mut body = serde_json::to_string(body).expect("what is shown is plain JSON");
    body.push('\n');
    answer("application/json", body)
}

fn accept(parts: &Parts) -> &str {
    parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default()
}

/// Whether an answer is for people.
fn wants_text(parts: &Parts, query: &str) -> Result<bool, Refused> {
    match parameter(query, "format").as_deref() {
        Some("text") => Ok(true),
        Some("json") => Ok(false),
        None => Ok(accept(parts).starts_with("text/plain")),
        Some(other) => Err(Refused::new(400, format!("format {other:?} is neither text nor json"))),
    }
}

/// A parameter that is an address.
fn address(query: &str, name: &str) -> Result<Option<IpAddr>, Refused> {
    let parse = |text: String| text.parse().map_err(|_| Refused::new(400, format!("{name} {text:?} is no IP address")));
    parameter(query, name).map(parse).transpose()
}
