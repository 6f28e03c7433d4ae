//! What is due when, in tables and over many dice.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
/// A day in 2026.
const NOW: Duration = Duration::from_secs(1_795_000_000);
const QUARTER: Life = Life { not_before: NOW, not_after: Duration::from_secs(NOW.as_secs() + 90 * 86_400) };

fn schedule(life: Option<Life>, seed: u64) -> Schedule {
    Schedule::new(life, Past::default(), Pace::DEFAULT, Dice::seeded(seed))
}

/// One whose directory knows of no windows.
fn unsuggested(life: Life, seed: u64) -> Schedule {
    let mut schedule = schedule(Some(life), seed);
    schedule.suggested(None, ASK_AGAIN_MAX, life.not_before);
    schedule
}

#[test]
fn what_is_missing_is_ordered_at_once() {
    assert_eq!(schedule(None, 1).due(NOW), Step::Order);
}

#[test]
fn without_a_window_it_is_shortly_before_two_thirds_of_the_life_and_never_at_the_same_time_everywhere() {
    let times: Vec<Duration> = (0..200).map(|seed| unsuggested(QUARTER, seed).renew_at() - NOW).collect();
    assert!(times.iter().all(|time| (55 * DAY..=60 * DAY).contains(time)), "{times:?}");
    let (first, last) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    assert!(*last - *first > 4 * DAY, "between {first:?} and {last:?}");
    let schedule = unsuggested(QUARTER, 7);
    assert_eq!(schedule.due(schedule.renew_at()), Step::Order);
}

#[test]
fn a_window_is_asked_for_at_once_and_again_when_the_directory_says_so_within_bounds() {
    let mut schedule = schedule(Some(QUARTER), 1);
    assert_eq!(schedule.due(NOW), Step::Ask);
    for (said, obeyed) in [(Duration::ZERO, ASK_AGAIN_MIN), (HOUR, HOUR), (90 * DAY, ASK_AGAIN_MAX)] {
        schedule.suggested(None, said, NOW);
        assert_eq!(schedule.due(NOW), Step::Wait(obeyed), "{said:?}");
        assert_eq!(schedule.due(NOW + obeyed), Step::Ask, "{said:?}");
    }
}

#[test]
fn the_time_is_chosen_in_the_window_and_stays_while_the_window_does() {
    let window = Window { start: NOW + 40 * DAY, end: NOW + 42 * DAY };
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut schedule = schedule(Some(QUARTER), seed);
        schedule.suggested(Some(window), HOUR, NOW);
        let chosen = schedule.renew_at();
        assert!((window.start..=window.end).contains(&chosen));
        schedule.suggested(Some(window), HOUR, NOW + HOUR);
        assert_eq!(schedule.renew_at(), chosen, "asked twice");
        times.push(chosen);
    }
    let (first, last) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    assert!(*last - *first > DAY, "between {first:?} and {last:?}");
}

#[test]
fn a_window_in_the_past_means_now() {
    let wall = NOW + 10 * DAY;
    let mut schedule = schedule(Some(QUARTER), 1);
    schedule.suggested(Some(Window { start: NOW + DAY, end: NOW + 2 * DAY }), HOUR, wall);
    assert_eq!(schedule.due(wall), Step::Order);
}

#[test]
fn a_directory_that_always_says_now_is_not_obeyed_without_end() {
    let mut schedule = schedule(None, 1);
    let mut wall = NOW;
    let mut orders = 0;
    while wall < NOW + DAY {
        match schedule.due(wall) {
            Step::Order => {
                orders += 1;
                schedule.begin(wall);
                schedule.obtained(Life { not_before: wall, not_after: wall + 90 * DAY }, wall);
            }
            Step::Ask => schedule.suggested(Some(Window { start: NOW - DAY, end: wall - HOUR }), DAY, wall),
            Step::Wait(time) => wall += time,
        }
    }
    assert!(orders <= 25, "{orders} orders in a day");
}

#[test]
fn a_window_after_the_end_leaves_room_for_failures() {
    let mut schedule = schedule(Some(QUARTER), 1);
    schedule.suggested(Some(Window { start: NOW + 95 * DAY, end: NOW + 99 * DAY }), HOUR, NOW);
    assert_eq!(schedule.renew_at(), NOW + 81 * DAY);
}

#[test]
fn failures_are_waited_out_ever_longer_with_chance_and_within_bounds() {
    let Pace { first, max, .. } = Pace::DEFAULT;
    let mut waits = Vec::new();
    for seed in 0..200 {
        let mut schedule = schedule(None, seed);
        let mut wall = NOW;
        for failure in 0..40 {
            assert_eq!(schedule.due(wall), Step::Order);
            schedule.begin(wall);
            let wait = schedule.failed(false, None, wall);
            let longest = first.saturating_mul(1 << failure.min(16)).min(max);
            assert!((longest / 10..=longest).contains(&wait), "{wait:?} after failure {failure}");
            assert_eq!(schedule.due(wall), Step::Wait(wait));
            wall += wait;
            waits.push(wait);
        }
    }
    assert!(waits.iter().max() > Some(&(max * 9 / 10)));
}

