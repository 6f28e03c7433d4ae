//! Steering, over random worlds: what must hold whatever happens, and that a second opinion agrees.

mod common;

use anyfront::health::Standing;
use anyfront::moment::Dice;
use anyfront::steering::decision::Decision;
use anyfront::steering::{Query, steer};
use anyfront::topology::{RegionIndex, Steering};
use common::invariants::{hold, order};
use common::worlds::{Plan, RegionPlan, STANDINGS, World};
use proptest::option;
use proptest::prelude::*;

/// Regions stand on a coarse grid, so that near ties and exact ties are common.
fn a_region() -> impl Strategy<Value = RegionPlan> {
    let place = (prop_oneof![Just(0_i8), -60..60_i8], prop_oneof![0..4_i16, -180..180_i16]);
    let standing = prop_oneof![4 => Just(0_u8), 3 => 1..5_u8];
    let share = prop_oneof![3 => Just(100_u8), 1 => 0..=100_u8];
    let drained = prop_oneof![6 => Just(0_u8), 1 => 1..3_u8];
    let weight = prop_oneof![1 => Just(0_u32), 4 => 1..200_u32, 1 => Just(10_000_u32)];
    let time = option::weighted(0.7, prop_oneof![1..20_u16, 1..400_u16]);
    (place, 0..5_u8, weight, option::weighted(0.9, 0..3_u8), standing, share, time, drained).prop_map(
        |((latitude, longitude), country, weight, level, standing, share_percent, round_trip_ms, drained)| RegionPlan {
            latitude,
            longitude,
            country,
            weight,
            level,
            standing,
            share_percent,
            round_trip_ms,
            drained,
        },
    )
}

fn a_plan() -> impl Strategy<Value = Plan> {
    let sparse = || prop_oneof![3 => Just(0_u32), 1 => any::<u32>()];
    let route = (0..4_u8, prop::bool::weighted(0.2), prop_oneof![2 => Just(0_u8), 1 => 1..16_u8]);
    let client = (any::<u128>(), prop_oneof![Just(0_i8), -90..90_i8], prop_oneof![0..4_i16, -180..180_i16]);
    let regional = option::weighted(0.1, any::<u8>());
    let one = || option::weighted(0.15, any::<u8>());
    let wish = ([one(), one(), one()], any::<bool>(), option::weighted(0.3, any::<u64>()));
    (prop::collection::vec(a_region(), 1..14), route, regional, client, sparse(), sparse(), wish).prop_map(
        |(
            regions,
            (steering, refuses, residency),
            regional,
            (client, latitude, longitude),
            tried,
            full,
            (wish, goes_on, spread),
        )| Plan {
            regions,
            steering,
            refuses,
            residency,
            regional,
            client,
            latitude,
            longitude,
            tried,
            full,
            wish,
            goes_on,
            spread,
        },
    )
}

fn decide(world: &World) -> Decision {
    steer(&world.snapshot, &world.query())
}

fn first(world: &World) -> Option<RegionIndex> {
    decide(world).candidates.first().map(|candidate| candidate.region)
}

/// `order` without `region`.
fn without(order: Vec<RegionIndex>, region: RegionIndex) -> Vec<RegionIndex> {
    order.into_iter().filter(|other| *other != region).collect()
}

