//! The lab's own certificate authority, and what it signs.
//!
//! Made anew for every world and never trusted by anything but the node in front of it.

use crate::tls::{ALPN_HTTP1, ALPN_HTTP2, provider};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::sync::Arc;

/// The name on the wrong certificate.
pub const WRONG_NAME: &str = "somebody-else.invalid";

/// Why certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A name that no certificate can carry, or no randomness.
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    /// The pair is not accepted by TLS.
    #[error("the certificate cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// An authority that exists for one world.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate and its key.
pub struct Pair {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    certificate_pem: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair")
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn new() -> Result<Self, MakeError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("anyfront lab authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// Its certificate, for whoever shall trust it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for these names and addresses.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn sign(&self, names: Vec<String>) -> Result<Pair, MakeError> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named("anyfront lab");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key })
    }
}

impl Pair {
    /// A certificate that is wrong in every way: self-signed, expired, for somebody else.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn wrong() -> Result<Self, MakeError> {
        let mut params = CertificateParams::new(vec![WRONG_NAME.to_owned()])?;
        params.distinguished_name = named(WRONG_NAME);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// TLS with this certificate, HTTP/2 and HTTP/1.1 by ALPN.
    ///
    /// # Errors
    /// If TLS does not accept the pair.
    pub fn server(&self) -> Result<Arc<ServerConfig>, MakeError> {
        self.server_of(&[ALPN_HTTP2, ALPN_HTTP1])
    }

    /// TLS with this certificate, and these protocols by ALPN.
    ///
    /// # Errors
    /// If TLS does not accept the pair.
    pub fn server_of(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, MakeError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
