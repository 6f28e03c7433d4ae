//! `anyfront explain --dns`: what DNS answers and why, from a file, and from a node beside what it really answers.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]

mod common;
mod operator;

use anyfront::moment::Clock;
use anyfront::names::Label;
use anyfront::node::{Node, Options};
use common::answers as zone;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use operator::{anyfront, complaint, output};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

fn file(folder: &Path, keys: &str) -> String {
    let path = folder.join("regions.toml");
    let text = zone::FILE.replace("{keys}", keys).replace("LONG", &"long ".repeat(300));
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path").to_owned()
}

/// What is told of a file, with these arguments more.
fn told(keys: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), keys);
    output(&anyfront(&[&["explain", "--dns", "--config", &path, "--site", "lon-1", "--host"], arguments].concat()))
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&told("", &[arguments, &["--json"]].concat())).expect("JSON")
}

fn data<'a>(told: &'a Value, kind: &str) -> Vec<&'a str> {
    let answers = told["answers"].as_array().expect("answers");
    let answer = answers.iter().find(|answer| answer["type"] == kind).expect("it was asked for");
    answer["data"].as_array().expect("data").iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_sites_of_an_answer_are_told_in_their_order() {
    let text = told("", &["gw.example", "--client", "1.2.3.77"]);
    for part in [
        "gw.example asked by DNS for 1.2.3.0/24 (AU)",
        "known from: the geo database, by the client subnet",
        "60 s  192.0.2.20",
        "1  syd-1             3 km  told",
        "sites stay where they are",
        "not signed",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains("1.2.3.77"), "the whole address is told");
    let told = json(&["gw.example", "--client", "1.2.3.77"]);
    assert_eq!((&told["origin"], &told["decision"]), (&"sites".into(), &Value::Null));
    assert_eq!(told["whose"], serde_json::json!(["syd-1", "nyc-1"]));
    assert_eq!(told["sites"][2]["told"], false);
}

#[test]
fn a_region_is_told_with_the_whole_decision() {
    let usual = json(&["direct.gw.example", "--client", "8.8.8.8"]);
    assert_eq!((&usual["origin"], &usual["whose"]), (&"region".into(), &serde_json::json!(["orf"])));
    assert_eq!((data(&usual, "A"), data(&usual, "AAAA")), (vec!["198.51.100.1"], vec!["2001:db8:1::1"]));
    assert_eq!(usual["decision"]["candidates"].as_array().map(Vec::len), Some(3));
    assert_eq!((&usual["believed"]["settled"], &usual["answers"][0]["ttl"]), (&true.into(), &60.into()));
    let without = json(&["direct.gw.example", "--client", "8.8.8.8", "--down", "orf"]);
    assert_eq!(without["whose"], serde_json::json!(["lhr"]));
    assert_eq!(without["decision"]["candidates"][2]["standing"], "down");
}

#[test]
fn whose_address_counts_is_told() {
    let resolver = json(&["direct.gw.example", "--resolver", "1.2.3.77"]);
    assert_eq!((&resolver["whose"], &resolver["scope"]), (&serde_json::json!(["syd"]), &Value::Null));
    assert_eq!(
        (&resolver["asked"]["counts"], &resolver["asked"]["resolver"]),
        (&"resolver".into(), &"1.2.3.0/24".into())
    );
    let both = json(&["direct.gw.example", "--client", "8.8.8.8", "--resolver", "1.2.3.77"]);
    assert_eq!((&both["whose"], &both["asked"]["counts"]), (&serde_json::json!(["orf"]), &"client_subnet".into()));
    let nobodys = json(&["direct.gw.example", "--client", "10.1.2.3", "--resolver", "1.2.3.77"]);
    assert_eq!((&nobodys["whose"], &nobodys["scope"]["prefix"]), (&serde_json::json!(["syd"]), &"10.1.2.0/24".into()));
    let listed = "client_subnet_from = [\"192.0.2.0/24\"]";
    let text = told(listed, &["direct.gw.example", "--client", "8.8.8.8", "--resolver", "1.2.3.77"]);
    assert!(text.contains("believes client subnets of others only") && text.contains("goes to syd"), "{text}");
    let text = told(listed, &["direct.gw.example", "--client", "8.8.8.8"]);
    assert!(text.contains("by the client subnet") && text.contains("goes to orf"), "{text}");
}

