//! The keys that sign a zone: where they are kept, what each is for at a moment, and how RRsets are signed with them.
//!
//! A [`Keyring`] is one folder's content, read once; what is to be published and who signs is then a pure function of the
//! wall clock ([`Keyring::at`]), so that all nodes with the same folder publish the same. Operators change the folder
//! ([`folder`], `anyfront dnssec`), and only in ways after which no cache anywhere can hold what does not validate
//! ([`life`]). When to sign anew is [`timing`]'s; what is signed is the caller's. DNSSEC is RFC 9364 and what it lists.

pub mod canonical;
pub mod change;
pub mod folder;
pub mod key;
pub mod life;
pub mod outlook;
pub mod record;
pub mod roles;
pub mod steps;
pub mod timing;

use folder::{Folder, KeyError};
use hickory_proto::dnssec::rdata::{CDNSKEY, CDS, DNSKEY};
use hickory_proto::rr::Name;
use key::Key;
use record::Record;
use roles::Wanted;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The keys in one folder, and what each is for at a time.
#[derive(Debug)]
pub struct Keyring {
    record: Record,
    /// In the order of the record; `None` for those that sign nothing any more.
    keys: Vec<Option<Arc<Key>>>,
    /// What a person should know about the folder, though it can be used.
    pub remarks: Vec<String>,
}

/// What is to be published and who signs, at a moment.
#[derive(Clone, Debug)]
pub struct Duty {
    /// The DNSKEY RRset, with the TTL [`timing::DNSKEY_TTL`]; empty is an unsigned zone.
    pub dnskeys: Vec<DNSKEY>,
    /// Whose signatures DNSKEY, CDS and CDNSKEY carry; all of `signs_zone` are among them.
    pub signs_keys: Vec<Arc<Key>>,
    /// Whose signatures everything else carries: each of them, on every RRset. Empty is an unsigned zone.
    pub signs_zone: Vec<Arc<Key>>,
    /// The CDS RRset at the apex; empty is none (RFC 7344).
    pub cds: Vec<CDS>,
    /// The CDNSKEY RRset at the apex; empty is none.
    pub cdnskeys: Vec<CDNSKEY>,
    /// The wall time at which this changes, if nobody changes the folder before.
    pub until: Option<Duration>,
    /// The wall time that this is for: no earlier than the last step in the folder, whatever the clock says. Signatures
    /// should be made for it, too.
    pub wall: Duration,
}

impl Keyring {
    /// Reads the keys of `zone` in `folder`.
    ///
    /// # Errors
    /// Which file cannot be used, and what to do about it.
    pub fn open(folder: &Path, zone: &Name) -> Result<Self, KeyError> {
        let folder = Folder::open(folder)?;
        let record = folder.record(zone)?;
        let mut keys = Vec::new();
        let needed = record.lives.living(record.lives.last_step());
        for (at, life) in record.lives.all().iter().enumerate() {
            // One that was removed when the last step was taken signs nothing, whatever the clock says.
            let key = if needed.contains(&at) { folder.key(&record, at)? } else { None };
            if key.is_none() && needed.contains(&at) {
                return Err(KeyError::Missing { path: folder.key_path(life), tag: life.tag });
            }
            keys.push(key.map(Arc::new));
        }
        let remarks = folder.strays(&record)?.into_iter().map(|path| KeyError::Stray { path }.to_string()).collect();
        Ok(Self { record, keys, remarks })
    }

    /// What is to be published and who signs at `wall`, since the Unix epoch. A clock that is behind the last step is taken
    /// to be at it.
    #[must_use]
    pub fn at(&self, wall: Duration) -> Duty {
        let lives = &self.record.lives;
        let roles = lives.roles(wall);
        let keys = |who: &[usize]| who.iter().filter_map(|at| self.keys[*at].clone()).collect();
        let (cds, cdnskeys) = match roles.wanted {
            Wanted::Nothing => (Vec::new(), Vec::new()),
            Wanted::Only(at) => one(key::cds(&self.record.dnskeys[at], &self.record.zone)),
            Wanted::Delete => one(key::cds_delete()),
        };
        Duty {
            dnskeys: roles.published.iter().map(|at| self.record.dnskeys[*at].clone()).collect(),
            signs_keys: keys(&roles.sign_keys),
            signs_zone: keys(&roles.sign_zone),
            cds,
            cdnskeys,
            until: roles.until,
            wall: lives.not_before_last_step(wall),
        }
    }

    /// How many steps the folder holds: nodes with different numbers have different folders.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.record.lives.steps()
    }

    /// What is written of the keys.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }
}

fn one((cds, cdnskey): (CDS, CDNSKEY)) -> (Vec<CDS>, Vec<CDNSKEY>) {
    (vec![cds], vec![cdnskey])
}
