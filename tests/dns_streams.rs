//! DNS over TCP and TLS on real sockets: framing, order, patience, places, and the end.

#![allow(clippy::panic, reason = "this is how a test fails")]

#[path = "common/tls.rs"]
mod tls;
#[path = "common/zone.rs"]
mod zone;

use anyfront::counters::StreamCounters;
use anyfront::limits::{
    DNS_MESSAGE_TIMEOUT, DNS_STREAM_IDLE, DNS_STREAMS_MAX, DNS_STREAMS_PER_SOURCE_MAX, DNS_WRITE_STALL_MAX,
};
use anyfront::moment::{Clock, Moment};
use anyfront::node::{Node, Options, StartError};
use anyfront::tls::{ALPN_DNS, ALPN_HTTP2};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tempfile::TempDir;
use tls::{BOUND, client, until};
use zone::{ZONE, any, file, options};

/// A node that answers DNS in every way.
struct Stand {
    tcp: SocketAddr,
    dot: SocketAddr,
    node: Node,
    folder: TempDir,
}

impl Stand {
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    fn start_with(adjust: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = options(&folder, ZONE);
        adjust(&mut options);
        let node = Node::start(options).unwrap_or_else(|error| panic!("{error}"));
        Self { tcp: node.dns[0], dot: node.dot[0], node, folder }
    }

    fn tcp(&self) -> TcpStream {
        connect(self.tcp)
    }

    fn dot(&self, protocols: &[&[u8]]) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut config = client(None, &[&TLS13, &TLS12]);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("ns1.gw.test").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut stream = StreamOwned::new(connection, connect(self.dot));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    fn count(&self, which: impl Fn(&StreamCounters) -> u64) -> u64 {
        which(&self.node.counters.worker(0).dns_tcp)
    }

    fn stop(self) {
        self.node.stop();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    bounded(TcpStream::connect(address).expect("a connection"))
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    stream.set_write_timeout(Some(BOUND)).expect("a bound");
    stream.set_nodelay(true).expect("set");
    stream
}

/// A connection from an address of loopback's own.
fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("all of 127/8 is ours");
    socket.connect(&to.into()).expect("a connection");
    bounded(socket.into())
}

/// A question for a name that is in no zone of ours, and so much filling behind it, with its length before it.
fn question(id: u16, filling: usize) -> Vec<u8> {
    let mut message = zone::question(id, "other.test");
    message.resize(message.len() + filling, 0);
    framed(&message)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("it fits");
    [&length.to_be_bytes()[..], message].concat()
}

/// The id and the response code of the next answer.
fn answer(stream: &mut impl Read) -> io::Result<(u16, u8)> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    assert!(message.len() >= 12 && message[2] & 0x80 != 0, "{message:?} is an answer");
    Ok((u16::from_be_bytes([message[0], message[1]]), message[3] & 0xF))
}

fn ask(stream: &mut (impl Read + Write), id: u16) -> io::Result<()> {
    stream.write_all(&question(id, 0))?;
    stream.flush()?;
    assert_eq!(answer(stream)?, (id, 5), "REFUSED");
    Ok(())
}

