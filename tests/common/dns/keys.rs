//! Keys for a zone, and what the parent says of them.

use anyfront::dnssec::Keyring;
use anyfront::dnssec::change::Change;
use anyfront::dnssec::key;
use anyfront::dnssec::life::Step;
use anyfront::dnssec::timing::PARENT_TTL;
use anyfront::moment::Clock;
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::rr::Name;
use std::path::Path;
use std::time::Duration;

/// Makes keys in a node's state folder that everybody has known for two days, and gives the DS records as a master file.
pub fn make(state: &Path, zone: &str) -> String {
    std::fs::create_dir_all(state).expect("a folder");
    let (folder, zone) = (state.join("dnssec"), Name::from_ascii(format!("{zone}.")).expect("a name"));
    let wall = Clock::start().wall();
    let mut change = Change::begin(&folder, &zone, true).expect("a folder of its own");
    let long_ago = wall - Duration::from_secs(2 * 86_400);
    change.make(Step::Generate, Algorithm::ECDSAP256SHA256, PARENT_TTL, long_ago, "a test").expect("the first key");
    let duty = Keyring::open(&folder, &zone).expect("good keys").at(wall);
    assert!(!duty.signs_zone.is_empty(), "the key does not sign yet");
    let ds = |key| format!("{zone} 3600 IN DS {}\n", key::ds(key, &zone, DigestType::SHA256));
    duty.dnskeys.iter().map(ds).collect()
}
