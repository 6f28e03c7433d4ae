//! Keeps what was counted of where requests were processed: a ledger that outlives the node, and signed summaries of each
//! day that has ended.
//!
//! Counting and serving go on whether or not anything can be kept: a full disk costs the memory of a restart, and is told.
//! No summary is ever replaced by one that says less.

use super::kept;
use crate::counters::Counters;
use crate::moment::Clock;
use crate::residency::day::Day;
use crate::residency::ledger::Ledger;
use crate::residency::seal::{self, DOCUMENT_BYTES_MAX, KEY_BYTES, PublicKey, Signer};
use crate::residency::shelf::Shelf;
use crate::secret::Secret;
use crate::shutdown::requested;
use crate::snapshot::{Published, Snapshot};
use aws_lc_rs::rand;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The folder in the state directory.
const FOLDER: &str = "residency";
/// The ledger in it.
const LEDGER: &str = "ledger.json";
/// The seed of the key of a node whose fleet has no secret.
const KEY: &str = "key";
/// What the keys of the fleet are derived for.
const PURPOSE: &str = "residency";
/// Largest ledger that is read, octets: 35 days of all hostnames at all regions of the largest file that are in use.
const LEDGER_BYTES_MAX: u64 = 64 << 20;
/// How often somebody looks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two times that the ledger is written: what a crash costs at most, and it is told as a gap.
const LOOKS_A_WRITE: u32 = 60;
/// Days of which files are kept, by how many there are and not by their date: a year and a month to fetch them.
const FILED_DAYS_MAX: usize = 400;
/// Summaries of one hostname and day that may stand beside each other, where none says all that another does.
const BESIDE_MAX: u32 = 20;

/// What is known, where it is kept, and what it is shown by.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: PathBuf,
    ledger: Ledger,
    may_write: bool,
    fleet_has_secret: bool,
    signer: Arc<Signer>,
    earlier: Arc<[PublicKey]>,
    /// The secret that the keys are of.
    secret: Option<Arc<Secret>>,
    filed: Arc<BTreeMap<Day, BTreeSet<String>>>,
    /// Why something is not kept.
    trouble: Option<Arc<str>>,
    /// Why the key is not kept.
    key_trouble: Option<Arc<str>>,
    /// Of the file that was looked at last, and on which day.
    followed: (Arc<str>, Day),
    shelf: watch::Sender<Option<Arc<Shelf>>>,
    finished: Option<oneshot::Sender<()>>,
}

/// What the keeper needs of the node.
pub(super) struct Sources {
    pub(super) published: Published,
    pub(super) counters: Counters,
    pub(super) secret: Arc<arc_swap::ArcSwap<Secret>>,
    pub(super) clock: Clock,
}

impl Keeper {
    /// Takes over what the state directory has. `fleet_has_secret`: other nodes sign with the same key.
    pub(super) fn open(state: &Path, fleet_has_secret: bool, sources: &Sources) -> (Self, oneshot::Receiver<()>) {
        let folder = state.join(FOLDER);
        let mut trouble = None;
        if let Err(error) = std::fs::create_dir_all(&folder) {
            trouble = told(&format!("{} cannot be made: {error}", folder.display()));
        }
        let (ledger, may_write) = kept::read(&folder.join(LEDGER), LEDGER_BYTES_MAX, Ledger::is_sound);
        if !may_write {
            trouble = told("the ledger of before could be neither understood nor moved aside");
        }
        let (mut seed, mut key_trouble) = ([0; KEY_BYTES], None);
        if !fleet_has_secret {
            let read = own_seed(&folder.join(KEY));
            seed = read.unwrap_or_else(|(seed, why)| {
                key_trouble = told(&format!("summaries are signed by a key of this start only: {why}"));
                seed
            });
        }
        let (finished, is_finished) = oneshot::channel();
        let mut keeper = Self {
            filed: Arc::new(filed(&folder)),
            folder,
            ledger,
            may_write,
            fleet_has_secret,
            signer: Arc::new(Signer::of_seed(&seed)),
            earlier: Arc::new([]),
            secret: None,
            trouble,
            key_trouble,
            followed: ("".into(), Day::default()),
            shelf: watch::Sender::new(None),
            finished: Some(finished),
        };
        keeper.look(sources);
        (keeper, is_finished)
    }

