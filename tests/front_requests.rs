//! What happens to a request of a pedant: hosts, paths, fields, lengths, expectations, and our own refusals.

#[path = "common/front.rs"]
mod front;

use front::{Answer, Door, Origin};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn head(lines: &str) -> String {
    format!("GET /x HTTP/1.1\r\n{lines}\r\n")
}

#[test]
fn the_host_alone_decides_and_must_be_one_good_name() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    for (request, status) in [
        (head("Host: gw.test\r\n"), 200),
        (head("Host: GW.Test\r\n"), 200),
        (head("Host: gw.test.\r\n"), 200),
        (head("Host: gw.test:8080\r\n"), 200),
        (head("Host: a.gw.test\r\n"), 200),
        (head(""), 400),
        (head("Host:\r\n"), 400),
        (head("Host: gw.test\r\nHost: gw.test\r\n"), 400),
        (head("Host: gw.test, gw.test\r\n"), 400),
        (head("Host: gw.test:\r\n"), 400),
        (head("Host: gw.test:x\r\n"), 400),
        (head("Host: gw.test:0\r\n"), 400),
        (head("Host: gw.test:65536\r\n"), 400),
        (head("Host: user@gw.test\r\n"), 400),
        (head("Host: gw.test/\r\n"), 400),
        (head("Host: gw_test\r\n"), 400),
        (head("Host: gw..test\r\n"), 400),
        (head("Host: -gw.test\r\n"), 400),
        (head("Host: gw.test..\r\n"), 400),
        (head("Host: gw.test \x01\r\n"), 400),
        (head("Host: gw%2etest\r\n"), 400),
        (head("Host: \u{fc}ber.test\r\n"), 400),
        (head("Host: xn--ber-goa.test\r\n"), 421),
        (head("Host: other.test\r\n"), 421),
        (head("Host: gw.test.other\r\n"), 421),
        (head("Host: 127.0.0.1\r\n"), 421),
        (head("Host: 0x7f.1\r\n"), 421),
        (head("Host: 2130706433\r\n"), 421),
        (head("Host: [::1]\r\n"), 421),
        (head("Host: [::1]:80\r\n"), 421),
        ("GET http://gw.test/x HTTP/1.1\r\nHost: gw.test\r\n\r\n".to_owned(), 200),
        ("GET http://gw.test/x HTTP/1.1\r\nHost: GW.TEST\r\n\r\n".to_owned(), 200),
        ("GET http://gw.test/x HTTP/1.1\r\n\r\n".to_owned(), 200),
        ("GET http://gw.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned(), 400),
        ("GET http://other.test/x HTTP/1.1\r\nHost: gw.test\r\n\r\n".to_owned(), 400),
        ("GET http://other.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned(), 421),
        ("GET http://user@gw.test/x HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET http://169.254.169.254/latest HTTP/1.1\r\n\r\n".to_owned(), 421),
    ] {
        let answer = door.ask(&request);
        assert_eq!(answer.status(), status, "{request:?}: {answer:?}");
    }
    assert!(
        origin.seen().iter().all(|seen| seen.line() == "GET /x HTTP/1.1" && seen.field("host") == Some("origin.test"))
    );
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}

#[test]
fn nobody_is_a_way_to_somewhere_else() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    for (request, status) in [
        ("CONNECT gw.test:443 HTTP/1.1\r\nHost: gw.test:443\r\n\r\n", 405),
        ("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n", 421),
        ("TRACE /x HTTP/1.1\r\nHost: gw.test\r\n\r\n", 405),
    ] {
        let answer = door.ask(request);
        assert_eq!(answer.status(), status, "{request:?}");
        assert!(answer.field("location").is_none());
    }
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn a_path_reaches_the_region_octet_by_octet() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let paths = [
        "/",
        "//",
        "///x",
        "/.",
        "/..",
        "/../../etc/passwd",
        "/a/./b/../c",
        "/%2e%2e/%2F",
        "/a%2fb",
        "/a;b=c;d",
        "/a//b",
        "/?",
        "/?a=b&c=%20&d=+",
        "/a?b?c",
        "/%00",
        "/%ff%FE",
        "/%zz",
        "/%",
        "/a%",
        "/~x!$&'()*+,;=:@",
        "/v1/../mcp",
        "/[x]",
        "/{x}",
        "/|",
        "/\"",
        "/a?{\"b\":1}",
        "/^`",
        "/\\x",
    ];
    for path in paths {
        let answer = door.get(path);
        assert!(matches!(answer.status(), 200 | 400), "{path}: {answer:?}");
        if answer.status() == 200 {
            assert_eq!(origin.seen().last().expect("one").target(), path);
        } else {
            println!("{path} is refused");
        }
    }
    let answer = door.ask("OPTIONS * HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(answer.status(), 200);
    assert_eq!(origin.seen().last().expect("one").line(), "OPTIONS * HTTP/1.1");
    assert!(origin.seen().len() > paths.len() - 6);
}

#[test]
fn a_stranger_cannot_say_who_it_is() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let chain = "6.6.6.6, ".repeat(19) + "7.7.7.7";
    let spoofed = format!(
        "X-Forwarded-For: {chain}\r\nx-forwarded-for: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Server: evil\r\nForwarded: for=6.6.6.6;host=evil\r\nX-Real-IP: 6.6.6.6\r\nClient-Cert: :AA==:\r\n\
         X-Anyfront-Client-Ip: 6.6.6.6\r\nX-Anyfront-Site: evil\r\nX-Anyfront-Attempt: 9\r\nX_Forwarded_For: 6.6.6.6\r\n\
         X_Anyfront_Client_Ip: 6.6.6.6\r\nX-Anyfront_Client-Ip: 6.6.6.6\r\nProxy-Authorization: x\r\n\
         Connection: x-forwarded-for, x-anyfront-client-ip, authorization, x-request-id, x-mine\r\n\
         Authorization: Bearer t\r\nX-Mine: 1\r\nX-Request-Id: mine\r\nTraceparent: 00-1-2-01\r\nX-Tfy-A: b\r\n"
    );
    assert_eq!(door.ask(head(&format!("Host: gw.test\r\n{spoofed}"))).status(), 200);
    let seen = origin.only();
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("gw.test")),
        ("forwarded", Some("for=127.0.0.1;host=gw.test;proto=http")),
        ("x-anyfront-client-ip", Some("127.0.0.1")),
        ("x-anyfront-site", Some("here")),
        ("x-anyfront-attempt", Some("1")),
        ("x-forwarded-server", None),
        ("x-real-ip", None),
        ("client-cert", None),
        ("proxy-authorization", None),
        ("connection", None),
        ("x-mine", None),
        ("authorization", Some("Bearer t")),
        ("x-request-id", Some("mine")),
        ("traceparent", Some("00-1-2-01")),
        ("x-tfy-a", Some("b")),
        ("cdn-loop", Some("gw.test")),
        ("via", Some("1.1 here")),
    ] {
        assert_eq!(seen.field(name), value, "{name}");
    }
    let is_spoofed = |line: &&str| line.contains("6.6.6.6") || line.contains("evil");
    assert_eq!(seen.head.lines().find(is_spoofed), None, "some origins read _ as -");
}

