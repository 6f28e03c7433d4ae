//! MCP through real nodes: sessions that stay where they began, whichever node is asked; what becomes of them when their
//! region is lost; and what may be repeated, in both eras of the protocol.

mod common {
    pub mod front;
}
mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::Fault;
use anyfront::lab::world::World;
use anyfront::limits::MCP_CALL_BYTES_MAX;
use anyfront::node::Options;
use common::front::{BOUND, Door, Origin};
use harness::{Ask, Fleet, SOON, Seen, from, get, get_path, quick};
use http::Method;
use serde_json::{Value as Json, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";
const PATH: &str = "/acme/mcp/github/server";
const CLASSES: &str = "[[class]]\npath = \"/*/mcp/*/server\"\nmcp = true\n\
                       [[class]]\nprefix = \"/guarded\"\nmcp = true\norigins = [\"https://app.example\"]\n";

// ---- a fleet of the lab's regions, which speak MCP ------------------------------------------------------------------

fn call(method: &str, params: &Json) -> Ask {
    let body = json!({"jsonrpc": "2.0", "id": "call-7", "method": method, "params": params}).to_string();
    Ask { method: Method::POST, body: body.into(), ..get_path("", PATH) }
        .with("accept", "application/json, text/event-stream")
        .with("content-type", "application/json")
}

fn whoami() -> Ask {
    call("tools/call", &json!({"name": "whoami", "arguments": {}}))
}

fn initialize() -> Ask {
    call(
        "initialize",
        &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}),
    )
}

fn in_session(ask: Ask, session: &str) -> Ask {
    ask.with("mcp-session-id", session).with("mcp-protocol-version", "2025-11-25")
}

/// Begins a session from London; who began it, and its id.
async fn begin(fleet: &Fleet) -> (String, String) {
    let seen = fleet.ask(initialize(), from("London")).await;
    assert!(seen.is_good(), "{seen:?}");
    (seen.region().to_owned(), seen.header("mcp-session-id").to_owned())
}

async fn whoami_in(fleet: &Fleet, session: &str, city: &str) -> Seen {
    fleet.ask(in_session(whoami(), session), from(city)).await
}

#[track_caller]
fn assert_lost(seen: &Seen) {
    assert_eq!(seen.status, Some(404), "{seen:?}");
    assert_eq!(seen.region(), "", "no region said so");
    assert_eq!(seen.header("content-type"), "application/json");
    let answer = seen.json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!("call-7")), "{answer}");
    assert_eq!(answer["error"]["data"]["code"], "session_lost", "{answer}");
}

