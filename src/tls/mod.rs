//! Certificates by SNI, tickets, and whom we trust.
//!
//! One TLS provider for everything, taken explicitly, so that nothing depends on a process-wide default.

pub mod trust;
pub mod ocsp;
pub mod pair;
pub mod certificates;
pub mod tickets;
pub mod identity;
pub mod reception;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// HTTP/2 by ALPN (RFC 9113 §3.2).
pub const ALPN_HTTP2: &[u8] = b"h2";
/// HTTP/1.1 by ALPN (RFC 7301 §6).
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// DNS over TLS by ALPN (RFC 7858; the IANA registry of protocol IDs).
pub const ALPN_DNS: &[u8] = b"dot";

/// The provider of all cryptography here.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