#[test]
fn trailers_cannot_say_it_either() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let answer = door.ask(
        "POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\
         Trailer: x-sum, x-anyfront-client-ip, x-forwarded-for, authorization\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Anyfront-Client-Ip: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Unsaid: 1\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let seen = origin.only();
    assert_eq!((seen.body.as_slice(), seen.trailers), (b"hi".as_slice(), vec!["x-sum: 1".to_owned()]));
}

#[test]
fn trailers_of_an_answer_reach_who_asked_for_them_without_what_is_ours_to_say() {
    let origin = Origin::start(|talk| {
        talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, x-anyfront-region\r\n\r\n")?;
        talk.say("2\r\nhi\r\n0\r\nX-Sum: 2\r\nX-Anyfront-Region: zzz\r\n\r\n")?;
        Ok(true)
    });
    let door = Door::before(&[&origin]);
    let answer = door.ask(head("Host: gw.test\r\nTE: trailers\r\n"));
    assert!(answer.is_whole);
    assert_eq!((answer.text().as_str(), answer.trailers), ("hi", vec!["x-sum: 2".to_owned()]));
    assert_eq!(origin.only().field("te"), Some("trailers"));
    let plain = door.get("/x");
    assert!(plain.is_whole && plain.trailers.is_empty());
}

