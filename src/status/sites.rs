//! What a node shows of the sites.

use super::view::seconds;
use crate::health::sites::{SiteState, Standing};
use crate::moment::Moment;
use crate::snapshot::Snapshot;
use crate::topology::Site;
use serde::{Deserialize, Serialize};

/// A site, as seen from another or from itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteView {
    /// What it is called.
    pub name: String,
    /// `here`, `shared`, `unknown`, `up`, `draining` or `down`.
    pub standing: String,
    /// How it fails, if it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For how long, seconds.
    pub since_s: f64,
    /// Whether DNS leaves it out of its answers.
    pub left_out: bool,
}

impl SiteView {
    /// All sites, where DNS answers with them; otherwise nobody has asked, and there is nothing to show.
    pub(super) fn all(snapshot: &Snapshot, now: Moment) -> Vec<Self> {
        if snapshot.topology.site_hostname().is_none() {
            return Vec::new();
        }
        let sites = snapshot.topology.sites.iter().zip(&snapshot.sites);
        let view = |(site, state): (&Site, &SiteState)| Self {
            name: site.name.to_string(),
            standing: state.standing.as_str().to_owned(),
            reason: match state.standing {
                Standing::Down(fault) => Some(fault.to_string()),
                _ => None,
            },
            since_s: seconds(now.since(state.since)),
            left_out: state.is_left_out,
        };
        sites.map(view).collect()
    }

    /// Whether another site is asked how it is.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !matches!(&*self.standing, "here" | "shared")
    }
}
