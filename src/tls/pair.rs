//! One certificate chain with its key, and perhaps what its authority says of it: `NAME.pem`, `NAME.key`, `NAME.ocsp`.

use super::ocsp::good_until;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

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

/// The DNS names that a certificate is for (RFC 5280 §4.2.1.6), lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// As they are.
    pub exact: BTreeSet<String>,
    /// What stands after `*.`.
    pub wildcard: BTreeSet<String>,
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return names };
        for name in &alternatives.value.general_names {
            let GeneralName::DNSName(name) = name else { continue };
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => names.wildcard.insert(parent.to_owned()),
                None => names.exact.insert(name),
            };
        }
        names
    }

    /// Whether the certificate proves that we may speak for `hostname`: a wildcard stands for one label (RFC 9525 §6.3).
    #[must_use]
    pub fn cover(&self, hostname: &str) -> bool {
        let parent = || hostname.split_once('.').map(|(_, parent)| parent);
        self.exact.contains(hostname)
            || !self.wildcard.is_empty() && parent().is_some_and(|parent| self.wildcard.contains(parent))
    }

    /// As they are written in a certificate.
    pub fn written(&self) -> impl Iterator<Item = String> {
        self.exact.iter().cloned().chain(self.wildcard.iter().map(|parent| format!("*.{parent}")))
    }
}

/// A certificate that can be shown, with its key.
pub struct Certificate {
    /// Where it was read.
    pub path: PathBuf,
    /// What for.
    pub names: Arc<Names>,
    /// When it ends, since the Unix epoch.
    pub not_after: Duration,
    /// What a person should know about its files, though it can be used.
    pub remarks: Vec<String>,
    pub(super) key: Arc<CertifiedKey>,
    digest: Vec<u8>,
    /// When what its authority says of it ends.
    stapled_until: Option<Duration>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("path", &self.path).field("names", &self.names).finish_non_exhaustive()
    }
}

impl Certificate {
    /// What clients are shown first: the certificate itself, without those that prove it.
    ///
    /// # Panics
    /// Never: there is one, or it would not have been read.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        self.key.cert.first().expect("a certificate that was read")
    }

    /// Reads a pair, `wall` after the Unix epoch. The same as `before`, if nothing differs.
    ///
    /// # Errors
    /// Which of its files cannot be used, and why.
    pub fn read(
        certificate: &Path,
        key: &Path,
        wall: Duration,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, CertificateError> {
        let files = Files::read(certificate, key)?;
        let digest = files.digest();
        let is_fresh = |before: &&Arc<Self>| before.stapled_until.is_none_or(|until| until > wall);
        if let Some(same) = before.filter(|before| before.digest == digest).filter(is_fresh) {
            return Ok(Arc::clone(same));
        }
        files.prove(certificate, key, digest, wall).map(Arc::new)
    }
}

/// The files of a pair.
struct Files {
    /// Perhaps with the key in it: one file may hold both.
    chain: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    key_mode: u32,
    ocsp: Option<(PathBuf, Vec<u8>)>,
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CertificateError::Read { path, source }
        };
        let chain = Zeroizing::new(std::fs::read(certificate).map_err(failed(certificate))?);
        let key_mode = std::fs::metadata(key).map_err(failed(key))?.permissions().mode();
        // A file that holds both is read once: in between it may be replaced.
        let key =
            if key == certificate { chain.clone() } else { Zeroizing::new(std::fs::read(key).map_err(failed(key))?) };
        let ocsp = certificate.with_extension("ocsp");
        let ocsp = match std::fs::read(&ocsp) {
            Ok(bytes) => Some((ocsp, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(CertificateError::Read { path: ocsp, source }),
        };
        Ok(Self { chain, key, key_mode, ocsp })
    }

    fn digest(&self) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        let ocsp = self.ocsp.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        for part in [&*self.chain, &*self.key, ocsp, &self.key_mode.to_be_bytes()[..]] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    fn prove(
        self,
        certificate: &Path,
        key: &Path,
        digest: Vec<u8>,
        wall: Duration,
    ) -> Result<Certificate, CertificateError> {
        let empty = |path: &Path, what| CertificateError::Empty { path: path.to_owned(), what };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.chain)
            .collect::<Result<_, _>>()
            .map_err(|_| empty(certificate, "certificate"))?;
        let first = chain.first().ok_or_else(|| empty(certificate, "certificate"))?.clone();
        let (_, first) =
            X509Certificate::from_der(&first).map_err(|_| empty(certificate, "certificate that can be read"))?;
        let names = Names::of(&first);
        if names == Names::default() {
            return Err(CertificateError::Nameless { path: certificate.to_owned() });
        }
        let failed = |source| CertificateError::Pair { path: certificate.to_owned(), source };
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| empty(key, "private key"))?;
        // What the provider keeps of it, it wipes itself.
        let private = Zeroizing::new(private);
        let signing = any_supported_type(&private).map_err(failed)?;
        let mut pair = CertifiedKey::new(chain, signing);
        pair.keys_match().map_err(failed)?;
        let not_after =
            u64::try_from(first.validity().not_after.timestamp()).map_or(Duration::ZERO, Duration::from_secs);
        let mut remarks = Vec::new();
        if not_after <= wall {
            remarks.push(format!("{}: the certificate has expired", certificate.display()));
        }
        remarks.extend(remark_on_mode(key, self.key_mode));
        let mut stapled_until = None;
        if let Some((path, response)) = self.ocsp {
            match good_until(&response, first.raw_serial(), wall) {
                Ok(until) => (pair.ocsp, stapled_until) = (Some(response), Some(until)),
                Err(error) => remarks.push(format!("{}: {error}: it is left out", path.display())),
            }
        }
        let (path, names, key) = (certificate.to_owned(), Arc::new(names), Arc::new(pair));
        Ok(Certificate { path, names, not_after, remarks, key, digest, stapled_until })
    }
}

/// What to say of a secret file with this mode. A group may read it: that is how it is handed to a service. Everybody
/// may not, yet it is used: Kubernetes mounts secrets so unless told otherwise, inside a pod where nobody else is.
pub fn remark_on_mode(path: &Path, mode: u32) -> Option<String> {
    let who = match mode {
        mode if mode & 0o022 != 0 => "may be changed by others than its owner",
        mode if mode & 0o004 != 0 => "may be read by everybody on this machine",
        _ => return None,
    };
    Some(format!("{}: {who} (mode {:04o}): chmod 0600 or 0640 would be better", path.display(), mode & 0o7777))
}
