//! Headers as balancers send them, and as they do not.

use super::*;

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short").to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

fn tcp4(fields: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&[192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 4, 1, 0xBB], fields].concat())
}

/// As [`tcp4`], with a checksum before `fields`.
fn summed(fields: &[u8]) -> Vec<u8> {
    let mut header = tcp4(&[field(TYPE_CRC32C, &[0; 4]), fields.to_vec()].concat());
    let sum = crc32c([&header, &[], &[]]).to_be_bytes();
    header[FIXED_BYTES + 12 + 3..][..4].copy_from_slice(&sum);
    header
}

/// Reads as the shell does: never an octet beyond what is wanted.
fn fed(octets: &[u8]) -> Result<(Told, usize), BadHeader> {
    let mut taken = 0;
    loop {
        match wanted(&octets[..taken])? {
            0 => return read(&octets[..taken]).map(|told| (told, taken)),
            more if taken + more > octets.len() => return Err(BadHeader::Length),
            more => taken += more,
        }
    }
}

fn client(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

#[test]
fn a_header_ends_where_it_says_and_what_follows_is_left() {
    let follows = b"GET / HTTP/1.1\r\n\r\n";
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n".to_vec(), client("192.0.2.7")),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(), client("1.1.1.1")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n".to_vec(), client("2001:db8::7")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n".to_vec(), client("192.0.2.7")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff:f...f:ffff and more\r\n".to_vec(), None),
        (tcp4(&[]), client("192.0.2.7")),
        (
            v2(0x21, 0x21, &[[0x20; 16].as_slice(), &[1; 20]].concat()),
            client("2020:2020:2020:2020:2020:2020:2020:2020"),
        ),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x20, 0x00, &[]), None),
        // What stands behind LOCAL is nobody's business, whatever it is.
        (v2(0x20, 0xFF, &[0x03, 0xFF]), None),
    ] {
        let told = fed(&[header.as_slice(), follows].concat());
        assert_eq!(
            told,
            Ok((Told { client: address, link: None }, header.len())),
            "{:?}",
            header.escape_ascii().to_string()
        );
    }
    let mut mapped = [0; 36];
    mapped[10..16].copy_from_slice(&[0xFF, 0xFF, 192, 0, 2, 7]);
    assert_eq!(fed(&v2(0x21, 0x21, &mapped)).map(|(told, _)| told.client), Ok(client("192.0.2.7")));
}

#[test]
fn each_cloud_says_who_in_its_own_way() {
    let aws = field(TYPE_AWS, b"\x01vpce-08d2bf15fac5001c9");
    let azure = field(TYPE_AZURE, &[1, 0x34, 0x12, 0, 0]);
    let gcp = field(TYPE_GCP, &[0, 0, 0, 0, 0, 0, 0x4E, 0xF8]);
    for (fields, shown) in
        [(aws.clone(), "aws:vpce-08d2bf15fac5001c9"), (azure.clone(), "azure:4660"), (gcp.clone(), "gcp:20216")]
    {
        for header in [tcp4(&fields), summed(&fields), tcp4(&[field(0x04, b"padding"), fields.clone()].concat())] {
            let link = fed(&header).expect("good").0.link.expect("a link");
            assert_eq!(link.to_string(), shown);
        }
        assert_eq!(fed(&tcp4(&[fields.clone(), fields].concat())), Err(BadHeader::Identity), "{shown} twice");
    }
    assert_eq!(fed(&tcp4(&[aws.clone(), gcp].concat())), Err(BadHeader::Identity), "who of the two?");
    assert_eq!(fed(&tcp4(&[aws.clone(), azure].concat())), Err(BadHeader::Identity));
    assert_eq!(fed(&v2(0x20, 0x00, &aws)), Ok((Told::default(), 16 + aws.len())), "LOCAL has no identity");
}

