//! Who is connected: so many in all, so many of one source, and whoever was quiet longest makes room for the next.
//!
//! Refusing the next one would let those who hold connections keep everybody else out. Turning out the quietest does not:
//! to keep an honest client from its answer one would have to open as many connections as there are places between its
//! handshake and its question. Pure.

use crate::limits::{DNS_STREAMS_MAX, DNS_STREAMS_PER_SOURCE_MAX};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The connections of one kind at one node.
///
/// The lock is held for some comparisons when a connection opens or closes, and at most once a second while it is used.
#[derive(Debug)]
pub struct Crowd<T>(Mutex<Seats<T>>);

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Self(Mutex::new(Seats::new(DNS_STREAMS_MAX, DNS_STREAMS_PER_SOURCE_MAX)))
    }
}

impl<T> Crowd<T> {
    /// Who sits where.
    pub fn seats(&self) -> MutexGuard<'_, Seats<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places for connections, each with somebody whom it is taken from when it is given to another.
#[derive(Debug)]
pub struct Seats<T> {
    most: usize,
    most_per_source: usize,
    next: u64,
    /// By when they were used last, longest ago first.
    taken: BTreeMap<u64, (IpNet, T)>,
    by_source: HashMap<IpNet, BTreeSet<u64>>,
}

impl<T> Seats<T> {
    /// So many places, and so many for one source.
    #[must_use]
    pub fn new(most: usize, most_per_source: usize) -> Self {
        Self { most, most_per_source, next: 0, taken: BTreeMap::new(), by_source: HashMap::new() }
    }

    /// Gives `occupant` from `address` a place, and says who has to go for it.
    pub fn take(&mut self, address: IpAddr, occupant: T) -> (u64, Option<T>) {
        let source = source_of(address);
        let own = self.by_source.get(&source).filter(|own| own.len() >= self.most_per_source);
        let quietest = match own {
            Some(own) => own.first().copied(),
            None if self.taken.len() >= self.most => self.taken.keys().next().copied(),
            None => None,
        };
        let turned_out = quietest.and_then(|seat| self.leave(seat));
        (self.sit(source, occupant), turned_out)
    }

    /// The place is in use: it is another one from now on. `None` if it has been taken away.
    pub fn used(&mut self, seat: u64) -> Option<u64> {
        let (source, occupant) = self.remove(seat)?;
        Some(self.sit(source, occupant))
    }

    /// The place is free.
    pub fn leave(&mut self, seat: u64) -> Option<T> {
        self.remove(seat).map(|(_, occupant)| occupant)
    }

    /// How many are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether nobody is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    fn sit(&mut self, source: IpNet, occupant: T) -> u64 {
        let seat = self.next;
        self.next += 1;
        self.taken.insert(seat, (source, occupant));
        self.by_source.entry(source).or_default().insert(seat);
        seat
    }

    fn remove(&mut self, seat: u64) -> Option<(IpNet, T)> {
        let (source, occupant) = self.taken.remove(&seat)?;
        if let Some(own) = self.by_source.get_mut(&source) {
            own.remove(&seat);
            if own.is_empty() {
                self.by_source.remove(&source);
            }
        }
        Some((source, occupant))
    }
}

/// Who counts as one: an address of IPv4, a /56 of IPv6, which is what one customer gets (RFC 6177 §2).
fn source_of(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Net::from(v4).into(),
        IpAddr::V6(v6) => Ipv6Net::new(v6, 56).expect("56 is a prefix length").trunc().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[test]
    fn the_quietest_of_all_makes_room_and_never_the_newest() {
        let mut seats = Seats::new(3, 3);
        let (first, _) = seats.take(address(1), 1);
        let (second, _) = seats.take(address(2), 2);
        assert_eq!(seats.take(address(3), 3).1, None, "there is room");
        let first = seats.used(first).expect("it is there");
        assert_eq!(seats.take(address(4), 4).1, Some(2));
        assert_eq!(seats.used(second), None, "it was taken away");
        assert_eq!(seats.leave(second), None);
        assert_eq!(seats.take(address(5), 5).1, Some(3));
        assert_eq!(seats.leave(first), Some(1));
        assert_eq!(seats.take(address(6), 6).1, None, "there is room again");
        assert_eq!(seats.len(), 3);
    }

    #[test]
    fn a_source_that_has_its_share_makes_room_for_itself() {
        let mut seats = Seats::new(10, 2);
        seats.take(address(1), 0);
        seats.take(address(2), 1);
        seats.take(address(2), 2);
        assert_eq!(seats.take(address(2), 3).1, Some(1), "its own quietest, though another is quieter");
        let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
        seats.take(v6("2001:db8:0:100::1"), 10);
        seats.take(v6("2001:db8:0:1ff::1"), 11);
        assert_eq!(seats.take(v6("2001:db8:0:200::1"), 12).1, None, "another /56");
        assert_eq!(seats.take(v6("2001:db8:0:180::1"), 13).1, Some(10), "the same /56");
    }

    #[test]
    fn nothing_is_left_of_those_who_have_gone() {
        let mut seats = Seats::new(2, 2);
        for number in 0..100 {
            seats.take(address(number), ());
        }
        while let Some(seat) = seats.taken.keys().next().copied() {
            seats.leave(seat);
        }
        assert!(seats.is_empty() && seats.by_source.is_empty());
    }
}
