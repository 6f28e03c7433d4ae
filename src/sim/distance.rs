//! How far everything is: round trips between places as networks have them, and the last mile of a client.
//!
//! Light in fibre does about 200 000 km a second, and cables do not follow great circles: the path is twice the distance
//! among neighbours, where it goes by way of the next exchange, and less than half more across oceans. The numbers are
//! fitted to what clouds have between their regions (<https://cloudping.co/>) and hosts between cities
//! (<https://wondernetwork.com/pings>); a test holds the model to such pairs. What no function of the distance can know is
//! where cables do not go: from southern Africa to Asia and from Asia to Europe the truth may be half as much again.
//!
//! The same on every machine: sums, products and roots of doubles are (IEEE 754), sines of the platform are not, so there
//! are some of its own here. Results are whole microseconds.

use crate::geo::place::Coordinates;
use crate::moment::mix;
use std::f64::consts::{FRAC_PI_2, PI};
use std::time::Duration;

/// What light does in fibre, there and back: kilometres of distance in a microsecond.
const ROUND_TRIP_KM_PER_US: f64 = 0.1;
/// Mean radius of the earth (IUGG), kilometres.
const EARTH_RADIUS_KM: f64 = 6_371.009;
/// Up to this distance a path is [`NEAR_DETOUR`] times as long, kilometres.
const NEAR_KM: f64 = 500.0;
/// How much longer than the great circle the path between neighbours is.
const NEAR_DETOUR: f64 = 2.0;
/// From this distance on a path is [`FAR_DETOUR`] times as long; in between the factor falls evenly. Kilometres.
const FAR_KM: f64 = 6_000.0;
/// How much longer than the great circle the path across oceans is.
const FAR_DETOUR: f64 = 1.45;
/// What even the house next door takes: some switches and two kernels.
const NEXT_DOOR_US: f64 = 500.0;
/// The last mile of the luckiest client: fibre to the house, or an office beside an exchange.
const LAST_MILE_MIN_US: u64 = 2_000;
/// What the unluckiest has more: radio, or copper with interleaving. Most are nearer to the luckiest; 6 ms on average.
const LAST_MILE_SPREAD_US: u64 = 12_000;

/// The round trip between two places: the same both ways, longer where they are further apart, 0.5 to 291 ms.
#[must_use]
pub fn round_trip(one: &Coordinates, other: &Coordinates) -> Duration {
    round_trip_over(distance_km(one, other))
}

/// What the access of a client adds to each of its round trips, by a hash of who it is: 2 to 14 ms, the same at all times.
#[must_use]
pub fn last_mile(client: u64) -> Duration {
    let luck = mix(client ^ 0x006C_6173_745F_6D69) >> 48;
    Duration::from_micros(LAST_MILE_MIN_US + ((LAST_MILE_SPREAD_US * luck * luck) >> 32))
}

fn round_trip_over(distance_km: f64) -> Duration {
    let falls = ((distance_km - NEAR_KM) / (FAR_KM - NEAR_KM)).clamp(0.0, 1.0);
    let path_km = distance_km * (NEAR_DETOUR - (NEAR_DETOUR - FAR_DETOUR) * falls);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 300 000")]
    Duration::from_micros((NEXT_DOOR_US + path_km / ROUND_TRIP_KM_PER_US).round() as u64)
}

/// As [`Coordinates::distance_km`], but the same to the last bit everywhere.
fn distance_km(one: &Coordinates, other: &Coordinates) -> f64 {
    let radians = |degrees: f64| degrees * PI / 180.0;
    let half = |a: f64, b: f64| {
        let sine = sine(radians(a - b) / 2.0);
        sine * sine
    };
    // The half-versed sine, which keeps its precision for near points.
    let (north, also_north) = (radians(one.latitude()), radians(other.latitude()));
    let across = half(one.latitude(), other.latitude())
        + sine(FRAC_PI_2 - north) * sine(FRAC_PI_2 - also_north) * half(one.longitude(), other.longitude());
    2.0 * EARTH_RADIUS_KM * arc_of_sine(across.min(1.0).sqrt())
}

/// The sine of an angle of at most π on either side, by its series.
fn sine(angle: f64) -> f64 {
    // Beyond a quarter turn it comes back: the series is short where the angle is small.
    let angle = if angle > FRAC_PI_2 {
        PI - angle
    } else if angle < -FRAC_PI_2 {
        -PI - angle
    } else {
        angle
    };
    let (mut sum, mut term) = (angle, angle);
    for n in 1..12 {
        term *= -angle * angle / f64::from(2 * n * (2 * n + 1));
        sum += term;
    }
    sum
}

