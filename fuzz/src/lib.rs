//! What is thrown at the parsers and at steering, and what must hold whatever is thrown.
//!
//! Each function is one target: `make fuzz` gives it what libFuzzer makes up, and `cargo test` the seeds below
//! `fuzz/seeds` with a fixed set of mutations, so that every run on every machine exercises them.

#[path = "../../tests/common/mod.rs"]
mod common;

use anyfront::counters::Counters;
use anyfront::dns::asker::Transport;
use anyfront::dns::prepare::Answers;
use anyfront::dns::responder::{Outcome, Responder};
use anyfront::front::frames::Frames;
use anyfront::front::proxy;
use anyfront::front::websocket;
use anyfront::geo::build::{List, build};
use anyfront::geo::database::Locator;
use anyfront::geo::place::{Coordinates, Place};
use anyfront::limits::PROXY_HEADER_BYTES_MAX;
use anyfront::moment::{Clock, Moment};
use anyfront::names::{HOSTNAME_BYTES_MAX, Hostname, LABEL_BYTES_MAX, Label};
use anyfront::snapshot::Target;
use anyfront::steering::{Client, PlacedBy, Query, steer};
use anyfront::topology::RouteIndex;
use anyfront::topology::check::check;
use anyfront::topology::link::PrivateLink;
use arc_swap::ArcSwapOption;
use common::worlds::Bytes;
use common::{answers, invariants};
use hickory_proto::dnssec::Algorithm;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

/// A target: its name, which is that of its seeds' folder, and what it does with some bytes.
pub type NamedTarget = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [NamedTarget; 11] = [
    ("regions_toml", regions_toml),
    ("hostname", hostname),
    ("authority", authority),
    ("target", target),
    ("steer", steering),
    ("geo_file", geo_file),
    ("geo_list", geo_list),
    ("proxy_header", proxy_header),
    ("http2_frames", http2_frames),
    ("websocket", websocket),
    ("dns_message", dns_message),
];

/// A configuration: told what is wrong with it, at places that exist; or a topology that steering can use.
pub fn regions_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match check(text, Path::new("nowhere/regions.toml")) {
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason");
            let lines = text.lines().count().max(1) + 1;
            let rows = mistakes.rows();
            assert!(
                rows.iter().all(|row| (1..=lines).contains(&row.line) && row.column >= 1 && !row.message.is_empty())
            );
            assert!(rows.is_sorted_by_key(|row| row.line), "told out of order");
            assert!(!mistakes.render(false).is_empty());
        }
        Ok(checked) => {
            drop(checked.warnings.render(true));
            let routes = checked.topology.routes.len();
            let snapshot = common::first_snapshot(checked.topology);
            let place = Place { at: Coordinates::new(51.5, -0.1).expect("on the earth"), country: None, city: None };
            let client = Client::at("192.0.2.1".parse().expect("an address"), place, PlacedBy::Here);
            for route in (0..routes.min(16)).map(RouteIndex::of) {
                let decision = steer(&snapshot, &Query::first(route, &client));
                let members = &snapshot.topology.route(route).members;
                assert_eq!(decision.candidates.len() + decision.excluded.len(), members.len());
                drop(decision.to_text(&snapshot, &client));
            }
        }
    }
}

/// A name: what is taken has one form, and reading that form changes nothing.
pub fn hostname(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = Hostname::parse(text) {
        canonical(&name);
        assert!(name.as_str().eq_ignore_ascii_case(text.strip_suffix('.').unwrap_or(text)));
    }
    if let Ok(label) = Label::parse(text) {
        assert_eq!(label.as_str(), text);
        assert!(text.len() <= LABEL_BYTES_MAX);
        assert!(Hostname::below(&label, &Hostname::parse("zone.example").expect("good")).is_ok());
    }
}

/// What a client says it wants: a name, perhaps with a port; the name has the same one form.
pub fn authority(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = Hostname::from_authority(text) {
        canonical(&name);
        let host = text.split_once(':').map_or(text, |(host, _)| host);
        assert_eq!(Hostname::parse(host).as_ref(), Ok(&name));
        assert_eq!(Hostname::from_authority(&format!("{name}:443")).as_ref(), Ok(&name));
    }
}

