//! Regions that break HTTP, by malice or by mistake: the node lives, its memory is bounded, and no client takes half an
//! answer for a whole one.

#[path = "common/raw_http2.rs"]
mod frames;
#[path = "common/front.rs"]
mod front;

use anyfront::moment::{Clock, Moment};
use frames::*;
use front::{BOUND, Client, Door, Origin, Papers};
use std::time::Duration;

/// What this process has in memory, octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// What an HTTP/2 region says to stream `.0`, in round `.1`; nothing ends it.
type Deed = fn(u32, u64) -> Vec<u8>;

const OK: &[u8] = &[0x88];

fn once(round: u64, said: Vec<u8>) -> Vec<u8> {
    if round == 0 { said } else { Vec::new() }
}

fn head(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

fn deeds() -> Vec<(&'static str, Deed)> {
    vec![
        ("fields without end", |stream, round| {
            let kind = if round == 0 { HEADERS } else { CONTINUATION };
            let block = if round == 0 { OK.to_vec() } else { literal("a", "b".repeat(1_000)) };
            frame(kind, 0, stream, &block)
        }),
        ("empty continuations", |stream, round| {
            let (kind, block) = if round == 0 { (HEADERS, OK) } else { (CONTINUATION, &[][..]) };
            frame(kind, 0, stream, block)
        }),
        ("fields that grow", |stream, round| {
            let bomb = [OK, &indexed("a", &"b".repeat(4_000)), &[0xBE; 12_000]].concat();
            once(round, head(stream, &bomb))
        }),
        ("interim answers without end", |stream, _| head(stream, &literal(":status", "103")).repeat(100)),
        ("more than was said", |stream, round| {
            let length = [OK, &literal("content-length", "2")].concat();
            once(round, [head(stream, &length), frame(DATA, END_STREAM, stream, b"abc")].concat())
        }),
        ("less than was said", |stream, round| {
            let length = [OK, &literal("content-length", "4")].concat();
            once(round, [head(stream, &length), frame(DATA, END_STREAM, stream, b"abc")].concat())
        }),
        ("trailers that grow", |stream, round| {
            let bomb = [indexed("a", &"b".repeat(4_000)), vec![0xBE; 12_000]].concat();
            let data = [head(stream, OK), frame(DATA, 0, stream, b"abc")].concat();
            once(round, [data, frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)].concat())
        }),
        ("pseudo-fields behind others in trailers", |stream, round| {
            let data = [head(stream, OK), frame(DATA, 0, stream, b"abc")].concat();
            let block = [literal("a", "b"), literal(":status", "200")].concat();
            once(round, [data, frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)].concat())
        }),
        ("a name that is no token", |stream, round| {
            let block = [OK, &literal("a\"b", "c")].concat();
            once(round, frame(HEADERS, END_HEADERS | END_STREAM, stream, &block))
        }),
        ("a name that is no token in trailers", |stream, round| {
            let data = [head(stream, OK), frame(DATA, 0, stream, b"abc")].concat();
            once(round, [data, frame(HEADERS, END_HEADERS | END_STREAM, stream, &literal("a\"b", "c"))].concat())
        }),
        ("a push", |stream, round| {
            let promise = frame(PUSH_PROMISE, END_HEADERS, stream, &[&[0, 0, 0, 2][..], &get("/y")].concat());
            once(round, [head(stream, OK), promise].concat())
        }),
        ("no status", |stream, round| {
            once(round, frame(HEADERS, END_HEADERS | END_STREAM, stream, &literal("a", "b")))
        }),
        ("a reset", |stream, round| once(round, [head(stream, OK), reset(stream)].concat())),
        ("goodbye in the middle", |stream, round| {
            let last = [stream.to_be_bytes(), 2_u32.to_be_bytes()].concat();
            let data = [head(stream, OK), frame(DATA, 0, stream, b"abc")].concat();
            once(round, [data, frame(GOAWAY, 0, 0, &last), reset(stream)].concat())
        }),
        ("pings without end", |_, _| frame(PING, 0, 0, &[0; 8]).repeat(100)),
        ("settings without end", |_, _| frame(SETTINGS, 0, 0, &[]).repeat(100)),
        (
            "empty data without end",
            |stream, round| {
                if round == 0 { head(stream, OK) } else { frame(DATA, 0, stream, &[]).repeat(100) }
            },
        ),
        ("no frames at all", |_, round| once(round, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(400))),
    ]
}

