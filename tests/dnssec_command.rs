//! `anyfront dnssec`: from the first key to an unsigned zone, as an operator does it, and what it says when it is too early.

#[path = "operator/mod.rs"]
mod operator;

use anyfront::dnssec::change::Change;
use anyfront::dnssec::folder::RECORD_FILE;
use anyfront::dnssec::life::Step;
use anyfront::dnssec::timing::PARENT_TTL;
use anyfront::moment::Clock;
use hickory_proto::dnssec::rdata::DS;
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordData};
use operator::{FLEET, anyfront, complaint, output};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A folder for keys, and the commands on it.
struct Zone {
    inside: tempfile::TempDir,
}

impl Zone {
    fn new() -> Self {
        Self { inside: tempfile::tempdir().expect("a folder") }
    }

    /// With steps that were taken in the past: how long ago, and which.
    fn with(steps: &[(Duration, Past)]) -> Self {
        let zone = Self::new();
        let now = Clock::start().wall();
        let mut change = Change::begin(&zone.keys(), &name(), true).expect("ours alone");
        for (ago, past) in steps {
            let at = now - *ago;
            match past {
                Past::Generate => change.make(Step::Generate, Algorithm::ED25519, PARENT_TTL, at, "ada@host").map(drop),
                Past::Roll => change.make(Step::Roll, Algorithm::ED25519, PARENT_TTL, at, "ada@host").map(drop),
                Past::Seen => {
                    let tag = change.record().lives.all().last().expect("a key").tag;
                    change.take(&[Step::DsSeen { tag, parent_ttl: None }], at, "ada@host")
                }
            }
            .expect("allowed");
        }
        zone
    }

    fn keys(&self) -> PathBuf {
        self.inside.path().join("keys")
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let keys = self.keys();
        let place = ["--zone", "Gateway.example", "--keys", keys.to_str().expect("a path")];
        anyfront(&[&["dnssec"], arguments, &place].concat())
    }

    fn told(&self, arguments: &[&str]) -> String {
        output(&self.run(arguments))
    }

    fn refused(&self, arguments: &[&str]) -> String {
        complaint(&self.run(arguments))
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.told(&["status", "--json"])).expect("JSON")
    }

    fn tag(&self, at: usize) -> u64 {
        self.status()["keys"][at]["tag"].as_u64().expect("a tag")
    }

    fn states(&self) -> Vec<String> {
        let status = self.status();
        let keys = status["keys"].as_array().expect("keys").iter();
        keys.map(|key| key["state"].as_str().expect("a state").to_owned()).collect()
    }

    /// The DS that `ds` prints, as records.
    fn ds(&self) -> Vec<DS> {
        let told: Value = serde_json::from_str(&self.told(&["ds", "--json"])).expect("JSON");
        let rows = told["ds"].as_array().expect("rows").iter();
        rows.map(|row| {
            let digest = row["digest"].as_str().expect("a digest");
            let octet = |at: usize| u8::from_str_radix(&digest[at..at + 2], 16).expect("hexadecimal");
            let octets = (0..digest.len()).step_by(2).map(octet).collect();
            let tag = u16::try_from(row["key_tag"].as_u64().expect("a tag")).expect("16 bits");
            DS::new(tag, Algorithm::ED25519, DigestType::SHA256, octets)
        })
        .collect()
    }
}

#[derive(Clone, Copy)]
enum Past {
    Generate,
    Roll,
    Seen,
}

fn name() -> Name {
    Name::from_ascii("gateway.example.").expect("a name")
}

/// A server of the parent on loopback. Over UDP it says that the answer does not fit, so that TCP has to be asked.
struct Above {
    address: SocketAddr,
    has: Arc<Mutex<(u32, Vec<DS>)>>,
}

