//! `anyfront drain` and `undrain`: in force when they return, kept over restarts, written down with who and why.

mod operator;

use operator::{Node, anyfront, complaint, output};
use serde_json::Value;
use std::path::Path;

fn state() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn first(node: &Node, host: &str) -> String {
    let decision = node.json(&format!("/explain?host={host}&client=203.0.113.9"));
    decision["candidates"][0]["region"].as_str().unwrap_or("nobody").to_owned()
}

fn audit(state: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(state.join("audit.jsonl")).expect("an audit log");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_drain_is_in_force_when_the_command_returns_and_survives_a_restart() {
    let state = state();
    let node = Node::start(state.path(), None);
    assert_eq!(first(&node, "us.gateway.example"), "orf");
    let text = output(&node.command(&["drain", "region:orf", "--reason", "database upgrade", "--for", "30m"]));
    assert_eq!(first(&node, "us.gateway.example"), "sfo");
    assert_eq!(first(&node, "orf.gateway.example"), "orf", "a soft drain leaves the region's own name");
    for part in [
        "region:orf is drained, until 20",
        ": database upgrade",
        "us.gateway.example loses orf; left: sfo, yyz",
        "home.gateway.example loses orf; sfo is left alone",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    node.stop();

    let node = Node::start(state.path(), None);
    assert_eq!(first(&node, "us.gateway.example"), "sfo", "the drain did not survive");
    assert_eq!(node.json("/drains")["drains"][0]["reason"], "database upgrade");
    let text = output(&node.command(&["undrain", "region:orf"]));
    assert!(text.contains("region:orf is drained no more") && text.contains("gets orf back"), "{text}");
    assert_eq!(first(&node, "us.gateway.example"), "orf");

    let lines = audit(state.path());
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().expect("an action")).collect();
    assert_eq!(actions, ["drain", "undrain"]);
    assert!(lines[0]["who"].as_str().expect("who").starts_with("ada@"), "{}", lines[0]);
    assert_eq!((&lines[0]["from"], &lines[0]["target"]), (&Value::from("127.0.0.1"), &Value::from("region:orf")));
    assert!(lines[0]["at"].as_str().expect("when").ends_with('Z'));
}

#[test]
fn a_hard_drain_of_everything_leaves_nobody_and_says_so() {
    let state = state();
    let node = Node::start(state.path(), None);
    output(&node.command(&["drain", "provider:azure", "--reason", "test"]));
    let text = output(&node.command(&["drain", "provider:aws", "--reason", "test", "--hard"]));
    assert!(text.contains("home.gateway.example loses orf; NOBODY is left"), "{text}");
    assert!(text.contains("orf.gateway.example has nobody left"), "{text}");
    assert_eq!(first(&node, "home.gateway.example"), "nobody");
    assert_eq!(first(&node, "us.gateway.example"), "yyz");
    let region = node.json("/regions")["regions"][0].clone();
    assert_eq!((&region["name"], &region["drained"]), (&Value::from("orf"), &Value::from("hard")));
}

#[test]
fn a_drained_endpoint_leaves_its_region_to_its_sibling() {
    let state = state();
    let node = Node::start(state.path(), None);
    let text = output(&node.command(&["drain", "endpoint:orf/192.0.2.1", "--reason", "bad disk"]));
    assert!(text.contains("no hostname loses a region by this"), "{text}");
    let region = node.json("/regions")["regions"][0].clone();
    assert_eq!(region["drained"], Value::Null);
    assert_eq!(region["endpoints"][0]["drained"], "soft");
}

#[test]
fn a_drain_ends_by_its_time() {
    let state = state();
    let node = Node::start(state.path(), None);
    output(&node.command(&["drain", "region:orf", "--reason", "short", "--for", "1s"]));
    node.until("the end of the drain", |node| first(node, "us.gateway.example") == "orf");
    assert!(node.json("/drains")["drains"].as_array().expect("a list").is_empty());
}

#[test]
fn what_cannot_be_drained_gets_a_sentence_and_changes_nothing() {
    let state = state();
    let node = Node::start(state.path(), None);
    let refused = |arguments: &[&str]| complaint(&node.command(arguments));
    assert!(refused(&["drain", "region:orff", "--reason", "x"]).contains("did you mean region:orf?"));
    assert!(refused(&["drain", "region:aws", "--reason", "x"]).contains("did you mean provider:aws?"));
    assert!(refused(&["drain", "provider:nobody", "--reason", "x"]).contains("there are provider:aws, provider:azure"));
    assert!(refused(&["drain", "region:orf", "--reason", " "]).contains("a drain needs a reason"));
    assert!(refused(&["drain", "region:orf", "--reason", "a\u{1b}[2Jb"]).contains("control character"));
    assert!(refused(&["undrain", "region:orf"]).contains("region:orf is not drained"));
    assert_eq!(node.command(&["drain", "orf", "--reason", "x"]).status.code(), Some(2));
    assert_eq!(node.command(&["drain", "region:orf"]).status.code(), Some(2), "a reason is required");
    assert_eq!(node.command(&["drain", "region:orf", "--reason", "x", "--for", "soon"]).status.code(), Some(2));
    for body in [
        "",
        "{}",
        "[]",
        "{\"target\":\"region:orf\",\"reason\":\"x\",\"fro_s\":1}",
        "{\"target\":\"orf\",\"reason\":\"x\"}",
    ] {
        assert_eq!(node.ask("POST", "/drain", "", body).0, 400, "{body}");
    }
    for seconds in ["0", "31622401"] {
        let body = format!("{{\"target\":\"region:orf\",\"reason\":\"x\",\"for_s\":{seconds}}}");
        assert_eq!(node.ask("POST", "/drain", "", &body).0, 400, "{body}");
    }
    assert!(node.json("/drains")["drains"].as_array().expect("a list").is_empty());
    assert_eq!(std::fs::read(state.path().join("audit.jsonl")).expect("a log").len(), 0);
}

#[test]
fn a_drain_that_cannot_be_written_down_is_not_in_force() {
    let state = state();
    let node = Node::start(state.path(), None);
    std::fs::create_dir(state.path().join("drains.json.new")).expect("in the way");
    let text = complaint(&node.command(&["drain", "region:orf", "--reason", "x"]));
    assert!(text.contains("drains.json: cannot be written"), "{text}");
    assert_eq!(first(&node, "us.gateway.example"), "orf");
    assert_eq!(audit(state.path())[1]["action"], "failed");
}

#[test]
fn a_drain_of_a_region_that_is_no_more_can_be_lifted() {
    let state = state();
    let gone =
        r#"{"drains":[{"target":"region:gone","hard":false,"reason":"r","who":"w","since_ms":1,"until_ms":null}]}"#;
    std::fs::write(state.path().join("drains.json"), gone).expect("written");
    let node = Node::start(state.path(), None);
    output(&node.command(&["undrain", "region:gone"]));
    assert!(node.json("/drains")["drains"].as_array().expect("a list").is_empty());
}

#[test]
fn many_operators_at_once_lose_no_drain() {
    let state = state();
    let node = Node::start(state.path(), None);
    std::thread::scope(|scope| {
        for target in ["region:orf", "region:sfo", "region:yyz", "provider:gcp", "provider:aws"] {
            let node = &node;
            scope.spawn(move || output(&node.command(&["drain", target, "--reason", "together"])));
        }
    });
    assert_eq!(node.json("/drains")["drains"].as_array().expect("a list").len(), 5);
    node.stop();
    let node = Node::start(state.path(), None);
    assert_eq!(node.json("/drains")["drains"].as_array().expect("a list").len(), 5);
}

#[test]
fn a_node_that_is_not_there_is_named() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let text = complaint(&anyfront(&["drain", "region:orf", "--reason", "x", "--admin", &free]));
    assert!(text.contains(&format!("no node answers at {free}")), "{text}");
    let text = complaint(&anyfront(&["undrain", "region:orf", "--admin", "nonsense"]));
    assert!(text.contains("\"nonsense\" is no admin address"), "{text}");
}

#[test]
fn the_token_is_given_by_file() {
    let state = state();
    let token = state.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123\n").expect("written");
    let node = Node::start(state.path(), Some(&token));
    let text = complaint(&node.command(&["drain", "region:orf", "--reason", "x"]));
    assert!(text.contains("wants its admin token") && text.contains("--admin-token-file"), "{text}");
    let path = token.to_str().expect("a path");
    output(&node.command(&["drain", "region:orf", "--reason", "x", "--admin-token-file", path]));
    let wrong = state.path().join("wrong");
    std::fs::write(&wrong, "0123456789abcdef0124\n").expect("written");
    let wrong = wrong.to_str().expect("a path");
    let text = complaint(&node.command(&["undrain", "region:orf", "--admin-token-file", wrong]));
    assert!(text.contains("not its own"), "{text}");
}
