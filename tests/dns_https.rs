//! DNS over HTTPS on real sockets, as RFC 8484 has it: at the names of name servers, and nowhere where regions serve.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;
#[path = "common/tls.rs"]
mod tls;
#[path = "common/zone.rs"]
mod zone;

use anyfront::limits::{DNS_MESSAGE_BYTES_MAX, SERVICE_BODY_TIMEOUT};
use anyfront::moment::{Clock, Moment};
use anyfront::node::{Node, Options};
use anyfront::tls::ALPN_HTTP2;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use front::Origin;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tempfile::TempDir;
use tls::{BOUND, client, until};
use tokio_rustls::TlsConnector;
use zone::{ZONE, any, file_at, options, question};

const NS: &str = "ns1.gw.test";

struct Stand {
    http: SocketAddr,
    https: SocketAddr,
    node: Option<Node>,
    folder: TempDir,
    origin: Origin,
}

/// What came of a request.
#[derive(Debug)]
struct Told {
    status: u16,
    /// In small letters.
    head: String,
    body: Vec<u8>,
}

impl Stand {
    fn start() -> Self {
        let (folder, origin) = (tempfile::tempdir().expect("a folder"), Origin::polite());
        let options = options(&folder, "");
        std::fs::write(&options.config, file_at(origin.address, ZONE)).expect("written");
        let options = Options { https: vec![any().into()], dns: Vec::new(), dot: Vec::new(), ..options };
        let node = Node::start(options).unwrap_or_else(|error| panic!("{error}"));
        Self { http: node.http[0], https: node.https[0], node: Some(node), folder, origin }
    }

    fn connect(&self, server_name: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from(server_name.to_owned()).expect("a name");
        let config = Arc::new(client(None, &[&TLS13]));
        let connection = ClientConnection::new(config, name).expect("a connection");
        StreamOwned::new(connection, bounded(self.https))
    }

    /// Sends a request by HTTP/1.1 on a connection of its own.
    fn ask(&self, host: &str, line: &str, fields: &str, body: &[u8]) -> Told {
        let mut stream = self.connect(host);
        say(&mut stream, host, line, fields, body)
    }

    fn get(&self, message: &[u8]) -> Told {
        self.ask(NS, &format!("GET {}", target(message)), "", b"")
    }

    fn post(&self, message: &[u8]) -> Told {
        self.ask(NS, "POST /dns-query", "Content-Type: application/dns-message\r\n", message)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }
}

fn bounded(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    stream.set_write_timeout(Some(BOUND)).expect("a bound");
    stream
}

fn target(message: &[u8]) -> String {
    format!("/dns-query?dns={}", URL_SAFE_NO_PAD.encode(message))
}

fn say(stream: &mut (impl Read + Write), host: &str, line: &str, fields: &str, body: &[u8]) -> Told {
    let has_body = !body.is_empty() || line.starts_with("POST");
    let length = if has_body { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}\r\n");
    // Whoever refuses a body may have closed before its end.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).and_then(|()| stream.flush());
    hear(stream, line.starts_with("HEAD"))
}

fn hear(stream: &mut impl Read, is_head: bool) -> Told {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a head");
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let mut body = vec![0; if is_head { 0 } else { length.expect("a length") }];
    stream.read_exact(&mut body).expect("a body");
    Told { status, head, body }
}

impl Told {
    /// It is the answer to the question of that id.
    #[track_caller]
    fn answers(&self, id: u16) {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.head.contains("content-type: application/dns-message\r\n"), "{}", self.head);
        assert!(self.head.contains("\r\ncache-control: "), "{}", self.head);
        assert!(self.head.contains("\r\nx-request-id: "), "{}", self.head);
        assert_eq!(self.body[..2], id.to_be_bytes(), "{self:?}");
        assert!(self.body[2] & 0x80 != 0, "it is an answer");
    }

    #[track_caller]
    fn refuses(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(String::from_utf8_lossy(&self.body).contains(&format!("\"code\":\"{code}\"")), "{self:?}");
        assert!(self.head.contains("cache-control: no-store"), "{}", self.head);
    }
}

