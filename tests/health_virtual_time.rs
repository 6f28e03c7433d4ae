//! How long it takes to believe something, exactly: probes, standings and drains in virtual time.

mod common;

use anyfront::health::{Fault, Reason, Standing};
use anyfront::moment::Moment;
use anyfront::snapshot::{Override, Target};
use anyfront::topology::RegionIndex;
use common::real_fleet;
use common::virtual_time::{Behaviour, Node};
use std::time::Duration;

/// Three regions of three providers.
const THREE: &str = r#"
fleet = { name = "three", zone = "z.example" }
site = [{ name = "here", latitude = 51.5, longitude = -0.1 }]
region = [
    { name = "lhr", provider = "a", country = "GB", latitude = 51.5, longitude = -0.1, endpoints = ["https://a.example"] },
    { name = "mad", provider = "b", country = "ES", latitude = 40.4, longitude = -3.7, endpoints = ["https://b.example"] },
    { name = "gvx", provider = "c", country = "SE", latitude = 60.7, longitude = 17.1, endpoints = ["https://c.example"] },
]
hostname = [{ name = "www.z.example", regions = ["*"] }]
"#;
const LONG: Duration = Duration::from_secs(600);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_out(node: &Node, region: &str) -> bool {
    node.region(region).standing >= Standing::Ejected
}

/// The longest and the shortest time that `broken` takes to be `noticed`, from many phases, seeds and round trips.
fn detection(
    round_trips_ms: &[u64],
    regions: &[&str],
    behaviour: Behaviour,
    noticed: impl Fn(&Node) -> bool,
) -> (Duration, Duration) {
    let fleet = real_fleet();
    let (mut shortest, mut longest) = (LONG, Duration::ZERO);
    for (seed, round_trip) in round_trips_ms.iter().enumerate() {
        for phase in (0..1_000).step_by(83) {
            let mut node = Node::warm(seed as u64, &fleet, 3);
            node.set_round_trip(ms(*round_trip));
            node.run_for(seconds(20) + ms(phase));
            node.break_regions(regions, behaviour);
            let took = node.run_until(seconds(30), &noticed).expect("it is noticed within half a minute");
            (shortest, longest) = (shortest.min(took), longest.max(took));
        }
    }
    (shortest, longest)
}

#[test]
fn a_region_that_refuses_is_out_within_1750_ms_from_any_phase_by_probes_alone() {
    let (_, longest) =
        detection(&[1, 10, 50, 100, 150, 200, 249], &["lhr"], Behaviour::Refuses, |node| is_out(node, "lhr"));
    assert!(longest <= ms(1_750), "{longest:?}");
    assert!(longest >= ms(1_000), "{longest:?}: three failures take their time, or the driver is wrong");
}

#[test]
fn a_region_that_falls_silent_is_out_within_three_seconds_from_any_phase_by_probes_alone() {
    let (_, near) = detection(&[1, 10, 30, 80], &["lhr"], Behaviour::Silent, |node| is_out(node, "lhr"));
    assert!(near <= ms(2_600), "{near:?}");
    let (_, far) = detection(&[100, 150, 200, 230], &["lhr"], Behaviour::Silent, |node| is_out(node, "lhr"));
    assert!(far <= ms(3_000), "{far:?}");
}

#[test]
fn a_region_that_answers_with_errors_is_out_as_soon_as_one_that_refuses() {
    let (_, longest) = detection(&[1, 40, 80], &["lhr"], Behaviour::Answers(503), |node| is_out(node, "lhr"));
    assert!(longest <= ms(1_750), "{longest:?}");
}

#[test]
fn a_region_ten_times_slower_is_strained_within_ten_seconds() {
    let is_strained = |node: &Node| node.region("lhr").standing == Standing::Strained;
    let (_, longest) = detection(&[25, 35, 45], &["lhr"], Behaviour::Slow(10.0), is_strained);
    assert!(longest <= seconds(10), "{longest:?}");
}

#[test]
fn losing_three_probes_in_ten_is_found_within_fifteen_seconds() {
    let mut times: Vec<Duration> = Vec::new();
    for seed in 0..400 {
        let mut node = Node::warm(seed, THREE, 5);
        node.break_regions(&["lhr"], Behaviour::Lossy(0.3));
        times.push(node.run_until(seconds(120), |node| is_out(node, "lhr")).expect("it is found"));
    }
    times.sort_unstable();
    // One run in thirty loses nothing in its first ten probes: chance, which no counting can hurry.
    let (median, late) = (times[times.len() / 2], times[times.len() * 97 / 100]);
    assert!(median <= seconds(6) && late <= seconds(15), "median {median:?}, 97 in 100 within {late:?}");
}

