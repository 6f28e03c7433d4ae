//! What regions and clients learn, and what they do not.

use super::*;
use crate::counters::record::Decided;
use crate::names::EndpointName;
use std::time::Duration;

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// An attempt that was refused there.
fn failed(region: Label) -> Failed {
    Failed {
        endpoint: EndpointName::new(&region, "a"),
        region,
        fault: Fault::Refused,
        reason: None,
        number: 1,
        after: Duration::ZERO,
        elapsed: Duration::ZERO,
        leaves_region: false,
        decided: Decided::default(),
    }
}

fn sent(lines: &[(&'static str, &str)]) -> HeaderMap {
    let asker = Asker {
        address: "2001:db8::9".parse().expect("an address"),
        proxies: vec!["10.0.0.1".parse().expect("an address")],
    };
    let label = Label::parse("lon-1").expect("a label");
    let hostname = Hostname::parse("eu.gateway.example").expect("a name");
    let zone = Hostname::parse("gateway.example").expect("a name");
    let arrival = Arrival { peer: asker.address, link: None, is_https: true, tls: None };
    let introduction = Introduction::new(&hostname, &asker, &arrival, Version::HTTP_2, &label, &zone);
    toward_region(&map(lines), &introduction, &HeaderValue::from_static("id-1"), false)
}

#[test]
fn a_region_learns_who_asked_and_nothing_that_a_stranger_made_up() {
    let headers = sent(&[
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "gopher"),
        ("forwarded", "for=6.6.6.6"),
        ("x-anyfront-client-ip", "6.6.6.6"),
        ("client-cert", ":AAAA:"),
        ("via", "1.1 friend"),
        ("cdn-loop", "other; a=\"b\""),
        ("cdn-loop", "third"),
        ("authorization", "Bearer x"),
    ]);
    for (name, expected) in [
        ("x-forwarded-for", "2001:db8::9, 10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "eu.gateway.example"),
        ("forwarded", "for=\"[2001:db8::9]\", for=10.0.0.1;host=eu.gateway.example;proto=https"),
        ("x-anyfront-client-ip", "2001:db8::9"),
        ("x-anyfront-site", "lon-1"),
        ("via", "1.1 friend, 2 lon-1"),
        ("cdn-loop", "other; a=\"b\", third, gateway.example"),
        ("authorization", "Bearer x"),
        ("x-request-id", "id-1"),
    ] {
        assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(expected), "{name}");
        assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
    }
    assert!(!headers.contains_key("client-cert"));
}

#[test]
fn hop_by_hop_fields_end_here_and_connection_cannot_name_what_matters() {
    let headers = sent(&[
        ("connection", "close, X-Private, authorization, x-forwarded-for, Content-Length"),
        ("x-private", "1"),
        ("authorization", "Bearer x"),
        ("content-length", "3"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip, trailers"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("expect", "100-continue"),
    ]);
    for gone in ["connection", "x-private", "keep-alive", "upgrade", "http2-settings", "expect"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(headers["authorization"], "Bearer x");
    assert_eq!(headers["content-length"], "3");
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["x-forwarded-for"], "2001:db8::9, 10.0.0.1");
}

#[test]
fn a_client_hears_what_happened_and_nothing_that_was_meant_for_us() {
    let (site, orf, yyz) = ["lon-1", "orf", "yyz"].map(|name| Label::parse(name).expect("a label")).into();
    let happened = happened(&site, &[failed(orf)], Some((&yyz, 200)));
    let mut headers = map(&[
        ("proxy-status", "inner; received-status=200"),
        ("alt-svc", "h3=\":443\""),
        ("x-anyfront-region", "forged"),
        ("edge-load", "q=0.7"),
        ("connection", "close"),
        ("x-tfy-resolved-model", "m"),
    ]);
    toward_client(&mut headers, &Farewell::new(Version::HTTP_11, &site, &yyz, &happened));
    assert_eq!(
        headers["proxy-status"],
        "inner; received-status=200, lon-1; next-hop=\"orf\"; error=connection_refused, \
         lon-1; next-hop=\"yyz\"; received-status=200"
    );
    assert_eq!(headers["x-anyfront-region"], "yyz");
    assert_eq!(headers["x-tfy-resolved-model"], "m");
    for gone in ["alt-svc", "edge-load", "connection"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

#[test]
fn a_loop_is_seen_whatever_stands_around_it() {
    let zone = Hostname::parse("gateway.example").expect("a name");
    for (line, expected) in [
        ("gateway.example", true),
        ("a, GATEWAY.example;x=1, b", true),
        ("a; q=\", gateway.example", true),
        ("notgateway.example", false),
        ("eu.gateway.example", false),
        ("", false),
    ] {
        assert_eq!(is_loop(&map(&[("cdn-loop", line)]), &zone), expected, "{line:?}");
    }
}

#[test]
fn only_a_usable_request_id_is_taken_over() {
    let id = |text: &str| given_request_id(&map(&[("x-request-id", text)])).is_some();
    assert!(id("abc-123") && id(&"x".repeat(128)));
    assert!(!id("") && !id("a b") && !id(&"x".repeat(129)));
}
