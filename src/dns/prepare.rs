//! Follows what the node believes, and prepares what DNS answers from it.
//!
//! [`Preparer`] is the machine: a snapshot and the time in, [`Prepared`] out. [`run`] is its shell, on the control plane.

use super::contents::{Contents, Makings, Served, name_of};
use super::cookie::Cookies;
use super::prepared::{Prepared, Signer};
use super::sign::{Signatures, sign};
use super::steered::{By, Steered, is_settled};
use crate::dnssec::folder::{self, KeyError};
use crate::dnssec::timing::{DNSKEY_TTL, refresh_after, window_at};
use crate::dnssec::{Duty, Keyring};
use crate::geo::database::Locator;
use crate::geo::map::GeoMap;
use crate::moment::{Clock, Moment};
use crate::secret::Secret;
use crate::shutdown::requested;
use crate::snapshot::{Published, Snapshot};
use crate::topology::RouteIndex;
use crate::topology::zone::{Answer, Believed, Zone};
use arc_swap::{ArcSwap, ArcSwapOption};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::{Name, RData};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two preparations at least: many changes in a moment are one for resolvers, who believe each for seconds.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether something became old enough to be believed longer, or is due.
const TICK: Duration = Duration::from_secs(1);

/// What the fast path reads: nothing while the file has no zone.
pub type Answers = Arc<ArcSwapOption<Prepared>>;
/// Proofs for certificate authorities: TXT records by their owner.
pub type Challenges = Arc<ArcSwap<Vec<(Name, Vec<String>)>>>;

/// What is prepared from, besides the snapshot.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Folders in the file are relative to it.
    pub state_dir: PathBuf,
    /// For cookies.
    pub secret: Arc<ArcSwap<Secret>>,
    /// For certificate authorities.
    pub challenges: Challenges,
}

/// Makes [`Prepared`] after [`Prepared`], keeping what stays the same.
#[derive(Debug)]
pub struct Preparer {
    inputs: Inputs,
    map: Option<(Arc<Locator>, Arc<GeoMap>)>,
    keys: Option<Keys>,
    keys_read: u64,
    /// Why keys could not be read, when that was told last.
    complaint: Option<String>,
    /// Where the zone begins that is answered for.
    apex: Option<Name>,
    signatures: Signatures,
    /// Of what is published.
    made_of: Option<MadeOf>,
}

/// Keys as they were read.
#[derive(Debug)]
struct Keys {
    folder: PathBuf,
    /// Of which zone.
    apex: Name,
    /// Of the folder, when they were.
    stamp: Option<u64>,
    keyring: Keyring,
}

/// What a [`Prepared`] was made of, as far as one can see that something is another.
#[derive(Debug)]
struct MadeOf {
    generation: u64,
    /// How long something must have stood as it does for each, and whether it has.
    settled: Vec<(By, Duration, bool)>,
    challenges: Arc<Vec<(Name, Vec<String>)>>,
    secret: Arc<Secret>,
    /// How often keys had been read.
    keys: u64,
    /// When keys or signatures change, since the Unix epoch.
    due: Option<Duration>,
}

impl MadeOf {
    fn is_as(&self, other: &Self) -> bool {
        self.generation == other.generation
            && self.settled == other.settled
            && Arc::ptr_eq(&self.challenges, &other.challenges)
            && Arc::ptr_eq(&self.secret, &other.secret)
            && self.keys == other.keys
    }
}

impl Preparer {
    /// Has prepared nothing yet.
    #[must_use]
    pub fn new(inputs: Inputs) -> Self {
        Self {
            inputs,
            map: None,
            keys: None,
            keys_read: 0,
            complaint: None,
            apex: None,
            signatures: Signatures::default(),
            made_of: None,
        }
    }

