//! Who asks, and how the question came.

use super::question::Question;
use crate::limits::{DNS_STREAM_IDLE, DNS_UDP_RESPONSE_BYTES_MAX};
use std::net::IpAddr;

/// What every resolver takes over UDP, octets (RFC 1035 §4.2.1).
const PLAIN_BYTES_MAX: usize = 512;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A datagram: who sent it can be a lie.
    Udp,
    /// A connection.
    Tcp,
    /// A connection with TLS (RFC 7858).
    Dot,
    /// HTTPS (RFC 8484).
    Doh,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Dot, Self::Doh];

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Dot => "dot",
            Self::Doh => "doh",
        }
    }

    /// Whether nobody on the way can read it.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Dot | Self::Doh)
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Where the question came from: the resolver.
    pub address: IpAddr,
    /// How.
    pub transport: Transport,
    /// Our cookie for it, if it sent one (RFC 7873): client's and server's part.
    pub cookie: Option<[u8; 24]>,
}

impl Asker {
    /// The longest answer to `question`, octets.
    #[must_use]
    pub fn answer_bytes_max(&self, question: &Question<'_>) -> usize {
        match self.transport {
            Transport::Udp => question.edns.map_or(PLAIN_BYTES_MAX, |edns| {
                usize::from(edns.udp_bytes).clamp(PLAIN_BYTES_MAX, DNS_UDP_RESPONSE_BYTES_MAX)
            }),
            _ => usize::from(u16::MAX),
        }
    }

    /// How long a connection may be idle, in tenths of a second, as RFC 7828 says it; nothing for datagrams.
    #[must_use]
    pub fn keepalive(&self) -> Option<[u8; 2]> {
        let tenths = u16::try_from(DNS_STREAM_IDLE.as_millis() / 100).unwrap_or(u16::MAX);
        matches!(self.transport, Transport::Tcp | Transport::Dot).then(|| tenths.to_be_bytes())
    }
}
