//! Which regions have just failed whom: a short memory, so that a client that asks again is not sent to the same ones.
//!
//! The official SDKs say in `x-stainless-retry-count` that a request is another try. Who asks is remembered as a hash
//! under a key that this process has made up, so that nothing of it can be read back. All workers of a node share one
//! memory: SDKs open new connections.
//!
//! It is a table of fixed size. Where an entry may stand is decided by the client's network, so that a flood from one
//! network overwrites nobody's memory but its own and that of the few that fall together with it.

use super::headers::API_KEY;
use crate::limits::{RECALL_LASTS, RECALL_SETS, RECALL_WAYS};
use crate::moment::Moment;
use crate::names::{Hostname, Label};
use crate::steering::{AVOIDED_MAX, prefix_of};
use http::request::Parts;
use http::{HeaderValue, header};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The memory of a node.
#[derive(Debug)]
pub struct Recall {
    secret: Secret,
    /// Locked for a look through one set by whoever failed or asks again, which is seldom.
    sets: Box<[Mutex<Vec<Entry>>]>,
}

/// What keys are made with.
#[derive(Debug)]
enum Secret {
    /// This process alone knows it.
    Random(RandomState),
    /// No secret.
    Seed(u64),
}

/// Who asks for what, in the clear: it is kept nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// Its `Authorization`, or nothing.
    pub authorization: &'a [u8],
    /// Its `x-api-key`, or nothing.
    pub api_key: &'a [u8],
    /// The hostname it asks.
    pub hostname: &'a Hostname,
    /// The path, without its query.
    pub path: &'a str,
}

impl<'a> Who<'a> {
    /// Who sends the request with this head.
    #[must_use]
    pub fn of(address: IpAddr, parts: &'a Parts, hostname: &'a Hostname) -> Self {
        let field = |name| parts.headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
        let (authorization, api_key) = (field(header::AUTHORIZATION), field(API_KEY));
        Self { address, authorization, api_key, hostname, path: parts.uri.path() }
    }
}

/// The same, unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    set: usize,
    tag: u64,
}

#[derive(Debug)]
struct Entry {
    tag: u64,
    /// The latest first.
    regions: Vec<Label>,
    at: Moment,
}

impl Secret {
    fn hash(&self, what: impl Hash) -> u64 {
        match self {
            Self::Random(state) => state.hash_one(what),
            Self::Seed(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, what).hash(&mut hasher);
                hasher.finish()
            }
        }
    }
}

impl Default for Recall {
    fn default() -> Self {
        Self::with(Secret::Random(RandomState::new()))
    }
}