/// The same steering, for a hundredth of all networks each.
fn clients(seed: u64, count: usize, plan: &Plan) -> Vec<Plan> {
    let mut dice = Dice::seeded(seed);
    (0..count)
        .map(|_| Plan { client: u128::from(dice.roll()) << 64 | u128::from(dice.roll()), ..plan.clone() })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_is_complete_lawful_ordered_and_as_a_person_would_say(plan in a_plan()) {
        hold(&plan.build());
    }

    #[test]
    fn losing_a_region_moves_only_the_clients_it_had(plan in a_plan(), lost in any::<prop::sample::Index>()) {
        let before = plan.build();
        let lost = lost.index(plan.regions.len());
        let mut after = plan.build();
        after.snapshot.regions[lost].standing = Standing::Down;
        let region = RegionIndex::of(lost);
        if first(&before) != Some(region) {
            prop_assert_eq!(first(&after), first(&before), "a client moved without a reason");
        }
        prop_assert_eq!(
            without(order(&decide(&after)), region),
            without(order(&decide(&before)), region),
            "the others changed places among themselves"
        );
    }

    #[test]
    fn a_recovering_region_moves_clients_only_to_itself(plan in a_plan(), back in any::<prop::sample::Index>(), share in 0..=100_u8) {
        let at = back.index(plan.regions.len());
        let (mut before, mut after) = (plan.build(), plan.build());
        before.snapshot.regions[at].standing = Standing::Down;
        after.snapshot.regions[at].standing = Standing::Up;
        after.snapshot.regions[at].share_percent = share;
        let now = first(&after);
        prop_assert!(now == first(&before) || now == Some(RegionIndex::of(at)), "a client moved to a third region");
    }

    #[test]
    fn any_change_of_one_standing_leaves_the_others_in_their_order(
        plan in a_plan(), at in any::<prop::sample::Index>(), standing in 0..5_usize, share in 0..=100_u8,
    ) {
        let at = at.index(plan.regions.len());
        let mut after = plan.build();
        after.snapshot.regions[at].standing = STANDINGS[standing];
        after.snapshot.regions[at].share_percent = share;
        let region = RegionIndex::of(at);
        prop_assert_eq!(
            without(order(&decide(&after)), region),
            without(order(&decide(&plan.build())), region)
        );
    }

    #[test]
    fn going_on_after_failures_follows_the_first_ranking(plan in a_plan(), gone in 0..6_usize) {
        let mut world = plan.build();
        let ranking = order(&decide(&world));
        let gone = gone.min(ranking.len());
        world.tried.extend(&ranking[..gone]);
        prop_assert_eq!(order(&decide(&world)), &ranking[gone..]);
    }

    #[test]
    fn a_growing_share_lets_clients_in_and_never_out(plan in a_plan(), at in any::<prop::sample::Index>(), small in 0..=100_u8, large in 0..=100_u8) {
        let at = at.index(plan.regions.len());
        let (small, large) = (small.min(large), small.max(large));
        let standing_at = |share| {
            let mut world = plan.build();
            world.snapshot.regions[at].standing = Standing::Up;
            world.snapshot.regions[at].share_percent = share;
            let decision = decide(&world);
            decision.candidates.iter().find(|one| one.region.at() == at).map(|candidate| candidate.standing)
        };
        prop_assert!(standing_at(large) <= standing_at(small));
    }

    #[test]
    fn a_neighbour_in_the_same_network_gets_the_same_answer(plan in a_plan(), low in any::<u8>()) {
        let is_v6 = plan.client & 1 == 1;
        let kept = if is_v6 { u128::MAX << 80 } else { u128::MAX << 9 };
        let neighbour = Plan { client: plan.client & kept | u128::from(is_v6) | u128::from(low & !1), ..plan.clone() };
        let neighbour = if is_v6 { neighbour } else { Plan { client: plan.client & kept | u128::from(low) << 1, ..plan.clone() } };
        prop_assert_eq!(decide(&plan.build()), decide(&neighbour.build()));
    }
}

fn grid(count: usize) -> Plan {
    let region = |at: usize| RegionPlan {
        latitude: 40,
        longitude: i16::try_from(at).expect("few") * 10,
        country: 0,
        weight: 100,
        level: Some(0),
        standing: 0,
        share_percent: 100,
        round_trip_ms: Some(50),
        drained: 0,
    };
    Plan {
        regions: (0..count).map(region).collect(),
        steering: 0,
        refuses: false,
        residency: 0,
        regional: None,
        client: 0,
        latitude: 40,
        longitude: 0,
        tried: 0,
        full: 0,
        wish: [None; 3],
        goes_on: false,
        spread: None,
    }
}

/// How many of `plans` go to each region.
fn spread(world: &mut World, plans: &[Plan]) -> Vec<usize> {
    let mut counts = vec![0; world.snapshot.regions.len()];
    for plan in plans {
        let place = world.client.place.clone();
        let address = common::worlds::address(plan.client);
        let client = anyfront::steering::Client::at(address, place, anyfront::steering::PlacedBy::Database);
        let decision = steer(&world.snapshot, &Query::first(world.route, &client));
        counts[decision.candidates[0].region.at()] += 1;
    }
    counts
}

