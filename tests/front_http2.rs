//! The same door over TLS: HTTP/2 clients, HTTP/2 regions, and what has to end although nobody ends it.

#[path = "common/front.rs"]
mod front;

use anyfront::moment::{Clock, Moment};
use anyfront::tls::{ALPN_HTTP1, ALPN_HTTP2};
use bytes::Bytes;
use front::{BOUND, Client, Door, Origin, Papers};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, server};

type Sender = SendRequest<Full<Bytes>>;

async fn http2(door: &Door) -> Sender {
    let stream = TokioIo::new(door.tls(ALPN_HTTP2).await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

fn request(method: Method, uri: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).version(Version::HTTP_2).uri(uri);
    request.body(Full::from(body)).expect("a request")
}

async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> Response<Incoming> {
    timeout(BOUND, sender.send_request(request)).await.expect("no hanging").expect("an answer")
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, hyper::Error> {
    timeout(BOUND, answer.into_body().collect()).await.expect("no hanging").map(http_body_util::Collected::to_bytes)
}

/// What `ask` finds with a node in front of `origins`; node and runtime end in an order that both like.
fn with_door<T>(door: &Door, ask: impl AsyncFnOnce(&Door) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    runtime.block_on(ask(door))
}

#[test]
fn an_http2_request_reaches_the_region_as_a_good_http1_request() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let mut sender = http2(door).await;
        let answer = send(&mut sender, request(Method::POST, "https://gw.test/a%2fb?c=d", "hi")).await;
        assert_eq!((answer.status(), answer.headers()["x-anyfront-region"].as_bytes()), (StatusCode::OK, &b"a"[..]));
        assert_eq!(whole(answer).await.expect("whole"), "hello");
    });
    let seen = origin.only();
    assert_eq!((seen.line(), seen.body.as_slice()), ("POST /a%2fb?c=d HTTP/1.1", &b"hi"[..]));
    assert_eq!((seen.field("x-forwarded-proto"), seen.field("via")), (Some("https"), Some("2 here")));
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}

#[test]
fn the_authority_decides_and_a_host_beside_it_must_agree() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let mut sender = http2(door).await;
        for (uri, host, status) in [
            ("https://gw.test/x", None, 200),
            ("https://gw.test/x", Some("gw.test"), 200),
            ("https://gw.test/x", Some("GW.TEST"), 200),
            ("https://gw.test/x", Some("a.gw.test"), 400),
            ("https://other.test/x", None, 421),
            ("https://other.test/x", Some("gw.test"), 400),
            ("https://127.0.0.1/x", None, 421),
            ("https://user@gw.test/x", None, 400),
        ] {
            let mut asked = request(Method::GET, uri, "");
            if let Some(host) = host {
                asked.headers_mut().insert("host", host.parse().expect("a value"));
            }
            let answer = send(&mut sender, asked).await;
            assert_eq!(answer.status().as_u16(), status, "{uri} {host:?}");
        }
        let refused = send(&mut sender, request(Method::HEAD, "https://other.test/x", "")).await;
        assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(whole(refused).await.expect("no octet of a body in an answer to HEAD"), "");
    });
}

#[test]
fn the_limits_of_a_head_hold_in_http2_too() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let mut sender = http2(door).await;
        let with = |fields: HeaderMap| {
            let mut asked = request(Method::GET, "https://gw.test/x", "");
            *asked.headers_mut() = fields;
            asked
        };
        let fields = |count: usize| {
            let mut fields = HeaderMap::new();
            for _ in 1..count {
                fields.append("a", "b".parse().expect("a value"));
            }
            fields
        };
        let line = |octets: usize| {
            let mut fields = HeaderMap::new();
            fields.insert("a", "b".repeat(octets - 3).parse().expect("a value"));
            fields
        };
        for (fields, status) in [(fields(100), 200), (fields(101), 431), (line(8_192), 200), (line(8_193), 431)] {
            assert_eq!(send(&mut sender, with(fields)).await.status().as_u16(), status);
        }
        for (octets, status) in [(8_192 - 14, 200), (8_193 - 14, 431)] {
            let uri = format!("https://gw.test/{}", "x".repeat(octets));
            assert_eq!(send(&mut sender, request(Method::GET, &uri, "")).await.status().as_u16(), status);
        }
        // Past the whole: the stream ends one way or another, the connection lives.
        let mut many = line(8_000);
        many.insert("c", "d".repeat(8_000).parse().expect("a value"));
        many.insert("e", "f".repeat(8_000).parse().expect("a value"));
        match timeout(BOUND, sender.send_request(with(many))).await.expect("no hanging") {
            Ok(answer) => assert_eq!(answer.status().as_u16(), 431),
            Err(error) => println!("refused: {error}"),
        }
        assert_eq!(send(&mut sender, request(Method::GET, "https://gw.test/x", "")).await.status(), StatusCode::OK);
    });
}

