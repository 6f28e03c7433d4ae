//! An event stream on its way to the client: whole events, and an end that nobody takes for success.
//!
//! The official OpenAI clients take any end of a stream for its end, `[DONE]` or not. So where a region breaks off, one
//! last event says so in the shape that they raise as an error, and then the answer is cut besides. For that to be
//! readable it has to stand between two events: in streams that may end so, the beginning of an event waits for its end.
//! No client can do anything with half of one.

use crate::limits::HELD_EVENT_BYTES_MAX;
use crate::sse::{Events, names_events};
use crate::topology::{Class, Dialect, StreamEnd};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::json;
use std::time::Duration;

/// What keeps a quiet stream alive between its events: a comment, which every reader skips (WHATWG HTML §9.2.6).
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// How the event streams of a class are carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The shape of our own errors.
    pub dialect: Dialect,
    /// Which ends are good ones.
    pub end: StreamEnd,
    /// After how long a silence a comment is put in; `None`: never.
    pub keep_alive: Option<Duration>,
}

impl Manner {
    /// As the class says.
    #[must_use]
    pub fn of(class: &Class) -> Self {
        Self { dialect: class.dialect, end: class.stream_end, keep_alive: class.keep_alive }
    }

    /// Whether such a stream is followed from event to event: it may end in words, or have some put in.
    #[must_use]
    pub fn follows(self) -> bool {
        self.dialect == Dialect::OpenAi || self.keep_alive.is_some() || self.end == StreamEnd::Done
    }
}

/// One event stream under way.
#[derive(Debug)]
pub struct EventStream {
    manner: Manner,
    events: Events,
    /// The beginning of an event whose end has not come yet.
    held: BytesMut,
    /// Whether the client has the beginning of an event without its end.
    is_inside: bool,
    /// Whether the last event was `[DONE]`.
    is_done: bool,
    /// Whether the region says by nothing but its connection's end that this is all.
    is_open_ended: bool,
}

impl EventStream {
    /// The stream whose head this is, if it is one that is to be followed. `is_open_ended`: nothing but the end of the
    /// region's connection will say that this is all, and so would its death.
    #[must_use]
    pub fn of(headers: &HeaderMap, manner: Manner, is_open_ended: bool) -> Option<Self> {
        ((manner.follows() || is_open_ended) && is_event_stream(headers)).then(|| Self {
            manner,
            events: Events::default(),
            held: BytesMut::new(),
            is_inside: false,
            is_done: false,
            is_open_ended,
        })
    }

    /// What the client gets of what has come; it may be nothing yet.
    pub fn pass(&mut self, mut came: Bytes) -> Bytes {
        let mut whole = 0;
        for end in self.events.feed(&came) {
            whole = end.at;
            if end.is_event {
                self.is_done = end.is_done;
            }
        }
        if self.manner.dialect != Dialect::OpenAi {
            self.is_inside = !self.events.is_between_events();
            return came;
        }
        let is_begun = self.is_inside && whole == 0;
        if is_begun || (self.held.is_empty() && whole == came.len()) {
            self.is_inside = is_begun;
            return came;
        }
        self.is_inside = false;
        let mut given = came.split_to(whole);
        if whole > 0 && !self.held.is_empty() {
            self.held.extend_from_slice(&given);
            given = std::mem::take(&mut self.held).freeze();
        }
        self.held.extend_from_slice(&came);
        if self.held.len() <= HELD_EVENT_BYTES_MAX {
            return given;
        }
        self.is_inside = true;
        let mut all = BytesMut::from(given);
        all.extend_from_slice(&std::mem::take(&mut self.held));
        all.freeze()
    }

    /// What was held back, once nothing more comes.
    pub fn rest(&mut self) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then(|| held.freeze())
    }

    /// Whether a region that ends its answer here has come to a good end.
    #[must_use]
    pub fn may_end(&self) -> bool {
        match self.manner.end {
            // Nobody means to end inside an event.
            StreamEnd::Any => !self.is_open_ended || (self.held.is_empty() && self.events.is_between_events()),
            StreamEnd::Done => self.is_done,
        }
    }

    /// What is said to the client before its answer is cut; half an event that was held back is forgotten.
    pub fn last_words(&mut self) -> Option<Bytes> {
        self.held.clear();
        // After the end that readers know nothing is read any more; inside an event it would become part of it.
        let is_heard = self.manner.dialect == Dialect::OpenAi && !self.is_inside && !self.is_done;
        is_heard.then(|| {
            let error = json!({ "error": {
                "message": "the region broke off in the middle of the stream; what came before is not the whole answer",
                "type": "upstream_stream_lost",
                "code": "stream_interrupted",
                "param": null,
            }});
            Bytes::from(format!("data: {error}\n\n"))
        })
    }

    /// After how long a silence a comment may be put in here and now.
    #[must_use]
    pub fn keep_alive(&self) -> Option<Duration> {
        self.manner.keep_alive.filter(|_| !self.is_inside)
    }
}

