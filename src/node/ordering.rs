//! Joins the ordering of certificates with our own DNS, which shows the challenges, and with TLS, which shows what came.

use super::Common;
use crate::acme::schedule::Pace;
use crate::acme::store::Store;
use crate::acme::{self, Challenges};
use crate::moment::mix;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::watch;

impl Common {
    /// Starts ordering as the file says, now and whenever it changes. `dns` is one of our own addresses.
    pub(super) fn start_ordering(
        &self,
        runtime: &Runtime,
        (state_dir, dns): (&Path, Option<&SocketAddr>),
        challenges: Challenges,
        ending: &watch::Receiver<bool>,
    ) {
        let parts = acme::Parts {
            store: Store::in_state(state_dir),
            challenges,
            dns: dns.copied(),
            changed: Arc::clone(&self.reread),
            pace: Pace::DEFAULT,
            clock: self.clock,
            seed: mix(self.seed),
        };
        let ordering = acme::run(parts, self.published.clone(), ending.clone());
        self.watch(runtime, "ordering certificates", Box::pin(ordering), ending.clone());
    }
}
