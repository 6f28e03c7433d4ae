//! What is nobody's business stays unreadable in the history's file: addresses of subscribers, secrets of webhooks.
//!
//! The key is 32 random octets in `history.key` beside the file, made when it is first needed, for its owner alone. Values are
//! encrypted and authenticated (AES-256-GCM, random nonce) together with the place where they stand, so that one cannot be put
//! in the place of another. What has to be found again is found by a keyed hash (HMAC-SHA-256). Without the key the values
//! stay where they are and nobody can read them: it belongs into a backup, but not into the one of the file.

use crate::secret::{KEY_BYTES, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file of the key in the state directory.
pub const FILE: &str = "history.key";
/// Octets that tell by which key something was sealed.
const KEY_ID_BYTES: usize = 8;
/// Octets of a keyed hash.
pub const INDEX_BYTES: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("{}: {doing}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: `cannot be read`.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The file is no key of ours. It is left as it is: it may be half of one.
    #[error("{}: holds no key: it has to have {KEY_BYTES} octets, as it was made", path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
    },
}

/// Why something sealed cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another key sealed it: that one is lost, or somebody has exchanged the file.
    #[error("was sealed with another key than the one in {FILE}")]
    OtherKey,
    /// It is damaged, forged, or stood somewhere else.
    #[error("is damaged, or was moved from another place")]
    Damaged,
}

/// Where a value stands: it can be read there and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// In which table.
    pub table: &'a str,
    /// In which column.
    pub column: &'a str,
    /// In which row, by its key.
    pub row: i64,
}

impl Place<'_> {
    fn context(&self) -> Vec<u8> {
        // Names of tables and columns have no NUL.
        [self.table.as_bytes(), &[0], self.column.as_bytes(), &[0], &self.row.to_be_bytes()].concat()
    }
}

/// Seals and opens. It shows its keys to nobody.
#[derive(Debug)]
pub struct Sealer {
    id: [u8; KEY_ID_BYTES],
    cipher: LessSafeKey,
    index: hmac::Key,
}

impl Sealer {
    /// With the key in `folder`, which is made if there is none. Blocks.
    ///
    /// # Errors
    /// Why there is no key.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        match read(&path) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(&path)?;
                read(&path)
            }
            read => read,
        }
    }

    fn of(octets: &[u8; KEY_BYTES]) -> Self {
        let secret = Secret::of(octets);
        let key = |purpose| secret.keys(purpose)[0];
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&key("history key id")[..KEY_ID_BYTES]);
        Self {
            id,
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key("history seal")).expect("32 octets")),
            index: hmac::Key::new(hmac::HMAC_SHA256, &key("history index")),
        }
    }

    /// What tells this key from others, and nothing of it.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// `content`, to be kept at `place`. Each time it looks different.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    #[must_use]
    pub fn seal(&self, place: &Place<'_>, content: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the system gives randomness");
        let mut sealed = content.to_vec();
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.context()), &mut sealed)
            .expect("contents are short");
        [&self.id[..], &nonce, &sealed].concat()
    }

    /// What was sealed for `place`.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open_sealed(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or(Unreadable::Damaged)?;
        if *id != self.id {
            return Err(Unreadable::OtherKey);
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unreadable::Damaged)?;
        let (nonce, mut sealed) = (Nonce::assume_unique_for_key(*nonce), sealed.to_vec());
        let content = self.cipher.open_in_place(nonce, Aad::from(place.context()), &mut sealed);
        content.map(|content| content.to_vec()).map_err(|_| Unreadable::Damaged)
    }

    /// A keyed hash by which `text` is found again among others of the same `purpose`, without telling it to those who read
    /// the file.
    #[must_use]
    pub fn index(&self, purpose: &str, text: &str) -> [u8; INDEX_BYTES] {
        let mut hash = hmac::Context::with_key(&self.index);
        hash.update(purpose.as_bytes());
        hash.update(&[0]);
        hash.update(text.as_bytes());
        let mut index = [0; INDEX_BYTES];
        index.copy_from_slice(hash.sign().as_ref());
        index
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::File { path, doing, source }
}

