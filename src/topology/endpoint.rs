//! How an endpoint is called and reached.

use super::{Endpoint, Host};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

impl Endpoint {
    /// What goes into `Host`: the port only where it is not the scheme's own (RFC 9110 §7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// The addresses the file itself says: `connect`, or the URL's own. Empty: the name has to be resolved.
    #[must_use]
    pub fn written_addresses(&self) -> Vec<SocketAddr> {
        match self.host {
            Host::Address(address) if self.connect.is_empty() => vec![SocketAddr::new(address, self.port)],
            _ => self.connect.clone(),
        }
    }

    /// Whether this and `other` are reached and asked in the same way, so that what is known of one holds for the other.
    #[must_use]
    pub fn is_reached_like(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port, &self.connect, self.host_from)
            == (other.tls, &other.host, other.port, &other.connect, other.host_from)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}