#[test]
fn a_cut_answer_is_a_reset_stream_and_the_connection_goes_on() {
    let origin = Origin::start(|talk| {
        match talk.request.target() {
            "/length" => talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?,
            "/chunks" => talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?,
            _ => return talk.answer("hello"),
        }
        Ok(false)
    });
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let mut sender = http2(door).await;
        for path in ["length", "chunks"] {
            let answer = send(&mut sender, request(Method::GET, &format!("https://gw.test/{path}"), "")).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(whole(answer).await.is_err(), "{path}");
            let next = send(&mut sender, request(Method::GET, "https://gw.test/x", "")).await;
            assert_eq!(whole(next).await.expect("whole"), "hello");
        }
    });
}

/// How an HTTP/2 region treats a stream.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Answers 200.
    Serve,
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// `GOAWAY` that disowns the stream, and closes.
    Disown,
    /// `GOAWAY` that does not, and closes without an answer.
    Abandon,
    /// Half an answer, then `RST_STREAM`.
    Cut,
}

/// An HTTP/2 region, by hand: every stream of its connection number `n` meets `deeds[n]`, or the last.
async fn region(papers: &Papers, deeds: Vec<Deed>) -> (SocketAddr, Arc<AtomicU32>) {
    let acceptor = TlsAcceptor::from(papers.pair.server().expect("TLS"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let streams = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&streams);
    tokio::spawn(async move {
        let asked = Arc::new(Mutex::new(0));
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted, asked, deeds) =
                (acceptor.clone(), Arc::clone(&counted), Arc::clone(&asked), deeds.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let _ = speak(stream, || {
                    counted.fetch_add(1, SeqCst);
                    let mut asked = asked.lock().expect("no panic");
                    *asked += 1;
                    deeds[(*asked - 1).min(deeds.len() - 1)]
                })
                .await;
            });
        }
    });
    (address, streams)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn speak(mut io: server::TlsStream<TcpStream>, mut deed: impl FnMut() -> Deed) -> std::io::Result<()> {
    let mut preface = [0; 24];
    io.read_exact(&mut preface).await?;
    io.write_all(&frame(4, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        io.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4]) {
            (4, 0) => io.write_all(&frame(4, 1, 0, &[])).await?,
            (6, 0) => io.write_all(&frame(6, 1, 0, &payload)).await?,
            (1, _) => {
                // 0x88 is `:status: 200` in HPACK.
                let said = match deed() {
                    Deed::Serve => [frame(1, 4, stream, &[0x88]), frame(0, 1, stream, b"hello")].concat(),
                    Deed::Reset(code) => frame(3, 0, stream, &code.to_be_bytes()),
                    Deed::Disown => frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]),
                    Deed::Abandon => frame(7, 0, 0, &[&stream.to_be_bytes()[..], &[0, 0, 0, 0]].concat()),
                    Deed::Cut => {
                        [frame(1, 4, stream, &[0x88]), frame(0, 0, stream, b"he"), frame(3, 0, stream, &[0, 0, 0, 2])]
                            .concat()
                    }
                };
                io.write_all(&said).await?;
                if said[3] == 7 {
                    return io.shutdown().await;
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_region_that_refuses_a_stream_has_done_nothing_and_one_that_loses_it_may_have() {
    const REFUSED_STREAM: u32 = 7;
    const INTERNAL_ERROR: u32 = 2;
    for (deed, method, status, streams) in [
        (Deed::Reset(REFUSED_STREAM), Method::POST, 200, 2),
        (Deed::Disown, Method::POST, 200, 2),
        (Deed::Reset(INTERNAL_ERROR), Method::POST, 502, 1),
        (Deed::Abandon, Method::POST, 502, 1),
        (Deed::Reset(INTERNAL_ERROR), Method::GET, 200, 2),
        (Deed::Abandon, Method::GET, 200, 2),
    ] {
        let papers = Papers::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let (first, first_streams) = runtime.block_on(region(&papers, vec![deed]));
        let (second, second_streams) = runtime.block_on(region(&papers, vec![Deed::Serve]));
        let door = Door::start(&[("https", first), ("https", second)], "", &papers);
        let length = if method == Method::POST { "Content-Length: 2\r\n\r\nhi" } else { "\r\n" };
        let answer = door.ask(format!("{method} /x HTTP/1.1\r\nHost: gw.test\r\n{length}"));
        assert_eq!(answer.status(), status, "{deed:?} {method}: {answer:?}");
        let seen = first_streams.load(SeqCst) + second_streams.load(SeqCst);
        assert_eq!(seen, streams, "{deed:?} {method}: {answer:?}");
        drop(door);
        drop(runtime);
    }
}

#[test]
fn a_large_body_that_an_http2_region_refuses_is_served_elsewhere() {
    const REFUSED_STREAM: u32 = 7;
    let body: Vec<u8> = (0..16 << 20).map(|at: u32| at.to_be_bytes()[2]).collect();
    for deed in [Deed::Reset(REFUSED_STREAM), Deed::Disown] {
        let papers = Papers::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let (first, streams) = runtime.block_on(region(&papers, vec![deed]));
        let second = Origin::polite();
        let door = Door::start(&[("https", first), ("http", second.address)], "", &papers);
        let head = format!("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = door.ask([head.as_bytes(), &body].concat());
        assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("b")), "{deed:?}: {answer:?}");
        assert_eq!(streams.load(SeqCst), 1);
        assert!(second.only().body == body, "{deed:?}: octet by octet");
        drop(door);
        drop(runtime);
    }
}

#[test]
fn an_answer_cut_by_an_http2_region_never_looks_whole() {
    let papers = Papers::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let (address, _) = runtime.block_on(region(&papers, vec![Deed::Cut]));
    let door = Door::start(&[("https", address)], "", &papers);
    let answer = door.get("/x");
    // What came together with the reset may be lost with it.
    assert!(!answer.is_whole && matches!(answer.status(), 0 | 200), "{answer:?}");
    runtime.block_on(async {
        let mut sender = http2(&door).await;
        let asked = request(Method::GET, "https://gw.test/x", "");
        if let Ok(answer) = timeout(BOUND, sender.send_request(asked)).await.expect("no hanging") {
            assert!(whole(answer).await.is_err());
        }
    });
}

#[test]
fn tls_clients_of_http1_are_told_the_same() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        for (host, status) in [("gw.test", "200"), ("other.test", "421")] {
            let mut stream = door.tls(ALPN_HTTP1).await;
            let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            timeout(BOUND, stream.read_to_string(&mut answer)).await.expect("no hanging").expect("a clean end");
            assert_eq!(answer.split(' ').nth(1), Some(status));
        }
    });
}

