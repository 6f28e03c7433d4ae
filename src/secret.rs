//! The fleet's secret, from which every key that nodes share is derived: what one node sealed, any other opens.
//!
//! A file holds one secret a line, newest first: everything is made with the first, and what was made with the others is
//! still understood. Without a file a node makes one up, and then only itself understands what it sealed.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use std::fmt;

/// Octets of a derived key.
pub const KEY_BYTES: usize = 32;
/// Fewest characters of a written secret: 128 bits in hexadecimal.
const CHARACTERS_MIN: usize = 32;
/// Most secrets in a file: the one in force and those that are being retired.
const LINES_MAX: usize = 8;

/// What the nodes of a fleet know and nobody else. It shows itself to nobody.
pub struct Secret(Vec<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} of them)", self.0.len())
    }
}

/// Why a text is no secret. It does not repeat what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing is in it.
    #[error(
        "holds no secret: write at least {CHARACTERS_MIN} random characters on a line, as `openssl rand -hex 32` prints"
    )]
    Empty,
    /// One is too easy to guess.
    #[error("line {0} is too short: at least {CHARACTERS_MIN} random characters, as `openssl rand -hex 32` prints")]
    Short(usize),
    /// There are more than anybody needs.
    #[error("holds more than {LINES_MAX} secrets: the first is used to seal, the others only to open what they sealed")]
    TooMany,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl Secret {
    /// A new one, of 256 bits.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = vec![0; KEY_BYTES];
        rand::fill(&mut bytes).expect("the system gives randomness");
        Self(vec![bytes])
    }

    /// The one that a file holds as it is.
    #[must_use]
    pub fn of(octets: &[u8; KEY_BYTES]) -> Self {
        Self(vec![octets.to_vec()])
    }

    /// Reads secrets, one a line, newest first. Empty lines and those that begin with `#` mean nothing.
    ///
    /// # Errors
    /// What is wrong and on which line.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut secrets = Vec::new();
        for (at, line) in text.lines().enumerate() {
            match line.trim() {
                line if line.is_empty() || line.starts_with('#') => {}
                line if line.len() < CHARACTERS_MIN => return Err(SecretError::Short(at + 1)),
                line => secrets.push(line.as_bytes().to_vec()),
            }
        }
        match secrets.len() {
            0 => Err(SecretError::Empty),
            1..=LINES_MAX => Ok(Self(secrets)),
            _ => Err(SecretError::TooMany),
        }
    }

    /// The keys for a purpose, newest first: the first to seal with, all of them to open with (HKDF, RFC 5869).
    ///
    /// # Panics
    /// Never: the length is one that HKDF can give.
    #[must_use]
    pub fn keys(&self, purpose: &str) -> Vec<[u8; KEY_BYTES]> {
        let salt = Salt::new(HKDF_SHA256, b"anyfront");
        let derive = |secret: &Vec<u8>| {
            let mut key = [0; KEY_BYTES];
            let derived = salt.extract(secret);
            let info = [purpose.as_bytes()];
            derived.expand(&info, Length).and_then(|key_material| key_material.fill(&mut key)).expect("32 octets");
            key
        };
        self.0.iter().map(derive).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn nodes_with_the_same_file_derive_the_same_keys_and_each_purpose_its_own() {
        let (one, other) = (Secret::parse(OLD).expect("good"), Secret::parse(OLD).expect("good"));
        assert_eq!(one.keys("tickets"), other.keys("tickets"));
        assert_ne!(one.keys("tickets"), one.keys("sessions"));
        assert_ne!(Secret::random().keys("tickets"), Secret::random().keys("tickets"));
    }

    #[test]
    fn after_a_rotation_the_old_secret_still_opens() {
        let before = Secret::parse(OLD).expect("good").keys("tickets");
        let after = Secret::parse(&format!("# rotated\n{NEW}\n\n{OLD}\n")).expect("good").keys("tickets");
        assert_eq!(after.len(), 2);
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn what_is_no_secret_is_told_and_not_repeated() {
        assert_eq!(Secret::parse("# nothing\n").err(), Some(SecretError::Empty));
        assert_eq!(Secret::parse(&format!("{OLD}\nhunter2\n")).err(), Some(SecretError::Short(2)));
        assert_eq!(Secret::parse(&format!("{OLD}\n").repeat(9)).err(), Some(SecretError::TooMany));
        assert!(!SecretError::Short(2).to_string().contains("hunter2"));
        assert_eq!(format!("{:?}", Secret::parse(OLD).expect("good")), "Secret(1 of them)");
    }
}
