//! What an HTTP/2 client may put into fields, and what a region that speaks HTTP/1.1 gets to see of it: one good request,
//! or nothing (RFC 9113 §8.2, §10.3).

#[path = "common/raw_http2.rs"]
mod frames;
#[path = "common/front.rs"]
mod front;

use frames::*;
use front::{Door, Origin};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Status(u16),
    Reset,
    Ended,
}

/// A client whose connection is replaced when the node ends it.
struct Asker<'a> {
    door: &'a Door,
    client: RawClient,
    stream: u32,
}

impl<'a> Asker<'a> {
    fn at(door: &'a Door) -> Self {
        Self { door, client: RawClient::connect(door), stream: 1 }
    }

    /// Sends what `said` makes of a new stream.
    fn ask(&mut self, said: impl Fn(u32) -> Vec<u8>) -> Fate {
        if self.stream > 150 {
            // So many resets are too many, which is not what is tested here.
            *self = Self::at(self.door);
        }
        let stream = self.stream;
        self.stream += 2;
        self.client.say(said(stream));
        let mut status = None;
        loop {
            let Some(frame) = self.client.hear() else {
                *self = Self::at(self.door);
                return status.unwrap_or(Fate::Ended);
            };
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                RST_STREAM if frame.code() != 0 => return Fate::Reset,
                HEADERS if status.is_none() => status = Some(Fate::Status(status_of(&frame.payload))),
                _ => {}
            }
            if frame.ends_stream() {
                return status.unwrap_or(Fate::Ended);
            }
        }
    }

    /// A request with these fields behind its pseudo-fields.
    fn with(&mut self, fields: &[u8]) -> Fate {
        self.fields(&[&get("/x"), fields].concat())
    }

    /// A request of these fields.
    fn fields(&mut self, block: &[u8]) -> Fate {
        self.ask(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
    }
}

/// `:status` comes first: by its index, or as a literal of three digits (RFC 7541, appendix A).
fn status_of(block: &[u8]) -> u16 {
    // A change of the table's size may stand before it.
    let block = if block[0] & 0xE0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8A => 206,
        0x8B => 304,
        0x8C => 400,
        0x8D => 404,
        0x8E => 500,
        // Three digits as they are, or by Huffman: of digits 0, 1, 2 have five bits and the rest six.
        0x48 if block[1] == 3 => std::str::from_utf8(&block[2..5]).expect("digits").parse().expect("a status"),
        0x48 => digits(&block[2..2 + usize::from(block[1] & 0x7F)]),
        // In the dynamic table by now: only that it is one of our refusals matters.
        _ => 499,
    }
}

fn digits(octets: &[u8]) -> u16 {
    let bits: Vec<u8> = octets.iter().flat_map(|octet| (0..8).rev().map(move |at| octet >> at & 1)).collect();
    let take =
        |from: usize, count: usize| bits[from..from + count].iter().fold(0, |all, bit| all << 1 | u16::from(*bit));
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let short = take(at, 5);
        let digit = if short < 3 { (short, 5) } else { (take(at, 6) - 0x19 + 3, 6) };
        at += digit.1;
        status = status * 10 + digit.0;
    }
    status
}

fn is_refused(fate: Fate) -> bool {
    matches!(fate, Fate::Reset | Fate::Ended) || matches!(fate, Fate::Status(status) if (400..500).contains(&status))
}

#[test]
fn every_octet_in_a_name_is_a_token_or_the_end() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    for octet in 0..=255_u8 {
        for name in [vec![b'a', octet, b'b'], vec![octet]] {
            let is_good = octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&octet);
            let fate = asker.with(&literal(&name, "v"));
            assert_eq!(fate == Fate::Status(200), is_good, "{name:?}: {fate:?}");
            assert!(is_good || is_refused(fate), "{name:?}: {fate:?}");
        }
    }
    assert!(is_refused(asker.with(&literal("", "v"))));
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}

