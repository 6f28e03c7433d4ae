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
}

impl Call {
    /// A call whose answer has begun.
    #[must_use]
    pub fn until(deadline: Option<Moment>) -> Self {
        Self { deadline, alarm: None }
    }

    /// Ready when the caller's time is up.
    pub fn poll_late(&mut self, cx: &mut Context<'_>, clock: Clock) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(clock.instant(deadline))));
        alarm.as_mut().poll(cx)
    }

    /// The last frame when it is.
    #[must_use]
    pub fn late() -> Frame<Bytes> {
        Frame::trailers(ending(Status::DeadlineExceeded, "the call's own time is up inside its answer"))
    }

    /// The last frame when the region is gone.
    #[must_use]
    pub fn lost() -> Frame<Bytes> {
        let message = "the region was lost inside its answer; the call may have been processed";
        Frame::trailers(ending(Status::Unavailable, message))
    }
}
