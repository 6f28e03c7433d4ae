//! Who gets which answer by DNS, for how many of his neighbours it holds (RFC 7871), and for how long.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use anyfront::dns::asker::{Asker, Transport};
use anyfront::dns::prepare::{Challenges, Inputs, Preparer};
use anyfront::dns::prepared::Prepared;
use anyfront::dns::question::Question;
use anyfront::dns::{answer, wire};
use anyfront::geo::database::Locator;
use anyfront::health::Standing;
use anyfront::health::verdict::Pace;
use anyfront::moment::Moment;
use anyfront::secret::Secret;
use anyfront::snapshot::{Drained, Snapshot};
use arc_swap::ArcSwap;
use common::answers as zone;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A resolver in London.
const RESOLVER: &str = "81.2.69.142";

/// What the resolver gets that asks for `name`, for somebody in `subnet`.
fn ask(prepared: &Prepared, name: &str, kind: RecordType, subnet: Option<&str>) -> Message {
    ask_from(RESOLVER, prepared, name, kind, subnet)
}

fn ask_from(resolver: &str, prepared: &Prepared, name: &str, kind: RecordType, subnet: Option<&str>) -> Message {
    let mut message = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(u16::from(kind).to_be_bytes());
    message.extend([0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0]);
    let option = subnet.map_or(Vec::new(), |subnet| {
        let subnet: IpNet = subnet.parse().expect("a network");
        let (family, octets) = match subnet.network() {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (2, v6.octets().to_vec()),
        };
        let said = &octets[..usize::from(subnet.prefix_len().div_ceil(8))];
        [&[0, 8, 0, 4 + said.len() as u8, 0, family, subnet.prefix_len(), 0], said].concat()
    });
    message.extend((option.len() as u16).to_be_bytes());
    message.extend(option);
    let question = Question::parse(&message).expect("a question");
    let asker = Asker { address: resolver.parse().expect("an address"), transport: Transport::Udp, cookie: None };
    let mut fast = Vec::new();
    let is_fast = wire::answer(prepared, &question, &asker, &mut || true, &mut fast).is_some();
    let mut whole = Vec::new();
    answer::answer(prepared, &question, &asker, &mut || true, &mut whole);
    let whole = Message::from_vec(&whole).expect("an answer");
    if is_fast {
        let fast = Message::from_vec(&fast).expect("an answer");
        assert_eq!(format!("{fast:?}"), format!("{whole:?}"));
    }
    whole
}

/// Address and prefix lengths in the answer's client subnet.
fn subnet_of(message: &Message) -> Option<(IpAddr, u8, u8)> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some((subnet.addr(), subnet.source_prefix(), subnet.scope_prefix())),
        _ => None,
    }
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn one(text: &str) -> Vec<IpAddr> {
    text.split(' ').filter(|address| !address.is_empty()).map(|address| address.parse().expect("an address")).collect()
}

fn prepared(snapshot: &Snapshot) -> Prepared {
    zone::prepared(snapshot, Path::new("."), Duration::from_secs(1_800_000_000))
}

/// Everything up, long ago.
fn healthy(extra: &str) -> Snapshot {
    let mut snapshot = zone::snapshot(extra);
    for region in &mut snapshot.regions {
        (region.standing, region.share_percent) = (Standing::Up, 100);
    }
    for endpoint in &mut snapshot.endpoints {
        (endpoint.standing, endpoint.share_percent) = (Standing::Up, 100);
        endpoint.probes.clear();
    }
    for site in &mut snapshot.sites {
        site.pace = Some(Pace::Steady);
    }
    snapshot
}

fn region(snapshot: &mut Snapshot, name: &str) -> usize {
    snapshot.topology.region_named(name).expect("it is there").at()
}

static WORLD: LazyLock<Prepared> = LazyLock::new(|| prepared(&healthy("")));

