//! Who is asking: the peer of the connection, or whom a trusted proxy names.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// Hops looked at, newest first: a longer chain says nothing about who is near.
const HOPS_MAX: usize = 32;

/// A client and the trusted proxies between it and us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The client's address, IPv4 where it is an IPv4 client.
    pub address: IpAddr,
    /// The trusted proxies it came through, farthest first; empty: it is the peer itself.
    pub proxies: Vec<IpAddr>,
}

/// Who asks: the peer, unless it is in `trusted`; then the newest hop in `X-Forwarded-For` (or else `Forwarded`, RFC 7239)
/// that is not in `trusted` itself.
///
/// Everything a stranger may have written lies beyond that hop and is not looked at. A chain that cannot be read ends at
/// the last hop that can.
#[must_use]
pub fn asker(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Asker {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let peer = peer.to_canonical();
    let mut asker = Asker { address: peer, proxies: Vec::new() };
    if !is_trusted(peer) {
        return asker;
    }
    for hop in hops(headers).into_iter().take(HOPS_MAX) {
        let Some(hop) = hop else { break };
        asker.proxies.insert(0, asker.address);
        asker.address = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    asker
}

/// The addresses in the forwarding headers, newest first; `None` is an element that names no address.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let elements = |name: &str| {
        let mut elements: Vec<&str> = headers
            .get_all(name)
            .iter()
            .flat_map(|line| line.to_str().unwrap_or("?").split(','))
            .map(str::trim)
            .collect();
        elements.reverse();
        elements
    };
    if headers.contains_key("x-forwarded-for") {
        elements("x-forwarded-for").into_iter().map(address).collect()
    } else {
        elements("forwarded").into_iter().map(forwarded_for).collect()
    }
}

/// An address as proxies write it: perhaps with a port, IPv6 perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match text.split_once(':') {
            Some((v4, port)) if !port.contains(':') => v4,
            _ => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The `for` of one element of `Forwarded` (RFC 7239 §5.2).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn ask(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("a network"), "2001:db8:1::/48".parse().expect("a network")];
        let asker = asker(peer.parse().expect("an address"), &headers, &trusted);
        std::iter::once(asker.address).chain(asker.proxies).map(|hop| hop.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        assert_eq!(ask("203.0.113.9", &[("x-forwarded-for", "198.51.100.1")]), "203.0.113.9");
        assert_eq!(ask("203.0.113.9", &[("forwarded", "for=198.51.100.1")]), "203.0.113.9");
        assert_eq!(ask("::ffff:203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn behind_a_trusted_proxy_the_newest_untrusted_hop_counts() {
        for (lines, expected) in [
            (vec![("x-forwarded-for", "198.51.100.1")], "198.51.100.1 10.1.1.1"),
            (vec![("x-forwarded-for", "1.1.1.1, 198.51.100.1")], "198.51.100.1 10.1.1.1"),
            (vec![("x-forwarded-for", "1.1.1.1, 198.51.100.1, 10.2.2.2")], "198.51.100.1 10.2.2.2 10.1.1.1"),
            (vec![("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1 10.1.1.1"),
            (vec![("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1 10.1.1.1"),
            (vec![("x-forwarded-for", "[2001:db8::9]:443")], "2001:db8::9 10.1.1.1"),
            (vec![("x-forwarded-for", "nonsense, 10.2.2.2")], "10.2.2.2 10.1.1.1"),
            (vec![("x-forwarded-for", "")], "10.1.1.1"),
            (vec![("forwarded", "for=1.1.1.1, For=\"[2001:db8::9]:1\";proto=https")], "2001:db8::9 10.1.1.1"),
            (vec![("forwarded", "for=_hidden, for=10.2.2.2")], "10.2.2.2 10.1.1.1"),
            (vec![("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=1.1.1.1")], "198.51.100.1 10.1.1.1"),
            (vec![], "10.1.1.1"),
        ] {
            assert_eq!(ask("10.1.1.1", &lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_long_forged_chain_costs_little_and_changes_nothing() {
        let chain = format!("{}198.51.100.1", "1.1.1.1, ".repeat(500));
        assert_eq!(ask("10.1.1.1", &[("x-forwarded-for", &chain)]), "198.51.100.1 10.1.1.1");
    }
}
