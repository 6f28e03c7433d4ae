//! One stand-in gateway: an endpoint of a region with real sockets, and whatever fault it was told to have.
//!
//! It answers HTTP/1.1 and, over TLS, HTTP/2. It adds the round trip of its distance: once when a connection is taken,
//! once more for TLS, and before the head of every answer.

use super::answers::answer;
use super::door::Door;
use super::fault::Fault;
use super::logbook::Logbook;
use super::mcp::Sessions;
use super::wire::{Open, Scissors, Weather, Wire};
use crate::moment::{Clock, Moment, mix};
use crate::names::{EndpointName, Label};
use crate::tls::ALPN_HTTP2;
use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

/// Orders that may wait at one door.
const ORDERS_MAX: usize = 16;
/// After an accept that failed, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Until the connections of a stand-in that dies are gone.
const RESET_WAIT: Duration = Duration::from_secs(1);
/// What a plain endpoint says under `tls`.
const GARBAGE: &[u8] = b"\x15\x03\x01\x00\x02\x02\x28 this is no HTTP\r\n\r\n";
/// Longest head of a request, octets.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Most header fields of a request.
const HEADER_FIELDS_MAX: usize = 512;

/// Who a stand-in is.
#[derive(Clone, Debug)]
pub struct About {
    /// Its region.
    pub region: Label,
    /// The region's provider.
    pub provider: Label,
    /// Its name.
    pub endpoint: EndpointName,
    /// In or near which city.
    pub place: String,
    /// There and back, from the node's site.
    pub round_trip: Duration,
}

/// How a stand-in behaves.
#[derive(Debug)]
pub struct Manner {
    /// The right certificate and the wrong one; `None` is plain HTTP.
    pub tls: Option<(Arc<ServerConfig>, Arc<ServerConfig>)>,
    /// Between the tokens of a streamed completion.
    pub token_pace: Duration,
    /// How many requests the log keeps.
    pub log_entries_max: usize,
    /// Decides which requests an injected error hits.
    pub seed: u64,
}

/// What the connections of a stand-in share.
pub(super) struct Core {
    pub(super) about: About,
    pub(super) endpoint_header: HeaderValue,
    pub(super) round_trip: Duration,
    pub(super) token_pace: Duration,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) log: Arc<Logbook>,
    pub(super) weather: watch::Sender<Weather>,
    /// A lock because connections are tasks of their own; it is held while one answer is made, and never across a wait.
    pub(super) sessions: Mutex<Sessions>,
    tls: Option<(Arc<ServerConfig>, Arc<ServerConfig>)>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about.fmt(f)
    }
}

struct Order {
    fault: Fault,
    lasts: Option<Duration>,
    done: oneshot::Sender<io::Result<()>>,
}

/// A stand-in whose address is reserved; it answers from [`Unopened::open`] on.
#[derive(Debug)]
pub struct Unopened(Door);

impl Unopened {
    /// Reserves an address; port 0 is any.
    ///
    /// # Errors
    /// If somebody else has it.
    pub fn reserve(address: SocketAddr) -> io::Result<Self> {
        Door::reserve(address).map(Self)
    }

    /// Where it will answer.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Starts answering, on the runtime this is called in.
    ///
    /// # Errors
    /// If nobody can listen there.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn open(mut self, about: About, manner: Manner, clock: Clock) -> io::Result<Standin> {
        self.0.open()?;
        let address = self.0.address();
        let endpoint_header = HeaderValue::from_str(about.endpoint.as_str())
            .map_err(|_| io::Error::other(format!("endpoint {} is no header value", about.endpoint)))?;
        // Every stand-in has sessions of its own: those of another are unknown to it.
        let own = about.endpoint.as_str().bytes().fold(manner.seed, |hash, byte| mix(hash ^ u64::from(byte)));
        let core = Arc::new(Core {
            endpoint_header,
            round_trip: about.round_trip,
            about,
            token_pace: manner.token_pace,
            seed: manner.seed,
            clock,
            log: Arc::new(Logbook::new(manner.log_entries_max)),
            weather: watch::Sender::new(Weather::default()),
            sessions: Mutex::new(Sessions::new(own)),
            tls: manner.tls,
        });
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        tokio::spawn(
            Porter {
                core: Arc::clone(&core),
                door: self.0,
                is_open: true,
                connections: Connections::new(),
                flap: None,
                heal_at: None,
            }
            .keep(taken),
        );
        Ok(Standin { core, address, orders })
    }
}

/// A running stand-in; it stops with its runtime.
#[derive(Clone)]
pub struct Standin {
    core: Arc<Core>,
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
}

impl fmt::Debug for Standin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.core.about.endpoint, self.address)
    }
}

impl Standin {
    /// Where it answers. The same through every fault.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who it is.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.core.about
    }

    /// What it was asked.
    #[must_use]
    pub fn log(&self) -> &Logbook {
        &self.core.log
    }

    /// What it was told to have.
    #[must_use]
    pub fn suffers(&self) -> Fault {
        self.core.weather.borrow().told
    }

    /// Has `fault` from when this returns, instead of what it had; [`Fault::None`] heals. `lasts`: for so long.
    ///
    /// # Errors
    /// If the listener cannot be had back, or does not hang.
    pub async fn suffer(&self, fault: Fault, lasts: Option<Duration>) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        let gone = |_| io::Error::other(format!("{self:?} is gone"));
        self.orders.send(Order { fault, lasts, done }).await.map_err(|_| gone(()))?;
        outcome.await.map_err(|_| gone(()))?
    }
}

/// Keeps the door of one stand-in.
struct Porter {
    core: Arc<Core>,
    door: Door,
    is_open: bool,
    connections: Connections,
    /// Half of the whole, and when the next half begins.
    flap: Option<(Duration, Moment)>,
    heal_at: Option<Moment>,
}

