//! Folders with keys, as commands leave them and as accidents do.

use anyfront::dnssec::change::{Change, ChangeError};
use anyfront::dnssec::folder::{Folder, KeyError, RECORD_FILE};
use anyfront::dnssec::key::Key;
use anyfront::dnssec::life::{NewKey, Step};
use anyfront::dnssec::record::Record;
use anyfront::dnssec::timing::{PARENT_TTL, PROPAGATION, ZONE_TTL_MAX};
use anyfront::dnssec::{Duty, Keyring};
use hickory_proto::dnssec::Algorithm;
use hickory_proto::rr::Name;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const START: Duration = Duration::from_secs(1_795_305_600);
const SECURE: Duration = Duration::from_secs(1_795_305_600 + 2 * 86_400);

fn zone() -> Name {
    Name::from_ascii("gateway.example.").expect("a name")
}

/// A folder with the keys of [`zone`], as commands leave it.
struct Kept {
    inside: tempfile::TempDir,
    record: Record,
}

impl Kept {
    fn new() -> Self {
        let mut kept = Self { inside: tempfile::tempdir().expect("a folder"), record: Record::empty(&zone()) };
        kept.make(Step::Generate, START);
        kept
    }

    /// Signed, with its DS at the parent.
    fn secure() -> Self {
        let mut kept = Self::new();
        let tag = kept.tag(0);
        kept.take(Step::DsSeen { tag, parent_ttl: None }, SECURE).expect("allowed");
        kept
    }

    fn path(&self) -> PathBuf {
        self.inside.path().join("keys")
    }

    fn tag(&self, at: usize) -> u16 {
        self.record.lives.all()[at].tag
    }

    fn key_path(&self, at: usize) -> PathBuf {
        Folder::open(&self.path()).expect("private").key_path(&self.record.lives.all()[at])
    }

    fn make(&mut self, step: fn(NewKey) -> Step, now: Duration) {
        let mut change = Change::begin(&self.path(), &zone(), true).expect("ours alone");
        change.make(step, Algorithm::ED25519, PARENT_TTL, now, "ada@host").expect("allowed");
        self.record = change.record().clone();
    }

    fn take(&mut self, step: Step, now: Duration) -> Result<(), ChangeError> {
        let mut change = Change::begin(&self.path(), &zone(), false).expect("ours alone");
        change.take(&[step], now, "ada@host")?;
        self.record = change.record().clone();
        Ok(())
    }

    fn open(&self) -> Result<Keyring, KeyError> {
        Keyring::open(&self.path(), &zone())
    }

    fn complaint(&self) -> String {
        self.open().expect_err("refused").to_string()
    }
}

fn tags(duty: &Duty) -> (Vec<u16>, Vec<u16>, Vec<u16>, Vec<u16>) {
    let published = duty.dnskeys.iter().map(|dnskey| dnskey.calculate_key_tag().expect("a tag")).collect();
    let keys = duty.signs_keys.iter().map(|key| key.tag).collect();
    let zone = duty.signs_zone.iter().map(|key| key.tag).collect();
    (published, keys, zone, duty.cds.iter().map(hickory_proto::dnssec::rdata::CDS::key_tag).collect())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

#[test]
fn nodes_with_the_same_files_publish_the_same_at_the_same_time() {
    let mut kept = Kept::secure();
    kept.make(Step::Roll, SECURE + Duration::from_secs(60));
    let copy = tempfile::tempdir().expect("a folder");
    mode(copy.path(), 0o700);
    for entry in fs::read_dir(kept.path()).expect("readable") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
    }
    let (here, there) = (kept.open().expect("read"), Keyring::open(copy.path(), &zone()).expect("read"));
    assert_eq!((here.revision(), there.revision()), (3, 3));
    let mut wall = Duration::ZERO;
    let mut seen = Vec::new();
    loop {
        let (one, other) = (here.at(wall), there.at(wall));
        assert_eq!((tags(&one), one.until, one.wall), (tags(&other), other.until, other.wall));
        seen.push(tags(&one));
        match one.until {
            Some(until) => wall = until,
            None => break,
        }
    }
    let (old, new) = (kept.tag(0), kept.tag(1));
    let both = vec![old, new];
    assert_eq!(seen, [(both.clone(), both.clone(), vec![old], vec![old]), (both.clone(), both, vec![old], vec![new]),]);
}

