//! How connections end: when they are old, when the node stops, when a region is drained. Nobody loses a request.

#[path = "common/front.rs"]
mod front;
#[path = "common/frames.rs"]
mod frames;

use anyfront::limits::FAREWELL;
use anyfront::moment::{Clock, Moment};
use anyfront::node::Node;
use frames::{Frame, Frames};
use front::{BOUND, Client, Door, Origin};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const GET: &str = "GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n";
/// The same, but not for the fast path.
const GET_SLOWLY: &str = "GET /x HTTP/1.1\r\nHost: gw.test\r\nTE: trailers\r\n\r\n";
const STREAM: &str = "GET /stream HTTP/1.1\r\nHost: gw.test\r\n\r\n";

/// Holds streams until they may end.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let is_open = self.0.0.lock().expect("no panic");
        drop(self.0.1.wait_timeout_while(is_open, 3 * BOUND, |is_open| !*is_open).expect("no panic"));
    }
}

/// An origin whose `/stream` begins an event stream at once and ends it when the gate opens.
fn streaming(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |talk| {
        talk.read_body()?;
        if talk.request.target() != "/stream" {
            return talk.answer("hello");
        }
        talk.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        talk.say("9\r\ndata: 1\n\n\r\n")?;
        gate.wait();
        talk.say("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")?;
        Ok(true)
    })
}

