//! A node gets its certificate by itself: ordered from a real directory that asks the node's own DNS, shown by HTTPS and DNS
//! over TLS, renewed under clients that notice nothing, and kept over a restart when there is no directory any more.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/needs.rs"]
mod needs;
#[path = "common/pebble.rs"]
mod pebble;
#[path = "common/tls.rs"]
mod tls;

use anyfront::node::{Node, Options};
use anyfront::tls::ALPN_DNS;
use pebble::{Pebble, Wish, trusting};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tempfile::TempDir;
use tls::{Authority, BOUND, client, file, hostname, put, put_pair, until};

/// A node in a folder of its own.
struct Stand {
    node: Option<Node>,
    dns: SocketAddr,
    folder: TempDir,
}

/// An address of loopback that nobody else has until the node does, however many tests run beside this one: of this process
/// by its id, and of this test by its turn.
fn free() -> SocketAddr {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, SeqCst);
    assert!(turn < 8, "three bits are for it");
    // What is left of 127.0.0.0/8: twenty bits of the id below one that is always there, so that it is never 127.0.0.1.
    let host = 1 << 23 | (std::process::id() & 0xf_ffff) << 3 | turn;
    (Ipv4Addr::from_bits(127 << 24 | host), 5_353).into()
}

/// `regions.toml` whose certificates come from `directory`.
fn config(directory: Option<&str>) -> String {
    let zone = "[zone]\nnameservers = [\"ns.gw.test\"]\nhostmaster = \"hostmaster@gw.test\"\n";
    let acme = directory.map(|url| format!("[acme]\ndirectory = \"{url}\"\nauthority = \"authority.pem\"\n"));
    let tables = format!("{}{zone}{}", hostname("app.gw.test", ""), acme.unwrap_or_default());
    file(([127, 0, 0, 1], 9).into(), &tables)
        .replace("longitude = 0.0\n[probe]", "longitude = 0.0\naddresses = [\"192.0.2.1\"]\n[probe]")
}

/// What the nodes of this process log is shown with a test that fails: a wait in vain does not say why by itself.
fn log() {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false).with_test_writer();
    // One for all tests of this process: the first to come sets it.
    let _ = log.try_init();
}

impl Stand {
    /// A node that is not started yet.
    fn new(authority: &Authority) -> Self {
        log();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("authority.pem"), &authority.pem).expect("written");
        Self { node: None, dns: free(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn say(&self, directory: Option<&str>) {
        put(&self.path("regions.toml"), config(directory));
    }

    fn start(&mut self, certificate_folders: Vec<PathBuf>) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let node = Node::start(Options {
            config: self.path("regions.toml"),
            site: None,
            http: vec![any.into()],
            https: vec![any.into()],
            dns: vec![self.dns],
            dot: vec![any],
            dnstap: None,
            access_log: None,
            traces: None,
            admin: vec![any],
            status: Vec::new(),
            status_export: None,
            state_dir: self.path("state"),
            workers: 2,
            certificates: Vec::new(),
            certificate_folders,
            admin_token_file: None,
            secret_file: None,
            drain_time: Duration::ZERO,
            grace: Duration::from_millis(200),
        });
        self.node = Some(node.unwrap_or_else(|error| panic!("{error}")));
    }

    fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    /// What a client is shown by HTTPS.
    fn shown(&self, config: &Arc<ClientConfig>) -> io::Result<CertificateDer<'static>> {
        shown(self.node().https[0], config)
    }

    fn ask(&self, address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    fn are_valid(&self) -> bool {
        let text = self.ask(self.node().admin[0], "/metrics");
        text.lines().any(|line| line == "anyfront_certificates_valid 1")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop();
    }
}

fn shown(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<CertificateDer<'static>> {
    let name = ServerName::try_from("app.gw.test").expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a connection");
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(BOUND))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream.conn.peer_certificates().expect("it is done")[0].clone().into_owned())
}