#[test]
fn one_lost_probe_in_fifty_changes_nothing() {
    let mut node = Node::warm(3, &real_fleet(), 5);
    node.break_all(Behaviour::Lossy(0.005));
    node.run_for(LONG);
    let out: usize = node.topology().regions.iter().map(|region| node.steering_changes(region.name.as_str())).sum();
    assert_eq!(out, 0, "{:?}", node.changes);
}

#[test]
fn a_region_comes_back_after_three_passes_and_gets_its_share_back_within_a_minute() {
    let fleet = real_fleet();
    for phase in (0..2_000).step_by(190) {
        let mut node = Node::warm(phase, &fleet, 5);
        node.break_regions(&["gru"], Behaviour::Refuses);
        node.run_for(seconds(60) + ms(phase));
        assert_eq!(node.region("gru").standing, Standing::Down);
        node.break_regions(&["gru"], Behaviour::Works);
        let up =
            node.run_until(seconds(30), |node| node.region("gru").standing == Standing::Up).expect("it comes back");
        // One slow interval, two fast ones, and the time of the last probe.
        assert!(ms(500) < up && up <= ms(2_000 + 2 * 250 + 350), "{up:?}");
        assert_eq!((node.region("gru").reason, node.region("gru").share_percent), (Reason::RampingUp, 5));
        node.run_for(seconds(10));
        assert!(node.region("gru").share_percent <= 15);
        let full = node.run_until(LONG, |node| node.region("gru").share_percent == 100).expect("it grows");
        assert!(full <= seconds(51), "{full:?}");
        assert_eq!(node.steering_changes("gru"), 2);
    }
}

#[test]
fn a_region_that_comes_and_goes_moves_traffic_a_few_times_and_then_no_more() {
    // Milliseconds up and down, and how often traffic may move. What works for longer than it was held back for is let in
    // again, so long periods cost a few more moves, each by five percent of the clients at first.
    for (up, down, most) in [
        (2_000, 2_000, 4),
        (1_000, 1_000, 4),
        (4_000, 3_000, 4),
        (500, 5_000, 8),
        (10_000, 2_000, 6),
        (30_000, 5_000, 14),
    ] {
        for seed in 0..4 {
            let mut node = Node::warm(seed, THREE, 5);
            let ends = node.now + LONG;
            while node.now < ends {
                node.break_regions(&["lhr"], Behaviour::Refuses);
                node.run_for(ms(down));
                node.break_regions(&["lhr"], Behaviour::Works);
                node.run_for(ms(up));
            }
            let moves = node.steering_changes("lhr");
            assert!(moves <= most, "up {up} ms, down {down} ms: {moves} changes");
            // And it is back soon after it has become quiet.
            let back = node.run_until(seconds(90), |node| node.region("lhr").standing == Standing::Up);
            assert!(back.is_some(), "up {up} ms, down {down} ms: not back after 90 s of quiet");
        }
    }
}

#[test]
fn a_node_cut_off_from_everything_suspects_itself_and_has_nothing_to_recover_from() {
    for (seed, behaviour) in [Behaviour::Refuses, Behaviour::Silent].into_iter().enumerate() {
        let mut node = Node::warm(seed as u64, &real_fleet(), 10);
        node.break_all(behaviour);
        let suspects = node.run_until(seconds(10), |node| node.snapshot.is_suspect).expect("it suspects itself");
        assert!(suspects <= seconds(3), "{behaviour:?}: {suspects:?}");
        node.run_for(seconds(60));
        assert!(node.snapshot.is_suspect, "{behaviour:?}");
        let standings: Vec<Standing> = node.snapshot.regions.iter().map(|region| region.standing).collect();
        assert!(standings.iter().all(|standing| *standing == Standing::Unknown), "{behaviour:?}: {standings:?}");

        node.break_all(Behaviour::Works);
        node.run_for(seconds(5));
        assert!(!node.snapshot.is_suspect, "{behaviour:?}");
        for region in &node.snapshot.regions {
            assert_eq!(
                (region.standing, region.share_percent),
                (Standing::Up, 100),
                "{behaviour:?}: {}",
                region.reason
            );
        }
    }
}

#[test]
fn what_stays_away_when_our_network_returns_is_down() {
    let mut node = Node::warm(1, &real_fleet(), 10);
    node.break_all(Behaviour::Silent);
    node.run_for(seconds(30));
    node.break_all(Behaviour::Works);
    node.break_regions(&["lhr"], Behaviour::Refuses);
    let down = node.run_until(seconds(20), |node| node.region("lhr").standing == Standing::Down);
    assert!(down.is_some_and(|took| took <= seconds(7)), "{down:?}");
    let others = node.snapshot.regions.iter().filter(|region| region.standing == Standing::Up).count();
    assert_eq!(others, 13);
}

