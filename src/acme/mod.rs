//! Certificates for names in our own zone, ordered by ACME (RFC 8555) and proven by DNS-01: no port, no file, no person.
//!
//! [`schedule`] says when, [`order`] does it, [`store`] keeps what comes; [`client`] is HTTP to the directory and [`look`] a
//! question to our own DNS. What is kept is a file that TLS reads again when it is told, so a new certificate is shown to the
//! next handshake and nobody notices. Nothing here is needed to start or to serve: the certificate that is there stays until
//! its end, whatever happens to the directory.
//!
//! Each node orders for itself: nodes that answer for the same zone at other addresses do not know its challenges.

pub mod schedule;
pub mod store;
pub mod client;
pub mod look;
pub mod order;

use crate::moment::{Clock, Dice, rfc3339};
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::topology::zone::Acme;
use arc_swap::ArcSwap;
use hickory_proto::rr::Name;
use order::OrderError;
use schedule::{Alarm, Pace, Past, Schedule, Step};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Kept, Store};
use tokio::sync::{Notify, watch};

/// An order that has not come to an end after this never will: longer than both its waits together.
pub const ORDER_MAX: Duration = Duration::from_secs(480);
/// The wall clock is looked at again so often at least: it may be set, and a machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// What the directory is to find in DNS: TXT values by owner. DNS answers with what is in it at the time.
pub type Challenges = Arc<ArcSwap<Vec<(Name, Vec<String>)>>>;

/// What ordering needs of the node.
#[derive(Debug)]
pub struct Parts {
    /// Where things are kept.
    pub store: Store,
    /// Where the challenges are published.
    pub challenges: Challenges,
    /// One of our own DNS addresses, to see the challenges answered before the directory looks; `None`: this node answers
    /// none, so it can prove nothing.
    pub dns: Option<SocketAddr>,
    /// Rung when another certificate is there.
    pub changed: Arc<Notify>,
    /// How patient to be.
    pub pace: Pace,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub seed: u64,
}

/// Orders certificates as the file says, again and again, until `shutdown`.
pub async fn run(parts: Parts, published: Published, mut shutdown: watch::Receiver<bool>) {
    let mut dice = Dice::seeded(parts.seed);
    let mut bell = published.subscribe();
    let mut is_edited = false;
    loop {
        let terms = published.load().topology.acme.clone();
        let follow = async {
            match &terms {
                Some(terms) => follow(&parts, terms, is_edited, &mut dice).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            while published.load().topology.acme == terms {
                if bell.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        // An order that is under way under other terms is left: what it published goes with it.
        tokio::select! {
            () = requested(&mut shutdown) => return,
            () = changed => is_edited = true,
            never = follow => match never {},
        }
    }
}

async fn follow(parts: &Parts, terms: &Acme, is_edited: bool, dice: &mut Dice) -> Infallible {
    while let Err(error) = parts.store.make_ready(parts.clock.wall()) {
        tracing::error!("{error}: no certificate is ordered");
        tokio::time::sleep(parts.pace.max).await;
    }
    let mut kept = parts.store.kept(parts.clock.wall());
    let wanted = kept.as_ref().filter(|kept| is_wanted(kept, terms));
    // Whoever edits the file wants to see at once whether it helped.
    let past = if is_edited { Past::default() } else { parts.store.past(&terms.directory) };
    let mut schedule = Schedule::new(wanted.map(|kept| kept.life), past, parts.pace, Dice::seeded(dice.roll()));
    if let Step::Wait(time) = schedule.due(parts.clock.wall())
        && past.failures > 0
    {
        let (failures, file) = (past.failures, parts.store.past_path());
        tracing::warn!(
            failures,
            "ordering a certificate waits {time:.0?} after failures; sooner without {}",
            file.display()
        );
    }
    loop {
        let wall = parts.clock.wall();
        if let Some(alarm) = schedule.alarm(wall) {
            tell(alarm);
        }
        match schedule.due(wall) {
            Step::Wait(time) => tokio::time::sleep(time.min(LOOK_AGAIN)).await,
            Step::Order => kept = attempt(parts, terms, kept, &mut schedule, dice).await,
            Step::Ask => match &kept {
                Some(kept) => ask(parts, terms, kept, &mut schedule).await,
                None => schedule.suggested(None, schedule::ASK_AGAIN_MAX, wall),
            },
        }
    }
}

/// What a certificate is to be for, as it is written in one.
fn names(terms: &Acme) -> Vec<String> {
    terms.names.iter().map(ToString::to_string).collect()
}

/// Whether a certificate is the one that `terms` ask for.
fn is_wanted(kept: &Kept, terms: &Acme) -> bool {
    if kept.directory != *terms.directory {
        tracing::info!(from = kept.directory, "the certificate is from another directory: one is ordered from here");
        return false;
    }
    if let Some(name) = kept.lacks(&names(terms)) {
        tracing::info!("the certificate is not for {name}: another is ordered");
        return false;
    }
    true
}

/// One order; what is kept after it.
async fn attempt(
    parts: &Parts,
    terms: &Acme,
    kept: Option<Kept>,
    schedule: &mut Schedule,
    dice: &mut Dice,
) -> Option<Kept> {
    let past = schedule.begin(parts.clock.wall());
    let ordered = async {
        // Before the directory hears of it: a disk that cannot keep this could not keep the certificate either.
        parts.store.remember(&terms.directory, past)?;
        order::order(parts, terms, kept.as_ref(), dice).await
    };
    let ordered = tokio::time::timeout(ORDER_MAX, ordered).await.unwrap_or(Err(OrderError::Late(ORDER_MAX)));
    let wall = parts.clock.wall();
    let next = match ordered {
        Ok(new) => {
            parts.changed.notify_one();
            schedule.obtained(new.life, wall);
            let (until, renewed) = (rfc3339(new.life.not_after), rfc3339(schedule.renew_at()));
            tracing::info!(until, renewed, "a certificate came for {}", names(terms).join(", "));
            Some(new)
        }
        Err(error) => {
            let wait = schedule.failed(error.retry_after(), wall);
            match kept.as_ref().filter(|kept| kept.life.not_after > wall) {
                Some(kept) => {
                    let until = rfc3339(kept.life.not_after);
                    tracing::warn!(until, "no new certificate: {error}; the one in force stays, again in {wait:.0?}");
                }
                None => tracing::error!("no certificate: {error}; again in {wait:.0?}"),
            }
            kept
        }
    };
    if let Err(error) = parts.store.remember(&terms.directory, schedule.past()) {
        tracing::error!("{error}: after a restart it is not known how often ordering failed");
    }
    next
}

/// Asks when the certificate should be replaced.
async fn ask(parts: &Parts, terms: &Acme, kept: &Kept, schedule: &mut Schedule) {
    let asked = order::window(parts, terms, kept).await;
    let wall = parts.clock.wall();
    match asked {
        Ok((window, ask_again)) => schedule.suggested(window, ask_again, wall),
        Err(error) => {
            tracing::warn!("the directory does not say when it wants the certificate replaced: {error}");
            schedule.suggested(None, error.retry_after().unwrap_or(schedule::ASK_AGAIN), wall);
        }
    }
}

fn tell(alarm: Alarm) {
    match alarm {
        Alarm::Over => tracing::error!("the certificate has ended and no other came: clients will not believe it"),
        Alarm::Days(days) => tracing::warn!("the certificate ends within {days} days, and no other has come"),
    }
}
