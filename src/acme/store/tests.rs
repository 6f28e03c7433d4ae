//! What is kept, over restarts and accidents.

use super::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

const DIRECTORY: &str = "https://ca.test/dir";
/// A day in 2026.
const NOW: Duration = Duration::from_secs(1_795_000_000);

/// A chain and its key.
fn pair(names: &[&str], last_year: i32) -> (String, String) {
    let mut params = CertificateParams::new(strings(names)).expect("names");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(last_year, 1, 1));
    let key = KeyPair::generate().expect("a key");
    (key.serialize_pem(), params.self_signed(&key).expect("a certificate").pem())
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    (folder, store)
}

fn open(state_dir: &Path) -> Store {
    let store = Store::in_state(state_dir);
    store.make_ready(NOW).expect("a folder");
    store
}

fn keep(store: &Store, (key, chain): &(String, String), names: &[&str]) -> Result<Kept, StoreError> {
    store.keep((key, chain), DIRECTORY, &strings(names), NOW)
}

fn files(store: &Store) -> Vec<String> {
    let entries = std::fs::read_dir(&store.folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_kept_is_there_after_a_restart_and_nobody_else_can_read_it() {
    let (folder, store) = store();
    keep(&store, &pair(&["gw.test", "*.gw.test"], 2030), &["gw.test", "*.gw.test"]).expect("kept");
    let again = open(folder.path()).kept(NOW).expect("a certificate");
    assert_eq!(again.directory, DIRECTORY);
    assert_eq!(again.life.not_before, Duration::from_secs(1_577_836_800));
    assert_eq!(again.lacks(&strings(&["*.gw.test", "gw.test"])), None);
    assert_eq!(again.lacks(&strings(&["gw.test", "eu.gw.test"])), Some("eu.gw.test"), "a wildcard is itself");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&store.folder), mode(&store.certificate())), (0o700, 0o600));
    assert_eq!(files(&store), ["certificate.pem"]);
}

#[test]
fn nothing_takes_the_place_of_a_good_certificate_but_a_better_one() {
    let (_folder, store) = store();
    let good = pair(&["gw.test"], 2030);
    keep(&store, &good, &["gw.test"]).expect("kept");
    let before = std::fs::read(store.path(CERTIFICATE)).expect("there");
    let other = pair(&["gw.test"], 2030);
    let (key, chain) = (other.0.clone(), good.1.clone());
    for (what, pair, told) in [
        ("no chain at all", (other.0.clone(), String::new()), "no certificate"),
        ("half a chain", (other.0.clone(), other.1[..other.1.len() / 2].to_owned()), "no certificate"),
        ("another key's chain", (key, chain), "cannot be used"),
        ("another name", pair(&["other.test"], 2030), "is not for gw.test"),
        ("an old one", pair(&["gw.test"], 2021), "has ended already"),
    ] {
        let error = keep(&store, &pair, &["gw.test"]).expect_err(what).to_string();
        assert!(error.contains(told), "{what}: {error}");
        assert_eq!(std::fs::read(store.path(CERTIFICATE)).expect("there"), before, "{what}");
        assert!(store.kept(NOW).is_some(), "{what}");
    }
    keep(&store, &other, &["gw.test"]).expect("a better one");
    assert_ne!(std::fs::read(store.path(CERTIFICATE)).expect("there"), before);
}

#[test]
fn what_cannot_be_understood_is_moved_aside_and_never_deleted() {
    let (folder, store) = store();
    for number in 1..=3 {
        for name in [CERTIFICATE, PAST] {
            std::fs::write(store.path(name), format!("nonsense {number}")).expect("written");
        }
        std::fs::write(store.membership_path(DIRECTORY), "{}").expect("written");
        let store = open(folder.path());
        assert!(store.kept(NOW).is_none());
        assert_eq!(store.past(DIRECTORY), Past::default());
        assert!(store.membership(DIRECTORY).is_none());
        for name in [CERTIFICATE, PAST] {
            let aside = std::fs::read_to_string(store.path(&format!("{name}.aside-{number}"))).expect("there");
            assert_eq!(aside, format!("nonsense {number}"));
        }
    }
    assert_eq!(files(&store).len(), 9);
}

#[test]
fn a_node_that_died_while_it_wrote_has_what_it_had_before() {
    let (folder, store) = store();
    keep(&store, &pair(&["gw.test"], 2030), &["gw.test"]).expect("kept");
    std::fs::write(store.path("certificate.new"), "half of").expect("written");
    std::fs::set_permissions(store.path("certificate.new"), Permissions::from_mode(0o644)).expect("set");
    let store = open(folder.path());
    assert!(store.kept(NOW).is_some());
    keep(&store, &pair(&["gw.test"], 2031), &["gw.test"]).expect("kept over the remains");
    let mode = std::fs::metadata(store.path(CERTIFICATE)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "whatever the remains had");
}

#[test]
fn failures_are_remembered_for_the_directory_they_happened_at() {
    let (folder, store) = store();
    let past = Past { failures: 3, retry_at: NOW };
    store.remember(DIRECTORY, past).expect("written");
    let store = open(folder.path());
    assert_eq!(store.past(DIRECTORY), past);
    assert_eq!(store.past("https://other.test/dir"), Past::default());
}

#[test]
fn an_account_belongs_to_one_directory() {
    let (_folder, store) = store();
    let member =
        |id: &str| Membership { contact: Vec::new(), bound_as: None, credentials: serde_json::json!({ "id": id }) };
    store.join(DIRECTORY, &member("one")).expect("written");
    store.join("https://other.test/dir", &member("two")).expect("written");
    assert_eq!(store.membership(DIRECTORY).expect("there").credentials["id"], "one");
    store.leave(DIRECTORY, "it is gone");
    assert!(store.membership(DIRECTORY).is_none());
    assert_eq!(store.membership("https://other.test/dir").expect("there").credentials["id"], "two");
    assert_eq!(files(&store).len(), 2, "nothing is deleted");
}

#[test]
fn a_folder_that_others_may_enter_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    DirBuilder::new().mode(0o755).create(folder.path().join("acme")).expect("made");
    std::fs::set_permissions(folder.path().join("acme"), Permissions::from_mode(0o755)).expect("set");
    open(folder.path());
    let mode = std::fs::metadata(folder.path().join("acme")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
