//! Reads certificates, keys and the fleet's secret again when they change, or when somebody asks.
//!
//! What is good of the new is in force for the next handshake; what is not leaves the old one in force and is told to
//! `control`, so that the log, the metrics and the admin address show it until it is mended. Connections that are open
//! notice nothing.

use super::watch::Watch;
use crate::control::Event;
use crate::moment::Clock;
use crate::secret::Secret;
use crate::shutdown::requested;
use crate::snapshot::{CertificateInForce, CertificateReport, Published};
use crate::tls::certificates::{Certificates, Sources};
use crate::tls::identity::Identity;
use crate::tls::pair::remark_on_mode;
use crate::topology::Topology;
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;
use zeroize::Zeroizing;

/// Files are read when they have not been touched for this long.
const QUIET: Duration = Duration::from_millis(50);
/// What looks worse than before is read once more after this: perhaps only the chain was there, and not yet its key.
const SETTLE: Duration = Duration::from_secs(1);
/// Everything is read again so often all the same: for file systems that tell of no changes, and because staples end.
const AGAIN: Duration = Duration::from_secs(60);

/// Where a node's secrets are, and what was read there.
#[derive(Debug)]
pub struct Papers {
    /// Where the certificates are.
    pub sources: Sources,
    /// Where the fleet's secret is, if it has one.
    pub secret_file: Option<PathBuf>,
    /// The secret in force.
    pub secret: Arc<ArcSwap<Secret>>,
    /// What we are to TLS clients, if to any.
    pub identity: Option<Arc<ArcSwap<Identity>>>,
    /// What was read.
    pub known: Known,
}

/// What was read, at one time.
#[derive(Clone, Debug, Default)]
pub struct Known {
    certificates: Arc<Certificates>,
    secret_digest: Vec<u8>,
    problems: Vec<String>,
    remarks: Vec<String>,
}

/// Why papers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PapersError {
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] crate::tls::pair::CertificateError),
    /// The secret.
    #[error("--secret-file {}: {why}", path.display())]
    Secret {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Papers {
    /// Reads everything for the first time. `topology` says whom clients' certificates are signed by.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn read(
        sources: Sources,
        secret_file: Option<PathBuf>,
        topology: &Topology,
        clock: Clock,
    ) -> Result<Self, PapersError> {
        let mut known = Known::default();
        let mut secret = Secret::random();
        if let Some(path) = &secret_file {
            let read = SecretFile::read(path).map_err(|why| PapersError::Secret { path: path.clone(), why })?;
            (secret, known.secret_digest) = (read.secret, read.digest);
            known.remarks.extend(read.remark);
        }
        let mut identity = None;
        if !sources.are_none() {
            known.certificates = Arc::new(Certificates::read(&sources, clock.wall())?);
            known.remarks.extend(known.certificates.all.iter().flat_map(|one| one.remarks.clone()));
            known.problems.extend(none_yet(&known.certificates));
            let first = Identity::new(&known.certificates, &secret, topology, clock);
            identity = Some(Arc::new(ArcSwap::from_pointee(first)));
        }
        known.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        Ok(Self { sources, secret_file, secret: Arc::new(ArcSwap::from_pointee(secret)), identity, known })
    }

    /// For people and metrics.
    #[must_use]
    pub fn report(&self) -> Arc<CertificateReport> {
        let in_force = self.known.certificates.all.iter().map(|one| CertificateInForce {
            file: one.path.display().to_string(),
            names: one.names.written().collect(),
            not_after: one.not_after,
        });
        let (problems, remarks) = (self.known.problems.clone(), self.known.remarks.clone());
        Arc::new(CertificateReport { in_force: in_force.collect(), problems, remarks })
    }

    /// Everything as it is now; of the secret only if it differs.
    fn read_again(&self, wall: Duration) -> (Known, Option<Secret>) {
        let mut known = self.known.clone();
        (known.problems, known.remarks) = (Vec::new(), Vec::new());
        let mut secret = None;
        match self.secret_file.as_deref().map(|path| (path, SecretFile::read(path))) {
            None => {}
            Some((_, Ok(read))) => {
                known.remarks.extend(read.remark);
                if read.digest != known.secret_digest {
                    (secret, known.secret_digest) = (Some(read.secret), read.digest);
                }
            }
            Some((path, Err(why))) => known.problems.push(format!("{}: {why}", path.display())),
        }
        if self.identity.is_some() {
            let (certificates, problems) = self.known.certificates.read_again(&self.sources, wall);
            known.problems.extend(problems.iter().map(ToString::to_string));
            known.problems.extend(none_yet(&certificates));
            if !certificates.are_same_as(&self.known.certificates) {
                known.certificates = Arc::new(certificates);
            }
            known.remarks.extend(known.certificates.all.iter().flat_map(|one| one.remarks.clone()));
        }
        (known, secret)
    }

    /// Whether something is wrong or gone that was not: perhaps only half of a change is there.
    fn is_worse(&self, new: &Known) -> bool {
        new.problems.iter().any(|problem| !self.known.problems.contains(problem))
            || new.certificates.have_lost_of(&self.known.certificates)
    }

    /// Puts it in force. Whether anything differs.
    fn apply(&mut self, known: Known, secret: Option<Secret>, topology: &Topology, clock: Clock) -> bool {
        for problem in known.problems.iter().filter(|problem| !self.known.problems.contains(problem)) {
            tracing::error!("{problem}: what was good of it before stays in force");
        }
        for remark in known.remarks.iter().filter(|remark| !self.known.remarks.contains(remark)) {
            tracing::warn!("{remark}");
        }
        let is_new = !Arc::ptr_eq(&known.certificates, &self.known.certificates);
        let differs = is_new || known.problems != self.known.problems || known.remarks != self.known.remarks;
        let is_secret_new = secret.is_some();
        if let Some(secret) = secret {
            tracing::info!("the secret is applied");
            self.secret.store(Arc::new(secret));
        }
        self.known = known;
        if is_new {
            tracing::info!("{} certificates are applied", self.known.certificates.all.len());
        }
        if is_new || is_secret_new {
            self.identify(topology, clock);
        }
        differs
    }

    /// What we are to clients from now on.
    fn identify(&self, topology: &Topology, clock: Clock) {
        let Some(identity) = &self.identity else { return };
        let new = Identity::new(&self.known.certificates, &self.secret.load(), topology, clock);
        for hostname in new.closed() {
            tracing::error!(%hostname, "client_ca of {hostname} holds no authority that could be used: nobody gets in");
        }
        identity.store(Arc::new(new));
    }

    fn follow(&self, watch: &mut Watch) {
        let pairs = self.sources.pairs.iter().flat_map(|(certificate, key)| [&**certificate, &**key]);
        let files: Vec<&Path> = pairs.chain(self.secret_file.as_deref()).collect();
        watch.follow(&files, &self.sources.folders);
    }
}

