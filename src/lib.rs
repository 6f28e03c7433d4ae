//! anyfront: the front door that sends every request to the nearest healthy region.
//!
//! The modules in floor order: each may use only those declared before it. `tests/tidy.rs` holds them to it.

pub mod moment;
pub mod limits;
pub mod names;
pub mod geo;
pub mod topology;
