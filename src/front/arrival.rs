//! How a connection came: what its own layers say of the client, before any request does.

use std::net::IpAddr;

/// What is known of a connection once it can carry requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The client's end.
    pub peer: IpAddr,
    /// Whether it came by TLS.
    pub is_https: bool,
}