    /// What is shown, as it changes.
    pub(super) fn shelf(&self) -> watch::Receiver<Option<Arc<Shelf>>> {
        self.shelf.subscribe()
    }

    /// Takes over what was counted, and shows it.
    fn look(&mut self, sources: &Sources) {
        let wall = sources.clock.wall();
        let snapshot = sources.published.load_full();
        self.use_keys(&sources.secret.load_full());
        for line in sources.counters.workers().flat_map(|worker| worker.residency.take()) {
            self.ledger.add(wall, &line);
        }
        self.ledger.look(wall);
        let now = (Arc::clone(&snapshot.topology.digest), Day::of(wall));
        if self.followed != now {
            self.ledger.follow(wall, &snapshot.topology);
            self.followed = now;
        }
        self.show(&snapshot);
    }

    fn show(&self, snapshot: &Snapshot) {
        self.shelf.send_replace(Some(Arc::new(Shelf {
            fleet: Arc::clone(&snapshot.topology.fleet),
            vantage: snapshot.here.name.as_str().into(),
            folder: self.folder.clone(),
            ledger: self.ledger.clone(),
            signer: Arc::clone(&self.signer),
            earlier: Arc::clone(&self.earlier),
            filed: Arc::clone(&self.filed),
            trouble: self.trouble.clone().or_else(|| self.key_trouble.clone()),
        })));
    }

    /// The keys of the fleet's secret in force.
    fn use_keys(&mut self, secret: &Arc<Secret>) {
        if !self.fleet_has_secret || self.secret.as_ref().is_some_and(|known| Arc::ptr_eq(known, secret)) {
            return;
        }
        let mut signers = secret.keys(PURPOSE).into_iter().map(|seed| Signer::of_seed(&seed));
        self.signer = Arc::new(signers.next().expect("a secret has a first key"));
        self.earlier = signers.map(|signer| signer.key()).collect();
        self.secret = Some(Arc::clone(secret));
    }

    /// Writes what is to be kept: summaries first, so that a crash in between costs nothing.
    fn write(&mut self, sources: &Sources) {
        let wall = sources.clock.wall();
        let mut written = Ok(());
        for day in self.ledger.unsummed(wall) {
            written = written.and(self.sum(day, wall));
        }
        if self.may_write {
            let path = self.folder.join(LEDGER);
            let kept = kept::write(&path, &self.ledger, LEDGER_BYTES_MAX);
            written = written.and(kept.map_err(|error| format!("{} cannot be written: {error}", path.display())));
        }
        match written {
            Ok(()) if self.may_write => self.trouble = None,
            Ok(()) => {}
            Err(why) if self.trouble.as_deref() == Some(&why) => {}
            Err(why) => self.trouble = told(&why),
        }
        self.show(&sources.published.load_full());
    }

    /// Writes the summaries of a day that has ended.
    fn sum(&mut self, day: Day, wall: Duration) -> Result<(), String> {
        let Some(page) = self.ledger.days.get(&day).cloned() else { return Ok(()) };
        let shelf = self.shelf.borrow().clone();
        let Some(shelf) = shelf else { return Ok(()) };
        let shelf = Shelf { ledger: self.ledger.clone(), ..Shelf::clone(&shelf) };
        let mut names: BTreeSet<String> = self.filed.get(&day).cloned().unwrap_or_default();
        for hostname in page.hostnames.keys() {
            let wrote = file(&shelf, day, hostname, wall);
            wrote.map_err(|error| format!("the summary of {hostname} on {day} cannot be written: {error}"))?;
            names.insert(Shelf::stem(hostname));
        }
        let filed = Arc::make_mut(&mut self.filed);
        filed.insert(day, names);
        while filed.len() > FILED_DAYS_MAX {
            let Some((day, hostnames)) = filed.pop_first() else { break };
            for path in hostnames.iter().flat_map(|hostname| places(&self.folder, day, hostname)) {
                // What cannot be removed is found again at the next start.
                let _ = std::fs::remove_file(path);
            }
        }
        self.ledger.summed(day, &page);
        Ok(())
    }

