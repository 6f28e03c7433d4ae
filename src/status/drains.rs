//! What operators said, kept over restarts, and who said it.
//!
//! Two files in the state folder. `drains.json` has every drain in force and is replaced whole, so that it is always one
//! version or the next. `audit.jsonl` has one line for every wish, written before the wish is done, and only ever grows.
//! A drain is a wish for safety, so a `drains.json` that cannot be understood stops the start: a node that forgot its
//! drains would send work where an operator said not to. Applying them is `control`'s business, not ours.

use super::audit::{Audit, AuditLine};
use crate::limits::OVERRIDES_MAX;
use crate::moment::rfc3339;
use crate::snapshot::{Override, Target};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest reason and longest name of a person, characters: with them a line of the audit log stays below 16 KiB even
/// if every character has to be escaped.
pub const REASON_CHARACTERS_MAX: usize = 500;
/// Longest file of drains that is read, octets: as many as may be in force, each with the longest reason.
const FILE_BYTES_MAX: u64 = (OVERRIDES_MAX as u64) * (16 << 10);

/// Why drains cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// A file or folder that cannot be used.
    #[error("{}: {doing}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: `cannot be read`.
        doing: &'static str,
        /// Why not. Not a source: whoever prints those, too, would say it twice.
        why: io::Error,
    },
    /// A file that does not hold what it should.
    #[error(
        "{}: holds no drains that can be understood: {problem}; starting without them could send work where an \
         operator said not to, so mend the file, or move it away to start with none",
        path.display()
    )]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// One more than there may be.
    #[error("{OVERRIDES_MAX} drains are in force already, and no more can be")]
    TooMany,
    /// Nothing to lift.
    #[error("{0} is not drained")]
    NotDrained(Target),
}

/// Something an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Keep new work away; replaces an earlier drain of the same target.
    Drain(Override),
    /// Let work back.
    Lift(Target),
    /// Have the file read again; kept here only for the audit log.
    Reload,
    /// Something that others keep; here only for the audit log.
    Note {
        /// What is done: `incident_open`.
        action: &'static str,
        /// With what, if that is known before.
        target: Option<String>,
    },
}

/// Who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// As they call themselves.
    pub who: String,
    /// From which address.
    pub from: IpAddr,
    /// Why.
    pub reason: String,
}

/// The drains in force and their files.
#[derive(Debug)]
pub struct Drains {
    path: PathBuf,
    audit: Audit,
    overrides: Arc<[Override]>,
}

/// `drains.json`, as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    drains: Vec<WrittenDrain>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDrain {
    target: String,
    hard: bool,
    reason: String,
    who: String,
    /// Milliseconds since the Unix epoch.
    since_ms: u64,
    until_ms: Option<u64>,
}

impl Drains {
    /// Opens the files in `state_dir`, which is made if it is not there. Drains that ended before `wall` are dropped. On a
    /// disk that is read-only nothing is made: there are no drains then but those that were, and none can be added.
    ///
    /// # Errors
    /// If a file cannot be used or understood: see the module on why that stops a start.
    pub fn open(state_dir: &Path, wall: Duration) -> Result<Self, DrainError> {
        match std::fs::create_dir_all(state_dir) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                let (path, audit) = (state_dir.join("drains.json"), Audit::unwritable(state_dir));
                return Ok(Self { path, audit, overrides: Arc::default() });
            }
            made => made.map_err(failed(state_dir, "cannot be made"))?,
        }
        let path = state_dir.join("drains.json");
        let overrides = read(&path)?.into_iter().filter(|drain| drain.until.is_none_or(|until| until > wall)).collect();
        let audit = Audit::open(state_dir)?;
        Ok(Self { path, audit, overrides })
    }

    /// Every drain that was in force when it was last looked; some may have ended since.
    #[must_use]
    pub fn overrides(&self) -> Arc<[Override]> {
        Arc::clone(&self.overrides)
    }

    /// Writes down a wish and what follows from it: first into the audit log, then into `drains.json`. Blocks until both
    /// are on the disk.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn grant(&mut self, wish: Wish, operator: &Operator, wall: Duration) -> Result<Arc<[Override]>, DrainError> {
        let mut next: Vec<Override> =
            self.overrides.iter().filter(|drain| drain.until.is_none_or(|until| until > wall)).cloned().collect();
        let line = AuditLine::of(&wish, operator, wall);
        match wish {
            Wish::Drain(drain) => {
                next.retain(|earlier| earlier.target != drain.target);
                if next.len() >= OVERRIDES_MAX {
                    return Err(DrainError::TooMany);
                }
                next.push(drain);
            }
            Wish::Lift(target) => {
                let before = next.len();
                next.retain(|drain| drain.target != target);
                if next.len() == before {
                    return Err(DrainError::NotDrained(target));
                }
            }
            Wish::Reload | Wish::Note { .. } => {
                self.audit.note(&line)?;
                return Ok(self.overrides());
            }
        }
        self.audit.note(&line)?;
        if let Err(error) = self.write(&next) {
            // The log must not claim what did not happen. If even this fails, the answer of this call says so anyhow.
            let _ = self.audit.note(&AuditLine { action: "failed", ..line });
            return Err(error);
        }
        self.overrides = next.into();
        Ok(self.overrides())
    }

    /// Replaces `drains.json` in one step: a new file beside it, on the disk before it takes the name.
    fn write(&self, overrides: &[Override]) -> Result<(), DrainError> {
        let written = Written { drains: overrides.iter().map(WrittenDrain::of).collect() };
        let mut text = serde_json::to_string_pretty(&written).expect("drains are plain JSON");
        text.push('\n');
        let beside = self.path.with_extension("json.new");
        let replace = || {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        replace().map_err(failed(&self.path, "cannot be written"))
    }
}

