//! WebSockets through a real node, by both versions of HTTP on both sides: how they open, and every way they end.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;

use anyfront::moment::{Clock, Moment};
use anyfront::tls::{ALPN_HTTP1, ALPN_HTTP2};
use bytes::Bytes;
use front::{BOUND, Door, Papers};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::{http1 as server1, http2 as server2};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

/// What a region speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/2 by TLS, and nothing else.
    Http2,
    /// HTTP/2 in the clear.
    Http2Clear,
}

const EVERY_WAY: [Speaks; 3] = [Speaks::Http1, Speaks::Http2, Speaks::Http2Clear];

/// A region that opens WebSockets, and what it has met.
#[derive(Clone)]
struct Region {
    speaks: Speaks,
    address: SocketAddr,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    heads: Mutex<Vec<(Method, Version, HeaderMap)>>,
    /// How the WebSockets ended, as it saw them: a code, or what else.
    ends: Mutex<Vec<String>>,
    changed: Notify,
}

impl Region {
    async fn start(speaks: Speaks, papers: &Papers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let book = Arc::new(Book::default());
        let mut tls = (*papers.pair.server().expect("TLS")).clone();
        tls.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (book, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match speaks {
                        Speaks::Http1 => speak1(stream, book).await,
                        Speaks::Http2Clear => speak2(stream, book).await,
                        Speaks::Http2 => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                speak2(stream, book).await;
                            }
                        }
                    }
                });
            }
        });
        Self { speaks, address, book }
    }

    fn origin(&self) -> (&'static str, SocketAddr) {
        let scheme = match self.speaks {
            Speaks::Http1 => "http",
            Speaks::Http2 => "https",
            Speaks::Http2Clear => "h2c",
        };
        (scheme, self.address)
    }

    /// The ends it has seen, once there are so many.
    async fn ends(&self, count: usize) -> Vec<String> {
        let wait = async {
            loop {
                let changed = self.book.changed.notified();
                let ends = self.book.ends.lock().expect("no panic").clone();
                if ends.len() >= count {
                    return ends;
                }
                changed.await;
            }
        };
        timeout(BOUND, wait).await.expect("they end")
    }

    fn heads(&self) -> Vec<(Method, Version, HeaderMap)> {
        self.book.heads.lock().expect("no panic").clone()
    }
}

async fn speak1(stream: TcpStream, book: Arc<Book>) {
    let death = Arc::new(Notify::new());
    let service = service_fn(|request| open(request, Arc::clone(&book), Arc::clone(&death)));
    let _ = server1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn speak2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, book: Arc<Book>) {
    let death = Arc::new(Notify::new());
    let service = service_fn(|request| open(request, Arc::clone(&book), Arc::clone(&death)));
    let mut builder = server2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    tokio::select! {
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = death.notified() => {}
    }
}

fn open(
    mut request: Request<Incoming>,
    book: Arc<Book>,
    death: Arc<Notify>,
) -> Ready<Result<Response<Empty<Bytes>>, Infallible>> {
    let head = (request.method().clone(), request.version(), request.headers().clone());
    book.heads.lock().expect("no panic").push(head);
    let mut answer = Response::new(Empty::new());
    let path = request.uri().path().to_owned();
    match &*path {
        "/no" => *answer.status_mut() = StatusCode::FORBIDDEN,
        "/ok" => {}
        "/unserved" => {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer.headers_mut().insert("edge-unserved", HeaderValue::from_static("1"));
        }
        _ => {
            let upgrade = hyper::upgrade::on(&mut request);
            let headers = answer.headers_mut();
            if let Some(wish) = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL) {
                headers.insert(header::SEC_WEBSOCKET_PROTOCOL, wish.clone());
            }
            if request.method() == Method::GET {
                let key = request.headers().get(header::SEC_WEBSOCKET_KEY).expect("a key");
                let accept = if path == "/wrong" { "nonsense".to_owned() } else { derive_accept_key(key.as_bytes()) };
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().expect("a value"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let end = behave(&path, upgraded, &death).await;
                book.ends.lock().expect("no panic").push(end);
                book.changed.notify_waiters();
            });
        }
    }
    ready(Ok(answer))
}

