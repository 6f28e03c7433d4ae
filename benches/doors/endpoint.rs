//! The endpoint behind every proxy: the least HTTP/1.1 that answers the load, on one thread and one for streams; and gRPC
//! over HTTP/2 in the clear on a port of its own.
//!
//! `/sse` and `/v1/sse` stream events for as long as somebody reads; `/ws` echoes WebSocket messages of one size;
//! `/big?mib=N` is that many MiB; all else is 1 KiB. It trusts the load to be well behaved: never use it for anything else.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream as Blocking};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// From one event of a stream to its next.
pub const EVENT_INTERVAL: Duration = Duration::from_millis(50);
/// Before the nanoseconds since 1970 at which an event was sent.
pub const STAMP: &[u8] = b"\"stamp\":\"";
/// Digits of a stamp.
pub const STAMP_DIGITS: usize = 20;

const STREAMS_MAX: usize = 1_024;
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\nconnection: close\r\n\r\n";

/// The key that every client of `/ws` sends, and what it hears (RFC 6455 §1.3).
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// Octets of a WebSocket message.
pub const MESSAGE_BYTES: usize = 100;
/// The head of a message from a client, with a mask of zeros, which changes nothing.
pub const MASKED: [u8; 6] = [0x82, 0x80 | MESSAGE_BYTES as u8, 0, 0, 0, 0];
/// The head of a message from us.
pub const UNMASKED: [u8; 2] = [0x82, MESSAGE_BYTES as u8];

/// Serves until it is killed.
pub async fn run(port: u16, grpc_port: u16) -> anyhow::Result<()> {
    let calls = TcpListener::bind((Ipv4Addr::LOCALHOST, grpc_port)).await?;
    tokio::spawn(serve_calls(calls));
    let (streams, opened) = sync_channel(STREAMS_MAX);
    std::thread::spawn(move || send_events(&opened));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let small = small_answer();
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let (streams, small) = (streams.clone(), small.clone());
        // Whoever closes or resets is the proxy, and that is its right.
        tokio::spawn(async move { serve(connection, &small, &streams).await.ok() });
    }
}

fn small_answer() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1024\r\n\r\n";
    [head.as_bytes(), &[b'x'; 1_024]].concat()
}

async fn serve(mut connection: TcpStream, small: &[u8], streams: &SyncSender<Blocking>) -> io::Result<()> {
    let mut input = Vec::with_capacity(64 << 10);
    loop {
        let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") else {
            if connection.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = input[..end + 2].to_ascii_lowercase();
        input.drain(..end + 4);
        skip_body(&mut connection, &head, &mut input).await?;
        if head.starts_with(b"get /sse") || head.starts_with(b"get /v1/sse") {
            let stream = connection.into_std()?;
            return streams.try_send(stream).map_err(io::Error::other);
        } else if head.starts_with(b"get /ws") {
            return echo(connection, input).await;
        } else if let Some(path) = head.strip_prefix(b"get /big?mib=") {
            send_big(&mut connection, number(path)).await?;
        } else {
            connection.write_all(small).await?;
        }
    }
}

/// Echoes messages until the other side has had enough.
async fn echo(mut connection: TcpStream, mut input: Vec<u8>) -> io::Result<()> {
    connection.write_all(ACCEPTED.as_bytes()).await?;
    let size = MASKED.len() + MESSAGE_BYTES;
    let mut output = Vec::with_capacity(size);
    loop {
        while input.len() < size {
            if connection.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
        output.clear();
        output.extend_from_slice(&UNMASKED);
        output.extend_from_slice(&input[MASKED.len()..size]);
        input.drain(..size);
        connection.write_all(&output).await?;
    }
}

/// Answers every call with one message and its good end.
async fn serve_calls(listener: TcpListener) -> io::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let service = service_fn(|request: Request<Incoming>| async move {
            let _ = request.into_body().collect().await;
            let message = Bytes::from_static(b"\0\0\0\0\x05hello");
            let trailers =
                [(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))].into_iter().collect();
            let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
            Response::builder().header("content-type", "application/grpc").body(body)
        });
        let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service);
        tokio::spawn(serving);
    }
}

/// Reads past the body of a request, if it has one.
async fn skip_body(connection: &mut TcpStream, head: &[u8], input: &mut Vec<u8>) -> io::Result<()> {
    if let Some(length) = field(head, b"\r\ncontent-length:").map(number) {
        let mut missing = length;
        loop {
            let here = missing.min(input.len());
            input.drain(..here);
            missing -= here;
            if missing == 0 {
                return Ok(());
            }
            if connection.read_buf(input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    if field(head, b"\r\ntransfer-encoding:").is_some() {
        // The load never pipelines, so the body ends where what has been read ends.
        while !input.ends_with(b"0\r\n\r\n") {
            if connection.read_buf(input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        input.clear();
    }
    Ok(())
}

async fn send_big(connection: &mut TcpStream, mib: usize) -> io::Result<()> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n", mib << 20);
    connection.write_all(head.as_bytes()).await?;
    let piece = vec![b'z'; 256 << 10];
    for _ in 0..mib * 4 {
        connection.write_all(&piece).await?;
    }
    Ok(())
}

/// Sends every stream its events when they are due, each stream at a phase of its own so that they never come in
/// bursts. A thread with timers finer than the runtime's milliseconds.
fn send_events(opened: &Receiver<Blocking>) {
    let mut due = BinaryHeap::new();
    let mut streams: Vec<Option<Blocking>> = Vec::new();
    loop {
        let now = Instant::now();
        let next = due.peek().map_or(now + Duration::from_secs(1), |Reverse((at, _))| *at);
        if next <= now {
            let Some(Reverse((at, stream))) = due.pop() else { continue };
            if send_event(&mut streams[stream]) {
                due.push(Reverse((at + EVENT_INTERVAL, stream)));
            }
            continue;
        }
        match opened.recv_timeout(next - now) {
            Ok(mut stream) => {
                if stream.write_all(STREAM_HEAD).is_ok() {
                    // The golden ratio spreads any number of streams evenly.
                    let phase = (streams.len() as f64 * 0.618_033_988_75).fract();
                    due.push(Reverse((Instant::now() + EVENT_INTERVAL.mul_f64(1.0 + phase), streams.len())));
                    streams.push(Some(stream));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Whether the stream goes on.
fn send_event(stream: &mut Option<Blocking>) -> bool {
    let Some(connection) = stream else { return false };
    let event = format!("data: {{\"stamp\":\"{:020}\",\"delta\":\"{:a<50}\"}}\n\n", wall_ns(), "");
    // One that is not read any more, or not fast enough, ends here; the reader notices what is missing.
    if connection.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).is_err() {
        *stream = None;
    }
    stream.is_some()
}

/// Nanoseconds since 1970: the same clock in every process of the machine.
pub fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The number a text begins with, after blanks; 0 if there is none.
pub fn number(text: &[u8]) -> usize {
    let digits = text.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// What follows `name` in a head in lower case.
pub fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find(head, name).map(|at| &head[at + name.len()..])
}
