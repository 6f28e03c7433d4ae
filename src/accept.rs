//! Takes connections, for every door that does: until the end, and then those that had come before it.

use crate::shutdown::requested;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// After an accept that failed (no descriptors left, say) the next is tried this much later.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Hands each connection of `listener` to `admit`, until `shutdown`.
pub async fn accept(
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
    mut admit: impl FnMut(TcpStream, SocketAddr),
) {
    let mut asked = pin!(requested(&mut shutdown));
    loop {
        let accepted = tokio::select! {
            () = &mut asked => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    // Those who wait in the kernel have a connection already, and may have asked something: closing would reset them.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            admit(stream, peer);
        }
    }
}
