//! A node that is killed in the middle of writing: the ledger is the one before or the one after, and never less.

use super::settings;
use crate::harness::hostname;
use anyfront::lab::world::World;
use anyfront::residency::ledger::Ledger;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program itself, and where it listens.
struct Running {
    child: Child,
    http: String,
    admin: String,
}

fn start(world: &World) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(["serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-time", "0s", "--grace", "1s"])
        .args(["--workers", "1", "--log", "error", "--config"])
        .arg(world.config_path())
        .arg("--state-dir")
        .arg(world.folder().join("state"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut address = |kind: &str| {
        let line = lines.find(|line| line.starts_with(kind)).unwrap_or_else(|| panic!("it never listens for {kind}"));
        line[kind.len() + 1..].to_owned()
    };
    Running { http: address("http"), admin: address("admin"), child }
}

fn get(address: &str, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(crate::harness::BOUND)).expect("a bound");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

fn answers(folder: &Path) -> u64 {
    let Ok(text) = std::fs::read_to_string(folder.join("ledger.json")) else { return 0 };
    let ledger: Ledger = serde_json::from_str(&text).expect("it is whole");
    assert_eq!(ledger.is_sound(), Ok(()));
    let kept = ledger.days.values().flat_map(|page| page.hostnames.values());
    kept.flat_map(|kept| &kept.processed).map(|one| one.answers).sum()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is killed at some time, whatever has happened until then")]
fn a_node_that_is_killed_while_it_writes_leaves_a_ledger_that_says_no_less() {
    let world = World::start(settings()).unwrap_or_else(|error| panic!("{error}"));
    let folder = world.folder().join("state/residency");
    let (mut before, mut asked, mut keys) = (0, 0, Vec::new());
    for round in 0..12_u64 {
        let mut running = start(&world);
        let host = hostname("");
        for _ in 0..5 {
            let answer = get(&running.http, &host, "/v1/whoami");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            asked += 1;
        }
        let key = get(&running.admin, &running.admin, "/residency/key");
        keys.push(key.split_once("\"key\":\"").and_then(|(_, rest)| rest.get(..44)).expect("a key").to_owned());
        // It writes as it stops, some time in these milliseconds.
        let pid = running.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        std::thread::sleep(Duration::from_millis(round * 5));
        if round < 11 {
            running.child.kill().expect("killed");
        }
        running.child.wait().expect("it is over");
        let now = answers(&folder);
        assert!(now >= before && now <= asked, "{now} after {before}, of {asked}");
        before = now;
    }
    assert!(before >= 5, "the last stop was in order, and wrote what it had counted");
    keys.dedup();
    assert_eq!(keys.len(), 1, "one key signs all of it");
    assert!(!folder.join("ledger.json.corrupt-1").exists());
}
