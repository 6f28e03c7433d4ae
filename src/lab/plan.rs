//! The world on paper: from a fleet's `regions.toml` to one whose endpoints are stand-ins.
//!
//! Pure: text in, text out. Regions, hostnames, classes and probes stay as they are written.

use super::fault::Aim;
use crate::names::Label;
use crate::topology::check::check;
use crate::topology::{Endpoint, Host, HostFrom, Topology};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The fleet in the box.
pub const FLEET: &str = include_str!("../../regions.toml");
/// What the fleet in the box is called in messages.
pub const FLEET_NAME: &str = "regions.toml";
/// The node's file, the authority's and the node's own pair, in the world's folder.
pub const CONFIG_FILE: &str = "regions.toml";
/// The certificate of the lab's authority.
pub const AUTHORITY_FILE: &str = "authority.pem";

/// Networks of loopback and where a client in them is: `curl --interface 127.61.0.1` is in Sydney. The second number
/// is the country's telephone code where one fits; New York has its area code.
pub const CLIENTS: [(&str, &str, &str, f64, f64); 14] = [
    ("127.44.0.0/16", "London", "GB", 51.51, -0.13),
    ("127.33.0.0/16", "Paris", "FR", 48.86, 2.35),
    ("127.49.0.0/16", "Berlin", "DE", 52.52, 13.41),
    ("127.34.0.0/16", "Madrid", "ES", 40.42, -3.70),
    ("127.1.0.0/16", "New York", "US", 40.71, -74.01),
    ("127.2.0.0/16", "San Francisco", "US", 37.77, -122.42),
    ("127.3.0.0/16", "Toronto", "CA", 43.65, -79.38),
    ("127.55.0.0/16", "São Paulo", "BR", -23.55, -46.63),
    ("127.27.0.0/16", "Johannesburg", "ZA", -26.20, 28.05),
    ("127.97.0.0/16", "Doha", "QA", 25.29, 51.53),
    ("127.91.0.0/16", "Mumbai", "IN", 19.08, 72.88),
    ("127.65.0.0/16", "Singapore", "SG", 1.35, 103.82),
    ("127.81.0.0/16", "Tokyo", "JP", 35.68, 139.69),
    ("127.61.0.0/16", "Sydney", "AU", -33.87, 151.21),
];

/// Why there can be no such world.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The fleet's own file has mistakes.
    #[error("the fleet's file has mistakes\n{0}")]
    Fleet(String),
    /// What was asked for besides is no TOML.
    #[error("what shall be merged into the file is no TOML: {0}")]
    Extra(toml::de::Error),
    /// The file for the node would have mistakes.
    #[error("the file for the node has mistakes\n{0}")]
    Generated(String),
}

/// How the node's file differs from the fleet's.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Whether the stand-ins speak TLS.
    pub is_tls: bool,
    /// Whether the node shall believe `X-Forwarded-For` from loopback.
    pub trusts_loopback: bool,
    /// TOML merged over the rest: tables key by key, everything else replaced.
    pub extra: String,
}

/// The fleet, proven.
///
/// # Errors
/// Every mistake, drawn.
pub fn read(source: &str, path: &Path) -> Result<Topology, PlanError> {
    check(source, path).map(|checked| checked.topology).map_err(|mistakes| PlanError::Fleet(mistakes.to_string()))
}

/// The name of the stand-in number `at` of a region: a, b, c.
#[must_use]
pub fn letter(at: usize) -> String {
    // Past z come aa, ab and so on; there are 32 endpoints in a region at most.
    let letter = |at: usize| char::from(b'a' + u8::try_from(at % 26).expect("below 26"));
    if at < 26 { letter(at).to_string() } else { format!("{}{}", letter(at / 26 - 1), letter(at)) }
}

