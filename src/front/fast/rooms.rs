//! Where bytes are while an exchange lasts, and how they get there.

use crate::front::Front;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Largest room kept for another exchange, octets.
const ROOM_BYTES_MAX: usize = 32 << 10;

/// Rooms for one exchange, taken from the worker's and given back: an idle connection keeps none.
#[derive(Debug, Default)]
pub struct Rooms {
    /// What goes to the region.
    pub output: Vec<u8>,
    /// What came from the region.
    pub answer: Vec<u8>,
    /// What goes to the client.
    pub reply: Vec<u8>,
    /// Where the fields are that are passed on.
    pub lines: Vec<(usize, usize)>,
    /// What comes from the client next.
    pub input: Vec<u8>,
}

impl Rooms {
    /// Whether they are worth keeping for others: there, and of a usual size.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        let all = [&self.output, &self.answer, &self.reply, &self.input];
        self.input.capacity() > 0 && all.iter().all(|room| room.capacity() <= ROOM_BYTES_MAX)
    }

    /// The same, empty.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        for room in [&mut self.output, &mut self.answer, &mut self.reply, &mut self.input] {
            room.clear();
        }
        self.lines.clear();
        self
    }
}

/// As [`poll_append`], with rooms only while there is something in them.
pub fn poll_first<R: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    front: &Front,
    from: &mut R,
    rooms: &mut Rooms,
    input: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    if input.is_empty() {
        *rooms = front.rooms();
        *input = std::mem::take(&mut rooms.input);
    }
    let read = poll_append(cx, from, &front.scratch, input);
    if input.is_empty() {
        rooms.input = std::mem::take(input);
        front.give_back(std::mem::take(rooms));
    }
    read
}

/// Reads what there is into the worker's scratch room and appends it to `into`. 0: the end.
pub fn poll_append<R: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    from: &mut R,
    scratch: &Mutex<Vec<u8>>,
    into: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = ReadBuf::new(&mut scratch);
    match Pin::new(from).poll_read(cx, &mut buffer) {
        Poll::Ready(Ok(())) => {
            into.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    }
}
