//! So many at once, and so many of one network: for connections and followers of the status page.

use crate::steering::prefix_of;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Places that are taken and given back.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    of_prefix: usize,
    /// Looked into when somebody comes or goes, never held across an await. It has at most `most` entries.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_prefix: HashMap<IpNet, usize>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    prefix: Option<IpNet>,
}

impl Seats {
    /// `most` places, `of_prefix` of them for one network (/24, /48).
    #[must_use]
    pub fn new(most: usize, of_prefix: usize) -> Self {
        Self { most, of_prefix, taken: Mutex::default() }
    }

    /// A place for `peer`, if there is one. Where a proxy may stand, on this machine or in a private network, everybody comes
    /// from: there only the whole counts.
    #[must_use]
    pub fn take(this: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        let prefix = (!may_be_a_proxy(peer)).then(|| prefix_of(peer));
        let mut taken = this.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = prefix.and_then(|prefix| taken.by_prefix.get(&prefix)).copied().unwrap_or_default();
        if taken.all >= this.most || own >= this.of_prefix {
            return None;
        }
        taken.all += 1;
        if let Some(prefix) = prefix {
            taken.by_prefix.insert(prefix, own + 1);
        }
        drop(taken);
        Some(Seat { seats: Arc::clone(this), prefix })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(prefix) = self.prefix
            && let Some(own) = taken.by_prefix.get_mut(&prefix)
        {
            *own -= 1;
            if *own == 0 {
                taken.by_prefix.remove(&prefix);
            }
        }
    }
}

fn may_be_a_proxy(peer: IpAddr) -> bool {
    match peer {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_does_not_take_all_seats_and_what_is_given_back_is_free() {
        let seats = Arc::new(Seats::new(3, 2));
        let take = |peer: &str| Seats::take(&seats, peer.parse().expect("an address"));
        let (first, _second) = (take("198.51.100.1").expect("free"), take("198.51.100.2").expect("free"));
        assert!(take("198.51.100.3").is_none(), "its network has two");
        let third = take("203.0.113.1").expect("another network");
        assert!(take("192.0.2.1").is_none(), "all three are taken");
        drop((first, third));
        assert!(take("198.51.100.4").is_some());
        assert!(seats.taken.lock().expect("not poisoned").by_prefix.len() < 2, "nothing is kept of who left");
    }

    #[test]
    fn behind_a_proxy_only_the_whole_counts() {
        let seats = Arc::new(Seats::new(3, 1));
        let all: Vec<_> =
            (0..3).filter_map(|_| Seats::take(&seats, "127.0.0.1".parse().expect("an address"))).collect();
        assert_eq!(all.len(), 3);
        assert!(Seats::take(&seats, "::ffff:10.0.0.1".parse().expect("an address")).is_none());
    }
}