#[track_caller]
fn assert_tells(seen: &Seen, region: &str) {
    assert!(seen.is_good(), "{seen:?}");
    assert_eq!(seen.json()["result"]["content"][0]["text"], region);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_where_it_began_whoever_asks_from_wherever_until_its_region_is_lost() {
    let fleet = Fleet::start(quick()).await;
    let (region, session) = begin(&fleet).await;
    assert_eq!(region, "lhr");
    for city in ["London", "Sydney"] {
        assert_tells(&whoami_in(&fleet, &session, city).await, "lhr");
    }
    fleet.kill("lhr");
    // At first nobody knows that it is dead: the request itself finds out.
    assert_lost(&whoami_in(&fleet, &session, "London").await);
    fleet.until_out("lhr", SOON).await;
    assert_lost(&whoami_in(&fleet, &session, "Sydney").await);
    let (next, session) = begin(&fleet).await;
    assert_ne!(next, "lhr");
    assert_tells(&whoami_in(&fleet, &session, "London").await, &next);
    fleet.heal("lhr");
    fleet.until_standing("lhr", Standing::Up, SOON).await;
    assert_tells(&whoami_in(&fleet, &session, "London").await, &next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_drain_keeps_new_sessions_away_and_a_hard_one_all() {
    let fleet = Fleet::start(quick()).await;
    let (region, session) = begin(&fleet).await;
    fleet.drain(&format!("region:{region}"), false).await;
    assert_tells(&whoami_in(&fleet, &session, "London").await, &region);
    assert_ne!(begin(&fleet).await.0, region, "an initialize is new work");
    fleet.undrain(&format!("region:{region}")).await;
    fleet.drain(&format!("region:{region}"), true).await;
    assert_lost(&whoami_in(&fleet, &session, "London").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ended_where_it_began() {
    let fleet = Fleet::start(quick()).await;
    let (_, session) = begin(&fleet).await;
    let end = Ask { method: Method::DELETE, ..in_session(get_path("", PATH), &session) };
    assert_eq!(fleet.ask(end, from("Sydney")).await.region(), "lhr");
    let gone = whoami_in(&fleet, &session, "London").await;
    assert_eq!((gone.status, gone.region()), (Some(404), "lhr"), "its own region says so");
    assert_eq!(gone.json()["error"]["code"], -32_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_one_secret_route_each_others_sessions_and_a_stranger_none() {
    let world = World::start(quick()).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("a folder");
    let node = |name: &str, secret: Option<&str>| {
        let secret_file = secret.map(|secret| {
            let path = folder.path().join(format!("{name}.secret"));
            std::fs::write(&path, secret).expect("written");
            path
        });
        Options { secret_file, state_dir: folder.path().join(name), ..world.node_options() }
    };
    let both = format!("{OTHER_SECRET}\n{SECRET}\n");
    let others = [node("two", Some(SECRET)), node("three", Some(&both)), node("four", None)];
    let start =
        |options: &Options| anyfront::node::Node::start(options.clone()).unwrap_or_else(|error| panic!("{error}"));
    let others: Vec<_> = others.iter().map(start).collect();
    let options = node("one", Some(SECRET));
    let fleet = Fleet::start_with(world, options).await;
    let (region, session) = begin(&fleet).await;
    for (other, knows_it) in others.iter().zip([true, true, false]) {
        let mut bell = other.published.subscribe();
        let is_up = || other.published.load().endpoints.iter().all(|state| state.standing == Standing::Up);
        while !is_up() {
            tokio::time::timeout(BOUND, bell.changed()).await.expect("it comes up").expect("it lives");
        }
        let mut client = harness::Client::connect(other.http[0], from("Sydney")).await.expect("a connection");
        let seen = client.send(&in_session(whoami(), &session)).await;
        if knows_it { assert_tells(&seen, &region) } else { assert_lost(&seen) }
    }
    let _ = std::thread::spawn(move || others.into_iter().for_each(anyfront::node::Node::stop)).join();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_whole_or_not_for_this_hostname_are_lost() {
    let fleet = Fleet::start(quick()).await;
    let (_, session) = begin(&fleet).await;
    let forged = format!("{}{}", &session[..session.len() - 1], if session.ends_with('A') { 'B' } else { 'A' });
    for token in [forged.as_str(), &session[..session.len() / 2], &session[..9], &format!("{session}{session}")] {
        assert_lost(&whoami_in(&fleet, token, "London").await);
    }
    let elsewhere = Ask { host: harness::hostname("eu"), ..in_session(whoami(), &session) };
    assert_lost(&fleet.ask(elsewhere, from("London")).await);
    let foreign = whoami_in(&fleet, "minted-before-anyfront", "London").await;
    assert_eq!((foreign.status, foreign.region()), (Some(404), "lhr"), "steered as ever, and unknown there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_stops_answering_may_have_acted_and_nobody_acts_twice() {
    let fleet = Fleet::start(quick()).await;
    let (region, session) = begin(&fleet).await;
    fleet.suffer(&region, Fault::Cut);
    let seen = whoami_in(&fleet, &session, "London").await;
    assert!(seen.status != Some(404) && !seen.is_good(), "it may have acted: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sessions_any_region_answers() {
    let fleet = Fleet::start(quick()).await;
    let stateless = |method: &str, params: &Json| {
        call(method, params).with("mcp-protocol-version", "2026-07-28").with("mcp-method", method)
    };
    let discovered = fleet.ask(stateless("server/discover", &json!({})), from("Sydney")).await;
    assert_eq!(discovered.json()["result"]["supportedVersions"][0], "2026-07-28");
    assert_eq!(discovered.header("mcp-session-id"), "");
    let tool = stateless("tools/call", &json!({"name": "whoami"})).with("mcp-name", "whoami");
    assert_tells(&fleet.ask(tool.clone(), from("London")).await, "lhr");
    assert_tells(&fleet.ask(tool.with("mcp-session-id", "anyfront.nonsense"), from("Sydney")).await, "syd");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_knows_who_is_bound_and_who_prefers() {
    let fleet = Fleet::start(quick()).await;
    fleet.drain("region:syd", false).await;
    let path = "/explain?host=gateway.truefoundry.ai&client=127.61.0.1";
    let bound = fleet.admin(Method::GET, &format!("{path}&bound=syd"), &Json::Null).await;
    assert_eq!(bound["candidates"].as_array().map(Vec::len), Some(1), "a soft drain lets it go on: {bound}");
    assert_eq!((&bound["candidates"][0]["region"], &bound["candidates"][0]["wish"]), (&json!("syd"), &json!("bound")));
    let prefers = fleet.admin(Method::GET, &format!("{path}&prefers=dia"), &Json::Null).await;
    assert_eq!(
        (&prefers["candidates"][0]["region"], &prefers["candidates"][0]["wish"]),
        (&json!("dia"), &json!("prefers"))
    );
    let (region, session) = begin(&fleet).await;
    assert!(whoami_in(&fleet, &session, "Sydney").await.is_good());
    let decisions = fleet.admin(Method::GET, "/decisions?count=1", &Json::Null).await;
    assert_eq!((&decisions[0]["wish"], &decisions[0]["region"]), (&json!("bound"), &json!(region)), "{decisions}");
    fleet.ask(get(""), from("London")).await;
    let decisions = fleet.admin(Method::GET, "/decisions?count=1", &Json::Null).await;
    assert_eq!(decisions[0]["wish"], Json::Null);
}

// ---- raw origins, which see every octet -----------------------------------------------------------------------------

fn post(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {PATH} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

fn request(method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 3, "method": method}).to_string()
}

/// Takes requests and hangs up on each.
fn rude() -> Origin {
    Origin::start(|talk| {
        talk.read_body()?;
        Ok(false)
    })
}

/// Takes requests and says it cannot.
fn sick() -> Origin {
    Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
        Ok(true)
    })
}

#[test]
fn what_only_reads_is_repeated_elsewhere_though_it_is_a_post() {
    let modern = |method: &str| format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n");
    for (fields, body, is_repeated) in [
        (String::new(), request("initialize"), true),
        (String::new(), request("tools/list"), true),
        (String::new(), request("tools/call"), false),
        (String::new(), format!("[{},{}]", request("ping"), request("resources/read")), true),
        (String::new(), format!("[{},{}]", request("ping"), request("tools/call")), false),
        ("Mcp-Method: tools/list\r\n".to_owned(), request("tools/call"), false),
        ("MCP-Protocol-Version: 2025-11-25\r\nMcp-Method: tools/list\r\n".to_owned(), request("tools/call"), false),
        ("Mcp-Session-Id: x\r\n".to_owned(), request("initialize"), false),
        (modern("tools/list"), request("tools/list"), true),
        (modern("server/discover"), "what servers make of it is theirs".to_owned(), true),
        (modern("tools/call"), request("tools/call"), false),
        (modern("tools/call"), request("tools/list"), false),
    ] {
        for (first, refusal) in [(rude(), 502), (sick(), 503)] {
            let second = Origin::polite();
            let door = Door::with(&[&first, &second], CLASSES);
            let answer = door.ask(post(&fields, &body));
            let expected = if is_repeated { (200, 1) } else { (refusal, 0) };
            assert_eq!((answer.status(), second.seen().len()), expected, "{fields:?} {body}: {answer:?}");
            if is_repeated {
                assert_eq!(second.only().body, body.as_bytes());
            }
        }
    }
}

#[test]
fn a_body_past_the_bound_is_not_looked_into_and_so_not_repeated() {
    let padded = |bytes: usize| format!("{}{}", request("tools/list"), " ".repeat(bytes - request("tools/list").len()));
    for (bytes, status) in [(MCP_CALL_BYTES_MAX, 200), (MCP_CALL_BYTES_MAX + 1, 502)] {
        let (first, second) = (rude(), Origin::polite());
        let door = Door::with(&[&first, &second], CLASSES);
        assert_eq!(door.ask(post("", &padded(bytes))).status(), status, "{bytes}");
    }
}

#[test]
fn errors_of_ours_are_answers_to_the_call() {
    let rude = rude();
    let door = Door::with(&[&rude], CLASSES);
    let answer = door.ask(post("", &request("tools/call")));
    let said: Json = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((answer.status(), answer.field("content-type")), (502, Some("application/json")));
    assert_eq!((&said["jsonrpc"], &said["id"]), (&json!("2.0"), &json!(3)), "{said}");
    let unknown = door.ask(post("Mcp-Session-Id: anyfront.x\r\n", "no JSON at all"));
    let said: Json = serde_json::from_slice(&unknown.body).expect("JSON");
    assert_eq!((unknown.status(), &said["id"]), (404, &Json::Null));
    let twice = door.ask(post("Mcp-Session-Id: a\r\nMcp-Session-Id: b\r\n", &request("ping")));
    assert_eq!(twice.status(), 400);
    assert_eq!(rude.seen().len(), 1, "none of these reached a region");
}

#[test]
fn a_call_whose_body_does_not_come_is_answered_without_its_id() {
    let origin = Origin::polite();
    let door = Door::with(&[&origin], CLASSES);
    let mut client = door.client();
    client.say(format!(
        "POST {PATH} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 99\r\nMcp-Session-Id: anyfront.x\r\n\r\n{{\"id\":3,"
    ));
    let answer = client.answer();
    let said: Json = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((answer.status(), &said["id"]), (404, &Json::Null));
    assert!(origin.seen().is_empty());
}

#[test]
fn headers_of_mcp_pass_untouched_even_if_connection_names_them() {
    let origin = Origin::polite();
    let door = Door::with(&[&origin], CLASSES);
    let fields = "Mcp-Session-Id: theirs\r\nMcp-Name: =?base64?eA==?=\r\nMcp-Param-Region: eu\r\nMcp-Param-New: \u{9}x y\r\n\
                  Connection: mcp-session-id, mcp-param-region, keep-alive\r\n";
    assert_eq!(door.ask(post(fields, &request("ping"))).status(), 200);
    let seen = origin.only();
    for (name, value) in [
        ("mcp-session-id", "theirs"),
        ("mcp-name", "=?base64?eA==?="),
        ("mcp-param-region", "eu"),
        ("mcp-param-new", "x y"),
    ] {
        assert_eq!(seen.field(name), Some(value));
    }
}

#[test]
fn only_paths_of_the_shape_are_mcp() {
    let origin = Origin::start(|talk| {
        talk.read_body()?;
        talk.say("HTTP/1.1 200 OK\r\nMcp-Session-Id: raw\r\nContent-Length: 0\r\n\r\n")?;
        Ok(true)
    });
    let door = Door::sharing(&[&origin], CLASSES, SECRET);
    for (path, is_sealed) in [
        ("/acme/mcp/github/server", true),
        ("/acme%2Fx/mcp/git%2Fhub/server?q=/x", true),
        ("/acme/mcp/github/server/", false),
        ("/acme/mcp%2Fgithub/server", false),
        ("/x/acme/mcp/github/server", false),
    ] {
        let answer = door.get(path);
        assert_eq!(answer.field("mcp-session-id") != Some("raw"), is_sealed, "{path}: {answer:?}");
        assert_eq!(origin.seen().last().expect("seen").target(), path);
    }
    let token = door.get(PATH).field("mcp-session-id").expect("a session").to_owned();
    let again = format!("GET {PATH} HTTP/1.1\r\nHost: gw.test\r\nMcp-Session-Id: {token}\r\nLast-Event-ID: 41\r\n\r\n");
    assert_eq!(door.ask(again).field("mcp-session-id"), Some(token.as_str()), "it never changes");
    let seen = origin.seen();
    let last = seen.last().expect("seen");
    assert_eq!((last.field("mcp-session-id"), last.field("last-event-id")), (Some("raw"), Some("41")));
}

#[test]
fn a_page_from_elsewhere_may_not_ask_where_origins_are_listed() {
    let origin = Origin::polite();
    let door = Door::with(&[&origin], CLASSES);
    let ask = |path: &str, fields: &str| {
        let body = request("ping");
        let length = body.len();
        door.ask(format!("POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {length}\r\n{fields}\r\n{body}"))
    };
    assert_eq!(ask("/guarded", "").status(), 200, "no page");
    assert_eq!(ask("/guarded", "Origin: https://app.example\r\n").status(), 200);
    assert_eq!(ask(PATH, "Origin: https://evil.example\r\n").status(), 200, "not checked unless it is said");
    for fields in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: https://app.example.evil.example\r\n",
        "Origin: https://app.example\r\nOrigin: https://evil.example\r\n",
    ] {
        let before = origin.seen().len();
        let answer = ask("/guarded", fields);
        let said: Json = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status(), &said["id"]), (403, &json!(3)), "{fields}");
        assert_eq!(said["error"]["data"]["code"], "origin_not_allowed");
        assert_eq!(origin.seen().len(), before);
    }
}
