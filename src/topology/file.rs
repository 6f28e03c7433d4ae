//! regions.toml as written.