#[test]
fn an_identity_that_is_none_is_not_passed_over() {
    for fields in [
        field(TYPE_AWS, b"\x01"),
        field(TYPE_AWS, b"\x01vpce-"),
        field(TYPE_AWS, b"\x01vpce-0\r\nx-evil: 1"),
        field(TYPE_AWS, b"\x01vpce-\xFF"),
        field(TYPE_GCP, &[0; 7]),
        field(TYPE_GCP, &[0; 9]),
        field(TYPE_AZURE, &[1, 0, 0, 0]),
        field(TYPE_AZURE, &[1, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(fed(&tcp4(&fields)), Err(BadHeader::Identity), "{:?}", fields.escape_ascii().to_string());
    }
    // Of another subtype is no identity at all.
    let other = [field(TYPE_AWS, b"\x02whatever"), field(TYPE_AZURE, &[2]), field(TYPE_AWS, b"")].concat();
    assert_eq!(fed(&tcp4(&other)).map(|(told, _)| told.link), Ok(None));
}

#[test]
fn a_checksum_is_believed_only_if_it_is_right() {
    assert_eq!(crc32c([b"123", b"456", b"789"]), 0xE306_9283, "the check value of CRC-32C");
    let good = summed(&field(TYPE_UNIQUE_ID, &[7; 128]));
    assert!(fed(&good).is_ok());
    for at in 13..good.len() {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            // The bit may have made it another header, without a checksum; it must not have made it this one.
            let told = fed(&flipped);
            let is_unsummed = flipped[FIXED_BYTES + 12] != TYPE_CRC32C;
            assert!(told.is_err() || is_unsummed, "octet {at}, bit {bit}: {told:?}");
        }
    }
    let twice = [field(TYPE_CRC32C, &[0; 4]), field(TYPE_CRC32C, &[0; 4])].concat();
    assert_eq!(fed(&tcp4(&twice)), Err(BadHeader::Checksum));
    assert_eq!(fed(&tcp4(&field(TYPE_CRC32C, &[0; 3]))), Err(BadHeader::Length));
}

#[test]
fn what_is_no_header_is_refused() {
    let long = |line: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(line - 16)).into_bytes();
    assert!(fed(&long(107)).is_ok());
    let largest = |length: usize| v2(0x21, 0x00, &field(0x04, &vec![0; length - FIXED_BYTES - 3]));
    assert!(fed(&largest(PROXY_HEADER_BYTES_MAX)).is_ok());
    for (octets, why) in [
        (long(108), BadHeader::TooLong),
        (largest(PROXY_HEADER_BYTES_MAX + 1), BadHeader::TooLong),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), BadHeader::Missing),
        (b"PROXY\tTCP4 192.0.2.7".to_vec(), BadHeader::Missing),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00".to_vec(), BadHeader::Missing),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), BadHeader::Missing),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 +2\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), BadHeader::Line),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n".to_vec(), BadHeader::Line),
        (b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n".to_vec(), BadHeader::Line),
        (b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), BadHeader::Line),
        (v2(0x11, 0x11, &[0; 12]), BadHeader::Kind),
        (v2(0x22, 0x11, &[0; 12]), BadHeader::Kind),
        (v2(0x21, 0x12, &[0; 12]), BadHeader::Kind),
        (v2(0x21, 0x41, &[0; 12]), BadHeader::Kind),
        (v2(0x21, 0x11, &[0; 11]), BadHeader::Length),
        (v2(0x21, 0x21, &[0; 35]), BadHeader::Length),
        (v2(0x21, 0x31, &[0; 215]), BadHeader::Length),
        (tcp4(&[0x04]), BadHeader::Length),
        (tcp4(&[0x04, 0]), BadHeader::Length),
        (tcp4(&[0x04, 0, 2, 0]), BadHeader::Length),
        (tcp4(&field(TYPE_UNIQUE_ID, &[0; 129])), BadHeader::Length),
    ] {
        assert_eq!(fed(&octets), Err(why), "{:?}", octets.escape_ascii().to_string());
    }
}
