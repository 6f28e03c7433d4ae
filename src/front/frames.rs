//! Follows the frames of an HTTP/2 connection, both ways, by their heads alone (RFC 9113 §4.1).
//!
//! It counts what costs more to hear than to say (RFC 9113 §10.5): streams that are reset, by the client or because of
//! it, and frames that carry nothing of a request. And it knows which answers the client leaves no room for (§5.2), and
//! for how long. It decodes no fields, judges no request and changes no octet: HTTP does the rest.

use super::follow::{Follower, Head, Part};
use crate::counters::limit::Limit;
use crate::limits::{
    BODY_RATE_MIN, CONTROL_FRAMES_BURST_MAX, CONTROL_FRAMES_PER_SECOND, NARROW_STREAMS_MAX, NARROW_WINDOW_BYTES,
    RESETS_MAX, RESETS_WITHIN, STREAMS_WATCHED_MAX, WAITING_AFTER, WAITING_ON_CONNECTION_FEW, WINDOW_STALL_MAX,
};
use crate::moment::Moment;
use std::time::Duration;

/// What a window has before anybody says otherwise, octets (RFC 9113 §6.9.2).
const INITIAL_WINDOW: i64 = 65_535;
/// Control frames that each frame of an answer earns: a client may say of each that it has taken it, twice.
const EARNED_PER_FRAME: u32 = 4;
/// And one more for so many octets in it: some clients say so for each piece they read.
const EARNED_PER_BYTES: u32 = 1 << 10;

/// What a client does too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// [`RESETS_MAX`].
    #[error("too many streams are reset")]
    Resets,
    /// [`CONTROL_FRAMES_BURST_MAX`].
    #[error("too many frames carry nothing")]
    Control,
    /// [`NARROW_STREAMS_MAX`].
    #[error("too many streams have no room for an answer")]
    NoRoom,
    /// Answers are left lying, and the client is in the middle of a frame, so that nothing but all can be ended.
    #[error("the client takes nothing and says nothing whole")]
    Stuck,
}

impl Excess {
    /// Of which limit it is.
    #[must_use]
    pub fn limit(self) -> Limit {
        match self {
            Self::Resets => Limit::Resets,
            Self::Control => Limit::ControlFrames,
            Self::NoRoom => Limit::NarrowStreams,
            Self::Stuck => Limit::Stuck,
        }
    }
}

/// One HTTP/2 connection, watched from its first octet on.
#[derive(Debug)]
pub struct Frames {
    received: Follower,
    sent: Follower,
    books: Books,
    /// Since when the connection has taken nothing.
    blocked_since: Option<Moment>,
    /// Since when the client has been in the middle of a frame.
    in_frame_since: Option<Moment>,
}

/// What is known of a connection.
#[derive(Debug)]
struct Books {
    /// The highest stream that the client has opened.
    last_stream: u32,
    /// What each new stream may be sent, octets.
    initial_window: i64,
    /// What the whole connection may be sent.
    room: Room,
    /// Whether the client has confirmed our settings, and knows how many streams it may open.
    knows_settings: bool,
    open: Vec<Stream>,
    has_resets: bool,
    resets: u32,
    resets_since: Moment,
    control_left: u32,
    control_at: Moment,
    excess: Option<Excess>,
}

/// A stream whose answer has not ended.
#[derive(Clone, Copy, Debug)]
struct Stream {
    id: u32,
    /// What it may be sent.
    room: Room,
    /// What it might have been sent so far, octets.
    granted: i64,
    /// When its answer began.
    answered: Option<Moment>,
}

/// A window, and how long it has been shut.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Octets. Less than none if the client took room back.
    left: i64,
    shut_since: Option<Moment>,
    /// How long it was shut before, less what was made up for.
    shut_for: Duration,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            received: Follower::after_preface(),
            sent: Follower::default(),
            books: Books::new(),
            blocked_since: None,
            in_frame_since: None,
        }
    }
}

impl Frames {
    /// The client has sent `bytes`.
    pub fn received(&mut self, bytes: &[u8], now: Moment) {
        let (books, in_frame_since) = (&mut self.books, &mut self.in_frame_since);
        self.received.feed(bytes, |part| match part {
            Part::Head(head) => {
                *in_frame_since = None;
                books.hear(head, now);
            }
            Part::Unit(head, unit) => books.hear_unit(head, unit, now),
        });
        if self.received.is_between() {
            self.in_frame_since = None;
        } else {
            self.in_frame_since.get_or_insert(now);
        }
    }

    /// We have sent `bytes`.
    pub fn sent(&mut self, bytes: &[u8], now: Moment) {
        let books = &mut self.books;
        self.sent.feed(bytes, |part| match part {
            Part::Head(head) => books.say(head, now),
            Part::Unit(head, unit) => books.say_unit(head, unit, now),
        });
    }

    /// Whether the connection takes nothing more at present.
    pub fn blocked(&mut self, is_blocked: bool, now: Moment) {
        if is_blocked {
            self.blocked_since.get_or_insert(now);
        } else {
            self.blocked_since = None;
        }
    }

