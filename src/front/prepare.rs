//! Before anybody is asked: what a request is about, whether it may be carried, on which terms, and what it is tied to.

use super::Front;
use super::affinity::{Bond, Here, Unbound};
use super::connection::Connection;
use super::framing::Violation;
use super::grpc;
use super::headers;
use super::live::{self, Clear, Live};
use super::mcp;
use super::replay::Source;
use super::reply::Complaint;
use super::stream::Reply;
use super::strict::malformed;
use super::terms::Terms;
use crate::counters::DoorCounters;
use crate::counters::record::{Decided, Outcome, Record};
use crate::counters::records::DecisionId;
use crate::limits::{HEADER_FIELDS_MAX, HEADER_LINE_BYTES_MAX, MCP_CALL_BYTES_MAX, MCP_CALL_WAIT};
use crate::moment::Moment;
use crate::names::{Hostname, NameError};
use crate::snapshot::Snapshot;
use crate::steering::prefix_of;
use crate::topology::link::LinkTerms;
use crate::topology::{Class, Dialect, RouteIndex};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};
use serde_json::Value;
use std::time::Duration;

/// A request that may be carried.
pub struct Prepared {
    /// What is asked for.
    pub route: RouteIndex,
    /// Under which name.
    pub hostname: Hostname,
    /// On which terms.
    pub terms: Terms,
    /// What it is tied to.
    pub bond: Bond,
}

/// A request that is not carried.
pub struct Refused {
    /// Why.
    pub complaint: Complaint,
    /// In which shape that is said.
    pub dialect: Dialect,
    /// Whether it is known what is asked for.
    pub is_understood: bool,
    /// Whether it is a call whose id is worth reading.
    pub is_call: bool,
}

/// A request that is not carried, as far as it is known.
pub struct Asked<'a> {
    /// What it is called towards the client.
    pub id: DecisionId,
    /// When its head was there.
    pub began: Moment,
    /// Its head.
    pub parts: &'a Parts,
    /// Its id.
    pub request_id: &'a HeaderValue,
}

/// Understands a request. What of its head is for us alone is taken out of it.
///
/// # Errors
/// If it must not be carried.
pub fn prepare(
    connection: &Connection,
    snapshot: &Snapshot,
    violation: Option<Violation>,
    parts: &mut Parts,
) -> Result<Prepared, Refused> {
    let own = grpc::is_call(parts).then_some(Dialect::Grpc);
    let plainly =
        |complaint| Refused { complaint, dialect: own.unwrap_or_default(), is_understood: false, is_call: false };
    if let Some(violation) = violation {
        return Err(plainly(complaint_about(violation)));
    }
    let (route, hostname) = understand(connection, snapshot, parts).map_err(plainly)?;
    let topology = &snapshot.topology;
    let class = topology.class(&hostname, parts.uri.path());
    let dialect = own.unwrap_or(class.dialect);
    let refused = |complaint, is_call| Refused { complaint, dialect, is_understood: true, is_call };
    admit(snapshot, parts).map_err(|complaint| refused(complaint, false))?;
    let mut terms = Terms::of(class, parts, &topology.forward);
    let link = link_of(connection, snapshot);
    let mut bond = Bond::Free;
    if !class.is_plain() {
        // Whoever waits to be told to go on must not be told so for the sake of an id.
        let is_call = class.is_mcp && !parts.headers.contains_key(header::EXPECT);
        may_ask(class, &parts.headers).map_err(|complaint| refused(complaint, is_call))?;
        let secret = connection.front.secret.load();
        let here = here(connection, snapshot, &hostname, &secret);
        bond = Bond::of(class, topology, topology.route(route), &mut parts.headers, &here)
            .map_err(|unbound| refused(complaint_of(unbound), is_call))?;
        bond.tie(&mut terms.ties);
    }
    terms.ties.stay(topology, link);
    if class.is_mcp && terms.ties.are_torn() {
        // It began in another region, where this link may not go.
        return Err(refused(session_lost(), !parts.headers.contains_key(header::EXPECT)));
    }
    Ok(Prepared { route, hostname, terms, bond })
}

