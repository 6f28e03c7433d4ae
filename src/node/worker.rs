//! One thread of the data plane, from its start to its last answer.

use super::sockets::{Bound, WorkerSockets};
use super::{Common, Failed, StartError, doh, page, site};
use crate::counters::WorkerCounters;
use crate::dns::crowd::Crowd;
use crate::dns::prepare::Answers;
use crate::dns::responder::Responder;
use crate::dns::tcp::{self, Streams};
use crate::dns::udp::{self, Datagrams};
use crate::front::Front;
use crate::front::budget::Budgets;
use crate::front::recall::Recall;
use crate::front::server::{Door, accept};
use crate::limits::{
    CONNECTIONS_MAX, DNS_FAREWELL, REPLAY_PROCESS_BYTES_MAX, STREAM_BUFFER_BYTES_MAX, WAITING_ANSWERS_MAX,
    WEBSOCKET_FAREWELL,
};
use crate::moment::{Clock, Dice, mix};
use crate::shutdown::requested;
use crate::tls::identity::{Identity, Speech};
use crate::tls::reception::Reception;
use crate::upstream::{Upstream, keep_tidy};
use arc_swap::ArcSwap;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What the workers of a node share.
struct Shared<'a> {
    common: &'a Common,
    identity: Option<&'a Arc<ArcSwap<Identity>>>,
    /// How many there are.
    count: u64,
    budgets: Arc<Budgets>,
    recall: Arc<Recall>,
    tcp_crowd: Arc<Crowd<oneshot::Sender<()>>>,
    dot_crowd: Arc<Crowd<oneshot::Sender<()>>>,
    grace: Duration,
    ending: &'a watch::Receiver<bool>,
}

/// Starts a thread for each worker's sockets.
///
/// # Errors
/// If the system gives no thread or runtime.
pub(super) fn start(
    common: &Common,
    workers: Vec<WorkerSockets>,
    identity: Option<&Arc<ArcSwap<Identity>>>,
    grace: Duration,
    ending: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let shared = Shared {
        common,
        identity,
        count: workers.len() as u64,
        budgets: Arc::default(),
        recall: Arc::default(),
        tcp_crowd: Arc::default(),
        dot_crowd: Arc::default(),
        grace,
        ending,
    };
    let start = |(number, sockets)| {
        let worker = shared.worker(number, sockets);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::System)?;
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let run = move || {
            runtime.block_on(worker.run());
            // What still runs is cut: the grace period is over.
            runtime.shutdown_background();
        };
        thread.spawn(run).map_err(StartError::System)
    };
    workers.into_iter().enumerate().map(start).collect()
}

impl Shared<'_> {
    /// A worker's part of what all may have together.
    fn share(&self, all: u64) -> u64 {
        (all / self.count).max(1)
    }

    fn worker(&self, number: usize, sockets: WorkerSockets) -> Worker {
        let common = self.common;
        let (farewell, is_farewell) = watch::channel(false);
        let counters = common.counters.worker(number);
        let responder = Responder::new(&common.answers, common.clock, Arc::clone(&counters)).tapped(common.tap.clone());
        let https = sockets.https();
        let front = Arc::new(Front {
            clock: common.clock,
            published: common.published.clone(),
            events: common.events.clone(),
            upstream: Upstream::new(common.clock),
            counters: Arc::clone(&counters),
            secret: Arc::clone(&common.secret),
            services: Arc::clone(&common.services),
            live: vec![
                doh::service(responder.clone()),
                site::service(common.ready.clone()),
                page::service(&common.board, https),
            ],
            budgets: Arc::clone(&self.budgets),
            recall: Arc::clone(&self.recall),
            replay_bytes_max: self.share(REPLAY_PROCESS_BYTES_MAX),
            waiting_answers_max: self.share(WAITING_ANSWERS_MAX),
            rooms: Mutex::default(),
            scratch: Mutex::new(vec![0; STREAM_BUFFER_BYTES_MAX]),
            farewell: is_farewell,
            dice: Mutex::new(Dice::seeded(mix(common.seed ^ number as u64))),
        });
        let reception = |speech| self.identity.map(|identity| Reception::new(identity, speech));
        let streams = |crowd: &Arc<Crowd<_>>, tls| Streams {
            clock: common.clock,
            responder: responder.clone(),
            crowd: Arc::clone(crowd),
            tls,
            counters: Arc::clone(&counters),
        };
        let (answers, counters) = (Arc::clone(&common.answers), Arc::clone(&counters));
        let datagrams = Asked { responder: responder.clone(), clock: common.clock, counters, answers };
        Worker {
            front,
            sockets,
            datagrams,
            tls: reception(Speech::Http),
            tcp: streams(&self.tcp_crowd, None),
            dot: streams(&self.dot_crowd, reception(Speech::Dns)),
            connections_max: u32::try_from(self.share(u64::from(CONNECTIONS_MAX))).expect("a share of it"),
            grace: self.grace,
            farewell,
            ending: self.ending.clone(),
            failures: common.failures.clone(),
        }
    }
}

