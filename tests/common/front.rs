//! A real node between raw origins, which see every octet that it sends, and raw clients, which send any octet.
//!
//! The origins are strict on purpose: what they do not read as exactly one good HTTP/1.1 request they remember as
//! nonsense, so that a test can demand that the node never says anything that two parsers could read differently.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "this is how a test fails")]

use anyfront::health::Reason::NotProbed;
use anyfront::lab::certificates::{Authority, Pair};
use anyfront::moment::{Clock, Moment};
use anyfront::node::{Node, Options};
use anyfront::tls::provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio_rustls::{TlsConnector, client};

/// Nothing here takes this long unless it hangs.
pub const BOUND: Duration = Duration::from_secs(10);

/// One request as an origin read it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The request line and the fields, as they came.
    pub head: String,
    /// The body, without its framing; filled by [`Talk::read_body`].
    pub body: Vec<u8>,
    /// Lines of trailers.
    pub trailers: Vec<String>,
    /// On which connection of the origin, from 0.
    pub connection: usize,
    /// Whether its body came to its end; filled by [`Talk::read_body`].
    pub is_whole: bool,
}

impl Seen {
    /// Method, target and version.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The target.
    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    /// The value of a field that must not be there twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.fields(name);
        assert!(all.len() < 2, "{name} twice in {:?}", self.head);
        all.first().copied()
    }
}

/// All values of a field in a head.
pub fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// What an origin has met.
#[derive(Debug, Default)]
pub struct Book {
    requests: Mutex<Vec<Seen>>,
    nonsense: Mutex<Vec<String>>,
    ended: Mutex<Vec<usize>>,
    changed: Condvar,
    connections: AtomicUsize,
}

/// One conversation of an origin with the node.
#[derive(Debug)]
pub struct Talk {
    /// The connection.
    pub stream: TcpStream,
    /// The request whose head was read.
    pub request: Seen,
    /// How many requests came before it on this connection.
    pub before: usize,
    buffer: Vec<u8>,
    book: Arc<Book>,
    at: usize,
}

impl Talk {
    /// Sends exactly this.
    pub fn say(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(octets.as_ref())
    }

    /// Answers 200 with a body.
    pub fn answer(&mut self, body: &str) -> io::Result<bool> {
        self.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))?;
        Ok(true)
    }

    /// Reads the body, strictly.
    pub fn read_body(&mut self) -> io::Result<()> {
        self.body()?;
        self.request.is_whole = true;
        self.book.requests.lock().expect("no panic")[self.at] = self.request.clone();
        Ok(())
    }

    fn body(&mut self) -> io::Result<()> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let length = self.request.field("content-length").map(str::to_owned);
        let coding = self.request.field("transfer-encoding").map(str::to_owned);
        match (length, coding) {
            (Some(_), Some(_)) => Err(bad("both lengths")),
            (None, None) => Ok(()),
            (Some(length), None) => {
                let length: usize = length.parse().map_err(|_| bad("a length that is none"))?;
                self.request.body = self.take(length)?;
                Ok(())
            }
            (None, Some(coding)) if coding == "chunked" => loop {
                let line = self.line()?;
                let size = usize::from_str_radix(&line, 16).map_err(|_| bad("a chunk's size that is none"))?;
                if size == 0 {
                    loop {
                        match self.line()? {
                            line if line.is_empty() => return Ok(()),
                            line => self.request.trailers.push(line),
                        }
                    }
                }
                let data = self.take(size)?;
                self.request.body.extend_from_slice(&data);
                if !self.line()?.is_empty() {
                    return Err(bad("a chunk that does not end"));
                }
            },
            _ => Err(bad("a coding that is not chunked")),
        }
    }

    /// How much came with the head; it is forgotten.
    pub fn buffered(&mut self) -> usize {
        std::mem::take(&mut self.buffer).len()
    }

    fn more(&mut self) -> io::Result<()> {
        let mut piece = [0; 16_384];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&piece[..read]);
                Ok(())
            }
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into());
            }
            self.more()?;
        }
    }

    /// The next head; `None` if the node has closed between requests.
    fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            match self.more() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.buffer.is_empty() => {
                    return Ok(None);
                }
                done => done?,
            }
        }
    }
}

