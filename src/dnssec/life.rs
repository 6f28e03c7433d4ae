//! The life of a zone's keys: which steps operators may take when, and what each key does at a moment.
//!
//! A fold over the steps that were taken ([`Lives::after`]), and a function of the wall clock on top of it ([`Course`]).
//! What must hold at every moment: whichever DS, DNSKEY and signatures a resolver still holds of those that were ever
//! published, they validate together, for validators that want one path (RFC 6840 §5.11) and for strict ones that want
//! every algorithm (RFC 4035 §2.2). The waits are RFC 7583's, reckoned for combined signing keys:
//!
//! ```text
//! first key         generate ── signs, published ──(zone TTL)── ready ─ ds_seen ─ active
//! same algorithm    roll ── published ──(DNSKEY TTL)── ready ─ ds_seen ──(DS TTL)── active: it alone signs the zone
//!                   the old key: retired ──(zone TTL after that, DS TTL after ds_gone)── removed
//! other algorithm   roll ── signs ──(zone TTL)── published ──(DNSKEY TTL)── ready ─ ds_seen ──(DS TTL)── active
//! (RFC 6781 §4.1.4) the old key: unpublished (DS TTL after ds_gone) ──(DNSKEY TTL)── signs no more, removed
//! to unsigned       CDS says delete ─ ds_gone ──(DS TTL)── removed, unsigned
//! ```
//!
//! Every wait has [`PROPAGATION`] on top, and every step is followed by one before anything depends on it: so a node may
//! learn of a step that much later than another.

use super::timing::{DNSKEY_TTL, PARENT_TTL_MAX, PARENT_TTL_MIN, PROPAGATION, ZONE_TTL_MAX};
use crate::moment::rfc3339;
use hickory_proto::dnssec::Algorithm;
use std::time::Duration;

/// Something that an operator does, or says to be done at the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first key of a zone without any.
    Generate(NewKey),
    /// A key that is to follow the one in force.
    Roll(NewKey),
    /// Every server of the parent has the DS of this key.
    DsSeen {
        /// Which key.
        tag: u16,
        /// The TTL of the parent's DS, if it is longer than was thought.
        parent_ttl: Option<Duration>,
    },
    /// No server of the parent has the DS of this key any more.
    DsGone {
        /// Which key.
        tag: u16,
    },
    /// The zone is to be unsigned again.
    ToUnsigned,
    /// The newest key is not wanted after all, or the zone is to stay signed.
    Cancel,
    /// The private half of a removed key is destroyed.
    Forget {
        /// Which key.
        tag: u16,
    },
}

/// A key that begins its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What signatures name it by; no key of the zone ever had the same.
    pub tag: u16,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// How long the parent's DS may be believed.
    pub parent_ttl: Duration,
}

/// Why a step is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Caches may still hold what would not fit to it.
    #[error("too early: {why}; it is allowed from {}", rfc3339(*from))]
    TooEarly {
        /// What has to pass before.
        why: String,
        /// From when on, since the Unix epoch.
        from: Duration,
    },
    /// Something else has to happen first.
    #[error("not now: {0}")]
    NotNow(String),
    /// No key has this tag, or none that lives.
    #[error("there is no key {tag} here; {}", listed(known))]
    UnknownKey {
        /// The tag that was named.
        tag: u16,
        /// Those that live.
        known: Vec<u16>,
    },
    /// A new key has the tag of one that was.
    #[error("there was a key with the tag {0} before: make another")]
    TagUsed(u16),
    /// A TTL that no parent has.
    #[error("a parent TTL of {} s: it is from {} to {} s", .0.as_secs(), PARENT_TTL_MIN.as_secs(), PARENT_TTL_MAX.as_secs())]
    ParentTtl(Duration),
    /// The clock is behind what was written.
    #[error("the clock says {}, but the last step was at {}: mend the clock first", rfc3339(*now), rfc3339(*last))]
    Behind {
        /// What the clock says.
        now: Duration,
        /// The last step.
        last: Duration,
    },
}

fn listed(tags: &[u16]) -> String {
    match tags {
        [] => "the zone has none".to_owned(),
        tags => format!("there are {}", tags.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// What the steps say of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// What signatures name it by.
    pub tag: u16,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// How long the parent's DS may be believed.
    pub parent_ttl: Duration,
    /// When it was made; this and all times are since the Unix epoch.
    pub created: Duration,
    /// The key before it, as an index, if the zone was signed.
    pub follows: Option<usize>,
    /// When its DS was said to be at the parent.
    pub ds_seen: Option<Duration>,
    /// When its DS was said to be there no more.
    pub ds_gone: Option<Duration>,
    /// When it was said that the zone be unsigned.
    pub withdrawn: Option<Duration>,
    /// When it was said that this key is not wanted.
    pub cancelled: Option<Duration>,
    /// When its private half was destroyed.
    pub forgotten: Option<Duration>,
}

/// From when until when something is done; without an end as long as nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// `None` is never, or not yet known.
    pub from: Option<Duration>,
    /// The first moment after it.
    pub until: Option<Duration>,
}

impl Span {
    /// Whether `wall` is in it.
    #[must_use]
    pub fn holds(&self, wall: Duration) -> bool {
        self.from.is_some_and(|from| from <= wall) && self.until.is_none_or(|until| wall < until)
    }
}

/// When a key does what, as far as the steps so far decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// It is in DNSKEY.
    pub published: Span,
    /// It signs DNSKEY, CDS and CDNSKEY.
    pub signs_keys: Span,
    /// It signs everything else.
    pub signs_zone: Span,
    /// From when on the parent may vouch for it.
    pub ready: Duration,
    /// From when on everybody who validates believes in it.
    pub active: Option<Duration>,
    /// From when on it does nothing any more and nobody holds anything of it.
    pub removed: Option<Duration>,
}

