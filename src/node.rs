//! Binds, starts, watches and stops the tasks of one node.
//!
//! The data plane is one thread per worker, each a current-thread runtime with its own listeners and its own pool, so
//! that a request never changes core. The control plane is one small runtime of its own. They meet in the snapshot
//! pointer, in counters and in bounded channels only.

use crate::counters::Counters;
use crate::names::Label;
use crate::snapshot::Published;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What differs per node.
#[derive(Clone, Debug)]
pub struct Options {
    /// `regions.toml`.
    pub config: PathBuf,
    /// Which site this node is; may be left out where there is one.
    pub site: Option<Label>,
    /// Where HTTP/1.1 is taken in the clear; port 0 is any.
    pub http: Vec<SocketAddr>,
    /// Where HTTPS is taken.
    pub https: Vec<SocketAddr>,
    /// Where operators are served.
    pub admin: Vec<SocketAddr>,
    /// Where drains and the audit log are kept.
    pub state_dir: PathBuf,
    /// Workers of the data plane.
    pub workers: usize,
    /// PEM pairs: certificate chain and key.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// Folders of PEM pairs.
    pub certificate_folders: Vec<PathBuf>,
    /// The token that admin requests must carry; without it admin addresses must be loopback.
    pub admin_token_file: Option<PathBuf>,
    /// From "not ready" to the end of accepting.
    pub drain_time: Duration,
    /// From the end of accepting to the end of what still runs.
    pub grace: Duration,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not written yet.
    #[error("not there yet")]
    Unfinished,
}

/// A running node. Dropping it does not stop it; [`Node::stop`] does.
#[derive(Debug)]
pub struct Node {
    /// The bound HTTP addresses, in the order asked for.
    pub http: Vec<SocketAddr>,
    /// The bound HTTPS addresses.
    pub https: Vec<SocketAddr>,
    /// The bound admin addresses.
    pub admin: Vec<SocketAddr>,
    /// What the node believes.
    pub published: Published,
    /// What it has counted.
    pub counters: Counters,
}

impl Node {
    /// Binds everything, then starts everything.
    ///
    /// # Errors
    /// What stands in the way, with its name and place.
    pub fn start(_options: Options) -> Result<Self, StartError> {
        Err(StartError::Unfinished)
    }

    /// Has the file read again now, as SIGHUP does.
    pub fn reload(&self) {}

    /// Stops in order: not ready, wait the drain time, stop accepting, finish within the grace period. Blocks.
    pub fn stop(self) {}
}
