//! Sites ask each other whether they answer, and DNS leaves out those that do not: real nodes on addresses of loopback's own.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/zone.rs"]
mod zone;
#[path = "common/tls.rs"]
mod tls;

use anyfront::names::Label;
use anyfront::node::{Node, Options};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tls::{Authority, BOUND, client, put_pair, until};
use zone::question;

/// Who stands where: all in 127/8, which is this machine.
const NAMES: [&str; 4] = ["ams", "bom", "cdg", "del"];

fn address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 9, 1 + u8::try_from(at).expect("few"))
}

/// A fleet of sites that know each other.
struct Fleet {
    folder: TempDir,
    ports: Vec<u16>,
    nodes: Vec<Option<Node>>,
}

impl Fleet {
    /// `authority` of the certificates that nodes show, of which `trusted` are believed; `also` stands in the file.
    fn start(shown: &Authority, trusted: &Authority, also: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("tls")).expect("made");
        put_pair(&folder.path().join("tls"), "all", &shown.sign(&["gw.test", "app.gw.test", "ns1.gw.test"]));
        std::fs::write(folder.path().join("ca.pem"), &trusted.pem).expect("written");
        let free = |at| TcpListener::bind((address(at), 0)).and_then(|listener| listener.local_addr()).expect("a port");
        let ports = (0..NAMES.len()).map(|at| free(at).port()).collect();
        let mut fleet = Self { folder, ports, nodes: NAMES.map(|_| None).into() };
        fleet.write(also);
        (0..NAMES.len()).for_each(|at| fleet.begin(at));
        fleet
    }

    fn write(&self, also: &str) {
        let site = |at: usize| {
            let (name, address, port) = (NAMES[at], address(at), self.ports[at]);
            format!(
                "[[site]]\nname = \"{name}\"\nlatitude = 0.0\nlongitude = {at}.0\naddresses = [\"{address}\"]\nport = {port}\n"
            )
        };
        let sites = (0..NAMES.len()).map(site).collect::<String>();
        let text = format!(
            "[fleet]\nname = \"test\"\nzone = \"gw.test\"\n{sites}[forward]\ntrust = [\"ca.pem\"]\n[probe]\nkind = \"tcp\"\n\
             [[region]]\nname = \"r\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 0.0\nlongitude = 0.0\n\
             [[region.endpoint]]\nurl = \"http://127.0.0.1:9\"\n\
             {}{}{also}",
            tls::hostname("app.gw.test", ""),
            zone::ZONE
        );
        std::fs::write(self.folder.path().join("regions.toml"), text).expect("written");
    }

    fn begin(&mut self, at: usize) {
        let path = |name: &str| self.folder.path().join(name);
        let any = SocketAddr::from((address(at), 0));
        let options = Options {
            config: path("regions.toml"),
            site: Some(Label::parse(NAMES[at]).expect("a name")),
            http: Vec::new(),
            https: vec![SocketAddr::from((address(at), self.ports[at])).into()],
            dns: vec![any],
            dot: Vec::new(),
            dnstap: None,
            access_log: None,
            traces: None,
            admin: vec![zone::any()],
            status: Vec::new(),
            status_export: None,
            state_dir: path(NAMES[at]),
            workers: 1,
            certificates: Vec::new(),
            certificate_folders: vec![path("tls")],
            admin_token_file: None,
            secret_file: None,
            drain_time: Duration::ZERO,
            grace: Duration::from_millis(200),
        };
        self.nodes[at] = Some(Node::start(options).unwrap_or_else(|error| panic!("{error}")));
    }

    fn end(&mut self, at: usize) {
        self.nodes[at].take().expect("it runs").stop();
    }

    fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().expect("it runs")
    }

    /// What the node at `by` believes of the others.
    fn standings(&self, by: usize) -> Vec<&'static str> {
        self.node(by).published.load().sites.iter().map(|state| state.standing.as_str()).collect()
    }

    fn left_out(&self, by: usize) -> Vec<usize> {
        let snapshot = self.node(by).published.load_full();
        (0..NAMES.len()).filter(|at| snapshot.sites[*at].is_left_out).collect()
    }

    /// The addresses that the node at `by` gives for the hostname.
    fn told(&self, by: usize) -> BTreeSet<Ipv4Addr> {
        let mut stream = TcpStream::connect(self.node(by).dns[0]).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        let message = question(1, "app.gw.test");
        let length = u16::try_from(message.len()).expect("short");
        stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).expect("sent");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("an answer");
        let answer = hickory_proto::op::Message::from_vec(&answer).expect("a message");
        let addresses = answer.answers.iter().filter_map(|record| match &record.data {
            hickory_proto::rr::RData::A(address) => Some(address.0),
            _ => None,
        });
        addresses.collect()
    }

    fn admin(&self, by: usize, path: &str) -> String {
        let mut stream = TcpStream::connect(self.node(by).admin[0]).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.nodes.iter_mut().filter_map(Option::take).for_each(Node::stop);
    }
}

