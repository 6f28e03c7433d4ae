//! The world compiled for DNS: the map says what the locator says, and an answer holds for exactly as far as it is told.

use anyfront::geo::database::{Locator, Source};
use anyfront::geo::map::{AnswerMap, GeoMap, NOWHERE};
use anyfront::geo::place::{Coordinates, Country, Place};
use anyfront::moment::{Dice, mix};
use ipnet::IpNet;
use mmdb_writer::{Ipv4Aliasing, Value as Entry, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use tempfile::TempDir;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn place(number: u8) -> Place {
    let at = Coordinates::new(f64::from(number % 80), -0.5).expect("on earth");
    Place { at, country: Country::parse(["GB", "FR", "US"][usize::from(number % 3)]), city: None }
}

fn locator(database: Option<&[u8]>, overrides: Vec<(IpNet, Place)>) -> Locator {
    let Some(bytes) = database else { return Locator::open(overrides, None).expect("the box") };
    let (_folder, path) = file(bytes);
    Locator::open(overrides, Some(&path)).expect("a good database")
}

/// A folder with a database in it.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("some.mmdb");
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

/// A city database in which each network has one of a few cities.
fn cities(networks: &[(IpNet, u8)], aliasing: Ipv4Aliasing) -> Vec<u8> {
    let mut writer = Writer::builder("Example-City").ipv4_aliasing(aliasing).build();
    for (network, number) in networks {
        let location = [("latitude", Entry::from(f64::from(number % 40))), ("longitude", Entry::from(12.25))];
        let names = [("en", Entry::from(format!("City {}", number % 5)))];
        let entry = Entry::map([
            ("city", Entry::map([("names", Entry::map(names))])),
            ("country", Entry::map([("iso_code", Entry::from("GB"))])),
            ("location", Entry::map(location)),
        ]);
        // A reserved network is refused, which is as well.
        drop(writer.insert_value(*network, entry));
    }
    writer.to_bytes().expect("a database")
}

fn truncated(address: IpAddr, bits: u8) -> IpNet {
    IpNet::new(address, bits).expect("a length of this family").trunc()
}

fn granularity(address: IpAddr) -> u8 {
    if address.is_ipv4() { 24 } else { 56 }
}

fn first_of(address: IpAddr) -> IpAddr {
    truncated(address, granularity(address)).addr()
}

/// What the map must say of `address`, by asking the locator.
fn expected(locator: &Locator, address: IpAddr) -> Option<Place> {
    let first = first_of(address.to_canonical());
    let found = locator.locate(first);
    let six_to_four = match first {
        IpAddr::V6(v6) if v6.segments()[0] == 0x2002 => Some(Ipv4Addr::from_bits((v6.to_bits() >> 80) as u32)),
        _ => None,
    };
    let is_named =
        found.as_ref().is_some_and(|found| found.source == Source::Override && found.network.addr().is_ipv6());
    match six_to_four {
        Some(carried) if !is_named => locator.locate(first_of(IpAddr::V4(carried))).map(|found| found.place),
        _ => found.map(|found| found.place),
    }
}

fn agrees(map: &GeoMap, locator: &Locator, address: IpAddr) {
    let told = map.places()[map.place_of(address) as usize].as_ref();
    assert_eq!(told, expected(locator, address).as_ref(), "{address}");
}

/// A network's edges, and the addresses beside them; for IPv4 also as other families spell them.
fn edges(network: &IpNet) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for edge in [network.network(), network.broadcast()] {
        match edge {
            IpAddr::V4(v4) => {
                for step in [0, 1, u32::MAX, 256, u32::MAX - 255] {
                    let v4 = Ipv4Addr::from_bits(v4.to_bits().wrapping_add(step));
                    all.extend([IpAddr::V4(v4), v4.to_ipv6_mapped().into(), six_to_four(v4), nat64(v4)]);
                }
            }
            IpAddr::V6(v6) => {
                for step in [0, 1, u128::MAX, 1 << 72, 1 << 71, u128::MAX << 72] {
                    all.push(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits().wrapping_add(step))));
                }
            }
        }
    }
    all
}

fn six_to_four(v4: Ipv4Addr) -> IpAddr {
    let bits = 0x2002_u128 << 112 | u128::from(v4.to_bits()) << 80 | 7;
    IpAddr::V6(Ipv6Addr::from_bits(bits))
}

