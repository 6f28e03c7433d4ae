//! Binds, starts, watches and stops the tasks of one node.
//!
//! The data plane is one thread per worker, each a current-thread runtime with its own listeners and its own pool, so
//! that a request never changes core. The control plane is one small runtime of its own. They meet in the snapshot
//! pointer, in counters and in bounded channels only.

mod dns;
mod given;
pub mod listen;
mod doh;
mod findings;
mod history;
mod kept;
mod nat;
mod ordering;
mod page;
mod papers;
mod ready;
mod residency;
mod site;
mod sockets;
mod witness;
mod worker;

use crate::access_log;
use crate::acme::store::StoreError;
use crate::control::{self, Control};
use crate::counters::Counters;
use crate::dns::prepare::{self, Answers, Preparer};
use crate::dns::tap::{Sink, Tap, Writer, tap};
use crate::front::services::Services;
use crate::geo::database::GeoError;
use crate::history::desk::Desk as Incidents;
use crate::history::story::Report;
use crate::limits::EVENT_QUEUE_MAX;
use crate::moment::{Clock, Dice, Moment, mix};
use crate::names::Label;
use crate::probe;
use crate::reload;
use crate::reload::tls::{Papers, PapersError};
use crate::secret::Secret;
use crate::snapshot::Published;
use crate::spans;
use crate::status::admin::{self, Admin};
use crate::status::board::Board;
use crate::status::drains::{DrainError, Drains};
use crate::status::guard::{Token, TokenError};
use crate::subscriptions::desk::Desk as Subscriptions;
use crate::topology::mistake::Mistakes;
use crate::upstream::resolve;
use arc_swap::ArcSwap;
use findings::Keepers;
use given::{believe, read_topology, site};
use history::Historian;
use listen::Listen;
use papers::{papers, token};
use ready::become_ready;
use sockets::{Sockets, locals};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use witness::{Hearing, Witnesses};

