//! `anyfront check`: what a person sees of a configuration.

mod operator;

use operator::{FLEET, anyfront, complaint, output};
use std::io::Write;
use std::process::{Command, Stdio};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("a path")
}

#[test]
fn every_mistake_is_drawn_at_its_line() {
    let wrong =
        FLEET.replace("fallback = [\"yyz\"]", "fallback = [\"yzy\"]").replace("provider = \"azure\"", "provder = 1");
    let file = file(&wrong);
    let text = complaint(&anyfront(&["check", path(&file)]));
    for part in ["yzy", "did you mean \"yyz\"", "provder", "fallback = [\"yzy\"]", "mistakes", path(&file)] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let told = anyfront(&["check", path(&file), "--json"]);
    assert_eq!(told.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told["ok"], false);
    let mistakes = told["mistakes"].as_array().expect("a list");
    assert!(mistakes.len() >= 2 && mistakes.iter().all(|mistake| mistake["line"].as_u64().is_some()), "{told}");
}

#[test]
fn the_meaning_of_a_right_file_is_told() {
    let file = file(FLEET);
    let text = output(&anyfront(&["check", path(&file)]));
    for part in [
        "is right, with no warnings",
        "The fleet example",
        "4 regions, 5 endpoints",
        "orf   aws       North Virginia, US  https://192.0.2.1, https://192.0.2.2",
        "us.gateway.example",
        "primaries   orf, sfo",
        "fallback 1  yyz",
        "residency   US: nowhere else, whatever breaks",
        "San Francisco sfo, then orf",
        "London        lhr, then",
        "CODE.gateway.example",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours although NO_COLOR is set");
}

#[test]
fn pages_fit_the_terminal() {
    for columns in ["80", "120"] {
        let told = Command::new(env!("CARGO_BIN_EXE_anyfront"))
            .args(["check", "regions.toml"])
            .env("COLUMNS", columns)
            .output()
            .expect("ran");
        let width: usize = columns.parse().expect("a number");
        for line in output(&told).lines() {
            assert!(line.chars().count() <= width, "{columns} columns: {line}");
        }
    }
}

#[test]
fn the_fleet_in_this_repository_is_right() {
    let told: serde_json::Value =
        serde_json::from_str(&output(&anyfront(&["check", "regions.toml", "--json"]))).expect("JSON");
    assert_eq!(told["ok"], true);
    let eu =
        told["hostnames"].as_array().expect("a list").iter().find(|name| name["name"] == "eu.gateway.truefoundry.ai");
    let london = eu.expect("there")["from"].as_array().expect("a list").iter().find(|from| from["city"] == "London");
    assert_eq!(london.expect("there")["order"], serde_json::json!(["lhr", "mad", "gvx", "dia"]));
}

#[test]
fn what_dns_answers_is_told() {
    let addresses = FLEET.replacen("latitude = 51.5\n", "latitude = 51.5\naddresses = [\"192.0.2.10\"]\n", 1);
    let regional = "answer = \"region\"\nttl = { max = \"30s\" }";
    let with = addresses.replace("fallback = [\"yyz\"]", &format!("fallback = [\"yyz\"]\n{regional}"));
    let with: String = with
        .lines()
        .map(|line| match line.strip_prefix("endpoints = ") {
            Some(_) => format!("{line}\naddresses = [\"198.51.100.1\"]\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let zone = "[zone]\nnameservers = [\"ns1.gateway.example\", \"ns2.example.com\"]\nhostmaster = \"dns.admin@gateway.example\"\n\
         [[zone.record]]\nname = \"@\"\ntype = \"MX\"\nvalue = \"10 mx.example.com.\"\n\
         [[zone.record]]\nname = \"www\"\ntype = \"CNAME\"\nvalue = \"us\"\n\
         [zone.dnssec]\n[acme]\ndirectory = \"https://acme.example/directory\"\n";
    let file = file(&format!("{with}{zone}"));
    let text = output(&anyfront(&["check", path(&file)]));
    for part in [
        "answered    with its regions' own addresses, for 20 to 30 s",
        "zone          gateway.example, signed with the keys in dnssec of the state directory",
        "name servers  ns1.gateway.example (192.0.2.10), ns2.example.com\n",
        "hostmaster    dns.admin@gateway.example",
        "believed for  20 to 60 s; what does not exist for 60 s",
        "besides       1 record, 1 name that has what another has",
        "certificates  for gateway.example, *.gateway.example, from https://acme.example/directory",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let told: serde_json::Value =
        serde_json::from_str(&output(&anyfront(&["check", path(&file), "--json"]))).expect("JSON");
    assert_eq!(told["dns"]["nameservers"][0]["glue"], serde_json::json!(["192.0.2.10"]));
    assert_eq!(told["dns"]["records"][0]["data"], "10 mx.example.com.");
    assert_eq!(told["dns"]["aliases"][0]["target"], "us.gateway.example");
    assert_eq!(told["acme"]["names"][1], "*.gateway.example");
    let us = told["hostnames"].as_array().expect("a list").iter().find(|name| name["name"] == "us.gateway.example");
    assert_eq!((&us.expect("there")["answer"], &us.expect("there")["ttl"]["max"]), (&"region".into(), &30.into()));
}

#[test]
fn shares_are_told_where_steering_is_by_weight() {
    let weighted = FLEET.replace("fallback = [\"yyz\"]", "steering = \"weighted\"");
    let text = output(&anyfront(&["check", path(&file(&weighted))]));
    assert!(text.contains("shares      orf 50 %, sfo 50 %"), "{text}");
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_anyfront"))
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    child.stdin.take().expect("piped").write_all(FLEET.as_bytes()).expect("sent");
    assert!(output(&child.wait_with_output().expect("ended")).contains("standard input is right"));
}

#[test]
fn the_schema_knows_the_keys() {
    let schema: serde_json::Value = serde_json::from_str(&output(&anyfront(&["check", "--schema"]))).expect("JSON");
    let text = schema.to_string();
    for key in ["failover_timeout", "residency", "expect_json"] {
        assert!(text.contains(key), "{key} is missing");
    }
}

#[test]
fn what_is_no_configuration_is_named() {
    assert!(complaint(&anyfront(&["check", "/absent/regions.toml"])).contains("/absent/regions.toml cannot be read"));
    let mut binary = tempfile::NamedTempFile::new().expect("a file");
    binary.write_all(b"[fleet]\nname = \"\xff\"\n").expect("written");
    assert!(complaint(&anyfront(&["check", path(&binary)])).contains("line 2 is no UTF-8 text"));
    assert!(complaint(&anyfront(&["check", path(&file(FLEET)), "--site", "par-1"])).contains("there are lon-1"));
    assert_eq!(anyfront(&["check"]).status.code(), Some(2));
}

#[test]
fn what_is_written_of_the_status_page_is_told_and_its_password_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("password"), "correct horse\n").expect("written");
    let with = |tables: &str| {
        let file = folder.path().join("regions.toml");
        std::fs::write(&file, format!("{FLEET}{tables}")).expect("written");
        let run = |more: &[&str]| {
            let arguments: Vec<&str> = ["check", file.to_str().expect("a path")].iter().chain(more).copied().collect();
            output(&anyfront(&arguments))
        };
        (run(&[]), run(&["--json"]))
    };
    let (text, _) = with("");
    assert!(!text.contains("Status page"), "nothing was written of it:\n{text}");
    let (text, json) = with(
        "[status]\nhostname = \"status.gateway.example\"\nwebhook_private = [\"10.0.0.0/8\"]\n\
         [status.mail]\nserver = \"smtp.example:587\"\nuser = \"us\"\npassword_file = \"password\"\n\
         from = \"status@gateway.example\"\n",
    );
    for part in [
        "Status page",
        "title         example status",
        "hostname      status.gateway.example, by HTTPS where nodes have --https, else in the clear",
        "record        DNS is not answered for it here: whoever does needs A and AAAA with",
        "links         lead to https://status.gateway.example",
        "mails         from status@gateway.example by way of smtp.example:587 with STARTTLS as us",
        "webhooks      to public addresses at port 443, and to 10.0.0.0/8 at any port",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(told["status"]["mail"]["server"], "smtp.example:587");
    assert!(!text.contains("horse") && !json.contains("horse"), "the password is shown");
}

#[test]
fn a_password_that_changes_is_a_file_that_changes() {
    use anyfront::topology::check::check;
    let folder = tempfile::tempdir().expect("a folder");
    let source = format!(
        "{FLEET}[status]\nurl = \"https://status.example/\"\n[status.mail]\nserver = \"smtp.example:587\"\n\
         user = \"us\"\npassword_file = \"password\"\nfrom = \"status@gateway.example\"\n"
    );
    let read = |password: &str| {
        std::fs::write(folder.path().join("password"), password).expect("written");
        check(&source, &folder.path().join("regions.toml"))
    };
    let (one, other) = (read("correct horse\n").expect("right"), read("battery staple").expect("right"));
    assert_ne!(one.topology.files, other.topology.files);
    let login = |topology: &anyfront::topology::Topology| {
        topology.status.mail.as_ref().and_then(|mail| mail.login.clone()).expect("there is one")
    };
    assert_eq!(login(&one.topology).password.as_str(), "correct horse");
    assert_eq!(format!("{:?}", login(&one.topology)), "Login(\"us\")");
    assert_eq!(one.topology.status.url.as_deref(), Some("https://status.example"));
    for bad in ["", "\n", "two\nlines\n", "a\u{0}b"] {
        let told = read(bad).expect_err("no password");
        assert!(told.rows().iter().any(|row| row.message.contains("has no password")), "{bad:?}: {told}");
    }
}