#[test]
fn an_http2_region_that_breaks_the_rules_is_an_error_and_costs_little() {
    for (what, deed) in deeds() {
        let papers = Papers::new();
        let door = Door::start(&[("https", region(&papers, deed))], "first_byte_timeout = \"4s\"\n", &papers);
        let before = resident();
        let clock = Clock::start();
        let mut client = door.client();
        client.stream.set_read_timeout(Some(3 * BOUND)).expect("a bound");
        client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        let answer = client.any_answer(false);
        let grown = resident().saturating_sub(before) >> 10;
        println!("{what}: {} after {:?}, {grown} KiB", answer.status(), clock.now());
        assert!(!answer.is_whole || answer.status() >= 500, "{what}: {answer:?}");
        assert!(grown < 16 << 10, "{what}: grown by {grown} KiB");
        assert_eq!(door.ask("GET /x HTTP/1.1\r\nHost: other.test\r\n\r\n").status(), 421, "{what}");
    }
}

#[test]
fn pseudo_fields_in_a_regions_trailers_reach_nobody() {
    let papers = Papers::new();
    let deed = |stream: u32, round: u64| {
        let data = [head(stream, OK), frame(DATA, 0, stream, b"abc")].concat();
        let block = [literal(":status", "500"), literal(":path", "/y"), literal("a", "b")].concat();
        once(round, [data, frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)].concat())
    };
    let door = Door::start(&[("https", region(&papers, deed))], "", &papers);
    let mut client = RawClient::connect(&door);
    client.say(request(1, "/x"));
    let mut heads = Vec::new();
    while heads.len() < 2 {
        let frame = client.hear().expect("an answer");
        if frame.kind == HEADERS && frame.stream == 1 {
            heads.push(frame);
        }
    }
    assert!(heads[1].ends_stream());
    // `a: b` as a new field, and nothing else.
    assert_eq!(heads[1].payload.len(), "?1a1b".len(), "{heads:?}");
}

#[test]
fn an_http1_region_that_never_comes_to_the_point_is_an_error_and_costs_little() {
    let endless: [(&str, &str, String); 5] = [
        ("interim answers", "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(100)),
        ("one line", "HTTP/1.1 200 OK\r\nA: ", "b".repeat(10_000)),
        ("many fields", "HTTP/1.1 200 OK\r\n", "A: b\r\n".repeat(1_000)),
        ("extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", ";a=b".repeat(1_000)),
        ("trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n".repeat(1_000)),
    ];
    for (what, first, then) in endless {
        let origin = Origin::start(move |talk| {
            talk.say(first)?;
            loop {
                talk.say(&then)?;
            }
        });
        let door = Door::with(&[&origin], "first_byte_timeout = \"4s\"\n");
        for is_fast in [true, false] {
            let before = resident();
            let clock = Clock::start();
            let mut client: Client = door.client();
            client.stream.set_read_timeout(Some(3 * BOUND)).expect("a bound");
            // A body has the request go the whole way.
            let body = if is_fast { "\r\n" } else { "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" };
            client.say(format!("PUT /x HTTP/1.1\r\nHost: gw.test\r\n{body}"));
            let answer = client.any_answer(false);
            let grown = resident().saturating_sub(before) >> 10;
            println!("{what}: {} after {:?}, {grown} KiB", answer.status(), clock.now());
            assert!(!answer.is_whole || answer.status() >= 500, "{what}: {answer:?}");
            assert!(grown < 16 << 10, "{what}: grown by {grown} KiB");
            assert!(clock.now() < Moment::at(Duration::from_secs(20)), "{what}");
        }
    }
}