#[test]
fn only_the_exact_expectation_is_met_and_only_once_a_region_is_there() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let ask = |host: &str, expectation: &str| {
        let mut client = door.client();
        client.say(format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nExpect: {expectation}\r\n\r\n"));
        let first = client.any_answer(false);
        (client, first)
    };
    for expectation in ["100-continue", "100-Continue"] {
        let (mut client, first) = ask("gw.test", expectation);
        assert_eq!(first.status(), 100);
        client.say("hi");
        assert_eq!(client.any_answer(false).status(), 200);
    }
    assert!(origin.seen().iter().all(|seen| seen.field("expect").is_none() && seen.body == b"hi"));
    for expectation in ["100-continue, x", "100", "200-ok", "", "100-continue;q=1", "x\r\nExpect: 100-continue"] {
        let (mut client, first) = ask("gw.test", expectation);
        assert_eq!(first.status(), 417, "{expectation}");
        assert!(client.is_ended());
    }
    // A refusal costs no upload: no 100 came before it.
    let (_, first) = ask("other.test", "100-continue");
    assert_eq!(first.status(), 421);
    assert_eq!(origin.seen().len(), 2);

    let nobody = Origin::polite();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let papers = front::Papers::new();
    let door = Door::start(&[("http", gone)], "", &papers);
    let mut client = door.client();
    client.say("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.any_answer(false).status(), 503, "nobody would take the body");
    drop(nobody);
}

/// A request of so much.
type Make<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn each_limit_of_a_head_holds_to_the_octet_and_one_past_it_is_431() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let fields = |count: usize| head(&format!("Host: gw.test\r\n{}", "a: b\r\n".repeat(count - 1)));
    let line = |octets: usize| head(&format!("Host: gw.test\r\na: {}\r\n", "b".repeat(octets - 3)));
    let target = |octets: usize| format!("GET /{} HTTP/1.1\r\nHost: gw.test\r\n\r\n", "x".repeat(octets - 14));
    let whole = |octets: usize| {
        let long = format!("a: {}\r\n", "b".repeat(7_995));
        let rest = octets - head(&format!("Host: gw.test\r\n{long}{long}")).len();
        head(&format!("Host: gw.test\r\n{long}{long}c: {}\r\n", "d".repeat(rest - 5)))
    };
    let cases: [(&str, Make<'_>, usize); 4] = [
        ("fields", &fields, 100),
        ("a line", &line, 8_192),
        ("the request line", &target, 8_192),
        ("all", &whole, 16_384),
    ];
    for (what, make, edge) in cases {
        assert_eq!(door.ask(make(edge)).status(), 200, "{what} at the edge");
        let answer = door.ask(make(edge + 1));
        assert_eq!(answer.status(), 431, "{what} one past it");
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(answer.text().contains("head_too_large"), "{answer:?}");
    }
    for far in [line(40_000), fields(5_000), target(60_000), line(1_000_000)] {
        assert!(matches!(door.ask(far).status(), 431 | 414), "far past it");
    }
}

#[test]
fn empty_lines_before_a_request_hide_nothing_in_it() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let good = "GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    assert_eq!(door.ask(format!("\r\n{good}")).status(), 200);
    for lines in 2..9 {
        let lines = "\r\n".repeat(lines);
        for bad in [
            "POST /bad HTTP/1.1\nHost: gw.test\nContent-Length: 1\n\nx",
            "POST /bad HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            "POST /bad HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(door.ask(format!("{lines}{bad}")).status(), 400, "{lines:?}{bad:?}");
        }
    }
    assert!(origin.seen().iter().all(|seen| seen.target() == "/x"));
}