/// The angle in a quarter turn that has this sine, 0 to 1, by its series.
fn arc_of_sine(sine: f64) -> f64 {
    if sine > 0.5 {
        return FRAC_PI_2 - 2.0 * arc_of_sine(((1.0 - sine) / 2.0).sqrt());
    }
    let (mut sum, mut power) = (sine, sine);
    for n in 1..26 {
        power *= sine * sine * f64::from(2 * n - 1) / f64::from(2 * n);
        sum += power / f64::from(2 * n + 1);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::cities::Cities;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::new(latitude, longitude).expect("on earth")
    }

    /// Pairs of places as they are published, milliseconds from and to. Virginia is where the clouds are, Ashburn.
    #[rustfmt::skip]
    const MEASURED: [(&str, &str, f64, f64); 18] = [
        ("London", "Virginia", 75.0, 80.0),
        ("London", "Sydney", 250.0, 280.0),
        ("Frankfurt", "Singapore", 155.0, 165.0),
        ("São Paulo", "Virginia", 115.0, 120.0),
        ("Mumbai", "London", 110.0, 130.0),
        ("Cape Town", "London", 140.0, 155.0),
        ("Sydney", "Los Angeles", 140.0, 150.0),
        ("Tokyo", "Virginia", 145.0, 160.0),
        ("Cape Town", "Mumbai", 150.0, 155.0),
        ("Hong Kong", "Tokyo", 48.0, 55.0),
        ("Hong Kong", "Sydney", 122.0, 130.0),
        ("San Francisco", "Virginia", 60.0, 68.0),
        ("Dallas", "Virginia", 30.0, 37.0),
        ("Toronto", "Virginia", 14.0, 20.0),
        ("London", "Frankfurt", 12.0, 16.0),
        ("London", "Paris", 7.0, 10.0),
        ("Stockholm", "Frankfurt", 20.0, 25.0),
        ("Singapore", "Mumbai", 55.0, 65.0),
    ];

    #[test]
    fn round_trips_are_what_networks_have() {
        let cities = Cities::of_the_world();
        let place = |name: &str| match name {
            "Virginia" => at(39.04, -77.49),
            name => cities.all()[cities.named(name).unwrap_or_else(|| panic!("{name}"))].at,
        };
        for (one, other, from, to) in MEASURED {
            let modelled = round_trip(&place(one), &place(other)).as_secs_f64() * 1_000.0;
            assert!(
                (from * 0.75..=to * 1.25).contains(&modelled),
                "{one} to {other}: {modelled} ms, not {from} to {to}"
            );
        }
    }

    #[test]
    fn whoever_is_further_away_takes_longer_both_ways_alike() {
        let mut before = Duration::ZERO;
        for km in (0..=20_015).step_by(5) {
            let now = round_trip_over(f64::from(km));
            assert!(now > before && now >= Duration::from_micros(500), "{km} km: {now:?}");
            before = now;
        }
        assert!(before < Duration::from_millis(291), "{before:?}");
        let cities = Cities::of_the_world();
        for (one, other) in cities.all().iter().zip(cities.all().iter().skip(37)) {
            assert_eq!(round_trip(&one.at, &other.at), round_trip(&other.at, &one.at));
        }
    }

    #[test]
    fn distances_are_those_of_the_atlas() {
        let cities = Cities::of_the_world();
        for one in cities.all().iter().step_by(3) {
            for other in cities.all() {
                let (own, atlas) = (distance_km(&one.at, &other.at), one.at.distance_km(&other.at));
                assert!((own - atlas).abs() < 1e-6, "{} to {}: {own}, not {atlas}", one.name, other.name);
            }
        }
        for (one, other, km) in [
            (at(0.0, 0.0), at(0.0, 180.0), 20_015.1),
            (at(90.0, 0.0), at(-90.0, 77.0), 20_015.1),
            (at(0.0, -179.9), at(0.0, 179.9), 22.24),
            (at(51.5, 0.0), at(51.5, 0.0), 0.0),
        ] {
            assert!((distance_km(&one, &other) - km).abs() < 0.1, "{}", distance_km(&one, &other));
        }
    }

    #[test]
    fn the_numbers_are_the_same_on_every_machine() {
        let points = (-90..=90).step_by(15).flat_map(|north| (-180..=180).step_by(17).map(move |east| (north, east)));
        let all: Vec<Coordinates> = points.map(|(north, east)| at(f64::from(north), f64::from(east))).collect();
        let mut sum = 0_u64;
        for one in &all {
            for other in &all {
                sum = mix(sum ^ distance_km(one, other).to_bits());
            }
        }
        assert_eq!(sum, 13_804_348_710_809_082_817, "something rounds differently here");
    }

    #[test]
    fn last_miles_differ_and_are_mostly_short() {
        let all: Vec<u64> = (0..10_000).map(|client| last_mile(client).as_micros() as u64).collect();
        assert!(all.iter().all(|us| (2_000..14_000).contains(us)));
        let mean = all.iter().sum::<u64>() / 10_000;
        assert!((5_800..6_200).contains(&mean), "{mean}");
        assert_eq!(last_mile(7), last_mile(7));
        assert_ne!(last_mile(7), last_mile(8));
    }
}
