//! What is one message and what is two.

use super::*;

/// What becomes of `text`, whatever the pieces it comes in: heads seen, and the violation.
fn fate(text: &str) -> (u64, Option<(u64, Violation)>) {
    let mut whole = Framing::default();
    let fed = whole.feed(text.as_bytes());
    let fate = (whole.heads, whole.violated());
    for piece in [1, 2, 3, 7] {
        let mut pieces = Framing::default();
        let mut last = Ok(0);
        for bytes in text.as_bytes().chunks(piece) {
            last = pieces.feed(bytes);
            if last.is_err() {
                break;
            }
        }
        assert_eq!(last.is_err(), fed.is_err(), "{text:?} in pieces of {piece}");
        assert_eq!((pieces.heads, pieces.violated()), fate, "{text:?} in pieces of {piece}");
    }
    fate
}

#[test]
fn honest_messages_pass_one_after_the_other() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\
                POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n\
                POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nt: 1\r\n\r\n\
                \r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(fate(text), (5, None));
    let mut framing = Framing::default();
    assert_eq!(framing.feed(text.as_bytes()), Ok(text.len()));
    assert!(framing.is_between_messages());
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    use Violation::*;
    for (head, violation) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthAndCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", LengthAndCoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Length),
        ("Content-Length: 5, 5\r\n", Length),
        ("Content-Length: +5\r\n", Length),
        ("Content-Length: 0x5\r\n", Length),
        ("Content-Length:\r\n", Length),
        ("Content-Length: 9999999999999999999\r\n", Length),
        ("Transfer-Encoding: gzip, chunked\r\n", Coding),
        ("Transfer-Encoding: chunked, identity\r\n", Coding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Coding),
        ("Transfer-Encoding: \x0bchunked\r\n", Coding),
        ("Transfer-Encoding : chunked\r\n", SpaceBeforeColon),
        ("Content-Length\t: 5\r\n", SpaceBeforeColon),
        ("X: 1\r\n Content-Length: 5\r\n", Folded),
        ("X: 1\nContent-Length: 5\r\n", BareLineEnd),
        ("X: 1\rContent-Length: 5\r\n", BareLineEnd),
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\nGET /smuggled HTTP/1.1\r\n\r\n");
        assert_eq!(fate(&text), (1, Some((1, violation))), "{head:?}");
    }
    assert_eq!(fate("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").1, Some((1, Coding)));
    assert_eq!(fate("GET / HTTP/1.1\nHost: a\n\n").1, Some((1, BareLineEnd)));
}

#[test]
fn empty_lines_are_no_head_of_their_own() {
    for lines in 2..9 {
        let text = format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(lines));
        assert_eq!(fate(&text), (1, Some((1, Violation::EmptyLines))), "{lines}");
    }
    let mut framing = Framing::default();
    assert_eq!(framing.feed(b"\r\n"), Ok(2));
    assert!(framing.is_inside_head(), "a client cannot stay for ever on empty lines");
}

#[test]
fn nothing_after_a_bad_head_is_passed_on() {
    let bad = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut framing = Framing::default();
    assert_eq!(framing.feed(format!("{bad}0\r\n\r\nGET / HTTP/1.1\r\n\r\n").as_bytes()), Ok(bad.len()));
    assert_eq!(framing.feed(b"more"), Ok(0));
}

#[test]
fn bodies_must_be_what_they_say() {
    for body in ["x\r\n", "\r\n", "5\r\nhelloo\r\n", "5\nhello\r\n", "-1\r\n", "FFFFFFFFFFFFFFFFF\r\n", "5 \r\n"] {
        let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(Framing::default().feed(text.as_bytes()), Err(BadChunk), "{body:?}");
        fate(&text);
    }
}

fn fed(framing: &mut Framing, bytes: &[u8]) -> (usize, usize, CameTo) {
    let Fed { chunks, taken, came_to } = framing.feed_body(bytes);
    (chunks, taken, came_to)
}

#[test]
fn a_body_is_good_up_to_where_it_breaks() {
    let body = b"3\r\nabc\r\nxyz\r\n";
    assert_eq!(fed(&mut Framing::of_chunked_body(), body), (8, 8, CameTo::Nonsense));
}

#[test]
fn a_body_without_trailers_is_all_chunks() {
    let body = b"3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(fed(&mut Framing::of_chunked_body(), body), (body.len(), body.len(), CameTo::End));
}

#[test]
fn one_body_is_followed_to_its_end_and_no_further() {
    let body = b"3\r\nabc\r\n0\r\nt: 1\r\n\r\n";
    let chunks = body.len() - b"t: 1\r\n\r\n".len();
    for piece in 1..body.len() {
        let mut framing = Framing::of_chunked_body();
        let (first, rest) = body.split_at(piece);
        assert_eq!(fed(&mut framing, first), (piece.min(chunks), piece, CameTo::More));
        let chunks_left = chunks.saturating_sub(piece);
        assert_eq!(fed(&mut framing, &[rest, b"HTTP/1.1"].concat()), (chunks_left, rest.len(), CameTo::End));
    }
}

#[test]
fn each_limit_holds_to_the_octet() {
    let fields = |n| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert_eq!(fate(&fields(HEADER_FIELDS_MAX)).1, None);
    assert_eq!(fate(&fields(HEADER_FIELDS_MAX + 1)).1, Some((1, Violation::TooLarge)));
    let line = |n: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(n - 3));
    assert_eq!(fate(&line(HEADER_LINE_BYTES_MAX)).1, None);
    assert_eq!(fate(&line(HEADER_LINE_BYTES_MAX + 1)).1, Some((1, Violation::TooLarge)));
    let all = |n: usize| {
        let long = format!("a: {}\r\n", "b".repeat(8_000 - 5));
        let rest = n - 18 - 16_000;
        format!("GET / HTTP/1.1\r\n{long}{long}a: {}\r\n\r\n", "b".repeat(rest - 5))
    };
    assert_eq!(all(HEADER_BYTES_MAX).len(), HEADER_BYTES_MAX);
    assert_eq!(fate(&all(HEADER_BYTES_MAX)).1, None);
    assert_eq!(fate(&all(HEADER_BYTES_MAX + 1)).1, Some((1, Violation::TooLarge)));
}
