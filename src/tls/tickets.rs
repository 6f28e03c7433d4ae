//! Session tickets that every node of the fleet understands (RFC 8446 §2.2, RFC 5077): sealed with keys derived from the
//! fleet's secret, for an epoch of the wall clock and for the one who seals.
//!
//! A ticket is: epoch, name of the secret, name of the sealer, nonce, and what it holds under AES-256-GCM; all before the
//! box is authenticated with it. Each process seals with keys of its own, so random nonces stay far from the bound of the
//! cipher however large the fleet is. A ticket of the epochs before and after the present one is still opened: nodes'
//! clocks differ. There is nothing on disk but the secret.

use crate::moment::Clock;
use crate::secret::{KEY_BYTES, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use std::fmt;
use std::time::Duration;

/// How long one key seals, by the wall clock. A ticket lives at least that long and less than twice as long.
pub const EPOCH: Duration = Duration::from_secs(6 * 3_600);

/// What the keys are for.
const PURPOSE: &str = "tls tickets";
/// Octets of a ticket before the nonce: epoch, name of the secret, name of the sealer.
const HEAD_BYTES: usize = 8 + SECRET_NAME_BYTES + SEALER_NAME_BYTES;
const SECRET_NAME_BYTES: usize = 4;
const SEALER_NAME_BYTES: usize = 16;

/// Seals and opens tickets: a machine, told the time.
pub struct Tickets {
    /// Newest first, by name.
    secrets: Vec<([u8; SECRET_NAME_BYTES], Prk)>,
    /// Whose tickets it makes.
    sealer: [u8; SEALER_NAME_BYTES],
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} secrets)", self.secrets.len())
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl Tickets {
    /// Tickets under `secret`: made with its newest line, opened with any.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let keyed = |key: [u8; KEY_BYTES]| {
            let mut name = [0; SECRET_NAME_BYTES];
            name.copy_from_slice(&digest(&SHA256, &key).as_ref()[..SECRET_NAME_BYTES]);
            (name, Prk::new_less_safe(HKDF_SHA256, &key))
        };
        let mut sealer = [0; SEALER_NAME_BYTES];
        rand::fill(&mut sealer).expect("the system gives randomness");
        Self { secrets: secret.keys(PURPOSE).into_iter().map(keyed).collect(), sealer }
    }

    /// Seals `plain` at this time since the Unix epoch. `None`: the system has no randomness to give.
    #[must_use]
    pub fn seal(&self, wall: Duration, plain: &[u8]) -> Option<Vec<u8>> {
        let (name, secret) = self.secrets.first()?;
        let mut ticket = Vec::with_capacity(HEAD_BYTES + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&epoch_at(wall).to_be_bytes());
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&self.sealer);
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let key = key(secret, &ticket)?;
        let mut sealed = plain.to_vec();
        let nonce_given = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_given, Aad::from(&ticket), &mut sealed).ok()?;
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    /// Opens what any node with one of our secrets sealed in this epoch, the one before or the one after.
    #[must_use]
    pub fn open(&self, wall: Duration, ticket: &[u8]) -> Option<Vec<u8>> {
        let (head, rest) = ticket.split_at_checked(HEAD_BYTES)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let (epoch, names) = head.split_first_chunk()?;
        if u64::from_be_bytes(*epoch).abs_diff(epoch_at(wall)) > 1 {
            return None;
        }
        let (_, secret) = self.secrets.iter().find(|(name, _)| names.starts_with(name))?;
        let mut plain = sealed.to_vec();
        let opened = key(secret, head)?
            .open_in_place(Nonce::try_assume_unique_for_key(nonce).ok()?, Aad::from(head), &mut plain)
            .ok()?
            .len();
        plain.truncate(opened);
        Some(plain)
    }
}

