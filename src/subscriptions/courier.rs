//! Takes what has to be delivered out of the outbox, sends it, and notes what became of it. Mails and webhooks go their own
//! ways: neither waits for the other.

use super::address::HookUrl;
use super::call::Caller;
use super::desk::Kind;
use super::outbox::{self, Message, Outcome, Verdict};
use super::post::Post;
use super::{Parts, hook, letter, masked};
use crate::history::store::StoreError;
use crate::limits::{MAILS_AT_ONCE_MAX, WEBHOOKS_AT_ONCE_MAX};
use crate::moment::{Dice, mix};
use crate::shutdown::requested;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The queue is looked at so often at least: the wall clock may have been set, and the file may have been in trouble.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// After a mail server could not be reached, it is left alone for this, and twice as long each time after.
const REST_MIN: Duration = Duration::from_secs(2);
/// But no longer than this: whoever mends it wants to see mails go.
const REST_MAX: Duration = Duration::from_secs(60);

/// Delivers what is of one kind until `shutdown`.
pub(super) async fn run(
    kind: Kind,
    parts: Arc<Parts>,
    post: Arc<Post>,
    caller: Arc<Caller>,
    mut shutdown: watch::Receiver<bool>,
) {
    let slots = match kind {
        Kind::Mail => MAILS_AT_ONCE_MAX,
        Kind::Webhook => WEBHOOKS_AT_ONCE_MAX,
    };
    let mut under_way: JoinSet<bool> = JoinSet::new();
    let (mut rest, mut rests) = (Duration::ZERO, 0_u32);
    loop {
        let mut wait = LOOK_AGAIN;
        let free = slots.saturating_sub(under_way.len());
        if free > 0 && rest.is_zero() && is_offered(kind, &parts) {
            match take(kind, free, &parts).await {
                Ok((messages, next)) => {
                    if let Some(next) = next {
                        wait = wait.min(next.saturating_sub(parts.clock.wall()));
                    }
                    for message in messages {
                        let (parts, post, caller) = (Arc::clone(&parts), Arc::clone(&post), Arc::clone(&caller));
                        under_way.spawn(async move { deliver(message, &parts, &post, &caller).await });
                    }
                }
                // Trouble with the file is told by the file's keeper.
                Err(error) => tracing::debug!(%error, "nothing can be taken out of the outbox"),
            }
        }
        let bell = parts.bell(kind);
        tokio::select! {
            () = requested(&mut shutdown) => break,
            () = bell.notified(), if rest.is_zero() => {}
            () = tokio::time::sleep(if rest.is_zero() { wait } else { rest }) => {
                if !rest.is_zero() {
                    rest = Duration::ZERO;
                }
                post.tidy(false).await;
            }
            Some(done) = under_way.join_next(), if !under_way.is_empty() => {
                let is_reached = done.unwrap_or(true);
                if is_reached {
                    rests = 0;
                } else if rest.is_zero() {
                    rest = REST_MIN.saturating_mul(1 << rests.min(10)).min(REST_MAX);
                    rests += 1;
                }
            }
        }
    }
    // What is under way is cut: it was noted as being sent, and goes out again under the same id.
    under_way.shutdown().await;
    post.tidy(true).await;
}

fn is_offered(kind: Kind, parts: &Parts) -> bool {
    let snapshot = parts.published.load();
    match kind {
        Kind::Mail => snapshot.topology.status.mail.is_some(),
        Kind::Webhook => snapshot.topology.status.webhooks.is_some(),
    }
}

async fn take(kind: Kind, most: usize, parts: &Arc<Parts>) -> Result<(Vec<Message>, Option<Duration>), StoreError> {
    let (sealer, wall) = (parts.sealer()?, parts.clock.wall());
    parts.store.run(move |tx| outbox::take(tx, &sealer, kind, most, wall)).await
}

/// Sends one message and notes what became of it; whether somebody was reached who takes messages.
async fn deliver(message: Message, parts: &Parts, post: &Post, caller: &Caller) -> bool {
    let outcome = send(&message, parts, post, caller).await;
    let is_reached = !matches!(outcome, Outcome::Unreachable(_));
    let kind = message.to.kind;
    let (finished, noted, wall) = (message.to_finish(), outcome.clone(), parts.clock.wall());
    let dice = Dice::seeded(parts.seed ^ mix(u64::from(wall.subsec_nanos()) << 32 | u64::from(message.attempts)));
    let verdict = loop {
        let (finished, noted, mut dice) = (finished.clone(), noted.clone(), dice.clone());
        match parts.store.run(move |tx| outbox::finish(tx, &finished, &noted, wall, &mut dice)).await {
            Ok(verdict) => break verdict,
            Err(StoreError::Closed) => return is_reached,
            // It went out, and that has to be noted before anything else happens to it.
            Err(error) => {
                tracing::warn!(%error, "what became of a message cannot be noted yet");
                tokio::time::sleep(REST_MIN).await;
            }
        }
    };
    parts.counts.count(kind, verdict);
    let to = masked(kind, &message.to.to);
    match (&outcome, verdict) {
        (Outcome::Unreachable(why) | Outcome::Failed { why, .. }, Verdict::GivenUp) => {
            tracing::warn!(id = message.id, attempts = message.attempts, "a message to {to} is given up: {why}");
        }
        (Outcome::Unreachable(why) | Outcome::Failed { why, .. }, Verdict::SwitchedOff) => {
            tracing::warn!("the webhook {to} is told no more: {why}");
        }
        (Outcome::Unreachable(why) | Outcome::Failed { why, .. }, _) => {
            tracing::debug!(id = message.id, attempts = message.attempts, "a message to {to} waits: {why}");
        }
        (Outcome::Delivered, _) => {}
    }
    parts.bell(kind).notify_one();
    is_reached
}

async fn send(message: &Message, parts: &Parts, post: &Post, caller: &Caller) -> Outcome {
    let topology = Arc::clone(&parts.published.load_full().topology);
    let page = &topology.status;
    let never = |why: String| Outcome::Failed { why, is_final: true, is_gone: false };
    match message.to.kind {
        Kind::Mail => {
            let Some(mail) = &page.mail else { return Outcome::Unreachable("no mails are sent any more".to_owned()) };
            match letter::write(message, page, mail) {
                Ok(letter) => post.send(&letter, mail).await,
                Err(why) => never(why),
            }
        }
        Kind::Webhook => {
            let Some(terms) = &page.webhooks else { return never("webhooks are not called any more".to_owned()) };
            match HookUrl::parse(&message.to.to) {
                Ok(url) => {
                    let body = hook::body(message, page);
                    caller.call(&url, &message.id, body, &message.to.secrets, terms).await
                }
                Err(why) => never(why),
            }
        }
    }
}
