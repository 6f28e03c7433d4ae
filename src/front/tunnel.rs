//! A connection that has become a WebSocket (RFC 9110 §7.8, RFC 8441): octets both ways, until one side has had enough.
//!
//! Only after the region itself has opened it: before that every byte is HTTP. Nothing is read into the frames but where
//! they end ([`websocket`](super::websocket)), so that whoever is left behind can be told, and what was cut looks cut:
//!
//! ```text
//! both have closed               --> ends pass as they come
//! the region is gone             --> the client gets a Close (1014) between frames; inside one it is cut
//! the client is gone             --> the region is cut at once
//! idle, node stops, hard drain   --> both get a Close (1001) at their next boundary, a moment to answer it, then the end
//! ```

use super::connection::Connection;
use super::fast::rooms::poll_append;
use super::guard::{Busy, Talk};
use super::ongoing::Ongoing;
use super::streams::Knife;
use super::websocket::{Farewell, Frames};
use super::{Front, websocket};
use crate::control::Event;
use crate::counters::record::Outcome;
use crate::counters::{DoorCounters, Websockets};
use crate::health::Fault;
use crate::limits::WEBSOCKET_CLOSING_MAX;
use crate::load::Load;
use crate::moment::Moment;
use crate::names::EndpointName;
use crate::snapshot::{Drained, EndpointId};
use crate::upstream::answer::Answer;
use http::{HeaderValue, StatusCode, Version, header, request, response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::future::{pending, poll_fn};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What the client offers to become a WebSocket.
#[derive(Debug)]
pub struct Offer {
    client: OnUpgrade,
    /// What it wants to have answered.
    key: Option<HeaderValue>,
    /// Whether it is a stream of HTTP/2 and no connection.
    is_stream: bool,
}

impl Offer {
    /// Takes it from the client's head.
    #[must_use]
    pub fn of(parts: &mut request::Parts) -> Option<Self> {
        let client = parts.extensions.remove::<OnUpgrade>()?;
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        Some(Self { client, key, is_stream: parts.version == Version::HTTP_2 })
    }

    /// Makes of the head with which a region has opened a WebSocket the one that opens it for the client. Must be the last
    /// that is done before the answer is given.
    pub fn accept(self, parts: &mut response::Parts, connection: &Connection) -> (OnUpgrade, Edge) {
        let headers = &mut parts.headers;
        headers.remove(header::CONTENT_LENGTH);
        if self.is_stream {
            parts.status = StatusCode::OK;
            headers.remove(header::SEC_WEBSOCKET_ACCEPT);
            return (self.client, Edge::Stream(connection.streams.knife()));
        }
        if let (Some(key), false) = (&self.key, headers.contains_key(header::SEC_WEBSOCKET_ACCEPT)) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, websocket::accept(key));
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        connection.talk.becomes_tunnel();
        (self.client, Edge::Connection(Arc::clone(&connection.talk)))
    }
}

/// How the client is cut so that it cannot take it for an end.
#[derive(Debug)]
pub enum Edge {
    /// Its connection is reset.
    Connection(Arc<Talk>),
    /// Its stream is.
    Stream(Knife),
}

/// A WebSocket that the region has opened.
#[derive(Debug)]
pub struct Tunnel {
    /// The worker's.
    pub front: Arc<Front>,
    /// What the region said; keeps the endpoint's load.
    pub answer: Answer,
    /// Where the client can be cut.
    pub edge: Edge,
    /// Whose it is.
    pub endpoint: EndpointId,
    /// What that is called: after a reload it may be another in everything but its name.
    pub name: EndpointName,
    /// What that endpoint carries.
    pub load: Arc<Load>,
    /// The client's prefix, hashed.
    pub prefix: u64,
    /// Longest silence both ways.
    pub idle_max: Duration,
    /// Keeps the client's connection from counting as idle.
    pub busy: Busy,
    /// Keeps the node from ending before it must.
    pub alive: mpsc::Sender<()>,
    /// The request that opened it, until its end is told.
    pub ongoing: Ongoing,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    ClientLost,
    RegionLost,
    Left(Farewell),
}

