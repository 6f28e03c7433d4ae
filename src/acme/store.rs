//! What is kept of ordering, in a folder that is nobody else's: the certificate, the accounts, the past.
//!
//! `certificate.pem` is the key and the chain in one file, so that one step replaces both: at no moment is there a chain
//! without its key. It is written beside, proven as TLS will read it, and only then takes the name. `account-….json` is who we
//! are at one directory; `past.json` how often it failed since. A file that cannot be understood is moved aside, never deleted.

use super::schedule::{Life, Past};
use crate::tls::pair::{Certificate, CertificateError};
use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::CertificateIdentifier;
use rustls_pki_types::Der;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use zeroize::Zeroizing;

/// The folder in the state directory.
const FOLDER: &str = "acme";
/// Key and chain.
const CERTIFICATE: &str = "certificate.pem";
/// How often it failed.
const PAST: &str = "past.json";
/// What stands before the URL of the directory in [`CERTIFICATE`]; PEM allows words between its sections (RFC 7468 §2).
const ORDERED_FROM: &str = "Ordered from ";
/// Largest file that is read, octets: many times the longest chain.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Files that could not be understood, kept at most; more would be a disk that fails.
const ASIDE_MAX: u32 = 100;

/// Why something cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system does not do it.
    #[error("{}: {doing}: {source}", path.display())]
    File {
        /// To which file or folder.
        path: PathBuf,
        /// What: `cannot be written`.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What the directory gave is none that TLS could show.
    #[error("the certificate that came cannot be used: {0}")]
    Unusable(CertificateError),
    /// It is not what was asked for.
    #[error("the certificate that came {0}")]
    Other(String),
}

/// The certificate that is there.
#[derive(Clone, Debug)]
pub struct Kept {
    /// From when to when it is good.
    pub life: Life,
    /// Who it is to the directory (RFC 9773 §4.1), if it says who signed it.
    pub id: Option<CertificateIdentifier<'static>>,
    /// Which directory it is from.
    pub directory: String,
    exact: Vec<String>,
}

impl Kept {
    /// The first of `names` that it is not for. A wildcard is itself and nothing else.
    #[must_use]
    pub fn lacks<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        names.iter().find(|name| !self.exact.contains(name)).map(String::as_str)
    }
}

/// Who we are at one directory, as written.
#[derive(Serialize, Deserialize)]
pub struct Membership {
    /// Whom the directory may write to.
    pub contact: Vec<String>,
    /// The account it was bound to, if to any (RFC 8555 §7.3.4).
    pub bound_as: Option<String>,
    /// The account with its key: `AccountCredentials` of `instant-acme`, as it writes them.
    pub credentials: serde_json::Value,
}

