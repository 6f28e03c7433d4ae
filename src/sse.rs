//! EVENTS IN A STREAM of `text/event-stream` (WHATWG HTML §9.2): a machine, bytes in, boundaries or events out.
//!
//! [`Events`] says where events end and keeps nothing of them: for those who pass a stream on. [`Collector`] keeps the
//! event under way, up to a bound: for those who read. Lines end in LF, CR or CR LF, also when a piece of the stream
//! ends between the two; the stream may begin with a byte order mark; it may come in pieces of any size.

/// The byte order mark that a stream may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// How much of a line is looked at: a byte order mark and `data: [DONE]`, and one octet more, to see that it is longer.
const HEAD_BYTES: usize = 16;
/// How OpenAI's API says that a stream ended as it should.
pub const DONE: &[u8] = b"[DONE]";

/// Whether a `Content-Type` is that of event streams, parameters aside (RFC 9110 §8.3.1).
#[must_use]
pub fn names_events(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Cuts a stream into lines.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    /// The last octet was a CR that ended a line: a LF that follows belongs to it.
    is_after_cr: bool,
}

/// A piece of a line.
struct Piece {
    /// Its octets, without what ends the line: the range in what was fed.
    octets: std::ops::Range<usize>,
    /// Where the next piece begins, if the line ended here.
    next: Option<usize>,
}

impl Lines {
    /// The piece of a line at `from`; `None` if there is nothing more.
    fn piece(&mut self, bytes: &[u8], mut from: usize) -> Option<Piece> {
        if self.is_after_cr && from < bytes.len() {
            self.is_after_cr = false;
            from += usize::from(bytes[from] == b'\n');
        }
        let rest = bytes.get(from..).filter(|rest| !rest.is_empty())?;
        let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
            return Some(Piece { octets: from..bytes.len(), next: None });
        };
        let end = from + length;
        let is_pair = rest[length] == b'\r' && rest.get(length + 1) == Some(&b'\n');
        self.is_after_cr = rest[length] == b'\r' && !is_pair;
        Some(Piece { octets: from..end, next: Some(end + 1 + usize::from(is_pair)) })
    }
}

/// Where an event, or a block of comments, ended: behind its blank line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Octets of the piece that was fed up to and with the end of the blank line.
    pub at: usize,
    /// Whether a reader is told of it: it had data. A block of comments, or a blank line alone, has none.
    pub is_event: bool,
    /// Whether its data is `[DONE]`: the stream ends as it should.
    pub is_done: bool,
}

/// Finds the ends of events, and keeps nothing of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    lines: Lines,
    head: [u8; HEAD_BYTES],
    head_length: usize,
    is_past_first_line: bool,
    has_lines: bool,
    data_lines: u32,
    is_done: bool,
}

impl Events {
    /// The ends of events in the next piece of the stream. They are found as the iterator is driven: drive it to its
    /// end before the next piece.
    pub fn feed<'a>(&'a mut self, bytes: &'a [u8]) -> Ends<'a> {
        Ends { events: self, bytes, at: 0 }
    }

    /// Whether an event became whole within the next piece of the stream.
    pub fn completes(&mut self, bytes: &[u8]) -> bool {
        // Not `any`: the ends are driven to their end.
        self.feed(bytes).filter(|end| end.is_event).count() > 0
    }

    /// Whether the stream stands between events: nothing came since the last blank line, so something whole may be
    /// put in here.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        !self.has_lines && self.head_length == 0
    }

    fn take(&mut self, octets: &[u8]) {
        let kept = octets.len().min(HEAD_BYTES - self.head_length);
        self.head[self.head_length..self.head_length + kept].copy_from_slice(&octets[..kept]);
        self.head_length += kept;
    }

    /// A line is complete. Whether it was blank.
    fn end_line(&mut self) -> bool {
        let line = without_mark(&self.head[..self.head_length], !self.is_past_first_line);
        (self.is_past_first_line, self.head_length) = (true, 0);
        if line.is_empty() {
            return true;
        }
        if let ("data", value) = field(line) {
            self.data_lines = self.data_lines.saturating_add(1);
            self.is_done = self.data_lines == 1 && value == DONE;
        }
        self.has_lines = true;
        false
    }
}

