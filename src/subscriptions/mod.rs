//! WHO IS TOLD: people and programs that want to hear of incidents, by mail and by webhook.
//!
//! [`desk`] is where they ask for it, behind the forms of the status page; [`table`] is where it is kept. Each report is looked
//! through for updates that nobody was told of ([`news`]); who is to be told is noted in the [`outbox`] in the same transaction
//! that notes the update as told. [`courier`](self) takes messages out of it: [`letter`] writes mails and [`post`] hands them to
//! the operator's server, [`hook`] writes what webhooks are told and [`call`] tells them, but nobody behind our own walls
//! ([`fence`]). [`pace`] says when what failed is tried again.
//!
//! Nothing here is needed to route, and nothing waits for it.

pub mod address;
pub mod call;
pub mod crowd;
pub mod desk;
pub mod fence;
pub mod hook;
pub mod letter;
pub mod news;
pub mod outbox;
pub mod pace;
pub mod post;
pub mod scope;
pub mod table;
mod courier;

use crate::history::seal::Sealer;
use crate::history::store::{Store, StoreError};
use crate::history::story::{Report, Trouble};
use crate::moment::Clock;
use crate::shutdown::requested;
use crate::snapshot::Published;
use address::{HookUrl, MailAddress};
use call::Caller;
use desk::{Desk, Kind};
use hickory_resolver::TokioResolver;
use outbox::Verdict;
use post::Post;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What is long done is forgotten so often.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// After trouble with the file it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// What subscriptions need of the node, and what their parts share.
#[derive(Debug)]
pub struct Parts {
    /// Where everything is kept.
    pub store: Store,
    /// What the file says.
    pub published: Published,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub seed: u64,
    /// What was counted.
    pub counts: Counts,
    folder: PathBuf,
    /// The key, once it was had. Locked while it is read or made: two who make it at once would trip over each other.
    sealer: Mutex<Option<Arc<Sealer>>>,
    mails: Notify,
    webhooks: Notify,
}

/// What became of messages since the start, and what waits.
#[derive(Debug, Default)]
pub struct Counts {
    outcomes: [[AtomicU64; 4]; 2],
    waiting: [AtomicU64; 2],
    oldest_ms: [AtomicU64; 2],
}

/// Both kinds, in the order of [`Counts`].
pub const KINDS: [Kind; 2] = [Kind::Mail, Kind::Webhook];
/// What may become of sending, in the order of [`Counts`], as metrics write it.
pub const OUTCOMES: [(Verdict, &str); 4] = [
    (Verdict::Delivered, "delivered"),
    (Verdict::Retried, "retried"),
    (Verdict::GivenUp, "given_up"),
    (Verdict::SwitchedOff, "switched_off"),
];

impl Counts {
    fn count(&self, kind: Kind, verdict: Verdict) {
        self.outcomes[kind as usize][verdict as usize].fetch_add(1, Relaxed);
    }

    /// How often sending came to this since the start.
    #[must_use]
    pub fn outcome(&self, kind: Kind, verdict: Verdict) -> u64 {
        self.outcomes[kind as usize][verdict as usize].load(Relaxed)
    }

    /// How many messages wait or are under way.
    #[must_use]
    pub fn waiting(&self, kind: Kind) -> u64 {
        self.waiting[kind as usize].load(Relaxed)
    }

    /// When the oldest of them was made, since the Unix epoch.
    #[must_use]
    pub fn oldest(&self, kind: Kind) -> Option<Duration> {
        Some(self.oldest_ms[kind as usize].load(Relaxed)).filter(|at| *at > 0).map(Duration::from_millis)
    }
}

impl Parts {
    /// `folder` is the state directory, where the key is.
    #[must_use]
    pub fn new(store: Store, published: Published, clock: Clock, seed: u64, folder: PathBuf) -> Self {
        Self {
            store,
            published,
            clock,
            seed,
            counts: Counts::default(),
            folder,
            sealer: Mutex::default(),
            mails: Notify::new(),
            webhooks: Notify::new(),
        }
    }

    /// The key. Where it cannot be had, that is trouble of the history, and tried again next time.
    ///
    /// # Errors
    /// Why there is none.
    pub fn sealer(&self) -> Result<Arc<Sealer>, StoreError> {
        let mut kept = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealer) = &*kept {
            return Ok(Arc::clone(sealer));
        }
        let opened = Sealer::open(&self.folder).map_err(|error| {
            tracing::error!("{error}: nobody can be told");
            let why = "the key of the subscriptions cannot be read".to_owned();
            StoreError::Trouble(Trouble { since: self.clock.wall(), why })
        })?;
        Ok(Arc::clone(kept.insert(Arc::new(opened))))
    }

    /// Rung when there is something to send.
    fn bell(&self, kind: Kind) -> &Notify {
        match kind {
            Kind::Mail => &self.mails,
            Kind::Webhook => &self.webhooks,
        }
    }
}