#[test]
fn a_certificate_comes_by_itself_and_is_renewed_without_a_lost_handshake() {
    if !pebble::is_there() {
        return;
    }
    let authority = Authority::new("pebble's own");
    let mut stand = Stand::new(&authority);
    // It is replaced after some 28 seconds; the rest is for a machine on which an order takes long.
    let pebble = Pebble::of(authority, stand.dns, &Wish { lives_seconds: 45, ..Wish::default() });
    stand.say(Some(&pebble.url()));
    stand.start(Vec::new());
    let believes = Arc::new(trusting(pebble.root()));
    until("a certificate is shown", || stand.shown(&believes).is_ok());
    let first = stand.shown(&believes).expect("shown");
    until("nothing is wrong with it", || stand.are_valid());
    // DNS over TLS shows it too.
    let mut for_dns = trusting(pebble.root());
    for_dns.alpn_protocols = vec![ALPN_DNS.to_vec()];
    assert_eq!(shown(stand.node().dot[0], &Arc::new(for_dns)).expect("shown"), first);
    // Whoever comes while it is replaced is believed.
    let mut count = 0;
    until("another one is shown", || {
        count += 1;
        stand.shown(&believes).unwrap_or_else(|error| panic!("handshake {count} was lost: {error}")) != first
    });
    assert!(count > 20, "{count} handshakes");
}

#[test]
fn a_restart_needs_no_directory() {
    if !pebble::is_there() {
        return;
    }
    let authority = Authority::new("pebble's own");
    let mut stand = Stand::new(&authority);
    let mut pebble = Pebble::of(authority, stand.dns, &Wish::default());
    stand.say(Some(&pebble.url()));
    stand.start(Vec::new());
    let believes = Arc::new(trusting(pebble.root()));
    until("a certificate is shown", || stand.shown(&believes).is_ok());
    let before = stand.shown(&believes).expect("shown");
    stand.stop();
    pebble.kill();
    stand.start(Vec::new());
    assert_eq!(stand.shown(&believes).expect("it is there from the start"), before);
    // A file that was broken meanwhile is moved aside: the node starts all the same, and says what it has not.
    stand.stop();
    put(&stand.path("state/acme/certificate.pem"), "nonsense");
    stand.start(Vec::new());
    assert!(stand.shown(&believes).is_err());
    assert!(stand.path("state/acme/certificate.pem.aside-1").exists());
}

#[test]
fn without_a_certificate_and_without_a_directory_a_node_serves_what_it_can() {
    let authority = Authority::new("nobody's");
    let mut stand = Stand::new(&authority);
    stand.say(Some("https://localhost:1/dir"));
    stand.start(Vec::new());
    let anybody = Arc::new(client(None, &[&rustls::version::TLS13]));
    assert!(stand.shown(&anybody).is_err(), "nothing that nobody signed is shown to anybody");
    assert!(!stand.are_valid());
    let overview = stand.ask(stand.node().admin[0], "/regions");
    assert!(overview.contains("no certificate yet"), "{overview}");
    assert!(stand.ask(stand.node().http[0], "/").starts_with("HTTP/1.1 4"), "HTTP is answered");
}

#[test]
fn ordering_begins_when_the_file_says_so_and_a_certificate_that_was_given_goes_before_it() {
    if !pebble::is_there() {
        return;
    }
    let authority = Authority::new("pebble's own");
    let given = Authority::new("an operator's").sign(&["app.gw.test"]);
    let other = Authority::new("an operator's").sign(&["other.test"]);
    let mut stand = Stand::new(&authority);
    let pebble = Pebble::of(authority, stand.dns, &Wish::default());
    std::fs::create_dir(stand.path("tls")).expect("made");
    put_pair(&stand.path("tls"), "given", &given);
    put_pair(&stand.path("tls"), "other", &other);
    stand.say(None);
    stand.start(vec![stand.path("tls")]);
    let anybody = Arc::new(client(None, &[&rustls::version::TLS13]));
    assert_eq!(stand.shown(&anybody).expect("shown"), given.der);
    assert!(!stand.path("state/acme").exists(), "nothing is asked for");
    stand.say(Some(&pebble.url()));
    let ordered = stand.path("state/acme/certificate.pem");
    until("it is ordered", || ordered.exists());
    let listed = || stand.ask(stand.node().admin[0], "/regions").contains("acme/certificate.pem");
    until("it is read", listed);
    assert_eq!(stand.shown(&anybody).expect("shown"), given.der, "the operator's own goes first");
    for name in ["given.pem", "given.key"] {
        std::fs::remove_file(stand.path("tls").join(name)).expect("removed");
    }
    let believes = Arc::new(trusting(pebble.root()));
    until("the ordered one takes its place", || stand.shown(&believes).is_ok());
}