/// The ends of events in one piece of a stream.
#[derive(Debug)]
pub struct Ends<'a> {
    events: &'a mut Events,
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Ends<'_> {
    type Item = End;

    fn next(&mut self) -> Option<End> {
        while let Some(piece) = self.events.lines.piece(self.bytes, self.at) {
            self.events.take(&self.bytes[piece.octets]);
            self.at = piece.next.unwrap_or(self.bytes.len());
            if piece.next.is_some() && self.events.end_line() {
                let end = End { at: self.at, is_event: self.events.data_lines > 0, is_done: self.events.is_done };
                (self.events.has_lines, self.events.data_lines, self.events.is_done) = (false, 0, false);
                return Some(end);
            }
        }
        None
    }
}

/// An event as its reader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind: `message` where the stream does not say.
    pub name: String,
    /// Its data, the lines joined by LF. What is no UTF-8 is replaced.
    pub data: String,
}

/// More octets than allowed came without the end of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than allowed")]
pub struct TooLong;

/// Reads events, each up to a bound.
#[derive(Debug)]
pub struct Collector {
    lines: Lines,
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    is_past_first_line: bool,
    bytes_max: usize,
}

impl Collector {
    /// Reads events of at most `bytes_max` octets, names included.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let empty = Vec::new;
        Self {
            lines: Lines::default(),
            line: empty(),
            name: empty(),
            data: empty(),
            is_past_first_line: false,
            bytes_max,
        }
    }

    /// The events that the next piece of the stream completes.
    ///
    /// # Errors
    /// [`TooLong`] if the event under way is longer than allowed; the stream cannot be read on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(piece) = self.lines.piece(bytes, at) {
            at = piece.next.unwrap_or(bytes.len());
            if self.line.len() + self.name.len() + self.data.len() + piece.octets.len() > self.bytes_max {
                return Err(TooLong);
            }
            self.line.extend_from_slice(&bytes[piece.octets]);
            if piece.next.is_some() {
                events.extend(self.end_line());
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.is_past_first_line, true);
        let line = without_mark(&line, is_first);
        if line.is_empty() {
            return self.end_event();
        }
        match field(line) {
            ("data", value) => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            ("event", value) => self.name = value.to_vec(),
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        // Each line of data left a LF behind, so empty means that there was none: nobody is told.
        data.pop()?;
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        Some(Event { name: if name.is_empty() { "message".to_owned() } else { text(name) }, data: text(data) })
    }
}

fn without_mark(line: &[u8], is_first: bool) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line)
}