    /// What is answered from at `now` (and `wall`, since the Unix epoch): `None` if nothing changed, `Some(None)` if there
    /// is no zone any more.
    ///
    /// # Errors
    /// The keys cannot be used, and there are none from before.
    pub fn prepare(
        &mut self,
        snapshot: &Arc<Snapshot>,
        now: Moment,
        wall: Duration,
    ) -> Result<Option<Option<Prepared>>, KeyError> {
        let Some(zone) = snapshot.topology.dns.clone() else {
            (self.keys, self.apex) = (None, None);
            return Ok(self.made_of.take().map(|_| None));
        };
        let served = served(snapshot, &zone);
        let settled = settled(snapshot, &served, now);
        let mut made_of = MadeOf {
            generation: snapshot.generation,
            settled,
            challenges: self.inputs.challenges.load_full(),
            secret: self.inputs.secret.load_full(),
            keys: self.follow_keys(&zone)?,
            due: None,
        };
        let is_same = |made: &MadeOf| made.is_as(&made_of) && made.due.is_none_or(|due| wall < due);
        if self.made_of.as_ref().is_some_and(is_same) {
            return Ok(None);
        }
        let duty = self.keys.as_ref().map(|keys| keys.keyring.at(wall));
        made_of.due =
            duty.as_ref().map(|duty| duty.until.into_iter().chain([refresh_after(wall)]).min().expect("one at least"));
        let map = self.map(&snapshot.locator);
        let steered = made_of.settled.iter();
        let steered: HashMap<By, Arc<Steered>> = steered
            .map(|(by, young, is_settled)| (*by, Arc::new(Steered::new(snapshot, &map, *by, (*young, *is_settled)))))
            .collect();
        let keys = duty.as_ref().map_or(Vec::new(), published);
        let makings = Makings {
            zone: &zone,
            serial: serial(&snapshot.topology.digest),
            served: &served,
            steered: &steered,
            has_https: true,
            keys: &keys,
            is_signed: duty.as_ref().is_some_and(|duty| !duty.signs_zone.is_empty()),
            challenges: &made_of.challenges,
        };
        let contents = match &duty {
            Some(duty) if makings.is_signed => {
                self.signatures.signing(&zone.apex, duty, wall, |sign| Contents::new(&makings, sign))
            }
            _ => Contents::new(&makings, &mut |_, _, _, _| Vec::new()),
        };
        let signer = duty.as_ref().filter(|_| contents.is_signed()).map(|duty| signer(&zone, duty, wall));
        let cookies = Cookies::new(&made_of.secret);
        (self.made_of, self.apex) = (Some(made_of), Some(zone.apex.clone()));
        Ok(Some(Some(Prepared::new(Arc::clone(snapshot), zone, contents, map, (cookies, signer, duty)))))
    }

    fn map(&mut self, locator: &Arc<Locator>) -> Arc<GeoMap> {
        match &self.map {
            Some((of, map)) if Arc::ptr_eq(of, locator) => Arc::clone(map),
            _ => {
                let map = Arc::new(GeoMap::compile(locator));
                self.map = Some((Arc::clone(locator), Arc::clone(&map)));
                map
            }
        }
    }

    /// Reads the keys again if anything in their folder changed: an operator's step. How often that has been done.
    ///
    /// Keys that cannot be read change nothing: those of before go on signing, and a zone that was not signed stays so.
    /// Whoever stopped answering for that would make an outage of it.
    fn follow_keys(&mut self, zone: &Zone) -> Result<u64, KeyError> {
        let Some(folder) = zone.keys.as_ref().map(|folder| self.inputs.state_dir.join(folder)) else {
            if self.keys.take().is_some_and(|keys| keys.apex == zone.apex) {
                tracing::warn!(zone = %zone.apex, "the zone is not signed any more: [zone.dnssec] is gone from the file");
                self.keys_read += 1;
            }
            return Ok(self.keys_read);
        };
        // Looked at before it is read, so that a change in between is seen next time.
        let stamp = folder::stamp(&folder);
        let is_read = |keys: &Keys| keys.folder == folder && keys.apex == zone.apex && keys.stamp == stamp;
        if stamp.is_some() && self.keys.as_ref().is_some_and(is_read) {
            return Ok(self.keys_read);
        }
        match Keyring::open(&folder, &zone.apex) {
            Ok(keyring) => {
                self.keys = Some(Keys { folder, apex: zone.apex.clone(), stamp, keyring });
                self.keys_read += 1;
                self.complaint = None;
            }
            Err(error) => {
                let is_known = self.apex.as_ref() == Some(&zone.apex);
                self.keys = self.keys.take().filter(|keys| keys.apex == zone.apex);
                if !is_known {
                    return Err(error);
                }
                let told = error.to_string();
                if self.complaint.as_ref() != Some(&told) {
                    let instead =
                        if self.keys.is_some() { "those from before go on signing" } else { "it stays unsigned" };
                    tracing::error!(%error, zone = %zone.apex, "the zone's keys cannot be used: {instead}");
                    self.complaint = Some(told);
                }
            }
        }
        Ok(self.keys_read)
    }
}

