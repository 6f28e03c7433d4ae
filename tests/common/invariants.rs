//! What must hold for every decision, and a second opinion on the order.
//!
//! [`reference_order`] is not how steering works: it follows the rules as one would tell them to a person, picking one
//! region after the other. It knows the same distances and hashes, and nothing of ranks or preference numbers.

use super::worlds::World;
use anyfront::health::{Reason, Standing};
use anyfront::moment::mix;
use anyfront::snapshot::Drained;
use anyfront::steering::decision::{Decision, Exclusion};
use anyfront::steering::steer;
use anyfront::topology::{AllDown, Member, RegionIndex, Steering};

/// Everything that one decision must keep.
pub fn hold(world: &World) {
    let decision = steer(&world.snapshot, &world.query());
    assert_eq!(decision, steer(&world.snapshot, &world.query()), "the same question, another answer");
    complete(world, &decision);
    nothing_forbidden(world, &decision);
    best_first(&decision);
    assert_eq!(order(&decision), reference_order(world), "the second opinion differs");
    explained(world, &decision);
}

/// The regions of a decision, best first.
pub fn order(decision: &Decision) -> Vec<RegionIndex> {
    decision.candidates.iter().map(|candidate| candidate.region).collect()
}

/// Whether the request goes on with something that this region has begun.
fn goes_on_at(world: &World, region: RegionIndex) -> bool {
    world.wish.goes_on && [world.wish.only, world.wish.prefer].contains(&Some(region))
}

fn complete(world: &World, decision: &Decision) {
    let mut told: Vec<RegionIndex> = order(decision);
    told.extend(decision.excluded.iter().map(|(region, _)| *region));
    told.sort_unstable();
    let route = world.snapshot.topology.route(world.route);
    let mut members: Vec<RegionIndex> = route.members.iter().map(|member| member.region).collect();
    members.sort_unstable();
    assert_eq!(told, members, "every region of the route is there exactly once");
    assert_eq!((decision.generation, decision.route), (world.snapshot.generation, world.route));
}

fn nothing_forbidden(world: &World, decision: &Decision) {
    let topology = &world.snapshot.topology;
    let route = topology.route(world.route);
    for candidate in &decision.candidates {
        let (region, state) = (topology.region(candidate.region), world.snapshot.region(candidate.region));
        let name = &region.name;
        match state.drained {
            None => {}
            Some(Drained::Soft) => {
                assert!(route.is_regional || goes_on_at(world, candidate.region), "{name} is drained");
            }
            Some(Drained::Hard) => panic!("{name} is drained hard"),
        }
        if let Some(fence) = &route.residency {
            let country = region.place.country;
            assert!(country.is_some_and(|country| fence.countries.contains(&country)), "{name} is outside the fence");
        }
        assert!(!world.tried.contains(&candidate.region), "{name} failed already");
        assert!(world.wish.only.is_none_or(|only| only == candidate.region), "{name} will not do");
        if route.all_down == AllDown::Refuse {
            assert!(state.standing < Standing::Ejected, "{name} is down, and down is refused");
        }
        assert!(candidate.standing >= state.standing, "{name} is not better than it is known to be");
        if candidate.standing != state.standing {
            assert_eq!((state.standing, candidate.standing), (Standing::Up, Standing::Strained));
            let is_full = world.full.contains(&candidate.region);
            let why = if is_full { None } else { Some(Reason::RampingUp) };
            assert_eq!(candidate.reason, why, "{name}");
        }
    }
    for (region, why) in &decision.excluded {
        let state = world.snapshot.region(*region);
        match why {
            Exclusion::Residency => assert!(route.residency.is_some()),
            Exclusion::Drained { is_hard } => assert_eq!(*is_hard, state.drained == Some(Drained::Hard)),
            Exclusion::Tried => assert!(world.tried.contains(region)),
            Exclusion::Bound => assert!(world.wish.only.is_some_and(|only| only != *region)),
            Exclusion::Down => {
                assert!(route.all_down == AllDown::Refuse && state.standing >= Standing::Ejected);
            }
        }
    }
}

