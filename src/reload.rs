//! Reads `regions.toml` again when it changes or somebody asks: proven whole, or refused whole.
//!
//! What was in force stays in force until a version without mistakes is there; what is wrong is told to `control`, so
//! that the log, the metrics and the admin address show it until it is mended.

pub mod tls;
pub mod watch;

use crate::control::Event;
use crate::geo::database::Locator;
use crate::names::Label;
use crate::shutdown::requested;
use crate::snapshot::Published;
use crate::topology::Topology;
use crate::topology::check::check;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::sync::{Notify, mpsc};
use watch::Watch;

/// A file is read when it has not been touched for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(20);

/// Follows the file at `path` and those it names until `shutdown`: when their folders change, and when `asked` (SIGHUP,
/// an operator). Asked, it reads all of them even if nothing differs, and has `others` read theirs.
pub async fn run(
    path: PathBuf,
    published: Published,
    events: mpsc::Sender<Event>,
    mut asked: mpsc::Receiver<()>,
    others: Arc<Notify>,
    mut shutdown: Receiver<bool>,
) {
    let mut watch = Watch::new();
    let mut topology = Arc::clone(&published.load().topology);
    let mut is_refused = false;
    // What changed after the node had read it and before it was watched, nobody tells.
    let mut is_unseen = true;
    loop {
        follow(&mut watch, &path, &topology, is_refused);
        let is_asked = tokio::select! {
            () = requested(&mut shutdown) => return,
            asked = asked.recv() => match asked {
                Some(()) => true,
                None => return,
            },
            () = watch.changed(QUIET) => false,
            () = std::future::ready(()), if is_unseen => false,
        };
        is_unseen = false;
        if is_asked {
            others.notify_one();
        }
        let snapshot = published.load_full();
        let (path, old) = (path.clone(), Arc::clone(&snapshot));
        // A large database takes a while to read; probes share this runtime.
        let read = tokio::task::spawn_blocking(move || read_again(&path, &old.here.name, &old.locator)).await;
        let event = match read.expect("reading never panics") {
            Ok((proven, _)) if !is_asked && is_unchanged(&snapshot, &proven) => continue,
            Ok((proven, locator)) => {
                tracing::info!(digest = &proven.digest[..12], "the configuration is applied");
                topology = Arc::new(proven);
                is_refused = false;
                Event::Reloaded { topology: Arc::clone(&topology), locator: Arc::new(locator) }
            }
            Err(text) => {
                if snapshot.problem.as_ref().is_none_or(|problem| problem.text != text) {
                    tracing::error!("the configuration is refused, the last good one stays in force:\n{text}");
                }
                is_refused = true;
                Event::Rejected { text }
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn is_unchanged(snapshot: &crate::snapshot::Snapshot, topology: &Topology) -> bool {
    let known = &snapshot.topology;
    snapshot.problem.is_none() && known.digest == topology.digest && known.files == topology.files
}

/// The file, and the files that it names. While it is refused everything beside it may be what is missing.
fn follow(watch: &mut Watch, path: &Path, topology: &Topology, is_refused: bool) {
    let files: Vec<&Path> = std::iter::once(path).chain(topology.files.iter().map(|(named, _)| &**named)).collect();
    let folder = path.parent().filter(|_| is_refused).map(Path::to_owned);
    watch.follow(&files, folder.as_slice());
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
