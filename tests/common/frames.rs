//! A client that speaks HTTP/2 frame by frame (RFC 9113 §4), so that it can be late where a library never is.

#![allow(dead_code, reason = "each test uses its part")]

use crate::front::{BOUND, Door};
use anyfront::tls::ALPN_HTTP2;
use rustls::{ClientConnection, StreamOwned};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

impl Frame {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;

    /// Whether the sender says no more on this stream, of its own will.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, Self::DATA | Self::HEADERS) && self.flags & 1 == 1
    }

    /// Of a GOAWAY: the last stream that is or will be served.
    pub fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().expect("four octets")) & 0x7FFF_FFFF
    }

    /// Of a GOAWAY: why.
    pub fn error(&self) -> u32 {
        u32::from_be_bytes(self.payload[4..8].try_into().expect("four octets"))
    }
}

/// A connection.
pub struct Frames {
    stream: StreamOwned<ClientConnection, TcpStream>,
    is_prompt: bool,
    unanswered: Vec<Vec<u8>>,
    ended: HashSet<u32>,
    goaways: usize,
    kept: Vec<Frame>,
}

impl Frames {
    /// A new one. Pings are not answered yet.
    pub fn connect(door: &Door) -> Self {
        let stream = TcpStream::connect(door.https).expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a bound");
        stream.set_nodelay(true).expect("no delay");
        let connection = door.tls_session(Some(ALPN_HTTP2));
        let mut frames = Self {
            stream: StreamOwned::new(connection, stream),
            is_prompt: false,
            unanswered: Vec::new(),
            ended: HashSet::new(),
            goaways: 0,
            kept: Vec::new(),
        };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
        frames.send(Frame::SETTINGS, 0, 0, &[]);
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        // The node may have gone; what it said before is still to be read.
        let _ = self.stream.write_all(&[head.as_slice(), payload].concat());
        let _ = self.stream.flush();
    }

    /// `GET path` on a stream of its own.
    pub fn request(&mut self, stream: u32, path: &str) {
        // `:method: GET` and `:scheme: https` by their numbers; `:path` and `:authority` to the letter (RFC 7541 §6).
        let mut block = vec![0x82, 0x87];
        for (name, value) in [(0x04, path), (0x01, "gw.test")] {
            block.extend([name, u8::try_from(value.len()).expect("short")]);
            block.extend(value.as_bytes());
        }
        self.send(Frame::HEADERS, 0x4 | 0x1, stream, &block);
    }

    /// Answers the pings that came, and from now on each at once.
    pub fn answer_pings(&mut self) {
        self.is_prompt = true;
        for ping in std::mem::take(&mut self.unanswered) {
            self.send(Frame::PING, 1, 0, &ping);
        }
    }

    /// The next frame; `None` at the end of the connection.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7FFF_FFFF;
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        match frame.kind {
            Frame::SETTINGS if frame.flags & 1 == 0 => self.send(Frame::SETTINGS, 1, 0, &[]),
            Frame::PING if frame.flags & 1 == 0 && self.is_prompt => self.send(Frame::PING, 1, 0, &frame.payload),
            Frame::PING if frame.flags & 1 == 0 => self.unanswered.push(frame.payload.clone()),
            Frame::GOAWAY => self.goaways += 1,
            _ => {}
        }
        if frame.ends_stream() {
            self.ended.insert(frame.stream);
        }
        Some(frame)
    }

    /// The next frame that is so; those before it are kept for later.
    pub fn until(&mut self, is_so: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(at) = self.kept.iter().position(&is_so) {
            return self.kept.remove(at);
        }
        loop {
            let frame = self.next().expect("another frame");
            if is_so(&frame) {
                return frame;
            }
            self.kept.push(frame);
        }
    }

    /// Whether a GOAWAY has come.
    pub fn was_told_to_go(&self) -> bool {
        self.goaways > 0
    }

    /// Whether the connection ends, after two GOAWAYs and no more.
    pub fn ended_well(mut self) -> bool {
        while self.next().is_some() {}
        self.goaways == 2
    }

    /// Waits for the end of the first `count` streams or of the connection; how many of them ended of their own will.
    pub fn streams_ended_well(&mut self, count: u32) -> usize {
        let streams = || (0..count).map(|at| 2 * at + 1);
        while !streams().all(|stream| self.ended.contains(&stream)) {
            if self.next().is_none() {
                break;
            }
        }
        streams().filter(|stream| self.ended.contains(stream)).count()
    }
}