#[test]
fn every_octet_in_a_name_of_http1_is_a_token_or_the_end_too() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut good = 0;
    for octet in 0..=255_u8 {
        let is_good = octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&octet);
        let line = [b"a", &[octet][..], b"b: v\r\n"].concat();
        // The first goes the fast way.
        for (what, rest) in [
            ("a head", [&line[..], b"Content-Length: 0\r\n\r\n"].concat()),
            ("before chunks", [&line[..], b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"].concat()),
            ("trailers", [b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", &line[..], b"\r\n"].concat()),
        ] {
            let mut client = door.client();
            client.say([b"PUT /x HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n", &rest[..]].concat());
            let answer = client.any_answer(false);
            assert_eq!(answer.status() == 200, is_good, "{what}: {octet}: {answer:?}");
            // Chunks that are none end the connection without a word.
            assert!(is_good || matches!(answer.status(), 0 | 400), "{what}: {octet}: {answer:?}");
            good += usize::from(is_good);
        }
    }
    let whole = origin.seen().iter().filter(|seen| seen.is_whole).count();
    assert_eq!((whole, origin.nonsense()), (good, Vec::new()));
}

#[test]
fn every_octet_in_a_value_arrives_as_it_is_or_not_at_all() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    let mut sent = 0;
    for octet in 0..=255_u8 {
        for value in [vec![b'a', octet, b'b'], vec![octet, b'b'], vec![b'a', octet], vec![octet]] {
            let is_edge = value.len() < 3;
            let is_good = match octet {
                b'\t' | b' ' => !is_edge,
                0..32 | 127 => false,
                _ => true,
            };
            let fate = asker.with(&literal("x-value", &value));
            assert_eq!(fate == Fate::Status(200), is_good, "{value:?}: {fate:?}");
            assert!(is_good || is_refused(fate), "{value:?}: {fate:?}");
            sent += usize::from(is_good);
        }
    }
    assert_eq!((origin.seen().len(), origin.nonsense()), (sent, Vec::new()));
    let lines = origin.seen().iter().filter(|seen| seen.fields("x-value").len() == 1).count();
    assert_eq!(lines, sent);
}

#[test]
fn a_request_cannot_be_smuggled_in_a_field() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    let second = "x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    for name in [":path", ":method", ":authority", ":scheme", "cookie", "a"] {
        let own = [(":method", "GET"), (":scheme", "https"), (":authority", "gw.test"), (":path", "/x")];
        let mut block: Vec<u8> =
            own.iter().filter(|(own, _)| *own != name).flat_map(|(name, value)| literal(name, value)).collect();
        block.extend(literal(name, second));
        assert!(is_refused(asker.fields(&block)), "{name}");
    }
    assert!(is_refused(asker.with(&literal("a: b\r\nc", "d"))));
    assert_eq!((origin.seen().len(), origin.nonsense()), (0, Vec::new()));
}

#[test]
fn fields_of_a_connection_are_refused_and_nothing_of_them_arrives() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    for (name, value) in [
        ("connection", "close"),
        ("connection", "x-a"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        let fate = asker.with(&literal(name, value));
        assert!(is_refused(fate), "{name}: {value}: {fate:?}");
    }
    assert_eq!(asker.with(&literal("te", "trailers")), Fate::Status(200));
    assert_eq!((origin.seen().len(), origin.nonsense()), (1, Vec::new()));
}

#[test]
fn pseudo_fields_are_there_once_first_known_and_good() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    let all = |method: &str, scheme: &str, authority: &str, path: &str| {
        [
            literal(":method", method),
            literal(":scheme", scheme),
            literal(":authority", authority),
            literal(":path", path),
        ]
        .concat()
    };
    let good = get("/x");
    for (what, block) in [
        ("twice a path", [&good[..], &literal(":path", "/y")].concat()),
        ("twice a method", [&good[..], &literal(":method", "GET")].concat()),
        ("twice an authority", [&good[..], &literal(":authority", "gw.test")].concat()),
        ("late", [literal("a", "b"), good.clone()].concat()),
        ("unknown", [&good[..], &literal(":unknown", "x")].concat()),
        ("of answers", [&good[..], &literal(":status", "200")].concat()),
        ("a protocol", [&good[..], &literal(":protocol", "websocket")].concat()),
        ("no method", good[literal(":method", "GET").len()..].to_vec()),
        ("no path", good[..good.len() - literal(":path", "/x").len()].to_vec()),
        ("an empty path", all("GET", "https", "gw.test", "")),
        ("a path without a slash", all("GET", "https", "gw.test", "x")),
        ("a path of a URL", all("GET", "https", "gw.test", "https://gw.test/x")),
        ("a star for GET", all("GET", "https", "gw.test", "*")),
        ("a path with a blank", all("GET", "https", "gw.test", "/x HTTP/1.1")),
        ("a method with a blank", all("GET /y", "https", "gw.test", "/x")),
        ("an empty method", all("", "https", "gw.test", "/x")),
        ("connect", all("CONNECT", "https", "gw.test", "/x")),
        ("an authority with a path", all("GET", "https", "gw.test/y", "/x")),
        ("an authority with a user", all("GET", "https", "a@gw.test", "/x")),
        ("an empty authority", all("GET", "https", "", "/x")),
        ("another scheme", all("GET", "ftp", "gw.test", "/x")),
        ("no scheme at all", all("GET", "", "gw.test", "/x")),
        ("a scheme with more in it", all("GET", "https://gw.test/y?", "gw.test", "/x")),
        ("another host", [&good[..], &literal("host", "a.gw.test")].concat()),
        ("two hosts", [&good[..], &literal("host", "gw.test"), &literal("host", "gw.test")].concat()),
    ] {
        let fate = asker.fields(&block);
        assert!(is_refused(fate), "{what}: {fate:?}: {:?}", origin.seen().last());
    }
    assert_eq!((origin.seen().len(), origin.nonsense()), (0, Vec::new()));
    assert_eq!(asker.fields(&good), Fate::Status(200));
    // A fragment is dropped while the path is decoded, before anybody can judge or route by it.
    assert_eq!(asker.fields(&all("GET", "https", "gw.test", "/x#y?z")), Fate::Status(200));
    assert_eq!(origin.seen().last().map(|seen| seen.target().to_owned()).as_deref(), Some("/x"));
}

