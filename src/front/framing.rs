//! Where one HTTP/1 message ends and the next begins: a machine that watches the bytes of a connection (RFC 9112 §6).
//!
//! hyper parses every message; this stands before it and is stricter. Wherever two parsers could disagree about the
//! length of a message (both lengths, several lengths, a bare line feed), the message is refused, so that a proxy in front
//! of us and we can never see different requests in the same bytes. It changes no byte.

use crate::limits::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, HEADER_LINE_BYTES_MAX};
use memchr::memchr;

/// Longest line that says a chunk's size, extensions included, octets.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Most hexadecimal digits of a chunk's size: 2⁶⁰ octets are past every body.
const CHUNK_DIGITS_MAX: usize = 15;
/// Most decimal digits of a length.
const LENGTH_DIGITS_MAX: usize = 18;

/// Why a head must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A line that does not end in CRLF, or has a CR inside (RFC 9112 §2.2).
    BareLineEnd,
    /// More than one length, or a length that is no number (RFC 9112 §6.3).
    Length,
    /// A length and a transfer coding (RFC 9112 §6.1).
    LengthAndCoding,
    /// A transfer coding other than one final `chunked`, or in HTTP/1.0.
    Coding,
    /// More than one empty line before the request (RFC 9112 §2.2).
    EmptyLines,
    /// A header folded over lines (RFC 9112 §5.2).
    Folded,
    /// White space between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// Too many fields, too many octets in one line or in all.
    TooLarge,
}

impl Violation {
    /// For the client.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::BareLineEnd => "a line of the request's head does not end in CRLF",
            Self::Length => "the request's Content-Length is not one whole number",
            Self::LengthAndCoding => "the request has both Content-Length and Transfer-Encoding",
            Self::Coding => "the request's Transfer-Encoding is not exactly \"chunked\" in HTTP/1.1",
            Self::EmptyLines => "there is more than one empty line before the request",
            Self::Folded => "a header of the request is folded over several lines",
            Self::SpaceBeforeColon => "a header of the request has a space before its colon",
            Self::TooLarge => "the request's head is too large",
        }
    }
}

/// A body that is not what its framing says; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's chunked body is malformed")]
pub struct BadChunk;

/// How far a piece of a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Octets of it that are chunks.
    pub chunks: usize,
    /// Octets of it that belong to the body, trailers included.
    pub taken: usize,
    /// Where that leads.
    pub came_to: CameTo,
}

/// Where a piece of a body leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameTo {
    /// There is more to come.
    More,
    /// That was all.
    End,
    /// What follows breaks the framing.
    Nonsense,
}

/// What one head has said so far.
#[derive(Debug, Default)]
struct Head {
    lines: usize,
    bytes: usize,
    length: Option<u64>,
    is_chunked: bool,
    is_http10: bool,
    violation: Option<Violation>,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Body {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    ChunkEnd,
    Trailers {
        bytes: usize,
    },
    /// Nothing more is looked at: after a violation, or once the connection is a tunnel.
    Open,
}

/// Follows the messages of one connection.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    heads: u64,
    violated: Option<(u64, Violation)>,
}

impl Default for Framing {
    fn default() -> Self {
        Self { state: State::Head(Head::default()), partial: Vec::new(), heads: 0, violated: None }
    }
}

