//! ASKS HOW ENDPOINTS ARE, and whether the other sites answer: what is due is decided by a machine, asked by a shell, on traffic's own path.

pub mod check;
pub mod flow;
mod grpc;
mod http;
mod mcp;
mod token;
pub mod schedule;
pub mod rounds;
pub mod sites;

use crate::control::Event;
use crate::health::opinion::Flowed;
use crate::moment::{Clock, Dice};
use crate::shutdown::requested;
use crate::snapshot::{EndpointId, Published, Snapshot};
use crate::tls::trust::Trust;
use check::Answered;
use schedule::{Learnt, Schedule};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Probes every endpoint until `shutdown`, and sends what it learns.
pub async fn run(
    published: Published,
    events: mpsc::Sender<Event>,
    clock: Clock,
    dice: Dice,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut schedule = Schedule::new(dice);
    let mut bell = published.subscribe();
    let mut snapshot = published.load_full();
    let mut trust = Trust::new(&snapshot.topology.forward.trust);
    let mut probes = JoinSet::new();
    loop {
        let newest = published.load_full();
        if newest.topology.forward.trust != snapshot.topology.forward.trust {
            trust = Trust::new(&newest.topology.forward.trust);
        }
        snapshot = newest;
        schedule.follow(clock.now(), &snapshot);
        for Learnt { endpoint, probe, result } in schedule.overdue(clock.now()) {
            count(&snapshot, endpoint, probe, result.is_ok());
            if events.send(Event::Probed { endpoint, probe, result }).await.is_err() {
                return;
            }
        }
        for launch in schedule.due(clock.now()) {
            let question = check::Question::about(&snapshot, launch.endpoint, launch.probe, &trust);
            probes.spawn(async move { (launch, question.ask(clock).await) });
        }
        tokio::select! {
            () = requested(&mut shutdown) => return,
            changed = bell.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(clock.instant(schedule.wake_at(clock.now()))) => {}
            Some(Ok((launch, Answered { result, flowed }))) = probes.join_next() => {
                if flowed != Flowed::default() {
                    let event = Event::Flowed { endpoint: launch.id, probe: launch.probe, flowed };
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                for Learnt { endpoint, probe, result } in schedule.finished(clock.now(), launch.id, launch.serial, result) {
                    count(&snapshot, endpoint, probe, result.is_ok());
                    if events.send(Event::Probed { endpoint, probe, result }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Counts a probe that has ended, or is given up.
fn count(snapshot: &Snapshot, endpoint: EndpointId, probe: usize, has_passed: bool) {
    let state = snapshot.endpoints.iter().find(|state| state.id == endpoint);
    if let Some((state, shown)) = state.and_then(|state| Some((state, state.probes.get(probe)?))) {
        state.load.probed(shown.kind, has_passed);
    }
}
