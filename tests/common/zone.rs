//! A node that is an authority: a zone, a hostname, a site with an address, and a certificate for all of it.

#![allow(dead_code, reason = "each test uses its part")]

use crate::tls::{self, Authority, hostname, put_pair};
use anyfront::node::Options;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tempfile::TempDir;

/// What a file with a zone has besides.
pub const ZONE: &str = "[zone]\nnameservers = [\"ns1.gw.test\"]\nhostmaster = \"dns@gw.test\"\n";

/// Any free port of loopback.
pub fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// How to start a node whose file has these tables, in `folder`: HTTP, and DNS in the clear and by TLS.
pub fn options(folder: &TempDir, tables: &str) -> Options {
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("tls")).expect("made");
    let names = ["ns1.gw.test", "gw.test", "app.gw.test", "other.gw.test"];
    put_pair(&path("tls"), "all", &Authority::new("us").sign(&names));
    std::fs::write(path("regions.toml"), file(tables)).expect("written");
    Options {
        config: path("regions.toml"),
        site: None,
        http: vec![any().into()],
        https: Vec::new(),
        dns: vec![any()],
        dot: vec![any()],
        dnstap: None,
        access_log: None,
        traces: None,
        admin: Vec::new(),
        status: Vec::new(),
        status_export: None,
        state_dir: path("state"),
        workers: 1,
        certificates: Vec::new(),
        certificate_folders: vec![path("tls")],
        admin_token_file: None,
        secret_file: None,
        drain_time: Duration::ZERO,
        grace: Duration::from_secs(2),
    }
}

/// `regions.toml` of one site, `app.gw.test` with a region that is not there, and these tables.
pub fn file(tables: &str) -> String {
    file_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)), tables)
}

/// The same with a region at `origin`.
pub fn file_at(origin: SocketAddr, tables: &str) -> String {
    let text = tls::file(origin, &hostname("app.gw.test", ""));
    text.replace("name = \"here\"\n", "name = \"here\"\naddresses = [\"192.0.2.1\"]\n") + tables
}

/// A question about a name, in small letters, that was asked for addresses of IPv4.
pub fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label is short"));
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(b"\0\0\x01\0\x01");
    message
}