fn door(origin: &Origin, forward: &str, grace: Duration) -> Door {
    Door::adjusted(&[origin], forward, |options| {
        options.grace = grace;
        options.admin = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    })
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < Moment::at(BOUND), "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Stops the node elsewhere; tells how long it took.
fn stopping(node: Node) -> std::thread::JoinHandle<Duration> {
    std::thread::spawn(move || {
        let clock = Clock::start();
        node.stop();
        clock.now().since(Moment::ZERO)
    })
}

/// Waits until nobody listens there any more.
fn until_refused(address: SocketAddr) {
    until("the listener is closed", || TcpStream::connect(address).is_err());
}

#[test]
fn an_old_http1_connection_ends_with_an_answer_and_says_so() {
    let origin = Origin::polite();
    let door = door(&origin, "connection_max_age = \"1s\"", Duration::from_secs(1));
    for request in [GET, GET_SLOWLY] {
        let clock = Clock::start();
        let mut client = door.client();
        loop {
            client.say(request);
            let answer = client.answer();
            assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
            match answer.field("connection") {
                Some("keep-alive") => assert_eq!(answer.field("keep-alive"), Some("timeout=75")),
                Some("close") => break,
                other => unreachable!("{other:?}"),
            }
            assert!(clock.now() < Moment::at(BOUND), "it lives for ever");
        }
        assert!(clock.now() >= Moment::at(Duration::from_millis(800)), "it was not old: at most a fifth less");
        assert!(client.is_ended());
    }
}

#[test]
fn ages_differ_and_zero_is_for_ever() {
    let origin = Origin::polite();
    let eternal = door(&origin, "connection_max_age = \"0s\"", Duration::from_secs(1));
    let mortal = door(&origin, "connection_max_age = \"1s\"", Duration::from_secs(1));
    let mut lasting = eternal.client();
    let mut clients: Vec<_> = (0..20).map(|_| (mortal.client(), None)).collect();
    let clock = Clock::start();
    while clients.iter().any(|(_, ended)| ended.is_none()) {
        for (client, ended) in clients.iter_mut().filter(|(_, ended)| ended.is_none()) {
            client.say(GET);
            if client.answer().field("connection") == Some("close") {
                *ended = Some(clock.now());
            }
        }
        lasting.say(GET);
        assert_eq!(lasting.answer().field("connection"), Some("keep-alive"));
        assert!(clock.now() < Moment::at(BOUND));
    }
    let ends = || clients.iter().filter_map(|(_, ended)| *ended);
    let spread = ends().max().expect("some").since(ends().min().expect("some"));
    assert!(spread >= Duration::from_millis(50), "they ended within {spread:?}");
}

#[test]
fn an_old_connection_is_not_cut_inside_an_answer_nor_between_pipelined_requests() {
    let gate = Gate::default();
    let origin = streaming(&gate);
    let door = door(&origin, "connection_max_age = \"1ms\"", Duration::from_secs(1));
    for request in [GET, GET_SLOWLY] {
        let mut client = door.client();
        client.say(request.repeat(8));
        for at in 0..8 {
            let answer = client.answer();
            assert_eq!((answer.status(), answer.is_whole), (200, true), "request {at}");
            assert_eq!(answer.field("connection") == Some("close"), at == 7, "request {at}");
        }
        assert!(client.is_ended());
    }
    let mut client = door.client();
    client.say(STREAM);
    origin.until("the stream", |seen, _| seen.iter().any(|seen| seen.target() == "/stream"));
    gate.open();
    assert!(client.answer().is_whole);
}

#[test]
fn an_old_http2_connection_gets_two_goaways_and_what_races_between_them_is_served() {
    let gate = Gate::default();
    let origin = streaming(&gate);
    let door = door(&origin, "connection_max_age = \"500ms\"", Duration::from_secs(1));
    let mut frames = Frames::connect(&door);
    frames.request(1, "/stream");
    let first = frames.until(|frame| frame.kind == Frame::GOAWAY);
    assert_eq!((first.last_stream(), first.error()), (0x7FFF_FFFF, 0), "the first names no stream");
    // We have not answered the ping that goes with it: these are on their way as far as the node knows.
    frames.request(3, "/x");
    frames.request(5, "/x");
    for stream in [3, 5] {
        frames.until(|frame| frame.stream == stream && frame.ends_stream());
    }
    frames.answer_pings();
    let second = frames.until(|frame| frame.kind == Frame::GOAWAY);
    assert_eq!((second.last_stream(), second.error()), (5, 0), "the second names the last");
    gate.open();
    frames.until(|frame| frame.stream == 1 && frame.ends_stream());
    assert!(frames.ended_well(), "with the last stream the connection ends");
}

/// What clients met while a node stopped.
#[derive(Debug, Default)]
struct Tally {
    served: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

/// Asks on kept connections, `ahead` requests at a time, as long as the node takes connections.
fn hammer(address: SocketAddr, request: &str, ahead: usize, tally: &Tally) {
    while let Ok(stream) = TcpStream::connect(address) {
        let mut client = Client::over(stream);
        let (mut is_open, mut is_new) = (true, true);
        while is_open {
            client.say(request.repeat(ahead));
            for at in 0..ahead {
                let answer = client.answer();
                if answer.head.is_empty() && at == 0 && is_new {
                    // The kernel took the connection while the listener was closing: as good as refused.
                    return;
                }
                is_new = false;
                if !answer.is_whole || answer.status() != 200 {
                    tally.failed.lock().expect("no panic").push(format!("{at} of {ahead}: {answer:?}"));
                    return;
                }
                tally.served.fetch_add(1, SeqCst);
                if answer.field("connection") == Some("close") {
                    // What was sent behind it is known not to have been processed; we send none.
                    is_open = false;
                    if at + 1 < ahead {
                        tally.failed.lock().expect("no panic").push(format!("closed after {at} of {ahead}"));
                    }
                    break;
                }
            }
        }
    }
}

#[test]
fn no_http1_request_is_lost_while_the_node_stops() {
    let origin = Origin::polite();
    let mut door = door(&origin, "", 2 * BOUND);
    let (tally, address) = (Arc::new(Tally::default()), door.http);
    let clients: Vec<_> = [(GET, 1), (GET, 1), (GET_SLOWLY, 1), (GET_SLOWLY, 1), (GET, 8), (GET_SLOWLY, 8)]
        .into_iter()
        .map(|(request, ahead)| {
            let tally = Arc::clone(&tally);
            std::thread::spawn(move || hammer(address, request, ahead, &tally))
        })
        .collect();
    until("some load", || tally.served.load(SeqCst) > 500);
    let took = stopping(door.node.take().expect("it runs")).join().expect("stopped");
    for client in clients {
        client.join().expect("no panic");
    }
    assert_eq!(*tally.failed.lock().expect("no panic"), Vec::<String>::new());
    assert!(took < BOUND, "nobody had to be cut: {took:?}");
}

#[test]
fn no_http2_request_is_lost_while_the_node_stops() {
    let origin = Origin::polite();
    let mut door = door(&origin, "", 2 * BOUND);
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut frames = Frames::connect(&door);
            frames.answer_pings();
            let served = Arc::clone(&served);
            std::thread::spawn(move || {
                let mut next = 1;
                // Four at a time until it is told to go; what it sent before is answered all the same.
                loop {
                    let streams = [next, next + 2, next + 4, next + 6];
                    streams.iter().for_each(|stream| frames.request(*stream, "/x"));
                    for stream in streams {
                        frames.until(|frame| frame.stream == stream && frame.ends_stream());
                        served.fetch_add(1, SeqCst);
                    }
                    next += 8;
                    if frames.was_told_to_go() {
                        return frames.ended_well();
                    }
                }
            })
        })
        .collect();
    until("some load", || served.load(SeqCst) > 200);
    let took = stopping(door.node.take().expect("it runs")).join().expect("stopped");
    for client in clients {
        assert!(client.join().expect("every stream ended"), "the connection ended well");
    }
    assert!(took < BOUND, "nobody had to be cut: {took:?}");
}

