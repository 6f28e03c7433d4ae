//! Pebble, a real ACME directory that believes nobody: with an authority of its own for its HTTPS port, and DNS where we say.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "this is how a test fails")]

use super::needs;
use super::tls::{Authority, BOUND, Pair};
use anyfront::tls::provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// How often it is started before something else than a port must be wrong.
const TRIES: u32 = 5;

/// How a directory is to behave.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// How long its certificates are good, seconds; 0 is its default of five years.
    pub lives_seconds: u64,
    /// Accounts must be bound to this one: id and key in base64url.
    pub bound: Option<(&'static str, &'static str)>,
    /// How many of a hundred nonces it refuses.
    pub bad_nonces_percent: u8,
}

/// A directory that runs.
pub struct Pebble {
    /// Where its directory is.
    pub address: SocketAddr,
    management: SocketAddr,
    /// Who signs its own certificate.
    pub authority: Authority,
    child: Child,
    said: Arc<Mutex<String>>,
    folder: TempDir,
}

/// Whether it is installed; or a note that its tests were skipped.
pub fn is_there() -> bool {
    needs::program("pebble").is_some()
}

/// Two ports that are free now.
fn free() -> [SocketAddr; 2] {
    let listeners = [0; 2].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address"))
}

/// A process that listens at both addresses, what it says, and its folder; `None`: it ended, because somebody else has one.
fn spawn(
    at: [SocketAddr; 2],
    dns: SocketAddr,
    wish: &Wish,
    pair: &Pair,
) -> Option<(Child, Arc<Mutex<String>>, TempDir)> {
    let [address, management] = at;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cert.pem"), &pair.pem).expect("written");
    std::fs::write(path("key.pem"), &pair.key_pem).expect("written");
    let mut config = serde_json::json!({
        "listenAddress": address, "managementListenAddress": management,
        "certificate": path("cert.pem"), "privateKey": path("key.pem"),
        "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "",
        "externalAccountBindingRequired": wish.bound.is_some(),
    });
    if let Some((id, key)) = wish.bound {
        config["externalAccountMACKeys"] = serde_json::json!({ id: key });
    }
    if wish.lives_seconds > 0 {
        config["certificateValidityPeriod"] = wish.lives_seconds.into();
    }
    std::fs::write(path("config.json"), serde_json::json!({ "pebble": config }).to_string()).expect("written");
    let mut child = Command::new("pebble")
        .args(["-dnsserver", &dns.to_string(), "-config"])
        .arg(path("config.json"))
        .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
        .env("PEBBLE_WFE_NONCEREJECT", wish.bad_nonces_percent.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let said = Arc::<Mutex<String>>::default();
    let (mut out, hears) = (child.stdout.take().expect("piped"), Arc::clone(&said));
    std::thread::spawn(move || {
        let mut piece = [0; 4_096];
        while let Ok(length @ 1..) = out.read(&mut piece) {
            hears.lock().expect("no panic").push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    });
    let mut has_ended = false;
    super::tls::until("pebble listens", || {
        has_ended = child.try_wait().expect("it is ours").is_some();
        has_ended || [address, management].iter().all(|at| TcpStream::connect(at).is_ok())
    });
    (!has_ended).then_some((child, said, folder))
}

impl Pebble {
    /// A new one that asks `dns`.
    pub fn start(dns: SocketAddr, wish: &Wish) -> Self {
        Self::of(Authority::new("pebble's own"), dns, wish)
    }

    /// The same, whose own certificate this authority signs.
    pub fn of(authority: Authority, dns: SocketAddr, wish: &Wish) -> Self {
        let pair = authority.sign(&["localhost"]);
        Self::at(free, dns, wish, authority, &pair)
    }

    /// Another one in its place, that remembers nothing.
    pub fn again(mut self, dns: SocketAddr, wish: &Wish) -> Self {
        self.kill();
        let pair = self.authority.sign(&["localhost"]);
        let authority = std::mem::replace(&mut self.authority, Authority::new("nobody"));
        let at = [self.address, self.management];
        Self::at(|| at, dns, wish, authority, &pair)
    }

    /// One at the `ports`; at the next ones if somebody else took them before it could.
    fn at(
        ports: impl Fn() -> [SocketAddr; 2],
        dns: SocketAddr,
        wish: &Wish,
        authority: Authority,
        pair: &Pair,
    ) -> Self {
        for _ in 0..TRIES {
            let at @ [address, management] = ports();
            if let Some((child, said, folder)) = spawn(at, dns, wish, pair) {
                return Self { address, management, authority, child, said, folder };
            }
        }
        panic!("pebble ended {TRIES} times before it listened")
    }

    /// The URL of its directory.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }

    /// Everything that it wrote.
    pub fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// How many certificates it has signed.
    pub fn issued(&self) -> usize {
        self.said().matches("Issued certificate serial").count()
    }

    /// Who signs its certificates.
    pub fn root(&self) -> CertificateDer<'static> {
        let text = get(&self.authority, self.management, "/roots/0");
        CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate")
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The body of an answer over HTTPS, at `localhost`.
fn get(authority: &Authority, address: SocketAddr, path: &str) -> String {
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
    let config = Arc::new(trusting(root));
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).expect("a connection"), stream);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// A client that believes this authority and nobody else.
pub fn trusting(root: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("an authority");
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