#[test]
fn the_nearest_region_is_answered_or_the_nearest_two_sites() {
    for (subnet, direct, front) in [
        ("81.2.69.0/24", "198.51.100.3 198.51.100.4", "192.0.2.10 192.0.2.30"),
        ("8.8.8.0/24", "198.51.100.1", "192.0.2.30 192.0.2.10"),
        ("1.2.3.0/24", "198.51.100.2", "192.0.2.20 192.0.2.30"),
        ("2001:4860::/32", "198.51.100.1", "192.0.2.30 192.0.2.10"),
    ] {
        assert_eq!(addresses(&ask(&WORLD, "direct.gw.example", RecordType::A, Some(subnet))), one(direct), "{subnet}");
        let told = addresses(&ask(&WORLD, "gw.example", RecordType::A, Some(subnet)));
        assert_eq!(told[0], one(front)[0], "{subnet}: the nearest site comes first");
        assert_eq!(told.len(), 2, "{subnet}: and one more, for when it dies");
    }
}

#[test]
fn without_a_client_subnet_the_resolver_counts_and_nothing_is_said_of_subnets() {
    let message = ask(&WORLD, "direct.gw.example", RecordType::A, None);
    assert_eq!(addresses(&message), one("198.51.100.3 198.51.100.4"));
    assert_eq!(subnet_of(&message), None);
    let with = ask(&WORLD, "direct.gw.example", RecordType::A, Some("81.2.69.0/24"));
    assert_eq!(addresses(&with), addresses(&message), "the same as if it came from there itself");
}

#[test]
fn a_subnet_goes_back_as_it_came() {
    for subnet in ["1.2.3.4/32", "1.2.3.0/24", "1.2.0.0/17", "1.0.0.0/8", "2001:4860::/32", "2001:4860:4860::8888/128"]
    {
        let net: IpNet = subnet.parse().expect("a network");
        let message = ask(&WORLD, "direct.gw.example", RecordType::A, Some(subnet));
        let (address, source, scope) = subnet_of(&message).expect("it goes back");
        assert_eq!((address, source), (net.network(), net.prefix_len()));
        assert!(scope > 0 && scope <= if net.addr().is_ipv4() { 24 } else { 56 }, "{subnet}: {scope}");
    }
}

#[test]
fn a_client_that_wants_nothing_said_is_answered_as_its_resolver() {
    for (subnet, zeros) in [("0.0.0.0/0", "0.0.0.0"), ("::/0", "::")] {
        let message = ask(&WORLD, "direct.gw.example", RecordType::A, Some(subnet));
        assert_eq!(subnet_of(&message), Some((zeros.parse().expect("an address"), 0, 0)));
        assert_eq!(addresses(&message), one("198.51.100.3 198.51.100.4"));
    }
}

#[test]
fn what_does_not_depend_on_who_asks_holds_for_all() {
    for (name, kind) in [
        ("static.gw.example", RecordType::A),
        ("static.gw.example", RecordType::AAAA),
        ("direct.gw.example", RecordType::TXT),
        ("direct.gw.example", RecordType::MX),
        ("gw.example", RecordType::NS),
        ("gw.example", RecordType::SOA),
        ("orf.gw.example", RecordType::TXT),
        ("nothing.gw.example", RecordType::A),
        ("a.wild.gw.example", RecordType::TXT),
    ] {
        let message = ask(&WORLD, name, kind, Some("1.2.3.0/24"));
        assert_eq!(subnet_of(&message).map(|(_, _, scope)| scope), Some(0), "{name} {kind}");
    }
    let message = ask(&WORLD, "direct.gw.example", RecordType::AAAA, Some("1.2.3.0/24"));
    assert!(message.answers.is_empty() && message.response_code == ResponseCode::NoError, "Sydney has no IPv6");
    assert!(subnet_of(&message).is_some_and(|(_, _, scope)| scope > 0), "but others do: {message:?}");
}

