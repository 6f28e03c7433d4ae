//! Who is told of incidents, for operators: addresses in part, counts, and an end to a subscription.

use crate::moment::rfc3339;
use crate::subscriptions::desk::{Desk, Subscription};
use crate::subscriptions::outbox::Verdict;
use crate::subscriptions::{KINDS, OUTCOMES};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where it is at the admin address.
pub const PATH: &str = "/subscribers";

/// One subscription, as operators see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberView {
    /// By what it is removed.
    pub id: i64,
    /// `mail` or `webhook`.
    pub kind: String,
    /// The address or URL in part.
    pub to: String,
    /// What about: `region:NAME`, `hostname:NAME`; nothing is everything.
    pub scopes: Vec<String>,
    /// `confirmed`, `pending` or `stopped`.
    pub state: String,
    /// Why it is stopped.
    pub why: Option<String>,
    /// Since when it is there.
    pub since: String,
}

/// What `GET /subscribers` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribersView {
    /// In the order in which they came.
    pub subscribers: Vec<SubscriberView>,
}

/// What `POST /subscribers` is given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveBody {
    /// Which subscription ends.
    pub remove: i64,
    /// Who says so.
    #[serde(default)]
    pub who: String,
}

/// What it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveAnswer {
    /// Whether there was such a subscription.
    pub removed: bool,
}

/// What became of messages of one kind since the node started, and what waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeliveriesView {
    /// `mail` or `webhook`.
    pub kind: String,
    /// How often sending came to what.
    pub outcomes: Vec<(String, u64)>,
    /// Messages that wait or are under way.
    pub waiting: u64,
    /// For how long the oldest of them does, seconds.
    pub oldest_s: f64,
}

/// Everybody who is told, or wants to be.
///
/// # Errors
/// Why they cannot be listed.
pub async fn list(desk: &Desk) -> Result<SubscribersView, String> {
    let everybody = desk.everybody().await.map_err(|refusal| refusal.to_string())?;
    Ok(SubscribersView { subscribers: everybody.into_iter().map(view).collect() })
}

/// Ends the subscription in this row; whether there was one.
///
/// # Errors
/// Why it cannot be ended now.
pub async fn remove(desk: &Desk, row: i64) -> Result<bool, String> {
    desk.remove(row).await.map_err(|refusal| refusal.to_string())
}

fn view((id, seen): (i64, Subscription)) -> SubscriberView {
    let state = match (&seen.stopped, seen.is_confirmed) {
        (Some(_), _) => "stopped",
        (None, true) => "confirmed",
        (None, false) => "pending",
    };
    SubscriberView {
        id,
        kind: seen.kind.as_str().to_owned(),
        to: seen.to,
        scopes: seen.scopes.iter().map(ToString::to_string).collect(),
        state: state.to_owned(),
        why: seen.stopped,
        since: rfc3339(seen.created_at),
    }
}

/// What became of messages.
#[must_use]
pub fn deliveries(desk: &Desk, wall: Duration) -> Vec<DeliveriesView> {
    let counts = desk.counts();
    let outcomes = |kind| {
        let told = |(verdict, name): &(Verdict, &str)| ((*name).to_owned(), counts.outcome(kind, *verdict));
        OUTCOMES.iter().map(told).collect()
    };
    let of = |kind: &crate::subscriptions::desk::Kind| DeliveriesView {
        kind: kind.as_str().to_owned(),
        outcomes: outcomes(*kind),
        waiting: counts.waiting(*kind),
        oldest_s: counts.oldest(*kind).map_or(0.0, |oldest| wall.saturating_sub(oldest).as_secs_f64()),
    };
    KINDS.iter().map(of).collect()
}
