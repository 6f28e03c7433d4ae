//! The folder with the zone's keys, as operators and accidents change it under a node: what is answered goes on.

#![allow(clippy::panic, reason = "a test that cannot go on says why")]

mod common;

use anyfront::dns::prepare::{Challenges, Inputs, Preparer};
use anyfront::dns::prepared::Prepared;
use anyfront::dnssec::change::Change;
use anyfront::dnssec::folder::RECORD_FILE;
use anyfront::dnssec::life::Step;
use anyfront::moment::Moment;
use anyfront::secret::Secret;
use anyfront::snapshot::Snapshot;
use arc_swap::ArcSwap;
use common::answers::{self, SIGNED};
use hickory_proto::dnssec::Algorithm;
use hickory_proto::rr::{Name, RecordType};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// When keys are made: long ago, so that they sign.
const MADE: Duration = Duration::from_secs(1_800_000_000);
const LATER: Duration = Duration::from_secs(1_800_000_000 + 3 * 86_400);

/// A preparer of the zone with keys below a folder.
struct Stand {
    state: TempDir,
    preparer: Preparer,
    generation: u64,
}

impl Stand {
    fn new() -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let secret = Arc::new(ArcSwap::from_pointee(Secret::random()));
        let inputs = Inputs { state_dir: state.path().to_owned(), secret, challenges: Challenges::default() };
        Self { state, preparer: Preparer::new(inputs), generation: 0 }
    }

    fn with_key() -> Self {
        let stand = Self::new();
        answers::make_key(stand.state.path(), Algorithm::ECDSAP256SHA256, MADE);
        stand
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.state.path().join("dnssec").join(name)
    }

    /// What is answered from a file with these keys; `None` if nothing changed.
    fn same(&mut self, snapshot: &Snapshot) -> Option<Prepared> {
        let mut snapshot = snapshot.clone();
        snapshot.generation = self.generation;
        let prepared = self.preparer.prepare(&Arc::new(snapshot), Moment::ZERO, LATER).expect("something to answer");
        prepared.map(|prepared| prepared.expect("there is a zone"))
    }

    /// The same in a new generation.
    fn next(&mut self, snapshot: &Snapshot) -> Prepared {
        self.generation += 1;
        self.same(snapshot).expect("a new generation")
    }
}

fn keys(prepared: &Prepared) -> usize {
    let apex = Name::from_ascii("gw.example.").expect("a name");
    prepared.contents.nodes[&apex].set(RecordType::DNSKEY, 0).map_or(0, |set| set.data.len())
}

fn copied_over(from: &Path, to: &Path) {
    // As `cp` does: into the file that is there.
    fs::write(to, fs::read(from).expect("read")).expect("written");
}

#[test]
fn a_step_that_is_copied_over_the_old_files_is_seen() {
    let signed = answers::snapshot(SIGNED);
    let mut stand = Stand::with_key();
    assert_eq!(keys(&stand.next(&signed)), 1);
    assert!(stand.same(&signed).is_none(), "nothing changed");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let copy = elsewhere.path().join("dnssec");
    fs::create_dir(&copy).expect("made");
    fs::set_permissions(&copy, Permissions::from_mode(0o700)).expect("private");
    for file in fs::read_dir(stand.file("")).expect("there") {
        let file = file.expect("there");
        fs::copy(file.path(), copy.join(file.file_name())).expect("copied");
    }
    let zone = Name::from_ascii("gw.example.").expect("a name");
    let mut change = Change::begin(&copy, &zone, false).expect("ours alone");
    change.take(&[Step::ToUnsigned], LATER, "a test").expect("it has no DS");
    copied_over(&copy.join(RECORD_FILE), &stand.file(RECORD_FILE));
    assert!(stand.same(&signed).is_some(), "the folder itself was not touched, and yet it is seen");
}

#[test]
fn keys_that_cannot_be_read_are_tried_again_and_hold_up_nothing() {
    let signed = answers::snapshot(SIGNED);
    let mut stand = Stand::with_key();
    assert_eq!(keys(&stand.next(&signed)), 1);
    fs::set_permissions(stand.file(RECORD_FILE), Permissions::from_mode(0o644)).expect("lax");
    assert_eq!(keys(&stand.next(&signed)), 1, "those from before go on");
    let whole = fs::read(stand.file(RECORD_FILE)).expect("read");
    fs::write(stand.file(RECORD_FILE), "garbage").expect("written");
    assert_eq!(keys(&stand.next(&signed)), 1);
    fs::write(stand.file(RECORD_FILE), whole).expect("written");
    fs::set_permissions(stand.file(RECORD_FILE), Permissions::from_mode(0o600)).expect("mended");
    assert!(stand.same(&signed).is_some(), "what was mended is read, though nothing else changed");
}

#[test]
fn a_zone_whose_keys_are_not_there_yet_stays_as_it_was_and_steering_goes_on() {
    let (unsigned, signed) = (answers::snapshot(""), answers::snapshot(SIGNED));
    let mut stand = Stand::new();
    assert_eq!(keys(&stand.next(&unsigned)), 0);
    let next = stand.next(&signed);
    assert_eq!((keys(&next), next.contents.is_signed()), (0, false));
    answers::make_key(stand.state.path(), Algorithm::ECDSAP256SHA256, MADE);
    assert_eq!(keys(&stand.same(&signed).expect("they are there now")), 1);
}

#[test]
fn nothing_is_answered_where_nobody_knows_whether_it_must_be_signed() {
    let mut stand = Stand::new();
    let signed = Arc::new(answers::snapshot(SIGNED));
    assert!(stand.preparer.prepare(&signed, Moment::ZERO, LATER).is_err());
    answers::make_key(stand.state.path(), Algorithm::ECDSAP256SHA256, MADE);
    assert_eq!(keys(&stand.next(&signed)), 1);
}

/// A wildcard that leads to what steering answers: who gets no IPv6 there is proven that there is none, though others get it.
#[test]
fn that_a_wildcard_has_nothing_for_somebody_is_in_the_chain() {
    let mut stand = Stand::with_key();
    let prepared = stand.next(&answers::snapshot(SIGNED));
    let wildcard = Name::from_ascii("*.alias.gw.example.").expect("a name");
    let (owner, set) = prepared.contents.covering(&wildcard).expect("a chain");
    assert_eq!(*owner, wildcard);
    let told = set.data[0].to_string();
    assert!(told.contains(" A ") && !told.contains("AAAA"), "Sydney has no IPv6: {told}");
}
