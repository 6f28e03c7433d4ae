//! A request's course through a fleet of three regions in a row, `a` the nearest; without a node.

use super::*;
use crate::control::Control;
use crate::front::journey::full_regions;
use crate::front::patience::Said;
use crate::front::recall::{Recall, Who};
use crate::front::unserved::Hint;
use crate::geo::database::Locator;
use crate::geo::place::{Coordinates, Place};
use crate::steering::PlacedBy;
use crate::topology::check::check;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

const SAFE: bool = true;
const UNSAFE: bool = false;
/// A body that has come and is still here.
const HERE: Body = Body { is_replayable: true, ended_at: Some(Moment::ZERO) };

fn at(ms: u64) -> Moment {
    Moment::at(Duration::from_millis(ms))
}

/// What a node believes once everything works.
fn snapshot(regions: &[&str]) -> Snapshot {
    let mut file = format!(
        "[fleet]\nname = \"f\"\nzone = \"gw.test\"\n[[site]]\nname = \"s\"\nlatitude = 0\nlongitude = 0\n\
         [[hostname]]\nname = \"www.gw.test\"\nregions = {regions:?}\n"
    );
    for (at, name) in regions.iter().enumerate() {
        file.push_str(&format!(
            "[[region]]\nname = \"{name}\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 0\nlongitude = {at}\n\
             endpoints = [\"http://192.0.2.{at}\"]\n"
        ));
    }
    let topology = match check(&file, Path::new("regions.toml")) {
        Ok(checked) => Arc::new(checked.topology),
        Err(mistakes) => panic!("{mistakes}"),
    };
    let locator = Arc::new(Locator::open(Vec::new(), None).expect("the database in the box is good"));
    let here = topology.sites[0].clone();
    let mut control = Control::new(Moment::ZERO, topology, locator, here, Arc::from([]));
    let (first, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first is always new");
    let mut snapshot = Snapshot::clone(&first);
    (0..regions.len()).for_each(|at| stand(&mut snapshot, at, Standing::Up, Reason::ProbesPass));
    snapshot
}

/// The region of that number, and its endpoint, now stand so.
fn stand(snapshot: &mut Snapshot, at: usize, standing: Standing, reason: Reason) {
    (snapshot.regions[at].standing, snapshot.regions[at].reason) = (standing, reason);
    (snapshot.endpoints[at].standing, snapshot.endpoints[at].reason) = (standing, reason);
}

/// One request and what is around it.
struct World {
    newest: Arc<Snapshot>,
    course: Course,
    budget: Arc<Budget>,
}

impl World {
    fn of(regions: &[&str], terms: Terms) -> Self {
        let snapshot = Arc::new(snapshot(regions));
        let (hostname, route) = snapshot.topology.route_by_hostname.get_key_value("www.gw.test").expect("a route");
        let place = Place { at: Coordinates::new(0.0, 0.0).expect("on earth"), country: None, city: None };
        let client = Arc::new(Client::at(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), place, PlacedBy::Here));
        let (full, wish) = (full_regions(&snapshot), terms.ties.wish(&snapshot));
        let decision = steer(&snapshot, &Query { full: &full, wish, ..Query::first(*route, &client) });
        let who = (hostname.clone(), client);
        let mut course = Course::begin(Moment::ZERO, Arc::clone(&snapshot), &decision, who, terms);
        assert!(course.first(&decision, 0).is_some());
        course.sets_out(Moment::ZERO);
        Self { newest: snapshot, course, budget: Arc::default() }
    }

    fn row(is_safe: bool) -> Self {
        Self::of(&["a", "b", "c"], Terms { is_safe, ..Terms::default() })
    }

    fn impatient(is_safe: bool) -> Self {
        let mut said = Said::default();
        said.hear("x-tfy-ttft-timeout-ms", b"1000");
        let patience = said.against(&snapshot(&["a"]).topology.forward);
        Self::of(&["a", "b", "c"], Terms { is_safe, patience, ..Terms::default() })
    }

    /// From now on something else is believed.
    fn learns(&mut self, change: impl FnOnce(&mut Snapshot)) {
        let mut newest = Snapshot::clone(&self.newest);
        newest.generation += 1;
        change(&mut newest);
        self.newest = Arc::new(newest);
    }

    /// What comes after a failure `now`; whoever goes on has set out.
    fn then(&mut self, now: Moment, failure: Failure, body: Body) -> Then {
        let around = Now { now, newest: &self.newest, roll: 0, body };
        let then = self.course.then(failure, around, |_, _| Arc::clone(&self.budget));
        if matches!(then, Then::Again | Then::Go(_)) {
            self.course.sets_out(now);
        }
        then
    }

    /// The attempt under way ends so, and what comes then.
    fn lose(&mut self, ms: u64, fault: Fault, progress: Progress) -> Then {
        let (failure, _) = self.course.lost(AttemptError { fault, progress, was_reused: false });
        self.then(at(ms), failure, HERE)
    }

    fn hear(&mut self, ms: u64, status: u16, unserved: Option<&Unserved>) -> Then {
        let failure = self.course.answered(status, unserved).failure.expect("it goes on");
        self.then(at(ms), failure, HERE)
    }

    fn region(&self) -> &str {
        self.course.region().as_str()
    }

    /// Nothing more may be repeated at this moment. How much that was.
    fn overdraws(&self, ms: u64) -> usize {
        let allowance = allowance(&self.newest.topology.forward);
        (0..100).take_while(|_| self.budget.spend(at(ms), allowance, Occasion::Failure)).count()
    }
}