/// Whether the other side has closed, in whichever way.
fn is_closed(stream: &mut impl Read) -> bool {
    let mut octet = [0];
    match stream.read(&mut octet) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

fn many_answers(mut stream: impl Read + Write) {
    let all: Vec<u8> = (0..1_000).flat_map(|id| question(id, 0)).collect();
    stream.write_all(&all).expect("sent");
    stream.flush().expect("sent");
    for id in 0..1_000 {
        assert_eq!(answer(&mut stream).expect("an answer"), (id, 5));
    }
    ask(&mut stream, 7).expect("and it goes on");
}

#[test]
fn a_thousand_questions_at_once_are_answered_in_their_order() {
    let stand = Stand::start();
    many_answers(stand.tcp());
    many_answers(stand.dot(&[ALPN_DNS]).expect("a connection"));
    many_answers(stand.dot(&[]).expect("ALPN is not demanded (RFC 7858 has none)"));
    assert_eq!(stand.count(|tcp| tcp.questions.load(Relaxed)), 1_001);
    stand.stop();
}

#[test]
fn whoever_wants_to_speak_something_else_over_tls_is_told_so() {
    let stand = Stand::start();
    let error = stand.dot(&[ALPN_HTTP2]).expect_err("no such protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    until("it is counted", || stand.node.counters.worker(0).dns_tls.failed_handshakes.load(Relaxed) == 1);
    stand.stop();
}

#[test]
fn a_question_that_comes_octet_by_octet_is_answered_and_so_is_the_longest() {
    let stand = Stand::start();
    let mut stream = stand.tcp();
    for octet in question(1, 0) {
        stream.write_all(&[octet]).expect("sent");
    }
    assert_eq!(answer(&mut stream).expect("an answer").0, 1);
    let longest = question(2, 65_535 - 28);
    assert_eq!(longest[..2], [0xFF, 0xFF]);
    stream.write_all(&longest).expect("sent");
    assert_eq!(answer(&mut stream).expect("an answer").0, 2);
    ask(&mut stream, 3).expect("and it goes on");
    stand.stop();
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let stand = Stand::start();
    let mut stream = stand.tcp();
    // The last message is none.
    stream.write_all(&[question(1, 0), question(2, 0), vec![0, 40, 1]].concat()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("said");
    assert_eq!(answer(&mut stream).expect("an answer").0, 1);
    assert_eq!(answer(&mut stream).expect("an answer").0, 2);
    assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
    stand.stop();
}

#[test]
fn a_message_of_nothing_ends_the_connection_after_the_answers_before_it() {
    let stand = Stand::start();
    let mut stream = stand.tcp();
    stream.write_all(&[question(1, 0), vec![0, 0], question(2, 0)].concat()).expect("sent");
    assert_eq!(answer(&mut stream).expect("an answer").0, 1);
    assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0, "what follows is no message");
    stand.stop();
}

#[test]
fn what_is_no_question_gets_no_answer_and_costs_nobody_the_connection() {
    let stand = Stand::start();
    let mut stream = stand.tcp();
    let mut an_answer = question(1, 0);
    an_answer[4] |= 0x80;
    stream.write_all(&[an_answer, vec![0, 3, 1, 2, 3]].concat()).expect("sent");
    ask(&mut stream, 2).expect("the first answer is to the only question");
    stand.stop();
}

#[test]
fn patience_ends_for_those_who_say_nothing_and_those_who_do_not_finish() {
    let stand = Stand::start();
    let clock = Clock::start();
    let ended_after = |mut stream: TcpStream| {
        assert!(is_closed(&mut stream), "closed within the bound");
        clock.now().since(Moment::ZERO)
    };
    std::thread::scope(|scope| {
        let idle = scope.spawn(|| ended_after(stand.tcp()));
        let mut slow = stand.tcp();
        let other = slow.try_clone().expect("a copy");
        let ended = scope.spawn(move || ended_after(other));
        // An octet now and then must not buy time.
        for octet in question(1, 40) {
            if ended.is_finished() || slow.write_all(&[octet]).is_err() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(500));
        }
        let slow = ended.join().expect("no panic");
        assert!(slow >= DNS_MESSAGE_TIMEOUT && slow < DNS_STREAM_IDLE, "{slow:?}");
        let mut busy = stand.tcp();
        ask(&mut busy, 1).expect("an answer");
        let idle = idle.join().expect("no panic");
        assert!(idle >= DNS_STREAM_IDLE && idle < DNS_STREAM_IDLE * 2, "{idle:?}");
        ask(&mut busy, 2).expect("each question buys its own time");
    });
    until("nobody is left", || stand.count(|tcp| tcp.open.load(Relaxed)) == 0);
    stand.stop();
}

#[test]
fn whoever_does_not_read_is_given_up_and_holds_nobody_up() {
    let stand = Stand::start();
    let mut deaf = stand.tcp();
    deaf.set_write_timeout(Some(Duration::from_millis(200))).expect("a bound");
    let many: Vec<u8> = (0..1_000).flat_map(|id| question(id, 0)).collect();
    let clock = Clock::start();
    let is_stuck = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    // Until nothing more is taken from us, and then until there is nobody to take it.
    let stuck = loop {
        if let Err(error) = deaf.write_all(&many) {
            break error;
        }
    };
    assert!(is_stuck(&stuck), "{stuck}");
    ask(&mut stand.tcp(), 1).expect("others are served meanwhile");
    until("it is given up", || deaf.write(&[0]).is_err_and(|error| !is_stuck(&error)));
    assert!(clock.now() >= Moment::at(DNS_WRITE_STALL_MAX), "{:?}", clock.now());
    until("nobody is left", || stand.count(|tcp| tcp.open.load(Relaxed)) == 0);
    stand.stop();
}

/// Both ends of every connection are ours.
fn raise_the_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("raised");
}

