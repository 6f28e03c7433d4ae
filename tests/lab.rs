//! The lab keeps its word: every endpoint answers as it says, and every fault looks to a client as it should.

use anyfront::health::Fault as Seen;
use anyfront::lab::fault::{Aim, Fault};
use anyfront::lab::world::{Settings, World};
use anyfront::tls::trust::Trust;
use anyfront::topology::EndpointIndex;
use anyfront::upstream::body::Outgoing;
use anyfront::upstream::dial::{self, Dialled, Way};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Nothing here takes this long unless it hangs.
const BOUND: Duration = Duration::from_secs(10);
/// What has not come by then does not come: on loopback everything else takes a few milliseconds.
const SILENCE: Duration = Duration::from_millis(300);

fn plain() -> World {
    World::start(Settings { is_tls: false, ..Settings::default() }).expect("a world")
}

fn secure() -> World {
    World::start(Settings::default()).expect("a world")
}

#[test]
fn a_folder_has_one_lab_at_a_time_and_the_second_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = || Settings { is_tls: false, folder: Some(folder.path().to_owned()), ..Settings::default() };
    let first = World::start(settings()).expect("a world");
    let written = std::fs::read_to_string(first.config_path()).expect("its file");
    let refused = World::start(settings()).expect_err("there is one").to_string();
    assert!(refused.contains("is used by a lab that runs"), "{refused}");
    assert_eq!(std::fs::read_to_string(first.config_path()).expect("its file"), written);
    drop(first);
    World::start(settings()).expect("it is free again");
}

fn aim(text: &str) -> Aim {
    Aim::parse(text).expect("a target")
}

fn address(world: &World, region: &str) -> SocketAddr {
    world.standins(region)[0].address()
}

async fn connect(address: SocketAddr) -> TcpStream {
    timeout(BOUND, TcpStream::connect(address)).await.expect("no hanging").expect("a connection")
}

/// Sends a raw request and reads until the end.
async fn raw(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = timeout(BOUND, TcpStream::connect(address)).await??;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(BOUND, stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    raw(address, &format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// The way the node itself goes to the first endpoint of a region.
async fn dialled(world: &World, region: &str, http1_only: bool) -> Result<Dialled, Seen> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    let authority = CertificateDer::from_pem_file(world.ca_path()).expect("the lab's authority");
    let topology = world.topology();
    let region = topology.region_named(region).expect("a region");
    let endpoint: EndpointIndex = topology.region(region).endpoints[0];
    let way = Way::to(topology.endpoint(endpoint), None, &Trust::new(&[authority]));
    dial::dial(&way, &topology.endpoint(endpoint).connect, http1_only, BOUND).await
}

async fn send(connection: &mut Dialled, request: Request<Outgoing>) -> Response<Incoming> {
    let (mut parts, body) = request.into_parts();
    let sent = match connection {
        Dialled::Http1(sender, ..) => {
            parts.headers.insert("host", HeaderValue::from_static("lab"));
            timeout(BOUND, sender.send_request(Request::from_parts(parts, body))).await
        }
        Dialled::Http2(sender, ..) => {
            parts.uri = format!("https://lab{}", parts.uri).parse().expect("a URI");
            timeout(BOUND, sender.send_request(Request::from_parts(parts, body))).await
        }
    };
    sent.expect("no hanging").expect("an answer")
}

fn request(method: Method, path: &str, body: Outgoing) -> Request<Outgoing> {
    Request::builder().method(method).uri(path).body(body).expect("a request")
}

fn outgoing(frames: Vec<Frame<Bytes>>) -> Outgoing {
    Outgoing::Stream(Box::pin(StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok)))))
}

fn completion(stream: bool, tokens: u64) -> Outgoing {
    let body = json!({"messages": [{"role": "user", "content": "hi"}], "stream": stream, "max_tokens": tokens});
    outgoing(vec![Frame::data(Bytes::from(body.to_string()))])
}