    /// What the client does too much of, once it does: the connection has to end.
    #[must_use]
    pub fn excess(&self) -> Option<Excess> {
        self.books.excess
    }

    /// Whether the client has ever reset a stream.
    #[must_use]
    pub fn has_resets(&self) -> bool {
        self.books.has_resets
    }

    /// The highest stream that the client has opened.
    #[must_use]
    pub fn last_stream(&self) -> u32 {
        self.books.last_stream
    }

    /// Whether what the client has sent so far ends with a frame.
    #[must_use]
    pub fn is_between_received(&self) -> bool {
        self.received.is_between()
    }

    /// Whether what we have sent so far ends with a frame.
    #[must_use]
    pub fn is_between_sent(&self) -> bool {
        self.sent.is_between()
    }

    /// When [`Self::stalled`] has something to say, as far as is known now.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Moment> {
        let first = self.books.open.iter().filter_map(|stream| stream.ends_at(&self.books.room)).min()?;
        Some(if self.is_between_received() { first } else { first + WINDOW_STALL_MAX })
    }

    /// Takes out a stream whose client has left no room for its answer for too long: it is to be reset. There may be more.
    /// If the client is in the middle of a frame, it has as much time again to end it.
    pub fn stalled(&mut self, now: Moment) -> Option<u32> {
        let Books { open, room, excess, .. } = &mut self.books;
        let (at, since) = open.iter().enumerate().find_map(|(at, stream)| {
            let since = stream.ends_at(room).filter(|since| *since <= now)?;
            Some((at, since))
        })?;
        if self.received.is_between() {
            return Some(open.swap_remove(at).id);
        }
        if since + WINDOW_STALL_MAX <= now {
            *excess = excess.or(Some(Excess::Stuck));
        }
        None
    }

    /// Since when each answer that waits for the client has done so.
    fn waits(&self) -> impl Iterator<Item = (usize, Moment)> + '_ {
        self.books.open.iter().enumerate().filter_map(|(at, stream)| {
            let first = stream.answered?;
            let since = [stream.room.shut_since, self.books.room.shut_since, self.blocked_since];
            Some((at, since.into_iter().flatten().min()?.max(first)))
        })
    }

    /// Whether any answer waits for the client.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.waits().next().is_some()
    }

    /// How many answers have waited for the client for [`WAITING_AFTER`] or longer.
    #[must_use]
    pub fn waiting(&self, now: Moment) -> usize {
        self.waits().filter(|(_, since)| *since + WAITING_AFTER <= now).count()
    }

    /// Takes out the stream whose answer has waited longest, if there are more than a few such: it is to be reset, because
    /// too much waits elsewhere, too. A client in the middle of a frame has [`WAITING_AFTER`] to end it.
    pub fn crowded_out(&mut self, now: Moment) -> Option<u32> {
        if self.waiting(now) <= WAITING_ON_CONNECTION_FEW {
            return None;
        }
        if self.received.is_between() {
            let (at, _) = self.waits().min_by_key(|(_, since)| *since)?;
            return Some(self.books.open.swap_remove(at).id);
        }
        if self.in_frame_since.is_some_and(|since| since + WAITING_AFTER <= now) {
            self.books.excess = self.books.excess.or(Some(Excess::Stuck));
        }
        None
    }
}

impl Books {
    fn new() -> Self {
        Self {
            last_stream: 0,
            initial_window: INITIAL_WINDOW,
            room: Room::of(INITIAL_WINDOW),
            knows_settings: false,
            open: Vec::new(),
            has_resets: false,
            resets: 0,
            resets_since: Moment::ZERO,
            control_left: CONTROL_FRAMES_BURST_MAX,
            control_at: Moment::ZERO,
            excess: None,
        }
    }

    fn hear(&mut self, head: Head, now: Moment) {
        match head.kind {
            Head::DATA if head.length == 0 && !head.ends_stream() => self.control(now),
            Head::DATA => {}
            Head::HEADERS if head.stream > self.last_stream => self.opened(head.stream),
            Head::HEADERS => {}
            Head::RST_STREAM => {
                self.has_resets = true;
                self.closed(head.stream);
                self.reset(now);
            }
            Head::SETTINGS if head.is_ack() => {
                self.knows_settings = true;
                self.control(now);
            }
            _ => self.control(now),
        }
    }

