//! The status page as everybody gets it: the real listener on loopback with reports of the test's making, and a plain client.

use crate::asking::{Answer, ask};
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
use tokio::net::TcpListener;
use tokio::sync::watch;

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
        ask(self.address, method, path, lines).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}
