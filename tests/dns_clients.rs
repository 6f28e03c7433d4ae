//! The programs that people ask DNS with, and a resolver between clients and this server: each gets on with it, every answer
//! is proven, and clients leave a region that dies.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/dns/mod.rs"]
mod dns;
#[path = "dns_clients/fleet.rs"]
mod fleet;

use anyfront::lab::certificates::Authority;
use anyfront::moment::{Clock, Moment};
use dns::endpoint::until_settled;
use dns::message::{AD, DNSSEC_OK, Edns, Question, RD, Reply, kind, option, subnet};
use dns::servers::{BOUND, Server, all_installed, program};
use dns::talk::Asker;
use fleet::{Fleet, REGIONS, WHERE, ZONE};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// What a program prints; it must say that all went well.
fn output(name: &str, arguments: &[&str]) -> String {
    let output = program(name).args(arguments).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {text}");
    text
}

/// `dig` or `kdig` at a server.
fn dig(name: &str, server: SocketAddr, arguments: &[&str]) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    output(name, &[&[at.as_str(), "-p", &port, "+norec"], arguments].concat())
}

/// Questions and what `+short` prints for them, in any order.
const SHORT: &[(&str, &str, &[&str])] = &[
    ("steer.test", "MX", &["10 mail.steer.test."]),
    ("steer.test", "TXT", &["\"v=spf1 -all\""]),
    ("steer.test", "CAA", &["0 issue \"ca.example\""]),
    ("steer.test", "NS", &["ns1.steer.test.", "ns2.steer.test."]),
    ("mail.steer.test", "A", &["192.0.2.25"]),
    ("www.steer.test", "AAAA", &["2001:db8::80"]),
    ("WWW.Steer.TEST", "A", &["192.0.2.80"]),
    ("_sip._tcp.steer.test", "SRV", &["10 60 5060 mail.steer.test."]),
    ("number.steer.test", "NAPTR", &["100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" ."]),
    ("any.thing.wild.steer.test", "A", &["192.0.2.7"]),
    ("alias.steer.test", "A", &["192.0.2.80"]),
    ("alias.steer.test", "AAAA", &["2001:db8::80"]),
    ("away.steer.test", "CNAME", &["www.elsewhere.test."]),
    ("ent.steer.test", "A", &[]),
    ("no.steer.test", "A", &[]),
    ("lhr.steer.test", "A", &["192.0.2.99"]),
];

#[test]
fn dig_kdig_and_drill_read_every_type() {
    if !all_installed(&["dig", "kdig", "drill"]) {
        return;
    }
    let fleet = Fleet::start("", &[], |_| ());
    let server = fleet.node.address;
    for (name, kind, expected) in SHORT {
        for program in ["dig", "kdig"] {
            for over in ["+notcp", "+tcp"] {
                let text = dig(program, server, &["+short", over, name, kind]);
                let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
                lines.sort_unstable();
                assert_eq!(lines, *expected, "{program} {over} {name} {kind}");
            }
        }
        let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
        let text = output("drill", &["-o", "rd", "-p", &port, name, &at, kind]);
        let last = |line: &&str| expected.iter().any(|value| line.ends_with(value));
        assert_eq!(text.lines().filter(last).count(), expected.len(), "drill {name} {kind}: {text}");
    }
    let https = dig("dig", server, &["+short", "service.steer.test", "HTTPS"]);
    assert_eq!(https.trim(), "1 . alpn=\"h2\" port=8443");
}

#[test]
fn dig_gets_on_with_every_extension() {
    if !all_installed(&["dig"]) {
        return;
    }
    let fleet = Fleet::start(
        "[[zone.record]]\nname = \"huge\"\ntype = \"TXT\"\nvalue = \"HUGE\""
            .replace("HUGE", &"huge ".repeat(400))
            .as_str(),
        &[],
        |_| (),
    );
    until_settled(&mut Asker::of(fleet.node.address), WHERE, 2);
    let server = fleet.node.address;
    let said = |arguments: &[&str]| dig("dig", server, arguments);
    let contains = |arguments: &[&str], what: &str| {
        let text = said(arguments);
        assert!(text.contains(what), "{arguments:?} without {what:?}: {text}");
    };
    contains(&["+nsid", "www.steer.test", "A"], "(\"here\")");
    contains(&["+cookie", "www.steer.test", "A"], "(good)");
    contains(&["+subnet=12.1.2.0/24", WHERE, "A"], "CLIENT-SUBNET: 12.1.2.0/24/");
    contains(&["+subnet=12.1.2.0/24", WHERE, "A"], "192.0.2.2");
    contains(&["+subnet=0.0.0.0/0", WHERE, "A"], "CLIENT-SUBNET: 0.0.0.0/0/0");
    contains(&["huge.steer.test", "TXT"], "Truncated, retrying in TCP mode");
    contains(&["huge.steer.test", "TXT"], "huge huge");
    contains(&["+noedns", "www.steer.test", "A"], "192.0.2.80");
    contains(&["+ednsopt=65001:abcd", "www.steer.test", "A"], "192.0.2.80");
    contains(&["+edns=1", "+noednsneg", "www.steer.test", "A"], "status: BADVERS");
    contains(&["+edns=1", "www.steer.test", "A"], "192.0.2.80");
    contains(&["+ednsflags=0x1234", "www.steer.test", "A"], "192.0.2.80");
    contains(&["www.steer.test", "ANY"], "RFC8482");
    contains(&["no.steer.test", "A"], "status: NXDOMAIN");
    contains(&["www.elsewhere.test", "A"], "status: REFUSED");
    contains(&["steer.test", "AXFR"], "Transfer failed");
    contains(&["-c", "CH", "version.bind", "TXT"], "status: REFUSED");
    contains(&["+opcode=NOTIFY", "steer.test", "SOA"], "status: NOTIMP");
    contains(&["+tcp", "+keepalive", "www.steer.test", "A"], "TCP KEEPALIVE: 10.0 secs");
}

/// A certificate for `ns1.steer.test`, who signed it, and the folder they are in.
fn papers() -> (TempDir, PathBuf, Vec<String>) {
    let authority = Authority::new().expect("an authority");
    let pair = authority.sign(vec!["ns1.steer.test".to_owned()]).expect("a pair");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("written");
        file
    };
    let ca = file("ca.pem", &authority.pem());
    let certificate = file("ns.pem", pair.certificate_pem()).display().to_string();
    let key = file("ns.key", &pair.key_pem()).display().to_string();
    (folder, ca, vec!["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key])
}

#[test]
fn kdig_asks_over_tls_and_https() {
    if !all_installed(&["kdig"]) {
        return;
    }
    let (_folder, ca, mut arguments) = papers();
    let ports = dns::servers::free_ports::<2>();
    let [dot, https] = ports.map(|port| format!("127.0.0.1:{port}"));
    arguments.extend(["--dot".to_owned(), dot, "--https".to_owned(), https]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fleet = Fleet::start("", &arguments, |_| ());
    let ca = format!("+tls-ca={}", ca.display());
    for (port, how) in ports.iter().zip(["+tls", "+https=ns1.steer.test/dns-query", "+https-get"]) {
        let server = SocketAddr::from(([127, 0, 0, 1], *port));
        let more = if how == "+https-get" { "+https=ns1.steer.test/dns-query" } else { how };
        let text =
            dig("kdig", server, &[&ca, "+tls-hostname=ns1.steer.test", more, how, "+padding", "www.steer.test", "A"]);
        assert!(text.contains("192.0.2.80") && text.contains("status: NOERROR"), "{how}: {text}");
    }
    drop(fleet);
}

/// A client's question to a resolver: for the client at an address of that /24.
fn through(resolver: &mut Asker, name: &str, kind: u16, client: Option<[u8; 3]>) -> Reply {
    let options = client.map(|client| (option::CLIENT_SUBNET, subnet(1, 24, 0, &client))).into_iter().collect();
    let question = Question { flags: RD | AD, ..Question::new(name, kind) };
    let question = question.with(Edns { flags: DNSSEC_OK, options, ..Edns::default() });
    resolver.udp(&question).unwrap_or_else(|| panic!("the resolver is silent: {question}"))
}

#[test]
fn clients_of_a_resolver_get_their_own_region_and_leave_one_that_dies() {
    if !all_installed(&["unbound"]) {
        return;
    }
    let mut fleet = Fleet::start("", &[], |_| ());
    until_settled(&mut Asker::of(fleet.node.address), WHERE, 2);
    let resolver = Server::unbound(ZONE, fleet.node.address, None);
    let mut asker = Asker::of(resolver.address);
    let clients = |region: usize| (0..8).map(move |number| [REGIONS[region].4[0], REGIONS[region].4[1], number * 31]);
    for (region, (.., address, _)) in REGIONS.iter().enumerate() {
        for client in clients(region) {
            let reply = through(&mut asker, WHERE, kind::A, Some(client));
            assert_eq!(reply.addresses(), [*address], "{client:?}: {reply:?}");
        }
    }
    // The middle one dies, while its clients ask again and again.
    let clock = Clock::start();
    fleet.endpoints[1].kill();
    let mut waiting: Vec<[u8; 3]> = clients(1).collect();
    let mut last = Duration::ZERO;
    while !waiting.is_empty() {
        waiting.retain(|client| through(&mut asker, WHERE, kind::A, Some(*client)).addresses() == ["192.0.2.2"]);
        last = clock.now().since(Moment::ZERO);
        assert!(last < BOUND, "still there: {waiting:?}");
    }
    println!("all have moved after {last:?}");
    // Everybody else stays where they were.
    for region in [0, 2] {
        for client in clients(region) {
            assert_eq!(through(&mut asker, WHERE, kind::A, Some(client)).addresses(), [REGIONS[region].3]);
        }
    }
    assert!(last < Duration::from_secs(10), "two seconds to notice and two to forget, not {last:?}");
}

/// A signed fleet, and a file with its DS records.
fn signed() -> (Fleet, TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ds");
    let fleet = Fleet::start("[zone.dnssec]", &[], |dir| {
        std::fs::write(&file, dns::keys::make(&dir.join("state"), ZONE)).expect("written");
    });
    (fleet, folder, file)
}

/// Questions that have an answer, and how many records it has.
const PROVEN: &[(&str, u16, usize)] = &[
    ("steer.test", kind::SOA, 1),
    ("steer.test", kind::NS, 2),
    ("steer.test", kind::MX, 1),
    ("steer.test", kind::TXT, 1),
    ("steer.test", kind::CAA, 1),
    ("steer.test", kind::DNSKEY, 1),
    ("www.steer.test", kind::A, 1),
    ("www.steer.test", kind::AAAA, 1),
    ("www.steer.test", 44, 1),
    ("_443._tcp.www.steer.test", 52, 1),
    ("_sip._tcp.steer.test", kind::SRV, 1),
    ("service.steer.test", kind::HTTPS, 1),
    ("_dns.service.steer.test", 64, 1),
    ("number.steer.test", 35, 1),
    ("alias.steer.test", kind::A, 1),
    ("away.steer.test", kind::CNAME, 1),
    ("any.wild.steer.test", kind::A, 1),
    ("any.thing.wild.steer.test", kind::A, 1),
    ("lhr.steer.test", kind::A, 1),
    (WHERE, kind::A, 1),
    ("ns1.steer.test", kind::A, 1),
];
/// Questions that have none: which code a resolver gives its client.
const DENIED: &[(&str, u16)] = &[
    ("no.steer.test", kind::A),
    ("no.no.steer.test", kind::TXT),
    ("www.steer.test", kind::TXT),
    ("ent.steer.test", kind::A),
    ("b.ent.steer.test", kind::A),
    ("any.wild.steer.test", kind::MX),
    ("here.wild.steer.test", kind::A),
    ("x.here.wild.steer.test", kind::A),
    ("steer.test", kind::SRV),
    (WHERE, kind::TXT),
    ("alias.steer.test", kind::MX),
];

#[test]
fn a_resolver_proves_every_answer_and_every_denial() {
    if !all_installed(&["unbound"]) {
        return;
    }
    let (fleet, _folder, anchor) = signed();
    until_settled(&mut Asker::of(fleet.node.address), WHERE, 2);
    let resolver = Server::unbound(ZONE, fleet.node.address, Some(&anchor));
    let mut asker = Asker::of(resolver.address);
    for (name, kind, count) in PROVEN {
        let reply = through(&mut asker, name, *kind, None);
        assert!(reply.has(AD) && reply.rcode == 0, "{name} {kind} is not proven: {reply:?}\n{}", resolver.log());
        assert!(reply.data_of(*kind).len() >= *count, "{name} {kind}: {reply:?}");
    }
    for (name, kind) in DENIED {
        let reply = through(&mut asker, name, *kind, None);
        assert!(reply.has(AD), "{name} {kind} is not proven to be nothing: {reply:?}\n{}", resolver.log());
        assert!(reply.data_of(*kind).is_empty(), "{name} {kind}: {reply:?}");
    }
    for (region, (.., address, [a, b])) in REGIONS.iter().enumerate() {
        let reply = through(&mut asker, WHERE, kind::A, Some([*a, *b, 7]));
        assert!(reply.has(AD) && reply.addresses() == [*address], "region {region}: {reply:?}\n{}", resolver.log());
    }
}

#[test]
fn a_resolver_believes_nothing_that_other_keys_signed() {
    if !all_installed(&["unbound"]) {
        return;
    }
    let (fleet, ..) = signed();
    let (_other, _folder, anchor) = signed();
    let resolver = Server::unbound_for(ZONE, fleet.node.address, Some(&anchor));
    let mut asker = Asker::of(resolver.address);
    asker.patience(BOUND);
    let reply = through(&mut asker, "www.steer.test", kind::A, None);
    assert_eq!((reply.rcode, reply.answers().len()), (2, 0), "SERVFAIL: {reply:?}");
}

#[test]
fn delv_and_drill_prove_answers_by_themselves() {
    if !all_installed(&["delv", "drill"]) {
        return;
    }
    let (fleet, folder, file) = signed();
    let ds = std::fs::read_to_string(&file).expect("written");
    // delv wants it in another form: `zone. static-ds TAG ALGORITHM DIGEST "…"`.
    let record: Vec<&str> = ds.lines().find(|line| line.contains(" DS ")).expect("a DS").split_whitespace().collect();
    let at = record.iter().position(|field| *field == "DS").expect("it has");
    let [tag, algorithm, digest_type, ..] = record[at + 1..] else { panic!("{ds}") };
    let digest = record[at + 4..].concat();
    let anchors = folder.path().join("anchors");
    let text = format!("trust-anchors {{ {ZONE}. static-ds {tag} {algorithm} {digest_type} \"{digest}\"; }};\n");
    std::fs::write(&anchors, text).expect("written");
    let (at, port) = (format!("@{}", fleet.node.address.ip()), fleet.node.address.port().to_string());
    let anchors = anchors.display().to_string();
    let root = format!("+root={ZONE}");
    let delv = |name: &str, kind: &str| output("delv", &[&at, "-p", &port, "-a", &anchors, &root, name, kind]);
    for (name, kind) in [("www.steer.test", "A"), ("steer.test", "SOA"), ("any.wild.steer.test", "A"), (WHERE, "A")] {
        assert!(delv(name, kind).contains("; fully validated"), "{name} {kind}: {}", delv(name, kind));
    }
    for (name, kind) in [("no.steer.test", "A"), ("www.steer.test", "TXT"), ("ent.steer.test", "A")] {
        let text = delv(name, kind);
        assert!(text.contains("negative response, fully validated"), "{name} {kind}: {text}");
    }
    // drill wants the key itself.
    let key = folder.path().join("key");
    let dnskey = output("drill", &["-o", "rd", "-p", &port, ZONE, &at, "DNSKEY"]);
    let dnskey: String = dnskey.lines().filter(|line| line.contains("\tDNSKEY\t")).collect();
    std::fs::write(&key, dnskey + "\n").expect("written");
    let key = key.display().to_string();
    let text = output("drill", &["-o", "rd", "-D", "-k", &key, "-p", &port, "www.steer.test", &at, "A"]);
    assert!(text.contains("RRSIG"), "{text}");
}
