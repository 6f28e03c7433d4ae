//! One key of a zone: it is made, read from its PEM file's text, and signs RRsets.
//!
//! Never touches a file. A key is a combined signing key (RFC 6781 §3.1): one DNSKEY with the SEP flag signs everything.

use super::canonical::to_be_signed;
use super::timing::{DNSKEY_TTL, Window, ZONE_TTL_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey, signing_key_from_der};
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{CDNSKEY, CDS, DNSKEY, DS, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, DnsSecError, PublicKey, SigningKey, TBS};
use hickory_proto::rr::{Name, RData, RecordType, SerialNumber};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use zeroize::Zeroizing;

/// Characters of base64 in one line of PEM (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// The algorithms that keys may have (RFC 8624 §3.1 recommends both).
pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::ECDSAP256SHA256, Algorithm::ED25519];

/// Why a text is no key of ours. It does not repeat what it read.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// No private key in it.
    #[error("holds no private key in PEM form (PKCS#8, \"BEGIN PRIVATE KEY\")")]
    Pem,
    /// It is a key, but not for this algorithm.
    #[error("holds no key for {0}")]
    Algorithm(Algorithm),
    /// The system gives none.
    #[error("no key can be made: {0}")]
    Made(DnsSecError),
}

/// Why an RRset is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Nothing to sign.
    #[error("{0} has no records to sign")]
    Empty(String),
    /// More than one type at once.
    #[error("records of the types {0} and {1} cannot be signed together")]
    Mixed(RecordType, RecordType),
    /// A name that the zone has no say about.
    #[error("{owner} is not in the zone {zone}")]
    Outside {
        /// Whose records.
        owner: String,
        /// Which zone.
        zone: String,
    },
    /// Caches would keep it for longer than keys are kept for them.
    #[error("{owner} {kind} with a TTL of {ttl} s: longer than {max} s would outlive the keys that signed it")]
    Ttl {
        /// Whose records.
        owner: String,
        /// Which type.
        kind: RecordType,
        /// As asked for, seconds.
        ttl: u32,
        /// The most, seconds.
        max: u64,
    },
    /// RDATA that cannot be encoded, or a signer that failed.
    #[error("{owner} {kind} cannot be signed: {source}")]
    Failed {
        /// Whose records.
        owner: String,
        /// Which type.
        kind: RecordType,
        /// Why.
        source: DnsSecError,
    },
}

/// A key with its private half. It shows that to nobody.
pub struct Key {
    /// What signatures name it by (RFC 4034 appendix B).
    pub tag: u16,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Its public half, as published.
    pub dnskey: DNSKEY,
    signer: Box<dyn SigningKey>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.tag, self.algorithm)
    }
}

impl Key {
    /// A new one, and the text that its file should hold.
    ///
    /// # Errors
    /// If the algorithm is none of [`ALGORITHMS`], or the system has no randomness to give.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<String>), BadKey> {
        let der = match algorithm {
            Algorithm::ED25519 => Ed25519SigningKey::generate_pkcs8(),
            Algorithm::ECDSAP256SHA256 => EcdsaSigningKey::generate_pkcs8(algorithm),
            other => return Err(BadKey::Algorithm(other)),
        };
        let der = der.map_err(BadKey::Made)?;
        let text = pem(der.secret_pkcs8_der());
        Ok((Self::of(der, algorithm)?, text))
    }

    /// The key that a file's text holds.
    ///
    /// # Errors
    /// Why it holds none for `algorithm`.
    pub fn parse(text: &[u8], algorithm: Algorithm) -> Result<Self, BadKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| BadKey::Pem)?;
        Self::of(der, algorithm)
    }

    fn of(der: PrivatePkcs8KeyDer<'static>, algorithm: Algorithm) -> Result<Self, BadKey> {
        let none = |_| BadKey::Algorithm(algorithm);
        let signer = signing_key_from_der(&PrivateKeyDer::Pkcs8(der), algorithm).map_err(none)?;
        let dnskey = DNSKEY::new(true, true, false, signer.to_public_key().map_err(none)?);
        let tag = dnskey.calculate_key_tag().expect("a public key of ours fits");
        Ok(Self { tag, algorithm, dnskey, signer })
    }

    /// Signs the RRset `records` of `owner`, which have the TTL `ttl`, for `zone` (RFC 4034 §3). The owner may be a
    /// wildcard; the signature is then good for every name that it stands for (RFC 4035 §2.2). Order, case and duplicates
    /// of the records do not matter.
    ///
    /// # Errors
    /// Why not: a TTL over [`ZONE_TTL_MAX`] (for DNSKEY over [`DNSKEY_TTL`]) is refused, since the life of keys is reckoned
    /// with them.
    pub fn sign(
        &self,
        owner: &Name,
        ttl: u32,
        records: &[RData],
        window: Window,
        zone: &Name,
    ) -> Result<RRSIG, SignError> {
        let Some(kind) = records.first().map(RData::record_type) else {
            return Err(SignError::Empty(owner.to_ascii()));
        };
        if let Some(other) = records.iter().map(RData::record_type).find(|other| *other != kind) {
            return Err(SignError::Mixed(kind, other));
        }
        if !zone.zone_of(owner) {
            return Err(SignError::Outside { owner: owner.to_ascii(), zone: zone.to_ascii() });
        }
        let max = if kind == RecordType::DNSKEY { DNSKEY_TTL } else { ZONE_TTL_MAX }.as_secs();
        if u64::from(ttl) > max {
            return Err(SignError::Ttl { owner: owner.to_ascii(), kind, ttl, max });
        }
        let input = SigInput {
            type_covered: kind,
            algorithm: self.algorithm,
            num_labels: owner.num_labels(),
            original_ttl: ttl,
            sig_expiration: SerialNumber::new(window.expiration),
            sig_inception: SerialNumber::new(window.inception),
            key_tag: self.tag,
            signer_name: zone.to_lowercase(),
        };
        let signed = to_be_signed(owner, &input, records)
            .map_err(DnsSecError::from)
            .and_then(|octets| self.signer.sign(&TBS::from(&octets[..])));
        match signed {
            Ok(signature) => Ok(RRSIG::from_sig(input, signature)),
            Err(source) => Err(SignError::Failed { owner: owner.to_ascii(), kind, source }),
        }
    }
}

