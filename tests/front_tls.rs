//! TLS of the front door: sessions that every node resumes and only for their own hostname, certificates that change
//! while connections go on, hostnames that belong to their connection, and clients that say nonsense.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/front.rs"]
mod front;
#[path = "common/needs.rs"]
mod needs;
#[path = "common/tls.rs"]
mod tls;

use anyfront::limits::HANDSHAKES_PER_PREFIX_MAX;
use anyfront::tls::ALPN_HTTP2;
use bytes::Bytes;
use front::Origin;
use http::{Request, Version};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use rustls_pki_types::ServerName;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tls::{Anybody, Authority, BOUND, Mixed, Plan, Spoken, Stand, client, hostname, put, put_pair, until};
use tokio_rustls::TlsConnector;

const OLD: &str = "0123456789abcdef0123456789abcdef\n";
const NEW: &str = "fedcba9876543210fedcba9876543210\n";

/// A node for `app.test`, `x.app.test` and `other.test`.
fn stand(origin: &Origin, authority: &Authority, secret: Option<&str>, workers: usize) -> Stand {
    let (app, other) = (authority.sign(&["app.test", "*.app.test", "stranger.test"]), authority.sign(&["other.test"]));
    let tables = ["app.test", "x.app.test", "other.test"].map(|name| hostname(name, "")).concat();
    Stand::start(&Plan {
        origin: origin.address,
        tables: &tables,
        pairs: &[("app", &app), ("other", &other)],
        files: &[],
        secret,
        workers,
    })
}

fn both() -> Arc<ClientConfig> {
    Arc::new(client(None, &[&TLS13, &TLS12]))
}

#[test]
fn a_session_of_one_node_is_resumed_by_every_worker_of_every_node_with_the_secret() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let (one, other) = (stand(&origin, &authority, Some(OLD), 2), stand(&origin, &authority, Some(OLD), 2));
    let stranger = stand(&origin, &authority, Some(NEW), 1);
    for version in [&TLS13, &TLS12] {
        let config = Arc::new(client(None, &[version]));
        let first = one.ask(&config, "app.test", "app.test").expect("an answer");
        assert_eq!((first.status, first.kind), (200, HandshakeKind::Full));
        // The kernel spreads connections over the workers.
        for node in [&one, &other, &one, &other, &one, &other, &other, &other] {
            let again = node.ask(&config, "app.test", "app.test").expect("an answer");
            assert_eq!((again.status, again.kind), (200, HandshakeKind::Resumed), "{version:?}");
        }
        let elsewhere = stranger.ask(&config, "app.test", "app.test").expect("an answer");
        assert_eq!((elsewhere.status, elsewhere.kind), (200, HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn a_session_of_one_hostname_is_not_resumed_at_another() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    for version in [&TLS13, &TLS12] {
        let mut config = client(None, &[version]);
        config.resumption = Mixed::resumption();
        let config = Arc::new(config);
        let kind = |name| stand.ask(&config, name, name).expect("an answer").kind;
        assert_eq!(kind("app.test"), HandshakeKind::Full);
        assert_eq!(kind("app.test"), HandshakeKind::Resumed, "the client does present what it has");
        assert_eq!(kind("x.app.test"), HandshakeKind::Full, "even under the same certificate");
        assert_eq!(kind("x.app.test"), HandshakeKind::Resumed);
        assert_eq!(kind("other.test"), HandshakeKind::Full);
    }
}

#[test]
fn no_early_data_is_offered_and_none_is_taken() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let mut config = client(None, &[&TLS13]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    stand.ask(&config, "app.test", "app.test").expect("an answer");
    let name = ServerName::try_from("app.test").expect("a name");
    let mut next = ClientConnection::new(Arc::clone(&config), name).expect("a connection");
    assert!(next.early_data().is_none(), "the ticket allows none");
    let mut again = stand.connect(&config, "app.test").expect("a connection");
    assert_eq!(again.0.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!again.0.conn.is_early_data_accepted());
    assert_eq!(again.get("app.test").expect("an answer"), 200);
}

#[test]
fn the_secret_changes_under_reconnecting_clients_without_a_failed_handshake() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let node = stand(&origin, &authority, Some(OLD), 2);
    let (with_old, with_new) = (stand(&origin, &authority, Some(OLD), 1), stand(&origin, &authority, Some(NEW), 1));
    // A session of the first node goes to the second: whether that resumes it.
    let is_understood = |from: &Stand, by: &Stand| {
        let config = both();
        from.ask(&config, "app.test", "app.test").expect("an answer");
        by.ask(&config, "app.test", "app.test").expect("an answer").kind == HandshakeKind::Resumed
    };
    assert!(is_understood(&node, &with_old) && !is_understood(&node, &with_new));
    let (is_over, asked, resumed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let config = both();
                while !is_over.load(SeqCst) {
                    let told = node.ask(&config, "app.test", "app.test").expect("no handshake fails");
                    assert_eq!(told.status, 200);
                    asked.fetch_add(1, SeqCst);
                    resumed.fetch_add(usize::from(told.kind == HandshakeKind::Resumed), SeqCst);
                }
            });
        }
        let change = |text: &str| put(&node.path("secret"), text);
        change(&format!("{OLD}{NEW}"));
        until("the second line opens", || is_understood(&with_new, &node));
        assert!(is_understood(&node, &with_old), "the first line seals");
        change(&format!("{NEW}{OLD}"));
        until("the new line seals", || is_understood(&node, &with_new));
        assert!(is_understood(&with_old, &node), "the old line still opens");
        change("too short\n");
        until("the mistake is shown", || node.metric("anyfront_certificates_valid") == 0.0);
        assert!(is_understood(&node, &with_new), "the last good secret stays");
        change(NEW);
        until("the old line is gone", || !is_understood(&with_old, &node));
        until("nothing is wrong any more", || node.metric("anyfront_certificates_valid") == 1.0);
        is_over.store(true, SeqCst);
    });
    let (asked, resumed) = (asked.into_inner(), resumed.into_inner());
    println!("{asked} handshakes through four changes, {resumed} resumed");
    assert!(asked > 20 && resumed * 2 > asked, "{resumed} of {asked}");
}