#[test]
fn our_own_answers_say_whose_they_are_and_whether_to_come_back() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let door = Door::start(&[("http", gone)], "", &front::Papers::new());
    for (path, content_type, marks) in [
        ("/v1/chat", "application/json", ["\"error\":{", "\"type\":\"server_error\"", "\"param\":null"]),
        ("/mcp", "application/json", ["\"jsonrpc\":\"2.0\"", "\"id\":null", "\"code\":-32000"]),
        ("/x", "application/problem+json", ["\"status\":503", "\"title\":", "\"code\":\"no_region_reached\""]),
    ] {
        let answer = door.ask(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\nX-Request-Id: mine\r\n\r\n"));
        assert_eq!((answer.status(), answer.field("content-type")), (503, Some(content_type)), "{answer:?}");
        assert!(marks.iter().all(|mark| answer.text().contains(mark)), "{}", answer.text());
        assert_eq!(answer.field("x-should-retry"), Some("true"));
        let after: u64 = answer.field("retry-after-ms").and_then(|ms| ms.parse().ok()).expect("a number");
        assert!((300..=2_000).contains(&after));
        assert_eq!(answer.field("retry-after"), Some(after.div_ceil(1_000).to_string().as_str()));
        assert!(answer.field("proxy-status").is_some_and(|status| status.contains("connection_refused")), "{answer:?}");
        assert_own(&answer, "mine");
    }
    let refused = door.ask("GET / HTTP/1.1\r\nHost: other.test\r\nX-Request-Id: mine\r\n\r\n");
    assert_eq!((refused.status(), refused.field("x-should-retry")), (421, Some("false")));
    assert_eq!((refused.field("retry-after"), refused.field("retry-after-ms")), (None, None));
    assert_own(&refused, "mine");
    let bad = door.ask("GET / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: x\r\nX-Request-Id: bad id\r\n\r\n");
    assert_eq!(bad.status(), 400);
}

fn assert_own(answer: &Answer, request_id: &str) {
    assert_eq!(answer.field("x-request-id"), Some(request_id), "{answer:?}");
    assert_eq!(answer.field("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.field("x-anyfront-region"), Some("none"), "{answer:?}");
    assert!(answer.is_whole);
}

#[test]
fn a_request_that_was_here_before_is_told_so_and_nobody_is_blamed() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    for value in ["gw.test", "other, GW.test; a=1", "x; y=\"a,b\", gw.test"] {
        let answer = door.ask(head(&format!("Host: gw.test\r\nCDN-Loop: {value}\r\n")));
        assert_eq!(answer.status(), 508, "{value}");
        assert!(answer.field("proxy-status").is_some_and(|status| status.contains("proxy_loop_detected")));
    }
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(door.ask(head("Host: gw.test\r\nCDN-Loop: not.gw.test, gw.test.other\r\n")).status(), 200);
    assert_eq!(origin.only().field("cdn-loop"), Some("not.gw.test, gw.test.other, gw.test"));
}

#[test]
fn bodies_of_every_kind_arrive_as_they_were_sent() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    for (request, method, body, framing) in [
        ("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 0\r\n\r\n", "POST", "", Some("content-length")),
        ("POST /x HTTP/1.1\r\nHost: gw.test\r\n\r\n", "POST", "", None),
        ("POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST", "", None),
        ("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi", "POST", "hi", Some("content-length")),
        ("GET /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi", "GET", "hi", Some("content-length")),
        (
            "GET /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "GET",
            "hi",
            Some("transfer-encoding"),
        ),
        (
            "DELETE /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
            "DELETE",
            "hi",
            Some("transfer-encoding"),
        ),
        ("POST /x HTTP/1.0\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi", "POST", "hi", Some("content-length")),
    ] {
        let answer = door.ask(request);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"), "{request:?}");
        let seen = origin.seen().pop().expect("one");
        assert_eq!(
            (seen.line().split(' ').next(), seen.body.as_slice()),
            (Some(method), body.as_bytes()),
            "{request:?}"
        );
        if let Some(framing) = framing {
            assert!(seen.field(framing).is_some(), "{request:?}: {seen:?}");
        }
    }
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}

