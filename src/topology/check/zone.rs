//! The zone that nodes answer for: its name servers, how long its answers are believed, and what steering puts into it.

use super::{At, Proof};
use crate::limits::{NAMESERVERS_MAX, NEGATIVE_TTL_MAX};
use crate::names::Hostname;
use crate::topology::file::{Served, dns};
use crate::topology::mistake::Mistake;
use crate::topology::read::quoted;
use crate::topology::zone::master::shown;
use crate::topology::zone::words::Seconds;
use crate::topology::zone::{Answer, Believed, NameServer, Record, Zone, name_of};
use crate::topology::{Endpoint, Host, Route, Topology};
use hickory_proto::rr::{Name, RData, RecordType};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

/// Beyond this clients stay with what is gone for longer than they wait.
const TTL_WARNED: Duration = Duration::from_secs(60);
/// How long it is believed that something does not exist, unless the file says otherwise, seconds.
const NEGATIVE_TTL: u32 = 60;
/// Answers a second to one prefix and of one kind, unless the file says otherwise.
const ANSWERS_PER_SECOND: u32 = 200;
/// Names that a message names; others are counted.
const NAMED_MAX: usize = 3;

impl Proof<'_> {
    /// How long answers are believed: as `own` says, or else as `[zone]` does.
    pub(super) fn believed(&mut self, own: Option<&At<dns::Ttl>>) -> Believed {
        let common = self.file.zone.as_ref().and_then(|zone| zone.value.ttl.as_ref());
        let said = |of: fn(&dns::Ttl) -> Option<&At<Seconds>>, default: Duration| {
            let written = own.and_then(|own| of(&own.value)).or_else(|| common.and_then(|common| of(&common.value)));
            written.map_or(default, |seconds| seconds.value.duration())
        };
        let min = said(|ttl| ttl.min.as_ref(), Believed::DEFAULT.min);
        let max = said(|ttl| ttl.max.as_ref(), Believed::DEFAULT.max);
        if let Some(own) = own {
            self.ttl(own, Believed { min, max });
        }
        Believed { min, max }
    }

    /// Proves one written `ttl`, which means `believed`.
    fn ttl(&mut self, At { value, span }: &At<dns::Ttl>, Believed { min, max }: Believed) {
        if min > max {
            let title = format!("the ttl's min {} s is longer than its max {} s", min.as_secs(), max.as_secs());
            let help = "write both, min at most as long as max: min = \"20s\", max = \"60s\"";
            let place = value.min.as_ref().or(value.max.as_ref()).map_or(span, |bound| &bound.span);
            self.error(place, title, "which of them?", help);
            return;
        }
        if let Some(At { span, .. }) = value.max.as_ref().filter(|max| max.value.duration() > TTL_WARNED) {
            let title = format!("answers would be believed for {} s", max.as_secs());
            let help = "clients of a region or site that dies stay there for so long: use at most \"60s\"";
            self.mistakes.push(Mistake::warning(span.clone(), title, "long for what changes", help));
        }
    }

    /// Which hostnames DNS answers, and with what.
    pub(super) fn answered(&mut self, topology: &Topology) {
        let file = self.file;
        let written = file.hostname.as_ref().map_or(&[][..], |hostnames| &hostnames.value);
        let regions = file.region.as_ref().map_or(&[][..], |regions| &regions.value);
        // Nothing is said of a zone whose table is not there or cannot be read.
        if file.zone.is_none() {
            let hostnames = written.iter().flat_map(|At { value, .. }| [span(&value.answer), span(&value.ttl)]);
            let regional = regions.iter().flat_map(|At { value, .. }| [span(&value.answer), span(&value.ttl)]);
            let help = "add [zone], or remove it";
            for span in hostnames.chain(regional).flatten() {
                let title = "answer and ttl are about DNS, and there is no [zone]";
                self.mistakes.push(Mistake::warning(span.clone(), title, "no effect", help));
            }
            return;
        }
        for (at, route) in topology.routes.iter().filter(|route| !route.is_regional).enumerate() {
            let Some(At { value: Served { name, answer, .. }, .. }) = written.get(at) else { continue };
            let Some(name) = &**name else { continue };
            if !route.hostname.is_within(&topology.zone) {
                self.outside(&route.hostname, &topology.zone, &name.span);
                continue;
            }
            self.addressed(topology, route, answer.as_ref());
        }
        for route in topology.routes.iter().filter(|route| route.is_regional) {
            let said = regions.get(route.members[0].region.at()).and_then(|region| region.value.answer.as_ref());
            self.addressed(topology, route, said);
        }
        if let (Some(hostname), Some(nat)) = (&topology.nat_hostname, &file.nat_ips)
            && let Some(At { span, .. }) = nat.value.hostname.as_ref()
            && !hostname.is_within(&topology.zone)
        {
            self.outside(hostname, &topology.zone, span);
        }
        if let (Some(hostname), Some(page)) = (&topology.status.hostname, &file.status)
            && let Some(At { span, .. }) = page.value.hostname.as_ref()
            && !hostname.is_within(&topology.zone)
        {
            self.outside(hostname, &topology.zone, span);
        }
        self.sites_have_addresses(topology);
        self.endpoints_lead_elsewhere(topology);
    }

    fn outside(&mut self, hostname: &Hostname, zone: &Hostname, span: &Range<usize>) {
        let title = format!("hostname {hostname} lies outside the zone {zone}: DNS does not answer it here");
        let help =
            "whoever answers for it must lead to the sites: by their addresses, or by a CNAME to a name of the zone";
        self.mistakes.push(Mistake::warning(span.clone(), title, "not in the zone", help));
    }

    /// Whether everybody who may serve a route answered by regions can be dialled.
    fn addressed(&mut self, topology: &Topology, route: &Route, said: Option<&At<Answer>>) {
        let Some(At { span, .. }) = said.filter(|_| route.answer == Answer::Region) else { return };
        let without = route
            .members
            .iter()
            .map(|member| member.region)
            .filter(|region| !route.shuts_out(topology, *region) && topology.region(*region).addresses.is_empty());
        let without: Vec<String> = without.map(|region| topology.region(region).name.to_string()).collect();
        if without.is_empty() {
            return;
        }
        let who = if without.len() == 1 { "region" } else { "regions" };
        let title = format!(
            "hostname {} is answered with regions, and {who} {} has no addresses",
            route.hostname,
            few(&without)
        );
        let help = "give it addresses = [\"…\"], or use answer = \"front\"";
        self.error(span, title, "where to?", help);
    }

    /// Sites that DNS cannot name.
    fn sites_have_addresses(&mut self, topology: &Topology) {
        let (file, is_within) = (self.file, |route: &&Route| route.hostname.is_within(&topology.zone));
        let Some(zone) = &file.zone else { return };
        let front = topology.routes.iter().filter(is_within).find(|route| route.answer == Answer::Front);
        let mut own = topology.own_hostnames().filter(|hostname| hostname.is_within(&topology.zone));
        let Some(hostname) = front.map(|route| &route.hostname).or_else(|| own.next()) else { return };
        if topology.sites.iter().all(|site| site.addresses.is_empty()) {
            let title = format!("hostname {hostname} is answered with the addresses of sites, and no site has any");
            self.error(&zone.span, title, "nothing to answer", "add addresses = [\"…\"] to each [[site]]");
            return;
        }
        let written = file.site.as_ref().map_or(&[][..], |sites| &sites.value);
        for (site, At { value, span }) in topology.sites.iter().zip(written) {
            if site.addresses.is_empty() {
                let place = value.name.as_ref().map_or(span, |name| &name.span);
                let title = format!("site {} has no addresses: DNS sends nobody there", site.name);
                let help = "add addresses = [\"…\"]; sites that share one by anycast all name it";
                self.mistakes.push(Mistake::warning(place.clone(), title, "unknown to DNS", help));
            }
        }
    }

    /// No endpoint is found by asking ourselves.
    fn endpoints_lead_elsewhere(&mut self, topology: &Topology) {
        let file = self.file;
        let urls = file.region.iter().flat_map(|regions| &regions.value).flat_map(|At { value: region, .. }| {
            let short = region.endpoints.iter().flat_map(|list| &list.value);
            let long = region.endpoint.iter().flat_map(|list| &list.value);
            short.chain(long.filter_map(|endpoint| endpoint.value.url.as_ref()))
        });
        for (endpoint, url) in topology.endpoints.iter().zip(urls) {
            let Endpoint { name, connect, host: Host::Name(host), .. } = endpoint else { continue };
            if connect.is_empty() && host.is_within(&topology.zone) {
                let title = format!("endpoint {name} is in the zone {}, which this fleet answers", topology.zone);
                let help = format!(
                    "asked for {host}, nodes would be led back to themselves; say where it is: [[region.endpoint]] with \
                     url and connect = [\"ADDRESS:PORT\"], or name the endpoint outside the zone"
                );
                self.error(&url.span, title, "leads back here", help);
            }
        }
    }

    /// The zone, if there is one.
    pub(super) fn dns(&mut self, topology: &Topology) -> Option<Zone> {
        let At { value: written, .. } = self.file.zone.as_ref()?;
        let apex = name_of(&topology.zone);
        let ttl = self.believed(written.ttl.as_ref());
        let names = self.nameservers(written, topology);
        let mut content = self.records(written, &apex, &names, topology);
        let nameservers = self.glue(&names, &apex, topology, &mut content.records);
        let negative_ttl = written.negative_ttl.as_ref().map_or(NEGATIVE_TTL, |ttl| ttl.value.0);
        if let Some(At { span, .. }) =
            written.negative_ttl.as_ref().filter(|ttl| ttl.value.duration() > NEGATIVE_TTL_MAX)
        {
            let most = NEGATIVE_TTL_MAX.as_secs();
            let title = format!("negative_ttl {negative_ttl} s is longer than {most} s");
            self.error(span, title, "too long", "what is new would be unknown for so long: use at most \"60s\"");
        }
        if let Some(list) = &written.client_subnet_from {
            self.repeated("client_subnet_from", Some(list), ToString::to_string);
        }
        Some(Zone {
            apex,
            nameservers,
            hostmaster: written.hostmaster.as_ref().map_or_else(Name::root, |mailbox| mailbox.value.0.clone()),
            ttl,
            negative_ttl,
            records: content.records,
            aliases: content.aliases,
            keys: written.dnssec.as_ref().map(|signed| {
                signed.value.keys.as_ref().map_or_else(|| "dnssec".into(), |folder| folder.value.0.clone())
            }),
            version: written.version.as_ref().map(|text| text.value.0.as_str().into()),
            client_subnet_from: written
                .client_subnet_from
                .as_ref()
                .map(|list| list.value.iter().map(|network| network.value).collect()),
            answers_per_second: super::whole(written.answers_per_second.as_ref(), ANSWERS_PER_SECOND),
        })
    }

    /// The names of the name servers, each once.
    fn nameservers(&mut self, written: &dns::Zone, topology: &Topology) -> Vec<At<Name>> {
        let Some(list) = &*written.nameservers else { return Vec::new() };
        self.repeated("nameservers", Some(list), ToString::to_string);
        if let Some(over) = list.value.get(NAMESERVERS_MAX) {
            let title = format!("{} nameservers", list.value.len());
            self.error(&over.span, title, "one too many", format!("there may be at most {NAMESERVERS_MAX}"));
        }
        let mut names: Vec<At<Name>> = Vec::new();
        for At { value: hostname, span } in list.value.iter().take(NAMESERVERS_MAX) {
            if topology.route_by_hostname.contains_key(hostname) || topology.own_hostnames().any(|own| own == hostname)
            {
                let title = format!("name server {hostname} is a hostname that steering answers");
                let help =
                    "its addresses would depend on who asks: give it a name of its own, such as ns1 below the zone";
                self.error(span, title, "taken", help);
                continue;
            }
            let name = name_of(hostname);
            if names.iter().all(|known| known.value != name) {
                names.push(At { value: name, span: span.clone() });
            }
        }
        match &names[..] {
            [] if !self.is_told_within(&list.span) => {
                let help = "name at least two, such as ns1 and ns2 below the zone";
                self.error(&list.span, "the zone has no name server", "nothing in it", help);
            }
            [only] => {
                let title = format!("the zone has no name server but {}", shown(&only.value));
                let help = "name a second one, best at another provider: many parent zones want two";
                self.mistakes.push(Mistake::warning(list.span.clone(), title, "only one", help));
            }
            _ => {}
        }
        names
    }

    /// Gives every name server in the zone its addresses: those of `records`, which it loses, or else the sites'.
    fn glue(
        &mut self,
        names: &[At<Name>],
        apex: &Name,
        topology: &Topology,
        records: &mut Vec<Record>,
    ) -> Vec<NameServer> {
        let mut own: HashMap<Name, Vec<IpAddr>> = HashMap::new();
        records.retain(|record| {
            let address = match &record.data {
                RData::A(address) => IpAddr::V4(address.0),
                RData::AAAA(address) => IpAddr::V6(address.0),
                _ => return true,
            };
            let is_own = names.iter().any(|name| name.value == record.owner);
            if is_own {
                own.entry(record.owner.clone()).or_default().push(address);
            }
            !is_own
        });
        let families = [IpAddr::is_ipv4 as fn(&IpAddr) -> bool, IpAddr::is_ipv6].map(|is_family| {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in topology.sites.iter().flat_map(|site| &site.addresses).filter(|address| is_family(address)) {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
            addresses
        });
        let unserved: Vec<&Name> =
            names.iter().map(|name| &name.value).filter(|name| apex.zone_of(name) && !own.contains_key(name)).collect();
        let dealt: HashMap<Name, Vec<IpAddr>> = unserved
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let hand = families.iter().flat_map(|addresses| hand(addresses, at, unserved.len()));
                ((*name).clone(), hand.collect())
            })
            .collect();
        own.extend(dealt);
        let servers: Vec<NameServer> = names
            .iter()
            .map(|At { value: name, span }| {
                let glue = own.remove(name).unwrap_or_default();
                if glue.is_empty() && apex.zone_of(name) {
                    let title = format!("name server {} has no address", shown(name));
                    let help = "give the sites addresses, or the name server a [[zone.record]] of type A or AAAA";
                    self.error(span, title, "nobody finds it", help);
                }
                NameServer { name: name.clone(), glue }
            })
            .collect();
        self.one_fate_of_nameservers(names, &servers, apex);
        servers
    }

    /// Name servers that one address takes down together.
    fn one_fate_of_nameservers(&mut self, names: &[At<Name>], servers: &[NameServer], apex: &Name) {
        let [first, rest @ ..] = servers else { return };
        let is_same = |server: &NameServer| !server.glue.is_empty() && server.glue == first.glue;
        if rest.is_empty() || !servers.iter().all(|server| apex.zone_of(&server.name)) || !rest.iter().all(is_same) {
            return;
        }
        let title = "all name servers have the same addresses".to_owned();
        let help = "what cuts off one cuts off all: give the sites a second address, or name a server elsewhere";
        self.mistakes.push(Mistake::warning(names[1].span.clone(), title, "no second one", help));
    }
}

