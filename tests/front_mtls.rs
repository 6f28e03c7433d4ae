//! Hostnames that ask their clients for certificates: who gets in, what regions are told, and that no ticket, no other
//! name, no old connection and no way around TLS gets anybody past it. And: nothing secret is ever shown.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;
#[path = "common/tls.rs"]
mod tls;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use front::Origin;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, SupportedProtocolVersion};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tls::{Authority, BOUND, Mixed, Pair, Plan, Stand, client, hostname, put, until};

/// A node for `open.test`, `must.test` and `may.test` under one certificate, and a region's own name, guarded too.
struct Guarded {
    stand: Stand,
    origin: Origin,
    people: Authority,
    person: Pair,
}

impl Guarded {
    fn start() -> Self {
        let (origin, authority, people) = (Origin::polite(), Authority::new("us"), Authority::new("people"));
        let pair = authority.sign(&["open.test", "must.test", "may.test", "b.gw.test"]);
        let must = "client_ca = [\"people.pem\"]";
        let far = format!(
            "[[region]]\nname = \"b\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 50.0\nlongitude = 0.0\n\
             endpoints = [\"http://{}\"]\n{must}\n",
            origin.address
        );
        let tables = [
            far,
            hostname("open.test", ""),
            hostname("must.test", must),
            hostname("may.test", "client_ca = [\"people.pem\"]\nclient_certificate = \"optional\""),
        ];
        let stand = Stand::start(&Plan {
            origin: origin.address,
            tables: &tables.concat(),
            pairs: &[("all", &pair)],
            files: &[("people.pem", &people.pem)],
            secret: None,
            workers: 1,
        });
        let person = people.sign(&["person.test"]);
        Self { stand, origin, people, person }
    }

    fn ask(&self, who: Option<&Pair>, version: &'static SupportedProtocolVersion, name: &str) -> io::Result<u16> {
        self.stand.ask(&config(who, version), name, name).map(|told| told.status)
    }
}

fn config(who: Option<&Pair>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    Arc::new(client(who, &[version]))
}

/// With which alert the node ends it. With TLS 1.3 the client learns of it after its own part is done.
fn alert(
    guarded: &Guarded,
    who: Option<&Pair>,
    version: &'static SupportedProtocolVersion,
    name: &str,
) -> AlertDescription {
    let connected = guarded.stand.connect(&config(who, version), name);
    let error = connected.and_then(|mut spoken| spoken.0.read(&mut [0])).expect_err("nobody gets in");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("no alert: {other:?} {error:?}"),
    }
}

#[test]
fn who_must_have_a_certificate_gets_in_with_one_of_the_right_authority_only() {
    let guarded = Guarded::start();
    let strangers = Authority::new("strangers");
    let stranger = strangers.sign(&["person.test"]);
    let namesake = Authority::new("people").sign(&["person.test"]);
    assert!(guarded.ask(None, &TLS13, "b.gw.test").is_err(), "a region's own name can be guarded too");
    assert_eq!(guarded.ask(Some(&guarded.person), &TLS13, "b.gw.test").expect("let in"), 200);
    for version in [&TLS13, &TLS12] {
        assert_eq!(alert(&guarded, None, version, "must.test"), AlertDescription::CertificateRequired);
        assert_eq!(guarded.ask(Some(&guarded.person), version, "must.test").expect("let in"), 200);
        assert_eq!(guarded.ask(None, version, "may.test").expect("let in"), 200);
        assert_eq!(guarded.ask(Some(&guarded.person), version, "may.test").expect("let in"), 200);
        assert_eq!(guarded.ask(Some(&guarded.person), version, "open.test").expect("let in"), 200);
        for name in ["must.test", "may.test"] {
            assert_eq!(alert(&guarded, Some(&stranger), version, name), AlertDescription::UnknownCA, "{name}");
            assert!(guarded.ask(Some(&namesake), version, name).is_err(), "of an authority of the same name, {name}");
        }
    }
}

