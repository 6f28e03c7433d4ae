//! Reads `regions.toml` again when it changes or somebody asks: proven whole, or refused whole.
//!
//! What was in force stays in force until a version without mistakes is there; what is wrong is told to `control`, so
//! that the log, the metrics and the admin address show it until it is mended.

use crate::control::Event;
use crate::geo::database::Locator;
use crate::names::Label;
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::topology::Topology;
use crate::topology::check::check;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A file is read when it has not been touched for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(20);

/// Follows the file at `path` until `shutdown`: when its folder changes, and when `asked` (SIGHUP, an operator). Asked,
/// it reads whatever the file names too, even if the file is the same.
pub async fn run(
    path: PathBuf,
    published: Published,
    events: mpsc::Sender<Event>,
    mut asked: mpsc::Receiver<()>,
    mut shutdown: watch::Receiver<bool>,
) {
    let (touch, mut touched) = mpsc::channel(1);
    // Held for as long as we run: dropping it ends the watch.
    let watcher = watch_folder(&path, touch);
    if let Err(error) = &watcher {
        tracing::warn!(%error, "{} is not watched for changes: SIGHUP applies them", path.display());
    }
    loop {
        let is_asked = tokio::select! {
            () = requested(&mut shutdown) => return,
            asked = asked.recv() => match asked {
                Some(()) => true,
                None => return,
            },
            Some(()) = touched.recv() => {
                tokio::time::sleep(QUIET).await;
                let _ = touched.try_recv();
                false
            }
        };
        let snapshot = published.load_full();
        let (path, old) = (path.clone(), Arc::clone(&snapshot));
        // A large database takes a while to read; probes share this runtime.
        let read = tokio::task::spawn_blocking(move || read_again(&path, &old.here.name, &old.locator)).await;
        let event = match read.expect("reading never panics") {
            Ok((topology, _)) if !is_asked && is_unchanged(&snapshot, &topology) => continue,
            Ok((topology, locator)) => {
                tracing::info!(digest = &topology.digest[..12], "the configuration is applied");
                Event::Reloaded { topology: Arc::new(topology), locator: Arc::new(locator) }
            }
            Err(text) => {
                if snapshot.problem.as_ref().is_none_or(|problem| problem.text != text) {
                    tracing::error!("the configuration is refused, the last good one stays in force:\n{text}");
                }
                Event::Rejected { text }
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn is_unchanged(snapshot: &crate::snapshot::Snapshot, topology: &Topology) -> bool {
    snapshot.problem.is_none() && snapshot.topology.digest == topology.digest
}

/// The folder and not the file: editors and deployments replace files.
fn watch_folder(path: &Path, touch: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let name = path.file_name().map(std::ffi::OsStr::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns_us = event.is_ok_and(|event| {
            !event.kind.is_access()
                // A link to another folder is switched beside the file (as Kubernetes does), so any name may matter.
                && event.paths.iter().any(|changed| changed.file_name().map(std::ffi::OsStr::to_owned) == name || changed.is_symlink())
        });
        if concerns_us {
            // A full queue already says the same.
            let _ = touch.try_send(());
        }
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// The file and what it names, proven; or every reason why not, for people.
fn read_again(path: &Path, site: &Label, locator: &Locator) -> Result<(Topology, Locator), String> {
    let source =
        std::fs::read_to_string(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let checked = check(&source, path).map_err(|mistakes| mistakes.render(false))?;
    let topology = checked.topology;
    if !topology.sites.iter().any(|known| known.name == *site) {
        return Err(format!("{}: has no [[site]] {site} any more, and this node is it", path.display()));
    }
    let locator =
        locator.reopen(topology.geo.places.clone(), topology.geo.database.as_deref()).map_err(|error| told(&error))?;
    Ok((topology, locator))
}

/// An error with everything that caused it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
