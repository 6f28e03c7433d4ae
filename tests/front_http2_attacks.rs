//! What a hostile client can do with HTTP/2 frames, and what it gets for it.

#[path = "common/raw_http2.rs"]
mod frames;
#[path = "common/front.rs"]
mod front;

use anyfront::limits::{
    CONTROL_FRAMES_BURST_MAX, NARROW_STREAMS_MAX, RESETS_MAX, WAITING_ANSWERS_MAX, WAITING_ON_CONNECTION_FEW,
    WINDOW_STALL_MAX,
};
use anyfront::moment::{Clock, Moment};
use frames::*;
use front::{BOUND, Door, Origin};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// What this process has in memory, octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// An origin that answers `/x` and leaves everything else waiting until the node gives up.
fn patient() -> Origin {
    Origin::start(|talk| {
        if talk.request.target() == "/x" {
            return talk.answer("hello");
        }
        let _ = talk.stream.read(&mut [0; 1]);
        Ok(false)
    })
}

fn is_served(door: &Door) {
    let mut honest = RawClient::connect(door);
    honest.say(request(1, "/x"));
    assert_eq!(honest.answer(1), Some(Ok(b"hello".to_vec())), "an honest client is not served");
}

/// How long an honest client waits for each of many small answers, in the middle and at the worst but one percent.
fn waits(door: &Door) -> (Duration, Duration) {
    let clock = Clock::start();
    let mut honest = RawClient::connect(door);
    let mut waits: Vec<Duration> = (0..500)
        .map(|at| {
            let (stream, began) = (2 * at + 1, clock.now());
            honest.say(request(stream, "/x"));
            assert_eq!(honest.answer(stream), Some(Ok(b"hello".to_vec())));
            clock.now().since(began)
        })
        .collect();
    waits.sort_unstable();
    (waits[waits.len() / 2], waits[waits.len() * 99 / 100])
}

/// Beside attackers on the same few processors an honest client waits longer, but never long.
fn is_served_soon(before: (Duration, Duration), meanwhile: (Duration, Duration)) {
    println!("honest p50 and p99: {before:?} before, {meanwhile:?} meanwhile");
    assert!(meanwhile.1 <= 2 * before.1 + Duration::from_millis(200), "{before:?} became {meanwhile:?}");
}

#[test]
fn clients_that_reset_for_ever_do_not_keep_others_waiting() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let before = waits(&door);
    let (is_over, sent, dismissed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let meanwhile = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    let mut client = RawClient::connect(&door);
                    for at in 0.. {
                        let stream = 2 * at + 1;
                        if client.try_say([request(stream, "/wait"), reset(stream)].concat()).is_err() {
                            break;
                        }
                        sent.fetch_add(1, SeqCst);
                    }
                    dismissed.fetch_add(u32::from(client.dismissal() == Some(CALM)), SeqCst);
                }
            });
        }
        let meanwhile = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waits(&door)));
        is_over.store(true, SeqCst);
        meanwhile.expect("an honest client is served")
    });
    let (sent, dismissed) = (sent.load(SeqCst), dismissed.load(SeqCst));
    let seen = origin.seen().iter().filter(|seen| seen.target() == "/wait").count();
    println!("{sent} resets on {dismissed} connections, {seen} reached the region");
    is_served_soon(before, meanwhile);
    assert!(dismissed > 0 && seen <= sent as usize / 100, "{dismissed} dismissed, {seen} of {sent}");
}

#[test]
fn streams_reset_as_soon_as_they_are_opened_are_no_work_for_anybody() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let streams = 10_000_u32;
    let mut client = RawClient::connect(&door);
    let mut sent = 0;
    for at in 0..streams {
        let stream = 2 * at + 1;
        if client.try_say([request(stream, "/wait"), reset(stream)].concat()).is_err() {
            break;
        }
        sent += 1;
        if at == 50 {
            is_served(&door);
        }
    }
    assert_eq!(client.dismissal(), Some(CALM), "after {sent}");
    let seen = origin.seen().iter().filter(|seen| seen.target() == "/wait").count();
    println!("{seen} of {sent} reached the region");
    assert!(seen <= streams as usize / 100, "{seen} of {streams} reached the region");
    is_served(&door);
}

