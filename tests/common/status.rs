//! The status page as everybody gets it: the real listener on loopback with reports of the test's making, and a plain client.

use crate::stories;
use anyfront::history::story::Report;
use anyfront::moment::Clock;
use anyfront::snapshot::Published;
use anyfront::status::board::Board;
use anyfront::status::page::Manner;
use anyfront::status::public::{self, Fallback, Keeper};
use anyfront::status::rendering::Rendering;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest wait for anything.
pub const BOUND: Duration = Duration::from_secs(20);

/// A status page on loopback.
pub struct Shown {
    pub address: SocketAddr,
    pub board: Arc<Board>,
    reports: watch::Sender<Arc<Report>>,
    end: watch::Sender<bool>,
}

impl Shown {
    /// Shows `report`, and writes copies into `export`.
    pub async fn start(report: Report, export: Option<PathBuf>) -> Self {
        let snapshot = crate::common::first_snapshot(crate::common::topology(&crate::common::real_fleet()));
        let published = Published::new(Arc::new(snapshot));
        let (reports, seen) = watch::channel(Arc::new(report));
        let (end, ending) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let fallback = Fallback::of(&[address]);
        let first = Rendering::of(&seen.borrow(), &fallback.setting(&published.load(), Manner::Live), None);
        let board = Arc::new(Board::new(first, Clock::start(), ending.clone()));
        let keeper = Keeper { board: Arc::clone(&board), reports: seen, published, fallback, export };
        tokio::spawn(public::keep(keeper, ending.clone()));
        tokio::spawn(public::run(Arc::clone(&board), vec![listener], ending));
        Self { address, board, reports, end }
    }

    /// The report as if it were made now.
    pub fn now(mut report: Report) -> Report {
        let shift = Clock::start().wall().saturating_sub(stories::NOW);
        report.at += shift;
        report
    }

    /// Shows `report` from now on.
    pub fn tell(&self, report: Report) {
        self.reports.send_replace(Arc::new(report));
    }

    /// Ends it, as a node does.
    pub fn end(&self) {
        self.end.send_replace(true);
    }

    /// Asks for `path`, with these lines in the head.
    pub async fn ask(&self, method: &str, path: &str, lines: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: status\r\nconnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut bytes = Vec::new();
        tokio::time::timeout(BOUND, stream.read_to_end(&mut bytes)).await.expect("in time").expect("read");
        Answer::of(&bytes)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
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