#[test]
fn a_length_is_one_number_and_true() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    let lengths =
        |values: &[&str]| values.iter().flat_map(|value| literal("content-length", value)).collect::<Vec<_>>();
    for values in [
        &["1"][..],
        &["3"],
        &["2", "3"],
        &["+2"],
        &["-2"],
        &["0x2"],
        &["2, 2"],
        &["2,3"],
        &[" 2"],
        &["2 "],
        &[""],
        &["18446744073709551618"],
        &["2", ""],
    ] {
        let fate =
            asker.ask(|stream| [post(stream, "/x", &lengths(values)), frame(DATA, END_STREAM, stream, b"ab")].concat());
        assert!(is_refused(fate), "{values:?}: {fate:?}");
        let fate = asker.fields(
            &[literal(":method", "POST"), get("/x")[literal(":method", "GET").len()..].to_vec(), lengths(values)]
                .concat(),
        );
        assert!(is_refused(fate), "without a body {values:?}: {fate:?}");
    }
    assert!(origin.seen().iter().all(|seen| !seen.is_whole), "{:?}", origin.seen());
    let fate =
        asker.ask(|stream| [post(stream, "/x", &lengths(&["2"])), frame(DATA, END_STREAM, stream, b"ab")].concat());
    assert_eq!(fate, Fate::Status(200));
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}

#[test]
fn trailers_carry_no_pseudo_fields_and_end_the_stream() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut asker = Asker::at(&door);
    let with = |stream: u32, flags: u8, block: &[u8]| {
        [post(stream, "/x", &[]), frame(DATA, 0, stream, b"ab"), frame(HEADERS, flags, stream, block)].concat()
    };
    let flags = END_HEADERS | END_STREAM;
    for (what, flags, block) in [
        ("a path after a field", flags, [literal("a", "b"), literal(":path", "/y")].concat()),
        ("two paths", flags, literal(":path", "/y").repeat(2)),
        ("no end", END_HEADERS, literal("a", "b")),
        ("a length of the connection", flags, literal("transfer-encoding", "chunked")),
        ("more than one line", flags, literal("a", "b\r\nc: d")),
        ("another name", flags, literal("A", "b")),
        ("a name that is no token", flags, literal("a\"b", "c")),
        ("a value with an edge", flags, literal("a", "b ")),
    ] {
        let fate = asker.ask(|stream| with(stream, flags, &block));
        assert!(is_refused(fate), "{what}: {fate:?}");
    }
    assert!(origin.seen().iter().all(|seen| !seen.is_whole), "{:?}", origin.seen());
    // Alone in their place they are dropped while they are decoded: nobody gets to see them.
    let pseudo = [":method", ":path", ":authority", ":scheme", ":status", ":protocol"];
    for name in pseudo.into_iter().chain(["content-length", "host", "authorization"]) {
        let fate = asker.ask(|stream| with(stream, flags, &literal(name, "7")));
        let seen = origin.seen();
        let seen = seen.last().expect("one");
        assert!(seen.trailers.is_empty(), "{name}: {fate:?} {seen:?}");
    }
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}
