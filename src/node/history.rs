//! Keeps the history: shows every snapshot to the recorder and to the incidents, has what they say written down, and
//! publishes the report.
//!
//! Nothing here is waited for by anybody who serves requests. What cannot be kept now is kept as soon as it can be; until
//! then it is told from memory. An incident is told once it is kept, so that nobody hears twice of it after a restart; where
//! nothing can be kept, it is told all the same.

mod parcel;

use super::{Common, StartError};
use crate::counters::Counters;
use crate::history::desk::{Ask, Desk, Written};
use crate::history::incidents::facts::facts;
use crate::history::incidents::operator::Refusal;
use crate::history::incidents::{Incidents, Kept, REMEMBERED_MAX};
use crate::history::recorder::{Past, Recorder};
use crate::history::report::{Told, flows};
use crate::history::store::{Pending, Store, StoreError};
use crate::history::story::{Incident, Report, Subject, Trouble};
use crate::history::{ledger, records};
use crate::limits::DECISIONS_MAX;
use crate::moment::{Clock, Dice, Moment, mix};
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::subscriptions::{self, Parts, table};
use parcel::{Outbox, Parcel};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often time is taken account of. A report is made as often, and no oftener unless an operator writes.
const TICK: Duration = Duration::from_secs(1);
/// A wall clock that moves by more than this against the other one was set.
const JUMP: Duration = Duration::from_secs(300);
/// So long after the start, or after the clock was set, nothing is forgotten: it may be set right again.
const CLOCK_TRUSTED_AFTER: Duration = Duration::from_secs(3_600);
/// How long incidents wait to be told of those before the start: a large file takes some seconds to open.
const PAST_WITHIN: Duration = Duration::from_secs(20);
/// Incidents that are over are told for so long.
const INCIDENTS_SHOWN: Duration = Duration::from_secs(90 * 86_400);
/// Requests that are looked at for where flows come from: those that all workers remember.
const FLOWS_OF: usize = DECISIONS_MAX * 64;

/// Where an operator waits.
type Reply = oneshot::Sender<Result<Written, Refusal>>;
/// What was kept before the node started.
type Before = (Vec<(Subject, Past)>, Option<Vec<Kept>>);

/// The history of a node.
pub(super) struct Historian {
    /// Who is told of it, by the same file.
    subscriptions: subscriptions::desk::Desk,
    recorder: Recorder,
    incidents: Incidents,
    /// Whether the incidents before the start are known, or nobody waits for them any more.
    knows_incidents: bool,
    outbox: Outbox,
    /// The past that was asked for.
    asked: Option<Pending<Before>>,
    asks: mpsc::Receiver<Ask>,
    /// Operators who wait for what they wrote to be kept, and the parcel that has it.
    waiting: Vec<(u64, Incident, Reply)>,
    /// Incidents as they were kept.
    shown: BTreeMap<String, Incident>,
    report: watch::Sender<Arc<Report>>,
    store: Store,
    lost: Arc<AtomicU64>,
    published: Published,
    counters: Counters,
    clock: Clock,
    started: Moment,
    /// When the two clocks were looked at last, and since when they agree.
    clocks: Option<(Moment, Duration)>,
    agree_since: Moment,
}

impl Historian {
    /// Opens the store in `state_dir` and makes the first report.
    pub(super) fn open(
        state_dir: &Path,
        published: &Published,
        counters: &Counters,
        clock: Clock,
    ) -> Result<(Self, Desk, watch::Receiver<Arc<Report>>), StartError> {
        let modules = [ledger::MODULE, table::MODULE, records::MODULE];
        let store = Store::start(state_dir, &modules, clock).map_err(StartError::System)?;
        let (report, lost) = (watch::Sender::new(Arc::default()), Arc::default());
        let (desk, asks) = Desk::new(report.subscribe(), store.clone(), Arc::clone(&lost));
        let mut seed = [0; 8];
        aws_lc_rs::rand::fill(&mut seed).expect("the system gives randomness");
        let seed = u64::from_ne_bytes(seed);
        let parts = Parts::new(store.clone(), published.clone(), clock, mix(seed), state_dir.to_owned());
        let now = clock.now();
        let mut historian = Self {
            subscriptions: subscriptions::desk::Desk::new(Arc::new(parts), Arc::new(subscriptions::caller(clock))),
            recorder: Recorder::default(),
            incidents: Incidents::new(Dice::seeded(seed)),
            knows_incidents: false,
            outbox: Outbox::new(),
            asked: None,
            asks,
            waiting: Vec::new(),
            shown: BTreeMap::new(),
            report,
            store,
            lost,
            published: published.clone(),
            counters: counters.clone(),
            clock,
            started: now,
            clocks: None,
            agree_since: now,
        };
        historian.look();
        historian.tell();
        let report = historian.report();
        Ok((historian, desk, report))
    }