#[test]
fn a_hostname_is_served_only_on_a_connection_whose_certificate_speaks_for_it() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let config = both();
    let app = ["app.test", "x.app.test"];
    // `stranger.test` is in a certificate and no hostname; `nobody.test` and addresses get the first certificate.
    for server_name in ["app.test", "x.app.test", "stranger.test", "nobody.test", "127.0.0.1", "other.test"] {
        for host in
            ["app.test", "APP.test:443", "x.app.test", "other.test", "stranger.test", "nobody.test", "127.0.0.1"]
        {
            let bare = host.trim_end_matches(":443").to_ascii_lowercase();
            let is_good = if server_name == "other.test" { bare == "other.test" } else { app.contains(&&*bare) };
            let expected = if is_good { 200 } else { 421 };
            let mut spoken = stand.connect(&config, server_name).expect("a connection");
            // Both ways in; and the connection goes on, so that the right request after a wrong one is served.
            let statuses =
                [spoken.get(host), spoken.post(host), spoken.get(host)].map(|status| status.expect("an answer"));
            assert_eq!(statuses, [expected; 3], "{host} on a connection to {server_name}");
            let own = if server_name == "other.test" { "other.test" } else { "app.test" };
            assert_eq!(spoken.get(own).expect("an answer"), 200, "after {host}");
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for server_name in ["app.test", "other.test", "127.0.0.1"] {
            let mut config = client(None, &[&TLS13]);
            config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
            let stream = tokio::net::TcpStream::connect(stand.https).await.expect("a connection");
            let name = ServerName::try_from(server_name).expect("a name");
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
            tokio::spawn(connection);
            for host in ["app.test", "x.app.test", "other.test", "stranger.test", "app.test"] {
                let is_good = if server_name == "other.test" { host == "other.test" } else { app.contains(&host) };
                let request = Request::get(format!("https://{host}/x")).version(Version::HTTP_2);
                let request = request.body(Empty::<Bytes>::new()).expect("a request");
                let answer = tokio::time::timeout(BOUND, sender.send_request(request)).await.expect("in time");
                let status = answer.expect("an answer").status().as_u16();
                assert_eq!(status, if is_good { 200 } else { 421 }, "{host} on a connection to {server_name}");
            }
        }
    });
    assert!(origin.nonsense().is_empty());
}

