//! The whole world as sorted ranges: a [`Locator`] compiled, so that an answer is found by one short search and is known
//! to hold for the widest prefix.
//!
//! Addresses are told apart by /24 (IPv4) and /56 (IPv6) and no further: each is looked up as the first address of its
//! own, so a longer network in the database or in an override counts only if it holds that address. Of those addresses
//! the map says what [`Locator::locate`] says, with one liberty: 6to4 (RFC 3056) is where the IPv4 address in it is by
//! this map, so by the first address of its /24, unless an override names the IPv6 network. Teredo and NAT64 hide what
//! they carry beyond the /56 and are one place each.
//!
//! [`GeoMap::compile`] belongs into a task in the background: it takes 0.3 s for the database in the box and 2 s for a million
//! networks; [`GeoMap::merge`] takes 5 ms and 60 ms (`cargo bench --bench machines`). A map takes 8 octets for each range of
//! IPv4, 12 for each of IPv6, and half a MiB; an [`AnswerMap`] 6 and 10, and half a MiB, and spells out 6to4. With the box that
//! is 5.2 MiB, and at most 6.2 MiB for every set of answers.

mod compile;
mod ranges;

use self::ranges::{Builder, Key, Ranges};
use super::place::Place;
use std::net::{IpAddr, Ipv4Addr};

/// An index into [`GeoMap::places`].
pub type PlaceId = u32;

/// The place of those of whom nobody knows where they are.
pub const NOWHERE: PlaceId = 0;
/// What stands for a place in 6to4: ask for the IPv4 address. No place has this id, there are not so many networks.
const CARRIED: PlaceId = PlaceId::MAX;
/// How 6to4 begins, as the upper half of an IPv6 address; the IPv4 address follows.
const SIX_TO_FOUR: u64 = 0x2002 << 48;

/// Where every network is. Immutable; compiled once for each database and set of overrides.
#[derive(Debug)]
pub struct GeoMap {
    places: Vec<Option<Place>>,
    v4: Ranges<u32, PlaceId>,
    v6: Ranges<u64, PlaceId>,
}

/// Which answer every network gets, neighbours with equal ones joined. Immutable.
#[derive(Debug)]
pub struct AnswerMap {
    v4: Ranges<u32, u16>,
    v6: Ranges<u64, u16>,
}

impl GeoMap {
    /// All places, each once; the index is the [`PlaceId`]. Only the first, [`NOWHERE`], is `None`.
    #[must_use]
    pub fn places(&self) -> &[Option<Place>] {
        &self.places
    }

    /// Where `address` is. An IPv4 address in IPv6 spelling (`::ffff:192.0.2.1`) is that IPv4 address.
    #[must_use]
    #[inline]
    pub fn place_of(&self, address: IpAddr) -> PlaceId {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.value(u32::of(v4)),
            IpAddr::V6(v6) => match self.v6.value(u64::of(v6)) {
                CARRIED => self.v4.value(carried(u64::of(v6))),
                place => place,
            },
        }
    }

    /// How many IPv4 networks (/24) are at each of the [`places`](Self::places).
    #[must_use]
    pub fn weights(&self) -> Vec<u32> {
        let mut weights = vec![0; self.places.len()];
        for (_, networks, place) in self.ranges_v4() {
            weights[place as usize] += networks;
        }
        weights
    }

    /// All of IPv4 in order, neighbours of one place joined: the first address, how many networks (/24) from there on, and
    /// where they are.
    pub fn ranges_v4(&self) -> impl Iterator<Item = (Ipv4Addr, u32, PlaceId)> {
        let ends = self.v4.iter().skip(1).map(|(next, _)| next >> 8).chain([1 << 24]);
        self.v4.iter().zip(ends).map(|((start, place), end)| (Ipv4Addr::from_bits(start), end - (start >> 8), place))
    }

    /// Ranges of IPv4 and of IPv6.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    /// What it takes in memory, octets, the names of cities apart.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.places.len() * size_of::<Option<Place>>()
    }

    /// The answers of all networks, where `answer_of` has one for each place.
    ///
    /// # Panics
    /// If `answer_of` is not as long as [`places`](Self::places).
    #[must_use]
    pub fn merge(&self, answer_of: &[u16]) -> AnswerMap {
        assert_eq!(answer_of.len(), self.places.len(), "an answer for each place");
        let mut v4 = Builder::default();
        for (start, place) in self.v4.iter() {
            v4.push(start, answer_of[place as usize]);
        }
        let v4 = v4.finish();
        let mut v6 = Builder::default();
        let mut ranges = self.v6.iter().peekable();
        while let Some((start, place)) = ranges.next() {
            if place == CARRIED {
                let end = ranges.peek().map(|(next, _)| *next);
                spell_out(&v4, start, end, &mut v6);
            } else {
                v6.push(start, answer_of[place as usize]);
            }
        }
        AnswerMap { v4, v6: v6.finish() }
    }
}

/// The answers of the IPv4 addresses that 6to4 carries from `start` to before `end`.
fn spell_out(v4: &Ranges<u32, u16>, start: u64, end: Option<u64>, v6: &mut Builder<u64, u16>) {
    let first = v4.at(carried(start));
    v6.push(start, v4.nth(first).1);
    for at in first + 1..v4.len() {
        let (v4_start, answer) = v4.nth(at);
        let carrier = SIX_TO_FOUR | u64::from(v4_start) << 16;
        if end.is_some_and(|end| end <= carrier) {
            break;
        }
        v6.push(carrier, answer);
    }
}

/// The /24 of the IPv4 address in 6to4.
#[inline]
fn carried(six_to_four: u64) -> u32 {
    (six_to_four >> 16) as u32 & u32::MASK
}

impl AnswerMap {
    /// The answer for `address`, and the length of the shortest prefix around it within which every address gets the
    /// same: at most 24 (IPv4) or 56 (IPv6), 0 if all of the family do. Scopes never overlap (RFC 7871 §7.2.1): what one
    /// address is told holds for all that its scope covers, and each of those is told the same scope.
    ///
    /// An IPv4 address in IPv6 spelling is that IPv4 address, and so is its scope.
    #[must_use]
    #[inline]
    pub fn find(&self, address: IpAddr) -> (u16, u8) {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.find(u32::of(v4)),
            IpAddr::V6(v6) => self.v6.find(u64::of(v6)),
        }
    }

    /// Ranges of IPv4 and of IPv6.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    /// What it takes in memory, octets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}
