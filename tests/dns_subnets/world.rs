//! Regions far apart, and networks in countries that are clearly nearest to one of them.

use crate::dns::endpoint::Endpoint;
use anyfront::moment::Dice;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mmdb_writer::{Value, Writer};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use tempfile::TempDir;

/// The zone of all servers.
pub const ZONE: &str = "geo.test";
/// The name that depends on the client.
pub const GEO: &str = "where.geo.test";

/// Regions: name, degrees north and east. Region N has the address 192.0.2.N. The site stands beside the first, which is
/// for nobody else, so that not to know a client is an answer of its own for everybody.
const REGIONS: [(&str, f64, f64); 4] =
    [("ata", -80.0, 0.0), ("lhr", 51.51, -0.13), ("orf", 38.95, -77.45), ("syd", -33.87, 151.21)];
/// Countries of the database: code, point, and the region that is nearest.
const COUNTRIES: [(&str, f64, f64, u8); 6] = [
    ("GB", 51.51, -0.13, 2),
    ("FR", 48.86, 2.35, 2),
    ("US", 38.9, -77.0, 3),
    ("CA", 43.65, -79.38, 3),
    ("AU", -33.87, 151.21, 4),
    ("NZ", -36.85, 174.76, 4),
];

/// All of it.
#[derive(Debug)]
pub struct World {
    endpoints: Vec<Endpoint>,
    /// Networks, wide ones first, and the number of their country; narrow ones win.
    pub networks: Vec<(IpNet, usize)>,
    /// The database with them.
    pub database: PathBuf,
    _folder: TempDir,
}

impl World {
    /// Networks as wide as resolvers tell apart, or wider: /24 and /56 are the finest.
    pub fn coarse() -> Self {
        Self::new(24, 56)
    }

    /// Networks of every size.
    pub fn fine() -> Self {
        Self::new(32, 128)
    }

