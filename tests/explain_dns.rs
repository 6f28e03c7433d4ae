//! What operators see of DNS: `anyfront explain --dns`, from a file, and from a node beside what it really answers; and
//! what that counts.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]

mod common;
mod operator;

use anyfront::dns::explain::Ask;
use anyfront::dns::prepared::Prepared;
use anyfront::moment::{Clock, Moment};
use anyfront::names::Label;
use anyfront::node::{Node, Options};
use anyfront::snapshot::Drained;
use common::answers as zone;
use hickory_proto::dnssec::Algorithm;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};
use operator::{anyfront, complaint, output};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);

fn file(folder: &Path, keys: &str) -> String {
    let path = folder.join("regions.toml");
    let text = zone::FILE.replace("{keys}", keys).replace("LONG", &"long ".repeat(300));
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path").to_owned()
}

/// What the command tells of a file, with these arguments more.
fn told(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "");
    output(&anyfront(&[&["explain", "--dns", "--config", &path, "--site", "lon-1", "--host"], arguments].concat()))
}

/// What is answered from the file with these lines in `[zone]`, by a node that has just started.
fn prepared(keys: &str) -> Prepared {
    zone::prepared(&zone::snapshot(keys), Path::new("."), Duration::from_secs(1_800_000_000))
}

/// What is told about `name`, asked for a client and by a resolver (`-`: nobody), as JSON and as text.
fn explained(prepared: &Prepared, name: &str, client: &str, resolver: &str) -> (Value, String) {
    let address = |text: &str| (text != "-").then(|| text.parse().expect("an address"));
    let ask = Ask { name: name.to_owned(), client: address(client), resolver: address(resolver) };
    let explanation = ask.answer(prepared, Moment::ZERO).expect("it can be asked");
    (explanation.to_json(), explanation.to_text())
}

fn data<'a>(told: &'a Value, kind: &str) -> Vec<&'a str> {
    let answers = told["answers"].as_array().expect("answers");
    let answer = answers.iter().find(|answer| answer["type"] == kind).expect("it was asked for");
    answer["data"].as_array().expect("data").iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_sites_of_an_answer_are_told_in_their_order() {
    let text = told(&["gw.example", "--client", "1.2.3.77"]);
    for part in [
        "gw.example asked by DNS for 1.2.3.0/24 (AU)",
        "known from: the geo database, by the client subnet",
        "60 s  192.0.2.20",
        "1  syd-1             3 km  told",
        "the front door it leads to fails over by itself",
        "not signed",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains("1.2.3.77"), "the whole address is told");
    let (told, _) = explained(&prepared(""), "gw.example", "1.2.3.77", "-");
    assert_eq!((&told["origin"], &told["decision"]), (&"sites".into(), &Value::Null));
    assert_eq!(told["whose"], serde_json::json!(["syd-1", "nyc-1"]));
    assert_eq!(told["sites"][2]["told"], false);
}

#[test]
fn a_region_is_told_with_the_whole_decision() {
    let ask = ["direct.gw.example", "--client", "8.8.8.8", "--json"];
    let usual: Value = serde_json::from_str(&told(&ask)).expect("JSON");
    assert_eq!((&usual["origin"], &usual["whose"]), (&"region".into(), &serde_json::json!(["orf"])));
    assert_eq!((data(&usual, "A"), data(&usual, "AAAA")), (vec!["198.51.100.1"], vec!["2001:db8:1::1"]));
    assert_eq!(usual["decision"]["candidates"].as_array().map(Vec::len), Some(3));
    assert_eq!((&usual["believed"]["settled"], &usual["answers"][0]["ttl"]), (&true.into(), &60.into()));
    let what_if = [&ask[..], &["--down", "orf"]].concat();
    let without: Value = serde_json::from_str(&told(&what_if)).expect("JSON");
    assert_eq!(without["whose"], serde_json::json!(["lhr"]));
    assert_eq!(without["decision"]["candidates"][2]["standing"], "down");
}

