//! Event streams through the door: each piece the moment it comes, dead regions replaced until the first event, and an end
//! that no client takes for success.

#[path = "common/front.rs"]
mod front;

use anyfront::tls::ALPN_HTTP2;
use bytes::Bytes;
use front::{BOUND, Door, Origin, Papers, Talk};
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConnection;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const ASK: &str = "POST /v1/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{}";
const ASK_PLAIN: &str = "POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{}";
const ERROR: &str = r#"data: {"error":{"#;

fn chunk(talk: &mut Talk, text: &str) -> io::Result<()> {
    talk.say(format!("{:x}\r\n{text}\r\n", text.len()))
}

/// A region that says these pieces, each as a chunk, the first one with the head, and then dies. Between two pieces it
/// waits to be told.
fn mortal(pieces: &'static [&'static str]) -> (Origin, SyncSender<()>) {
    let (go, gone) = sync_channel::<()>(0);
    let gone = Mutex::new(gone);
    let origin = Origin::start(move |talk| {
        talk.read_body()?;
        talk.say(EVENTS)?;
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 {
                wait(&gone);
            }
            chunk(talk, piece)?;
        }
        wait(&gone);
        Ok(false)
    });
    (origin, go)
}

fn wait(gone: &Mutex<Receiver<()>>) {
    let _ = gone.lock().expect("no panic").recv_timeout(BOUND);
}

/// A client over HTTP/2.
async fn over_http2(door: &Door) -> http2::SendRequest<Full<Bytes>> {
    let stream = door.tls(ALPN_HTTP2).await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

fn with_door<T>(door: &Door, ask: impl AsyncFnOnce(&Door) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    runtime.block_on(ask(door))
}

async fn ask_http2(sender: &mut http2::SendRequest<Full<Bytes>>, path: &str) -> http::Response<Incoming> {
    let request = Request::post(format!("https://gw.test{path}")).version(Version::HTTP_2);
    let request = request.body(Full::from("{}")).expect("a request");
    timeout(BOUND, sender.send_request(request)).await.expect("no hanging").expect("an answer")
}

/// What an HTTP/2 client reads, and how it ends.
async fn read_http2(mut body: Incoming) -> (String, Result<(), hyper::Error>) {
    let mut text = String::new();
    loop {
        match timeout(BOUND, body.frame()).await.expect("no hanging") {
            None => return (text, Ok(())),
            Some(Err(error)) => return (text, Err(error)),
            Some(Ok(frame)) => text += &String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)),
        }
    }
}

#[test]
fn a_stream_that_dies_between_events_ends_in_an_error_event_and_a_cut() {
    for round in 0..50 {
        let (origin, go) = mortal(&["data: {\"a\":1}\n\n"]);
        let door = Door::before(&[&origin]);
        let mut client = door.client();
        client.say(ASK);
        go.send(()).expect("it waits");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.is_whole), (200, false), "round {round}: {answer:?}");
        let text = answer.text();
        let (first, last) = text.split_once("\n\n").expect("an event");
        assert_eq!(first, "data: {\"a\":1}");
        assert!(last.starts_with(ERROR) && last.ends_with("\n\n"), "round {round}: {text:?}");
    }
}

#[test]
fn half_an_event_never_reaches_an_openai_client() {
    let (origin, go) = mortal(&["data: {\"a\":1}\n\ndata: {\"b\":", "2, \"c\":"]);
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    client.say(ASK);
    go.send(()).expect("it waits");
    go.send(()).expect("it waits");
    let answer = client.answer();
    assert!(!answer.is_whole, "{answer:?}");
    let text = answer.text();
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{text:?}");
    assert!(events[1].starts_with(ERROR), "{text:?}");
}

#[test]
fn where_the_clients_are_not_openai_s_each_octet_goes_on_at_once_and_the_end_is_a_cut() {
    let (origin, go) = mortal(&["data: 1\n\nda", "ta: 2"]);
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    client.say(ASK_PLAIN);
    go.send(()).expect("it waits");
    go.send(()).expect("it waits");
    let answer = client.answer();
    assert_eq!((answer.is_whole, answer.text().as_str()), (false, "data: 1\n\ndata: 2"));
}

#[test]
fn over_http2_the_error_event_arrives_before_the_reset() {
    let (origin, go) = mortal(&["data: {\"a\":1}\n\ndata: {\"b\""]);
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let mut sender = over_http2(door).await;
        for round in 0..50 {
            let answer = ask_http2(&mut sender, "/v1/x").await;
            assert_eq!(answer.status(), 200);
            let go = go.clone();
            tokio::task::spawn_blocking(move || go.send(()).expect("it waits")).await.expect("no panic");
            let (text, end) = read_http2(answer.into_body()).await;
            assert!(end.is_err(), "round {round}: a clean end after {text:?}");
            let (first, last) = text.split_once("\n\n").expect("an event");
            assert_eq!(first, "data: {\"a\":1}");
            assert!(last.starts_with(ERROR) && last.ends_with("\n\n"), "round {round}: {text:?}");
        }
    });
}

