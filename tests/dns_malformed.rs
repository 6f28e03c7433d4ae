//! What strangers send to a DNS server, over real sockets to a real node: it answers as it should, never answers an answer,
//! sends little for little, and lives.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "dns_malformed/corpus.rs"]
mod corpus;
#[path = "common/dns/mod.rs"]
mod dns;

use anyfront::moment::{Clock, Dice, Moment};
use corpus::{Broken, Expect, corpus, full};
use dns::message::{Edns, QR, Question, Reply, header, kind, option};
use dns::servers::{BOUND, Server};
use dns::talk::{Asker, exchange, read_message};
use dns::zone::{ZONE, regions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

/// Octets by which an answer that refuses may exceed the question: an OPT with a cookie and a short reason.
const SURPLUS_MAX: usize = 120;
/// A question whose answer proves that everything before it was dealt with.
const PROOF: u16 = 0xBEEF;

fn node() -> Server {
    Server::anyfront(ZONE, &regions("answers_per_second = 0"), &[])
}

fn with_id(octets: &[u8], id: u16) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if let Some(two) = octets.get_mut(..2) {
        two.copy_from_slice(&id.to_be_bytes());
    }
    octets
}

fn check(broken: &Broken, answer: Option<&[u8]>) {
    let what = &broken.what;
    let Some(octets) = answer else {
        assert_eq!(broken.expect, Expect::Silence, "{what}: no answer");
        return;
    };
    let reply = Reply::read(octets).unwrap_or_else(|error| panic!("{what}: {error}: {octets:02x?}"));
    assert_eq!(Expect::Code(reply.rcode), broken.expect, "{what}: {reply:?}");
    assert!(reply.has(QR), "{what}: the answer is a question");
    assert_eq!(octets[2] >> 3 & 0xF, broken.octets[2] >> 3 & 0xF, "{what}: another opcode");
    assert_eq!((octets[2] ^ broken.octets[2]) & 1, 0, "{what}: another RD");
    assert!(reply.question.is_empty() || broken.octets[12..].starts_with(&reply.question), "{what}: another question");
    if !matches!(reply.rcode, 0 | 3) {
        let most = broken.octets.len() + SURPLUS_MAX;
        assert!(octets.len() <= most, "{what}: {} octets for {}", octets.len(), broken.octets.len());
        assert!(reply.sections.iter().all(Vec::is_empty), "{what}: records in a refusal: {reply:?}");
    }
}

#[test]
fn every_broken_message_gets_its_code_over_udp_or_silence() {
    let mut node = node();
    let mut asker = Asker::of(node.address);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect(node.address).expect("a route");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("settable");
    let proof = Question::new(&format!("www.{ZONE}"), kind::A).octets(PROOF);
    for (id, broken) in (1..).zip(corpus()) {
        // One worker answers in order, so that silence is known as soon as the question behind it is answered.
        socket.send(&with_id(&broken.octets, id)).expect("sent");
        socket.send(&proof).expect("sent");
        let mut buffer = [0; 65_535];
        let mut answer = None;
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", broken.what));
            if buffer[..2] == PROOF.to_be_bytes() {
                break;
            }
            assert!(answer.is_none(), "{}: two answers", broken.what);
            assert_eq!(buffer[..2], id.to_be_bytes(), "{}: another id", broken.what);
            answer = Some(buffer[..length].to_vec());
        }
        check(&broken, answer.as_deref());
    }
    assert!(asker.udp(&full()).is_some() && node.is_alive(), "{}", node.log());
}

#[test]
fn every_broken_message_gets_its_code_over_tcp_or_silence() {
    let mut node = node();
    let proof = Question::new(&format!("www.{ZONE}"), kind::A).octets(PROOF);
    for (id, broken) in (1..).zip(corpus()) {
        let mut stream = TcpStream::connect(node.address).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("settable");
        let octets = with_id(&broken.octets, id);
        let length = u16::try_from(octets.len()).expect("short").to_be_bytes();
        stream.write_all(&[&length[..], &octets].concat()).expect("written");
        // The node may end a connection on which nonsense comes; if it does not, it answers what comes after.
        let _ = stream.write_all(&[&u16::try_from(proof.len()).expect("short").to_be_bytes()[..], &proof].concat());
        let mut answer = None;
        while let Ok(message) = read_message(&mut stream) {
            if message[..2] == PROOF.to_be_bytes() {
                break;
            }
            assert!(answer.is_none(), "{}: two answers", broken.what);
            answer = Some(message);
        }
        check(&broken, answer.as_deref());
    }
    assert!(Asker::of(node.address).tcp(&full()).is_some() && node.is_alive(), "{}", node.log());
}

