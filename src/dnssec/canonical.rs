//! What a signature is made over: an RRset in canonical form (RFC 4034 §3.1.8.1, §6).
//!
//! Ordering and duplicates are judged by the octets that are signed. The encoder of names in RDATA is hickory's; the types
//! with names that it keeps as octets are done here, so that what a resolver lower-cases is signed in lower case.

use hickory_proto::ProtoError;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::rr::{DNSClass, Name, RData};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

/// The octets that a signature with the fields `input` over `records` of `owner` covers.
///
/// # Errors
/// What hickory cannot encode: RDATA of 64 KiB or more.
pub fn to_be_signed(owner: &Name, input: &SigInput, records: &[RData]) -> Result<Vec<u8>, ProtoError> {
    let mut all = records.iter().map(canonical).collect::<Result<Vec<_>, _>>()?;
    all.sort_unstable();
    all.dedup();
    let mut head = encoded(|encoder| {
        encoder.set_name_encoding(NameEncoding::UncompressedLowercase);
        owner.emit(encoder)
    })?;
    head.extend(u16::from(input.type_covered).to_be_bytes());
    head.extend(u16::from(DNSClass::IN).to_be_bytes());
    head.extend(input.original_ttl.to_be_bytes());
    let mut signed = encoded(|encoder| input.emit(encoder))?;
    for data in all {
        let length = u16::try_from(data.len()).map_err(|_| ProtoError::from("RDATA longer than 65535 octets"))?;
        signed.extend(&head);
        signed.extend(length.to_be_bytes());
        signed.extend(data);
    }
    Ok(signed)
}

/// RDATA with its names uncompressed, and in lower case where RFC 4034 §6.2 and RFC 6840 §5.1 say so.
fn canonical(data: &RData) -> Result<Vec<u8>, ProtoError> {
    let mut octets = encoded(|encoder| data.emit(encoder))?;
    if let RData::Unknown { code, .. } = data {
        lower_names(u16::from(*code), &mut octets);
    }
    Ok(octets)
}

fn encoded(write: impl FnOnce(&mut BinEncoder<'_>) -> Result<(), ProtoError>) -> Result<Vec<u8>, ProtoError> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    write(&mut encoder)?;
    Ok(octets)
}

/// Lower-cases the names in RDATA of the old types that are listed in RFC 4034 §6.2 and that hickory has no type for.
/// What does not parse stays as it is: it is no name then.
fn lower_names(code: u16, octets: &mut [u8]) {
    // Octets before the first name, and names.
    let (skip, names) = match code {
        3 | 4 | 7 | 8 | 9 | 39 => (0, 1), // MD, MF, MB, MG, MR, DNAME
        14 | 17 => (0, 2),                // MINFO, RP
        18 | 21 | 36 => (2, 1),           // AFSDB, RT, KX
        26 => (2, 2),                     // PX
        _ => return,
    };
    let mut at = skip;
    for _ in 0..names {
        while let Some(length) = octets.get(at).copied().map(usize::from).filter(|length| (1..64).contains(length)) {
            let Some(label) = octets.get_mut(at + 1..at + 1 + length) else { return };
            label.make_ascii_lowercase();
            at += 1 + length;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::dnssec::Algorithm;
    use hickory_proto::rr::rdata::{MX, NULL, TXT};
    use hickory_proto::rr::{RecordType, SerialNumber};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect(text)
    }

    fn input(type_covered: RecordType, owner: &Name) -> SigInput {
        SigInput {
            type_covered,
            algorithm: Algorithm::ED25519,
            num_labels: owner.num_labels(),
            original_ttl: 300,
            sig_expiration: SerialNumber::new(2),
            sig_inception: SerialNumber::new(1),
            key_tag: 7,
            signer_name: name("Example."),
        }
    }

    fn signed(owner: &str, records: &[RData]) -> Vec<u8> {
        let owner = name(owner);
        to_be_signed(&owner, &input(records[0].record_type(), &owner), records).expect("encoded")
    }

    #[test]
    fn order_case_and_repetition_do_not_change_what_is_signed() {
        let mx = |preference, host| RData::MX(MX::new(preference, name(host)));
        let one = signed("www.example.", &[mx(10, "a.example."), mx(9, "b.example.")]);
        let other = signed("WWW.Example.", &[mx(9, "B.example."), mx(10, "A.EXAMPLE."), mx(10, "a.example.")]);
        assert_eq!(one, other);
        let third = signed("www.example.", &[mx(10, "a.example."), mx(9, "c.example.")]);
        assert_ne!(one, third);
    }

    #[test]
    fn records_are_ordered_by_their_octets() {
        // As text "b" stands before "aa"; on the wire the shorter string begins with the smaller octet.
        let txt = |text: &str| RData::TXT(TXT::new(vec![text.to_owned()]));
        let signed = signed("t.example.", &[txt("aa"), txt("b")]);
        let at = |wanted: &[u8]| signed.windows(wanted.len()).position(|window| window == wanted).expect("there");
        assert!(at(b"\x01b") < at(b"\x02aa"));
    }

    #[test]
    fn the_fields_of_the_signature_come_first_with_the_signer_in_lower_case() {
        let signed = signed("*.Example.", &[RData::TXT(TXT::new(vec!["x".to_owned()]))]);
        let fields = [0, 16, 15, 1, 0, 0, 1, 44, 0, 0, 0, 2, 0, 0, 0, 1, 0, 7];
        let rest = b"\x07example\0\x01*\x07example\0\0\x10\0\x01\0\0\x01\x2c\0\x02\x01x";
        assert_eq!(signed, [&fields[..], &rest[..]].concat());
    }

    #[test]
    fn names_in_old_types_that_are_kept_as_octets_are_lower_cased_and_nothing_else() {
        let unknown = |code: u16, octets: &[u8]| RData::Unknown {
            code: RecordType::from(code),
            rdata: NULL::with(octets.to_vec()),
        };
        for (code, given, wanted) in [
            (17, &b"\x01A\x01B\0\x02CD\0"[..], &b"\x01a\x01b\0\x02cd\0"[..]),
            (18, b"AB\x03XyZ\0", b"AB\x03xyz\0"),
            (39, b"\x03XyZ\0", b"\x03xyz\0"),
            (65_280, b"\x03XyZ\0", b"\x03XyZ\0"),
            (39, b"\x09XyZ\0", b"\x09XyZ\0"),
            (26, b"AB\x01X\0\x01Y", b"AB\x01x\0\x01y"),
        ] {
            assert_eq!(canonical(&unknown(code, given)).expect("encoded"), wanted, "type {code}");
        }
    }
}
