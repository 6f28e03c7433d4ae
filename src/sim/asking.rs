//! What packets meet on their way, and so what a probe comes to.

use super::chance::{happens, times};
use super::scenario::Ways;
use super::truth::{NodeNow, RegionNow, WayNow};
use crate::health::Fault;
use crate::moment::Dice;
use crate::topology::{Probe, ProbeKind};
use std::time::Duration;

/// Before a lost SYN is sent again the first time (RFC 6298 §2.1).
pub const SYN_AGAIN: Duration = Duration::from_secs(1);
/// Before anything else that was lost is sent again, at least.
pub const DATA_AGAIN_MIN: Duration = Duration::from_millis(200);
/// What a region needs to say that it is well.
pub const PROBE_WORK: Duration = Duration::from_millis(2);

/// One packet's way: how long it takes with all its repetitions, or `None` if it never comes within `patience`.
#[must_use]
pub fn leg(
    dice: &mut Dice,
    (half, jitter): (Duration, f64),
    (loss, is_cut): (f64, bool),
    mut again: Duration,
    patience: Duration,
) -> Option<Duration> {
    if is_cut || loss >= 1.0 {
        return None;
    }
    let mut took = if jitter > 0.0 { times(half, 1.0 + jitter * dice.fraction()) } else { half };
    while happens(dice, loss) {
        took += again;
        again *= 2;
        if took > patience {
            return None;
        }
    }
    (took <= patience).then_some(took)
}

/// The way that a probe goes.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// One round trip on it.
    pub round_trip: Duration,
    /// Whether TLS is spoken on it.
    pub is_tls: bool,
    /// What is wrong with it.
    pub now: &'a WayNow,
    /// What ways are usually like.
    pub usual: &'a Ways,
}

/// How long a probe is under way from now on, and what it comes to: on a new connection, as real ones are.
pub fn probe(
    dice: &mut Dice,
    probe: &Probe,
    way: Way<'_>,
    node: &NodeNow,
    region: &RegionNow,
) -> (Duration, Result<Duration, Fault>) {
    let silent = (probe.timeout, Err(Fault::Silent));
    if node.is_blind || node.is_isolated || region.is_silent || !way.now.is_open() {
        return silent;
    }
    let mut trip = |again| round_trip(dice, way, again, probe.timeout);
    let Some(mut took) = trip(SYN_AGAIN) else { return silent };
    if region.refuses {
        let took = times(took, node.probe_slowness);
        return (took.min(probe.timeout), if took < probe.timeout { Err(Fault::Refused) } else { Err(Fault::Silent) });
    }
    let is_bare = probe.kind == ProbeKind::Tcp;
    let mut asking = Duration::ZERO;
    for _ in 0..u32::from(way.is_tls) + u32::from(!is_bare) {
        let Some(more) = trip(DATA_AGAIN_MIN.max(way.round_trip)) else { return silent };
        took += more;
        asking = more;
    }
    if is_bare {
        took = times(took, node.probe_slowness);
        return if took < probe.timeout { (took, Ok(took)) } else { silent };
    }
    let mut work = times(PROBE_WORK, region.slowness);
    if region.slowness > 1.0 {
        // What is slow is slow in all it does: handshakes too.
        work += times(way.round_trip / 2, region.slowness - 1.0);
    }
    took = times(took + work, node.probe_slowness);
    // What a probe says is how long its answer took, without the connection that it had to open first.
    let asking = times(asking + work, node.probe_slowness);
    if region.is_paused || took >= probe.timeout {
        return silent;
    }
    let fails = if region.probes_lie { false } else { region.probes_fail || happens(dice, region.error_share) };
    (took, if fails { Err(Fault::Status(region.status)) } else { Ok(asking) })
}

fn round_trip(dice: &mut Dice, way: Way<'_>, again: Duration, patience: Duration) -> Option<Duration> {
    let half = (way.round_trip / 2, way.usual.jitter);
    let there = leg(dice, half, (way.now.loss_there, way.now.is_cut_there), again, patience)?;
    let back = leg(dice, half, (way.now.loss_back, way.now.is_cut_back), again, patience)?;
    Some(there + back)
}