#[test]
fn every_name_of_the_zone_can_be_asked_and_others_are_told_apart() {
    for (name, origin, rcode, part) in [
        ("static.gw.example", "file", "noerror", "from the file"),
        ("x.wild.gw.example", "file", "noerror", "*.wild.gw.example stands for it"),
        ("alias.gw.example", "region", "noerror", "it has what direct.gw.example has"),
        ("away.gw.example", "file", "noerror", "CNAME      3600 s  www.elsewhere.example."),
        ("below.gw.example", "file", "noerror", "nothing of this type"),
        ("nothing.gw.example", "nowhere", "nxdomain", "answered with NXDOMAIN"),
        ("www.elsewhere.example", "outside", "refused", "is no name of gw.example: answered with REFUSED"),
        ("_dmarc.gw.example", "nowhere", "nxdomain", "there is no such name"),
    ] {
        let question = [name, "--client", "8.8.8.8"];
        let answer = json(&question);
        assert_eq!((&answer["origin"], &answer["rcode"]), (&origin.into(), &rcode.into()), "{name}: {answer}");
        let text = told("", &question);
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn what_cannot_be_asked_gets_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("regions.toml");
    std::fs::write(&path, operator::FLEET).expect("written");
    let path = path.to_str().expect("a path");
    let ask = ["explain", "--dns", "--config", path, "--client", "8.8.8.8", "--host", "gateway.example"];
    assert!(complaint(&anyfront(&ask)).contains("has no [zone]"));
    let path = file(folder.path(), "");
    let ask = ["explain", "--dns", "--config", &path, "--site", "lon-1", "--client", "8.8.8.8", "--host", "a..b"];
    assert!(complaint(&anyfront(&ask)).contains("the name \"a..b\""));
    for arguments in [
        &["explain", "--host", "gw.example", "--resolver", "8.8.8.8"][..],
        &["explain", "--dns", "--host", "gw.example"],
        &["explain", "--dns", "--host", "gw.example", "--client", "::1", "--bound", "orf"],
    ] {
        assert_eq!(anyfront(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// A whole node.
struct World {
    node: Option<Node>,
    dns: SocketAddr,
    admin: String,
    _folder: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let node = Node::start(Options {
            config: file(folder.path(), "").into(),
            site: Some(Label::parse("lon-1").expect("a name")),
            http: Vec::new(),
            https: Vec::new(),
            dns: vec![any],
            dot: Vec::new(),
            dnstap: None,
            admin: vec![any],
            state_dir: folder.path().join("state"),
            workers: 1,
            certificates: Vec::new(),
            certificate_folders: Vec::new(),
            admin_token_file: None,
            secret_file: None,
            drain_time: Duration::ZERO,
            grace: Duration::from_secs(1),
        });
        let node = node.expect("it starts");
        Self { dns: node.dns[0], admin: node.admin[0].to_string(), node: Some(node), _folder: folder }
    }

    /// The answer over UDP, as records, TTL and scope.
    fn ask(&self, name: &str, kind: RecordType, subnet: &str) -> (Vec<String>, Option<u32>, u8) {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(subnet.parse().expect("a network")));
        message.set_edns(edns);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(BOUND)).expect("a time-out");
        socket.send_to(&message.to_vec().expect("a message"), self.dns).expect("sent");
        let mut answer = [0; 4_096];
        let length = socket.recv(&mut answer).expect("an answer");
        let answer = Message::from_vec(&answer[..length]).expect("a message");
        let scope = match answer.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)) {
            Some(EdnsOption::Subnet(subnet)) => ClientSubnet::scope_prefix(subnet),
            other => panic!("no client subnet: {other:?}"),
        };
        let data = answer.answers.iter().map(|record| record.data.to_string()).collect();
        (data, answer.answers.first().map(|record| record.ttl), scope)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.node.take().into_iter().for_each(Node::stop);
    }
}

#[test]
fn a_node_explains_what_it_answers() {
    let world = World::start();
    let clock = Clock::start();
    // The endpoints are nobody's, so they fall one after the other: until they have, answers may change between two looks.
    let give_up = clock.now() + BOUND;
    let is_down = |world: &World| {
        let snapshot = world.node.as_ref().expect("it runs").published.load_full();
        snapshot.regions.iter().all(|region| region.standing == anyfront::health::Standing::Down)
    };
    while !is_down(&world) {
        assert!(clock.now() < give_up, "they did not fall");
        std::thread::yield_now();
    }
    for (name, client, subnet) in [
        ("gw.example", "81.2.69.142", "81.2.69.0/24"),
        ("gw.example", "1.2.3.4", "1.2.3.0/24"),
        ("direct.gw.example", "8.8.8.8", "8.8.8.0/24"),
        ("direct.gw.example", "2001:4860::9", "2001:4860::/56"),
        ("deep.below.gw.example", "81.2.69.142", "81.2.69.0/24"),
        ("alias.gw.example", "1.2.3.4", "1.2.3.0/24"),
        ("a.wild.gw.example", "1.2.3.4", "1.2.3.0/24"),
        ("nothing.gw.example", "1.2.3.4", "1.2.3.0/24"),
    ] {
        let ask = ["explain", "--dns", "--host", name, "--client", client, "--json", "--admin", &world.admin];
        let explained: Value = serde_json::from_str(&output(&anyfront(&ask))).expect("JSON");
        for kind in [RecordType::A, RecordType::AAAA, RecordType::HTTPS] {
            let answers = explained["answers"].as_array().expect("answers");
            let said = answers.iter().find(|answer| answer["type"] == kind.to_string()).expect("it is told");
            let (records, ttl, scope) = world.ask(name, kind, subnet);
            assert_eq!(data(&explained, &kind.to_string()), records, "{name} {kind} for {subnet}");
            assert_eq!((said["ttl"].as_u64(), said["scope"].as_u64()), (ttl.map(u64::from), Some(scope.into())));
        }
    }
    let ask = ["explain", "--dns", "--host", "direct.gw.example", "--client", "8.8.8.8", "--admin", &world.admin];
    let text = output(&anyfront(&ask));
    for part in
        ["the shortest: something is changing", "has stood as it does for", "probes fail", "asked of the node at"]
    {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}
