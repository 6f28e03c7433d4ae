//! A request on its way, up to the head of its answer.

use super::READ_AHEAD_BYTES_MAX;
use super::head::{Answered, Extent, Read, Remarks, answer};
use super::rooms::poll_append;
use crate::front::Front;
use crate::front::attempt::Vigil;
use crate::front::course::WATCH_AFTER;
use crate::front::framing::{CameTo, Framing};
use crate::front::lifetime::Lifetime;
use crate::health::Fault;
use crate::limits::{CONNECTION_BUFFER_BYTES_MAX, HELD_EVENT_BYTES_MAX};
use crate::moment::Moment;
use crate::sse::Events;
use crate::upstream::{AttemptError, Progress};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// One attempt under way.
pub struct Asking<'a, C> {
    /// The worker's.
    pub front: &'a Arc<Front>,
    /// The client, which may go away or send more.
    pub client: &'a mut C,
    /// The region.
    pub region: &'a mut TcpStream,
    /// The request.
    pub output: &'a [u8],
    /// How much of it was given to the kernel.
    pub written: usize,
    /// What the client sends meanwhile.
    pub input: &'a mut Vec<u8>,
    /// What the region says.
    pub answer: &'a mut Vec<u8>,
    /// What the client is to read.
    pub reply: &'a mut Vec<u8>,
    /// How many octets of `input` are the request.
    pub asked_bytes: usize,
    /// Whether the client's connection goes on.
    pub lifetime: &'a Lifetime,
    /// What is told besides.
    pub remarks: Remarks<'a>,
    /// Whether it is a HEAD.
    pub is_head: bool,
    /// Whether the connection was idle before.
    pub was_reused: bool,
    /// Who watches over it if it takes long.
    pub vigil: Vigil<'a>,
    /// When the request began.
    pub began: Moment,
}

/// When an answer has taken long enough to look after its endpoint: one timer per connection, not per request.
#[derive(Debug, Default)]
pub struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Ready once `began` is [`WATCH_AFTER`] ago. The alarm may be an earlier request's; then it is set anew.
    fn poll(&mut self, cx: &mut Context<'_>, front: &Front, began: Moment) -> Poll<()> {
        let due = began + WATCH_AFTER;
        let alarm = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(front.clock.instant(due))));
        while alarm.as_mut().poll(cx).is_ready() {
            if front.clock.now() >= due {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(front.clock.instant(due));
        }
        Poll::Pending
    }
}

/// The beginning of an event stream.
struct Beginning {
    extent: Extent,
    framing: Framing,
    events: Events,
}

impl Beginning {
    /// Whether nothing is to be waited for any more, with these octets of the answer's body.
    fn is_over_with(&mut self, bytes: &[u8]) -> bool {
        let Self { extent, framing, events } = self;
        let mut is_whole = false;
        let mut see = |data: &[u8]| is_whole |= events.completes(data);
        let came_to = match extent {
            Extent::Chunked => framing.feed_body_seeing(bytes, see).came_to,
            Extent::Length(_) | Extent::UntilClose => {
                see(bytes);
                CameTo::More
            }
        };
        is_whole || came_to != CameTo::More
    }
}

/// What ended the waiting.
enum Came {
    Head(Answered, Moment),
    Fault(Fault),
    /// The client has gone.
    Gone,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Asking<'_, C> {
    /// Sends the request and waits for the head of the answer; and when that came.
    ///
    /// # Errors
    /// What went wrong and how far it got; `None`: the client has gone, and nobody waits any more.
    pub async fn run(&mut self, patience: &mut Patience) -> Result<(Answered, Moment), Option<AttemptError>> {
        if self.was_reused && !self.vigil.is_safe && !self.is_alive() {
            return Err(Some(self.failed(Fault::Reset)));
        }
        let quick = std::future::poll_fn(|cx| match self.poll(cx) {
            Poll::Ready(came) => Poll::Ready(Some(came)),
            Poll::Pending => patience.poll(cx, self.front, self.began).map(|()| None),
        });
        let came = match quick.await {
            Some(came) => came,
            None => {
                let vigil = self.vigil;
                let answer = pin!(std::future::poll_fn(|cx| self.poll(cx)));
                vigil.keep(answer).await.unwrap_or(Came::Fault(Fault::Silent))
            }
        };
        match came {
            Came::Head(answered, at) => Ok((answered, at)),
            Came::Fault(fault) => Err(Some(self.failed(fault))),
            Came::Gone => Err(None),
        }
    }