#[test]
fn a_question_is_asked_with_get_and_with_post_and_a_connection_goes_on() {
    let stand = Stand::start();
    stand.get(&question(7, "app.gw.test")).answers(7);
    stand.post(&question(8, "app.gw.test")).answers(8);
    let mut stream = stand.connect(NS);
    for id in 0..5 {
        let line = format!("GET {}", target(&question(id, "app.gw.test")));
        say(&mut stream, NS, &line, "Accept: application/dns-message\r\n", b"").answers(id);
    }
    let line = format!("HEAD {}", target(&question(9, "app.gw.test")));
    let told = say(&mut stream, NS, &line, "", b"");
    assert!(told.status == 200 && told.head.contains("application/dns-message"), "{told:?}");
    let length = stand.get(&question(9, "app.gw.test")).body.len();
    assert!(told.head.contains(&format!("content-length: {length}\r\n")), "as with GET: {told:?}");
    say(&mut stream, NS, "POST /dns-query", "content-type: Application/DNS-Message\r\n", &question(1, "x.test"))
        .answers(1);
}

#[test]
fn an_answer_is_kept_as_long_as_it_may_be_believed_and_by_nobody_else() {
    let stand = Stand::start();
    let told = |name: &str| {
        let told = stand.get(&question(1, name));
        let kept = told.head.lines().find_map(|line| line.strip_prefix("cache-control: ")).map(str::to_owned);
        (told.body[3] & 0xF, u16::from_be_bytes([told.body[6], told.body[7]]), kept.expect("it is said"))
    };
    // Until answers are prepared nothing is known.
    until("there are answers", || told("app.gw.test").1 == 1);
    let (code, _, kept) = told("app.gw.test");
    let age: u32 = kept.strip_prefix("private, max-age=").and_then(|age| age.parse().ok()).expect(&kept);
    assert!(code == 0 && (20..=60).contains(&age), "a minute at most: {kept}");
    assert_eq!(told("nothing.gw.test"), (3, 0, "private, max-age=60".to_owned()), "as SOA says");
    assert_eq!(told("other.test"), (5, 0, "no-store".to_owned()));
}

#[test]
fn whatever_is_no_question_is_refused_with_its_own_status() {
    let stand = Stand::start();
    let get = |query: &str| stand.ask(NS, &format!("GET /dns-query{query}"), "", b"");
    get("").refuses(400, "no_question");
    get("?name=app.gw.test&type=A").refuses(400, "no_question");
    let padded = URL_SAFE.encode(question(1, "app.gw.tes"));
    assert!(padded.ends_with('='), "{padded}");
    get(&format!("?dns={padded}")).refuses(400, "bad_question");
    get("?dns=AA").refuses(400, "bad_question");
    let mut an_answer = question(1, "app.gw.test");
    an_answer[2] |= 0x80;
    stand.get(&an_answer).refuses(400, "bad_question");
    stand.post(b"").refuses(400, "bad_question");
    let put = stand.ask(NS, "PUT /dns-query", "", b"");
    put.refuses(405, "method_not_allowed");
    assert!(put.head.contains("allow: get, head, post\r\n"), "{}", put.head);
    let post = |fields| stand.ask(NS, "POST /dns-query", fields, &question(1, "app.gw.test"));
    post("").refuses(415, "unsupported_media_type");
    post("Content-Type: application/json\r\n").refuses(415, "unsupported_media_type");
    post("Content-Type: application/dns-message\r\nContent-Type: text/html\r\n").refuses(415, "unsupported_media_type");
    stand.ask(NS, "GET /dns-query/", "", b"").refuses(421, "unknown_host");
}

