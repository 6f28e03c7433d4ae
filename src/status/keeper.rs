//! Grants the wishes of operators, one after the other: written down first, then in force, then answered.
//!
//! One task owns the [`Drains`], so two operators never write over each other. What is in force is decided by `control`:
//! the keeper hands it the whole list and waits until a snapshot has it.

use super::drains::{DrainError, Drains, Operator, Wish};
use crate::control::Event;
use crate::moment::Clock;
use crate::snapshot::{Published, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long to wait for a snapshot that has the wish: many times what `control` needs.
pub const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);
/// Wishes waiting at most; operators are people.
pub const ASKS_MAX: usize = 16;

/// Why a wish is not in force.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// It could not be written down; nothing changed.
    #[error(transparent)]
    Unwritten(#[from] DrainError),
    /// It is written down, but the node does not follow.
    #[error("it is written down, but not in force after 5 s: the node is overloaded or stopping; look at /drains")]
    Late,
}

/// A wish in force: what the node believed before, and what it believes now.
#[derive(Debug)]
pub struct Granted {
    /// Before.
    pub before: Arc<Snapshot>,
    /// Now.
    pub after: Arc<Snapshot>,
}

/// A wish on its way.
#[derive(Debug)]
pub struct Ask {
    /// What.
    pub wish: Wish,
    /// Whose.
    pub operator: Operator,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Granted, Denied>>,
}

/// What the keeper needs of the node.
#[derive(Debug)]
pub struct Node {
    /// Where wishes go.
    pub events: mpsc::Sender<Event>,
    /// Where they show.
    pub published: Published,
    /// Where a wish to read the file again goes; one waiting is enough.
    pub reload: mpsc::Sender<()>,
    /// Time.
    pub clock: Clock,
}

/// Grants wishes until nobody can have any.
pub async fn keep(mut drains: Drains, mut asks: mpsc::Receiver<Ask>, node: Node) {
    while let Some(Ask { wish, operator, reply }) = asks.recv().await {
        let before = node.published.load_full();
        let (wall, wanted) = (node.clock.wall(), wish.clone());
        // Waiting for the disk must not hold up probes, which share this runtime.
        let written = tokio::task::spawn_blocking(move || {
            let written = drains.grant(wanted, &operator, wall);
            (drains, written)
        });
        let Ok((back, written)) = written.await else {
            tracing::error!("the task that writes drains ended: no drain can be changed until the node is restarted");
            return;
        };
        drains = back;
        let granted = match written {
            Ok(overrides) => node.put_in_force(&wish, overrides).await.ok_or(Denied::Late),
            Err(error) => Err(Denied::from(error)),
        };
        // Nobody may be waiting any more; the wish is granted all the same.
        let _ = reply.send(granted.map(|after| Granted { before, after }));
    }
}

impl Node {
    async fn put_in_force(&self, wish: &Wish, overrides: Arc<[crate::snapshot::Override]>) -> Option<Arc<Snapshot>> {
        if let Wish::Note { .. } = wish {
            return Some(self.published.load_full());
        }
        if *wish == Wish::Reload {
            // A full channel means that somebody else asked just now.
            let is_heard = !matches!(self.reload.try_send(()), Err(mpsc::error::TrySendError::Closed(())));
            return is_heard.then(|| self.published.load_full());
        }
        let mut bell = self.published.subscribe();
        let follow = async {
            self.events.send(Event::Overridden { overrides }).await.ok()?;
            loop {
                let snapshot = self.published.load_full();
                if self.is_in(wish, &snapshot) {
                    return Some(snapshot);
                }
                bell.changed().await.ok()?;
            }
        };
        tokio::time::timeout(IN_FORCE_WITHIN, follow).await.ok().flatten()
    }

    fn is_in(&self, wish: &Wish, snapshot: &Snapshot) -> bool {
        match wish {
            Wish::Drain(drain) => {
                snapshot.overrides.contains(drain) || drain.until.is_some_and(|until| until <= self.clock.wall())
            }
            Wish::Lift(target) => snapshot.overrides.iter().all(|drain| drain.target != *target),
            Wish::Reload | Wish::Note { .. } => true,
        }
    }
}