fn nat64(v4: Ipv4Addr) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(0x0064_FF9B_u128 << 96 | u128::from(v4.to_bits())))
}

/// Any address, more often one that something may be said of.
fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits >> 3 | 1 << 125))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits >> 12 & !(0xF << 112) | 0x2A << 120))),
        any::<u32>().prop_map(|bits| six_to_four(bits.into())),
        any::<u32>().prop_map(|bits| nat64(bits.into())),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped())),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits >> 32 | 0x2001_0000 << 96))),
        any::<u64>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits)))),
    ]
}

/// Any network, more often a short one.
fn networks() -> impl Strategy<Value = IpNet> {
    let length = prop_oneof![0_u8..=128, 8_u8..=32];
    (addresses(), length)
        .prop_map(|(address, length)| truncated(address, if address.is_ipv4() { length % 33 } else { length }))
}

fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(20_261_127), failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn the_map_says_what_the_locator_says(
        inserted in prop::collection::vec((networks(), any::<u8>()), 1..60),
        overrides in prop::collection::vec((networks(), any::<u8>()), 0..20),
        is_aliased in any::<bool>(),
        asked in prop::collection::vec(addresses(), 200),
    ) {
        let mut inserted = inserted;
        inserted.push((network("81.2.69.0/24"), 1)); // a database that tells nothing is refused
        let aliasing = if is_aliased { Ipv4Aliasing::Enabled } else { Ipv4Aliasing::Disabled };
        let overrides: Vec<_> = overrides.iter().map(|(network, number)| (*network, place(*number))).collect();
        let locator = locator(Some(&cities(&inserted, aliasing)), overrides.clone());
        let map = GeoMap::compile(&locator);
        for address in asked {
            agrees(&map, &locator, address);
        }
        let all = inserted.iter().map(|(network, _)| network).chain(overrides.iter().map(|(network, _)| network));
        for address in all.flat_map(edges) {
            agrees(&map, &locator, address);
        }
        let answers: Vec<u16> = (0..map.places().len()).map(|place| (mix(place as u64) % 3) as u16).collect();
        let merged = map.merge(&answers);
        let all = inserted.iter().map(|(network, _)| network).chain(overrides.iter().map(|(network, _)| network));
        for address in all.flat_map(edges) {
            holds(&map, &answers, &merged, address);
        }
    }
}

