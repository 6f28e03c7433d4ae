//! How a connection came: what its own layers say of the client, before any request does.

use super::proxy::{self, BadHeader};
use crate::limits::{CLIENT_CERTIFICATES_BYTES_MAX, PROXY_HEADER_BYTES_MAX, PROXY_HEADER_TIMEOUT};
use crate::names::Hostname;
use crate::steering::prefix_of;
use crate::tls::identity::Chosen;
use crate::tls::pair::Names;
use crate::topology::ClientAuth;
use crate::topology::link::PrivateLink;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use rustls_pki_types::CertificateDer;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
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
    /// What TLS said, where we ended it.
    pub tls: Option<Arc<Secured>>,
}

/// What was agreed when a connection was secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// Whom the client named (RFC 6066 §3).
    pub server_name: Option<Hostname>,
    /// The names in the certificate it was shown.
    pub names: Arc<Names>,
    /// Whose certificates it was asked for.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// The certificate it has.
    pub client: Option<ClientCertificate>,
}

/// A client's proven certificate, as regions read it (RFC 9440 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `Client-Cert`: the certificate.
    pub certificate: HeaderValue,
    /// `Client-Cert-Chain`: what it sent besides, in its order.
    pub chain: Option<HeaderValue>,
}

impl Arrival {
    /// Whether a request for `hostname`, which asks its clients for `client_auth`, may come this way. If not it is
    /// misdirected (RFC 9110 §7.4 and §15.5.20): the certificate does not speak for that hostname, or who asks was not
    /// proven as that hostname wants it.
    ///
    /// Hostnames of one certificate may share a connection (RFC 9113 §9.1.1), but none that asks for client certificates
    /// shares with anybody: what was proven for one name says nothing to another. In the clear nothing is proven at all.
    #[must_use]
    pub fn may_ask(&self, hostname: &Hostname, client_auth: Option<&Arc<ClientAuth>>) -> bool {
        let Some(tls) = &self.tls else { return client_auth.is_none_or(|asked| !asked.is_required) };
        let is_proven = match (&tls.client_auth, client_auth) {
            (None, None) => true,
            (Some(then), Some(now)) => then == now && tls.server_name.as_ref() == Some(hostname),
            _ => false,
        };
        is_proven && tls.names.cover(hostname.as_str())
    }

    /// The client's certificate, if it has shown one.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.tls.as_ref().and_then(|tls| tls.client.as_ref())
    }
}

impl Secured {
    /// What was agreed with a client that has shown `chain`.
    ///
    /// # Errors
    /// If that is larger than anybody needs.
    pub fn new(chosen: Chosen, chain: &[CertificateDer<'_>]) -> Result<Self, TooLarge> {
        let client = ClientCertificate::of(chain.iter().map(|der| &**der))?;
        let names = Arc::clone(&chosen.certificate.names);
        Ok(Self { server_name: chosen.server_name, names, client_auth: chosen.client_auth, client })
    }
}

impl ClientCertificate {
    /// The fields for a chain in DER form, the client's own certificate first; `None` if there is none.
    ///
    /// # Errors
    /// If it is larger than [`CLIENT_CERTIFICATES_BYTES_MAX`]: a client may add to its chain whatever it likes.
    pub fn of<'a>(chain: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Option<Self>, TooLarge> {
        if chain.clone().map(<[u8]>::len).sum::<usize>() > CLIENT_CERTIFICATES_BYTES_MAX {
            return Err(TooLarge);
        }
        let mut items = chain.map(binary);
        let Some(certificate) = items.next() else { return Ok(None) };
        let rest = items.collect::<Vec<_>>().join(", ");
        let value = |text: &str| HeaderValue::from_str(text).expect("base64 is visible");
        Ok(Some(Self { certificate: value(&certificate), chain: (!rest.is_empty()).then(|| value(&rest)) }))
    }
}

/// A client sent more certificates than anybody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// An Item of type Byte Sequence (RFC 9651 §3.3.5): base64 with padding, between colons.
fn binary(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
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
            return Ok(Self { peer, link: None, is_https, tls: None });
        }
        if !balancers.iter().any(|balancer| balancer.contains(&peer)) {
            return Err(NoEntry::Stranger(prefix_of(peer)));
        }
        let told = tokio::time::timeout(PROXY_HEADER_TIMEOUT, told(stream)).await;
        let told = told.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        Ok(Self { peer: told.client.unwrap_or(peer), link: told.link, is_https, tls: None })
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

#[cfg(test)]
mod tests;