impl Above {
    fn start(is_authority: bool) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("bound");
        let udp = UdpSocket::bind(address).expect("the same port");
        let has = Arc::new(Mutex::new((3_600, Vec::<DS>::new())));
        let answered = Arc::clone(&has);
        let answer = move |query: &[u8], is_whole: bool| {
            let mut message = Message::from_vec(query).expect("a question").into_response();
            message.metadata.response_code = ResponseCode::NoError;
            message.metadata.authoritative = is_authority;
            message.metadata.truncation = !is_whole;
            let (ttl, records) = &*answered.lock().expect("not poisoned");
            if is_whole {
                for ds in records {
                    message.add_answer(Record::from_rdata(name(), *ttl, ds.clone().into_rdata()));
                }
            }
            message.to_vec().expect("encoded")
        };
        let over_udp = answer.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                udp.send_to(b"stray", from).expect("sent");
                udp.send_to(&over_udp(&buffer[..length], false), from).expect("sent");
            }
        });
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).expect("a length");
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).expect("a question");
                let octets = answer(&query, true);
                let length = u16::try_from(octets.len()).expect("short");
                stream.write_all(&[&length.to_be_bytes()[..], &octets].concat()).expect("sent");
            }
        });
        Self { address, has }
    }

    fn has(&self, ttl: u32, ds: Vec<DS>) {
        *self.has.lock().expect("not poisoned") = (ttl, ds);
    }
}

#[test]
fn a_first_key_is_made_and_its_ds_is_told_when_the_parent_may_have_it() {
    let zone = Zone::new();
    let told = zone.told(&["generate"]);
    for part in ["made the key", "to every node before", "ECDSAP256SHA256", "introduced", "its DS may go to the parent"]
    {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    let mode = |path: PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(zone.keys()), 0o700);
    for entry in std::fs::read_dir(zone.keys()).expect("readable") {
        assert_eq!(mode(entry.expect("readable").path()), 0o600);
    }
    let tag = zone.tag(0).to_string();
    for early in [vec!["ds"], vec!["ds", "--key", &tag], vec!["roll", "--ds-seen", &tag]] {
        let told = zone.refused(&early);
        assert!(told.contains("too early") && told.contains("it is allowed from 20"), "{early:?}: {told}");
    }
    assert!(zone.refused(&["generate"]).contains("has the key"), "a second first key");
    assert!(zone.refused(&["roll"]).contains("does not vouch"), "a roll without a DS");
}

#[test]
fn a_roll_goes_from_key_to_key() {
    let zone = Zone::with(&[(10 * DAY, Past::Generate), (8 * DAY, Past::Seen)]);
    let old = zone.tag(0).to_string();
    let line = zone.told(&["ds", "--sha384"]);
    assert_eq!(line.lines().count(), 2, "{line}");
    assert!(line.starts_with(&format!("gateway.example. IN DS {old} 15 2 ")), "{line}");
    let told = zone.told(&["roll"]);
    assert!(told.contains("began a roll to the new key"), "{told}");
    assert_eq!(zone.states(), ["active", "published"]);
    let new = zone.tag(1).to_string();
    assert!(zone.refused(&["roll", "--ds-seen", &new, "--ds-gone", &old]).contains("too early"));
    assert!(zone.refused(&["roll", "--ds-gone", &old]).contains("is needed"));
    assert!(zone.told(&["ds"]).contains(&format!("DS {old} ")), "the parent is to keep the old one");
    zone.told(&["roll", "--cancel"]);
    assert_eq!(zone.states(), ["active", "removed"]);
}

#[test]
fn the_old_key_goes_when_the_parent_has_the_new_one_alone() {
    let zone = Zone::with(&[
        (20 * DAY, Past::Generate),
        (15 * DAY, Past::Seen),
        (10 * DAY, Past::Roll),
        (5 * DAY, Past::Seen),
    ]);
    let (old, new) = (zone.tag(0).to_string(), zone.tag(1).to_string());
    assert_eq!(zone.states(), ["retiring", "active"]);
    let told = zone.told(&["status"]);
    for part in [&format!("is signed by {new}"), "DO    have the parent remove", &format!("roll --ds-gone {old}")] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    assert!(zone.refused(&["roll"]).contains("is not done"));
    zone.told(&["roll", "--ds-gone", &old]);
    assert!(zone.refused(&["roll"]).contains("not out of all caches yet"));
    assert!(zone.refused(&["roll", "--forget", &old]).contains("too early"));
    let steps = zone.status()["steps"].clone();
    assert_eq!((&steps[4]["step"], &steps[0]["by"]), (&Value::from("ds_gone"), &Value::from("ada@host")));
}