#[test]
fn a_request_that_is_reset_later_is_cancelled_at_once_and_only_so_many_are() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let mut client = RawClient::connect(&door);
    for at in 0..=RESETS_MAX {
        let stream = 2 * at + 1;
        client.say(request(stream, "/wait"));
        let seen = at as usize + 1;
        if at < RESETS_MAX {
            origin.until("the request is there", |requests, _| requests.len() == seen);
        }
        client.say(reset(stream));
        if at < RESETS_MAX {
            origin.until("it is cancelled", |_, ended| ended.len() == seen);
        }
    }
    assert_eq!(client.dismissal(), Some(CALM));
    is_served(&door);
}

/// What it is called, and how it is done to a stream.
type Provocation = (&'static str, fn(u32) -> Vec<u8>);

/// Ways to have a server reset a stream that the client has only opened.
fn provocations() -> Vec<Provocation> {
    vec![
        ("too much room", |stream| [request(stream, "/wait"), window(stream, 0x7FFF_FFFF)].concat()),
        ("more than was said", |stream| {
            [post(stream, "/wait", &literal("content-length", "1")), frame(DATA, 0, stream, b"ab")].concat()
        }),
        ("less than was said", |stream| {
            [post(stream, "/wait", &literal("content-length", "3")), frame(DATA, 1, stream, b"ab")].concat()
        }),
        ("its own parent", |stream| {
            let block = [&stream.to_be_bytes()[..], &[16], &get("/wait")].concat();
            frame(HEADERS, 0x20 | END_HEADERS | END_STREAM, stream, &block)
        }),
        ("malformed", |stream| {
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &[get("/wait"), literal("connection", "close")].concat())
        }),
    ]
}

#[test]
fn resets_that_the_client_makes_us_say_count_as_its_own() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    for (what, provoke) in provocations() {
        let mut client = RawClient::connect(&door);
        client.say(frame(SETTINGS, 1, 0, &[]));
        let mut resets = 0;
        'all: for at in 0..RESETS_MAX + 10 {
            let stream = 2 * at + 1;
            client.say(provoke(stream));
            loop {
                match client.hear() {
                    Some(frame) if frame.kind == GOAWAY => {
                        assert_eq!(frame.code(), CALM, "{what} after {resets}");
                        break 'all;
                    }
                    Some(frame) if frame.kind == RST_STREAM && frame.stream == stream => break,
                    Some(_) => {}
                    None => panic!("{what}: ended without a word after {resets}"),
                }
            }
            resets += 1;
        }
        println!("{what}: dismissed after {resets}");
        assert!((RESETS_MAX - 1..=RESETS_MAX + 1).contains(&resets), "{what}: {resets}");
    }
    is_served(&door);
}

#[test]
fn frames_that_carry_nothing_are_heard_up_to_a_bound() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let floods: [(&str, Vec<u8>); 7] = [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("answers to no ping", frame(PING, 1, 0, &[0; 8])),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 16])),
        ("unknown frames", frame(0x7F, 0, 0, &[])),
        ("window updates", window(0, 1)),
        ("updates of a stream", window(1, 1)),
    ];
    for (what, flood) in floods {
        let mut client = RawClient::connect(&door);
        client.say(request(1, "/wait"));
        // As many as may be, less what was said so far: heard, and the connection goes on.
        let allowed = CONTROL_FRAMES_BURST_MAX as usize - 10;
        client.say(flood.repeat(allowed));
        client.say(request(3, "/x"));
        assert_eq!(client.answer(3), Some(Ok(b"hello".to_vec())), "{what}: {allowed} are too many");
        let clock = Clock::start();
        while client.try_say(flood.repeat(500)).is_ok() {
            assert!(clock.now() < Moment::at(BOUND), "{what} for ever");
        }
        assert_eq!(client.dismissal(), Some(CALM), "{what}");
    }
    is_served(&door);
}