pub(super) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DrainError {
    let path = path.to_owned();
    move |why| DrainError::File { path, doing, why }
}

fn read(path: &Path) -> Result<Vec<Override>, DrainError> {
    let corrupt = |problem: String| DrainError::Corrupt { path: path.to_owned(), problem };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(path, "cannot be read")(error)),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed(path, "cannot be read"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(corrupt(format!("it is longer than {FILE_BYTES_MAX} octets")));
    }
    let written: Written = serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
    if written.drains.len() > OVERRIDES_MAX {
        return Err(corrupt(format!("it has more than {OVERRIDES_MAX} drains")));
    }
    written.drains.into_iter().map(|drain| drain.proven().map_err(corrupt)).collect()
}

impl WrittenDrain {
    fn of(drain: &Override) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            target: drain.target.to_string(),
            hard: drain.is_hard,
            reason: drain.reason.to_string(),
            who: drain.who.to_string(),
            since_ms: milliseconds(drain.since),
            until_ms: drain.until.map(milliseconds),
        }
    }

    fn proven(self) -> Result<Override, String> {
        Ok(Override {
            target: Target::parse(&self.target)?,
            is_hard: self.hard,
            reason: self.reason.into(),
            who: self.who.into(),
            since: Duration::from_millis(self.since_ms),
            until: self.until_ms.map(Duration::from_millis),
        })
    }
}

impl<'a> AuditLine<'a> {
    fn of(wish: &Wish, operator: &'a Operator, wall: Duration) -> Self {
        let (action, target, hard, until) = match wish {
            Wish::Drain(drain) => ("drain", Some(&drain.target), Some(drain.is_hard), drain.until),
            Wish::Lift(target) => ("undrain", Some(target), None, None),
            Wish::Reload => ("reload", None, None, None),
            Wish::Note { action, target } => {
                let (at, who, from, reason) = (rfc3339(wall), &*operator.who, operator.from, &*operator.reason);
                return Self { at, who, from, action, target: target.clone(), reason, hard: None, until: None };
            }
        };
        Self {
            at: rfc3339(wall),
            who: &operator.who,
            from: operator.from,
            action,
            target: target.map(ToString::to_string),
            reason: &operator.reason,
            hard,
            until: until.map(rfc3339),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn operator() -> Operator {
        Operator {
            who: "ada".to_owned(),
            from: IpAddr::from([127, 0, 0, 1]),
            reason: "line\nbreak \u{1b}[31m".to_owned(),
        }
    }

    fn drain(target: &str, until: Option<Duration>) -> Override {
        Override {
            target: Target::parse(target).expect("a target"),
            is_hard: false,
            reason: "line\nbreak \u{1b}[31m".into(),
            who: "ada".into(),
            since: NOW,
            until,
        }
    }

    fn open(folder: &Path, wall: Duration) -> Drains {
        Drains::open(folder, wall).expect("opened")
    }

    fn lines(folder: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.join("audit.jsonl")).expect("an audit log");
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn drains_survive_a_restart_until_they_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = &folder.path().join("made/by/us");
        let mut drains = open(folder, NOW);
        drains.grant(Wish::Drain(drain("region:orf", None)), &operator(), NOW).expect("drained");
        let ends = Some(NOW + Duration::from_secs(60));
        drains.grant(Wish::Drain(drain("provider:gcp", ends)), &operator(), NOW).expect("drained");
        drop(drains);
        assert_eq!(
            *open(folder, NOW + Duration::from_secs(59)).overrides(),
            [drain("region:orf", None), drain("provider:gcp", ends)]
        );
        assert_eq!(*open(folder, NOW + Duration::from_secs(60)).overrides(), [drain("region:orf", None)]);
    }

    #[test]
    fn a_second_drain_of_a_target_replaces_the_first_and_a_lift_removes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut drains = open(folder.path(), NOW);
        drains.grant(Wish::Drain(drain("region:orf", None)), &operator(), NOW).expect("drained");
        let second = Override { is_hard: true, ..drain("region:orf", None) };
        assert_eq!(*drains.grant(Wish::Drain(second.clone()), &operator(), NOW).expect("drained"), [second]);
        let target = Target::parse("region:orf").expect("a target");
        assert!(drains.grant(Wish::Lift(target.clone()), &operator(), NOW).expect("lifted").is_empty());
        assert!(matches!(drains.grant(Wish::Lift(target), &operator(), NOW), Err(DrainError::NotDrained(_))));
        assert!(open(folder.path(), NOW).overrides().is_empty());
    }

