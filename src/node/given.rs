//! What a node is started with, read and proven: its file, its place, and what it believes at first.

use super::StartError;
use crate::control::{self, Control};
use crate::geo::database::{GeoError, Locator};
use crate::moment::Clock;
use crate::names::Label;
use crate::reload::tls::Papers;
use crate::snapshot::Published;
use crate::status::drains::Drains;
use crate::topology::check::check;
use crate::topology::{Site, Topology};
use std::path::Path;
use std::sync::Arc;

/// The file, proven.
pub(super) fn read_topology(path: &Path) -> Result<Topology, StartError> {
    let source = std::fs::read_to_string(path).map_err(|source| StartError::Read { path: path.to_owned(), source })?;
    let checked = check(&source, path).map_err(|mistakes| StartError::Config(Box::new(mistakes)))?;
    if !checked.warnings.is_empty() {
        tracing::warn!("the configuration has warnings:\n{}", checked.warnings);
    }
    Ok(checked.topology)
}

/// What is believed before anybody was asked.
pub(super) fn believe(
    topology: Topology,
    here: Site,
    drains: &Drains,
    papers: &Papers,
    clock: Clock,
) -> Result<(Control, Published), GeoError> {
    let locator = Locator::open(topology.geo.places.clone(), topology.geo.database.as_deref())?;
    let now = clock.now();
    let mut control = Control::new(now, Arc::new(topology), Arc::new(locator), here, drains.overrides());
    control.apply(now, control::Event::Certified { certificates: papers.report() });
    let (first, _) = control.advance(now, clock.wall()).expect("the first snapshot is always new");
    Ok((control, Published::new(first)))
}

/// Where this node stands.
pub(super) fn site(topology: &Topology, wanted: Option<&Label>) -> Result<Site, StartError> {
    let names = || topology.sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, topology.sites.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(StartError::Site(format!("which site is this? --site says it; the file has {}", names()))),
        (Some(wanted), sites) => sites.iter().find(|site| site.name == *wanted).cloned().ok_or_else(|| {
            StartError::Site(format!("--site {wanted}: the file has no such [[site]]; it has {}", names()))
        }),
    }
}