#[test]
fn whatever_is_made_of_good_messages_the_answers_are_well_formed_and_the_node_lives() {
    let mut node = node();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect(node.address).expect("a route");
    socket.set_nonblocking(true).expect("settable");
    let mut seeds: Vec<Vec<u8>> =
        corpus().into_iter().map(|broken| broken.octets).filter(|one| one.len() > 12).collect();
    for name in ["alias", "a.near", "a.wild", "huge", "many", "no.such", "x.below.nothing", "away"] {
        seeds.push(Question::new(&format!("{name}.{ZONE}"), kind::ANY).with(Edns::default()).octets(0));
    }
    let mut dice = Dice::seeded(36);
    let mut answers = 0;
    let hear = |answers: &mut usize| {
        let mut buffer = [0; 65_535];
        while let Ok(length) = socket.recv(&mut buffer) {
            let reply = Reply::read(&buffer[..length]);
            let reply = reply.unwrap_or_else(|error| panic!("{error}: {:02x?}", &buffer[..length]));
            assert!(reply.has(QR) && length <= 1_232, "{reply:?}");
            *answers += 1;
        }
    };
    for round in 0..30_000 {
        let mut octets = seeds[usize::try_from(dice.roll() % seeds.len() as u64).expect("few")].clone();
        for _ in 0..=dice.roll() % 3 {
            mutate(&mut octets, &mut dice);
        }
        // A datagram that finds no room is as good as one that is lost.
        let _ = socket.send(&octets);
        if round % 16 == 0 {
            hear(&mut answers);
        }
    }
    // What is still waiting in its socket may leave no room for a question at first.
    let mut asker = Asker::of(node.address);
    assert!((0..10).any(|_| asker.udp(&full()).is_some()) && node.is_alive(), "{}", node.log());
    hear(&mut answers);
    assert!(answers > 1_000, "only {answers} answers");
}

fn mutate(octets: &mut Vec<u8>, dice: &mut Dice) {
    let mut at = |below: usize| usize::try_from(dice.roll()).unwrap_or(usize::MAX) % below.max(1);
    let here = at(octets.len());
    match at(6) {
        0 => octets[here] ^= 1 << at(8),
        1 => octets[here] = u8::try_from(at(256)).expect("an octet"),
        2 => octets.truncate(here.max(1)),
        3 => octets.extend_from_within(here..),
        4 => drop(octets.remove(here)),
        _ => octets.insert(here, [0, 1, 41, 63, 64, 0xC0, 0xFF][at(7)]),
    }
    if octets.is_empty() {
        octets.push(0);
    }
    octets.truncate(4_000);
}

#[test]
fn messages_of_64_kib_full_of_pointers_cost_little() {
    let node = node();
    let pointers = |counts| [header(9, 0, counts), [0xC0, 12].repeat(32_761)].concat();
    let chain: Vec<u8> = (0..32_761_u16).flat_map(|at| (0xC000 | (10 + 2 * at).min(0x3FFF)).to_be_bytes()).collect();
    let records = [&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0][..]].concat().repeat(5_458);
    let question = &Question::new(&format!("www.{ZONE}"), kind::A).octets(9)[12..];
    let giants = [
        ("65535 questions of pointers", pointers([65_535, 0, 0, 0])),
        ("one question and pointers", pointers([1, 65_535, 0, 0])),
        ("a chain of pointers", [header(9, 0, [1, 0, 0, 0]), chain].concat()),
        ("thousands of records that point", [header(9, 0, [1, 5_458, 0, 0]), question.to_vec(), records].concat()),
        ("nothing but zeros", vec![0; 65_535]),
    ];
    for (what, mut octets) in giants {
        octets.truncate(65_535);
        octets[..2].copy_from_slice(&9_u16.to_be_bytes());
        let mut stream = TcpStream::connect(node.address).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("settable");
        const TIMES: u64 = 50;
        let before = node.cpu();
        for _ in 0..TIMES {
            let answer = exchange(&mut stream, &octets).unwrap_or_else(|error| panic!("{what}: {error}"));
            let reply = Reply::read(&answer).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(answer.len() < 600 && reply.has(QR), "{what}: {reply:?}");
        }
        let each = (node.cpu() - before) / u32::try_from(TIMES).expect("few");
        println!("{what}: {each:?} of CPU each");
        // Of a build that is not optimised, with its probes and all: a thousandth of what following every pointer costs.
        assert!(each < Duration::from_millis(10), "{what}: {each:?} of CPU each");
    }
}