#[test]
fn what_was_down_before_stays_down_when_the_node_suspects_itself() {
    let mut node = Node::warm(1, &real_fleet(), 10);
    node.break_regions(&["gru"], Behaviour::Refuses);
    node.run_for(seconds(30));
    node.break_all(Behaviour::Silent);
    node.run_for(seconds(30));
    assert!(node.snapshot.is_suspect);
    assert_eq!(node.region("gru").standing, Standing::Down);
    assert_eq!(node.region("lhr").standing, Standing::Unknown);
}

#[test]
fn an_outage_is_an_outage_and_no_symptom() {
    let aws = ["orf", "lhr", "cpt", "bom", "sin", "mel", "syd"];
    for dead in [&["lhr", "mad"][..], &["orf", "sfo", "dfw", "yyz"], &["lhr", "mad", "gvx", "dia"], &aws] {
        let mut node = Node::warm(2, &real_fleet(), 10);
        node.break_regions(dead, Behaviour::Refuses);
        node.run_for(seconds(5));
        assert!(!node.snapshot.is_suspect, "{dead:?}");
        assert!(dead.iter().all(|region| node.region(region).standing == Standing::Down), "{dead:?}");
    }
}

fn drain(target: &str, until: Option<Duration>) -> Override {
    Override {
        target: Target::parse(target).expect("a target"),
        is_hard: false,
        reason: "work".into(),
        who: "somebody".into(),
        since: Duration::ZERO,
        until,
    }
}

#[test]
fn a_drain_begins_at_once_and_ends_on_time() {
    let mut node = Node::warm(4, &real_fleet(), 10);
    let until = node.now.since(Moment::ZERO) + seconds(30);
    node.drain(vec![drain("provider:aws", Some(until)), drain("region:gru", None)]);
    assert!(node.region("lhr").drained.is_some() && node.region("gru").drained.is_some());
    assert!(node.region("mad").drained.is_none());
    let ended = node.run_until(LONG, |node| node.region("lhr").drained.is_none()).expect("it ends");
    assert!(seconds(30) <= ended && ended <= seconds(30) + ms(100), "{ended:?}");
    assert!(node.region("gru").drained.is_some());
    assert!(node.changes.is_empty(), "a drain is no matter of health: {:?}", node.changes);
}

#[test]
fn three_refusals_of_live_traffic_eject_at_once() {
    let mut node = Node::warm(5, &real_fleet(), 10);
    for n in 0..3 {
        assert_eq!(node.region("lhr").standing, Standing::Up);
        node.request_failed("lhr/", Fault::Refused, n);
        node.run_for(ms(10));
    }
    assert_eq!(node.region("lhr").reason, Reason::Traffic(Fault::Refused));
    assert!(is_out(&node, "lhr"));
    node.run_for(ms(4_900));
    assert!(is_out(&node, "lhr"), "for five seconds");
    node.run_for(ms(200));
    assert_eq!(node.region("lhr").standing, Standing::Up, "probes pass all the time");
}

#[test]
fn a_stranger_ejects_nobody_with_bad_requests() {
    let mut node = Node::warm(6, &real_fleet(), 10);
    for round in 0..600 {
        for fault in [Fault::Status(500), Fault::Reset, Fault::Cut, Fault::Protocol, Fault::Silent, Fault::Body] {
            node.request_failed("lhr/", fault, 1 + round % 2);
        }
        node.answered("lhr/", 1);
        node.run_for(ms(100));
    }
    assert!(node.changes.is_empty(), "two prefixes moved {:?}", node.changes);
}

#[test]
fn error_rates_eject_at_most_half_of_a_level_and_never_the_last() {
    let mut node = Node::warm(7, &real_fleet(), 10);
    let us = ["orf/", "sfo/", "dfw/"];
    let mut most_out = 0;
    for round in 0..400_u64 {
        for endpoint in us {
            (0..4).for_each(|n| node.request_failed(endpoint, Fault::Status(500), round + n));
        }
        for healthy in ["lhr/", "mad/", "gvx/", "sin/", "syd/"] {
            node.answered(healthy, 200);
        }
        node.run_for(ms(100));
        most_out = most_out.max(["orf", "sfo", "dfw"].iter().filter(|region| is_out(&node, region)).count());
    }
    assert_eq!(most_out, 1, "half of three is one");
}

