//! `anyfront explain`: the decision and its reasons, from a configuration and from a node.

mod operator;

use anyfront::control::Event;
use anyfront::health::Fault;
use operator::{FLEET, Node, anyfront, complaint, output};
use serde_json::Value;
use std::time::Duration;

fn config() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("regions.toml");
    std::fs::write(&path, FLEET).expect("written");
    let path = path.to_str().expect("a path").to_owned();
    (folder, path)
}

fn regions(decision: &Value) -> Vec<&str> {
    let candidates = decision["candidates"].as_array().expect("candidates");
    candidates.iter().filter_map(|candidate| candidate["region"].as_str()).collect()
}

#[test]
fn a_configuration_is_asked_without_a_node() {
    let (_folder, path) = config();
    let ask = ["explain", "--host", "us.gateway.example", "--client", "203.0.113.9", "--config", &path];
    let text = output(&anyfront(&ask));
    for part in
        ["asked from 203.0.113.0/24 (New York, US)", "goes to orf", "fallback 1", "every region is taken to be up"]
    {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains("203.0.113.9"), "the whole address is told");
    let what_if = [&ask[..], &["--down", "orf", "--down", "sfo", "--json"]].concat();
    let decision: Value = serde_json::from_str(&output(&anyfront(&what_if))).expect("JSON");
    assert_eq!(regions(&decision), ["yyz", "orf", "sfo"]);
    assert_eq!(decision["candidates"][1]["standing"], "down");
}

#[test]
fn a_node_is_asked_what_it_would_do_now() {
    let state = tempfile::tempdir().expect("a folder");
    let node = Node::start(state.path(), None);
    let ask = ["explain", "--host", "US.gateway.example.", "--client", "203.0.113.9", "--json"];
    let decision: Value = serde_json::from_str(&output(&node.command(&ask))).expect("JSON");
    assert_eq!(regions(&decision), ["orf", "sfo", "yyz"]);
    assert_eq!(decision["candidates"][0]["standing"], "unknown");

    let snapshot = node.published.load_full();
    for (endpoint, state) in snapshot.topology.endpoints.iter().zip(&snapshot.endpoints) {
        let is_orf = endpoint.name.as_str().starts_with("orf/");
        let result = if is_orf { Err(Fault::Refused) } else { Ok(Duration::from_millis(20)) };
        for _ in 0..3 {
            node.events.blocking_send(Event::Probed { endpoint: state.id, probe: 0, result }).expect("control runs");
        }
    }
    node.until("the outage", |node| {
        node.json("/explain?host=us.gateway.example&client=203.0.113.9")["candidates"][0]["region"] == "sfo"
    });
    let text = output(&node.command(&ask[..5]));
    for part in ["goes to sfo", "probes fail: connection refused", "asked of the node at 127.0.0.1:"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn what_cannot_be_explained_gets_a_sentence() {
    let (_folder, path) = config();
    let ask = |host: &str, more: &[&str]| {
        let ask = ["explain", "--client", "203.0.113.9", "--config", &path, "--host", host];
        complaint(&anyfront(&[&ask[..], more].concat()))
    };
    assert!(ask("su.gateway.example", &[]).contains("did you mean us.gateway.example?"));
    assert!(ask("nowhere.test", &[]).contains("nobody serves nowhere.test; the written ones are gateway.example, us."));
    assert!(ask("a b", &[]).contains("the hostname \"a b\""));
    assert!(ask("us.gateway.example", &["--down", "orff"]).contains("did you mean orf?"));
    assert!(ask("us.gateway.example", &["--site", "par-1"]).contains("there are lon-1"));

    let wrong = ["explain", "--host", "us.gateway.example", "--client", "not-an-address", "--config", &path];
    assert_eq!(anyfront(&wrong).status.code(), Some(2));

    std::fs::write(&path, "[fleet]\n").expect("written");
    assert!(ask("us.gateway.example", &[]).contains("`anyfront check` draws them"));
}

#[test]
fn the_address_answers_bad_questions_with_sentences() {
    let state = tempfile::tempdir().expect("a folder");
    let node = Node::start(state.path(), None);
    for (query, status, part) in [
        ("", 400, "host=NAME is missing"),
        ("host=us.gateway.example", 400, "client=IP is missing"),
        ("host=us.gateway.example&client=x", 400, "client \\\"x\\\" is no IP address"),
        ("host=192.0.2.1&client=192.0.2.1", 400, "is an address, not a name"),
        ("host=nowhere.test&client=192.0.2.1", 404, "nobody serves nowhere.test"),
        ("host=us.gateway.example&client=192.0.2.1&format=xml", 400, "neither text nor json"),
        ("host=us.gateway.example&client=2001%3adb8::7&format=text", 200, "2001:db8::/48"),
    ] {
        let (got, body) = node.get(&format!("/explain?{query}"));
        assert!(got == status && body.contains(part), "{query}: {got} {body}");
    }
    let (_, body) =
        node.ask("GET", "/explain?host=us.gateway.example&client=203.0.113.9", "accept: text/plain\r\n", "");
    assert!(body.contains("goes to orf"), "{body}");
}

#[test]
fn a_private_link_is_explained_with_its_region_and_its_hostnames() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("regions.toml");
    let links = "[[private_link]]\nprovider = \"aws\"\nid = \"vpce-0a\"\nregion = \"sfo\"\n\
                 [[private_link]]\nprovider = \"gcp\"\nid = \"7\"\nregion = \"sfo\"\nleaves_region = true\n\
                 [[private_link]]\nprovider = \"azure\"\nid = \"8\"\nhostnames = [\"sfo.gateway.example\"]\n";
    std::fs::write(&path, format!("{FLEET}\n{links}")).expect("written");
    let path = path.to_str().expect("a path");
    let ask = |link: &str, more: &[&str]| {
        let host = "us.gateway.example";
        let ask = ["explain", "--host", host, "--client", "203.0.113.9", "--config", path, "--private-link", link];
        output(&anyfront(&[&ask[..], more].concat()))
    };
    for (link, told) in [
        ("aws:vpce-0a", "which never leaves sfo"),
        ("gcp:7", "which goes to sfo while that stands as well"),
        ("azure:8", "which may not ask for this hostname: answered with 421"),
        ("aws:vpce-0b", "which is not in the file: served like any client"),
    ] {
        let text = ask(link, &[]);
        assert!(text.contains(&format!("by private link {link}, {told}")), "{text}");
    }
    let decision: Value = serde_json::from_str(&ask("aws:vpce-0a", &["--json"])).expect("JSON");
    assert_eq!((regions(&decision), &decision["private_link"]["region"]), (vec!["sfo"], &Value::from("sfo")));
    assert_eq!(decision["excluded"][0]["exclusion"], "bound_elsewhere");
    let decision: Value = serde_json::from_str(&ask("gcp:7", &["--json"])).expect("JSON");
    assert_eq!(regions(&decision)[0], "sfo");
    let mistaken = anyfront(&["explain", "--host", "x", "--client", "::1", "--private-link", "aws:eni-1"]);
    let told = String::from_utf8_lossy(&mistaken.stderr).into_owned();
    assert!(told.contains("--private-link") && told.contains("vpce-08d2bf15fac5001c9"), "{told}");
}
