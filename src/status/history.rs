//! The history, as a node shows it of itself.

use crate::history::desk::Desk;
use serde::{Deserialize, Serialize};

/// The history of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryView {
    /// Why it is not what it should be, if so.
    pub trouble: Option<String>,
    /// Octets of its file.
    pub file_bytes: u64,
    /// Minutes, changes and jobs that were lost because nothing could be kept.
    pub lost: u64,
    /// Incidents that are not over.
    pub open_incidents: usize,
}

impl HistoryView {
    /// The history behind `desk`.
    #[must_use]
    pub fn of(desk: &Desk) -> Self {
        let told = desk.told();
        Self {
            trouble: told.trouble.as_ref().map(|trouble| trouble.why.clone()),
            file_bytes: desk.file_bytes(),
            lost: desk.lost(),
            open_incidents: told.incidents.iter().filter(|incident| !incident.phase.is_over()).count(),
        }
    }
}