#[test]
fn within_an_hour_no_more_attempts_fail_than_a_careful_authority_forgives() {
    let attempts = |seed| {
        let mut schedule = schedule(None, seed);
        let (mut wall, mut attempts) = (NOW, 0);
        while wall < NOW + HOUR {
            schedule.begin(wall);
            attempts += 1;
            wall += schedule.failed(false, None, wall);
        }
        attempts
    };
    let all: Vec<u32> = (0..1_000).map(attempts).collect();
    let mean = f64::from(all.iter().sum::<u32>()) / 1_000.0;
    assert!(mean < 6.0, "{mean} on average");
    assert!(all.iter().all(|attempts| *attempts <= 9), "{:?}", all.iter().max());
}

#[test]
fn what_cost_nothing_at_the_directory_is_tried_again_within_seconds_and_not_without_end() {
    for seed in 0..200 {
        let mut schedule = schedule(None, seed);
        let (mut wall, mut attempts) = (NOW, 0);
        while wall < NOW + HOUR {
            schedule.begin(wall);
            attempts += 1;
            let wait = schedule.failed(true, None, wall);
            assert!(attempts > 1 || wait <= Pace::DEFAULT.free, "{wait:?} after the first");
            wall += wait;
        }
        // Far below the 300 orders in three hours that public authorities allow.
        assert!((7..=16).contains(&attempts), "{attempts} attempts in an hour");
        // And one that counts is waited out as long as after so many others.
        schedule.begin(wall);
        assert!(schedule.failed(false, None, wall) >= Pace::DEFAULT.max / 10);
    }
}

#[test]
fn what_the_directory_asks_for_is_obeyed_up_to_a_day() {
    for (said, obeyed) in [(6 * HOUR, 6 * HOUR), (30 * DAY, DAY)] {
        let mut schedule = schedule(None, 1);
        schedule.begin(NOW);
        assert_eq!(schedule.failed(false, Some(said), NOW), obeyed);
        assert_eq!(schedule.due(NOW + obeyed - HOUR / 60), Step::Wait(HOUR / 60));
        assert_eq!(schedule.due(NOW + obeyed), Step::Order);
    }
}

#[test]
fn an_attempt_that_never_ended_counts_as_failed_after_a_restart() {
    let past = schedule(None, 1).begin(NOW);
    assert_eq!(past.failures, 1);
    let again = Schedule::new(None, past, Pace::DEFAULT, Dice::seeded(2));
    assert_eq!(again.due(NOW), Step::Wait(past.retry_at - NOW));
    assert_eq!(again.due(past.retry_at), Step::Order);
}

#[test]
fn a_clock_that_was_set_back_does_not_stop_it() {
    let past = Past { failures: 1, retry_at: NOW + 5_000 * DAY };
    assert_eq!(Schedule::new(None, past, Pace::DEFAULT, Dice::seeded(1)).due(NOW), Step::Wait(DAY));
    let mut schedule = schedule(Some(QUARTER), 1);
    schedule.suggested(None, DAY, NOW + 30 * DAY);
    assert_eq!(schedule.due(NOW), Step::Ask);
}

#[test]
fn success_forgets_the_failures() {
    let mut schedule = schedule(None, 1);
    for _ in 0..5 {
        schedule.begin(NOW);
        schedule.failed(false, None, NOW);
    }
    schedule.begin(NOW);
    schedule.obtained(QUARTER, NOW);
    assert_eq!(schedule.past(), Past::default());
    assert_eq!(schedule.due(NOW), Step::Ask, "the window of the new one");
    schedule.suggested(None, DAY, NOW);
    assert_eq!(schedule.due(NOW), Step::Wait(DAY));
}

#[test]
fn a_certificate_that_is_old_when_it_comes_is_not_replaced_at_once() {
    let mut schedule = schedule(None, 1);
    schedule.obtained(Life { not_before: NOW - 89 * DAY, not_after: NOW + DAY }, NOW);
    assert_eq!(schedule.renew_at(), NOW + DAY / 3);
}

#[test]
fn an_end_that_comes_nearer_is_told_once_a_step_and_only_if_something_failed() {
    let mut schedule = unsuggested(QUARTER, 1);
    assert_eq!(schedule.alarm(NOW + 61 * DAY), None, "nothing has failed");
    schedule.begin(NOW + 58 * DAY);
    let told: Vec<(u64, Alarm)> =
        (0..=92).filter_map(|day| Some((day, schedule.alarm(NOW + Duration::from_secs(day * 86_400))?))).collect();
    let days = [(60, 30), (76, 14), (83, 7), (87, 3)].map(|(day, left)| (day, Alarm::Days(left)));
    assert_eq!(told, [&days[..], &[(90, Alarm::Over)]].concat());
}
