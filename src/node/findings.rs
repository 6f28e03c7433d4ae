//! Joins what is computed from the counters beside the data plane (headroom, and where requests were processed) to the
//! node's start, its stop, and the admin address.

use super::residency::{self, Sources};
use super::{Common, Options};
use crate::counters::Counters;
use crate::headroom::meter::Meter;
use crate::headroom::rehearsal;
use crate::moment::{Clock, Moment};
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::status::findings::{Findings, Rehearsed};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

/// How often is looked at what is carried.
const LOOK: Duration = Duration::from_secs(1);
/// How often everything is rehearsed, if it takes no time.
const REHEARSE: Duration = Duration::from_secs(5);
/// Of its time, rehearsing takes one part in so many at most.
const REHEARSING_ONE_IN: u32 = 50;
/// Newest requests that are looked at once a second: a sample.
const SAMPLE_MAX: usize = 1_024;

/// What is kept beside the data plane, ready to start.
pub(super) struct Keepers {
    residency: residency::Keeper,
    sources: Sources,
    rehearsed: watch::Sender<Arc<Rehearsed>>,
}

impl Keepers {
    /// Takes over what the state directory has. The receiver ends when everything is written, at the node's stop.
    pub(super) fn open(options: &Options, common: &Common) -> (Self, oneshot::Receiver<()>) {
        let sources = Sources {
            published: common.published.clone(),
            counters: common.counters.clone(),
            secret: Arc::clone(&common.secret),
            clock: common.clock,
        };
        let (residency, is_written) =
            residency::Keeper::open(&options.state_dir, options.secret_file.is_some(), &sources);
        (Self { residency, sources, rehearsed: watch::Sender::default() }, is_written)
    }

    /// What the admin address shows of it.
    pub(super) fn findings(&self) -> Findings {
        Findings { residency: self.residency.shelf(), headroom: self.rehearsed.subscribe() }
    }
}

impl Common {
    /// Starts them.
    pub(super) fn start_keepers(&self, runtime: &Runtime, keepers: Keepers, ending: &watch::Receiver<bool>) {
        let Keepers { residency, sources, rehearsed } = keepers;
        let (published, counters) = (self.published.clone(), self.counters.clone());
        let rehearsing = rehearse(published, counters, self.clock, rehearsed, ending.clone());
        self.watch(runtime, "the rehearsal", Box::pin(rehearsing), ending.clone());
        let keeping = residency.run(sources, ending.clone());
        self.watch(runtime, "the ledger of residency", Box::pin(keeping), ending.clone());
    }
}

/// Measures what is carried, and computes what would be without any one region or provider, until `shutdown`.
async fn rehearse(
    published: Published,
    counters: Counters,
    clock: Clock,
    rehearsed: watch::Sender<Arc<Rehearsed>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut meter = Meter::default();
    let mut due = Moment::ZERO;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = requested(&mut shutdown) => return,
            _ = ticks.tick() => {}
        }
        let snapshot = published.load_full();
        meter.look(clock.now(), &snapshot, &counters.newest(SAMPLE_MAX));
        let traffic = meter.traffic();
        if clock.now() < due {
            rehearsed.send_modify(|last| *last = Arc::new(Rehearsed { traffic, headroom: Arc::clone(&last.headroom) }));
            continue;
        }
        let began = clock.now();
        // Many steerings at once: not beside probes, which share this runtime.
        let computing = tokio::task::spawn_blocking(move || {
            let headroom = rehearsal::each(&snapshot, &traffic);
            Rehearsed { traffic, headroom: Arc::new(headroom) }
        });
        let Ok(computed) = computing.await else { return };
        due = clock.now() + REHEARSE.max(clock.now().since(began) * REHEARSING_ONE_IN);
        rehearsed.send_replace(Arc::new(computed));
    }
}
