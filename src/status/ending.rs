//! How a connection to one of our own small servers ends.

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Connection;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long the last answer may take once its connection is to end.
pub(super) const LAST_ANSWER_MAX: Duration = Duration::from_secs(6);

/// Serves a connection until it ends or `over` comes; then its last answer is finished. `what` it is, for the log.
pub(super) async fn serve<S, B>(
    connection: Connection<TokioIo<TcpStream>, S>,
    over: impl Future<Output = ()>,
    what: &'static str,
) where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = over => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_ANSWER_MAX, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "{what} ended early");
    }
}
