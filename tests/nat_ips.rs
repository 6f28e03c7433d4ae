//! Where regions call out from: the document at its hostname, its history, and the shapes that firewalls take.

#[path = "common/front.rs"]
mod front;

use anyfront::moment::{Clock, Moment};
use anyfront::node::{Node, Options};
use anyfront::topology::check::{check, check_at};
use anyfront::topology::mistake::Gravity;
use front::{Answer, BOUND, Client, Origin};
use serde_json::{Value as Json, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const ORF: &str = "[[region.nat_ip]]\nprefix = \"8.8.4.0/24\"\n\
     [[region.nat_ip]]\nprefix = \"2a00:1450::/32\"\nstate = \"retiring\"\n\
     [[region.nat_ip]]\nprefix = \"8.8.8.8\"\nstate = \"planned\"\nvalid_from = 2099-01-31\n";

/// A fleet of two regions; `orf` and `syd`: what stands in their tables.
fn file(head: &str, orf: &str, syd: &str, address: SocketAddr) -> String {
    let region = |name: &str, more: &str| {
        format!(
            "[[region]]\nname = \"{name}\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 1\nlongitude = 1\n\
             endpoints = [\"http://{address}\"]\n{more}\n"
        )
    };
    format!(
        "[fleet]\nname = \"f\"\nzone = \"gw.test\"\n[probe]\nkind = \"tcp\"\n{head}\n\
         [[site]]\nname = \"s\"\nlatitude = 1\nlongitude = 1\n\
         [[hostname]]\nname = \"gw.test\"\nregions = [\"*\"]\n{}{}",
        region("orf", orf),
        region("syd", syd)
    )
}

const HEAD: &str = "[nat_ips]\nhostname = \"nat.example\"";

/// A node whose state survives it.
struct Fleet {
    folder: TempDir,
    origin: Origin,
    node: Option<Node>,
}

impl Fleet {
    fn start(orf: &str) -> Self {
        let fleet = Self { folder: tempfile::tempdir().expect("a folder"), origin: Origin::polite(), node: None };
        fleet.write(orf);
        fleet.again()
    }

    fn write(&self, orf: &str) {
        let text = file(HEAD, orf, "", self.origin.address);
        std::fs::write(self.folder.path().join("regions.toml"), text).expect("written");
    }

    /// Starts the node, again perhaps.
    fn again(mut self) -> Self {
        if let Some(node) = self.node.take() {
            node.stop();
        }
        let any = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let options = Options {
            config: self.folder.path().join("regions.toml"),
            site: None,
            http: any.iter().map(|address| (*address).into()).collect(),
            https: Vec::new(),
            dns: Vec::new(),
            dot: Vec::new(),
            dnstap: None,
            access_log: None,
            traces: None,
            admin: any,
            status: Vec::new(),
            status_export: None,
            state_dir: self.folder.path().join("state"),
            workers: 1,
            certificates: Vec::new(),
            certificate_folders: Vec::new(),
            admin_token_file: None,
            secret_file: None,
            drain_time: Duration::ZERO,
            grace: Duration::from_millis(200),
        };
        self.node = Some(Node::start(options).expect("it starts"));
        self
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    fn ask(&self, line: &str, fields: &str) -> Answer {
        let mut client = Client::connect(self.node().http[0]);
        client.say(format!("{line} HTTP/1.1\r\nHost: nat.example\r\n{fields}\r\n"));
        client.any_answer(line.starts_with("HEAD"))
    }

    fn document(&self) -> Json {
        serde_json::from_str(&self.ask("GET /nat_ip.json", "").text()).expect("JSON")
    }

    /// Has the file read again, and waits for that generation.
    fn reload(&self, orf: &str, generation: u64) -> Json {
        self.write(orf);
        self.node().reload();
        let clock = Clock::start();
        loop {
            let document = self.document();
            if document["generation"] == generation {
                return document;
            }
            assert!(clock.now() < Moment::at(BOUND), "{document}");
            std::thread::yield_now();
        }
    }

    fn state(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("state").join(name)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }
}

#[test]
fn the_document_says_what_the_file_says() {
    let fleet = Fleet::start(ORF);
    let answer = fleet.ask("GET /nat_ip.json", "");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.field("cache-control"), Some("public, max-age=300"));
    let document: Json = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!((&document["fleet"], &document["generation"]), (&json!("f"), &json!(1)));
    assert_eq!(
        document["regions"],
        json!([{ "name": "orf", "nat_ips": [
            { "prefix": "8.8.4.0/24", "state": "active", "valid_from": null },
            { "prefix": "8.8.8.8/32", "state": "planned", "valid_from": "2099-01-31T00:00:00.000Z" },
            { "prefix": "2a00:1450::/32", "state": "retiring", "valid_from": null },
        ] }])
    );
    assert_eq!(document["history"].as_array().map(Vec::len), Some(3));
}

#[test]
fn who_has_it_is_told_so_and_other_questions_are_refused() {
    let fleet = Fleet::start(ORF);
    let etag = fleet.ask("GET /nat_ip.json", "").field("etag").expect("a tag").to_owned();
    let bare = etag.strip_prefix("W/").expect("a weak one: nodes count their own generations");
    for known in [etag.clone(), bare.to_owned(), format!("\"x\", {etag}"), "*".to_owned()] {
        let answer = fleet.ask("GET /nat_ip.json", &format!("If-None-Match: {known}\r\n"));
        assert_eq!((answer.status(), answer.text().as_str()), (304, ""), "{known}");
        assert_eq!(answer.field("etag"), Some(&*etag));
    }
    assert_eq!(fleet.ask("GET /nat_ip.json", "If-None-Match: \"x\"\r\n").status(), 200);
    let head = fleet.ask("HEAD /nat_ip.json", "");
    assert_eq!((head.status(), head.text().as_str()), (200, ""));
    let length: usize = head.field("content-length").and_then(|length| length.parse().ok()).expect("a length");
    assert_eq!(length, fleet.ask("GET /nat_ip.json", "").text().len());
    assert_eq!(fleet.ask("GET /", "").status(), 404);
    assert_eq!(fleet.ask("GET /nat_ip.json/", "").status(), 404);
    let refused = fleet.ask("DELETE /nat_ip.json", "");
    assert_eq!((refused.status(), refused.field("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_connection_may_ask_regions_and_the_node_in_turn() {
    let fleet = Fleet::start(ORF);
    let mut client = Client::connect(fleet.node().http[0]);
    for _ in 0..2 {
        client.say("GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
        client.say("GET /nat_ip.json?x=1 HTTP/1.1\r\nHost: NAT.example.:80\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
    }
    assert!(fleet.origin.seen().iter().all(|seen| seen.target() == "/"), "no region sees what the node serves");
}

#[test]
fn the_generation_counts_changes_of_addresses_and_survives_a_restart() {
    let fleet = Fleet::start(ORF);
    let first = fleet.document();
    let second = fleet.reload(&ORF.replace("state = \"retiring\"", "state = \"active\""), 2);
    let change = second["history"].as_array().and_then(|history| history.last()).expect("a change").clone();
    assert_eq!(
        (&change["prefix"], &change["from"], &change["to"]),
        (&json!("2a00:1450::/32"), &json!("retiring"), &json!("active"))
    );
    let third = fleet.reload("", 3);
    assert_eq!(third["regions"], json!([]));
    let fleet = fleet.again();
    assert_eq!(fleet.document(), third, "a restart is no change");
    let fourth = fleet.reload(ORF, 4);
    assert_eq!(fourth["regions"], first["regions"]);
    assert_eq!(fourth["history"].as_array().map(Vec::len), Some(3 + 1 + 3 + 3));
}

#[test]
fn a_history_that_cannot_be_understood_is_kept_aside_and_never_overwritten() {
    let fleet = Fleet::start(ORF);
    std::fs::write(fleet.state("nat_ips.json"), "{\"generation\":").expect("written");
    let fleet = fleet.again();
    assert_eq!(fleet.document()["generation"], 1);
    let aside = std::fs::read_to_string(fleet.state("nat_ips.json.corrupt-1")).expect("it is kept");
    assert_eq!(aside, "{\"generation\":");
}

#[test]
fn addresses_are_served_where_nothing_can_be_written() {
    let fleet = Fleet::start(ORF);
    // In the way of the new file, for whoever runs the test.
    std::fs::create_dir(fleet.state("nat_ips.json.new")).expect("made");
    assert_eq!(fleet.reload("", 2)["regions"], json!([]));
    assert_eq!(fleet.reload(ORF, 3)["regions"][0]["name"], "orf");
}

#[test]
fn without_its_table_nothing_is_served() {
    let fleet = Fleet { node: None, folder: tempfile::tempdir().expect("a folder"), origin: Origin::polite() };
    let text = file("", ORF, "", fleet.origin.address);
    std::fs::write(fleet.folder.path().join("regions.toml"), text).expect("written");
    let fleet = fleet.again();
    assert_eq!(fleet.ask("GET /nat_ip.json", "").status(), 421);
}

// ---- the file -------------------------------------------------------------------------------------------------------

fn told(head: &str, orf: &str, syd: &str, wall: Option<Duration>) -> Vec<(Gravity, String)> {
    let text = file(head, orf, syd, SocketAddr::from(([127, 0, 0, 1], 1)));
    let rows = match check_at(&text, Path::new("regions.toml"), wall) {
        Ok(checked) => checked.warnings.rows(),
        Err(mistakes) => mistakes.rows(),
    };
    rows.into_iter().map(|row| (row.gravity, row.message)).collect()
}

#[track_caller]
fn assert_told(told: &[(Gravity, String)], gravity: Gravity, what: &str) {
    assert!(told.iter().any(|(told, message)| *told == gravity && message.contains(what)), "{what} in {told:#?}");
}

#[test]
fn mistakes_in_addresses_are_told() {
    let one = |lines: &str| format!("[[region.nat_ip]]\n{lines}\n");
    let orf = one("prefix = \"8.8.4.0/24\"");
    assert_told(&told(HEAD, &orf, &orf, None), Gravity::Error, "8.8.4.0/24 is there twice");
    assert_told(&told(HEAD, &orf, &one("prefix = \"8.8.4.4\""), None), Gravity::Warning, "is inside 8.8.4.0/24");
    assert_told(
        &told(HEAD, &one("prefix = \"8.8.4.4\"\nstate = \"planned\""), "", None),
        Gravity::Error,
        "without valid_from",
    );
    assert_told(&told(HEAD, &one("state = \"active\""), "", None), Gravity::Error, "without prefix");
    for (unseen, what) in [
        ("10.1.0.0/16", "private"),
        ("127.0.0.1", "loopback"),
        ("192.0.2.7", "documentation"),
        ("fd00:1::/32", "private"),
    ] {
        assert_told(&told(HEAD, &one(&format!("prefix = {unseen:?}")), "", None), Gravity::Warning, what);
    }
    for wide in ["0.0.0.0/0", "9.0.0.0/15", "2000::/31"] {
        assert_told(&told(HEAD, &one(&format!("prefix = {wide:?}")), "", None), Gravity::Error, "wider than any");
    }
    assert_told(&told(HEAD, "", "", None), Gravity::Warning, "nothing to tell");
    let taken = "[nat_ips]\nhostname = \"orf.gw.test\"";
    assert_told(&told(taken, &orf, "", None), Gravity::Error, "is served by regions already");
    let bad = one("prefix = \"8.8.4.4\"\nvalid_from = \"soon\"");
    assert_told(&told(HEAD, &bad, "", None), Gravity::Error, "no day and no time");
}

#[test]
fn what_is_planned_is_told_14_days_ahead_and_not_a_second_less() {
    // 2027-01-31 is 1801353600.
    let planned = "[[region.nat_ip]]\nprefix = \"8.8.4.4\"\nstate = \"planned\"\nvalid_from = 2027-01-31\n";
    let just = Duration::from_secs(1_801_353_600 - 14 * 86_400);
    let too_soon =
        |wall| told(HEAD, planned, "", wall).iter().any(|(_, message)| message.contains("14 days of notice"));
    assert!(!too_soon(Some(just)));
    assert!(too_soon(Some(just + Duration::from_secs(1))));
    assert!(!too_soon(None), "nobody said what time it is");
}

// ---- the command ----------------------------------------------------------------------------------------------------

fn nat_ips(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anyfront")).arg("nat-ips").args(arguments).output().expect("it runs")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_command_prints_what_is_served() {
    let fleet = Fleet::start(ORF);
    let admin = fleet.node().admin[0].to_string();
    assert_eq!(printed(&nat_ips(&["--url", &admin])), fleet.ask("GET /nat_ip.json", "").text());
    let config = fleet.folder.path().join("regions.toml").display().to_string();
    let from_file: Json = serde_json::from_str(&printed(&nat_ips(&["--config", &config]))).expect("JSON");
    assert_eq!(from_file["regions"], fleet.document()["regions"]);
    let text =
        |arguments: &[&str]| printed(&nat_ips(&[&["--config", &config, "--format", "text"], arguments].concat()));
    assert_eq!(text(&[]), "8.8.4.0/24\n8.8.8.8/32\n2a00:1450::/32\n");
    assert_eq!(text(&["--state", "active,planned"]), "8.8.4.0/24\n8.8.8.8/32\n");
    assert_eq!(text(&["--region", "syd"]), "");
    assert!(!nat_ips(&["--config", &config, "--region", "mars"]).status.success());
}

#[test]
fn firewalls_take_what_the_command_prints() {
    let fleet = Fleet::start(ORF);
    let config = fleet.folder.path().join("regions.toml").display().to_string();
    let aws: Json = serde_json::from_str(&printed(&nat_ips(&["--config", &config, "--format", "aws"]))).expect("JSON");
    assert_eq!(
        aws,
        json!([
            { "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [
                { "CidrIp": "8.8.4.0/24", "Description": "f orf" }, { "CidrIp": "8.8.8.8/32", "Description": "f orf" },
            ] },
            { "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Ipv6Ranges": [
                { "CidrIpv6": "2a00:1450::/32", "Description": "f orf" },
            ] },
        ])
    );
    let sets = printed(&nat_ips(&["--config", &config, "--format", "nftables"]));
    let path = fleet.folder.path().join("sets.nft");
    std::fs::write(&path, &sets).expect("written");
    let checked = Command::new("nft").args(["-c", "-f"]).arg(&path).stdin(Stdio::null()).output();
    match checked {
        Err(error) => eprintln!("SKIPPED: whether nft takes the sets is not known here: {error}"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if said.contains("Operation not permitted") {
                eprintln!("SKIPPED: nft may not be used here: {said}");
            } else {
                assert!(output.status.success(), "{said}\n{sets}");
            }
        }
    }
}

#[test]
fn the_file_may_say_nothing_of_addresses() {
    let text = file("", "", "", SocketAddr::from(([127, 0, 0, 1], 1)));
    assert!(check(&text, Path::new("regions.toml")).expect("right").topology.nat_hostname.is_none());
}