#[test]
fn regions_read_the_certificate_and_nobody_can_write_it_for_them() {
    let guarded = Guarded::start();
    let forged = "Client-Cert: :Zm9v:\r\nClient-Cert-Chain: :Zm9v:\r\nclient_cert: :Zm9v:\r\n";
    let mut chained = client(None, &[&TLS13]);
    let issuer = guarded.people.sign(&["issuer.test"]);
    let chain = vec![guarded.person.der.clone(), issuer.der.clone()];
    let signer = rustls::sign::CertifiedKey::from_der(chain, guarded.person.key(), &anyfront::tls::provider());
    chained.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(signer.expect("a pair")));
    let item = |pair: &Pair| format!(":{}:", STANDARD.encode(&pair.der));
    let person = Some(item(&guarded.person));
    for (config, name, certificate, chain) in [
        (config(Some(&guarded.person), &TLS13), "must.test", person.clone(), None),
        (Arc::new(chained), "must.test", person.clone(), Some(item(&issuer))),
        (config(Some(&guarded.person), &TLS12), "may.test", person.clone(), None),
        (config(None, &TLS13), "may.test", None, None),
        (config(Some(&guarded.person), &TLS13), "open.test", None, None),
    ] {
        let mut spoken = guarded.stand.connect(&config, name).expect("let in");
        // Both ways in.
        for body in ["\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
            let method = if body == "\r\n" { "GET" } else { "POST" };
            let status = spoken.say(&format!("{method} /x HTTP/1.1\r\nHost: {name}\r\n{forged}{body}"));
            assert_eq!(status.expect("an answer"), 200);
            let seen = guarded.origin.seen().pop().expect("a request");
            assert_eq!(seen.field("client-cert"), certificate.as_deref(), "{method} {name}");
            assert_eq!(seen.field("client-cert-chain"), chain.as_deref(), "{method} {name}");
            assert_eq!(seen.field("client_cert"), None);
        }
    }
    assert!(guarded.origin.nonsense().is_empty());
}

#[test]
fn nothing_gets_past_it_neither_another_name_nor_a_ticket_nor_the_clear() {
    let guarded = Guarded::start();
    let person = Some(&guarded.person);
    for (who, server_name, host, status) in [
        (None, "open.test", "must.test", 421),
        (None, "open.test", "may.test", 421),
        (None, "127.0.0.1", "must.test", 421),
        (None, "nobody.test", "must.test", 421),
        (None, "may.test", "must.test", 421),
        (None, "may.test", "open.test", 421),
        (person, "may.test", "must.test", 421),
        (person, "must.test", "may.test", 421),
        (person, "must.test", "open.test", 421),
        (person, "MUST.test", "must.test", 200),
        (None, "open.test", "open.test", 200),
    ] {
        let mut spoken = guarded.stand.connect(&config(who, &TLS13), server_name).expect("secured");
        let statuses = [spoken.get(host), spoken.post(host)].map(|status| status.expect("an answer"));
        assert_eq!(statuses, [status; 2], "{host} on a connection to {server_name}");
    }
    for (host, status) in [("must.test", 421), ("may.test", 200), ("open.test", 200)] {
        let mut stream = TcpStream::connect(guarded.stand.http).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        let forged = "Client-Cert: :Zm9v:\r\nConnection: close\r\n\r\n";
        write!(stream, "GET /x HTTP/1.1\r\nHost: {host}\r\n{forged}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host} in the clear: {answer}");
    }
    assert!(guarded.origin.seen().iter().all(|seen| seen.field("client-cert") != Some(":Zm9v:")));

    for version in [&TLS13, &TLS12] {
        let mut config = client(None, &[version]);
        config.resumption = Mixed::resumption();
        let config = Arc::new(config);
        let first = guarded.stand.ask(&config, "open.test", "open.test").expect("let in");
        assert_eq!(first.kind, HandshakeKind::Full);
        assert!(guarded.stand.ask(&config, "must.test", "must.test").is_err(), "a ticket proves nobody");
        let mut proven = client(person, &[version]);
        proven.resumption = Mixed::resumption();
        let proven = Arc::new(proven);
        for name in ["must.test", "must.test", "may.test", "may.test"] {
            let told = guarded.stand.ask(&proven, name, name).expect("let in");
            assert_eq!((told.status, told.kind), (200, HandshakeKind::Full), "always proven anew");
        }
    }
}