#[test]
fn whose_address_counts_is_told() {
    let (name, world) = ("direct.gw.example", prepared(""));
    let (resolver, _) = explained(&world, name, "-", "1.2.3.77");
    assert_eq!((&resolver["whose"], &resolver["scope"]), (&serde_json::json!(["syd"]), &Value::Null));
    assert_eq!(
        (&resolver["asked"]["counts"], &resolver["asked"]["resolver"]),
        (&"resolver".into(), &"1.2.3.0/24".into())
    );
    let (both, _) = explained(&world, name, "8.8.8.8", "1.2.3.77");
    assert_eq!((&both["whose"], &both["asked"]["counts"]), (&serde_json::json!(["orf"]), &"client_subnet".into()));
    let (nobodys, _) = explained(&world, name, "10.1.2.3", "1.2.3.77");
    assert_eq!((&nobodys["whose"], &nobodys["scope"]["prefix"]), (&serde_json::json!(["syd"]), &"10.1.2.0/24".into()));
    let listed = prepared("client_subnet_from = [\"192.0.2.0/24\"]");
    let (_, text) = explained(&listed, name, "8.8.8.8", "1.2.3.77");
    assert!(text.contains("believes client subnets of others only") && text.contains("goes to syd"), "{text}");
    let (_, text) = explained(&listed, name, "8.8.8.8", "-");
    assert!(text.contains("by the client subnet") && text.contains("goes to orf"), "{text}");
}

