//! DNS over TCP and TLS on real sockets: framing, order, patience, places, and the end.

#![allow(clippy::panic, reason = "this is how a test fails")]

mod common;
#[path = "common/tls.rs"]
mod tls;

use anyfront::counters::{Counters, StreamCounters, WorkerCounters};
use anyfront::dns::crowd::Crowd;
use anyfront::dns::responder::Responder;
use anyfront::dns::tcp::{self, Streams};
use anyfront::limits::{
    DNS_MESSAGE_TIMEOUT, DNS_STREAM_IDLE, DNS_STREAMS_MAX, DNS_STREAMS_PER_SOURCE_MAX, DNS_WRITE_STALL_MAX,
};
use anyfront::moment::{Clock, Moment};
use anyfront::secret::Secret;
use anyfront::snapshot::Published;
use anyfront::tls::certificates::{Certificates, Sources};
use anyfront::tls::identity::{Identity, Speech};
use anyfront::tls::reception::Reception;
use anyfront::tls::{ALPN_DNS, ALPN_HTTP2};
use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tls::{Authority, BOUND, client, put_pair, until};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// Both ways of taking questions, as one worker of a node has them.
struct Stand {
    tcp: SocketAddr,
    dot: SocketAddr,
    counters: Arc<WorkerCounters>,
    runtime: Runtime,
    end: watch::Sender<bool>,
    all_gone: mpsc::Receiver<()>,
}

impl Stand {
    fn start() -> Self {
        let clock = Clock::start();
        let origin = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let topology = common::topology(&tls::file(origin, &tls::hostname("app.test", "")));
        let folder = tempfile::tempdir().expect("a folder");
        put_pair(folder.path(), "ns", &Authority::new("us").sign(&["ns1.gw.test"]));
        let sources = Sources { pairs: Vec::new(), folders: vec![folder.path().to_owned()] };
        let certificates = Certificates::read(&sources, clock.wall()).expect("a pair");
        let identity = Identity::new(&Arc::new(certificates), &Secret::random(), &topology, clock);
        let identity = Arc::new(ArcSwap::from_pointee(identity));
        let published = Published::new(Arc::new(common::first_snapshot(topology)));
        let counters = Counters::new(1).worker(0);
        let (end, ends) = watch::channel(false);
        let (alive, all_gone) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
        let open = |tls: Option<Reception>| {
            let streams = Streams {
                clock,
                responder: Responder::new(published.clone()),
                crowd: Arc::new(Crowd::default()),
                tls,
                counters: Arc::clone(&counters),
            };
            let listener = listen();
            let address = listener.local_addr().expect("bound");
            let listener = runtime.block_on(async { TcpListener::from_std(listener) }).expect("turned");
            runtime.spawn(tcp::run(listener, streams, alive.clone(), ends.clone()));
            address
        };
        let (tcp, dot) = (open(None), open(Some(Reception::new(&identity, Speech::Dns))));
        Self { tcp, dot, counters, runtime, end, all_gone }
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
        which(&self.counters.dns_tcp)
    }

    /// Asks for the end and waits for it.
    fn stop(mut self) -> Duration {
        let clock = Clock::start();
        self.end.send_replace(true);
        let gone = async { tokio::time::timeout(BOUND, self.all_gone.recv()).await };
        assert!(self.runtime.block_on(gone).expect("connections end").is_none());
        clock.now().since(Moment::ZERO)
    }
}

/// As the node does: many may wait in the kernel.
fn listen() -> std::net::TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    socket.listen(4_096).expect("it listens");
    socket.into()
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
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(b"\x05other\x04test\x00\x00\x01\x00\x01");
    message.resize(message.len() + filling, 0);
    let length = u16::try_from(message.len()).expect("it fits");
    [&length.to_be_bytes()[..], &message].concat()
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
    until("it is counted", || stand.counters.dns_tls.failed_handshakes.load(Relaxed) == 1);
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
    drop(idle);
    assert_eq!(halfway.read(&mut [0]).expect("an orderly end"), 0);
    drop((halfway, secured));
    let took = ended.join().expect("no panic");
    println!("ended after {took:?}");
    until("nobody listens", || TcpStream::connect(tcp).is_err());
}
