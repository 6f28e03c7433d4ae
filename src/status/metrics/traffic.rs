//! What becomes of requests, for Prometheus.

use super::Page;
use crate::counters::Counters;
use crate::counters::histogram::Times;
use crate::counters::traffic::{STATUS_CLASSES, Traffic};
use crate::status::totals::Totals;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is counted of requests beside the [`Overview`](crate::status::view::Overview), which would grow much by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// By hostname, region and class.
    pub traffic: Vec<Traffic>,
    /// What this node itself adds.
    pub added: Times,
}

impl Requests {
    /// What all workers have counted.
    #[must_use]
    pub fn of(counters: &Counters) -> Self {
        Self { traffic: counters.traffic(), added: counters.tables().added() }
    }

    /// One of the times by region, in the order of their names.
    fn by_region(&self, which: impl Fn(&Traffic) -> &Times) -> BTreeMap<&str, Times> {
        let mut all: BTreeMap<&str, Times> = BTreeMap::new();
        for traffic in &self.traffic {
            if let Some(region) = &traffic.region {
                all.entry(region.as_str()).or_default().join(which(traffic));
            }
        }
        all
    }
}

/// Where a request was counted that no region answered, or that has no place of its own.
const NONE: &str = "none";
const OTHER: &str = "other";

impl Page {
    pub(super) fn requests(&mut self, requests: &Requests, totals: &Totals) {
        self.answers(&requests.traffic);
        self.bodies(&requests.traffic);
        self.named("anyfront_outcomes", "How requests ended.", "outcome", &totals.outcomes);
        let help = "Attempts after the first of a request, by what the one before had failed with.";
        self.named("anyfront_failovers_by_reason", help, "reason", &totals.failovers_after);
        let help = "How often limits were reached that strangers can press.";
        self.named("anyfront_limits_hit", help, "limit", &totals.limits);
        for (what, of, delivery) in
            [("access_log_lines", "Lines of the access log", &totals.access_log), ("spans", "Spans", &totals.spans)]
        {
            let name = format!("anyfront_{what}");
            let help = format!("{of}: delivered, dropped because the queue was full, or failed.");
            self.head(&name, "counter", &help);
            let counts =
                [("delivered", delivery.delivered), ("dropped", delivery.dropped), ("failed", delivery.failed)];
            for (outcome, count) in counts {
                self.sample(&format!("{name}_total"), &[("outcome", outcome)], count);
            }
        }
        let name = "anyfront_added_latency_seconds";
        let help =
            "Of the time until an answer's head, what was not the region's: deciding, connecting, failed attempts.";
        self.head(name, "histogram", help);
        self.histogram(name, &[], &requests.added);
        let name = "anyfront_first_byte_seconds";
        self.head(
            name,
            "histogram",
            "From a request's first octet on a connection to the region until its answer's head.",
        );
        for (region, times) in requests.by_region(|traffic| &traffic.first_byte) {
            self.histogram(name, &[("region", region)], &times);
        }
        let name = "anyfront_event_gap_seconds";
        self.head(name, "histogram", "The longest silence inside each event stream.");
        for (region, times) in requests.by_region(|traffic| &traffic.gap) {
            self.histogram(name, &[("region", region)], &times);
        }
    }

    fn answers(&mut self, traffic: &[Traffic]) {
        let name = "anyfront_answers";
        self.head(name, "counter", "Requests that have ended, by hostname, region, class and status.");
        for one in traffic {
            let [hostname, region, class] = labels(one);
            for (status, count) in STATUS_CLASSES.into_iter().zip(one.statuses) {
                // What is asked for most must be there before it happens.
                if count > 0 || matches!(status, "2xx" | "5xx") {
                    let labels = [("hostname", hostname), ("region", region), ("class", class), ("status", status)];
                    self.sample(&format!("{name}_total"), &labels, count);
                }
            }
        }
        let name = "anyfront_answers_failed";
        self.head(
            name,
            "counter",
            "Those of them that failed their clients: no answer, a broken one, or 500, 502 to 504.",
        );
        for one in traffic {
            let [hostname, region, class] = labels(one);
            let labels = [("hostname", hostname), ("region", region), ("class", class)];
            self.sample(&format!("{name}_total"), &labels, one.failures);
        }
    }

    fn bodies(&mut self, traffic: &[Traffic]) {
        let mut all: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        for one in traffic {
            let [up, down] = all.entry(labels(one)[1]).or_default();
            *up += one.octets_up;
            *down += one.octets_down;
        }
        let name = "anyfront_body_bytes";
        self.head(name, "counter", "Octets of bodies, of requests (up) and of answers (down).");
        for (region, octets) in all {
            for (direction, octets) in ["up", "down"].into_iter().zip(octets) {
                self.sample(&format!("{name}_total"), &[("region", region), ("direction", direction)], octets);
            }
        }
    }

    /// Counters told apart by one label.
    fn named(&mut self, name: &str, help: &str, label: &str, counts: &BTreeMap<String, u64>) {
        self.head(name, "counter", help);
        for (value, count) in counts {
            self.sample(&format!("{name}_total"), &[(label, value)], count);
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Times) {
        let ends = times.bounds.iter().map(|end| end.as_secs_f64().to_string()).chain(["+Inf".to_owned()]);
        let mut all = 0;
        for (end, count) in ends.zip(&times.counts) {
            all += count;
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", &*end)]).collect();
            self.sample(&format!("{name}_bucket"), &labels, all);
        }
        self.sample(&format!("{name}_sum"), labels, Duration::from_nanos(times.nanos).as_secs_f64());
        self.sample(&format!("{name}_count"), labels, all);
    }
}

/// Hostname, region and class.
fn labels(traffic: &Traffic) -> [&str; 3] {
    match &traffic.hostname {
        Some(hostname) => {
            [hostname.as_str(), traffic.region.as_ref().map_or(NONE, |region| region.as_str()), &traffic.class]
        }
        None => [OTHER, OTHER, OTHER],
    }
}
