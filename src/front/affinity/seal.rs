//! Tokens that only the fleet's nodes can make and read: what clients carry for us.
//!
//! A token is visible ASCII that begins with [`MARK`]. Its content is encrypted and authenticated (AES-256-GCM) together with
//! what it was made for: the fleet's zone and the hostname. The nonce is made of the content (HMAC-SHA-256), so that the same
//! content is always the same token, from every node; two contents meet in a nonce as rarely as in 96 bits of chance.

use crate::limits::SEALED_TOKEN_BYTES_MAX;
use crate::names::Hostname;
use crate::secret::{KEY_BYTES, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What every token of ours begins with, and by which it is known to be meant for us.
pub const MARK: &str = "anyfront.";

/// What tokens are for: each purpose has keys of its own, so that one cannot stand for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session of MCP.
    Session,
    /// A pin in a cookie.
    Pin,
}

impl Purpose {
    fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Session => ["mcp session", "mcp session nonce"],
            Self::Pin => ["affinity pin", "affinity pin nonce"],
        }
    }
}

/// Makes and reads the tokens of one purpose under one hostname.
#[derive(Debug)]
pub struct Seal<'a> {
    secret: &'a Secret,
    purpose: Purpose,
    /// What is authenticated besides.
    context: Vec<u8>,
}

/// What a text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// No token of ours.
    Foreign,
    /// One of ours by its form, but forged, damaged, or made for another hostname, fleet or purpose.
    Broken,
    /// What was sealed.
    Content(Vec<u8>),
}

impl<'a> Seal<'a> {
    /// For tokens of `hostname` in the fleet of `zone`.
    #[must_use]
    pub fn new(secret: &'a Secret, purpose: Purpose, zone: &Hostname, hostname: &Hostname) -> Self {
        // Names have no NUL, so two of them cannot be read as another two.
        let context = [zone.as_str().as_bytes(), hostname.as_str().as_bytes()].join(&0);
        Self { secret, purpose, context }
    }

    /// The token for `content`, made with the newest secret.
    ///
    /// # Panics
    /// Never: the keys have the length that the cipher wants, and contents are short.
    #[must_use]
    pub fn seal(&self, content: &[u8]) -> String {
        let [cipher, nonce] = self.purpose.keys().map(|purpose| self.secret.keys(purpose)[0]);
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &nonce));
        signing.update(&self.context);
        signing.update(&[0]);
        signing.update(content);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&signing.sign().as_ref()[..NONCE_LEN]);
        let mut sealed = content.to_vec();
        key(&cipher)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&self.context), &mut sealed)
            .expect("contents are short");
        let token = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        format!("{MARK}{token}")
    }

    /// What `text` is, by any of the secrets.
    #[must_use]
    pub fn open(&self, text: &[u8]) -> Opened {
        let Some(token) = text.strip_prefix(MARK.as_bytes()) else { return Opened::Foreign };
        if text.len() > SEALED_TOKEN_BYTES_MAX {
            return Opened::Broken;
        }
        let Ok(octets) = URL_SAFE_NO_PAD.decode(token) else { return Opened::Broken };
        let Some((nonce, sealed)) = octets.split_first_chunk::<NONCE_LEN>() else { return Opened::Broken };
        let [cipher, _] = self.purpose.keys();
        let open = |cipher: [u8; KEY_BYTES]| {
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let content = key(&cipher).open_in_place(nonce, Aad::from(&self.context), &mut sealed);
            content.ok().map(|content| content.to_vec())
        };
        self.secret.keys(cipher).into_iter().find_map(open).map_or(Opened::Broken, Opened::Content)
    }
}

fn key(octets: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, octets).expect("32 octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn secret(text: &str) -> Secret {
        Secret::parse(text).expect("a secret")
    }

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).expect("a name")
    }

    fn seal<'a>(secret: &'a Secret, hostname: &str) -> Seal<'a> {
        Seal::new(secret, Purpose::Session, &name("zone.example"), &name(hostname))
    }

    #[test]
    fn the_same_content_is_the_same_token_everywhere_and_any_node_opens_it() {
        let (one, other) = (secret(OLD), secret(OLD));
        let token = seal(&one, "a.example").seal(b"orf/1");
        assert_eq!(token, seal(&other, "a.example").seal(b"orf/1"));
        assert_ne!(token, seal(&one, "a.example").seal(b"orf/2"));
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(seal(&other, "a.example").open(token.as_bytes()), Opened::Content(b"orf/1".to_vec()));
    }

    #[test]
    fn a_token_is_good_for_what_it_was_made_for_alone() {
        let known = secret(OLD);
        let token = seal(&known, "a.example").seal(b"x");
        assert_eq!(seal(&known, "b.example").open(token.as_bytes()), Opened::Broken);
        assert_eq!(seal(&secret(NEW), "a.example").open(token.as_bytes()), Opened::Broken);
        let elsewhere = Seal::new(&known, Purpose::Session, &name("other.example"), &name("a.example"));
        assert_eq!(elsewhere.open(token.as_bytes()), Opened::Broken);
        let pin = Seal::new(&known, Purpose::Pin, &name("zone.example"), &name("a.example"));
        assert_eq!(pin.open(token.as_bytes()), Opened::Broken);
    }

    #[test]
    fn whatever_is_changed_in_a_token_breaks_it() {
        let known = secret(OLD);
        let seal = seal(&known, "a.example");
        let token = seal.seal(b"the region and the session");
        for at in MARK.len()..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(&forged), Opened::Broken, "octet {at}");
            assert_eq!(seal.open(&token.as_bytes()[..at]), Opened::Broken, "cut at {at}");
        }
        assert_eq!(seal.open(format!("{token}=").as_bytes()), Opened::Broken);
        assert_eq!(seal.open(&token.as_bytes()[1..]), Opened::Foreign);
        assert_eq!(seal.open(b""), Opened::Foreign);
    }

    #[test]
    fn after_a_rotation_the_old_secret_opens_and_the_new_one_seals() {
        let (before, after) = (secret(OLD), secret(&format!("{NEW}\n{OLD}")));
        let token = seal(&before, "a.example").seal(b"x");
        assert_eq!(seal(&after, "a.example").open(token.as_bytes()), Opened::Content(b"x".to_vec()));
        assert_eq!(seal(&after, "a.example").seal(b"x"), seal(&secret(NEW), "a.example").seal(b"x"));
    }

    #[test]
    fn a_token_past_the_bound_is_not_even_decoded() {
        let known = secret(OLD);
        let seal = seal(&known, "a.example");
        let octets = |count: usize| seal.seal(&vec![b'x'; count]);
        let most = (SEALED_TOKEN_BYTES_MAX - MARK.len()) * 3 / 4 - NONCE_LEN - AES_256_GCM.tag_len();
        assert!(octets(most).len() <= SEALED_TOKEN_BYTES_MAX && octets(most + 1).len() > SEALED_TOKEN_BYTES_MAX);
        assert!(matches!(seal.open(octets(most).as_bytes()), Opened::Content(_)));
        assert_eq!(seal.open(octets(most + 1).as_bytes()), Opened::Broken);
    }
}