#[test]
fn connections_live_as_long_as_both_want() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    // Pipelined, all in one piece; the last one says that it is the last.
    let one = "GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    client.say(format!("{one}{one}POST /y HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi{one}"));
    for _ in 0..4 {
        assert_eq!(client.answer().text(), "hello");
    }
    client.say("GET /z HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n");
    let last = client.answer();
    assert_eq!((last.status(), last.field("connection")), (200, Some("close")));
    assert!(client.is_ended());
    let order: Vec<String> = origin.seen().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(order, ["/x", "/x", "/y", "/x", "/z"]);

    let mut old = door.client();
    old.say("GET /x HTTP/1.0\r\nHost: gw.test\r\n\r\n");
    assert_eq!(old.answer().text(), "hello");
    assert!(old.is_ended(), "HTTP/1.0 ends after one");
    let mut kept = door.client();
    for _ in 0..2 {
        kept.say("GET /x HTTP/1.0\r\nHost: gw.test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(kept.answer().text(), "hello");
    }
}

#[test]
fn a_client_that_hangs_up_takes_its_work_with_it() {
    let origin = Origin::start(|talk| {
        if talk.request.target() == "/stream" {
            talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        }
        let mut nothing = [0];
        // The node must hang up; it never says anything more.
        assert_eq!(talk.stream.read(&mut nothing).unwrap_or(0), 0);
        Ok(false)
    });
    let door = Door::before(&[&origin]);
    let ended = AtomicUsize::new(0);
    let is_cancelled = |what: &str| {
        let count = ended.fetch_add(1, SeqCst) + 1;
        origin.until(what, |seen, ended| seen.len() >= count && ended.len() >= count);
    };
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let asked = |path: &str| {
        let mut client = door.client();
        client.say(request(path));
        let count = ended.load(SeqCst) + 1;
        origin.until("it is asked", |seen, _| seen.len() == count);
        client
    };
    drop(asked("/wait"));
    is_cancelled("closed while waiting");
    let client = asked("/wait");
    client.stream.shutdown(Shutdown::Write).expect("half closed");
    is_cancelled("a client that will not send any more is taken for gone");
    let mut client = asked("/stream");
    let mut first = [0; 32];
    assert!(client.stream.read(&mut first).expect("a start") > 0);
    drop(client);
    is_cancelled("closed inside the answer");
}

