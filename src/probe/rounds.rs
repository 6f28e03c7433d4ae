//! When which site is asked: a machine. One question at a time to each; sooner while in doubt, never in step with others.

use crate::health::verdict::Pace;
use crate::moment::{Dice, Moment};
use crate::names::Label;
use std::time::Duration;

/// Between questions to a site that answers, or has not answered for long.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Between questions to a site in doubt.
pub const FAST_INTERVAL: Duration = Duration::from_secs(1);
/// Intervals are shorter by up to this share, so that nodes do not ask in step.
const JITTER: f64 = 0.1;
/// How far ahead the machine plans when there is nobody to ask.
const IDLE_WAKE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Round {
    site: Label,
    pace: Pace,
    asked: Option<Moment>,
    next: Moment,
    is_waiting: bool,
}

/// Whom to ask when.
#[derive(Debug)]
pub struct Rounds {
    rounds: Vec<Round>,
    dice: Dice,
}

impl Rounds {
    /// Nobody to ask yet.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        Self { rounds: Vec::new(), dice }
    }

    /// These are the sites, and how quickly each should be asked. A new one is asked at once; one whose pace quickens, soon.
    pub fn follow(&mut self, now: Moment, sites: impl Iterator<Item = (Label, Pace)>) {
        let mut old = std::mem::take(&mut self.rounds);
        for (site, pace) in sites {
            let known = old.iter().position(|round| round.site == site).map(|at| old.swap_remove(at));
            let mut round = known.unwrap_or(Round { site, pace, asked: None, next: now, is_waiting: false });
            if round.pace != pace {
                round.pace = pace;
                round.next = round.asked.map_or(now, |asked| (asked + interval(pace)).max(now)).min(round.next);
            }
            self.rounds.push(round);
        }
    }

    /// The sites to ask `now`.
    pub fn due(&mut self, now: Moment) -> Vec<Label> {
        let mut due = Vec::new();
        for round in self.rounds.iter_mut().filter(|round| !round.is_waiting && round.next <= now) {
            (round.is_waiting, round.asked) = (true, Some(now));
            round.next = now + interval(round.pace).mul_f64(1.0 - JITTER * self.dice.fraction());
            due.push(round.site.clone());
        }
        due
    }

    /// A site has been asked; whether it is still one to ask.
    pub fn finished(&mut self, site: &Label) -> bool {
        let round = self.rounds.iter_mut().find(|round| round.site == *site);
        round.is_some_and(|round| std::mem::take(&mut round.is_waiting))
    }

    /// When there will be something to do, unless an answer comes before.
    #[must_use]
    pub fn wake_at(&self, now: Moment) -> Moment {
        let next = self.rounds.iter().filter(|round| !round.is_waiting).map(|round| round.next);
        next.min().unwrap_or(now + IDLE_WAKE)
    }
}

fn interval(pace: Pace) -> Duration {
    if pace == Pace::Fast { FAST_INTERVAL } else { INTERVAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn site(name: &str) -> Label {
        Label::parse(name).expect("a name")
    }

    #[test]
    fn a_site_in_doubt_is_asked_sooner_and_never_twice_at_once() {
        let mut rounds = Rounds::new(Dice::seeded(7));
        let both = |a, b| [(site("a"), a), (site("b"), b)].into_iter();
        rounds.follow(at(0), both(Pace::Fast, Pace::Steady));
        assert_eq!(rounds.due(at(0)), [site("a"), site("b")]);
        assert_eq!(rounds.due(at(60_000)), [], "both are being asked");
        assert!(rounds.finished(&site("a")) && rounds.finished(&site("b")));
        assert!(!rounds.finished(&site("a")) && !rounds.finished(&site("c")));
        assert!(rounds.wake_at(at(0)) > at(890) && rounds.wake_at(at(0)) <= at(1_000));
        assert_eq!(rounds.due(at(1_000)), [site("a")]);
        assert_eq!(rounds.due(at(4_000)), []);
        rounds.follow(at(4_000), both(Pace::Fast, Pace::Fast));
        assert_eq!(rounds.due(at(4_000)), [site("b")], "it was asked more than a second ago");
    }

    #[test]
    fn a_site_that_is_no_more_is_not_asked() {
        let mut rounds = Rounds::new(Dice::seeded(7));
        rounds.follow(at(0), [(site("a"), Pace::Fast)].into_iter());
        rounds.due(at(0));
        rounds.follow(at(1), std::iter::empty());
        assert!(!rounds.finished(&site("a")));
        assert_eq!(rounds.wake_at(at(1)), at(60_001));
    }
}
