//! What the terminal view knows: the last sample of a node, and what two samples say together.

use crate::moment::Moment;
use crate::status::view::{DecisionView, Overview, RegionView};
use std::collections::{BTreeMap, VecDeque};

/// Samples kept for a trend.
pub const TREND_MAX: usize = 60;

/// One look at a node.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What it believes and has counted.
    pub node: Overview,
    /// Its newest requests, newest first.
    pub decisions: Vec<DecisionView>,
}

/// What happens a second.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Lately.
    pub per_second: f64,
    /// Earlier ones, oldest first, this one last.
    pub trend: VecDeque<f64>,
}

impl Flow {
    fn push(&mut self, per_second: f64) {
        self.per_second = per_second;
        self.trend.push_back(per_second);
        while self.trend.len() > TREND_MAX {
            self.trend.pop_front();
        }
    }
}

/// What the view knows.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Whom it watches.
    pub address: String,
    /// The last sample.
    pub sample: Option<Sample>,
    /// Requests.
    pub requests: Flow,
    /// Failovers a second.
    pub failovers: f64,
    /// Requests that nobody served, a second.
    pub unserved: f64,
    /// Requests refused, a second.
    pub refusals: f64,
    /// Questions by DNS a second.
    pub questions: f64,
    /// Those for names that do not exist, of a hundred.
    pub nowhere_percent: f64,
    /// Answers withheld from those who ask too often, a second.
    pub limited: f64,
    /// Answers of each region.
    pub regions: BTreeMap<String, Flow>,
    /// Why the node cannot be asked, since when.
    pub gone: Option<(Moment, String)>,
}

impl Model {
    /// Knows nothing yet of the node at `address`.
    #[must_use]
    pub fn of(address: &str) -> Self {
        Self { address: address.to_owned(), ..Self::default() }
    }

    /// Takes in what was seen.
    pub fn saw(&mut self, sample: Sample) {
        self.gone = None;
        let node = &sample.node;
        // A node that was restarted counts from zero: nothing can be said of the time between.
        let before = self.sample.as_ref().map(|sample| &sample.node).filter(|before| before.uptime_s < node.uptime_s);
        if let Some(before) = before {
            let seconds = node.uptime_s - before.uptime_s;
            let per_second = |now: u64, then: u64| count(now.saturating_sub(then)) / seconds;
            let (now, then) = (&node.counters, &before.counters);
            self.requests.push(per_second(now.requests, then.requests));
            self.failovers = per_second(now.failovers, then.failovers);
            self.unserved = per_second(now.unserved, then.unserved);
            self.refusals = per_second(now.refusals, then.refusals);
            self.questions = per_second(now.dns.asked(), then.dns.asked());
            let nowhere = per_second(now.dns.with("nxdomain"), then.dns.with("nxdomain"));
            self.nowhere_percent = if self.questions > 0.0 { 100.0 * nowhere / self.questions } else { 0.0 };
            self.limited = per_second(now.dns.limited(), then.dns.limited());
            for region in &node.regions {
                let then = before.regions.iter().find(|then| then.name == region.name);
                let flow = self.regions.entry(region.name.clone()).or_default();
                flow.push(then.map_or(0.0, |then| per_second(region.requests, then.requests)));
            }
        }
        self.regions.retain(|name, _| node.regions.iter().any(|region| region.name == *name));
        self.sample = Some(sample);
    }

    /// The node could not be asked.
    pub fn lost(&mut self, now: Moment, why: String) {
        let since = self.gone.as_ref().map_or(now, |(since, _)| *since);
        self.gone = Some((since, why));
    }

    /// What the node believes, if it was ever seen.
    #[must_use]
    pub fn node(&self) -> Option<&Overview> {
        self.sample.as_ref().map(|sample| &sample.node)
    }

    /// The answers of a region a second.
    #[must_use]
    pub fn per_second(&self, region: &RegionView) -> f64 {
        self.regions.get(&region.name).map_or(0.0, |flow| flow.per_second)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a difference of two samples is far below 2^53")]
fn count(events: u64) -> f64 {
    events as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::totals::Totals;
    use std::time::Duration;

    fn sample(uptime_s: f64, requests: u64, orf: u64) -> Sample {
        let region = RegionView { name: "orf".to_owned(), requests: orf, ..RegionView::default() };
        let counters = Totals { requests, ..Totals::default() };
        Sample {
            node: Overview { uptime_s, counters, regions: vec![region], ..Overview::default() },
            decisions: vec![],
        }
    }

    #[test]
    fn rates_come_from_two_samples_of_the_same_run() {
        let mut model = Model::of("x");
        model.saw(sample(10.0, 100, 50));
        assert!(model.requests.trend.is_empty());
        model.saw(sample(12.0, 300, 60));
        assert_eq!((model.requests.per_second, model.regions["orf"].per_second), (100.0, 5.0));
        model.saw(sample(1.0, 7, 7));
        assert_eq!(model.requests.trend.len(), 1, "a restart was taken for traffic");
        model.saw(sample(2.0, 8, 7));
        assert_eq!(model.requests.per_second, 1.0);
    }

    #[test]
    fn questions_by_dns_are_told_as_what_happens_now() {
        let at = |uptime_s, noerror, nxdomain, dropped| {
            let mut sample = sample(uptime_s, 0, 0);
            let dns = &mut sample.node.counters.dns;
            let outcomes = [("noerror".to_owned(), noerror), ("nxdomain".to_owned(), nxdomain)];
            dns.questions.insert("udp".to_owned(), outcomes.into());
            dns.dropped = dropped;
            sample
        };
        let mut model = Model::of("x");
        model.saw(at(1.0, 1_000, 0, 7));
        model.saw(at(3.0, 1_030, 10, 9));
        assert_eq!((model.questions, model.nowhere_percent, model.limited), (20.0, 25.0, 1.0));
        model.saw(at(4.0, 1_030, 10, 9));
        assert_eq!((model.questions, model.nowhere_percent, model.limited), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_lost_node_is_lost_since_the_first_time() {
        let mut model = Model::of("x");
        model.lost(Moment::ZERO, "refused".to_owned());
        model.lost(Moment::ZERO + Duration::from_secs(3), "timed out".to_owned());
        assert_eq!(model.gone, Some((Moment::ZERO, "timed out".to_owned())));
        model.saw(sample(1.0, 0, 0));
        assert_eq!(model.gone, None);
    }

    #[test]
    fn trends_are_bounded() {
        let mut flow = Flow::default();
        (0..1_000).for_each(|_| flow.push(1.0));
        assert_eq!(flow.trend.len(), TREND_MAX);
    }
}
