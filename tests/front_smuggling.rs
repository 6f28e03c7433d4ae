//! Nobody smuggles a request past the front door: what the origin reads is what the client was answered for.

#[path = "common/front.rs"]
mod front;

use anyfront::moment::Dice;
use front::{Door, Origin};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// A variant that is still waiting after this waits for a body that never comes: it is left.
const PATIENCE: Duration = Duration::from_secs(3);
const CLIENTS: usize = 16;

/// Lines about the coding; `""` is none. Most are ways to hide it from one parser and show it to another.
const CODINGS: [&str; 50] = [
    "",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: CHUNKED\r\n",
    "Transfer-Encoding:chunked\r\n",
    "Transfer-Encoding: chunked \r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: \tchunked\t\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding\t: chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "\tTransfer-Encoding: chunked\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "X: y\r\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\n",
    "Transfer-Encoding: chunked\r\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding:\n chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunkedx\r\n",
    "Transfer-Encoding: x chunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: 'chunked'\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding: , chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding:\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Transfer-Encodin: chunked\r\n",
    "X-Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: \u{b}chunked\r\n",
    "Transfer-Encoding: chunked\u{b}\r\n",
    "Transfer-Encoding: \u{c}chunked\r\n",
    "Transfer-Encoding: ch\u{212a}unked\r\n",
    "Transfer-Encoding: chunked\0\r\n",
    "\0Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding\0: chunked\r\n",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
];

/// Lines about the length; `N` is the right one.
const LENGTHS: [&str; 26] = [
    "",
    "Content-Length: N\r\n",
    "content-length:N\r\n",
    "Content-Length: N \r\n",
    "Content-Length : N\r\n",
    " Content-Length: N\r\n",
    "Content-Length: +N\r\n",
    "Content-Length: -N\r\n",
    "Content-Length: 0N\r\n",
    "Content-Length: 0xN\r\n",
    "Content-Length: N.0\r\n",
    "Content-Length: N, N\r\n",
    "Content-Length: N,\r\n",
    "Content-Length: N\r\nContent-Length: N\r\n",
    "Content-Length: 0\r\nContent-Length: N\r\n",
    "Content-Length: N\r\nContent-Length: 0\r\n",
    "Content-Length: N\r\n 0\r\n",
    "Content-Length: N\n",
    "Content-Length:\r\n",
    "Content-Length: 99999999999999999999N\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content_Length: N\r\n",
    "Content-Length: N\0\r\n",
    "Content-Length: \u{b}N\r\n",
    "Content-Length: N\r\nX: y\rContent-Length: 0\r\n",
    "Connection: Content-Length\r\nContent-Length: N\r\n",
];

