//! Who did what, kept for those who ask later: `audit.jsonl`, one line for every wish, written before the wish is done.
//!
//! The file only ever grows, and each line ends in `chain`: the SHA-256 of the line's rest and of the chain before it. Whoever
//! changes, removes or adds a line in between has to write everything after it anew, and whoever has noted a chain elsewhere
//! sees that. It is verified at the start; what is broken is told and kept, and the chain goes on.

use super::drains::{DrainError, failed};
use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in the state directory.
const FILE: &str = "audit.jsonl";
/// Longest line that is read, octets: twice what is ever written.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// What stands before the chain in a line.
const CHAIN: &str = ",\"chain\":\"";

/// One line of the file.
#[derive(Debug, Serialize)]
pub(super) struct AuditLine<'a> {
    pub(super) at: String,
    pub(super) who: &'a str,
    pub(super) from: IpAddr,
    pub(super) action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    pub(super) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hard: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
}

/// The file, open at its end.
#[derive(Debug)]
pub(super) struct Audit {
    path: PathBuf,
    /// Not while the disk is read-only: a node runs all the same, and grants nothing.
    file: Option<File>,
    chain: String,
}

/// What the file turned out to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verified {
    /// Lines that are as they were written.
    pub(super) good: u64,
    /// Lines before there was a chain.
    pub(super) unchained: u64,
    /// The first line, counted from 1, that is not as it was written.
    pub(super) broken: Option<u64>,
    /// The last chain.
    pub(super) chain: String,
    /// Octets of whole lines.
    pub(super) whole_bytes: u64,
}

impl Audit {
    /// Opens the file in `state_dir` and verifies it. Half a line at its end, whose wish was never granted, is taken back.
    pub(super) fn open(state_dir: &Path) -> Result<Self, DrainError> {
        let path = state_dir.join(FILE);
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path);
        let file = match file {
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                return Ok(Self::unwritable(state_dir));
            }
            file => file.map_err(failed(&path, "cannot be opened for writing"))?,
        };
        let verified = verify(&file).map_err(failed(&path, "cannot be read"))?;
        if let Some(line) = verified.broken {
            tracing::error!("{}: line {line} is not as it was written: somebody has changed the file", path.display());
        }
        if file.metadata().is_ok_and(|about| about.len() > verified.whole_bytes) {
            tracing::warn!("{}: half a line at its end is taken back: its wish was never granted", path.display());
            file.set_len(verified.whole_bytes).map_err(failed(&path, "cannot be shortened"))?;
        }
        Ok(Self { path, file: Some(file), chain: verified.chain })
    }

    /// What is left of it on a read-only disk.
    pub(super) fn unwritable(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        tracing::error!("{}: the disk is read-only: no wish of an operator can be granted", path.display());
        Self { path, file: None, chain: String::new() }
    }

    /// Appends a line and waits for the disk. A line that could not be written whole is taken back.
    pub(super) fn note(&mut self, line: &AuditLine<'_>) -> Result<(), DrainError> {
        let text = serde_json::to_string(line).expect("a line is plain JSON");
        let chain = chained(&self.chain, &text);
        let text = format!("{}{CHAIN}{chain}\"}}\n", text.strip_suffix('}').unwrap_or(&text));
        let read_only = || std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
        let path = &self.path;
        let file = self.file.as_mut().ok_or_else(|| failed(path, "cannot be written")(read_only()))?;
        let length = file.metadata().map(|about| about.len());
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| {
            if let Ok(length) = length {
                let _ = file.set_len(length);
            }
            failed(path, "cannot be written")(error)
        })?;
        self.chain = chain;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn make_read_only(&mut self) {
        self.file = Some(File::open(&self.path).expect("read-only"));
    }
}

/// The chain after `line`, which is without its own.
fn chained(before: &str, line: &str) -> String {
    let hash = digest(&SHA256, [before.as_bytes(), line.as_bytes()].concat().as_slice());
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Reads all lines from the first.
pub(super) fn verify(file: &File) -> std::io::Result<Verified> {
    let mut file = file.try_clone()?;
    std::io::Seek::rewind(&mut file)?;
    let mut reader = BufReader::new(file);
    let mut verified = Verified::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        if length == 0 || !line.ends_with(b"\n") && length < LINE_BYTES_MAX {
            break;
        }
        verified.whole_bytes += length;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        match text.rsplit_once(CHAIN).and_then(|(rest, chain)| Some((rest, chain.strip_suffix("\"}")?))) {
            Some((rest, chain)) => {
                if chained(&verified.chain, &format!("{rest}}}")) == chain {
                    verified.good += 1;
                } else {
                    verified.broken.get_or_insert(number);
                }
                chain.clone_into(&mut verified.chain);
            }
            None if verified.good == 0 && verified.broken.is_none() => verified.unchained += 1,
            None => drop(verified.broken.get_or_insert(number)),
        }
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(who: &'a str, reason: &'a str) -> AuditLine<'a> {
        AuditLine {
            at: "1970-01-01T00:00:00.000Z".to_owned(),
            who,
            from: IpAddr::from([127, 0, 0, 1]),
            action: "drain",
            target: Some("region:orf}\"".to_owned()),
            reason,
            hard: None,
            until: None,
        }
    }

    fn written(folder: &Path, count: usize) -> String {
        let mut audit = Audit::open(folder).expect("opened");
        for _ in 0..count {
            audit.note(&line("ada", "because {of} \"this\",\"chain\":\"x\"}")).expect("noted");
        }
        std::fs::read_to_string(folder.join(FILE)).expect("read")
    }

    fn verified(folder: &Path) -> Verified {
        verify(&File::open(folder.join(FILE)).expect("there")).expect("read")
    }

    #[test]
    fn the_chain_goes_on_over_restarts_and_after_lines_from_before_there_was_one() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), "{\"at\":\"then\",\"who\":\"ada\"}\n").expect("written");
        written(folder.path(), 2);
        let text = written(folder.path(), 1);
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
        let found = verified(folder.path());
        assert_eq!((found.good, found.unchained, found.broken), (3, 1, None));
    }

    #[test]
    fn whatever_is_changed_removed_or_added_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = written(folder.path(), 4);
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let changed = text.replacen("ada", "eve", 1);
        let removed = joined(&[lines[0], lines[2], lines[3]]);
        let swapped = joined(&[lines[0], lines[2], lines[1], lines[3]]);
        let added = joined(&[lines[0], "{\"who\":\"eve\"}", lines[1]]);
        let bare = joined(&[lines[0], &lines[1].replace("chain", "chian"), lines[2]]);
        for (what, tampered, at) in [
            ("changed", changed, 1),
            ("removed", removed, 2),
            ("swapped", swapped, 2),
            ("added", added, 2),
            ("bare", bare, 2),
        ] {
            std::fs::write(folder.path().join(FILE), tampered).expect("written");
            assert_eq!(verified(folder.path()).broken, Some(at), "{what}");
            written(folder.path(), 1);
            assert_eq!(verified(folder.path()).broken, Some(at), "{what}: it stays known");
        }
    }

    #[test]
    fn half_a_line_is_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = written(folder.path(), 2);
        std::fs::write(folder.path().join(FILE), format!("{text}{}", &text[..50])).expect("written");
        let after = written(folder.path(), 1);
        assert_eq!(after.lines().count(), 3);
        assert_eq!((verified(folder.path()).good, verified(folder.path()).broken), (3, None));
    }
}
