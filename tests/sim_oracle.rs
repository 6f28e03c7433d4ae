//! Promises can be seen to be broken: most are broken here once, by a planted fact or a planted belief.

#![allow(clippy::panic, reason = "this is how a test fails")]

mod common;

use anyfront::health::{Fault as Why, Reason, Standing};
use anyfront::names::Label;
use anyfront::sim::fact::{Fact, Outcome, Slot};
use anyfront::sim::oracle::{ELSEWHERE, INVARIANTS, Mode, Oracle};
use anyfront::sim::resolvers::Answer;
use anyfront::sim::scenario::{Fault, Scenario, Sites, Ways, What, Whom};
use anyfront::sim::stage::Stage;
use anyfront::sim::world::World;
use anyfront::snapshot::{Snapshot, Target};
use anyfront::topology::{EndpointIndex, RegionIndex};
use anyfront::upstream::Progress;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const LON: RegionIndex = RegionIndex(0);
const PAR: RegionIndex = RegionIndex(2);

/// `lon` (one request at a time), `man` and `par`; `any` everywhere, `uk` in Great Britain only.
fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let make = || Stage::of(Arc::new(common::topology(common::simulated::FILE)), common::locator());
    STAGE.get_or_init(make)
}

fn label(name: &str) -> Label {
    Label::parse(name).expect("a name")
}

fn fault(at: u64, what: What) -> Fault {
    Fault { at: Duration::from_secs(at), lasts: None, what }
}

fn world(faults: Vec<Fault>) -> World {
    let mut scenario = Scenario {
        lasts: Duration::from_secs(600),
        ways: Ways { loss: 0.0, jitter: 0.0, ..Ways::default() },
        faults,
        ..Scenario::default()
    };
    scenario.crowd.clients = 200;
    scenario.crowd.per_minute = 6.0;
    World::new(stage(), &Arc::new(scenario), &[], 7).expect("it fits")
}

/// Plays until `stop`, with nothing broken on the way.
fn until(world: &mut World, oracle: &mut Oracle, stop: impl Fn(&World) -> bool) {
    while world.step() {
        oracle.judge(world);
        assert_eq!(oracle.violations(), [], "nothing is planted yet");
        if stop(world) {
            return;
        }
    }
    panic!("it never comes to that");
}

fn after(world: &mut World, oracle: &mut Oracle, seconds: u64) {
    until(world, oracle, |world| world.now.as_nanos() >= seconds * 1_000_000_000);
}

/// A request that is at a node and is not answered yet.
fn open(world: &mut World, oracle: &mut Oracle, is_it: impl Fn(&World, Slot) -> bool) -> (Slot, u16) {
    until(world, oracle, |world| match world.facts.as_slice() {
        [Fact::Arrives(slot, _), ..] => {
            is_it(world, *slot) && world.facts.iter().any(|fact| matches!(fact, Fact::Tries { .. }))
        }
        _ => false,
    });
    match world.facts[0] {
        Fact::Arrives(slot, node) => (slot, node),
        _ => panic!("it arrived"),
    }
}

fn is_of(world: &World, slot: Slot, hostname: &str) -> bool {
    world.topology.route(world.request(slot).route).hostname.as_str() == hostname
}

fn broken(oracle: &Oracle) -> BTreeSet<&'static str> {
    oracle.violations().iter().map(|violation| violation.invariant).collect()
}

fn is_broken(oracle: &Oracle, name: &str) {
    assert!(INVARIANTS.iter().any(|invariant| invariant.name == name), "{name} is a promise");
    assert!(broken(oracle).contains(name), "{name} is not among {:?}", oracle.violations());
}

/// Changes what a node believes, behind its back.
fn believe(world: &mut World, node: usize, change: impl FnOnce(&mut Snapshot)) {
    let running = world.nodes[node].as_mut().expect("it is there");
    let mut snapshot = Snapshot::clone(&running.snapshot);
    change(&mut snapshot);
    running.snapshot = Arc::new(snapshot);
}

fn tries(request: Slot, node: u16, region: RegionIndex, number: u32) -> Fact {
    Fact::Tries { request, node, region, endpoint: EndpointIndex(region.0), number }
}

#[test]
fn each_promise_has_a_name_of_its_own_and_none_is_forgotten() {
    let held: BTreeSet<&str> = INVARIANTS.iter().map(|invariant| invariant.name).collect();
    assert_eq!(held.len(), INVARIANTS.len());
    let elsewhere = ELSEWHERE.iter().map(|promise| promise.name);
    let numbers: BTreeSet<&str> = held.iter().copied().chain(elsewhere).map(|name| &name[..3]).collect();
    let all: BTreeSet<String> = (1..=34).map(|number| format!("i{number:02}")).collect();
    assert_eq!(numbers, all.iter().map(String::as_str).collect());
    for promise in ELSEWHERE {
        assert!(promise.held_by.is_none_or(|test| std::path::Path::new(test).exists()), "{promise:?}");
    }
}

