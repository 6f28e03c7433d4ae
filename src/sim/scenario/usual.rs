//! What a scenario is where its file says nothing: a quiet hour of a Monday morning.

use super::{Crowd, Day, Demands, Habit, Program, RegionTruth, Scenario, Ways, Work};
use http::Method;
use std::time::Duration;

/// Monday, 30 November 2026, nine in the morning in London.
pub const STARTS: Duration = Duration::from_secs(1_796_029_200);

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "a quiet hour".to_owned(),
            starts: STARTS,
            lasts: Duration::from_secs(3_600),
            seed: 1,
            sites: Vec::new(),
            ways: Ways::default(),
            regions: Vec::new(),
            usual: RegionTruth::default(),
            crowd: Crowd::default(),
            faults: Vec::new(),
            demands: Demands { residency: true, invariants: true, ..Demands::default() },
        }
    }
}

impl Default for Ways {
    fn default() -> Self {
        Self { loss: 0.0005, jitter: 0.1, withdrawal: Duration::from_secs(10), channel: Duration::from_secs(1) }
    }
}

impl Default for RegionTruth {
    fn default() -> Self {
        Self { slots: None, queue: 1.0, slowness: 1.0, says_unserved: false }
    }
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            clients: 1_000,
            per_minute: 1.0,
            stands_for: 1,
            day: Day::Flat,
            places: Vec::new(),
            hostnames: Vec::new(),
            programs: vec![
                (Program::OpenAi, 60),
                (Program::Mcp, 15),
                (Program::Browser, 10),
                (Program::Curl, 10),
                (Program::Hammer, 5),
            ],
            work: work(),
            resolvers: resolvers(),
        }
    }
}

fn work() -> Vec<(Work, u32)> {
    let kind = |name: &str, method, path: &str, takes_ms, flows_ms, weight| {
        let (takes, flows) = (Duration::from_millis(takes_ms), Duration::from_millis(flows_ms));
        (Work { name: name.into(), method, path: path.into(), takes, flows, patience: None }, weight)
    };
    vec![
        kind("completion", Method::POST, "/v1/chat/completions", 1_200, 6_000, 50),
        kind("embedding", Method::POST, "/v1/embeddings", 150, 0, 20),
        kind("models", Method::GET, "/v1/models", 30, 0, 10),
        kind("mcp", Method::POST, "/mcp", 200, 0, 20),
    ]
}

fn resolvers() -> Vec<(Habit, u32)> {
    vec![
        (Habit::Keeps, 70),
        (Habit::Shortens(Duration::from_secs(5)), 10),
        (Habit::Stretches(Duration::from_secs(300)), 10),
        (Habit::Never, 5),
        (Habit::ServesStale(Duration::from_secs(3_600)), 5),
    ]
}
