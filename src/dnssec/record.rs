//! `keys.json`: the keys of a zone and every step of their lives, as written.
//!
//! A log: it is read by taking its steps again, so a file whose steps were not allowed is refused however it came to be.
//! Times are the wall clock's, to the second, so that all nodes with the same file do the same.

use super::key::ALGORITHMS;
use super::life::{Lives, NewKey, Step};
use crate::moment::{rfc3339, since_epoch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::dnssec::rdata::DNSKEY;
use hickory_proto::dnssec::{Algorithm, PublicKey, PublicKeyBuf};
use hickory_proto::rr::Name;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The format that is written and read: it stands for the delays in [`timing`](super::timing) too.
const FORMAT: u32 = 1;

/// What a zone's keys are and were.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose keys, in lower case.
    pub zone: Name,
    /// What was done with them.
    pub lives: Lives,
    /// Their public halves, in the order of [`Lives::all`].
    pub dnskeys: Vec<DNSKEY>,
    /// Every step, as written.
    taken: Vec<WrittenStep>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    zone: String,
    keys: Vec<WrittenKey>,
    steps: Vec<WrittenStep>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    tag: u16,
    algorithm: u8,
    /// As in a zone file.
    dnskey: String,
}

/// One step, as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    at: String,
    step: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_ttl_seconds: Option<u64>,
    /// Who took it.
    by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Generate,
    Roll,
    DsSeen,
    DsGone,
    ToUnsigned,
    Cancel,
    Forget,
}

/// A step that was taken, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    /// When, RFC 3339.
    pub at: String,
    /// What.
    pub step: String,
    /// With which key, if with one.
    pub key: Option<u16>,
    /// By whom.
    pub by: String,
}

impl Record {
    /// Of a zone that never had a key.
    #[must_use]
    pub fn empty(zone: &Name) -> Self {
        Self { zone: zone.to_lowercase(), lives: Lives::default(), dnskeys: Vec::new(), taken: Vec::new() }
    }

    /// Reads what [`text`](Self::text) wrote.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if written.format != FORMAT {
            return Err(format!("its format is {}, this program knows {FORMAT}", written.format));
        }
        let zone = Name::from_ascii(&written.zone).map_err(|error| format!("zone {:?}: {error}", written.zone))?;
        let mut record = Self::empty(&zone);
        let mut keys = written.keys.iter();
        for (at, step) in written.steps.into_iter().enumerate() {
            let told = |problem: String| format!("step {}, {:?} at {}: {problem}", at + 1, step.step, step.at);
            let when = since_epoch(&step.at).ok_or_else(|| told("that is no time (RFC 3339)".to_owned()))?;
            let dnskey = match step.step {
                Word::Generate | Word::Roll => {
                    let key = keys.next().ok_or_else(|| told("its key is not among the keys".to_owned()))?;
                    Some(key.proven().map_err(|problem| told(format!("key {}: {problem}", key.tag)))?)
                }
                _ => None,
            };
            let proven = step.proven(dnskey.as_ref()).map_err(told)?;
            record.lives = record.lives.after(&proven, when).map_err(|refusal| told(refusal.to_string()))?;
            record.dnskeys.extend(dnskey);
            record.taken.push(step);
        }
        match keys.next() {
            Some(key) => Err(format!("no step made the key {}", key.tag)),
            None => Ok(record),
        }
    }

    /// One more step; `dnskey` is the public half of the key that it makes, if it makes one.
    ///
    /// # Errors
    /// Why it is not allowed.
    ///
    /// # Panics
    /// If a key is made without its public half.
    pub fn after(
        &self,
        step: &Step,
        dnskey: Option<DNSKEY>,
        now: Duration,
        by: &str,
    ) -> Result<Self, super::life::Refusal> {
        // What is written is what counts, and it is written to the second.
        let now = Duration::from_secs(now.as_secs());
        let lives = self.lives.after(step, now)?;
        let mut next = Self { lives, ..self.clone() };
        next.dnskeys.extend(dnskey);
        assert_eq!(next.dnskeys.len(), next.lives.all().len(), "a key has a public half");
        next.taken.push(WrittenStep::of(step, now, by));
        Ok(next)
    }

    /// What the file should hold.
    ///
    /// # Panics
    /// Never: it is plain JSON.
    #[must_use]
    pub fn text(&self) -> String {
        let keys = self.dnskeys.iter().zip(self.lives.all()).map(|(dnskey, life)| WrittenKey {
            tag: life.tag,
            algorithm: life.algorithm.into(),
            dnskey: presented(dnskey),
        });
        let written =
            Written { format: FORMAT, zone: self.zone.to_ascii(), keys: keys.collect(), steps: self.taken.clone() };
        let mut text = serde_json::to_string_pretty(&written).expect("plain JSON");
        text.push('\n');
        text
    }

    /// The steps that were taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        let taken = self.taken.iter().map(|step| Taken {
            at: step.at.clone(),
            step: serde_json::to_value(step.step)
                .ok()
                .and_then(|word| Some(word.as_str()?.to_owned()))
                .unwrap_or_default(),
            key: step.key,
            by: step.by.clone(),
        });
        taken.collect()
    }
}