#[tokio::test]
async fn every_path_answers_in_the_clear() {
    let world = plain();
    let orf = address(&world, "orf");
    let health = get(orf, "/health").await.expect("an answer");
    assert_eq!(status(&health), "200");
    assert_eq!(serde_json::from_str::<Json>(body(&health)).expect("JSON"), json!({"status": "ok", "region": "orf"}));
    for (path, wanted) in [("/models", "200"), ("/v1/models", "200"), ("/status/418", "418"), ("/nothing", "404")] {
        assert_eq!(status(&get(orf, path).await.expect("an answer")), wanted, "{path}");
    }
    for (path, wanted) in [("/status/204", "204"), ("/status/99", "400"), ("/bytes/x", "400"), ("/slow?ms=x", "400")] {
        assert_eq!(status(&get(orf, path).await.expect("an answer")), wanted, "{path}");
    }
    let whoami = raw(
        orf,
        "POST /whoami?a=b HTTP/1.1\r\nHost: some.name\r\nZulu: 1\r\nAlpha: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    );
    let whoami: Json = serde_json::from_str(body(&whoami.await.expect("an answer"))).expect("JSON");
    let names: Vec<&str> =
        whoami["headers"].as_array().expect("a list").iter().filter_map(|header| header[0].as_str()).collect();
    assert_eq!(names, ["host", "zulu", "alpha", "content-length", "connection"]);
    assert_eq!((&whoami["path"], &whoami["endpoint"]), (&json!("/whoami?a=b"), &json!("orf/a")));
    assert_eq!(whoami["body_bytes"], 3);
    assert_eq!(whoami["body_sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    let bytes = get(orf, "/bytes/1000000").await.expect("an answer");
    assert!(bytes.contains("content-length: 1000000\r\n"));
    assert_eq!(body(&bytes).len(), 1_000_000);
    let head = raw(orf, "HEAD /bytes/77 HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").await.expect("an answer");
    assert!(head.contains("content-length: 77\r\n") && body(&head).is_empty(), "{head}");
}

#[tokio::test]
async fn a_body_is_asked_for_before_it_is_sent() {
    let world = plain();
    let mut stream = connect(address(&world, "orf")).await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let mut first = [0; 25];
    timeout(BOUND, stream.read_exact(&mut first)).await.expect("no hanging").expect("an interim answer");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ping").await.expect("it is taken");
    let mut rest = String::new();
    timeout(BOUND, stream.read_to_string(&mut rest)).await.expect("no hanging").expect("an answer");
    assert_eq!(status(&rest), "200");
    assert!(rest.contains("ping"), "{rest}");
}

#[tokio::test]
async fn it_speaks_both_versions_over_tls_with_trailers() {
    let world = secure();
    for (http1_only, version) in [(true, "HTTP/1.1"), (false, "HTTP/2")] {
        let mut connection = dialled(&world, "syd", http1_only).await.expect("the authority is trusted");
        let answer = send(&mut connection, request(Method::GET, "/whoami", Outgoing::Empty)).await;
        let whoami = answer.into_body().collect().await.expect("a body").to_bytes();
        let whoami: Json = serde_json::from_slice(&whoami).expect("JSON");
        assert_eq!((&whoami["version"], &whoami["region"]), (&json!(version), &json!("syd")));

        let mut connection = dialled(&world, "syd", http1_only).await.expect("the authority is trusted");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let frames = vec![Frame::data(Bytes::from_static(b"abc")), Frame::trailers(trailers)];
        let mut echo = request(Method::POST, "/echo", outgoing(frames));
        echo.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        echo.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
        let collected = send(&mut connection, echo).await.into_body().collect().await.expect("a body");
        let sum = collected.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
        assert_eq!(sum, Some(HeaderValue::from_static("7")), "{version}");
        assert_eq!(collected.to_bytes(), "abc");

        let mut connection = dialled(&world, "syd", http1_only).await.expect("the authority is trusted");
        let mut trailing = request(Method::GET, "/trailers", Outgoing::Empty);
        trailing.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let collected = send(&mut connection, trailing).await.into_body().collect().await.expect("a body");
        let trailer = collected.trailers().and_then(|trailers| trailers.get("x-lab-trailer")).cloned();
        assert_eq!(trailer, Some(HeaderValue::from_static("syd/a")), "{version}");
    }
}

#[tokio::test]
async fn a_completion_streams_token_by_token() {
    let settings = Settings { token_pace: Duration::from_millis(20), ..Settings::default() };
    let world = World::start(settings).expect("a world");
    let mut connection = dialled(&world, "gru", false).await.expect("a connection");
    let began = world.clock().now();
    let answer = send(&mut connection, request(Method::POST, "/v1/chat/completions", completion(true, 10))).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut events = Vec::new();
    let mut body = answer.into_body();
    while let Some(frame) = timeout(BOUND, body.frame()).await.expect("no hanging") {
        events.push(frame.expect("a frame").into_data().expect("data"));
    }
    let took = world.clock().now().since(began);
    assert_eq!(events.len(), 13, "a role, ten tokens, a reason, the end");
    assert_eq!(events.last().map(|event| &event[..]), Some(&b"data: [DONE]\n\n"[..]));
    assert!(took >= Duration::from_millis(12 * 20), "{took:?} is too fast for the pace");
}

#[tokio::test]
async fn a_web_socket_echoes() {
    let world = plain();
    let stream = connect(address(&world, "dia")).await;
    let (mut socket, _) = tokio_tungstenite::client_async("ws://lab/ws", stream).await.expect("a handshake");
    socket.send("hello".into()).await.expect("it is taken");
    let echoed = timeout(BOUND, socket.next()).await.expect("no hanging").expect("a message").expect("a good one");
    assert_eq!(echoed.to_text().expect("text"), "hello");
    world.fault(&aim("dia"), Fault::Refuse).expect("it breaks");
    let end = timeout(BOUND, socket.next()).await.expect("no hanging");
    assert!(!matches!(end, Some(Ok(_))), "the socket should be reset");
}

#[tokio::test]
async fn distance_takes_its_time() {
    let settings = Settings { is_tls: false, latency_scale: 0.25, ..Settings::default() };
    let world = World::start(settings).expect("a world");
    let mut took = Vec::new();
    for region in ["lhr", "syd"] {
        let began = world.clock().now();
        get(address(&world, region), "/health").await.expect("an answer");
        took.push(world.clock().now().since(began));
    }
    // A quarter of two round trips: London 1 ms, Sydney 86 ms.
    assert!(took[0] < took[1] && took[1] >= Duration::from_millis(85), "{took:?}");
    assert!(took[1] < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn refuse_refuses_and_heals_at_the_same_address() {
    let world = plain();
    let orf = address(&world, "orf");
    let mut open = connect(orf).await;
    open.write_all(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: lab\r\n\r\n").await.expect("it is taken");
    begun(&world, "orf", 1).await;
    for _ in 0..3 {
        world.fault(&aim("orf"), Fault::Refuse).expect("it breaks");
        let refused = TcpStream::connect(orf).await.expect_err("nobody should listen");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(status(&get(address(&world, "yyz"), "/health").await.expect("an answer")), "200", "yyz is well");
        world.heal(&aim("orf")).expect("it heals");
        assert_eq!(address(&world, "orf"), orf);
        assert_eq!(status(&get(orf, "/health").await.expect("an answer")), "200");
    }
    let reset = timeout(BOUND, open.read(&mut [0; 1])).await.expect("no hanging").expect_err("a reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}

/// Waits until a region has begun so many requests.
async fn begun(world: &World, region: &str, count: u64) {
    let enough = async {
        while world.counts(region).begun < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, enough).await.expect("the requests should begin");
}

#[tokio::test]
async fn a_black_hole_swallows_everything_and_gives_it_back() {
    let world = plain();
    let mel = address(&world, "mel");
    let mut open = connect(mel).await;
    open.write_all(b"GET /health HTTP/1.1\r\nHost: lab\r\n\r\n").await.expect("it is taken");
    let mut some = [0; 4_096];
    timeout(BOUND, open.read(&mut some)).await.expect("no hanging").expect("an answer");
    world.fault(&aim("mel"), Fault::Blackhole).expect("it breaks");
    for _ in 0..2 {
        let hanging = timeout(Duration::from_millis(600), TcpStream::connect(mel)).await;
        assert!(hanging.is_err(), "connecting should hang: {hanging:?}");
    }
    open.write_all(b"GET /status/299 HTTP/1.1\r\nHost: lab\r\n\r\n").await.expect("the kernel takes it");
    assert!(timeout(SILENCE, open.read(&mut some)).await.is_err(), "an open connection should be silent");
    world.heal(&aim("mel")).expect("it heals");
    let read = timeout(BOUND, open.read(&mut some)).await.expect("no hanging").expect("an answer");
    assert_eq!(status(&String::from_utf8_lossy(&some[..read])), "299", "what was sent arrives when the hole is gone");
    assert_eq!(status(&get(mel, "/health").await.expect("an answer")), "200");
}

#[tokio::test]
async fn a_black_hole_silences_tls_and_may_turn_into_a_refusal() {
    let world = secure();
    let mut connection = dialled(&world, "mel", false).await.expect("a connection");
    send(&mut connection, request(Method::GET, "/health", Outgoing::Empty)).await;
    world.fault(&Aim::All, Fault::Blackhole).expect("everything breaks");
    let Dialled::Http2(sender, ..) = &mut connection else { panic!("HTTP/2 was offered") };
    let asked = Request::get("https://lab/health").body(Outgoing::Empty).expect("a request");
    assert!(timeout(SILENCE, sender.send_request(asked)).await.is_err(), "it should be silent");
    world.fault(&Aim::All, Fault::Refuse).expect("everything breaks otherwise");
    for region in ["orf", "mel"] {
        let refused = TcpStream::connect(address(&world, region)).await.expect_err("nobody should listen");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

async fn hits(world: &World) -> Vec<bool> {
    let mut hits = Vec::new();
    for _ in 0..200 {
        let answer = get(address(world, "bom"), "/health").await.expect("an answer");
        hits.push(status(&answer) == "502");
    }
    hits
}

#[tokio::test]
async fn errors_hit_their_share_and_the_same_ones_for_the_same_seed() {
    let fault = Fault::Error { share: 0.3, status: 502 };
    let (one, other) = (plain(), plain());
    for world in [&one, &other] {
        world.fault(&aim("provider:aws"), fault).expect("it breaks");
    }
    let hits_of_one = hits(&one).await;
    let count = hits_of_one.iter().filter(|hit| **hit).count();
    assert!((35..=85).contains(&count), "{count} of 200 are not three in ten");
    assert_eq!(hits_of_one, hits(&other).await);
    assert_eq!(one.counts("bom").injected, count as u64);
    assert_eq!(status(&get(address(&one, "yyz"), "/health").await.expect("an answer")), "200", "yyz is not on aws");
}

#[tokio::test]
async fn slow_is_slow() {
    let world = plain();
    world.fault(&aim("orf"), Fault::Slow { by: Duration::from_millis(150), times: 1.0 }).expect("it breaks");
    let began = world.clock().now();
    assert_eq!(status(&get(address(&world, "orf"), "/health").await.expect("an answer")), "200");
    assert!(world.clock().now().since(began) >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_cut_comes_after_the_head_and_a_part() {
    let world = plain();
    let orf = address(&world, "orf");
    world.fault(&aim("orf"), Fault::Cut).expect("it breaks");
    for (path, most) in [("/bytes/1000", 500), ("/bytes/100000000", 256 << 10), ("/health", 20)] {
        let mut stream = connect(orf).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        let error = timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("no hanging").expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{path}");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(status(&answer), "200", "{path}");
        assert!((1..=most).contains(&body(&answer).len()), "{path}: {}", body(&answer).len());
    }
    assert!(world.log("orf").iter().all(|entry| entry.status == Some(200) && entry.finished.is_none()));
}

#[tokio::test]
async fn a_cut_may_come_after_exactly_so_many_octets_of_one_answer_or_all() {
    let world = plain();
    let orf = address(&world, "orf");
    let cut = async |path: &str, field: &str| {
        let mut stream = connect(orf).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\n{field}\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("no hanging").expect_err("a reset");
        body(&String::from_utf8_lossy(&answer)).to_owned()
    };
    for bytes in [0, 1, 333] {
        assert_eq!(cut("/bytes/1000", &format!("x-lab-cut-at: {bytes}\r\n")).await.len(), bytes);
    }
    // 20 octets, in a chunk of their own.
    let events = cut("/events?n=3&ms=0", "x-lab-cut-at: 20\r\n").await;
    assert!(events.starts_with("14\r\nid: 1\ndata: {\"left_u\r\n"), "{events:?}");
    world.fault(&aim("orf"), Fault::CutAfter { bytes: 7 }).expect("it breaks");
    assert_eq!(cut("/bytes/1000", "").await.len(), 7);
}

#[tokio::test]
async fn a_stream_that_runs_is_cut_too() {
    let world = secure();
    for http1_only in [true, false] {
        let mut connection = dialled(&world, "sin", http1_only).await.expect("a connection");
        let answer = send(&mut connection, request(Method::POST, "/chat/completions", completion(true, 100_000))).await;
        let mut body = answer.into_body();
        for _ in 0..3 {
            timeout(BOUND, body.frame()).await.expect("no hanging").expect("a frame").expect("a good one");
        }
        world.fault(&aim("endpoint:sin/a"), Fault::Cut).expect("it breaks");
        let end = async {
            loop {
                match body.frame().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Some(error),
                    None => return None,
                }
            }
        };
        let end = timeout(BOUND, end).await.expect("no hanging");
        assert!(end.is_some(), "a cut stream should end in an error");
        world.heal(&aim("sin")).expect("it heals");
    }
}

#[tokio::test]
async fn a_bad_certificate_is_noticed_and_a_plain_endpoint_talks_nonsense() {
    let world = secure();
    let mut before = dialled(&world, "cpt", false).await.expect("a connection");
    world.fault(&aim("cpt"), Fault::Tls).expect("it breaks");
    assert_eq!(dialled(&world, "cpt", false).await.map(drop), Err(Seen::Tls));
    send(&mut before, request(Method::GET, "/health", Outgoing::Empty)).await;
    world.heal(&aim("cpt")).expect("it heals");
    assert_eq!(dialled(&world, "cpt", false).await.map(drop), Ok(()));

    let world = plain();
    world.fault(&aim("cpt"), Fault::Tls).expect("it breaks");
    let mut connection = dialled(&world, "cpt", true).await.expect("TCP is well");
    let Dialled::Http1(sender, ..) = &mut connection else { panic!("in the clear it is HTTP/1.1") };
    let asked = Request::get("/health").header("host", "lab").body(Outgoing::Empty).expect("a request");
    assert!(timeout(BOUND, sender.send_request(asked)).await.expect("no hanging").is_err());
}

#[tokio::test]
async fn flap_goes_and_comes_again() {
    let world = plain();
    let orf = address(&world, "orf");
    world.fault(&aim("orf"), Fault::Flap { period: Duration::from_millis(60) }).expect("it breaks");
    let mut turns = Vec::new();
    let watch = async {
        while turns.len() < 4 {
            let is_up = TcpStream::connect(orf).await.is_ok();
            if turns.last() != Some(&is_up) {
                turns.push(is_up);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, watch).await.expect("it should change");
    assert_eq!(turns, [false, true, false, true]);
    world.heal(&aim("orf")).expect("it heals");
    assert_eq!(world.standins("orf")[0].suffers(), Fault::None);
    assert_eq!(status(&get(orf, "/health").await.expect("an answer")), "200");
}

#[tokio::test]
async fn hang_takes_the_request_and_says_nothing() {
    let world = plain();
    world.fault(&aim("orf"), Fault::Hang).expect("it breaks");
    let mut stream = connect(address(&world, "orf")).await;
    let request = "POST /whoami HTTP/1.1\r\nHost: lab\r\nX-Request-Id: r-1\r\nContent-Length: 2\r\n\r\nhi";
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    assert!(timeout(SILENCE, stream.read(&mut [0; 1])).await.is_err(), "it should say nothing");
    let log = world.log("orf");
    assert_eq!((log.len(), log[0].request_id.as_deref(), log[0].status), (1, Some("r-1"), None));
    world.heal(&aim("orf")).expect("it heals");
    let reset = timeout(BOUND, stream.read(&mut [0; 1])).await.expect("no hanging").expect_err("a reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_log_proves_what_was_processed_and_is_bounded() {
    let settings = Settings { is_tls: false, log_entries_max: 3, ..Settings::default() };
    let world = World::start(settings).expect("a world");
    for number in 0..5 {
        let head =
            format!("POST /whoami HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nx-request-id: id-{number}\r\n\r\n");
        assert_eq!(status(&raw(address(&world, "orf"), &head).await.expect("an answer")), "200");
    }
    let finished = async {
        while world.counts("orf").finished < 5 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, finished).await.expect("all should finish");
    let log = world.log("orf");
    let ids: Vec<&str> = log.iter().filter_map(|entry| entry.request_id.as_deref()).collect();
    assert_eq!(ids, ["id-2", "id-3", "id-4"]);
    assert!(log.iter().all(|entry| entry.method == Method::POST && &*entry.path == "/whoami"));
    assert!(log.iter().all(|entry| entry.status == Some(200) && entry.finished >= Some(entry.began)));
    assert_eq!(world.counts("orf").begun, 5);
    assert_eq!(world.log_of_all().len(), 3);
}

#[tokio::test]
async fn faults_are_switched_by_http() {
    let settings = Settings { is_tls: false, endpoints_per_region: 2, ..Settings::default() };
    let world = World::start(settings).expect("a world");
    let control = world.serve_control(([127, 0, 0, 1], 0).into()).expect("a control listener");
    let post = async |path: &str, body: &str| {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        raw(control, &format!("{head}{body}")).await.expect("an answer")
    };
    let broken = post("/break", r#"{"target":"orf/b","kind":"error","share":1,"status":500}"#).await;
    assert_eq!(status(&broken), "200", "{broken}");
    let answers: Vec<SocketAddr> = world.standins("orf").iter().map(|standin| standin.address()).collect();
    assert_eq!(status(&get(answers[0], "/health").await.expect("an answer")), "200");
    assert_eq!(status(&get(answers[1], "/health").await.expect("an answer")), "500");
    let shown: Json = serde_json::from_str(body(&get(control, "/").await.expect("an answer"))).expect("JSON");
    assert_eq!(shown["regions"][0]["endpoints"][1]["fault"], "error (100 % are 500)");
    assert_eq!(shown["regions"][0]["endpoints"][0]["fault"], "none");
    assert_eq!(status(&post("/heal", "{}").await), "200");
    assert_eq!(status(&get(answers[1], "/health").await.expect("an answer")), "200");

    assert_eq!(status(&post("/break", r#"{"target":"orf","kind":"refuse","for_s":0.1}"#).await), "200");
    assert!(TcpStream::connect(answers[0]).await.is_err());
    let healed = async {
        while TcpStream::connect(answers[0]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, healed).await.expect("it should heal by itself");

    for (order, says) in [
        (r#"{"target":"mars","kind":"cut"}"#, "the regions are orf"),
        (r#"{"target":"orf","kind":"explode"}"#, "refuse, blackhole"),
        (r#"{"target":"orf","kind":"cut","colour":"red"}"#, "colour"),
        (r#"{"target":"orf","kind":"cut","share":0.5}"#, "belongs to error"),
        (r#"{"target":"orf","kind":"cut","for_s":-1}"#, "for_s"),
        ("refuse orf", "it should read such as"),
    ] {
        let answer = post("/break", order).await;
        assert_eq!(status(&answer), "400", "{order}");
        assert!(body(&answer).contains(says), "{order}: {answer}");
    }
    assert_eq!(status(&get(control, "/break").await.expect("an answer")), "405");
    assert!(world.serve_control(([192, 0, 2, 1], 0).into()).is_err(), "only loopback");
}

#[test]
fn faults_are_switched_from_the_command_line() {
    let world = plain();
    let control = world.serve_control(([127, 0, 0, 1], 0).into()).expect("a control listener").to_string();
    let lab = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_anyfront"));
        let output = command.arg("lab").args(arguments).args(["--control", &control]).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = lab(&["break", "orf", "error", "--share", "0.3", "--for", "5m"]);
    assert_eq!((code, said.as_str()), (Some(0), "region:orf: error (30 % are 503)\n"));
    let (_, shown) = lab(&["show"]);
    let row = shown.lines().find(|line| line.starts_with("orf/a")).expect("a row");
    assert!(row.contains("North Virginia") && row.ends_with("error (30 % are 503)"), "{shown}");
    assert_eq!(lab(&["heal"]), (Some(0), "all: healed\n".to_owned()));
    assert_eq!(world.standins("orf")[0].suffers(), Fault::None);
    let (code, said) = lab(&["break", "mars", "cut"]);
    assert!(code == Some(1) && said.contains("there is no region:mars"), "{said}");
    assert_eq!(lab(&["break", "orf", "explode"]).0, Some(2));
    assert_eq!(lab(&["break", "orf", "slow", "--for", "soon"]).0, Some(2));
    drop(world);
}

#[test]
fn worlds_stand_side_by_side_and_leave_nothing() {
    let (mut one, other) = (plain(), plain());
    let taken: Vec<SocketAddr> = one.regions().iter().map(|region| address(&one, region.as_str())).collect();
    assert_eq!(taken.len(), 14);
    assert!(other.regions().iter().all(|region| !taken.contains(&address(&other, region.as_str()))));
    let folder = one.folder().to_owned();
    assert!(one.config_path().exists() && one.ca_path().exists() && one.front_pair().1.exists());
    let before = std::fs::read_to_string(one.config_path()).expect("a file");
    assert!(one.rewrite("[forward]\nattempts = 0").is_err(), "a mistake is not written");
    assert_eq!(std::fs::read_to_string(one.config_path()).expect("a file"), before);
    one.rewrite("[forward]\nattempts = 7").expect("it is right");
    assert!(std::fs::read_to_string(one.config_path()).expect("a file").contains("attempts = 7"));
    drop(one);
    assert!(!folder.exists());
}

#[test]
fn what_cannot_be_is_told() {
    let nonsense = |settings| World::start(settings).map(drop).expect_err("no such world").to_string();
    let none = || Settings { is_tls: false, ..Settings::default() };
    assert!(nonsense(Settings { endpoints_per_region: 0, ..none() }).contains("1 to 32"));
    assert!(nonsense(Settings { latency_scale: f64::NAN, ..none() }).contains("latency scale"));
    assert!(nonsense(Settings { fleet: Some("/no/such/file".into()), ..none() }).contains("/no/such/file"));
    assert!(nonsense(Settings { extra: "[probe]\ninterval = 7".to_owned(), ..none() }).contains("interval"));
    let world = plain();
    let nobody = world.fault(&aim("mars"), Fault::Cut).expect_err("no such region").to_string();
    assert!(nobody.contains("region:mars") && nobody.contains("orf"), "{nobody}");
}

fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    Bytes::from([&[0][..], &length, text.as_bytes()].concat())
}

fn call(path: &str, said: &str) -> Request<Outgoing> {
    let mut call = request(Method::POST, path, outgoing(vec![Frame::data(message(said))]));
    call.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    call.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    call
}

#[tokio::test]
async fn it_serves_grpc_calls_and_breaks_them_off_when_told_to() {
    let world = secure();
    let mut connection = dialled(&world, "sin", false).await.expect("a connection");
    for (path, said, messages, status) in [
        ("/anyfront.lab.Echo/Say", "hello", vec![message("hello")], "0"),
        ("/anyfront.lab.Echo/Count", "3", ["1", "2", "3"].map(message).to_vec(), "0"),
        ("/grpc.health.v1.Health/Check", "", vec![Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1])], "0"),
        ("/anyfront.lab.Echo/Sing", "la", vec![], "12"),
    ] {
        let answer = send(&mut connection, call(path, said)).await;
        let collected = timeout(BOUND, answer.into_body().collect()).await.expect("no hanging").expect("a body");
        let told = collected.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
        assert_eq!(told, Some(HeaderValue::from_static(status)), "{path}");
        assert_eq!(collected.to_bytes(), messages.concat(), "{path}");
    }
    let answer = send(&mut connection, call("/anyfront.lab.Echo/Count", "100000")).await;
    let mut body = answer.into_body();
    for _ in 0..3 {
        timeout(BOUND, body.frame()).await.expect("no hanging").expect("a frame").expect("a good one");
    }
    world.fault(&aim("endpoint:sin/a"), Fault::Cut).expect("it breaks");
    assert!(timeout(BOUND, body.collect()).await.expect("no hanging").is_err(), "cut");
}

#[tokio::test]
async fn a_websocket_opens_on_a_stream_too() {
    let world = secure();
    let Dialled::Http2(mut sender, _) = dialled(&world, "syd", false).await.expect("a connection") else {
        panic!("HTTP/2 is spoken")
    };
    let mut open = request(Method::CONNECT, "https://lab/ws", Outgoing::Empty);
    open.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    let mut answer = timeout(BOUND, sender.send_request(open)).await.expect("no hanging").expect("an answer");
    assert_eq!(answer.status(), 200);
    let stream = hyper_util::rt::TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("it opens"));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    socket.send(Message::text("hello")).await.expect("sent");
    let said = timeout(BOUND, socket.next()).await.expect("no hanging").expect("a message").expect("a good one");
    assert_eq!(said, Message::text("hello"));
}