fn canonical(name: &Hostname) {
    let text = name.as_str();
    assert_eq!(Hostname::parse(text).as_ref(), Ok(name));
    assert!(text.len() <= HOSTNAME_BYTES_MAX && !text.ends_with('.') && !text.starts_with('.'));
    assert!(text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')), "{text:?}");
    assert!(name.is_within(name));
}

/// What an operator drains: what is taken is printed as it is read.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Target::parse(text) {
        Ok(target) => {
            assert_eq!(target.to_string(), text);
            assert_eq!(Target::parse(&target.to_string()), Ok(target));
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// A world and a question: everything that must hold for a decision, and the second opinion agrees.
pub fn steering(data: &[u8]) {
    invariants::hold(&Bytes(data).plan().build());
}

/// A database of countries or cities: refused with a reason, or one that can be asked about any address.
pub fn geo_file(data: &[u8]) {
    let file = Scratch::with(data);
    let Ok(locator) = Locator::open(Vec::new(), Some(&file.0)) else { return };
    drop(locator.facts().to_string());
    for bits in [0, 0x0100_0001, 0x7F00_0001, 0xC000_0201, u32::MAX] {
        drop(locator.locate(IpAddr::V4(Ipv4Addr::from(bits))));
    }
    for bits in [0, 1, 0x2001_0DB8 << 96, 0x2002 << 112, u128::MAX] {
        drop(locator.locate(IpAddr::V6(Ipv6Addr::from(bits))));
    }
}

/// Lists of ranges: refused at a line, or made into a database that can be opened and knows the same.
pub fn geo_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(built) = build(&[List { name: "list", text }]) else { return };
    let file = Scratch::with(&built.bytes);
    let locator = Locator::open(Vec::new(), Some(&file.0)).expect("what was built can be opened");
    assert_eq!(locator.facts().bytes, built.bytes.len());
}

/// What a balancer says first: it is read without an octet of what follows, within its bounds, and says the same whatever
/// follows; a link in it is shown as it is read.
pub fn proxy_header(data: &[u8]) {
    let mut taken = 0;
    let whole = loop {
        match proxy::wanted(&data[..taken]) {
            Ok(0) => break &data[..taken],
            Ok(more) if taken + more <= data.len() => taken += more,
            Ok(more) => return assert!(taken + more <= PROXY_HEADER_BYTES_MAX, "a header of {taken} and {more}"),
            Err(_) => return,
        }
        assert!(taken <= PROXY_HEADER_BYTES_MAX);
    };
    if let Ok(told) = proxy::read(whole) {
        assert!(told.client.is_none_or(|client| client == client.to_canonical()));
        if let Some(link) = told.link {
            assert_eq!(PrivateLink::parse(&link.to_string()).as_ref(), Ok(&link));
            assert!(link.to_string().bytes().all(|byte| byte.is_ascii_graphic()), "it goes into a header");
        }
    }
    assert!(proxy::read(&[whole, b"G"].concat()).is_err(), "an octet too many was taken for part of it");
}

/// Both directions of an HTTP/2 connection, in pieces: each is a length, whose last bit says who speaks, and so many
/// octets. What is made of them does not depend on how they are cut, and streams end only once.
pub fn http2_frames(data: &[u8]) {
    let (mut whole, mut cut) = (Frames::default(), Frames::default());
    let (mut left, mut now) = (data, Moment::ZERO);
    let mut ended = Vec::new();
    while let Some((length, rest)) = left.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(length >> 1)));
        left = rest;
        now = now + Duration::from_millis(250);
        if length & 1 == 0 {
            whole.received(piece, now);
            piece.iter().for_each(|octet| cut.received(&[*octet], now));
        } else {
            whole.sent(piece, now);
            piece.iter().for_each(|octet| cut.sent(&[*octet], now));
        }
        while let Some(stream) = whole.stalled(now) {
            assert_eq!(cut.stalled(now), Some(stream));
            assert!(stream <= whole.last_stream());
            ended.push(stream);
        }
        assert_eq!(cut.stalled(now), None);
        let seen = |frames: &Frames| {
            let between = (frames.is_between_received(), frames.is_between_sent());
            (frames.excess(), frames.has_resets(), frames.last_stream(), frames.wakes_at(), between)
        };
        assert_eq!(seen(&whole), seen(&cut));
    }
    let all = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), all, "a stream ended twice");
}

/// Frames of a WebSocket: the boundaries are where they are however the octets come, and a Close stays a Close.
pub fn websocket(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else { return };
    let boundaries = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut frames, mut at, mut found) = (websocket::Frames::default(), 0, Vec::new());
        for octets in pieces {
            let mut rest = octets;
            while !rest.is_empty() {
                let passed = frames.step(rest);
                assert!(passed > 0 && passed <= rest.len(), "it goes on");
                at += passed;
                rest = &rest[passed..];
                if frames.is_between_frames() {
                    found.push((at, frames.has_closed()));
                }
            }
        }
        assert!(found.is_sorted_by_key(|(at, has_closed)| (*at, *has_closed)));
        found
    };
    let whole = boundaries(&mut std::iter::once(data));
    assert_eq!(boundaries(&mut data.chunks(usize::from(*piece).max(1))), whole);
}

/// A file that is there as long as this is.
struct Scratch(PathBuf);

impl Scratch {
    fn with(data: &[u8]) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let name = format!("anyfront-fuzz-{}-{}", std::process::id(), SERIAL.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, data).expect("the temporary folder is writable");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A DNS message, behind an octet that says how it came: from octets to octets. Nobody answers an answer, and an answer has
/// the question in it and fits where it goes.
pub fn dns_message(data: &[u8]) {
    static ANSWERS: LazyLock<Answers> = LazyLock::new(|| {
        let state = tempfile::tempdir().expect("the temporary folder is writable");
        let wall = Duration::from_secs(1_800_000_000);
        answers::make_key(state.path(), Algorithm::ED25519, wall);
        let prepared = answers::prepared(&answers::snapshot(answers::SIGNED), state.path(), wall);
        Answers::new(ArcSwapOption::from_pointee(prepared))
    });
    let Some((how, message)) = data.split_first() else { return };
    let transport = Transport::ALL[usize::from(*how) % Transport::ALL.len()];
    let mut responder = Responder::new(&ANSWERS, Clock::start(), Counters::new(1).worker(0));
    let ends = (SocketAddr::from(([192, 0, 2, 1], 5_353)), SocketAddr::from(([192, 0, 2, 53], 53)));
    let mut out = b"before".to_vec();
    let outcome = responder.answer(transport, ends, message, &mut out);
    let answer = out.strip_prefix(b"before").expect("what was there stays");
    match outcome {
        Outcome::Silence => assert!(answer.is_empty()),
        Outcome::Answer { question_end, .. } => {
            assert!(message.len() >= 12 && message[2] & 0x80 == 0, "an answer is answered");
            assert!(answer.len() >= 12 && answer[2] & 0x80 != 0 && answer[..2] == message[..2]);
            assert_eq!(answer[12..question_end], message[12..question_end], "the question goes back as it came");
            assert!(answer.len() <= if transport == Transport::Udp { 1_232 } else { usize::from(u16::MAX) });
        }
    }
}