impl WrittenKey {
    fn proven(&self) -> Result<DNSKEY, String> {
        let algorithm = Algorithm::from_u8(self.algorithm);
        if !ALGORITHMS.contains(&algorithm) {
            return Err(format!("algorithm {} is none of 13 and 15", self.algorithm));
        }
        let head = format!("257 3 {} ", self.algorithm);
        let body = self.dnskey.strip_prefix(&head).ok_or_else(|| format!("its dnskey does not begin with {head:?}"))?;
        let octets = STANDARD.decode(body).map_err(|error| format!("its dnskey: {error}"))?;
        let dnskey = DNSKEY::new(true, true, false, PublicKeyBuf::new(octets, algorithm));
        match dnskey.calculate_key_tag() {
            Ok(tag) if tag == self.tag => Ok(dnskey),
            Ok(tag) => Err(format!("its dnskey has the tag {tag}")),
            Err(error) => Err(format!("its dnskey: {error}")),
        }
    }
}

impl WrittenStep {
    fn of(step: &Step, now: Duration, by: &str) -> Self {
        let (word, key, ttl) = match step {
            Step::Generate(key) => (Word::Generate, Some(key.tag), Some(key.parent_ttl)),
            Step::Roll(key) => (Word::Roll, Some(key.tag), Some(key.parent_ttl)),
            Step::DsSeen { tag, parent_ttl } => (Word::DsSeen, Some(*tag), *parent_ttl),
            Step::DsGone { tag } => (Word::DsGone, Some(*tag), None),
            Step::ToUnsigned => (Word::ToUnsigned, None, None),
            Step::Cancel => (Word::Cancel, None, None),
            Step::Forget { tag } => (Word::Forget, Some(*tag), None),
        };
        let parent_ttl_seconds = ttl.map(|ttl| ttl.as_secs());
        Self { at: rfc3339(now), step: word, key, parent_ttl_seconds, by: by.to_owned() }
    }

    fn proven(&self, dnskey: Option<&DNSKEY>) -> Result<Step, String> {
        let tag = || self.key.ok_or_else(|| "it names no key".to_owned());
        let parent_ttl = self.parent_ttl_seconds.map(Duration::from_secs);
        let new_key = || -> Result<NewKey, String> {
            let algorithm = dnskey.map(|dnskey| dnskey.public_key().algorithm()).ok_or("it has no key")?;
            let parent_ttl = parent_ttl.ok_or("it says no parent_ttl_seconds")?;
            Ok(NewKey { tag: tag()?, algorithm, parent_ttl })
        };
        if let Some(made) =
            dnskey.and_then(|dnskey| dnskey.calculate_key_tag().ok()).filter(|made| Some(*made) != self.key)
        {
            return Err(format!("the next of the keys is {made}"));
        }
        Ok(match self.step {
            Word::Generate => Step::Generate(new_key()?),
            Word::Roll => Step::Roll(new_key()?),
            Word::DsSeen => Step::DsSeen { tag: tag()?, parent_ttl },
            Word::DsGone => Step::DsGone { tag: tag()? },
            Word::ToUnsigned => Step::ToUnsigned,
            Word::Cancel => Step::Cancel,
            Word::Forget => Step::Forget { tag: tag()? },
        })
    }
}

/// DNSKEY as a zone file has it (RFC 4034 §2.2).
fn presented(dnskey: &DNSKEY) -> String {
    let public = dnskey.public_key();
    format!("{} 3 {} {}", dnskey.flags(), u8::from(public.algorithm()), STANDARD.encode(public.public_bytes()))
}