    #[test]
    fn every_wish_is_one_line_whatever_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut drains = open(folder.path(), NOW);
        drains.grant(Wish::Drain(drain("region:orf", Some(NOW * 2))), &operator(), NOW).expect("drained");
        drains.grant(Wish::Reload, &operator(), NOW).expect("noted");
        drains.grant(Wish::Lift(Target::parse("region:orf").expect("good")), &operator(), NOW).expect("lifted");
        let lines = lines(folder.path());
        let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().expect("an action")).collect();
        assert_eq!(actions, ["drain", "reload", "undrain"]);
        assert_eq!(lines[0]["until"], "1970-01-01T00:33:20.000Z");
        assert_eq!(lines[0]["reason"], "line\nbreak \u{1b}[31m");
        assert_eq!(lines[0]["from"], "127.0.0.1");
        let raw = std::fs::read(folder.path().join("audit.jsonl")).expect("an audit log");
        assert!(!raw.contains(&0x1b), "a control character reached the log");
    }

    #[test]
    fn a_file_that_cannot_be_understood_stops_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("drains.json");
        let good =
            r#"{"drains":[{"target":"region:orf","hard":true,"reason":"r","who":"w","since_ms":1,"until_ms":null}]}"#;
        std::fs::write(&path, good).expect("written");
        assert_eq!(open(folder.path(), NOW).overrides().len(), 1);
        for bad in ["", "{", "[]", "{\"drains\":[{}]}", &good.replace("region:", "planet:"), &good.replace("true", "2")]
        {
            std::fs::write(&path, bad).expect("written");
            let error = Drains::open(folder.path(), NOW).expect_err(bad).to_string();
            assert!(error.contains("drains.json") && error.contains("move it away"), "{error}");
        }
    }

    #[test]
    fn a_wish_that_cannot_be_written_down_is_not_granted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut drains = open(folder.path(), NOW);
        drains.audit.make_read_only();
        let error = drains.grant(Wish::Drain(drain("region:orf", None)), &operator(), NOW).expect_err("read-only");
        assert!(error.to_string().contains("audit.jsonl"), "{error}");
        assert!(drains.overrides().is_empty());
        assert!(!folder.path().join("drains.json").exists());
    }

    #[test]
    fn a_drain_that_cannot_be_kept_is_not_granted_and_the_log_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut drains = open(folder.path(), NOW);
        std::fs::create_dir(folder.path().join("drains.json.new")).expect("in the way");
        let error = drains.grant(Wish::Drain(drain("region:orf", None)), &operator(), NOW).expect_err("in the way");
        assert!(error.to_string().contains("drains.json"), "{error}");
        assert!(drains.overrides().is_empty());
        assert_eq!(lines(folder.path())[1]["action"], "failed");
    }

    #[test]
    fn one_drain_too_many_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut drains = open(folder.path(), NOW);
        drains.overrides = (0..OVERRIDES_MAX).map(|at| drain(&format!("region:r{at}"), None)).collect();
        let more = drains.grant(Wish::Drain(drain("region:more", None)), &operator(), NOW);
        assert!(matches!(more, Err(DrainError::TooMany)), "{more:?}");
        drains.grant(Wish::Drain(drain("region:r7", Some(NOW * 3))), &operator(), NOW).expect("replaces one");
    }
}
