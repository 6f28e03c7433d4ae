//! Reads `regions.toml` again when it changes.
