//! The same world for every server: regions, a database of networks, a zone, and what is asked of them.

use anyfront::geo::countries::POINTS;
use anyfront::geo::place::Coordinates;
use anyfront::moment::Dice;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mmdb_writer::{Value, Writer};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The zone of all servers.
pub const ZONE: &str = "bench.example";
/// The name whose answer depends on the client.
pub const GEO: &str = "geo.bench.example";
/// The name whose answer does not.
pub const STATIC: &str = "static.bench.example";
/// What it has.
pub const STATIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
/// Questions of a mix, where they differ.
pub const QUESTIONS: usize = 20_000;
/// Cities in the database: as many different places.
const CITIES: u64 = 8_000;
/// What makes two regions equally near to anyfront; such countries are left out, so that every server must give the
/// same answer.
const NEAR_KM: f64 = 150.0;
const NEAR_SHARE: f64 = 1.15;

/// Regions: name, degrees north and east. Region N has the address 192.0.2.N, counted from 1.
pub const REGIONS: [(&str, f64, f64); 12] = [
    ("orf", 38.95, -77.45),
    ("sfo", 37.77, -122.42),
    ("lhr", 51.51, -0.13),
    ("mad", 40.42, -3.70),
    ("gvx", 60.67, 17.14),
    ("gru", -23.55, -46.63),
    ("cpt", -33.92, 18.42),
    ("dia", 25.29, 51.53),
    ("bom", 19.08, 72.88),
    ("sin", 1.35, 103.82),
    ("nrt", 35.68, 139.69),
    ("syd", -33.87, 151.21),
];

/// A country of the database and the region nearest to it.
#[derive(Clone, Copy, Debug)]
pub struct Country {
    /// Two letters.
    pub code: &'static str,
    /// Degrees north and east.
    pub at: (f64, f64),
    /// Index into [`REGIONS`].
    pub nearest: usize,
}

/// Every country with one region that is clearly the nearest.
pub fn countries() -> Vec<Country> {
    let here = |latitude, longitude| Coordinates::new(latitude, longitude).expect("on earth");
    let nearest = |(code, latitude, longitude): (&'static str, f64, f64)| {
        let from = here(latitude, longitude);
        let far = |&(_, latitude, longitude): &(&str, f64, f64)| from.distance_km(&here(latitude, longitude));
        let mut by_distance: Vec<(f64, usize)> = REGIONS.iter().enumerate().map(|(at, one)| (far(one), at)).collect();
        by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [(best, nearest), (second, _)] = by_distance[..2] else { return None };
        let is_clear = second > best * NEAR_SHARE && second > best + NEAR_KM;
        is_clear.then_some(Country { code, at: (latitude, longitude), nearest })
    };
    POINTS.into_iter().filter_map(nearest).collect()
}

/// The address of a region.
pub fn address(region: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, u8::try_from(region + 1).expect("few regions"))
}

/// Networks and where they are: a database of cities in MaxMind's format, and the country of each network.
#[derive(Debug)]
pub struct Database {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its networks; none inside another.
    pub networks: Vec<(IpNet, Country)>,
}

impl Database {
    /// One of `count` networks, three in four of IPv4, always the same one.
    pub fn of(count: usize) -> anyhow::Result<Self> {
        let countries = countries();
        let mut dice = Dice::seeded(11);
        let mut writer = Writer::new("Bench-City");
        let mut networks = Vec::with_capacity(count);
        let mut seen = std::collections::BTreeSet::new();
        while networks.len() < count {
            let network = network(&mut dice, networks.len() % 4 == 3);
            let city = dice.roll() % CITIES;
            let country = countries[usize::try_from(city)? % countries.len()];
            if seen.insert(network) {
                writer.insert_value(network, record(&country, city))?;
                networks.push((network, country));
            }
        }
        Ok(Self { bytes: writer.to_bytes()?, networks })
    }

    /// Subnets to ask for: four in five of the database, the others of nobody.
    fn subnets(&self) -> Vec<(IpNet, Option<Country>)> {
        let mut dice = Dice::seeded(7);
        let mut subnets = Vec::with_capacity(QUESTIONS);
        while subnets.len() < QUESTIONS {
            if !dice.roll().is_multiple_of(5) {
                let at = usize::try_from(dice.roll()).unwrap_or(usize::MAX) % self.networks.len();
                let (network, country) = self.networks[at];
                subnets.push((network, Some(country)));
                continue;
            }
            // 1.0.0.0/8 and 2a00::/24, from which no network of the database is
            let bits = dice.roll();
            let address: IpAddr = match bits.is_multiple_of(4) {
                true => Ipv6Addr::from_bits((0x2a00_u128 << 112) | (u128::from(bits as u32) << 72)).into(),
                false => Ipv4Addr::from_bits(0x0100_0000 | (bits as u32 & 0x00FF_FFFF)).into(),
            };
            subnets.push((whole(address, finest(address)), None));
        }
        subnets
    }
}