/// The record by which the parent vouches for a key of `zone` (RFC 4034 §5), with SHA-256 or SHA-384.
///
/// # Panics
/// If `digest` is neither.
#[must_use]
pub fn ds(dnskey: &DNSKEY, zone: &Name, digest: DigestType) -> DS {
    let tag = dnskey.calculate_key_tag().expect("a public key of ours fits");
    let digested = dnskey.to_digest(zone, digest).expect("SHA-2 of a name and a key");
    DS::new(tag, dnskey.public_key().algorithm(), digest, digested.as_ref().to_vec())
}

/// What asks the parent to vouch for a key (RFC 7344 §3). SHA-256 only: it is the one that every parent must know.
#[must_use]
pub fn cds(dnskey: &DNSKEY, zone: &Name) -> (CDS, CDNSKEY) {
    let ds = ds(dnskey, zone, DigestType::SHA256);
    let algorithm = Some(ds.algorithm());
    let public = dnskey.public_key().public_bytes().to_vec();
    (
        CDS::new(ds.key_tag(), algorithm, ds.digest_type(), ds.digest().to_vec()),
        CDNSKEY::with_flags(dnskey.flags(), algorithm, public),
    )
}

/// What asks the parent to vouch for nobody any more (RFC 8078 §4): `0 0 0 00` and `0 3 0 AA==`.
#[must_use]
pub fn cds_delete() -> (CDS, CDNSKEY) {
    (CDS::new(0, None, DigestType::Unknown(0), vec![0]), CDNSKEY::with_flags(0, None, vec![0]))
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // One allocation, so that no half of it stays behind in memory.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / PEM_LINE + 64));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    for (at, character) in body.chars().enumerate() {
        if at > 0 && at % PEM_LINE == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnssec::timing::window_at;
    use hickory_proto::dnssec::Verifier;
    use hickory_proto::rr::rdata::{A, TXT};
    use hickory_proto::rr::{DNSClass, Record};
    use std::time::Duration;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect(text)
    }

    fn window() -> Window {
        window_at(Duration::from_secs(1_795_305_599))
    }

    fn a(last: u8) -> RData {
        RData::A(A::new(192, 0, 2, last))
    }

    #[test]
    fn what_a_key_signs_verifies_with_its_public_half_and_no_other() {
        for algorithm in ALGORITHMS {
            let (key, _) = Key::generate(algorithm).expect("made");
            let (other, _) = Key::generate(algorithm).expect("made");
            let (owner, zone) = (name("www.Gateway.example."), name("gateway.example."));
            let rrsig = key.sign(&owner, 60, &[a(2), a(1)], window(), &zone).expect("signed");
            assert_eq!(rrsig.input().key_tag, key.tag);
            assert_eq!((rrsig.input().num_labels, rrsig.input().original_ttl), (3, 60));
            let records: Vec<Record> =
                [a(1), a(2)].into_iter().map(|data| Record::from_rdata(owner.to_lowercase(), 7, data)).collect();
            let verify =
                |key: &Key| key.dnskey.verify_rrsig(&owner.to_lowercase(), DNSClass::IN, &rrsig, records.iter());
            verify(&key).expect("a good signature");
            verify(&other).expect_err("another key");
        }
    }

    #[test]
    fn a_wildcard_is_signed_for_every_name_that_it_stands_for() {
        let (key, _) = Key::generate(Algorithm::ED25519).expect("made");
        let zone = name("gateway.example.");
        let rrsig = key.sign(&name("*.gateway.example."), 60, &[a(1)], window(), &zone).expect("signed");
        assert_eq!(rrsig.input().num_labels, 2);
        let expanded = name("some.where.gateway.example.");
        let record = Record::from_rdata(expanded.clone(), 60, a(1));
        key.dnskey.verify_rrsig(&expanded, DNSClass::IN, &rrsig, [&record].into_iter()).expect("a good signature");
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_shows_itself_to_nobody() {
        for algorithm in ALGORITHMS {
            let (key, text) = Key::generate(algorithm).expect("made");
            let read = Key::parse(text.as_bytes(), algorithm).expect("read");
            assert_eq!((read.tag, &read.dnskey), (key.tag, &key.dnskey));
            assert_eq!(format!("{key:?}"), format!("Key({} {algorithm})", key.tag));
            assert!(text.lines().all(|line| line.len() <= PEM_LINE), "{}", text.len());
        }
        let (_, text) = Key::generate(Algorithm::ED25519).expect("made");
        let wrong = Key::parse(text.as_bytes(), Algorithm::ECDSAP256SHA256).expect_err("another algorithm");
        assert_eq!(wrong.to_string(), "holds no key for ECDSAP256SHA256");
        assert!(matches!(Key::parse(b"", Algorithm::ED25519), Err(BadKey::Pem)));
        assert!(matches!(Key::parse(&text.as_bytes()[..60], Algorithm::ED25519), Err(BadKey::Pem)));
    }

    #[test]
    fn what_would_outlive_its_key_or_is_not_ours_is_not_signed() {
        let (key, _) = Key::generate(Algorithm::ED25519).expect("made");
        let zone = name("gateway.example.");
        let sign = |owner: &str, ttl, records: &[RData]| key.sign(&name(owner), ttl, records, window(), &zone);
        sign("gateway.example.", 86_400, &[a(1)]).expect("a day");
        assert!(matches!(sign("gateway.example.", 86_401, &[a(1)]), Err(SignError::Ttl { max: 86_400, .. })));
        let dnskey = [RData::from(key.dnskey.clone())];
        sign("gateway.example.", 3_600, &dnskey).expect("an hour");
        assert!(matches!(sign("gateway.example.", 3_601, &dnskey), Err(SignError::Ttl { max: 3_600, .. })));
        assert!(matches!(sign("example.", 60, &[a(1)]), Err(SignError::Outside { .. })));
        assert!(matches!(sign("notgateway.example.", 60, &[a(1)]), Err(SignError::Outside { .. })));
        assert!(matches!(sign("gateway.example.", 60, &[]), Err(SignError::Empty(_))));
        let txt = RData::TXT(TXT::new(vec!["x".to_owned()]));
        assert!(matches!(
            sign("gateway.example.", 60, &[a(1), txt]),
            Err(SignError::Mixed(RecordType::A, RecordType::TXT))
        ));
    }

    #[test]
    fn the_records_for_the_parent_are_those_of_the_published_example() {
        // RFC 6605 §6.1: a P-256 key, its tag and its DS.
        let public = STANDARD
            .decode("GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==")
            .expect("base64");
        let public = hickory_proto::dnssec::PublicKeyBuf::new(public, Algorithm::ECDSAP256SHA256);
        let dnskey = DNSKEY::new(true, true, false, public);
        let zone = name("example.net.");
        let wanted = "55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17";
        let (cds, cdnskey) = cds(&dnskey, &zone);
        assert_eq!(cds.to_string(), wanted);
        assert!(cdnskey.to_string().starts_with("257 3 13 GojIhhXUN/u4"), "{cdnskey}");
        assert_eq!(ds(&dnskey, &zone, DigestType::SHA384).digest().len(), 48);
        let (cds, cdnskey) = cds_delete();
        assert_eq!((cds.to_string().as_str(), cdnskey.to_string().as_str()), ("0 0 0 00", "0 3 0 AA=="));
    }
}