/// The address after all of `network`, if there is one.
fn after(network: &IpNet) -> Option<IpAddr> {
    match network.broadcast() {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// Whether any address of `network` gets another answer than `answer`, by walking from scope to scope.
fn has_another(merged: &AnswerMap, network: &IpNet, answer: u16) -> bool {
    let mut next = Some(network.network());
    while let Some(address) = next.filter(|address| network.contains(address)) {
        // What is spelled IPv6 but is IPv4 has IPv4's scopes; all of it lies in one /56.
        let address = first_of(address);
        let (found, scope) = merged.find(address);
        if found != answer {
            return true;
        }
        next = after(&truncated(address, scope));
    }
    false
}

/// Some address in `network`.
fn within(network: &IpNet, dice: &mut Dice) -> IpAddr {
    let any = u128::from(dice.roll()) << 64 | u128::from(dice.roll());
    match network.network() {
        IpAddr::V4(v4) => {
            let below = (any as u32).checked_shr(u32::from(network.prefix_len())).unwrap_or(0);
            IpAddr::V4((v4.to_bits() | below).into())
        }
        IpAddr::V6(v6) => {
            let below = any.checked_shr(u32::from(network.prefix_len())).unwrap_or(0);
            IpAddr::V6((v6.to_bits() | below).into())
        }
    }
}

/// The answer for `address` is its place's, all in its scope get it and are told the same scope, and it is the widest.
fn holds(map: &GeoMap, answers: &[u16], merged: &AnswerMap, address: IpAddr) {
    let (answer, scope) = merged.find(address);
    assert_eq!(answer, answers[map.place_of(address) as usize], "{address}");
    let address = address.to_canonical();
    assert!(scope <= granularity(address), "{address}: /{scope}");
    let told = truncated(address, scope);
    let ends = [told.network(), told.broadcast()];
    let mut dice = Dice::seeded(u64::from(scope));
    for other in (0..8).map(|_| within(&told, &mut dice)).chain(ends) {
        let other = if address.is_ipv4() { other } else { first_of(other) };
        assert_eq!(merged.find(other), (answer, scope), "{other} in {told} of {address}");
    }
    if scope > 0 {
        let wider = truncated(address, scope - 1);
        assert!(has_another(merged, &wider, answer), "{wider} has the same answer as {told} of {address}");
    }
}

#[test]
fn the_map_of_the_box_says_what_the_locator_says_and_its_scopes_hold() {
    let overrides = vec![
        (network("198.51.100.128/25"), place(1)),
        (network("198.51.100.0/26"), place(2)),
        (network("81.2.0.0/16"), place(3)),
        (network("81.2.69.142/32"), place(4)),
        (network("81.2.69.0/32"), place(5)),
        (network("2a00::/12"), place(6)),
        (network("2a00:1:2:3::/64"), place(7)),
        (network("2002:5102:4500::/40"), place(8)),
        (network("2002:5102:458e:ff00::/56"), place(9)),
        (network("64:ff9b::/96"), place(10)),
        (network("::ffff:198.51.100.0/120"), place(11)),
    ];
    let locator = locator(None, overrides.clone());
    let map = GeoMap::compile(&locator);
    let answers: Vec<u16> = (0..map.places().len()).map(|place| (mix(place as u64) % 14) as u16).collect();
    let merged = map.merge(&answers);
    let check = |address| {
        agrees(&map, &locator, address);
        holds(&map, &answers, &merged, address);
    };
    overrides.iter().flat_map(|(network, _)| edges(network)).for_each(check);
    let mut runner = proptest::test_runner::TestRunner::new(config(20_000));
    let checked = runner.run(&addresses(), |address| {
        check(address);
        Ok(())
    });
    checked.expect("no address is told wrongly");
}

#[test]
fn one_answer_for_all_holds_everywhere() {
    let map = GeoMap::compile(&locator(None, Vec::new()));
    let merged = map.merge(&vec![7; map.places().len()]);
    assert_eq!(merged.len(), (1, 1));
    for text in ["0.0.0.0", "81.2.69.142", "255.255.255.255", "::", "2002:5102:458e::", "ffff::", "::ffff:1.2.3.4"] {
        assert_eq!(merged.find(address(text)), (7, 0), "{text}");
    }
}

#[test]
fn equal_places_are_one_and_only_the_first_is_nowhere() {
    let locator = locator(None, vec![(network("192.0.2.0/24"), place(1)), (network("2001:db8::/32"), place(1))]);
    let map = GeoMap::compile(&locator);
    let places = map.places();
    assert!(places[0].is_none() && places[1..].iter().all(Option::is_some));
    for (at, place) in places.iter().enumerate() {
        assert_eq!(places.iter().position(|other| other == place), Some(at));
    }
    assert_eq!(map.place_of(address("192.0.2.1")), map.place_of(address("2001:db8::1")));
    assert_eq!(map.place_of(address("127.0.0.1")), NOWHERE);
}

#[test]
fn six_to_four_is_told_what_the_address_in_it_is_told_sixteen_bits_further() {
    let locator = locator(None, vec![(network("2002:c000:200::/40"), place(1))]);
    let map = GeoMap::compile(&locator);
    let answers: Vec<u16> = (0..map.places().len()).map(|place| (place % 5) as u16).collect();
    let merged = map.merge(&answers);
    for text in ["81.2.69.142", "8.8.8.8", "1.1.1.1", "193.0.6.139", "255.255.255.255"] {
        let v4: Ipv4Addr = text.parse().expect("IPv4");
        let (answer, scope) = merged.find(v4.into());
        assert_eq!(merged.find(six_to_four(v4)), (answer, scope + 16), "{text}");
        assert_eq!(merged.find(v4.to_ipv6_mapped().into()), (answer, scope), "{text}");
        assert_eq!(map.place_of(six_to_four(v4)), map.place_of(v4.into()), "{text}");
    }
    let named = map.place_of(address("2002:c000:2ff::1"));
    assert_eq!(map.places()[named as usize], Some(place(1)), "an override of the network as it is written");
}

#[test]
fn a_database_of_one_family_knows_nothing_of_the_other_but_what_that_carries() {
    let mut writer = Writer::builder("Example-Country").ip_version(mmdb_writer::IpVersion::V4).build();
    let entry = Entry::map([("country", Entry::map([("iso_code", Entry::from("GB"))]))]);
    writer.insert_value(network("81.2.0.0/16"), entry.clone()).expect("inserted");
    let old = locator(Some(&writer.to_bytes().expect("a database")), Vec::new());
    // The shortest network of all: there is no tree of IPv4 below it.
    let mut writer = Writer::builder("Example-Country").ipv4_aliasing(Ipv4Aliasing::Disabled).build();
    writer.insert_value(network("::/1"), entry).expect("inserted");
    let coarse = locator(Some(&writer.to_bytes().expect("a database")), Vec::new());
    for (locator, texts) in
        [(&old, ["81.2.69.142", "2002:5102:458e::1"]), (&coarse, ["203.0.113.9", "2002:cb00:7109::"])]
    {
        let map = GeoMap::compile(locator);
        for text in texts {
            assert_ne!(map.place_of(address(text)), NOWHERE, "{text}");
        }
        for text in ["::", "2600::1", "2001:0:4136:e378:8000:63bf:aefd:ba71", "8000::", "82.0.0.0"] {
            agrees(&map, locator, address(text));
        }
    }
}

/// A database of country records in which nodes share their subtrees: `nodes` has two for each, the data is one record.
fn raw_database(nodes: &[[u32; 2]]) -> Vec<u8> {
    let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
    let number = |kind: u8, number: u32| [&[kind << 5 | 4][..], &number.to_be_bytes()].concat();
    let map = |rows: &[Vec<u8>]| [&[0xE0 | (rows.len() / 2) as u8][..], &rows.concat()].concat();
    let mut bytes: Vec<u8> = nodes.iter().flatten().flat_map(|record| record.to_be_bytes()).collect();
    bytes.extend([0; 16]);
    bytes.extend(map(&[text("country"), map(&[text("iso_code"), text("GB")])]));
    bytes.extend(b"\xAB\xCD\xEFMaxMind.com");
    bytes.extend(map(&[
        text("node_count"),
        number(6, nodes.len() as u32),
        text("record_size"),
        vec![0xA1, 32],
        text("ip_version"),
        vec![0xA1, 6],
        text("database_type"),
        text("Example-Country"),
        text("languages"),
        vec![0x00, 0x04],
        text("binary_format_major_version"),
        vec![0xA1, 2],
        text("binary_format_minor_version"),
        vec![0xA1, 0],
        text("build_epoch"),
        vec![0x04, 0x02, 0x65, 0, 0, 0],
        text("description"),
        vec![0xE0],
    ]));
    bytes
}

#[test]
fn a_database_that_comes_to_the_same_tree_by_more_ways_than_it_has_nodes_is_refused_at_once() {
    // The way to IPv4's tree is 96 zeros; 8000::/1 comes to it too, by every way through so many levels.
    let opened = |levels: u32| {
        let tree = 96 + levels;
        let (none, data) = (tree + 1, tree + 1 + 16);
        let mut nodes: Vec<[u32; 2]> = (0..96).map(|at| [at + 1, none]).collect();
        nodes[0] = [1, 96];
        nodes[95][0] = tree;
        nodes.extend((96..tree).map(|at| [at + 1, at + 1]));
        nodes.push([data, none]);
        let (_folder, path) = file(&raw_database(&nodes));
        Locator::open(Vec::new(), Some(&path))
    };
    let shared = opened(4).expect("a few ways are good");
    let map = GeoMap::compile(&shared);
    for text in ["81.2.69.142", "200.1.2.3", "8000::", "8400::", "f800::", "fc00::", "ffff::1", "4000::"] {
        agrees(&map, &shared, address(text));
    }
    assert_eq!(map.len(), (2, 6 + 2 * 16), "each way has two networks, beside the first, NAT64 and 6to4");
    for levels in [14, 60, 120] {
        let refused = opened(levels).expect_err("it is made to take for ever").to_string();
        assert!(refused.contains("turns in circles"), "{levels}: {refused}");
    }
}
