//! Listeners behind balancers: whose connection it is, by the PROXY protocol, and what a private link is for.

#[path = "common/front.rs"]
mod front;

use anyfront::limits::{PROXY_HEADER_BYTES_MAX, PROXY_HEADER_TIMEOUT};
use anyfront::moment::{Clock, Moment};
use front::{Answer, BOUND, Client, Door, Origin, Seen, fields};
use rustls::StreamOwned;
use std::io::{Read, Write};
use std::net::TcpStream;

const GET: &str = "GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n";
/// The same, but not for the fast path.
const GET_SLOWLY: &str = "GET /x HTTP/1.1\r\nHost: gw.test\r\nTE: trailers\r\n\r\n";

/// A node whose listeners believe whoever connects from this machine.
fn door(origins: &[&Origin], more: &str) -> Door {
    behind("127.0.0.0/8", origins, more)
}

fn behind(network: &str, origins: &[&Origin], more: &str) -> Door {
    Door::adjusted(origins, more, |options| {
        for listen in options.http.iter_mut().chain(&mut options.https) {
            listen.proxy = vec![network.parse().expect("a network")];
        }
    })
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", [command, family].as_slice(), &length, rest].concat()
}

/// From 203.0.113.9, with further fields.
fn from_client(fields: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&[203, 0, 113, 9, 192, 0, 2, 1, 0xC0, 1, 1, 0xBB], fields].concat())
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short").to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

fn aws(id: &str) -> Vec<u8> {
    from_client(&field(0xEA, &[b"\x01", id.as_bytes()].concat()))
}

fn ask(door: &Door, header: &[u8], request: &str) -> Answer {
    door.ask([header, request.as_bytes()].concat())
}

