//! The fence: whatever happens to regions, nothing is sent outside.

use super::{FENCED, answers, fleet, until_counted};
use crate::common::worlds::{Bytes, STANDINGS, random_bytes};
use crate::harness::{SOON, from, get, post};
use anyfront::counters::record::Decided;
use anyfront::front::journey::{Journey, Made};
use anyfront::health::{Fault, Standing};
use anyfront::moment::Dice;
use anyfront::residency::tally::is_inside;
use anyfront::snapshot::{Drained, Snapshot};
use anyfront::steering::{Query, steer};
use anyfront::topology::RegionIndex;
use std::time::Duration;

/// Anything may happen to any region.
fn befall(snapshot: &mut Snapshot, dice: &mut Dice) {
    for state in &mut snapshot.regions {
        if dice.roll().is_multiple_of(2) {
            state.standing = STANDINGS[(dice.roll() % 5) as usize];
            state.share_percent = (dice.roll() % 101) as u8;
            state.drained = [None, None, Some(Drained::Soft), Some(Drained::Hard)][(dice.roll() % 4) as usize];
        }
    }
    for at in 0..snapshot.endpoints.len() {
        let region = snapshot.topology.endpoints[at].region;
        snapshot.endpoints[at].standing = snapshot.region(region).standing;
        snapshot.endpoints[at].drained = snapshot.region(region).drained;
    }
    snapshot.generation += 1;
}

#[test]
fn no_sequence_of_events_leads_a_request_out_of_its_fence() {
    let mut dice = Dice::seeded(20_261_127);
    let (mut attempts, mut fenced) = (0, 0);
    for _ in 0..3_000 {
        let bytes = random_bytes(&mut dice, 200);
        let mut plan = Bytes(&bytes).plan();
        plan.residency = 1 + (dice.roll() % 15) as u8;
        plan.regional = None;
        let world = plan.build();
        let mut snapshot = world.snapshot.clone();
        let route = snapshot.topology.route(world.route);
        let (hostname, fence) = (route.hostname.clone(), route.residency.as_ref().expect("a fence").written.clone());
        let mut journey = Journey::default();
        let decision = steer(&snapshot, &Query { full: &world.full, wish: world.wish, ..world.query() });
        let mut next = journey.first(&snapshot, &decision, dice.roll());
        let mut tries = 0;
        while let Some(target) = next.filter(|_| tries < 12) {
            tries += 1;
            let region = snapshot.topology.region(target.region);
            assert!(is_inside(&fence, region.place.country), "{} is outside {fence:?}", region.name);
            assert_eq!(snapshot.topology.endpoint(target.endpoint).region, target.region);
            let made =
                Made { target, decided: Decided::default(), number: 1, after: Duration::ZERO, elapsed: Duration::ZERO };
            journey.failed_at(&snapshot, made, Fault::Refused, dice.roll().is_multiple_of(2));
            befall(&mut snapshot, &mut dice);
            next = journey.next(&snapshot, &hostname, &world.client, world.wish, dice.roll()).map(|(target, _)| target);
        }
        attempts += tries;
        let all = (0..snapshot.topology.regions.len()).map(RegionIndex::of);
        fenced += all.filter(|at| !is_inside(&fence, snapshot.topology.region(*at).place.country)).count();
    }
    assert!(
        attempts > 3_000 && fenced > 3_000,
        "{attempts} attempts, {fenced} regions outside: too few to mean anything"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_node_refuses_rather_than_leave_the_fence_and_says_so() {
    let fleet = fleet().await;
    let mut dice = Dice::seeded(7);
    let mut refused = 0;
    // From the nearest of all regions outside, London, with the insiders dying and coming back in any order.
    for round in 0..5 {
        let fate = if round == 3 { 3 } else { dice.roll() % 4 };
        for (bit, region) in ["mad", "gvx"].into_iter().enumerate() {
            let is_dead = fate >> bit & 1 == 1;
            if is_dead {
                fleet.kill(region);
            } else {
                fleet.heal(region);
            }
            if is_dead {
                fleet.until_out(region, SOON).await;
            } else {
                fleet.until_standing(region, Standing::Up, SOON).await;
            }
        }
        for ask in [get(FENCED), post(FENCED), get(FENCED).with("x-stainless-read-timeout", "20")] {
            let seen = fleet.ask(ask, from("London")).await;
            match seen.region() {
                "mad" | "gvx" => assert!(seen.is_good(), "{seen:?}"),
                "" => {
                    assert_eq!((fate, seen.status), (3, Some(503)), "{seen:?}");
                    refused += 1;
                }
                outside => panic!("{outside} answered: {seen:?}"),
            }
        }
    }
    assert!(refused >= 3, "the outage of all insiders was among it");
    let answered = 15 - refused;
    let counts = until_counted(&fleet, FENCED, |counts| {
        answers(counts) >= answered && counts.iter().map(|counts| counts.refused).sum::<u64>() >= refused
    })
    .await;
    assert_eq!(answers(&counts), answered);
    assert_eq!(counts.iter().map(|counts| counts.refused).sum::<u64>(), refused);
    assert_eq!(counts.iter().map(|counts| counts.violations).sum::<u64>(), 0);
    for (id, regions) in fleet.processed() {
        assert!(regions.iter().all(|region| ["mad", "gvx"].contains(&region.as_str())), "{id} was seen by {regions:?}");
    }
}