#[test]
fn weighted_shares_are_as_written() {
    let mut plan = Plan { steering: 3, ..grid(5) };
    for (region, weight) in plan.regions.iter_mut().zip([100, 200, 0, 50, 650]) {
        region.weight = weight;
    }
    let plans = clients(7, 40_000, &plan);
    let counts = spread(&mut plan.build(), &plans);
    for (count, share) in counts.iter().zip([0.10, 0.20, 0.0, 0.05, 0.65]) {
        let seen = *count as f64 / plans.len() as f64;
        // Four standard deviations of a fair draw.
        let tolerance = 4.0 * (share * (1.0 - share) / plans.len() as f64).sqrt();
        assert!(
            (seen - share).abs() <= tolerance,
            "{seen:.4} instead of {share}, {tolerance:.4} tolerated: {counts:?}"
        );
    }
}

#[test]
fn more_weight_moves_clients_only_to_the_region_that_got_it() {
    let light = Plan { steering: 3, ..grid(6) };
    let mut heavy = light.clone();
    heavy.regions[2].weight = 200;
    let (light_world, heavy_world) = (light.build(), heavy.build());
    let mut moved = 0;
    let plans = clients(8, 4_000, &light);
    for plan in &plans {
        let client = plan.build().client;
        let best = |world: &World| steer(&world.snapshot, &Query::first(world.route, &client)).candidates[0].region;
        let (before, after) = (best(&light_world), best(&heavy_world));
        assert!(before == after || after == RegionIndex(2), "moved from {before:?} to {after:?}");
        moved += usize::from(before != after);
    }
    // From a sixth to two sevenths.
    let expected = plans.len() as f64 * (2.0 / 7.0 - 1.0 / 6.0);
    assert!((moved as f64 - expected).abs() < expected * 0.25, "{moved} moved, {expected} expected");
}

#[test]
fn the_ramp_admits_about_the_share_it_says() {
    let mut plan = grid(2);
    plan.steering = 2;
    let plans = clients(9, 20_000, &plan);
    for share in [0, 1, 5, 25, 50, 95, 100] {
        plan.regions[0].share_percent = share;
        let counts = spread(&mut plan.build(), &plans);
        let seen = counts[0] as f64 / plans.len() as f64 * 100.0;
        assert!((seen - f64::from(share)).abs() < 1.5, "{seen:.1} % instead of {share} %");
    }
}

#[test]
fn two_recovering_regions_do_not_admit_the_same_clients() {
    let mut plan = grid(3);
    (plan.steering, plan.regions[0].share_percent, plan.regions[1].share_percent) = (2, 50, 50);
    let plans = clients(10, 8_000, &plan);
    let counts = spread(&mut plan.build(), &plans);
    let share = |at: usize| counts[at] as f64 / plans.len() as f64;
    assert!((share(0) - 0.5).abs() < 0.03 && (share(1) - 0.25).abs() < 0.03, "{counts:?}");
}

#[test]
fn a_death_does_not_regroup_the_near() {
    // From the client: 0 km, 80 km and 160 km. The second ties with the first and is measured faster; the third is far.
    let mut plan = grid(3);
    for (at, region) in plan.regions.iter_mut().enumerate() {
        (region.latitude, region.longitude) = (0, 0);
        region.round_trip_ms = Some([30, 20, 1][at]);
    }
    let mut world = plan.build();
    let topology = std::sync::Arc::get_mut(&mut world.snapshot.topology).expect("nobody else has it");
    for (at, region) in topology.regions.iter_mut().enumerate() {
        region.place.at = anyfront::geo::place::Coordinates::new(0.0, 0.72 * at as f64).expect("on the earth");
    }
    world.client.place.at = anyfront::geo::place::Coordinates::new(0.0, 0.0).expect("on the earth");
    let ranking = |world: &World| order(&decide(world)).iter().map(|region| region.0).collect::<Vec<_>>();
    assert_eq!(ranking(&world), [1, 0, 2]);
    world.snapshot.regions[0].standing = Standing::Down;
    assert_eq!(ranking(&world), [1, 2, 0], "the third must not tie with the second because the first died");
    assert_eq!(world.steering(), Steering::Nearest);
}