#[test]
fn empty_data_is_heard_up_to_a_bound() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let mut client = RawClient::connect(&door);
    client.say(post(1, "/wait", &[]));
    let clock = Clock::start();
    while client.try_say(frame(DATA, 0, 1, &[]).repeat(500)).is_ok() {
        assert!(clock.now() < Moment::at(BOUND), "for ever");
    }
    assert_eq!(client.dismissal(), Some(CALM));
    is_served(&door);
}

#[test]
fn fields_that_never_end_and_fields_that_grow_end_the_connection() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let more = |fields: &[u8]| frame(CONTINUATION, 0, 1, fields);
    let many = literal("a", "b");
    let never_ends = [frame(HEADERS, END_STREAM, 1, &get("/x")), more(&many).repeat(200)].concat();
    let of_nothing = [frame(HEADERS, END_STREAM, 1, &get("/x")), more(&[]).repeat(200)].concat();
    // One entry of 4,000 octets, then one octet each for it again and again.
    let bomb = [get("/x"), indexed("cookie", &"c".repeat(4_000)), vec![0xBE; 12_000]].concat();
    for (what, said) in [
        ("never ends", never_ends),
        ("never ends with nothing", of_nothing),
        ("grows", frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)),
    ] {
        let before = resident();
        let mut client = RawClient::connect(&door);
        client.say(said);
        assert_eq!(client.dismissal(), Some(CALM), "{what}");
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 << 20, "{what}: {} KiB", grown >> 10);
    }
    assert_eq!(origin.seen().len(), 0);
    is_served(&door);
}

#[test]
fn a_stream_whose_answer_is_not_taken_ends_and_its_neighbours_go_on() {
    let origin = Origin::start(|talk| match talk.request.target() {
        "/large" | "/slow" => {
            talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
            loop {
                talk.say([b'x'; 16_384])?;
            }
        }
        "/events" => {
            talk.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                talk.say("9\r\ndata: 1\n\n\r\n")?;
                let _ = talk.stream.set_read_timeout(Some(Duration::from_millis(500)));
                if matches!(talk.stream.read(&mut [0; 1]), Ok(0)) {
                    return Ok(false);
                }
            }
        }
        _ => talk.answer(&"x".repeat(1_000)),
    });
    let door = Door::before(&[&origin]);
    // 4 KiB for each stream and much for all.
    let mut client = RawClient::with(&door, &[setting(4, 4_096), window(0, 1 << 20)].concat());
    let [large, slow, events, small] = [1, 3, 5, 7];
    client.say([request(large, "/large"), request(slow, "/slow"), request(events, "/events")].concat());
    // Here all of the answer but its last octet is room for, and nobody but HTTP has the rest.
    client.say([setting(4, 4_096), request(small, "/y")].concat());
    client.say(window(small, 1 << 16));
    let clock = Clock::start();
    let (mut taken, mut heard, mut ended, mut opened) = (0, 0, None, clock.now());
    client.patience(BOUND);
    while clock.now() < Moment::at(WINDOW_STALL_MAX + Duration::from_secs(6)) {
        if clock.now().since(opened) > Duration::from_secs(1) {
            // 2 KiB a second: slow, and steady.
            client.say(window(slow, 2_048));
            opened = clock.now();
        }
        let frame = client.hear().expect("the connection lives");
        match (frame.kind, frame.stream) {
            (RST_STREAM, stream) if stream == large => ended = Some((clock.now(), frame.code())),
            (RST_STREAM, stream) => panic!("stream {stream} ended"),
            (DATA, stream) if stream == slow => taken += frame.payload.len(),
            (DATA, stream) if stream == events => {
                heard += 1;
                client.say(window(events, 9));
            }
            _ => {}
        }
    }
    let (when, code) = ended.expect("it is never ended");
    println!("ended at {when:?}, {taken} octets read slowly, {heard} events");
    assert_eq!(code, CALM);
    assert!(when >= Moment::at(WINDOW_STALL_MAX - Duration::from_secs(1)), "{when:?}");
    assert!(taken >= 20_000 && heard >= 20, "{taken} octets, {heard} events");
    origin.until("the region is released", |_, ended| !ended.is_empty());
}

