//! The clients that wrk and h2load cannot be: streams, new connections, downloads, idle connections. One thread.
//!
//! Each writes `ready` on its standard output when what is to be measured begins, and one line of JSON when it is
//! over.

use super::endpoint::{
    EVENT_INTERVAL, KEY, MASKED, MESSAGE_BYTES, STAMP, STAMP_DIGITS, UNMASKED, field, number, wall_ns,
};
use anyhow::{Context, bail, ensure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::BufRead;
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Concurrent streams of events.
pub const STREAMS: usize = 200;
/// WebSockets at once.
const SOCKETS: usize = 64;
/// New connections under way at once.
const CONNECTING: usize = 16;
/// Downloads at once, and the MiB of each.
const DOWNLOADS: usize = 4;
const DOWNLOAD_MIB: usize = 64;
/// Nothing of the load should take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which client to be.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Client {
    /// Streams of events.
    Sse,
    /// The same, of another class.
    SseOpenai,
    /// Messages that are echoed.
    WebSocket,
    /// A new connection for each request.
    Handshakes,
    /// Large answers.
    Download,
    /// Connections that have made one request and are kept.
    Idle,
}

/// Where to and how.
#[derive(Clone)]
pub struct Aim {
    port: u16,
    tls: Option<TlsConnector>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

impl Aim {
    /// At a port of this machine, over TLS if there is a certificate to trust.
    pub fn new(port: u16, certificate: Option<&Path>) -> anyhow::Result<Self> {
        let tls = certificate.map(connector).transpose()?;
        Ok(Self { port, tls })
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Wire>> {
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        connection.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(connection)) };
        Ok(Box::new(tls.connect(ServerName::try_from("localhost")?, connection).await?))
    }
}

/// One key exchange, one cipher and no resumption, so that every proxy does the same cryptography.
fn connector(certificate: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        ..aws_lc_rs::default_provider()
    };
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Is the client for so many seconds.
pub async fn run(client: Client, aim: Aim, secs: u64, count: usize) -> anyhow::Result<()> {
    let length = Duration::from_secs(secs);
    let told = match client {
        Client::Sse => sse(&aim, "/sse", length).await?,
        Client::SseOpenai => sse(&aim, "/v1/sse", length).await?,
        Client::WebSocket => web_sockets(&aim, length).await?,
        Client::Handshakes => handshakes(&aim, length).await?,
        Client::Download => download(&aim, length).await?,
        Client::Idle => idle(&aim, count).await?,
    };
    println!("{told}");
    Ok(())
}

async fn ask(wire: &mut Box<dyn Wire>, path: &str) -> anyhow::Result<()> {
    wire.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    Ok(wire.flush().await?)
}

/// Reads one answer of known length to its end and gives the length.
async fn read_answer(wire: &mut Box<dyn Wire>, input: &mut Vec<u8>) -> anyhow::Result<usize> {
    input.clear();
    let (end, length) = loop {
        ensure!(wire.read_buf(input).await? > 0, "closed before the answer was complete");
        let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else { continue };
        let head = input[..end + 2].to_ascii_lowercase();
        ensure!(head.starts_with(b"http/1.1 200"), "answered {}", String::from_utf8_lossy(&head));
        break (end + 4, field(&head, b"\r\ncontent-length:").map(number).context("an answer without its length")?);
    };
    let mut missing = length.checked_sub(input.len() - end).context("an answer longer than its length")?;
    while missing > 0 {
        input.clear();
        let read = wire.read_buf(input).await?;
        ensure!(read > 0, "closed before the answer was complete");
        missing = missing.checked_sub(read).context("an answer longer than its length")?;
    }
    Ok(length)
}

