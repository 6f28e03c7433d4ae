//! What is asked and answered is logged by dnstap, as the programs that read it understand it, and never at the cost of an
//! answer.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/dns/mod.rs"]
mod dns;
#[path = "common/tls.rs"]
mod tls;
#[path = "common/zone.rs"]
mod zone;

use anyfront::dns::asker::Transport;
use anyfront::dns::tap::frame::{Control, Kind};
use anyfront::dns::tap::{Sink, Tap, tap};
use anyfront::limits::{DNSTAP_QUEUE_BYTES_MAX, DNSTAP_QUEUE_MAX};
use anyfront::moment::{Clock, Moment};
use anyfront::node::{Node, Options};
use dns::message::{Question, kind};
use dns::servers::{all_installed, program};
use dns::talk::{Asker, exchange};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tls::BOUND;
use tokio::sync::watch;
use zone::{ZONE, options, question};

/// A tap whose writer runs.
struct Logging {
    tap: Tap,
    end: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Logging {
    fn start(sink: Sink) -> Self {
        let (tap, writer) = tap(sink, "fra");
        let (end, ending) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(writer.run(ending));
        });
        Self { tap, end, thread }
    }

    fn log(&self, message: &[u8]) -> bool {
        let ends = (at("192.0.2.1:5353"), at("198.51.100.53:53"));
        self.tap.try_log(Kind::Query, Transport::Udp, ends, Duration::from_secs(1_795_305_599), message)
    }

    fn end(self) {
        self.end.send_replace(true);
        self.thread.join().expect("no panic");
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < Moment::at(BOUND), "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A folder, and a path in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tap");
    (folder, path)
}

/// A reader of Frame Streams, as far as a test needs one.
struct Reader(UnixStream);

impl Reader {
    /// Accepts the next writer.
    fn accept(listener: &UnixListener) -> Self {
        let mut reader = Self(listener.accept().expect("a writer").0);
        reader.0.set_read_timeout(Some(BOUND)).expect("set");
        assert!(Control::Ready.is_said(&reader.control().expect("a frame")), "it offers dnstap");
        reader.0.write_all(&Control::Accept.frame()).expect("written");
        assert!(Control::Start.is_said(&reader.control().expect("a frame")));
        reader
    }

    fn length(&mut self) -> io::Result<usize> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        Ok(u32::from_be_bytes(length) as usize)
    }

    fn octets(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; length];
        self.0.read_exact(&mut octets)?;
        Ok(octets)
    }

    fn control(&mut self) -> io::Result<Vec<u8>> {
        assert_eq!(self.length()?, 0, "a control frame");
        let length = self.length()?;
        self.octets(length)
    }

    /// The next message; `None` at the end, which is agreed to.
    fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.length()? {
            0 => {
                let length = self.length()?;
                assert!(Control::Stop.is_said(&self.octets(length)?));
                self.0.write_all(&Control::Finish.frame())?;
                Ok(None)
            }
            length => self.octets(length).map(Some),
        }
    }
}

fn has(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_reader_gets_every_message_in_order_and_then_the_end() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let logging = Logging::start(Sink::Socket(path));
    let mut reader = Reader::accept(&listener);
    let ending = std::thread::spawn(|| {
        for number in 0..1_000 {
            assert!(logging.log(format!("message {number}.").as_bytes()), "there is room for all of them");
        }
        logging.end();
    });
    for number in 0..1_000 {
        let message = reader.message().expect("a frame").expect("a message");
        assert!(has(&message, format!("message {number}.").as_bytes()), "message {number}");
        assert!(has(&message, b"fra") && has(&message, b"anyfront "));
    }
    assert_eq!(reader.message().expect("a frame"), None);
    ending.join().expect("no panic");
}

#[test]
fn a_reader_that_goes_away_is_found_again() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let logging = Logging::start(Sink::Socket(path));
    for round in 0..3 {
        let mut reader = Reader::accept(&listener);
        let text = format!("round {round}");
        assert!(logging.log(text.as_bytes()));
        assert!(has(&reader.message().expect("a frame").expect("a message"), text.as_bytes()));
    }
    logging.end();
}

#[test]
fn somebody_who_reads_something_else_gets_nothing() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let logging = Logging::start(Sink::Socket(path));
    let tea = b"\0\0\0\x01\0\0\0\x01\0\0\0\x03tea";
    let too_long = [0, 0, 2, 1];
    for answer in [&[&[0, 0, 0, 0, 0, 0, 0, 15][..], tea].concat()[..], &[&[0; 4][..], &too_long].concat(), b"HTTP/1.1"]
    {
        let (mut stream, _) = listener.accept().expect("a writer");
        stream.set_read_timeout(Some(BOUND)).expect("set");
        let mut offered = vec![0; Control::Ready.frame().len()];
        stream.read_exact(&mut offered).expect("an offer");
        stream.write_all(answer).expect("written");
        // Closed, or reset over what it has not read of the answer.
        let next = stream.read(&mut [0]);
        let is_left =
            next.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::ConnectionReset, |read| *read == 0);
        assert!(is_left, "{answer:?}: {next:?}");
    }
    let mut reader = Reader::accept(&listener);
    assert!(logging.log(b"now"));
    assert!(has(&reader.message().expect("a frame").expect("a message"), b"now"));
    logging.end();
}

#[test]
fn without_a_reader_the_queue_fills_and_what_is_too_much_is_dropped() {
    let (_folder, path) = place();
    let logging = Logging::start(Sink::Socket(path.clone()));
    for number in 0..DNSTAP_QUEUE_MAX {
        assert!(logging.log(b"one"), "{number}");
    }
    assert!(!logging.log(b"one too many"));
    assert_eq!(logging.tap.dropped(), 1);
    // Who comes late still gets what is in the queue.
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut reader = Reader::accept(&listener);
    for _ in 0..DNSTAP_QUEUE_MAX {
        assert!(has(&reader.message().expect("a frame").expect("a message"), b"one"));
    }
    assert!(logging.log(b"there is room"));
    assert!(has(&reader.message().expect("a frame").expect("a message"), b"room"));
    logging.end();
}