/// The node's file: `source` (read from `path`, meaning `fleet`) with the addresses of the stand-ins of each region.
///
/// # Errors
/// If what is to be merged is no TOML.
pub fn write(
    source: &str,
    path: &Path,
    fleet: &Topology,
    addresses: &[Vec<SocketAddr>],
    changes: &Changes,
) -> Result<String, PlanError> {
    let mut file: Table = source.parse().map_err(|error: toml::de::Error| PlanError::Fleet(error.to_string()))?;
    if let Some(Value::Array(regions)) = file.get_mut("region") {
        for ((region, known), addresses) in regions.iter_mut().zip(&fleet.regions).zip(addresses) {
            let Value::Table(region) = region else { continue };
            let first = known.endpoints.first().map(|endpoint| fleet.endpoint(*endpoint));
            let Some(first) = first else { continue };
            let tables =
                addresses.iter().enumerate().map(|(at, address)| endpoint(first, at, *address, changes.is_tls));
            let tables = tables.collect();
            region.remove("endpoints");
            region.insert("endpoint".to_owned(), Value::Array(tables));
            let public = addresses.iter().map(|address| address.ip().to_string().into());
            region.insert("addresses".to_owned(), Value::Array(public.collect()));
        }
    }
    dns(&mut file, fleet);
    let forward = table_of(&mut file, "forward");
    forward.insert("trust".to_owned(), Value::Array(vec![AUTHORITY_FILE.into()]));
    if changes.trusts_loopback {
        forward.insert("trusted_proxies".to_owned(), Value::Array(vec!["127.0.0.0/8".into()]));
    }
    let geo = table_of(&mut file, "geo");
    if let Some(Value::String(database)) = geo.get_mut("database") {
        let folder = path.parent().unwrap_or(Path::new(""));
        let absolute = std::path::absolute(folder.join(&*database)).unwrap_or_else(|_| PathBuf::from(&*database));
        *database = absolute.display().to_string();
    }
    if let Value::Array(places) = geo.entry("place").or_insert_with(|| Value::Array(Vec::new())) {
        let ours = CLIENTS.iter().map(|(prefix, ..)| *prefix);
        let ours: Vec<&str> = ours.collect();
        places.retain(|place| place.get("prefix").and_then(Value::as_str).is_none_or(|prefix| !ours.contains(&prefix)));
        places.extend(CLIENTS.iter().map(place));
    }
    let extra: Table = changes.extra.parse().map_err(PlanError::Extra)?;
    merge(&mut file, extra);
    let head = "# Written by `anyfront lab` for the node in front of it; made anew at every start.\n\n";
    Ok(format!("{head}{file}"))
}

/// What the node will make of its file.
///
/// # Errors
/// Every mistake, drawn.
pub fn prove(text: &str, path: &Path) -> Result<Topology, PlanError> {
    check(text, path).map(|checked| checked.topology).map_err(|mistakes| PlanError::Generated(mistakes.to_string()))
}

/// What the stand-ins of `fleet` must have certificates for.
#[must_use]
pub fn endpoint_names(fleet: &Topology) -> Vec<String> {
    let own = fleet.endpoints.iter().map(|endpoint| match &endpoint.host {
        Host::Name(name) => name.to_string(),
        Host::Address(address) => address.to_string(),
    });
    unique(own.chain(front_names(fleet)))
}

/// What the node needs certificates for.
#[must_use]
pub fn front_names(fleet: &Topology) -> Vec<String> {
    let zone = [fleet.zone.to_string(), format!("*.{}", fleet.zone)];
    unique(zone.into_iter().chain(fleet.routes.iter().map(|route| route.hostname.to_string())))
}