#[test]
fn a_refused_upload_still_lets_the_client_read_why() {
    let origin = Origin::start(|talk| {
        talk.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")?;
        Ok(false)
    });
    let door = Door::before(&[&origin]);
    let length = 8 << 20;
    for (host, status) in [("other.test", 421), ("gw.test", 413)] {
        let mut client = door.client();
        client.say(format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"));
        let mut failed = None;
        let piece = [b'x'; 65_536];
        for _ in 0..length / piece.len() {
            if let Err(error) = client.stream.write_all(&piece) {
                failed = Some(error);
                break;
            }
        }
        // Most clients look at the answer only after they have sent everything.
        assert!(failed.is_none(), "{host}: {failed:?}");
        assert_eq!(client.answer().status(), status);
        assert!(client.is_ended());
    }
}

#[test]
fn an_answer_before_the_body_is_read_confuses_neither_connection() {
    // Answers at once and keeps the connection, and reads the body afterwards; or never reads it.
    let origin = Origin::start(|talk| {
        if talk.request.target() == "/early" {
            talk.answer("early")?;
            talk.read_body()?;
            return Ok(true);
        }
        if talk.request.target() == "/unread" {
            talk.answer("unread")?;
            return Ok(false);
        }
        talk.read_body()?;
        talk.answer("hello")
    });
    let door = Door::before(&[&origin]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    for (path, said) in [("/early", "early"), ("/unread", "unread")] {
        for _ in 0..20 {
            let mut client = door.client();
            let length = smuggled.len();
            client.say(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n\r\n"));
            assert_eq!(client.answer().text(), said);
            client.say(smuggled);
            client.say("GET /next HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            let next = client.answer();
            assert!(next.status() == 0 || next.text() == "hello", "{next:?}");
            assert_eq!(door.get("/other").text(), "hello");
        }
    }
    assert!(origin.seen().iter().all(|seen| seen.target() != "/smuggled"));
    assert_eq!(origin.nonsense(), Vec::<String>::new());
}

#[test]
fn head_and_answers_without_body_end_where_they_should() {
    let origin = Origin::start(|talk| {
        let kept = true;
        match talk.request.target() {
            "/204" => talk.say("HTTP/1.1 204 No Content\r\n\r\n")?,
            "/304" => talk.say("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n")?,
            "/hints" => {
                talk.say("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")?;
                return talk.answer("final");
            }
            _ if talk.request.line().starts_with("HEAD") => {
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-A: b\r\n\r\n")?;
            }
            _ => return talk.answer("hello"),
        }
        Ok(kept)
    });
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    for _ in 0..2 {
        client.say("HEAD /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        let answer = client.head_answer();
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("12345")));
        for (path, status) in [("/204", 204), ("/304", 304)] {
            client.say(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            let answer = client.answer();
            assert_eq!((answer.status(), answer.field("transfer-encoding")), (status, None));
        }
        client.say("GET /hints HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        assert_eq!(client.answer().text(), "final");
        client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
    }
    // Our own answer to HEAD has no body either.
    client.say("HEAD /x HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(client.head_answer().status(), 421);
    client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
}

#[test]
fn a_region_that_says_more_than_it_was_asked_is_not_believed() {
    let origin = Origin::start(|talk| match talk.request.target() {
        "/two" => {
            let stale = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale";
            talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst{stale}"))?;
            Ok(true)
        }
        "/long" => {
            talk.say("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nstale")?;
            Ok(true)
        }
        "/switch" => {
            talk.say(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            )?;
            Ok(false)
        }
        _ => talk.answer("hello"),
    });
    let door = Door::before(&[&origin]);
    for path in ["/two", "/long"] {
        for _ in 0..20 {
            let mut client = door.client();
            client.say(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
            assert!(matches!(client.answer().status(), 200 | 204));
            client.say("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
            assert_eq!(client.answer().text(), "hello", "after {path}");
        }
    }
    let switched = door.ask("POST /switch HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(switched.status(), 502, "nobody asked it to switch: {switched:?}");
}

#[test]
fn an_upgrade_is_one_only_when_the_region_says_101() {
    let origin = Origin::start(|talk| {
        if talk.request.target() == "/echo" && talk.request.field("upgrade").is_some() {
            talk.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")?;
            let mut octets = [0; 1_024];
            loop {
                match talk.stream.read(&mut octets)? {
                    0 => return Ok(false),
                    read => talk.stream.write_all(&octets[..read])?,
                }
            }
        }
        talk.answer("hello")
    });
    let door = Door::before(&[&origin]);
    let upgrade = |path: &str, to: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n")
    };
    let mut client = door.client();
    client.say(upgrade("/echo", "websocket"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.field("x-anyfront-region"), Some("a"));
    // Anything may follow, whatever it looks like.
    let anything = b"\x81\x85\0\0\0\0hello\nGET / HTTP/1.1\nContent-Length: 1, 2\r\n\r\n";
    client.say(anything);
    let mut echoed = vec![0; anything.len()];
    client.stream.read_exact(&mut echoed).expect("an echo");
    assert_eq!(echoed, anything);
    client.stream.shutdown(Shutdown::Write).expect("half closed");
    assert!(client.is_ended());

    // The region says 200: what follows is HTTP, and is judged as such.
    let mut client = door.client();
    client.say(upgrade("/no", "websocket") + "GET /after HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(client.answer().status(), 421);

    for to in ["h2c", "TLS/1.0", "x"] {
        assert_eq!(door.ask(upgrade("/echo", to)).text(), "hello");
        let seen = origin.seen().pop().expect("one");
        assert_eq!((seen.field("upgrade"), seen.field("connection")), (None, None), "{to}");
    }
}

#[test]
fn answers_that_were_cut_never_look_whole() {
    let origin = Origin::start(|talk| {
        match talk.request.target() {
            "/length" => talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?,
            "/chunks" => talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?,
            "/bad" => talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n")?,
            _ => talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe")?,
        }
        Ok(false)
    });
    let door = Door::before(&[&origin]);
    for path in ["/length", "/chunks", "/bad", "/middle"] {
        let answer = door.get(path);
        assert_eq!((answer.status(), answer.is_whole), (200, false), "{path}: {answer:?}");
        assert!(answer.text().starts_with("hello"), "{path}: what came is passed on");
        // HTTP/1.0 has no chunks: only a reset says that the end is none.
        let mut old = door.client();
        old.say(format!("GET {path} HTTP/1.0\r\nHost: gw.test\r\n\r\n"));
        let mut read = Vec::new();
        let end = old.stream.read_to_end(&mut read);
        let text = String::from_utf8_lossy(&read).into_owned();
        let is_short = text.contains("content-length: 10") && !text.ends_with("hellohello");
        assert!(is_short || end.is_err(), "{path}: {text:?} {end:?}");
    }
}

#[test]
fn bodies_that_were_cut_are_never_completed_toward_the_region() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    for request in [
        "POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let mut client = door.client();
        client.say(request);
        origin.until("the region is asked", |seen, _| !seen.is_empty());
        drop(client);
    }
    origin.until("both have ended", |_, ended| ended.len() == 2);
    assert!(origin.seen().iter().all(|seen| !seen.is_whole), "{:#?}", origin.seen());
}

#[test]
fn what_a_region_has_not_done_another_does() {
    let unserved = Origin::start(|talk| {
        talk.read_body()?;
        let status = if talk.request.target() == "/421" { "421 Misdirected Request" } else { "503 Busy" };
        talk.say(format!("HTTP/1.1 {status}\r\nEdge-Unserved: 1; reason=full\r\nContent-Length: 0\r\n\r\n"))?;
        Ok(true)
    });
    let second = Origin::polite();
    let door = Door::before(&[&unserved, &second]);
    for path in ["/421", "/503"] {
        let answer = door.ask(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi"));
        assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("b")), "{answer:?}");
        let status = answer.field("proxy-status").unwrap_or_default();
        assert_eq!(
            status,
            "here; next-hop=\"a\"; details=\"unserved: full\", here; next-hop=\"b\"; received-status=200"
        );
    }
    assert!(second.seen().iter().all(|seen| seen.body == b"hi" && seen.field("x-anyfront-attempt") == Some("2")));
    // Its own hostname has nobody else: the region's refusal is passed on.
    let answer = door.ask("GET /503 HTTP/1.1\r\nHost: a.gw.test\r\n\r\n");
    assert_eq!((answer.status(), answer.field("edge-unserved")), (503, None));
    assert_eq!(answer.field("x-anyfront-region"), Some("a"));
}

#[test]
fn a_kept_connection_that_the_region_closed_loses_no_post_and_doubles_none() {
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        talk.answer("hello")?;
        // It said nothing of closing.
        Ok(talk.before < 1)
    });
    let door = Door::before(&[&origin]);
    let mut client = door.client();
    for number in 0..200_usize {
        client.say(format!("POST /{number} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi"));
        let answer = client.answer();
        assert_eq!(answer.text(), "hello", "{number}: {answer:?}");
        origin.until("the region closes", |_, ended| ended.len() == number.div_ceil(2));
    }
    let targets: Vec<String> = origin.seen().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(targets, (0..200).map(|number| format!("/{number}")).collect::<Vec<_>>());
}

#[test]
fn a_post_that_may_have_been_processed_is_never_sent_twice_and_a_get_is() {
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        Ok(false)
    });
    let second = Origin::polite();
    let door = Door::before(&[&origin, &second]);
    let answer = door.ask("POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.status(), second.seen().len()), (502, 0), "{answer:?}");
    assert!(answer.field("proxy-status").is_some_and(|status| status.contains("connection_terminated")), "{answer:?}");
    let answer = door.get("/x");
    assert_eq!((answer.status(), answer.field("x-anyfront-region")), (200, Some("b")));
    assert_eq!(second.only().line(), "GET /x HTTP/1.1");
}