/// [`Past`], as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    directory: String,
    failures: u32,
    retry_at_s: u64,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The one in this state directory, whether it is there or not.
    #[must_use]
    pub fn in_state(state_dir: &Path) -> Self {
        Self { folder: state_dir.join(FOLDER) }
    }

    /// Where the certificate is, if there is one.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path(CERTIFICATE)
    }

    /// Makes the folder if need be, and ours alone. A certificate in it that cannot be used is moved aside.
    ///
    /// # Errors
    /// If it cannot be made or kept from others.
    pub fn make_ready(&self, wall: Duration) -> Result<(), StoreError> {
        let failed = |doing| file(&self.folder, doing);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed("cannot be made"))?;
        let mode = std::fs::metadata(&self.folder).map_err(failed("cannot be read"))?.permissions().mode();
        if mode & 0o077 != 0 {
            let closed = std::fs::set_permissions(&self.folder, Permissions::from_mode(0o700));
            closed.map_err(failed("cannot be closed to others"))?;
        }
        let _ = self.kept(wall);
        Ok(())
    }

    /// The certificate that is there, if it can be used.
    #[must_use]
    pub fn kept(&self, wall: Duration) -> Option<Kept> {
        let path = self.path(CERTIFICATE);
        path.exists().then(|| match prove(&path, wall) {
            Ok(kept) => Some(kept),
            // What the disk does not give now it may give later.
            Err(StoreError::Unusable(CertificateError::Read { .. }) | StoreError::File { .. }) => None,
            Err(error) => {
                self.move_aside(&path, &error.to_string());
                None
            }
        })?
    }

    /// Keeps a certificate that `directory` gave for `names`: in place of the one that is there, once it is proven.
    ///
    /// # Errors
    /// If it cannot be written, or is not what was asked for: what was there stays.
    pub fn keep(
        &self,
        (key_pem, chain_pem): (&str, &str),
        directory: &str,
        names: &[String],
        wall: Duration,
    ) -> Result<Kept, StoreError> {
        let both = Zeroizing::new(format!("{ORDERED_FROM}{directory}\n{key_pem}\n{chain_pem}"));
        let (path, beside) = (self.path(CERTIFICATE), self.path("certificate.new"));
        write(&beside, both.as_bytes())?;
        let kept = prove(&beside, wall)?;
        if let Some(name) = kept.lacks(names) {
            return Err(StoreError::Other(format!("is not for {name}")));
        }
        if kept.life.not_after <= wall {
            return Err(StoreError::Other("has ended already, if this machine's clock is right".to_owned()));
        }
        self.take_place(&beside, &path)?;
        Ok(kept)
    }

    /// Who we are at `directory`, if anybody.
    #[must_use]
    pub fn membership(&self, directory: &str) -> Option<Membership> {
        self.read_json(&self.membership_path(directory))
    }

    /// Remembers who we are at `directory`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn join(&self, directory: &str, membership: &Membership) -> Result<(), StoreError> {
        self.write_json(&self.membership_path(directory), membership)
    }

    /// Moves aside who we were at `directory`, because of `why`: there will be another.
    pub fn leave(&self, directory: &str, why: &str) {
        self.move_aside(&self.membership_path(directory), why);
    }

    /// How often it failed at `directory` since the last success.
    #[must_use]
    pub fn past(&self, directory: &str) -> Past {
        let written = self.read_json::<Written>(&self.path(PAST)).filter(|written| written.directory == directory);
        written.map_or_else(Past::default, |Written { failures, retry_at_s, .. }| Past {
            failures,
            retry_at: Duration::from_secs(retry_at_s),
        })
    }

    /// Remembers it.
    ///
    /// # Errors
    /// If it cannot be written: then no certificate could be either.
    pub fn remember(&self, directory: &str, past: Past) -> Result<(), StoreError> {
        let (failures, retry_at_s) = (past.failures, past.retry_at.as_secs());
        self.write_json(&self.path(PAST), &Written { directory: directory.to_owned(), failures, retry_at_s })
    }

    /// The file that says how often it failed: without it the next attempt is at once.
    #[must_use]
    pub fn past_path(&self) -> PathBuf {
        self.path(PAST)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A directory has an account of its own, so that one may try with another and come back.
    fn membership_path(&self, directory: &str) -> PathBuf {
        let digest = digest(&SHA256, directory.as_bytes());
        let short: String = digest.as_ref()[..4].iter().map(|octet| format!("{octet:02x}")).collect();
        self.path(&format!("account-{short}.json"))
    }

    fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Ok(about) if about.len() > FILE_BYTES_MAX => {
                self.move_aside(path, "it is too long");
                return None;
            }
            _ => {}
        }
        let read = std::fs::read(path).map(Zeroizing::new);
        match read.map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(value)) => Some(value),
            // The error may repeat what it read, which may be a key.
            Ok(Err(error)) => {
                self.move_aside(path, &format!("no JSON that can be understood, line {}", error.line()));
                None
            }
            Err(error) => {
                tracing::error!(%error, "{}: cannot be read: left as it is", path.display());
                None
            }
        }
    }

    fn write_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), StoreError> {
        let failed = |error: serde_json::Error| file(path, "cannot be written")(error.into());
        let text = Zeroizing::new(serde_json::to_vec_pretty(value).map_err(failed)?);
        let beside = path.with_extension("new");
        write(&beside, &text)?;
        self.take_place(&beside, path)
    }

    /// A file that is on the disk takes its name, and the name is on the disk.
    fn take_place(&self, beside: &Path, path: &Path) -> Result<(), StoreError> {
        std::fs::rename(beside, path).map_err(file(path, "cannot be replaced"))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(file(&self.folder, "cannot be written"))
    }

    /// Gives a file that is of no use a name of its own, beside earlier ones.
    fn move_aside(&self, path: &Path, why: &str) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let names = (1..=ASIDE_MAX).map(|number| self.path(&format!("{name}.aside-{number}")));
        let aside = names.into_iter().find(|aside| !aside.exists());
        match aside.map(|aside| (std::fs::rename(path, &aside), aside)) {
            Some((Ok(()), aside)) => tracing::error!("{}: {why}: it is {} now", path.display(), aside.display()),
            _ => tracing::error!("{}: {why}: it cannot be moved aside", path.display()),
        }
    }
}

fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, doing, source }
}

/// Writes a file that nobody else may read, down to the disk.
fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = || {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // New, so that its mode is ours whatever was there.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(file(path, "cannot be written"))
}

/// What the file is, if TLS can show it.
fn prove(path: &Path, wall: Duration) -> Result<Kept, StoreError> {
    let certificate = Certificate::read(path, path, wall, None).map_err(StoreError::Unusable)?;
    let text = std::fs::read(path).map(Zeroizing::new).map_err(file(path, "cannot be read"))?;
    let first = text.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let directory = std::str::from_utf8(first).ok().and_then(|line| line.strip_prefix(ORDERED_FROM));
    let leaf = certificate.leaf();
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| StoreError::Other("cannot be read".to_owned()))?;
    let since_epoch = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let (not_before, not_after) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    Ok(Kept {
        life: Life { not_before: since_epoch(not_before), not_after: since_epoch(not_after) },
        id: identifier(&leaf),
        directory: directory.unwrap_or_default().to_owned(),
        exact: certificate.names.written().collect(),
    })
}

/// Who a certificate is to its directory: the key that signed it and its number (RFC 9773 §4.1).
fn identifier(leaf: &X509Certificate<'_>) -> Option<CertificateIdentifier<'static>> {
    let signer = leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(signer) => signer.key_identifier.as_ref(),
        _ => None,
    })?;
    Some(CertificateIdentifier::new(Der::from_slice(signer.0), Der::from_slice(leaf.raw_serial())).into_owned())
}

#[cfg(test)]
mod tests;