#[test]
fn a_duty_changes_exactly_when_it_says() {
    let kept = Kept::new();
    let keyring = kept.open().expect("read");
    let first = keyring.at(START);
    assert_eq!(first.until, Some(START + ZONE_TTL_MAX + PROPAGATION));
    let until = first.until.expect("known");
    assert!(keyring.at(until - Duration::from_nanos(1)).cds.is_empty());
    let second = keyring.at(until);
    assert_eq!((second.cds.len(), second.cdnskeys.len(), second.until), (1, 1, None));
}

#[test]
fn what_others_could_read_is_refused_with_the_mode_it_should_have() {
    let kept = Kept::new();
    for (path, lax, wanted) in [
        (kept.path(), 0o750, 0o700),
        (kept.path().join(RECORD_FILE), 0o640, 0o600),
        (kept.key_path(0), 0o604, 0o600),
        (kept.key_path(0), 0o620, 0o600),
    ] {
        mode(&path, lax);
        let told = kept.complaint();
        for part in [format!("{}: ", path.display()), format!("{lax:04o}"), format!("chmod {wanted:04o}")] {
            assert!(told.contains(&part), "{part:?} is missing in {told}");
        }
        mode(&path, wanted);
        kept.open().expect("private again");
    }
    mode(&kept.key_path(0), 0o400);
    kept.open().expect("stricter is as good");
}

#[test]
fn a_missing_key_is_told_with_its_file() {
    let kept = Kept::new();
    let path = kept.key_path(0);
    fs::rename(&path, kept.inside.path().join("aside")).expect("moved");
    let told = kept.complaint();
    assert!(told.contains(&path.display().to_string()) && told.contains("is missing"), "{told}");
    fs::rename(kept.inside.path().join("aside"), &path).expect("moved");
    kept.open().expect("back again");
    fs::remove_file(kept.path().join(RECORD_FILE)).expect("removed");
    let told = kept.complaint();
    assert!(told.contains(&path.display().to_string()) && told.contains("does not know"), "{told}");
    fs::remove_file(path).expect("removed");
    assert!(kept.complaint().contains("`anyfront dnssec generate`"));
}

#[test]
fn a_removed_key_is_not_missed() {
    let mut kept = Kept::secure();
    let day = Duration::from_secs(86_400);
    kept.make(Step::Roll, SECURE);
    let (old, new) = (kept.tag(0), kept.tag(1));
    kept.take(Step::DsSeen { tag: new, parent_ttl: None }, SECURE + day).expect("allowed");
    kept.take(Step::DsGone { tag: old }, SECURE + day).expect("allowed");
    kept.take(Step::Forget { tag: old }, SECURE + 10 * day).expect("allowed");
    assert!(!kept.key_path(0).exists(), "it was to be destroyed");
    let keyring = kept.open().expect("it is not needed");
    assert_eq!(tags(&keyring.at(SECURE + 10 * day)), (vec![new], vec![new], vec![new], vec![new]));
    // Even for a clock from before.
    assert_eq!(tags(&keyring.at(START)), (vec![new], vec![new], vec![new], vec![new]));
}

