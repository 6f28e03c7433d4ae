//! Our own requests to others: what they carry, how they end, and that they end.

#![expect(clippy::panic, reason = "a test that cannot go on says why")]

use anyfront::fetch::{FetchError, Terms, fetch};
use anyfront::tls::trust::Trust;
use bytes::Bytes;
use http::{Method, Request, Response};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(60);

fn terms() -> Terms {
    Terms {
        trust: Trust::new(&[]),
        may_be_plain: true,
        time_max: BOUND,
        connect_max: BOUND,
        answer_bytes_max: 100,
        addresses: None,
    }
}

fn ask(request: Request<Bytes>, terms: &Terms) -> Result<Response<Bytes>, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(fetch(request, terms))
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).expect("a request")
}

/// Somebody who takes one connection, reads a request and answers with these octets; what it read is handed out.
fn somebody(answer: String) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let heard = heard(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
        heard
    });
    (address, thread)
}

/// A request with its body.
fn heard(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut octets = [0; 4_096];
    loop {
        let count = stream.read(&mut octets).expect("it is said");
        text.push_str(std::str::from_utf8(&octets[..count]).expect("text"));
        let length = text
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok()));
        match text.split_once("\r\n\r\n") {
            Some((_, body)) if body.len() >= length.unwrap_or(0) => return text,
            _ if count == 0 => panic!("cut short: {text:?}"),
            _ => {}
        }
    }
}

#[test]
fn what_is_asked_is_written_and_the_answer_is_read_whatever_its_status() {
    let (address, thread) =
        somebody("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 2\r\n\r\nno".to_owned());
    let request = Request::builder().method(Method::POST).uri(format!("http://{address}/a?b=c")).header("x-y", "z");
    let answer = ask(request.body(Bytes::from_static(b"body")).expect("a request"), &terms()).expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (302, &b"no"[..]), "nobody is led elsewhere");
    let heard = thread.join().expect("it heard");
    assert!(heard.starts_with("POST /a?b=c HTTP/1.1\r\n") && heard.ends_with("\r\n\r\nbody"), "{heard}");
    for field in [&format!("host: {address}"), "x-y: z", "content-length: 4", "user-agent: anyfront/"] {
        assert!(heard.contains(field), "{field}: {heard}");
    }
}

#[test]
fn an_answer_is_read_up_to_its_bound_and_its_status_is_told_beyond() {
    for (length, is_read) in [(100, true), (101, false)] {
        let body = "x".repeat(length);
        let (address, _) = somebody(format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n{body}"));
        match ask(get(&format!("http://{address}/")), &terms()) {
            Ok(answer) => assert!(is_read && answer.body().len() == length),
            Err(FetchError::Long { status, bytes_max, .. }) => {
                assert_eq!((is_read, status.as_u16(), bytes_max), (false, 201, 100));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn somebody_who_says_nothing_is_left_in_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let terms = Terms { time_max: Duration::from_millis(100), ..terms() };
    let error = ask(get(&format!("http://{address}/")), &terms).expect_err("nobody answers");
    assert!(matches!(error, FetchError::Late { .. }), "{error}");
    assert!(error.to_string().contains("100ms"), "{error}");
}

#[test]
fn a_password_in_a_url_is_told_to_nobody() {
    let (address, thread) = somebody("HTTP/1.1 204 No Content\r\n\r\n".to_owned());
    let answer = ask(get(&format!("http://us:secret@{address}/")), &terms()).expect("an answer");
    let heard = thread.join().expect("it heard");
    assert!(answer.status() == 204 && heard.contains(&format!("host: {address}\r\n")), "{heard}");
    assert!(!heard.contains("secret"), "{heard}");
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound");
    for (url, told) in [
        (format!("http://us:secret@{gone}/"), gone.to_string()),
        (format!("ftp://us:secret@{gone}/secret"), format!("ftp://{gone} is no https URL")),
    ] {
        let error = ask(get(&url), &terms()).expect_err("not asked").to_string();
        assert!(error.contains(&told) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn what_may_not_go_in_the_clear_does_not() {
    let strict = Terms { may_be_plain: false, ..terms() };
    for (url, terms) in [("http://127.0.0.1:9/", &strict), ("ftp://127.0.0.1/", &terms()), ("/no-host", &terms())] {
        let error = ask(get(url), terms).expect_err("not asked");
        assert!(matches!(error, FetchError::Url(_)), "{url}: {error}");
    }
}

#[test]
fn addresses_that_are_given_are_dialled_and_nobody_is_asked_for_the_name() {
    let (address, thread) = somebody("HTTP/1.1 204 No Content\r\n\r\n".to_owned());
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound");
    let terms = Terms { addresses: Some(vec![nobody, address]), ..terms() };
    let answer = ask(get("http://nowhere.invalid:81/"), &terms).expect("the second address answers");
    assert_eq!(answer.status().as_u16(), 204);
    assert!(thread.join().expect("it heard").contains("host: nowhere.invalid:81"));
    let none = Terms { addresses: Some(Vec::new()), ..terms };
    assert!(matches!(ask(get("http://nowhere.invalid/"), &none), Err(FetchError::Unreachable { .. })));
}

#[test]
fn whoever_is_not_who_it_should_be_is_not_told_anything() {
    let (address, thread) = somebody("HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let error = std::thread::spawn(move || ask(get(&format!("https://localhost:{}/secret", address.port())), &terms()));
    drop(thread);
    match error.join().expect("it ends").expect_err("no TLS there") {
        FetchError::Untrusted { why, .. } => assert!(!why.is_empty()),
        error => panic!("{error}"),
    }
}