/// Whether what follows are events, readable as they are.
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let is_readable = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes() == b"identity");
    is_readable && headers.get(CONTENT_TYPE).is_some_and(|kind| names_events(kind.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn stream(dialect: Dialect, end: StreamEnd) -> EventStream {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        let manner = Manner { dialect, end, keep_alive: Some(Duration::from_secs(15)) };
        EventStream::of(&headers, manner, false).expect("it is one")
    }

    fn openai() -> EventStream {
        stream(Dialect::OpenAi, StreamEnd::Any)
    }

    fn given(stream: &mut EventStream, came: &str) -> String {
        String::from_utf8(stream.pass(Bytes::copy_from_slice(came.as_bytes())).to_vec()).expect("text")
    }

    #[test]
    fn half_an_event_waits_for_its_other_half_however_it_is_cut() {
        let whole = "data: {\"a\":1}\n\n: comment\n\nevent: x\r\ndata: 2\r\n\r\ndata: [DONE]\n\n";
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut stream = openai();
                let pieces = [&whole[..first], &whole[first..second], &whole[second..]];
                let mut all = String::new();
                for piece in pieces {
                    all += &given(&mut stream, piece);
                    let is_between = all.is_empty() || all.ends_with("\n\n") || all.ends_with("\r\n\r");
                    assert!(is_between || all.ends_with("\r\n\r\n"), "{all:?} is half of something");
                }
                all.extend(stream.rest().map(|rest| String::from_utf8_lossy(&rest).into_owned()));
                assert_eq!(all, whole);
            }
        }
    }

    #[test]
    fn the_last_words_stand_between_events_and_are_an_error_to_openai_clients() {
        let mut stream = openai();
        assert_eq!(given(&mut stream, "data: {}\n\ndata: {\"half"), "data: {}\n\n");
        let words = stream.last_words().expect("they are said");
        let json: serde_json::Value =
            serde_json::from_slice(words.strip_prefix(b"data: ").expect("an event").trim_ascii()).expect("JSON");
        assert_eq!(json["error"]["code"], "stream_interrupted");
        assert!(words.ends_with(b"\n\n") && !words[..words.len() - 2].contains(&b'\n'), "one event, one line");
        assert_eq!(stream.rest(), None, "half an event is forgotten");
    }

    #[test]
    fn nothing_is_said_where_it_would_not_be_heard_or_understood() {
        let mut done = openai();
        given(&mut done, "data: [DONE]\n\n");
        assert_eq!(done.last_words(), None);
        let mut plain = stream(Dialect::Plain, StreamEnd::Any);
        assert_eq!(given(&mut plain, "data: half"), "data: half", "others get each octet as it comes");
        assert_eq!(plain.last_words(), None);
    }

    #[test]
    fn an_event_too_long_to_wait_for_is_passed_on_in_pieces_and_ends_in_a_cut_alone() {
        let mut stream = openai();
        let most = "x".repeat(HELD_EVENT_BYTES_MAX);
        assert_eq!(given(&mut stream, &most), "", "just not too long");
        assert_eq!(given(&mut stream, "y").len(), HELD_EVENT_BYTES_MAX + 1);
        assert_eq!((given(&mut stream, "z"), stream.last_words(), stream.keep_alive()), ("z".to_owned(), None, None));
        assert_eq!(given(&mut stream, "\n\n"), "\n\n");
        assert!(stream.last_words().is_some() && stream.keep_alive().is_some(), "it stands between events again");
    }

    #[test]
    fn where_done_is_the_end_any_other_end_is_none() {
        let mut strict = stream(Dialect::OpenAi, StreamEnd::Done);
        assert!(!strict.may_end());
        given(&mut strict, "data: {}\n\ndata: [DONE]\n\n: bye\n\n");
        assert!(strict.may_end());
        given(&mut strict, "data: more\n\n");
        assert!(!strict.may_end());
        assert!(openai().may_end());
    }

    #[test]
    fn only_readable_event_streams_are_followed() {
        let with = |kind: &'static str, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.extend(coding.map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding))));
            is_event_stream(&headers)
        };
        assert!(with("text/event-stream", None) && with("Text/Event-Stream ;x=y", Some("identity")));
        assert!(!with("text/event-stream", Some("gzip")) && !with("text/event-streams", None));
    }
}