#[test]
fn a_region_with_a_fifth_of_failures_from_many_clients_is_ejected_within_two_seconds() {
    let mut node = Node::warm(8, &real_fleet(), 10);
    let began = node.now;
    while node.now.since(began) < seconds(10) && !is_out(&node, "lhr") {
        (0..2).for_each(|n| node.request_failed("lhr/", Fault::Status(502), n + node.now.as_nanos()));
        for (endpoint, answers) in [("lhr/", 8), ("mad/", 10), ("gvx/", 10)] {
            node.answered(endpoint, answers);
        }
        node.run_for(ms(100));
    }
    assert!(node.now.since(began) <= seconds(2), "{:?}", node.now.since(began));
    assert_eq!(node.region("lhr").reason, Reason::ErrorRate);
}

#[test]
fn a_region_that_goes_on_failing_is_ejected_again_as_soon_as_it_is_back() {
    let mut node = Node::warm(9, &real_fleet(), 10);
    let mut in_rotation = 0;
    for _ in 0..600 {
        if !is_out(&node, "lhr") {
            in_rotation += 1;
            (0..4).for_each(|n| node.request_failed("lhr/", Fault::Status(500), n));
        }
        ["mad/", "gvx/"].iter().for_each(|endpoint| node.answered(endpoint, 10));
        node.run_for(ms(100));
    }
    // 5, 10, 15, 20 seconds away, and half a second each time until twenty requests have failed again.
    assert!(in_rotation <= 40, "of a minute it had {in_rotation} tenths of seconds of traffic");
}

#[test]
fn a_reload_keeps_what_is_known_and_starts_anew_only_what_changed() {
    let fleet = real_fleet();
    let mut node = Node::warm(9, &fleet, 10);
    node.break_regions(&["lhr", "gru"], Behaviour::Refuses);
    node.run_for(seconds(10));
    let before: Vec<_> = node.snapshot.endpoints.iter().map(|state| (state.id, state.since)).collect();

    node.reload(&fleet.replace("rise = 3", "rise = 3 # as before"));
    let after: Vec<_> = node.snapshot.endpoints.iter().map(|state| (state.id, state.since)).collect();
    assert_eq!(before, after, "nothing changed");
    assert!(is_out(&node, "lhr"));

    let moved = fleet.replace("https://lhr.gateway.truefoundry.ai", "https://new-lhr.gateway.truefoundry.ai");
    node.reload(&moved);
    let lhr = node.topology().region_named("lhr").expect("it exists");
    for (at, (old, new)) in before.iter().zip(&node.snapshot.endpoints).enumerate() {
        let is_new = node.topology().region(lhr).endpoints[0].at() == at;
        assert_eq!(old.0 != new.id, is_new, "endpoint {at}");
    }
    assert_eq!(node.region("lhr").standing, Standing::Unknown);
    assert!(is_out(&node, "gru"), "what is known of the others stays");
    node.break_regions(&["lhr"], Behaviour::Works);
    node.run_for(seconds(1));
    assert_eq!(node.region("lhr").standing, Standing::Up);
    assert_eq!(node.region("lhr").share_percent, 100, "a new endpoint has nothing to recover from");
}

#[test]
fn probes_are_no_flood_whatever_happens() {
    let fleet = real_fleet();
    for behaviour in
        [Behaviour::Works, Behaviour::Refuses, Behaviour::Silent, Behaviour::Slow(8.0), Behaviour::Lossy(0.5)]
    {
        let mut node = Node::warm(10, &fleet, 10);
        node.probes = 0;
        node.break_regions(&["lhr"], behaviour);
        let others = node.topology().regions.len() - 1;
        node.run_for(seconds(100));
        // The others once a second, a tenth more for the jitter; the broken one never above its fast pace.
        let most = others * 112 + 100 * 4 * 112 / 100;
        assert!(node.probes <= most, "{behaviour:?}: {} probes, {most} at most", node.probes);
    }
}

#[test]
fn two_endpoints_of_a_region_have_a_health_each() {
    let fleet = real_fleet().replace(
        "endpoints = [\"https://lhr.gateway.truefoundry.ai\"]",
        "endpoints = [\"https://lhr.gateway.truefoundry.ai\", \"https://lhr-2.gateway.truefoundry.ai\"]",
    );
    let mut node = Node::warm(11, &fleet, 10);
    node.break_endpoint("lhr/lhr.", Behaviour::Refuses);
    node.run_for(seconds(5));
    assert_eq!(node.endpoint("lhr/lhr.").standing, Standing::Down);
    assert_eq!(node.endpoint("lhr/lhr-2").standing, Standing::Up);
    assert_eq!(node.region("lhr").standing, Standing::Up);
    assert_eq!(node.steering_changes("lhr"), 0);
    node.break_endpoint("lhr/lhr-2", Behaviour::Silent);
    node.run_for(seconds(5));
    assert_eq!(node.region("lhr").standing, Standing::Down);
    assert_eq!(node.snapshot.region(RegionIndex(0)).standing, Standing::Up);
}