/// Runs `count` of a task at once until all are done or one fails.
async fn all<F>(count: usize, task: impl Fn(usize) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let mut tasks = JoinSet::new();
    for at in 0..count {
        tasks.spawn_local(task(at));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// What the streams have seen. Nothing counts before all are open.
#[derive(Debug, Default)]
struct Seen {
    open: usize,
    since: Option<Instant>,
    late_ns: Vec<u64>,
}

async fn sse(aim: &Aim, path: &'static str, length: Duration) -> anyhow::Result<serde_json::Value> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    all(STREAMS, |_| read_events(aim.clone(), path, Rc::clone(&seen), length)).await?;
    let mut late_ns = std::mem::take(&mut seen.borrow_mut().late_ns);
    let due = STREAMS as f64 * length.as_secs_f64() / EVENT_INTERVAL.as_secs_f64();
    let share = late_ns.len() as f64 / due;
    ensure!((0.9..1.1).contains(&share), "{} events came, {due} were due", late_ns.len());
    late_ns.sort_unstable();
    let late_us = |part: f64| late_ns[(late_ns.len() as f64 * part) as usize] as f64 / 1_000.0;
    Ok(json!({ "count": late_ns.len(), "p50_us": late_us(0.5), "p99_us": late_us(0.99) }))
}

async fn read_events(aim: Aim, path: &str, seen: Rc<RefCell<Seen>>, length: Duration) -> anyhow::Result<()> {
    let mut wire = aim.connect().await?;
    ask(&mut wire, path).await?;
    let mut input = Vec::with_capacity(16 << 10);
    let mut is_open = false;
    loop {
        let read = tokio::time::timeout(PATIENCE, wire.read_buf(&mut input)).await.context("no event came")??;
        ensure!(read > 0, "a stream ended early: {}", String::from_utf8_lossy(&input));
        let now_ns = wall_ns();
        let mut seen = seen.borrow_mut();
        let mut rest = 0;
        for at in memchr::memmem::find_iter(&input, STAMP) {
            let digits = at + STAMP.len();
            if digits + STAMP_DIGITS > input.len() {
                break;
            }
            rest = digits + STAMP_DIGITS;
            if seen.since.is_some() {
                seen.late_ns.push(now_ns.saturating_sub(number(&input[digits..rest]) as u64));
            } else if !is_open {
                is_open = true;
                seen.open += 1;
                if seen.open == STREAMS {
                    seen.since = Some(Instant::now());
                    println!("ready");
                }
            }
        }
        // What may be the beginning of a stamp stays.
        let keep = rest.max(input.len().saturating_sub(STAMP.len() + STAMP_DIGITS));
        input.drain(..keep);
        if seen.since.is_some_and(|since| since.elapsed() > length) {
            return Ok(());
        }
    }
}

async fn web_sockets(aim: &Aim, length: Duration) -> anyhow::Result<serde_json::Value> {
    let mut open = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        let mut wire = aim.connect().await?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        wire.write_all(head.as_bytes()).await?;
        wire.flush().await?;
        let mut input = Vec::with_capacity(4 << 10);
        while memchr::memmem::find(&input, b"\r\n\r\n").is_none() {
            ensure!(wire.read_buf(&mut input).await? > 0, "closed before it was a WebSocket");
        }
        ensure!(input.starts_with(b"HTTP/1.1 101"), "answered {}", String::from_utf8_lossy(&input));
        open.push(RefCell::new(Some(wire)));
    }
    println!("ready");
    let count = Rc::new(Cell::new(0_u64));
    let until = Instant::now() + length;
    all(SOCKETS, |at| {
        let (wire, count) = (open[at].take(), Rc::clone(&count));
        async move {
            let mut wire = wire.context("every socket is taken once")?;
            let message = [&MASKED[..], &[b'm'; MESSAGE_BYTES]].concat();
            let mut input = Vec::with_capacity(4 << 10);
            while Instant::now() < until {
                wire.write_all(&message).await?;
                wire.flush().await?;
                while input.len() < UNMASKED.len() + MESSAGE_BYTES {
                    ensure!(wire.read_buf(&mut input).await? > 0, "closed in the middle");
                }
                ensure!(input.starts_with(&UNMASKED), "no echo");
                input.clear();
                count.set(count.get() + 1);
            }
            Ok(())
        }
    })
    .await?;
    Ok(json!({ "count": count.get() }))
}

async fn handshakes(aim: &Aim, length: Duration) -> anyhow::Result<serde_json::Value> {
    let count = Rc::new(Cell::new(0_u64));
    println!("ready");
    let until = Instant::now() + length;
    all(CONNECTING, |_| {
        let (aim, count) = (aim.clone(), Rc::clone(&count));
        async move {
            let mut input = Vec::with_capacity(4 << 10);
            while Instant::now() < until {
                let mut wire = aim.connect().await?;
                ask(&mut wire, "/1k").await?;
                read_answer(&mut wire, &mut input).await?;
                wire.shutdown().await?;
                count.set(count.get() + 1);
            }
            Ok(())
        }
    })
    .await?;
    Ok(json!({ "count": count.get() }))
}

async fn download(aim: &Aim, length: Duration) -> anyhow::Result<serde_json::Value> {
    let bytes = Rc::new(Cell::new(0));
    println!("ready");
    let until = Instant::now() + length;
    all(DOWNLOADS, |_| {
        let (aim, bytes) = (aim.clone(), Rc::clone(&bytes));
        async move {
            let mut wire = aim.connect().await?;
            let mut input = Vec::with_capacity(256 << 10);
            while Instant::now() < until {
                ask(&mut wire, &format!("/big?mib={DOWNLOAD_MIB}")).await?;
                bytes.set(bytes.get() + read_answer(&mut wire, &mut input).await?);
            }
            Ok(())
        }
    })
    .await?;
    Ok(json!({ "count": bytes.get() as f64 / f64::from(1 << 20) }))
}

async fn idle(aim: &Aim, count: usize) -> anyhow::Result<serde_json::Value> {
    let mut wires = Vec::with_capacity(count);
    let mut input = Vec::with_capacity(4 << 10);
    for _ in 0..count {
        let mut wire = aim.connect().await?;
        ask(&mut wire, "/1k").await?;
        read_answer(&mut wire, &mut input).await?;
        wires.push(wire);
    }
    println!("ready");
    // Until standard input ends.
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    // The runtime learns what has been closed meanwhile.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut open = 0;
    for wire in &mut wires {
        open += usize::from(poll_fn(|context| Poll::Ready(is_open(wire, context))).await);
    }
    if open < count {
        bail!("only {open} of {count} idle connections are still open");
    }
    Ok(json!({ "count": open }))
}

/// Whether a connection with nothing to say is still there.
fn is_open(wire: &mut Box<dyn Wire>, context: &mut std::task::Context<'_>) -> bool {
    let mut space = [0; 1];
    Pin::new(wire).poll_read(context, &mut ReadBuf::new(&mut space)).is_pending()
}
