//! Keeps the history: shows every snapshot to the recorder, has what is over written down, and publishes the report.
//!
//! Nothing here is waited for by anybody who serves requests. What cannot be kept now is kept as soon as it can be; until then
//! it is told from memory.

use super::Common;
use crate::counters::Counters;
use crate::history::recorder::{Batch, Past, Recorder};
use crate::history::records;
use crate::history::report::{FLOWS_LAST, Told, flows};
use crate::history::store::{Pending, Store, StoreError};
use crate::history::story::{Report, Subject, Trouble};
use crate::limits::DECISIONS_MAX;
use crate::moment::{Clock, Moment, mix};
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::subscriptions::desk::Desk;
use crate::subscriptions::{self, Parts, table};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How often time is taken account of. A report is made as often, and no oftener.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait before something that could not be kept is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// A disk that has not answered for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);
/// A wall clock that moves by more than this against the other one was set.
const JUMP: Duration = Duration::from_secs(300);
/// So long after the start, or after the clock was set, nothing is forgotten: it may be set right again.
const CLOCK_TRUSTED_AFTER: Duration = Duration::from_secs(3_600);
/// Requests of the last minute that are looked at for the flows: those that all workers remember.
const FLOWS_OF: usize = DECISIONS_MAX * 64;

/// The history of a node.
pub(super) struct Historian {
    store: Store,
    /// Who is told of it, by the same file.
    subscriptions: Desk,
    recorder: Recorder,
    report: watch::Sender<Arc<Report>>,
    published: Published,
    counters: Counters,
    clock: Clock,
    /// What is on its way to the file, and where the answer comes.
    under_way: Option<(Arc<Batch>, Pending<()>)>,
    /// What could not be kept, and when to try again.
    again: Option<(Arc<Batch>, Moment)>,
    /// The past that was asked for.
    asked: Option<Pending<Vec<(Subject, Past)>>>,
    /// When the store last answered, or was last asked while nothing was open.
    heard: Moment,
    /// When the two clocks last agreed, and since when they do.
    clocks: Option<(Moment, Duration)>,
    agree_since: Moment,
}

impl Historian {
    /// Opens the store in `state_dir` and makes the first report.
    pub(super) fn open(state_dir: &Path, published: &Published, counters: &Counters, clock: Clock) -> io::Result<Self> {
        let store = Store::start(state_dir, &[records::MODULE, table::MODULE], clock)?;
        let seed = mix(u64::from(clock.wall().subsec_nanos()));
        let parts = Parts::new(store.clone(), published.clone(), clock, seed, state_dir.to_owned());
        let subscriptions = Desk::new(Arc::new(parts), Arc::new(subscriptions::caller(clock)));
        let mut historian = Self {
            store,
            subscriptions,
            recorder: Recorder::default(),
            report: watch::Sender::new(Arc::default()),
            published: published.clone(),
            counters: counters.clone(),
            clock,
            under_way: None,
            again: None,
            asked: None,
            heard: clock.now(),
            clocks: None,
            agree_since: clock.now(),
        };
        historian.look();
        historian.tell();
        Ok(historian)
    }

    /// What is told, as it changes.
    pub(super) fn report(&self) -> watch::Receiver<Arc<Report>> {
        self.report.subscribe()
    }

