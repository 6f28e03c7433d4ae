//! The public address (`--status ADDR`): a small HTTP/1.1 server of its own that has nothing to say but the status page, for
//! everybody or for a proxy in front of it. And [`keep`], which renders what is shown.
//!
//! A connection must say what it wants in time and lives a minute; one that follows the news, as long as they last.

use super::board::{Board, Content};
use super::ending::{self, LAST_ANSWER_MAX};
use super::export;
use super::page::{Assets, Manner, Setting};
use super::rendering::Rendering;
use super::seats::Seats;
use crate::history::story::{Incident, Level, Report};
use crate::limits::{
    CONNECTION_BUFFER_BYTES_MAX, HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HEADER_TIMEOUT, SERVICE_BODY_TIMEOUT,
    STATUS_CONNECTIONS_MAX, STATUS_CONNECTIONS_PER_PREFIX_MAX, STATUS_EVENTS_LAST, STATUS_FORM_BYTES_MAX,
};
use crate::shutdown::requested;
use crate::snapshot::{Published, Snapshot};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How long a connection may live; then its last answer is finished and it is closed.
const LIFETIME_MAX: Duration = Duration::from_secs(60);
/// Between two renderings at least, if something happened.
const NEWS_EVERY: Duration = Duration::from_secs(1);
/// Between two renderings where only figures moved.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// Answers on `listeners` until `shutdown`; then finishes the answers under way.
pub async fn run(board: Arc<Board>, listeners: Vec<TcpListener>, shutdown: watch::Receiver<bool>) {
    let seats = Arc::new(Seats::new(STATUS_CONNECTIONS_MAX, STATUS_CONNECTIONS_PER_PREFIX_MAX));
    // Held by each connection, so that the end of the last one is seen.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let mut doors = JoinSet::new();
    for listener in listeners {
        let (board, seats, alive, ending) = (Arc::clone(&board), Arc::clone(&seats), alive.clone(), shutdown.clone());
        let admit = move |stream: TcpStream, peer: SocketAddr| {
            // Beyond it a connection is closed at once: who wants to know asks again.
            let Some(seat) = Seats::take(&seats, peer.ip()) else { return };
            let (board, alive, ending) = (Arc::clone(&board), alive.clone(), ending.clone());
            tokio::spawn(async move {
                serve(stream, peer, board, ending).await;
                drop((seat, alive));
            });
        };
        doors.spawn(crate::accept::accept(listener, shutdown.clone(), admit));
    }
    drop(alive);
    requested(&mut shutdown.clone()).await;
    while doors.join_next().await.is_some() {}
    let _ = tokio::time::timeout(LAST_ANSWER_MAX, all_gone.recv()).await;
}

