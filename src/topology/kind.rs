//! What kinds of probes there are, as the file names them.

use super::read::{Word, Wrong};
use super::words::words;
use serde_json::{Value as Json, json};

/// What a probe does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens a connection.
    Tcp,
    /// Sends a GET.
    Http,
    /// Opens a stream of a model.
    Token,
    /// Calls an MCP server.
    Mcp,
    /// Asks gRPC's health service.
    Grpc,
}

impl Kind {
    /// The word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Token => "token",
            Self::Mcp => "mcp",
            Self::Grpc => "grpc",
        }
    }
}

words!("\"http\", \"tcp\", \"token\", \"mcp\" or \"grpc\"": Kind {
    "http" => Self::Http,
    "tcp" => Self::Tcp,
    "token" => Self::Token,
    "mcp" => Self::Mcp,
    "grpc" => Self::Grpc,
});