/// A raw origin on loopback.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    book: Arc<Book>,
}

impl Origin {
    /// An origin that does as `behave` says with each request whose head it read: `Ok(true)` keeps the connection.
    pub fn start(behave: impl Fn(&mut Talk) -> io::Result<bool> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let book = Arc::new(Book::default());
        let (shared, behave) = (Arc::clone(&book), Arc::new(behave));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (book, behave) = (Arc::clone(&shared), Arc::clone(&behave));
                std::thread::spawn(move || converse(stream, &book, &*behave));
            }
        });
        Self { address, book }
    }

    /// An origin that reads every body and answers `hello`.
    pub fn polite() -> Self {
        Self::start(|talk| {
            talk.read_body()?;
            talk.answer("hello")
        })
    }

    /// An origin that is not there.
    pub fn gone() -> Self {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        Self { address: address.expect("a port"), book: Arc::default() }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.book.requests.lock().expect("no panic").clone()
    }

    /// The only request so far.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.into_iter().next().expect("one")
    }

    /// What could not be read as one good request.
    pub fn nonsense(&self) -> Vec<String> {
        self.book.nonsense.lock().expect("no panic").clone()
    }

    /// Waits until `is_so` of the requests and of the connections whose conversation has ended.
    pub fn until(&self, what: &str, is_so: impl Fn(&[Seen], &[usize]) -> bool) {
        let clock = Clock::start();
        let mut requests = self.book.requests.lock().expect("no panic");
        loop {
            if is_so(&requests, &self.book.ended.lock().expect("no panic")) {
                return;
            }
            assert!(clock.now() < Moment::at(BOUND), "in vain: {what}");
            requests = self.book.changed.wait_timeout(requests, BOUND).expect("no panic").0;
        }
    }
}

fn converse(stream: TcpStream, book: &Arc<Book>, behave: &dyn Fn(&mut Talk) -> io::Result<bool>) {
    let _ = stream.set_nodelay(true);
    let mut talk =
        Talk { stream, request: Seen::default(), before: 0, buffer: Vec::new(), book: Arc::clone(book), at: 0 };
    let mut number = None;
    let outcome = (|| -> io::Result<()> {
        while let Some(head) = talk.head()? {
            let connection = *number.get_or_insert_with(|| book.connections.fetch_add(1, SeqCst));
            if let Some(why) = nonsense(&head) {
                book.nonsense.lock().expect("no panic").push(format!("{why}: {head:?}"));
            }
            talk.request = Seen { head, connection, ..Seen::default() };
            talk.at = {
                let mut requests = book.requests.lock().expect("no panic");
                requests.push(talk.request.clone());
                requests.len() - 1
            };
            book.changed.notify_all();
            let kept = behave(&mut talk);
            if !kept? {
                return Ok(());
            }
            talk.before += 1;
        }
        Ok(())
    })();
    if let Err(error) = outcome
        && error.kind() == io::ErrorKind::InvalidData
    {
        book.nonsense.lock().expect("no panic").push(format!("{error}: {:?}", talk.request.head));
    }
    let _ = talk.stream.shutdown(Shutdown::Write);
    if let Some(number) = number {
        let _requests = book.requests.lock().expect("no panic");
        book.ended.lock().expect("no panic").push(number);
    }
    book.changed.notify_all();
}

/// What is wrong with a head that an origin reads, to the letter.
fn nonsense(head: &str) -> Option<&'static str> {
    let (line, rest) = head.split_once("\r\n")?;
    let mut parts = line.split(' ');
    let is_line = parts
        .next()
        .is_some_and(|method| !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'))
        && parts.next().is_some_and(|target| target.starts_with('/') || target == "*")
        && parts.next() == Some("HTTP/1.1")
        && parts.next().is_none();
    if !is_line {
        return Some("a bad request line");
    }
    for field in rest.trim_end_matches("\r\n").split("\r\n") {
        let Some((name, value)) = field.split_once(':') else { return Some("a line that is no field") };
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Some("a bad field name");
        }
        if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Some("a bad field value");
        }
    }
    let count = |name| fields(head, name).len();
    if count("host") != 1 || count("content-length") + count("transfer-encoding") > 1 {
        return Some("not one host, or more than one length");
    }
    None
}

