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
const UNKNOWN: (u32, u32) = (0x00C6_1200, 512);

/// The networks of every city.
#[derive(Debug)]
pub struct Addresses {
    /// The networks of each place that a city is at.
    places: Vec<Networks>,
    of_cities: Vec<Part>,
}

/// The networks of a place, most at a stretch first.
#[derive(Debug, Default)]
struct Networks {
    /// The upper 24 bits of the first network of each stretch.
    starts: Vec<u32>,
    /// How many networks there are up to its end.
    up_to: Vec<u64>,
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
        let mut stretches = vec![Vec::new(); met.len()];
        for (start, networks, place) in map.ranges_v4().filter(|(.., place)| *place != NOWHERE) {
            if let Ok(at) = met.binary_search(&place) {
                stretches[at].push((start.to_bits() >> 8, networks));
            }
        }
        if met.first() == Some(&NOWHERE) {
            stretches[0].push(UNKNOWN);
        }
        let mut cities_at = vec![0; met.len()];
        let mut of_cities = Vec::with_capacity(places.len());
        for place in &places {
            let place = met.binary_search(place).expect("every city's place was met");
            of_cities.push(Part { place, at: cities_at[place], cities: 0 });
            cities_at[place] += 1;
        }
        of_cities.iter_mut().for_each(|part| part.cities = cities_at[part.place]);
        Self { places: stretches.into_iter().map(Networks::of).collect(), of_cities }
    }

    /// The address of client `number` of the city at `city`: a /24 of its own, as long as the country has enough.
    ///
    /// # Panics
    /// If there is no such city.
    #[must_use]
    pub fn client(&self, city: usize, number: u64) -> IpAddr {
        let part = self.of_cities[city];
        let networks = &self.places[part.place];
        networks.nth(number.wrapping_mul(part.cities).wrapping_add(part.at))
    }
}

impl Networks {
    /// Of stretches: the first network of each, and how many it has.
    fn of(mut stretches: Vec<(u32, u32)>) -> Self {
        stretches.sort_unstable_by_key(|(start, networks)| (std::cmp::Reverse(*networks), *start));
        let mut all = Self::default();
        let mut up_to = 0;
        for (start, networks) in stretches {
            up_to += u64::from(networks);
            all.starts.push(start);
            all.up_to.push(up_to);
        }
        all
    }

    /// The first address of the network at `at`; after the last one they begin again.
    fn nth(&self, at: u64) -> IpAddr {
        let all = self.up_to.last().expect("a place has a network");
        let at = at % all;
        let stretch = self.up_to.partition_point(|up_to| *up_to <= at);
        let before = stretch.checked_sub(1).map_or(0, |before| self.up_to[before]);
        // There are 2^24 networks, so this fits.
        Ipv4Addr::from_bits((self.starts[stretch] + (at - before) as u32) << 8).into()
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