#[test]
fn every_name_of_the_zone_can_be_asked_and_others_are_told_apart() {
    let world = prepared("");
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
        let (answer, text) = explained(&world, name, "8.8.8.8", "-");
        assert_eq!((&answer["origin"], &answer["rcode"]), (&origin.into(), &rcode.into()), "{name}: {answer}");
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

/// Drained hard, nobody may answer; in a signed zone the answers that there are name the key.
#[test]
fn signatures_and_an_answer_that_is_none_are_told() {
    let state = tempfile::tempdir().expect("a folder");
    let wall = Duration::from_secs(1_800_000_000);
    zone::make_key(state.path(), Algorithm::ED25519, wall);
    let mut snapshot = zone::snapshot(zone::SIGNED);
    snapshot.regions.iter_mut().for_each(|region| region.drained = Some(Drained::Hard));
    let prepared = zone::prepared(&snapshot, state.path(), wall);
    let client = Some("8.8.8.8".parse().expect("an address"));
    let ask = |name: &str| Ask { name: name.to_owned(), client, resolver: None };
    let text = ask("gw.example").answer(&prepared, Moment::ZERO).expect("it can be asked").to_text();
    let tag = prepared.duty.as_ref().expect("a key").signs_zone[0].tag;
    assert!(text.contains(&format!("signed by key {tag} (ED25519) until 2027-01-")), "{text}");
    let closed = ask("deep.below.gw.example");
    let closed = closed.answer(&prepared, Moment::ZERO).expect("it can be asked");
    let text = closed.to_text();
    for part in ["nothing may answer for this name now", "60 s, as everything that is not there", "goes nowhere"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let json = closed.to_json();
    assert_eq!((&json["signed"], &json["whose"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(json["decision"]["excluded"].as_array().map(Vec::len), Some(2));
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
            access_log: None,
            traces: None,
            admin: vec![any],
            status: Vec::new(),
            status_export: None,
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

    /// What its admin address says.
    fn get(&self, path: &str, accept: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).expect("connected");
        stream.set_read_timeout(Some(BOUND)).expect("a time-out");
        let admin = &self.admin;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
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
    let give_up = clock.now() + BOUND;
    let explain = |name: &str, client: &str| -> Value {
        let told = world.get(&format!("/explain?dns=1&host={name}&client={client}"), "application/json");
        serde_json::from_str(&told).expect("JSON")
    };
    // The endpoints are nobody's, so they fall one after the other.
    while explain("direct.gw.example", "8.8.8.8")["decision"]["candidates"][2]["standing"] != "down" {
        assert!(clock.now() < give_up, "they did not fall");
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
        let kinds = [RecordType::A, RecordType::AAAA, RecordType::HTTPS];
        // What changes meanwhile, because something has become old enough, is asked again.
        let (explained, answers) = loop {
            let before = explain(name, client);
            let answers = kinds.map(|kind| (kind.to_string(), world.ask(name, kind, subnet)));
            if explain(name, client)["answers"] == before["answers"] {
                break (before, answers);
            }
            assert!(clock.now() < give_up + BOUND, "it never settles");
        };
        for (kind, (records, ttl, scope)) in answers {
            let told = explained["answers"].as_array().expect("answers");
            let said = told.iter().find(|answer| answer["type"] == kind).expect("it is told");
            assert_eq!(data(&explained, &kind), records, "{name} {kind} for {subnet}");
            assert_eq!((said["ttl"].as_u64(), said["scope"].as_u64()), (ttl.map(u64::from), Some(scope.into())));
        }
    }
    let ask = ["explain", "--dns", "--host", "direct.gw.example", "--client", "8.8.8.8", "--admin", &world.admin];
    let text = output(&anyfront(&ask));
    for part in ["direct.gw.example asked by DNS for 8.8.8.0/24 (US)", "probes fail", "asked of the node at"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

/// What a node has just seen change is told with the answer.
#[test]
fn a_short_time_to_live_is_told_with_what_is_young() {
    let (json, text) = explained(&prepared(""), "direct.gw.example", "8.8.8.8", "-");
    assert_eq!((&json["answers"][0]["ttl"], &json["believed"]["settled"]), (&20.into(), &false.into()));
    assert_eq!(json["believed"]["unsettled"].as_array().map(Vec::len), Some(3));
    let (sites, _) = explained(&prepared(""), "gw.example", "8.8.8.8", "-");
    let young = sites["believed"]["unsettled"].as_array().expect("those that are").iter();
    let young: Vec<&str> = young.filter_map(|site| site["name"].as_str()).collect();
    assert_eq!((young, &sites["answers"][0]["ttl"]), (vec!["syd-1", "nyc-1"], &20.into()), "nobody asks itself");
    for part in ["believed for 20 s, the shortest", "lhr          has stood as it does for 0 s only"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn what_is_asked_is_counted_and_the_zone_is_shown() {
    let world = World::start();
    for (name, subnet) in
        [("gw.example", "1.2.3.0/24"), ("static.gw.example", "1.2.3.0/24"), ("no.gw.example", "1.2.3.0/24")]
    {
        world.ask(name, RecordType::A, subnet);
    }
    // The time is counted after the answer has left.
    let clock = Clock::start();
    let give_up = clock.now() + BOUND;
    let plain = loop {
        let plain = world.get("/metrics", "text/plain");
        if plain.contains("anyfront_dns_elapsed_seconds_count 3\n") {
            break plain;
        }
        assert!(clock.now() < give_up, "{plain}");
    };
    let open = world.get("/metrics", "application/openmetrics-text; version=1.0.0");
    for text in [&plain, &open] {
        for part in [
            "anyfront_dns_questions_total{transport=\"udp\",outcome=\"noerror\"} 2\n",
            "anyfront_dns_questions_total{transport=\"udp\",outcome=\"nxdomain\"} 1\n",
            "anyfront_dns_questions_total{transport=\"dot\",outcome=\"silence\"} 0\n",
            "anyfront_dns_prepared_total 3\n",
            "anyfront_dns_subnets_total 3\n",
            "anyfront_dns_dropped_total 0\n",
            "anyfront_dns_connections_total{transport=\"tcp\"} 0\n",
            "# TYPE anyfront_dns_elapsed_seconds histogram\n",
            "anyfront_dns_elapsed_seconds_bucket{le=\"+Inf\"} 3\n",
            "anyfront_dns_signed 0\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        let buckets = text.lines().filter_map(|line| line.strip_prefix("anyfront_dns_elapsed_seconds_bucket{le="));
        let counts: Vec<u64> =
            buckets.map(|line| line.split_once("} ").expect("a value").1.parse().expect("a count")).collect();
        assert!(counts.len() == 10 && counts.is_sorted(), "{counts:?}");
    }
    assert!(open.contains("# TYPE anyfront_dns_questions counter\n") && open.ends_with("# EOF\n"), "{open}");
    let overview: Value = serde_json::from_str(&world.get("/regions", "application/json")).expect("JSON");
    assert_eq!((&overview["zone"]["apex"], &overview["zone"]["signed"]), (&"gw.example".into(), &false.into()));
    assert_eq!(overview["counters"]["dns"]["questions"]["udp"]["nxdomain"], 1);
    let page = output(&anyfront(&["status", "--once", "--admin", &world.admin]));
    assert!(page.contains("DNS/s") && page.contains("not signed"), "{page}");
}