/// A node in front of origins.
pub struct Door {
    /// Where HTTP is spoken.
    pub http: SocketAddr,
    /// Where HTTPS is spoken.
    pub https: SocketAddr,
    /// The authority that signed its certificate.
    pub authority: PathBuf,
    /// The node.
    pub node: Option<Node>,
    folder: TempDir,
}

/// An authority and one certificate for everything here.
pub struct Papers {
    /// Who signed.
    pub authority: Authority,
    /// For the node and for origins.
    pub pair: Pair,
}

impl Papers {
    /// New ones.
    pub fn new() -> Self {
        let authority = Authority::new().expect("an authority");
        let names = ["gw.test", "*.gw.test", "origin.test"].map(str::to_owned).to_vec();
        Self { pair: authority.sign(names).expect("a pair"), authority }
    }
}

impl Door {
    /// A node in front of `origins`: region `a` is the nearest, then `b` and so on.
    pub fn before(origins: &[&Origin]) -> Self {
        let origins: Vec<_> = origins.iter().map(|origin| ("http", origin.address)).collect();
        Self::start(&origins, "", &Papers::new())
    }

    /// The same, with lines for `[forward]`.
    pub fn with(origins: &[&Origin], forward: &str) -> Self {
        let origins: Vec<_> = origins.iter().map(|origin| ("http", origin.address)).collect();
        Self::start(&origins, forward, &Papers::new())
    }

    /// A node in front of endpoints of any scheme.
    pub fn start(origins: &[(&str, SocketAddr)], forward: &str, papers: &Papers) -> Self {
        let origins: Vec<_> = origins.iter().map(|(scheme, address)| (*scheme, *address, "origin.test")).collect();
        Self::run(&origins, forward, papers, |_| ())
    }

    /// A node in front of `origins` that is started otherwise, with lines for `[forward]` and tables after it.
    pub fn adjusted(origins: &[&Origin], forward: &str, adjust: impl FnOnce(&mut Options)) -> Self {
        let origins: Vec<_> = origins.iter().map(|origin| ("http", origin.address, "origin.test")).collect();
        Self::run(&origins, forward, &Papers::new(), adjust)
    }

    /// A node in front of endpoints of any scheme and name.
    pub fn at(origins: &[(&str, SocketAddr, &str)], papers: &Papers) -> Self {
        Self::run(origins, "", papers, |_| ())
    }

    /// A node that shares what is in `secret` with others, in front of `origins`; `more` is appended to its file.
    pub fn sharing(origins: &[&Origin], more: &str, secret: &str) -> Self {
        Self::adjusted(origins, more, |options| {
            let file = options.config.with_file_name("secret");
            std::fs::write(&file, secret).expect("written");
            options.secret_file = Some(file);
        })
    }

    /// A node that has so long for what still runs when it stops.
    pub fn with_grace(origins: &[(&str, SocketAddr)], papers: &Papers, grace: Duration) -> Self {
        let origins: Vec<_> = origins.iter().map(|(scheme, address)| (*scheme, *address, "origin.test")).collect();
        Self::run(&origins, "", papers, |options| options.grace = grace)
    }