/// What there is to say while there is no certificate: only ordering may begin without one.
fn none_yet(certificates: &Certificates) -> Option<String> {
    let none = certificates.all.is_empty();
    none.then(|| "no certificate yet: TLS clients are turned away until the one that [acme] orders is there".to_owned())
}

/// A secret and what is known of its file.
struct SecretFile {
    secret: Secret,
    digest: Vec<u8>,
    remark: Option<String>,
}

impl SecretFile {
    fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot be read: {error}");
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        let secret = Secret::parse(&text).map_err(|error| error.to_string())?;
        let digest = digest(&SHA256, text.as_bytes()).as_ref().to_vec();
        Ok(Self { secret, digest, remark: remark_on_mode(path, mode) })
    }
}

/// Follows the files until `shutdown`: when their folders change, when `asked`, and now and then. Whom clients'
/// certificates are signed by follows the snapshot.
pub async fn run(
    mut papers: Papers,
    published: Published,
    events: mpsc::Sender<Event>,
    clock: Clock,
    asked: Arc<Notify>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut watch = Watch::new();
    papers.follow(&mut watch);
    // A change is not forgotten because something else came first.
    let mut changes = pin!(unfold(watch, |mut watch| async move {
        watch.changed(QUIET).await;
        Some(((), watch))
    }));
    let mut again = tokio::time::interval(AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bell = published.subscribe();
    let mut topology = Arc::clone(&published.load().topology);
    papers.identify(&topology, clock);
    loop {
        tokio::select! {
            () = requested(&mut shutdown) => return,
            changed = bell.changed() => {
                if changed.is_err() {
                    return;
                }
                let newest = Arc::clone(&published.load().topology);
                if !Arc::ptr_eq(&newest, &topology) {
                    topology = newest;
                    papers.identify(&topology, clock);
                }
                continue;
            }
            _ = changes.next() => {}
            () = asked.notified() => {}
            _ = again.tick() => {}
        }
        let (papers_now, differs) = read_and_apply(papers, Arc::clone(&topology), clock).await;
        papers = papers_now;
        if differs && events.send(Event::Certified { certificates: papers.report() }).await.is_err() {
            return;
        }
    }
}

/// Reads everything, once more if it looks worse than before, and puts it in force.
async fn read_and_apply(papers: Papers, topology: Arc<Topology>, clock: Clock) -> (Papers, bool) {
    let read = |papers: Papers| async move {
        // Many keys take a while to prove; probes share this runtime.
        let reading = tokio::task::spawn_blocking(move || {
            let read = papers.read_again(clock.wall());
            (papers, read)
        });
        reading.await.expect("reading never panics")
    };
    let (papers, first) = read(papers).await;
    let (mut papers, (known, secret)) = if papers.is_worse(&first.0) {
        tokio::time::sleep(SETTLE).await;
        read(papers).await
    } else {
        (papers, first)
    };
    let differs = papers.apply(known, secret, &topology, clock);
    (papers, differs)
}
