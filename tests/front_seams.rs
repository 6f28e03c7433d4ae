//! Where parts of the front meet: reloads in the middle of an attempt, resets that look like ends, calls whose safety only
//! their body tells.

#[path = "common/front.rs"]
mod front;
#[path = "common/raw_http2.rs"]
mod raw_http2;

use front::{Door, Origin, Papers};
use raw_http2::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame, region};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

/// NO_ERROR (RFC 9113 §7).
const NO_ERROR: [u8; 4] = [0; 4];

/// An HTTP/2 region that answers `200` with `hello` and these frames after it.
fn answers(papers: &Papers, more: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static, flags: u8) -> SocketAddr {
    region(papers, move |stream, round| {
        if round > 0 {
            return Vec::new();
        }
        // `:status: 200` by its number (RFC 7541, appendix A).
        let head = frame(HEADERS, END_HEADERS, stream, &[0x88]);
        [head, frame(DATA, flags, stream, b"hello"), more(stream)].concat()
    })
}

#[test]
fn a_stream_reset_without_an_error_is_cut_and_not_ended() {
    let papers = Papers::new();
    let dead = answers(&papers, |stream| frame(RST_STREAM, 0, stream, &NO_ERROR), 0);
    for path in ["/x", "/v1/x"] {
        let door = Door::start(&[("https", dead)], "", &papers);
        let answer = door.ask(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert_eq!((answer.status(), answer.is_whole), (200, false), "{path}: {answer:?}");
    }
}

#[test]
fn a_stream_that_had_ended_before_its_reset_is_whole() {
    let papers = Papers::new();
    let early = answers(&papers, |stream| frame(RST_STREAM, 0, stream, &NO_ERROR), END_STREAM);
    let door = Door::start(&[("https", early)], "", &papers);
    for _ in 0..20 {
        let answer = door.get("/x");
        assert_eq!((answer.status(), answer.is_whole, answer.text().as_str()), (200, true, "hello"), "{answer:?}");
    }
}

#[test]
fn a_region_that_is_gone_from_the_file_when_it_answers_is_told_by_its_own_name() {
    let (asked, was_asked) = sync_channel::<()>(0);
    let (go, gone) = sync_channel::<()>(0);
    let gone = Mutex::new(gone);
    let slow = Origin::start(move |talk| {
        talk.read_body()?;
        let _ = asked.send(());
        let _ = gone.lock().expect("no panic").recv();
        talk.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")?;
        Ok(true)
    });
    let first = Origin::polite();
    let door = Door::before(&[&first, &slow]);
    let mut client = door.client();
    client.say("GET /v1/x HTTP/1.1\r\nHost: b.gw.test\r\n\r\n");
    was_asked.recv().expect("it is asked");
    door.reload(&[&first]);
    go.send(()).expect("it waits");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("x-anyfront-region")), (503, Some("b")), "{answer:?}");
}

#[test]
fn a_reading_call_is_repeated_although_the_first_region_never_saw_it() {
    let nobody: SocketAddr = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let lost = Origin::start(|talk| {
        talk.read_body()?;
        Ok(false)
    });
    let well = Origin::polite();
    for (method, status) in [("tools/list", 200), ("tools/call", 502)] {
        let door = Door::start(
            &[("http", nobody), ("http", lost.address), ("http", well.address)],
            "[[class]]\nhostnames = [\"*\"]\nprefix = \"/tools\"\nmcp = true\n",
            &Papers::new(),
        );
        let call = format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"{method}\"}}");
        let answer = door.ask(format!(
            "POST /tools HTTP/1.1\r\nHost: gw.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{call}",
            call.len()
        ));
        assert_eq!(answer.status(), status, "{method}: {answer:?}");
        if status == 502 {
            assert_eq!(answer.field("x-should-retry"), Some("false"), "a tool that may have acted is not asked again");
        }
    }
}