    fn run(
        origins: &[(&str, SocketAddr, &str)],
        forward: &str,
        papers: &Papers,
        adjust: impl FnOnce(&mut Options),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), papers.authority.pem()).expect("written");
        std::fs::write(path("front.pem"), papers.pair.certificate_pem()).expect("written");
        std::fs::write(path("front.key"), papers.pair.key_pem()).expect("written");
        std::fs::write(path("regions.toml"), file(origins, forward)).expect("written");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut options = Options {
            config: path("regions.toml"),
            site: None,
            http: vec![any.into()],
            https: vec![any.into()],
            dns: Vec::new(),
            dot: Vec::new(),
            dnstap: None,
            access_log: None,
            traces: None,
            admin: Vec::new(),
            status: Vec::new(),
            status_export: None,
            state_dir: path("state"),
            workers: 1,
            certificates: vec![(path("front.pem"), path("front.key"))],
            certificate_folders: Vec::new(),
            admin_token_file: None,
            secret_file: None,
            drain_time: Duration::ZERO,
            grace: Duration::from_millis(200),
        };
        adjust(&mut options);
        let node = Node::start(options);
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        // Before that the far one may be known to work and the near one not yet.
        let clock = Clock::start();
        let is_unknown = |node: &Node| node.published.load().endpoints.iter().any(|state| state.reason == NotProbed);
        while is_unknown(&node) && clock.now() < Moment::at(BOUND) {
            std::thread::yield_now();
        }
        Self { http: node.http[0], https: node.https[0], authority: path("ca.pem"), node: Some(node), folder }
    }

    /// Has the node run with these origins instead, and waits until it does.
    pub fn reload(&self, origins: &[&Origin]) {
        let origins: Vec<_> = origins.iter().map(|origin| ("http", origin.address, "origin.test")).collect();
        let node = self.node.as_ref().expect("it runs");
        std::fs::write(self.folder.path().join("regions.toml"), file(&origins, "")).expect("written");
        node.reload();
        let clock = Clock::start();
        while node.published.load().topology.regions.len() != origins.len() {
            assert!(clock.now() < Moment::at(BOUND), "the file is never applied");
            std::thread::yield_now();
        }
    }

    /// A client with an open connection.
    pub fn client(&self) -> Client {
        Client::connect(self.http)
    }

    /// A TLS connection for `gw.test` on which `alpn` is spoken.
    pub async fn tls(&self, alpn: &[u8]) -> client::TlsStream<tokio::net::TcpStream> {
        let stream = tokio::net::TcpStream::connect(self.https).await.expect("a connection");
        let connector = TlsConnector::from(self.tls_config(Some(alpn)));
        let stream = connector.connect(gw_test(), stream).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        stream
    }

    /// The client's side of TLS for `gw.test`, nothing said yet. It offers `alpn`, or says nothing of it.
    pub fn tls_session(&self, alpn: Option<&[u8]>) -> ClientConnection {
        ClientConnection::new(self.tls_config(alpn), gw_test()).expect("TLS")
    }

    fn tls_config(&self, alpn: Option<&[u8]>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority).expect("a certificate")).expect("it is one");
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
        Arc::new(config)
    }

    /// Sends `request` on a connection of its own; the answer to it.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.client();
        client.say(request);
        client.answer()
    }

    /// `GET path` on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n"))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }
}

fn gw_test() -> ServerName<'static> {
    ServerName::try_from("gw.test").expect("a name")
}

fn file(origins: &[(&str, SocketAddr, &str)], forward: &str) -> String {
    let mut text = String::from(
        "[fleet]\nname = \"test\"\nzone = \"gw.test\"\n\
         [[site]]\nname = \"here\"\nlatitude = 0.0\nlongitude = 0.0\n\
         [probe]\nkind = \"tcp\"\ninterval = \"1s\"\n\
         [[hostname]]\nname = \"gw.test\"\nregions = [\"*\"]\n\
         [[class]]\nhostnames = [\"*\"]\nprefix = \"/v1/\"\ndialect = \"openai\"\n\
         [[class]]\nhostnames = [\"*\"]\nprefix = \"/mcp\"\ndialect = \"jsonrpc\"\n",
    );
    let _ = write!(text, "[forward]\ntrust = [\"ca.pem\"]\n{forward}\n");
    for (at, (scheme, address, host)) in origins.iter().enumerate() {
        // HTTP/2 in the clear has no scheme of its own.
        let (scheme, http2) = if *scheme == "h2c" { ("http", "http2 = true\n") } else { (*scheme, "") };
        let name = char::from(b'a' + u8::try_from(at).expect("few"));
        let _ = write!(
            text,
            "[[region]]\nname = \"{name}\"\nprovider = \"p{at}\"\ncity = \"C{at}\"\ncountry = \"US\"\n\
             latitude = {}.0\nlongitude = 0.0\n\
             [[region.endpoint]]\nurl = \"{scheme}://{host}\"\nconnect = [\"{address}\"]\n{http2}",
            10 * (at + 1)
        );
    }
    text
}

