//! Changes the keys: one step, allowed first, then written down.
//!
//! A private half is on the disk before the step that makes its key: cut off in between, it is a file that nobody uses.

use super::folder::{Folder, KeyError, Locked};
use super::key::{BadKey, Key};
use super::life::{NewKey, Refusal, Step};
use super::record::Record;
use hickory_proto::dnssec::Algorithm;
use hickory_proto::rr::Name;
use std::path::Path;
use std::time::Duration;

/// How often a key is made anew because its tag is taken: one in 65 536 is.
const TRIES: usize = 8;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The step is not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] KeyError),
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] BadKey),
}

/// A zone's keys, while nobody else changes them.
#[derive(Debug)]
pub struct Change {
    folder: Locked,
    record: Record,
}

impl Change {
    /// The keys of `zone` in `folder`, which is made if `is_new` says that there may be none yet.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be used, a private half lies about that no step made, or another command is at it.
    pub fn begin(folder: &Path, zone: &Name, is_new: bool) -> Result<Self, KeyError> {
        let opened = if is_new { Folder::make(folder)? } else { Folder::open(folder)? };
        let folder = opened.lock()?;
        let record = match folder.folder().record(zone) {
            Err(KeyError::None { .. }) if is_new => Record::empty(zone),
            read => read?,
        };
        if let Some(path) = folder.folder().strays(&record)?.pop() {
            return Err(KeyError::Stray { path });
        }
        Ok(Self { folder, record })
    }

    /// The keys as they are now.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Makes a key and takes the step that brings it, at `now` since the Unix epoch and in the name of `by`.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn make(
        &mut self,
        step: fn(NewKey) -> Step,
        algorithm: Algorithm,
        parent_ttl: Duration,
        now: Duration,
        by: &str,
    ) -> Result<u16, ChangeError> {
        for _ in 0..TRIES {
            let (key, text) = Key::generate(algorithm)?;
            let step = step(NewKey { tag: key.tag, algorithm, parent_ttl });
            let next = match self.record.after(&step, Some(key.dnskey), now, by) {
                Err(Refusal::TagUsed(_)) => continue,
                next => next?,
            };
            let life = next.lives.all().last().expect("the key that was just made");
            self.folder.write_key(life, &text)?;
            self.folder.write_record(&next)?;
            self.record = next;
            return Ok(key.tag);
        }
        Err(Refusal::NotNow(format!("each of {TRIES} new keys has a tag that was there before")).into())
    }

    /// Takes steps that make no key, all of them or none.
    ///
    /// # Errors
    /// Why nothing was changed. If the private half of a key that is forgotten cannot be destroyed, the step is written down
    /// all the same.
    pub fn take(&mut self, steps: &[Step], now: Duration, by: &str) -> Result<(), ChangeError> {
        let mut next = self.record.clone();
        for step in steps {
            next = next.after(step, None, now, by)?;
        }
        self.folder.write_record(&next)?;
        self.record = next;
        for step in steps {
            if let Step::Forget { tag } = step {
                let mut lives = self.record.lives.all().iter();
                let life = lives.find(|life| life.tag == *tag).expect("the step was allowed");
                self.folder.remove_key(life)?;
            }
        }
        Ok(())
    }
}
