//! The endpoint behind every proxy: the least HTTP/1.1 that answers the load, on one thread and one for streams.
//!
//! `/sse` streams events for as long as somebody reads; `/big?mib=N` is that many MiB; all else is 1 KiB. It trusts
//! the load to be well behaved: never use it for anything else.

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

/// Serves until it is killed.
pub async fn run(port: u16) -> anyhow::Result<()> {
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
        if head.starts_with(b"get /sse") {
            let stream = connection.into_std()?;
            return streams.try_send(stream).map_err(io::Error::other);
        } else if let Some(path) = head.strip_prefix(b"get /big?mib=") {
            send_big(&mut connection, number(path)).await?;
        } else {
            connection.write_all(small).await?;
        }
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
