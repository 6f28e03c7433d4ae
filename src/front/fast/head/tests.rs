//! Heads, by example.

use super::*;

fn simple(head: &str) -> Option<Asked> {
    match look(head.as_bytes(), Vec::new()) {
        Look::Simple(asked) => Some(asked),
        _ => None,
    }
}

fn lines(head: &str) -> Vec<&str> {
    simple(head).expect("it is simple").lines.into_iter().map(|(start, end)| &head[start..end]).collect()
}

#[test]
fn what_strangers_made_up_is_left_out_and_the_rest_is_passed_on_as_it_is() {
    let head = "POST /a%2fb?c HTTP/1.1\r\nHost: a.example\r\nAUTHORIZATION: Bearer x\r\nX-Forwarded-For: 6.6.6.6\r\n\
                X-Anyfront-Client-Ip: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\nEmpty:\r\nContent-Length: 3\r\n\
                Keep-Alive: 5\r\nX-Request-Id: id-1\r\n\r\nabc";
    assert_eq!(lines(head), ["AUTHORIZATION: Bearer x", "Empty:", "Content-Length: 3"]);
    let asked = simple(head).expect("it is simple");
    assert_eq!(&head[asked.target.0..asked.target.1], "/a%2fb?c");
    assert_eq!(&head[asked.host.0..asked.host.1], "a.example");
    assert_eq!((asked.body_bytes, asked.head_bytes), (3, head.len() - 3));
    assert_eq!(asked.request_id.map(|(start, end)| &head[start..end]), Some("id-1"));
}

#[test]
fn everything_unusual_goes_the_whole_way() {
    for line in [
        "Host: b",
        "Connection: upgrade",
        "Connection: close, x",
        "Expect: 100-continue",
        "TE: trailers",
        "Transfer-Encoding: chunked",
        "Upgrade: websocket",
        "Via: 1.1 x",
        "CDN-Loop: x",
        "Content-Length: 65537",
        "Content-Length: x",
        "X-Request-Id: a b",
    ] {
        assert!(simple(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")).is_none(), "{line}");
    }
    for head in [
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(simple(head).is_none(), "{head}");
    }
}

fn answered(head: &str, is_head: bool) -> (Read, String) {
    let mut out = Vec::new();
    let remarks = Remarks {
        before_status: b"via: 1.1 s\r\nproxy-status: s; received-status=",
        after_status: b"\r\nx-anyfront-region: orf\r\n",
        request_id: b"id-1",
        decision: *b"0123456789abcdef",
        date: &|| "today".to_owned(),
        retry_after_ms: &|| 1_500,
        closes: false,
    };
    let read = answer(head.as_bytes(), is_head, &remarks, &mut out);
    (read, String::from_utf8(out).expect("it is text"))
}

#[test]
fn an_answer_is_passed_on_with_what_happened() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nAlt-Svc: h3\r\nConnection: keep-alive, x-private\r\n\
                X-Private: 1\r\nX-Anyfront-Region: forged\r\nedge-load: 1\r\nX-Tfy: m\r\n\r\nhello";
    let (read, out) = answered(head, false);
    let Read::Whole(whole) = read else { unreachable!("{read:?}") };
    assert_eq!((whole.extent, whole.is_kept, whole.head_bytes), (Extent::Length(5), true, head.len() - 5));
    assert_eq!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Tfy: m\r\ndate: today\r\nvia: 1.1 s\r\n\
         proxy-status: s; received-status=200\r\nx-anyfront-region: orf\r\nx-anyfront-decision: 0123456789abcdef\r\nx-request-id: id-1\r\n\
         connection: keep-alive\r\nkeep-alive: timeout=75\r\n\r\n"
    );
}

#[test]
fn the_end_of_an_answer_is_known_or_the_connection_is_it() {
    let extent = |head: &str, is_head| match answered(head, is_head).0 {
        Read::Whole(whole) => Some((whole.extent, whole.is_kept)),
        _ => None,
    };
    assert_eq!(extent("HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n", false), Some((Extent::Chunked, true)));
    assert_eq!(extent("HTTP/1.1 200 OK\r\n\r\n", false), Some((Extent::UntilClose, false)));
    assert_eq!(extent("HTTP/1.1 204 OK\r\n\r\n", false), Some((Extent::Length(0), true)));
    assert_eq!(extent("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", true), Some((Extent::Length(0), true)));
    assert_eq!(extent("HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\n", false), Some((Extent::Length(9), false)));
    assert_eq!(
        extent("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n", false),
        Some((Extent::Length(9), false))
    );
    for head in [
        "content-length: 9\r\ntransfer-encoding: chunked",
        "content-length: 9\r\ncontent-length: 8",
        "content-length: x",
        "transfer-encoding: gzip, chunked",
    ] {
        assert_eq!(answered(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"), false), (Read::Malformed, String::new()));
    }
    assert_eq!(answered("HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", false).0, Read::Informational(31));
    assert_eq!(answered("HTTP/1.1 200 OK\r\ncont", false).0, Read::Partial);
    assert_eq!(answered("SSH-2.0\r\n\r\n", false).0, Read::Malformed);
}

#[test]
fn numbers_are_written_in_full() {
    for number in [0, 7, 10, 200, u64::MAX] {
        let mut out = Vec::new();
        decimal(&mut out, number);
        assert_eq!(out, number.to_string().as_bytes());
    }
}
