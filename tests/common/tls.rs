//! A real node with certificates, keys and secrets of its own, and TLS clients that see everything of the handshake.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "this is how a test fails")]

use anyfront::moment::{Clock, Moment};
use anyfront::node::{Node, Options};
use anyfront::tls::{ALPN_HTTP1, provider};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup, SignatureScheme};
use rustls::{StreamOwned, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing here takes this long unless it hangs, not even on a machine that has seven other things to do for each of ours.
pub const BOUND: Duration = Duration::from_secs(120);
/// How long between two looks: whoever looks without a pause takes the processor from what it waits for.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `is_so`.
#[allow(clippy::disallowed_methods, reason = "this is the wait for a condition, with a bound")]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < Moment::at(BOUND), "in vain: {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// Who signs.
pub struct Authority {
    /// Its certificate.
    pub pem: String,
    /// Its key.
    pub key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What it signed.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The same.
    pub pem: String,
    /// The key.
    pub key_pem: String,
    key_der: Vec<u8>,
}

impl Authority {
    /// A new one of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, key_pem: key.serialize_pem(), issuer: Issuer::new(params, key) }
    }

    /// A pair for these names.
    pub fn sign(&self, names: &[&str]) -> Pair {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }
}

impl Pair {
    /// The key, for a client.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()))
    }
}

/// A node, and the folder it lives in.
pub struct Stand {
    /// Where HTTP is spoken.
    pub http: SocketAddr,
    /// Where HTTPS is spoken.
    pub https: SocketAddr,
    /// Where operators are served.
    pub admin: SocketAddr,
    /// The node.
    pub node: Option<Node>,
    /// Where its files are.
    pub folder: TempDir,
}

/// What a node is made of.
pub struct Plan<'a> {
    /// Where the region is.
    pub origin: SocketAddr,
    /// Tables for the end of the file.
    pub tables: &'a str,
    /// Pairs of the certificate folder, by name.
    pub pairs: &'a [(&'a str, &'a Pair)],
    /// Other files beside `regions.toml`.
    pub files: &'a [(&'a str, &'a str)],
    /// What is in the secret file, if there is one.
    pub secret: Option<&'a str>,
    /// Threads.
    pub workers: usize,
}

