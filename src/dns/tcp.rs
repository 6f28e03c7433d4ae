//! DNS over TCP (RFC 7766) and over TLS (RFC 7858): messages with their lengths before them (RFC 1035 §4.2.2).
//!
//! Questions of one connection are answered in the order in which they come, a few at a time and then written: a client that
//! reads nothing is asked for nothing more, so what a connection can hold is one message that comes and some answers that
//! go. Every wait has an end. What is answered, and with what, is [`Responder`]'s.

use super::asker::Transport;
use super::crowd::Crowd;
use super::responder::{Outcome, Responder};
use crate::accept::accept;
use crate::counters::{DoorCounters, StreamCounters, WorkerCounters};
use crate::limits::{DNS_FAREWELL, DNS_MESSAGE_TIMEOUT, DNS_PIPELINED_MAX, DNS_STREAM_IDLE, DNS_WRITE_STALL_MAX};
use crate::moment::{Clock, Moment};
use crate::shutdown::requested;
use crate::tls::reception::{Reception, Unsecured};
use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

/// How much is read at once, octets: a question has a few dozen, and room for a longer one is made as it comes.
const READ_BYTES: usize = 512;
/// Answers are written once they have come to so much, octets.
const WRITE_BYTES: usize = 16 << 10;
/// A connection in use says so this often at most: who is quiet longest is told to a second.
const USED_EVERY: Duration = Duration::from_secs(1);

/// One worker's way of taking questions over TCP, or over TLS.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The node's.
    pub clock: Clock,
    /// Who answers.
    pub responder: Responder,
    /// Who is connected to the node in this way. Whoever has to go is told by the end of a channel.
    pub crowd: Arc<Crowd<oneshot::Sender<()>>>,
    /// How TLS is spoken, if it is.
    pub tls: Option<Reception>,
    /// The worker's.
    pub counters: Arc<WorkerCounters>,
}

impl Streams {
    fn transport(&self) -> Transport {
        if self.tls.is_some() { Transport::Dot } else { Transport::Tcp }
    }

    fn counters(&self) -> &StreamCounters {
        if self.tls.is_some() { &self.counters.dns_tls } else { &self.counters.dns_tcp }
    }
}

/// Accepts on `listener` until `shutdown`; then what has been asked is answered, and connections end. They hold `alive` for
/// as long as they are open.
pub async fn run(listener: TcpListener, streams: Streams, alive: mpsc::Sender<()>, shutdown: watch::Receiver<bool>) {
    let ending = shutdown.clone();
    accept(listener, shutdown, |stream, peer| admit(&streams, stream, peer, &alive, &ending)).await;
}

fn admit(
    streams: &Streams,
    stream: TcpStream,
    peer: SocketAddr,
    alive: &mpsc::Sender<()>,
    ending: &watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else { return };
    let (mut seat, asked_to_go) = Seat::take(streams.clone(), peer);
    let (alive, mut ending, mut is_over) = (alive.clone(), ending.clone(), ending.clone());
    tokio::spawn(async move {
        let over = async {
            requested(&mut is_over).await;
            tokio::time::sleep(DNS_FAREWELL).await;
        };
        tokio::select! {
            biased;
            _ = asked_to_go => {}
            () = over => {}
            () = converse(&mut seat, stream, (peer, local), &mut ending) => {}
        }
        drop(alive);
    });
}

/// One open connection, counted.
struct Seat {
    streams: Streams,
    number: u64,
    used: Moment,
}

impl Seat {
    fn take(streams: Streams, peer: SocketAddr) -> (Self, oneshot::Receiver<()>) {
        let counters = streams.counters();
        DoorCounters::count(&counters.connections);
        counters.open.fetch_add(1, Relaxed);
        let (sender, asked_to_go) = oneshot::channel();
        let (number, turned_out) = streams.crowd.seats().take(peer.ip(), sender);
        if turned_out.is_some() {
            DoorCounters::count(&counters.turned_out);
        }
        let used = streams.clock.now();
        (Self { streams, number, used }, asked_to_go)
    }

    fn used(&mut self) {
        let now = self.streams.clock.now();
        if now.since(self.used) >= USED_EVERY {
            self.used = now;
            // Somebody who has been turned out hears of it by himself.
            if let Some(number) = self.streams.crowd.seats().used(self.number) {
                self.number = number;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.streams.crowd.seats().leave(self.number);
        self.streams.counters().open.fetch_sub(1, Relaxed);
    }
}

async fn converse(
    seat: &mut Seat,
    stream: TcpStream,
    ends: (SocketAddr, SocketAddr),
    ending: &mut watch::Receiver<bool>,
) {
    let Some(tls) = seat.streams.tls.clone() else {
        return Talk::new(seat, stream, ends).run(ending).await;
    };
    // It is large, and over soon.
    match Box::pin(tls.receive(stream, ends.0.ip())).await {
        Ok((stream, _)) => Talk::new(seat, stream, ends).run(ending).await,
        Err(Unsecured::Crowded | Unsecured::Failed) => {
            DoorCounters::count(&seat.streams.counters().failed_handshakes);
        }
    }
}

/// What a connection is at.
struct Talk<'a, S> {
    seat: &'a mut Seat,
    stream: S,
    ends: (SocketAddr, SocketAddr),
    responder: Responder,
    /// What came and was not answered yet.
    received: BytesMut,
    /// Answers on their way, each with its length before it.
    answers: Vec<u8>,
}

/// What is to be done about what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// So many octets are missing, at least.
    Read(usize),
    /// There is a whole message, of so many octets.
    Message(usize),
    /// A message of nothing: nobody asks in that way, and what follows is no message either.
    Leave,
}