#[test]
fn a_new_certificate_is_shown_at_once_and_open_connections_go_on() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 2);
    let (config, folder) = (both(), stand.path("tls"));
    let shown = |name: &str| {
        let config = Arc::new(client(None, &[&TLS13]));
        stand.ask(&config, name, name).expect("every handshake succeeds").certificate
    };
    let mut open = stand.connect(&config, "app.test").expect("a connection");
    assert_eq!(open.get("app.test").expect("an answer"), 200);

    let newer = authority.sign(&["app.test", "*.app.test"]);
    put_pair(&folder, "app", &newer);
    until("the new one is shown", || shown("app.test") == newer.der);
    assert_eq!(open.get("app.test").expect("the open connection goes on"), 200);

    // The chain alone, its key much later: what was good is shown until both are there.
    let newest = authority.sign(&["app.test", "*.app.test"]);
    put(&folder.join("app.pem"), &newest.pem);
    until("the broken pair is told of", || stand.metric("anyfront_certificates_valid") == 0.0);
    assert!(stand.admin("/regions").contains("app.pem"), "and where it is");
    assert_eq!(shown("app.test"), newer.der);
    // A broken pair keeps no other from being renewed.
    let other = authority.sign(&["other.test"]);
    put_pair(&folder, "other", &other);
    until("the other one is shown", || shown("other.test") == other.der);
    put(&folder.join("app.key"), &newest.key_pem);
    until("the newest one is shown", || shown("app.test") == newest.der);
    until("nothing is wrong any more", || stand.metric("anyfront_certificates_valid") == 1.0);

    // One more in the folder, and one fewer.
    let more = authority.sign(&["x.app.test"]);
    put_pair(&folder, "more", &more);
    until("the exact name wins", || shown("x.app.test") == more.der);
    for name in ["more.pem", "more.key"] {
        std::fs::remove_file(folder.join(name)).expect("removed");
    }
    until("it is gone again", || shown("x.app.test") == newest.der);
    assert_eq!(stand.metric("anyfront_certificates_valid"), 1.0);
    let expiry = stand.admin("/metrics");
    let expiry =
        expiry.lines().filter(|line| line.starts_with("anyfront_certificate_expires_in_seconds{")).collect::<Vec<_>>();
    assert!(expiry.len() == 2 && expiry.iter().all(|line| !line.contains('-')), "{expiry:?}");
    assert_eq!(open.get("app.test").expect("the open connection goes on"), 200);
}

#[test]
fn a_folder_whose_link_is_switched_is_read_again() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let folder = stand.path("tls");
    // As Kubernetes mounts it: files are links into `..data`, which is a link to the version in force.
    let version = |name: &str, pair: &tls::Pair| {
        std::fs::create_dir(folder.join(name)).expect("made");
        put_pair(&folder.join(name), "linked", pair);
    };
    let (first, second) = (authority.sign(&["x.app.test"]), authority.sign(&["x.app.test"]));
    version("..1", &first);
    std::os::unix::fs::symlink("..1", folder.join("..data")).expect("linked");
    for name in ["linked.key", "linked.pem"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), folder.join(name)).expect("linked");
    }
    let shown = || stand.ask(&both(), "x.app.test", "x.app.test").expect("an answer").certificate;
    until("the first version is shown", || shown() == first.der);
    version("..2", &second);
    std::os::unix::fs::symlink("..2", folder.join("..next")).expect("linked");
    std::fs::rename(folder.join("..next"), folder.join("..data")).expect("switched");
    until("the second version is shown", || shown() == second.der);
}

#[test]
fn a_hybrid_key_exchange_is_agreed_on_and_its_long_hello_may_come_in_pieces() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let name = ServerName::try_from("app.test").expect("a name");
    let mut conn = ClientConnection::new(Arc::new(client(None, &[&TLS13])), name).expect("a connection");
    let mut hello = Vec::new();
    while conn.wants_write() {
        conn.write_tls(&mut hello).expect("written");
    }
    assert!(hello.len() > 1_400, "longer than a packet: {}", hello.len());
    let mut stream = TcpStream::connect(stand.https).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    for piece in hello.chunks(97) {
        stream.write_all(piece).expect("sent");
        std::thread::yield_now();
    }
    let mut spoken = Spoken(rustls::StreamOwned::new(conn, stream));
    assert_eq!(spoken.get("app.test").expect("an answer"), 200);
    let group = spoken.0.conn.negotiated_key_exchange_group().expect("done").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(spoken.0.conn.handshake_kind(), Some(HandshakeKind::Full), "without another round trip");
}

