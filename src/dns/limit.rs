//! How much a source gets over UDP, where it may be anybody who says that it is that source: response rate limiting.
//!
//! A machine; each worker has one. A source is a /24 or /56, and has a bucket for each kind of answer: what one of its kind
//! asks too much of does not cost the others. Of answers beyond the limit every second one *slips*: it goes out cut short, as
//! long as its question and with TC set, so that a client who is really there comes back over TCP, which proves it; the rest
//! is dropped. A flood in a victim's name therefore yields half its own octets, and what the limit grants.
//! Who has shown where it is (TCP, TLS, HTTPS, a good cookie) is not asked about here at all.
//!
//! The table has one size for ever. Its hash is keyed, so nobody can aim at the bucket of another. Where more sources meet than
//! there is room for, the newcomer takes the emptiest bucket as it is (the space-saving algorithm: Metwally, Agrawal and El
//! Abbadi 2005). So nobody gets more than the limit by being forgotten; whoever asks little takes over from those who ask
//! little and notices nothing; and only where even the emptiest is full is a newcomer refused for others, and then what it gets
//! first is an answer cut short, so that it is served over TCP.

use crate::limits::{DNS_LIMIT_BUCKETS, DNS_LIMIT_BURST, DNS_SIGNATURES_BURST, DNS_SIGNATURES_PER_SECOND};
use crate::moment::Moment;
use siphasher::sip::SipHasher13;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Buckets that a source may be in: it is looked for in all, and if it is in none, the emptiest becomes its own.
const WAYS: usize = 4;
/// Bits of a name's hash that tell positive answers apart. Few, so that asking for many names yields 8 times the limit and no
/// more.
const NAME_BITS: u32 = 3;
/// Longest name with what follows it in a question, octets (RFC 1035 §2.3.4).
const QUESTION_BYTES_MAX: usize = 255 + 4;

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something exists: counted for each name, more or less.
    Positive,
    /// Nothing does: counted for the zone, or random names would be a way around.
    Negative,
    /// A refusal or an error.
    Refused,
}

/// What is to be done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Pass,
    /// It goes out cut short, with TC set.
    Slip,
    /// It does not go out.
    Drop,
}

/// Counts answers by source.
pub struct Limiter {
    hash: SipHasher13,
    /// Apart, in sets of [`WAYS`].
    buckets: Box<[[Bucket; WAYS]]>,
    /// Between two answers, nanoseconds; 0 is no limit.
    interval: u64,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({} buckets, one answer in {} ns)", self.buckets.len() * WAYS, self.interval)
    }
}

/// One source and kind.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which: a hash that two of them do not share in practice.
    tag: u64,
    filled: Filled,
    slips: bool,
}

/// How full a bucket is, as the time when it will be empty (the generic cell rate algorithm, ITU-T I.371): one number, and
/// nothing has to be done as time goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Filled(u64);

impl Filled {
    /// One more, of those that leave at `interval`; `None` if it would not be empty within `burst` then.
    fn one_more(self, now: Moment, interval: u64, burst: u64) -> Option<Self> {
        let now = now.as_nanos();
        let after = self.0.max(now).saturating_add(interval);
        (after - now <= burst.max(interval)).then_some(Self(after))
    }
}

fn interval(per_second: u32) -> u64 {
    1_000_000_000_u64.checked_div(u64::from(per_second)).unwrap_or(0)
}

fn nanoseconds(duration: Duration) -> u64 {
    Moment::at(duration).as_nanos()
}

impl Limiter {
    /// One that lets everything pass until it is told a [`limit`](Self::limit). `key` is random, and nobody outside knows it.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        let buckets = vec![[Bucket::default(); WAYS]; DNS_LIMIT_BUCKETS / WAYS].into_boxed_slice();
        Self { hash: SipHasher13::new_with_key(&key), buckets, interval: 0 }
    }

    /// From now on so many answers a second for each source and kind, and [`DNS_LIMIT_BURST`]'s worth at once; 0 is no limit.
    /// Costs nothing if it is what holds already.
    pub fn limit(&mut self, answers_per_second: u32) {
        self.interval = interval(answers_per_second);
    }

    /// Whether an answer of `kind` may go to `source` at `now`. `name` is the name in the question as it came, with type and
    /// class or without: capital letters do not matter. Allocates nothing.
    pub fn check(&mut self, source: IpAddr, kind: Kind, name: &[u8], now: Moment) -> Verdict {
        if self.interval == 0 {
            return Verdict::Pass;
        }
        let (tag, interval) = (self.tag(source, kind, name), self.interval);
        let set = tag as usize & (self.buckets.len() - 1);
        let set = &mut self.buckets[set];
        let burst = nanoseconds(DNS_LIMIT_BURST);
        let known = set.iter().position(|bucket| bucket.tag == tag);
        let at = known.unwrap_or_else(|| (0..WAYS).min_by_key(|at| set[*at].filled).expect("there are some"));
        if known.is_none() {
            set[at] = Bucket { tag, slips: false, ..set[at] };
        }
        let bucket = &mut set[at];
        if let Some(filled) = bucket.filled.one_more(now, interval, burst) {
            bucket.filled = filled;
            return Verdict::Pass;
        }
        bucket.slips = !bucket.slips;
        if bucket.slips { Verdict::Slip } else { Verdict::Drop }
    }

    fn tag(&self, source: IpAddr, kind: Kind, name: &[u8]) -> u64 {
        let mut key = [0; 10];
        key[0] = match kind {
            Kind::Positive => (self.name_hash(name) & ((1 << NAME_BITS) - 1)) as u8,
            Kind::Negative => 1 << NAME_BITS,
            Kind::Refused => 2 << NAME_BITS,
        };
        match source.to_canonical() {
            IpAddr::V4(v4) => {
                key[1] = 4;
                key[2..5].copy_from_slice(&v4.octets()[..3]);
            }
            IpAddr::V6(v6) => {
                key[1] = 6;
                key[2..9].copy_from_slice(&v6.octets()[..7]);
            }
        }
        self.hash.hash(&key)
    }

    fn name_hash(&self, name: &[u8]) -> u64 {
        let mut lower = [0; QUESTION_BYTES_MAX];
        let name = &name[..name.len().min(QUESTION_BYTES_MAX)];
        let lower = &mut lower[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.hash.hash(lower)
    }
}

/// How many signatures may be made a second. A machine; each worker has one.
#[derive(Clone, Copy, Debug)]
pub struct SigningBudget {
    filled: Filled,
    interval: u64,
}

impl Default for SigningBudget {
    /// [`DNS_SIGNATURES_PER_SECOND`].
    fn default() -> Self {
        Self::new(DNS_SIGNATURES_PER_SECOND)
    }
}

impl SigningBudget {
    /// So many signatures a second, and [`DNS_SIGNATURES_BURST`]'s worth at once; at least one a second.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { filled: Filled::default(), interval: interval(per_second.max(1)) }
    }

    /// Whether a signature may be made at `now`; if so, it is counted.
    #[must_use]
    pub fn take(&mut self, now: Moment) -> bool {
        let filled = self.filled.one_more(now, self.interval, nanoseconds(DNS_SIGNATURES_BURST));
        self.filled = filled.unwrap_or(self.filled);
        filled.is_some()
    }
}

#[cfg(test)]
mod tests;
