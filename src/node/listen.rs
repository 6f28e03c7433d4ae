//! Where a node listens, and who must say there whose a connection is.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// One address to take connections at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where; port 0 is any.
    pub address: SocketAddr,
    /// The networks of the balancers in front of it. With any, each connection must come from one of them and begin with a
    /// PROXY header; without, no such header is known.
    pub proxy: Vec<IpNet>,
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self { address, proxy: Vec::new() }
    }
}

impl Listen {
    /// Reads `ADDR[,proxy=NETWORK…]`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let address = parts.next().unwrap_or_default();
        let address = address
            .parse::<SocketAddr>()
            .map_err(|_| format!("{address:?} is no IP address with a port, such as 0.0.0.0:443 or [::]:443"))?;
        let mut listen = Self::from(address);
        for part in parts {
            let network = part.strip_prefix("proxy=").ok_or_else(|| {
                format!("{part:?} is nothing that a listener can have: write proxy=NETWORK, such as proxy=10.0.0.0/8")
            })?;
            listen.proxy.push(network_of(network).map_err(|why| format!("proxy={network} {why}"))?);
        }
        Ok(listen)
    }
}

fn network_of(text: &str) -> Result<IpNet, String> {
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err("is no network: write an address and a prefix length, such as 10.0.0.0/8".to_owned()),
    };
    if network != network.trunc() {
        return Err(format!("has address bits beyond its prefix length: write {}", network.trunc()));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_an_address_and_perhaps_networks() {
        let networks = |text: &str| {
            let listen = Listen::parse(text).expect(text);
            (listen.address.to_string(), listen.proxy.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let of = |address: &str, networks: &str| (address.to_owned(), networks.to_owned());
        assert_eq!(networks("0.0.0.0:443"), of("0.0.0.0:443", ""));
        assert_eq!(networks("[::]:443,proxy=10.0.0.0/8"), of("[::]:443", "10.0.0.0/8"));
        assert_eq!(networks("[::]:443,proxy=10.1.2.3,proxy=fd00::/8"), of("[::]:443", "10.1.2.3/32 fd00::/8"));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, part, help) in [
            ("443", "\"443\"", "0.0.0.0:443"),
            ("0.0.0.0:443,", "\"\"", "proxy=NETWORK"),
            ("0.0.0.0:443,prxy=10.0.0.0/8", "\"prxy=10.0.0.0/8\"", "proxy=NETWORK"),
            ("0.0.0.0:443,proxy=10.0.0.0/8,10.1.0.0/16", "\"10.1.0.0/16\"", "proxy=NETWORK"),
            ("0.0.0.0:443,proxy=", "proxy=", "is no network"),
            ("0.0.0.0:443,proxy=10.0.0.1/8", "proxy=10.0.0.1/8", "write 10.0.0.0/8"),
        ] {
            let mistake = Listen::parse(text).expect_err(text);
            assert!(mistake.contains(part) && mistake.contains(help), "{text}: {mistake}");
        }
    }
}
