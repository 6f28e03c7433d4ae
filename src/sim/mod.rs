//! THE SAME MACHINES WITHOUT SOCKETS: where clients are, and how far everything is.

pub mod cities;
pub mod distance;
