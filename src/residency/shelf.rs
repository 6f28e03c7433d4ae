//! All that is known of residency, to be shown: the days under way, signed when they are asked for, and which files there are.

use super::day::Day;
use super::ledger::{Ledger, Page, Processed};
use super::seal::{PublicKey, Signer};
use super::summary::{Origin, Summary};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longest hostname that names a file, octets: with a day, a number and the ending it stays below the usual 255.
const STEM_BYTES_MAX: usize = 200;

/// What is known at one time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The fleet's name.
    pub fleet: Arc<str>,
    /// This site's name.
    pub vantage: Arc<str>,
    /// Where the files are.
    pub folder: PathBuf,
    /// The days that can still be added to.
    pub ledger: Ledger,
    /// What signs.
    pub signer: Arc<Signer>,
    /// Keys that signed before, by secrets that are being retired.
    pub earlier: Arc<[PublicKey]>,
    /// The days and hostnames of which there are files.
    pub filed: Arc<BTreeMap<Day, BTreeSet<String>>>,
    /// Why something is not kept, if so.
    pub trouble: Option<Arc<str>>,
}

/// What `GET /residency` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The fleet's name.
    pub fleet: String,
    /// The site that counts.
    pub vantage: String,
    /// The key that signs, by its name.
    pub key_id: String,
    /// Why something is not kept, if so.
    pub trouble: Option<String>,
    /// The newest day first.
    pub days: Vec<DayView>,
}

/// A day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayView {
    /// Which.
    pub day: Day,
    /// Its hostnames, in order.
    pub hostnames: Vec<HostnameView>,
}

/// A hostname on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostnameView {
    /// Which.
    pub name: String,
    /// Where its signed summary is.
    pub path: String,
    /// The counts so far; nothing where only the signed file has them.
    pub counts: Option<CountsView>,
}

/// What was counted of a hostname on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsView {
    /// Its residency, as written last.
    pub residency: Vec<String>,
    /// Where requests were processed.
    pub processed: Vec<Processed>,
    /// Requests refused because the regions that could have served them are outside.
    pub refused: u64,
    /// What was outside.
    pub violations: u64,
}

/// What `GET /residency/key` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The fleet's name.
    pub fleet: String,
    /// The first signs; the others did before.
    pub keys: Vec<KeyView>,
}

/// A key that summaries are verified by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Its name.
    pub key_id: String,
    /// `Ed25519`.
    pub algorithm: String,
    /// The key in base64.
    pub key: String,
}

impl Shelf {
    /// The name of the file of a hostname's day.
    #[must_use]
    pub fn file_name(day: Day, hostname: &str) -> String {
        format!("{day}.{}.json", Self::stem(hostname))
    }

    /// What a hostname is called in names of files: itself, unless that would be longer than systems take.
    #[must_use]
    pub fn stem(hostname: &str) -> String {
        if hostname.len() <= STEM_BYTES_MAX {
            return hostname.to_owned();
        }
        let hash = digest(&SHA256, hostname.as_bytes());
        let hex: String = hash.as_ref()[..16].iter().map(|octet| format!("{octet:02x}")).collect();
        format!("sha256-{hex}")
    }

    /// The summary of a day that can still be added to, signed at `wall`; `None`: nothing is known of it here.
    #[must_use]
    pub fn document(&self, day: Day, hostname: &str, wall: Duration) -> Option<String> {
        self.summary(day, hostname, wall).map(|summary| self.signer.sign(&summary))
    }

    /// The same, not signed.
    #[must_use]
    pub fn summary(&self, day: Day, hostname: &str, wall: Duration) -> Option<Summary> {
        let page = self.ledger.days.get(&day)?;
        let kept = page.hostnames.get_key_value(hostname)?;
        let origin = Origin { fleet: &self.fleet, vantage: &self.vantage };
        Some(Summary::of(origin, day, page, (kept.0, kept.1), wall))
    }

    /// Whether a file has what is known of it.
    #[must_use]
    pub fn is_filed(&self, day: Day, hostname: &str) -> bool {
        let is_open = self.ledger.days.get(&day).is_some_and(|page| !page.is_summed);
        !is_open && self.filed.get(&day).is_some_and(|hostnames| hostnames.contains(&Self::stem(hostname)))
    }

    /// Everything, the newest day first.
    #[must_use]
    pub fn index(&self) -> Index {
        let days: BTreeSet<Day> = self.ledger.days.keys().chain(self.filed.keys()).copied().collect();
        Index {
            fleet: self.fleet.to_string(),
            vantage: self.vantage.to_string(),
            key_id: self.signer.key().id(),
            trouble: self.trouble.as_deref().map(str::to_owned),
            days: days.into_iter().rev().map(|day| self.day(day)).filter(|day| !day.hostnames.is_empty()).collect(),
        }
    }

    fn day(&self, day: Day) -> DayView {
        let page = self.ledger.days.get(&day);
        let open = page.into_iter().flat_map(|page| page.hostnames.keys());
        let names: BTreeSet<&String> = open.chain(self.filed.get(&day).into_iter().flatten()).collect();
        let view = |name: &String| HostnameView {
            name: name.clone(),
            path: format!("/residency/{day}/{name}"),
            counts: page.and_then(|page| counts(page, name)),
        };
        DayView { day, hostnames: names.into_iter().map(view).collect() }
    }

    /// The keys that summaries are verified by.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let all = std::iter::once(self.signer.key()).chain(self.earlier.iter().copied());
        let view = |key: PublicKey| KeyView { key_id: key.id(), algorithm: "Ed25519".to_owned(), key: key.to_string() };
        Keys { fleet: self.fleet.to_string(), keys: all.map(view).collect() }
    }
}

fn counts(page: &Page, name: &str) -> Option<CountsView> {
    let kept = page.hostnames.get(name)?;
    Some(CountsView {
        residency: kept.fences.last().map(|fence| fence.written.clone()).unwrap_or_default(),
        processed: kept.processed.clone(),
        refused: kept.refused,
        violations: kept.processed.iter().map(|one| one.outside).sum(),
    })
}