/// What the region does with an open WebSocket; how it ended for it.
async fn behave(path: &str, upgraded: Upgraded, death: &Notify) -> String {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    if path == "/close" {
        let _ = socket.close(Some(CloseFrame { code: CloseCode::Policy, reason: "no more".into() })).await;
    }
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1_005, |frame| u16::from(frame.code));
                // The answer to it is sent with the next turn.
                let _ = timeout(BOUND, socket.next()).await;
                return code.to_string();
            }
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                if path == "/torn" {
                    let inner = socket.get_mut();
                    let _ = inner.write_all(&[0x82, 100, 1, 2, 3]).await;
                    let _ = inner.flush().await;
                } else if socket.send(message).await.is_err() {
                    return "lost".to_owned();
                }
                if matches!(path, "/die" | "/torn") {
                    // What was written leaves first; then the connection goes without a word.
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    death.notify_one();
                    return "died".to_owned();
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return "lost".to_owned(),
        }
    }
}

/// A client's WebSocket, whatever it goes by.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

type Socket = WebSocketStream<Box<dyn Wire>>;

/// By HTTP/1.1: the answer's head, and the WebSocket if it is open.
async fn by_http1(door: &Door, path: &str) -> Result<(Response<()>, Socket), StatusCode> {
    let stream: Box<dyn Wire> = Box::new(TcpStream::connect(door.http).await.expect("a connection"));
    let request = Request::builder()
        .uri(format!("ws://gw.test{path}"))
        .header("host", "gw.test")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .expect("a request");
    match timeout(BOUND, tokio_tungstenite::client_async(request, stream)).await.expect("no hanging") {
        Ok((socket, answer)) => Ok((answer.map(drop), socket)),
        Err(Error::Http(answer)) => Err(answer.status()),
        Err(error) => panic!("{error}"),
    }
}

fn connect_request(path: &str, protocol: Option<&'static str>) -> Request<Empty<Bytes>> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri(if protocol.is_some() { format!("https://gw.test{path}") } else { "gw.test:443".to_owned() })
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(Empty::new())
        .expect("a request");
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(Protocol::from_static(protocol));
    }
    request
}

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

async fn http2(door: &Door) -> Sender {
    let stream = TokioIo::new(door.tls(ALPN_HTTP2).await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(async move {
        let mut connection = Box::pin(connection);
        let _ = connection.as_mut().await;
    });
    sender
}

async fn open_stream(sender: &mut Sender, path: &str) -> Result<(Response<()>, Socket), StatusCode> {
    let request = connect_request(path, Some("websocket"));
    let mut answer = timeout(BOUND, sender.send_request(request)).await.expect("no hanging").expect("an answer");
    if answer.status() != StatusCode::OK {
        return Err(answer.status());
    }
    let upgraded = hyper::upgrade::on(&mut answer).await.expect("it opens");
    let stream: Box<dyn Wire> = Box::new(TokioIo::new(upgraded));
    Ok((answer.map(drop), WebSocketStream::from_raw_socket(stream, Role::Client, None).await))
}

async fn by_http2(door: &Door, path: &str) -> Result<(Response<()>, Socket), StatusCode> {
    let mut sender = http2(door).await;
    let opened = open_stream(&mut sender, path).await;
    if opened.is_ok() {
        // The connection lives as long as its stream.
        tokio::spawn(async move {
            let _sender = sender;
            std::future::pending::<()>().await;
        });
    }
    opened
}

async fn by(is_http2: bool, door: &Door, path: &str) -> Result<(Response<()>, Socket), StatusCode> {
    if is_http2 { by_http2(door, path).await } else { by_http1(door, path).await }
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    timeout(BOUND, socket.next()).await.expect("no hanging")
}

/// The code with which it is closed; anything else fails the test.
async fn closed_with(socket: &mut Socket) -> u16 {
    match next(socket).await {
        Some(Ok(Message::Close(Some(frame)))) => {
            // Answered, and heard out to the end.
            assert!(!matches!(next(socket).await, Some(Ok(_))), "nothing follows a Close");
            frame.code.into()
        }
        other => panic!("no Close: {other:?}"),
    }
}

/// The code with which it is closed, read by hand: the library does not know 1014. Answered, and heard out to a clean end.
async fn closed_raw_with(socket: &mut Socket) -> u16 {
    let stream = socket.get_mut();
    let mut head = [0; 4];
    timeout(BOUND, stream.read_exact(&mut head)).await.expect("no hanging").expect("a Close");
    assert_eq!((head[0], head[1] & 0x80), (0x88, 0), "a Close without a mask");
    let mut reason = vec![0; usize::from(head[1]) - 2];
    timeout(BOUND, stream.read_exact(&mut reason)).await.expect("no hanging").expect("a reason");
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, head[2], head[3]]).await.expect("it is taken");
    stream.flush().await.expect("it is taken");
    let mut rest = Vec::new();
    timeout(BOUND, stream.read_to_end(&mut rest)).await.expect("no hanging").expect("a clean end");
    assert!(rest.is_empty(), "nothing follows a Close");
    u16::from_be_bytes([head[2], head[3]])
}

