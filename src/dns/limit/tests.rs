//! The limits as attackers and honest resolvers meet them.

use super::*;
use crate::moment::Dice;
use proptest::prelude::*;

const RATE: u32 = 200;
/// `www.example.` A IN.
const NAME: &[u8] = b"\x03www\x07example\x00\x00\x01\x00\x01";

fn limiter(rate: u32) -> Limiter {
    let mut limiter = Limiter::new(*b"sixteen octets!!");
    limiter.limit(rate);
    limiter
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(milliseconds: u64) -> Moment {
    Moment::at(Duration::from_millis(milliseconds))
}

/// How many of `count` answers at once pass, slip and are dropped.
fn counted(limiter: &mut Limiter, source: &str, kind: Kind, name: &[u8], now: Moment, count: u32) -> [u32; 3] {
    let mut verdicts = [0; 3];
    for _ in 0..count {
        verdicts[limiter.check(address(source), kind, name, now) as usize] += 1;
    }
    verdicts
}

#[test]
fn a_second_of_answers_passes_at_once_and_then_every_second_one_slips() {
    let mut limiter = limiter(RATE);
    let now = at(5_000);
    assert_eq!(counted(&mut limiter, "192.0.2.1", Kind::Positive, NAME, now, RATE), [RATE, 0, 0]);
    assert_eq!(limiter.check(address("192.0.2.99"), Kind::Positive, NAME, now), Verdict::Slip, "the same /24");
    assert_eq!(limiter.check(address("192.0.2.1"), Kind::Positive, NAME, now), Verdict::Drop);
    assert_eq!(counted(&mut limiter, "192.0.2.1", Kind::Positive, NAME, now, 1_000), [0, 500, 500]);
    // What was refused is not counted: a tenth of a second later a tenth of the answers pass.
    assert_eq!(counted(&mut limiter, "192.0.2.1", Kind::Positive, NAME, at(5_100), 100)[0], RATE / 10);
    assert_eq!(counted(&mut limiter, "192.0.2.1", Kind::Positive, NAME, at(60_000), 300)[0], RATE);
}

#[test]
fn sources_kinds_and_names_do_not_pay_for_each_other() {
    let mut limiter = limiter(RATE);
    let flood = |limiter: &mut Limiter, kind, name: &[u8]| counted(limiter, "192.0.2.1", kind, name, at(0), 1_000)[0];
    assert_eq!(flood(&mut limiter, Kind::Positive, NAME), RATE);
    assert_eq!(flood(&mut limiter, Kind::Positive, &NAME.to_ascii_uppercase()), 0, "capital letters are no way around");
    assert_eq!(flood(&mut limiter, Kind::Negative, NAME), RATE);
    assert_eq!(flood(&mut limiter, Kind::Negative, b"\x01x\x00"), 0, "random names are no way around");
    assert_eq!(flood(&mut limiter, Kind::Refused, NAME), RATE);
    assert_eq!(flood(&mut limiter, Kind::Refused, b"\x01x\x00"), 0);
    let names = (0..1_000_u16).map(|name| flood(&mut limiter, Kind::Positive, &name.to_be_bytes())).sum::<u32>();
    assert_eq!(names, 7 * RATE, "names are told apart, but not without end");
    for other in ["192.0.3.1", "::ffff:192.0.1.1", "2001:db8::1", "2001:db8:0:100::1"] {
        assert_eq!(counted(&mut limiter, other, Kind::Positive, NAME, at(0), 1), [1, 0, 0], "{other}");
    }
    assert_eq!(counted(&mut limiter, "::ffff:192.0.2.1", Kind::Positive, NAME, at(0), 1)[0], 0, "the same address");
    assert_eq!(counted(&mut limiter, "2001:db8::1", Kind::Refused, NAME, at(0), RATE)[0], RATE);
    assert_eq!(counted(&mut limiter, "2001:db8:0:ff::9", Kind::Refused, NAME, at(0), 1)[0], 0, "the same /56");
}

#[test]
fn no_limit_lets_everything_pass_and_a_new_one_holds_at_once() {
    let mut limiter = limiter(0);
    assert_eq!(counted(&mut limiter, "192.0.2.1", Kind::Positive, NAME, at(0), 10_000)[0], 10_000);
    limiter.limit(1);
    assert_eq!(counted(&mut limiter, "192.0.2.1", Kind::Positive, NAME, at(0), 100), [1, 50, 49]);
    limiter.limit(100_000);
    assert_eq!(counted(&mut limiter, "192.0.2.9", Kind::Refused, NAME, at(1_000), 200_000)[0], 100_000);
}

#[test]
fn a_full_table_forgets_those_who_ask_little_and_refuses_nobody_who_is_new() {
    let mut limiter = limiter(RATE);
    let victim = "198.51.100.7";
    assert_eq!(counted(&mut limiter, victim, Kind::Positive, NAME, at(0), 1_000)[0], RATE);
    // Ten times as many sources as there are buckets ask once each.
    let mut dice = Dice::seeded(1);
    for _ in 0..10 * DNS_LIMIT_BUCKETS {
        let source = IpAddr::V4(((dice.roll() as u32 | 1) & !(1 << 31)).into());
        assert_eq!(limiter.check(source, Kind::Positive, NAME, at(0)), Verdict::Pass, "{source}");
    }
    assert_eq!(counted(&mut limiter, victim, Kind::Positive, NAME, at(0), 100)[0], 0, "the flood is remembered");
}

#[test]
fn floods_in_more_names_than_there_is_room_for_yield_no_more_and_drop_no_newcomer() {
    let (few, asked) = (20, 50);
    let mut limiter = limiter(few);
    let sources = 2 * DNS_LIMIT_BUCKETS as u32;
    let mut passed = 0;
    for _ in 0..asked {
        for source in 0..sources {
            let verdict = limiter.check(IpAddr::V4((source << 8).into()), Kind::Refused, NAME, at(0));
            passed += u64::from(verdict == Verdict::Pass);
        }
    }
    assert!(passed <= u64::from(few) * DNS_LIMIT_BUCKETS as u64, "{passed}");
    let newcomer = |at| IpAddr::V6((u128::from(at) << 72).into());
    let mut verdicts = (0..1_000_u32).map(|source| limiter.check(newcomer(source), Kind::Refused, NAME, at(0)));
    assert!(verdicts.all(|verdict| verdict != Verdict::Drop));
    // Once the floods have ended, nobody pays for them.
    let mut verdicts = (0..1_000_u32).map(|source| limiter.check(newcomer(source), Kind::Refused, NAME, at(600)));
    assert!(verdicts.all(|verdict| verdict == Verdict::Pass));
}

#[test]
fn the_table_has_one_size_and_buckets_of_a_set_cannot_be_aimed_at() {
    assert!(DNS_LIMIT_BUCKETS.is_power_of_two());
    assert_eq!(size_of::<Bucket>() * DNS_LIMIT_BUCKETS, 192 << 10, "octets");
    // What meets in one limiter does not meet in another.
    let set = |limiter: &Limiter, source: u32| {
        limiter.tag(IpAddr::V4((source << 8).into()), Kind::Negative, NAME) as usize & (limiter.buckets.len() - 1)
    };
    let (one, other) = (Limiter::new([1; 16]), Limiter::new([2; 16]));
    let aimed: Vec<u32> = (0..1 << 18).filter(|source| set(&one, *source) == 0).collect();
    assert!(aimed.len() > 50);
    let met = aimed.iter().filter(|source| set(&other, **source) == 0).count();
    assert!(met < 5, "{met} of {}", aimed.len());
}

proptest! {
    /// A question takes 40 octets and more, an answer up to 1 232, one that slips no more than its question.
    #[test]
    fn a_flood_in_a_victims_name_yields_less_than_twice_its_octets(
        rate in 1_u32..40,
        times in 20_u32..100,
        names in 1_u8..20,
        seconds in 2_u64..6,
        seed in any::<u64>(),
    ) {
        const QUESTION: u64 = 40;
        const ANSWER: u64 = 1_232;
        let mut limiter = limiter(rate);
        let mut dice = Dice::seeded(seed);
        let buckets = u64::from(names).min(1 << NAME_BITS) + 2;
        let (mut octets_in, mut octets_out) = (0, 0);
        // Each bucket is flooded with some times its limit, one after another.
        let questions = buckets * u64::from(rate) * u64::from(times) * seconds;
        prop_assume!(questions < 20_000);
        for question in 0..questions {
            let now = Moment::from_nanos(question * seconds * 1_000_000_000 / questions);
            let (kind, name) = match question % buckets {
                0 => (Kind::Refused, 0),
                1 => (Kind::Negative, dice.roll() as u8),
                _ => (Kind::Positive, (dice.roll() % u64::from(names)) as u8),
            };
            let source = IpAddr::V4((0xC000_0200 | dice.roll() as u32 & 0xFF).into());
            octets_in += QUESTION;
            octets_out += match limiter.check(source, kind, &[1, name, 0], now) {
                Verdict::Pass => ANSWER,
                Verdict::Slip => QUESTION,
                Verdict::Drop => 0,
            };
        }
        let granted = ANSWER * buckets * u64::from(rate) * (seconds + 1);
        prop_assert!(octets_out <= granted + octets_in / 2 + QUESTION * buckets);
        if times >= 32 {
            prop_assert!(octets_out <= 2 * octets_in, "{octets_out} of {octets_in}");
        }
    }

    /// However questions come, none who asks no more than it may is ever refused.
    #[test]
    fn who_keeps_to_the_limit_is_always_answered(
        rate in 1_u32..1_000,
        floods in prop::collection::vec((any::<u32>(), 0_u64..2_000), 0..500),
    ) {
        let mut limiter = limiter(rate);
        let honest = address("2001:db8:1::53");
        let mut next = 0;
        let mut floods = floods;
        floods.sort_unstable_by_key(|(_, milliseconds)| *milliseconds);
        for (source, milliseconds) in floods {
            let now = at(milliseconds);
            while next <= now.as_nanos() {
                prop_assert_eq!(limiter.check(honest, Kind::Positive, NAME, Moment::from_nanos(next)), Verdict::Pass);
                next += interval(rate);
            }
            limiter.check(IpAddr::V4(source.into()), Kind::Negative, NAME, now);
        }
    }

    #[test]
    fn signatures_stay_within_their_budget(
        per_second in 1_u32..5_000,
        takes in prop::collection::vec(0_u64..3_000_000_000, 1..2_000),
    ) {
        let mut budget = SigningBudget::new(per_second);
        let mut takes = takes;
        takes.sort_unstable();
        let taken = takes.iter().filter(|nanos| budget.take(Moment::from_nanos(**nanos))).count();
        prop_assert!(taken as f64 <= f64::from(per_second) * 3.1 + 1.0, "{taken}");
    }
}

#[test]
fn the_signing_budget_fills_again() {
    let mut budget = SigningBudget::new(100);
    let burst = (0..100).filter(|_| budget.take(at(1_000))).count();
    assert_eq!(burst, 10, "a tenth of a second's worth");
    assert!(!budget.take(at(1_009)));
    assert!(budget.take(at(1_010)));
    let steady = (0..100).filter(|step| budget.take(at(2_000 + step * 10))).count();
    assert_eq!(steady, 100);
    let mut whole = SigningBudget::default();
    let burst = (0..10_000).filter(|_| whole.take(at(0))).count();
    assert_eq!(burst, DNS_SIGNATURES_PER_SECOND as usize / 10);
}