/// A /24 of 16.0.0.0/4 to 95.0.0.0/8 or a /48 below 2400::/12.
fn network(dice: &mut Dice, is_v6: bool) -> IpNet {
    let bits = dice.roll();
    if is_v6 {
        let address = Ipv6Addr::from_bits((0x2400_u128 << 112) | (u128::from(bits & 0xFFF_FFFF) << 80));
        whole(address.into(), 48)
    } else {
        let address = Ipv4Addr::from_bits((0x1000_0000 + (bits as u32 % 0x5000_0000)) & !0xFF);
        whole(address.into(), 24)
    }
}

fn whole(address: IpAddr, length: u8) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length).expect("at most 32").trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new(address, length).expect("at most 128").trunc().into(),
    }
}

/// How much of a client's address resolvers tell (RFC 7871 §11.1).
fn finest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 24 } else { 56 }
}

fn record(country: &Country, city: u64) -> Value {
    let named = |name: String| Value::map([("en", Value::from(name))]);
    Value::map([
        ("city", Value::map([("names", named(format!("City {city}")))])),
        ("continent", Value::map([("code", Value::from("EU"))])), // gdnsd asks for one and goes by the point
        ("country", Value::map([("iso_code", Value::from(country.code)), ("names", named(country.code.to_owned()))])),
        ("location", Value::map([("latitude", Value::from(country.at.0)), ("longitude", Value::from(country.at.1))])),
    ])
}

/// A question as bytes, without an id.
pub fn question(name: &str, extension: Option<(Option<IpNet>, bool)>) -> anyhow::Result<Vec<u8>> {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(format!("{name}."))?, RecordType::A));
    if let Some((subnet, wants_signatures)) = extension {
        let mut edns = Edns::new();
        edns.set_max_payload(1_232).set_dnssec_ok(wants_signatures);
        if let Some(subnet) = subnet {
            let source = subnet.prefix_len().min(finest(subnet.addr()));
            let option = ClientSubnet::new(subnet.addr(), source, 0);
            edns.options_mut().insert(EdnsOption::Subnet(option));
        }
        message.set_edns(edns);
    }
    Ok(message.to_vec()?)
}

/// What is asked in a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One name, without EDNS.
    One(&'static str),
    /// The geo name for many subnets; with DO or without.
    Subnets { signed: bool },
    /// Names that do not exist; with EDNS and DO or without either.
    Nobody { signed: bool },
}

/// The questions of a mix, each after its length.
pub fn questions(asked: Asked, database: &Database) -> anyhow::Result<Vec<u8>> {
    let all: Vec<Vec<u8>> = match asked {
        Asked::One(name) => vec![question(name, None)?],
        Asked::Subnets { signed } => {
            let subnets = database.subnets().into_iter();
            subnets.map(|(subnet, _)| question(GEO, Some((Some(subnet), signed)))).collect::<Result<_, _>>()?
        }
        Asked::Nobody { signed } => {
            let mut dice = Dice::seeded(13);
            let mut nobody = || format!("{:012x}.{ZONE}", dice.roll() & 0xFFFF_FFFF_FFFF);
            (0..QUESTIONS).map(|_| question(&nobody(), signed.then_some((None, true)))).collect::<Result<_, _>>()?
        }
    };
    let mut stream = Vec::new();
    for message in all {
        stream.extend_from_slice(&u16::try_from(message.len())?.to_be_bytes());
        stream.extend_from_slice(&message);
    }
    Ok(stream)
}

/// Some subnets and what every server must answer for them.
pub fn samples(database: &Database) -> Vec<(IpNet, Ipv4Addr)> {
    let known =
        database.subnets().into_iter().filter_map(|(subnet, country)| Some((subnet, address(country?.nearest))));
    known.step_by(97).collect()
}

/// The zone as a master file.
pub fn zone(geo: &str) -> String {
    format!(
        "$ORIGIN {ZONE}.\n$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.201\n\
         ns2 A 192.0.2.202\nstatic A {STATIC_ADDRESS}\ngeo {geo}\n"
    )
}

/// What Knot answers for the geo name: one line for each country.
pub fn knot_map() -> String {
    let mut text = format!("{GEO}:\n");
    for country in countries() {
        _ = writeln!(text, "  - geo: \"{}\"\n    A: {}", country.code, address(country.nearest));
    }
    text
}

/// gdnsd's centres: name and point of each, and each one's address.
pub fn gdnsd_map() -> [String; 3] {
    let mut texts = [String::new(), String::new(), String::new()];
    for (at, (name, latitude, longitude)) in REGIONS.iter().enumerate() {
        _ = write!(texts[0], "{name}, ");
        _ = writeln!(texts[1], "      {name} => [ {latitude}, {longitude} ],");
        _ = writeln!(texts[2], "      {name} => {},", address(at));
    }
    texts
}

/// The fleet as anyfront is told of it.
pub fn regions() -> String {
    let mut text = include_str!("regions.toml").to_owned();
    for (at, (name, latitude, longitude)) in REGIONS.iter().enumerate() {
        _ = write!(
            text,
            "\n[[region]]\nname = \"{name}\"\nprovider = \"bench\"\ncountry = \"US\"\nlatitude = {latitude:?}\n\
             longitude = {longitude:?}\naddresses = [\"{}\"]\nendpoints = [\"http://127.0.0.1:@ENDPOINT@\"]\n",
            address(at)
        );
    }
    text
}