#[test]
fn an_idle_connection_may_still_ask_when_the_node_stops_and_is_closed_after_a_while() {
    let origin = Origin::polite();
    let mut door = door(&origin, "", 2 * BOUND);
    let idle = |request: &str| {
        let mut client = door.client();
        client.say(request);
        assert_eq!(client.answer().field("connection"), Some("keep-alive"));
        client
    };
    let (mut fast, mut slow, mut silent) = (idle(GET), idle(GET_SLOWLY), idle(GET));
    let address = door.http;
    let stopped = stopping(door.node.take().expect("it runs"));
    until_refused(address);
    // As if these had crossed with the news.
    for (client, request) in [(&mut fast, GET), (&mut slow, GET_SLOWLY)] {
        client.say(request);
        let answer = client.answer();
        assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
        assert!(client.is_ended());
    }
    assert!(silent.is_ended());
    drop((fast, slow, silent));
    let took = stopped.join().expect("stopped");
    assert!((FAREWELL..BOUND).contains(&took), "{took:?}");
}

/// Live streams: over HTTP/1.1, and over a few HTTP/2 connections.
struct Streams {
    http1: Vec<Client>,
    http2: Vec<Frames>,
}

const PER_CONNECTION: u32 = 50;

impl Streams {
    fn begin(door: &Door, http1: usize, http2: u32) -> Self {
        let mut clients: Vec<_> = (0..http1).map(|_| door.client()).collect();
        clients.iter_mut().for_each(|client| client.say(STREAM));
        let mut connections: Vec<_> = (0..http2.div_ceil(PER_CONNECTION)).map(|_| Frames::connect(door)).collect();
        for frames in &mut connections {
            frames.answer_pings();
            (0..PER_CONNECTION).for_each(|at| frames.request(2 * at + 1, "/stream"));
        }
        Self { http1: clients, http2: connections }
    }

    /// How many ended as streams should.
    fn whole(mut self) -> usize {
        let http1 = self.http1.iter_mut().map(Client::answer).filter(|answer| answer.is_whole).count();
        let http2: usize = self.http2.iter_mut().map(|frames| frames.streams_ended_well(PER_CONNECTION)).sum();
        http1 + http2
    }
}

#[test]
fn two_hundred_live_streams_outlive_the_node_that_has_time_for_them() {
    let gate = Gate::default();
    let origin = streaming(&gate);
    let mut door = door(&origin, "", 3 * BOUND);
    let streams = Streams::begin(&door, 100, 100);
    origin.until("200 streams", |seen, _| seen.len() >= 200);
    let address = door.http;
    let stopped = stopping(door.node.take().expect("it runs"));
    until_refused(address);
    gate.open();
    assert_eq!(streams.whole(), 200, "every stream came to its own end");
    let took = stopped.join().expect("stopped");
    assert!(took < 3 * BOUND, "it ended with the last of them: {took:?}");
}

#[test]
fn live_streams_that_have_to_be_cut_do_not_look_like_whole_ones() {
    let gate = Gate::default();
    let origin = streaming(&gate);
    let mut door = door(&origin, "", Duration::from_millis(500));
    let streams = Streams::begin(&door, 100, 100);
    // Only its end tells the end of an answer to HTTP/1.0: that must not come.
    let mut ancient = Client::connect(door.http);
    ancient.say("GET /stream HTTP/1.0\r\nHost: gw.test\r\n\r\n");
    origin.until("201 streams", |seen, _| seen.len() >= 201);
    until("the beginning of the answer", || ancient.stream.peek(&mut [0; 64]).is_ok_and(|read| read > 0));
    stopping(door.node.take().expect("it runs")).join().expect("stopped");
    assert_eq!(streams.whole(), 0, "a cut stream is no success");
    let mut rest = Vec::new();
    let cut = ancient.stream.read_to_end(&mut rest);
    assert!(cut.is_err(), "a clean end: {:?}", String::from_utf8_lossy(&rest));
    gate.open();
}

/// Has an operator drain region `a`.
fn drain(door: &Door, is_hard: bool) {
    let admin = door.node.as_ref().expect("it runs").admin[0];
    let body = format!("{{\"target\":\"region:a\",\"reason\":\"test\",\"hard\":{is_hard},\"who\":\"test\"}}");
    let mut stream = TcpStream::connect(admin).expect("the admin address");
    let head = "POST /drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn draining_a_region_touches_no_live_stream_and_drops_what_is_idle() {
    for is_hard in [false, true] {
        let gate = Gate::default();
        let (origin, other) = (streaming(&gate), Origin::polite());
        let door = Door::adjusted(&[&origin, &other], "", |options| {
            options.admin = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        });
        let streams = Streams::begin(&door, 20, 50);
        // Two connections to the origin that are idle afterwards, one of each way.
        for request in [GET, GET_SLOWLY] {
            assert_eq!(door.ask(request).field("x-anyfront-region"), Some("a"));
        }
        origin.until("72 requests", |seen, _| seen.len() == 72);
        drain(&door, is_hard);
        until("new work goes elsewhere", || door.ask(GET).field("x-anyfront-region") == Some("b"));
        let idle: Vec<usize> =
            origin.seen().iter().filter(|seen| seen.target() == "/x").map(|seen| seen.connection).collect();
        origin.until("idle connections are dropped", |_, ended| idle.iter().all(|idle| ended.contains(idle)));
        gate.open();
        assert_eq!(streams.whole(), 70, "hard: {is_hard}");
    }
}