#[test]
fn tcp_that_stops_in_the_middle_or_dribbles_is_no_trouble() {
    let node = node();
    let question = full().octets(5);
    let framed = [&u16::try_from(question.len()).expect("short").to_be_bytes()[..], &question].concat();
    for cut in 0..framed.len() {
        let mut stream = TcpStream::connect(node.address).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("settable");
        stream.write_all(&framed[..cut]).expect("written");
        stream.shutdown(Shutdown::Write).expect("shut");
        let mut rest = Vec::new();
        // A reset instead of an end is as good.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "an answer to {cut} octets: {rest:02x?}");
    }
    let mut stream = TcpStream::connect(node.address).expect("a connection");
    stream.set_nodelay(true).expect("settable");
    stream.set_read_timeout(Some(BOUND)).expect("settable");
    for octet in &framed {
        stream.write_all(&[*octet]).expect("written");
    }
    let answer = read_message(&mut stream).expect("an answer");
    assert_eq!(Reply::read(&answer).expect("well formed").rcode, 0);
    let mut stream = TcpStream::connect(node.address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("settable");
    stream.write_all(&[0, 0]).expect("written");
    let _ = stream.write_all(&framed);
    if let Ok(answer) = read_message(&mut stream) {
        assert_eq!(Reply::read(&answer).expect("well formed").id, 5, "an answer to a message of no octets");
    }
}

#[test]
fn a_flood_from_one_address_gets_no_more_than_twice_what_it_sends() {
    let node = Server::anyfront(ZONE, &regions(""), &[]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect(node.address).expect("a route");
    socket.set_nonblocking(true).expect("settable");
    let (mut sent, mut got, mut answers, mut buffer) = (0, 0, 0, [0; 65_535]);
    let many = Question::new(&format!("large.{ZONE}"), kind::TXT).with(Edns::default());
    let clock = Clock::start();
    while clock.now() < Moment::at(Duration::from_secs(2)) {
        for _ in 0..16 {
            let octets = many.octets(1);
            sent += socket.send(&octets).unwrap_or(0);
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            got += length;
            answers += 1;
        }
    }
    println!("{sent} octets sent, {got} came back in {answers} answers");
    assert!(answers > 100, "nobody was answered");
    assert!(got <= 2 * sent, "{got} octets for {sent}");
}

#[test]
fn a_client_with_our_cookie_is_answered_through_a_flood_from_its_address() {
    let node = Server::anyfront(ZONE, &regions("answers_per_second = 20"), &[]);
    let mut asker = Asker::of(node.address);
    let question = |cookie: &[u8]| Question::new(&format!("large.{ZONE}"), kind::TXT).option(option::COOKIE, cookie);
    let first = asker.udp(&question(&[5; 8])).expect("an answer");
    let cookie = first.option(option::COOKIE).expect("a cookie").to_vec();
    assert_eq!(cookie.len(), 24, "RFC 9018 §4: eight octets and sixteen");
    let flood = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    flood.connect(node.address).expect("a route");
    flood.set_nonblocking(true).expect("settable");
    for _ in 0..200 {
        for _ in 0..16 {
            let _ = flood.send(&question(&[6; 8]).octets(1));
        }
        let reply = asker.udp(&question(&cookie)).expect("an answer in the flood");
        assert_eq!(reply.answers().len(), 3, "cut short although it has a cookie: {reply:?}");
    }
}

#[test]
fn datagrams_from_ports_of_services_are_not_answered() {
    let node = node();
    let octets = Question::new(&format!("www.{ZONE}"), kind::A).octets(1);
    for port in [7, 13, 17, 19, 123, 1_023] {
        let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            println!("SKIPPED: port {port} cannot be had");
            continue;
        };
        socket.connect(node.address).expect("a route");
        socket.send(&octets).expect("sent");
        // One worker: an answer to somebody else, asked later, says that there will be none.
        assert!(Asker::of(node.address).udp(&full()).is_some());
        socket.set_nonblocking(true).expect("settable");
        let mut buffer = [0; 512];
        assert!(socket.recv(&mut buffer).is_err(), "port {port} was answered");
    }
}