/// The name and the value of a line's field; a comment, which begins with a colon, has the empty name, as has every
/// field that is not read here.
fn field(line: &[u8]) -> (&'static str, &[u8]) {
    let colon = line.iter().position(|octet| *octet == b':');
    let (name, value) = colon.map_or((line, &[][..]), |colon| (&line[..colon], &line[colon + 1..]));
    let value = value.strip_prefix(b" ").unwrap_or(value);
    match name {
        b"data" => ("data", value),
        b"event" => ("event", value),
        _ => ("", value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(pieces: &[&[u8]]) -> Vec<(usize, bool, bool)> {
        let mut events = Events::default();
        let mut before = 0;
        let mut found = Vec::new();
        for piece in pieces {
            found.extend(events.feed(piece).map(|end| (before + end.at, end.is_event, end.is_done)));
            before += piece.len();
        }
        found
    }

    fn collected(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut collector = Collector::new(1 << 10);
        let events = pieces.iter().flat_map(|piece| collector.feed(piece).expect("short events"));
        events.map(|event| (event.name, event.data)).collect()
    }

    fn message(data: &str) -> (String, String) {
        ("message".to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_ends_behind_its_blank_line_whatever_ends_lines() {
        assert_eq!(ends(&[b"data: a\n\ndata: b\n\n"]), [(9, true, false), (18, true, false)]);
        assert_eq!(ends(&[b"data: a\r\n\r\ndata: b\r\n\r\n"]), [(11, true, false), (22, true, false)]);
        assert_eq!(ends(&[b"data: a\r\rdata: b\r\r"]), [(9, true, false), (18, true, false)]);
        assert_eq!(ends(&[b"data: a\n\r\ndata: b\r\n\n"]), [(10, true, false), (20, true, false)]);
    }

    #[test]
    fn an_end_is_told_at_once_although_a_lf_may_follow_its_cr() {
        assert_eq!(ends(&[b"data: a\r\n\r", b"\ndata: b\n\n"]), [(10, true, false), (20, true, false)]);
        let mut events = Events::default();
        assert_eq!(events.feed(b"data: a\r\n\r").count(), 1);
        assert_eq!(events.feed(b"\n").count(), 0, "the LF belongs to the CR before it");
        assert!(events.is_between_events());
    }

    #[test]
    fn comments_and_fields_without_data_are_no_event() {
        assert_eq!(ends(&[b": keep-alive\n\n"]), [(14, false, false)]);
        assert_eq!(ends(&[b"event: ping\nid: 1\n\n"]), [(19, false, false)]);
        assert_eq!(ends(&[b"database: 1\n\n"]), [(13, false, false)]);
        assert_eq!(ends(&[b"\n"]), [(1, false, false)]);
        assert_eq!(collected(&[b": keep-alive\n\nevent: ping\n\n\n\ndata\n\n"]), [message("")]);
        assert_eq!(ends(&[b"data\n\n"]), [(6, true, false)]);
    }

    #[test]
    fn the_end_of_the_stream_is_known_only_by_done_alone() {
        for done in [&b"data: [DONE]\n\n"[..], b"data:[DONE]\n\n", b"\xEF\xBB\xBFdata: [DONE]\r\n\r\n"] {
            assert_eq!(ends(&[done]), [(done.len(), true, true)], "{}", String::from_utf8_lossy(done));
        }
        for other in [
            &b"data: [DONE]!\n\n"[..],
            b"data:  [DONE]\n\n",
            b"data: [DONE]\ndata: x\n\n",
            b"data: x\ndata: [DONE]\n\n",
        ] {
            assert_eq!(ends(&[other]), [(other.len(), true, false)], "{}", String::from_utf8_lossy(other));
        }
        assert_eq!(ends(&[b"data: [DONE]\n\ndata: x\n\n"]), [(14, true, true), (23, true, false)]);
    }

    #[test]
    fn only_the_first_line_may_begin_with_a_byte_order_mark() {
        assert_eq!(collected(&[b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n"]), [message("a")]);
        assert_eq!(ends(&[b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n"]), [(12, true, false), (24, false, false)]);
    }

    #[test]
    fn something_may_be_put_in_only_between_events() {
        let mut events = Events::default();
        assert!(events.is_between_events());
        for (piece, is_between) in
            [(&b"da"[..], false), (b"ta: a\n", false), (b"\n", true), (b":", false), (b"\n\n", true)]
        {
            events.feed(piece).for_each(drop);
            assert_eq!(events.is_between_events(), is_between, "{}", String::from_utf8_lossy(piece));
        }
    }

    #[test]
    fn lines_of_data_are_joined_and_names_are_told() {
        let stream = b"event: first\ndata: a\ndata:b\ndata:  c\nid: 7\n\ndata: d\n\n";
        assert_eq!(collected(&[stream]), [("first".to_owned(), "a\nb\n c".to_owned()), message("d")]);
    }

    #[test]
    fn pieces_of_any_size_say_the_same() {
        let stream = "\u{FEFF}: hello\r\n\r\nevent: x\rdata: a\rdata: b\r\rdata: c\n\ndata: \u{e9}t\u{e9}\r\n\r\ndata: [DONE]\n\n".as_bytes();
        let (whole_ends, whole_events) = (ends(&[stream]), collected(&[stream]));
        assert_eq!(whole_events.len(), 4);
        for size in 1..stream.len() {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(collected(&pieces), whole_events, "in pieces of {size}");
            let found = ends(&pieces);
            // An end may be told before the LF of its CR LF has come: then it is one octet earlier.
            assert_eq!(found.len(), whole_ends.len(), "in pieces of {size}");
            for (found, whole) in found.iter().zip(&whole_ends) {
                assert!((found.1, found.2) == (whole.1, whole.2) && (whole.0 - found.0) <= 1, "in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_event_longer_than_allowed_is_refused_and_one_just_as_long_is_not() {
        let mut collector = Collector::new(16);
        assert_eq!(collector.feed(b"data: 0123456789").expect("16 octets").len(), 0);
        assert_eq!(collector.feed(b"\n\n").expect("its end").len(), 1);
        assert_eq!(collector.feed(b"data: 0123456789x\n\n"), Err(TooLong));
        let mut collector = Collector::new(16);
        assert_eq!(collector.feed(b"data: 0\ndata: 1\ndata: 2\ndata: 3\ndata: 4\ndata: 5\ndata: 6\n\n"), Err(TooLong));
    }

    #[test]
    fn a_long_stream_of_short_events_is_read_to_its_end() {
        let mut collector = Collector::new(16);
        let count: usize = (0..10_000).map(|_| collector.feed(b"data: x\n\n").expect("short").len()).sum();
        assert_eq!(count, 10_000);
    }
}
