//! Operators and a whole node: the real `serve`, and the commands against it.

mod operator;

use operator::{FLEET, anyfront, complaint, output};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A real node that ends with the test.
struct Served {
    child: Child,
    admin: String,
}

impl Served {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_anyfront"))
            .args(["serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--config"])
            .arg(folder.join("regions.toml"))
            .arg("--state-dir")
            .arg(folder.join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        let admin = lines.find_map(|line| line.strip_prefix("admin ").map(str::to_owned)).expect("its address");
        Self { child, admin }
    }

    fn told(&self, arguments: &[&str]) -> String {
        output(&anyfront(&[arguments, &["--admin", &self.admin]].concat()))
    }

    fn regions(&self) -> Value {
        serde_json::from_str(&self.told(&["status", "--json"])).expect("JSON")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // As after a crash: nothing is said before the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_drain_outlives_a_crash_of_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("regions.toml"), FLEET).expect("written");
    let node = Served::start(folder.path());
    node.told(&["drain", "region:orf", "--reason", "upgrade"]);
    drop(node);

    let node = Served::start(folder.path());
    let ask = ["explain", "--host", "us.gateway.example", "--client", "203.0.113.9"];
    let text = node.told(&ask);
    assert!(text.contains("drained by an operator"), "{text}");
    assert_eq!(node.regions()["drains"][0]["reason"], "upgrade");
    assert!(node.told(&["status"]).contains("= drained"));
    node.told(&["undrain", "region:orf"]);
    assert!(!node.told(&ask).contains("drained"));
}

#[test]
fn a_bad_file_changes_nothing_and_is_shown_until_it_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("regions.toml");
    std::fs::write(&path, FLEET).expect("written");
    let node = Served::start(folder.path());
    let digest = node.regions()["digest"].clone();

    std::fs::write(&path, FLEET.replace("[\"yyz\"]", "[\"yzy\"]")).expect("written");
    let shown =
        (0..2_000).map(|_| node.regions()).find(|told| !told["problem"].is_null()).expect("the problem is shown");
    assert!(shown["problem"]["text"].as_str().is_some_and(|text| text.contains("yzy")), "{}", shown["problem"]);
    assert_eq!(shown["digest"], digest);
    assert!(node.told(&["status"]).contains("CONFIG REFUSED"));

    std::fs::write(&path, format!("{FLEET}\n# mended\n")).expect("written");
    let mended = (0..2_000).map(|_| node.regions()).find(|told| told["problem"].is_null()).expect("it is mended");
    assert_ne!(mended["digest"], digest);
}

#[test]
fn drains_that_cannot_be_understood_stop_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("regions.toml");
    std::fs::write(&config, FLEET).expect("written");
    std::fs::write(folder.path().join("drains.json"), "{").expect("written");
    let (config, state) = (config.to_str().expect("a path"), folder.path().to_str().expect("a path"));
    let text = complaint(&anyfront(&[
        "serve",
        "--config",
        config,
        "--state-dir",
        state,
        "--http",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]));
    assert!(text.contains("drains.json") && text.contains("move it away"), "{text}");
}
