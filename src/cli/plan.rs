//! A configuration without a node: what it would do, asked offline.
//!
//! The snapshot is made by `control` and the answers by `steer`, as in a node; only the standings are assumed.

use super::admin::printable;
use crate::control::Control;
use crate::geo::database::Locator;
use crate::health::{Reason, Standing};
use crate::limits::TOPOLOGY_BYTES_MAX;
use crate::moment::Moment;
use crate::snapshot::Snapshot;
use crate::topology::Topology;
use crate::topology::read::nearest;
use anyhow::{Context, bail};
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Reads a configuration; `-` is standard input.
///
/// # Errors
/// If it cannot be read, is no text, or is far too long.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    // One octet more than is taken, so that `check` sees that it is too long.
    let limit = TOPOLOGY_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        let named = || format!("{} cannot be read", path.display());
        let file = std::fs::File::open(path).with_context(named)?;
        file.take(limit).read_to_end(&mut bytes).with_context(named)?;
    }
    String::from_utf8(bytes).map_err(|error| {
        let (at, valid) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let line = valid[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("{}: line {line} is no UTF-8 text", path.display())
    })
}

/// The snapshot of a node at `site` that believes every region to be up, except those in `down`.
///
/// # Errors
/// If there is no such site or region, it is not said which site is meant, or the geo database cannot be used.
pub fn assume(topology: Topology, site: Option<&str>, down: &[String]) -> anyhow::Result<Snapshot> {
    let site = match site {
        None => &topology.sites[0],
        Some(name) => {
            let found = topology.sites.iter().find(|site| site.name.as_str() == name);
            found.with_context(|| {
                let known: Vec<&str> = topology.sites.iter().map(|site| site.name.as_str()).collect();
                format!("there is no site {name:?}; there are {}", known.join(", "))
            })?
        }
    };
    for name in down {
        if topology.region_named(name).is_none() {
            let known = || topology.regions.iter().map(|region| region.name.as_str());
            let meant = nearest(name, known())
                .map_or_else(|| known().collect::<Vec<_>>().join(", "), |meant| format!("did you mean {meant}?"));
            bail!("there is no region {:?} to be down; {meant}", printable(name));
        }
    }
    let locator = Locator::open(topology.geo.places.clone(), topology.geo.database.as_deref())?;
    let here = site.clone();
    let mut control = Control::new(Moment::ZERO, Arc::new(topology), Arc::new(locator), here, Arc::from([]));
    let (snapshot, _) = control.advance(Moment::ZERO, Duration::ZERO).expect("the first snapshot is always new");
    drop(control);
    let mut snapshot = Arc::try_unwrap(snapshot).expect("only control had another");
    let is_down = |name: &str| down.iter().any(|down| down == name);
    for (region, state) in snapshot.topology.regions.iter().zip(&mut snapshot.regions) {
        state.standing = if is_down(region.name.as_str()) { Standing::Down } else { Standing::Up };
        state.reason = Reason::Assumed;
    }
    for (endpoint, state) in snapshot.topology.endpoints.iter().zip(&mut snapshot.endpoints) {
        state.standing = snapshot.regions[endpoint.region.at()].standing;
        // It is not asked, so nothing about it is in doubt.
        state.probes.clear();
        state.reason = Reason::Assumed;
    }
    // Nor is a site.
    snapshot.sites.iter_mut().for_each(|state| state.pace = None);
    Ok(snapshot)
}

/// Whether to use colours on standard output: a terminal, and nobody said no (`NO_COLOR`, <https://no-color.org>).
#[must_use]
pub fn may_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How wide a page may be: what `COLUMNS` or the terminal says, else 100.
#[must_use]
pub fn columns() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
    let seen = || ratatui::crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns));
    let terminal = || if std::io::stdout().is_terminal() { seen() } else { None };
    told.or_else(terminal).unwrap_or(100).clamp(40, 240)
}

/// Writes to standard output. A reader that went away (`| head`) has seen enough.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}
