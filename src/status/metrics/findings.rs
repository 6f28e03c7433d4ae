//! Metrics of headroom and of residency. At most one series for each loss and each region that would take over; of large
//! fleets only the fullest of these, so that their number grows with the file and not with its square.

use super::Page;
use crate::headroom::{Headroom, Loss, Receiver};
use crate::residency::day::Day;
use crate::residency::shelf::Shelf;
use std::time::Duration;

/// Regions up to which every receiver is shown: some thousand series at most.
const ALL_SHOWN_UP_TO: usize = 32;

impl Page {
    pub(super) fn headroom(&mut self, headroom: &Headroom) {
        let count = if headroom.regions.len() <= ALL_SHOWN_UP_TO { usize::MAX } else { 1 };
        let name = "anyfront_headroom_ratio";
        self.head(
            name,
            "gauge",
            "What a region would be asked for without what is lost, as a part of its capacity; above 1 it is too much.",
        );
        for loss in &headroom.losses {
            // The fullest come first.
            let limited = loss.receivers.iter().filter_map(|one| Some((one.region.as_deref()?, one.ratio?)));
            for (region, ratio) in limited.take(count) {
                self.sample(name, &[("lost", &lost(loss)), ("region", region)], rounded(ratio));
            }
        }
        let name = "anyfront_headroom_unserved_ratio";
        self.head(name, "gauge", "Of the requests of what is lost, the part for which nobody would be left.");
        for loss in headroom.losses.iter().filter(|loss| loss.in_flight > 0.0) {
            let nobody = loss.receivers.iter().filter(|one| one.region.is_none());
            let asked: f64 = nobody.map(|Receiver { asked, .. }| asked).sum();
            self.sample(name, &[("lost", &lost(loss))], rounded(asked / loss.in_flight));
        }
    }

    pub(super) fn residency(&mut self, shelf: &Shelf, wall: Duration) {
        let today = shelf.ledger.days.get(&Day::of(wall));
        let kept = || today.into_iter().flat_map(|page| page.hostnames.values());
        let violations: u64 = kept().flat_map(|kept| &kept.processed).map(|one| one.outside).sum();
        let help = "Requests of today (UTC) sent to or answered by a region outside their hostname's residency.";
        self.gauge("anyfront_residency_violations_today", help, violations);
        let refused: u64 = kept().map(|kept| kept.refused).sum();
        let help = "Requests of today (UTC) refused because the regions that could have served them are outside.";
        self.gauge("anyfront_residency_refused_today", help, refused);
        let help = "1 while what is counted of residency can be kept.";
        self.gauge("anyfront_residency_kept", help, u8::from(shelf.trouble.is_none()));
    }
}

fn lost(loss: &Loss) -> String {
    loss.lost.join(" ")
}

fn rounded(ratio: f64) -> f64 {
    // Adding zero makes -0, which the sum of nothing is, into 0.
    (ratio * 10_000.0).round() / 10_000.0 + 0.0
}
