//! How much a scenario asks for: what nobody would wait for is refused before it begins.

use super::super::Crowd;
use super::super::kind::Kind;
use super::{Proof, time};
use std::ops::Range;
use std::time::Duration;

/// Most wishes of a scenario, at the mean rate of its crowd: at some microseconds each they keep a core busy for a quarter of
/// an hour or more.
pub const WISHES_MAX: f64 = 200e6;
/// Most wishes a second: all that are under way at once stand in memory, and one that hangs does so for minutes.
pub const WISHES_A_SECOND_MAX: f64 = 200e3;

/// More or less traffic for a while.
struct Spell<'a> {
    from: Duration,
    to: Duration,
    times: f64,
    span: &'a Range<usize>,
}

/// What a crowd asks for with all that is written of traffic.
#[derive(Default)]
struct Load<'a> {
    /// In all, in seconds of the usual rate.
    all: f64,
    /// Most at once, in times of the usual rate, and which spell brings it there.
    peak: f64,
    at: Option<&'a Range<usize>>,
}

impl Proof<'_> {
    /// Not more than is sensible.
    pub(super) fn load(&mut self, crowd: &Crowd, lasts: Duration) {
        let rate = f64::from(crowd.clients) * crowd.per_minute / 60.0;
        if rate <= 0.0 {
            return;
        }
        let file = self.file;
        let written = file.fault.as_ref().map_or(&[][..], |faults| &faults.value);
        let traffic =
            written.iter().filter(|fault| fault.value.kind.as_ref().is_some_and(|kind| kind.value == Kind::Traffic));
        let spells = traffic.filter_map(|fault| {
            let times = fault.value.times.as_ref()?;
            let from = time(fault.value.at.as_ref()).unwrap_or_default().min(lasts);
            let to = time(fault.value.lasts.as_ref()).map_or(lasts, |length| from.saturating_add(length).min(lasts));
            Some(Spell { from, to, times: times.value.0, span: &times.span })
        });
        let load = summed(&spells.collect::<Vec<_>>(), lasts);
        let clients = file.clients.as_ref().map(|clients| &clients.value);
        let of_clients = clients.and_then(|clients| {
            let rate = clients.per_minute.as_ref().map(|rate| &rate.span);
            rate.or(clients.count.as_ref().map(|count| &count.span))
        });
        let of_file = of_clients.or(file.lasts.as_ref().map(|lasts| &lasts.span));
        let (all, peak) = (rate * load.all, rate * load.peak);
        // Where it would be too much without more traffic too, the crowd is to be mended.
        let is_too_much_anyway = rate * lasts.as_secs_f64() > WISHES_MAX || rate > WISHES_A_SECOND_MAX;
        let span = if is_too_much_anyway { of_file.or(load.at) } else { load.at.or(of_file) };
        let span = span.cloned().unwrap_or(0..0);
        let help = "ask less often, for a shorter time, or with fewer clients that stand for several each (stands_for)";
        if all > WISHES_MAX {
            let title = format!("clients ask {all:.0} times in all; at most {WISHES_MAX:.0} can be played");
            self.error(&span, title, "too much", help);
        }
        if peak > WISHES_A_SECOND_MAX {
            let title = format!("clients ask {peak:.0} times a second; at most {WISHES_A_SECOND_MAX:.0} can be played");
            self.error(&span, title, "too much at once", help);
        }
    }
}

/// Adds it up from one change to the next. Products are sums of logarithms, and zeros are counted apart, so that what is over
/// can be taken out again.
fn summed<'a>(spells: &[Spell<'a>], lasts: Duration) -> Load<'a> {
    let begins = spells.iter().map(|spell| (spell.from, true, spell));
    let ends = spells.iter().map(|spell| (spell.to, false, spell));
    let mut changes: Vec<(Duration, bool, &Spell<'a>)> = begins.chain(ends).collect();
    changes.sort_by_key(|(at, begins, _)| (*at, *begins));
    let mut load = Load::default();
    let (mut since, mut log, mut zeros, mut last) = (Duration::ZERO, 0.0_f64, 0_i64, None);
    let mut reach = |until: Duration, since: Duration, log: f64, zeros: i64, last| {
        if until > since && zeros == 0 {
            let times = log.exp();
            load.all += times * (until - since).as_secs_f64();
            if times > load.peak {
                (load.peak, load.at) = (times, last);
            }
        }
    };
    for (at, begins, spell) in changes {
        reach(at, since, log, zeros, last);
        let sign: i8 = if begins { 1 } else { -1 };
        if spell.times > 0.0 {
            log += f64::from(sign) * spell.times.ln();
        } else {
            zeros += i64::from(sign);
        }
        since = since.max(at);
        if begins {
            last = Some(spell.span);
        }
    }
    reach(lasts, since, log, zeros, last);
    load
}