/// What the octets from one message's length on want next.
fn next(received: &[u8]) -> Next {
    let Some(length) = received.first_chunk::<2>() else { return Next::Read(2 - received.len()) };
    match usize::from(u16::from_be_bytes(*length)) {
        0 => Next::Leave,
        length if received.len() < 2 + length => Next::Read(2 + length - received.len()),
        length => Next::Message(length),
    }
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Talk<'a, S> {
    fn new(seat: &'a mut Seat, stream: S, ends: (SocketAddr, SocketAddr)) -> Self {
        let responder = seat.streams.responder.clone();
        Self { seat, stream, ends, responder, received: BytesMut::new(), answers: Vec::new() }
    }

    /// From the first question to the last answer.
    async fn run(mut self, ending: &mut watch::Receiver<bool>) {
        loop {
            let next = self.answer_some();
            if self.write().await.is_err() {
                return;
            }
            let missing = match next {
                // There is more than was answered: whoever else waits at this worker comes first.
                Next::Message(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Next::Leave => return self.close().await,
                Next::Read(missing) => missing,
            };
            match self.read(missing, ending).await {
                // Those who have said all may still want to hear the answers, and have heard them.
                Ok(0) => return drop(self.stream.shutdown().await),
                Ok(_) => self.seat.used(),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return self.close().await,
                Err(_) => return,
            }
        }
    }

    /// Answers what came, as long as it is not too much for once; what is to be done then.
    fn answer_some(&mut self) -> Next {
        let transport = self.seat.streams.transport();
        for _ in 0..DNS_PIPELINED_MAX {
            let Next::Message(length) = next(&self.received) else { break };
            let question = self.received.split_to(2 + length).split_off(2);
            let at = self.answers.len();
            self.answers.extend_from_slice(&[0, 0]);
            DoorCounters::count(&self.seat.streams.counters().questions);
            let outcome = self.responder.answer(transport, self.ends, &question, &mut self.answers);
            match (outcome, u16::try_from(self.answers.len() - at - 2)) {
                (Outcome::Answer { .. }, Ok(length)) => self.answers[at..at + 2].copy_from_slice(&length.to_be_bytes()),
                // No answer can be so long: a bug costs this one.
                (Outcome::Silence, _) | (_, Err(_)) => self.answers.truncate(at),
            }
            if self.answers.len() >= WRITE_BYTES {
                break;
            }
        }
        next(&self.received)
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let written = async {
            self.stream.write_all(&self.answers).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(DNS_WRITE_STALL_MAX, written).await??;
        // Most connections wait most of the time: then they hold nothing.
        self.answers = Vec::new();
        Ok(())
    }

    /// Reads until at least `missing` octets more are there; none if the client has said all. `TimedOut` if it takes too long,
    /// or if the end has come and nothing is under way.
    async fn read(&mut self, mut missing: usize, ending: &mut watch::Receiver<bool>) -> io::Result<usize> {
        if self.received.is_empty() {
            self.received = BytesMut::with_capacity(READ_BYTES);
            let first = self.stream.read_buf(&mut self.received);
            let read = tokio::select! {
                // What is there already was asked before the end.
                biased;
                read = tokio::time::timeout(DNS_STREAM_IDLE, first) => read??,
                () = requested(ending) => return Err(io::ErrorKind::TimedOut.into()),
            };
            missing = missing.saturating_sub(read);
            if read == 0 || missing == 0 {
                return Ok(read);
            }
        }
        let rest = async {
            loop {
                // The length is anybody's claim: room is made for what comes.
                self.received.reserve(missing.min(READ_BYTES));
                match self.stream.read_buf(&mut self.received).await? {
                    read if read == 0 || read >= missing => return Ok(read),
                    read => missing -= read,
                }
            }
        };
        tokio::time::timeout(DNS_MESSAGE_TIMEOUT, rest).await?
    }

    /// Says that this was all, and waits for the client to say so, too: closing at once on what it still sends would destroy
    /// answers on their way.
    async fn close(mut self) {
        let farewell = async {
            self.stream.shutdown().await?;
            let mut rest = [0; READ_BYTES];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(DNS_FAREWELL, farewell).await;
    }
}