    /// Reads on until the first event of a stream is whole, for at most `hold`: until then nothing is promised to the
    /// client, and a region that breaks off has failed like one that never answered. What was read stays in the answer.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn first_event(&mut self, answered: &Answered, hold: Duration) -> Result<(), Option<AttemptError>> {
        let mut beginning =
            Beginning { extent: answered.extent, framing: Framing::of_chunked_body(), events: Events::default() };
        let mut seen = answered.head_bytes;
        let wait = std::future::poll_fn(|cx| {
            loop {
                let is_long = self.answer.len() - answered.head_bytes > HELD_EVENT_BYTES_MAX;
                let is_over = beginning.is_over_with(&self.answer[seen..]);
                seen = self.answer.len();
                if is_over || is_long {
                    return Poll::Ready(None);
                }
                match poll_append(cx, self.region, &self.front.scratch, self.answer) {
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    Poll::Ready(Ok(_)) if answered.extent == Extent::UntilClose => return Poll::Ready(None),
                    Poll::Ready(_) => return Poll::Ready(Some(Came::Fault(Fault::Cut))),
                    Poll::Pending => return self.poll_gone(cx).map(|()| Some(Came::Gone)),
                }
            }
        });
        // Too late to wait any longer is no fault.
        match tokio::time::timeout(hold, wait).await {
            Ok(Some(Came::Fault(fault))) => {
                Err(Some(AttemptError { fault, progress: Progress::Sent, was_reused: false }))
            }
            Ok(Some(Came::Gone)) => Err(None),
            _ => Ok(()),
        }
    }

    fn failed(&self, fault: Fault) -> AttemptError {
        let progress = if self.written == 0 { Progress::Unsent } else { Progress::Sent };
        AttemptError { fault, progress, was_reused: self.was_reused }
    }

    /// Whether the endpoint has neither closed nor said anything: asks the kernel, not the runtime.
    fn is_alive(&self) -> bool {
        let peeked = socket2::SockRef::from(&*self.region).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        while self.written < self.output.len() {
            match Pin::new(&mut *self.region).poll_write(cx, &self.output[self.written..]) {
                Poll::Ready(Ok(written)) => self.written += written,
                // What it had to say before may still be there to read.
                Poll::Ready(Err(_)) if self.written > 0 => break,
                Poll::Ready(Err(_)) => return Poll::Ready(Came::Fault(Fault::Reset)),
                Poll::Pending => break,
            }
        }
        while let Poll::Ready(read) = poll_append(cx, self.region, &self.front.scratch, self.answer) {
            if !matches!(read, Ok(read) if read > 0) {
                return Poll::Ready(Came::Fault(Fault::Reset));
            }
            if let Some(came) = self.read_head() {
                return Poll::Ready(came);
            }
        }
        self.poll_gone(cx).map(|()| Came::Gone)
    }

    /// A client that closes wants no answer any more; one that sends the next request may wait for this one.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.len() < READ_AHEAD_BYTES_MAX + self.output.len() {
            match poll_append(cx, self.client, &self.front.scratch, self.input) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    fn read_head(&mut self) -> Option<Came> {
        let has_more = self.input.len() > self.asked_bytes;
        let now = self.front.clock.now();
        let closes = self.remarks.closes || self.lifetime.ends_now(now, has_more);
        let remarks = Remarks { closes, ..self.remarks };
        loop {
            match answer(self.answer, self.is_head, &remarks, self.reply) {
                Read::Whole(answered) => return Some(Came::Head(answered, now)),
                Read::Malformed => return Some(Came::Fault(Fault::Protocol)),
                Read::Informational(bytes) => drop(self.answer.drain(..bytes)),
                Read::Partial if self.answer.len() > CONNECTION_BUFFER_BYTES_MAX => {
                    return Some(Came::Fault(Fault::Protocol));
                }
                Read::Partial => return None,
            }
        }
    }
}
