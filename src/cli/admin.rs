//! The client of a node's admin address.