/// Where it is written, if it is.
fn span<T>(written: &Option<At<T>>) -> Option<&Range<usize>> {
    written.as_ref().map(|written| &written.span)
}

/// Those of `addresses` that the server number `at` of `servers` gets: every one goes to somebody, and nobody goes without.
fn hand(addresses: &[IpAddr], at: usize, servers: usize) -> Vec<IpAddr> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let own: Vec<IpAddr> = addresses.iter().copied().skip(at).step_by(servers).collect();
    if own.is_empty() { vec![addresses[at % addresses.len()]] } else { own }
}

/// The names of the zone that steering answers, those that nodes serve themselves among them, and whether by the front door.
pub(super) fn steered(topology: &Topology) -> HashMap<Name, bool> {
    let routes = topology.routes.iter().map(|route| (&route.hostname, route.answer == Answer::Front));
    let all = routes.chain(topology.own_hostnames().map(|hostname| (hostname, true)));
    let inside = all.filter(|(hostname, _)| hostname.is_within(&topology.zone));
    inside.map(|(hostname, is_front)| (name_of(hostname), is_front)).collect()
}

/// The first few of `names`, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `quoted` for a name.
pub(super) fn quoted_name(name: &Name) -> String {
    quoted(&shown(name))
}

/// Types that steering makes at the names it answers.
pub(super) const STEERED_TYPES: [RecordType; 4] =
    [RecordType::A, RecordType::AAAA, RecordType::HTTPS, RecordType::CNAME];
