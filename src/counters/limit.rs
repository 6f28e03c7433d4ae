//! Limits of the doors that strangers press, as they are counted.

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`CONNECTIONS_MAX`](crate::limits::CONNECTIONS_MAX): a connection was closed at once.
    Connections,
    /// [`HANDSHAKES_MAX`](crate::limits::HANDSHAKES_MAX) and per prefix: a handshake made room for others.
    Handshakes,
    /// [`HEADER_BYTES_MAX`](crate::limits::HEADER_BYTES_MAX), fields and lines: a request was refused.
    Head,
    /// What the node itself takes of a body: a request was refused.
    BodySize,
    /// [`BODY_RATE_MIN`](crate::limits::BODY_RATE_MIN): a body came too slowly.
    BodyRate,
    /// [`REPLAY_REQUEST_BYTES_MAX`](crate::limits::REPLAY_REQUEST_BYTES_MAX) and of the process: a body cannot be repeated.
    Replay,
    /// [`RESETS_MAX`](crate::limits::RESETS_MAX): a client was told to go.
    Resets,
    /// [`CONTROL_FRAMES_BURST_MAX`](crate::limits::CONTROL_FRAMES_BURST_MAX): the same.
    ControlFrames,
    /// [`NARROW_STREAMS_MAX`](crate::limits::NARROW_STREAMS_MAX): the same.
    NarrowStreams,
    /// [`WINDOW_STALL_MAX`](crate::limits::WINDOW_STALL_MAX) inside a frame: the same.
    Stuck,
}

impl Limit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Connections,
        Self::Handshakes,
        Self::Head,
        Self::BodySize,
        Self::BodyRate,
        Self::Replay,
        Self::Resets,
        Self::ControlFrames,
        Self::NarrowStreams,
        Self::Stuck,
    ];

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::Head => "head",
            Self::BodySize => "body_size",
            Self::BodyRate => "body_rate",
            Self::Replay => "replay",
            Self::Resets => "http2_resets",
            Self::ControlFrames => "http2_control_frames",
            Self::NarrowStreams => "http2_narrow_streams",
            Self::Stuck => "http2_stuck",
        }
    }

    /// The limit that a refusal with this word for programs speaks of, if it is one.
    #[must_use]
    pub fn told_by(code: &str) -> Option<Self> {
        match code {
            "head_too_large" => Some(Self::Head),
            "body_too_large" => Some(Self::BodySize),
            "body_too_slow" => Some(Self::BodyRate),
            _ => None,
        }
    }
}
