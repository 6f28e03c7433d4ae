//! What one server did in one round, and the stopwatch that tells it.

use super::machine;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What a workload is called, and what of it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    /// As in arguments and reports.
    pub name: &'static str,
    /// What one of it is; costs are told per unit.
    pub unit: &'static str,
    /// In words.
    pub what: &'static str,
}

impl Title {
    /// Whether what it costs is memory.
    pub fn is_memory(&self) -> bool {
        self.unit.starts_with("KiB")
    }
}

/// What one server did in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// From 1.
    pub round: usize,
    /// Which server.
    pub door: String,
    /// Whether it is one of those to be compared with.
    pub is_peer: bool,
    /// Which workload.
    pub workload: String,
    /// CPU of all its processes, or memory, by the unit.
    pub cost: f64,
    /// Of what.
    pub unit: String,
    /// Requests, answers, events, connections or MiB done.
    pub count: f64,
    /// How long it took.
    pub seconds: f64,
    /// Share of its core that the server used.
    pub core_share: f64,
    /// Share of its CPU spent in the kernel, sampled by ticks.
    pub system_share: f64,
    /// Time that it was ready but another had its core, as a share of the whole.
    pub waited_share: f64,
    /// Share of one core used by processes that have nothing to do with the run; not known where memory is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_share: Option<f64>,
    /// From an event's stamp to its arrival, microseconds, where there are events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<f64>,
    /// The same for the slowest hundredth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// Resident with idle connections, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_mib: Option<f64>,
}

/// A measurement under way.
#[derive(Debug)]
pub struct Stopwatch {
    since: Instant,
    server: u32,
    before: machine::Usage,
    helpers: Vec<u32>,
    own_us: f64,
    busy_us: f64,
}

impl Stopwatch {
    /// Starts the clock. `helpers` are processes of the load that will still run when it stops.
    pub fn start(server: u32, helpers: Vec<u32>) -> Self {
        Self {
            busy_us: machine::busy_us(),
            own_us: machine::own_us() + cpu_us(&helpers),
            helpers,
            server,
            before: machine::usage(server),
            since: Instant::now(),
        }
    }

    /// What was used since, for `count` of what is counted.
    pub fn stop(&self, server: &str, count: f64) -> Measured {
        let wall_us = self.since.elapsed().as_secs_f64() * 1e6;
        let after = machine::usage(self.server);
        let server_us = after.cpu_us - self.before.cpu_us;
        let own_us = machine::own_us() + cpu_us(&self.helpers) - self.own_us;
        let (user_us, system_us) = (after.user_us - self.before.user_us, after.system_us - self.before.system_us);
        let others_us = machine::busy_us() - self.busy_us - server_us - own_us;
        Measured {
            round: 0,
            door: server.to_owned(),
            is_peer: false,
            workload: String::new(),
            cost: server_us / count,
            unit: String::new(),
            count,
            seconds: wall_us / 1e6,
            core_share: server_us / wall_us,
            system_share: system_us / (user_us + system_us).max(1.0),
            waited_share: (after.waited_us - self.before.waited_us) / wall_us,
            others_share: Some(others_us / wall_us),
            p50_us: None,
            p99_us: None,
            resident_mib: None,
        }
    }
}

fn cpu_us(processes: &[u32]) -> f64 {
    processes.iter().map(|pid| machine::usage(*pid).cpu_us).sum()
}