#[test]
fn octets_of_room_in_drips_do_not_keep_an_answer() {
    let origin = Origin::start(|talk| talk.answer(&"x".repeat(100_000)));
    let door = Door::before(&[&origin]);
    let mut client = RawClient::connect(&door);
    client.say(request(1, "/x"));
    client.patience(Duration::from_secs(1));
    let clock = Clock::start();
    while clock.now() < Moment::at(2 * WINDOW_STALL_MAX) {
        match client.try_hear() {
            Ok(Some(frame)) if frame.kind == RST_STREAM => {
                assert_eq!((frame.stream, frame.code()), (1, CALM));
                // The connection goes on.
                client.say([request(3, "/x"), window(0, 1 << 20), window(3, 1 << 20)].concat());
                client.patience(BOUND);
                return assert!(matches!(client.answer(3), Some(Ok(body)) if body.len() == 100_000));
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the connection ended"),
            Err(_) => client.say([window(1, 1), window(0, 1)].concat()),
        }
    }
    panic!("still held");
}

#[test]
fn only_so_many_streams_may_have_no_room_from_the_beginning() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let streams = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|at| request(u32::try_from(2 * at + 1).expect("few"), "/x")).collect()
    };
    let mut few = RawClient::with(&door, &setting(4, 0));
    few.say(streams(NARROW_STREAMS_MAX));
    few.say([frame(PING, 0, 0, &[7; 8]), window(1, 100)].concat());
    assert_eq!(few.answer(1), Some(Ok(b"hello".to_vec())));
    let mut many = RawClient::with(&door, &setting(4, 0));
    many.say(streams(NARROW_STREAMS_MAX + 1));
    assert_eq!(many.dismissal(), Some(CALM));
    // Nor may room be taken back.
    let mut sly = RawClient::connect(&door);
    sly.say([streams(NARROW_STREAMS_MAX + 1), setting(4, 0)].concat());
    assert_eq!(sly.dismissal(), Some(CALM));
}

#[test]
fn of_many_answers_that_nobody_takes_only_so_many_are_kept_and_those_of_the_modest() {
    let origin = Origin::start(|talk| talk.answer(&"x".repeat(100_000)));
    let door = Door::before(&[&origin]);
    let streams = |count: u32| -> Vec<u8> { (0..count).flat_map(|at| request(2 * at + 1, "/x")).collect() };
    let kept = u32::try_from(WAITING_ON_CONNECTION_FEW).expect("few");
    let mut modest = RawClient::connect(&door);
    modest.say(streams(kept));
    // As large as a client's windows are by themselves, and never a word about them again.
    let greedy_max = WAITING_ANSWERS_MAX / 100 + 5;
    let mut greedy: Vec<_> = (0..greedy_max).map(|_| RawClient::connect(&door)).collect();
    let clock = Clock::start();
    for client in &mut greedy {
        client.say(streams(100));
    }
    let waiting = || door.node.as_ref().expect("it runs").counters.total(|door| &door.waiting);
    let (mut ended, mut most) = (0, 0);
    let is_over = |ended: u64| ended >= 100 * greedy_max - WAITING_ANSWERS_MAX && waiting() <= WAITING_ANSWERS_MAX;
    // Nobody knows whose answers are ended: each is asked in turn what it has been told.
    while !is_over(ended) && clock.now() < Moment::at(WINDOW_STALL_MAX - Duration::from_secs(2)) {
        for client in &mut greedy {
            client.patience(Duration::from_millis(5));
            while let Ok(frame) = client.try_hear() {
                let frame = frame.expect("no connection ends");
                if frame.kind == RST_STREAM {
                    assert_eq!(frame.code(), CALM);
                    ended += 1;
                }
            }
            most = most.max(waiting());
        }
    }
    println!("at most {most} waited, {ended} were ended by {:?}", clock.now());
    assert!(ended >= 100 * greedy_max - WAITING_ANSWERS_MAX, "{ended} ended");
    assert!(waiting() <= WAITING_ANSWERS_MAX, "{} wait", waiting());
    modest.say([window(0, 1 << 20), (0..kept).flat_map(|at| window(2 * at + 1, 1 << 20)).collect()].concat());
    let mut whole = 0;
    while whole < kept {
        let frame = modest.hear().expect("the connection lives");
        assert!(frame.kind != RST_STREAM, "stream {}", frame.stream);
        whole += u32::from(frame.ends_stream());
    }
}

