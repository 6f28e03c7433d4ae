//! How a connection came: what its own layers say of the client, before any request does.

use super::proxy::{self, BadHeader};
use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_HEADER_TIMEOUT};
use crate::steering::prefix_of;
use crate::topology::link::PrivateLink;
use ipnet::IpNet;
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is known of a connection once it can carry requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The client's end, IPv4 where it is an IPv4 client: the socket's, or whom a balancer names that must name somebody.
    pub peer: IpAddr,
    /// The private link it came by, if a balancer says so.
    pub link: Option<PrivateLink>,
    /// Whether it came by TLS.
    pub is_https: bool,
}

/// Why a connection does not get in.
#[derive(Debug, thiserror::Error)]
pub enum NoEntry {
    /// It comes from nobody who may name others.
    #[error("from {0} comes none of this listener's balancers")]
    Stranger(IpNet),
    /// What it said first is no good.
    #[error(transparent)]
    Header(#[from] BadHeader),
    /// Nothing came, or not in time.
    #[error("the PROXY header did not come: {0}")]
    Missing(#[from] io::Error),
}

impl Arrival {
    /// How `stream` from `peer` came to a listener whose `balancers` must say whose it is; no balancers: it is the peer's
    /// own. Not an octet is read beyond what they say.
    ///
    /// # Errors
    /// Why it has to be closed.
    pub async fn of<S: AsyncRead + Unpin>(
        stream: &mut S,
        peer: IpAddr,
        balancers: &[IpNet],
        is_https: bool,
    ) -> Result<Self, NoEntry> {
        let peer = peer.to_canonical();
        if balancers.is_empty() {
            return Ok(Self { peer, link: None, is_https });
        }
        if !balancers.iter().any(|balancer| balancer.contains(&peer)) {
            return Err(NoEntry::Stranger(prefix_of(peer)));
        }
        let told = tokio::time::timeout(PROXY_HEADER_TIMEOUT, told(stream)).await;
        let told = told.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        Ok(Self { peer: told.client.unwrap_or(peer), link: told.link, is_https })
    }
}

async fn told<S: AsyncRead + Unpin>(stream: &mut S) -> Result<proxy::Told, NoEntry> {
    let mut header = Vec::with_capacity(PROXY_HEADER_BYTES_MAX);
    loop {
        let before = header.len();
        match proxy::wanted(&header)? {
            0 => return Ok(proxy::read(&header)?),
            more => header.resize(before + more, 0),
        }
        stream.read_exact(&mut header[before..]).await?;
    }
}
