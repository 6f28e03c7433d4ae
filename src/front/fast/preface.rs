//! What is written into every head of one connection.

use super::head;
use crate::client::Asker;
use crate::front::budget::Budget;
use crate::front::connection::Connection;
use crate::front::headers::{Introduction, REQUEST_ID, member, toward_region};
use crate::names::Hostname;
use crate::snapshot::Snapshot;
use crate::topology::{RegionIndex, RouteIndex};
use http::{HeaderMap, HeaderValue, Version};
use std::sync::Arc;

/// What is said about every request of this connection, and about every answer of a region: made once a generation.
#[derive(Debug, Default)]
pub struct Preface {
    generation: u64,
    route: Option<RouteIndex>,
    /// Lines for the region.
    pub toward_region: Vec<u8>,
    region: Option<RegionIndex>,
    /// What the client reads up to the status that the region gave.
    pub before_status: Vec<u8>,
    /// And after it.
    pub after_status: Vec<u8>,
    /// Where successes of this route at this region are counted.
    pub budget: Option<Arc<Budget>>,
}

impl Preface {
    /// Brings it up to date for a request that goes to `region`.
    pub fn follow(
        &mut self,
        snapshot: &Snapshot,
        route: RouteIndex,
        region: RegionIndex,
        hostname: &Hostname,
        asker: &Asker,
        connection: &Connection,
    ) {
        if self.generation != snapshot.generation {
            *self = Self { generation: snapshot.generation, ..Self::default() };
        }
        let site = &snapshot.here.name;
        if self.route != Some(route) {
            self.route = Some(route);
            self.region = None;
            let zone = &snapshot.topology.zone;
            let introduction = Introduction::new(hostname, asker, &connection.arrival, Version::HTTP_11, site, zone);
            let nobody = HeaderValue::from_static("-");
            let mut headers = toward_region(&HeaderMap::new(), &introduction, &nobody, false);
            headers.remove(REQUEST_ID);
            self.toward_region.clear();
            for (name, value) in &headers {
                head::field(&mut self.toward_region, name.as_str().as_bytes(), value.as_bytes());
            }
        }
        if self.region != Some(region) {
            self.region = Some(region);
            let region = &snapshot.topology.region(region).name;
            let member = member(site, region);
            self.budget = Some(connection.front.budgets.of(hostname, region));
            self.before_status = format!("via: 1.1 {site}\r\nproxy-status: {member}; received-status=").into_bytes();
            self.after_status = format!("\r\nx-anyfront-region: {region}\r\n").into_bytes();
        }
    }
}