#[test]
fn a_thousand_bombs_take_little_memory_and_others_are_served() {
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        talk.answer(if talk.request.target() == "/x" { "hello" } else { "0123456789abcdef" })
    });
    let door = Door::before(&[&origin]);
    let patience = waits(&door);
    let before = resident();
    let references = |stream: u32, count: usize| {
        let block = [get("/bomb"), vec![0xBE; count]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    };
    let mut clients = Vec::new();
    for at in 0..1_000 {
        // No room for answers; a large entry, and streams that refer to it in one octet each.
        let mut client = RawClient::with(&door, &setting(4, 0));
        let first = [get("/bomb"), indexed("a", &"c".repeat(3_900))].concat();
        client.say(frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
        for stream in 1..100 {
            client.say(references(2 * stream + 1, 2));
        }
        clients.push(client);
        if at % 250 == 249 {
            is_served(&door);
        }
    }
    let grown = resident().saturating_sub(before) >> 20;
    println!("grown by {grown} MiB, what a thousand clients take included");
    assert!(grown <= 256, "grown by {grown} MiB");
    is_served_soon(patience, waits(&door));
}

#[test]
fn what_is_no_http2_ends_the_connection() {
    let origin = patient();
    let door = Door::before(&[&origin]);
    let cases: [(&str, Vec<u8>); 11] = [
        ("no room more", [PREFACE, &setting(4, 4_096), &request(1, "/wait"), &window(1, 0)].concat()),
        ("another preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("HTTP/1.1", b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n".to_vec()),
        ("a short ping", [PREFACE, &setting(4, 4_096), &frame(PING, 0, 0, &[0; 7])].concat()),
        ("no room for all", [PREFACE, &setting(4, 4_096), &window(0, 0)].concat()),
        ("an even stream", [PREFACE, &setting(4, 4_096), &request(2, "/x")].concat()),
        ("an older stream", [PREFACE, &setting(4, 4_096), &request(5, "/wait"), &request(3, "/x")].concat()),
        ("a push", [PREFACE, &setting(4, 4_096), &frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat()),
        ("all padding and more", {
            let data = frame(DATA, 8, 1, &[200, 0, 0]);
            [PREFACE, &setting(4, 4_096), &post(1, "/wait", &[]), &data].concat()
        }),
        ("a continuation of nothing", [PREFACE, &setting(4, 4_096), &frame(CONTINUATION, 4, 1, &[])].concat()),
        ("data of nobody", [PREFACE, &setting(4, 4_096), &frame(DATA, 0, 9, b"x")].concat()),
    ];
    for (what, said) in cases {
        let mut client = RawClient::silent(&door);
        client.say(said);
        client.patience(BOUND);
        while let Some(frame) = client.hear() {
            assert!(frame.kind != HEADERS, "{what} is answered");
            if matches!(frame.kind, RST_STREAM | GOAWAY) && frame.code() != 0 {
                break;
            }
        }
    }
    is_served(&door);
}

#[test]
fn http2_in_the_clear_is_neither_taken_nor_changed_to() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    client.say([PREFACE, &setting(4, 4_096), &request(1, "/x")].concat());
    let said = client.rest();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{said:?}");
    let answer = door.ask(
        "GET /x HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    assert_eq!((origin.only().field("upgrade"), origin.only().field("http2-settings")), (None, None));
}