impl Tunnel {
    /// Carries octets between `client` and `region` to the end.
    pub async fn join(mut self, client: OnUpgrade, region: OnUpgrade) {
        let (client, region) = match tokio::try_join!(client, region) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "a WebSocket was promised and did not open");
                return self.answer.cut();
            }
        };
        let open = Open::new(&self.front);
        self.ongoing.waits();
        let mut both = Both::new(&self.front, client, region);
        let moved = Arc::clone(&both.moved);
        let lease = Lease { front: &self.front, endpoint: &self.name, idle_max: self.idle_max };
        let end = tokio::select! {
            end = both.carry() => end,
            farewell = lease.is_over(&moved) => End::Left(farewell),
        };
        tracing::debug!(?end, "a WebSocket ends");
        let counters = &self.front.counters.door.websockets;
        DoorCounters::count(counter(counters, end));
        let is_clean = match end {
            End::Closed => true,
            End::ClientLost => false,
            End::RegionLost => {
                self.blame();
                self.answer.cut();
                both.tell_client(Farewell::RegionLost).await
            }
            End::Left(farewell) => both.leave(farewell).await,
        };
        if !is_clean {
            self.answer.cut();
            match self.edge {
                Edge::Connection(talk) => talk.ends_in_reset(),
                Edge::Stream(knife) => knife.cut(),
            }
        }
        self.ongoing.came(both.up.passed);
        self.ongoing.passed(usize::try_from(both.down.passed).unwrap_or(usize::MAX));
        match end {
            End::Closed | End::Left(_) => self.ongoing.ended(Outcome::Complete, None),
            End::ClientLost => self.ongoing.ended(Outcome::ClientGone, None),
            End::RegionLost => self.ongoing.ended(Outcome::Cut, Some(Fault::Cut)),
        }
        drop((both, self.answer, self.busy, open, self.alive));
    }

    /// The region broke off what it had begun.
    fn blame(&self) {
        DoorCounters::count(&self.front.counters.door.cut);
        self.load.failed();
        self.front.tell(Event::Failed { endpoint: self.endpoint, fault: Fault::Cut, prefix: self.prefix });
    }
}

/// How long a WebSocket may live.
struct Lease<'a> {
    front: &'a Front,
    endpoint: &'a EndpointName,
    idle_max: Duration,
}

impl Lease<'_> {
    /// Comes back when it must end although both sides are well.
    async fn is_over(&self, moved: &Mutex<Moment>) -> Farewell {
        let mut node_leaves = self.front.farewell.clone();
        tokio::select! {
            () = self.silence(moved) => Farewell::Idle,
            Ok(_) = node_leaves.wait_for(|leaves| *leaves) => Farewell::GoingAway,
            () = self.hard_drain() => Farewell::GoingAway,
        }
    }

    async fn silence(&self, moved: &Mutex<Moment>) {
        let clock = self.front.clock;
        loop {
            let until = *moved.lock().unwrap_or_else(PoisonError::into_inner) + self.idle_max;
            if clock.now() >= until {
                return;
            }
            tokio::time::sleep_until(clock.instant(until)).await;
        }
    }

    async fn hard_drain(&self) {
        let mut bell = self.front.published.subscribe();
        loop {
            let is_taken_away = {
                let snapshot = self.front.published.load();
                let at = snapshot.topology.endpoints.iter().position(|endpoint| endpoint.name == *self.endpoint);
                at.is_some_and(|at| snapshot.endpoints[at].drained == Some(Drained::Hard))
            };
            if is_taken_away {
                return;
            }
            if bell.changed().await.is_err() {
                return pending().await;
            }
        }
    }
}

fn counter(counters: &Websockets, end: End) -> &std::sync::atomic::AtomicU64 {
    match end {
        End::Closed => &counters.closed,
        End::ClientLost => &counters.client_lost,
        End::RegionLost | End::Left(Farewell::RegionLost) => &counters.region_lost,
        End::Left(Farewell::Idle) => &counters.idle,
        End::Left(Farewell::GoingAway) => &counters.going_away,
    }
}

/// One open WebSocket, counted.
struct Open(Arc<Front>);

impl Open {
    fn new(front: &Arc<Front>) -> Self {
        front.counters.door.websockets.open.fetch_add(1, Relaxed);
        Self(Arc::clone(front))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.door.websockets.open.fetch_sub(1, Relaxed);
    }
}

type Stream = TokioIo<Upgraded>;

/// Both directions.
struct Both<'a> {
    /// From the region to the client.
    down: Half<'a>,
    /// From the client to the region.
    up: Half<'a>,
    /// When something last came from either side.
    moved: Arc<Mutex<Moment>>,
    /// What masks our own words to the region.
    mask: [u8; 4],
}

impl<'a> Both<'a> {
    fn new(front: &'a Front, client: Upgraded, region: Upgraded) -> Self {
        let (client_says, to_client) = tokio::io::split(TokioIo::new(client));
        let (region_says, to_region) = tokio::io::split(TokioIo::new(region));
        let moved = Arc::new(Mutex::new(front.clock.now()));
        let half = |from, to| Half {
            front,
            from,
            to,
            frames: Frames::default(),
            held: Vec::new(),
            sent: 0,
            passed: 0,
            moved: Arc::clone(&moved),
        };
        let [mask @ .., _, _, _, _] = front.roll().to_be_bytes();
        Self { down: half(region_says, to_client), up: half(client_says, to_region), moved: Arc::clone(&moved), mask }
    }

    /// Until one side has had enough. May be dropped at any time: nothing is lost that was not sent.
    async fn carry(&mut self) -> End {
        let (down, up) = (&mut self.down, &mut self.up);
        tokio::select! {
            biased;
            stop = down.carry() => match stop {
                Stop::Silent => Self::after_region(down, up).await,
                Stop::Deaf => if up.frames.has_closed() { End::Closed } else { End::ClientLost },
            },
            stop = up.carry() => match stop {
                Stop::Silent if up.frames.has_closed() => {
                    up.shut().await;
                    // What the region still has to say, its own Close above all.
                    let _ = timeout(WEBSOCKET_CLOSING_MAX, down.carry()).await;
                    down.shut().await;
                    End::Closed
                }
                Stop::Silent if down.frames.has_closed() => End::Closed,
                Stop::Silent => End::ClientLost,
                Stop::Deaf => {
                    // It takes no more, but may have said why.
                    let _ = timeout(WEBSOCKET_CLOSING_MAX, down.carry()).await;
                    Self::after_region(down, up).await
                }
            },
        }
    }

