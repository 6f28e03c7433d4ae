//! What is shown of messages to those who asked to be told.

use super::Page;
use crate::status::subscribers::DeliveriesView;

impl Page {
    pub(super) fn deliveries(&mut self, all: &[DeliveriesView]) {
        let help = "Messages to subscribers by what came of sending them: retried is once for each attempt.";
        self.head("anyfront_deliveries", "counter", help);
        for one in all {
            for (outcome, count) in &one.outcomes {
                self.sample("anyfront_deliveries_total", &[("kind", &*one.kind), ("outcome", outcome)], count);
            }
        }
        self.head("anyfront_deliveries_waiting", "gauge", "Messages to subscribers that wait or are under way.");
        for one in all {
            self.sample("anyfront_deliveries_waiting", &[("kind", &*one.kind)], one.waiting);
        }
        self.head("anyfront_deliveries_oldest_seconds", "gauge", "For how long the oldest of them does.");
        for one in all {
            self.sample("anyfront_deliveries_oldest_seconds", &[("kind", &*one.kind)], one.oldest_s.round());
        }
    }
}
