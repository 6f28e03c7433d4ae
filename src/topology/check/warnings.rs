//! What is allowed and can never do what was hoped.

use super::{At, Proof, Region};
use crate::topology::file::Served;
use crate::topology::mistake::Mistake;
use crate::topology::{Endpoint, ProbeKind, Route, Steering, Topology};
use std::collections::HashSet;
use std::time::Duration;

/// How fast light goes in glass: two thirds of its speed in vacuum, kilometres per second.
const LIGHT_IN_GLASS_KM_PER_SECOND: f64 = 200_000.0;

impl Proof<'_> {
    /// Warns of everything in a topology that was proven.
    pub(super) fn warn(&mut self, topology: &Topology) {
        let file = self.file;
        let written = file.hostname.as_ref().map_or(&[][..], |hostnames| &hostnames.value);
        for (route, served) in topology.routes.iter().zip(written) {
            self.one_fate(topology, route, served);
        }
        self.unused(topology);
        self.too_far(topology);
        self.in_circles(topology);
        self.forward_knobs(topology);
        self.http2(topology);
    }

    fn warning(&mut self, span: &std::ops::Range<usize>, title: String, label: &str, help: impl Into<String>) {
        self.mistakes.push(Mistake::warning(span.clone(), title, label, help));
    }

    /// Hostnames that one provider's outage, or one region's, takes down.
    fn one_fate(&mut self, topology: &Topology, route: &Route, At { value: served, .. }: &At<Served>) {
        let Some(name) = &*served.name else { return };
        let is_inside = |region: &Region| {
            let fence = route.residency.as_ref();
            fence.is_none_or(|fence| region.place.country.is_some_and(|country| fence.countries.contains(&country)))
        };
        let usable: Vec<_> = route.members.iter().filter(|member| is_inside(topology.region(member.region))).collect();
        let providers: HashSet<_> = usable.iter().map(|member| topology.region(member.region).provider).collect();
        let hostname = &route.hostname;
        if let [only] = usable[..] {
            let region = &topology.region(only.region).name;
            let title = format!("hostname {hostname} has no region but {region}");
            self.warning(&name.span, title, "nothing to fail over to", "name a second region or a fallback");
        } else if providers.len() == 1 && topology.providers.len() > 1 {
            let provider = topology.provider(usable[0].region);
            let title = format!("all regions of hostname {hostname} are on provider {provider}");
            let help = format!("an outage of {provider} takes this hostname down; add a fallback elsewhere");
            self.warning(&name.span, title, "one provider", help);
        }
        let largest_level =
            usable.iter().map(|member| usable.iter().filter(|other| other.level == member.level).count()).max();
        if let Some(steering) = served.steering.as_ref().filter(|_| largest_level == Some(1)) {
            let title = format!("the steering of hostname {hostname} has no effect");
            self.warning(
                &steering.span,
                title,
                "every level has one region",
                "remove it, or put several regions into a level",
            );
        }
    }

    /// Regions that no hostname names, weights that no hostname uses.
    fn unused(&mut self, topology: &Topology) {
        let file = self.file;
        let named: HashSet<_> = topology
            .routes
            .iter()
            .filter(|route| !route.is_regional)
            .flat_map(|route| &route.members)
            .map(|member| member.region)
            .collect();
        let is_weighted = topology.routes.iter().any(|route| route.steering == Steering::Weighted);
        let mut weights = Vec::new();
        for (at, region) in file.region.iter().flat_map(|regions| &regions.value).enumerate() {
            if let Some(name) =
                region.value.name.as_ref().filter(|_| !named.contains(&crate::topology::RegionIndex::of(at)))
            {
                let title = format!("region {} serves only its own hostname", name.value);
                self.warning(&name.span, title, "in no [[hostname]]", "name it in a hostname if it should get traffic");
            }
            weights.extend(region.value.weight.as_ref().filter(|_| !is_weighted));
        }
        if let Some(first) = weights.first() {
            let count = weights.len();
            let title = format!("weight has no effect, on {count} region{}", if count == 1 { "" } else { "s" });
            self.warning(
                &first.span,
                title,
                "no hostname is weighted",
                "use steering = \"weighted\" somewhere, or remove the weights",
            );
        }
    }

    /// Limits shorter than light needs from the farthest site.
    fn too_far(&mut self, topology: &Topology) {
        let file = self.file;
        let Some(written) = file.region.as_ref() else { return };
        for (region, At { value, .. }) in topology.regions.iter().zip(&written.value) {
            let Some(name) = &*value.name else { continue };
            let tls = region.endpoints.iter().any(|endpoint| topology.endpoint(*endpoint).tls);
            let connect = 1 + u32::from(tls);
            let probe = connect + u32::from(region.probe.kind != ProbeKind::Tcp);
            let farthest = topology.sites.iter().map(|site| (site, site.place.at.distance_km(&region.place.at)));
            let Some((site, km)) = farthest.max_by(|(_, a), (_, b)| a.total_cmp(b)) else { continue };
            let round_trip = Duration::from_secs_f64(2.0 * km / LIGHT_IN_GLASS_KM_PER_SECOND);
            for (what, limit, trips) in [
                ("probe's timeout", region.probe.timeout, probe),
                ("connect_timeout", topology.forward.connect_timeout, connect),
            ] {
                let needed = round_trip * trips;
                if limit < needed {
                    let title =
                        format!("{what} of {limit:?} is too short for region {} from site {}", region.name, site.name);
                    let help = format!(
                        "light in glass needs {} ms for {trips} round trips of {km:.0} km: it can never pass",
                        needed.as_millis()
                    );
                    self.warning(&name.span, title, "too far away", help);
                }
            }
        }
    }

    /// Endpoints that are our own front door.
    fn in_circles(&mut self, topology: &Topology) {
        let file = self.file;
        let written: HashSet<_> =
            topology.routes.iter().filter(|route| !route.is_regional).map(|route| &route.hostname).collect();
        let urls = file.region.iter().flat_map(|regions| &regions.value).flat_map(|region| {
            let short = region.value.endpoints.iter().flat_map(|list| &list.value);
            short.chain(
                region
                    .value
                    .endpoint
                    .iter()
                    .flat_map(|list| &list.value)
                    .filter_map(|endpoint| endpoint.value.url.as_ref()),
            )
        });
        for (endpoint, url) in topology.endpoints.iter().zip(urls) {
            let Endpoint { name, connect, host: crate::topology::Host::Name(host), .. } = endpoint else { continue };
            if connect.is_empty() && written.contains(host) {
                let title = format!("endpoint {name} is a hostname that this front door serves");
                self.warning(
                    &url.span,
                    title,
                    "leads back here",
                    "name the region's own address, or say where it is with connect",
                );
            }
        }
    }

    /// HTTP/2 said where TLS says it, and not said where a probe needs it.
    fn http2(&mut self, topology: &Topology) {
        let file = self.file;
        let written = file.region.iter().flat_map(|regions| &regions.value);
        for (region, At { value, .. }) in topology.regions.iter().zip(written) {
            for At { value: endpoint, .. } in value.endpoint.iter().flat_map(|list| &list.value) {
                let is_tls = endpoint.url.as_ref().is_some_and(|url| url.value.tls);
                if let Some(At { span, .. }) = endpoint.http2.as_ref().filter(|_| is_tls) {
                    let title = "http2 has no effect on an endpoint with https".to_owned();
                    self.warning(span, title, "the handshake says what is spoken", "remove http2");
                }
            }
            let speaks_http1 = |endpoint: &&Endpoint| !endpoint.tls && !endpoint.http2;
            let mut endpoints = region.endpoints.iter().map(|endpoint| topology.endpoint(*endpoint));
            if let (ProbeKind::Grpc { .. }, Some(endpoint), Some(name)) =
                (&region.probe.kind, endpoints.find(speaks_http1), &*value.name)
            {
                let title = format!("a probe of kind \"grpc\" can never pass at endpoint {}", endpoint.name);
                let help = "gRPC needs HTTP/2: use https, or a [[region.endpoint]] with http2 = true";
                self.warning(&name.span, title, "it speaks HTTP/1.1 in the clear", help);
            }
        }
    }

    /// Keys of `[forward]` that defeat each other, or trust too much.
    fn forward_knobs(&mut self, topology: &Topology) {
        let file = self.file;
        let Some(At { value: forward, .. }) = &file.forward else { return };
        let (connect, failover) = (topology.forward.connect_timeout, topology.forward.failover_timeout);
        let place = forward.failover_timeout.as_ref().or(forward.connect_timeout.as_ref());
        if let Some(At { span, .. }) = place.filter(|_| failover <= connect) {
            let title = format!("failover_timeout {failover:?} leaves no time after one connect_timeout {connect:?}");
            self.warning(
                span,
                title,
                "a silent region would be the last one tried",
                "make failover_timeout several times connect_timeout",
            );
        }
        for At { value, span } in forward.trusted_proxies.iter().flat_map(|list| &list.value) {
            if value.prefix_len() == 0 {
                let title = format!("trusted_proxies {value} is everybody");
                self.warning(
                    span,
                    title,
                    "anyone may claim to be anyone",
                    "name only the networks of your own proxies",
                );
            }
        }
    }
}