    /// The region says no more.
    async fn after_region(down: &mut Half<'a>, up: &mut Half<'a>) -> End {
        if !down.frames.has_closed() {
            return End::RegionLost;
        }
        down.shut().await;
        let _ = timeout(WEBSOCKET_CLOSING_MAX, up.carry()).await;
        up.shut().await;
        End::Closed
    }

    /// Has the client close. Whether it could be told.
    async fn tell_client(&mut self, farewell: Farewell) -> bool {
        if !self.down.frames.is_between_frames() || !self.down.held.is_empty() {
            return false;
        }
        let frame = farewell.frame(None);
        let mut is_told = false;
        let parting = async {
            is_told = self.down.say(&frame).await.is_ok();
            self.up.hear_out().await;
        };
        let _ = timeout(WEBSOCKET_CLOSING_MAX, parting).await;
        if is_told {
            self.down.shut().await;
        }
        is_told
    }

    /// Has both close. Whether both could be told.
    async fn leave(&mut self, farewell: Farewell) -> bool {
        let (plain, masked) = (farewell.frame(None), farewell.frame(Some(self.mask)));
        let (down, up) = (&mut self.down, &mut self.up);
        let (mut client_knows, mut region_knows) = (false, false);
        let both = async {
            tokio::join!(
                async {
                    client_knows = down.say(&plain).await.is_ok();
                    down.hear_out().await;
                },
                async {
                    region_knows = up.say(&masked).await.is_ok();
                    up.hear_out().await;
                },
            )
        };
        let _ = timeout(WEBSOCKET_CLOSING_MAX, both).await;
        if client_knows && region_knows {
            tokio::join!(down.shut(), up.shut());
        }
        client_knows && region_knows
    }
}

/// Why nothing more can be carried in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Who speaks has ended, or broken off.
    Silent,
    /// Who listens takes no more.
    Deaf,
}

/// One direction.
struct Half<'a> {
    front: &'a Front,
    from: ReadHalf<Stream>,
    to: WriteHalf<Stream>,
    /// What was sent, by frames.
    frames: Frames,
    /// What has come, and how much of it was sent.
    held: Vec<u8>,
    sent: usize,
    /// Octets sent altogether.
    passed: u64,
    moved: Arc<Mutex<Moment>>,
}

impl Half<'_> {
    /// Until one of the two ends. May be dropped at any time.
    async fn carry(&mut self) -> Stop {
        loop {
            if self.send(usize::MAX).await.is_err() {
                return Stop::Deaf;
            }
            if !self.receive().await {
                return Stop::Silent;
            }
        }
    }

    /// Waits for more. `false`: there is none.
    async fn receive(&mut self) -> bool {
        let (from, held, front) = (&mut self.from, &mut self.held, self.front);
        let came = poll_fn(|cx| poll_append(cx, from, &front.scratch, held)).await;
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = front.clock.now();
        came.is_ok_and(|count| count > 0)
    }

    /// Sends what is held, but no more than `most` octets of it.
    async fn send(&mut self, most: usize) -> io::Result<()> {
        let until = self.held.len().min(self.sent.saturating_add(most));
        while self.sent < until {
            let count = self.to.write(&self.held[self.sent..until]).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.frames.follow(&self.held[self.sent..self.sent + count]);
            self.sent += count;
            self.passed += count as u64;
        }
        if self.sent == self.held.len() && self.sent > 0 {
            // A quiet WebSocket holds no memory for what it might say.
            (self.held, self.sent) = (Vec::new(), 0);
            self.to.flush().await?;
        }
        Ok(())
    }

    /// Goes on to the end of the frame under way, and says `farewell` after it, unless a Close has passed already.
    async fn say(&mut self, farewell: &[u8]) -> io::Result<()> {
        while !self.frames.is_between_frames() {
            if self.held.is_empty() && !self.receive().await {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let rest = self.frames.clone().step(&self.held[self.sent..]);
            self.send(rest).await?;
        }
        if !self.frames.has_closed() {
            self.to.write_all(farewell).await?;
        }
        self.to.flush().await
    }

    /// Hears who speaks out, until it has closed or ended; nobody else does.
    async fn hear_out(&mut self) {
        self.frames.follow(&self.held[self.sent..]);
        (self.held, self.sent) = (Vec::new(), 0);
        while !self.frames.has_closed() && self.receive().await {
            self.frames.follow(&self.held);
            self.held.clear();
        }
    }

    /// Says that nothing more comes.
    async fn shut(&mut self) {
        // Whoever does not take it has gone before.
        let _ = timeout(WEBSOCKET_CLOSING_MAX, self.to.shutdown()).await;
    }
}