#[test]
fn after_done_there_is_nothing_more_to_say() {
    let (origin, go) = mortal(&["data: {\"a\":1}\n\ndata: [DONE]\n\n"]);
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    client.say(ASK);
    go.send(()).expect("it waits");
    let answer = client.answer();
    assert_eq!((answer.is_whole, answer.text().as_str()), (false, "data: {\"a\":1}\n\ndata: [DONE]\n\n"));
}

#[test]
fn a_stream_that_ends_as_it_should_is_left_as_it_is() {
    let whole = ": hello\n\ndata: {\"a\":1}\r\n\r\nevent: x\ndata: 2\n\ndata: [DONE]\n\nid: tail";
    for path in ["/v1/x", "/x", "/mcp"] {
        let origin = Origin::start(move |talk| {
            talk.read_body()?;
            talk.say(EVENTS)?;
            for at in 0..whole.len() {
                chunk(talk, &whole[at..=at])?;
            }
            talk.say("0\r\n\r\n")?;
            Ok(true)
        });
        let door = Door::before(&[&origin]);
        let answer = door.ask(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert_eq!((answer.is_whole, answer.text().as_str()), (true, whole), "{path}");
    }
}

#[test]
fn where_done_is_demanded_an_end_without_it_is_told() {
    let lines = "[[class]]\nhostnames = [\"*\"]\nprefix = \"/done\"\ndialect = \"openai\"\nstream_end = \"done\"\n";
    for (events, is_good) in [("data: 1\n\n", false), ("data: 1\n\ndata: [DONE]\n\n", true)] {
        let origin = Origin::start(move |talk| {
            talk.read_body()?;
            talk.say(EVENTS)?;
            chunk(talk, events)?;
            talk.say("0\r\n\r\n")?;
            Ok(true)
        });
        let door = Door::with(&[&origin], lines);
        let answer = door.ask("POST /done HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!((answer.is_whole, answer.text().contains(ERROR)), (is_good, !is_good), "{answer:?}");
    }
}

/// A region that dies behind its head: `before` its first event, or in the middle of it.
fn stillborn(before: &'static str) -> Origin {
    Origin::start(move |talk| {
        talk.read_body()?;
        talk.say(EVENTS)?;
        if !before.is_empty() {
            chunk(talk, before)?;
        }
        Ok(false)
    })
}

fn healthy() -> Origin {
    Origin::start(|talk| {
        talk.read_body()?;
        talk.say(EVENTS)?;
        chunk(talk, "data: whole\n\n")?;
        talk.say("0\r\n\r\n")?;
        Ok(true)
    })
}

#[test]
fn a_region_that_dies_before_its_first_event_is_replaced_where_repetition_is_safe() {
    for before in ["", ": comment\n\n", "data: {\"ha"] {
        for path in ["/v1/x", "/x", "/mcp"] {
            let (dead, well) = (stillborn(before), healthy());
            let door = Door::before(&[&dead, &well]);
            let answer = door.get(path);
            assert_eq!(answer.field("x-anyfront-region"), Some("b"), "{path} {before:?}: {answer:?}");
            assert_eq!((answer.is_whole, answer.text().as_str()), (true, "data: whole\n\n"), "{path} {before:?}");
            assert_eq!((dead.seen().len(), well.seen().len()), (1, 1));
        }
    }
}

#[test]
fn where_it_is_not_safe_the_client_hears_of_it_before_it_believes_in_an_answer() {
    // The official SDKs of models repeat it themselves; anything else might act twice.
    for (path, may_repeat) in [("/v1/x", "true"), ("/x", "false"), ("/mcp", "false")] {
        let (dead, well) = (stillborn("data: {\"ha"), healthy());
        let door = Door::before(&[&dead, &well]);
        let answer = door.ask(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert_eq!((answer.status(), answer.is_whole), (502, true), "{path}: {answer:?}");
        assert_eq!(answer.field("x-should-retry"), Some(may_repeat), "{path}");
        assert!(well.seen().is_empty(), "{path}: it may have been processed");
    }
}

#[test]
fn a_head_is_held_back_for_a_short_while_only() {
    for path in ["/v1/x", "/x"] {
        let (go, gone) = sync_channel::<()>(0);
        let gone = Mutex::new(gone);
        let origin = Origin::start(move |talk| {
            talk.read_body()?;
            talk.say(EVENTS)?;
            wait(&gone);
            chunk(talk, "data: late\n\n")?;
            talk.say("0\r\n\r\n")?;
            Ok(true)
        });
        let door = Door::before(&[&origin]);
        let mut client = door.client();
        client.say(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        // The head comes although the region says nothing more until we have it.
        let mut first = [0; 12];
        client.stream.read_exact(&mut first).expect("the head comes");
        assert_eq!(&first, b"HTTP/1.1 200");
        go.send(()).expect("it waits");
        client.until_said("data: late\n\n");
    }
}

#[test]
fn quiet_streams_are_kept_alive_between_events_and_never_inside_one() {
    let lines = "[[class]]\nhostnames = [\"*\"]\nprefix = \"/quiet\"\nkeep_alive = \"20ms\"\n";
    let (origin, go) = mortal(&["data: 1\n\n", "data: ha", "lf\n\n"]);
    let door = Door::with(&[&origin], lines);
    let mut client = door.client();
    client.say("POST /quiet HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{}");
    client.until_said("data: 1\n\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n");
    go.send(()).expect("it waits");
    client.until_said("data: ha");
    // As long as two comments would take.
    client.stream.set_read_timeout(Some(Duration::from_millis(60))).expect("a bound");
    let mut octet = [0];
    let inside = client.stream.read(&mut octet);
    assert!(matches!(inside, Ok(1) if octet[0] == b'\r') || inside.is_err(), "nothing but the chunk's end: {inside:?}");
    client.stream.set_read_timeout(Some(BOUND)).expect("a bound");
    go.send(()).expect("it waits");
    client.until_said("lf\n\n\r\n3\r\n:\n\n");
    go.send(()).expect("it waits");
    assert!(!String::from_utf8_lossy(&client.rest()).ends_with("0\r\n\r\n"), "it was cut");
}

#[test]
fn a_client_that_goes_away_ends_the_region_s_work_at_once() {
    for path in ["/v1/x", "/x"] {
        let ended = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ended);
        let origin = Origin::start(move |talk| {
            talk.read_body()?;
            talk.say(EVENTS)?;
            chunk(talk, "data: 1\n\n")?;
            // Nothing more is said: only the end of the connection ends this.
            let end = talk.stream.read(&mut [0; 16]);
            counted.fetch_add(u32::from(matches!(end, Ok(0) | Err(_))), SeqCst);
            Ok(false)
        });
        let door = Door::before(&[&origin]);
        for round in 1..=3 {
            let mut client = door.client();
            client.say(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{{}}"));
            client.until_said("data: 1\n\n");
            drop(client);
            origin.until("the region is released", |_, ended| ended.len() == round);
        }
        assert_eq!(ended.load(SeqCst), 3);
    }
}

#[test]
fn an_http2_client_that_resets_its_stream_ends_the_region_s_work_at_once() {
    let origin = Origin::start(move |talk| {
        talk.read_body()?;
        talk.say(EVENTS)?;
        chunk(talk, "data: 1\n\n")?;
        let _ = talk.stream.read(&mut [0; 16]);
        Ok(false)
    });
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let mut sender = over_http2(door).await;
        for round in 1..=3 {
            let mut answer = ask_http2(&mut sender, "/v1/x").await;
            let first = timeout(BOUND, answer.body_mut().frame()).await.expect("no hanging");
            assert!(first.is_some_and(|frame| frame.is_ok()));
            drop(answer);
            origin.until("the region is released", |_, ended| ended.len() == round);
        }
    });
}

#[test]
fn to_a_client_of_http_1_0_a_cut_stream_looks_cut() {
    let (origin, go) = mortal(&["data: {\"a\":1}\n\n"]);
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    client.say("POST /v1/x HTTP/1.0\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{}");
    client.until_said("data: {\"a\":1}\n\n");
    go.send(()).expect("it waits");
    assert!(client.is_reset(), "a clean end says that this was all");
}

#[test]
fn an_origin_over_tls_is_cut_short_just_as_visibly() {
    // The region's end of a TLS connection without a farewell, as when its process is killed.
    let papers = Papers::new();
    let door = Door::start(&[("https", dead_over_tls(&papers))], "", &papers);
    let mut client = door.client();
    client.say(ASK);
    let answer = client.answer();
    assert!(!answer.is_whole && answer.text().contains(ERROR), "{answer:?}");
}

/// Where a TLS region listens that answers one event to everything and then dies.
fn dead_over_tls(papers: &Papers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut config = (*papers.pair.server().expect("a configuration")).clone();
    config.alpn_protocols.clear();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            let mut tls = rustls::Stream::new(&mut session, &mut stream);
            if matches!(tls.read(&mut [0; 4_096]), Ok(read) if read > 0) {
                let event = "data: {\"a\":1}\n\n";
                let _ = tls.write_all(format!("{EVENTS}{:x}\r\n{event}\r\n", event.len()).as_bytes());
            }
        }
    });
    address
}
