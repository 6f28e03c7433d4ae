//! EDNS client subnets (RFC 7871) beside Knot DNS and gdnsd: the same networks in the same places, the same questions.
//! Every difference is explained by name, or it is a mistake; and what an answer says of its own reach is true.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/dns/mod.rs"]
mod dns;
#[path = "dns_subnets/exceptions.rs"]
mod exceptions;
#[path = "dns_subnets/world.rs"]
mod world;

use anyfront::moment::Dice;
use dns::endpoint::until_settled;
use dns::message::{Question, kind, option, subnet};
use dns::servers::{Server, all_installed};
use dns::talk::Asker;
use exceptions::{Case, EXCEPTIONS, Field, Said};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use world::{GEO, World, ZONE};

/// Questions unless more are wanted.
const QUESTIONS: usize = 4_000;
/// Addresses that are tried within what an answer is said to hold for.
const TRIED: usize = 12;

fn questions() -> usize {
    std::env::var("ANYFRONT_DNS_QUESTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(QUESTIONS)
}

/// The option for the first `source` bits of an address.
fn option_of(address: IpAddr, source: u8) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let mut octets = octets[..usize::from(source).div_ceil(8)].to_vec();
    if let (Some(last), beyond @ 1..) = (octets.last_mut(), source % 8) {
        *last &= 0xFF << (8 - beyond);
    }
    subnet(family, source, 0, &octets)
}

fn ask(asker: &mut Asker, option: &[u8]) -> Said {
    let reply = asker.udp(&Question::new(GEO, kind::A).option(option::CLIENT_SUBNET, option));
    let reply = reply.unwrap_or_else(|| panic!("silence to {option:02x?}"));
    let echo = reply.option(option::CLIENT_SUBNET);
    Said {
        rcode: reply.rcode,
        addresses: reply.addresses(),
        echo: echo.map(|echo| [&echo[..3], &echo[4.min(echo.len())..]].concat()),
        scope: reply.scope(),
    }
}

/// An address that may be in a network of the database, and so many bits of it.
fn made_up(dice: &mut Dice, world: &World) -> (IpAddr, u8) {
    let at = usize::try_from(dice.roll()).unwrap_or(usize::MAX) % world.networks.len();
    let inside = world::within(world.networks[at].0, dice);
    let address = match dice.roll() % 8 {
        0 => world::anywhere(dice, inside.is_ipv4()),
        1 => world::beside(inside, world.networks[at].0.prefix_len()),
        _ => inside,
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let source = match dice.roll() % 4 {
        0 => u8::try_from(dice.roll() % (u64::from(bits) + 1)).expect("small"),
        1 => bits,
        _ => {
            if address.is_ipv4() {
                24
            } else {
                56
            }
        }
    };
    (address, source)
}

#[test]
fn every_difference_from_knot_and_gdnsd_is_meant_to_be() {
    if !all_installed(&["knotd", "gdnsd"]) {
        return;
    }
    let world = World::coarse();
    let ours = Server::anyfront(ZONE, &world.regions(), &[]);
    let knot = Server::knot(ZONE, &world.master("A 192.0.2.1"), Some((&world.knot(), &world.database)));
    let gdnsd = Server::gdnsd(ZONE, &world.master("DYNA geoip!geo"), &world.gdnsd());
    let [mut ours, mut knot, mut gdnsd] = [&ours, &knot, &gdnsd].map(|server| Asker::of(server.address));

    until_settled(&mut ours, GEO, 2);
    let mut dice = Dice::seeded(71);
    let mut options: Vec<Vec<u8>> = exceptions::MALFORMED.iter().map(|octets| octets.to_vec()).collect();
    for _ in 0..questions() {
        let (address, source) = made_up(&mut dice, &world);
        options.push(option_of(address, source));
    }
    let mut unexplained: BTreeMap<Field, (usize, String)> = BTreeMap::new();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for option in options {
        let case = Case {
            ours: ask(&mut ours, &option),
            knot: ask(&mut knot, &option),
            gdnsd: ask(&mut gdnsd, &option),
            option,
        };
        for field in case.differences() {
            let mut all = EXCEPTIONS.iter().filter(|one| one.fields.contains(&field) && (one.explains)(&case));
            match all.next() {
                Some(exception) => *used.entry(exception.name).or_default() += 1,
                None => unexplained.entry(field).or_insert_with(|| (0, format!("{case:?}"))).0 += 1,
            }
        }
    }
    println!("meant to be different:");
    for exception in EXCEPTIONS {
        println!("{:6} {}: {}", used.get(exception.name).copied().unwrap_or(0), exception.name, exception.why);
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let idle: BTreeSet<&str> = EXCEPTIONS.iter().map(|one| one.name).filter(|name| !used.contains_key(name)).collect();
    assert!(idle.is_empty(), "explain nothing any more: {idle:?}");
}

#[test]
fn an_answer_is_the_same_for_everybody_in_its_scope() {
    let world = World::fine();
    let server = Server::anyfront(ZONE, &world.regions(), &[]);
    let mut ours = Asker::of(server.address);
    until_settled(&mut ours, GEO, 2);
    let mut dice = Dice::seeded(78);
    let mut scopes = BTreeSet::new();
    for _ in 0..questions() / 8 {
        let (address, source) = made_up(&mut dice, &world);
        let said = ask(&mut ours, &option_of(address, source.max(1)));
        let scope = said.scope.expect("a scope");
        scopes.insert((address.is_ipv4(), scope));
        let finest = if address.is_ipv4() { 24 } else { 56 };
        assert!(scope <= finest, "{address}/{source}: scope {scope}");
        // What a resolver is told to give to all in that prefix, all in that prefix are told when they ask themselves.
        let told = world::network(address, source.max(1)).addr();
        let network = world::network(told, scope);
        for _ in 0..TRIED {
            let other = world::within(network, &mut dice);
            let theirs = ask(&mut ours, &option_of(other, finest));
            assert_eq!(theirs.addresses, said.addresses, "{address}/{source} scope {scope}, but {other}/{finest}");
        }
    }
    assert!(scopes.len() > 20, "scopes that hardly differ: {scopes:?}");
    drop(server);
}

#[test]
fn without_the_option_there_is_none_in_the_answer_and_the_resolver_is_the_client() {
    let world = World::fine();
    let server = Server::anyfront(ZONE, &world.regions(), &[]);
    let mut ours = Asker::of(server.address);
    until_settled(&mut ours, GEO, 2);
    for question in [Question::new(GEO, kind::A), Question::new(GEO, kind::A).with(dns::message::Edns::default())] {
        let reply = ours.udp(&question).expect("an answer");
        assert_eq!(reply.option(option::CLIENT_SUBNET), None, "RFC 7871 §7.2.2");
        assert_eq!(reply.addresses(), ["192.0.2.1"], "loopback is nowhere: where the site stands");
    }
    for (name, kind) in [(ZONE, kind::SOA), (ZONE, kind::NS), ("static.geo.test", kind::A), ("no.geo.test", kind::A)] {
        let asked = option_of("8.8.8.0".parse().expect("an address"), 24);
        let reply =
            ours.udp(&Question::new(name, kind).option(option::CLIENT_SUBNET, asked.clone())).expect("an answer");
        assert_eq!(reply.option(option::CLIENT_SUBNET), Some(&asked[..]), "{name}: the same for all, so scope 0");
    }
}
