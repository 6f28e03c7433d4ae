//! One request's course through its attempts: where it goes, how long it waits there, and what comes after.
//!
//! ```text
//! begin -> first --> sets_out --> limit          how long an impatient client waits there
//!                      ^   ^        |
//!           Again, Go  |   |  answered, lost -->  the client gets the answer
//!                      |   |        | Failure
//!                      +---+------ then ------>  the region's own answer after all, or nothing
//! ```
//! A shell moves the bytes of each attempt and asks here about everything else. Every attempt is decided in the newest
//! snapshot, and what is said of it is meant in that one. What belongs to an endpoint is counted here, in its
//! [`Load`](crate::load::Load); budgets are given by whoever keeps them.

#[cfg(test)]
mod tests;

use super::budget::{Budget, Occasion};
use super::failover::{Failover, Situation, Step, allowance, is_evidence, is_failure, reason_to_go_on};
use super::journey::{Journey, Made, Target};
use super::patience::Patience;
use super::terms::Terms;
use super::unserved::Unserved;
use crate::control::Event;
use crate::counters::record::Decided;
use crate::health::{Fault, Reason, Standing};
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use crate::snapshot::{EndpointId, EndpointState, Snapshot};
use crate::steering::decision::Decision;
use crate::steering::{Client, Query, steer};
use crate::upstream::{AttemptError, Progress};
use std::sync::Arc;
use std::time::Duration;

/// An answer that takes longer than this is worth watching its endpoint for ([`is_in_vain`]); most come sooner.
pub const WATCH_AFTER: Duration = Duration::from_millis(250);

/// One request under way.
#[derive(Debug)]
pub struct Course {
    /// What is asked for.
    pub hostname: Hostname,
    /// By whom.
    pub client: Arc<Client>,
    /// On which terms.
    pub terms: Terms,
    /// When it began.
    pub began: Moment,
    /// What the attempt under way, or the last, was decided in.
    pub snapshot: Arc<Snapshot>,
    /// And what from.
    pub decided: Decided,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Who has failed it.
    pub journey: Journey,
    failover: Failover,
    target: Option<Target>,
    is_fresh: bool,
    set_out_at: Moment,
}

/// What is known of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// Whether all of it that was read is still here.
    pub is_replayable: bool,
    /// When the last of it came from the client, if it has: its patience begins then.
    pub ended_at: Option<Moment>,
}

/// What an answer means to everybody whom it concerns.
#[derive(Debug)]
pub struct Answered {
    /// Why the client does not get it, if it does not: to be handed to [`Course::then`].
    pub failure: Option<Failure>,
    /// What `control` has to be told.
    pub tells: Option<Event>,
    /// Whether the budget of the hostname's requests at the region has one success more.
    pub succeeded: bool,
}

/// Why an attempt is not the last, if there is a choice.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub error: AttemptError,
    /// Why, in the region's own words.
    reason: Option<Box<str>>,
    /// Whether there is an answer to fall back on.
    is_answered: bool,
}

/// Where and when it is decided what comes after a failure.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// When.
    pub now: Moment,
    /// What is believed by now.
    pub newest: &'a Arc<Snapshot>,
    /// The chance in it.
    pub roll: u64,
    /// What is known of the body.
    pub body: Body,
}

/// What comes after an attempt that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The same endpoint once more, on a new connection.
    Again,
    /// Another attempt, there.
    Go(Target),
    /// No other: the client gets the region's own answer after all.
    Own(Stop),
    /// No other, and there is no answer.
    GiveUp(Stop),
}

/// Why there is no other attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After such a failure there must be none, or there were enough.
    Final,
    /// Nobody is left.
    Nobody,
    /// No answer would come while the client waits.
    TooLate,
    /// Too much is repeated already.
    Unrepeated,
}

/// How long an attempt of an impatient client may take.
#[derive(Clone, Debug)]
pub struct Limit {
    patience: Patience,
    set_out_at: Moment,
    /// What it costs to ask another region when half of the time is over, if that may be.
    moves_by: Option<Arc<Budget>>,
}

/// What an impatient client does when an attempt has taken as long as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It leaves: [`Fault::Late`].
    Late,
    /// It would ask another region, but too much is repeated already: it waits on, until its patience is over.
    Unrepeated,
}

impl Course {
    /// A request that began in `snapshot`, and `decision` for it.
    #[must_use]
    pub fn begin(
        began: Moment,
        snapshot: Arc<Snapshot>,
        decision: &Decision,
        (hostname, client): (Hostname, Arc<Client>),
        terms: Terms,
    ) -> Self {
        Self {
            failover: Failover::new(began, &snapshot.topology.forward),
            decided: Decided::of(decision),
            hostname,
            client,
            terms,
            began,
            snapshot,
            attempts: 0,
            journey: Journey::default(),
            target: None,
            is_fresh: false,
            set_out_at: began,
        }
    }

