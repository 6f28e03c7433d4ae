//! What the configuration means for DNS and for certificates by it.

use crate::topology::zone::master::shown;
use crate::topology::zone::{Answer, Believed, Zone};
use crate::topology::{Route, Topology};
use hickory_proto::rr::Name;
use serde_json::{Value, json};

/// What is told of the zone, as rows: what it is about, and what is so. Nothing without a zone.
pub(super) fn rows(topology: &Topology) -> Vec<(&'static str, String)> {
    let Some(zone) = &topology.dns else { return Vec::new() };
    let signed = match &zone.keys {
        Some(folder) => format!("signed with the keys in {} of the state directory", folder.display()),
        None => "not signed".to_owned(),
    };
    let mut rows = vec![("zone", format!("{}, {signed}", shown(&zone.apex)))];
    let servers = zone.nameservers.iter().map(|server| match &server.glue[..] {
        [] => shown(&server.name),
        glue => format!("{} ({})", shown(&server.name), list(glue.iter())),
    });
    rows.push(("name servers", list(servers)));
    rows.push(("hostmaster", mailbox(&zone.hostmaster)));
    let negative = zone.negative_ttl;
    rows.push(("believed for", format!("{}; what does not exist for {negative} s", believed(zone.ttl))));
    if let Some(networks) = &zone.client_subnet_from {
        let who = if networks.is_empty() { "of nobody".to_owned() } else { format!("of {}", list(networks.iter())) };
        rows.push(("subnets", format!("of clients are believed {who}")));
    }
    let counts = [
        (zone.records.len(), "record", "records"),
        (zone.aliases.len(), "name that has what another has", "names that have what others have"),
    ];
    let counts = counts.iter().filter(|(count, ..)| *count > 0);
    let counts = counts.map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }));
    let besides = list(counts);
    if !besides.is_empty() {
        rows.push(("besides", besides));
    }
    if let Some(acme) = &topology.acme {
        rows.push(("certificates", format!("for {}, from {}", list(acme.names.iter()), acme.directory)));
    }
    rows
}

/// What is told of a hostname, where it differs from what the zone says.
pub(super) fn answer(topology: &Topology, route: &Route) -> Option<String> {
    let zone = topology.dns.as_ref().filter(|_| route.hostname.is_within(&topology.zone))?;
    let ttl = Some(believed(route.ttl)).filter(|_| route.ttl != zone.ttl);
    match (route.answer, ttl) {
        (Answer::Front, None) => None,
        (Answer::Front, Some(ttl)) => Some(format!("with sites, for {ttl}")),
        (Answer::Region, None) => Some("with its regions' own addresses".to_owned()),
        (Answer::Region, Some(ttl)) => Some(format!("with its regions' own addresses, for {ttl}")),
    }
}

/// The zone for programs; null without one.
pub(super) fn zone_json(topology: &Topology) -> Value {
    let Some(zone) = &topology.dns else { return Value::Null };
    let Zone { apex, nameservers, hostmaster, ttl, negative_ttl, records, aliases, .. } = &**zone;
    let nameservers = nameservers.iter().map(|server| json!({ "name": shown(&server.name), "glue": server.glue }));
    let records = records.iter().map(|record| {
        let (kind, data) = (record.data.record_type().to_string(), record.data.to_string());
        json!({ "name": shown(&record.owner), "type": kind, "ttl": record.ttl, "data": data })
    });
    let aliases = aliases
        .iter()
        .map(|alias| json!({ "name": shown(&alias.owner), "ttl": alias.ttl, "target": shown(&alias.target) }));
    json!({
        "apex": shown(apex),
        "nameservers": nameservers.collect::<Vec<_>>(),
        "hostmaster": mailbox(hostmaster),
        "ttl": ttl_json(*ttl),
        "negative_ttl": negative_ttl,
        "records": records.collect::<Vec<_>>(),
        "aliases": aliases.collect::<Vec<_>>(),
        "signed": zone.keys.is_some(),
        "client_subnet_from": zone.client_subnet_from,
        "answers_per_second": zone.answers_per_second,
    })
}

/// How certificates are got, for programs; null if they are files.
pub(super) fn acme_json(topology: &Topology) -> Value {
    let Some(acme) = &topology.acme else { return Value::Null };
    let names: Vec<String> = acme.names.iter().map(ToString::to_string).collect();
    json!({ "directory": acme.directory, "contact": acme.contact, "names": names, "profile": acme.profile })
}

/// Bounds in seconds, for programs.
pub(super) fn ttl_json(ttl: Believed) -> Value {
    json!({ "min": ttl.min.as_secs(), "max": ttl.max.as_secs() })
}

fn believed(Believed { min, max }: Believed) -> String {
    if min == max { format!("{} s", max.as_secs()) } else { format!("{} to {} s", min.as_secs(), max.as_secs()) }
}

/// The mailbox that SOA writes so (RFC 1035 §3.3.13).
fn mailbox(name: &Name) -> String {
    let local = name.iter().next().map(|label| String::from_utf8_lossy(label).into_owned()).unwrap_or_default();
    format!("{local}@{}", shown(&name.base_name()))
}

fn list<T: ToString>(things: impl Iterator<Item = T>) -> String {
    things.map(|thing| thing.to_string()).collect::<Vec<_>>().join(", ")
}