/// The first flight of a client that has been here before.
fn hello(stand: &Stand) -> Vec<u8> {
    let config = both();
    stand.ask(&config, "app.test", "app.test").expect("an answer");
    let name = ServerName::try_from("app.test").expect("a name");
    let mut conn = ClientConnection::new(config, name).expect("a connection");
    let mut hello = Vec::new();
    while conn.wants_write() {
        conn.write_tls(&mut hello).expect("written");
    }
    hello
}

#[test]
fn no_beginning_of_a_hello_and_no_change_in_one_does_any_harm() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, usual) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, SeqCst);
        usual(info);
    }));
    let hello = hello(&stand);
    let say = |octets: &[u8]| {
        let mut stream = TcpStream::connect(stand.https).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        let _ = stream.write_all(octets);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it never ends: {octets:?}"),
            _ => answer,
        }
    };
    for length in 0..hello.len() {
        assert!(say(&hello[..length]).len() < 64, "no more than an alert for {length} octets");
    }
    let lie = [0, 1, 0x7f, 0x80, 0xff];
    for at in 0..hello.len() {
        // Lengths lie near the beginning; further on most octets are keys.
        let lies = if at < 300 || at % 16 == 0 { &lie[..] } else { &lie[4..] };
        for by in lies {
            let mut changed = hello.clone();
            changed[at] ^= by;
            say(&changed);
        }
        if at % 400 == 0 {
            assert_eq!(stand.ask(&both(), "app.test", "app.test").expect("others are served").status, 200);
        }
    }
    assert_eq!(stand.ask(&both(), "app.test", "app.test").expect("others are served").status, 200);
    assert_eq!(panics.load(SeqCst), 0);
    until("every connection has ended", || stand.metric("anyfront_connections_open") == 0.0);
}

#[test]
fn clients_that_say_nothing_fill_half_of_the_queue_and_no_more() {
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let connect = || {
        let stream = TcpStream::connect(stand.https).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        stream
    };
    // Both ends of every connection are ours.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).expect("raised");
    let mut silent: Vec<_> = (0..HANDSHAKES_PER_PREFIX_MAX).map(|_| connect()).collect();
    let count = HANDSHAKES_PER_PREFIX_MAX as f64;
    until("all are taken", || stand.metric("anyfront_connections_open") >= count);
    let mut answer = Vec::new();
    let _ = connect().read_to_end(&mut answer);
    assert!(answer.is_empty());
    until("one too many is told", || stand.metric("anyfront_connections_refused_total") == 1.0);
    silent.pop();
    until("one has gone", || stand.metric("anyfront_connections_open") < count);
    assert_eq!(stand.ask(&both(), "app.test", "app.test").expect("a place is free").status, 200);
}