impl Porter {
    async fn keep(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    let outcome = self.obey(order.fault, order.lasts).await;
                    // Whoever asked may have gone since.
                    let _ = order.done.send(outcome);
                }
                () = at(self.core.clock, self.heal_at) => {
                    let outcome = self.obey(Fault::None, None).await;
                    self.grumble(outcome);
                    tracing::info!(region = %self.core.about.region, endpoint = %self.core.about.endpoint, "{} is whole again: its time was over", self.core.about.endpoint);
                }
                () = at(self.core.clock, self.flap.map(|(_, next)| next)) => {
                    let outcome = self.flap_over().await;
                    self.grumble(outcome);
                }
                accepted = self.door.accept(self.is_open) => match accepted {
                    Ok(stream) => {
                        self.core.log.connected();
                        let resets = self.core.weather.borrow().resets;
                        tokio::spawn(serve(Arc::clone(&self.core), stream, resets, self.connections.one_more()));
                    }
                    Err(error) => {
                        tracing::debug!(endpoint = %self.core.about.endpoint, %error, "a connection could not be taken");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, fault: Fault, lasts: Option<Duration>) -> io::Result<()> {
        let now = self.core.clock.now();
        self.heal_at = lasts.filter(|_| fault != Fault::None).map(|lasts| now + lasts);
        self.flap = None;
        if let Fault::Flap { period } = fault {
            self.flap = Some((period, now + period));
            return self.turn(Fault::Refuse, fault).await;
        }
        self.turn(fault, fault).await
    }

    async fn flap_over(&mut self) -> io::Result<()> {
        let Some((period, next)) = self.flap else { return Ok(()) };
        self.flap = Some((period, next + period));
        let other = if self.is_open { Fault::Refuse } else { Fault::None };
        self.turn(other, Fault::Flap { period }).await
    }

    /// Makes `fault` the one in force; `told` is what people see.
    async fn turn(&mut self, fault: Fault, told: Fault) -> io::Result<()> {
        self.is_open = !matches!(fault, Fault::Refuse | Fault::Blackhole);
        if fault == Fault::Refuse {
            self.door.close();
        }
        self.core.weather.send_modify(|weather| {
            weather.fault = fault;
            weather.changes += u64::from(weather.told != told);
            weather.told = told;
            weather.resets += u64::from(fault == Fault::Refuse);
        });
        match fault {
            Fault::Refuse => {
                // The process of a region that died has no connection left: not even for the moment until their tasks run.
                mem::replace(&mut self.connections, Connections::new()).are_gone().await;
                Ok(())
            }
            Fault::Blackhole => self.door.jam().await,
            _ => self.door.open(),
        }
    }

    fn grumble(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            tracing::error!(endpoint = %self.core.about.endpoint, %error, "the stand-in cannot change");
        }
    }
}

/// Waits until `moment`; for ever if there is none.
async fn at(clock: Clock, moment: Option<Moment>) {
    match moment {
        Some(moment) => sleep_until(clock.instant(moment)).await,
        None => pending().await,
    }
}

/// The open connections, counted by what each of them holds.
struct Connections {
    one: mpsc::Sender<Infallible>,
    gone: mpsc::Receiver<Infallible>,
}

impl Connections {
    fn new() -> Self {
        let (one, gone) = mpsc::channel(1);
        Self { one, gone }
    }

    fn one_more(&self) -> Open {
        Open { _one: self.one.clone() }
    }

    async fn are_gone(self) {
        let Self { one, mut gone } = self;
        drop(one);
        // A WebSocket that is just being opened may miss the reset; the stand-in must not wait for that.
        let _ = timeout(RESET_WAIT, gone.recv()).await;
    }
}

/// One connection, until it ends or there have been more than the `resets` before it was taken.
async fn serve(core: Arc<Core>, stream: TcpStream, resets: u64, open: Open) {
    // Not worth failing for.
    let _ = stream.set_nodelay(true);
    let scissors = Scissors::default();
    let mut weather = core.weather.subscribe();
    let wire = Wire::new(stream, weather.clone(), scissors.clone(), open);
    tokio::select! {
        () = converse(core, wire, &scissors) => {}
        () = scissors.were_used() => {}
        () = async {
            let _ = weather.wait_for(|weather| weather.resets != resets).await;
            scissors.cut();
        } => {}
    }
}

async fn converse(core: Arc<Core>, mut wire: Wire, scissors: &Scissors) {
    let fault = core.weather.borrow().fault;
    let times = if let Fault::Slow { times, .. } = fault { times } else { 1.0 };
    let trips = if core.tls.is_some() { 2.0 } else { 1.0 };
    if !core.round_trip.is_zero() {
        sleep(core.round_trip.mul_f64(trips * times)).await;
    }
    let Some((right, wrong)) = &core.tls else {
        if fault == Fault::Tls {
            let _ = wire.write_all(GARBAGE).await;
            return;
        }
        return speak_http1(core, wire, scissors).await;
    };
    let config = Arc::clone(if fault == Fault::Tls { wrong } else { right });
    let Ok(stream) = TlsAcceptor::from(config).accept(wire).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        speak_http2(core, stream, scissors).await;
    } else {
        speak_http1(core, stream, scissors).await;
    }
}

async fn speak_http1<S>(core: Arc<Core>, stream: S, scissors: &Scissors)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| answer(Arc::clone(&core), request, scissors.clone()));
    // How a connection ends is the other side's affair.
    let _ = http1::Builder::new()
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

async fn speak_http2<S>(core: Arc<Core>, stream: S, scissors: &Scissors)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| answer(Arc::clone(&core), request, scissors.clone()));
    let _ = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("it is small"))
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
