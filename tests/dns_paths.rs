//! The fast path says what the whole path says: over the whole space of questions, signed and unsigned.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use anyfront::dns::asker::{Asker, Transport};
use anyfront::dns::prepared::Prepared;
use anyfront::dns::question::Question;
use anyfront::dns::{answer, wire};
use common::answers as zone;
use hickory_proto::dnssec::Algorithm;
use hickory_proto::op::Message;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const WALL: Duration = Duration::from_secs(1_800_000_000);

const NAMES: [&str; 34] = [
    "gw.example",
    "direct.gw.example",
    "deep.below.gw.example",
    "below.gw.example",
    "ns1.gw.example",
    "ns2.gw.example",
    "orf.gw.example",
    "lhr.gw.example",
    "static.gw.example",
    "wild.gw.example",
    "a.wild.gw.example",
    "a.b.wild.gw.example",
    "*.wild.gw.example",
    "here.wild.gw.example",
    "is.here.wild.gw.example",
    "x.here.wild.gw.example",
    "alias.gw.example",
    "x.alias.gw.example",
    "away.gw.example",
    "x.away.gw.example",
    "service.tcp.gw.example",
    "tcp.gw.example",
    "long.gw.example",
    "nothing.gw.example",
    "x.y.z.gw.example",
    "x.static.gw.example",
    "example",
    "elsewhere.example",
    "notgw.example",
    "gw.example.com",
    ".",
    "\u{1}.gw.example",
    "a-label-of-sixty-three-octets-which-is-the-most-that-there-can-.gw.example",
    "xgw.example",
];
const KINDS: [u16; 26] =
    [1, 28, 65, 64, 16, 15, 2, 6, 5, 257, 33, 13, 48, 59, 60, 47, 46, 255, 252, 251, 128, 41, 43, 99, 0, 65_280];

#[derive(Clone, Debug)]
struct Asked {
    message: Vec<u8>,
    asker: Asker,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(&NAMES[..]), any::<u64>()).prop_map(|(name, cases)| {
        let mut octets = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            octets.push(label.len() as u8);
            octets.extend(
                label
                    .bytes()
                    .enumerate()
                    .map(|(at, octet)| if cases >> (at % 64) & 1 == 1 { octet.to_ascii_uppercase() } else { octet }),
            );
        }
        octets.push(0);
        octets
    })
}

fn subnet() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(address, source)| (1_u8, address.to_vec(), source));
    let v6 = (any::<[u8; 16]>(), 0_u8..=128)
        .prop_map(|(address, source)| (2, [&[0x20, address[1] & 0x1F][..], &address[2..]].concat(), source));
    prop_oneof![v4, v6].prop_map(|(family, mut address, source)| {
        let octets = usize::from(source).div_ceil(8);
        address.truncate(octets);
        if source % 8 != 0 {
            address[octets - 1] &= 0xFF << (8 - source % 8);
        }
        option(8, &[&[0, family, source, 0], address.as_slice()].concat())
    })
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(data.len() as u16).to_be_bytes(), data].concat()
}

/// An OPT record, or none.
fn opt() -> impl Strategy<Value = Option<Vec<u8>>> {
    let simple = prop_oneof![
        Just(option(3, &[])),
        Just(option(11, &[])),
        Just(option(12, &[0; 7])),
        Just(option(65_001, b"unknown")),
    ];
    let parts = (prop_oneof![Just(0_u16), Just(512), Just(1_232), any::<u16>()], any::<bool>(), any::<bool>());
    let options = (prop::option::weighted(0.6, subnet()), prop::collection::vec(simple, 0..3));
    prop::option::weighted(0.8, (parts, options)).prop_map(|opt| {
        let ((size, dnssec_ok, compact_ok), (subnet, mut options)) = opt?;
        options.extend(subnet);
        let data = options.concat();
        let flags = (u8::from(dnssec_ok) << 7) | (u8::from(compact_ok) << 6);
        let mut octets = vec![0, 0, 41];
        octets.extend(size.to_be_bytes());
        octets.extend([0, 0, flags, 0]);
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
        Some(octets)
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let kind = prop::sample::select(&KINDS[..]);
    let class = prop_oneof![9 => Just(1_u16), 1 => prop_oneof![Just(3_u16), Just(254), Just(255)]];
    let transport = prop::sample::select(&Transport::ALL[..]);
    let asker = (any::<u32>(), transport, prop::option::of(any::<[u8; 24]>()));
    ((any::<u16>(), any::<bool>(), any::<bool>()), name(), (kind, class), opt(), asker).prop_map(
        |((id, rd, cd), name, (kind, class), opt, (address, transport, cookie))| {
            let mut message = id.to_be_bytes().to_vec();
            message.extend([u8::from(rd), u8::from(cd) << 4, 0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
            message.extend(name);
            message.extend(kind.to_be_bytes());
            message.extend(class.to_be_bytes());
            // Ours goes only where theirs came.
            let cookie = cookie.filter(|_| opt.is_some());
            message.extend(opt.unwrap_or_default());
            Asked { message, asker: Asker { address: IpAddr::from(address.to_be_bytes()), transport, cookie } }
        },
    )
}

/// Both ways' answers to many questions are equal, and `least` percent of them have two.
fn agree(prepared: &Prepared, least: u32) {
    let (all, both) = (Cell::new(0_u32), Cell::new(0_u32));
    let config = ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&asked(), |Asked { message, asker }| {
        let question = Question::parse(&message).expect("a question");
        let mut fast = b"before".to_vec();
        let rcode = wire::answer(prepared, &question, &asker, &mut fast);
        let mut whole = Vec::new();
        let whole_rcode = answer::answer(prepared, &question, &asker, &mut || true, &mut whole);
        let read = |octets: &[u8]| Message::from_vec(octets).unwrap_or_else(|error| panic!("{error}: {octets:?}"));
        let whole = read(&whole);
        match rcode {
            None => assert_eq!(fast, b"before", "what is left to the other is left alone"),
            Some(rcode) => {
                assert_eq!(rcode, whole_rcode);
                assert_eq!(format!("{:?}", read(&fast[6..])), format!("{whole:?}"), "to {question:?}");
                both.set(both.get() + 1);
            }
        }
        all.set(all.get() + 1);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let (all, both) = (all.get(), both.get());
    assert!(both * 100 >= all * least, "the fast path answers {both} of {all}");
}

#[test]
fn both_ways_say_the_same() {
    agree(&zone::prepared(&zone::snapshot(""), Path::new("."), WALL), 40);
}

#[test]
fn both_ways_say_the_same_with_signatures() {
    for algorithm in [Algorithm::ECDSAP256SHA256, Algorithm::ED25519] {
        let state = tempfile::tempdir().expect("a folder");
        zone::make_key(state.path(), algorithm, WALL);
        let prepared = zone::prepared(&zone::snapshot(zone::SIGNED), state.path(), WALL);
        assert!(prepared.contents.is_signed());
        agree(&prepared, 30);
    }
}
