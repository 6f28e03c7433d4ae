//! What tests of DNS share: messages, clients, and name servers to compare with.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "this is how a test fails")]

pub mod endpoint;
pub mod keys;
pub mod message;
pub mod servers;
pub mod talk;
pub mod zone;
