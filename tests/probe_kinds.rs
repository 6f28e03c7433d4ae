//! Probes that read streams and call MCP servers, on real sockets: what they find that no other probe finds.

mod common;
#[path = "common/front.rs"]
mod front;
mod harness;

use anyfront::health::{Fault as Wrong, Reason, Standing};
use anyfront::lab::fault::Fault;
use anyfront::lab::world::Settings;
use anyfront::snapshot::Snapshot;
use anyfront::topology::check::check;
use anyfront::topology::mistake::Mistakes;
use common::real_fleet;
use common::virtual_time::{Behaviour, Node};
use front::{BOUND, Door, Origin, Talk};
use harness::{Fleet, QUICK, SOON, completion, from, quick};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Streams are watched, quickly, besides `/health`.
const WATCHED: &str = r#"
[[probe.also]]
kind = "token"
model = "lab-small"
interval = "500ms"
fast_interval = "200ms"
down_interval = "300ms"
first_event = "1s"
gap = "1s"
"#;

fn watched() -> Settings {
    // The tables of [probe] come before those of [forward].
    let extra = QUICK.replacen("[forward]", &format!("{WATCHED}[forward]"), 1);
    Settings { extra, ..quick() }
}

/// What each probe of the first endpoint of `region` says: its standing and its fault.
fn said(snapshot: &Snapshot, region: &str) -> Vec<(&'static str, Standing, Option<Wrong>)> {
    let index = snapshot.topology.region_named(region).expect("it exists");
    let endpoint = snapshot.topology.region(index).endpoints[0];
    let probes = &snapshot.endpoint(endpoint).probes;
    probes.iter().map(|probe| (probe.kind, probe.standing, probe.fault)).collect()
}

fn reason(snapshot: &Snapshot, region: &str) -> Reason {
    snapshot.region(snapshot.topology.region_named(region).expect("it exists")).reason
}

