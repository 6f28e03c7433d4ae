//! Where webhooks may be: out in the open, or in a network that the file lists. Anything else would let strangers have us
//! ask what stands behind our own walls.

use crate::topology::unseen::unseen;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The port of webhooks in the open.
const PORT: u16 = 443;

/// Further networks that are not in the open: protocols and tests, and those that carry an IPv4 address inside.
const SPECIAL: [&str; 9] = [
    "192.0.0.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "2001::/23",
    "2002::/16",
    "3fff::/20",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
];
/// What of IPv6 is given out to anybody at all (RFC 4291 §2.4).
const GLOBAL_UNICAST: (u16, u16) = (0xE000, 0x2000);

/// Whether everybody on the Internet can reach `address`, so that we may on anybody's behalf.
#[must_use]
pub fn is_open(address: IpAddr) -> bool {
    let is_given_out = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.segments()[0] & GLOBAL_UNICAST.0 == GLOBAL_UNICAST.1 && !is_disguised(v6),
    };
    let network = IpNet::from(address);
    let is_special =
        SPECIAL.iter().any(|special| special.parse::<IpNet>().is_ok_and(|special| special.contains(&network)));
    is_given_out && !is_special && unseen(&network).is_none()
}

/// Whether an IPv4 address stands in an ISATAP interface identifier (RFC 5214 §6.1), which some routers unwrap.
fn is_disguised(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    segments[4] & 0xFDFF == 0 && segments[5] == 0x5EFE
}

/// Those of `addresses` that may be dialled at `port`; `private` are the networks that the file lists.
///
/// # Errors
/// Why there are none, in words for whoever named the webhook: not which addresses there were.
pub fn allowed(addresses: &[IpAddr], port: u16, private: &[IpNet]) -> Result<Vec<SocketAddr>, &'static str> {
    if addresses.is_empty() {
        return Err("its name has no address");
    }
    // One address behind the wall condemns all: whoever answers for the name would have us try again and again.
    let is_private = |address: &IpAddr| private.iter().any(|network| network.contains(address));
    if addresses.iter().any(|address| !is_private(address) && !is_open(*address)) {
        return Err("it leads to an address that is not public");
    }
    if port != PORT && !addresses.iter().all(is_private) {
        return Err("webhooks are called at port 443 only");
    }
    Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nothing_leads_behind_the_wall() {
        for inside in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::7f00:1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "2a00:1450::5efe:7f00:1",
            "2a00:1450::200:5efe:10.0.0.1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!is_open(address(inside)), "{inside} was let through");
            assert!(allowed(&[address(inside)], 443, &[]).is_err(), "{inside} was let through");
            assert!(
                allowed(&[address("8.8.8.8"), address(inside)], 443, &[]).is_err(),
                "{inside} hides behind another"
            );
        }
        for outside in ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2a00:1450::1", "2606:4700::1111"] {
            assert!(is_open(address(outside)), "{outside} was refused");
        }
    }

    #[test]
    fn in_the_open_it_is_port_443_and_inside_what_the_file_lists() {
        let (open, inside) = (address("8.8.8.8"), address("10.1.2.3"));
        let private = ["10.0.0.0/8".parse().expect("a network")];
        assert_eq!(allowed(&[open], 443, &[]), Ok(vec![SocketAddr::new(open, 443)]));
        assert!(allowed(&[open], 8_443, &private).is_err());
        assert!(allowed(&[inside], 443, &[]).is_err());
        assert_eq!(allowed(&[inside], 8_443, &private), Ok(vec![SocketAddr::new(inside, 8_443)]));
        assert!(allowed(&[address("10.1.2.3"), address("192.168.0.1")], 443, &private).is_err());
        assert!(allowed(&[inside, open], 8_443, &private).is_err());
        assert!(allowed(&[], 443, &private).is_err());
        // What is listed is what is written, and not its disguises.
        assert!(allowed(&[address("::ffff:10.1.2.3")], 443, &private).is_err());
    }
}