#[test]
fn a_request_outside_of_its_fence_is_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    let (slot, node) = open(&mut world, &mut oracle, |world, slot| is_of(world, slot, "uk.small.example"));
    oracle.judge_fact(&world, &tries(slot, node, PAR, 2));
    is_broken(&oracle, "i01_allowed_set");
    let mut oracle = Oracle::new(&world, Mode::Safety);
    oracle.judge_fact(&world, &Fact::Processes(slot, PAR));
    is_broken(&oracle, "i01_allowed_set");
    let mut oracle = Oracle::new(&world, Mode::Safety);
    let route = world.request(slot).route;
    let answer = |told, ttl| Fact::Resolved { node, route, answer: Answer::Region(PAR), told, ttl };
    oracle.judge_fact(&world, &answer(1, Duration::from_secs(60)));
    is_broken(&oracle, "i01_allowed_set");
    for (told, ttl) in [(0, 60), (1, 1), (1, 3_600)] {
        let mut oracle = Oracle::new(&world, Mode::Safety);
        oracle.judge_fact(&world, &answer(told, Duration::from_secs(ttl)));
        is_broken(&oracle, "i09_answer_shape");
    }
}

#[test]
fn a_region_that_the_file_has_not_is_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    let (slot, node) = open(&mut world, &mut oracle, |_, _| true);
    let elsewhere = Fact::Tries { request: slot, node, region: LON, endpoint: EndpointIndex(2), number: 2 };
    oracle.judge_fact(&world, &elsewhere);
    is_broken(&oracle, "i03_known_targets");
}

#[test]
fn a_worse_region_before_a_better_one_is_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    let (slot, node) = open(&mut world, &mut oracle, |world, slot| {
        is_of(world, slot, "any.small.example") && world.request(slot).tries == 1
    });
    oracle.judge_fact(&world, &Fact::Arrives(slot, node));
    believe(&mut world, usize::from(node), |snapshot| snapshot.regions[PAR.at()].standing = Standing::Down);
    oracle.judge_fact(&world, &tries(slot, node, PAR, 1));
    is_broken(&oracle, "i02_precedence");
}

#[test]
fn a_drained_region_and_a_request_with_nobody_are_seen() {
    let drain = |is_hard| What::Drain { target: Target::Region(label("par")), is_hard };
    let mut world = world(vec![fault(5, drain(false))]);
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 10);
    let (slot, node) = open(&mut world, &mut oracle, |world, slot| is_of(world, slot, "any.small.example"));
    oracle.judge_fact(&world, &tries(slot, node, PAR, 2));
    is_broken(&oracle, "i04_drain");
    oracle.judge_fact(&world, &Fact::Arrives(slot, node));
    oracle.judge_fact(&world, &Fact::Ended(slot, Outcome::Unanswered(503)));
    is_broken(&oracle, "i12_empty_guard");
}

#[test]
fn a_second_effect_and_an_attempt_after_an_answer_are_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    let (slot, node) = open(&mut world, &mut oracle, |world, slot| !world.request(slot).is_safe);
    oracle.judge_fact(&world, &Fact::Processes(slot, LON));
    assert_eq!(oracle.violations(), []);
    oracle.judge_fact(&world, &Fact::Processes(slot, LON));
    is_broken(&oracle, "i05_no_duplicate_effect");
    let mut oracle = Oracle::new(&world, Mode::Safety);
    oracle.judge_fact(&world, &Fact::Arrives(slot, node));
    oracle.judge_fact(&world, &Fact::Answers { request: slot, node, region: LON, status: 200 });
    oracle.judge_fact(&world, &tries(slot, node, LON, 2));
    is_broken(&oracle, "i05_no_duplicate_effect");
}

#[test]
fn a_generation_that_falls_and_a_refused_file_that_changes_something_are_seen() {
    let mut world = world(vec![fault(5, What::BadRollout)]);
    let mut oracle = Oracle::new(&world, Mode::Safety);
    until(&mut world, &mut oracle, |world| world.facts.iter().any(|fact| matches!(fact, Fact::Refuses(..))));
    let node = world.facts.iter().find_map(|fact| match fact {
        Fact::Refuses(node, _) => Some(*node),
        _ => None,
    });
    let node = node.expect("it refused");
    believe(&mut world, usize::from(node), |snapshot| {
        snapshot.generation -= 1;
        snapshot.regions[0].standing = Standing::Down;
    });
    oracle.judge_fact(&world, &Fact::Publishes(node));
    is_broken(&oracle, "i13_monotone");
    is_broken(&oracle, "i16_good_means_good");
}

#[test]
fn whoever_could_have_been_served_is_missed() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Liveness);
    after(&mut world, &mut oracle, 30);
    let (slot, _) = open(&mut world, &mut oracle, |world, slot| is_of(world, slot, "any.small.example"));
    oracle.judge_fact(&world, &Fact::Ended(slot, Outcome::Unanswered(503)));
    is_broken(&oracle, "i20_availability");
    assert!(!broken(&oracle).contains("i12_empty_guard"), "there was an attempt");
}