/// Says what `aim` could have meant.
#[must_use]
pub fn nobody(aim: &Aim, fleet: &Topology) -> String {
    let regions: Vec<&str> = fleet.regions.iter().map(|region| region.name.as_str()).collect();
    let providers: Vec<&str> = fleet.providers.iter().map(Label::as_str).collect();
    format!(
        "there is no {aim} in this world: the regions are {}, the providers {}, the endpoints REGION/a and so on",
        regions.join(", "),
        providers.join(", ")
    )
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn endpoint(like: &Endpoint, at: usize, address: SocketAddr, is_tls: bool) -> Value {
    let scheme = if is_tls { "https" } else { "http" };
    let mut table = Table::new();
    table.insert("name".to_owned(), letter(at).into());
    table.insert("url".to_owned(), format!("{scheme}://{}", like.host).into());
    table.insert("connect".to_owned(), Value::Array(vec![address.to_string().into()]));
    if like.host_from == HostFrom::Client {
        table.insert("host".to_owned(), "client".into());
    }
    Value::Table(table)
}

/// What the node answers by DNS: everything here is on loopback, signed by nobody and certified by the lab itself.
fn dns(file: &mut Table, fleet: &Topology) {
    for (at, site) in file.get_mut("site").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
        let Value::Table(site) = site else { continue };
        site.insert("addresses".to_owned(), Value::Array(vec![site_address(at).to_string().into()]));
    }
    // A lab must never ask the real authority, and has not the real keys.
    file.remove("acme");
    if let Some(Value::Table(zone)) = file.get_mut("zone") {
        zone.remove("dnssec");
        return;
    }
    let is_free = |name: &String| {
        !fleet.route_by_hostname.contains_key(name.as_str()) && fleet.own_hostnames().all(|own| own.as_str() != name)
    };
    let names = (1..).map(|number: usize| format!("ns{number}.{}", fleet.zone)).filter(is_free);
    let mut record = Table::new();
    record.insert("name".to_owned(), "@".into());
    record.insert("type".to_owned(), "TXT".into());
    record.insert("value".to_owned(), "anyfront lab".into());
    let zone = table_of(file, "zone");
    zone.insert("nameservers".to_owned(), Value::Array(names.take(2).map(Value::from).collect()));
    zone.insert("hostmaster".to_owned(), format!("hostmaster@{}", fleet.zone).into());
    zone.insert("record".to_owned(), Value::Array(vec![Value::Table(record)]));
}

/// Where the site number `at` is: the first one where the lab's node listens unless it is told otherwise.
fn site_address(at: usize) -> Ipv4Addr {
    let number = u16::try_from(at + 1).expect("check bounds the sites");
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

fn place((prefix, city, country, latitude, longitude): &(&str, &str, &str, f64, f64)) -> Value {
    let mut table = Table::new();
    table.insert("prefix".to_owned(), (*prefix).into());
    table.insert("city".to_owned(), (*city).into());
    table.insert("country".to_owned(), (*country).into());
    table.insert("latitude".to_owned(), (*latitude).into());
    table.insert("longitude".to_owned(), (*longitude).into());
    Value::Table(table)
}

/// The table under `key`, made if it is not there.
fn table_of<'a>(file: &'a mut Table, key: &str) -> &'a mut Table {
    let value = file.entry(key).or_insert_with(|| Value::Table(Table::new()));
    if !value.is_table() {
        *value = Value::Table(Table::new());
    }
    value.as_table_mut().expect("made a table above")
}