#[test]
fn the_parent_is_asked_before_it_is_believed() {
    let zone = Zone::with(&[(10 * DAY, Past::Generate)]);
    let tag = zone.tag(0).to_string();
    let (above, other) = (Above::start(true), Above::start(true));
    let servers = [above.address.to_string(), other.address.to_string()];
    let say = ["roll", "--ds-seen", &tag, "--parent", &servers[0], "--parent", &servers[1]];
    above.has(3_600, zone.ds());
    let told = zone.refused(&say);
    assert!(told.contains(&servers[1]) && told.contains("has not the DS of key"), "{told}");
    other.has(2 * 86_400, zone.ds());
    let told = zone.refused(&say);
    assert!(told.contains("longer than the 86400 s") && told.contains("--parent-ttl 172800s"), "{told}");
    let told = zone.told(&["status", "--parent", &servers[0]]);
    assert!(told.contains(&format!("parent {}  has the DS of {tag} (TTL 1 h 0 min)", servers[0])), "{told}");
    assert_eq!(zone.states(), ["ready"], "nothing was noted");
    zone.told(&[&say[..], &["--parent-ttl", "2d"]].concat());
    assert_eq!(zone.states(), ["active"]);

    zone.told(&["roll", "--to-unsigned"]);
    assert_eq!(zone.status()["cds"], "delete");
    assert!(zone.refused(&["ds"]).contains("on its way to being unsigned"));
    zone.told(&["roll", "--cancel"]);
    assert_eq!(zone.states(), ["active"]);

    let stranger = DS::new(1, Algorithm::ED25519, DigestType::SHA256, vec![0; 32]);
    above.has(60, vec![stranger]);
    let told = zone.told(&["status", "--parent", &servers[0]]);
    assert!(told.contains("BAD   1 15 2 0000") && told.contains("is of no key in this zone"), "{told}");
    let resolver = Above::start(false).address.to_string();
    assert!(zone.refused(&["status", "--parent", &resolver]).contains("is no authority"));
}

#[test]
fn what_a_node_could_not_use_is_shown_and_fails() {
    let zone = Zone::with(&[(10 * DAY, Past::Generate)]);
    let file = std::fs::read_dir(zone.keys()).expect("readable").map(|entry| entry.expect("readable").path());
    let key = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "pem")).expect("a key");
    std::fs::rename(&key, zone.inside.path().join("aside")).expect("moved");
    let output = zone.run(&["status"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && told.contains("NODES CANNOT USE THIS FOLDER"), "{told}");
    assert!(told.contains(&key.display().to_string()) && told.contains("ready"), "{told}");
    std::fs::rename(zone.inside.path().join("aside"), &key).expect("moved");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("ours");
    assert!(String::from_utf8_lossy(&zone.run(&["status"]).stdout).contains("chmod 0600"));
}

#[test]
fn a_clock_that_is_behind_changes_nothing_and_is_told() {
    let zone = Zone::new();
    let later = Clock::start().wall() + 2 * HOUR;
    let mut change = Change::begin(&zone.keys(), &name(), true).expect("ours alone");
    change.make(Step::Generate, Algorithm::ED25519, PARENT_TTL, later, "ada@host").expect("allowed");
    drop(change);
    let before = std::fs::read(zone.keys().join(RECORD_FILE)).expect("octets");
    assert!(zone.told(&["status"]).contains("THE CLOCK IS BEHIND"));
    assert!(zone.refused(&["roll", "--to-unsigned"]).contains("mend the clock"));
    assert_eq!(std::fs::read(zone.keys().join(RECORD_FILE)).expect("octets"), before);
}

#[test]
fn without_a_folder_the_configuration_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("regions.toml");
    std::fs::write(&config, FLEET).expect("written");
    let (config, keys) = (config.to_str().expect("a path"), folder.path().join("keys"));
    let told = complaint(&anyfront(&["dnssec", "status", "--config", config]));
    assert!(told.contains("names no folder for keys ([zone] keys): say --keys DIR"), "{told}");
    let keys = keys.to_str().expect("a path");
    let told = complaint(&anyfront(&["dnssec", "status", "--config", config, "--keys", keys]));
    assert!(told.contains(keys), "{told}");
    let told = output(&anyfront(&["dnssec", "generate", "--config", config, "--keys", keys, "--algorithm", "15"]));
    assert!(told.contains("gateway.example.") && told.contains("ED25519"), "{told}");
}
