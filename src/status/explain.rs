//! Who would answer a client, and why: the decision itself, with what the client's private link has to do with it.

use super::answer::some;
use crate::names::Hostname;
use crate::snapshot::Snapshot;
use crate::steering::decision::Decision;
use crate::steering::{Client, Query, steer};
use crate::topology::link::{LinkTerms, PrivateLink};
use crate::topology::read::nearest;
use crate::topology::{RouteIndex, Topology};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::IpAddr;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which hostname, as somebody typed it.
    pub host: String,
    /// By whom.
    pub client: IpAddr,
    /// By which private link the client would come, if by one.
    pub link: Option<PrivateLink>,
    /// The region that alone will do, because something began there.
    pub bound: Option<String>,
    /// The region that is preferred, because something began there.
    pub prefers: Option<String>,
}

/// The answer to a [`Question`].
#[derive(Debug)]
pub struct Explanation<'a> {
    snapshot: &'a Snapshot,
    client: Client,
    decision: Decision,
    link: Option<(PrivateLink, Option<&'a LinkTerms>)>,
}

impl Question {
    /// Answers it as requests are answered.
    ///
    /// # Errors
    /// A status and a sentence: 400 for what is no hostname, 404 for a hostname or region that is not there.
    pub fn answer<'a>(&self, snapshot: &'a Snapshot) -> Result<Explanation<'a>, (u16, String)> {
        let route = route_of(&snapshot.topology, &self.host)?;
        let client = Client::locate(snapshot, self.client);
        let link = self.link.clone().map(|link| {
            let terms = snapshot.topology.private_links.get(&link);
            (link, terms)
        });
        let asked = Query::first(route, &client);
        let asked = match (self.bound.as_deref(), self.prefers.as_deref()) {
            (None, None) => asked,
            (bound, prefers) => asked.going_on(snapshot, bound, prefers).map_err(|text| (404, text))?,
        };
        let terms = link.as_ref().and_then(|(_, terms)| *terms);
        let wish = match terms.and_then(|terms| Some((terms.region?, terms.leaves_region))) {
            Some((region, leaves_region)) => asked.wish.by_link(region, leaves_region),
            None => asked.wish,
        };
        let decision = steer(snapshot, &Query { wish, ..asked });
        Ok(Explanation { snapshot, client, decision, link })
    }
}

impl Explanation<'_> {
    /// As JSON: the decision, and `private_link` where one was named.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = self.decision.to_json(self.snapshot, &self.client);
        if let Some((link, terms)) = &self.link {
            let region = terms.and_then(|terms| region_of(&self.snapshot.topology, terms));
            json["private_link"] = json!({
                "link": link.to_string(),
                "is_known": terms.is_some(),
                "is_allowed": self.is_allowed(),
                "region": region,
                "leaves_region": terms.is_some_and(|terms| terms.leaves_region),
            });
        }
        json
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.decision.to_text(self.snapshot, &self.client);
        if let Some((link, terms)) = &self.link {
            let _ = write!(text, "\n  by private link {link}, ");
            text.push_str(&match terms {
                None => "which is not in the file: served like any client".to_owned(),
                Some(_) if !self.is_allowed() => "which may not ask for this hostname: answered with 421".to_owned(),
                Some(terms) => match region_of(&self.snapshot.topology, terms) {
                    None => "which may ask for it and is tied to no region".to_owned(),
                    Some(region) if terms.leaves_region => format!("which goes to {region} while that stands as well"),
                    Some(region) => format!("which never leaves {region}"),
                },
            });
            text.push('\n');
        }
        text
    }

    fn is_allowed(&self) -> bool {
        let hostname = &self.snapshot.topology.route(self.decision.route).hostname;
        self.link.as_ref().and_then(|(_, terms)| *terms).is_none_or(|terms| terms.allow(hostname))
    }
}

/// The route of what somebody typed as a hostname.
///
/// # Errors
/// A status and a sentence: 400 for what is no hostname, 404 for one that is not served.
pub fn route_of(topology: &Topology, host: &str) -> Result<RouteIndex, (u16, String)> {
    let hostname = Hostname::from_authority(host).map_err(|error| (400, format!("the hostname {host:?} {error}")))?;
    topology.route_by_hostname.get(&hostname).copied().ok_or_else(|| {
        let known = topology.routes.iter().map(|route| route.hostname.as_str());
        let meant = nearest(hostname.as_str(), known).map_or_else(
            || {
                format!(
                    "the written ones are {}",
                    some(
                        topology
                            .routes
                            .iter()
                            .filter(|route| !route.is_regional)
                            .map(|route| route.hostname.to_string())
                    )
                )
            },
            |meant| format!("did you mean {meant}?"),
        );
        (404, format!("nobody serves {hostname}; {meant}"))
    })
}

fn region_of<'a>(topology: &'a Topology, terms: &LinkTerms) -> Option<&'a str> {
    terms.region.map(|region| topology.region(region).name.as_str())
}
