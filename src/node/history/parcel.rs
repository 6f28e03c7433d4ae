//! What is to be kept, on its way to the file: one parcel at a time, and again until it is there.

use crate::history::incidents::Kept;
use crate::history::recorder::{Batch, Recorder};
use crate::history::store::{Pending, StoreError};
use crate::moment::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait before something that could not be kept is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// A disk that has not answered for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// What is kept together or not at all.
pub(super) struct Parcel {
    /// Counts up.
    pub(super) number: u64,
    pub(super) batch: Batch,
    pub(super) incidents: Vec<Kept>,
}

/// Parcels on their way.
pub(super) struct Outbox {
    under_way: Option<(Arc<Parcel>, Pending<()>, Moment)>,
    /// What could not be kept, and when to try again.
    again: Option<(Arc<Parcel>, Moment)>,
    /// Incidents that changed since.
    incidents: BTreeMap<String, Kept>,
    /// The number of the last parcel.
    made: u64,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { under_way: None, again: None, incidents: BTreeMap::new(), made: 0 }
    }

    /// The number of the parcel that has the incidents of until now.
    pub(super) fn number(&self) -> u64 {
        self.made + u64::from(!self.incidents.is_empty())
    }

    /// Incidents that have changed.
    pub(super) fn add(&mut self, changed: Vec<Kept>) {
        self.incidents.extend(changed.into_iter().map(|kept| (kept.incident.id.clone(), kept)));
    }

    /// What is to be sent now: what could not be kept before, or what is new; of `recorder`, if it has something.
    pub(super) fn due(&mut self, now: Moment, recorder: Option<&mut Recorder>) -> Option<Arc<Parcel>> {
        if self.under_way.is_some() || self.again.as_ref().is_some_and(|(_, when)| *when > now) {
            return None;
        }
        if let Some((parcel, _)) = self.again.take() {
            return Some(parcel);
        }
        if recorder.is_none() && self.incidents.is_empty() {
            return None;
        }
        let batch = recorder.map(Recorder::hand_out).unwrap_or_default();
        self.made += 1;
        let incidents = std::mem::take(&mut self.incidents).into_values().collect();
        Some(Arc::new(Parcel { number: self.made, batch, incidents }))
    }

    /// `parcel` was handed over, or could not be.
    pub(super) fn sent(&mut self, parcel: Arc<Parcel>, sent: Result<Pending<()>, StoreError>, now: Moment) {
        match sent {
            Ok(answer) => self.under_way = Some((parcel, answer, now)),
            Err(_) => self.again = Some((parcel, now + AGAIN_AFTER)),
        }
    }

    /// What becomes of the parcel under way; waits for ever if none is.
    pub(super) async fn answer(&mut self) -> Result<(), StoreError> {
        match &mut self.under_way {
            Some((_, answer, _)) => answer.await.unwrap_or(Err(StoreError::Closed)),
            None => std::future::pending().await,
        }
    }

    /// Takes note of the answer: the parcel, if it is kept.
    pub(super) fn answered(&mut self, kept: Result<(), StoreError>, now: Moment) -> Option<Arc<Parcel>> {
        let (parcel, ..) = self.under_way.take()?;
        match kept {
            Ok(()) => return Some(parcel),
            Err(StoreError::Refused(error)) => tracing::error!("part of the history is lost: {error}"),
            Err(StoreError::Panicked) => tracing::error!("part of the history is lost: a bug"),
            Err(_) => self.again = Some((parcel, now + AGAIN_AFTER)),
        }
        None
    }

    /// How long the disk has said nothing, if that is too long.
    pub(super) fn hangs_for(&self, now: Moment) -> Option<Duration> {
        let since = self.under_way.as_ref().map(|(_, _, since)| now.since(*since));
        since.filter(|time| *time >= HANGS_AFTER)
    }

    /// Waits for what is under way; what is not kept then.
    pub(super) async fn end(&mut self) -> Option<Arc<Parcel>> {
        if let Some((parcel, answer, now)) = self.under_way.take()
            && !matches!(answer.await, Ok(Ok(())))
        {
            self.again = Some((parcel, now));
        }
        self.again.take().map(|(parcel, _)| parcel)
    }

    /// The incidents that were not sent, with those that changed last.
    pub(super) fn rest(&mut self, changed: Vec<Kept>) -> Vec<Kept> {
        self.add(changed);
        std::mem::take(&mut self.incidents).into_values().collect()
    }
}
