//! The end, asked for once and seen by every task.

use tokio::sync::watch;

/// Waits until the end is asked for, or nobody is left who could.
pub async fn requested(shutdown: &mut watch::Receiver<bool>) {
    // The guard in the result must not live on into whatever follows.
    let _ = shutdown.wait_for(|asked| *asked).await;
}
