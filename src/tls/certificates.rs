//! Our own certificates: PEM pairs from files, chosen by SNI (RFC 6066 §3), read again when the files change.
//!
//! A pair that cannot be used any more leaves the one that could in force, until its end: only what it is the newest good
//! version of matters, not when it was read. A pair that is gone from its folder is gone.

use super::pair::{Certificate, CertificateError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where certificates are.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Certificate chain and key.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Folders of pairs: `NAME.pem` or `NAME.crt` beside `NAME.key`.
    pub folders: Vec<PathBuf>,
    /// Key and chain in one file, which may not be there yet: what we order ourselves. The last of all, so that whatever an
    /// operator gives for the same name is shown instead.
    pub ordered: Option<PathBuf>,
}

impl Sources {
    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.are_only_ordered() && self.ordered.is_none()
    }

    /// Whether an operator gave none.
    #[must_use]
    pub fn are_only_ordered(&self) -> bool {
        self.pairs.is_empty() && self.folders.is_empty()
    }

    /// What we ordered, if it is there.
    fn ordered(&self) -> Option<(PathBuf, PathBuf)> {
        let path = self.ordered.as_ref().filter(|path| path.exists())?;
        Some((path.clone(), path.clone()))
    }

    /// Every pair there is now.
    fn all(&self) -> Result<Vec<(PathBuf, PathBuf)>, CertificateError> {
        let mut all = self.pairs.clone();
        for folder in &self.folders {
            let found = pairs_in(folder)?;
            if found.is_empty() {
                return Err(CertificateError::NoPairs { path: folder.clone() });
            }
            all.extend(found);
        }
        all.extend(self.ordered());
        Ok(all)
    }
}

/// The certificates of a node, by name. The first one answers clients that name nothing we know.
#[derive(Debug, Default)]
pub struct Certificates {
    /// All, the first first.
    pub all: Vec<Arc<Certificate>>,
    exact: HashMap<String, usize>,
    wildcard: HashMap<String, usize>,
}

impl Certificates {
    /// Reads every pair, `wall` after the Unix epoch.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn read(sources: &Sources, wall: Duration) -> Result<Self, CertificateError> {
        let pairs = sources.all()?;
        let read = pairs.iter().map(|(certificate, key)| Certificate::read(certificate, key, wall, None));
        Ok(Self::of(read.collect::<Result<_, _>>()?))
    }

    /// Reads every pair again. What cannot be used is told, and what it was stays.
    #[must_use]
    pub fn read_again(&self, sources: &Sources, wall: Duration) -> (Self, Vec<CertificateError>) {
        let mut problems = Vec::new();
        let mut pairs = sources.pairs.clone();
        for folder in &sources.folders {
            match pairs_in(folder) {
                Ok(mut found) => {
                    // A certificate whose key is gone has not been taken away: it is broken.
                    let left = self.below(folder).filter(|path| path.exists());
                    let left = left.filter(|path| !found.iter().any(|(known, _)| known == path)).collect::<Vec<_>>();
                    found.extend(left.into_iter().map(|path| (path.to_owned(), path.with_extension("key"))));
                    if found.is_empty() {
                        problems.push(CertificateError::NoPairs { path: folder.clone() });
                    }
                    pairs.extend(found);
                }
                Err(error) => {
                    problems.push(error);
                    pairs.extend(self.below(folder).map(|path| (path.to_owned(), path.with_extension("key"))));
                }
            }
        }
        pairs.extend(sources.ordered());
        let mut all = Vec::with_capacity(pairs.len());
        for (certificate, key) in pairs {
            let before = self.all.iter().find(|before| before.path == certificate);
            match Certificate::read(&certificate, &key, wall, before) {
                Ok(read) => all.push(read),
                Err(error) => {
                    problems.push(error);
                    all.extend(before.cloned());
                }
            }
        }
        // Without any there would be nothing to say to anybody.
        let all = if all.is_empty() { self.all.clone() } else { all };
        (Self::of(all), problems)
    }

    fn of(all: Vec<Arc<Certificate>>) -> Self {
        let mut certificates = Self { all, ..Self::default() };
        for (at, certificate) in certificates.all.iter().enumerate() {
            for name in &certificate.names.exact {
                certificates.exact.entry(name.clone()).or_insert(at);
            }
            for parent in &certificate.names.wildcard {
                certificates.wildcard.entry(parent.clone()).or_insert(at);
            }
        }
        certificates
    }

    fn below<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.all.iter().map(|certificate| &*certificate.path).filter(move |path| path.parent() == Some(folder))
    }

    /// The certificate for a client that names this name (lower case), or none. `None`: there are no certificates yet.
    #[must_use]
    pub fn choose(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        let by_name = name.and_then(|name| {
            let by_parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(name).or_else(by_parent)
        });
        self.all.get(by_name.copied().unwrap_or(0))
    }

    /// Whether these are those.
    #[must_use]
    pub fn are_same_as(&self, others: &Self) -> bool {
        self.all.len() == others.all.len()
            && self.all.iter().zip(&others.all).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Whether a pair of `before` is no more among these.
    #[must_use]
    pub fn have_lost_of(&self, before: &Self) -> bool {
        before.all.iter().any(|lost| !self.all.iter().any(|kept| kept.path == lost.path))
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