/// All waits of one kind at once: they take as long as the longest.
#[test]
fn slow_clients_are_given_up_in_time_and_others_are_not() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let bound = Duration::from_secs(14);
    let clock = Clock::start();
    let drip = |mut client: Client, piece: &'static [u8], every: Duration| {
        client.stream.set_read_timeout(Some(every)).expect("a bound");
        let mut all = Vec::new();
        let mut octets = [0; 4_096];
        while clock.now() < Moment::at(bound) {
            client.say(piece);
            match client.stream.read(&mut octets) {
                Ok(0) => return (String::from_utf8_lossy(&all).into_owned(), true),
                Ok(read) => all.extend_from_slice(&octets[..read]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
                Err(_) => return (String::from_utf8_lossy(&all).into_owned(), true),
            }
        }
        (String::from_utf8_lossy(&all).into_owned(), false)
    };
    let every = Duration::from_millis(400);
    std::thread::scope(|scope| {
        let head = scope.spawn(|| {
            let mut client = door.client();
            client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n");
            drip(client, b"a: b\r\n", every)
        });
        let lines = scope.spawn(|| drip(door.client(), b"\r\n", every));
        let silent = scope.spawn(|| drip(door.client(), b"", every));
        let second = scope.spawn(|| {
            let mut client = door.client();
            client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            assert_eq!(client.answer().text(), "hello");
            drip(client, b"G", every)
        });
        let body = scope.spawn(|| {
            let mut client = door.client();
            client.say("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100000\r\n\r\n");
            drip(client, b"x", every)
        });
        let quick = scope.spawn(|| {
            // 2 KiB a second is slow and allowed.
            let mut client = door.client();
            client.say("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 16384\r\n\r\n");
            drip(client, &[b'x'; 1_024], every)
        });
        let preface = scope.spawn(|| {
            with_door(&door, async |door| {
                let mut stream = door.tls(ALPN_HTTP2).await;
                let mut octets = Vec::new();
                timeout(bound, stream.read_to_end(&mut octets)).await.is_ok()
            })
        });
        assert!(head.join().expect("no panic").1, "a head in drips");
        assert!(lines.join().expect("no panic").1, "empty lines in drips");
        assert!(silent.join().expect("no panic").1, "nothing at all");
        assert!(second.join().expect("no panic").1, "a second head in drips");
        let (text, is_over) = body.join().expect("no panic");
        assert!(text.starts_with("HTTP/1.1 408 ") && is_over, "a body in drips: {is_over} {text}");
        let (text, _) = quick.join().expect("no panic");
        assert!(text.starts_with("HTTP/1.1 200 "), "a slow body: {text}");
        assert!(preface.join().expect("no panic"), "TLS, then silence instead of HTTP/2");
    });
}