#[test]
fn a_question_may_be_as_long_as_any_and_one_octet_more_is_refused_before_it_has_come() {
    let stand = Stand::start();
    let mut longest = question(3, "app.gw.test");
    longest.resize(DNS_MESSAGE_BYTES_MAX, 0);
    stand.post(&longest).answers(3);
    longest.push(0);
    stand.post(&longest).refuses(413, "body_too_large");
    // Without a length it is known later.
    let mut stream = stand.connect(NS);
    let head =
        format!("POST /dns-query HTTP/1.1\r\nHost: {NS}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", longest.len());
    let _ = stream.write_all(&[head.as_bytes(), &longest, b"\r\n0\r\n\r\n"].concat()).and_then(|()| stream.flush());
    hear(&mut stream, false).refuses(413, "body_too_large");
}

#[test]
fn a_question_that_does_not_come_is_not_waited_for() {
    let stand = Stand::start();
    let clock = Clock::start();
    let mut stream = stand.connect(NS);
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nHost: {NS}\r\nContent-Type: application/dns-message\r\nContent-Length: 40\r\n\r\nx"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).expect("sent");
    hear(&mut stream, false).refuses(408, "body_too_slow");
    assert!(clock.now() >= Moment::at(SERVICE_BODY_TIMEOUT));
}

#[test]
fn it_is_served_where_dns_is_meant_and_never_where_regions_serve() {
    let stand = Stand::start();
    let line = format!("GET {}", target(&question(1, "app.gw.test")));
    stand.ask("gw.test", &line, "", b"").answers(1);
    say(&mut stand.connect(NS), "NS1.gw.test.:443", &line, "", b"").answers(1);
    let own = stand.ask("app.gw.test", &line, "", b"");
    assert_eq!((own.status, &own.body[..]), (200, &b"hello"[..]), "it is the region's");
    assert!(stand.origin.only().head.starts_with("GET /dns-query?dns="));
    stand.ask("other.gw.test", &line, "", b"").refuses(421, "unknown_host");
    // In the clear nobody is asked what others may read.
    let mut stream = bounded(stand.http);
    say(&mut stream, NS, &line, "", b"").refuses(421, "unknown_host");
}

#[test]
fn a_zone_that_is_gone_from_the_file_is_asked_nowhere() {
    let stand = Stand::start();
    stand.get(&question(1, "app.gw.test")).answers(1);
    let change = |tables: &str| {
        let node = stand.node.as_ref().expect("it runs");
        std::fs::write(stand.folder.path().join("regions.toml"), file_at(stand.origin.address, tables))
            .expect("written");
        node.reload();
        let is_there = !tables.is_empty();
        until("the file is applied", || node.published.load().topology.dns.is_some() == is_there);
    };
    change("");
    stand.get(&question(2, "app.gw.test")).refuses(421, "unknown_host");
    change(ZONE);
    stand.get(&question(3, "app.gw.test")).answers(3);
}

#[tokio::test]
async fn many_questions_share_a_connection_of_http2() {
    let stand = Stand::start();
    let mut config = client(None, &[&TLS13]);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    let stream = tokio::net::TcpStream::connect(stand.https).await.expect("a connection");
    let name = ServerName::try_from(NS).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    let (sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let answers = (0..50_u16).map(|id| {
        let mut sender = sender.clone();
        let message = question(id, "app.gw.test");
        async move {
            let request = if id % 2 == 0 {
                let uri = format!("https://{NS}{}", target(&message));
                Request::get(uri).body(Full::default())
            } else {
                let request = Request::post(format!("https://{NS}/dns-query"));
                request.header("content-type", "application/dns-message").body(Full::from(message))
            };
            let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()["content-type"], "application/dns-message");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body[..2], id.to_be_bytes());
        }
    });
    tokio::time::timeout(BOUND, futures_util::future::join_all(answers)).await.expect("in time");
    drop(sender);
    tokio::task::spawn_blocking(move || drop(stand)).await.expect("it stops");
}