#[test]
fn a_file_that_is_not_whole_is_refused_and_left_alone() {
    let kept = Kept::secure();
    let path = kept.path().join(RECORD_FILE);
    let good = fs::read_to_string(&path).expect("text");
    let tag = kept.tag(0);
    for (bad, part) in [
        (good[..good.len() / 2].to_owned(), "EOF"),
        (String::new(), "EOF"),
        (good.replace("\"format\": 1", "\"format\": 2"), "format is 2"),
        (good.replace("\"ds_seen\"", "\"ds_shown\""), "ds_shown"),
        (good.replace("2026-11-24", "2026-11-22"), "too early"),
        (good.replace("2026-11-24", "2026-13-24"), "no time"),
        (good.replace(&format!("\"key\": {tag}"), "\"key\": 0"), "the next of the keys is"),
        (good.replace("257 3 15 ", "256 3 15 "), "does not begin with"),
        (good.replace("\"keys\": [", "\"keys\": [], \"more\": ["), "more"),
        (format!("{}{good}", " ".repeat(1 << 20)), "longer than"),
    ] {
        assert_ne!(bad, good, "{part}");
        fs::write(&path, &bad).expect("written");
        let told = kept.complaint();
        assert!(told.contains(&path.display().to_string()) && told.contains(part), "{told}");
        assert_eq!(fs::read_to_string(&path).expect("text"), bad, "it was changed");
    }
    fs::write(&path, good).expect("written");
    fs::write(kept.path().join("keys.json.new"), "{").expect("written");
    kept.open().expect("a command that was cut off changes nothing");
}

#[test]
fn a_key_of_somebody_else_is_refused() {
    let kept = Kept::new();
    let (_, other) = Key::generate(Algorithm::ED25519).expect("made");
    let path = kept.key_path(0);
    fs::write(&path, other.as_bytes()).expect("written");
    assert!(kept.complaint().contains("with other octets"));
    fs::write(&path, "half of").expect("written");
    assert!(kept.complaint().contains("holds no private key"));
    let elsewhere = Name::from_ascii("elsewhere.example.").expect("a name");
    let told = Keyring::open(&kept.path(), &elsewhere).expect_err("another zone").to_string();
    assert!(told.contains("holds the keys of gateway.example., not of elsewhere.example."), "{told}");
}

#[test]
fn a_key_that_no_step_made_is_remarked_and_never_used() {
    let kept = Kept::new();
    let (key, text) = Key::generate(Algorithm::ED25519).expect("made");
    let path = kept.path().join(format!("csk-015-{:05}.pem", key.tag));
    fs::write(&path, text.as_bytes()).expect("written");
    let keyring = kept.open().expect("the others can be used");
    assert!(keyring.remarks[0].contains(&path.display().to_string()), "{:?}", keyring.remarks);
    assert_eq!(tags(&keyring.at(START)).0, [kept.tag(0)]);
    let refused = Change::begin(&kept.path(), &zone(), false).expect_err("an operator has to look");
    assert!(matches!(refused, KeyError::Stray { .. }), "{refused}");
}

#[test]
fn a_step_that_is_refused_changes_nothing() {
    let mut kept = Kept::new();
    let before = fs::read(kept.path().join(RECORD_FILE)).expect("octets");
    let tag = kept.tag(0);
    let refused = kept.take(Step::DsSeen { tag, parent_ttl: None }, START).expect_err("too early");
    assert!(refused.to_string().contains("allowed from 2026-11-23T"), "{refused}");
    let mut change = Change::begin(&kept.path(), &zone(), false).expect("ours alone");
    let refused = change.make(Step::Roll, Algorithm::ED25519, PARENT_TTL, START, "ada@host");
    assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
    assert_eq!(fs::read(kept.path().join(RECORD_FILE)).expect("octets"), before);
    assert_eq!(fs::read_dir(kept.path()).expect("readable").count(), 2, "a key was left behind");
}

#[test]
fn a_folder_is_changed_by_one_at_a_time() {
    let kept = Kept::new();
    let locked = Folder::open(&kept.path()).and_then(Folder::lock).expect("ours");
    let busy = Folder::open(&kept.path()).and_then(Folder::lock).expect_err("taken");
    assert!(matches!(busy, KeyError::Busy { .. }));
    let life = &kept.record.lives.all()[0];
    assert!(matches!(locked.write_key(life, "another"), Err(KeyError::Stray { .. })), "no key is written over");
    drop(locked);
    Folder::open(&kept.path()).and_then(Folder::lock).expect("free again");
}
