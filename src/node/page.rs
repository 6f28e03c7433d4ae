//! Starts the status page and hands it to the front, for its own hostname.

use super::history::Historian;
use super::{Common, StartError};
use crate::front::live::{Answer, Clear, Content, Live};
use crate::history::story::Report;
use crate::limits::STATUS_FORM_BYTES_MAX;
use crate::moment::Clock;
use crate::names::Hostname;
use crate::snapshot::{Published, Snapshot};
use crate::status::board::{self, Board};
use crate::status::page::Manner;
use crate::status::public::{self, Fallback, Keeper};
use crate::status::rendering::Rendering;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The first board of a node, with the report that there is at its start.
pub(super) fn board(
    addresses: &[SocketAddr],
    published: &Published,
    historian: &Historian,
    clock: Clock,
    ending: &watch::Receiver<bool>,
) -> Arc<Board> {
    let fallback = Fallback::of(addresses).with_forms();
    if addresses.first().is_some_and(|first| first.ip().is_unspecified())
        && published.load().topology.status.url.is_none()
    {
        let url = &fallback.url;
        tracing::warn!(
            "links in feeds and messages point to {url}, where nobody gets: say in [status] what the page's url is"
        );
    }
    let setting = fallback.setting(&published.load(), Manner::Live);
    let first = Rendering::of(&historian.report().borrow(), &setting, None);
    Arc::new(Board::new(first, clock, ending.clone()).with_forms(historian.subscriptions()))
}

/// The page at its hostname: over HTTPS, if that is listened for at a port. There are forms on it, and secrets behind them.
pub(super) fn service(board: &Arc<Board>, https: Option<u16>) -> Live {
    let board = Arc::clone(board);
    Live {
        path: None,
        in_the_clear: https.map_or(Clear::Answered, Clear::Secured),
        is_at,
        body_bytes_max: STATUS_FORM_BYTES_MAX,
        methods: "GET, HEAD, POST",
        answer: Answer::Later(Box::new(move |peer, head, body| {
            let board = Arc::clone(&board);
            Box::pin(async move {
                board.serve(peer, &head, &body).await.map(|content| match content {
                    board::Content::Whole(body) => Content::Whole(body),
                    board::Content::News(news) => Content::Stream(news),
                })
            })
        })),
    }
}

fn is_at(snapshot: &Snapshot, hostname: &Hostname) -> bool {
    snapshot.topology.status.hostname.as_ref() == Some(hostname)
}

impl Common {
    /// Starts rendering each report, and answering at the public addresses.
    pub(super) fn start_page(
        &self,
        runtime: &Runtime,
        (listeners, export): (Vec<TcpListener>, Option<PathBuf>),
        reports: &watch::Receiver<Arc<Report>>,
        (accepting, ending): (&watch::Receiver<bool>, &watch::Receiver<bool>),
    ) -> Result<(), StartError> {
        let addresses = super::locals(&listeners);
        let listeners = {
            let _inside = runtime.enter();
            let turned = listeners.into_iter().map(tokio::net::TcpListener::from_std);
            turned.collect::<io::Result<Vec<_>>>().map_err(StartError::System)?
        };
        let keeper = Keeper {
            board: Arc::clone(&self.board),
            reports: reports.clone(),
            published: self.published.clone(),
            fallback: Fallback::of(&addresses).with_forms(),
            export,
        };
        self.watch(runtime, "the status page", Box::pin(public::keep(keeper, ending.clone())), ending.clone());
        let door = public::run(Arc::clone(&self.board), listeners, accepting.clone());
        self.watch(runtime, "the public address", Box::pin(door), accepting.clone());
        Ok(())
    }
}
