//! Networks that nobody on the Internet sees as a source, and nobody reaches there (the registries of special addresses,
//! RFC 6890, as far as they matter here).

use ipnet::IpNet;

const UNSEEN: [(&str, &str); 17] = [
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "shared among a provider's customers"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("0.0.0.0/8", "no source"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("2001:db8::/32", "for documentation"),
    ("::1/128", "loopback"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

/// The first of these networks that `prefix` shares an address with, and what it is.
#[must_use]
pub fn unseen(prefix: &IpNet) -> Option<(IpNet, &'static str)> {
    let known = UNSEEN.iter().filter_map(|(network, what)| Some((network.parse::<IpNet>().ok()?, *what)));
    known.into_iter().find(|(network, _)| network.contains(prefix) || prefix.contains(network))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn every_network_of_the_table_can_be_read_and_public_addresses_are_in_none() {
        assert!(UNSEEN.iter().all(|(network, _)| network.parse::<IpNet>().is_ok()));
        let is_seen = |address: &str| unseen(&IpNet::from(address.parse::<IpAddr>().expect("an address"))).is_none();
        for public in ["8.8.4.4", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2a00:1450::1", "2001:db9::1"] {
            assert!(is_seen(public), "{public}");
        }
        assert!(!is_seen("100.64.0.1"));
    }
}
