//! The history, for Prometheus.

use super::Page;
use crate::status::history::HistoryView;

impl Page {
    pub(super) fn history(&mut self, history: &HistoryView) {
        let help = "1 while the history cannot be kept, or part of it was lost within a day.";
        self.gauge("anyfront_history_trouble", help, u8::from(history.trouble.is_some()));
        self.gauge("anyfront_history_bytes", "Size of the history's file with its log.", history.file_bytes);
        let help = "Minutes, changes and jobs that were lost because nothing could be kept.";
        self.counter("anyfront_history_lost", help, history.lost);
        self.gauge("anyfront_incidents_open", "Incidents that are not over.", history.open_incidents);
    }
}