/// A request over TLS behind a header, all that the node says to it.
fn ask_tls(door: &Door, header: &[u8], request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(door.https).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    stream.write_all(header)?;
    let mut stream = StreamOwned::new(door.tls_session(None), stream);
    stream.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn last(origin: &Origin) -> Seen {
    origin.seen().pop().expect("a request")
}

fn refused(door: &Door) -> u64 {
    let counters = &door.node.as_ref().expect("it runs").counters;
    counters.total(|door| &door.failed_proxy_headers)
}

/// Waits until so many connections were closed for want of a header.
fn until_refused(door: &Door, count: u64) {
    let clock = Clock::start();
    while refused(door) < count {
        assert!(clock.now() < Moment::at(BOUND), "only {} of {count}", refused(door));
        std::thread::yield_now();
    }
    assert_eq!(refused(door), count);
}

#[test]
fn the_client_is_whom_the_balancer_names_everywhere() {
    let origin = Origin::polite();
    let door = door(&[&origin], "");
    let v6 = [&[0x20, 1, 0x0D, 0xB8], [0; 11].as_slice(), &[9], &[0; 20]].concat();
    for (header, client) in [
        (b"PROXY TCP4 203.0.113.9 192.0.2.1 49153 443\r\n".to_vec(), "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 49153 443\r\n".to_vec(), "2001:db8::9"),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 49153 443\r\n".to_vec(), "203.0.113.9"),
        (from_client(&[]), "203.0.113.9"),
        (v2(0x21, 0x21, &v6), "2001:db8::9"),
        // These name nobody: the connection's own address it is.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x20, 0x00, &[]), "127.0.0.1"),
        (v2(0x21, 0x00, &[]), "127.0.0.1"),
        (v2(0x21, 0x31, &[b'/'; 216]), "127.0.0.1"),
    ] {
        for request in [GET, GET_SLOWLY] {
            assert_eq!(ask(&door, &header, request).status(), 200, "{client}");
            let seen = last(&origin);
            for name in ["x-forwarded-for", "x-anyfront-client-ip"] {
                assert_eq!(seen.field(name), Some(client), "{name} after {}", header.escape_ascii());
            }
            let forwarded = if client.contains(':') { format!("for=\"[{client}]\"") } else { format!("for={client}") };
            assert!(seen.field("forwarded").is_some_and(|value| value.starts_with(&forwarded)), "{seen:?}");
        }
        let answer = ask_tls(&door, &header, GET).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(last(&origin).field("x-forwarded-for"), Some(client));
    }
    let recent = door.node.as_ref().expect("it runs").counters.newest(100);
    assert!(recent.iter().any(|recent| recent.prefix.to_string() == "203.0.113.0/24"));
    assert_eq!((refused(&door), origin.nonsense()), (0, Vec::new()));
}

#[test]
fn a_header_may_come_in_pieces_and_nothing_behind_it_is_lost() {
    let origin = Origin::polite();
    let door = door(&[&origin], "");
    for header in [b"PROXY TCP4 203.0.113.9 192.0.2.1 49153 443\r\n".to_vec(), from_client(&field(4, &[0; 100]))] {
        // Octet by octet, and cut once at each place.
        let mut client = door.client();
        for octet in &header {
            client.say([*octet]);
        }
        client.say(GET);
        assert_eq!(client.answer().status(), 200);
        for at in (0..header.len()).step_by(7) {
            let mut client = door.client();
            client.say(&header[..at]);
            client.say([&header[at..], GET.as_bytes(), GET.as_bytes()].concat());
            assert_eq!((client.answer().status(), client.answer().status()), (200, 200), "cut at {at}");
        }
    }
    let largest = from_client(&field(4, &vec![0; PROXY_HEADER_BYTES_MAX - 16 - 12 - 3]));
    assert_eq!(largest.len(), PROXY_HEADER_BYTES_MAX);
    assert_eq!(ask(&door, &largest, GET).status(), 200);
    assert_eq!(refused(&door), 0);
}

#[test]
fn without_a_good_header_there_is_no_service() {
    let origin = Origin::polite();
    let door = door(&[&origin], "");
    let one_too_long = from_client(&field(4, &vec![0; PROXY_HEADER_BYTES_MAX - 16 - 12 - 3 + 1]));
    let bad: [&[u8]; 9] = [
        b"",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 49153\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 49153 443\n",
        b"PROXY TCP4 2001:db8::9 192.0.2.1 49153 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0C\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
        &one_too_long,
        &from_client(&field(3, &[0; 4])),
        &[aws("vpce-1").as_slice(), b""].concat(),
    ];
    for (at, header) in bad.iter().take(8).enumerate() {
        let mut client = door.client();
        client.say([header, GET.as_bytes()].concat());
        assert_eq!(client.rest(), b"", "{}", header.escape_ascii());
        until_refused(&door, at as u64 + 1);
    }
    // The last is the first with two identities.
    let twice = [field(0xEA, b"\x01vpce-1"), field(0xEA, b"\x01vpce-2")].concat();
    let mut client = door.client();
    client.say([from_client(&twice).as_slice(), GET.as_bytes()].concat());
    assert_eq!(client.rest(), b"");
    assert!(ask_tls(&door, b"", GET).is_err(), "TLS without a header");
    until_refused(&door, 10);
    assert_eq!(ask(&door, bad[8], GET).status(), 200, "one identity is fine");
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn who_says_nothing_does_not_stay() {
    let door = door(&[&Origin::polite()], "");
    let clock = Clock::start();
    for beginning in [&b""[..], b"PROXY TCP4 203.0.", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C"] {
        let mut client = door.client();
        client.say(beginning);
        assert!(client.is_ended());
    }
    assert!(clock.now().since(Moment::ZERO) >= 3 * PROXY_HEADER_TIMEOUT, "each has its time");
    until_refused(&door, 3);
}

#[test]
fn a_stranger_names_nobody() {
    let origin = Origin::polite();
    let door = behind("192.0.2.0/24", &[&origin], "");
    for header in [b"PROXY TCP4 203.0.113.9 192.0.2.1 49153 443\r\n".to_vec(), from_client(&[]), Vec::new()] {
        let mut client = door.client();
        client.say([header.as_slice(), GET.as_bytes()].concat());
        assert_eq!(client.rest(), b"");
        assert!(ask_tls(&door, &header, GET).is_err());
    }
    until_refused(&door, 6);
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn elsewhere_a_header_is_a_bad_request_or_a_bad_handshake() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    for header in [b"PROXY TCP4 203.0.113.9 192.0.2.1 49153 443\r\n".to_vec(), from_client(&[])] {
        let answer = ask(&door, &header, GET);
        assert!(matches!(answer.status(), 0 | 400), "{answer:?}");
        assert!(ask_tls(&door, &header, GET).is_err());
    }
    assert_eq!((origin.seen().len(), refused(&door)), (0, 0));
}

#[test]
fn the_balancer_is_no_link_of_the_chain() {
    let origin = Origin::polite();
    let asked = "GET /x HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n\r\n";
    // That the balancer's own network is trusted says nothing about the client.
    let first = door(&[&origin], "trusted_proxies = [\"127.0.0.0/8\"]");
    ask(&first, &from_client(&[]), asked);
    assert_eq!(last(&origin).field("x-forwarded-for"), Some("203.0.113.9"));
    let second = door(&[&origin], "trusted_proxies = [\"203.0.113.0/24\"]");
    ask(&second, &from_client(&[]), asked);
    assert_eq!(last(&origin).field("x-forwarded-for"), Some("198.51.100.7, 203.0.113.9"));
}

#[test]
fn the_named_client_is_steered_by_where_it_is() {
    let (near, far) = (Origin::polite(), Origin::polite());
    let place = "[geo]\nplace = [{ prefix = \"203.0.113.0/24\", latitude = 21.0, longitude = 0.0 }]";
    let door = door(&[&near, &far], place);
    for request in [GET, GET_SLOWLY] {
        assert_eq!(ask(&door, &from_client(&[]), request).field("x-anyfront-region"), Some("b"));
        assert_eq!(ask(&door, b"PROXY UNKNOWN\r\n", request).field("x-anyfront-region"), Some("a"));
    }
}

#[test]
fn regions_learn_the_private_link_and_nobody_can_make_one_up() {
    let origin = Origin::polite();
    let door = door(&[&origin], "");
    let forged = "X-Anyfront-Private-Link: aws:vpce-666\r\nx_anyfront_private_link: aws:vpce-666\r\n\r\n";
    for (header, link) in [
        (aws("vpce-08d2bf15fac5001c9"), Some("aws:vpce-08d2bf15fac5001c9")),
        (from_client(&field(0xE0, &[0, 0, 0, 0, 0, 0, 0x4E, 0xF8])), Some("gcp:20216")),
        (from_client(&field(0xEE, &[1, 0x34, 0x12, 0, 0])), Some("azure:4660")),
        (from_client(&[]), None),
        (v2(0x20, 0x11, &[&[0; 12], field(0xEA, b"\x01vpce-1").as_slice()].concat()), None),
    ] {
        for request in [GET, GET_SLOWLY] {
            assert_eq!(ask(&door, &header, &request.replace("\r\n\r\n", &format!("\r\n{forged}"))).status(), 200);
            let seen = last(&origin);
            assert_eq!(seen.field("x-anyfront-private-link"), link);
            assert_eq!(fields(&seen.head, "x_anyfront_private_link"), Vec::<&str>::new());
        }
        let recent = door.node.as_ref().expect("it runs").counters.newest(1);
        assert_eq!(recent[0].link.as_ref().map(ToString::to_string).as_deref(), link);
    }
}

const LINKS: &str = "
[[private_link]]
provider = \"aws\"
id = \"vpce-0a\"
region = \"b\"
[[private_link]]
provider = \"aws\"
id = \"vpce-0b\"
region = \"b\"
leaves_region = true
[[private_link]]
provider = \"azure\"
id = \"4660\"
hostnames = [\"a.gw.test\"]
";

#[test]
fn traffic_of_a_private_link_stays_in_its_region_unless_told_otherwise() {
    let near = Origin::polite();
    let far = Origin::start(|talk| {
        talk.read_body()?;
        if talk.request.target() == "/unserved" {
            talk.say("HTTP/1.1 503 No\r\nEdge-Unserved: 1\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        talk.answer("hello")
    });
    let door = door(&[&near, &far], LINKS);
    for request in [GET, GET_SLOWLY] {
        let region = |id: &str| ask(&door, &aws(id), request).field("x-anyfront-region").map(str::to_owned);
        assert_eq!(region("vpce-0a").as_deref(), Some("b"));
        assert_eq!(region("vpce-0b").as_deref(), Some("b"));
        assert_eq!(region("vpce-0c").as_deref(), Some("a"), "one that nobody knows goes where everybody goes");
        // Its region does not serve it: only the one that may leave goes on.
        let unserved = request.replace("/x", "/unserved");
        let stays = ask(&door, &aws("vpce-0a"), &unserved);
        assert_eq!((stays.status(), stays.field("x-anyfront-region")), (503, Some("b")));
        let leaves = ask(&door, &aws("vpce-0b"), &unserved);
        assert_eq!((leaves.status(), leaves.field("x-anyfront-region")), (200, Some("a")));
        // Another region's own hostname does not bring it there.
        let regional = ask(&door, &aws("vpce-0a"), &request.replace("gw.test", "a.gw.test"));
        assert_eq!((regional.status(), regional.field("x-anyfront-region")), (503, Some("none")));
    }
}

#[test]
fn when_its_region_cannot_be_reached_a_private_link_that_stays_gets_503() {
    let near = Origin::polite();
    let door = door(&[&near, &Origin::gone()], LINKS);
    for request in [GET, GET_SLOWLY] {
        let stays = ask(&door, &aws("vpce-0a"), request);
        assert_eq!((stays.status(), stays.field("x-anyfront-region")), (503, Some("none")), "{stays:?}");
        assert_eq!(ask(&door, &aws("vpce-0b"), request).field("x-anyfront-region"), Some("a"));
    }
}

#[test]
fn a_private_link_asks_only_for_what_it_may() {
    let origin = Origin::polite();
    let door = door(&[&origin, &Origin::polite()], LINKS);
    let azure = from_client(&field(0xEE, &[1, 0x34, 0x12, 0, 0]));
    for request in [GET, GET_SLOWLY] {
        assert_eq!(ask(&door, &azure, &request.replace("gw.test", "a.gw.test")).status(), 200);
        // It reads what it would if the hostname did not exist.
        let refused = ask(&door, &azure, request);
        let unknown = ask(&door, &azure, &request.replace("gw.test", "nobody.test"));
        assert_eq!((refused.status(), unknown.status(), refused.text()), (421, 421, unknown.text()));
        assert_eq!(ask(&door, &from_client(&[]), request).status(), 200, "others may");
    }
    let recent = door.node.as_ref().expect("it runs").counters.newest(10);
    assert!(recent.iter().any(|recent| recent.link.is_some()), "decisions tell the link");
}

#[test]
fn pipelined_requests_behind_a_header_all_come_through() {
    let origin = Origin::polite();
    let door = door(&[&origin], "");
    let mut client = Client::connect(door.http);
    client.say([aws("vpce-1").as_slice(), GET.repeat(5).as_bytes(), GET_SLOWLY.repeat(5).as_bytes()].concat());
    for _ in 0..10 {
        assert_eq!(client.answer().status(), 200);
    }
    assert!(origin.seen().iter().all(|seen| seen.field("x-anyfront-private-link") == Some("aws:vpce-1")));
}