    /// What is told, as it changes.
    pub(super) fn report(&self) -> watch::Receiver<Arc<Report>> {
        self.report.subscribe()
    }

    /// Where people ask to be told.
    pub(super) fn subscriptions(&self) -> subscriptions::desk::Desk {
        self.subscriptions.clone()
    }

    /// Watches until `shutdown`, then writes down what is left.
    pub(super) async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut bell = self.published.subscribe();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = requested(&mut shutdown) => break,
                changed = bell.changed() => if changed.is_err() { break } else { self.look() },
                kept = self.outbox.answer() => self.answered(kept),
                Some(ask) = self.asks.recv() => self.write(ask),
                _ = tick.tick() => self.tick(),
            }
        }
        self.end().await;
    }

    fn tick(&mut self) {
        self.look();
        self.remember();
        let (now, wall) = (self.clock.now(), self.clock.wall());
        if self.knows_incidents {
            self.incidents.look(now, wall, &facts(&self.published.load()));
        }
        self.keep();
        self.tell();
    }

    fn look(&mut self) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        if let Some((then, before)) = self.clocks.replace((now, wall))
            && (before + now.since(then)).abs_diff(wall) > JUMP
        {
            tracing::warn!("the wall clock was set: the history forgets nothing for an hour");
            self.agree_since = now;
        }
        self.recorder.observe(now, wall, &self.published.load_full());
        self.lost.store(self.recorder.dropped(), Relaxed);
    }

    /// Has the past of what is new told, before anything of it is written: it would count twice.
    fn remember(&mut self) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        match self.asked.take().map(|mut asked| (asked.try_recv(), asked)) {
            Some((Err(oneshot::error::TryRecvError::Empty), asked)) => self.asked = Some(asked),
            Some((Ok(Ok((pasts, incidents))), _)) => {
                pasts.into_iter().for_each(|(subject, past)| self.recorder.recall(&subject, past, wall));
                if let Some(kept) = incidents {
                    self.shown.extend(kept.iter().map(|kept| (kept.incident.id.clone(), kept.incident.clone())));
                    self.incidents.restore(kept, now, wall);
                    self.knows_incidents = true;
                }
            }
            Some((Ok(Err(StoreError::Refused(error))), _)) => tracing::error!("the past cannot be read: {error}"),
            _ => {}
        }
        self.knows_incidents |= now.since(self.started) >= PAST_WITHIN;
        let subjects = self.recorder.without_past();
        if self.asked.is_none() && !subjects.is_empty() {
            let (vantage, wants_incidents) = (self.vantage(), self.shown.is_empty());
            let recall = move |tx: &rusqlite::Transaction<'_>| {
                let since = wall.saturating_sub(INCIDENTS_SHOWN);
                let incidents = wants_incidents.then(|| ledger::recall(tx, since, REMEMBERED_MAX)).transpose()?;
                Ok((records::recall(tx, &vantage, &subjects, wall)?, incidents))
            };
            self.asked = self.store.try_read(recall).ok();
        }
    }

    fn vantage(&self) -> String {
        self.published.load().here.name.to_string()
    }

    /// Hands over what is to be kept, one parcel at a time.
    fn keep(&mut self) {
        self.outbox.add(self.incidents.take_changed());
        let may_hand_out = self.recorder.has_something() && self.recorder.without_past().is_empty();
        let parcel = self.outbox.due(self.clock.now(), may_hand_out.then_some(&mut self.recorder));
        if let Some(parcel) = parcel {
            let sent = self.store.try_run_durably(self.job(&parcel));
            self.outbox.sent(parcel, sent, self.clock.now());
        }
    }

    fn job(
        &self,
        parcel: &Arc<Parcel>,
    ) -> impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()> + Send + use<> {
        let (vantage, wall, parcel) = (self.vantage(), self.clock.wall(), Arc::clone(parcel));
        let may_forget = self.clock.now().since(self.agree_since) >= CLOCK_TRUSTED_AFTER;
        move |tx| {
            ledger::keep(tx, &parcel.incidents)?;
            records::keep(tx, &vantage, &parcel.batch, wall, may_forget)
        }
    }

    /// What became of the parcel under way.
    fn answered(&mut self, kept: Result<(), StoreError>) {
        let unkept = kept.as_ref().err().map(ToString::to_string);
        let mut number = u64::MAX;
        if let Some(parcel) = self.outbox.answered(kept, self.clock.now()) {
            self.shown.extend(parcel.incidents.iter().map(|kept| (kept.incident.id.clone(), kept.incident.clone())));
            number = parcel.number;
        }
        for (_, incident, reply) in self.waiting.extract_if(.., |(wanted, ..)| *wanted <= number) {
            // Nobody may be waiting any more; it is written all the same.
            let _ = reply.send(Ok(Written { incident, unkept: unkept.clone() }));
        }
        self.keep();
        self.tell();
    }

    /// An operator writes.
    fn write(&mut self, Ask { writing, reply }: Ask) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let known: Vec<Subject> = self.recorder.all().map(|(subject, _)| subject.clone()).collect();
        match self.incidents.write(now, wall, writing, &known) {
            Err(refusal) => drop(reply.send(Err(refusal))),
            Ok(incident) => {
                self.keep();
                match self.trouble() {
                    Some(trouble) => {
                        drop(reply.send(Ok(Written { incident, unkept: Some(trouble.why) })));
                        self.tell();
                    }
                    None => self.waiting.push((self.outbox.number(), incident, reply)),
                }
            }
        }
    }

    /// Why nothing can be kept now.
    fn trouble(&self) -> Option<Trouble> {
        let hangs = self.outbox.hangs_for(self.clock.now()).map(|time| Trouble {
            since: self.clock.wall().saturating_sub(time),
            why: "nothing can be kept: the disk does not answer".to_owned(),
        });
        hangs.or_else(|| self.store.unable())
    }

    /// Publishes a new report.
    fn tell(&mut self) {
        let snapshot = self.published.load_full();
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let flows = flows(&self.counters.flows(now), &self.counters.newest(FLOWS_OF), &snapshot);
        let unable = self.trouble();
        let told: BTreeMap<&str, &Incident> =
            self.incidents.all().map(|incident| (incident.id.as_str(), incident)).collect();
        self.shown.retain(|id, _| told.contains_key(id.as_str()));
        let is_recent = |incident: &&Incident| {
            !incident.phase.is_over() || incident.closed_at.is_none_or(|at| wall.saturating_sub(at) < INCIDENTS_SHOWN)
        };
        let incidents: Vec<Incident> = match unable {
            Some(_) => told.into_values().filter(is_recent).cloned().collect(),
            None => self.shown.values().filter(is_recent).cloned().collect(),
        };
        let told = Told {
            snapshot: &snapshot,
            recorder: &self.recorder,
            incidents,
            flows,
            trouble: unable.or_else(|| self.store.trouble().borrow().clone()),
        };
        self.report.send_replace(Arc::new(told.report(wall)));
    }

    async fn end(mut self) {
        self.look();
        self.recorder.end();
        let left = self.outbox.end().await;
        let may_hand_out = self.recorder.without_past().is_empty();
        let batch = if may_hand_out { self.recorder.hand_out() } else { Default::default() };
        let last =
            Arc::new(Parcel { number: u64::MAX, batch, incidents: self.outbox.rest(self.incidents.take_changed()) });
        for parcel in left.into_iter().chain([last]) {
            if let Err(error) = self.store.run(self.job(&parcel)).await {
                tracing::warn!("the last of the history is not kept: {error}");
            }
        }
        self.store.close().await;
    }
}

impl Common {
    /// Starts keeping the history.
    pub(super) fn start_history(
        &self,
        runtime: &tokio::runtime::Runtime,
        historian: Historian,
        ending: &watch::Receiver<bool>,
    ) {
        let telling = subscriptions::run(historian.subscriptions(), historian.report.subscribe(), ending.clone());
        self.watch(runtime, "the subscriptions", Box::pin(telling), ending.clone());
        self.watch(runtime, "the history", Box::pin(historian.run(ending.clone())), ending.clone());
    }
}

/// Waits until the history has its last words on the disk.
pub(super) async fn closed(mut report: watch::Receiver<Arc<Report>>) {
    while report.changed().await.is_ok() {}
}
