//! What the side-by-side benchmarks share: processes pinned to cores, what they used, and the table made of it.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod machine;
pub mod measured;
pub mod process;
pub mod report;
