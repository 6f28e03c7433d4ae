//! Which hostnames may be asked for on which connections, pair by pair; and certificates as regions read them.

use super::*;
use std::net::Ipv4Addr;

fn name(text: &str) -> Hostname {
    Hostname::parse(text).expect("a name")
}

fn asks(is_required: bool, authority: u8) -> Option<Arc<ClientAuth>> {
    Some(Arc::new(ClientAuth { authorities: vec![vec![authority].into()], is_required }))
}

fn arrival(server_name: Option<&str>, client_auth: Option<Arc<ClientAuth>>) -> Arrival {
    let names = Names { exact: ["gw.test".to_owned()].into(), wildcard: ["gw.test".to_owned()].into() };
    let server_name = server_name.map(name);
    let tls = Secured { server_name, names: Arc::new(names), client_auth, client: None };
    Arrival { peer: Ipv4Addr::LOCALHOST.into(), link: None, is_https: true, tls: Some(Arc::new(tls)) }
}

#[test]
fn names_of_one_certificate_share_a_connection_and_no_others() {
    for server_name in [None, Some("gw.test"), Some("a.gw.test"), Some("other.test")] {
        let arrival = arrival(server_name, None);
        for (asked, may) in [
            ("gw.test", true),
            ("a.gw.test", true),
            ("b.gw.test", true),
            ("x.a.gw.test", false),
            ("agw.test", false),
            ("other.test", false),
        ] {
            assert_eq!(arrival.may_ask(&name(asked), None), may, "{asked} on a connection for {server_name:?}");
        }
    }
}

#[test]
fn where_clients_prove_themselves_only_that_hostname_is_served_and_only_as_it_is_now() {
    let hostname = name("a.gw.test");
    let ways = [None, asks(true, 1), asks(false, 1), asks(true, 2)];
    for (at, then) in ways.iter().enumerate() {
        for (of, now) in ways.iter().enumerate() {
            let arrival = arrival(Some("a.gw.test"), then.clone());
            assert_eq!(arrival.may_ask(&hostname, now.as_ref()), at == of, "{then:?} {now:?}");
        }
    }
    let proven = arrival(Some("a.gw.test"), asks(true, 1));
    assert!(!proven.may_ask(&name("b.gw.test"), asks(true, 1).as_ref()), "the same authorities are another matter");
    assert!(!proven.may_ask(&name("b.gw.test"), None));
    assert!(!arrival(None, None).may_ask(&hostname, asks(false, 1).as_ref()));
    let clear = Arrival { peer: Ipv4Addr::LOCALHOST.into(), link: None, is_https: false, tls: None };
    assert!(clear.may_ask(&hostname, None) && clear.may_ask(&hostname, asks(false, 1).as_ref()));
    assert!(!clear.may_ask(&hostname, asks(true, 1).as_ref()), "nothing is proven in the clear");
}

#[test]
fn certificates_are_written_as_byte_sequences() {
    // The test vectors of RFC 4648 §10.
    for (bytes, text) in [("", "::"), ("f", ":Zg==:"), ("fo", ":Zm8=:"), ("foo", ":Zm9v:"), ("foobar", ":Zm9vYmFy:")] {
        assert_eq!(binary(bytes.as_bytes()), text);
    }
    assert_eq!(binary(&[0xfb, 0xff, 0xfe]), ":+//+:");
    let of = |chain: &[&[u8]]| ClientCertificate::of(chain.iter().copied());
    assert_eq!(of(&[]), Ok(None));
    let alone = of(&[b"foo"]).expect("small").expect("one");
    assert_eq!((alone.certificate.as_bytes(), alone.chain), (&b":Zm9v:"[..], None));
    let chain = of(&[b"foo", b"f", b"fo"]).expect("small").expect("three");
    assert_eq!(chain.chain.expect("two more").as_bytes(), b":Zg==:, :Zm8=:");
    assert!(of(&[&[0; CLIENT_CERTIFICATES_BYTES_MAX - 1], &[0]]).is_ok());
    assert_eq!(of(&[&[0; CLIENT_CERTIFICATES_BYTES_MAX], &[0]]), Err(TooLarge));
}
