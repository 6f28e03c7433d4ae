//! What the admin address says of DNS, by functions that `node` hands it: doors know nothing of each other.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is asked about an answer of DNS.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which name, as somebody typed it.
    pub name: String,
    /// For which client.
    pub client: Option<IpAddr>,
    /// By which resolver.
    pub resolver: Option<IpAddr>,
}

/// What is told about it.
#[derive(Clone, Debug)]
pub struct Told {
    /// For programs.
    pub json: Value,
    /// For people.
    pub text: String,
}

/// Explains an answer; or a status and a sentence why not.
type Explain = dyn Fn(&Asked) -> Result<Told, (u16, String)> + Send + Sync;
/// Shows the zone, by the wall clock; nothing without one.
type Show = dyn Fn(Duration) -> Option<ZoneView> + Send + Sync;

/// Who knows DNS.
#[derive(Clone)]
pub struct Dns {
    explain: Arc<Explain>,
    zone: Arc<Show>,
}

impl Dns {
    /// Asks these.
    pub fn new(
        explain: impl Fn(&Asked) -> Result<Told, (u16, String)> + Send + Sync + 'static,
        zone: impl Fn(Duration) -> Option<ZoneView> + Send + Sync + 'static,
    ) -> Self {
        Self { explain: Arc::new(explain), zone: Arc::new(zone) }
    }

    /// Why DNS answers what it answers.
    ///
    /// # Errors
    /// A status and a sentence.
    pub fn explain(&self, asked: &Asked) -> Result<Told, (u16, String)> {
        (self.explain)(asked)
    }

    /// The zone that is answered for, if there is one.
    #[must_use]
    pub fn zone(&self, wall: Duration) -> Option<ZoneView> {
        (self.zone)(wall)
    }
}

impl Default for Dns {
    /// Nobody: there is no zone.
    fn default() -> Self {
        Self::new(|_| Err((404, NO_ZONE.to_owned())), |_| None)
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}

/// What is said where nothing can be asked.
pub const NO_ZONE: &str = "nothing is answered by DNS: the configuration has no [zone]";

/// The zone, as it is answered at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZoneView {
    /// Where it begins.
    pub apex: String,
    /// Of which snapshot it was made.
    pub generation: u64,
    /// How many names it has.
    pub names: usize,
    /// Whether it is signed.
    pub signed: bool,
    /// How long the signatures are still good, seconds.
    pub signatures_left_s: Option<f64>,
    /// Its keys.
    pub keys: Vec<ZoneKeyView>,
    /// When what the keys do changes by itself, seconds from now; nothing: not until somebody takes a step.
    pub keys_change_in_s: Option<f64>,
}

/// A key of the zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ZoneKeyView {
    /// Its tag.
    pub tag: u16,
    /// Its algorithm.
    pub algorithm: String,
    /// Whether validators are told of it.
    pub published: bool,
    /// Whether it signs the keys.
    pub signs_keys: bool,
    /// Whether it signs everything else.
    pub signs_zone: bool,
}