impl Stand {
    /// A node as planned.
    pub fn start(plan: &Plan<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("tls")).expect("made");
        for (name, pair) in plan.pairs {
            put_pair(&path("tls"), name, pair);
        }
        for (name, text) in plan.files {
            std::fs::write(path(name), text).expect("written");
        }
        if let Some(secret) = plan.secret {
            std::fs::write(path("secret"), secret).expect("written");
        }
        std::fs::write(path("regions.toml"), file(plan.origin, plan.tables)).expect("written");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let node = Node::start(Options {
            config: path("regions.toml"),
            site: None,
            http: vec![any.into()],
            https: vec![any.into()],
            dns: Vec::new(),
            dot: Vec::new(),
            dnstap: None,
            access_log: None,
            traces: None,
            admin: vec![any],
            status: Vec::new(),
            status_export: None,
            state_dir: path("state"),
            workers: plan.workers,
            certificates: Vec::new(),
            certificate_folders: vec![path("tls")],
            admin_token_file: None,
            secret_file: plan.secret.map(|_| path("secret")),
            drain_time: Duration::ZERO,
            grace: Duration::from_millis(200),
        });
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        Self { http: node.http[0], https: node.https[0], admin: node.admin[0], node: Some(node), folder }
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the admin address answers.
    pub fn admin(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// The node.
    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    /// A connection to `server_name` that has been secured, as far as the client can tell.
    pub fn connect(&self, config: &Arc<ClientConfig>, server_name: &str) -> io::Result<Spoken> {
        let name = ServerName::try_from(server_name.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a connection");
        let stream = TcpStream::connect(self.https)?;
        stream.set_read_timeout(Some(BOUND))?;
        stream.set_write_timeout(Some(BOUND))?;
        stream.set_nodelay(true)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Spoken(stream))
    }

    /// A request for `host` on a connection to `server_name` of its own.
    pub fn ask(&self, config: &Arc<ClientConfig>, server_name: &str, host: &str) -> io::Result<Told> {
        let mut spoken = self.connect(config, server_name)?;
        let status = spoken.get(host)?;
        let conn = &spoken.0.conn;
        Ok(Told {
            status,
            kind: conn.handshake_kind().expect("it is done"),
            certificate: conn.peer_certificates().expect("it is done")[0].clone().into_owned(),
        })
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Whether the session was resumed.
    pub kind: HandshakeKind,
    /// What the node showed.
    pub certificate: CertificateDer<'static>,
}

/// A secured connection.
pub struct Spoken(pub StreamOwned<ClientConnection, TcpStream>);

impl Spoken {
    /// The status of a simple request for `host`.
    pub fn get(&mut self, host: &str) -> io::Result<u16> {
        self.say(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// The status of a request that no fast path takes.
    pub fn post(&mut self, host: &str) -> io::Result<u16> {
        self.say(&format!("POST /x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"))
    }

    /// Sends a request and reads the answer to it, whose body has a length.
    pub fn say(&mut self, request: &str) -> io::Result<u16> {
        self.0.write_all(request.as_bytes())?;
        self.0.flush()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            self.0.read_exact(&mut octet)?;
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_else(|| panic!("no length in {head}"))];
        self.0.read_exact(&mut body)?;
        Ok(head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"))
    }
}

/// Puts a pair into a folder, as one who replaces files does: each whole, one after the other.
pub fn put_pair(folder: &Path, name: &str, pair: &Pair) {
    put(&folder.join(format!("{name}.key")), &pair.key_pem);
    put(&folder.join(format!("{name}.pem")), &pair.pem);
}

/// Replaces a file whole.
pub fn put(path: &Path, text: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("written");
    std::fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    std::fs::rename(beside, path).expect("renamed");
}

/// `regions.toml` with one region and these tables.
pub fn file(origin: SocketAddr, tables: &str) -> String {
    format!(
        "[fleet]\nname = \"test\"\nzone = \"gw.test\"\n\
         [[site]]\nname = \"here\"\nlatitude = 0.0\nlongitude = 0.0\n\
         [probe]\nkind = \"tcp\"\n\
         [[region]]\nname = \"a\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 0.0\nlongitude = 0.0\n\
         [[region.endpoint]]\nurl = \"http://origin.test\"\nconnect = [\"{origin}\"]\n{tables}"
    )
}

/// A hostname that the region serves, with more lines.
pub fn hostname(name: &str, lines: &str) -> String {
    format!("[[hostname]]\nname = \"{name}\"\nregions = [\"*\"]\n{lines}\n")
}

/// A client that takes any certificate and remembers what came with it.
pub fn client(identity: Option<&Pair>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::default()));
    let mut config = match identity {
        Some(pair) => config.with_client_auth_cert(vec![pair.der.clone()], pair.key()).expect("a pair"),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    config
}

/// Believes everybody.
#[derive(Debug, Default)]
pub struct Anybody {
    /// What was stapled last.
    pub stapled: Arc<Mutex<Vec<u8>>>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.stapled.lock().expect("no panic") = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A client's memory that gives every hostname the newest session of any: what a stranger would try.
#[derive(Debug, Default)]
pub struct Mixed {
    newest: Mutex<Option<Tls13ClientSessionValue>>,
    older: Mutex<Option<Tls12ClientSessionValue>>,
}

impl Mixed {
    /// As a client takes it.
    pub fn resumption() -> Resumption {
        Resumption::store(Arc::new(Self::default()))
    }
}

impl ClientSessionStore for Mixed {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.older.lock().expect("no panic") = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.older.lock().expect("no panic").clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.newest.lock().expect("no panic") = Some(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.newest.lock().expect("no panic").take()
    }
}