fn elsewhere() -> Unserved {
    Unserved { hint: Hint::Elsewhere, reason: Some("draining".into()) }
}

fn fault_of(event: Option<Event>) -> Option<Fault> {
    event.map(|event| match event {
        Event::Failed { fault, .. } => fault,
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_next_attempt_is_decided_in_what_is_believed_then() {
    let mut world = World::row(UNSAFE);
    assert_eq!(world.region(), "a");
    world.learns(|newest| stand(newest, 1, Standing::Down, Reason::ProbesFail(Fault::Refused)));
    let then = world.lose(10, Fault::Refused, Progress::Unsent);
    assert_eq!((then, world.region()), (Then::Go(world.course.target()), "c"));
    let generation = world.newest.generation;
    assert_eq!((world.course.snapshot.generation, world.course.decided.generation), (generation, generation));
    let failed = &world.course.journey.failed[0];
    assert_eq!((failed.region.as_str(), failed.decided.generation), ("a", generation - 1), "it is told as it was");
    assert_eq!((failed.number, failed.elapsed, world.course.attempts), (1, Duration::from_millis(10), 2));
}

#[test]
fn without_another_attempt_all_stays_in_the_snapshot_of_the_last() {
    let mut world = World::row(UNSAFE);
    let generation = world.newest.generation;
    world.learns(|_| {});
    assert_eq!(world.lose(10, Fault::Reset, Progress::Sent), Then::GiveUp(Stop::Final));
    assert_eq!((world.course.snapshot.generation, world.region()), (generation, "a"));
}

#[test]
fn what_reached_nobody_goes_everywhere_for_nothing() {
    let mut world = World::row(UNSAFE);
    assert_eq!(world.overdraws(0), 3);
    let mut asked = vec![world.region().to_owned()];
    while let Then::Go(_) = world.lose(0, Fault::Refused, Progress::Unsent) {
        asked.push(world.region().to_owned());
    }
    assert_eq!(asked, ["a", "b", "c"]);
    let last = world.course.lost(AttemptError { fault: Fault::Refused, progress: Progress::Unsent, was_reused: false });
    assert_eq!(world.course.failed_at_last(Some(last.0.error)), None, "nobody can have failed in processing it");
}

#[test]
fn what_may_have_been_processed_goes_on_as_far_as_the_budget_goes() {
    let mut world = World::row(SAFE);
    assert!(matches!(world.lose(0, Fault::Protocol, Progress::Sent), Then::Go(_)));
    assert_eq!(world.overdraws(0), 2, "it has cost one");
    assert_eq!(world.lose(0, Fault::Protocol, Progress::Sent), Then::GiveUp(Stop::Unrepeated));
    let error = AttemptError { fault: Fault::Protocol, progress: Progress::Sent, was_reused: false };
    assert_eq!(world.course.failed_at_last(Some(error)).map(Label::as_str), Some("b"));
    assert_eq!(world.course.failed_at_last(None), None);
}

#[test]
fn nothing_is_spent_where_nobody_is_left_or_no_answer_would_come_in_time() {
    let mut alone = World::of(&["a"], Terms { is_safe: true, ..Terms::default() });
    assert_eq!(alone.lose(0, Fault::Protocol, Progress::Sent), Then::GiveUp(Stop::Nobody));
    assert_eq!(alone.overdraws(0), 3);
    let mut late = World::impatient(SAFE);
    assert_eq!(late.lose(950, Fault::Protocol, Progress::Sent), Then::GiveUp(Stop::TooLate));
    assert_eq!(late.overdraws(950), 3);
    let mut early = World::impatient(SAFE);
    assert!(matches!(early.lose(949, Fault::Protocol, Progress::Sent), Then::Go(_)));
}

#[test]
fn whoever_may_not_be_repeated_on_a_new_connection_stops() {
    let stale = AttemptError { fault: Fault::Reset, progress: Progress::Sent, was_reused: true };
    let mut world = World::row(SAFE);
    let (failure, tells) = world.course.lost(stale);
    assert_eq!(fault_of(tells), None, "its end says nothing about the endpoint");
    assert_eq!(world.then(at(0), failure, HERE), Then::Again);
    assert_eq!((world.region(), world.course.is_fresh(), world.course.attempts), ("a", true, 2));
    assert!(world.course.journey.failed.is_empty(), "nobody has failed");
    assert!(matches!(world.lose(0, Fault::Reset, Progress::Sent), Then::Go(_)));
    assert!(!world.course.is_fresh());
    // Lost connections are free for a second in ten.
    let (mut world, now) = (World::row(SAFE), 5_000);
    let allowance = allowance(&world.newest.topology.forward);
    assert!(world.budget.spend(at(0), allowance, Occasion::Loss));
    world.overdraws(now);
    let (failure, _) = world.course.lost(stale);
    assert_eq!(world.then(at(now), failure, HERE), Then::GiveUp(Stop::Unrepeated));
    assert!(!world.course.journey.failed[0].leaves_region);
}

#[test]
fn a_region_that_declines_has_the_last_word_if_nobody_else_is_left() {
    let mut world = World::of(&["a", "b"], Terms::default());
    assert!(matches!(world.hear(0, 429, Some(&elsewhere())), Then::Go(_)));
    assert_eq!(world.course.journey.failed[0].reason.as_deref(), Some("draining"));
    assert_eq!(world.hear(0, 503, Some(&elsewhere())), Then::Own(Stop::Nobody));
    assert_eq!((world.region(), world.course.journey.failed.len()), ("b", 1), "b is the one that answers");
    // With a status that says as much, too.
    let mut world = World::row(SAFE);
    world.overdraws(0);
    assert_eq!(world.hear(0, 503, None), Then::Own(Stop::Unrepeated));
    assert!(world.course.journey.failed.is_empty());
}

#[test]
fn a_body_that_is_gone_goes_nowhere_again() {
    for (fault, progress) in [(Fault::Refused, Progress::Unsent), (Fault::Protocol, Progress::Sent)] {
        let mut world = World::row(SAFE);
        let (failure, _) = world.course.lost(AttemptError { fault, progress, was_reused: false });
        let gone = Body { is_replayable: false, ..HERE };
        assert_eq!(world.then(at(0), failure, gone), Then::GiveUp(Stop::Final));
        assert_eq!(world.overdraws(0), 3);
    }
}

#[test]
fn an_answer_is_counted_once_and_only_failures_are_told() {
    let later = Unserved { hint: Hint::Later, reason: None };
    for (status, unserved, is_safe, goes_on, told, succeeded) in [
        (200, None, UNSAFE, None, None, true),
        (404, None, SAFE, None, None, true),
        (500, None, SAFE, None, Some(Fault::Status(500)), false),
        (501, None, SAFE, None, None, true),
        (503, None, UNSAFE, None, Some(Fault::Status(503)), false),
        (503, None, SAFE, Some(Fault::Status(503)), Some(Fault::Status(503)), false),
        (421, None, UNSAFE, Some(Fault::Unserved), None, false),
        (503, Some(elsewhere()), UNSAFE, Some(Fault::Unserved), None, false),
        (503, Some(later.clone()), SAFE, None, None, false),
        (429, Some(later), SAFE, None, None, true),
    ] {
        let world = World::row(is_safe);
        let answered = world.course.answered(status, unserved.as_ref());
        assert_eq!(answered.failure.map(|failure| failure.error.fault), goes_on, "{status} {unserved:?}");
        assert_eq!((fault_of(answered.tells), answered.succeeded), (told, succeeded), "{status} {unserved:?}");
        let load = &world.course.endpoint().load;
        assert_eq!((load.requests(), load.failures()), (1, 0), "an answer, whatever it says");
    }
}

#[test]
fn what_is_lost_is_told_unless_it_says_nothing_about_the_endpoint() {
    for (fault, was_reused, is_told) in [
        (Fault::Refused, false, true),
        (Fault::Reset, false, true),
        (Fault::Reset, true, false),
        (Fault::Late, false, false),
        (Fault::Unsuited, false, false),
    ] {
        let world = World::row(SAFE);
        let (_, tells) = world.course.lost(AttemptError { fault, progress: Progress::Sent, was_reused });
        assert_eq!(fault_of(tells), is_told.then_some(fault));
        let load = &world.course.endpoint().load;
        assert_eq!((load.requests(), load.failures()), (0, u64::from(is_told)), "{fault:?}");
    }
}

#[test]
fn an_impatient_client_moves_at_half_time_if_it_may_and_can() {
    let limit = |world: &World, body| world.course.limit(body, |_, _| Arc::clone(&world.budget));
    assert!(limit(&World::row(SAFE), HERE).is_none(), "others wait");
    let (full, half) = (Some(at(950)), Some(at(475)));
    let mut world = World::impatient(SAFE);
    let mut leaving = limit(&world, HERE).expect("impatient");
    assert_eq!((leaving.ends(Moment::ZERO), leaving.left(at(475), at(0))), (half, Some(Duration::from_millis(475))));
    assert_eq!(leaving.is_over(at(475), &world.newest), Leave::Late);
    assert_eq!(world.overdraws(475), 2, "that is what it costs");
    // It has paid already.
    assert!(matches!(world.lose(475, Fault::Late, Progress::Sent), Then::Go(_)));

    let world = World::impatient(SAFE);
    world.overdraws(475);
    let mut staying = limit(&world, HERE).expect("impatient");
    assert_eq!(staying.is_over(at(475), &world.newest), Leave::Unrepeated);
    assert_eq!(staying.ends(Moment::ZERO), full, "it waits on");
    assert_eq!(staying.is_over(at(950), &world.newest), Leave::Late);

    for (world, body) in [
        (World::impatient(UNSAFE), HERE),
        (World::impatient(SAFE), Body { is_replayable: false, ..HERE }),
        (World::of(&["a"], World::impatient(SAFE).course.terms), HERE),
    ] {
        assert_eq!(limit(&world, body).expect("impatient").ends(Moment::ZERO), full);
    }
}

#[test]
fn it_is_in_vain_to_wait_for_what_is_out_for_its_silence() {
    let mut world = World::row(SAFE);
    for (standing, reason, is_in_vain) in [
        (Standing::Up, Reason::ProbesPass, false),
        (Standing::Strained, Reason::Traffic(Fault::Silent), false),
        (Standing::Ejected, Reason::Traffic(Fault::Silent), true),
        (Standing::Ejected, Reason::Traffic(Fault::Status(503)), false),
        (Standing::Down, Reason::ProbesFail(Fault::ConnectTimeout), true),
        (Standing::Down, Reason::ProbesFail(Fault::Refused), false),
        (Standing::Down, Reason::FurtherFails("token", Fault::Stalled), true),
        (Standing::Ejected, Reason::ErrorRate, false),
    ] {
        world.learns(|newest| stand(newest, 0, standing, reason));
        assert_eq!(world.course.is_in_vain(&world.newest), is_in_vain, "{standing:?} {reason:?}");
    }
}

#[test]
fn who_suspects_itself_leaves_only_for_somebody_who_works() {
    let mut world = World::row(SAFE);
    world.learns(|newest| (0..3).for_each(|at| stand(newest, at, Standing::Unknown, Reason::SelfSuspicion)));
    assert!(!world.course.is_in_vain(&world.newest));
    world.learns(|newest| stand(newest, 2, Standing::Up, Reason::ProbesPass));
    assert!(world.course.is_in_vain(&world.newest));
}

#[test]
fn leaving_what_is_known_to_be_silent_costs_nothing() {
    let mut world = World::row(SAFE);
    world.overdraws(0);
    world.learns(|newest| stand(newest, 0, Standing::Ejected, Reason::Traffic(Fault::Silent)));
    assert!(matches!(world.lose(0, Fault::Silent, Progress::Sent), Then::Go(_)));
    assert_eq!(world.lose(0, Fault::Silent, Progress::Sent), Then::GiveUp(Stop::Unrepeated), "of b nobody knew that");
}

#[test]
fn who_asks_again_comes_to_others_first() {
    let recall = Recall::seeded(1);
    let first = World::row(SAFE);
    let (hostname, address) = (&first.course.hostname, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let key = recall.key(Who { address, authorization: b"", api_key: b"", hostname, path: "/" });
    recall.failed(at(0), key, first.course.region());
    for (is_another_try, ms, region) in [(false, 1, "a"), (true, 1, "b"), (true, 60_001, "a")] {
        let mut terms = Terms { is_another_try, ..Terms::default() };
        terms.heed(&recall, at(ms), key);
        assert_eq!(World::of(&["a", "b", "c"], terms).region(), region, "{is_another_try} {ms}");
    }
    let failed = [(499, false), (500, false), (501, false), (600, false), (503, true)];
    assert_eq!(failed.map(|(status, is_unserved)| is_failed_by(status, is_unserved)), [false, true, true, true, false]);
}
