//! Addresses that clients of a city have: real networks of its country, as the node's own geography has them.
//!
//! So a simulated client is placed by the very data that places real ones, with its very mistakes: with the database in
//! the box a client in Seattle is in the middle of its country. A city database knows better, and then the networks are
//! those that it has nearest to the city.

use super::Cities;
use crate::geo::map::{GeoMap, NOWHERE, PlaceId};
use std::net::{IpAddr, Ipv4Addr};

/// Networks (/24) that a place must have if clients of a city are to come from it, where there is any such place.
const NETWORKS_MIN: u32 = 64;
/// Where clients of a country are put of which the geography has no network: an address of which nobody knows the place
/// (RFC 2544, never routed), 512 networks.
const UNKNOWN: Run = Run { first: 0x00C6_1200, networks: 512 };

/// Networks next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The upper 24 bits of the first one.
    first: u32,
    /// How many; at least one.
    networks: u32,
}

/// The networks of every city.
#[derive(Debug)]
pub struct Addresses {
    /// The networks of each place that a city is at, most at a stretch first.
    places: Vec<Vec<Run>>,
    of_cities: Vec<Part>,
}

/// A city's part of the networks of a place: every `cities`th, from the `at`th on.
#[derive(Clone, Copy, Debug)]
struct Part {
    place: usize,
    at: u64,
    cities: u64,
}

impl Addresses {
    /// Finds networks for all `cities`. The same map has the same ones.
    #[must_use]
    pub fn find(cities: &Cities, map: &GeoMap) -> Self {
        let weights = map.weights();
        let places: Vec<PlaceId> = cities.all().iter().map(|city| nearest(city, map, &weights)).collect();
        let mut met: Vec<PlaceId> = places.clone();
        met.sort_unstable();
        met.dedup();
        let mut runs = vec![Vec::new(); met.len()];
        for (start, networks, place) in map.ranges_v4().filter(|(.., place)| *place != NOWHERE) {
            if let Ok(at) = met.binary_search(&place) {
                runs[at].push(Run { first: start.to_bits() >> 8, networks });
            }
        }
        for (place, runs) in met.iter().zip(&mut runs) {
            runs.sort_unstable_by_key(|run| (std::cmp::Reverse(run.networks), run.first));
            if *place == NOWHERE {
                *runs = vec![UNKNOWN];
            }
        }
        let mut cities_at = vec![0; met.len()];
        let mut of_cities = Vec::with_capacity(places.len());
        for place in &places {
            let place = met.binary_search(place).expect("every city's place was met");
            of_cities.push(Part { place, at: cities_at[place], cities: 0 });
            cities_at[place] += 1;
        }
        of_cities.iter_mut().for_each(|part| part.cities = cities_at[part.place]);
        Self { places: runs, of_cities }
    }

    /// The address of client `number` of the city at `city`: a /24 of its own, as long as the country has enough.
    ///
    /// # Panics
    /// If there is no such city.
    #[must_use]
    pub fn client(&self, city: usize, number: u64) -> IpAddr {
        let part = self.of_cities[city];
        let runs = &self.places[part.place];
        let networks: u64 = runs.iter().map(|run| u64::from(run.networks)).sum();
        let mut at = number.wrapping_mul(part.cities).wrapping_add(part.at) % networks;
        for run in runs {
            match at.checked_sub(u64::from(run.networks)) {
                Some(beyond) => at = beyond,
                None => return Ipv4Addr::from_bits((run.first + at as u32) << 8).into(),
            }
        }
        unreachable!("it is one of all networks")
    }
}

/// The place of the city's country nearest to it that has networks enough; or the one with the most; or nowhere.
fn nearest(city: &super::City, map: &GeoMap, weights: &[u32]) -> PlaceId {
    let of_country = || {
        let all = map.places().iter().zip(weights).zip(0..);
        all.filter_map(|((place, networks), id)| Some((place.as_ref()?, *networks, id)))
            .filter(|(place, networks, _)| place.country == Some(city.country) && *networks > 0)
    };
    let large = of_country().filter(|(_, networks, _)| *networks >= NETWORKS_MIN);
    let near = large.min_by(|(a, ..), (b, ..)| city.at.distance_km(&a.at).total_cmp(&city.at.distance_km(&b.at)));
    near.or_else(|| of_country().max_by_key(|(_, networks, _)| *networks)).map_or(NOWHERE, |(.., id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::database::Locator;
    use crate::geo::place::{Coordinates, Place};
    use std::collections::BTreeSet;

    #[test]
    fn clients_of_a_city_are_in_networks_of_its_country_each_in_one_of_its_own() {
        let locator = Locator::open(Vec::new(), None).expect("the database in the box");
        let cities = Cities::of_the_world();
        let addresses = Addresses::find(&cities, &GeoMap::compile(&locator));
        let mut met = BTreeSet::new();
        for (at, city) in cities.all().iter().enumerate() {
            for number in 0..4 {
                let client = addresses.client(at, number);
                let country = locator.locate(client).and_then(|found| found.place.country);
                // Kosovo's networks are registered elsewhere.
                let known = (city.country.as_str() != "XK").then_some(city.country);
                assert_eq!(country, known, "{client} of {}", city.name);
                assert!(met.insert(client), "{client} of {} is somebody else's too", city.name);
            }
            assert_ne!(addresses.client(at, u64::MAX), addresses.client(at, 0), "{}", city.name);
        }
    }

    #[test]
    fn who_knows_cities_has_their_clients_there() {
        let place = |name: &str, latitude, longitude, country: &str| Place {
            at: Coordinates::new(latitude, longitude).expect("on earth"),
            country: crate::geo::place::Country::parse(country),
            city: Some(name.into()),
        };
        let overrides = vec![
            ("198.51.0.0/16".parse().expect("a network"), place("Seattle", 47.6, -122.3, "US")),
            ("203.0.113.0/24".parse().expect("a network"), place("Tacoma, too small", 47.5, -122.3, "US")),
        ];
        let locator = Locator::open(overrides, None).expect("the database in the box");
        let cities = Cities::of_the_world();
        let addresses = Addresses::find(&cities, &GeoMap::compile(&locator));
        let believed = |name: &str| {
            let client = addresses.client(cities.named(name).expect("a city"), 3);
            locator.locate(client).expect("a place").place.city
        };
        assert_eq!(believed("Seattle").as_deref(), Some("Seattle"));
        assert_eq!(believed("Miami"), None);
    }
}
