//! Whom we trust at endpoints.

use super::{ALPN_HTTP1, ALPN_HTTP2, provider};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

/// How TLS is spoken to endpoints: the same trust, with and without HTTP/2.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Offers HTTP/2 and HTTP/1.1.
    pub any: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone: for what HTTP/2 cannot carry.
    pub http1: Arc<ClientConfig>,
}

impl Trust {
    /// The public authorities and `besides`. A certificate that is no authority's is left out: `check` has refused it.
    ///
    /// # Panics
    /// If the provider has no protocol version in common with itself.
    #[must_use]
    pub fn new(besides: &[CertificateDer<'static>]) -> Self {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(besides.iter().cloned());
        Self::in_roots(roots)
    }

    /// `authorities` and nobody else.
    ///
    /// # Panics
    /// As [`Trust::new`].
    #[must_use]
    pub fn only(authorities: &[CertificateDer<'static>]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        Self::in_roots(roots)
    }

    fn in_roots(roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        Self { any: Arc::new(config), http1 }
    }
}