fn merge(into: &mut Table, extra: Table) {
    for (key, value) in extra {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(extra)) => merge(into, extra),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn endpoints_have_letters() {
        assert_eq!([0, 1, 25, 26, 31].map(letter), ["a", "b", "z", "aa", "af"]);
    }

    #[test]
    fn the_fleet_stays_what_it_is_but_for_its_endpoints() {
        let path = Path::new(FLEET_NAME);
        let fleet = read(FLEET, path).expect("the fleet in the box is right");
        let address = |at: usize, which| SocketAddr::from(([127, 128, which, u8::try_from(at).expect("few")], 7443));
        let addresses: Vec<_> = (0..fleet.regions.len()).map(|at| vec![address(at, 1), address(at, 2)]).collect();
        let extra = "[probe]\ninterval = \"300ms\"\n[forward]\nattempts = 2\ntrust = []".to_owned();
        let changes = Changes { is_tls: true, trusts_loopback: true, extra };
        let text = write(FLEET, path, &fleet, &addresses, &changes).expect("it can be written");
        let node = prove(&text, path).expect("it is right");
        let names =
            |topology: &Topology| topology.routes.iter().map(|route| route.hostname.clone()).collect::<Vec<_>>();
        assert_eq!(names(&node), names(&fleet));
        assert_eq!(node.classes.len(), fleet.classes.len());
        assert_eq!((node.endpoints.len(), node.endpoints[3].connect[0]), (28, address(1, 2)));
        assert_eq!(node.endpoints[0].name.as_str(), "orf/a");
        assert_eq!((node.forward.attempts, node.forward.trusted_proxies.len()), (2, 1));
        assert_eq!(node.forward.connect_timeout, fleet.forward.connect_timeout);
        assert_eq!(node.regions[0].probe.interval.as_millis(), 300);
        assert_eq!(node.geo.places.len(), CLIENTS.len());
    }

    #[test]
    fn the_node_answers_for_the_zone_and_everything_in_it_is_on_loopback() {
        let path = Path::new(FLEET_NAME);
        let own = FLEET.replace("name = \"orf\"", "name = \"ns1\"").replace("\"orf\", ", "\"ns1\", ");
        let fleet = read(&own, path).expect("a fleet with a region that is called as a name server might be");
        let addresses: Vec<_> =
            fleet.regions.iter().map(|_| vec![SocketAddr::from(([127, 128, 1, 1], 7443))]).collect();
        let changes = Changes {
            extra: "[forward]\ntrust = []\n[zone]\nttl = { max = \"30s\" }".to_owned(),
            ..Changes::default()
        };
        let text = write(&own, path, &fleet, &addresses, &changes).expect("it can be written");
        let node = prove(&text, path).expect("it is right");
        let zone = node.dns.as_ref().expect("a zone");
        let servers: Vec<String> = zone.nameservers.iter().map(|server| server.name.to_string()).collect();
        assert_eq!(servers, ["ns2.gateway.truefoundry.ai.", "ns3.gateway.truefoundry.ai."], "ns1 is a region");
        assert_eq!((zone.records.len(), zone.ttl.max.as_secs()), (1, 30));
        let sites = node.sites.iter().flat_map(|site| &site.addresses);
        let all = node.regions.iter().flat_map(|region| &region.addresses).chain(sites);
        let glue = zone.nameservers.iter().flat_map(|server| &server.glue);
        assert!(all.chain(glue).all(IpAddr::is_loopback));
        assert_eq!([site_address(0), site_address(255)], [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 1, 0)]);
    }

    #[test]
    fn a_lab_keeps_the_zone_of_its_fleet_and_asks_no_authority() {
        let path = Path::new(FLEET_NAME);
        let own = "[zone]\nnameservers = [\"ns1.example.com\", \"ns2.example.com\"]\nhostmaster = \"a@example.com\"\n\
             [zone.dnssec]\n[acme]\ndirectory = \"https://acme.example/\"\n";
        let elsewhere = FLEET.replace(".gateway.truefoundry.ai\"]", ".gateway.example.com\"]");
        let fleet = read(&format!("{elsewhere}{own}"), path).expect("endpoints outside the zone need no addresses");
        let changes = Changes { extra: "[forward]\ntrust = []".to_owned(), ..Changes::default() };
        let text = write(&format!("{elsewhere}{own}"), path, &fleet, &[], &changes).expect("it can be written");
        let node = prove(&text, path).expect("it is right");
        let zone = node.dns.as_ref().expect("a zone");
        assert_eq!((zone.nameservers[0].name.to_string().as_str(), &zone.keys), ("ns1.example.com.", &None));
        assert!(fleet.acme.is_some() && node.acme.is_none());
    }

    #[test]
    fn what_cannot_be_merged_is_told() {
        let path = Path::new(FLEET_NAME);
        let fleet = read(FLEET, path).expect("the fleet in the box is right");
        let with = |extra: &str| Changes { extra: extra.to_owned(), ..Changes::default() };
        assert!(matches!(write(FLEET, path, &fleet, &[], &with("no toml")), Err(PlanError::Extra(_))));
        let wrong = write(FLEET, path, &fleet, &[], &with("[probe]\ninterval = 1")).expect("it is TOML");
        assert!(matches!(prove(&wrong, path), Err(PlanError::Generated(_))));
    }
}