    fn hear_unit(&mut self, head: Head, unit: [u8; 6], now: Moment) {
        let value = i64::from(u32::from_be_bytes([unit[2], unit[3], unit[4], unit[5]]));
        match head.kind {
            // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2) changes what open streams have, too (§6.9.2).
            Head::SETTINGS if unit[..2] == [0, 4] => {
                let more = value - self.initial_window;
                self.initial_window = value;
                for stream in &mut self.open {
                    stream.grant(more, now);
                }
                self.count_narrow();
            }
            Head::WINDOW_UPDATE if head.stream == 0 => {
                // Nobody was kept waiting before the first answer that is still on its way.
                let first = self.open.iter().filter_map(|stream| stream.answered).min().unwrap_or(now);
                self.room.change(first_of(unit), first, now);
            }
            Head::WINDOW_UPDATE => {
                if let Some(stream) = self.stream(head.stream) {
                    stream.grant(first_of(unit), now);
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, head: Head, now: Moment) {
        if !matches!(head.kind, Head::DATA | Head::HEADERS) {
            return;
        }
        let earned = EARNED_PER_FRAME + head.length / EARNED_PER_BYTES;
        self.control_left = (self.control_left + earned).min(CONTROL_FRAMES_BURST_MAX);
        let length = if head.kind == Head::DATA { i64::from(head.length) } else { 0 };
        self.room.take(length, now);
        if head.ends_stream() {
            self.closed(head.stream);
        } else if let Some(stream) = self.stream(head.stream) {
            if stream.answered.is_none() {
                stream.answered = Some(now);
                stream.room.open(now);
            }
            stream.room.take(length, now);
        }
    }

    fn say_unit(&mut self, head: Head, unit: [u8; 6], now: Moment) {
        if head.kind != Head::RST_STREAM {
            return;
        }
        self.closed(head.stream);
        let is_clients_fault = match first_of(unit) {
            // PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, ENHANCE_YOUR_CALM.
            1 | 3 | 5 | 6 | 11 => true,
            // REFUSED_STREAM: innocent until it can know better.
            7 => self.knows_settings,
            _ => false,
        };
        if is_clients_fault {
            self.reset(now);
        }
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.iter_mut().rev().find(|stream| stream.id == id)
    }

    fn opened(&mut self, id: u32) {
        self.last_stream = id;
        if self.open.len() < STREAMS_WATCHED_MAX {
            let granted = self.initial_window;
            self.open.push(Stream { id, room: Room::of(granted), granted, answered: None });
            if granted < NARROW_WINDOW_BYTES {
                self.count_narrow();
            }
        }
    }

    fn closed(&mut self, id: u32) {
        if let Some(at) = self.open.iter().rposition(|stream| stream.id == id) {
            self.open.swap_remove(at);
        }
    }

    fn count_narrow(&mut self) {
        let narrow = self.open.iter().filter(|stream| stream.granted < NARROW_WINDOW_BYTES).count();
        if narrow > NARROW_STREAMS_MAX {
            self.excess = self.excess.or(Some(Excess::NoRoom));
        }
    }

    fn reset(&mut self, now: Moment) {
        if now.since(self.resets_since) >= RESETS_WITHIN {
            (self.resets, self.resets_since) = (0, now);
        }
        self.resets += 1;
        if self.resets > RESETS_MAX {
            self.excess = self.excess.or(Some(Excess::Resets));
        }
    }

    fn control(&mut self, now: Moment) {
        let earned = now.since(self.control_at).as_millis() * u128::from(CONTROL_FRAMES_PER_SECOND) / 1_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.control_left = self.control_left.saturating_add(earned).min(CONTROL_FRAMES_BURST_MAX);
            self.control_at = now;
        }
        match self.control_left.checked_sub(1) {
            Some(left) => self.control_left = left,
            None => self.excess = self.excess.or(Some(Excess::Control)),
        }
    }
}

impl Stream {
    /// The client gives it `more` room, or takes some back.
    fn grant(&mut self, more: i64, now: Moment) {
        self.granted = self.granted.saturating_add(more);
        let first = self.answered.unwrap_or(now);
        self.room.change(more, first, now);
    }

    /// When its client will have left no room for its answer for too long, if nothing changes.
    fn ends_at(&self, all: &Room) -> Option<Moment> {
        let first = self.answered?;
        [self.room, *all].iter().filter_map(|room| room.ends_at(first)).min()
    }
}

impl Room {
    const fn of(left: i64) -> Self {
        Self { left, shut_since: None, shut_for: Duration::ZERO }
    }

    /// Begins to look at it.
    fn open(&mut self, now: Moment) {
        (self.shut_since, self.shut_for) = ((self.left <= 0).then_some(now), Duration::ZERO);
    }

    /// There is `more` of it, or less. Before `first` nobody was waiting.
    fn change(&mut self, more: i64, first: Moment, now: Moment) {
        self.left = self.left.saturating_add(more);
        match self.shut_since {
            None if self.left <= 0 => self.shut_since = Some(now),
            Some(since) if self.left > 0 => {
                self.shut_for += now.since(since.max(first));
                self.shut_since = None;
            }
            _ => {}
        }
    }

    /// So many octets go: they make up for some of the time that it was shut.
    fn take(&mut self, octets: i64, now: Moment) {
        self.change(-octets, now, now);
        let octets = u64::try_from(octets).unwrap_or(0);
        self.shut_for = self.shut_for.saturating_sub(Duration::from_millis(octets * 1_000 / BODY_RATE_MIN));
    }

    fn ends_at(&self, first: Moment) -> Option<Moment> {
        self.shut_since.map(|since| since.max(first) + WINDOW_STALL_MAX.saturating_sub(self.shut_for))
    }
}

/// The number in a payload of four octets.
fn first_of(unit: [u8; 6]) -> i64 {
    i64::from(u32::from_be_bytes([unit[0] & 0x7F, unit[1], unit[2], unit[3]]))
}

#[cfg(test)]
mod tests;