impl Framing {
    /// Takes what came next. Returns how much of it may be passed on: everything up to the end of a head that violates
    /// the rules, and nothing after it.
    ///
    /// # Errors
    /// A body that breaks its framing.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() {
            if self.violated.is_some() {
                return Ok(at);
            }
            at += self.step(&bytes[at..])?;
        }
        Ok(at)
    }

    /// Follows one chunked body, from its first chunk on.
    #[must_use]
    pub fn of_chunked_body() -> Self {
        Self { state: State::ChunkSize, ..Self::default() }
    }

    /// Takes what came next of a body, up to its end or to where it breaks its framing.
    pub fn feed_body(&mut self, bytes: &[u8]) -> Fed {
        self.feed_body_seeing(bytes, |_| ())
    }

    /// The same; `see` is shown what is inside the chunks.
    pub fn feed_body_seeing(&mut self, bytes: &[u8], mut see: impl FnMut(&[u8])) -> Fed {
        let (mut chunks, mut taken) = (0, 0);
        while taken < bytes.len() && !self.is_between_messages() {
            let rest = &bytes[taken..];
            // The empty line that ends a body without trailers is part of its chunks.
            let is_trailer = match self.state {
                State::Trailers { bytes } => bytes > 0 || !rest.starts_with(b"\r\n"),
                _ => false,
            };
            let is_data = matches!(self.state, State::ChunkData { .. });
            let Ok(step) = self.step(rest) else { return Fed { chunks, taken, came_to: CameTo::Nonsense } };
            if is_data {
                see(&rest[..step]);
            }
            taken += step;
            if !is_trailer {
                chunks = taken;
            }
        }
        let came_to = if self.is_between_messages() { CameTo::End } else { CameTo::More };
        Fed { chunks, taken, came_to }
    }

    /// The first head that violates the rules, counted from 1, and how.
    #[must_use]
    pub fn violated(&self) -> Option<(u64, Violation)> {
        self.violated
    }

    /// Heads that have begun.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.heads + u64::from(self.is_inside_head())
    }

    /// Whether a head has begun and not ended.
    #[must_use]
    pub fn is_inside_head(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.bytes > 0)
    }

    /// Whether the next byte begins a new head.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.bytes == 0)
    }

    /// From here on the bytes are no HTTP/1 any more.
    pub fn open(&mut self) {
        self.state = State::Open;
        self.partial = Vec::new();
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        match &mut self.state {
            State::Open => Ok(bytes.len()),
            State::Body { left } => {
                let taken = skip(left, bytes);
                if *left == 0 {
                    self.next_head();
                }
                Ok(taken)
            }
            State::ChunkData { left } => {
                let taken = skip(left, bytes);
                if *left == 0 {
                    self.state = State::ChunkEnd;
                }
                Ok(taken)
            }
            State::Head(_) | State::ChunkSize | State::ChunkEnd | State::Trailers { .. } => self.line(bytes),
        }
    }

    /// Takes one line, or what there is of it.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let Some(end) = memchr(b'\n', bytes) else {
            let room = HEADER_LINE_BYTES_MAX + 2;
            if self.partial.len() + bytes.len() > room {
                // It is too long whatever follows; only its beginning matters from here on.
                if matches!(self.state, State::ChunkSize | State::ChunkEnd) {
                    return Err(BadChunk);
                }
                let kept = room.saturating_sub(self.partial.len()).min(bytes.len());
                self.partial.extend_from_slice(&bytes[..kept]);
                self.note(Violation::TooLarge);
            } else {
                self.partial.extend_from_slice(bytes);
            }
            self.count(bytes.len());
            return Ok(bytes.len());
        };
        let taken = end + 1;
        self.count(taken);
        if self.partial.is_empty() {
            self.whole_line(&bytes[..taken])?;
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&bytes[..taken]);
            self.whole_line(&line)?;
        }
        Ok(taken)
    }

    fn count(&mut self, taken: usize) {
        match &mut self.state {
            State::Head(head) => head.bytes += taken,
            State::Trailers { bytes } => *bytes += taken,
            _ => {}
        }
    }

    /// Takes one line with its line feed.
    fn whole_line(&mut self, line: &[u8]) -> Result<(), BadChunk> {
        let text = match line {
            [text @ .., b'\r', b'\n'] if memchr(b'\r', text).is_none() => text,
            [text @ .., b'\n'] => {
                if !matches!(self.state, State::Head(_)) {
                    return Err(BadChunk);
                }
                self.note(Violation::BareLineEnd);
                text.strip_suffix(b"\r").unwrap_or(text)
            }
            _ => text_of_nothing(),
        };
        match &mut self.state {
            State::Head(head) => {
                if head.take(text) {
                    self.end_head();
                }
                Ok(())
            }
            State::ChunkSize => self.chunk(text),
            State::ChunkEnd if text.is_empty() => {
                self.state = State::ChunkSize;
                Ok(())
            }
            State::Trailers { bytes } if *bytes > HEADER_BYTES_MAX => Err(BadChunk),
            State::Trailers { .. } => {
                if text.is_empty() {
                    self.next_head();
                }
                Ok(())
            }
            _ => Err(BadChunk),
        }
    }

    fn note(&mut self, violation: Violation) {
        if let State::Head(head) = &mut self.state {
            head.violation.get_or_insert(violation);
        }
    }

    fn end_head(&mut self) {
        let State::Head(head) = &self.state else { return };
        self.heads += 1;
        if let Some(violation) = head.verdict() {
            self.violated = Some((self.heads, violation));
            self.state = State::Open;
            return;
        }
        self.state = match head.length {
            _ if head.is_chunked => State::ChunkSize,
            Some(left) if left > 0 => State::Body { left },
            _ => State::Head(Head::default()),
        };
    }

    fn next_head(&mut self) {
        self.state = State::Head(Head::default());
    }

    /// A chunk's size and perhaps extensions, which nobody here understands and which are not forwarded (RFC 9112
    /// §7.1.1).
    fn chunk(&mut self, text: &[u8]) -> Result<(), BadChunk> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let rest = &text[digits..];
        if digits == 0 || digits > CHUNK_DIGITS_MAX || text.len() > CHUNK_LINE_BYTES_MAX {
            return Err(BadChunk);
        }
        if !(rest.is_empty() || rest[0] == b';') {
            return Err(BadChunk);
        }
        let size = text[..digits].iter().fold(0_u64, |size, digit| {
            size << 4 | u64::from(char::from(*digit).to_digit(16).expect("it is a hexadecimal digit"))
        });
        self.state = if size == 0 { State::Trailers { bytes: 0 } } else { State::ChunkData { left: size } };
        Ok(())
    }
}