#[test]
fn what_is_dead_and_called_up_and_what_is_well_and_called_down_are_seen() {
    let mut world = world(vec![fault(5, What::BlackHole(Whom::Regions(vec![label("par")])))]);
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 20);
    believe(&mut world, 0, |snapshot| snapshot.regions[PAR.at()].standing = Standing::Up);
    oracle.judge_time(&world);
    is_broken(&oracle, "i21_detection");
    after_planted(&mut world, 100);
    let mut oracle = Oracle::new(&world, Mode::Safety);
    while world.now.as_nanos() < 250_000_000_000 && world.step() {
        oracle.judge(&world);
    }
    believe(&mut world, 0, |snapshot| {
        snapshot.regions[LON.at()].standing = Standing::Down;
        snapshot.regions[1].standing = Standing::Unknown;
        snapshot.regions[1].reason = Reason::NotProbed;
    });
    oracle.judge_time(&world);
    is_broken(&oracle, "i21_return");
    is_broken(&oracle, "i22_boot");
}

fn after_planted(world: &mut World, seconds: u64) {
    while world.now.as_nanos() < seconds * 1_000_000_000 && world.step() {}
}

#[test]
fn a_blind_node_that_calls_things_down_is_seen() {
    let mut world = world(vec![fault(60, What::BlindProber(Sites::new()))]);
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 80);
    believe(&mut world, 0, |snapshot| snapshot.regions[PAR.at()].standing = Standing::Down);
    oracle.judge_time(&world);
    is_broken(&oracle, "i34_honest_blindness");
}

#[test]
fn a_standing_that_falls_for_nothing_is_seen() {
    let mut world = world(vec![fault(5, What::ChannelGone(Sites::new()))]);
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 20);
    // The second region: the first has few slots.
    let stands = Fact::Stands { node: 0, region: PAR, before: Standing::Up, standing: Standing::Down };
    oracle.judge_fact(&world, &stands);
    is_broken(&oracle, "i18_unknown_is_not_down");
}

#[test]
fn a_long_way_and_a_failure_when_all_is_well_are_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 200);
    let is_it = |world: &World, slot: Slot| is_of(world, slot, "any.small.example") && world.request(slot).tries == 1;
    let (slot, node) = open(&mut world, &mut oracle, is_it);
    oracle.judge_fact(&world, &Fact::Arrives(slot, node));
    let from = &world.clients[world.request(slot).client as usize];
    let far = |region: usize| from.believed().at.distance_km(&world.topology.regions[region].place.at);
    let farthest = (0..3).max_by(|one, other| far(*one).total_cmp(&far(*other))).expect("three");
    let nearest = (0..3).map(far).fold(f64::MAX, f64::min);
    if far(farthest) > (nearest * 1.11).max(nearest + 102.0) {
        oracle.judge_fact(&world, &tries(slot, node, RegionIndex::of(farthest), 1));
        is_broken(&oracle, "i32_proximity");
    }
}

#[test]
fn a_region_that_flaps_and_a_budget_that_is_overdrawn_are_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 10);
    for turn in 0..50 {
        let (before, standing) =
            if turn % 2 == 0 { (Standing::Up, Standing::Down) } else { (Standing::Down, Standing::Up) };
        believe(&mut world, 0, |snapshot| {
            snapshot.generation += 1;
            snapshot.regions[PAR.at()].standing = standing;
        });
        oracle.judge_fact(&world, &Fact::Publishes(0));
        oracle.judge_fact(&world, &Fact::Stands { node: 0, region: PAR, before, standing });
    }
    is_broken(&oracle, "i25_flaps");
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after_planted(&mut world, 20);
    let slot = loop {
        assert!(world.step());
        oracle.judge(&world);
        if let Some(Fact::Arrives(slot, 0)) = world.facts.first() {
            break *slot;
        }
    };
    for number in 0..200 {
        let fault = Why::Status(503);
        oracle
            .judge_fact(&world, &Fact::Fails { request: slot, node: 0, region: LON, fault, progress: Progress::Sent });
        oracle.judge_fact(&world, &tries(slot, 0, LON, number + 2));
    }
    is_broken(&oracle, "i29_amplification");
}

#[test]
fn too_many_regions_left_for_errors_are_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 10);
    believe(&mut world, 0, |snapshot| {
        snapshot.generation += 1;
        for region in &mut snapshot.regions {
            (region.standing, region.reason) = (Standing::Ejected, Reason::ErrorRate);
        }
    });
    oracle.judge_fact(&world, &Fact::Publishes(0));
    is_broken(&oracle, "i26_velocity");
}

#[test]
fn sites_that_are_left_out_are_seen() {
    let mut world = world(Vec::new());
    let mut oracle = Oracle::new(&world, Mode::Safety);
    after(&mut world, &mut oracle, 100);
    believe(&mut world, 0, |snapshot| {
        snapshot.generation += 1;
        snapshot.sites.iter_mut().for_each(|site| site.is_left_out = true);
    });
    oracle.judge_fact(&world, &Fact::Publishes(0));
    is_broken(&oracle, "i11_mass_withdrawal");
    oracle.judge_time(&world);
    is_broken(&oracle, "i11_false_withdrawal");
}
