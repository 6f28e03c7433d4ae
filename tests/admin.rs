//! The admin address: what it shows, whom it refuses, and what it withstands; and `anyfront status` on top of it.

mod operator;

use anyfront::control::Event;
use anyfront::counters::DoorCounters;
use anyfront::counters::record::{Decided, Failed, Outcome, Record};
use anyfront::health::Fault;
use anyfront::names::{EndpointName, Hostname, Label};
use anyfront::status::admin::ADMIN_CONNECTIONS_MAX;
use anyfront::steering::Client;
use anyfront::topology::link::PrivateLink;
use http::{HeaderValue, Method, Version};
use operator::{Node, anyfront, complaint, output};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

fn node() -> (tempfile::TempDir, Node) {
    let state = tempfile::tempdir().expect("a folder");
    let node = Node::start(state.path(), None);
    (state, node)
}

/// As if it had served that many requests from New York, the newest after a failover.
fn serve(node: &Node, requests: usize) {
    let snapshot = node.published.load_full();
    let client = Arc::new(Client::locate(&snapshot, "203.0.113.9".parse().expect("an address")));
    let worker = node.counters.worker(1);
    for at in 0..requests {
        DoorCounters::count(&worker.door.requests);
        snapshot.endpoints[0].load.answered();
        let is_last = at + 1 == requests;
        let label = |name: &str| Label::parse(name).expect("a name");
        let decided = Decided { generation: snapshot.generation, ..Decided::default() };
        let failed = Failed {
            region: label("orf"),
            endpoint: EndpointName::new(&label("orf"), "192.0.2.1"),
            fault: Fault::Refused,
            reason: None,
            number: 1,
            after: Duration::ZERO,
            elapsed: Duration::from_millis(3),
            leaves_region: false,
            decided: decided.clone(),
        };
        let record = Record {
            id: worker.records.next(),
            began: node.clock.now(),
            elapsed: Some(Duration::from_micros(87_600)),
            lasted: Duration::from_micros(87_700),
            outcome: Outcome::Complete,
            reason: None,
            hostname: Some(Hostname::parse("us.gateway.example").expect("a name")),
            class: Some("*".into()),
            prefix: client.prefix,
            client: Some(Arc::clone(&client)),
            method: Method::POST,
            path: None,
            version: Version::HTTP_11,
            request_id: HeaderValue::from_static("r-1"),
            link: Some(PrivateLink::Gcp(20_216)),
            trace: None,
            decided,
            has_residency: false,
            region: Some(label(if is_last { "sfo" } else { "orf" })),
            endpoint: None,
            wish: None,
            status: 200,
            attempts: 1 + u32::from(is_last),
            failed: is_last.then_some(failed).into_iter().collect(),
            first_byte: Some(Duration::from_millis(80)),
            gap: None,
            octets_up: 2,
            octets_down: 5,
        };
        worker.records.decided_by(&snapshot);
        let (hostname, class) = (record.hostname.clone().expect("one"), record.class.clone().expect("one"));
        let place = worker.tables.place(&hostname, record.region.as_ref(), &class, client.place.country, record.began);
        worker.tables.count(Some(&place), &record, node.clock.now());
        worker.records.finish(record);
    }
}

#[test]
fn regions_show_everything_the_node_believes() {
    let (_state, node) = node();
    serve(&node, 3);
    node.events.blocking_send(Event::Rejected { text: "error: no".to_owned() }).expect("control runs");
    node.until("the problem", |node| !node.json("/regions")["problem"].is_null());
    let told = node.json("/regions");
    assert_eq!((&told["site"], &told["fleet"]), (&Value::from("lon-1"), &Value::from("example")));
    assert_eq!(told["problem"]["text"], "error: no");
    assert_eq!(told["counters"]["requests"], 3);
    assert_eq!(told["digest"].as_str().map(str::len), Some(64));
    let orf = &told["regions"][0];
    assert_eq!((&orf["name"], &orf["provider"], &orf["requests"]), (&"orf".into(), &"aws".into(), &3.into()));
    assert_eq!((&orf["standing"], &orf["reason_text"]), (&"unknown".into(), &"not probed yet".into()));
    assert_eq!(orf["endpoints"][1]["addresses"], serde_json::json!(["192.0.2.2:443"]));
    let us = &told["hostnames"][1];
    assert_eq!(us["levels"], serde_json::json!([["orf", "sfo"], ["yyz"]]));
    assert_eq!((&us["steering"], &us["all_down"]), (&"nearest".into(), &"try-nearest".into()));
    assert_eq!(told["hostnames"].as_array().map(Vec::len), Some(7));
}