/// No down before up whatever is wished, no fallback before a primary that is as good and as welcome.
fn best_first(decision: &Decision) {
    for pair in decision.candidates.windows(2) {
        let [a, b] = pair else { unreachable!("windows of two") };
        assert!((a.standing, a.wish, a.level) <= (b.standing, b.wish, b.level), "{a:?} before {b:?}");
    }
}

fn explained(world: &World, decision: &Decision) {
    let text = decision.to_text(&world.snapshot, &world.client);
    let json = decision.to_json(&world.snapshot, &world.client);
    for member in &world.snapshot.topology.route(world.route).members {
        let name = &world.snapshot.topology.region(member.region).name;
        assert!(text.contains(name.as_str()), "the explanation leaves out {name}");
    }
    assert_eq!(json["candidates"].as_array().map(Vec::len), Some(decision.candidates.len()));
}

// ---- the second opinion ---------------------------------------------------------------------------------------------

/// The regions that may be used, in the order in which a person would say to try them.
pub fn reference_order(world: &World) -> Vec<RegionIndex> {
    let members = &world.snapshot.topology.route(world.route).members;
    let mut left: Vec<Member> = members.iter().copied().filter(|member| may_be_used(world, member.region)).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let next = pick(world, &left);
        left.retain(|member| member.region != next);
        order.push(next);
    }
    order
}

fn may_be_used(world: &World, region: RegionIndex) -> bool {
    let route = world.snapshot.topology.route(world.route);
    let state = world.snapshot.region(region);
    let country = world.snapshot.topology.region(region).place.country;
    let inside = match (&route.residency, country) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(fence), Some(country)) => fence.countries.contains(&country),
    };
    let open = match state.drained {
        None => true,
        Some(Drained::Soft) => route.is_regional || goes_on_at(world, region),
        Some(Drained::Hard) => false,
    };
    let alive = !matches!(state.standing, Standing::Ejected | Standing::Down);
    let bound = world.wish.only.is_some_and(|only| only != region);
    inside && open && !bound && !world.tried.contains(&region) && (alive || route.all_down == AllDown::TryNearest)
}

/// "Of those in the best condition, of those the request likes best, of the first level that has any, the one that the policy likes best."
fn pick(world: &World, left: &[Member]) -> RegionIndex {
    let condition = |member: &&Member| condition(world, member.region);
    let best = left.iter().map(|member| condition(&member)).min().expect("somebody is left");
    let equals: Vec<Member> = left.iter().filter(|member| condition(member) == best).copied().collect();
    let equals = most_welcome(world, equals);
    let level = equals.iter().map(|member| member.level).min().expect("somebody is left");
    let equals: Vec<RegionIndex> =
        equals.iter().filter(|member| member.level == level).map(|member| member.region).collect();
    if world.wish.spread.is_some() && world.steering() != Steering::Weighted {
        return luckiest(world, &equals, |_| 1);
    }
    match world.steering() {
        Steering::Nearest => {
            let near: Vec<RegionIndex> =
                equals.iter().copied().filter(|region| is_as_near_as_the_nearest(world, level, *region)).collect();
            if near.is_empty() {
                least(world, &equals, |region| metres(world, region))
            } else {
                least(world, &near, |region| expected_us(world, region))
            }
        }
        Steering::Latency => least(world, &equals, |region| expected_us(world, region)),
        Steering::Priority => {
            let members = &world.snapshot.topology.route(world.route).members;
            members.iter().map(|member| member.region).find(|region| equals.contains(region)).expect("it is a member")
        }
        Steering::Weighted => luckiest(world, &equals, |region| world.snapshot.topology.region(region).weight),
    }
}