/// Threads of the control plane.
const CONTROL_THREADS: usize = 2;
/// How long the control plane has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What differs per node.
#[derive(Clone, Debug)]
pub struct Options {
    /// `regions.toml`.
    pub config: PathBuf,
    /// Which site this node is; may be left out where there is one.
    pub site: Option<Label>,
    /// Where HTTP/1.1 is taken in the clear; port 0 is any.
    pub http: Vec<Listen>,
    /// Where HTTPS is taken.
    pub https: Vec<Listen>,
    /// Where DNS is answered, over UDP and TCP; port 0 is any, the same for both.
    pub dns: Vec<SocketAddr>,
    /// Where DNS over TLS is answered (RFC 7858).
    pub dot: Vec<SocketAddr>,
    /// Where questions to DNS and their answers are logged.
    pub dnstap: Option<Sink>,
    /// Where a line about every request goes.
    pub access_log: Option<access_log::Sink>,
    /// Where spans of requests go.
    pub traces: Option<spans::settings::Settings>,
    /// Where operators are served.
    pub admin: Vec<SocketAddr>,
    /// Where the status page is shown to everybody, by HTTP in the clear.
    pub status: Vec<SocketAddr>,
    /// The folder that the status page is written to as files, again and again.
    pub status_export: Option<PathBuf>,
    /// Where drains and the audit log are kept.
    pub state_dir: PathBuf,
    /// Workers of the data plane.
    pub workers: usize,
    /// PEM pairs: certificate chain and key.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// Folders of PEM pairs.
    pub certificate_folders: Vec<PathBuf>,
    /// The token that admin requests must carry; without it admin addresses must be loopback.
    pub admin_token_file: Option<PathBuf>,
    /// What the nodes of the fleet know and nobody else; without it this node makes up a secret of its own.
    pub secret_file: Option<PathBuf>,
    /// From "not ready" to the end of accepting.
    pub drain_time: Duration,
    /// From the end of accepting to the end of what still runs.
    pub grace: Duration,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration has mistakes.
    #[error("the configuration is refused:\n{0}")]
    Config(Box<Mistakes>),
    /// Which site this is cannot be told.
    #[error("{0}")]
    Site(String),
    /// The geo database cannot be used.
    #[error(transparent)]
    Geo(#[from] GeoError),
    /// The state directory cannot be used.
    #[error(transparent)]
    Drains(#[from] DrainError),
    /// The admin token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A certificate or the fleet's secret cannot be used.
    #[error(transparent)]
    Papers(#[from] PapersError),
    /// There is no place for certificates that are ordered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS without certificates.
    #[error("{flag} {address} needs a certificate: give --tls-cert and --tls-key, or --tls-dir, or write [acme]")]
    NoCertificate {
        /// Which kind of listener.
        flag: &'static str,
        /// Where it was to be.
        address: SocketAddr,
    },
    /// DNS without a zone.
    #[error("{flag} {address} needs a zone to answer for: the configuration has no [zone]")]
    NoZone {
        /// Which kind of listener.
        flag: &'static str,
        /// Where it was to be.
        address: SocketAddr,
    },
    /// An admin address that others can reach, without a token.
    #[error("--admin {0} is not loopback, so others could reach it: give --admin-token-file")]
    OpenAdmin(SocketAddr),
    /// The access log cannot be opened.
    #[error("the access log {sink} cannot be opened: {source}")]
    AccessLog {
        /// Which.
        sink: String,
        /// Why.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread or runtime.
    #[error("cannot start: {0}")]
    System(io::Error),
}

/// A part of the node ended although nobody had asked it to: a bug.
#[derive(Debug, thiserror::Error)]
#[error("{0} ended by itself")]
pub struct Failed(&'static str);

/// A running node. Dropping it does not stop it; [`Node::stop`] does.
#[derive(Debug)]
pub struct Node {
    /// The bound HTTP addresses, in the order asked for.
    pub http: Vec<SocketAddr>,
    /// The bound HTTPS addresses.
    pub https: Vec<SocketAddr>,
    /// The bound addresses of DNS, each over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// The bound addresses of DNS over TLS.
    pub dot: Vec<SocketAddr>,
    /// The bound admin addresses.
    pub admin: Vec<SocketAddr>,
    /// The bound addresses of the status page.
    pub status: Vec<SocketAddr>,
    /// What the node believes.
    pub published: Published,
    /// What it has counted.
    pub counters: Counters,
    /// What is told of it to everybody.
    pub report: watch::Receiver<Arc<Report>>,
    runtime: Runtime,
    workers: Vec<JoinHandle<()>>,
    tap: Option<Tap>,
    hearing: Hearing,
    reload: mpsc::Sender<()>,
    failed: mpsc::Receiver<Failed>,
    ready: watch::Sender<bool>,
    end_accepting: watch::Sender<bool>,
    end_control: watch::Sender<bool>,
    /// Ends when what was counted is written.
    is_written: oneshot::Receiver<()>,
    drain_time: Duration,
}

impl Node {
    /// Binds everything, then starts everything.
    ///
    /// # Errors
    /// What stands in the way, with its name and place.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let clock = Clock::start();
        let topology = read_topology(&options.config)?;
        let here = site(&topology, options.site.as_ref())?;
        let drains = Drains::open(&options.state_dir, clock.wall())?;
        let token = token(&options)?;
        dns::answers_for_something(&options, &topology)?;
        let papers = papers(&options, &topology, clock)?;
        let Sockets { http, https, dns, dot, workers, admin, status } = Sockets::bind(&options)?;
        let (admin_addresses, status_addresses) = (locals(&admin), locals(&status));
        let (tap, writer) = options.dnstap.clone().map(|sink| tap(sink, here.name.as_str())).unzip();
        let (control, published) = believe(topology, here, &drains, &papers, clock)?;
        let (counters, witnesses) = Witnesses::new(&options, &published.load().here.name, clock)?;
        let (events, facts) = mpsc::channel(EVENT_QUEUE_MAX);
        let ((reload, asked), (failures, failed)) = (mpsc::channel(1), mpsc::channel(1));
        let (ready, is_ready) = watch::channel(false);
        let (end_accepting, accepting_ends) = watch::channel(false);
        let (end_control, control_ends) = watch::channel(false);
        let (historian, history, report) = Historian::open(&options.state_dir, &published, &counters, clock)?;
        let board = page::board(&status_addresses, &published, &historian, clock, &accepting_ends);
        let (preparer, answers, challenges) = dns::first_answers(&options, &papers.secret, &published, clock);
        let common = Common {
            clock,
            published: published.clone(),
            events,
            counters: counters.clone(),
            failures,
            seed: u64::try_from(clock.wall().as_nanos() & u128::from(u64::MAX)).expect("masked"),
            secret: Arc::clone(&papers.secret),
            services: Arc::default(),
            board,
            answers,
            tap: tap.clone(),
            ready: is_ready.clone(),
            reread: Arc::default(),
        };
        let nat = nat::Keeper::open(&options.state_dir, Arc::clone(&common.services), &published.load(), clock);
        let (keepers, is_written) = Keepers::open(&options, &common);
        let desk = (drains, token, is_ready, reload.clone(), clock.now(), (history, historian.subscriptions()));
        let (identity, following) = (papers.identity.clone(), (options.config, asked, papers));
        let followers = (nat, preparer, writer, keepers);
        let runtime = common.start_control((control, facts), desk, (admin, followers), following, &control_ends)?;
        common.start_ordering(&runtime, (&options.state_dir, dns.first()), challenges, &control_ends);
        common.start_history(&runtime, historian, &control_ends);
        common.start_page(&runtime, (status, options.status_export), &report, (&accepting_ends, &control_ends))?;
        runtime.spawn(become_ready(published.clone(), ready.clone()));
        let workers = worker::start(&common, workers, identity.as_ref(), options.grace, &accepting_ends)?;
        Ok(Self {
            http,
            https,
            dns,
            dot,
            admin: admin_addresses,
            status: status_addresses,
            published,
            counters,
            report,
            runtime,
            workers,
            tap,
            hearing: witnesses.start(&control_ends)?,
            reload,
            failed,
            ready,
            end_accepting,
            end_control,
            is_written,
            drain_time: options.drain_time,
        })
    }

    /// Has the file read again now, and the access log opened anew, as SIGHUP does. One that waits already is enough.
    pub fn reload(&self) {
        let _ = self.reload.try_send(());
        self.hearing.reopen();
    }

    /// Runs until SIGTERM or SIGINT, then stops; SIGHUP reads the file again and opens the access log anew.
    ///
    /// # Errors
    /// If a part of the node ended by itself; everything else is stopped then.
    pub fn run(mut self) -> Result<(), Failed> {
        let (reload, hearing) = (self.reload.clone(), &self.hearing);
        let failed = &mut self.failed;
        let outcome = self.runtime.block_on(async {
            let mut hangup = signal(SignalKind::hangup()).expect("signals can be had");
            let mut terminate = signal(SignalKind::terminate()).expect("signals can be had");
            let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be had");
            loop {
                tokio::select! {
                    _ = hangup.recv() => {
                        hearing.reopen();
                        let _ = reload.try_send(());
                    }
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                    Some(failed) = failed.recv() => return Err(failed),
                }
            }
        });
        if let Err(failed) = &outcome {
            tracing::error!("{failed}: stopping the node");
        }
        self.stop();
        outcome
    }

    /// Stops in order: not ready, wait the drain time, stop accepting, finish within the grace period. Blocks.
    pub fn stop(self) {
        tracing::info!("stopping");
        self.ready.send_replace(false);
        self.runtime.block_on(async { tokio::time::sleep(self.drain_time).await });
        self.end_accepting.send_replace(true);
        for worker in self.workers {
            // A panic there has been told already.
            let _ = worker.join();
        }
        self.end_control.send_replace(true);
        // Ended or dropped, it is over.
        let _ = self.runtime.block_on(async { tokio::time::timeout(LAST_WORDS, self.is_written).await });
        if let Some(tap) = self.tap {
            let _ = self.runtime.block_on(async { tokio::time::timeout(LAST_WORDS, tap.closed()).await });
        }
        let _ = self.runtime.block_on(async { tokio::time::timeout(LAST_WORDS, history::closed(self.report)).await });
        self.runtime.block_on(self.hearing.last_words());
        self.runtime.shutdown_timeout(LAST_WORDS);
    }
}

/// What every part of the node gets.
struct Common {
    clock: Clock,
    published: Published,
    events: mpsc::Sender<control::Event>,
    counters: Counters,
    failures: mpsc::Sender<Failed>,
    seed: u64,
    secret: Arc<ArcSwap<Secret>>,
    services: Arc<ArcSwap<Services>>,
    /// What everybody may see.
    board: Arc<Board>,
    answers: Answers,
    tap: Option<Tap>,
    ready: watch::Receiver<bool>,
    /// Has certificates and the secret read again.
    reread: Arc<Notify>,
}

/// What the admin address gets besides.
type Desk = (Drains, Option<Token>, watch::Receiver<bool>, mpsc::Sender<()>, Moment, (Incidents, Subscriptions));

/// What follows the snapshot beside `control`.
type Followers = (nat::Keeper, Preparer, Option<Writer>, Keepers);

impl Common {
    fn start_control(
        &self,
        (control, facts): (Control, mpsc::Receiver<control::Event>),
        (drains, token, ready, reload, started, (history, subscriptions)): Desk,
        (admin, (nat, preparer, writer, keepers)): (Vec<TcpListener>, Followers),
        (config, asked, papers): (PathBuf, mpsc::Receiver<()>, Papers),
        ending: &watch::Receiver<bool>,
    ) -> Result<Runtime, StartError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(StartError::System)?;
        let listeners = {
            let _inside = runtime.enter();
            let turned = admin.into_iter().map(tokio::net::TcpListener::from_std);
            turned.collect::<io::Result<Vec<_>>>().map_err(StartError::System)?
        };
        let (published, events, clock) = (&self.published, &self.events, self.clock);
        let admin = Admin {
            published: published.clone(),
            events: events.clone(),
            counters: self.counters.clone(),
            drains,
            clock,
            token,
            ready,
            reload,
            started,
            nat_ips: nat.document(),
            dns: dns::desk(&self.answers, clock),
            history,
            findings: keepers.findings(),
            board: Arc::clone(&self.board),
            subscriptions,
        };
        let ends = || ending.clone();
        let spawn = |name, task: Pin<Box<dyn Future<Output = ()> + Send>>| self.watch(&runtime, name, task, ends());
        spawn("control", Box::pin(control::run(control, facts, published.clone(), clock, ends())));
        let dice = Dice::seeded(self.seed);
        spawn("probing", Box::pin(probe::run(published.clone(), events.clone(), clock, dice, ends())));
        let dice = Dice::seeded(mix(self.seed));
        spawn("asking sites", Box::pin(probe::sites::run(published.clone(), events.clone(), clock, dice, ends())));
        spawn("the resolver", Box::pin(resolve::run(published.clone(), events.clone(), clock, ends())));
        let answers = Arc::clone(&self.answers);
        spawn("DNS", Box::pin(prepare::run(preparer, published.clone(), answers, clock, ends())));
        if let Some(writer) = writer {
            spawn("dnstap", Box::pin(writer.run(ends())));
        }
        self.start_keepers(&runtime, keepers, ending);
        spawn("the NAT addresses", Box::pin(nat.run(published.clone(), clock, ends())));
        let following = reload::run(config, published.clone(), events.clone(), asked, Arc::clone(&self.reread), ends());
        spawn("reload", Box::pin(following));
        let following =
            reload::tls::run(papers, published.clone(), events.clone(), clock, Arc::clone(&self.reread), ends());
        spawn("certificates", Box::pin(following));
        spawn("the admin address", Box::pin(admin::run(admin, listeners, ends())));
        Ok(runtime)
    }

    /// Starts a task and notices when it ends too early.
    fn watch(
        &self,
        runtime: &Runtime,
        name: &'static str,
        task: Pin<Box<dyn Future<Output = ()> + Send>>,
        ending: watch::Receiver<bool>,
    ) {
        let failures = self.failures.clone();
        let task = runtime.spawn(task);
        runtime.spawn(async move {
            let _ = task.await;
            if !*ending.borrow() {
                let _ = failures.try_send(Failed(name));
            }
        });
    }
}