/// The answer to a request that is not carried; where it is for nobody we know, what the node itself serves there.
pub async fn refusal(
    connection: &Connection,
    snapshot: &Snapshot,
    refused: Refused,
    asked: Asked<'_>,
    body: Incoming,
) -> Response<Reply> {
    let front = &connection.front;
    let Asked { parts, request_id, .. } = asked;
    let Refused { complaint, dialect, is_understood, is_call } = refused;
    if !is_understood
        && complaint.status == StatusCode::MISDIRECTED_REQUEST
        && let Some((authority, hostname)) = our_own(connection, parts)
    {
        let is_secured = connection.arrival.tls.is_some();
        let found = live::find(front, snapshot, &hostname, parts.uri.path());
        if let Some(live) = found.filter(|live| is_secured || live.in_the_clear != Clear::Ignored) {
            let trusted = &snapshot.topology.forward.trusted_proxies;
            let page = match live.elsewhere(connection, (authority, &hostname), parts, trusted) {
                Some(elsewhere) => Live::moved(&elsewhere, request_id),
                None => live.serve(connection, snapshot, (parts, body), request_id).await,
            };
            let status = page.status();
            let code = match status {
                StatusCode::PAYLOAD_TOO_LARGE => Some("body_too_large"),
                StatusCode::REQUEST_TIMEOUT => Some("body_too_slow"),
                _ => None,
            };
            asked.answered(connection, &page, Outcome::Own, code.map(|code| (code, status)));
            return page;
        }
        if let Some(page) = front.services.load().answer(authority, parts, request_id, front.roll()) {
            asked.answered(connection, &page, Outcome::Own, None);
            return page;
        }
    }
    let call_id = if is_call { call_id_of(body, front).await } else { None };
    DoorCounters::count(&front.counters.door.refusals);
    let happened = (complaint.status == StatusCode::LOOP_DETECTED).then_some("anyfront; error=proxy_loop_detected");
    let (code, status) = (complaint.code, complaint.status);
    let answer = complaint.to_call(call_id).answer(dialect, request_id, happened, front.roll());
    asked.answered(connection, &answer, Outcome::Refused, Some((code, status)));
    answer
}

impl Asked<'_> {
    /// Tells what became of it; `complaint`: in which words and with which status, whatever the answer's shape makes of it.
    fn answered(
        &self,
        connection: &Connection,
        answer: &Response<Reply>,
        outcome: Outcome,
        complaint: Option<(&'static str, StatusCode)>,
    ) {
        let (front, parts) = (&connection.front, self.parts);
        let status = complaint.map_or(answer.status(), |(_, status)| status);
        let record = Record {
            id: self.id,
            began: self.began,
            elapsed: Some(front.clock.now().since(self.began)),
            lasted: Duration::ZERO,
            outcome,
            reason: complaint.map(|(code, _)| code),
            hostname: None,
            class: None,
            prefix: prefix_of(connection.arrival.peer),
            client: None,
            method: parts.method.clone(),
            path: front.counters.records.has_listeners().then(|| parts.uri.path().into()),
            version: parts.version,
            request_id: self.request_id.clone(),
            link: connection.arrival.link.clone(),
            trace: None,
            decided: Decided::default(),
            has_residency: false,
            region: None,
            endpoint: None,
            wish: None,
            status: status.as_u16(),
            attempts: 0,
            failed: Vec::new(),
            first_byte: None,
            gap: None,
            octets_up: 0,
            octets_down: answer.body().size_hint().exact().unwrap_or(0),
        };
        front.conclude(None, record);
    }
}

/// The name under which the node itself may be meant, which no region has.
fn our_own<'a>(connection: &Connection, parts: &'a Parts) -> Option<(&'a str, Hostname)> {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str).or(host)?;
    let hostname = Hostname::from_authority(authority).ok()?;
    let may_ask = !is_too_large(parts) && connection.arrival.may_ask(&hostname, None);
    may_ask.then_some((authority, hostname))
}

/// Where a request of `connection` for `hostname` is.
pub fn here<'a>(
    connection: &Connection,
    snapshot: &'a Snapshot,
    hostname: &'a Hostname,
    secret: &'a crate::secret::Secret,
) -> Here<'a> {
    let (wall, is_https) = (connection.front.clock.wall(), connection.arrival.is_https);
    Here { secret, zone: &snapshot.topology.zone, hostname, wall, is_https }
}

/// The id of the call in `body`, if it is one and comes soon.
pub async fn call_id(body: &Source) -> Option<Value> {
    mcp::call_id(&body.gathered(MCP_CALL_BYTES_MAX, MCP_CALL_WAIT).await?)
}

/// The same of a body that nobody has looked at.
async fn call_id_of(body: Incoming, front: &Front) -> Option<Value> {
    call_id(&Source::new(body, front.clock, &front.counters, front.replay_bytes_max)).await
}

/// What is said when a session of MCP cannot be gone on with: clients that keep to the specification begin a new one.
pub fn session_lost() -> Complaint {
    let message = "the session is no more: initialize a new one";
    Complaint::new(StatusCode::NOT_FOUND, "session_lost", message)
}

fn complaint_of(unbound: Unbound) -> Complaint {
    match unbound {
        Unbound::Lost => session_lost(),
        Unbound::Ambiguous => Complaint::new(StatusCode::BAD_REQUEST, "bad_session", "the session is given twice"),
    }
}

/// Whether the page that asks may: browsers say in `Origin` whose it is (RFC 6454 §7.3). It protects servers of MCP from
/// pages that reach them by a name of their own (DNS rebinding).
fn may_ask(class: &Class, headers: &HeaderMap) -> Result<(), Complaint> {
    let Some(listed) = &class.origins else { return Ok(()) };
    let is_listed = |origin: &[u8]| listed.iter().any(|listed| listed.as_bytes() == origin);
    if headers.get_all(header::ORIGIN).iter().all(|origin| is_listed(origin.as_bytes())) {
        return Ok(());
    }
    Err(Complaint::new(StatusCode::FORBIDDEN, "origin_not_allowed", "this page's origin may not ask here"))
}