    /// Where people ask to be told.
    pub(super) fn subscriptions(&self) -> Desk {
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
                changed = bell.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.look();
                }
                _ = tick.tick() => {
                    self.look();
                    self.remember();
                    self.keep();
                    self.tell();
                }
            }
        }
        self.end().await;
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
    }

    /// Has the past of what is new told, before anything of it is written: it would count twice.
    fn remember(&mut self) {
        let wall = self.clock.wall();
        match self.asked.take().map(|mut asked| (asked.try_recv(), asked)) {
            Some((Err(oneshot::error::TryRecvError::Empty), asked)) => {
                self.asked = Some(asked);
                return;
            }
            Some((Ok(Ok(pasts)), _)) => {
                pasts.into_iter().for_each(|(subject, past)| self.recorder.recall(&subject, past, wall));
            }
            Some((Ok(Err(StoreError::Refused(error))), _)) => tracing::error!("the past cannot be read: {error}"),
            _ => {}
        }
        let subjects = self.recorder.without_past();
        if !subjects.is_empty() {
            let vantage = self.vantage();
            self.asked = self.store.try_read(move |tx| records::recall(tx, &vantage, &subjects, wall)).ok();
        }
    }

    fn vantage(&self) -> String {
        self.published.load().here.name.to_string()
    }

    /// Hands over what is to be kept, one batch at a time.
    fn keep(&mut self) {
        let now = self.clock.now();
        if let Some((batch, mut answer)) = self.under_way.take() {
            match answer.try_recv() {
                Ok(Ok(())) => {}
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.under_way = Some((batch, answer));
                    return;
                }
                Ok(Err(StoreError::Refused(error))) => tracing::error!("part of the history is lost: {error}"),
                Ok(Err(_)) | Err(oneshot::error::TryRecvError::Closed) => self.again = Some((batch, now + AGAIN_AFTER)),
            }
        }
        let batch = match self.again.take() {
            Some((batch, when)) if when > now => {
                self.again = Some((batch, when));
                return;
            }
            Some((batch, _)) => batch,
            None if self.recorder.has_something() && self.recorder.without_past().is_empty() => {
                Arc::new(self.recorder.hand_out())
            }
            None => return,
        };
        match self.store.try_run(self.job(&batch)) {
            Ok(answer) => self.under_way = Some((batch, answer)),
            Err(_) => self.again = Some((batch, now + AGAIN_AFTER)),
        }
    }

    fn job(
        &self,
        batch: &Arc<Batch>,
    ) -> impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()> + Send + 'static {
        let (vantage, wall, batch) = (self.vantage(), self.clock.wall(), Arc::clone(batch));
        let may_forget = self.clock.now().since(self.agree_since) >= CLOCK_TRUSTED_AFTER;
        move |tx| records::keep(tx, &vantage, &batch, wall, may_forget)
    }

    /// Publishes a new report.
    fn tell(&mut self) {
        let snapshot = self.published.load_full();
        let now = self.clock.now();
        let newest = self.counters.newest(FLOWS_OF);
        let is_all = newest.last().is_none_or(|oldest| now.since(oldest.headed()) > FLOWS_LAST);
        if self.under_way.is_none() && self.asked.is_none() {
            self.heard = now;
        }
        let hangs = (now.since(self.heard) >= HANGS_AFTER).then(|| Trouble {
            since: self.clock.wall().saturating_sub(now.since(self.heard)),
            why: "nothing can be kept: the disk does not answer".to_owned(),
        });
        let told = Told {
            snapshot: &snapshot,
            recorder: &self.recorder,
            incidents: Vec::new(),
            flows: flows(&newest, &snapshot, is_all, now),
            trouble: self.store.trouble().borrow().clone().or(hangs),
        };
        self.report.send_replace(Arc::new(told.report(self.clock.wall())));
    }

    async fn end(mut self) {
        self.look();
        self.recorder.end();
        if let Some((batch, answer)) = self.under_way.take()
            && !matches!(answer.await, Ok(Ok(())))
        {
            self.again = Some((batch, self.clock.now()));
        }
        if self.recorder.without_past().is_empty() {
            let last = Arc::new(self.recorder.hand_out());
            let batches = self.again.take().map(|(batch, _)| batch).into_iter().chain([last]);
            for batch in batches {
                let _ = self.store.run(self.job(&batch)).await;
            }
        }
        self.store.close().await;
    }
}

impl Common {
    /// Starts keeping the history. What is told comes back, as it changes.
    pub(super) fn start_history(
        &self,
        runtime: &tokio::runtime::Runtime,
        historian: Historian,
        ending: &watch::Receiver<bool>,
    ) -> watch::Receiver<Arc<Report>> {
        let report = historian.report();
        let telling = subscriptions::run(historian.subscriptions(), historian.report(), ending.clone());
        self.watch(runtime, "the subscriptions", Box::pin(telling), ending.clone());
        self.watch(runtime, "the history", Box::pin(historian.run(ending.clone())), ending.clone());
        report
    }
}

/// Waits until the history has its last words on the disk.
pub(super) async fn closed(mut report: watch::Receiver<Arc<Report>>) {
    while report.changed().await.is_ok() {}
}
