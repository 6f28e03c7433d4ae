//! anyfront: the front door that sends every request to the nearest healthy region.
//!
//! The modules in floor order: each may use only those declared before it. `tests/tidy.rs` holds them to it.

pub mod moment;
pub mod shutdown;
pub mod accept;
pub mod limits;
pub mod secret;
pub mod names;
pub mod dnssec;
pub mod sse;
pub mod geo;
pub mod client;
pub mod topology;
pub mod nat;
pub mod health;
pub mod load;
pub mod snapshot;
pub mod steering;
pub mod control;
pub mod residency;
pub mod counters;
pub mod headroom;
pub mod history;
pub mod access_log;
pub mod tls;
pub mod fetch;
pub mod spans;
pub mod upstream;
pub mod subscriptions;
pub mod probe;
pub mod dns;
pub mod front;
pub mod acme;
pub mod status;
pub mod reload;
pub mod node;
pub mod lab;
pub mod sim;
pub mod cli;
