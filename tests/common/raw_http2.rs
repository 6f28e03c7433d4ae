//! HTTP/2 by hand: frames as octets, fields as literals, a client and a region that say whatever a test wants.

#![allow(dead_code, reason = "each test uses its part")]

use super::front::{BOUND, Door, Papers};
use anyfront::tls::ALPN_HTTP2;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const CALM: u32 = 11;

/// One frame as it was read.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number that a reset or, after the last stream, a GOAWAY says.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four octets"))
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

pub fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

pub fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn length(octets: &[u8], block: &mut Vec<u8>) {
    let mut left = octets.len();
    if left < 127 {
        block.push(u8::try_from(left).expect("short"));
    } else {
        block.push(127);
        left -= 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).expect("short") | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).expect("short"));
    }
    block.extend_from_slice(octets);
}

/// A literal field that is not indexed (RFC 7541 §6.2.2).
pub fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut block = vec![0];
    length(name.as_ref(), &mut block);
    length(value.as_ref(), &mut block);
    block
}

/// A literal field that is indexed from now on (RFC 7541 §6.2.1): the newest is 62, one octet, 0xBE.
pub fn indexed(name: &str, value: &str) -> Vec<u8> {
    let mut block = literal(name, value);
    block[0] = 0x40;
    block
}

/// The pseudo-fields of `GET path`.
pub fn get(path: &str) -> Vec<u8> {
    [literal(":method", "GET"), literal(":scheme", "https"), literal(":authority", "gw.test"), literal(":path", path)]
        .concat()
}

/// A whole `GET path`.
pub fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path))
}

/// The head of a `POST path` with these fields more.
pub fn post(stream: u32, path: &str, fields: &[u8]) -> Vec<u8> {
    let pseudo = [
        literal(":method", "POST"),
        literal(":scheme", "https"),
        literal(":authority", "gw.test"),
        literal(":path", path),
    ];
    frame(HEADERS, END_HEADERS, stream, &[&pseudo.concat(), fields].concat())
}

/// One end of a conversation.
pub struct Raw<C> {
    tls: StreamOwned<C, TcpStream>,
    buffer: Vec<u8>,
}

/// A client.
pub type RawClient = Raw<ClientConnection>;

impl RawClient {
    /// TLS, and nothing said yet.
    pub fn silent(door: &Door) -> Self {
        let tls = door.tls_session(Some(ALPN_HTTP2));
        let stream = TcpStream::connect(door.https).expect("a connection");
        stream.set_read_timeout(Some(2 * BOUND)).expect("a bound");
        stream.set_write_timeout(Some(BOUND)).expect("a bound");
        stream.set_nodelay(true).expect("no delay");
        Self { tls: StreamOwned::new(tls, stream), buffer: Vec::new() }
    }

    /// A client that has said hello.
    pub fn connect(door: &Door) -> Self {
        Self::with(door, &frame(SETTINGS, 0, 0, &[]))
    }

    /// A client that has said hello and these frames.
    pub fn with(door: &Door, frames: &[u8]) -> Self {
        let mut client = Self::silent(door);
        client.say([PREFACE, frames].concat());
        client
    }

    /// The status and the end of the answer to `stream`: `Err` with the code if it was reset, `None` if all ended.
    pub fn answer(&mut self, stream: u32) -> Option<Result<Vec<u8>, u32>> {
        let mut body = Vec::new();
        loop {
            let frame = self.hear()?;
            match frame.kind {
                GOAWAY if frame.code() != 0 => return None,
                _ if frame.stream != stream => {}
                RST_STREAM => return Some(Err(frame.code())),
                DATA => body.extend_from_slice(&frame.payload),
                _ => {}
            }
            if frame.stream == stream && frame.ends_stream() {
                return Some(Ok(body));
            }
        }
    }

    /// With which code the node ends the connection; `None` if it says none.
    pub fn dismissal(&mut self) -> Option<u32> {
        loop {
            let frame = self.hear()?;
            if frame.kind == GOAWAY {
                return Some(frame.code());
            }
        }
    }
}

impl<C, D> Raw<C>
where
    C: std::ops::DerefMut<Target = rustls::ConnectionCommon<D>>,
    D: rustls::SideData,
{
    /// Sends exactly this. That nobody hears it any more is no error here.
    pub fn say(&mut self, octets: impl AsRef<[u8]>) {
        let _ = self.try_say(octets);
    }

    /// Sends exactly this, if somebody still hears it.
    pub fn try_say(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.tls.write_all(octets.as_ref())?;
        self.tls.flush()
    }

    /// How long [`Self::hear`] waits.
    pub fn patience(&mut self, longest: Duration) {
        self.tls.sock.set_read_timeout(Some(longest)).expect("a bound");
    }

    /// The next frame; `None` at the end. Panics if nothing comes for too long.
    pub fn hear(&mut self) -> Option<Frame> {
        self.try_hear().expect("nothing comes")
    }

    /// The next frame; `Ok(None)` at the end; `Err` if nothing comes for too long.
    pub fn try_hear(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if self.buffer.len() >= 9 {
                let length = u32::from_be_bytes([0, self.buffer[0], self.buffer[1], self.buffer[2]]) as usize;
                if self.buffer.len() >= 9 + length {
                    let all: Vec<u8> = self.buffer.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(all[5..9].try_into().expect("four octets"));
                    return Ok(Some(Frame { kind: all[3], flags: all[4], stream, payload: all[9..].to_vec() }));
                }
            }
            let mut piece = [0; 16_384];
            match self.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(read) => self.buffer.extend_from_slice(&piece[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(error);
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// As the stream's own, which reads nothing as long as it has something to send that nobody takes any more.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.conn.reader().read(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.tls.conn.read_tls(&mut self.tls.sock)?;
            self.tls.conn.process_new_packets().map_err(io::Error::other)?;
        }
    }

    fn exactly(&mut self, count: usize) -> io::Result<()> {
        let mut octets = vec![0; count];
        self.tls.read_exact(&mut octets)
    }
}

/// An HTTP/2 region that answers each request with what `deed` says, forever as long as that is not empty.
pub fn region(papers: &Papers, deed: impl Fn(u32, u64) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let config = papers.pair.server().expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let deed = Arc::new(deed);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (config, deed) = (Arc::clone(&config), Arc::clone(&deed));
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(2 * BOUND));
                let _ = stream.set_write_timeout(Some(BOUND));
                let Ok(tls) = ServerConnection::new(config) else { return };
                let mut raw = Raw { tls: StreamOwned::new(tls, stream), buffer: Vec::new() };
                if raw.exactly(PREFACE.len()).is_err() {
                    return;
                }
                raw.say(frame(SETTINGS, 0, 0, &[]));
                while let Ok(Some(heard)) = raw.try_hear() {
                    match (heard.kind, heard.flags & 1) {
                        (SETTINGS, 0) => raw.say(frame(SETTINGS, 1, 0, &[])),
                        (PING, 0) => raw.say(frame(PING, 1, 0, &heard.payload)),
                        (HEADERS, _) => {
                            for round in 0.. {
                                let said = deed(heard.stream, round);
                                if said.is_empty() || raw.try_say(said).is_err() {
                                    break;
                                }
                            }
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    address
}
