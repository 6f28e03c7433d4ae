//! From a locator to ranges: from network to network through the database, then the overrides on top.

use super::ranges::{Builder, Key, Ranges};
use super::{CARRIED, GeoMap, NOWHERE, PlaceId, SIX_TO_FOUR};
use crate::geo::database::{Database, Locator};
use crate::geo::overrides::Overrides;
use crate::geo::place::{Country, Place};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Teredo (RFC 4380), as the upper half of an IPv6 address, /32.
const TEREDO: u64 = 0x2001 << 48;
/// The well-known prefix of NAT64 (RFC 6052), which is longer than /56.
const NAT64: u64 = 0x0064_FF9B << 32;

impl GeoMap {
    /// All that `locator` knows.
    #[must_use]
    pub fn compile(locator: &Locator) -> Self {
        let (database, overrides) = (locator.database(), locator.overrides());
        let mut places = Places::default();
        let v4 = walk::<u32>(database, &[], &mut places);
        let v4 = overlay(&v4, overrides, &mut places);
        // The first address of Teredo's /56 carries the last IPv4 address, that of NAT64's the first.
        let teredo = places.of(locator.locate(IpAddr::V4(Ipv4Addr::BROADCAST)).map(|found| found.place));
        let nat64 = places.of(locator.locate(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).map(|found| found.place));
        let carriers = [
            (NAT64, NAT64 | !u64::MASK, nat64),
            (TEREDO, TEREDO | 0xFFFF_FFFF, teredo),
            (SIX_TO_FOUR, SIX_TO_FOUR | 0xFFFF_FFFF_FFFF, CARRIED),
        ];
        let v6 = walk::<u64>(database, &carriers, &mut places);
        let v6 = overlay(&v6, overrides, &mut places);
        Self { places: places.all, v4, v6 }
    }
}

/// Places that have been met.
struct Places {
    all: Vec<Option<Place>>,
    ids: HashMap<Identity, PlaceId>,
    /// By where the record of a network is in the database, so that each is read once.
    of_records: HashMap<usize, PlaceId>,
}

/// What makes places equal: the bits of their degrees, their country and city.
type Identity = (u64, u64, Option<Country>, Option<Arc<str>>);

impl Default for Places {
    fn default() -> Self {
        Self { all: vec![None], ids: HashMap::new(), of_records: HashMap::new() }
    }
}

impl Places {
    fn of(&mut self, place: Option<Place>) -> PlaceId {
        let Some(place) = place else { return NOWHERE };
        // Adding zero makes -0 into 0.
        let (latitude, longitude) = (place.at.latitude() + 0.0, place.at.longitude() + 0.0);
        let identity = (latitude.to_bits(), longitude.to_bits(), place.country, place.city.clone());
        *self.ids.entry(identity).or_insert_with(|| {
            self.all.push(Some(place));
            PlaceId::try_from(self.all.len() - 1).expect("fewer places than networks, which are bounded")
        })
    }

    fn of_record(&mut self, record: usize, read: impl FnOnce() -> Option<Place>) -> PlaceId {
        if let Some(id) = self.of_records.get(&record) {
            return *id;
        }
        let id = self.of(read());
        self.of_records.insert(record, id);
        id
    }
}

/// What the database says of a family. `carriers` are ranges for which it is not asked, in order, each with its first and
/// last key and what holds there.
fn walk<K: Key>(database: &Database, carriers: &[(K, K, PlaceId)], places: &mut Places) -> Ranges<K, PlaceId> {
    let mut built = Builder::default();
    let mut carriers = carriers.iter().peekable();
    let mut next = Some(K::ZERO);
    while let Some(key) = next {
        if let Some((_, last, place)) = carriers.next_if(|(first, ..)| *first <= key) {
            built.push(key, *place);
            next = K::after(last.address());
            continue;
        }
        let carrier = carriers.peek().map(|(first, ..)| *first);
        let network = database.network(key.address());
        let place = match network.and_then(|network| network.record) {
            Some(record) => places.of_record(record, || database.find(key.address()).map(|found| found.place)),
            None => NOWHERE,
        };
        built.push(key, place);
        // Without a network, or in one that holds more than the family, there is nothing more to ask.
        let after = network.and_then(|network| K::after(network.last)).filter(|after| *after > key);
        next = match (after, carrier) {
            (Some(after), Some(carrier)) => Some(after.min(carrier)),
            (after, carrier) => after.or(carrier),
        };
    }
    built.finish()
}

/// `base`, and the overrides of its family on top. They are looked up at each key from which on one holds or no longer
/// does: between two such keys nothing changes.
fn overlay<K: Key>(base: &Ranges<K, PlaceId>, overrides: &Overrides, places: &mut Places) -> Ranges<K, PlaceId> {
    let mut marks: Vec<K> = overrides
        .networks()
        .flat_map(|network| [K::beginning_at(network.network()), K::after(network.broadcast())])
        .flatten()
        .chain([K::ZERO])
        .collect();
    marks.sort_unstable();
    marks.dedup();
    let mut marks = marks.into_iter().peekable();
    let mut over = None;
    let mut built = Builder::default();
    let mut ranges = base.iter().peekable();
    let mut below = NOWHERE;
    loop {
        let start = match (ranges.peek(), marks.peek()) {
            (Some((start, _)), Some(mark)) => (*start).min(*mark),
            (Some((start, _)), None) => *start,
            (None, Some(mark)) => *mark,
            (None, None) => return built.finish(),
        };
        if let Some((_, place)) = ranges.next_if(|(range, _)| *range == start) {
            below = place;
        }
        if marks.next_if_eq(&start).is_some() {
            over = overrides.find(start.address()).map(|(_, place)| places.of(Some(place.clone())));
        }
        built.push(start, over.unwrap_or(below));
    }
}
