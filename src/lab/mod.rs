//! A WHOLE WORLD ON LOOPBACK: stand-in regional gateways with real sockets and real faults.
//!
//! Part of the product (`anyfront lab`) and of its tests, which use the same code. A [`World`](world::World) has one
//! [`Standin`](standin::Standin) for each endpoint of a fleet, each on a loopback address of its own, and writes the
//! `regions.toml` with which a real node finds them. It knows nothing of how the node decides, and changes nothing but
//! its own stand-ins: what the node makes of their faults is the node's affair.
//!
//! Linux only: all of 127.0.0.0/8 is there without asking, and a full queue of a listener drops what comes.

pub mod fault;
pub mod logbook;
pub mod certificates;
mod door;
mod wire;
mod body;
mod openai;
mod mcp;
mod answers;
pub mod standin;
pub mod plan;
mod files;
pub mod world;
pub mod command;
