//! An HTTPS server that stands before pebble and says more than it can, or something else.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "this is how a test fails")]

use super::pebble::trusting;
use super::tls::{Authority, BOUND, Pair};
use anyfront::tls::provider;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Where to.
    pub path: String,
    /// What it says.
    pub body: String,
    head: String,
}

/// A server that runs until its process ends.
pub struct Directory {
    /// Where it is.
    pub address: SocketAddr,
}

impl Directory {
    /// A new one, at `localhost` by a certificate of `authority`.
    pub fn start(authority: &Authority, answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), "localhost", authority, answer)
    }

    /// A new one at this address and name.
    pub fn at(
        address: SocketAddr,
        name: &str,
        authority: &Authority,
        answer: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config(&authority.sign(&[name])));
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // A client may leave whenever it likes.
                    let _ = serve(stream, config, &*answer);
                });
            }
        });
        Self { address }
    }

    /// The URL of its directory.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }
}

impl Asked {
    /// What `server`, whose certificate the authority in `authority_pem` signed, answers to the same: head and body.
    pub fn pass(&self, server: SocketAddr, authority_pem: &str) -> String {
        let root = CertificateDer::from_pem_slice(authority_pem.as_bytes()).expect("a certificate");
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(trusting(root)), name).expect("a connection");
        let Ok(stream) = TcpStream::connect(server) else { return status(502, "") };
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        let mut stream = StreamOwned::new(connection, stream);
        let head = self.head.trim_end();
        let mut answer = String::new();
        let exchanged = write!(stream, "{head}\r\nConnection: close\r\n\r\n{}", self.body)
            .and_then(|()| stream.read_to_string(&mut answer));
        if exchanged.is_ok() { answer } else { status(502, "") }
    }

    /// The value of a header line.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The payload of the signed message in the body, if it is one.
    pub fn payload(&self) -> serde_json::Value {
        use base64::Engine as _;
        let signed: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap_or_default());
        serde_json::from_slice(&payload.unwrap_or_default()).unwrap_or_default()
    }
}

/// An answer with this JSON in place of its body.
pub fn with_body(answer: &str, body: &serde_json::Value) -> String {
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    let lines = head.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("transfer-encoding:")
    });
    let (lines, body) = (lines.collect::<Vec<_>>().join("\r\n"), body.to_string());
    format!("{lines}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The JSON in an answer.
pub fn body_of(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a head").1).expect("JSON")
}

/// An answer with a status, more header lines that each end, and no body.
pub fn status(code: u16, lines: &str) -> String {
    format!("HTTP/1.1 {code} So\r\n{lines}Content-Length: 0\r\n\r\n")
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: &dyn Fn(&Asked) -> String) -> io::Result<()> {
    stream.set_read_timeout(Some(BOUND))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let body = String::from_utf8_lossy(&body).into_owned();
    stream.write_all(answer(&Asked { method, path, body, head }).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn config(pair: &Pair) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![pair.der.clone()], pair.key())
        .expect("a pair")
}