#[test]
fn long_messages_fill_the_queue_sooner() {
    let (_folder, path) = place();
    let logging = Logging::start(Sink::Socket(path));
    let logged = (0..DNSTAP_QUEUE_MAX).take_while(|_| logging.log(&[7; 65_535])).count();
    let octets = logged * 65_535;
    assert!(octets.abs_diff(DNSTAP_QUEUE_BYTES_MAX) <= 65_535, "{octets}");
    logging.end();
}

#[test]
fn a_reader_that_takes_nothing_holds_nobody_up() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let logging = Logging::start(Sink::Socket(path));
    let _reader = Reader::accept(&listener);
    let logged = (0..2 * DNSTAP_QUEUE_MAX).filter(|_| logging.log(&[7; 1_000])).count() as u64;
    assert_eq!(logging.tap.dropped(), 2 * DNSTAP_QUEUE_MAX as u64 - logged);
    assert!(logging.tap.dropped() > 0);
    logging.end();
}

/// What `dnstap-read` prints of a file.
fn printed(path: &Path, flags: &[&str]) -> String {
    let output = program("dnstap-read").args(flags).arg(path).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A node that logs its answers to `sink`.
fn node(folder: &TempDir, sink: Sink) -> Node {
    let options = Options { dnstap: Some(sink), ..options(folder, ZONE) };
    Node::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks a node by UDP and by TCP; what both must have left behind.
fn ask(node: &Node) -> Vec<String> {
    let server = node.dns[0];
    let mut asker = Asker::of(server);
    assert!(asker.udp(&Question::new("gw.test", kind::SOA)).is_some());
    assert!(asker.tcp(&Question::new("nowhere.gw.test", kind::AAAA)).is_some());
    let port = server.port();
    [("UDP", "gw.test/IN/SOA"), ("TCP", "nowhere.gw.test/IN/AAAA")]
        .into_iter()
        .flat_map(|(transport, question)| {
            [(format!("-> 127.0.0.1:{port} {transport}"), "AQ"), (format!("<- 127.0.0.1:{port} {transport}"), "AR")]
                .map(|(way, kind)| format!("{kind} {way} {question}"))
        })
        .collect()
}

/// That `text`, as `dnstap-read` prints it, has a line for each of `lines`.
fn tells(text: &str, lines: &[String]) {
    for line in lines {
        let parts: Vec<&str> = line.split(' ').collect();
        let is_it = |printed: &str| parts.iter().all(|part| printed.split(' ').any(|word| word == *part));
        assert!(text.lines().any(is_it), "{line} is not in:\n{text}");
    }
    assert_eq!(text.lines().count(), lines.len(), "{text}");
}

#[test]
fn a_file_is_read_by_dnstap_read_and_by_nobody_else() {
    let (folder, path) = place();
    let node = node(&folder, Sink::File(path.clone()));
    let lines = ask(&node);
    node.stop();
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if !all_installed(&["dnstap-read"]) {
        return;
    }
    tells(&printed(&path, &[]), &lines);
    let whole = printed(&path, &["-y"]);
    for part in
        ["identity: here", "version: anyfront ", "type: AUTH_QUERY", "type: AUTH_RESPONSE", "socket_family: INET"]
    {
        assert!(whole.contains(part), "{part} is not in:\n{whole}");
    }
}

#[test]
fn a_node_whose_reader_is_away_answers_as_ever_and_counts_what_is_not_logged() {
    let (folder, path) = place();
    let node = node(&folder, Sink::Socket(path));
    let mut stream = TcpStream::connect(node.dns[0]).expect("connected");
    stream.set_read_timeout(Some(BOUND)).expect("set");
    // Each question leaves two messages.
    let questions = DNSTAP_QUEUE_MAX / 2 + 10;
    for id in 0..questions {
        let answer = exchange(&mut stream, &question(id as u16, "gw.test")).expect("an answer");
        assert_eq!(answer[..2], (id as u16).to_be_bytes());
    }
    assert_eq!(node.counters.worker(0).dns.untapped.load(Relaxed), 20);
    node.stop();
}

/// `fstrm_capture`, which writes what it is told into a file.
struct Capture(Child);

impl Capture {
    fn start(socket: &Path, file: &Path) -> Self {
        let mut command = program("fstrm_capture");
        command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]).arg(socket).arg("-w").arg(file);
        let capture = Self(command.spawn().expect("it starts"));
        until("fstrm_capture listens", || socket.exists());
        capture
    }

    /// Ends it, so that its file is whole.
    fn end(&mut self) {
        let told = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(told.is_ok_and(|status| status.success()));
        until("fstrm_capture ends", || self.0.try_wait().expect("a child").is_some());
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn fstrm_capture_takes_what_a_node_logs_also_when_it_comes_late() {
    if !all_installed(&["fstrm_capture", "dnstap-read"]) {
        return;
    }
    let (folder, socket) = place();
    let captured = folder.path().join("captured");
    let node = node(&folder, Sink::Socket(socket.clone()));
    let lines = ask(&node);
    let mut capture = Capture::start(&socket, &captured);
    // The node ends by telling the reader so, once it has found it.
    until("written", || std::fs::metadata(&captured).is_ok_and(|file| file.len() > 0));
    node.stop();
    capture.end();
    tells(&printed(&captured, &[]), &lines);
}