#[test]
fn decisions_tell_prefixes_and_never_addresses() {
    let (_state, node) = node();
    serve(&node, 5);
    let told = node.json("/decisions?count=2");
    assert_eq!(told.as_array().map(Vec::len), Some(2));
    assert_eq!((&told[0]["client"], &told[0]["place"]), (&"203.0.113.0/24".into(), &"New York, US".into()));
    assert_eq!((&told[0]["region"], &told[0]["tried"]), (&"sfo".into(), &serde_json::json!(["orf"])));
    assert_eq!((&told[0]["elapsed_ms"], &told[0]["private_link"]), (&87.6.into(), &"gcp:20216".into()));
    assert!(!told.to_string().contains("203.0.113.9"));
    for count in ["0", "-1", "x", "257", ""] {
        assert_eq!(node.get(&format!("/decisions?count={count}")).0, 400, "{count:?}");
    }
    assert_eq!(node.json("/decisions?count=256").as_array().map(Vec::len), Some(5));
}

#[test]
fn readiness_follows_the_node() {
    let (_state, node) = node();
    assert_eq!((node.get("/ready").0, node.get("/live").0), (200, 200));
    node.ready.send_replace(false);
    assert_eq!((node.get("/ready").0, node.get("/live").0), (503, 200));
}

#[test]
fn metrics_are_in_the_format_asked_for() {
    let (_state, node) = node();
    serve(&node, 4);
    let (_, plain) = node.get("/metrics");
    let sample = "anyfront_endpoint_requests_total{region=\"orf\",endpoint=\"orf/192.0.2.1\"} 4\n";
    for part in [
        "# TYPE anyfront_requests_total counter\nanyfront_requests_total 4\n",
        "anyfront_region_standing{region=\"orf\",provider=\"aws\",standing=\"unknown\"} 1\n",
        "anyfront_config_valid 1\n",
        "anyfront_ready 1\n",
        sample,
    ] {
        assert!(plain.contains(part), "{part:?} is missing in\n{plain}");
    }
    assert!(!plain.contains("203.0.113"), "a client is in a label");
    let (_, open) = node.ask("GET", "/metrics", "accept: application/openmetrics-text; version=1.0.0\r\n", "");
    assert!(open.contains("# TYPE anyfront_requests counter\n") && open.ends_with("# EOF\n"), "{open}");
    assert!(open.contains("# UNIT anyfront_uptime_seconds seconds\n"), "{open}");
    assert!(open.contains(sample), "{open}");
}

#[test]
fn what_is_not_there_or_not_so_asked_gets_a_sentence() {
    let (_state, node) = node();
    let (status, body) = node.get("/nothing");
    assert!(status == 404 && body.contains("GET / tells what there is"), "{status} {body}");
    assert!(node.get("/").1.contains("POST /drain"));
    for (method, path) in [("POST", "/regions"), ("GET", "/drain"), ("DELETE", "/drains"), ("PUT", "/undrain")] {
        assert_eq!(node.ask(method, path, "", "").0, 405, "{method} {path}");
    }
    let (status, body) = node.ask("HEAD", "/regions", "", "");
    assert!(status == 200 && body.is_empty(), "{status} {body}");
}

#[test]
fn a_reload_is_asked_for_once_and_written_down() {
    let (state, mut node) = node();
    assert_eq!(node.ask("POST", "/reload", "", "").0, 202);
    assert_eq!(node.ask("POST", "/reload", "", "{\"who\":\"ada\"}").0, 202);
    assert_eq!(node.ask("POST", "/reload", "", "{\"whom\":1}").0, 400);
    assert_eq!(node.reloads.try_recv(), Ok(()));
    assert!(node.reloads.try_recv().is_err(), "one is enough");
    let log = std::fs::read_to_string(state.path().join("audit.jsonl")).expect("a log");
    assert_eq!(log.matches("\"action\":\"reload\"").count(), 2, "{log}");
    assert!(log.contains("\"who\":\"ada\""), "{log}");
}

#[test]
fn web_pages_get_nothing() {
    let (_state, node) = node();
    let rebound = "GET /regions HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(node.raw(rebound).0, 403);
    let (status, body) = node.ask("POST", "/drain", "origin: http://evil.example\r\n", "{}");
    assert!(status == 403 && body.contains("web pages"), "{status} {body}");
    assert_eq!(node.raw("GET /regions HTTP/1.0\r\n\r\n").0, 400);
}

