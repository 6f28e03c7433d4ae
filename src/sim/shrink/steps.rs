//! What is plainer than something.

use crate::names::Label;
use crate::sim::scenario::fit::Known;
use crate::sim::scenario::{Crowd, Day, Direction, RegionTruth, Scenario, Ways, What, Whom};
use std::time::Duration;

/// A step that makes the world smaller; it is taken as often as it helps.
type Step = fn(&mut Scenario);

/// Those of the crowd and of what is usual.
pub(super) const WORLD: &[Step] = &[
    |scenario| scenario.crowd = Crowd { clients: scenario.crowd.clients, ..Crowd::default() },
    |scenario| scenario.crowd.clients = (scenario.crowd.clients / 2).max(1),
    |scenario| scenario.crowd.clients = (scenario.crowd.clients * 9 / 10).max(1),
    |scenario| scenario.crowd.per_minute = 1.0,
    |scenario| scenario.crowd.stands_for = 1,
    |scenario| scenario.crowd.day = Day::Flat,
    |scenario| scenario.crowd.places.clear(),
    |scenario| scenario.crowd.hostnames.clear(),
    |scenario| scenario.crowd.work.iter_mut().for_each(|(work, _)| work.patience = None),
    |scenario| scenario.ways = Ways::default(),
    |scenario| scenario.ways.loss = 0.0,
    |scenario| scenario.ways.jitter = 0.0,
    |scenario| scenario.usual = RegionTruth::default(),
    |scenario| scenario.starts = Scenario::default().starts,
    |scenario| scenario.sites.iter_mut().for_each(|site| site.addresses.clear()),
];

/// Without the scenario's own site at `at`, and what happens to it alone.
pub(super) fn without_site(scenario: &mut Scenario, at: usize) {
    let gone = scenario.sites[at].name.clone();
    scenario.among(&Known {
        region: &|_| true,
        provider: &|_| true,
        endpoint: &|_| true,
        site: &|site: &Label| *site != gone,
        hostname: &|_| true,
    });
}

/// Whatever is plainer than `what`, plainest first. Nothing here leads back.
pub(super) fn plainer(what: &What) -> Vec<What> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut What)| {
        let mut candidate = what.clone();
        change(&mut candidate);
        if candidate != *what {
            all.push(candidate);
        }
    };
    if let Some(Whom::Regions(regions)) = what.clone().whom_mut() {
        for fewer in fewer(regions) {
            with(&|what| {
                if let Some(whom) = what.whom_mut() {
                    *whom = Whom::Regions(fewer.clone());
                }
            });
        }
    }
    if let Some(sites) = what.clone().sites_mut() {
        for fewer in fewer(sites) {
            with(&|what| {
                if let Some(sites) = what.sites_mut() {
                    sites.clone_from(&fewer);
                }
            });
        }
    }
    with(&rounded);
    all
}

/// Each alone, then all but each.
fn fewer(of: &[Label]) -> Vec<Vec<Label>> {
    let alone = of.iter().map(|one| vec![one.clone()]);
    let without = (0..of.len()).map(|gone| {
        let others = of.iter().enumerate().filter(|(at, _)| *at != gone);
        others.map(|(_, one)| one.clone()).collect()
    });
    match of.len() {
        0..=1 => Vec::new(),
        2 => alone.collect(),
        _ => alone.chain(without).collect(),
    }
}

/// Numbers as people would write them.
fn rounded(what: &mut What) {
    const SPELL: Duration = Duration::from_secs(10);
    match what {
        What::Errors(_, share, status) => (*share, *status) = (1.0, 503),
        What::Shrink(_, share) => *share = 0.0,
        What::Loss { share, direction, .. } => (*share, *direction) = (1.0, Direction::Both),
        What::Cut { direction, .. } => *direction = Direction::Both,
        What::Flap { up, down, .. } | What::CrashLoop { up, down, .. } => (*up, *down) = (SPELL, SPELL),
        What::Swizzle { every, .. } => *every = SPELL,
        What::Slow(_, times) | What::SlowProber(_, times) => *times = 10.0,
        What::Traffic(times) => *times = 2.0,
        What::GeoShift(share) => *share = 1.0,
        What::ClockStep(_, seconds) => *seconds = 300,
        What::ClockDrift(_, millionths) => *millionths = 200,
        What::ChannelLate(_, by) => *by = Duration::from_secs(60),
        What::Drain { is_hard, .. } => *is_hard = false,
        _ => {}
    }
}
