//! Who asked to be told is told, once and in order, and nobody else is: with a real mail server and real webhooks.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/directory.rs"]
mod directory;
#[path = "../common/exim.rs"]
mod exim;
#[path = "../common/needs.rs"]
mod needs;
#[path = "../common/pebble.rs"]
mod pebble;
#[path = "../common/tls.rs"]
mod tls;
mod desk;
mod mails;
mod outages;
mod stand;
mod webhooks;
