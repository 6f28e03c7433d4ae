//! When a node that has just started wants traffic.

use crate::health::Reason;
use crate::snapshot::Published;
use std::time::Duration;
use tokio::sync::watch;

/// A node is ready when every endpoint was probed once, or after this: with everything silent it serves all the same.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// Ready once every endpoint has been probed.
pub(super) async fn become_ready(published: Published, ready: watch::Sender<bool>) {
    let mut bell = published.subscribe();
    let probed = async {
        while published.load().endpoints.iter().any(|state| state.reason == Reason::NotProbed) {
            if bell.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(READY_WITHIN, probed).await;
    ready.send_replace(true);
}