    /// Where the first attempt goes, by the decision that the request began with; `None`: nobody may serve it.
    pub fn first(&mut self, decision: &Decision, roll: u64) -> Option<Target> {
        self.target = self.journey.first(&self.snapshot, decision, roll);
        self.target
    }

    /// The attempt that was decided begins.
    pub fn sets_out(&mut self, now: Moment) {
        self.attempts += 1;
        self.set_out_at = now;
    }

    /// Where the attempt under way, or the last, goes.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target.expect("an attempt was decided")
    }

    /// Its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointState {
        self.snapshot.endpoint(self.target().endpoint)
    }

    /// Its region's name.
    #[must_use]
    pub fn region(&self) -> &Label {
        &self.snapshot.topology.region(self.target().region).name
    }

    /// Whether it needs a new connection.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// When the client's own time is up.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.terms.timeout.map(|timeout| self.began + timeout)
    }

    /// How long the attempt that has begun may take, if the client is impatient. `budget`: that of a hostname's requests
    /// at a region.
    #[must_use]
    pub fn limit(&self, body: Body, budget: impl FnOnce(&Hostname, &Label) -> Arc<Budget>) -> Option<Limit> {
        let patience = self.terms.patience?;
        let (snapshot, wish) = (&self.snapshot, self.terms.ties.wish(&self.snapshot));
        let may_move = self.terms.is_safe
            && self.failover.has_another()
            && body.is_replayable
            && self.journey.knows_another(snapshot, self.target(), &self.hostname, &self.client, wish);
        let moves_by = may_move.then(|| budget(&self.hostname, self.region()));
        Some(Limit { patience, set_out_at: self.set_out_at, moves_by })
    }

    /// Whether the attempt under way should not wait any longer, by what is believed now, if the request is safe
    /// ([`is_in_vain`]).
    #[must_use]
    pub fn is_in_vain(&self, newest: &Snapshot) -> bool {
        is_in_vain(newest, self.endpoint().id, &self.hostname, &self.client)
    }

    /// The attempt under way has ended with an answer of that `status`, which says that it is `unserved` or does not.
    #[must_use]
    pub fn answered(&self, status: u16, unserved: Option<&Unserved>) -> Answered {
        self.endpoint().load.answered();
        let is_failure = is_failure(status);
        let tells = (is_failure && unserved.is_none()).then(|| self.blame(Fault::Status(status)));
        let failure = reason_to_go_on(status, unserved, self.terms.is_safe).map(|error| Failure {
            error,
            reason: unserved.and_then(|unserved| unserved.reason.clone()),
            is_answered: true,
        });
        Answered { succeeded: failure.is_none() && !is_failure, failure, tells }
    }

    /// It has ended without one. Also: what `control` has to be told.
    #[must_use]
    pub fn lost(&self, error: AttemptError) -> (Failure, Option<Event>) {
        let tells = is_evidence(error).then(|| self.broke_off(error.fault));
        (Failure { error, reason: None, is_answered: false }, tells)
    }

    /// The attempt, or the answer that was passed on, has broken off: what `control` has to be told.
    #[must_use]
    pub fn broke_off(&self, fault: Fault) -> Event {
        self.endpoint().load.failed();
        self.blame(fault)
    }

    /// What comes after a failure. With [`Then::Go`] the course is in the newest snapshot, and stays in its own otherwise:
    /// what is told then is about the attempt that was made.
    pub fn then(&mut self, failure: Failure, now: Now<'_>, budget: impl Fn(&Hostname, &Label) -> Arc<Budget>) -> Then {
        let Failure { error, reason, is_answered } = failure;
        let situation = Situation { is_safe: self.terms.is_safe, is_replayable: now.body.is_replayable };
        let step = self.failover.after(now.now, error, situation);
        if step == Step::Again && self.may_repeat(error, now, &budget) {
            self.is_fresh = true;
            return Then::Again;
        }
        let made = Made {
            target: self.target(),
            decided: self.decided.clone(),
            number: self.attempts,
            after: self.set_out_at.since(self.began),
            elapsed: now.now.since(self.set_out_at),
        };
        self.journey.failed_at(&self.snapshot, made, error.fault, step == Step::NextRegion);
        self.journey.said(reason);
        let next = match step {
            Step::NextEndpoint | Step::NextRegion => self.next(error, now, &budget),
            Step::Again => Err(Stop::Unrepeated),
            Step::Stop => Err(Stop::Final),
        };
        match next {
            Ok(target) => Then::Go(target),
            Err(stop) if is_answered => {
                // The region's own words say more than ours would.
                self.journey.failed.pop();
                Then::Own(stop)
            }
            Err(stop) => Then::GiveUp(stop),
        }
    }

    /// Whom the client is to be kept from if it asks again, when it gets an error of ours because of `error`: the region
    /// that may have processed its request last.
    #[must_use]
    pub fn failed_at_last(&self, error: Option<AttemptError>) -> Option<&Label> {
        let has_reached = error.is_some_and(|error| error.progress == Progress::Sent);
        self.journey.failed.last().filter(|_| has_reached).map(|last| &last.region)
    }

    /// Moves the course to where it goes on.
    fn next(
        &mut self,
        error: AttemptError,
        now: Now<'_>,
        budget: impl Fn(&Hostname, &Label) -> Arc<Budget>,
    ) -> Result<Target, Stop> {
        let wish = self.terms.ties.wish(now.newest);
        let next = self.journey.next(now.newest, &self.hostname, &self.client, wish, now.roll);
        let (target, decided) = next.ok_or(Stop::Nobody)?;
        let start = now.body.ended_at.unwrap_or(now.now);
        let round_trip = now.newest.endpoint(target.endpoint).round_trip;
        if self.terms.patience.is_some_and(|patience| !patience.suffices(now.now, start, round_trip)) {
            return Err(Stop::TooLate);
        }
        if !self.may_repeat(error, now, budget) {
            return Err(Stop::Unrepeated);
        }
        self.snapshot = Arc::clone(now.newest);
        (self.target, self.decided, self.is_fresh) = (Some(target), decided, false);
        Ok(target)
    }

    /// Whether what ended with `error` may be tried again, as far as the budget goes: it is spent on what may have been
    /// processed. Leaving an endpoint that is known to be silent gives nobody more work, who leaves for want of patience
    /// has paid already, and what dies takes all of its requests with it at once: an outage must cost nobody a request
    /// that another region can save.
    fn may_repeat(
        &self,
        error: AttemptError,
        now: Now<'_>,
        budget: impl FnOnce(&Hostname, &Label) -> Arc<Budget>,
    ) -> bool {
        let is_free = error.progress == Progress::Unsent
            || error.fault == Fault::Late
            || (error.fault.is_silence() && self.is_in_vain(now.newest));
        let occasion = if error.fault == Fault::Reset { Occasion::Loss } else { Occasion::Failure };
        let allowance = allowance(&self.snapshot.topology.forward);
        is_free || budget(&self.hostname, self.region()).spend(now.now, allowance, occasion)
    }

    fn blame(&self, fault: Fault) -> Event {
        Event::Failed { endpoint: self.endpoint().id, fault, prefix: self.client.hash() }
    }
}