/// DNSKEY, CDS and CDNSKEY, with how long they are believed.
fn published(duty: &Duty) -> Vec<(u32, Vec<RData>)> {
    let ttl = u32::try_from(DNSKEY_TTL.as_secs()).unwrap_or(u32::MAX);
    let keys = duty.dnskeys.iter().cloned().map(DNSSECRData::DNSKEY).map(RData::DNSSEC).collect();
    let cds = duty.cds.iter().cloned().map(DNSSECRData::CDS).map(RData::DNSSEC).collect();
    let cdnskeys = duty.cdnskeys.iter().cloned().map(DNSSECRData::CDNSKEY).map(RData::DNSSEC).collect();
    [keys, cds, cdnskeys].into_iter().map(|records| (ttl, records)).collect()
}

fn signer(zone: &Arc<Zone>, duty: &Duty, wall: Duration) -> Signer {
    let (keys, zone, window) = (duty.signs_zone.clone(), Arc::clone(zone), window_at(wall));
    Box::new(move |owner, ttl, data| sign(&keys, owner, ttl, data, window, &zone.apex))
}

/// The names that steering answers: hostnames in the zone, and those that nodes serve themselves.
fn served(snapshot: &Snapshot, zone: &Zone) -> Vec<Served> {
    let topology = &snapshot.topology;
    let routes = topology.routes.iter().enumerate().filter_map(|(at, route)| {
        let by = match route.answer {
            Answer::Front => By::Sites,
            Answer::Region => By::Region(RouteIndex::of(at)),
        };
        Some(Served { name: name_of(&route.hostname)?, by, ttl: route.ttl })
    });
    let own = topology.own_hostnames().filter_map(name_of);
    let own = own.map(|name| Served { name, by: By::Sites, ttl: zone.ttl });
    routes.chain(own).filter(|served| zone.apex.zone_of(&served.name)).collect()
}

fn settled(snapshot: &Snapshot, served: &[Served], now: Moment) -> Vec<(By, Duration, bool)> {
    let mut settled: Vec<(By, Duration, bool)> = Vec::new();
    for Served { by, ttl: Believed { max: young, .. }, .. } in served {
        if !settled.iter().any(|(other, ..)| other == by) {
            settled.push((*by, *young, is_settled(snapshot, *by, *young, now)));
        }
    }
    settled
}

/// Equal wherever the file is equal. Nobody copies the zone by it, so it need not grow.
fn serial(digest: &str) -> u32 {
    digest.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(1)
}

/// Prepares what has to be answered, whenever that changes, until `shutdown`.
pub async fn run(
    mut preparer: Preparer,
    published: Published,
    answers: Answers,
    clock: Clock,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut bell = published.subscribe();
    let mut has_complained = false;
    loop {
        tokio::select! {
            () = requested(&mut shutdown) => return,
            changed = bell.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TICK) => {}
        }
        let snapshot = published.load_full();
        // A large database takes a while, and the control plane has other work.
        let work = tokio::task::spawn_blocking(move || {
            let prepared = preparer.prepare(&snapshot, clock.now(), clock.wall());
            (preparer, prepared)
        });
        let Ok((back, prepared)) = work.await else { return };
        preparer = back;
        match prepared {
            Ok(Some(prepared)) => {
                has_complained = false;
                answers.store(prepared.map(Arc::new));
            }
            Ok(None) => {}
            Err(error) => {
                // Another zone than the one before, and nobody knows whether it must be signed.
                answers.store(None);
                if !has_complained {
                    tracing::error!(%error, "the zone's keys cannot be used: nothing is answered by DNS until they can");
                }
                has_complained = true;
            }
        }
        tokio::select! {
            () = requested(&mut shutdown) => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
