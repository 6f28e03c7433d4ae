//! What ties a request to a region, and what that changes in its head and in its answer's. Nothing is remembered here:
//! what a node must know, the client carries for it, sealed.
//!
//! ```text
//! class with mcp       a session of ours --> only its region; once that is lost, 404: clients begin anew
//! affinity by cookie   a pin --> its region first, or alone; the first answer pins
//! affinity by value    a hash of header or credential --> decides among equals, from every node the same
//! ```

pub mod pin;
pub mod seal;
pub mod session;
#[cfg(test)]
mod tests;

use super::failover::is_failure;
use super::terms::Ties;
use crate::health::Standing;
use crate::names::{Hostname, Label};
use crate::secret::Secret;
use crate::steering::decision::Decision;
use crate::topology::class::{Affinity, Lost};
use crate::topology::{Class, Route, Topology};
use aws_lc_rs::hmac;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use seal::{Purpose, Seal};
use session::Session;
use std::sync::Arc;
use std::time::Duration;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Where and when a request is.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    /// What the nodes of the fleet know.
    pub secret: &'a Secret,
    /// The fleet's.
    pub zone: &'a Hostname,
    /// The one that is asked for.
    pub hostname: &'a Hostname,
    /// Wall clock, since the Unix epoch.
    pub wall: Duration,
    /// Whether it came by TLS.
    pub is_https: bool,
}

impl Here<'_> {
    fn seal(&self, purpose: Purpose) -> Seal<'_> {
        Seal::new(self.secret, purpose, self.zone, self.hostname)
    }
}

/// Why what a request belongs to cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// It names more than one session.
    Ambiguous,
    /// Its session is no more, or never was.
    Lost,
}

/// What one request is tied to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bond {
    /// Nothing.
    #[default]
    Free,
    /// A session of MCP, or one that may begin.
    Session(Session),
    /// A pin, or one that may be set.
    Pin {
        /// The cookie's name.
        name: Arc<str>,
        /// What happens while the region is out.
        lost: Lost,
        /// How long a new one binds.
        ttl: Duration,
        /// The region that is pinned.
        region: Option<Label>,
    },
    /// A hash of whom it belongs to.
    Spread(u64),
}

impl Bond {
    /// What a request of `class` for `route` is tied to. What is ours is taken out of its head.
    ///
    /// # Errors
    /// If it belongs to something that cannot be gone on with.
    pub fn of(
        class: &Class,
        topology: &Topology,
        route: &Route,
        headers: &mut HeaderMap,
        here: &Here<'_>,
    ) -> Result<Self, Unbound> {
        if class.is_mcp {
            let session = Session::of(headers, here)?;
            return match &session {
                Session::Ours { region, .. } if !may_serve(topology, route, region) => Err(Unbound::Lost),
                _ => Ok(Self::Session(session)),
            };
        }
        let spread =
            |value: Option<&HeaderValue>| value.map_or(Self::Free, |value| Self::Spread(lot(here, value.as_bytes())));
        Ok(match &class.affinity {
            None => Self::Free,
            Some(Affinity::Cookie { name, lost, ttl }) => {
                // A region that serves the hostname no longer will not come back: the pin is none then.
                let region = pin::take(headers, name, here).filter(|region| may_serve(topology, route, region));
                Self::Pin { name: Arc::clone(name), lost: *lost, ttl: *ttl, region }
            }
            Some(Affinity::Header(name)) => spread(headers.get(name)),
            Some(Affinity::Credential) => spread(headers.get(AUTHORIZATION).or_else(|| headers.get(X_API_KEY))),
        })
    }

    /// Ties a request to it.
    pub fn tie(&self, ties: &mut Ties) {
        match self {
            Self::Session(Session::Ours { region, .. }) => {
                ties.only = Some(region.clone());
                ties.goes_on = true;
            }
            Self::Pin { lost, region: Some(region), .. } => {
                let which = if *lost == Lost::Refuse { &mut ties.only } else { &mut ties.prefer };
                *which = Some(region.clone());
                ties.goes_on = true;
            }
            Self::Spread(who) => ties.spread = Some(*who),
            _ => {}
        }
    }

    /// Whether the request belongs to a session that a region has begun.
    #[must_use]
    pub fn is_session(&self) -> bool {
        matches!(self, Self::Session(Session::Ours { .. }))
    }

    /// Whether its session's region may not or cannot serve it now. Nobody else ever can.
    #[must_use]
    pub fn is_lost(&self, decision: &Decision) -> bool {
        self.is_session() && decision.candidates.first().is_none_or(|region| region.standing >= Standing::Ejected)
    }

    /// What an answer of `region` says to the client of it.
    pub fn answered(&self, headers: &mut HeaderMap, status: StatusCode, region: &Label, here: &Here<'_>) {
        match self {
            Self::Session(session) => session.answered(headers, region, here),
            Self::Pin { name, lost, ttl, region: pinned } => {
                let is_to_be_set = match pinned {
                    None => true,
                    Some(pinned) => *lost == Lost::Move && pinned != region,
                };
                if is_to_be_set && !is_failure(status.as_u16()) {
                    headers.append(SET_COOKIE, pin::set(name, region, *ttl, here));
                }
            }
            Self::Free | Self::Spread(_) => {}
        }
    }
}

/// Whether the file lets a region of that name serve the route.
fn may_serve(topology: &Topology, route: &Route, region: &Label) -> bool {
    topology.region_named(region.as_str()).is_some_and(|region| route.may_be_served_by(topology, region))
}

/// A hash that all nodes of the fleet agree on and that nobody else can steer by.
fn lot(here: &Here<'_>, value: &[u8]) -> u64 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &here.secret.keys("affinity spread")[0]);
    let mut signing = hmac::Context::with_key(&key);
    signing.update(here.hostname.as_str().as_bytes());
    signing.update(&[0]);
    signing.update(value);
    let tag = signing.sign();
    let first = tag.as_ref().first_chunk::<8>().expect("a tag has 32 octets");
    u64::from_be_bytes(*first)
}