/// The key that seals under this head: the epoch and who seals are in it.
fn key(secret: &Prk, head: &[u8]) -> Option<LessSafeKey> {
    let mut bytes = [0; KEY_BYTES];
    secret.expand(&[head], Length).and_then(|material| material.fill(&mut bytes)).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).ok();
    zeroize::Zeroize::zeroize(&mut bytes);
    key.map(LessSafeKey::new)
}

fn epoch_at(wall: Duration) -> u64 {
    wall.as_secs() / EPOCH.as_secs()
}

/// [`Tickets`] with the time, as TLS takes them.
#[derive(Debug)]
pub struct Ticketer {
    /// What seals.
    pub tickets: Tickets,
    /// When it does.
    pub clock: Clock,
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    /// As long as a ticket is good in any case.
    fn lifetime(&self) -> u32 {
        u32::try_from(EPOCH.as_secs()).expect("some hours")
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.seal(self.clock.wall(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.tickets.open(self.clock.wall(), ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    /// The beginning of an epoch.
    const NOW: Duration = Duration::from_secs(80_000 * 6 * 3_600);
    const SECOND: Duration = Duration::from_secs(1);

    fn tickets(lines: &[&str]) -> Tickets {
        Tickets::new(&Secret::parse(&lines.join("\n")).expect("a secret"))
    }

    #[test]
    fn what_one_node_seals_another_with_the_same_secret_opens_and_nobody_else() {
        let (one, other) = (tickets(&[OLD]), tickets(&[OLD]));
        let ticket = one.seal(NOW, b"a session").expect("sealed");
        assert_eq!(other.open(NOW, &ticket).as_deref(), Some(&b"a session"[..]));
        assert_eq!(tickets(&[NEW]).open(NOW, &ticket), None);
        assert_eq!(Tickets::new(&Secret::random()).open(NOW, &ticket), None);
        assert_ne!(one.seal(NOW, b"a session"), Some(ticket), "never the same nonce");
    }

    #[test]
    fn a_ticket_lives_one_epoch_at_least_and_less_than_two() {
        let all = tickets(&[OLD]);
        for made in [NOW, NOW + EPOCH / 2, NOW + EPOCH - SECOND] {
            let ticket = all.seal(made, b"x").expect("sealed");
            assert!(all.open(made + EPOCH, &ticket).is_some(), "the hint is kept");
            assert!(all.open(made + 2 * EPOCH, &ticket).is_none(), "an old key is no key");
        }
        let early = all.seal(NOW + EPOCH, b"x").expect("sealed");
        assert!(all.open(NOW + EPOCH - SECOND, &early).is_some(), "made by a node whose clock is ahead");
        assert!(all.open(NOW - SECOND, &early).is_none());
    }

    #[test]
    fn through_a_rotation_every_ticket_is_understood_until_its_secret_is_gone() {
        let (before, during, after) = (tickets(&[OLD]), tickets(&[NEW, OLD]), tickets(&[NEW]));
        let (old, new) = (before.seal(NOW, b"x").expect("sealed"), during.seal(NOW, b"x").expect("sealed"));
        assert!(during.open(NOW, &old).is_some() && during.open(NOW, &new).is_some());
        assert!(after.open(NOW, &new).is_some());
        assert!(after.open(NOW, &old).is_none() && before.open(NOW, &new).is_none());
        // Which is why the new line goes to every node as a second one first.
        assert!(tickets(&[OLD, NEW]).open(NOW, &new).is_some());
    }

    #[test]
    fn a_ticket_with_any_bit_changed_or_any_part_missing_is_none() {
        let all = tickets(&[OLD]);
        let ticket = all.seal(NOW, b"a session").expect("sealed");
        for at in 0..ticket.len() * 8 {
            let mut changed = ticket.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(all.open(NOW, &changed), None, "bit {at}");
        }
        for length in 0..ticket.len() {
            assert_eq!(all.open(NOW, &ticket[..length]), None, "{length} octets");
        }
        assert_eq!(all.open(NOW, &[&ticket[..], b"x"].concat()), None);
    }
}