/// Which hostname is asked for, and its route, if it may be asked for on this connection.
fn understand(
    connection: &Connection,
    snapshot: &Snapshot,
    parts: &Parts,
) -> Result<(RouteIndex, Hostname), Complaint> {
    let (route, hostname) = allowed(link_of(connection, snapshot), asked_for(snapshot, parts)?)?;
    if connection.may_ask(snapshot, route) {
        return Ok((route, hostname));
    }
    // On another connection it will be (RFC 9110 §15.5.20).
    let message = "this hostname is not served on this connection: connect to it by its own name, with TLS";
    Err(Complaint::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message))
}

/// Which hostname is asked for, and its route (RFC 9110 §7.2, RFC 9112 §3.2, RFC 9113 §8.3.1).
fn asked_for(snapshot: &Snapshot, parts: &Parts) -> Result<(RouteIndex, Hostname), Complaint> {
    let bad = |why: &str| Complaint::new(StatusCode::BAD_REQUEST, "bad_host", format!("the request's host {why}"));
    let mut lines = parts.headers.get_all(header::HOST).iter();
    let host = match (lines.next(), lines.next()) {
        (_, Some(_)) => return Err(bad("is given twice")),
        (Some(line), None) => Some(line.to_str().map_err(|_| bad("is no text"))?),
        (None, None) => None,
    };
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), None) => authority.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err(bad("is missing")),
        (Some(authority), Some(host)) => {
            if !authority.as_str().eq_ignore_ascii_case(host) {
                return Err(bad("is given twice, and differently"));
            }
            host
        }
    };
    let routes = &snapshot.topology.route_by_hostname;
    // As it is mostly written: lower case, no final dot.
    let bare = match authority.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => authority,
    };
    if let Some((hostname, route)) = routes.get_key_value(bare) {
        return Ok((*route, hostname.clone()));
    }
    let hostname = match Hostname::from_authority(authority) {
        Ok(hostname) => hostname,
        Err(NameError::Address) => return Err(unknown("an address")),
        Err(error) => return Err(bad(&error.to_string())),
    };
    let route = routes.get(&hostname).ok_or_else(|| unknown("this hostname"))?;
    Ok((*route, hostname))
}

fn unknown(what: &str) -> Complaint {
    Complaint::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", format!("{what} is not served here"))
}

/// What is known of the private link that the connection came by.
fn link_of<'a>(connection: &Connection, snapshot: &'a Snapshot) -> Option<&'a LinkTerms> {
    connection.arrival.link.as_ref().and_then(|link| snapshot.topology.private_links.get(link))
}

/// Whether the private link that the request came by, if it is a known one, may ask for this. If not, the answer is that
/// to an unknown hostname: it tells nothing about the others, and the client may ask on another connection (RFC 9110
/// §15.5.20), as one that reuses connections across hostnames has to.
fn allowed(
    link: Option<&LinkTerms>,
    (route, hostname): (RouteIndex, Hostname),
) -> Result<(RouteIndex, Hostname), Complaint> {
    if link.is_some_and(|link| !link.allow(&hostname)) { Err(unknown("this hostname")) } else { Ok((route, hostname)) }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether the request may be carried at all.
fn admit(snapshot: &Snapshot, parts: &Parts) -> Result<(), Complaint> {
    let is_refused = matches!(parts.method, Method::CONNECT | Method::TRACE);
    if is_refused && !headers::is_connect_to_websocket(parts) {
        let message = format!("{} is not carried", parts.method);
        return Err(Complaint::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    }
    if let Some(why) = malformed(parts) {
        return Err(Complaint::new(StatusCode::BAD_REQUEST, "bad_request", why));
    }
    if headers::is_loop(&parts.headers, &snapshot.topology.zone) {
        let message = "the request has been here before: it goes in a loop";
        return Err(Complaint::new(StatusCode::LOOP_DETECTED, "loop_detected", message));
    }
    let mut expectations = parts.headers.get_all(header::EXPECT).iter();
    if expectations.any(|expectation| !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let message = "only 100-continue can be expected";
        return Err(Complaint::closing(StatusCode::EXPECTATION_FAILED, "expectation_failed", message));
    }
    if is_too_large(parts) {
        return Err(complaint_about(Violation::TooLarge));
    }
    Ok(())
}

/// Whether a head is larger than may be, measured as it would be written in HTTP/1.1. There the guard has measured it.
fn is_too_large(parts: &Parts) -> bool {
    if parts.version != Version::HTTP_2 {
        return false;
    }
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = parts.method.as_str().len() + " ".len() + target + " HTTP/1.1".len();
    // `:authority` stands for `Host`.
    let fields = parts.headers.len() + usize::from(parts.uri.authority().is_some());
    fields > HEADER_FIELDS_MAX
        || line > HEADER_LINE_BYTES_MAX
        || parts
            .headers
            .iter()
            .any(|(name, value)| name.as_str().len() + ": ".len() + value.len() > HEADER_LINE_BYTES_MAX)
}

fn complaint_about(violation: Violation) -> Complaint {
    let (status, code) = match violation {
        Violation::TooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
        _ => (StatusCode::BAD_REQUEST, "bad_request"),
    };
    Complaint::closing(status, code, violation.text())
}