#[test]
#[ignore = "takes 45 s: the limits are constants"]
fn clients_that_take_nothing_are_given_up_and_their_regions_released() {
    let origin = Origin::start(|talk| {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        let piece = [b'x'; 65_536];
        loop {
            talk.say(piece)?;
        }
    });
    let door = Door::before(&[&origin]);
    let clock = Clock::start();
    with_door(&door, async |door| {
        let mut plain = TcpStream::connect(door.http).await.expect("a connection");
        plain.write_all(b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n").await.expect("sent");
        let mut sender = http2(door).await;
        let answer = send(&mut sender, request(Method::GET, "https://gw.test/x", "")).await;
        // Neither reads a thing; both stay.
        while clock.now() < Moment::at(Duration::from_secs(60)) {
            let both = tokio::task::block_in_place(|| origin.seen().len() == 2);
            assert!(both);
            let open = door.node.as_ref().expect("it runs").counters.open();
            if open == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("given up after {:?}", clock.now());
        assert!(clock.now() < Moment::at(Duration::from_secs(60)));
        drop((plain, answer));
    });
    origin.until("both regions are released", |_, ended| ended.len() == 2);
}

#[test]
fn connections_inherit_from_the_listener_how_long_a_client_may_take_nothing() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let stall = Duration::from_secs(30);
    listener.set_tcp_user_timeout(Some(stall)).expect("Linux has it");
    listener.set_tcp_nodelay(true).expect("set");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    listener.listen(1).expect("listening");
    let address = listener.local_addr().expect("bound").as_socket().expect("an address");
    let _client = std::net::TcpStream::connect(address).expect("a connection");
    let (accepted, _) = listener.accept().expect("one");
    assert_eq!(accepted.tcp_user_timeout().expect("Linux has it"), Some(stall));
    assert!(accepted.tcp_nodelay().expect("a flag"));
}

#[test]
fn an_empty_body_is_not_a_stream() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    with_door(&door, async |door| {
        let stream = TokioIo::new(door.tls(ALPN_HTTP2).await);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = Request::post("https://gw.test/x").body(Empty::<Bytes>::new()).expect("a request");
        let answer = timeout(BOUND, sender.send_request(request)).await.expect("no hanging").expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    });
    let seen = origin.only();
    assert_eq!((seen.body.len(), seen.field("transfer-encoding")), (0, None));
}