fn most_welcome(world: &World, equals: Vec<Member>) -> Vec<Member> {
    let preferred = equals.iter().find(|member| world.wish.prefer == Some(member.region));
    match preferred {
        Some(only) => vec![*only],
        None => {
            let is_welcome = |member: &&Member| !world.wish.avoid.contains(&Some(member.region));
            let welcome: Vec<Member> = equals.iter().filter(is_welcome).copied().collect();
            if welcome.is_empty() { equals } else { welcome }
        }
    }
}

/// Smaller is better: up, strained (slow, full, or not yet open to this client), unknown, ejected, down.
fn condition(world: &World, region: RegionIndex) -> u8 {
    let state = world.snapshot.region(region);
    match state.standing {
        Standing::Up if world.full.contains(&region) => 1,
        Standing::Up => {
            let place_in_queue = mix(who(world) ^ state.name_hash.rotate_left(32)) % 100;
            u8::from(place_in_queue >= u64::from(state.share_percent))
        }
        Standing::Strained => 1,
        Standing::Unknown => 2,
        Standing::Ejected => 3,
        Standing::Down => 4,
    }
}

/// Whose luck it is: the client's, or theirs to whom the request belongs.
fn who(world: &World) -> u64 {
    world.wish.spread.unwrap_or(world.client.hash())
}

fn kilometres(world: &World, region: RegionIndex) -> f64 {
    world.client.place.at.distance_km(&world.snapshot.topology.region(region).place.at)
}

fn metres(world: &World, region: RegionIndex) -> u64 {
    (kilometres(world, region) * 1_000.0) as u64
}

/// Within a tenth, or a hundred kilometres, of the level's nearest region in whatever state.
fn is_as_near_as_the_nearest(world: &World, level: u16, region: RegionIndex) -> bool {
    let members = &world.snapshot.topology.route(world.route).members;
    let peers = members.iter().filter(|member| member.level == level);
    let nearest = peers.map(|member| kilometres(world, member.region)).fold(f64::INFINITY, f64::min);
    let km = kilometres(world, region);
    km <= nearest * 1.10 || km <= nearest + 100.0
}

/// What was measured, or a millisecond for each hundred kilometres from here.
fn expected_us(world: &World, region: RegionIndex) -> u128 {
    match world.snapshot.region(region).round_trip {
        Some(time) => time.as_micros(),
        None => {
            let there = &world.snapshot.topology.region(region).place.at;
            std::time::Duration::from_secs_f64(world.snapshot.here.place.at.distance_km(there) / 100_000.0).as_micros()
        }
    }
}

/// The least by `measure`; among equals the one whose lot with this client is smallest.
fn least<T: Ord>(world: &World, among: &[RegionIndex], measure: impl Fn(RegionIndex) -> T) -> RegionIndex {
    let smallest = among.iter().map(|region| measure(*region)).min().expect("somebody is left");
    let ties: Vec<RegionIndex> = among.iter().copied().filter(|region| measure(*region) == smallest).collect();
    *ties.iter().min_by_key(|region| tie(world, **region)).expect("somebody is left")
}

fn tie(world: &World, region: RegionIndex) -> u64 {
    mix(world.client.hash() ^ world.snapshot.region(region).name_hash)
}

/// Everybody with a weight draws a lot that is the larger the more weight it has; the largest wins.
fn luckiest(world: &World, among: &[RegionIndex], weight: impl Fn(RegionIndex) -> u32) -> RegionIndex {
    let heavy: Vec<RegionIndex> = among.iter().copied().filter(|region| weight(*region) > 0).collect();
    if heavy.is_empty() {
        return least(world, among, |_| ());
    }
    let lot = |region: RegionIndex| {
        let bits = mix(who(world) ^ world.snapshot.region(region).name_hash.rotate_left(16)) >> 11;
        ((bits as f64 + 0.5) / 2_f64.powi(53)).ln() / f64::from(weight(region))
    };
    *heavy.iter().max_by(|a, b| lot(**a).total_cmp(&lot(**b))).expect("somebody is left")
}