/// What a thread for questions over UDP is made of.
#[derive(Clone)]
struct Asked {
    responder: Responder,
    clock: Clock,
    counters: Arc<WorkerCounters>,
    answers: Answers,
}

impl Asked {
    fn datagrams(self) -> Datagrams {
        let Self { responder, clock, counters, answers } = self;
        Datagrams::new(responder, clock, counters, answers)
    }
}

/// One thread of the data plane.
struct Worker {
    front: Arc<Front>,
    sockets: WorkerSockets,
    tls: Option<Reception>,
    datagrams: Asked,
    tcp: Streams,
    dot: Streams,
    connections_max: u32,
    grace: Duration,
    farewell: watch::Sender<bool>,
    ending: watch::Receiver<bool>,
    failures: mpsc::Sender<Failed>,
}

impl Worker {
    /// From the first connection to the last. DNS ends after HTTP: whoever asks where to go is told for as long as somebody
    /// may still be on the way.
    async fn run(mut self) {
        let (alive, all_gone) = mpsc::channel::<()>(1);
        let (asking, all_answered) = mpsc::channel::<()>(1);
        let (end_dns, dns_ends) = watch::channel(false);
        let mut doors = JoinSet::new();
        for Bound { listener, is_tls, balancers } in std::mem::take(&mut self.sockets.doors) {
            let tls = self.tls.clone().filter(|_| is_tls);
            let (front, connections_max, alive) = (Arc::clone(&self.front), self.connections_max, alive.clone());
            let door = Door { front, balancers, tls, connections_max, alive };
            doors.spawn(accept(door, turned(listener), self.ending.clone()));
        }
        let mut dns = JoinSet::new();
        for listener in std::mem::take(&mut self.sockets.dns_tcp) {
            dns.spawn(tcp::run(turned(listener), self.tcp.clone(), asking.clone(), dns_ends.clone()));
        }
        for listener in std::mem::take(&mut self.sockets.dot) {
            dns.spawn(tcp::run(turned(listener), self.dot.clone(), asking.clone(), dns_ends.clone()));
        }
        let threads = self.start_datagrams(&dns_ends);
        drop((alive, asking));
        let (front, ending) = (Arc::clone(&self.front), &mut self.ending);
        tokio::select! {
            biased;
            () = requested(ending) => {}
            () = keep_tidy(&front.upstream, &front.published) => {}
            Some(_) = doors.join_next() => {
                let _ = self.failures.try_send(Failed("a listener"));
            }
            Some(_) = dns.join_next() => {
                let _ = self.failures.try_send(Failed("a listener of DNS"));
            }
        }
        requested(&mut self.ending).await;
        while doors.join_next().await.is_some() {}
        self.finish(all_gone).await;
        end_dns.send_replace(true);
        while dns.join_next().await.is_some() {}
        last(all_answered, DNS_FAREWELL.min(self.grace)).await;
        for thread in threads {
            // It looks often enough; a panic there has been told already.
            let _ = thread.join();
        }
    }

    /// Has a thread for each socket that takes questions over UDP.
    fn start_datagrams(&mut self, ending: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let sockets = std::mem::take(&mut self.sockets.dns_udp).into_iter();
        let start = |socket: UdpSocket| {
            let (asked, ending, failures) = (self.datagrams.clone(), ending.clone(), self.failures.clone());
            let thread = std::thread::Builder::new().name("dns".to_owned());
            let run = move || {
                if let Err(error) = udp::run(&socket, asked.datagrams(), &ending) {
                    tracing::error!(%error, "questions over UDP cannot be taken");
                    let _ = failures.try_send(Failed("DNS over UDP"));
                }
            };
            let started = thread.spawn(run);
            if let Err(error) = &started {
                tracing::error!(%error, "there is no thread for questions over UDP");
                let _ = self.failures.try_send(Failed("DNS over UDP"));
            }
            started.ok()
        };
        sockets.filter_map(start).collect()
    }

    /// Waits for the requests that still run, for as long as they may.
    async fn finish(&self, mut all_gone: mpsc::Receiver<()>) {
        // A WebSocket has no end of its own: it goes on as long as it may, and then has time to close.
        let closing = WEBSOCKET_FAREWELL.min(self.grace / 2);
        if tokio::time::timeout(self.grace - closing, all_gone.recv()).await.is_ok() {
            return;
        }
        self.farewell.send_replace(true);
        last(all_gone, closing).await;
    }
}

/// Waits until nobody holds the other end any more, within `time`.
async fn last(mut all_gone: mpsc::Receiver<()>, time: Duration) {
    if tokio::time::timeout(time, all_gone.recv()).await.is_err() {
        tracing::warn!("the grace period is over: cutting what still runs");
    }
}

fn turned(listener: TcpListener) -> tokio::net::TcpListener {
    tokio::net::TcpListener::from_std(listener).expect("it was bound without blocking")
}