impl Then {
    /// The name in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Go(_) => "go",
            Self::Own(_) => "own",
            Self::GiveUp(_) => "give_up",
        }
    }
}

impl Limit {
    /// Until when the attempt may take, for a request whose last octet came at `start`; `None`: as long as it likes.
    #[must_use]
    pub fn ends(&self, start: Moment) -> Option<Moment> {
        self.patience.attempt_ends(self.set_out_at, start, self.moves_by.is_some())
    }

    /// How much of the client's patience is left, all attempts together.
    #[must_use]
    pub fn left(&self, now: Moment, start: Moment) -> Option<Duration> {
        Some(self.patience.ends(start)?.since(now))
    }

    /// The attempt has taken as long as it may, in `snapshot`.
    pub fn is_over(&mut self, now: Moment, snapshot: &Snapshot) -> Leave {
        match self.moves_by.take() {
            Some(budget) if !budget.spend(now, allowance(&snapshot.topology.forward), Occasion::Impatience) => {
                Leave::Unrepeated
            }
            _ => Leave::Late,
        }
    }
}

/// Whether a client that gets a region's answer of this status was failed by it, so that it is kept from it when it asks
/// again: `is_unserved`, by the region's own word, is no failure. Beyond 599 is read as 5xx (RFC 9110 §15).
#[must_use]
pub fn is_failed_by(status: u16, is_unserved: bool) -> bool {
    status >= 500 && !is_unserved
}

/// Whether a safe request of `client` for `hostname` should not wait at `endpoint` any longer: it is out because it fell
/// silent, or nearly everything fails but somebody else who may serve it works.
#[must_use]
pub fn is_in_vain(snapshot: &Snapshot, endpoint: EndpointId, hostname: &Hostname, client: &Client) -> bool {
    let state = snapshot.endpoints.iter().find(|state| state.id == endpoint);
    state.is_some_and(|state| match state.reason {
        Reason::ProbesFail(fault) | Reason::FurtherFails(_, fault) | Reason::Traffic(fault) => {
            state.standing >= Standing::Ejected && fault.is_silence()
        }
        Reason::SelfSuspicion => somebody_works(snapshot, hostname, client),
        _ => false,
    })
}

fn somebody_works(snapshot: &Snapshot, hostname: &Hostname, client: &Client) -> bool {
    let route = snapshot.topology.route_by_hostname.get(hostname);
    let best = route.map(|route| steer(snapshot, &Query::first(*route, client)));
    best.is_some_and(|best| best.candidates.first().is_some_and(|best| best.standing < Standing::Unknown))
}
