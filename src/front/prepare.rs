//! Before anybody is asked: what a request is about, whether it may be carried, on which terms, and what it is tied to.

use super::Front;
use super::affinity::{Bond, Here, Unbound};
use super::connection::Connection;
use super::framing::Violation;
use super::mcp;
use super::replay::Source;
use super::reply::Complaint;
use super::request::{admit, complaint_about, understand};
use super::terms::Terms;
use crate::limits::{MCP_CALL_BYTES_MAX, MCP_CALL_WAIT};
use crate::names::Hostname;
use crate::snapshot::Snapshot;
use crate::topology::{Class, Dialect, RouteIndex};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use hyper::body::Incoming;
use serde_json::Value;

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
    /// Whether it is a call whose id is worth reading.
    pub is_call: bool,
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
    let plainly = |complaint| Refused { complaint, dialect: Dialect::Plain, is_call: false };
    if let Some(violation) = violation {
        return Err(plainly(complaint_about(violation)));
    }
    let (route, hostname) = understand(snapshot, parts).map_err(plainly)?;
    let topology = &snapshot.topology;
    let class = topology.class(&hostname, parts.uri.path());
    let refused = |complaint, is_call| Refused { complaint, dialect: class.dialect, is_call };
    admit(snapshot, parts).map_err(|complaint| refused(complaint, false))?;
    let mut terms = Terms::of(class, parts);
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
    Ok(Prepared { route, hostname, terms, bond })
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
pub async fn call_id_of(body: Incoming, front: &Front) -> Option<Value> {
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
