//! Official clients, as customers run them, against a real node, while regions die.
//!
//! The programs are in `python/` and `node/`, short and with the libraries' defaults; `install` puts what they need
//! into `target/clients`, and without it these tests say so and pass. A program says what it sees line by line, so that
//! a region dies exactly then.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

#[path = "../harness/mod.rs"]
mod harness;
mod curl;
mod drain;
mod grpc;
mod mcp;
mod openai;
mod pace;
mod program;
mod sockets;
mod truncation;
mod wire;
