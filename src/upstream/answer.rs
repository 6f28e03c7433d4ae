//! An endpoint's answer, and what has to happen to its connection when it ends.

use super::body::Outgoing;
use super::dial::Line;
use super::pool::{Exclusive, Pool, Stream};
use crate::health::Fault;
use crate::load::InFlight;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An endpoint's answer on its way to the client. When it has been read to its end the connection goes back.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    /// What somebody has read of it already and put back.
    unread: VecDeque<Frame<Bytes>>,
    back: Option<(Arc<Pool>, Exclusive)>,
    stream: Option<Stream>,
    /// A connection for this answer alone.
    own: Option<(http2::SendRequest<Outgoing>, Arc<Line>)>,
    in_flight: Option<InFlight>,
}

impl Answer {
    /// `opens`: the answer has no end, because the connection becomes something else.
    pub(super) fn of_http1(
        body: Incoming,
        back: Option<(Arc<Pool>, Exclusive)>,
        in_flight: InFlight,
        opens: bool,
    ) -> Self {
        let mut answer =
            Self { body, unread: VecDeque::new(), back, stream: None, own: None, in_flight: Some(in_flight) };
        if answer.body.is_end_stream() && !opens {
            answer.finish();
        }
        answer
    }

    pub(super) fn of_http2(body: Incoming, stream: Stream, in_flight: InFlight) -> Self {
        Self { body, unread: VecDeque::new(), back: None, stream: Some(stream), own: None, in_flight: Some(in_flight) }
    }

    pub(super) fn of_websocket(
        body: Incoming,
        sender: http2::SendRequest<Outgoing>,
        line: Arc<Line>,
        in_flight: InFlight,
    ) -> Self {
        let own = Some((sender, line));
        Self { body, unread: VecDeque::new(), back: None, stream: None, own, in_flight: Some(in_flight) }
    }

    /// Ends what the answer opened without a word, where it has a connection of its own.
    pub fn cut(&self) {
        if let Some((_, line)) = &self.own {
            line.cut();
        }
    }

    /// Gives back what was read of it, in order: whoever reads it next begins with that.
    pub fn put_back(&mut self, read: VecDeque<Frame<Bytes>>) {
        self.unread = read;
    }

    /// Whether it came on a stream of HTTP/2.
    fn is_stream(&self) -> bool {
        self.stream.is_some() || self.own.is_some()
    }

    fn finish(&mut self) {
        if let Some((pool, connection)) = self.back.take() {
            pool.put_back(connection);
        }
        self.stream = None;
        self.in_flight = None;
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(frame) = self.unread.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                // With a known length the last frame is the end: the connection goes back while the client still reads.
                if self.body.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.back = None;
                Poll::Ready(Some(Err(Fault::Cut)))
            }
            // A reset that says NO_ERROR is no end to whoever has not heard one (RFC 9113 §8.1): the library stops reading then
            // as if it were.
            Poll::Ready(None) if self.is_stream() && !self.body.is_end_stream() => Poll::Ready(Some(Err(Fault::Cut))),
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unread.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.unread.iter().filter_map(|frame| frame.data_ref()).map(|data| data.len() as u64).sum::<u64>();
        let left = self.body.size_hint();
        left.exact().map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + read))
    }
}
