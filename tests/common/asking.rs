//! A plain client of a status page: one request a connection, and waits with a bound.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for anything.
pub const BOUND: Duration = Duration::from_secs(30);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(100);

/// Asks for `path`, with these lines in the head.
pub async fn ask(address: SocketAddr, method: &str, path: &str, lines: &str) -> Answer {
    ask_host(address, "status", method, path, lines).await
}

/// The same of a hostname.
pub async fn ask_host(address: SocketAddr, host: &str, method: &str, path: &str, lines: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    tokio::time::timeout(BOUND, stream.read_to_end(&mut bytes)).await.expect("in time").expect("read");
    Answer::of(&bytes)
}

/// Sends a form.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: status\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    let reading = async {
        // What is refused before it is whole may end in a reset behind the answer.
        let mut octets = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut octets).await {
            bytes.extend_from_slice(&octets[..count]);
        }
    };
    tokio::time::timeout(BOUND, reading).await.expect("in time");
    Answer::of(&bytes)
}

/// Asks for `path` until its text is as wanted.
pub async fn until(address: SocketAddr, path: &str, is_wanted: impl Fn(&str) -> bool) {
    let mut last = String::new();
    let asking = async {
        loop {
            last = ask(address, "GET", path, "").await.text().to_owned();
            if is_wanted(&last) {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    if tokio::time::timeout(BOUND, asking).await.is_err() {
        panic!("{path} is still: {}", last.chars().take(600).collect::<String>());
    }
}

/// Waits until it is so.
pub async fn soon(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(BOUND, waiting).await.expect("it becomes so");
}

/// The same, where looking takes time.
pub async fn soon_async(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(BOUND, waiting).await.expect("it becomes so");
}

/// An answer, in parts.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).expect("text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        Self { status: status.expect("a status"), fields, body: bytes[end + 4..].to_vec() }
    }

    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}
