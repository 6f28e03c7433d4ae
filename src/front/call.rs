//! The answer to a gRPC call under way, and how it ends when the region does not end it: with trailers of ours, which
//! HTTP/2 takes after any frame, and never as if all were well.

use super::grpc::{Status, ending};
use crate::moment::{Clock, Moment};
use bytes::Bytes;
use http_body::Frame;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Sleep;

/// What we know of a call besides its frames.
#[derive(Debug)]
pub struct Call {
    /// When the caller's time is up.
    deadline: Option<Moment>,
    alarm: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl Call {
    /// A call whose answer has begun.
    #[must_use]
    pub fn until(deadline: Option<Moment>) -> Self {
        Self { deadline, alarm: None, is_over: false }
    }

    /// Whether we have ended it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ready when the caller's time is up.
    pub fn poll_late(&mut self, cx: &mut Context<'_>, clock: Clock) -> Poll<Frame<Bytes>> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(clock.instant(deadline))));
        match alarm.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(self.end(Status::DeadlineExceeded, "the call's own time is up; it is being processed"))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// The last frame: the region is gone.
    pub fn lost(&mut self) -> Frame<Bytes> {
        self.end(Status::Unavailable, "the region was lost inside its answer; the call may have been processed")
    }

    fn end(&mut self, status: Status, message: &str) -> Frame<Bytes> {
        self.is_over = true;
        Frame::trailers(ending(status, message))
    }
}