#[test]
fn a_site_that_stops_answering_is_left_out_everywhere_and_taken_back() {
    let authority = Authority::new("us");
    let mut fleet = Fleet::start(&authority, &authority, "");
    for by in 0..4 {
        until("all answer", || fleet.standings(by).iter().filter(|standing| **standing == "up").count() == 3);
    }
    assert_eq!(fleet.standings(0), ["here", "up", "up", "up"]);
    // The two that are nearest to clients whom nobody can place, who stand where the node stands.
    until("there are answers", || fleet.told(0) == BTreeSet::from([address(0), address(1)]));
    assert!(fleet.admin(0, "/metrics").contains("anyfront_site_up{site=\"bom\"} 1\n"));
    fleet.end(1);
    for by in [0, 2, 3] {
        until("it is left out", || fleet.left_out(by) == [1]);
    }
    until("so is its address", || fleet.told(0) == BTreeSet::from([address(0), address(2)]));
    assert!(fleet.admin(0, "/metrics").contains("anyfront_site_left_out{site=\"bom\"} 1\n"));
    let overview = fleet.admin(0, "/regions");
    assert!(overview.contains("\"name\":\"bom\",\"standing\":\"down\""), "{overview}");
    // The rest soon after: whoever is left suspects its own network.
    fleet.end(2);
    fleet.end(3);
    until("all fail", || fleet.standings(0) == ["here", "down", "down", "down"]);
    assert!(fleet.left_out(0).is_empty(), "within one window");
    for at in 1..4 {
        fleet.begin(at);
    }
    until("all are back", || fleet.standings(0) == ["here", "up", "up", "up"] && fleet.left_out(0).is_empty());
    until("also in answers", || fleet.told(0) == BTreeSet::from([address(0), address(1)]));
}

#[test]
fn nobody_is_left_out_when_no_other_site_can_be_proven() {
    let fleet = Fleet::start(&Authority::new("us"), &Authority::new("others"), "");
    until("all fail", || fleet.standings(0) == ["here", "down", "down", "down"]);
    assert!(fleet.left_out(0).is_empty(), "all at once: it may be us");
    assert!(fleet.admin(0, "/regions").contains("\"left_out\":false"));
}

#[test]
fn a_node_says_where_it_is_by_tls_alone_and_not_where_regions_serve() {
    let authority = Authority::new("us");
    let fleet = Fleet::start(&authority, &authority, "");
    let config = Arc::new(client(None, &[&rustls::version::TLS13]));
    let https = fleet.node(2).https[0];
    let ask = |host: &str, method: &str| {
        let name = rustls_pki_types::ServerName::try_from(host.to_owned()).expect("a name");
        let connection = rustls::ClientConnection::new(Arc::clone(&config), name).expect("a connection");
        let stream = TcpStream::connect(https).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let head = format!("{method} /.well-known/anyfront/site HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    };
    until("it wants traffic", || ask("gw.test", "GET").starts_with("HTTP/1.1 200"));
    assert!(ask("gw.test", "GET").ends_with("\r\n\r\ncdg"));
    assert!(ask("gw.test", "POST").starts_with("HTTP/1.1 405"));
    assert!(ask("app.gw.test", "GET").starts_with("HTTP/1.1 503"), "it is the region's, which is not there");
    assert!(ask("ns1.gw.test", "GET").starts_with("HTTP/1.1 421"));
}