#[test]
fn what_is_stapled_is_what_the_authority_says_and_never_what_is_out_of_date() {
    let Some(openssl) = openssl::Tool::find() else { return };
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let pair = authority.sign(&["app.test"]);
    let stand = Stand::start(&Plan {
        origin: origin.address,
        tables: &hostname("app.test", ""),
        pairs: &[("app", &pair)],
        files: &[("ca.pem", &authority.pem), ("ca.key", &authority.key_pem)],
        secret: None,
        workers: 1,
    });
    let status = || openssl.run(&format!("s_client -connect {} -servername app.test -status", stand.https));
    assert!(status().contains("OCSP response: no response sent"), "{}", status());
    let response = openssl.staple(&stand, &stand.path("tls/app.pem"));
    put(&stand.path("tls/app.ocsp"), &response);
    until("it is stapled", || status().contains("OCSP Response Status: successful (0x0)"));
    assert!(status().contains("Cert Status: good"));
    let verifier = Arc::new(Anybody::default());
    let mut config = client(None, &[&TLS13]);
    config.dangerous().set_certificate_verifier(verifier.clone());
    stand.ask(&Arc::new(config), "app.test", "app.test").expect("an answer");
    assert_eq!(*verifier.stapled.lock().expect("no panic"), response);

    use anyfront::tls::ocsp::{OcspError, good_until};
    let serial = openssl.serial(&stand.path("tls/app.pem"));
    let wall = anyfront::moment::Clock::start().wall();
    let day = std::time::Duration::from_secs(86_400);
    let until_when = good_until(&response, &serial, wall).expect("good");
    assert!(until_when > wall + day / 2 && until_when < wall + 2 * day);
    assert_eq!(good_until(&response, &serial, wall + 2 * day), Err(OcspError::Stale));
    assert_eq!(good_until(&response, &serial, wall - 2 * day), Err(OcspError::Early));
    assert_eq!(good_until(&response, &[7], wall), Err(OcspError::Other));
    for length in 0..response.len() {
        assert!(good_until(&response[..length], &serial, wall).is_err(), "{length} octets");
    }

    put(&stand.path("tls/app.ocsp"), b"nonsense");
    until("it is left out", || status().contains("OCSP response: no response sent"));
    assert!(stand.admin("/regions").contains("app.ocsp: is no OCSP response in DER form"));
    assert_eq!(stand.metric("anyfront_certificates_valid"), 1.0, "the certificate is as good as before");
}

#[test]
fn the_command_line_of_openssl_is_served_and_old_versions_are_not() {
    let Some(openssl) = openssl::Tool::find() else { return };
    let (origin, authority) = (Origin::polite(), Authority::new("us"));
    let stand = stand(&origin, &authority, None, 1);
    let connect = |more: &str| {
        openssl.run(&format!("s_client -connect {} -servername app.test -alpn h2,http/1.1 {more}", stand.https))
    };
    for (version, protocol) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = connect(version);
        assert!(said.contains(protocol) && said.contains("ALPN protocol: h2"), "{said}");
    }
    let old = connect("-tls1_1 -cipher ALL:@SECLEVEL=0");
    assert!(old.contains("Cipher is (NONE)") && old.contains(" alert "), "{old}");
    let weak = connect("-tls1_2 -cipher AES128-SHA");
    assert!(weak.contains("alert handshake failure"), "{weak}");
}

mod openssl {
    //! The command line, if it is there.

    use super::tls::Stand;
    use std::path::Path;
    use std::process::{Command, Stdio};

    pub struct Tool;

    impl Tool {
        /// It; or a note that its tests were skipped, so that nobody takes silence for proof.
        pub fn find() -> Option<Self> {
            if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|ran| ran.success()) {
                return Some(Self);
            }
            crate::needs::skipped("tests that need openssl");
            None
        }

        /// All that it prints.
        pub fn run(&self, arguments: &str) -> String {
            let mut command = Command::new("openssl");
            command.args(arguments.split(' ').filter(|word| !word.is_empty())).stdin(Stdio::null());
            let output = command.output().expect("it runs");
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }

        /// A certificate's serial number.
        pub fn serial(&self, certificate: &Path) -> Vec<u8> {
            let said = self.run(&format!("x509 -noout -serial -in {}", certificate.display()));
            let digits = said.trim().strip_prefix("serial=").expect("a serial number").to_owned();
            let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
            (0..digits.len()).step_by(2).map(octet).collect()
        }

        /// What the authority in the stand's folder says of a certificate: good, for a day.
        pub fn staple(&self, stand: &Stand, certificate: &Path) -> Vec<u8> {
            let path = |name: &str| stand.path(name).display().to_string();
            let serial: String = self.serial(certificate).iter().map(|octet| format!("{octet:02X}")).collect();
            std::fs::write(path("index"), format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=app\n"))
                .expect("written");
            let (ca, key, cert) = (path("ca.pem"), path("ca.key"), certificate.display());
            let (index, out) = (path("index"), path("response"));
            let said = self.run(&format!(
                "ocsp -index {index} -CA {ca} -rsigner {ca} -rkey {key} -issuer {ca} -cert {cert} -ndays 1 -respout {out}"
            ));
            std::fs::read(&out).unwrap_or_else(|error| panic!("{error}: {said}"))
        }
    }
}