#[test]
fn nobodys_address_is_not_taken_for_a_place_and_no_one_else_is_given_the_answer() {
    for (subnet, scope) in
        [("10.1.2.0/24", 24), ("10.0.0.0/8", 24), ("192.168.7.9/32", 24), ("127.0.0.0/8", 24), ("fd00::/64", 56)]
    {
        let message = ask(&WORLD, "direct.gw.example", RecordType::A, Some(subnet));
        assert_eq!(addresses(&message), one("198.51.100.3 198.51.100.4"), "{subnet}: as the resolver");
        assert_eq!(subnet_of(&message).map(|(_, _, scope)| scope), Some(scope), "{subnet}");
    }
    let placed = "[[geo.place]]\nprefix = \"10.1.0.0/16\"\ncountry = \"AU\"\nlatitude = -33.9\nlongitude = 151.2\n";
    let mut world = healthy(placed);
    world.locator = Arc::new(Locator::open(world.topology.geo.places.clone(), None).expect("the one in the box"));
    let world = prepared(&world);
    let message = ask(&world, "direct.gw.example", RecordType::A, Some("10.1.2.0/24"));
    assert_eq!(addresses(&message), one("198.51.100.2"), "unless the operator says where it is");
}

#[test]
fn subnets_of_resolvers_that_are_not_listed_are_not_believed() {
    let world = prepared(&healthy("client_subnet_from = [\"192.0.2.0/24\", \"2001:db8::/32\"]"));
    let message = ask(&world, "direct.gw.example", RecordType::A, Some("1.2.3.0/24"));
    assert_eq!((addresses(&message), subnet_of(&message)), (one("198.51.100.3 198.51.100.4"), None));
    for listed in ["192.0.2.77", "2001:db8::77"] {
        let message = ask_from(listed, &world, "direct.gw.example", RecordType::A, Some("1.2.3.0/24"));
        assert_eq!(addresses(&message), one("198.51.100.2"));
    }
}

#[test]
fn a_region_that_is_down_or_drained_is_not_answered_and_its_clients_alone_move() {
    let mut world = healthy("");
    let lhr = region(&mut world, "lhr");
    for drained in [None, Some(Drained::Soft)] {
        world.regions[lhr].standing = if drained.is_none() { Standing::Down } else { Standing::Up };
        world.regions[lhr].drained = drained;
        let moved = prepared(&world);
        let at = |subnet| addresses(&ask(&moved, "direct.gw.example", RecordType::A, Some(subnet)));
        assert_eq!(at("81.2.69.0/24"), one("198.51.100.1"));
        assert_eq!(at("1.2.3.0/24"), one("198.51.100.2"));
        let own = ask(&moved, "lhr.gw.example", RecordType::A, None);
        assert_eq!(addresses(&own), one("192.0.2.10 192.0.2.30"), "its own name is the front's, as before");
    }
    world.regions.iter_mut().for_each(|region| region.drained = Some(Drained::Hard));
    let closed = prepared(&world);
    let message = ask(&closed, "direct.gw.example", RecordType::A, Some("81.2.69.0/24"));
    assert!(
        message.answers.is_empty() && message.response_code == ResponseCode::NoError,
        "nothing, but the name exists"
    );
    assert_eq!(message.authorities.first().map(hickory_proto::rr::Record::record_type), Some(RecordType::SOA));
}

/// No answer is believed longer than its reason.
#[test]
fn answers_are_believed_for_long_only_while_nothing_changes() {
    let ttl = |prepared: &Prepared, name: &str| ask(prepared, name, RecordType::A, None).answers[0].ttl;
    let world = healthy("");
    let secret = Arc::new(ArcSwap::from_pointee(Secret::random()));
    let inputs = Inputs { state_dir: ".".into(), secret, challenges: Challenges::default() };
    let mut preparer = Preparer::new(inputs);
    let mut at = |world: &Snapshot, seconds: u64| {
        let now = Moment::at(Duration::from_secs(seconds));
        let world = Arc::new(world.clone());
        preparer
            .prepare(&world, now, Duration::from_secs(1_800_000_000 + seconds))
            .expect("no keys")
            .map(Option::unwrap)
    };
    let young = at(&world, 1).expect("the first");
    assert_eq!((ttl(&young, "direct.gw.example"), ttl(&young, "deep.below.gw.example")), (20, 5));
    assert_eq!(ttl(&young, "gw.example"), 20, "sites may have come just now");
    assert!(at(&world, 2).is_none(), "nothing changed");
    let older = at(&world, 31).expect("half a minute is old enough for a name that is believed half a minute");
    assert_eq!((ttl(&older, "direct.gw.example"), ttl(&older, "deep.below.gw.example")), (20, 30));
    let old = at(&world, 61).expect("and a minute for a minute");
    assert_eq!((ttl(&old, "direct.gw.example"), ttl(&old, "deep.below.gw.example")), (60, 30));
    assert_eq!(ttl(&old, "gw.example"), 60);
    let mut doubted = healthy("");
    doubted.generation += 7;
    doubted.sites[1].pace = Some(Pace::Fast);
    assert_eq!(ttl(&at(&doubted, 110).expect("a new generation"), "gw.example"), 20, "one site is in doubt");
    let mut ramping = healthy("");
    ramping.generation += 1;
    ramping.endpoints[0].share_percent = 10;
    let ramping = at(&ramping, 120).expect("a new generation");
    assert_eq!((ttl(&ramping, "direct.gw.example"), ttl(&ramping, "deep.below.gw.example")), (20, 5));
    assert_eq!(ttl(&ramping, "gw.example"), 60, "the front's addresses do not change with regions");
}