/// An address or URL in part: enough to recognise it.
#[must_use]
pub fn masked(kind: Kind, to: &str) -> String {
    match kind {
        Kind::Mail => MailAddress::parse(to).map(|address| address.masked()),
        Kind::Webhook => HookUrl::parse(to).map(|url| url.masked()),
    }
    .unwrap_or_else(|_| "…".to_owned())
}

/// Tells whoever wants to be told of what is new in each report, until `shutdown`.
pub async fn run(desk: Desk, mut reports: watch::Receiver<Arc<Report>>, mut shutdown: watch::Receiver<bool>) {
    let (parts, caller) = desk.shared();
    let post = Arc::new(Post::new(parts.clock));
    while !resume(&parts).await {
        tokio::select! {
            () = requested(&mut shutdown) => return,
            () = tokio::time::sleep(TRY_AGAIN) => {}
        }
    }
    look_for_lost(&parts).await;
    let couriers = KINDS
        .map(|kind| courier::run(kind, Arc::clone(&parts), Arc::clone(&post), Arc::clone(&caller), shutdown.clone()));
    let [mails, webhooks] = couriers.map(tokio::spawn);
    let mut known: HashSet<String> = HashSet::new();
    let mut forget_at = parts.clock.now();
    loop {
        let report = Arc::clone(&reports.borrow_and_update());
        let is_done = take_over(&parts, &report, &mut known).await;
        if parts.clock.now() >= forget_at {
            let wall = parts.clock.wall();
            let forgotten = parts.store.run(move |tx| outbox::forget(tx, wall)).await;
            forget_at = parts.clock.now() + if forgotten.is_ok() { FORGET_EVERY } else { TRY_AGAIN };
        }
        measure(&parts).await;
        let again = if is_done { FORGET_EVERY.min(Duration::from_secs(10)) } else { TRY_AGAIN };
        tokio::select! {
            () = requested(&mut shutdown) => break,
            changed = reports.changed() => if changed.is_err() {
                requested(&mut shutdown).await;
                break;
            },
            () = tokio::time::sleep(again) => {}
        }
    }
    let _ = tokio::join!(mails, webhooks);
}

/// What was being sent when the last process ended waits again, before anything else is sent. Whether that is done.
async fn resume(parts: &Parts) -> bool {
    let wall = parts.clock.wall();
    match parts.store.run(move |tx| outbox::resume(tx, wall)).await {
        Ok(0) => true,
        Ok(count) => {
            tracing::info!(count, "messages that were being sent at the end are sent again under their ids");
            true
        }
        Err(error) => {
            tracing::debug!(%error, "the outbox cannot be read yet");
            false
        }
    }
}

/// Tells the operator of those who cannot be told, because the key that they were sealed with is not there any more.
async fn look_for_lost(parts: &Parts) {
    // Where nobody is, no key is made.
    if !matches!(parts.store.read(table::is_anybody).await, Ok(true)) {
        return;
    }
    let Ok(sealer) = parts.sealer() else { return };
    match parts.store.read(move |tx| table::unreadable_count(tx, &sealer)).await {
        Ok(0) => {}
        Ok(count) => tracing::error!(
            count,
            "{count} subscriptions cannot be read: they were sealed with another {}. Put the one back that belongs to the \
             history, or remove them: until then nobody of them is told",
            crate::history::seal::FILE
        ),
        Err(error) => tracing::debug!(%error, "the subscriptions cannot be read yet"),
    }
}

/// Notes what of `report` is new, and who is to be told. Whether it is noted.
async fn take_over(parts: &Parts, report: &Report, known: &mut HashSet<String>) -> bool {
    let updates = || report.incidents.iter().chain(&report.maintenance).flat_map(|incident| &incident.updates);
    let news = news::news(report, known);
    if news.is_empty() {
        return true;
    }
    let wall = parts.clock.wall();
    let noted = parts.store.run(move |tx| {
        let mut count = 0;
        for one in &news {
            count += outbox::hand_out(tx, one, wall)?;
        }
        Ok(count)
    });
    match noted.await {
        Ok(count) => {
            *known = updates().map(|update| update.id.clone()).collect();
            if count > 0 {
                tracing::info!(count, "messages are to be delivered");
                KINDS.iter().for_each(|kind| parts.bell(*kind).notify_one());
            }
            true
        }
        Err(error) => {
            tracing::debug!(%error, "what is new cannot be noted yet");
            false
        }
    }
}

async fn measure(parts: &Parts) {
    for kind in KINDS {
        if let Ok((count, oldest)) = parts.store.read(move |tx| outbox::queue(tx, kind)).await {
            parts.counts.waiting[kind as usize].store(count, Relaxed);
            let oldest = oldest.map_or(0, |at| u64::try_from(at.as_millis()).unwrap_or(0));
            parts.counts.oldest_ms[kind as usize].store(oldest, Relaxed);
        }
    }
}

/// A caller that asks the system's resolver.
#[must_use]
pub fn caller(clock: Clock) -> Caller {
    let resolver = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
    if let Err(error) = &resolver {
        tracing::error!(%error, "the system's resolver cannot be used: webhooks need addresses");
    }
    Caller::new(clock, resolver.ok())
}