#[test]
fn a_source_with_too_many_connections_loses_its_own_quietest() {
    raise_the_limit();
    let stand = Stand::start();
    let mut stranger = connect_from([127, 0, 0, 2], stand.tcp);
    ask(&mut stranger, 1).expect("an answer");
    let mut own: Vec<_> = (0..DNS_STREAMS_PER_SOURCE_MAX).map(|_| stand.tcp()).collect();
    for stream in &mut own {
        ask(stream, 2).expect("there is room");
    }
    assert_eq!(stand.count(|tcp| tcp.turned_out.load(Relaxed)), 0);
    let mut newest = stand.tcp();
    ask(&mut newest, 3).expect("the newest is served");
    assert!(is_closed(&mut own[0]), "the quietest has gone");
    ask(&mut own[1], 4).expect("nobody else");
    ask(&mut stranger, 5).expect("nor anybody of another source, however quiet");
    assert_eq!(stand.count(|tcp| tcp.turned_out.load(Relaxed)), 1);
    drop((own, newest, stranger));
    until("places are given back", || stand.count(|tcp| tcp.open.load(Relaxed)) == 0);
    stand.stop();
}

#[test]
fn a_flood_of_connections_that_say_nothing_locks_nobody_out() {
    raise_the_limit();
    let stand = Stand::start();
    let source = |at: usize| [127, 1, u8::try_from(at / 100).expect("few"), 1];
    let mut silent: Vec<_> = (0..DNS_STREAMS_MAX).map(|at| connect_from(source(at), stand.tcp)).collect();
    until("all are in", || stand.count(|tcp| tcp.open.load(Relaxed)) == DNS_STREAMS_MAX as u64);
    let mut honest = stand.tcp();
    ask(&mut honest, 1).expect("an answer");
    assert!(is_closed(&mut silent[0]), "one has made room");
    // The flood goes on: whoever comes is served, and there are never more than may be.
    for at in 0..500 {
        silent.push(connect_from(source(at), stand.tcp));
        if at % 50 == 0 {
            ask(&mut stand.tcp(), 2).expect("an answer");
        }
    }
    ask(&mut honest, 3).expect("and whoever asks stays");
    until("all others have gone", || stand.count(|tcp| tcp.open.load(Relaxed)) <= DNS_STREAMS_MAX as u64);
    ask(&mut stand.dot(&[ALPN_DNS]).expect("a connection"), 4).expect("the other way has places of its own");
    drop(silent);
    stand.stop();
}