fn read(path: &Path) -> Result<Sealer, KeyError> {
    let file = File::open(path).map_err(failed(path, "cannot be read"))?;
    let mut octets = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut octets).map_err(failed(path, "cannot be read"))?;
    let key = octets.as_slice().try_into().map_err(|_| KeyError::NoKey { path: path.to_owned() })?;
    Ok(Sealer::of(key))
}

/// Makes a new key, whole before it has its name. If another process was quicker, its key is the one.
fn make(path: &Path) -> Result<(), KeyError> {
    let mut octets = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(octets.as_mut()).expect("the system gives randomness");
    let beside = path.with_extension(format!("key.new-{}", std::process::id()));
    let made = (|| {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(octets.as_ref())?;
        file.sync_all()?;
        // Unlike a renaming, a second name never takes the place of what is there.
        match std::fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    let _ = std::fs::remove_file(&beside);
    made.map_err(failed(path, "cannot be made"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const HERE: Place<'static> = Place { table: "subscriber", column: "address", row: 7 };

    fn sealer() -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().expect("a folder");
        let sealer = Sealer::open(folder.path()).expect("a key");
        (folder, sealer)
    }

    #[test]
    fn what_is_sealed_is_read_in_its_place_and_nowhere_else() {
        let (_folder, sealer) = sealer();
        let sealed = sealer.seal(&HERE, b"ada@example.org");
        assert_eq!(sealer.open_sealed(&HERE, &sealed).as_deref(), Ok(&b"ada@example.org"[..]));
        assert_ne!(sealed, sealer.seal(&HERE, b"ada@example.org"), "each time it looks different");
        for elsewhere in
            [Place { row: 8, ..HERE }, Place { column: "secret", ..HERE }, Place { table: "delivery", ..HERE }]
        {
            assert_eq!(sealer.open_sealed(&elsewhere, &sealed), Err(Unreadable::Damaged), "{elsewhere:?}");
        }
    }

    #[test]
    fn whatever_is_changed_makes_it_unreadable() {
        let (_folder, sealer) = sealer();
        let sealed = sealer.seal(&HERE, b"x");
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(sealer.open_sealed(&HERE, &forged).is_err(), "octet {at}");
            assert!(sealer.open_sealed(&HERE, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let (folder, sealer) = sealer();
        let path = folder.path().join(FILE);
        let about = std::fs::metadata(&path).expect("a key");
        assert_eq!((about.len(), about.permissions().mode() & 0o777), (32, 0o600));
        let sealed = sealer.seal(&HERE, b"x");
        let again = Sealer::open(folder.path()).expect("the same key");
        assert_eq!(again.open_sealed(&HERE, &sealed).as_deref(), Ok(&b"x"[..]));
        assert_eq!(again.index("mail", "a"), sealer.index("mail", "a"));
        assert_ne!(again.index("mail", "a"), sealer.index("hook", "a"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_lost_key_is_told_and_half_a_key_is_left_alone() {
        let (folder, sealer) = sealer();
        let sealed = sealer.seal(&HERE, b"x");
        let path = folder.path().join(FILE);
        std::fs::remove_file(&path).expect("lost");
        let other = Sealer::open(folder.path()).expect("a new key");
        assert_ne!(other.id(), sealer.id());
        assert_eq!(other.open_sealed(&HERE, &sealed), Err(Unreadable::OtherKey));
        for length in [0, 31, 33] {
            std::fs::write(&path, vec![1; length]).expect("written");
            let error = Sealer::open(folder.path()).expect_err("no key").to_string();
            assert!(error.contains(FILE) && error.contains("32 octets"), "{error}");
            assert_eq!(std::fs::read(&path).expect("still there").len(), length);
        }
    }
}
