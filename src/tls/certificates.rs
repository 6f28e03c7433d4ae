//! Our own certificates: PEM pairs from files, chosen by SNI (RFC 6066 §3).

use super::{ALPN_HTTP1, ALPN_HTTP2, provider};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds nothing of what it should.
    #[error("{}: holds no {what} in PEM form", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// Certificate and key do not belong together, or are of a kind we cannot use.
    #[error("{}: {source}", path.display())]
    Pair {
        /// Which certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate without a name to choose it by.
    #[error("{}: the certificate has no DNS name", path.display())]
    Nameless {
        /// Which.
        path: PathBuf,
    },
    /// A folder without pairs.
    #[error("{}: no NAME.pem (or .crt) with its NAME.key in this folder", path.display())]
    NoPairs {
        /// Which.
        path: PathBuf,
    },
}

/// The certificates of a node, by name. The first one answers clients that name nothing we know.
pub struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("exact", &self.exact.keys())
            .field("wildcard", &self.wildcard.keys())
            .finish()
    }
}

impl Certificates {
    /// Loads `pairs` of certificate chain and key, and every pair in `folders` (`NAME.pem` or `NAME.crt` beside
    /// `NAME.key`).
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    ///
    /// # Panics
    /// Without a pair or folder: there is nothing to serve.
    pub fn load(pairs: &[(PathBuf, PathBuf)], folders: &[PathBuf]) -> Result<Self, CertificateError> {
        let mut all = pairs.to_vec();
        for folder in folders {
            let found = pairs_in(folder)?;
            if found.is_empty() {
                return Err(CertificateError::NoPairs { path: folder.clone() });
            }
            all.extend(found);
        }
        let (mut exact, mut wildcard, mut default) = (HashMap::new(), HashMap::new(), None);
        for (certificate, key) in &all {
            let (pair, names) = load_pair(certificate, key)?;
            for name in names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_insert_with(|| Arc::clone(&pair)),
                    None => exact.entry(name).or_insert_with(|| Arc::clone(&pair)),
                };
            }
            default.get_or_insert(pair);
        }
        Ok(Self { exact, wildcard, default: default.expect("there is a pair") })
    }

    /// How TLS is spoken to clients: 1.2 and 1.3, HTTP/2 and HTTP/1.1, with tickets that every worker understands and
    /// without early data (replay).
    ///
    /// # Errors
    /// If the provider cannot make tickets.
    ///
    /// # Panics
    /// If the provider has no protocol version in common with itself.
    pub fn into_config(self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = hello.server_name() else { return Some(Arc::clone(&self.default)) };
        let by_parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        Some(Arc::clone(self.exact.get(name).or_else(by_parent).unwrap_or(&self.default)))
    }
}

fn pairs_in(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, CertificateError> {
    let read = |source| CertificateError::Read { path: folder.to_owned(), source };
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let is_certificate = path.extension().is_some_and(|extension| extension == "pem" || extension == "crt");
        let key = path.with_extension("key");
        if is_certificate && key.exists() {
            pairs.push((path, key));
        }
    }
    pairs.sort();
    Ok(pairs)
}

fn load_pair(certificate: &Path, key: &Path) -> Result<(Arc<CertifiedKey>, Vec<String>), CertificateError> {
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |error| match error {
            rustls_pki_types::pem::Error::Io(source) => CertificateError::Read { path, source },
            _ => CertificateError::Empty { path, what },
        }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .map_err(pem(certificate, "certificate"))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem(certificate, "certificate"))?;
    let first =
        chain.first().ok_or_else(|| CertificateError::Empty { path: certificate.to_owned(), what: "certificate" })?;
    let names = names_of(first);
    if names.is_empty() {
        return Err(CertificateError::Nameless { path: certificate.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let pair = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|source| CertificateError::Pair { path: certificate.to_owned(), source })?;
    Ok((Arc::new(pair), names))
}

/// The DNS names a certificate is for, lower case, wildcards as they are (RFC 5280 §4.2.1.6).
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else { return Vec::new() };
    alternatives
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