async fn says(socket: &mut Socket, message: &str) -> Option<String> {
    socket.send(Message::text(message)).await.ok()?;
    match next(socket).await {
        Some(Ok(Message::Text(text))) => Some(text.to_string()),
        _ => None,
    }
}

/// Node and runtime end in an order that both like.
/// Asks of a node, with lines for `[forward]`, in front of one region: for everything that regions speak.
fn every_way(forward: &str, ask: &impl AsyncFn(Speaks, &Region, &Door)) {
    let papers = Papers::new();
    for speaks in EVERY_WAY {
        run(async || {
            let region = Region::start(speaks, &papers).await;
            let door = Door::start(&[region.origin()], forward, &papers);
            ask(speaks, &region, &door).await;
            tokio::task::block_in_place(|| drop(door));
        });
    }
}

fn run<T>(ask: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(ask())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[test]
fn every_version_meets_every_version_and_each_sees_only_its_own() {
    let papers = Papers::new();
    for speaks in EVERY_WAY {
        let region = run(async || {
            let region = Region::start(speaks, &papers).await;
            let door = Door::start(&[region.origin()], "", &papers);
            for is_http2 in [false, true] {
                let (answer, mut socket) = by(is_http2, &door, "/echo").await.expect("it opens");
                let headers = answer.headers();
                assert_eq!(headers["sec-websocket-protocol"], "chat", "{speaks:?} {is_http2}");
                assert_eq!(headers["x-anyfront-region"], "a");
                for name in ["connection", "upgrade", "sec-websocket-accept"] {
                    assert_eq!(headers.contains_key(name), !is_http2, "{name} {speaks:?} {is_http2}");
                }
                assert_eq!(says(&mut socket, "hello").await.as_deref(), Some("hello"), "{speaks:?} {is_http2}");
                let long = "x".repeat(300_000);
                assert_eq!(says(&mut socket, &long).await, Some(long));
                let close = CloseFrame { code: CloseCode::Library(4_001), reason: "enough".into() };
                socket.close(Some(close)).await.expect("sent");
                assert_eq!(closed_with(&mut socket).await, 4_001, "the region's own answer");
            }
            assert_eq!(region.ends(2).await, ["4001", "4001"]);
            let counted = door.node.as_ref().expect("it runs").counters.clone();
            until("both are counted", || counted.total(|door| &door.websockets.closed) == 2).await;
            until("none is open", || counted.total(|door| &door.websockets.open) == 0).await;
            tokio::task::block_in_place(|| drop(door));
            region
        });
        for (method, version, headers) in region.heads() {
            let is_stream = version == Version::HTTP_2;
            assert_eq!(is_stream, speaks != Speaks::Http1);
            assert_eq!(method, if is_stream { Method::CONNECT } else { Method::GET });
            for name in ["connection", "upgrade", "sec-websocket-key"] {
                assert_eq!(headers.contains_key(name), !is_stream, "{name} in {version:?}");
            }
            assert_eq!(
                (&headers["sec-websocket-version"], &headers["sec-websocket-protocol"]),
                (&HeaderValue::from_static("13"), &HeaderValue::from_static("chat"))
            );
        }
    }
}

#[test]
fn what_does_not_open_is_an_answer_like_any_other() {
    let papers = Papers::new();
    for speaks in EVERY_WAY {
        run(async || {
            let (first, second) = (Region::start(speaks, &papers).await, Region::start(speaks, &papers).await);
            let door = Door::start(&[first.origin(), second.origin()], "", &papers);
            for is_http2 in [false, true] {
                let status = by(is_http2, &door, "/no").await.map(drop).expect_err("it does not open");
                assert_eq!(status, StatusCode::FORBIDDEN, "{speaks:?} {is_http2}");
                // Both say that they have done nothing, so both are asked.
                let before = second.heads().len();
                let status = by(is_http2, &door, "/unserved").await.map(drop).expect_err("it does not open");
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(second.heads().len(), before + 1, "{speaks:?} {is_http2}");
            }
            tokio::task::block_in_place(|| drop(door));
        });
    }
    run(async || {
        let region = Region::start(Speaks::Http1, &papers).await;
        let door = Door::start(&[region.origin()], "", &papers);
        // On a stream 200 would mean open, and a wrong answer to the key is none.
        for (path, expected) in [("/ok", StatusCode::NOT_IMPLEMENTED), ("/wrong", StatusCode::BAD_GATEWAY)] {
            let status = by_http2(&door, path).await.map(drop).expect_err("it does not open");
            assert_eq!(status, expected, "{path}");
        }
        tokio::task::block_in_place(|| drop(door));
    });
}

#[test]
fn a_region_that_is_gone_before_it_opens_is_passed_over() {
    let papers = Papers::new();
    run(async || {
        let region = Region::start(Speaks::Http1, &papers).await;
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let silent = front::Origin::start(|_| Ok(false));
        let door = Door::start(&[("http", gone), ("http", silent.address), region.origin()], "", &papers);
        for is_http2 in [false, true] {
            let (answer, mut socket) = by(is_http2, &door, "/echo").await.expect("it opens");
            assert_eq!(answer.headers()["x-anyfront-region"], "c", "{is_http2}");
            assert_eq!(says(&mut socket, "hello").await.as_deref(), Some("hello"));
        }
        tokio::task::block_in_place(|| drop(door));
    });
}

#[test]
fn no_other_connect_is_carried() {
    let papers = Papers::new();
    run(async || {
        let region = Region::start(Speaks::Http1, &papers).await;
        let door = Door::start(&[region.origin()], "", &papers);
        let mut sender = http2(&door).await;
        for protocol in [None, Some("connect-udp"), Some("WebSocket"), Some("websocket2")] {
            let request = connect_request("/echo", protocol);
            let answer = timeout(BOUND, sender.send_request(request)).await.expect("no hanging").expect("an answer");
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{protocol:?}");
        }
        assert!(region.heads().is_empty());
        tokio::task::block_in_place(|| drop(door));
    });
}

#[test]
fn a_region_that_dies_between_frames_is_told_to_the_client() {
    every_way("", &async |speaks, _, door| {
        for is_http2 in [false, true] {
            let (_, mut socket) = by(is_http2, door, "/die").await.expect("it opens");
            assert_eq!(says(&mut socket, "last words").await.as_deref(), Some("last words"));
            assert_eq!(closed_raw_with(&mut socket).await, 1_014, "{speaks:?} {is_http2}");
        }
        let counted = door.node.as_ref().expect("it runs").counters.clone();
        until("both are counted", || counted.total(|door| &door.websockets.region_lost) == 2).await;
    });
}

#[test]
fn a_region_that_dies_inside_a_frame_is_a_cut_and_never_an_end() {
    every_way("", &async |speaks, _, door| {
        // By HTTP/1.1 the connection is reset.
        let (_, mut socket) = by_http1(door, "/torn").await.expect("it opens");
        socket.send(Message::text("x")).await.expect("sent");
        let mut octets = Vec::new();
        let read = timeout(BOUND, socket.get_mut().read_to_end(&mut octets)).await.expect("no hanging");
        let error = read.expect_err("no clean end");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{speaks:?}");
        // By HTTP/2 the stream is, and the connection goes on.
        let (mut sender, connection) = h2::client::handshake(door.tls(ALPN_HTTP2).await).await.expect("HTTP/2");
        tokio::spawn(connection);
        for _ in 0..2 {
            sender = sender.ready().await.expect("ready");
            until("it is announced", || sender.is_extended_connect_protocol_enabled()).await;
            let mut request =
                Request::builder().method(Method::CONNECT).uri("https://gw.test/torn").body(()).expect("a request");
            request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
            let (answer, mut sending) = sender.send_request(request, false).expect("sent");
            let answer = timeout(BOUND, answer).await.expect("no hanging").expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            sending.send_data(Bytes::from_static(&[0x81, 0x81, 0, 0, 0, 0, b'x']), false).expect("sent");
            let mut body = answer.into_body();
            let end = loop {
                match timeout(BOUND, body.data()).await.expect("no hanging") {
                    Some(Ok(data)) => drop(body.flow_control().release_capacity(data.len())),
                    end => break end,
                }
            };
            let error = end.expect("no clean end").expect_err("it is an error");
            assert!(error.is_reset() && error.is_remote(), "{speaks:?}: {error}");
        }
    });
}

#[test]
fn a_client_that_dies_takes_its_region_along_at_once() {
    every_way("", &async |speaks, region, door| {
        let clock = Clock::start();
        for (at, is_http2) in [false, true].into_iter().enumerate() {
            let (_, mut socket) = by(is_http2, door, "/echo").await.expect("it opens");
            assert_eq!(says(&mut socket, "hello").await.as_deref(), Some("hello"));
            drop(socket);
            assert_eq!(region.ends(at + 1).await[at], "lost", "{speaks:?} {is_http2}");
        }
        assert!(clock.now() < Moment::at(BOUND / 2), "only the idle limit has ended it");
        let counted = door.node.as_ref().expect("it runs").counters.clone();
        until("both are counted", || counted.total(|door| &door.websockets.client_lost) == 2).await;
    });
}

#[test]
fn a_region_may_close_first() {
    every_way("", &async |speaks, region, door| {
        for is_http2 in [false, true] {
            let (_, mut socket) = by(is_http2, door, "/close").await.expect("it opens");
            assert_eq!(closed_with(&mut socket).await, 1_008, "{speaks:?} {is_http2}");
        }
        assert_eq!(region.ends(2).await, ["1008", "1008"], "the client's answer gets there");
        let counted = door.node.as_ref().expect("it runs").counters.clone();
        until("both are counted", || counted.total(|door| &door.websockets.closed) == 2).await;
    });
}

#[test]
fn silence_both_ways_ends_it_and_any_octet_prolongs_it() {
    every_way("websocket_idle_timeout = \"1500ms\"", &async |speaks, region, door| {
        for is_http2 in [false, true] {
            let (_, mut socket) = by(is_http2, door, "/echo").await.expect("it opens");
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert_eq!(says(&mut socket, "still here").await.as_deref(), Some("still here"));
            }
            assert_eq!(closed_with(&mut socket).await, 1_001, "{speaks:?} {is_http2}");
        }
        assert_eq!(region.ends(2).await, ["1001", "1001"], "{speaks:?}");
        let counted = door.node.as_ref().expect("it runs").counters.clone();
        until("both are counted", || counted.total(|door| &door.websockets.idle) == 2).await;
    });
}