#[test]
fn the_token_is_wanted_everywhere_but_for_health() {
    let state = tempfile::tempdir().expect("a folder");
    let token = state.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("written");
    let node = Node::start(state.path(), Some(&token));
    assert_eq!((node.get("/ready").0, node.get("/live").0), (200, 200));
    for path in ["/", "/regions", "/decisions", "/metrics", "/explain", "/nothing"] {
        assert_eq!(node.get(path).0, 401, "{path}");
    }
    assert_eq!(node.ask("POST", "/reload", "", "").0, 401);
    assert_eq!(node.ask("GET", "/regions", "authorization: Bearer 0123456789abcdef\r\n", "").0, 200);
}

#[test]
fn a_body_one_octet_too_long_is_refused() {
    let (_state, node) = node();
    let body = |length: usize| {
        let start = "{\"target\":\"region:orf\",\"reason\":\"";
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    let (status, text) = node.ask("POST", "/drain", "", &body(16 << 10));
    assert!(status == 400 && text.contains("longer than 500 characters"), "{status} {text}");
    assert_eq!(node.ask("POST", "/drain", "", &body((16 << 10) + 1)).0, 413);
}

#[test]
fn idle_strangers_cannot_keep_operators_out() {
    let (_state, node) = node();
    // One place is left: it is enough, however often it is used.
    let idle: Vec<TcpStream> =
        (0..ADMIN_CONNECTIONS_MAX - 1).map(|_| TcpStream::connect(node.address).expect("connected")).collect();
    for _ in 0..10 {
        assert_eq!(node.get("/live").0, 200);
    }
    // None is left: who comes now waits until one of the idle is given up, and is served then.
    let mut last = TcpStream::connect(node.address).expect("connected");
    last.write_all(b"GET /regions HT").expect("sent");
    assert_eq!(node.get("/live").0, 200);
    drop(idle);
    // Who began and did not go on was given up in time.
    last.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
}

#[test]
fn status_prints_a_page_where_there_is_no_terminal() {
    let (_state, node) = node();
    serve(&node, 3);
    let snapshot = node.published.load_full();
    let endpoint = snapshot.endpoints[2].id;
    for _ in 0..3 {
        node.events
            .blocking_send(Event::Probed { endpoint, probe: 0, result: Err(Fault::Silent) })
            .expect("control runs");
    }
    node.until("the outage", |node| node.json("/regions")["regions"][1]["standing"] == "down");
    let text = output(&node.command(&["status"]));
    for part in ["example at lon-1", "? unknown", "○ down", "probes fail: no answer", "orf→sfo", "203.0.113.0/24"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let told: Value = serde_json::from_str(&output(&node.command(&["status", "--json"]))).expect("JSON");
    assert_eq!(told["regions"][1]["standing"], "down");
}

#[test]
fn status_of_no_node_is_a_sentence() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    assert!(complaint(&anyfront(&["status", "--admin", &free])).contains(&format!("no node answers at {free}")));
    // Something that is no node.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = [0; 1_024];
        let _ = stream.read(&mut asked).expect("a question");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").expect("sent");
    });
    let text = complaint(&anyfront(&["status", "--json", "--admin", &address]));
    assert!(text.contains("is no anyfront node"), "{text}");
    other.join().expect("ended");
}

#[test]
fn status_lives_in_a_terminal_until_q_is_pressed() {
    let (_state, node) = node();
    serve(&node, 3);
    // `script` gives it a terminal.
    let command =
        format!("stty rows 24 cols 80; exec {} status --admin {}", env!("CARGO_BIN_EXE_anyfront"), node.address);
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("COLUMNS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is a part of every Debian");
    let mut screen = child.stdout.take().expect("piped");
    let mut seen = Vec::new();
    let mut part = [0; 4_096];
    while !String::from_utf8_lossy(&seen).contains("sort: as written") {
        let length = screen.read(&mut part).expect("the screen");
        assert!(length > 0, "it ended by itself: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..length]);
    }
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(text.contains("lon-1") && text.contains("us.gateway.example"), "{text}");
    child.stdin.take().expect("piped").write_all(b"q").expect("pressed");
    screen.read_to_end(&mut seen).expect("the rest");
    assert!(child.wait().expect("ended").success());
    assert!(String::from_utf8_lossy(&seen).contains("\u{1b}[?1049l"), "the screen was not given back");
}