/// `fault` is found by the token probe, while `/health` goes on passing, and it is forgiven when healed.
async fn is_found_by_the_token_probe_alone(fault: Fault) {
    let fleet = Fleet::start(watched()).await;
    fleet.suffer("orf", fault);
    let is_out = |snapshot: &Snapshot| harness::standing_in(snapshot, "orf") == Standing::Down;
    fleet.until("orf is down", SOON, is_out).await;
    let snapshot = fleet.snapshot();
    assert_eq!(reason(&snapshot, "orf"), Reason::FurtherFails("token", Wrong::Stalled));
    assert_eq!(said(&snapshot, "orf")[0], ("http", Standing::Up, None), "/health never failed");
    assert!(reason(&snapshot, "orf").to_string().starts_with("token probes fail"), "people read which kind it is");
    let stream = fleet.ask(completion("us", true, 5), from("New York")).await;
    assert!(stream.is_good(), "{stream:?}");
    assert_ne!(stream.region(), "orf", "streams go where they flow");
    fleet.heal("orf");
    fleet.until("orf is up", SOON, |snapshot| harness::standing_in(snapshot, "orf") == Standing::Up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_never_begin_are_found_by_the_token_probe_and_by_no_other() {
    is_found_by_the_token_probe_alone(Fault::Wedge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_somebody_gathers_are_found_by_the_token_probe_and_by_no_other() {
    is_found_by_the_token_probe_alone(Fault::Lump).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_streams_flow_is_told() {
    let fleet = Fleet::start(watched()).await;
    let snapshot = fleet.snapshot();
    for endpoint in &snapshot.endpoints {
        let token = endpoint.probes[1];
        let (first, gap) = (token.first_event.expect("measured"), token.gap.expect("measured"));
        assert!(first.last > Duration::ZERO && first.smoothed < Duration::from_secs(1), "{first:?}");
        assert!(gap.last > Duration::ZERO && gap.smoothed < Duration::from_secs(1), "{gap:?}");
    }
}

#[test]
fn stuck_streams_are_out_within_14_seconds_with_the_defaults_from_any_phase() {
    let file = format!("{}\n[[probe.also]]\nkind = \"token\"\nmodel = \"echo\"\n", real_fleet());
    let mut longest = Duration::ZERO;
    for phase in (0..10_000).step_by(617) {
        let mut node = Node::warm(phase, &file, 3);
        node.run_for(Duration::from_secs(20) + Duration::from_millis(phase));
        node.break_regions(&["lhr"], Behaviour::Stuck);
        let took = node.run_until(Duration::from_secs(60), |node| node.region("lhr").standing == Standing::Down);
        longest = longest.max(took.expect("it is found within a minute"));
        assert_eq!(node.region("lhr").reason, Reason::FurtherFails("token", Wrong::Stalled));
    }
    assert!(longest <= Duration::from_secs(14), "{longest:?}");
    assert!(longest >= Duration::from_secs(4), "{longest:?}: the interval is ten seconds, or the driver is wrong");
}

// ---- raw origins ----------------------------------------------------------------------------------------------------

/// A node whose only region is asked by a probe besides `tcp`; `also`: its table.
fn door(also: &str, behave: impl Fn(&mut Talk) -> io::Result<bool> + Send + Sync + 'static) -> (Door, Origin) {
    let origin = Origin::start(behave);
    let quick = "interval = \"100ms\"\nfast_interval = \"50ms\"\ntimeout = \"5s\"\n";
    let door = Door::with(&[&origin], &format!("[[probe.also]]\n{also}\n{quick}"));
    (door, origin)
}

fn until(door: &Door, holds: impl Fn(&Snapshot) -> bool) {
    let published = &door.node.as_ref().expect("it runs").published;
    let clock = anyfront::moment::Clock::start();
    while !holds(&published.load_full()) {
        assert!(clock.now().since(anyfront::moment::Moment::ZERO) < BOUND, "{:?}", said(&published.load_full(), "a"));
        std::thread::yield_now();
    }
}

fn is_up(door: &Door) {
    until(door, |snapshot| harness::standing_in(snapshot, "a") == Standing::Up);
}

fn is_down_because(door: &Door, kind: &'static str, why: Wrong) {
    until(door, |snapshot| reason(snapshot, "a") == Reason::FurtherFails(kind, why));
}

/// Answers with JSON.
fn json(talk: &mut Talk, status: &str, fields: &str, body: &str) -> io::Result<bool> {
    let length = body.len();
    talk.say(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    ))?;
    Ok(true)
}

fn asks(talk: &mut Talk, method: &str) -> io::Result<bool> {
    talk.read_body()?;
    Ok(String::from_utf8_lossy(&talk.request.body).contains(&format!("\"method\":\"{method}\"")))
}

const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const NO_METHOD: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}"#;

#[test]
fn an_mcp_server_of_the_newest_version_is_asked_once_and_with_everything_it_wants() {
    let (door, origin) = door("kind = \"mcp\"", |talk| {
        if asks(talk, "server/discover")? { json(talk, "200 OK", "", RESULT) } else { json(talk, "500 No", "", "{}") }
    });
    is_up(&door);
    let seen = origin.seen();
    let first = &seen[0];
    assert_eq!(first.line(), "POST /mcp HTTP/1.1");
    assert_eq!(first.field("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(first.field("mcp-method"), Some("server/discover"));
    assert_eq!(first.field("accept"), Some("application/json, text/event-stream"));
    let body: serde_json::Value = serde_json::from_slice(&first.body).expect("JSON");
    assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
}

#[test]
fn an_mcp_answer_may_come_in_a_stream_behind_notifications() {
    let (door, _origin) = door("kind = \"mcp\"", |talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n")?;
        talk.say(": hello\r\n\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\r\n\r\n")?;
        talk.say(format!("event: message\r\ndata: {RESULT}\r\n\r\n"))?;
        Ok(false)
    });
    is_up(&door);
}

#[test]
fn an_older_mcp_server_is_asked_for_its_tools() {
    let (door, _origin) = door("kind = \"mcp\"", |talk| {
        if asks(talk, "tools/list")? { json(talk, "200 OK", "", RESULT) } else { json(talk, "200 OK", "", NO_METHOD) }
    });
    is_up(&door);
}

#[test]
fn an_mcp_server_that_wants_a_session_gets_one_and_it_is_ended() {
    let (door, origin) = door("kind = \"mcp\"", |talk| {
        if talk.request.line().starts_with("DELETE") {
            return json(talk, "200 OK", "", "{}");
        }
        if asks(talk, "initialize")? {
            json(talk, "200 OK", "Mcp-Session-Id: s-1\r\n", RESULT)
        } else {
            json(talk, "400 Bad Request", "", "{}")
        }
    });
    is_up(&door);
    origin.until("the session is ended", |seen, _| {
        seen.iter().any(|seen| seen.line().starts_with("DELETE /mcp") && seen.field("mcp-session-id") == Some("s-1"))
    });
}

#[test]
fn what_is_no_mcp_server_is_down_with_its_status() {
    let (door, _origin) = door("kind = \"mcp\"", |talk| {
        talk.read_body()?;
        json(talk, "404 Not Found", "", "{}")
    });
    is_down_because(&door, "mcp", Wrong::Status(404));
}

#[test]
fn an_mcp_answer_to_another_call_is_none() {
    let (door, _origin) = door("kind = \"mcp\"", |talk| {
        talk.read_body()?;
        json(talk, "200 OK", "", r#"{"jsonrpc":"2.0","id":7,"result":{}}"#)
    });
    is_down_because(&door, "mcp", Wrong::Body);
}

/// Says `stream` as events, and closes.
fn streams(talk: &mut Talk, stream: &str) -> io::Result<bool> {
    talk.read_body()?;
    talk.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    talk.say(stream)?;
    Ok(false)
}

const TOKEN: &str = "kind = \"token\"\nmodel = \"echo\"";
const GOOD: &str = "data: {}\n\ndata: {}\n\ndata: {}\n\ndata: [DONE]\n\n";

#[test]
fn a_token_probe_asks_for_a_few_tokens_with_what_its_file_says_and_never_shows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, "Bearer s3cret\n").expect("written");
    let also = format!("{TOKEN}\nauthorization_file = {:?}", file.display().to_string());
    let (door, origin) = door(&also, |talk| streams(talk, GOOD));
    is_up(&door);
    let first = origin.seen().into_iter().next().expect("one");
    assert_eq!(first.line(), "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(first.field("authorization"), Some("Bearer s3cret"));
    let body: serde_json::Value = serde_json::from_slice(&first.body).expect("JSON");
    assert_eq!((&body["model"], &body["stream"], &body["max_tokens"]), (&"echo".into(), &true.into(), &4.into()));
    let snapshot = door.node.as_ref().expect("it runs").published.load_full();
    assert!(!format!("{snapshot:?}").contains("s3cret"), "it must be in no log");
}

#[test]
fn a_stream_without_its_mark_or_with_too_little_or_an_error_in_it_is_none() {
    for (stream, why) in [
        ("data: {}\n\ndata: {}\n\ndata: {}\n\n", Wrong::Cut),
        ("data: {}\n\ndata: [DONE]\n\n", Wrong::Body),
        ("data: {}\n\ndata: {\"error\":{\"message\":\"no model\"}}\n\n", Wrong::Body),
    ] {
        let (door, _origin) = door(TOKEN, move |talk| streams(talk, stream));
        is_down_because(&door, "token", why);
    }
}

#[test]
fn an_answer_that_is_no_stream_and_an_event_without_an_end_are_bad_bodies() {
    let (door_a, _origin) = door(TOKEN, |talk| {
        talk.read_body()?;
        json(talk, "200 OK", "", "{}")
    });
    is_down_because(&door_a, "token", Wrong::Body);
    let endless = format!("data: {}", "x".repeat(70 << 10));
    let (door_b, _origin) = door(TOKEN, move |talk| streams(talk, &endless));
    is_down_because(&door_b, "token", Wrong::Body);
}

// ---- the file -------------------------------------------------------------------------------------------------------

fn told(probe: &str) -> Result<String, Mistakes> {
    let text = format!(
        "fleet = {{ name = \"f\", zone = \"z.example\" }}\n{probe}\n[[site]]\nname = \"s\"\nlatitude = 1\nlongitude = 1\n\
         [[region]]\nname = \"a\"\nprovider = \"p\"\ncountry = \"GB\"\nlatitude = 1\nlongitude = 1\n\
         endpoints = [\"http://127.0.0.1:1\"]\n"
    );
    check(&text, Path::new("regions.toml")).map(|checked| format!("{:?}", checked.topology.regions[0].also))
}

#[track_caller]
fn refused(probe: &str, title: &str) {
    let mistakes = told(probe).expect_err(probe).render(false);
    assert!(mistakes.contains(title), "{mistakes}");
}

#[test]
fn mistakes_in_probes_are_told_at_their_line() {
    refused("[[probe.also]]\nkind = \"token\"", "without a model");
    refused("[[probe.also]]\nkind = \"http\"", "two probes of kind \"http\"");
    refused("[[probe.also]]\nkind = \"mcp\"\n[[probe.also]]\nkind = \"mcp\"", "two probes of kind \"mcp\"");
    refused("[[probe.also]]\nkind = \"mcp\"\nmodel = \"echo\"", "model has no effect on a probe of kind \"mcp\"");
    refused("[probe]\ngap = \"1s\"", "gap has no effect on a probe of kind \"http\"");
    refused("[probe]\nkind = \"token\"\nmodel = \"echo\"\nexpect_body = \"x\"", "expect_body has no effect");
    refused("[[probe.also]]\nkind = \"mcp\"\n[[probe.also.also]]\nkind = \"tcp\"", "also inside also");
    refused(
        "[[probe.also]]\nkind = \"token\"\nmodel = \"e\"\nfirst_event = \"11s\"",
        "longer than the probe's timeout",
    );
    refused("[[probe.also]]\nkind = \"token\"\nmodel = \"e\"\ngap = \"0s\"", "gap is zero");
    refused("[[probe.also]]\nkind = \"mcp\"\nauthorization_file = \"nowhere\"", "authorization_file \"nowhere\"");
    refused("[[probe.also]]\nkind = \"tokens\"", "did you mean \"token\"");
}

#[test]
fn a_probe_has_the_defaults_of_its_kind() {
    let also = told("[probe]\ninterval = \"5s\"\n[[probe.also]]\nkind = \"token\"\nmodel = \"echo\"").expect("right");
    for part in
        ["interval: 10s", "fast_interval: 1s", "down_interval: 5s", "timeout: 10s", "first_event: 2s", "gap: 1s"]
    {
        assert!(also.contains(part), "{part} in {also}");
    }
    assert_eq!(told("").expect("right"), "[]", "nothing is asked besides unless it is said");
}