#[test]
fn a_node_that_stops_cuts_none_of_two_hundred_within_the_grace_period_and_closes_each_at_its_end() {
    const COUNT: usize = 200;
    let grace = Duration::from_secs(12);
    let papers = Papers::new();
    run(async || {
        let (first, second) =
            (Region::start(Speaks::Http1, &papers).await, Region::start(Speaks::Http2, &papers).await);
        let clear = Door::with_grace(&[first.origin()], &papers, grace);
        let secure = Door::with_grace(&[second.origin()], &papers, grace);
        let mut sockets = Vec::new();
        let mut sender = http2(&secure).await;
        for at in 0..COUNT {
            let opened = match at % 4 {
                0 => open_stream(&mut sender, "/echo").await,
                1 => by_http1(&secure, "/echo").await,
                _ => by_http1(&clear, "/echo").await,
            };
            sockets.push(opened.expect("it opens").1);
        }
        let clock = Clock::start();
        let stops: Vec<_> =
            [clear, secure].into_iter().map(|door| tokio::task::spawn_blocking(move || drop(door))).collect();
        // Every one of them lives on: it answers, again and again, through most of the grace period.
        while clock.now() < Moment::at(grace / 3) {
            for (at, socket) in sockets.iter_mut().enumerate() {
                assert_eq!(
                    says(socket, "alive").await.as_deref(),
                    Some("alive"),
                    "number {at} after {:?}",
                    clock.now()
                );
            }
        }
        let ends = sockets.iter_mut().map(closed_with);
        let codes = futures_util::future::join_all(ends).await;
        assert_eq!(codes, vec![1_001; COUNT]);
        assert!(clock.now() >= Moment::at(grace - anyfront::limits::WEBSOCKET_FAREWELL), "too soon: {:?}", clock.now());
        for stop in stops {
            stop.await.expect("it stops");
        }
        assert!(clock.now() < Moment::at(grace + BOUND));
        let told = [first.ends(COUNT / 2).await, second.ends(COUNT / 2).await].concat();
        assert_eq!(told, vec!["1001".to_owned(); COUNT], "the regions are told the same");
    });
}

#[test]
fn a_tls_client_of_http1_is_told_the_same() {
    let papers = Papers::new();
    run(async || {
        let region = Region::start(Speaks::Http1, &papers).await;
        let door = Door::start(&[region.origin()], "", &papers);
        let mut stream = door.tls(ALPN_HTTP1).await;
        let request = "GET /die HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(BOUND, stream.read_u8()).await.expect("no hanging").expect("an octet"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let stream: Box<dyn Wire> = Box::new(stream);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        assert_eq!(says(&mut socket, "x").await.as_deref(), Some("x"));
        assert_eq!(closed_raw_with(&mut socket).await, 1_014);
        tokio::task::block_in_place(|| drop(door));
    });
}