/// Bodies that end early for one who reads chunks, or for one who does not.
fn bodies(id: usize) -> [String; 3] {
    let smuggled = format!("GET /smuggled-{id}- HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    [format!("0\r\n\r\n{smuggled}"), format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()), smuggled]
}

/// Ways to spoil chunks; every one ends the connection, and none lets the rest through.
fn bad_chunks(id: usize) -> Vec<String> {
    let smuggled = format!("GET /smuggled-{id}- HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let mut all = Vec::new();
    for size in [
        "3 ",
        " 3",
        "+3",
        "-3",
        "0x3",
        "3\n",
        "3;\n",
        "3;a=\"\n",
        "\t3",
        "3\r",
        "3\0",
        "g",
        "",
        "03,",
        "ffffffffffffffff3",
        "10000000000000003",
        "3;a\rb",
        "3\u{b}",
        "three",
        "0000000000000000003",
    ] {
        all.push(format!("{size}\r\nabc\r\n0\r\n\r\n{smuggled}"));
    }
    for ending in ["", "\n", "\r", "x\r\n", "\r\r\n", "\0\r\n", " \r\n"] {
        all.push(format!("3\r\nabc{ending}0\r\n\r\n{smuggled}"));
    }
    for end in [
        "0\n\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\r\n\r\n",
        "00 \r\n\r\n",
        "0;a\n\r\n",
        "0\r\r\n\r\n",
    ] {
        all.push(format!("3\r\nabc\r\n{end}{smuggled}"));
    }
    all
}

/// Heads that are wrong in themselves.
fn bad_heads(id: usize) -> Vec<String> {
    let smuggled = format!("GET /smuggled-{id}- HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let length = smuggled.len();
    let fields = format!("Host: gw.test\r\nContent-Length: {length}\r\n");
    let mut all = Vec::new();
    for line in [
        format!("POST /o-{id}- HTTP/1.0\r\nTransfer-Encoding: chunked"),
        format!("POST /o-{id}- HTTP/1.1 "),
        format!("POST /o-{id}-  HTTP/1.1"),
        format!("POST  /o-{id}- HTTP/1.1"),
        format!(" POST /o-{id}- HTTP/1.1"),
        format!("POST\t/o-{id}-\tHTTP/1.1"),
        format!("POST /o-{id}- HTTP/1.2"),
        format!("POST /o-{id}- HTTP/2.0"),
        format!("POST /o-{id}- HTTP/0.9"),
        format!("POST /o-{id}- http/1.1"),
        format!("POST /o-{id}-"),
        format!("POST /o-{id}- HTTP/1.1\0"),
        format!("POST /o\0-{id}- HTTP/1.1"),
        format!("POST /o-{id}-\r HTTP/1.1"),
        format!("POST /o-{id}-\rX HTTP/1.1"),
        format!("PO ST /o-{id}- HTTP/1.1"),
        format!("PO\0ST /o-{id}- HTTP/1.1"),
        format!("POST http://other.test/o-{id}- HTTP/1.1"),
        format!("POST http://gw.test@other.test/o-{id}- HTTP/1.1"),
        format!("CONNECT gw.test:80 HTTP/1.1\r\nX: {id}"),
        format!("TRACE /o-{id}- HTTP/1.1"),
        format!("\n\n\n\n\nPOST /o-{id}- HTTP/1.1"),
        format!("\r\n\r\n\r\nPOST /o-{id}- HTTP/1.0\r\nTransfer-Encoding: chunked"),
    ] {
        all.push(format!("{line}\r\n{fields}\r\n{smuggled}"));
        all.push(format!("\r\n\r\n\r\n\r\n{line}\n{fields}\n{smuggled}"));
    }
    for name in ["X y", "X\0", "X(", "", "X\u{7f}", "Hést", "X\t", "@", "X\"", "X[", "X/"] {
        all.push(format!("POST /o-{id}- HTTP/1.1\r\n{fields}{name}: z\r\n\r\n{smuggled}"));
    }
    for value in ["a\0b", "a\rb", "a\u{1}b", "a\u{7f}b", "\r\n\tfolded", "a\r"] {
        all.push(format!("POST /o-{id}- HTTP/1.1\r\n{fields}X: {value}\r\n\r\n{smuggled}"));
    }
    all
}

/// A variant, and whether a request hidden in it would be a second one by any reading of the standard.
struct Variant {
    id: usize,
    octets: Vec<u8>,
    may_be_pipelined: bool,
}

fn corpus() -> Vec<Variant> {
    let mut all: Vec<Variant> = Vec::new();
    for coding in CODINGS {
        for length in LENGTHS {
            for which in 0..2 {
                let id = all.len();
                let body = &bodies(id)[which];
                // The second body looks to whoever believes the length as if it ended after its first line.
                let said = if which == 0 { body.len() } else { body.find("\r\n").expect("chunked") + 2 };
                let length = length.replace('N', &said.to_string());
                let order =
                    if id.is_multiple_of(3) { format!("{length}{coding}") } else { format!("{coding}{length}") };
                let octets = format!("POST /o-{id}- HTTP/1.1\r\nHost: gw.test\r\n{order}\r\n{body}").into_bytes();
                let hides = which == 0 && !length.is_empty() && !length.starts_with("Content_Length");
                all.push(Variant { id, octets, may_be_pipelined: !hides });
            }
        }
    }
    for at in 0..bad_chunks(0).len() {
        let id = all.len();
        let body = &bad_chunks(id)[at];
        let head = format!("POST /o-{id}- HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        all.push(Variant { id, octets: format!("{head}{body}").into_bytes(), may_be_pipelined: false });
    }
    for at in 0..bad_heads(0).len() {
        let id = all.len();
        all.push(Variant { id, octets: bad_heads(id)[at].clone().into_bytes(), may_be_pipelined: false });
    }
    all
}

/// What came of a variant: how often an origin answered, and whether the node ended the connection.
struct Fate {
    text: String,
    is_over: bool,
}

fn send(address: SocketAddr, variant: &Variant, dice: &mut Dice) -> Fate {
    let id = variant.id;
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let mut octets = variant.octets.clone();
    let _ = write!(text(&mut octets), "GET /last-{id}- HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n");
    // In up to four pieces, cut anywhere.
    let mut cuts: Vec<usize> = (0..dice.roll() % 4).map(|_| dice.roll() as usize % octets.len()).collect();
    cuts.extend([0, octets.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        let _ = stream.write_all(&octets[piece[0]..piece[1]]);
        std::thread::yield_now();
    }
    let mut read = Vec::new();
    let end = stream.read_to_end(&mut read);
    let is_over = !matches!(end, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    Fate { text: String::from_utf8_lossy(&read).into_owned(), is_over }
}

/// `write!` into octets.
fn text(octets: &mut Vec<u8>) -> impl std::fmt::Write + '_ {
    struct Text<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    Text(octets)
}

/// Sends the whole corpus; the requests that the origin saw, by variant.
fn attack(door: &Door, corpus: &[Variant]) -> Vec<Fate> {
    let next = AtomicUsize::new(0);
    let fates: Vec<_> = corpus.iter().map(|_| std::sync::Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (next, fates) = (&next, &fates);
            scope.spawn(move || {
                let mut dice = Dice::seeded(client as u64);
                loop {
                    let at = next.fetch_add(1, SeqCst);
                    let Some(variant) = corpus.get(at) else { return };
                    *fates[at].lock().expect("no panic") = Some(send(door.http, variant, &mut dice));
                }
            });
        }
    });
    fates.into_iter().map(|fate| fate.into_inner().expect("no panic").expect("all were sent")).collect()
}

#[test]
fn an_origin_sees_exactly_the_requests_that_the_client_was_answered_for() {
    let origin = Origin::polite();
    let door = Door::before(&[&origin]);
    let corpus = corpus();
    assert!(corpus.len() >= 2_000, "{}", corpus.len());
    let fates = attack(&door, &corpus);
    assert_eq!(origin.nonsense(), Vec::<String>::new(), "the node said something that is no HTTP");
    let mut seen = vec![Vec::new(); corpus.len()];
    for request in origin.seen() {
        let id = request.target().split('-').nth(1).and_then(|id| id.parse::<usize>().ok());
        seen[id.unwrap_or_else(|| panic!("whose is {request:?}"))].push(request);
    }
    let (mut refused, mut served, mut left) = (0, 0, 0);
    for ((variant, fate), seen) in corpus.iter().zip(&fates).zip(&seen) {
        let said = String::from_utf8_lossy(&variant.octets);
        let story = || format!("{said:?}\nwas answered {:?}\nand the origin saw {seen:#?}", fate.text);
        let answered = fate.text.matches("HTTP/1.1 200 OK").count();
        // One that is still waiting for its body was seen and is not answered yet.
        let open = usize::from(!fate.is_over || fate.text.is_empty());
        let whole = seen.iter().filter(|request| request.is_whole).count();
        assert!(whole >= answered && whole <= answered + open, "{}", story());
        let smuggled = seen.iter().any(|request| request.target().starts_with("/smuggled"));
        assert!(!smuggled || variant.may_be_pipelined, "smuggled: {}", story());
        refused += usize::from(answered == 0 && fate.is_over);
        served += usize::from(answered > 0);
        left += usize::from(!fate.is_over);
    }
    println!("{} variants: {served} served, {refused} refused, {left} left waiting", corpus.len());
    assert!(served > 50 && refused > 1_000, "{served} {refused} {left}");
}