impl Recall {
    /// A memory whose keys follow from `seed`, so that a simulation can be repeated. Anybody could work out who is behind
    /// a key, or make others forget: never for real clients.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::with(Secret::Seed(seed))
    }

    fn with(secret: Secret) -> Self {
        let sets = (0..RECALL_SETS).map(|_| Mutex::default()).collect();
        Self { secret, sets }
    }

    /// What `who` is remembered by.
    #[must_use]
    pub fn key(&self, who: Who<'_>) -> Key {
        let set = self.secret.hash(prefix_of(who.address)) % RECALL_SETS as u64;
        let tag = self.secret.hash((who.address, who.authorization, who.api_key, who.hostname, who.path));
        Key { set: usize::try_from(set).expect("a set's number"), tag }
    }

    /// `region` failed the client behind `key`.
    pub fn failed(&self, now: Moment, key: Key, region: &Label) {
        let mut set = self.set(key);
        let known = set.iter().position(|known| known.tag == key.tag);
        let mut regions = vec![region.clone()];
        if let Some(before) = known.map(|at| &set[at]).filter(|before| now.since(before.at) <= RECALL_LASTS) {
            regions.extend(before.regions.iter().filter(|before| *before != region).take(AVOIDED_MAX - 1).cloned());
        }
        let entry = Entry { tag: key.tag, regions, at: now };
        let oldest = || set.iter().enumerate().min_by_key(|(_, known)| known.at).map(|(at, _)| at);
        match known.or_else(|| (set.len() >= RECALL_WAYS).then(oldest).flatten()) {
            Some(at) => set[at] = entry,
            None => set.push(entry),
        }
    }

    /// The regions that failed the client behind `key` lately, the latest first.
    #[must_use]
    pub fn regions(&self, now: Moment, key: Key) -> Vec<Label> {
        let set = self.set(key);
        let known = set.iter().find(|known| known.tag == key.tag && now.since(known.at) <= RECALL_LASTS);
        known.map(|known| known.regions.clone()).unwrap_or_default()
    }

    fn set(&self, key: Key) -> MutexGuard<'_, Vec<Entry>> {
        self.sets[key.set].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn label(name: &str) -> Label {
        Label::parse(name).expect("good")
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    /// The key of somebody at `address` with this credential.
    fn key(recall: &Recall, address: [u8; 4], authorization: &[u8], path: &str) -> Key {
        let hostname = Hostname::parse("gw.test").expect("good");
        let address = IpAddr::V4(Ipv4Addr::from(address));
        recall.key(Who { address, authorization, api_key: b"", hostname: &hostname, path })
    }

    #[test]
    fn the_last_regions_that_failed_the_same_client_are_remembered_for_a_minute() {
        let recall = Recall::default();
        let (me, other_path) = (key(&recall, [192, 0, 2, 1], b"a", "/x"), key(&recall, [192, 0, 2, 1], b"a", "/y"));
        let (neighbour, colleague) =
            (key(&recall, [192, 0, 2, 2], b"a", "/x"), key(&recall, [192, 0, 2, 1], b"b", "/x"));
        recall.failed(at(1), me, &label("orf"));
        recall.failed(at(2), me, &label("dfw"));
        assert_eq!(recall.regions(at(62), me), [label("dfw"), label("orf")]);
        assert_eq!(recall.regions(at(63), me), []);
        for (second, region) in (3..).zip(["dfw", "sfo", "yyz"]) {
            recall.failed(at(second), me, &label(region));
        }
        assert_eq!(recall.regions(at(6), me), [label("yyz"), label("sfo"), label("dfw")], "as many as are avoided");
        for other in [neighbour, colleague, other_path] {
            assert_eq!(recall.regions(at(3), other), []);
        }
        assert_ne!(key(&Recall::default(), [192, 0, 2, 1], b"a", "/x"), me, "another process has another key");
    }

    #[test]
    fn the_same_seed_gives_the_same_keys_and_another_seed_others() {
        let keys = |seed| {
            let recall = Recall::seeded(seed);
            [0, 1, 2].map(|network| key(&recall, [192, 0, network, 1], b"a", "/x"))
        };
        assert_eq!(keys(7), keys(7));
        assert_ne!(keys(7), keys(8));
        assert_ne!(keys(7)[0], keys(7)[1]);
    }

    #[test]
    fn a_flood_grows_nothing_and_makes_nobody_else_forget() {
        let recall = Recall::default();
        let flooder = key(&recall, [198, 51, 100, 1], b"", "/x");
        let mut bystanders = (0..=255).map(|network| key(&recall, [192, 0, network, 1], b"a", "/x"));
        let bystander = bystanders.find(|key| key.set != flooder.set).expect("one in another set");
        recall.failed(at(0), bystander, &label("orf"));
        let pressed: Vec<Key> =
            (0..=RECALL_WAYS).map(|who| key(&recall, [198, 51, 100, 1], who.to_string().as_bytes(), "/x")).collect();
        for (second, key) in (1..).zip(&pressed) {
            recall.failed(at(second / 8), *key, &label("dfw"));
        }
        assert_eq!(recall.set(flooder).len(), RECALL_WAYS);
        assert_eq!(recall.regions(at(9), pressed[0]), [], "one past the edge, the oldest goes");
        assert!(pressed[1..].iter().all(|key| !recall.regions(at(9), *key).is_empty()));
        assert_eq!(recall.regions(at(9), bystander), [label("orf")]);
    }
}