#[test]
fn who_is_told_of_the_name_servers_finds_them() {
    let message = ask(&WORLD, "gw.example", RecordType::NS, None);
    let servers: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(servers, ["ns1.gw.example.", "ns2.gw.example.", "ns.elsewhere.example."]);
    assert!(message.answers.iter().all(|record| record.ttl >= 86_400));
    for server in ["ns1.gw.example", "ns2.gw.example"] {
        assert!(!addresses(&ask(&WORLD, server, RecordType::A, None)).is_empty(), "{server}");
    }
    let own = Name::from_ascii("gw.example.").expect("a name");
    assert!(message.answers.iter().all(|record| record.name == own));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// T34: whoever is inside the scope that was stated gets the same answer.
    #[test]
    fn the_same_answer_holds_over_the_stated_scope(address in any::<u32>(), other in any::<u32>(), six in any::<bool>(), source in 8_u8..=32) {
        let written = |bits: u32, source: u8| -> String {
            let net: IpNet = if six {
                let bits = (0x2000_u128 << 112) | (u128::from(bits) << 80);
                IpNet::new(IpAddr::V6(bits.into()), source + 24).expect("a network").trunc()
            } else {
                IpNet::new(IpAddr::V4(bits.into()), source).expect("a network").trunc()
            };
            net.to_string()
        };
        for name in ["direct.gw.example", "gw.example"] {
            let mine = ask(&WORLD, name, RecordType::A, Some(&written(address, source)));
            let Some((at, _, scope)) = subnet_of(&mine) else { panic!("{mine:?}") };
            let stated = IpNet::new(at, scope).expect("a network").trunc();
            // Somebody else in it: the stated bits of mine, and other ones behind.
            let width = if six { 128 } else { 32 };
            let mask = |bits: u128| if scope == 0 { 0 } else { bits >> (width - u32::from(scope)) << (width - u32::from(scope)) };
            let (mine_bits, other_bits) = match stated.network() {
                IpAddr::V4(v4) => (u128::from(v4.to_bits()), u128::from(other)),
                IpAddr::V6(v6) => (v6.to_bits(), (0x2000_u128 << 112) | (u128::from(other) << 80)),
            };
            let neighbour = mask(mine_bits) | (other_bits & !mask(u128::MAX) & (u128::MAX >> (128 - width)));
            let neighbour: IpAddr = if six { IpAddr::V6(neighbour.into()) } else { IpAddr::V4((neighbour as u32).into()) };
            // Where nobody's address lies among others, who says he has it gets what his resolver gets.
            let is_special = |address: IpAddr| matches!(address, IpAddr::V4(v4) if matches!(v4.octets()[0], 0 | 10 | 100 | 127 | 169 | 172 | 192 | 224..));
            prop_assume!(scope > 0 && !is_special(neighbour) && !is_special(at));
            let theirs = ask(&WORLD, name, RecordType::A, Some(&format!("{neighbour}/{width}")));
            prop_assert!(!addresses(&theirs).is_empty());
            prop_assert_eq!(addresses(&mine), addresses(&theirs), "{} and {}", at, neighbour);
            prop_assert_eq!(subnet_of(&theirs).map(|(_, _, scope)| scope), Some(scope), "{} and {}", at, neighbour);
        }
    }
}