async fn answer(board: &Board, peer: SocketAddr, request: Request<Incoming>) -> Response<Content> {
    let (parts, body) = request.into_parts();
    // Who sends none, or two, may mean another than what stands before us takes (RFC 9112 §3.2).
    if parts.version == Version::HTTP_11 && parts.headers.get_all(header::HOST).iter().count() != 1 {
        return cut_off(StatusCode::BAD_REQUEST);
    }
    let mut whole = Bytes::new();
    let mut is_read = matches!(parts.method, Method::GET | Method::HEAD);
    if board.wants_body(&parts) {
        let reading = Limited::new(body, STATUS_FORM_BYTES_MAX).collect();
        match tokio::time::timeout(SERVICE_BODY_TIMEOUT, reading).await {
            Ok(Ok(read)) => (whole, is_read) = (read.to_bytes(), true),
            Ok(Err(_)) => return cut_off(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => return cut_off(StatusCode::REQUEST_TIMEOUT),
        }
    }
    let mut answer = board.serve(board.client(peer.ip(), &parts.headers), &parts, &whole).await;
    if !is_read {
        // What it sends behind that is not read.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Nothing, and the connection's end: for a form that is too long, came too slowly or not whole, or who knows for whom.
fn cut_off(status: StatusCode) -> Response<Content> {
    let mut answer = Response::new(Content::Whole(Bytes::new()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn serve(stream: TcpStream, peer: SocketAddr, board: Arc<Board>, mut shutdown: watch::Receiver<bool>) {
    let follows = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        let (board, follows) = (Arc::clone(&board), Arc::clone(&follows));
        async move {
            let answer = answer(&board, peer, request).await;
            follows.store(matches!(answer.body(), Content::News(_)), Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADER_FIELDS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let over = async {
        let lifetime = async {
            tokio::time::sleep(LIFETIME_MAX).await;
            if follows.load(Relaxed) {
                tokio::time::sleep(STATUS_EVENTS_LAST).await;
            }
        };
        tokio::select! {
            () = requested(&mut shutdown) => {}
            () = lifetime => {}
        }
    };
    ending::serve(connection, over, "a connection to the status page").await;
}

/// Where the pages are if the file does not say it: the first public address.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// Where links of feeds point to.
    pub url: String,
    /// Whether somebody takes the forms.
    pub has_forms: bool,
    /// What the pages load: named once, because the names are digests.
    assets: Assets,
}

impl Fallback {
    /// Of the addresses that are listened on.
    #[must_use]
    pub fn of(addresses: &[SocketAddr]) -> Self {
        let url = addresses.first().map_or("http://localhost".to_owned(), |address| format!("http://{address}"));
        Self { url, has_forms: false, assets: Assets::new() }
    }

    /// With somebody who takes the forms.
    #[must_use]
    pub fn with_forms(self) -> Self {
        Self { has_forms: true, ..self }
    }

    /// What surrounds the pages, as the file says.
    #[must_use]
    pub fn setting(&self, snapshot: &Snapshot, manner: Manner) -> Setting {
        let status = &snapshot.topology.status;
        Setting {
            title: status.title.to_string(),
            url: status.url.as_deref().unwrap_or(&self.url).to_owned(),
            manner,
            has_mail: self.has_forms && status.mail.is_some(),
            has_webhooks: self.has_forms && status.webhooks.is_some(),
            assets: self.assets.clone(),
        }
    }
}

/// What [`keep`] needs.
#[derive(Debug)]
pub struct Keeper {
    /// Where it is shown.
    pub board: Arc<Board>,
    /// What is shown.
    pub reports: watch::Receiver<Arc<Report>>,
    /// What the pages are called and where they are, as things are.
    pub published: Published,
    /// And if the file does not say it.
    pub fallback: Fallback,
    /// The folder that copies are written to.
    pub export: Option<PathBuf>,
}

/// What of a report is news; the rest are figures.
type Gist = (Level, Vec<(Level, String)>, Vec<(Level, String)>, Vec<Incident>, Vec<Incident>, bool, bool);

fn gist(report: &Report) -> Gist {
    (
        report.level,
        report.regions.iter().map(|region| (region.level, region.standing.clone())).collect(),
        report.hostnames.iter().map(|hostname| (hostname.level, hostname.sentence.clone())).collect(),
        report.incidents.clone(),
        report.maintenance.clone(),
        report.is_suspect,
        report.trouble.is_some(),
    )
}

/// Renders each report once and shows it: at once what is news, figures every few seconds. Until `shutdown`.
pub async fn keep(mut keeper: Keeper, mut shutdown: watch::Receiver<bool>) {
    let mut copy: Option<(Arc<Rendering>, export::Folder)> = None;
    loop {
        let report = Arc::clone(&keeper.reports.borrow_and_update());
        let setting = keeper.fallback.setting(&keeper.published.load(), Manner::Live);
        let (before, of) = (keeper.board.shown(), Arc::clone(&report));
        let next = tokio::task::spawn_blocking(move || Rendering::of(&of, &setting, Some(&before))).await;
        let Ok(next) = next else {
            tracing::error!("the status page could not be rendered: what it showed last stays");
            return;
        };
        keeper.board.show(&Arc::new(next));
        let last = gist(&report);
        if let Some(folder) = &keeper.export {
            copy = write_copy(&keeper, &report, folder, copy).await;
        }
        let figures = tokio::time::sleep(FIGURES_EVERY);
        let news = tokio::time::sleep(NEWS_EVERY);
        let mut figures = std::pin::pin!(figures);
        tokio::select! {
            () = requested(&mut shutdown) => return,
            () = news => {}
        }
        loop {
            let is_news = last != gist(&keeper.reports.borrow());
            if is_news {
                break;
            }
            tokio::select! {
                () = requested(&mut shutdown) => return,
                () = &mut figures => break,
                changed = keeper.reports.changed() => if changed.is_err() { return requested(&mut shutdown).await },
            }
        }
    }
}

/// Writes what changed in the copy. What could not be written is told once, and tried again.
async fn write_copy(
    keeper: &Keeper,
    report: &Arc<Report>,
    folder: &std::path::Path,
    before: Option<(Arc<Rendering>, export::Folder)>,
) -> Option<(Arc<Rendering>, export::Folder)> {
    let setting = keeper.fallback.setting(&keeper.published.load(), Manner::Static);
    let report = Arc::clone(report);
    let (rendered, mut folder) =
        before.map_or_else(|| (None, export::Folder::new(folder)), |(rendered, folder)| (Some(rendered), folder));
    let written = tokio::task::spawn_blocking(move || {
        let next = Arc::new(Rendering::of(&report, &setting, rendered.as_deref()));
        folder.write(&next);
        (next, folder)
    });
    written.await.ok()
}
