//! What goes to an endpoint.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

/// Why a request's body could not be sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingError {
    /// The client went away, or broke the protocol.
    Client,
    /// The client was too slow.
    TooSlow,
}

impl fmt::Display for OutgoingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client ended its request early",
            Self::TooSlow => "the client sent its request too slowly",
        })
    }
}

impl Error for OutgoingError {
    /// By HTTP/2 this is why the endpoint's stream is reset: nobody wants the answer any more (RFC 9113 §7).
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        static CANCELLED: LazyLock<h2::Error> = LazyLock::new(|| h2::Reason::CANCEL.into());
        Some(&*CANCELLED)
    }
}

/// A request's body on its way to an endpoint.
#[derive(Default)]
pub enum Outgoing {
    /// There is none.
    #[default]
    Empty,
    /// It comes from somewhere.
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = OutgoingError> + Send>>),
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = OutgoingError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OutgoingError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
