//! Tells when files change: by their folders, because editors and deployments replace files and switch links.

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest wait for the end of changes: a folder in which something always happens must not keep us from looking.
const RESTLESS_MAX: Duration = Duration::from_secs(2);

/// Follows files, and folders with all that is in them.
#[derive(Debug)]
pub struct Watch {
    watcher: notify::Result<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    watched: Arc<ArcSwap<Watched>>,
    touched: mpsc::Receiver<()>,
}

/// What matters.
#[derive(Debug, Default)]
struct Watched {
    names: BTreeSet<OsString>,
    folders: BTreeSet<PathBuf>,
}

impl Watched {
    fn concerns(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.names.contains(name))
            || path.parent().is_some_and(|folder| self.folders.contains(folder))
            // A link to another folder is switched beside the file (as Kubernetes does), so any name may matter.
            || path.is_symlink()
    }
}

impl Watch {
    /// Follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (touch, touched) = mpsc::channel(1);
        let watched = Arc::<ArcSwap<Watched>>::default();
        let seen = Arc::clone(&watched);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let watched = seen.load();
            let concerns_us = |event: notify::Event| {
                !event.kind.is_access() && event.paths.iter().any(|changed| watched.concerns(changed))
            };
            if event.is_ok_and(concerns_us) {
                // A full queue already says the same.
                let _ = touch.try_send(());
            }
        });
        Self { watcher, folders: BTreeSet::new(), watched, touched }
    }

    /// Follows these files and these folders, and nothing else. What cannot be followed is told once, with what helps.
    pub fn follow(&mut self, files: &[&Path], folders: &[PathBuf]) {
        let here = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
        let names = files.iter().filter_map(|file| file.file_name()).map(OsString::from).collect();
        let parents = files.iter().filter_map(|file| file.parent()).map(here);
        let folders: BTreeSet<PathBuf> = folders.iter().map(|folder| here(folder)).collect();
        let all: BTreeSet<PathBuf> = parents.chain(folders.iter().cloned()).collect();
        self.watched.store(Arc::new(Watched { names, folders }));
        let told = |path: &Path, error: &notify::Error| {
            tracing::warn!(%error, "{} is not watched for changes: SIGHUP applies them", path.display());
        };
        match &mut self.watcher {
            Ok(watcher) => {
                for gone in self.folders.difference(&all) {
                    let _ = watcher.unwatch(gone);
                }
                for new in all.difference(&self.folders) {
                    if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                        told(new, &error);
                    }
                }
            }
            Err(error) => all.difference(&self.folders).for_each(|new| told(new, error)),
        }
        self.folders = all;
    }

    /// Waits until something has changed and then nothing for `quiet`: files are written in several steps. If it is dropped
    /// meanwhile, the change is forgotten.
    pub async fn changed(&mut self, quiet: Duration) {
        if self.touched.recv().await.is_none() {
            // Nobody watches.
            return std::future::pending().await;
        }
        let settled = async { while let Ok(Some(())) = tokio::time::timeout(quiet, self.touched.recv()).await {} };
        let _ = tokio::time::timeout(RESTLESS_MAX.max(quiet), settled).await;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