/// A client that sends and reads octets.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a client read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status line and fields.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Lines of trailers.
    pub trailers: Vec<String>,
    /// Whether it came to the end that its framing promises.
    pub is_whole: bool,
}

impl Answer {
    /// The status; 0 if there was no answer.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        fields(&self.head, name).first().copied()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection"))
    }

    /// On a connection that is there.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        stream.set_write_timeout(Some(BOUND)).expect("a bound");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends exactly this. That the node does not want to hear it any more is no error here.
    pub fn say(&mut self, octets: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(octets.as_ref());
    }

    /// The next answer that is not a 1xx, to a request that may have a body in its answer.
    pub fn answer(&mut self) -> Answer {
        loop {
            let answer = self.any_answer(false);
            if !(100..200).contains(&answer.status()) || answer.status() == 101 {
                return answer;
            }
        }
    }

    /// The answer to HEAD.
    pub fn head_answer(&mut self) -> Answer {
        self.any_answer(true)
    }

    /// The next answer, 1xx too.
    pub fn any_answer(&mut self, is_to_head: bool) -> Answer {
        let mut answer = Answer::default();
        let Some(end) = self.until(|buffer| buffer.windows(4).position(|four| four == b"\r\n\r\n")) else {
            return answer;
        };
        answer.head = String::from_utf8_lossy(&self.take(end + 4)).into_owned();
        let status = answer.status();
        if is_to_head || status < 200 || matches!(status, 204 | 304) {
            answer.is_whole = true;
        } else if answer.field("transfer-encoding").is_some() {
            self.chunks(&mut answer);
        } else if let Some(length) = answer.field("content-length") {
            let length: usize = length.parse().expect("a length");
            answer.is_whole = self.until(|buffer| (buffer.len() >= length).then_some(0)).is_some();
            answer.body = self.take(length);
        } else {
            let _ = self.until(|_| None);
            answer.body = std::mem::take(&mut self.buffer);
            answer.is_whole = true;
        }
        answer
    }

    fn chunks(&mut self, answer: &mut Answer) {
        while let Some(line) = self.line() {
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).expect("a size");
            if size == 0 {
                while let Some(line) = self.line() {
                    if line.is_empty() {
                        answer.is_whole = true;
                        return;
                    }
                    answer.trailers.push(line);
                }
                return;
            }
            let is_there = self.until(|buffer| (buffer.len() >= size + 2).then_some(0)).is_some();
            let data = self.take(size);
            answer.body.extend_from_slice(&data);
            if !is_there {
                return;
            }
            self.take(2);
        }
    }

    fn line(&mut self) -> Option<String> {
        let end = self.until(|buffer| buffer.windows(2).position(|two| two == b"\r\n"))?;
        let line = self.take(end + 2);
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    /// Whether the node ends the connection without another octet.
    pub fn is_ended(&mut self) -> bool {
        self.until(|buffer| (!buffer.is_empty()).then_some(0)).is_none()
    }

    /// Reads until this was said, and forgets it and all before it.
    pub fn until_said(&mut self, text: &str) {
        let wanted = text.as_bytes();
        let at = self.until(|buffer| buffer.windows(wanted.len()).position(|part| part == wanted));
        let Some(at) = at else { panic!("the connection ended without {text:?}: {:?}", self.buffer.escape_ascii()) };
        self.take(at + wanted.len());
    }

    /// Whether the node ends the connection by a reset.
    pub fn is_reset(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 4_096]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Everything until the node ends the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let _ = self.until(|_| None);
        std::mem::take(&mut self.buffer)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Reads until `found`; `None` at the end of the connection. Panics if nothing comes for too long.
    fn until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(at) = found(&self.buffer) {
                return Some(at);
            }
            let mut piece = [0; 65_536];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&piece[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("nothing comes; so far {:?}", String::from_utf8_lossy(&self.buffer));
                }
                Err(_) => return None,
            }
        }
    }
}
