//! Every way through the node: the answer names its region, and is counted there.

use super::{FENCED, answers, answers_of, counted, fleet, index, until_counted};
use crate::front::{Door, Origin, Papers};
use crate::harness::{Ask, Seen, completion, from, get, get_path, hostname, post};
use anyfront::lab::fault::Fault;
use anyfront::moment::Moment;
use anyfront::residency::shelf::Index;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Asks of every kind that one connection of HTTP/1.1 can make.
fn asks() -> Vec<(&'static str, Ask)> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let mcp = Ask { method: Method::POST, body: call.into(), ..get_path(FENCED, "/acme/mcp/github/server") }
        .with("accept", "application/json, text/event-stream")
        .with("content-type", "application/json");
    vec![
        ("a plain GET", get(FENCED)),
        ("a HEAD", Ask { method: Method::HEAD, ..get(FENCED) }),
        ("a GET the whole way", get(FENCED).with("x-stainless-retry-count", "1").with("connection", "keep-alive, x")),
        ("a POST", post(FENCED)),
        ("a long body", Ask { method: Method::POST, body: vec![b'x'; 300_000].into(), ..get_path(FENCED, "/echo") }),
        ("a stream of events", completion(FENCED, true, 4)),
        ("a status of the region's own", get_path(FENCED, "/status/404")),
        ("an impatient client", get(FENCED).with("x-stainless-read-timeout", "30")),
        ("a call of MCP", mcp),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_the_region_that_processed_it_and_is_counted_there() {
    let fleet = fleet().await;
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let kinds = asks();
    for (what, ask) in &kinds {
        for city in ["Paris", "Madrid"] {
            let seen: Seen = fleet.ask(ask.clone(), from(city)).await;
            assert!(["mad", "gvx"].contains(&seen.region()), "{what} from {city}: {seen:?}");
            *expected.entry(seen.region().to_owned()).or_default() += 1;
        }
    }
    let socket = websocket(fleet.http());
    assert!(socket.starts_with("HTTP/1.1 101"), "{socket}");
    let region = socket.lines().find_map(|line| line.strip_prefix("x-anyfront-region: ")).expect("it is named");
    *expected.entry(region.to_owned()).or_default() += 1;
    let all = expected.values().sum::<u64>();
    let counts = until_counted(&fleet, FENCED, |counts| answers(counts) >= all).await;
    for region in ["mad", "gvx", "lhr", "dia"] {
        let known = expected.get(region).copied().unwrap_or(0);
        assert_eq!(answers_of(&counts, region), known, "{region} of {expected:?} in {counts:#?}");
    }
    assert!(counts.iter().all(|counts| counts.violations == 0 && counts.residency == ["EU"]));
}

/// A handshake from London, to which the region answers.
fn websocket(node: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(node).expect("a connection");
    stream.set_read_timeout(Some(crate::harness::BOUND)).expect("a bound");
    let host = hostname(FENCED);
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("written");
    let mut read = Vec::new();
    let mut piece = [0; 1_024];
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece).expect("an answer") {
            0 => break,
            count => read.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_what_the_regions_have_seen() {
    let fleet = fleet().await;
    for city in ["London", "Tokyo", "New York", "Sydney", "Paris"] {
        let mut client = fleet.connect(from(city)).await;
        for _ in 0..20 {
            assert!(client.send(&get("")).await.is_good());
        }
    }
    let counts = until_counted(&fleet, "", |counts| answers(counts) >= 100).await;
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (id, regions) in fleet.processed() {
        // Probes have no id of ours.
        if id.starts_with("get-") {
            regions.into_iter().for_each(|region| *seen.entry(region).or_default() += 1);
        }
    }
    for (region, count) in seen {
        assert_eq!(answers_of(&counts, &region), count, "{region}");
    }
    assert!(counted(&index(&fleet).await, "us").is_empty(), "nobody asked for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_elsewhere_first_was_sent_to_both() {
    let fleet = fleet().await;
    fleet.suffer("mad", Fault::Error { status: 503, share: 1.0 });
    let seen = fleet.ask(get(FENCED), from("Madrid")).await;
    assert!(seen.is_good() && seen.region() == "gvx", "{seen:?}");
    let counts = until_counted(&fleet, FENCED, |counts| answers(counts) >= 1).await;
    let sent: Vec<(&str, u64, u64)> = counts
        .iter()
        .flat_map(|counts| &counts.processed)
        .map(|one| (one.region.as_str(), one.sent, one.answers))
        .collect();
    assert_eq!(sent, [("gvx", 1, 1), ("mad", 1, 0)]);
}

#[test]
fn http2_names_the_region_on_both_its_ways() {
    let (a, papers) = (Origin::polite(), Papers::new());
    let door = Door::start(&[("http", a.address)], "", &papers);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = TokioIo::new(door.tls(b"h2").await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        for method in [Method::GET, Method::POST] {
            let request = Request::builder().method(method).uri("https://gw.test/x").body(Full::new("x".into()));
            let request: Request<Full<bytes::Bytes>> = request.expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            assert_eq!(answer.headers()["x-anyfront-region"], "a");
            answer.into_body().collect().await.expect("to its end");
        }
    });
}

/// An origin that answers every call of gRPC with nothing, over HTTP/2 in the clear.
async fn grpc_origin() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(|_: Request<hyper::body::Incoming>| async {
                let answer =
                    http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
                answer.body(Full::new(bytes::Bytes::new()))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

#[test]
fn a_call_of_grpc_names_its_region_too() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let origin = runtime.block_on(grpc_origin());
    let door = Door::start(&[("h2c", origin)], "", &Papers::new());
    runtime.block_on(async {
        let stream = TokioIo::new(door.tls(b"h2").await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri("https://gw.test/a.B/C")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request: Request<Full<bytes::Bytes>> = request.body(Full::new("".into())).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(
            (&answer.headers()["x-anyfront-region"], &answer.headers()["grpc-status"]),
            (&"a".parse().expect("text"), &"0".parse().expect("text"))
        );
    });
}

#[test]
fn what_is_moved_as_octets_is_counted_like_the_rest() {
    let (a, b) = (Origin::polite(), Origin::gone());
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let door = Door::adjusted(&[&a, &b], "", |options| options.admin = vec![any]);
    let node = door.node.as_ref().expect("it runs");
    let mut client = door.client();
    for number in 0..30 {
        // From the one with such a field on, the connection goes the whole way.
        let field = if number == 20 { "X-Stainless-Read-Timeout: 30\r\n" } else { "" };
        client.say(format!("GET /x HTTP/1.1\r\nHost: gw.test\r\n{field}\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("a")));
    }
    let mut posted = door.client();
    posted.say("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(posted.answer().field("x-anyfront-region"), Some("a"));
    let clock = anyfront::moment::Clock::start();
    loop {
        let mut admin = crate::front::Client::connect(node.admin[0]);
        admin.say(format!("GET /residency HTTP/1.1\r\nHost: {}\r\n\r\n", node.admin[0]));
        let index: Index = serde_json::from_str(&admin.answer().text()).expect("an index");
        let hostnames = index.days.iter().flat_map(|day| &day.hostnames).filter_map(|one| one.counts.as_ref());
        let processed: Vec<_> = hostnames.flat_map(|counts| &counts.processed).collect();
        let (sent, answers): (u64, u64) =
            (processed.iter().map(|one| one.sent).sum(), processed.iter().map(|one| one.answers).sum());
        if (sent, answers) == (31, 31) {
            return;
        }
        assert!(clock.now() < Moment::at(crate::front::BOUND) && sent <= 31 && answers <= 31, "{index:#?}");
        std::thread::yield_now();
    }
}