#[test]
fn other_authorities_are_in_force_as_soon_as_their_file_is_there_for_open_connections_too() {
    let guarded = Guarded::start();
    let mut open = guarded.stand.connect(&config(Some(&guarded.person), &TLS13), "must.test").expect("let in");
    assert_eq!(open.get("must.test").expect("an answer"), 200);
    let newcomers = Authority::new("newcomers");
    let newcomer = newcomers.sign(&["newcomer.test"]);
    assert!(guarded.ask(Some(&newcomer), &TLS13, "must.test").is_err());
    // Only the file that the file names changes.
    put(&guarded.stand.path("people.pem"), &newcomers.pem);
    until("the newcomer is let in", || {
        guarded.ask(Some(&newcomer), &TLS13, "must.test").is_ok_and(|status| status == 200)
    });
    assert!(guarded.ask(Some(&guarded.person), &TLS13, "must.test").is_err(), "and the other one is not any more");
    assert_eq!([open.get("must.test"), open.post("must.test")].map(|status| status.expect("an answer")), [421; 2]);
    // A file that is none changes nothing, and is shown.
    put(&guarded.stand.path("people.pem"), "nobody");
    until("the mistake is shown", || guarded.stand.metric("anyfront_config_valid") == 0.0);
    assert!(guarded.stand.admin("/regions").contains("client_ca"));
    assert_eq!(guarded.ask(Some(&newcomer), &TLS13, "must.test").expect("let in"), 200);
}

#[test]
fn no_key_and_no_secret_is_ever_shown() {
    const SECRET: &str = "5e0be1c0ffee5e0be1c0ffee5e0be1c0ffee";
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let pair = authority.sign(&["app.test"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("regions.toml"), tls::file(origin.address, &hostname("app.test", ""))).expect("written");
    std::fs::write(path("app.pem"), &pair.pem).expect("written");
    std::fs::write(path("app.key"), &pair.key_pem).expect("written");
    std::fs::write(path("secret"), format!("{SECRET}\n")).expect("written");
    let mut node = Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args([
            "serve",
            "--config",
            &path("regions.toml"),
            "--state-dir",
            &path("state"),
            "--secret-file",
            &path("secret"),
        ])
        .args([
            "--https",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--tls-cert",
            &path("app.pem"),
            "--tls-key",
            &path("app.key"),
        ])
        .args(["--log", "trace"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut logs = node.stderr.take().expect("piped");
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = logs.read_to_end(&mut text);
        text
    });
    let mut lines = BufReader::new(node.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let mut address = |kind: &str| -> SocketAddr {
        let found = lines.find_map(|line| line.strip_prefix(kind)?.trim().parse().ok());
        found.expect("it says where it listens")
    };
    let (https, admin) = (address("https "), address("admin "));
    let shown = {
        let stand =
            tls::Stand { http: https, https, admin, node: None, folder: tempfile::tempdir().expect("a folder") };
        assert_eq!(stand.ask(&config(None, &TLS13), "app.test", "app.test").expect("an answer").status, 200);
        // A newer pair that is broken: errors tell of files, not of what is in them.
        put(std::path::Path::new(&path("app.key")), pair.key_pem.replace("PRIVATE", "PUBLIC"));
        put(std::path::Path::new(&path("secret")), &SECRET[..20]);
        until("both are told of", || stand.metric("anyfront_certificates_valid") == 0.0);
        ["/", "/metrics", "/regions", "/decisions", "/ready"].map(|path| stand.admin(path)).concat()
    };
    node.kill().expect("ended");
    node.wait().expect("ended");
    let logged = String::from_utf8_lossy(&reading.join().expect("read")).into_owned();
    assert!(logged.contains("may be read by everybody"), "a key with loose permissions is named: {logged}");
    assert!(logged.contains("app.key") && shown.contains("app.key"));
    let key: String = pair.key_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key_bytes = STANDARD.decode(key.as_bytes()).expect("base64");
    let hex = key_bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (what, text) in [("logs", &logged), ("answers", &shown)] {
        assert!(text.len() > 500, "{what} say something");
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        for secret in [SECRET, &SECRET[..20], &key[40..72], &hex[60..90]] {
            assert!(!squeezed.contains(secret), "{what} show {secret}");
        }
    }
}

#[test]
fn what_a_node_believes_can_be_printed_and_shows_no_key() {
    let guarded = Guarded::start();
    let snapshot = format!("{:?}{:?}", guarded.stand.node().published.load_full(), guarded.stand.node());
    assert!(snapshot.contains("must.test"));
    assert!(!snapshot.contains("PRIVATE"));
}