    /// Always the same for the same finest lengths.
    fn new(v4: u64, v6: u64) -> Self {
        let mut dice = Dice::seeded(4);
        let mut networks = Vec::new();
        for at in 0..400 {
            let is_v4 = at % 3 != 0;
            let bits = if is_v4 { 8 + dice.roll() % (v4 - 7) } else { 20 + dice.roll() % (v6 - 19) };
            // Half of them inside another one.
            let address = match dice.roll() % 2 {
                0 if !networks.is_empty() => {
                    let (network, _): (IpNet, usize) = networks[at / 2 % networks.len()];
                    if network.addr().is_ipv4() == is_v4 {
                        within(network, &mut dice)
                    } else {
                        anywhere(&mut dice, is_v4)
                    }
                }
                _ => anywhere(&mut dice, is_v4),
            };
            let country = usize::try_from(dice.roll() % COUNTRIES.len() as u64).expect("few");
            networks.push((network(address, u8::try_from(bits).expect("few")), country));
        }
        networks.sort_by_key(|(network, _)| network.prefix_len());
        let mut writer = Writer::new("Test-City");
        for (network, country) in &networks {
            let (code, latitude, longitude, _) = COUNTRIES[*country];
            let names = Value::map([("en", Value::from(code))]);
            let entry = Value::map([
                ("continent", Value::map([("code", Value::from("EU"))])),
                ("country", Value::map([("iso_code", Value::from(code)), ("names", names)])),
                ("location", Value::map([("latitude", Value::from(latitude)), ("longitude", Value::from(longitude))])),
            ]);
            writer.insert_value(*network, entry).expect("inserted");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("geo.mmdb");
        std::fs::write(&database, writer.to_bytes().expect("a database")).expect("written");
        let endpoints = REGIONS.iter().map(|_| Endpoint::start()).collect();
        Self { endpoints, networks, database, _folder: folder }
    }

    /// The master file, with what stands at the geo name.
    pub fn master(&self, geo: &str) -> String {
        format!(
            "$ORIGIN {ZONE}.\n$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n\
             static A 192.0.2.200\nwhere {geo}\n"
        )
    }

    /// What Knot answers to whom.
    pub fn knot(&self) -> String {
        let mut text = format!("{GEO}:\n");
        for (code, _, _, region) in COUNTRIES {
            _ = writeln!(text, "  - geo: \"{code}\"\n    A: 192.0.2.{region}");
        }
        text
    }

    /// What gdnsd answers to whom: the nearest, as we do.
    pub fn gdnsd(&self) -> String {
        let [mut names, mut points, mut addresses] = [String::new(), String::new(), String::new()];
        for ((name, latitude, longitude), number) in REGIONS.into_iter().zip(1..) {
            _ = write!(names, "{name}, ");
            _ = write!(points, "{name} => [ {latitude}, {longitude} ], ");
            _ = write!(addresses, "{name} => 192.0.2.{number}, ");
        }
        format!(
            "plugins => {{ geoip => {{ maps => {{ m => {{ geoip2_db => {}, datacenters => [ {names} ], auto_dc_limit => 1, \
             auto_dc_coords => {{ {points} }} }} }}, resources => {{ geo => {{ map => m, dcmap => {{ {addresses} }} }} }} }} }}\n",
            self.database.display()
        )
    }

    /// The fleet.
    pub fn regions(&self) -> String {
        let mut text = format!(
            "[fleet]\nname = \"geo\"\nzone = \"{ZONE}\"\n\
             [[site]]\nname = \"here\"\nlatitude = -80.0\nlongitude = 0.0\naddresses = [\"192.0.2.99\"]\n\
             [geo]\ndatabase = \"{}\"\n\
             [zone]\nnameservers = [\"ns1.{ZONE}\"]\nhostmaster = \"hostmaster@{ZONE}\"\nanswers_per_second = 0\n\
             [[zone.record]]\nname = \"static\"\ntype = \"A\"\nvalue = \"192.0.2.200\"\n\
             [[hostname]]\nname = \"{GEO}\"\nanswer = \"region\"\nregions = [\"*\"]\nttl = {{ min = \"1s\", max = \"2s\" }}\n",
            self.database.display()
        );
        for (((name, latitude, longitude), endpoint), number) in REGIONS.into_iter().zip(&self.endpoints).zip(1..) {
            _ = write!(
                text,
                "[[region]]\nname = \"{name}\"\nprovider = \"p{number}\"\ncountry = \"US\"\nlatitude = {latitude:?}\n\
                 longitude = {longitude:?}\naddresses = [\"192.0.2.{number}\"]\nendpoints = [\"http://{}\"]\n",
                endpoint.address
            );
        }
        text
    }
}

/// Some address within a network.
pub fn within(network: IpNet, dice: &mut Dice) -> IpAddr {
    let random = u128::from(dice.roll()) << 64 | u128::from(dice.roll());
    match network {
        IpNet::V4(network) => {
            let free = u32::MAX.checked_shr(network.prefix_len().into()).unwrap_or(0);
            Ipv4Addr::from_bits(network.network().to_bits() | (random as u32 & free)).into()
        }
        IpNet::V6(network) => {
            let free = u128::MAX.checked_shr(network.prefix_len().into()).unwrap_or(0);
            Ipv6Addr::from_bits(network.network().to_bits() | (random & free)).into()
        }
    }
}

/// Some public address: of 16.0.0.0 to 95.255.255.255, or of 2400::/12.
pub fn anywhere(dice: &mut Dice, is_v4: bool) -> IpAddr {
    if is_v4 {
        let low = u32::try_from(dice.roll() % 0x5000_0000).expect("32 bits");
        Ipv4Addr::from_bits(0x1000_0000 + low).into()
    } else {
        within("2400::/12".parse().expect("a network"), dice)
    }
}

/// The address with the last bit of its prefix turned: in the network next to its own.
pub fn beside(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() ^ 1 << (32 - u32::from(length))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() ^ 1 << (128 - u32::from(length))).into(),
    }
}

/// The network of so many bits that holds an address.
pub fn network(address: IpAddr, length: u8) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length).expect("at most 32").trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new(address, length).expect("at most 128").trunc().into(),
    }
}
