//! Secures connections: TLS as the client's hostname wants it, and never more handshakes at once than are good.

use super::identity::{Chosen, Identity, Speech};
use crate::limits::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, HANDSHAKES_PER_PREFIX_MAX};
use crate::steering::prefix_of;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::server::Acceptor;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Where connections of one worker are secured.
#[derive(Clone, Debug)]
pub struct Reception {
    /// What we are to clients.
    pub identity: Arc<ArcSwap<Identity>>,
    /// What is spoken there once they are secured.
    pub speech: Speech,
    /// Who is being received.
    pub queue: Arc<Queue>,
}

/// Why a connection was not secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsecured {
    /// There are too many at once.
    Crowded,
    /// The client did not want what we want, or said nothing in time.
    Failed,
}

impl Reception {
    /// A reception where nobody waits.
    #[must_use]
    pub fn new(identity: &Arc<ArcSwap<Identity>>, speech: Speech) -> Self {
        Self { identity: Arc::clone(identity), speech, queue: Arc::default() }
    }

    /// Secures a connection from `peer`, and says how it is spoken to.
    ///
    /// # Errors
    /// Why it could not be done.
    pub async fn receive<S>(&self, stream: S, peer: IpAddr) -> Result<(TlsStream<S>, Chosen), Unsecured>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (place, asked_to_go) = Place::take(&self.queue, peer).ok_or(Unsecured::Crowded)?;
        let secured = tokio::select! {
            secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.secure(stream)) => secured,
            _ = asked_to_go => return Err(Unsecured::Crowded),
        };
        drop(place);
        secured.ok().flatten().ok_or(Unsecured::Failed)
    }

    async fn secure<S>(&self, stream: S) -> Option<(TlsStream<S>, Chosen)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
        let chosen = self.identity.load().choose(self.speech, hello.client_hello().server_name())?;
        let stream = hello.into_stream(Arc::clone(&chosen.config)).await.ok()?;
        Some((stream, chosen))
    }
}

/// The handshakes under way at one worker.
///
/// Those that hold us up say nothing and grow old; those that we want are done in two round trips. So a full queue turns
/// out its oldest, and whoever wants to keep others out has to begin as many anew in every round trip.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// By age; dropping the sender turns the handshake out.
    places: BTreeMap<u64, (IpNet, oneshot::Sender<()>)>,
    by_prefix: HashMap<IpNet, usize>,
}

impl Queue {
    // Never contended: a worker is one thread. Never held across an await.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// A place for one more of `prefix`, and what tells it to go; `None` if its prefix has too many already.
    fn enter(&mut self, prefix: IpNet) -> Option<(u64, oneshot::Receiver<()>)> {
        let count = self.by_prefix.entry(prefix).or_default();
        if *count >= HANDSHAKES_PER_PREFIX_MAX {
            return None;
        }
        *count += 1;
        let (turn_out, asked_to_go) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        self.places.insert(number, (prefix, turn_out));
        if self.places.len() > HANDSHAKES_MAX {
            let oldest = *self.places.keys().next().expect("there are many");
            self.leave(oldest);
        }
        Some((number, asked_to_go))
    }

    fn leave(&mut self, number: u64) {
        let Some((prefix, _)) = self.places.remove(&number) else { return };
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}

/// One place in the queue, until it is dropped.
struct Place(Arc<Queue>, u64);

impl Place {
    fn take(queue: &Arc<Queue>, peer: IpAddr) -> Option<(Self, oneshot::Receiver<()>)> {
        let (number, asked_to_go) = queue.waiting().enter(prefix_of(peer))?;
        Some((Self(Arc::clone(queue), number), asked_to_go))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting().leave(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: usize) -> IpNet {
        let [.., a, b, c] = number.to_be_bytes();
        prefix_of(IpAddr::from([a, b, c, 1]))
    }

    #[test]
    fn one_too_many_turns_out_the_oldest_and_never_the_newest() {
        let mut waiting = Waiting::default();
        let mut told: Vec<_> = (0..=HANDSHAKES_MAX).map(|at| waiting.enter(prefix(at)).expect("a place").1).collect();
        let is_out = |told: &mut oneshot::Receiver<()>| told.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        assert!(is_out(&mut told[0]));
        assert!(!told[1..].iter_mut().any(is_out));
        assert_eq!(waiting.places.len(), HANDSHAKES_MAX);
    }

    #[test]
    fn one_prefix_gets_half_of_the_places_and_no_more_and_gets_them_back() {
        let mut waiting = Waiting::default();
        let places: Vec<_> =
            (0..HANDSHAKES_PER_PREFIX_MAX).map(|_| waiting.enter(prefix(1)).expect("a place")).collect();
        assert!(waiting.enter(prefix(1)).is_none());
        assert!(waiting.enter(prefix(2)).is_some());
        waiting.leave(places[7].0);
        waiting.leave(places[7].0);
        assert!(waiting.enter(prefix(1)).is_some());
        assert!(waiting.enter(prefix(1)).is_none());
    }

    #[test]
    fn nothing_is_left_of_those_who_have_gone() {
        let queue = Arc::new(Queue::default());
        drop(Place::take(&queue, IpAddr::from([192, 0, 2, 1])));
        let waiting = queue.waiting();
        assert!(waiting.places.is_empty() && waiting.by_prefix.is_empty());
    }
}
