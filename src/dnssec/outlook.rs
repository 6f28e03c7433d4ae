//! What a person should know of each key: where it is in its life, what comes next by itself, and what is for them to do.

use super::life::{Course, Life, Lives};
use super::timing::PROPAGATION;
use hickory_proto::dnssec::Algorithm;
use std::time::Duration;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The first key: it signs, but some resolvers still hold unsigned answers.
    Introduced,
    /// It signs, and is not in DNSKEY yet, for its algorithm is new.
    Presigning,
    /// It is in DNSKEY, but some resolvers still hold DNSKEY without it.
    Published,
    /// Its DS may go to the parent.
    Ready,
    /// Its DS is at the parent, but some resolvers still hold the DS of the key before.
    Settling,
    /// In force.
    Active,
    /// Another key is in force; this one is still in caches.
    Retiring,
    /// The zone is to be unsigned.
    Withdrawing,
    /// It was not wanted after all, and is still in caches.
    Cancelled,
    /// Nobody holds anything of it.
    Removed,
    /// Its private half is destroyed.
    Forgotten,
}

impl Stage {
    /// As JSON has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Introduced => "introduced",
            Self::Presigning => "presigning",
            Self::Published => "published",
            Self::Ready => "ready",
            Self::Settling => "settling",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Withdrawing => "withdrawing",
            Self::Cancelled => "cancelled",
            Self::Removed => "removed",
            Self::Forgotten => "forgotten",
        }
    }
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What signatures name it by.
    pub tag: u16,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is.
    pub stage: Stage,
    /// Since when, since the Unix epoch.
    pub since: Duration,
    /// What comes by itself, and when.
    pub next: Option<(Duration, &'static str)>,
    /// What somebody has to do now, or may.
    pub todo: Option<String>,
}

impl Lives {
    /// What is known of every key at `wall`, oldest first.
    #[must_use]
    pub fn outlook(&self, wall: Duration) -> Vec<Outlook> {
        let wall = self.not_before_last_step(wall);
        let outlook = |(at, life): (usize, &Life)| {
            let course = self.course(at);
            let (stage, since, next) = self.ending(at, &course, wall).unwrap_or_else(|| beginning(life, &course, wall));
            let todo = self.todo(at, &course, stage, wall);
            Outlook { tag: life.tag, algorithm: life.algorithm, stage, since, next, todo }
        };
        self.all().iter().enumerate().map(outlook).collect()
    }

    fn ending(&self, at: usize, course: &Course, wall: Duration) -> Option<Told> {
        let life = &self.all()[at];
        let removed = |what| course.removed.map(|removed| (removed, what));
        if let Some(forgotten) = life.forgotten {
            return Some((Stage::Forgotten, forgotten, None));
        }
        if let Some(since) = course.removed.filter(|removed| *removed <= wall) {
            return Some((Stage::Removed, since, None));
        }
        if let Some(cancelled) = life.cancelled {
            return Some((Stage::Cancelled, cancelled, removed("it is removed")));
        }
        if let Some(withdrawn) = life.withdrawn {
            return Some((Stage::Withdrawing, withdrawn, removed("the zone is unsigned")));
        }
        let replaced = self.successor(at).and_then(|next| self.course(next).active).filter(|active| *active <= wall)?;
        let next = match course.published.until.filter(|until| *until > wall && Some(*until) != course.removed) {
            Some(unpublished) => Some((unpublished, "it leaves DNSKEY")),
            None => removed("it is removed"),
        };
        Some((Stage::Retiring, replaced, next))
    }

    fn todo(&self, at: usize, course: &Course, stage: Stage, wall: Duration) -> Option<String> {
        let life = &self.all()[at];
        let tag = life.tag;
        let is_gone = life.ds_gone.is_some();
        let next = self.successor(at).map(|next| &self.all()[next]).filter(|next| next.ds_seen.is_some());
        match stage {
            Stage::Ready => {
                let before = life.follows.map(|before| self.all()[before].tag);
                let (instead, also) = before.map_or_else(Default::default, |old| {
                    (format!(" in place of that of key {old}"), format!(" --ds-gone {old}"))
                });
                Some(format!(
                    "give the parent the DS of this key{instead} (`anyfront dnssec ds`; a parent that follows CDS does it \
                     by itself); when all its servers have it, `anyfront dnssec roll --ds-seen {tag}{also}`"
                ))
            }
            Stage::Withdrawing if !is_gone => Some(format!(
                "have the parent remove the DS of this key (one that follows CDS does it by itself); when no server of it \
                 has it, `anyfront dnssec roll --ds-gone {tag}`"
            )),
            Stage::Cancelled if course.removed.is_none() => Some(format!(
                "see that the parent has no DS of this key (but still that of the key before); when no server of it has \
                 it, `anyfront dnssec roll --ds-gone {tag}`"
            )),
            Stage::Active | Stage::Retiring if !is_gone && next.is_some() => Some(format!(
                "have the parent remove the DS of this key; when no server of it has it, \
                 `anyfront dnssec roll --ds-gone {tag}`"
            )),
            Stage::Removed if course.removed.is_some_and(|removed| removed + PROPAGATION <= wall) => {
                Some(format!("destroy its private half: `anyfront dnssec roll --forget {tag}`"))
            }
            _ => None,
        }
    }
}

/// A stage, since when, and what comes next.
type Told = (Stage, Duration, Option<(Duration, &'static str)>);

fn beginning(life: &Life, course: &Course, wall: Duration) -> Told {
    let published = course.published.from.unwrap_or(life.created);
    let to_parent = Some((course.ready, "its DS may go to the parent"));
    match (life.ds_seen, course.active) {
        _ if wall < published => (Stage::Presigning, life.created, Some((published, "it is in DNSKEY"))),
        _ if wall < course.ready && life.follows.is_none() => (Stage::Introduced, life.created, to_parent),
        _ if wall < course.ready => (Stage::Published, published, to_parent),
        (None, _) | (_, None) => (Stage::Ready, course.ready, None),
        (Some(seen), Some(active)) if wall < active => (Stage::Settling, seen, Some((active, "it is in force"))),
        (_, Some(active)) => (Stage::Active, active, None),
    }
}