/// All keys that a zone ever had, oldest first, and the steps that made them so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    pub(super) lives: Vec<Life>,
    pub(super) last: Duration,
    pub(super) steps: u64,
}

impl Lives {
    /// The keys, oldest first.
    #[must_use]
    pub fn all(&self) -> &[Life] {
        &self.lives
    }

    /// When the last step was taken.
    #[must_use]
    pub fn last_step(&self) -> Duration {
        self.last
    }

    /// How many steps were taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The clock, but never before the last step: what has been written has happened, whatever a clock says.
    #[must_use]
    pub fn not_before_last_step(&self, wall: Duration) -> Duration {
        wall.max(self.last)
    }

    /// Those that are not removed at `wall`, as indexes, oldest first.
    #[must_use]
    pub fn living(&self, wall: Duration) -> Vec<usize> {
        let lives = |at: &usize| self.course(*at).removed.is_none_or(|removed| wall < removed);
        (0..self.lives.len()).filter(lives).collect()
    }

    /// The key that follows this one, as an index, unless it was cancelled.
    #[must_use]
    pub fn successor(&self, at: usize) -> Option<usize> {
        self.lives.iter().position(|life| life.follows == Some(at) && life.cancelled.is_none())
    }

    /// When the key does what.
    ///
    /// # Panics
    /// If there is no such key.
    #[must_use]
    pub fn course(&self, at: usize) -> Course {
        let life = &self.lives[at];
        let before = life.follows.map(|before| &self.lives[before]);
        let is_other_algorithm = before.is_some_and(|before| before.algorithm != life.algorithm);
        let published = if is_other_algorithm { life.created + ZONE_TTL_MAX + PROPAGATION } else { life.created };
        // The first key waits for unsigned answers to be forgotten, a later one for DNSKEY without it.
        let known_after = if before.is_none() { ZONE_TTL_MAX.max(DNSKEY_TTL) } else { DNSKEY_TTL };
        let ready = published + known_after + PROPAGATION;
        // Who holds no DS validates nothing; who holds the old key's may do so until its TTL has passed.
        let seen = life.ds_seen.filter(|_| life.cancelled.is_none());
        let active = seen.map(|seen| if before.is_none() { seen } else { seen + ds_forgotten_after(life, before) });
        let signs_from = if before.is_some() && !is_other_algorithm { active } else { Some(life.created) };
        let end = self.end(at, published, ready);
        Course {
            published: Span { from: Some(published), until: end.published },
            signs_keys: Span { from: Some(life.created), until: end.signs_keys },
            signs_zone: Span { from: signs_from, until: end.signs_zone },
            ready,
            active,
            removed: end.removed,
        }
    }

    fn end(&self, at: usize, published: Duration, ready: Duration) -> End {
        let life = &self.lives[at];
        let before = life.follows.map(|before| &self.lives[before]);
        if let Some(cancelled) = life.cancelled {
            let is_other_algorithm = before.is_some_and(|before| before.algorithm != life.algorithm);
            // Before the key was ready no parent can have vouched for it; a node that hears of it late is no exception.
            let was_secret = cancelled + PROPAGATION <= ready;
            let unpublished = if was_secret { Some(cancelled) } else { ds_forgotten(life, before) };
            let was_published = published < cancelled + PROPAGATION;
            return if is_other_algorithm && was_published {
                End::of_algorithm(unpublished)
            } else {
                End::at_once(unpublished)
            };
        }
        if life.withdrawn.is_some() {
            return End::at_once(ds_forgotten(life, None));
        }
        let Some(next) = self.successor(at).map(|next| &self.lives[next]) else { return End::default() };
        let Some(replaced) = next.ds_seen.map(|seen| seen + ds_forgotten_after(next, Some(life))) else {
            return End::default();
        };
        let untrusted = ds_forgotten(life, Some(next)).map(|forgotten| forgotten.max(replaced));
        if next.algorithm != life.algorithm {
            return End::of_algorithm(untrusted);
        }
        let unpublished = untrusted.map(|untrusted| untrusted.max(replaced + ZONE_TTL_MAX + PROPAGATION));
        End { signs_zone: Some(replaced), signs_keys: untrusted, published: unpublished, removed: unpublished }
    }
}

/// How long after a change from one key's DS to the other's nobody holds what was there before.
fn ds_forgotten_after(life: &Life, other: Option<&Life>) -> Duration {
    other.map_or(life.parent_ttl, |other| other.parent_ttl.max(life.parent_ttl)) + PROPAGATION
}

/// From when on nobody holds the DS of `life`.
fn ds_forgotten(life: &Life, other: Option<&Life>) -> Option<Duration> {
    life.ds_gone.map(|gone| gone + ds_forgotten_after(life, other))
}

/// The ends of what a key does.
#[derive(Default)]
struct End {
    published: Option<Duration>,
    signs_keys: Option<Duration>,
    signs_zone: Option<Duration>,
    removed: Option<Duration>,
}

impl End {
    fn at_once(end: Option<Duration>) -> Self {
        Self { published: end, signs_keys: end, signs_zone: end, removed: end }
    }

    /// The last key of an algorithm signs until nobody holds the DNSKEY that promises its signatures.
    fn of_algorithm(unpublished: Option<Duration>) -> Self {
        let end = unpublished.map(|unpublished| unpublished + DNSKEY_TTL + PROPAGATION);
        Self { published: unpublished, ..Self::at_once(end) }
    }
}