/// No line has no line feed.
fn text_of_nothing() -> &'static [u8] {
    b""
}

/// Takes at most `left` of `bytes`.
fn skip(left: &mut u64, bytes: &[u8]) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    taken
}

impl Head {
    /// Takes a line without its end. Returns whether it was the last.
    fn take(&mut self, line: &[u8]) -> bool {
        if line.len() > HEADER_LINE_BYTES_MAX {
            self.violation.get_or_insert(Violation::TooLarge);
        }
        if self.lines == 0 {
            // One empty line before a request is forgiven (RFC 9112 §2.2). More are never a head of their own: hyper
            // skips them, and from then on the two would count requests differently.
            if line.is_empty() {
                if self.bytes > 2 {
                    self.violation.get_or_insert(Violation::EmptyLines);
                }
                return false;
            }
            self.is_http10 = line.ends_with(b"HTTP/1.0");
        } else if line.is_empty() {
            return true;
        } else {
            self.field(line);
        }
        self.lines += 1;
        false
    }

    fn field(&mut self, line: &[u8]) {
        let name_ends = memchr(b':', line).unwrap_or(line.len());
        let name = &line[..name_ends];
        match line[0] {
            b' ' | b'\t' => {
                self.violation.get_or_insert(Violation::Folded);
            }
            _ if name.last().is_some_and(u8::is_ascii_whitespace) => {
                self.violation.get_or_insert(Violation::SpaceBeforeColon);
            }
            b'c' | b'C' if name.eq_ignore_ascii_case(b"content-length") => {
                let value = line.get(name_ends + 1..).unwrap_or_default().trim_ascii();
                let is_number =
                    !value.is_empty() && value.len() <= LENGTH_DIGITS_MAX && value.iter().all(u8::is_ascii_digit);
                if !is_number || self.length.is_some() {
                    self.violation.get_or_insert(Violation::Length);
                }
                let number =
                    value.iter().fold(0_u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit & 15)));
                self.length = Some(number);
            }
            b't' | b'T' if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let value = line.get(name_ends + 1..).unwrap_or_default().trim_ascii();
                if !value.eq_ignore_ascii_case(b"chunked") || self.is_chunked {
                    self.violation.get_or_insert(Violation::Coding);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
    }

    fn verdict(&self) -> Option<Violation> {
        if self.violation.is_some() {
            return self.violation;
        }
        if self.bytes > HEADER_BYTES_MAX || self.lines > HEADER_FIELDS_MAX + 1 {
            return Some(Violation::TooLarge);
        }
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Some(Violation::LengthAndCoding),
            (true, None) if self.is_http10 => Some(Violation::Coding),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