    /// Looks and writes until `shutdown`, and once more then: the doors are closed by that time.
    pub(super) async fn run(mut self, mut sources: Sources, mut shutdown: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = 0;
        let finished = self.finished.take();
        loop {
            tokio::select! {
                () = requested(&mut shutdown) => break,
                _ = ticks.tick() => {}
            }
            self.look(&sources);
            looks += 1;
            let has_day_ended = !self.ledger.unsummed(sources.clock.wall()).is_empty() && self.trouble.is_none();
            if looks >= LOOKS_A_WRITE || has_day_ended {
                looks = 0;
                // Waiting for the disk must not hold up probes, which share this runtime; what is counted meanwhile waits.
                let written = tokio::task::spawn_blocking(move || {
                    self.write(&sources);
                    (self, sources)
                });
                match written.await {
                    Ok((back, theirs)) => (self, sources) = (back, theirs),
                    Err(_) => return,
                }
            }
        }
        self.look(&sources);
        self.write(&sources);
        drop(finished);
    }
}

fn told(why: &str) -> Option<Arc<str>> {
    tracing::error!("residency: {why}: counted and served all the same");
    Some(why.into())
}

/// Writes one summary, unless what is there says more: then beside it.
fn file(shelf: &Shelf, day: Day, hostname: &str, wall: Duration) -> io::Result<()> {
    let Some(summary) = shelf.summary(day, hostname, wall) else { return Ok(()) };
    for path in places(&shelf.folder, day, hostname) {
        let may_replace = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
            Ok(there) => seal::verify(&there, None).is_ok_and(|there| summary.contains(&there.summary)),
        };
        if may_replace {
            return kept::replace(&path, shelf.signer.sign(&summary).as_bytes(), 0o644);
        }
    }
    Err(io::Error::other(format!("{BESIDE_MAX} others of it say what this one does not")))
}

/// Where summaries of a hostname's day may be: the one that is served, then those beside it.
fn places(folder: &Path, day: Day, hostname: &str) -> impl Iterator<Item = PathBuf> {
    let first = folder.join(Shelf::file_name(day, hostname));
    let beside = first.clone();
    std::iter::once(first).chain((2..=BESIDE_MAX).map(move |number| beside.with_extension(format!("{number}.json"))))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The days and hostnames of which there are files.
fn filed(folder: &Path) -> BTreeMap<Day, BTreeSet<String>> {
    let mut filed: BTreeMap<Day, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((day, rest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let (Some(day), Some(hostname)) = (Day::parse(day), rest.strip_suffix(".json")) else { continue };
        if crate::names::Hostname::parse(hostname).is_ok() {
            filed.entry(day).or_default().insert(hostname.to_owned());
        }
    }
    filed
}

/// The seed of this node's own key, made at its first start; and why another is used for now, if so.
fn own_seed(path: &Path) -> Result<[u8; KEY_BYTES], ([u8; KEY_BYTES], String)> {
    let mut seed = [0; KEY_BYTES];
    match read(path) {
        Ok(there) => {
            if let Ok(there) = there.try_into() {
                return Ok(there);
            }
            rand::fill(&mut seed).expect("the system gives randomness");
            Err((seed, format!("{} is no seed of {KEY_BYTES} octets; move it away to have one made", path.display())))
        }
        Err(error) => {
            rand::fill(&mut seed).expect("the system gives randomness");
            let made = match error.kind() {
                io::ErrorKind::NotFound => kept::replace(path, &seed, 0o600),
                _ => Err(error),
            };
            made.map(|()| seed).map_err(|error| (seed, format!("{}: {error}", path.display())))
        }
    }
}
