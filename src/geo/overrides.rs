//! The operator's word on where networks are. The longest prefix wins.

use super::place::Place;
use ipnet::IpNet;
use std::net::IpAddr;

/// Networks and their places, by family and prefix length: a question costs one binary search for each length in use.
#[derive(Debug, Default)]
pub struct Overrides {
    v4: Vec<Group>,
    v6: Vec<Group>,
}

/// All networks of one prefix length.
#[derive(Debug)]
struct Group {
    prefix_len: u8,
    /// Sorted by network.
    places: Vec<(IpAddr, Place)>,
}

impl Overrides {
    /// Sorts them. Of equal networks the first one holds.
    #[must_use]
    pub fn new(mut written: Vec<(IpNet, Place)>) -> Self {
        for (network, _) in &mut written {
            *network = network.trunc();
        }
        written.sort_by_key(|(network, _)| (std::cmp::Reverse(network.prefix_len()), network.network()));
        written.dedup_by_key(|(network, _)| *network);
        let mut all = Self::default();
        for (network, place) in written {
            let groups = if network.addr().is_ipv4() { &mut all.v4 } else { &mut all.v6 };
            let row = (network.network(), place);
            match groups.last_mut() {
                Some(group) if group.prefix_len == network.prefix_len() => group.places.push(row),
                _ => groups.push(Group { prefix_len: network.prefix_len(), places: vec![row] }),
            }
        }
        all
    }

    /// All networks, in no order that means anything.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.v4.iter().chain(&self.v6).flat_map(|group| {
            let network = |(network, _): &(IpAddr, Place)| IpNet::new(*network, group.prefix_len).ok();
            group.places.iter().filter_map(network)
        })
    }

    /// The longest network that has `address`, and its place.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<(IpNet, &Place)> {
        let groups = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        groups.iter().find_map(|group| {
            let network = IpNet::new(address, group.prefix_len).ok()?.trunc();
            let at = group.places.binary_search_by_key(&network.addr(), |(network, _)| *network).ok()?;
            Some((network, &group.places[at].1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::place::Coordinates;

    fn overrides(networks: &[&str]) -> Overrides {
        let place = |at: usize| {
            let latitude = f64::from(u8::try_from(at).expect("few"));
            Place { at: Coordinates::new(latitude, 0.0).expect("on earth"), country: None, city: None }
        };
        let networks = networks.iter().enumerate();
        Overrides::new(networks.map(|(at, network)| (network.parse().expect("a network"), place(at))).collect())
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        for networks in [["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"], ["10.1.2.3/32", "10.1.0.0/16", "10.0.0.0/8"]] {
            let overrides = overrides(&networks);
            for (address, network) in [
                ("10.1.2.3", Some("10.1.2.3/32")),
                ("10.1.2.4", Some("10.1.0.0/16")),
                ("10.2.0.0", Some("10.0.0.0/8")),
                ("10.255.255.255", Some("10.0.0.0/8")),
                ("11.0.0.0", None),
                ("::1", None),
            ] {
                let found = overrides.find(address.parse().expect("an address")).map(|(network, _)| network);
                assert_eq!(found, network.map(|network| network.parse().expect("a network")), "{address}");
            }
        }
    }

    #[test]
    fn a_network_written_by_one_of_its_addresses_is_that_network_and_the_first_of_two_holds() {
        let overrides = overrides(&["2001:db8::1/32", "2001:db8::2/32"]);
        let (network, place) = overrides.find("2001:db8:ffff::".parse().expect("an address")).expect("in it");
        assert_eq!((network.to_string().as_str(), place.at.latitude()), ("2001:db8::/32", 0.0));
    }

    #[test]
    fn everything_is_a_network_too() {
        let overrides = overrides(&["0.0.0.0/0", "::/0"]);
        assert!(overrides.find("192.0.2.1".parse().expect("an address")).is_some());
        assert!(overrides.find("2001:db8::".parse().expect("an address")).is_some());
    }
}