#[test]
fn the_end_answers_what_was_asked_and_takes_nothing_new() {
    let stand = Stand::start();
    let (mut idle, mut halfway) = (stand.tcp(), stand.tcp());
    let mut secured = stand.dot(&[ALPN_DNS]).expect("a connection");
    ask(&mut idle, 1).expect("an answer");
    ask(&mut secured, 1).expect("an answer");
    let last = question(2, 0);
    halfway.write_all(&last[..10]).expect("sent");
    let tcp = stand.tcp;
    until("all are in", || stand.count(|tcp| tcp.open.load(Relaxed)) == 2);
    let ended = std::thread::spawn(move || stand.stop());
    assert_eq!(idle.read(&mut [0]).expect("an orderly end"), 0);
    assert_eq!(secured.read(&mut [0]).expect("an orderly end, which TLS says"), 0);
    halfway.write_all(&last[10..]).expect("sent");
    assert_eq!(answer(&mut halfway).expect("an answer").0, 2);
    assert_eq!(halfway.read(&mut [0]).expect("an orderly end"), 0);
    drop((idle, halfway, secured));
    ended.join().expect("no panic");
    assert!(TcpStream::connect(tcp).is_err(), "nobody listens");
}

#[test]
fn the_same_port_is_bound_for_both_at_every_worker() {
    let stand = Stand::start_with(|options| {
        options.workers = 3;
        options.dns =
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0))];
    });
    assert_eq!(stand.node.dns.len(), 2);
    for address in &stand.node.dns {
        let taken = UdpSocket::bind(address).expect_err("it is ours").kind();
        assert_eq!(taken, io::ErrorKind::AddrInUse);
        // The kernel spreads connections over the workers.
        for id in 0..12 {
            ask(&mut connect(*address), id).expect("an answer");
        }
    }
    let workers = (0..3).map(|worker| stand.node.counters.worker(worker).dns_tcp.questions.load(Relaxed));
    assert!(workers.clone().all(|questions| questions > 0), "{:?}", workers.collect::<Vec<_>>());
    let folder = tempfile::tempdir().expect("a folder");
    let error = Node::start(Options { dns: vec![stand.tcp], ..options(&folder, ZONE) }).expect_err("it is taken");
    assert!(matches!(error, StartError::Bind { address, .. } if address == stand.tcp), "{error}");
    stand.stop();
}

#[test]
fn whoever_is_to_answer_needs_a_zone_and_for_tls_a_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |options: Options| Node::start(options).expect_err("it cannot start").to_string();
    let told = error(options(&folder, ""));
    assert!(told.contains("--dns 127.0.0.1:0") && told.contains("[zone]"), "{told}");
    let told = error(Options { dns: Vec::new(), ..options(&folder, "") });
    assert!(told.contains("--dot 127.0.0.1:0") && told.contains("[zone]"), "{told}");
    let bare = Options { certificate_folders: Vec::new(), ..options(&folder, ZONE) };
    let told = error(bare.clone());
    assert!(told.contains("--dot 127.0.0.1:0") && told.contains("--tls-cert"), "{told}");
    let node = Node::start(Options { http: Vec::new(), dot: Vec::new(), dns: vec![any()], ..bare });
    let node = node.expect("DNS alone is enough, and needs no certificate");
    ask(&mut connect(node.dns[0]), 1).expect("an answer");
    node.stop();
}

#[test]
fn a_zone_that_is_gone_from_the_file_is_refused_and_comes_back() {
    let stand = Stand::start();
    let change = |tables: &str| {
        std::fs::write(stand.folder.path().join("regions.toml"), file(tables)).expect("written");
        stand.node.reload();
        let is_there = !tables.is_empty();
        until("the file is applied", || stand.node.published.load().topology.dns.is_some() == is_there);
    };
    let mut stream = stand.tcp();
    ask(&mut stream, 1).expect("an answer");
    change("");
    // A name that was in it.
    let lost = framed(&zone::question(2, "app.gw.test"));
    until("it is refused", || {
        stream.write_all(&lost).expect("sent");
        answer(&mut stream).expect("an answer") == (2, 5)
    });
    ask(&mut stand.tcp(), 3).expect("new connections are taken, too");
    change(ZONE);
    ask(&mut stream, 4).expect("an answer");
    stand.stop();
}
