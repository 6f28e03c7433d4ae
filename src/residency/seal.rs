//! Signs summaries and verifies them: Ed25519 (RFC 8032) over the octets of a text that the document itself carries.
//!
//! A document is one JSON object whose `payload` is that text, so that nobody has to agree on how JSON is written in order
//! to verify it; the signature is over [`CONTEXT`] and the text, so that it is good for nothing else. A document has one
//! spelling: what is not exactly as we write it is refused, so that no octet of it can be changed.

use super::summary::Summary;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands before the text that is signed.
const CONTEXT: &[u8] = b"anyfront residency summary 1\n";
/// What the document calls its way of signing.
const ALGORITHM: &str = "Ed25519";
/// Longest document that is read, octets: a day of a hostname at 1 024 regions takes 200 KiB.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Octets of a seed, and of a public key.
pub const KEY_BYTES: usize = 32;

/// Whom a signature is verified by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

/// A summary, signed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    algorithm: String,
    key_id: String,
    key: String,
    signature: String,
    payload: String,
}

/// What signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: PublicKey,
}

/// What a document attests, and by whose key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// What.
    pub summary: Summary,
    /// By whose.
    pub key: PublicKey,
}

/// Why a document attests nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unattested {
    /// It is longer than any.
    #[error("it is longer than {DOCUMENT_BYTES_MAX} octets: no summary is")]
    Long,
    /// It is something else.
    #[error("it is no signed summary: {0}")]
    Other(String),
    /// It says the same in other octets.
    #[error("it is not spelled as summaries are: something was changed since it was written")]
    Spelling,
    /// The key in it is none, or not the one that is named.
    #[error("the key in it is not the key that it names")]
    Key,
    /// The signature is not good.
    #[error("the signature is not good: something was changed since it was signed")]
    Signature,
    /// It is good, but by somebody else.
    #[error("it is signed, but by the key {0}, which is none of those given: another fleet's, or somebody's own")]
    Stranger(String),
    /// What is signed does not hold together.
    #[error("it is signed, but what it says does not hold together: {0}")]
    Nonsense(String),
}

impl PublicKey {
    /// Reads one: base64 of 32 octets, in its one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let key: [u8; KEY_BYTES] = STANDARD.decode(text).ok()?.try_into().ok()?;
        Some(Self(key)).filter(|key| key.to_string() == text)
    }

    /// What it is called for short: the first 64 bits of its SHA-256, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        digest(&SHA256, &self.0).as_ref()[..8].iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key.id())
    }
}

impl Signer {
    /// The one of that seed.
    ///
    /// # Panics
    /// Never: any 32 octets are a seed.
    #[must_use]
    pub fn of_seed(seed: &[u8; KEY_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 octets are a seed");
        let key = pair.public_key().as_ref().try_into().expect("32 octets");
        Self { pair, key: PublicKey(key) }
    }

    /// Whom its signatures are verified by.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The document that attests `summary`.
    ///
    /// # Panics
    /// Never: a summary is plain JSON.
    #[must_use]
    pub fn sign(&self, summary: &Summary) -> String {
        let payload = serde_json::to_string(summary).expect("a summary is plain JSON");
        let signature = self.pair.sign(&signed(&payload));
        Document {
            algorithm: ALGORITHM.to_owned(),
            key_id: self.key.id(),
            key: self.key.to_string(),
            signature: STANDARD.encode(signature.as_ref()),
            payload,
        }
        .to_text()
    }
}

impl Document {
    fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("texts are plain JSON");
        text.push('\n');
        text
    }
}

/// The octets that are signed.
fn signed(payload: &str) -> Vec<u8> {
    [CONTEXT, payload.as_bytes()].concat()
}

/// Verifies a document. Without `trusted` keys its own is taken, which proves only that nothing was changed since somebody
/// signed it.
///
/// # Errors
/// The first reason why it attests nothing.
pub fn verify(text: &[u8], trusted: Option<&[PublicKey]>) -> Result<Attested, Unattested> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(Unattested::Long);
    }
    let document: Document = serde_json::from_slice(text).map_err(|error| Unattested::Other(error.to_string()))?;
    if document.algorithm != ALGORITHM {
        return Err(Unattested::Other(format!("its signature is no {ALGORITHM}")));
    }
    if document.to_text().as_bytes() != text {
        return Err(Unattested::Spelling);
    }
    let key = PublicKey::parse(&document.key).ok_or(Unattested::Key)?;
    if key.id() != document.key_id {
        return Err(Unattested::Key);
    }
    let signature = STANDARD.decode(&document.signature).map_err(|_| Unattested::Signature)?;
    if STANDARD.encode(&signature) != document.signature {
        return Err(Unattested::Signature);
    }
    let verified = UnparsedPublicKey::new(&ED25519, key.0).verify(&signed(&document.payload), &signature);
    verified.map_err(|_| Unattested::Signature)?;
    if trusted.is_some_and(|trusted| !trusted.contains(&key)) {
        return Err(Unattested::Stranger(key.id()));
    }
    let summary: Summary =
        serde_json::from_str(&document.payload).map_err(|error| Unattested::Nonsense(error.to_string()))?;
    summary.agrees().map_err(Unattested::Nonsense)?;
    Ok(Attested { summary, key })
}
